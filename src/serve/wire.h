/* wire.h - connections: what comes becomes requests, answers go out. A loop is a thread with an epoll
 * and the connections that it has accepted; nobody else touches them. Requests are worked on to their
 * end where they are read. Answers to those that came together go out together: then clients that
 * share a thread are woken once.
 *
 *     loop  ->  wire  ->  transport: the socket itself, or TLS on it
 *                    ->  exchange: one request
 */
#ifndef QN_SERVE_WIRE_H
#define QN_SERVE_WIRE_H

#include <sys/socket.h>

#include "serve/serve_int.h"

/* As recv and send: bytes moved, 0 at the end, -1 with errno, EAGAIN for later. `more`: another piece
 * of the same answer follows at once. */
typedef struct qn__transport {
    ssize_t (*recv)(qn__wire *wire, void *to, size_t n);
    ssize_t (*send)(qn__wire *wire, const void *bytes, size_t n, bool more);
    void (*finish)(qn__wire *wire); /* nothing more will be sent */
    bool buffers;                /* what was received may wait inside: recv until EAGAIN */
} qn__transport;

extern const qn__transport qn__plain_transport, qn__tls_transport;

typedef enum qn__wire_state {
    QN__AT_HEAD,      /* a head is awaited, or a part of it has come */
    QN__AT_BODY,      /* of known length */
    QN__AT_CHUNKS,
    QN__AT_ANSWER,    /* it does not fit in the socket yet */
    QN__AT_END,       /* answered for the last time; what still comes is dropped */
} qn__wire_state;

enum { QN__WIRE_BYTES = QN__HEAD_BYTES + 4096 };

typedef struct qn__loop qn__loop;

struct qn__wire {
    qn__wire *next, **back;      /* of the loop */
    qn__loop *loop;              /* NULL only where the fuzzers play it */
    const qn__transport *transport;
    int fd;
    void *session;               /* owned: of TLS */
    bool shaken;                 /* TLS: hands were shaken */
    qn__wire *next_turn;         /* of those that the loop goes on with */
    bool has_turn;               /* it is one of them */
    bool drained;                /* all that had come was read */
    bool hung_up;                /* the client sends no more: what has come is followed by the end */
    bool wants_out;              /* waits until the socket takes more, not for what comes */
    qn__wire_state state;
    int64_t deadline_us;         /* monotonic; after it the connection is shut */
    int64_t late_us;             /* the loop's when the deadline was set */
    /* in[at .. len) has come and was not looked at; a head lies before `at` while its request lives */
    char *in;                    /* owned; QN__WIRE_BYTES and one */
    size_t at, len, searched;
    size_t body_at;              /* behind the head */
    char *nul, under_nul;        /* behind a body in `in`, and what stood there */
    char *body;                  /* owned: one that does not fit in `in`; else NULL */
    size_t body_cap;
    int64_t left;                /* of the body */
    qn__chunks chunks;
    qn_buf out;                  /* owned: the head of the answer, and the answer if it is short */
    size_t sent;                 /* of `out`, then of the rest */
    const char *rest;            /* borrowed from the exchange: a long answer */
    size_t n_rest;
    size_t n_dropped;            /* at the end */
    qn__exchange x;
    struct sockaddr_storage address;
    socklen_t address_len;
};

/* Takes the descriptor. NULL when memory is short. */
qn__wire *qn__wire_new(qn_server *server, qn__loop *loop, const qn__transport *transport, int fd,
                       int64_t now_us);
void qn__wire_free(qn__wire **wire);
/* Sends the answer if there is one, then reads and works until there is another (state QN__AT_ANSWER),
 * nothing is left to read (`drained`, which whoever knows of more sets to false), or much was read.
 * False: the connection has ended. */
bool qn__wire_run(qn__wire *wire, int64_t now_us);
/* The deadline has passed: tells, where there is somebody to tell. False: the connection has ended. */
bool qn__wire_expire(qn__wire *wire, int64_t now_us);

/* One thread with its connections. */
struct qn__loop {
    qn_server *server;
    pthread_t thread;
    bool has_thread;
    int epoll, wake;             /* owned descriptors */
    bool listens;                /* for new connections; not while there are too many */
    qn__wire *wires;             /* owned */
    qn__wire *turns, **last_turn; /* those with an answer to send, or more to read; in order */
    int64_t now_us;              /* when it last woke */
    int64_t late_us;             /* all the time in which it could not read because it worked */
    int64_t swept_us;
};

/* options.n_threads of them, running. */
qn_status qn__loops_start(qn_server *server, qn_error *err) QN_MUST_USE;
void qn__loops_stop(qn_server *server);

typedef struct qn__tls qn__tls;
qn_status qn__tls_open(const char *cert, const char *key, qn__tls **ret_tls, qn_error *err)
    QN_MUST_USE;
void qn__tls_free(qn__tls **tls);
/* False when memory is short. */
bool qn__tls_begin(const qn__tls *tls, qn__wire *wire);
void qn__tls_end(qn__wire *wire);

#endif
