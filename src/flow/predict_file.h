/* predict_file.h - a model over the rows of a file: streaming, so memory does not grow with the
 * input. */
#ifndef QN_FLOW_PREDICT_FILE_H
#define QN_FLOW_PREDICT_FILE_H

#include "base/job.h"
#include "model/model.h"

typedef struct qn_predict_options {
    const char *input;          /* file or glob */
    const char *output;         /* "-" is standard output */
    bool json;                  /* JSON lines on standard output instead of CSV */
    const char *const *columns; /* columns to carry along; NULL: all */
    size_t n_columns;
    double threshold;           /* binary; NaN: the model's */
} qn_predict_options;

/* Writes the carried columns, then `prediction` (label or value) and `probability` (binary) or
 * `probability_CLASS` (multiclass). *ret_n_rows counts them. Errors: those of source and sink;
 * QN_ERR_DATA lists the input columns that are missing. */
qn_status qn_predict_file(const qn_model *model, const qn_predict_options *options,
                          const qn_job *job, int64_t *ret_n_rows, qn_error *err) QN_MUST_USE;

/* The model's inputs and the target, each once: what a labelled file must have. The target is read as
 * text when it has classes, so that labels such as 1 and "1" are the same. Then columns of weights and of
 * queries (NULL: none), unless they are among these. */
qn_status qn_labelled_schema(const qn_model *model, const char *weight, const char *query,
                             qn_schema *ret_schema, qn_error *err) QN_MUST_USE;
/* The column of queries of a model that ranks; NULL: it does not. */
const char *qn_query_column(const qn_model *model);

typedef struct qn_judge_options {
    const char *input;  /* labelled rows */
    double threshold;   /* binary; NaN: the model's */
    int n_rounds;       /* of the bootstrap */
    uint64_t seed;
} qn_judge_options;

/* Scores and judges: {"rows", "target_missing", "metrics": {..}, "confusion", "value"}. All labels
 * and scores are kept (16 bytes a row and output). New reference. */
qn_status qn_judge_file(const qn_model *model, const qn_judge_options *options, const qn_job *job,
                        json_t **ret_result, qn_error *err) QN_MUST_USE;

#endif
