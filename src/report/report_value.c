/* What it is worth: money by threshold, and against rules that need no model. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/page_int.h"

static void put_sentence(qn__page *page, const json_t *value) {
    const json_t *test = qn__doc_object(value, "test");
    const qn__range per_row = qn__range_of(json_object_get(test, "per_row"));
    const double total = qn__doc_number(test, "total"), n = qn__doc_number(test, "n");
    const double threshold = qn__doc_number(value, "threshold"),
                 acted = qn__doc_number(test, "share_acted");
    if (!isfinite(per_row.value))
        return;
    qn_buf_put_text(page->out, "<p class=\"lead\">");
    qn__page_range(page, per_row, page->currency ? page->currency : "");
    qn_buf_put_text(page->out, " per row");
    if (isfinite(total) && isfinite(n))
        qn__html(page->out, ", %s on the %s test rows", qn__money(page->currency, total).text,
                 qn__count(n).text);
    if (isfinite(threshold))
        qn__html(page->out, ", acting when the score is at least <b>%s</b>",
                 qn__number(threshold).text);
    if (isfinite(acted))
        qn__html(page->out, " (on %s of the rows)", qn__percent(acted).text);
    qn__html(page->out, ".%s</p>\n",
             isfinite(threshold) ? " The threshold was chosen on validation rows and judged on "
                                   "test rows."
                                 : "");
}

static void put_curve(qn__page *page, const json_t *value) {
    static const char *const keys[] = {"threshold", "per_row_validate", "per_row_test",
                                       "share_acted", NULL};
    const json_t *curve = qn__doc_object(value, "curve");
    const double threshold = qn__doc_number(value, "threshold");
    if (!qn__doc_array(curve, "threshold"))
        return;
    char title[64], alt[200];
    snprintf(title, sizeof title, "%.20s per row", page->currency ? page->currency : "value");
    snprintf(alt, sizeof alt,
             "Money per row for every threshold on validation and test rows; the chosen threshold "
             "is %s.",
             qn__number(threshold).text);
    json_t *rows = qn__chart_rows(curve, keys, 600);
    const qn__chart chart = {
        "value", "Money by threshold",
        "What the decisions are worth per row when acting from each "
        "score on. The dashed line is the threshold chosen; a broad top means the choice is safe.",
        alt, true};
    qn__page_chart(page, &chart,
                   rows ? json_pack("{s:o, s:o, s:s, s:s}", "table", rows, "threshold",
                                    qn_json_number(threshold), "y_title", title, "label",
                                    qn__number(threshold).text)
                        : NULL);
}

static void widen(double *from, double *to, double x) {
    if (!isfinite(x))
        return;
    *from = fmin(*from, x);
    *to = fmax(*to, x);
}

static void put_rule(qn__page *page, const char *title, const char *class, qn__range per_row,
                     double total, double from, double to) {
    qn__html(page->out, "<tr class=\"%s\"><th scope=\"row\">%s</th><td class=\"num\">", class,
             title);
    qn__page_range(page, per_row, page->currency ? page->currency : "");
    qn_buf_put_text(page->out, "</td><td>");
    qn__page_bar(page, per_row, from, to, 0);
    qn__html(page->out, "</td><td class=\"num\">%s</td></tr>\n",
             qn__money(page->currency, total).text);
}

static void put_baselines(qn__page *page, const json_t *value) {
    const json_t *baselines = qn__doc_array(value, "baselines"),
                 *test = qn__doc_object(value, "test");
    if (!baselines)
        return;
    static const char *const heads[] = {"Rule", ">Per row", "", ">Total on test rows", NULL};
    const qn__range model = qn__range_of(json_object_get(test, "per_row"));
    double from = 0, to = 0;
    widen(&from, &to, isfinite(model.low) ? model.low : model.value);
    widen(&from, &to, isfinite(model.high) ? model.high : model.value);
    size_t i;
    json_t *baseline;
    json_array_foreach(baselines, i, baseline) {
        widen(&from, &to, qn__range_of(json_object_get(baseline, "per_row")).value);
    }
    const double margin = (to - from) * 0.04;
    from -= margin;
    to += margin;
    qn_buf_put_text(page->out, "<h3>Against simple rules</h3>\n");
    qn__page_table_open(page, "Worth of the model and of rules without one", heads);
    if (isfinite(model.value))
        put_rule(page, "This model", "chosen", model, qn__doc_number(test, "total"), from, to);
    json_array_foreach(baselines, i, baseline) {
        const char *title = qn__doc_text(baseline, "title");
        put_rule(page, title ? title : qn__doc_text(baseline, "name"), "",
                 qn__range_of(json_object_get(baseline, "per_row")),
                 qn__doc_number(baseline, "total"), from, to);
    }
    qn__page_table_close(page);
}

static void put_outcomes(qn__page *page, const json_t *test) {
    static const char *const names[] = {"true_positive", "false_positive", "false_negative",
                                        "true_negative"};
    static const char *const words[] = {"Acted rightly", "Acted for nothing", "Missed",
                                        "Rightly left"};
    static const char *const heads[] = {"Outcome", ">Test rows", ">Money", NULL};
    const json_t *counts = qn__doc_object(test, "counts"), *money = qn__doc_object(test, "money");
    if (!counts)
        return;
    qn_buf_put_text(page->out, "<h3>Where the money comes from</h3>\n");
    qn__page_table_open(page, "Rows and money by outcome", heads);
    for (size_t i = 0; i < 4; i++)
        qn__html(page->out,
                 "<tr><th scope=\"row\">%s</th><td class=\"num\">%s</td><td "
                 "class=\"num\">%s</td></tr>\n",
                 words[i], qn__count(qn__doc_number(counts, names[i])).text,
                 qn__money(page->currency, qn__doc_number(money, names[i])).text);
    qn__page_table_close(page);
}

void qn__page_value(qn__page *page) {
    const json_t *value = qn__doc_object(page->doc, "value");
    if (!value)
        return;
    qn__page_open(page, "value", "What it is worth", NULL);
    put_sentence(page, value);
    qn_buf_put_text(page->out, "<div class=\"charts\">\n");
    put_curve(page, value);
    qn_buf_put_text(page->out, "</div>\n");
    put_baselines(page, value);
    put_outcomes(page, qn__doc_object(value, "test"));
    qn__page_close(page);
}
