/* explain.h - why a model answers as it does, beyond what each input adds (qn_model_explain): pairs of
 * inputs, one input over its range, and what would have to change for another answer. On the raw
 * score: before link, sampling and calibration. */
#ifndef QN_MODEL_EXPLAIN_H
#define QN_MODEL_EXPLAIN_H

#include "model/model.h"

/* By input, both [n_inputs]: share of the family's own measure (gain of splits for trees, weight for
 * linear models) and number of splits; splits may be NULL. *ret_has_splits: the family counts them.
 */
qn_status qn_model_importance(const qn_model *model, double *share, int64_t *splits,
                              bool *ret_has_splits, qn_error *err) QN_MUST_USE;

/* SHAP interaction values (Lundberg et al. 2018) by input:
 * pairs[n_rows][n_outputs][n_inputs + 1][n_inputs + 1], symmetric; what two inputs do together is in
 * two cells, half in each; a row adds up to the input's contribution; the last cell is the base. */
qn_status qn_model_interactions(const qn_model *model, const qn_frame *frame, const qn_job *job,
                                double *pairs, qn_error *err) QN_MUST_USE;

/* The raw score of every row with only input column i_input known, the rest averaged over the
 * training rows by weighted traversal of the trees (scikit-learn's method "recursion"):
 * raw[n_rows][n_outputs]. QN_ERR_USAGE for a family without trees. */
qn_status qn_model_dependence(const qn_model *model, const qn_frame *frame, int32_t i_input,
                              double *raw, qn_error *err) QN_MUST_USE;

/* What the trees of one output asked of one row, merged by feature: as long as all of it holds (and
 * the initial score, where the model adds one), the row comes to the same leaves, and the raw score
 * stays the same to the bit.
 *   [{"input": "age", "feature": "age", "asked": 37, "above": 22.5 or null, "up_to": 30.5 or null},
 *    {"input": "job", "feature": "job", "asked": 5, "in": ["cook", "nurse"]},
 *    {"input": "rent", "feature": "rent", "asked": 2, "missing": true}, ..]
 * most asked first. A category that training has not seen is "missing". New reference. QN_ERR_USAGE
 * for a family without trees. */
qn_status qn_model_conditions(const qn_model *model, const qn_frame *frame, int64_t i_row,
                              int32_t output, json_t **ret_conditions, qn_error *err) QN_MUST_USE;

#endif
