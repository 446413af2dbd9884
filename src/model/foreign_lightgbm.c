/* LightGBM's text model: lines of KEY=VALUE, a header and then a paragraph per tree.
 *
 * A node of a tree of n leaves is a split 0 .. n - 2; a child below 0 is leaf ~child. decision_type
 * is a byte: bit 0 a split of categories, bit 1 missing goes left, bits 2 and 3 what missing means: 0
 * nothing (NaN is read as 0), 1 zero or NaN, 2 NaN. After its src/io/tree.cpp and include/LightGBM/tree.h. */
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/text.h"
#include "model/foreign_int.h"

enum { TYPE_SET = 1, TYPE_LEFT = 2, MISSING_NONE = 0, MISSING_ZERO = 1, MISSING_NAN = 2 };

static const qn__foreign_objective objectives[] = {
    {"binary", QN_TASK_BINARY, QN_LINK_LOGIT, "binary"},
    {"cross_entropy", QN_TASK_REGRESSION, QN_LINK_LOGIT, "cross_entropy"},
    {"multiclass", QN_TASK_MULTICLASS, QN_LINK_SOFTMAX, "multiclass"},
    {"multiclassova", QN_TASK_MULTICLASS, QN_LINK_OVA, "multiclassova"},
    {"regression", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "regression"},
    {"regression_l1", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "regression_l1"},
    {"huber", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "huber"},
    {"fair", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "huber"},
    {"mape", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "regression_l1"},
    {"quantile", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "quantile"},
    {"poisson", QN_TASK_REGRESSION, QN_LINK_LOG, "poisson"},
    {"gamma", QN_TASK_REGRESSION, QN_LINK_LOG, "gamma"},
    {"tweedie", QN_TASK_REGRESSION, QN_LINK_LOG, "tweedie"},
    {"lambdarank", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "lambdarank"},
    {"rank_xendcg", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "lambdarank"},
    {"custom", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "regression"}, /* none is named */
};

/* ---- lines ----------------------------------------------------------------------------------- */

typedef struct span {
    const char *at; /* borrowed; NULL: not there */
    size_t n;
} span;

typedef struct reader {
    const char *at, *end; /* borrowed */
    int64_t line;         /* of the one read last, from 1 */
    qn__foreign *out;
    int64_t per_round;    /* trees a round */
    bool average;         /* of the rounds, not their sum */
    double sigmoid;
    uint8_t *missing;     /* owned; per input: 1 + what missing means in its splits; 0: unknown */
    qn_tree_node *nodes;  /* owned; of the tree being read */
    int64_t cap_nodes;
} reader;

static void reader_done(reader *r) {
    qn_freep(&r->missing);
    qn_freep(&r->nodes);
}

static qn_status damaged(const reader *r, qn_error *err, const char *what) {
    return qn_error_set(err, QN_ERR_FORMAT, "the LightGBM model is damaged at line %lld: %s",
                        (long long)r->line, what);
}

static bool next_line(reader *r, span *ret) {
    if (r->at == r->end)
        return false;
    const char *stop = memchr(r->at, '\n', (size_t)(r->end - r->at));
    size_t n = (size_t)((stop ? stop : r->end) - r->at);
    *ret = (span){r->at, n && r->at[n - 1] == '\r' ? n - 1 : n};
    r->at = stop ? stop + 1 : r->end;
    r->line++;
    return true;
}

static bool is(span text, const char *word) {
    return text.n == strlen(word) && memcmp(text.at, word, text.n) == 0;
}

/* Cuts KEY=VALUE; a line without '=' is a key. */
static void cut(span line, span *ret_key, span *ret_value) {
    const char *equals = memchr(line.at, '=', line.n);
    size_t n = equals ? (size_t)(equals - line.at) : line.n;
    *ret_key = (span){line.at, n};
    *ret_value = equals ? (span){equals + 1, line.n - n - 1} : (span){line.at + n, 0};
}

/* The next word of the text, cut off its front; false when there is none. */
static bool next_word(span *text, char separator, span *ret) {
    while (text->n && *text->at == separator)
        text->at++, text->n--;
    if (!text->n)
        return false;
    const char *stop = memchr(text->at, separator, text->n);
    size_t n = stop ? (size_t)(stop - text->at) : text->n;
    *ret = (span){text->at, n};
    text->at += n;
    text->n -= n;
    return true;
}

static bool to_double(span word, double *ret) {
    int64_t whole;
    double real;
    qn_number_kind kind = qn_number_parse(word.at, word.n, &whole, &real);
    *ret = real;
    return kind != QN_NUMBER_NONE;
}

static bool to_whole(span word, int64_t low, int64_t high, int64_t *ret) {
    int64_t whole;
    double real;
    qn_number_kind kind = qn_number_parse(word.at, word.n, &whole, &real);
    if (kind != QN_NUMBER_WHOLE || whole < low || whole > high)
        return false;
    *ret = whole;
    return true;
}

static char *copy(span text) {
    return qn_strndup(text.at, text.n);
}

/* ---- header ---------------------------------------------------------------------------------- */

typedef struct header {
    span objective, names, infos, per_round, last_feature;
    bool average;
} header;

static qn_status read_names(reader *r, span names, qn_error *err) {
    qn__foreign *f = r->out;
    span word;
    int32_t n = 0;
    for (; n < f->n_inputs && next_word(&names, ' ', &word); n++) {
        if (memchr(word.at, 0, word.n))
            return damaged(r, err, "a name of a feature holds a NUL");
        if (!(f->names[n] = copy(word)))
            return qn_error_memory(err);
        f->inputs[n].name = f->names[n];
    }
    if (n < f->n_inputs || next_word(&names, ' ', &word))
        return damaged(r, err, "feature_names does not name as many features as there are");
    return QN_OK;
}

/* "[low:high]" of a number, "0:3:5" of categories, "none" of what was the same everywhere. */
static qn_status read_info(reader *r, int32_t i, span info, qn_error *err) {
    qn_plain_input *input = &r->out->inputs[i];
    span part;
    if (info.n > 2 && info.at[0] == '[' && info.at[info.n - 1] == ']') {
        info = (span){info.at + 1, info.n - 2};
        double range[2] = {0, 0};
        for (int k = 0; k < 2; k++)
            if (!next_word(&info, ':', &part) || !to_double(part, &range[k]) || isnan(range[k]))
                return damaged(r, err, "a range in feature_infos");
        if (isfinite(range[0]) && isfinite(range[1]) && range[0] <= range[1]) {
            input->low = range[0];
            input->high = range[1];
        }
        return QN_OK;
    }
    if (is(info, "none"))
        return QN_OK;
    while (next_word(&info, ':', &part)) {
        int64_t code;
        if (!to_whole(part, -INT32_MAX, INT32_MAX, &code))
            return damaged(r, err, "a category in feature_infos");
        if (code >= 0) /* below 0 is missing */
            QN_TRY(qn__foreign_code(r->out, i, code, err));
    }
    return QN_OK;
}

static qn_status read_objective(reader *r, span text, qn_error *err) {
    qn__foreign *f = r->out;
    span word, name = {"custom", 6};
    r->sigmoid = 1;
    if (text.at && next_word(&text, ' ', &word))
        name = word;
    size_t n = name.n < sizeof f->objective - 1 ? name.n : sizeof f->objective - 1;
    if (!qn_text_is_utf8(name.at, n))
        return damaged(r, err, "the name of the objective");
    memcpy(f->objective, name.at, n);
    QN_TRY(qn__foreign_set_objective(f, objectives, sizeof objectives / sizeof *objectives,
                                     f->objective, err));
    while (text.at && next_word(&text, ' ', &word)) {
        QN_FAIL_IF(is(word, "sqrt"), err, QN_ERR_USAGE,
                   "LightGBM's reg_sqrt cannot be imported: a model here has no link that squares");
        if (word.n <= 8 || memcmp(word.at, "sigmoid:", 8) != 0)
            continue;
        if (!to_double((span){word.at + 8, word.n - 8}, &r->sigmoid) || !isfinite(r->sigmoid))
            return damaged(r, err, "the sigmoid of the objective");
    }
    return QN_OK;
}

static qn_status use_header(reader *r, const header *h, qn_error *err) {
    qn__foreign *f = r->out;
    int64_t last;
    if (!h->last_feature.at || !to_whole(h->last_feature, 0, INT32_MAX, &last))
        return damaged(r, err, "max_feature_idx");
    if (!h->per_round.at || !to_whole(h->per_round, 1, QN_LIMIT_CLASSES, &r->per_round))
        return damaged(r, err, "num_tree_per_iteration");
    QN_TRY(qn__foreign_inputs(f, last + 1, err));
    QN_TRY(read_names(r, h->names.at ? h->names : (span){"", 0}, err));
    QN_TRY(read_objective(r, h->objective, err));
    bool many = f->task == QN_TASK_MULTICLASS;
    QN_FAIL_IF((r->per_round > 1) != many, err, QN_ERR_USAGE,
               "LightGBM's objective %s with %lld trees a round cannot be imported", f->objective,
               (long long)r->per_round);
    f->trees.n_outputs = (int32_t)r->per_round;
    r->average = h->average;
    span infos = h->infos, info;
    for (int32_t i = 0; i < f->n_inputs && infos.at && next_word(&infos, ' ', &info); i++)
        QN_TRY(read_info(r, i, info, err));
    r->missing = qn_new_array(uint8_t, f->n_inputs);
    return r->missing ? QN_OK : qn_error_memory(err);
}

static qn_status read_header(reader *r, bool *ret_trees, qn_error *err) {
    header h = {0};
    span line, key, value;
    *ret_trees = false;
    while (!*ret_trees && next_line(r, &line)) {
        cut(line, &key, &value);
        if (is(key, "objective"))
            h.objective = value;
        else if (is(key, "feature_names"))
            h.names = value;
        else if (is(key, "feature_infos"))
            h.infos = value;
        else if (is(key, "num_tree_per_iteration"))
            h.per_round = value;
        else if (is(key, "max_feature_idx"))
            h.last_feature = value;
        else if (is(key, "average_output"))
            h.average = true;
        else if (is(key, "Tree"))
            *ret_trees = true;
        else if (is(key, "end of trees"))
            break;
    }
    return use_header(r, &h, err);
}

/* ---- trees ----------------------------------------------------------------------------------- */

enum {
    LEAVES, N_CATEGORIES, FEATURE, GAIN, THRESHOLD, TYPE, LEFT, RIGHT, LEAF_VALUE, LEAF_COUNT,
    CAT_BOUNDARIES, CAT_THRESHOLD, IS_LINEAR, N_FIELDS,
};

static const char *const field_names[N_FIELDS] = {
    "num_leaves", "num_cat", "split_feature", "split_gain", "threshold", "decision_type",
    "left_child", "right_child", "leaf_value", "leaf_count", "cat_boundaries", "cat_threshold",
    "is_linear",
};

typedef struct tree {
    span fields[N_FIELDS];
    int64_t n_leaves;
    int64_t *bounds;    /* owned; of the categories of the splits, in words */
    uint32_t *words;    /* owned */
    int64_t n_sets, n_words;
} tree;

static void tree_done(tree *t) {
    qn_freep(&t->bounds);
    qn_freep(&t->words);
}

static qn_status next_whole(const reader *r, tree *t, int field, int64_t low, int64_t high,
                            int64_t *ret, qn_error *err) {
    span word;
    if (!t->fields[field].at || !next_word(&t->fields[field], ' ', &word)
        || !to_whole(word, low, high, ret))
        return damaged(r, err, field_names[field]);
    return QN_OK;
}

static qn_status next_double(const reader *r, tree *t, int field, double *ret, qn_error *err) {
    span word;
    if (!t->fields[field].at || !next_word(&t->fields[field], ' ', &word) || !to_double(word, ret))
        return damaged(r, err, field_names[field]);
    return QN_OK;
}

static qn_status read_sets(const reader *r, tree *t, qn_error *err) {
    QN_TRY(next_whole(r, t, N_CATEGORIES, 0, t->n_leaves - 1, &t->n_sets, err));
    t->bounds = qn_new_array(int64_t, t->n_sets + 1);
    t->words = qn_new_array(uint32_t, t->fields[CAT_THRESHOLD].n / 2 + 1);
    if (!t->bounds || !t->words)
        return qn_error_memory(err);
    int64_t most = (int64_t)t->fields[CAT_THRESHOLD].n / 2 + 1, word;
    for (int64_t i = 0; t->n_sets && i <= t->n_sets; i++)
        QN_TRY(next_whole(r, t, CAT_BOUNDARIES, i ? t->bounds[i - 1] : 0, i ? most : 0,
                          &t->bounds[i], err));
    t->n_words = t->bounds[t->n_sets];
    for (int64_t i = 0; i < t->n_words; i++) {
        QN_TRY(next_whole(r, t, CAT_THRESHOLD, 0, UINT32_MAX, &word, err));
        t->words[i] = (uint32_t)word;
    }
    return QN_OK;
}

static qn_status put_set(reader *r, const tree *t, double index, qn_tree_node *node,
                         qn_error *err) {
    if (!(index >= 0 && index < (double)t->n_sets))
        return damaged(r, err, "a split of categories without its set");
    int64_t first = t->bounds[(int64_t)index], n = t->bounds[(int64_t)index + 1] - first;
    while (n > 0 && t->words[first + n - 1] == 0)
        n--;
    int64_t highest = n ? 32 * n - 1 - __builtin_clz(t->words[first + n - 1]) : 0;
    QN_TRY(qn__foreign_code(r->out, node->feature, highest, err));
    node->is_set = true;
    node->missing_left = false; /* what it means by right: not in the set */
    node->n_words = (uint32_t)n;
    return qn_trees_add_words(&r->out->trees, t->words + first, n, &node->first_word, err);
}

/* A feature has one meaning of missing in the whole model. */
static qn_status put_number(reader *r, int missing, qn_tree_node *node, qn_error *err) {
    uint8_t *known = &r->missing[node->feature];
    if (missing == MISSING_NONE)
        node->missing_left = 0 <= node->threshold;
    QN_FAIL_IF(*known && *known != 1 + missing && (missing == MISSING_ZERO || *known == 2), err,
               QN_ERR_USAGE, "feature %s of the LightGBM model takes 0 for missing in some splits "
               "only, which a model here cannot", r->out->names[node->feature]);
    *known = (uint8_t)(1 + missing);
    r->out->inputs[node->feature].zero_missing = missing == MISSING_ZERO;
    return QN_OK;
}

static qn_status read_split(reader *r, tree *t, qn_tree_node *node, qn_error *err) {
    int64_t feature, type, left, right, n_splits = t->n_leaves - 1;
    double threshold;
    *node = (qn_tree_node){0};
    QN_TRY(next_whole(r, t, FEATURE, 0, r->out->n_inputs - 1, &feature, err));
    QN_TRY(next_double(r, t, THRESHOLD, &threshold, err));
    QN_TRY(next_whole(r, t, TYPE, 0, 15, &type, err));
    QN_TRY(next_whole(r, t, LEFT, -t->n_leaves, n_splits - 1, &left, err));
    QN_TRY(next_whole(r, t, RIGHT, -t->n_leaves, n_splits - 1, &right, err));
    if (t->fields[GAIN].at)
        QN_TRY(next_double(r, t, GAIN, &node->gain, err));
    if (type >> 2 > MISSING_NAN)
        return damaged(r, err, "decision_type");
    node->feature = (int32_t)feature;
    node->left = (uint32_t)(left >= 0 ? left : n_splits + ~left);
    node->right = (uint32_t)(right >= 0 ? right : n_splits + ~right);
    if (type & TYPE_SET)
        return put_set(r, t, threshold, node, err);
    node->threshold = threshold;
    node->missing_left = type & TYPE_LEFT;
    return put_number(r, (int)(type >> 2), node, err);
}

static qn_status reserve(reader *r, int64_t n, qn_error *err) {
    if (n <= r->cap_nodes)
        return QN_OK;
    qn_tree_node *larger = qn_realloc(r->nodes, (size_t)n, sizeof *larger);
    if (!larger)
        return qn_error_memory(err);
    r->nodes = larger;
    r->cap_nodes = n;
    return QN_OK;
}

static qn_status use_tree(reader *r, tree *t, qn_error *err) {
    int64_t is_linear = 0;
    /* Each leaf takes two bytes of its line, which bounds what is allocated. */
    int64_t most = (int64_t)t->fields[LEAF_VALUE].n / 2 + 1;
    QN_TRY(next_whole(r, t, LEAVES, 1, most, &t->n_leaves, err));
    if (t->fields[IS_LINEAR].at)
        QN_TRY(next_whole(r, t, IS_LINEAR, 0, 1, &is_linear, err));
    QN_FAIL_IF(is_linear, err, QN_ERR_USAGE,
               "LightGBM's linear_tree cannot be imported: leaves here are constant");
    QN_TRY(reserve(r, 2 * t->n_leaves - 1, err));
    QN_TRY(read_sets(r, t, err));
    for (int64_t i = 0; i < t->n_leaves - 1; i++)
        QN_TRY(read_split(r, t, &r->nodes[i], err));
    bool counted = t->fields[LEAF_COUNT].n > 0;
    for (int64_t i = 0; i < t->n_leaves; i++) {
        qn_tree_node *leaf = &r->nodes[t->n_leaves - 1 + i];
        int64_t count = 1;
        *leaf = (qn_tree_node){.feature = -1};
        QN_TRY(next_double(r, t, LEAF_VALUE, &leaf->value, err));
        if (counted)
            QN_TRY(next_whole(r, t, LEAF_COUNT, 0, INT32_MAX, &count, err));
        leaf->value *= r->sigmoid;
        leaf->count = (uint32_t)count;
    }
    qn_trees *trees = &r->out->trees;
    qn_status status = qn_trees_add(trees, r->nodes, 2 * t->n_leaves - 1,
                                    trees->n_trees % trees->n_outputs, err);
    if (status != QN_OK && status != QN_ERR_MEMORY)
        qn_error_prefix(err, "LightGBM model, tree before line %lld", (long long)r->line);
    return status;
}

/* One paragraph; the line "Tree=N" has been read. */
static qn_status read_tree(reader *r, bool *ret_more, qn_error *err) {
    qn_cleanup(tree_done) tree t = {0};
    span line, key, value;
    *ret_more = false;
    while (next_line(r, &line)) {
        cut(line, &key, &value);
        if (is(key, "Tree")) {
            *ret_more = true;
            break;
        }
        if (is(key, "end of trees"))
            break;
        for (int k = 0; k < N_FIELDS; k++)
            if (is(key, field_names[k]))
                t.fields[k] = value;
    }
    return use_tree(r, &t, err);
}

static void average(qn_trees *t) {
    double n_rounds = (double)(t->n_trees / t->n_outputs);
    for (int64_t i = 0; t->n_trees && i < t->start[t->n_trees]; i++)
        if (t->nodes[i].feature < 0)
            t->nodes[i].value /= n_rounds;
}

qn_status qn__read_lightgbm(const char *bytes, size_t n, qn__foreign *foreign, qn_error *err) {
    qn_cleanup(reader_done) reader r = {.at = bytes, .end = bytes + n, .out = foreign};
    bool more;
    QN_TRY(read_header(&r, &more, err));
    while (more)
        QN_TRY(read_tree(&r, &more, err));
    if (foreign->trees.n_trees % r.per_round)
        return damaged(&r, err, "the last round lacks trees");
    if (r.average)
        average(&foreign->trees);
    return QN_OK;
}
