/* The kernel for processors with AVX2: eight trees of a row in one register, six such chains side by
 * side; the rest is as in gbdt_walk_avx512.c, but ranks are gathered, too. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "learn/gbdt_kernel_int.h"

#define AVX2 __attribute__((target("avx2")))
#define INLINE AVX2 __attribute__((always_inline)) static inline

enum {
    LANES = 8,
    CHAINS = 8,
    SEARCHES = 4, /* of four values each at once */
    RANKED = 4 * SEARCHES,
};

/* Up to eight trees and one row. Lanes count from the first of the trees. */
typedef struct chain {
    const uint32_t *nodes;
    const double *value;
    const uint8_t *ranks;
    const int32_t *sets;
    __m256i start, leaf_start, lanes;
} chain;

static bool runs_here(void) {
    return __builtin_cpu_supports("avx2");
}

/* ---- ranks ----------------------------------------------------------------------------------- */

/* All ones in the first n lanes. */
INLINE __m256i first_lanes8(int32_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* How many of the n cuts from before + 1 on are below x: 16 searches by halving at once. */
INLINE void search(const double *cuts, const __m128i *before, const __m128i *n, const __m256d *x,
                   int step, __m128i *low) {
#pragma GCC unroll 4
    for (int c = 0; c < SEARCHES; c++)
        low[c] = _mm_setzero_si128();
    for (; step; step >>= 1) {
#pragma GCC unroll 4
        for (int c = 0; c < SEARCHES; c++) {
            __m128i to = _mm_add_epi32(low[c], _mm_set1_epi32(step));
            __m256i fits = _mm256_cvtepi32_epi64(_mm_cmpgt_epi32(to, n[c]));
            fits = _mm256_xor_si256(fits, _mm256_set1_epi64x(-1));
            /* A lane that does not fit compares its value with itself. */
            __m256d cut = _mm256_mask_i32gather_pd(x[c], cuts, _mm_add_epi32(before[c], to),
                                                   _mm256_castsi256_pd(fits), 8);
            __m256i below = _mm256_castpd_si256(_mm256_cmp_pd(cut, x[c], _CMP_LT_OQ));
            const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
            __m128i mask = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(below, even));
            low[c] = _mm_blendv_epi8(low[c], to, mask);
        }
    }
}

/* The pairs of four ranks in the low half: both bytes the rank, or 255 and 0 for missing values. */
INLINE __m128i pairs(__m128i low, __m256d x) {
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    __m256i missing = _mm256_castpd_si256(_mm256_cmp_pd(x, x, _CMP_UNORD_Q));
    __m128i mask = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(missing, even));
    __m128i both = _mm_or_si128(low, _mm_slli_epi32(low, 8));
    both = _mm_blendv_epi8(both, _mm_set1_epi32(QN__LEAF_TEST), mask);
    return _mm_packus_epi32(both, both);
}

AVX2 static void rank_row(const qn__gbdt *m, const double *row, uint8_t *ranks) {
    const int32_t *columns = m->rank_plan, *n_tests = columns + m->rank_planned;
    const int32_t *first = n_tests + m->rank_planned;
    for (int32_t k = 0; k < m->rank_planned; k += RANKED) {
        __m128i before[SEARCHES], n[SEARCHES], low[SEARCHES];
        __m256d x[SEARCHES];
#pragma GCC unroll 4
        for (int c = 0; c < SEARCHES; c++) {
            int32_t at = k + 4 * c;
            __m128i column = _mm_load_si128((const __m128i *)(const void *)(columns + at));
            n[c] = _mm_load_si128((const __m128i *)(const void *)(n_tests + at));
            before[c] = _mm_load_si128((const __m128i *)(const void *)(first + at));
            x[c] = _mm256_i32gather_pd(row, column, 8);
        }
        search(m->cuts, before, n, x, m->rank_step, low);
#pragma GCC unroll 4
        for (int c = 0; c < SEARCHES; c++)
            _mm_storel_epi64((__m128i *)(void *)(ranks + 2 * (k + 4 * c)), pairs(low[c], x[c]));
    }
}

AVX2 static void rank_column(const double *cuts, uint32_t n_cuts, const double *x, int64_t n,
                             uint8_t *ranks, size_t stride) {
    __m128i before[SEARCHES], n_each[SEARCHES], low[SEARCHES];
    __m256d value[SEARCHES];
    int step = 1 << (31 - __builtin_clz(n_cuts));
    int64_t i = 0;
    for (int c = 0; c < SEARCHES; c++) {
        before[c] = _mm_set1_epi32(-1);
        n_each[c] = _mm_set1_epi32((int)n_cuts);
    }
    for (; i + RANKED <= n; i += RANKED) {
#pragma GCC unroll 4
        for (int c = 0; c < SEARCHES; c++)
            value[c] = _mm256_loadu_pd(x + i + 4 * c);
        search(cuts, before, n_each, value, step, low);
#pragma GCC unroll 4
        for (int c = 0; c < SEARCHES; c++) {
            uint16_t pair[8];
            _mm_storeu_si128((__m128i *)(void *)pair, pairs(low[c], value[c]));
            for (int j = 0; j < 4; j++)
                memcpy(ranks + (size_t)(i + 4 * c + j) * stride, &pair[j], sizeof *pair);
        }
    }
    if (i < n)
        qn__gbdt_kernel_plain.rank_column(cuts, n_cuts, x + i, n - i, ranks + (size_t)i * stride,
                                          stride);
}

/* ---- trees ----------------------------------------------------------------------------------- */

/* Unsigned a >= b. */
INLINE __m256i at_least(__m256i a, __m256i b) {
    return _mm256_cmpeq_epi32(_mm256_max_epu32(a, b), a);
}

/* Which lanes go right at a split by categories: a bit of the answers for the row's code. */
INLINE __m256i answers(const qn__gbdt *m, const chain *c, __m256i is_set, __m256i key,
                       __m256i node) {
    __m256i test = _mm256_srli_epi32(node, 24), zero = _mm256_setzero_si256();
    __m256i which = _mm256_sub_epi32(key, _mm256_set1_epi32(m->n_number_keys - 1));
    __m256i at = _mm256_mask_i32gather_epi32(zero, c->sets, which, is_set, 4);
    at = _mm256_add_epi32(at, _mm256_srli_epi32(test, 3));
    __m256i bits = _mm256_mask_i32gather_epi32(zero, (const int *)(const void *)m->answers, at,
                                               is_set, 1);
    __m256i one = _mm256_set1_epi32(1);
    __m256i bit = _mm256_sllv_epi32(one, _mm256_and_si256(test, _mm256_set1_epi32(7)));
    return _mm256_cmpeq_epi32(_mm256_and_si256(bits, bit), bit);
}

INLINE void take_values(const chain *c, __m256i number, double *values) {
    number = _mm256_add_epi32(number, c->leaf_start);
    const __m256d none = _mm256_setzero_pd();
    __m128i low = _mm256_castsi256_si128(number), high = _mm256_extracti128_si256(number, 1);
    __m256i low_on = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(c->lanes));
    __m256i high_on = _mm256_cvtepi32_epi64(_mm256_extracti128_si256(c->lanes, 1));
    _mm256_store_pd(values, _mm256_mask_i32gather_pd(none, c->value, low,
                                                     _mm256_castsi256_pd(low_on), 8));
    _mm256_store_pd(values + 4, _mm256_mask_i32gather_pd(none, c->value, high,
                                                         _mm256_castsi256_pd(high_on), 8));
}

/* All lanes to their leaves; values[c][lane]. */
INLINE void walk(const qn__gbdt *m, const chain *chains, double (*values)[LANES], bool mixed) {
    const __m256i low24 = _mm256_set1_epi32(0xffffff);
    const __m256i leaf = _mm256_set1_epi32((int)((uint32_t)QN__LEAF_TEST << 24));
    const __m256i side_mask = _mm256_set1_epi32((1 << m->side_bits) - 1);
    const __m128i side_bits = _mm_cvtsi32_si128(m->side_bits);
    const __m256i last_number = _mm256_set1_epi32(m->n_number_keys - 1);
    __m256i at[CHAINS], node[CHAINS], on[CHAINS];
#pragma GCC unroll 8
    for (int c = 0; c < CHAINS; c++) {
        at[c] = chains[c].start;
        on[c] = chains[c].lanes;
        node[c] = leaf;
    }
    for (int any = 1; any;) {
        any = 0;
#pragma GCC unroll 8
        for (int c = 0; c < CHAINS; c++) {
            int here = _mm256_movemask_epi8(on[c]);
            if (!here)
                continue;
            any |= here;
            node[c] = _mm256_mask_i32gather_epi32(node[c], (const int *)chains[c].nodes, at[c],
                                                  on[c], 4);
            __m256i side = _mm256_and_si256(node[c], side_mask);
            __m256i rank = _mm256_mask_i32gather_epi32(
                node[c], (const int *)(const void *)chains[c].ranks, side, on[c], 1);
            /* In the highest byte it compares with the test, whatever follows that one: what
             * follows is not 0 in inner nodes. */
            __m256i right = at_least(_mm256_slli_epi32(rank, 24), node[c]);
            on[c] = _mm256_andnot_si256(at_least(node[c], leaf), on[c]);
            if (mixed) {
                __m256i key = _mm256_srli_epi32(side, 1);
                __m256i is_set = _mm256_and_si256(on[c], _mm256_cmpgt_epi32(key, last_number));
                if (_mm256_movemask_epi8(is_set))
                    right = _mm256_blendv_epi8(right, answers(m, &chains[c], is_set, key, node[c]),
                                               is_set);
            }
            __m256i field = _mm256_srl_epi32(_mm256_and_si256(node[c], low24), side_bits);
            at[c] = _mm256_sub_epi32(_mm256_add_epi32(at[c], field), right);
        }
    }
#pragma GCC unroll 8
    for (int c = 0; c < CHAINS; c++)
        take_values(&chains[c], _mm256_srl_epi32(_mm256_and_si256(node[c], low24), side_bits),
                    values[c]);
}

AVX2 static void walk_numbers(const qn__gbdt *m, const chain *chains, double (*values)[LANES]) {
    walk(m, chains, values, false);
}
AVX2 static void walk_mixed(const qn__gbdt *m, const chain *chains, double (*values)[LANES]) {
    walk(m, chains, values, true);
}

/* Trees from `tree` on and no row yet; none when there are no more. */
AVX2 static void set_trees(const qn__gbdt *m, int32_t tree, chain *ret_chain) {
    int32_t rest = m->n_trees - tree, start[LANES] = {0}, leaf_start[LANES] = {0};
    *ret_chain = (chain){.nodes = m->nodes, .value = m->value};
    if (rest <= 0)
        return;
    ret_chain->lanes = first_lanes8(rest);
    for (int32_t j = 0; j < LANES && j < rest; j++) {
        start[j] = (int32_t)(m->start[tree + j] - m->start[tree]);
        leaf_start[j] = (start[j] + j) / 2;
    }
    ret_chain->nodes = m->nodes + m->start[tree];
    ret_chain->value = m->value + qn__gbdt_leaf_start(m, tree);
    ret_chain->start = _mm256_loadu_si256((const __m256i *)(const void *)start);
    ret_chain->leaf_start = _mm256_loadu_si256((const __m256i *)(const void *)leaf_start);
}

/* Adds the values of up to eight trees from `tree` on, in their order. */
static inline void add_values(const qn__gbdt *m, int32_t tree, const double *values, double *out) {
    int32_t n_k = m->learner.n_outputs, n = m->n_trees - tree < LANES ? m->n_trees - tree : LANES;
    for (int32_t j = 0, k = tree % n_k; j < n; j++) {
        out[k] += values[j];
        k = k + 1 < n_k ? k + 1 : 0;
    }
}

AVX2 static void add_by_rows(const qn__gbdt *m, const qn__ranked *rows, int64_t n, double *raw) {
    bool mixed = m->n_keys > m->n_number_keys;
    _Alignas(64) double values[CHAINS][LANES];
    for (int64_t i = 0; i < n; i++) {
        for (int32_t t = 0; t < m->n_trees; t += CHAINS * LANES) {
            chain chains[CHAINS];
            for (int c = 0; c < CHAINS; c++) {
                set_trees(m, t + c * LANES, &chains[c]);
                chains[c].ranks = rows->ranks + (size_t)i * rows->rank_stride;
                chains[c].sets = rows->sets + (size_t)i * rows->set_stride;
            }
            if (mixed)
                walk_mixed(m, chains, values);
            else
                walk_numbers(m, chains, values);
            for (int c = 0; c < CHAINS && t + c * LANES < m->n_trees; c++)
                add_values(m, t + c * LANES, values[c], raw + i * m->learner.n_outputs);
        }
    }
}

/* Trees outermost, so that eight stay in the first-level cache for all rows. */
AVX2 static void add_by_trees(const qn__gbdt *m, const qn__ranked *rows, int64_t n, double *raw) {
    bool mixed = m->n_keys > m->n_number_keys;
    _Alignas(64) double values[CHAINS][LANES];
    for (int32_t t = 0; t < m->n_trees; t += LANES) {
        chain chains[CHAINS];
        for (int c = 0; c < CHAINS; c++)
            set_trees(m, t, &chains[c]);
        for (int64_t i = 0; i < n; i += CHAINS) {
            for (int c = 0; c < CHAINS; c++) {
                int64_t row = i + c < n ? i + c : i;
                chains[c].ranks = rows->ranks + (size_t)row * rows->rank_stride;
                chains[c].sets = rows->sets + (size_t)row * rows->set_stride;
            }
            if (mixed)
                walk_mixed(m, chains, values);
            else
                walk_numbers(m, chains, values);
            for (int c = 0; c < CHAINS && i + c < n; c++)
                add_values(m, t, values[c], raw + (i + c) * m->learner.n_outputs);
        }
    }
}

static bool nodes_are_fine(const uint32_t *nodes, uint32_t n, uint32_t side_bits,
                           const uint32_t *n_tests) {
    return qn__gbdt_kernel_plain.nodes_are_fine(nodes, n, side_bits, n_tests);
}

static void add_trees(const qn__gbdt *m, const qn__ranked *rows, int64_t n, double *raw) {
    if (qn__gbdt_many_rows(m, n))
        qn__gbdt_add_many_rows(m, rows, n, raw);
    else if (m->wide)
        qn__gbdt_kernel_plain.add_trees(m, rows, n, raw);
    else if (n < CHAINS)
        add_by_rows(m, rows, n, raw);
    else
        add_by_trees(m, rows, n, raw);
}

const qn__gbdt_kernel qn__gbdt_kernel_avx2 = {
    .name = "avx2",
    .runs_here = runs_here,
    .rank_row = rank_row,
    .rank_column = rank_column,
    .nodes_are_fine = nodes_are_fine,
    .many_rows = true,
    .add_trees = add_trees,
};
#endif
