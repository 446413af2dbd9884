/* source_int.h - the parts of an open source. Private to src/data.
 *
 *   CSV      --csv_*.c: types, values--> frames          \
 *   CSV      --table function of db_function.c--> DuckDB  > query --> `result` --infer.c--> select
 * --> frames JSON, Parquet                        --------> DuckDB /
 *
 * A CSV file is read by ourselves; DuckDB is started only when it is asked for SQL or Parquet. */
#ifndef QN_DATA_SOURCE_INT_H
#define QN_DATA_SOURCE_INT_H

#include "data/csv_int.h"
#include "data/db_int.h"
#include "data/source.h"

typedef enum qn__kind { QN__KIND_CSV, QN__KIND_JSON, QN__KIND_PARQUET } qn__kind;

/* Finds names whatever their case. The first of equal names counts. */
typedef struct qn__index {
    qn_dict *dict; /* owned; NULL when empty */
    int32_t *at;   /* owned: of each code */
} qn__index;

void qn__index_done(qn__index *index);
qn_status qn__index_add(qn__index *index, const char *name, int32_t i, qn_error *err) QN_MUST_USE;
int32_t qn__index_find(const qn__index *index, const char *name);

/* What the caller states about types: by `types` or by a schema. */
typedef struct qn__stated {
    const qn_source_column_type *types; /* borrowed */
    size_t n;
    qn__index index;
} qn__stated;

qn_status qn__stated_init(qn__stated *stated, const qn_source_column_type *types, size_t n,
                          qn_error *err) QN_MUST_USE;
void qn__stated_done(qn__stated *stated);
bool qn__stated_find(const qn__stated *stated, const char *name, qn_type *ret_type) QN_MUST_USE;

typedef struct qn__csv_cursor qn__csv_cursor;

struct qn_source {
    qn_job job; /* of the call in progress: for what DuckDB calls back */
    qn__db db;  /* opened when needed */
    qn__kind kind;
    char *temp_folder; /* owned; where DuckDB spills; NULL unless we made it */
    char *label;       /* owned: the file's name for messages */
    qn__names files;
    double n_bytes;    /* of all files, as they lie on the disk */
    bool is_packed;    /* some are compressed */
    qn__names names;   /* CSV: columns of the files */
    qn__names missing; /* all texts that mean missing */
    qn__missing is_missing;
    qn__dialect dialect;
    qn_schema schema;
    int32_t *positions; /* owned: of the schema's columns in the file; NULL: as they are */
    int64_t n_rows;     /* -1 until counted */

    /* CSV without a query: column j of the schema is column cells[j] of the files. */
    bool reads_csv;
    int32_t *cells;   /* owned */
    bool *verbatim;   /* owned */
    qn_frame *cached; /* owned; all rows, when they fit; NULL when not kept */
    int64_t at_cached;
    qn__csv_cursor *cursor; /* owned */
    bool is_offered;        /* to DuckDB, as the view `source` */
    qn_error inner;         /* why the table function failed */

    /* the rest: what DuckDB gives */
    const char *base; /* the relation that `select` reads: a literal */
    bool is_query;    /* base is the result of the user's query: no file rows */
    char *select;     /* owned: the final statement */
    qn__rows rows;
    bool is_running, is_done;
};

/* "BOOLEAN", "BIGINT", ... */
const char *qn__sql_type(qn_type type);
/* Opens DuckDB unless it is open. */
qn_status qn__source_need_db(qn_source *source, const qn_job *job, qn_error *err) QN_MUST_USE;

/* csv.c: finds delimiter, quote, header and names by looking at the files' first lines. */
qn_status qn__csv_look(qn_source *source, const qn_source_options *options,
                       qn_error *err) QN_MUST_USE;
/* Turns DuckDB's complaint in *err into ours. */
qn_status qn__source_explain(const qn_source *source, qn_status status, qn_error *err);

/* csv_load.c: reads all rows once (columns that changed their mind, twice) to decide the types;
 * keeps the values as `cached` when they fit into the memory that may be used. */
qn_status qn__csv_learn(qn_source *source, const qn__stated *stated, const qn_job *job,
                        qn_error *err) QN_MUST_USE;
/* Takes the types from `stated`; columns that it does not name stay as they are written. */
qn_status qn__csv_take_types(qn_source *source, const qn__stated *stated,
                             qn_error *err) QN_MUST_USE;
/* Another pass over the files: the given columns of the schema (borrowed). */
qn_status qn__csv_cursor_new(qn_source *source, const int32_t *columns, int32_t n,
                             qn__csv_cursor **ret_cursor, qn_error *err) QN_MUST_USE;
void qn__csv_cursor_free(qn__csv_cursor **cursor);
/* The next rows, at most max_rows; NULL at the end. */
qn_status qn__csv_cursor_next(qn__csv_cursor *cursor, int64_t max_rows, const qn_job *job,
                              qn_frame **ret_frame, qn_error *err) QN_MUST_USE;

/* db_function.c: makes the rows of a CSV source readable by SQL as `source`. */
qn_status qn__source_offer(qn_source *source, const qn_job *job, qn_error *err) QN_MUST_USE;

/* infer.c: decides types and builds select and schema from `base`. */
qn_status qn__infer(qn_source *source, const qn__stated *stated, const qn_job *job,
                    qn_error *err) QN_MUST_USE;
/* Name and type of the relation's columns, in two lists. */
qn_status qn__describe(qn__db *db, const char *relation, const qn_job *job, qn__names *ret_names,
                       qn__names *ret_types, qn_error *err) QN_MUST_USE;

#endif
