#include <math.h>

#include "learn/gbdt_int.h"

enum { CHUNK = 1 << 13 };

/* What the largest value becomes: 13 bits of g and of h, so that 2,048 of the largest rows fit a packed
 * cell. */
static const float top = 8190, small_top_g = QN__SMALL_G - 1, small_top_h = QN__SMALL_H - 1;

/* Murmur3's finaliser: 32 bits for row i of a tree. */
static inline uint32_t mix(uint32_t seed, uint32_t i) {
    uint32_t z = seed + i * 0x9e3779b9u;
    z = (z ^ (z >> 16)) * 0x85ebca6bu;
    z = (z ^ (z >> 13)) * 0xc2b2ae35u;
    return z ^ (z >> 16);
}

/* Rounds x down or up, up with the probability of its fraction. NaN and what is out of range become
 * an end of it: as integers the bits of |x| are in the same order, NaN last, and an integer minimum
 * needs no branch. */
static inline int32_t round_randomly(float x, float end, uint32_t random16) {
    union {
        float number;
        int32_t bits;
    } v = {.number = x}, most = {.number = end + 0.5f};
    int32_t sign = v.bits & INT32_MIN, size = v.bits & INT32_MAX;
    size = size < most.bits ? size : most.bits;
    v.bits = size | sign;
    float t = v.number + ((float)(int32_t)random16 + 0.5f) * (1.0f / 65536);
    int32_t whole = (int32_t)t;
    return whole - (t < (float)whole);
}

QN__WIDE static void quantise_rows(const float *restrict g, const float *restrict h, int32_t n,
                                   uint32_t first, uint32_t seed, const qn__quantised *q,
                                   int32_t *restrict gh) {
    const float g_scale = (float)(1 / q->g_unit), h_scale = (float)(1 / q->h_unit);
    const float g_end = q->is_small ? small_top_g : top, h_end = q->is_small ? small_top_h : top;
    for (int32_t i = 0; i < n; i++) {
        uint32_t r = mix(seed, first + (uint32_t)i);
        int32_t gi = round_randomly(g[i] * g_scale, g_end, r & 0xffff);
        int32_t hi = round_randomly(h[i] * h_scale, h_end, r >> 16);
        hi = hi > 0 ? hi : 0;
        gh[i] = gi * 65536 + hi;
    }
}

/* n is at most 2^15, so that 32 bits hold the sums. */
QN__WIDE static void add_up(const int32_t *restrict gh, int32_t n, int64_t *restrict ret_g,
                            int64_t *restrict ret_h) {
    int32_t g = 0, h = 0;
    for (int32_t i = 0; i < n; i++) {
        g += gh[i] >> 16;
        h += gh[i] & 0xffff;
    }
    *ret_g += g;
    *ret_h += h;
}

/* The same of |g|. */
QN__WIDE static void add_up_loads(const int32_t *restrict gh, int32_t n, int64_t *restrict ret_g,
                                  int64_t *restrict ret_h) {
    int32_t g = 0, h = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t one = gh[i] >> 16;
        g += one < 0 ? -one : one;
        h += gh[i] & 0xffff;
    }
    *ret_g += g;
    *ret_h += h;
}

/* A loop of its own, so that many of the loads, which miss the cache, are under way at a time. */
void qn__gradients_list(qn__gradients gh, const uint32_t *rows, int64_t n, int32_t *list) {
    enum { AHEAD = 32 };
    for (int64_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            __builtin_prefetch(gh.at + rows[i + AHEAD] * gh.stride);
        list[i] = qn__gradient_of(gh, rows[i]);
    }
}

qn__load qn__load_of(const int32_t *gh, int64_t n) {
    qn__load load = {.n = n};
    for (int64_t first = 0; first < n; first += CHUNK)
        add_up_loads(gh + first, (int32_t)(n - first < CHUNK ? n - first : CHUNK), &load.abs_g,
                     &load.h);
    return load;
}

QN__WIDE static void largest(const float *restrict g, const float *restrict h, int32_t n,
                             float *restrict ret_g, float *restrict ret_h) {
    enum { LANES = 16 };
    float g_max[LANES] = {0}, h_max[LANES] = {0};
    int32_t whole = n - n % LANES;
    for (int32_t i = 0; i < whole; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            float a = fabsf(g[i + j]);
            g_max[j] = a > g_max[j] ? a : g_max[j];
            h_max[j] = h[i + j] > h_max[j] ? h[i + j] : h_max[j];
        }
    }
    for (int32_t i = whole; i < n; i++) {
        g_max[0] = fabsf(g[i]) > g_max[0] ? fabsf(g[i]) : g_max[0];
        h_max[0] = h[i] > h_max[0] ? h[i] : h_max[0];
    }
    for (int j = 0; j < LANES; j++) {
        *ret_g = g_max[j] > *ret_g ? g_max[j] : *ret_g;
        *ret_h = h_max[j] > *ret_h ? h_max[j] : *ret_h;
    }
}

static double sum_of(const float *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += isfinite(x[i]) ? (double)fabsf(x[i]) : 0;
    return sum;
}

/* The sums choose units and need not be exact: of whole blocks an eighth stands for the rest. */
void qn__range_add(qn__range *range, const float *g, const float *h, int64_t n) {
    for (int64_t first = 0; first < n; first += QN__GRADIENT_BLOCK) {
        int64_t here = n - first < QN__GRADIENT_BLOCK ? n - first : QN__GRADIENT_BLOCK;
        int64_t times = here == QN__GRADIENT_BLOCK ? 8 : 1;
        largest(g + first, h + first, (int32_t)here, &range->g, &range->h);
        range->sum_g += (double)times * sum_of(g + first, here / times);
        range->sum_h += (double)times * sum_of(h + first, here / times);
    }
}

void qn__range_join(qn__range *range, const qn__range *more) {
    range->g = fmaxf(range->g, more->g);
    range->h = fmaxf(range->h, more->h);
    range->sum_g += more->sum_g;
    range->sum_h += more->sum_h;
}

/* What one unit is, the largest value being `end` of them. The sum of `few` average values must fit
 * `bits`, and that of all 32 bits; where this takes larger units, the largest value is 2^k of them, so
 * that constants stay exact. A largest of 0 or inf leaves nothing to tell apart. */
static double unit_of(float largest_value, float end, double sum, int64_t n, int bits) {
    enum { PACKED_ROWS = 1 << 14 };
    if (!(largest_value > 0 && largest_value < INFINITY))
        return 1;
    double few = n < PACKED_ROWS ? (double)n : PACKED_ROWS;
    double unit = (double)largest_value / (double)end;
    double least = fmax(sum / (double)n * few / (double)((int64_t)1 << bits),
                        sum / (double)((int64_t)1 << 32));
    for (int k = 12; unit < least && k >= 0; k--)
        unit = ldexp((double)largest_value, -k);
    return unit;
}

/* Of many rows of which the largest is not far from the mean, a few bits say as much: rounding a value to
 * units adds at most a quarter of a unit's square to its variance, 1/60 of the mean's square here. */
static bool may_be_small(float largest_value, double sum, int64_t n) {
    enum { MANY = 1 << 16, TIMES = 8 };
    return n >= MANY && largest_value < INFINITY
           && (double)largest_value * (double)n <= TIMES * sum;
}

void qn__quantise_units(qn__range range, int64_t n, qn__quantised *q) {
    q->is_small = may_be_small(range.g, range.sum_g, n) && may_be_small(range.h, range.sum_h, n);
    q->g_unit = unit_of(range.g, q->is_small ? small_top_g : top, range.sum_g, n, 63 - QN__G_SHIFT);
    q->h_unit = unit_of(range.h, q->is_small ? small_top_h : top, range.sum_h, n, QN__H_BITS);
}

void qn__quantise_some(const float *g, const float *h, int64_t first, int32_t n, uint64_t seed,
                       const qn__quantised *q, int64_t *sum_g, int64_t *sum_h) {
    int32_t own[QN__GRADIENT_BLOCK];
    const bool adjacent = q->gh.stride == sizeof *own;
    for (int32_t i = 0, here; i < n; i += here) {
        here = n - i < QN__GRADIENT_BLOCK ? n - i : QN__GRADIENT_BLOCK;
        uint8_t *to = q->gh.at + (size_t)(first + i) * q->gh.stride;
        int32_t *some = adjacent ? (int32_t *)(void *)to : own;
        quantise_rows(g + i, h + i, here, (uint32_t)(first + i), (uint32_t)(seed ^ seed >> 32), q,
                      some);
        add_up(some, here, sum_g, sum_h);
        for (int32_t k = 0; !adjacent && k < here; k++, to += q->gh.stride)
            memcpy(to, some + k, sizeof *some);
    }
}

/* Wide cells hold the sum of all rows; the units do not see to that where values are not finite, or
 * sums were only estimated. */
bool qn__quantise_again(qn__quantised *q) {
    if (q->total.h < (int64_t)1 << (63 - QN__WIDE_N_BITS - 1))
        return false;
    q->h_unit *= 256;
    return true;
}

void qn__quantise(const float *g, const float *h, int64_t n, qn__range range, uint64_t seed,
                  int n_threads, qn__quantised *q) {
    qn__quantise_units(range, n, q);
    int64_t n_chunks = (n + CHUNK - 1) / CHUNK;
    do {
        int64_t sum_g = 0, sum_h = 0;
#pragma omp parallel for num_threads(n_threads) reduction(+ : sum_g, sum_h) if (n > QN__WORTH_THREADS)
        for (int64_t c = 0; c < n_chunks; c++) {
            int64_t first = c * CHUNK;
            qn__quantise_some(g + first, h + first, first,
                              (int32_t)(n - first < CHUNK ? n - first : CHUNK), seed, q, &sum_g,
                              &sum_h);
        }
        q->total = (qn__sum){.g = sum_g, .h = sum_h, .n = n};
    } while (qn__quantise_again(q));
}
