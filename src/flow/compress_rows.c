#include <math.h>

#include "base/mem.h"
#include "data/source.h"
#include "flow/compress_int.h"
#include "flow/predict_file.h"
#include "flow/run_int.h"

enum { CHUNK_ROWS = 16384, MIN_ROWS = 30, MIN_QUERIES = 5 };

void qn__row_parts_done(qn__row_parts *parts) {
    for (int32_t i = 0; i < parts->n; i++) {
        qn_matrix_free(&parts->x[i]);
        qn_freep(&parts->y[i]);
    }
    qn_freep(&parts->x);
    qn_freep(&parts->y);
    qn_freep(&parts->weight);
    qn_freep(&parts->hash);
    qn_freep(&parts->query);
}

static qn_status grow(qn__row_parts *parts, qn_error *err) {
    if (parts->n < parts->cap)
        return QN_OK;
    int32_t cap = 2 * parts->cap + 8;
    qn_matrix **x = qn_realloc(parts->x, (size_t)cap, sizeof *x);
    if (x)
        parts->x = x;
    double **y = qn_realloc(parts->y, (size_t)cap, sizeof *y);
    if (y)
        parts->y = y;
    if (!x || !y)
        return qn_error_memory(err);
    parts->cap = cap;
    return QN_OK;
}

static qn_status grow_rows(qn__row_parts *parts, const qn__row_columns *columns, int64_t more,
                           qn_error *err) {
    if (parts->n_rows + more <= parts->cap_rows)
        return QN_OK;
    int64_t cap = 2 * parts->cap_rows + more;
    double *weight = columns->weight ? qn_realloc(parts->weight, (size_t)cap, sizeof *weight)
                                     : NULL;
    if (weight)
        parts->weight = weight;
    uint64_t *hash = columns->query ? qn_realloc(parts->hash, (size_t)cap, sizeof *hash) : NULL;
    if (hash)
        parts->hash = hash;
    if ((columns->weight && !weight) || (columns->query && !hash))
        return qn_error_memory(err);
    parts->cap_rows = cap;
    return QN_OK;
}

/* A chunk of the file. */
typedef struct chunk {
    const qn_frame *frame;
    const char *input;
    int64_t first;           /* row of the file */
    double *y;               /* owned; NaN: no label */
    const qn_column *weight, *query; /* NULL: none */
} chunk;

static void chunk_done(chunk *c) {
    qn_freep(&c->y);
}

static qn_status chunk_init(chunk *c, const qn_model *model, const qn__row_columns *columns,
                            qn_error *err) {
    qn_status status = qn_target_values(c->frame, qn_model_target(model), &c->y, err);
    if (status == QN_ERR_DATA)
        qn__run_name_file(c->input, err);
    QN_TRY(status);
    if (columns->weight)
        QN_TRY(qn_frame_get(c->frame, columns->weight, &c->weight, err));
    if (columns->query)
        QN_TRY(qn_frame_get(c->frame, columns->query, &c->query, err));
    return QN_OK;
}

static qn_status check_row(const chunk *c, int64_t row, qn_error *err) {
    const qn_column *bad = NULL;
    double w = c->weight ? qn_column_number(c->weight, row) : 1;
    if (!(w > 0 && isfinite(w)))
        bad = c->weight;
    else if (c->query && !qn_column_is_valid(c->query, row))
        bad = c->query;
    if (!bad)
        return QN_OK;
    qn_status status = qn_error_set_at(err, QN_ERR_DATA, NULL, c->first + row + 1, bad->name, "%s",
                                       bad == c->query ? "the query is missing"
                                                       : "a weight must be a number above 0");
    qn__run_name_file(c->input, err);
    return status;
}

/* The given rows of a chunk, with their labels. */
static qn_status add_part(const qn_model *model, const chunk *c, const qn__row_columns *columns,
                          const int64_t *rows, int64_t n, const qn_job *job, qn__row_parts *parts,
                          qn_error *err) {
    if (n == 0)
        return QN_OK;
    QN_TRY(grow(parts, err));
    QN_TRY(grow_rows(parts, columns, n, err));
    qn_cleanup(qn_freep) double *labels = qn_new_array(double, n);
    qn_matrix *x = NULL;
    if (!labels)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++) {
        labels[i] = c->y[rows[i]];
        if (c->weight)
            parts->weight[parts->n_rows + i] = qn_column_number(c->weight, rows[i]);
        if (c->query)
            parts->hash[parts->n_rows + i] = qn_split_group_hash(c->query, rows[i], 0);
    }
    QN_TRY(qn_pipeline_apply(qn_model_pipeline(model), c->frame, rows, n, job, &x, err));
    parts->x[parts->n] = x;
    parts->y[parts->n++] = qn_steal(&labels);
    parts->n_rows += n;
    return QN_OK;
}

/* Whether a row judges, when so many labelled rows came before it. */
static bool judges(const chunk *c, int64_t row, int64_t n_before) {
    return c->query ? qn_split_group_hash(c->query, row, 1) & 1 : n_before % 2 == 1;
}

/* judge NULL: all rows go to prune. */
static qn_status add_chunk(const qn_model *model, const qn__row_columns *columns, chunk *c,
                           const qn_job *job, qn__row_parts *prune, qn__row_parts *judge,
                           qn_error *err) {
    const int64_t n = c->frame->n_rows;
    qn_cleanup(qn_freep) int64_t *to_prune = qn_new_array(int64_t, n);
    qn_cleanup(qn_freep) int64_t *to_judge = qn_new_array(int64_t, n);
    if (!to_prune || !to_judge)
        return qn_error_memory(err);
    QN_TRY(chunk_init(c, model, columns, err));
    int64_t n_prune = 0, n_judge = 0, n_before = prune->n_rows + (judge ? judge->n_rows : 0);
    for (int64_t r = 0; r < n; r++) {
        if (isnan(c->y[r]))
            continue;
        QN_TRY(check_row(c, r, err));
        if (judge && judges(c, r, n_before + n_prune + n_judge))
            to_judge[n_judge++] = r;
        else
            to_prune[n_prune++] = r;
    }
    QN_TRY(add_part(model, c, columns, to_prune, n_prune, job, prune, err));
    return judge ? add_part(model, c, columns, to_judge, n_judge, job, judge, err) : QN_OK;
}

static qn_status number_queries(qn__row_parts *parts, qn_error *err) {
    if (!parts->hash)
        return QN_OK;
    parts->query = qn_new_array(int32_t, parts->n_rows);
    if (!parts->query)
        return qn_error_memory(err);
    return qn_split_number_groups(parts->hash, parts->n_rows, parts->query, &parts->n_queries,
                                  err);
}

static qn_status read_rows(const qn_model *model, const char *input,
                           const qn__row_columns *columns, const qn_job *job,
                           qn__row_parts *prune, qn__row_parts *judge, qn_error *err) {
    int64_t n_read = 0;
    const char *target = qn_model_target(model)->name;
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_schema_done) qn_schema schema = {0};
    qn_source_options options = {.path = input, .header = -1};
    options.missing = qn_model_missing(model, &options.n_missing);
    QN_TRY(qn_labelled_schema(model, columns->weight, columns->query, &schema, err));
    QN_TRY(qn_source_open_as(&options, &schema, job, &source, err));
    for (;;) {
        qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
        QN_TRY(qn_job_check(job, err));
        QN_TRY(qn_source_next(source, CHUNK_ROWS, job, &frame, err));
        if (!frame)
            break;
        qn_cleanup(chunk_done) chunk c = {.frame = frame, .input = input, .first = n_read};
        n_read += frame->n_rows;
        QN_TRY(add_chunk(model, columns, &c, job, prune, judge, err));
        qn_job_progress(job, "read", (double)(prune->n_rows + (judge ? judge->n_rows : 0)), 0,
                        NULL);
    }
    QN_FAIL_IF(prune->n_rows + (judge ? judge->n_rows : 0) == 0, err, QN_ERR_DATA,
               "%s has no row with a %s", input, target);
    QN_TRY(number_queries(prune, err));
    return judge ? number_queries(judge, err) : QN_OK;
}

qn_status qn__labelled_rows(const qn_model *model, const char *input,
                            const qn__row_columns *columns, const qn_job *job,
                            qn__row_parts *parts, qn_error *err) {
    return read_rows(model, input, columns, job, parts, NULL, err);
}

qn_status qn__compress_rows(const qn_model *model, const char *input, const qn_job *job,
                            qn__row_parts *prune, qn__row_parts *judge, qn_error *err) {
    const qn__row_columns columns = {.query = qn_query_column(model)};
    QN_TRY(read_rows(model, input, &columns, job, prune, judge, err));
    const char *target = qn_model_target(model)->name;
    int64_t n = prune->n_rows + judge->n_rows;
    QN_FAIL_IF(n < MIN_ROWS, err, QN_ERR_DATA,
               "%s has %lld rows with a %s: compressing needs at least %d, better thousands", input,
               (long long)n, target, MIN_ROWS);
    const int32_t fewest = prune->n_queries < judge->n_queries ? prune->n_queries
                                                               : judge->n_queries;
    QN_FAIL_IF(columns.query && fewest < MIN_QUERIES, err, QN_ERR_DATA,
               "%s has %d queries to prune by and %d to judge by: compressing needs at least %d of "
               "each, better hundreds", input, (int)prune->n_queries, (int)judge->n_queries,
               MIN_QUERIES);
    return QN_OK;
}
