/* The packed image as bytes of a file: layout, checks, use in place. docs/FORMAT.md specifies it.
 *
 * Every check is made once, here, so that the kernels need none: that a child lies after its
 * parent and in its tree, that sides, tests, leaves and answers are there. The nodes of 100 MB are
 * checked in about the time their checksum takes. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "learn/family_int.h"
#include "learn/gbdt_image_int.h"
#include "learn/gbdt_int.h"
#include "learn/gbdt_kernel_int.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif

/* ---- layout ---------------------------------------------------------------------------------- */

/* The next array at a multiple of 64, and `at` behind it. */
static const void *place(const unsigned char *image, uint64_t *at, uint64_t n, size_t item_bytes) {
    uint64_t here = (*at + QN__IMAGE_ALIGN - 1) / QN__IMAGE_ALIGN * QN__IMAGE_ALIGN;
    *at = here + n * item_bytes;
    return image ? image + here : NULL;
}

size_t qn__image_layout(const unsigned char *image, const qn__image_header *h, qn__gbdt *m) {
    const uint64_t most = QN_LIMIT_MODEL_BYTES; /* of each: no sum of products can overflow */
    if (h->n_nodes > most || h->n_cuts > most || h->n_answers > most)
        return 0;
    m->learner = (qn_learner){.family = &qn__family_gbdt, .link = (qn_link)h->link,
                              .n_outputs = (int32_t)h->n_outputs,
                              .n_features = (int32_t)h->n_features};
    m->n_trees = (int32_t)h->n_trees;
    m->objective = (int32_t)h->objective;
    m->best_iteration = (int32_t)h->best_iteration;
    m->n_slots = (int32_t)h->n_slots;
    m->n_keys = (int32_t)h->n_keys;
    m->n_number_keys = (int32_t)h->n_number_keys;
    m->side_bits = (int32_t)h->side_bits;
    m->wide = h->side_bits == 0;
    m->n_nodes = (int64_t)h->n_nodes;
    m->n_cuts = (int64_t)h->n_cuts;
    uint64_t at = sizeof *h, n_leaves = (h->n_nodes + h->n_trees) / 2;
    m->image = image;
    m->base = place(image, &at, h->n_outputs, sizeof *m->base);
    if (h->version == QN__GBDT_INIT_VERSION)
        m->init_columns = place(image, &at, h->n_outputs, sizeof *m->init_columns);
    else if (h->init_column && image)
        m->init_columns = &((const qn__image_header *)(const void *)image)->init_column;
    m->slot_gain = place(image, &at, h->n_slots, sizeof *m->slot_gain);
    m->slot_bins = place(image, &at, h->n_slots, sizeof *m->slot_bins);
    m->slot_column = place(image, &at, h->n_slots, sizeof *m->slot_column);
    m->keys = place(image, &at, h->n_keys, sizeof *m->keys);
    m->cuts = place(image, &at, h->n_cuts, sizeof *m->cuts);
    m->answers = place(image, &at, h->n_answers, 1);
    m->start = place(image, &at, (uint64_t)h->n_trees + 1, sizeof *m->start);
    const void *nodes = place(image, &at, h->n_nodes, m->wide ? sizeof *m->wide_nodes
                                                              : sizeof *m->nodes);
    m->nodes = m->wide ? NULL : nodes;
    m->wide_nodes = m->wide ? nodes : NULL;
    m->leaf_form = (qn_leaf_form)h->leaf_form;
    if (m->leaf_form == QN_LEAF_FLOAT64) {
        m->value = place(image, &at, n_leaves, sizeof *m->value);
        m->count = place(image, &at, n_leaves, sizeof *m->count);
    } else {
        m->leaf_range = place(image, &at, h->n_trees, 2 * sizeof *m->leaf_range);
        m->leaf_codes = place(image, &at, n_leaves, qn__leaf_code_bytes(m->leaf_form));
        m->count_codes = place(image, &at, n_leaves, sizeof *m->count_codes);
    }
    (void)place(image, &at, 0, 1);
    at = (at + QN__IMAGE_ALIGN - 1) / QN__IMAGE_ALIGN * QN__IMAGE_ALIGN;
    m->image_bytes = (size_t)at;
    return m->image_bytes;
}

uint32_t qn__side_bits(uint32_t n_keys) {
    uint32_t bits = QN__SIDE_BITS;
    while (2 * (uint64_t)n_keys > (uint64_t)1 << bits)
        bits++;
    return bits;
}

uint32_t qn__cuts_below(const double *cuts, uint32_t n, double x) {
    uint32_t low = 0;
    for (uint32_t step = 1u << 31; step; step >>= 1)
        if (step <= n - low && cuts[low + step - 1] < x)
            low += step;
    return low;
}

/* ---- checks ---------------------------------------------------------------------------------- */

static qn_status damaged(qn_error *err, const char *what) {
    return qn_error_set(err, QN_ERR_FORMAT, "the trees of the model are damaged: %s", what);
}

static bool header_is_fine(const qn__image_header *h, int32_t n_features) {
    uint32_t n_objectives = 0;
    uint64_t zeros = h->zero;
    while (qn__objective_names[n_objectives])
        n_objectives++;
    for (size_t i = 0; i < sizeof h->zeros / sizeof *h->zeros; i++)
        zeros |= h->zeros[i];
    uint32_t side_bits = qn__side_bits(h->n_keys);
    bool classes = h->link == QN_LINK_SOFTMAX || h->link == QN_LINK_OVA;
    bool narrow = h->side_bits == side_bits && side_bits < QN__NODE_BITS;
    bool coded = h->leaf_form >= QN_LEAF_FLOAT16 && h->leaf_form <= QN_LEAF_UINT8;
    bool form_fits = (h->version != QN__GBDT_CODED_VERSION && h->leaf_form == QN_LEAF_FLOAT64)
                     || (h->version != QN__GBDT_VERSION && coded);
    bool init_fits = h->version == QN__GBDT_INIT_VERSION ? !h->init_column && h->n_outputs > 1
                                                         : !h->init_column || h->n_outputs == 1;
    return form_fits && init_fits && h->link <= QN_LINK_OVA && h->n_outputs >= 1
           && h->n_outputs <= QN_LIMIT_CLASSES && h->n_features == (uint32_t)n_features
           && h->init_column <= h->n_features && h->objective >= 1
           && h->objective < n_objectives && h->n_trees <= QN_LIMIT_TREES
           && h->n_trees % h->n_outputs == 0 && h->best_iteration <= h->n_trees / h->n_outputs
           && h->n_slots <= h->n_features && (h->n_outputs > 1) == classes
           && h->n_keys <= INT32_MAX / 2 && h->n_number_keys <= h->n_keys && zeros == 0
           && (h->side_bits == 0 || narrow) && h->n_cuts <= INT32_MAX
           && h->n_answers <= INT32_MAX - QN__IMAGE_ALIGN;
}

WIDE static bool all_finite(const double *x, int64_t n) {
    uint64_t bad = 0;
    for (int64_t i = 0; i < n; i++)
        bad |= !(fabs(x[i]) <= DBL_MAX);
    return !bad;
}

WIDE static bool all_positive(const uint32_t *x, int64_t n) {
    uint32_t bad = 0;
    for (int64_t i = 0; i < n; i++)
        bad |= x[i] == 0;
    return !bad;
}

static bool init_is_fine(const qn__gbdt *m, const qn_feature *features) {
    for (int32_t k = 0; m->init_columns && k < m->learner.n_outputs; k++) {
        uint32_t column = m->init_columns[k];
        if (column < 1 || column > (uint32_t)m->learner.n_features
            || features[column - 1].kind != QN_FEATURE_NUMERIC)
            return false;
    }
    return true;
}

static bool slots_are_fine(const qn__gbdt *m) {
    for (int32_t s = 0; s < m->n_slots; s++)
        if (m->slot_column[s] >= (uint32_t)m->learner.n_features
            || (s > 0 && m->slot_column[s] <= m->slot_column[s - 1])
            || !isfinite(m->slot_gain[s]) || m->slot_gain[s] < 0 || m->slot_bins[s] > UINT32_MAX)
            return false;
    return true;
}

static bool cuts_ascend(const double *cuts, uint32_t n) {
    bool good = !isnan(cuts[0]);
    for (uint32_t i = 1; i < n; i++)
        good &= cuts[i] > cuts[i - 1];
    return good;
}

/* Keys by slots, their cuts and answers one after the other. */
static bool keys_are_fine(const qn__gbdt *m, const qn__image_header *h,
                          const qn_feature *features) {
    uint64_t n_cuts = 0, n_answers = 0;
    for (int32_t k = 0; k < m->n_keys; k++) {
        const qn__gbdt_key *key = &m->keys[k];
        bool is_number = k < m->n_number_keys;
        bool is_first = k == 0 || k == m->n_number_keys;
        if (key->slot >= h->n_slots || (!is_first && key->slot < key[-1].slot) || key->n_tests < 1
            || key->n_tests > QN__KEY_TESTS)
            return false;
        const qn_feature *feature = &features[m->slot_column[key->slot]];
        if (is_number != (feature->kind != QN_FEATURE_CATEGORY))
            return false;
        if (is_number) {
            if (key->n_categories || key->first != n_cuts || key->n_tests > h->n_cuts - n_cuts
                || !cuts_ascend(m->cuts + n_cuts, key->n_tests)
                || key->zero_rank != qn__cuts_below(m->cuts + n_cuts, key->n_tests, 0))
                return false;
            n_cuts += key->n_tests;
            continue;
        }
        uint64_t bytes = ((uint64_t)key->n_categories + 1) * qn__key_row_bytes(key);
        if (key->zero_rank || key->n_categories != (uint32_t)feature->n_categories
            || key->first != n_answers || bytes > h->n_answers - n_answers)
            return false;
        n_answers += bytes;
    }
    return n_cuts == h->n_cuts && n_answers == h->n_answers;
}

static bool starts_are_fine(const qn__gbdt *m) {
    if (m->start[0] != 0 || m->start[m->n_trees] != (uint64_t)m->n_nodes)
        return false;
    for (int32_t t = 0; t < m->n_trees; t++) {
        uint64_t n = m->start[t + 1] - m->start[t];
        if (m->start[t + 1] < m->start[t] || n % 2 == 0 || n > QN_LIMIT_TREE_NODES)
            return false;
    }
    return true;
}

/* The same for nodes of 64 bits, of which only huge trees are made. */
static bool wide_nodes_are_fine(const uint64_t *nodes, uint32_t n, uint32_t n_sides,
                                const uint32_t *n_tests) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t test = (uint32_t)(nodes[i] >> 56), side = (uint32_t)nodes[i];
        uint32_t field = (uint32_t)(nodes[i] >> 32) & 0xffffff;
        bool good = test == QN__LEAF_TEST ? side == 0 && field <= n / 2
                                          : side < n_sides && n_tests[side] > test && field > 0
                                                && i + field < n - 1;
        if (!good)
            return false;
    }
    return true;
}

static qn_status check_trees(const qn__gbdt *m, qn_error *err) {
    uint32_t n_sides = 2 * (uint32_t)m->n_keys;
    size_t n_table = m->wide ? (size_t)n_sides + 1 : (size_t)1 << m->side_bits;
    qn_cleanup(qn_freep) uint32_t *n_tests = qn_new_array(uint32_t, n_table);
    if (!n_tests)
        return qn_error_memory(err);
    for (int32_t k = 0; k < m->n_keys; k++) {
        n_tests[2 * k] = m->keys[k].n_tests;
        n_tests[2 * k + 1] = k < m->n_number_keys ? n_tests[2 * k] : 0;
    }
    const qn__gbdt_kernel *kernel = qn__gbdt_kernel_best();
    for (int32_t t = 0; t < m->n_trees; t++) {
        uint32_t n = (uint32_t)(m->start[t + 1] - m->start[t]);
        bool good = m->wide ? wide_nodes_are_fine(m->wide_nodes + m->start[t], n, n_sides, n_tests)
                            : kernel->nodes_are_fine(m->nodes + m->start[t], n,
                                                     (uint32_t)m->side_bits, n_tests);
        if (!good)
            return damaged(err, "a node of a tree");
    }
    int64_t n_leaves = (m->n_nodes + m->n_trees) / 2;
    if (!all_finite(m->value, n_leaves) || !all_positive(m->count, n_leaves))
        return damaged(err, "a leaf");
    return QN_OK;
}

/* The bytes between the arrays are zero, so that a model has one form. */
static bool gaps_are_zero(const qn__gbdt *m, const qn__image_header *h) {
    int64_t n_leaves = (m->n_nodes + m->n_trees) / 2;
    const void *nodes = m->wide ? (const void *)m->wide_nodes : m->nodes;
    bool coded = m->leaf_form != QN_LEAF_FLOAT64;
    const void *init_end = h->version == QN__GBDT_INIT_VERSION
                               ? (const void *)(m->init_columns + m->learner.n_outputs)
                               : (const void *)(m->base + m->learner.n_outputs);
    const void *const ends[] = {
        m->base + m->learner.n_outputs, init_end, m->slot_gain + m->n_slots,
        m->slot_bins + m->n_slots, m->slot_column + m->n_slots, m->keys + m->n_keys,
        m->cuts + h->n_cuts, m->answers + h->n_answers, m->start + m->n_trees + 1,
        (const unsigned char *)nodes + (size_t)m->n_nodes * (m->wide ? 8 : 4),
        coded ? (const void *)(m->leaf_range + 2 * m->n_trees) : m->value + n_leaves,
        coded ? (const void *)(m->count_codes + n_leaves) : m->count + n_leaves,
        coded ? (const char *)m->leaf_codes + (size_t)n_leaves * qn__leaf_code_bytes(m->leaf_form)
              : (const char *)(m->count + n_leaves)};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        for (const unsigned char *p = ends[i]; (size_t)(p - m->image) % QN__IMAGE_ALIGN; p++)
            if (*p)
                return false;
    return true;
}

qn_status qn__gbdt_attach(const void *bytes, size_t n, const qn_feature *features,
                          int32_t n_features, qn__gbdt *m, qn_error *err) {
    qn__image_header h;
    if (n < sizeof h)
        return damaged(err, "its header");
    memcpy(&h, bytes, sizeof h);
    if (!header_is_fine(&h, n_features))
        return damaged(err, "its header");
    if (qn__image_layout(bytes, &h, m) != n)
        return damaged(err, "its counts");
    if (!all_finite(m->base, h.n_outputs))
        return damaged(err, "a base score");
    if (!init_is_fine(m, features))
        return damaged(err, "the column of initial scores");
    if (!slots_are_fine(m))
        return damaged(err, "a feature");
    if (!keys_are_fine(m, &h, features))
        return damaged(err, "the tests of a feature");
    if (!starts_are_fine(m))
        return damaged(err, "the size of a tree");
    if (!gaps_are_zero(m, &h))
        return damaged(err, "stray bytes");
    QN_TRY(qn__leaves_alloc(m, err));
    qn__leaves_decode(m);
    QN_TRY(check_trees(m, err));
    return qn__gbdt_prepare(m, err);
}

qn_status qn__gbdt_prepare(qn__gbdt *m, qn_error *err) {
    uint32_t most = 1;
    int32_t n = (m->n_number_keys + QN__RANK_KEYS - 1) / QN__RANK_KEYS * QN__RANK_KEYS;
    m->rank_plan = qn_calloc_aligned((size_t)n, 3 * sizeof *m->rank_plan);
    if (!m->rank_plan)
        return qn_error_memory(err);
    m->rank_planned = n;
    for (int32_t k = 0; k < m->n_number_keys; k++) {
        const qn__gbdt_key *key = &m->keys[k];
        most = key->n_tests > most ? key->n_tests : most;
        m->rank_plan[k] = (int32_t)m->slot_column[key->slot];
        m->rank_plan[n + k] = (int32_t)key->n_tests;
        m->rank_plan[2 * n + k] = (int32_t)key->first - 1;
    }
    m->rank_step = 1 << (31 - __builtin_clz(most));
    return QN_OK;
}

/* ---- the family's functions ------------------------------------------------------------------ */

qn_status qn__gbdt_save(const qn_learner *learner, qn_buf *out, qn_error *err) {
    const qn__gbdt *m = (const qn__gbdt *)learner;
    qn_buf_put(out, m->image, m->image_bytes);
    return qn_buf_status(out, err);
}

static void model_free(qn__gbdt **m) {
    qn__gbdt_free(*m ? &(*m)->learner : NULL);
    *m = NULL;
}

static qn_status load_v1(const void *bytes, size_t n, const qn_feature *features,
                         int32_t n_features, qn_learner **ret_learner, qn_error *err) {
    qn_cleanup(qn__plain_done) qn__plain plain = {0};
    QN_TRY(qn__gbdt_read_v1(bytes, n, features, n_features, &plain, err));
    return qn__gbdt_pack(&plain, features, ret_learner, err);
}

qn_status qn__gbdt_load(const void *bytes, size_t n, const qn_feature *features, int32_t n_features,
                        qn_learner **ret_learner, qn_error *err) {
    qn_reader in = {.data = bytes, .len = n};
    uint32_t version = qn_reader_u32(&in);
    if (version == 1)
        return load_v1(bytes, n, features, n_features, ret_learner, err);
    QN_FAIL_IF(version < QN__GBDT_VERSION || version > QN__GBDT_INIT_VERSION, err, QN_ERR_FORMAT,
               "gbdt version %u is not one this build reads", version);
    qn_cleanup(model_free) qn__gbdt *m = qn_new(qn__gbdt);
    if (!m)
        return qn_error_memory(err);
    /* A section of a file lies at a multiple of 64; bytes from elsewhere may not. */
    if ((uintptr_t)bytes % QN__IMAGE_ALIGN) {
        if (!(m->owned = qn_malloc_aligned(n, 1)))
            return qn_error_memory(err);
        bytes = memcpy(m->owned, bytes, n);
    }
    QN_TRY(qn__gbdt_attach(bytes, n, features, n_features, m, err));
    *ret_learner = &qn_steal(&m)->learner;
    return QN_OK;
}

void qn__gbdt_free(qn_learner *learner) {
    qn__gbdt *m = (qn__gbdt *)learner;
    if (!m)
        return;
    qn_freep(&m->rank_plan);
    qn_freep(&m->own_value);
    qn_freep(&m->own_count);
    qn_freep(&m->owned);
    qn__gbdt_asked_free(m);
    qn_freep(&m);
}

qn_status qn__gbdt_depth(const qn__gbdt *m, int32_t *ret_depth, qn_error *err) {
    uint64_t longest = 1;
    for (int32_t t = 0; t < m->n_trees; t++)
        longest = m->start[t + 1] - m->start[t] > longest ? m->start[t + 1] - m->start[t] : longest;
    qn_cleanup(qn_freep) int32_t *depth = qn_new_array(int32_t, longest);
    if (!depth)
        return qn_error_memory(err);
    int32_t most = 0;
    for (int32_t t = 0; t < m->n_trees; t++) {
        for (uint32_t i = 0; i < m->start[t + 1] - m->start[t]; i++) {
            qn__gbdt_node node = qn__gbdt_node_at(m, m->start[t], i);
            if (!node.is_leaf)
                depth[node.to] = depth[node.to + 1] = depth[i] + 1;
            most = depth[i] > most ? depth[i] : most;
        }
    }
    *ret_depth = most;
    return QN_OK;
}
