#include "flow/config.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/yaml.h"
#include "flow/config_int.h"

/* --- life ------------------------------------------------------------------------------------- */

void qn__config_clear_texts(qn_config_texts *texts) {
    for (size_t i = 0; i < texts->n; i++)
        qn_freep(&texts->items[i]);
    qn_freep(&texts->items);
    texts->n = 0;
}

void qn__config_clear_families(qn_config *config) {
    for (size_t i = 0; i < config->train.n_families; i++) {
        qn_freep(&config->train.families[i].name);
        qn_json_free(&config->train.families[i].params);
    }
    qn_freep(&config->train.families);
    config->train.n_families = 0;
}

static void clear_types(qn_schema *types) {
    for (int32_t i = 0; i < types->n_columns; i++)
        qn_freep(&types->columns[i].name);
    qn_freep(&types->columns);
    types->n_columns = 0;
}

static void clear_member(qn_config *config, const qn__key *key) {
    void *member = qn__config_member(config, key);
    switch (key->kind) {
    case QN__KEY_TEXT:
    case QN__KEY_CHAR:
    case QN__KEY_EXPR:
        qn_freep(member);
        break;
    case QN__KEY_TEXTS:
        qn__config_clear_texts(member);
        break;
    case QN__KEY_TYPES:
        clear_types(member);
        break;
    case QN__KEY_FEATURES:
        qn_json_free(member);
        break;
    case QN__KEY_FAMILIES:
        qn__config_clear_families(config);
        break;
    default:
        break;
    }
}

void qn_config_free(qn_config **config) {
    if (!config || !*config)
        return;
    size_t n;
    const qn__key *keys = qn__config_keys(&n);
    for (size_t i = 0; i < n; i++)
        clear_member(*config, &keys[i]);
    qn_freep(&(*config)->file);
    qn_freep(&(*config)->folder);
    qn_freep(config);
}

/* --- walking the file ------------------------------------------------------------------------- */

enum { PATH_BYTES = 256 };

static bool is_section(const char *path) {
    size_t n;
    const qn__section *sections = qn__config_sections(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(sections[i].path, path) == 0)
            return true;
    return false;
}

/* The name that `path` (of a key or section) has directly under `section`, or NULL. */
static const char *name_under(const char *path, const char *section) {
    size_t n = strlen(section);
    if (n && (strncmp(path, section, n) != 0 || path[n] != '.'))
        return NULL;
    const char *name = path + n + (n > 0);
    return strchr(name, '.') ? NULL : name;
}

static size_t names_under(const char *section, const char **names, size_t max) {
    size_t n_keys, n_sections, n = 0;
    const qn__key *keys = qn__config_keys(&n_keys);
    const qn__section *sections = qn__config_sections(&n_sections);
    for (size_t i = 0; i < n_keys && n < max; i++)
        if (name_under(keys[i].path, section))
            names[n++] = name_under(keys[i].path, section);
    for (size_t i = 0; i < n_sections && n < max; i++)
        if (name_under(sections[i].path, section))
            names[n++] = name_under(sections[i].path, section);
    return n;
}

/* The section in which a key of exactly this name lives: "validate" written at the left margin. */
static const qn__key *key_elsewhere(const char *name) {
    size_t n;
    const qn__key *keys = qn__config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        const char *dot = strrchr(keys[i].path, '.');
        if (dot && strcmp(dot + 1, name) == 0)
            return &keys[i];
    }
    return NULL;
}

static qn_status unknown_key(const qn_config *config, const char *section, const qn_yaml_node *node,
                             qn_error *err) {
    const char *names[QN_CONFIG_KEYS_MAX];
    size_t n = names_under(section, names, QN_CONFIG_KEYS_MAX);
    const char *near = qn_text_nearest(node->key, names, n), *under = section[0] ? " under " : "";
    const qn__key *elsewhere = key_elsewhere(node->key);
    if (near && !elsewhere)
        return qn_yaml_error(err, config->file, node->key_line,
                             "unknown key '%.80s'%s%s: did you mean '%s'?", node->key, under,
                             section, near);
    if (elsewhere)
        return qn_yaml_error(err, config->file, node->key_line,
                             "unknown key '%.80s'%s%s: it belongs under %.*s", node->key, under,
                             section, (int)(strrchr(elsewhere->path, '.') - elsewhere->path),
                             elsewhere->path);
    char list[512] = "";
    for (size_t i = 0; i < n; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", names[i]);
    return qn_yaml_error(err, config->file, node->key_line,
                         "unknown key '%.80s'%s%s: it must be one of %s", node->key, under, section,
                         list);
}

static qn_status shape_error(const qn_config *config, const qn_yaml_node *node, const char *path,
                             const char *wanted, qn_error *err) {
    return qn_yaml_error(err, config->file, node->line, "%s must be %s", path, wanted);
}

static qn_status read_texts(qn_config *config, const qn__key *key, const qn_yaml_node *node,
                            qn_error *err) {
    qn_config_texts *texts = qn__config_member(config, key);
    const qn_yaml_node *item = node->kind == QN_YAML_LIST ? node->child : node;
    if (node->kind == QN_YAML_MAP)
        return shape_error(config, node, key->path, "a list of texts", err);
    for (; item; item = node->kind == QN_YAML_LIST ? item->next : NULL) {
        if (item->kind != QN_YAML_SCALAR)
            return shape_error(config, item, key->path, "a list of texts", err);
        size_t n = strlen(item->text);
        if (n < (size_t)key->low || n > (size_t)key->high)
            return qn_yaml_error(err, config->file, item->line,
                                 "%s: each text must have %.0f to %.0f bytes", key->path, key->low,
                                 key->high);
        QN_TRY(qn__config_add_texts(texts, item->text, err));
    }
    return QN_OK;
}

static qn_status wrong_type_name(const qn_config *config, const qn_yaml_node *node, qn_error *err) {
    static const char *const names[] = {"bool", "integer", "number", "category", "text", "time"};
    const char *near = qn_text_nearest(node->text, names, sizeof names / sizeof names[0]);
    return qn_yaml_error(
        err, config->file, node->line,
        "data.types: '%.80s' is not a type: bool, integer, number, category, text or time%s%s%s",
        node->text, near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

static qn_status read_types(qn_config *config, const qn__key *key, const qn_yaml_node *node,
                            qn_error *err) {
    qn_schema *types = qn__config_member(config, key);
    if (node->kind != QN_YAML_MAP)
        return shape_error(config, node, key->path, "a map of column names to types", err);
    if (node->n_children > QN_LIMIT_COLUMNS)
        return qn_yaml_error(err, config->file, node->line, "%s: more than %d columns", key->path,
                             QN_LIMIT_COLUMNS);
    types->columns = qn_new_array(qn_schema_column, node->n_children);
    if (!types->columns)
        return qn_error_memory(err);
    for (const qn_yaml_node *item = node->child; item; item = item->next) {
        qn_schema_column *column = &types->columns[types->n_columns];
        if (item->kind != QN_YAML_SCALAR)
            return shape_error(config, item, key->path, "a map of column names to types", err);
        if (!qn_type_from_name(item->text, &column->type))
            return wrong_type_name(config, item, err);
        QN_TRY(qn__config_put_text(&column->name, item->key, err));
        types->n_columns++;
    }
    return QN_OK;
}

static qn_status read_features(qn_config *config, const qn__key *key, const qn_yaml_node *node,
                               qn_error *err) {
    json_t **member = qn__config_member(config, key);
    if (node->kind == QN_YAML_SCALAR && strcmp(node->text, "auto") == 0)
        return QN_OK;
    if (node->kind != QN_YAML_LIST)
        return shape_error(config, node, key->path,
                           "auto, or a list of steps {columns: [..], transforms: [..]}", err);
    for (const qn_yaml_node *step = node->child; step; step = step->next)
        if (step->kind != QN_YAML_MAP)
            return shape_error(config, step, key->path,
                               "a list of steps {columns: [..], transforms: [..]}", err);
    *member = qn_yaml_to_json(node);
    return *member ? QN_OK : qn_error_memory(err);
}

static qn_status read_family(qn_config *config, const qn_yaml_node *at, const char *name,
                             const qn_yaml_node *params, qn_error *err) {
    if (params && params->kind != QN_YAML_MAP)
        return qn_yaml_error(err, config->file, params->line,
                             "train.families: the parameters of %.80s must be a map", name);
    json_t *json = params ? qn_yaml_to_json(params) : json_object();
    if (!json)
        return qn_error_memory(err);
    return qn__config_add_family(config, name, json, at->line, err);
}

static const qn_yaml_node *unless_null(const qn_yaml_node *node) {
    return qn_yaml_is_null(node) ? NULL : node;
}

static qn_status read_families(qn_config *config, const qn__key *key, const qn_yaml_node *node,
                               qn_error *err) {
    static const char wanted[] = "a list of names, or a map of names to parameters";
    if (node->kind == QN_YAML_SCALAR)
        return read_family(config, node, node->text, NULL, err);
    if (!node->child)
        return shape_error(config, node, key->path, wanted, err);
    for (const qn_yaml_node *item = node->child; item; item = item->next) {
        if (node->kind == QN_YAML_MAP)
            QN_TRY(read_family(config, item, item->key, unless_null(item), err));
        else if (item->kind == QN_YAML_SCALAR)
            QN_TRY(read_family(config, item, item->text, NULL, err));
        else if (item->kind == QN_YAML_MAP && item->n_children == 1) /* - gbdt: {num_leaves: 63} */
            QN_TRY(read_family(config, item, item->child->key, unless_null(item->child), err));
        else
            return shape_error(config, item, key->path, wanted, err);
    }
    return QN_OK;
}

static qn_status read_key(qn_config *config, const qn__key *key, const qn_yaml_node *node,
                          qn_error *err) {
    if (qn_yaml_is_null(node)) /* "positive:" with nothing behind it is as good as absent */
        return QN_OK;
    size_t n_keys;
    config->line[key - qn__config_keys(&n_keys)] = node->line;
    switch (key->kind) {
    case QN__KEY_TEXTS:
        return read_texts(config, key, node, err);
    case QN__KEY_TYPES:
        return read_types(config, key, node, err);
    case QN__KEY_FEATURES:
        return read_features(config, key, node, err);
    case QN__KEY_FAMILIES:
        return read_families(config, key, node, err);
    default:
        if (node->kind != QN_YAML_SCALAR)
            return shape_error(config, node, key->path, "a plain value, not a list or a map", err);
        return qn__config_set_text(config, key, node->text, node->quoted, node->line, err);
    }
}

/* Recursion follows the known sections only, so it is two levels deep at most. */
static qn_status read_section(qn_config *config, const char *section, const qn_yaml_node *map,
                              qn_error *err) {
    size_t n;
    const qn__key *keys = qn__config_keys(&n);
    for (const qn_yaml_node *node = map->child; node; node = node->next) {
        char path[PATH_BYTES];
        int len = snprintf(path, sizeof path, "%s%s%s", section, section[0] ? "." : "", node->key);
        int i_key = len < PATH_BYTES && !strchr(node->key, '.') ? qn__config_find(path) : -1;
        bool known = i_key >= 0 ||
                     (len < PATH_BYTES && !strchr(node->key, '.') && is_section(path));
        if (!known)
            return unknown_key(config, section, node, err);
        if (i_key >= 0) {
            QN_TRY(read_key(config, &keys[i_key], node, err));
        } else if (!qn_yaml_is_null(node)) {
            if (node->kind != QN_YAML_MAP)
                return shape_error(config, node, path, "a map of keys", err);
            QN_TRY(read_section(config, path, node, err));
        }
    }
    return QN_OK;
}

/* --- entry points ----------------------------------------------------------------------------- */

static qn_status set_place(qn_config *config, const char *name, qn_error *err) {
    const char *slash = strrchr(name, '/');
    config->file = qn_strdup(name);
    config->folder = !slash ? qn_strdup(".")
                            : qn_strndup(name, slash == name ? 1 : (size_t)(slash - name));
    return config->file && config->folder ? QN_OK : qn_error_memory(err);
}

qn_status qn_config_parse(const char *bytes, size_t n, const char *name, qn_config **ret_config,
                          qn_error *err) {
    QN_FAIL_IF(n > QN_LIMIT_CONFIG_BYTES, err, QN_ERR_LIMIT,
               "%.300s has %zu bytes; at most %zu are allowed", name, n, QN_LIMIT_CONFIG_BYTES);
    qn_cleanup(qn_yaml_free) qn_yaml *yaml = NULL;
    QN_TRY(qn_yaml_parse(bytes, n, name, &yaml, err));
    const qn_yaml_node *root = qn_yaml_root(yaml);
    if (root->kind != QN_YAML_MAP)
        return qn_yaml_error(err, name, root->line,
                             "a config is a map of keys, as in `task: {target: price}`");
    qn_cleanup(qn_config_free) qn_config *config = qn_new(qn_config);
    if (!config)
        return qn_error_memory(err);
    QN_TRY(set_place(config, name, err));
    qn__config_presets(config);
    QN_TRY(read_section(config, "", root, err));
    QN_TRY(qn__config_finish(config, err));
    *ret_config = qn_steal(&config);
    return QN_OK;
}

qn_status qn_config_read(const char *path, qn_config **ret_config, qn_error *err) {
    qn_cleanup(qn_freep) char *bytes = NULL;
    size_t n;
    QN_TRY(qn_file_read(path, QN_LIMIT_CONFIG_BYTES, &bytes, &n, err));
    return qn_config_parse(bytes, n, path, ret_config, err);
}

static const qn__key *nearest_key(const char *path) {
    const char *names[QN_CONFIG_KEYS_MAX];
    size_t n;
    const qn__key *keys = qn__config_keys(&n);
    for (size_t i = 0; i < n; i++)
        names[i] = keys[i].path;
    const char *near = qn_text_nearest(path, names, n);
    return near ? &keys[qn__config_find(near)] : NULL;
}

qn_status qn_config_set(qn_config *config, const char *path, const char *text, qn_error *err) {
    size_t n;
    const qn__key *keys = qn__config_keys(&n);
    int i_key = qn__config_find(path);
    if (i_key < 0) {
        const qn__key *near = nearest_key(path);
        return qn_error_set(err, QN_ERR_USAGE, "unknown key '%.80s'%s%s%s", path,
                            near ? ": did you mean '" : "", near ? near->path : "",
                            near ? "'?" : "");
    }
    config->line[i_key] = -1;
    QN_TRY(qn__config_set_text(config, &keys[i_key], text, false, 0, err));
    return qn__config_finish(config, err);
}

qn_status qn_config_error(const qn_config *config, const char *path, qn_error *err,
                          const char *format, ...) {
    char text[sizeof err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int i_key = qn__config_find(path);
    int32_t line = i_key >= 0 && config->line[i_key] > 0 ? config->line[i_key] : 0;
    return qn_yaml_error(err, config->file, line, "%s: %s", path, text);
}
