#include "model/model.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "model/model_int.h"

/* --- life cycle ------------------------------------------------------------------------------- */

void qn_model_free(qn_model **model) {
    if (!model || !*model)
        return;
    qn_pipeline_free(&(*model)->pipeline);
    qn_learner_free(&(*model)->learner);
    qn_calibrator_free(&(*model)->calibrator);
    qn_target_info_done(&(*model)->target);
    for (size_t i = 0; i < (*model)->n_missing; i++)
        qn_freep(&(*model)->missing[i]);
    qn_freep(&(*model)->missing);
    qn_cell_rules_free(&(*model)->cell_rules);
    qn_freep(&(*model)->manifest_text);
    qn_json_free(&(*model)->manifest);
    qn_map_done(&(*model)->map);
    qn_freep(model);
}

static void free_parts(qn_model_parts *parts) {
    qn_pipeline_free(&parts->pipeline);
    qn_learner_free(&parts->learner);
    qn_calibrator_free(&parts->calibrator);
    qn_json_free(&parts->about);
}

static qn_status make_rules(qn_model *model, qn_error *err) {
    size_t n;
    const char *const *missing = qn_model_missing(model, &n);
    return qn_cell_rules_new(missing, n, &model->cell_rules, err);
}

qn_status qn_model_new(qn_model_parts *parts, qn_model **ret_model, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = qn_new(qn_model);
    if (!model) {
        free_parts(parts);
        return qn_error_memory(err);
    }
    qn_cleanup(qn_json_free) json_t *about = qn_steal(&parts->about);
    model->pipeline = qn_steal(&parts->pipeline);
    model->learner = qn_steal(&parts->learner);
    model->calibrator = qn_steal(&parts->calibrator);
    model->negatives_rate = parts->negatives_rate;
    model->threshold = parts->threshold;
    QN_FAIL_IF(!model->pipeline || !model->learner || !parts->target, err, QN_ERR_USAGE,
               "a model needs a pipeline, a learner and a target");
    QN_TRY(qn__target_copy(parts->target, &model->target, err));
    QN_TRY(qn__model_check(model, err));
    for (size_t i = 0; i < parts->n_missing; i++)
        QN_TRY(qn__missing_add(model, parts->missing[i], err));
    QN_TRY(make_rules(model, err));
    QN_TRY(qn__manifest_make(model, about, err));
    *ret_model = qn_steal(&model);
    return QN_OK;
}

qn_status qn_model_tell(qn_model *model, const json_t *told, qn_error *err) {
    qn_cleanup(qn_json_free)
        json_t *about = json_deep_copy(json_object_get(model->manifest, "about"));
    if (!about || json_object_update(about, (json_t *)(uintptr_t)told) != 0)
        return qn_error_memory(err);
    qn_json_free(&model->manifest);
    qn_freep(&model->manifest_text);
    return qn__manifest_make(model, about, err);
}

static qn_status copy_pipeline(const qn_pipeline *from, qn_pipeline **ret_pipeline,
                               qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf bytes = {.max = QN_LIMIT_MODEL_BYTES};
    QN_TRY(qn_pipeline_save(from, &bytes, err));
    QN_TRY(qn_buf_status(&bytes, err));
    return qn_pipeline_load(bytes.data, bytes.len, ret_pipeline, err);
}

qn_status qn_model_with_learner(const qn_model *model, qn_learner *learner,
                                qn_calibrator *calibrator, qn_model **ret_model, qn_error *err) {
    qn_cleanup(free_parts) qn_model_parts parts = {
        .learner = learner, .calibrator = calibrator, .target = &model->target,
        .negatives_rate = model->negatives_rate,
        .threshold = model->threshold, .n_missing = model->n_missing};
    qn_cleanup(qn_json_free) json_t *calibration = qn_calibrator_to_json(model->calibrator);
    parts.missing = qn_model_missing(model, &parts.n_missing);
    parts.about = json_deep_copy(json_object_get(model->manifest, "about"));
    if (!calibration || !parts.about)
        return qn_error_memory(err);
    QN_TRY(copy_pipeline(model->pipeline, &parts.pipeline, err));
    if (!calibrator)
        QN_TRY(qn_calibrator_from_json(calibration, learner->n_outputs, &parts.calibrator, err));
    return qn_model_new(&parts, ret_model, err);
}

/* --- file ------------------------------------------------------------------------------------- */

static qn_status find_section(const qn_section *sections, size_t n, const char *name,
                              const qn_section **ret_section, qn_error *err) {
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(sections[i].name, name)) {
            *ret_section = &sections[i];
            return QN_OK;
        }
    }
    return qn_error_set(err, QN_ERR_FORMAT, "the model is damaged: it has no section '%s'", name);
}

static qn_status damaged(qn_status status, const char *section, qn_error *err) {
    if (status != QN_OK && status != QN_ERR_MEMORY)
        qn_error_prefix(err, "the model's section '%s'", section);
    return status;
}

static qn_status load_manifest(qn_model *model, const qn_section *section,
                               const qn_family **ret_family, qn_error *err) {
    QN_FAIL_IF(section->len > QN_LIMIT_MANIFEST_BYTES, err, QN_ERR_LIMIT,
               "the model's manifest takes more than %zu bytes", QN_LIMIT_MANIFEST_BYTES);
    QN_FAIL_IF(memchr(section->data, 0, section->len), err, QN_ERR_FORMAT,
               "the model's manifest is not text");
    if (!(model->manifest_text = qn_strndup((const char *)section->data, section->len)))
        return qn_error_memory(err);
    QN_TRY(qn_json_parse(model->manifest_text, section->len, NULL, &model->manifest, err));
    return qn__manifest_apply(model, ret_family, err);
}

static qn_status load(qn_model *model, const unsigned char *bytes, size_t n, qn_error *err) {
    qn_section sections[QN_MODEL_MAX_SECTIONS];
    const qn_section *manifest = NULL, *pipeline = NULL, *learner = NULL;
    const qn_family *family = NULL;
    size_t n_sections;
    QN_TRY(qn__container_read(bytes, n, sections, &n_sections, err));
    QN_TRY(find_section(sections, n_sections, "manifest", &manifest, err));
    QN_TRY(find_section(sections, n_sections, "pipeline", &pipeline, err));
    QN_TRY(find_section(sections, n_sections, "learner", &learner, err));
    QN_TRY(damaged(load_manifest(model, manifest, &family, err), "manifest", err));
    QN_TRY(make_rules(model, err));
    QN_TRY(damaged(qn_pipeline_load(pipeline->data, pipeline->len, &model->pipeline, err),
                   "pipeline", err));
    int32_t n_features;
    const qn_feature *features = qn_pipeline_features(model->pipeline, &n_features);
    QN_TRY(damaged(
        family->load(learner->data, learner->len, features, n_features, &model->learner, err),
        "learner", err));
    return qn__model_check(model, err);
}

qn_status qn_model_open_bytes(const void *bytes, size_t n, qn_model **ret_model, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = qn_new(qn_model);
    if (!model)
        return qn_error_memory(err);
    QN_TRY(load(model, bytes, n, err));
    *ret_model = qn_steal(&model);
    return QN_OK;
}

qn_status qn_model_open(const char *path, qn_model **ret_model, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = qn_new(qn_model);
    if (!model)
        return qn_error_memory(err);
    QN_TRY(qn_map_open(path, QN_LIMIT_MODEL_BYTES, &model->map, err));
    qn_status status = load(model, model->map.data, model->map.len, err);
    if (status != QN_OK) {
        if (status != QN_ERR_MEMORY)
            qn_error_prefix(err, "%s", path);
        return status;
    }
    *ret_model = qn_steal(&model);
    return QN_OK;
}

qn_status qn_model_write(const qn_model *model, qn_buf *out, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf pipeline = {.max = QN_LIMIT_MODEL_BYTES};
    qn_cleanup(qn_buf_done) qn_buf learner = {.max = QN_LIMIT_MODEL_BYTES};
    QN_TRY(qn_pipeline_save(model->pipeline, &pipeline, err));
    QN_TRY(model->learner->family->save(model->learner, &learner, err));
    QN_TRY(qn_buf_status(&pipeline, err));
    QN_TRY(qn_buf_status(&learner, err));
    const qn_section sections[] = {
        {"manifest", (const unsigned char *)model->manifest_text, strlen(model->manifest_text)},
        {"pipeline", (const unsigned char *)qn_buf_text(&pipeline), pipeline.len},
        {"learner", (const unsigned char *)qn_buf_text(&learner), learner.len},
    };
    return qn__container_write(sections, sizeof sections / sizeof *sections, out, err);
}

qn_status qn_model_save(const qn_model *model, const char *path, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf out = {.max = QN_LIMIT_MODEL_BYTES};
    QN_TRY(qn_model_write(model, &out, err));
    return qn_file_write(path, out.data, out.len, err);
}

/* --- facts ------------------------------------------------------------------------------------ */

const qn_target_info *qn_model_target(const qn_model *model) {
    return &model->target;
}

const qn_pipeline *qn_model_pipeline(const qn_model *model) {
    return model->pipeline;
}

const qn_learner *qn_model_learner(const qn_model *model) {
    return model->learner;
}

const qn_schema *qn_model_inputs(const qn_model *model) {
    return qn_pipeline_inputs(model->pipeline);
}

const json_t *qn_model_manifest(const qn_model *model) {
    return model->manifest;
}

double qn_model_threshold(const qn_model *model) {
    return model->threshold;
}

const char *const *qn_model_missing(const qn_model *model, size_t *ret_n) {
    *ret_n = model->n_missing;
    return (const char *const *)model->missing;
}

int32_t qn_model_n_inputs(const qn_model *model) {
    return qn_model_inputs(model)->n_columns;
}

int32_t qn_model_n_outputs(const qn_model *model) {
    return model->learner->n_outputs;
}

int32_t qn_model_decide(const qn_model *model, const double *scores) {
    if (model->target.task == QN_TASK_BINARY)
        return scores[0] >= model->threshold;
    int32_t best = 0;
    for (int32_t k = 1; k < model->target.n_classes; k++) {
        if (scores[k] > scores[best])
            best = k;
    }
    return best;
}
