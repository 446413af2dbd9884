/* Where it fails: the groups of rows on which the model does worst. */
#include <math.h>
#include <string.h>

#include "report/page_int.h"

enum { MAX_SLICES = 12 };

/* Groups may be compared by another metric than the one that decides: not every metric fits
 * groups. */
static const char *slice_metric(const qn__page *page) {
    const char *own = qn__doc_text(page->doc, "slices_metric");
    return own ? own : page->metric ? page->metric : "the metric";
}

static double overall_of(const qn__page *page) {
    return qn__range_of(json_object_get(page->test, slice_metric(page))).value;
}

static void put_slice(qn__page *page, const json_t *slice, double from, double to, bool has_money) {
    const qn__range metric = qn__range_of(json_object_get(slice, "metric"));
    const qn__range difference = qn__range_of(json_object_get(slice, "difference"));
    const double n = qn__doc_number(slice, "n"), share = qn__doc_number(slice, "share");
    qn__html(page->out,
             "<tr><th scope=\"row\">%s<span class=\"sub\">%s</span></th><td class=\"num\">%s"
             "<span class=\"sub\">%s</span></td><td class=\"num\">",
             qn__doc_label(json_object_get(slice, "group")).text, qn__doc_text(slice, "column"),
             isfinite(n) ? qn__count(n).text : "", isfinite(share) ? qn__percent(share).text : "");
    qn__page_range(page, metric, NULL);
    qn_buf_put_text(page->out, "</td><td>");
    qn__page_bar(page, metric, from, to, overall_of(page));
    qn__html(
        page->out, "</td><td class=\"num\">%s%s", difference.value > 0 ? "+" : "",
        qn__fixed(difference.value, qn__decimals(difference.value, difference.low, difference.high))
            .text);
    if (has_money)
        qn__html(page->out, "</td><td class=\"num\">%s",
                 qn__money(page->currency, qn__doc_number(slice, "value_per_row")).text);
    qn__html(page->out, "</td><td>");
    if (qn__doc_true(slice, "flag"))
        qn_buf_put_text(page->out, "<span class=\"badge bad\">worse</span>");
    qn_buf_put_text(page->out, "</td></tr>\n");
}

static void find_scale(const qn__page *page, const json_t *slices, double *ret_from, double *ret_to,
                       bool *ret_money) {
    double from = overall_of(page), to = from;
    for (size_t i = 0; i < json_array_size(slices) && i < MAX_SLICES; i++) {
        const json_t *slice = json_array_get(slices, i);
        const qn__range metric = qn__range_of(json_object_get(slice, "metric"));
        from = fmin(from, fmin(metric.low, metric.value));
        to = fmax(to, fmax(metric.high, metric.value));
        *ret_money |= isfinite(qn__doc_number(slice, "value_per_row"));
    }
    const double margin = (to - from) * 0.04;
    *ret_from = from - margin;
    *ret_to = to + margin;
}

static int count_flags(const json_t *slices) {
    int n = 0;
    size_t i;
    json_t *slice;
    json_array_foreach(slices, i, slice)
        n += qn__doc_true(slice, "flag");
    return n;
}

void qn__page_slices(qn__page *page) {
    const json_t *slices = qn__doc_array(page->doc, "slices");
    if (!slices)
        return;
    static const char *const plain[] = {"Group", ">Rows", ">In the group", "", ">Against the rest",
                                        "",      NULL};
    static const char *const money[] = {
        "Group", ">Rows", ">In the group", "", ">Against the rest", ">Worth per row", "", NULL};
    const char *metric = slice_metric(page);
    const qn__metric_words words = qn__metric_of(metric);
    const qn__word phrase_word = qn__metric_phrase(metric);
    const char *phrase = phrase_word.text;
    double from = NAN, to = NAN;
    bool has_money = false;
    find_scale(page, slices, &from, &to, &has_money);
    const int n_flags = count_flags(slices);
    qn__page_open(page, "slices", "Where it fails", NULL);
    if (n_flags > 0)
        qn__html(page->out,
                 "<p class=\"lead\">%d group%s of rows on which the model does clearly worse than "
                 "on the rest, "
                 "in %s (%s is better). Check whether these groups matter to you.</p>\n",
                 n_flags, n_flags == 1 ? "" : "s", phrase,
                 words.greater_is_better ? "more" : "less");
    else
        qn__html(page->out,
                 "<p class=\"lead\">No group stands out: none does worse than the rest by more "
                 "than chance, in "
                 "%s (%s is better).</p>\n",
                 phrase, words.greater_is_better ? "more" : "less");
    qn__page_table_open(page, "Worst groups", has_money ? money : plain);
    for (size_t i = 0; i < json_array_size(slices) && i < MAX_SLICES; i++)
        put_slice(page, json_array_get(slices, i), from, to, has_money);
    qn__page_table_close(page);
    qn_buf_put_text(page->out, "<p class=\"more\">The line in the bars is the figure over all test "
                               "rows. Groups are values of "
                               "a column or fifths of a number.</p>\n");
    qn__page_close(page);
}
