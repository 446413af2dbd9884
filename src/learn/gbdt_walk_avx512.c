/* The kernel for processors with AVX-512 VBMI: sixteen trees of a row in one register. A level costs
 * one gather of nodes and, where a row has at most 128 sides, one permutation of its ranks, which
 * stay in registers. Four such chains go side by side, to hide the latency of the gathers: 64 trees
 * of one row, or 16 trees of four rows. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "learn/gbdt_kernel_int.h"

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,bmi2")))
#define INLINE AVX512 __attribute__((always_inline)) static inline

enum {
    LANES = 16,
    CHAINS = 8,
    SEARCHES = 4, /* of eight values each at once */
    RANKED = QN__RANK_KEYS,
};

/* Where the ranks of a row are looked up. */
typedef enum source { ONE_REGISTER, TWO_REGISTERS, FROM_MEMORY } source;

/* Up to sixteen trees and one row. Lanes count from the first of the trees. */
typedef struct chain {
    const uint32_t *nodes;
    const double *value;
    const uint8_t *ranks;
    const int32_t *sets;
    __m512i start, leaf_start;
    __mmask16 lanes;
} chain;

static bool runs_here(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
           && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("bmi2");
}

/* ---- ranks ----------------------------------------------------------------------------------- */

/* How many of the n cuts from first - 1 on, where the first would be number 1, are below x: 32
 * searches by halving at once. */
INLINE void search(const double *cuts, const __m256i *before, const __m256i *n, const __m512d *x,
                   int step, __m256i *low) {
#pragma GCC unroll 4
    for (int c = 0; c < SEARCHES; c++)
        low[c] = _mm256_setzero_si256();
    for (; step; step >>= 1) {
#pragma GCC unroll 4
        for (int c = 0; c < SEARCHES; c++) {
            __m256i to = _mm256_add_epi32(low[c], _mm256_set1_epi32(step));
            __mmask8 fits = _mm256_cmple_epu32_mask(to, n[c]);
            __m256i at = _mm256_add_epi32(before[c], to);
            __m512d cut = _mm512_mask_i32gather_pd(x[c], fits, at, cuts, 8);
            __mmask8 below = _mm512_mask_cmp_pd_mask(fits, cut, x[c], _CMP_LT_OQ);
            low[c] = _mm256_mask_mov_epi32(low[c], below, to);
        }
    }
}

/* The pairs of eight ranks: both bytes the rank, or 255 and 0 for missing values. */
INLINE __m128i pairs(__m256i low, __m512d x) {
    __mmask8 missing = _mm512_cmp_pd_mask(x, x, _CMP_UNORD_Q);
    __m256i both = _mm256_or_si256(low, _mm256_slli_epi32(low, 8));
    both = _mm256_mask_mov_epi32(both, missing, _mm256_set1_epi32(QN__LEAF_TEST));
    return _mm256_cvtepi32_epi16(both);
}

AVX512 static void rank_row(const qn__gbdt *m, const double *row, uint8_t *ranks) {
    const int32_t *columns = m->rank_plan, *n_tests = columns + m->rank_planned;
    const int32_t *first = n_tests + m->rank_planned;
    for (int32_t k = 0; k < m->rank_planned; k += RANKED) {
        __m256i before[SEARCHES], n[SEARCHES], low[SEARCHES];
        __m512d x[SEARCHES];
#pragma GCC unroll 4
        for (int c = 0; c < SEARCHES; c++) {
            int32_t at = k + 8 * c;
            __m256i column = _mm256_load_si256((const __m256i *)(const void *)(columns + at));
            n[c] = _mm256_load_si256((const __m256i *)(const void *)(n_tests + at));
            before[c] = _mm256_load_si256((const __m256i *)(const void *)(first + at));
            x[c] = _mm512_i32gather_pd(column, row, 8);
        }
        search(m->cuts, before, n, x, m->rank_step, low);
        /* One store, so that the walk that loads them all at once need not wait. */
        __m512i all = _mm512_castsi128_si512(pairs(low[0], x[0]));
        all = _mm512_inserti32x4(all, pairs(low[1], x[1]), 1);
        all = _mm512_inserti32x4(all, pairs(low[2], x[2]), 2);
        all = _mm512_inserti32x4(all, pairs(low[3], x[3]), 3);
        _mm512_store_si512(ranks + 2 * k, all);
    }
}

AVX512 static void rank_column(const double *cuts, uint32_t n_cuts, const double *x, int64_t n,
                               uint8_t *ranks, size_t stride) {
    __m256i before[SEARCHES], n_each[SEARCHES], low[SEARCHES];
    __m512d value[SEARCHES];
    int step = 1 << (31 - __builtin_clz(n_cuts));
    int64_t i = 0;
#pragma GCC unroll 4
    for (int c = 0; c < SEARCHES; c++) {
        before[c] = _mm256_set1_epi32(-1);
        n_each[c] = _mm256_set1_epi32((int)n_cuts);
    }
    for (; i + RANKED <= n; i += RANKED) {
#pragma GCC unroll 4
        for (int c = 0; c < SEARCHES; c++)
            value[c] = _mm512_loadu_pd(x + i + 8 * c);
        search(cuts, before, n_each, value, step, low);
#pragma GCC unroll 4
        for (int c = 0; c < SEARCHES; c++) {
            uint16_t pair[8];
            _mm_storeu_si128((__m128i *)(void *)pair, pairs(low[c], value[c]));
            for (int j = 0; j < 8; j++)
                memcpy(ranks + (size_t)(i + 8 * c + j) * stride, &pair[j], sizeof *pair);
        }
    }
    if (i < n)
        qn__gbdt_kernel_plain.rank_column(cuts, n_cuts, x + i, n - i, ranks + (size_t)i * stride,
                                          stride);
}

/* ---- trees ----------------------------------------------------------------------------------- */

AVX512 static bool nodes_are_fine(const uint32_t *nodes, uint32_t n, uint32_t side_bits,
                                  const uint32_t *n_tests) {
    const __m512i low24 = _mm512_set1_epi32(0xffffff), zero = _mm512_setzero_si512();
    const __m512i leaf = _mm512_set1_epi32(QN__LEAF_TEST), last = _mm512_set1_epi32((int)n - 1);
    const __m512i last_leaf = _mm512_set1_epi32((int)(n / 2));
    const __m512i side_mask = _mm512_set1_epi32((1 << side_bits) - 1);
    const __m512i shift = _mm512_set1_epi32((int)side_bits);
    __m512i at = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __mmask16 bad = 0;
    for (uint32_t i = 0; i < n; i += LANES) {
        __mmask16 lanes = (__mmask16)(n - i < LANES ? (1u << (n - i)) - 1 : 0xffff);
        __m512i node = _mm512_maskz_loadu_epi32(lanes, nodes + i);
        __m512i test = _mm512_srli_epi32(node, 24), side = _mm512_and_si512(node, side_mask);
        __m512i field = _mm512_srlv_epi32(_mm512_and_si512(node, low24), shift);
        __mmask16 is_leaf = _mm512_mask_cmpeq_epu32_mask(lanes, test, leaf);
        __mmask16 is_split = lanes & (__mmask16)~is_leaf;
        __m512i there = _mm512_mask_i32gather_epi32(zero, is_split, side, n_tests, 4);
        bad |= _mm512_mask_cmpneq_epu32_mask(is_leaf, side, zero);
        bad |= _mm512_mask_cmpgt_epu32_mask(is_leaf, field, last_leaf);
        bad |= _mm512_mask_cmple_epu32_mask(is_split, there, test);
        bad |= _mm512_mask_cmpeq_epu32_mask(is_split, field, zero);
        bad |= _mm512_mask_cmpge_epu32_mask(is_split, _mm512_add_epi32(at, field), last);
        at = _mm512_add_epi32(at, _mm512_set1_epi32(LANES));
    }
    return !bad;
}

/* Which lanes go right at a split by categories: a bit of the answers for the row's code. */
INLINE __mmask16 answers(const qn__gbdt *m, const chain *c, __mmask16 is_set, __m512i key,
                         __m512i node) {
    __m512i test = _mm512_srli_epi32(node, 24), zero = _mm512_setzero_si512();
    __m512i which = _mm512_sub_epi32(key, _mm512_set1_epi32(m->n_number_keys - 1));
    __m512i at = _mm512_mask_i32gather_epi32(zero, is_set, which, c->sets, 4);
    at = _mm512_add_epi32(at, _mm512_srli_epi32(test, 3));
    __m512i bits = _mm512_mask_i32gather_epi32(zero, is_set, at, m->answers, 1);
    __m512i bit = _mm512_sllv_epi32(_mm512_set1_epi32(1),
                                    _mm512_and_si512(test, _mm512_set1_epi32(7)));
    return _mm512_test_epi32_mask(bits, bit);
}

/* All lanes to their leaves; values[c][lane]. */
INLINE void walk(const qn__gbdt *m, const chain *chains, double (*values)[LANES], source from,
                 bool mixed) {
    const __m512i low24 = _mm512_set1_epi32(0xffffff), one = _mm512_set1_epi32(1);
    const __m512i leaf = _mm512_set1_epi32((int)((uint32_t)QN__LEAF_TEST << 24));
    const __m512i middle = _mm512_add_epi8(
        _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x00000404, 0x00000808, 0x00000c0c)),
        _mm512_set1_epi32((int)0x80800201));
    const __m512i side_bits = _mm512_set1_epi32(m->side_bits);
    const __m512i side_mask = _mm512_set1_epi32((1 << m->side_bits) - 1);
    const __m512i n_numbers = _mm512_set1_epi32(m->n_number_keys);
    __m512i at[CHAINS], node[CHAINS], table[CHAINS], table2[CHAINS];
    __mmask16 on[CHAINS];
#pragma GCC unroll 8
    for (int c = 0; c < CHAINS; c++) {
        at[c] = chains[c].start;
        node[c] = leaf;
        on[c] = chains[c].lanes;
        table[c] = from != FROM_MEMORY ? _mm512_load_si512(chains[c].ranks) : low24;
        table2[c] = from == TWO_REGISTERS ? _mm512_load_si512(chains[c].ranks + 64) : low24;
    }
    unsigned any;
    do {
        any = 0;
#pragma GCC unroll 8
        for (int c = 0; c < CHAINS; c++) {
            if (!on[c])
                continue;
            node[c] = _mm512_mask_i32gather_epi32(node[c], on[c], at[c], chains[c].nodes, 4);
            __m512i side = _mm512_and_si512(node[c], side_mask), rank;
            if (from == ONE_REGISTER)
                rank = _mm512_permutexvar_epi8(node[c], table[c]);
            else if (from == TWO_REGISTERS)
                rank = _mm512_permutex2var_epi8(table[c], node[c], table2[c]);
            else
                rank = _mm512_mask_i32gather_epi32(node[c], on[c], side, chains[c].ranks, 1);
            /* In the highest byte it compares with the test, whatever follows that one. */
            __mmask16 right = _mm512_cmpgt_epu32_mask(_mm512_slli_epi32(rank, 24), node[c]);
            if (mixed) {
                __m512i key = _mm512_srli_epi32(side, 1);
                __mmask16 is_set = _mm512_mask_cmpge_epu32_mask(on[c], key, n_numbers);
                if (is_set)
                    right = (__mmask16)((right & ~is_set)
                                        | (is_set & answers(m, &chains[c], is_set, key, node[c])));
            }
            __m512i field = from == FROM_MEMORY
                                ? _mm512_srlv_epi32(_mm512_and_si512(node[c], low24), side_bits)
                                : _mm512_shuffle_epi8(node[c], middle);
            at[c] = _mm512_add_epi32(at[c], field);
            at[c] = _mm512_mask_add_epi32(at[c], right, at[c], one);
            on[c] = _mm512_mask_cmplt_epu32_mask(on[c], node[c], leaf);
            any |= on[c];
        }
    } while (any);
#pragma GCC unroll 8
    for (int c = 0; c < CHAINS; c++) {
        __m512i number = _mm512_srlv_epi32(_mm512_and_si512(node[c], low24), side_bits);
        number = _mm512_add_epi32(number, chains[c].leaf_start);
        __mmask16 lanes = chains[c].lanes;
        const __m512d none = _mm512_setzero_pd();
        __m256i low = _mm512_castsi512_si256(number), high = _mm512_extracti64x4_epi64(number, 1);
        const double *value = chains[c].value;
        _mm512_store_pd(values[c],
                        _mm512_mask_i32gather_pd(none, (__mmask8)lanes, low, value, 8));
        _mm512_store_pd(values[c] + 8,
                        _mm512_mask_i32gather_pd(none, (__mmask8)(lanes >> 8), high, value, 8));
    }
}

typedef void walk_function(const qn__gbdt *m, const chain *chains, double (*values)[LANES]);

AVX512 static void walk_one(const qn__gbdt *m, const chain *chains, double (*values)[LANES]) {
    walk(m, chains, values, ONE_REGISTER, false);
}
AVX512 static void walk_two(const qn__gbdt *m, const chain *chains, double (*values)[LANES]) {
    walk(m, chains, values, TWO_REGISTERS, false);
}
AVX512 static void walk_many(const qn__gbdt *m, const chain *chains, double (*values)[LANES]) {
    walk(m, chains, values, FROM_MEMORY, false);
}
AVX512 static void walk_one_mixed(const qn__gbdt *m, const chain *chains, double (*values)[LANES]) {
    walk(m, chains, values, ONE_REGISTER, true);
}
AVX512 static void walk_two_mixed(const qn__gbdt *m, const chain *chains, double (*values)[LANES]) {
    walk(m, chains, values, TWO_REGISTERS, true);
}
AVX512 static void walk_many_mixed(const qn__gbdt *m, const chain *chains,
                                   double (*values)[LANES]) {
    walk(m, chains, values, FROM_MEMORY, true);
}

static walk_function *choose(const qn__gbdt *m) {
    static walk_function *const functions[2][3] = {{walk_one, walk_two, walk_many},
                                                   {walk_one_mixed, walk_two_mixed,
                                                    walk_many_mixed}};
    int32_t n_sides = 2 * m->n_keys;
    return functions[m->n_keys > m->n_number_keys][n_sides <= 64 ? 0 : n_sides <= 128 ? 1 : 2];
}

/* Trees from `tree` on and no row yet; none when there are no more. */
INLINE void set_trees(const qn__gbdt *m, int32_t tree, chain *ret_chain) {
    int32_t rest = m->n_trees - tree;
    *ret_chain = (chain){.nodes = m->nodes, .value = m->value};
    if (rest <= 0)
        return;
    ret_chain->lanes = (__mmask16)(rest < LANES ? (1 << rest) - 1 : 0xffff);
    const uint64_t *from = m->start + tree;
    __m512i first = _mm512_set1_epi64((long long)*from);
    __m512i a = _mm512_maskz_loadu_epi64((__mmask8)ret_chain->lanes, from);
    __m512i b = _mm512_maskz_loadu_epi64((__mmask8)(ret_chain->lanes >> 8), from + 8);
    __m256i low = _mm512_cvtepi64_epi32(_mm512_sub_epi64(a, first));
    __m256i high = _mm512_cvtepi64_epi32(_mm512_sub_epi64(b, first));
    __m512i start = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    const __m512i iota = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ret_chain->nodes = m->nodes + *from;
    ret_chain->value = m->value + qn__gbdt_leaf_start(m, tree);
    ret_chain->start = start;
    ret_chain->leaf_start = _mm512_srli_epi32(_mm512_add_epi32(start, iota), 1);
}

/* Adds the values of up to sixteen trees from `tree` on, in their order. */
static inline void add_values(const qn__gbdt *m, int32_t tree, const double *values, double *out) {
    int32_t n_k = m->learner.n_outputs, n = m->n_trees - tree < LANES ? m->n_trees - tree : LANES;
    if (n_k == 1) {
        double sum = *out;
        for (int32_t j = 0; j < n; j++)
            sum += values[j];
        *out = sum;
        return;
    }
    for (int32_t j = 0, k = tree % n_k; j < n; j++) {
        out[k] += values[j];
        k = k + 1 < n_k ? k + 1 : 0;
    }
}

AVX512 static void add_by_rows(const qn__gbdt *m, const qn__ranked *rows, int64_t n, double *raw) {
    walk_function *walk_here = choose(m);
    _Alignas(64) double values[CHAINS][LANES];
    for (int64_t i = 0; i < n; i++) {
        for (int32_t t = 0; t < m->n_trees; t += CHAINS * LANES) {
            chain chains[CHAINS];
            for (int c = 0; c < CHAINS; c++) {
                set_trees(m, t + c * LANES, &chains[c]);
                chains[c].ranks = rows->ranks + (size_t)i * rows->rank_stride;
                chains[c].sets = rows->sets + (size_t)i * rows->set_stride;
            }
            walk_here(m, chains, values);
            for (int c = 0; c < CHAINS && t + c * LANES < m->n_trees; c++)
                add_values(m, t + c * LANES, values[c], raw + i * m->learner.n_outputs);
        }
    }
}

/* Trees outermost, so that sixteen stay in the first-level cache for all rows. */
AVX512 static void add_by_trees(const qn__gbdt *m, const qn__ranked *rows, int64_t n, double *raw) {
    walk_function *walk_here = choose(m);
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
            walk_here(m, chains, values);
            for (int c = 0; c < CHAINS && i + c < n; c++)
                add_values(m, t, values[c], raw + (i + c) * m->learner.n_outputs);
        }
    }
}

static void add_trees(const qn__gbdt *m, const qn__ranked *rows, int64_t n, double *raw) {
    if (m->wide)
        qn__gbdt_kernel_plain.add_trees(m, rows, n, raw);
    else if (n < CHAINS)
        add_by_rows(m, rows, n, raw);
    else
        add_by_trees(m, rows, n, raw);
}

const qn__gbdt_kernel qn__gbdt_kernel_avx512 = {
    .name = "avx512",
    .runs_here = runs_here,
    .rank_row = rank_row,
    .rank_column = rank_column,
    .nodes_are_fine = nodes_are_fine,
    .add_trees = add_trees,
};
#endif
