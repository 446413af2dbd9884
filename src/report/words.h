/* words.h - numbers for people, and what the metrics mean in plain words. Digits that the data do
 * not support are not shown: an interval decides how many decimals its value gets. */
#ifndef QN_REPORT_WORDS_H
#define QN_REPORT_WORDS_H

#include <stdbool.h>

/* Returned by value so that it can be written in place: qn__html(out, "%s", qn__count(n).text). */
typedef struct qn__word {
    char text[48];
} qn__word;

/* All give an en dash for NaN and use thousands separators and a true minus sign. */
qn__word qn__fixed(double x, int decimals);
qn__word qn__count(double n);                       /* 12,345 */
qn__word qn__number(double x);                      /* about four significant digits */
qn__word qn__percent(double share);                 /* 0.123 -> 12.3% */
qn__word qn__money(const char *currency, double x); /* EUR 4.31; EUR 12,340; currency may be NULL */
qn__word qn__signed_money(const char *currency, double x);
qn__word qn__duration(double seconds);
qn__word qn__size(double bytes); /* 812 kB */

/* Decimals that make sense for a value known to lie between low and high (either may be NaN). */
int qn__decimals(double value, double low, double high);

/* What a metric is called and what it says, for somebody who is not a statistician. */
typedef struct qn__metric_words {
    const char *name;  /* "roc_auc" */
    const char *title; /* "ROC AUC" */
    const char *help;  /* one sentence */
    bool greater_is_better;
    double best, worst; /* the scale of its bar; NaN: no natural end */
} qn__metric_words;

/* An unknown metric has its name as the title (borrowed); everything else is a literal. */
qn__metric_words qn__metric_of(const char *name);
/* The title as it stands within a sentence: "log loss", but "ROC AUC". */
qn__word qn__metric_phrase(const char *name);

#endif
