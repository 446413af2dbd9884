#include "flow/bench_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/frame_arrow.h"
#include "data/source.h"
#include "model/rows.h"

enum {
    READ_ROWS = 100000,   /* at most so many of the file are asked */
    BATCH_ROWS = 16384,   /* a batch has so many at least: the file's, over again */
    MAX_SINGLES = 200000, /* measurements kept */
    MAX_BATCHES = 1000,
};

/* What is asked: by numbers when every input is one, which is quickest, else cell by cell. */
typedef struct questions {
    const qn_model *model;
    const qn_job *job;
    qn_frame *frame;      /* owned; columns in the order of the inputs */
    double *numbers;      /* owned; [n_rows][n_inputs]; NULL when an input is a text or a time */
    qn_arrow_view *arrow; /* owned; when there are no numbers */
    double *scores;       /* owned; of all rows */
} questions;

static void questions_done(questions *q) {
    qn_arrow_view_free(&q->arrow);
    qn_frame_free(&q->frame);
    qn_freep(&q->numbers);
    qn_freep(&q->scores);
}

/* --- rows ------------------------------------------------------------------------------------- */

/* The file's first rows, repeated until they make a batch. */
static qn_status read_frame(questions *q, const char *input, qn_error *err) {
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    qn_source_options options = {.path = input, .header = -1};
    options.missing = qn_model_missing(q->model, &options.n_missing);
    QN_TRY(qn_source_open_as(&options, qn_model_inputs(q->model), q->job, &source, err));
    QN_TRY(qn_source_next(source, READ_ROWS, q->job, &frame, err));
    QN_FAIL_IF(!frame, err, QN_ERR_DATA, "%s has no rows to ask about", input);
    const int64_t n = frame->n_rows > BATCH_ROWS ? frame->n_rows : BATCH_ROWS;
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, n);
    if (!rows)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++)
        rows[i] = i % frame->n_rows;
    return qn_frame_take(frame, rows, n, &q->frame, err);
}

static bool all_numbers(const qn_schema *inputs) {
    for (int32_t i = 0; i < inputs->n_columns; i++)
        if (inputs->columns[i].type != QN_TYPE_F64 && inputs->columns[i].type != QN_TYPE_I64 &&
            inputs->columns[i].type != QN_TYPE_BOOL)
            return false;
    return true;
}

static qn_status prepare(questions *q, const char *input, qn_error *err) {
    const int32_t n_inputs = qn_model_n_inputs(q->model);
    QN_TRY(read_frame(q, input, err));
    const int64_t n = q->frame->n_rows;
    q->scores = qn_calloc((size_t)n, (size_t)qn_model_n_outputs(q->model) * sizeof *q->scores);
    if (!q->scores)
        return qn_error_memory(err);
    if (!all_numbers(qn_model_inputs(q->model)))
        return qn_arrow_view_new(q->frame, &q->arrow, err);
    q->numbers = qn_calloc((size_t)n, (size_t)n_inputs * sizeof *q->numbers);
    if (!q->numbers)
        return qn_error_memory(err);
    for (int32_t i = 0; i < n_inputs; i++)
        for (int64_t r = 0; r < n; r++)
            q->numbers[r * n_inputs + i] = qn_column_number(&q->frame->columns[i], r);
    return QN_OK;
}

/* --- asking ----------------------------------------------------------------------------------- */

static qn_status set_cell(qn_rows *rows, const qn_column *column, int64_t r, int32_t i,
                          qn_error *err) {
    size_t n = 0;
    const char *text;
    if (!qn_column_is_valid(column, r))
        return QN_OK;
    switch (column->type) {
    case QN_TYPE_F64: return qn_rows_set_number(rows, 0, i, column->f64[r], err);
    case QN_TYPE_BOOL: return qn_rows_set_bool(rows, 0, i, column->b[r], err);
    case QN_TYPE_I64:
    case QN_TYPE_TIME: return qn_rows_set_i64(rows, 0, i, column->i64[r], err);
    default:
        text = qn_column_text(column, r, &n);
        return qn_rows_set_text(rows, 0, i, text, n, err);
    }
}

static qn_status ask_one(const questions *q, qn_rows *rows, int64_t r, qn_error *err) {
    const int32_t n_inputs = qn_model_n_inputs(q->model);
    if (q->numbers)
        return qn_rows_predict_numbers(rows, q->numbers + r * n_inputs, 1, q->scores, err);
    qn_rows_clear(rows);
    QN_TRY(qn_rows_add(rows, 1, err));
    for (int32_t i = 0; i < n_inputs; i++)
        QN_TRY(set_cell(rows, &q->frame->columns[i], r, i, err));
    return qn_rows_predict(rows, q->scores, err);
}

static qn_status ask_all(const questions *q, const qn_options *options, qn_error *err) {
    return q->numbers ? qn_predict_numbers(q->model, q->numbers, q->frame->n_rows, options,
                                           q->scores, err)
                      : qn_predict_arrow(q->model, &q->arrow->schema, &q->arrow->array, options,
                                         q->scores, err);
}

/* --- measuring -------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Nearest rank. */
static double quantile(const double *sorted, int64_t n, double q) {
    const int64_t rank = (int64_t)ceil(q * (double)n);
    return sorted[rank < 1 ? 0 : rank - 1];
}

/* The clock ticks in nanoseconds. */
static double rounded(double us) {
    return round(us * 1000) / 1000;
}

static qn_status measure_singles(const questions *q, double seconds, json_t **ret_quantiles,
                                 qn_error *err) {
    qn_cleanup(qn_rows_free) qn_rows *rows = NULL;
    qn_cleanup(qn_freep) double *us = qn_new_array(double, MAX_SINGLES);
    QN_TRY(qn_rows_new(q->model, &rows, err));
    if (!us)
        return qn_error_memory(err);
    for (int64_t r = 0; r < 100; r++) /* memory grows, caches fill */
        QN_TRY(ask_one(q, rows, r, err));
    const double begin = qn_now_s();
    int64_t n = 0;
    for (double now = begin; n < MAX_SINGLES && (n < 100 || now - begin < seconds); n++) {
        if (n % 1000 == 0)
            QN_TRY(qn_job_check(q->job, err));
        const double start = qn_now_s();
        QN_TRY(ask_one(q, rows, n % q->frame->n_rows, err));
        now = qn_now_s();
        us[n] = 1e6 * (now - start);
    }
    qsort(us, (size_t)n, sizeof *us, compare);
    *ret_quantiles = json_pack("{s:f, s:f}", "p50", rounded(quantile(us, n, 0.5)), "p99",
                               rounded(quantile(us, n, 0.99)));
    return *ret_quantiles ? QN_OK : qn_error_memory(err);
}

/* The median of the runs. */
static qn_status measure_batches(const questions *q, double seconds, double *ret_rows_per_s,
                                 qn_error *err) {
    qn_options options = QN_OPTIONS_INIT;
    options.n_threads = qn_job_threads(q->job);
    double times[MAX_BATCHES];
    QN_TRY(ask_all(q, &options, err));
    const double begin = qn_now_s();
    int64_t n = 0;
    for (double now = begin; n < MAX_BATCHES && (n < 3 || now - begin < seconds); n++) {
        QN_TRY(qn_job_check(q->job, err));
        const double start = qn_now_s();
        QN_TRY(ask_all(q, &options, err));
        now = qn_now_s();
        times[n] = now - start;
    }
    qsort(times, (size_t)n, sizeof *times, compare);
    *ret_rows_per_s = (double)q->frame->n_rows / quantile(times, n, 0.5);
    return QN_OK;
}

qn_status qn_bench_model(const qn_model *model, const qn_bench_options *options, const qn_job *job,
                         json_t **ret_result, qn_error *err) {
    qn_cleanup(questions_done) questions q = {.model = model, .job = job};
    qn_cleanup(qn_json_free) json_t *single = NULL;
    double rows_per_s;
    QN_TRY(prepare(&q, options->input, err));
    qn_job_progress(job, "single rows", 0, 0, NULL);
    QN_TRY(measure_singles(&q, options->seconds, &single, err));
    qn_job_progress(job, "batches", 0, 0, NULL);
    QN_TRY(measure_batches(&q, options->seconds, &rows_per_s, err));
    *ret_result = json_pack("{s:I, s:O, s:f, s:i}", "rows", (json_int_t)q.frame->n_rows,
                            "single_row_us", single, "batch_rows_per_s", round(rows_per_s),
                            "threads", qn_job_threads(job));
    return *ret_result ? QN_OK : qn_error_memory(err);
}
