/* metric_int.h - how metrics are computed: a view of the rows, prepared once (sorted by score where
 * a metric needs it, per-row losses), from which all metrics of one resample come in one pass. */
#ifndef QN_EVALUATE_METRIC_INT_H
#define QN_EVALUATE_METRIC_INT_H

#include "evaluate/metric.h"

typedef enum qn__metric_id {
    QN__ROC_AUC,
    QN__PR_AUC,
    QN__LOG_LOSS,
    QN__NORMALIZED_ENTROPY,
    QN__BRIER,
    QN__ECE,
    QN__ACCURACY,
    QN__BALANCED_ACCURACY,
    QN__F1,
    QN__PRECISION,
    QN__RECALL,
    QN__MCC,
    QN__F1_MACRO,
    QN__ROC_AUC_OVR,
    QN__RMSE,
    QN__MAE,
    QN__MEDIAN_AE,
    QN__R2,
    QN__MAPE,
    QN__POISSON_DEVIANCE,
    QN__CROSS_ENTROPY,
    QN__NDCG_5,
    QN__NDCG_10,
    QN__MAP,
    QN__N_METRICS,
} qn__metric_id;

/* Equal-width bins of the expected calibration error. */
enum { QN__ECE_BINS = 15 };

/* Rows by descending score, in groups of equal scores. */
typedef struct qn__ranking {
    int64_t n;
    int64_t *order;          /* owned; row at each place */
    unsigned char *positive; /* owned; [place] */
    unsigned char *last;     /* owned; [place]: 1 at the end of a group */
} qn__ranking;

/* Row i is positive when y[i] == positive; its score is score[i * stride]. */
qn_status qn__ranking_init(qn__ranking *ranking, const double *y, double positive,
                           const double *score, int64_t stride, int64_t n, qn_error *err)
    QN_MUST_USE;
void qn__ranking_done(qn__ranking *ranking);
/* ROC AUC with row i taken counts[i] * weight[i] times (NULL: once); NaN with one class only. */
double qn__ranking_auc(const qn__ranking *ranking, const unsigned char *counts,
                       const double *weight);

/* Queries with what their rankings are worth; those without a relevant row are left out: no order of
 * theirs is better than another. */
typedef struct qn__rankings {
    int64_t n;
    int64_t *first;          /* owned; its first row, whose count in a resample is the query's */
    double *weight;          /* owned; mean weight of its rows */
    double *value[3];        /* owned; QN__NDCG_5, QN__NDCG_10, QN__MAP */
} qn__rankings;

qn_status qn__rankings_init(qn__rankings *rankings, const qn_eval_input *input,
                            qn_error *err) QN_MUST_USE;
void qn__rankings_done(qn__rankings *rankings);

typedef struct qn__metric_view qn__metric_view;

/* The input is borrowed for the view's life. Only metrics with their bit in `wanted` (1 << id) are
 * prepared. */
qn_status qn__metric_view_new(const qn_eval_input *input, uint32_t wanted,
                              qn__metric_view **ret_view, qn_error *err) QN_MUST_USE;
void qn__metric_view_free(qn__metric_view **view);
/* Doubles of scratch memory that one thread needs for qn__metric_view_values. */
size_t qn__metric_view_scratch(const qn__metric_view *view);
/* values[QN__N_METRICS] of the resample (NULL: the rows as they are), NaN where undefined. All
 * wanted ones but ROC_AUC_OVR, which takes one ranking per class: see qn__ranking_auc. Any
 * thread. */
void qn__metric_view_values(const qn__metric_view *view, const unsigned char *counts,
                            double *scratch, double *values);

/* Macro average over classes of one class against the rest, of n_rounds resamples (counts of round
 * r by qn_bootstrap_counts(seed, r)), and into ret_value of the rows as they are. NaN where a class
 * is absent. One class at a time, so that memory is O(n). */
qn_status qn__auc_ovr(const qn_eval_input *input, int n_rounds, uint64_t seed, const qn_job *job,
                      double *ret_value, double *rounds, qn_error *err) QN_MUST_USE;

#endif
