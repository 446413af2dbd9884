/* The first screen: the verdict in plain sentences, then the figures it rests on. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/page_int.h"

/* The metric a verdict is told in: one that people can judge, not the loss that was minimised. */
static const char *headline_metric(const qn__page *page) {
    static const char *const favourites[] = {"roc_auc", "accuracy", "r2"};
    for (size_t i = 0; i < sizeof favourites / sizeof *favourites; i++)
        if (isfinite(qn__range_of(json_object_get(page->test, favourites[i])).value))
            return favourites[i];
    return page->metric && json_object_get(page->test, page->metric) ? page->metric : NULL;
}

static void put_goal(qn__page *page) {
    if (page->target && page->kind && !strcmp(page->kind, "binary") && *page->positive.text)
        qn__html(page->out, " can tell whether <q>%s</q> is <q>%s</q>", page->target,
                 page->positive.text);
    else if (page->target)
        qn__html(page->out, " can predict <q>%s</q>", page->target);
    else
        qn__html(page->out, " can predict the target");
}

static void put_quality_sentence(qn__page *page) {
    const char *metric = headline_metric(page);
    qn__html(page->out, "<strong>%s</strong>", qn__page_model_title(page->chosen));
    put_goal(page);
    if (metric) {
        const qn__range range = qn__range_of(json_object_get(page->test, metric));
        qn__html(page->out, " with %s <strong class=\"figure\">", qn__metric_phrase(metric).text);
        qn__page_range(page, range, NULL);
        qn_buf_put_text(page->out, "</strong> on rows kept aside");
    }
    const qn__range rmse = qn__range_of(json_object_get(page->test, "rmse"));
    if (metric && !strcmp(metric, "r2") && isfinite(rmse.value))
        qn__html(page->out, "; a typical error is %s",
                 qn__fixed(rmse.value, qn__decimals(rmse.value, rmse.low, rmse.high)).text);
    qn_buf_put_text(page->out, ".");
}

static const char *title_of_baseline(const json_t *value, const char *name) {
    size_t i;
    json_t *baseline;
    json_array_foreach(qn__doc_array(value, "baselines"), i, baseline) {
        const char *its_name = qn__doc_text(baseline, "name");
        if (name && its_name && !strcmp(name, its_name))
            return qn__doc_text(baseline, "title");
    }
    return NULL;
}

static void put_value_sentence(qn__page *page) {
    const json_t *value = qn__doc_object(page->doc, "value");
    const json_t *test = qn__doc_object(value, "test");
    const qn__range per_row = qn__range_of(json_object_get(test, "per_row"));
    if (!isfinite(per_row.value))
        return;
    const double threshold = qn__doc_number(value, "threshold");
    qn__html(page->out, " %s <strong class=\"figure\">%s</strong> per row",
             per_row.value < 0 ? "Deciding by it costs" : "It is worth",
             qn__money(page->currency, fabs(per_row.value)).text);
    if (isfinite(threshold))
        qn__html(page->out, " when acting from a score of %s", qn__number(threshold).text);
    const json_t *gain_json = json_object_get(value, "gain_over_best_baseline");
    const qn__range gain = qn__range_of(gain_json);
    if (isfinite(gain.value)) {
        const char *best = title_of_baseline(value, qn__doc_text(gain_json, "against"));
        qn__html(page->out, ", %s %s than the best rule without a model",
                 qn__money(page->currency, fabs(gain.value)).text,
                 gain.value < 0 ? "worse" : "better");
        if (best)
            qn__html(page->out, " (<q>%s</q>)", best);
    }
    qn_buf_put_text(page->out, ".");
}

static void put_registration_sentence(qn__page *page) {
    const json_t *reg = qn__doc_object(page->doc, "registration");
    const char *why = qn__doc_text(reg, "why");
    if (!reg)
        return;
    const bool promoted = qn__doc_true(reg, "promoted");
    const char *alias = qn__doc_text(reg, "alias");
    const char *name = qn__doc_text(reg, "name");
    const double version = qn__doc_number(reg, "version");
    qn__html(page->out, "<p class=\"outcome\"><span class=\"badge %s\">%s</span> %s",
             promoted ? "good" : "plain",
             promoted ? "Promoted" : isfinite(version) ? "Not promoted" : "Not registered",
             name ? name : "the model");
    if (isfinite(version))
        qn__html(page->out, " version %s", qn__count(version).text);
    if (promoted && alias)
        qn__html(page->out, " is now <b>%s</b>", alias);
    else if (isfinite(version))
        qn__html(page->out, " is registered");
    if (why)
        qn__html(page->out, ": %s", why);
    qn_buf_put_text(page->out, "</p>\n");
}

static void put_tile(qn__page *page, const char *label, const char *figure, const char *below) {
    qn__html(page->out, "<div class=\"tile\"><dt>%s</dt><dd>%s</dd>", label, figure);
    if (below && *below)
        qn__html(page->out, "<dd class=\"below\">%s</dd>", below);
    qn_buf_put_text(page->out, "</div>\n");
}

static void put_metric_tile(qn__page *page, const char *name) {
    const qn__range range = qn__range_of(json_object_get(page->test, name));
    if (!isfinite(range.value))
        return;
    const int decimals = qn__decimals(range.value, range.low, range.high);
    char below[160] = "";
    if (isfinite(range.low) && isfinite(range.high))
        snprintf(below, sizeof below, "%s to %s", qn__fixed(range.low, decimals).text,
                 qn__fixed(range.high, decimals).text);
    put_tile(page, qn__metric_of(name).title, qn__fixed(range.value, decimals).text, below);
}

static void put_value_tiles(qn__page *page) {
    const json_t *value = qn__doc_object(page->doc, "value");
    const json_t *test = qn__doc_object(value, "test");
    const qn__range per_row = qn__range_of(json_object_get(test, "per_row"));
    const double total = qn__doc_number(test, "total");
    if (!isfinite(per_row.value))
        return;
    char below[160] = "";
    if (isfinite(total))
        snprintf(below, sizeof below, "%s on the test rows", qn__money(page->currency, total).text);
    put_tile(page, "Worth per row", qn__money(page->currency, per_row.value).text, below);
    const qn__range gain = qn__range_of(json_object_get(value, "gain_over_best_baseline"));
    if (isfinite(gain.value))
        put_tile(page, "Gain over no model", qn__signed_money(page->currency, gain.value).text,
                 "per row");
}

static void put_size_tiles(qn__page *page) {
    const json_t *dataset = qn__doc_object(page->doc, "dataset");
    const double rows = qn__doc_number(dataset, "rows"),
                 columns = qn__doc_number(dataset, "columns");
    char below[160] = "";
    if (isfinite(columns))
        snprintf(below, sizeof below, "%s columns", qn__count(columns).text);
    if (isfinite(rows))
        put_tile(page, "Rows", qn__count(rows).text, below);
    const double total_s = qn__doc_number(qn__doc_object(page->doc, "timings"), "total_s");
    if (isfinite(total_s))
        put_tile(page, "Time taken", qn__duration(total_s).text, "from table to judged model");
}

static void put_tiles(qn__page *page) {
    static const char *const shown[] = {"roc_auc", "pr_auc", "accuracy", "roc_auc_ovr",
                                        "r2",      "rmse",   "mae"};
    qn_buf_put_text(page->out, "<dl class=\"tiles\">\n");
    int n_shown = 0;
    for (size_t i = 0; i < sizeof shown / sizeof *shown && n_shown < 2; i++)
        if (isfinite(qn__range_of(json_object_get(page->test, shown[i])).value)) {
            put_metric_tile(page, shown[i]);
            n_shown++;
        }
    put_value_tiles(page);
    put_size_tiles(page);
    qn_buf_put_text(page->out, "</dl>\n");
}

static void put_warnings(qn__page *page) {
    const json_t *warnings = qn__doc_array(page->doc, "warnings");
    if (!warnings)
        return;
    qn_buf_put_text(page->out, "<ul class=\"warnings\" aria-label=\"Warnings of the run\">\n");
    size_t i;
    json_t *warning;
    json_array_foreach(warnings, i, warning)
        qn__html(page->out,
                 "<li class=\"warning\"><span class=\"badge warn\">Warning</span> %s</li>\n",
                 json_is_object(warning) ? qn__doc_text(warning, "message")
                                         : json_string_value(warning));
    qn_buf_put_text(page->out, "</ul>\n");
}

/* "2026-11-23T01:44:55Z" as "2026-11-23 01:44 UTC"; other texts as they are. */
static qn__label readable_time(const char *iso) {
    qn__label label = {""};
    if (strlen(iso) == 20 && iso[10] == 'T' && iso[19] == 'Z')
        snprintf(label.text, sizeof label.text, "%.10s %.5s UTC", iso, iso + 11);
    else
        snprintf(label.text, sizeof label.text, "%.60s", iso);
    return label;
}

void qn__page_head(qn__page *page) {
    const char *project = qn__doc_text(page->doc, "project");
    const char *started = qn__doc_text(page->doc, "started");
    const char *run = qn__doc_text(page->doc, "run");
    qn__html(page->out, "<section id=\"verdict\" class=\"verdict\"><h1>%s</h1>\n",
             project ? project : "Model report");
    if (started || run) {
        qn_buf_put_text(page->out, "<p class=\"byline\">");
        if (started)
            qn__html(page->out, "<time datetime=\"%s\">%s</time>", started,
                     readable_time(started).text);
        if (run)
            qn__html(page->out, "%s run <code>%s</code>", started ? " \xc2\xb7" : "", run);
        qn_buf_put_text(page->out, "</p>\n");
    }
    if (page->test || page->chosen) {
        qn_buf_put_text(page->out, "<p class=\"sentence\">");
        put_quality_sentence(page);
        put_value_sentence(page);
        qn_buf_put_text(page->out, "</p>\n");
    }
    put_registration_sentence(page);
    put_warnings(page);
    put_tiles(page);
    qn__page_close(page);
}
