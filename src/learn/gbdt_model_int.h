/* gbdt_model_int.h - the fitted trees: as training hands them over, and packed as they are saved,
 * memory-mapped and scored.
 *
 *   gbdt_model  trees as grown         gbdt_pack     -> packed bytes
 *   gbdt_io     packed bytes checked   gbdt_predict  rows -> ranks -> scores, by one of the kernels
 *   gbdt_walk*  the kernels            gbdt_shap     explanations
 */
#ifndef QN_LEARN_GBDT_MODEL_INT_H
#define QN_LEARN_GBDT_MODEL_INT_H

#include "learn/gbdt_prune.h"

/* ---- trees as grown -------------------------------------------------------------------------- */

/* Nodes of a tree in breadth-first order: the right child follows the left one. */
enum {
    QN__NODE_LEAF = 1u << 31,
    QN__NODE_CATEGORY = 1u << 30,
    QN__NODE_MISSING_LEFT = 1u << 29,
    QN__NODE_SLOT = (1u << 29) - 1,
};

typedef struct qn__plain_node {
    union {
        double threshold;              /* left when x <= threshold */
        struct {
            uint32_t first_word, n_words; /* left when the bit of the code is set */
        } set;
        double value;                  /* of a leaf */
    };
    uint32_t slot_flags;
    union {
        uint32_t left;                 /* from the start of the tree */
        uint32_t count;                /* of a leaf: training rows */
    };
} qn__plain_node;

/* A slot is a feature that trees split by. */
typedef struct qn__plain {
    qn_link link;
    int32_t n_outputs, n_features;
    int32_t n_trees;      /* rounds x n_outputs; tree i belongs to output i % n_outputs */
    int32_t objective;    /* index into qn__objective_names */
    int32_t best_iteration;
    qn_leaf_form leaf_form; /* how they are packed */
    uint32_t *init_columns; /* owned; n_outputs: 1 + the feature added to the raw score; NULL: none */
    double *base;         /* owned; n_outputs */
    int64_t *start;       /* owned; n_trees + 1 */
    qn__plain_node *nodes; /* owned */
    uint32_t *words;      /* owned; category sets */
    int64_t n_words;
    int32_t n_slots;
    int32_t *slot_column; /* owned; ascending */
    double *slot_gain;    /* owned */
    uint64_t *slot_bins;  /* owned: bins the feature had */
} qn__plain;

void qn__plain_done(qn__plain *plain);

/* ---- the packed form ------------------------------------------------------------------------- */

/* A key is up to 255 tests of one feature that share one look-up of the row: a number becomes its
 * rank among the ascending cuts of the key (how many are below it: x <= cut[t] is rank <= t), a
 * category a row of bits, one per test. All node tests are bytes then, and a node
 *
 *       31      24 23                  side_bits 0
 *      +----------+----------------------+--------+      side = 2 key + (missing goes left)
 *      |   test   | left child - itself  |  side  |      left when rank <= test; right child after it
 *      +----------+----------------------+--------+
 *      |   255    | number of the leaf   |   0    |      a leaf; leaves of a tree count from 0
 *      +----------+----------------------+--------+
 *
 * or 64 bits, with the test in 63..56, the child in 55..32 and the side below, when one of them
 * does not fit. The two sides of a key differ for missing values only: rank 255 goes right at any
 * test, rank 0 left. */
enum {
    QN__KEY_TESTS = 255,
    QN__LEAF_TEST = 255,
    QN__SIDE_BITS = 8,      /* at least; so that the smallest nodes need no mask */
    QN__NODE_BITS = 24,     /* for side and child; in wide nodes the child alone has so many */
    QN__RANK_KEYS = 32,     /* keys that kernels rank at once */
};

typedef struct qn__gbdt_key {
    uint32_t slot;
    uint32_t n_tests;       /* 1 .. 255 */
    uint32_t n_categories;  /* 0 for numbers */
    uint32_t zero_rank;     /* numbers: the rank of 0, which most values of a sparse column have */
    uint64_t first;         /* numbers: its first cut; categories: its first byte of answers */
} qn__gbdt_key;

/* Arrays of the model lie in `image`, the bytes of the learner section (docs/FORMAT.md): in a
 * mapped file, or owned. */
typedef struct qn__gbdt {
    qn_learner learner;     /* first */
    int32_t n_trees, objective, best_iteration, n_slots;
    int32_t n_keys, n_number_keys; /* keys of numbers first */
    int32_t side_bits;      /* of nodes of 32 bits */
    bool wide;              /* nodes of 64 bits */
    int64_t n_nodes, n_cuts;
    int32_t rank_step;      /* where a search among the cuts of any key begins: a power of 2 */
    int32_t *rank_plan;     /* owned; what ranking a row needs of the keys of numbers: columns, numbers
                             * of cuts, first cuts less 1; each rank_planned long, 0 beyond the keys */
    int32_t rank_planned;   /* a multiple of QN__RANK_KEYS */
    const double *base;     /* n_outputs */
    const uint32_t *init_columns; /* n_outputs: 1 + the feature added to the raw score; NULL: none */
    const double *slot_gain;
    const uint64_t *slot_bins;
    const uint32_t *slot_column; /* ascending */
    const qn__gbdt_key *keys;
    const double *cuts;
    const uint8_t *answers; /* [n_categories + 1][bytes of n_tests]: bit set: right; last: missing */
    const uint64_t *start;  /* n_trees + 1: first node of a tree */
    const uint32_t *nodes;  /* NULL when wide */
    const uint64_t *wide_nodes;
    const double *value;    /* per leaf, by trees; in the image, or own_value */
    const uint32_t *count;  /* per leaf: training rows; in the image, or own_count */
    qn_leaf_form leaf_form; /* FLOAT64: the four below are NULL */
    const float *leaf_range; /* low and step of each tree */
    const void *leaf_codes; /* per leaf */
    const uint16_t *count_codes; /* per leaf */
    double *own_value;      /* owned; what the codes mean */
    uint32_t *own_count;    /* owned */
    const unsigned char *image; /* 64-byte aligned */
    size_t image_bytes;
    void *owned;            /* owned; the image when it is not the caller's */
    struct qn__asked_trees *asked; /* owned; atomic: of gbdt_walk_rows.c, made when first needed; NULL: not
                                    * made, for there was no need, or too little memory, or too many trees */
} qn__gbdt;

/* A node taken apart. */
typedef struct qn__gbdt_node {
    bool is_leaf;
    uint32_t to;            /* inner: left child from the start of the tree; leaf: its number */
    uint32_t side, test;
} qn__gbdt_node;

static inline qn__gbdt_node qn__gbdt_node_at(const qn__gbdt *m, uint64_t start, uint32_t at) {
    uint32_t test, side, field;
    if (m->wide) {
        uint64_t node = m->wide_nodes[start + at];
        test = (uint32_t)(node >> 56);
        field = (uint32_t)(node >> 32) & 0xffffff;
        side = (uint32_t)node;
    } else {
        uint32_t node = m->nodes[start + at];
        test = node >> 24;
        field = (node & 0xffffff) >> m->side_bits;
        side = node & ((1u << m->side_bits) - 1);
    }
    bool is_leaf = test == QN__LEAF_TEST;
    return (qn__gbdt_node){is_leaf, is_leaf ? field : at + field, side, test};
}

/* A tree of n leaves has 2 n - 1 nodes, so starts of nodes tell starts of leaves. */
static inline uint64_t qn__gbdt_leaf_start(const qn__gbdt *m, int32_t tree) {
    return (m->start[tree] + (uint64_t)tree) / 2;
}

static inline size_t qn__key_row_bytes(const qn__gbdt_key *key) {
    return (key->n_tests + 7) / 8;
}
/* Where the answers for a code begin; anything but a code of training is missing. */
static inline uint64_t qn__key_answers(const qn__gbdt_key *key, double code) {
    bool known = code >= 0 && code < (double)key->n_categories;
    uint64_t row = known ? (uint64_t)code : key->n_categories;
    return key->first + row * qn__key_row_bytes(key);
}

/* Where a value of its feature goes: the definition that the kernels are tested against. */
static inline bool qn__gbdt_node_goes_right(const qn__gbdt *m, const qn__gbdt_node *node,
                                            double x) {
    const qn__gbdt_key *key = &m->keys[node->side >> 1];
    if (node->side >> 1 >= (uint32_t)m->n_number_keys)
        return m->answers[qn__key_answers(key, x) + (node->test >> 3)] >> (node->test & 7) & 1;
    double cut = m->cuts[key->first + node->test];
    return node->side & 1 ? x > cut : !(x <= cut);
}
static inline uint32_t qn__gbdt_node_slot(const qn__gbdt *m, const qn__gbdt_node *node) {
    return m->keys[node->side >> 1].slot;
}

/* Packs trees. `features`: of the matrix. */
qn_status qn__gbdt_pack(const qn__plain *plain, const qn_feature *features,
                        qn_learner **ret_learner, qn_error *err) QN_MUST_USE;
/* Checks packed bytes at a multiple of 64, which the model borrows. */
qn_status qn__gbdt_attach(const void *bytes, size_t n, const qn_feature *features,
                          int32_t n_features, qn__gbdt *ret_model, qn_error *err) QN_MUST_USE;
qn_status qn__gbdt_read_v1(const void *bytes, size_t n, const qn_feature *features,
                           int32_t n_features, qn__plain *ret_plain, qn_error *err) QN_MUST_USE;
/* Leaves of other forms (gbdt_leaves.c): room for what the codes mean, which becomes `value` and
 * `count`; that from the codes; and the codes from that, which then is what they mean (QN_ERR_LIMIT
 * for leaves that are too large). */
qn_status qn__leaves_alloc(qn__gbdt *m, qn_error *err) QN_MUST_USE;
void qn__leaves_decode(qn__gbdt *m);
qn_status qn__leaves_encode(qn__gbdt *m, qn_error *err) QN_MUST_USE;
size_t qn__leaf_code_bytes(qn_leaf_form form);
/* Fills what is derived from the keys. */
qn_status qn__gbdt_prepare(qn__gbdt *m, qn_error *err) QN_MUST_USE;
/* Steps from a root to the deepest leaf. */
qn_status qn__gbdt_depth(const qn__gbdt *m, int32_t *ret_depth, qn_error *err) QN_MUST_USE;
void qn__gbdt_free(qn_learner *learner);


/* ---- uses ------------------------------------------------------------------------------------ */

/* One value of a matrix as the nodes see it: codes as numbers, sparse zeros as 0. */
double qn__matrix_value(const qn_matrix *x, int32_t column, int64_t row);

/* Scores by one of the kernels (gbdt_kernel_int.h). */
void qn__gbdt_predict(const qn_learner *learner, const qn_matrix *x, int64_t first, int64_t n,
                      double *raw);
void qn__gbdt_predict_rows(const qn_learner *learner, const double *rows, int64_t n, double *raw);
qn_status qn__gbdt_explain(const qn_learner *learner, const qn_matrix *x, int64_t first, int64_t n,
                           double *contrib, qn_error *err);
qn_status qn__gbdt_interactions(const qn_learner *learner, const qn_matrix *x, int64_t first,
                                int64_t n, const int32_t *group, int32_t n_groups, double *pairs,
                                qn_error *err);
qn_status qn__gbdt_dependence(const qn_learner *learner, const qn_matrix *x, int64_t first,
                              int64_t n, const bool *follows, double *raw, qn_error *err);
qn_status qn__gbdt_save(const qn_learner *learner, qn_buf *out, qn_error *err);
qn_status qn__gbdt_load(const void *bytes, size_t n, const qn_feature *features, int32_t n_features,
                        qn_learner **ret_learner, qn_error *err);

#endif
