/* linear_newton_int.h - curvature of a linear problem, to precondition L-BFGS with: for up to about
 * a thousand coefficients the Hessian of a sample of rows is cheap, and with its inverse as the
 * first guess the search takes a handful of passes over the data where it took hundreds (Byrd,
 * Chin, Neveitt and Nocedal 2011 on Hessians of samples). It only steers: the solution is the
 * same. */
#ifndef QN_LEARN_LINEAR_NEWTON_INT_H
#define QN_LEARN_LINEAR_NEWTON_INT_H

#include "learn/linear_int.h"

/* Shared along a path of problems on the same design. Coefficients in the order of theta. */
typedef struct qn__linear_curvature {
    int64_t dim;        /* 0: too many coefficients, nothing below is used */
    double *hessian;    /* owned; [dim][dim], symmetric, without the penalty */
    double *factor;     /* owned; [dim][dim], Cholesky: lower triangle */
    double factor_l2;   /* the penalty that `factor` holds */
    bool measured, factored;
} qn__linear_curvature;

/* Whether a problem of this size is worth it. */
bool qn__linear_curvature_fits(const qn__linear_problem *problem);
qn_status qn__linear_curvature_init(qn__linear_curvature *c, const qn__linear_problem *problem,
                                    qn_error *err) QN_MUST_USE;
void qn__linear_curvature_done(qn__linear_curvature *c);
/* Measures the Hessian at these scores[k][i]. */
qn_status qn__linear_curvature_measure(qn__linear_curvature *c, const qn__linear_problem *problem,
                                       const double *scores, qn_error *err) QN_MUST_USE;
/* x <- (Hessian + l2 I)^-1 x; false when there is no such matrix. */
bool qn__linear_curvature_solve(qn__linear_curvature *c, const qn__linear_problem *problem,
                                double *x);

#endif
