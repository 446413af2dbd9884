/* duckdb_api.h - DuckDB's C API, loaded with dlopen at the first use, so that programs that read no
 * tables (serving) never map its 64 MB. One table holds the functions that this room uses, under
 * their own names:
 *
 *     const qn_duckdb *api;
 *     QN_TRY(qn_duckdb_load(&api, err));
 *     api->duckdb_open(NULL, &database);
 *
 * Looked for in: $QUERN_DUCKDB, beside the executable, ../lib/quern, the build's .deps folder, and
 * last wherever the system's loader finds libduckdb.so. */
#ifndef QN_DATA_DUCKDB_API_H
#define QN_DATA_DUCKDB_API_H

#include <duckdb.h>

#include "base/error.h"

#define QN_DUCKDB_FUNCTIONS(X)              \
    X(duckdb_append_data_chunk)             \
    X(duckdb_appender_create)               \
    X(duckdb_appender_destroy)              \
    X(duckdb_appender_error)                \
    X(duckdb_appender_flush)                \
    X(duckdb_bind_add_result_column)        \
    X(duckdb_bind_get_extra_info)           \
    X(duckdb_bind_set_cardinality)          \
    X(duckdb_close)                         \
    X(duckdb_column_count)                  \
    X(duckdb_column_name)                   \
    X(duckdb_column_type)                   \
    X(duckdb_config_count)                  \
    X(duckdb_connect)                       \
    X(duckdb_create_config)                 \
    X(duckdb_create_data_chunk)             \
    X(duckdb_create_logical_type)           \
    X(duckdb_create_table_function)         \
    X(duckdb_data_chunk_get_column_count)   \
    X(duckdb_data_chunk_get_size)           \
    X(duckdb_data_chunk_get_vector)         \
    X(duckdb_data_chunk_reset)              \
    X(duckdb_data_chunk_set_size)           \
    X(duckdb_destroy_config)                \
    X(duckdb_destroy_data_chunk)            \
    X(duckdb_destroy_extracted)             \
    X(duckdb_destroy_logical_type)          \
    X(duckdb_destroy_pending)               \
    X(duckdb_destroy_prepare)               \
    X(duckdb_destroy_result)                \
    X(duckdb_disconnect)                    \
    X(duckdb_destroy_table_function)        \
    X(duckdb_execute_pending)               \
    X(duckdb_extract_statements)            \
    X(duckdb_extract_statements_error)      \
    X(duckdb_fetch_chunk)                   \
    X(duckdb_function_get_init_data)        \
    X(duckdb_function_set_error)            \
    X(duckdb_init_get_column_count)         \
    X(duckdb_init_get_column_index)         \
    X(duckdb_init_get_extra_info)           \
    X(duckdb_init_set_error)                \
    X(duckdb_init_set_init_data)            \
    X(duckdb_init_set_max_threads)          \
    X(duckdb_interrupt)                     \
    X(duckdb_library_version)               \
    X(duckdb_open_ext)                      \
    X(duckdb_free)                          \
    X(duckdb_pending_error)                 \
    X(duckdb_pending_execute_task)          \
    X(duckdb_pending_execution_is_finished) \
    X(duckdb_pending_prepared)              \
    X(duckdb_pending_prepared_streaming)    \
    X(duckdb_prepare_error)                 \
    X(duckdb_prepare_extracted_statement)   \
    X(duckdb_prepared_statement_type)       \
    X(duckdb_query_progress)                \
    X(duckdb_register_table_function)       \
    X(duckdb_result_error)                  \
    X(duckdb_set_config)                    \
    X(duckdb_table_function_set_bind)       \
    X(duckdb_table_function_set_extra_info) \
    X(duckdb_table_function_set_function)   \
    X(duckdb_table_function_set_init)       \
    X(duckdb_table_function_set_name)       \
    X(duckdb_table_function_supports_projection_pushdown) \
    X(duckdb_validity_set_row_validity)     \
    X(duckdb_vector_assign_string_element_len) \
    X(duckdb_vector_ensure_validity_writable) \
    X(duckdb_vector_get_data)               \
    X(duckdb_vector_get_validity)           \
    X(duckdb_vector_size)

typedef struct qn_duckdb {
#define QN_DUCKDB_MEMBER(function) typeof(&function) function;
    QN_DUCKDB_FUNCTIONS(QN_DUCKDB_MEMBER)
#undef QN_DUCKDB_MEMBER
} qn_duckdb;

/* The table, loaded once per process; lives as long as it. QN_ERR_UNSUPPORTED when the library
 * cannot be found or lacks a function. Any thread may call it. */
qn_status qn_duckdb_load(const qn_duckdb **ret_api, qn_error *err) QN_MUST_USE;

#endif
