/* compress_int.h - inside flow/: the labelled rows by which a model is compressed, or refitted. */
#ifndef QN_FLOW_COMPRESS_INT_H
#define QN_FLOW_COMPRESS_INT_H

#include "model/model.h"

/* Columns beside the inputs of a model and its target; NULL: none. Borrowed. */
typedef struct qn__row_columns {
    const char *weight, *query;
} qn__row_columns;

/* Matrices of rows with their labels, one for each chunk of the file, and what such columns say. */
typedef struct qn__row_parts {
    qn_matrix **x;  /* owned, each owned; features of the model's pipeline */
    double **y;     /* owned, each owned */
    int32_t n, cap;
    int64_t n_rows, cap_rows;
    double *weight; /* owned; n_rows, of all parts one after the other; NULL: none was asked for */
    uint64_t *hash; /* owned; the same, of rankings: what queries are told apart by; */
    int32_t *query; /* owned; their numbers, 0 .. n_queries - 1; NULL: no ranking */
    int32_t n_queries;
} qn__row_parts;

void qn__row_parts_done(qn__row_parts *parts);

/* The first, third, ... labelled row of `input` into prune, the others into judge; of a ranking whole
 * queries, by a hash. QN_ERR_DATA when there are too few. */
qn_status qn__compress_rows(const qn_model *model, const char *input, const qn_job *job,
                            qn__row_parts *prune, qn__row_parts *judge, qn_error *err) QN_MUST_USE;
/* All labelled rows of `input`. QN_ERR_DATA when there is none, a weight is not above 0, or a query is
 * missing. */
qn_status qn__labelled_rows(const qn_model *model, const char *input,
                            const qn__row_columns *columns, const qn_job *job,
                            qn__row_parts *parts, qn_error *err) QN_MUST_USE;

#endif
