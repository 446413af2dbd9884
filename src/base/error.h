/* error.h - how every fallible function of Quern says what went wrong.
 *
 *     qn_error err = {0};
 *     if (qn_frame_read(path, &frame, &err) != QN_OK)
 *         fprintf(stderr, "%s\n", err.message);
 *
 * The error is a value the caller owns. Library code never prints, exits or aborts. A message is
 * one sentence that says what, where, and what to do; it is complete on its own.
 *
 * The status and the error themselves are part of the public interface, so include/quern.h defines
 * them. */
#ifndef QN_BASE_ERROR_H
#define QN_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quern.h"

#define QN_PRINTF(i_format, i_first) __attribute__((format(printf, i_format, i_first)))

/* Fills *err (which may be NULL) and returns `code`, so that it can end a function:
 * `return qn_error_set(err, QN_ERR_USAGE, "folds must be at least 2, not %d", n)`. */
qn_status qn_error_set(qn_error *err, qn_status code, const char *format, ...) QN_PRINTF(3, 4);

/* The same with a place. The message becomes "FILE row ROW, column COLUMN: TEXT", leaving out what
 * is NULL or 0. `file` and `column` are copied. */
qn_status qn_error_set_at(qn_error *err, qn_status code, const char *file, int64_t row,
                          const char *column, const char *format, ...) QN_PRINTF(6, 7);

/* Puts "TEXT: " before the message already there. */
void qn_error_prefix(qn_error *err, const char *format, ...) QN_PRINTF(2, 3);

/* "out of memory", as an error. */
qn_status qn_error_memory(qn_error *err);

/* QN_ERR_IO with the text of errno: "cannot VERB PATH: No space left on device". */
qn_status qn_error_errno(qn_error *err, const char *verb, const char *path);

/* return-if: leave with an error when `condition` holds. */
#define QN_FAIL_IF(condition, err, code, ...)                   \
    do {                                                        \
        if (__builtin_expect(!!(condition), 0))                 \
            return qn_error_set((err), (code), __VA_ARGS__);    \
    } while (0)

/* forward-if: leave with the status of `call` unless it is QN_OK. */
#define QN_TRY(call)                                            \
    do {                                                        \
        qn_status qn_try_status_ = (call);                      \
        if (__builtin_expect(qn_try_status_ != QN_OK, 0))       \
            return qn_try_status_;                              \
    } while (0)

#endif
