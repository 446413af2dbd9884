#include <math.h>

#include "learn/gbdt_int.h"

enum { BUFFER = 4096, LANES = 8 };

static double sparse_value(const qn_matrix_column *c, int64_t row) {
    int64_t low = 0, high = c->n_set;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (c->row[mid] < row)
            low = mid + 1;
        else
            high = mid;
    }
    return low < c->n_set && c->row[low] == row ? c->value[low] : 0.0;
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
                out[i * n_slots + s] = (double)c->code[first + i];
            break;
        case QN_FEATURE_SPARSE:
            for (int64_t i = 0; i < n; i++)
                out[i * n_slots + s] = sparse_value(c, first + i);
            break;
        }
    }
}

/* One tree, one row at a time; `row` holds the features used, or is NULL: read from the matrix. */
static uint32_t walk(const qn__gbdt *m, const qn__gbdt_node *nodes, const double *row,
                     const qn_matrix *x, int64_t i_row) {
    uint32_t at = 0;
    while (!(nodes[at].slot_flags & QN__NODE_LEAF)) {
        uint32_t slot = nodes[at].slot_flags & QN__NODE_SLOT;
        double v = row ? row[slot] : qn__matrix_value(x, m->slot_column[slot], i_row);
        at = nodes[at].left + qn__node_goes_right(&nodes[at], m->words, v);
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

/* Eight rows of one tree side by side: the loads of one hide the latency of the others. */
static void walk_rows(const qn__gbdt_node *nodes, int32_t depth, const double *rows,
                      int32_t n_slots, uint32_t *leaf) {
    uint32_t at[LANES] = {0};
    for (int32_t d = 0; d < depth; d++)
        for (int j = 0; j < LANES; j++)
            at[j] = step(nodes, at[j], rows + (int64_t)j * n_slots);
    for (int j = 0; j < LANES; j++)
        leaf[j] = at[j];
}

/* One row through `n` trees at a time, for the same reason. */
static void walk_trees(const qn__gbdt *m, int32_t first, int n, const double *row, uint32_t *leaf) {
    const qn__gbdt_node *nodes[LANES];
    uint32_t at[LANES] = {0};
    int32_t depth = 0;
    for (int j = 0; j < LANES; j++) {
        nodes[j] = m->nodes + m->start[first + (j < n ? j : 0)];
        if (j < n && m->depth[first + j] > depth)
            depth = m->depth[first + j];
    }
    for (int32_t d = 0; d < depth; d++)
        for (int j = 0; j < LANES; j++)
            at[j] = step(nodes[j], at[j], row);
    for (int j = 0; j < n; j++)
        leaf[j] = at[j];
}

static void predict_row(const qn__gbdt *m, const double *row, double *raw) {
    int32_t n_k = m->learner.n_outputs;
    for (int32_t t = 0; t < m->n_trees;) {
        int n = 0;
        while (n < LANES && t + n < m->n_trees && !m->has_sets[t + n])
            n++;
        if (n == 0) {
            raw[t % n_k] += m->value[m->start[t] + walk(m, m->nodes + m->start[t], row, NULL, 0)];
            t++;
            continue;
        }
        uint32_t leaf[LANES];
        walk_trees(m, t, n, row, leaf);
        for (int j = 0; j < n; j++)
            raw[(t + j) % n_k] += m->value[m->start[t + j] + leaf[j]];
        t += n;
    }
}

/* Trees outermost, so that each stays in cache for the whole block; every row still adds its trees in
 * order, which keeps the bits those of predict_row. */
static void predict_block(const qn__gbdt *m, const double *rows, int64_t n, double *raw) {
    int32_t n_k = m->learner.n_outputs;
    for (int32_t t = 0; t < m->n_trees; t++) {
        const qn__gbdt_node *nodes = m->nodes + m->start[t];
        const double *value = m->value + m->start[t];
        int64_t i = 0;
        for (; !m->has_sets[t] && i + LANES <= n; i += LANES) {
            uint32_t leaf[LANES];
            walk_rows(nodes, m->depth[t], rows + i * m->n_slots, m->n_slots, leaf);
            for (int j = 0; j < LANES; j++)
                raw[(i + j) * n_k + t % n_k] += value[leaf[j]];
        }
        for (; i < n; i++)
            raw[i * n_k + t % n_k] += value[walk(m, nodes, rows + i * m->n_slots, NULL, 0)];
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
                    m->value[m->start[t] + walk(m, m->nodes + m->start[t], NULL, x, first + i)];
        return;
    }
    int64_t block = m->n_slots ? BUFFER / m->n_slots : n;
    for (int64_t i = 0; i < n && m->n_slots; i += block) {
        int64_t n_here = n - i < block ? n - i : block;
        gather(m, x, first + i, n_here, rows);
        if (n_here < LANES)
            for (int64_t r = 0; r < n_here; r++)
                predict_row(m, rows + r * m->n_slots, raw + (i + r) * n_k);
        else
            predict_block(m, rows, n_here, raw + i * n_k);
    }
    /* Trees that are a single leaf need no feature. */
    for (int64_t i = 0; i < n && !m->n_slots; i++)
        for (int32_t t = 0; t < m->n_trees; t++)
            raw[i * n_k + t % n_k] += m->value[m->start[t]];
}
