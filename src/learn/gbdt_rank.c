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

#include "learn/gbdt_int.h"

/* A row of the query at hand. */
typedef struct qn__rank_item {
    double score, gain, g, h;
    uint32_t row;
} item;

enum { PRESET_LABELS = 32 };

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

/* The items of query k, in the order of the table. */
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
    q->discount = qn_new_array(double, q->longest);
    if (!q->best || !q->ndcg || !q->items || !q->discount)
        return qn_error_memory(err);
    for (int64_t i = 0; i < q->longest; i++)
        q->discount[i] = 1 / log2((double)i + 2);
    find_best(q, params);
    *ret_queries = qn_steal(&q);
    return QN_OK;
}

/* ---- gradients ----------------------------------------------------------------------------- */

/* Adds what the pair pulls to both; how much it is in sum. */
static double pull(item *a, item *b, double discounts, double inverse_best, bool is_normed) {
    item *high = a->gain > b->gain ? a : b, *low = high == a ? b : a;
    double apart = high->score - low->score;
    double change = (high->gain - low->gain) * discounts * inverse_best;
    if (is_normed)
        change /= 0.01 + fabs(apart);
    double p = 1 / (1 + exp(apart)), lambda = p * change, curve = p * (1 - p) * change;
    high->g -= lambda;
    low->g += lambda;
    high->h += curve;
    low->h += curve;
    return 2 * lambda;
}

static void pull_query(const qn_gbdt_params *params, const double *discount, item *items, int64_t n,
                       double best) {
    qsort(items, (size_t)n, sizeof *items, by_score);
    bool is_normed = params->lambdarank_norm && items[0].score != items[n - 1].score;
    int64_t deep = params->lambdarank_truncation_level;
    double sum = 0;
    for (int64_t i = 0; i < n - 1 && i < deep; i++)
        for (int64_t j = i + 1; j < n; j++)
            if (items[i].gain != items[j].gain)
                sum += pull(&items[i], &items[j], discount[i] - discount[j], 1 / best, is_normed);
    double shrink = params->lambdarank_norm && sum > 0 ? log2(1 + sum) / sum : 1;
    for (int64_t i = 0; i < n; i++) {
        items[i].g *= shrink;
        items[i].h *= shrink;
    }
}

void qn__rank_gradients(const qn__objective_data *d, const double *score, float *g, float *h) {
    const qn__queries *q = d->queries;
#pragma omp parallel for schedule(dynamic, 16) num_threads(d->n_threads) if (64 * d->n > QN__WORTH_THREADS)
    for (int64_t k = 0; k < q->n; k++) {
        item *items = items_of(q);
        int64_t n = fill_items(q, k, score, items);
        if (q->best[2 * k] > 0)
            pull_query(d->params, q->discount, items, n, q->best[2 * k]);
        for (int64_t i = 0; i < n; i++) {
            double w = d->w ? d->w[items[i].row] : 1;
            g[items[i].row] = (float)(w * items[i].g);
            h[items[i].row] = (float)(w * items[i].h);
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
        qsort(items, (size_t)n, sizeof *items, by_score);
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
