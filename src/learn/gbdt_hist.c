#include <math.h>
#include <omp.h>
#include <string.h>

#include "learn/gbdt_int.h"

enum { PREFETCH_AHEAD = 24 };

/* SplitMix64's finaliser: good bits per (seed, row) without a call. */
static inline uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline int64_t round_up_or_down(double x, uint64_t random16) {
    return (int64_t)floor(x + ((double)random16 + 0.5) * (1.0 / 65536));
}

void qn__quantise(const float *g, const float *h, int64_t n, uint64_t seed, int n_threads,
                  qn__quantised *q) {
    float g_max = 0, h_max = 0;
#pragma omp parallel for num_threads(n_threads) reduction(max : g_max, h_max) if (n > QN__WORTH_THREADS)
    for (int64_t i = 0; i < n; i++) {
        g_max = fmaxf(g_max, fabsf(g[i]));
        h_max = fmaxf(h_max, h[i]);
    }
    int bits = 31;
    for (int64_t rows = 1; rows < n && bits > 15; rows *= 2)
        bits--;
    bits = bits > 22 ? 22 : bits;
    double top = (double)((1 << bits) - 2);
    q->block_rows = (int64_t)1 << (31 - bits);
    q->g_unit = g_max > 0 ? (double)g_max / top : 1;
    q->h_unit = h_max > 0 ? (double)h_max / top : 1;
    double g_scale = 1 / q->g_unit, h_scale = 1 / q->h_unit;
    int64_t *gh = q->gh;
#pragma omp parallel for num_threads(n_threads) if (8 * n > QN__WORTH_THREADS)
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = mix(seed + 0x9e3779b97f4a7c15u * (uint64_t)(i + 1));
        int64_t gi = round_up_or_down((double)g[i] * g_scale, r & 0xffff);
        int64_t hi = round_up_or_down((double)h[i] * h_scale, r >> 16 & 0xffff);
        gh[i] = gi * ((int64_t)1 << 32) + hi;
    }
}

qn_status qn__hist_scratch_init(qn__hist_scratch *scratch, const qn__bin_map *map, int n_threads,
                                qn_error *err) {
    scratch->n_threads = n_threads;
    scratch->n_cells = map->n_cells;
    scratch->block = qn_new_array(int64_t *, n_threads);
    scratch->part = qn_new_array(qn__sum *, n_threads);
    if (!scratch->block || !scratch->part)
        return qn_error_memory(err);
    bool parts = map->n_tiles + (map->dense_cells < map->n_cells) < n_threads;
    for (int t = 0; t < n_threads; t++) {
        scratch->block[t] = qn_malloc_aligned((size_t)map->n_cells, sizeof(int64_t));
        if (parts && t > 0)
            scratch->part[t] = qn_malloc_aligned((size_t)map->n_cells, sizeof(qn__sum));
        if (!scratch->block[t] || (parts && t > 0 && !scratch->part[t]))
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
    }
    qn_freep(&scratch->block);
    qn_freep(&scratch->part);
    *scratch = (qn__hist_scratch){0};
}

/* The inner loop of training: one row of a tile is QN__TILE adjacent bins, `width` of them in use;
 * each adds the row's word to one cell. `width` and `wide` are constants after inlining. */
static inline __attribute__((always_inline)) void
add_tile(const void *tile, bool wide, int width, const uint32_t *rows, int64_t first, int64_t last,
         const int64_t *gh, int64_t *const *cells) {
    const uint8_t *narrow = tile;
    const uint16_t *broad = tile;
    int64_t *lane[QN__TILE];
    for (int j = 0; j < width; j++)
        lane[j] = cells[j];
    for (int64_t i = first; i < last; i++) {
        size_t row = rows ? rows[i] : (size_t)i;
        if (rows && i + PREFETCH_AHEAD < last) {
            size_t ahead = rows[i + PREFETCH_AHEAD];
            __builtin_prefetch(wide ? (const void *)(broad + ahead * QN__TILE)
                                    : (const void *)(narrow + ahead * QN__TILE));
            __builtin_prefetch(gh + ahead);
        }
        int64_t word = gh[row];
#pragma GCC unroll 16
        for (int j = 0; j < width; j++)
            lane[j][wide ? broad[row * QN__TILE + (size_t)j] : narrow[row * QN__TILE + (size_t)j]]
                += word;
    }
}

static void add_tile_narrow(const void *tile, int width, const uint32_t *rows, int64_t first,
                            int64_t last, const int64_t *gh, int64_t *const *cells) {
    switch (width) {
    case 1: add_tile(tile, false, 1, rows, first, last, gh, cells); break;
    case 2: add_tile(tile, false, 2, rows, first, last, gh, cells); break;
    case 3: add_tile(tile, false, 3, rows, first, last, gh, cells); break;
    case 4: add_tile(tile, false, 4, rows, first, last, gh, cells); break;
    case 5: add_tile(tile, false, 5, rows, first, last, gh, cells); break;
    case 6: add_tile(tile, false, 6, rows, first, last, gh, cells); break;
    case 7: add_tile(tile, false, 7, rows, first, last, gh, cells); break;
    case 8: add_tile(tile, false, 8, rows, first, last, gh, cells); break;
    case 9: add_tile(tile, false, 9, rows, first, last, gh, cells); break;
    case 10: add_tile(tile, false, 10, rows, first, last, gh, cells); break;
    case 11: add_tile(tile, false, 11, rows, first, last, gh, cells); break;
    case 12: add_tile(tile, false, 12, rows, first, last, gh, cells); break;
    case 13: add_tile(tile, false, 13, rows, first, last, gh, cells); break;
    case 14: add_tile(tile, false, 14, rows, first, last, gh, cells); break;
    case 15: add_tile(tile, false, 15, rows, first, last, gh, cells); break;
    default: add_tile(tile, false, 16, rows, first, last, gh, cells); break;
    }
}

static void add_sparse(const qn__bins *bins, const uint32_t *rows, int64_t first, int64_t last,
                       const int64_t *gh, int64_t *cells) {
    for (int64_t i = first; i < last; i++) {
        size_t row = rows ? rows[i] : (size_t)i;
        int64_t word = gh[row];
        for (int64_t k = bins->start[row]; k < bins->start[row + 1]; k++)
            cells[bins->entry[k]] += word;
    }
}

/* Cells of a group: a tile of dense features, or (i_group == n_tiles) all sparse ones. */
typedef struct group {
    int64_t first_cell, n_cells;
    int32_t first_feature, n_features;
} group;

static group group_of(const qn__bin_map *map, int32_t i_group) {
    if (i_group == map->n_tiles)
        return (group){.first_cell = map->dense_cells, .n_cells = map->n_cells - map->dense_cells,
                       .first_feature = map->n_dense,
                       .n_features = map->n_features - map->n_dense};
    /* The inverse of tile = i * n_tiles / n_dense. */
    int64_t n = map->n_dense, t = map->n_tiles;
    int32_t from = (int32_t)((i_group * n + t - 1) / t);
    int32_t to = (int32_t)(((i_group + 1) * n + t - 1) / t);
    const qn__bin_feature *a = &map->features[from], *b = &map->features[to - 1];
    return (group){.first_cell = a->cell, .n_cells = b->cell + b->n_cells - a->cell,
                   .first_feature = from, .n_features = to - from};
}

static void add_group(const qn__bin_map *map, const qn__bins *bins, int32_t i_group, group gr,
                      const qn__quantised *q, const uint32_t *rows, int64_t first, int64_t last,
                      int64_t *cells) {
    if (i_group == map->n_tiles) {
        add_sparse(bins, rows, first, last, q->gh, cells);
        return;
    }
    int64_t *lane[QN__TILE] = {NULL};
    for (int32_t j = 0; j < gr.n_features; j++)
        lane[j] = cells + map->features[gr.first_feature + j].cell;
    if (map->wide)
        add_tile(bins->tiles[i_group], true, gr.n_features, rows, first, last, q->gh, lane);
    else
        add_tile_narrow(bins->tiles[i_group], gr.n_features, rows, first, last, q->gh, lane);
}

/* One task: rows first .. last - 1 of one group into `hist`; wide ones in blocks that cannot
 * overflow. */
static void build_group(const qn__bin_map *map, const qn__bins *bins, int32_t i_group,
                        const qn__quantised *q, const uint32_t *rows, int64_t first, int64_t last,
                        int64_t *block, qn__hist *hist) {
    group gr = group_of(map, i_group);
    if (!hist->wide) {
        memset(hist->packed + gr.first_cell, 0, (size_t)gr.n_cells * sizeof(int64_t));
        add_group(map, bins, i_group, gr, q, rows, first, last, hist->packed);
        return;
    }
    memset(hist->sums + gr.first_cell, 0, (size_t)gr.n_cells * sizeof(qn__sum));
    for (int64_t from = first; from < last; from += q->block_rows) {
        int64_t to = last - from > q->block_rows ? from + q->block_rows : last;
        memset(block + gr.first_cell, 0, (size_t)gr.n_cells * sizeof(int64_t));
        add_group(map, bins, i_group, gr, q, rows, from, to, block);
        for (int64_t c = gr.first_cell; c < gr.first_cell + gr.n_cells; c++) {
            qn__sum s = qn__unpack(block[c]);
            hist->sums[c].g += s.g;
            hist->sums[c].h += s.h;
        }
    }
}

static void merge_part(qn__hist *hist, const qn__sum *part, int64_t first, int64_t n) {
    const int64_t *packed = (const int64_t *)part;
    for (int64_t c = first; c < first + n; c++) {
        if (hist->wide) {
            hist->sums[c].g += part[c].g;
            hist->sums[c].h += part[c].h;
        } else {
            hist->packed[c] += packed[c];
        }
    }
}

/* Rows without an entry have the value 0: what the stored ones leave of the total. */
static void fill_zero_bins(const qn__bin_map *map, qn__sum total, qn__hist *hist) {
    for (int32_t i = map->n_dense; i < map->n_features; i++) {
        const qn__bin_feature *f = &map->features[i];
        qn__sum rest = total;
        for (int32_t b = 0; b < f->n_cells; b++) {
            qn__sum s = qn__hist_at(hist, f->cell + b);
            rest.g -= s.g;
            rest.h -= s.h;
        }
        /* Zeros that are stored explicitly are in the cell already. */
        if (hist->wide) {
            hist->sums[f->cell + f->zero_bin].g += rest.g;
            hist->sums[f->cell + f->zero_bin].h += rest.h;
        } else {
            hist->packed[f->cell + f->zero_bin] += rest.g * ((int64_t)1 << 32) + rest.h;
        }
    }
}

void qn__hist_build(const qn__bin_map *map, const qn__bins *bins, const qn__quantised *q,
                    const uint32_t *rows, int64_t n, qn__sum total, const bool *tile_used,
                    qn__hist_scratch *scratch, qn__hist *hist) {
    int32_t n_groups = map->n_tiles + (map->n_dense < map->n_features);
    int64_t updates = n * map->n_dense;
    if (bins->start)
        updates += n * (bins->start[bins->n_rows] / (bins->n_rows + 1));
    int threads = updates < QN__WORTH_THREADS ? 1 : scratch->n_threads;
    int parts = n_groups > 0 && n_groups < threads ? (threads + n_groups - 1) / n_groups : 1;
    if (parts > 1 && n < 4096)
        parts = 1;
    int n_tasks = n_groups * parts;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1 && n_tasks > 1)
    for (int task = 0; task < n_tasks; task++) {
        int32_t i_group = task / parts;
        int part = task % parts;
        if (i_group < map->n_tiles && tile_used && !tile_used[i_group])
            continue;
        qn__hist target = *hist;
        if (part > 0)
            target.sums = scratch->part[part];
        build_group(map, bins, i_group, q, rows, n * part / parts, n * (part + 1) / parts,
                    scratch->block[omp_get_thread_num()], &target);
    }
    for (int32_t i_group = 0; parts > 1 && i_group < n_groups; i_group++) {
        if (i_group < map->n_tiles && tile_used && !tile_used[i_group])
            continue;
        group gr = group_of(map, i_group);
        for (int part = 1; part < parts; part++)
            merge_part(hist, scratch->part[part], gr.first_cell, gr.n_cells);
    }
    fill_zero_bins(map, total, hist);
}

void qn__hist_subtract(qn__hist *parent, const qn__hist *small, int64_t n_cells, bool wide,
                       int n_threads) {
    if (!parent->wide) {
        int64_t *a = parent->packed;
        const int64_t *b = small->packed;
        for (int64_t c = 0; c < n_cells; c++)
            a[c] -= b[c];
        return;
    }
    /* In place from the front: a packed cell never lies behind the wide one it comes from. */
    for (int64_t c = 0; c < n_cells; c++) {
        qn__sum p = parent->sums[c], s = qn__hist_at(small, c);
        p.g -= s.g;
        p.h -= s.h;
        if (wide)
            parent->sums[c] = p;
        else
            parent->packed[c] = p.g * ((int64_t)1 << 32) + p.h;
    }
    parent->wide = wide;
}
