/* Folds: with split.folds, every family is cross-validated on the training rows, features fitted
 * anew in each fold, and the mean decides which one is chosen. Where all features are numbers as they
 * stand in the table there is nothing to fit, and gbdt bins all training rows once for all folds: bounds
 * of bins know no target. A tenth of each fold's training rows
 * - by time the newest, else drawn - is held back for early stopping and strength, as the validation
 * rows are in the train stage: a fold that chose the length of what it measures would flatter it.
 * The chosen model itself is the one of the train stage. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "flow/run_int.h"
#include "learn/gbdt.h"

/* Rows of run->frame with their targets and weights. */
typedef struct fitting_rows {
    int64_t *rows;      /* owned, n */
    int64_t *at;        /* owned, n: their places among the run's training rows */
    double *y, *weight; /* owned, n; weight NULL: all 1 */
    int32_t *query;     /* owned, n; of a ranking; NULL otherwise */
    int64_t n;
} fitting_rows;

/* One fold: the rows that train, those that say when to stop, and those held out to judge. */
typedef struct fold_rows {
    fitting_rows train, stop;
    int32_t *stretch; /* owned: of the rows of stop, in a split by time; NULL otherwise */
    int32_t n_stretches;
    int64_t *held;    /* owned */
    int64_t n_held;
    qn_run_part part; /* the held-out rows */
} fold_rows;

/* What one kind of features makes of a fold. */
typedef struct fold_matrices {
    qn_matrix *train, *stop, *held; /* owned; stop NULL when no row is held back */
    const qn_pipeline *pipeline; /* borrowed; what made them */
} fold_matrices;

static void fitting_rows_done(fitting_rows *set) {
    qn_freep(&set->rows);
    qn_freep(&set->at);
    qn_freep(&set->y);
    qn_freep(&set->weight);
    qn_freep(&set->query);
}

static void fold_rows_done(fold_rows *rows) {
    fitting_rows_done(&rows->train);
    fitting_rows_done(&rows->stop);
    qn_freep(&rows->stretch);
    qn_freep(&rows->held);
    qn__run_part_done(&rows->part);
}

static void fold_matrices_done(fold_matrices *x) {
    qn_matrix_free(&x->train);
    qn_matrix_free(&x->stop);
    qn_matrix_free(&x->held);
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

static qn_status fitting_rows_init(fitting_rows *set, int64_t n_most, bool weighted,
                                   qn_error *err) {
    set->rows = qn_new_array(int64_t, n_most);
    set->at = qn_new_array(int64_t, n_most);
    set->y = qn_new_array(double, n_most);
    set->weight = weighted ? qn_new_array(double, n_most) : NULL;
    bool has_all = set->rows && set->at && set->y && (!weighted || set->weight);
    return has_all ? QN_OK : qn_error_memory(err);
}

static void add_row(fitting_rows *set, const qn_run_training *from, int64_t i) {
    set->rows[set->n] = from->rows[i];
    set->at[set->n] = i;
    set->y[set->n] = from->y[i];
    if (set->weight)
        set->weight[set->n] = from->weight[i];
    set->n++;
}

enum { HELD_BACK = 10 };

/* is_back[i]: whether training row i, if it trains the fold, is held back. */
static qn_status hold_back(const qn_run_state *run, const int32_t *fold_of, int32_t fold,
                           bool *is_back, qn_error *err) {
    const qn_run_training *all = &run->training;
    if (run->split.method != QN_SPLIT_TIME) {
        for (int64_t i = 0; i < all->n; i++)
            is_back[i] = qn_rng_hash((uint64_t)run->config->split.seed,
                                     (uint64_t)(all->query ? all->query[i] : all->rows[i]))
                             % HELD_BACK == 0;
        return QN_OK;
    }
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, all->n);
    qn_cleanup(qn_freep) int32_t *tenth = qn_new_array(int32_t, all->n);
    const qn_column *time;
    int32_t n_tenths;
    int64_t n = 0;
    if (!rows || !tenth)
        return qn_error_memory(err);
    for (int64_t i = 0; i < all->n; i++)
        if (qn_fold_trains(run->split.method, fold_of[all->rows[i]], fold))
            rows[n++] = all->rows[i];
    QN_TRY(qn_frame_get(run->frame, run->config->data.time, &time, err));
    QN_TRY(qn_split_stretches(time, rows, n, HELD_BACK, tenth, &n_tenths, err));
    for (int64_t i = 0, k = 0; i < all->n; i++)
        if (qn_fold_trains(run->split.method, fold_of[all->rows[i]], fold))
            is_back[i] = tenth[k++] == n_tenths - 1 && n_tenths > 1;
    return QN_OK;
}

/* Training rows of the run (negatives sampled down already) outside the fold train, a tenth of them
 * held back; all of the split's rows inside it judge. */
static qn_status take_fold(const qn_run_state *run, const int32_t *fold_of, int32_t fold,
                           fold_rows *rows, qn_error *err) {
    const qn_run_training *all = &run->training;
    qn_cleanup(qn_freep) bool *is_back = qn_new_array(bool, all->n);
    rows->held = qn_new_array(int64_t, run->split.n_train);
    if (!rows->held || !is_back)
        return qn_error_memory(err);
    QN_TRY(fitting_rows_init(&rows->train, all->n, all->weight != NULL, err));
    QN_TRY(fitting_rows_init(&rows->stop, all->n, all->weight != NULL, err));
    QN_TRY(hold_back(run, fold_of, fold, is_back, err));
    for (int64_t i = 0; i < all->n; i++)
        if (qn_fold_trains(run->split.method, fold_of[all->rows[i]], fold))
            add_row(is_back[i] ? &rows->stop : &rows->train, all, i);
    QN_TRY(qn__run_queries(run, rows->train.rows, rows->train.n, &rows->train.query, err));
    QN_TRY(qn__run_queries(run, rows->stop.rows, rows->stop.n, &rows->stop.query, err));
    QN_TRY(qn__run_stretches(run, rows->stop.rows, rows->stop.n, &rows->stretch,
                             &rows->n_stretches, err));
    QN_FAIL_IF(
        rows->train.n == 0, err, QN_ERR_DATA,
        "impossible split: fold %d of %lld has no row to train on; give more rows or fewer folds",
        fold + 1, (long long)run->config->split.folds);
    for (int64_t i = 0; i < run->split.n_train; i++)
        if (fold_of[run->split.train[i]] == fold)
            rows->held[rows->n_held++] = run->split.train[i];
    return qn__run_take_part(run, rows->held, rows->n_held, &rows->part, err);
}

/* ---- features that need no fitting ------------------------------------------------------------ */

/* What all folds share when every feature is a number as it stands in the table: the matrix of all
 * training rows, and its bins by candidate. */
typedef struct shared_bins {
    qn_gbdt_bins *of[QN_RUN_CANDIDATES_MAX]; /* owned; NULL: fitted anew in every fold */
} shared_bins;

static void shared_bins_done(shared_bins *shared) {
    for (int i = 0; i < QN_RUN_CANDIDATES_MAX; i++)
        qn_gbdt_bins_free(&shared->of[i]);
}

static qn_status is_plain(const qn_run_features *features, bool *ret_plain, qn_error *err) {
    int32_t n;
    const qn_feature *list = qn_pipeline_features(features->view, &n);
    qn_cleanup(qn_freep) qn_direct *direct = qn_new_array(qn_direct, n + 1);
    if (!direct)
        return qn_error_memory(err);
    *ret_plain = qn_pipeline_direct(features->view, direct);
    for (int32_t f = 0; f < n; f++)
        *ret_plain &= list[f].kind == QN_FEATURE_NUMERIC && !direct[f].codes;
    return QN_OK;
}

static qn_status share_bins(const qn_run_state *run, shared_bins *shared, qn_error *err) {
    for (int i = 0; i < run->n_candidates; i++) {
        const qn_run_candidate *candidate = &run->candidates[i];
        bool plain;
        if (strcmp(candidate->family->name, "gbdt") != 0)
            continue;
        QN_TRY(is_plain(candidate->features, &plain, err));
        if (!plain)
            continue;
        qn_fit_input input = {.train.x = candidate->features->train,
                              .seed = (uint64_t)run->config->seed};
        qn_cleanup(qn_json_free) json_t *params = qn__run_params(candidate);
        qn_cleanup(qn_freep) int32_t *init = NULL;
        if (!params)
            return qn_error_memory(err);
        QN_TRY(qn__run_init_score(run, candidate->family, candidate->features->view, &input,
                                  &init, err));
        QN_TRY(qn_gbdt_bins_new(params, &input, &run->job, &shared->of[i], err));
    }
    return QN_OK;
}

static qn_status fit_fold(const qn_run_state *run, const qn_run_candidate *candidate,
                          const fold_rows *rows, const fold_matrices *x, const qn_gbdt_bins *bins,
                          double *ret_metric, qn_error *err) {
    qn_cleanup(qn_learner_free) qn_learner *learner = NULL;
    qn_cleanup(qn_json_free) json_t *params = qn__run_params(candidate);
    qn_cleanup(qn_freep) double *scores =
        qn_new_array(double, rows->n_held *run->n_outputs);
    qn_fit_input input = {
        .train = {.x = x->train, .y = rows->train.y, .weight = rows->train.weight,
                  .query = rows->train.query},
        .valid = {.x = x->stop, .y = rows->stop.y, .weight = rows->stop.weight,
                  .query = rows->stop.query},
        .n_queries = run->n_queries,
        .valid_stretch = rows->stretch,
        .n_stretches = rows->n_stretches,
        .task = run->target.task,
        .n_classes = run->target.n_classes,
        .seed = (uint64_t)run->config->seed,
        .bins = bins,
        .train_rows = rows->train.at,
        .valid_rows = rows->stop.at,
    };
    qn_cleanup(qn__run_stopping_done) qn_run_stopping stop = {0};
    qn_cleanup(qn_freep) int32_t *init = NULL;
    if (!params || !scores)
        return qn_error_memory(err);
    QN_TRY(qn__run_stopping_init(&stop, run, &input, false, err));
    qn_job quiet = run->job; /* the folds are what is counted */
    quiet.on_progress = NULL;
    quiet.stop = NULL; /* one that ended early would not be comparable */
    QN_TRY(qn__run_init_score(run, candidate->family, x->pipeline, &input, &init, err));
    QN_TRY(qn_learner_fit(candidate->family, params, &input, &quiet, &learner, err));
    QN_TRY(qn__run_stopping_status(&stop, err));
    qn_learner_predict(learner, x->held, true, &run->job, scores);
    if (run->target.task == QN_TASK_BINARY && run->negatives_rate < 1)
        qn_undo_negative_sampling(scores, rows->n_held, run->negatives_rate);
    return qn__run_measure(run, &rows->part, scores, ret_metric, err);
}

/* The fold's rows of the matrix of all. */
static qn_status take_matrices(const qn_run_state *run, const qn_run_features *features,
                               const fold_rows *rows, fold_matrices *x, qn_error *err) {
    x->pipeline = features->view;
    QN_TRY(qn_matrix_take(features->train, rows->train.at, rows->train.n, &x->train, err));
    if (rows->stop.n > 0)
        QN_TRY(qn_matrix_take(features->train, rows->stop.at, rows->stop.n, &x->stop, err));
    return qn_pipeline_apply(x->pipeline, rows->part.frame, NULL, 0, &run->job, &x->held, err);
}

static qn_status fit_matrices(const qn_run_state *run, const qn_run_features *features,
                              const fold_rows *rows, qn_pipeline **ret_pipeline, fold_matrices *x,
                              qn_error *err) {
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL;
    QN_TRY(qn__run_spec(run, features->takes, &spec, err));
    QN_TRY(qn_pipeline_fit(spec, run->frame, rows->train.rows, rows->train.n, rows->train.y,
                           &run->target, (uint64_t)run->config->seed, &run->job, ret_pipeline,
                           &x->train, err));
    x->pipeline = *ret_pipeline;
    if (rows->stop.n > 0)
        QN_TRY(qn_pipeline_apply(x->pipeline, run->frame, rows->stop.rows, rows->stop.n, &run->job,
                                 &x->stop, err));
    return qn_pipeline_apply(x->pipeline, rows->part.frame, NULL, 0, &run->job, &x->held, err);
}

/* All candidates that share one kind of features, on one fold. */
static qn_status run_fold(const qn_run_state *run, const qn_run_features *features,
                          const shared_bins *shared, const fold_rows *rows, int32_t fold,
                          double *metrics, qn_error *err) {
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = NULL;
    qn_cleanup(fold_matrices_done) fold_matrices x = {0};
    bool shares = false;
    for (int i = 0; i < run->n_candidates; i++)
        shares |= run->candidates[i].features == features && shared->of[i];
    QN_TRY(shares ? take_matrices(run, features, rows, &x, err)
                  : fit_matrices(run, features, rows, &pipeline, &x, err));
    for (int i = 0; i < run->n_candidates; i++)
        if (run->candidates[i].features == features)
            QN_TRY(fit_fold(run, &run->candidates[i], rows, &x, shared->of[i],
                            &metrics[i * run->config->split.folds + fold], err));
    return QN_OK;
}

/* Mean and standard deviation over the folds in which the metric is defined: one without a positive
 * row has no area under a curve. */
static void summarise(qn_run_candidate *candidate, const double *metrics, int64_t n_folds) {
    double sum = 0, square = 0;
    int64_t n = 0;
    for (int64_t k = 0; k < n_folds; k++) {
        if (isnan(metrics[k]))
            continue;
        sum += metrics[k];
        n++;
    }
    double mean = sum / (double)n;
    for (int64_t k = 0; k < n_folds; k++)
        if (!isnan(metrics[k]))
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
    qn_cleanup(shared_bins_done) shared_bins shared = {0};
    QN_TRY(make_folds(run, &fold_of, err));
    QN_TRY(share_bins(run, &shared, err));
    for (int32_t fold = 0; fold < n_folds; fold++) {
        qn_cleanup(fold_rows_done) fold_rows rows = {0};
        QN_TRY(take_fold(run, fold_of, fold, &rows, err));
        for (int f = 0; f < run->n_features; f++) {
            QN_TRY(qn_job_check(&run->job, err));
            qn_job_progress(&run->job, "cross-validate", (double)fold, (double)n_folds, NULL);
            QN_TRY(run_fold(run, &run->features[f], &shared, &rows, fold, metrics, err));
        }
    }
    for (int i = 0; i < run->n_candidates; i++)
        summarise(&run->candidates[i], metrics + i * n_folds, n_folds);
    qn__run_time(run, "folds_s");
    return QN_OK;
}
