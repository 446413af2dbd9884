#include "data/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int compare_i64(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Uniform in (0, 1]: safe to take the logarithm of. */
static double positive_uniform(qn_rng *rng) {
    return 1.0 - qn_rng_uniform(rng);
}

qn_status qn_sample_negatives(const int64_t *rows, int64_t n_used, const double *y, double share,
                              uint64_t seed, int64_t **ret_rows, int64_t *ret_n, qn_error *err) {
    QN_FAIL_IF(!(share > 0 && share <= 1), err, QN_ERR_CONFIG,
               "sample.negatives must be more than 0 and at most 1, not %g", share);
    qn_cleanup(qn_freep) int64_t *kept = qn_new_array(int64_t, n_used);
    if (!kept)
        return qn_error_memory(err);
    int64_t n = 0;
    for (int64_t i = 0; i < n_used; i++) {
        int64_t row = rows ? rows[i] : i;
        bool keep = y[row] == 1 ||
                    (y[row] == 0 &&
                     (share == 1 || qn_rng_hash_uniform(seed, (uint64_t)row) < share));
        if (keep)
            kept[n++] = row;
    }
    *ret_rows = qn_steal(&kept);
    *ret_n = n;
    return QN_OK;
}

qn_status qn_sample_uniform(int64_t n_rows, int64_t k, uint64_t seed, int64_t **ret_rows,
                            int64_t *ret_n, qn_error *err) {
    QN_FAIL_IF(k < 0 || n_rows < 0, err, QN_ERR_USAGE, "cannot sample %lld of %lld rows",
               (long long)k, (long long)n_rows);
    qn_cleanup(qn_reservoir_done) qn_reservoir reservoir = {0};
    QN_TRY(qn_reservoir_init(&reservoir, k < n_rows ? k : n_rows, seed, err));
    qn_reservoir_add(&reservoir, n_rows);
    return qn_reservoir_rows(&reservoir, ret_rows, ret_n, err);
}

/* ---- weighted ---- */

typedef struct weighted_item {
    double key;
    int64_t row;
} weighted_item;

/* Order of the heap: smallest key first, of equal keys the later row. */
static bool weighted_before(const weighted_item *a, const weighted_item *b) {
    return a->key < b->key || (a->key == b->key && a->row > b->row);
}

static void weighted_sink(weighted_item *heap, int64_t n, int64_t i) {
    weighted_item item = heap[i];
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && weighted_before(&heap[child + 1], &heap[child]))
            child++;
        if (!weighted_before(&heap[child], &item))
            break;
        heap[i] = heap[child];
    }
    heap[i] = item;
}

static void weighted_rise(weighted_item *heap, int64_t i) {
    weighted_item item = heap[i];
    for (; i > 0 && weighted_before(&item, &heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = item;
}

qn_status qn_sample_weighted(const double *weight, int64_t n_rows, int64_t k, uint64_t seed,
                             int64_t **ret_rows, int64_t *ret_n, qn_error *err) {
    QN_FAIL_IF(k < 0, err, QN_ERR_USAGE, "cannot sample %lld rows", (long long)k);
    int64_t n_positive = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        if (!(weight[i] >= 0) || isinf(weight[i]))
            return qn_error_set_at(err, QN_ERR_DATA, NULL, i + 1, NULL,
                                   "a sampling weight must be a number of at least 0, not %g",
                                   weight[i]);
        n_positive += weight[i] > 0;
    }
    int64_t capacity = k < n_positive ? k : n_positive, n = 0;
    qn_cleanup(qn_freep) weighted_item *heap = qn_new_array(weighted_item, capacity);
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, capacity);
    if (!heap || !rows)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n_rows && capacity > 0; i++) {
        if (weight[i] == 0)
            continue;
        double u = 1.0 - qn_rng_hash_uniform(seed, (uint64_t)i);
        weighted_item item = {log(u) / weight[i], i};
        if (n < capacity) {
            heap[n] = item;
            weighted_rise(heap, n++);
        } else if (weighted_before(&heap[0], &item)) {
            heap[0] = item;
            weighted_sink(heap, n, 0);
        }
    }
    for (int64_t i = 0; i < n; i++)
        rows[i] = heap[i].row;
    qsort(rows, (size_t)n, sizeof rows[0], compare_i64);
    *ret_rows = qn_steal(&rows);
    *ret_n = n;
    return QN_OK;
}

/* ---- stratified ---- */

typedef struct stratum {
    int64_t n_rows, quota; /* both count down as the rows go by */
    double remainder;
    qn_rng rng;
} stratum;

/* Shares k among the strata by their sizes: floors, then one each by largest remainder (ties: first
 * class), then one for every class that got none, from the class with the most. */
static void strata_quotas(stratum *strata, int32_t n_strata, int64_t n_rows, int64_t k) {
    int64_t left = k, n_present = 0;
    for (int32_t c = 0; c < n_strata; c++) {
        double exact = (double)k * (double)strata[c].n_rows / (double)n_rows;
        strata[c].quota = (int64_t)floor(exact);
        strata[c].remainder = exact - floor(exact);
        left -= strata[c].quota;
        n_present += strata[c].n_rows > 0;
    }
    for (; left > 0; left--) {
        int32_t best = -1;
        for (int32_t c = 0; c < n_strata; c++)
            if (strata[c].quota < strata[c].n_rows &&
                (best < 0 || strata[c].remainder > strata[best].remainder))
                best = c;
        strata[best].quota++;
        strata[best].remainder -= 1;
    }
    for (int32_t c = 0; c < n_strata && k >= n_present; c++) {
        if (strata[c].n_rows == 0 || strata[c].quota > 0)
            continue;
        int32_t most = 0;
        for (int32_t d = 1; d < n_strata; d++)
            if (strata[d].quota > strata[most].quota)
                most = d;
        strata[most].quota--;
        strata[c].quota = 1;
    }
}

/* The class of y, or -1 when the row has none. */
static int32_t stratum_of(double y, int32_t n_classes) {
    return y >= 0 && y < n_classes ? (int32_t)y : -1;
}

qn_status qn_sample_stratified(const double *y, int64_t n_rows, int32_t n_classes, int64_t k,
                               uint64_t seed, int64_t **ret_rows, int64_t *ret_n, qn_error *err) {
    QN_FAIL_IF(k < 0 || n_classes < 1, err, QN_ERR_USAGE, "cannot sample %lld rows of %d classes",
               (long long)k, (int)n_classes);
    qn_cleanup(qn_freep) stratum *strata = qn_new_array(stratum, n_classes);
    if (!strata)
        return qn_error_memory(err);
    int64_t n_labelled = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        int32_t c = stratum_of(y[i], n_classes);
        if (c >= 0) {
            strata[c].n_rows++;
            n_labelled++;
        }
    }
    k = k < n_labelled ? k : n_labelled;
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, k);
    if (!rows)
        return qn_error_memory(err);
    if (k > 0)
        strata_quotas(strata, n_classes, n_labelled, k);
    for (int32_t c = 0; c < n_classes; c++)
        qn_rng_init_stream(&strata[c].rng, seed, (uint64_t)c);
    /* Selection sampling (Knuth, TAOCP 3.4.2 S) per class: a row is taken with chance quota / rows
     * left, which draws exactly the quota, in row order. */
    int64_t n = 0;
    for (int64_t i = 0; i < n_rows && n < k; i++) {
        int32_t c = stratum_of(y[i], n_classes);
        if (c < 0)
            continue;
        stratum *s = &strata[c];
        if (s->quota > 0 && (int64_t)qn_rng_below(&s->rng, (uint64_t)s->n_rows) < s->quota) {
            rows[n++] = i;
            s->quota--;
        }
        s->n_rows--;
    }
    *ret_rows = qn_steal(&rows);
    *ret_n = n;
    return QN_OK;
}

/* ---- reservoir ---- */

qn_status qn_reservoir_init(qn_reservoir *reservoir, int64_t k, uint64_t seed, qn_error *err) {
    QN_FAIL_IF(k < 0, err, QN_ERR_USAGE, "cannot sample %lld rows", (long long)k);
    int64_t *rows = qn_new_array(int64_t, k);
    if (!rows)
        return qn_error_memory(err);
    *reservoir = (qn_reservoir){.k = k, .i_next = INT64_MAX, .rows = rows};
    qn_rng_init(&reservoir->rng, seed);
    return QN_OK;
}

void qn_reservoir_done(qn_reservoir *reservoir) {
    if (!reservoir)
        return;
    qn_freep(&reservoir->rows);
    *reservoir = (qn_reservoir){0};
}

/* The gap to the next row taken is geometric in w, the k-th largest of the keys seen so far. */
static void reservoir_skip(qn_reservoir *r, int64_t i_last) {
    double gap = floor(log(positive_uniform(&r->rng)) / log1p(-r->w));
    double room = (double)(INT64_MAX - i_last) / 2;
    r->i_next = gap >= 0 && gap < room ? i_last + 1 + (int64_t)gap : INT64_MAX;
}

void qn_reservoir_add(qn_reservoir *r, int64_t n_more) {
    int64_t end = r->n_seen + n_more;
    for (; r->n_seen < end && r->n_seen < r->k; r->n_seen++) {
        r->rows[r->n_seen] = r->n_seen;
        if (r->n_seen == r->k - 1) {
            r->w = exp(log(positive_uniform(&r->rng)) / (double)r->k);
            reservoir_skip(r, r->n_seen);
        }
    }
    while (r->i_next < end) {
        r->rows[qn_rng_below(&r->rng, (uint64_t)r->k)] = r->i_next;
        r->w *= exp(log(positive_uniform(&r->rng)) / (double)r->k);
        reservoir_skip(r, r->i_next);
    }
    r->n_seen = end;
}

qn_status qn_reservoir_rows(const qn_reservoir *reservoir, int64_t **ret_rows, int64_t *ret_n,
                            qn_error *err) {
    int64_t n = reservoir->n_seen < reservoir->k ? reservoir->n_seen : reservoir->k;
    int64_t *rows = qn_new_array(int64_t, n);
    if (!rows)
        return qn_error_memory(err);
    if (n > 0)
        memcpy(rows, reservoir->rows, (size_t)n * sizeof rows[0]);
    qsort(rows, (size_t)n, sizeof rows[0], compare_i64);
    *ret_rows = rows;
    *ret_n = n;
    return QN_OK;
}
