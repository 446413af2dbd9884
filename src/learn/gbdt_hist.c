#include <omp.h>
#include <string.h>

#include "learn/gbdt_int.h"

enum {
    CHUNK = 1 << 11,     /* rows that all groups count before the next ones: they stay in cache, and
                            even the largest of them fit packed cells */
    SMALL_CHUNK = 1 << 13, /* of small gradients: at most half of QN__HALF_ROWS in a cell of an even lane, */
    WORTH_HALF = 1 << 10,  /* and with fewer rows at the end of a larger leaf emptying half cells costs more
                              than they save */
    AHEAD = 40,
    AHEAD_WIDE = 24,     /* cells of lanes of two bytes would put out what was asked for long before */
    TASK_ROWS = 1 << 14, /* what a thread takes at a time */
};

qn_status qn__hist_scratch_init(qn__hist_scratch *scratch, const qn__bin_map *map, bool wide,
                                int n_threads, qn_error *err) {
    scratch->n_threads = n_threads;
    scratch->n_cells = map->lane_cells + map->n_cells - map->dense_cells;
    scratch->block = qn_new_array(int64_t *, n_threads);
    scratch->half = map->n_half ? qn_new_array(uint32_t *, n_threads) : NULL;
    scratch->in_half = qn_new_array(bool, n_threads);
    scratch->part = qn_new_array(qn__wide_sum *, n_threads);
    scratch->waiting = qn_new_array(qn__load, n_threads);
    if (!scratch->block || (map->n_half && !scratch->half) || !scratch->in_half || !scratch->part
        || !scratch->waiting)
        return qn_error_memory(err);
    for (int t = 0; t < n_threads; t++) {
        scratch->block[t] = qn_calloc_aligned((size_t)scratch->n_cells, sizeof(int64_t));
        if (wide)
            scratch->part[t] = qn_calloc_aligned((size_t)scratch->n_cells, sizeof(qn__wide_sum));
        if (scratch->half)
            scratch->half[t] = qn_calloc_aligned((size_t)map->n_half * QN__LANE_PITCH,
                                                 sizeof(uint32_t));
        if (!scratch->block[t] || (wide && !scratch->part[t])
            || (scratch->half && !scratch->half[t]))
            return qn_error_memory(err);
    }
    return QN_OK;
}

void qn__hist_scratch_done(qn__hist_scratch *scratch) {
    for (int t = 0; t < scratch->n_threads; t++) {
        if (scratch->block)
            qn_freep(&scratch->block[t]);
        if (scratch->part)
            qn_freep(&scratch->part[t]);
        if (scratch->half)
            qn_freep(&scratch->half[t]);
    }
    qn_freep(&scratch->block);
    qn_freep(&scratch->half);
    qn_freep(&scratch->in_half);
    qn_freep(&scratch->part);
    qn_freep(&scratch->waiting);
    *scratch = (qn__hist_scratch){0};
}

/* ---- counting ------------------------------------------------------------------------------ */

static inline int64_t spread(int32_t gh) {
    return qn__pack(qn__row_sum(gh));
}

/* Rows are scattered over memory: each is asked for AHEAD rows before its turn. Those of up to 64
 * bytes lie on one cache line. */
static inline void ask_for(const void *lanes, size_t bytes, bool straddles) {
    __builtin_prefetch(lanes);
    if (straddles)
        __builtin_prefetch((const char *)lanes + bytes - 1);
}

/* What a row adds to a half cell. */
static inline uint32_t half_word(int32_t gh) {
    return ((uint32_t)(gh >> 16) << QN__HALF_G_SHIFT)
           + ((uint32_t)(uint16_t)gh << QN__HALF_N_BITS) + 1;
}

/* What the inner loop counts: `n_eights` times 8 and some more adjacent lanes of the rows from
 * bins + i * stride on; rows NULL: i, else rows[i]. */
typedef struct some_rows {
    const uint8_t *bins;
    size_t stride;
    int n_eights;
    const uint32_t *rows;
    qn__gradients gh;
    const int32_t *listed_gh; /* NULL: gradients are found as rows are */
} some_rows;

static inline size_t row_at(const some_rows *in, int64_t i) {
    return in->rows ? in->rows[i] : (size_t)i;
}

static inline int32_t gradient_at(const some_rows *in, int64_t i, size_t row) {
    return in->listed_gh ? in->listed_gh[i] : qn__gradient_of(in->gh, row);
}

/* The inner loop of training, over rows i .. n - 1: each lane of a row adds the row's word to one of
 * its cells, packed ones or (in_half) half cells. All flags and `rest` are constants after
 * inlining, and so are the distances of the cells. */
static inline __attribute__((always_inline)) void
add_some(const some_rows *in, int64_t i, int64_t n, bool listed, bool by_row, int64_t ahead,
         bool eights, int rest, bool in_half, int64_t *restrict packed, uint32_t *restrict half) {
    const uint8_t *bins = in->bins;
    const uint32_t *rows = in->rows;
    size_t stride = in->stride;
    for (; i < n; i++) {
        if (listed && ahead)
            ask_for(bins + rows[i + ahead] * stride, (size_t)(8 * in->n_eights + rest),
                    stride > 64);
        size_t row = listed ? rows[i] : (size_t)i;
        const uint8_t *at = bins + row * stride;
        int32_t gh = by_row ? qn__gradient_of(in->gh, row) : in->listed_gh[i];
        int64_t word = in_half ? half_word(gh) : spread(gh);
        int64_t *to = packed;
        uint32_t *to_half = half;
        for (int e = eights ? in->n_eights : 0; e > 0; e--, at += 8) {
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++)
                if (in_half)
                    to_half[j * QN__LANE_PITCH + at[j]] += (uint32_t)word;
                else
                    to[j * QN__LANE_PITCH + at[j]] += word;
            if (in_half)
                to_half += 8 * QN__LANE_PITCH;
            else
                to += 8 * QN__LANE_PITCH;
        }
#pragma GCC unroll 8
        for (int j = 0; j < rest; j++)
            if (in_half)
                to_half[j * QN__LANE_PITCH + at[j]] += (uint32_t)word;
            else
                to[j * QN__LANE_PITCH + at[j]] += word;
    }
}

static inline __attribute__((always_inline)) void
add_lanes(const some_rows *in, int64_t n, int rest, bool by_row, bool in_half, int64_t *packed,
          uint32_t *half) {
    int64_t early = n > AHEAD ? n - AHEAD : 0; /* what lies behind the list is not asked for */
    if (!in->rows) {
        add_some(in, 0, n, false, by_row, 0, true, rest, in_half, packed, half);
    } else if (in->n_eights == 0) {
        add_some(in, 0, early, true, by_row, AHEAD, false, rest, in_half, packed, half);
        add_some(in, early, n, true, by_row, 0, false, rest, in_half, packed, half);
    } else {
        add_some(in, 0, early, true, by_row, AHEAD, true, rest, in_half, packed, half);
        add_some(in, early, n, true, by_row, 0, true, rest, in_half, packed, half);
    }
}

static inline __attribute__((always_inline)) void
add_by_rest(const some_rows *in, int64_t n, int rest, bool by_row, bool in_half, int64_t *packed,
            uint32_t *half) {
    switch (rest) {
    case 0: add_lanes(in, n, 0, by_row, in_half, packed, half); break;
    case 1: add_lanes(in, n, 1, by_row, in_half, packed, half); break;
    case 2: add_lanes(in, n, 2, by_row, in_half, packed, half); break;
    case 3: add_lanes(in, n, 3, by_row, in_half, packed, half); break;
    case 4: add_lanes(in, n, 4, by_row, in_half, packed, half); break;
    case 5: add_lanes(in, n, 5, by_row, in_half, packed, half); break;
    case 6: add_lanes(in, n, 6, by_row, in_half, packed, half); break;
    default: add_lanes(in, n, 7, by_row, in_half, packed, half); break;
    }
}

static void add_packed(const some_rows *in, int64_t n, int rest, int64_t *to) {
    if (in->listed_gh)
        add_by_rest(in, n, rest, false, false, to, NULL);
    else
        add_by_rest(in, n, rest, true, false, to, NULL);
}

static void add_half(const some_rows *in, int64_t n, int rest, uint32_t *to) {
    if (in->listed_gh)
        add_by_rest(in, n, rest, false, true, NULL, to);
    else
        add_by_rest(in, n, rest, true, true, NULL, to);
}

/* Rows in the half cells of a lane, unless one of them overflowed. */
QN__WIDE static int64_t rows_in_half(const uint32_t *half) {
    uint32_t n = 0;
    for (int c = 0; c < QN__LANE_PITCH; c++)
        n += half[c] & QN__HALF_ROWS;
    return n;
}

/* The same sums as a packed cell. */
static inline int64_t packed_of(uint32_t half) {
    const uint32_t h_mask = ((1u << QN__HALF_G_SHIFT) - 1) & ~(uint32_t)QN__HALF_ROWS;
    int64_t g = (int32_t)half >> QN__HALF_G_SHIFT;
    uint32_t hn = ((half & h_mask) << (QN__N_BITS - QN__HALF_N_BITS)) | (half & QN__HALF_ROWS);
    return g * ((int64_t)1 << QN__G_SHIFT) + hn;
}

QN__WIDE static void empty_half(uint32_t *restrict half, int64_t *restrict block) {
    for (int c = 0; c < QN__LANE_PITCH; c++) {
        block[c] += packed_of(half[c]);
        half[c] = 0;
    }
}

static void add_wide(const qn__bin_map *map, const some_rows *in, int32_t lane, int width,
                     int64_t n, int64_t *block) {
    const uint8_t *bin = in->bins + map->lanes[lane].at;
    int64_t *cells[QN__GROUP];
    for (int j = 0; j < width; j++)
        cells[j] = block + map->lanes[lane + j].cell;
    for (int64_t i = 0; i < n; i++) {
        if (in->rows && i + AHEAD_WIDE < n)
            ask_for(bin + in->rows[i + AHEAD_WIDE] * in->stride, (size_t)width * 2,
                    in->stride > 64);
        size_t row = row_at(in, i);
        const uint16_t *at = (const void *)(bin + row * in->stride);
        int64_t word = spread(gradient_at(in, i, row));
        for (int j = 0; j < width; j++)
            cells[j][at[j]] += word;
    }
}

static void add_sparse(const qn__bins *bins, const some_rows *in, int64_t first, int64_t n,
                       int64_t *cells) {
    for (int64_t i = 0; i < n; i++) {
        size_t row = row_at(in, i), at = in->rows ? row : (size_t)first + row;
        int64_t word = spread(gradient_at(in, i, row));
        for (int64_t k = bins->start[at]; k < bins->start[at + 1]; k++)
            cells[bins->entry[k]] += word;
    }
}

/* Rows from `from` on as they are counted, all lanes of them. listed: their gradients; NULL: they are found
 * by row. */
static some_rows rows_of(const qn__hist_input *in, int64_t from, const int32_t *listed) {
    const size_t stride = (size_t)in->bins->stride, first = in->rows ? 0 : (size_t)from;
    some_rows some = {.bins = in->bins->rows + first * stride, .stride = stride,
                      .rows = in->rows ? in->rows + from : NULL,
                      .gh = in->gh, .listed_gh = listed};
    some.gh.at += first * in->gh.stride;
    return some;
}

/* Of these some adjacent lanes of one byte. */
static some_rows lanes_from(some_rows rows, int32_t lane, int width) {
    rows.bins += lane;
    rows.n_eights = width / 8;
    return rows;
}

/* One lane of rows that are in the second-level cache. */
static void add_lane(const some_rows *rows, int64_t n, int32_t lane, int64_t *packed) {
    const some_rows in = *rows;
    const uint8_t *bins = in.bins + lane;
    for (int64_t i = 0; i < n; i++) {
        if (in.rows && i + AHEAD < n)
            ask_for(bins + in.rows[i + AHEAD] * in.stride, 1, false);
        size_t row = row_at(&in, i);
        packed[bins[row * in.stride]] += spread(gradient_at(&in, i, row));
    }
}

/* A group of even lanes in half cells, which go into the packed ones. A lane in which one of them
 * overflowed - its rows are less even here than all are - is counted once more. False: that was so for
 * many. */
static bool add_even(const some_rows *rows, const qn__lane_group *group, int64_t n, uint32_t *half,
                     int64_t *block) {
    some_rows some = lanes_from(*rows, group->lane, group->n);
    int32_t n_again = 0;
    add_half(&some, n, group->n % 8, half + (size_t)group->lane * QN__LANE_PITCH);
    for (int32_t lane = group->lane; lane < group->lane + group->n; lane++) {
        size_t cell = (size_t)lane * QN__LANE_PITCH;
        if (rows_in_half(half + cell) == n) {
            empty_half(half + cell, block + cell);
            continue;
        }
        memset(half + cell, 0, QN__LANE_PITCH * sizeof *half);
        add_lane(rows, n, lane, block + cell);
        n_again++;
    }
    return n_again * 8 <= group->n;
}

/* n rows of the input, at most a chunk, from `from` on into a block; those of even lanes stay in half cells
 * if scratch->in_half. */
static void add_chunk(const qn__hist_input *in, const some_rows *rows, int64_t from, int64_t n,
                      bool *half_fits, const qn__hist_scratch *scratch, int t) {
    const qn__bin_map *map = in->map;
    int64_t *block = scratch->block[t];
    for (int32_t g = 0; g < map->n_groups; g++) {
        const qn__lane_group *group = &map->groups[g];
        if ((in->group_used && !in->group_used[g]) || (in->narrow_only && group->is_wide))
            continue;
        some_rows some = lanes_from(*rows, group->lane, group->n);
        if (group->is_half && scratch->in_half[t])
            add_half(&some, n, group->n % 8,
                     scratch->half[t] + (size_t)group->lane * QN__LANE_PITCH);
        else if (group->is_half && *half_fits && n >= WORTH_HALF)
            *half_fits = add_even(rows, group, n, scratch->half[t], block);
        else if (group->is_wide)
            add_wide(map, rows, group->lane, group->n, n, block);
        else
            add_packed(&some, n, group->n % 8, block + map->lanes[group->lane].cell);
    }
    if (in->bins->start)
        add_sparse(in->bins, rows, from, n, block + map->lane_cells - map->dense_cells);
}

QN__WIDE static void empty_cells(int64_t *restrict block, qn__wide_sum *restrict part, int64_t n) {
    for (int64_t c = 0; c < n; c++) {
        int64_t word = block[c];
        part[c].g += word >> QN__G_SHIFT;
        part[c].hn += ((word >> QN__N_BITS & ((1 << QN__H_BITS) - 1)) << QN__WIDE_N_BITS)
                      + (word & ((1 << QN__N_BITS) - 1));
        block[c] = 0;
    }
}

static void empty_block(const qn__hist_input *in, const qn__hist_scratch *scratch, int t) {
    int64_t n_cells = in->narrow_only ? (int64_t)in->map->n_narrow * QN__LANE_PITCH
                                      : scratch->n_cells;
    if (scratch->waiting[t].n > 0)
        empty_cells(scratch->block[t], scratch->part[t], n_cells);
    scratch->waiting[t] = (qn__load){0};
}

/* The gradients of a chunk side by side: of a list, where something is to be known of all of them first, or
 * where they are not behind the bins and so would be waited for one by one. NULL: they are not. */
static const int32_t *list_gradients(const qn__hist_input *in, int64_t from, int64_t n, bool looks,
                                     int32_t *own) {
    const bool adjacent = in->gh.stride == sizeof *own;
    if (in->listed_gh)
        return in->listed_gh + from;
    if (!in->rows && adjacent)
        return (int32_t *)(void *)in->gh.at + from;
    if (!looks && (!in->rows || !adjacent))
        return NULL;
    qn__gradients gh = in->gh;
    if (in->rows)
        qn__gradients_list(gh, in->rows + from, n, own);
    for (int64_t i = 0; !in->rows && i < n; i++)
        own[i] = qn__gradient_of(gh, (size_t)(from + i));
    return own;
}

qn__load qn__hist_load(const qn__hist_input *in) {
    int32_t own[CHUNK];
    qn__load all = {0};
    for (int64_t first = 0; first < in->n; first += CHUNK) {
        int64_t n = in->n - first < CHUNK ? in->n - first : CHUNK;
        qn__load some = qn__load_of(list_gradients(in, first, n, true, own), n);
        all = (qn__load){.abs_g = all.abs_g + some.abs_g, .h = all.h + some.h, .n = all.n + n};
    }
    return all;
}

/* Rows first .. last - 1 of the input as thread t. The block is emptied before it could overflow,
 * whenever that is: the sums are the same. */
static void add_rows(const qn__hist_input *in, int64_t first, int64_t last, bool wide,
                     const qn__hist_scratch *scratch, int t) {
    qn__load *waiting = &scratch->waiting[t];
    bool half_fits = in->is_small && in->map->n_half > 0;
    const int64_t chunk = half_fits ? SMALL_CHUNK : CHUNK;
    int32_t own[SMALL_CHUNK];
    for (int64_t n; first < last; first += n) {
        n = last - first < chunk ? last - first : chunk;
        const int32_t *gh = list_gradients(in, first, n, wide && !in->is_small, own);
        some_rows rows = rows_of(in, first, gh);
        if (wide) {
            qn__load more = in->is_small ? qn__small_load(n) : qn__load_of(gh, n);
            qn__load both = {.abs_g = waiting->abs_g + more.abs_g, .h = waiting->h + more.h,
                             .n = waiting->n + more.n};
            bool fits = qn__load_fits(both);
            if (!fits)
                empty_block(in, scratch, t);
            *waiting = fits ? both : more;
        }
        add_chunk(in, &rows, first, n, &half_fits, scratch, t);
    }
}

/* ---- from what the threads counted to the histogram ---------------------------------------- */

/* Threads a .. b - 1 counted. */
typedef struct counted {
    const qn__hist_scratch *scratch;
    int a, b;
    bool wide;
    qn__sum total;
} counted;

static void take_cells(const counted *from, int64_t at, int64_t n, qn__hist *hist, int64_t cell) {
    for (int t = from->a; t < from->b; t++) {
        if (from->wide) {
            qn__wide_sum *part = from->scratch->part[t] + at, *out = hist->sums + cell;
            for (int64_t c = 0; c < n; c++) {
                out[c].g = (t > from->a ? out[c].g : 0) + part[c].g;
                out[c].hn = (t > from->a ? out[c].hn : 0) + part[c].hn;
            }
            memset(part, 0, (size_t)n * sizeof *part);
        } else {
            int64_t *block = from->scratch->block[t] + at, *out = hist->packed + cell;
            if (t == from->a)
                memcpy(out, block, (size_t)n * sizeof *out);
            for (int64_t c = 0; t > from->a && c < n; c++)
                out[c] += block[c];
            memset(block, 0, (size_t)n * sizeof *block);
        }
    }
}

/* Empties half cells of a lane into a histogram; returns the rows in them, if none overflowed. */
QN__WIDE static int64_t take_half(uint32_t *restrict half, int32_t n, int64_t *restrict cells) {
    uint32_t rows = 0;
    for (int32_t c = 0; c < n; c++) {
        rows += half[c] & QN__HALF_ROWS;
        cells[c] = packed_of(half[c]);
        half[c] = 0;
    }
    return rows;
}

/* The cell of rest_bin gets what the others leave of the total. */
static void fill_rest(const qn__bin_feature *f, qn__sum total, qn__hist *hist) {
    qn__sum rest = total;
    for (int32_t b = 0; b < f->n_cells; b++)
        rest = qn__sum_less(rest, qn__hist_at(hist, f->cell + b));
    if (hist->wide) {
        hist->sums[f->cell + f->rest_bin].g += rest.g;
        hist->sums[f->cell + f->rest_bin].hn += qn__widen(rest).hn;
    } else {
        hist->packed[f->cell + f->rest_bin] += qn__pack(rest);
    }
}

/* One of the features of a lane: its cells are sums over the values with that bin. Of a one-hot
 * group nearly all values are "not this one": they need no adding up. */
static void take_shared(const counted *from, const qn__lane *lane, const qn__bin_feature *f,
                        qn__hist *hist) {
    if (from->wide)
        memset(hist->sums + f->cell, 0, (size_t)f->n_cells * sizeof *hist->sums);
    else
        memset(hist->packed + f->cell, 0, (size_t)f->n_cells * sizeof *hist->packed);
    for (int t = from->a; t < from->b; t++) {
        const int64_t *block = from->scratch->block[t] + lane->cell;
        const qn__wide_sum *part = from->wide ? from->scratch->part[t] + lane->cell : NULL;
        for (int32_t k = 0; k < f->n_others;) {
            uint8_t bin = f->bin_of[f->others[k]];
            int64_t word = 0;
            qn__wide_sum sum = {0};
            for (; k < f->n_others && f->bin_of[f->others[k]] == bin; k++) {
                word += block[f->others[k]];
                sum.g += part ? part[f->others[k]].g : 0;
                sum.hn += part ? part[f->others[k]].hn : 0;
            }
            if (from->wide) {
                hist->sums[f->cell + bin].g += sum.g;
                hist->sums[f->cell + bin].hn += sum.hn;
            } else {
                hist->packed[f->cell + bin] += word;
            }
        }
    }
    fill_rest(f, from->total, hist);
}

static void take_lane(const qn__bin_map *map, const counted *from, const qn__lane *lane,
                      qn__hist *hist) {
    const int32_t *feature = map->by_lane + lane->first;
    if (lane->n_features == 1) {
        take_cells(from, lane->cell, lane->n_values, hist, map->features[feature[0]].cell);
        return;
    }
    for (int32_t k = 0; k < lane->n_features; k++)
        take_shared(from, lane, &map->features[feature[k]], hist);
    for (int t = from->a; t < from->b; t++) {
        memset(from->scratch->block[t] + lane->cell, 0, (size_t)lane->n_values * sizeof(int64_t));
        if (from->wide)
            memset(from->scratch->part[t] + lane->cell, 0,
                   (size_t)lane->n_values * sizeof(qn__wide_sum));
    }
}

/* Zeros that are stored explicitly are in the cell of the rest already. */
static void take_sparse(const qn__hist_input *in, const counted *from, int32_t i, qn__hist *hist) {
    const qn__bin_feature *f = &in->map->features[i];
    take_cells(from, in->map->lane_cells + f->cell - in->map->dense_cells, f->n_cells, hist,
               f->cell);
    fill_rest(f, in->total, hist);
}

static int32_t lanes_of(const qn__hist_input *in) {
    return in->narrow_only ? in->map->n_narrow : in->map->n_lanes;
}

/* Even lanes of so few rows that half cells can hold them stay there until they are taken: their cells are
 * gone over once. */
void qn__hist_count(const qn__hist_input *in, qn__hist_scratch *scratch, int t, bool wide) {
    scratch->in_half[t] = in->is_small && in->map->n_half > 0 && !wide && in->n <= SMALL_CHUNK;
    add_rows(in, 0, in->n, wide, scratch, t);
    empty_block(in, scratch, t);
}

static counted counted_alone(const qn__hist_input *in, const qn__hist_scratch *scratch, int t,
                             const qn__hist *hist) {
    return (counted){.scratch = scratch, .a = t, .b = t + 1, .wide = hist->wide,
                     .total = in->total};
}

static bool is_counted(const qn__hist_input *in, int32_t i_lane) {
    int32_t g = 0;
    while (i_lane >= in->map->groups[g].lane + in->map->groups[g].n)
        g++;
    return !in->group_used || in->group_used[g];
}

/* Of an even lane whose rows are in half cells; false: one of them overflowed, and so the lane was counted
 * once more, as others are. */
static bool take_even(const qn__hist_input *in, qn__hist_scratch *scratch, int t,
                      const qn__lane *lane, qn__hist *hist) {
    int32_t i_lane = (int32_t)(lane - in->map->lanes);
    const qn__bin_feature *f = &in->map->features[in->map->by_lane[lane->first]];
    uint32_t *half = scratch->half[t] + (size_t)i_lane * QN__LANE_PITCH;
    if (take_half(half, lane->n_values, hist->packed + f->cell) == in->n || !is_counted(in, i_lane))
        return true;
    some_rows rows = rows_of(in, 0, in->listed_gh);
    add_lane(&rows, in->n, i_lane, scratch->block[t] + lane->cell);
    return false;
}

void qn__hist_take_lane(const qn__hist_input *in, qn__hist_scratch *scratch, int t,
                        const qn__lane *lane, qn__hist *hist) {
    counted from = counted_alone(in, scratch, t, hist);
    if (scratch->in_half[t] && lane - in->map->lanes < in->map->n_half
        && take_even(in, scratch, t, lane, hist))
        return;
    take_lane(in->map, &from, lane, hist);
}

void qn__hist_take_sparse(const qn__hist_input *in, qn__hist_scratch *scratch, int t, int32_t i,
                          qn__hist *hist) {
    counted from = counted_alone(in, scratch, t, hist);
    take_sparse(in, &from, i, hist);
}

static void build_alone(const qn__hist_input *in, qn__hist_scratch *scratch, int t,
                        qn__hist *hist) {
    qn__hist_count(in, scratch, t, hist->wide);
    for (int32_t lane = 0; lane < lanes_of(in); lane++)
        qn__hist_take_lane(in, scratch, t, &in->map->lanes[lane], hist);
    for (int32_t i = in->map->n_dense; i < in->map->n_features; i++)
        qn__hist_take_sparse(in, scratch, t, i, hist);
}

/* Each thread counts the blocks of rows it gets; then they add up lane by lane. */
static void build_together(const qn__hist_input *in, qn__hist_scratch *scratch, qn__hist *hist) {
    int64_t n_tasks = (in->n + TASK_ROWS - 1) / TASK_ROWS;
    counted from = {.scratch = scratch, .a = 0, .b = scratch->n_threads, .wide = hist->wide,
                    .total = in->total};
#pragma omp parallel num_threads(scratch->n_threads)
    {
        int t = omp_get_thread_num();
        scratch->in_half[t] = false;
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < n_tasks; task++) {
            int64_t first = task * TASK_ROWS, left = in->n - first;
            add_rows(in, first, first + (left < TASK_ROWS ? left : TASK_ROWS), hist->wide, scratch,
                     t);
        }
        empty_block(in, scratch, t);
#pragma omp barrier
#pragma omp for schedule(static) nowait
        for (int32_t lane = 0; lane < lanes_of(in); lane++)
            take_lane(in->map, &from, &in->map->lanes[lane], hist);
#pragma omp for schedule(static)
        for (int32_t i = in->map->n_dense; i < in->map->n_features; i++)
            take_sparse(in, &from, i, hist);
    }
}

void qn__hist_build(const qn__hist_input *input, qn__hist_scratch *scratch, int thread,
                    qn__hist *hist) {
    if (thread < 0)
        build_together(input, scratch, hist);
    else
        build_alone(input, scratch, thread, hist);
}

QN__WIDE static void subtract_cells(int64_t *restrict from, const int64_t *restrict cells,
                                    int64_t n) {
    for (int64_t c = 0; c < n; c++)
        from[c] -= cells[c];
}

void qn__hist_subtract_packed(qn__hist *parent, const qn__hist *small, int64_t cell, int64_t n) {
    subtract_cells(parent->packed + cell, small->packed + cell, n);
}

void qn__hist_subtract(qn__hist *parent, const qn__hist *small, int64_t n_cells, bool wide) {
    if (!parent->wide) {
        qn__hist_subtract_packed(parent, small, 0, n_cells);
        return;
    }
    /* In place from the front: a packed cell never lies behind the wide one it comes from. */
    for (int64_t c = 0; c < n_cells; c++) {
        qn__wide_sum p = parent->sums[c];
        qn__wide_sum s = small->wide ? small->sums[c] : qn__widen(qn__unpack(small->packed[c]));
        p.g -= s.g;
        p.hn -= s.hn;
        if (wide)
            parent->sums[c] = p;
        else
            parent->packed[c] = qn__pack(qn__narrow(p));
    }
    parent->wide = wide;
}
