/* Folds: with split.folds, every family is cross-validated on the training rows, features fitted anew in each
 * fold, and the mean decides which one is chosen. The chosen model itself is the one of the train stage. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "flow/run_int.h"

/* Rows of one fold: those that train, with their targets, and those held out. */
typedef struct fold_rows {
    int64_t *train; /* owned */
    int64_t n_train, n_held;
    int64_t *held;  /* owned */
    double *y, *weight;
    qn_run_part part; /* the held-out rows */
} fold_rows;

static void fold_rows_done(fold_rows *rows) {
    qn_freep(&rows->train);
    qn_freep(&rows->held);
    qn_freep(&rows->y);
    qn_freep(&rows->weight);
    qn__run_part_done(&rows->part);
}

static qn_status make_folds(const qn_run_state *run, int32_t **ret_fold, qn_error *err) {
    const qn_config *config = run->config;
    const qn_column *time = NULL, *group = NULL;
    if (config->data.time)
        QN_TRY(qn_frame_get(run->frame, config->data.time, &time, err));
    if (config->split.group)
        QN_TRY(qn_frame_get(run->frame, config->split.group, &group, err));
    qn_split_options options = {
        .method = run->split.method,
        .seed = (uint64_t)config->split.seed,
        .folds = (int32_t)config->split.folds,
        .time = config->data.time,
        .group = config->split.group,
    };
    return qn_folds_make(&options, run->frame->n_rows, run->split.train, run->split.n_train, run->y,
                         run->target.task, run->target.n_classes, time, group, ret_fold, err);
}

/* Training rows of the run (negatives sampled down already) outside the fold train; all of the split's rows
 * inside it judge. */
static qn_status take_fold(const qn_run_state *run, const int32_t *fold_of, int32_t fold, fold_rows *rows,
                           qn_error *err) {
    rows->train = qn_new_array(int64_t, run->training.n);
    rows->held = qn_new_array(int64_t, run->split.n_train);
    rows->y = qn_new_array(double, run->training.n);
    rows->weight = run->training.weight ? qn_new_array(double, run->training.n) : NULL;
    if (!rows->train || !rows->held || !rows->y || (run->training.weight && !rows->weight))
        return qn_error_memory(err);
    for (int64_t i = 0; i < run->training.n; i++) {
        int64_t row = run->training.rows[i];
        if (!qn_fold_trains(run->split.method, fold_of[row], fold))
            continue;
        rows->y[rows->n_train] = run->training.y[i];
        if (rows->weight)
            rows->weight[rows->n_train] = run->training.weight[i];
        rows->train[rows->n_train++] = row;
    }
    for (int64_t i = 0; i < run->split.n_train; i++)
        if (fold_of[run->split.train[i]] == fold)
            rows->held[rows->n_held++] = run->split.train[i];
    return qn__run_take_part(run, rows->held, rows->n_held, &rows->part, err);
}

static qn_status fit_fold(const qn_run_state *run, const qn_run_candidate *candidate, const fold_rows *rows,
                          const qn_matrix *train, const qn_matrix *held, double *ret_metric, qn_error *err) {
    qn_cleanup(qn_learner_free) qn_learner *learner = NULL;
    qn_cleanup(qn_json_free) json_t *params = qn__run_params(candidate);
    qn_cleanup(qn_freep) double *scores =
        qn_new_array(double, rows->n_held *run->n_outputs);
    qn_fit_input input = {
        .train = {.x = train, .y = rows->y, .weight = rows->weight},
        .valid = {.x = held, .y = rows->part.y, .weight = rows->part.weight},
        .task = run->target.task,
        .n_classes = run->target.n_classes,
        .seed = (uint64_t)run->config->seed,
    };
    if (!params || !scores)
        return qn_error_memory(err);
    qn_job quiet = run->job; /* the folds are what is counted */
    quiet.on_progress = NULL;
    QN_TRY(qn_learner_fit(candidate->family, params, &input, &quiet, &learner, err));
    qn_learner_predict(learner, held, true, &run->job, scores);
    if (run->target.task == QN_TASK_BINARY && run->negatives_rate < 1)
        qn_undo_negative_sampling(scores, rows->n_held, run->negatives_rate);
    return qn__run_measure(run, &rows->part, scores, ret_metric, err);
}

/* All candidates that share one kind of features, on one fold. */
static qn_status run_fold(const qn_run_state *run, const qn_run_features *features, const fold_rows *rows,
                          int32_t fold, double *metrics, qn_error *err) {
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL;
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *train = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *held = NULL;
    QN_TRY(qn__run_spec(run, features->takes, &spec, err));
    QN_TRY(qn_pipeline_fit(spec, run->frame, rows->train, rows->n_train, rows->y, &run->target,
                           (uint64_t)run->config->seed, &run->job, &pipeline, &train, err));
    QN_TRY(qn_pipeline_apply(pipeline, rows->part.frame, NULL, 0, &run->job, &held, err));
    for (int i = 0; i < run->n_candidates; i++)
        if (run->candidates[i].features == features)
            QN_TRY(fit_fold(run, &run->candidates[i], rows, train, held,
                            &metrics[i * run->config->split.folds + fold], err));
    return QN_OK;
}

static void summarise(qn_run_candidate *candidate, const double *metrics, int64_t n) {
    double mean = 0, square = 0;
    for (int64_t k = 0; k < n; k++)
        mean += metrics[k] / (double)n;
    for (int64_t k = 0; k < n; k++)
        square += (metrics[k] - mean) * (metrics[k] - mean);
    candidate->folds_mean = mean;
    candidate->folds_sd = sqrt(square / (double)(n - 1));
}

qn_status qn__run_folds(qn_run_state *run, qn_error *err) {
    int64_t n_folds = run->config->split.folds;
    if (n_folds < 2)
        return QN_OK;
    qn_cleanup(qn_freep) int32_t *fold_of = NULL;
    qn_cleanup(qn_freep) double *metrics = qn_new_array(double, QN_RUN_CANDIDATES_MAX *n_folds);
    if (!metrics)
        return qn_error_memory(err);
    QN_TRY(make_folds(run, &fold_of, err));
    for (int32_t fold = 0; fold < n_folds; fold++) {
        qn_cleanup(fold_rows_done) fold_rows rows = {0};
        QN_TRY(take_fold(run, fold_of, fold, &rows, err));
        for (int f = 0; f < run->n_features; f++) {
            QN_TRY(qn_job_check(&run->job, err));
            qn_job_progress(&run->job, "cross-validate", (double)fold, (double)n_folds, NULL);
            QN_TRY(run_fold(run, &run->features[f], &rows, fold, metrics, err));
        }
    }
    for (int i = 0; i < run->n_candidates; i++)
        summarise(&run->candidates[i], metrics + i * n_folds, n_folds);
    qn__run_time(run, "folds_s");
    return QN_OK;
}
