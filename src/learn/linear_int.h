/* linear_int.h - the parts of the linear family: a standardised view of a matrix, and two solvers
 * of
 *
 *     min over b, B   sum_i a_i loss(y_i, b + B x_i) + l2 / 2 |B|^2 + l1 |B|_1,    sum_i a_i = 1
 *
 * where x_i is the standardised row. Scores and residuals are kept by output: s[k * n + i].
 * Coefficients are theta[n_outputs * n_features], output by output, and then the n_outputs
 * intercepts. */
#ifndef QN_LEARN_LINEAR_INT_H
#define QN_LEARN_LINEAR_INT_H

#include "learn/learner.h"

typedef struct qn__linear_column {
    const double *num;   /* dense: n rows; borrowed from the matrix, or `owned` */
    double *owned;       /* a copy whose NaN are the mean; NULL when there were none */
    const int64_t *row;  /* sparse; borrowed */
    const double *value; /* sparse; borrowed */
    int64_t n_set;
    double mean, std;    /* weighted, of the training rows */
    double centre;       /* what is subtracted: the mean; 0 for sparse columns */
    double scale;        /* what it is multiplied by: 1 / std; 0 for constant columns */
} qn__linear_column;

typedef struct qn__linear_design {
    int64_t n;
    int32_t p;
    int n_threads;
    int64_t n_numbers;   /* stored: what one pass reads */
    qn__linear_column *columns; /* p; owned */
    /* The sparse columns once more, by rows, for scores; NULL when there are none. */
    int64_t *row_start; /* n + 1 */
    int32_t *row_column;
    double *row_value;
} qn__linear_design;

/* `like` NULL: means and scales are computed with the weights (NULL: all 1); otherwise taken from
 * it. The matrix must outlive the design. */
qn_status qn__linear_design_init(qn__linear_design *design, const qn_matrix *x,
                                 const double *weight, bool standardize,
                                 const qn__linear_design *like, const qn_job *job, qn_error *err)
    QN_MUST_USE;
void qn__linear_design_done(qn__linear_design *design);

/* sum_i a_i b_i, in an order that depends on n only. */
double qn__linear_dot(const double *a, const double *b, int64_t n);
/* scores[k][i] = theta's intercept k + sum_j theta[k][j] x_ij. */
void qn__linear_scores(const qn__linear_design *design, int32_t n_outputs, const double *theta,
                       double *scores);
/* gradient (in theta's layout): sum_i residual[k][i] x_ij, and sum_i residual[k][i]. */
void qn__linear_gradient(const qn__linear_design *design, int32_t n_outputs, const double *residual,
                         double *gradient);

typedef struct qn__linear_problem {
    const qn__linear_design *design;
    qn_link link;        /* IDENTITY: squared error / 2; LOGIT; SOFTMAX */
    int32_t n_outputs;
    const double *y;
    const double *a;     /* weights that add up to 1; 0 leaves a row out */
    double l1, l2;
    bool fit_intercept;
    double tol;          /* largest absolute component of the (sub)gradient */
    int64_t max_iter;
    const qn_job *job;
    struct qn__linear_curvature *curvature; /* borrowed; NULL: L-BFGS does without */
} qn__linear_problem;

/* The weighted loss of scores[k][i], and, unless NULL, its derivatives residual[k][i]. `weight` as
 * a. */
double qn__linear_loss(const qn__linear_problem *problem, int64_t n, const double *y,
                       const double *weight, const double *scores, double *residual);

/* Both start from theta (a warm start) and improve it in place. *ret_iterations counts passes. */
qn_status qn__linear_solve_lbfgs(const qn__linear_problem *problem, double *theta,
                                 int64_t *ret_iterations, qn_error *err) QN_MUST_USE;
qn_status qn__linear_solve_cd(const qn__linear_problem *problem, double *theta,
                              int64_t *ret_iterations, qn_error *err) QN_MUST_USE;

#endif
