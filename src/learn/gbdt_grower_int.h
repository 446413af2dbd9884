/* gbdt_grower_int.h - a tree under way, shared by the ways of growing one:
 *
 *   gbdt_tree       the tree, its leaves and the pool of histograms; leaf by leaf or level by level, leaves
 *                   ahead of their turn
 *   gbdt_expand     what is done to a leaf: its rows divided, its children counted and searched
 *   gbdt_monotone   in order, when the bounds of a leaf follow the values of others
 *   gbdt_symmetric  one split for all leaves of a level
 */
#ifndef QN_LEARN_GBDT_GROWER_INT_H
#define QN_LEARN_GBDT_GROWER_INT_H

#include <pthread.h>

#include "learn/gbdt_divide_int.h"

enum { QN__NO_SLOT = -1 };

/* Leaves of a part of all rows and so many at least are sets of rows (gbdt_dense.c): an eighth where bins lie
 * by columns, half where all rows have to be read. Those of a tree have no rows in common, nor have those
 * that are worked out ahead, so there are at most twice as many. */
enum { QN__DENSE_PART = 8, QN__DENSE_PART_OF_ROWS = 2, QN__DENSE_ROWS = 1 << 15,
       QN__N_SETS = 2 * QN__DENSE_PART };

/* A leaf that may be split. Expanding it - dividing its rows, counting, searching its children - is
 * the work; taking the split into the tree is not, and happens in order of gain. */
typedef struct qn__leaf {
    qn__split split;    /* the best one found */
    qn__sum total;
    int64_t begin, n;
    double l2;
    int32_t node;       /* of the tree; -1 until the parent's split is taken */
    int32_t depth;
    int32_t slot;       /* of the histogram pool; QN__NO_SLOT: taken away or never made */
    int32_t set;        /* of the pool of sets: its rows; QN__NO_SLOT: it has none */
    int32_t children;   /* claimed: the left one, the right one follows */
    qn__leaf_rule rule;
    int32_t forced;     /* of qn__growth.forced; -1: free */
    bool is_forced;     /* its split is that one */
    bool stale;         /* advanced: a leaf that binds it has changed since it was searched */
    bool wide;          /* its histogram */
    bool listed;        /* its rows are in the list, too */
    bool narrow_only;   /* its histogram lacks the lanes of two bytes */
    bool claimed;       /* some thread expands it, or has */
    bool expanded;
} qn__leaf;

typedef struct qn__heap {
    int32_t *leaves;    /* owned; best gain first */
    int32_t n;
} qn__heap;

/* The leaves of a symmetric tree, and what each split would gain in all of them together. */
typedef struct qn__level {
    int32_t *leaves;    /* owned; max_leaves: the leaves as they stand, from left to right */
    int32_t n;
    bool *fits;         /* owned; max_leaves: those that the level's split suits */
    double *gain;       /* owned; two per histogram cell (qn__split_add) */
    qn__candidates candidates; /* owned arrays; of the tree's root */
    qn__leaf_rule rule; /* of the level: its features, and what is drawn for it */
    int32_t depth;
    bool keeps;         /* the pool has room for the histograms of all leaves */
} qn__level;

/* What one thread needs for itself. */
typedef struct qn__tree_worker {
    double *search;     /* owned; scratch of the split search */
    uint8_t *goes_left; /* owned; 65536 */
    bool *feature_used; /* owned; of the leaf searched, when leaves differ; else NULL */
    int64_t *cells;     /* owned; a packed histogram; NULL: growth asks for leaves as a whole */
    qn__few few;        /* where leaves of few rows are searched by them */
} qn__tree_worker;

struct qn__grower {
    const qn__growth *growth;     /* borrowed, as the next seven */
    qn__costs *costs;             /* the growth's, which remembers what was paid for */
    const qn_gbdt_params *params;
    const qn__bin_map *map;
    const qn__bins *bins;
    const qn__quantised *q;
    const bool *feature_used;     /* for a run; NULL: all */
    int n_threads, n_team;
    int64_t few_most;             /* leaves of fewer rows are searched by rows, not by cells */
    qn__row_list list;            /* rows borrowed for a run; gh owned; bins->n_rows, or NULL: gradients are
                                     found by row */
    qn__row_list spare;           /* owned; bins->n_rows: put aside in a division, gh where the list has it */
    int64_t n_spare_each;         /* so many of these are a thread's own */
    qn__partition_scratch partition; /* owned, but for goes_left: the first worker's */
    uint64_t *sets[QN__N_SETS];   /* owned; bits of bins->n_rows; allocated when first used */
    int32_t set_free[QN__N_SETS]; /* stack of free sets */
    int32_t n_sets_free;
    int32_t dense_part;           /* 0: there are no sets, since growth needs lists of all */
    qn__grown_node *nodes;        /* owned; 2 max_leaves - 1 */
    int32_t n_nodes, n_leaves, max_leaves;
    qn__leaf *leaves;             /* owned; cap_leaves */
    int32_t n_all, cap_leaves;
    qn__heap open, unclaimed;     /* leaves that wait for their split to be taken; those not claimed */
    int32_t n_slots;              /* histograms in the pool */
    uint8_t *slots;               /* owned; slot_bytes each, enough for a wide one: it need not be touched */
    size_t slot_bytes;
    bool *slot_wide;              /* owned; those that have held a wide one */
    int32_t *slot_free[2];        /* owned; stacks of free slots: the others, and those that have */
    int32_t n_free[2];
    qn__split *found;             /* owned; per feature: of a leaf searched by all threads */
    qn__tree_worker *workers;     /* owned; n_threads */
    bool *group_used;             /* owned */
    int32_t *leaf_of;             /* owned; per node, when growth is in order; else NULL */
    int32_t *stack;               /* owned; nodes to look at; as leaf_of */
    int32_t *again;               /* owned; leaves to search again; as leaf_of */
    qn__level level;              /* growth symmetric */
    qn__limit_table limits;       /* growth advanced; of the leaf searched */
    qn__hist_scratch hist;
    int64_t n_rows;               /* of this run */
    /* Shared by the team, under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool has_lock;
    int64_t rows_busy;            /* of the leaves that threads work on alone */
    int32_t n_ahead;              /* leaves claimed whose split is not taken yet */
    int32_t max_ahead;
    qn_status status;
};

/* ---- gbdt_tree.c ------------------------------------------------------------------------------- */

void qn__tree_heap_push(const qn__grower *gr, qn__heap *h, int32_t item);
int32_t qn__tree_heap_pop(const qn__grower *gr, qn__heap *h);
qn_status qn__tree_slot_take(qn__grower *gr, qn__leaf *lf) QN_MUST_USE;
void qn__tree_slot_release(qn__grower *gr, qn__leaf *lf);
/* The rows of a leaf that is listed, unless these are all and it is not divided yet. */
qn__row_list qn__tree_rows_of(const qn__grower *gr, const qn__leaf *lf);
/* The row numbers of a leaf; NULL: all, which are not listed before they are divided. */
static inline const uint32_t *qn__tree_list_of(const qn__grower *gr, const qn__leaf *lf) {
    return lf->n == gr->bins->n_rows ? NULL : qn__tree_rows_of(gr, lf).rows;
}
/* The gradients of all rows, for lists that have them. */
static inline const int32_t *qn__tree_all_gh(const qn__grower *gr) {
    return gr->list.gh ? (const int32_t *)(const void *)gr->q->gh.at : NULL;
}
/* Room for half of a leaf's rows, put aside by thread t, or (t = -1) for all of them. */
qn__row_list qn__tree_spare_of(const qn__grower *gr, const qn__leaf *lf, int t);
/* Lists a leaf that is not. */
void qn__tree_list_rows(qn__grower *gr, qn__leaf *lf);
/* One of half of all rows: a number is added to them faster as they are. */
bool qn__tree_ends_as_set(const qn__grower *gr, const qn__leaf *lf);
/* A set for the rows of a leaf of many; QN__NO_SLOT: it has few, or there is no memory for one. */
int32_t qn__tree_set_take(qn__grower *gr, int64_t n_rows);
static inline void *qn__tree_cells_of(const qn__grower *gr, int32_t slot) {
    return gr->slots + (size_t)slot * gr->slot_bytes;
}
static inline qn__hist qn__tree_hist_of(const qn__grower *gr, const qn__leaf *lf) {
    return (qn__hist){.wide = lf->wide, .packed = qn__tree_cells_of(gr, lf->slot)};
}
/* Is the leaf one that all threads should work on? */
bool qn__tree_is_large(const qn__grower *gr, const qn__leaf *lf);
/* On the heaps when it has a split; otherwise its histogram is given back. */
void qn__tree_open_or_close(qn__grower *gr, int32_t i_leaf);
/* Gives a leaf two children; then they are filled; then its split becomes part of the tree. */
void qn__tree_claim(qn__grower *gr, int32_t i_leaf);
void qn__tree_take_split(qn__grower *gr, qn__leaf *lf);

static inline void qn__tree_lock(qn__grower *gr) {
    pthread_mutex_lock(&gr->lock);
}

static inline void qn__tree_unlock(qn__grower *gr) {
    pthread_mutex_unlock(&gr->lock);
}

/* ---- gbdt_expand.c; thread t works alone, or (t = -1) all of them together --------------------- */

bool qn__tree_may_split(const qn__grower *gr, const qn__leaf *lf);
/* The kind of histogram that the root has. */
void qn__tree_set_kind(qn__grower *gr, qn__leaf *root);
void qn__tree_build(qn__grower *gr, qn__leaf *lf, int t);
qn__split_input qn__tree_split_input(const qn__grower *gr, const qn__leaf *lf,
                                     const qn__hist *hist);
/* Finds the best split of a leaf that has a histogram and may be split. */
void qn__tree_search_if(qn__grower *gr, qn__leaf *lf, int t);
/* Fills the children of a leaf that was claimed; `last` ones will not be split. */
qn_status qn__tree_expand(qn__grower *gr, int32_t i_leaf, bool last, int t) QN_MUST_USE;

/* ---- other ways of growing; both set gr->status ----------------------------------------------- */

void qn__tree_grow_in_order(qn__grower *gr);
qn_status qn__limits_init(qn__limit_table *limits, const qn__bin_map *map,
                          qn_error *err) QN_MUST_USE;
void qn__limits_done(qn__limit_table *limits);
/* What binds the children of a leaf that is about to be searched. */
void qn__tree_find_limits(qn__grower *gr, const qn__leaf *lf);
qn_status qn__level_init(qn__grower *gr, qn_error *err) QN_MUST_USE;
void qn__level_done(qn__level *level);
void qn__tree_grow_symmetric(qn__grower *gr);

#endif
