/* The search for a number's best bound where single precision finds what is worth a second look. */
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <math.h>

#include "learn/gbdt_int.h"

/* How far a gain in single precision may be from the exact one, as a share of it: some ten roundings,
 * and room to spare. */
static const float close_by = 1e-5f;

enum { TOGETHER = 16 };

/* The bounds first .. end - 1 leave enough on both sides: an interval, as rows and hessians only add up. */
typedef struct bounds {
    int32_t first, end;
    int64_t before;       /* what lies on the left of all of them, packed */
} bounds;

static inline bool is_enough(int64_t word, int64_t h_min, int64_t n_min) {
    return (word & ((1 << QN__N_BITS) - 1)) >= n_min && qn__unpack(word).h >= h_min;
}

enum { STEP = 8 };

static inline int64_t sum_step(const int64_t *cells) {
    int64_t sum = 0;
    for (int j = 0; j < STEP; j++)
        sum += cells[j];
    return sum;
}

/* Several cells at a time where that is not enough: small leaves have few rows a cell. */
static bounds bounds_of(const qn__near *in, qn__sum more, int32_t n_bounds) {
    /* No side has as much as 2^25. */
    const int64_t h_min = (int64_t)fmin(ceil(in->h_min), 1 << 25), n_min = in->n_min;
    const int64_t *cells = in->cells;
    int64_t left = qn__pack(more), right = qn__pack(qn__sum_less(in->missing, more));
    int32_t first = 0, end = in->n_values; /* the cells from `end` on are in `right` */
    for (int64_t step; first + STEP <= n_bounds; first += STEP, left += step) {
        step = sum_step(cells + first);
        if (is_enough(left + step, h_min, n_min))
            break;
    }
    while (first < n_bounds && !is_enough(left + cells[first], h_min, n_min))
        left += cells[first++];
    for (; end > n_bounds; end--)
        right += cells[end - 1];
    for (int64_t step; end - STEP > first; end -= STEP, right += step) {
        step = sum_step(cells + end - STEP);
        if (is_enough(right + step, h_min, n_min))
            break;
    }
    while (end > first && !is_enough(right, h_min, n_min))
        right += cells[--end];
    return (bounds){.first = first, .end = end, .before = left};
}

/* gain[t] = what the sides of bound t are worth together; sum[t]: of the cells up to t. */
QN__WIDE static void fill_gains(const int64_t *restrict sum, int32_t n, qn__sum all, float l2,
                                float *restrict gain) {
    const int64_t h_mask = (1 << QN__H_BITS) - 1;
    int32_t g_all = (int32_t)all.g, h_all = (int32_t)all.h;
    for (int32_t t = 0; t < n; t++) {
        int32_t g = (int32_t)(sum[t] >> QN__G_SHIFT);
        int32_t h = (int32_t)(sum[t] >> QN__N_BITS & h_mask);
        float gl = (float)g, gr = (float)(g_all - g);
        float ql = (float)h + l2, qr = (float)(h_all - h) + l2;
        gain[t] = (gl * gl * qr + gr * gr * ql) / (ql * qr);
    }
}

QN__WIDE static float greatest_gain(const float *gain, int32_t n) {
    float top[TOGETHER] = {0};
    int32_t whole = n - n % TOGETHER;
    for (int32_t t = 0; t < whole; t += TOGETHER)
        for (int j = 0; j < TOGETHER; j++)
            top[j] = gain[t + j] > top[j] ? gain[t + j] : top[j];
    for (int32_t t = whole; t < n; t++)
        top[0] = gain[t] > top[0] ? gain[t] : top[0];
    for (int j = 1; j < TOGETHER; j++)
        top[0] = top[j] > top[0] ? top[j] : top[0];
    return top[0];
}

/* The gains of the bounds, from gain[0] on; returns the largest, or 0. words[n_values] is scratch. */
static float gains_plain(const qn__near *in, bounds where, int64_t *words, float *gain) {
    int64_t sum = where.before;
    int32_t n = where.end - where.first;
    for (int32_t t = 0; t < n; t++)
        words[t] = sum += in->cells[where.first + t];
    fill_gains(words, n, in->total, (float)in->l2, gain);
    return greatest_gain(gain, n);
}

#if defined(__x86_64__)
/* What the kernels below have in common, in one pass over cells, which stay packed until they are summed:
 * `n` is how many bounds there are still, at least as many as the kernel takes at a time if `whole`. Gains
 * clearly below `least` are not divided out but are -1. */

/* x[0], x[0] + x[1], ... */
__attribute__((target("avx512f"), always_inline)) static inline __m512i running_sums(__m512i x) {
    const __m512i zero = _mm512_setzero_si512();
    x = _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 7));
    x = _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 6));
    return _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 4));
}

/* Those of eight cells, as far as there are n, behind `before`, which becomes the last of them, eight
 * times. */
__attribute__((target("avx512f"), always_inline)) static inline __m512i
sums_at(const int64_t *cells, int32_t n, bool whole, __m512i *before) {
    __mmask8 there = (__mmask8)(whole || n >= 8 ? 0xff : n > 0 ? (1 << n) - 1 : 0);
    __m512i sums = running_sums(whole ? _mm512_loadu_si512(cells)
                                      : _mm512_maskz_loadu_epi64(there, cells));
    __m512i all = _mm512_permutexvar_epi64(_mm512_set1_epi64(7), sums);
    sums = _mm512_add_epi64(sums, *before);
    *before = _mm512_add_epi64(*before, all);
    return sums;
}

typedef struct all_of_16 {
    __m512 g, h, l2, least; /* of the leaf, as the sums of any side exact in floats; l2 is not */
} all_of_16;

__attribute__((target("avx512f"), always_inline)) static inline __m512
sixteen_gains(const int64_t *cells, int32_t n, bool whole, const all_of_16 *all, __m512i *before) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28,
                                           30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    __m512i a = sums_at(cells, n, whole, before), b = sums_at(cells + 8, n - 8, whole, before);
    __m512i g = _mm512_srai_epi32(_mm512_permutex2var_epi32(a, odd, b), QN__G_SHIFT - 32);
    __m512i h = _mm512_permutex2var_epi32(_mm512_srli_epi64(a, QN__N_BITS), even,
                                          _mm512_srli_epi64(b, QN__N_BITS));
    h = _mm512_and_si512(h, _mm512_set1_epi32((1 << QN__H_BITS) - 1));
    __m512 gl = _mm512_cvtepi32_ps(g), gr = _mm512_sub_ps(all->g, gl);
    __m512 hl = _mm512_cvtepi32_ps(h), ql = _mm512_add_ps(hl, all->l2);
    __m512 qr = _mm512_add_ps(_mm512_sub_ps(all->h, hl), all->l2);
    __m512 worth = _mm512_fmadd_ps(_mm512_mul_ps(gl, gl), qr,
                                   _mm512_mul_ps(_mm512_mul_ps(gr, gr), ql));
    __m512 by = _mm512_mul_ps(ql, qr), each = _mm512_set1_ps(-1);
    __mmask16 wanted = (__mmask16)(whole || n >= TOGETHER ? 0xffff : (1 << n) - 1);
    wanted = _mm512_mask_cmp_ps_mask(wanted, worth, _mm512_mul_ps(all->least, by), _CMP_GT_OQ);
    return wanted ? _mm512_mask_div_ps(each, wanted, worth, by) : each;
}

__attribute__((target("avx512f"))) static float gains_avx512(const qn__near *in, bounds where,
                                                             float beaten, float *gain) {
    const int64_t *cells = in->cells + where.first;
    const all_of_16 all = {.g = _mm512_set1_ps((float)in->total.g),
                           .h = _mm512_set1_ps((float)in->total.h),
                           .l2 = _mm512_set1_ps((float)in->l2),
                           .least = _mm512_set1_ps(beaten * (1 - close_by))};
    __m512 top = _mm512_setzero_ps();
    __m512i before = _mm512_set1_epi64(where.before);
    int32_t n = where.end - where.first;
    for (; n >= TOGETHER; n -= TOGETHER, cells += TOGETHER, gain += TOGETHER) {
        __m512 each = sixteen_gains(cells, n, true, &all, &before);
        top = _mm512_max_ps(top, each);
        _mm512_storeu_ps(gain, each);
    }
    if (n > 0) {
        __m512 each = sixteen_gains(cells, n, false, &all, &before);
        top = _mm512_max_ps(top, each);
        _mm512_storeu_ps(gain, each);
    }
    return _mm512_reduce_max_ps(top);
}

/* As sums_at, of four cells. */
__attribute__((target("avx2"), always_inline)) static inline __m256i
four_sums_at(const int64_t *cells, int32_t n, bool whole, __m256i *before) {
    const __m256i places = _mm256_setr_epi64x(0, 1, 2, 3), zero = _mm256_setzero_si256();
    __m256i x = whole ? _mm256_loadu_si256((const void *)cells)
                      : _mm256_maskload_epi64((const void *)cells,
                                              _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), places));
    x = _mm256_add_epi64(x, _mm256_slli_si256(x, 8));
    x = _mm256_add_epi64(x, _mm256_blend_epi32(zero, _mm256_permute4x64_epi64(x, 0x50), 0xf0));
    __m256i all = _mm256_permute4x64_epi64(x, 0xff);
    x = _mm256_add_epi64(x, *before);
    *before = _mm256_add_epi64(*before, all);
    return x;
}

typedef struct all_of_8 {
    __m256 g, h, l2, least; /* as all_of_16 */
} all_of_8;

/* Between two pairs of instructions that work on half registers, bounds stand in the order
 * 0 1 4 5 2 3 6 7. */
__attribute__((target("avx2,fma"), always_inline)) static inline __m256
eight_gains(const int64_t *cells, int32_t n, bool whole, const all_of_8 *all, __m256i *before) {
    __m256i a = four_sums_at(cells, n, whole, before);
    __m256i b = four_sums_at(cells + 4, n - 4, whole, before);
    __m256i h = _mm256_castps_si256(_mm256_shuffle_ps(
        _mm256_castsi256_ps(_mm256_srli_epi64(a, QN__N_BITS)),
        _mm256_castsi256_ps(_mm256_srli_epi64(b, QN__N_BITS)), 0x88));
    __m256i g = _mm256_castps_si256(
        _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0xdd));
    g = _mm256_srai_epi32(g, QN__G_SHIFT - 32);
    h = _mm256_and_si256(h, _mm256_set1_epi32((1 << QN__H_BITS) - 1));
    __m256 gl = _mm256_cvtepi32_ps(g), gr = _mm256_sub_ps(all->g, gl);
    __m256 hl = _mm256_cvtepi32_ps(h), ql = _mm256_add_ps(hl, all->l2);
    __m256 qr = _mm256_add_ps(_mm256_sub_ps(all->h, hl), all->l2);
    __m256 worth = _mm256_fmadd_ps(_mm256_mul_ps(gl, gl), qr,
                                   _mm256_mul_ps(_mm256_mul_ps(gr, gr), ql));
    __m256 by = _mm256_mul_ps(ql, qr), each = _mm256_set1_ps(-1);
    __m256 wanted = _mm256_cmp_ps(worth, _mm256_mul_ps(all->least, by), _CMP_GT_OQ);
    if (!whole) {
        const __m256i places = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
        __m256i there = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), places);
        wanted = _mm256_and_ps(wanted, _mm256_castsi256_ps(there));
    }
    if (!_mm256_testz_ps(wanted, wanted))
        each = _mm256_blendv_ps(each, _mm256_div_ps(worth, by), wanted);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(each), 0xd8));
}

__attribute__((target("avx2,fma"))) static float gains_avx2(const qn__near *in, bounds where,
                                                            float beaten, float *gain) {
    enum { EIGHT = 8 };
    const int64_t *cells = in->cells + where.first;
    const all_of_8 all = {.g = _mm256_set1_ps((float)in->total.g),
                          .h = _mm256_set1_ps((float)in->total.h),
                          .l2 = _mm256_set1_ps((float)in->l2),
                          .least = _mm256_set1_ps(beaten * (1 - close_by))};
    __m256 top = _mm256_setzero_ps();
    __m256i before = _mm256_set1_epi64x(where.before);
    int32_t n = where.end - where.first;
    for (; n >= EIGHT; n -= EIGHT, cells += EIGHT, gain += EIGHT) {
        __m256 each = eight_gains(cells, n, true, &all, &before);
        top = _mm256_max_ps(top, each);
        _mm256_storeu_ps(gain, each);
    }
    if (n > 0) {
        __m256 each = eight_gains(cells, n, false, &all, &before);
        top = _mm256_max_ps(top, each);
        _mm256_storeu_ps(gain, each);
    }
    __m128 most = _mm_max_ps(_mm256_castps256_ps128(top), _mm256_extractf128_ps(top, 1));
    most = _mm_max_ps(most, _mm_movehl_ps(most, most));
    return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}
#endif

static float gains(const qn__near *in, bounds where, double beaten, double *scratch) {
    float *gain = (float *)(void *)scratch;
#if defined(__x86_64__)
    if (in->most == QN__VECTORS_BEST && __builtin_cpu_supports("avx512f"))
        return gains_avx512(in, where, (float)beaten, gain);
    if (in->most <= QN__VECTORS_AVX2 && __builtin_cpu_supports("avx2")
        && __builtin_cpu_supports("fma"))
        return gains_avx2(in, where, (float)beaten, gain);
#endif
    return gains_plain(in, where, (int64_t *)(void *)(scratch + in->n_values / 2 + TOGETHER), gain);
}

QN__WIDE static int64_t sum_cells(const int64_t *cells, int32_t n) {
    int64_t sum = 0;
    for (int32_t t = 0; t < n; t++)
        sum += cells[t];
    return sum;
}

/* The first of gain[t .. n - 1] that is not below `least`; n: there is none. */
QN__WIDE static int32_t next_near(const float *gain, int32_t t, int32_t n, float least) {
    for (; t + TOGETHER <= n; t += TOGETHER) {
        int any = 0;
        for (int j = 0; j < TOGETHER; j++)
            any |= gain[t + j] >= least;
        if (any)
            break;
    }
    while (t < n && gain[t] < least)
        t++;
    return t;
}

void qn__near_begin(qn__near *in) {
    in->missing = qn__sum_less(in->total, qn__unpack(sum_cells(in->cells, in->n_values)));
}

void qn__near_find(const qn__near *in, bool missing_left, int32_t n_bounds, double *scratch,
                   double *best, qn__split *split) {
    bounds where = bounds_of(in, missing_left ? in->missing : (qn__sum){0}, n_bounds);
    float top = gains(in, where, *best, scratch);
    if (!((double)top * (1 + (double)close_by) > *best))
        return;
    const float *gain = (const float *)(const void *)scratch;
    const int64_t *cells = in->cells + where.first;
    const float least = top * (1 - close_by);
    const int32_t n = where.end - where.first;
    int64_t sum = where.before;
    int32_t n_summed = 0;
    for (int32_t t = next_near(gain, 0, n, least); t < n; t = next_near(gain, t + 1, n, least)) {
        sum += sum_cells(cells + n_summed, t + 1 - n_summed);
        n_summed = t + 1;
        if (cells[t] == 0 && t > 0)
            continue; /* behind an empty cell both sides are what they were before it */
        qn__sum left = qn__unpack(sum);
        double both = qn__worth_of_sides((double)left.g, (double)left.h,
                                         (double)(in->total.g - left.g),
                                         (double)(in->total.h - left.h), 0, in->l2);
        if (!(both > *best))
            continue;
        *best = both;
        split->bin = where.first + t;
        split->missing_left = missing_left;
        split->left = left;
    }
}
