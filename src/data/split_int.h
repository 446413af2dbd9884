/* split_int.h - what split.c and split_order.c share. A draft holds the labelled rows of a split or
 * of folds in the making and the part (or fold) of each. */
#ifndef QN_DATA_SPLIT_INT_H
#define QN_DATA_SPLIT_INT_H

#include "data/split.h"

enum { QN__TRAIN, QN__VALIDATE, QN__TEST };

typedef struct qn__draft {
    const qn_split_options *options; /* borrowed */
    int64_t n;         /* labelled rows */
    int64_t n_skipped; /* unlabelled ones */
    int64_t *rows;     /* owned; ascending */
    int32_t *part;     /* owned; QN__TRAIN.. or the fold of rows[i] */
    int64_t *order;    /* owned; scratch of n items */
    int64_t n_validate, n_test; /* wanted */
    int64_t n_groups;
    double validate_from, test_from;
} qn__draft;

/* Parts by time: order by (time, row), cut at the edges between distinct times nearest to the
 * shares. */
qn_status qn__split_time(qn__draft *draft, const qn_column *time, qn_error *err) QN_MUST_USE;
qn_status qn__folds_time(qn__draft *draft, const qn_column *time, qn_error *err) QN_MUST_USE;
/* Parts by group. */
qn_status qn__split_group(qn__draft *draft, const qn_column *group, qn_error *err) QN_MUST_USE;
qn_status qn__folds_group(qn__draft *draft, const qn_column *group, qn_error *err) QN_MUST_USE;

#endif
