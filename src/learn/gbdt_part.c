/* Dividing the rows of a node between its children. */
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <omp.h>
#include <string.h>

#include "learn/gbdt_int.h"

static inline qn__row_list from_row(qn__row_list list, int64_t first) {
    return (qn__row_list){.rows = list.rows + first, .gh = list.gh + first};
}

/* A block of rows: those of `list`, or (first >= 0) first .. first + n - 1. */
typedef struct block {
    qn__row_list list;
    int64_t first, n;
} block;

static inline uint32_t row_of(const block *from, int64_t i) {
    return from->first >= 0 ? (uint32_t)(from->first + i) : from->list.rows[i];
}

static void copy_rows(qn__row_list to, qn__row_list from, int64_t n) {
    memcpy(to.rows, from.rows, (size_t)n * sizeof *to.rows);
    memcpy(to.gh, from.gh, (size_t)n * sizeof *to.gh);
}

/* ---- one block ----------------------------------------------------------------------------- */

/* Both lists get every row, the index of one moves on: no branch to mispredict. `left` may be the
 * block itself. The bins of a lane lie `stride` bytes apart. */
static inline __attribute__((always_inline)) int64_t
divide_plain(const uint8_t *lane, size_t stride, bool wide, const uint8_t *goes_left,
             const block *from, int64_t i, int64_t n_left, qn__row_list left,
             qn__row_list right) {
    enum { AHEAD = 16 };
    for (; i < from->n; i++) {
        uint32_t row = row_of(from, i);
        int32_t gh = from->list.gh[i];
        if (stride > 2 && i + AHEAD < from->n) /* every row is a miss of its own */
            __builtin_prefetch(lane + row_of(from, i + AHEAD) * stride);
        const void *bin = lane + row * stride;
        int64_t is_left = goes_left[wide ? *(const uint16_t *)bin : *(const uint8_t *)bin];
        int64_t n_right = i - n_left;
        left.rows[n_left] = right.rows[n_right] = row;
        left.gh[n_left] = right.gh[n_right] = gh;
        n_left += is_left;
    }
    return n_left;
}

static int64_t divide_sparse(const qn__partition_input *in, const qn__bin_feature *f,
                             const uint8_t *goes_left, const block *from, qn__row_list left,
                             qn__row_list right) {
    int64_t n_left = 0;
    for (int64_t i = 0; i < from->n; i++) {
        uint32_t row = row_of(from, i);
        int32_t gh = from->list.gh[i];
        bool is_left = goes_left[qn__bins_at(in->map, in->bins, f, row)];
        qn__row_list *to = is_left ? &left : &right;
        int64_t at = is_left ? n_left++ : i - n_left;
        to->rows[at] = row;
        to->gh[at] = gh;
    }
    return n_left;
}

#if defined(__x86_64__)
/* Sixteen rows at a time: their bins gathered, the sides looked up in 256 bits held in a register,
 * both sides packed. Whole vectors are stored: what lies behind the packed rows has been read. */
__attribute__((target("avx512f"))) static int64_t
divide_avx512(const uint8_t *column, const uint8_t *goes_left, const block *from, qn__row_list left,
              qn__row_list right) {
    uint32_t bits[16] = {0};
    for (int v = 0; v < QN__LANE_CELLS; v++)
        bits[v >> 5] |= (uint32_t)goes_left[v] << (v & 31);
    const __m512i table = _mm512_loadu_si512(bits), byte = _mm512_set1_epi32(0xff);
    const __m512i low = _mm512_set1_epi32(31), one = _mm512_set1_epi32(1);
    const __m512i count = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    int64_t n_left = 0, i = 0;
    for (; i + 16 <= from->n; i += 16) {
        __m512i row, bin, gh = _mm512_loadu_si512(from->list.gh + i);
        if (from->first >= 0) {
            row = _mm512_add_epi32(_mm512_set1_epi32((int)(from->first + i)), count);
            bin = _mm512_cvtepu8_epi32(
                _mm_loadu_si128((const __m128i *)(const void *)(column + from->first + i)));
        } else {
            row = _mm512_loadu_si512(from->list.rows + i);
            bin = _mm512_and_si512(_mm512_i32gather_epi32(row, column, 1), byte);
        }
        __m512i word = _mm512_permutexvar_epi32(_mm512_srli_epi32(bin, 5), table);
        __m512i bit = _mm512_srlv_epi32(word, _mm512_and_si512(bin, low));
        __mmask16 is_left = _mm512_test_epi32_mask(bit, one), is_right = _knot_mask16(is_left);
        int64_t n_right = i - n_left;
        _mm512_storeu_si512(left.rows + n_left, _mm512_maskz_compress_epi32(is_left, row));
        _mm512_storeu_si512(left.gh + n_left, _mm512_maskz_compress_epi32(is_left, gh));
        _mm512_storeu_si512(right.rows + n_right, _mm512_maskz_compress_epi32(is_right, row));
        _mm512_storeu_si512(right.gh + n_right, _mm512_maskz_compress_epi32(is_right, gh));
        n_left += __builtin_popcount(is_left);
    }
    return divide_plain(column, 1, false, goes_left, from, i, n_left, left, right);
}
#endif

static int64_t divide(const qn__partition_input *in, const qn__bin_feature *f,
                      const uint8_t *goes_left, block from, qn__row_list left,
                      qn__row_list right) {
    if (f->lane < 0)
        return divide_sparse(in, f, goes_left, &from, left, right);
    size_t at = (size_t)in->map->lanes[f->lane].at, stride = (size_t)in->bins->stride;
    bool wide = f->lane >= in->map->n_narrow;
    if (!in->bins->columns)
        return divide_plain(in->bins->rows + at, stride, wide, goes_left, &from, 0, 0, left, right);
    const uint8_t *column = in->bins->columns + at * (size_t)in->bins->n_rows;
    if (wide)
        return divide_plain(column, 2, true, goes_left, &from, 0, 0, left, right);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return divide_avx512(column, goes_left, &from, left, right);
#endif
    return divide_plain(column, 1, false, goes_left, &from, 0, 0, left, right);
}

/* ---- a node -------------------------------------------------------------------------------- */

/* By value of the lane, or by bin of a sparse feature. */
static void fill_table(const qn__bin_map *map, const qn__bin_feature *f, const qn__split *split,
                       uint8_t *goes_left) {
    int32_t n = f->lane < 0 ? f->n_cells : map->lanes[f->lane].n_values;
    memset(goes_left, 0, QN__LANE_CELLS);
    for (int32_t v = 0; v < n; v++)
        goes_left[v] = qn__split_goes_left(split, f, f->lane < 0 ? v : qn__lane_bin(f, v));
}

int64_t qn__partition(const qn__partition_input *in, const qn__split *split, uint8_t *goes_left) {
    const qn__bin_feature *f = &in->map->features[split->feature];
    fill_table(in->map, f, split, goes_left);
    block all = {.list = in->list, .first = in->all ? 0 : -1, .n = in->n};
    int64_t n_left = divide(in, f, goes_left, all, in->list, in->spare);
    copy_rows(from_row(in->list, n_left), in->spare, in->n - n_left);
    return n_left;
}

/* Blocks are divided into the spare list, each in its place; once all counts are known they move to
 * where they belong. */
int64_t qn__partition_together(const qn__partition_input *in, const qn__split *split,
                               const qn__partition_scratch *scratch) {
    const qn__bin_feature *f = &in->map->features[split->feature];
    const int64_t size = QN__PARTITION_BLOCK, n_blocks = (in->n + size - 1) / size;
    int64_t *before = scratch->n_left; /* rows on the left before each block */
    fill_table(in->map, f, split, scratch->goes_left);
    before[0] = 0;
#pragma omp parallel num_threads(scratch->n_threads)
    {
        qn__row_list right = from_row(scratch->blocks, omp_get_thread_num() * size);
#pragma omp for schedule(dynamic)
        for (int64_t b = 0; b < n_blocks; b++) {
            int64_t n = in->n - b * size < size ? in->n - b * size : size;
            qn__row_list out = from_row(in->spare, b * size);
            block from = {.list = from_row(in->list, b * size), .first = in->all ? b * size : -1,
                          .n = n};
            int64_t n_left = divide(in, f, scratch->goes_left, from, out, right);
            copy_rows(from_row(out, n_left), right, n - n_left);
            before[b + 1] = n_left;
        }
#pragma omp single
        for (int64_t b = 0; b < n_blocks; b++)
            before[b + 1] += before[b];
#pragma omp for schedule(dynamic)
        for (int64_t b = 0; b < n_blocks; b++) {
            int64_t n = in->n - b * size < size ? in->n - b * size : size;
            int64_t n_left = before[b + 1] - before[b];
            int64_t to_right = before[n_blocks] + b * size - before[b];
            qn__row_list out = from_row(in->spare, b * size);
            copy_rows(from_row(in->list, before[b]), out, n_left);
            copy_rows(from_row(in->list, to_right), from_row(out, n_left), n - n_left);
        }
    }
    return before[n_blocks];
}
