/* What was asked: task, source, split, sample, metric, value table - the frame in which all else is
 * read. */
#include <math.h>
#include <string.h>

#include "report/page_int.h"

enum { MAX_PAYOFFS = 30 };

static void put_fact_open(qn__page *page, const char *name) {
    qn__html(page->out, "<div><dt>%s</dt><dd>", name);
}

static void put_fact_close(qn__page *page) {
    qn_buf_put_text(page->out, "</dd></div>\n");
}

static void put_classes(qn__page *page, const json_t *task) {
    const json_t *classes = qn__doc_array(task, "classes");
    const size_t n = json_array_size(classes);
    if (!n)
        return;
    put_fact_open(page, n == 2 ? "Classes" : "Classes to tell apart");
    for (size_t i = 0; i < n && i < 12; i++)
        qn__html(page->out, "%s<q>%s</q>", i ? ", " : "",
                 qn__doc_label(json_array_get(classes, i)).text);
    if (n > 12)
        qn__html(page->out, " and %d more", (int)(n - 12));
    if (*page->positive.text)
        qn__html(page->out, "; <q>%s</q> is the positive one", page->positive.text);
    put_fact_close(page);
}

static void put_task(qn__page *page) {
    const json_t *task = qn__doc_object(page->doc, "task");
    if (page->target || page->kind) {
        put_fact_open(page, "Question");
        if (!page->kind || !strcmp(page->kind, "regression"))
            qn__html(page->out, "What is the number in <q>%s</q>?",
                     page->target ? page->target : "the target");
        else if (!strcmp(page->kind, "ranking"))
            qn__html(page->out, "In which order do the rows of one <q>%s</q> come, by <q>%s</q>?",
                     qn__doc_text(task, "query") ? qn__doc_text(task, "query") : "query",
                     page->target ? page->target : "the target");
        else if (!strcmp(page->kind, "binary"))
            qn__html(page->out, "Which of two values does <q>%s</q> have?",
                     page->target ? page->target : "the target");
        else
            qn__html(page->out, "Which class is <q>%s</q>?",
                     page->target ? page->target : "the target");
        put_fact_close(page);
    }
    put_classes(page, task);
}

static void put_source(qn__page *page) {
    const json_t *source = qn__doc_object(page->doc, "source");
    const char *path = qn__doc_text(source, "path"), *query = qn__doc_text(source, "query");
    if (!path)
        return;
    put_fact_open(page, "Source");
    qn__html(page->out, "<code>%s</code>", path);
    if (query)
        qn__html(page->out, "<pre><code>%s</code></pre>", query);
    put_fact_close(page);
}

static void put_split(qn__page *page) {
    const json_t *split = qn__doc_object(page->doc, "split");
    if (!split)
        return;
    static const struct {
        const char *method, *words;
    } known[] = {{"stratified", "at random, keeping the share of each class"},
                 {"random", "at random"},
                 {"time", "by time: trained on the past, judged on what came later"},
                 {"group", "by group: no group is in two parts"}};
    const char *method = qn__doc_text(split, "method"), *words = method,
               *note = qn__doc_text(split, "note");
    for (size_t i = 0; method && i < sizeof known / sizeof *known; i++)
        if (!strcmp(method, known[i].method))
            words = known[i].words;
    put_fact_open(page, "Split");
    static const char *const parts[] = {"train", "validate", "test"};
    static const char *const verbs[] = {"rows to learn from", "to choose with",
                                        "kept aside to judge"};
    const char *between = "";
    for (size_t i = 0; i < 3; i++) {
        const double n = qn__doc_number(split, parts[i]);
        if (!(n > 0))
            continue;
        qn__html(page->out, "%s%s %s", between, qn__count(n).text, verbs[i]);
        between = ", ";
    }
    if (words)
        qn__html(page->out, "%s%s", *between ? "; " : "", words);
    if (note)
        qn__html(page->out, ". %s", note);
    put_fact_close(page);
}

static void put_sample(qn__page *page) {
    const json_t *sample = qn__doc_object(page->doc, "sample");
    const double kept = qn__doc_number(sample, "kept"), of = qn__doc_number(sample, "of");
    const double negatives = qn__doc_number(sample, "negatives");
    if (!isfinite(kept) && !isfinite(negatives))
        return;
    put_fact_open(page, "Sample");
    if (isfinite(kept) && isfinite(of))
        qn__html(page->out, "%s of %s rows kept", qn__count(kept).text, qn__count(of).text);
    if (isfinite(negatives) && negatives < 1)
        qn__html(page->out,
                 "%s%s of the negatives; probabilities are put back on the scale of the full data",
                 isfinite(kept) && isfinite(of) ? ": " : "", qn__percent(negatives).text);
    put_fact_close(page);
}

/* {actual: {predicted: payoff}}; the rest is worth 0. */
static void put_matrix(qn__page *page) {
    const json_t *matrix = qn__doc_object(qn__doc_object(page->doc, "value"), "matrix");
    if (!matrix)
        return;
    put_fact_open(page, "What answers are worth");
    qn_buf_put_text(page->out, "<ul class=\"bare\">");
    const char *actual, *predicted;
    json_t *row, *payoff;
    int n = 0;
    json_object_foreach((json_t *)matrix, actual, row) {
        json_object_foreach(row, predicted, payoff) {
            if (n++ < MAX_PAYOFFS)
                qn__html(page->out, "<li><q>%s</q> taken for <q>%s</q>: <code>%s</code></li>",
                         actual, predicted, qn__doc_label(payoff).text);
        }
    }
    if (n > MAX_PAYOFFS)
        qn__html(page->out, "<li>and %d more</li>", n - MAX_PAYOFFS);
    qn_buf_put_text(page->out, "</ul>");
    put_fact_close(page);
}

static void put_payoffs(qn__page *page) {
    const json_t *payoffs = qn__doc_object(qn__doc_object(page->doc, "value"), "expressions");
    if (!payoffs)
        return;
    static const struct {
        const char *name, *words;
    } known[] = {{"true_positive", "acting rightly"},
                 {"false_positive", "acting for nothing"},
                 {"false_negative", "missing one"},
                 {"true_negative", "rightly leaving it"},
                 {"per_row", "each row"}};
    put_fact_open(page, "What outcomes are worth");
    qn_buf_put_text(page->out, "<ul class=\"bare\">");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)payoffs, key, value) {
        const char *words = key;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (!strcmp(key, known[i].name))
                words = known[i].words;
        qn__html(page->out, "<li>%s: <code>%s</code></li>", words, qn__doc_label(value).text);
    }
    qn_buf_put_text(page->out, "</ul>");
    put_fact_close(page);
}

void qn__page_asked(qn__page *page) {
    if (!page->target && !page->kind && !qn__doc_object(page->doc, "source"))
        return;
    qn__page_open(page, "asked", "What was asked", NULL);
    qn_buf_put_text(page->out, "<dl class=\"facts\">\n");
    put_task(page);
    put_source(page);
    put_split(page);
    put_sample(page);
    if (page->metric) {
        const qn__metric_words words = qn__metric_of(page->metric);
        put_fact_open(page, "Judged by");
        qn__html(page->out, "%s. %s", words.title, words.help);
        put_fact_close(page);
    }
    put_payoffs(page);
    put_matrix(page);
    qn_buf_put_text(page->out, "</dl>\n");
    qn__page_close(page);
}
