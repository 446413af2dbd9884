/* rows.h - input rows filled cell by cell and answered at once: what a request, the C API and a
 * benchmark use instead of a frame. Answers have the bits of qn_model_predict on the same rows.
 *
 *     QN_TRY(qn_rows_new(model, &rows, err));            // once per thread
 *     qn_rows_clear(rows);                               // per request
 *     QN_TRY(qn_rows_add(rows, 1, err));
 *     QN_TRY(qn_rows_set_number(rows, 0, i_age, 41, err));
 *     QN_TRY(qn_rows_set_text(rows, 0, i_job, "clerk", 5, err));
 *     QN_TRY(qn_rows_predict(rows, scores, err));
 *
 * Inputs are numbered as in qn_model_inputs. Inputs that go into the learner as they are (numbers,
 * and categories by their code) are kept as features at once: a model of only such inputs answers
 * without allocating, once the rows have been as many before. Others go through the pipeline.
 *
 * A qn_rows belongs to one thread at a time; the model must outlive it. */
#ifndef QN_MODEL_ROWS_H
#define QN_MODEL_ROWS_H

#include "model/model.h"

typedef struct qn_rows qn_rows;

qn_status qn_rows_new(const qn_model *model, qn_rows **ret_rows, qn_error *err) QN_MUST_USE;
void qn_rows_free(qn_rows **rows);
/* No rows; the memory is kept. */
void qn_rows_clear(qn_rows *rows);
/* n more rows, every cell missing. QN_ERR_LIMIT beyond QN_LIMIT_REQUEST_ROWS. */
qn_status qn_rows_add(qn_rows *rows, int64_t n, qn_error *err) QN_MUST_USE;
int64_t qn_rows_count(const qn_rows *rows);

/* One cell, in any order; set again, the last value counts. QN_ERR_DATA naming row (from 1) and
 * column, with err->row and err->column, for what the column cannot hold: text that is no number, a
 * number that is not whole, ... Numbers: NaN is missing; TIME in microseconds; for CATEGORY and
 * TEXT the number's text. Text: as a CSV cell would be read; for CATEGORY and TEXT bytes that are
 * not UTF-8 are refused. An unseen category is no error: the model knows what it does with one. */
qn_status qn_rows_set_number(qn_rows *rows, int64_t i_row, int32_t i_input, double value,
                             qn_error *err) QN_MUST_USE;
qn_status qn_rows_set_i64(qn_rows *rows, int64_t i_row, int32_t i_input, int64_t value,
                          qn_error *err) QN_MUST_USE;
qn_status qn_rows_set_bool(qn_rows *rows, int64_t i_row, int32_t i_input, bool value,
                           qn_error *err) QN_MUST_USE;
qn_status qn_rows_set_text(qn_rows *rows, int64_t i_row, int32_t i_input, const char *bytes,
                           size_t n, qn_error *err) QN_MUST_USE;
void qn_rows_set_missing(qn_rows *rows, int64_t i_row, int32_t i_input);
/* A whole row: values[n_inputs], each as qn_rows_set_number takes it. */
qn_status qn_rows_set_numbers(qn_rows *rows, int64_t i_row, const double *values,
                              qn_error *err) QN_MUST_USE;

/* scores[n_rows][n_outputs], as qn_model_predict. */
qn_status qn_rows_predict(qn_rows *rows, double *scores, qn_error *err) QN_MUST_USE;
/* contrib[n_rows][n_outputs][n_inputs + 1], as qn_model_explain. */
qn_status qn_rows_explain(qn_rows *rows, double *contrib, qn_error *err) QN_MUST_USE;

#endif
