/* explain_file.h - why a model answers as it does, for rows of a file. */
#ifndef QN_FLOW_EXPLAIN_FILE_H
#define QN_FLOW_EXPLAIN_FILE_H

#include "base/job.h"
#include "base/json.h"
#include "model/model.h"

enum { QN_EXPLAIN_ROWS_MAX = 100000 };

typedef struct qn_explain_options {
    const char *input;      /* file or glob */
    int64_t first, n_rows;  /* rows first .. first + n_rows - 1, counted from 0 */
    const char *class_name; /* of several classes: the one to explain; NULL: the predicted one */
    bool interactions, conditions;
} qn_explain_options;

/* Rows first .. first + n_rows - 1 of a file as the model reads them, as many as there are.
 * QN_ERR_DATA when there is none. */
qn_status qn_explain_read(const qn_model *model, const char *input, int64_t first, int64_t n_rows,
                          const qn_job *job, qn_frame **ret_frame, qn_error *err) QN_MUST_USE;

/* {"target", "inputs": [{"input", "share", "splits"}, ..]}: what the model uses by its own measure
 * (model/explain.h), largest share first; splits of trees only. New reference. */
qn_status qn_explain_model(const qn_model *model, json_t **ret_result, qn_error *err) QN_MUST_USE;

/* {"target", "rows": [{"row": 1, "prediction", "probability" (of classes), "output": the class or
 *  target, "raw", "base", "contributions": [{"input", "value", "contribution"}, ..],
 *  "interactions": [{"inputs": [a, b], "value"}, ..],
 *  "conditions": model/explain.h}, ..]}
 * Contributions: largest first; base and contributions add up to raw. Interactions: pairs, what both
 * do together beyond each alone; largest first. New reference. */
qn_status qn_explain_file(const qn_model *model, const qn_explain_options *options,
                          const qn_job *job, json_t **ret_result, qn_error *err) QN_MUST_USE;

/* How the answer follows one column, over at most 1,000 of the rows: evaluate/importance.h, with raw
 * and the curves of n_curves rows. New reference. */
qn_status qn_explain_dependence(const qn_model *model, const qn_explain_options *options,
                                const char *column, int64_t n_curves, const qn_job *job,
                                json_t **ret_result, qn_error *err) QN_MUST_USE;

#endif
