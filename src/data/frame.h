/* frame.h - a table in memory: typed columns with validity bitmaps and dictionaries.
 *
 *   qn_frame
 *     columns[i] --> qn_column { name, type, valid bitmap, values }
 *                      CATEGORY: code[] --> dict (distinct texts)
 *                      TEXT:     offset[] --> bytes
 *
 * Every array is 64-byte aligned. A column owns its arrays unless said otherwise. Frames are filled
 * from DuckDB chunks (data/source.h), from row builders (below), and from Arrow (later). A frame is
 * read-only once built; any number of threads may read it. */
#ifndef QN_DATA_FRAME_H
#define QN_DATA_FRAME_H

#include "base/error.h"
#include "base/hash.h"

/* How the values of a qn_type (quern.h) are stored:
 *   BOOL      uint8_t 0 or 1
 *   I64       int64_t
 *   F64       double; never NaN (a NaN read from a source is missing); may be infinite
 *   CATEGORY  int32_t code into dict
 *   TEXT      free text: bytes[offset[i] .. offset[i + 1])
 *   TIME      int64_t microseconds since 1970-01-01 UTC */

/* The inverse of qn_type_name; also takes "int", "float", "double", "string", "date", "timestamp". */
bool qn_type_from_name(const char *name, qn_type *ret_type) QN_MUST_USE;

/* Distinct texts, numbered in order of first addition, with a hash index. UTF-8, may be empty. */
typedef struct qn_dict qn_dict;

qn_dict *qn_dict_new(void) QN_MUST_USE;
void qn_dict_free(qn_dict **dict);
int32_t qn_dict_size(const qn_dict *dict);
/* The text of a code; *ret_bytes its length; NUL-terminated; valid until the next qn_dict_add. */
const char *qn_dict_text(const qn_dict *dict, int32_t code, size_t *ret_bytes);
/* Its code, or -1 when it is not there. */
int32_t qn_dict_find(const qn_dict *dict, const char *bytes, size_t n);
/* Its code, added when new; -1 when memory is short or there are 2^31 - 1 already. */
int32_t qn_dict_add(qn_dict *dict, const char *bytes, size_t n);

typedef struct qn_column {
    char *name;        /* owned */
    qn_type type;
    int64_t n_rows;
    int64_t n_null;
    uint64_t *valid;   /* owned; bit i of word i/64 set: row i is there. NULL when n_null is 0 */
    union {            /* owned; the value of a missing row is 0 (code -1), never garbage */
        uint8_t *b;
        int64_t *i64;
        double *f64;
        int32_t *code;
        int64_t *time_us;
        int64_t *offset; /* n_rows + 1 */
    };
    char *bytes;       /* owned; TEXT only */
    qn_dict *dict;     /* owned; CATEGORY only */
} qn_column;

typedef struct qn_frame {
    int64_t n_rows;
    int32_t n_columns;
    qn_column *columns; /* owned */
} qn_frame;

static inline bool qn_column_is_valid(const qn_column *column, int64_t i_row) {
    return !column->valid || (column->valid[i_row >> 6] >> (i_row & 63) & 1);
}

/* BOOL, I64, F64 and TIME as a double (TIME in microseconds); NaN when missing. Not for the
 * others. */
double qn_column_number(const qn_column *column, int64_t i_row);
/* CATEGORY and TEXT: the text, NULL when missing; not NUL-terminated for TEXT. */
const char *qn_column_text(const qn_column *column, int64_t i_row, size_t *ret_bytes);
/* Any value as text for people and CSV: "" when missing, times as ISO 8601. Appends to `out`. */
struct qn_buf;
void qn_column_format(const qn_column *column, int64_t i_row, struct qn_buf *out);

void qn_frame_free(qn_frame **frame);
/* Index of a column, or -1. */
int32_t qn_frame_find(const qn_frame *frame, const char *name);
/* The column, or QN_ERR_NOT_FOUND with the nearest name. Borrowed. */
qn_status qn_frame_get(const qn_frame *frame, const char *name, const qn_column **ret_column,
                       qn_error *err) QN_MUST_USE;
/* A new frame of the given rows in the given order (rows may repeat). Dictionaries are copied
 * whole. */
qn_status qn_frame_take(const qn_frame *frame, const int64_t *rows, int64_t n_rows,
                        qn_frame **ret_frame, qn_error *err) QN_MUST_USE;
/* Content hash of names, types and values: equal for equal tables, whatever file they came from and
 * whatever order their dictionaries have. */
qn_status qn_frame_digest(const qn_frame *frame, char ret_text[QN_DIGEST_TEXT],
                          qn_error *err) QN_MUST_USE;
/* Bytes held by the frame. */
size_t qn_frame_bytes(const qn_frame *frame);

/* Building frames by hand: declare columns, append rows value by value, finish. For tests, requests
 * and JSON. Every append function adds one row to its column; finishing checks that all columns
 * have the same number of rows. Text that a column cannot hold is QN_ERR_DATA naming row and
 * column. */
typedef struct qn_frame_builder qn_frame_builder;

qn_status qn_frame_builder_new(qn_frame_builder **ret_builder, qn_error *err) QN_MUST_USE;
void qn_frame_builder_free(qn_frame_builder **builder);
qn_status qn_frame_builder_add_column(qn_frame_builder *builder, const char *name, qn_type type,
                                      qn_error *err) QN_MUST_USE;
qn_status qn_frame_builder_null(qn_frame_builder *builder, int32_t i_column, qn_error *err)
    QN_MUST_USE;
/* BOOL, I64, F64 and TIME take a number (F64: NaN is missing). */
qn_status qn_frame_builder_number(qn_frame_builder *builder, int32_t i_column, double value,
                                  qn_error *err) QN_MUST_USE;
qn_status qn_frame_builder_i64(qn_frame_builder *builder, int32_t i_column, int64_t value,
                               qn_error *err) QN_MUST_USE;
/* CATEGORY and TEXT take UTF-8; other types parse it. */
qn_status qn_frame_builder_text(qn_frame_builder *builder, int32_t i_column, const char *bytes,
                                size_t n, qn_error *err) QN_MUST_USE;
/* Takes the frame out; the builder is then empty. */
qn_status qn_frame_builder_finish(qn_frame_builder *builder, qn_frame **ret_frame,
                                  qn_error *err) QN_MUST_USE;

/* Names and types of a table: what a model asks of its input. */
typedef struct qn_schema_column {
    char *name; /* owned */
    qn_type type;
} qn_schema_column;

typedef struct qn_schema {
    int32_t n_columns;
    qn_schema_column *columns; /* owned */
} qn_schema;

void qn_schema_done(qn_schema *schema);
/* One more column, in `columns`, which must have room for it; the name is copied. */
qn_status qn_schema_add(qn_schema *schema, const char *name, qn_type type, qn_error *err)
    QN_MUST_USE;
qn_status qn_schema_of_frame(const qn_frame *frame, qn_schema *ret_schema, qn_error *err)
    QN_MUST_USE;

#endif
