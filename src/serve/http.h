/* http.h - HTTP/1.1 as bytes (RFC 9112), without sockets: the head of a request, bodies in chunks.
 *
 *     size_t n = qn__head_find(bytes, len, &searched);   // 0: not whole yet
 *     qn__head_read(bytes, n, &head);                    // in place: `bytes` become its texts
 *     if (head.refused) ... answer that status, and why
 *
 * Strict, so that no two readers in a row can understand a request differently: lines end in CR LF,
 * a length is digits and stands alone, chunks come without a length. */
#ifndef QN_SERVE_HTTP_H
#define QN_SERVE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The header fields that are looked at; others are checked and passed over. */
typedef enum qn__field {
    QN__ACCEPT, QN__AUTHORIZATION, QN__CONNECTION, QN__CONTENT_ENCODING, QN__CONTENT_LENGTH,
    QN__CONTENT_TYPE, QN__EXPECT, QN__HOST, QN__ORIGIN, QN__REQUEST_ID, QN__SEAM,
    QN__TRANSFER_ENCODING, QN__N_FIELDS,
} qn__field;

enum {
    QN__HEAD_BYTES = 12 * 1024, /* of a request line with its fields */
    QN__ARGUMENTS = 16,         /* of a query */
};

typedef struct qn__argument {
    const char *name, *value;   /* decoded; "" when there is no value */
} qn__argument;

/* Texts end in NUL and lie where the head lay. */
typedef struct qn__head {
    int refused;                /* a status: the request is none, and the connection cannot go on */
    const char *why;            /* literal */
    const char *method, *path;  /* the path is decoded */
    const char *fields[QN__N_FIELDS]; /* the first of each name; NULL: absent */
    qn__argument arguments[QN__ARGUMENTS];
    int n_arguments;
    int64_t length;             /* of the body, unless `chunked` */
    bool old;                   /* HTTP/1.0 */
    bool chunked;
    bool expects;               /* the body is not sent before it is asked for */
    bool closes;                /* the connection ends with the answer */
    bool keeps;                 /* HTTP/1.0, asking that it goes on */
} qn__head;

/* Bytes up to and with the empty line, 0 when it has not come. `searched` is 0 for a new head and
 * remembers how far a search came. */
size_t qn__head_find(const char *bytes, size_t n, size_t *searched);
/* As one that was not read. */
void qn__head_clear(qn__head *head);
/* n is what qn__head_find gave. */
void qn__head_read(char *bytes, size_t n, qn__head *ret_head);

/* A body in chunks. All zero to begin with. */
typedef struct qn__chunks {
    int state;
    int n_digits;
    size_t n_line;              /* bytes of the line: extensions and trailers are passed over */
    uint64_t left;              /* of the chunk */
} qn__chunks;

typedef enum qn__chunks_result {
    QN__CHUNKS_MORE,
    QN__CHUNKS_END,
    QN__CHUNKS_BAD,
} qn__chunks_result;

/* Takes from bytes[*at .. n) until a piece of the body is found (ret_n > 0: it begins at *ret_piece,
 * and *at is behind it), or bytes or body end, or what comes is no chunk. */
qn__chunks_result qn__chunks_take(qn__chunks *chunks, const char *bytes, size_t n, size_t *at,
                                  const char **ret_piece, size_t *ret_n);

/* "OK" for 200, and so on. */
const char *qn__status_text(int status);

#endif
