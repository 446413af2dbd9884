#include <math.h>

#include "base/mem.h"
#include "data/source.h"
#include "flow/compress_int.h"
#include "flow/predict_file.h"
#include "flow/run_int.h"

enum { CHUNK_ROWS = 16384, MIN_ROWS = 30 };

void qn__row_parts_done(qn__row_parts *parts) {
    for (int32_t i = 0; i < parts->n; i++) {
        qn_matrix_free(&parts->x[i]);
        qn_freep(&parts->y[i]);
    }
    qn_freep(&parts->x);
    qn_freep(&parts->y);
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

/* The given rows of a frame, with their labels. */
static qn_status add_part(const qn_model *model, const qn_frame *frame, const double *y,
                          const int64_t *rows, int64_t n, const qn_job *job, qn__row_parts *parts,
                          qn_error *err) {
    if (n == 0)
        return QN_OK;
    QN_TRY(grow(parts, err));
    qn_cleanup(qn_freep) double *labels = qn_new_array(double, n);
    qn_matrix *x = NULL;
    if (!labels)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++)
        labels[i] = y[rows[i]];
    QN_TRY(qn_pipeline_apply(qn_model_pipeline(model), frame, rows, n, job, &x, err));
    parts->x[parts->n] = x;
    parts->y[parts->n++] = qn_steal(&labels);
    parts->n_rows += n;
    return QN_OK;
}

/* judge NULL: all rows go to prune. */
static qn_status add_frame(const qn_model *model, const char *input, const qn_frame *frame,
                           const qn_job *job, qn__row_parts *prune, qn__row_parts *judge,
                           qn_error *err) {
    qn_cleanup(qn_freep) double *y = NULL;
    qn_cleanup(qn_freep) int64_t *to_prune = qn_new_array(int64_t, frame->n_rows);
    qn_cleanup(qn_freep) int64_t *to_judge = qn_new_array(int64_t, frame->n_rows);
    if (!to_prune || !to_judge)
        return qn_error_memory(err);
    qn_status status = qn_target_values(frame, qn_model_target(model), &y, err);
    if (status == QN_ERR_DATA)
        qn__run_name_file(input, err);
    QN_TRY(status);
    int64_t n_prune = 0, n_judge = 0, n_before = prune->n_rows + (judge ? judge->n_rows : 0);
    for (int64_t r = 0; r < frame->n_rows; r++) {
        if (isnan(y[r]))
            continue;
        if (judge && (n_before + n_prune + n_judge) % 2 == 1)
            to_judge[n_judge++] = r;
        else
            to_prune[n_prune++] = r;
    }
    QN_TRY(add_part(model, frame, y, to_prune, n_prune, job, prune, err));
    return judge ? add_part(model, frame, y, to_judge, n_judge, job, judge, err) : QN_OK;
}

static qn_status read_rows(const qn_model *model, const char *input, const qn_job *job,
                           qn__row_parts *prune, qn__row_parts *judge, qn_error *err) {
    const char *target = qn_model_target(model)->name;
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_schema_done) qn_schema schema = {0};
    qn_source_options options = {.path = input, .header = -1};
    options.missing = qn_model_missing(model, &options.n_missing);
    QN_TRY(qn_labelled_schema(model, &schema, err));
    QN_TRY(qn_source_open_as(&options, &schema, job, &source, err));
    for (;;) {
        qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
        QN_TRY(qn_job_check(job, err));
        QN_TRY(qn_source_next(source, CHUNK_ROWS, job, &frame, err));
        if (!frame)
            break;
        QN_TRY(add_frame(model, input, frame, job, prune, judge, err));
        qn_job_progress(job, "read", (double)(prune->n_rows + (judge ? judge->n_rows : 0)), 0,
                        NULL);
    }
    QN_FAIL_IF(prune->n_rows == 0, err, QN_ERR_DATA, "%s has no row with a %s", input, target);
    return QN_OK;
}

qn_status qn__labelled_rows(const qn_model *model, const char *input, const qn_job *job,
                            qn__row_parts *parts, qn_error *err) {
    return read_rows(model, input, job, parts, NULL, err);
}

qn_status qn__compress_rows(const qn_model *model, const char *input, const qn_job *job,
                            qn__row_parts *prune, qn__row_parts *judge, qn_error *err) {
    QN_TRY(read_rows(model, input, job, prune, judge, err));
    const char *target = qn_model_target(model)->name;
    int64_t n = prune->n_rows + judge->n_rows;
    QN_FAIL_IF(n < MIN_ROWS, err, QN_ERR_DATA,
               "%s has %lld rows with a %s: compressing needs at least %d, better thousands", input,
               (long long)n, target, MIN_ROWS);
    return QN_OK;
}
