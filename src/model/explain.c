#include "model/explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "learn/trees.h"
#include "model/model_int.h"

qn_status qn_model_importance(const qn_model *model, double *share, int64_t *splits,
                              bool *ret_has_splits, qn_error *err) {
    const qn_learner *learner = model->learner;
    int32_t n_features;
    const qn_feature *features = qn_pipeline_features(model->pipeline, &n_features);
    size_t n_inputs = (size_t)qn_pipeline_inputs(model->pipeline)->n_columns;
    qn_cleanup(qn_freep) double *importance = qn_new_array(double, n_features);
    qn_cleanup(qn_freep) int64_t *counts = qn_new_array(int64_t, n_features);
    if (!importance || !counts)
        return qn_error_memory(err);
    *ret_has_splits = learner->family->splits != NULL;
    learner->family->importance(learner, importance);
    if (*ret_has_splits)
        learner->family->splits(learner, counts);
    memset(share, 0, n_inputs * sizeof *share);
    if (splits)
        memset(splits, 0, n_inputs * sizeof *splits);
    for (int32_t f = 0; f < n_features; f++) {
        share[features[f].i_input] += importance[f];
        if (splits)
            splits[features[f].i_input] += counts[f];
    }
    return QN_OK;
}

qn_status qn_model_dependence(const qn_model *model, const qn_frame *frame, int32_t i_input,
                              double *raw, qn_error *err) {
    const qn_learner *learner = model->learner;
    int32_t n_features;
    const qn_feature *features = qn_pipeline_features(model->pipeline, &n_features);
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    qn_cleanup(qn_freep) bool *follows = qn_new_array(bool, n_features);
    QN_FAIL_IF(!learner->family->dependence, err, QN_ERR_USAGE,
               "%s has no trees to weigh", learner->family->title);
    if (!follows)
        return qn_error_memory(err);
    for (int32_t f = 0; f < n_features; f++)
        follows[f] = features[f].i_input == i_input;
    QN_TRY(qn_pipeline_apply(model->pipeline, frame, NULL, 0, NULL, &x, err));
    return learner->family->dependence(learner, x, 0, x->n_rows, follows, raw, err);
}

/* ---- conditions ------------------------------------------------------------------------------ */

/* What was asked of one feature. */
typedef struct asked {
    int32_t feature;
    int64_t n;
    double above, up_to;
    uint32_t *in; /* owned; bits of the codes that go the same ways; NULL for a number */
} asked;

typedef struct conditions {
    qn_trees trees;
    asked *of;     /* owned; n_features */
    double *value; /* owned; n_features */
    int32_t n_features;
} conditions;

static void conditions_done(conditions *c) {
    qn_trees_done(&c->trees);
    for (int32_t f = 0; c->of && f < c->n_features; f++)
        qn_freep(&c->of[f].in);
    qn_freep(&c->of);
    qn_freep(&c->value);
}

static size_t set_words(const qn_feature *feature) {
    return ((size_t)feature->n_categories + 31) / 32;
}

static qn_status conditions_init(conditions *c, const qn_model *model, const qn_frame *frame,
                                 int64_t i_row, qn_error *err) {
    const qn_feature *features = qn_pipeline_features(model->pipeline, &c->n_features);
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    QN_TRY(qn_trees_unpack(model->learner, &c->trees, err));
    QN_TRY(qn_pipeline_apply(model->pipeline, frame, &i_row, 1, NULL, &x, err));
    c->of = qn_new_array(asked, c->n_features);
    c->value = qn_new_array(double, c->n_features);
    if (!c->of || !c->value)
        return qn_error_memory(err);
    qn_matrix_rows(x, 0, 1, c->value);
    for (int32_t f = 0; f < c->n_features; f++) {
        asked *a = &c->of[f];
        *a = (asked){.feature = f, .above = -INFINITY, .up_to = INFINITY};
        if (features[f].kind != QN_FEATURE_CATEGORY)
            continue;
        a->in = qn_new_array(uint32_t, set_words(&features[f]) + 1);
        if (!a->in)
            return qn_error_memory(err);
        for (int32_t code = 0; code < features[f].n_categories; code++)
            a->in[code >> 5] |= 1u << (code & 31);
    }
    return QN_OK;
}

static bool in_set(const qn_trees *trees, const qn_tree_node *node, int32_t code) {
    uint32_t word = (uint32_t)code >> 5;
    return word < node->n_words && trees->words[node->first_word + word] >> (code & 31) & 1;
}

bool qn__tree_goes_left(const qn_trees *trees, const qn_tree_node *node, bool is_category,
                        double value) {
    if (is_category ? value < 0 : isnan(value))
        return node->missing_left;
    return node->is_set ? in_set(trees, node, (int32_t)value) : value <= node->threshold;
}

/* Asks one node, narrows what its feature may be, and tells the way. */
static bool ask(conditions *c, const qn_feature *features, const qn_tree_node *node) {
    asked *a = &c->of[node->feature];
    double value = c->value[node->feature];
    bool left = qn__tree_goes_left(&c->trees, node, a->in != NULL, value);
    a->n++;
    if (!a->in && !isnan(value)) {
        if (left)
            a->up_to = fmin(a->up_to, node->threshold);
        else
            a->above = fmax(a->above, node->threshold);
    }
    for (int32_t code = 0; a->in && code < features[node->feature].n_categories; code++)
        if (in_set(&c->trees, node, code) != left)
            a->in[code >> 5] &= ~(1u << (code & 31));
    return left;
}

static int most_asked_first(const void *a, const void *b) {
    const asked *x = a, *y = b;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return (x->feature > y->feature) - (x->feature < y->feature);
}

static json_t *categories_to_json(const qn_feature *feature, const asked *a) {
    json_t *list = json_array();
    for (int32_t code = 0; code < feature->n_categories; code++) {
        size_t n;
        if (!(a->in[code >> 5] >> (code & 31) & 1))
            continue;
        if (feature->categories && code < qn_dict_size(feature->categories)) {
            const char *text = qn_dict_text(feature->categories, code, &n);
            json_array_append_new(list, json_stringn(text, n));
        } else {
            json_array_append_new(list, json_integer(code));
        }
    }
    return list;
}

static json_t *asked_to_json(const qn_model *model, const qn_feature *feature, const asked *a,
                             double value) {
    const qn_schema *inputs = qn_pipeline_inputs(model->pipeline);
    json_t *object = json_pack("{s:s, s:s, s:I}", "input", inputs->columns[feature->i_input].name,
                               "feature", feature->name, "asked", (json_int_t)a->n);
    if (a->in ? value < 0 : isnan(value)) {
        json_object_set_new(object, "missing", json_true());
    } else if (a->in) {
        json_object_set_new(object, "in", categories_to_json(feature, a));
    } else {
        json_object_set_new(object, "above", qn_json_number(a->above));
        json_object_set_new(object, "up_to", qn_json_number(a->up_to));
    }
    return object;
}

qn_status qn_model_conditions(const qn_model *model, const qn_frame *frame, int64_t i_row,
                              int32_t output, json_t **ret_conditions, qn_error *err) {
    qn_cleanup(conditions_done) conditions c = {0};
    QN_TRY(conditions_init(&c, model, frame, i_row, err));
    int32_t n_features;
    const qn_feature *features = qn_pipeline_features(model->pipeline, &n_features);
    for (int32_t t = 0; t < c.trees.n_trees; t++) {
        const qn_tree_node *nodes = c.trees.nodes + c.trees.start[t];
        for (const qn_tree_node *node = nodes; c.trees.output[t] == output && node->feature >= 0;)
            node = &nodes[ask(&c, features, node) ? node->left : node->right];
    }
    qsort(c.of, (size_t)c.n_features, sizeof *c.of, most_asked_first);
    qn_cleanup(qn_json_free) json_t *list = json_array();
    if (!list)
        return qn_error_memory(err);
    for (int32_t i = 0; i < c.n_features && c.of[i].n > 0; i++) {
        int32_t f = c.of[i].feature;
        if (json_array_append_new(list, asked_to_json(model, &features[f], &c.of[i], c.value[f])))
            return qn_error_memory(err);
    }
    *ret_conditions = qn_steal(&list);
    return QN_OK;
}
