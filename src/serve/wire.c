/* A connection as a machine of states: head, body, answer, and again. */
#include "serve/wire.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    SHORT_ANSWER = 4096,        /* copied behind its head, so that both go out as one */
    LINGER_US = 2000000,        /* how long what still comes is dropped after the last answer */
    LINGER_BYTES = 64 << 20,
    TURN_BYTES = 256 << 10,     /* read in a turn; then it is for others */
};

/* --- transport -------------------------------------------------------------------------------- */

static ssize_t plain_recv(qn__wire *w, void *to, size_t n) {
    return recv(w->fd, to, n, 0);
}

static ssize_t plain_send(qn__wire *w, const void *bytes, size_t n, bool more) {
    return send(w->fd, bytes, n, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
}

static void plain_finish(qn__wire *w) {
    shutdown(w->fd, SHUT_WR);
}

const qn__transport qn__plain_transport = {plain_recv, plain_send, plain_finish, false};

/* --- life ------------------------------------------------------------------------------------- */

static void set_deadline(qn__wire *w, int64_t now_us, double s) {
    w->deadline_us = now_us + (int64_t)(s * 1e6);
    w->late_us = w->loop ? w->loop->late_us : 0;
}

qn__wire *qn__wire_new(qn_server *server, qn__loop *loop, const qn__transport *transport, int fd,
                       int64_t now_us) {
    qn__wire *w = qn_new(qn__wire);
    char *in = w ? qn_malloc_aligned(QN__WIRE_BYTES + 1, 1) : NULL;
    if (!in) {
        qn_freep(&w);
        return NULL;
    }
    w->in = in;
    w->loop = loop;
    w->transport = transport;
    w->fd = fd;
    w->x.server = server;
    w->x.wire = w;
    set_deadline(w, now_us, server->options.request_s);
    return w;
}

void qn__wire_free(qn__wire **wire) {
    qn__wire *w = *wire;
    if (!w)
        return;
    if (w->state != QN__AT_HEAD && w->state != QN__AT_END)
        qn__exchange_end(&w->x, qn__clock_us());
    if (w->session)
        qn__tls_end(w);
    if (w->fd >= 0)
        close(w->fd);
    qn_freep(&w->in);
    qn_freep(&w->body);
    qn_buf_done(&w->out);
    qn_freep(wire);
}

/* --- the answer ------------------------------------------------------------------------------- */

typedef enum progress { ON, WAITING, GONE } progress;

/* Closing now would take the answer from a client that is still sending. */
static progress linger(qn__wire *w, int64_t now_us) {
    w->transport->finish(w);
    w->deadline_us = now_us + LINGER_US;
    w->at = w->len = 0;
    return ON;
}

/* The answer is out: on with the next request, which may be there already. */
static progress end_exchange(qn__wire *w, int64_t now_us) {
    qn__exchange *x = &w->x;
    const qn_server_options *o = &x->server->options;
    const bool ends = x->ends, cut = x->skips || w->at < w->len;
    if (w->nul)
        *w->nul = w->under_nul;
    w->nul = NULL;
    qn__exchange_end(x, now_us);
    qn_freep(&w->body);
    w->body_cap = 0;
    qn_buf_clear(&w->out);
    w->state = ends ? QN__AT_END : QN__AT_HEAD;
    if (ends)
        return cut ? linger(w, now_us) : GONE;
    w->len -= w->at;
    if (w->len)
        memmove(w->in, w->in + w->at, w->len);
    w->at = w->searched = 0;
    set_deadline(w, now_us, w->len ? o->request_s : o->idle_s);
    return ON;
}

static progress send_answer(qn__wire *w, int64_t now_us) {
    for (;;) {
        const bool is_rest = w->sent >= w->out.len;
        const char *from = is_rest ? w->rest + (w->sent - w->out.len) : w->out.data + w->sent;
        const size_t n = is_rest ? w->n_rest - (w->sent - w->out.len) : w->out.len - w->sent;
        if (n == 0)
            return end_exchange(w, now_us);
        const ssize_t sent = w->transport->send(w, from, n, !is_rest && w->n_rest);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            w->wants_out = true;
            return WAITING;
        }
        if (sent <= 0)
            return GONE;
        w->sent += (size_t)sent;
    }
}

/* Readers of the body need not look at its length. */
static void put_nul(qn__wire *w) {
    qn__exchange *x = &w->x;
    if (!x->body)
        x->body = w->in + w->at;
    char *end = x->body + x->body_len;
    if (!w->body) {
        w->nul = end;
        w->under_nul = *end;
    }
    *end = '\0';
}

/* The body is there, or will not be read. The answer is sent in the next run. */
static progress respond(qn__wire *w, int64_t now_us) {
    qn__exchange *x = &w->x;
    if (!x->refused)
        put_nul(w);
    qn__exchange_finish(x);
    qn__exchange_head(x, &w->out);
    const qn_buf *out = qn__out(x);
    const bool none = x->status == 204 || strcmp(x->head.method, "HEAD") == 0;
    w->n_rest = none ? 0 : out->len;
    w->rest = qn_buf_text(out);
    if (w->n_rest && w->n_rest <= SHORT_ANSWER) {
        qn_buf_put(&w->out, out->data, out->len);
        w->n_rest = 0;
    }
    w->sent = 0;
    if (w->out.status != QN_OK)
        return GONE;
    set_deadline(w, now_us, x->server->options.request_s);
    w->state = QN__AT_ANSWER;
    return WAITING;
}

/* --- the head --------------------------------------------------------------------------------- */

/* The body's place: behind its head where it fits, so that nothing is copied. */
static void place_body(qn__wire *w) {
    qn__exchange *x = &w->x;
    w->left = x->head.length;
    if (x->refused)
        return;
    if (w->at + (size_t)w->left <= QN__WIRE_BYTES) {
        x->body = w->in + w->at;
        return;
    }
    w->body = qn_malloc_aligned((size_t)w->left + 1, 1);
    w->body_cap = (size_t)w->left + 1;
    x->body = w->body;
    if (!w->body)
        qn__exchange_refuse(x, 503, "out of memory for the body");
}

static progress begin(qn__wire *w, int64_t now_us) {
    qn__exchange *x = &w->x;
    qn__exchange_begin(x, now_us);
    set_deadline(w, now_us, x->server->options.request_s);
    w->chunks = (qn__chunks){0};
    w->state = x->head.chunked ? QN__AT_CHUNKS : QN__AT_BODY;
    if (x->skips || (!x->head.chunked && x->head.length == 0))
        return respond(w, now_us);
    if (!x->head.chunked)
        place_body(w);
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (x->head.expects && w->at == w->len) {
        const ssize_t n = w->transport->send(w, go_on, sizeof go_on - 1, false);
        if (n != sizeof go_on - 1 && !(n < 0 && errno == EAGAIN)) /* then it goes on by itself */
            return GONE;
    }
    return ON;
}

static progress refuse_head(qn__wire *w, int64_t now_us, int status, const char *why) {
    qn__exchange *x = &w->x;
    qn__head_clear(&x->head);
    x->head.refused = status;
    x->head.why = why;
    x->head.closes = true;
    return begin(w, now_us);
}

static progress take_head(qn__wire *w, int64_t now_us) {
    const size_t n = qn__head_find(w->in, w->len, &w->searched);
    if (n > QN__HEAD_BYTES || (n == 0 && w->len >= QN__HEAD_BYTES)) {
        const bool long_line = !memchr(w->in, '\n', w->len);
        return refuse_head(w, now_us, long_line ? 414 : 431,
                           long_line ? "the request line is too long" : "the head is too long");
    }
    if (n == 0)
        return WAITING;
    qn__head_read(w->in, n, &w->x.head);
    w->at = w->body_at = n;
    return begin(w, now_us);
}

/* --- the body --------------------------------------------------------------------------------- */

static progress take_body(qn__wire *w, int64_t now_us) {
    qn__exchange *x = &w->x;
    const bool stays = !x->refused && !w->body;
    size_t n = w->len - w->at;
    if ((int64_t)n > w->left)
        n = (size_t)w->left;
    if (stays && (int64_t)n < w->left)
        return WAITING;
    if (w->body && n)
        memcpy(w->body + x->body_len, w->in + w->at, n);
    w->at += n;
    w->left -= (int64_t)n;
    x->body_len += n;
    return w->left ? WAITING : respond(w, now_us);
}

static bool make_space(qn__wire *w, size_t n) {
    qn__exchange *x = &w->x;
    const size_t most = x->server->options.body_bytes + 1;
    if (x->body_len + n < w->body_cap)
        return true;
    size_t cap = 2 * (w->body_cap + n);
    if (cap < QN__WIRE_BYTES)
        cap = QN__WIRE_BYTES;
    if (cap > most)
        cap = most;
    char *body = qn_realloc(w->body, cap, 1);
    if (!body)
        return false;
    x->body = w->body = body;
    w->body_cap = cap;
    return true;
}

/* Its size shows only as it comes. */
static void add_chunk(qn__wire *w, const char *bytes, size_t n) {
    qn__exchange *x = &w->x;
    const size_t most = x->server->options.body_bytes;
    if (x->body_len + n > most)
        qn__exchange_refuse(x, 413, "a body has at most %zu bytes here: send fewer rows at a time",
                            most);
    if (!x->refused && !make_space(w, n))
        qn__exchange_refuse(x, 503, "out of memory for the body");
    if (!x->refused)
        memcpy(w->body + x->body_len, bytes, n);
    x->body_len += n;
}

static progress take_chunks(qn__wire *w, int64_t now_us) {
    qn__exchange *x = &w->x;
    qn__chunks_result result = QN__CHUNKS_MORE;
    while (w->at < w->len && result == QN__CHUNKS_MORE) {
        const char *piece;
        size_t n;
        result = qn__chunks_take(&w->chunks, w->in, w->len, &w->at, &piece, &n);
        if (n)
            add_chunk(w, piece, n);
    }
    const bool endless = x->body_len > x->server->options.body_bytes + LINGER_BYTES;
    if (result == QN__CHUNKS_BAD)
        qn__exchange_refuse(x, 400, "the body is not in chunks, as the head says");
    if (result == QN__CHUNKS_BAD || endless)
        x->ends = x->skips = true;
    else if (result == QN__CHUNKS_MORE)
        return WAITING;
    else if (!x->refused && !make_space(w, 0)) /* an empty one has no place yet */
        qn__exchange_refuse(x, 503, "out of memory for the body");
    return respond(w, now_us);
}

/* --- running ---------------------------------------------------------------------------------- */

/* With what has come, up to an answer. */
static progress work(qn__wire *w, int64_t now_us) {
    progress p = ON;
    while (p == ON) {
        switch (w->state) {
        case QN__AT_HEAD:
            p = w->len ? take_head(w, now_us) : WAITING;
            break;
        case QN__AT_BODY:
            p = take_body(w, now_us);
            break;
        case QN__AT_CHUNKS:
            p = take_chunks(w, now_us);
            break;
        case QN__AT_ANSWER:
            return WAITING;
        case QN__AT_END:
            w->n_dropped += w->len;
            w->at = w->len = 0;
            p = w->n_dropped > LINGER_BYTES ? GONE : WAITING;
            break;
        }
    }
    return p;
}

/* Where the next bytes go. A body that is kept elsewhere, or not at all, leaves the place behind its
 * head empty again. */
static char *room(qn__wire *w, size_t *ret_n) {
    const bool passes = w->state == QN__AT_CHUNKS || (w->state == QN__AT_BODY && w->x.refused);
    if (w->state == QN__AT_BODY && w->body) {
        *ret_n = w->left < TURN_BYTES ? (size_t)w->left : TURN_BYTES;
        return w->body + w->x.body_len;
    }
    if (passes)
        w->at = w->len = w->body_at;
    *ret_n = QN__WIRE_BYTES - w->len;
    return w->in + w->len;
}

static void count_in(qn__wire *w, size_t n, int64_t now_us) {
    if (w->state == QN__AT_BODY && w->body) {
        w->x.body_len += n;
        w->left -= (int64_t)n;
        return;
    }
    if (w->state == QN__AT_HEAD && w->len == 0)
        set_deadline(w, now_us, w->x.server->options.request_s);
    w->len += n;
}

/* Until nothing is left to read, or there is an answer, or enough was read for once. */
static progress read_on(qn__wire *w, int64_t now_us) {
    progress p = work(w, now_us);
    size_t n_read = 0;
    while (p == WAITING && w->state != QN__AT_ANSWER && !w->drained && n_read < TURN_BYTES) {
        size_t n_room;
        char *to = room(w, &n_room);
        const ssize_t n = w->transport->recv(w, to, n_room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            w->drained = true;
        if (n <= 0)
            return w->drained ? WAITING : GONE;
        /* Less than there is room for was all there is. */
        w->drained = (size_t)n < n_room && !w->transport->buffers && !w->hung_up;
        n_read += (size_t)n;
        count_in(w, (size_t)n, now_us);
        p = work(w, now_us);
    }
    return p;
}

bool qn__wire_run(qn__wire *w, int64_t now_us) {
    w->wants_out = false;
    if (w->state == QN__AT_ANSWER) {
        const progress p = send_answer(w, now_us);
        if (p != ON)
            return p != GONE;
    }
    return read_on(w, now_us) != GONE;
}

bool qn__wire_expire(qn__wire *w, int64_t now_us) {
    static const char why[] = "the request did not come whole in time";
    qn__exchange *x = &w->x;
    switch (w->state) {
    case QN__AT_HEAD:
        return w->len && refuse_head(w, now_us, 408, why) != GONE;
    case QN__AT_BODY:
    case QN__AT_CHUNKS:
        qn__exchange_refuse(x, 408, "%s", why);
        x->ends = x->skips = true;
        return respond(w, now_us) != GONE;
    case QN__AT_ANSWER:
    case QN__AT_END:
        break;
    }
    return false;
}
