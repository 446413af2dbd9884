#include "flow/bench_http.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "data/source.h"
#include "flow/http_load.h"
#include "flow/reference.h"
#include "serve/serve.h"

enum { ASKED_ROWS = 1000 };
static const double warm_s = 0.2;

/* The requests, one a row. */
typedef struct questions {
    qn_buf *texts;             /* owned; [n] */
    qn_http_request *requests; /* owned; [n], of `texts` */
    int64_t n;
    qn_error why;              /* of the first answer that is not 200 */
} questions;

static void questions_done(questions *q) {
    for (int64_t i = 0; q->texts && i < q->n; i++)
        qn_buf_done(&q->texts[i]);
    qn_freep(&q->texts);
    qn_freep(&q->requests);
}

static json_t *value_of(const qn_column *column, int64_t i_row) {
    size_t n = 0;
    const char *text;
    if (!qn_column_is_valid(column, i_row))
        return json_null();
    switch (column->type) {
    case QN_TYPE_BOOL: return json_boolean(column->b[i_row]);
    case QN_TYPE_I64: return json_integer(column->i64[i_row]);
    case QN_TYPE_F64: /* JSON has no infinity */
        return isfinite(column->f64[i_row]) ? json_real(column->f64[i_row]) : json_null();
    case QN_TYPE_TIME: break;
    default:
        text = qn_column_text(column, i_row, &n);
        return json_stringn(text ? text : "", n);
    }
    qn_cleanup(qn_buf_done) qn_buf shown = {0};
    qn_column_format(column, i_row, &shown);
    return json_string(qn_buf_text(&shown));
}

static qn_status make_request(const qn_frame *frame, int64_t i_row, qn_buf *out, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *row = json_object();
    qn_cleanup(qn_buf_done) qn_buf body = {0};
    for (int32_t c = 0; c < frame->n_columns; c++)
        if (json_object_set_new(row, frame->columns[c].name, value_of(&frame->columns[c], i_row)) !=
            0)
            return qn_error_memory(err);
    qn_buf_put_text(&body, "{\"dataframe_records\":[");
    qn_json_write(row, QN_JSON_COMPACT, &body);
    qn_buf_put_text(&body, "]}");
    QN_TRY(qn_buf_status(&body, err));
    qn_buf_printf(out, "POST /invocations HTTP/1.1\r\nHost: localhost\r\n"
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body.len);
    qn_buf_put(out, body.data, body.len);
    return qn_buf_status(out, err);
}

static qn_status make_requests(const qn_bench_http_options *options, const qn_job *job,
                               questions *q, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    qn_source_options from = {.path = options->input, .header = -1};
    QN_TRY(qn_reference_open(options->folder, options->reference, &model, NULL, err));
    from.missing = qn_model_missing(model, &from.n_missing);
    QN_TRY(qn_source_open_as(&from, qn_model_inputs(model), job, &source, err));
    QN_TRY(qn_source_next(source, ASKED_ROWS, job, &frame, err));
    QN_FAIL_IF(!frame, err, QN_ERR_DATA, "%s has no rows to ask about", options->input);
    q->texts = qn_new_array(qn_buf, frame->n_rows);
    q->requests = qn_new_array(qn_http_request, frame->n_rows);
    if (!q->texts || !q->requests)
        return qn_error_memory(err);
    q->n = frame->n_rows;
    for (int64_t i = 0; i < q->n; i++) {
        QN_TRY(make_request(frame, i, &q->texts[i], err));
        q->requests[i] = (qn_http_request){q->texts[i].data, q->texts[i].len};
    }
    return QN_OK;
}

static bool is_good(void *user, const qn_http_answer *answer) {
    questions *q = user;
    if (answer->status == 200)
        return true;
    if (!q->why.code)
        qn_error_set(&q->why, QN_ERR_DATA, "row %zu was answered with %d: %.400s",
                     answer->i_request + 1, answer->status, answer->body);
    return false;
}

static qn_status ask(const qn_bench_http_options *options, questions *q, int port, double seconds,
                     const qn_job *job, qn_http_load_result *ret_result, qn_error *err) {
    qn_http_load_options load = {.host = "127.0.0.1", .port = port, .seconds = seconds,
                                 .connections = options->connections, .requests = q->requests,
                                 .n_requests = (size_t)q->n, .check = is_good, .user = q};
    QN_TRY(qn_http_load_run(&load, ret_result, err));
    if (q->why.code) {
        if (err)
            *err = q->why;
        return q->why.code;
    }
    QN_FAIL_IF(ret_result->n_broken > 0 || ret_result->n_answers == 0, err, QN_ERR_IO,
               "%lld requests were not answered", (long long)ret_result->n_broken);
    return qn_job_check(job, err);
}

static double rounded(double us) {
    return round(us * 10) / 10;
}

qn_status qn_bench_http(const qn_bench_http_options *options, const qn_job *job,
                        json_t **ret_result, qn_error *err) {
    qn_cleanup(questions_done) questions q = {0};
    qn_cleanup(qn_server_free) qn_server *server = NULL;
    qn_server_options serving;
    qn_http_load_result r;
    qn_server_options_default(&serving);
    serving.port = 0;
    serving.n_threads = qn_job_threads(job);
    serving.folder = options->folder;
    serving.models = &options->reference;
    serving.n_models = 1;
    serving.connections = serving.in_flight = options->connections + 1;
    QN_TRY(make_requests(options, job, &q, err));
    QN_TRY(qn_server_start(&serving, &server, err));
    qn_job_progress(job, "requests", 0, 0, NULL);
    QN_TRY(ask(options, &q, qn_server_port(server), warm_s, job, &r, err));
    QN_TRY(ask(options, &q, qn_server_port(server), options->seconds, job, &r, err));
    *ret_result = json_pack("{s:f, s:{s:f, s:f, s:f, s:f}, s:I, s:i, s:i}", "requests_per_s",
                            round((double)r.n_answers / r.seconds), "latency_us", "mean",
                            rounded(r.mean_us), "p50", rounded(r.p50_us), "p99", rounded(r.p99_us),
                            "max", rounded(r.max_us), "requests", (json_int_t)r.n_answers,
                            "connections", options->connections, "threads", qn_job_threads(job));
    return *ret_result ? QN_OK : qn_error_memory(err);
}
