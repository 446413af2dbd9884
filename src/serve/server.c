/* The life of a server: options, socket, loops, watcher, drain. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/job.h"
#include "serve/wire.h"

enum { BACKLOG = 1024 };

void qn_server_options_default(qn_server_options *options) {
    *options = (qn_server_options){.host = "127.0.0.1",
                                   .port = 8080,
                                   .n_threads = 1,
                                   .folder = ".",
                                   .body_bytes = 16 << 20,
                                   .connections = 1024,
                                   .in_flight = 512,
                                   .request_s = 30,
                                   .idle_s = 75,
                                   .drain_s = 25};
}

static bool keep(qn_arena *texts, const char **text) {
    if (*text)
        *text = qn_arena_strdup(texts, *text);
    return *text != NULL;
}

/* The texts that are needed after the start. */
static qn_status keep_options(qn_server *server, const qn_server_options *options, qn_error *err) {
    qn_server_options *o = &server->options;
    *o = *options;
    server->texts = qn_arena_new("server");
    if (!server->texts)
        return qn_error_memory(err);
    const char **texts[] = {&o->host, &o->tls_cert, &o->tls_key, &o->tokens, &o->cors,
                            &o->access_log, &o->predict_route, &o->health_route};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (*texts[i] && !keep(server->texts, texts[i]))
            return qn_error_memory(err);
    const char *const routes[] = {o->predict_route, o->health_route};
    for (size_t i = 0; i < 2; i++)
        QN_FAIL_IF(routes[i] && (routes[i][0] != '/' || routes[i][strcspn(routes[i], "{}")]), err,
                   QN_ERR_USAGE, "AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE must be paths like "
                   "/predict, not '%.100s'", routes[i]);
    o->models = NULL; /* borrowed, and no longer needed */
    o->folder = NULL;
    server->vertex[0] = (qn__route){"POST", o->predict_route, QN__TF, QN__PREDICT, true,
                                    QN__FORM_TF, "Predict (Vertex AI)", qn__handle_tf_predict};
    server->vertex[1] = (qn__route){"GET", o->health_route, QN__TF, QN__OPEN, false, QN__FORM_NONE,
                                    "Health (Vertex AI)", qn__handle_ready};
    return QN_OK;
}

/* --- socket ----------------------------------------------------------------------------------- */

static qn_status listen_on(const struct addrinfo *address, const qn_server_options *options,
                           int *ret_fd, qn_error *err) {
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
    if (fd < 0)
        return qn_error_errno(err, "make a socket for", options->host);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
        *ret_fd = fd;
        return QN_OK;
    }
    int why = errno;
    close(fd);
    if (why == EADDRINUSE)
        return qn_error_set(err, QN_ERR_IO,
                            "port %d of %s is taken by another program: choose another --port",
                            options->port, options->host);
    if (why == EACCES)
        return qn_error_set(err, QN_ERR_IO,
                            "port %d may only be used by root: choose a --port from 1024 on",
                            options->port);
    errno = why;
    return qn_error_errno(err, "listen on", options->host);
}

static qn_status open_socket(qn_server *server, qn_error *err) {
    const qn_server_options *o = &server->options;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    char port[16];
    snprintf(port, sizeof port, "%d", o->port);
    int code = getaddrinfo(o->host, port, &hints, &found);
    QN_FAIL_IF(code != 0, err, QN_ERR_USAGE, "--host %.200s: %s", o->host, gai_strerror(code));
    qn_status status = listen_on(found, o, &server->listener, err);
    freeaddrinfo(found);
    QN_TRY(status);
    struct sockaddr_storage bound;
    socklen_t n = sizeof bound;
    char host[256];
    if (getsockname(server->listener, (struct sockaddr *)&bound, &n) != 0
        || getnameinfo((struct sockaddr *)&bound, n, host, sizeof host, port, sizeof port,
                       NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return qn_error_errno(err, "read the address of", o->host);
    server->port = bound.ss_family == AF_INET6
                       ? ntohs(((struct sockaddr_in6 *)&bound)->sin6_port)
                       : ntohs(((struct sockaddr_in *)&bound)->sin_port);
    bool any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    bool v6 = strchr(host, ':') && !any;
    server->url = qn_format("%s://%s%s%s:%d", o->tls_cert ? "https" : "http", v6 ? "[" : "",
                            any ? "127.0.0.1" : host, v6 ? "]" : "", server->port);
    return server->url ? QN_OK : qn_error_memory(err);
}

/* --- start and end ---------------------------------------------------------------------------- */

static qn_status open_tls(qn_server *server, qn_error *err) {
    const qn_server_options *o = &server->options;
    QN_FAIL_IF(!o->tls_cert != !o->tls_key, err, QN_ERR_USAGE,
               "--tls-cert and --tls-key belong together: give both or none");
    return o->tls_cert ? qn__tls_open(o->tls_cert, o->tls_key, &server->tls, err) : QN_OK;
}

static qn_status start(qn_server *server, const qn_server_options *options, qn_error *err) {
    QN_TRY(keep_options(server, options, err));
    QN_TRY(open_tls(server, err));
    QN_TRY(qn_server_reload(server, err));
    if (server->options.access_log)
        QN_TRY(qn__access_log_open(server->options.access_log, &server->log, err));
    QN_TRY(qn__models_new(options, &server->models, err));
    qn__date_refresh(server);
    QN_TRY(open_socket(server, err));
    QN_TRY(qn__loops_start(server, err));
    server->has_watcher = pthread_create(&server->watcher, NULL, qn__watch, server) == 0;
    QN_FAIL_IF(!server->has_watcher, err, QN_ERR_IO, "no thread is left to watch the registry");
    return QN_OK;
}

qn_status qn_server_start(const qn_server_options *options, qn_server **ret_server,
                          qn_error *err) {
    qn_cleanup(qn_server_free) qn_server *server = qn_new(qn_server);
    if (!server)
        return qn_error_memory(err);
    pthread_mutex_init(&server->lock, NULL);
    server->start_us = qn__wall_us();
    server->listener = -1;
    QN_TRY(start(server, options, err));
    *ret_server = qn_steal(&server);
    return QN_OK;
}

int qn_server_port(const qn_server *server) {
    return server->port;
}

const char *qn_server_url(const qn_server *server) {
    return server->url;
}

static qn_status reload_tokens(qn_server *server, qn_error *err) {
    if (!server->options.tokens)
        return QN_OK;
    qn__tokens *tokens;
    QN_TRY(qn__tokens_open(server->options.tokens, &tokens, err));
    pthread_mutex_lock(&server->lock);
    qn__tokens *old = server->tokens;
    server->tokens = tokens;
    pthread_mutex_unlock(&server->lock);
    qn__tokens_free(&old);
    return QN_OK;
}

qn_status qn_server_reload(qn_server *server, qn_error *err) {
    const qn_status log = server->log ? qn__access_log_reopen(server->log, err) : QN_OK;
    const qn_status tokens = reload_tokens(server, log == QN_OK ? err : NULL);
    return log == QN_OK ? tokens : log;
}

void qn_server_drain(qn_server *server) {
    atomic_store(&server->draining, true);
    double end = qn_now_s() + server->options.drain_s;
    /* A moment for whoever balances the load to see that this one is no longer ready. */
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    while (atomic_load(&server->metrics.in_flight) > 0 && qn_now_s() < end)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

void qn_server_free(qn_server **address) {
    if (!address || !*address)
        return;
    qn_server *server = *address;
    atomic_store(&server->stopping, true);
    if (server->has_watcher)
        pthread_join(server->watcher, NULL);
    qn__loops_stop(server);
    if (server->listener >= 0)
        close(server->listener);
    qn__tls_free(&server->tls);
    qn__models_free(&server->models);
    qn__tokens_free(&server->tokens);
    qn__access_log_free(&server->log);
    qn_freep(&server->url);
    qn_arena_free(&server->texts);
    pthread_mutex_destroy(&server->lock);
    qn_freep(address);
}
