/* db_int.h - one in-memory DuckDB with our settings, and its results. Private to src/data. */
#ifndef QN_DATA_DB_INT_H
#define QN_DATA_DB_INT_H

#include "base/buf.h"
#include "base/job.h"
#include "data/column_int.h"
#include "data/duckdb_api.h"

typedef struct qn__db {
    const qn_duckdb *api; /* borrowed: the process's */
    duckdb_database database;
    duckdb_connection connection;
} qn__db;

/* temp_folder (may be NULL) is where DuckDB spills. `sealed`: no files, no settings can be
 * touched. */
qn_status qn__db_open(const char *temp_folder, const qn_job *job, bool sealed, qn__db *ret_db,
                      qn_error *err) QN_MUST_USE;
void qn__db_done(qn__db *db);

/* A running query. Zeroed is empty. */
typedef struct qn__rows {
    qn__db *db;             /* borrowed */
    duckdb_result result;
    bool has_result;
    duckdb_data_chunk chunk; /* owned; NULL before the first and after the last */
    int64_t n_chunk, at;     /* rows of the chunk, rows of it already used */
} qn__rows;

/* Runs one statement to its end or, when `streaming`, until its first rows. Checks job->cancel
 * while it works. DuckDB's own message comes back in err->message, unprefixed, code QN_ERR_DATA (or
 * IO, MEMORY, CANCELLED). */
qn_status qn__db_query(qn__db *db, const char *sql, bool streaming, const qn_job *job,
                       qn__rows *ret_rows, qn_error *err) QN_MUST_USE;
/* The same, nobody reads the rows. */
qn_status qn__db_run(qn__db *db, const char *sql, const qn_job *job, qn_error *err) QN_MUST_USE;
void qn__rows_done(qn__rows *rows);
/* The next chunk, after which chunk is NULL at the end. */
qn_status qn__rows_fetch(qn__rows *rows, qn_error *err) QN_MUST_USE;
/* The first row as whole numbers (BIGINT columns); missing ones are 0. */
qn_status qn__db_numbers(qn__db *db, const char *sql, const qn_job *job, int64_t *ret_values, int n,
                         qn_error *err) QN_MUST_USE;
/* A VARCHAR cell of the current chunk; NULL when missing. Borrowed from the chunk. */
const char *qn__rows_text(const qn__rows *rows, int i_column, int64_t i_row, size_t *ret_bytes);

/* Appends 'text' or "name" with its quotes doubled. */
void qn__sql_text(qn_buf *out, const char *text);
void qn__sql_name(qn_buf *out, const char *name);

/* Appends rows [from, from + n) of the current chunk to the columns; types must match the select
 * list: BOOLEAN, BIGINT, DOUBLE, VARCHAR, VARCHAR, TIMESTAMP. */
qn_status qn__fill_chunk(const qn__rows *rows, int64_t from, int64_t n, qn__growing *columns,
                         int32_t n_columns, qn_error *err) QN_MUST_USE;

duckdb_type qn__duckdb_type(qn_type type);
/* Rows [from, from + n) of a column into a vector of its type. */
void qn__fill_vector(const qn_duckdb *api, duckdb_vector vector, const qn_column *column,
                     int64_t from, int64_t n);

#endif
