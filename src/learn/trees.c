#include "learn/trees.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "learn/family_int.h"
#include "learn/gbdt_int.h"
#include "learn/gbdt_prune_int.h"

void qn_trees_done(qn_trees *trees) {
    qn_freep(&trees->base);
    qn_freep(&trees->init_columns);
    qn_freep(&trees->output);
    qn_freep(&trees->start);
    qn_freep(&trees->nodes);
    qn_freep(&trees->words);
}

/* ---- adding ---------------------------------------------------------------------------------- */

static bool grow(void *address, int64_t n, size_t item_bytes) {
    void **pointer = address;
    void *larger = qn_realloc(*pointer, (size_t)n, item_bytes);
    if (larger)
        *pointer = larger;
    return larger != NULL;
}

static qn_status reserve(qn_trees *t, int64_t n_nodes, qn_error *err) {
    int64_t need = (t->n_trees ? t->start[t->n_trees] : 0) + n_nodes;
    QN_FAIL_IF(t->n_trees >= QN_LIMIT_TREES, err, QN_ERR_LIMIT, "a model has at most %d trees",
               QN_LIMIT_TREES);
    if (t->n_trees + 1 >= t->cap_trees) {
        int32_t cap = t->cap_trees ? 2 * t->cap_trees : 64;
        if (!grow(&t->start, cap + 1, sizeof *t->start)
            || !grow(&t->output, cap, sizeof *t->output))
            return qn_error_memory(err);
        t->cap_trees = cap;
        t->start[0] = 0;
    }
    if (need > t->cap_nodes) {
        int64_t cap = 2 * t->cap_nodes > need ? 2 * t->cap_nodes : need;
        if (!grow(&t->nodes, cap, sizeof *t->nodes))
            return qn_error_memory(err);
        t->cap_nodes = cap;
    }
    return QN_OK;
}

qn_status qn_trees_add_words(qn_trees *t, const uint32_t *words, int64_t n, int64_t *ret_first,
                             qn_error *err) {
    int64_t need = t->n_words + n;
    QN_FAIL_IF(need > QN_LIMIT_SET_WORDS, err, QN_ERR_LIMIT,
               "the categories of the splits take more than %d words", QN_LIMIT_SET_WORDS);
    if (need > t->cap_words) {
        int64_t cap = 2 * t->cap_words > need ? 2 * t->cap_words : need;
        if (!grow(&t->words, cap, sizeof *t->words))
            return qn_error_memory(err);
        t->cap_words = cap;
    }
    if (n > 0)
        memcpy(t->words + t->n_words, words, (size_t)n * sizeof *words);
    *ret_first = t->n_words;
    t->n_words = need;
    return QN_OK;
}

static qn_status check_node(const qn_trees *t, const qn_tree_node *node, qn_error *err) {
    if (node->feature < 0) {
        QN_FAIL_IF(!isfinite(node->value), err, QN_ERR_FORMAT, "the value of a leaf is not finite");
        return QN_OK;
    }
    QN_FAIL_IF(node->feature >= t->n_features, err, QN_ERR_FORMAT,
               "a split is by feature %d, and there are %d", node->feature, t->n_features);
    QN_FAIL_IF(!node->is_set && isnan(node->threshold), err, QN_ERR_FORMAT,
               "the threshold of a split is not a number");
    bool inside = node->first_word >= 0 && node->first_word + node->n_words <= t->n_words;
    QN_FAIL_IF(node->is_set && !inside, err, QN_ERR_FORMAT,
               "the categories of a split lie outside of those given");
    return QN_OK;
}

qn_status qn_trees_add(qn_trees *t, const qn_tree_node *nodes, int64_t n_nodes, int32_t output,
                       qn_error *err) {
    QN_FAIL_IF(n_nodes < 1 || n_nodes > QN_LIMIT_TREE_NODES, err, QN_ERR_LIMIT,
               "a tree has 1 to %d nodes, not %lld", QN_LIMIT_TREE_NODES, (long long)n_nodes);
    QN_FAIL_IF(output < 0 || output >= t->n_outputs, err, QN_ERR_FORMAT,
               "a tree adds to output %d, and there are %d", output, t->n_outputs);
    QN_TRY(reserve(t, n_nodes, err));
    qn_cleanup(qn_freep) uint32_t *queue = qn_new_array(uint32_t, n_nodes);
    qn_cleanup(qn_freep) uint8_t *seen = qn_new_array(uint8_t, n_nodes);
    if (!queue || !seen)
        return qn_error_memory(err);
    qn_tree_node *to = t->nodes + t->start[t->n_trees];
    uint32_t n_queued = 1;
    for (uint32_t i = 0; i < n_queued; i++) {
        const qn_tree_node *from = &nodes[queue[i]];
        QN_TRY(check_node(t, from, err));
        to[i] = *from;
        if (from->feature < 0) {
            to[i].count = from->count ? from->count : 1;
            continue;
        }
        uint32_t left = from->left, right = from->right;
        QN_FAIL_IF(left >= n_nodes || right >= n_nodes || left == 0 || right == 0 || left == right
                       || seen[left] || seen[right],
                   err, QN_ERR_FORMAT, "the nodes of a tree do not form a tree");
        seen[left] = seen[right] = 1;
        to[i].left = n_queued;
        to[i].right = n_queued + 1;
        queue[n_queued++] = left;
        queue[n_queued++] = right;
    }
    t->output[t->n_trees] = output;
    t->start[t->n_trees + 1] = t->start[t->n_trees] + n_queued;
    t->n_trees++;
    return QN_OK;
}

/* ---- packing --------------------------------------------------------------------------------- */

static uint32_t set_words(const qn_feature *feature) {
    return ((uint32_t)feature->n_categories + 31) / 32;
}

/* How many trees there are per output, the most of all; the words of all sets; that each split is of
 * the kind of its feature. */
static qn_status measure(const qn_trees *t, const qn_feature *features, int32_t *ret_rounds,
                         int64_t *ret_words, qn_error *err) {
    qn_cleanup(qn_freep) int32_t *per_output = qn_new_array(int32_t, t->n_outputs);
    if (!per_output)
        return qn_error_memory(err);
    int32_t most = 0;
    for (int32_t i = 0; i < t->n_trees; i++)
        if (++per_output[t->output[i]] > most)
            most = per_output[t->output[i]];
    QN_FAIL_IF((int64_t)most * t->n_outputs > QN_LIMIT_TREES, err, QN_ERR_LIMIT,
               "a model has at most %d trees", QN_LIMIT_TREES);
    int64_t n_words = 0, n_nodes = t->n_trees ? t->start[t->n_trees] : 0;
    for (int64_t i = 0; i < n_nodes; i++) {
        const qn_tree_node *node = &t->nodes[i];
        if (node->feature < 0)
            continue;
        const qn_feature *feature = &features[node->feature];
        QN_FAIL_IF(node->is_set != (feature->kind == QN_FEATURE_CATEGORY), err, QN_ERR_FORMAT,
                   "feature %s is split both as a number and as a category", feature->name);
        n_words += node->is_set ? set_words(feature) : 0;
    }
    QN_FAIL_IF(n_words > QN_LIMIT_SET_WORDS, err, QN_ERR_LIMIT,
               "the categories of the splits take more than %d words", QN_LIMIT_SET_WORDS);
    *ret_rounds = most;
    *ret_words = n_words;
    return QN_OK;
}

static qn_status plain_init(const qn_trees *t, int32_t rounds, int64_t n_words, qn__plain *m,
                            qn_error *err) {
    int64_t n_trees = (int64_t)rounds * t->n_outputs;
    int64_t n_nodes = (t->n_trees ? t->start[t->n_trees] : 0) + n_trees - t->n_trees;
    m->link = t->link;
    m->n_outputs = t->n_outputs;
    m->n_features = t->n_features;
    m->n_trees = (int32_t)n_trees;
    m->best_iteration = rounds;
    for (int32_t i = 1; qn__objective_names[i]; i++)
        if (strcmp(qn__objective_names[i], t->objective) == 0)
            m->objective = i;
    m->base = qn_new_array(double, t->n_outputs);
    m->start = qn_new_array(int64_t, n_trees + 1);
    m->nodes = qn_new_array(qn__plain_node, n_nodes);
    m->words = qn_new_array(uint32_t, n_words);
    m->slot_column = qn_new_array(int32_t, t->n_features);
    m->slot_gain = qn_new_array(double, t->n_features);
    m->slot_bins = qn_new_array(uint64_t, t->n_features);
    if (!m->base || !m->start || !m->nodes || !m->words || !m->slot_column || !m->slot_gain
        || !m->slot_bins)
        return qn_error_memory(err);
    if (t->init_columns && !(m->init_columns = qn_new_array(uint32_t, t->n_outputs)))
        return qn_error_memory(err);
    for (int32_t k = 0; t->init_columns && k < t->n_outputs; k++)
        m->init_columns[k] = t->init_columns[k];
    for (int32_t k = 0; t->base && k < t->n_outputs; k++)
        m->base[k] = t->base[k];
    return QN_OK;
}

/* Slots are the features that splits use; slot_of[n_features]. */
static void number_slots(const qn_trees *t, qn__plain *m, int32_t *slot_of) {
    int64_t n_nodes = t->n_trees ? t->start[t->n_trees] : 0;
    for (int64_t i = 0; i < n_nodes; i++)
        if (t->nodes[i].feature >= 0)
            slot_of[t->nodes[i].feature] = 1;
    for (int32_t c = 0; c < t->n_features; c++)
        if (slot_of[c]) {
            slot_of[c] = m->n_slots;
            m->slot_column[m->n_slots++] = c;
        }
    for (int64_t i = 0; i < n_nodes; i++) {
        double gain = t->nodes[i].feature >= 0 ? t->nodes[i].gain : 0;
        if (gain > 0 && gain <= 1e100) /* sums stay finite */
            m->slot_gain[slot_of[t->nodes[i].feature]] += gain;
    }
}

static void put_tree(const qn_trees *t, int32_t tree, const qn_feature *features,
                     const int32_t *slot_of, qn__plain *m, int64_t at) {
    int64_t start = t->start[tree], n = t->start[tree + 1] - start;
    for (int64_t i = 0; i < n; i++) {
        const qn_tree_node *from = &t->nodes[start + i];
        qn__plain_node *to = &m->nodes[at + i];
        if (from->feature < 0) {
            to->slot_flags = QN__NODE_LEAF;
            to->value = from->value;
            to->count = from->count;
            continue;
        }
        to->slot_flags = (uint32_t)slot_of[from->feature]
                         | (from->missing_left ? QN__NODE_MISSING_LEFT : 0);
        to->left = from->left;
        to->threshold = from->threshold;
        if (!from->is_set)
            continue;
        uint32_t n_words = set_words(&features[from->feature]);
        uint32_t n_given = from->n_words < n_words ? from->n_words : n_words;
        to->slot_flags |= QN__NODE_CATEGORY;
        to->set.first_word = (uint32_t)m->n_words;
        to->set.n_words = n_words;
        if (n_given > 0)
            memcpy(m->words + m->n_words, t->words + from->first_word, n_given * sizeof *t->words);
        m->n_words += n_words;
    }
}

/* Outputs take turns; one with fewer trees than others gets leaves of 0. */
static qn_status put_trees(const qn_trees *t, const qn_feature *features, const int32_t *slot_of,
                           qn__plain *m, qn_error *err) {
    qn_cleanup(qn_freep) int32_t *next = qn_new_array(int32_t, t->n_outputs);
    if (!next)
        return qn_error_memory(err);
    for (int32_t i = 0; i < m->n_trees; i++) {
        int32_t k = i % t->n_outputs;
        int64_t at = m->start[i];
        while (next[k] < t->n_trees && t->output[next[k]] != k)
            next[k]++;
        if (next[k] == t->n_trees) {
            m->nodes[at] = (qn__plain_node){.slot_flags = QN__NODE_LEAF, .count = 1};
            m->start[i + 1] = at + 1;
            continue;
        }
        int32_t tree = next[k]++;
        put_tree(t, tree, features, slot_of, m, at);
        m->start[i + 1] = at + t->start[tree + 1] - t->start[tree];
    }
    return QN_OK;
}

qn_status qn_trees_pack(const qn_trees *t, const qn_feature *features, qn_learner **ret_learner,
                        qn_error *err) {
    qn_cleanup(qn__plain_done) qn__plain m = {0};
    qn_cleanup(qn_freep) int32_t *slot_of = qn_new_array(int32_t, t->n_features);
    int32_t rounds;
    int64_t n_words;
    if (!slot_of)
        return qn_error_memory(err);
    QN_TRY(measure(t, features, &rounds, &n_words, err));
    QN_TRY(plain_init(t, rounds, n_words, &m, err));
    number_slots(t, &m, slot_of);
    QN_TRY(put_trees(t, features, slot_of, &m, err));
    return qn__gbdt_pack(&m, features, ret_learner, err);
}

/* ---- unpacking ------------------------------------------------------------------------------- */

static void node_of_plain(const qn__plain *m, const qn__plain_node *from, qn_tree_node *to) {
    uint32_t flags = from->slot_flags;
    if (flags & QN__NODE_LEAF) {
        *to = (qn_tree_node){.feature = -1, .value = from->value, .count = from->count};
        return;
    }
    *to = (qn_tree_node){.feature = m->slot_column[flags & QN__NODE_SLOT], .left = from->left,
                         .right = from->left + 1, .missing_left = flags & QN__NODE_MISSING_LEFT};
    if (flags & QN__NODE_CATEGORY) {
        to->is_set = true;
        to->first_word = from->set.first_word;
        to->n_words = from->set.n_words;
    } else {
        to->threshold = from->threshold;
    }
}

qn_status qn_trees_unpack(const qn_learner *learner, qn_trees *ret_trees, qn_error *err) {
    QN_FAIL_IF(learner->family != &qn__family_gbdt, err, QN_ERR_USAGE,
               "the model is of family %s, which has no boosted trees", learner->family->name);
    qn_cleanup(qn__plain_done) qn__plain m = {0};
    QN_TRY(qn__gbdt_unpack((const qn__gbdt *)learner, &m, err));
    qn_cleanup(qn_trees_done) qn_trees t = {.link = m.link, .n_outputs = m.n_outputs,
                                            .n_features = m.n_features,
                                            .objective = qn__objective_names[m.objective]};
    int64_t most = 1, first_word;
    for (int32_t i = 0; i < m.n_trees; i++)
        most = m.start[i + 1] - m.start[i] > most ? m.start[i + 1] - m.start[i] : most;
    qn_cleanup(qn_freep) qn_tree_node *nodes = qn_new_array(qn_tree_node, most);
    if (!nodes)
        return qn_error_memory(err);
    QN_TRY(qn_trees_add_words(&t, m.words, m.n_words, &first_word, err));
    for (int32_t i = 0; i < m.n_trees; i++) {
        int64_t n = m.start[i + 1] - m.start[i];
        for (int64_t k = 0; k < n; k++)
            node_of_plain(&m, &m.nodes[m.start[i] + k], &nodes[k]);
        QN_TRY(qn_trees_add(&t, nodes, n, i % m.n_outputs, err));
    }
    t.base = qn_steal(&m.base);
    t.init_columns = qn_steal(&m.init_columns);
    *ret_trees = t;
    t = (qn_trees){0};
    return QN_OK;
}
