/* quern runs ..., quern check. */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/table.h"
#include "store/workspace.h"

static qn_status open_workspace(const qn_cli_args *args, qn_workspace **ret, qn_error *err) {
    return qn_workspace_open(args->folder, false, ret, err);
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "-";
}

/* The few metrics that people look for first. */
static void put_main_metrics(const json_t *metrics, qn_buf *out) {
    static const char *const first[] = {"log_loss", "roc_auc", "pr_auc", "accuracy",
                                        "rmse",     "mae",     "r2"};
    int n = 0;
    for (size_t i = 0; i < sizeof first / sizeof first[0] && n < 3; i++) {
        const json_t *value = json_object_get(metrics, first[i]);
        if (json_is_number(value))
            qn_buf_printf(out, "%s%s %.4g", n++ ? ", " : "", first[i], json_number_value(value));
    }
}

static void put_run(const json_t *run, qn_table *table) {
    qn_cleanup(qn_buf_done) qn_buf metrics = {0};
    put_main_metrics(json_object_get(run, "metrics"), &metrics);
    qn__table_row(table);
    qn__table_cell(table, "%s", text_of(run, "run"));
    qn__table_cell(table, "%s", text_of(run, "status"));
    qn__table_cell(table, "%.19s", text_of(run, "started"));
    qn__table_cell(table, "%s", text_of(run, "family"));
    const char *reason = json_string_value(json_object_get(run, "reason"));
    qn__table_cell(table, "%.200s", reason ? reason : qn_buf_text(&metrics));
}

qn_status qn__cmd_runs_list(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = NULL;
    qn_cleanup(qn_json_free) json_t *runs = NULL;
    int64_t limit = 20;
    const char *text = qn__cli_value(args, "limit");
    QN_FAIL_IF(text && (!qn_text_to_i64(text, &limit) || limit < 0), err, QN_ERR_USAGE,
               "--limit must be a whole number, not '%s'", text);
    QN_TRY(open_workspace(args, &workspace, err));
    QN_TRY(qn_run_list(workspace, limit, &runs, err));
    if (args->json) {
        qn_cleanup(qn_json_free) json_t *json = json_pack("{s:O}", "runs", runs);
        return json ? qn__cli_print_json(args, json, err) : qn_error_memory(err);
    }
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_cleanup(qn__table_done) qn_table table = {0};
    QN_TRY(qn__table_init(&table, "run|status|started|family|test", err));
    size_t i;
    const json_t *run;
    json_array_foreach(runs, i, run)
        put_run(run, &table);
    if (json_array_size(runs))
        qn__table_write(&table, &out);
    else
        qn_buf_put_text(&out, "No runs yet: 'quern run' makes one.\n");
    return qn__cli_print(args, &out, err);
}

qn_status qn__cmd_runs_show(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = NULL;
    qn_cleanup(qn_json_free) json_t *run = NULL;
    QN_TRY(open_workspace(args, &workspace, err));
    QN_TRY(qn_run_get(workspace, args->arguments[0], &run, err));
    if (args->json)
        return qn__cli_print_json(args, run, err);
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_json_write(run, QN_JSON_PRETTY, &out);
    qn_buf_put_char(&out, '\n');
    return qn__cli_print(args, &out, err);
}

/* --- compare ---------------------------------------------------------------------------------- */

/* Every plain value of `json` as "a.b.c" -> value, into the object `flat`. */
static void flatten(const json_t *json, const char *prefix, int depth, json_t *flat) {
    const char *key;
    json_t *value;
    if (depth > 8)
        return;
    json_object_foreach((json_t *)(uintptr_t)json, key, value) {
        qn_cleanup(qn_freep) char *name = qn_format("%s%s%s", prefix, *prefix ? "." : "", key);
        if (!name)
            return;
        if (json_is_object(value))
            flatten(value, name, depth + 1, flat);
        else if (!json_is_array(value))
            json_object_set(flat, name, value);
    }
}

static json_t *flat_run(const json_t *run) {
    json_t *flat = json_object();
    const json_t *summary = json_object_get(run, "summary");
    static const char *const parts[] = {"model", "metrics", "value", "dataset", "split", "timings"};
    for (size_t i = 0; flat && i < sizeof parts / sizeof parts[0]; i++)
        flatten(json_object_get(summary, parts[i]), parts[i], 0, flat);
    if (flat)
        flatten(json_object_get(run, "config"), "config", 0, flat);
    return flat;
}

static void put_difference(const char *key, const json_t *a, const json_t *b, json_t *list) {
    if (a && b && json_equal(a, b))
        return;
    json_t *item = json_pack("{s:s, s:O?, s:O?}", "key", key, "a", a, "b", b);
    if (item && json_is_number(a) && json_is_number(b))
        json_object_set_new(item, "change",
                            qn_json_number(json_number_value(b) - json_number_value(a)));
    json_array_append_new(list, item);
}

static json_t *differences(const json_t *a, const json_t *b) {
    qn_cleanup(qn_json_free) json_t *flat_a = flat_run(a);
    qn_cleanup(qn_json_free) json_t *flat_b = flat_run(b);
    json_t *list = json_array(), *value;
    const char *key;
    json_object_foreach(flat_a, key, value)
        put_difference(key, value, json_object_get(flat_b, key), list);
    json_object_foreach(flat_b, key, value) {
        if (!json_object_get(flat_a, key))
            put_difference(key, NULL, value, list);
    }
    return list;
}

qn_status qn__cmd_runs_compare(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = NULL;
    qn_cleanup(qn_json_free) json_t *a = NULL;
    qn_cleanup(qn_json_free) json_t *b = NULL;
    QN_TRY(open_workspace(args, &workspace, err));
    QN_TRY(qn_run_get(workspace, args->arguments[0], &a, err));
    QN_TRY(qn_run_get(workspace, args->arguments[1], &b, err));
    qn_cleanup(qn_json_free) json_t *result =
        json_pack("{s:O, s:O, s:o}", "a", json_object_get(a, "run"), "b", json_object_get(b, "run"),
                  "differences", differences(a, b));
    if (!result)
        return qn_error_memory(err);
    if (args->json)
        return qn__cli_print_json(args, result, err);
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_cleanup(qn__table_done) qn_table table = {0};
    char header[256];
    snprintf(header, sizeof header, "what differs|>%.80s|>%.80s|>change", text_of(result, "a"),
             text_of(result, "b"));
    QN_TRY(qn__table_init(&table, header, err));
    qn__table_differences(&table, json_object_get(result, "differences"), "a", "b");
    qn__table_write(&table, &out);
    return qn__cli_print(args, &out, err);
}

/* --- check ------------------------------------------------------------------------------------ */

qn_status qn__cmd_check(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = NULL;
    qn_cleanup(qn_json_free) json_t *report = NULL;
    QN_TRY(open_workspace(args, &workspace, err));
    QN_TRY(qn_workspace_check(workspace, &report, err));
    const json_t *problems = json_object_get(report, "problems"), *item;
    size_t i, n = json_array_size(problems);
    if (args->json) {
        QN_TRY(qn__cli_print_json(args, report, err));
    } else {
        qn_cleanup(qn_buf_done) qn_buf out = {0};
        char bytes[QN_DOUBLE_TEXT];
        qn_text_bytes((size_t)json_integer_value(json_object_get(report, "bytes")), bytes);
        json_array_foreach(problems, i, item)
            qn_buf_printf(&out, "PROBLEM: %s\n", json_string_value(item));
        json_array_foreach(json_object_get(report, "notes"), i, item)
            qn_buf_printf(&out, "note: %s\n", json_string_value(item));
        long long n_objects = json_integer_value(json_object_get(report, "objects"));
        long long n_runs = json_integer_value(json_object_get(report, "runs"));
        long long n_models = json_integer_value(json_object_get(report, "models"));
        qn_buf_printf(&out, "%lld object%s (%s), %lld run%s, %lld model version%s: %s\n", n_objects,
                      n_objects == 1 ? "" : "s", bytes, n_runs, n_runs == 1 ? "" : "s", n_models,
                      n_models == 1 ? "" : "s", n ? "NOT sound" : "all sound");
        QN_TRY(qn__cli_print(args, &out, err));
    }
    QN_FAIL_IF(n > 0, err, QN_ERR_FORMAT, "the workspace has %zu problem%s", n, n > 1 ? "s" : "");
    return QN_OK;
}
