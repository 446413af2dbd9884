/* number.h - decimal texts to binary numbers and back, correctly rounded both ways and fast: tables
 * and requests are mostly this. Always with '.', never locale. */
#ifndef QN_BASE_NUMBER_H
#define QN_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum qn_number_kind {
    QN_NUMBER_NONE,     /* not a number */
    QN_NUMBER_WHOLE,
    QN_NUMBER_ZERO_LED, /* "007" */
    QN_NUMBER_REAL,
} qn_number_kind;

/* What a text is as a number. WHOLE fits int64_t and sets both; ZERO_LED too; REAL sets *ret_real,
 * correctly rounded, maybe infinite or NaN (from "inf", "nan"). No spaces around it. */
qn_number_kind qn_number_parse(const char *bytes, size_t n, int64_t *ret_whole, double *ret_real);

/* digits * 10^exponent, correctly rounded; false when that takes more than a few operations, and
 * the text must be read by qn_number_parse. */
bool qn_number_make(uint64_t digits, int exponent, double *ret_real);
extern const double qn_powers_of_ten[23]; /* exact ones */

enum { QN_NUMBER_TEXT = 32 };

/* The shortest decimal that reads back as `x`, of those the nearest, without a NUL; its length.
 * "NaN", "Infinity", "-Infinity" for the others. */
size_t qn_number_write(double x, char text[QN_NUMBER_TEXT]);
size_t qn_number_write_i64(int64_t x, char text[QN_NUMBER_TEXT]);

#endif
