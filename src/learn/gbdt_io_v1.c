/* Reads version 1 of the gbdt section, which early builds wrote; docs/FORMAT.md has its layout. No
 * node holds an index of a node: order alone gives the shape, so that no bytes can make a cycle. */
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "learn/gbdt_int.h"

static qn_status damaged(qn_error *err, const char *what) {
    return qn_error_set(err, QN_ERR_FORMAT, "the trees of the model are damaged: %s", what);
}

static qn_status read_header(qn_reader *in, qn__plain *m, int32_t n_features, qn_error *err) {
    (void)qn_reader_u32(in); /* the version, which brought us here */
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
    m->link = (qn_link)link;
    m->n_outputs = (int32_t)n_outputs;
    m->n_features = n_features;
    m->objective = (int32_t)objective;
    m->best_iteration = (int32_t)best;
    m->n_trees = (int32_t)n_trees;
    m->n_slots = (int32_t)n_slots;
    return QN_OK;
}

static qn_status read_slots(qn_reader *in, qn__plain *m, qn_error *err) {
    for (int32_t k = 0; k < m->n_outputs; k++)
        if (!isfinite(m->base[k] = qn_reader_f64(in)))
            return damaged(err, "a base score");
    for (int32_t s = 0; s < m->n_slots; s++) {
        uint32_t column = qn_reader_u32(in);
        m->slot_gain[s] = qn_reader_f64(in);
        m->slot_bins[s] = qn_reader_u64(in);
        if (in->failed || column >= (uint32_t)m->n_features
            || (s > 0 && column <= (uint32_t)m->slot_column[s - 1]) || !isfinite(m->slot_gain[s])
            || m->slot_gain[s] < 0 || m->slot_bins[s] > UINT32_MAX)
            return damaged(err, "a feature");
        m->slot_column[s] = (int32_t)column;
    }
    return QN_OK;
}

static qn_status read_set(qn_reader *in, qn__plain *m, const qn_feature *feature,
                          qn__plain_node *node, qn_error *err) {
    uint32_t n_words = qn_reader_u32(in);
    if (in->failed || n_words != ((uint32_t)feature->n_categories + 31) / 32)
        return damaged(err, "the size of a category set");
    node->set.first_word = (uint32_t)m->n_words;
    node->set.n_words = n_words;
    for (uint32_t w = 0; w < n_words && !in->failed; w++)
        m->words[m->n_words++] = qn_reader_u32(in);
    return in->failed ? damaged(err, "a category set") : QN_OK;
}

static qn_status read_split(qn_reader *in, qn__plain *m, const qn_feature *features, uint32_t flags,
                            qn__plain_node *node, qn_error *err) {
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

static qn_status read_tree(qn_reader *in, qn__plain *m, int32_t tree, const qn_feature *features,
                           int64_t max_nodes, qn_error *err) {
    uint32_t n = qn_reader_u32(in);
    int64_t start = m->start[tree];
    if (in->failed || n < 1 || n % 2 == 0 || n > QN_LIMIT_TREE_NODES || n > max_nodes - start)
        return damaged(err, "the size of a tree");
    uint32_t next = 1;
    uint64_t n_rows = 0;
    for (uint32_t i = 0; i < n; i++) {
        qn__plain_node *node = &m->nodes[start + i];
        uint32_t flags = qn_reader_u32(in);
        if (i >= next)
            return damaged(err, "a node without parent");
        if (flags == QN__NODE_LEAF) {
            node->slot_flags = QN__NODE_LEAF;
            node->value = qn_reader_f64(in);
            node->count = qn_reader_u32(in);
            n_rows += node->count;
            if (in->failed || !isfinite(node->value) || node->count < 1)
                return damaged(err, "a leaf");
            continue;
        }
        if (in->failed || flags & QN__NODE_LEAF || next + 2 > n)
            return damaged(err, "a split");
        QN_TRY(read_split(in, m, features, flags, node, err));
        node->left = next;
        next += 2;
    }
    if (next != n)
        return damaged(err, "the shape of a tree");
    if (n_rows > INT32_MAX)
        return damaged(err, "the row counts");
    m->start[tree + 1] = start + n;
    return QN_OK;
}

/* A node takes at least 12 bytes and a word 4, which bounds what is allocated here. */
static qn_status allocate(const qn_reader *in, qn__plain *m, int64_t *ret_max_nodes,
                          qn_error *err) {
    size_t rest = in->len - in->pos;
    *ret_max_nodes = (int64_t)(rest / 12);
    m->start = qn_new_array(int64_t, m->n_trees + 1);
    m->base = qn_new_array(double, m->n_outputs);
    m->slot_column = qn_new_array(int32_t, m->n_slots);
    m->slot_gain = qn_new_array(double, m->n_slots);
    m->slot_bins = qn_new_array(uint64_t, m->n_slots);
    m->nodes = qn_new_array(qn__plain_node, *ret_max_nodes);
    m->words = qn_new_array(uint32_t, rest / 4);
    if (!m->start || !m->base || !m->slot_column || !m->slot_gain || !m->slot_bins || !m->nodes
        || !m->words)
        return qn_error_memory(err);
    return QN_OK;
}

qn_status qn__gbdt_read_v1(const void *bytes, size_t n, const qn_feature *features,
                           int32_t n_features, qn__plain *m, qn_error *err) {
    qn_reader in = {.data = bytes, .len = n};
    int64_t max_nodes;
    QN_TRY(read_header(&in, m, n_features, err));
    QN_TRY(allocate(&in, m, &max_nodes, err));
    QN_TRY(read_slots(&in, m, err));
    for (int32_t t = 0; t < m->n_trees; t++)
        QN_TRY(read_tree(&in, m, t, features, max_nodes, err));
    return in.failed || in.pos != in.len ? damaged(err, "bytes are left over") : QN_OK;
}
