/* Refit: choosing took the validation rows away from learning; once the family, its length and its
 * strength are chosen, the same fit is done again on train and validation rows together. In time
 * splits these are the newest rows, which matter most. Threshold and calibration stay those found
 * on validation rows by the first fit. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "flow/run_int.h"

static int by_row(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static qn_status all_rows(const qn_run_state *run, int64_t **ret_rows, int64_t *ret_n,
                          qn_error *err) {
    const qn_split *split = &run->split;
    int64_t n = split->n_train + split->n_validate;
    int64_t *rows = qn_new_array(int64_t, n);
    if (!rows)
        return qn_error_memory(err);
    memcpy(rows, split->train, (size_t)split->n_train * sizeof *rows);
    memcpy(rows + split->n_train, split->validate, (size_t)split->n_validate * sizeof *rows);
    qsort(rows, (size_t)n, sizeof *rows, by_row);
    *ret_rows = rows;
    *ret_n = n;
    return QN_OK;
}

/* A schedule of the learning rate goes on as if all rounds were to come. */
static void keep_schedule(const qn_family *family, json_t *params) {
    static const char *const names[] = {
        "num_iterations", "n_estimators",    "num_iteration", "num_trees", "num_round",
        "num_rounds",     "num_boost_round", "max_iter"};
    json_t *rounds = NULL;
    if (json_object_get(params, "learning_rate_rounds"))
        return;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !rounds; i++)
        rounds = json_object_get(params, names[i]);
    for (size_t i = 0; i < family->n_params; i++)
        if (strcmp(family->params[i].name, "learning_rate_rounds") == 0 && rounds)
            json_object_set(params, "learning_rate_rounds", rounds);
        else if (strcmp(family->params[i].name, names[0]) == 0 && !rounds)
            json_object_set_new(params, "learning_rate_rounds",
                                json_integer((json_int_t)family->params[i].preset));
}

/* The candidate's parameters with what the first fit found out written in: how many trees, how much
 * shrinkage. */
static json_t *found_params(const qn_run_candidate *candidate, const qn_learner *from) {
    json_t *params = qn__run_params(candidate);
    qn_cleanup(qn_json_free) json_t *facts = candidate->family->describe(candidate->learner);
    json_t *best = json_object_get(facts, "best_iteration"),
           *lambda = json_object_get(facts, "lambda");
    qn_cleanup(qn_json_free) json_t *before = from ? from->family->describe(from) : NULL;
    json_int_t rounds_before = json_integer_value(json_object_get(before, "trees"))
                               / (from ? from->n_outputs : 1);
    if (!params || !facts) {
        qn_json_free(&params);
        return NULL;
    }
    if (json_integer_value(best) - rounds_before > 0) {
        if (json_object_get(params, "learning_rate_schedule"))
            keep_schedule(candidate->family, params);
        static const char *const names[] = {
            "n_estimators",    "num_iteration",   "num_trees", "num_round",
            "num_rounds",      "num_boost_round", "max_iter",  "early_stopping_rounds",
            "n_iter_no_change"};
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            json_object_del(params, names[i]);
        json_object_set_new(params, "num_iterations",
                            json_integer(json_integer_value(best) - rounds_before));
        json_object_set_new(params, "early_stopping_round", json_integer(0));
    }
    if (json_is_number(lambda)) {
        json_object_del(params, "alpha");
        json_object_set(params, "lambda", lambda);
    }
    return params;
}

static qn_status set_length(qn_run_state *run, const qn_run_candidate *candidate,
                            const qn_run_training *training, json_t *params, qn_error *err) {
    int64_t rounds = json_integer_value(json_object_get(params, "num_iterations"));
    if (!qn__run_chooses_length(candidate))
        return QN_OK;
    QN_TRY(qn__run_length(run, candidate, training, &rounds, err));
    json_object_set_new(params, "num_iterations", json_integer(rounds));
    return QN_OK;
}

/* The progress of a fit within this stage is the stage's own. */
static void pass_on(void *user, const qn_progress *progress) {
    const qn_job *outer = user;
    qn_job_progress(outer, "refit", progress->done, progress->total, NULL);
}

static qn_status fit_again(qn_run_state *run, const qn_run_candidate *candidate,
                           const qn_run_training *training, qn_pipeline **ret_pipeline,
                           qn_learner **ret_learner, qn_error *err) {
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL;
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    const qn_learner *from = qn__run_warm_learner(run, candidate->family);
    qn_cleanup(qn_json_free) json_t *params = found_params(candidate, from);
    qn_cleanup(qn_freep) int32_t *init = NULL;
    qn_job job = run->job;
    if (!params)
        return qn_error_memory(err);
    QN_TRY(set_length(run, candidate, training, params, err));
    job.on_progress = pass_on;
    job.user = &run->job;
    job.stop = NULL; /* the rounds are known */
    if (qn__run_warm_takes(run, candidate->features->takes)) {
        QN_TRY(qn__run_warm_pipeline(run, training->rows, training->n, &pipeline, &x, err));
    } else {
        QN_TRY(qn__run_spec(run, candidate->features->takes, &spec, err));
        QN_TRY(qn_pipeline_fit(spec, run->frame, training->rows, training->n, training->y,
                               &run->target, (uint64_t)run->config->seed, &job, &pipeline, &x,
                               err));
    }
    qn_fit_input input = {
        .train = {.x = x, .y = training->y, .weight = training->weight, .query = training->query},
        .n_queries = run->n_queries,
        .task = run->target.task,
        .n_classes = run->target.n_classes,
        .seed = (uint64_t)run->config->seed,
        .from = from,
    };
    QN_TRY(qn__run_init_score(run, candidate->family, pipeline, &input, &init, err));
    QN_TRY(qn_learner_fit(candidate->family, params, &input, &job, ret_learner, err));
    *ret_pipeline = qn_steal(&pipeline);
    return QN_OK;
}

qn_status qn__run_refit(qn_run_state *run, qn_pipeline **ret_pipeline, qn_learner **ret_learner,
                        qn_error *err) {
    qn_run_candidate *chosen = &run->candidates[run->chosen];
    if (!run->config->train.refit) {
        *ret_pipeline = qn_steal(&chosen->features->pipeline);
        *ret_learner = qn_steal(&chosen->learner);
        return QN_OK;
    }
    qn_cleanup(qn__run_training_done) qn_run_training training = {0};
    qn_cleanup(qn_freep) int64_t *rows = NULL;
    int64_t n;
    qn_job_progress(&run->job, "refit", 0, 0, NULL);
    QN_TRY(all_rows(run, &rows, &n, err));
    QN_TRY(qn__run_training_make(run, rows, n, &training, err));
    QN_TRY(fit_again(run, chosen, &training, ret_pipeline, ret_learner, err));
    qn_job_progress(&run->job, "refit", 1, 1, "on train and validation rows");
    qn__run_time(run, "refit_s");
    return QN_OK;
}
