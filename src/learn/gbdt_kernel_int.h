/* gbdt_kernel_int.h - the inner loops of scoring, once per instruction set. All give the same bits:
 * comparisons are exact and every row adds its leaves in the order of the trees. */
#ifndef QN_LEARN_GBDT_KERNEL_INT_H
#define QN_LEARN_GBDT_KERNEL_INT_H

#include "learn/gbdt_model_int.h"

/* Rows as the trees see them. ranks[i][side]: for key k of numbers, two bytes at 2 k, which differ
 * only for missing values; elsewhere anything. sets[i][1 + k]: where the answers
 * begin for the code of the k-th key of categories; sets[i][0] is 0. Both may be read up to 64
 * bytes beyond their end. */
typedef struct qn__ranked {
    uint8_t *ranks;       /* borrowed; 64-byte aligned */
    int32_t *sets;        /* borrowed */
    size_t rank_stride;   /* bytes; a multiple of 64 */
    size_t set_stride;    /* items; 0 without keys of categories */
} qn__ranked;

typedef struct qn__gbdt_kernel {
    const char *name;
    bool (*runs_here)(void);
    /* The ranks of one dense row for all keys of numbers, and for QN__RANK_KEYS at a time. */
    void (*rank_row)(const qn__gbdt *m, const double *row, uint8_t *ranks);
    /* The two ranks of n values for one key, at ranks, ranks + stride, ... */
    void (*rank_column)(const double *cuts, uint32_t n_cuts, const double *x, int64_t n,
                        uint8_t *ranks, size_t stride);
    /* That children lie behind their parent and in their tree of n nodes, so that every walk ends, and
     * that sides, tests and leaves are there: what a walk needs and no more, so that each node is
     * checked by itself, many at a time. n_tests[1 << side_bits]: 0 where there is no side. */
    bool (*nodes_are_fine)(const uint32_t *nodes, uint32_t n, uint32_t side_bits,
                           const uint32_t *n_tests);
    bool many_rows;       /* add_trees uses qn__gbdt_add_many_rows where qn__gbdt_many_rows says so */
    /* raw[n][n_outputs] += the leaves of all trees. */
    void (*add_trees)(const qn__gbdt *m, const qn__ranked *rows, int64_t n, double *raw);
} qn__gbdt_kernel;

extern const qn__gbdt_kernel qn__gbdt_kernel_plain;  /* gbdt_walk.c */
#if defined(__x86_64__)
extern const qn__gbdt_kernel qn__gbdt_kernel_avx2;   /* gbdt_walk_avx2.c */
extern const qn__gbdt_kernel qn__gbdt_kernel_avx512; /* gbdt_walk_avx512.c */
#endif

/* Models of numbers alone and trees of few leaves (gbdt_walk_rows.c): their add_trees where there is nothing
 * better for many rows, and whether n rows are. */
bool qn__gbdt_many_rows(const qn__gbdt *m, int64_t n);
void qn__gbdt_add_many_rows(const qn__gbdt *m, const qn__ranked *rows, int64_t n, double *raw);
/* What the first call keeps in the model for the others. */
void qn__gbdt_asked_free(qn__gbdt *m);
enum { QN__MANY_ROWS = 96 }; /* at least; more where trees are too many to be kept */

/* All of them, fastest first; NULL-terminated. */
extern const qn__gbdt_kernel *const qn__gbdt_kernels[];
const qn__gbdt_kernel *qn__gbdt_kernel_best(void);

/* qn__gbdt_predict and qn__gbdt_predict_rows by a given kernel. */
/* What rows have before any tree: the base scores and what they bring along. */
void qn__gbdt_start(const qn__gbdt *m, const qn_matrix *x, int64_t first, int64_t n, double *raw);
void qn__gbdt_predict_by(const qn__gbdt_kernel *kernel, const qn__gbdt *m, const qn_matrix *x,
                         int64_t first, int64_t n, double *raw);
void qn__gbdt_predict_rows_by(const qn__gbdt_kernel *kernel, const qn__gbdt *m, const double *rows,
                              int64_t n, double *raw);

/* The plain reference (gbdt_predict_ref.c): node after node, from the values themselves. Also the
 * way of rows with more keys than a tree ever looks at. raw += the leaves. */
void qn__gbdt_add_trees_ref(const qn__gbdt *m, const qn_matrix *x, int64_t first, int64_t n,
                            double *raw);
void qn__gbdt_add_trees_rows_ref(const qn__gbdt *m, const double *rows, int64_t n, double *raw);

/* The ranks of a value in both bytes, the first for "missing goes right". */
static inline uint16_t qn__rank_pair(uint32_t below, double x) {
    return x == x ? (uint16_t)(below | below << 8) : QN__LEAF_TEST;
}

#endif
