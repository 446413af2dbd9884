/* expr.h - small arithmetic over the columns of a row: what an outcome is worth.
 *
 *     Amount - 5        if(country == 'FR', 0.2, 0.25) * "unit price"        max(0, log1p(age) - 2)
 *
 *   expression  := comparison
 *   comparison  := sum [(< | <= | > | >= | == | !=) sum]           1 when it holds, else 0
 *   sum         := product {(+ | -) product}
 *   product     := unary {(* | /) unary}
 *   unary       := [-] unary | number | name | name(arguments) | (expression)
 *   name        := bare identifier (letters, digits, _ and any byte of UTF-8) | "any column name"
 *
 * Functions: min(a, b, ..) max(a, b, ..) abs log log1p exp sqrt, and if(condition, a, b), which
 * looks only at the branch it takes. A text column may be compared, == and != only, with a 'text'.
 * Inside quotes a doubled quote stands for one.
 *
 * Numbers and bools are numbers (bools 0 and 1, times microseconds). A missing value that is
 * needed, and a result that is not finite, are errors that name row and column. */
#ifndef QN_EVALUATE_EXPR_H
#define QN_EVALUATE_EXPR_H

#include "data/frame.h"

/* A compiled expression. Immutable, thread-safe. */
typedef struct qn_expr qn_expr;

/* Names beside the columns of the frame, such as `prediction`: one value per evaluated row. */
typedef struct qn_expr_extra {
    const char *name;     /* borrowed */
    const double *values; /* borrowed; NaN is missing */
} qn_expr_extra;

/* Compiles against the names that may be used (columns and extras). QN_ERR_CONFIG with the position
 * ("column 8 of 'Amout - 5': there is no column 'Amout'; did you mean 'Amount'?"); QN_ERR_LIMIT
 * beyond QN_LIMIT_EXPR_BYTES or QN_LIMIT_EXPR_DEPTH. */
qn_status qn_expr_compile(const char *text, const char *const *names, size_t n_names,
                          qn_expr **ret_expr, qn_error *err) QN_MUST_USE;
void qn_expr_free(qn_expr **expr);
/* The text it was compiled from; borrowed. */
const char *qn_expr_text(const qn_expr *expr);
/* The columns (and extras) it uses; borrowed. NULL at the end: i_name counts from 0. */
const char *qn_expr_name(const qn_expr *expr, size_t i_name);

/* values[i * stride] = the expression on row rows[i] (rows NULL: row i) of the frame, i < n.
 * Errors: QN_ERR_NOT_FOUND (no such column), QN_ERR_DATA (missing value, text in arithmetic, not
 * finite: with the row and column). */
qn_status qn_expr_eval(const qn_expr *expr, const qn_frame *frame, const int64_t *rows, int64_t n,
                       const qn_expr_extra *extras, size_t n_extras, double *values, size_t stride,
                       qn_error *err) QN_MUST_USE;

#endif
