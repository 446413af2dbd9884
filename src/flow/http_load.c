#include "flow/http_load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"

enum { MAX_CONNECTIONS = 1024, READ_BYTES = 1 << 16, N_EVENTS = 64, MAX_HEAD = 1 << 16 };

/* Latencies in buckets that grow by 1/64: 64 to each doubling. */
enum { STEPS = 64, N_BUCKETS = 44 * STEPS };

typedef struct wire {
    int fd;
    size_t i_request;
    size_t sent;      /* bytes of the request */
    int64_t start_ns; /* when it was begun */
    qn_buf in;        /* owned; what has come of the answer */
    bool writing;     /* the socket was full */
} wire;

typedef struct load {
    const qn_http_load_options *options;
    struct sockaddr_in address;
    int epoll;
    wire *wires;          /* owned */
    size_t next_request;
    int64_t *buckets;     /* owned */
    double sum_ns;
    int64_t max_ns, n_answers, n_failed, n_broken;
} load;

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- latencies -------------------------------------------------------------------------------- */

static int bucket_of(int64_t ns) {
    uint64_t x = ns > STEPS ? (uint64_t)ns : STEPS;
    int shift = 63 - __builtin_clzll(x) - 6;
    int i = shift * STEPS + (int)(x >> shift) - STEPS;
    return i < N_BUCKETS ? i : N_BUCKETS - 1;
}

static double bucket_ns(int i) {
    return ((double)(STEPS + i % STEPS) + 0.5) * (double)((uint64_t)1 << i / STEPS);
}

static double quantile_us(const load *l, double q) {
    int64_t n = 0, rank = (int64_t)(q * (double)l->n_answers);
    for (int i = 0; i < N_BUCKETS; i++)
        if ((n += l->buckets[i]) > rank)
            return bucket_ns(i) / 1e3;
    return 0;
}

static void note_latency(load *l, int64_t ns) {
    l->buckets[bucket_of(ns)]++;
    l->sum_ns += (double)ns;
    if (ns > l->max_ns)
        l->max_ns = ns;
}

/* --- connections ------------------------------------------------------------------------------ */

static void watch(load *l, wire *w, int operation) {
    struct epoll_event event = {.events = EPOLLIN | (w->writing ? EPOLLOUT : 0u),
                                .data.ptr = w};
    epoll_ctl(l->epoll, operation, w->fd, &event);
}

static qn_status connect_wire(load *l, wire *w, qn_error *err) {
    int one = 1;
    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (w->fd < 0)
        return qn_error_errno(err, "make a socket for", l->options->host);
    if (connect(w->fd, (const struct sockaddr *)&l->address, sizeof l->address) != 0)
        return qn_error_errno(err, "connect to", l->options->host);
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    qn_buf_clear(&w->in);
    w->writing = false;
    watch(l, w, EPOLL_CTL_ADD);
    return QN_OK;
}

/* False: the connection is gone. */
static bool send_rest(load *l, wire *w) {
    const qn_http_request *request = &l->options->requests[w->i_request];
    while (w->sent < request->n) {
        ssize_t n = send(w->fd, request->bytes + w->sent, request->n - w->sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n > 0)
            w->sent += (size_t)n;
    }
    bool writing = w->sent < request->n;
    if (writing != w->writing) {
        w->writing = writing;
        watch(l, w, EPOLL_CTL_MOD);
    }
    return true;
}

static bool begin_request(load *l, wire *w) {
    w->i_request = l->next_request++ % l->options->n_requests;
    w->sent = 0;
    w->start_ns = now_ns();
    return send_rest(l, w);
}

/* --- answers ---------------------------------------------------------------------------------- */

const char *qn_http_header(const qn_http_answer *answer, const char *name, size_t *ret_n) {
    size_t n_name = strlen(name);
    const char *end = answer->head + answer->head_bytes, *line = answer->head;
    while ((line = memchr(line, '\n', (size_t)(end - line))) && ++line < end) {
        if ((size_t)(end - line) <= n_name || line[n_name] != ':'
            || strncasecmp(line, name, n_name) != 0)
            continue;
        const char *value = line + n_name + 1, *stop = memchr(value, '\r', (size_t)(end - value));
        while (value < end && *value == ' ')
            value++;
        *ret_n = (size_t)((stop ? stop : end) - value);
        return value;
    }
    return NULL;
}

/* Is the whole answer there? False with *broken: it is none. */
static bool find_answer(const wire *w, qn_http_answer *answer, bool *broken) {
    const char *end = w->in.len ? memmem(w->in.data, w->in.len, "\r\n\r\n", 4) : NULL;
    *broken = false;
    if (!end) {
        *broken = w->in.len > MAX_HEAD;
        return false;
    }
    *answer = (qn_http_answer){.i_request = w->i_request, .head = w->in.data,
                               .head_bytes = (size_t)(end - w->in.data) + 2, .body = end + 4};
    size_t n_text;
    const char *length = qn_http_header(answer, "Content-Length", &n_text);
    *broken = strncmp(w->in.data, "HTTP/1.1 ", 9) != 0 || (!length && w->in.data[9] != '1');
    if (*broken)
        return false;
    answer->status = atoi(w->in.data + 9);
    answer->body_bytes = length ? strtoul(length, NULL, 10) : 0;
    *broken = answer->body_bytes > QN_LIMIT_BUFFER_BYTES;
    return !*broken && w->in.len - answer->head_bytes - 2 >= answer->body_bytes;
}

static bool is_good(const load *l, const qn_http_answer *answer) {
    return l->options->check ? l->options->check(l->options->user, answer) : answer->status == 200;
}

static bool closes(const qn_http_answer *answer) {
    size_t n;
    const char *value = qn_http_header(answer, "Connection", &n);
    return value && n == 5 && strncasecmp(value, "close", 5) == 0;
}

static void take_answer(load *l, const wire *w, const qn_http_answer *answer) {
    note_latency(l, now_ns() - w->start_ns);
    l->n_answers++;
    if (!is_good(l, answer))
        l->n_failed++;
    else if (l->options->good)
        atomic_fetch_add_explicit(l->options->good, 1, memory_order_relaxed);
}

/* Reads what there is. False: the connection is to be made anew. */
static bool read_wire(load *l, wire *w, char *chunk) {
    ssize_t n = recv(w->fd, chunk, READ_BYTES, MSG_DONTWAIT);
    qn_http_answer answer;
    bool broken = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    if (n > 0) {
        qn_buf_put(&w->in, chunk, (size_t)n);
        bool whole = w->in.status == QN_OK && find_answer(w, &answer, &broken);
        broken |= w->in.status != QN_OK;
        if (whole) {
            take_answer(l, w, &answer);
            bool again = !closes(&answer);
            qn_buf_clear(&w->in);
            return again && begin_request(l, w);
        }
    }
    if (broken)
        l->n_broken++;
    return !broken;
}

static qn_status serve_wire(load *l, wire *w, uint32_t events, char *chunk, qn_error *err) {
    bool alive = true;
    if (events & EPOLLOUT)
        alive = send_rest(l, w);
    if (alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        alive = read_wire(l, w, chunk);
    if (alive)
        return QN_OK;
    close(w->fd);
    QN_TRY(connect_wire(l, w, err));
    return begin_request(l, w) ? QN_OK : qn_error_errno(err, "send to", l->options->host);
}

/* --- running ---------------------------------------------------------------------------------- */

static bool is_over(const load *l, int64_t end_ns) {
    const qn_http_load_options *o = l->options;
    return (o->max_answers && l->n_answers >= o->max_answers) || now_ns() >= end_ns
           || (o->stop && atomic_load_explicit(o->stop, memory_order_relaxed));
}

static qn_status run(load *l, char *chunk, qn_error *err) {
    const qn_http_load_options *o = l->options;
    struct epoll_event events[N_EVENTS];
    for (int i = 0; i < o->connections; i++) {
        QN_TRY(connect_wire(l, &l->wires[i], err));
        if (!begin_request(l, &l->wires[i]))
            return qn_error_errno(err, "send to", o->host);
    }
    int64_t end = o->seconds > 0 ? now_ns() + (int64_t)(o->seconds * 1e9) : INT64_MAX;
    while (!is_over(l, end)) {
        int n = epoll_wait(l->epoll, events, N_EVENTS, 100);
        for (int i = 0; i < n; i++)
            QN_TRY(serve_wire(l, events[i].data.ptr, events[i].events, chunk, err));
    }
    return QN_OK;
}

static qn_status prepare(load *l, qn_error *err) {
    const qn_http_load_options *o = l->options;
    QN_FAIL_IF(o->connections < 1 || o->connections > MAX_CONNECTIONS, err, QN_ERR_USAGE,
               "a load has 1 to %d connections, not %d", MAX_CONNECTIONS, o->connections);
    QN_FAIL_IF(o->n_requests == 0, err, QN_ERR_USAGE, "a load needs a request to send");
    l->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
    QN_FAIL_IF(inet_pton(AF_INET, o->host, &l->address.sin_addr) != 1, err, QN_ERR_USAGE,
               "'%.100s' is not an IPv4 address", o->host);
    l->wires = qn_new_array(wire, o->connections);
    l->buckets = qn_new_array(int64_t, N_BUCKETS);
    if (!l->wires || !l->buckets)
        return qn_error_memory(err);
    for (int i = 0; i < o->connections; i++)
        l->wires[i].fd = -1;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    return l->epoll < 0 ? qn_error_errno(err, "watch connections to", o->host) : QN_OK;
}

static void load_done(load *l) {
    for (int i = 0; l->wires && i < l->options->connections; i++) {
        if (l->wires[i].fd >= 0)
            close(l->wires[i].fd);
        qn_buf_done(&l->wires[i].in);
    }
    if (l->epoll >= 0)
        close(l->epoll);
    qn_freep(&l->wires);
    qn_freep(&l->buckets);
}

qn_status qn_http_load_run(const qn_http_load_options *options, qn_http_load_result *ret_result,
                           qn_error *err) {
    qn_cleanup(load_done) load l = {.options = options, .epoll = -1};
    qn_cleanup(qn_freep) char *chunk = qn_malloc_aligned(READ_BYTES, 1);
    if (!chunk)
        return qn_error_memory(err);
    QN_TRY(prepare(&l, err));
    int64_t start = now_ns();
    QN_TRY(run(&l, chunk, err));
    *ret_result = (qn_http_load_result){
        .n_answers = l.n_answers, .n_failed = l.n_failed, .n_broken = l.n_broken,
        .seconds = (double)(now_ns() - start) / 1e9,
        .mean_us = l.n_answers ? l.sum_ns / (double)l.n_answers / 1e3 : 0,
        .p50_us = quantile_us(&l, 0.5), .p99_us = quantile_us(&l, 0.99),
        .max_us = (double)l.max_ns / 1e3};
    return QN_OK;
}
