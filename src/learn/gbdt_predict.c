#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "learn/gbdt_image_int.h"
#include "learn/gbdt_kernel_int.h"

enum {
    ROWS_SCRATCH = 32768,   /* bytes on the stack for the ranks of dense rows, */
    BATCH_SCRATCH = 131072, /* and of a batch: entering a sparse column has a price, too */
    BLOCK_ROWS = 512,       /* ranks of usual rows stay in the first-level cache, */
    MANY_ROWS = 2048,       /* for kernels that take many side by side in the second-level one */
    MAX_SETS = 8192,        /* places of answers of a block */
    MAX_STRIDE = ROWS_SCRATCH / 2,
    KEYS_PER_TREE = 16,     /* a row that has more is cheaper to read node by node, */
    FEW_ROWS = 8,           /* of a matrix so few */
};

const qn__gbdt_kernel *const qn__gbdt_kernels[] = {
#if defined(__x86_64__)
    &qn__gbdt_kernel_avx512,
    &qn__gbdt_kernel_avx2,
#endif
    &qn__gbdt_kernel_plain,
    NULL,
};

const qn__gbdt_kernel *qn__gbdt_kernel_best(void) {
    const qn__gbdt_kernel *const *kernel = qn__gbdt_kernels;
    while (!(*kernel)->runs_here())
        kernel++;
    return *kernel;
}

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

/* How rows of this model are laid out in the scratch; false when they are too wide. */
static bool plan_rows(const qn__gbdt *m, int64_t scratch, int64_t most, qn__ranked *rows,
                      int64_t *ret_block) {
    int32_t n_sets = m->n_keys - m->n_number_keys;
    if (2 * (int64_t)m->n_keys > MAX_STRIDE)
        return false;
    size_t stride = ((size_t)m->n_keys * 2 + 63) / 64 * 64;
    rows->rank_stride = stride ? stride : 64;
    rows->set_stride = n_sets ? (size_t)n_sets + 1 : 0;
    int64_t block = scratch / (int64_t)rows->rank_stride;
    int64_t fit = n_sets ? MAX_SETS / (int64_t)rows->set_stride : most;
    most = most < fit ? most : fit;
    *ret_block = block < most ? block : most;
    return *ret_block > 0;
}

static bool is_wide(const qn__gbdt *m) {
    return m->n_keys / KEYS_PER_TREE > m->n_trees;
}

static void put_base(const qn__gbdt *m, int64_t n, double *raw) {
    int32_t n_k = m->learner.n_outputs;
    for (int64_t i = 0; i < n; i++)
        memcpy(raw + i * n_k, m->base, (size_t)n_k * sizeof *raw);
}

/* What rows bring along for an output, init[i * stride] of row i. */
static void add_init(const double *init, int64_t stride, int64_t n, int32_t n_k, double *raw) {
    for (int64_t i = 0; i < n; i++)
        raw[i * n_k] += isnan(init[i * stride]) ? 0 : init[i * stride];
}

void qn__gbdt_start(const qn__gbdt *m, const qn_matrix *x, int64_t first, int64_t n, double *raw) {
    int32_t n_k = m->learner.n_outputs;
    put_base(m, n, raw);
    for (int32_t k = 0; m->init_columns && k < n_k; k++)
        add_init(x->columns[m->init_columns[k] - 1].num + first, 1, n, n_k, raw + k);
}

static void start_rows(const qn__gbdt *m, const double *rows, int64_t n, double *raw) {
    int32_t n_k = m->learner.n_outputs;
    put_base(m, n, raw);
    for (int32_t k = 0; m->init_columns && k < n_k; k++)
        add_init(rows + m->init_columns[k] - 1, m->learner.n_features, n, n_k, raw + k);
}

/* ---- rows of a matrix ------------------------------------------------------------------------ */

static void rank_sparse(const qn__gbdt *m, const qn__gbdt_key *key, const qn_matrix_column *c,
                        int64_t first, int64_t n, uint8_t *ranks, size_t stride) {
    uint16_t pair = qn__rank_pair(key->zero_rank, 0);
    for (int64_t i = 0; i < n; i++)
        memcpy(ranks + (size_t)i * stride, &pair, sizeof pair);
    for (int64_t k = qn_matrix_column_from(c, first); k < c->n_set && c->row[k] < first + n; k++) {
        double x = c->value[k];
        pair = qn__rank_pair(qn__cuts_below(m->cuts + key->first, key->n_tests, x), x);
        memcpy(ranks + (size_t)(c->row[k] - first) * stride, &pair, sizeof pair);
    }
}

static void rank_matrix(const qn__gbdt_kernel *kernel, const qn__gbdt *m, const qn_matrix *x,
                        int64_t first, int64_t n, const qn__ranked *rows) {
    for (int32_t k = 0; k < m->n_number_keys; k++) {
        const qn__gbdt_key *key = &m->keys[k];
        uint32_t column = m->slot_column[key->slot];
        const qn_matrix_column *c = &x->columns[column];
        if (x->features[column].kind == QN_FEATURE_SPARSE)
            rank_sparse(m, key, c, first, n, rows->ranks + 2 * k, rows->rank_stride);
        else
            kernel->rank_column(m->cuts + key->first, key->n_tests, c->num + first, n,
                                rows->ranks + 2 * k, rows->rank_stride);
    }
    for (int64_t i = 0; rows->set_stride && i < n; i++)
        rows->sets[(size_t)i * rows->set_stride] = 0;
    for (int32_t k = m->n_number_keys; k < m->n_keys; k++) {
        const int32_t *code = x->columns[m->slot_column[m->keys[k].slot]].code + first;
        int32_t *out = rows->sets + 1 + k - m->n_number_keys;
        for (int64_t i = 0; i < n; i++) {
            out[(size_t)i * rows->set_stride] = (int32_t)qn__key_answers(&m->keys[k], code[i]);
            memset(rows->ranks + (size_t)i * rows->rank_stride + 2 * k, 0, 2);
        }
    }
}

void qn__gbdt_predict_by(const qn__gbdt_kernel *kernel, const qn__gbdt *m, const qn_matrix *x,
                         int64_t first, int64_t n, double *raw) {
    _Alignas(64) uint8_t ranks[BATCH_SCRATCH + 64];
    int32_t sets[MAX_SETS + 16];
    qn__ranked rows = {.ranks = ranks, .sets = sets};
    int64_t block;
    qn__gbdt_start(m, x, first, n, raw);
    bool many = kernel->many_rows && qn__gbdt_many_rows(m, n);
    int64_t most = many ? MANY_ROWS : BLOCK_ROWS;
    if (!plan_rows(m, BATCH_SCRATCH, most, &rows, &block) || (n < FEW_ROWS && is_wide(m))) {
        qn__gbdt_add_trees_ref(m, x, first, n, raw);
        return;
    }
    for (int64_t i = 0; i < n; i += block) {
        int64_t n_here = n - i < block ? n - i : block;
        rank_matrix(kernel, m, x, first + i, n_here, &rows);
        kernel->add_trees(m, &rows, n_here, raw + i * m->learner.n_outputs);
    }
}

void qn__gbdt_predict(const qn_learner *learner, const qn_matrix *x, int64_t first, int64_t n,
                      double *raw) {
    qn__gbdt_predict_by(qn__gbdt_kernel_best(), (const qn__gbdt *)learner, x, first, n, raw);
}

/* ---- dense rows ------------------------------------------------------------------------------ */

static void look_up_sets(const qn__gbdt *m, const double *row, uint8_t *ranks, int32_t *sets) {
    sets[0] = 0;
    for (int32_t k = m->n_number_keys; k < m->n_keys; k++) {
        double code = row[m->slot_column[m->keys[k].slot]];
        sets[1 + k - m->n_number_keys] = (int32_t)qn__key_answers(&m->keys[k], code);
        memset(ranks + 2 * k, 0, 2);
    }
}

void qn__gbdt_predict_rows_by(const qn__gbdt_kernel *kernel, const qn__gbdt *m, const double *rows,
                              int64_t n, double *raw) {
    _Alignas(64) uint8_t ranks[ROWS_SCRATCH + 64];
    int32_t sets[MAX_SETS + 16];
    qn__ranked ranked = {.ranks = ranks, .sets = sets};
    int64_t block;
    start_rows(m, rows, n, raw);
    if (!plan_rows(m, ROWS_SCRATCH, BLOCK_ROWS, &ranked, &block) || is_wide(m)) {
        qn__gbdt_add_trees_rows_ref(m, rows, n, raw);
        return;
    }
    for (int64_t i = 0; i < n; i += block) {
        int64_t n_here = n - i < block ? n - i : block;
        for (int64_t r = 0; r < n_here; r++) {
            const double *row = rows + (i + r) * m->learner.n_features;
            kernel->rank_row(m, row, ranks + (size_t)r * ranked.rank_stride);
            if (ranked.set_stride)
                look_up_sets(m, row, ranks + (size_t)r * ranked.rank_stride,
                             sets + (size_t)r * ranked.set_stride);
        }
        kernel->add_trees(m, &ranked, n_here, raw + i * m->learner.n_outputs);
    }
}

void qn__gbdt_predict_rows(const qn_learner *learner, const double *rows, int64_t n, double *raw) {
    qn__gbdt_predict_rows_by(qn__gbdt_kernel_best(), (const qn__gbdt *)learner, rows, n, raw);
}
