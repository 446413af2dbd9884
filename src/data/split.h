/* split.h - which rows train, which choose (validate), which judge (test); and folds.
 *
 *     qn_cleanup(qn_split_done) qn_split split = {0};
 *     qn_split_options options = {.method = QN_SPLIT_STRATIFIED, .test = 0.2, .validate = 0.1, .seed = 42};
 *     QN_TRY(qn_split_make(&options, n_rows, y, task, n_classes, NULL, NULL, &split, err));
 *
 * Splits depend on the options, the row numbers and the columns given; never on threads. */
#ifndef QN_DATA_SPLIT_H
#define QN_DATA_SPLIT_H

#include "base/json.h"
#include "data/frame.h"
#include "data/target.h"

typedef enum qn_split_method {
    QN_SPLIT_RANDOM,     /* uniform, without replacement */
    QN_SPLIT_STRATIFIED, /* random within each class (regression: within each tenth of the target) */
    QN_SPLIT_TIME,       /* oldest rows train, newest test; equal times never straddle a boundary */
    QN_SPLIT_GROUP,      /* all rows of a group stay together; parts by hash of the group's value */
} qn_split_method;

/* "random", "stratified", "time", "group". */
const char *qn_split_method_name(qn_split_method method);
bool qn_split_method_from_name(const char *name, qn_split_method *ret_method) QN_MUST_USE;

typedef struct qn_split_options {
    qn_split_method method;
    double test, validate;   /* shares of the labelled rows, >= 0, together < 1; 0 gives an empty part */
    uint64_t seed;
    int32_t folds;           /* for qn_folds_make: >= 2; 0: none asked for */
    const char *time;        /* name of the time column, for messages and the description; may be NULL */
    const char *group;       /* name of the group column; may be NULL */
    const char *test_source; /* a separate test file: ignored here, carried for the caller; may be NULL */
} qn_split_options;

typedef struct qn_split {
    qn_split_method method;
    uint64_t seed;
    int64_t *train, *validate, *test; /* owned; row numbers, ascending */
    int64_t n_train, n_validate, n_test;
    int64_t n_unlabelled;             /* rows with y NaN: in no part */
    int64_t n_groups;                 /* group split: distinct groups; else 0 */
    qn_type time_type;                /* time split: type of the column */
    double validate_from, test_from;  /* time split: first time of the part (TIME: microseconds); else NaN */
} qn_split;

void qn_split_done(qn_split *split);

/* Splits rows 0..n_rows-1. `y` has n_rows items (class index or value; NaN: unlabelled, in no part
 * and counted) or is NULL (all rows count as labelled; stratified is then random). `time` (TIME,
 * I64 or F64) and `group` (any type) have n_rows rows; each is needed by its method only and may be
 * NULL otherwise. Shares are met to the row by random; to within a row per class by stratified,
 * where every class with at least as many rows as there are parts is in each part; up to the ties
 * by time; as closely as whole groups allow by group. A missing group value is a group of its own.
 * Errors: QN_ERR_CONFIG (shares out of range, column not given or of a wrong type), QN_ERR_DATA
 * ("impossible split": a part would be empty, a class has one row only, fewer groups than parts,
 * all rows of one time; a missing time, naming the row). */
qn_status qn_split_make(const qn_split_options *options, int64_t n_rows, const double *y,
                        qn_task task, int32_t n_classes, const qn_column *time,
                        const qn_column *group, qn_split *ret_split, qn_error *err) QN_MUST_USE;

enum {
    QN_FOLD_TRAIN_ONLY = -1, /* time folds: the oldest block, which no fold holds out */
    QN_FOLD_NONE = -2,       /* unlabelled, or not among `rows` */
};

/* options->folds (>= 2) folds over `rows` (n_used of them, ascending; NULL: all n_rows).
 * (*ret_fold)[i], i in 0..n_rows-1, is the fold that holds row i out (0..folds-1) or one of the
 * above; owned by the caller (qn_freep). Time: folds + 1 consecutive blocks, an expanding window.
 * Errors as qn_split_make. */
qn_status qn_folds_make(const qn_split_options *options, int64_t n_rows, const int64_t *rows,
                        int64_t n_used, const double *y, qn_task task, int32_t n_classes,
                        const qn_column *time, const qn_column *group, int32_t **ret_fold,
                        qn_error *err) QN_MUST_USE;

/* True when a row of `row_fold` trains the model that is judged on `fold`. */
static inline bool qn_fold_trains(qn_split_method method, int32_t row_fold, int32_t fold) {
    if (row_fold == QN_FOLD_NONE)
        return false;
    return method == QN_SPLIT_TIME ? row_fold < fold : row_fold != fold;
}

/* Cuts n rows (row numbers, in any order) into about `want` stretches of time with as many rows
 * each; rows of one time stay together, which can make the stretches fewer. ret_stretch[n] are
 * numbered from 0, oldest first. `time` as in qn_split_make, none of it missing. QN_ERR_MEMORY
 * only. */
qn_status qn_split_stretches(const qn_column *time, const int64_t *rows, int64_t n, int32_t want,
                             int32_t *ret_stretch, int32_t *ret_n, qn_error *err) QN_MUST_USE;

/* Equal for equal values of a column of any type; missing is a value of its own. */
uint64_t qn_split_group_hash(const qn_column *group, int64_t row, uint64_t seed);
/* Numbers n of them from 0, equal ones alike: ret_group[n]. QN_ERR_MEMORY only. */
qn_status qn_split_number_groups(const uint64_t *hash, int64_t n, int32_t *ret_group,
                                 int32_t *ret_n, qn_error *err) QN_MUST_USE;

/* {"method","seed","rows":{"train","validate","test","unlabelled"}}; with time also "validate_from"
 * and "test_from" (ISO 8601 for TIME columns, else numbers), with groups "n_groups". New reference;
 * NULL when memory is short. */
json_t *qn_split_to_json(const qn_split *split);

#endif
