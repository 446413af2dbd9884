/* bench_model.h - how fast a model answers, measured the way a program that links libquern would
 * ask: single rows through one qn_rows, many rows by one call. */
#ifndef QN_FLOW_BENCH_MODEL_H
#define QN_FLOW_BENCH_MODEL_H

#include "model/model.h"

typedef struct qn_bench_options {
    const char *input;  /* any kind of file that a source can be; its rows are asked in turn */
    double seconds;     /* about how long each of the two measurements may take */
} qn_bench_options;

/* {"rows", "single_row_us": {"p50", "p99"}, "batch_rows_per_s", "threads"}: new reference. Single
 * rows are asked by one thread, and their time is that of emptying the rows, setting every cell and
 * predicting; batches by job->n_threads. */
qn_status qn_bench_model(const qn_model *model, const qn_bench_options *options, const qn_job *job,
                         json_t **ret_result, qn_error *err) QN_MUST_USE;

#endif
