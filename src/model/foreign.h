/* foreign.h - models of other programs as models of ours: LightGBM's text and XGBoost's JSON, read by
 * our own readers from untrusted bytes. docs/INTEROP.md says what is read and what is refused.
 *
 *     QN_TRY(qn_model_import(bytes, n, &(qn_import_options){.target = "churned"}, &model, err));
 *
 * The result scores as the other program does but for the rounding of its sums (XGBoost adds up in
 * float): thresholds are exact. */
#ifndef QN_MODEL_FOREIGN_H
#define QN_MODEL_FOREIGN_H

#include "model/model.h"

typedef struct qn_import_options {
    const char *target;         /* name of the target; NULL: "target" */
    const char *const *classes; /* labels in the order of the model's outputs, binary: negative,
                                   positive; NULL: "0", "1", ... */
    size_t n_classes;
} qn_import_options;

/* bytes[n] must be NUL. QN_ERR_FORMAT when it is damaged or neither of the two, QN_ERR_USAGE when
 * the model is something that ours cannot be, which the message names. */
qn_status qn_model_import(const char *bytes, size_t n, const qn_import_options *options,
                          qn_model **ret_model, qn_error *err) QN_MUST_USE;

#endif
