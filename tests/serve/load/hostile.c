/* Hostile clients: each connection sends one bad thing, in one of a few manners, and must be answered
 * with a refusal or shut within the server's time limits. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "load.h"

/* Of the answers to one who reads none in time, no more than the kernel keeps may come. */
enum { MAX_OPEN = 900, PATIENT = 10,  DRIP_MS = 60, SLACK_MS = 3000, MOST_READ = 16 << 20 };

/* SEND: all at once, then wait. HALF: then shut down our side. DRIP: byte by byte. RESET: close at
 * once, with a reset. DEAF: read nothing until the server must have shut the connection. */
typedef enum manner { SEND, HALF, DRIP, RESET, DEAF } manner;

typedef struct attack {
    const char *name;
    void (*make)(qn_buf *out, const site *s, qn_rng *rng);
    manner manner;
    bool may_succeed; /* 200 is a right answer to (a part of) it */
} attack;

typedef struct victim {
    int fd;
    const attack *attack;
    bool patient; /* waits to be shut after an answer, too */
    qn_buf bytes; /* owned; to be sent */
    size_t sent;
    int64_t start_ms, next_ms;
    char head[1024]; /* the first bytes of the answer */
    size_t n_head, n_read;
} victim;

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- what is sent ----------------------------------------------------------------------------- */

static const qn_buf *some(const qn_buf *all, qn_rng *rng) {
    return &all[qn_rng_below(rng, N_REQUESTS)];
}

static void repeat(qn_buf *out, const char *text, int n) {
    while (n-- > 0)
        qn_buf_put_text(out, text);
}

/* A post of that body with a length of `more` bytes beyond it. */
static void put_post(qn_buf *out, const char *target, const qn_buf *body, int64_t more) {
    qn_buf_printf(out, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                       "Content-Length: %lld\r\n\r\n", target, (long long)body->len + more);
    qn_buf_put(out, body->data, body->len);
}

static void post_plain(qn_buf *out, const qn_buf *body) {
    put_post(out, "/v1/models/m/predict", body, 0);
}

static void truncated(qn_buf *out, const site *s, qn_rng *rng) {
    const qn_buf *whole = some(s->wires, rng);
    qn_buf_put(out, whole->data, 1 + qn_rng_below(rng, whole->len - 1));
}

static void cut_json(qn_buf *out, const site *s, qn_rng *rng) {
    const qn_buf *whole = some(s->bodies, rng);
    qn_buf body = *whole;
    body.len = 1 + qn_rng_below(rng, whole->len - 1);
    post_plain(out, &body);
}

static void flipped_json(qn_buf *out, const site *s, qn_rng *rng) {
    const qn_buf *whole = some(s->bodies, rng);
    qn_cleanup(qn_buf_done) qn_buf body = {0};
    qn_buf_put(&body, whole->data, whole->len);
    for (int i = 0; i < 4; i++)
        body.data[qn_rng_below(rng, body.len)] = (char)qn_rng_below(rng, 256);
    static const char *const paths[] = {"/v1/models/m/predict", "/v2/models/m/infer",
                                        "/invocations", "/v1/models/m:predict"};
    put_post(out, paths[qn_rng_below(rng, 4)], &body, 0);
}

static void oversized_length(qn_buf *out, const site *s, qn_rng *rng) {
    put_post(out, "/v1/models/m/predict", some(s->bodies, rng), INT64_C(10000000000));
}

static void oversized_body(qn_buf *out, const site *s, qn_rng *rng) {
    qn_cleanup(qn_buf_done) qn_buf body = {0};
    repeat(&body, "[1, 2, 3, 4, 5, 6, 7, 8, 9, 0, ", 3000);
    post_plain(out, &body);
}

static void oversized_chunks(qn_buf *out, const site *s, qn_rng *rng) {
    qn_buf_put_text(out,
                    "POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 200; i++) {
        qn_buf_put_text(out, "1000\r\n");
        repeat(out, "12345678", 512);
        qn_buf_put_text(out, "\r\n");
    }
}

static void deep_lists(qn_buf *out, const site *s, qn_rng *rng) {
    qn_cleanup(qn_buf_done) qn_buf body = {0};
    repeat(&body, "[", 30000);
    repeat(&body, "]", 30000);
    post_plain(out, &body);
}

static void deep_objects(qn_buf *out, const site *s, qn_rng *rng) {
    qn_cleanup(qn_buf_done) qn_buf body = {0};
    repeat(&body, "{\"number\":", 5000);
    put_post(out, qn_rng_below(rng, 2) ? "/invocations" : "/v1/models/m/predict", &body, 0);
}

static void deep_extra(qn_buf *out, const site *s, qn_rng *rng) {
    qn_cleanup(qn_buf_done) qn_buf body = {0};
    qn_buf_put_text(&body, "{\"extra\":");
    repeat(&body, "[{\"a\":", 4000);
    post_plain(out, &body);
}

static void bad_utf8(qn_buf *out, const site *s, qn_rng *rng) {
    static const char *const bad[] = {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xe2\x82",
                                      "\xf5\x80\x80\x80"};
    qn_cleanup(qn_buf_done) qn_buf body = {0};
    qn_buf_printf(&body, "{\"city\": \"K%sln\", \"number\": 1}", bad[qn_rng_below(rng, 5)]);
    post_plain(out, &body);
}

static void huge_numbers(qn_buf *out, const site *s, qn_rng *rng) {
    qn_cleanup(qn_buf_done) qn_buf body = {0};
    qn_buf_put_text(&body, "{\"number\": 1");
    repeat(&body, qn_rng_below(rng, 2) ? "0" : "e9", 20000);
    post_plain(out, &body);
}

static void many_fields(qn_buf *out, const site *s, qn_rng *rng) {
    qn_cleanup(qn_buf_done) qn_buf body = {0};
    for (int i = 0; i < 4000; i++)
        qn_buf_printf(&body, "%c\"f%d\": null", i ? ',' : '{', i);
    qn_buf_put_text(&body, "}");
    post_plain(out, &body);
}

static void bad_tensors(qn_buf *out, const site *s, qn_rng *rng) {
    static const char *const shapes[] = {"[-1]", "[9223372036854775807]", "[4294967296,4294967296]",
                                         "[]", "[1,1,1,1,1,1,1,1,1]", "[0]", "{}"};
    qn_cleanup(qn_buf_done) qn_buf body = {0};
    qn_buf_printf(&body,
                  "{\"inputs\": [{\"name\": \"number\", \"datatype\": \"FP64\", \"shape\": %s, "
                  "\"data\": [1, 2]}]}",
                  shapes[qn_rng_below(rng, 7)]);
    put_post(out, "/v2/models/m/infer", &body, 0);
}

static void bad_binary(qn_buf *out, const site *s, qn_rng *rng) {
    static const char json[] =
        "{\"inputs\": [{\"name\": \"city\", \"datatype\": \"BYTES\", \"shape\": [2], "
        "\"parameters\": {\"binary_data_size\": 12}}]}";
    qn_buf_printf(out, "POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n"
                       "Inference-Header-Content-Length: %d\r\n\r\n%s",
                  sizeof json - 1 + 12, (int)qn_rng_below(rng, 200), json);
    for (int i = 0; i < 12; i++)
        qn_buf_put_char(out, (char)qn_rng_below(rng, 256));
}

static void bad_csv(qn_buf *out, const site *s, qn_rng *rng) {
    static const char csv[] = "number,count,flag,city,when\n1,2,true,\"Roma,2020-01-01\n1,1\n";
    qn_buf_printf(out, "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
                       "Content-Length: %zu\r\n\r\n%s", sizeof csv - 1, csv);
}

/* What is beyond the stated length begins a request that is none. */
static void short_length(qn_buf *out, const site *s, qn_rng *rng) {
    const qn_buf *body = some(s->bodies, rng);
    put_post(out, "/v1/models/m/predict", body, -(int64_t)(1 + qn_rng_below(rng, body->len - 1)));
}

static void long_length(qn_buf *out, const site *s, qn_rng *rng) {
    put_post(out, "/v1/models/m/predict", some(s->bodies, rng),
             (int64_t)(1 + qn_rng_below(rng, 5000)));
}

static void wrong_length(qn_buf *out, const site *s, qn_rng *rng) {
    static const char *const lengths[] = {"-1", "abc", "1e3", "99999999999999999999999", "0x10", "",
                                          "5\r\nContent-Length: 7", "5, 7", "+5"};
    qn_buf_printf(
        out, "POST /v1/models/m/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n{\"a\":1}",
        lengths[qn_rng_below(rng, 9)]);
}

static void put_noise(qn_buf *out, qn_rng *rng, int n) {
    while (n-- > 0)
        qn_buf_put_char(out, (char)qn_rng_below(rng, 256));
}

static void pipelined_garbage(qn_buf *out, const site *s, qn_rng *rng) {
    for (int i = (int)qn_rng_below(rng, 5); i >= 0; i--)
        qn_buf_put(out, s->wires[i].data, s->wires[i].len);
    put_noise(out, rng, 300);
    qn_buf_put(out, s->wires[0].data, s->wires[0].len);
}

static void noise(qn_buf *out, const site *s, qn_rng *rng) {
    put_noise(out, rng, 1 + (int)qn_rng_below(rng, 4000));
}

static void noise_lines(qn_buf *out, const site *s, qn_rng *rng) {
    qn_buf_put_text(out, "POST ");
    put_noise(out, rng, 20);
    qn_buf_put_text(out, " HTTP/1.1\r\n");
    put_noise(out, rng, 50);
    qn_buf_put_text(out, ": ");
    put_noise(out, rng, 50);
    qn_buf_put_text(out, "\r\n\r\n");
}

static void nothing(qn_buf *out, const site *s, qn_rng *rng) {
}

static void many_headers(qn_buf *out, const site *s, qn_rng *rng) {
    qn_buf_put_text(out, "POST /invocations HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 8000; i++)
        qn_buf_printf(out, "X-Header-%d: %d\r\n", i, i);
    qn_buf_put_text(out, "\r\n");
}

static void long_header(qn_buf *out, const site *s, qn_rng *rng) {
    qn_buf_put_text(out, "POST /invocations HTTP/1.1\r\nHost: x\r\nX-Long: ");
    repeat(out, "aaaaaaaaaaaaaaaa", 20000);
    qn_buf_put_text(out, "\r\n\r\n");
}

static void long_target(qn_buf *out, const site *s, qn_rng *rng) {
    qn_buf_put_text(out, "GET /v1/models/");
    repeat(out, "%41bc%2f", 20000);
    qn_buf_put_text(out, " HTTP/1.1\r\nHost: x\r\n\r\n");
}

static void odd_target(qn_buf *out, const site *s, qn_rng *rng) {
    static const char *const targets[] = {"/v1/models/%00/predict",
                                          "/v1/models/../../etc/passwd",
                                          "/v1/models/m%2fpredict",
                                          "//",
                                          "*",
                                          "/v1/models/m/versions/-1:predict",
                                          "/v2/models/%ff%fe/infer",
                                          "http://x/v1/models",
                                          "/?%",
                                          "/v1/models/m:predict:predict"};
    qn_buf_printf(out, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
                  targets[qn_rng_below(rng, 10)]);
}

static void odd_method(qn_buf *out, const site *s, qn_rng *rng) {
    static const char *const methods[] = {"FOO", "GET", "DELETE", "PUT", "CONNECT", "TRACE", "PRI"};
    qn_buf_printf(out, "%s /v1/models/m/predict HTTP/%s\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
                  methods[qn_rng_below(rng, 7)],
                  qn_rng_below(rng, 3) ? "1.1" : qn_rng_below(rng, 2) ? "2.0" : "9");
}

static void wrong_chunks(qn_buf *out, const site *s, qn_rng *rng) {
    static const char *const chunks[] = {"zz\r\n{}\r\n0\r\n\r\n",
                                         "ffffffffffffffffffff\r\n{}\r\n",
                                         "7fffffffffffffff\r\n{}",
                                         "2\r\n{}XX0\r\n\r\n",
                                         "-2\r\n{}\r\n0\r\n\r\n",
                                         "2;a=b\r\n{}\r\n\r\n\r\n",
                                         "\r\n\r\n",
                                         "2\n{}\n0\n\n"};
    qn_buf_printf(
        out,
        "POST /v1/models/m/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s",
        chunks[qn_rng_below(rng, 8)]);
}

static void smuggled(qn_buf *out, const site *s, qn_rng *rng) {
    qn_buf_put_text(
        out, "POST /v1/models/m/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
             "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
}

static void expect_nothing(qn_buf *out, const site *s, qn_rng *rng) {
    qn_buf_put_text(out, "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n"
                         "Expect: 100-continue\r\n\r\n");
}

static void expect_odd(qn_buf *out, const site *s, qn_rng *rng) {
    qn_buf_put_text(out, "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000000\r\n"
                         "Expect: 100-continue, 200-maybe\r\nExpect: \r\n\r\n");
}

static void whole(qn_buf *out, const site *s, qn_rng *rng) {
    const qn_buf *wire = some(s->wires, rng);
    qn_buf_put(out, wire->data, wire->len);
}

static void slow_body(qn_buf *out, const site *s, qn_rng *rng) {
    qn_buf_put_text(out, "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{");
    repeat(out, " ", 1000);
}

static void many_answers(qn_buf *out, const site *s, qn_rng *rng) {
    repeat(out, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 2000);
}

static const attack attacks[] = {
    {"truncated, then our side shut", truncated, HALF, false},
    {"truncated, then silence", truncated, SEND, false},
    {"truncated, then reset", truncated, RESET, false},
    {"whole, then reset", whole, RESET, true},
    {"JSON cut off", cut_json, SEND, true}, /* a number may be cut to another */
    {"JSON with flipped bytes", flipped_json, SEND, true},
    {"length beyond the limit", oversized_length, SEND, false},
    {"body beyond the limit", oversized_body, SEND, false},
    {"chunks beyond the limit", oversized_chunks, SEND, false},
    {"deep lists", deep_lists, SEND, false},
    {"deep objects", deep_objects, SEND, false},
    {"deep extra field", deep_extra, SEND, false},
    {"bad UTF-8", bad_utf8, SEND, false},
    {"numbers without end", huge_numbers, SEND, false},
    {"thousands of fields", many_fields, SEND, false},
    {"wrong tensors", bad_tensors, SEND, false},
    {"wrong binary tensors", bad_binary, SEND, false},
    {"wrong CSV", bad_csv, SEND, false},
    {"length too short", short_length, SEND, false},
    {"length too long", long_length, SEND, false},
    {"wrong length", wrong_length, SEND, false},
    {"pipelined garbage", pipelined_garbage, SEND, true},
    {"noise", noise, SEND, false},
    {"noise in lines", noise_lines, SEND, false},
    {"nothing", nothing, SEND, false},
    {"thousands of headers", many_headers, SEND, false},
    {"long header", long_header, SEND, false},
    {"long target", long_target, SEND, false},
    {"odd target", odd_target, SEND, false},
    {"odd method", odd_method, SEND, false},
    {"wrong chunks", wrong_chunks, SEND, false},
    {"length and chunks", smuggled, SEND, false},
    {"Expect without body", expect_nothing, SEND, false},
    {"odd Expect", expect_odd, SEND, false},
    {"slow head", whole, DRIP, false},
    {"slow body", slow_body, DRIP, false},
    {"answers not read", many_answers, DEAF, true},
};
enum { N_ATTACKS = sizeof attacks / sizeof attacks[0] };

/* --- connections ------------------------------------------------------------------------------ */

static bool begin(hostile *h, victim *v, qn_rng *rng) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)h->site->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *v = (victim){.attack = &attacks[h->n_begun % N_ATTACKS]};
    v->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (v->attack->manner == DEAF) /* full soon */
        setsockopt(v->fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
    if (v->fd < 0 || connect(v->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        if (v->fd >= 0)
            close(v->fd);
        return false;
    }
    fcntl(v->fd, F_SETFL, O_NONBLOCK);
    v->attack->make(&v->bytes, h->site, rng);
    v->patient = qn_rng_below(rng, PATIENT) == 0;
    v->start_ms = v->next_ms = now_ms();
    h->n_begun++;
    return true;
}

static void end(hostile *h, victim *v) {
    if (v->attack->manner == RESET)
        setsockopt(v->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(v->fd);
    qn_buf_done(&v->bytes);
    bool ok = memmem(v->head, v->n_head, "HTTP/1.1 200", 12) != NULL;
    if (ok && !v->attack->may_succeed) {
        h->n_wrong++;
        fprintf(stderr, "%s: answered as if all were well\n%.*s\n", v->attack->name, (int)v->n_head,
                v->head);
    }
    h->n_ended++;
}

/* False: nothing more can be sent. */
static bool push(victim *v, int64_t now) {
    if (v->attack->manner == DRIP && now < v->next_ms)
        return true;
    size_t n = v->bytes.len - v->sent;
    if (v->attack->manner == DRIP)
        n = n ? 1 : 0;
    v->next_ms = now + DRIP_MS;
    ssize_t sent = n ? send(v->fd, v->bytes.data + v->sent, n, MSG_NOSIGNAL) : 0;
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    v->sent += (size_t)sent;
    if (n && v->sent == v->bytes.len && v->attack->manner == HALF)
        shutdown(v->fd, SHUT_WR);
    return true;
}

/* Reads what there is. True: the server has ended it. */
static bool pull(victim *v) {
    static char bytes[1 << 20];
    ssize_t n = recv(v->fd, bytes, sizeof bytes, 0);
    if (n < 0)
        return errno != EAGAIN && errno != EINTR;
    size_t room = sizeof v->head - v->n_head, keep = room < (size_t)n ? room : (size_t)n;
    memcpy(v->head + v->n_head, bytes, keep);
    v->n_head += keep;
    v->n_read += (size_t)n;
    return n == 0;
}

/* True when it is over. */
static bool step(hostile *h, victim *v, short events, int64_t now) {
    const int64_t limit_ms =
        (REQUEST_S + IDLE_S) * 1000 + (v->attack->manner == DEAF ? 2 : 1) * SLACK_MS;
    int64_t age = now - v->start_ms;
    if (v->attack->manner == RESET && v->sent == v->bytes.len)
        return true;
    /* Few wait to be shut: else there could not be many a second. */
    const bool answered = v->sent == v->bytes.len && memmem(v->head, v->n_head, "\r\n\r\n", 4);
    if (v->attack->manner == SEND && answered && !v->patient && age > 2 * DRIP_MS)
        return true;
    bool deaf = v->attack->manner == DEAF && age < REQUEST_S * 1000 + SLACK_MS;
    if (!deaf && (events & (POLLIN | POLLHUP | POLLERR))) {
        size_t before;
        do { /* all that the kernels on both sides have kept */
            before = v->n_read;
            if (pull(v))
                return true;
        } while (v->n_read > before && v->n_read < MOST_READ);
    }
    if (!push(v, now) && v->attack->manner == RESET)
        return true;
    if (age < limit_ms && v->n_read < MOST_READ)
        return false;
    h->n_late++;
    fprintf(stderr, "%s: not shut after %lld ms; %zu of %zu bytes were taken, %zu answered\n%.*s\n",
            v->attack->name, (long long)age, v->sent, v->bytes.len, v->n_read,
            v->n_head < 200 ? (int)v->n_head : 200, v->head);
    return true;
}

void *hostile_run(void *cls) {
    hostile *h = cls;
    qn_cleanup(qn_freep) victim *victims = qn_new_array(victim, MAX_OPEN);
    struct pollfd polls[MAX_OPEN];
    qn_rng rng;
    int n = 0;
    int64_t first = atomic_load(h->good);
    qn_rng_init(&rng, (uint64_t)now_ms());
    /* Good clients, who share a processor with it, are not to wait for this one. */
    sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0});
    for (;;) {
        bool stop = atomic_load(&h->stop);
        int64_t wanted = stop || !victims ? 0 : (atomic_load(h->good) - first) / 99 + 1;
        while (h->n_begun < wanted && n < MAX_OPEN && begin(h, &victims[n], &rng))
            n++;
        if ((stop && n == 0) || !victims)
            return NULL;
        for (int i = 0; i < n; i++)
            polls[i] = (struct pollfd){.fd = victims[i].fd, .events = POLLIN};
        poll(polls, (nfds_t)(n > 0 ? n : 0), 0);
        int64_t now = now_ms();
        for (int i = n - 1; i >= 0; i--) {
            if (!step(h, &victims[i], polls[i].revents, now))
                continue;
            end(h, &victims[i]);
            victims[i] = victims[--n];
        }
        nanosleep(&(struct timespec){.tv_nsec = 4000000}, NULL);
    }
}
