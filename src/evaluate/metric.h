/* metric.h - the metrics, with scikit-learn's names and values (to 1e-9), in one table.
 *
 * Scores are probabilities or values (after the link), row-major scores[n][n_outputs]: binary
 * n_outputs 1 (probability of the positive class), multiclass n_classes, regression 1. y holds
 * class indexes or values. weight NULL means all 1. */
#ifndef QN_EVALUATE_METRIC_H
#define QN_EVALUATE_METRIC_H

#include "base/job.h"
#include "base/json.h"
#include "data/target.h"

typedef struct qn_eval_input {
    qn_task task;
    int32_t n_classes;
    int64_t n;
    const double *y;       /* borrowed, n */
    const double *scores;  /* borrowed, n x n_outputs */
    const double *weight;  /* borrowed, n, or NULL */
    double threshold;      /* binary: predicted positive when score >= threshold; 0.5 unless chosen */
    const int32_t *query;  /* borrowed, n: the query of each row, from 0, rows of one anywhere; its
                              rows are ranked, labels being grades from 0. NULL: no ranking */
} qn_eval_input;

/* What metrics are for: a qn_task, or the ranking of rows within queries. */
enum { QN_METRIC_RANKING = QN_TASK_REGRESSION + 1, QN_METRIC_KINDS };

static inline unsigned qn_metric_kind(const qn_eval_input *input) {
    return input->query ? QN_METRIC_RANKING : (unsigned)input->task;
}
/* "binary", "multiclass", "regression", "ranking". */
const char *qn_metric_kind_name(unsigned kind);

typedef struct qn_metric {
    const char *name;        /* "roc_auc" */
    const char *title;       /* "ROC AUC" */
    const char *help;        /* one sentence: what it says, its range */
    unsigned tasks;          /* bit 1 << kind */
    bool greater_is_better;
    /* NaN when it is not defined on this input (one class only, say). */
    double (*compute)(const qn_eval_input *input);
} qn_metric;

/* All metrics, in the order in which reports show them. */
const qn_metric *qn_metrics(size_t *ret_n);
/* By name, for a kind; QN_ERR_CONFIG with the nearest one, or saying which tasks it is for. */
qn_status qn_metric_find(const char *name, unsigned kind, const qn_metric **ret_metric,
                         qn_error *err) QN_MUST_USE;
/* The metric a task is judged by when the config does not say: binary log_loss, multiclass
 * log_loss, regression rmse, ranking ndcg@10. */
const qn_metric *qn_metric_default(unsigned kind);

/* The metric of all rows, and into ret_without[n_groups] that of all rows but those of each group;
 * group[n] is 0 .. n_groups - 1. What the jackknife over groups of dependent rows starts from. The
 * rows are sorted once. */
qn_status qn_metric_without(const qn_metric *metric, const qn_eval_input *input,
                            const int32_t *group, int32_t n_groups, double *ret_value,
                            double *ret_without, qn_error *err) QN_MUST_USE;

/* Bootstrap (Efron 1979), percentile intervals at 95 %, n_rounds resamples of rows seeded per
 * round, so that results do not depend on the number of threads. */
typedef struct qn_interval {
    double value, low, high;
} qn_interval;

/* All metrics of the task at once, sharing resamples: {"roc_auc": {"value", "low", "high"}, ...}.
 * Metrics that are not defined here are null. New reference. */
qn_status qn_evaluate_metrics(const qn_eval_input *input, int n_rounds, uint64_t seed,
                              const qn_job *job, json_t **ret_metrics, qn_error *err) QN_MUST_USE;
/* Paired bootstrap of metric(a) - metric(b) on the same rows (a and b differ in scores and
 * threshold). */
qn_status qn_evaluate_difference(const qn_metric *metric, const qn_eval_input *a,
                                 const qn_eval_input *b, int n_rounds, uint64_t seed,
                                 const qn_job *job, qn_interval *ret_difference, qn_error *err)
    QN_MUST_USE;

#endif
