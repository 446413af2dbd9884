/* The layout of binned rows, and filling it. */
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <math.h>
#include <omp.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "learn/gbdt_int.h"

/* ---- the map: lanes and cells -------------------------------------------------------------- */

static void feature_done(qn__bin_feature *f) {
    qn_freep(&f->upper);
    qn_freep(&f->code_bin);
    qn_freep(&f->step);
    qn_freep(&f->bin_of);
}

static void forget_values(qn__bin_map *map) {
    for (int32_t l = 0; map->lanes && l < map->n_lanes; l++)
        qn_freep(&map->lanes[l].values);
}

void qn__bin_map_done(qn__bin_map *map) {
    for (int32_t i = 0; map->features && i < map->n_features; i++)
        feature_done(&map->features[i]);
    qn_freep(&map->features);
    forget_values(map);
    qn_freep(&map->lanes);
    qn_freep(&map->groups);
    qn_freep(&map->by_lane);
    *map = (qn__bin_map){0};
}

/* Drops features without bins; dense ones first. */
static qn_status order_features(qn__bin_map *map, qn_error *err) {
    qn__bin_feature *placed = qn_new_array(qn__bin_feature, map->n_features);
    if (!placed)
        return qn_error_memory(err);
    int32_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int32_t i = 0; i < map->n_features; i++) {
            qn__bin_feature *f = &map->features[i];
            if (f->n_values > 0 && (f->kind == QN_FEATURE_SPARSE) == (pass == 1))
                placed[n++] = *f;
            else if (f->n_values == 0)
                feature_done(f);
        }
        if (pass == 0)
            map->n_dense = n;
    }
    qn_freep(&map->features);
    map->features = placed;
    map->n_features = n;
    return QN_OK;
}

static bool is_narrow(const qn__bin_feature *f) {
    return f->n_cells <= QN__LANE_CELLS;
}

typedef enum kind { EVEN, NARROW, WIDE, N_KINDS } kind;

/* Of the lane of a feature. */
static kind kind_of(const qn__bin_feature *f) {
    return !is_narrow(f) ? WIDE : f->is_even && !f->step ? EVEN : NARROW;
}

/* Lanes in the order of kinds, and of their first features; a lane has the kind of its leader, with whom the
 * others agree unless memory ran out in the middle. */
static void number_lanes(qn__bin_map *map, const qn__lane_plan *plan) {
    for (kind k = EVEN; k < N_KINDS; k++) {
        for (int32_t i = 0; i < map->n_dense; i++) {
            qn__bin_feature *f = &map->features[i];
            if (kind_of(&map->features[plan[i].leader]) != k)
                continue;
            if (plan[i].leader == i) {
                f->lane = map->n_lanes++;
                map->lanes[f->lane].n_values = plan[i].n_values;
                map->lanes[f->lane].values = plan[i].values;
            } else {
                f->lane = map->features[plan[i].leader].lane;
            }
            map->lanes[f->lane].n_features++;
        }
        if (k == EVEN)
            map->n_half = map->n_lanes;
        if (k == NARROW)
            map->n_narrow = map->n_lanes;
    }
}

/* Lanes first .. last - 1, all of one kind, in groups of about equal size. */
static void add_groups(qn__bin_map *map, int32_t first, int32_t last, kind k) {
    int32_t n = last - first, n_groups = (n + QN__GROUP - 1) / QN__GROUP;
    for (int32_t g = 0; g < n_groups; g++) {
        int32_t at = (int32_t)((int64_t)n * g / n_groups);
        map->groups[map->n_groups++] =
            (qn__lane_group){.lane = first + at, .is_half = k == EVEN, .is_wide = k == WIDE,
                             .n = (int32_t)((int64_t)n * (g + 1) / n_groups) - at};
    }
}

/* Even lanes are counted as the others are when there are not a word of them, or many others: a pass
 * over the rows more costs more than half cells save. */
static qn_status group_lanes(qn__bin_map *map, qn_error *err) {
    enum { WORD = 8 };
    map->groups = qn_new_array(qn__lane_group, map->n_lanes / QN__GROUP + N_KINDS);
    if (!map->groups)
        return qn_error_memory(err);
    if (map->n_half < WORD || 4 * map->n_half < 3 * map->n_narrow)
        map->n_half = 0;
    add_groups(map, 0, map->n_half, EVEN);
    add_groups(map, map->n_half, map->n_narrow, NARROW);
    add_groups(map, map->n_narrow, map->n_lanes, WIDE);
    return QN_OK;
}

static qn_status place_lanes(qn__bin_map *map, const qn__map_rows *rows, bool share_lanes,
                             qn_error *err) {
    qn_cleanup(qn_freep) qn__lane_plan *plan = qn_new_array(qn__lane_plan, map->n_dense);
    map->lanes = qn_new_array(qn__lane, map->n_dense);
    map->by_lane = qn_new_array(int32_t, map->n_dense);
    if (!plan || !map->lanes || !map->by_lane)
        return qn_error_memory(err);
    for (int32_t i = 0; i < map->n_dense; i++)
        plan[i] = (qn__lane_plan){.leader = i, .n_values = map->features[i].n_cells};
    qn_status status = share_lanes ? qn__lanes_plan(map, rows, plan, err) : QN_OK;
    number_lanes(map, plan);
    map->fitted_to = rows->x;
    QN_TRY(status);
    for (int32_t l = 0, first = 0; l < map->n_lanes; l++) {
        qn__lane *lane = &map->lanes[l];
        bool narrow = l < map->n_narrow;
        lane->at = narrow ? l : (map->n_narrow + 1) / 2 * 2 + 2 * (l - map->n_narrow);
        map->row_bytes = lane->at + (narrow ? 1 : 2);
        lane->first = first;
        first += lane->n_features;
        lane->n_features = 0;
        lane->cell = map->lane_cells;
        map->lane_cells += narrow ? QN__LANE_PITCH : lane->n_values;
    }
    for (int32_t i = 0; i < map->n_dense; i++) {
        qn__lane *lane = &map->lanes[map->features[i].lane];
        map->by_lane[lane->first + lane->n_features++] = i;
    }
    return group_lanes(map, err);
}

/* Cells of narrow features, of the other dense ones, of sparse ones. */
static void place_cells(qn__bin_map *map) {
    for (int pass = 0; pass < 3; pass++) {
        for (int32_t i = 0; i < map->n_features; i++) {
            qn__bin_feature *f = &map->features[i];
            if (pass != (i >= map->n_dense ? 2 : is_narrow(f) ? 0 : 1))
                continue;
            f->lane = -1;
            f->cell = map->n_cells;
            map->n_cells += f->n_cells;
        }
        if (pass == 0)
            map->narrow_cells = map->n_cells;
        if (pass == 1)
            map->dense_cells = map->n_cells;
    }
}

qn_status qn__bin_map_place(qn__bin_map *map, const qn__map_rows *rows, bool share_lanes,
                            qn_error *err) {
    QN_TRY(order_features(map, err));
    place_cells(map);
    QN_FAIL_IF(map->n_cells > UINT32_MAX, err, QN_ERR_LIMIT,
               "too many bins in all (%lld): lower max_bin", (long long)map->n_cells);
    return place_lanes(map, rows, share_lanes, err);
}

/* ---- values to bins ------------------------------------------------------------------------ */

int32_t qn__bin_of(const qn__bin_feature *feature, double x) {
    int32_t bin;
    qn__bins_of(feature, &x, 1, &bin);
    return bin;
}

/* The number of bounds below each x. All searches take the same steps, so that many run side by
 * side without a branch. n_bounds > 0. */
QN__WIDE static void bounds_below(const double *restrict upper, int64_t n_bounds,
                                  const double *restrict x, int64_t n, int64_t *restrict at) {
    for (int64_t j = 0; j < n; j++)
        at[j] = 0;
    for (int64_t left = n_bounds; left > 1;) {
        int64_t half = left / 2;
        const double *middle = upper + half - 1;
        for (int64_t j = 0; j < n; j++)
            at[j] += middle[at[j]] < x[j] ? half : 0;
        left -= half;
    }
    for (int64_t j = 0; j < n; j++)
        at[j] += upper[at[j]] < x[j] ? 1 : 0;
}

#if defined(__x86_64__)
enum { GROUPS = 16, IN_GROUP = 16 }; /* of bounds, for the search in two steps */

/* Up to 256 bounds in two steps: how many groups' last bounds lie below x says which group, how many
 * of its bounds do says where. What is missing of the last groups is infinite. */
__attribute__((target("avx512f,avx512bw,popcnt"))) static void
bounds_below_avx512(const double *upper, int64_t n_bounds, const double *x, int64_t n,
                    int64_t *at) {
    double bound[GROUPS * IN_GROUP], last[GROUPS];
    for (int64_t b = 0; b < GROUPS * IN_GROUP; b++)
        bound[b] = b < n_bounds ? upper[b] : INFINITY;
    for (int g = 0; g < GROUPS; g++)
        last[g] = g + 1 < GROUPS ? bound[g * IN_GROUP + IN_GROUP - 1] : INFINITY;
    const __m512d low = _mm512_loadu_pd(last), high = _mm512_loadu_pd(last + 8);
    for (int64_t i = 0; i < n; i++) {
        __m512d v = _mm512_set1_pd(x[i]);
        __mmask16 below = _mm512_kunpackb(_mm512_cmp_pd_mask(high, v, _CMP_LT_OQ),
                                          _mm512_cmp_pd_mask(low, v, _CMP_LT_OQ));
        const double *group = bound + IN_GROUP * __builtin_popcount(below);
        __mmask16 in_group =
            _mm512_kunpackb(_mm512_cmp_pd_mask(_mm512_loadu_pd(group + 8), v, _CMP_LT_OQ),
                            _mm512_cmp_pd_mask(_mm512_loadu_pd(group), v, _CMP_LT_OQ));
        at[i] = group - bound + __builtin_popcount(in_group);
    }
}
#endif

static void find_bounds(const double *upper, int64_t n_bounds, const double *x, int64_t n,
                        int64_t *at) {
#if defined(__x86_64__)
    if (n_bounds <= GROUPS * IN_GROUP && n >= GROUPS * IN_GROUP
        && __builtin_cpu_supports("avx512bw")) {
        bounds_below_avx512(upper, n_bounds, x, n, at);
        return;
    }
#endif
    enum { SIDE_BY_SIDE = 64 };
    for (int64_t i = 0; i < n; i += SIDE_BY_SIDE)
        bounds_below(upper, n_bounds, x + i, n - i < SIDE_BY_SIDE ? n - i : SIDE_BY_SIDE, at + i);
}

/* The bins of a feature of two values. */
QN__WIDE static void sides_of(double bound, const double *restrict x, int64_t n,
                              int32_t *restrict bin) {
    for (int64_t i = 0; i < n; i++)
        bin[i] = x[i] != x[i] ? 2 : bound < x[i] ? 1 : 0;
}

void qn__bins_of(const qn__bin_feature *feature, const double *x, int64_t n, int32_t *bin) {
    enum { BLOCK_OF_BINS = 1024 };
    int64_t at[BLOCK_OF_BINS];
    if (feature->n_values == 2) {
        sides_of(feature->upper[0], x, n, bin);
        return;
    }
    for (int64_t i = 0; i < n; i += BLOCK_OF_BINS) {
        int64_t here = n - i < BLOCK_OF_BINS ? n - i : BLOCK_OF_BINS;
        if (feature->n_values > 1)
            find_bounds(feature->upper, feature->n_values - 1, x + i, here, at);
        else
            memset(at, 0, (size_t)here * sizeof *at);
        for (int64_t j = 0; j < here; j++)
            bin[i + j] = isnan(x[i + j]) ? feature->n_values : (int32_t)at[j];
    }
}

static int32_t category_bin(const qn__bin_feature *f, int32_t code) {
    return code >= 0 && code < f->n_categories ? f->code_bin[code] : 0;
}

void qn__feature_bins(const qn__bin_feature *f, const qn_matrix *x, int64_t first, int64_t n,
                      int32_t *bin) {
    const qn_matrix_column *c = &x->columns[f->column];
    if (f->kind != QN_FEATURE_CATEGORY) {
        qn__bins_of(f, c->num + first, n, bin);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        bin[i] = category_bin(f, c->code[first + i]);
}

/* ---- rows ---------------------------------------------------------------------------------- */

enum {
    BLOCK = 1024,          /* rows filled at a time */
    PITCH = BLOCK + 32,    /* of lanes in scratch: not a multiple of the cache's period */
    OVER_READ = 64,        /* behind the last column: gathers read whole words */
};

/* Nothing depends on it. */
static void wish_for_pages(void *array, size_t bytes, bool large) {
#ifdef MADV_HUGEPAGE
    uintptr_t page = 4096, from = ((uintptr_t)array + page - 1) & ~(page - 1);
    uintptr_t to = ((uintptr_t)array + bytes) & ~(page - 1);
    if (to > from)
        (void)madvise((void *)from, to - from, large ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#else
    (void)array, (void)bytes, (void)large;
#endif
}

void qn__huge_pages(void *array, size_t bytes) {
    if (bytes >= (size_t)1 << 22)
        wish_for_pages(array, bytes, true);
}

void qn__small_pages(void *array, size_t bytes) {
    if (bytes >= (size_t)1 << 21) /* what is smaller has no large ones */
        wish_for_pages(array, bytes, false);
}

void qn__bins_done(qn__bins *bins) {
    if (bins->mapped_bytes)
        munmap(bins->rows, bins->mapped_bytes);
    else
        qn_freep(&bins->rows);
    qn_freep(&bins->columns);
    qn_freep(&bins->start);
    qn_freep(&bins->entry);
    *bins = (qn__bins){0};
}

/* Columns to rows: counts, offsets, then one pass over the columns in cell order. */
static qn_status fill_sparse(const qn__bin_map *map, const qn_matrix *x, qn__bins *bins,
                             qn_error *err) {
    bins->start = qn_new_array(int64_t, x->n_rows + 2);
    if (!bins->start)
        return qn_error_memory(err);
    int64_t *at = bins->start + 1; /* one ahead: after the second pass start[i] is where row i begins */
    for (int32_t i = map->n_dense; i < map->n_features; i++) {
        const qn_matrix_column *c = &x->columns[map->features[i].column];
        for (int64_t k = 0; k < c->n_set; k++)
            at[c->row[k] + 1]++;
    }
    for (int64_t i = 0; i < x->n_rows; i++)
        at[i + 1] += at[i];
    bins->entry = qn_malloc_aligned((size_t)at[x->n_rows] + 1, sizeof *bins->entry);
    if (!bins->entry)
        return qn_error_memory(err);
    for (int32_t i = map->n_dense; i < map->n_features; i++) {
        const qn__bin_feature *f = &map->features[i];
        const qn_matrix_column *c = &x->columns[f->column];
        for (int64_t k = 0; k < c->n_set; k++)
            bins->entry[at[c->row[k]]++] = (uint32_t)(f->cell + qn__bin_of(f, c->value[k]));
    }
    return QN_OK;
}

/* The lane's values of rows first .. first + n - 1; false: the map was not made for these rows. */
static bool fill_lane(const qn__bin_map *map, const qn__lane *lane, const qn_matrix *x,
                      int64_t first, int64_t n, uint16_t *out) {
    bool seen = true;
    if (lane->values && x == map->fitted_to) {
        for (int64_t i = 0; i < n; i++)
            out[i] = lane->values[first + i];
        return true;
    }
    for (int32_t k = 0; k < lane->n_features; k++) {
        const qn__bin_feature *f = &map->features[map->by_lane[lane->first + k]];
        int32_t bin[BLOCK];
        qn__feature_bins(f, x, first, n, bin);
        for (int64_t i = 0; !f->step && i < n; i++)
            out[i] = (uint16_t)bin[i];
        for (int64_t i = 0; f->step && i < n; i++) {
            uint16_t value = f->step[(k ? out[i] : 0) * f->n_cells + bin[i]];
            seen &= value != QN__UNSEEN;
            out[i] = value == QN__UNSEEN ? 0 : value;
        }
    }
    return seen;
}

/* One block of rows; `scratch` holds the lanes of BLOCK rows, each at PITCH times its place. */
static bool fill_block(const qn__bin_map *map, const qn_matrix *x, int64_t first, int64_t n,
                       uint8_t *scratch, qn__bins *bins) {
    bool seen = true;
    uint16_t one[BLOCK];
    for (int32_t l = 0; l < map->n_lanes; l++) {
        size_t at = (size_t)map->lanes[l].at, bytes = l < map->n_narrow ? 1 : 2;
        uint8_t *lane = scratch + at * PITCH;
        seen &= fill_lane(map, &map->lanes[l], x, first, n, one);
        for (int64_t i = 0; bytes == 1 && i < n; i++)
            lane[i] = (uint8_t)one[i];
        if (bytes == 2)
            memcpy(lane, one, bytes * (size_t)n);
        if (bins->columns)
            memcpy(bins->columns + at * (size_t)bins->n_rows + bytes * (size_t)first, lane,
                   bytes * (size_t)n);
    }
    size_t stride = (size_t)bins->stride;
    for (int32_t l = 0; l < map->n_lanes; l++) {
        const uint8_t *lane = scratch + (size_t)map->lanes[l].at * PITCH;
        uint8_t *out = bins->rows + (size_t)first * stride + map->lanes[l].at;
        for (int64_t i = 0; l < map->n_narrow && i < n; i++)
            out[(size_t)i * stride] = lane[i];
        for (int64_t i = 0; l >= map->n_narrow && i < n; i++)
            memcpy(out + (size_t)i * stride, lane + 2 * i, 2);
    }
    return seen;
}

static int32_t stride_of(int32_t row_bytes) {
    int32_t stride = 4;
    while (stride < row_bytes && stride < 64)
        stride *= 2;
    return stride >= row_bytes ? stride : (row_bytes + 15) / 16 * 16;
}

/* A file of the folder that nobody else sees, gone with its descriptor; -1: none. */
static int nameless_file(const char *folder) {
    int file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0)
        return file;
    qn_cleanup(qn_freep) char *name = qn_file_temporary(folder); /* no O_TMPFILE there */
    file = name ? open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (file >= 0)
        unlink(name);
    return file;
}

/* Takes the room on disk before it is used: a full disk is an error here and no signal later. */
static qn_status map_rows(const char *folder, size_t bytes, qn__bins *bins, qn_error *err) {
    int file = nameless_file(folder);
    QN_FAIL_IF(file < 0, err, QN_ERR_IO, "cannot make a temporary file in %s: %s", folder,
               strerror(errno));
    int failed;
    while ((failed = posix_fallocate(file, 0, (off_t)bytes)) == EINTR)
        continue; /* a signal that is handled elsewhere */
    void *rows = MAP_FAILED;
    if (!failed)
        rows = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    int unmapped = rows == MAP_FAILED ? errno : 0;
    close(file);
    QN_FAIL_IF(failed, err, QN_ERR_IO,
               "no room for %zu bytes of binned rows in %s: %s; raise limits.memory or free space",
               bytes, folder, strerror(failed));
    QN_FAIL_IF(unmapped, err, QN_ERR_IO, "cannot map a temporary file in %s: %s", folder,
               strerror(unmapped));
    bins->rows = rows;
    bins->mapped_bytes = bytes;
    return QN_OK;
}

static qn_status allocate_rows(size_t bytes, size_t most, const qn_job *job, qn__bins *bins,
                               qn_error *err) {
    if (bytes > most && job->temp_folder)
        return map_rows(job->temp_folder, bytes, bins, err);
    if (!(bins->rows = qn_malloc_aligned(bytes, 1)))
        return qn_error_memory(err);
    qn__huge_pages(bins->rows, bytes);
    return QN_OK;
}

static qn_status allocate(const qn__bin_map *map, qn__columns columns, const qn_job *job,
                          qn__bins *bins, qn_error *err) {
    enum { LINE = 64, GRADIENT = sizeof(int32_t) };
    size_t n = (size_t)bins->n_rows, bytes;
    size_t most = job && job->memory_bytes ? job->memory_bytes / 2 : SIZE_MAX;
    bins->stride = stride_of(map->row_bytes);
    if (!qn_size_mul(n, (size_t)(bins->stride + map->row_bytes), &bytes))
        return qn_error_memory(err);
    bool has_room = map->row_bytes > 0 && bins->stride - map->row_bytes >= GRADIENT;
    bool with_columns = columns == QN__COLUMNS || (columns == QN__COLUMNS_THAT_PAY
                                                   && !(has_room && 2 * bins->stride <= LINE));
    with_columns &= bytes <= most;
    QN_TRY(allocate_rows(n * (size_t)bins->stride, most, job, bins, err));
    /* What lies in a file is not to be written back for each tree. */
    if (!with_columns && !bins->mapped_bytes && has_room)
        bins->gh_at = bins->stride - GRADIENT;
    if (!with_columns)
        return QN_OK;
    bytes = n * (size_t)map->row_bytes + OVER_READ;
    if (!(bins->columns = qn_malloc_aligned(bytes, 1)))
        return qn_error_memory(err);
    qn__huge_pages(bins->columns, bytes);
    memset(bins->columns + bytes - OVER_READ, 0, OVER_READ);
    return QN_OK;
}

qn_status qn__bins_allocate(const qn__bin_map *map, int64_t n, qn__columns columns,
                            const qn_job *job, qn__bins *ret_bins, qn_error *err) {
    qn_cleanup(qn__bins_done) qn__bins bins = {.n_rows = n};
    QN_TRY(allocate(map, columns, job, &bins, err));
    *ret_bins = bins;
    bins = (qn__bins){0};
    return QN_OK;
}

qn_status qn__bins_fill(qn__bin_map *map, const qn_matrix *x, qn__columns columns,
                        const qn_job *job, qn__bins *ret_bins, qn_error *err) {
    qn_cleanup(qn__bins_done) qn__bins bins = {.n_rows = x->n_rows};
    QN_TRY(allocate(map, columns, job, &bins, err));
    int n_threads = qn_job_threads(job);
    size_t scratch_bytes = (size_t)map->row_bytes * PITCH;
    qn_cleanup(qn_freep) uint8_t *scratch = qn_malloc_aligned((size_t)n_threads, scratch_bytes);
    if (!scratch)
        return qn_error_memory(err);
    int64_t n_blocks = (x->n_rows + BLOCK - 1) / BLOCK;
    bool seen = true;
#pragma omp parallel for schedule(dynamic) num_threads(n_threads) if (n_blocks > 8)
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t first = b * BLOCK, left = x->n_rows - first;
        if (!fill_block(map, x, first, left < BLOCK ? left : BLOCK,
                        scratch + (size_t)omp_get_thread_num() * scratch_bytes, &bins)) {
#pragma omp atomic write
            seen = false;
        }
    }
    QN_FAIL_IF(!seen, err, QN_ERR_USAGE, "rows that the bins were not made for");
    if (x == map->fitted_to)
        forget_values(map);
    if (map->n_dense < map->n_features)
        QN_TRY(fill_sparse(map, x, &bins, err));
    *ret_bins = bins;
    bins = (qn__bins){0};
    return QN_OK;
}
