/* gbdt_refit.h - new values for the leaves of fitted trees, from other rows; the splits stay.
 *
 *     qn_refit_options options = {.task = QN_TASK_BINARY, .n_classes = 2, .decay = 0.9};
 *     QN_TRY(qn_gbdt_refit(learner, features, &rows, &options, job, &refitted, err));
 *
 * Round by round a leaf gets (LightGBM's refit)
 *
 *     decay * value + (1 - decay) * learning_rate * -soft(G) / (H + lambda_l2)
 *
 * with the gradients of its rows, by their weights, at the scores of the refitted rounds before. The base
 * score moves in the same way. A leaf that no row comes to keeps its value (LightGBM's shrinks). Where
 * training puts quantiles of residuals into the leaves (quantile, regression_l1) the new part is
 * learning_rate times that quantile of the new rows (LightGBM takes a step by gradients there). Of dart the
 * same rounds are dropped as in training: what the new part is worth is worked out without them. */
#ifndef QN_LEARN_GBDT_REFIT_H
#define QN_LEARN_GBDT_REFIT_H

#include "learn/gbdt_prune.h"

typedef struct qn_refit_options {
    qn_task task;
    int32_t n_classes;
    double decay;          /* 0: the new rows alone, 1: nothing changes */
    const json_t *params;  /* borrowed; what the model was trained with: learning_rate, lambda_l2,
                              alpha, class_weight, ..; NULL: defaults */
    bool knows_seed;       /* of dart, where these must be known: */
    uint64_t seed;         /* qn_fit_input.seed of the training, */
    int32_t first_round;   /* and how many rounds of another model it went on from */
} qn_refit_options;

/* *ret_n_leaves: how many leaves had rows. The same bytes for any number of threads. QN_ERR_USAGE for
 * learners without trees, objectives that the model does not know, and dart without a seed; QN_ERR_DATA
 * for targets that the objective cannot learn. */
qn_status qn_gbdt_refit(const qn_learner *learner, const qn_feature *features,
                        const qn_prune_rows *rows, const qn_refit_options *options,
                        const qn_job *job, qn_learner **ret_learner, int64_t *ret_n_leaves,
                        qn_error *err) QN_MUST_USE;

#endif
