/* linear_path_int.h - choosing lambda: problems solved from heavy to light penalty, each starting
 * at the last one's solution, judged on rows that were not fitted. */
#ifndef QN_LEARN_LINEAR_PATH_INT_H
#define QN_LEARN_LINEAR_PATH_INT_H

#include "learn/linear_int.h"

typedef struct qn__linear_path {
    const qn__linear_problem *problem; /* l1 and l2 are set by the path */
    double l1_ratio;
    double ratio;  /* from one lambda to the next */
    int n_steps;
    uint64_t seed; /* of the folds */
    /* The rows to judge on; valid NULL: 3 folds of the training rows instead. */
    const qn__linear_design *valid;
    const double *valid_y, *valid_a;
    /* As in qn_fit_input; NULL: the training loss. */
    double (*loss)(void *user, qn_link link, const double *raw, double *without);
    void *user;
    double unit, shift; /* raw score = score * unit + shift, for `loss` */
} qn__linear_path;

/* Whichever solver fits the penalty. */
qn_status qn__linear_solve(const qn__linear_problem *problem, double *theta,
                           int64_t *ret_iterations, qn_error *err) QN_MUST_USE;
/* Coefficients 0, intercepts those of the mean. */
void qn__linear_start(const qn__linear_problem *problem, double *theta);
/* A target in its own unit u (y / u is fitted) leaves the squared penalty as it is and divides the
 * absolute one by u. */
void qn__linear_set_lambda(qn__linear_problem *problem, double lambda, double l1_ratio,
                           double unit);
/* The best lambda, and a warm start for it in theta. */
qn_status qn__linear_choose(const qn__linear_path *path, double *theta, double *ret_lambda,
                            qn_error *err) QN_MUST_USE;

#endif
