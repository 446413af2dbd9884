/* http_load.h - how much an HTTP server answers, and how fast: a few connections, each sending its
 * next request once the last is answered, from one thread.
 *
 *     qn_http_load_options options = {.host = "127.0.0.1", .port = 8080, .connections = 32,
 *                                     .requests = &request, .n_requests = 1, .seconds = 5};
 *     QN_TRY(qn_http_load_run(&options, &result, err));
 *     ... result.n_answers / result.seconds, result.p99_us ...
 *
 * Answers must have a Content-Length, as those of `quern serve` do. */
#ifndef QN_FLOW_HTTP_LOAD_H
#define QN_FLOW_HTTP_LOAD_H

#include <stdatomic.h>

#include "base/error.h"

/* One request as it goes over the wire: head and body. */
typedef struct qn_http_request {
    const char *bytes; /* borrowed */
    size_t n;
} qn_http_request;

typedef struct qn_http_answer {
    size_t i_request;          /* which of the requests it answers */
    int status;
    const char *head;          /* borrowed for the call; from "HTTP/1.1" to the empty line */
    size_t head_bytes;
    const char *body;          /* borrowed for the call; a NUL follows it */
    size_t body_bytes;
} qn_http_answer;

typedef struct qn_http_load_options {
    const char *host;                /* an IPv4 address */
    int port;
    int connections;                 /* 1 to 1024 */
    double seconds;                  /* ends after; <= 0: no bound */
    int64_t max_answers;             /* ends after; 0: no bound */
    const qn_http_request *requests; /* borrowed; taken in turn, over and over */
    size_t n_requests;
    /* Sees every answer; false counts it as failed. NULL: those of status 200 are good. */
    bool (*check)(void *user, const qn_http_answer *answer);
    void *user;
    const _Atomic bool *stop;        /* ends as soon as it is true; may be NULL */
    _Atomic int64_t *good;           /* counts good answers as they come; may be NULL */
} qn_http_load_options;

typedef struct qn_http_load_result {
    int64_t n_answers;  /* all of them */
    int64_t n_failed;   /* answers that the check refused */
    int64_t n_broken;   /* requests without a whole answer: connection closed or reset */
    double seconds;
    double mean_us, p50_us, p99_us, max_us; /* from request to whole answer; within 1.6 % */
} qn_http_load_result;

/* QN_ERR_IO when nothing listens there. */
qn_status qn_http_load_run(const qn_http_load_options *options, qn_http_load_result *ret_result,
                           qn_error *err) QN_MUST_USE;

/* The value of a header of the answer and its length; NULL for none. */
const char *qn_http_header(const qn_http_answer *answer, const char *name, size_t *ret_n);

#endif
