/* What training and refitting of leaves have in common: how much rows count, and what a leaf may answer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "learn/gbdt_int.h"

qn_status qn__weights_make(const qn_gbdt_params *params, const qn_fit_data *data, int64_t n,
                           qn_task task, int32_t n_classes, double **ret_weight, qn_error *err) {
    bool balanced = strcmp(params->class_weight, "balanced") == 0;
    bool positive = params->scale_pos_weight != 1 && task == QN_TASK_BINARY;
    bool by_class = task != QN_TASK_REGRESSION && (balanced || positive);
    if (!data->weight && !by_class)
        return QN_OK;
    qn_cleanup(qn_freep) double *weight = qn_malloc_aligned((size_t)n, sizeof *weight);
    qn_cleanup(qn_freep) double *of_class = qn_new_array(double, n_classes + 1);
    if (!weight || !of_class)
        return qn_error_memory(err);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        weight[i] = data->weight ? data->weight[i] : 1;
        sum += weight[i];
        if (by_class)
            of_class[(int32_t)data->y[i]] += weight[i];
    }
    QN_FAIL_IF(!(sum > 0), err, QN_ERR_DATA, "all weights are 0");
    for (int32_t k = 0; by_class && k < n_classes; k++) {
        double w = of_class[k];
        of_class[k] = balanced && w > 0 ? sum / (n_classes * w) : 1;
        if (k == 1 && positive)
            of_class[k] *= params->scale_pos_weight;
    }
    for (int64_t i = 0; by_class && i < n; i++)
        weight[i] *= of_class[(int32_t)data->y[i]];
    *ret_weight = qn_steal(&weight);
    return QN_OK;
}

/* A Newton step in log odds trusts a parabola far from where it touches the loss. Where a few events
 * meet rows that were sure of the opposite, the second derivatives are next to nothing and the steps
 * thousands; the rows beside them never come back, having no second derivative left. */
double qn__within_steps(qn_link link, double value) {
    enum { MOST_LOG_ODDS = 16 };
    bool odds = link == QN_LINK_LOGIT || link == QN_LINK_SOFTMAX || link == QN_LINK_OVA;
    return odds && fabs(value) > MOST_LOG_ODDS ? copysign(MOST_LOG_ODDS, value) : value;
}

static int by_value(const void *a, const void *b) {
    double x = ((const qn__residual *)a)->value, y = ((const qn__residual *)b)->value;
    return (x > y) - (x < y);
}

/* The weighted quantile of the residuals; `items` is scratch. */
static double residual_quantile(const qn__objective_data *data, const double *score,
                                const uint32_t *rows, int64_t n, double q, qn__residual *items) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        items[i].value = data->y[rows[i]] - score[rows[i]];
        items[i].weight = data->w ? data->w[rows[i]] : 1;
        sum += items[i].weight;
    }
    qsort(items, (size_t)n, sizeof *items, by_value);
    double below = 0;
    for (int64_t i = 0; i < n; i++) {
        below += items[i].weight;
        if (below > q * sum)
            return items[i].value;
        if (below == q * sum && i + 1 < n)
            return (items[i].value + items[i + 1].value) / 2;
    }
    return n ? items[n - 1].value : 0;
}

/* path_smooth has done its work in the choice of splits. */
double qn__renewed(const qn__objective *objective, const qn__objective_data *data,
                   const double *score, const uint32_t *rows, int64_t n, qn__residual *items) {
    double q = objective->renew_quantile(data->params), most = data->params->max_delta_step;
    double value = residual_quantile(data, score, rows, n, q, items);
    return most > 0 && fabs(value) > most ? copysign(most, value) : value;
}
