/* Seal: the model file, the registry's decision, the report, the summary. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "flow/environment.h"
#include "flow/run_int.h"
#include "report/report.h"

/* What the model file tells of its worth: the test metrics, and the value with its expressions. */
static qn_status tell_model(qn_run_state *run, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *told = json_object();
    const json_t *metrics = json_object_get(json_object_get(run->document, "metrics"), "test");
    json_t *value = json_object_get(run->document, "value"), *kept = NULL;
    if (!told || json_object_set(told, "metrics", (json_t *)metrics) != 0)
        return qn_error_memory(err);
    if (value) {
        kept = json_pack("{s:O, s:O, s:O}", "currency", json_object_get(value, "currency"),
                         "expressions", json_object_get(value, "expressions"), "test",
                         json_object_get(value, "test"));
        if (!kept || json_object_set_new(told, "value", kept) != 0)
            return qn_error_memory(err);
    }
    return qn_model_tell(run->model, told, err);
}

qn_status qn__run_seal(qn_run_state *run, qn_error *err) {
    qn_job_progress(&run->job, "save", 0, 0, NULL);
    run->model_bytes.max = QN_LIMIT_MODEL_BYTES;
    QN_TRY(tell_model(run, err));
    QN_TRY(qn_model_write(run->model, &run->model_bytes, err));
    QN_TRY(qn_buf_status(&run->model_bytes, err));
    QN_TRY(qn_object_put(run->workspace, run->model_bytes.data, run->model_bytes.len,
                         run->model_hash, err));
    QN_TRY(qn_run_add_artifact(run->workspace, run->run_id, "model", run->model_hash,
                               (int64_t)run->model_bytes.len, err));
    qn_cleanup(qn_freep) char *path = NULL;
    QN_TRY(qn_object_path(run->workspace, run->model_hash, &path, err));
    if (run->options->model_file)
        QN_TRY(qn_file_write(run->options->model_file, run->model_bytes.data, run->model_bytes.len,
                             err));
    return qn__run_note(run, "model",
                        json_pack("{s:s, s:s, s:s, s:I}", "family",
                                  run->candidates[run->chosen].family->name, "hash",
                                  run->model_hash, "file",
                                  run->options->model_file ? run->options->model_file : path,
                                  "bytes", (json_int_t)run->model_bytes.len),
                        err);
}

/* --- registering ------------------------------------------------------------------------------ */

static const json_t *champion_comparison(const qn_run_state *run) {
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(run->document, "comparison"), i, item) {
        if (strcmp(json_string_value(json_object_get(item, "against")), "champion") == 0)
            return item;
    }
    return NULL;
}

static double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

/* Is the new model better than the champion, on the same rows and beyond chance? Money decides when
 * it is the metric. `why` gets the sentence. */
static bool beats_champion(const qn_run_state *run, const json_t *comparison, char *why,
                           size_t size) {
    const char *name = run->metric_is_value ? "value" : run->metric->name;
    const json_t *d =
        json_object_get(comparison, run->metric_is_value ? "value_difference" : "difference");
    bool greater = run->metric_is_value || run->metric->greater_is_better;
    double value = number(d, "value"), low = number(d, "low"), high = number(d, "high");
    bool better = greater ? low > 0 : high < 0, worse = greater ? high < 0 : low > 0;
    snprintf(why, size,
             "%s %+.4g (95%% interval %+.4g to %+.4g) against the champion, version %lld, on the "
             "same %lld test rows: %s",
             name, value, low, high, (long long)number(comparison, "version"),
             (long long)run->test.n,
             better  ? "better beyond chance"
             : worse ? "worse beyond chance"
                     : "no difference beyond chance");
    return better;
}

/* The version that holds the alias, 0 when none does. */
static int64_t holder_of_alias(const qn_run_state *run) {
    qn_cleanup(qn_freep) char *reference =
        qn_format("%s@%s", run->config->registry.name, run->config->registry.alias);
    qn_cleanup(qn_json_free) json_t *entry = NULL;
    if (!reference || qn_registry_get(run->workspace, reference, &entry, NULL) != QN_OK)
        return 0;
    return json_integer_value(json_object_get(entry, "version"));
}

static void decide(const qn_run_state *run, bool *ret_promote, char *why, size_t size) {
    const char *when = run->config->registry.when;
    const json_t *comparison = champion_comparison(run);
    int64_t holder = holder_of_alias(run);
    if (strcmp(when, "always") == 0) {
        *ret_promote = true;
        snprintf(why, size, "register.when is always");
    } else if (comparison) {
        *ret_promote = beats_champion(run, comparison, why, size);
    } else if (holder) {
        *ret_promote = false;
        snprintf(
            why, size,
            "version %lld, the %s, cannot be judged on these rows (see the warnings); to put the "
            "new one in its place: quern models promote %s:VERSION",
            (long long)holder, run->config->registry.alias, run->config->registry.name);
    } else {
        *ret_promote = true;
        snprintf(why, size, "there is no %s to compare with yet", run->config->registry.alias);
    }
}

/* The version that has these very bytes already, 0 when none has. */
static int64_t same_bytes_version(const qn_run_state *run) {
    qn_cleanup(qn_json_free) json_t *models = NULL;
    if (qn_registry_list(run->workspace, run->config->registry.name, &models, NULL) != QN_OK)
        return 0;
    size_t i;
    const json_t *version;
    json_array_foreach(models, i, version) {
        const char *hash = json_string_value(json_object_get(version, "hash"));
        if (hash && strcmp(hash, run->model_hash) == 0)
            return json_integer_value(json_object_get(version, "version"));
    }
    return 0;
}

static qn_status note_registration(qn_run_state *run, int64_t version, bool promoted,
                                   const char *why, qn_error *err) {
    json_t *json = json_pack("{s:s, s:o, s:s, s:b, s:s}", "name", run->config->registry.name,
                             "version", version ? json_integer(version) : json_null(), "alias",
                             run->config->registry.alias, "promoted", promoted, "why", why);
    return qn__run_note(run, "registration", json, err);
}

static json_t *registry_about(const qn_run_state *run) {
    json_t *about = json_pack(
        "{s:s, s:s, s:I, s:s, s:O}", "family", run->candidates[run->chosen].family->name, "task",
        qn_task_name(run->target.task), "bytes", (json_int_t)run->model_bytes.len, "dataset",
        run->dataset_hash, "metrics",
        json_object_get(json_object_get(run->document, "metrics"), "test"));
    json_t *value = json_object_get(run->document, "value");
    if (about && value)
        json_object_set(about, "value", json_object_get(value, "test"));
    size_t i;
    json_t *row, *names = json_array();
    json_array_foreach(json_object_get(run->document, "leaderboard"), i, row) {
        if (about && json_is_true(json_object_get(row, "chosen"))) {
            json_object_set(about, "params", json_object_get(row, "params"));
            json_object_set(about, "facts", json_object_get(row, "facts"));
        }
    }
    const qn_schema *schema = qn_model_inputs(run->model);
    for (int32_t c = 0; names && c < schema->n_columns; c++)
        json_array_append_new(names, json_string(schema->columns[c].name));
    if (about)
        json_object_set_new(about, "features", names);
    else
        json_decref(names);
    return about;
}

/* The model is in the registry already, byte for byte: no version is added, but the alias may move
 * to it. */
static qn_status register_again(qn_run_state *run, int64_t version, qn_error *err) {
    char why[512], reason[640];
    bool promote = false;
    const char *name = run->config->registry.name;
    json_t *model = json_object_get(run->document, "model");
    snprintf(reason, sizeof reason, "the same model, byte for byte, as version %lld",
             (long long)version);
    if (holder_of_alias(run) != version) {
        size_t n = strlen(reason);
        decide(run, &promote, why, sizeof why);
        snprintf(reason + n, sizeof reason - n, "; %s", why);
    }
    if (promote)
        QN_TRY(qn_registry_promote(run->workspace, name, version, run->config->registry.alias,
                                   reason, err));
    if (json_object_set_new(model, "name", json_string(name)) != 0 ||
        json_object_set_new(model, "version", json_integer(version)) != 0)
        return qn_error_memory(err);
    return note_registration(run, version, promote, reason, err);
}

qn_status qn__run_register(qn_run_state *run, qn_error *err) {
    char why[512];
    bool promote;
    const char *name = run->config->registry.name;
    if (run->options->no_register || strcmp(run->config->registry.when, "never") == 0)
        return note_registration(
            run, 0, false, run->options->no_register ? "--no-register" : "register.when is never",
            err);
    int64_t version = same_bytes_version(run);
    if (version)
        return register_again(run, version, err);
    decide(run, &promote, why, sizeof why);
    qn_cleanup(qn_json_free) json_t *about = registry_about(run);
    if (!about)
        return qn_error_memory(err);
    json_object_set_new(about, "why", json_string(why));
    QN_TRY(qn_registry_add(run->workspace, name, run->model_hash, run->run_id, about,
                           promote ? run->config->registry.alias : "challenger", &version, err));
    json_object_set_new(json_object_get(run->document, "model"), "name", json_string(name));
    json_object_set_new(json_object_get(run->document, "model"), "version", json_integer(version));
    return note_registration(run, version, promote, why, err);
}
