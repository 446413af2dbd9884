/* Whole requests through serve/exchange.c and the handlers of every route, without a socket: the
 * functions by which they ask libmicrohttpd for headers, arguments and the connection are here.
 *
 * Six bytes choose: route, headers, arguments, how the length is told, the size of pieces, where JSON
 * ends and tensors begin. A line follows when the route is none of the table's: method and path. The
 * rest is the body. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/text.h"
#include "fuzz.h"
#include "golden.h"
#include "serve/serve_int.h"

enum { BODY_BYTES = 8192 };

static qn_server *server;

/* --- the request that is played --------------------------------------------------------------- */

static struct {
    const char *type, *accept, *method;
    const char *const *arguments; /* names and values in turn, NULL behind the last */
    char length[24], seam[24], path_text[600];
    qn__connection wire;
    int status; /* of the answer; 0: none yet */
} play;

/* The names are libmicrohttpd's; here they come first. */
const char *MHD_lookup_connection_value(struct MHD_Connection *connection, enum MHD_ValueKind kind,
                                        const char *key) {
    const char *value = strcasecmp(key, "Content-Type") == 0     ? play.type
                        : strcasecmp(key, "Accept") == 0         ? play.accept
                        : strcasecmp(key, "Content-Length") == 0 ? play.length
                        : strcasecmp(key, "Inference-Header-Content-Length") == 0 ? play.seam
                        : strcasecmp(key, "X-Request-Id") == 0   ? play.accept
                                                                 : NULL;
    return value && *value ? value : NULL;
}

int MHD_get_connection_values(struct MHD_Connection *connection, enum MHD_ValueKind kind,
                              MHD_KeyValueIterator iterator, void *cls) {
    int n = 0;
    for (const char *const *a = play.arguments; *a; a += 2, n++)
        if (iterator && iterator(cls, kind, a[0], a[1]) == MHD_NO)
            return n + 1;
    return n;
}

const union MHD_ConnectionInfo *MHD_get_connection_info(struct MHD_Connection *connection,
                                                        enum MHD_ConnectionInfoType type, ...) {
    static union MHD_ConnectionInfo info;
    info.socket_context = &play.wire;
    return &info;
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *connection, unsigned status,
                                   struct MHD_Response *response) {
    fuzz_require(play.status == 0, "a request has one answer");
    play.status = (int)status;
    return MHD_YES;
}

/* --- choosing it ------------------------------------------------------------------------------ */

static void choose_route(unsigned choice, const uint8_t **data, size_t *size) {
    size_t n_routes;
    const qn__route *routes = qn__routes(&n_routes);
    if (choice % (n_routes + 1) < n_routes) {
        const qn__route *route = &routes[choice % (n_routes + 1)];
        const char *model = strstr(route->path, "{model}"),
                   *version = strstr(route->path, "{version}");
        const char *tail = version ? version + 9 : model ? model + 7 : "";
        play.method = route->method;
        snprintf(play.path_text, sizeof play.path_text, "%.*s%s%s%s",
                 model ? (int)(model - route->path) : 200, route->path,
                 model ? golden_name((int)(choice / 64) % N_GOLDEN) : "",
                 version ? "/versions/1" : "", tail);
        return;
    }
    static char line[512];
    const uint8_t *end = memchr(*data, '\n', *size);
    size_t n = end ? (size_t)(end - *data) : *size,
           keep = n < sizeof line - 1 ? n : sizeof line - 1;
    memcpy(line, *data, keep);
    line[keep] = '\0';
    char *path = strchr(line, ' ');
    if (path)
        *path++ = '\0';
    play.method = line;
    snprintf(play.path_text, sizeof play.path_text, "%s", path ? path : "/");
    *data += end ? n + 1 : n;
    *size -= end ? n + 1 : n;
}

static void choose(const uint8_t **data, size_t *size, size_t *ret_piece) {
    static const char *const types[] = {"application/json", "text/csv", "application/jsonlines",
                                        "application/octet-stream", "text/csv; charset=utf-8", "",
                                        "application/x-ndjson", "application/json; charset=latin1"};
    static const char *const accepts[] = {"", "text/csv", "application/jsonlines", "*/*"};
    static const char *const arguments[8][5] = {
        {NULL},
        {"explain", NULL, NULL},
        {"probabilities", "true", "explain", "true", NULL},
        {"probabilities", "false", NULL},
        {"extra", "refuse", NULL},
        {"extra", "ignore", "absent", "null", NULL},
        {"absent", "null", "explain", "1", NULL},
        {"verbose", "true", "probabilities", NULL, NULL},
    };
    uint8_t choice[6];
    for (int i = 0; i < 6; i++)
        choice[i] = (uint8_t)fuzz_take(data, size, 1);
    memset(&play, 0, sizeof play);
    choose_route(choice[0], data, size);
    play.type = types[choice[1] % 8];
    play.accept = accepts[choice[1] / 8 % 4];
    play.arguments = arguments[choice[2] % 8];
    /* libmicrohttpd gives no more than the length it was told; without one it is a body in chunks. */
    if (choice[3] % 8 == 7)
        snprintf(play.length, sizeof play.length, "%d000000", choice[3]);
    else if (choice[3] % 2)
        snprintf(play.length, sizeof play.length, "%zu", *size);
    if (choice[5])
        snprintf(play.seam, sizeof play.seam, "%zu", *size * (choice[5] - 1u) / 254);
    *ret_piece = 1 + (size_t)choice[4] * choice[4];
}

/* --- playing it ------------------------------------------------------------------------------- */

static void check_json(const qn_buf *out, bool is_error) {
    qn_error err = {0};
    qn_cleanup(qn_json_free) json_t *json = NULL;
    if (qn_json_parse(qn_buf_text(out), out->len, "answer", &json, &err) != QN_OK)
        fuzz_require(false, qn_buf_text(out));
    fuzz_require(!is_error || json_is_object(json), "an error is an object");
}

static void check_answer(qn__exchange *x) {
    const qn_buf *out = qn__out(x);
    fuzz_require(play.status >= 200 && play.status < 600 && play.status == x->status,
                 "an answer has a status");
    fuzz_require(play.status != 500, "nothing a client sends is our fault");
    if (out->len && x->content_type && strcmp(x->content_type, "application/json") == 0)
        check_json(out, x->status >= 400);
    fuzz_require(x->status < 400 || x->error.message[0] || x->refused == 204, "a refusal says why");
    fuzz_require(!x->content_type || strcmp(x->content_type, "application/octet-stream") == 0
                     || qn_text_is_utf8(qn_buf_text(out), out->len),
                 "an answer is UTF-8");
}

/* The answer's status and body; false when the connection is cut. */
static bool answered(const uint8_t *data, size_t size, size_t piece, qn_buf *body) {
    void *state = NULL;
    play.status = 0;
    enum MHD_Result go = qn__exchange_step(server, NULL, play.path_text, play.method, "HTTP/1.1",
                                           NULL, &(size_t){0}, &state);
    while (go == MHD_YES && !play.status && size) {
        size_t n = piece < size ? piece : size, left = n;
        /* In memory of its own, so that reading beyond the piece is seen. */
        qn_cleanup(qn_freep) char *copy = qn_malloc_aligned(n, 1);
        memcpy(copy, data, n);
        go = qn__exchange_step(server, NULL, play.path_text, play.method, "HTTP/1.1", copy, &left,
                               &state);
        fuzz_require(go != MHD_YES || left == 0, "a piece is taken whole");
        data += n;
        size -= n;
    }
    if (go == MHD_YES && !play.status)
        go = qn__exchange_step(server, NULL, play.path_text, play.method, "HTTP/1.1", NULL,
                               &(size_t){0}, &state);
    qn__exchange *x = state;
    bool whole = go == MHD_YES;
    if (whole) {
        check_answer(x);
        qn_buf_put(body, qn__out(x)->data, qn__out(x)->len);
    }
    qn__exchange_end(server, NULL, &state, MHD_REQUEST_TERMINATED_COMPLETED_OK);
    fuzz_require(atomic_load(&server->metrics.in_flight) == 0, "nothing stays in flight");
    return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t piece;
    qn__match match;
    choose(&data, &size, &piece);
    qn__route_find(server, play.method, play.path_text, &match);
    if (match.route && match.route->handle == qn__handle_v2_unload)
        return 0; /* what follows needs the models */
    static int n_long;
    if (match.route &&
        (match.route->handle == qn__handle_openapi || match.route->handle == qn__handle_page) &&
        n_long++ > 50)
        return 0; /* always the same, and long */
    qn_cleanup(qn_buf_done) qn_buf first = {0}, second = {0};
    bool whole = answered(data, size, piece, &first);
    int status = play.status;
    bool again = answered(data, size, size + 1, &second);
    if (whole && again && match.route && match.route->drains)
        fuzz_require(status == play.status && first.len == second.len
                         && (!first.len || memcmp(first.data, second.data, first.len) == 0),
                     "the same request has the same answer, in pieces or whole");
    qn__exchange_free(&play.wire.spare);
    return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    const char *models[] = {golden_folder()};
    qn_server_options options;
    qn_error err = {0};
    qn_server_options_default(&options);
    options.port = 0;
    options.models = models;
    options.n_models = 1;
    options.body_bytes = BODY_BYTES;
    options.predict_route = "/vertex";
    options.health_route = "/vertex/health";
    options.cors = "*";
    if (qn_server_start(&options, &server, &err) != QN_OK)
        fuzz_require(false, err.message);
    return 0;
}
