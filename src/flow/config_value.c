/* Values of quern.yaml: from text into the struct, what follows from other keys, and what must
 * agree. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/yaml.h"
#include "flow/config_int.h"

/* --- one value -------------------------------------------------------------------------------- */

qn_status qn__config_put_text(char **member, const char *text, qn_error *err) {
    char *copy = qn_strdup(text);
    if (!copy)
        return qn_error_memory(err);
    qn_freep(member);
    *member = copy;
    return QN_OK;
}

qn_status qn__config_add_texts(qn_config_texts *texts, const char *text, qn_error *err) {
    char **items = qn_realloc(texts->items, texts->n + 1, sizeof *items);
    if (!items)
        return qn_error_memory(err);
    texts->items = items;
    items[texts->n] = qn_strdup(text);
    if (!items[texts->n])
        return qn_error_memory(err);
    texts->n++;
    return QN_OK;
}

qn_status qn__config_add_family(qn_config *config, const char *name, json_t *params, int32_t line,
                                qn_error *err) {
    qn_cleanup(qn_json_free) json_t *owned = params;
    size_t n = config->train.n_families;
    for (size_t i = 0; i < n; i++)
        if (strcmp(config->train.families[i].name, name) == 0)
            return qn_yaml_error(err, config->file, line, "train.families: '%.80s' is named twice",
                                 name);
    if (!*name || n >= 256)
        return qn_yaml_error(err, config->file, line, "train.families: %s",
                             *name ? "more than 256" : "an empty name");
    qn_config_family *families = qn_realloc(config->train.families, n + 1, sizeof *families);
    if (!families)
        return qn_error_memory(err);
    config->train.families = families;
    families[n] = (qn_config_family){.name = qn_strdup(name), .line = line};
    if (!families[n].name)
        return qn_error_memory(err);
    families[n].params = qn_steal(&owned);
    config->train.n_families++;
    return QN_OK;
}

static qn_status wrong_choice(const qn_config *config, const qn__key *key, const char *text,
                              int32_t line, qn_error *err) {
    char list[256] = "";
    size_t n = 0;
    for (; key->choices[n]; n++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", n ? ", " : "",
                 key->choices[n]);
    const char *near = qn_text_nearest(text, key->choices, n);
    return qn_yaml_error(err, config->file, line, "%s must be one of %s, not '%.80s'%s%s%s",
                         key->path, list, text, near ? ": did you mean '" : "", near ? near : "",
                         near ? "'?" : "");
}

static qn_status set_choice(qn_config *config, const qn__key *key, const char *text, int32_t line,
                            qn_error *err) {
    const char **member = qn__config_member(config, key);
    for (size_t i = 0; key->choices[i]; i++)
        if (strcmp(key->choices[i], text) == 0) {
            *member = i == 0 && key->first_is_null ? NULL : key->choices[i];
            return QN_OK;
        }
    return wrong_choice(config, key, text, line, err);
}

static qn_status set_number(qn_config *config, const qn__key *key, const char *text, int32_t line,
                            qn_error *err) {
    double x;
    bool whole = key->kind == QN__KEY_INT;
    if (!qn_text_to_double(text, &x) || x < key->low || x > key->high || (whole && x != floor(x))) {
        char low[QN_DOUBLE_TEXT], high[QN_DOUBLE_TEXT];
        qn_double_to_text(key->low, low);
        qn_double_to_text(key->high, high);
        return qn_yaml_error(err, config->file, line, "%s must be a %s from %s to %s, not '%.80s'",
                             key->path, whole ? "whole number" : "number", low, high, text);
    }
    if (whole)
        *(int64_t *)qn__config_member(config, key) = (int64_t)x;
    else
        *(double *)qn__config_member(config, key) = x;
    return QN_OK;
}

static qn_status set_quantity(qn_config *config, const qn__key *key, const char *text, int32_t line,
                              qn_error *err) {
    size_t bytes;
    double s;
    if (key->kind == QN__KEY_BYTES) {
        if (!qn_text_to_bytes(text, &bytes) || (double)bytes > key->high)
            return qn_yaml_error(err, config->file, line,
                                 "%s must be a size, as 500MB or 4GB, not '%.80s'", key->path,
                                 text);
        *(int64_t *)qn__config_member(config, key) = (int64_t)bytes;
        return QN_OK;
    }
    if (!qn_text_to_seconds(text, &s) || s > key->high)
        return qn_yaml_error(err, config->file, line,
                             "%s must be a time, as 60s, 5m or 1h30m, not '%.80s'", key->path,
                             text);
    *(double *)qn__config_member(config, key) = s;
    return QN_OK;
}

static qn_status set_flag(qn_config *config, const qn__key *key, const char *text, int32_t line,
                          qn_error *err) {
    bool yes = !strcmp(text, "true") || !strcmp(text, "True") || !strcmp(text, "TRUE");
    bool no = !strcmp(text, "false") || !strcmp(text, "False") || !strcmp(text, "FALSE");
    bool either = key->kind == QN__KEY_TRISTATE && !strcmp(text, "auto");
    if (!yes && !no && !either)
        return qn_yaml_error(err, config->file, line, "%s must be %strue or false, not '%.80s'",
                             key->path, key->kind == QN__KEY_TRISTATE ? "auto, " : "", text);
    if (key->kind == QN__KEY_TRISTATE)
        *(int *)qn__config_member(config, key) = either ? -1 : yes;
    else
        *(bool *)qn__config_member(config, key) = yes;
    return QN_OK;
}

static qn_status set_text(qn_config *config, const qn__key *key, const char *text, int32_t line,
                          qn_error *err) {
    char **member = qn__config_member(config, key);
    if (key->kind == QN__KEY_CHAR) {
        if (!strcmp(text, "tab") || !strcmp(text, "\\t"))
            text = "\t";
        if (strlen(text) != 1 || (unsigned char)text[0] >= 128)
            return qn_yaml_error(err, config->file, line,
                                 "%s must be one ASCII character, as \";\" or tab, not '%.80s'",
                                 key->path, text);
    } else if (!*text && key->low > 0) {
        return qn_yaml_error(err, config->file, line, "%s must not be empty", key->path);
    } else if (strlen(text) > (size_t)key->high) {
        return qn_yaml_error(err, config->file, line, "%s is longer than %.0f bytes", key->path,
                             key->high);
    }
    return qn__config_put_text(member, text, err);
}

/* "a, b, c", for overrides. */
static qn_status set_list(qn_config *config, const qn__key *key, const char *text, qn_error *err) {
    if (key->kind == QN__KEY_TEXTS)
        qn__config_clear_texts(qn__config_member(config, key));
    else
        qn__config_clear_families(config);
    while (*text) {
        text += strspn(text, " ");
        size_t n = strcspn(text, ","), len = n;
        while (len && text[len - 1] == ' ')
            len--;
        qn_cleanup(qn_freep) char *item = qn_strndup(text, len);
        if (!item)
            return qn_error_memory(err);
        if (key->kind == QN__KEY_TEXTS) {
            QN_TRY(qn__config_add_texts(qn__config_member(config, key), item, err));
        } else {
            json_t *params = json_object();
            if (!params)
                return qn_error_memory(err);
            QN_TRY(qn__config_add_family(config, item, params, 0, err));
        }
        text += n + (text[n] == ',');
    }
    return QN_OK;
}

qn_status qn__config_set_text(qn_config *config, const qn__key *key, const char *text, bool quoted,
                              int32_t line, qn_error *err) {
    (void)quoted; /* the key's kind says what a text is, not its quotes */
    switch (key->kind) {
    case QN__KEY_TEXT:
    case QN__KEY_CHAR:
    case QN__KEY_EXPR:
        return set_text(config, key, text, line, err);
    case QN__KEY_BOOL:
    case QN__KEY_TRISTATE:
        return set_flag(config, key, text, line, err);
    case QN__KEY_INT:
    case QN__KEY_REAL:
        return set_number(config, key, text, line, err);
    case QN__KEY_CHOICE:
        return set_choice(config, key, text, line, err);
    case QN__KEY_SECONDS:
    case QN__KEY_BYTES:
        return set_quantity(config, key, text, line, err);
    case QN__KEY_TEXTS:
    case QN__KEY_FAMILIES:
        return set_list(config, key, text, err);
    default:
        return qn_error_set(err, QN_ERR_USAGE, "%s can only be set in the file", key->path);
    }
}

void qn__config_presets(qn_config *config) {
    size_t n;
    const qn__key *keys = qn__config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        void *member = qn__config_member(config, &keys[i]);
        switch (keys[i].kind) {
        case QN__KEY_BOOL:
            *(bool *)member = keys[i].preset != 0;
            break;
        case QN__KEY_TRISTATE:
            *(int *)member = (int)keys[i].preset;
            break;
        case QN__KEY_INT:
        case QN__KEY_BYTES:
            *(int64_t *)member = (int64_t)keys[i].preset;
            break;
        case QN__KEY_REAL:
        case QN__KEY_SECONDS:
            *(double *)member = keys[i].preset;
            break;
        case QN__KEY_CHOICE:
            *(const char **)member = keys[i].first_is_null ? NULL : keys[i].choices[(size_t)keys[i].preset];
            break;
        default:
            break;
        }
    }
}

/* --- what follows from other keys ------------------------------------------------------------- */

static int32_t line_of(const qn_config *config, const char *path) {
    return config->line[qn__config_find(path)];
}

static bool given(const qn_config *config, const char *path) {
    return line_of(config, path) != 0;
}

static qn_status fill_project(qn_config *config, qn_error *err) {
    char real[PATH_MAX];
    const char *folder = realpath(config->folder, real) ? real : config->folder;
    const char *slash = strrchr(folder, '/'), *name = slash ? slash + 1 : folder;
    if (!*name || !strcmp(name, ".") || !qn_text_is_utf8(name, strlen(name)))
        name = "project";
    return qn__config_put_text(&config->project, name, err);
}

static qn_status fill_texts(qn_config *config, qn_error *err) {
    if (!config->project)
        QN_TRY(fill_project(config, err));
    if (!given(config, "register.name"))
        QN_TRY(qn__config_put_text(&config->registry.name, config->project, err));
    size_t n;
    const qn__key *keys = qn__config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        char **member = qn__config_member(config, &keys[i]);
        if (keys[i].kind == QN__KEY_TEXT && keys[i].preset_text && !*member)
            QN_TRY(qn__config_put_text(member, keys[i].preset_text, err));
    }
    return QN_OK;
}

static qn_status fill_families(qn_config *config, qn_error *err) {
    static const char *const names[] = {"gbdt", "linear"};
    size_t n = config->data.init_score.n > 0 ? 1 : 2; /* linear knows none */
    for (size_t i = 0; i < n && !given(config, "train.families"); i++) {
        if (config->train.n_families > i)
            continue;
        json_t *params = json_object();
        if (!params)
            return qn_error_memory(err);
        QN_TRY(qn__config_add_family(config, names[i], params, 0, err));
    }
    return QN_OK;
}

static qn_status fill_value(qn_config *config, qn_error *err) {
    static const char *const outcomes[] = {"value.true_positive", "value.false_positive",
                                           "value.false_negative", "value.true_negative"};
    size_t n;
    const qn__key *keys = qn__config_keys(&n);
    for (size_t i = 0; i < 4; i++)
        config->value.given |= given(config, outcomes[i]);
    for (size_t i = 0; i < 4 && config->value.given; i++) {
        char **member = qn__config_member(config, &keys[qn__config_find(outcomes[i])]);
        if (!*member)
            QN_TRY(qn__config_put_text(member, "0", err));
    }
    if (given(config, "value.currency") && !config->value.given)
        return qn_config_error(
            config, "value.currency", err,
            "say what the outcomes are worth too, as value.false_negative: -100");
    return QN_OK;
}

static void fill_numbers(qn_config *config) {
    if (!given(config, "sample.seed"))
        config->sample.seed = config->seed;
    if (!given(config, "split.seed"))
        config->split.seed = config->seed;
    if (config->data.test && !given(config, "split.test"))
        config->split.test = 0;
}

/* --- what must agree -------------------------------------------------------------------------- */

static qn_status check_required(const qn_config *config, qn_error *err) {
    if (!config->task.target)
        return qn_yaml_error(
            err, config->file, 0,
            "task.target is missing: name the column to be predicted, as `task: {target: price}`");
    if (!config->data.source)
        return qn_yaml_error(
            err, config->file, 0,
            "data.source is missing: name the file with the data, as `data: {source: rows.csv}`");
    if (config->data.missing.n > QN_LIMIT_MISSING_WORDS)
        return qn_config_error(config, "data.missing", err,
                               "more than %d texts that mean missing; in the query, "
                               "nullif(column, 'text') makes one missing in its column alone",
                               QN_LIMIT_MISSING_WORDS);
    return QN_OK;
}

bool qn_config_is_ranking(const qn_config *config) {
    return config->task.kind && strcmp(config->task.kind, "ranking") == 0;
}

/* A ranking keeps its queries whole, and says so before rows are split. */
static qn_status fill_ranking(qn_config *config, qn_error *err) {
    bool ranking = qn_config_is_ranking(config);
    if (!ranking && config->task.query)
        return qn_config_error(config, "task.query", err, "only a ranking has queries: add "
                                                          "kind: ranking, or leave this out");
    if (!ranking)
        return QN_OK;
    if (!config->task.query)
        return qn_config_error(config, "task.kind", err,
                               "a ranking needs task.query, the column that tells queries apart");
    if (config->split.method && strcmp(config->split.method, "group") != 0)
        return qn_config_error(config, "split.method", err,
                               "a ranking keeps the rows of a query together: leave this out");
    if (config->sample.rows > 0)
        return qn_config_error(config, "sample.rows", err,
                               "rows drawn at random are no whole queries: leave this out");
    return config->split.group ? QN_OK
                               : qn__config_put_text(&config->split.group, config->task.query,
                                                     err);
}

static qn_status check_split(const qn_config *config, qn_error *err) {
    const char *method = config->split.method;
    if (method && !strcmp(method, "time") && !config->data.time)
        return qn_config_error(config, "split.method", err,
                               "a split by time needs data.time, the column that tells when");
    if (method && !strcmp(method, "group") && !config->split.group)
        return qn_config_error(
            config, "split.method", err,
            "a split by group needs split.group, the column whose rows stay together");
    if (method && strcmp(method, "group") != 0 && config->split.group)
        return qn_config_error(config, "split.group", err,
                               "only method group keeps groups together, not %s", method);
    if (config->data.test && config->split.test > 0)
        return qn_config_error(config, "split.test", err,
                               "data.test names a test file already: leave this out, or make it 0");
    if (config->split.test + config->split.validate >= 1)
        return qn_config_error(
            config, "split.validate", err,
            "test and validate take %g of the rows together: nothing is left to train on",
            config->split.test + config->split.validate);
    if (config->split.folds == 1)
        return qn_config_error(config, "split.folds", err, "must be at least 2, or 0 for none");
    if (!config->data.test && config->split.test <= 0 && !config->split.folds)
        return qn_config_error(config, "split.test", err,
                               "no rows are left to judge the model on: keep a share, or give "
                               "data.test or split.folds");
    return QN_OK;
}

static qn_status check_not_target(const qn_config *config, const char *path,
                                  const qn_config_texts *columns, const char *cannot,
                                  qn_error *err) {
    for (size_t i = 0; i < columns->n; i++)
        if (!strcmp(columns->items[i], config->task.target))
            return qn_config_error(config, path, err, "'%.80s' is the target: it cannot %s",
                                   config->task.target, cannot);
    return QN_OK;
}

static qn_status check_columns(const qn_config *config, qn_error *err) {
    const struct {
        const char *path, *column;
    } others[] = {{"data.time", config->data.time}, {"sample.weight", config->sample.weight},
                  {"split.group", config->split.group},
                  {"task.query", config->task.query}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (others[i].column && !strcmp(others[i].column, config->task.target))
            return qn_config_error(config, others[i].path, err,
                                   "'%.80s' is the target: it cannot be this too",
                                   others[i].column);
    QN_TRY(check_not_target(config, "data.drop", &config->data.drop, "be dropped", err));
    return check_not_target(config, "data.init_score", &config->data.init_score, "be this too",
                            err);
}

/* The registry's rule for names: references are NAME@ALIAS and NAME:VERSION. */
static qn_status check_names(const qn_config *config, qn_error *err) {
    if (strpbrk(config->registry.name, "@:/\\"))
        return qn_config_error(config, "register.name", err,
                               "'%.80s' must not contain '@', ':', '/' or '\\'",
                               config->registry.name);
    if (strpbrk(config->registry.alias, "@:/\\"))
        return qn_config_error(config, "register.alias", err,
                               "'%.80s' must not contain '@', ':', '/' or '\\'",
                               config->registry.alias);
    if (config->train.metric && !strcmp(config->train.metric, "value") && !config->value.given)
        return qn_config_error(config, "train.metric", err,
                               "value needs the section `value`: what the outcomes are worth");
    if (config->train.n_families == 0)
        return qn_config_error(config, "train.families", err,
                               "name at least one family, as [gbdt]");
    return QN_OK;
}

qn_status qn_config_check_task(const qn_config *config, qn_task task, qn_error *err) {
    bool binary = task == QN_TASK_BINARY, regression = task == QN_TASK_REGRESSION;
    const char *name = qn_task_name(task), *method = config->split.method;
    if (!binary && config->task.positive)
        return qn_config_error(config, "task.positive", err,
                               "only a binary task has a positive class; this one is %s", name);
    if (!binary && config->value.given)
        return qn_config_error(config,
                               given(config, "value.true_positive") ? "value.true_positive"
                                                                    : "value.false_negative",
                               err, "values of outcomes need a binary task; this one is %s", name);
    if (config->data.init_score.n == 1 && task == QN_TASK_MULTICLASS)
        return qn_config_error(config, "data.init_score", err,
                               "one number a row cannot be a score of each class: list a column "
                               "for each; this task is %s", name);
    if (config->data.init_score.n > 1 && task != QN_TASK_MULTICLASS)
        return qn_config_error(config, "data.init_score", err,
                               "%zu columns are too many: a row of this %s task has one score",
                               config->data.init_score.n, name);
    if (!binary && config->sample.negatives < 1)
        return qn_config_error(config, "sample.negatives", err,
                               "only a binary task has negatives; this one is %s", name);
    if (regression && method && !strcmp(method, "stratified"))
        return qn_config_error(config, "split.method", err,
                               "a stratified split needs classes; this task is regression");
    bool forced = strcmp(config->train.calibrate, "auto") != 0 &&
                  strcmp(config->train.calibrate, "none") != 0;
    if (regression && forced)
        return qn_config_error(config, "train.calibrate", err,
                               "only probabilities can be calibrated; this task is regression");
    if (regression && strcmp(config->train.class_weight, "none") != 0)
        return qn_config_error(config, "train.class_weight", err,
                               "only classes have class weights; this task is regression");
    return QN_OK;
}

qn_status qn__config_finish(qn_config *config, qn_error *err) {
    QN_TRY(check_required(config, err));
    QN_TRY(fill_texts(config, err));
    QN_TRY(fill_families(config, err));
    QN_TRY(fill_value(config, err));
    fill_numbers(config);
    QN_TRY(fill_ranking(config, err));
    QN_TRY(check_split(config, err));
    QN_TRY(check_columns(config, err));
    QN_TRY(check_names(config, err));
    qn_task task;
    if (qn_config_is_ranking(config))
        QN_TRY(qn_config_check_task(config, QN_TASK_REGRESSION, err));
    else if (config->task.kind && qn_task_from_name(config->task.kind, &task))
        QN_TRY(qn_config_check_task(config, task, err));
    return QN_OK;
}

const char *qn_config_split_method(const qn_config *config, qn_task task) {
    if (config->split.method)
        return config->split.method;
    if (config->split.group)
        return "group";
    if (config->data.time)
        return "time";
    return task == QN_TASK_REGRESSION ? "random" : "stratified";
}
