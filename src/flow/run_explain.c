/* Explain: which inputs matter, and how the answer moves with them. */
#include <string.h>

#include "base/mem.h"
#include "evaluate/importance.h"
#include "flow/run_int.h"

enum {
    MAX_INPUTS = 60,      /* shuffled and explained; of a wider table those that the learner uses most */
    MAX_SCORED = 200000,  /* rows scored by all shuffles together */
    N_REPEATS = 3,
};

/* The run, and which of the model's inputs are looked at. */
typedef struct explained {
    const qn_run_state *run;
    size_t chosen[MAX_INPUTS]; /* ascending */
    const char *names[MAX_INPUTS];
    size_t n;
} explained;

static qn_status score(void *user, const qn_frame *frame, double *scores, qn_error *err) {
    const explained *e = user;
    return qn_model_predict(e->run->model, frame, &e->run->job, scores, err);
}

/* The model explains by all its inputs; the chosen ones and the base value are kept. */
static qn_status explain(void *user, const qn_frame *frame, double *contrib, qn_error *err) {
    const explained *e = user;
    size_t n_all = (size_t)qn_model_inputs(e->run->model)->n_columns + 1;
    size_t n_lines = (size_t)frame->n_rows * (size_t)e->run->n_outputs;
    qn_cleanup(qn_freep) double *all = qn_new_array(double, n_lines * n_all);
    if (!all)
        return qn_error_memory(err);
    QN_TRY(qn_model_explain(e->run->model, frame, &e->run->job, all, err));
    for (size_t line = 0; line < n_lines; line++) {
        double *to = contrib + line * (e->n + 1);
        for (size_t i = 0; i < e->n; i++)
            to[i] = all[line * n_all + e->chosen[i]];
        to[e->n] = all[line * n_all + n_all - 1];
    }
    return QN_OK;
}

/* How much the learner itself says it uses each input: its features' importances, added up. */
static qn_status use_of_inputs(const qn_run_state *run, double *use, qn_error *err) {
    int32_t n_features;
    const qn_feature *features =
        qn_pipeline_features(qn_model_pipeline(run->model), &n_features);
    const qn_learner *learner = qn_model_learner(run->model);
    qn_cleanup(qn_freep) double *importance = qn_new_array(double, n_features);
    if (!importance)
        return qn_error_memory(err);
    learner->family->importance(learner, importance);
    for (int32_t f = 0; f < n_features; f++)
        use[features[f].i_input] += importance[f];
    return QN_OK;
}

static qn_status choose_inputs(const qn_run_state *run, explained *e, qn_error *err) {
    const qn_schema *schema = qn_model_inputs(run->model);
    size_t n_all = (size_t)schema->n_columns;
    qn_cleanup(qn_freep) double *use = qn_new_array(double, n_all);
    if (!use)
        return qn_error_memory(err);
    QN_TRY(use_of_inputs(run, use, err));
    for (size_t i = 0; i < n_all; i++) {
        size_t n_better = 0; /* ties go to the earlier column */
        for (size_t k = 0; k < n_all && n_better < MAX_INPUTS; k++)
            n_better += use[k] > use[i] || (use[k] == use[i] && k < i);
        if (n_better >= MAX_INPUTS)
            continue;
        e->chosen[e->n] = i;
        e->names[e->n++] = schema->columns[i].name;
    }
    return QN_OK;
}

static int64_t rows_to_score(const explained *e) {
    int64_t rows = MAX_SCORED / ((int64_t)(e->n ? e->n : 1) * N_REPEATS);
    return rows < 300 ? 300 : rows > 5000 ? 5000 : rows;
}

/* The columns with the largest permutation importance; names borrowed from the document. */
static size_t top_features(const qn_run_state *run, const char **names, size_t max) {
    const json_t *importance = json_object_get(run->document, "importance"), *item;
    size_t i, n = 0;
    json_array_foreach(json_object_get(importance, "permutation"), i, item) {
        if (n < max)
            names[n++] = json_string_value(json_object_get(item, "feature"));
    }
    return n;
}

/* Multiclass: dependence is shown for the commonest class of the test rows. */
static int32_t output_to_show(const qn_run_state *run) {
    if (run->target.task != QN_TASK_MULTICLASS)
        return 0;
    int32_t best = 0;
    int64_t best_n = -1;
    for (int32_t k = 0; k < run->target.n_classes; k++) {
        int64_t n = 0;
        for (int64_t i = 0; i < run->test.n; i++)
            n += run->test.y[i] == k;
        if (n > best_n) {
            best = k;
            best_n = n;
        }
    }
    return best;
}

qn_status qn__run_explain(qn_run_state *run, qn_error *err) {
    const qn_config *config = run->config;
    if (!config->evaluate.importance)
        return QN_OK;
    explained e = {.run = run};
    QN_TRY(choose_inputs(run, &e, err));
    json_t *importance = NULL, *dependence = NULL;
    qn_importance_input input = {
        .frame = run->test.frame,
        .inputs = e.names,
        .n_inputs = e.n,
        .eval = qn__run_eval_input(run, &run->test, NULL),
        .metric = run->metric,
        .score = score,
        .explain = explain,
        .user = &e,
        .n_repeats = N_REPEATS,
        .max_rows = rows_to_score(&e),
        .seed = (uint64_t)config->seed,
    };
    QN_TRY(qn_importance_make(&input, &run->job, &importance, err));
    QN_TRY(qn__run_note(run, "importance", importance, err));
    if (config->evaluate.dependence) {
        const char *top[8];
        size_t n = top_features(run, top, 8);
        QN_TRY(
            qn_dependence_make(&input, top, n, output_to_show(run), &run->job, &dependence, err));
        QN_TRY(qn__run_note(run, "dependence", dependence, err));
    }
    qn__run_time(run, "explain_s");
    return QN_OK;
}
