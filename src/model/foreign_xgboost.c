/* XGBoost's JSON model, boosters gbtree and dart (its doc/model.schema and src/tree/tree_model.cc).
 *
 * A node is an index into the arrays of its tree. A number goes left when (float)x < condition; a
 * category that is listed goes right, any other left. Leaves are floats and are in split_conditions.
 * Keys come in any order, so objective and base score are made sense of at the end. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/scan.h"
#include "base/text.h"
#include "model/foreign_int.h"

static const qn__foreign_objective objectives[] = {
    {"binary:logistic", QN_TASK_BINARY, QN_LINK_LOGIT, "binary"},
    {"binary:logitraw", QN_TASK_BINARY, QN_LINK_LOGIT, "binary"},
    {"reg:logistic", QN_TASK_REGRESSION, QN_LINK_LOGIT, "cross_entropy"},
    {"multi:softprob", QN_TASK_MULTICLASS, QN_LINK_SOFTMAX, "multiclass"},
    {"multi:softmax", QN_TASK_MULTICLASS, QN_LINK_SOFTMAX, "multiclass"},
    {"reg:squarederror", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "regression"},
    {"reg:linear", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "regression"},
    {"reg:squaredlogerror", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "regression"},
    {"reg:pseudohubererror", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "huber"},
    {"reg:absoluteerror", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "regression_l1"},
    {"reg:quantileerror", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "quantile"},
    {"rank:pairwise", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "lambdarank"},
    {"rank:ndcg", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "lambdarank"},
    {"rank:map", QN_TASK_REGRESSION, QN_LINK_IDENTITY, "lambdarank"},
    {"count:poisson", QN_TASK_REGRESSION, QN_LINK_LOG, "poisson"},
    {"reg:gamma", QN_TASK_REGRESSION, QN_LINK_LOG, "gamma"},
    {"reg:tweedie", QN_TASK_REGRESSION, QN_LINK_LOG, "tweedie"},
    {"survival:cox", QN_TASK_REGRESSION, QN_LINK_LOG, "poisson"},
    {"survival:aft", QN_TASK_REGRESSION, QN_LINK_LOG, "poisson"},
};

double qn__float_cut(float condition) {
    if (!(condition > -INFINITY))
        return (double)NAN;
    double below = (double)nextafterf(condition, -INFINITY);
    /* Beyond the largest float the next one would be 2^128. */
    double above = isinf(condition) ? 0x1p128 : (double)condition;
    double cut = isinf(below) ? -0x1.ffffffp127 : below + (above - below) / 2;
    /* The value half way goes to the neighbour whose last bit is 0. */
    return (float)cut < condition ? cut : nextafter(cut, -(double)INFINITY);
}

/* ---- what is read ---------------------------------------------------------------------------- */

typedef struct numbers {
    double *x; /* owned */
    int64_t n, cap;
} numbers;

enum {
    LEFT, RIGHT, FEATURE, CONDITION, DEFAULT_LEFT, TYPE, GAIN, COVER, CATEGORIES, CATEGORY_NODES,
    CATEGORY_STARTS, CATEGORY_SIZES, N_ARRAYS,
};

static const char *const array_names[N_ARRAYS] = {
    "left_children", "right_children", "split_indices", "split_conditions", "default_left",
    "split_type", "loss_changes", "sum_hessian", "categories", "categories_nodes",
    "categories_segments", "categories_sizes",
};

typedef struct reader {
    qn_scan scan;
    qn__foreign *out;
    numbers arrays[N_ARRAYS]; /* of the tree being read */
    numbers tree_info, weight_drop;
    qn_tree_node *nodes;      /* owned; of the tree being read */
    int64_t cap_nodes;
    char **names;             /* owned, each owned */
    int64_t n_names;
    char *base;               /* owned; NULL: not there */
    char booster[32], n_class[16], n_target[16], n_feature[16];
    bool vector_leaves;
    int64_t most_feature;     /* the highest of all splits */
} reader;

static void reader_done(reader *r) {
    qn_scan_done(&r->scan);
    for (int k = 0; k < N_ARRAYS; k++)
        qn_freep(&r->arrays[k].x);
    qn_freep(&r->tree_info.x);
    qn_freep(&r->weight_drop.x);
    qn_freep(&r->nodes);
    qn_freep(&r->base);
    for (int64_t i = 0; i < r->n_names; i++)
        qn_freep(&r->names[i]);
    qn_freep(&r->names);
}

static bool is(qn_scan_string text, const char *word) {
    return text.n == strlen(word) && memcmp(text.bytes, word, text.n) == 0;
}

/* Numbers, or true and false. */
static qn_status read_numbers(qn_scan *scan, numbers *to, qn_error *err) {
    bool first = true;
    to->n = 0;
    if (!qn_scan_open(scan, '['))
        return QN_OK;
    while (qn_scan_item(scan, &first)) {
        int64_t whole;
        double real = 0;
        bool flag = false;
        char peek = qn_scan_peek(scan);
        if (peek == 't' || peek == 'f') {
            qn_scan_bool(scan, &flag);
            real = flag;
        } else if (qn_scan_number(scan, &whole, &real) == QN_NUMBER_NONE) {
            break;
        }
        if (to->n == to->cap) {
            int64_t cap = to->cap ? 2 * to->cap : 64;
            double *larger = qn_realloc(to->x, (size_t)cap, sizeof *larger);
            if (!larger)
                return qn_error_memory(err);
            to->x = larger;
            to->cap = cap;
        }
        to->x[to->n++] = real;
    }
    return QN_OK;
}

/* A short text; longer ones are cut. */
static void read_word(qn_scan *scan, char *to, size_t room) {
    qn_scan_string text;
    if (!qn_scan_text(scan, &text))
        return;
    size_t n = text.n < room ? text.n : room - 1;
    memcpy(to, text.bytes, n);
    to[n] = 0;
}

static qn_status problem(const char *what, qn_error *err) {
    return qn_error_set(err, QN_ERR_FORMAT, "the XGBoost model is damaged: %s", what);
}

/* ---- trees ----------------------------------------------------------------------------------- */

/* A whole number from low to high, or QN_ERR_FORMAT. */
static qn_status whole_at(const numbers *from, int64_t i, int64_t low, int64_t high,
                          const char *what, int64_t *ret, qn_error *err) {
    double x = i < from->n ? from->x[i] : (double)NAN;
    if (!(x >= (double)low && x <= (double)high) || x != floor(x))
        return problem(what, err);
    *ret = (int64_t)x;
    return QN_OK;
}

/* The listed categories of a split go right; here what is listed goes left, so children and the side
 * of missing values change places. */
static qn_status put_set(reader *r, int64_t i_set, qn_tree_node *node, qn_error *err) {
    const numbers *categories = &r->arrays[CATEGORIES];
    int64_t first, n, code, most = 0;
    QN_TRY(whole_at(&r->arrays[CATEGORY_STARTS], i_set, 0, categories->n, "categories_segments",
                    &first, err));
    QN_TRY(whole_at(&r->arrays[CATEGORY_SIZES], i_set, 0, categories->n - first,
                    "categories_sizes", &n, err));
    for (int64_t k = 0; k < n; k++) {
        QN_TRY(whole_at(categories, first + k, 0, QN_LIMIT_FOREIGN_CODES - 1, "categories", &code,
                        err));
        most = code > most ? code : most;
    }
    uint32_t n_words = (uint32_t)most / 32 + 1;
    qn_cleanup(qn_freep) uint32_t *words = qn_new_array(uint32_t, n_words);
    if (!words)
        return qn_error_memory(err);
    for (int64_t k = 0; k < n; k++) {
        uint32_t c = (uint32_t)categories->x[first + k];
        words[c >> 5] |= 1u << (c & 31);
    }
    uint32_t left = node->left;
    node->left = node->right;
    node->right = left;
    node->missing_left = !node->missing_left;
    node->is_set = true;
    node->n_words = n_words;
    return qn_trees_add_words(&r->out->trees, words, n_words, &node->first_word, err);
}

static qn_status put_node(reader *r, int64_t i, int64_t n, double count_unit, qn_error *err) {
    const numbers *a = r->arrays;
    qn_tree_node *node = &r->nodes[i];
    int64_t left, right, feature, default_left;
    double condition = a[CONDITION].x[i];
    *node = (qn_tree_node){.feature = -1, .value = (double)(float)condition};
    double count = a[COVER].n == n ? a[COVER].x[i] * count_unit : 1;
    node->count = count >= 1 && count <= 0x1p31 ? (uint32_t)count : 1;
    QN_TRY(whole_at(&a[LEFT], i, -1, n - 1, array_names[LEFT], &left, err));
    if (left < 0)
        return QN_OK;
    QN_TRY(whole_at(&a[RIGHT], i, 0, n - 1, array_names[RIGHT], &right, err));
    QN_TRY(whole_at(&a[FEATURE], i, 0, QN_LIMIT_COLUMNS - 1, array_names[FEATURE], &feature, err));
    QN_TRY(whole_at(&a[DEFAULT_LEFT], i, 0, 1, array_names[DEFAULT_LEFT], &default_left, err));
    node->feature = (int32_t)feature;
    node->left = (uint32_t)left;
    node->right = (uint32_t)right;
    node->missing_left = default_left;
    node->gain = a[GAIN].n == n ? a[GAIN].x[i] : 0;
    node->threshold = qn__float_cut((float)condition);
    r->most_feature = feature > r->most_feature ? feature : r->most_feature;
    return QN_OK;
}

static qn_status put_sets(reader *r, int64_t n, qn_error *err) {
    const numbers *a = r->arrays;
    for (int64_t k = 0; k < a[CATEGORY_NODES].n; k++) {
        int64_t at;
        QN_TRY(whole_at(&a[CATEGORY_NODES], k, 0, n - 1, array_names[CATEGORY_NODES], &at, err));
        if (r->nodes[at].feature < 0 || r->nodes[at].is_set)
            return problem(array_names[CATEGORY_NODES], err);
        QN_TRY(put_set(r, k, &r->nodes[at], err));
    }
    for (int64_t i = 0; i < n && a[TYPE].n == n; i++)
        if (r->nodes[i].feature >= 0 && (a[TYPE].x[i] != 0) != r->nodes[i].is_set)
            return problem(array_names[TYPE], err);
    return QN_OK;
}

/* XGBoost keeps hessians of rows, not their number: the same where they are whole, as of squared
 * errors; otherwise whole numbers of a fine unit keep the shares that explanations need. */
static double cover_unit(const numbers *cover, int64_t n) {
    bool whole = true;
    if (cover->n != n || !(cover->x[0] > 0))
        return 1;
    for (int64_t i = 0; i < n; i++)
        whole &= cover->x[i] == floor(cover->x[i]);
    return whole ? 1 : 0x1p30 / cover->x[0];
}

static qn_status use_tree(reader *r, qn_error *err) {
    const numbers *a = r->arrays;
    int64_t n = a[LEFT].n;
    for (int k = RIGHT; k <= DEFAULT_LEFT; k++)
        if (a[k].n != n)
            return problem("the arrays of a tree differ in length", err);
    if (n < 1)
        return problem("a tree without nodes", err);
    if (n > r->cap_nodes) {
        qn_tree_node *larger = qn_realloc(r->nodes, (size_t)n, sizeof *larger);
        if (!larger)
            return qn_error_memory(err);
        r->nodes = larger;
        r->cap_nodes = n;
    }
    double unit = cover_unit(&a[COVER], n);
    for (int64_t i = 0; i < n; i++)
        QN_TRY(put_node(r, i, n, unit, err));
    QN_TRY(put_sets(r, n, err));
    qn_status status = qn_trees_add(&r->out->trees, r->nodes, n, 0, err);
    if (status != QN_OK && status != QN_ERR_MEMORY)
        qn_error_prefix(err, "XGBoost model, tree %d", (int)r->out->trees.n_trees);
    return status;
}

static qn_status read_tree(reader *r, qn_error *err) {
    bool first = true;
    qn_scan_string key;
    for (int k = 0; k < N_ARRAYS; k++)
        r->arrays[k].n = 0;
    if (!qn_scan_open(&r->scan, '{'))
        return QN_OK;
    while (qn_scan_member(&r->scan, &first, &key)) {
        numbers *to = NULL;
        for (int k = 0; k < N_ARRAYS; k++)
            to = is(key, array_names[k]) ? &r->arrays[k] : to;
        if (to)
            QN_TRY(read_numbers(&r->scan, to, err));
        else
            qn_scan_skip(&r->scan);
    }
    return r->scan.problem ? QN_OK : use_tree(r, err);
}

static qn_status read_trees(reader *r, qn_error *err) {
    bool first = true;
    if (qn_scan_open(&r->scan, '['))
        while (qn_scan_item(&r->scan, &first))
            QN_TRY(read_tree(r, err));
    return QN_OK;
}

/* ---- around them ----------------------------------------------------------------------------- */

static void read_tree_params(reader *r) {
    bool first = true;
    qn_scan_string key;
    char size[16] = "";
    if (!qn_scan_open(&r->scan, '{'))
        return;
    while (qn_scan_member(&r->scan, &first, &key)) {
        if (is(key, "size_leaf_vector"))
            read_word(&r->scan, size, sizeof size);
        else
            qn_scan_skip(&r->scan);
    }
    r->vector_leaves = *size && strcmp(size, "0") != 0 && strcmp(size, "1") != 0;
}

static qn_status read_model(reader *r, qn_error *err) {
    bool first = true;
    qn_scan_string key;
    if (!qn_scan_open(&r->scan, '{'))
        return QN_OK;
    while (qn_scan_member(&r->scan, &first, &key)) {
        if (is(key, "gbtree_model_param"))
            read_tree_params(r);
        else if (is(key, "tree_info"))
            QN_TRY(read_numbers(&r->scan, &r->tree_info, err));
        else if (is(key, "trees"))
            QN_TRY(read_trees(r, err));
        else
            qn_scan_skip(&r->scan);
    }
    return QN_OK;
}

/* dart has a whole gbtree within. */
static qn_status read_booster(reader *r, bool within, qn_error *err) {
    bool first = true;
    qn_scan_string key;
    char name[sizeof r->booster] = "";
    if (!qn_scan_open(&r->scan, '{'))
        return QN_OK;
    while (qn_scan_member(&r->scan, &first, &key)) {
        if (is(key, "name"))
            read_word(&r->scan, name, sizeof name);
        else if (is(key, "model"))
            QN_TRY(read_model(r, err));
        else if (is(key, "gbtree") && !within)
            QN_TRY(read_booster(r, true, err));
        else if (is(key, "weight_drop"))
            QN_TRY(read_numbers(&r->scan, &r->weight_drop, err));
        else
            qn_scan_skip(&r->scan);
    }
    if (!within)
        memcpy(r->booster, name, sizeof name);
    return QN_OK;
}

static qn_status read_names(reader *r, qn_error *err) {
    bool first = true;
    qn_scan_string text;
    if (!qn_scan_open(&r->scan, '['))
        return QN_OK;
    while (qn_scan_item(&r->scan, &first) && qn_scan_text(&r->scan, &text)) {
        QN_FAIL_IF(r->n_names == QN_LIMIT_COLUMNS, err, QN_ERR_LIMIT,
                   "the model has more than %d inputs", QN_LIMIT_COLUMNS);
        char **larger = qn_realloc(r->names, (size_t)r->n_names + 1, sizeof *larger);
        if (!larger)
            return qn_error_memory(err);
        r->names = larger;
        if (!(r->names[r->n_names] = qn_strndup(text.bytes, text.n)))
            return qn_error_memory(err);
        r->n_names++;
    }
    return QN_OK;
}

static qn_status read_params(reader *r, qn_error *err) {
    bool first = true;
    qn_scan_string key, text;
    if (!qn_scan_open(&r->scan, '{'))
        return QN_OK;
    while (qn_scan_member(&r->scan, &first, &key)) {
        if (is(key, "base_score") && !r->base) {
            if (qn_scan_text(&r->scan, &text) && !(r->base = qn_strndup(text.bytes, text.n)))
                return qn_error_memory(err);
        } else if (is(key, "num_class"))
            read_word(&r->scan, r->n_class, sizeof r->n_class);
        else if (is(key, "num_target"))
            read_word(&r->scan, r->n_target, sizeof r->n_target);
        else if (is(key, "num_feature"))
            read_word(&r->scan, r->n_feature, sizeof r->n_feature);
        else
            qn_scan_skip(&r->scan);
    }
    return QN_OK;
}

static void read_objective(reader *r) {
    bool first = true;
    qn_scan_string key;
    if (!qn_scan_open(&r->scan, '{'))
        return;
    while (qn_scan_member(&r->scan, &first, &key)) {
        if (is(key, "name"))
            read_word(&r->scan, r->out->objective, sizeof r->out->objective);
        else
            qn_scan_skip(&r->scan);
    }
}

static qn_status read_learner(reader *r, qn_error *err) {
    bool first = true;
    qn_scan_string key;
    if (!qn_scan_open(&r->scan, '{'))
        return QN_OK;
    while (qn_scan_member(&r->scan, &first, &key)) {
        if (is(key, "feature_names"))
            QN_TRY(read_names(r, err));
        else if (is(key, "gradient_booster"))
            QN_TRY(read_booster(r, false, err));
        else if (is(key, "learner_model_param"))
            QN_TRY(read_params(r, err));
        else if (is(key, "objective"))
            read_objective(r);
        else
            qn_scan_skip(&r->scan);
    }
    return QN_OK;
}

static qn_status read_all(reader *r, qn_error *err) {
    bool first = true;
    qn_scan_string key;
    if (qn_scan_open(&r->scan, '{'))
        while (qn_scan_member(&r->scan, &first, &key)) {
            if (is(key, "learner"))
                QN_TRY(read_learner(r, err));
            else
                qn_scan_skip(&r->scan);
        }
    if (!qn_scan_finish(&r->scan))
        return qn_scan_error(&r->scan, "the XGBoost model", err);
    return QN_OK;
}

/* ---- making sense of it ---------------------------------------------------------------------- */

static qn_status whole_of(const char *text, int64_t preset, int64_t high, const char *what,
                          int64_t *ret, qn_error *err) {
    *ret = preset;
    if (*text && (!qn_text_to_i64(text, ret) || *ret < 0 || *ret > high))
        return problem(what, err);
    return QN_OK;
}

static qn_status check_booster(const reader *r, qn_error *err) {
    int64_t n_target;
    QN_FAIL_IF(strcmp(r->booster, "gblinear") == 0, err, QN_ERR_USAGE,
               "XGBoost's booster gblinear cannot be imported: its boosters gbtree and dart can");
    if (strcmp(r->booster, "gbtree") != 0 && strcmp(r->booster, "dart") != 0)
        return problem("it has no booster gbtree or dart", err);
    QN_TRY(whole_of(r->n_target, 1, INT32_MAX, "num_target", &n_target, err));
    QN_FAIL_IF(n_target > 1 || r->vector_leaves, err, QN_ERR_USAGE,
               "an XGBoost model of several targets cannot be imported: a model here has one");
    return QN_OK;
}

static qn_status name_inputs(reader *r, qn_error *err) {
    qn__foreign *f = r->out;
    int64_t n;
    QN_TRY(whole_of(r->n_feature, r->n_names, INT32_MAX, "num_feature", &n, err));
    if (n == 0)
        n = r->n_names ? r->n_names : r->most_feature + 1;
    if (r->n_names > 0 && r->n_names != n)
        return problem("feature_names does not name as many features as there are", err);
    if (r->most_feature >= n)
        return problem("a split by a feature that is not there", err);
    QN_TRY(qn__foreign_inputs(f, n, err));
    for (int32_t i = 0; i < f->n_inputs; i++) {
        f->names[i] = r->n_names ? qn_steal(&r->names[i]) : qn_format("f%d", i);
        if (!(f->inputs[i].name = f->names[i]))
            return qn_error_memory(err);
    }
    return QN_OK;
}

/* The base score is in the space of predictions: its link is undone here, as XGBoost does. */
static qn_status set_base(reader *r, qn_error *err) {
    qn_trees *t = &r->out->trees;
    t->base = qn_new_array(double, t->n_outputs);
    if (!t->base)
        return qn_error_memory(err);
    char *rest = r->base;
    double x = 0.5;
    int32_t n_given = 0;
    size_t n = rest ? strlen(rest) : 0;
    if (n >= 2 && rest[0] == '[' && rest[n - 1] == ']') {
        rest[n - 1] = 0;
        rest++;
    }
    for (int32_t k = 0; k < t->n_outputs; k++) {
        const char *item = rest ? strsep(&rest, ",") : "";
        if (*item && (!qn_text_to_double(item, &x) || n_given++ != k))
            return problem("base_score", err);
        double base = (double)(float)x;
        if (t->link == QN_LINK_LOGIT)
            base = -log(1 / base - 1);
        else if (t->link == QN_LINK_LOG)
            base = log(base);
        if (!isfinite(base))
            return problem("base_score", err);
        t->base[k] = base;
    }
    /* One for all outputs, or one for each. */
    return rest || (n_given > 1 && n_given != t->n_outputs) ? problem("base_score", err) : QN_OK;
}

static qn_status place_trees(reader *r, qn_error *err) {
    qn_trees *t = &r->out->trees;
    bool dart = strcmp(r->booster, "dart") == 0;
    if (r->tree_info.n != t->n_trees || (dart && r->weight_drop.n != t->n_trees))
        return problem("tree_info or weight_drop has not as many items as there are trees", err);
    for (int32_t i = 0; i < t->n_trees; i++) {
        int64_t output;
        QN_TRY(whole_at(&r->tree_info, i, 0, t->n_outputs - 1, "tree_info", &output, err));
        t->output[i] = (int32_t)output;
        for (int64_t k = t->start[i]; dart && k < t->start[i + 1]; k++) {
            t->nodes[k].value *= r->weight_drop.x[i];
            if (!isfinite(t->nodes[k].value))
                return problem("weight_drop", err);
        }
    }
    return QN_OK;
}

/* Codes that no split lists go left in XGBoost. Ours takes codes it does not know for missing, which
 * may go elsewhere: there it must know many. */
static qn_status know_codes(qn__foreign *f, qn_error *err) {
    const qn_trees *t = &f->trees;
    qn_cleanup(qn_freep) bool *differs = qn_new_array(bool, f->n_inputs);
    if (!differs)
        return qn_error_memory(err);
    for (int64_t i = 0; t->n_trees && i < t->start[t->n_trees]; i++) {
        const qn_tree_node *node = &t->nodes[i];
        if (node->feature < 0 || !node->is_set)
            continue;
        uint32_t last = t->words[node->first_word + node->n_words - 1];
        int64_t most = 32 * (int64_t)node->n_words - 1 - (last ? __builtin_clz(last) : 31);
        QN_TRY(qn__foreign_code(f, node->feature, most, err));
        differs[node->feature] |= node->missing_left;
    }
    for (int32_t i = 0; i < f->n_inputs; i++) {
        int32_t n = f->inputs[i].n_codes, enough = n < 512 ? 1024 : 2 * n;
        if (n > 0 && differs[i])
            f->inputs[i].n_codes = enough < QN_LIMIT_FOREIGN_CODES ? enough
                                                                   : QN_LIMIT_FOREIGN_CODES;
    }
    return QN_OK;
}

qn_status qn__read_xgboost(const char *bytes, size_t n, qn__foreign *foreign, qn_error *err) {
    qn_cleanup(reader_done) reader r = {.out = foreign};
    int64_t n_class;
    /* Until the end it is not known how many inputs and outputs there are. */
    foreign->trees.n_features = QN_LIMIT_COLUMNS;
    foreign->trees.n_outputs = 1;
    qn_scan_init(&r.scan, bytes, n);
    QN_TRY(read_all(&r, err));
    QN_TRY(check_booster(&r, err));
    QN_FAIL_IF(strcmp(foreign->objective, "binary:hinge") == 0, err, QN_ERR_USAGE,
               "XGBoost's objective binary:hinge cannot be imported: it gives no probability");
    QN_TRY(qn__foreign_set_objective(foreign, objectives, sizeof objectives / sizeof *objectives,
                                     foreign->objective, err));
    QN_TRY(name_inputs(&r, err));
    QN_TRY(whole_of(r.n_class, 0, QN_LIMIT_CLASSES, "num_class", &n_class, err));
    if (foreign->task == QN_TASK_MULTICLASS ? n_class < 2 : n_class > 1)
        return problem("num_class does not fit the objective", err);
    foreign->trees.n_outputs = n_class > 1 ? (int32_t)n_class : 1;
    QN_TRY(set_base(&r, err));
    QN_TRY(place_trees(&r, err));
    return know_codes(foreign, err);
}
