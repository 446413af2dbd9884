/* The kernel for any machine: eight trees of a row side by side, without branches and until all
 * have arrived, so that the loads of one hide the latency of the others. */
#include <string.h>

#include "learn/gbdt_kernel_int.h"

enum { LANES = 8 };

#define LEAF_NODE ((uint32_t)QN__LEAF_TEST << 24)

static bool runs_here(void) {
    return true;
}

static inline uint32_t cuts_below(const double *cuts, uint32_t n, double x) {
    uint32_t low = 0;
    for (uint32_t step = 128; step; step >>= 1) {
        uint32_t to = low + step;
        bool fits = to <= n;
        low = fits & (cuts[fits ? to - 1 : 0] < x) ? to : low;
    }
    return low;
}

static void rank_row(const qn__gbdt *m, const double *row, uint8_t *ranks) {
    for (int32_t k = 0; k < m->n_number_keys; k++) {
        const qn__gbdt_key *key = &m->keys[k];
        double x = row[m->slot_column[key->slot]];
        uint32_t below = x == 0 ? key->zero_rank : cuts_below(m->cuts + key->first, key->n_tests, x);
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

/* One row and what it is compared by. */
typedef struct view {
    const qn__gbdt *m;
    const uint8_t *ranks;
    const int32_t *sets;
} view;

static inline uint32_t goes_right(const view *v, uint32_t side, uint32_t test, bool mixed) {
    uint32_t right = v->ranks[side] > test;
    if (!mixed)
        return right;
    /* Both answers are worked out, one is kept. */
    uint32_t key = side >> 1, n_numbers = (uint32_t)v->m->n_number_keys;
    bool is_set = key >= n_numbers;
    int32_t at = v->sets[is_set ? key - n_numbers + 1 : 0];
    uint32_t answer = v->m->answers[at + (int32_t)(test >> 3)] >> (test & 7) & 1u;
    return is_set ? answer : right;
}

/* One step; leaves stay where they are. True from inner nodes. */
static inline bool step(const view *v, const uint32_t *nodes, uint32_t *at, bool mixed) {
    uint32_t node = nodes[*at], bits = (uint32_t)v->m->side_bits;
    uint32_t side = node & ((1u << bits) - 1), field = (node & 0xffffff) >> bits;
    uint32_t next = *at + field + goes_right(v, side, node >> 24, mixed);
    bool is_inner = node < LEAF_NODE;
    *at = is_inner ? next : *at;
    return is_inner;
}

static inline bool wide_step(const view *v, const uint64_t *nodes, uint32_t *at, bool mixed) {
    uint64_t node = nodes[*at];
    uint32_t field = (uint32_t)(node >> 32) & 0xffffff;
    uint32_t next = *at + field + goes_right(v, (uint32_t)node, (uint32_t)(node >> 56), mixed);
    bool is_inner = node < (uint64_t)LEAF_NODE << 32;
    *at = is_inner ? next : *at;
    return is_inner;
}

__attribute__((always_inline)) static inline void walk(const view *v, const int32_t *trees,
                                                       uint32_t *at, bool mixed, bool wide) {
    const qn__gbdt *m = v->m;
    for (int j = 0; j < LANES; j++)
        at[j] = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int j = 0; j < LANES; j++)
            moved |= wide ? wide_step(v, m->wide_nodes + m->start[trees[j]], &at[j], mixed)
                          : step(v, m->nodes + m->start[trees[j]], &at[j], mixed);
    }
    for (int j = 0; j < LANES; j++)
        at[j] = wide ? (uint32_t)(m->wide_nodes[m->start[trees[j]] + at[j]] >> 32) & 0xffffff
                     : (m->nodes[m->start[trees[j]] + at[j]] & 0xffffff) >> m->side_bits;
}

/* The numbers of the leaves of up to eight trees. */
static void find_leaves(const view *v, const int32_t *trees, uint32_t *leaf) {
    bool mixed = v->m->n_keys > v->m->n_number_keys;
    if (v->m->wide)
        walk(v, trees, leaf, true, true);
    else if (mixed)
        walk(v, trees, leaf, true, false);
    else
        walk(v, trees, leaf, false, false);
}

/* Trees outermost, so that eight stay in the first-level cache for all rows. */
static void add_trees(const qn__gbdt *m, const qn__ranked *rows, int64_t n, double *raw) {
    int32_t n_k = m->learner.n_outputs;
    for (int32_t t = 0; t < m->n_trees; t += LANES) {
        int n_here = m->n_trees - t < LANES ? m->n_trees - t : LANES;
        int32_t trees[LANES], first = t % n_k;
        const double *value[LANES];
        for (int j = 0; j < LANES; j++) {
            trees[j] = t + (j < n_here ? j : 0);
            value[j] = m->value + qn__gbdt_leaf_start(m, trees[j]);
        }
        for (int64_t i = 0; i < n; i++) {
            uint32_t leaf[LANES];
            const view v = {m, rows->ranks + (size_t)i * rows->rank_stride,
                            rows->sets + (size_t)i * rows->set_stride};
            find_leaves(&v, trees, leaf);
            double *out = raw + i * n_k;
            for (int32_t j = 0, k = first; j < n_here; j++) {
                out[k] += value[j][leaf[j]];
                k = k + 1 < n_k ? k + 1 : 0;
            }
        }
    }
}

const qn__gbdt_kernel qn__gbdt_kernel_plain = {
    .name = "plain",
    .runs_here = runs_here,
    .rank_row = rank_row,
    .rank_column = rank_column,
    .add_trees = add_trees,
};
