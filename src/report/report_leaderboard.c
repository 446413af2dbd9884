/* The leaderboard: every model tried, baselines among them, and what the chosen one gains over
 * each. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/page_int.h"

enum { MAX_FACTS = 5 };

typedef struct scale {
    double from, to;
} scale;

static void widen(scale *all, qn__range range) {
    const double ends[] = {range.value, range.low, range.high};
    for (size_t i = 0; i < 3; i++) {
        if (!isfinite(ends[i]))
            continue;
        all->from = fmin(all->from, ends[i]);
        all->to = fmax(all->to, ends[i]);
    }
}

static qn__range test_of(const json_t *entry) {
    return qn__range_of(json_object_get(entry, "test"));
}

/* "87 trees, 31 leaves": the facts of a family, each a number or text with its name. */
static void put_facts(qn__page *page, const json_t *entry) {
    const char *key;
    json_t *value;
    int n = 0;
    json_object_foreach((json_t *)qn__doc_object(entry, "facts"), key, value) {
        if ((!json_is_number(value) && !json_is_string(value)) || n == MAX_FACTS)
            continue;
        char name[40];
        snprintf(name, sizeof name, "%s", strlen(key) < sizeof name ? key : "");
        for (char *c = name; *c; c++)
            *c = *c == '_' ? ' ' : *c;
        qn_buf_put_text(page->out, n++ ? ", " : "<span class=\"sub\">");
        if (json_is_number(value))
            qn__html(page->out, "%s %s", qn__doc_label(value).text, name);
        else
            qn__html(page->out, "%s %s", name, qn__doc_label(value).text);
    }
    if (n)
        qn_buf_put_text(page->out, "</span>");
    const char *refused = qn__doc_text(entry, "refused");
    if (refused)
        qn__html(page->out,
                 "<span class=\"sub\"><span class=\"badge warn\">not eligible</span> %s</span>",
                 refused);
}

static void put_entry(qn__page *page, const json_t *entry, scale all) {
    const bool chosen = qn__doc_true(entry, "chosen");
    const qn__range test = test_of(entry);
    const double on_validation = qn__doc_number(entry, "metric");
    qn__html(page->out, "<tr class=\"%s\"><th scope=\"row\">%s", chosen ? "chosen" : "",
             qn__page_model_title(entry));
    if (chosen)
        qn_buf_put_text(page->out, " <span class=\"badge good\">chosen</span>");
    if (qn__doc_true(entry, "is_baseline"))
        qn_buf_put_text(page->out, " <span class=\"badge plain\">baseline</span>");
    put_facts(page, entry);
    qn__html(
        page->out, "</th><td class=\"num\">%s</td><td class=\"num\">",
        qn__fixed(on_validation, qn__decimals(isfinite(test.value) ? test.value : on_validation,
                                              test.low, test.high))
            .text);
    if (isfinite(test.value))
        qn__page_range(page, test, NULL);
    qn_buf_put_text(page->out, "</td><td>");
    qn__page_bar(page, test, all.from, all.to, NAN);
    const double row_us = qn__doc_number(entry, "row_us");
    qn__html(
        page->out,
        "</td><td class=\"num\">%s</td><td class=\"num\">%s%s</td><td class=\"num\">%s</td></tr>\n",
        qn__duration(qn__doc_number(entry, "train_s")).text,
        row_us < 0.05 ? "<0.1" : qn__fixed(row_us, row_us < 10).text,
        isfinite(row_us) ? " \xc2\xb5s" : "", qn__size(qn__doc_number(entry, "bytes")).text);
}

static void put_table(qn__page *page, const json_t *board) {
    static const char *const heads[] = {"Model",     ">Validation", ">Test", "",
                                        ">Training", ">One row",    ">Size", NULL};
    scale all = {INFINITY, -INFINITY};
    size_t i;
    json_t *entry;
    json_array_foreach(board, i, entry)
        widen(&all, test_of(entry));
    const double margin = (all.to - all.from) * 0.03;
    all = (scale){all.from - margin, all.to + margin};
    qn__page_table_open(page, "Leaderboard", heads);
    json_array_foreach(board, i, entry)
        put_entry(page, entry, all);
    qn__page_table_close(page);
}

static const char *verdict_of(qn__range difference, bool greater_is_better) {
    const double better_by = greater_is_better ? difference.value : -difference.value;
    if (!(difference.low * difference.high > 0))
        return "no clear difference";
    return better_by > 0 ? "clearly better" : "clearly worse";
}

static void put_comparison(qn__page *page, const json_t *comparison, scale all) {
    const qn__range difference = qn__range_of(json_object_get(comparison, "difference"));
    const qn__metric_words words = qn__metric_of(qn__doc_text(comparison, "metric"));
    const json_t *greater = json_object_get(comparison, "greater_is_better");
    const bool greater_is_better =
        json_is_boolean(greater) ? json_is_true(greater) : words.greater_is_better;
    const char *title = qn__doc_text(comparison, "title");
    const char *verdict = verdict_of(difference, greater_is_better);
    qn__html(page->out, "<tr><th scope=\"row\">%s</th><td>%s</td><td class=\"num\">",
             title ? title : qn__doc_text(comparison, "against"), words.title);
    qn__page_range(page, difference, NULL);
    qn_buf_put_text(page->out, "</td><td>");
    qn__page_bar(page, difference, all.from, all.to, 0);
    qn__html(page->out, "</td><td><span class=\"badge %s\">%s</span></td></tr>\n",
             strstr(verdict, "better")  ? "good"
             : strstr(verdict, "worse") ? "bad"
                                        : "plain",
             verdict);
}

static void put_comparisons(qn__page *page) {
    const json_t *comparisons = qn__doc_array(page->doc, "comparison");
    if (!comparisons)
        return;
    static const char *const heads[] = {"Against", "Metric", ">Difference", "", "Verdict", NULL};
    scale all = {0, 0};
    size_t i;
    json_t *comparison;
    json_array_foreach(comparisons, i, comparison)
        widen(&all, qn__range_of(json_object_get(comparison, "difference")));
    const double margin = (all.to - all.from) * 0.04;
    all = (scale){all.from - margin, all.to + margin};
    qn_buf_put_text(page->out,
                    "<h3>The chosen model against the others, on the same test rows</h3>\n");
    qn__page_table_open(page, "Differences between models", heads);
    json_array_foreach(comparisons, i, comparison)
        put_comparison(page, comparison, all);
    qn__page_table_close(page);
    qn_buf_put_text(page->out, "<p class=\"more\">Chosen model minus the other. When the interval "
                               "leaves out 0 (the "
                               "line), the difference is hardly chance.</p>\n");
}

void qn__page_leaderboard(qn__page *page) {
    const json_t *board = qn__doc_array(page->doc, "leaderboard");
    if (!board && !qn__doc_array(page->doc, "comparison"))
        return;
    qn__page_open(page, "leaderboard", "Which model won", NULL);
    if (page->metric) {
        qn__html(page->out,
                 "<p class=\"lead\">Chosen by %s on the validation rows (%s is better). The "
                 "baselines show "
                 "what is possible with hardly any model.</p>\n",
                 qn__metric_phrase(page->metric).text,
                 qn__metric_of(page->metric).greater_is_better ? "more" : "less");
    }
    if (board)
        put_table(page, board);
    put_comparisons(page);
    qn__page_close(page);
}
