/* yaml.h - a bounded reader of YAML for config files, on top of libyaml: one document becomes a
 * tree of nodes that know their line and column.
 *
 *     qn_yaml *yaml = NULL;
 *     QN_TRY(qn_yaml_parse(bytes, n, "quern.yaml", &yaml, err));
 *     const qn_yaml_node *task = qn_yaml_get(qn_yaml_root(yaml), "task");
 *
 * Refused with QN_ERR_CONFIG and the line: anchors and aliases (they let a small file grow without
 * bound), tags, duplicate keys, keys that are not plain text, several documents, bytes that are not
 * UTF-8. More than QN_LIMIT_YAML_NODES nodes or QN_LIMIT_YAML_DEPTH levels are QN_ERR_LIMIT.
 * Scalars stay text: what `no` or `1e3` mean is for the reader who knows the type; `quoted` tells
 * '1' from 1. */
#ifndef QN_BASE_YAML_H
#define QN_BASE_YAML_H

#include "base/error.h"
#include "base/json.h"

typedef enum qn_yaml_kind { QN_YAML_SCALAR, QN_YAML_LIST, QN_YAML_MAP } qn_yaml_kind;

typedef struct qn_yaml_node {
    qn_yaml_kind kind;
    int32_t line, column;             /* 1-based */
    bool quoted;                      /* scalar in quotes or as a block: text whatever it looks like */
    const char *text;                 /* scalar: UTF-8 without NUL; else NULL */
    const char *key;                  /* of a map's child: its name; else NULL */
    int32_t key_line;
    struct qn_yaml_node *child, *next; /* first child, next sibling, in file order */
    size_t n_children;
} qn_yaml_node;

/* Owns all nodes and texts. Read-only, thread-safe. */
typedef struct qn_yaml qn_yaml;

/* `name` appears in messages: "NAME line 3: ...". An empty document gives an empty map. */
qn_status qn_yaml_parse(const char *bytes, size_t n, const char *name, qn_yaml **ret_yaml,
                        qn_error *err) QN_MUST_USE;
void qn_yaml_free(qn_yaml **yaml);
const qn_yaml_node *qn_yaml_root(const qn_yaml *yaml); /* borrowed */
/* The child of that name of a map, or NULL. */
const qn_yaml_node *qn_yaml_get(const qn_yaml_node *map, const char *key);

/* An unquoted empty text, `null` or `~`. */
bool qn_yaml_is_null(const qn_yaml_node *node);
/* YAML 1.2: true or false, in lower, title or upper case, and not quoted. */
bool qn_yaml_is_bool(const qn_yaml_node *node, bool *ret_value);

/* The tree as JSON: unquoted scalars that look like one become null, true, false, integers or
 * numbers. New reference; NULL when memory is short. */
json_t *qn_yaml_to_json(const qn_yaml_node *node);

/* Appends `text` as a YAML scalar that reads back as that text: plain where it can be, else in
 * quotes. */
struct qn_buf;
void qn_yaml_write_text(const char *text, struct qn_buf *out);

/* QN_ERR_CONFIG with "NAME line LINE: TEXT"; err->file and err->row are set too. */
qn_status qn_yaml_error(qn_error *err, const char *name, int32_t line, const char *format, ...)
    QN_PRINTF(4, 5);

#endif
