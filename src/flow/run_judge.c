/* Judge: the model on the test rows, beside the other families, the baselines and the champion. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "evaluate/bootstrap.h"
#include "evaluate/confusion.h"
#include "evaluate/curve.h"
#include "evaluate/slice.h"
#include "flow/run_int.h"

qn_eval_input qn__run_eval_input(const qn_run_state *run, const qn_run_part *part,
                                 const double *scores) {
    return (qn_eval_input){
        .task = run->target.task,
        .n_classes = run->target.n_classes,
        .n = part->n,
        .y = part->y,
        .scores = scores,
        .weight = part->weight,
        .threshold = run->model ? run->threshold : 0.5,
        .query = part->query,
    };
}

static qn_status score_test(qn_run_state *run, qn_error *err) {
    run->test.scores = qn_malloc_aligned((size_t)run->test.n * (size_t)run->n_outputs,
                                         sizeof(double));
    if (!run->test.scores)
        return qn_error_memory(err);
    return qn_model_predict(run->model, run->test.frame, &run->job, run->test.scores, err);
}

static int rounds(const qn_run_state *run) {
    return (int)run->config->evaluate.bootstrap;
}

static uint64_t seed(const qn_run_state *run) {
    return (uint64_t)run->config->seed;
}

static qn_status judge_metrics(qn_run_state *run, qn_error *err) {
    json_t *validate = NULL, *test = NULL;
    qn_eval_input on_validate = qn__run_eval_input(run, &run->validate, run->validate.scores);
    qn_eval_input on_test = qn__run_eval_input(run, &run->test, run->test.scores);
    QN_TRY(qn_evaluate_metrics(&on_validate, rounds(run), seed(run), &run->job, &validate, err));
    qn_status status = qn_evaluate_metrics(&on_test, rounds(run), seed(run), &run->job, &test, err);
    if (status != QN_OK) {
        qn_json_free(&validate);
        return status;
    }
    return qn__run_note(run, "metrics", json_pack("{s:o, s:o}", "validate", validate, "test", test),
                        err);
}

static qn_status judge_curves(qn_run_state *run, qn_error *err) {
    if (run->query)
        return QN_OK; /* a score that orders is not held against the grade */
    json_t *curves = NULL, *confusion = NULL;
    qn_eval_input input = qn__run_eval_input(run, &run->test, run->test.scores);
    QN_TRY(qn_curves_make(&input, &run->target, seed(run), &curves, err));
    QN_TRY(qn__run_note(run, "curves", curves, err));
    if (run->target.task == QN_TASK_REGRESSION)
        return QN_OK;
    QN_TRY(qn_confusion_make(&input, &run->target, &confusion, err));
    return qn__run_note(run, "confusion", confusion, err);
}

static qn_value_rows value_rows(const qn_run_part *part) {
    return (qn_value_rows){
        .frame = part->frame, .n = part->n, .y = part->y, .scores = part->scores};
}

static qn_status judge_value(qn_run_state *run, qn_error *err) {
    if (!run->value)
        return QN_OK;
    json_t *value = NULL;
    qn_value_rows validate = value_rows(&run->validate), test = value_rows(&run->test);
    qn_value_options options = {
        .threshold = run->threshold, .n_rounds = rounds(run), .seed = seed(run)};
    QN_TRY(qn_value_evaluate(run->value, &validate, &test, &options, &run->job, NULL, &value, err));
    return qn__run_note(run, "value", value, err);
}

/* Test scores of a candidate that was not chosen, or of the chosen one before calibration. */
static qn_status score_candidate(qn_run_state *run, qn_run_candidate *candidate, const qn_matrix *x,
                                 qn_error *err) {
    size_t n = (size_t)run->test.n * (size_t)run->n_outputs;
    candidate->test_scores = qn_malloc_aligned(n, sizeof(double));
    if (!candidate->test_scores)
        return qn_error_memory(err);
    if (candidate == &run->candidates[run->chosen]) {
        memcpy(candidate->test_scores, run->test.scores, n * sizeof(double));
        return QN_OK;
    }
    qn_learner_predict(candidate->learner, x, true, &run->job, candidate->test_scores);
    if (run->target.task == QN_TASK_BINARY && run->negatives_rate < 1)
        qn_undo_negative_sampling(candidate->test_scores, run->test.n, run->negatives_rate);
    return QN_OK;
}

static qn_status score_candidates(qn_run_state *run, qn_error *err) {
    for (int f = 0; f < run->n_features; f++) {
        qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
        QN_TRY(
            qn_pipeline_apply(run->features[f].view, run->test.frame, NULL, 0, &run->job, &x, err));
        for (int i = 0; i < run->n_candidates; i++)
            if (run->candidates[i].features == &run->features[f])
                QN_TRY(score_candidate(run, &run->candidates[i], x, err));
    }
    return QN_OK;
}

/* The mean of n values with its bootstrap interval. */
static qn_status mean_interval(const qn_run_state *run, const double *values, int64_t n,
                               qn_interval *ret, qn_error *err) {
    qn_cleanup(qn_freep) double *draws = qn_new_array(double, rounds(run) + 1);
    qn_cleanup(qn_freep) unsigned char *counts = qn_new_array(unsigned char, n);
    if (!draws || !counts)
        return qn_error_memory(err);
    double point = 0;
    for (int64_t i = 0; i < n; i++)
        point += values[i];
    for (int round = 0; round < rounds(run); round++) {
        double sum = 0, size = 0;
        qn_bootstrap_counts(seed(run), round, n, counts);
        for (int64_t i = 0; i < n; i++) {
            sum += counts[i] * values[i];
            size += counts[i];
        }
        draws[round] = sum / size;
    }
    *ret = qn_bootstrap_interval(point / (double)n, draws, rounds(run));
    return QN_OK;
}

/* Money per test row of a candidate, at the threshold that is best on its own validation scores. */
static qn_status money_interval(const qn_run_state *run, const qn_run_candidate *candidate,
                                json_t **ret, qn_error *err) {
    qn_cleanup(qn_freep) double *payoffs = NULL;
    qn_cleanup(qn_freep) double *money = NULL;
    qn_value_point best;
    qn_interval interval;
    QN_TRY(qn_value_payoffs(run->value, run->validate.frame, NULL, run->validate.n, &payoffs, err));
    QN_TRY(qn_value_best(payoffs, run->validate.y, candidate->scores, run->validate.n, &best, err));
    qn_value_rows rows = value_rows(&run->test);
    rows.scores = candidate->test_scores;
    QN_TRY(qn_value_money(run->value, &rows, best.threshold, &money, err));
    QN_TRY(mean_interval(run, money, run->test.n, &interval, err));
    *ret = qn_interval_to_json(interval);
    return QN_OK;
}

/* What decides, on the test rows. */
static qn_status test_interval(const qn_run_state *run, const qn_run_candidate *candidate,
                               json_t **ret, qn_error *err) {
    if (run->metric_is_value)
        return money_interval(run, candidate, ret, err);
    qn_cleanup(qn_json_free) json_t *all = NULL;
    qn_eval_input input = qn__run_eval_input(run, &run->test, candidate->test_scores);
    QN_TRY(qn_evaluate_metrics(&input, rounds(run), seed(run), &run->job, &all, err));
    json_t *one = json_object_get(all, run->metric->name);
    *ret = one ? json_incref(one) : json_null();
    return QN_OK;
}

static qn_status leaderboard_row(const qn_run_state *run, int i, json_t **ret_row, qn_error *err) {
    const qn_run_candidate *candidate = &run->candidates[i];
    const qn_family *family = candidate->family;
    json_t *test = NULL;
    QN_TRY(test_interval(run, candidate, &test, err));
    const qn_learner *learner = candidate->learner ? candidate->learner
                                                   : qn_model_learner(run->model);
    json_t *params = candidate->params ? json_incref((json_t *)candidate->params) : json_object();
    json_t *row = json_pack(
        "{s:s, s:s, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o}", "family", family->name,
        "title", family->title, "is_baseline", family->is_baseline, "chosen", i == run->chosen,
        "params", params, "metric", qn_json_number(candidate->metric), "test", test, "train_s",
        qn_json_number(candidate->train_s), "row_us", qn_json_number(candidate->row_us), "bytes",
        (json_int_t)candidate->bytes, "facts", family->describe(learner), "refused",
        candidate->refused[0] ? json_string(candidate->refused) : json_null());
    if (row && !isnan(candidate->folds_mean))
        json_object_set_new(row, "folds",
                            json_pack("{s:o, s:o}", "mean", qn_json_number(candidate->folds_mean),
                                      "sd", qn_json_number(candidate->folds_sd)));
    if (!row)
        return qn_error_memory(err);
    *ret_row = row;
    return QN_OK;
}

static qn_status judge_leaderboard(qn_run_state *run, qn_error *err) {
    bool done[QN_RUN_CANDIDATES_MAX] = {false};
    qn_cleanup(qn_json_free) json_t *rows = json_array();
    for (int k = 0; rows && k < run->n_candidates; k++) {
        int best = -1;
        for (int i = 0; i < run->n_candidates; i++) /* best first; baselines in their place */
            if (!done[i] &&
                (best < 0 || qn__run_loss(run, qn__run_merit(&run->candidates[i])) <
                                 qn__run_loss(run, qn__run_merit(&run->candidates[best]))))
                best = i;
        json_t *row = NULL;
        done[best] = true;
        QN_TRY(leaderboard_row(run, best, &row, err));
        if (json_array_append_new(rows, row) != 0)
            return qn_error_memory(err);
    }
    if (!rows)
        return qn_error_memory(err);
    QN_TRY(qn__run_note(run, "metric",
                        json_string(run->metric_is_value ? "value" : run->metric->name), err));
    return qn__run_note(run, "leaderboard", qn_steal(&rows), err);
}

/* The paired difference to other scores on the test rows, as an element of "comparison". */
static qn_status compare(qn_run_state *run, const char *against, const char *title,
                         const double *scores, double threshold, json_t *list, qn_error *err) {
    qn_eval_input ours = qn__run_eval_input(run, &run->test, run->test.scores), theirs = ours;
    theirs.scores = scores;
    theirs.threshold = threshold;
    qn_interval difference;
    QN_TRY(qn_evaluate_difference(run->metric, &ours, &theirs, rounds(run), seed(run), &run->job,
                                  &difference, err));
    bool better = run->metric->greater_is_better ? difference.low > 0 : difference.high < 0;
    bool worse = run->metric->greater_is_better ? difference.high < 0 : difference.low > 0;
    if (worse)
        qn__run_warn(run,
                     "on the test rows the chosen model does worse than the %s (%s %+.4g): what "
                     "was best on the "
                     "validation rows need not hold later; look at how the rows are split",
                     title, run->metric->name, difference.value);
    json_t *item = json_pack("{s:s, s:s, s:s, s:b, s:o, s:b}", "against", against, "title", title,
                             "metric", run->metric->name, "greater_is_better",
                             run->metric->greater_is_better, "difference",
                             qn_interval_to_json(difference), "better", better);
    if (!item || json_array_append_new(list, item) != 0)
        return qn_error_memory(err);
    return QN_OK;
}

static qn_status open_champion(qn_run_state *run, qn_model **ret_model, int64_t *ret_version,
                               qn_error *err) {
    qn_cleanup(qn_freep) char *reference =
        qn_format("%s@%s", run->config->registry.name, run->config->registry.alias);
    qn_cleanup(qn_json_free) json_t *entry = NULL;
    qn_cleanup(qn_freep) char *path = NULL;
    const char *hash;
    if (!reference)
        return qn_error_memory(err);
    QN_TRY(qn_registry_get(run->workspace, reference, &entry, err));
    QN_TRY(qn_json_get_i64(entry, "version", true, ret_version, err));
    QN_TRY(qn_json_get_text(entry, "hash", true, &hash, err));
    QN_TRY(qn_object_path(run->workspace, hash, &path, err));
    return qn_model_open(path, ret_model, err);
}

static bool same_classes(const qn_target_info *a, const qn_target_info *b) {
    if (a->task != b->task || a->n_classes != b->n_classes)
        return false;
    for (int32_t i = 0; i < a->n_classes; i++)
        if (strcmp(a->classes[i], b->classes[i]) != 0)
            return false;
    return true;
}

/* Money per row more than the champion, on the same rows, each at its own threshold. */
static qn_status compare_money(qn_run_state *run, const double *scores, double threshold,
                               qn_interval *ret_difference, qn_error *err) {
    qn_cleanup(qn_freep) double *ours = NULL;
    qn_cleanup(qn_freep) double *theirs = NULL;
    qn_value_rows rows = value_rows(&run->test);
    QN_TRY(qn_value_money(run->value, &rows, run->threshold, &ours, err));
    rows.scores = scores;
    QN_TRY(qn_value_money(run->value, &rows, threshold, &theirs, err));
    for (int64_t i = 0; i < run->test.n; i++)
        ours[i] -= theirs[i];
    return mean_interval(run, ours, run->test.n, ret_difference, err);
}

static qn_status compare_champion(qn_run_state *run, const qn_model *champion, int64_t version,
                                  json_t *list, qn_error *err) {
    qn_cleanup(qn_freep) double *scores =
        qn_malloc_aligned((size_t)run->test.n * (size_t)run->n_outputs, sizeof(double));
    if (!scores)
        return qn_error_memory(err);
    qn_error why = {0};
    if (!same_classes(qn_model_target(champion), &run->target) ||
        qn_model_predict(champion, run->test.frame, &run->job, scores, &why) != QN_OK) {
        qn__run_warn(run, "the champion, version %lld, cannot score these rows: %s",
                     (long long)version,
                     why.message[0] ? why.message : "its target is another one");
        return QN_OK;
    }
    char title[96];
    snprintf(title, sizeof title, "champion, version %lld", (long long)version);
    QN_TRY(compare(run, "champion", title, scores, qn_model_threshold(champion), list, err));
    json_t *item = json_array_get(list, json_array_size(list) - 1);
    json_object_set_new(item, "version", json_integer(version));
    if (!run->value)
        return QN_OK;
    qn_interval money;
    QN_TRY(compare_money(run, scores, qn_model_threshold(champion), &money, err));
    json_object_set_new(item, "value_difference", qn_interval_to_json(money));
    return QN_OK;
}

static qn_status judge_comparison(qn_run_state *run, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *list = json_array();
    if (!list)
        return qn_error_memory(err);
    for (int i = 0; i < run->n_candidates; i++) {
        const qn_run_candidate *candidate = &run->candidates[i];
        if (i != run->chosen)
            QN_TRY(compare(run, candidate->family->name, candidate->family->title,
                           candidate->test_scores, run->threshold, list, err));
    }
    qn_cleanup(qn_model_free) qn_model *champion = NULL;
    int64_t version = 0; /* 0: there is no champion */
    qn_error why = {0};
    qn_status status = open_champion(run, &champion, &version, &why);
    if (status == QN_OK)
        QN_TRY(compare_champion(run, champion, version, list, err));
    else if (version > 0 || status != QN_ERR_NOT_FOUND)
        qn__run_warn(run, "the champion cannot be opened: %s", why.message);
    return qn__run_note(run, "comparison", qn_steal(&list), err);
}

/* Groups are compared by a metric that does not move with a group's share of positives, as those of
 * the precision family do. */
static const qn_metric *slice_metric(const qn_run_state *run) {
    static const char *const fine[] = {"log_loss", "brier", "roc_auc", "accuracy",
                                       "rmse",     "mae",   NULL};
    for (int i = 0; fine[i]; i++)
        if (strcmp(run->metric->name, fine[i]) == 0)
            return run->metric;
    return qn_metric_default(run->target.task);
}

static qn_status judge_slices(qn_run_state *run, qn_error *err) {
    if (!run->config->evaluate.slices || run->query) /* a slice tears queries apart */
        return QN_OK;
    qn_cleanup(qn_freep) double *money = NULL;
    json_t *slices = NULL;
    if (run->value) {
        qn_value_rows rows = value_rows(&run->test);
        QN_TRY(qn_value_money(run->value, &rows, run->threshold, &money, err));
    }
    qn_slice_input input = {
        .frame = run->test.frame,
        .columns = run->inputs,
        .n_columns = run->n_inputs,
        .eval = qn__run_eval_input(run, &run->test, run->test.scores),
        .metric = slice_metric(run),
        .money = money,
        .n_rounds = 100,
        .seed = seed(run),
    };
    QN_TRY(qn_slices_find(&input, &run->job, &slices, err));
    QN_TRY(qn__run_note(run, "slices_metric", json_string(input.metric->name), err));
    return qn__run_note(run, "slices", slices, err);
}

qn_status qn__run_judge(qn_run_state *run, qn_error *err) {
    static qn_status (*const steps[])(qn_run_state *, qn_error *) = {
        score_test,   score_candidates,  judge_metrics,    judge_curves,
        judge_value,  judge_leaderboard, judge_comparison, judge_slices,
    };
    enum { N_STEPS = sizeof steps / sizeof steps[0] };
    for (int i = 0; i < N_STEPS; i++) {
        QN_TRY(qn_job_check(&run->job, err));
        qn_job_progress(&run->job, "evaluate", i, N_STEPS, NULL);
        QN_TRY(steps[i](run, err));
    }
    qn_job_progress(&run->job, "evaluate", 1, 1, NULL);
    qn__run_time(run, "evaluate_s");
    return QN_OK;
}
