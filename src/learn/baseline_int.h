/* baseline_int.h - the model that both baselines share, and the search for the stump's split. */
#ifndef QN_LEARN_BASELINE_INT_H
#define QN_LEARN_BASELINE_INT_H

#include "learn/learner.h"

typedef struct qn__stump_params {
    int64_t min_rows;
} qn__stump_params;

/* Rows for which the rule holds are on side 0, the others on side 1; without a rule (feature -1)
 * all rows are on side 0. */
typedef struct qn__baseline {
    qn_learner base;
    int n_leaves;
    double *leaf;            /* owned; [n_leaves][n_outputs] raw scores */
    double *weight;          /* owned; [n_leaves]: of the training rows */
    int32_t feature;         /* -1: none */
    qn_feature_kind kind;
    char *name;              /* owned: of the feature, or NULL */
    char *rule;              /* owned: when a row is on side 0, in words; NULL without a feature */
    double threshold;        /* numbers: value <= threshold */
    unsigned char *in_first; /* owned; [n_categories]: 1 where the category is on side 0; or NULL */
    int32_t n_categories;
    bool missing_first;      /* missing and unseen values are on side 0 */
} qn__baseline;

/* Fills m->rule. */
qn_status qn__baseline_write_rule(qn__baseline *m, const qn_feature *feature, qn_error *err)
    QN_MUST_USE;

int qn__baseline_side(const qn__baseline *m, const qn_matrix *x, int64_t row);

/* Fills feature, kind, name, rule, threshold, in_first, n_categories and missing_first. */
qn_status qn__stump_split(const qn__stump_params *params, const qn_fit_input *input,
                          const qn_job *job, qn__baseline *m, qn_error *err) QN_MUST_USE;

#endif
