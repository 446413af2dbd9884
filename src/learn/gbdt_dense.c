/* Leaves of many rows as sets, one bit a row of the table. They are divided 64 rows at a time, whose bins
 * are read one after the other; of a list each is found by a number that is read and written. */
#include <omp.h>

#include "learn/gbdt_part_int.h"

enum { WORD = 64, BLOCK_WORDS = QN__PARTITION_BLOCK / WORD };

/* Words first .. first + n - 1 of the sets. */
typedef struct span {
    int64_t first, n;
} span;

static int64_t words_of(int64_t n_rows) {
    return (n_rows + WORD - 1) / WORD;
}

size_t qn__dense_words(int64_t n_rows) {
    return (size_t)words_of(n_rows);
}

static int64_t blocks_of(int64_t n_rows) {
    return (words_of(n_rows) + BLOCK_WORDS - 1) / BLOCK_WORDS;
}

static span span_of(int64_t n_rows, int64_t block) {
    int64_t first = block * BLOCK_WORDS, left = words_of(n_rows) - first;
    return (span){.first = first, .n = left < BLOCK_WORDS ? left : BLOCK_WORDS};
}

/* Bits of the rows of word w that there are. */
static inline uint64_t all_of(int64_t n_rows, int64_t w) {
    int64_t left = n_rows - w * WORD;
    return left >= WORD ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1;
}

/* ---- which side ------------------------------------------------------------------------------ */

/* Those of the rows in word w of the leaf that go left. */
static uint64_t lefts_one_by_one(const qn__dense_input *in, const qn__bin_feature *f,
                                 const qn__lane_sides *lane, int64_t w, uint64_t rows) {
    uint64_t lefts = 0;
    for (uint64_t rest = rows; rest; rest &= rest - 1) {
        int64_t row = w * WORD + __builtin_ctzll(rest);
        const void *bin = lane->at + (size_t)row * lane->stride;
        int32_t value = f->lane < 0  ? qn__bins_at(in->map, in->bins, f, row)
                        : lane->wide ? *(const uint16_t *)bin
                                     : *(const uint8_t *)bin;
        lefts |= (rest & -rest) & -(uint64_t)lane->goes_left[value];
    }
    return lefts;
}

static void find_lefts_plain(const qn__dense_input *in, const qn__bin_feature *f,
                             const qn__lane_sides *lane, span s, uint64_t *lefts) {
    for (int64_t i = 0; i < s.n; i++) {
        int64_t w = s.first + i;
        uint64_t rows = in->rows ? in->rows[w] : all_of(in->bins->n_rows, w);
        lefts[i] = lefts_one_by_one(in, f, lane, w, rows);
    }
}

#if defined(__x86_64__)
/* The sides of 32 bins that lie side by side: byte bin / 8 of the 32 of the table, out of one half and
 * the other, the highest bit of the bin telling which, and bit bin % 8 of it. */
__attribute__((target("avx2"), always_inline)) static inline uint32_t
lefts_of_32(const uint8_t *bins, __m256i low, __m256i high) {
    const __m256i bits = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    __m256i bin = _mm256_loadu_si256((const void *)bins);
    __m256i byte = _mm256_and_si256(_mm256_srli_epi16(bin, 3), _mm256_set1_epi8(0x0f));
    __m256i bit = _mm256_shuffle_epi8(bits, _mm256_and_si256(bin, _mm256_set1_epi8(7)));
    byte = _mm256_blendv_epi8(_mm256_shuffle_epi8(low, byte), _mm256_shuffle_epi8(high, byte), bin);
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_and_si256(byte, bit), bit));
}

/* Of 64 rows. Out of bins by rows they are put side by side first; `stride` is a constant after inlining,
 * where it can be. */
__attribute__((target("avx2"), always_inline)) static inline uint64_t
lefts_of_64(const uint8_t *at, size_t stride, __m256i low, __m256i high) {
    uint8_t own[WORD];
#pragma GCC unroll 16
    for (int j = 0; stride > 1 && j < WORD; j++)
        own[j] = at[(size_t)j * stride];
    at = stride > 1 ? own : at;
    return lefts_of_32(at, low, high) | (uint64_t)lefts_of_32(at + WORD / 2, low, high) << WORD / 2;
}

__attribute__((target("avx2"))) static void
find_lefts_avx2(const qn__dense_input *in, const qn__bin_feature *f, const qn__lane_sides *lane,
                span s, uint64_t *lefts) {
    const __m128i *table = (const void *)lane->left_bits;
    const __m256i low = _mm256_broadcastsi128_si256(_mm_loadu_si128(table));
    const __m256i high = _mm256_broadcastsi128_si256(_mm_loadu_si128(table + 1));
    int64_t n_whole = in->bins->n_rows / WORD - s.first, i = 0;
    for (; i < s.n && i < n_whole; i++) {
        const uint8_t *at = lane->at + (size_t)((s.first + i) * WORD) * lane->stride;
        uint64_t sides = lane->stride == 1 ? lefts_of_64(at, 1, low, high)
                                           : lefts_of_64(at, lane->stride, low, high);
        lefts[i] = in->rows ? sides & in->rows[s.first + i] : sides;
    }
    find_lefts_plain(in, f, lane, (span){.first = s.first + i, .n = s.n - i}, lefts + i);
}
#endif

static void find_lefts(const qn__dense_input *in, const qn__bin_feature *f,
                       const qn__lane_sides *lane, span s, uint64_t *lefts) {
#if defined(__x86_64__)
    if (f->lane >= 0 && !lane->wide && qn__has_avx2(in->most)) {
        find_lefts_avx2(in, f, lane, s, lefts);
        return;
    }
#endif
    find_lefts_plain(in, f, lane, s, lefts);
}

/* ---- from sets to lists ------------------------------------------------------------------------ */

/* A list that rows are put into, how many are there already, and for how many there is room. */
typedef struct tail {
    qn__row_list list;
    int64_t n, room;
} tail;

QN__WIDE static int64_t count_set(const uint64_t *rows, int64_t n) {
    int64_t count = 0;
    for (int64_t w = 0; w < n; w++)
        count += __builtin_popcountll(rows[w]);
    return count;
}

/* Rows of the leaf in a span. */
static int64_t count_rows(const qn__dense_input *in, span s) {
    const int64_t most = s.n * WORD, left = in->bins->n_rows - s.first * WORD;
    if (in->rows)
        return count_set(in->rows + s.first, s.n);
    return left < most ? left : most;
}

static inline void list_word(uint64_t rows, int64_t first, const int32_t *gh, tail *to) {
    for (; rows; rows &= rows - 1) {
        int64_t row = first + __builtin_ctzll(rows);
        if (to->list.gh)
            to->list.gh[to->n] = gh[row];
        to->list.rows[to->n++] = (uint32_t)row;
    }
}

static void list_plain(const uint64_t *rows, span s, const int32_t *gh, tail *to) {
    for (int64_t i = 0; i < s.n; i++)
        list_word(rows[i], (s.first + i) * WORD, gh, to);
}

#if defined(__x86_64__)
enum { FEW = 14 }; /* rows of a word that are taken one by one */

__attribute__((target("avx2,popcnt,bmi"))) static void
list_avx2(const uint64_t *rows, span s, const int32_t *gh, tail *ret) {
    const __m256i count = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    tail to = *ret;
    for (int64_t i = 0; i < s.n; i++) {
        int64_t first = (s.first + i) * WORD;
        uint64_t word = rows[i];
        if (__builtin_popcountll(word) <= FEW) {
            list_word(word, first, gh, &to);
            continue;
        }
        for (; word; word >>= QN__EIGHT, first += QN__EIGHT) {
            uint32_t chosen = word & 0xff;
            __m256i row = _mm256_add_epi32(_mm256_set1_epi32((int)first), count);
            if (to.list.gh) {
                __m256i of_row = _mm256_loadu_si256((const void *)(gh + first));
                qn__pack_eight(to.list.gh, to.n, to.room, chosen, of_row);
            }
            qn__pack_eight(to.list.rows, to.n, to.room, chosen, row);
            to.n += __builtin_popcount(chosen);
        }
    }
    *ret = to;
}
#endif

/* rows: the words of the span. gh: of all n_rows, for a list with gradients. */
static void list_rows(const uint64_t *rows, span s, const int32_t *gh, int64_t n_rows,
                      qn__vectors most, tail *to) {
    /* Vectors of gradients must not reach behind the last row. */
    int64_t n_whole = n_rows / WORD - s.first;
    span whole = {.first = s.first, .n = s.n < n_whole ? s.n : n_whole};
#if defined(__x86_64__)
    if (qn__has_avx2(most))
        list_avx2(rows, whole, gh, to);
    else
        list_plain(rows, whole, gh, to);
#else
    (void)most;
    list_plain(rows, whole, gh, to);
#endif
    list_plain(rows + whole.n, (span){.first = s.first + whole.n, .n = s.n - whole.n}, gh, to);
}

/* ---- what is done to all rows of a set ----------------------------------------------------------- */

QN__WIDE static void add_to_rows(const uint64_t *rows, int64_t first, int64_t end, double value,
                                 double *restrict numbers) {
    for (; first < end; first += WORD) {
        uint64_t word = rows[first / WORD];
        if (first + WORD <= end && __builtin_popcountll(word) > WORD / 4) {
            for (int j = 0; j < WORD; j++)
                numbers[first + j] += word >> j & 1 ? value : 0;
            continue;
        }
        for (; word; word &= word - 1)
            numbers[first + __builtin_ctzll(word)] += value;
    }
}

void qn__dense_add(const uint64_t *rows, int64_t first, int64_t end, double value,
                   double *numbers) {
    add_to_rows(rows, first, end, value, numbers);
}

/* ---- a leaf ---------------------------------------------------------------------------------- */

/* What a child gets of a span: the bits of the leaf's rows whose side is the child's. */
static void fill_child(const qn__dense_input *in, const qn__dense_child *child, bool is_left,
                       span s, const uint64_t *lefts, tail *to) {
    uint64_t own[BLOCK_WORDS];
    uint64_t *rows = child->set ? child->set + s.first : own;
    if (!child->set && !child->list.rows)
        return;
    for (int64_t i = 0; i < s.n; i++) {
        uint64_t all = in->rows ? in->rows[s.first + i] : all_of(in->bins->n_rows, s.first + i);
        rows[i] = is_left ? lefts[i] : all & ~lefts[i];
    }
    if (child->list.rows)
        list_rows(rows, s, in->gh, in->bins->n_rows, in->most, to);
}

static tail tail_of(const qn__dense_child *child, int64_t at, int64_t n) {
    tail to = {.room = n};
    if (child->list.rows)
        to.list = qn__rows_from(child->list, at);
    return to;
}

void qn__dense_divide(const qn__dense_input *in, const qn__split *split, uint8_t *goes_left) {
    const qn__bin_feature *f = &in->map->features[split->feature];
    const int64_t n_blocks = blocks_of(in->bins->n_rows);
    qn__lane_sides lane = qn__sides_of(in->map, in->bins, split, goes_left);
    tail left = tail_of(&in->left, 0, split->left.n);
    tail right = tail_of(&in->right, 0, in->n - split->left.n);
    for (int64_t b = 0; b < n_blocks; b++) {
        uint64_t lefts[BLOCK_WORDS];
        span s = span_of(in->bins->n_rows, b);
        find_lefts(in, f, &lane, s, lefts);
        fill_child(in, &in->left, true, s, lefts, &left);
        fill_child(in, &in->right, false, s, lefts, &right);
    }
}

/* First all sides, by block; then it is known where each block's rows go. */
void qn__dense_divide_together(const qn__dense_input *in, const qn__split *split,
                               const qn__partition_scratch *scratch) {
    const qn__bin_feature *f = &in->map->features[split->feature];
    const int64_t n_rows = in->bins->n_rows, n_blocks = blocks_of(n_rows);
    int64_t *n_left = scratch->n_left, *n_right = scratch->n_right; /* before each block */
    uint64_t *sides = (uint64_t *)(void *)scratch->sides;
    qn__lane_sides lane = qn__sides_of(in->map, in->bins, split, scratch->goes_left);
    n_left[0] = n_right[0] = 0;
#pragma omp parallel num_threads(scratch->n_threads)
    {
#pragma omp for schedule(static)
        for (int64_t b = 0; b < n_blocks; b++) {
            span s = span_of(n_rows, b);
            find_lefts(in, f, &lane, s, sides + s.first);
            n_left[b + 1] = count_set(sides + s.first, s.n);
            n_right[b + 1] = count_rows(in, s) - n_left[b + 1];
        }
#pragma omp single
        for (int64_t b = 0; b < n_blocks; b++) {
            n_left[b + 1] += n_left[b];
            n_right[b + 1] += n_right[b];
        }
#pragma omp for schedule(static)
        for (int64_t b = 0; b < n_blocks; b++) {
            span s = span_of(n_rows, b);
            tail left = tail_of(&in->left, n_left[b], n_left[b + 1] - n_left[b]);
            tail right = tail_of(&in->right, n_right[b], n_right[b + 1] - n_right[b]);
            fill_child(in, &in->left, true, s, sides + s.first, &left);
            fill_child(in, &in->right, false, s, sides + s.first, &right);
        }
    }
}

void qn__dense_list(const uint64_t *rows, int64_t n_rows, int64_t n, const int32_t *gh,
                    qn__vectors most, qn__row_list list) {
    tail to = {.list = list, .room = n};
    list_rows(rows, (span){.n = words_of(n_rows)}, gh, n_rows, most, &to);
}
