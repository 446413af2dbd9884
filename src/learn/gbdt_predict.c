#include <math.h>
#include <string.h>

#include "learn/gbdt_int.h"

enum { BUFFER = 4096, LANES = 8 };

static double sparse_value(const qn_matrix_column *c, int64_t row) {
    int64_t at = qn_matrix_column_from(c, row);
    return at < c->n_set && c->row[at] == row ? c->value[at] : 0.0;
}

double qn__matrix_value(const qn_matrix *x, int32_t column, int64_t row) {
    const qn_matrix_column *c = &x->columns[column];
    switch (x->features[column].kind) {
    case QN_FEATURE_NUMERIC: return c->num[row];
    case QN_FEATURE_CATEGORY: return (double)c->code[row];
    case QN_FEATURE_SPARSE: return sparse_value(c, row);
    }
    return NAN;
}

/* A code as nodes of the fast paths see it: the low half of a number between 1 and 2, to be taken
 * out without a conversion. Missing (-1) becomes the largest code there is, which no set holds. */
static double pack_code(int32_t code) {
    union {
        uint64_t bits;
        double number;
    } packed = {.bits = (uint64_t)0x3ff00000u << 32 | (uint32_t)code};
    return packed.number;
}

static uint32_t unpack_code(double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return (uint32_t)bits;
}

static void gather_sparse(const qn_matrix_column *c, int64_t first, int64_t n, int64_t stride,
                          double *out) {
    for (int64_t i = 0; i < n; i++)
        out[i * stride] = 0;
    for (int64_t k = qn_matrix_column_from(c, first); k < c->n_set && c->row[k] < first + n; k++)
        out[(c->row[k] - first) * stride] = c->value[k];
}

/* Rows first .. first + n - 1 of the features used, row-major. */
static void gather(const qn__gbdt *m, const qn_matrix *x, int64_t first, int64_t n, double *out) {
    int32_t n_slots = m->n_slots;
    for (int32_t s = 0; s < n_slots; s++) {
        const qn_matrix_column *c = &x->columns[m->slot_column[s]];
        switch (x->features[m->slot_column[s]].kind) {
        case QN_FEATURE_NUMERIC:
            for (int64_t i = 0; i < n; i++)
                out[i * n_slots + s] = c->num[first + i];
            break;
        case QN_FEATURE_CATEGORY:
            for (int64_t i = 0; i < n; i++)
                out[i * n_slots + s] = pack_code(c->code[first + i]);
            break;
        case QN_FEATURE_SPARSE:
            gather_sparse(c, first, n, n_slots, out + s);
            break;
        }
    }
}

/* One tree, one row, read from the matrix: for rows too wide to gather. */
static uint32_t walk(const qn__gbdt *m, const qn__gbdt_node *nodes, const qn_matrix *x,
                     int64_t i_row) {
    uint32_t at = 0;
    while (!(nodes[at].slot_flags & QN__NODE_LEAF)) {
        int32_t column = m->slot_column[nodes[at].slot_flags & QN__NODE_SLOT];
        at = nodes[at].left
             + qn__node_goes_right(&nodes[at], m->words, qn__matrix_value(x, column, i_row));
    }
    return at;
}

/* One step without a branch; leaves stay where they are. Numeric nodes only. */
static inline uint32_t step(const qn__gbdt_node *nodes, uint32_t at, const double *row) {
    const qn__gbdt_node *node = &nodes[at];
    double v = row[node->slot_flags & QN__NODE_SLOT];
    uint32_t above = v > node->threshold;
    uint32_t missing = (v != v) & !(node->slot_flags & QN__NODE_MISSING_LEFT);
    return node->left + (above | missing);
}

/* The same for nodes of any kind: both answers are worked out, one is kept. `words` has at least
 * one. */
static inline uint32_t step_mixed(const qn__gbdt_node *nodes, uint32_t at, const double *row,
                                  const uint32_t *words) {
    const qn__gbdt_node *node = &nodes[at];
    uint32_t flags = node->slot_flags, is_set = -(flags >> 30 & 1u);
    double v = row[flags & QN__NODE_SLOT];
    uint32_t missing_right = ~flags >> 29 & 1u;
    uint32_t number = (v > node->threshold) | ((v != v) & missing_right);
    uint32_t code = unpack_code(v);
    uint32_t known = -(uint32_t)(code >> 5 < node->set.n_words) & is_set;
    uint32_t bit = words[(node->set.first_word + (code >> 5)) & known] >> (code & 31) & 1u;
    uint32_t set = (~bit & 1u & known) | (missing_right & ~known);
    return node->left + ((set & is_set) | (number & ~is_set));
}

/* Eight rows of one tree side by side: the loads of one hide the latency of the others. Leaf-wise
 * trees have a few deep branches; most rows are done long before `depth`. */
static void walk_rows(const qn__gbdt_node *nodes, int32_t depth, const double *rows,
                      int32_t n_slots, uint32_t *at) {
    uint32_t moved = 1;
    for (int j = 0; j < LANES; j++)
        at[j] = 0;
    for (int32_t d = 0; d < depth && moved; d++) {
        moved = 0;
        for (int j = 0; j < LANES; j++) {
            uint32_t next = step(nodes, at[j], rows + (int64_t)j * n_slots);
            moved |= next ^ at[j];
            at[j] = next;
        }
    }
}

static void walk_rows_mixed(const qn__gbdt_node *nodes, int32_t depth, const double *rows,
                            int32_t n_slots, const uint32_t *words, uint32_t *at) {
    uint32_t moved = 1;
    for (int j = 0; j < LANES; j++)
        at[j] = 0;
    for (int32_t d = 0; d < depth && moved; d++) {
        moved = 0;
        for (int j = 0; j < LANES; j++) {
            uint32_t next = step_mixed(nodes, at[j], rows + (int64_t)j * n_slots, words);
            moved |= next ^ at[j];
            at[j] = next;
        }
    }
}

/* One row through up to eight trees at a time, for the same reason. */
static void walk_trees(const qn__gbdt *m, int32_t first, int n, const double *row, uint32_t *at) {
    const qn__gbdt_node *nodes[LANES];
    bool mixed = false;
    for (int j = 0; j < LANES; j++) {
        nodes[j] = m->nodes + m->start[first + (j < n ? j : 0)];
        mixed |= m->has_sets[first + (j < n ? j : 0)];
        at[j] = 0;
    }
    for (uint32_t moved = 1; moved;) {
        moved = 0;
        for (int j = 0; j < LANES; j++) {
            uint32_t next = mixed ? step_mixed(nodes[j], at[j], row, m->words)
                                  : step(nodes[j], at[j], row);
            moved |= next ^ at[j];
            at[j] = next;
        }
    }
}

static void predict_row(const qn__gbdt *m, const double *row, double *raw) {
    int32_t n_k = m->learner.n_outputs;
    for (int32_t t = 0, k = 0; t < m->n_trees; t += LANES) {
        uint32_t leaf[LANES];
        int n = m->n_trees - t < LANES ? m->n_trees - t : LANES;
        walk_trees(m, t, n, row, leaf);
        for (int j = 0; j < n; j++) {
            raw[k] += m->value[m->start[t + j] + leaf[j]];
            k = k + 1 < n_k ? k + 1 : 0;
        }
    }
}

/* Trees outermost, so that each stays in cache for the whole block; every row still adds its trees
 * in order, which keeps the bits those of predict_row. n is a multiple of LANES. */
static void predict_block(const qn__gbdt *m, const double *rows, int64_t n, double *raw) {
    int32_t n_k = m->learner.n_outputs;
    for (int32_t t = 0; t < m->n_trees; t++) {
        const qn__gbdt_node *nodes = m->nodes + m->start[t];
        const double *value = m->value + m->start[t];
        double *out = raw + t % n_k;
        for (int64_t i = 0; i < n; i += LANES) {
            uint32_t leaf[LANES];
            const double *here = rows + i * m->n_slots;
            if (m->has_sets[t])
                walk_rows_mixed(nodes, m->depth[t], here, m->n_slots, m->words, leaf);
            else
                walk_rows(nodes, m->depth[t], here, m->n_slots, leaf);
            for (int j = 0; j < LANES; j++)
                out[(i + j) * n_k] += value[leaf[j]];
        }
    }
}

void qn__gbdt_predict(const qn_learner *learner, const qn_matrix *x, int64_t first, int64_t n,
                      double *raw) {
    const qn__gbdt *m = (const qn__gbdt *)learner;
    int32_t n_k = learner->n_outputs;
    for (int64_t i = 0; i < n * n_k; i++)
        raw[i] = m->base[i % n_k];
    double rows[BUFFER];
    if (m->n_slots > BUFFER) {
        for (int64_t i = 0; i < n; i++)
            for (int32_t t = 0; t < m->n_trees; t++)
                raw[i * n_k + t % n_k] +=
                    m->value[m->start[t] + walk(m, m->nodes + m->start[t], x, first + i)];
        return;
    }
    int64_t block = m->n_slots ? BUFFER / m->n_slots : n;
    for (int64_t i = 0; i < n && m->n_slots; i += block) {
        int64_t n_here = n - i < block ? n - i : block;
        gather(m, x, first + i, n_here, rows);
        int64_t whole = n_here - n_here % LANES;
        predict_block(m, rows, whole, raw + i * n_k);
        for (int64_t r = whole; r < n_here; r++)
            predict_row(m, rows + r * m->n_slots, raw + (i + r) * n_k);
    }
    /* Trees that are a single leaf need no feature. */
    for (int64_t i = 0; i < n && !m->n_slots; i++)
        for (int32_t t = 0; t < m->n_trees; t++)
            raw[i * n_k + t % n_k] += m->value[m->start[t]];
}
