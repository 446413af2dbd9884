/* One JSON line a request, written whole: lines of several threads do not mix. No header, body or
 * query is ever written: they may hold secrets. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "serve/wire.h"

struct qn__access_log {
    char *path;         /* owned; NULL: standard error */
    pthread_mutex_t lock;
    int fd;
};

static qn_status open_file(const char *path, int *ret_fd, qn_error *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        return qn_error_errno(err, "open the access log", path);
    *ret_fd = fd;
    return QN_OK;
}

qn_status qn__access_log_open(const char *path, qn__access_log **ret_log, qn_error *err) {
    qn_cleanup(qn__access_log_free) qn__access_log *log = qn_new(qn__access_log);
    if (!log)
        return qn_error_memory(err);
    pthread_mutex_init(&log->lock, NULL);
    log->fd = STDERR_FILENO;
    if (strcmp(path, "-") != 0) {
        log->path = qn_strdup(path);
        if (!log->path)
            return qn_error_memory(err);
        QN_TRY(open_file(path, &log->fd, err));
    }
    *ret_log = qn_steal(&log);
    return QN_OK;
}

qn_status qn__access_log_reopen(qn__access_log *log, qn_error *err) {
    int fd, old;
    if (!log->path)
        return QN_OK;
    QN_TRY(open_file(log->path, &fd, err));
    pthread_mutex_lock(&log->lock);
    old = log->fd;
    log->fd = fd;
    pthread_mutex_unlock(&log->lock);
    close(old);
    return QN_OK;
}

void qn__access_log_free(qn__access_log **log) {
    if (!log || !*log)
        return;
    if ((*log)->path && (*log)->fd != STDERR_FILENO)
        close((*log)->fd);
    qn_freep(&(*log)->path);
    pthread_mutex_destroy(&(*log)->lock);
    qn_freep(log);
}

static void put_time(qn_buf *out) {
    int64_t now = qn__wall_us();
    time_t s = (time_t)(now / 1000000);
    struct tm parts;
    char text[40];
    gmtime_r(&s, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    qn_buf_printf(out, "{\"time\": \"%s.%06dZ\"", text, (int)(now % 1000000));
}

static void put_text(qn_buf *out, const char *key, const char *text) {
    size_t n = strlen(text);
    qn_buf_printf(out, ", \"%s\": ", key);
    qn_buf_put_char(out, '"');
    for (size_t i = 0; i < n && i < 512; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            qn_buf_printf(out, "\\u%04x", c);
        else
            qn_buf_put_char(out, (char)c);
    }
    qn_buf_put_char(out, '"');
}

void qn__access_log_write(qn__access_log *log, const qn__exchange *x, int64_t us) {
    qn_cleanup(qn_buf_done) qn_buf line = {0};
    const char *id = x->head.fields[QN__REQUEST_ID];
    char host[64] = "";
    if (x->wire)
        getnameinfo((const struct sockaddr *)&x->wire->address, x->wire->address_len, host,
                    sizeof host, NULL, 0, NI_NUMERICHOST);
    put_time(&line);
    put_text(&line, "client", host);
    put_text(&line, "method", x->head.method);
    put_text(&line, "path", x->head.path);
    qn_buf_printf(&line, ", \"status\": %d, \"us\": %lld, \"bytes_in\": %zu", x->status,
                  (long long)us, x->body_len);
    if (x->served)
        put_text(&line, "model", x->served->label);
    if (id)
        put_text(&line, "request_id", id);
    /* The message may quote the client's data: only where it went wrong is kept. */
    if (x->error.row > 0)
        qn_buf_printf(&line, ", \"row\": %lld", (long long)x->error.row);
    if (x->error.column[0])
        put_text(&line, "field", x->error.column);
    qn_buf_put(&line, "}\n", 2);
    if (line.status != QN_OK)
        return;
    pthread_mutex_lock(&log->lock);
    ssize_t n;
    do
        n = write(log->fd, line.data, line.len);
    while (n < 0 && errno == EINTR);
    pthread_mutex_unlock(&log->lock);
}
