/* importance_int.h - shared by importance.c and dependence.c. */
#ifndef QN_EVALUATE_IMPORTANCE_INT_H
#define QN_EVALUATE_IMPORTANCE_INT_H

#include "evaluate/importance.h"

/* Scores per row. */
int32_t qn__importance_outputs(const qn_importance_input *input);
/* At most max of n row numbers, ascending, each set with the same chance (Knuth's selection
 * sampling). */
qn_status qn__choose_rows(int64_t n, int64_t max, uint64_t seed, int64_t **ret_rows, int64_t *ret_n,
                          qn_error *err) QN_MUST_USE;
qn_status qn__find_column(const qn_frame *frame, const char *name, int32_t *ret_i,
                          qn_error *err) QN_MUST_USE;

#endif
