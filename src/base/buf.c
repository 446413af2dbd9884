#include "base/buf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

void qn_buf_done(qn_buf *buf) {
    if (!buf)
        return;
    qn_freep(&buf->data);
    *buf = (qn_buf){.max = buf->max};
}

void qn_buf_clear(qn_buf *buf) {
    buf->len = 0;
    buf->status = QN_OK;
    if (buf->data)
        buf->data[0] = '\0';
}

/* Makes room for n more bytes and the NUL. */
static bool reserve(qn_buf *buf, size_t n) {
    if (buf->status != QN_OK)
        return false;
    size_t max = buf->max ? buf->max : QN_LIMIT_BUFFER_BYTES;
    if (n > max || buf->len > max - n) {
        buf->status = QN_ERR_LIMIT;
        return false;
    }
    size_t need = buf->len + n + 1;
    if (need <= buf->cap)
        return true;
    size_t cap = buf->cap ? buf->cap : 256;
    while (cap < need)
        cap *= 2;
    char *data = qn_realloc(buf->data, cap, 1);
    if (!data) {
        buf->status = QN_ERR_MEMORY;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

void qn_buf_put(qn_buf *buf, const void *bytes, size_t n) {
    if (!reserve(buf, n))
        return;
    if (n)
        memcpy(buf->data + buf->len, bytes, n);
    buf->len += n;
    buf->data[buf->len] = '\0';
}

void qn_buf_put_text(qn_buf *buf, const char *text) {
    qn_buf_put(buf, text, strlen(text));
}

void qn_buf_put_char(qn_buf *buf, char c) {
    qn_buf_put(buf, &c, 1);
}

void qn_buf_printf(qn_buf *buf, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0 && reserve(buf, (size_t)n)) {
        vsnprintf(buf->data + buf->len, (size_t)n + 1, format, again);
        buf->len += (size_t)n;
    }
    va_end(again);
}

void qn_buf_put_double(qn_buf *buf, double x) {
    char text[QN_DOUBLE_TEXT];
    qn_double_to_text(x, text);
    qn_buf_put_text(buf, text);
}

void qn_buf_put_u32(qn_buf *buf, uint32_t x) {
    unsigned char b[4];
    for (int i = 0; i < 4; i++)
        b[i] = (unsigned char)(x >> (8 * i));
    qn_buf_put(buf, b, sizeof b);
}

void qn_buf_put_u64(qn_buf *buf, uint64_t x) {
    unsigned char b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (unsigned char)(x >> (8 * i));
    qn_buf_put(buf, b, sizeof b);
}

void qn_buf_put_f64(qn_buf *buf, double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    qn_buf_put_u64(buf, bits);
}

void qn_buf_align(qn_buf *buf, size_t alignment) {
    while (buf->len % alignment && buf->status == QN_OK)
        qn_buf_put_char(buf, '\0');
}

const char *qn_buf_text(const qn_buf *buf) {
    return buf->data ? buf->data : "";
}

qn_status qn_buf_status(const qn_buf *buf, qn_error *err) {
    if (buf->status == QN_OK)
        return QN_OK;
    if (buf->status == QN_ERR_MEMORY)
        return qn_error_memory(err);
    return qn_error_set(err, QN_ERR_LIMIT, "the text grew beyond its limit of %zu bytes",
                        buf->max ? buf->max : QN_LIMIT_BUFFER_BYTES);
}

char *qn_buf_steal(qn_buf *buf) {
    if (!reserve(buf, 0)) {
        qn_buf_done(buf);
        return NULL;
    }
    buf->data[buf->len] = '\0';
    char *data = buf->data;
    *buf = (qn_buf){.max = buf->max};
    return data;
}

const void *qn_reader_bytes(qn_reader *reader, size_t n) {
    if (reader->failed || n > reader->len - reader->pos) {
        reader->failed = true;
        return NULL;
    }
    const void *bytes = reader->data + reader->pos;
    reader->pos += n;
    return bytes;
}

uint32_t qn_reader_u32(qn_reader *reader) {
    const unsigned char *b = qn_reader_bytes(reader, 4);
    uint32_t x = 0;
    for (int i = 0; b && i < 4; i++)
        x |= (uint32_t)b[i] << (8 * i);
    return x;
}

uint64_t qn_reader_u64(qn_reader *reader) {
    const unsigned char *b = qn_reader_bytes(reader, 8);
    uint64_t x = 0;
    for (int i = 0; b && i < 8; i++)
        x |= (uint64_t)b[i] << (8 * i);
    return x;
}

double qn_reader_f64(qn_reader *reader) {
    uint64_t bits = qn_reader_u64(reader);
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

void qn_reader_align(qn_reader *reader, size_t alignment) {
    size_t over = reader->pos % alignment;
    if (over)
        (void)qn_reader_bytes(reader, alignment - over);
}
