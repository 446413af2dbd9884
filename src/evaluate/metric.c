#include "evaluate/metric.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "evaluate/metric_int.h"

enum {
    BINARY = 1 << QN_TASK_BINARY,
    MULTICLASS = 1 << QN_TASK_MULTICLASS,
    REGRESSION = 1 << QN_TASK_REGRESSION,
    RANKING = 1 << QN_METRIC_RANKING,
};

static double compute(const qn_eval_input *input, qn__metric_id id) {
    double values[QN__N_METRICS];
    if (input->n < 1)
        return (double)NAN;
    if (id == QN__ROC_AUC_OVR) {
        double value = (double)NAN;
        return qn__auc_ovr(input, 0, 0, NULL, &value, NULL, NULL) == QN_OK ? value : (double)NAN;
    }
    qn_cleanup(qn__metric_view_free) qn__metric_view *view = NULL;
    if (qn__metric_view_new(input, 1u << id, &view, NULL) != QN_OK)
        return (double)NAN;
    qn_cleanup(qn_freep) double *scratch = qn_new_array(double, qn__metric_view_scratch(view));
    if (!scratch)
        return (double)NAN;
    qn__metric_view_values(view, NULL, scratch, values);
    return values[id];
}

static double roc_auc(const qn_eval_input *input) {
    return compute(input, QN__ROC_AUC);
}
static double pr_auc(const qn_eval_input *input) {
    return compute(input, QN__PR_AUC);
}
static double log_loss(const qn_eval_input *input) {
    return compute(input, QN__LOG_LOSS);
}
static double normalized_entropy(const qn_eval_input *input) {
    return compute(input, QN__NORMALIZED_ENTROPY);
}
static double brier(const qn_eval_input *input) {
    return compute(input, QN__BRIER);
}
static double ece(const qn_eval_input *input) {
    return compute(input, QN__ECE);
}
static double accuracy(const qn_eval_input *input) {
    return compute(input, QN__ACCURACY);
}
static double balanced_accuracy(const qn_eval_input *input) {
    return compute(input, QN__BALANCED_ACCURACY);
}
static double f1(const qn_eval_input *input) {
    return compute(input, QN__F1);
}
static double precision(const qn_eval_input *input) {
    return compute(input, QN__PRECISION);
}
static double recall(const qn_eval_input *input) {
    return compute(input, QN__RECALL);
}
static double mcc(const qn_eval_input *input) {
    return compute(input, QN__MCC);
}
static double f1_macro(const qn_eval_input *input) {
    return compute(input, QN__F1_MACRO);
}
static double roc_auc_ovr(const qn_eval_input *input) {
    return compute(input, QN__ROC_AUC_OVR);
}
static double rmse(const qn_eval_input *input) {
    return compute(input, QN__RMSE);
}
static double mae(const qn_eval_input *input) {
    return compute(input, QN__MAE);
}
static double median_ae(const qn_eval_input *input) {
    return compute(input, QN__MEDIAN_AE);
}
static double r2(const qn_eval_input *input) {
    return compute(input, QN__R2);
}
static double mape(const qn_eval_input *input) {
    return compute(input, QN__MAPE);
}
static double poisson_deviance(const qn_eval_input *input) {
    return compute(input, QN__POISSON_DEVIANCE);
}
static double cross_entropy(const qn_eval_input *input) {
    return compute(input, QN__CROSS_ENTROPY);
}
static double ndcg_5(const qn_eval_input *input) {
    return compute(input, QN__NDCG_5);
}
static double ndcg_10(const qn_eval_input *input) {
    return compute(input, QN__NDCG_10);
}
static double mean_average_precision(const qn_eval_input *input) {
    return compute(input, QN__MAP);
}

/* Indexed by qn__metric_id. */
static const qn_metric metrics[QN__N_METRICS] = {
    [QN__ROC_AUC] =
        {"roc_auc", "ROC AUC",
         "How often a random positive scores above a random negative; 0.5 is chance, 1 perfect.",
         BINARY, true, roc_auc},
    [QN__PR_AUC] =
        {"pr_auc", "Average precision",
         "Area under the precision-recall curve; the share of positives is chance, 1 perfect.",
         BINARY, true, pr_auc},
    [QN__LOG_LOSS] = {"log_loss", "Log loss",
                      "Mean of -log of the probability given to what happened; 0 is perfect.",
                      BINARY | MULTICLASS, false, log_loss},
    [QN__NORMALIZED_ENTROPY] =
        {"normalized_entropy", "Normalized entropy",
         "Log loss over that of always answering the base rate; below 1 is better.", BINARY, false,
         normalized_entropy},
    [QN__BRIER] =
        {"brier", "Brier score",
         "Mean squared error of the probabilities (summed over classes when many); 0 is perfect.",
         BINARY | MULTICLASS, false, brier},
    [QN__ECE] =
        {"ece", "Calibration error",
         "Mean gap between stated probability and observed share over 15 equal bins; 0 is perfect.",
         BINARY | MULTICLASS, false, ece},
    [QN__ACCURACY] = {"accuracy", "Accuracy", "Share of right answers, 0 to 1.",
                      BINARY | MULTICLASS, true, accuracy},
    [QN__BALANCED_ACCURACY] = {"balanced_accuracy", "Balanced accuracy",
                               "Mean over classes of the share found, 0 to 1.", BINARY | MULTICLASS,
                               true, balanced_accuracy},
    [QN__F1] = {"f1", "F1", "Harmonic mean of precision and recall, 0 to 1.", BINARY, true, f1},
    [QN__PRECISION] = {"precision", "Precision",
                       "Share of the positives called that are right, 0 to 1.", BINARY, true,
                       precision},
    [QN__RECALL] = {"recall", "Recall", "Share of the positives that are found, 0 to 1.", BINARY,
                    true, recall},
    [QN__MCC] = {"mcc", "Matthews correlation",
                 "Correlation of answer and truth; -1 to 1, 0 is chance.", BINARY | MULTICLASS,
                 true, mcc},
    [QN__F1_MACRO] = {"f1_macro", "Macro F1", "Mean of every class's F1, 0 to 1.", MULTICLASS, true,
                      f1_macro},
    [QN__ROC_AUC_OVR] =
        {"roc_auc_ovr", "ROC AUC, one against rest",
         "Mean of every class's ROC AUC against the others; 0.5 is chance, 1 perfect.", MULTICLASS,
         true, roc_auc_ovr},
    [QN__RMSE] = {"rmse", "Root mean squared error",
                  "Typical error in the target's unit; 0 is perfect.", REGRESSION, false, rmse},
    [QN__MAE] = {"mae", "Mean absolute error", "Mean error in the target's unit; 0 is perfect.",
                 REGRESSION, false, mae},
    [QN__MEDIAN_AE] = {"median_ae", "Median absolute error", "Half of the errors are smaller.",
                       REGRESSION, false, median_ae},
    [QN__R2] = {"r2", "R squared", "Share of the variance explained; 0 is the mean's, 1 perfect.",
                REGRESSION, true, r2},
    [QN__MAPE] = {"mape", "Mean absolute percentage error",
                  "Mean of |error| / |truth|; huge when the truth can be 0.", REGRESSION, false,
                  mape},
    [QN__POISSON_DEVIANCE] =
        {"poisson_deviance", "Mean Poisson deviance",
         "For counts; 0 is perfect; undefined for negative truths or answers <= 0.", REGRESSION,
         false, poisson_deviance},
    [QN__CROSS_ENTROPY] =
        {"cross_entropy", "Cross-entropy",
         "Log loss where the truth is a probability; undefined for truths outside of 0 to 1.",
         REGRESSION, false, cross_entropy},
    [QN__NDCG_5] =
        {"ndcg@5", "NDCG at 5",
         "Gain 2^grade - 1 of the first 5 rows of a query, later ones counting less, over the best "
         "possible; 1 is perfect.",
         RANKING, true, ndcg_5},
    [QN__NDCG_10] = {"ndcg@10", "NDCG at 10", "The same of the first 10 rows; 1 is perfect.",
                     RANKING, true, ndcg_10},
    [QN__MAP] = {"map", "Mean average precision",
                 "Mean over queries of the average precision, grades above 0 being relevant; 1 is "
                 "perfect.",
                 RANKING, true, mean_average_precision},
};

const qn_metric *qn_metrics(size_t *ret_n) {
    *ret_n = QN__N_METRICS;
    return metrics;
}

const char *qn_metric_kind_name(unsigned kind) {
    return kind == QN_METRIC_RANKING ? "ranking" : qn_task_name((qn_task)kind);
}

static qn_status wrong_task(const qn_metric *m, unsigned kind, qn_error *err) {
    char list[64] = "";
    for (unsigned k = 0; k < QN_METRIC_KINDS; k++)
        if (m->tasks >> k & 1) {
            strncat(list, *list ? " and " : "", sizeof list - strlen(list) - 1);
            strncat(list, qn_metric_kind_name(k), sizeof list - strlen(list) - 1);
        }
    return qn_error_set(err, QN_ERR_CONFIG, "metric %s is for %s tasks, not for %s", m->name, list,
                        qn_metric_kind_name(kind));
}

qn_status qn_metric_find(const char *name, unsigned kind, const qn_metric **ret_metric,
                         qn_error *err) {
    const char *names[QN__N_METRICS];
    size_t n = 0;
    name = strcmp(name, "ndcg") == 0 ? "ndcg@10" : name;
    for (size_t i = 0; i < QN__N_METRICS; i++) {
        bool fits = metrics[i].tasks >> kind & 1;
        if (strcmp(metrics[i].name, name) == 0) {
            if (!fits)
                return wrong_task(&metrics[i], kind, err);
            *ret_metric = &metrics[i];
            return QN_OK;
        }
        if (fits)
            names[n++] = metrics[i].name;
    }
    const char *near = qn_text_nearest(name, names, n);
    if (near)
        return qn_error_set(err, QN_ERR_CONFIG, "unknown metric '%s': did you mean '%s'?", name,
                            near);
    char list[512] = "";
    for (size_t i = 0; i < n; i++) {
        strncat(list, i ? ", " : "", sizeof list - strlen(list) - 1);
        strncat(list, names[i], sizeof list - strlen(list) - 1);
    }
    return qn_error_set(err, QN_ERR_CONFIG, "unknown metric '%s': there are %s", name, list);
}

/* The one that takes a ranking per class: rows left out weigh nothing. */
static qn_status ovr_without(const qn_eval_input *input, const int32_t *group, int32_t n_groups,
                             double *ret_value, double *ret_without, qn_error *err) {
    qn_cleanup(qn_freep) double *weight = qn_new_array(double, input->n);
    qn_eval_input left = *input;
    if (!weight)
        return qn_error_memory(err);
    left.weight = weight;
    for (int32_t g = 0; g < n_groups; g++) {
        for (int64_t i = 0; i < input->n; i++)
            weight[i] = group[i] == g ? 0 : input->weight ? input->weight[i] : 1;
        QN_TRY(qn__auc_ovr(&left, 0, 0, NULL, &ret_without[g], NULL, err));
    }
    return qn__auc_ovr(input, 0, 0, NULL, ret_value, NULL, err);
}

qn_status qn_metric_without(const qn_metric *metric, const qn_eval_input *input,
                            const int32_t *group, int32_t n_groups, double *ret_value,
                            double *ret_without, qn_error *err) {
    size_t id = (size_t)(metric - metrics);
    QN_FAIL_IF(input->n < 1, err, QN_ERR_DATA, "there is no row to compute %s on", metric->name);
    if (id == QN__ROC_AUC_OVR)
        return ovr_without(input, group, n_groups, ret_value, ret_without, err);
    qn_cleanup(qn__metric_view_free) qn__metric_view *view = NULL;
    QN_TRY(qn__metric_view_new(input, 1u << id, &view, err));
    qn_cleanup(qn_freep) double *scratch = qn_new_array(double, qn__metric_view_scratch(view));
    qn_cleanup(qn_freep) unsigned char *counts = qn_new_array(unsigned char, input->n);
    double values[QN__N_METRICS];
    if (!scratch || !counts)
        return qn_error_memory(err);
    for (int32_t g = 0; g < n_groups; g++) {
        for (int64_t i = 0; i < input->n; i++)
            counts[i] = group[i] != g;
        qn__metric_view_values(view, counts, scratch, values);
        ret_without[g] = values[id];
    }
    qn__metric_view_values(view, NULL, scratch, values);
    *ret_value = values[id];
    return QN_OK;
}

const qn_metric *qn_metric_default(unsigned kind) {
    return &metrics[kind == QN_METRIC_RANKING    ? QN__NDCG_10
                    : kind == QN_TASK_REGRESSION ? QN__RMSE
                                                 : QN__LOG_LOSS];
}
