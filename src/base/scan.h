/* scan.h - JSON pulled value by value, without a tree: for what must be fast (requests), where the
 * reader knows what it wants. As strict as RFC 8259 but for NaN, Infinity and -Infinity, which
 * Python's json writes.
 *
 *     qn_scan scan;
 *     qn_scan_init(&scan, bytes, n);                       // bytes[n] must be NUL
 *     bool first = true;
 *     if (qn_scan_open(&scan, '{'))
 *         while (qn_scan_member(&scan, &first, &key))
 *             ... qn_scan_text(&scan, &text), qn_scan_number(...), qn_scan_skip(&scan) ...
 *     if (!qn_scan_finish(&scan))
 *         return qn_scan_error(&scan, "body", err);
 *
 * The first problem sticks: everything after it answers false. Bytes are borrowed. */
#ifndef QN_BASE_SCAN_H
#define QN_BASE_SCAN_H

#include <string.h>

#include "base/buf.h"
#include "base/number.h"

/* UTF-8 without NUL bytes inside the text; valid until the next text with escapes is read. */
typedef struct qn_scan_string {
    const char *bytes;
    size_t n;
} qn_scan_string;

static inline bool qn_scan_is(qn_scan_string text, const char *word) {
    return text.n == strlen(word) && memcmp(text.bytes, word, text.n) == 0;
}

typedef struct qn_scan {
    const char *start, *at, *end; /* borrowed */
    int depth;
    const char *problem;          /* a literal; NULL while all is well */
    qn_buf unescaped;             /* owned; the last text that had escapes */
} qn_scan;

/* Checks that all of it is UTF-8. */
void qn_scan_init(qn_scan *scan, const char *bytes, size_t n);
/* The same on the memory of a former scan. */
void qn_scan_again(qn_scan *scan, const char *bytes, size_t n);
void qn_scan_done(qn_scan *scan);

/* The first character of the next value, 0 at the end or after a problem: '{', '[', '"', 't', 'f',
 * 'n'; anything else begins a number or is a problem. */
char qn_scan_peek(qn_scan *scan);
/* Enters a value that begins with '{' or '['. */
bool qn_scan_open(qn_scan *scan, char bracket);
/* Moves to the next member of the object (its key is read) or item of the list; false behind the
 * last, whose bracket is read. `*first` is true before the first call. */
bool qn_scan_member(qn_scan *scan, bool *first, qn_scan_string *ret_key);
bool qn_scan_item(qn_scan *scan, bool *first);
/* Moves to the next member if its key is `name` as it stands, and reads nothing otherwise. For names
 * without quotes, backslashes and control characters. */
bool qn_scan_member_is(qn_scan *scan, bool *first, const char *name, size_t n);

bool qn_scan_text(qn_scan *scan, qn_scan_string *ret_text);
/* WHOLE sets both; REAL sets *ret_real. NONE is a problem. */
qn_number_kind qn_scan_number(qn_scan *scan, int64_t *ret_whole, double *ret_real);
/* The same for the usual number - up to 15 digits, no exponent - without a call. False, and nothing is
 * read, when it is another number, or none. */
static inline bool qn_scan_short_number(qn_scan *scan, double *ret_real) {
    const char *p = scan->at;
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')
        p++;
    const bool minus = *p == '-';
    p += minus;
    const char *const first = p;
    int64_t digits = 0;
    unsigned digit;
    for (; (digit = (unsigned char)*p - '0') < 10; p++)
        digits = 10 * digits + digit;
    ptrdiff_t n = p - first, n_fraction = 0;
    if (n == 0 || n > 15 || (n > 1 && *first == '0'))
        return false;
    if (*p == '.') {
        for (p++; (digit = (unsigned char)*p - '0') < 10 && n < 15; p++, n++, n_fraction++)
            digits = 10 * digits + digit;
        if (n_fraction == 0 || digit < 10)
            return false;
    }
    if ((*p | 32) == 'e' || (digits == 0 && minus))
        return false;
    const double whole = (double)(minus ? -digits : digits);
    *ret_real = n_fraction ? whole / qn_powers_of_ten[n_fraction] : whole;
    scan->at = p;
    return true;
}
bool qn_scan_bool(qn_scan *scan, bool *ret_value);
/* Reads `null` if that is next. */
bool qn_scan_null(qn_scan *scan);
/* Reads any value. */
bool qn_scan_skip(qn_scan *scan);

/* True when nothing but white space is left and there was no problem. */
bool qn_scan_finish(qn_scan *scan);
/* Notes a problem of the reader's own, unless there is one. Returns false. */
bool qn_scan_fail(qn_scan *scan, const char *problem);
/* QN_ERR_FORMAT: "NAME is not what is expected: PROBLEM, at byte N"; QN_ERR_MEMORY when a text with
 * escapes did not fit. */
qn_status qn_scan_error(const qn_scan *scan, const char *name, qn_error *err);
/* The same for a value of a table: "row 3, column age: PROBLEM, at byte N". */
qn_status qn_scan_error_at(const qn_scan *scan, int64_t row, const char *column, qn_error *err);

#endif
