/* What one cell says: a number, a truth value, or that it is missing. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/csv_int.h"

void qn__missing_init(qn__missing *missing, const qn__names *names) {
    *missing = (qn__missing){.names = names};
    for (size_t i = 0; i < names->n; i++) {
        const size_t n = strlen(names->items[i]);
        if (n > missing->longest)
            missing->longest = n;
        missing->first[(unsigned char)names->items[i][0]] = true;
    }
}

static const double powers_of_ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                       1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

#if LDBL_MANT_DIG == 64
/* One operation on 64-bit mantissas is off by at most half a unit of the last place; rounded again
 * to 53 bits it is right unless the 11 bits that go are next to the middle. */
static bool from_extended(uint64_t digits, int exponent, double *ret_value) {
    static const long double powers[] = {1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,
                                         1e7L,  1e8L,  1e9L,  1e10L, 1e11L, 1e12L, 1e13L,
                                         1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L, 1e20L,
                                         1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L};
    if (exponent < -27 || exponent > 27 || !digits)
        return false;
    const long double x = exponent < 0 ? (long double)digits / powers[-exponent]
                                       : (long double)digits * powers[exponent];
    uint64_t mantissa;
    memcpy(&mantissa, &x, sizeof mantissa);
    const uint64_t gone = mantissa & 0x7ff;
    if (gone >= 0x3fe && gone <= 0x402)
        return false;
    *ret_value = (double)x;
    return true;
}
#else
static bool from_extended(uint64_t digits, int exponent, double *ret_value) {
    return false;
}
#endif

static bool slow_number(const char *bytes, size_t n, double *ret_value) {
    char text[512], *end;
    if (n >= sizeof text)
        return false;
    memcpy(text, bytes, n);
    text[n] = '\0';
    *ret_value = strtod(text, &end);
    return end == text + n;
}

static qn__number named_number(const char *bytes, size_t n, bool minus, double *ret_real) {
    if ((n == 3 && strncasecmp(bytes, "inf", 3) == 0) ||
        (n == 8 && strncasecmp(bytes, "infinity", 8) == 0))
        *ret_real = minus ? -INFINITY : INFINITY;
    else if (n == 3 && strncasecmp(bytes, "nan", 3) == 0)
        *ret_real = NAN;
    else
        return QN__NOT_A_NUMBER;
    return QN__REAL;
}

/* "e-12": its value; false when it is malformed. */
static bool take_exponent(const char **at, const char *end, int *ret_exponent) {
    const char *p = *at + 1;
    const bool minus = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    if (p == end)
        return false;
    int value = 0;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        if (value < 100000)
            value = 10 * value + (*p - '0');
    }
    *at = p;
    *ret_exponent = minus ? -value : value;
    return true;
}

static qn__number make_real(const char *bytes, size_t n, uint64_t digits, bool cut,
                            int64_t exponent, bool minus, double *ret_real) {
    double x;
    if (!cut && digits < ((uint64_t)1 << 53) && exponent >= -22 && exponent <= 22)
        x = exponent < 0 ? (double)digits / powers_of_ten[-exponent]
                         : (double)digits * powers_of_ten[exponent];
    else if (cut || exponent < -1000 || exponent > 1000 ||
             !from_extended(digits, (int)exponent, &x))
        return slow_number(bytes, n, ret_real) ? QN__REAL : QN__NOT_A_NUMBER;
    *ret_real = minus ? -x : x;
    return QN__REAL;
}

qn__number qn__number_parse(const char *bytes, size_t n, int64_t *ret_whole, double *ret_real) {
    const char *p = bytes, *const end = bytes + n;
    const bool minus = n && *p == '-';
    if (n && (*p == '-' || *p == '+'))
        p++;
    const char *const first = p;
    uint64_t digits = 0;
    for (; p < end && (unsigned char)(*p - '0') < 10; p++)
        if (p - first < 19)
            digits = 10 * digits + (uint64_t)(*p - '0');
    const ptrdiff_t n_whole = p - first;
    if (p == end && n_whole && n_whole <= 19 && digits <= (uint64_t)INT64_MAX + minus) {
        *ret_whole = minus ? (int64_t)(0 - digits) : (int64_t)digits;
        *ret_real = (double)*ret_whole;
        return n_whole > 1 && *first == '0' ? QN__ZERO_LED : QN__WHOLE;
    }
    ptrdiff_t n_fraction = 0;
    bool cut = n_whole > 19;
    if (p < end && *p == '.') {
        const char *const point = p++;
        for (; p < end && (unsigned char)(*p - '0') < 10; p++) {
            cut |= digits >= UINT64_C(1000000000000000000);
            if (!cut)
                digits = 10 * digits + (uint64_t)(*p - '0');
        }
        n_fraction = p - point - 1;
    }
    if (!n_whole && !n_fraction)
        return named_number(first, (size_t)(end - first), minus, ret_real);
    int exponent = 0;
    if (p < end && (*p == 'e' || *p == 'E') && !take_exponent(&p, end, &exponent))
        return QN__NOT_A_NUMBER;
    if (p != end)
        return QN__NOT_A_NUMBER;
    return make_real(bytes, n, digits, cut, (int64_t)exponent - n_fraction, minus, ret_real);
}

static bool is_word(const char *bytes, size_t n, const char *word) {
    return n == strlen(word) && strncasecmp(bytes, word, n) == 0;
}

bool qn__bool_parse(const char *bytes, size_t n, bool loose, int64_t *ret_value) {
    *ret_value =
        is_word(bytes, n, "true") ||
        (loose && (is_word(bytes, n, "t") || is_word(bytes, n, "yes") || is_word(bytes, n, "1")));
    return *ret_value || is_word(bytes, n, "false") ||
           (loose && (is_word(bytes, n, "f") || is_word(bytes, n, "no") || is_word(bytes, n, "0")));
}

const char *qn__type_wanted(qn_type type) {
    return type == QN_TYPE_I64    ? "whole number"
           : type == QN_TYPE_BOOL ? "truth value (true or false)"
           : type == QN_TYPE_TIME ? "time"
                                  : "number";
}
