#include "data/frame.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/column_int.h"

const char *qn_type_name(qn_type type) {
    switch (type) {
    case QN_TYPE_BOOL: return "bool";
    case QN_TYPE_I64: return "integer";
    case QN_TYPE_F64: return "number";
    case QN_TYPE_CATEGORY: return "category";
    case QN_TYPE_TEXT: return "text";
    case QN_TYPE_TIME: return "time";
    }
    return "unknown";
}

bool qn_type_from_name(const char *name, qn_type *ret_type) {
    static const struct {
        const char *name;
        qn_type type;
    } names[] = {
        {"bool", QN_TYPE_BOOL},       {"boolean", QN_TYPE_BOOL},    {"integer", QN_TYPE_I64},
        {"int", QN_TYPE_I64},         {"number", QN_TYPE_F64},      {"float", QN_TYPE_F64},
        {"double", QN_TYPE_F64},      {"category", QN_TYPE_CATEGORY}, {"string", QN_TYPE_CATEGORY},
        {"text", QN_TYPE_TEXT},       {"time", QN_TYPE_TIME},       {"date", QN_TYPE_TIME},
        {"timestamp", QN_TYPE_TIME},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i].name, name) == 0) {
            *ret_type = names[i].type;
            return true;
        }
    return false;
}

double qn_column_number(const qn_column *column, int64_t i_row) {
    if (!qn_column_is_valid(column, i_row))
        return NAN;
    switch (column->type) {
    case QN_TYPE_BOOL: return column->b[i_row];
    case QN_TYPE_I64:
    case QN_TYPE_TIME: return (double)column->i64[i_row];
    case QN_TYPE_F64: return column->f64[i_row];
    default: return NAN;
    }
}

const char *qn_column_text(const qn_column *column, int64_t i_row, size_t *ret_bytes) {
    if (!qn_column_is_valid(column, i_row))
        return NULL;
    if (column->type == QN_TYPE_CATEGORY)
        return qn_dict_text(column->dict, column->code[i_row], ret_bytes);
    if (column->type != QN_TYPE_TEXT)
        return NULL;
    *ret_bytes = (size_t)(column->offset[i_row + 1] - column->offset[i_row]);
    return column->bytes ? column->bytes + column->offset[i_row] : "";
}

void qn_column_format(const qn_column *column, int64_t i_row, qn_buf *out) {
    if (!qn_column_is_valid(column, i_row))
        return;
    switch (column->type) {
    case QN_TYPE_BOOL:
        qn_buf_put_text(out, column->b[i_row] ? "true" : "false");
        return;
    case QN_TYPE_I64: {
        char text[24];
        int n = snprintf(text, sizeof text, "%lld", (long long)column->i64[i_row]);
        qn_buf_put(out, text, (size_t)n);
        return;
    }
    case QN_TYPE_F64:
        qn_buf_put_double(out, column->f64[i_row]);
        return;
    case QN_TYPE_TIME: {
        char text[QN_TIME_TEXT];
        qn__time_format(column->time_us[i_row], text);
        qn_buf_put_text(out, text);
        return;
    }
    case QN_TYPE_CATEGORY:
    case QN_TYPE_TEXT: {
        size_t n = 0;
        const char *text = qn_column_text(column, i_row, &n);
        qn_buf_put(out, text, n);
    }
    }
}

void qn_frame_free(qn_frame **frame) {
    if (!frame || !*frame)
        return;
    for (int32_t j = 0; (*frame)->columns && j < (*frame)->n_columns; j++)
        qn__column_done(&(*frame)->columns[j]);
    qn_freep(&(*frame)->columns);
    qn_freep(frame);
}

int32_t qn_frame_find(const qn_frame *frame, const char *name) {
    for (int32_t j = 0; j < frame->n_columns; j++)
        if (strcmp(frame->columns[j].name, name) == 0)
            return j;
    return -1;
}

qn_status qn_frame_get(const qn_frame *frame, const char *name, const qn_column **ret_column,
                       qn_error *err) {
    const int32_t j = qn_frame_find(frame, name);
    if (j >= 0) {
        *ret_column = &frame->columns[j];
        return QN_OK;
    }
    qn_cleanup(qn_freep) const char **names = qn_new_array(const char *, frame->n_columns);
    if (!names)
        return qn_error_memory(err);
    for (int32_t i = 0; i < frame->n_columns; i++)
        names[i] = frame->columns[i].name;
    const char *nearest = qn_text_nearest(name, names, (size_t)frame->n_columns);
    if (nearest)
        return qn_error_set(err, QN_ERR_NOT_FOUND, "there is no column '%s'; did you mean '%s'?",
                            name, nearest);
    return qn_error_set(err, QN_ERR_NOT_FOUND, "there is no column '%s' among the %d of the table",
                        name, frame->n_columns);
}

static qn_status copy_dict(const qn_dict *dict, qn_dict **ret_dict, qn_error *err) {
    qn_cleanup(qn_dict_free) qn_dict *copy = qn_dict_new();
    if (!copy)
        return qn_error_memory(err);
    for (int32_t code = 0; code < qn_dict_size(dict); code++) {
        size_t n = 0;
        const char *text = qn_dict_text(dict, code, &n);
        if (qn_dict_add(copy, text, n) < 0)
            return qn_error_memory(err);
    }
    *ret_dict = qn_steal(&copy);
    return QN_OK;
}

static qn_status take_text(const qn_column *from, const int64_t *rows, qn_column *to,
                           qn_error *err) {
    int64_t total = 0;
    for (int64_t i = 0; i < to->n_rows; i++) {
        to->offset[i] = total;
        if (__builtin_add_overflow(total, from->offset[rows[i] + 1] - from->offset[rows[i]],
                                   &total))
            return qn_error_memory(err);
    }
    to->offset[to->n_rows] = total;
    to->bytes = qn_malloc_aligned((size_t)total, 1);
    if (!to->bytes)
        return qn_error_memory(err);
    for (int64_t i = 0; i < to->n_rows; i++) {
        const size_t n = (size_t)(to->offset[i + 1] - to->offset[i]);
        if (n)
            memcpy(to->bytes + to->offset[i], from->bytes + from->offset[rows[i]], n);
    }
    return QN_OK;
}

static void take_values(const qn_column *from, const int64_t *rows, qn_column *to) {
    switch (qn__type_bytes(from->type)) {
    case 1:
        for (int64_t i = 0; i < to->n_rows; i++)
            to->b[i] = from->b[rows[i]];
        return;
    case 4:
        for (int64_t i = 0; i < to->n_rows; i++)
            to->code[i] = from->code[rows[i]];
        return;
    default:
        for (int64_t i = 0; i < to->n_rows; i++)
            to->i64[i] = from->i64[rows[i]];
    }
}

static void take_valid(const qn_column *from, const int64_t *rows, qn_column *to) {
    for (int64_t i = 0; i < to->n_rows; i++)
        if (qn_column_is_valid(from, rows[i]))
            to->valid[i >> 6] |= (uint64_t)1 << (i & 63);
        else
            to->n_null++;
    if (!to->n_null)
        qn_freep(&to->valid);
}

static qn_status take_column(const qn_column *from, const int64_t *rows, int64_t n_rows,
                             qn_column *to, qn_error *err) {
    to->type = from->type;
    to->n_rows = n_rows;
    to->name = qn_strdup(from->name);
    to->b = qn_calloc_aligned((size_t)n_rows + 1, qn__type_bytes(from->type));
    if (!to->name || !to->b)
        return qn_error_memory(err);
    if (from->valid) {
        to->valid = qn_calloc_aligned((size_t)(n_rows + 63) / 64, sizeof *to->valid);
        if (!to->valid)
            return qn_error_memory(err);
        take_valid(from, rows, to);
    }
    if (from->type == QN_TYPE_TEXT)
        return take_text(from, rows, to, err);
    take_values(from, rows, to);
    return from->type == QN_TYPE_CATEGORY ? copy_dict(from->dict, &to->dict, err) : QN_OK;
}

qn_status qn_frame_take(const qn_frame *frame, const int64_t *rows, int64_t n_rows,
                        qn_frame **ret_frame, qn_error *err) {
    for (int64_t i = 0; i < n_rows; i++)
        QN_FAIL_IF(rows[i] < 0 || rows[i] >= frame->n_rows, err, QN_ERR_USAGE,
                   "row %lld is not in a frame of %lld rows", (long long)rows[i],
                   (long long)frame->n_rows);
    qn_cleanup(qn_frame_free) qn_frame *taken = qn_new(qn_frame);
    if (!taken || !(taken->columns = qn_new_array(qn_column, frame->n_columns)))
        return qn_error_memory(err);
    taken->n_columns = frame->n_columns;
    taken->n_rows = n_rows;
    for (int32_t j = 0; j < frame->n_columns; j++)
        QN_TRY(take_column(&frame->columns[j], rows, n_rows, &taken->columns[j], err));
    *ret_frame = qn_steal(&taken);
    return QN_OK;
}

/* One column: name, type, then per row a presence byte and the value; texts with their length, so
 * that dictionaries' order does not matter. Written in blocks to spare the hash its small
 * updates. */
size_t qn_frame_bytes(const qn_frame *frame) {
    size_t total = sizeof *frame;
    for (int32_t j = 0; j < frame->n_columns; j++) {
        const qn_column *column = &frame->columns[j];
        const size_t n = (size_t)column->n_rows;
        total += sizeof *column + n * qn__type_bytes(column->type) + (column->valid ? n / 8 : 0);
        if (column->type == QN_TYPE_TEXT && column->n_rows)
            total += (size_t)column->offset[column->n_rows];
        for (int32_t code = 0; code < qn_dict_size(column->dict); code++) {
            size_t bytes = 0;
            (void)qn_dict_text(column->dict, code, &bytes);
            total += bytes + 24;
        }
    }
    return total;
}

void qn_schema_done(qn_schema *schema) {
    for (int32_t j = 0; schema && schema->columns && j < schema->n_columns; j++)
        qn_freep(&schema->columns[j].name);
    if (!schema)
        return;
    qn_freep(&schema->columns);
    schema->n_columns = 0;
}

qn_status qn_schema_add(qn_schema *schema, const char *name, qn_type type, qn_error *err) {
    char *copy = qn_strdup(name);
    if (!copy)
        return qn_error_memory(err);
    schema->columns[schema->n_columns++] = (qn_schema_column){.name = copy, .type = type};
    return QN_OK;
}

qn_status qn_schema_of_frame(const qn_frame *frame, qn_schema *ret_schema, qn_error *err) {
    qn_cleanup(qn_schema_done) qn_schema schema = {0};
    schema.columns = qn_new_array(qn_schema_column, frame->n_columns);
    if (!schema.columns)
        return qn_error_memory(err);
    for (int32_t j = 0; j < frame->n_columns; j++)
        QN_TRY(qn_schema_add(&schema, frame->columns[j].name, frame->columns[j].type, err));
    *ret_schema = schema;
    schema = (qn_schema){0};
    return QN_OK;
}
