/* csv_int.h - our own CSV reader. Private to src/data.
 *
 *   qn__input     bytes of a file, plain or decompressed
 *   qn__csv       cuts them into blocks of whole records: cells[column][row] --> bytes of the block
 *   qn__csv_column    turns the cells of one column into values, and learns its type while doing so
 *
 * One thread cuts the next block while the others turn the columns of this one into values; a
 * column is always the work of one thread, row by row, so that nothing depends on how many there
 * are. */
#ifndef QN_DATA_CSV_INT_H
#define QN_DATA_CSV_INT_H

#include <math.h>
#include <string.h>

#include "base/job.h"
#include "base/number.h"
#include "data/column_int.h"

/* Texts that one list owns. */
typedef struct qn__names {
    char **items; /* owned, each owned */
    size_t n;
} qn__names;

void qn__names_done(qn__names *names);
qn_status qn__names_add(qn__names *names, const char *text, size_t n, qn_error *err) QN_MUST_USE;

typedef struct qn__dialect {
    char delimiter[8], quote[8], escape[8]; /* quote and escape: one character or none */
    char line_end;                          /* '\n'; '\r' in files of old */
    bool header;
} qn__dialect;

/* ---- bytes ---- */

typedef struct qn__input qn__input;

/* Plain files, .gz, and .zst (through DuckDB). */
qn_status qn__input_open(const char *path, qn__input **ret_input, qn_error *err) QN_MUST_USE;
void qn__input_free(qn__input **input);
/* Up to `cap` bytes; *ret_n is 0 only at the end. */
qn_status qn__input_read(qn__input *input, char *bytes, size_t cap, size_t *ret_n,
                         qn_error *err) QN_MUST_USE;
/* Bytes of the file that were used so far. */
double qn__input_position(const qn__input *input);

/* ---- blocks of records ---- */

/* Bytes [at, at + n) of the block. The top bit of n is set while escapes are still in it. */
typedef struct qn__cell {
    uint32_t at, n;
} qn__cell;
#define QN__CELL_ESCAPED ((uint32_t)1 << 31)

typedef struct qn__csv_block {
    char *bytes;                     /* owned */
    size_t n_bytes, cap_bytes, used; /* used: bytes whose records were taken */
    qn__cell *cells;                 /* owned; column j's begin at j * cap_rows */
    int32_t n_rows;
    int64_t first_row; /* of its file, counted from 1 */
    size_t i_file;
    qn_status status; /* what came after these rows, told when they have been used */
    qn_error error;
} qn__csv_block;

typedef struct qn__csv {
    const qn__names *files;     /* borrowed */
    const char *label;          /* borrowed: names the file in messages when there is one */
    const qn__dialect *dialect; /* borrowed */
    int32_t n_columns, cap_rows;
    size_t i_file;         /* the file being read; files->n at the end */
    qn__input *input;      /* owned */
    int64_t n_file_rows;   /* of this file so far */
    double n_bytes_before; /* sizes of the files before this one */
    bool begins, skips,
        ended;        /* at the start of a file; the header is to come; no more bytes in it */
    double row_bytes; /* about; 0 when unknown */
    qn__csv_block blocks[2];
    int i_block; /* the one in use; the other is made meanwhile */
} qn__csv;

/* Nothing is read yet. The struct must not move afterwards. */
qn_status qn__csv_init(qn__csv *csv, const qn__names *files, const char *label,
                       const qn__dialect *dialect, int32_t n_columns, qn_error *err) QN_MUST_USE;
void qn__csv_done(qn__csv *csv);
/* Makes the block after the one in use. Failures are noted in the block. */
void qn__csv_prepare(qn__csv *csv);
/* Moves on to the prepared block; its n_rows is 0 at the end. */
qn_status qn__csv_advance(qn__csv *csv, qn_error *err) QN_MUST_USE;
static inline const qn__csv_block *qn__csv_current(const qn__csv *csv) {
    return &csv->blocks[csv->i_block];
}
/* The file's name for messages. */
const char *qn__csv_file(const qn__csv *csv, size_t i_file);

/* ---- cells to values ---- */

/* Which texts mean missing, quick to ask. */
typedef struct qn__missing {
    const qn__names *names; /* borrowed */
    bool first[256];        /* bytes that some of them begin with */
    size_t longest;
} qn__missing;

void qn__missing_init(qn__missing *missing, const qn__names *names);
/* Appends the texts that always mean missing, and `more`. */
qn_status qn__missing_names(const char *const *more, size_t n_more, qn__names *ret_names,
                            qn_error *err) QN_MUST_USE;

static inline bool qn__missing_has(const qn__missing *missing, const char *text, size_t n) {
    if (!n)
        return true;
    if (!missing->first[(unsigned char)*text] || n > missing->longest)
        return false;
    for (size_t i = 0; i < missing->names->n; i++)
        if (strnlen(missing->names->items[i], n + 1) == n &&
            memcmp(missing->names->items[i], text, n) == 0)
            return true;
    return false;
}

/* A cell without the spaces around it. */
static inline const char *qn__trimmed(const char *text, size_t *n) {
    while (*n && text[*n - 1] == ' ')
        --*n;
    while (*n && *text == ' ')
        text++, --*n;
    return text;
}

/* The whole number for a column that must hold such: 3.0 is one, within what a double tells apart.
 * *whole is what qn_number_parse gave, and changed for QN_NUMBER_REAL. */
static inline bool qn__number_whole(qn_number_kind kind, double real, int64_t *whole) {
    if (kind != QN_NUMBER_REAL)
        return kind != QN_NUMBER_NONE;
    if (!(trunc(real) == real && fabs(real) < 9007199254740992.0))
        return false;
    *whole = (int64_t)real;
    return true;
}
/* true, false; when `loose` also t, f, yes, no, 1, 0. Case does not matter. */
bool qn__bool_parse(const char *bytes, size_t n, bool loose, int64_t *ret_value);
/* "whole number", "number", "truth value (true or false)", "time". */
const char *qn__type_wanted(qn_type type);

enum { QN__MISFIT_BYTES = 104 };

typedef struct qn__csv_column {
    qn__growing values; /* owned; empty until a value is seen, or when not kept */
    qn_type type;       /* what it is taken for */
    bool fixed;         /* the type is given: a value that does not fit is an error */
    bool verbatim;      /* no trimming, only nothing is missing */
    bool known;         /* a value was seen, or the type is fixed */
    bool kept;          /* values are stored */
    bool incomplete;    /* taken for another type once: values must be read again */
    int64_t n_expected; /* about how many rows will come; 0 when unknown */
    int64_t n_rows, n_values, n_numbers, n_zero_led;
    int64_t n_text_bytes, n_spaces; /* of texts */
    uint8_t *sketch;                /* owned; counts distinct texts when they are not kept */
    int64_t misfit_row; /* of its file; 0 for none: the first text that is not a number */
    size_t misfit_file;
    char misfit[QN__MISFIT_BYTES];
    qn_status status;
} qn__csv_column;

void qn__csv_column_done(qn__csv_column *column);
/* Starts a column whose type is given. */
qn_status qn__csv_column_fix(qn__csv_column *column, const char *name, qn_type type,
                             qn_error *err) QN_MUST_USE;
/* Takes rows [from, to) of column i_cell of the block. Sets column->status: QN_ERR_DATA with the
 * misfit, or QN_ERR_MEMORY. */
void qn__csv_column_take(qn__csv_column *column, const char *name, const qn__missing *missing,
                         const qn__csv *csv, int32_t i_cell, int32_t from, int32_t to);
/* Forgets the values, not what was learned from them. */
qn_status qn__csv_column_drop(qn__csv_column *column, qn_error *err) QN_MUST_USE;
/* The type by all values; QN_ERR_DATA when nearly all, but not all, are numbers. Texts kept become
 * TEXT where they read like it. */
qn_status qn__csv_column_decide(qn__csv_column *column, const char *name, const qn__csv *csv,
                                qn_error *err) QN_MUST_USE;
/* The misfit, or what column->status says, as an error. */
qn_status qn__csv_column_explain(const qn__csv_column *column, const char *name, const qn__csv *csv,
                                 qn_error *err);

#endif
