/* refit.h - a model whose leaves learn from other rows while its splits stay (learn/gbdt_refit.h). */
#ifndef QN_FLOW_REFIT_H
#define QN_FLOW_REFIT_H

#include "model/model.h"

typedef struct qn_model_refit_options {
    const char *input;    /* labelled rows */
    double decay;         /* 0 .. 1: how much of the old values stays */
    double learning_rate; /* 0: the one the model was trained with, or 0.1 */
    const char *weight;   /* column of weights; "none"; NULL: that of the model's training, if any */
} qn_model_refit_options;

/* Appends the bytes of the refitted model, an ordinary file whose `about` tells what it was refitted from
 * and how. Calibration and threshold stay. The same bytes for any number of threads. New reference:
 * {"from": {"hash"}, "rows", "trees", "leaves", "leaves_with_rows", "decay"}. Errors: QN_ERR_USAGE (no
 * trees, or what they were grown by is not told), QN_ERR_DATA (the rows), those of the source. */
qn_status qn_model_refit(const qn_model *model, const qn_model_refit_options *options,
                         const qn_job *job, qn_buf *out, json_t **ret_result,
                         qn_error *err) QN_MUST_USE;

#endif
