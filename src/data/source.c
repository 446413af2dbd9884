#include "data/source.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/source_int.h"

static const char *const always_missing[] = {"",    "?",    "NA",   "N/A", "NaN",
                                             "nan", "NULL", "null", "None"};

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
    qn_freep(&s->select);
    qn_schema_done(&s->schema);
    qn_freep(&(*source)->positions);
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
    if (ends_with(path, n, ".json") || ends_with(path, n, ".jsonl") || ends_with(path, n, ".ndjson"))
        return QN__KIND_JSON;
    return ends_with(path, n, ".parquet") || ends_with(path, n, ".pq") ? QN__KIND_PARQUET : QN__KIND_CSV;
}

static qn_status add_missing(qn_source *source, const qn_source_options *options, qn_error *err) {
    for (size_t i = 0; i < sizeof always_missing / sizeof always_missing[0]; i++)
        QN_TRY(qn__names_add(&source->missing, always_missing[i], strlen(always_missing[i]), err));
    for (size_t i = 0; i < options->n_missing; i++) {
        const char *text = options->missing[i];
        size_t n = strlen(text);
        while (n && *text == ' ')
            text++, n--;
        while (n && text[n - 1] == ' ')
            n--;
        QN_TRY(qn__names_add(&source->missing, text, n, err));
    }
    return QN_OK;
}

static qn_status expand_glob(qn_source *source, const char *path, const qn_job *job, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf sql = {0};
    qn_buf_put_text(&sql, "SELECT file FROM glob(");
    qn__sql_text(&sql, path);
    qn_buf_put_text(&sql, ") ORDER BY file");
    QN_TRY(qn_buf_status(&sql, err));
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
    qn_cleanup(qn_freep) char *path = qn_path_join(options->folder ? options->folder : ".", options->path);
    if (!path || !(source->label = qn_strdup(options->path)))
        return qn_error_memory(err);
    struct stat st;
    if (stat(path, &st) == 0) {
        QN_FAIL_IF(S_ISDIR(st.st_mode), err, QN_ERR_DATA,
                   "'%s' is a folder; name a file in it or a pattern such as '%s/*.csv'", options->path,
                   options->path);
        if (access(path, R_OK) != 0)
            return qn_error_errno(err, "read", path);
        QN_FAIL_IF(S_ISREG(st.st_mode) && st.st_size == 0, err, QN_ERR_DATA, "%s is empty",
                   options->path);
        return qn__names_add(&source->files, path, strlen(path), err);
    }
    const bool is_pattern = strpbrk(path, "*?[") != NULL;
    QN_FAIL_IF(!is_pattern, err, QN_ERR_NOT_FOUND, "there is no file '%s'", path);
    QN_TRY(expand_glob(source, path, job, err));
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

/* Columns that look whole in the first rows are loaded as DOUBLE, because DuckDB would silently round
 * a 1.5 that comes later, truth values as text; *ret_stated then has them and the texts that the user states. */
static qn_status plan_load(qn_source *source, const qn__stated *stated, const qn_job *job,
                           qn__stated *ret_stated, qn_source_column_type *types, qn__names *ret_whole,
                           qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf call = {0};
    qn_cleanup(qn__names_done) qn__names names = {0};
    qn_cleanup(qn__names_done) qn__names found = {0};
    size_t n = 0;
    for (size_t i = 0; i < stated->n; i++)
        if (stated->types[i].type == QN_TYPE_CATEGORY || stated->types[i].type == QN_TYPE_TEXT)
            types[n++] = stated->types[i];
    *ret_stated = (qn__stated){types, n};
    qn__csv_call(source, false, ret_stated, &call);
    QN_TRY(qn_buf_status(&call, err));
    QN_TRY(qn__describe(&source->db, call.data, job, &names, &found, err));
    for (size_t j = 0; j < names.n && j < source->names.n; j++) {
        if (strcmp(found.items[j], "BOOLEAN") == 0) /* DuckDB takes yes, no, t and f too: the words would be lost */
            types[n++] = (qn_source_column_type){source->names.items[j], QN_TYPE_CATEGORY};
        if (strcmp(found.items[j], "BIGINT") != 0)
            continue;
        types[n++] = (qn_source_column_type){source->names.items[j], QN_TYPE_F64};
        QN_TRY(qn__names_add(ret_whole, source->names.items[j], strlen(source->names.items[j]), err));
    }
    ret_stated->n = n;
    return QN_OK;
}

/* The view `source` over the table `loaded`, in which columns without a fraction are whole again.
 * *ret_is_exact is false when a number is too large for a double to hold all its digits. */
static qn_status make_whole(qn_source *source, const qn__names *whole, const qn_job *job,
                            bool *ret_is_exact, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf view = {0};
    int n_replaced = 0;
    *ret_is_exact = true;
    qn_buf_put_text(&view, "CREATE VIEW source AS SELECT * ");
    for (size_t j = 0; j < whole->n && *ret_is_exact;) {
        enum { PER_LOOK = 200 };
        int64_t counts[2 * PER_LOOK];
        qn_cleanup(qn_buf_done) qn_buf sql = {0};
        const size_t first = j;
        for (; j < whole->n && j < first + PER_LOOK; j++) {
            qn_buf_put_text(&sql, j > first ? ", count(*) FILTER (NOT isfinite(" : "SELECT count(*) FILTER (NOT isfinite(");
            qn__sql_name(&sql, whole->items[j]);
            qn_buf_put_text(&sql, ") OR trunc(");
            qn__sql_name(&sql, whole->items[j]);
            qn_buf_put_text(&sql, ") <> ");
            qn__sql_name(&sql, whole->items[j]);
            qn_buf_put_text(&sql, "), count(*) FILTER (abs(");
            qn__sql_name(&sql, whole->items[j]);
            qn_buf_put_text(&sql, ") >= 9007199254740992)");
        }
        qn_buf_put_text(&sql, " FROM loaded");
        QN_TRY(qn_buf_status(&sql, err));
        QN_TRY(qn__db_numbers(&source->db, sql.data, job, counts, (int)(2 * (j - first)), err));
        for (size_t i = first; i < j; i++) {
            *ret_is_exact &= counts[2 * (i - first) + 1] == 0 || counts[2 * (i - first)] != 0;
            if (counts[2 * (i - first)])
                continue;
            qn_buf_put_text(&view, n_replaced++ ? ", CAST(" : "REPLACE (CAST(");
            qn__sql_name(&view, whole->items[i]);
            qn_buf_put_text(&view, " AS BIGINT) AS ");
            qn__sql_name(&view, whole->items[i]);
        }
    }
    if (!*ret_is_exact)
        return qn__db_run(&source->db, "DROP TABLE loaded", job, err);
    qn_buf_put_text(&view, n_replaced ? ") FROM loaded" : "FROM loaded");
    QN_TRY(qn_buf_status(&view, err));
    return qn__db_run(&source->db, view.data, job, err);
}

/* Types by a look at the first rows; *ret_done is false when later rows do not fit them. */
static qn_status load_typed_csv(qn_source *source, const qn__stated *stated, const qn_job *job,
                                bool *ret_done, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf call = {0};
    qn_cleanup(qn__names_done) qn__names whole = {0};
    qn_cleanup(qn_freep) qn_source_column_type *types =
        qn_new_array(qn_source_column_type, stated->n + source->names.n);
    qn__stated all = {0};
    if (!types)
        return qn_error_memory(err);
    qn_status status = plan_load(source, stated, job, &all, types, &whole, err);
    if (status == QN_OK) {
        qn__csv_call(source, false, &all, &call);
        status = run_made(source, "CREATE TABLE loaded AS SELECT * FROM ", &call, job, err);
    }
    *ret_done = false;
    if (status == QN_ERR_DATA)
        return QN_OK;
    QN_TRY(status);
    return make_whole(source, &whole, job, ret_done, err);
}

/* Loads CSV as the relation `source`, typed by its first rows; when a later row does not fit, as text,
 * and types are then decided by all rows. */
static qn_status load_csv(qn_source *source, const qn__stated *stated, bool has_query, const qn_job *job,
                          qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    bool is_done = false;
    QN_TRY(load_typed_csv(source, stated, job, &is_done, err));
    if (is_done)
        return QN_OK;
    qn__csv_call(source, true, &(qn__stated){0}, &text);
    const qn_status status = run_made(source,
                                      has_query ? "CREATE TABLE source_text AS SELECT * FROM "
                                                : "CREATE TABLE source AS SELECT * FROM ",
                                      &text, job, err);
    if (status != QN_OK)
        return qn__source_explain(source, status, err);
    if (!has_query)
        return QN_OK;
    source->base = "source_text";
    QN_TRY(qn__infer(source, stated, true, job, err));
    source->base = "source";
    qn_cleanup(qn_freep) char *view = qn_format("CREATE VIEW source AS %s", source->select);
    if (!view)
        return qn_error_memory(err);
    return qn__db_run(&source->db, view, job, err);
}

/* The user's SQL is first prepared in a second, sealed DuckDB that has an empty `source` of the same
 * columns: whatever reaches for a file, an extension or a setting is refused there, as is everything
 * but one SELECT. Table functions open their files when they are bound, so nothing slips through to
 * the run. */
static qn_status check_query(qn_source *source, const char *query, const qn_job *job, qn_error *err) {
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
        status = qn_error_set(err, QN_ERR_CONFIG, "data.query must be one SELECT, not %d statements", (int)n);
    else if (api->duckdb_prepare_extracted_statement(sealed.connection, statements, 0, &prepared) !=
             DuckDBSuccess)
        status = qn_error_set(err, QN_ERR_CONFIG, "data.query: %s", api->duckdb_prepare_error(prepared));
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

/* Where DuckDB spills; made only when it does. */
static qn_status make_source(const qn_source_options *options, const qn_job *job, qn_source **ret_source,
                             qn_error *err) {
    qn_cleanup(qn_source_free) qn_source *source = qn_new(qn_source);
    if (!source)
        return qn_error_memory(err);
    source->temp_folder = qn_file_temporary(options->folder ? options->folder : ".");
    if (!source->temp_folder)
        return qn_error_memory(err);
    source->base = "source";
    QN_TRY(qn__db_open(source->temp_folder, job, false, &source->db, err));
    QN_TRY(add_missing(source, options, err));
    QN_TRY(find_files(source, options, job, err));
    source->kind = kind_of_path(source->files.items[0]);
    if (source->kind == QN__KIND_CSV)
        QN_TRY(qn__csv_look(source, options, job, err));
    *ret_source = qn_steal(&source);
    return QN_OK;
}

static qn_status load(qn_source *source, const qn_source_options *options, const qn__stated *stated,
                      const qn_job *job, qn_error *err) {
    if (source->kind == QN__KIND_CSV) {
        QN_TRY(load_csv(source, stated, options->query != NULL, job, err));
    } else {
        qn_cleanup(qn_buf_done) qn_buf call = {0};
        put_reader_call(source, &call);
        const qn_status status = run_made(source,
                                          source->kind == QN__KIND_JSON
                                              ? "CREATE TABLE source AS SELECT * FROM "
                                              : "CREATE VIEW source AS SELECT * FROM ",
                                          &call, job, err);
        if (status != QN_OK)
            return qn__source_explain(source, status, err);
    }
    if (options->query)
        QN_TRY(run_query(source, options->query, job, err));
    return qn__infer(source, stated, true, job, err);
}

/* Nothing can be learned from a header alone. */
static qn_status check_rows(qn_source *source, const qn_job *job, qn_error *err) {
    qn_cleanup(qn_freep) char *sql = qn_format("SELECT count(*) FROM %s", source->base);
    int64_t n_rows = 0;
    if (!sql)
        return qn_error_memory(err);
    QN_TRY(qn__db_numbers(&source->db, sql, job, &n_rows, 1, err));
    QN_FAIL_IF(!n_rows, err, QN_ERR_DATA, "%s has no rows",
               source->is_query ? "the result of data.query" : source->label);
    return QN_OK;
}

qn_status qn_source_open(const qn_source_options *options, const qn_job *job, qn_source **ret_source,
                         qn_error *err) {
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    const qn__stated stated = {options->types, options->n_types};
    QN_TRY(make_source(options, job, &source, err));
    QN_TRY(load(source, options, &stated, job, err));
    QN_TRY(check_stated(source, &stated, err));
    QN_TRY(check_rows(source, job, err));
    *ret_source = qn_steal(&source);
    return QN_OK;
}

static int32_t schema_find(const qn_schema *schema, const char *name) {
    for (int32_t j = 0; j < schema->n_columns; j++)
        if (strcasecmp(schema->columns[j].name, name) == 0)
            return j;
    return -1;
}

/* Puts the wanted columns first, in the wanted order and under the wanted names. */
static qn_status reorder(qn_source *source, const qn_schema *wanted, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf sql = {0};
    qn_cleanup(qn_buf_done) qn_buf absent = {0};
    qn_cleanup(qn_schema_done) qn_schema schema = {0};
    const int32_t n = source->schema.n_columns;
    schema.columns = qn_new_array(qn_schema_column, n + wanted->n_columns);
    source->positions = qn_new_array(int32_t, n + wanted->n_columns);
    if (!schema.columns || !source->positions)
        return qn_error_memory(err);
    qn_buf_put_text(&sql, "SELECT ");
    for (int32_t i = 0; i < wanted->n_columns + n; i++) {
        const bool is_wanted = i < wanted->n_columns;
        const char *name = is_wanted ? wanted->columns[i].name
                                     : source->schema.columns[i - wanted->n_columns].name;
        const int32_t j = schema_find(&source->schema, name);
        if (is_wanted && j < 0)
            qn_buf_printf(&absent, "%s'%s'", absent.len ? ", " : "", name);
        if (j < 0 || (!is_wanted && schema_find(wanted, name) >= 0))
            continue;
        qn_buf_put_text(&sql, schema.n_columns ? ", " : "");
        qn__sql_name(&sql, source->schema.columns[j].name);
        source->positions[schema.n_columns] = j;
        qn_schema_column *column = &schema.columns[schema.n_columns++];
        column->type = source->schema.columns[j].type;
        column->name = qn_strdup(name);
        if (!column->name)
            return qn_error_memory(err);
    }
    QN_FAIL_IF(absent.len, err, QN_ERR_DATA, "%s lacks columns that the model needs: %s", source->label,
               absent.data);
    qn_buf_printf(&sql, " FROM (%s)", source->select);
    QN_TRY(qn_buf_status(&sql, err));
    qn_freep(&source->select);
    source->select = qn_buf_steal(&sql);
    qn_schema_done(&source->schema);
    source->schema = schema;
    schema = (qn_schema){0};
    return source->select ? QN_OK : qn_error_memory(err);
}

/* CSV with known types is not loaded but read as it comes; columns nobody asked for stay text. */
static qn_status open_streaming(qn_source *source, const qn__stated *stated, const qn_job *job,
                                qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf call = {0};
    qn_cleanup(qn_freep) qn_source_column_type *all = qn_new_array(qn_source_column_type, source->names.n);
    if (!all)
        return qn_error_memory(err);
    for (size_t j = 0; j < source->names.n; j++) {
        all[j] = (qn_source_column_type){source->names.items[j], QN_TYPE_TEXT};
        if (!qn__stated_find(stated, source->names.items[j], &all[j].type))
            all[j].type = QN_TYPE_TEXT;
    }
    qn_cleanup(qn_freep) qn_source_column_type *read = qn_new_array(qn_source_column_type, source->names.n);
    if (!read)
        return qn_error_memory(err);
    for (size_t j = 0; j < source->names.n; j++) { /* as BIGINT, 1.5 would be rounded */
        read[j] = all[j];
        if (read[j].type == QN_TYPE_I64)
            read[j].type = QN_TYPE_F64;
    }
    const qn__stated complete = {all, source->names.n};
    qn__csv_call(source, false, &(qn__stated){read, source->names.n}, &call);
    qn_status status = run_made(source, "CREATE VIEW source AS SELECT * FROM ", &call, job, err);
    if (status == QN_ERR_DATA) {
        /* The first rows confuse the look at them; as text they are read up to the faulty one. */
        qn_cleanup(qn_buf_done) qn_buf text = {0};
        qn__csv_call(source, true, &complete, &text);
        status = run_made(source, "CREATE VIEW source AS SELECT * FROM ", &text, job, err);
    }
    if (status != QN_OK)
        return qn__source_explain(source, status, err);
    source->streams_csv = true;
    return qn__infer(source, &complete, false, job, err);
}

qn_status qn_source_open_as(const qn_source_options *options, const qn_schema *schema, const qn_job *job,
                            qn_source **ret_source, qn_error *err) {
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    const size_t n = (size_t)schema->n_columns + options->n_types;
    qn_cleanup(qn_freep) qn_source_column_type *types = qn_new_array(qn_source_column_type, n);
    if (!types)
        return qn_error_memory(err);
    for (int32_t j = 0; j < schema->n_columns; j++)
        types[j] = (qn_source_column_type){schema->columns[j].name, schema->columns[j].type};
    for (size_t i = 0; i < options->n_types; i++)
        types[(size_t)schema->n_columns + i] = options->types[i];
    const qn__stated stated = {types, n};
    QN_TRY(make_source(options, job, &source, err));
    if (source->kind == QN__KIND_CSV && !options->query)
        QN_TRY(open_streaming(source, &stated, job, err));
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

static qn_status fill_rows(qn_source *source, int64_t max_rows, const qn_job *job, qn__growing *columns,
                           qn_error *err) {
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
        source->n_read += take;
        n += take;
    }
    return QN_OK;
}

/* A misfit met while streaming: DuckDB names it when CSV does; else it is looked for. */
static qn_status explain_row(qn_source *source, qn_status status, const qn_job *job, qn_error *err) {
    if (status != QN_ERR_DATA || !err || !source->streams_csv || strstr(err->message, "CSV Error"))
        return qn__source_explain(source, status, err);
    const qn_error original = *err;
    for (int32_t j = 0; j < source->schema.n_columns; j++) {
        const qn_schema_column *column = &source->schema.columns[j];
        if (column->type == QN_TYPE_CATEGORY || column->type == QN_TYPE_TEXT)
            continue;
        QN_TRY(qn__find_misfit(source, "source", column->name, column->type, job, err));
    }
    *err = original;
    return qn__source_explain(source, status, err);
}

qn_status qn_source_next(qn_source *source, int64_t max_rows, const qn_job *job, qn_frame **ret_frame,
                         qn_error *err) {
    QN_FAIL_IF(max_rows < 1, err, QN_ERR_USAGE, "at least one row must be asked for");
    const int32_t n = source->schema.n_columns;
    if (!source->is_running) {
        const qn_status status =
            qn__db_query(&source->db, source->select, true, job, &source->rows, err);
        if (status != QN_OK)
            return explain_row(source, status, job, err);
        source->is_running = true;
    }
    if (source->is_done) {
        *ret_frame = NULL;
        return QN_OK;
    }
    qn_cleanup(qn_freep) qn__growing *columns = qn_new_array(qn__growing, n);
    if (!columns)
        return qn_error_memory(err);
    qn_status status = QN_OK;
    for (int32_t j = 0; j < n && status == QN_OK; j++)
        status = qn__growing_init(&columns[j], source->schema.columns[j].name,
                                  source->schema.columns[j].type, err);
    if (status == QN_OK && (status = fill_rows(source, max_rows, job, columns, err)) == QN_ERR_DATA) {
        qn__rows_done(&source->rows);
        source->is_done = true;
        status = explain_row(source, status, job, err);
    }
    qn_frame *frame = NULL;
    if (status == QN_OK)
        status = qn__growing_finish(columns, n, &frame, err);
    growing_done_all(columns, n);
    QN_TRY(status);
    if (!frame->n_rows)
        qn_frame_free(&frame);
    *ret_frame = frame;
    return QN_OK;
}
