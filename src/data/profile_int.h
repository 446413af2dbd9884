/* profile_int.h - what the files of the profile share.
 *
 *   profile.c         the order of the work, the JSON
 *   profile_column.c  one column: counts, moments, quantiles, histogram, top values, hash
 *   profile_link.c    one column and the target: bins, out-of-fold measures; all columns together
 *   profile_warn.c    the warnings
 *   profile_text.c    the table for people */
#ifndef QN_DATA_PROFILE_INT_H
#define QN_DATA_PROFILE_INT_H

#include "data/profile.h"

enum {
    QN__TOP = 10,          /* values listed */
    QN__EDGES = 21,        /* of a histogram */
    QN__QUANTILES = 9,
    QN__DISTINCT_MAX = 4096, /* distinct values counted one by one; beyond: estimated */
    QN__FOLDS = 5,
    QN__CLASSES_MAX = 64,  /* classes told apart by associations; the others are one */
    QN__LEVELS_MAX = 4096, /* bins of a category or text column; more levels share bins by hash */
};

extern const double qn__quantile_levels[QN__QUANTILES];

typedef struct qn__top_value {
    int64_t count;
    int64_t row; /* a row that has it, for its text */
} qn__top_value;

/* Everything known of one column. */
typedef struct qn__field {
    const qn_column *column; /* borrowed */
    bool is_target;
    int64_t n_valid, n_infinite, n_distinct;
    bool distinct_exact;
    double distinct_share; /* distinct / non-missing rows, within the sample */
    double min, max, mean, std; /* of the finite values; times in microseconds */
    double quantiles[QN__QUANTILES];
    int n_edges;
    double edges[QN__EDGES];
    int64_t counts[QN__EDGES];
    int n_top;
    qn__top_value top[QN__TOP];
    double mean_length, mean_words; /* characters and words of a text */
    bool is_whole, is_monotone;     /* numbers: no fractions; strictly rising or falling */
    double sentinel;                /* a value that looks like a stand-in for missing; NaN for none */
    int64_t n_sentinel;
    double date_share;              /* texts: share of the looked-at values that read as dates */
    uint64_t hash;                  /* of all values: equal columns have equal hashes */
    double link;                    /* association with the target; NaN for none */
    double missing_link;            /* the same measure of "is missing" alone */
    double correlation;             /* Pearson with the target; NaN when it has none */
    double without;                 /* skill of all other columns together; NaN when not tried */
    int32_t partner;                /* column whose sum or product with this one is the target; -1 */
    char operation;                 /* of `partner`: '+', '-' or '*' */
} qn__field;

/* The table, the sample and the target. */
typedef struct qn__study {
    const qn_frame *frame;       /* borrowed */
    const qn_target_info *info;  /* borrowed; NULL: no target */
    const double *y;             /* borrowed; NULL: no target */
    const qn_profile_options *options; /* borrowed */
    const qn_job *job;           /* borrowed */
    const char *target;          /* borrowed; may be NULL */
    int64_t *sample;             /* owned; ascending rows */
    int64_t n_sample;
    int64_t *labelled;           /* owned; those of the sample that have a target value */
    int64_t n_labelled;
    int64_t n_minority;          /* labelled rows outside the largest class; regression: all */
    qn__field *fields;           /* owned; one per column */
    int64_t n_duplicates;
    int64_t *n_class;            /* owned; rows per class of the whole table */
    int64_t n_target_missing;
    double joint;                /* skill of all columns that are no leak suspects together; NaN: not tried */
} qn__study;

qn_status qn__profile_column(const qn__study *study, qn__field *field, qn_error *err) QN_MUST_USE;
qn_status qn__profile_link(const qn__study *study, qn__field *field, qn_error *err) QN_MUST_USE;
/* Pairs of columns that make up the target, and the columns that carry most of the joint skill. */
qn_status qn__profile_joint(qn__study *study, qn_error *err) QN_MUST_USE;
/* New reference: the array of warnings; NULL when memory is short. */
json_t *qn__profile_warnings(const qn__study *study);

/* True when the association alone says that the column gives the target away. */
bool qn__is_leak(const qn__study *study, const qn__field *field);
bool qn__is_missingness_leak(const qn__study *study, const qn__field *field);
static inline bool qn__is_number(const qn_column *column) {
    return column->type != QN_TYPE_CATEGORY && column->type != QN_TYPE_TEXT;
}
/* "auc", "r2" or "accuracy_gain". */
const char *qn__link_name(qn_task task);
/* A text that reads as a date or a date with a time, in one of the usual notations. */
bool qn__looks_like_date(const char *bytes, size_t n);

#endif
