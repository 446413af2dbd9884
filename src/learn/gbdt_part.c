/* Dividing the rows of a node between its children. */
#include <omp.h>
#include <string.h>

#include "learn/gbdt_part_int.h"

/* Rows to be divided: those of `rows`, or (first >= 0) first .. first + n - 1. gh NULL: there are no
 * gradients beside them. */
typedef struct block {
    const uint32_t *rows;
    const int32_t *gh;
    int64_t first, n;
    int64_t n_listed;     /* with those of the blocks behind */
} block;

static inline uint32_t row_of(const block *from, int64_t i) {
    return from->first >= 0 ? (uint32_t)(from->first + i) : from->rows[i];
}

/* Sixteen rows at a time: first which of them go left, one bit each, then where they go. Where bins lie on
 * lines of their own - in rows, and in columns if the leaf has less than 1 / SCATTERED of all rows - they are
 * asked for some rows before their turn. */
enum { TOGETHER = 16, SCATTERED = 8, AHEAD = 256, WORD = 4 };

/* ---- which side ------------------------------------------------------------------------------ */

/* Of n rows, at most 16, from row i of a block on. A row adds its bit from the right, so the last comes
 * first: nothing but loads and one addition. `listed`, `wide` and `stride` are constants after inlining,
 * where they can be. */
static inline __attribute__((always_inline)) uint16_t
lefts_of(const qn__lane_sides *lane, const block *from, int64_t i, int n, bool listed, bool wide,
         size_t stride) {
    const uint32_t *rows = from->rows + i;
    const uint8_t *at = lane->at + (listed ? 0 : (size_t)(from->first + i) * stride);
    uint32_t bits = 0;
#pragma GCC unroll 16
    for (int k = n - 1; k >= 0; k--) {
        const void *bin = at + (listed ? rows[k] : (size_t)k) * stride;
        bits = 2 * bits + lane->goes_left[wide ? *(const uint16_t *)bin : *(const uint8_t *)bin];
    }
    return (uint16_t)bits;
}

static inline __attribute__((always_inline)) void
ask_for(const qn__lane_sides *lane, size_t stride, const uint32_t *rows) {
#pragma GCC unroll 16
    for (int k = 0; k < TOGETHER; k++)
        __builtin_prefetch(lane->at + rows[k] * stride);
}

static inline __attribute__((always_inline)) void
find_sides_by(const qn__lane_sides *lane, const block *from, int64_t i, bool listed, bool wide,
              size_t stride, uint16_t *goes_left) {
    int64_t ahead = lane->ahead, asked = listed && ahead ? from->n_listed - ahead - TOGETHER : -1;
    for (; i + TOGETHER <= from->n; i += TOGETHER) {
        if (i <= asked)
            ask_for(lane, stride, from->rows + i + ahead);
        goes_left[i / TOGETHER] = lefts_of(lane, from, i, TOGETHER, listed, wide, stride);
    }
    if (i < from->n)
        goes_left[i / TOGETHER] = lefts_of(lane, from, i, (int)(from->n - i), listed, wide, stride);
}

/* From row i on, a multiple of 16. */
static void find_sides_plain(const qn__lane_sides *lane, const block *from, int64_t i,
                             uint16_t *goes_left) {
    bool listed = from->first < 0;
    if (lane->wide)
        find_sides_by(lane, from, i, listed, true, lane->stride, goes_left);
    else if (lane->stride > 1)
        find_sides_by(lane, from, i, listed, false, lane->stride, goes_left);
    else if (listed)
        find_sides_by(lane, from, i, true, false, 1, goes_left);
    else
        find_sides_by(lane, from, i, false, false, 1, goes_left);
}

static void find_sides_sparse(const qn__partition_input *in, const qn__bin_feature *f,
                              const qn__lane_sides *lane, const block *from, uint16_t *goes_left) {
    for (int64_t i = 0; i < from->n; i++) {
        uint16_t bit = lane->goes_left[qn__bins_at(in->map, in->bins, f, row_of(from, i))];
        uint16_t *bits = &goes_left[i / TOGETHER];
        *bits = (uint16_t)((i % TOGETHER ? *bits : 0) | bit << i % TOGETHER);
    }
}

#if defined(__x86_64__)
#define PLACE(c, k) \
    ((uint64_t)((c) >> (k)&1) * (k) << 8 * __builtin_popcount((c) & ((1 << (k)) - 1)))
#define PLACES(c) \
    (PLACE(c, 1) | PLACE(c, 2) | PLACE(c, 3) | PLACE(c, 4) | PLACE(c, 5) | PLACE(c, 6)            \
     | PLACE(c, 7))
#define PLACES_OF_4(c) PLACES(c), PLACES((c) + 1), PLACES((c) + 2), PLACES((c) + 3)
#define PLACES_OF_16(c) \
    PLACES_OF_4(c), PLACES_OF_4((c) + 4), PLACES_OF_4((c) + 8), PLACES_OF_4((c) + 12)
#define PLACES_OF_64(c) \
    PLACES_OF_16(c), PLACES_OF_16((c) + 16), PLACES_OF_16((c) + 32), PLACES_OF_16((c) + 48)
const uint64_t qn__places[256] = {PLACES_OF_64(0), PLACES_OF_64(64), PLACES_OF_64(128),
                                  PLACES_OF_64(192)};

/* Sixteen rows from row i of a block on. */
__attribute__((target("avx512f"), always_inline)) static inline __m512i
rows_at(const block *from, int64_t i) {
    const __m512i count = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    if (from->first >= 0)
        return _mm512_add_epi32(_mm512_set1_epi32((int)(from->first + i)), count);
    return _mm512_loadu_si512(from->rows + i);
}

/* Those of them that go left: bins are gathered, the sides looked up in 256 bits held in a register.
 * `by_rows`, here and below, is a constant after inlining. */
__attribute__((target("avx512f"), always_inline)) static inline __mmask16
lefts_at(const qn__lane_sides *lane, bool by_rows, __m512i table, const block *from, int64_t i,
         __m512i row) {
    __m512i bin;
    if (by_rows) /* the aligned word around the bin: nothing behind the rows is read */
        bin = _mm512_srl_epi32(
            _mm512_i32gather_epi32(
                _mm512_mullo_epi32(row, _mm512_set1_epi32((int)lane->stride / WORD)),
                lane->at - lane->in_word, WORD),
            _mm_cvtsi32_si128(8 * lane->in_word));
    else if (from->first >= 0)
        bin = _mm512_cvtepu8_epi32(
            _mm_loadu_si128((const __m128i *)(const void *)(lane->at + from->first + i)));
    else
        bin = _mm512_i32gather_epi32(row, lane->at, 1);
    bin = _mm512_and_si512(bin, _mm512_set1_epi32(0xff));
    __m512i word = _mm512_permutexvar_epi32(_mm512_srli_epi32(bin, 5), table);
    __m512i bit = _mm512_srlv_epi32(word, _mm512_and_si512(bin, _mm512_set1_epi32(31)));
    return _mm512_test_epi32_mask(bit, _mm512_set1_epi32(1));
}

__attribute__((target("avx512f"), always_inline)) static inline __m512i
table_of(const qn__lane_sides *lane) {
    return _mm512_castsi256_si512(
        _mm256_loadu_si256((const __m256i *)(const void *)lane->left_bits));
}

__attribute__((target("avx512f"), always_inline)) static inline void
find_lefts_of(const qn__lane_sides *lane, bool by_rows, const block *from, uint16_t *goes_left) {
    const __m512i table = table_of(lane);
    int64_t i = 0;
    for (; i + TOGETHER <= from->n; i += TOGETHER)
        goes_left[i / TOGETHER] =
            (uint16_t)lefts_at(lane, by_rows, table, from, i, rows_at(from, i));
    find_sides_plain(lane, from, i, goes_left);
}

__attribute__((target("avx512f"))) static void
find_sides_avx512(const qn__lane_sides *lane, const block *from, uint16_t *goes_left) {
    if (lane->stride > 1)
        find_lefts_of(lane, true, from, goes_left);
    else
        find_lefts_of(lane, false, from, goes_left);
}

static bool has_avx512(qn__vectors most) {
    return most == QN__VECTORS_BEST && __builtin_cpu_supports("avx512f");
}

static bool gathers(const qn__partition_input *in, const qn__lane_sides *lane) {
    return !lane->wide && lane->gathers && has_avx512(in->most);
}
#endif

/* By value of the lane, or by bin of a sparse feature. */
static void fill_table(const qn__bin_map *map, const qn__bin_feature *f, const qn__split *split,
                       uint8_t *goes_left) {
    int32_t n = f->lane < 0 ? f->n_cells : map->lanes[f->lane].n_values;
    memset(goes_left, 0, (size_t)(n < QN__LANE_CELLS ? QN__LANE_CELLS : n));
    if (!split->is_category && !f->bin_of) {
        memset(goes_left, 1, (size_t)split->bin + 1);
        goes_left[f->n_values] = split->missing_left;
        return;
    }
    for (int32_t v = 0; v < n; v++)
        goes_left[v] = qn__split_goes_left(split, f, f->lane < 0 ? v : qn__lane_bin(f, v));
}

/* Bit i of byte k: byte 8 k + i, which is 0 or 1, of the first QN__LANE_CELLS. */
static void pack_bits(const uint8_t *bytes, uint8_t *bits) {
    for (int k = 0; k < QN__LANE_CELLS / 8; k++) {
        uint64_t eight;
        memcpy(&eight, bytes + 8 * k, sizeof eight);
        bits[k] = (uint8_t)(eight * 0x0102040810204080u >> 56);
    }
}

qn__lane_sides qn__sides_of(const qn__bin_map *map, const qn__bins *bins, const qn__split *split,
                            uint8_t *goes_left) {
    const qn__bin_feature *f = &map->features[split->feature];
    fill_table(map, f, split, goes_left);
    if (f->lane < 0)
        return (qn__lane_sides){.goes_left = goes_left};
    size_t at = (size_t)map->lanes[f->lane].at;
    qn__lane_sides lane = {.wide = f->lane >= map->n_narrow, .goes_left = goes_left};
    if (bins->columns) {
        lane.at = bins->columns + at * (size_t)bins->n_rows;
        lane.stride = 1u + lane.wide;
        lane.gathers = true;
    } else {
        lane.at = bins->rows + at;
        lane.stride = (size_t)bins->stride;
        lane.in_word = (int)(at % WORD);
        lane.gathers = bins->n_rows * bins->stride / WORD <= INT32_MAX;
    }
#if defined(__x86_64__) /* of little ends; others look sides up in bytes */
    pack_bits(goes_left, (uint8_t *)lane.left_bits);
#endif
    return lane;
}

static qn__lane_sides sides_of(const qn__partition_input *in, const qn__split *split,
                               uint8_t *goes_left) {
    qn__lane_sides lane = qn__sides_of(in->map, in->bins, split, goes_left);
    if (!in->bins->columns || in->n < in->bins->n_rows / SCATTERED)
        lane.ahead = AHEAD;
    return lane;
}

static void find_sides(const qn__partition_input *in, const qn__bin_feature *f,
                       const qn__lane_sides *lane, const block *from, uint16_t *goes_left) {
    if (f->lane < 0) {
        find_sides_sparse(in, f, lane, from, goes_left);
        return;
    }
#if defined(__x86_64__)
    if (gathers(in, lane)) {
        find_sides_avx512(lane, from, goes_left);
        return;
    }
#endif
    find_sides_plain(lane, from, 0, goes_left);
}

QN__WIDE static int64_t count_lefts(const uint16_t *goes_left, int64_t n) {
    int64_t n_left = 0;
    for (int64_t i = 0; i < (n + TOGETHER - 1) / TOGETHER; i++)
        n_left += __builtin_popcount(goes_left[i]);
    return n_left;
}

/* ---- the two sides --------------------------------------------------------------------------- */

/* Where the rows go, how many are there already, and for how many there is room. */
typedef struct sides {
    qn__row_list left, right;
    int64_t n_left, n_right;
    int64_t room_left, room_right;
} sides;

static void move_plain(const block *from, int64_t i, const uint16_t *goes_left, sides *to) {
    for (; i < from->n; i++) {
        bool is_left = goes_left[i / TOGETHER] >> i % TOGETHER & 1;
        const qn__row_list *side = is_left ? &to->left : &to->right;
        int64_t at = is_left ? to->n_left++ : to->n_right++;
        side->rows[at] = row_of(from, i);
        if (from->gh)
            side->gh[at] = from->gh[i];
    }
}

#if defined(__x86_64__)
/* As qn__pack_eight, sixteen rows at a time. */
__attribute__((target("avx512f"), always_inline)) static inline void
pack_sixteen(void *words, int64_t at, int64_t room, __mmask16 chosen, __m512i word) {
    uint32_t *to = (uint32_t *)words + at;
    word = _mm512_maskz_compress_epi32(chosen, word);
    if (at + TOGETHER <= room)
        _mm512_storeu_si512(to, word);
    else
        _mm512_mask_storeu_epi32(to, (__mmask16)((1u << __builtin_popcount(chosen)) - 1), word);
}

__attribute__((target("avx512f"), always_inline)) static inline void
pack_both(const block *from, int64_t i, bool with_gh, __m512i row, __mmask16 is_left, sides *to) {
    const __mmask16 is_right = _knot_mask16(is_left);
    if (with_gh) {
        __m512i gh = _mm512_loadu_si512(from->gh + i);
        pack_sixteen(to->left.gh, to->n_left, to->room_left, is_left, gh);
        pack_sixteen(to->right.gh, to->n_right, to->room_right, is_right, gh);
    }
    pack_sixteen(to->left.rows, to->n_left, to->room_left, is_left, row);
    pack_sixteen(to->right.rows, to->n_right, to->room_right, is_right, row);
    int n = __builtin_popcount(is_left);
    to->n_left += n;
    to->n_right += TOGETHER - n;
}

__attribute__((target("avx512f"))) static void move_avx512(const block *from,
                                                           const uint16_t *goes_left, sides *ret) {
    sides to = *ret;
    int64_t i = 0;
    for (; i + TOGETHER <= from->n; i += TOGETHER)
        pack_both(from, i, from->gh != NULL, rows_at(from, i), goes_left[i / TOGETHER], &to);
    move_plain(from, i, goes_left, &to);
    *ret = to;
}

/* Sides found and rows moved in one pass. */
__attribute__((target("avx512f"), always_inline)) static inline void
divide_by(const qn__lane_sides *lane, bool by_rows, bool with_gh, const block *from, sides *ret) {
    const __m512i table = table_of(lane);
    sides to = *ret;
    int64_t i = 0, ahead = lane->ahead;
    int64_t asked = from->first < 0 && ahead ? from->n_listed - ahead - TOGETHER : -1;
    for (; i + TOGETHER <= from->n; i += TOGETHER) {
        if (i <= asked)
            ask_for(lane, by_rows ? lane->stride : 1, from->rows + i + ahead);
        __m512i row = rows_at(from, i);
        pack_both(from, i, with_gh, row, lefts_at(lane, by_rows, table, from, i, row), &to);
    }
    uint16_t goes_left = 0;
    block rest = {.rows = from->rows + i, .gh = with_gh ? from->gh + i : NULL, .n = from->n - i,
                  .first = from->first >= 0 ? from->first + i : -1};
    find_sides_plain(lane, &rest, 0, &goes_left);
    move_plain(&rest, 0, &goes_left, &to);
    *ret = to;
}

__attribute__((target("avx512f"))) static void divide_avx512(const qn__lane_sides *lane,
                                                             const block *from, sides *to) {
    if (lane->stride > 1 && !from->gh)
        divide_by(lane, true, false, from, to);
    else if (lane->stride > 1)
        divide_by(lane, true, true, from, to);
    else if (!from->gh)
        divide_by(lane, false, false, from, to);
    else
        divide_by(lane, false, true, from, to);
}

__attribute__((target("avx2,popcnt"))) static void
move_avx2(const block *from, const uint16_t *goes_left, sides *ret) {
    const __m256i count = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const uint8_t *eights = (const uint8_t *)goes_left;
    sides to = *ret;
    int64_t i = 0;
    for (; i + QN__EIGHT <= from->n; i += QN__EIGHT) {
        __m256i row = from->first >= 0
                          ? _mm256_add_epi32(_mm256_set1_epi32((int)(from->first + i)), count)
                          : _mm256_loadu_si256((const void *)(from->rows + i));
        uint32_t is_left = eights[i / QN__EIGHT], is_right = is_left ^ 0xff;
        if (from->gh) {
            __m256i gh = _mm256_loadu_si256((const void *)(from->gh + i));
            qn__pack_eight(to.left.gh, to.n_left, to.room_left, is_left, gh);
            qn__pack_eight(to.right.gh, to.n_right, to.room_right, is_right, gh);
        }
        qn__pack_eight(to.left.rows, to.n_left, to.room_left, is_left, row);
        qn__pack_eight(to.right.rows, to.n_right, to.room_right, is_right, row);
        int n = __builtin_popcount(is_left);
        to.n_left += n;
        to.n_right += QN__EIGHT - n;
    }
    move_plain(from, i, goes_left, &to);
    *ret = to;
}
#endif

static void move_rows(const block *from, qn__vectors most, const uint16_t *goes_left, sides *to) {
#if defined(__x86_64__)
    if (has_avx512(most)) {
        move_avx512(from, goes_left, to);
        return;
    }
    if (qn__has_avx2(most)) {
        move_avx2(from, goes_left, to);
        return;
    }
#endif
    move_plain(from, 0, goes_left, to);
}

/* ---- a node -------------------------------------------------------------------------------- */

static block block_of(const qn__partition_input *in, int64_t first, int64_t size) {
    const int32_t *gh = in->all ? in->all_gh : in->list.gh;
    return (block){.rows = in->list.rows + first, .gh = in->list.gh ? gh + first : NULL,
                   .first = in->all ? first : -1,
                   .n = in->n - first < size ? in->n - first : size, .n_listed = in->n - first};
}

static void divide(const qn__partition_input *in, const qn__bin_feature *f,
                   const qn__lane_sides *lane, sides *to) {
    enum { PIECE = 1 << 10 };
#if defined(__x86_64__)
    if (gathers(in, lane)) {
        block all = block_of(in, 0, in->n);
        divide_avx512(lane, &all, to);
        return;
    }
#endif
    for (int64_t first = 0; first < in->n; first += PIECE) {
        uint16_t goes_left[PIECE / TOGETHER];
        block from = block_of(in, first, PIECE);
        find_sides(in, f, lane, &from, goes_left);
        move_rows(&from, in->most, goes_left, to);
    }
}

static void copy_rows(qn__row_list from, int64_t n, qn__row_list to) {
    memcpy(to.rows, from.rows, (size_t)n * sizeof *to.rows);
    if (to.gh)
        memcpy(to.gh, from.gh, (size_t)n * sizeof *to.gh);
}

/* Where the sides go: n rows that stay in the list, and the others. */
static sides sides_to(bool left_stays, qn__row_list list, int64_t n, qn__row_list others,
                      int64_t n_others) {
    if (left_stays)
        return (sides){.left = list, .room_left = n, .right = others, .room_right = n_others};
    return (sides){.left = others, .room_left = n_others, .right = list, .room_right = n};
}

/* The larger side moves to the front of its own list, where nothing is read any more, not even by a whole
 * vector. The smaller one is put aside meanwhile. */
void qn__partition(const qn__partition_input *in, const qn__split *split, uint8_t *table) {
    const qn__bin_feature *f = &in->map->features[split->feature];
    const int64_t n_left = split->left.n, n_right = in->n - n_left;
    const bool left_stays = n_left >= n_right;
    const int64_t n = left_stays ? n_left : n_right, n_others = in->n - n;
    const qn__row_list behind = qn__rows_from(in->list, n);
    qn__lane_sides lane = sides_of(in, split, table);
    sides to = in->all ? sides_to(left_stays, in->list, n, behind, n_others)
                       : sides_to(left_stays, in->list, in->n, in->spare, n_others);
    divide(in, f, &lane, &to);
    if (!in->all)
        copy_rows(in->spare, n_others, behind);
}

/* First all sides, by block; then it is known where each block's rows go. */
void qn__partition_together(const qn__partition_input *in, const qn__split *split,
                            const qn__partition_scratch *scratch) {
    const qn__bin_feature *f = &in->map->features[split->feature];
    const int64_t size = QN__PARTITION_BLOCK, n_blocks = (in->n + size - 1) / size;
    int64_t *before = scratch->n_left; /* rows on the left before each block */
    uint8_t *table = scratch->goes_left;
    const bool left_first = 2 * split->left.n >= in->n;
    const qn__row_list out = in->all ? in->list : in->spare;
    const qn__row_list left = qn__rows_from(out, left_first ? 0 : in->n - split->left.n);
    const qn__row_list right = qn__rows_from(out, left_first ? split->left.n : 0);
    qn__lane_sides lane = sides_of(in, split, table);
    before[0] = 0;
#pragma omp parallel num_threads(scratch->n_threads)
    {
#pragma omp for schedule(dynamic)
        for (int64_t b = 0; b < n_blocks; b++) {
            block from = block_of(in, b * size, size);
            uint16_t *goes_left = scratch->sides + b * size / TOGETHER;
            find_sides(in, f, &lane, &from, goes_left);
            before[b + 1] = count_lefts(goes_left, from.n);
        }
#pragma omp single
        for (int64_t b = 0; b < n_blocks; b++)
            before[b + 1] += before[b];
#pragma omp for schedule(dynamic)
        for (int64_t b = 0; b < n_blocks; b++) {
            block from = block_of(in, b * size, size);
            int64_t n_left = before[b + 1] - before[b];
            sides to = {.left = qn__rows_from(left, before[b]), .room_left = n_left,
                        .right = qn__rows_from(right, b * size - before[b]),
                        .room_right = from.n - n_left};
            move_rows(&from, in->most, scratch->sides + b * size / TOGETHER, &to);
        }
#pragma omp for schedule(static)
        for (int64_t b = 0; b < (in->all ? 0 : n_blocks); b++) {
            int64_t first = b * size, n = in->n - first < size ? in->n - first : size;
            copy_rows(qn__rows_from(out, first), n, qn__rows_from(in->list, first));
        }
    }
}
