/* rows.h - input rows filled cell by cell and answered at once: what a request, the C API and a
 * benchmark use instead of a frame. Answers have the bits of qn_model_predict on the same rows.
 *
 * The functions are part of the public interface: see qn_rows in include/quern.h. Inputs are
 * numbered as in qn_model_inputs. Where a model's features are all inputs as they are
 * (qn_pipeline_direct), cells become features at once; others go through the pipeline. */
#ifndef QN_MODEL_ROWS_H
#define QN_MODEL_ROWS_H

#include "model/model.h"

/* What the rows are for; borrowed. */
const qn_model *qn_rows_model(const qn_rows *rows);
/* Rows are blocks of something larger: in messages the first of them is row i_first + 1. Holds until
 * it is set again. */
void qn_rows_count_from(qn_rows *rows, int64_t i_first);
/* A row of a model whose features are its inputs, all of them numbers: may be written as
 * row[n_inputs], finite. NULL for others. Until rows are added. */
double *qn_rows_numbers(qn_rows *rows, int64_t i_row);

#endif
