/* slice.h - where a model fails: the groups of rows on which it does worst.
 *
 * Every input column makes groups: categories (and bools) by value, numbers and times by quintile,
 * missing values are a group. A group is compared with all other rows.
 *
 *   [{"column": "age", "group": "17 to 26", "n": 812, "share": 0.21,
 *     "metric": {"value", "low", "high"}, "rest": x,
 *     "difference": {"value", "low", "high"},       group - rest, in the metric's own direction
 *     "value_per_row": x or null,                   money, when it was given
 *     "q": x, "flag": true}, ..]                    at most 50, by how much worse they are at least (the near
 *                                                    end of the interval), so wild small groups do not lead
 *
 * Intervals are value +- 1.96 standard errors, from a bootstrap of the group (of at most 2000 of
 * its rows, scaled), for the 100 groups with the largest difference x root of n. Looking at many
 * groups finds bad ones by chance: "q" is the p-value of "not worse than the rest" adjusted for the
 * number of groups looked at (Benjamini, Hochberg 1995); "flag" needs q < 0.05, an interval of the
 * difference that excludes 0 in the bad direction, and a group of at least 30 rows and 1 % of all.
 * Groups smaller than 30 rows are not listed; groups on which the metric is not defined (one class
 * only) neither. Of a column's groups the largest 64 are looked at. */
#ifndef QN_EVALUATE_SLICE_H
#define QN_EVALUATE_SLICE_H

#include "evaluate/metric.h"

enum { QN_SLICE_MIN_ROWS = 30, QN_SLICE_MAX = 50 };

typedef struct qn_slice_input {
    const qn_frame *frame;
    const int64_t *rows;         /* eval.n row numbers of the frame; NULL: all of it, in order */
    const char *const *columns;  /* the input columns to look at */
    size_t n_columns;
    qn_eval_input eval;
    const qn_metric *metric;
    const double *money;         /* eval.n, from qn_value_money; NULL: none */
    int n_rounds;                /* of the bootstrap: 100 */
    uint64_t seed;
} qn_slice_input;

/* The array above; new reference. Columns that are not in the frame are QN_ERR_NOT_FOUND; TEXT
 * columns are left out, as are columns where nothing has 30 rows. */
qn_status qn_slices_find(const qn_slice_input *input, const qn_job *job, json_t **ret_slices,
                         qn_error *err) QN_MUST_USE;

#endif
