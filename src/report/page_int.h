/* page_int.h - what the parts of the page share. Each part is one function in a file of its own; a
 * part whose members are absent writes nothing. Failures stick: the first one is kept and the rest
 * is skipped. */
#ifndef QN_REPORT_PAGE_INT_H
#define QN_REPORT_PAGE_INT_H

#include "report/chart.h"
#include "report/html.h"
#include "report/words.h"

typedef struct qn__page {
    qn_buf *out;       /* borrowed */
    const json_t *doc; /* borrowed */
    qn_error *err;     /* borrowed, may be NULL */
    qn_status status;  /* the first failure */
    /* Facts that several parts need; borrowed from doc, NULL or NaN when absent. */
    const char *kind; /* "binary", "multiclass", "regression", "ranking" */
    const char *target;
    qn__label positive; /* "" when absent */
    const char *currency;
    const char *metric;   /* the one the run was judged by */
    const json_t *test;   /* metrics on test rows */
    const json_t *chosen; /* its line of the leaderboard */
} qn__page;

/* The parts, in the order of the page. */
void qn__page_head(qn__page *page); /* verdict and key figures */
void qn__page_asked(qn__page *page);
void qn__page_data(qn__page *page);
void qn__page_leaderboard(qn__page *page);
void qn__page_quality(qn__page *page);
void qn__page_value(qn__page *page);
void qn__page_slices(qn__page *page);
void qn__page_why(qn__page *page);
void qn__page_how(qn__page *page);

/* <section id><h2>title</h2><p class="lead">lead</p> ... </section>. `lead` may be NULL. */
void qn__page_open(qn__page *page, const char *id, const char *title, const char *lead);
void qn__page_close(qn__page *page);
/* qn__chart_put with a sticky failure. Takes over `fill`. */
void qn__page_chart(qn__page *page, const qn__chart *chart, json_t *fill);
/* A table in a box of its own that scrolls: header cells from `heads` (NULL-ended; a leading '>'
 * aligns the column to the right). */
void qn__page_table_open(qn__page *page, const char *caption, const char *const *heads);
void qn__page_table_close(qn__page *page);

/* A value with its interval, from {"value", "low", "high"} or a plain number. */
typedef struct qn__range {
    double value, low, high;
} qn__range;
qn__range qn__range_of(const json_t *json);
/* "0.927 (0.922 to 0.931)", or "0.927" without an interval. `currency` not NULL: money. */
void qn__page_range(qn__page *page, qn__range range, const char *currency);
/* The interval as a small bar on the scale from..to; `mark` is a reference line or NaN. Decoration:
 * the numbers stand beside it. */
void qn__page_bar(qn__page *page, qn__range range, double from, double to, double mark);
/* The title of a leaderboard entry: its title, else its family, else "model". */
const char *qn__page_model_title(const json_t *entry);

#endif
