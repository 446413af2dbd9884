/* Paths of requests, and files of tokens. The first line is a method and a path, the rest a file. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "serve/serve_int.h"

/* The path that a match stands for. */
static void put_path(qn_buf *out, const qn__match *match) {
    for (const char *p = match->route->path; *p; p++) {
        if (*p != '{') {
            qn_buf_put_char(out, *p);
            continue;
        }
        qn_buf_put_text(out, p[1] == 'm' ? match->model : match->version);
        p = strchr(p, '}');
    }
}

static void check_path(const char *method, const char *path) {
    static qn_server server;
    qn__match match;
    server.vertex[0] = (qn__route){.method = "POST", .path = "/vertex/{model}/do"};
    qn__route_find(&server, method, path, &match);
    if (!match.route)
        return;
    qn_cleanup(qn_buf_done) qn_buf made = {0};
    put_path(&made, &match);
    fuzz_require(strcmp(qn_buf_text(&made), path) == 0, "a match stands for the whole path");
    fuzz_require(!strchr(match.model, '/') && !strchr(match.version, '/'), "a part has no slash");
    fuzz_require(!match.model[0] == !strstr(match.route->path, "{model}") &&
                     !match.version[0] == !strstr(match.route->path, "{version}"),
                 "the parts are those of the route");
}

static void check_tokens(const uint8_t *data, size_t size) {
    char path[64];
    int fd = memfd_create("tokens", MFD_CLOEXEC);
    qn_error err = {0};
    qn__tokens *tokens = NULL;
    fuzz_require(fd >= 0 && write(fd, data, size) == (ssize_t)size, "a file in memory");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    qn_status status = qn__tokens_open(path, &tokens, &err);
    close(fd);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return;
    }
    qn_cleanup(qn_buf_done) qn_buf header = {0};
    qn_buf_put_text(&header, "Bearer ");
    qn_buf_put(&header, data, size);
    fuzz_require(qn__tokens_scope(tokens, qn_buf_text(&header)) == QN__OPEN,
                 "a file of hashes opens nothing");
    fuzz_require(qn__tokens_scope(tokens, NULL) == QN__OPEN, "no header opens nothing");
    qn__tokens_free(&tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = memchr(data, '\n', size);
    size_t n = end ? (size_t)(end - data) : size;
    qn_cleanup(qn_freep) char *line = fuzz_text(data, n);
    char *path = strchr(line, ' ');
    if (path) {
        *path++ = '\0';
        check_path(line, path);
    }
    if (end)
        check_tokens(end + 1, size - n - 1);
    return 0;
}
