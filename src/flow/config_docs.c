/* What the table of keys says to others: the resolved config of a run, the reference, the JSON
 * Schema. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "flow/config_int.h"

/* --- the resolved config ---------------------------------------------------------------------- */

static json_t *text_or_null(const char *text) {
    return text ? json_string(text) : json_null();
}

static json_t *texts_json(const qn_config_texts *texts) {
    json_t *list = json_array();
    for (size_t i = 0; list && i < texts->n; i++)
        if (json_array_append_new(list, json_string(texts->items[i])) != 0)
            qn_json_free(&list);
    return list;
}

static json_t *types_json(const qn_schema *types) {
    json_t *map = json_object();
    for (int32_t i = 0; map && i < types->n_columns; i++)
        if (json_object_set_new(map, types->columns[i].name,
                                json_string(qn_type_name(types->columns[i].type))) != 0)
            qn_json_free(&map);
    return map;
}

static json_t *families_json(const qn_config *config) {
    json_t *map = json_object();
    for (size_t i = 0; map && i < config->train.n_families; i++)
        if (json_object_set(map, config->train.families[i].name,
                            config->train.families[i].params) != 0)
            qn_json_free(&map);
    return map;
}

static json_t *value_json(const qn_config *config, const qn__key *key) {
    const void *at = (const char *)config + key->offset;
    switch (key->kind) {
    case QN__KEY_TEXT:
    case QN__KEY_CHAR:
    case QN__KEY_EXPR:
        return text_or_null(*(char *const *)at);
    case QN__KEY_CHOICE:
        return text_or_null(*(const char *const *)at);
    case QN__KEY_TEXTS:
        return texts_json(at);
    case QN__KEY_BOOL:
        return json_boolean(*(const bool *)at);
    case QN__KEY_TRISTATE:
        return *(const int *)at < 0 ? json_string("auto") : json_boolean(*(const int *)at);
    case QN__KEY_INT:
    case QN__KEY_BYTES:
        return json_integer(*(const int64_t *)at);
    case QN__KEY_REAL:
    case QN__KEY_SECONDS:
        return qn_json_number(*(const double *)at);
    case QN__KEY_TYPES:
        return types_json(at);
    case QN__KEY_FEATURES:
        return *(json_t *const *)at ? json_incref(*(json_t *const *)at) : json_string("auto");
    case QN__KEY_FAMILIES:
        return families_json(config);
    }
    return NULL;
}

/* The object for "train.limits" inside `root`, made when it is not there; *ret_name is the last
 * part of the path. Borrowed; NULL when memory is short. `inner` is the member that holds the
 * objects' members. */
static json_t *object_for(json_t *root, const char *path, const char *inner,
                          const char **ret_name) {
    json_t *object = root;
    for (const char *dot; object && (dot = strchr(path, '.')); path = dot + 1) {
        json_t *members = inner ? json_object_get(object, inner) : object;
        json_t *next = json_object_getn(members, path, (size_t)(dot - path));
        if (!next) {
            next = json_object();
            if (inner && next)
                json_object_set_new(next, inner, json_object());
            if (json_object_setn_new(members, path, (size_t)(dot - path), next) != 0)
                return NULL;
        }
        object = next;
    }
    *ret_name = path;
    return object && inner ? json_object_get(object, inner) : object;
}

json_t *qn_config_to_json(const qn_config *config) {
    size_t n;
    const qn__key *keys = qn__config_keys(&n);
    qn_cleanup(qn_json_free) json_t *root = json_object();
    for (size_t i = 0; i < n && root; i++) {
        const char *name;
        json_t *object = object_for(root, keys[i].path, NULL, &name);
        if (!object || json_object_set_new(object, name, value_json(config, &keys[i])) != 0)
            return NULL;
    }
    return qn_steal(&root);
}

/* --- the reference ---------------------------------------------------------------------------- */

static void put_range(const qn__key *key, qn_buf *out) {
    char low[QN_DOUBLE_TEXT], high[QN_DOUBLE_TEXT];
    qn_double_to_text(key->low, low);
    qn_double_to_text(key->high, high);
    const char *what = key->kind == QN__KEY_INT ? "whole number" : "number";
    if (key->high >= 1e15)
        qn_buf_printf(out, "%s from %s", what, low);
    else
        qn_buf_printf(out, "%s from %s to %s", what, low, high);
}

static void put_values(const qn__key *key, qn_buf *out) {
    static const char *const words[] = {
        [QN__KEY_TEXT] = "text",
        [QN__KEY_CHAR] = "one character",
        [QN__KEY_EXPR] = "number or expression",
        [QN__KEY_TEXTS] = "list of texts",
        [QN__KEY_BOOL] = "true, false",
        [QN__KEY_TRISTATE] = "auto, true, false",
        [QN__KEY_SECONDS] = "time: 60s, 5m, 1h30m",
        [QN__KEY_BYTES] = "size: 500MB, 4GB",
        [QN__KEY_TYPES] = "map",
        [QN__KEY_FEATURES] = "auto, or a list",
        [QN__KEY_FAMILIES] = "list or map",
    };
    if (key->kind == QN__KEY_INT || key->kind == QN__KEY_REAL) {
        put_range(key, out);
    } else if (key->kind == QN__KEY_CHOICE) {
        for (size_t i = 0; key->choices[i]; i++)
            qn_buf_printf(out, "%s%s", i ? ", " : "", key->choices[i]);
    } else {
        qn_buf_put_text(out, words[key->kind]);
    }
}

static void put_default(const qn__key *key, qn_buf *out) {
    if (key->absent)
        qn_buf_put_text(out, key->absent);
    else if (key->preset_text)
        qn_buf_put_text(out, key->preset_text);
    else if (key->kind == QN__KEY_CHOICE)
        qn_buf_put_text(out, key->choices[(size_t)key->preset]);
    else if (key->kind == QN__KEY_BOOL || key->kind == QN__KEY_TRISTATE)
        qn_buf_put_text(out, key->preset < 0 ? "auto" : key->preset > 0 ? "true" : "false");
    else
        qn_buf_put_double(out, key->preset);
}

static void put_table(const char *section, qn_buf *out) {
    size_t n, n_section = strlen(section);
    const qn__key *keys = qn__config_keys(&n);
    qn_buf_put_text(out, "| key | values | default | what it does |\n|---|---|---|---|\n");
    for (size_t i = 0; i < n; i++) {
        const char *path = keys[i].path;
        bool inside = !n_section || (!strncmp(path, section, n_section) && path[n_section] == '.');
        const char *name = path + (n_section ? n_section + 1 : 0);
        if (!inside || strchr(name, '.'))
            continue;
        qn_buf_printf(out, "| `%s` | ", name);
        put_values(&keys[i], out);
        qn_buf_put_text(out, " | ");
        put_default(&keys[i], out);
        qn_buf_printf(out, " | %s |\n", keys[i].help);
    }
    qn_buf_put_char(out, '\n');
}

void qn_config_reference(qn_buf *out) {
    size_t n;
    const qn__section *sections = qn__config_sections(&n);
    qn_buf_put_text(
        out, "# quern.yaml\n\n"
             "<!-- Made from the table in src/flow/config_table.c by `make docs`: change it there. "
             "-->\n\n"
             "A project is a folder with a `quern.yaml`. Only the source and the target must be "
             "given:\n\n"
             "```yaml\ntask: {target: churned}\ndata: {source: customers.csv}\n```\n\n"
             "`quern new` writes a commented one after looking at the data. A key that is not "
             "listed here is an\n"
             "error with its line number. Anchors, aliases and tags of YAML are not used.\n\n"
             "## At the left margin\n\n");
    put_table("", out);
    for (size_t i = 0; i < n; i++) {
        qn_buf_printf(out, "## %s\n\n%s\n\n", sections[i].path, sections[i].help);
        put_table(sections[i].path, out);
    }
}

/* --- the JSON Schema -------------------------------------------------------------------------- */

static json_t *number_schema(const qn__key *key) {
    const char *type = key->kind == QN__KEY_INT ? "integer" : "number";
    json_t *schema = json_pack("{s:s, s:o, s:o}", "type", type, "minimum", qn_json_number(key->low),
                               "maximum", qn_json_number(key->high));
    return schema;
}

static json_t *choice_schema(const qn__key *key) {
    json_t *list = json_array();
    for (size_t i = 0; list && key->choices[i]; i++)
        if (json_array_append_new(list, json_string(key->choices[i])) != 0)
            qn_json_free(&list);
    return json_pack("{s:o}", "enum", list);
}

static json_t *scalar_list_schema(void) {
    return json_pack("{s:[s,s,s,s], s:{s:[s,s,s]}}", "type", "array", "string", "number", "boolean",
                     "items", "type", "string", "number", "boolean");
}

static json_t *key_schema(const qn__key *key) {
    switch (key->kind) {
    case QN__KEY_INT:
    case QN__KEY_REAL:
        return number_schema(key);
    case QN__KEY_CHOICE:
        return choice_schema(key);
    case QN__KEY_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case QN__KEY_TRISTATE:
        return json_pack("{s:[s,b,b]}", "enum", "auto", 1, 0);
    case QN__KEY_TEXTS:
        return scalar_list_schema();
    case QN__KEY_TYPES:
        return json_pack("{s:s, s:{s:[s,s,s,s,s,s]}}", "type", "object", "additionalProperties",
                         "enum", "bool", "integer", "number", "category", "text", "time");
    case QN__KEY_FEATURES:
        return json_pack("{s:[{s:s}, {s:s, s:{s:s}}]}", "oneOf", "const", "auto", "type", "array",
                         "items", "type", "object");
    case QN__KEY_FAMILIES:
        return json_pack("{s:[s,s,s]}", "type", "string", "array", "object");
    default:
        return json_pack("{s:[s,s,s]}", "type", "string", "number", "boolean");
    }
}

static int add_key_schema(json_t *root, const qn__key *key) {
    const char *name;
    json_t *members = object_for(root, key->path, "properties", &name);
    json_t *schema = members ? key_schema(key) : NULL;
    if (!schema || json_object_set_new(schema, "description", json_string(key->help)) != 0) {
        json_decref(schema);
        return -1;
    }
    return json_object_set_new(members, name, schema);
}

/* Closes every section to unknown keys and describes it. */
static int finish_section(json_t *root, const qn__section *section) {
    const char *name;
    json_t *members = object_for(root, section->path, "properties", &name);
    json_t *schema = json_object_get(members, name);
    return json_object_set_new(schema, "type", json_string("object")) |
           json_object_set_new(schema, "description", json_string(section->help)) |
           json_object_set_new(schema, "additionalProperties", json_false());
}

json_t *qn_config_schema(void) {
    size_t n_keys, n_sections;
    const qn__key *keys = qn__config_keys(&n_keys);
    const qn__section *sections = qn__config_sections(&n_sections);
    qn_cleanup(qn_json_free) json_t *root = json_pack(
        "{s:s, s:s, s:s, s:{}, s:b, s:[s,s]}", "$schema",
        "https://json-schema.org/draft/2020-12/schema", "title", "quern.yaml", "type", "object",
        "properties", "additionalProperties", 0, "required", "task", "data");
    for (size_t i = 0; i < n_keys && root; i++)
        if (add_key_schema(root, &keys[i]) != 0)
            return NULL;
    for (size_t i = 0; i < n_sections && root; i++)
        if (finish_section(root, &sections[i]) != 0)
            return NULL;
    return qn_steal(&root);
}
