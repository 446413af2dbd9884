/* value_int.h - the fields of a value specification, shared by reading (value.c) and judging
 * (value_judge.c). */
#ifndef QN_EVALUATE_VALUE_INT_H
#define QN_EVALUATE_VALUE_INT_H

#include "evaluate/expr.h"
#include "evaluate/value.h"

struct qn_value_spec {
    qn_task task;
    char *currency;                 /* owned */
    qn_expr *payoff[QN_N_OUTCOMES]; /* owned; NULL is worth 0; binary */
    qn_expr *per_row;               /* owned; regression */
    double *matrix;                 /* owned; n_classes x n_classes, actual x predicted; multiclass */
    int32_t n_classes;
    json_t *stated;                 /* owned: "expressions" or "matrix" as the user wrote it */
};

extern const char *const qn__outcome_names[QN_N_OUTCOMES];

/* The outcome of a row. */
static inline qn_outcome qn__outcome(double y, bool acted) {
    return y > 0.5 ? (acted ? QN_OUTCOME_TP : QN_OUTCOME_FN)
                   : (acted ? QN_OUTCOME_FP : QN_OUTCOME_TN);
}

/* Multiclass: the class with the largest expected payoff, the first of equals. */
int32_t qn__value_decide(const qn_value_spec *spec, const double *p);
/* Regression: money of every row for the given predictions. */
qn_status qn__value_per_row(const qn_value_spec *spec, const qn_value_rows *rows,
                            const double *predictions, double *money, qn_error *err) QN_MUST_USE;

#endif
