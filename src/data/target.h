/* target.h - the column to be predicted, turned into numbers. */
#ifndef QN_DATA_TARGET_H
#define QN_DATA_TARGET_H

#include "data/frame.h"

/* The inverse of qn_task_name (quern.h). */
bool qn_task_from_name(const char *name, qn_task *ret_task) QN_MUST_USE;

/* What the numbers mean; lives as long as the model. */
typedef struct qn_target_info {
    char *name;        /* owned: the column */
    qn_task task;
    int32_t n_classes; /* 2 for binary, 0 for regression */
    char **classes;    /* owned: their labels as text; binary: {negative, positive}; multiclass: sorted,
                          numerically when all are numbers, else by bytes */
} qn_target_info;

void qn_target_info_done(qn_target_info *info);

typedef struct qn_target_options {
    const char *column;
    const char *kind;     /* task name, or ranking: a regression of grades; NULL: inferred (2
                             distinct values: binary; text, bool, or few distinct whole numbers:
                             multiclass; else regression) */
    const char *positive; /* binary: the label that counts as positive; NULL: chosen (1, true, yes, or the
                             rarer one) */
} qn_target_options;

/* Looks at the column and decides. Errors: QN_ERR_CONFIG (no such column, positive not among the
 * values), QN_ERR_DATA (one class only, all missing, text in a regression target, too many
 * classes). */
qn_status qn_target_infer(const qn_frame *frame, const qn_target_options *options,
                          qn_target_info *ret_info, qn_error *err) QN_MUST_USE;
/* y[i] = class index or value, NaN where missing; a label that is none of the classes is
 * QN_ERR_DATA. y has frame->n_rows items, owned by the caller (qn_freep). */
qn_status qn_target_values(const qn_frame *frame, const qn_target_info *info, double **ret_y,
                           qn_error *err) QN_MUST_USE;

#endif
