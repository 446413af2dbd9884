#include "learn/gbdt_kernel_int.h"

static double leaf_of(const qn__gbdt *m, int32_t tree, const qn_matrix *x, int64_t i_row,
                      const double *row) {
    uint64_t start = m->start[tree];
    qn__gbdt_node node = qn__gbdt_node_at(m, start, 0);
    while (!node.is_leaf) {
        int32_t column = (int32_t)m->slot_column[qn__gbdt_node_slot(m, &node)];
        double value = row ? row[column] : qn__matrix_value(x, column, i_row);
        node = qn__gbdt_node_at(m, start, node.to + qn__gbdt_node_goes_right(m, &node, value));
    }
    return m->value[qn__gbdt_leaf_start(m, tree) + node.to];
}

void qn__gbdt_add_trees_ref(const qn__gbdt *m, const qn_matrix *x, int64_t first, int64_t n,
                            double *raw) {
    int32_t n_k = m->learner.n_outputs;
    for (int64_t i = 0; i < n; i++)
        for (int32_t t = 0; t < m->n_trees; t++)
            raw[i * n_k + t % n_k] += leaf_of(m, t, x, first + i, NULL);
}

void qn__gbdt_add_trees_rows_ref(const qn__gbdt *m, const double *rows, int64_t n, double *raw) {
    int32_t n_k = m->learner.n_outputs;
    for (int64_t i = 0; i < n; i++)
        for (int32_t t = 0; t < m->n_trees; t++)
            raw[i * n_k + t % n_k] += leaf_of(m, t, NULL, 0, rows + i * m->learner.n_features);
}
