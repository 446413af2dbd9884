/* gbdt_part_int.h - what dividing lists of rows (gbdt_part.c) and sets of them (gbdt_dense.c) share: the
 * sides of a lane's values, and rows packed into a list. */
#ifndef QN_LEARN_GBDT_PART_INT_H
#define QN_LEARN_GBDT_PART_INT_H

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <string.h>

#include "learn/gbdt_divide_int.h"

/* The bins of a lane, `stride` bytes from one row to the next, and the side of each, for those of one
 * byte as bits, too. Of a sparse feature: the sides of its bins, and no more. */
typedef struct qn__lane_sides {
    const uint8_t *at;
    size_t stride;
    bool wide;
    int in_word;          /* where a bin is in its word of a row */
    bool gathers;         /* 31 bits hold where the last row is */
    int64_t ahead;        /* 0: bins are not asked for */
    const uint8_t *goes_left;
    uint32_t left_bits[QN__LANE_CELLS / 32];
} qn__lane_sides;

/* Those of the feature that is split by. goes_left[65536] is filled and kept; `ahead` is left 0. */
qn__lane_sides qn__sides_of(const qn__bin_map *map, const qn__bins *bins, const qn__split *split,
                            uint8_t *goes_left);

#if defined(__x86_64__)
static inline bool qn__has_avx2(qn__vectors most) {
    return most <= QN__VECTORS_AVX2 && __builtin_cpu_supports("avx2");
}

enum { QN__EIGHT = 8 };

/* For each choice of eight rows the places of those chosen, eight bits each, from the right. */
extern const uint64_t qn__places[256];

/* The chosen of eight words, of rows or gradients, packed behind `at`, whole vectors, as long as there is
 * room: what lies behind them is overwritten later. */
__attribute__((target("avx2,popcnt"), always_inline)) static inline void
qn__pack_eight(void *words, int64_t at, int64_t room, uint32_t chosen, __m256i word) {
    __m256i from = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)qn__places[chosen]));
    uint32_t *to = (uint32_t *)words + at;
    word = _mm256_permutevar8x32_epi32(word, from);
    if (at + QN__EIGHT <= room)
        _mm256_storeu_si256((__m256i *)(void *)to, word);
    else
        memcpy(to, &word, (size_t)__builtin_popcount(chosen) * sizeof *to);
}
#endif

#endif
