#include "data/db_int.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

void qn__sql_text(qn_buf *out, const char *text) {
    qn_buf_put_char(out, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            qn_buf_put_char(out, '\'');
        qn_buf_put_char(out, *text);
    }
    qn_buf_put_char(out, '\'');
}

void qn__sql_name(qn_buf *out, const char *name) {
    qn_buf_put_char(out, '"');
    for (; *name; name++) {
        if (*name == '"')
            qn_buf_put_char(out, '"');
        qn_buf_put_char(out, *name);
    }
    qn_buf_put_char(out, '"');
}

/* DuckDB's limit is of its buffers; result sets, vectors and writers come on top, and what we hold
 * ourselves. */
static size_t duckdb_memory(const qn_job *job) {
    const size_t least = (size_t)256 << 20, all = job ? job->memory_bytes : 0;
    if (!all)
        return qn_mem_available_bytes() / 2;
    return all / 2 > least ? all / 2 : least;
}

static bool set_options(const qn_duckdb *api, duckdb_config config, const char *temp_folder,
                        const qn_job *job, bool sealed) {
    char threads[16], memory[32];
    snprintf(threads, sizeof threads, "%d", qn_job_threads(job));
    snprintf(memory, sizeof memory, "%zuMiB", duckdb_memory(job) >> 20);
    const char *const options[][2] = {
        {"threads", threads},
        {"memory_limit", memory},
        {"temp_directory", temp_folder ? temp_folder : ""},
        {"preserve_insertion_order", "true"},
        {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions", "false"},
        {"allow_community_extensions", "false"},
        {"allow_persistent_secrets", "false"},
        {"enable_external_access", sealed ? "false" : "true"},
        {"lock_configuration", sealed ? "true" : "false"},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (api->duckdb_set_config(config, options[i][0], options[i][1]) != DuckDBSuccess)
            return false;
    return true;
}

qn_status qn__db_open(const char *temp_folder, const qn_job *job, bool sealed, qn__db *ret_db,
                      qn_error *err) {
    const qn_duckdb *api = NULL;
    QN_TRY(qn_duckdb_load(&api, err));
    qn_cleanup(qn__db_done) qn__db db = {.api = api};
    duckdb_config config = NULL;
    char *why = NULL;
    if (api->duckdb_create_config(&config) != DuckDBSuccess)
        return qn_error_memory(err);
    bool ok = set_options(api, config, temp_folder, job, sealed) &&
              api->duckdb_open_ext(NULL, &db.database, config, &why) == DuckDBSuccess &&
              api->duckdb_connect(db.database, &db.connection) == DuckDBSuccess;
    api->duckdb_destroy_config(&config);
    if (!ok) {
        qn_error_set(err, QN_ERR_INTERNAL, "cannot start DuckDB: %s",
                     why ? why : "a setting is unknown");
        if (why)
            api->duckdb_free(why);
        return QN_ERR_INTERNAL;
    }
    if (!sealed) {
        QN_TRY(qn__db_run(&db, "SET TimeZone = 'UTC'", NULL, err));
        /* else IN lists become joins, which reorder rows */
        QN_TRY(qn__db_run(&db, "SET disabled_optimizers = 'in_clause'", NULL, err));
    }
    *ret_db = db;
    db = (qn__db){0};
    return QN_OK;
}

void qn__db_done(qn__db *db) {
    if (db->connection)
        db->api->duckdb_disconnect(&db->connection);
    if (db->database)
        db->api->duckdb_close(&db->database);
    *db = (qn__db){0};
}

void qn__rows_done(qn__rows *rows) {
    if (rows->chunk)
        rows->db->api->duckdb_destroy_data_chunk(&rows->chunk);
    if (rows->has_result)
        rows->db->api->duckdb_destroy_result(&rows->result);
    *rows = (qn__rows){0};
}

static qn_status fail(const char *why, qn_error *err) {
    if (!why)
        why = "DuckDB failed without a reason";
    const qn_status code = strstr(why, "No space left on device")   ? QN_ERR_IO
                           : strncmp(why, "Out of Memory", 13) == 0 ? QN_ERR_MEMORY
                           : strncmp(why, "INTERRUPT", 9) == 0      ? QN_ERR_CANCELLED
                                                                    : QN_ERR_DATA;
    if (code == QN_ERR_MEMORY)
        return qn_error_set(
            err, code, "the data does not fit in the memory allowed; raise limits.memory (%.*s)",
            (int)strcspn(why, "\n"), why);
    if (code == QN_ERR_CANCELLED)
        return qn_error_set(err, code, "interrupted");
    /* A CSV complaint quotes the whole line, megabytes maybe, before it says what is wrong. */
    static const char *const reasons[] = {"\nExpected Number of Columns", "\nError when converting",
                                          "\nInvalid unicode", "\nValue with unterminated quote",
                                          "\nMaximum line size"};
    const char *line = strstr(why, "\nOriginal Line: "), *reason = NULL;
    for (size_t i = 0; line && !reason && i < sizeof reasons / sizeof reasons[0]; i++)
        for (const char *at = line; (at = strstr(at + 1, reasons[i])) != NULL;)
            reason = at;
    const char *file = reason ? strstr(reason, "\n  file = ") : NULL;
    if (!reason)
        return qn_error_set(err, code, "%s", why);
    const int n_file = file ? (int)strcspn(file + 1, "\n") : 0;
    return qn_error_set(err, code, "%.*s%.*s\n%.*s", (int)(line - why), why, 400, reason, n_file,
                        file ? file + 1 : "");
}

static void tell_progress(const qn__db *db, const qn_job *job) {
    const duckdb_query_progress_type progress = db->api->duckdb_query_progress(db->connection);
    if (progress.percentage > 0)
        qn_job_progress(job, "import", progress.percentage, 100, NULL);
}

/* Task by task, so that Ctrl-C is heard and no thread of ours sits blocked inside. An interrupted
 * query is run on until it notices: given up half-way it would never be freed. */
static qn_status run_tasks(qn__db *db, duckdb_pending_result pending, const qn_job *job,
                           qn_error *err) {
    bool is_cancelled = false;
    for (int64_t n_tasks = 0;;) {
        const duckdb_pending_state state = db->api->duckdb_pending_execute_task(pending);
        if (is_cancelled &&
            (state == DUCKDB_PENDING_ERROR || db->api->duckdb_pending_execution_is_finished(state)))
            return qn_job_check(job, err);
        if (state == DUCKDB_PENDING_ERROR)
            return fail(db->api->duckdb_pending_error(pending), err);
        if (db->api->duckdb_pending_execution_is_finished(state))
            return QN_OK;
        if (!is_cancelled && qn_job_cancelled(job)) {
            db->api->duckdb_interrupt(db->connection);
            is_cancelled = true;
        }
        if (++n_tasks % 64 == 0 && !is_cancelled)
            tell_progress(db, job);
        if (state == DUCKDB_PENDING_NO_TASKS_AVAILABLE)
            usleep(200);
    }
}

static qn_status run_prepared(qn__db *db, duckdb_prepared_statement prepared, bool streaming,
                              const qn_job *job, qn__rows *ret_rows, qn_error *err) {
    const qn_duckdb *api = db->api;
    duckdb_pending_result pending = NULL;
    const duckdb_state made = streaming ? api->duckdb_pending_prepared_streaming(prepared, &pending)
                                        : api->duckdb_pending_prepared(prepared, &pending);
    qn_status status = made == DuckDBSuccess ? run_tasks(db, pending, job, err)
                                             : fail(api->duckdb_pending_error(pending), err);
    qn__rows rows = {.db = db};
    if (status == QN_OK) {
        rows.has_result = true;
        if (api->duckdb_execute_pending(pending, &rows.result) != DuckDBSuccess)
            status = fail(api->duckdb_result_error(&rows.result), err);
    }
    api->duckdb_destroy_pending(&pending);
    if (status != QN_OK)
        qn__rows_done(&rows);
    else
        *ret_rows = rows;
    return status;
}

qn_status qn__db_query(qn__db *db, const char *sql, bool streaming, const qn_job *job,
                       qn__rows *ret_rows, qn_error *err) {
    const qn_duckdb *api = db->api;
    duckdb_extracted_statements statements = NULL;
    duckdb_prepared_statement prepared = NULL;
    qn_status status;
    if (api->duckdb_extract_statements(db->connection, sql, &statements) != 1)
        status = fail(api->duckdb_extract_statements_error(statements), err);
    else if (api->duckdb_prepare_extracted_statement(db->connection, statements, 0, &prepared) !=
             DuckDBSuccess)
        status = fail(api->duckdb_prepare_error(prepared), err);
    else
        status = run_prepared(db, prepared, streaming, job, ret_rows, err);
    api->duckdb_destroy_prepare(&prepared);
    api->duckdb_destroy_extracted(&statements);
    return status;
}

qn_status qn__db_run(qn__db *db, const char *sql, const qn_job *job, qn_error *err) {
    qn_cleanup(qn__rows_done) qn__rows rows = {0};
    return qn__db_query(db, sql, false, job, &rows, err);
}

qn_status qn__rows_fetch(qn__rows *rows, qn_error *err) {
    const qn_duckdb *api = rows->db->api;
    if (rows->chunk)
        api->duckdb_destroy_data_chunk(&rows->chunk);
    rows->at = rows->n_chunk = 0;
    rows->chunk = api->duckdb_fetch_chunk(rows->result);
    if (rows->chunk) {
        rows->n_chunk = (int64_t)api->duckdb_data_chunk_get_size(rows->chunk);
        return QN_OK;
    }
    const char *why = api->duckdb_result_error(&rows->result);
    return why && *why ? fail(why, err) : QN_OK;
}

static bool is_valid(const uint64_t *valid, int64_t i) {
    return !valid || (valid[i >> 6] >> (i & 63) & 1);
}

const char *qn__rows_text(const qn__rows *rows, int i_column, int64_t i_row, size_t *ret_bytes) {
    const qn_duckdb *api = rows->db->api;
    duckdb_vector vector = api->duckdb_data_chunk_get_vector(rows->chunk, (idx_t)i_column);
    if (!is_valid(api->duckdb_vector_get_validity(vector), i_row))
        return NULL;
    const duckdb_string_t *text =
        (const duckdb_string_t *)api->duckdb_vector_get_data(vector) + i_row;
    const uint32_t n = text->value.inlined.length;
    *ret_bytes = n;
    return n <= 12 ? text->value.inlined.inlined : text->value.pointer.ptr;
}

qn_status qn__db_numbers(qn__db *db, const char *sql, const qn_job *job, int64_t *ret_values, int n,
                         qn_error *err) {
    qn_cleanup(qn__rows_done) qn__rows rows = {0};
    QN_TRY(qn__db_query(db, sql, false, job, &rows, err));
    QN_TRY(qn__rows_fetch(&rows, err));
    for (int j = 0; j < n; j++) {
        ret_values[j] = 0;
        if (!rows.chunk || !rows.n_chunk)
            continue;
        duckdb_vector vector = db->api->duckdb_data_chunk_get_vector(rows.chunk, (idx_t)j);
        if (is_valid(db->api->duckdb_vector_get_validity(vector), 0))
            ret_values[j] = *(const int64_t *)db->api->duckdb_vector_get_data(vector);
    }
    return QN_OK;
}

/* ---- chunks into columns ---- */

static void fill_fixed(qn__growing *growing, const void *values, const uint64_t *valid,
                       int64_t from, int64_t n) {
    qn_column *column = &growing->column;
    const size_t size = qn__type_bytes(column->type);
    int64_t at = column->n_rows;
    memcpy(column->b + (size_t)at * size, (const char *)values + (size_t)from * size,
           (size_t)n * size);
    for (int64_t i = 0; i < n; i++, at++) {
        const double *x = column->type == QN_TYPE_F64 ? &column->f64[at] : NULL;
        if (is_valid(valid, from + i) && !(x && *x != *x)) {
            column->valid[at >> 6] |= (uint64_t)1 << (at & 63);
        } else {
            memset(column->b + (size_t)at * size, 0, size);
            column->n_null++;
        }
    }
    column->n_rows = at;
}

static qn_status fill_text(qn__growing *growing, const duckdb_string_t *values,
                           const uint64_t *valid, int64_t from, int64_t n, qn_error *err) {
    for (int64_t i = from; i < from + n; i++) {
        if (!is_valid(valid, i)) {
            qn__growing_null(growing);
            continue;
        }
        const uint32_t length = values[i].value.inlined.length;
        const char *bytes =
            length <= 12 ? values[i].value.inlined.inlined : values[i].value.pointer.ptr;
        QN_TRY(qn__growing_text(growing, bytes, length, err));
    }
    return QN_OK;
}

qn_status qn__fill_chunk(const qn__rows *rows, int64_t from, int64_t n, qn__growing *columns,
                         int32_t n_columns, qn_error *err) {
    const qn_duckdb *api = rows->db->api;
    for (int32_t j = 0; j < n_columns; j++) {
        duckdb_vector vector = api->duckdb_data_chunk_get_vector(rows->chunk, (idx_t)j);
        const void *values = api->duckdb_vector_get_data(vector);
        const uint64_t *valid = api->duckdb_vector_get_validity(vector);
        QN_TRY(qn__growing_reserve(&columns[j], n, err));
        if (columns[j].column.type == QN_TYPE_CATEGORY || columns[j].column.type == QN_TYPE_TEXT)
            QN_TRY(fill_text(&columns[j], values, valid, from, n, err));
        else
            fill_fixed(&columns[j], values, valid, from, n);
    }
    return QN_OK;
}

/* ---- columns into chunks ---- */

duckdb_type qn__duckdb_type(qn_type type) {
    static const duckdb_type types[] = {DUCKDB_TYPE_BOOLEAN, DUCKDB_TYPE_BIGINT,
                                        DUCKDB_TYPE_DOUBLE,  DUCKDB_TYPE_VARCHAR,
                                        DUCKDB_TYPE_VARCHAR, DUCKDB_TYPE_TIMESTAMP};
    return types[type];
}

void qn__fill_vector(const qn_duckdb *api, duckdb_vector vector, const qn_column *column,
                     int64_t from, int64_t n) {
    char *values = api->duckdb_vector_get_data(vector);
    const size_t size = qn__type_bytes(column->type);
    const bool is_text = column->type == QN_TYPE_CATEGORY || column->type == QN_TYPE_TEXT;
    if (!is_text)
        memcpy(values, column->b + (size_t)from * size, (size_t)n * size);
    uint64_t *valid = NULL;
    if (column->n_null) {
        api->duckdb_vector_ensure_validity_writable(vector);
        valid = api->duckdb_vector_get_validity(vector);
    }
    for (int64_t i = 0; (is_text || valid) && i < n; i++) {
        const bool is_valid = qn_column_is_valid(column, from + i);
        size_t n_bytes = 0;
        if (valid)
            api->duckdb_validity_set_row_validity(valid, (idx_t)i, is_valid);
        if (is_text && is_valid) {
            const char *text = qn_column_text(column, from + i, &n_bytes);
            api->duckdb_vector_assign_string_element_len(vector, (idx_t)i, text, n_bytes);
        }
    }
}
