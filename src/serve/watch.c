/* The watcher's thread: looks a few times a second whether the registry has changed, and shuts
 * connections that have taken too long over a request or have been idle for too long. */
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "serve/serve_int.h"

enum { LOOK_MS = 200 };

void qn__connection_notice(void *cls, struct MHD_Connection *connection, void **ret_wire,
                           enum MHD_ConnectionNotificationCode what) {
    qn_server *server = cls;
    qn__connection *wire = *ret_wire;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        wire = info ? qn_new(qn__connection) : NULL;
        *ret_wire = wire;
        atomic_fetch_add(&server->metrics.connections, 1);
        if (!wire)
            return;
        wire->fd = info->connect_fd;
        atomic_store(&wire->deadline_us,
                     qn__clock_us() + (int64_t)(server->options.request_s * 1e6));
        pthread_mutex_lock(&server->lock);
        wire->next = server->wires;
        wire->back = &server->wires;
        if (wire->next)
            wire->next->back = &wire->next;
        server->wires = wire;
        pthread_mutex_unlock(&server->lock);
        return;
    }
    atomic_fetch_sub(&server->metrics.connections, 1);
    if (!wire)
        return;
    pthread_mutex_lock(&server->lock);
    *wire->back = wire->next;
    if (wire->next)
        wire->next->back = wire->back;
    pthread_mutex_unlock(&server->lock);
    qn__exchange_free(&wire->spare);
    qn_freep(&wire);
    *ret_wire = NULL;
}

/* Has the client sent what we have not read yet? Then it may be we who are late: a machine that has
 * too much to do must not take it out on those who wait. Only for a while, because one who does not
 * read our answers may have more requests waiting, too. */
static bool may_wait_for_us(const qn_server *server, const qn__connection *wire, int64_t now) {
    char byte;
    const int64_t late_us = now - atomic_load(&wire->deadline_us);
    return late_us < (int64_t)(server->options.request_s * 1e6)
           && recv(wire->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Says why, where that can still be read: in the middle of a request that was not answered. */
static void tell_slow(const qn_server *server, qn__connection *wire) {
    static const char answer[] =
        "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: 80\r\n"
        "Connection: close\r\n\r\n"
        "{\"error\": {\"status\": 408, \"message\": \"the request did not come whole in time\"}}\n";
    if (atomic_exchange(&wire->reading, false) && !server->cert)
        (void)!send(wire->fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Under the lock no connection is closed, so that the descriptors are still theirs. */
static void shut_slow(qn_server *server) {
    int64_t now = qn__clock_us();
    pthread_mutex_lock(&server->lock);
    for (qn__connection *wire = server->wires; wire; wire = wire->next) {
        if (atomic_load(&wire->deadline_us) > now || may_wait_for_us(server, wire, now))
            continue;
        tell_slow(server, wire);
        shutdown(wire->fd, SHUT_RDWR);
        atomic_store(&wire->deadline_us, INT64_MAX);
        atomic_fetch_add(&server->metrics.shut, 1);
    }
    pthread_mutex_unlock(&server->lock);
}

static void told(void *cls, const char *message) {
    qn_server *server = cls;
    atomic_fetch_add(&server->metrics.swaps, 1);
    if (server->options.on_event)
        server->options.on_event(server->options.user, message);
}

void *qn__watch(void *cls) {
    qn_server *server = cls;
    while (!atomic_load(&server->stopping)) {
        qn__models_refresh(server->models, told, server);
        shut_slow(server);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
    }
    return NULL;
}
