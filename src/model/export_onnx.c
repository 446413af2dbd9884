/* A model as ONNX: input [rows, features] in doubles -> TreeEnsembleRegressor (ai.onnx.ml 3, whose
 * double attributes keep thresholds exact) -> raw scores in float, as the operator is defined -> link
 * -> for classes the label by the model's own threshold. TreeEnsembleClassifier would do the link, too,
 * but knows no threshold but 0.5.
 *
 * Protocol buffers are written by hand: a message is fields of (number << 3 | wire type), a varint or
 * a length and bytes. Field numbers are those of onnx.proto (ONNX IR version 8). */
#include <string.h>

#include "base/mem.h"
#include "model/export_int.h"

/* ---- protocol buffers ------------------------------------------------------------------------ */

static void put_varint(qn_buf *out, uint64_t x) {
    for (; x >= 0x80; x >>= 7)
        qn_buf_put_char(out, (char)(x | 0x80));
    qn_buf_put_char(out, (char)x);
}

static void put_whole(qn_buf *out, int field, int64_t x) {
    put_varint(out, (uint64_t)field << 3);
    put_varint(out, (uint64_t)x);
}

static void put_bytes(qn_buf *out, int field, const void *bytes, size_t n) {
    put_varint(out, (uint64_t)field << 3 | 2);
    put_varint(out, n);
    qn_buf_put(out, bytes, n);
}

static void put_text(qn_buf *out, int field, const char *text) {
    put_bytes(out, field, text, strlen(text));
}

/* A message within, whose failure becomes that of the one around it; empties it. */
static void put_message(qn_buf *out, int field, qn_buf *message) {
    if (message->status != QN_OK && out->status == QN_OK)
        out->status = message->status;
    put_bytes(out, field, message->data, message->len);
    qn_buf_done(message);
    *message = (qn_buf){0};
}

/* ---- messages of ONNX ------------------------------------------------------------------------ */

enum { TENSOR_FLOAT = 1, TENSOR_INT64 = 7, TENSOR_STRING = 8, TENSOR_DOUBLE = 11 };
enum { ATTRIBUTE_INT = 2, ATTRIBUTE_STRING = 3, ATTRIBUTE_TENSOR = 4, ATTRIBUTE_INTS = 7,
       ATTRIBUTE_STRINGS = 8 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_TYPE = 4, NODE_ATTRIBUTE = 5, NODE_DOMAIN = 7 };

/* TensorProto of one dimension. */
static void make_tensor(qn_buf *out, const char *name, int type, int64_t n, const void *raw,
                        size_t n_bytes) {
    put_whole(out, 1, n);
    put_whole(out, 2, type);
    if (name)
        put_text(out, 8, name);
    put_bytes(out, 9, raw, n_bytes);
}

static void add_attribute(qn_buf *node, const char *name, int type, qn_buf *value) {
    qn_cleanup(qn_buf_done) qn_buf attribute = {0};
    put_text(&attribute, 1, name);
    if (value->status != QN_OK)
        attribute.status = value->status;
    qn_buf_put(&attribute, value->data, value->len);
    put_whole(&attribute, 20, type);
    put_message(node, NODE_ATTRIBUTE, &attribute);
    qn_buf_done(value);
    *value = (qn_buf){0};
}

static void add_int(qn_buf *node, const char *name, int64_t x) {
    qn_buf value = {0};
    put_whole(&value, 3, x);
    add_attribute(node, name, ATTRIBUTE_INT, &value);
}

static void add_doubles(qn_buf *node, const char *name, const double *x, int64_t n) {
    qn_buf tensor = {0}, value = {0};
    make_tensor(&tensor, name, TENSOR_DOUBLE, n, x, (size_t)n * sizeof *x);
    put_message(&value, 5, &tensor);
    add_attribute(node, name, ATTRIBUTE_TENSOR, &value);
}

/* A node with up to two inputs; attributes follow, then put_message into the graph. */
static qn_buf begin_node(const char *domain, const char *type, const char *input,
                         const char *second, const char *output) {
    qn_buf node = {0};
    put_text(&node, NODE_INPUT, input);
    if (second)
        put_text(&node, NODE_INPUT, second);
    put_text(&node, NODE_OUTPUT, output);
    put_text(&node, NODE_TYPE, type);
    if (domain)
        put_text(&node, NODE_DOMAIN, domain);
    return node;
}

static void add_node(qn_buf *graph, const char *type, const char *input, const char *second,
                     const char *output) {
    qn_buf node = begin_node(NULL, type, input, second, output);
    put_message(graph, GRAPH_NODE, &node);
}

static void add_constant(qn_buf *graph, const char *name, int type, const void *raw,
                         size_t n_bytes) {
    qn_buf tensor = {0};
    make_tensor(&tensor, name, type, 1, raw, n_bytes);
    put_message(graph, GRAPH_INITIALIZER, &tensor);
}

/* ValueInfoProto: a tensor [rows] or [rows, width]. */
static void add_value(qn_buf *graph, int field, const char *name, int type, int64_t width) {
    qn_buf value = {0}, kind = {0}, tensor = {0}, shape = {0}, dimension = {0};
    put_text(&dimension, 2, "rows");
    put_message(&shape, 1, &dimension);
    if (width > 0) {
        put_whole(&dimension, 1, width);
        put_message(&shape, 1, &dimension);
    }
    put_whole(&tensor, 1, type);
    put_message(&tensor, 2, &shape);
    put_message(&kind, 1, &tensor);
    put_text(&value, 1, name);
    put_message(&value, 2, &kind);
    put_message(graph, field, &value);
}

/* ---- the trees ------------------------------------------------------------------------------- */

/* A list of the node: one number per node of every tree. */
static void add_ints(qn_buf *node, const char *name, const qn_trees *t, bool leaves,
                     int64_t (*number)(const qn_trees *t, int32_t tree, int64_t i)) {
    qn_buf value = {.max = node->max};
    for (int32_t tree = 0; tree < t->n_trees; tree++)
        for (int64_t i = t->start[tree]; i < t->start[tree + 1]; i++)
            if (!leaves || t->nodes[i].feature < 0)
                put_whole(&value, 8, number(t, tree, i));
    add_attribute(node, name, ATTRIBUTE_INTS, &value);
}

static int64_t number_tree(const qn_trees *t, int32_t tree, int64_t i) {
    return tree;
}
static int64_t number_node(const qn_trees *t, int32_t tree, int64_t i) {
    return i - t->start[tree];
}
static int64_t number_feature(const qn_trees *t, int32_t tree, int64_t i) {
    return t->nodes[i].feature < 0 ? 0 : t->nodes[i].feature;
}
static int64_t number_left(const qn_trees *t, int32_t tree, int64_t i) {
    return t->nodes[i].feature < 0 ? 0 : t->nodes[i].left;
}
static int64_t number_right(const qn_trees *t, int32_t tree, int64_t i) {
    return t->nodes[i].feature < 0 ? 0 : t->nodes[i].right;
}
static int64_t number_missing(const qn_trees *t, int32_t tree, int64_t i) {
    return t->nodes[i].feature >= 0 && t->nodes[i].missing_left;
}
static int64_t number_output(const qn_trees *t, int32_t tree, int64_t i) {
    return t->output[tree];
}

static qn_status add_tree_values(const qn_trees *t, qn_buf *node, qn_error *err) {
    int64_t n = t->n_trees ? t->start[t->n_trees] : 0, n_leaves = 0;
    qn_cleanup(qn_freep) double *threshold = qn_new_array(double, n);
    qn_cleanup(qn_freep) double *weight = qn_new_array(double, n);
    if (!threshold || !weight)
        return qn_error_memory(err);
    qn_buf modes = {0};
    for (int64_t i = 0; i < n; i++) {
        bool leaf = t->nodes[i].feature < 0;
        threshold[i] = leaf ? 0 : t->nodes[i].threshold;
        if (leaf)
            weight[n_leaves++] = t->nodes[i].value;
        put_text(&modes, 9, leaf ? "LEAF" : "BRANCH_LEQ");
    }
    add_attribute(node, "nodes_modes", ATTRIBUTE_STRINGS, &modes);
    add_doubles(node, "nodes_values_as_tensor", threshold, n);
    add_doubles(node, "target_weights_as_tensor", weight, n_leaves);
    return QN_OK;
}

/* The operator wants a tree. */
static qn_status at_least_one(const qn__export *e, qn_trees *t, qn_error *err) {
    if (e->trees.n_trees > 0)
        return QN_OK;
    *t = (qn_trees){.n_outputs = e->trees.n_outputs, .n_features = e->n_features};
    return qn_trees_add(t, &(qn_tree_node){.feature = -1}, 1, 0, err);
}

static qn_status add_trees(const qn__export *e, const char *output, qn_buf *graph, qn_error *err) {
    qn_cleanup(qn_trees_done) qn_trees empty = {0};
    QN_TRY(at_least_one(e, &empty, err));
    const qn_trees *t = e->trees.n_trees > 0 ? &e->trees : &empty;
    qn_cleanup(qn_buf_done) qn_buf node =
        begin_node("ai.onnx.ml", "TreeEnsembleRegressor", "input", NULL, output);
    add_int(&node, "n_targets", t->n_outputs);
    add_doubles(&node, "base_values_as_tensor", e->trees.base, e->trees.n_outputs);
    add_ints(&node, "nodes_treeids", t, false, number_tree);
    add_ints(&node, "nodes_nodeids", t, false, number_node);
    add_ints(&node, "nodes_featureids", t, false, number_feature);
    add_ints(&node, "nodes_truenodeids", t, false, number_left);
    add_ints(&node, "nodes_falsenodeids", t, false, number_right);
    add_ints(&node, "nodes_missing_value_tracks_true", t, false, number_missing);
    add_ints(&node, "target_treeids", t, true, number_tree);
    add_ints(&node, "target_nodeids", t, true, number_node);
    add_ints(&node, "target_ids", t, true, number_output);
    QN_TRY(add_tree_values(t, &node, err));
    put_message(graph, GRAPH_NODE, &node);
    return QN_OK;
}

/* ---- what follows them ----------------------------------------------------------------------- */

static void add_labels(const qn_target_info *target, qn_buf *graph) {
    qn_buf node = begin_node("ai.onnx.ml", "LabelEncoder", "index", NULL, "label");
    qn_buf keys = {0}, values = {0};
    for (int32_t k = 0; k < target->n_classes; k++) {
        put_whole(&keys, 8, k);
        put_text(&values, 9, target->classes[k]);
    }
    add_attribute(&node, "keys_int64s", ATTRIBUTE_INTS, &keys);
    add_attribute(&node, "values_strings", ATTRIBUTE_STRINGS, &values);
    put_message(graph, GRAPH_NODE, &node);
    add_value(graph, GRAPH_OUTPUT, "label", TENSOR_STRING, 0);
}

/* p, 1 - p and p >= threshold. */
static void add_binary(const qn__export *e, qn_buf *graph) {
    const float one = 1, threshold = (float)qn_model_threshold(e->model);
    const int64_t last = 1;
    add_constant(graph, "one", TENSOR_FLOAT, &one, sizeof one);
    add_constant(graph, "threshold", TENSOR_FLOAT, &threshold, sizeof threshold);
    add_constant(graph, "last", TENSOR_INT64, &last, sizeof last);
    add_node(graph, "Sigmoid", "raw", NULL, "positive");
    add_node(graph, "Sub", "one", "positive", "negative");
    qn_buf both = begin_node(NULL, "Concat", "negative", "positive", "probabilities");
    add_int(&both, "axis", 1);
    put_message(graph, GRAPH_NODE, &both);
    add_node(graph, "Squeeze", "positive", "last", "alone");
    add_node(graph, "GreaterOrEqual", "alone", "threshold", "decided");
    qn_buf cast = begin_node(NULL, "Cast", "decided", NULL, "index");
    add_int(&cast, "to", TENSOR_INT64);
    put_message(graph, GRAPH_NODE, &cast);
    add_labels(qn_model_target(e->model), graph);
    add_value(graph, GRAPH_OUTPUT, "probabilities", TENSOR_FLOAT, 2);
}

static void add_softmax(qn_buf *graph) {
    qn_buf soft = begin_node(NULL, "Softmax", "raw", NULL, "probabilities");
    add_int(&soft, "axis", 1);
    put_message(graph, GRAPH_NODE, &soft);
}

/* The sigmoid of each class, divided by their sum. */
static void add_ova(qn_buf *graph) {
    const int64_t last = 1;
    add_constant(graph, "last", TENSOR_INT64, &last, sizeof last);
    add_node(graph, "Sigmoid", "raw", NULL, "alone");
    add_node(graph, "ReduceSum", "alone", "last", "all");
    add_node(graph, "Div", "alone", "all", "probabilities");
}

static void add_multiclass(const qn__export *e, qn_buf *graph) {
    if (e->trees.link == QN_LINK_OVA)
        add_ova(graph);
    else
        add_softmax(graph);
    qn_buf most = begin_node(NULL, "ArgMax", "probabilities", NULL, "index");
    add_int(&most, "axis", 1);
    add_int(&most, "keepdims", 0);
    put_message(graph, GRAPH_NODE, &most);
    add_labels(qn_model_target(e->model), graph);
    add_value(graph, GRAPH_OUTPUT, "probabilities", TENSOR_FLOAT, e->trees.n_outputs);
}

static void add_version(qn_buf *model, const char *domain, int64_t version) {
    qn_buf set = {0};
    put_text(&set, 1, domain);
    put_whole(&set, 2, version);
    put_message(model, 8, &set);
}

/* metadata_props: the columns of `input`, as a JSON list. */
static void add_columns(const qn__export *e, qn_buf *model) {
    qn_buf entry = {0}, names = {0};
    qn_buf_put_char(&names, '[');
    for (int32_t f = 0; f < e->n_features; f++) {
        qn_buf_put_text(&names, f ? ", " : "");
        qn_json_write_text(e->features[f].name, strlen(e->features[f].name), QN_JSON_COMPACT,
                           &names);
    }
    qn_buf_put_char(&names, ']');
    put_text(&entry, 1, "columns");
    put_message(&entry, 2, &names);
    put_message(model, 14, &entry);
}

qn_status qn__export_onnx(const qn__export *e, qn_buf *out, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf graph = {.max = out->max};
    const qn_target_info *target = qn_model_target(e->model);
    bool is_value = target->task == QN_TASK_REGRESSION;
    QN_TRY(add_trees(e, is_value && e->trees.link == QN_LINK_IDENTITY ? "value" : "raw", &graph,
                     err));
    put_text(&graph, GRAPH_NAME, "quern");
    add_value(&graph, GRAPH_INPUT, "input", TENSOR_DOUBLE, e->n_features);
    if (target->task == QN_TASK_BINARY)
        add_binary(e, &graph);
    else if (target->task == QN_TASK_MULTICLASS)
        add_multiclass(e, &graph);
    else if (e->trees.link == QN_LINK_LOG)
        add_node(&graph, "Exp", "raw", NULL, "value");
    else if (e->trees.link == QN_LINK_LOGIT)
        add_node(&graph, "Sigmoid", "raw", NULL, "value");
    if (is_value)
        add_value(&graph, GRAPH_OUTPUT, "value", TENSOR_FLOAT, 1);
    put_whole(out, 1, 8); /* IR version */
    put_text(out, 2, "quern");
    put_message(out, 7, &graph);
    add_version(out, "", 13);
    add_version(out, "ai.onnx.ml", 3);
    add_columns(e, out);
    return qn_buf_status(out, err);
}
