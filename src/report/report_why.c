/* Why it answers as it does: which columns it needs, how they push, and in what shape. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "report/page_int.h"

enum {
    MAX_FEATURES = 15,
    MAX_PAIRS = 10,
    MAX_SWARM = 10,
    MAX_SWARM_POINTS = 200,
    MAX_DEPENDENCE = 8,
    SWARM_BINS = 80
};

static void put_permutation(qn__page *page, const json_t *importance) {
    const json_t *features = qn__doc_array(importance, "permutation");
    if (!features)
        return;
    qn_cleanup(qn_json_free)
    json_t *rows = json_array();
    for (size_t i = 0; i < json_array_size(features) && i < MAX_FEATURES; i++) {
        const json_t *feature = json_array_get(features, i);
        const double mean = qn__doc_number(feature, "mean"), std = qn__doc_number(feature, "std");
        const char *name = qn__doc_text(feature, "feature");
        if (!name || !isfinite(mean))
            continue;
        const double spread = isfinite(std) ? std : 0;
        json_t *row = json_pack("{s:s, s:f, s:f, s:f}", "feature", name, "mean", mean, "low",
                                mean - spread, "high", mean + spread);
        if (json_array_append_new(rows, row)) {
            page->status = page->status ? page->status : qn_error_memory(page->err);
            return;
        }
    }
    if (!json_array_size(rows))
        return;
    const char *metric = qn__doc_text(importance, "metric");
    char x_title[120], alt[240];
    snprintf(x_title, sizeof x_title, "how much worse %.60s gets",
             qn__metric_phrase(metric         ? metric
                               : page->metric ? page->metric
                                              : "the metric")
                 .text);
    snprintf(alt, sizeof alt, "Importance of columns. The most important is %.100s.",
             qn__doc_text(json_array_get(rows, 0), "feature"));
    const qn__chart chart = {"permutation", "What the model needs",
                             "How much worse it gets when a column is shuffled, so that "
                             "it says nothing any more.",
                             alt, false};
    qn__page_chart(page, &chart, json_pack("{s:O, s:s}", "table", rows, "x_title", x_title));
}

/* A beeswarm: points of one feature are stacked up and down within narrow bins of their SHAP value.
 */
static bool append_swarm(json_t *rows, const char *name, const json_t *points, double low,
                         double high) {
    int n_in_bin[SWARM_BINS] = {0};
    const size_t n = json_array_size(points);
    const size_t step = n > MAX_SWARM_POINTS ? (n + MAX_SWARM_POINTS - 1) / MAX_SWARM_POINTS : 1;
    for (size_t i = 0; i < n; i += step) {
        const json_t *point = json_array_get(points, i);
        const double shap = qn__doc_number(point, "shap"), x = qn__doc_number(point, "x");
        if (!isfinite(shap))
            continue;
        const double place = high > low ? (shap - low) / (high - low) : 0.5;
        const int i_bin = (int)fmax(0, fmin(SWARM_BINS - 1, place * SWARM_BINS));
        const int k = n_in_bin[i_bin]++;
        const double offset = (k % 2 ? 1 : -1) * ((k + 1) / 2) * 0.14;
        json_t *row = json_pack("{s:s, s:f, s:f, s:o}", "feature", name, "shap", shap, "offset",
                                fmax(-1, fmin(1, offset)), "x", qn_json_number(x));
        if (json_array_append_new(rows, row))
            return false;
    }
    return true;
}

static void swarm_range(const json_t *shap, double *ret_low, double *ret_high) {
    double low = 0, high = 0;
    for (size_t i = 0; i < json_array_size(shap) && i < MAX_SWARM; i++) {
        size_t k;
        json_t *point;
        json_array_foreach(qn__doc_array(json_array_get(shap, i), "points"), k, point) {
            const double value = qn__doc_number(point, "shap");
            low = isfinite(value) ? fmin(low, value) : low;
            high = isfinite(value) ? fmax(high, value) : high;
        }
    }
    *ret_low = low;
    *ret_high = high;
}

static void put_swarm(qn__page *page, const json_t *shap) {
    qn_cleanup(qn_json_free)
    json_t *rows = json_array(), *order = json_array();
    double low = 0, high = 0;
    swarm_range(shap, &low, &high);
    bool ok = rows && order;
    for (size_t i = 0; ok && i < json_array_size(shap) && i < MAX_SWARM; i++) {
        const json_t *feature = json_array_get(shap, i);
        const char *name = qn__doc_text(feature, "feature");
        if (!name || !qn__doc_array(feature, "points"))
            continue;
        ok = !json_array_append_new(order, json_string(name)) &&
             append_swarm(rows, name, qn__doc_array(feature, "points"), low, high);
    }
    if (!ok) {
        page->status = page->status ? page->status : qn_error_memory(page->err);
        return;
    }
    if (!json_array_size(rows))
        return;
    const qn__chart chart = {"swarm",
                             "What pushes the answer",
                             "Each point is a row: to the right the column pushed its "
                             "prediction up, to the left down (SHAP).",
                             "SHAP values of the most important columns, one point per row.",
                             false,
                             true};
    qn__page_chart(page, &chart, json_pack("{s:O, s:O}", "table", rows, "order", order));
}

static void put_shap_bars(qn__page *page, const json_t *shap) {
    qn_cleanup(qn_json_free)
    json_t *rows = json_array();
    bool ok = rows != NULL;
    for (size_t i = 0; ok && i < json_array_size(shap) && i < MAX_FEATURES; i++) {
        const json_t *feature = json_array_get(shap, i);
        const char *name = qn__doc_text(feature, "feature");
        const double mean = qn__doc_number(feature, "mean_abs");
        if (name && isfinite(mean))
            ok = !json_array_append_new(rows, json_pack("{s:s, s:f, s:f, s:f}", "feature", name,
                                                        "mean", mean, "low", mean, "high", mean));
    }
    const qn__chart chart = {"permutation", "What moves the answer",
                             "How far each column moves the raw score of a row, on "
                             "average (SHAP).",
                             "Mean absolute SHAP value of the columns.", false};
    if (!ok)
        page->status = page->status ? page->status : qn_error_memory(page->err);
    else if (json_array_size(rows))
        qn__page_chart(
            page, &chart,
            json_pack("{s:O, s:s}", "table", rows, "x_title", "mean absolute SHAP value"));
}

static void put_pairs(qn__page *page, const json_t *pairs) {
    qn_cleanup(qn_json_free)
    json_t *rows = json_array();
    bool ok = rows != NULL;
    for (size_t i = 0; ok && i < json_array_size(pairs) && i < MAX_PAIRS; i++) {
        const json_t *features = qn__doc_array(json_array_get(pairs, i), "features");
        const double mean = qn__doc_number(json_array_get(pairs, i), "mean_abs");
        const char *a = json_string_value(json_array_get(features, 0)),
                   *b = json_string_value(json_array_get(features, 1));
        qn_cleanup(qn_freep) char *name = a && b ? qn_format("%s \xc3\x97 %s", a, b) : NULL;
        if (name && isfinite(mean))
            ok = !json_array_append_new(rows, json_pack("{s:s, s:f, s:f, s:f}", "feature", name,
                                                        "mean", mean, "low", mean, "high", mean));
    }
    const qn__chart chart = {"permutation", "What works together",
                             "How far two columns together move the raw score of a row beyond "
                             "what each does alone, on average (SHAP interactions).",
                             "Mean absolute SHAP interaction values of pairs of columns.", false};
    if (!ok)
        page->status = page->status ? page->status : qn_error_memory(page->err);
    else if (json_array_size(rows))
        qn__page_chart(page, &chart,
                       json_pack("{s:O, s:s}", "table", rows, "x_title",
                                 "mean absolute interaction value"));
}

static bool has_points(const json_t *shap) {
    for (size_t i = 0; i < json_array_size(shap); i++)
        if (qn__doc_array(json_array_get(shap, i), "points"))
            return true;
    return false;
}

static void put_dependence(qn__page *page, const json_t *item) {
    static const char *const keys[] = {"x", "y", "low", "high", "n", NULL};
    const char *name = qn__doc_text(item, "feature"), *kind = qn__doc_text(item, "kind");
    if (!name || !qn__doc_array(item, "x"))
        return;
    const bool is_category = json_is_string(json_array_get(qn__doc_array(item, "x"), 0)) &&
                             !(kind && !strcmp(kind, "time"));
    const bool is_time = kind && !strcmp(kind, "time") &&
                         json_is_string(json_array_get(qn__doc_array(item, "x"), 0));
    const bool is_share =
        page->kind && (!strcmp(page->kind, "binary") || !strcmp(page->kind, "multiclass"));
    char alt[240];
    snprintf(alt, sizeof alt, "How the prediction moves with %.150s.", name);
    const qn__chart chart = {is_category ? "dependence_category"
                             : is_time   ? "dependence_time"
                                         : "dependence",
                             name, NULL, alt, false};
    json_t *rows = qn__chart_rows(item, keys, 100);
    qn__page_chart(page, &chart,
                   rows ? json_pack("{s:o, s:s, s:s}", "table", rows, "y_title",
                                    is_share ? "probability" : "prediction", "y_format",
                                    is_share ? ".2~%" : "~s")
                        : NULL);
}

void qn__page_why(qn__page *page) {
    const json_t *importance = qn__doc_object(page->doc, "importance");
    const json_t *dependence = qn__doc_array(page->doc, "dependence");
    const json_t *shap = qn__doc_array(importance, "shap");
    if (!importance && !dependence)
        return;
    qn__page_open(page, "why", "Why it answers as it does",
                  "What the model uses. This describes the model, not the causes in the world.");
    qn_buf_put_text(page->out, "<div class=\"charts\">\n");
    put_permutation(page, importance);
    if (has_points(shap))
        put_swarm(page, shap);
    else
        put_shap_bars(page, shap);
    put_pairs(page, qn__doc_array(importance, "interactions"));
    qn_buf_put_text(page->out, "</div>\n");
    if (dependence) {
        qn_buf_put_text(
            page->out,
            "<h3>How the answer moves with each column</h3>\n<p>The mean prediction when every row "
            "had this value, all else as it is; the band holds 80% of the rows.</p>\n"
            "<div class=\"charts small\">\n");
        for (size_t i = 0; i < json_array_size(dependence) && i < MAX_DEPENDENCE; i++)
            put_dependence(page, json_array_get(dependence, i));
        qn_buf_put_text(page->out, "</div>\n");
    }
    qn__page_close(page);
}
