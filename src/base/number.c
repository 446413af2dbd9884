#include "base/number.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- reading ---------------------------------------------------------------------------------- */

const double qn_powers_of_ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
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

static qn_number_kind named_number(const char *bytes, size_t n, bool minus, double *ret_real) {
    if ((n == 3 && strncasecmp(bytes, "inf", 3) == 0) ||
        (n == 8 && strncasecmp(bytes, "infinity", 8) == 0))
        *ret_real = minus ? -INFINITY : INFINITY;
    else if (n == 3 && strncasecmp(bytes, "nan", 3) == 0)
        *ret_real = NAN;
    else
        return QN_NUMBER_NONE;
    return QN_NUMBER_REAL;
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

bool qn_number_make(uint64_t digits, int exponent, double *ret_real) {
    if (digits >= ((uint64_t)1 << 53) || exponent < -22 || exponent > 22)
        return from_extended(digits, exponent, ret_real);
    *ret_real = exponent < 0 ? (double)digits / qn_powers_of_ten[-exponent]
                             : (double)digits * qn_powers_of_ten[exponent];
    return true;
}

static qn_number_kind make_real(const char *bytes, size_t n, uint64_t digits, bool cut,
                                int64_t exponent, bool minus, double *ret_real) {
    double x;
    if (cut || exponent < -1000 || exponent > 1000 || !qn_number_make(digits, (int)exponent, &x))
        return slow_number(bytes, n, ret_real) ? QN_NUMBER_REAL : QN_NUMBER_NONE;
    *ret_real = minus ? -x : x;
    return QN_NUMBER_REAL;
}

qn_number_kind qn_number_parse(const char *bytes, size_t n, int64_t *ret_whole, double *ret_real) {
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
        return n_whole > 1 && *first == '0' ? QN_NUMBER_ZERO_LED : QN_NUMBER_WHOLE;
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
        return QN_NUMBER_NONE;
    if (p != end)
        return QN_NUMBER_NONE;
    return make_real(bytes, n, digits, cut, (int64_t)exponent - n_fraction, minus, ret_real);
}

/* --- writing ---------------------------------------------------------------------------------- */

__extension__ typedef unsigned __int128 uint128;

static const uint64_t powers_of_five[] = {
    UINT64_C(1), UINT64_C(5), UINT64_C(25), UINT64_C(125), UINT64_C(625), UINT64_C(3125),
    UINT64_C(15625), UINT64_C(78125), UINT64_C(390625), UINT64_C(1953125), UINT64_C(9765625),
    UINT64_C(48828125), UINT64_C(244140625), UINT64_C(1220703125), UINT64_C(6103515625),
    UINT64_C(30517578125), UINT64_C(152587890625), UINT64_C(762939453125),
    UINT64_C(3814697265625), UINT64_C(19073486328125), UINT64_C(95367431640625),
    UINT64_C(476837158203125), UINT64_C(2384185791015625), UINT64_C(11920928955078125),
    UINT64_C(59604644775390625), UINT64_C(298023223876953125), UINT64_C(1490116119384765625),
    UINT64_C(7450580596923828125),
};

/* A positive double as mantissa * 2^exponent. */
typedef struct binary {
    uint64_t mantissa; /* 2^52 .. 2^53 - 1 */
    int exponent;
} binary;

/* x * 10^k as a whole number, rounded to nearest (ties to even), k from 0 to 27: exact, because
 * mantissa * 5^k has at most 116 bits. True when the result, divided by 10^k, reads back as x: when
 * it is off by less than half a step of the mantissa (a quarter below a power of two, where steps
 * are half as wide). */
static bool scale_ten(binary x, int k, uint64_t *ret_digits) {
    const uint128 product = (uint128)x.mantissa * powers_of_five[k];
    const int shift = -(x.exponent + k);
    if (shift <= 0 || shift > 120)
        return false;
    const uint128 half = (uint128)1 << (shift - 1);
    uint64_t digits = (uint64_t)(product >> shift);
    const uint128 rest = product & (half + half - 1);
    digits += rest > half || (rest == half && (digits & 1));
    *ret_digits = digits;
    const uint128 back = (uint128)digits << shift;
    const uint128 off = back > product ? back - product : product - back;
    const bool narrow = back < product && x.mantissa == (uint64_t)1 << 52;
    return off * (narrow ? 4 : 2) < powers_of_five[k];
}

/* The digits of a number in [10^(n - 1), 10^n). */
static void put_digits(uint64_t value, int n, char *text) {
    for (int i = n - 1; i >= 0; i--) {
        text[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* digits * 10^-k with n significant digits, laid out as %.17g does. */
static size_t lay_out(uint64_t digits, int n, int k, char *text) {
    char all[24];
    while (digits % 10 == 0) {
        digits /= 10;
        n--;
        k--;
    }
    put_digits(digits, n, all);
    const int power = n - 1 - k; /* of the first digit */
    size_t len = 0;
    if (power < -4) {
        text[len++] = all[0];
        if (n > 1)
            text[len++] = '.';
        memcpy(text + len, all + 1, (size_t)(n - 1));
        len += (size_t)(n - 1);
        text[len++] = 'e';
        text[len++] = '-';
        text[len++] = (char)('0' + -power / 10);
        text[len++] = (char)('0' + -power % 10);
        return len;
    }
    if (power < 0) {
        memcpy(text, "0.000", (size_t)(1 - power));
        len = (size_t)(1 - power);
        memcpy(text + len, all, (size_t)n);
        return len + (size_t)n;
    }
    const int n_whole = power + 1;
    if (n <= n_whole) {
        memcpy(text, all, (size_t)n);
        memset(text + n, '0', (size_t)(n_whole - n));
        return (size_t)n_whole;
    }
    memcpy(text, all, (size_t)n_whole);
    text[n_whole] = '.';
    memcpy(text + n_whole + 1, all + n_whole, (size_t)(n - n_whole));
    return (size_t)n + 1;
}

static const double tens[] = {1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3,
                              1e-2,  1e-1,  1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,
                              1e7,   1e8,   1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

/* Of 15, 16 and 17 significant digits the fewest that read back as x; 17 always do. Every decimal
 * of at most 15 digits is the only one of its kind near x, so that shorter ones show as zeros at
 * the end. 0 when x is not in [1e-10, 1e15). */
static size_t write_shortest(double x, char *text) {
    if (!(x >= 1e-10 && x < 1e15))
        return 0;
    binary b;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    b.mantissa = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52;
    b.exponent = (int)(bits >> 52) - 1075;
    int power = ((int)(bits >> 52) - 1023) * 1233 >> 12; /* log10, at most one too small */
    if (x >= tens[power + 1 + 11])
        power++;
    if (x < tens[power + 11])
        power--;
    for (int n = 15; n <= 17; n++) {
        uint64_t digits;
        const int k = n - 1 - power;
        if (k > 27 || k < 0)
            return 0;
        if (!scale_ten(b, k, &digits) && n < 17)
            continue;
        const uint64_t limit = n == 15   ? UINT64_C(1000000000000000)
                               : n == 16 ? UINT64_C(10000000000000000)
                                         : UINT64_C(100000000000000000);
        if (digits >= limit)
            return lay_out(digits / 10, n, k - 1, text);
        return lay_out(digits, n, k, text);
    }
    return 0;
}

size_t qn_number_write_i64(int64_t x, char text[QN_NUMBER_TEXT]) {
    char digits[24];
    int n = 0;
    size_t len = 0;
    uint64_t left = x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
    do
        digits[n++] = (char)('0' + left % 10);
    while (left /= 10);
    if (x < 0)
        text[len++] = '-';
    while (n > 0)
        text[len++] = digits[--n];
    return len;
}

size_t qn_number_write(double x, char text[QN_NUMBER_TEXT]) {
    if (!isfinite(x))
        return (size_t)snprintf(text, QN_NUMBER_TEXT, "%s",
                                isnan(x) ? "NaN" : x > 0 ? "Infinity" : "-Infinity");
    if (fabs(x) < 1e15 && x == (double)(int64_t)x)
        return qn_number_write_i64((int64_t)x, text);
    const size_t sign = x < 0;
    text[0] = '-';
    const size_t n = write_shortest(fabs(x), text + sign);
    if (n)
        return sign + n;
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, QN_NUMBER_TEXT, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    return strlen(text);
}
