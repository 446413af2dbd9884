/* text.h - small text needs: numbers in and out (always with '.', never locale), UTF-8, nearest
 * names for "did you mean". */
#ifndef QN_BASE_TEXT_H
#define QN_BASE_TEXT_H

#include "base/error.h"

enum { QN_DOUBLE_TEXT = 32 };

/* The shortest decimal that reads back as `x`, into text[QN_DOUBLE_TEXT]. */
void qn_double_to_text(double x, char text[QN_DOUBLE_TEXT]);
/* The same, but whole numbers below 1e15 are "42", without point or exponent: what a table would
 * show, and so the category that a number is. Without a NUL; returns the length. */
size_t qn_number_to_text(double x, char text[QN_DOUBLE_TEXT]);

/* Whole text as a finite number ("1e3", "-2.5", spaces around allowed); false when it is not
 * one. */
bool qn_text_to_double(const char *text, double *ret_value) QN_MUST_USE;
bool qn_text_to_i64(const char *text, int64_t *ret_value) QN_MUST_USE;

/* "500MB", "4 GB", "1.5k", "123": bytes by powers of 1000, KiB/MiB/GiB by 1024. */
bool qn_text_to_bytes(const char *text, size_t *ret_bytes) QN_MUST_USE;
/* "60s", "2m", "1h30m", "45": seconds. */
bool qn_text_to_seconds(const char *text, double *ret_s) QN_MUST_USE;

/* True when the bytes are well-formed UTF-8 without NUL. */
bool qn_text_is_utf8(const char *bytes, size_t n);

/* Damerau-Levenshtein distance on bytes, capped at `cap`. */
int qn_text_distance(const char *a, const char *b, int cap);

/* The candidate nearest to `name` if it is close enough to be a misspelling; else NULL.
 * Borrowed. */
const char *qn_text_nearest(const char *name, const char *const *candidates, size_t n);

/* "12,345" / "1.2 MB" / "3 min 20 s" for people, into text[QN_DOUBLE_TEXT]. */
void qn_text_count(int64_t n, char text[QN_DOUBLE_TEXT]);
void qn_text_bytes(size_t bytes, char text[QN_DOUBLE_TEXT]);
void qn_text_duration(double seconds, char text[QN_DOUBLE_TEXT]);

#endif
