/* Dividing the rows of a node between its children. */
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <omp.h>
#include <string.h>

#include "learn/gbdt_int.h"

enum { PREFETCH_AHEAD = 32 };

static inline qn__row_list from_row(qn__row_list list, int64_t first) {
    return (qn__row_list){.rows = list.rows + first, .gh = list.gh + first};
}

static void copy_rows(qn__row_list to, qn__row_list from, int64_t n) {
    memcpy(to.rows, from.rows, (size_t)n * sizeof *to.rows);
    memcpy(to.gh, from.gh, (size_t)n * sizeof *to.gh);
}

/* ---- one block ----------------------------------------------------------------------------- */

/* Both lists get every row, the index of one moves on: no branch to mispredict. `left` may be
 * `from` itself. */
static int64_t divide_narrow(const uint8_t *column, const uint8_t *goes_left, qn__row_list from,
                             int64_t n, qn__row_list left, qn__row_list right) {
    int64_t n_left = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i + PREFETCH_AHEAD < n)
            __builtin_prefetch(column + from.rows[i + PREFETCH_AHEAD]);
        uint32_t row = from.rows[i];
        int32_t gh = from.gh[i];
        int64_t is_left = goes_left[column[row]], n_right = i - n_left;
        left.rows[n_left] = right.rows[n_right] = row;
        left.gh[n_left] = right.gh[n_right] = gh;
        n_left += is_left;
    }
    return n_left;
}

#if defined(__x86_64__)
/* Sixteen rows at a time: their bins gathered, the sides looked up in 256 bits held in a register,
 * both sides packed. Whole vectors are stored: what lies behind the packed rows has been read. */
__attribute__((target("avx512f"))) static int64_t
divide_avx512(const uint8_t *column, const uint8_t *goes_left, qn__row_list from, int64_t n,
              qn__row_list left, qn__row_list right) {
    uint32_t bits[16] = {0};
    for (int v = 0; v < QN__LANE_CELLS; v++)
        bits[v >> 5] |= (uint32_t)goes_left[v] << (v & 31);
    const __m512i table = _mm512_loadu_si512(bits), byte = _mm512_set1_epi32(0xff);
    const __m512i low = _mm512_set1_epi32(31), one = _mm512_set1_epi32(1);
    int64_t n_left = 0, i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512i row = _mm512_loadu_si512(from.rows + i), gh = _mm512_loadu_si512(from.gh + i);
        __m512i bin = _mm512_and_si512(_mm512_i32gather_epi32(row, column, 1), byte);
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
    int64_t n_right = i - n_left;
    return n_left + divide_narrow(column, goes_left, from_row(from, i), n - i,
                                  from_row(left, n_left), from_row(right, n_right));
}

static bool has_avx512(void) {
    return __builtin_cpu_supports("avx512f");
}
#else
static int64_t divide_avx512(const uint8_t *column, const uint8_t *goes_left, qn__row_list from,
                             int64_t n, qn__row_list left, qn__row_list right) {
    return divide_narrow(column, goes_left, from, n, left, right);
}

static bool has_avx512(void) {
    return false;
}
#endif

static int64_t divide_wide(const uint16_t *column, const uint8_t *goes_left, qn__row_list from,
                           int64_t n, qn__row_list left, qn__row_list right) {
    int64_t n_left = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t row = from.rows[i];
        int32_t gh = from.gh[i];
        int64_t is_left = goes_left[column[row]], n_right = i - n_left;
        left.rows[n_left] = right.rows[n_right] = row;
        left.gh[n_left] = right.gh[n_right] = gh;
        n_left += is_left;
    }
    return n_left;
}

static int64_t divide_sparse(const qn__partition_input *in, const qn__bin_feature *f,
                             const uint8_t *goes_left, qn__row_list from, int64_t n,
                             qn__row_list left, qn__row_list right) {
    int64_t n_left = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t row = from.rows[i];
        int32_t gh = from.gh[i];
        qn__row_list *to = goes_left[qn__bins_at(in->map, in->bins, f, row)] ? &left : &right;
        int64_t at = to == &left ? n_left++ : i - n_left;
        to->rows[at] = row;
        to->gh[at] = gh;
    }
    return n_left;
}

static int64_t divide(const qn__partition_input *in, const qn__bin_feature *f,
                      const uint8_t *goes_left, qn__row_list from, int64_t n, qn__row_list left,
                      qn__row_list right) {
    if (f->lane < 0)
        return divide_sparse(in, f, goes_left, from, n, left, right);
    size_t at = (size_t)f->lane * (size_t)in->bins->column_stride;
    if (in->map->wide)
        return divide_wide((const uint16_t *)in->bins->columns + at, goes_left, from, n, left,
                           right);
    const uint8_t *column = (const uint8_t *)in->bins->columns + at;
    return has_avx512() ? divide_avx512(column, goes_left, from, n, left, right)
                        : divide_narrow(column, goes_left, from, n, left, right);
}

/* ---- a node -------------------------------------------------------------------------------- */

/* By value of the lane, or by bin of a sparse feature. */
static void fill_table(const qn__bin_map *map, const qn__bin_feature *f, const qn__split *split,
                       uint8_t *goes_left) {
    int32_t n = f->lane < 0 ? f->n_cells : map->lanes[f->lane].n_values;
    memset(goes_left, 0, QN__LANE_CELLS);
    for (int32_t v = 0; v < n; v++)
        goes_left[v] = qn__split_goes_left(split, f, f->lane < 0 ? v : qn__lane_bin(map, f, v));
}

int64_t qn__partition(const qn__partition_input *in, const qn__split *split, uint8_t *goes_left) {
    const qn__bin_feature *f = &in->map->features[split->feature];
    fill_table(in->map, f, split, goes_left);
    int64_t n_left = divide(in, f, goes_left, in->list, in->n, in->list, in->spare);
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
            int64_t n_left = divide(in, f, scratch->goes_left, from_row(in->list, b * size), n,
                                    out, right);
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
