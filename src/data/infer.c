#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "base/mem.h"
#include "data/source_int.h"

/* What one look at all values of a text column counts. */
enum {
    N_VALUES,    /* not missing */
    N_NUMBERS,
    N_WHOLE,
    N_ZERO_LED,  /* whole numbers written with leading zeros: identifiers */
    N_BOOLS,
    N_TIMES,
    N_BYTES,     /* total length */
    N_SPACES,    /* total inner spaces */
    N_DISTINCT,  /* about */
    N_COUNTS,
};
enum { COLUMNS_PER_LOOK = 100 };

/* How a column of `base` becomes a column of the frame. */
typedef struct column_plan {
    char *value;   /* owned: SQL of the value before conversion */
    qn_type type;
    bool stated;   /* by the user or a model */
    bool is_text;  /* `value` is VARCHAR: its type is decided by looking */
    bool convert;  /* the value must be converted, which can fail */
    int64_t counts[N_COUNTS];
} column_plan;

typedef struct plan_list {
    column_plan *items; /* owned */
    size_t n;
} plan_list;

static void plans_done(plan_list *plans) {
    for (size_t j = 0; plans->items && j < plans->n; j++)
        qn_freep(&plans->items[j].value);
    qn_freep(&plans->items);
}

const char *qn__sql_type(qn_type type) {
    switch (type) {
    case QN_TYPE_BOOL: return "BOOLEAN";
    case QN_TYPE_I64: return "BIGINT";
    case QN_TYPE_F64: return "DOUBLE";
    case QN_TYPE_TIME: return "TIMESTAMP";
    default: return "VARCHAR";
    }
}

qn_status qn__describe(qn__db *db, const char *relation, const qn_job *job, qn__names *ret_names,
                       qn__names *ret_types, qn_error *err) {
    qn_cleanup(qn_freep) char *sql = qn_format("DESCRIBE SELECT * FROM %s", relation);
    if (!sql)
        return qn_error_memory(err);
    qn_cleanup(qn__rows_done) qn__rows rows = {0};
    QN_TRY(qn__db_query(db, sql, false, job, &rows, err));
    for (;;) {
        QN_TRY(qn__rows_fetch(&rows, err));
        if (!rows.chunk)
            return QN_OK;
        for (int64_t i = 0; i < rows.n_chunk; i++) {
            size_t n = 0;
            const char *text = qn__rows_text(&rows, 0, i, &n);
            QN_TRY(qn__names_add(ret_names, text ? text : "", n, err));
            text = qn__rows_text(&rows, 1, i, &n);
            QN_TRY(qn__names_add(ret_types, text ? text : "", n, err));
        }
    }
}

static bool is_one_of(const char *type, const char *const *names) {
    for (; *names; names++)
        if (strcmp(type, *names) == 0)
            return true;
    return false;
}

static bool native_type(const char *sql_type, qn_type *ret_type) {
    static const char *const whole[] = {"TINYINT",  "SMALLINT",  "INTEGER",  "BIGINT",
                                        "UTINYINT", "USMALLINT", "UINTEGER", NULL};
    static const char *const real[] = {"FLOAT", "DOUBLE", "UBIGINT", "HUGEINT", "UHUGEINT", NULL};
    if (strcmp(sql_type, "BOOLEAN") == 0)
        *ret_type = QN_TYPE_BOOL;
    else if (is_one_of(sql_type, whole))
        *ret_type = QN_TYPE_I64;
    else if (is_one_of(sql_type, real) || strncmp(sql_type, "DECIMAL", 7) == 0)
        *ret_type = QN_TYPE_F64;
    else if (strcmp(sql_type, "DATE") == 0 || strncmp(sql_type, "TIMESTAMP", 9) == 0)
        *ret_type = QN_TYPE_TIME;
    else
        return false;
    return true;
}

/* Text without the spaces around it, NULL when it means missing. */
static void put_text_value(const qn_source *source, const char *name, const char *sql_type,
                           qn_buf *out) {
    qn_cleanup(qn_buf_done) qn_buf value = {0};
    const bool is_json = strcmp(sql_type, "JSON") == 0, is_text = strcmp(sql_type, "VARCHAR") == 0;
    qn_buf_put_text(&value, is_json   ? "trim(json_extract_string("
                            : is_text ? "trim("
                                      : "trim(CAST(");
    qn__sql_name(&value, name);
    qn_buf_put_text(&value, is_json ? ", '$'))" : is_text ? ")" : " AS VARCHAR))");
    if (value.status != QN_OK)
        out->status = value.status;
    qn_buf_printf(out, "CASE WHEN %s IN (", qn_buf_text(&value));
    for (size_t i = 0; i < source->missing.n; i++) {
        qn_buf_put_text(out, i ? ", " : "");
        qn__sql_text(out, source->missing.items[i]);
    }
    qn_buf_printf(out, ") THEN NULL ELSE %s END", qn_buf_text(&value));
}

static bool is_text_type(qn_type type) {
    return type == QN_TYPE_CATEGORY || type == QN_TYPE_TEXT;
}

static qn_status plan_column(const qn_source *source, const char *name, const char *sql_type,
                             const qn__stated *stated, column_plan *plan, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf value = {0};
    qn_type native = QN_TYPE_CATEGORY;
    const bool is_native = native_type(sql_type, &native);
    plan->is_text = !is_native;
    plan->type = native;
    plan->stated = qn__stated_find(stated, name, &plan->type);
    if (is_native && plan->stated && is_text_type(plan->type)) {
        qn_buf_put_text(&value, "CAST(");
        qn__sql_name(&value, name);
        qn_buf_put_text(&value, " AS VARCHAR)");
    } else if (is_native) {
        qn__sql_name(&value, name);
    } else {
        put_text_value(source, name, sql_type, &value);
    }
    plan->convert = plan->stated && !is_text_type(plan->type) &&
                    !(is_native && (native == plan->type ||
                                    (native == QN_TYPE_I64 && plan->type == QN_TYPE_F64)));
    QN_TRY(qn_buf_status(&value, err));
    plan->value = qn_buf_steal(&value);
    return plan->value ? QN_OK : qn_error_memory(err);
}

static void put_counts(const char *value, qn_buf *sql) {
    const char *v = value;
    qn_buf_printf(sql, "count(%s), count(TRY_CAST(%s AS DOUBLE)), ", v, v);
    qn_buf_printf(sql, "count(*) FILTER (TRY_CAST(%s AS BIGINT) = TRY_CAST(%s AS DOUBLE)), ", v, v);
    qn_buf_printf(sql, "count(*) FILTER (regexp_full_match(%s, '[+-]?0[0-9]+')), ", v);
    qn_buf_printf(sql, "count(*) FILTER (lower(%s) IN ('true', 'false')), ", v);
    qn_buf_printf(sql, "count(TRY_CAST(%s AS TIMESTAMP)), ", v);
    qn_buf_printf(sql, "CAST(sum(strlen(%s)) AS BIGINT), ", v);
    qn_buf_printf(sql, "CAST(sum(strlen(%s) - strlen(replace(%s, ' ', ''))) AS BIGINT), ", v, v);
    qn_buf_printf(sql, "approx_count_distinct(%s)", v);
}

/* One statement counts for many columns: the table is passed over once. */
static qn_status count_values(qn_source *source, plan_list *plans, const qn_job *job,
                              qn_error *err) {
    for (size_t j = 0; j < plans->n;) {
        qn_cleanup(qn_buf_done) qn_buf sql = {0};
        column_plan *looked[COLUMNS_PER_LOOK];
        int64_t counts[COLUMNS_PER_LOOK * N_COUNTS];
        int n = 0;
        qn_buf_put_text(&sql, "SELECT ");
        for (; j < plans->n && n < COLUMNS_PER_LOOK; j++) {
            if (!plans->items[j].is_text)
                continue;
            qn_buf_put_text(&sql, n ? ", " : "");
            put_counts(plans->items[j].value, &sql);
            looked[n++] = &plans->items[j];
        }
        if (!n)
            continue;
        qn_buf_printf(&sql, " FROM %s", source->base);
        QN_TRY(qn_buf_status(&sql, err));
        QN_TRY(qn__db_numbers(&source->db, sql.data, job, counts, n * N_COUNTS, err));
        for (int i = 0; i < n; i++)
            memcpy(looked[i]->counts, counts + i * N_COUNTS, sizeof looked[i]->counts);
    }
    return QN_OK;
}

/* Long or wordy and mostly different: text to be read rather than names to be counted. */
static bool looks_like_free_text(const int64_t *counts) {
    const double n = (double)counts[N_VALUES];
    const double mean_bytes = (double)counts[N_BYTES] / n,
                 mean_words = 1 + (double)counts[N_SPACES] / n;
    const double distinct = (double)counts[N_DISTINCT] / n;
    return n >= 20 && distinct > 0.3 && (mean_bytes > 40 || mean_words >= 4);
}

static qn_type type_of_text(const int64_t *counts) {
    const int64_t n = counts[N_VALUES];
    if (!n)
        return QN_TYPE_CATEGORY;
    if (!counts[N_ZERO_LED] && counts[N_NUMBERS] == n)
        return counts[N_WHOLE] == n ? QN_TYPE_I64 : QN_TYPE_F64;
    if (counts[N_BOOLS] == n)
        return QN_TYPE_BOOL;
    if (counts[N_TIMES] == n)
        return QN_TYPE_TIME;
    return looks_like_free_text(counts) ? QN_TYPE_TEXT : QN_TYPE_CATEGORY;
}

static void put_converted(const char *value, qn_type type, qn_buf *out) {
    if (type == QN_TYPE_I64) /* a cast alone would round */
        qn_buf_printf(
            out,
            "CASE WHEN TRY_CAST(%s AS BIGINT) = TRY_CAST(%s AS DOUBLE) THEN TRY_CAST(%s AS BIGINT) "
            "ELSE NULL END",
            value, value, value);
    else
        qn_buf_printf(out, "TRY_CAST(%s AS %s)", value, qn__sql_type(type));
}

/* The file and row of the n-th row of all files. */
static qn_status place_of_row(qn_source *source, int64_t row, const char **ret_file,
                              int64_t *ret_row, const qn_job *job, qn_error *err) {
    *ret_file = source->is_query ? "the query's result" : source->label;
    *ret_row = row;
    for (size_t i = 0; source->files.n > 1 && !source->is_query && i < source->files.n; i++) {
        qn_cleanup(qn_buf_done) qn_buf sql = {0};
        int64_t n = 0;
        qn_buf_put_text(&sql, "SELECT count(*) FROM ");
        qn__sql_name(&sql, source->files.items[i]);
        QN_TRY(qn_buf_status(&sql, err));
        QN_TRY(qn__db_numbers(&source->db, sql.data, job, &n, 1, err));
        *ret_file = source->files.items[i];
        if (*ret_row <= n)
            break;
        *ret_row -= n;
    }
    return QN_OK;
}

static qn_status find_misfit(qn_source *source, const char *relation, const char *name,
                             const char *value, qn_type type, const qn_job *job, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf sql = {0};
    qn_buf_printf(
        &sql,
        "SELECT CAST(i AS VARCHAR), CAST(v AS VARCHAR) FROM (SELECT row_number() OVER () AS i, "
        "%s AS v FROM %s) WHERE v IS NOT NULL AND (",
        value, relation);
    put_converted("v", type, &sql);
    qn_buf_put_text(&sql, ") IS NULL ORDER BY i LIMIT 1");
    QN_TRY(qn_buf_status(&sql, err));
    qn_cleanup(qn__rows_done) qn__rows rows = {0};
    QN_TRY(qn__db_query(&source->db, sql.data, false, job, &rows, err));
    QN_TRY(qn__rows_fetch(&rows, err));
    if (!rows.n_chunk)
        return QN_OK;
    size_t n = 0, n_row = 0;
    const char *row_text = qn__rows_text(&rows, 0, 0, &n_row);
    char digits[24];
    snprintf(digits, sizeof digits, "%.*s", (int)n_row, row_text);
    const char *text = qn__rows_text(&rows, 1, 0, &n), *file = NULL;
    int64_t row = 0;
    QN_TRY(place_of_row(source, strtoll(digits, NULL, 10), &file, &row, job, err));
    return qn_error_set_at(
        err, QN_ERR_DATA, file, row, name,
        "'%.*s' is not a %s; list it under data.missing, or declare the column's type "
        "under data.types",
        n > 100 ? 100 : (int)n, text ? text : "", qn__type_wanted(type));
}

/* A column that is almost all numbers must not become a category because of one typing error. */
static qn_status decide(qn_source *source, const char *name, column_plan *plan, const qn_job *job,
                        qn_error *err) {
    const int64_t *counts = plan->counts;
    if (plan->stated)
        return plan->convert
                   ? find_misfit(source, source->base, name, plan->value, plan->type, job, err)
                   : QN_OK;
    if (!plan->is_text)
        return QN_OK;
    plan->type = type_of_text(counts);
    plan->convert = !is_text_type(plan->type);
    if (plan->type == QN_TYPE_CATEGORY && !counts[N_ZERO_LED] && counts[N_NUMBERS] &&
        (double)counts[N_NUMBERS] >= 0.95 * (double)counts[N_VALUES])
        return find_misfit(source, source->base, name, plan->value, QN_TYPE_F64, job, err);
    return QN_OK;
}

static qn_status write_select(qn_source *source, const qn__names *names, const plan_list *plans,
                              qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf sql = {0};
    qn_cleanup(qn_schema_done) qn_schema schema = {0};
    schema.columns = qn_new_array(qn_schema_column, plans->n);
    if (!schema.columns)
        return qn_error_memory(err);
    qn_buf_put_text(&sql, "SELECT ");
    for (size_t j = 0; j < plans->n; j++) {
        const column_plan *plan = &plans->items[j];
        qn_buf_put_text(&sql, j ? ", " : "");
        if (plan->convert)
            put_converted(plan->value, plan->type, &sql);
        else
            qn_buf_printf(&sql, "CAST(%s AS %s)", plan->value, qn__sql_type(plan->type));
        qn_buf_put_text(&sql, " AS ");
        qn__sql_name(&sql, names->items[j]);
        QN_TRY(qn_schema_add(&schema, names->items[j], plan->type, err));
    }
    qn_buf_printf(&sql, " FROM %s", source->base);
    QN_TRY(qn_buf_status(&sql, err));
    qn_freep(&source->select);
    source->select = qn_buf_steal(&sql);
    if (!source->select)
        return qn_error_memory(err);
    qn_schema_done(&source->schema);
    source->schema = schema;
    schema = (qn_schema){0};
    return QN_OK;
}

qn_status qn__infer(qn_source *source, const qn__stated *stated, const qn_job *job, qn_error *err) {
    qn_cleanup(qn__names_done) qn__names names = {0};
    qn_cleanup(qn__names_done) qn__names types = {0};
    qn_cleanup(plans_done) plan_list plans = {0};
    QN_TRY(qn__describe(&source->db, source->base, job, &names, &types, err));
    QN_FAIL_IF(names.n > QN_LIMIT_COLUMNS, err, QN_ERR_LIMIT,
               "%s has %zu columns; at most %d are allowed", source->label, names.n,
               QN_LIMIT_COLUMNS);
    plans.items = qn_new_array(column_plan, names.n);
    if (!plans.items)
        return qn_error_memory(err);
    plans.n = names.n;
    for (size_t j = 0; j < names.n; j++)
        QN_TRY(plan_column(source, names.items[j], types.items[j], stated, &plans.items[j], err));
    QN_TRY(count_values(source, &plans, job, err));
    for (size_t j = 0; j < names.n; j++)
        QN_TRY(decide(source, names.items[j], &plans.items[j], job, err));
    return write_select(source, &names, &plans, err);
}
