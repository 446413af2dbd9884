/* Snapshots: Parquet with zstd, our types in the file's own key-value metadata under "quern". */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/source_int.h"

enum { SNAPSHOT_VERSION = 1 };

static qn_status types_as_json(const qn_schema *schema, char **ret_text, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *object = json_object();
    json_t *types = json_array();
    bool ok = object && types;
    for (int32_t j = 0; ok && j < schema->n_columns; j++)
        ok = json_array_append_new(types, json_string(qn_type_name(schema->columns[j].type))) == 0;
    ok = ok && json_object_set_new(object, "version", json_integer(SNAPSHOT_VERSION)) == 0;
    if (!ok || json_object_set(object, "types", types) != 0) {
        json_decref(types);
        return qn_error_memory(err);
    }
    json_decref(types);
    *ret_text = qn_json_text(object, QN_JSON_COMPACT);
    return *ret_text ? QN_OK : qn_error_memory(err);
}

/* A row group is held in memory until it is full: wide tables have lower ones. */
static int group_rows(int32_t n_columns) {
    const int rows = (1 << 24) / (n_columns + 1) / 2048 * 2048;
    return rows > 122880 ? 122880 : rows < 2048 ? 2048 : rows;
}

qn_status qn_source_snapshot(qn_source *source, const char *folder, const qn_job *job,
                             char **ret_path, int64_t *ret_n_rows, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf sql = {0};
    qn_cleanup(qn_freep) char *types = NULL;
    qn_cleanup(qn_freep) char *path = qn_file_temporary(folder);
    if (!path)
        return qn_error_memory(err);
    QN_TRY(types_as_json(&source->schema, &types, err));
    source->job = job ? *job : (qn_job){.n_threads = 1};
    if (source->reads_csv && !source->is_offered)
        QN_TRY(qn__source_offer(source, job, err));
    qn_buf_printf(&sql, "COPY (%s) TO ",
                  source->reads_csv ? "SELECT * FROM source" : source->select);
    qn__sql_text(&sql, path);
    qn_buf_printf(&sql,
                  " (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE %d, KV_METADATA {quern: ",
                  group_rows(source->schema.n_columns));
    qn__sql_text(&sql, types);
    qn_buf_put_text(&sql, "})");
    QN_TRY(qn_buf_status(&sql, err));
    qn_job_progress(job, "import", 0, 0, NULL);
    QN_TRY(qn__db_run(&source->db, "SET threads = 1", NULL, err)); /* one order of row groups */
    int64_t n_rows = 0;
    const qn_status status = qn__db_numbers(&source->db, sql.data, job, &n_rows, 1, err);
    if (status != QN_OK) {
        unlink(path);
        return qn__source_explain(source, status, err);
    }
    *ret_n_rows = n_rows;
    *ret_path = qn_steal(&path);
    return QN_OK;
}

static qn_status damaged(const char *path, const char *what, qn_error *err) {
    return qn_error_set(err, QN_ERR_FORMAT, "%s is not a snapshot of ours: %s", path, what);
}

static qn_status read_types(qn__db *db, const char *path, const qn_job *job, const qn__names *names,
                            qn_type *types, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf sql = {0};
    qn_buf_put_text(&sql, "SELECT decode(value) FROM parquet_kv_metadata(");
    qn__sql_text(&sql, path);
    qn_buf_put_text(&sql, ") WHERE decode(key) = 'quern'");
    QN_TRY(qn_buf_status(&sql, err));
    qn_cleanup(qn__rows_done) qn__rows rows = {0};
    QN_TRY(qn__db_query(db, sql.data, false, job, &rows, err));
    QN_TRY(qn__rows_fetch(&rows, err));
    size_t n = 0;
    const char *text = rows.n_chunk ? qn__rows_text(&rows, 0, 0, &n) : NULL;
    if (!text)
        return damaged(path, "it does not say its types", err);
    qn_cleanup(qn_json_free) json_t *object = NULL;
    const json_t *list = NULL;
    int64_t version = 0;
    QN_TRY(qn_json_parse(text, n, path, &object, err));
    QN_TRY(qn_json_get_i64(object, "version", true, &version, err));
    QN_TRY(qn_json_get_array(object, "types", true, &list, err));
    QN_FAIL_IF(version != SNAPSHOT_VERSION, err, QN_ERR_FORMAT,
               "%s is a snapshot of version %lld; this program reads version %d", path,
               (long long)version, SNAPSHOT_VERSION);
    if (json_array_size(list) != names->n)
        return damaged(path, "it has not as many types as columns", err);
    for (size_t j = 0; j < names->n; j++) {
        const char *name = json_string_value(json_array_get(list, j));
        if (!name || !qn_type_from_name(name, &types[j]))
            return damaged(path, "it has an unknown type", err);
    }
    return QN_OK;
}

/* The rows asked for, in runs of neighbours within each chunk. */
static qn_status fill_chosen(qn__rows *source_rows, const int64_t *rows, int64_t n_rows,
                             qn__growing *columns, int32_t n_columns, const qn_job *job,
                             qn_error *err) {
    int64_t begin = 0, i = 0;
    while (!rows || i < n_rows) {
        QN_TRY(qn_job_check(job, err));
        QN_TRY(qn__rows_fetch(source_rows, err));
        if (!source_rows->chunk)
            break;
        const int64_t n = source_rows->n_chunk, end = begin + n;
        if (!rows)
            QN_TRY(qn__fill_chunk(source_rows, 0, n, columns, n_columns, err));
        while (rows && i < n_rows && rows[i] < end) {
            int64_t run = 1;
            while (i + run < n_rows && rows[i + run] == rows[i] + run && rows[i] + run < end)
                run++;
            QN_TRY(qn__fill_chunk(source_rows, rows[i] - begin, run, columns, n_columns, err));
            i += run;
        }
        begin = end;
    }
    QN_FAIL_IF(rows && i < n_rows, err, QN_ERR_USAGE, "row %lld is beyond the snapshot's %lld rows",
               (long long)rows[i], (long long)begin);
    return QN_OK;
}

static qn_status read_columns(qn__db *db, const char *path, const qn__names *names,
                              const qn_type *types, const int64_t *rows, int64_t n_rows,
                              const qn_job *job, qn__growing *columns, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf sql = {0};
    int64_t n_all = 0;
    qn_buf_put_text(&sql, "SELECT CAST(count(*) AS BIGINT) FROM read_parquet(");
    qn__sql_text(&sql, path);
    qn_buf_put_text(&sql, ")");
    QN_TRY(qn_buf_status(&sql, err));
    QN_TRY(qn__db_numbers(db, sql.data, job, &n_all, 1, err));
    qn_buf_clear(&sql);
    qn_buf_put_text(&sql, "SELECT ");
    for (size_t j = 0; j < names->n; j++) {
        qn_buf_put_text(&sql, j ? ", CAST(" : "CAST(");
        qn__sql_name(&sql, names->items[j]);
        qn_buf_printf(&sql, " AS %s)", qn__sql_type(types[j]));
        QN_TRY(qn__growing_init(&columns[j], names->items[j], types[j], err));
        QN_TRY(qn__growing_reserve(&columns[j], rows ? n_rows : n_all, err));
    }
    qn_buf_put_text(&sql, " FROM read_parquet(");
    qn__sql_text(&sql, path);
    qn_buf_put_text(&sql, ")");
    QN_TRY(qn_buf_status(&sql, err));
    qn_cleanup(qn__rows_done) qn__rows source_rows = {0};
    QN_TRY(qn__db_query(db, sql.data, true, job, &source_rows, err));
    return fill_chosen(&source_rows, rows, n_rows, columns, (int32_t)names->n, job, err);
}

static qn_status read_snapshot(qn__db *db, const char *path, const int64_t *rows, int64_t n_rows,
                               const qn_job *job, qn_frame **ret_frame, qn_error *err) {
    qn_cleanup(qn__names_done) qn__names names = {0};
    qn_cleanup(qn__names_done) qn__names sql_types = {0};
    qn_cleanup(qn_buf_done) qn_buf relation = {0};
    qn_buf_put_text(&relation, "read_parquet(");
    qn__sql_text(&relation, path);
    qn_buf_put_text(&relation, ")");
    QN_TRY(qn_buf_status(&relation, err));
    QN_TRY(qn__describe(db, relation.data, job, &names, &sql_types, err));
    QN_FAIL_IF(names.n > QN_LIMIT_COLUMNS, err, QN_ERR_LIMIT,
               "%s has %zu columns; at most %d are allowed", path, names.n, QN_LIMIT_COLUMNS);
    qn_cleanup(qn_freep) qn_type *types = qn_new_array(qn_type, names.n);
    qn_cleanup(qn_freep) qn__growing *columns = qn_new_array(qn__growing, names.n);
    if (!types || !columns)
        return qn_error_memory(err);
    QN_TRY(read_types(db, path, job, &names, types, err));
    qn_status status = read_columns(db, path, &names, types, rows, n_rows, job, columns, err);
    if (status == QN_OK)
        status = qn__growing_finish(columns, (int32_t)names.n, ret_frame, err);
    for (size_t j = 0; j < names.n; j++)
        qn__growing_done(&columns[j]);
    return status;
}

qn_status qn_snapshot_read(const char *path, const int64_t *rows, int64_t n_rows, const qn_job *job,
                           qn_frame **ret_frame, qn_error *err) {
    QN_FAIL_IF(!qn_file_exists(path), err, QN_ERR_NOT_FOUND, "there is no snapshot '%s'", path);
    for (int64_t i = 0; rows && i < n_rows; i++)
        QN_FAIL_IF(rows[i] < 0 || (i && rows[i] <= rows[i - 1]), err, QN_ERR_USAGE,
                   "the row numbers to be read must be ascending");
    qn_cleanup(qn__db_done) qn__db db = {0};
    QN_TRY(qn__db_open(NULL, job, false, &db, err));
    const qn_status status = read_snapshot(&db, path, rows, n_rows, job, ret_frame, err);
    if (status == QN_ERR_DATA && err) { /* DuckDB could not read it as Parquet */
        err->message[strcspn(err->message, "\n")] = '\0';
        qn_error_prefix(err, "%s is damaged", path);
        return err->code = QN_ERR_FORMAT;
    }
    return status == QN_ERR_DATA ? QN_ERR_FORMAT : status;
}
