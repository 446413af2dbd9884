/* LambdaRank: rows are ordered within their query (Burges, Ragno and Le 2006; Burges 2010, From RankNet
 * to LambdaRank to LambdaMART).
 *
 * A pair of rows of a query, the first of a higher label, pulls its scores apart by the logistic loss of
 * their difference times what NDCG would gain if they changed places:
 *
 *     lambda = |gain_1 - gain_2| |discount_1 - discount_2| / best DCG / (1 + e^(s_1 - s_2))
 *
 * with gains 2^label - 1 and discounts 1 / log2(2 + place), places counted from 0. As in LightGBM only
 * pairs with a row among the first lambdarank_truncation_level count, and lambdarank_norm divides a
 * pair by 0.01 + the distance of its scores and shrinks large sums of a query to their logarithm.
 *
 * Each row belongs to one query and each query is worked on by one thread, rows of equal scores in the
 * order of the table: the bits do not depend on the number of threads. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "learn/gbdt_exp.h"
#include "learn/gbdt_int.h"

/* A row of the query at hand. */
typedef struct qn__rank_item {
    double score, gain;
    uint32_t row;
} item;

enum { PRESET_LABELS = 32, N_LANES = 6 };

void qn__queries_free(qn__queries **queries) {
    qn__queries *q = queries ? *queries : NULL;
    if (!q)
        return;
    qn_freep(&q->begin);
    qn_freep(&q->rows);
    qn_freep(&q->gain);
    qn_freep(&q->best);
    qn_freep(&q->ndcg);
    qn_freep(&q->discount);
    qn_freep(&q->items);
    qn_freep(&q->lanes);
    qn_freep(queries);
}

/* ---- labels -------------------------------------------------------------------------------- */

qn_status qn__rank_gains(const qn_gbdt_params *params, double *gain, int32_t *ret_n,
                         qn_error *err) {
    const json_t *given = params->label_gain;
    size_t n = given ? json_array_size(given) : PRESET_LABELS;
    QN_FAIL_IF(given && (!json_is_array(given) || n < 2 || n > QN__RANK_LABELS), err,
               QN_ERR_CONFIG, "label_gain must be a list of 2 to %d numbers, one for each label",
               QN__RANK_LABELS);
    for (size_t i = 0; i < n; i++) {
        const json_t *value = given ? json_array_get(given, i) : NULL;
        gain[i] = given ? json_number_value(value) : exp2((double)i) - 1;
        QN_FAIL_IF(given && (!json_is_number(value) || !(gain[i] >= 0 && gain[i] <= 1e12)), err,
                   QN_ERR_CONFIG, "label_gain: gains must be numbers from 0 to 1e12");
    }
    *ret_n = (int32_t)n;
    return QN_OK;
}

/* ---- rows by queries ----------------------------------------------------------------------- */

/* begin, rows: counting sort, so that a query's rows are ascending; queries without rows are left out. */
static qn_status sort_rows(qn__queries *q, const int32_t *query, int64_t n, int32_t n_queries,
                           qn_error *err) {
    qn_cleanup(qn_freep) int64_t *end = qn_new_array(int64_t, (int64_t)n_queries + 1);
    if (!end)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++) {
        QN_FAIL_IF(query[i] < 0 || query[i] >= n_queries, err, QN_ERR_USAGE,
                   "row %lld is of query %d of %d", (long long)i + 1, (int)query[i],
                   (int)n_queries);
        end[query[i]]++;
    }
    for (int32_t k = 0, used = 0; k < n_queries; k++) {
        q->begin[used + 1] = q->begin[used] + end[k];
        q->longest = end[k] > q->longest ? end[k] : q->longest;
        int64_t first = q->begin[used];
        used += end[k] > 0;
        q->n = used;
        end[k] = first;
    }
    for (int64_t i = 0; i < n; i++)
        q->rows[end[query[i]]++] = (uint32_t)i;
    return QN_OK;
}

static int by_gain(const void *a, const void *b) {
    double x = ((const item *)a)->gain, y = ((const item *)b)->gain;
    return (x < y) - (x > y);
}

static int by_score(const void *a, const void *b) {
    const item *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->row > y->row) - (x->row < y->row);
}

static double dcg(const qn__queries *q, const item *items, int64_t n, int64_t places) {
    double sum = 0;
    for (int64_t i = 0; i < n && i < places; i++)
        sum += items[i].gain * q->discount[i];
    return sum;
}

static item *items_of(const qn__queries *q) {
    return q->items + omp_get_thread_num() * q->longest;
}

/* In the order of scores, which few rows leave from one round to the next: insertion while it is cheap.
 * The order of two rows never depends on where they stood. */
static void sort_items(item *items, int64_t n) {
    int64_t left = 8 * n;
    for (int64_t i = 1; i < n; i++) {
        item own = items[i];
        int64_t at = i;
        for (; at > 0 && by_score(&items[at - 1], &own) > 0 && left > 0; at--, left--)
            items[at] = items[at - 1];
        items[at] = own;
        if (left <= 0) {
            qsort(items, (size_t)n, sizeof *items, by_score);
            return;
        }
    }
}

/* The items of query k, in the order that they were left in. */
static int64_t fill_items(const qn__queries *q, int64_t k, const double *score, item *items) {
    int64_t n = q->begin[k + 1] - q->begin[k];
    for (int64_t i = 0; i < n; i++) {
        uint32_t row = q->rows[q->begin[k] + i];
        items[i] = (item){.score = score ? score[row] : 0, .gain = q->gain[row], .row = row};
    }
    return n;
}

/* best[2 * k]: of the places that training looks at, best[2 * k + 1]: of those that NDCG is told of. */
static void find_best(qn__queries *q, const qn_gbdt_params *params) {
    for (int64_t k = 0; k < q->n; k++) {
        int64_t n = fill_items(q, k, NULL, q->items);
        qsort(q->items, (size_t)n, sizeof *q->items, by_gain);
        q->best[2 * k] = dcg(q, q->items, n, params->lambdarank_truncation_level);
        q->best[2 * k + 1] = dcg(q, q->items, n, params->eval_at);
    }
}

qn_status qn__queries_new(const qn_gbdt_params *params, const double *y, const int32_t *query,
                          int64_t n, int32_t n_queries, int n_threads, qn__queries **ret_queries,
                          qn_error *err) {
    double gain[QN__RANK_LABELS];
    int32_t n_labels;
    QN_TRY(qn__rank_gains(params, gain, &n_labels, err));
    qn_cleanup(qn__queries_free) qn__queries *q = qn_new(qn__queries);
    if (!q)
        return qn_error_memory(err);
    q->begin = qn_new_array(int64_t, (int64_t)n_queries + 1);
    q->rows = qn_malloc_aligned((size_t)n, sizeof *q->rows);
    q->gain = qn_malloc_aligned((size_t)n, sizeof *q->gain);
    if (!q->begin || !q->rows || !q->gain)
        return qn_error_memory(err);
    QN_TRY(sort_rows(q, query, n, n_queries, err));
    for (int64_t i = 0; i < n; i++) {
        if (!(y[i] >= 0 && y[i] < n_labels && y[i] == floor(y[i])))
            return qn_error_set_at(err, QN_ERR_DATA, NULL, i + 1, NULL,
                                   "label %g has no gain: labels are whole numbers from 0 to %d",
                                   y[i], n_labels - 1);
        q->gain[i] = gain[(int32_t)y[i]];
    }
    q->best = qn_new_array(double, 2 * q->n);
    q->ndcg = qn_new_array(double, q->n);
    size_t cells;
    if (!qn_size_mul((size_t)q->longest, (size_t)n_threads, &cells))
        return qn_error_memory(err);
    q->items = qn_malloc_aligned(cells, sizeof *q->items);
    q->lanes = qn_malloc_aligned(cells, N_LANES * sizeof *q->lanes);
    q->discount = qn_new_array(double, q->longest);
    if (!q->best || !q->ndcg || !q->items || !q->lanes || !q->discount)
        return qn_error_memory(err);
    for (int64_t i = 0; i < q->longest; i++)
        q->discount[i] = 1 / log2((double)i + 2);
    find_best(q, params);
    *ret_queries = qn_steal(&q);
    return QN_OK;
}

/* ---- gradients ----------------------------------------------------------------------------- */

/* The query at hand by columns, in the order of its scores: arrays of the longest query each. */
typedef struct lanes {
    double *score, *gain, *g, *h, *lambda, *curve;
} lanes;

static lanes lanes_of(const qn__queries *q) {
    double *at = q->lanes + (int64_t)omp_get_thread_num() * N_LANES * q->longest;
    int64_t n = q->longest;
    return (lanes){at, at + n, at + 2 * n, at + 3 * n, at + 4 * n, at + 5 * n};
}

/* A row of the query, and what its pairs share. */
typedef struct puller {
    double score, gain, discount;
    double inverse_best;
    double near, far; /* distances are divided by near + far |distance| */
} puller;

/* What a row pulls at the n rows below it, and they at it. Signs are those of the rows below: a row of
 * more gain is pulled up. */
QN__WIDE static void pull_below(const puller *from, int64_t n, const double *restrict score,
                                const double *restrict gain, const double *restrict discount,
                                double *restrict g, double *restrict h, double *restrict lambda,
                                double *restrict curve) {
    const puller own = *from;
    for (int64_t j = 0; j < n; j++) {
        double more = own.gain - gain[j], sign = more < 0 ? -1 : 1;
        double apart = sign * (own.score - score[j]);
        double change = more * (own.discount - discount[j]) * own.inverse_best;
        double p = 1 / (1 + qn__exp(apart));
        change /= own.near + own.far * fabs(apart);
        lambda[j] = p * change;
        curve[j] = p * (1 - p) * fabs(change);
        g[j] += lambda[j];
        h[j] += curve[j];
    }
}

/* Takes what is below off row i, eight sums side by side, always the same eight; the sizes of all. */
QN__WIDE static double add_below(const lanes *l, int64_t i, int64_t n) {
    enum { SUMS = 8 };
    const double *restrict lambda = l->lambda, *restrict curve = l->curve;
    double g[SUMS] = {0}, h[SUMS] = {0}, sizes[SUMS] = {0};
    int64_t j = i + 1;
    for (; j + SUMS <= n; j += SUMS)
        for (int k = 0; k < SUMS; k++) {
            g[k] += lambda[j + k];
            h[k] += curve[j + k];
            sizes[k] += lambda[j + k] < 0 ? -lambda[j + k] : lambda[j + k];
        }
    for (int k = 0; j < n; j++, k++) {
        g[k] += lambda[j];
        h[k] += curve[j];
        sizes[k] += fabs(lambda[j]);
    }
    double sum = 0;
    for (int k = 0; k < SUMS; k++) {
        l->g[i] -= g[k];
        l->h[i] += h[k];
        sum += sizes[k];
    }
    return sum;
}

static void pull_query(const qn_gbdt_params *params, const double *discount, const lanes *l,
                       int64_t n, double best) {
    bool is_normed = params->lambdarank_norm && l->score[0] != l->score[n - 1];
    int64_t deep = params->lambdarank_truncation_level;
    double sum = 0;
    for (int64_t i = 0; i < n - 1 && i < deep; i++) {
        const puller own = {l->score[i], l->gain[i], discount[i], 1 / best,
                            is_normed ? 0.01 : 1, is_normed ? 1 : 0};
        int64_t k = i + 1;
        pull_below(&own, n - k, l->score + k, l->gain + k, discount + k, l->g + k, l->h + k,
                   l->lambda + k, l->curve + k);
        sum += 2 * add_below(l, i, n);
    }
    double shrink = params->lambdarank_norm && sum > 0 ? log2(1 + sum) / sum : 1;
    for (int64_t i = 0; i < n; i++) {
        l->g[i] *= shrink;
        l->h[i] *= shrink;
    }
}

void qn__rank_gradients(const qn__objective_data *d, const double *score, float *g, float *h) {
    const qn__queries *q = d->queries;
#pragma omp parallel for schedule(dynamic, 16) num_threads(d->n_threads) if (64 * d->n > QN__WORTH_THREADS)
    for (int64_t k = 0; k < q->n; k++) {
        item *items = items_of(q);
        lanes l = lanes_of(q);
        int64_t n = fill_items(q, k, score, items);
        sort_items(items, n);
        for (int64_t i = 0; i < n; i++) {
            q->rows[q->begin[k] + i] = items[i].row;
            l.score[i] = items[i].score;
            l.gain[i] = items[i].gain;
            l.g[i] = l.h[i] = 0;
        }
        if (q->best[2 * k] > 0)
            pull_query(d->params, q->discount, &l, n, q->best[2 * k]);
        for (int64_t i = 0; i < n; i++) {
            double w = d->w ? d->w[items[i].row] : 1;
            g[items[i].row] = (float)(w * l.g[i]);
            h[items[i].row] = (float)(w * l.h[i]);
        }
    }
}

/* ---- loss ---------------------------------------------------------------------------------- */

double qn__rank_loss(const qn__objective_data *d, const double *score) {
    const qn__queries *q = d->queries;
    double sum = 0, weights = 0;
#pragma omp parallel for schedule(dynamic, 16) num_threads(d->n_threads) if (16 * d->n > QN__WORTH_THREADS)
    for (int64_t k = 0; k < q->n; k++) {
        item *items = items_of(q);
        int64_t n = fill_items(q, k, score, items);
        sort_items(items, n);
        for (int64_t i = 0; i < n; i++)
            q->rows[q->begin[k] + i] = items[i].row;
        q->ndcg[k] = q->best[2 * k + 1] > 0
                         ? dcg(q, items, n, d->params->eval_at) / q->best[2 * k + 1] : 0;
    }
    for (int64_t k = 0; k < q->n; k++) {
        double w = 0;
        for (int64_t i = q->begin[k]; i < q->begin[k + 1]; i++)
            w += d->w ? d->w[q->rows[i]] : 1;
        w = q->best[2 * k + 1] > 0 ? w / (double)(q->begin[k + 1] - q->begin[k]) : 0;
        sum += w * q->ndcg[k];
        weights += w;
    }
    return weights > 0 ? 1 - sum / weights : 0;
}
