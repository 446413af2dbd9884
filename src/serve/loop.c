/* The threads: each waits for its connections, and for new ones, with an epoll of its own. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "serve/wire.h"

/* Told once, when something comes: then those who wait are served in the order in which they came,
 * and epoll does not look again at each that was served. */
#define EDGES (EPOLLRDHUP | EPOLLET)

enum {
    EVENTS = 256,
    SWEEP_MS = 200,     /* how often deadlines are looked at */
    LATE_US = 10000,    /* work that takes longer than this makes us late */
    HOLD_US = 100,      /* how long an answer waits for others at most */
};

/* --- new connections -------------------------------------------------------------------------- */

static bool watch(const qn__loop *loop, int how, int fd, uint32_t events, void *who) {
    struct epoll_event event = {.events = events, .data.ptr = who};
    return epoll_ctl(loop->epoll, how, fd, &event) == 0;
}

/* The loop itself stands for the listener. One of the waiting threads is woken, not all. */
static void listen_again(qn__loop *loop) {
    if (!loop->listens)
        loop->listens = watch(loop, EPOLL_CTL_ADD, loop->server->listener,
                              EPOLLIN | EPOLLEXCLUSIVE, loop);
}

static void stop_listening(qn__loop *loop) {
    if (loop->listens)
        watch(loop, EPOLL_CTL_DEL, loop->server->listener, 0, NULL);
    loop->listens = false;
}

static void let_go(qn__loop *loop, qn__wire *wire) {
    *wire->back = wire->next;
    if (wire->next)
        wire->next->back = wire->back;
    qn__wire_free(&wire);
    atomic_fetch_sub(&loop->server->metrics.connections, 1);
    listen_again(loop);
}

static bool add_wire(qn__loop *loop, int fd, const struct sockaddr_storage *address, socklen_t n) {
    qn_server *server = loop->server;
    qn__wire *wire = qn__wire_new(
        server, loop, server->tls ? &qn__tls_transport : &qn__plain_transport, fd, loop->now_us);
    if (!wire) {
        close(fd);
        return false;
    }
    wire->address = *address;
    wire->address_len = n;
    if ((server->tls && !qn__tls_begin(server->tls, wire))
        || !watch(loop, EPOLL_CTL_ADD, fd, EPOLLIN | EDGES, wire)) {
        qn__wire_free(&wire);
        return false;
    }
    wire->next = loop->wires;
    wire->back = &loop->wires;
    if (wire->next)
        wire->next->back = &wire->next;
    loop->wires = wire;
    return true;
}

/* One at a time: the others are for the other threads, or for the next turn. */
static void accept_one(qn__loop *loop) {
    qn_server *server = loop->server;
    struct sockaddr_storage address;
    socklen_t n = sizeof address;
    const int one = 1;
    if (atomic_fetch_add(&server->metrics.connections, 1) >= server->options.connections) {
        atomic_fetch_sub(&server->metrics.connections, 1);
        stop_listening(loop); /* until one of ours ends, or the next sweep */
        return;
    }
    const int fd = accept4(server->listener, (struct sockaddr *)&address, &n,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
        stop_listening(loop);
    if (fd < 0 || !add_wire(loop, fd, &address, n))
        atomic_fetch_sub(&server->metrics.connections, 1);
}

/* --- deadlines -------------------------------------------------------------------------------- */

/* What a client has sent while we worked waits unread: our own time is not the client's. Only for a
 * while, because others may keep us at work for ever. */
static bool is_over(const qn__loop *loop, const qn__wire *wire, int64_t now_us) {
    const int64_t most_us = (int64_t)(loop->server->options.request_s * 1e6);
    const int64_t late_us = loop->late_us - wire->late_us;
    return now_us > wire->deadline_us + (late_us < most_us ? late_us : most_us);
}

/* --- work ------------------------------------------------------------------------------------- */

/* After a wire was worked on; it waited for room to send before. */
static void settle(qn__loop *loop, qn__wire *wire, bool alive, bool waited_out) {
    if (!alive) {
        let_go(loop, wire);
        return;
    }
    if (wire->wants_out != waited_out)
        watch(loop, EPOLL_CTL_MOD, wire->fd, (wire->wants_out ? EPOLLOUT : EPOLLIN) | EDGES, wire);
    wire->has_turn = !wire->wants_out && (wire->state == QN__AT_ANSWER || !wire->drained);
    if (!wire->has_turn)
        return;
    wire->next_turn = NULL;
    *loop->last_turn = wire;
    loop->last_turn = &wire->next_turn;
}

static void run_wire(qn__loop *loop, qn__wire *wire, int64_t now_us) {
    const bool waited_out = wire->wants_out;
    settle(loop, wire, qn__wire_run(wire, now_us), waited_out);
}

/* Sends the answers and reads on. Who then has more to do comes after the others. */
static void take_turns(qn__loop *loop, int64_t now_us) {
    qn__wire *wire = loop->turns;
    loop->turns = NULL;
    loop->last_turn = &loop->turns;
    for (qn__wire *next; wire; wire = next) {
        next = wire->next_turn;
        run_wire(loop, wire, now_us);
    }
}

static void take_events(qn__loop *loop, const struct epoll_event *events, int n) {
    int64_t held_us = loop->now_us;
    for (int i = 0; i < n; i++) {
        qn__wire *wire = events[i].data.ptr;
        if ((void *)wire == loop) {
            accept_one(loop);
        } else if (wire) {
            wire->drained = false;
            wire->hung_up |= (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
            if (!wire->has_turn) /* else it comes */
                run_wire(loop, wire, loop->now_us);
        }
        const int64_t now_us = qn__clock_us();
        if (now_us - held_us > HOLD_US) {
            take_turns(loop, now_us);
            held_us = now_us;
        }
    }
    if (loop->turns)
        take_turns(loop, qn__clock_us());
}

static void sweep(qn__loop *loop, int64_t now_us) {
    loop->swept_us = now_us;
    listen_again(loop);
    for (qn__wire *wire = loop->wires, *next; wire; wire = next) {
        next = wire->next;
        if (!is_over(loop, wire, now_us) || wire->has_turn)
            continue;
        atomic_fetch_add(&loop->server->metrics.shut, wire->state != QN__AT_END);
        const bool waited_out = wire->wants_out;
        settle(loop, wire, qn__wire_expire(wire, now_us), waited_out);
    }
}

static void *run(void *cls) {
    qn__loop *loop = cls;
    struct epoll_event events[EVENTS];
    while (!atomic_load(&loop->server->stopping)) {
        const int n = epoll_wait(loop->epoll, events, EVENTS, loop->turns ? 0 : SWEEP_MS);
        loop->now_us = qn__clock_us();
        take_events(loop, events, n);
        const int64_t now_us = qn__clock_us(), worked_us = now_us - loop->now_us;
        if (worked_us > LATE_US)
            loop->late_us += worked_us;
        if (now_us - loop->swept_us >= SWEEP_MS * 1000)
            sweep(loop, now_us);
    }
    while (loop->wires)
        let_go(loop, loop->wires);
    return NULL;
}

static qn_status start(qn__loop *loop, qn_server *server, qn_error *err) {
    loop->server = server;
    loop->swept_us = qn__clock_us();
    loop->last_turn = &loop->turns;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->epoll < 0 || loop->wake < 0 || !watch(loop, EPOLL_CTL_ADD, loop->wake, EPOLLIN, NULL))
        return qn_error_errno(err, "wait for connections to", server->url);
    listen_again(loop);
    loop->has_thread = pthread_create(&loop->thread, NULL, run, loop) == 0;
    QN_FAIL_IF(!loop->has_thread, err, QN_ERR_IO, "no thread is left to answer requests");
    return QN_OK;
}

qn_status qn__loops_start(qn_server *server, qn_error *err) {
    const int n = server->options.n_threads;
    server->loops = qn_new_array(qn__loop, n);
    if (!server->loops)
        return qn_error_memory(err);
    for (int i = 0; i < n; i++)
        server->loops[i].epoll = server->loops[i].wake = -1;
    for (int i = 0; i < n; i++)
        QN_TRY(start(&server->loops[i], server, err));
    return QN_OK;
}

void qn__loops_stop(qn_server *server) {
    for (int i = 0; server->loops && i < server->options.n_threads; i++) {
        qn__loop *loop = &server->loops[i];
        if (loop->has_thread && eventfd_write(loop->wake, 1) == 0)
            pthread_join(loop->thread, NULL);
        if (loop->epoll >= 0)
            close(loop->epoll);
        if (loop->wake >= 0)
            close(loop->wake);
    }
    qn_freep(&server->loops);
}
