/* How good: every metric with its interval and its meaning, then the curves behind the numbers. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "report/page_int.h"

enum { MAX_POINTS = 600, MAX_CONFUSION = 16, MAX_CURVE_CLASSES = 10 };

static void put_metric(qn__page *page, const char *name, qn__range test, qn__range validate) {
    const qn__metric_words words = qn__metric_of(name);
    qn__html(page->out,
             "<tr><th scope=\"row\">%s<span class=\"sub\">%s</span></th><td class=\"num\">",
             words.title, words.help);
    qn__page_range(page, test, NULL);
    qn_buf_put_text(page->out, "</td><td>");
    double from = words.worst, to = words.best;
    if (!(from < to)) {
        /* No natural scale from worse to better: show the interval around its own value. */
        const double high = isfinite(test.high) ? test.high : test.value;
        from = fmin(0, isfinite(test.low) ? test.low : test.value);
        to = isfinite(words.worst) && words.worst >= high ? words.worst : high * 1.25;
    }
    qn__page_bar(page, test, from, to, NAN);
    qn__html(page->out, "</td><td class=\"num\">%s</td></tr>\n",
             isfinite(validate.value)
                 ? qn__fixed(validate.value, qn__decimals(test.value, test.low, test.high)).text
                 : "");
}

static void put_metrics(qn__page *page) {
    const json_t *metrics = qn__doc_object(page->doc, "metrics");
    const json_t *validate = qn__doc_object(metrics, "validate");
    const json_t *shown = page->test ? page->test : validate;
    if (!shown)
        return;
    static const char *const heads[] = {"Metric", ">Test rows (95% interval)", "", ">Validation",
                                        NULL};
    qn__page_table_open(page, "Metrics", heads);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)shown, name, value) {
        const qn__range range = qn__range_of(value);
        if (isfinite(range.value))
            put_metric(page, name, range,
                       page->test ? qn__range_of(json_object_get(validate, name))
                                  : (qn__range){NAN, NAN, NAN});
    }
    qn__page_table_close(page);
}

static void put_simple_chart(qn__page *page, const json_t *columns, const char *const *keys,
                             qn__chart chart) {
    if (!qn__doc_array(columns, keys[0]))
        return;
    json_t *rows = qn__chart_rows(columns, keys, MAX_POINTS);
    qn__page_chart(page, &chart, rows ? json_pack("{s:o}", "table", rows) : NULL);
}

static void put_roc(qn__page *page, const json_t *curves) {
    static const char *const keys[] = {"fpr", "tpr", NULL};
    const double auc = qn__range_of(json_object_get(page->test, "roc_auc")).value;
    char alt[160];
    snprintf(alt, sizeof alt, "ROC curve: true positive rate against false positive rate%s%s.",
             isfinite(auc) ? "; the area under it is " : "",
             isfinite(auc) ? qn__fixed(auc, 3).text : "");
    put_simple_chart(
        page, qn__doc_object(curves, "roc"), keys,
        (qn__chart){"roc", "ROC curve",
                    "Positives found against false alarms, for every threshold. The further "
                    "above the diagonal, the better.",
                    alt, false});
}

static void put_pr(qn__page *page, const json_t *curves) {
    static const char *const keys[] = {"recall", "precision", NULL};
    const json_t *pr = qn__doc_object(curves, "pr");
    const double base = qn__doc_number(pr, "base");
    if (!qn__doc_array(pr, "recall"))
        return;
    char alt[160];
    snprintf(alt, sizeof alt,
             "Precision against recall; picking at random would have a precision of %s.",
             qn__percent(base).text);
    const qn__chart chart = {"pr", "Precision and recall",
                             "How pure the flagged rows are against how many positives "
                             "are found. The dashed line is picking at random.",
                             alt, false};
    json_t *rows = qn__chart_rows(pr, keys, MAX_POINTS);
    qn__page_chart(page, &chart,
                   rows ? json_pack("{s:o, s:o}", "table", rows, "base", qn_json_number(base))
                        : NULL);
}

static void put_gain(qn__page *page, const json_t *curves) {
    static const char *const keys[] = {"share", "gain", "lift", NULL};
    put_simple_chart(
        page, qn__doc_object(curves, "gain"), keys,
        (qn__chart){
            "gain", "Gain",
            "Of all positives, the share found among the best-scored rows. The "
            "diagonal is picking at random.",
            "Gain curve: share of all positives found against share of rows looked at, best scores "
            "first.",
            false});
}

static void put_calibration(qn__page *page, const json_t *curves) {
    static const char *const keys[] = {"score", "observed", "low", "high", "n", NULL};
    const json_t *calibration = qn__doc_object(curves, "calibration");
    const double ece = qn__doc_number(calibration, "ece");
    char alt[160];
    snprintf(alt, sizeof alt, "Calibration: observed share against predicted probability%s%s.",
             isfinite(ece) ? "; the mean gap is " : "",
             isfinite(ece) ? qn__fixed(ece, 3).text : "");
    put_simple_chart(page, calibration, keys,
                     (qn__chart){"calibration", "Calibration",
                                 "When the model says 70%, is it so in 70% of cases? Points "
                                 "on the diagonal: yes.",
                                 alt, false});
}

static void put_scores(qn__page *page, const json_t *curves) {
    const json_t *scores = qn__doc_object(curves, "scores");
    const json_t *edges = qn__doc_array(scores, "edges");
    if (!edges)
        return;
    json_t *rows = json_array();
    const bool ok = qn__chart_bins(rows, edges, qn__doc_array(scores, "positive"), "positive") &&
                    qn__chart_bins(rows, edges, qn__doc_array(scores, "negative"), "negative");
    const qn__chart chart = {"scores", "Scores",
                             "How the model scores positives and negatives, each as shares of its "
                             "own kind. The less they overlap, the better.",
                             "Histogram of scores for positive and for negative rows.", false};
    if (!ok)
        json_decref(rows);
    qn__page_chart(page, &chart, ok ? json_pack("{s:o}", "table", rows) : NULL);
}

/* One array of rows for all classes, each row carrying its class. */
static json_t *class_rows(const json_t *classes, const char *curve, const char *const *keys) {
    qn_cleanup(qn_json_free)
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(classes) && i < MAX_CURVE_CLASSES; i++) {
        const json_t *class = json_array_get(classes, i);
        const json_t *columns = qn__doc_object(class, curve);
        if (!columns)
            continue;
        qn_cleanup(qn_json_free)
        json_t *rows = qn__chart_rows(columns, keys, MAX_POINTS);
        const qn__label label = qn__doc_label(json_object_get(class, "label"));
        size_t k;
        json_t *row;
        json_array_foreach(rows, k, row)
            if (json_object_set_new(row, "class", json_string(label.text)))
                return NULL;
        if (!rows || json_array_extend(all, rows))
            return NULL;
    }
    return qn_steal(&all);
}

static void put_class_chart(qn__page *page, const json_t *classes, const char *curve,
                            const char *const *keys, qn__chart chart) {
    json_t *rows = class_rows(classes, curve, keys);
    if (rows && !json_array_size(rows)) {
        json_decref(rows);
        return;
    }
    qn__page_chart(page, &chart, rows ? json_pack("{s:o}", "table", rows) : NULL);
}

static void put_class_table(qn__page *page, const json_t *classes) {
    static const char *const heads[] = {"Class", ">Rows", ">ROC AUC against the rest", "", NULL};
    qn_buf_put_text(page->out, "<h3>Class by class</h3>\n");
    qn__page_table_open(page, "Quality by class", heads);
    size_t i;
    json_t *class;
    json_array_foreach(classes, i, class) {
        const qn__range auc = qn__range_of(json_object_get(class, "auc"));
        qn__html(
            page->out,
            "<tr><th scope=\"row\">%s</th><td class=\"num\">%s</td><td class=\"num\">%s</td><td>",
            qn__doc_label(json_object_get(class, "label")).text,
            qn__count(qn__doc_number(class, "n")).text, qn__fixed(auc.value, 3).text);
        qn__page_bar(page, auc, 0.5, 1, NAN);
        qn_buf_put_text(page->out, "</td></tr>\n");
    }
    qn__page_table_close(page);
}

static void put_multiclass(qn__page *page, const json_t *classes) {
    static const char *const roc[] = {"fpr", "tpr", NULL}, *const pr[] = {"recall", "precision",
                                                                          NULL};
    put_class_chart(page, classes, "roc", roc,
                    (qn__chart){"roc_classes", "ROC curves",
                                "Each class against all others. The further above the "
                                "diagonal, the better.",
                                "ROC curve of each class against the rest.", false});
    put_class_chart(page, classes, "pr", pr,
                    (qn__chart){"pr_classes", "Precision and recall",
                                "Each class against all others: how pure against "
                                "how complete.",
                                "Precision against recall for each class.", false});
}

static void put_regression(qn__page *page, const json_t *curves) {
    static const char *const actual[] = {"predicted", "actual", NULL};
    static const char *const by[] = {"predicted", "actual", "low", "high", NULL};
    put_simple_chart(page, qn__doc_object(curves, "actual"), actual,
                     (qn__chart){"actual", "Predicted and real",
                                 "Each point is a test row; on the diagonal the prediction "
                                 "is exact.",
                                 "Scatter of real values against predictions.", false});
    put_simple_chart(page, qn__doc_object(curves, "by_prediction"), by,
                     (qn__chart){"by_prediction", "By size of the prediction",
                                 "Mean of the real values for each tenth of the "
                                 "predictions, and where 80% of them lie.",
                                 "Mean real value and its spread by tenth of the prediction.",
                                 false});
    const json_t *residuals = qn__doc_object(curves, "residuals");
    if (!qn__doc_array(residuals, "edges"))
        return;
    json_t *rows = json_array();
    const bool ok = qn__chart_bins(rows, qn__doc_array(residuals, "edges"),
                                   qn__doc_array(residuals, "counts"), "error");
    const qn__chart chart = {"residuals", "Errors",
                             "Real value minus prediction. Centred on 0 and narrow is good.",
                             "Histogram of errors, real value minus prediction.", false};
    if (!ok)
        json_decref(rows);
    qn__page_chart(page, &chart, ok ? json_pack("{s:o}", "table", rows) : NULL);
}

static double row_sum(const json_t *row) {
    double sum = 0;
    for (size_t i = 0; i < json_array_size(row); i++) {
        const double n = qn__doc_item(row, i);
        sum += n > 0 ? n : 0;
    }
    return sum;
}

static void put_confusion_row(qn__page *page, const char *label, const json_t *row, size_t i_row,
                              size_t n) {
    const double sum = row_sum(row);
    qn__html(page->out, "<tr><th scope=\"row\">%s</th>", label);
    for (size_t j = 0; j < n; j++) {
        const double count = qn__doc_item(row, j), share = sum > 0 ? count / sum : 0;
        qn__html(page->out,
                 "<td class=\"num cell%s\" style=\"--share:%s%%\"><b>%s</b> <span>%s</span></td>",
                 i_row == j ? " right" : " wrong", qn__fixed(100 * (share > 0 ? share : 0), 0).text,
                 qn__count(count).text, qn__percent(share).text);
    }
    qn_buf_put_text(page->out, "</tr>\n");
}

static void put_confusion(qn__page *page) {
    const json_t *confusion = qn__doc_object(page->doc, "confusion");
    const json_t *labels = qn__doc_array(confusion, "labels"),
                 *counts = qn__doc_array(confusion, "counts");
    const size_t n = json_array_size(labels);
    if (!n || json_array_size(counts) != n)
        return;
    const double threshold = qn__doc_number(confusion, "threshold");
    qn_buf_put_text(page->out, "<h3>Right and wrong</h3>\n");
    if (n > MAX_CONFUSION) {
        qn__html(page->out,
                 "<p class=\"more\">The table of all %d classes is too large to show here.</p>\n",
                 (int)n);
        return;
    }
    if (isfinite(threshold))
        qn__html(page->out,
                 "<p>Acting when the score is at least %s. Each line adds up to 100%%.</p>\n",
                 qn__number(threshold).text);
    else
        qn_buf_put_text(page->out, "<p>Each line is a real class and adds up to 100%; columns are "
                                   "what the model said."
                                   "</p>\n");
    qn_buf_put_text(
        page->out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Confusion matrix\">"
        "<table class=\"confusion\"><caption class=\"hidden\">Confusion matrix</caption><thead>"
        "<tr><th scope=\"col\">really</th>");
    for (size_t j = 0; j < n; j++)
        qn__html(page->out,
                 "<th scope=\"col\" class=\"num\"><span class=\"sub\">predicted</span>%s</th>",
                 qn__doc_label(json_array_get(labels, j)).text);
    qn_buf_put_text(page->out, "</tr></thead><tbody>\n");
    for (size_t i = 0; i < n; i++)
        put_confusion_row(page, qn__doc_label(json_array_get(labels, i)).text,
                          json_array_get(counts, i), i, n);
    qn__page_table_close(page);
}

static void put_calibrator(qn__page *page) {
    const json_t *calibration = qn__doc_object(page->doc, "calibration");
    const char *kind = qn__doc_text(calibration, "kind");
    const double before = qn__doc_number(calibration, "ece_before"),
                 after = qn__doc_number(calibration, "ece_after");
    if (!kind || !strcmp(kind, "none"))
        return;
    qn__html(page->out,
             "<p>Probabilities are corrected by %s calibration, which is part of the model", kind);
    if (isfinite(before) && isfinite(after))
        qn__html(page->out, ": calibration error %s before, %s after", qn__fixed(before, 4).text,
                 qn__fixed(after, 4).text);
    qn_buf_put_text(page->out, ".</p>\n");
}

void qn__page_quality(qn__page *page) {
    const json_t *curves = qn__doc_object(page->doc, "curves");
    const json_t *classes = qn__doc_array(curves, "classes");
    if (!qn__doc_object(page->doc, "metrics") && !curves && !qn__doc_object(page->doc, "confusion"))
        return;
    qn__page_open(page, "quality", "How good it is",
                  "Measured on rows the model has never seen. The interval is where "
                  "the figure would lie 95 times out of 100 on other rows of this kind.");
    put_metrics(page);
    put_calibrator(page);
    if (curves) {
        qn_buf_put_text(page->out, "<div class=\"charts\">\n");
        put_roc(page, curves);
        put_pr(page, curves);
        put_multiclass(page, classes);
        put_gain(page, curves);
        put_calibration(page, curves);
        put_scores(page, curves);
        put_regression(page, curves);
        qn_buf_put_text(page->out, "</div>\n");
    }
    if (classes)
        put_class_table(page, classes);
    put_confusion(page);
    qn__page_close(page);
}
