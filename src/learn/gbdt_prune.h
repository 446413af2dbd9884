/* gbdt_prune.h - trees made smaller after training, the weakest link first:
 *
 *     QN_TRY(qn_pruner_new(learner, features, &rows, job, &pruner, err));
 *     while (qn_pruner_leaves(pruner) > 1000)
 *         QN_TRY(qn_pruner_cut(pruner, qn_pruner_leaves(pruner) * 19 / 20, job, err));
 *     QN_TRY(qn_pruner_learner(pruner, QN_LEAF_FLOAT64, &smaller, err));
 *
 * Cost-complexity pruning (Breiman, Friedman, Olshen, Stone 1984, chapter 3) of trees that add up: the
 * link cut first is the node that, made a leaf, adds least to the loss of the rows per byte saved, all
 * other trees as they are now. README.md tells how. */
#ifndef QN_LEARN_GBDT_PRUNE_H
#define QN_LEARN_GBDT_PRUNE_H

#include "learn/learner.h"

/* How a leaf's value is kept: a double; a float of 16 bits times a power of two that the leaves of a
 * tree share; 8 bits over their range. The last two also keep counts in 16 bits. */
typedef enum qn_leaf_form { QN_LEAF_FLOAT64, QN_LEAF_FLOAT16, QN_LEAF_UINT8 } qn_leaf_form;
enum { QN_LEAF_FORMS = 3 };
/* "float64", "float16", "uint8". */
const char *qn_leaf_form_name(qn_leaf_form form);
bool qn_leaf_form_find(const char *name, qn_leaf_form *ret_form) QN_MUST_USE;

/* Labelled rows, in parts. All pointers are borrowed, and but for params read by qn_pruner_new only. */
typedef struct qn_prune_rows {
    const qn_matrix *const *x; /* n_parts */
    const double *const *y;    /* n_parts: x[i]->n_rows class indexes or values */
    int32_t n_parts;
    const double *weight;      /* of the rows of all parts, one after the other, > 0; NULL: all 1. For
                                  refitting; pruning counts rows */
    const int32_t *query;      /* rankings: the same rows' queries, 0 .. n_queries - 1; else NULL */
    int32_t n_queries;
    const json_t *params;      /* rankings, for pruning: what lambdarank was given (label_gain,
                                  lambdarank_truncation_level, ..); NULL: presets */
    double offset;             /* binary: what is added to raw scores (negatives were sampled down) */
} qn_prune_rows;

/* One thread at a time. */
typedef struct qn_pruner qn_pruner;

/* What the trees were grown for, as the parameter `objective` names it, or "custom"; NULL: a learner of
 * another family. */
const char *qn_trees_objective(const qn_learner *learner);

/* The metric of evaluate/ that is, but for a monotone map, the loss that is measured: "log_loss",
 * "rmse", "mae", "poisson_deviance"; "ndcg@10" of a ranking, which lambdas stand in for. An objective of
 * the caller's own is not known: its loss is that of the task. QN_ERR_USAGE when the learner is not made
 * of trees, or of objective quantile (the model does not keep its level). */
qn_status qn_pruner_metric(const qn_learner *learner, const char **ret_metric,
                           qn_error *err) QN_MUST_USE;

/* Takes the trees apart and merges equal leaves and subtrees under one split, which changes no answer
 * by a bit. `rows` NULL: for that alone; nothing can be cut then. The features are borrowed for as
 * long as the pruner lives. Where rows times trees are more than 2^27, every second, third, ... row is
 * used. Errors: those of qn_pruner_metric; QN_ERR_USAGE for a ranking without queries; QN_ERR_FORMAT,
 * QN_ERR_CANCELLED, QN_ERR_MEMORY. */
qn_status qn_pruner_new(const qn_learner *learner, const qn_feature *features,
                        const qn_prune_rows *rows, const qn_job *job, qn_pruner **ret_pruner,
                        qn_error *err) QN_MUST_USE;
void qn_pruner_free(qn_pruner **pruner);

/* Rounds of boosting: of every output one tree. */
int32_t qn_pruner_rounds(const qn_pruner *pruner);
/* Puts back what was cut, and drops all rounds but the first n_rounds (>= 0), as if boosting had ended
 * there. */
void qn_pruner_start(qn_pruner *pruner, int32_t n_rounds);
/* Leaves of all trees that still split, with the trees gone that do not: 0 in the end. */
int64_t qn_pruner_leaves(const qn_pruner *pruner);
/* Measures every link and cuts the weakest until at most so many leaves are left, at least one. The
 * same cuts for any number of threads. */
qn_status qn_pruner_cut(qn_pruner *pruner, int64_t max_leaves, const qn_job *job,
                        qn_error *err) QN_MUST_USE;
/* The trees as they are now, leaves in a form. A tree that became one leaf is gone, its value in the
 * base score. */
qn_status qn_pruner_learner(const qn_pruner *pruner, qn_leaf_form form, qn_learner **ret_learner,
                            qn_error *err) QN_MUST_USE;

#endif
