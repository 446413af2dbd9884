/* One request, from its headers to its answer. What can be refused by the headers alone is decided
 * at once; a body that is small enough is still read, so that the connection can go on. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "base/text.h"
#include "serve/serve_int.h"

int64_t qn__clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* --- asking the request ----------------------------------------------------------------------- */

const char *qn__header(qn__exchange *x, const char *name) {
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

typedef struct lookup {
    const char *name, *value;
} lookup;

static enum MHD_Result find_argument(void *cls, enum MHD_ValueKind kind, const char *key,
                                     const char *value) {
    lookup *found = cls;
    if (strcmp(key, found->name) != 0)
        return MHD_YES;
    found->value = value ? value : "";
    return MHD_NO;
}

const char *qn__query(qn__exchange *x, const char *name) {
    lookup found = {.name = name};
    MHD_get_connection_values(x->connection, MHD_GET_ARGUMENT_KIND, find_argument, &found);
    return found.value;
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

static void add_header(struct MHD_Response *response, const char *name, const char *value) {
    MHD_add_response_header(response, name, value);
}

/* A client's own id comes back, when it is harmless. */
static void echo_id(qn__exchange *x, struct MHD_Response *response) {
    const char *id = qn__header(x, "X-Request-Id");
    size_t n = id ? strlen(id) : 0;
    if (!n || n > QN__REQUEST_ID)
        return;
    for (size_t i = 0; i < n; i++)
        if (id[i] < 0x21 || id[i] > 0x7e)
            return;
    add_header(response, "X-Request-Id", id);
}

static void allow_origin(qn__exchange *x, struct MHD_Response *response) {
    const char *cors = x->server->options.cors;
    if (!cors)
        return;
    add_header(response, "Access-Control-Allow-Origin", cors);
    if (strcmp(cors, "*") != 0)
        add_header(response, "Vary", "Origin");
    add_header(response, "Access-Control-Expose-Headers", "Quern-Model, X-Request-Id");
    if (strcmp(x->method, "OPTIONS") == 0) {
        add_header(response, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
        add_header(response, "Access-Control-Allow-Headers",
                   "Authorization, Content-Type, X-Request-Id, Inference-Header-Content-Length");
        add_header(response, "Access-Control-Max-Age", "600");
    }
}

static enum MHD_Result answer(qn__exchange *x) {
    qn_buf *out = qn__out(x);
    if (out->status != QN_OK)
        qn__fail_as(x, 503, "out of memory for the answer: send fewer rows at a time");
    out = qn__out(x);
    atomic_store(&x->wire->deadline_us,
                 qn__clock_us() + (int64_t)(x->server->options.request_s * 1e6));
    /* Not copied: desk and exchange live until the answer is on its way (qn__exchange_end). */
    struct MHD_Response *response = MHD_create_response_from_buffer(
        out->len, out->data ? out->data : (char *)"", MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    if (x->content_type)
        add_header(response, "Content-Type", x->content_type);
    if (x->served)
        add_header(response, "Quern-Model", x->served->label);
    if (x->extra_name)
        add_header(response, x->extra_name, x->extra_value);
    if (x->ends)
        add_header(response, "Connection", "close");
    echo_id(x, response);
    allow_origin(x, response);
    enum MHD_Result result =
        MHD_queue_response(x->connection, (unsigned)x->status, response);
    MHD_destroy_response(response);
    return result;
}

/* --- before the body -------------------------------------------------------------------------- */

static void refuse(qn__exchange *x, int status, const char *format, ...) QN_PRINTF(3, 4);
static void refuse(qn__exchange *x, int status, const char *format, ...) {
    if (x->refused)
        return;
    va_list arguments;
    va_start(arguments, format);
    set_message(x, format, arguments);
    va_end(arguments);
    x->refused = status;
}

static void check_route(qn__exchange *x, const char *path) {
    qn__route_find(x->server, x->method, path, &x->match);
    if (x->match.route)
        return;
    if (!x->match.allowed) {
        refuse(x, 404, "there is nothing at %.200s; GET /openapi.json lists what there is", path);
        return;
    }
    x->extra_name = "Allow";
    x->extra_value = x->match.allowed;
    if (strcmp(x->method, "OPTIONS") == 0)
        x->refused = 204;
    else
        refuse(x, 405, "%.20s is not for %.200s, which allows %s", x->method, path,
               x->match.allowed);
}

/* A page of another origin may ask a server of this machine, without being shown the answer. */
static bool is_foreign(qn__exchange *x) {
    const char *origin = qn__header(x, "Origin"), *host = qn__header(x, "Host");
    const char *cors = x->server->options.cors, *place = origin ? strstr(origin, "://") : NULL;
    return origin && !(cors && strcmp(cors, origin) == 0)
           && !(place && host && strcmp(place + 3, host) == 0);
}

static void check_token(qn__exchange *x) {
    qn_server *server = x->server;
    if (!x->match.route || x->match.route->scope == QN__OPEN)
        return;
    if (!server->options.tokens) {
        if (x->match.route->scope == QN__ADMIN && strcmp(x->method, "POST") == 0 && is_foreign(x))
            refuse(x, 403, "pages of other origins may not change what is served");
        return;
    }
    pthread_mutex_lock(&server->lock);
    qn__scope scope = qn__tokens_scope(server->tokens, qn__header(x, "Authorization"));
    pthread_mutex_unlock(&server->lock);
    if (scope >= x->match.route->scope)
        return;
    if (scope == QN__OPEN) {
        x->extra_name = "WWW-Authenticate";
        x->extra_value = "Bearer";
        refuse(x, 401, "a token is needed: send the header Authorization: Bearer TOKEN");
    } else {
        refuse(x, 403, "this token may predict, but this needs scope admin");
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
    const char *coding = qn__header(x, "Content-Encoding");
    if (coding && strcasecmp(coding, "identity") != 0)
        refuse(x, 415, "content coding '%.40s' is not understood: send the body as it is", coding);
    const char *type = qn__header(x, "Content-Type");
    if (!type || x->match.route->dialect == QN__MLFLOW)
        return;
    const char *charset = strcasestr(type, "charset=");
    bool known =
        begins_with(type, "application/json") || begins_with(type, "text/plain")
        || begins_with(type, "application/x-www-form-urlencoded")
        || (x->match.route->dialect == QN__V2 && begins_with(type, "application/octet-stream"));
    bool utf8 =
        !charset || begins_with(charset + 8, "utf-8") || begins_with(charset + 8, "\"utf-8\"");
    if (!known || !utf8)
        refuse(x, 415, "content type '%.100s' is not application/json in utf-8", type);
}

/* A body that is too large is still read to its end, so that the client comes to read the answer -
 * unless it is larger by more than this, or waits to be asked for it. */
enum { DISCARD_BYTES = 64 << 20 };

static bool is_waiting(qn__exchange *x) {
    const char *expect = qn__header(x, "Expect");
    return expect && strcasecmp(expect, "100-continue") == 0;
}

/* False: the body is not even read. */
static bool check_length(qn__exchange *x) {
    const char *text = qn__header(x, "Content-Length");
    int64_t n = 0;
    if (text && (!qn_text_to_i64(text, &n) || n < 0))
        refuse(x, 400, "Content-Length is not a length");
    x->body = x->small;
    x->body_cap = sizeof x->small;
    if ((size_t)n > x->server->options.body_bytes) {
        refuse(x, 413, "a body has at most %zu bytes here, not %lld: send fewer rows at a time",
               x->server->options.body_bytes, (long long)n);
        x->ends = is_waiting(x) || (size_t)n - x->server->options.body_bytes > DISCARD_BYTES;
        return !x->ends;
    }
    if ((size_t)n < sizeof x->small)
        return true;
    char *body = qn_malloc_aligned((size_t)n + 1, 1);
    if (!body) {
        refuse(x, 503, "out of memory for the body");
        x->ends = true;
        return false;
    }
    x->body = body;
    x->body_cap = (size_t)n + 1;
    return true;
}

static void check_load(qn__exchange *x) {
    if (!x->match.route || !x->match.route->drains)
        return;
    if (atomic_load(&x->server->draining)) {
        x->ends = true;
        refuse(x, 503, "this server is shutting down: ask another");
        return;
    }
    if (x->refused)
        return;
    x->counted = true;
    int64_t before = atomic_fetch_add(&x->server->metrics.in_flight, 1);
    if (before >= x->server->options.in_flight) {
        x->extra_name = "Retry-After";
        x->extra_value = "1";
        refuse(x, 429, "%d requests are under way, which is the most: try again",
               x->server->options.in_flight);
    }
}

static enum MHD_Result finish(qn__exchange *x);

static enum MHD_Result begin(qn_server *server, struct MHD_Connection *connection,
                             const char *path, const char *method, void **ret_exchange) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    qn__connection *wire = info ? info->socket_context : NULL;
    qn__exchange *x = wire ? qn_steal(&wire->spare) : NULL;
    if (wire && !x)
        x = qn_malloc_aligned(1, sizeof *x);
    if (!x)
        return MHD_NO;
    memset(x, 0, offsetof(qn__exchange, error));
    x->error.code = QN_OK;
    x->error.row = 0;
    x->error.file[0] = x->error.column[0] = x->error.message[0] = '\0';
    *ret_exchange = x;
    x->server = server;
    x->connection = connection;
    x->method = method;
    x->start_us = qn__clock_us();
    x->wire = wire;
    atomic_store(&wire->reading, true);
    atomic_store(&wire->deadline_us, x->start_us + (int64_t)(server->options.request_s * 1e6));
    if (server->log)
        x->path = qn_strdup(path);
    check_route(x, path);
    check_token(x);
    check_type(x);
    check_load(x);
    if (!check_length(x))
        return finish(x);
    return MHD_YES;
}

/* --- the body --------------------------------------------------------------------------------- */

static bool make_space(qn__exchange *x, size_t n) {
    if (x->body_len + n < x->body_cap)
        return true;
    size_t cap = 2 * (x->body_cap + n);
    if (cap > x->server->options.body_bytes + 1)
        cap = x->server->options.body_bytes + 1;
    char *body = qn_malloc_aligned(cap, 1);
    if (!body)
        return false;
    memcpy(body, x->body, x->body_len);
    if (x->body != x->small)
        qn_freep(&x->body);
    x->body = body;
    x->body_cap = cap;
    return true;
}

/* A body without a length (chunked) shows its size only as it comes. */
static enum MHD_Result take_body(qn__exchange *x, const char *data, size_t *n) {
    const size_t n_new = *n, most = x->server->options.body_bytes;
    *n = 0;
    if (x->body_len + n_new > most)
        refuse(x, 413, "a body has at most %zu bytes here: send fewer rows at a time", most);
    if (!x->refused && !make_space(x, n_new))
        refuse(x, 503, "out of memory for the body");
    if (!x->refused)
        memcpy(x->body + x->body_len, data, n_new);
    x->body_len += n_new;
    return x->body_len > most && x->body_len - most > DISCARD_BYTES ? MHD_NO : MHD_YES;
}

static enum MHD_Result finish(qn__exchange *x) {
    if (!atomic_exchange(&x->wire->reading, false))
        return MHD_NO; /* it came too late, and has been told so */
    /* Our own time is not the client's. */
    atomic_store(&x->wire->deadline_us, INT64_MAX);
    if (x->refused == 204)
        x->status = 204;
    else if (x->refused)
        fail_with(x, x->refused);
    else {
        x->body[x->body_len] = '\0';
        x->status = 200;
        x->content_type = "application/json";
        x->match.route->handle(x);
    }
    return answer(x);
}

enum MHD_Result qn__exchange_step(void *server, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *n, void **ret_exchange) {
    qn__exchange *x = *ret_exchange;
    if (!x)
        return begin(server, connection, url, method, ret_exchange);
    if (*n)
        return take_body(x, data, n);
    return x->status ? MHD_YES : finish(x);
}

void qn__exchange_end(void *cls, struct MHD_Connection *connection, void **exchange,
                      enum MHD_RequestTerminationCode why) {
    qn_server *server = cls;
    qn__exchange *x = *exchange;
    if (!x)
        return;
    int64_t now = qn__clock_us(), us = now - x->start_us;
    if (!x->status)
        x->status = 408; /* the client went, or took too long */
    qn__metrics_count(&server->metrics, x, us * 1000);
    if (x->served && x->match.route->drains)
        atomic_fetch_add_explicit(&x->served->counts.ns, us * 1000, memory_order_relaxed);
    if (server->log)
        qn__access_log_write(server->log, x, us);
    if (x->counted)
        atomic_fetch_sub(&server->metrics.in_flight, 1);
    atomic_store(&x->wire->deadline_us, now + (int64_t)(server->options.idle_s * 1e6));
    if (x->desk)
        qn__served_return_desk(x->served, x->desk);
    qn__served_release(x->served);
    if (x->body != x->small)
        qn_freep(&x->body);
    qn_buf_done(&x->out);
    qn_freep(&x->path);
    x->wire->spare = x;
    *exchange = NULL;
}

void qn__exchange_free(qn__exchange **exchange) {
    qn_freep(exchange);
}
