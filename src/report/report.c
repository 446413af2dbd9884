#include "report/report.h"

#include <math.h>
#include <string.h>

#include "base/asset.h"
#include "report/page_int.h"

static const char *const scripts[] = {"vega.min.js", "vega-lite.min.js", "vega-embed.min.js",
                                      "report.js"};
enum { N_SCRIPTS = sizeof scripts / sizeof *scripts };

void qn__page_open(qn__page *page, const char *id, const char *title, const char *lead) {
    qn__html(page->out,
             "<section id=\"%s\" aria-labelledby=\"%s-title\"><h2 id=\"%s-title\">%s</h2>\n", id,
             id, id, title);
    if (lead)
        qn__html(page->out, "<p class=\"lead\">%s</p>\n", lead);
}

void qn__page_close(qn__page *page) {
    qn_buf_put_text(page->out, "</section>\n");
}

void qn__page_chart(qn__page *page, const qn__chart *chart, json_t *fill) {
    if (page->status) {
        json_decref(fill);
        return;
    }
    page->status = qn__chart_put(page->out, chart, fill, page->err);
}

void qn__page_table_open(qn__page *page, const char *caption, const char *const *heads) {
    qn__html(page->out,
             "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\"><table>"
             "<caption class=\"hidden\">%s</caption><thead><tr>",
             caption, caption);
    for (; *heads; heads++) {
        const bool right = **heads == '>';
        qn__html(page->out, "<th scope=\"col\" class=\"%s\">%s</th>", right ? "num" : "",
                 *heads + right);
    }
    qn_buf_put_text(page->out, "</tr></thead><tbody>\n");
}

void qn__page_table_close(qn__page *page) {
    qn_buf_put_text(page->out, "</tbody></table></div>\n");
}

qn__range qn__range_of(const json_t *json) {
    if (json_is_number(json))
        return (qn__range){json_number_value(json), NAN, NAN};
    return (qn__range){qn__doc_number(json, "value"), qn__doc_number(json, "low"),
                       qn__doc_number(json, "high")};
}

void qn__page_range(qn__page *page, qn__range range, const char *currency) {
    const bool has_interval = isfinite(range.low) && isfinite(range.high);
    const int decimals = qn__decimals(range.value, range.low, range.high);
    if (currency) {
        qn__html(page->out, "%s", qn__money(currency, range.value).text);
        if (has_interval)
            qn__html(page->out, " <span class=\"iv\">(%s to %s)</span>",
                     qn__money(NULL, range.low).text, qn__money(NULL, range.high).text);
        return;
    }
    qn__html(page->out, "%s", qn__fixed(range.value, decimals).text);
    if (has_interval)
        qn__html(page->out, " <span class=\"iv\">(%s to %s)</span>",
                 qn__fixed(range.low, decimals).text, qn__fixed(range.high, decimals).text);
}

static double percent_along(double x, double from, double to) {
    const double share = (x - from) / (to - from);
    return isfinite(share) ? 100 * fmax(0, fmin(1, share)) : 0;
}

void qn__page_bar(qn__page *page, qn__range range, double from, double to, double mark) {
    if (!isfinite(range.value) || !(to > from))
        return;
    const bool has_interval = isfinite(range.low) && isfinite(range.high);
    const double low = percent_along(has_interval ? range.low : range.value, from, to);
    const double high = percent_along(has_interval ? range.high : range.value, from, to);
    qn_buf_put_text(page->out, "<span class=\"bar\" aria-hidden=\"true\">");
    if (isfinite(mark) && mark >= from && mark <= to)
        qn__html(page->out, "<u style=\"left:%s%%\"></u>",
                 qn__fixed(percent_along(mark, from, to), 1).text);
    qn__html(page->out, "<i style=\"left:%s%%;width:%s%%\"></i><b style=\"left:%s%%\"></b></span>",
             qn__fixed(low, 1).text, qn__fixed(high - low, 1).text,
             qn__fixed(percent_along(range.value, from, to), 1).text);
}

const char *qn__page_model_title(const json_t *entry) {
    const char *title = qn__doc_text(entry, "title");
    if (!title)
        title = qn__doc_text(entry, "family");
    return title ? title : "model";
}

static void put_asset(qn_buf *out, const char *name) {
    const qn_asset *asset = qn_asset_find(qn__report_assets, name);
    if (asset)
        qn_buf_put(out, asset->bytes, asset->n);
}

/* Only the page's own scripts may run, nothing may be loaded, and no form or frame may go anywhere:
 * even if some text were not escaped, it could do nothing. Vega's expressions are run by its
 * interpreter, so eval stays forbidden. Styles must be inline: Vega sets them on its elements. */
static void put_policy(qn_buf *out) {
    qn_buf_put_text(
        out,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
        "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; script-src");
    for (size_t i = 0; i < N_SCRIPTS; i++) {
        const qn_asset *asset = qn_asset_find(qn__report_assets, scripts[i]);
        if (asset)
            qn__html(out, " &#39;%s&#39;", asset->csp);
    }
    qn_buf_put_text(out, "\">\n");
}

static void put_top(qn__page *page) {
    qn_buf *out = page->out;
    const char *project = qn__doc_text(page->doc, "project");
    qn_buf_put_text(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    put_policy(out);
    qn_buf_put_text(out,
                    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                    "<meta name=\"color-scheme\" content=\"light dark\">\n"
                    "<meta name=\"generator\" content=\"Quern\">\n<meta name=\"referrer\" "
                    "content=\"no-referrer\">\n");
    qn__html(out, "<title>%s - Quern report</title>\n<style>\n", project ? project : "Model");
    put_asset(out, "report.css");
    qn_buf_put_text(
        out, "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the report</a>\n"
             "<header class=\"top\"><span class=\"wordmark\">");
    put_asset(out, "mark.svg");
    qn_buf_put_text(
        out, "Quern</span><button type=\"button\" id=\"theme\" hidden>Dark</button></header>\n"
             "<div class=\"page\">\n<nav id=\"contents\" aria-label=\"Contents\"></nav>\n<main "
             "id=\"main\">\n");
}

static void put_bottom(qn__page *page) {
    qn_buf *out = page->out;
    const char *version = qn__doc_text(page->doc, "quern");
    qn_buf_put_text(out, "</main>\n</div>\n<noscript><p class=\"noscript\">Charts need JavaScript. "
                         "All figures that "
                         "matter are also in the tables.</p></noscript>\n");
    qn__html(out,
             "<footer>Made by Quern%s%s. This file needs no network and holds everything it "
             "shows.</footer>\n",
             version ? " " : "", version ? version : "");
    for (size_t i = 0; i < N_SCRIPTS; i++) {
        qn_buf_put_text(out, "<script>");
        put_asset(out, scripts[i]);
        qn_buf_put_text(out, "</script>\n");
    }
    qn_buf_put_text(out, "</body>\n</html>\n");
}

static void gather_facts(qn__page *page) {
    const json_t *task = qn__doc_object(page->doc, "task");
    page->kind = qn__doc_text(task, "kind");
    page->target = qn__doc_text(task, "target");
    if (json_object_get(task, "positive") && !json_is_null(json_object_get(task, "positive")))
        page->positive = qn__doc_label(json_object_get(task, "positive"));
    page->currency = qn__doc_text(qn__doc_object(page->doc, "value"), "currency");
    page->metric = qn__doc_text(page->doc, "metric");
    page->test = qn__doc_object(qn__doc_object(page->doc, "metrics"), "test");
    const json_t *board = qn__doc_array(page->doc, "leaderboard");
    size_t i;
    json_t *entry;
    json_array_foreach(board, i, entry)
        if (!page->chosen && qn__doc_true(entry, "chosen"))
            page->chosen = entry;
}

qn_status qn_report_write(const json_t *document, qn_buf *out, qn_error *err) {
    QN_FAIL_IF(!json_is_object(document), err, QN_ERR_FORMAT, "a run document is a JSON object");
    const size_t len_before = out->len;
    qn__page page = {.out = out, .doc = document, .err = err};
    gather_facts(&page);
    put_top(&page);
    qn__page_head(&page);
    qn__page_asked(&page);
    qn__page_data(&page);
    qn__page_leaderboard(&page);
    qn__page_quality(&page);
    qn__page_value(&page);
    qn__page_slices(&page);
    qn__page_why(&page);
    qn__page_how(&page);
    put_bottom(&page);
    if (!page.status)
        page.status = qn_buf_status(out, err);
    if (page.status && out->data) {
        out->len = len_before;
        out->data[len_before] = '\0';
    }
    return page.status;
}
