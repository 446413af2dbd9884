#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/column_int.h"
#include "data/frame.h"

struct qn_frame_builder {
    qn__growing *columns; /* owned */
    int32_t n_columns;
};

qn_status qn_frame_builder_new(qn_frame_builder **ret_builder, qn_error *err) {
    qn_frame_builder *builder = qn_new(qn_frame_builder);
    if (!builder)
        return qn_error_memory(err);
    *ret_builder = builder;
    return QN_OK;
}

void qn_frame_builder_free(qn_frame_builder **builder) {
    if (!builder || !*builder)
        return;
    for (int32_t j = 0; j < (*builder)->n_columns; j++)
        qn__growing_done(&(*builder)->columns[j]);
    qn_freep(&(*builder)->columns);
    qn_freep(builder);
}

qn_status qn_frame_builder_add_column(qn_frame_builder *builder, const char *name, qn_type type,
                                      qn_error *err) {
    QN_FAIL_IF(builder->n_columns >= QN_LIMIT_COLUMNS, err, QN_ERR_LIMIT,
               "a table has at most %d columns", QN_LIMIT_COLUMNS);
    for (int32_t j = 0; j < builder->n_columns; j++)
        QN_FAIL_IF(strcmp(builder->columns[j].column.name, name) == 0, err, QN_ERR_DATA,
                   "column '%s' appears twice", name);
    const int32_t n = builder->n_columns;
    if ((n & (n - 1)) == 0) { /* room for the next power of two */
        qn__growing *columns = qn_realloc(builder->columns, n ? 2 * (size_t)n : 1, sizeof *columns);
        if (!columns)
            return qn_error_memory(err);
        builder->columns = columns;
    }
    QN_TRY(qn__growing_init(&builder->columns[n], name, type, err));
    builder->n_columns++;
    return QN_OK;
}

static qn_status column_for_append(qn_frame_builder *builder, int32_t i_column, qn__growing **ret,
                                   qn_error *err) {
    QN_FAIL_IF(i_column < 0 || i_column >= builder->n_columns, err, QN_ERR_USAGE,
               "there is no column %d in a builder of %d columns", i_column, builder->n_columns);
    *ret = &builder->columns[i_column];
    return qn__growing_reserve(*ret, 1, err);
}

static qn_status refuse(const qn_column *column, const char *what, const char *wanted,
                        qn_error *err) {
    return qn_error_set_at(err, QN_ERR_DATA, NULL, column->n_rows + 1, column->name,
                           "'%s' is not a %s", what, wanted);
}

static const char *wanted_name(qn_type type) {
    switch (type) {
    case QN_TYPE_BOOL: return "truth value (true or false)";
    case QN_TYPE_I64: return "whole number";
    case QN_TYPE_TIME: return "time (2020-01-31 or 2020-01-31T12:30:00)";
    case QN_TYPE_F64: return "number";
    default: return "text";
    }
}

qn_status qn_frame_builder_null(qn_frame_builder *builder, int32_t i_column, qn_error *err) {
    qn__growing *growing = NULL;
    QN_TRY(column_for_append(builder, i_column, &growing, err));
    qn__growing_null(growing);
    return QN_OK;
}

qn_status qn_frame_builder_i64(qn_frame_builder *builder, int32_t i_column, int64_t value,
                               qn_error *err) {
    qn__growing *growing = NULL;
    QN_TRY(column_for_append(builder, i_column, &growing, err));
    const qn_type type = growing->column.type;
    if (type == QN_TYPE_CATEGORY || type == QN_TYPE_TEXT ||
        (type == QN_TYPE_BOOL && (value & ~INT64_C(1)))) {
        char text[QN_DOUBLE_TEXT];
        qn_double_to_text((double)value, text);
        return refuse(&growing->column, text, wanted_name(type), err);
    }
    qn__growing_i64(growing, value);
    return QN_OK;
}

qn_status qn_frame_builder_number(qn_frame_builder *builder, int32_t i_column, double value,
                                  qn_error *err) {
    qn__growing *growing = NULL;
    QN_TRY(column_for_append(builder, i_column, &growing, err));
    const qn_type type = growing->column.type;
    if (isnan(value)) {
        qn__growing_null(growing);
        return QN_OK;
    }
    if (type == QN_TYPE_F64) {
        qn__growing_number(growing, value);
        return QN_OK;
    }
    if (!(value >= -0x1p63 && value < 0x1p63) || value != floor(value)) {
        char text[QN_DOUBLE_TEXT];
        qn_double_to_text(value, text);
        return refuse(&growing->column, text, wanted_name(type), err);
    }
    return qn_frame_builder_i64(builder, i_column, (int64_t)value, err);
}

/* Numbers as text may be infinite; NaN is missing. */
static bool parse_number(const char *text, double *ret_value) {
    if (qn_text_to_double(text, ret_value))
        return true;
    const bool minus = *text == '-';
    const char *rest = text + (minus || *text == '+');
    if (strcasecmp(rest, "nan") == 0)
        *ret_value = NAN;
    else if (strcasecmp(rest, "inf") == 0 || strcasecmp(rest, "infinity") == 0)
        *ret_value = minus ? -INFINITY : INFINITY;
    else
        return false;
    return true;
}

static bool parse_bool(const char *text, int64_t *ret_value) {
    const bool yes = strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0;
    *ret_value = yes;
    return yes || strcasecmp(text, "false") == 0 || strcmp(text, "0") == 0;
}

static qn_status parse_value(qn__growing *growing, const char *bytes, size_t n, qn_error *err) {
    qn_cleanup(qn_freep) char *text = qn_strndup(bytes, n);
    if (!text)
        return qn_error_memory(err);
    const qn_type type = growing->column.type;
    double number = 0;
    int64_t whole = 0;
    bool fits = strlen(text) == n;
    if (fits && type == QN_TYPE_F64) {
        fits = parse_number(text, &number);
        if (fits)
            qn__growing_number(growing, number);
    } else if (fits) {
        fits = type == QN_TYPE_I64    ? qn_text_to_i64(text, &whole)
               : type == QN_TYPE_BOOL ? parse_bool(text, &whole)
                                      : qn__time_parse(bytes, n, &whole);
        if (fits)
            qn__growing_i64(growing, whole);
    }
    if (!fits)
        return refuse(&growing->column, n > 80 ? "..." : text, wanted_name(type), err);
    return QN_OK;
}

qn_status qn_frame_builder_text(qn_frame_builder *builder, int32_t i_column, const char *bytes,
                                size_t n, qn_error *err) {
    qn__growing *growing = NULL;
    QN_TRY(column_for_append(builder, i_column, &growing, err));
    const qn_type type = growing->column.type;
    if (type != QN_TYPE_CATEGORY && type != QN_TYPE_TEXT)
        return parse_value(growing, bytes, n, err);
    if (!qn_text_is_utf8(bytes, n))
        return qn_error_set_at(err, QN_ERR_DATA, NULL, growing->column.n_rows + 1,
                               growing->column.name, "the text is not UTF-8");
    return qn__growing_text(growing, bytes, n, err);
}

qn_status qn_frame_builder_finish(qn_frame_builder *builder, qn_frame **ret_frame, qn_error *err) {
    for (int32_t j = 1; j < builder->n_columns; j++)
        QN_FAIL_IF(builder->columns[j].column.n_rows != builder->columns[0].column.n_rows, err,
                   QN_ERR_USAGE, "column '%s' has %lld rows and column '%s' has %lld",
                   builder->columns[j].column.name, (long long)builder->columns[j].column.n_rows,
                   builder->columns[0].column.name, (long long)builder->columns[0].column.n_rows);
    QN_TRY(qn__growing_finish(builder->columns, builder->n_columns, ret_frame, err));
    qn_freep(&builder->columns);
    builder->n_columns = 0;
    return QN_OK;
}
