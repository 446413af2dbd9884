/* Rankings within queries. Rows of equal scores are in no order: NDCG takes the mean of all their orders
 * (McSherry and Najork 2008, as scikit-learn's ndcg_score), average precision takes them as one step. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "evaluate/metric_int.h"

typedef struct ranked {
    double score, gain, weight;
    bool relevant;
} ranked;

static int by_score(const void *a, const void *b) {
    double x = ((const ranked *)a)->score, y = ((const ranked *)b)->score;
    return (x < y) - (x > y);
}

static int by_gain(const void *a, const void *b) {
    double x = ((const ranked *)a)->gain, y = ((const ranked *)b)->gain;
    return (x < y) - (x > y);
}

static double discount(int64_t place, int64_t places) {
    return place < places ? 1 / log2((double)place + 2) : 0;
}

/* The end of the rows from `first` on that share its score. */
static int64_t tie_end(const ranked *rows, int64_t n, int64_t first) {
    int64_t end = first + 1;
    while (end < n && rows[end].score == rows[first].score)
        end++;
    return end;
}

static double dcg(const ranked *rows, int64_t n, int64_t places) {
    double sum = 0;
    for (int64_t first = 0, end; first < n && first < places; first = end) {
        double gain = 0, discounts = 0;
        end = tie_end(rows, n, first);
        for (int64_t i = first; i < end; i++) {
            gain += rows[i].gain;
            discounts += discount(i, places);
        }
        sum += gain / (double)(end - first) * discounts;
    }
    return sum;
}

static double best_dcg(const ranked *rows, int64_t n, int64_t places) {
    double sum = 0;
    for (int64_t i = 0; i < n && i < places; i++)
        sum += rows[i].gain * discount(i, places);
    return sum;
}

static double average_precision(const ranked *rows, int64_t n) {
    double sum = 0, found = 0;
    for (int64_t first = 0, end; first < n; first = end) {
        double before = found;
        end = tie_end(rows, n, first);
        for (int64_t i = first; i < end; i++)
            found += rows[i].relevant;
        sum += (found - before) * found / (double)end;
    }
    return sum / found;
}

/* One query's line, unless it has nothing to find. */
static void add_query(qn__rankings *r, ranked *rows, int64_t n, int64_t first_row) {
    double best[2], weight = 0;
    qsort(rows, (size_t)n, sizeof *rows, by_gain);
    best[0] = best_dcg(rows, n, 5);
    best[1] = best_dcg(rows, n, 10);
    if (!(best[0] > 0 && best[1] < INFINITY))
        return;
    qsort(rows, (size_t)n, sizeof *rows, by_score);
    for (int64_t i = 0; i < n; i++)
        weight += rows[i].weight / (double)n;
    r->first[r->n] = first_row;
    r->weight[r->n] = weight;
    r->value[0][r->n] = dcg(rows, n, 5) / best[0];
    r->value[1][r->n] = dcg(rows, n, 10) / best[1];
    r->value[2][r->n++] = average_precision(rows, n);
}

void qn__rankings_done(qn__rankings *r) {
    qn_freep(&r->first);
    qn_freep(&r->weight);
    for (int m = 0; m < 3; m++)
        qn_freep(&r->value[m]);
}

/* begin[n_queries + 1], order[n]: rows by queries, those of a query ascending. */
static qn_status sort_rows(const qn_eval_input *in, int64_t *ret_n, int64_t **ret_begin,
                           int64_t **ret_order, qn_error *err) {
    int64_t n_queries = 0;
    for (int64_t i = 0; i < in->n; i++) {
        QN_FAIL_IF(in->query[i] < 0, err, QN_ERR_USAGE, "row %lld is of query %d",
                   (long long)i + 1, (int)in->query[i]);
        n_queries = in->query[i] >= n_queries ? in->query[i] + (int64_t)1 : n_queries;
    }
    qn_cleanup(qn_freep) int64_t *begin = qn_new_array(int64_t, n_queries + 2);
    qn_cleanup(qn_freep) int64_t *order = qn_new_array(int64_t, in->n);
    if (!begin || !order)
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n; i++) /* counts two places on, so that filling leaves begins */
        begin[in->query[i] + 2]++;
    for (int64_t k = 2; k < n_queries + 2; k++)
        begin[k] += begin[k - 1];
    for (int64_t i = 0; i < in->n; i++)
        order[begin[in->query[i] + 1]++] = i;
    *ret_n = n_queries;
    *ret_begin = qn_steal(&begin);
    *ret_order = qn_steal(&order);
    return QN_OK;
}

qn_status qn__rankings_init(qn__rankings *r, const qn_eval_input *in, qn_error *err) {
    qn_cleanup(qn_freep) int64_t *begin = NULL;
    qn_cleanup(qn_freep) int64_t *order = NULL;
    qn_cleanup(qn_freep) ranked *rows = qn_calloc((size_t)in->n + 1, sizeof *rows);
    int64_t n_queries;
    QN_TRY(sort_rows(in, &n_queries, &begin, &order, err));
    r->first = qn_new_array(int64_t, n_queries);
    r->weight = qn_new_array(double, n_queries);
    for (int m = 0; m < 3; m++)
        r->value[m] = qn_new_array(double, n_queries);
    if (!rows || !r->first || !r->weight || !r->value[0] || !r->value[1] || !r->value[2])
        return qn_error_memory(err);
    for (int64_t k = 0; k < n_queries; k++) {
        int64_t n = begin[k + 1] - begin[k];
        for (int64_t i = 0; i < n; i++) {
            int64_t row = order[begin[k] + i];
            rows[i] = (ranked){.score = in->scores[row], .gain = exp2(in->y[row]) - 1,
                               .weight = in->weight ? in->weight[row] : 1,
                               .relevant = in->y[row] > 0};
        }
        if (n > 0)
            add_query(r, rows, n, order[begin[k]]);
    }
    return QN_OK;
}
