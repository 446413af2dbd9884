#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "learn/gbdt_int.h"

void qn__gbdt_free(qn_learner *learner) {
    qn__gbdt *m = (qn__gbdt *)learner;
    if (!m)
        return;
    qn_freep(&m->start);
    qn_freep(&m->depth);
    qn_freep(&m->has_sets);
    qn_freep(&m->nodes);
    qn_freep(&m->value);
    qn_freep(&m->count);
    qn_freep(&m->words);
    qn_freep(&m->base);
    qn_freep(&m->slot_column);
    qn_freep(&m->slot_gain);
    qn_freep(&m->slot_bins);
    qn_freep(&m);
}

void qn__model_builder_done(qn__model_builder *builder) {
    if (builder->model)
        qn__gbdt_free(&builder->model->learner);
    builder->model = NULL;
}

static bool grow(void *address, int64_t n, size_t item_bytes) {
    void **pointer = address;
    void *larger = qn_realloc(*pointer, (size_t)n, item_bytes);
    if (larger)
        *pointer = larger;
    return larger != NULL;
}

static qn_status reserve(qn__model_builder *b, int64_t n_nodes, int64_t n_words, qn_error *err) {
    qn__gbdt *m = b->model;
    int64_t used = m->n_trees ? m->start[m->n_trees] : 0;
    if (m->n_trees + 1 >= b->cap_trees) {
        int32_t cap = b->cap_trees ? 2 * b->cap_trees : 64;
        QN_FAIL_IF(m->n_trees >= QN_LIMIT_TREES, err, QN_ERR_LIMIT, "a model has at most %d trees",
                   QN_LIMIT_TREES);
        if (!grow(&m->start, cap + 1, sizeof *m->start) || !grow(&m->depth, cap, sizeof *m->depth)
            || !grow(&m->has_sets, cap, sizeof *m->has_sets))
            return qn_error_memory(err);
        b->cap_trees = cap;
        m->start[0] = 0;
    }
    if (used + n_nodes > b->cap_nodes) {
        int64_t cap = 2 * b->cap_nodes > used + n_nodes ? 2 * b->cap_nodes : used + n_nodes;
        if (!grow(&m->nodes, cap, sizeof *m->nodes) || !grow(&m->value, cap, sizeof *m->value)
            || !grow(&m->count, cap, sizeof *m->count))
            return qn_error_memory(err);
        b->cap_nodes = cap;
    }
    if (m->n_words + n_words > b->cap_words) {
        int64_t cap = 2 * b->cap_words > m->n_words + n_words ? 2 * b->cap_words
                                                              : m->n_words + n_words;
        QN_FAIL_IF(cap > UINT32_MAX, err, QN_ERR_LIMIT, "too many categories in the splits");
        if (!grow(&m->words, cap, sizeof *m->words))
            return qn_error_memory(err);
        b->cap_words = cap;
    }
    return QN_OK;
}

static void put_split(qn__gbdt *m, const qn__split *split, const qn__bin_feature *f,
                      qn__gbdt_node *out) {
    out->slot_flags = (uint32_t)f->column | (split->missing_left ? QN__NODE_MISSING_LEFT : 0);
    if (!split->is_category) {
        out->threshold = split->bin < f->n_values - 1 ? f->upper[split->bin] : INFINITY;
        return;
    }
    out->slot_flags |= QN__NODE_CATEGORY;
    out->set.first_word = (uint32_t)m->n_words;
    out->set.n_words = (uint32_t)(f->n_categories + 31) / 32;
    memset(m->words + m->n_words, 0, out->set.n_words * sizeof *m->words);
    for (int32_t c = 0; c < f->n_categories; c++)
        if (qn__split_goes_left(split, f, f->code_bin[c]))
            m->words[m->n_words + (c >> 5)] |= 1u << (c & 31);
    m->n_words += out->set.n_words;
}

qn_status qn__model_add(qn__model_builder *builder, const qn__bin_map *map,
                        const qn__grown_node *nodes, int32_t n_nodes, qn_error *err) {
    int64_t n_words = 0;
    for (int32_t i = 0; i < n_nodes; i++)
        if (nodes[i].split.feature >= 0 && nodes[i].split.is_category)
            n_words += (map->features[nodes[i].split.feature].n_categories + 31) / 32;
    QN_TRY(reserve(builder, n_nodes, n_words, err));
    qn_cleanup(qn_freep) int32_t *queue = qn_new_array(int32_t, n_nodes);
    qn_cleanup(qn_freep) int32_t *level = qn_new_array(int32_t, n_nodes);
    if (!queue || !level)
        return qn_error_memory(err);
    qn__gbdt *m = builder->model;
    int64_t at = m->start[m->n_trees];
    m->depth[m->n_trees] = 0;
    m->has_sets[m->n_trees] = n_words > 0;
    int32_t n_queued = 1;
    for (int32_t i = 0; i < n_nodes; i++) {
        const qn__grown_node *from = &nodes[queue[i]];
        qn__gbdt_node *node = &m->nodes[at + i];
        m->count[at + i] = (uint32_t)from->n;
        m->value[at + i] = 0;
        if (level[i] > m->depth[m->n_trees])
            m->depth[m->n_trees] = level[i];
        if (from->split.feature < 0) {
            *node = (qn__gbdt_node){.threshold = INFINITY, .left = (uint32_t)i,
                                    .slot_flags = QN__NODE_LEAF | QN__NODE_MISSING_LEFT};
            m->value[at + i] = from->value;
            continue;
        }
        put_split(m, &from->split, &map->features[from->split.feature], node);
        node->left = (uint32_t)n_queued;
        level[n_queued] = level[n_queued + 1] = level[i] + 1;
        queue[n_queued++] = from->left;
        queue[n_queued++] = from->right;
    }
    m->start[++m->n_trees] = at + n_nodes;
    return QN_OK;
}

/* Node slots from matrix columns to the dense numbering of the features used. */
static void renumber(qn__gbdt *m, const int32_t *slot_of) {
    for (int64_t i = 0; i < m->start[m->n_trees]; i++) {
        uint32_t flags = m->nodes[i].slot_flags;
        if (!(flags & QN__NODE_LEAF))
            m->nodes[i].slot_flags = (flags & ~(uint32_t)QN__NODE_SLOT)
                                     | (uint32_t)slot_of[flags & QN__NODE_SLOT];
    }
}

qn_status qn__model_finish(qn__model_builder *builder, int32_t n_trees, const double *gain,
                           const uint64_t *bins, qn_error *err) {
    QN_TRY(reserve(builder, 0, 0, err));
    qn__gbdt *m = builder->model;
    int32_t n_columns = m->learner.n_features;
    m->n_trees = n_trees < m->n_trees ? n_trees : m->n_trees;
    qn_cleanup(qn_freep) int32_t *slot_of = qn_new_array(int32_t, n_columns);
    if (!slot_of)
        return qn_error_memory(err);
    m->n_words = 0;
    for (int64_t i = 0; i < m->start[m->n_trees]; i++) {
        const qn__gbdt_node *node = &m->nodes[i];
        if (!(node->slot_flags & QN__NODE_LEAF))
            slot_of[node->slot_flags & QN__NODE_SLOT] = 1;
        if (node->slot_flags & QN__NODE_CATEGORY)
            m->n_words += node->set.n_words;
    }
    for (int32_t c = 0; c < n_columns; c++)
        m->n_slots += slot_of[c];
    m->slot_column = qn_new_array(int32_t, m->n_slots);
    m->slot_gain = qn_new_array(double, m->n_slots);
    m->slot_bins = qn_new_array(uint64_t, m->n_slots);
    if (!m->slot_column || !m->slot_gain || !m->slot_bins)
        return qn_error_memory(err);
    for (int32_t c = 0, s = 0; c < n_columns; c++) {
        if (!slot_of[c])
            continue;
        slot_of[c] = s;
        m->slot_column[s] = c;
        m->slot_gain[s] = gain[c];
        m->slot_bins[s++] = bins[c];
    }
    renumber(m, slot_of);
    return QN_OK;
}
