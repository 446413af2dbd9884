/* Many rows at once: blocks over threads, each thread with rows of its own. */
#include <string.h>

#include "api/api_int.h"
#include "base/job.h"
#include "base/limits.h"
#include "base/mem.h"

/* Small enough that a block's features stay in the cache of their thread, large enough that what a
 * block costs by itself does not count. */
enum { BLOCK_ROWS = 1024 };

qn_status qn__options_read(const qn_options *given, qn_options *ret_options, qn_error *err) {
    qn_options options = QN_OPTIONS_INIT;
    if (given) {
        QN_FAIL_IF(given->struct_bytes < sizeof options, err, QN_ERR_USAGE,
                   "options that were not initialised by QN_OPTIONS_INIT");
        memcpy(&options, given, sizeof options);
    }
    QN_FAIL_IF(options.n_threads < 0 || options.n_threads > QN_LIMIT_THREADS, err, QN_ERR_USAGE,
               "%d threads: from 0 (all processors) to %d", (int)options.n_threads,
               QN_LIMIT_THREADS);
    if (options.n_threads == 0)
        options.n_threads = qn_threads_available();
    *ret_options = options;
    return QN_OK;
}

/* What all threads work on. */
typedef struct batch {
    const qn_model *model;
    int64_t n_rows, n_blocks;
    qn__fill fill;
    const void *input;
    double *scores;
    int64_t i_failed; /* first block that failed; n_blocks for none */
    qn_status status;
    qn_error error;
} batch;

static qn_status run_block(const batch *b, qn_rows *rows, int64_t i_block, qn_error *err) {
    const int64_t first = i_block * BLOCK_ROWS;
    const int64_t n = b->n_rows - first < BLOCK_ROWS ? b->n_rows - first : BLOCK_ROWS;
    qn_rows_clear(rows);
    qn_rows_count_from(rows, first);
    QN_TRY(qn_rows_add(rows, n, err));
    QN_TRY(b->fill(b->input, rows, first, n, err));
    return qn_rows_predict(rows, b->scores + first * qn_model_n_outputs(b->model), err);
}

static void note_failure(batch *b, int64_t i_block, qn_status status, const qn_error *error) {
    if (status == QN_OK)
        return;
#pragma omp critical(qn_api_batch)
    if (i_block < b->i_failed) {
#pragma omp atomic write
        b->i_failed = i_block;
        b->status = status;
        b->error = *error;
    }
}

static void run_blocks(batch *b, int32_t n_threads) {
#pragma omp parallel num_threads(n_threads) if (n_threads > 1)
    {
        qn_cleanup(qn_rows_free) qn_rows *rows = NULL;
        qn_error error = {0};
        const qn_status made = qn_rows_new(b->model, &rows, &error);
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < b->n_blocks; i++) {
            int64_t i_failed;
#pragma omp atomic read
            i_failed = b->i_failed;
            if (i < i_failed)
                note_failure(b, i, made == QN_OK ? run_block(b, rows, i, &error) : made, &error);
        }
    }
}

qn_status qn__predict_blocks(const qn_model *model, int64_t n_rows, const qn_options *options,
                             qn__fill fill, const void *input, double *scores, qn_error *err) {
    qn_options o;
    QN_TRY(qn__options_read(options, &o, err));
    QN_FAIL_IF(n_rows < 0, err, QN_ERR_USAGE, "%lld rows", (long long)n_rows);
    batch b = {.model = model,
               .n_rows = n_rows,
               .n_blocks = (n_rows + BLOCK_ROWS - 1) / BLOCK_ROWS,
               .fill = fill,
               .input = input,
               .scores = scores};
    b.i_failed = b.n_blocks;
    const int64_t useful = b.n_blocks > 1 ? b.n_blocks : 1;
    run_blocks(&b, useful < o.n_threads ? (int32_t)useful : o.n_threads);
    if (b.status != QN_OK && err)
        *err = b.error;
    return b.status;
}

static qn_status fill_numbers(const void *input, qn_rows *rows, int64_t first, int64_t n,
                              qn_error *err) {
    const int64_t width = qn_model_n_inputs(qn_rows_model(rows));
    const double *values = (const double *)input + first * width;
    for (int64_t r = 0; r < n; r++)
        QN_TRY(qn_rows_set_numbers(rows, r, values + r * width, err));
    return QN_OK;
}

qn_status qn_predict_numbers(const qn_model *model, const double *values, int64_t n_rows,
                             const qn_options *options, double *scores, qn_error *err) {
    return qn__predict_blocks(model, n_rows, options, fill_numbers, values, scores, err);
}
