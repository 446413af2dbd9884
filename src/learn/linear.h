/* linear.h - linear models: logistic, softmax, and ridge / lasso / elastic-net regression.
 *
 * The objective, on features standardised inside (mean 0 and variance 1 over the weighted training
 * rows; sparse columns are scaled but not centred):
 *
 *     sum_i w_i loss_i / sum_i w_i + lambda ((1 - l1_ratio) / 2 |B|^2 + l1_ratio |B|_1)
 *
 * loss: -log p of the true class, or (y - f)^2 / 2. In scikit-learn's words, for n rows of weight
 * 1: LogisticRegression's C = 1 / (lambda n), Ridge's alpha = lambda n, ElasticNet's and Lasso's
 * alpha = lambda. The intercept is never penalised. Coefficients are kept for features as they
 * come. */
#ifndef QN_LEARN_LINEAR_H
#define QN_LEARN_LINEAR_H

#include "learn/learner.h"

typedef struct qn_linear_params {
    double lambda; /* negative: chosen on the validation rows, or by 3 internal folds */
    double l1_ratio;
    int64_t max_iter;
    double tol;
    const char *class_weight; /* "none", "balanced" */
    bool fit_intercept;
    bool standardize;
} qn_linear_params;

typedef struct qn_linear {
    qn_learner base;
    double *weight;    /* owned; [n_outputs][n_features], for features as they come */
    double *intercept; /* owned; [n_outputs] */
    double *mean;      /* owned; [n_features]: of the training rows; what NaN counts as */
    double *std;       /* owned; [n_features] */
    bool *is_sparse;   /* owned; [n_features] */
    double lambda, l1_ratio;
    int64_t iterations;
} qn_linear;

#endif
