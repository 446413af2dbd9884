/* foreign_int.h - what the readers of foreign models hand to foreign.c. */
#ifndef QN_MODEL_FOREIGN_INT_H
#define QN_MODEL_FOREIGN_INT_H

#include "data/target.h"
#include "learn/trees.h"
#include "model/foreign.h"

typedef struct qn__foreign {
    const char *from;         /* a literal: "LightGBM" */
    char objective[64];       /* as the other program calls it */
    qn_task task;
    qn_trees trees;           /* owned parts */
    int32_t n_inputs;
    char **names;             /* owned, each owned */
    qn_plain_input *inputs;   /* owned; names are borrowed from `names` */
} qn__foreign;

/* An objective of the other program: what its scores are. */
typedef struct qn__foreign_objective {
    const char *name;
    qn_task task;
    qn_link link;
    const char *ours;         /* a value of gbdt's parameter `objective` */
} qn__foreign_objective;

void qn__foreign_done(qn__foreign *foreign);
/* Room for n inputs, named by the format, which takes the number of the input. */
qn_status qn__foreign_inputs(qn__foreign *foreign, int64_t n, qn_error *err) QN_MUST_USE;
/* Takes an objective of the table into `foreign`; QN_ERR_USAGE when it is not there. */
qn_status qn__foreign_set_objective(qn__foreign *foreign, const qn__foreign_objective *table,
                                    size_t n_table, const char *name, qn_error *err) QN_MUST_USE;
/* Notes that splits of input i tell codes up to `code` apart. */
qn_status qn__foreign_code(qn__foreign *foreign, int32_t i, int64_t code, qn_error *err)
    QN_MUST_USE;

qn_status qn__read_lightgbm(const char *bytes, size_t n, qn__foreign *foreign, qn_error *err)
    QN_MUST_USE;
qn_status qn__read_xgboost(const char *bytes, size_t n, qn__foreign *foreign, qn_error *err)
    QN_MUST_USE;

/* The largest double that is below `condition` once it is rounded to float: x <= that is what
 * XGBoost means by (float)x < condition. NaN when there is none. */
double qn__float_cut(float condition);

#endif
