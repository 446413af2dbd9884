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

/* Sums are integers below 2^25, exact in floats; where h_min is more than any of them, so is 2^25. */
static int32_t least_hessian(const qn__near *in) {
    return (int32_t)fmin(ceil(in->h_min), 1 << 25);
}

static int32_t fewest_rows(const qn__near *in) {
    return (int32_t)(in->n_min < 1 << QN__N_BITS ? in->n_min : 1 << QN__N_BITS);
}

/* gain[t] = what the sides of bound t are worth together, -1 where one is too small; sum[t]: of the
 * cells up to t. */
QN__WIDE static void fill_gains(const int64_t *restrict sum, int32_t n, qn__sum more, qn__sum all,
                                float l2, int32_t h_min, int32_t n_min, float *restrict gain) {
    const int64_t n_mask = (1 << QN__N_BITS) - 1, h_mask = (1 << QN__H_BITS) - 1;
    int32_t g0 = (int32_t)more.g, h0 = (int32_t)more.h, n0 = (int32_t)more.n;
    int32_t g_all = (int32_t)all.g, h_all = (int32_t)all.h, n_all = (int32_t)all.n;
    for (int32_t t = 0; t < n; t++) {
        int32_t g = (int32_t)(sum[t] >> QN__G_SHIFT) + g0;
        int32_t h = (int32_t)(sum[t] >> QN__N_BITS & h_mask) + h0;
        float gl = (float)g, gr = (float)(g_all - g);
        float ql = (float)h + l2, qr = (float)(h_all - h) + l2;
        gain[t] = (gl * gl * qr + gr * gr * ql) / (ql * qr);
    }
    /* By itself, so that the compiler need not keep divisions from where they are not wanted. */
    for (int32_t t = 0; t < n; t++) {
        int32_t h = (int32_t)(sum[t] >> QN__N_BITS & h_mask) + h0;
        int32_t rows = (int32_t)(sum[t] & n_mask) + n0;
        bool fits = (h >= h_min) & (h_all - h >= h_min) & (rows >= n_min) & (n_all - rows >= n_min);
        gain[t] = fits ? gain[t] : -1.0f;
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

/* gain[n_bounds] with `more` on the left; returns the largest, or 0. words[n_bounds] is scratch. */
static float gains_plain(const qn__near *in, qn__sum more, int32_t n_bounds, int64_t *words,
                         float *gain) {
    int64_t sum = 0;
    for (int32_t t = 0; t < n_bounds; t++)
        words[t] = sum += in->cells[t];
    fill_gains(words, n_bounds, more, in->total, (float)in->l2, least_hessian(in), fewest_rows(in),
               gain);
    return greatest_gain(gain, n_bounds);
}

#if defined(__x86_64__)
/* x[0], x[0] + x[1], ... */
__attribute__((target("avx512f"), always_inline)) static inline __m512i running_sums(__m512i x) {
    const __m512i zero = _mm512_setzero_si512();
    x = _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 7));
    x = _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 6));
    return _mm512_add_epi64(x, _mm512_alignr_epi64(x, zero, 4));
}

/* Those of cells t .. t + 7 of n, behind `before`, which becomes the last of them, eight times. */
__attribute__((target("avx512f"), always_inline)) static inline __m512i
sums_at(const int64_t *cells, int32_t t, int32_t n, __m512i *before) {
    __mmask8 there = (__mmask8)(n - t >= 8 ? 0xff : n > t ? (1 << (n - t)) - 1 : 0);
    __m512i sums = running_sums(_mm512_maskz_loadu_epi64(there, cells + t));
    sums = _mm512_add_epi64(sums, *before);
    *before = _mm512_permutexvar_epi64(_mm512_set1_epi64(7), sums);
    return sums;
}

/* Whether low <= x <= high - low, of numbers that are not below 0. */
__attribute__((target("avx512f"), always_inline)) static inline __mmask16
leaves_enough(__m512i x, int32_t low, int32_t high) {
    return _mm512_cmple_epu32_mask(_mm512_sub_epi32(x, _mm512_set1_epi32(low)),
                                   _mm512_set1_epi32(high - 2 * low));
}

/* The same in one pass over the cells, which stay packed until they are summed; and gains clearly
 * below `beaten` are not divided out but are -1. */
__attribute__((target("avx512f"))) static float gains_avx512(const qn__near *in, qn__sum more,
                                                             int32_t n_bounds, float beaten,
                                                             float *gain) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28,
                                           30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    const int32_t h_min = least_hessian(in), n_min = fewest_rows(in);
    const __m512i g0 = _mm512_set1_epi32((int32_t)more.g), h0 = _mm512_set1_epi32((int32_t)more.h);
    const __m512i n0 = _mm512_set1_epi32((int32_t)more.n);
    const __m512 g_all = _mm512_set1_ps((float)in->total.g), l2 = _mm512_set1_ps((float)in->l2);
    const __m512 q_all = _mm512_set1_ps((float)in->total.h + 2 * (float)in->l2);
    const __m512 least = _mm512_set1_ps(beaten * (1 - close_by));
    __m512 top = _mm512_setzero_ps();
    __m512i before = _mm512_setzero_si512();
    for (int32_t t = 0; t < n_bounds; t += TOGETHER) {
        __m512i a = sums_at(in->cells, t, n_bounds, &before);
        __m512i b = sums_at(in->cells, t + 8, n_bounds, &before);
        __m512i g = _mm512_srai_epi32(_mm512_permutex2var_epi32(a, odd, b), QN__G_SHIFT - 32);
        __m512i n = _mm512_permutex2var_epi32(a, even, b);
        __m512i h = _mm512_permutex2var_epi32(_mm512_srli_epi64(a, QN__N_BITS), even,
                                              _mm512_srli_epi64(b, QN__N_BITS));
        g = _mm512_add_epi32(g, g0);
        h = _mm512_add_epi32(_mm512_and_si512(h, _mm512_set1_epi32((1 << QN__H_BITS) - 1)), h0);
        n = _mm512_add_epi32(_mm512_and_si512(n, _mm512_set1_epi32((1 << QN__N_BITS) - 1)), n0);
        int32_t left = n_bounds - t;
        __mmask16 fits = leaves_enough(h, h_min, (int32_t)in->total.h)
                         & leaves_enough(n, n_min, (int32_t)in->total.n)
                         & (__mmask16)(left >= TOGETHER ? 0xffff : (1 << left) - 1);
        __m512 gl = _mm512_cvtepi32_ps(g), ql = _mm512_add_ps(_mm512_cvtepi32_ps(h), l2);
        __m512 gr = _mm512_sub_ps(g_all, gl), qr = _mm512_sub_ps(q_all, ql);
        __m512 worth = _mm512_fmadd_ps(_mm512_mul_ps(gl, gl), qr,
                                       _mm512_mul_ps(_mm512_mul_ps(gr, gr), ql));
        __m512 by = _mm512_mul_ps(ql, qr), each = _mm512_set1_ps(-1);
        fits = _mm512_mask_cmp_ps_mask(fits, worth, _mm512_mul_ps(least, by), _CMP_GT_OQ);
        if (fits)
            each = _mm512_mask_div_ps(each, fits, worth, by);
        top = _mm512_max_ps(top, each);
        _mm512_storeu_ps(gain + t, each);
    }
    return _mm512_reduce_max_ps(top);
}

/* The same of four cells. */
__attribute__((target("avx2"), always_inline)) static inline __m256i
four_sums_at(const int64_t *cells, int32_t t, int32_t n, __m256i *before) {
    const __m256i places = _mm256_setr_epi64x(0, 1, 2, 3), zero = _mm256_setzero_si256();
    __m256i x;
    if (n - t >= 4)
        x = _mm256_loadu_si256((const void *)(cells + t));
    else
        x = _mm256_maskload_epi64((const void *)(cells + t),
                                  _mm256_cmpgt_epi64(_mm256_set1_epi64x(n - t), places));
    x = _mm256_add_epi64(x, _mm256_slli_si256(x, 8));
    x = _mm256_add_epi64(x, _mm256_blend_epi32(zero, _mm256_permute4x64_epi64(x, 0x50), 0xf0));
    x = _mm256_add_epi64(x, *before);
    *before = _mm256_permute4x64_epi64(x, 0xff);
    return x;
}

/* The lower or (high) the upper halves of eight words, in the order 0 1 4 5 2 3 6 7. */
__attribute__((target("avx2"), always_inline)) static inline __m256i halves_of(__m256i a, __m256i b,
                                                                               bool high) {
    __m256 x = _mm256_castsi256_ps(a), y = _mm256_castsi256_ps(b);
    return _mm256_castps_si256(high ? _mm256_shuffle_ps(x, y, 0xdd) : _mm256_shuffle_ps(x, y, 0x88));
}

__attribute__((target("avx2"), always_inline)) static inline __m256i
eight_leave_enough(__m256i x, int32_t low, int32_t high) {
    return _mm256_and_si256(_mm256_cmpgt_epi32(x, _mm256_set1_epi32(low - 1)),
                            _mm256_cmpgt_epi32(_mm256_set1_epi32(high - low + 1), x));
}

/* As gains_avx512, eight bounds at a time. */
__attribute__((target("avx2,fma"))) static float
gains_avx2(const qn__near *in, qn__sum more, int32_t n_bounds, float beaten, float *gain) {
    const __m256i places = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
    const __m256i h_mask = _mm256_set1_epi32((1 << QN__H_BITS) - 1);
    const __m256i n_mask = _mm256_set1_epi32((1 << QN__N_BITS) - 1);
    const int32_t h_min = least_hessian(in), n_min = fewest_rows(in);
    const __m256i g0 = _mm256_set1_epi32((int32_t)more.g), h0 = _mm256_set1_epi32((int32_t)more.h);
    const __m256i n0 = _mm256_set1_epi32((int32_t)more.n);
    const __m256 g_all = _mm256_set1_ps((float)in->total.g), l2 = _mm256_set1_ps((float)in->l2);
    const __m256 q_all = _mm256_set1_ps((float)in->total.h + 2 * (float)in->l2);
    const __m256 least = _mm256_set1_ps(beaten * (1 - close_by));
    __m256 top = _mm256_setzero_ps();
    __m256i before = _mm256_setzero_si256();
    for (int32_t t = 0; t < n_bounds; t += 8) {
        __m256i a = four_sums_at(in->cells, t, n_bounds, &before);
        __m256i b = four_sums_at(in->cells, t + 4, n_bounds, &before);
        __m256i g = _mm256_srai_epi32(halves_of(a, b, true), QN__G_SHIFT - 32);
        __m256i n = halves_of(a, b, false);
        __m256i h = halves_of(_mm256_srli_epi64(a, QN__N_BITS), _mm256_srli_epi64(b, QN__N_BITS),
                              false);
        g = _mm256_add_epi32(g, g0);
        h = _mm256_add_epi32(_mm256_and_si256(h, h_mask), h0);
        n = _mm256_add_epi32(_mm256_and_si256(n, n_mask), n0);
        __m256i fits = _mm256_and_si256(eight_leave_enough(h, h_min, (int32_t)in->total.h),
                                        eight_leave_enough(n, n_min, (int32_t)in->total.n));
        fits = _mm256_and_si256(fits, _mm256_cmpgt_epi32(_mm256_set1_epi32(n_bounds - t), places));
        __m256 gl = _mm256_cvtepi32_ps(g), ql = _mm256_add_ps(_mm256_cvtepi32_ps(h), l2);
        __m256 gr = _mm256_sub_ps(g_all, gl), qr = _mm256_sub_ps(q_all, ql);
        __m256 worth = _mm256_fmadd_ps(_mm256_mul_ps(gl, gl), qr,
                                       _mm256_mul_ps(_mm256_mul_ps(gr, gr), ql));
        __m256 by = _mm256_mul_ps(ql, qr), each = _mm256_set1_ps(-1);
        __m256 wanted = _mm256_and_ps(_mm256_castsi256_ps(fits),
                                      _mm256_cmp_ps(worth, _mm256_mul_ps(least, by), _CMP_GT_OQ));
        if (!_mm256_testz_ps(wanted, wanted))
            each = _mm256_blendv_ps(each, _mm256_div_ps(worth, by), wanted);
        top = _mm256_max_ps(top, each);
        each = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(each), 0xd8));
        _mm256_storeu_ps(gain + t, each);
    }
    float tops[8], most = 0;
    _mm256_storeu_ps(tops, top);
    for (int j = 0; j < 8; j++)
        most = tops[j] > most ? tops[j] : most;
    return most;
}
#endif

static float gains(const qn__near *in, qn__sum more, int32_t n_bounds, double beaten,
                   double *scratch) {
    float *gain = (float *)(void *)scratch;
    if (in->total.h < 2 * (int64_t)least_hessian(in) || in->total.n < 2 * (int64_t)fewest_rows(in))
        return 0;
#if defined(__x86_64__)
    if (in->most == QN__VECTORS_BEST && __builtin_cpu_supports("avx512f"))
        return gains_avx512(in, more, n_bounds, (float)beaten, gain);
    if (in->most <= QN__VECTORS_AVX2 && __builtin_cpu_supports("avx2")
        && __builtin_cpu_supports("fma"))
        return gains_avx2(in, more, n_bounds, (float)beaten, gain);
#endif
    return gains_plain(in, more, n_bounds, (int64_t *)(void *)(scratch + n_bounds / 2 + TOGETHER),
                       gain);
}

QN__WIDE static int64_t sum_cells(const int64_t *cells, int32_t n) {
    int64_t sum = 0;
    for (int32_t t = 0; t < n; t++)
        sum += cells[t];
    return sum;
}

qn__sum qn__near_missing(const qn__near *in) {
    return qn__sum_less(in->total, qn__unpack(sum_cells(in->cells, in->n_values)));
}

void qn__near_find(const qn__near *in, qn__sum more, int32_t n_bounds, double *scratch,
                   double *best, qn__split *split) {
    float top = gains(in, more, n_bounds, *best, scratch);
    if (!((double)top * (1 + (double)close_by) > *best))
        return;
    const float *gain = (const float *)(const void *)scratch;
    int64_t sum = 0;
    for (int32_t t = 0; t < n_bounds; t++) {
        sum += in->cells[t];
        if (gain[t] < top * (1 - close_by) || (in->cells[t] == 0 && t > 0))
            continue; /* behind an empty cell both sides are what they were before it */
        qn__sum left = qn__unpack(sum);
        qn__sum_add(&left, more);
        double both = qn__worth_of_sides((double)left.g, (double)left.h,
                                         (double)(in->total.g - left.g),
                                         (double)(in->total.h - left.h), 0, in->l2);
        if (!(both > *best))
            continue;
        *best = both;
        split->bin = t;
        split->missing_left = more.n > 0;
        split->left = left;
    }
}
