/* compress_int.h - inside flow/: the labelled rows by which a model is compressed, or refitted. */
#ifndef QN_FLOW_COMPRESS_INT_H
#define QN_FLOW_COMPRESS_INT_H

#include "model/model.h"

/* Matrices of rows with their labels, one for each chunk of the file. */
typedef struct qn__row_parts {
    qn_matrix **x;  /* owned, each owned; features of the model's pipeline */
    double **y;     /* owned, each owned */
    int32_t n, cap;
    int64_t n_rows;
} qn__row_parts;

void qn__row_parts_done(qn__row_parts *parts);

/* The first, third, ... labelled row of `input` into prune, the others into judge. QN_ERR_DATA when
 * there are too few. */
qn_status qn__compress_rows(const qn_model *model, const char *input, const qn_job *job,
                            qn__row_parts *prune, qn__row_parts *judge, qn_error *err) QN_MUST_USE;
/* All labelled rows of `input`. QN_ERR_DATA when there is none. */
qn_status qn__labelled_rows(const qn_model *model, const char *input, const qn_job *job,
                            qn__row_parts *parts, qn_error *err) QN_MUST_USE;

#endif
