#include "model/rows_json.h"

#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"

struct qn_rows_reader {
    qn_rows *rows;           /* borrowed */
    const qn_schema *inputs; /* borrowed from the model */
    qn_rows_policy policy;
    size_t *name_bytes;      /* owned; per input */
    bool plain_names;        /* all of them stand in JSON as they are */
    int32_t *table;          /* owned; open addressing: input + 1, or 0 */
    uint32_t mask;
    uint64_t *seen;          /* owned; per input: the row or table it was last seen in */
    uint64_t stamp;          /* of the present one */
    int32_t *columns;        /* owned; input of each column, -1: ignored */
    int32_t n_columns, cap_columns;
};

/* --- names ------------------------------------------------------------------------------------ */

static uint32_t place_of(const char *bytes, size_t n) {
    return (uint32_t)qn_hash64(bytes, n, 0);
}

int32_t qn_rows_reader_find(const qn_rows_reader *reader, const char *bytes, size_t n) {
    for (uint32_t at = place_of(bytes, n);; at++) {
        int32_t i = reader->table[at & reader->mask] - 1;
        if (i < 0)
            return -1;
        if (reader->name_bytes[i] == n && memcmp(reader->inputs->columns[i].name, bytes, n) == 0)
            return i;
    }
}

static bool is_plain(const char *name) {
    for (; *name; name++)
        if ((unsigned char)*name < 0x20 || *name == '"' || *name == '\\')
            return false;
    return true;
}

static void index_names(qn_rows_reader *reader) {
    for (int32_t i = 0; i < reader->inputs->n_columns; i++) {
        const char *name = reader->inputs->columns[i].name;
        reader->name_bytes[i] = strlen(name);
        reader->plain_names &= is_plain(name);
        uint32_t at = place_of(name, reader->name_bytes[i]);
        while (reader->table[at & reader->mask])
            at++;
        reader->table[at & reader->mask] = i + 1;
    }
}

qn_status qn_rows_reader_new(qn_rows *rows, const qn_schema *inputs, qn_rows_reader **ret_reader,
                             qn_error *err) {
    qn_cleanup(qn_rows_reader_free) qn_rows_reader *reader = qn_new(qn_rows_reader);
    if (!reader)
        return qn_error_memory(err);
    uint32_t n_places = 16;
    while (n_places < 2 * (uint32_t)inputs->n_columns)
        n_places *= 2;
    *reader = (qn_rows_reader){.rows = rows, .inputs = inputs, .mask = n_places - 1, .plain_names = true};
    reader->name_bytes = qn_new_array(size_t, inputs->n_columns);
    reader->table = qn_new_array(int32_t, n_places);
    reader->seen = qn_new_array(uint64_t, inputs->n_columns);
    if (!reader->name_bytes || !reader->table || !reader->seen)
        return qn_error_memory(err);
    index_names(reader);
    *ret_reader = qn_steal(&reader);
    return QN_OK;
}

void qn_rows_reader_free(qn_rows_reader **reader) {
    if (!reader || !*reader)
        return;
    qn_freep(&(*reader)->name_bytes);
    qn_freep(&(*reader)->table);
    qn_freep(&(*reader)->seen);
    qn_freep(&(*reader)->columns);
    qn_freep(reader);
}

void qn_rows_reader_set_policy(qn_rows_reader *reader, qn_rows_policy policy) {
    reader->policy = policy;
}

/* Rows are numbered from 1 for people; 0: it is about all rows. */
static qn_status refuse_extra(const qn_rows_reader *reader, int64_t row, const char *bytes,
                              size_t n, qn_error *err) {
    qn_cleanup(qn_freep) char *name = qn_strndup(bytes, n < 100 ? n : 100);
    if (!name)
        return qn_error_memory(err);
    return qn_error_set_at(err, QN_ERR_DATA, NULL, row, name,
                           "the model has no such input, and extra ones are refused");
}

static qn_status refuse_twice(const qn_rows_reader *reader, int64_t row, int32_t i_input,
                              qn_error *err) {
    return qn_error_set_at(err, QN_ERR_DATA, NULL, row, reader->inputs->columns[i_input].name,
                           "it is there twice");
}

/* What was not seen since the stamp was set, all of it in one message. */
static qn_status check_seen(const qn_rows_reader *reader, int64_t row, qn_error *err) {
    if (reader->policy.absent_is_null)
        return QN_OK;
    qn_cleanup(qn_buf_done) qn_buf names = {0};
    const char *first = NULL;
    for (int32_t i = 0; i < reader->inputs->n_columns && names.len < 512; i++) {
        if (reader->seen[i] == reader->stamp)
            continue;
        const char *name = reader->inputs->columns[i].name;
        qn_buf_printf(&names, "%s%.100s", first ? ", " : "", name);
        first = first ? first : name;
    }
    QN_TRY(qn_buf_status(&names, err));
    if (!first)
        return QN_OK;
    qn_error_set_at(err, QN_ERR_DATA, NULL, row, NULL,
                    "missing: %s (send null where a value is not known)", qn_buf_text(&names));
    if (err)
        strncpy(err->column, first, sizeof err->column - 1);
    return QN_ERR_DATA;
}

/* --- cells ------------------------------------------------------------------------------------ */

static qn_status broken(const qn_scan *scan, qn_error *err) {
    return qn_scan_error(scan, "the body", err);
}

static qn_status broken_row(const qn_scan *scan, int64_t i_row, qn_error *err) {
    return qn_scan_error_at(scan, i_row + 1, NULL, err);
}

static qn_status broken_cell(const qn_rows_reader *reader, const qn_scan *scan, int64_t i_row,
                             int32_t i_input, qn_error *err) {
    return qn_scan_error_at(scan, i_row + 1, reader->inputs->columns[i_input].name, err);
}

qn_status qn_rows_read_cell(qn_rows_reader *reader, qn_scan *scan, int64_t i_row, int32_t i_input,
                            qn_error *err) {
    qn_scan_string text;
    int64_t whole;
    double real;
    bool truth;
    switch (qn_scan_peek(scan)) {
    case '"':
        if (!qn_scan_text(scan, &text))
            return broken_cell(reader, scan, i_row, i_input, err);
        return qn_rows_set_text(reader->rows, i_row, i_input, text.bytes, text.n, err);
    case 't':
    case 'f':
        if (!qn_scan_bool(scan, &truth))
            return broken_cell(reader, scan, i_row, i_input, err);
        return qn_rows_set_bool(reader->rows, i_row, i_input, truth, err);
    case 'n':
        if (!qn_scan_null(scan))
            break;
        qn_rows_set_missing(reader->rows, i_row, i_input);
        return QN_OK;
    case '{':
    case '[':
        return qn_error_set_at(err, QN_ERR_DATA, NULL, i_row + 1,
                               reader->inputs->columns[i_input].name,
                               "a list or an object where a value should be");
    default:
        break;
    }
    switch (qn_scan_number(scan, &whole, &real)) {
    case QN_NUMBER_WHOLE:
        return qn_rows_set_i64(reader->rows, i_row, i_input, whole, err);
    case QN_NUMBER_REAL:
        return qn_rows_set_number(reader->rows, i_row, i_input, real, err);
    default:
        return broken_cell(reader, scan, i_row, i_input, err);
    }
}

static qn_status read_or_skip(qn_rows_reader *reader, qn_scan *scan, int64_t i_row, int32_t i_input,
                              qn_error *err) {
    if (i_input >= 0)
        return qn_rows_read_cell(reader, scan, i_row, i_input, err);
    return qn_scan_skip(scan) ? QN_OK : broken_row(scan, i_row, err);
}

/* --- rows by name ----------------------------------------------------------------------------- */

/* Moves to the next member; *ret_input is -1 for one that the model does not have. Most rows name
 * the inputs in the same order, so that the one after the last is tried first. */
static inline bool next_member(const qn_rows_reader *reader, qn_scan *scan, bool *first,
                               int32_t expected, int32_t *ret_input, qn_scan_string *ret_key) {
    if (expected < reader->inputs->n_columns && reader->plain_names
        && qn_scan_member_is(scan, first, reader->inputs->columns[expected].name,
                             reader->name_bytes[expected])) {
        *ret_input = expected;
        return true;
    }
    if (!qn_scan_member(scan, first, ret_key))
        return false;
    *ret_input = qn_rows_reader_find(reader, ret_key->bytes, ret_key->n);
    return true;
}

qn_status qn_rows_read_object(qn_rows_reader *reader, qn_scan *scan, qn_error *err) {
    int64_t i_row = qn_rows_count(reader->rows);
    QN_TRY(qn_rows_add(reader->rows, 1, err));
    int32_t n_seen = 0, expected = 0, i;
    bool first = true;
    qn_scan_string key;
    double *numbers = qn_rows_numbers(reader->rows, i_row);
    reader->stamp++;
    if (!qn_scan_open(scan, '{'))
        return broken_row(scan, i_row, err);
    while (next_member(reader, scan, &first, expected, &i, &key)) {
        if (i >= 0) {
            if (reader->seen[i] == reader->stamp)
                return refuse_twice(reader, i_row + 1, i, err);
            n_seen++;
            reader->seen[i] = reader->stamp;
            expected = i + 1;
            if (numbers && qn_scan_short_number(scan, &numbers[i]))
                continue;
        } else if (reader->policy.refuse_extra) {
            return refuse_extra(reader, i_row + 1, key.bytes, key.n, err);
        }
        QN_TRY(read_or_skip(reader, scan, i_row, i, err));
    }
    if (scan->problem)
        return broken_row(scan, i_row, err);
    return n_seen == reader->inputs->n_columns ? QN_OK : check_seen(reader, i_row + 1, err);
}

/* --- tables ----------------------------------------------------------------------------------- */

qn_status qn_rows_columns_begin(qn_rows_reader *reader, qn_error *err) {
    (void)err;
    reader->n_columns = 0;
    reader->stamp++;
    return QN_OK;
}

static qn_status add_column(qn_rows_reader *reader, int32_t i_input, qn_error *err) {
    QN_FAIL_IF(reader->n_columns >= QN_LIMIT_COLUMNS, err, QN_ERR_LIMIT,
               "a table has at most %d columns", QN_LIMIT_COLUMNS);
    if (reader->n_columns == reader->cap_columns) {
        int32_t cap = reader->cap_columns ? 2 * reader->cap_columns : 32;
        int32_t *larger = qn_realloc(reader->columns, (size_t)cap, sizeof *larger);
        if (!larger)
            return qn_error_memory(err);
        reader->columns = larger;
        reader->cap_columns = cap;
    }
    reader->columns[reader->n_columns++] = i_input;
    return QN_OK;
}

qn_status qn_rows_columns_add(qn_rows_reader *reader, const char *bytes, size_t n, qn_error *err) {
    int32_t i = qn_rows_reader_find(reader, bytes, n);
    if (i < 0 && reader->policy.refuse_extra)
        return refuse_extra(reader, 0, bytes, n, err);
    if (i >= 0) {
        if (reader->seen[i] == reader->stamp)
            return refuse_twice(reader, 0, i, err);
        reader->seen[i] = reader->stamp;
    }
    return add_column(reader, i, err);
}

qn_status qn_rows_columns_end(qn_rows_reader *reader, qn_error *err) {
    return check_seen(reader, 0, err);
}

qn_status qn_rows_columns_all(qn_rows_reader *reader, qn_error *err) {
    reader->n_columns = 0;
    for (int32_t i = 0; i < reader->inputs->n_columns; i++)
        QN_TRY(add_column(reader, i, err));
    return QN_OK;
}

int32_t qn_rows_columns_count(const qn_rows_reader *reader) {
    return reader->n_columns;
}

int32_t qn_rows_columns_input(const qn_rows_reader *reader, int32_t i_column) {
    return reader->columns[i_column];
}

static qn_status wrong_width(const qn_rows_reader *reader, int64_t i_row, const char *has,
                             qn_error *err) {
    return qn_error_set_at(err, QN_ERR_DATA, NULL, i_row + 1, NULL,
                           "it has %s values than the %d columns", has, reader->n_columns);
}

/* One row as a list. */
static qn_status read_values(qn_rows_reader *reader, qn_scan *scan, qn_error *err) {
    int64_t i_row = qn_rows_count(reader->rows);
    QN_TRY(qn_rows_add(reader->rows, 1, err));
    int32_t i_column = 0;
    bool first = true;
    if (!qn_scan_open(scan, '['))
        return broken_row(scan, i_row, err);
    for (; qn_scan_item(scan, &first); i_column++) {
        if (i_column == reader->n_columns)
            return wrong_width(reader, i_row, "more", err);
        QN_TRY(read_or_skip(reader, scan, i_row, reader->columns[i_column], err));
    }
    if (scan->problem)
        return broken_row(scan, i_row, err);
    return i_column == reader->n_columns ? QN_OK : wrong_width(reader, i_row, "fewer", err);
}

static qn_status read_bare(qn_rows_reader *reader, qn_scan *scan, qn_error *err) {
    int64_t i_row = qn_rows_count(reader->rows);
    if (qn_scan_peek(scan) == '\0') {
        (void)qn_scan_fail(scan, "the end, where a value should be");
        return broken_row(scan, i_row, err);
    }
    if (reader->n_columns != 1)
        return qn_error_set_at(err, QN_ERR_DATA, NULL, i_row + 1, NULL,
                               "a single value, but the model has %d inputs: send an object by "
                               "name, or a list", reader->inputs->n_columns);
    QN_TRY(qn_rows_add(reader->rows, 1, err));
    return read_or_skip(reader, scan, i_row, reader->columns[0], err);
}

qn_status qn_rows_read_row(qn_rows_reader *reader, qn_scan *scan, qn_error *err) {
    switch (qn_scan_peek(scan)) {
    case '{':
        return qn_rows_read_object(reader, scan, err);
    case '[':
        return read_values(reader, scan, err);
    default:
        return scan->problem ? broken(scan, err) : read_bare(reader, scan, err);
    }
}

qn_status qn_rows_read_list(qn_rows_reader *reader, qn_scan *scan, qn_error *err) {
    bool first = true;
    if (!qn_scan_open(scan, '['))
        return broken(scan, err);
    while (qn_scan_item(scan, &first))
        QN_TRY(qn_rows_read_row(reader, scan, err));
    return scan->problem ? broken(scan, err) : QN_OK;
}

static qn_status read_column(qn_rows_reader *reader, qn_scan *scan, int32_t i_input, bool is_first,
                             qn_error *err) {
    const char *name = reader->inputs->columns[i_input].name;
    int64_t i_row = 0;
    bool first = true;
    if (!qn_scan_open(scan, '['))
        return qn_error_set_at(err, QN_ERR_DATA, NULL, 0, name, "a list of values is expected");
    for (; qn_scan_item(scan, &first); i_row++) {
        if (is_first)
            QN_TRY(qn_rows_add(reader->rows, 1, err));
        if (i_row >= qn_rows_count(reader->rows))
            break;
        /* A column of lists of one value each, as tensors of shape [n, 1] are written. */
        bool inner = true, nested = qn_scan_peek(scan) == '[';
        if (nested && (!qn_scan_open(scan, '[') || !qn_scan_item(scan, &inner)))
            break;
        QN_TRY(qn_rows_read_cell(reader, scan, i_row, i_input, err));
        if (nested && qn_scan_item(scan, &inner))
            return qn_error_set_at(err, QN_ERR_DATA, NULL, i_row + 1, name,
                                   "a list of several values where one should be");
    }
    if (scan->problem)
        return broken(scan, err);
    if (i_row != qn_rows_count(reader->rows) || scan->at[-1] != ']')
        return qn_error_set_at(err, QN_ERR_DATA, NULL, 0, name,
                               "its length is not that of the first column, %lld",
                               (long long)qn_rows_count(reader->rows));
    return QN_OK;
}

qn_status qn_rows_read_columns(qn_rows_reader *reader, qn_scan *scan, qn_error *err) {
    bool first = true, is_first = true;
    qn_scan_string key;
    QN_FAIL_IF(qn_rows_count(reader->rows) > 0, err, QN_ERR_INTERNAL, "columns behind rows");
    QN_TRY(qn_rows_columns_begin(reader, err));
    if (!qn_scan_open(scan, '{'))
        return broken(scan, err);
    while (qn_scan_member(scan, &first, &key)) {
        QN_TRY(qn_rows_columns_add(reader, key.bytes, key.n, err));
        int32_t i = reader->columns[reader->n_columns - 1];
        if (i < 0) {
            if (!qn_scan_skip(scan))
                break;
            continue;
        }
        QN_TRY(read_column(reader, scan, i, is_first, err));
        is_first = false;
    }
    if (scan->problem)
        return broken(scan, err);
    return qn_rows_columns_end(reader, err);
}

static qn_status read_names(qn_rows_reader *reader, qn_scan *scan, qn_error *err) {
    bool first = true;
    QN_TRY(qn_rows_columns_begin(reader, err));
    if (!qn_scan_open(scan, '['))
        return broken(scan, err);
    while (qn_scan_item(scan, &first)) {
        qn_scan_string name;
        if (!qn_scan_text(scan, &name))
            break;
        QN_TRY(qn_rows_columns_add(reader, name.bytes, name.n, err));
    }
    if (scan->problem)
        return broken(scan, err);
    return qn_rows_columns_end(reader, err);
}

/* The rows can only be read once the columns are known: where they come first they are passed over
 * and read afterwards. */
qn_status qn_rows_read_split(qn_rows_reader *reader, qn_scan *scan, qn_error *err) {
    bool first = true, has_columns = false, has_data = false;
    const char *behind = NULL;
    qn_scan_string key;
    if (!qn_scan_open(scan, '{'))
        return broken(scan, err);
    while (qn_scan_member(scan, &first, &key)) {
        if (key.n == 7 && memcmp(key.bytes, "columns", 7) == 0 && !has_columns) {
            QN_TRY(read_names(reader, scan, err));
            has_columns = true;
        } else if (key.n == 4 && memcmp(key.bytes, "data", 4) == 0 && !has_data) {
            has_data = true;
            if (has_columns) {
                QN_TRY(qn_rows_read_list(reader, scan, err));
                continue;
            }
            behind = scan->at;
            if (!qn_scan_skip(scan))
                break;
        } else if (!qn_scan_skip(scan)) {
            break;
        }
    }
    if (scan->problem)
        return broken(scan, err);
    QN_FAIL_IF(!has_columns || !has_data, err, QN_ERR_DATA,
               "a table in split form needs both \"columns\" and \"data\"");
    if (behind) {
        const char *end = scan->at;
        scan->at = behind;
        QN_TRY(qn_rows_read_list(reader, scan, err));
        scan->at = end;
    }
    return QN_OK;
}
