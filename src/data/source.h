/* source.h - reading tables: CSV, TSV, JSON lines and Parquet, plain, .gz or .zst, one file or a
 * glob, with an optional SQL query over `source`. CSV is read by this room itself; the rest, and
 * all SQL, by DuckDB, whose complaints become ours ("fraud.csv row 812, column Amount: 'abc' is not
 * a number").
 *
 * libduckdb is loaded when it is first needed: scoring a CSV file into another never does. */
#ifndef QN_DATA_SOURCE_H
#define QN_DATA_SOURCE_H

#include "base/job.h"
#include "data/frame.h"

typedef struct qn_source_column_type {
    const char *name; /* borrowed */
    qn_type type;
} qn_source_column_type;

typedef struct qn_source_options {
    const char *path;   /* file or glob; relative to `folder` */
    const char *folder; /* NULL: the current one */
    const char *query;  /* SQL over `source`; NULL for all of it */
    const char *delimiter;        /* NULL: found by looking */
    const char *quote;            /* NULL: found by looking */
    int header;                   /* 1 yes, 0 no, -1 found by looking */
    const char *const *missing;   /* texts that mean missing, beside "", "?", "NA" (and its kin) */
    size_t n_missing;
    const qn_source_column_type *types; /* types that the user states; the rest is inferred */
    size_t n_types;
} qn_source_options;

/* An open source: its columns are known, its rows not yet read. One thread at a time. */
typedef struct qn_source qn_source;

/* Errors: QN_ERR_NOT_FOUND (no such file, nothing matches), QN_ERR_DATA (empty, ragged, duplicate
 * header, ...), QN_ERR_CONFIG (a query DuckDB refuses, a column of `types` that is not there). */
qn_status qn_source_open(const qn_source_options *options, const qn_job *job,
                         qn_source **ret_source, qn_error *err) QN_MUST_USE;
/* Opens with the types of `schema` forced: columns may come in any order. Extra ones follow the
 * schema's: of CSV as TEXT, byte by byte as they are written (only nothing is missing), else with
 * types inferred. Missing ones are QN_ERR_DATA listing them all. A value that does not fit its
 * column's type is QN_ERR_DATA with file, row and column when it is read. */
qn_status qn_source_open_as(const qn_source_options *options, const qn_schema *schema,
                            const qn_job *job, qn_source **ret_source, qn_error *err) QN_MUST_USE;
void qn_source_free(qn_source **source);
/* Borrowed from the source. */
const qn_schema *qn_source_schema(const qn_source *source);
/* Where column i of the schema stands in the file, from 0: open_as puts the wanted ones first. */
int32_t qn_source_position(const qn_source *source, int32_t i);

/* The next rows, at most max_rows; *ret_frame is NULL at the end. Memory stays bounded: rows that
 * do not fit come in several frames, also when all are asked for. */
qn_status qn_source_next(qn_source *source, int64_t max_rows, const qn_job *job,
                         qn_frame **ret_frame, qn_error *err) QN_MUST_USE;

/* Snapshot: what a run trains on. Streams the source into `folder`/.tmp-... as Parquet (zstd) with
 * the inferred schema; *ret_path (owned by the caller) is the temporary file, to be put into the
 * object store. Same input, same bytes, for any number of threads. *ret_n_rows counts its rows. */
qn_status qn_source_snapshot(qn_source *source, const char *folder, const qn_job *job,
                             char **ret_path, int64_t *ret_n_rows, qn_error *err) QN_MUST_USE;

/* Reads a snapshot back, whole, or the given ascending row numbers of it (rows NULL for all),
 * keeping the types it was written with (CATEGORY, TEXT... are kept in the Parquet metadata or
 * beside it). */
qn_status qn_snapshot_read(const char *path, const int64_t *rows, int64_t n_rows, const qn_job *job,
                           qn_frame **ret_frame, qn_error *err) QN_MUST_USE;

/* Writing results: CSV, TSV, JSON lines or Parquet by the file's ending, also .gz/.zst where DuckDB
 * writes it; QN_ERR_USAGE for any other ending. Frames of one schema are appended; nothing appears
 * at `path` until finish (temporary file, sync, rename). path "-" is standard output, CSV (or JSON
 * lines when `json`). */
typedef struct qn_sink qn_sink;

qn_status qn_sink_open(const char *path, bool json, qn_sink **ret_sink, qn_error *err) QN_MUST_USE;
qn_status qn_sink_write(qn_sink *sink, const qn_frame *frame, const qn_job *job, qn_error *err)
    QN_MUST_USE;
qn_status qn_sink_finish(qn_sink *sink, qn_error *err) QN_MUST_USE;
void qn_sink_free(qn_sink **sink); /* without finish: nothing is left behind */

#endif
