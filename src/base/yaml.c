#include "base/yaml.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

struct qn_yaml {
    qn_arena *arena; /* owned */
    qn_yaml_node *root; /* arena */
};

/* One open list or map while reading. */
typedef struct level {
    qn_yaml_node *node;
    qn_yaml_node *last;  /* its last child */
    const char *key;     /* read and waiting for its value */
    int32_t key_line;
    qn_yaml_node **slots; /* hash table of the children of a map; see add_name */
    size_t n_slots;
} level;

typedef struct reader {
    const char *name; /* borrowed */
    qn_yaml *yaml;    /* borrowed */
    yaml_parser_t parser;
    level levels[QN_LIMIT_YAML_DEPTH];
    int depth;
    int64_t n_nodes;
    bool done;
    qn_error *err;
} reader;

static qn_status error_at(qn_error *err, qn_status code, const char *name, int32_t line,
                          const char *format, va_list args) {
    char text[sizeof err->message];
    vsnprintf(text, sizeof text, format, args);
    if (line > 0)
        qn_error_set(err, code, "%.300s line %d: %s", name, (int)line, text);
    else
        qn_error_set(err, code, "%.300s: %s", name, text);
    if (err) {
        snprintf(err->file, sizeof err->file, "%s", name);
        err->row = line;
    }
    return code;
}

qn_status qn_yaml_error(qn_error *err, const char *name, int32_t line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    qn_status status = error_at(err, QN_ERR_CONFIG, name, line, format, args);
    va_end(args);
    return status;
}

QN_PRINTF(3, 4)
static qn_status limit_error(reader *r, int32_t line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    qn_status status = error_at(r->err, QN_ERR_LIMIT, r->name, line, format, args);
    va_end(args);
    return status;
}

static int32_t line_of(const yaml_event_t *event) {
    size_t line = event->start_mark.line;
    return line < INT32_MAX ? (int32_t)line + 1 : INT32_MAX;
}

/* --- duplicate keys --------------------------------------------------------------------------- */

/* An open-addressing table per map, doubled when half full, so that a map of many keys takes linear
 * time. FNV-1a is enough: the number of nodes is bounded. */
static size_t hash_key(const char *key) {
    uint64_t h = 1469598103934665603u;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

static qn_yaml_node **find_slot(qn_yaml_node **slots, size_t n_slots, const char *key) {
    size_t i = hash_key(key) & (n_slots - 1);
    while (slots[i] && strcmp(slots[i]->key, key) != 0)
        i = (i + 1) & (n_slots - 1);
    return &slots[i];
}

static qn_status grow_slots(reader *r, level *l) {
    size_t n = l->n_slots ? l->n_slots * 2 : 16;
    qn_yaml_node **slots = qn_arena_alloc(r->yaml->arena, n, sizeof *slots);
    if (!slots)
        return qn_error_memory(r->err);
    for (qn_yaml_node *child = l->node->child; child; child = child->next)
        *find_slot(slots, n, child->key) = child;
    l->slots = slots;
    l->n_slots = n;
    return QN_OK;
}

/* --- building the tree ------------------------------------------------------------------------ */

static qn_status add_child(reader *r, level *l, qn_yaml_node *node) {
    if (l->node->kind == QN_YAML_MAP) {
        node->key = l->key;
        node->key_line = l->key_line;
        l->key = NULL;
        if (2 * (l->node->n_children + 1) > l->n_slots)
            QN_TRY(grow_slots(r, l));
        qn_yaml_node **slot = find_slot(l->slots, l->n_slots, node->key);
        if (*slot)
            return qn_yaml_error(r->err, r->name, node->key_line,
                                 "the key '%.80s' was given on line %d already", node->key,
                                 (int)(*slot)->key_line);
        *slot = node;
    }
    if (l->last)
        l->last->next = node;
    else
        l->node->child = node;
    l->last = node;
    l->node->n_children++;
    return QN_OK;
}

static qn_status add_node(reader *r, qn_yaml_kind kind, const yaml_event_t *event,
                          qn_yaml_node **ret) {
    int32_t line = line_of(event);
    if (++r->n_nodes > QN_LIMIT_YAML_NODES)
        return limit_error(r, line, "more than %d values", QN_LIMIT_YAML_NODES);
    qn_yaml_node *node = qn_arena_alloc(r->yaml->arena, 1, sizeof *node);
    if (!node)
        return qn_error_memory(r->err);
    node->kind = kind;
    node->line = line;
    node->column = event->start_mark.column < INT32_MAX ? (int32_t)event->start_mark.column + 1
                                                        : INT32_MAX;
    if (r->depth)
        QN_TRY(add_child(r, &r->levels[r->depth - 1], node));
    else
        r->yaml->root = node;
    *ret = node;
    return QN_OK;
}

static bool waits_for_key(const reader *r) {
    const level *l = r->depth ? &r->levels[r->depth - 1] : NULL;
    return l && l->node->kind == QN_YAML_MAP && !l->key;
}

static qn_status on_scalar(reader *r, const yaml_event_t *event) {
    const char *value = (const char *)event->data.scalar.value;
    size_t n = event->data.scalar.length;
    int32_t line = line_of(event);
    if (event->data.scalar.tag)
        return qn_yaml_error(r->err, r->name, line, "tags (!...) are not supported");
    if (n && !qn_text_is_utf8(value, n))
        return qn_yaml_error(r->err, r->name, line,
                             "a value with a NUL byte or bytes that are not UTF-8");
    char *text = qn_arena_strdup(r->yaml->arena, value);
    if (!text)
        return qn_error_memory(r->err);
    if (waits_for_key(r)) {
        if (++r->n_nodes > QN_LIMIT_YAML_NODES)
            return limit_error(r, line, "more than %d values", QN_LIMIT_YAML_NODES);
        r->levels[r->depth - 1].key = text;
        r->levels[r->depth - 1].key_line = line;
        return QN_OK;
    }
    qn_yaml_node *node = NULL;
    QN_TRY(add_node(r, QN_YAML_SCALAR, event, &node));
    node->text = text;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return QN_OK;
}

static qn_status on_open(reader *r, const yaml_event_t *event, qn_yaml_kind kind, const void *tag) {
    if (tag)
        return qn_yaml_error(r->err, r->name, line_of(event), "tags (!...) are not supported");
    if (waits_for_key(r))
        return qn_yaml_error(r->err, r->name, line_of(event),
                             "a key must be plain text, not a list or a map");
    if (r->depth == QN_LIMIT_YAML_DEPTH)
        return limit_error(r, line_of(event), "nested deeper than %d levels", QN_LIMIT_YAML_DEPTH);
    qn_yaml_node *node = NULL;
    QN_TRY(add_node(r, kind, event, &node));
    r->levels[r->depth++] = (level){.node = node};
    return QN_OK;
}

static qn_status on_event(reader *r, const yaml_event_t *event) {
    const yaml_char_t *anchor = NULL;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (r->yaml->root)
            return qn_yaml_error(r->err, r->name, line_of(event),
                                 "a second document (---): one is enough");
        return QN_OK;
    case YAML_ALIAS_EVENT:
        return qn_yaml_error(r->err, r->name, line_of(event),
                             "aliases (*name) are not supported: write the value again");
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        r->depth--;
        return QN_OK;
    case YAML_STREAM_END_EVENT:
        r->done = true;
        return QN_OK;
    default:
        return QN_OK;
    }
    if (anchor)
        return qn_yaml_error(r->err, r->name, line_of(event),
                             "anchors (&%.40s) are not supported: write the value again",
                             (const char *)anchor);
    if (event->type == YAML_SCALAR_EVENT)
        return on_scalar(r, event);
    if (event->type == YAML_SEQUENCE_START_EVENT)
        return on_open(r, event, QN_YAML_LIST, event->data.sequence_start.tag);
    return on_open(r, event, QN_YAML_MAP, event->data.mapping_start.tag);
}

static qn_status syntax_error(reader *r) {
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return qn_error_memory(r->err);
    if (p->error == YAML_READER_ERROR)
        return qn_yaml_error(r->err, r->name, 0, "not text in UTF-8 (byte %zu): %s",
                             p->problem_offset, p->problem ? p->problem : "unknown");
    int32_t line = p->problem_mark.line < INT32_MAX ? (int32_t)p->problem_mark.line + 1 : INT32_MAX;
    return qn_yaml_error(r->err, r->name, line, "not valid YAML: %s%s%s (column %zu)",
                         p->problem ? p->problem : "unknown", p->context ? " " : "",
                         p->context ? p->context : "", p->problem_mark.column + 1);
}

static qn_status read_all(reader *r) {
    while (!r->done) {
        yaml_event_t event;
        if (!yaml_parser_parse(&r->parser, &event))
            return syntax_error(r);
        qn_status status = on_event(r, &event);
        yaml_event_delete(&event);
        QN_TRY(status);
    }
    return QN_OK;
}

/* The reader holds a level per allowed nesting, too much for the stack, so it lives in the tree's
 * arena. */
static qn_status parse_into(qn_yaml *yaml, const char *bytes, size_t n, const char *name,
                            qn_error *err) {
    reader *r = qn_arena_alloc(yaml->arena, 1, sizeof *r);
    if (!r)
        return qn_error_memory(err);
    *r = (reader){.name = name, .yaml = yaml, .err = err};
    if (!yaml_parser_initialize(&r->parser))
        return qn_error_memory(err);
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)bytes, n);
    qn_status status = read_all(r);
    yaml_parser_delete(&r->parser);
    return status;
}

qn_status qn_yaml_parse(const char *bytes, size_t n, const char *name, qn_yaml **ret_yaml,
                        qn_error *err) {
    qn_cleanup(qn_yaml_free) qn_yaml *yaml = qn_new(qn_yaml);
    if (!yaml || !(yaml->arena = qn_arena_new("yaml")))
        return qn_error_memory(err);
    QN_TRY(parse_into(yaml, bytes, n, name, err));
    bool is_empty = !yaml->root || qn_yaml_is_null(yaml->root);
    if (!yaml->root) {
        yaml->root = qn_arena_alloc(yaml->arena, 1, sizeof *yaml->root);
        if (!yaml->root)
            return qn_error_memory(err);
    }
    if (is_empty)
        *yaml->root = (qn_yaml_node){.kind = QN_YAML_MAP, .line = 1, .column = 1};
    *ret_yaml = qn_steal(&yaml);
    return QN_OK;
}

void qn_yaml_free(qn_yaml **yaml) {
    if (!yaml || !*yaml)
        return;
    qn_arena_free(&(*yaml)->arena);
    qn_freep(yaml);
}

const qn_yaml_node *qn_yaml_root(const qn_yaml *yaml) {
    return yaml->root;
}

const qn_yaml_node *qn_yaml_get(const qn_yaml_node *map, const char *key) {
    if (!map || map->kind != QN_YAML_MAP)
        return NULL;
    for (const qn_yaml_node *child = map->child; child; child = child->next)
        if (strcmp(child->key, key) == 0)
            return child;
    return NULL;
}

/* --- scalars ---------------------------------------------------------------------------------- */

static bool is_one_of(const char *text, const char *a, const char *b, const char *c) {
    return !strcmp(text, a) || !strcmp(text, b) || !strcmp(text, c);
}

static bool is_null_text(const char *text) {
    return !*text || !strcmp(text, "~") || is_one_of(text, "null", "Null", "NULL");
}

bool qn_yaml_is_null(const qn_yaml_node *node) {
    return node->kind == QN_YAML_SCALAR && !node->quoted && is_null_text(node->text);
}

static bool is_bool_text(const char *text, bool *ret_value) {
    *ret_value = is_one_of(text, "true", "True", "TRUE");
    return *ret_value || is_one_of(text, "false", "False", "FALSE");
}

bool qn_yaml_is_bool(const qn_yaml_node *node, bool *ret_value) {
    bool value;
    if (node->kind != QN_YAML_SCALAR || node->quoted || !is_bool_text(node->text, &value))
        return false;
    *ret_value = value;
    return true;
}

static json_t *scalar_to_json(const qn_yaml_node *node) {
    bool yes;
    int64_t whole;
    double real;
    if (qn_yaml_is_null(node))
        return json_null();
    if (qn_yaml_is_bool(node, &yes))
        return json_boolean(yes);
    if (!node->quoted && !isspace((unsigned char)node->text[0])) {
        if (qn_text_to_i64(node->text, &whole))
            return json_integer(whole);
        if (qn_text_to_double(node->text, &real))
            return json_real(real);
    }
    return json_string(node->text);
}

/* Recursion is bounded by QN_LIMIT_YAML_DEPTH. */
json_t *qn_yaml_to_json(const qn_yaml_node *node) {
    if (node->kind == QN_YAML_SCALAR)
        return scalar_to_json(node);
    qn_cleanup(qn_json_free) json_t *json = node->kind == QN_YAML_MAP ? json_object()
                                                                      : json_array();
    for (const qn_yaml_node *child = node->child; json && child; child = child->next) {
        json_t *value = qn_yaml_to_json(child);
        int failed = !value                      ? -1
                     : node->kind == QN_YAML_MAP ? json_object_set_new(json, child->key, value)
                                                 : json_array_append_new(json, value);
        if (failed)
            return NULL;
    }
    return qn_steal(&json);
}

/* Plain only when nothing could take it for something else, inside [..] and {..} too. */
static bool can_be_plain(const char *text) {
    bool yes;
    double real;
    if (is_null_text(text) || is_bool_text(text, &yes) || qn_text_to_double(text, &real))
        return false;
    if (!isalnum((unsigned char)text[0]) && !strchr("_/.", text[0]) &&
        !((unsigned char)text[0] & 0x80))
        return false;
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 32 || c == 127 || strchr(",[]{}#&*!|>'\"%@`\\:", c))
            return false;
    }
    static const char *const words[] = {"yes", "no", "on", "off", "y", "n", "auto"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (qn_text_distance(text, words[i], 1) == 0) /* without case */
            return false;
    return text[n - 1] != ' ';
}

void qn_yaml_write_text(const char *text, qn_buf *out) {
    if (can_be_plain(text)) {
        qn_buf_put_text(out, text);
        return;
    }
    qn_buf_put_char(out, '"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            qn_buf_printf(out, "\\%c", c);
        else if (c < 32 || c == 127)
            qn_buf_printf(out, "\\x%02X", c);
        else
            qn_buf_put_char(out, (char)c);
    }
    qn_buf_put_char(out, '"');
}
