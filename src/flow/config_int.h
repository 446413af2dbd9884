/* config_int.h - the table of keys of quern.yaml, shared by the reader, the writer and the docs. */
#ifndef QN_FLOW_CONFIG_INT_H
#define QN_FLOW_CONFIG_INT_H

#include "flow/config.h"

typedef enum qn__key_kind {
    QN__KEY_TEXT,     /* char *, of `low` to `high` bytes */
    QN__KEY_CHAR,     /* char *, one character; "tab" and "\t" mean a tab */
    QN__KEY_EXPR,     /* char *: an expression or a number, as text */
    QN__KEY_TEXTS,    /* qn_config_texts: a list, or one text */
    QN__KEY_BOOL,     /* bool */
    QN__KEY_TRISTATE, /* int: true 1, false 0, auto -1 */
    QN__KEY_INT,      /* int64_t */
    QN__KEY_REAL,     /* double */
    QN__KEY_CHOICE,   /* const char * of `choices` */
    QN__KEY_SECONDS,  /* double; "90s", "2m" */
    QN__KEY_BYTES,    /* int64_t; "500MB" */
    QN__KEY_TYPES,    /* qn_schema: map of column to type */
    QN__KEY_FEATURES, /* json_t *: auto (NULL) or a list */
    QN__KEY_FAMILIES, /* families and n_families of train */
} qn__key_kind;

typedef struct qn__key {
    const char *path;           /* "split.test" */
    qn__key_kind kind;
    size_t offset;              /* of the member in qn_config */
    double low, high;           /* range of numbers; bytes of text */
    double preset;              /* numbers, bool, tristate; index into choices */
    const char *preset_text;    /* TEXT: the default, NULL for none */
    const char *const *choices; /* NULL-terminated */
    bool first_is_null;         /* CHOICE: the first choice is kept as NULL */
    bool required;
    const char *absent;         /* what the reference shows as the default when it is not a plain value */
    const char *help;           /* one or two sentences, without a final stop */
} qn__key;

typedef struct qn__section {
    const char *path; /* "train.limits" */
    const char *help;
} qn__section;

const qn__key *qn__config_keys(size_t *ret_n);
const qn__section *qn__config_sections(size_t *ret_n);
/* The index of a key, or -1. */
int qn__config_find(const char *path);

static inline void *qn__config_member(qn_config *config, const qn__key *key) {
    return (char *)config + key->offset;
}

/* Sets one key from a scalar's text; `at` tells where for messages: line > 0 in the file, else an
 * override. */
qn_status qn__config_set_text(qn_config *config, const qn__key *key, const char *text, bool quoted,
                              int32_t line, qn_error *err) QN_MUST_USE;
/* Fills what follows from other keys, and checks what concerns several. */
qn_status qn__config_finish(qn_config *config, qn_error *err) QN_MUST_USE;
/* Writes the presets that are plain values. */
void qn__config_presets(qn_config *config);
/* Replaces an owned text by a copy. */
qn_status qn__config_put_text(char **member, const char *text, qn_error *err) QN_MUST_USE;
/* Appends one family; takes `params`, also on failure. */
qn_status qn__config_add_family(qn_config *config, const char *name, json_t *params, int32_t line,
                                qn_error *err) QN_MUST_USE;
qn_status qn__config_add_texts(qn_config_texts *texts, const char *text, qn_error *err) QN_MUST_USE;
void qn__config_clear_texts(qn_config_texts *texts);
void qn__config_clear_families(qn_config *config);

#endif
