/* gbdt_divide_int.h - the rows of a leaf, as a list (gbdt_part.c) or as a set (gbdt_dense.c), and their
 * division between its children. */
#ifndef QN_LEARN_GBDT_DIVIDE_INT_H
#define QN_LEARN_GBDT_DIVIDE_INT_H

#include "learn/gbdt_int.h"

/* Rows grouped by leaf, each group ascending; with their gradients beside them, or gh NULL. */
typedef struct qn__row_list {
    uint32_t *rows;
    int32_t *gh;
} qn__row_list;
static inline qn__row_list qn__rows_from(qn__row_list list, int64_t first) {
    return (qn__row_list){.rows = list.rows + first, .gh = list.gh ? list.gh + first : NULL};
}

/* Rows of one node to be divided; afterwards those of the larger side come first, the left one of two equal
 * ones, then the others. */
typedef struct qn__partition_input {
    const qn__bin_map *map;
    const qn__bins *bins;
    qn__row_list list;    /* n */
    qn__row_list spare;   /* room for the smaller side's, together: for n; not used with `all` */
    int64_t n;
    bool all;             /* rows 0 .. n - 1: the list need not be filled in */
    const int32_t *all_gh; /* of these rows, for a list with gradients */
    qn__vectors most;
} qn__partition_input;

enum { QN__PARTITION_BLOCK = 1 << 14 };

typedef struct qn__partition_scratch {
    int n_threads;
    uint8_t *goes_left;   /* 65536: by value of a lane */
    int64_t *n_left;      /* n / QN__PARTITION_BLOCK + 2, as the next */
    int64_t *n_right;
    uint16_t *sides;      /* 4 (n / 64 + 1), aligned as words of 64 bits */
} qn__partition_scratch;

/* split->left.n go left. Stable: both sides stay in order. goes_left is scratch of 65536 bytes. */
void qn__partition(const qn__partition_input *input, const qn__split *split, uint8_t *goes_left);
/* The same by all threads of `scratch`. */
void qn__partition_together(const qn__partition_input *input, const qn__split *split,
                            const qn__partition_scratch *scratch);

/* The rows of a leaf as one bit a row of the table, the first in bit 0 of the first word (gbdt_dense.c). */
size_t qn__dense_words(int64_t n_rows);

/* What is asked for of a child: its set, its list or both; NULL: not. */
typedef struct qn__dense_child {
    uint64_t *set;
    qn__row_list list;
} qn__dense_child;

typedef struct qn__dense_input {
    const qn__bin_map *map;
    const qn__bins *bins;
    const uint64_t *rows; /* NULL: all */
    const int32_t *gh;    /* of all rows of the table, for lists with gradients */
    int64_t n;            /* rows of the leaf */
    qn__dense_child left, right;
    qn__vectors most;
} qn__dense_input;

/* goes_left is scratch of 65536 bytes. */
void qn__dense_divide(const qn__dense_input *input, const qn__split *split, uint8_t *goes_left);
/* The same by all threads of `scratch`. */
void qn__dense_divide_together(const qn__dense_input *input, const qn__split *split,
                               const qn__partition_scratch *scratch);
/* numbers[row] += value for the rows first .. end - 1 of a set; both are multiples of 64, but for the end of
 * all rows. */
void qn__dense_add(const uint64_t *rows, int64_t first, int64_t end, double value,
                   double *numbers);
/* The n rows of a set as a list. */
void qn__dense_list(const uint64_t *rows, int64_t n_rows, int64_t n, const int32_t *gh,
                    qn__vectors most, qn__row_list list);

#endif
