/* rows_json.h - rows from JSON in the forms that prediction services speak:
 *
 *     {"age": 41, "job": "clerk"}                          one row, by name
 *     [{"age": 41, ...}, ...]                              rows by name
 *     [[41, "clerk"], ...]                                 rows in the order of the signature or `columns`
 *     {"age": [41, 23], "job": ["clerk", "nurse"]}         columns
 *     {"columns": ["age", "job"], "data": [[41, "clerk"]]} both apart (pandas' "split")
 *
 * null and NaN are missing. A name that is there twice is refused. Errors: QN_ERR_FORMAT for what is
 * not JSON, QN_ERR_DATA for what does not fit the signature, naming row (from 1) and column. */
#ifndef QN_MODEL_ROWS_JSON_H
#define QN_MODEL_ROWS_JSON_H

#include "base/scan.h"
#include "model/rows.h"

/* Scratch of one thread; borrows the rows and the model behind them. */
typedef struct qn_rows_reader qn_rows_reader;

typedef struct qn_rows_policy {
    bool refuse_extra;   /* a name that the model does not know is an error, not ignored */
    bool absent_is_null; /* an input that is not named is missing, not an error */
} qn_rows_policy;

qn_status qn_rows_reader_new(qn_rows *rows, const qn_schema *inputs, qn_rows_reader **ret_reader,
                             qn_error *err) QN_MUST_USE;
void qn_rows_reader_free(qn_rows_reader **reader);
/* Holds for all reads until it is set again. */
void qn_rows_reader_set_policy(qn_rows_reader *reader, qn_rows_policy policy);
/* The input of that name, or -1. */
int32_t qn_rows_reader_find(const qn_rows_reader *reader, const char *bytes, size_t n);

/* Which inputs the columns of a table are. `begin` forgets former ones; `end` tells what is missing
 * or refused. */
qn_status qn_rows_columns_begin(qn_rows_reader *reader, qn_error *err) QN_MUST_USE;
qn_status qn_rows_columns_add(qn_rows_reader *reader, const char *bytes, size_t n, qn_error *err)
    QN_MUST_USE;
qn_status qn_rows_columns_end(qn_rows_reader *reader, qn_error *err) QN_MUST_USE;
/* The columns are the inputs in the order of the signature. */
qn_status qn_rows_columns_all(qn_rows_reader *reader, qn_error *err) QN_MUST_USE;
/* Number of columns, and the input of one (-1: ignored). */
int32_t qn_rows_columns_count(const qn_rows_reader *reader);
int32_t qn_rows_columns_input(const qn_rows_reader *reader, int32_t i_column);

/* Each reads one value and adds its rows. */
qn_status qn_rows_read_object(qn_rows_reader *reader, qn_scan *scan, qn_error *err) QN_MUST_USE;
/* One row: an object by name, or a list in the order of the columns; with a single column also a bare
 * value. */
qn_status qn_rows_read_row(qn_rows_reader *reader, qn_scan *scan, qn_error *err) QN_MUST_USE;
/* A list of rows: objects by name, or lists in the order of the columns; with a single column also
 * bare values. */
qn_status qn_rows_read_list(qn_rows_reader *reader, qn_scan *scan, qn_error *err) QN_MUST_USE;
/* An object of lists by name, all of one length. */
qn_status qn_rows_read_columns(qn_rows_reader *reader, qn_scan *scan, qn_error *err) QN_MUST_USE;
/* {"columns", "data"}; other members ("index") are ignored. */
qn_status qn_rows_read_split(qn_rows_reader *reader, qn_scan *scan, qn_error *err) QN_MUST_USE;
/* One value into a cell. */
qn_status qn_rows_read_cell(qn_rows_reader *reader, qn_scan *scan, int64_t i_row, int32_t i_input,
                            qn_error *err) QN_MUST_USE;

#endif
