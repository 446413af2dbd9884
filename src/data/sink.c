/* Writing tables. CSV, TSV and JSON lines go through a buffer of our own; Parquet and compressed
 * text through an in-memory DuckDB table (which spills beside the output) and one COPY at the end.
 * Either way into a temporary file that is renamed when all is well. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "data/db_int.h"
#include "data/source.h"

enum { FLUSH_BYTES = 1 << 18 };

typedef enum sink_form { FORM_CSV, FORM_TSV, FORM_JSON, FORM_PARQUET } sink_form;

struct qn_sink {
    char *path, *temporary, *spill; /* owned; temporary and spill NULL for standard output */
    sink_form form;
    const char *compression; /* "gzip", "zstd" or "none" */
    bool by_duckdb;
    int fd;                  /* -1 when DuckDB writes */
    qn_buf out;
    qn_schema schema;        /* of the first frame */
    bool has_schema;
    qn__db db;
    duckdb_appender appender;
};

void qn_sink_free(qn_sink **sink) {
    if (!sink || !*sink)
        return;
    qn_sink *s = *sink;
    if (s->appender)
        s->db.api->duckdb_appender_destroy(&s->appender);
    qn__db_done(&s->db);
    if (s->fd > 2)
        close(s->fd);
    if (s->temporary)
        unlink(s->temporary);
    if (s->spill)
        (void)rmdir(s->spill);
    qn_freep(&s->path);
    qn_freep(&s->temporary);
    qn_freep(&s->spill);
    qn_buf_done(&s->out);
    qn_schema_done(&s->schema);
    qn_freep(sink);
}

static bool ends_with(const char *text, size_t n, const char *end) {
    const size_t n_end = strlen(end);
    return n >= n_end && strncasecmp(text + n - n_end, end, n_end) == 0;
}

static const struct {
    const char *end;
    sink_form form;
} endings[] = {{".csv", FORM_CSV},    {".tsv", FORM_TSV},     {".json", FORM_JSON},
               {".jsonl", FORM_JSON}, {".ndjson", FORM_JSON}, {".parquet", FORM_PARQUET},
               {".pq", FORM_PARQUET}};

static qn_status find_form(qn_sink *sink, qn_error *err) {
    size_t n = strlen(sink->path);
    sink->compression = ends_with(sink->path, n, ".gz")    ? "gzip"
                        : ends_with(sink->path, n, ".zst") ? "zstd"
                                                           : "none";
    n -= strcmp(sink->compression, "gzip") == 0   ? 3
         : strcmp(sink->compression, "zstd") == 0 ? 4
                                                  : 0;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        if (!ends_with(sink->path, n, endings[i].end))
            continue;
        sink->form = endings[i].form;
        sink->by_duckdb = sink->form == FORM_PARQUET || strcmp(sink->compression, "none") != 0;
        return QN_OK;
    }
    return qn_error_set(
        err, QN_ERR_USAGE,
        "cannot write %s: its ending says no format; use .csv, .tsv, .json, .jsonl, .ndjson or "
        ".parquet (text also with .gz or .zst behind), or - for standard output",
        sink->path);
}

static qn_status open_file(qn_sink *sink, qn_error *err) {
    const char *slash = strrchr(sink->path, '/');
    qn_cleanup(qn_freep) char *folder =
        slash ? qn_strndup(sink->path, slash == sink->path ? 1 : (size_t)(slash - sink->path))
              : qn_strdup(".");
    if (!folder)
        return qn_error_memory(err);
    QN_FAIL_IF(!qn_folder_exists(folder), err, QN_ERR_NOT_FOUND,
               "there is no folder '%s' to write %s in", folder, sink->path);
    QN_FAIL_IF(qn_folder_exists(sink->path), err, QN_ERR_IO, "cannot write %s: it is a folder",
               sink->path);
    QN_TRY(find_form(sink, err));
    sink->temporary = qn_file_temporary(folder);
    sink->spill = sink->temporary ? qn_file_temporary(folder) : NULL;
    if (!sink->spill)
        return qn_error_memory(err);
    sink->fd = open(sink->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (sink->fd < 0)
        return qn_error_errno(err, "write", sink->temporary ? sink->path : "standard output");
    return QN_OK;
}

qn_status qn_sink_open(const char *path, bool json, qn_sink **ret_sink, qn_error *err) {
    qn_cleanup(qn_sink_free) qn_sink *sink = qn_new(qn_sink);
    if (!sink || !(sink->path = qn_strdup(path)))
        return qn_error_memory(err);
    sink->fd = STDOUT_FILENO;
    sink->compression = "none";
    sink->form = json ? FORM_JSON : FORM_CSV;
    if (strcmp(path, "-") != 0) {
        sink->fd = -1;
        QN_TRY(open_file(sink, err));
    }
    *ret_sink = qn_steal(&sink);
    return QN_OK;
}

static qn_status flush(qn_sink *sink, qn_error *err) {
    QN_TRY(qn_buf_status(&sink->out, err));
    for (size_t at = 0; at < sink->out.len;) {
        const ssize_t n = write(sink->fd, sink->out.data + at, sink->out.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return qn_error_errno(err, "write", sink->temporary ? sink->path : "standard output");
        at += (size_t)n;
    }
    qn_buf_clear(&sink->out);
    return QN_OK;
}

/* Fields that a reader could take apart or trim are quoted. */
static void put_csv_text(qn_buf *out, const char *text, size_t n, char delimiter) {
    bool quote = n > 0 && (text[0] == ' ' || text[n - 1] == ' ');
    for (size_t i = 0; i < n && !quote; i++)
        quote = text[i] == delimiter || text[i] == '"' || text[i] == '\n' || text[i] == '\r';
    if (!quote) {
        qn_buf_put(out, text, n);
        return;
    }
    qn_buf_put_char(out, '"');
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"')
            qn_buf_put_char(out, '"');
        qn_buf_put_char(out, text[i]);
    }
    qn_buf_put_char(out, '"');
}

static void put_json_text(qn_buf *out, const char *text, size_t n) {
    qn_buf_put_char(out, '"');
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            qn_buf_put_char(out, '\\');
            qn_buf_put_char(out, (char)c);
        } else if (c < 0x20) {
            qn_buf_printf(out, "\\u%04x", c);
        } else {
            qn_buf_put_char(out, (char)c);
        }
    }
    qn_buf_put_char(out, '"');
}

static bool is_text_type(qn_type type) {
    return type == QN_TYPE_CATEGORY || type == QN_TYPE_TEXT;
}

static void put_csv_value(qn_buf *out, const qn_column *column, int64_t i_row, char delimiter) {
    size_t n = 0;
    const char *text = is_text_type(column->type) ? qn_column_text(column, i_row, &n) : NULL;
    if (text)
        put_csv_text(out, text, n, delimiter);
    else
        qn_column_format(column, i_row, out);
}

static void put_json_value(qn_buf *out, const qn_column *column, int64_t i_row) {
    size_t n = 0;
    if (!qn_column_is_valid(column, i_row)) {
        qn_buf_put_text(out, "null");
    } else if (is_text_type(column->type)) {
        const char *text = qn_column_text(column, i_row, &n);
        put_json_text(out, text, n);
    } else if (column->type == QN_TYPE_F64 && !isfinite(column->f64[i_row])) {
        qn_buf_put_text(out, "null");
    } else {
        const char *quote = column->type == QN_TYPE_TIME ? "\"" : "";
        qn_buf_put_text(out, quote);
        qn_column_format(column, i_row, out);
        qn_buf_put_text(out, quote);
    }
}

static qn_status write_text(qn_sink *sink, const qn_frame *frame, const qn_job *job,
                            qn_error *err) {
    const char delimiter = sink->form == FORM_TSV ? '\t' : ',';
    for (int64_t i = 0; i < frame->n_rows; i++) {
        for (int32_t j = 0; j < frame->n_columns; j++) {
            const qn_column *column = &frame->columns[j];
            if (sink->form == FORM_JSON) {
                qn_buf_put_text(&sink->out, j ? "," : "{");
                put_json_text(&sink->out, column->name, strlen(column->name));
                qn_buf_put_char(&sink->out, ':');
                put_json_value(&sink->out, column, i);
                continue;
            }
            if (j)
                qn_buf_put_char(&sink->out, delimiter);
            put_csv_value(&sink->out, column, i, delimiter);
        }
        qn_buf_put_text(&sink->out, sink->form == FORM_JSON ? "}\n" : "\n");
        if (sink->out.len > FLUSH_BYTES) {
            QN_TRY(qn_job_check(job, err));
            QN_TRY(flush(sink, err));
        }
    }
    return qn_buf_status(&sink->out, err);
}

static const char *sql_type(qn_type type) {
    static const char *const names[] = {"BOOLEAN", "BIGINT",  "DOUBLE",
                                        "VARCHAR", "VARCHAR", "TIMESTAMP"};
    return names[type];
}

static qn_status begin_table(qn_sink *sink, const qn_frame *frame, const qn_job *job,
                             qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf sql = {0};
    QN_TRY(qn__db_open(sink->spill, job, false, &sink->db, err));
    for (int32_t j = 0; j < frame->n_columns; j++) {
        qn_buf_put_text(&sql, j ? ", " : "CREATE TABLE rows (");
        qn__sql_name(&sql, frame->columns[j].name);
        qn_buf_printf(&sql, " %s", sql_type(frame->columns[j].type));
    }
    qn_buf_put_text(&sql, ")");
    QN_TRY(qn_buf_status(&sql, err));
    QN_TRY(qn__db_run(&sink->db, sql.data, job, err));
    QN_FAIL_IF(sink->db.api->duckdb_appender_create(sink->db.connection, NULL, "rows",
                                                    &sink->appender) != DuckDBSuccess,
               err, QN_ERR_INTERNAL, "cannot append to a table of DuckDB");
    return QN_OK;
}

static qn_status append_chunks(qn_sink *sink, duckdb_data_chunk chunk, const qn_frame *frame,
                               const qn_job *job, qn_error *err) {
    const qn_duckdb *api = sink->db.api;
    const int64_t most = (int64_t)api->duckdb_vector_size();
    for (int64_t from = 0; from < frame->n_rows; from += most) {
        QN_TRY(qn_job_check(job, err));
        const int64_t n = frame->n_rows - from < most ? frame->n_rows - from : most;
        api->duckdb_data_chunk_reset(chunk);
        for (int32_t j = 0; j < frame->n_columns; j++)
            qn__fill_vector(api, api->duckdb_data_chunk_get_vector(chunk, (idx_t)j),
                            &frame->columns[j], from, n);
        api->duckdb_data_chunk_set_size(chunk, (idx_t)n);
        if (api->duckdb_append_data_chunk(sink->appender, chunk) != DuckDBSuccess) {
            const char *why = api->duckdb_appender_error(sink->appender);
            return qn_error_set(err, QN_ERR_IO, "cannot write %s: %s", sink->path,
                                why ? why : "unknown");
        }
    }
    return QN_OK;
}

static qn_status append_frame(qn_sink *sink, const qn_frame *frame, const qn_job *job,
                              qn_error *err) {
    const qn_duckdb *api = sink->db.api;
    qn_cleanup(qn_freep)
        duckdb_logical_type *types = qn_new_array(duckdb_logical_type, frame->n_columns);
    if (!types)
        return qn_error_memory(err);
    for (int32_t j = 0; j < frame->n_columns; j++)
        types[j] = api->duckdb_create_logical_type(qn__duckdb_type(frame->columns[j].type));
    duckdb_data_chunk chunk = api->duckdb_create_data_chunk(types, (idx_t)frame->n_columns);
    const qn_status status = chunk ? append_chunks(sink, chunk, frame, job, err)
                                   : qn_error_memory(err);
    api->duckdb_destroy_data_chunk(&chunk);
    for (int32_t j = 0; j < frame->n_columns; j++)
        api->duckdb_destroy_logical_type(&types[j]);
    return status;
}

static void put_header(qn_sink *sink) {
    const char delimiter = sink->form == FORM_TSV ? '\t' : ',';
    for (int32_t j = 0; j < sink->schema.n_columns; j++) {
        if (j)
            qn_buf_put_char(&sink->out, delimiter);
        put_csv_text(&sink->out, sink->schema.columns[j].name, strlen(sink->schema.columns[j].name),
                     delimiter);
    }
    qn_buf_put_char(&sink->out, '\n');
}

static qn_status begin(qn_sink *sink, const qn_frame *frame, const qn_job *job, qn_error *err) {
    QN_FAIL_IF(!frame->n_columns, err, QN_ERR_USAGE, "a table without columns cannot be written");
    QN_TRY(qn_schema_of_frame(frame, &sink->schema, err));
    sink->has_schema = true;
    if (sink->by_duckdb)
        return begin_table(sink, frame, job, err);
    if (sink->form != FORM_JSON)
        put_header(sink);
    return QN_OK;
}

static qn_status check_schema(const qn_sink *sink, const qn_frame *frame, qn_error *err) {
    bool same = frame->n_columns == sink->schema.n_columns;
    for (int32_t j = 0; same && j < frame->n_columns; j++)
        same = frame->columns[j].type == sink->schema.columns[j].type &&
               strcmp(frame->columns[j].name, sink->schema.columns[j].name) == 0;
    QN_FAIL_IF(!same, err, QN_ERR_USAGE, "frames written to one sink must have the same columns");
    return QN_OK;
}

qn_status qn_sink_write(qn_sink *sink, const qn_frame *frame, const qn_job *job, qn_error *err) {
    if (!sink->has_schema)
        QN_TRY(begin(sink, frame, job, err));
    QN_TRY(check_schema(sink, frame, err));
    return sink->by_duckdb ? append_frame(sink, frame, job, err)
                           : write_text(sink, frame, job, err);
}

static qn_status copy_out(qn_sink *sink, qn_error *err) {
    const qn_duckdb *api = sink->db.api;
    QN_FAIL_IF(!sink->has_schema, err, QN_ERR_DATA, "there is nothing to write to %s", sink->path);
    QN_FAIL_IF(api->duckdb_appender_flush(sink->appender) != DuckDBSuccess, err, QN_ERR_IO,
               "cannot write %s: %s", sink->path, api->duckdb_appender_error(sink->appender));
    qn_cleanup(qn_buf_done) qn_buf sql = {0};
    qn_buf_put_text(&sql, "COPY rows TO ");
    qn__sql_text(&sql, sink->temporary);
    if (sink->form == FORM_PARQUET)
        qn_buf_put_text(&sql, " (FORMAT parquet, COMPRESSION zstd)");
    else if (sink->form == FORM_JSON)
        qn_buf_printf(&sql, " (FORMAT json, COMPRESSION %s)", sink->compression);
    else
        qn_buf_printf(&sql, " (FORMAT csv, HEADER true, DELIMITER '%s', COMPRESSION %s)",
                      sink->form == FORM_TSV ? "\t" : ",", sink->compression);
    QN_TRY(qn_buf_status(&sql, err));
    const qn_status status = qn__db_run(&sink->db, sql.data, NULL, err);
    if (status == QN_OK || status == QN_ERR_MEMORY)
        return status;
    qn_error_prefix(err, "cannot write %s", sink->path);
    return err ? (err->code = QN_ERR_IO) : QN_ERR_IO;
}

qn_status qn_sink_finish(qn_sink *sink, qn_error *err) {
    QN_TRY(sink->by_duckdb ? copy_out(sink, err) : flush(sink, err));
    if (!sink->temporary)
        return QN_OK;
    const int fd = sink->fd;
    sink->fd = -1;
    if (close(fd) != 0) /* NFS reports a full disk here */
        return qn_error_errno(err, "write", sink->temporary ? sink->path : "standard output");
    QN_TRY(qn_file_publish(sink->temporary, sink->path, err));
    qn_freep(&sink->temporary);
    return QN_OK;
}
