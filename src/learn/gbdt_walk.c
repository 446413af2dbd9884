/* The kernel for any machine: eight trees of a row side by side, without branches and until all
 * have arrived, so that the loads of one hide the latency of the others. */
#include <string.h>

#include "learn/gbdt_kernel_int.h"

enum { LANES = 8 };

#define INLINE __attribute__((always_inline)) static inline

#define LEAF_NODE ((uint32_t)QN__LEAF_TEST << 24)

static bool runs_here(void) {
    return true;
}

/* By halving, without a branch on the outcome: the loads of one search hide the next one's. */
static inline uint32_t cuts_below(const double *cuts, uint32_t n, double x) {
    const double *low = cuts;
    while (n > 1) {
        uint32_t half = n / 2;
        low += half & -(uint32_t)(low[half - 1] < x);
        n -= half;
    }
    return (uint32_t)(low - cuts) + (*low < x);
}

static void rank_row(const qn__gbdt *m, const double *row, uint8_t *ranks) {
    for (int32_t k = 0; k < m->n_number_keys; k++) {
        const qn__gbdt_key *key = &m->keys[k];
        double x = row[m->slot_column[key->slot]];
        uint32_t below = x == 0 ? key->zero_rank
                                : cuts_below(m->cuts + key->first, key->n_tests, x);
        uint16_t pair = qn__rank_pair(below, x);
        memcpy(ranks + 2 * k, &pair, sizeof pair);
    }
}

static void rank_column(const double *cuts, uint32_t n_cuts, const double *x, int64_t n,
                        uint8_t *ranks, size_t stride) {
    for (int64_t i = 0; i < n; i++) {
        uint16_t pair = qn__rank_pair(cuts_below(cuts, n_cuts, x[i]), x[i]);
        memcpy(ranks + (size_t)i * stride, &pair, sizeof pair);
    }
}

static bool nodes_are_fine(const uint32_t *nodes, uint32_t n, uint32_t side_bits,
                           const uint32_t *n_tests) {
    uint32_t bad = 0, side_mask = (1u << side_bits) - 1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t node = nodes[i], test = node >> 24, side = node & side_mask;
        uint32_t field = (node & 0xffffff) >> side_bits;
        uint32_t bad_leaf = side | (uint32_t)(field > n / 2);
        uint32_t bad_split = (uint32_t)(n_tests[side] <= test) | (uint32_t)(field == 0)
                             | (uint32_t)(i + field >= n - 1);
        uint32_t is_leaf = -(uint32_t)(test == QN__LEAF_TEST); /* all ones: no branch */
        bad |= (bad_leaf & is_leaf) | (bad_split & ~is_leaf);
    }
    return !bad;
}

/* One row and what it is compared by. */
typedef struct view {
    const uint8_t *ranks, *answers;
    const int32_t *sets;
    uint32_t n_numbers, side_bits;
} view;

/* What a walk is specialised for: nodes whose side is a byte, nodes of 64 bits, splits by
 * categories. */
typedef enum form { BYTE_SIDES, ANY_SIDES, WIDE_NODES } form;

static inline uint32_t goes_right(const view *v, uint32_t side, uint32_t test, bool mixed) {
    uint32_t right = v->ranks[side] > test;
    if (!mixed)
        return right;
    /* Both answers are worked out, one is kept. */
    uint32_t key = side >> 1;
    bool is_set = key >= v->n_numbers;
    int32_t at = v->sets[is_set ? key - v->n_numbers + 1 : 0];
    uint32_t answer = v->answers[at + (int32_t)(test >> 3)] >> (test & 7) & 1u;
    return is_set ? answer : right;
}

/* How far to go from a node: 0 from a leaf. */
INLINE uint32_t distance(const view *v, uint32_t node, form f, bool mixed) {
    uint32_t bits = f == BYTE_SIDES ? QN__SIDE_BITS : v->side_bits;
    uint32_t side = node & ((1u << bits) - 1), field = (node & 0xffffff) >> bits;
    uint32_t to = field + goes_right(v, side, node >> 24, mixed);
    return to & -(uint32_t)(node < LEAF_NODE);
}

INLINE uint32_t wide_distance(const view *v, uint64_t node, bool mixed) {
    uint32_t field = (uint32_t)(node >> 32) & 0xffffff;
    uint32_t to = field + goes_right(v, (uint32_t)node, (uint32_t)(node >> 56), mixed);
    return node < (uint64_t)LEAF_NODE << 32 ? to : 0;
}

/* From the roots of eight trees to the numbers of their leaves. */
INLINE void walk(const view *v, const uint32_t *const *roots, uint32_t *leaf, form f, bool mixed) {
    const uint32_t *node[LANES];
    for (int j = 0; j < LANES; j++)
        node[j] = roots[j];
    for (uint32_t moved = 1; moved;) {
        moved = 0;
#pragma GCC unroll 8
        for (int j = 0; j < LANES; j++) {
            uint32_t far = distance(v, *node[j], f, mixed);
            node[j] += far;
            moved |= far;
        }
    }
    uint32_t bits = f == BYTE_SIDES ? QN__SIDE_BITS : v->side_bits;
    for (int j = 0; j < LANES; j++)
        leaf[j] = (*node[j] & 0xffffff) >> bits;
}

INLINE void wide_walk(const view *v, const uint64_t *const *roots, uint32_t *leaf) {
    for (int j = 0; j < LANES; j++) {
        const uint64_t *node = roots[j];
        for (uint32_t far = 1; far; node += far)
            far = wide_distance(v, *node, true);
        leaf[j] = (uint32_t)(*node >> 32) & 0xffffff;
    }
}

/* Up to eight trees; those that are not there are the first again. */
typedef struct group {
    const uint32_t *roots[LANES];
    const uint64_t *wide_roots[LANES];
    const double *value[LANES];
    int32_t first, n;
} group;

static void set_trees(const qn__gbdt *m, int32_t first, group *g) {
    g->first = first;
    g->n = m->n_trees - first < LANES ? m->n_trees - first : LANES;
    for (int32_t j = 0; j < LANES; j++) {
        int32_t t = first + (j < g->n ? j : 0);
        g->roots[j] = m->wide ? NULL : m->nodes + m->start[t];
        g->wide_roots[j] = m->wide ? m->wide_nodes + m->start[t] : NULL;
        g->value[j] = m->value + qn__gbdt_leaf_start(m, t);
    }
}

INLINE void add_group(const qn__gbdt *m, const group *g, const qn__ranked *rows, int64_t n,
                      double *raw, form f, bool mixed) {
    int32_t n_k = m->learner.n_outputs, first_k = g->first % n_k;
    view v = {.answers = m->answers, .n_numbers = (uint32_t)m->n_number_keys,
              .side_bits = (uint32_t)m->side_bits};
    for (int64_t i = 0; i < n; i++) {
        uint32_t leaf[LANES];
        v.ranks = rows->ranks + (size_t)i * rows->rank_stride;
        v.sets = rows->sets + (size_t)i * rows->set_stride;
        if (f == WIDE_NODES)
            wide_walk(&v, g->wide_roots, leaf);
        else
            walk(&v, g->roots, leaf, f, mixed);
        double *out = raw + i * n_k;
        for (int32_t j = 0, k = first_k; j < g->n; j++) {
            out[k] += g->value[j][leaf[j]];
            k = k + 1 < n_k ? k + 1 : 0;
        }
    }
}

/* Trees outermost, so that eight stay in the first-level cache for all rows. */
static void add_trees(const qn__gbdt *m, const qn__ranked *rows, int64_t n, double *raw) {
    bool mixed = m->n_keys > m->n_number_keys;
    if (qn__gbdt_many_rows(m, n)) {
        qn__gbdt_add_many_rows(m, rows, n, raw);
        return;
    }
    for (int32_t t = 0; t < m->n_trees; t += LANES) {
        group g;
        set_trees(m, t, &g);
        if (m->wide)
            add_group(m, &g, rows, n, raw, WIDE_NODES, true);
        else if (mixed)
            add_group(m, &g, rows, n, raw, ANY_SIDES, true);
        else if (m->side_bits == QN__SIDE_BITS)
            add_group(m, &g, rows, n, raw, BYTE_SIDES, false);
        else
            add_group(m, &g, rows, n, raw, ANY_SIDES, false);
    }
}

const qn__gbdt_kernel qn__gbdt_kernel_plain = {
    .name = "plain",
    .runs_here = runs_here,
    .rank_row = rank_row,
    .rank_column = rank_column,
    .nodes_are_fine = nodes_are_fine,
    .many_rows = true,
    .add_trees = add_trees,
};
