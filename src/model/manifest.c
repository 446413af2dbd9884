/* The manifest: the JSON section of a model file, for people and programs that want to know what
 * the model takes and says without running it. */
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "model/model_int.h"

static const char *const link_names[] = {"identity", "logit", "softmax", "log", "ova"};

qn_status qn__target_copy(const qn_target_info *from, qn_target_info *ret_info, qn_error *err) {
    qn_cleanup(qn_target_info_done) qn_target_info info = {.task = from->task};
    info.name = qn_strdup(from->name ? from->name : "");
    info.classes = qn_new_array(char *, from->n_classes);
    if (!info.name || !info.classes)
        return qn_error_memory(err);
    for (int32_t i = 0; i < from->n_classes; i++) {
        if (!(info.classes[i] = qn_strdup(from->classes[i])))
            return qn_error_memory(err);
        info.n_classes = i + 1;
    }
    *ret_info = info;
    info = (qn_target_info){0};
    return QN_OK;
}

qn_status qn__missing_add(qn_model *model, const char *text, qn_error *err) {
    QN_FAIL_IF(model->n_missing == QN_LIMIT_MISSING_WORDS, err, QN_ERR_LIMIT,
               "more than %d texts that mean missing", QN_LIMIT_MISSING_WORDS);
    char **grown = qn_realloc(model->missing, model->n_missing + 1, sizeof *grown);
    if (!grown)
        return qn_error_memory(err);
    model->missing = grown;
    if (!(grown[model->n_missing] = qn_strdup(text)))
        return qn_error_memory(err);
    model->n_missing++;
    return QN_OK;
}

qn_status qn__model_check(const qn_model *model, qn_error *err) {
    const qn_target_info *target = &model->target;
    const qn_learner *learner = model->learner;
    int32_t n_features, n_inputs = qn_pipeline_inputs(model->pipeline)->n_columns;
    const qn_feature *features = qn_pipeline_features(model->pipeline, &n_features);
    int32_t n_outputs = target->task == QN_TASK_MULTICLASS ? target->n_classes : 1;
    bool classes = learner->link == QN_LINK_SOFTMAX || learner->link == QN_LINK_OVA;
    bool link_fits = target->task == QN_TASK_BINARY       ? learner->link == QN_LINK_LOGIT
                     : target->task == QN_TASK_MULTICLASS ? classes
                                                          : !classes;
    QN_FAIL_IF(learner->n_outputs != n_outputs || !link_fits, err, QN_ERR_FORMAT,
               "the model's learner does not fit its %s task", qn_task_name(target->task));
    QN_FAIL_IF(learner->n_features != n_features, err, QN_ERR_FORMAT,
               "the model's learner takes %d features and its pipeline makes %d",
               (int)learner->n_features, (int)n_features);
    for (int32_t i = 0; i < n_features; i++)
        QN_FAIL_IF(features[i].i_input < 0 || features[i].i_input >= n_inputs, err, QN_ERR_FORMAT,
                   "the model's feature '%s' comes from no input", features[i].name);
    QN_FAIL_IF(!isfinite(model->threshold), err, QN_ERR_FORMAT,
               "the model's threshold is not a number");
    QN_FAIL_IF(!(model->negatives_rate > 0 && model->negatives_rate <= 1), err, QN_ERR_FORMAT,
               "the model's rate of negatives must be above 0 and at most 1");
    QN_FAIL_IF(model->calibrator && target->task == QN_TASK_REGRESSION, err, QN_ERR_FORMAT,
               "a regression model has no calibration");
    return QN_OK;
}

/* --- making ----------------------------------------------------------------------------------- */

static json_t *classes_to_json(const qn_target_info *target) {
    json_t *array = json_array();
    for (int32_t i = 0; array && i < target->n_classes; i++) {
        if (json_array_append_new(array, json_string(target->classes[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *missing_to_json(const qn_model *model) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < model->n_missing; i++) {
        if (json_array_append_new(array, json_string(model->missing[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *inputs_to_json(const qn_pipeline *pipeline) {
    json_t *array = json_array();
    const qn_schema *schema = qn_pipeline_inputs(pipeline);
    for (int32_t i = 0; array && i < schema->n_columns; i++) {
        if (json_array_append_new(array, qn_pipeline_describe_input(pipeline, i)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* json_object_set_new fails on a NULL value, so one flag at the end is enough. */
static json_t *manifest_object(const qn_model *model, const json_t *about) {
    json_t *object = json_object();
    const qn_learner *learner = model->learner;
    bool ok = object != NULL;
    ok = ok && !json_object_set_new(object, "format", json_integer(QN_MODEL_VERSION));
    ok = ok && !json_object_set_new(object, "task", json_string(qn_task_name(model->target.task)));
    ok = ok && !json_object_set_new(object, "target", json_string(model->target.name));
    ok = ok && !json_object_set_new(object, "classes", classes_to_json(&model->target));
    ok = ok && !json_object_set_new(object, "family", json_string(learner->family->name));
    ok = ok && !json_object_set_new(object, "outputs", json_integer(learner->n_outputs));
    ok = ok && !json_object_set_new(object, "link", json_string(link_names[learner->link]));
    ok = ok && !json_object_set_new(object, "features", json_integer(learner->n_features));
    ok = ok && !json_object_set_new(object, "threshold", qn_json_number(model->threshold));
    ok = ok &&
         !json_object_set_new(object, "negatives_rate", qn_json_number(model->negatives_rate));
    ok = ok &&
         !json_object_set_new(object, "calibration", qn_calibrator_to_json(model->calibrator));
    ok = ok && (!model->n_missing ||
                !json_object_set_new(object, "missing", missing_to_json(model)));
    ok = ok && !json_object_set_new(object, "inputs", inputs_to_json(model->pipeline));
    ok = ok && !json_object_set_new(object, "about", about ? json_deep_copy(about) : json_object());
    if (!ok)
        qn_json_free(&object);
    return object;
}

qn_status qn__manifest_make(qn_model *model, const json_t *about, qn_error *err) {
    QN_FAIL_IF(about && !json_is_object(about), err, QN_ERR_USAGE,
               "a model's `about` must be an object");
    qn_cleanup(qn_json_free) json_t *object = manifest_object(model, about);
    if (!object)
        return qn_error_memory(err);
    qn_cleanup(qn_freep) char *text = qn_json_text(object, QN_JSON_COMPACT);
    if (!text)
        return qn_error_memory(err);
    size_t n = strlen(text);
    QN_FAIL_IF(n > QN_LIMIT_MANIFEST_BYTES, err, QN_ERR_LIMIT,
               "the model's manifest takes more than %zu bytes", QN_LIMIT_MANIFEST_BYTES);
    /* Read back at once: a new model and the same model opened from its file then show equal
     * manifests. */
    QN_TRY(qn_json_parse(text, n, "manifest", &model->manifest, err));
    model->manifest_text = qn_steal(&text);
    return QN_OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

static qn_status read_classes(const json_t *manifest, qn_target_info *target, qn_error *err) {
    const json_t *classes = NULL;
    QN_TRY(qn_json_get_array(manifest, "classes", true, &classes, err));
    size_t n = json_array_size(classes);
    bool fits = target->task == QN_TASK_BINARY       ? n == 2
                : target->task == QN_TASK_MULTICLASS ? n >= 2 && n <= QN_LIMIT_CLASSES
                                                     : n == 0;
    QN_FAIL_IF(!fits, err, QN_ERR_FORMAT, "%zu classes do not fit the task %s", n,
               qn_task_name(target->task));
    if (!(target->classes = qn_new_array(char *, n)))
        return qn_error_memory(err);
    for (size_t i = 0; i < n; i++) {
        const json_t *label = json_array_get(classes, i);
        QN_FAIL_IF(!json_is_string(label) ||
                       strlen(json_string_value(label)) != json_string_length(label),
                   err, QN_ERR_FORMAT, "the key 'classes' must hold texts");
        if (!(target->classes[i] = qn_strdup(json_string_value(label))))
            return qn_error_memory(err);
        target->n_classes = (int32_t)i + 1;
    }
    return QN_OK;
}

static qn_status read_target(const json_t *manifest, qn_target_info *target, qn_error *err) {
    const char *task = NULL, *name = NULL;
    QN_TRY(qn_json_get_text(manifest, "task", true, &task, err));
    QN_TRY(qn_json_get_text(manifest, "target", true, &name, err));
    QN_FAIL_IF(!qn_task_from_name(task, &target->task), err, QN_ERR_FORMAT,
               "the task '%s' is unknown", task);
    if (!(target->name = qn_strdup(name)))
        return qn_error_memory(err);
    return read_classes(manifest, target, err);
}

static qn_status read_missing(const json_t *manifest, qn_model *model, qn_error *err) {
    const json_t *missing = NULL;
    QN_TRY(qn_json_get_array(manifest, "missing", false, &missing, err));
    for (size_t i = 0; i < json_array_size(missing); i++) {
        const json_t *text = json_array_get(missing, i);
        QN_FAIL_IF(!json_is_string(text) || json_string_length(text) > QN_LIMIT_NAME_BYTES ||
                       strlen(json_string_value(text)) != json_string_length(text),
                   err, QN_ERR_FORMAT, "the key 'missing' must hold texts");
        QN_TRY(qn__missing_add(model, json_string_value(text), err));
    }
    return QN_OK;
}

static qn_status read_family(const json_t *manifest, const qn_family **ret_family, qn_error *err) {
    const char *name = NULL;
    QN_TRY(qn_json_get_text(manifest, "family", true, &name, err));
    const qn_family *const *families = qn_families();
    for (size_t i = 0; families[i]; i++) {
        if (!strcmp(families[i]->name, name)) {
            *ret_family = families[i];
            return QN_OK;
        }
    }
    return qn_error_set(
        err, QN_ERR_FORMAT,
        "it is of the family '%s', which this Quern does not know: use a newer Quern", name);
}

qn_status qn__manifest_apply(qn_model *model, const qn_family **ret_family, qn_error *err) {
    const json_t *manifest = model->manifest;
    QN_FAIL_IF(!json_is_object(manifest), err, QN_ERR_FORMAT, "the manifest must be an object");
    QN_TRY(read_target(manifest, &model->target, err));
    QN_TRY(qn_json_get_double(manifest, "threshold", true, &model->threshold, err));
    QN_TRY(qn_json_get_double(manifest, "negatives_rate", true, &model->negatives_rate, err));
    QN_TRY(read_missing(manifest, model, err));
    QN_TRY(read_family(manifest, ret_family, err));
    int32_t n_outputs = model->target.task == QN_TASK_MULTICLASS ? model->target.n_classes : 1;
    const json_t *calibration = json_object_get(manifest, "calibration");
    if (!calibration || json_is_null(calibration))
        return QN_OK;
    return qn_calibrator_from_json(calibration, n_outputs, &model->calibrator, err);
}
