#include "flow/refit.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "flow/compress_int.h"
#include "flow/predict_file.h"
#include "learn/gbdt_refit.h"

static const json_t *told_of(const qn_model *model, const char *key) {
    return json_object_get(json_object_get(qn_model_manifest(model), "about"), key);
}

/* What the model was trained with, as its file tells, and the learning rate that the user states. */
static json_t *params_of(const qn_model *model, double learning_rate) {
    static const char *const rates[] = {"eta", "shrinkage_rate", "learning_rates",
                                        "learning_rate_schedule"};
    const json_t *told = told_of(model, "params");
    json_t *params = json_is_object(told) ? json_deep_copy(told) : json_object();
    if (!params || learning_rate <= 0)
        return params;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        json_object_del(params, rates[i]);
    json_object_set_new(params, "learning_rate", json_real(learning_rate));
    return params;
}

/* Whether the file tells all that the values of its leaves depend on. */
static qn_status check_told(const qn_model *model, const qn_model_refit_options *options,
                            const char *objective, qn_error *err) {
    const char *boosting = json_string_value(json_object_get(told_of(model, "params"), "boosting"));
    bool dart = boosting && strcmp(boosting, "dart") == 0;
    QN_FAIL_IF(strcmp(objective, "quantile") == 0 && !json_is_object(told_of(model, "params")),
               err, QN_ERR_USAGE, "the model does not tell which quantile its leaves hold: only "
               "those of 'quern run' do");
    QN_FAIL_IF(dart && !json_is_object(told_of(model, "dart")), err, QN_ERR_USAGE,
               "the model was boosted by dart and does not tell how its rounds were dropped: only "
               "what 'quern run' made, and 'quern compress' left alone, does");
    QN_FAIL_IF(dart && options->learning_rate > 0, err, QN_ERR_USAGE,
               "--learning-rate does not go with a model boosted by dart, whose rates follow from "
               "the rounds that were dropped");
    QN_FAIL_IF(strcmp(objective, "lambdarank") == 0 && !qn_query_column(model), err, QN_ERR_USAGE,
               "the model ranks and does not tell its column of queries: only those of 'quern run' "
               "do");
    return QN_OK;
}

static json_t *all_params(const qn_model *model, const qn_model_refit_options *options) {
    json_t *params = params_of(model, options->learning_rate);
    if (params && told_of(model, "class_weight")) /* of the run, for all families */
        json_object_set(params, "class_weight",
                        (json_t *)(uintptr_t)told_of(model, "class_weight"));
    return params;
}

static qn_status fit_leaves(const qn_model *model, const qn_model_refit_options *options,
                            const qn__row_parts *parts, const qn_job *job, qn_model **ret_model,
                            int64_t *ret_n_leaves, qn_error *err) {
    int32_t n_features;
    const qn_feature *features = qn_pipeline_features(qn_model_pipeline(model), &n_features);
    const qn_target_info *target = qn_model_target(model);
    const json_t *dart = told_of(model, "dart");
    qn_cleanup(qn_json_free) json_t *params = all_params(model, options);
    qn_prune_rows rows = {.x = (const qn_matrix *const *)parts->x,
                          .y = (const double *const *)parts->y, .n_parts = parts->n,
                          .weight = parts->weight, .query = parts->query,
                          .n_queries = parts->n_queries};
    qn_refit_options how = {
        .task = target->task, .n_classes = target->n_classes, .decay = options->decay,
        .params = params, .knows_seed = dart != NULL,
        .seed = (uint64_t)json_integer_value(json_object_get(dart, "seed")),
        .first_round = (int32_t)json_integer_value(json_object_get(dart, "rounds_before"))};
    qn_learner *learner = NULL;
    if (!params)
        return qn_error_memory(err);
    if (target->task == QN_TASK_BINARY) /* as compressing does */
        rows.offset = log(
            json_number_value(json_object_get(qn_model_manifest(model), "negatives_rate")));
    QN_TRY(qn_gbdt_refit(qn_model_learner(model), features, &rows, &how, job, &learner,
                         ret_n_leaves, err));
    return qn_model_with_learner(model, learner, NULL, ret_model, err);
}

/* The rows with the columns that training had, too. */
static qn_status read_rows(const qn_model *model, const qn_model_refit_options *options,
                           const char *objective, const qn_job *job, qn__row_parts *parts,
                           qn_error *err) {
    qn__row_columns columns = {.weight = options->weight};
    if (!options->weight)
        columns.weight = json_string_value(told_of(model, "weight"));
    else if (strcmp(options->weight, "none") == 0)
        columns.weight = NULL;
    if (strcmp(objective, "lambdarank") == 0)
        columns.query = qn_query_column(model);
    return qn__labelled_rows(model, options->input, &columns, job, parts, err);
}

/* Hash of the file that the model would be written to: its own. */
static qn_status hash_of(const qn_model *model, char ret_hash[QN_DIGEST_TEXT], qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf bytes = {.max = QN_LIMIT_MODEL_BYTES};
    QN_TRY(qn_model_write(model, &bytes, err));
    QN_TRY(qn_buf_status(&bytes, err));
    qn_digest_bytes(bytes.data, bytes.len, ret_hash);
    return QN_OK;
}

qn_status qn_model_refit(const qn_model *model, const qn_model_refit_options *options,
                         const qn_job *job, qn_buf *out, json_t **ret_result, qn_error *err) {
    qn_cleanup(qn__row_parts_done) qn__row_parts parts = {0};
    qn_cleanup(qn_model_free) qn_model *refitted = NULL;
    char hash[QN_DIGEST_TEXT];
    int64_t n_leaves;
    const char *objective = qn_trees_objective(qn_model_learner(model));
    objective = objective ? objective : ""; /* of a family that is refused below */
    QN_TRY(check_told(model, options, objective, err));
    QN_TRY(hash_of(model, hash, err));
    QN_TRY(read_rows(model, options, objective, job, &parts, err));
    QN_TRY(fit_leaves(model, options, &parts, job, &refitted, &n_leaves, err));
    const qn_learner *learner = qn_model_learner(refitted);
    qn_cleanup(qn_json_free) json_t *facts = learner->family->describe(learner);
    qn_cleanup(qn_json_free) json_t *told = json_pack(
        "{s:{s:s, s:I, s:f}, s:n}", "refitted", "from", hash, "rows", (json_int_t)parts.n_rows,
        "decay", options->decay, "metrics"); /* those of the old leaves are not its own */
    if (!facts || !told)
        return qn_error_memory(err);
    QN_TRY(qn_model_tell(refitted, told, err));
    out->max = QN_LIMIT_MODEL_BYTES;
    QN_TRY(qn_model_write(refitted, out, err));
    QN_TRY(qn_buf_status(out, err));
    *ret_result = json_pack("{s:{s:s}, s:I, s:O, s:O, s:I, s:f}", "from", "hash", hash, "rows",
                            (json_int_t)parts.n_rows, "trees", json_object_get(facts, "trees"),
                            "leaves", json_object_get(facts, "leaves"), "leaves_with_rows",
                            (json_int_t)n_leaves, "decay", options->decay);
    return *ret_result ? QN_OK : qn_error_memory(err);
}
