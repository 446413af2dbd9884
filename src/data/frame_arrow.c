#include "data/frame_arrow.h"

#include <string.h>

#include "base/mem.h"

static void release_schema(struct ArrowSchema *schema) {
    schema->release = NULL;
}

static void release_array(struct ArrowArray *array) {
    array->release = NULL;
}

/* Zeroed memory of the view. */
#define VIEW_NEW(view, type, n) ((type *)qn_arena_alloc((view)->arena, (size_t)(n), sizeof(type)))

static const char *format_of(qn_type type) {
    switch (type) {
    case QN_TYPE_BOOL: return "b";
    case QN_TYPE_I64: return "l";
    case QN_TYPE_F64: return "g";
    case QN_TYPE_CATEGORY: return "i";
    case QN_TYPE_TEXT: return "U";
    case QN_TYPE_TIME: return "tsu:UTC";
    }
    return "n";
}

static const void *bits_of(qn_arrow_view *view, const qn_column *column) {
    uint8_t *bits = VIEW_NEW(view, uint8_t, (column->n_rows + 7) / 8);
    for (int64_t i = 0; bits && i < column->n_rows; i++)
        bits[i >> 3] |= (uint8_t)(column->b[i] << (i & 7));
    return bits;
}

/* An array of n values in `n_buffers` buffers, of which the first tells what is there. */
static struct ArrowArray *array_new(qn_arrow_view *view, int64_t n, int64_t n_null,
                                    int64_t n_buffers, const void ***ret_buffers, qn_error *err) {
    struct ArrowArray *array = VIEW_NEW(view, struct ArrowArray, 1);
    const void **buffers = VIEW_NEW(view, const void *, n_buffers);
    if (!array || !buffers) {
        (void)qn_error_memory(err);
        return NULL;
    }
    *array = (struct ArrowArray){.length = n,
                                 .null_count = n_null,
                                 .n_buffers = n_buffers,
                                 .buffers = buffers,
                                 .release = release_array};
    *ret_buffers = buffers;
    return array;
}

static struct ArrowSchema *schema_new(qn_arrow_view *view, const char *name, const char *format,
                                      qn_error *err) {
    struct ArrowSchema *schema = VIEW_NEW(view, struct ArrowSchema, 1);
    if (!schema) {
        (void)qn_error_memory(err);
        return NULL;
    }
    *schema = (struct ArrowSchema){
        .format = format, .name = name, .flags = ARROW_FLAG_NULLABLE, .release = release_schema};
    return schema;
}

static qn_status add_dictionary(qn_arrow_view *view, const qn_dict *dict,
                                struct ArrowSchema *schema, struct ArrowArray *array,
                                qn_error *err) {
    const int32_t size = qn_dict_size(dict);
    const void **buffers;
    int64_t *offsets = VIEW_NEW(view, int64_t, (int64_t)size + 1);
    schema->dictionary = schema_new(view, "", "U", err);
    array->dictionary = array_new(view, size, 0, 3, &buffers, err);
    if (!offsets || !schema->dictionary || !array->dictionary)
        return qn_error_memory(err);
    for (int32_t i = 0; i < size; i++) {
        size_t n = 0;
        (void)qn_dict_text(dict, i, &n);
        offsets[i + 1] = offsets[i] + (int64_t)n;
    }
    char *bytes = VIEW_NEW(view, char, offsets[size]);
    if (!bytes)
        return qn_error_memory(err);
    for (int32_t i = 0; i < size; i++) {
        const char *text = qn_dict_text(dict, i, NULL);
        memcpy(bytes + offsets[i], text, (size_t)(offsets[i + 1] - offsets[i]));
    }
    buffers[1] = offsets;
    buffers[2] = bytes;
    return QN_OK;
}

static qn_status add_column(qn_arrow_view *view, const qn_column *column, int32_t i,
                            qn_error *err) {
    const void **buffers;
    struct ArrowSchema *schema = schema_new(view, column->name, format_of(column->type), err);
    struct ArrowArray *array = array_new(view, column->n_rows, column->n_null,
                                         column->type == QN_TYPE_TEXT ? 3 : 2, &buffers, err);
    if (!schema || !array)
        return QN_ERR_MEMORY;
    buffers[0] = column->valid;
    buffers[1] = column->type == QN_TYPE_BOOL ? bits_of(view, column) : column->b;
    if (!buffers[1])
        return qn_error_memory(err);
    if (column->type == QN_TYPE_TEXT)
        buffers[2] = column->bytes;
    view->schema.children[i] = schema;
    view->array.children[i] = array;
    return column->type == QN_TYPE_CATEGORY
               ? add_dictionary(view, column->dict, schema, array, err)
               : QN_OK;
}

static qn_status fill(qn_arrow_view *view, const qn_frame *frame, qn_error *err) {
    const int32_t n = frame->n_columns;
    struct ArrowSchema **schemas = VIEW_NEW(view, struct ArrowSchema *, n);
    struct ArrowArray **arrays = VIEW_NEW(view, struct ArrowArray *, n);
    const void **buffers = VIEW_NEW(view, const void *, 1);
    if (!schemas || !arrays || !buffers)
        return qn_error_memory(err);
    view->schema = (struct ArrowSchema){.format = "+s",
                                        .name = "",
                                        .n_children = n,
                                        .children = schemas,
                                        .release = release_schema};
    view->array = (struct ArrowArray){.length = frame->n_rows,
                                      .n_buffers = 1,
                                      .buffers = buffers,
                                      .n_children = n,
                                      .children = arrays,
                                      .release = release_array};
    for (int32_t i = 0; i < n; i++)
        QN_TRY(add_column(view, &frame->columns[i], i, err));
    return QN_OK;
}

qn_status qn_arrow_view_new(const qn_frame *frame, qn_arrow_view **ret_view, qn_error *err) {
    qn_cleanup(qn_arrow_view_free) qn_arrow_view *view = qn_new(qn_arrow_view);
    if (!view || !(view->arena = qn_arena_new("Arrow view")))
        return qn_error_memory(err);
    QN_TRY(fill(view, frame, err));
    *ret_view = qn_steal(&view);
    return QN_OK;
}

void qn_arrow_view_free(qn_arrow_view **view) {
    if (!view || !*view)
        return;
    qn_arena_free(&(*view)->arena);
    qn_freep(view);
}
