/* Choose: the candidate with the best metric on validation rows within the limits; its calibration;
 * its threshold; and the model made of it. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "flow/run_int.h"

double qn__run_loss(const qn_run_state *run, double metric) {
    bool greater = run->metric_is_value || run->metric->greater_is_better;
    if (isnan(metric))
        return INFINITY;
    return greater ? -metric : metric;
}

/* Says so when there is nothing to be proud of. */
static void warn_when_no_better(qn_run_state *run) {
    const qn_run_candidate *chosen = &run->candidates[run->chosen];
    for (int i = 0; i < run->n_candidates; i++) {
        const qn_run_candidate *other = &run->candidates[i];
        if (other->family->is_baseline &&
            qn__run_loss(run, qn__run_merit(other)) <= qn__run_loss(run, qn__run_merit(chosen))) {
            qn__run_warn(
                run,
                "%s does no better than the baseline %s on the %s: the columns may hold too little "
                "about %s",
                chosen->family->name, other->family->name,
                isnan(chosen->folds_mean) ? "validation rows" : "folds", run->target.name);
            return;
        }
    }
}

static qn_status choose_candidate(qn_run_state *run, qn_error *err) {
    int best = -1;
    for (int i = 0; i < run->n_candidates; i++) {
        const qn_run_candidate *candidate = &run->candidates[i];
        if (candidate->family->is_baseline || candidate->refused[0])
            continue;
        if (best < 0 ||
            qn__run_loss(run, qn__run_merit(candidate)) <
                qn__run_loss(run, qn__run_merit(&run->candidates[best])))
            best = i;
    }
    QN_FAIL_IF(
        best < 0, err, QN_ERR_LIMIT,
        "no family keeps the limits: %s: %s; loosen train.limits, or make the models smaller",
        run->candidates[0].family->name, run->candidates[0].refused);
    run->chosen = best;
    warn_when_no_better(run);
    return QN_OK;
}

/* Log loss on each half of the validation rows of a map fitted on the other half: what the map is
 * worth on rows it has not seen. */
static qn_status cross_fitted_loss(const qn_run_state *run, qn_calibration_kind kind,
                                   double *ret_loss, qn_error *err) {
    int64_t n = run->validate.n;
    int32_t k = run->n_outputs;
    const double *scores = run->candidates[run->chosen].scores;
    qn_cleanup(qn_freep) double *half_y = qn_new_array(double, n);
    qn_cleanup(qn_freep) double *half = qn_new_array(double, n *k);
    qn_cleanup(qn_freep) double *mapped = qn_new_array(double, n *k);
    qn_cleanup(qn_freep) double *half_weight = qn_new_array(double, n);
    if (!half_y || !half || !mapped || !half_weight)
        return qn_error_memory(err);
    memcpy(mapped, scores, (size_t)(n * k) * sizeof *mapped);
    for (uint64_t side = 0; side < 2; side++) {
        qn_cleanup(qn_calibrator_free) qn_calibrator *map = NULL;
        int64_t m = 0;
        for (int64_t i = 0; i < n; i++) {
            if ((qn_rng_hash((uint64_t)run->config->seed, (uint64_t)i) & 1) == side)
                continue;
            half_y[m] = run->validate.y[i];
            half_weight[m] = run->validate.weight ? run->validate.weight[i] : 1;
            memcpy(half + m++ * k, scores + i * k, (size_t)k * sizeof *half);
        }
        QN_TRY(qn_calibrator_fit(kind, half_y, half, half_weight, m, k, &map, err));
        for (int64_t i = 0; i < n; i++)
            if ((qn_rng_hash((uint64_t)run->config->seed, (uint64_t)i) & 1) == side)
                qn_calibrator_apply(map, mapped + i * k, 1);
    }
    const qn_metric *log_loss;
    QN_TRY(qn_metric_find("log_loss", run->target.task, &log_loss, err));
    qn_eval_input input = qn__run_eval_input(run, &run->validate, mapped);
    *ret_loss = log_loss->compute(&input);
    return QN_OK;
}

/* Validation rows of the rarest class. */
static int64_t rarest_class(const qn_run_state *run) {
    int64_t least = run->validate.n;
    for (int32_t k = 0; k < run->target.n_classes; k++) {
        int64_t n = 0;
        for (int64_t i = 0; i < run->validate.n; i++)
            n += run->validate.y[i] == k;
        least = n < least ? n : least;
    }
    return least;
}

/* auto: the kind with the least cross-fitted log loss, if it gains at least 0.2 % over none: with
 * few rows or a good model a map only adds noise. Isotonic maps have as many steps as the rows of
 * the rarer class pay for, and say 0 and 1 at the ends: below a thousand such rows
 * (Niculescu-Mizil and Caruana 2005) one test row on the wrong step costs more than they gain, and
 * rows that share a step lose their order. */
static qn_status choose_calibration(const qn_run_state *run, qn_calibration_kind *ret_kind,
                                    qn_error *err) {
    const char *wanted = run->config->train.calibrate;
    *ret_kind = QN_CALIBRATION_NONE;
    if (run->target.task == QN_TASK_REGRESSION || strcmp(wanted, "none") == 0)
        return QN_OK;
    if (strcmp(wanted, "auto") != 0) {
        *ret_kind = strcmp(wanted, "platt") == 0 ? QN_CALIBRATION_PLATT : QN_CALIBRATION_ISOTONIC;
        return QN_OK;
    }
    enum { FEW = 400, FEW_OF_CLASS = 1000 };
    if (run->validate.n < FEW)
        return QN_OK;
    qn_calibration_kind last = rarest_class(run) < FEW_OF_CLASS ? QN_CALIBRATION_PLATT
                                                                : QN_CALIBRATION_ISOTONIC;
    double best;
    QN_TRY(cross_fitted_loss(run, QN_CALIBRATION_NONE, &best, err));
    best *= 0.998;
    for (int kind = QN_CALIBRATION_PLATT; kind <= (int)last; kind++) {
        double loss;
        QN_TRY(cross_fitted_loss(run, (qn_calibration_kind)kind, &loss, err));
        if (loss < best) {
            best = loss;
            *ret_kind = (qn_calibration_kind)kind;
        }
    }
    return QN_OK;
}

static double ece_of(const qn_run_state *run, const double *scores) {
    const qn_metric *ece;
    if (qn_metric_find("ece", run->target.task, &ece, NULL) != QN_OK)
        return (double)NAN;
    qn_eval_input input = qn__run_eval_input(run, &run->validate, scores);
    return ece->compute(&input);
}

static qn_status calibrate(qn_run_state *run, qn_calibrator **ret_map, qn_error *err) {
    static const char *const names[] = {"none", "platt", "isotonic"};
    const double *raw = run->candidates[run->chosen].scores;
    size_t bytes = (size_t)run->validate.n * (size_t)run->n_outputs * sizeof(double);
    qn_calibration_kind kind;
    run->validate.scores = qn_malloc_aligned(bytes, 1);
    if (!run->validate.scores)
        return qn_error_memory(err);
    memcpy(run->validate.scores, raw, bytes);
    QN_TRY(choose_calibration(run, &kind, err));
    if (run->target.task == QN_TASK_REGRESSION)
        return QN_OK;
    double before = ece_of(run, raw);
    if (kind != QN_CALIBRATION_NONE) {
        QN_TRY(qn_calibrator_fit(kind, run->validate.y, raw, run->validate.weight, run->validate.n,
                                 run->n_outputs, ret_map, err));
        qn_calibrator_apply(*ret_map, run->validate.scores, run->validate.n);
    }
    return qn__run_note(run, "calibration",
                        json_pack("{s:s, s:o, s:o}", "kind", names[kind], "ece_before",
                                  qn_json_number(before), "ece_after",
                                  qn_json_number(ece_of(run, run->validate.scores))),
                        err);
}

/* With a stated value, the threshold that earns the most on validation rows; else 0.5. */
static qn_status choose_threshold(qn_run_state *run, qn_error *err) {
    run->threshold = 0.5;
    if (!run->value || run->target.task != QN_TASK_BINARY)
        return QN_OK;
    qn_cleanup(qn_freep) double *payoffs = NULL;
    qn_value_point best;
    QN_TRY(qn_value_payoffs(run->value, run->validate.frame, NULL, run->validate.n, &payoffs, err));
    QN_TRY(
        qn_value_best(payoffs, run->validate.y, run->validate.scores, run->validate.n, &best, err));
    run->threshold = best.threshold;
    return QN_OK;
}

/* What refitting must know to drop the same rounds again; NULL: none were dropped. */
static json_t *dart_of(const qn_run_state *run, const json_t *params) {
    const qn_run_candidate *chosen = &run->candidates[run->chosen];
    const qn_learner *from = qn__run_warm_learner(run, chosen->family);
    const char *boosting = json_string_value(json_object_get(params, "boosting"));
    if (!boosting || strcmp(boosting, "dart") != 0)
        return NULL;
    qn_cleanup(qn_json_free) json_t *facts = from ? from->family->describe(from) : NULL;
    json_int_t trees = json_integer_value(json_object_get(facts, "trees"));
    return json_pack("{s:I, s:I}", "seed", (json_int_t)run->config->seed, "rounds_before",
                     trees / run->n_outputs);
}

/* What the model file tells about its making. No times and no run id: the same training gives the
 * same bytes. */
static json_t *about(const qn_run_state *run) {
    const qn_run_candidate *chosen = &run->candidates[run->chosen];
    qn_cleanup(qn_json_free) json_t *params = qn__run_params(chosen);
    bool went_on = qn__run_warm_learner(run, chosen->family) != NULL;
    const char *balance = run->config->train.class_weight;
    return json_pack("{s:s, s:s, s:s*, s:O, s:{s:s, s:s}, s:O*, s:s*, s:s*, s:s*, s:o*}", "quern",
                     QN_VERSION,
                     "project", run->config->project, "query", run->config->task.query, "split",
                     json_object_get(run->document, "split"), "trained_on", "dataset",
                     run->dataset_hash, "family", chosen->family->name, "params", params,
                     "init_model", went_on ? run->init_hash : NULL, "weight",
                     run->weight ? run->config->sample.weight : NULL, "class_weight",
                     strcmp(balance, "balanced") == 0 ? balance : NULL, "dart",
                     dart_of(run, params));
}

/* Histograms of every input and of the scores: against these a service tells drift, with no data
 * set kept. */
static json_t *monitoring_baseline(const qn_run_state *run) {
    enum { BINS = 20 };
    json_t *inputs = json_array(), *field;
    size_t i;
    json_array_foreach(json_object_get(json_object_get(run->document, "profile"), "fields"), i,
                       field) {
        json_t *kept = json_object();
        static const char *const keys[] = {"name",      "type",      "missing_share",
                                           "histogram", "quantiles", "top"};
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            json_t *value = json_object_get(field, keys[k]);
            if (value)
                json_object_set(kept, keys[k], value);
        }
        json_array_append_new(inputs, kept);
    }
    double counts[BINS] = {0};
    for (int64_t r = 0; run->target.task == QN_TASK_BINARY && r < run->validate.n; r++) {
        int bin = (int)(run->validate.scores[r] * BINS);
        counts[bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin]++;
    }
    return json_pack("{s:o, s:o}", "inputs", inputs, "scores", qn_json_numbers(counts, BINS));
}

static qn_status build_model(qn_run_state *run, qn_calibrator **map, qn_error *err) {
    qn_pipeline *pipeline = NULL;
    qn_learner *learner = NULL;
    QN_TRY(qn__run_refit(run, &pipeline, &learner, err));
    qn_model_parts parts = {
        .pipeline = pipeline,
        .learner = learner,
        .calibrator = qn_steal(map),
        .target = &run->target,
        .negatives_rate = run->negatives_rate,
        .threshold = run->threshold,
        .missing = (const char *const *)run->config->data.missing.items,
        .n_missing = run->config->data.missing.n,
        .about = about(run),
    };
    if (parts.about)
        json_object_set_new(parts.about, "baseline", monitoring_baseline(run));
    return qn_model_new(&parts, &run->model, err);
}

qn_status qn__run_choose(qn_run_state *run, qn_error *err) {
    qn_calibrator *map = NULL;
    QN_TRY(choose_candidate(run, err));
    qn_status status = calibrate(run, &map, err);
    if (status == QN_OK)
        status = choose_threshold(run, err);
    if (status == QN_OK)
        status = build_model(run, &map, err);
    qn_calibrator_free(&map);
    return status;
}
