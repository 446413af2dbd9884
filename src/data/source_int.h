/* source_int.h - the parts of an open source. Private to src/data.
 *
 *   files --(csv.c: dialect, header)--> relation `source` --(query)--> `result` --(infer.c)--> select
 *
 * Opening a source for training loads CSV and JSON into a table of the embedded DuckDB (which spills
 * to the temporary folder), because only a full look at a column decides its type. Opening with a
 * given schema streams: the types are known. */
#ifndef QN_DATA_SOURCE_INT_H
#define QN_DATA_SOURCE_INT_H

#include "data/db_int.h"
#include "data/source.h"

typedef enum qn__kind { QN__KIND_CSV, QN__KIND_JSON, QN__KIND_PARQUET } qn__kind;

/* Texts that one list owns. */
typedef struct qn__names {
    char **items; /* owned, each owned */
    size_t n;
} qn__names;

void qn__names_done(qn__names *names);
qn_status qn__names_add(qn__names *names, const char *text, size_t n, qn_error *err) QN_MUST_USE;

typedef struct qn__dialect {
    char delimiter[8], quote[8], escape[8];
    bool header;
} qn__dialect;

struct qn_source {
    qn__db db;
    qn__kind kind;
    char *temp_folder;   /* owned; NULL unless we made it */
    char *label;         /* owned: the file's name for messages */
    qn__names files;
    qn__names names;     /* CSV: columns of the files */
    qn__names missing;   /* all texts that mean missing */
    qn__dialect dialect;
    const char *base;    /* the relation that `select` reads: a literal */
    bool is_query;       /* base is the result of the user's query: no file rows */
    bool streams_csv;    /* conversion happens while rows are read */
    char *select;        /* owned: the final statement */
    qn_schema schema;
    int32_t *positions;  /* owned: of the schema's columns in the file; NULL: as they are */
    qn__rows rows;
    bool is_running, is_done;
    int64_t n_read;
};

/* What the caller states about types: by `types` or by a schema. */
typedef struct qn__stated {
    const qn_source_column_type *types; /* borrowed */
    size_t n;
} qn__stated;

bool qn__stated_find(const qn__stated *stated, const char *name, qn_type *ret_type) QN_MUST_USE;
/* "BOOLEAN", "BIGINT", ... */
const char *qn__sql_type(qn_type type);

/* csv.c: finds delimiter, quote, header and names by looking at the files' first lines. */
qn_status qn__csv_look(qn_source *source, const qn_source_options *options, const qn_job *job,
                       qn_error *err) QN_MUST_USE;
/* Appends the read_csv call: `as_text` all VARCHAR, else types found in the first rows except for
 * those stated. */
void qn__csv_call(const qn_source *source, bool as_text, const qn__stated *stated, qn_buf *out);
/* Turns DuckDB's complaint in *err into ours. */
qn_status qn__source_explain(const qn_source *source, qn_status status, qn_error *err);

/* infer.c: decides types and builds select and schema from `base`. `checked`: look at every value. */
qn_status qn__infer(qn_source *source, const qn__stated *stated, bool checked, const qn_job *job,
                    qn_error *err) QN_MUST_USE;
/* After a failed conversion: finds the first value of `relation` that is not of the type, as the error. */
qn_status qn__find_misfit(qn_source *source, const char *relation, const char *name, qn_type type,
                          const qn_job *job, qn_error *err) QN_MUST_USE;
/* Name and type of the relation's columns, in two lists. */
qn_status qn__describe(qn__db *db, const char *relation, const qn_job *job, qn__names *ret_names,
                       qn__names *ret_types, qn_error *err) QN_MUST_USE;

#endif
