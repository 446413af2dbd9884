/* Bytes of a file: plain by read(2), gzip by zlib, zstd by DuckDB (the only one here that knows
 * it), which hands it over line by line. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <zlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "data/csv_int.h"
#include "data/db_int.h"

struct qn__input {
    char *path; /* owned */
    int fd;     /* plain; -1 for none */
    gzFile gz;
    qn__db db; /* zstd */
    qn__rows lines;
    size_t at_line; /* bytes of the current line that were handed out, its line end included */
    double position;
};

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), n_end = strlen(end);
    return n >= n_end && strcasecmp(text + n - n_end, end) == 0;
}

void qn__input_free(qn__input **input) {
    if (!input || !*input)
        return;
    if ((*input)->fd >= 0)
        close((*input)->fd);
    if ((*input)->gz)
        (void)gzclose((*input)->gz);
    qn__rows_done(&(*input)->lines);
    qn__db_done(&(*input)->db);
    qn_freep(&(*input)->path);
    qn_freep(input);
}

static qn_status open_lines(qn__input *input, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf sql = {0};
    qn_buf_put_text(&sql, "SELECT line FROM read_csv(");
    qn__sql_text(&sql, input->path);
    qn_buf_printf(
        &sql,
        ", columns = {'line': 'VARCHAR'}, auto_detect = false, header = false, delim = chr(1), "
        "quote = '', escape = '', max_line_size = %zu, buffer_size = %zu)",
        QN_LIMIT_FIELD_BYTES, 2 * QN_LIMIT_FIELD_BYTES);
    QN_TRY(qn_buf_status(&sql, err));
    QN_TRY(qn__db_open(NULL, NULL, false, &input->db, err));
    QN_TRY(qn__db_query(&input->db, sql.data, true, NULL, &input->lines, err));
    return qn__rows_fetch(&input->lines, err);
}

qn_status qn__input_open(const char *path, qn__input **ret_input, qn_error *err) {
    qn_cleanup(qn__input_free) qn__input *input = qn_new(qn__input);
    if (!input)
        return qn_error_memory(err);
    input->fd = -1;
    input->path = qn_strdup(path);
    if (!input->path)
        return qn_error_memory(err);
    if (ends_with(path, ".zst")) {
        QN_TRY(open_lines(input, err));
    } else {
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return qn_error_errno(err, "read", path);
        if (!ends_with(path, ".gz"))
            input->fd = fd;
        else if (!(input->gz = gzdopen(fd, "rb"))) {
            close(fd);
            return qn_error_memory(err);
        }
        if (input->gz)
            (void)gzbuffer(input->gz, 1 << 17);
    }
    *ret_input = qn_steal(&input);
    return QN_OK;
}

static qn_status read_plain(qn__input *input, char *bytes, size_t cap, size_t *ret_n,
                            qn_error *err) {
    ssize_t n;
    do
        n = read(input->fd, bytes, cap);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return qn_error_errno(err, "read", input->path);
    input->position += (double)n;
    *ret_n = (size_t)n;
    return QN_OK;
}

static qn_status read_gz(qn__input *input, char *bytes, size_t cap, size_t *ret_n, qn_error *err) {
    const int n = gzread(input->gz, bytes, cap > INT32_MAX ? INT32_MAX : (unsigned)cap);
    int code = Z_OK;
    const char *why = n < (int)cap ? gzerror(input->gz, &code) : "";
    if (n < 0 || code == Z_BUF_ERROR) /* a file cut short is told by the latter */
        return code == Z_ERRNO
                   ? qn_error_errno(err, "read", input->path)
                   : qn_error_set(err, QN_ERR_DATA, "%s: its compression is damaged (%s)",
                                  input->path, code == Z_BUF_ERROR ? "it ends too soon" : why);
    input->position = (double)gzoffset(input->gz);
    *ret_n = (size_t)n;
    return QN_OK;
}

/* The rest of one line or the first `cap` bytes of it. */
static qn_status read_line(qn__input *input, char *bytes, size_t cap, size_t *ret_n,
                           qn_error *err) {
    qn__rows *rows = &input->lines;
    while (rows->chunk && rows->at == rows->n_chunk)
        QN_TRY(qn__rows_fetch(rows, err));
    *ret_n = 0;
    while (rows->chunk && rows->at < rows->n_chunk && *ret_n < cap) {
        size_t n = 0;
        const char *line = qn__rows_text(rows, 0, rows->at, &n);
        if (!line)
            n = 0;
        size_t take = n - input->at_line;
        if (take > cap - *ret_n)
            take = cap - *ret_n;
        if (take)
            memcpy(bytes + *ret_n, line + input->at_line, take);
        *ret_n += take;
        input->at_line += take;
        if (input->at_line < n || *ret_n == cap)
            break;
        bytes[(*ret_n)++] = '\n';
        input->at_line = 0;
        rows->at++;
    }
    input->position += (double)*ret_n;
    return QN_OK;
}

qn_status qn__input_read(qn__input *input, char *bytes, size_t cap, size_t *ret_n, qn_error *err) {
    if (input->gz)
        return read_gz(input, bytes, cap, ret_n, err);
    return input->fd >= 0 ? read_plain(input, bytes, cap, ret_n, err)
                          : read_line(input, bytes, cap, ret_n, err);
}

double qn__input_position(const qn__input *input) {
    return input ? input->position : 0;
}
