#include <math.h>

#include "base/mem.h"
#include "evaluate/bootstrap.h"
#include "evaluate/metric_int.h"
#include "learn/order.h"

void qn__ranking_done(qn__ranking *ranking) {
    qn_freep(&ranking->order);
    qn_freep(&ranking->positive);
    qn_freep(&ranking->last);
}

qn_status qn__ranking_init(qn__ranking *ranking, const double *y, double positive,
                           const double *score, int64_t stride, int64_t n, qn_error *err) {
    qn_cleanup(qn__ranking_done) qn__ranking r = {.n = n};
    r.order = qn_new_array(int64_t, n);
    r.positive = qn_calloc((size_t)n, 1);
    r.last = qn_calloc((size_t)n, 1);
    if (!r.order || !r.positive || !r.last)
        return qn_error_memory(err);
    QN_TRY(qn_order_f64(score, stride, n, r.order, err));
    for (int64_t i = 0; i < n / 2; i++) {
        int64_t swap = r.order[i];
        r.order[i] = r.order[n - 1 - i];
        r.order[n - 1 - i] = swap;
    }
    for (int64_t i = 0; i < n; i++) {
        r.positive[i] = y[r.order[i]] == positive;
        r.last[i] = i + 1 == n || score[r.order[i] * stride] != score[r.order[i + 1] * stride];
    }
    *ranking = r;
    r = (qn__ranking){0};
    return QN_OK;
}

double qn__ranking_auc(const qn__ranking *ranking, const unsigned char *counts,
                       const double *weight) {
    double area = 0, tp = 0, fp = 0, pos = 0, neg = 0;
    for (int64_t i = 0; i < ranking->n; i++) {
        int64_t row = ranking->order[i];
        double w = counts ? counts[row] : 1;
        if (weight)
            w *= weight[row];
        double up = ranking->positive[i] ? w : 0;
        pos += up;
        neg += w - up;
        if (ranking->last[i]) {
            area += neg * (tp + 0.5 * pos);
            tp += pos;
            fp += neg;
            pos = neg = 0;
        }
    }
    return tp > 0 && fp > 0 ? area / (tp * fp) : (double)NAN;
}

/* Adds one class to every round's sum. */
static void add_class(const qn__ranking *ranking, const double *weight, int n_rounds, uint64_t seed,
                      int n_threads, unsigned char *counts, double *rounds) {
#pragma omp parallel for schedule(dynamic) num_threads(n_threads) if (n_threads > 1)
    for (int slot = 0; slot < n_threads; slot++) {
        unsigned char *mine = counts + (int64_t)slot * ranking->n;
        for (int r = slot; r < n_rounds; r += n_threads) {
            qn_bootstrap_counts(seed, r, ranking->n, mine);
            rounds[r] += qn__ranking_auc(ranking, mine, weight);
        }
    }
}

qn_status qn__auc_ovr(const qn_eval_input *input, int n_rounds, uint64_t seed, const qn_job *job,
                      double *ret_value, double *rounds, qn_error *err) {
    int n_threads = qn_job_threads(job);
    double sum = 0;
    qn_cleanup(qn_freep) unsigned char *counts = qn_calloc((size_t)n_threads, (size_t)input->n);
    if (!counts)
        return qn_error_memory(err);
    for (int r = 0; r < n_rounds; r++)
        rounds[r] = 0;
    for (int32_t k = 0; k < input->n_classes; k++) {
        QN_TRY(qn_job_check(job, err));
        qn_cleanup(qn__ranking_done) qn__ranking ranking = {0};
        QN_TRY(qn__ranking_init(&ranking, input->y, k, input->scores + k, input->n_classes,
                                input->n, err));
        sum += qn__ranking_auc(&ranking, NULL, input->weight);
        if (isnan(sum))
            break; /* an absent class leaves the average undefined in every resample */
        add_class(&ranking, input->weight, n_rounds, seed, n_threads, counts, rounds);
    }
    for (int r = 0; r < n_rounds; r++)
        rounds[r] = isnan(sum) ? (double)NAN : rounds[r] / input->n_classes;
    *ret_value = sum / input->n_classes;
    return QN_OK;
}
