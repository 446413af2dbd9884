/* cell.h - what the text of one cell means for a column whose type is known. These are the rules by
 * which `quern predict` reads a CSV file, for those who get cells one at a time: requests, the C
 * API.
 *
 *     qn_cell cell;
 *     switch (qn_cell_read(rules, QN_TYPE_F64, " 41.5", 5, &cell)) {
 *     case QN_CELL_VALUE: use(cell.f64); break; ... */
#ifndef QN_DATA_CELL_H
#define QN_DATA_CELL_H

#include "data/frame.h"

/* Which texts mean missing. Immutable, thread-safe. */
typedef struct qn_cell_rules qn_cell_rules;

/* Beside nothing, "?", "NA" and its kin, the given texts (copied). */
qn_status qn_cell_rules_new(const char *const *missing, size_t n_missing,
                            qn_cell_rules **ret_rules, qn_error *err) QN_MUST_USE;
void qn_cell_rules_free(qn_cell_rules **rules);

typedef enum qn_cell_kind {
    QN_CELL_VALUE,
    QN_CELL_MISSING,
    QN_CELL_MISFIT, /* no value of that type */
} qn_cell_kind;

typedef union qn_cell {
    int64_t i64; /* BOOL (0 or 1), I64, TIME (microseconds UTC) */
    double f64;  /* F64; may be infinite */
    struct {     /* CATEGORY, TEXT: a part of what was given; any bytes */
        const char *bytes;
        size_t n;
    } text;
} qn_cell;

/* Spaces around the text do not count. Sets *ret_cell for QN_CELL_VALUE only. */
qn_cell_kind qn_cell_read(const qn_cell_rules *rules, qn_type type, const char *bytes, size_t n,
                          qn_cell *ret_cell);
/* What a column of the type holds, for messages: "whole number", "time", ... Static. */
const char *qn_cell_wanted(qn_type type);

#endif
