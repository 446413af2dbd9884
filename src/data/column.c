#include "data/column_int.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

size_t qn__type_bytes(qn_type type) {
    switch (type) {
    case QN_TYPE_BOOL: return 1;
    case QN_TYPE_CATEGORY: return sizeof(int32_t);
    default: return 8;
    }
}

void qn__column_done(qn_column *column) {
    qn_freep(&column->name);
    qn_freep(&column->valid);
    qn_freep(&column->b);
    qn_freep(&column->bytes);
    qn_dict_free(&column->dict);
    *column = (qn_column){0};
}

void qn__growing_done(qn__growing *growing) {
    qn_freep(&growing->recent);
    qn__column_done(&growing->column);
    *growing = (qn__growing){0};
}

qn_status qn__growing_init(qn__growing *growing, const char *name, qn_type type, qn_error *err) {
    qn__growing made = {.column.type = type};
    made.column.name = qn_strdup(name);
    made.column.dict = type == QN_TYPE_CATEGORY ? qn_dict_new() : NULL;
    if (!made.column.name || (type == QN_TYPE_CATEGORY && !made.column.dict)) {
        qn__growing_done(&made);
        return qn_error_memory(err);
    }
    *growing = made;
    return QN_OK;
}

/* TEXT keeps one offset more than it has rows. */
static size_t slots_for(qn_type type, int64_t n_rows) {
    return (size_t)n_rows + (type == QN_TYPE_TEXT);
}

qn_status qn__growing_reserve(qn__growing *growing, int64_t n_rows, qn_error *err) {
    qn_column *column = &growing->column;
    const int64_t need = column->n_rows + n_rows;
    if (need <= growing->cap_rows && column->b)
        return QN_OK;
    int64_t cap = growing->cap_rows < 64 ? 64 : growing->cap_rows + growing->cap_rows / 2;
    if (cap < need)
        cap = need;
    cap = (cap + 63) / 64 * 64;
    const size_t item_bytes = qn__type_bytes(column->type);
    void *values = qn_malloc_aligned(slots_for(column->type, cap), item_bytes);
    uint64_t *valid = qn_malloc_aligned((size_t)cap / 64, sizeof *valid);
    if (!values || !valid) {
        qn_freep(&values);
        qn_freep(&valid);
        return qn_error_memory(err);
    }
    const size_t used = column->b ? slots_for(column->type, column->n_rows) * item_bytes : 0;
    const size_t used_words = (size_t)(column->n_rows + 63) / 64;
    if (used)
        memcpy(values, column->b, used);
    if (used_words && column->valid)
        memcpy(valid, column->valid, used_words * sizeof *valid);
    if (!used && column->type == QN_TYPE_TEXT)
        *(int64_t *)values = 0;
    memset(valid + used_words, 0, ((size_t)cap / 64 - used_words) * sizeof *valid);
    qn_freep(&column->b);
    qn_freep(&column->valid);
    column->b = values;
    column->valid = valid;
    growing->cap_rows = cap;
    return QN_OK;
}

static int64_t next_row(qn_column *column) {
    const int64_t i = column->n_rows++;
    column->valid[i >> 6] |= (uint64_t)1 << (i & 63);
    return i;
}

void qn__growing_null(qn__growing *growing) {
    qn_column *column = &growing->column;
    const int64_t i = column->n_rows++;
    column->n_null++;
    switch (column->type) {
    case QN_TYPE_BOOL: column->b[i] = 0; break;
    case QN_TYPE_CATEGORY: column->code[i] = -1; break;
    case QN_TYPE_TEXT: column->offset[i + 1] = column->offset[i]; break;
    default: column->i64[i] = 0;
    }
}

void qn__growing_number(qn__growing *growing, double value) {
    if (isnan(value))
        qn__growing_null(growing);
    else
        growing->column.f64[next_row(&growing->column)] = value;
}

void qn__growing_i64(qn__growing *growing, int64_t value) {
    qn_column *column = &growing->column;
    const int64_t i = next_row(column);
    switch (column->type) {
    case QN_TYPE_BOOL: column->b[i] = value != 0; break;
    case QN_TYPE_F64: column->f64[i] = (double)value; break;
    default: column->i64[i] = value;
    }
}

static qn_status reserve_bytes(qn__growing *growing, size_t used, size_t n, qn_error *err) {
    size_t need, cap = growing->cap_bytes ? growing->cap_bytes : 256;
    if (!qn_size_add(used, n, &need) || need > PTRDIFF_MAX / 4)
        return qn_error_memory(err);
    while (cap < need)
        cap += cap / 2;
    if (cap == growing->cap_bytes)
        return QN_OK;
    char *bytes = qn_malloc_aligned(cap, 1);
    if (!bytes)
        return qn_error_memory(err);
    if (used)
        memcpy(bytes, growing->column.bytes, used);
    qn_freep(&growing->column.bytes);
    growing->column.bytes = bytes;
    growing->cap_bytes = cap;
    return QN_OK;
}

/* Texts of up to 15 bytes as two words (the length in the last byte), where a hash of them says.
 * Most columns of names have few, and comparing two words is quicker than hashing. */
enum { RECENT_TEXTS = 64, RECENT_BYTES = 15 };

struct qn__recent {
    uint64_t words[RECENT_TEXTS][2];
    int32_t codes[RECENT_TEXTS];
};

static size_t pack(const char *bytes, size_t n, uint64_t words[2]) {
    unsigned char text[16] = {0};
    memcpy(text, bytes, n);
    text[RECENT_BYTES] = (unsigned char)(n + 1);
    memcpy(words, text, sizeof text);
    return (size_t)(((words[0] ^ words[1] * 31) * UINT64_C(0x9e3779b97f4a7c15)) >> 58);
}

static qn_status add_category(qn__growing *growing, const char *bytes, size_t n, qn_error *err) {
    qn_column *column = &growing->column;
    uint64_t words[2];
    size_t i = RECENT_TEXTS;
    if (n <= RECENT_BYTES) {
        if (!growing->recent && !(growing->recent = qn_new(qn__recent)))
            return qn_error_memory(err);
        i = pack(bytes, n, words);
        const uint64_t *found = growing->recent->words[i];
        if (found[0] == words[0] && found[1] == words[1]) {
            column->code[next_row(column)] = growing->recent->codes[i];
            return QN_OK;
        }
    }
    const int32_t code = qn_dict_add(column->dict, bytes, n);
    if (code < 0)
        return qn_error_memory(err);
    if (i < RECENT_TEXTS) {
        memcpy(growing->recent->words[i], words, sizeof words);
        growing->recent->codes[i] = code;
    }
    column->code[next_row(column)] = code;
    return QN_OK;
}

qn_status qn__growing_text(qn__growing *growing, const char *bytes, size_t n, qn_error *err) {
    qn_column *column = &growing->column;
    if (column->type == QN_TYPE_CATEGORY)
        return add_category(growing, bytes, n, err);
    const size_t used = (size_t)column->offset[column->n_rows];
    if (used + n > growing->cap_bytes)
        QN_TRY(reserve_bytes(growing, used, n, err));
    if (n)
        memcpy(column->bytes + used, bytes, n);
    const int64_t i = next_row(column);
    column->offset[i + 1] = (int64_t)(used + n);
    return QN_OK;
}

qn_status qn__growing_finish(qn__growing *growing, int32_t n, qn_frame **ret_frame, qn_error *err) {
    for (int32_t j = 0; j < n; j++)
        QN_TRY(qn__growing_reserve(&growing[j], 0, err));
    qn_cleanup(qn_frame_free) qn_frame *frame = qn_new(qn_frame);
    if (!frame || !(frame->columns = qn_new_array(qn_column, n)))
        return qn_error_memory(err);
    frame->n_columns = n;
    frame->n_rows = n ? growing[0].column.n_rows : 0;
    for (int32_t j = 0; j < n; j++) {
        if (!growing[j].column.n_null)
            qn_freep(&growing[j].column.valid);
        qn_freep(&growing[j].recent);
        frame->columns[j] = growing[j].column;
        growing[j] = (qn__growing){0};
    }
    *ret_frame = qn_steal(&frame);
    return QN_OK;
}

size_t qn__growing_bytes(const qn__growing *growing) {
    return (size_t)growing->cap_rows * qn__type_bytes(growing->column.type) + growing->cap_bytes +
           (growing->recent ? sizeof *growing->recent : 0) + qn__dict_bytes(growing->column.dict);
}

static qn_status slice_column(const qn_column *from, int64_t first, int64_t n, qn__growing *to,
                              qn_error *err) {
    QN_TRY(qn__growing_init(to, from->name, from->type, err));
    QN_TRY(qn__growing_reserve(to, n, err));
    for (int64_t i = first; i < first + n; i++) {
        size_t n_bytes = 0;
        const char *text;
        if (!qn_column_is_valid(from, i))
            qn__growing_null(to);
        else if (from->type == QN_TYPE_F64)
            qn__growing_number(to, from->f64[i]);
        else if (from->type == QN_TYPE_BOOL)
            qn__growing_i64(to, from->b[i]);
        else if (from->type == QN_TYPE_I64 || from->type == QN_TYPE_TIME)
            qn__growing_i64(to, from->i64[i]);
        else if ((text = qn_column_text(from, i, &n_bytes)))
            QN_TRY(qn__growing_text(to, text, n_bytes, err));
    }
    return QN_OK;
}

qn_status qn__frame_slice(const qn_frame *frame, int64_t from, int64_t n, qn_frame **ret_frame,
                          qn_error *err) {
    qn_cleanup(qn_freep) qn__growing *columns = qn_new_array(qn__growing, frame->n_columns);
    if (!columns)
        return qn_error_memory(err);
    qn_status status = QN_OK;
    for (int32_t j = 0; j < frame->n_columns && status == QN_OK; j++)
        status = slice_column(&frame->columns[j], from, n, &columns[j], err);
    if (status == QN_OK)
        status = qn__growing_finish(columns, frame->n_columns, ret_frame, err);
    for (int32_t j = 0; j < frame->n_columns; j++)
        qn__growing_done(&columns[j]);
    return status;
}
