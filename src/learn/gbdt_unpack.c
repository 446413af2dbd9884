/* Packed trees taken apart again, and what is twice in them merged. */
#include <string.h>

#include "base/mem.h"
#include "learn/gbdt_prune_int.h"

/* ---- packed to plain ------------------------------------------------------------------------- */

typedef struct unpacker {
    const qn__gbdt *m;
    uint32_t *first_word; /* owned; per key of categories: sets of its tests */
    uint32_t *place;      /* owned; per node of a tree: where it is packed */
} unpacker;

static void unpacker_done(unpacker *u) {
    qn_freep(&u->first_word);
    qn_freep(&u->place);
}

static qn_status allocate(unpacker *u, qn__plain *p, qn_error *err) {
    const qn__gbdt *m = u->m;
    uint64_t most = 1;
    for (int32_t t = 0; t < m->n_trees; t++)
        most = m->start[t + 1] - m->start[t] > most ? m->start[t + 1] - m->start[t] : most;
    for (int32_t k = m->n_number_keys; k < m->n_keys; k++)
        p->n_words += (int64_t)m->keys[k].n_tests * ((m->keys[k].n_categories + 31) / 32);
    QN_FAIL_IF(p->n_words > UINT32_MAX, err, QN_ERR_LIMIT, "too many categories in the splits");
    u->first_word = qn_new_array(uint32_t, m->n_keys);
    u->place = qn_new_array(uint32_t, most);
    p->base = qn_new_array(double, p->n_outputs);
    p->start = qn_new_array(int64_t, p->n_trees + 1);
    p->nodes = qn_new_array(qn__plain_node, m->n_nodes);
    p->words = qn_new_array(uint32_t, p->n_words);
    p->slot_column = qn_new_array(int32_t, p->n_slots);
    p->slot_gain = qn_new_array(double, p->n_slots);
    p->slot_bins = qn_new_array(uint64_t, p->n_slots);
    if (!u->first_word || !u->place || !p->base || !p->start || !p->nodes || !p->words
        || !p->slot_column || !p->slot_gain || !p->slot_bins)
        return qn_error_memory(err);
    return QN_OK;
}

/* Every test of a key of categories becomes a set of those that go left. */
static void unpack_sets(unpacker *u, qn__plain *p) {
    const qn__gbdt *m = u->m;
    uint32_t at = 0;
    for (int32_t k = m->n_number_keys; k < m->n_keys; k++) {
        const qn__gbdt_key *key = &m->keys[k];
        uint32_t n_words = (key->n_categories + 31) / 32;
        size_t row_bytes = qn__key_row_bytes(key);
        u->first_word[k] = at;
        for (uint32_t test = 0; test < key->n_tests; test++, at += n_words)
            for (uint32_t c = 0; c < key->n_categories; c++)
                if (!(m->answers[key->first + c * row_bytes + (test >> 3)] >> (test & 7) & 1))
                    p->words[at + (c >> 5)] |= 1u << (c & 31);
    }
}

static void unpack_split(const unpacker *u, const qn__gbdt_node *from, qn__plain_node *to) {
    const qn__gbdt *m = u->m;
    uint32_t i_key = from->side >> 1;
    const qn__gbdt_key *key = &m->keys[i_key];
    to->slot_flags = key->slot;
    if (i_key < (uint32_t)m->n_number_keys) {
        to->slot_flags |= from->side & 1 ? QN__NODE_MISSING_LEFT : 0;
        to->threshold = m->cuts[key->first + from->test];
        return;
    }
    uint64_t missing = key->first + key->n_categories * qn__key_row_bytes(key);
    bool right = m->answers[missing + (from->test >> 3)] >> (from->test & 7) & 1;
    to->slot_flags |= QN__NODE_CATEGORY | (right ? 0 : QN__NODE_MISSING_LEFT);
    to->set.n_words = (key->n_categories + 31) / 32;
    to->set.first_word = u->first_word[i_key] + from->test * to->set.n_words;
}

static qn_status unpack_tree(unpacker *u, int32_t tree, qn__plain *p, qn_error *err) {
    const qn__gbdt *m = u->m;
    uint32_t n = (uint32_t)(m->start[tree + 1] - m->start[tree]), n_queued = 1;
    qn__plain_node *nodes = p->nodes + p->start[tree];
    u->place[0] = 0;
    for (uint32_t i = 0; i < n_queued; i++) {
        qn__gbdt_node from = qn__gbdt_node_at(m, m->start[tree], u->place[i]);
        if (from.is_leaf) {
            uint64_t leaf = qn__gbdt_leaf_start(m, tree) + from.to;
            nodes[i] = (qn__plain_node){.value = m->value[leaf], .count = m->count[leaf],
                                        .slot_flags = QN__NODE_LEAF};
            continue;
        }
        QN_FAIL_IF(n_queued + 2 > n, err, QN_ERR_FORMAT,
                   "the trees of the model are damaged: a node has two parents");
        unpack_split(u, &from, &nodes[i]);
        nodes[i].left = n_queued;
        u->place[n_queued++] = from.to;
        u->place[n_queued++] = from.to + 1;
    }
    p->start[tree + 1] = p->start[tree] + n_queued;
    return QN_OK;
}

qn_status qn__gbdt_unpack(const qn__gbdt *m, qn__plain *ret_plain, qn_error *err) {
    qn_cleanup(unpacker_done) unpacker u = {.m = m};
    qn_cleanup(qn__plain_done) qn__plain p = {
        .link = m->learner.link, .n_outputs = m->learner.n_outputs,
        .n_features = m->learner.n_features, .n_trees = m->n_trees, .objective = m->objective,
        .best_iteration = m->best_iteration, .n_slots = m->n_slots};
    QN_TRY(allocate(&u, &p, err));
    memcpy(p.base, m->base, (size_t)p.n_outputs * sizeof *p.base);
    if (m->init_columns && !(p.init_columns = qn_new_array(uint32_t, p.n_outputs)))
        return qn_error_memory(err);
    for (int32_t k = 0; m->init_columns && k < p.n_outputs; k++)
        p.init_columns[k] = m->init_columns[k];
    for (int32_t s = 0; s < p.n_slots; s++) {
        p.slot_column[s] = (int32_t)m->slot_column[s];
        p.slot_gain[s] = m->slot_gain[s];
        p.slot_bins[s] = m->slot_bins[s];
    }
    unpack_sets(&u, &p);
    for (int32_t t = 0; t < p.n_trees; t++)
        QN_TRY(unpack_tree(&u, t, &p, err));
    *ret_plain = p;
    p = (qn__plain){0};
    return QN_OK;
}

/* ---- merging --------------------------------------------------------------------------------- */

typedef struct pair {
    uint32_t a, b;
} pair;

static bool same_node(const qn__plain *p, const qn__plain_node *a, const qn__plain_node *b) {
    if (a->slot_flags != b->slot_flags)
        return false;
    if (!(a->slot_flags & QN__NODE_CATEGORY)) /* threshold or value: 0 and -0 are two */
        return memcmp(&a->value, &b->value, sizeof a->value) == 0
               && (!(a->slot_flags & QN__NODE_LEAF) || (uint64_t)a->count + b->count <= UINT32_MAX);
    return memcmp(p->words + a->set.first_word, p->words + b->set.first_word,
                  a->set.n_words * sizeof *p->words) == 0;
}

/* Walks two subtrees side by side; false at the first difference. With `add` the rows of the leaves
 * of b are added to those of a. `stack` holds a pair for each node of the tree. */
static bool walk_both(const qn__plain *p, qn__plain_node *nodes, pair roots, bool add,
                      pair *stack) {
    uint32_t n = 0;
    stack[n++] = roots;
    while (n > 0) {
        pair at = stack[--n];
        qn__plain_node *a = &nodes[at.a];
        const qn__plain_node *b = &nodes[at.b];
        if (!add && !same_node(p, a, b))
            return false;
        if (!(a->slot_flags & QN__NODE_LEAF)) {
            stack[n++] = (pair){a->left, b->left};
            stack[n++] = (pair){a->left + 1, b->left + 1};
        } else if (add) {
            a->count += b->count;
        }
    }
    return true;
}

qn_status qn__plain_merge(qn__plain *p, qn_error *err) {
    int64_t most = 1;
    for (int32_t t = 0; t < p->n_trees; t++)
        most = p->start[t + 1] - p->start[t] > most ? p->start[t + 1] - p->start[t] : most;
    qn_cleanup(qn_freep) pair *stack = qn_new_array(pair, most);
    if (!stack)
        return qn_error_memory(err);
    for (int32_t t = 0; t < p->n_trees; t++) {
        qn__plain_node *nodes = p->nodes + p->start[t];
        for (uint32_t i = (uint32_t)(p->start[t + 1] - p->start[t]); i-- > 0;) {
            if (nodes[i].slot_flags & QN__NODE_LEAF)
                continue;
            pair children = {nodes[i].left, nodes[i].left + 1};
            if (!walk_both(p, nodes, children, false, stack))
                continue;
            (void)walk_both(p, nodes, children, true, stack);
            nodes[i] = nodes[children.a];
        }
    }
    return QN_OK;
}
