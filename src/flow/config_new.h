/* config_new.h - the quern.yaml that `quern new` writes after looking at the data: short,
 * commented, and accepted by qn_config_parse as it stands. */
#ifndef QN_FLOW_CONFIG_NEW_H
#define QN_FLOW_CONFIG_NEW_H

#include "base/buf.h"
#include "data/frame.h"
#include "data/target.h"

/* One column that might better be left out. */
typedef struct qn_config_suspect {
    const char *name;
    const char *why;   /* one phrase: "a different value in nearly every row", say */
    bool drop;         /* true: dropped already (an id); false: only suggested (a suspected leak) */
} qn_config_suspect;

/* What was seen. All text is borrowed, UTF-8; NULL or 0 for what is not known. */
typedef struct qn_config_facts {
    const char *project;  /* must be given */
    const char *source;   /* must be given: path relative to the project's folder */
    const char *target;   /* must be given */
    qn_task kind;
    const char *positive; /* binary */
    const char *negative; /* binary, for words only */
    double positive_share; /* of the rows, 0 to 1; 0: unknown */
    int64_t n_rows;
    const char *const *names; /* all columns, in file order */
    const qn_type *types;     /* n_columns */
    size_t n_columns;
    const char *time;     /* a column that may be the event time */
    const qn_config_suspect *suspects;
    size_t n_suspects;
} qn_config_facts;

/* Appends the file to `out`. */
qn_status qn_config_new_text(const qn_config_facts *facts, qn_buf *out, qn_error *err) QN_MUST_USE;

#endif
