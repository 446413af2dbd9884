/* train.init_model: gbdt goes on from the trees of a model, on that model's own features. Its pipeline is
 * taken as it is, so that a split means what it meant; bins are found anew on these rows, and the
 * thresholds of the old trees stay values. */
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "flow/reference.h"
#include "flow/run_int.h"

static bool goes_on(const qn_run_state *run, const qn_family *family) {
    return run->init_model && family == qn_model_learner(run->init_model)->family;
}

bool qn__run_warm_takes(const qn_run_state *run, unsigned takes) {
    return run->init_model && takes == qn_model_learner(run->init_model)->family->takes;
}

const qn_learner *qn__run_warm_learner(const qn_run_state *run, const qn_family *family) {
    return goes_on(run, family) ? qn_model_learner(run->init_model) : NULL;
}

static bool same_target(const qn_target_info *a, const qn_target_info *b) {
    if (strcmp(a->name, b->name) != 0 || a->task != b->task || a->n_classes != b->n_classes)
        return false;
    for (int32_t i = 0; i < a->n_classes; i++)
        if (strcmp(a->classes[i], b->classes[i]) != 0)
            return false;
    return true;
}

static qn_status check(const qn_run_state *run, const qn_model *model, qn_error *err) {
    const qn_config *config = run->config;
    const char *key = "train.init_model", *name = config->train.init_model;
    const json_t *manifest = qn_model_manifest(model);
    double rate = json_number_value(json_object_get(manifest, "negatives_rate"));
    bool tried = false;
    for (size_t i = 0; i < config->train.n_families; i++)
        tried |= strcmp(config->train.families[i].name, "gbdt") == 0;
    if (strcmp(qn_model_learner(model)->family->name, "gbdt") != 0)
        return qn_config_error(config, key, err, "%s is of family %s: boosting goes on from gbdt",
                               name, qn_model_learner(model)->family->name);
    if (!tried)
        return qn_config_error(config, key, err, "gbdt is not among train.families");
    if (!same_target(qn_model_target(model), &run->target))
        return qn_config_error(config, key, err,
                               "%s predicts another target, or other classes: '%s'", name,
                               qn_model_target(model)->name);
    if (config->features)
        return qn_config_error(config, key, err,
                               "the features are those of %s: leave out `features`", name);
    if (config->split.folds > 0)
        return qn_config_error(config, key, err,
                               "%s may have learnt from the rows that split.folds hold out: leave "
                               "out split.folds",
                               name);
    if (rate != run->negatives_rate)
        return qn_config_error(config, key, err,
                               "%s was trained on a share of %g of the negatives, these rows hold "
                               "%g: give both the same sample.negatives",
                               name, rate, run->negatives_rate);
    return QN_OK;
}

static qn_status note(qn_run_state *run, const char *path, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *facts =
        qn_model_learner(run->init_model)->family->describe(qn_model_learner(run->init_model));
    QN_TRY(qn_digest_file(path, run->init_hash, err));
    return qn__run_note(run, "init_model",
                        json_pack("{s:s, s:s, s:O*}", "model", run->config->train.init_model,
                                  "hash", run->init_hash, "facts", facts),
                        err);
}

qn_status qn__run_warm_open(qn_run_state *run, qn_error *err) {
    const char *name = run->config->train.init_model;
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_freep) char *path = NULL, *beside = NULL;
    if (!name)
        return QN_OK;
    size_t n = strlen(name);
    bool is_file = strchr(name, '/') || (n > 3 && strcmp(name + n - 3, ".qn") == 0);
    if (is_file && name[0] != '/') { /* as all paths of the config */
        beside = qn_format("%s/%s", run->config->folder, name);
        if (!beside)
            return qn_error_memory(err);
    }
    qn_status status = qn_reference_open(run->options->folder, beside ? beside : name, &model,
                                         &path, err);
    if (status != QN_OK) {
        qn__run_place(run, "train.init_model", err);
        return status;
    }
    QN_TRY(check(run, model, err));
    run->init_model = qn_steal(&model);
    return note(run, path, err);
}

qn_status qn__run_warm_pipeline(const qn_run_state *run, const int64_t *rows, int64_t n,
                                qn_pipeline **ret_pipeline, qn_matrix **ret_x, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf bytes = {0};
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = NULL;
    QN_TRY(qn_pipeline_save(qn_model_pipeline(run->init_model), &bytes, err));
    QN_TRY(qn_buf_status(&bytes, err));
    QN_TRY(qn_pipeline_load(bytes.data, bytes.len, &pipeline, err));
    QN_TRY(qn_pipeline_apply(pipeline, run->frame, rows, n, &run->job, ret_x, err));
    *ret_pipeline = qn_steal(&pipeline);
    return QN_OK;
}
