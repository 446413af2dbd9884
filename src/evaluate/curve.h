/* curve.h - the curves of a report as JSON: ROC, precision-recall, gain and lift, calibration,
 * score histograms; for regression residuals and actual against predicted.
 *
 * binary
 *   {"roc": {"fpr": [], "tpr": []},
 *    "pr": {"recall": [], "precision": [], "base": share of positives},
 *    "gain": {"share": [], "gain": [], "lift": []},          best-scored share of rows; lift = gain / share
 *    "calibration": {"score": [], "observed": [], "low": [], "high": [], "n": [], "ece": x},
 *    "scores": {"edges": [], "positive": [], "negative": []}}   counts; edges has one item more
 * multiclass
 *   {"classes": [{"label": text, "n": count, "auc": x,
 *                 "roc": {"fpr", "tpr"}, "pr": {"recall", "precision", "base"}}],      one against the rest
 *    "calibration": {as above, of the largest probability against being right}}
 * regression
 *   {"residuals": {"edges": [], "counts": []},               actual - predicted
 *    "actual": {"predicted": [], "actual": []},              at most 1000 rows, chosen by the seed
 *    "quantiles": {"q": [], "error": []},                    quantiles of |actual - predicted|
 *    "by_prediction": {"predicted": [], "actual": [], "low": [], "high": [], "n": []}}  means by decile of
 *                                                            the prediction; 10 % and 90 % of the actual
 *
 * Every curve has at most 200 points, thinned by leaving out those nearest to the line between
 * their neighbours (Visvalingam, Whyatt 1993), so corners survive. Curves that are not defined (one
 * class only) are null. Weights count everywhere except in "n", "actual" and "quantiles".
 * Calibration bins hold equal numbers of rows (at most 15, ties kept together); low and high are
 * Wilson's 95 % interval (1927). The
 * "ece" is the metric of that name. */
#ifndef QN_EVALUATE_CURVE_H
#define QN_EVALUATE_CURVE_H

#include "evaluate/metric.h"

enum { QN_CURVE_POINTS = 200, QN_CURVE_SAMPLE = 1000 };

/* Makes the object above for the task of `input`. `target` gives the labels (NULL: class numbers).
 * New reference. Errors: QN_ERR_MEMORY; QN_ERR_USAGE when there are no rows. */
qn_status qn_curves_make(const qn_eval_input *input, const qn_target_info *target, uint64_t seed,
                         json_t **ret_curves, qn_error *err) QN_MUST_USE;

#endif
