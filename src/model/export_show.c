/* Trees to look at: JSON, Graphviz, indented text. Raw scores; what stands behind them (link,
 * calibration) is told in JSON. */
#include <string.h>

#include "base/mem.h"
#include "model/export_int.h"

enum {
    MOST_INDENT = 40, /* levels; deeper ones are at the same place, numbered */
    MOST_NAMED = 8,   /* categories of a split told one by one, in dot and text */
};

static const char *const link_names[] = {
    [QN_LINK_IDENTITY] = "identity", [QN_LINK_LOGIT] = "logit", [QN_LINK_SOFTMAX] = "softmax",
    [QN_LINK_LOG] = "log", [QN_LINK_OVA] = "ova"};

static bool goes_left(const qn__export *e, const qn_tree_node *node, int32_t code) {
    uint32_t c = (uint32_t)code;
    return c >> 5 < node->n_words && e->trees.words[node->first_word + (c >> 5)] >> (c & 31) & 1;
}

/* The text of a category; its code where the pipeline keeps no texts. */
static void put_category(const qn__export *e, int32_t feature, int32_t code, qn_buf *out) {
    const qn_dict *dict = e->features[feature].categories;
    size_t n;
    if (dict && code < qn_dict_size(dict)) {
        const char *text = qn_dict_text(dict, code, &n);
        qn_json_write_text(text, n, QN_JSON_COMPACT, out);
    } else {
        qn_buf_printf(out, "%d", code);
    }
}

/* `age <= 32.5`, `city in {"Oslo", "Roma"}`; the left way. */
static void put_test(const qn__export *e, const qn_tree_node *node, qn_buf *out) {
    const qn_feature *feature = &e->features[node->feature];
    qn_buf_put_text(out, feature->name);
    if (!node->is_set) {
        qn_buf_put_text(out, " <= ");
        qn_buf_put_double(out, node->threshold);
        return;
    }
    int32_t n = 0;
    qn_buf_put_text(out, " in {");
    for (int32_t c = 0; c < feature->n_categories; c++) {
        if (!goes_left(e, node, c) || n++ >= MOST_NAMED)
            continue;
        qn_buf_put_text(out, n > 1 ? ", " : "");
        put_category(e, node->feature, c, out);
    }
    if (n > MOST_NAMED)
        qn_buf_printf(out, ", and %d more", n - MOST_NAMED);
    qn_buf_put_char(out, '}');
}

static void first_and_last(const qn__export *e, int32_t *ret_first, int32_t *ret_last) {
    bool one = e->options.tree >= 0;
    *ret_first = one ? e->options.tree : 0;
    *ret_last = one ? e->options.tree : e->trees.n_trees - 1;
}

/* What the output of a tree is called: the class, or the target. */
static const char *output_name(const qn__export *e, int32_t output) {
    const qn_target_info *target = qn_model_target(e->model);
    return target->task == QN_TASK_MULTICLASS ? target->classes[output]
           : target->task == QN_TASK_BINARY   ? target->classes[1]
                                              : target->name;
}

/* ---- json ------------------------------------------------------------------------------------ */

static void put_json_text(const char *text, qn_buf *out) {
    qn_json_write_text(text, strlen(text), QN_JSON_COMPACT, out);
}

static void put_json_node(const qn__export *e, const qn_tree_node *node, qn_buf *out) {
    if (node->feature < 0) {
        qn_buf_put_text(out, "{\"value\": ");
        qn_buf_put_double(out, node->value);
        qn_buf_printf(out, ", \"count\": %u}", node->count);
        return;
    }
    qn_buf_printf(out, "{\"feature\": %d, ", node->feature);
    if (node->is_set) {
        bool first = true;
        qn_buf_put_text(out, "\"categories\": [");
        for (int32_t c = 0; c < e->features[node->feature].n_categories; c++) {
            if (!goes_left(e, node, c))
                continue;
            qn_buf_put_text(out, first ? "" : ", ");
            put_category(e, node->feature, c, out);
            first = false;
        }
        qn_buf_put_char(out, ']');
    } else {
        qn_buf_put_text(out, "\"threshold\": ");
        /* JSON has no infinity: no threshold means that every number goes left. */
        if (node->threshold > 1.7976931348623157e308)
            qn_buf_put_text(out, "null");
        else
            qn_buf_put_double(out, node->threshold);
    }
    qn_buf_printf(out, ", \"missing\": \"%s\", \"left\": %u, \"right\": %u}",
                  node->missing_left ? "left" : "right", node->left, node->right);
}

static void put_json_way(const qn__export *e, int32_t tree, qn_buf *out) {
    qn_buf_put_text(out, ", \"path\": [");
    int64_t first = e->trees.start[tree];
    for (int64_t k = first; k < e->trees.start[tree + 1]; k++)
        if (e->passed[k])
            qn_buf_printf(out, "%s%lld", k > first ? ", " : "", (long long)(k - first));
    qn_buf_put_char(out, ']');
}

/* A name; names of several outputs; null. */
static void put_init_score(const qn__export *e, qn_buf *out) {
    const qn_trees *t = &e->trees;
    if (!t->init_columns) {
        qn_buf_put_text(out, "null");
        return;
    }
    qn_buf_put_text(out, t->n_outputs > 1 ? "[" : "");
    for (int32_t k = 0; k < t->n_outputs; k++) {
        qn_buf_put_text(out, k ? ", " : "");
        put_json_text(e->features[t->init_columns[k] - 1].name, out);
    }
    qn_buf_put_text(out, t->n_outputs > 1 ? "]" : "");
}

qn_status qn__export_json(const qn__export *e, qn_buf *out, qn_error *err) {
    int32_t first, last;
    const qn_trees *t = &e->trees;
    first_and_last(e, &first, &last);
    qn_buf_printf(out, "{\"format\": \"quern trees 1\", \"task\": \"%s\", \"link\": \"%s\", "
                       "\"target\": ", qn_task_name(qn_model_target(e->model)->task),
                  link_names[t->link]);
    put_json_text(qn_model_target(e->model)->name, out);
    qn_buf_put_text(out, ", \"outputs\": [");
    for (int32_t k = 0; k < t->n_outputs; k++) {
        qn_buf_put_text(out, k ? ", " : "");
        put_json_text(output_name(e, k), out);
    }
    qn_buf_put_text(out, "], \"base\": [");
    for (int32_t k = 0; k < t->n_outputs; k++) {
        qn_buf_put_text(out, k ? ", " : "");
        qn_buf_put_double(out, t->base[k]);
    }
    qn_buf_put_text(out, "],\n\"init_score\": ");
    put_init_score(e, out);
    qn_buf_put_text(out, ", \"features\": [");
    for (int32_t f = 0; f < e->n_features; f++) {
        qn_buf_put_text(out, f ? ", " : "");
        put_json_text(e->features[f].name, out);
    }
    qn_buf_put_text(out, "],\n\"trees\": [");
    for (int32_t i = first; i <= last; i++) {
        qn_buf_printf(out, "%s\n {\"tree\": %d, \"output\": %d, \"nodes\": [", i > first ? "," : "",
                      i, t->output[i]);
        for (int64_t k = t->start[i]; k < t->start[i + 1]; k++) {
            qn_buf_put_text(out, k > t->start[i] ? ",\n  " : "\n  ");
            put_json_node(e, &t->nodes[k], out);
        }
        qn_buf_put_char(out, ']');
        if (e->passed)
            put_json_way(e, i, out);
        qn_buf_put_char(out, '}');
    }
    qn_buf_put_text(out, "]}\n");
    return qn_buf_status(out, err);
}

/* ---- dot ------------------------------------------------------------------------------------- */

/* Of the nodes that the row comes by. */
static const char way_colours[] = ", fillcolor=\"#ffe3c2\", color=\"#c05a00\"";

/* A quoted string of Graphviz. */
static void put_quoted(const char *text, qn_buf *out) {
    qn_buf_put_char(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            qn_buf_put_char(out, '\\');
        qn_buf_put_char(out, (unsigned char)*text < ' ' ? ' ' : *text);
    }
    qn_buf_put_char(out, '"');
}

static bool is_passed(const qn__export *e, int32_t tree, int64_t i) {
    return e->passed && e->passed[e->trees.start[tree] + i];
}

static qn_status put_dot_node(const qn__export *e, int32_t tree, int64_t i, qn_buf *out,
                              qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf label = {0};
    const qn_tree_node *node = &e->trees.nodes[e->trees.start[tree] + i];
    bool passed = is_passed(e, tree, i);
    if (node->feature < 0) {
        qn_buf_printf(out, "  t%dn%lld [label=\"", tree, (long long)i);
        qn_buf_put_double(out, node->value);
        qn_buf_printf(out, "\\ncount %u\", style=\"rounded%s\"%s];\n", node->count,
                      passed ? ",filled" : "", passed ? way_colours : "");
        return qn_buf_status(out, err);
    }
    put_test(e, node, &label);
    QN_TRY(qn_buf_status(&label, err));
    qn_buf_printf(out, "  t%dn%lld [label=", tree, (long long)i);
    put_quoted(qn_buf_text(&label), out);
    qn_buf_printf(out, "%s%s];\n", passed ? ", style=filled" : "", passed ? way_colours : "");
    for (int side = 0; side < 2; side++) {
        uint32_t to = side ? node->right : node->left;
        qn_buf_printf(out, "  t%dn%lld -> t%dn%u [label=\"%s%s\"%s];\n", tree, (long long)i, tree,
                      to, side ? "no" : "yes", node->missing_left != side ? ", missing" : "",
                      is_passed(e, tree, to) ? ", color=\"#c05a00\", penwidth=3" : "");
    }
    return QN_OK;
}

qn_status qn__export_dot(const qn__export *e, qn_buf *out, qn_error *err) {
    int32_t first, last;
    first_and_last(e, &first, &last);
    qn_buf_put_text(out, "digraph trees {\n  node [shape=box, fontname=Helvetica];\n"
                         "  edge [fontname=Helvetica, fontsize=10];\n");
    for (int32_t i = first; i <= last; i++) {
        qn_cleanup(qn_freep) char *title =
            qn_format("tree %d: %s", i, output_name(e, e->trees.output[i]));
        if (!title)
            return qn_error_memory(err);
        qn_buf_printf(out, "  subgraph cluster_%d {\n  color=none;\n  label=", i);
        put_quoted(title, out);
        qn_buf_put_text(out, ";\n");
        for (int64_t k = 0; k < e->trees.start[i + 1] - e->trees.start[i]; k++)
            QN_TRY(put_dot_node(e, i, k, out, err));
        qn_buf_put_text(out, "  }\n");
    }
    qn_buf_put_text(out, "}\n");
    return qn_buf_status(out, err);
}

/* ---- text ------------------------------------------------------------------------------------ */

typedef struct step {
    uint32_t node;
    uint32_t depth;
    char word[4]; /* "yes", "no" */
    bool passed;  /* the row comes by */
} step;

static void put_text_node(const qn__export *e, const qn_tree_node *node, const step *at,
                          qn_buf *out) {
    uint32_t indent = at->depth < MOST_INDENT ? at->depth : MOST_INDENT;
    qn_buf_printf(out, "%*s", (int)(2 * indent), "");
    if (at->depth > MOST_INDENT)
        qn_buf_printf(out, "(level %u) ", at->depth);
    if (*at->word)
        qn_buf_printf(out, "%s: ", at->word);
    const char *mark = at->passed ? "  <== this row" : "";
    if (node->feature < 0) {
        qn_buf_put_double(out, node->value);
        qn_buf_printf(out, "  (count %u)%s\n", node->count, mark);
        return;
    }
    put_test(e, node, out);
    qn_buf_printf(out, "?  missing: %s%s\n", node->missing_left ? "yes" : "no", mark);
}

static qn_status put_text_tree(const qn__export *e, int32_t tree, qn_buf *out, qn_error *err) {
    const qn_tree_node *nodes = e->trees.nodes + e->trees.start[tree];
    qn_cleanup(qn_freep) step *stack =
        qn_new_array(step, e->trees.start[tree + 1] - e->trees.start[tree]);
    if (!stack)
        return qn_error_memory(err);
    int64_t n = 1;
    while (n > 0) {
        step at = stack[--n];
        at.passed = is_passed(e, tree, at.node);
        const qn_tree_node *node = &nodes[at.node];
        put_text_node(e, node, &at, out);
        if (node->feature < 0)
            continue;
        stack[n++] = (step){node->right, at.depth + 1, "no", false};
        stack[n++] = (step){node->left, at.depth + 1, "yes", false};
    }
    return QN_OK;
}

qn_status qn__export_text(const qn__export *e, qn_buf *out, qn_error *err) {
    int32_t first, last;
    first_and_last(e, &first, &last);
    for (int32_t k = 0; k < e->trees.n_outputs; k++) {
        qn_buf_printf(out, "base of %s: ", output_name(e, k));
        qn_buf_put_double(out, e->trees.base[k]);
        qn_buf_put_char(out, '\n');
    }
    for (int32_t i = first; i <= last; i++) {
        qn_buf_printf(out, "\ntree %d, adds to %s\n", i, output_name(e, e->trees.output[i]));
        QN_TRY(put_text_tree(e, i, out, err));
    }
    return qn_buf_status(out, err);
}
