/* Passes over CSV files: the one that learns the types, and cursors that know them. */
#include <string.h>

#include "base/mem.h"
#include "data/source_int.h"

/* A pass: columns of the files, their names and states, in one order. */
typedef struct csv_pass {
    qn__csv csv;
    const char **names;      /* owned list of borrowed names */
    int32_t *cells;          /* owned */
    qn__csv_column *columns; /* owned */
    int32_t n;
    bool begun;
} csv_pass;

static void pass_done(csv_pass *pass) {
    for (int32_t j = 0; pass->columns && j < pass->n; j++)
        qn__csv_column_done(&pass->columns[j]);
    qn_freep(&pass->columns);
    qn_freep(&pass->names);
    qn_freep(&pass->cells);
    qn__csv_done(&pass->csv);
}

/* Room for n columns of the source's files. The struct must not move afterwards. */
static qn_status pass_init(csv_pass *pass, const qn_source *source, int32_t n, qn_error *err) {
    pass->n = n;
    pass->columns = qn_new_array(qn__csv_column, n);
    pass->names = qn_new_array(const char *, n);
    pass->cells = qn_new_array(int32_t, n);
    if (!pass->columns || !pass->names || !pass->cells)
        return qn_error_memory(err);
    return qn__csv_init(&pass->csv, &source->files, source->label, &source->dialect,
                        (int32_t)source->names.n, err);
}

/* The failure that comes first in the files; a shortage of memory before all. */
static qn_status pass_failure(const csv_pass *pass, qn_error *err) {
    const qn__csv_column *first = NULL;
    const char *name = NULL;
    for (int32_t j = 0; j < pass->n; j++) {
        const qn__csv_column *column = &pass->columns[j];
        if (column->status == QN_OK)
            continue;
        if (column->status == QN_ERR_MEMORY)
            return qn_error_memory(err);
        if (!first || column->misfit_row < first->misfit_row) {
            first = column;
            name = pass->names[j];
        }
    }
    return first ? qn__csv_column_explain(first, name, &pass->csv, err) : QN_OK;
}

/* Rows [from, to) of the current block into all columns, while the next block is made. */
static qn_status pass_take(csv_pass *pass, const qn__missing *missing, int32_t from, int32_t to,
                           const qn_job *job, qn_error *err) {
    const int32_t n = pass->n, n_together = 1 + n / 256;
#pragma omp parallel for schedule(dynamic, n_together) num_threads(qn_job_threads(job))
    for (int32_t j = -1; j < n; j++) {
        if (j >= 0)
            qn__csv_column_take(&pass->columns[j], pass->names[j], missing, &pass->csv,
                                pass->cells[j], from, to);
        else if (from == 0)
            qn__csv_prepare(&pass->csv);
    }
    return pass_failure(pass, err);
}

/* *ret_rows is 0 at the end. */
static qn_status pass_advance(csv_pass *pass, int32_t *ret_rows, qn_error *err) {
    if (!pass->begun)
        qn__csv_prepare(&pass->csv);
    pass->begun = true;
    QN_TRY(qn__csv_advance(&pass->csv, err));
    *ret_rows = qn__csv_current(&pass->csv)->n_rows;
    return QN_OK;
}

static void tell_progress(const qn_source *source, const csv_pass *pass, const qn_job *job) {
    qn_job_progress(job, "import", pass->csv.n_bytes_before + qn__input_position(pass->csv.input),
                    source->n_bytes, NULL);
}

static size_t pass_bytes(const csv_pass *pass) {
    size_t bytes = 0;
    for (int32_t j = 0; j < pass->n; j++)
        bytes += qn__growing_bytes(&pass->columns[j].values);
    return bytes;
}

/* Values are kept while they take no more than a quarter of the memory. */
static qn_status forget_if_large(csv_pass *pass, const qn_job *job, bool *kept, qn_error *err) {
    const size_t allowed = job && job->memory_bytes ? job->memory_bytes : qn_mem_available_bytes();
    if (!*kept || pass_bytes(pass) <= allowed / 4)
        return QN_OK;
    *kept = false;
    for (int32_t j = 0; j < pass->n; j++)
        QN_TRY(qn__csv_column_drop(&pass->columns[j], err));
    return QN_OK;
}

/* Plain files tell by their size how many rows will come. */
static void expect_rows(csv_pass *pass, const qn_source *source, const qn_job *job) {
    const double allowed =
        (double)(job && job->memory_bytes ? job->memory_bytes : qn_mem_available_bytes());
    const double n = source->n_bytes / pass->csv.row_bytes * 1.01 + 64;
    if (!source->is_packed && n * 8 * pass->n < allowed / 4)
        for (int32_t j = 0; j < pass->n; j++)
            pass->columns[j].n_expected = (int64_t)n;
}

static qn_status pass_all(csv_pass *pass, const qn_source *source, bool *kept, const qn_job *job,
                          int64_t *ret_n_rows, qn_error *err) {
    for (;;) {
        int32_t n = 0;
        QN_TRY(qn_job_check(job, err));
        QN_TRY(pass_advance(pass, &n, err));
        if (!n)
            return QN_OK;
        if (!*ret_n_rows)
            expect_rows(pass, source, job);
        QN_TRY(pass_take(pass, &source->is_missing, 0, n, job, err));
        QN_TRY(forget_if_large(pass, job, kept, err));
        *ret_n_rows += n;
        tell_progress(source, pass, job);
    }
}

/* Reads again the columns whose first values were taken for something else. */
static qn_status complete(csv_pass *pass, const qn_source *source, const qn_job *job,
                          qn_error *err) {
    qn_cleanup(pass_done) csv_pass again = {0};
    int32_t n = 0;
    bool kept = true;
    for (int32_t j = 0; j < pass->n; j++)
        n += pass->columns[j].incomplete;
    if (!n)
        return QN_OK;
    QN_TRY(pass_init(&again, source, n, err));
    n = 0;
    for (int32_t j = 0; j < pass->n; j++) {
        if (!pass->columns[j].incomplete)
            continue;
        again.names[n] = pass->names[j];
        again.cells[n] = pass->cells[j];
        QN_TRY(qn__csv_column_fix(&again.columns[n++], pass->names[j], pass->columns[j].type, err));
    }
    int64_t n_rows = 0;
    QN_TRY(pass_all(&again, source, &kept, job, &n_rows, err));
    if (!kept)
        return QN_OK;
    n = 0;
    for (int32_t j = 0; j < pass->n; j++) {
        if (!pass->columns[j].incomplete)
            continue;
        qn__csv_column_done(&pass->columns[j]);
        pass->columns[j].values = again.columns[n].values;
        again.columns[n++].values = (qn__growing){0};
        pass->columns[j].kept = true;
        pass->columns[j].incomplete = false;
    }
    return QN_OK;
}

static qn_status keep_values(qn_source *source, csv_pass *pass, qn_error *err) {
    qn_cleanup(qn_freep) qn__growing *values = qn_new_array(qn__growing, pass->n);
    if (!values)
        return qn_error_memory(err);
    for (int32_t j = 0; j < pass->n; j++) {
        values[j] = pass->columns[j].values;
        pass->columns[j].values = (qn__growing){0};
    }
    const qn_status status = qn__growing_finish(values, pass->n, &source->cached, err);
    for (int32_t j = 0; j < pass->n; j++)
        qn__growing_done(&values[j]);
    return status;
}

static qn_status schema_room(qn_source *source, int32_t n, qn_error *err) {
    source->schema.columns = qn_new_array(qn_schema_column, n);
    source->cells = qn_new_array(int32_t, n);
    source->verbatim = qn_new_array(bool, n);
    return source->schema.columns && source->cells && source->verbatim ? QN_OK
                                                                       : qn_error_memory(err);
}

static qn_status schema_add(qn_source *source, int32_t cell, qn_type type, bool verbatim,
                            qn_error *err) {
    const int32_t j = source->schema.n_columns;
    QN_TRY(qn_schema_add(&source->schema, source->names.items[cell], type, err));
    source->cells[j] = cell;
    source->verbatim[j] = verbatim;
    return QN_OK;
}

qn_status qn__csv_learn(qn_source *source, const qn__stated *stated, const qn_job *job,
                        qn_error *err) {
    qn_cleanup(pass_done) csv_pass pass = {0};
    const int32_t n = (int32_t)source->names.n;
    bool kept = true;
    QN_TRY(pass_init(&pass, source, n, err));
    for (int32_t j = 0; j < n; j++) {
        qn_type type;
        pass.names[j] = source->names.items[j];
        pass.cells[j] = j;
        pass.columns[j].kept = true;
        if (qn__stated_find(stated, pass.names[j], &type))
            QN_TRY(qn__csv_column_fix(&pass.columns[j], pass.names[j], type, err));
    }
    source->n_rows = 0;
    QN_TRY(pass_all(&pass, source, &kept, job, &source->n_rows, err));
    for (int32_t j = 0; j < n; j++)
        QN_TRY(qn__csv_column_decide(&pass.columns[j], pass.names[j], &pass.csv, err));
    if (kept)
        QN_TRY(complete(&pass, source, job, err));
    for (int32_t j = 0; j < n; j++)
        kept &= pass.columns[j].kept;
    QN_TRY(schema_room(source, n, err));
    for (int32_t j = 0; j < n; j++)
        QN_TRY(schema_add(source, j, pass.columns[j].type, false, err));
    source->reads_csv = true;
    return kept && source->n_rows ? keep_values(source, &pass, err) : QN_OK;
}

qn_status qn__csv_take_types(qn_source *source, const qn__stated *stated, qn_error *err) {
    const int32_t n = (int32_t)source->names.n;
    QN_TRY(schema_room(source, n, err));
    for (int32_t j = 0; j < n; j++) {
        qn_type type = QN_TYPE_TEXT;
        const bool found = qn__stated_find(stated, source->names.items[j], &type);
        QN_TRY(schema_add(source, j, type, !found, err));
    }
    source->reads_csv = true;
    return QN_OK;
}

/* ---- cursors ---- */

struct qn__csv_cursor {
    const qn_source *source; /* borrowed */
    csv_pass pass;
    qn_type *types; /* owned */
    bool *verbatim; /* owned */
    int32_t at;     /* rows of the block already used */
    bool ended;
};

void qn__csv_cursor_free(qn__csv_cursor **cursor) {
    if (!cursor || !*cursor)
        return;
    pass_done(&(*cursor)->pass);
    qn_freep(&(*cursor)->types);
    qn_freep(&(*cursor)->verbatim);
    qn_freep(cursor);
}

qn_status qn__csv_cursor_new(qn_source *source, const int32_t *columns, int32_t n,
                             qn__csv_cursor **ret_cursor, qn_error *err) {
    qn_cleanup(qn__csv_cursor_free) qn__csv_cursor *cursor = qn_new(qn__csv_cursor);
    if (!cursor)
        return qn_error_memory(err);
    cursor->source = source;
    cursor->types = qn_new_array(qn_type, n);
    cursor->verbatim = qn_new_array(bool, n);
    if (!cursor->types || !cursor->verbatim)
        return qn_error_memory(err);
    QN_TRY(pass_init(&cursor->pass, source, n, err));
    for (int32_t k = 0; k < n; k++) {
        const int32_t j = columns ? columns[k] : k;
        cursor->pass.names[k] = source->schema.columns[j].name;
        cursor->pass.cells[k] = source->cells[j];
        cursor->types[k] = source->schema.columns[j].type;
        cursor->verbatim[k] = source->verbatim[j];
    }
    *ret_cursor = qn_steal(&cursor);
    return QN_OK;
}

static qn_status begin_columns(qn__csv_cursor *cursor, qn_error *err) {
    for (int32_t k = 0; k < cursor->pass.n; k++) {
        qn__csv_column *column = &cursor->pass.columns[k];
        qn__csv_column_done(column);
        *column = (qn__csv_column){.verbatim = cursor->verbatim[k]};
        QN_TRY(qn__csv_column_fix(column, cursor->pass.names[k], cursor->types[k], err));
    }
    return QN_OK;
}

static qn_status finish_columns(qn__csv_cursor *cursor, qn_frame **ret_frame, qn_error *err) {
    const int32_t n = cursor->pass.n;
    qn_cleanup(qn_freep) qn__growing *values = qn_new_array(qn__growing, n);
    if (!values)
        return qn_error_memory(err);
    for (int32_t k = 0; k < n; k++) {
        values[k] = cursor->pass.columns[k].values;
        cursor->pass.columns[k].values = (qn__growing){0};
    }
    const qn_status status = qn__growing_finish(values, n, ret_frame, err);
    for (int32_t k = 0; k < n; k++)
        qn__growing_done(&values[k]);
    return status;
}

qn_status qn__csv_cursor_next(qn__csv_cursor *cursor, int64_t max_rows, const qn_job *job,
                              qn_frame **ret_frame, qn_error *err) {
    csv_pass *pass = &cursor->pass;
    int64_t n = 0;
    QN_TRY(begin_columns(cursor, err));
    while (n < max_rows && !cursor->ended) {
        int32_t n_block = pass->begun ? qn__csv_current(&pass->csv)->n_rows : 0;
        if (cursor->at == n_block) {
            QN_TRY(qn_job_check(job, err));
            QN_TRY(pass_advance(pass, &n_block, err));
            cursor->at = 0;
            cursor->ended = !n_block;
        }
        int32_t to = n_block;
        if (to - cursor->at > max_rows - n)
            to = cursor->at + (int32_t)(max_rows - n);
        if (to == cursor->at)
            break;
        QN_TRY(pass_take(pass, &cursor->source->is_missing, cursor->at, to, job, err));
        n += to - cursor->at;
        cursor->at = to;
    }
    *ret_frame = NULL;
    return n ? finish_columns(cursor, ret_frame, err) : QN_OK;
}
