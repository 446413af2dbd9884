/* importance.h - why a model answers as it does: which inputs matter (permutation importance,
 * Breiman 2001; mean absolute SHAP, Lundberg, Lee 2017) and how the answer moves with one of them
 * (partial dependence, Friedman 2001, with the spread of individual curves, Goldstein et al. 2015).
 *
 * qn_importance_make:
 *   {"metric": "log_loss",
 *    "permutation": [{"feature": "age", "mean": x, "std": x}, ..],
 *    "shap": [{"feature": "age", "mean_abs": x, "points": [{"x": 0..1 or null, "shap": v}, ..]}, ..]}
 *   "permutation": how much worse the metric gets when the column is shuffled (positive: needed);
 *   largest first.
 *   "shap": largest first; points for the first 12, at most 150 each: x is the place of the value
 *   between the 2 % and 98 % quantiles (categories by frequency), null when missing. Several
 *   outputs: mean_abs adds up over outputs, points are empty. Without `explain`: [].
 *
 * qn_dependence_make:
 *   [{"feature": "age", "kind": "numeric" | "category" | "time",
 *     "x": [..], "y": [..], "low": [..], "high": [..], "n": [..]}, ..]
 *   y: mean answer when every row has this x; low and high: 10 % and 90 % of the rows' own answers;
 *   n: rows nearest to this x. At most 20 x: quantiles, or the commonest categories. With `weigh`
 *   also "raw": the raw score when only the column is known, by weighted traversal of the trees.
 *   With n_curves also "curves": the answers of so many rows, one list of y each (individual
 *   conditional expectation).
 *
 * Everything goes through the INPUT columns of a frame, never through features, so it holds for any
 * pipeline. */
#ifndef QN_EVALUATE_IMPORTANCE_H
#define QN_EVALUATE_IMPORTANCE_H

#include "evaluate/metric.h"

enum { QN_DEPENDENCE_POINTS = 20, QN_DEPENDENCE_ROWS = 1000, QN_SHAP_POINTS = 150 };

/* A model seen from outside: frame in, frame->n_rows x n_outputs scores out. */
typedef qn_status (*qn_score_function)(void *user, const qn_frame *frame, double *scores,
                                       qn_error *err);
/* contrib[n_rows][n_outputs][n_inputs + 1], inputs in the order of `inputs`, the base value
 * last. */
typedef qn_status (*qn_explain_function)(void *user, const qn_frame *frame, double *contrib,
                                         qn_error *err);

/* scores[n_rows][n_outputs] when of each row only the named column is known. */
typedef qn_status (*qn_weigh_function)(void *user, const qn_frame *frame, const char *column,
                                       double *scores, qn_error *err);

typedef struct qn_importance_input {
    const qn_frame *frame;        /* the rows to judge on (test rows), in the order of eval.y */
    const char *const *inputs;    /* the model's input columns */
    size_t n_inputs;
    qn_eval_input eval;           /* task, n_classes, n, y, weight, threshold; scores unused */
    const qn_metric *metric;
    qn_score_function score;
    qn_explain_function explain;  /* NULL: no SHAP */
    qn_weigh_function weigh;      /* dependence only; NULL: no "raw" */
    int64_t n_curves;             /* dependence only; 0: no "curves" */
    void *user;                   /* borrowed, for all three */
    int n_repeats;                /* shuffles per column: 5 */
    int64_t max_rows;             /* for the shuffles, seeded choice; 0: 10000. SHAP uses at most 1000 */
    uint64_t seed;
} qn_importance_input;

/* New reference. Errors of score and explain are passed on; QN_ERR_NOT_FOUND for a missing column;
 * QN_ERR_CANCELLED. Progress: stage "importance". */
qn_status qn_importance_make(const qn_importance_input *input, const qn_job *job,
                             json_t **ret_importance, qn_error *err) QN_MUST_USE;

/* Dependence on the named columns (the top 8 of an importance, say; TEXT ones are left out).
 * i_output: the class to look at for multiclass, else 0. New reference. */
qn_status qn_dependence_make(const qn_importance_input *input, const char *const *features,
                             size_t n_features, int32_t i_output, const qn_job *job,
                             json_t **ret_dependence, qn_error *err) QN_MUST_USE;

#endif
