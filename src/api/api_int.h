/* api_int.h - shared inside api/. */
#ifndef QN_API_API_INT_H
#define QN_API_API_INT_H

#include "base/buf.h"
#include "model/rows.h"

/* What the caller's options say, of those that its version of the header knew. */
qn_status qn__options_read(const qn_options *given, qn_options *ret_options, qn_error *err)
    QN_MUST_USE;

/* Fills rows [0, n) of `rows`, which are there and missing, with rows first .. first + n - 1 of what
 * the caller has. */
typedef qn_status (*qn__fill)(const void *input, qn_rows *rows, int64_t first, int64_t n,
                              qn_error *err);
/* Scores of n_rows rows, in blocks, over the threads of the options. Of several errors the one of
 * the first block is told. */
qn_status qn__predict_blocks(const qn_model *model, int64_t n_rows, const qn_options *options,
                             qn__fill fill, const void *input, double *scores, qn_error *err)
    QN_MUST_USE;

/* "probability", "probability_CLASS", "prediction": owned by the caller; NULL when memory is
 * short. */
char *qn__output_name(const qn_model *model, int32_t i_output);

#endif
