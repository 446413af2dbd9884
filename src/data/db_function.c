/* The rows of a CSV source as a table function of DuckDB: what the user's SQL and the Parquet
 * writer read. Each scan is its own pass over the files, unless the rows are kept in memory. */
#include <string.h>

#include "base/mem.h"
#include "data/source_int.h"

enum { PIECE_ROWS = 16384 };

/* One scan. */
typedef struct scan {
    qn_source *source; /* borrowed */
    int32_t *columns;  /* owned: of the schema, in the order asked for */
    int32_t n;
    qn__csv_cursor *cursor; /* owned; NULL when the rows are in memory */
    qn_frame *piece;        /* owned; what the cursor gave last */
    int64_t at;             /* rows of the piece, or of all, already given */
} scan;

static void scan_free(scan **address) {
    scan *s = *address;
    if (!s)
        return;
    qn__csv_cursor_free(&s->cursor);
    qn_frame_free(&s->piece);
    qn_freep(&s->columns);
    qn_freep(address);
}

static void scan_delete(void *data) {
    scan *s = data;
    scan_free(&s);
}

static void bind(duckdb_bind_info info) {
    const qn_duckdb *api = NULL;
    if (qn_duckdb_load(&api, NULL) != QN_OK)
        return;
    const qn_source *source = api->duckdb_bind_get_extra_info(info);
    for (int32_t j = 0; j < source->schema.n_columns; j++) {
        duckdb_logical_type type =
            api->duckdb_create_logical_type(qn__duckdb_type(source->schema.columns[j].type));
        api->duckdb_bind_add_result_column(info, source->schema.columns[j].name, type);
        api->duckdb_destroy_logical_type(&type);
    }
    if (source->n_rows >= 0)
        api->duckdb_bind_set_cardinality(info, (idx_t)source->n_rows, true);
}

static qn_status scan_new(const qn_duckdb *api, duckdb_init_info info, qn_source *source,
                          scan **ret_scan, qn_error *err) {
    qn_cleanup(scan_free) scan *s = qn_new(scan);
    const idx_t n = api->duckdb_init_get_column_count(info);
    if (!s || !(s->columns = qn_new_array(int32_t, n + 1)))
        return qn_error_memory(err);
    s->source = source;
    s->n = n ? (int32_t)n : 1; /* count(*) asks for no column, or for a row number */
    for (idx_t k = 0; k < n; k++) {
        const idx_t j = api->duckdb_init_get_column_index(info, k);
        s->columns[k] = j < (idx_t)source->schema.n_columns ? (int32_t)j : 0;
    }
    if (!source->cached)
        QN_TRY(qn__csv_cursor_new(source, s->columns, s->n, &s->cursor, err));
    *ret_scan = qn_steal(&s);
    return QN_OK;
}

static void init(duckdb_init_info info) {
    const qn_duckdb *api = NULL;
    if (qn_duckdb_load(&api, NULL) != QN_OK)
        return;
    qn_source *source = api->duckdb_init_get_extra_info(info);
    scan *s = NULL;
    api->duckdb_init_set_max_threads(info, 1);
    if (scan_new(api, info, source, &s, &source->inner) != QN_OK)
        api->duckdb_init_set_error(info, source->inner.message);
    else
        api->duckdb_init_set_init_data(info, s, scan_delete);
}

/* The frame and its row from which to give; *ret_n is 0 at the end. */
static qn_status next_rows(scan *s, int64_t most, const qn_frame **ret_frame, int64_t *ret_n,
                           qn_error *err) {
    if (s->cursor && (!s->piece || s->at == s->piece->n_rows)) {
        qn_frame_free(&s->piece);
        s->at = 0;
        QN_TRY(qn__csv_cursor_next(s->cursor, PIECE_ROWS, &s->source->job, &s->piece, err));
    }
    *ret_frame = s->cursor ? s->piece : s->source->cached;
    *ret_n = *ret_frame ? (*ret_frame)->n_rows - s->at : 0;
    if (*ret_n > most)
        *ret_n = most;
    return QN_OK;
}

static void give_rows(duckdb_function_info info, duckdb_data_chunk output) {
    const qn_duckdb *api = NULL;
    if (qn_duckdb_load(&api, NULL) != QN_OK)
        return;
    scan *s = api->duckdb_function_get_init_data(info);
    const qn_frame *frame = NULL;
    int64_t n = 0;
    if (next_rows(s, (int64_t)api->duckdb_vector_size(), &frame, &n, &s->source->inner) != QN_OK) {
        api->duckdb_function_set_error(info, s->source->inner.message);
        return;
    }
    const idx_t n_vectors = api->duckdb_data_chunk_get_column_count(output);
    for (int32_t k = 0; n && k < s->n && k < (int32_t)n_vectors; k++)
        qn__fill_vector(api, api->duckdb_data_chunk_get_vector(output, (idx_t)k),
                        &frame->columns[s->cursor ? k : s->columns[k]], s->at, n);
    api->duckdb_data_chunk_set_size(output, (idx_t)n);
    s->at += n;
}

qn_status qn__source_offer(qn_source *source, const qn_job *job, qn_error *err) {
    QN_TRY(qn__source_need_db(source, job, err));
    const qn_duckdb *api = source->db.api;
    duckdb_table_function function = api->duckdb_create_table_function();
    api->duckdb_table_function_set_name(function, "quern_rows");
    api->duckdb_table_function_set_extra_info(function, source, NULL);
    api->duckdb_table_function_set_bind(function, bind);
    api->duckdb_table_function_set_init(function, init);
    api->duckdb_table_function_set_function(function, give_rows);
    api->duckdb_table_function_supports_projection_pushdown(function, true);
    const duckdb_state state = api->duckdb_register_table_function(source->db.connection, function);
    api->duckdb_destroy_table_function(&function);
    QN_FAIL_IF(state != DuckDBSuccess, err, QN_ERR_INTERNAL, "DuckDB takes no table function");
    source->is_offered = true;
    return qn__db_run(&source->db, "CREATE VIEW source AS SELECT * FROM quern_rows()", job, err);
}
