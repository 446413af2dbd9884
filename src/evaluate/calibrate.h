/* calibrate.h - maps from scores to probabilities that hold what they say, kept in the model; and
 * the correction after negatives were sampled down. Applied per row, the same bits alone and in a
 * batch. */
#ifndef QN_EVALUATE_CALIBRATE_H
#define QN_EVALUATE_CALIBRATE_H

#include "base/json.h"

typedef enum qn_calibration_kind {
    QN_CALIBRATION_NONE,
    QN_CALIBRATION_PLATT,    /* sigmoid(a * logit(p) + b), Platt 1999 with his target smoothing */
    QN_CALIBRATION_ISOTONIC, /* pool adjacent violators, linear between knots as scikit-learn */
} qn_calibration_kind;

/* Binary: one map. Multiclass: one per class, then rescaled to add up to 1. */
typedef struct qn_calibrator qn_calibrator;

qn_status qn_calibrator_fit(qn_calibration_kind kind, const double *y, const double *scores,
                            const double *weight, int64_t n, int32_t n_outputs,
                            qn_calibrator **ret_calibrator, qn_error *err) QN_MUST_USE;
void qn_calibrator_free(qn_calibrator **calibrator);
/* In place on n rows of n_outputs probabilities. NULL does nothing. */
void qn_calibrator_apply(const qn_calibrator *calibrator, double *scores, int64_t n);
json_t *qn_calibrator_to_json(const qn_calibrator *calibrator); /* json null for NULL */
/* From an untrusted manifest; json null gives NULL. */
qn_status qn_calibrator_from_json(const json_t *json, int32_t n_outputs,
                                  qn_calibrator **ret_calibrator, qn_error *err) QN_MUST_USE;

/* p' = p / (p + (1 - p) / rate): undoes keeping only `rate` of the negatives (He et al. 2014,
 * section 6.3). In place; binary. */
void qn_undo_negative_sampling(double *p, int64_t n, double rate);

#endif
