/* Explain: which inputs matter, and how the answer moves with them. */
#include <string.h>

#include "base/mem.h"
#include "evaluate/importance.h"
#include "flow/run_int.h"

static qn_status score(void *user, const qn_frame *frame, double *scores, qn_error *err) {
    const qn_run_state *run = user;
    return qn_model_predict(run->model, frame, &run->job, scores, err);
}

static qn_status explain(void *user, const qn_frame *frame, double *contrib, qn_error *err) {
    const qn_run_state *run = user;
    return qn_model_explain(run->model, frame, &run->job, contrib, err);
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
    const qn_schema *schema = qn_model_inputs(run->model);
    size_t n_inputs = (size_t)schema->n_columns;
    qn_cleanup(qn_freep) const char **inputs = qn_new_array(const char *, n_inputs);
    if (!inputs)
        return qn_error_memory(err);
    for (size_t i = 0; i < n_inputs; i++)
        inputs[i] = schema->columns[i].name;
    json_t *importance = NULL, *dependence = NULL;
    qn_importance_input input = {
        .frame = run->test.frame,
        .inputs = inputs,
        .n_inputs = n_inputs,
        .eval = qn__run_eval_input(run, &run->test, NULL),
        .metric = run->metric,
        .score = score,
        .explain = explain,
        .user = run,
        .n_repeats = 3,
        .max_rows = 5000,
        .seed = (uint64_t)config->seed,
    };
    QN_TRY(qn_importance_make(&input, &run->job, &importance, err));
    QN_TRY(qn__run_note(run, "importance", importance, err));
    if (config->evaluate.dependence) {
        const char *top[8];
        size_t n = top_features(run, top, 8);
        QN_TRY(qn_dependence_make(&input, top, n, output_to_show(run), &run->job, &dependence, err));
        QN_TRY(qn__run_note(run, "dependence", dependence, err));
    }
    qn__run_time(run, "explain_s");
    return QN_OK;
}
