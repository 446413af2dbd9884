#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* Messages quote bytes of strangers, and are cut at their end: what is not UTF-8, and what a
 * terminal would take for a command, becomes '?'; a character cut at the end goes. */
static void make_utf8(char *text) {
    for (size_t n = strlen(text), at = 0; at < n;) {
        unsigned char lead = (unsigned char)text[at];
        size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
        size_t have = 1;
        while (have < want && at + have < n && ((unsigned char)text[at + have] & 0xC0) == 0x80)
            have++;
        if (have < want && at + have == n) {
            text[at] = '\0';
            return;
        }
        bool command = (lead < 0x20 && lead != '\n' && lead != '\t') || lead == 0x7F;
        if (command || !qn_text_is_utf8(text + at, have))
            text[at] = '?', have = 1;
        at += have;
    }
}

static void set_text(char *to, size_t size, const char *from) {
    snprintf(to, size, "%s", from ? from : "");
    make_utf8(to);
}

static void set_place(qn_error *err, qn_status code, const char *file, int64_t row,
                      const char *column) {
    err->code = code;
    err->row = row;
    set_text(err->file, sizeof err->file, file);
    set_text(err->column, sizeof err->column, column);
}

qn_status qn_error_set(qn_error *err, qn_status code, const char *format, ...) {
    if (!err)
        return code;
    set_place(err, code, NULL, 0, NULL);
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    make_utf8(err->message);
    return code;
}

qn_status qn_error_set_at(qn_error *err, qn_status code, const char *file, int64_t row,
                          const char *column, const char *format, ...) {
    if (!err)
        return code;
    set_place(err, code, file, row, column);
    size_t n = 0, size = sizeof err->message;
    const char *between = "";
    if (file && *file) {
        n += (size_t)snprintf(err->message + n, size - n, "%.400s", file);
        between = " ";
    }
    if (row > 0) {
        n += (size_t)snprintf(err->message + n, size - n, "%srow %lld", between, (long long)row);
        between = ", ";
    } else if (n > 0) {
        between = ", ";
    }
    if (column && *column)
        n += (size_t)snprintf(err->message + n, size - n, "%scolumn %.200s", between, column);
    if (n > 0)
        n += (size_t)snprintf(err->message + n, size - n, ": ");
    va_list args;
    va_start(args, format);
    vsnprintf(err->message + n, size - n, format, args);
    va_end(args);
    make_utf8(err->message);
    return code;
}

void qn_error_prefix(qn_error *err, const char *format, ...) {
    if (!err)
        return;
    char old[sizeof err->message], text[512];
    memcpy(old, err->message, sizeof old);
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(err->message, sizeof err->message, "%.500s: %.*s", text,
             (int)(sizeof err->message - strlen(text) - 3), old);
    make_utf8(err->message);
}

qn_status qn_error_memory(qn_error *err) {
    return qn_error_set(err, QN_ERR_MEMORY,
                        "out of memory: use less data, or a machine with more of it");
}

qn_status qn_error_errno(qn_error *err, const char *verb, const char *path) {
    int code = errno;
    qn_status status = code == ENOENT ? QN_ERR_NOT_FOUND : code == ENOMEM ? QN_ERR_MEMORY
                                                                          : QN_ERR_IO;
    return qn_error_set(err, status, "cannot %s %s: %s", verb, path, strerror(code));
}

const char *qn_status_name(qn_status status) {
    static const char *const names[] = {
        [QN_OK] = "ok",
        [QN_ERR_MEMORY] = "memory",
        [QN_ERR_IO] = "io",
        [QN_ERR_NOT_FOUND] = "not found",
        [QN_ERR_EXISTS] = "exists",
        [QN_ERR_USAGE] = "usage",
        [QN_ERR_CONFIG] = "config",
        [QN_ERR_DATA] = "data",
        [QN_ERR_FORMAT] = "format",
        [QN_ERR_LIMIT] = "limit",
        [QN_ERR_CANCELLED] = "cancelled",
        [QN_ERR_BUSY] = "busy",
        [QN_ERR_UNSUPPORTED] = "unsupported",
        [QN_ERR_INTERNAL] = "internal",
    };
    size_t i = (size_t)status;
    return i < sizeof names / sizeof names[0] && names[i] ? names[i] : "unknown";
}
