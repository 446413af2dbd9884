/* buf.h - a growing byte buffer with a ceiling and a sticky status.
 *
 *     qn_cleanup(qn_buf_done) qn_buf out = {0};
 *     qn_buf_printf(&out, "<td>%d</td>", n);
 *     qn_buf_put_text(&out, "...");
 *     QN_TRY(qn_buf_status(&out, err));       // one check at the end
 *
 * After a failure further writes do nothing. The bytes are always followed by a NUL that does not
 * count. A zeroed struct is an empty buffer. */
#ifndef QN_BASE_BUF_H
#define QN_BASE_BUF_H

#include "base/error.h"

typedef struct qn_buf {
    char *data;       /* owned; NULL until the first write */
    size_t len;       /* bytes written */
    size_t cap;
    size_t max;       /* ceiling in bytes; 0 means QN_LIMIT_BUFFER_BYTES */
    qn_status status; /* sticky: QN_OK, QN_ERR_MEMORY or QN_ERR_LIMIT */
} qn_buf;

void qn_buf_done(qn_buf *buf);
void qn_buf_clear(qn_buf *buf); /* length 0, status QN_OK, memory kept */
void qn_buf_put(qn_buf *buf, const void *bytes, size_t n);
void qn_buf_put_text(qn_buf *buf, const char *text);
void qn_buf_put_char(qn_buf *buf, char c);
void qn_buf_printf(qn_buf *buf, const char *format, ...) QN_PRINTF(2, 3);
/* The shortest decimal that reads back as `x`; "NaN", "Infinity", "-Infinity" for the others. */
void qn_buf_put_double(qn_buf *buf, double x);
/* Little-endian binary, for our file formats. */
void qn_buf_put_u32(qn_buf *buf, uint32_t x);
void qn_buf_put_u64(qn_buf *buf, uint64_t x);
void qn_buf_put_f64(qn_buf *buf, double x);
/* Zero bytes until len is a multiple of `alignment`. */
void qn_buf_align(qn_buf *buf, size_t alignment);
/* "" when nothing was written. Valid until the next write. */
const char *qn_buf_text(const qn_buf *buf);
/* The sticky status, with its message. */
qn_status qn_buf_status(const qn_buf *buf, qn_error *err) QN_MUST_USE;
/* Hands the bytes to the caller (to free with qn_freep) and empties the buffer; NULL on failure. */
char *qn_buf_steal(qn_buf *buf);

/* The reading side: a cursor over untrusted bytes. Reads past the end set `failed` and give
 * zeros. */
typedef struct qn_reader {
    const unsigned char *data; /* borrowed */
    size_t len, pos;
    bool failed;
} qn_reader;

uint32_t qn_reader_u32(qn_reader *reader);
uint64_t qn_reader_u64(qn_reader *reader);
double qn_reader_f64(qn_reader *reader);
/* A pointer to the next n bytes, inside `data`; NULL when there are fewer. */
const void *qn_reader_bytes(qn_reader *reader, size_t n);
void qn_reader_align(qn_reader *reader, size_t alignment);

#endif
