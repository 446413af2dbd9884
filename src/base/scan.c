#include "base/scan.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"

/* The NUL behind the text ends every loop: it is no white space, no digit, and inside a string a
 * control character. */

static bool is_ascii(const char *bytes, size_t n) {
    uint64_t all = 0, word;
    for (; n >= sizeof word; bytes += sizeof word, n -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        all |= word;
    }
    for (size_t i = 0; i < n; i++)
        all |= (unsigned char)bytes[i];
    return !(all & UINT64_C(0x8080808080808080));
}

/* The first byte that does not belong to a well-formed character. */
static const char *first_bad(const char *p, const char *end) {
    while (p < end) {
        const unsigned char lead = (unsigned char)*p;
        const ptrdiff_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
        if (n > end - p || !qn_text_is_utf8(p, (size_t)n))
            break;
        p += n;
    }
    return p;
}

void qn_scan_init(qn_scan *scan, const char *bytes, size_t n) {
    *scan = (qn_scan){0};
    qn_scan_again(scan, bytes, n);
}

void qn_scan_again(qn_scan *scan, const char *bytes, size_t n) {
    scan->start = scan->at = bytes;
    scan->end = bytes + n;
    scan->depth = 0;
    scan->problem = NULL;
    if (!is_ascii(bytes, n) && !qn_text_is_utf8(bytes, n)) {
        scan->at = first_bad(bytes, scan->end);
        qn_scan_fail(scan, "bytes that are not UTF-8");
    }
}

void qn_scan_done(qn_scan *scan) {
    qn_buf_done(&scan->unescaped);
}

bool qn_scan_fail(qn_scan *scan, const char *problem) {
    if (!scan->problem)
        scan->problem = problem;
    return false;
}

static inline const char *behind_space(const char *p) {
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')
        p++;
    return p;
}

static inline char next(qn_scan *scan) {
    scan->at = behind_space(scan->at);
    return *scan->at;
}

char qn_scan_peek(qn_scan *scan) {
    return scan->problem ? '\0' : next(scan);
}

bool qn_scan_open(qn_scan *scan, char bracket) {
    if (scan->problem)
        return false;
    if (next(scan) != bracket)
        return qn_scan_fail(scan, bracket == '{' ? "not an object" : "not a list");
    if (++scan->depth > QN_LIMIT_JSON_DEPTH)
        return qn_scan_fail(scan, "nested too deeply");
    scan->at++;
    return true;
}

/* Behind the bracket or behind a value: at the next one, or past the closing bracket. */
static bool advance(qn_scan *scan, bool *first, char bracket) {
    if (scan->problem)
        return false;
    char c = next(scan);
    if (c == bracket) {
        scan->at++;
        scan->depth--;
        return false;
    }
    if (!*first) {
        if (c != ',')
            return qn_scan_fail(scan, bracket == '}' ? "a comma or '}' is missing"
                                                     : "a comma or ']' is missing");
        scan->at++;
    }
    *first = false;
    return true;
}

bool qn_scan_member(qn_scan *scan, bool *first, qn_scan_string *ret_key) {
    if (!advance(scan, first, '}') || !qn_scan_text(scan, ret_key))
        return false;
    if (next(scan) != ':')
        return qn_scan_fail(scan, "a colon is missing");
    scan->at++;
    return true;
}

bool qn_scan_member_is(qn_scan *scan, bool *first, const char *name, size_t n) {
    const char *p = behind_space(scan->at);
    if (scan->problem || (!*first && *p != ','))
        return false;
    p = *first ? p : behind_space(p + 1);
    if (*p++ != '"')
        return false;
    for (size_t i = 0; i < n; i++)
        if (p[i] != name[i])
            return false;
    if (p[n] != '"')
        return false;
    p = behind_space(p + n + 1);
    if (*p != ':')
        return false;
    scan->at = p + 1;
    *first = false;
    return true;
}

bool qn_scan_item(qn_scan *scan, bool *first) {
    return advance(scan, first, ']');
}

static bool hex4(const char *p, uint32_t *ret_code) {
    uint32_t code = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned char c = (unsigned char)p[i];
        const uint32_t digit = c >= '0' && c <= '9'   ? c - 48u
                               : c >= 'a' && c <= 'f' ? c - 87u
                               : c >= 'A' && c <= 'F' ? c - 55u
                                                      : 16u;
        if (digit == 16)
            return false;
        code = code << 4 | digit;
    }
    *ret_code = code;
    return true;
}

static void put_utf8(qn_buf *out, uint32_t code) {
    char b[4];
    size_t n = 0;
    if (code < 0x80) {
        b[n++] = (char)code;
    } else if (code < 0x800) {
        b[n++] = (char)(0xc0 | code >> 6);
    } else if (code < 0x10000) {
        b[n++] = (char)(0xe0 | code >> 12);
        b[n++] = (char)(0x80 | (code >> 6 & 0x3f));
    } else {
        b[n++] = (char)(0xf0 | code >> 18);
        b[n++] = (char)(0x80 | (code >> 12 & 0x3f));
        b[n++] = (char)(0x80 | (code >> 6 & 0x3f));
    }
    if (code >= 0x80)
        b[n++] = (char)(0x80 | (code & 0x3f));
    qn_buf_put(out, b, n);
}

/* `p` is behind "\u"; gives where the escape ends, NULL for none. */
static const char *take_unicode(qn_buf *out, const char *p) {
    uint32_t code, low;
    if (!hex4(p, &code) || code == 0)
        return NULL;
    p += 4;
    if (code >= 0xd800 && code < 0xdc00) {
        if (p[0] != '\\' || p[1] != 'u' || !hex4(p + 2, &low) || low < 0xdc00 || low > 0xdfff)
            return NULL;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        p += 6;
    } else if (code >= 0xdc00 && code < 0xe000) {
        return NULL;
    }
    put_utf8(out, code);
    return p;
}

/* A string with escapes, from its first character on. */
static bool take_escaped(qn_scan *scan, const char *p, qn_scan_string *ret_text) {
    qn_buf *out = &scan->unescaped;
    qn_buf_clear(out);
    for (;;) {
        const char *from = p;
        while (*p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
            p++;
        qn_buf_put(out, from, (size_t)(p - from));
        scan->at = p;
        if (*p == '"')
            break;
        if (*p != '\\')
            return qn_scan_fail(scan, *p ? "a control character in a text" : "a text does not end");
        static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
        const char *escape = p[1] ? strchr(escapes, p[1]) : NULL;
        if (escape) {
            qn_buf_put_char(out, meanings[escape - escapes]);
            p += 2;
        } else if (p[1] != 'u' || !(p = take_unicode(out, p + 2))) {
            return qn_scan_fail(scan, "an escape that is none");
        }
    }
    scan->at = p + 1;
    if (out->status != QN_OK)
        return qn_scan_fail(scan, "a text that does not fit in memory");
    *ret_text = (qn_scan_string){qn_buf_text(out), out->len};
    return true;
}

bool qn_scan_text(qn_scan *scan, qn_scan_string *ret_text) {
    if (scan->problem)
        return false;
    if (next(scan) != '"')
        return qn_scan_fail(scan, "not a text in quotes");
    const char *from = scan->at + 1, *p = from;
    while (*p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    if (*p != '"')
        return take_escaped(scan, from, ret_text);
    scan->at = p + 1;
    *ret_text = (qn_scan_string){from, (size_t)(p - from)};
    return true;
}

static bool take_word(qn_scan *scan, const char *word) {
    size_t n = strlen(word);
    if (strncmp(scan->at, word, n) != 0)
        return false;
    scan->at += n;
    return true;
}

/* JSON's own form of numbers: no leading zeros or plus, digits around the point. */
static const char *number_end(const char *p) {
    if (*p == '-')
        p++;
    if (*p == '0')
        p++;
    else if (*p >= '1' && *p <= '9')
        while (*p >= '0' && *p <= '9')
            p++;
    else
        return NULL;
    if (*p == '.') {
        const char *first = ++p;
        while (*p >= '0' && *p <= '9')
            p++;
        if (p == first)
            return NULL;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '-' || *p == '+')
            p++;
        const char *first = p;
        while (*p >= '0' && *p <= '9')
            p++;
        if (p == first)
            return NULL;
    }
    return p;
}

/* The usual number - up to 18 digits, no exponent - in one pass. */
static qn_number_kind take_short(qn_scan *scan, int64_t *ret_whole, double *ret_real) {
    const char *p = scan->at;
    const bool minus = *p == '-';
    p += minus;
    const char *const first = p, *point = NULL;
    uint64_t digits = 0;
    for (; (unsigned char)(*p - '0') < 10; p++)
        digits = 10 * digits + (uint64_t)(*p - '0');
    const ptrdiff_t n_whole = p - first;
    if (n_whole < 1 || n_whole > 18 || (n_whole > 1 && *first == '0'))
        return QN_NUMBER_NONE;
    if (*p == '.') {
        point = ++p;
        for (; (unsigned char)(*p - '0') < 10; p++)
            digits = 10 * digits + (uint64_t)(*p - '0');
        if (p == point || p - first > 19)
            return QN_NUMBER_NONE;
    }
    if (*p == 'e' || *p == 'E')
        return QN_NUMBER_NONE;
    if (!point) {
        *ret_whole = minus ? -(int64_t)digits : (int64_t)digits;
        *ret_real = (double)*ret_whole;
        scan->at = p;
        return QN_NUMBER_WHOLE;
    }
    double x;
    if (!qn_number_make(digits, -(int)(p - point), &x))
        return QN_NUMBER_NONE;
    *ret_real = minus ? -x : x;
    scan->at = p;
    return QN_NUMBER_REAL;
}

qn_number_kind qn_scan_number(qn_scan *scan, int64_t *ret_whole, double *ret_real) {
    if (scan->problem)
        return QN_NUMBER_NONE;
    char c = next(scan);
    if (c == 'N' || c == 'I' || (c == '-' && scan->at[1] == 'I')) {
        double x = take_word(scan, "NaN")         ? NAN
                   : take_word(scan, "Infinity")  ? INFINITY
                   : take_word(scan, "-Infinity") ? -INFINITY
                                                  : 0;
        if (x == 0)
            return qn_scan_fail(scan, "not a value"), QN_NUMBER_NONE;
        *ret_real = x;
        return QN_NUMBER_REAL;
    }
    qn_number_kind kind = take_short(scan, ret_whole, ret_real);
    if (kind != QN_NUMBER_NONE)
        return kind;
    const char *end = number_end(scan->at);
    if (!end)
        return qn_scan_fail(scan, c ? "not a value" : "the end, where a value should be"),
               QN_NUMBER_NONE;
    kind = qn_number_parse(scan->at, (size_t)(end - scan->at), ret_whole, ret_real);
    if (kind == QN_NUMBER_NONE)
        return qn_scan_fail(scan, "a number of too many digits"), QN_NUMBER_NONE;
    scan->at = end;
    return kind;
}

bool qn_scan_bool(qn_scan *scan, bool *ret_value) {
    if (scan->problem)
        return false;
    next(scan);
    bool value = take_word(scan, "true");
    if (!value && !take_word(scan, "false"))
        return qn_scan_fail(scan, "not true or false");
    *ret_value = value;
    return true;
}

bool qn_scan_null(qn_scan *scan) {
    return !scan->problem && next(scan) == 'n' && take_word(scan, "null");
}

bool qn_scan_skip(qn_scan *scan) {
    /* One bit a level: is it an object? */
    uint64_t objects[(QN_LIMIT_JSON_DEPTH + 63) / 64 + 1] = {0};
    const int outside = scan->depth;
    bool first = true;
    for (;;) {
        qn_scan_string text;
        int64_t whole;
        double real;
        bool truth;
        switch (qn_scan_peek(scan)) {
        case '{':
        case '[':
            if (!qn_scan_open(scan, *scan->at))
                return false;
            if (scan->at[-1] == '{')
                objects[scan->depth / 64] |= UINT64_C(1) << scan->depth % 64;
            else
                objects[scan->depth / 64] &= ~(UINT64_C(1) << scan->depth % 64);
            first = true;
            break;
        case '"':
            qn_scan_text(scan, &text);
            break;
        case 't':
        case 'f':
            qn_scan_bool(scan, &truth);
            break;
        case 'n':
            if (!qn_scan_null(scan))
                return qn_scan_fail(scan, "not a value");
            break;
        default:
            qn_scan_number(scan, &whole, &real);
        }
        /* To the next value inside what is open, closing what ends. */
        for (;;) {
            if (scan->problem)
                return false;
            if (scan->depth == outside)
                return true;
            bool is_object = objects[scan->depth / 64] >> scan->depth % 64 & 1;
            if (is_object ? qn_scan_member(scan, &first, &text) : qn_scan_item(scan, &first))
                break;
            first = false;
        }
    }
}

bool qn_scan_finish(qn_scan *scan) {
    if (scan->problem)
        return false;
    next(scan);
    return scan->at == scan->end || qn_scan_fail(scan, "more behind the value");
}

qn_status qn_scan_error_at(const qn_scan *scan, int64_t row, const char *column, qn_error *err) {
    if (scan->problem && scan->unescaped.status == QN_ERR_MEMORY)
        return qn_error_memory(err);
    return qn_error_set_at(err, QN_ERR_FORMAT, NULL, row, column, "%s, at byte %zu",
                           scan->problem ? scan->problem : "no problem",
                           (size_t)(scan->at - scan->start) + 1);
}

qn_status qn_scan_error(const qn_scan *scan, const char *name, qn_error *err) {
    if (scan->problem && scan->unescaped.status == QN_ERR_MEMORY)
        return qn_error_memory(err);
    return qn_error_set(err, QN_ERR_FORMAT, "%s is not what is expected: %s, at byte %zu", name,
                        scan->problem ? scan->problem : "no problem",
                        (size_t)(scan->at - scan->start) + 1);
}
