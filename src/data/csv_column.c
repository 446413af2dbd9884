/* The cells of one column become values. A column is taken for the narrowest type that its values
 * so far allow - whole number, number, truth value, time - and gives way to the next when one does
 * not fit; what cannot be told from the values kept (the text "1.50" of a number) is read again in
 * a second pass. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "data/csv_int.h"

enum { SKETCH_BITS = 12, SKETCH_BYTES = 1 << SKETCH_BITS };

/* One call of qn__csv_column_take. */
typedef struct taking {
    qn__csv_column *column;
    const char *name;
    const qn__missing *missing;
    const qn__csv_block *block;
    qn__cell *cells;
    char quote, escape;
} taking;

void qn__csv_column_done(qn__csv_column *column) {
    qn__growing_done(&column->values);
    qn_freep(&column->sketch);
}

qn_status qn__csv_column_fix(qn__csv_column *column, const char *name, qn_type type,
                             qn_error *err) {
    column->type = type;
    column->fixed = column->known = column->kept = true;
    return qn__growing_init(&column->values, name, type, err);
}

/* ---- text of a cell ---- */

static void unescape(const taking *t, qn__cell *cell) {
    char *const begin = t->block->bytes + cell->at, *to = begin;
    const char *from = begin, *end = begin + (cell->n & ~QN__CELL_ESCAPED);
    while (from < end) {
        if (*from == t->escape && from + 1 < end && (t->escape != t->quote || from[1] == t->quote))
            from++;
        *to++ = *from++;
    }
    cell->n = (uint32_t)(to - begin);
}

static inline const char *cell_text(const taking *t, int32_t i, size_t *ret_bytes) {
    qn__cell *cell = &t->cells[i];
    if (cell->n & QN__CELL_ESCAPED)
        unescape(t, cell);
    *ret_bytes = cell->n;
    return qn__trimmed(t->block->bytes + cell->at, ret_bytes);
}

static bool is_utf8(const char *text, size_t n) {
    uint64_t high = 0, word;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, text + i, 8);
        high |= word | ((word - UINT64_C(0x0101010101010101)) & ~word); /* not ASCII, or a NUL */
    }
    for (; i < n; i++)
        high |= (unsigned char)text[i] >= 0x80 || !text[i] ? 0x80 : 0;
    return !(high & UINT64_C(0x8080808080808080)) || qn_text_is_utf8(text, n);
}

/* ---- values into the column ---- */

static inline int64_t next_row(qn_column *column) {
    const int64_t i = column->n_rows++;
    column->valid[i >> 6] |= (uint64_t)1 << (i & 63);
    return i;
}

static inline void put_null(qn__csv_column *column) {
    column->n_rows++;
    if (column->kept && column->known)
        qn__growing_null(&column->values);
}

/* The text of a cell, or NULL when it says that the value is missing, and is taken as that. */
static inline const char *value_text(const taking *t, int32_t i, size_t *ret_bytes) {
    const char *text = cell_text(t, i, ret_bytes);
    if (!qn__missing_has(t->missing, text, *ret_bytes))
        return text;
    put_null(t->column);
    return NULL;
}

static inline void put_whole(qn__csv_column *column, int64_t value) {
    column->n_rows++;
    column->n_values++;
    if (column->kept)
        column->values.column.i64[next_row(&column->values.column)] = value;
}

static inline void put_real(qn__csv_column *column, double value) {
    if (value != value) {
        put_null(column);
        return;
    }
    column->n_rows++;
    column->n_values++;
    if (column->kept)
        column->values.column.f64[next_row(&column->values.column)] = value;
}

static void note_misfit(const taking *t, int32_t i, const char *text, size_t n) {
    qn__csv_column *column = t->column;
    column->misfit_row = t->block->first_row + i;
    column->misfit_file = t->block->i_file;
    if (n >= QN__MISFIT_BYTES)
        n = QN__MISFIT_BYTES - 1;
    memcpy(column->misfit, text, n);
    column->misfit[n] = '\0';
}

static void refuse(const taking *t, int32_t i, const char *text, size_t n, qn_status status) {
    note_misfit(t, i, text, n);
    t->column->status = status;
}

/* ---- changes of type ---- */

static void need_sketch(qn__csv_column *column) {
    if (!column->sketch && !(column->sketch = qn_calloc(SKETCH_BYTES, 1)))
        column->status = QN_ERR_MEMORY;
}

/* Room for all the rows expected is made at once. */
static int64_t more(const qn__csv_column *column, int64_t n) {
    return column->n_expected - column->values.column.n_rows > n
               ? column->n_expected - column->values.column.n_rows
               : n;
}

/* The first value tells the type; the rows before it are missing. */
static void begin_type(const taking *t, qn_type type, int64_t n_more) {
    qn__csv_column *column = t->column;
    column->type = type;
    column->known = true;
    if (!column->kept && type == QN_TYPE_CATEGORY)
        need_sketch(column);
    if (!column->kept)
        return;
    column->status = qn__growing_init(&column->values, t->name, type, NULL);
    if (column->status == QN_OK)
        column->status =
            qn__growing_reserve(&column->values, more(column, column->n_rows + n_more), NULL);
    for (int64_t i = 0; column->status == QN_OK && i < column->n_rows; i++)
        qn__growing_null(&column->values);
}

static void become_real(qn__csv_column *column) {
    qn_column *values = &column->values.column;
    column->type = QN_TYPE_F64;
    if (!column->kept)
        return;
    for (int64_t i = 0; i < values->n_rows; i++)
        values->f64[i] = (double)values->i64[i];
    values->type = QN_TYPE_F64;
}

static void become_category(qn__csv_column *column) {
    column->type = QN_TYPE_CATEGORY;
    column->incomplete = true;
    column->kept = false;
    qn__growing_done(&column->values);
    need_sketch(column);
}

/* ---- one type each: rows from i on, until one does not fit; returns its number ---- */

static int32_t take_wholes(const taking *t, int32_t i, int32_t to) {
    qn__csv_column *column = t->column;
    for (; i < to; i++) {
        size_t n;
        int64_t whole;
        double real;
        const char *text = value_text(t, i, &n);
        if (!text)
            continue;
        const qn_number_kind kind = qn_number_parse(text, n, &whole, &real);
        if (kind == QN_NUMBER_WHOLE || (kind == QN_NUMBER_ZERO_LED && column->fixed)) {
            put_whole(column, whole);
            column->n_numbers++;
        } else if (kind == QN_NUMBER_REAL && real != real) {
            put_null(column);
        } else if (column->fixed) {
            if (!qn__number_whole(kind, real, &whole)) {
                refuse(t, i, text, n, QN_ERR_DATA);
                return i;
            }
            put_whole(column, whole);
        } else {
            if (kind == QN_NUMBER_REAL)
                become_real(column);
            else
                become_category(column);
            return i;
        }
    }
    return i;
}

static int32_t take_reals(const taking *t, int32_t i, int32_t to) {
    qn__csv_column *column = t->column;
    for (; i < to; i++) {
        size_t n;
        int64_t whole;
        double real;
        const char *text = value_text(t, i, &n);
        if (!text)
            continue;
        const qn_number_kind kind = qn_number_parse(text, n, &whole, &real);
        if (kind == QN_NUMBER_NONE || (kind == QN_NUMBER_ZERO_LED && !column->fixed)) {
            if (column->fixed)
                refuse(t, i, text, n, QN_ERR_DATA);
            else
                become_category(column);
            return i;
        }
        put_real(column, real);
        column->n_numbers++;
    }
    return i;
}

/* BOOL and TIME. */
static int32_t take_others(const taking *t, int32_t i, int32_t to) {
    qn__csv_column *column = t->column;
    for (; i < to; i++) {
        size_t n;
        int64_t value;
        const char *text = value_text(t, i, &n);
        if (!text)
            continue;
        const bool fits = column->type == QN_TYPE_BOOL
                              ? qn__bool_parse(text, n, column->fixed, &value)
                              : qn__time_parse(text, n, &value);
        if (!fits) {
            if (column->fixed)
                refuse(t, i, text, n, QN_ERR_DATA);
            else
                become_category(column);
            return i;
        }
        column->n_rows++;
        column->n_values++;
        if (column->kept)
            qn__growing_i64(&column->values, value);
    }
    return i;
}

static void sketch_text(qn__csv_column *column, const char *text, size_t n) {
    const uint64_t hash = qn_hash64(text, n, 0);
    const uint8_t rank = (uint8_t)(__builtin_clzll(hash << SKETCH_BITS | 1) + 1);
    uint8_t *cell = &column->sketch[hash >> (64 - SKETCH_BITS)];
    if (rank > *cell)
        *cell = rank;
}

static int64_t count_spaces(const char *text, size_t n) {
    int64_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += text[i] == ' ';
    return count;
}

/* How much of a column of texts is numbers after all. */
static inline void look_at_text(const taking *t, int32_t i, const char *text, size_t n) {
    qn__csv_column *column = t->column;
    int64_t whole;
    double real;
    qn_number_kind kind = QN_NUMBER_NONE;
    if ((*text >= '0' && *text <= '9') || *text == '-' || *text == '+' || *text == '.')
        kind = qn_number_parse(text, n, &whole, &real);
    column->n_numbers += kind != QN_NUMBER_NONE;
    column->n_zero_led += kind == QN_NUMBER_ZERO_LED;
    if (kind == QN_NUMBER_NONE && !column->misfit_row)
        note_misfit(t, i, text, n);
    if (!column->kept) {
        sketch_text(column, text, n);
        column->n_text_bytes += (int64_t)n;
        column->n_spaces += count_spaces(text, n);
    }
}

static int32_t take_texts(const taking *t, int32_t i, int32_t to) {
    qn__csv_column *column = t->column;
    qn_dict *dict =
        column->kept && column->type == QN_TYPE_CATEGORY ? column->values.column.dict : NULL;
    for (; i < to; i++) {
        size_t n;
        const char *text = cell_text(t, i, &n);
        if (column->verbatim) {
            text = t->block->bytes + t->cells[i].at;
            n = t->cells[i].n;
        }
        if (column->verbatim ? !n : qn__missing_has(t->missing, text, n)) {
            put_null(column);
            continue;
        }
        column->n_rows++;
        column->n_values++;
        if (!column->fixed)
            look_at_text(t, i, text, n);
        const int32_t n_before = qn_dict_size(dict);
        if (column->kept &&
            (column->status = qn__growing_text(&column->values, text, n, NULL)) != QN_OK)
            return i;
        /* a text that the dictionary had was checked when it came */
        if (column->kept && (!dict || qn_dict_size(dict) != n_before) && !is_utf8(text, n)) {
            refuse(t, i, "", 0, QN_ERR_FORMAT);
            return i;
        }
    }
    return i;
}

static int32_t take_unknown(const taking *t, int32_t i, int32_t to) {
    qn__csv_column *column = t->column;
    for (; i < to; i++) {
        size_t n;
        int64_t whole;
        double real;
        const char *text = value_text(t, i, &n);
        if (!text)
            continue;
        const qn_number_kind kind = qn_number_parse(text, n, &whole, &real);
        if (kind == QN_NUMBER_REAL && real != real) {
            put_null(column);
            continue;
        }
        begin_type(t,
                   kind == QN_NUMBER_WHOLE                        ? QN_TYPE_I64
                   : kind == QN_NUMBER_REAL                       ? QN_TYPE_F64
                   : qn__bool_parse(text, n, false, &whole) ? QN_TYPE_BOOL
                   : qn__time_parse(text, n, &whole)        ? QN_TYPE_TIME
                                                            : QN_TYPE_CATEGORY,
                   to - i);
        break;
    }
    return i;
}

void qn__csv_column_take(qn__csv_column *column, const char *name, const qn__missing *missing,
                         const qn__csv *csv, int32_t i_cell, int32_t from, int32_t to) {
    const qn__csv_block *block = qn__csv_current(csv);
    const taking t = {.column = column,
                      .name = name,
                      .missing = missing,
                      .block = block,
                      .cells = block->cells + (size_t)i_cell * (size_t)csv->cap_rows,
                      .quote = csv->dialect->quote[0],
                      .escape = csv->dialect->escape[0]};
    if (column->status == QN_OK && column->kept && column->known)
        column->status = qn__growing_reserve(&column->values, more(column, to - from), NULL);
    while (from < to && column->status == QN_OK) {
        if (!column->known)
            from = take_unknown(&t, from, to);
        else if (column->type == QN_TYPE_I64)
            from = take_wholes(&t, from, to);
        else if (column->type == QN_TYPE_F64)
            from = take_reals(&t, from, to);
        else if (column->type == QN_TYPE_CATEGORY || column->type == QN_TYPE_TEXT)
            from = take_texts(&t, from, to);
        else
            from = take_others(&t, from, to);
    }
}

/* ---- what was learned ---- */

/* Kept texts are counted when asked for, from their dictionary. */
static qn_status count_texts(qn__csv_column *column, qn_error *err) {
    const qn_column *values = &column->values.column;
    const int32_t size = qn_dict_size(values->dict);
    need_sketch(column);
    qn_cleanup(qn_freep) int64_t *spaces = qn_new_array(int64_t, size);
    if (!column->sketch || !spaces)
        return qn_error_memory(err);
    for (int32_t code = 0; code < size; code++) {
        size_t n = 0;
        const char *text = qn_dict_text(values->dict, code, &n);
        sketch_text(column, text, n);
        spaces[code] = count_spaces(text, n);
    }
    for (int64_t i = 0; i < values->n_rows; i++) {
        size_t n = 0;
        if (!qn_column_text(values, i, &n))
            continue;
        column->n_text_bytes += (int64_t)n;
        column->n_spaces += spaces[values->code[i]];
    }
    return QN_OK;
}

/* HyperLogLog (Flajolet, Fusy, Gandouet, Meunier 2007), with linear counting when few. */
static double sketch_estimate(const qn__csv_column *column) {
    double sum = 0;
    int n_empty = 0;
    for (int i = 0; i < SKETCH_BYTES; i++) {
        sum += ldexp(1, -column->sketch[i]);
        n_empty += !column->sketch[i];
    }
    const double m = SKETCH_BYTES, estimate = 0.7213 / (1 + 1.079 / m) * m * m / sum;
    return estimate <= 2.5 * m && n_empty ? m * log(m / n_empty) : estimate;
}

/* Long or wordy and mostly different: text to be read rather than names to be counted. */
static bool looks_like_free_text(const qn__csv_column *column) {
    const double n = (double)column->n_values;
    const double mean_bytes = (double)column->n_text_bytes / n,
                 words = 1 + (double)column->n_spaces / n;
    return n >= 20 && (mean_bytes > 40 || words >= 4) && sketch_estimate(column) > 0.3 * n;
}

static qn_status category_to_text(qn__csv_column *column, const char *name, qn_error *err) {
    const qn_column *from = &column->values.column;
    qn__growing to = {0};
    qn_status status = qn__growing_init(&to, name, QN_TYPE_TEXT, err);
    if (status == QN_OK)
        status = qn__growing_reserve(&to, from->n_rows, err);
    for (int64_t i = 0; status == QN_OK && i < from->n_rows; i++) {
        size_t n = 0;
        const char *text = qn_column_text(from, i, &n);
        if (text)
            status = qn__growing_text(&to, text, n, err);
        else
            qn__growing_null(&to);
    }
    if (status != QN_OK) {
        qn__growing_done(&to);
        return status;
    }
    qn__growing_done(&column->values);
    column->values = to;
    return QN_OK;
}

qn_status qn__csv_column_drop(qn__csv_column *column, qn_error *err) {
    if (!column->kept)
        return QN_OK;
    if (column->known && column->type == QN_TYPE_CATEGORY)
        QN_TRY(count_texts(column, err));
    column->kept = false;
    qn__growing_done(&column->values);
    return QN_OK;
}

qn_status qn__csv_column_explain(const qn__csv_column *column, const char *name, const qn__csv *csv,
                                 qn_error *err) {
    const char *file = qn__csv_file(csv, column->misfit_file);
    if (column->status == QN_ERR_MEMORY)
        return qn_error_memory(err);
    if (column->status == QN_ERR_FORMAT)
        return qn_error_set_at(err, QN_ERR_DATA, file, column->misfit_row, NULL,
                               "the text is not UTF-8; save the file in the encoding UTF-8");
    const qn_type type = column->fixed ? column->type : QN_TYPE_F64;
    return qn_error_set_at(
        err, QN_ERR_DATA, file, column->misfit_row, name,
        "'%s' is not a %s; list it under data.missing, or declare the column's type under "
        "data.types",
        column->misfit, qn__type_wanted(type));
}

qn_status qn__csv_column_decide(qn__csv_column *column, const char *name, const qn__csv *csv,
                                qn_error *err) {
    if (column->fixed)
        return QN_OK;
    if (!column->known) {
        const taking t = {.column = column, .name = name};
        begin_type(&t, QN_TYPE_CATEGORY, 0);
        return column->status == QN_OK ? QN_OK : qn_error_memory(err);
    }
    if (column->type != QN_TYPE_CATEGORY)
        return QN_OK;
    if (!column->n_zero_led && column->n_numbers &&
        (double)column->n_numbers >= 0.95 * (double)column->n_values)
        return qn__csv_column_explain(column, name, csv, err);
    if (column->kept)
        QN_TRY(count_texts(column, err));
    if (!looks_like_free_text(column))
        return QN_OK;
    column->type = QN_TYPE_TEXT;
    return column->kept ? category_to_text(column, name, err) : QN_OK;
}
