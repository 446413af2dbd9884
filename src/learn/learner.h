/* learner.h - the contract between a family of models and the rest: a table of functions. A family
 * lives in files of its own (gbdt*.c, linear*.c, baseline*.c) and one line of family.c.
 *
 * Raw scores: a learner answers n_outputs raw scores (margins) per row, row-major; qn_link_apply
 * turns them into probabilities or values. Explanations add up to the raw score.
 *
 *   task         n_outputs   link      after the link
 *   binary       1           LOGIT     probability of the positive class
 *   multiclass   n_classes   SOFTMAX   probabilities
 *   multiclass   n_classes   OVA       probabilities: the sigmoid of each score, divided by their sum
 *   regression   1           IDENTITY  value (or LOG: exp of the score)
 */
#ifndef QN_LEARN_LEARNER_H
#define QN_LEARN_LEARNER_H

#include "base/job.h"
#include "base/param.h"
#include "data/target.h"
#include "feature/matrix.h"

/* Written to files: append only. */
typedef enum qn_link {
    QN_LINK_IDENTITY, QN_LINK_LOGIT, QN_LINK_SOFTMAX, QN_LINK_LOG, QN_LINK_OVA,
} qn_link;

/* In place on n rows of n_outputs scores. The same bits for a row alone and in a batch. */
void qn_link_apply(qn_link link, double *scores, int64_t n, int32_t n_outputs);

/* Training data. All pointers are borrowed. */
typedef struct qn_fit_data {
    const qn_matrix *x;
    const double *y;      /* x->n_rows: class index or value */
    const double *weight; /* x->n_rows, > 0; NULL: all 1 */
    const int32_t *query; /* x->n_rows: whose rows are to be ordered, 0 .. n_queries - 1, rows of
                             one query anywhere; NULL: rows stand alone */
} qn_fit_data;

/* One of several metrics that early stopping watches. */
typedef struct qn_fit_metric {
    const char *name;     /* borrowed; for progress */
    bool greater_is_better;
} qn_fit_metric;

enum { QN_FIT_METRICS_MAX = 16 };

typedef struct qn_fit_input {
    qn_fit_data train;
    qn_fit_data valid;    /* for early stopping; valid.x NULL for none */
    qn_task task;
    int32_t n_classes;    /* 2 for binary, 0 for regression */
    int32_t n_queries;    /* a ranking is a regression whose rows have queries */
    uint64_t seed;
    /* Columns of x, dense numbers, that training and predictions add to the raw scores of every row
     * (missing: 0) and that are not learnt from: one for each class of a multiclass task, else one;
     * n_init 0 for none. They stay inputs of the model. Families that know none refuse them. */
    const int32_t *init_features; /* borrowed; n_init */
    int32_t n_init;
    /* Splits by time: which stretch of time each validation row belongs to, 0 .. n_stretches - 1,
     * for families that ask how uncertain a loss is (at most 64). NULL: unknown. */
    const int32_t *valid_stretch; /* valid.x->n_rows */
    int32_t n_stretches;
    /* gbdt: bins of more rows than these (learn/gbdt.h), and which of them row i of train.x and of valid.x
     * is. NULL: rows are binned as they are. */
    const struct qn_gbdt_bins *bins; /* borrowed, as the next two */
    const int64_t *train_rows, *valid_rows;
    /* A model of the same family whose trees the fit goes on from; it must have been fitted on these
     * features. NULL: from scratch. Families that cannot refuse it (QN_ERR_USAGE). */
    const struct qn_learner *from; /* borrowed */
    /* Early stopping by any metric: given raw scores of the validation rows and the link that makes
     * predictions of them, smaller is better.
     * without[n_stretches], unless NULL, gets the same for all rows but those of each stretch; NaN
     * or an infinity where that is not defined. NULL: the training loss. */
    double (*loss)(void *user, qn_link link, const double *raw, double *without);
    void *user;           /* borrowed, for loss and measure */
    /* Early stopping by several metrics at once: `measure` is given scores after the link and
     * fills values[n_metrics], and the first that does not get better ends the training. 0: by loss. */
    const qn_fit_metric *metrics; /* borrowed; n_metrics */
    int32_t n_metrics;
    void (*measure)(void *user, const double *scores, double *values);
    /* A loss of the caller's own in place of the objective: given raw scores[n][n_outputs] of the
     * training rows with their labels and weights (NULL: all 1; with those of classes), its first and
     * second derivatives, weights included, of the same shape. Called from the thread that fits, once
     * a round. What it returns ends training unless QN_OK. Families that cannot refuse it. */
    qn_status (*gradients)(void *user, const double *raw, const double *y, const double *weight,
                           int64_t n, int32_t n_outputs, double *g, double *h);
    void *gradients_user; /* borrowed */
} qn_fit_input;

typedef struct qn_family qn_family;

/* A fitted model. Immutable, thread-safe. Families embed it as their first member. */
typedef struct qn_learner {
    const qn_family *family;
    qn_link link;
    int32_t n_outputs;
    int32_t n_features;
} qn_learner;

struct qn_family {
    const char *name;      /* "gbdt", "linear", "prior", "stump" */
    const char *title;     /* "Gradient-boosted trees" */
    const char *help;      /* one sentence */
    unsigned takes;        /* QN_TAKES_... | QN_WANTS_SCALED of feature/pipeline.h */
    bool is_baseline;
    bool takes_init;       /* knows initial scores (qn_fit_input.init_features) */
    bool takes_gradients;  /* and losses of the caller's own (qn_fit_input.gradients) */
    const qn_param *params;
    size_t n_params;
    size_t params_bytes;   /* size of its params struct */

    /* `params` points to the family's params struct, filled from the table. */
    qn_status (*fit)(const void *params, const qn_fit_input *input, const qn_job *job,
                     qn_learner **ret_learner, qn_error *err);
    /* Whether a target can be learnt with these parameters, before rows are split: QN_ERR_DATA says
     * which can, QN_ERR_CONFIG that the parameters do not fit the task. NULL: every number can. */
    qn_status (*check_target)(const void *params, qn_task task, bool has_queries, double y,
                              qn_error *err);
    /* Raw scores of rows first .. first + n - 1 into raw[n][n_outputs]. Cannot fail. */
    void (*predict)(const qn_learner *learner, const qn_matrix *x, int64_t first, int64_t n,
                    double *raw);
    /* The same for n dense rows[n][n_features] as qn_matrix_rows gives them: numbers (NaN missing),
     * codes as numbers (-1 missing), sparse values with their zeros. The bits of `predict`; allocates
     * nothing. NULL: the family has no faster way than a matrix. */
    void (*predict_rows)(const qn_learner *learner, const double *rows, int64_t n, double *raw);
    /* contrib[n][n_outputs][n_features + 1]: what each feature adds to the raw score; the last is
     * the base value; the sum is the raw score. QN_ERR_MEMORY only. */
    qn_status (*explain)(const qn_learner *learner, const qn_matrix *x, int64_t first, int64_t n,
                         double *contrib, qn_error *err);
    /* SHAP interaction values (Lundberg et al. 2018) of groups of features, group[n_features] in
     * 0 .. n_groups - 1: pairs[n][n_outputs][n_groups + 1][n_groups + 1], symmetric; a row adds up
     * to what its group contributes, the last cell is the base value, the other cells of the last
     * row and column are 0. QN_ERR_MEMORY only. NULL: features do not interact. */
    qn_status (*interactions)(const qn_learner *learner, const qn_matrix *x, int64_t first,
                              int64_t n, const int32_t *group, int32_t n_groups, double *pairs,
                              qn_error *err);
    /* Partial dependence by weighted traversal (Friedman 2001, section 8.2): the raw score of each
     * row over the training rows when only the features that follows[n_features] names are known
     * (an initial score that is not counts as 0); raw[n][n_outputs]. QN_ERR_MEMORY only. NULL: the
     * family has no such measure. */
    qn_status (*dependence)(const qn_learner *learner, const qn_matrix *x, int64_t first, int64_t n,
                            const bool *follows, double *raw, qn_error *err);
    /* importance[n_features] >= 0, adding up to 1 (or all 0): the family's own cheap measure (gain,
     * absolute standardised weight). */
    void (*importance)(const qn_learner *learner, double *importance);
    /* splits[n_features]: in how many nodes each feature is asked. NULL: the family has none. */
    void (*splits)(const qn_learner *learner, int64_t *splits);
    qn_status (*save)(const qn_learner *learner, qn_buf *out, qn_error *err);
    /* From untrusted bytes, which may be used in place (at a multiple of 64) and must outlive the
     * learner. `n_features` and their kinds come from the pipeline. */
    qn_status (*load)(const void *bytes, size_t n, const qn_feature *features, int32_t n_features,
                      qn_learner **ret_learner, qn_error *err);
    /* Facts for reports: {"trees": 87, "leaves": 2690, ...}. New reference. */
    json_t *(*describe)(const qn_learner *learner);
    void (*free)(qn_learner *learner);
};

/* All families, baselines last; NULL-terminated. */
const qn_family *const *qn_families(void);
/* By name; QN_ERR_CONFIG with the nearest one. */
qn_status qn_family_find(const char *name, const qn_family **ret_family, qn_error *err) QN_MUST_USE;

void qn_learner_free(qn_learner **learner);

/* Whether the family's table of parameters takes these (NULL: defaults). */
qn_status qn_learner_check(const qn_family *family, const json_t *params,
                           qn_error *err) QN_MUST_USE;
/* Whether the family can learn all of y[n] (NaN: not labelled, passed over); the error names the row
 * and `column`. */
qn_status qn_learner_check_targets(const qn_family *family, const json_t *params, qn_task task,
                                   bool has_queries, const double *y, int64_t n,
                                   const char *column, qn_error *err) QN_MUST_USE;
/* Fits with parameters given as a JSON object (NULL: defaults). */
qn_status qn_learner_fit(const qn_family *family, const json_t *params, const qn_fit_input *input,
                         const qn_job *job, qn_learner **ret_learner, qn_error *err) QN_MUST_USE;
/* All rows, in parallel blocks whose results do not depend on the number of threads:
 * scores[n_rows][n_outputs], raw, or after the link when `linked`. */
void qn_learner_predict(const qn_learner *learner, const qn_matrix *x, bool linked,
                        const qn_job *job, double *scores);

#endif
