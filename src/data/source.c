#include "data/source.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/source_int.h"

const qn_schema *qn_source_schema(const qn_source *source) {
    return &source->schema;
}

int32_t qn_source_position(const qn_source *source, int32_t i) {
    return source->positions ? source->positions[i] : i;
}

void qn_source_free(qn_source **source) {
    if (!source || !*source)
        return;
    qn_source *s = *source;
    qn__rows_done(&s->rows);
    qn__db_done(&s->db);
    if (s->temp_folder)
        (void)rmdir(s->temp_folder);
    qn_freep(&s->temp_folder);
    qn_freep(&s->label);
    qn__names_done(&s->files);
    qn__names_done(&s->names);
    qn__names_done(&s->missing);
    qn__csv_cursor_free(&s->cursor);
    qn_frame_free(&s->cached);
    qn_freep(&s->cells);
    qn_freep(&s->verbatim);
    qn_freep(&s->select);
    qn_schema_done(&s->schema);
    qn_freep(&s->positions);
    qn_freep(source);
}

static bool ends_with(const char *text, size_t n, const char *end) {
    const size_t n_end = strlen(end);
    return n >= n_end && strncasecmp(text + n - n_end, end, n_end) == 0;
}

static qn__kind kind_of_path(const char *path) {
    size_t n = strlen(path);
    if (ends_with(path, n, ".gz"))
        n -= 3;
    else if (ends_with(path, n, ".zst"))
        n -= 4;
    if (ends_with(path, n, ".json") || ends_with(path, n, ".jsonl") ||
        ends_with(path, n, ".ndjson"))
        return QN__KIND_JSON;
    return ends_with(path, n, ".parquet") || ends_with(path, n, ".pq") ? QN__KIND_PARQUET
                                                                       : QN__KIND_CSV;
}

qn_status qn__source_need_db(qn_source *source, const qn_job *job, qn_error *err) {
    return source->db.connection ? QN_OK
                                 : qn__db_open(source->temp_folder, job, false, &source->db, err);
}

static int compare_files(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static qn_status expand_glob(qn_source *source, const char *path, qn_error *err) {
    glob_t found = {0};
    const int code = glob(path, GLOB_NOSORT, NULL, &found);
    qn_status status = code == GLOB_NOSPACE ? qn_error_memory(err) : QN_OK;
    for (size_t i = 0; status == QN_OK && code == 0 && i < found.gl_pathc; i++)
        if (!qn_folder_exists(found.gl_pathv[i]))
            status =
                qn__names_add(&source->files, found.gl_pathv[i], strlen(found.gl_pathv[i]), err);
    globfree(&found);
    if (source->files.n)
        qsort(source->files.items, source->files.n, sizeof *source->files.items, compare_files);
    return status;
}

/* Folders of any depth ("**") are what glob(3) does not know. */
static qn_status expand_deep_glob(qn_source *source, const char *path, const qn_job *job,
                                  qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf sql = {0};
    qn_buf_put_text(&sql, "SELECT file FROM glob(");
    qn__sql_text(&sql, path);
    qn_buf_put_text(&sql, ") ORDER BY file");
    QN_TRY(qn_buf_status(&sql, err));
    QN_TRY(qn__source_need_db(source, job, err));
    qn_cleanup(qn__rows_done) qn__rows rows = {0};
    QN_TRY(qn__db_query(&source->db, sql.data, false, job, &rows, err));
    for (;;) {
        QN_TRY(qn__rows_fetch(&rows, err));
        if (!rows.chunk)
            return QN_OK;
        for (int64_t i = 0; i < rows.n_chunk; i++) {
            size_t n = 0;
            const char *file = qn__rows_text(&rows, 0, i, &n);
            QN_TRY(qn__names_add(&source->files, file, n, err));
        }
    }
}

static qn_status find_files(qn_source *source, const qn_source_options *options, const qn_job *job,
                            qn_error *err) {
    QN_FAIL_IF(!options->path || !*options->path, err, QN_ERR_CONFIG, "data.source is empty");
    QN_FAIL_IF(strstr(options->path, "://"), err, QN_ERR_UNSUPPORTED,
               "'%s' is not a file; download it first", options->path);
    qn_cleanup(qn_freep) char *path =
        qn_path_join(options->folder ? options->folder : ".", options->path);
    if (!path || !(source->label = qn_strdup(options->path)))
        return qn_error_memory(err);
    struct stat st;
    if (stat(path, &st) == 0) {
        QN_FAIL_IF(S_ISDIR(st.st_mode), err, QN_ERR_DATA,
                   "'%s' is a folder; name a file in it or a pattern such as '%s/*.csv'",
                   options->path, options->path);
        if (access(path, R_OK) != 0)
            return qn_error_errno(err, "read", path);
        QN_FAIL_IF(S_ISREG(st.st_mode) && st.st_size == 0, err, QN_ERR_DATA, "%s is empty",
                   options->path);
        return qn__names_add(&source->files, path, strlen(path), err);
    }
    const bool is_pattern = strpbrk(path, "*?[") != NULL;
    QN_FAIL_IF(!is_pattern, err, QN_ERR_NOT_FOUND, "there is no file '%s'", path);
    QN_TRY(strstr(path, "**") ? expand_deep_glob(source, path, job, err)
                              : expand_glob(source, path, err));
    QN_FAIL_IF(!source->files.n, err, QN_ERR_NOT_FOUND, "no file matches '%s'", path);
    return QN_OK;
}

static void put_reader_call(const qn_source *source, qn_buf *sql) {
    qn_buf_put_text(sql, source->kind == QN__KIND_JSON ? "read_json([" : "read_parquet([");
    for (size_t i = 0; i < source->files.n; i++) {
        qn_buf_put_text(sql, i ? ", " : "");
        qn__sql_text(sql, source->files.items[i]);
    }
    if (source->kind == QN__KIND_JSON)
        qn_buf_printf(sql, "], sample_size = -1, union_by_name = true, maximum_object_size = %zu)",
                      QN_LIMIT_FIELD_BYTES);
    else
        qn_buf_put_text(sql, "], union_by_name = true)");
}

static qn_status run_made(qn_source *source, const char *before, qn_buf *call, const qn_job *job,
                          qn_error *err) {
    QN_TRY(qn_buf_status(call, err));
    qn_cleanup(qn_freep) char *sql = qn_format("%s%s", before, call->data);
    if (!sql)
        return qn_error_memory(err);
    return qn__db_run(&source->db, sql, job, err);
}

/* The user's SQL is first prepared in a second, sealed DuckDB that has an empty `source` of the
 * same columns: whatever reaches for a file, an extension or a setting is refused there, as is
 * everything but one SELECT. Table functions open their files when they are bound, so nothing slips
 * through to the run. */
static qn_status check_query(qn_source *source, const char *query, const qn_job *job,
                             qn_error *err) {
    qn_cleanup(qn__db_done) qn__db sealed = {0};
    qn_cleanup(qn__names_done) qn__names names = {0};
    qn_cleanup(qn__names_done) qn__names types = {0};
    qn_cleanup(qn_buf_done) qn_buf table = {0};
    QN_TRY(qn__db_open(NULL, NULL, true, &sealed, err));
    QN_TRY(qn__describe(&source->db, "source", job, &names, &types, err));
    for (size_t j = 0; j < names.n; j++) {
        qn_buf_put_text(&table, j ? ", " : "CREATE TABLE source (");
        qn__sql_name(&table, names.items[j]);
        qn_buf_printf(&table, " %s", types.items[j]);
    }
    qn_buf_put_text(&table, ")");
    QN_TRY(qn_buf_status(&table, err));
    QN_TRY(qn__db_run(&sealed, table.data, NULL, err));
    duckdb_extracted_statements statements = NULL;
    duckdb_prepared_statement prepared = NULL;
    const qn_duckdb *api = sealed.api;
    const idx_t n = api->duckdb_extract_statements(sealed.connection, query, &statements);
    qn_status status = QN_OK;
    if (n == 0)
        status = qn_error_set(err, QN_ERR_CONFIG, "data.query: %s",
                              api->duckdb_extract_statements_error(statements));
    else if (n > 1)
        status = qn_error_set(err, QN_ERR_CONFIG,
                              "data.query must be one SELECT, not %d statements", (int)n);
    else if (api->duckdb_prepare_extracted_statement(sealed.connection, statements, 0, &prepared) !=
             DuckDBSuccess)
        status =
            qn_error_set(err, QN_ERR_CONFIG, "data.query: %s", api->duckdb_prepare_error(prepared));
    else if (api->duckdb_prepared_statement_type(prepared) != DUCKDB_STATEMENT_TYPE_SELECT)
        status = qn_error_set(err, QN_ERR_CONFIG, "data.query must be a SELECT");
    api->duckdb_destroy_prepare(&prepared);
    api->duckdb_destroy_extracted(&statements);
    return status;
}

/* One thread: an unordered GROUP BY must give the same rows in the same order every time. */
static qn_status run_query(qn_source *source, const char *query, const qn_job *job, qn_error *err) {
    QN_TRY(check_query(source, query, job, err));
    size_t n = strlen(query);
    while (n && strchr("; \t\r\n", query[n - 1]))
        n--;
    qn_cleanup(qn_freep) char *sql = qn_format("CREATE TABLE result AS %.*s\n", (int)n, query);
    if (!sql)
        return qn_error_memory(err);
    QN_TRY(qn__db_run(&source->db, "SET threads = 1", NULL, err));
    const qn_status status = qn__db_run(&source->db, sql, job, err);
    if (status != QN_OK) {
        qn_error_prefix(err, "data.query");
        return err && status == QN_ERR_DATA ? (err->code = QN_ERR_CONFIG) : status;
    }
    source->base = "result";
    source->is_query = true;
    return QN_OK;
}

static qn_status check_stated(const qn_source *source, const qn__stated *stated, qn_error *err) {
    for (size_t i = 0; i < stated->n; i++) {
        bool found = false;
        for (int32_t j = 0; j < source->schema.n_columns; j++)
            found |= strcasecmp(source->schema.columns[j].name, stated->types[i].name) == 0;
        QN_FAIL_IF(!found, err, QN_ERR_CONFIG, "data.types: %s has no column '%s'", source->label,
                   stated->types[i].name);
    }
    return QN_OK;
}

static void sum_sizes(qn_source *source) {
    for (size_t i = 0; i < source->files.n; i++) {
        int64_t bytes = 0;
        if (qn_file_size(source->files.items[i], &bytes, NULL) == QN_OK)
            source->n_bytes += (double)bytes;
        const size_t n = strlen(source->files.items[i]);
        source->is_packed |= ends_with(source->files.items[i], n, ".gz") ||
                             ends_with(source->files.items[i], n, ".zst");
    }
}

/* The folder where DuckDB spills is made only when it does. */
static qn_status make_source(const qn_source_options *options, const qn_job *job,
                             qn_source **ret_source, qn_error *err) {
    qn_cleanup(qn_source_free) qn_source *source = qn_new(qn_source);
    if (!source)
        return qn_error_memory(err);
    source->temp_folder = qn_file_temporary(options->folder ? options->folder : ".");
    if (!source->temp_folder)
        return qn_error_memory(err);
    source->n_rows = -1;
    source->base = "source";
    QN_TRY(qn__missing_names(options->missing, options->n_missing, &source->missing, err));
    qn__missing_init(&source->is_missing, &source->missing);
    QN_TRY(find_files(source, options, job, err));
    sum_sizes(source);
    source->kind = kind_of_path(source->files.items[0]);
    if (source->kind == QN__KIND_CSV)
        QN_TRY(qn__csv_look(source, options, err));
    *ret_source = qn_steal(&source);
    return QN_OK;
}

static void note_job(qn_source *source, const qn_job *job) {
    source->job = job ? *job : (qn_job){.n_threads = 1};
}

static qn_status load_by_duckdb(qn_source *source, const qn_job *job, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf call = {0};
    QN_TRY(qn__source_need_db(source, job, err));
    put_reader_call(source, &call);
    const qn_status status =
        run_made(source,
                 source->kind == QN__KIND_JSON ? "CREATE TABLE source AS SELECT * FROM "
                                               : "CREATE VIEW source AS SELECT * FROM ",
                 &call, job, err);
    return status == QN_OK ? QN_OK : qn__source_explain(source, status, err);
}

/* Columns of the query's result have the names of the result: those of the files are done with. */
static qn_status load(qn_source *source, const qn_source_options *options, const qn__stated *stated,
                      const qn_job *job, qn_error *err) {
    note_job(source, job);
    if (source->kind == QN__KIND_CSV) {
        QN_TRY(qn__csv_learn(source, stated, job, err));
        if (!options->query)
            return QN_OK;
        QN_TRY(qn__source_offer(source, job, err));
    } else {
        QN_TRY(load_by_duckdb(source, job, err));
    }
    if (options->query) {
        const qn_status status = run_query(source, options->query, job, err);
        if (status != QN_OK)
            return qn__source_explain(source, status, err);
        source->reads_csv = false;
        qn_frame_free(&source->cached);
    }
    return qn__infer(source, stated, job, err);
}

/* Nothing can be learned from a header alone. */
static qn_status check_rows(qn_source *source, const qn_job *job, qn_error *err) {
    if (!source->reads_csv) {
        qn_cleanup(qn_freep) char *sql = qn_format("SELECT count(*) FROM %s", source->base);
        if (!sql)
            return qn_error_memory(err);
        QN_TRY(qn__db_numbers(&source->db, sql, job, &source->n_rows, 1, err));
    }
    QN_FAIL_IF(!source->n_rows, err, QN_ERR_DATA, "%s has no rows",
               source->is_query ? "the result of data.query" : source->label);
    return QN_OK;
}

qn_status qn_source_open(const qn_source_options *options, const qn_job *job,
                         qn_source **ret_source, qn_error *err) {
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn__stated_done) qn__stated stated = {0};
    QN_TRY(qn__stated_init(&stated, options->types, options->n_types, err));
    QN_TRY(make_source(options, job, &source, err));
    QN_TRY(load(source, options, &stated, job, err));
    QN_TRY(check_stated(source, &stated, err));
    QN_TRY(check_rows(source, job, err));
    *ret_source = qn_steal(&source);
    return QN_OK;
}

/* Which columns of the source, and in which order: the wanted ones first. */
static qn_status find_order(const qn_source *source, const qn_schema *wanted, int32_t *order,
                            qn_error *err) {
    qn_cleanup(qn__index_done) qn__index index = {0};
    qn_cleanup(qn_buf_done) qn_buf absent = {0};
    const int32_t n = source->schema.n_columns;
    qn_cleanup(qn_freep) bool *taken = qn_new_array(bool, n);
    int32_t n_order = 0;
    if (!taken)
        return qn_error_memory(err);
    for (int32_t j = 0; j < n; j++)
        QN_TRY(qn__index_add(&index, source->schema.columns[j].name, j, err));
    for (int32_t i = 0; i < wanted->n_columns; i++) {
        const int32_t j = qn__index_find(&index, wanted->columns[i].name);
        if (j < 0 || taken[j]) {
            qn_buf_printf(&absent, "%s'%s'", absent.len ? ", " : "", wanted->columns[i].name);
            continue;
        }
        taken[j] = true;
        order[n_order++] = j;
    }
    QN_TRY(qn_buf_status(&absent, err));
    QN_FAIL_IF(absent.len, err, QN_ERR_DATA, "%s lacks columns that the model needs: %s",
               source->label, absent.data);
    for (int32_t j = 0; j < n; j++)
        if (!taken[j])
            order[n_order++] = j;
    return QN_OK;
}

/* Puts the wanted columns first, in the wanted order and under the wanted names. */
static qn_status reorder(qn_source *source, const qn_schema *wanted, qn_error *err) {
    const int32_t n = source->schema.n_columns;
    qn_cleanup(qn_buf_done) qn_buf sql = {0};
    qn_cleanup(qn_schema_done) qn_schema schema = {0};
    qn_cleanup(qn_freep) int32_t *order = qn_new_array(int32_t, n);
    qn_cleanup(qn_freep) int32_t *cells = qn_new_array(int32_t, n);
    qn_cleanup(qn_freep) bool *verbatim = qn_new_array(bool, n);
    schema.columns = qn_new_array(qn_schema_column, n);
    if (!schema.columns || !order || !cells || !verbatim)
        return qn_error_memory(err);
    QN_TRY(find_order(source, wanted, order, err));
    for (int32_t i = 0; i < n; i++) {
        const qn_schema_column *column = &source->schema.columns[order[i]];
        const char *name = i < wanted->n_columns ? wanted->columns[i].name : column->name;
        QN_TRY(qn_schema_add(&schema, name, column->type, err));
        qn_buf_put_text(&sql, i ? ", " : "SELECT ");
        qn__sql_name(&sql, column->name);
        if (source->reads_csv) {
            cells[i] = source->cells[order[i]];
            verbatim[i] = source->verbatim[order[i]];
        }
    }
    if (source->reads_csv) {
        memcpy(source->cells, cells, (size_t)n * sizeof *cells);
        memcpy(source->verbatim, verbatim, (size_t)n * sizeof *verbatim);
    } else {
        qn_buf_printf(&sql, " FROM (%s)", source->select);
        QN_TRY(qn_buf_status(&sql, err));
        qn_freep(&source->select);
        source->select = qn_buf_steal(&sql);
        if (!source->select)
            return qn_error_memory(err);
    }
    qn_schema_done(&source->schema);
    source->schema = schema;
    schema = (qn_schema){0};
    source->positions = qn_steal(&order);
    return QN_OK;
}

qn_status qn_source_open_as(const qn_source_options *options, const qn_schema *schema,
                            const qn_job *job, qn_source **ret_source, qn_error *err) {
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    const size_t n = (size_t)schema->n_columns + options->n_types;
    qn_cleanup(qn_freep) qn_source_column_type *types = qn_new_array(qn_source_column_type, n);
    qn_cleanup(qn__stated_done) qn__stated stated = {0};
    if (!types)
        return qn_error_memory(err);
    for (int32_t j = 0; j < schema->n_columns; j++)
        types[j] = (qn_source_column_type){schema->columns[j].name, schema->columns[j].type};
    for (size_t i = 0; i < options->n_types; i++)
        types[(size_t)schema->n_columns + i] = options->types[i];
    QN_TRY(qn__stated_init(&stated, types, n, err));
    QN_TRY(make_source(options, job, &source, err));
    if (source->kind == QN__KIND_CSV && !options->query)
        QN_TRY(qn__csv_take_types(source, &stated, err));
    else
        QN_TRY(load(source, options, &stated, job, err));
    QN_TRY(reorder(source, schema, err));
    *ret_source = qn_steal(&source);
    return QN_OK;
}

static void growing_done_all(qn__growing *columns, int32_t n) {
    for (int32_t j = 0; columns && j < n; j++)
        qn__growing_done(&columns[j]);
}

static qn_status fill_rows(qn_source *source, int64_t max_rows, const qn_job *job,
                           qn__growing *columns, qn_error *err) {
    int64_t n = 0;
    while (n < max_rows) {
        qn__rows *rows = &source->rows;
        if (!rows->chunk || rows->at == rows->n_chunk) {
            QN_TRY(qn_job_check(job, err));
            QN_TRY(qn__rows_fetch(rows, err));
            if (!rows->chunk) {
                source->is_done = true;
                return QN_OK;
            }
        }
        int64_t take = rows->n_chunk - rows->at;
        if (take > max_rows - n)
            take = max_rows - n;
        QN_TRY(qn__fill_chunk(rows, rows->at, take, columns, source->schema.n_columns, err));
        rows->at += take;
        n += take;
    }
    return QN_OK;
}

static qn_status next_by_duckdb(qn_source *source, int64_t max_rows, const qn_job *job,
                                qn_frame **ret_frame, qn_error *err) {
    const int32_t n = source->schema.n_columns;
    if (!source->is_running) {
        const qn_status status =
            qn__db_query(&source->db, source->select, true, job, &source->rows, err);
        if (status != QN_OK)
            return qn__source_explain(source, status, err);
        source->is_running = true;
    }
    qn_cleanup(qn_freep) qn__growing *columns = qn_new_array(qn__growing, n);
    if (!columns)
        return qn_error_memory(err);
    qn_status status = QN_OK;
    for (int32_t j = 0; j < n && status == QN_OK; j++)
        status = qn__growing_init(&columns[j], source->schema.columns[j].name,
                                  source->schema.columns[j].type, err);
    if (status == QN_OK &&
        (status = fill_rows(source, max_rows, job, columns, err)) == QN_ERR_DATA) {
        qn__rows_done(&source->rows);
        source->is_done = true;
        status = qn__source_explain(source, status, err);
    }
    if (status == QN_OK)
        status = qn__growing_finish(columns, n, ret_frame, err);
    growing_done_all(columns, n);
    return status;
}

/* Rows kept in memory are handed over whole, or copied piece by piece. */
static qn_status next_of_cached(qn_source *source, int64_t max_rows, qn_frame **ret_frame,
                                qn_error *err) {
    int64_t n = source->cached->n_rows - source->at_cached;
    if (n > max_rows)
        n = max_rows;
    if (n == source->cached->n_rows)
        *ret_frame = qn_steal(&source->cached);
    else
        QN_TRY(qn__frame_slice(source->cached, source->at_cached, n, ret_frame, err));
    source->at_cached += n;
    source->is_done = source->at_cached == source->n_rows;
    if (source->is_done)
        qn_frame_free(&source->cached);
    return QN_OK;
}

/* A wide table comes in lower pieces, so that memory stays bounded. */
static qn_status next_of_csv(qn_source *source, int64_t max_rows, const qn_job *job,
                             qn_frame **ret_frame, qn_error *err) {
    enum { MOST_PIECE_CELLS = 1 << 23, LEAST_PIECE_ROWS = 64 };
    int64_t most = MOST_PIECE_CELLS / (source->schema.n_columns + 1);
    if (most < LEAST_PIECE_ROWS)
        most = LEAST_PIECE_ROWS;
    if (!source->cursor)
        QN_TRY(qn__csv_cursor_new(source, NULL, source->schema.n_columns, &source->cursor, err));
    return qn__csv_cursor_next(source->cursor, max_rows < most ? max_rows : most, job, ret_frame,
                               err);
}

qn_status qn_source_next(qn_source *source, int64_t max_rows, const qn_job *job,
                         qn_frame **ret_frame, qn_error *err) {
    QN_FAIL_IF(max_rows < 1, err, QN_ERR_USAGE, "at least one row must be asked for");
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    note_job(source, job);
    if (!source->is_done && source->cached)
        QN_TRY(next_of_cached(source, max_rows, &frame, err));
    else if (!source->is_done && source->reads_csv)
        QN_TRY(next_of_csv(source, max_rows, job, &frame, err));
    else if (!source->is_done)
        QN_TRY(next_by_duckdb(source, max_rows, job, &frame, err));
    if (frame && !frame->n_rows)
        qn_frame_free(&frame);
    *ret_frame = qn_steal(&frame);
    return QN_OK;
}
