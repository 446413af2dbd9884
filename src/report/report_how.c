/* How it was made: everything needed to make it again, folded away until somebody asks. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "report/page_int.h"

static void put_line(qn__page *page, const char *name, const char *value) {
    if (value && *value)
        qn__html(page->out, "<div><dt>%s</dt><dd><code>%s</code></dd></div>\n", name, value);
}

static void put_number_line(qn__page *page, const char *name, double value,
                            qn__word (*words)(double)) {
    if (isfinite(value))
        put_line(page, name, words(value).text);
}

static void put_identity(qn__page *page) {
    const json_t *model = qn__doc_object(page->doc, "model"),
                 *dataset = qn__doc_object(page->doc, "dataset");
    const json_t *environment = qn__doc_object(page->doc, "environment"),
                 *split = qn__doc_object(page->doc, "split");
    const char *version = qn__doc_text(environment, "quern");
    qn_buf_put_text(page->out, "<details><summary>Identity: data, model, code, "
                               "machine</summary>\n<dl class=\"facts\">\n");
    put_line(page, "Run", qn__doc_text(page->doc, "run"));
    put_line(page, "Started", qn__doc_text(page->doc, "started"));
    put_line(page, "Data hash", qn__doc_text(dataset, "hash"));
    put_line(page, "Model file", qn__doc_text(model, "file"));
    put_line(page, "Model hash", qn__doc_text(model, "hash"));
    put_line(page, "Model family", qn__doc_text(model, "family"));
    put_number_line(page, "Model size", qn__doc_number(model, "bytes"), qn__size);
    const json_t *seed = json_object_get(split, "seed");
    if (json_is_integer(seed)) {
        char text[32];
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(seed));
        put_line(page, "Seed", text);
    }
    put_line(page, "Quern", version ? version : qn__doc_text(page->doc, "quern"));
    put_line(page, "Git commit", qn__doc_text(environment, "git_commit"));
    put_line(page, "Machine", qn__doc_text(environment, "host"));
    put_line(page, "System", qn__doc_text(environment, "os"));
    put_line(page, "Processor", qn__doc_text(environment, "cpu"));
    put_number_line(page, "Processors", qn__doc_number(environment, "processors"), qn__count);
    put_number_line(page, "Memory", qn__doc_number(environment, "memory_bytes"), qn__size);
    put_line(page, "Compiler", qn__doc_text(environment, "compiler"));
    put_number_line(page, "Threads", qn__doc_number(environment, "threads"), qn__count);
    qn_buf_put_text(page->out, "</dl></details>\n");
}

static void put_json(qn__page *page, const char *title, const json_t *json) {
    if (!json || page->status)
        return;
    qn_cleanup(qn_freep)
    char *text = qn_json_text(json, QN_JSON_PRETTY);
    if (!text) {
        page->status = qn_error_memory(page->err);
        return;
    }
    qn__html(
        page->out,
        "<details><summary>%s</summary>\n<pre class=\"scroll\" tabindex=\"0\"><code>%s</code></pre>"
        "</details>\n",
        title, text);
}

/* "train_s" as "train"; the total is the frame, not a step. */
static bool step_name(const char *key, char *name, size_t name_bytes) {
    const size_t n = strlen(key);
    if (n < 3 || strcmp(key + n - 2, "_s") != 0 || !strcmp(key, "total_s") || n - 2 >= name_bytes)
        return false;
    memcpy(name, key, n - 2);
    name[n - 2] = '\0';
    for (char *c = name; *c; c++)
        *c = *c == '_' ? ' ' : *c;
    return true;
}

static void put_timings(qn__page *page) {
    const json_t *timings = qn__doc_object(page->doc, "timings");
    qn_cleanup(qn_json_free)
    json_t *rows = json_array();
    double at = 0;
    bool ok = rows != NULL;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)timings, key, value) {
        char name[40];
        const double seconds = json_is_number(value) ? json_number_value(value) : NAN;
        if (!ok || !(seconds >= 0) || !step_name(key, name, sizeof name))
            continue;
        ok = !json_array_append_new(rows, json_pack("{s:s, s:f, s:f, s:s}", "step", name, "from",
                                                    at, "to", at + seconds, "text",
                                                    qn__duration(seconds).text));
        at += seconds;
    }
    if (!ok)
        page->status = page->status ? page->status : qn_error_memory(page->err);
    else if (json_array_size(rows)) {
        char alt[120];
        snprintf(alt, sizeof alt, "Steps of the run one after the other; %s in all.",
                 qn__duration(at).text);
        const qn__chart chart = {"timings", "Where the time went", NULL, alt, true};
        qn_buf_put_text(page->out, "<div class=\"charts\">\n");
        qn__page_chart(page, &chart, json_pack("{s:O}", "table", rows));
        qn_buf_put_text(page->out, "</div>\n");
    }
}

void qn__page_how(qn__page *page) {
    qn__page_open(page, "how", "How it was made",
                  "The same data, config and seed give the same model again, byte for byte.");
    put_timings(page);
    put_identity(page);
    put_json(page, "Config (quern.yaml, with the defaults filled in)",
             qn__doc_object(page->doc, "config"));
    put_json(page, "Parameters of the chosen model", qn__doc_object(page->chosen, "params"));
    qn__page_close(page);
}
