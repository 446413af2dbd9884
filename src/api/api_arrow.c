/* Tables from the Arrow C data interface (https://arrow.apache.org/docs/format/CDataInterface.html):
 * a struct array is a table, its children are the columns. Everything that can be checked without
 * knowing how long the buffers are is checked before a value is read or while it is. */
#include <stdint.h>
#include <string.h>

#include "api/api_int.h"
#include "base/limits.h"
#include "base/mem.h"
#include "model/rows_json.h"

typedef struct arrow_column {
    const struct ArrowArray *array; /* borrowed */
    const char *name;               /* borrowed, for messages */
    char kind;                      /* the first character of the format */
    char unit;                      /* of 't': D days, m, s, u, n */
    char dict_kind;                 /* of a dictionary's texts: u, U; 0: no dictionary */
    int32_t i_input;
    qn_type type;                   /* of the input */
    int64_t first;                  /* where row 0 of the table is */
} arrow_column;

typedef struct arrow_table {
    const struct ArrowArray *array; /* borrowed */
    arrow_column *columns;          /* owned; those that are inputs */
    int32_t n_columns;
} arrow_table;

static void table_done(arrow_table *table) {
    qn_freep(&table->columns);
}

/* --- checks ----------------------------------------------------------------------------------- */

static qn_status refuse(const char *name, qn_error *err, const char *what) {
    return qn_error_set_at(err, QN_ERR_DATA, NULL, 0, name ? name : "", "%s", what);
}

static bool holds_rows(const struct ArrowArray *array, int64_t n_rows) {
    return array->length >= 0 && array->offset >= 0 && array->length >= n_rows &&
           array->offset <= INT64_MAX - array->length;
}

/* Buffers of an array of this kind; -1 for a kind that is not known. */
static int buffers_of(char kind) {
    return kind == 'n'                     ? 0
           : strchr("bcCsSiIlLfgt", kind) ? 2
           : kind == 'u' || kind == 'U'    ? 3
                                           : -1;
}

static qn_status check_array(const struct ArrowArray *array, char kind, const char *name,
                             int64_t n_rows, qn_error *err) {
    const int n_buffers = buffers_of(kind);
    if (!array || !array->release)
        return refuse(name, err, "the Arrow array has been released");
    if (!holds_rows(array, n_rows))
        return refuse(name, err, "the Arrow array is shorter than the table");
    if (array->n_buffers != n_buffers || (n_buffers && !array->buffers))
        return refuse(name, err, "the Arrow array has the wrong number of buffers");
    if (n_buffers && n_rows > 0 && !array->buffers[1])
        return refuse(name, err, "the Arrow array has no values");
    return QN_OK;
}

/* "tdD", "tdm", "tss:UTC", ...: the unit; 0 for any other. */
static char time_unit(const char *format) {
    if (strcmp(format, "tdD") == 0)
        return 'D';
    if (strcmp(format, "tdm") == 0)
        return 'm';
    return strncmp(format, "ts", 2) == 0 && format[2] && strchr("smun", format[2]) &&
                   format[3] == ':'
               ? format[2]
               : '\0';
}

static qn_status check_format(const char *format, arrow_column *column, qn_error *err) {
    const bool is_time = format && format[0] == 't';
    column->unit = is_time ? time_unit(format) : '\0';
    if (!format || !format[0] || buffers_of(format[0]) < 0 || (is_time && !column->unit) ||
        (!is_time && format[1]))
        return qn_error_set_at(err, QN_ERR_DATA, NULL, 0, column->name,
                               "the Arrow type '%.40s' cannot be read: cast the column",
                               format ? format : "");
    column->kind = format[0];
    return QN_OK;
}

static qn_status check_dictionary(const struct ArrowSchema *schema, arrow_column *column,
                                  qn_error *err) {
    arrow_column texts = {.name = column->name};
    QN_TRY(check_format(schema->dictionary->format, &texts, err));
    if (!strchr("cCsSiIlL", column->kind) || (texts.kind != 'u' && texts.kind != 'U') ||
        schema->dictionary->dictionary)
        return refuse(column->name, err, "only dictionaries of utf8 texts can be read");
    const struct ArrowArray *dict = column->array->dictionary;
    QN_TRY(check_array(dict, texts.kind, column->name, 0, err));
    if (dict->length > 0 && !dict->buffers[1])
        return refuse(column->name, err, "the Arrow dictionary has no values");
    column->dict_kind = texts.kind;
    return QN_OK;
}

/* That the input can hold what the column has. */
static qn_status check_type(const arrow_column *column, qn_error *err) {
    const bool is_text = column->dict_kind || column->kind == 'u' || column->kind == 'U';
    if (column->kind == 'n' || is_text)
        return QN_OK;
    if ((column->kind == 't') != (column->type == QN_TYPE_TIME) &&
        (column->kind == 't' || !strchr("lL", column->kind)))
        return qn_error_set_at(err, QN_ERR_DATA, NULL, 0, column->name,
                               "the model was trained on a %s, but this is a %s",
                               qn_type_name(column->type), column->kind == 't' ? "time" : "number");
    return QN_OK;
}

static qn_status add_column(arrow_table *table, const struct ArrowSchema *schema,
                            const struct ArrowArray *array, const qn_schema *inputs,
                            int32_t i_input, qn_error *err) {
    arrow_column column = {.array = array,
                           .name = schema->name,
                           .i_input = i_input,
                           .type = inputs->columns[i_input].type};
    const int64_t offset = table->array->offset;
    QN_TRY(check_format(schema->format, &column, err));
    QN_TRY(check_array(array, column.kind, column.name, offset + table->array->length, err));
    if (schema->dictionary)
        QN_TRY(check_dictionary(schema, &column, err));
    QN_TRY(check_type(&column, err));
    column.first = array->offset + offset;
    table->columns[table->n_columns++] = column;
    return QN_OK;
}

static qn_status check_table(const struct ArrowSchema *schema, const struct ArrowArray *array,
                             qn_error *err) {
    QN_FAIL_IF(!schema || !array || !schema->release || !array->release, err, QN_ERR_USAGE,
               "the Arrow schema or array is NULL or was released");
    QN_FAIL_IF(!schema->format || strcmp(schema->format, "+s") != 0, err, QN_ERR_DATA,
               "a table is a struct array ('+s'), not '%.40s'",
               schema->format ? schema->format : "");
    QN_FAIL_IF(schema->n_children != array->n_children || schema->n_children < 0 ||
                   schema->n_children > QN_LIMIT_COLUMNS ||
                   (schema->n_children && (!schema->children || !array->children)),
               err, QN_ERR_DATA, "the Arrow schema has %lld columns and the array %lld",
               (long long)schema->n_children, (long long)array->n_children);
    QN_FAIL_IF(!holds_rows(array, 0) || array->n_buffers != 1 ||
                   (array->null_count != 0 && !array->buffers),
               err, QN_ERR_DATA, "the Arrow array is damaged");
    return QN_OK;
}

/* Which columns are which inputs, by the rules of the options. */
static qn_status find_columns(const struct ArrowSchema *schema, const qn_options *options,
                              qn_rows_reader *reader, qn_error *err) {
    qn_rows_reader_set_policy(reader,
                              (qn_rows_policy){.refuse_extra = options->refuse_extra,
                                               .absent_is_null = options->absent_is_missing});
    QN_TRY(qn_rows_columns_begin(reader, err));
    for (int64_t i = 0; i < schema->n_children; i++) {
        const struct ArrowSchema *child = schema->children[i];
        QN_FAIL_IF(!child || !child->release || !child->name, err, QN_ERR_DATA,
                   "column %lld of the Arrow schema has no name or was released", (long long)i + 1);
        QN_TRY(qn_rows_columns_add(reader, child->name, strlen(child->name), err));
    }
    return qn_rows_columns_end(reader, err);
}

static qn_status table_init(arrow_table *table, qn_rows *rows, const struct ArrowSchema *schema,
                            const struct ArrowArray *array, const qn_options *options,
                            qn_error *err) {
    const qn_schema *inputs = qn_model_inputs(qn_rows_model(rows));
    qn_cleanup(qn_rows_reader_free) qn_rows_reader *reader = NULL;
    QN_TRY(check_table(schema, array, err));
    QN_TRY(qn_rows_reader_new(rows, inputs, &reader, err));
    QN_TRY(find_columns(schema, options, reader, err));
    table->array = array;
    table->columns = qn_new_array(arrow_column, schema->n_children);
    if (!table->columns)
        return qn_error_memory(err);
    for (int32_t i = 0; i < (int32_t)schema->n_children; i++) {
        const int32_t to = qn_rows_columns_input(reader, i);
        if (to >= 0)
            QN_TRY(add_column(table, schema->children[i], array->children[i], inputs, to, err));
    }
    return QN_OK;
}

/* --- values ----------------------------------------------------------------------------------- */

static bool bit_at(const void *bits, int64_t i) {
    return ((const uint8_t *)bits)[i >> 3] >> (i & 7) & 1;
}

static bool is_null(const struct ArrowArray *array, int64_t i) {
    return array->null_count != 0 && array->buffers[0] && !bit_at(array->buffers[0], i);
}

/* Item i of a buffer, which need not be aligned. */
#define ITEM(type, values, i)                                                        \
    __extension__({                                                                  \
        type item_;                                                                  \
        memcpy(&item_, (const char *)(values) + (i) * (int64_t)sizeof item_, sizeof item_); \
        item_;                                                                       \
    })

/* A whole number of up to 64 bits; those of uint64 above INT64_MAX come out negative. */
static int64_t whole_at(char kind, const void *values, int64_t i) {
    switch (kind) {
    case 'c': return ITEM(int8_t, values, i);
    case 'C': return ITEM(uint8_t, values, i);
    case 's': return ITEM(int16_t, values, i);
    case 'S': return ITEM(uint16_t, values, i);
    case 'i': return ITEM(int32_t, values, i);
    case 'I': return ITEM(uint32_t, values, i);
    default: return ITEM(int64_t, values, i);
    }
}

static qn_status put_text(const struct ArrowArray *array, char kind, const char *name, int64_t i,
                          qn_rows *rows, int64_t i_row, int32_t i_input, qn_error *err) {
    const void *offsets = array->buffers[1];
    const char *bytes = array->buffers[2];
    const int64_t from = whole_at(kind == 'u' ? 'i' : 'l', offsets, i);
    const int64_t to = whole_at(kind == 'u' ? 'i' : 'l', offsets, i + 1);
    if (from < 0 || to < from || (to > from && !bytes))
        return refuse(name, err, "the Arrow array's offsets are damaged");
    return qn_rows_set_text(rows, i_row, i_input, to > from ? bytes + from : "",
                            (size_t)(to - from), err);
}

static qn_status put_coded(const arrow_column *column, int64_t i, qn_rows *rows, int64_t i_row,
                           qn_error *err) {
    const struct ArrowArray *dict = column->array->dictionary;
    const int64_t code = whole_at(column->kind, column->array->buffers[1], i);
    if (code < 0 || code >= dict->length)
        return refuse(column->name, err, "an index is not in its Arrow dictionary");
    if (is_null(dict, dict->offset + code))
        return QN_OK;
    return put_text(dict, column->dict_kind, column->name, dict->offset + code, rows, i_row,
                    column->i_input, err);
}

static qn_status put_time(const arrow_column *column, int64_t i, qn_rows *rows, int64_t i_row,
                          qn_error *err) {
    static const int64_t day_us = INT64_C(86400000000);
    const int64_t value =
        whole_at(column->unit == 'D' ? 'i' : 'l', column->array->buffers[1], i);
    const int64_t factor = column->unit == 'D'   ? day_us
                           : column->unit == 's' ? 1000000
                           : column->unit == 'm' ? 1000
                                                 : 1;
    int64_t us = value;
    if (column->unit == 'n')
        us = value / 1000 - (value % 1000 < 0);
    else if (__builtin_mul_overflow(value, factor, &us))
        return refuse(column->name, err, "a time is beyond what microseconds in 64 bits can tell");
    return qn_rows_set_i64(rows, i_row, column->i_input, us, err);
}

static qn_status put_value(const arrow_column *column, int64_t i, qn_rows *rows, int64_t i_row,
                           qn_error *err) {
    const void *values = column->array->buffers[1];
    const int32_t i_input = column->i_input;
    if (column->dict_kind)
        return put_coded(column, i, rows, i_row, err);
    switch (column->kind) {
    case 'g': return qn_rows_set_number(rows, i_row, i_input, ITEM(double, values, i), err);
    case 'f': return qn_rows_set_number(rows, i_row, i_input, (double)ITEM(float, values, i), err);
    case 'b': return qn_rows_set_bool(rows, i_row, i_input, bit_at(values, i), err);
    case 'u':
    case 'U':
        return put_text(column->array, column->kind, column->name, i, rows, i_row, i_input, err);
    case 't': return put_time(column, i, rows, i_row, err);
    default: break;
    }
    const int64_t whole = whole_at(column->kind, values, i);
    if (column->kind == 'L' && whole < 0)
        return qn_rows_set_number(rows, i_row, i_input, (double)(uint64_t)whole, err);
    return qn_rows_set_i64(rows, i_row, i_input, whole, err);
}

/* Rows first .. first + n - 1 of the table into rows i_to ... A row that is null as a whole stays
 * missing. */
static qn_status put_rows(const arrow_table *table, qn_rows *rows, int64_t first, int64_t n,
                          int64_t i_to, qn_error *err) {
    for (int32_t c = 0; c < table->n_columns; c++) {
        const arrow_column *column = &table->columns[c];
        for (int64_t r = 0; r < n && column->kind != 'n'; r++)
            if (!is_null(column->array, column->first + first + r) &&
                !is_null(table->array, table->array->offset + first + r))
                QN_TRY(put_value(column, column->first + first + r, rows, i_to + r, err));
    }
    return QN_OK;
}

/* --- calls ------------------------------------------------------------------------------------ */

qn_status qn_rows_add_arrow(qn_rows *rows, const struct ArrowSchema *schema,
                            const struct ArrowArray *array, const qn_options *options,
                            qn_error *err) {
    qn_options o;
    qn_cleanup(table_done) arrow_table table = {0};
    QN_TRY(qn__options_read(options, &o, err));
    QN_TRY(table_init(&table, rows, schema, array, &o, err));
    const int64_t i_to = qn_rows_count(rows);
    QN_TRY(qn_rows_add(rows, array->length, err));
    return put_rows(&table, rows, 0, array->length, i_to, err);
}

static qn_status fill_from_table(const void *input, qn_rows *rows, int64_t first, int64_t n,
                                 qn_error *err) {
    return put_rows(input, rows, first, n, 0, err);
}

qn_status qn_predict_arrow(const qn_model *model, const struct ArrowSchema *schema,
                           const struct ArrowArray *array, const qn_options *options,
                           double *scores, qn_error *err) {
    qn_options o;
    qn_cleanup(table_done) arrow_table table = {0};
    qn_cleanup(qn_rows_free) qn_rows *rows = NULL;
    QN_TRY(qn__options_read(options, &o, err));
    QN_TRY(qn_rows_new(model, &rows, err));
    QN_TRY(table_init(&table, rows, schema, array, &o, err));
    return qn__predict_blocks(model, array->length, options, fill_from_table, &table, scores, err);
}
