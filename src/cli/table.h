/* table.h - plain text tables for terminals: columns as wide as their widest cell, numbers to the
 * right. */
#ifndef QN_CLI_TABLE_H
#define QN_CLI_TABLE_H

#include "base/buf.h"
#include "base/json.h"

enum { QN_TABLE_COLUMNS = 12 };

typedef struct qn_table {
    int n_columns;
    bool right[QN_TABLE_COLUMNS]; /* aligned right */
    json_t *rows;                 /* owned: arrays of text; the first is the header */
} qn_table;

/* `header`: words separated by '|'; one that begins with '>' is aligned right. */
qn_status qn__table_init(qn_table *table, const char *header, qn_error *err) QN_MUST_USE;
void qn__table_done(qn_table *table);
/* Begins a row, then one cell after another. Out of memory shows as missing cells. */
void qn__table_row(qn_table *table);
void qn__table_cell(qn_table *table, const char *format, ...) QN_PRINTF(2, 3);
/* A JSON value as people read it: text as it is, numbers with `digits` significant digits, null as
 * "-". */
void qn__table_json(qn_table *table, const json_t *value, int digits);
/* A row for each {"key", FROM, TO, "change"}. Intervals show their value only: one row a metric. */
void qn__table_differences(qn_table *table, const json_t *differences, const char *from,
                           const char *to);
void qn__table_write(const qn_table *table, qn_buf *out);

/* "0.9271 (0.9218 to 0.9312)" of {"value", "low", "high"}; "-" for null. Appends. */
void qn__interval_text(const json_t *interval, qn_buf *out);
/* Appends metrics {name: interval} under a heading of two columns. */
qn_status qn__metrics_table(const char *heading, const json_t *metrics, qn_buf *out, qn_error *err)
    QN_MUST_USE;

#endif
