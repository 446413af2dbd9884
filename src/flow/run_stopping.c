/* What early stopping goes by: the metrics of train.early_stopping_metrics, or else the run's metric
 * where it is about the order of rows - the training loss may get worse on later rows while the order
 * still gets better - or else the training loss. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "flow/run_int.h"

static void undo_sampling(const qn_run_stopping *stop) {
    const qn_run_state *run = stop->run;
    if (run->target.task == QN_TASK_BINARY && run->negatives_rate < 1)
        qn_undo_negative_sampling(stop->scores, stop->rows.n, run->negatives_rate);
}

static double loss_of(const qn_metric *metric, double value) {
    if (isnan(value))
        return INFINITY;
    return metric->greater_is_better ? -value : value;
}

static double loss_by_metric(void *user, qn_link link, const double *raw, double *without) {
    qn_run_stopping *stop = user;
    const qn_metric *metric = stop->metrics[0];
    double value = (double)NAN;
    memcpy(stop->scores, raw,
           (size_t)(stop->rows.n * stop->run->n_outputs) * sizeof *stop->scores);
    qn_link_apply(link, stop->scores, stop->rows.n, stop->run->n_outputs);
    undo_sampling(stop);
    if (!without)
        return loss_of(metric, metric->compute(&stop->rows));
    qn_status status = QN_OK;
    if (stop->status == QN_OK)
        status = stop->status = qn_metric_without(metric, &stop->rows, stop->stretch,
                                                  stop->n_stretches, &value, without, &stop->error);
    for (int32_t s = 0; s < stop->n_stretches; s++)
        without[s] = status == QN_OK ? loss_of(metric, without[s]) : INFINITY;
    return loss_of(metric, value);
}

static void measure(void *user, const double *scores, double *values) {
    qn_run_stopping *stop = user;
    memcpy(stop->scores, scores,
           (size_t)(stop->rows.n * stop->run->n_outputs) * sizeof *stop->scores);
    undo_sampling(stop);
    for (int32_t i = 0; i < stop->n; i++)
        values[i] = stop->metrics[i]->compute(&stop->rows);
}

bool qn__run_stops_by_metric(const qn_run_state *run) {
    static const char *const ordering[] = {"roc_auc", "pr_auc",  "roc_auc_ovr",
                                           "ndcg@5",  "ndcg@10", "map"};
    for (size_t i = 0; i < sizeof ordering / sizeof ordering[0]; i++)
        if (!run->metric_is_value && strcmp(run->metric->name, ordering[i]) == 0)
            return true;
    return false;
}

static qn_status find_metrics(qn_run_stopping *stop, qn_error *err) {
    const qn_config_texts *names = &stop->run->config->train.early_stopping_metrics;
    if (names->n > QN_FIT_METRICS_MAX)
        return qn_config_error(stop->run->config, "train.early_stopping_metrics", err,
                               "at most %d metrics", QN_FIT_METRICS_MAX);
    for (size_t i = 0; i < names->n; i++) {
        const qn_metric *metric;
        if (qn_metric_find(names->items[i], qn__run_kind(stop->run), &metric, err) != QN_OK)
            return qn_config_error(stop->run->config, "train.early_stopping_metrics", err, "%s",
                                   err ? err->message : "");
        stop->metrics[stop->n] = metric;
        stop->named[stop->n++] = (qn_fit_metric){metric->name, metric->greater_is_better};
    }
    return QN_OK;
}

qn_status qn__run_stopping_init(qn_run_stopping *stop, const qn_run_state *run,
                                qn_fit_input *input, bool by_run_metric, qn_error *err) {
    stop->run = run;
    QN_TRY(find_metrics(stop, err));
    bool chosen = stop->n > 0;
    if (!chosen && by_run_metric && qn__run_stops_by_metric(run))
        stop->metrics[stop->n++] = run->metric;
    if (stop->n == 0 || !input->valid.x)
        return QN_OK;
    stop->rows = (qn_eval_input){.task = run->target.task, .n_classes = run->target.n_classes,
                                 .n = input->valid.x->n_rows, .y = input->valid.y,
                                 .weight = input->valid.weight, .threshold = 0.5,
                                 .query = input->valid.query};
    stop->stretch = input->valid_stretch;
    stop->n_stretches = input->n_stretches;
    stop->rows.scores = stop->scores = qn_new_array(double, stop->rows.n *run->n_outputs);
    if (!stop->scores)
        return qn_error_memory(err);
    input->user = stop;
    /* How uncertain a metric is can be asked of one that stands alone. */
    if (!chosen || (stop->n == 1 && stop->stretch)) {
        input->loss = loss_by_metric;
        return QN_OK;
    }
    input->metrics = stop->named;
    input->n_metrics = stop->n;
    input->measure = measure;
    return QN_OK;
}

qn_status qn__run_stopping_status(const qn_run_stopping *stop, qn_error *err) {
    if (stop->status != QN_OK && err)
        *err = stop->error;
    return stop->status;
}

void qn__run_stopping_done(qn_run_stopping *stop) {
    qn_freep(&stop->scores);
}
