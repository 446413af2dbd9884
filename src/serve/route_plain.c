/* The plain dialect: one object by column name, or a list of them; and what models there are. */
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "serve/serve_int.h"

static qn_status read_plain(qn__exchange *x, const qn__wishes *wishes, bool *ret_single,
                            qn_error *err) {
    qn_scan *scan = &x->desk->scan;
    qn_rows_reader_set_policy(x->desk->reader, wishes->policy);
    qn_scan_again(scan, x->body, x->body_len);
    char c = qn_scan_peek(scan);
    *ret_single = c == '{';
    QN_FAIL_IF(!scan->problem && c != '{' && c != '[', err, QN_ERR_FORMAT,
               "the body must be a JSON object by column name, or a list of them");
    if (!*ret_single)
        QN_TRY(qn_rows_columns_all(x->desk->reader, err));
    QN_TRY(*ret_single ? qn_rows_read_object(x->desk->reader, scan, err)
                       : qn_rows_read_list(x->desk->reader, scan, err));
    return qn_scan_finish(scan) ? QN_OK : qn_scan_error(scan, "the body", err);
}

void qn__handle_plain(qn__exchange *x) {
    if (!qn__take_model(x))
        return;
    qn__wishes wishes;
    bool single;
    if (qn__wishes_of(x, true, &wishes, &x->error) != QN_OK
        || read_plain(x, &wishes, &single, &x->error) != QN_OK
        || qn__desk_predict(x->served, x->desk, wishes.explain, &x->error) != QN_OK) {
        qn__fail(x, &x->error);
        return;
    }
    qn_buf *out = qn__out(x);
    qn_buf_put_text(out, "{\"model\": ");
    qn__put_json_text(out, x->served->name, strlen(x->served->name));
    qn_buf_put_text(out, ", \"version\": ");
    qn_buf_put_text(out, x->served->version_text);
    if (single) {
        qn_buf_put(out, ", ", 2);
        qn__put_members(out, x->served, x->desk, 0, &wishes);
    } else {
        qn_buf_put_text(out, ", \"predictions\": [");
        for (int64_t i = 0; i < qn_rows_count(x->desk->rows); i++) {
            if (i)
                qn_buf_put(out, ", ", 2);
            qn__put_row(out, x->served, x->desk, i, &wishes);
        }
        qn_buf_put_char(out, ']');
    }
    qn_buf_put(out, "}\n", 2);
}

/* --- what there is ---------------------------------------------------------------------------- */

static json_t *time_json(int64_t us) {
    char text[40];
    time_t s = (time_t)(us / 1000000);
    struct tm parts;
    gmtime_r(&s, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return json_string(text);
}

static json_t *brief(const qn__served *served) {
    const qn_target_info *target = served->target;
    json_t *json = json_pack("{s:s, s:I, s:s, s:s, s:o, s:o}", "model", served->name, "version",
                             (json_int_t)(served->version ? served->version : 1), "task",
                             qn_task_name(target->task), "target", target->name, "made",
                             time_json(served->made_us), "opened", time_json(served->opened_us));
    if (json && served->hash[0])
        json_object_set_new(json, "hash", json_string(served->hash));
    return json;
}

static void answer_json(qn__exchange *x, const json_t *json) {
    if (!json) {
        qn__fail_as(x, 503, "out of memory");
        return;
    }
    qn_json_write(json, QN_JSON_COMPACT, qn__out(x));
    qn_buf_put_char(qn__out(x), '\n');
}

void qn__handle_models(qn__exchange *x) {
    qn__served **all;
    size_t n;
    if (qn__models_all(x->server->models, &all, &n, &x->error) != QN_OK) {
        qn__fail(x, &x->error);
        return;
    }
    qn_cleanup(qn_json_free) json_t *json = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(json, brief(all[i]));
        qn__served_release(all[i]);
    }
    qn_freep(&all);
    qn_cleanup(qn_json_free) json_t *answer = json_pack("{s:O}", "models", json);
    answer_json(x, answer);
}

/* The middle of what training saw: the median, or the commonest value; NULL when it is not known. */
static json_t *typical(const json_t *seen) {
    enum { MEDIAN = 4 }; /* of the nine levels of a profile */
    const json_t *median = json_array_get(json_object_get(seen, "quantiles"), MEDIAN);
    const json_t *commonest = json_array_get(json_object_get(seen, "top"), 0);
    json_t *value = json_array_get(median, 1);
    return value ? value : json_object_get(commonest, "value");
}

/* The manifest's inputs, each with its typical value from the histograms that are kept against
 * drift. What lies under "about" is free in form, and may be absent. */
static json_t *signature_inputs(const json_t *manifest) {
    const json_t *about = json_object_get(manifest, "about");
    const json_t *baseline = json_object_get(json_object_get(about, "baseline"), "inputs");
    qn_cleanup(qn_json_free) json_t *by_name = json_object();
    json_t *inputs = json_array(), *entry;
    size_t i;
    json_array_foreach(baseline, i, entry) {
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name)
            json_object_set(by_name, name, entry);
    }
    json_array_foreach(json_object_get(manifest, "inputs"), i, entry) {
        const char *name = json_string_value(json_object_get(entry, "name"));
        json_t *input = json_copy(entry), *value = typical(json_object_get(by_name, name));
        if (value)
            json_object_set(input, "typical", value);
        json_array_append_new(inputs, input);
    }
    return inputs;
}

void qn__handle_model(qn__exchange *x) {
    if (!qn__take_model(x))
        return;
    const qn__served *served = x->served;
    const json_t *manifest = qn_model_manifest(served->model);
    qn_cleanup(qn_json_free) json_t *json = brief(served);
    static const char *const kept[] = {"classes", "family", "link"};
    for (size_t i = 0; json && i < sizeof kept / sizeof kept[0]; i++) {
        json_t *value = json_object_get(manifest, kept[i]);
        if (value)
            json_object_set(json, kept[i], value);
    }
    if (json && served->target->task == QN_TASK_BINARY)
        json_object_set_new(json, "threshold", json_real(qn_model_threshold(served->model)));
    if (json)
        json_object_set_new(json, "inputs", signature_inputs(manifest));
    answer_json(x, json);
}

void qn__handle_alive(qn__exchange *x) {
    qn_buf_put_text(qn__out(x), "{\"alive\": true}\n");
}

void qn__handle_ready(qn__exchange *x) {
    if (atomic_load(&x->server->draining))
        qn__fail_as(x, 503, "this server is shutting down");
    else
        qn_buf_put_text(qn__out(x), "{\"ready\": true}\n");
}
