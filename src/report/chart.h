/* chart.h - charts as Vega-Lite specs. The specs are files (web/report/charts/NAME.json) that open
 * in any Vega-Lite editor; here they are filled with data and put into the page as JSON, which
 * report.js draws.
 *
 * In a spec, a text "$name" stands for the member `name` of the fill, and {"name": "table"} as
 * `data` for the array `table` of the fill, in which each item is a row. */
#ifndef QN_REPORT_CHART_H
#define QN_REPORT_CHART_H

#include "base/buf.h"
#include "base/json.h"

typedef struct qn__chart {
    const char *spec;  /* "roc": web/report/charts/roc.json */
    const char *title; /* for people; plain text */
    const char *note;  /* one line that says how to read it; NULL: none */
    const char *alt;   /* what it shows, in words, for those who do not see it */
    bool wide;         /* takes the whole width */
    bool ramp;         /* explain the colours of a value from low to high */
} qn__chart;

/* Appends the figure. Takes over the reference `fill` (NULL counts as out of memory). A chart whose
 * spec is unknown or broken is QN_ERR_INTERNAL. */
qn_status qn__chart_put(qn_buf *out, const qn__chart *chart, json_t *fill,
                        qn_error *err) QN_MUST_USE;

/* Rows from columns of equal length: {"a": [1, 2], "b": [3, 4]} with keys "a", "b" and a NULL gives
 * [{"a": 1, "b": 3}, {"a": 2, "b": 4}]. Columns that are absent are left out; the first must be
 * there, and `max_rows` bounds it. New reference; NULL when memory is short. */
json_t *qn__chart_rows(const json_t *columns, const char *const *keys, size_t max_rows) QN_MUST_USE;

/* The same for counts between edges: [{"from", "to", "n", "what"}, ..]; `what` names the series.
 * Appends to `rows`. False when memory is short. */
bool qn__chart_bins(json_t *rows, const json_t *edges, const json_t *counts,
                    const char *what) QN_MUST_USE;

#endif
