#include <float.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "learn/gbdt_int.h"

/* Distinct values of a sample with how often each occurs. Its memory serves one column after the
 * other. */
typedef struct distinct {
    double *value;   /* owned, as the rest */
    int64_t *count;
    int64_t n, n_missing, total;
    uint64_t *keys, *spare; /* scratch of the sort */
    int64_t room;
} distinct;

static void distinct_done(distinct *d) {
    qn_freep(&d->value);
    qn_freep(&d->count);
    qn_freep(&d->keys);
    qn_freep(&d->spare);
}

/* Empty, with room for n values and a zero. */
static qn_status distinct_reserve(distinct *d, int64_t n, qn_error *err) {
    if (n >= d->room) {
        distinct_done(d);
        d->room = 0;
        d->keys = qn_malloc_aligned((size_t)n + 1, sizeof *d->keys);
        d->spare = qn_malloc_aligned((size_t)n + 1, sizeof *d->spare);
        d->value = qn_malloc_aligned((size_t)n + 1, sizeof *d->value);
        d->count = qn_malloc_aligned((size_t)n + 1, sizeof *d->count);
        if (!d->keys || !d->spare || !d->value || !d->count)
            return qn_error_memory(err);
        d->room = n + 1;
    }
    d->n = d->n_missing = d->total = 0;
    return QN_OK;
}

/* Infinities are ordinary ends of the scale; bounds between values stay finite. */
static double clamp(double x) {
    return x < -DBL_MAX ? -DBL_MAX : x > DBL_MAX ? DBL_MAX : x;
}

/* Doubles as integers in the same order, and back. */
static uint64_t sort_key(double x) {
    uint64_t bits;
    x += 0.0; /* -0 and 0 are one value */
    memcpy(&bits, &x, sizeof bits);
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

static double key_value(uint64_t key) {
    uint64_t bits = key >> 63 ? key & ~((uint64_t)1 << 63) : ~key;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, PASSES = (64 + DIGIT_BITS - 1) / DIGIT_BITS };

static inline uint64_t digit_of(uint64_t key, int shift) {
    return key >> shift & (DIGITS - 1);
}

/* Least-significant-digit radix sort by n_passes digits from bit `shift` on; passes in which all
 * digits agree are skipped. Returns where the sorted keys lie: `keys` or `spare`. n is below
 * 2^31. */
static uint64_t *sort_digits(uint64_t *keys, uint64_t *spare, int64_t n, int shift, int n_passes) {
    uint32_t count[PASSES][DIGITS];
    memset(count, 0, (size_t)n_passes * sizeof count[0]);
    for (int64_t i = 0; i < n; i++)
        for (int p = 0; p < n_passes; p++)
            count[p][digit_of(keys[i], shift + p * DIGIT_BITS)]++;
    for (int p = 0; p < n_passes && n > 0; p++) {
        uint32_t *at = count[p], sum = 0;
        if (at[digit_of(keys[0], shift + p * DIGIT_BITS)] == n)
            continue;
        for (int d = 0; d < DIGITS; d++) {
            uint32_t c = at[d];
            at[d] = sum;
            sum += c;
        }
        for (int64_t i = 0; i < n; i++)
            spare[at[digit_of(keys[i], shift + p * DIGIT_BITS)]++] = keys[i];
        uint64_t *swap = keys;
        keys = spare;
        spare = swap;
    }
    return keys;
}

/* Keys in order but for their low bits; false when that takes more than a few steps a key. */
static bool insert_keys(uint64_t *keys, int64_t n) {
    int64_t steps = 8 * n;
    for (int64_t i = 1; i < n && steps > 0; i++) {
        uint64_t key = keys[i];
        int64_t at = i;
        for (; at > 0 && keys[at - 1] > key; at--, steps--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
    return steps > 0;
}

/* By the first three digits in which keys differ, which nearly sorts most columns, and the rest by
 * insertion; by all digits when that does not do. */
static uint64_t *radix_sort(uint64_t *keys, uint64_t *spare, int64_t n) {
    enum { FIRST = 3 };
    uint64_t differ = 1;
    for (int64_t i = 1; i < n; i++)
        differ |= keys[i] ^ keys[0];
    int shift = 64 - __builtin_clzll(differ) - FIRST * DIGIT_BITS;
    if (shift <= 0)
        return sort_digits(keys, spare, n, 0, FIRST);
    uint64_t *sorted = sort_digits(keys, spare, n, shift, FIRST);
    if (insert_keys(sorted, n))
        return sorted;
    return sort_digits(sorted, sorted == keys ? spare : keys, n, 0, PASSES);
}

/* Row (or entry) i of a sample of `size` out of n: one from each of `size` equal strata. */
static int64_t sample_at(int64_t i, int64_t size, int64_t n, uint64_t seed) {
    if (size == n)
        return i;
    double at = ((double)i + qn_rng_hash_uniform(seed, (uint64_t)i)) * (double)n / (double)size;
    int64_t row = (int64_t)at;
    return row < n ? row : n - 1;
}

/* Looks at many before it decides: no branch for each. */
static bool any_missing(const double *values, int64_t n) {
    enum { BLOCK = 512 };
    for (int64_t first = 0; first < n; first += BLOCK) {
        int64_t last = first + BLOCK < n ? first + BLOCK : n;
        int found = 0;
        for (int64_t i = first; i < last; i++)
            found |= values[i] != values[i];
        if (found)
            return true;
    }
    return false;
}

static void count_run(distinct *d, uint64_t key, int64_t count) {
    d->value[d->n] = key_value(key);
    d->count[d->n++] = count;
}

/* The sampled values by sorting them. */
static qn_status sort_values(const double *values, int64_t n_all, int64_t n_sample, uint64_t seed,
                             distinct *d, qn_error *err) {
    QN_TRY(distinct_reserve(d, n_sample, err));
    uint64_t *keys = d->keys;
    int64_t n = 0;
    for (int64_t i = 0; i < n_sample; i++) {
        double x = values[sample_at(i, n_sample, n_all, seed)];
        if (isnan(x))
            d->n_missing++;
        else
            keys[n++] = sort_key(clamp(x));
    }
    const uint64_t *sorted = radix_sort(keys, d->spare, n);
    for (int64_t i = 0; i < n;) {
        int64_t from = i;
        while (i < n && sorted[i] == sorted[from])
            i++;
        count_run(d, sorted[from], i - from);
    }
    return QN_OK;
}

/* Values found so far, by key; that of the missing is MISSING. */
typedef struct few {
    uint64_t key[8];
    int64_t count[8];
    int n;
} few;

#define MISSING UINT64_MAX /* no number has this key */

/* Counts a block of keys, one known key after the other: no branch for each. False: there are too many
 * different ones. */
static bool count_block(const uint64_t *keys, int64_t n, few *f) {
    int64_t counted = 0;
    for (int j = 0; counted < n; j++) {
        for (int64_t i = 0; j == f->n && i < n; i++) {
            bool known = false;
            for (int k = 0; k < f->n; k++)
                known |= keys[i] == f->key[k];
            if (known)
                continue;
            if (f->n == 8)
                return false;
            f->key[f->n++] = keys[i];
        }
        int64_t here = 0;
        for (int64_t i = 0; i < n; i++)
            here += keys[i] == f->key[j];
        f->count[j] += here;
        counted += here;
    }
    return true;
}

/* The same without sorting; *ret_few is false, and nothing done, where there are more than a few. */
static qn_status count_few(const double *values, int64_t n_all, int64_t n_sample, uint64_t seed,
                           distinct *d, bool *ret_few, qn_error *err) {
    enum { BLOCK = 256 };
    few f = {.n = 0};
    *ret_few = false;
    for (int64_t first = 0; first < n_sample; first += BLOCK) {
        uint64_t keys[BLOCK];
        int64_t n = n_sample - first < BLOCK ? n_sample - first : BLOCK;
        for (int64_t i = 0; i < n; i++) {
            double x = values[sample_at(first + i, n_sample, n_all, seed)];
            keys[i] = x != x ? MISSING : sort_key(clamp(x));
        }
        if (!count_block(keys, n, &f))
            return QN_OK;
    }
    *ret_few = true;
    QN_TRY(distinct_reserve(d, f.n, err));
    for (uint64_t last = 0; d->n + (d->n_missing > 0) < f.n;) { /* ascending; no key is 0 */
        int next = -1;
        for (int k = 0; k < f.n; k++)
            if (f.key[k] > last && (next < 0 || f.key[k] < f.key[next]))
                next = k;
        last = f.key[next];
        if (last == MISSING)
            d->n_missing = f.count[next];
        else
            count_run(d, last, f.count[next]);
    }
    return QN_OK;
}

/* `n` further values are 0. */
static void add_zeros(distinct *d, int64_t n) {
    int64_t at = 0;
    while (at < d->n && d->value[at] < 0)
        at++;
    if (at == d->n || d->value[at] > 0) {
        memmove(d->value + at + 1, d->value + at, (size_t)(d->n - at) * sizeof *d->value);
        memmove(d->count + at + 1, d->count + at, (size_t)(d->n - at) * sizeof *d->count);
        d->value[at] = 0;
        d->count[at] = 0;
        d->n++;
    }
    d->count[at] += n;
}

/* Counts the sampled values (NaN left out) that are equal; n_zero further ones are 0. */
static qn_status count_values(const double *values, int64_t n_all, int64_t n_sample, uint64_t seed,
                              int64_t n_zero, distinct *d, qn_error *err) {
    bool is_few;
    QN_TRY(count_few(values, n_all, n_sample, seed, d, &is_few, err));
    if (!is_few)
        QN_TRY(sort_values(values, n_all, n_sample, seed, d, err));
    if (n_zero > 0)
        add_zeros(d, n_zero);
    d->total = n_sample + n_zero;
    return QN_OK;
}

/* A bound with a <= bound < b. */
static double between(double a, double b) {
    double mid = a / 2 + b / 2;
    return mid >= a && mid < b ? mid : a;
}

/* Bounds for at most max_bin bins with about equal counts; values that fill a bin alone get one of
 * their own. Returns the number of bounds. */
static int32_t place_bounds(const distinct *d, int64_t max_bin, int64_t min_in_bin,
                            double *bounds) {
    int64_t rest = d->total - d->n_missing;
    int64_t left_bins = max_bin;
    bool fits = d->n <= max_bin;
    double mean = fits ? 0 : (double)rest / (double)max_bin;
    int64_t n_big = 0, big_rows = 0;
    for (int64_t i = 0; !fits && i < d->n; i++)
        if ((double)d->count[i] >= mean) {
            n_big++;
            big_rows += d->count[i];
        }
    double big = mean;
    if (!fits) {
        rest -= big_rows;
        left_bins -= n_big;
        mean = left_bins > 0 ? (double)rest / (double)left_bins : INFINITY;
    }
    int32_t n_bounds = 0;
    int64_t in_bin = 0;
    for (int64_t i = 0; i + 1 < d->n && n_bounds + 1 < max_bin; i++) {
        in_bin += d->count[i];
        bool is_big = !fits && (double)d->count[i] >= big;
        bool next_big = !fits && (double)d->count[i + 1] >= big;
        if (!fits && !is_big) {
            rest -= d->count[i];
            if (!((double)in_bin >= mean || (next_big && (double)in_bin >= mean / 2)))
                continue;
            left_bins--;
            if (left_bins > 0)
                mean = (double)rest / (double)left_bins;
        }
        if (fits && in_bin < min_in_bin)
            continue;
        bounds[n_bounds++] = between(d->value[i], d->value[i + 1]);
        in_bin = 0;
    }
    return n_bounds;
}

/* Sampled values in the fullest bin. */
static int64_t fullest_bin(const qn__bin_feature *f, const distinct *d) {
    int64_t most = d->n_missing, in_bin = 0;
    for (int64_t i = 0, t = 0; i < d->n; i++) {
        while (t < f->n_values - 1 && d->value[i] > f->upper[t]) {
            t++;
            in_bin = 0;
        }
        in_bin += d->count[i];
        most = in_bin > most ? in_bin : most;
    }
    return most;
}

/* No split of the feature could leave min_data rows on both sides. */
static bool is_useless(const qn_gbdt_params *params, const qn__bin_feature *f, const distinct *d,
                       int64_t most, int64_t n_rows) {
    if (f->n_values + f->has_missing < 2)
        return true;
    return params->feature_pre_filter && d->total == n_rows
           && n_rows - most < params->min_data_in_leaf;
}

/* `d` is scratch. */
static qn_status fit_number(const qn_gbdt_params *params, const qn_matrix *x, uint64_t seed,
                            distinct *d, qn__bin_feature *f, qn_error *err) {
    const qn_matrix_column *column = &x->columns[f->column];
    bool sparse = f->kind == QN_FEATURE_SPARSE;
    int64_t n_all = sparse ? column->n_set : x->n_rows;
    int64_t limit = params->bin_construct_sample_cnt;
    int64_t n = n_all < limit ? n_all : limit;
    int64_t n_zero = sparse ? x->n_rows - n_all : 0;
    if (n < n_all)
        n_zero = (int64_t)((double)n_zero * (double)n / (double)n_all);
    QN_TRY(count_values(sparse ? column->value : column->num, n_all, n, seed, n_zero, d, err));
    /* A missing value that the sample did not see must still have its side learned. */
    f->has_missing = d->n_missing > 0;
    const double *values = sparse ? column->value : column->num;
    if (n < n_all && !f->has_missing)
        f->has_missing = any_missing(values, n_all);
    int64_t max_bin = params->max_bin < d->n ? params->max_bin : d->n;
    f->upper = qn_new_array(double, max_bin > 0 ? max_bin : 1);
    if (!f->upper)
        return qn_error_memory(err);
    f->n_values = 1 + place_bounds(d, max_bin, params->min_data_in_bin, f->upper);
    f->n_cells = f->n_values + 1;
    if (sparse)
        f->rest_bin = qn__bin_of(f, 0.0);
    int64_t most = fullest_bin(f, d);
    f->is_even = most * QN__EVEN_SHARE <= d->total;
    if (is_useless(params, f, d, most, x->n_rows))
        f->n_values = 0;
    return QN_OK;
}

/* Category bins: the most frequent codes get bins 1, 2, ..., the others share bin 0 with the missing.
 * As in LightGBM, max_bin yields to categories until 99 % of the rows have bins of their own. */
static qn_status fit_category(const qn_gbdt_params *params, const qn_matrix *x, qn__bin_feature *f,
                              qn_error *err) {
    int32_t n = x->features[f->column].n_categories;
    n = n > 0 ? n : 0;
    qn_cleanup(qn_freep) uint64_t *keys = qn_new_array(uint64_t, n);
    qn_cleanup(qn_freep) uint64_t *spare = qn_new_array(uint64_t, n);
    f->code_bin = qn_new_array(int32_t, n);
    if (!keys || !spare || !f->code_bin)
        return qn_error_memory(err);
    for (int32_t c = 0; c < n; c++)
        keys[c] = (uint64_t)(uint32_t)c;
    const int32_t *code = x->columns[f->column].code;
    uint64_t n_other = 0;
    for (int64_t i = 0; i < x->n_rows; i++) {
        if (code[i] >= 0 && code[i] < n)
            keys[code[i]] -= (uint64_t)1 << 32; /* 2^32 - count in the upper half: frequent first */
        else
            n_other++;
    }
    const uint64_t *sorted = radix_sort(keys, spare, n);
    int64_t max_bin = params->max_bin < QN__CAT_BINS ? params->max_bin : QN__CAT_BINS;
    double used = 0, enough = 0.99 * (double)(x->n_rows - (int64_t)n_other);
    f->n_categories = n;
    f->n_values = 1;
    /* Codes that never occur have count 0 and sort to the front as 0 .. n - 1 < 2^32. */
    for (int32_t i = 0; i < n; i++) {
        uint64_t count = ((uint64_t)1 << 32) - (sorted[i] >> 32);
        if (sorted[i] >> 32 == 0)
            continue;
        bool fits = f->n_values < max_bin || (used < enough && f->n_values < QN__CAT_BINS);
        if (fits && count >= (uint64_t)params->min_data_in_bin)
            f->code_bin[(uint32_t)sorted[i]] = f->n_values++;
        else
            n_other += count;
        used += (double)count;
    }
    f->has_missing = n_other > 0;
    f->n_cells = f->n_values;
    if (f->n_values - 1 + f->has_missing < 2)
        f->n_values = 0;
    return QN_OK;
}

qn_status qn__bin_map_fit(const qn_gbdt_params *params, const qn__map_rows *rows, uint64_t seed,
                          qn__bin_map *ret_map, qn_error *err) {
    const qn_matrix *x = rows->x;
    qn_cleanup(qn__bin_map_done) qn__bin_map map = {.n_features = x->n_features};
    map.features = qn_new_array(qn__bin_feature, x->n_features);
    if (!map.features)
        return qn_error_memory(err);
    qn_status status = QN_OK;
#pragma omp parallel num_threads(qn_job_threads(rows->job)) if (x->n_rows > 2000)
    {
        distinct scratch = {0};
#pragma omp for schedule(dynamic)
        for (int32_t i = 0; i < x->n_features; i++) {
            qn__bin_feature *f = &map.features[i];
            f->column = i;
            f->kind = x->features[i].kind;
            if (rows->input && qn__init_has(rows->input, i))
                continue;
            qn_status s = f->kind == QN_FEATURE_CATEGORY
                              ? fit_category(params, x, f, NULL)
                              : fit_number(params, x, seed + (uint64_t)i, &scratch, f, NULL);
            if (s != QN_OK) {
#pragma omp atomic write
                status = s;
            }
        }
        distinct_done(&scratch);
    }
    if (status != QN_OK)
        return qn_error_memory(err);
    bool share_lanes = params->enable_bundle && x->n_rows >= QN__PACK_ROWS;
    QN_TRY(qn__bin_map_place(&map, rows, share_lanes, err));
    *ret_map = map;
    map = (qn__bin_map){0};
    return QN_OK;
}
