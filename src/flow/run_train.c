/* Train: a feature pipeline for each kind of learner, every family of the config, and the
 * baselines. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "flow/run_int.h"

/* Baselines look at the features of the first family that can use most: they take everything. */
enum { TAKES_ALL = QN_TAKES_MISSING | QN_TAKES_CATEGORIES | QN_TAKES_SPARSE };

qn_status qn__run_spec(const qn_run_state *run, unsigned takes, qn_pipeline_spec **ret_spec,
                       qn_error *err) {
    if (!run->config->features)
        return qn_pipeline_spec_auto(run->frame, run->inputs, run->n_inputs, takes, ret_spec, err);
    qn_status status = qn_pipeline_spec_parse(run->config->features, run->frame, run->inputs,
                                              run->n_inputs, takes, ret_spec, err);
    if (status == QN_ERR_CONFIG)
        qn__run_place(run, "features", err);
    return status;
}

/* The feature that is the column as it stands; -1: none. */
static int32_t feature_of(const qn_pipeline *pipeline, const qn_direct *direct, const char *name) {
    const qn_schema *inputs = qn_pipeline_inputs(pipeline);
    int32_t n;
    const qn_feature *features = qn_pipeline_features(pipeline, &n);
    for (int32_t f = 0; f < n; f++)
        if (direct[f].i_input >= 0 && features[f].kind == QN_FEATURE_NUMERIC
            && strcmp(inputs->columns[direct[f].i_input].name, name) == 0)
            return f;
    return -1;
}

qn_status qn__run_init_score(const qn_run_state *run, const qn_family *family,
                             const qn_pipeline *pipeline, qn_fit_input *input,
                             int32_t **ret_features, qn_error *err) {
    const qn_config_texts *names = &run->config->data.init_score;
    int32_t n;
    (void)qn_pipeline_features(pipeline, &n);
    if (names->n == 0 || family->is_baseline)
        return QN_OK; /* to a baseline they are columns as any other */
    if (!family->takes_init)
        return qn_config_error(run->config, "train.families", err,
                               "%s knows no initial scores: leave it out, or data.init_score",
                               family->name);
    qn_cleanup(qn_freep) qn_direct *direct = qn_new_array(qn_direct, n);
    qn_cleanup(qn_freep) int32_t *features = qn_new_array(int32_t, names->n);
    if (!direct || !features)
        return qn_error_memory(err);
    (void)qn_pipeline_direct(pipeline, direct);
    for (size_t i = 0; i < names->n; i++)
        if ((features[i] = feature_of(pipeline, direct, names->items[i])) < 0)
            return qn_config_error(run->config, "data.init_score", err,
                                   "column %s does not reach the learner as it is: it must not "
                                   "stand under `features`, and must hold more than one value",
                                   names->items[i]);
    input->n_init = (int32_t)names->n;
    input->init_features = *ret_features = qn_steal(&features);
    return QN_OK;
}

static qn_status fit_pipeline(const qn_run_state *run, unsigned takes,
                              const qn_run_training *training, qn_run_features *features,
                              qn_error *err) {
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL;
    if (qn__run_warm_takes(run, takes))
        return qn__run_warm_pipeline(run, training->rows, training->n, &features->pipeline,
                                     &features->train, err);
    QN_TRY(qn__run_spec(run, takes, &spec, err));
    return qn_pipeline_fit(spec, run->frame, training->rows, training->n, training->y, &run->target,
                           (uint64_t)run->config->seed, &run->job, &features->pipeline,
                           &features->train, err);
}

static qn_status fit_features(qn_run_state *run, unsigned takes, qn_run_features **ret,
                              qn_error *err) {
    for (int i = 0; i < run->n_features; i++) {
        if (run->features[i].takes == takes) {
            *ret = &run->features[i];
            return QN_OK;
        }
    }
    qn_run_features *features = &run->features[run->n_features];
    qn_job_progress(&run->job, "features", 0, 0, NULL);
    QN_TRY(fit_pipeline(run, takes, &run->training, features, err));
    features->takes = takes;
    features->view = features->pipeline;
    run->n_features++;
    QN_TRY(qn_pipeline_apply(features->pipeline, run->validate.frame, NULL, 0, &run->job,
                             &features->validate, err));
    char note[64];
    snprintf(note, sizeof note, "%zu columns to %d features", run->n_inputs,
             features->train->n_features);
    qn_job_progress(&run->job, "features", 1, 1, note);
    qn__run_time(run, "feature_s");
    *ret = features;
    return QN_OK;
}

/* One more family to train. */
static qn_status add_candidate(qn_run_state *run, const qn_family *family, const json_t *params,
                               qn_error *err) {
    QN_FAIL_IF(run->n_candidates == QN_RUN_CANDIDATES_MAX, err, QN_ERR_LIMIT,
               "more than %d families to train", QN_RUN_CANDIDATES_MAX);
    qn_run_candidate *candidate = &run->candidates[run->n_candidates++];
    *candidate = (qn_run_candidate){.family = family, .params = params, .folds_mean = (double)NAN};
    return fit_features(run, family->is_baseline ? TAKES_ALL : family->takes, &candidate->features,
                        err);
}

static qn_status add_candidates(qn_run_state *run, qn_error *err) {
    for (size_t i = 0; i < run->config->train.n_families; i++) {
        const qn_config_family *wanted = &run->config->train.families[i];
        const qn_family *family;
        if (qn_family_find(wanted->name, &family, err) != QN_OK)
            return qn_config_error(run->config, "train.families", err, "%s",
                                   err ? err->message : "");
        if (qn_learner_check(family, wanted->params, err) != QN_OK)
            return qn_config_error(run->config, "train.families", err, "%s",
                                   err ? err->message : "");
        QN_TRY(add_candidate(run, family, wanted->params, err));
    }
    for (const qn_family *const *family = qn_families(); *family; family++)
        if ((*family)->is_baseline)
            QN_TRY(add_candidate(run, *family, NULL, err));
    return QN_OK;
}

static bool is_stated(const json_t *params, const char *const *names) {
    for (; *names; names++)
        if (json_object_get(params, *names))
            return true;
    return false;
}

bool qn__run_chooses_length(const qn_run_candidate *candidate) {
    static const char *const lengths[] = {
        "num_iterations",       "n_estimators",          "num_iteration",    "num_trees",
        "num_round",            "num_rounds",            "num_boost_round",  "max_iter",
        "early_stopping_round", "early_stopping_rounds", "n_iter_no_change", NULL};
    return strcmp(candidate->family->name, "gbdt") == 0 && !is_stated(candidate->params, lengths);
}

/* What a run chooses where the user says nothing. With validation rows at hand, boosting goes on
 * until it stops helping; in a split by time, where few of them are independent, it takes a
 * standard error to say so. A little shrinkage of the leaves (XGBoost's preset) is the difference
 * between a model and an overshoot where positives are rare: a leaf of 20 rows has next to no
 * curvature there. Of 100 rows 20 in a leaf are too many to tell three classes apart: ten leaves
 * must be possible. */
json_t *qn__run_params(const qn_run_candidate *candidate) {
    static const char *const shrinkages[] = {"lambda_l2", "reg_lambda", "lambda",
                                             "l2_regularization", NULL};
    static const char *const least_rows[] = {"min_data_in_leaf", "min_child_samples",
                                             "min_samples_leaf", "min_data", NULL};
    enum { ROWS = 20, LEAVES = 10 };
    json_t *all = candidate->params ? json_deep_copy(candidate->params) : json_object();
    if (!all || strcmp(candidate->family->name, "gbdt") != 0)
        return all;
    if (qn__run_chooses_length(candidate)) {
        json_object_set_new(all, "num_iterations", json_integer(1000));
        json_object_set_new(all, "early_stopping_round", json_integer(50));
        if (!json_object_get(all, "early_stopping_se"))
            json_object_set_new(all, "early_stopping_se", json_real(1));
    }
    if (!is_stated(all, shrinkages))
        json_object_set_new(all, "lambda_l2", json_real(1));
    int64_t n = candidate->features->train->n_rows;
    if (n < ROWS * LEAVES && !is_stated(all, least_rows))
        json_object_set_new(all, "min_data_in_leaf", json_integer(n < LEAVES ? 1 : n / LEAVES));
    return all;
}

/* Scores on the validation rows, as the finished model will give them. */
static qn_status score_validation(qn_run_state *run, qn_run_candidate *candidate, qn_error *err) {
    const qn_matrix *x = candidate->features->validate;
    candidate->scores = qn_malloc_aligned((size_t)x->n_rows * (size_t)run->n_outputs,
                                          sizeof(double));
    if (!candidate->scores)
        return qn_error_memory(err);
    qn_job one_thread = {.n_threads = 1};
    double start = qn_now_s();
    qn_learner_predict(candidate->learner, x, true, &one_thread, candidate->scores);
    candidate->row_us = (qn_now_s() - start) * 1e6 / (double)x->n_rows;
    if (run->target.task == QN_TASK_BINARY && run->negatives_rate < 1)
        qn_undo_negative_sampling(candidate->scores, x->n_rows, run->negatives_rate);
    return QN_OK;
}

static qn_status measure_bytes(qn_run_candidate *candidate, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf bytes = {.max = QN_LIMIT_MODEL_BYTES};
    QN_TRY(candidate->family->save(candidate->learner, &bytes, err));
    QN_TRY(qn_pipeline_save(candidate->features->pipeline, &bytes, err));
    QN_TRY(qn_buf_status(&bytes, err));
    candidate->bytes = (int64_t)bytes.len;
    return QN_OK;
}

static void check_limits(const qn_run_state *run, qn_run_candidate *candidate) {
    int64_t model_bytes = run->config->train.limits.model_bytes;
    double row_us = run->config->train.limits.row_us;
    if (model_bytes > 0 && candidate->bytes > model_bytes)
        snprintf(candidate->refused, sizeof candidate->refused,
                 "its %lld bytes are above train.limits.model_bytes", (long long)candidate->bytes);
    else if (row_us > 0 && candidate->row_us > row_us)
        snprintf(candidate->refused, sizeof candidate->refused,
                 "its %.2f us per row are above train.limits.row_us", candidate->row_us);
}

qn_status qn__run_measure(const qn_run_state *run, const qn_run_part *part, const double *scores,
                          double *ret_metric, qn_error *err) {
    if (!run->metric_is_value) {
        qn_eval_input input = qn__run_eval_input(run, part, scores);
        *ret_metric = run->metric->compute(&input);
        return QN_OK;
    }
    qn_cleanup(qn_freep) double *payoffs = NULL;
    qn_value_point best;
    QN_TRY(qn_value_payoffs(run->value, part->frame, NULL, part->n, &payoffs, err));
    QN_TRY(qn_value_best(payoffs, part->y, scores, part->n, &best, err));
    *ret_metric = best.per_row;
    return QN_OK;
}

double qn__run_merit(const qn_run_candidate *candidate) {
    return isnan(candidate->folds_mean) ? candidate->metric : candidate->folds_mean;
}

static void note_stop(qn_run_state *run, const qn_run_candidate *candidate) {
    if (!run->job.stop || !run->job.stop->asked || run->stopped_by_hand)
        return;
    run->stopped_by_hand = true;
    qn__run_warn(run,
                 "training of %s was stopped by hand: the model is the best of the rounds so far",
                 candidate->family->name);
}

static qn_status train_candidate(qn_run_state *run, qn_run_candidate *candidate, double budget_s,
                                 qn_error *err) {
    const qn_run_features *features = candidate->features;
    qn_fit_input input = {
        .train = {.x = features->train, .y = run->training.y, .weight = run->training.weight,
                  .query = run->training.query},
        .valid = {.x = features->validate, .y = run->validate.y, .weight = run->validate.weight,
                  .query = run->validate.query},
        .n_queries = run->n_queries,
        .task = run->target.task,
        .n_classes = run->target.n_classes,
        .valid_stretch = run->stretch,
        .n_stretches = run->n_stretches,
        .seed = (uint64_t)run->config->seed,
        .from = qn__run_warm_learner(run, candidate->family),
    };
    qn_cleanup(qn_json_free) json_t *params = qn__run_params(candidate);
    qn_cleanup(qn_freep) int32_t *init = NULL;
    qn_cleanup(qn__run_stopping_done) qn_run_stopping stop = {0};
    if (!params)
        return qn_error_memory(err);
    QN_TRY(qn__run_init_score(run, candidate->family, features->view, &input, &init,
                              err));
    QN_TRY(qn__run_stopping_init(&stop, run, &input, true, err));
    qn_job job = run->job;
    job.budget_s = budget_s;
    double start = qn_now_s();
    qn_status status = qn_learner_fit(candidate->family, params, &input, &job, &candidate->learner,
                                      err);
    if (status == QN_ERR_CONFIG)
        qn__run_place(run, "train.families", err);
    QN_TRY(status);
    QN_TRY(qn__run_stopping_status(&stop, err));
    note_stop(run, candidate);
    candidate->train_s = qn_now_s() - start;
    QN_TRY(score_validation(run, candidate, err));
    QN_TRY(qn__run_measure(run, &run->validate, candidate->scores, &candidate->metric, err));
    QN_TRY(measure_bytes(candidate, err));
    check_limits(run, candidate);
    char note[96], stage[64];
    snprintf(stage, sizeof stage, "train %s", candidate->family->name);
    snprintf(note, sizeof note, "%s %.5g on validation",
             run->metric_is_value ? "value" : run->metric->name, candidate->metric);
    qn_job_progress(&run->job, stage, 1, 1, note);
    return QN_OK;
}

static int count_families(const qn_run_state *run) {
    int n = 0;
    for (int i = 0; i < run->n_candidates; i++)
        n += !run->candidates[i].family->is_baseline;
    return n;
}

qn_status qn__run_train(qn_run_state *run, qn_error *err) {
    QN_TRY(qn__run_warm_open(run, err));
    QN_TRY(add_candidates(run, err));
    double budget_s = run->config->train.budget_s, start = qn_now_s();
    int n_left = count_families(run);
    for (int i = 0; i < run->n_candidates; i++) {
        qn_run_candidate *candidate = &run->candidates[i];
        double share = 0;
        if (budget_s > 0 && !candidate->family->is_baseline)
            share = fmax(budget_s - (qn_now_s() - start), 0.1) / n_left--;
        QN_TRY(qn_job_check(&run->job, err));
        QN_TRY(train_candidate(run, candidate, share, err));
    }
    qn__run_time(run, "train_s");
    return qn__run_folds(run, err);
}
