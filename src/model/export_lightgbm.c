/* LightGBM's text model; foreign_lightgbm.c tells what is in it. Base scores go into the first tree of
 * each output, as LightGBM itself puts them there. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "model/export_int.h"

enum { TYPE_SET = 1, TYPE_LEFT = 2, TYPE_NAN = 2 << 2 };

/* Splits before leaves: LightGBM's numbers of both. */
typedef struct numbering {
    const qn_tree_node *nodes; /* borrowed */
    int64_t n_nodes;
    int32_t *number;           /* owned; per node: of the split, or ~ of the leaf */
    uint64_t *rows;            /* owned; per node */
} numbering;

static void numbering_done(numbering *n) {
    qn_freep(&n->number);
    qn_freep(&n->rows);
}

static qn_status numbering_init(numbering *n, const qn_trees *t, int32_t tree, qn_error *err) {
    n->nodes = t->nodes + t->start[tree];
    n->n_nodes = t->start[tree + 1] - t->start[tree];
    n->number = qn_new_array(int32_t, n->n_nodes);
    n->rows = qn_new_array(uint64_t, n->n_nodes);
    if (!n->number || !n->rows)
        return qn_error_memory(err);
    int32_t n_splits = 0, n_leaves = 0;
    for (int64_t i = 0; i < n->n_nodes; i++)
        n->number[i] = n->nodes[i].feature < 0 ? ~n_leaves++ : n_splits++;
    for (int64_t i = n->n_nodes; i-- > 0;)
        n->rows[i] = n->nodes[i].feature < 0 ? n->nodes[i].count
                                             : n->rows[n->nodes[i].left]
                                                   + n->rows[n->nodes[i].right];
    return QN_OK;
}

/* A category split whose missing values go left is turned round, for LightGBM's go right. */
static bool is_turned(const qn_tree_node *node) {
    return node->is_set && node->missing_left;
}

static void put_items(const numbering *n, bool leaves, const char *key, qn_buf *out,
                      void (*put)(const numbering *n, int64_t i, int32_t i_set, qn_buf *out)) {
    bool first = true;
    int32_t i_set = 0;
    qn_buf_printf(out, "%s=", key);
    for (int64_t i = 0; i < n->n_nodes; i++) {
        if ((n->nodes[i].feature < 0) != leaves)
            continue;
        if (!first)
            qn_buf_put_char(out, ' ');
        put(n, i, i_set, out);
        i_set += n->nodes[i].is_set;
        first = false;
    }
    qn_buf_put_char(out, '\n');
}

static void put_feature(const numbering *n, int64_t i, int32_t i_set, qn_buf *out) {
    qn_buf_printf(out, "%d", n->nodes[i].feature);
}
static void put_zero(const numbering *n, int64_t i, int32_t i_set, qn_buf *out) {
    qn_buf_put_char(out, '0');
}
static void put_threshold(const numbering *n, int64_t i, int32_t i_set, qn_buf *out) {
    double x = n->nodes[i].threshold;
    if (n->nodes[i].is_set)
        qn_buf_printf(out, "%d", i_set);
    else /* LightGBM writes infinite bounds as finite ones, too */
        qn_buf_put_double(out, isinf(x) ? copysign(DBL_MAX, x) : x);
}
static void put_type(const numbering *n, int64_t i, int32_t i_set, qn_buf *out) {
    const qn_tree_node *node = &n->nodes[i];
    int type = node->is_set ? TYPE_SET : TYPE_NAN | (node->missing_left ? TYPE_LEFT : 0);
    qn_buf_printf(out, "%d", type);
}
static void put_left(const numbering *n, int64_t i, int32_t i_set, qn_buf *out) {
    const qn_tree_node *node = &n->nodes[i];
    qn_buf_printf(out, "%d", n->number[is_turned(node) ? node->right : node->left]);
}
static void put_right(const numbering *n, int64_t i, int32_t i_set, qn_buf *out) {
    const qn_tree_node *node = &n->nodes[i];
    qn_buf_printf(out, "%d", n->number[is_turned(node) ? node->left : node->right]);
}
static void put_value(const numbering *n, int64_t i, int32_t i_set, qn_buf *out) {
    qn_buf_put_double(out, n->nodes[i].value);
}
static void put_rows(const numbering *n, int64_t i, int32_t i_set, qn_buf *out) {
    uint64_t rows = n->rows[i] < INT32_MAX ? n->rows[i] : INT32_MAX;
    qn_buf_printf(out, "%llu", (unsigned long long)rows);
}

static void put_sets(const qn__export *e, const numbering *n, qn_buf *out) {
    int64_t bound = 0;
    bool first = true;
    qn_buf_put_text(out, "cat_boundaries=0");
    for (int64_t i = 0; i < n->n_nodes; i++)
        if (n->nodes[i].is_set)
            qn_buf_printf(out, " %lld", (long long)(bound += n->nodes[i].n_words));
    qn_buf_put_text(out, "\ncat_threshold=");
    for (int64_t i = 0; i < n->n_nodes; i++) {
        const qn_tree_node *node = &n->nodes[i];
        for (uint32_t w = 0; node->is_set && w < node->n_words; w++) {
            uint32_t word = e->trees.words[node->first_word + w];
            if (is_turned(node)) {
                uint32_t rest = (uint32_t)e->features[node->feature].n_categories - 32 * w;
                word = ~word & (rest >= 32 ? UINT32_MAX : (1u << rest) - 1);
            }
            qn_buf_printf(out, first ? "%u" : " %u", word);
            first = false;
        }
    }
    qn_buf_put_char(out, '\n');
}

static qn_status put_tree(const qn__export *e, int32_t tree, qn_buf *out, qn_error *err) {
    qn_cleanup(numbering_done) numbering n = {0};
    QN_TRY(numbering_init(&n, &e->trees, tree, err));
    int32_t n_sets = 0;
    for (int64_t i = 0; i < n.n_nodes; i++)
        n_sets += n.nodes[i].is_set;
    qn_buf_printf(out, "Tree=%d\nnum_leaves=%lld\nnum_cat=%d\n", tree,
                  (long long)(n.n_nodes + 1) / 2, n_sets);
    put_items(&n, false, "split_feature", out, put_feature);
    put_items(&n, false, "split_gain", out, put_zero);
    put_items(&n, false, "threshold", out, put_threshold);
    put_items(&n, false, "decision_type", out, put_type);
    put_items(&n, false, "left_child", out, put_left);
    put_items(&n, false, "right_child", out, put_right);
    put_items(&n, true, "leaf_value", out, put_value);
    put_items(&n, true, "leaf_weight", out, put_rows);
    put_items(&n, true, "leaf_count", out, put_rows);
    put_items(&n, false, "internal_value", out, put_zero);
    put_items(&n, false, "internal_weight", out, put_rows);
    put_items(&n, false, "internal_count", out, put_rows);
    if (n_sets)
        put_sets(e, &n, out);
    qn_buf_put_text(out, "is_linear=0\nshrinkage=1\n\n\n");
    return QN_OK;
}

/* ---- header ---------------------------------------------------------------------------------- */

/* LightGBM allows neither spaces nor JSON's signs in names. */
static void put_names(const qn__export *e, qn_buf *out) {
    qn_buf_put_text(out, "feature_names=");
    for (int32_t f = 0; f < e->n_features; f++) {
        qn_buf_put_text(out, f ? " " : "");
        for (const char *c = e->features[f].name; *c; c++)
            qn_buf_put_char(out, (unsigned char)*c <= ' ' || strchr("\",:[]{}", *c) ? '_' : *c);
    }
    qn_buf_put_char(out, '\n');
}

static void put_infos(const qn__export *e, qn_buf *out) {
    qn_buf_put_text(out, "feature_infos=");
    for (int32_t f = 0; f < e->n_features; f++) {
        qn_buf_put_text(out, f ? " " : "");
        if (!e->direct[f].codes) {
            qn_buf_put_char(out, '[');
            qn_buf_put_double(out, e->direct[f].low);
            qn_buf_put_char(out, ':');
            qn_buf_put_double(out, e->direct[f].high);
            qn_buf_put_char(out, ']');
        } else if (e->features[f].n_categories == 0) {
            qn_buf_put_text(out, "none");
        }
        for (int32_t c = 0; e->direct[f].codes && c < e->features[f].n_categories; c++)
            qn_buf_printf(out, c ? ":%d" : "%d", c);
    }
    qn_buf_put_char(out, '\n');
}

static void put_objective(const qn__export *e, qn_buf *out) {
    int32_t n = e->trees.n_outputs;
    qn_buf_printf(out, "tree\nversion=v4\nnum_class=%d\nnum_tree_per_iteration=%d\nlabel_index=0\n"
                       "max_feature_idx=%d\n", n, n, e->n_features - 1);
    switch (e->trees.link) {
    case QN_LINK_LOGIT:
        qn_buf_put_text(out, qn_model_target(e->model)->task == QN_TASK_BINARY
                                 ? "objective=binary sigmoid:1\n" : "objective=cross_entropy\n");
        break;
    case QN_LINK_SOFTMAX: qn_buf_printf(out, "objective=multiclass num_class:%d\n", n); break;
    case QN_LINK_OVA:
        qn_buf_printf(out, "objective=multiclassova num_class:%d sigmoid:1\n", n);
        break;
    case QN_LINK_LOG: qn_buf_put_text(out, "objective=poisson\n"); break;
    case QN_LINK_IDENTITY:
        qn_buf_put_text(out, strcmp(e->trees.objective, "lambdarank") == 0
                                 ? "objective=lambdarank\n" : "objective=regression\n");
        break;
    }
}

/* The texts of categories, by which LightGBM's Python package turns pandas' categories into codes. */
static void put_categories(const qn__export *e, qn_buf *out) {
    bool first = true;
    qn_buf_put_text(out, "\npandas_categorical:");
    for (int32_t f = 0; f < e->n_features; f++) {
        if (!e->direct[f].codes)
            continue;
        qn_buf_put_text(out, first ? "[[" : ", [");
        first = false;
        for (int32_t c = 0; c < e->features[f].n_categories; c++) {
            size_t n;
            const char *text = qn_dict_text(e->direct[f].codes, c, &n);
            qn_buf_put_text(out, c ? ", " : "");
            qn_json_write_text(text, n, QN_JSON_COMPACT, out);
        }
        qn_buf_put_char(out, ']');
    }
    qn_buf_put_text(out, first ? "null\n" : "]\n");
}

/* A base score joins the leaves of the output's first tree; without trees it is a leaf. */
static qn_status with_base(const qn__export *e, qn_trees *t, qn_error *err) {
    const qn_trees *from = &e->trees;
    for (int32_t k = 0; k < from->n_outputs && from->n_trees == 0; k++)
        QN_TRY(qn_trees_add(t, &(qn_tree_node){.feature = -1, .value = from->base[k]}, 1, k, err));
    for (int32_t i = 0; i < from->n_trees; i++) {
        QN_TRY(qn_trees_add(t, from->nodes + from->start[i], from->start[i + 1] - from->start[i],
                            from->output[i], err));
        for (int64_t k = t->start[i]; i < from->n_outputs && k < t->start[i + 1]; k++)
            if (t->nodes[k].feature < 0)
                t->nodes[k].value += from->base[from->output[i]];
    }
    return QN_OK;
}

qn_status qn__export_lightgbm(const qn__export *e, qn_buf *out, qn_error *err) {
    qn__export whole = *e;
    qn_cleanup(qn_buf_done) qn_buf trees = {.max = out->max};
    qn_cleanup(qn_trees_done) qn_trees t = {.n_outputs = e->trees.n_outputs, .link = e->trees.link,
                                            .n_features = e->trees.n_features,
                                            .objective = e->trees.objective};
    int64_t first_word;
    QN_TRY(qn_trees_add_words(&t, e->trees.words, e->trees.n_words, &first_word, err));
    QN_TRY(with_base(e, &t, err));
    whole.trees = t; /* a view; `t` owns it */
    put_objective(&whole, out);
    put_names(&whole, out);
    put_infos(&whole, out);
    qn_buf_put_text(out, "tree_sizes=");
    for (int32_t i = 0; i < t.n_trees; i++) {
        size_t before = trees.len;
        QN_TRY(put_tree(&whole, i, &trees, err));
        qn_buf_printf(out, i ? " %zu" : "%zu", trees.len - before);
    }
    QN_TRY(qn_buf_status(&trees, err));
    qn_buf_put_text(out, "\n\n");
    qn_buf_put(out, trees.data, trees.len);
    qn_buf_put_text(out, "end of trees\n\nfeature_importances:\n\n"
                         "parameters:\nend of parameters\n");
    put_categories(&whole, out);
    return QN_OK;
}
