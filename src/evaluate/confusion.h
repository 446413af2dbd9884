/* confusion.h - the confusion matrix: {"labels": [..], "counts": [[..]], "threshold": x}.
 *
 * counts[actual][predicted], numbers of rows (whole numbers; sums of weights when there are
 * weights). Binary predicts by the threshold of the input, multiclass by the largest score (the
 * first of equals), and then
 * "threshold" is null. */
#ifndef QN_EVALUATE_CONFUSION_H
#define QN_EVALUATE_CONFUSION_H

#include "evaluate/metric.h"

/* `target` gives the labels (NULL: class numbers). New reference. QN_ERR_USAGE for regression and
 * for more classes than QN_LIMIT_CLASSES. */
qn_status qn_confusion_make(const qn_eval_input *input, const qn_target_info *target,
                            json_t **ret_confusion, qn_error *err) QN_MUST_USE;

#endif
