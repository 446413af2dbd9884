/* How long to boost where validation rows are few. A dozen rows cannot tell 30 rounds from 300: the
 * round with their least loss is chance, and the refit would repeat it. Cheap as such fits are, the
 * same is then done in five folds over all rows that the refit learns from, and the loss of each
 * round is the mean of the folds'. A fold that has stopped is taken to stay where it stopped. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "flow/run_int.h"

enum {
    FEW_ROWS = 1000, /* validation rows */
    N_FOLDS = 5,
};

/* The losses of a fold, round by round. */
typedef struct curve {
    const qn_run_state *run;
    const qn_metric *metric; /* borrowed */
    qn_run_part part;        /* owned: the rows held out */
    double *scores;          /* owned */
    double *loss;            /* owned */
    int64_t n, cap;
    bool is_out_of_memory;
} curve;

static void curve_done(curve *c) {
    qn__run_part_done(&c->part);
    qn_freep(&c->scores);
    qn_freep(&c->loss);
}

static double record_loss(void *user, qn_link link, const double *raw, double *without) {
    curve *c = user;
    (void)without; /* no stretches here */
    int32_t n_outputs = c->run->n_outputs;
    memcpy(c->scores, raw, (size_t)(c->part.n * n_outputs) * sizeof *raw);
    qn_link_apply(link, c->scores, c->part.n, n_outputs);
    qn_eval_input input = qn__run_eval_input(c->run, &c->part, c->scores);
    double value = c->metric->compute(&input);
    value = isnan(value) ? INFINITY : c->metric->greater_is_better ? -value : value;
    if (c->n == c->cap) {
        int64_t cap = c->cap ? 2 * c->cap : 128;
        double *more = qn_realloc(c->loss, (size_t)cap, sizeof *more);
        if (!more) {
            c->is_out_of_memory = true;
            return value;
        }
        c->loss = more;
        c->cap = cap;
    }
    c->loss[c->n++] = value;
    return value;
}

/* What early stopping looks at in the train stage: the training loss, or a metric that orders rows. */
static qn_status find_metric(const qn_run_state *run, const qn_metric **ret, qn_error *err) {
    bool as_stated = !run->metric_is_value && (run->target.task == QN_TASK_REGRESSION
                                               || qn__run_stops_by_metric(run));
    if (as_stated) {
        *ret = run->metric;
        return QN_OK;
    }
    return qn_metric_find(run->target.task == QN_TASK_REGRESSION ? "rmse" : "log_loss",
                          run->target.task, ret, err);
}

static qn_status make_folds(const qn_run_state *run, const qn_run_training *training,
                            int32_t **ret_fold, qn_error *err) {
    const qn_column *group = NULL;
    if (run->config->split.group)
        QN_TRY(qn_frame_get(run->frame, run->config->split.group, &group, err));
    qn_split_options options = {.method = run->split.method,
                                .seed = (uint64_t)run->config->split.seed,
                                .folds = N_FOLDS,
                                .group = run->config->split.group};
    return qn_folds_make(&options, run->frame->n_rows, training->rows, training->n, run->y,
                         run->target.task, run->target.n_classes, NULL, group, ret_fold, err);
}

/* Rows of the training set inside the fold (held) or outside it. */
static qn_status take_rows(const qn_run_training *all, const int32_t *fold_of, int32_t fold,
                           bool held, qn_run_training *ret, qn_error *err) {
    ret->rows = qn_new_array(int64_t, all->n);
    ret->y = qn_new_array(double, all->n);
    ret->weight = all->weight ? qn_new_array(double, all->n) : NULL;
    if (!ret->rows || !ret->y || (all->weight && !ret->weight))
        return qn_error_memory(err);
    for (int64_t i = 0; i < all->n; i++) {
        if ((fold_of[all->rows[i]] == fold) != held)
            continue;
        ret->rows[ret->n] = all->rows[i];
        ret->y[ret->n] = all->y[i];
        if (all->weight)
            ret->weight[ret->n] = all->weight[i];
        ret->n++;
    }
    return QN_OK;
}

static qn_status fit_fold(const qn_run_state *run, const qn_run_candidate *candidate,
                          const qn_run_training *train, const qn_run_training *held, curve *c,
                          qn_error *err) {
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL;
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *x_held = NULL;
    qn_cleanup(qn_learner_free) qn_learner *learner = NULL;
    qn_cleanup(qn_json_free) json_t *params = qn__run_params(candidate);
    qn_cleanup(qn_freep) int32_t *init = NULL;
    qn_job quiet = run->job;
    quiet.on_progress = NULL;
    quiet.stop = NULL; /* one that ended early would not be comparable */
    QN_TRY(qn__run_take_part(run, held->rows, held->n, &c->part, err));
    c->scores = qn_new_array(double, held->n *run->n_outputs);
    if (!params || !c->scores)
        return qn_error_memory(err);
    QN_TRY(qn__run_spec(run, candidate->features->takes, &spec, err));
    QN_TRY(qn_pipeline_fit(spec, run->frame, train->rows, train->n, train->y, &run->target,
                           (uint64_t)run->config->seed, &quiet, &pipeline, &x, err));
    QN_TRY(qn_pipeline_apply(pipeline, c->part.frame, NULL, 0, &quiet, &x_held, err));
    qn_fit_input input = {
        .train = {.x = x, .y = train->y, .weight = train->weight},
        .valid = {.x = x_held, .y = held->y, .weight = held->weight},
        .task = run->target.task,
        .n_classes = run->target.n_classes,
        .seed = (uint64_t)run->config->seed,
        .loss = record_loss,
        .user = c,
    };
    QN_TRY(qn__run_init_score(run, candidate->family, pipeline, &input, &init, err));
    QN_TRY(qn_learner_fit(candidate->family, params, &input, &quiet, &learner, err));
    return c->is_out_of_memory ? qn_error_memory(err) : QN_OK;
}

static int64_t best_round(const curve *curves) {
    int64_t n = 0, best = 0;
    double least = INFINITY;
    for (int k = 0; k < N_FOLDS; k++)
        n = curves[k].n > n ? curves[k].n : n;
    for (int64_t m = 0; m < n; m++) {
        double sum = 0;
        for (int k = 0; k < N_FOLDS; k++)
            sum += curves[k].n ? curves[k].loss[m < curves[k].n ? m : curves[k].n - 1] : 0;
        if (sum < least) {
            least = sum;
            best = m + 1;
        }
    }
    return best;
}

static qn_status try_folds(qn_run_state *run, const qn_run_candidate *candidate,
                           const qn_run_training *all, curve *curves, qn_error *err) {
    qn_cleanup(qn_freep) int32_t *fold_of = NULL;
    const qn_metric *metric;
    QN_TRY(find_metric(run, &metric, err));
    QN_TRY(make_folds(run, all, &fold_of, err));
    for (int32_t k = 0; k < N_FOLDS; k++) {
        qn_cleanup(qn__run_training_done) qn_run_training train = {0};
        qn_cleanup(qn__run_training_done) qn_run_training held = {0};
        curves[k].run = run;
        curves[k].metric = metric;
        QN_TRY(qn_job_check(&run->job, err));
        qn_job_progress(&run->job, "rounds", k, N_FOLDS, NULL);
        QN_TRY(take_rows(all, fold_of, k, false, &train, err));
        QN_TRY(take_rows(all, fold_of, k, true, &held, err));
        if (train.n == 0 || held.n == 0)
            return qn_error_set(err, QN_ERR_DATA, "fold %d has no rows", (int)k + 1);
        QN_TRY(fit_fold(run, candidate, &train, &held, &curves[k], err));
    }
    return QN_OK;
}

qn_status qn__run_length(qn_run_state *run, const qn_run_candidate *candidate,
                         const qn_run_training *all, int64_t *rounds, qn_error *err) {
    if (run->validate.n >= FEW_ROWS || run->split.method == QN_SPLIT_TIME
        || run->config->train.budget_s > 0 || all->query || run->init_model
        || run->config->train.early_stopping_metrics.n > 0) /* the user has said what to look at */
        return QN_OK;
    curve curves[N_FOLDS] = {0};
    qn_error why = {0};
    qn_status status = try_folds(run, candidate, all, curves, &why);
    int64_t best = status == QN_OK ? best_round(curves) : 0;
    for (int k = 0; k < N_FOLDS; k++)
        curve_done(&curves[k]);
    if (status == QN_ERR_DATA) /* a class of one row, say: the validation rows have said what they can */
        return QN_OK;
    if (status != QN_OK) {
        if (err)
            *err = why;
        return status;
    }
    if (best > 0)
        *rounds = best;
    return QN_OK;
}
