/* quern models ... */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/table.h"
#include "flow/reference.h"
#include "store/workspace.h"

static qn_status open_workspace(const qn_cli_args *args, qn_workspace **ret, qn_error *err) {
    return qn_workspace_open(args->folder, false, ret, err);
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "-";
}

/* The first metric of an "about" and its interval. */
static void put_first_metric(const json_t *about, qn_buf *out) {
    const char *name;
    json_t *interval;
    json_object_foreach((json_t *)json_object_get(about, "metrics"), name, interval) {
        qn_buf_printf(out, "%s ", name);
        qn__interval_text(interval, out);
        return;
    }
}

static void join_texts(const json_t *array, const char *between, qn_buf *out) {
    size_t i;
    const json_t *item;
    json_array_foreach(array, i, item)
        qn_buf_printf(out, "%s%s", i ? between : "", json_string_value(item));
}

static void put_version(const json_t *version, qn_table *table) {
    qn_cleanup(qn_buf_done) qn_buf aliases = {0};
    qn_cleanup(qn_buf_done) qn_buf metric = {0};
    const json_t *about = json_object_get(version, "about");
    join_texts(json_object_get(version, "aliases"), ", ", &aliases);
    put_first_metric(about, &metric);
    qn__table_row(table);
    qn__table_cell(table, "%s", text_of(version, "name"));
    qn__table_json(table, json_object_get(version, "version"), 0);
    qn__table_cell(table, "%s", qn_buf_text(&aliases));
    qn__table_cell(table, "%s", text_of(about, "family"));
    qn__table_cell(table, "%s", qn_buf_text(&metric));
    qn__table_json(table, json_object_get(about, "bytes"), 0);
    qn__table_cell(table, "%.19s", text_of(version, "created"));
}

qn_status qn__cmd_models_list(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = NULL;
    qn_cleanup(qn_json_free) json_t *models = NULL;
    QN_TRY(open_workspace(args, &workspace, err));
    QN_TRY(
        qn_registry_list(workspace, args->n_arguments ? args->arguments[0] : NULL, &models, err));
    if (args->json) {
        qn_cleanup(qn_json_free) json_t *json = json_pack("{s:O}", "models", models);
        return json ? qn__cli_print_json(args, json, err) : qn_error_memory(err);
    }
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_cleanup(qn__table_done) qn_table table = {0};
    QN_TRY(qn__table_init(&table, "model|>version|alias|family|test|>bytes|created", err));
    size_t i;
    const json_t *version;
    json_array_foreach(models, i, version)
        put_version(version, &table);
    if (json_array_size(models))
        qn__table_write(&table, &out);
    else
        qn_buf_put_text(&out, "No models yet: 'quern run' registers one.\n");
    return qn__cli_print(args, &out, err);
}

/* --- show ------------------------------------------------------------------------------------- */

/* A bound of a numeric input; times are microseconds since 1970. */
static void put_bound(const char *type, double x, qn_buf *out) {
    time_t seconds = (time_t)(x / 1e6);
    struct tm utc;
    char text[32];
    if (strcmp(type, "time") != 0 || !gmtime_r(&seconds, &utc) ||
        !strftime(text, sizeof text, "%Y-%m-%d %H:%M", &utc))
        snprintf(text, sizeof text, "%.6g", x);
    qn_buf_put_text(out, text);
}

static qn_status put_inputs(const json_t *manifest, qn_buf *out, qn_error *err) {
    qn_cleanup(qn__table_done) qn_table table = {0};
    size_t i, k;
    const json_t *input, *category;
    QN_TRY(qn__table_init(&table, "input|type|range or categories", err));
    json_array_foreach(json_object_get(manifest, "inputs"), i, input) {
        qn_cleanup(qn_buf_done) qn_buf range = {0};
        const json_t *categories = json_object_get(input, "categories");
        const json_t *low = json_object_get(input, "low"), *high = json_object_get(input, "high");
        json_array_foreach(categories, k, category) {
            if (k == 6) {
                qn_buf_printf(&range, ", ... (%zu)", json_array_size(categories));
                break;
            }
            qn_buf_printf(&range, "%s%s", k ? ", " : "", json_string_value(category));
        }
        if (json_is_number(low) && json_is_number(high) && !json_array_size(categories)) {
            put_bound(text_of(input, "type"), json_number_value(low), &range);
            qn_buf_put_text(&range, " to ");
            put_bound(text_of(input, "type"), json_number_value(high), &range);
        }
        qn__table_row(&table);
        qn__table_cell(&table, "%s", text_of(input, "name"));
        qn__table_cell(&table, "%s", text_of(input, "type"));
        qn__table_cell(&table, "%s", qn_buf_text(&range));
    }
    qn__table_write(&table, out);
    return QN_OK;
}

static void put_lineage(const json_t *entry, const json_t *manifest, qn_buf *out) {
    const json_t *about = json_object_get(manifest, "about");
    if (entry) {
        qn_cleanup(qn_buf_done) qn_buf aliases = {0};
        join_texts(json_object_get(entry, "aliases"), ", ", &aliases);
        qn_buf_printf(out, "%s version %lld%s%s\n", text_of(entry, "name"),
                      (long long)json_integer_value(json_object_get(entry, "version")),
                      aliases.len ? "  @" : "", qn_buf_text(&aliases));
        qn_buf_printf(out, "created    %s by run %s\n", text_of(entry, "created"),
                      text_of(entry, "run"));
        qn_buf_printf(out, "hash       %s\n", text_of(entry, "hash"));
    }
    qn_buf_printf(out, "task       %s of %s, by %s\n", text_of(manifest, "task"),
                  text_of(manifest, "target"), text_of(manifest, "family"));
    qn_buf_printf(out, "trained on %s\n", text_of(json_object_get(about, "trained_on"), "dataset"));
    const json_t *compressed = json_object_get(about, "compressed");
    if (compressed)
        qn_buf_printf(out, "compressed from %s\n", text_of(compressed, "from"));
    const json_t *value = json_object_get(about, "value");
    if (json_object_get(value, "test")) /* a compressed model has none */
        qn_buf_printf(out, "worth      %s %.4g a row on the test rows\n",
                      text_of(value, "currency"),
                      json_number_value(json_object_get(
                          json_object_get(json_object_get(value, "test"), "per_row"), "value")));
}

/* A model of the registry, or of a .qn file (then *ret_entry stays NULL). */
static qn_status find_model(const qn_cli_args *args, qn_model **ret_model, char **ret_path,
                            json_t **ret_entry, qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = NULL;
    QN_TRY(qn_reference_open(args->folder, args->arguments[0], ret_model, ret_path, err));
    if (strstr(*ret_path, ".qn") || open_workspace(args, &workspace, NULL) != QN_OK)
        return QN_OK;
    qn_error why;
    qn_status status = qn_registry_get(workspace, args->arguments[0], ret_entry, &why);
    return status == QN_ERR_NOT_FOUND ? QN_OK : status;
}

qn_status qn__cmd_models_show(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_freep) char *path = NULL;
    qn_cleanup(qn_json_free) json_t *entry = NULL;
    QN_TRY(find_model(args, &model, &path, &entry, err));
    const json_t *manifest = qn_model_manifest(model);
    if (args->json) {
        qn_cleanup(qn_json_free) json_t *json = json_pack("{s:O, s:O*, s:s}", "manifest", manifest,
                                                          "registry", entry, "file", path);
        return json ? qn__cli_print_json(args, json, err) : qn_error_memory(err);
    }
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    put_lineage(entry, manifest, &out);
    qn_buf_printf(&out, "file       %s\n\n", path);
    const json_t *metrics = json_object_get(json_object_get(manifest, "about"), "metrics");
    const json_t *compressed =
        json_object_get(json_object_get(manifest, "about"), "compressed");
    bool judged = compressed && !json_is_null(json_object_get(compressed, "after"));
    QN_TRY(qn__metrics_table(judged ? "metric|rows that judged" : "metric|test, 95% interval",
                             metrics, &out, err));
    qn_buf_put_char(&out, '\n');
    QN_TRY(put_inputs(manifest, &out, err));
    return qn__cli_print(args, &out, err);
}

/* --- promote, rollback ------------------------------------------------------------------------ */

static const char *alias_of(const qn_cli_args *args) {
    const char *alias = qn__cli_value(args, "alias");
    return alias ? alias : "champion";
}

static qn_status say_moved(const qn_cli_args *args, const char *name, int64_t version,
                           qn_error *err) {
    if (args->json) {
        qn_cleanup(qn_json_free)
            json_t *json = json_pack("{s:s, s:I, s:s}", "name", name, "version",
                                     (json_int_t)version, "alias", alias_of(args));
        return json ? qn__cli_print_json(args, json, err) : qn_error_memory(err);
    }
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_buf_printf(&out, "%s@%s is version %lld\n", name, alias_of(args), (long long)version);
    return qn__cli_print(args, &out, err);
}

qn_status qn__cmd_models_promote(const qn_cli_args *args, qn_error *err) {
    const char *reference = args->arguments[0], *colon = strrchr(reference, ':');
    int64_t version;
    QN_FAIL_IF(!colon || !qn_text_to_i64(colon + 1, &version), err, QN_ERR_USAGE,
               "promote needs NAME:VERSION, not '%s': 'quern models list' shows them", reference);
    qn_cleanup(qn_freep) char *name = qn_strndup(reference, (size_t)(colon - reference));
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = NULL;
    if (!name)
        return qn_error_memory(err);
    const char *why = qn__cli_value(args, "why");
    QN_TRY(open_workspace(args, &workspace, err));
    QN_TRY(
        qn_registry_promote(workspace, name, version, alias_of(args), why ? why : "by hand", err));
    return say_moved(args, name, version, err);
}

qn_status qn__cmd_models_rollback(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = NULL;
    int64_t version;
    QN_TRY(open_workspace(args, &workspace, err));
    QN_TRY(qn_registry_rollback(workspace, args->arguments[0], alias_of(args), &version, err));
    return say_moved(args, args->arguments[0], version, err);
}

/* --- diff, history ---------------------------------------------------------------------------- */

qn_status qn__cmd_models_diff(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = NULL;
    qn_cleanup(qn_json_free) json_t *diff = NULL;
    QN_TRY(open_workspace(args, &workspace, err));
    QN_TRY(qn_registry_diff(workspace, args->arguments[0], args->arguments[1], &diff, err));
    if (args->json)
        return qn__cli_print_json(args, diff, err);
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_cleanup(qn__table_done) qn_table table = {0};
    char header[256];
    snprintf(header, sizeof header, "what|>%.80s|>%.80s|>change", text_of(diff, "from"),
             text_of(diff, "to"));
    QN_TRY(qn__table_init(&table, header, err));
    qn__table_differences(&table, json_object_get(diff, "differences"), "from", "to");
    if (json_is_true(json_object_get(diff, "same_file")))
        qn_buf_put_text(&out, "The two are the same file, byte for byte.\n");
    else
        qn__table_write(&table, &out);
    return qn__cli_print(args, &out, err);
}

qn_status qn__cmd_models_history(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = NULL;
    qn_cleanup(qn_json_free) json_t *events = NULL;
    QN_TRY(open_workspace(args, &workspace, err));
    QN_TRY(qn_ledger_list(workspace, args->n_arguments ? args->arguments[0] : NULL, &events, err));
    if (args->json) {
        qn_cleanup(qn_json_free) json_t *json = json_pack("{s:O}", "events", events);
        return json ? qn__cli_print_json(args, json, err) : qn_error_memory(err);
    }
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_cleanup(qn__table_done) qn_table table = {0};
    QN_TRY(qn__table_init(&table, "time|event|model|>version|alias|run|detail", err));
    size_t i;
    const json_t *event;
    json_array_foreach(events, i, event) {
        qn__table_row(&table);
        qn__table_cell(&table, "%.19s", text_of(event, "time"));
        static const char *const keys[] = {"event", "model", "version", "alias", "run"};
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            qn__table_json(&table, json_object_get(event, keys[k]), 0);
        const json_t *detail = json_object_get(event, "detail");
        qn_cleanup(qn_freep) char *text = json_is_string(detail)
                                              ? qn_strdup(json_string_value(detail))
                                          : json_is_object(detail)
                                              ? qn_json_text(detail, QN_JSON_COMPACT)
                                              : NULL;
        qn__table_cell(&table, "%.300s", text ? text : "");
    }
    qn__table_write(&table, &out);
    return qn__cli_print(args, &out, err);
}
