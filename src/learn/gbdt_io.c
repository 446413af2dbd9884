/* The bytes of a model, all little-endian:
 *
 *   u32 version (1)  u32 link  u32 n_outputs  u32 n_features  u32 objective  u32 best_iteration
 *   u32 n_trees  u32 n_slots                        f64 base[n_outputs]
 *   n_slots x { u32 column  f64 gain  u64 bins }    columns ascending
 *   n_trees x { u32 n_nodes, nodes }                breadth-first; children are the next two not yet taken
 *     leaf:     u32 LEAF            f64 value  u32 count
 *     numeric:  u32 flags | slot    f64 threshold
 *     category: u32 flags | slot    u32 n_words  u32 words[n_words]
 *
 * No node holds an index of a node: order alone gives the shape, so that no bytes can make a
 * cycle. */
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "learn/family_int.h"
#include "learn/gbdt_int.h"

enum { VERSION = 1 };

static void put_node(const qn__gbdt *m, int64_t at, qn_buf *out) {
    const qn__gbdt_node *node = &m->nodes[at];
    if (node->slot_flags & QN__NODE_LEAF) {
        qn_buf_put_u32(out, (uint32_t)QN__NODE_LEAF);
        qn_buf_put_f64(out, m->value[at]);
        qn_buf_put_u32(out, m->count[at]);
        return;
    }
    qn_buf_put_u32(out, node->slot_flags);
    if (!(node->slot_flags & QN__NODE_CATEGORY)) {
        qn_buf_put_f64(out, node->threshold);
        return;
    }
    qn_buf_put_u32(out, node->set.n_words);
    for (uint32_t w = 0; w < node->set.n_words; w++)
        qn_buf_put_u32(out, m->words[node->set.first_word + w]);
}

qn_status qn__gbdt_save(const qn_learner *learner, qn_buf *out, qn_error *err) {
    const qn__gbdt *m = (const qn__gbdt *)learner;
    qn_buf_put_u32(out, VERSION);
    qn_buf_put_u32(out, (uint32_t)learner->link);
    qn_buf_put_u32(out, (uint32_t)learner->n_outputs);
    qn_buf_put_u32(out, (uint32_t)learner->n_features);
    qn_buf_put_u32(out, (uint32_t)m->objective);
    qn_buf_put_u32(out, (uint32_t)m->best_iteration);
    qn_buf_put_u32(out, (uint32_t)m->n_trees);
    qn_buf_put_u32(out, (uint32_t)m->n_slots);
    for (int32_t k = 0; k < learner->n_outputs; k++)
        qn_buf_put_f64(out, m->base[k]);
    for (int32_t s = 0; s < m->n_slots; s++) {
        qn_buf_put_u32(out, (uint32_t)m->slot_column[s]);
        qn_buf_put_f64(out, m->slot_gain[s]);
        qn_buf_put_u64(out, m->slot_bins[s]);
    }
    for (int32_t t = 0; t < m->n_trees; t++) {
        qn_buf_put_u32(out, (uint32_t)(m->start[t + 1] - m->start[t]));
        for (int64_t i = m->start[t]; i < m->start[t + 1]; i++)
            put_node(m, i, out);
    }
    return qn_buf_status(out, err);
}

static qn_status damaged(qn_error *err, const char *what) {
    return qn_error_set(err, QN_ERR_FORMAT, "the trees of the model are damaged: %s", what);
}

static qn_status read_header(qn_reader *in, qn__gbdt *m, int32_t n_features, qn_error *err) {
    uint32_t version = qn_reader_u32(in);
    QN_FAIL_IF(version != VERSION, err, QN_ERR_FORMAT,
               "gbdt version %u is not one this build reads", version);
    uint32_t link = qn_reader_u32(in), n_outputs = qn_reader_u32(in);
    uint32_t features = qn_reader_u32(in), objective = qn_reader_u32(in);
    uint32_t best = qn_reader_u32(in), n_trees = qn_reader_u32(in), n_slots = qn_reader_u32(in);
    uint32_t n_objectives = 0;
    while (qn__objective_names[n_objectives])
        n_objectives++;
    if (in->failed || link > QN_LINK_LOG || n_outputs < 1 || n_outputs > QN_LIMIT_CLASSES
        || features != (uint32_t)n_features || objective < 1 || objective >= n_objectives
        || n_trees > QN_LIMIT_TREES || n_trees % n_outputs || best > n_trees / n_outputs
        || n_slots > features || (n_outputs > 1) != (link == QN_LINK_SOFTMAX))
        return damaged(err, "its header");
    /* Each tree takes at least 20 bytes, each slot 20, each output 8: no count can ask for more
     * memory than a small multiple of the bytes given. */
    size_t least = (size_t)n_trees * 20 + (size_t)n_slots * 20 + (size_t)n_outputs * 8;
    if (least > in->len - in->pos)
        return damaged(err, "its counts");
    m->learner = (qn_learner){.family = &qn__family_gbdt, .link = (qn_link)link,
                              .n_outputs = (int32_t)n_outputs, .n_features = n_features};
    m->objective = (int32_t)objective;
    m->best_iteration = (int32_t)best;
    m->n_trees = (int32_t)n_trees;
    m->n_slots = (int32_t)n_slots;
    return QN_OK;
}

static qn_status read_slots(qn_reader *in, qn__gbdt *m, qn_error *err) {
    for (int32_t k = 0; k < m->learner.n_outputs; k++)
        if (!isfinite(m->base[k] = qn_reader_f64(in)))
            return damaged(err, "a base score");
    for (int32_t s = 0; s < m->n_slots; s++) {
        uint32_t column = qn_reader_u32(in);
        m->slot_gain[s] = qn_reader_f64(in);
        m->slot_bins[s] = qn_reader_u64(in);
        if (in->failed || column >= (uint32_t)m->learner.n_features
            || (s > 0 && column <= (uint32_t)m->slot_column[s - 1]) || !isfinite(m->slot_gain[s])
            || m->slot_gain[s] < 0 || m->slot_bins[s] > UINT32_MAX)
            return damaged(err, "a feature");
        m->slot_column[s] = (int32_t)column;
    }
    return QN_OK;
}

static qn_status read_set(qn_reader *in, qn__gbdt *m, const qn_feature *feature,
                          qn__gbdt_node *node, qn_error *err) {
    uint32_t n_words = qn_reader_u32(in);
    if (in->failed || n_words != ((uint32_t)feature->n_categories + 31) / 32)
        return damaged(err, "the size of a category set");
    node->set.first_word = (uint32_t)m->n_words;
    node->set.n_words = n_words;
    for (uint32_t w = 0; w < n_words && !in->failed; w++)
        m->words[m->n_words++] = qn_reader_u32(in);
    return in->failed ? damaged(err, "a category set") : QN_OK;
}

static qn_status read_split(qn_reader *in, qn__gbdt *m, const qn_feature *features, uint32_t flags,
                            qn__gbdt_node *node, qn_error *err) {
    uint32_t slot = flags & QN__NODE_SLOT;
    if (slot >= (uint32_t)m->n_slots)
        return damaged(err, "the feature of a split");
    const qn_feature *feature = &features[m->slot_column[slot]];
    bool is_set = flags & QN__NODE_CATEGORY;
    if (is_set != (feature->kind == QN_FEATURE_CATEGORY))
        return damaged(err, "a split of the wrong kind");
    node->slot_flags = flags;
    if (is_set)
        return read_set(in, m, feature, node, err);
    node->threshold = qn_reader_f64(in);
    return isnan(node->threshold) ? damaged(err, "a threshold") : QN_OK;
}

/* Inner nodes count the rows of their children; steps from the root go into `level`. */
static qn_status finish_tree(qn__gbdt *m, int32_t tree, qn_error *err) {
    int64_t start = m->start[tree], n = m->start[tree + 1] - start;
    for (int64_t i = n - 1; i >= 0; i--) {
        const qn__gbdt_node *node = &m->nodes[start + i];
        if (node->slot_flags & QN__NODE_LEAF)
            continue;
        uint64_t sum = (uint64_t)m->count[start + node->left] + m->count[start + node->left + 1];
        if (sum > INT32_MAX)
            return damaged(err, "the row counts");
        m->count[start + i] = (uint32_t)sum;
    }
    /* Breadth-first: a level ends where the children of its last node end. */
    int32_t depth = 0;
    for (int64_t end = 1, next = 1, i = 0; i < n; i++) {
        if (i == end) {
            depth++;
            end = next;
        }
        if (!(m->nodes[start + i].slot_flags & QN__NODE_LEAF))
            next += 2;
    }
    m->depth[tree] = depth;
    return QN_OK;
}

static qn_status read_tree(qn_reader *in, qn__gbdt *m, int32_t tree, const qn_feature *features,
                           int64_t max_nodes, qn_error *err) {
    uint32_t n = qn_reader_u32(in);
    int64_t start = m->start[tree];
    if (in->failed || n < 1 || n % 2 == 0 || n > QN_LIMIT_TREE_NODES || n > max_nodes - start)
        return damaged(err, "the size of a tree");
    uint32_t next = 1;
    for (uint32_t i = 0; i < n; i++) {
        qn__gbdt_node *node = &m->nodes[start + i];
        uint32_t flags = qn_reader_u32(in);
        if (i >= next)
            return damaged(err, "a node without parent");
        if (flags == QN__NODE_LEAF) {
            *node = (qn__gbdt_node){.threshold = INFINITY, .left = i,
                                    .slot_flags = QN__NODE_LEAF | QN__NODE_MISSING_LEFT};
            m->value[start + i] = qn_reader_f64(in);
            m->count[start + i] = qn_reader_u32(in);
            if (in->failed || !isfinite(m->value[start + i]) || m->count[start + i] < 1)
                return damaged(err, "a leaf");
            continue;
        }
        if (in->failed || flags & QN__NODE_LEAF || next + 2 > n)
            return damaged(err, "a split");
        QN_TRY(read_split(in, m, features, flags, node, err));
        node->left = next;
        next += 2;
        m->has_sets[tree] |= (flags & QN__NODE_CATEGORY) != 0;
    }
    if (next != n)
        return damaged(err, "the shape of a tree");
    m->start[tree + 1] = start + n;
    return finish_tree(m, tree, err);
}

static void model_free(qn__gbdt **m) {
    if (*m)
        qn__gbdt_free(&(*m)->learner);
    *m = NULL;
}

/* A node takes at least 12 bytes and a word 4, which bounds what is allocated here. */
static qn_status allocate(const qn_reader *in, qn__gbdt *m, int64_t *ret_max_nodes, qn_error *err) {
    size_t rest = in->len - in->pos;
    *ret_max_nodes = (int64_t)(rest / 12);
    m->start = qn_new_array(int64_t, m->n_trees + 1);
    m->depth = qn_new_array(int32_t, m->n_trees);
    m->has_sets = qn_new_array(bool, m->n_trees);
    m->base = qn_new_array(double, m->learner.n_outputs);
    m->slot_column = qn_new_array(int32_t, m->n_slots);
    m->slot_gain = qn_new_array(double, m->n_slots);
    m->slot_bins = qn_new_array(uint64_t, m->n_slots);
    m->nodes = qn_new_array(qn__gbdt_node, *ret_max_nodes);
    m->value = qn_new_array(double, *ret_max_nodes);
    m->count = qn_new_array(uint32_t, *ret_max_nodes);
    m->words = qn_new_array(uint32_t, rest / 4);
    if (!m->start || !m->depth || !m->has_sets || !m->base || !m->slot_column || !m->slot_gain
        || !m->slot_bins || !m->nodes || !m->value || !m->count || !m->words)
        return qn_error_memory(err);
    return QN_OK;
}

static void shrink(qn__gbdt *m) {
    size_t n = (size_t)m->start[m->n_trees];
    void *p;
    if ((p = qn_realloc(m->nodes, n, sizeof *m->nodes)))
        m->nodes = p;
    if ((p = qn_realloc(m->value, n, sizeof *m->value)))
        m->value = p;
    if ((p = qn_realloc(m->count, n, sizeof *m->count)))
        m->count = p;
    /* Prediction reads a word even where sets have none. */
    if ((p = qn_realloc(m->words, (size_t)m->n_words + 1, sizeof *m->words)))
        m->words = p;
}

qn_status qn__gbdt_load(const void *bytes, size_t n, const qn_feature *features, int32_t n_features,
                        qn_learner **ret_learner, qn_error *err) {
    qn_reader in = {.data = bytes, .len = n};
    qn_cleanup(model_free) qn__gbdt *m = qn_new(qn__gbdt);
    if (!m)
        return qn_error_memory(err);
    int64_t max_nodes;
    QN_TRY(read_header(&in, m, n_features, err));
    QN_TRY(allocate(&in, m, &max_nodes, err));
    QN_TRY(read_slots(&in, m, err));
    for (int32_t t = 0; t < m->n_trees; t++)
        QN_TRY(read_tree(&in, m, t, features, max_nodes, err));
    if (in.failed || in.pos != in.len)
        return damaged(err, "bytes are left over");
    shrink(m);
    *ret_learner = &qn_steal(&m)->learner;
    return QN_OK;
}
