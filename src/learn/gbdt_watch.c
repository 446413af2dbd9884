/* What is measured on the validation rows, round by round: one loss, or several metrics of which any
 * may end the training. */
#include <math.h>
#include <stdio.h>

#include "base/text.h"
#include "learn/gbdt_int.h"

qn_status qn__watch_init(qn__watch *watch, const qn_gbdt_params *params, const qn_fit_input *input,
                         qn_error *err) {
    QN_FAIL_IF(input->n_metrics > QN_FIT_METRICS_MAX, err, QN_ERR_LIMIT,
               "early stopping watches at most %d metrics, not %d", QN_FIT_METRICS_MAX,
               (int)input->n_metrics);
    *watch = (qn__watch){.params = params, .input = input, .stopped_by = -1,
                         .n = input->n_metrics > 0 ? input->n_metrics : 1,
                         .started_s = qn_now_s()};
    return QN_OK;
}

static bool greater(const qn__watch *watch, int32_t i) {
    return watch->input->n_metrics > 0 && watch->input->metrics[i].greater_is_better;
}

bool qn__watch_round(qn__watch *watch, int64_t round, const double *values) {
    const qn_gbdt_params *p = watch->params;
    int64_t patience = p->early_stopping_round;
    for (int32_t i = 0; i < watch->n; i++) {
        double value = values[i], loss = greater(watch, i) ? -value : value;
        watch->now[i] = value;
        /* A metric that is not defined on these rows says nothing, not even stop. */
        if (isnan(value) && watch->input->n_metrics > 0)
            continue;
        double best = greater(watch, i) ? -watch->best[i] : watch->best[i];
        if (watch->best_round[i] == 0 || loss < best - p->early_stopping_min_delta) {
            watch->best[i] = value;
            watch->best_round[i] = (int32_t)round + 1;
        }
        bool decides = i == 0 || !p->first_metric_only;
        if (decides && watch->stopped_by < 0 && patience > 0
            && round + 1 - watch->best_round[i] >= patience)
            watch->stopped_by = i;
    }
    return watch->stopped_by >= 0;
}

int32_t qn__watch_best(const qn__watch *watch) {
    return watch->best_round[watch->stopped_by >= 0 ? watch->stopped_by : 0];
}

/* Rounds that are left when nothing gets better any more. */
static int64_t soonest_end(const qn__watch *watch, int64_t done) {
    int64_t soonest = watch->params->num_iterations - done;
    for (int32_t i = 0; i < watch->n; i++) {
        int64_t left = watch->best_round[i] + watch->params->early_stopping_round - done;
        bool decides = (i == 0 || !watch->params->first_metric_only) && watch->best_round[i] > 0;
        soonest = decides && left < soonest ? left : soonest;
    }
    return soonest;
}

void qn__watch_note(const qn__watch *watch, int64_t round, char *text, size_t size) {
    int n = 0;
    if (watch->input->n_metrics == 0)
        n = snprintf(text, size, "round %d: best loss %.6g in round %d", (int)round + 1,
                     watch->best[0], (int)watch->best_round[0]);
    else
        n = snprintf(text, size, "round %d", (int)round + 1);
    for (int32_t i = 0; i < watch->input->n_metrics && n < (int)size; i++)
        n += snprintf(text + n, size - (size_t)n, "%s %s %.5g (best %.5g in %d)", i ? "," : ":",
                      watch->input->metrics[i].name, watch->now[i], watch->best[i],
                      (int)watch->best_round[i]);
    double each = (qn_now_s() - watch->started_s) / (double)(round + 1);
    double most = each * (double)(watch->params->num_iterations - round - 1);
    if (watch->params->early_stopping_round <= 0 || most < 1 || n >= (int)size)
        return; /* otherwise the share of the rounds says it */
    char least_text[QN_DOUBLE_TEXT], most_text[QN_DOUBLE_TEXT];
    qn_text_duration(each * (double)soonest_end(watch, round + 1), least_text);
    qn_text_duration(most, most_text);
    snprintf(text + n, size - (size_t)n, "; %s to %s left", least_text, most_text);
}
