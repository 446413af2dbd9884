#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "model/foreign_int.h"

void qn__foreign_done(qn__foreign *f) {
    qn_trees_done(&f->trees);
    for (int32_t i = 0; f->names && i < f->n_inputs; i++)
        qn_freep(&f->names[i]);
    qn_freep(&f->names);
    qn_freep(&f->inputs);
}

qn_status qn__foreign_inputs(qn__foreign *f, int64_t n, qn_error *err) {
    QN_FAIL_IF(n < 1 || n > QN_LIMIT_COLUMNS, err, QN_ERR_LIMIT,
               "the model has %lld inputs; a model here has 1 to %d", (long long)n,
               QN_LIMIT_COLUMNS);
    f->names = qn_new_array(char *, n);
    f->inputs = qn_new_array(qn_plain_input, n);
    if (!f->names || !f->inputs)
        return qn_error_memory(err);
    f->n_inputs = (int32_t)n;
    f->trees.n_features = (int32_t)n;
    return QN_OK;
}

qn_status qn__foreign_set_objective(qn__foreign *f, const qn__foreign_objective *table,
                                    size_t n_table, const char *name, qn_error *err) {
    for (size_t i = 0; i < n_table; i++) {
        if (strcmp(table[i].name, name) != 0)
            continue;
        f->task = table[i].task;
        f->trees.link = table[i].link;
        f->trees.objective = table[i].ours;
        return QN_OK;
    }
    return qn_error_set(err, QN_ERR_USAGE,
                        "%s's objective %.60s cannot be imported: no link of a model here gives "
                        "its predictions", f->from, name);
}

qn_status qn__foreign_code(qn__foreign *f, int32_t i, int64_t code, qn_error *err) {
    QN_FAIL_IF(code < 0 || code >= QN_LIMIT_FOREIGN_CODES, err, QN_ERR_LIMIT,
               "category %lld of input %d: categories are 0 to %d", (long long)code, i,
               QN_LIMIT_FOREIGN_CODES - 1);
    if (code >= f->inputs[i].n_codes)
        f->inputs[i].n_codes = (int32_t)code + 1;
    return QN_OK;
}

/* What infinite numbers become must be on the same side of every split as they are. */
static void widen_ranges(qn__foreign *f) {
    const qn_trees *t = &f->trees;
    for (int64_t i = 0; t->n_trees && i < t->start[t->n_trees]; i++) {
        const qn_tree_node *node = &t->nodes[i];
        if (node->feature < 0 || node->is_set || !isfinite(node->threshold))
            continue;
        qn_plain_input *input = &f->inputs[node->feature];
        if (!(input->low <= node->threshold))
            input->low = node->threshold;
        double above = nextafter(node->threshold, (double)INFINITY);
        if (!(input->high >= above) && isfinite(above))
            input->high = above;
    }
}

static qn_status check_codes(const qn__foreign *f, qn_error *err) {
    int64_t n = 0;
    for (int32_t i = 0; i < f->n_inputs; i++)
        n += f->inputs[i].n_codes;
    QN_FAIL_IF(n > QN_LIMIT_FOREIGN_CODES, err, QN_ERR_LIMIT,
               "the model's inputs have more than %d categories", QN_LIMIT_FOREIGN_CODES);
    return QN_OK;
}

static qn_status fill_target(const qn__foreign *f, const qn_import_options *options,
                             qn_target_info *target, qn_error *err) {
    int32_t n = f->task == QN_TASK_MULTICLASS ? f->trees.n_outputs
                                              : f->task == QN_TASK_BINARY ? 2 : 0;
    QN_FAIL_IF(options->n_classes && (int64_t)options->n_classes != n, err, QN_ERR_USAGE,
               "the model has %d classes, and %zu were named", n, options->n_classes);
    target->task = f->task;
    target->name = qn_strdup(options->target ? options->target : "target");
    target->classes = qn_new_array(char *, n);
    if (!target->name || !target->classes)
        return qn_error_memory(err);
    for (int32_t k = 0; k < n; k++) {
        target->classes[k] = options->n_classes ? qn_strdup(options->classes[k])
                                                : qn_format("%d", k);
        if (!target->classes[k])
            return qn_error_memory(err);
        target->n_classes = k + 1;
    }
    return QN_OK;
}

static qn_status assemble(qn__foreign *f, const qn_import_options *options, qn_model **ret_model,
                          qn_error *err) {
    qn_cleanup(qn_target_info_done) qn_target_info target = {0};
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = NULL;
    qn_cleanup(qn_learner_free) qn_learner *learner = NULL;
    int32_t n_features;
    widen_ranges(f);
    QN_TRY(check_codes(f, err));
    QN_TRY(fill_target(f, options, &target, err));
    QN_TRY(qn_pipeline_plain(f->inputs, f->n_inputs, &pipeline, err));
    const qn_feature *features = qn_pipeline_features(pipeline, &n_features);
    QN_TRY(qn_trees_pack(&f->trees, features, &learner, err));
    qn_model_parts parts = {.target = &target, .negatives_rate = 1, .threshold = 0.5};
    parts.pipeline = qn_steal(&pipeline);
    parts.learner = qn_steal(&learner);
    parts.about = json_pack("{s:{s:s, s:s}}", "imported", "from", f->from, "objective",
                            f->objective);
    return qn_model_new(&parts, ret_model, err);
}

qn_status qn_model_import(const char *bytes, size_t n, const qn_import_options *options,
                          qn_model **ret_model, qn_error *err) {
    qn_cleanup(qn__foreign_done) qn__foreign foreign = {0};
    size_t at = 0;
    while (at < n && strchr(" \t\r\n", bytes[at]) && bytes[at])
        at++;
    if (n - at >= 5 && memcmp(bytes + at, "tree", 4) == 0 && strchr("\r\n", bytes[at + 4])) {
        foreign.from = "LightGBM";
        QN_TRY(qn__read_lightgbm(bytes + at, n - at, &foreign, err));
    } else if (at < n && bytes[at] == '{') {
        QN_FAIL_IF(at + 1 < n && (bytes[at + 1] == 'L' || bytes[at + 1] == 'i'), err, QN_ERR_USAGE,
                   "this is XGBoost's UBJSON: save the model as .json and import that");
        foreign.from = "XGBoost";
        QN_TRY(qn__read_xgboost(bytes, n, &foreign, err));
    } else {
        return qn_error_set(err, QN_ERR_FORMAT,
                            "this is neither a LightGBM text model, which begins with 'tree', nor "
                            "an XGBoost JSON model, which begins with '{'");
    }
    return assemble(&foreign, options, ret_model, err);
}
