/* Arrow tables by hand, after the specification: what a producer in another program would lend. */
#ifndef QN_TESTS_API_ARROW_TABLE_H
#define QN_TESTS_API_ARROW_TABLE_H

#include "quern.h"

#include <string.h>

enum { ARROW_COLUMNS = 8 };

typedef struct arrow_child {
    struct ArrowSchema schema, dict_schema;
    struct ArrowArray array, dict;
    const void *buffers[3], *dict_buffers[3];
} arrow_child;

typedef struct arrow_table {
    struct ArrowSchema schema, *schema_children[ARROW_COLUMNS];
    struct ArrowArray array, *array_children[ARROW_COLUMNS];
    const void *buffers[1];
    arrow_child children[ARROW_COLUMNS];
} arrow_table;

/* Borrowed memory: released means marked as released, as the specification asks. */
static void release_schema(struct ArrowSchema *schema) {
    schema->release = NULL;
}

static void release_array(struct ArrowArray *array) {
    array->release = NULL;
}

static void table_begin(arrow_table *t, int64_t n_rows) {
    memset(t, 0, sizeof *t);
    t->schema = (struct ArrowSchema){
        .format = "+s", .name = "", .children = t->schema_children, .release = release_schema};
    t->array = (struct ArrowArray){.length = n_rows,
                                   .n_buffers = 1,
                                   .buffers = t->buffers,
                                   .children = t->array_children,
                                   .release = release_array};
}

/* A column of the table's length: validity bits (NULL: all are there), values, bytes of texts. */
static arrow_child *table_add(arrow_table *t, const char *name, const char *format,
                              const void *valid, const void *values, const void *bytes) {
    int64_t i = t->schema.n_children++;
    arrow_child *child = &t->children[i];
    int64_t n_buffers = format[0] == 'n' ? 0 : format[0] == 'u' || format[0] == 'U' ? 3 : 2;
    child->buffers[0] = valid;
    child->buffers[1] = values;
    child->buffers[2] = bytes;
    child->schema = (struct ArrowSchema){
        .format = format, .name = name, .flags = ARROW_FLAG_NULLABLE, .release = release_schema};
    child->array = (struct ArrowArray){.length = t->array.length,
                                       .null_count = valid ? -1 : 0,
                                       .n_buffers = n_buffers,
                                       .buffers = child->buffers,
                                       .release = release_array};
    t->schema_children[i] = &child->schema;
    t->array_children[i] = &child->array;
    t->array.n_children = t->schema.n_children;
    return child;
}

/* Makes the column one of codes of these texts. */
static void table_dictionary(arrow_child *child, const char *format, int64_t n, const void *valid,
                             const void *offsets, const void *bytes) {
    child->dict_buffers[0] = valid;
    child->dict_buffers[1] = offsets;
    child->dict_buffers[2] = bytes;
    child->dict_schema =
        (struct ArrowSchema){.format = format, .name = "", .release = release_schema};
    child->dict = (struct ArrowArray){.length = n,
                                      .null_count = valid ? -1 : 0,
                                      .n_buffers = 3,
                                      .buffers = child->dict_buffers,
                                      .release = release_array};
    child->schema.dictionary = &child->dict_schema;
    child->array.dictionary = &child->dict;
}

#endif
