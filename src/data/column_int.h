/* column_int.h - a column that grows: what builders and readers fill. Private to src/data. */
#ifndef QN_DATA_COLUMN_INT_H
#define QN_DATA_COLUMN_INT_H

#include "data/frame.h"

typedef struct qn__recent qn__recent;

/* The bitmap is always there while a column grows; finishing drops it when nothing is missing. Rows
 * beyond n_rows are zero in the bitmap. */
typedef struct qn__growing {
    qn_column column; /* owned */
    int64_t cap_rows;
    size_t cap_bytes;   /* TEXT */
    qn__recent *recent; /* owned; CATEGORY: short texts added lately, quicker to find than in the
                           dictionary */
} qn__growing;

qn_status qn__growing_init(qn__growing *growing, const char *name, qn_type type,
                           qn_error *err) QN_MUST_USE;
void qn__growing_done(qn__growing *growing);
/* Room for n_rows more rows; their bits are zero. */
qn_status qn__growing_reserve(qn__growing *growing, int64_t n_rows, qn_error *err) QN_MUST_USE;
/* These need room to have been reserved. */
void qn__growing_null(qn__growing *growing);
void qn__growing_number(qn__growing *growing, double value);
void qn__growing_i64(qn__growing *growing, int64_t value);
/* CATEGORY and TEXT only. */
qn_status qn__growing_text(qn__growing *growing, const char *bytes, size_t n,
                           qn_error *err) QN_MUST_USE;
/* Moves n finished columns of equal length into a new frame. */
qn_status qn__growing_finish(qn__growing *growing, int32_t n, qn_frame **ret_frame,
                             qn_error *err) QN_MUST_USE;

size_t qn__type_bytes(qn_type type);
/* Bytes held, room included; quick. */
size_t qn__dict_bytes(const qn_dict *dict);
size_t qn__growing_bytes(const qn__growing *growing);
/* A new frame of rows [from, from + n). */
qn_status qn__frame_slice(const qn_frame *frame, int64_t from, int64_t n, qn_frame **ret_frame,
                          qn_error *err) QN_MUST_USE;
void qn__column_done(qn_column *column);

/* ISO 8601 date or date and time, "2020-01-31", "2020-01-31T12:30:00.5Z", "2020-01-31 12:30+02:00".
 */
bool qn__time_parse(const char *bytes, size_t n, int64_t *ret_us);
enum { QN_TIME_TEXT = 48 };
/* "2020-01-31T12:30:00", with microseconds only when there are some. */
void qn__time_format(int64_t us, char text[QN_TIME_TEXT]);

#endif
