/* look.h - reading a table to see what is in it, without a run: for `quern data profile` and `quern
 * new`. */
#ifndef QN_FLOW_LOOK_H
#define QN_FLOW_LOOK_H

#include "data/profile.h"
#include "data/source.h"
#include "flow/config.h"

typedef struct qn_look_options {
    const char *folder; /* the project */
    const char *source; /* a file; NULL: the project's source, read as quern.yaml says */
    const char *target; /* NULL: the project's; or none when `source` is given */
    const char *kind;   /* of the target; NULL: inferred */
    const qn_job *job;
} qn_look_options;

typedef struct qn_look {
    qn_frame *frame;       /* owned; at most 2,000,000 rows of it */
    qn_target_info target; /* name NULL when there is none */
    json_t *profile;       /* owned */
} qn_look;

qn_status qn_look_at(const qn_look_options *options, qn_look *ret_look, qn_error *err) QN_MUST_USE;
void qn_look_done(qn_look *look);

/* The source of a config as data/source.h wants it; `path` is config->data.source or
 * config->data.test. The array `types` (config->data.types.n_columns items) is the caller's and
 * must live as long. */
void qn_source_options_of(const qn_config *config, const char *path, qn_source_column_type *types,
                          qn_source_options *ret_options);

/* Opens a source whose target keeps its words: a target that reads as truth values is taken as
 * text, so that classes, predictions and labelled files say True and False when the data does.
 * `target` may be NULL. */
qn_status qn_source_open_labelled(const qn_source_options *options, const char *target,
                                  const qn_job *job, qn_source **ret_source, qn_error *err)
    QN_MUST_USE;

#endif
