#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "model/export_int.h"
#include "model/model_int.h"

typedef qn_status (*writer)(const qn__export *export, qn_buf *out, qn_error *err);

static const struct {
    const char *name;
    writer write;
    bool scores; /* the result answers like the model */
} formats[] = {
    [QN_EXPORT_ONNX] = {"onnx", qn__export_onnx, true},
    [QN_EXPORT_LIGHTGBM] = {"lightgbm", qn__export_lightgbm, true},
    [QN_EXPORT_JSON] = {"json", qn__export_json, false},
    [QN_EXPORT_DOT] = {"dot", qn__export_dot, false},
    [QN_EXPORT_TEXT] = {"text", qn__export_text, false},
};

bool qn_export_format_find(const char *name, qn_export_format *ret_format) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0) {
            *ret_format = (qn_export_format)i;
            return true;
        }
    return false;
}

static qn_status check_features(const qn__export *e, qn_error *err) {
    const char *name = formats[e->options.format].name;
    QN_FAIL_IF(e->trees.init_columns, err, QN_ERR_USAGE,
               "%s has no place for an init_score, and the model adds '%.100s' to its scores", name,
               e->features[e->trees.init_columns[0] - 1].name);
    for (int32_t f = 0; f < e->n_features; f++) {
        const qn_schema *inputs = qn_model_inputs(e->model);
        QN_FAIL_IF(e->direct[f].i_input < 0, err, QN_ERR_USAGE,
                   "%s has no place for transforms, and feature '%.100s' of input '%.100s' is "
                   "made by one", name, e->features[f].name,
                   inputs->columns[e->features[f].i_input].name);
        QN_FAIL_IF(e->direct[f].codes && e->options.format == QN_EXPORT_ONNX, err, QN_ERR_USAGE,
                   "onnx is written for inputs that are numbers, and '%.100s' is a category",
                   inputs->columns[e->direct[f].i_input].name);
    }
    return QN_OK;
}

/* scale * raw + shift is what a binary score becomes by undoing of sampling and by Platt's map. */
static qn_status find_correction(const qn__export *e, double *ret_scale, double *ret_shift,
                                 qn_error *err) {
    const qn_model *model = e->model;
    *ret_scale = 1;
    *ret_shift = model->negatives_rate != 1 && model->target.task == QN_TASK_BINARY
                     ? log(model->negatives_rate) : 0;
    if (!model->calibrator || e->options.uncalibrated)
        return QN_OK;
    qn_cleanup(qn_json_free) json_t *json = qn_calibrator_to_json(model->calibrator);
    if (!json)
        return qn_error_memory(err);
    const char *kind = json_string_value(json_object_get(json, "kind"));
    QN_FAIL_IF(!kind || strcmp(kind, "platt") != 0 || model->target.task != QN_TASK_BINARY, err,
               QN_ERR_USAGE,
               "%s has no place for the model's %s calibration: export with --uncalibrated, or "
               "train with calibrate: none", formats[e->options.format].name,
               kind && strcmp(kind, "platt") != 0 ? kind : "multiclass");
    const json_t *map = json_array_get(json_object_get(json, "maps"), 0);
    double a = json_number_value(json_object_get(map, "a"));
    double b = json_number_value(json_object_get(map, "b"));
    *ret_scale = a;
    *ret_shift = a * *ret_shift + b;
    return QN_OK;
}

static qn_status correct(qn__export *e, qn_error *err) {
    double scale, shift;
    qn_trees *t = &e->trees;
    QN_TRY(find_correction(e, &scale, &shift, err));
    for (int32_t k = 0; k < t->n_outputs; k++)
        t->base[k] = scale * t->base[k] + shift;
    for (int64_t i = 0; t->n_trees && i < t->start[t->n_trees]; i++)
        t->nodes[i].value *= scale;
    return QN_OK;
}

/* Marks the nodes that the row comes by. */
static qn_status mark_way(qn__export *e, qn_error *err) {
    const qn_trees *t = &e->trees;
    int64_t n_nodes = t->n_trees ? t->start[t->n_trees] : 0;
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    qn_cleanup(qn_freep) double *value = qn_new_array(double, e->n_features);
    e->passed = qn_new_array(bool, n_nodes);
    if (!value || !e->passed)
        return qn_error_memory(err);
    QN_TRY(qn_pipeline_apply(e->model->pipeline, e->options.frame, &e->options.i_row, 1, NULL, &x,
                             err));
    qn_matrix_rows(x, 0, 1, value);
    for (int32_t i = 0; i < t->n_trees; i++) {
        for (int64_t at = t->start[i];;) {
            const qn_tree_node *node = &t->nodes[at];
            e->passed[at] = true;
            if (node->feature < 0)
                break;
            bool is_category = e->features[node->feature].kind == QN_FEATURE_CATEGORY;
            bool left = qn__tree_goes_left(t, node, is_category, value[node->feature]);
            at = t->start[i] + (left ? node->left : node->right);
        }
    }
    return QN_OK;
}

static void export_done(qn__export *e) {
    qn_freep(&e->passed);
    qn_trees_done(&e->trees);
    qn_freep(&e->direct);
}

qn_status qn_model_export(const qn_model *model, const qn_export_options *options, qn_buf *out,
                          qn_error *err) {
    qn_cleanup(export_done) qn__export e = {.model = model, .options = *options};
    e.features = qn_pipeline_features(model->pipeline, &e.n_features);
    QN_TRY(qn_trees_unpack(model->learner, &e.trees, err));
    QN_FAIL_IF(options->tree >= e.trees.n_trees, err, QN_ERR_USAGE,
               "there is no tree %d: the model has %d, counted from 0", options->tree,
               e.trees.n_trees);
    if (!(e.direct = qn_new_array(qn_direct, e.n_features)))
        return qn_error_memory(err);
    (void)qn_pipeline_direct(model->pipeline, e.direct);
    if (options->frame)
        QN_TRY(mark_way(&e, err));
    if (formats[options->format].scores) {
        QN_TRY(check_features(&e, err));
        QN_TRY(correct(&e, err));
    }
    QN_TRY(formats[options->format].write(&e, out, err));
    return qn_buf_status(out, err);
}
