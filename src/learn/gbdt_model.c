#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "learn/family_int.h"
#include "learn/gbdt_int.h"

void qn__plain_done(qn__plain *p) {
    qn_freep(&p->base);
    qn_freep(&p->init_columns);
    qn_freep(&p->start);
    qn_freep(&p->nodes);
    qn_freep(&p->words);
    qn_freep(&p->slot_column);
    qn_freep(&p->slot_gain);
    qn_freep(&p->slot_bins);
}

const char *qn_trees_objective(const qn_learner *learner) {
    return learner->family == &qn__family_gbdt
               ? qn__objective_names[((const qn__gbdt *)learner)->objective] : NULL;
}

void qn__model_builder_done(qn__model_builder *builder) {
    qn__plain_done(&builder->plain);
}

static bool grow(void *address, int64_t n, size_t item_bytes) {
    void **pointer = address;
    void *larger = qn_realloc(*pointer, (size_t)n, item_bytes);
    if (larger)
        *pointer = larger;
    return larger != NULL;
}

static qn_status reserve(qn__model_builder *b, int64_t n_nodes, int64_t n_words, qn_error *err) {
    qn__plain *m = &b->plain;
    int64_t used = m->n_trees ? m->start[m->n_trees] : 0;
    if (m->n_trees + 1 >= b->cap_trees) {
        int32_t cap = b->cap_trees ? 2 * b->cap_trees : 64;
        QN_FAIL_IF(m->n_trees >= QN_LIMIT_TREES, err, QN_ERR_LIMIT, "a model has at most %d trees",
                   QN_LIMIT_TREES);
        if (!grow(&m->start, cap + 1, sizeof *m->start))
            return qn_error_memory(err);
        b->cap_trees = cap;
        m->start[0] = 0;
    }
    if (used + n_nodes > b->cap_nodes) {
        int64_t cap = b->cap_nodes ? 2 * b->cap_nodes : b->first_nodes;
        cap = cap > used + n_nodes ? cap : used + n_nodes;
        if (!grow(&m->nodes, cap, sizeof *m->nodes))
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

static void put_split(qn__plain *m, const qn__split *split, const qn__bin_feature *f,
                      qn__plain_node *out) {
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
    if (!queue)
        return qn_error_memory(err);
    qn__plain *m = &builder->plain;
    int64_t at = m->start[m->n_trees];
    int32_t n_queued = 1;
    for (int32_t i = 0; i < n_nodes; i++) {
        const qn__grown_node *from = &nodes[queue[i]];
        qn__plain_node *node = &m->nodes[at + i];
        if (from->split.feature < 0) {
            *node = (qn__plain_node){.value = from->value, .count = (uint32_t)from->n,
                                     .slot_flags = QN__NODE_LEAF};
            continue;
        }
        put_split(m, &from->split, &map->features[from->split.feature], node);
        node->left = (uint32_t)n_queued;
        queue[n_queued++] = from->left;
        queue[n_queued++] = from->right;
    }
    m->start[++m->n_trees] = at + n_nodes;
    return QN_OK;
}

/* Node slots from matrix columns to the dense numbering of the features used. */
static void renumber(qn__plain *m, const int32_t *slot_of) {
    for (int64_t i = 0; i < m->start[m->n_trees]; i++) {
        uint32_t flags = m->nodes[i].slot_flags;
        if (!(flags & QN__NODE_LEAF))
            m->nodes[i].slot_flags = (flags & ~(uint32_t)QN__NODE_SLOT)
                                     | (uint32_t)slot_of[flags & QN__NODE_SLOT];
    }
}

qn_status qn__model_finish(qn__model_builder *builder, int32_t n_trees, const double *gain,
                           const uint64_t *bins, const qn_feature *features,
                           qn_learner **ret_learner, qn_error *err) {
    QN_TRY(reserve(builder, 0, 0, err));
    qn__plain *m = &builder->plain;
    m->n_trees = n_trees < m->n_trees ? n_trees : m->n_trees;
    qn_cleanup(qn_freep) int32_t *slot_of = qn_new_array(int32_t, m->n_features);
    if (!slot_of)
        return qn_error_memory(err);
    for (int64_t i = 0; i < m->start[m->n_trees]; i++)
        if (!(m->nodes[i].slot_flags & QN__NODE_LEAF))
            slot_of[m->nodes[i].slot_flags & QN__NODE_SLOT] = 1;
    for (int32_t c = 0; c < m->n_features; c++)
        m->n_slots += slot_of[c];
    m->slot_column = qn_new_array(int32_t, m->n_slots);
    m->slot_gain = qn_new_array(double, m->n_slots);
    m->slot_bins = qn_new_array(uint64_t, m->n_slots);
    if (!m->slot_column || !m->slot_gain || !m->slot_bins)
        return qn_error_memory(err);
    for (int32_t c = 0, s = 0; c < m->n_features; c++) {
        if (!slot_of[c])
            continue;
        slot_of[c] = s;
        m->slot_column[s] = c;
        m->slot_gain[s] = gain[c];
        m->slot_bins[s++] = bins[c];
    }
    renumber(m, slot_of);
    return qn__gbdt_pack(m, features, ret_learner, err);
}
