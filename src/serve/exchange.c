/* One request, from its head to its answer. What can be refused by the head alone is decided at
 * once; a body that is small enough is still read, so that the connection can go on. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/number.h"
#include "base/text.h"
#include "serve/serve_int.h"

int64_t qn__clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* --- asking the request ----------------------------------------------------------------------- */

const char *qn__query(qn__exchange *x, const char *name) {
    const char *value = NULL;
    for (int i = 0; i < x->head.n_arguments && !value; i++)
        if (strcmp(x->head.arguments[i].name, name) == 0)
            value = x->head.arguments[i].value;
    return value;
}

/* --- errors ----------------------------------------------------------------------------------- */

static int status_of(qn_status code) {
    switch (code) {
    case QN_ERR_NOT_FOUND:
        return 404;
    case QN_ERR_DATA:
    case QN_ERR_FORMAT:
    case QN_ERR_USAGE:
    case QN_ERR_CONFIG:
        return 400;
    case QN_ERR_LIMIT:
        return 413;
    case QN_ERR_UNSUPPORTED:
        return 415;
    case QN_ERR_BUSY:
    case QN_ERR_MEMORY:
        return 503;
    default:
        return 500;
    }
}

static const char *mlflow_code(int status) {
    return status == 404   ? "RESOURCE_DOES_NOT_EXIST"
           : status == 401 ? "UNAUTHENTICATED"
           : status == 403 ? "PERMISSION_DENIED"
           : status == 429 ? "REQUEST_LIMIT_EXCEEDED"
           : status == 503 ? "TEMPORARILY_UNAVAILABLE"
           : status < 500  ? "BAD_REQUEST"
                           : "INTERNAL_ERROR";
}

static void put_error(qn_buf *out, const qn__exchange *x, qn__dialect dialect) {
    const char *message = x->error.message;
    if (dialect == QN__MLFLOW) {
        qn_buf_printf(out, "{\"error_code\": \"%s\", \"message\": ", mlflow_code(x->status));
        qn__put_json_text(out, message, strlen(message));
    } else if (dialect == QN__PLAIN) {
        qn_buf_printf(out, "{\"error\": {\"status\": %d, \"message\": ", x->status);
        qn__put_json_text(out, message, strlen(message));
        if (x->error.row > 0)
            qn_buf_printf(out, ", \"row\": %lld", (long long)x->error.row);
        if (x->error.column[0]) {
            qn_buf_put_text(out, ", \"field\": ");
            qn__put_json_text(out, x->error.column, strlen(x->error.column));
        }
        qn_buf_put_char(out, '}');
    } else {
        qn_buf_put_text(out, "{\"error\": ");
        qn__put_json_text(out, message, strlen(message));
    }
    qn_buf_put_text(out, "}\n");
}

static void fail_with(qn__exchange *x, int status) {
    x->status = status;
    qn_buf *out = qn__out(x);
    qn_buf_clear(out);
    put_error(out, x, x->match.route ? x->match.route->dialect : QN__PLAIN);
    x->content_type = "application/json";
    if (status == 503 && !x->extra_name) {
        x->extra_name = "Retry-After";
        x->extra_value = "2";
    }
    if (x->served && x->match.route->drains)
        atomic_fetch_add_explicit(&x->served->counts.failures, 1, memory_order_relaxed);
}

void qn__fail(qn__exchange *x, const qn_error *err) {
    if (err != &x->error)
        x->error = *err;
    fail_with(x, status_of(x->error.code));
}

/* Messages quote what clients send: qn_error_set makes them UTF-8. */
static void set_message(qn__exchange *x, const char *format, va_list arguments) {
    char text[sizeof x->error.message];
    vsnprintf(text, sizeof text, format, arguments);
    qn_error_set(&x->error, QN_ERR_USAGE, "%s", text);
}

void qn__fail_as(qn__exchange *x, int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    set_message(x, format, arguments);
    va_end(arguments);
    fail_with(x, status);
}

qn_buf *qn__out(qn__exchange *x) {
    return x->desk ? &x->desk->out : &x->out;
}

bool qn__take_model(qn__exchange *x) {
    x->served = qn__models_get(x->server->models, x->match.model[0] ? x->match.model : NULL,
                               x->match.version[0] ? x->match.version : NULL, &x->error);
    if (!x->served) {
        fail_with(x, status_of(x->error.code));
        return false;
    }
    if (x->match.route->drains)
        atomic_fetch_add_explicit(&x->served->counts.requests, 1, memory_order_relaxed);
    x->desk = qn__served_take_desk(x->served, &x->error);
    if (!x->desk) {
        fail_with(x, status_of(x->error.code));
        return false;
    }
    return true;
}

/* --- the answer ------------------------------------------------------------------------------- */

#define PUT(out, literal) qn_buf_put(out, literal, sizeof literal - 1)

/* The end of a line belongs to the next. */
static void put_header(qn_buf *out, const char *name, const char *value) {
    PUT(out, "\r\n");
    qn_buf_put_text(out, name);
    PUT(out, ": ");
    qn_buf_put_text(out, value);
}

/* A client's own id comes back, when it is harmless. */
static void echo_id(const qn__exchange *x, qn_buf *out) {
    const char *id = x->head.fields[QN__REQUEST_ID];
    size_t n = id ? strlen(id) : 0;
    if (!n || n > QN__REQUEST_ID_BYTES)
        return;
    for (size_t i = 0; i < n; i++)
        if (id[i] < 0x21 || id[i] > 0x7e)
            return;
    put_header(out, "X-Request-Id", id);
}

static void allow_origin(const qn__exchange *x, qn_buf *out) {
    const char *cors = x->server->options.cors;
    if (!cors)
        return;
    put_header(out, "Access-Control-Allow-Origin", cors);
    if (strcmp(cors, "*") != 0)
        put_header(out, "Vary", "Origin");
    put_header(out, "Access-Control-Expose-Headers", "Quern-Model, X-Request-Id");
    if (strcmp(x->head.method, "OPTIONS") == 0) {
        put_header(out, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
        put_header(out, "Access-Control-Allow-Headers",
                   "Authorization, Content-Type, X-Request-Id, Inference-Header-Content-Length");
        put_header(out, "Access-Control-Max-Age", "600");
    }
}

static void put_status(qn_buf *out, int status) {
    if (status == 200)
        PUT(out, "HTTP/1.1 200 OK\r\nDate: ");
    else
        qn_buf_printf(out, "HTTP/1.1 %d %s\r\nDate: ", status, qn__status_text(status));
}

static void put_length(qn_buf *out, size_t length) {
    char text[QN_NUMBER_TEXT];
    PUT(out, "\r\nContent-Length: ");
    qn_buf_put(out, text, qn_number_write_i64((int64_t)length, text));
}

void qn__exchange_head(qn__exchange *x, qn_buf *head) {
    put_status(head, x->status);
    qn_buf_put(head, x->server->dates[atomic_load(&x->server->i_date)], QN__DATE_BYTES);
    if (x->content_type) {
        PUT(head, "\r\nContent-Type: ");
        qn_buf_put_text(head, x->content_type);
    }
    if (x->served) {
        PUT(head, "\r\nQuern-Model: ");
        qn_buf_put_text(head, x->served->label);
    }
    if (x->extra_name)
        put_header(head, x->extra_name, x->extra_value);
    if (x->ends)
        PUT(head, "\r\nConnection: close");
    else if (x->head.keeps)
        PUT(head, "\r\nConnection: keep-alive");
    echo_id(x, head);
    allow_origin(x, head);
    if (x->status != 204)
        put_length(head, qn__out(x)->len);
    PUT(head, "\r\n\r\n");
}

/* --- before the body -------------------------------------------------------------------------- */

void qn__exchange_refuse(qn__exchange *x, int status, const char *format, ...) {
    if (x->refused)
        return;
    va_list arguments;
    va_start(arguments, format);
    set_message(x, format, arguments);
    va_end(arguments);
    x->refused = status;
}

/* Mostly a connection asks the same again and again. */
static bool is_as_before(const qn__exchange *x) {
    return x->match.route && strcmp(x->head.path, x->matched) == 0
           && strcmp(x->head.method, x->match.route->method) == 0;
}

static void find_route(qn__exchange *x) {
    const size_t n = strlen(x->head.path);
    qn__route_find(x->server, x->head.method, x->head.path, &x->match);
    if (n < sizeof x->matched)
        memcpy(x->matched, x->head.path, n + 1);
    else
        x->matched[0] = '\0'; /* no path */
}

static void check_route(qn__exchange *x) {
    const char *method = x->head.method, *path = x->head.path;
    if (!is_as_before(x))
        find_route(x);
    if (x->match.route)
        return;
    if (!x->match.allowed) {
        qn__exchange_refuse(
            x, 404, "there is nothing at %.200s; GET /openapi.json lists what there is", path);
        return;
    }
    x->extra_name = "Allow";
    x->extra_value = x->match.allowed;
    if (strcmp(method, "OPTIONS") == 0)
        x->refused = 204;
    else
        qn__exchange_refuse(x, 405, "%.20s is not for %.200s, which allows %s", method, path,
                            x->match.allowed);
}

/* A page of another origin may ask a server of this machine, without being shown the answer. */
static bool is_foreign(qn__exchange *x) {
    const char *origin = x->head.fields[QN__ORIGIN], *host = x->head.fields[QN__HOST];
    const char *cors = x->server->options.cors, *place = origin ? strstr(origin, "://") : NULL;
    return origin && !(cors && strcmp(cors, origin) == 0)
           && !(place && host && strcmp(place + 3, host) == 0);
}

static void check_token(qn__exchange *x) {
    qn_server *server = x->server;
    if (!x->match.route || x->match.route->scope == QN__OPEN)
        return;
    if (!server->options.tokens) {
        if (x->match.route->scope == QN__ADMIN && strcmp(x->head.method, "POST") == 0
            && is_foreign(x))
            qn__exchange_refuse(x, 403, "pages of other origins may not change what is served");
        return;
    }
    pthread_mutex_lock(&server->lock);
    qn__scope scope = qn__tokens_scope(server->tokens, x->head.fields[QN__AUTHORIZATION]);
    pthread_mutex_unlock(&server->lock);
    if (scope >= x->match.route->scope)
        return;
    if (scope == QN__OPEN) {
        x->extra_name = "WWW-Authenticate";
        x->extra_value = "Bearer";
        qn__exchange_refuse(x, 401,
                            "a token is needed: send the header Authorization: Bearer TOKEN");
    } else {
        qn__exchange_refuse(x, 403, "this token may predict, but this needs scope admin");
    }
}

static bool begins_with(const char *text, const char *word) {
    return strncasecmp(text, word, strlen(word)) == 0;
}

/* Predictions but MLflow's, which has its own rules, are asked in JSON. Clients that say nothing,
 * and what curl and browsers say for want of better, are taken at their word. */
static void check_type(qn__exchange *x) {
    if (!x->match.route || x->match.route->form == QN__FORM_NONE)
        return;
    const char *coding = x->head.fields[QN__CONTENT_ENCODING];
    if (coding && strcasecmp(coding, "identity") != 0)
        qn__exchange_refuse(
            x, 415, "content coding '%.40s' is not understood: send the body as it is", coding);
    const char *type = x->head.fields[QN__CONTENT_TYPE];
    if (!type || x->match.route->dialect == QN__MLFLOW)
        return;
    const char *more = strchr(type, ';'), *charset = more ? strcasestr(more, "charset=") : NULL;
    bool known =
        begins_with(type, "application/json") || begins_with(type, "text/plain")
        || begins_with(type, "application/x-www-form-urlencoded")
        || (x->match.route->dialect == QN__V2 && begins_with(type, "application/octet-stream"));
    bool utf8 =
        !charset || begins_with(charset + 8, "utf-8") || begins_with(charset + 8, "\"utf-8\"");
    if (!known || !utf8)
        qn__exchange_refuse(x, 415, "content type '%.100s' is not application/json in utf-8", type);
}

/* A body that is too large is still read to its end, so that the client comes to read the answer -
 * unless it is larger by more than this, or waits to be asked for it. */
enum { DISCARD_BYTES = 64 << 20 };

static void check_length(qn__exchange *x) {
    const size_t n = (size_t)x->head.length, most = x->server->options.body_bytes;
    if (n > most)
        qn__exchange_refuse(
            x, 413, "a body has at most %zu bytes here, not %zu: send fewer rows at a time", most,
            n);
    x->skips = x->refused && (x->head.expects || (n > most && n - most > DISCARD_BYTES));
    x->ends |= x->skips;
}

static void check_load(qn__exchange *x) {
    if (!x->match.route || !x->match.route->drains)
        return;
    if (atomic_load(&x->server->draining)) {
        x->ends = true;
        qn__exchange_refuse(x, 503, "this server is shutting down: ask another");
        return;
    }
    if (x->refused)
        return;
    x->counted = true;
    int64_t before = atomic_fetch_add(&x->server->metrics.in_flight, 1);
    if (before >= x->server->options.in_flight) {
        x->extra_name = "Retry-After";
        x->extra_value = "1";
        qn__exchange_refuse(x, 429, "%d requests are under way, which is the most: try again",
               x->server->options.in_flight);
    }
}

void qn__exchange_begin(qn__exchange *x, int64_t now_us) {
    x->start_us = now_us;
    x->ends = x->head.closes;
    if (x->head.refused) {
        x->skips = true;
        x->match = (qn__match){0};
        qn__exchange_refuse(x, x->head.refused, "%s", x->head.why);
        return;
    }
    check_route(x);
    check_token(x);
    check_type(x);
    check_load(x);
    check_length(x);
}

/* --- the body has come ------------------------------------------------------------------------ */

void qn__exchange_finish(qn__exchange *x) {
    if (x->refused == 204) {
        x->status = 204;
    } else if (x->refused) {
        fail_with(x, x->refused);
    } else {
        x->status = 200;
        x->content_type = "application/json";
        x->match.route->handle(x);
    }
    if (qn__out(x)->status != QN_OK)
        qn__fail_as(x, 503, "out of memory for the answer: send fewer rows at a time");
}

static void clear(qn__exchange *x) {
    x->body = NULL;
    x->body_len = 0;
    x->refused = x->status = 0;
    x->counted = x->ends = x->skips = false;
    x->content_type = x->extra_name = x->extra_value = NULL;
    x->error.code = QN_OK;
    x->error.row = 0;
    x->error.file[0] = x->error.column[0] = x->error.message[0] = '\0';
}

void qn__exchange_end(qn__exchange *x, int64_t now_us) {
    qn_server *server = x->server;
    const int64_t us = now_us - x->start_us;
    if (!x->status)
        x->status = 408; /* the client went */
    qn__metrics_count(&server->metrics, x, us * 1000);
    if (x->served && x->match.route->drains)
        atomic_fetch_add_explicit(&x->served->counts.ns, us * 1000, memory_order_relaxed);
    if (server->log)
        qn__access_log_write(server->log, x, us);
    if (x->counted)
        atomic_fetch_sub(&server->metrics.in_flight, 1);
    if (x->desk)
        qn__served_return_desk(x->served, x->desk);
    x->desk = NULL;
    qn__served_release(qn_steal(&x->served));
    qn_buf_done(&x->out);
    clear(x);
}
