/* The data: classes, warnings, and a line for every column with a tiny histogram. */
#include <math.h>
#include <string.h>

#include "report/page_int.h"

/* More columns than this are folded away, and more than the second number are not listed. */
enum { MAX_OPEN_FIELDS = 24, MAX_FIELDS = 400, MAX_CLASSES = 20 };

static const char *badge_of(const char *severity) {
    if (severity && !strcmp(severity, "error"))
        return "bad";
    return severity && !strcmp(severity, "warning") ? "warn" : "plain";
}

static const char *word_of(const char *severity) {
    if (severity && !strcmp(severity, "error"))
        return "Serious";
    return severity && !strcmp(severity, "warning") ? "Warning" : "Note";
}

static void put_warnings_of(qn__page *page, const json_t *warnings, const char *severity) {
    size_t i;
    json_t *warning;
    json_array_foreach(warnings, i, warning) {
        const char *its = qn__doc_text(warning, "severity"),
                   *message = qn__doc_text(warning, "message");
        const char *column = qn__doc_text(warning, "column");
        if (!message || strcmp(word_of(its), severity) != 0)
            continue;
        qn__html(page->out, "<li><span class=\"badge %s\">%s</span> ", badge_of(its), severity);
        if (column && !strstr(message, column))
            qn__html(page->out, "<code>%s</code>: ", column);
        qn__html(page->out, "%s</li>\n", message);
    }
}

static void put_warnings(qn__page *page, const json_t *profile) {
    const json_t *warnings = qn__doc_array(profile, "warnings");
    if (!warnings)
        return;
    qn_buf_put_text(page->out, "<h3>Worth knowing about the data</h3>\n<ul class=\"warnings\">\n");
    put_warnings_of(page, warnings, "Serious");
    put_warnings_of(page, warnings, "Warning");
    put_warnings_of(page, warnings, "Note");
    qn_buf_put_text(page->out, "</ul>\n");
}

static void put_meter(qn__page *page, double share, const char *class) {
    qn__html(page->out,
             "<span class=\"meter %s\" aria-hidden=\"true\"><i style=\"width:%s%%\"></i></span>",
             class, qn__fixed(100 * fmax(0, fmin(1, share)), 1).text);
}

static void put_classes(qn__page *page, const json_t *profile) {
    const json_t *classes = qn__doc_array(profile, "classes");
    if (!classes)
        return;
    static const char *const heads[] = {"Class", ">Rows", ">Share", "", NULL};
    qn__html(page->out, "<h3>What <q>%s</q> looks like</h3>\n",
             page->target ? page->target : "the target");
    qn__page_table_open(page, "Classes of the target", heads);
    size_t i;
    json_t *class;
    json_array_foreach(classes, i, class) {
        const double share = qn__doc_number(class, "share");
        if (i >= MAX_CLASSES)
            break;
        qn__html(
            page->out,
            "<tr><th scope=\"row\">%s</th><td class=\"num\">%s</td><td class=\"num\">%s</td><td>",
            qn__doc_label(json_object_get(class, "label")).text,
            qn__count(qn__doc_number(class, "count")).text, qn__percent(share).text);
        put_meter(page, share, "long");
        qn_buf_put_text(page->out, "</td></tr>\n");
    }
    qn__page_table_close(page);
    if (json_array_size(classes) > MAX_CLASSES)
        qn__html(page->out, "<p class=\"more\">and %d more classes.</p>\n",
                 (int)json_array_size(classes) - MAX_CLASSES);
}

/* Bars by CSS: hundreds of columns would make hundreds of charts. */
static void put_spark(qn__page *page, const json_t *counts) {
    double most = 0;
    for (size_t i = 0; i < json_array_size(counts); i++)
        most = fmax(most, qn__doc_item(counts, i));
    if (!(most > 0))
        return;
    qn_buf_put_text(page->out, "<span class=\"spark\" aria-hidden=\"true\">");
    for (size_t i = 0; i < json_array_size(counts) && i < 64; i++) {
        const double n = qn__doc_item(counts, i);
        qn__html(page->out, "<i style=\"height:%s%%\"></i>",
                 qn__fixed(n > 0 ? fmax(4, 100 * n / most) : 0, 0).text);
    }
    qn_buf_put_text(page->out, "</span>");
}

static double quantile(const json_t *field, double p) {
    size_t i;
    json_t *pair;
    json_array_foreach(qn__doc_array(field, "quantiles"), i, pair)
        if (fabs(qn__doc_item(pair, 0) - p) < 1e-9)
            return qn__doc_item(pair, 1);
    return NAN;
}

static void put_values(qn__page *page, const json_t *field) {
    const json_t *histogram = qn__doc_object(field, "histogram");
    const json_t *top = qn__doc_array(field, "top");
    const double median = quantile(field, 0.5);
    const json_t *low = json_object_get(field, "min"), *high = json_object_get(field, "max");
    put_spark(page, qn__doc_array(histogram, "counts"));
    if (low && high && !json_is_null(low) && !json_is_null(high)) {
        qn__html(page->out, "<span class=\"values\">%s to %s", qn__doc_label(low).text,
                 qn__doc_label(high).text);
        if (isfinite(median))
            qn__html(page->out, ", median %s", qn__number(median).text);
        qn_buf_put_text(page->out, "</span>");
    } else if (top) {
        qn_buf_put_text(page->out, "<span class=\"values\">");
        for (size_t i = 0; i < json_array_size(top) && i < 3; i++)
            qn__html(page->out, "%s%s", i ? ", " : "",
                     qn__doc_label(json_object_get(json_array_get(top, i), "value")).text);
        const double distinct = qn__doc_number(field, "distinct");
        qn_buf_put_text(page->out, distinct > 3 ? ", \xe2\x80\xa6</span>" : "</span>");
    }
}

static void put_association(qn__page *page, const json_t *field) {
    const json_t *association = qn__doc_object(field, "association");
    const char *measure = qn__doc_text(association, "measure");
    const double value = qn__doc_number(association, "value");
    if (!measure || !isfinite(value)) {
        qn_buf_put_text(page->out, "<td></td>");
        return;
    }
    const bool is_auc = !strcmp(measure, "auc");
    const char *name = is_auc ? "AUC" : !strcmp(measure, "r2") ? "R\xc2\xb2" : "gain";
    const double strength = is_auc ? fabs(value - 0.5) * 2 : fabs(value);
    qn_buf_put_text(page->out, "<td class=\"assoc\">");
    put_meter(page, strength, "");
    qn__html(page->out, " %s %s</td>", name, qn__fixed(value, 2).text);
}

static const char *type_word(const char *type) {
    static const struct {
        const char *type, *word;
    } known[] = {{"f64", "number"}, {"i64", "whole number"}, {"bool", "yes or no"}};
    for (size_t i = 0; type && i < sizeof known / sizeof *known; i++)
        if (!strcmp(type, known[i].type))
            return known[i].word;
    return type;
}

static void put_field(qn__page *page, const json_t *field) {
    const char *name = qn__doc_text(field, "name"), *type = qn__doc_text(field, "type");
    const char *role = qn__doc_text(field, "role");
    const double missing = qn__doc_number(field, "missing_share");
    qn__html(page->out, "<tr><th scope=\"row\">%s", name ? name : "?");
    if (role && !strcmp(role, "target"))
        qn_buf_put_text(page->out, " <span class=\"badge plain\">target</span>");
    qn__html(
        page->out,
        "</th><td>%s</td><td class=\"num\">%s</td><td class=\"num\">%s</td><td class=\"dist\">",
        type_word(type),
        missing > 0         ? qn__percent(missing).text
        : isfinite(missing) ? "none"
                            : "",
        qn__count(qn__doc_number(field, "distinct")).text);
    put_values(page, field);
    qn_buf_put_text(page->out, "</td>");
    put_association(page, field);
    qn_buf_put_text(page->out, "</tr>\n");
}

static void put_fields(qn__page *page, const json_t *profile) {
    const json_t *fields = qn__doc_array(profile, "fields");
    const size_t n = json_array_size(fields);
    if (!n)
        return;
    static const char *const heads[] = {
        "Column", "Type", ">Missing", ">Distinct", "Values", "Alone, with the target", NULL};
    qn__html(page->out, "<h3>Columns</h3>\n");
    if (n > MAX_OPEN_FIELDS)
        qn__html(page->out, "<details><summary>All %s columns</summary>\n",
                 qn__count((double)n).text);
    qn__page_table_open(page, "Columns of the data", heads);
    for (size_t i = 0; i < n && i < MAX_FIELDS; i++)
        put_field(page, json_array_get(fields, i));
    qn__page_table_close(page);
    if (n > MAX_FIELDS)
        qn__html(page->out, "<p class=\"more\">and %s more columns.</p>\n",
                 qn__count((double)(n - MAX_FIELDS)).text);
    if (n > MAX_OPEN_FIELDS)
        qn_buf_put_text(page->out, "</details>\n");
}

void qn__page_data(qn__page *page) {
    const json_t *profile = qn__doc_object(page->doc, "profile");
    const json_t *dataset = qn__doc_object(page->doc, "dataset");
    if (!profile && !dataset)
        return;
    const double rows = qn__doc_number(dataset ? dataset : profile, "rows");
    const double columns = qn__doc_number(dataset ? dataset : profile, "columns");
    const double sampled_from = qn__doc_number(dataset, "sampled_from");
    const double target_missing = qn__doc_number(dataset, "target_missing");
    const double duplicates = qn__doc_number(profile, "duplicate_rows");
    qn__page_open(page, "data", "The data", NULL);
    qn__html(page->out, "<p class=\"lead\">%s rows of %s columns", qn__count(rows).text,
             qn__count(columns).text);
    if (isfinite(sampled_from) && sampled_from > rows)
        qn__html(page->out, ", a sample of %s", qn__count(sampled_from).text);
    if (target_missing > 0)
        qn__html(page->out, "; %s more had no target and were left out",
                 qn__count(target_missing).text);
    if (duplicates > 0)
        qn__html(page->out, "; %s are copies of another row", qn__count(duplicates).text);
    qn_buf_put_text(page->out, ".</p>\n");
    put_warnings(page, profile);
    put_classes(page, profile);
    put_fields(page, profile);
    qn__page_close(page);
}
