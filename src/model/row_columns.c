/* Cells by column, set in any order, as a frame that owns nothing. Arrays stay from one request to
 * the next, and so do the dictionaries: the categories of one request are those of the next. */
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "model/model_int.h"

/* A dictionary that strangers' words have made larger than this is dropped. */
enum { KEPT_WORD_BYTES = 1 << 20 };

typedef struct text_cell {
    size_t at, n; /* bytes of qn__cell_column.texts */
} text_cell;

struct qn__cell_column {
    uint64_t *valid;   /* owned; a bit per row */
    void *values;      /* owned; as in qn_column; TEXT: offsets, filled for the frame */
    qn_dict *dict;     /* owned; CATEGORY; NULL until a text is set */
    size_t word_bytes; /* CATEGORY: about what the dictionary holds */
    text_cell *cells;  /* owned; TEXT */
    qn_buf texts;      /* TEXT: in the order they were set */
    qn_buf ordered;    /* TEXT: in row order, filled for the frame */
};

static size_t value_bytes(qn_type type) {
    return type == QN_TYPE_BOOL ? 1 : type == QN_TYPE_CATEGORY ? sizeof(int32_t) : 8;
}

qn_status qn__cells_init(qn__cells *cells, const qn_schema *schema, qn_error *err) {
    *cells = (qn__cells){.schema = schema};
    cells->columns = qn_new_array(qn__cell_column, schema->n_columns);
    cells->view = qn_new_array(qn_column, schema->n_columns);
    return cells->columns && cells->view ? QN_OK : qn_error_memory(err);
}

void qn__cells_done(qn__cells *cells) {
    for (int32_t i = 0; cells->columns && i < cells->schema->n_columns; i++) {
        qn__cell_column *column = &cells->columns[i];
        qn_freep(&column->valid);
        qn_freep(&column->values);
        qn_freep(&column->cells);
        qn_dict_free(&column->dict);
        qn_buf_done(&column->texts);
        qn_buf_done(&column->ordered);
    }
    qn_freep(&cells->columns);
    qn_freep(&cells->view);
}

void qn__cells_clear(qn__cells *cells) {
    for (int32_t i = 0; i < cells->schema->n_columns; i++) {
        qn__cell_column *column = &cells->columns[i];
        qn_buf_clear(&column->texts);
        if (column->word_bytes > KEPT_WORD_BYTES) {
            qn_dict_free(&column->dict);
            column->word_bytes = 0;
        }
    }
    cells->n_rows = 0;
}

static bool grow_array(void *address_of_pointer, int64_t n_items, size_t item_bytes) {
    void *old, *grown;
    memcpy(&old, address_of_pointer, sizeof old);
    if (!(grown = qn_realloc(old, (size_t)n_items, item_bytes)))
        return false;
    memcpy(address_of_pointer, &grown, sizeof grown);
    return true;
}

/* cap_rows is raised only when every column has the room: one that failed may have more. */
static qn_status grow(qn__cells *cells, int64_t need, qn_error *err) {
    int64_t cap = cells->cap_rows * 2 > need ? cells->cap_rows * 2 : need;
    cap = (cap + 63) / 64 * 64;
    for (int32_t i = 0; i < cells->schema->n_columns; i++) {
        qn__cell_column *column = &cells->columns[i];
        const qn_type type = cells->schema->columns[i].type;
        if (!grow_array(&column->valid, cap / 64, sizeof *column->valid) ||
            !grow_array(&column->values, cap + 1, value_bytes(type)) ||
            (type == QN_TYPE_TEXT && !grow_array(&column->cells, cap, sizeof *column->cells)))
            return qn_error_memory(err);
    }
    cells->cap_rows = cap;
    return QN_OK;
}

qn_status qn__cells_add(qn__cells *cells, int64_t n, qn_error *err) {
    if (cells->n_rows + n > cells->cap_rows)
        QN_TRY(grow(cells, cells->n_rows + n, err));
    const int64_t first = cells->n_rows;
    cells->n_rows += n;
    for (int32_t i = 0; i < cells->schema->n_columns; i++)
        for (int64_t r = first; r < cells->n_rows; r++)
            qn__cells_missing(cells, r, i);
    return QN_OK;
}

static void mark_valid(qn__cell_column *column, int64_t i_row) {
    column->valid[i_row >> 6] |= (uint64_t)1 << (i_row & 63);
}

void qn__cells_missing(qn__cells *cells, int64_t i_row, int32_t i_column) {
    qn__cell_column *column = &cells->columns[i_column];
    column->valid[i_row >> 6] &= ~((uint64_t)1 << (i_row & 63));
    switch (cells->schema->columns[i_column].type) {
    case QN_TYPE_BOOL: ((uint8_t *)column->values)[i_row] = 0; break;
    case QN_TYPE_CATEGORY: ((int32_t *)column->values)[i_row] = -1; break;
    case QN_TYPE_TEXT: column->cells[i_row] = (text_cell){0}; break;
    default: ((int64_t *)column->values)[i_row] = 0;
    }
}

void qn__cells_number(qn__cells *cells, int64_t i_row, int32_t i_column, double value) {
    qn__cell_column *column = &cells->columns[i_column];
    mark_valid(column, i_row);
    ((double *)column->values)[i_row] = value;
}

void qn__cells_whole(qn__cells *cells, int64_t i_row, int32_t i_column, int64_t value) {
    qn__cell_column *column = &cells->columns[i_column];
    mark_valid(column, i_row);
    if (cells->schema->columns[i_column].type == QN_TYPE_BOOL)
        ((uint8_t *)column->values)[i_row] = (uint8_t)value;
    else
        ((int64_t *)column->values)[i_row] = value;
}

static qn_status put_word(qn__cell_column *column, int64_t i_row, const char *bytes, size_t n,
                          qn_error *err) {
    if (!column->dict && !(column->dict = qn_dict_new()))
        return qn_error_memory(err);
    const int32_t size = qn_dict_size(column->dict), code = qn_dict_add(column->dict, bytes, n);
    if (code < 0)
        return qn_error_memory(err);
    if (code == size)
        column->word_bytes += n + 32; /* index included */
    ((int32_t *)column->values)[i_row] = code;
    return QN_OK;
}

qn_status qn__cells_text(qn__cells *cells, int64_t i_row, int32_t i_column, const char *bytes,
                         size_t n, qn_error *err) {
    qn__cell_column *column = &cells->columns[i_column];
    if (cells->schema->columns[i_column].type == QN_TYPE_CATEGORY) {
        QN_TRY(put_word(column, i_row, bytes, n, err));
    } else {
        text_cell *cell = &column->cells[i_row];
        if (n > cell->n) { /* a shorter text goes where the one before was */
            const size_t at = column->texts.len;
            qn_buf_put(&column->texts, bytes, n);
            QN_TRY(qn_buf_status(&column->texts, err));
            cell->at = at;
        } else if (n > 0) {
            memcpy(column->texts.data + cell->at, bytes, n);
        }
        cell->n = n;
    }
    mark_valid(column, i_row);
    return QN_OK;
}

/* Offsets and bytes in row order. */
static qn_status order_texts(qn__cell_column *column, int64_t n_rows, qn_error *err) {
    int64_t *offset = column->values;
    qn_buf_clear(&column->ordered);
    for (int64_t r = 0; r < n_rows; r++) {
        offset[r] = (int64_t)column->ordered.len;
        if (column->cells[r].n)
            qn_buf_put(&column->ordered, column->texts.data + column->cells[r].at,
                       column->cells[r].n);
    }
    offset[n_rows] = (int64_t)column->ordered.len;
    return qn_buf_status(&column->ordered, err);
}

static int64_t count_missing(const uint64_t *valid, int64_t n_rows) {
    int64_t n = n_rows;
    for (int64_t w = 0; w < n_rows >> 6; w++)
        n -= __builtin_popcountll(valid[w]);
    const int rest = (int)(n_rows & 63);
    return rest ? n - __builtin_popcountll(valid[n_rows >> 6] & (((uint64_t)1 << rest) - 1)) : n;
}

qn_status qn__cells_frame(qn__cells *cells, qn_frame *ret_frame, qn_error *err) {
    for (int32_t i = 0; i < cells->schema->n_columns; i++) {
        qn__cell_column *column = &cells->columns[i];
        const qn_schema_column *wanted = &cells->schema->columns[i];
        if (wanted->type == QN_TYPE_TEXT && cells->n_rows > 0)
            QN_TRY(order_texts(column, cells->n_rows, err));
        qn_column *view = &cells->view[i];
        *view = (qn_column){.name = wanted->name,
                            .type = wanted->type,
                            .n_rows = cells->n_rows,
                            .b = column->values,
                            .bytes = column->ordered.data,
                            .dict = column->dict};
        view->n_null = count_missing(column->valid, cells->n_rows);
        view->valid = view->n_null ? column->valid : NULL;
    }
    *ret_frame = (qn_frame){.n_rows = cells->n_rows,
                            .n_columns = cells->schema->n_columns,
                            .columns = cells->view};
    return QN_OK;
}
