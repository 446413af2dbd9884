/* Which rows a tree is grown on. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "learn/gbdt_int.h"

qn_status qn__sample_check(const qn_gbdt_params *p, qn_task task, qn_error *err) {
    bool goss = strcmp(p->data_sample_strategy, "goss") == 0;
    bool by_class = p->pos_bagging_fraction < 1 || p->neg_bagging_fraction < 1;
    QN_FAIL_IF(by_class && task != QN_TASK_BINARY, err, QN_ERR_CONFIG,
               "pos_bagging_fraction and neg_bagging_fraction need a binary task");
    QN_FAIL_IF(by_class && p->bagging_freq == 0, err, QN_ERR_CONFIG,
               "pos_bagging_fraction and neg_bagging_fraction need a bagging_freq of at least 1");
    QN_FAIL_IF(goss && p->bagging_freq > 0 && (by_class || p->bagging_fraction < 1), err,
               QN_ERR_CONFIG, "data_sample_strategy goss takes the place of bagging: leave out "
                              "bagging_fraction or bagging_freq");
    QN_FAIL_IF(goss && p->top_rate + p->other_rate > 1, err, QN_ERR_CONFIG,
               "top_rate and other_rate are %g in sum, they must be at most 1",
               p->top_rate + p->other_rate);
    return QN_OK;
}

bool qn__sample_any(const qn_gbdt_params *p) {
    return strcmp(p->data_sample_strategy, "goss") == 0
           || (p->bagging_freq > 0
               && (p->bagging_fraction < 1 || p->pos_bagging_fraction < 1
                   || p->neg_bagging_fraction < 1));
}

int64_t qn__sample_bag(const qn_gbdt_params *p, const double *y, int64_t n_all, uint64_t seed,
                       uint32_t *rows) {
    bool by_class = p->pos_bagging_fraction < 1 || p->neg_bagging_fraction < 1;
    const double share[2] = {by_class ? p->neg_bagging_fraction : p->bagging_fraction,
                             by_class ? p->pos_bagging_fraction : p->bagging_fraction};
    int64_t n = 0, n_bag = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < n_all; i++)
            if ((qn_rng_hash_uniform(seed, (uint64_t)i) < share[by_class && y[i] > 0.5]) == !pass)
                rows[n++] = (uint32_t)i;
        if (pass == 0)
            n_bag = n;
    }
    return n_bag;
}

/* ---- gradient-based one-side sampling (Ke et al. 2017, LightGBM, section 3) ------------------- */

/* Floats of at least 0 are in the order of their bits. */
static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* The k-th largest of n, k >= 1, and how many are larger: by the upper half of the bits, then by
 * the lower one. count[65536] is scratch. */
static uint32_t kth_largest(const uint32_t *x, int64_t n, int64_t k, int64_t *count,
                            int64_t *ret_larger) {
    uint32_t found = 0;
    int64_t larger = 0;
    for (int shift = 16; shift >= 0; shift -= 16) {
        memset(count, 0, 65536 * sizeof *count);
        for (int64_t i = 0; i < n; i++)
            if (shift == 16 || x[i] >> 16 == found >> 16)
                count[x[i] >> shift & 0xffff]++;
        int32_t b = 65535;
        while (b > 0 && larger + count[b] < k)
            larger += count[b--];
        found |= (uint32_t)b << shift;
    }
    *ret_larger = larger;
    return found;
}

/* size[i] = bits of sum over outputs of |g h|. */
static void sizes_of(const float *g, const float *h, int64_t n, int32_t n_outputs, int n_threads,
                     uint32_t *size) {
#pragma omp parallel for schedule(static) num_threads(n_threads) if (4 * n * n_outputs > QN__WORTH_THREADS)
    for (int64_t i = 0; i < n; i++) {
        float sum = 0;
        for (int32_t k = 0; k < n_outputs; k++)
            sum += fabsf(g[k * n + i] * h[k * n + i]);
        size[i] = bits_of(sum);
    }
}

qn_status qn__sample_goss(const qn__goss_input *in, uint32_t *rows, qn__range *range,
                          int64_t *ret_n, qn_error *err) {
    int64_t n = in->n, n_top = (int64_t)((double)n * in->params->top_rate);
    int64_t n_other = (int64_t)((double)n * in->params->other_rate), larger = 0;
    n_top = n_top < 1 ? 1 : n_top;
    n_other = n_other > n - n_top ? n - n_top : n_other;
    qn_cleanup(qn_freep) int64_t *count = qn_new_array(int64_t, 65536);
    if (!count)
        return qn_error_memory(err);
    sizes_of(in->g, in->h, n, in->n_outputs, in->n_threads, in->scratch);
    uint32_t least = kth_largest(in->scratch, n, n_top, count, &larger);
    int64_t ties = n_top - larger, left = n - n_top, want = n_other;
    float times = n_other > 0 ? (float)((double)left / (double)n_other) : 1;
    int64_t n_in = 0, n_out = n_top + n_other;
    for (int64_t i = 0; i < n; i++) {
        bool top = in->scratch[i] > least || (in->scratch[i] == least && ties-- > 0);
        /* Selection sampling (Knuth 3.4.2 S): exactly n_other of the rest. */
        bool other = !top && qn_rng_hash_uniform(in->seed, (uint64_t)i) * (double)left
                                 < (double)want;
        left -= !top;
        want -= other;
        if (top || other)
            rows[n_in++] = (uint32_t)i;
        else
            rows[n_out++] = (uint32_t)i;
        for (int32_t k = 0; other && k < in->n_outputs; k++) {
            float *g = &in->g[k * n + i], *h = &in->h[k * n + i];
            *g *= times;
            *h *= times;
            range[k].g = fmaxf(range[k].g, fabsf(*g));
            range[k].h = fmaxf(range[k].h, *h);
        }
    }
    *ret_n = n_top + n_other;
    return QN_OK;
}
