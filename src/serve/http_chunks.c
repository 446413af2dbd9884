/* Bodies in chunks. Extensions and trailers are passed over. */
#include "serve/http.h"

enum { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_LF, END, BAD };
enum { MOST_DIGITS = 15, MOST_LINE = 4096 };

static int hex(unsigned char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 87 : -1;
}

static int after_size(qn__chunks *chunks) {
    chunks->n_line = 0;
    chunks->n_digits = 0;
    return chunks->left ? DATA : TRAILER;
}

/* One byte that is none of the body's. */
static int step(qn__chunks *chunks, unsigned char c) {
    if (chunks->n_line++ > MOST_LINE)
        return BAD;
    switch (chunks->state) {
    case SIZE:
        if (hex(c) >= 0 && chunks->n_digits < MOST_DIGITS) {
            chunks->left = chunks->left << 4 | (unsigned)hex(c);
            chunks->n_digits++;
            return SIZE;
        }
        if (chunks->n_digits == 0)
            return BAD;
        return c == '\r' ? SIZE_LF : c == ';' || c == ' ' || c == '\t' ? EXTENSION : BAD;
    case EXTENSION:
        return c == '\r' ? SIZE_LF : c >= 0x20 || c == '\t' ? EXTENSION : BAD;
    case SIZE_LF:
        return c == '\n' ? after_size(chunks) : BAD;
    case DATA_CR:
        return c == '\r' ? DATA_LF : BAD;
    case DATA_LF:
        chunks->n_line = 0;
        return c == '\n' ? SIZE : BAD;
    case TRAILER: /* n_digits: bytes of this line were seen */
        if (c == '\r')
            return TRAILER_LF;
        chunks->n_digits = 1;
        return c >= 0x20 || c == '\t' ? TRAILER : BAD;
    case TRAILER_LF:
        if (c != '\n')
            return BAD;
        if (chunks->n_digits == 0)
            return END;
        chunks->n_digits = 0;
        return TRAILER;
    default:
        return BAD;
    }
}

qn__chunks_result qn__chunks_take(qn__chunks *chunks, const char *bytes, size_t n, size_t *at,
                                  const char **ret_piece, size_t *ret_n) {
    *ret_n = 0;
    while (*at < n && chunks->state != END && chunks->state != BAD) {
        if (chunks->state == DATA) {
            const size_t n_here = n - *at < chunks->left ? n - *at : (size_t)chunks->left;
            *ret_piece = bytes + *at;
            *ret_n = n_here;
            *at += n_here;
            chunks->left -= n_here;
            if (chunks->left == 0)
                chunks->state = DATA_CR;
            return QN__CHUNKS_MORE;
        }
        chunks->state = step(chunks, (unsigned char)bytes[(*at)++]);
    }
    return chunks->state == END ? QN__CHUNKS_END
           : chunks->state == BAD ? QN__CHUNKS_BAD : QN__CHUNKS_MORE;
}
