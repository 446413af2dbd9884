/* bench_http.h - how much the server answers with a model, and how fast: `quern serve` in this process,
 * asked over the loopback interface, one row a request. */
#ifndef QN_FLOW_BENCH_HTTP_H
#define QN_FLOW_BENCH_HTTP_H

#include "base/job.h"
#include "base/json.h"

typedef struct qn_bench_http_options {
    const char *folder;    /* project, when `reference` is of its registry */
    const char *reference; /* as `quern serve --model` takes it */
    const char *input;     /* any kind of file that a source can be; its rows are asked in turn */
    int connections;       /* 1 to 1024 */
    double seconds;
} qn_bench_http_options;

/* {"requests_per_s", "latency_us": {"mean", "p50", "p99", "max"}, "requests", "connections",
 * "threads"}: new reference. job->n_threads serve, one more asks. An answer that is not 200 is an
 * error. */
qn_status qn_bench_http(const qn_bench_http_options *options, const qn_job *job,
                        json_t **ret_result, qn_error *err) QN_MUST_USE;

#endif
