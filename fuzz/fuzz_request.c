/* Connections without a socket: bytes come in pieces, answers are collected (serve/wire.c, http_*.c,
 * exchange.c and the handlers of every route).
 *
 * Six bytes choose: route, headers, arguments, how the length is told, the size of pieces, where JSON
 * ends and tensors begin. A line follows when the route is none of the table's: method and path. The
 * rest is the body. When the first byte is 254, all behind the six is a connection's bytes as they
 * are. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/text.h"
#include "fuzz.h"
#include "golden.h"
#include "serve/wire.h"

enum { BODY_BYTES = 8192, RAW = 254 };

static qn_server *server;

/* --- the request that is played --------------------------------------------------------------- */

static struct {
    const char *type, *accept, *method;
    const char *const *arguments; /* names and values in turn, NULL behind the last */
    char seam[24], path_text[600];
    int length;       /* how it is told */
} play;

/* --- the client ------------------------------------------------------------------------------- */

static struct {
    const uint8_t *bytes;
    size_t n, at, piece;
    bool stutters;    /* takes and gives nothing every other time */
    unsigned turn;
    qn_buf got;
} client;

static bool is_busy(void) {
    errno = EAGAIN;
    return client.stutters && client.turn++ % 2;
}

static ssize_t give(qn__wire *wire, void *to, size_t n) {
    if (is_busy())
        return -1;
    if (n > client.piece)
        n = client.piece;
    if (n > client.n - client.at)
        n = client.n - client.at;
    if (n)
        memcpy(to, client.bytes + client.at, n);
    client.at += n;
    return (ssize_t)n;
}

static ssize_t take(qn__wire *wire, const void *bytes, size_t n, bool more) {
    if (is_busy())
        return -1;
    if (client.stutters && n > client.piece)
        n = client.piece;
    qn_buf_put(&client.got, bytes, n);
    return (ssize_t)n;
}

static void finish(qn__wire *wire) {
}

static const qn__transport memory_transport = {give, take, finish, false};

/* All that a connection answers to the bytes. */
static void converse(const uint8_t *bytes, size_t n, size_t piece, bool stutters, qn_buf *ret_got) {
    qn__wire *wire = qn__wire_new(server, NULL, &memory_transport, -1, 0);
    fuzz_require(wire != NULL, "memory");
    client.bytes = bytes;
    client.n = n;
    client.at = 0;
    client.piece = piece;
    client.stutters = stutters;
    client.turn = 0;
    client.got = (qn_buf){0};
    size_t idle = 0;
    for (bool alive = true; alive && idle < 4;) {
        const size_t before = client.at + client.got.len;
        wire->drained = false;
        wire->hung_up = true;
        alive = qn__wire_run(wire, 0);
        idle = client.at + client.got.len == before ? idle + 1 : 0;
    }
    fuzz_require(idle < 4, "a connection whose client is gone ends");
    qn__wire_free(&wire);
    fuzz_require(atomic_load(&server->metrics.in_flight) == 0, "nothing stays in flight");
    *ret_got = client.got;
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
    play.length = choice[3];
    if (choice[5])
        snprintf(play.seam, sizeof play.seam, "%zu", *size * (choice[5] - 1u) / 254);
    *ret_piece = 1 + (size_t)choice[4] * choice[4];
}

static void put_chunks(qn_buf *out, const uint8_t *data, size_t size, size_t piece) {
    for (size_t at = 0; at < size; at += piece) {
        const size_t n = piece < size - at ? piece : size - at;
        qn_buf_printf(out, "%zx\r\n", n);
        qn_buf_put(out, data + at, n);
        qn_buf_put(out, "\r\n", 2);
    }
    qn_buf_put_text(out, "0\r\n\r\n");
}

/* What may not stand in a head as it is. */
static void put_coded(qn_buf *out, const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text > 0x20 && *text != 0x7f && *text != '%' && *text != '?')
            qn_buf_put_char(out, *text);
        else
            qn_buf_printf(out, "%%%02X", (unsigned char)*text);
}

static void put_request(qn_buf *out, const uint8_t *data, size_t size, size_t piece) {
    qn_buf_printf(out, "%s ", play.method);
    put_coded(out, play.path_text);
    for (const char *const *a = play.arguments; *a; a += 2)
        qn_buf_printf(out, "%c%s%s%s", a == play.arguments ? '?' : '&', a[0], a[1] ? "=" : "",
                      a[1] ? a[1] : "");
    qn_buf_put_text(out, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    if (*play.type)
        qn_buf_printf(out, "Content-Type: %s\r\n", play.type);
    if (*play.accept)
        qn_buf_printf(out, "Accept: %s\r\nX-Request-Id: %s\r\n", play.accept, play.accept);
    if (*play.seam)
        qn_buf_printf(out, "Inference-Header-Content-Length: %s\r\n", play.seam);
    if (play.length % 8 == 7)
        qn_buf_printf(out, "Content-Length: %d000000\r\n\r\n", play.length);
    else if (play.length % 2)
        qn_buf_printf(out, "Content-Length: %zu\r\n\r\n", size);
    else
        qn_buf_put_text(out, "Transfer-Encoding: chunked\r\n\r\n");
    if (play.length % 2)
        qn_buf_put(out, data, size);
    else
        put_chunks(out, data, size, piece);
}

/* --- what came of it -------------------------------------------------------------------------- */

static void check_json(const char *bytes, size_t n, bool is_error) {
    qn_error err = {0};
    qn_cleanup(qn_json_free) json_t *json = NULL;
    if (qn_json_parse(bytes, n, "answer", &json, &err) != QN_OK)
        fuzz_require(false, bytes);
    fuzz_require(!is_error || json_is_object(json), "an error is an object");
}

/* The first answer. */
static void check_answer(const qn_buf *got) {
    const char *body = strstr(qn_buf_text(got), "\r\n\r\n"), *text = qn_buf_text(got);
    fuzz_require(body && strncmp(text, "HTTP/1.1 ", 9) == 0, "an answer has a head");
    const int status = atoi(text + 9);
    const size_t n = got->len - (size_t)(body + 4 - text);
    fuzz_require(status >= 200 && status < 600, "an answer has a status");
    fuzz_require(status != 500, "nothing a client sends is our fault");
    const char *type = strstr(text, "Content-Type: application/json"),
               *octets = strstr(text, "Content-Type: application/octet-stream"),
               *length = strstr(text, "\r\nContent-Length: ");
    fuzz_require(status == 204 || (length && length < body), "an answer has a length");
    if (strcmp(play.method, "HEAD") == 0 || status == 204) {
        fuzz_require(n == 0, "this answer has no body");
        return;
    }
    fuzz_require((size_t)atoll(length + 18) == n, "the length is that of the body");
    if (n && type && type < body)
        check_json(body + 4, n, status >= 400);
    fuzz_require(status < 400 || n > 10, "a refusal says why");
    fuzz_require((octets && octets < body) || qn_text_is_utf8(body + 4, n), "an answer is UTF-8");
}

/* The second of the day may change between two answers. */
static void drop_dates(qn_buf *got) {
    char *date = got->data;
    while (date && (date = strstr(date, "\r\nDate: ")))
        for (date += 8; *date && *date != '\r'; date++)
            *date = '-';
}

static bool is_always_the_same(const qn__match *match) {
    static int n_long;
    return match->route
           && (match->route->handle == qn__handle_openapi
               || match->route->handle == qn__handle_page)
           && n_long++ > 50;
}

static bool mentions(const qn_buf *text, const char *word) {
    return text->len && memmem(text->data, text->len, word, strlen(word)) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t piece;
    qn__match match = {0};
    const bool raw = size > 6 && data[0] == RAW;
    qn_cleanup(qn_buf_done) qn_buf request = {0}, first = {0}, second = {0};
    choose(&data, &size, &piece);
    if (raw) {
        qn_buf_put(&request, data, size);
    } else {
        qn__route_find(server, play.method, play.path_text, &match);
        if (is_always_the_same(&match))
            return 0;
        put_request(&request, data, size, piece);
    }
    if (mentions(&request, "unload")) /* what follows needs the models */
        return 0;
    /* In memory of its own, so that reading beyond is seen. */
    qn_cleanup(qn_freep) uint8_t *copy = qn_malloc_aligned(request.len + !request.len, 1);
    memcpy(copy, qn_buf_text(&request), request.len);
    converse(copy, request.len, piece, piece % 2, &first);
    converse(copy, request.len, request.len + 1, false, &second);
    if (!raw && strchr(play.method, '\r') == NULL && first.len)
        check_answer(&first);
    drop_dates(&first);
    drop_dates(&second);
    if (!mentions(&first, "quern_in_flight") && !mentions(&first, "\"model_stats\""))
        fuzz_require(first.len == second.len
                         && (!first.len || memcmp(first.data, second.data, first.len) == 0),
                     "the same request has the same answer, in pieces or whole");
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
