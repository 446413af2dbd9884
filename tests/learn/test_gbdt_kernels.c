/* Scoring by trees: every kernel that runs here, the plain reference, a row alone and in a batch, from
 * a matrix and from dense rows, packed, saved and read from version 1 - all must give the bits of
 * the definition, which is written down once more here, on the trees before they are packed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "learn/family_int.h"
#include "learn/gbdt_int.h"
#include "learn/gbdt_kernel_int.h"

typedef struct shape {
    const char *what;
    int n_numbers, n_sparse, n_categories, n_codes; /* features by kind; codes of a category */
    int n_trees, n_leaves, n_outputs, n_cuts;
    double spread; /* chance that a node with others beside it is split: small for deep trees */
    int n_rows;
    bool wide;     /* needs nodes of 64 bits */
} shape;

static const shape shapes[] = {
    {"28 numbers", 28, 0, 0, 0, 100, 255, 1, 250, 0.7, 150},
    {"exactly 255 cuts", 3, 0, 0, 0, 40, 255, 1, 255, 0.7, 100},
    {"256 cuts", 2, 0, 0, 0, 40, 255, 1, 256, 0.7, 100},
    {"thousands of cuts", 2, 1, 0, 0, 60, 200, 1, 4000, 0.7, 100},
    {"32 columns fill a register", 32, 0, 0, 0, 33, 31, 1, 20, 0.5, 67},
    {"33 columns need two", 33, 0, 0, 0, 33, 31, 1, 20, 0.5, 67},
    {"64 columns fill two", 60, 4, 0, 0, 17, 60, 1, 100, 0.5, 67},
    {"300 columns", 280, 20, 0, 0, 70, 120, 1, 60, 0.6, 67},
    {"categories among numbers", 6, 2, 5, 40, 64, 100, 1, 90, 0.6, 120},
    {"many splits by few categories", 1, 0, 2, 7, 90, 200, 1, 30, 0.7, 100},
    {"only categories", 0, 0, 3, 1000, 20, 60, 1, 1, 0.6, 130},
    {"categories among many numbers", 100, 30, 9, 70, 40, 90, 1, 50, 0.6, 80},
    {"classes", 7, 2, 2, 20, 105, 40, 5, 60, 0.5, 90},
    {"more classes than lanes", 9, 0, 0, 0, 190, 12, 19, 60, 0.5, 90},
    {"256 leaves", 5, 1, 0, 0, 20, 256, 1, 200, 0.7, 300},
    {"257 leaves", 5, 1, 0, 0, 20, 257, 1, 200, 0.7, 300},
    {"chains of numbers", 10, 0, 0, 0, 30, 256, 2, 100, 0, 300},
    {"more sides than are turned at once", 300, 0, 0, 0, 40, 255, 1, 60, 0.6, 300},
    {"chains", 10, 2, 1, 30, 30, 250, 1, 100, 0, 70},
    {"stumps", 10, 0, 1, 5, 100, 2, 1, 10, 0.5, 70},
    {"single leaves", 4, 0, 0, 0, 35, 1, 1, 10, 0.5, 40},
    {"no trees", 4, 1, 1, 4, 0, 1, 1, 10, 0.5, 20},
    {"sparse and wide", 20, 3000, 4, 9, 40, 60, 1, 5, 0.6, 50},
    {"wider than the scratch", 300, 12000, 0, 0, 30, 2000, 1, 3, 0.8, 20, true},
    {"trees too large for small nodes", 40, 0, 3, 50, 3, 70000, 1, 300, 0.9, 60, true},
};

typedef struct world {
    const shape *s;
    qn_rng rng;
    int n_features;
    qn_feature *features;
    qn_matrix *x;
    double *rows, *expected;
    double *cuts; /* n_features x n_cuts */
    qn__plain plain;
} world;

static bool chance(world *w, double p) {
    return qn_rng_uniform(&w->rng) < p;
}

static double odd_number(world *w, int feature) {
    static const double odd[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, 5e-324, 1e308, -1e308};
    const double *cuts = w->cuts + (size_t)feature * (size_t)w->s->n_cuts;
    double cut = cuts[qn_rng_below(&w->rng, (uint64_t)w->s->n_cuts)];
    switch (qn_rng_below(&w->rng, 5)) {
    case 0: return odd[qn_rng_below(&w->rng, sizeof odd / sizeof *odd)];
    case 1: return cut;
    case 2: return nextafter(cut, INFINITY);
    case 3: return nextafter(cut, -INFINITY);
    default: return qn_rng_normal(&w->rng);
    }
}

static void make_features(world *w) {
    const shape *s = w->s;
    w->n_features = s->n_numbers + s->n_sparse + s->n_categories;
    w->features = qn_new_array(qn_feature, w->n_features);
    w->cuts = qn_new_array(double, w->n_features *s->n_cuts);
    for (int f = 0; f < w->n_features; f++) {
        /* Kinds change from column to column, so that keys and columns differ in order. */
        int left[] = {s->n_numbers, s->n_sparse, s->n_categories};
        for (int g = 0; g < f; g++)
            left[w->features[g].kind == QN_FEATURE_NUMERIC  ? 0
                 : w->features[g].kind == QN_FEATURE_SPARSE ? 1
                                                            : 2]--;
        int kind;
        do
            kind = (int)qn_rng_below(&w->rng, 3);
        while (left[kind] == 0);
        w->features[f].kind = (qn_feature_kind[]){QN_FEATURE_NUMERIC, QN_FEATURE_SPARSE,
                                                  QN_FEATURE_CATEGORY}[kind];
        w->features[f].n_categories = kind == 2 ? s->n_codes : 0;
        for (int c = 0; c < s->n_cuts; c++)
            w->cuts[f * s->n_cuts + c] = c == 0   ? INFINITY
                                         : c == 1 ? -0.0
                                         : c == 2 ? -INFINITY
                                         : c == 3 ? 0.0
                                                  : qn_rng_normal(&w->rng);
    }
}

static void make_rows(world *w) {
    qn_error err = {0};
    int64_t n = w->s->n_rows;
    assert_int_equal(qn_matrix_new(n, w->features, w->n_features, &w->x, &err), QN_OK);
    for (int f = 0; f < w->n_features; f++) {
        qn_matrix_column *c = &w->x->columns[f];
        if (w->features[f].kind == QN_FEATURE_SPARSE) {
            c->row = qn_new_array(int64_t, n);
            c->value = qn_new_array(double, n);
        }
        for (int64_t i = 0; i < n; i++) {
            if (c->num)
                c->num[i] = odd_number(w, f);
            else if (c->code)
                c->code[i] = (int32_t)qn_rng_below(&w->rng, (uint64_t)w->s->n_codes + 1) - 1;
            else if (chance(w, 0.2)) {
                c->row[c->n_set] = i;
                c->value[c->n_set++] = odd_number(w, f);
            }
        }
    }
    w->rows = qn_new_array(double, n *w->n_features);
    qn_matrix_rows(w->x, 0, n, w->rows);
}

static void make_split(world *w, qn__plain_node *node) {
    int32_t slot = (int32_t)qn_rng_below(&w->rng, (uint64_t)w->n_features);
    node->slot_flags = (uint32_t)slot | (chance(w, 0.5) ? QN__NODE_MISSING_LEFT : 0);
    if (w->features[slot].kind != QN_FEATURE_CATEGORY) {
        node->threshold = w->cuts[slot * w->s->n_cuts
                                  + (int)qn_rng_below(&w->rng, (uint64_t)w->s->n_cuts)];
        return;
    }
    node->slot_flags |= QN__NODE_CATEGORY;
    node->set.first_word = (uint32_t)w->plain.n_words;
    node->set.n_words = (uint32_t)(w->s->n_codes + 31) / 32;
    for (int c = 0; c < w->s->n_codes; c++)
        if (chance(w, 0.5))
            w->plain.words[w->plain.n_words + c / 32] |= 1u << c % 32;
    w->plain.n_words += node->set.n_words;
}

/* A random shape with so many leaves, in breadth-first order. */
static void make_tree(world *w, qn__plain_node *nodes, int n_leaves) {
    int n_inner = 0, next = 1;
    for (int i = 0; i < 2 * n_leaves - 1; i++) {
        bool must = next == i + 1 && n_inner < n_leaves - 1, may = n_inner < n_leaves - 1;
        if (must || (may && chance(w, w->s->spread))) {
            make_split(w, &nodes[i]);
            nodes[i].left = (uint32_t)next;
            next += 2;
            n_inner++;
        } else {
            nodes[i] = (qn__plain_node){.value = qn_rng_normal(&w->rng),
                                        .count = 1 + (uint32_t)i % 99,
                                        .slot_flags = QN__NODE_LEAF};
        }
    }
}

static void make_trees(world *w) {
    const shape *s = w->s;
    qn__plain *p = &w->plain;
    int64_t n_nodes = (int64_t)s->n_trees * (2 * s->n_leaves - 1);
    *p = (qn__plain){.link = s->n_outputs > 1 ? QN_LINK_SOFTMAX : QN_LINK_IDENTITY,
                     .n_outputs = s->n_outputs, .n_features = w->n_features, .n_trees = s->n_trees,
                     .objective = 1, .best_iteration = s->n_trees / s->n_outputs,
                     .n_slots = w->n_features};
    p->base = qn_new_array(double, s->n_outputs);
    p->start = qn_new_array(int64_t, s->n_trees + 1);
    p->nodes = qn_new_array(qn__plain_node, n_nodes);
    p->words = qn_new_array(uint32_t, n_nodes *((s->n_codes + 31) / 32));
    p->slot_column = qn_new_array(int32_t, p->n_slots);
    p->slot_gain = qn_new_array(double, p->n_slots);
    p->slot_bins = qn_new_array(uint64_t, p->n_slots);
    for (int k = 0; k < s->n_outputs; k++)
        p->base[k] = 0.1 * k;
    for (int32_t f = 0; f < p->n_slots; f++)
        p->slot_column[f] = f;
    for (int t = 0; t < s->n_trees; t++) {
        /* Sizes differ from tree to tree. */
        int n_leaves = 1 + (int)qn_rng_below(&w->rng, (uint64_t)s->n_leaves);
        n_leaves = t % 3 ? s->n_leaves : n_leaves;
        p->start[t + 1] = p->start[t] + 2 * n_leaves - 1;
        make_tree(w, p->nodes + p->start[t], n_leaves);
    }
}

static bool goes_right(const qn__plain *p, const qn__plain_node *node, double x) {
    bool missing_right = !(node->slot_flags & QN__NODE_MISSING_LEFT);
    if (node->slot_flags & QN__NODE_CATEGORY) {
        if (x < 0)
            return missing_right;
        int c = (int)x;
        return !(p->words[node->set.first_word + (uint32_t)c / 32] >> c % 32 & 1);
    }
    return isnan(x) ? missing_right : x > node->threshold;
}

static void score_plainly(world *w) {
    const qn__plain *p = &w->plain;
    w->expected = qn_new_array(double, w->s->n_rows * p->n_outputs);
    for (int i = 0; i < w->s->n_rows; i++) {
        double *out = w->expected + i * p->n_outputs;
        memcpy(out, p->base, (size_t)p->n_outputs * sizeof *out);
        for (int t = 0; t < p->n_trees; t++) {
            const qn__plain_node *nodes = p->nodes + p->start[t], *node = nodes;
            while (!(node->slot_flags & QN__NODE_LEAF)) {
                uint32_t slot = node->slot_flags & QN__NODE_SLOT;
                double x = w->rows[(size_t)i * (size_t)w->n_features + slot];
                node = nodes + node->left + goes_right(p, node, x);
            }
            out[t % p->n_outputs] += node->value;
        }
    }
}

static void world_init(world *w, const shape *s, uint64_t seed) {
    memset(w, 0, sizeof *w);
    w->s = s;
    qn_rng_init(&w->rng, seed);
    make_features(w);
    make_rows(w);
    make_trees(w);
    score_plainly(w);
}

static void world_done(world *w) {
    qn__plain_done(&w->plain);
    qn_matrix_free(&w->x);
    qn_freep(&w->features);
    qn_freep(&w->cuts);
    qn_freep(&w->rows);
    qn_freep(&w->expected);
}

/* Batches of several lengths and places, and rows alone. */
static void check_kernel(const world *w, const qn__gbdt *m, const qn__gbdt_kernel *kernel) {
    int64_t n = w->s->n_rows, n_k = m->learner.n_outputs, width = w->n_features;
    size_t bytes = (size_t)(n * n_k) * sizeof(double);
    double *raw = qn_new_array(double, n *n_k);
    static const int64_t lengths[] = {INT64_MAX, 1, 2, 3, 5, 17};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        for (int dense = 0; dense < 2; dense++) {
            memset(raw, 0, bytes);
            for (int64_t i = 0; i < n; i += lengths[k] < n ? lengths[k] : n) {
                int64_t n_here = n - i < lengths[k] ? n - i : lengths[k];
                if (dense)
                    qn__gbdt_predict_rows_by(kernel, m, w->rows + i * width, n_here, raw + i * n_k);
                else
                    qn__gbdt_predict_by(kernel, m, w->x, i, n_here, raw + i * n_k);
            }
            if (memcmp(raw, w->expected, bytes) != 0)
                fail_msg("%s: kernel %s, %s, %lld at a time", w->s->what, kernel->name,
                         dense ? "rows" : "matrix", (long long)lengths[k]);
        }
    }
    qn_freep(&raw);
}

static void check_reference(const world *w, const qn__gbdt *m) {
    int64_t n = w->s->n_rows, n_k = m->learner.n_outputs;
    size_t bytes = (size_t)(n * n_k) * sizeof(double);
    double *raw = qn_new_array(double, n *n_k), *raw_rows = qn_new_array(double, n *n_k);
    for (int64_t i = 0; i < n * n_k; i++)
        raw[i] = raw_rows[i] = m->base[i % n_k];
    qn__gbdt_add_trees_ref(m, w->x, 0, n, raw);
    qn__gbdt_add_trees_rows_ref(m, w->rows, n, raw_rows);
    assert_memory_equal(raw, w->expected, bytes);
    assert_memory_equal(raw_rows, w->expected, bytes);
    qn_freep(&raw);
    qn_freep(&raw_rows);
}

static void kernels_give_the_bits_of_the_definition(void **state) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        world w;
        world_init(&w, &shapes[i], 100 + i);
        qn_error err = {0};
        qn_learner *learner = NULL;
        assert_int_equal(qn__gbdt_pack(&w.plain, w.features, &learner, &err), QN_OK);
        const qn__gbdt *m = (const qn__gbdt *)learner;
        assert_true(m->wide == shapes[i].wide);
        check_reference(&w, m);
        for (const qn__gbdt_kernel *const *kernel = qn__gbdt_kernels; *kernel; kernel++)
            if ((*kernel)->runs_here())
                check_kernel(&w, m, *kernel);
        qn__gbdt_free(learner);
        world_done(&w);
    }
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Version 1, as docs/FORMAT.md specifies it. */
static void write_v1(const qn__plain *p, qn_buf *out) {
    const uint32_t header[] = {1, p->link, (uint32_t)p->n_outputs, (uint32_t)p->n_features,
                               (uint32_t)p->objective, (uint32_t)p->best_iteration,
                               (uint32_t)p->n_trees, (uint32_t)p->n_slots};
    qn_buf_put(out, header, sizeof header);
    qn_buf_put(out, p->base, (size_t)p->n_outputs * sizeof *p->base);
    for (int32_t s = 0; s < p->n_slots; s++) {
        qn_buf_put_u32(out, (uint32_t)p->slot_column[s]);
        qn_buf_put_f64(out, p->slot_gain[s]);
        qn_buf_put_u64(out, p->slot_bins[s]);
    }
    for (int32_t t = 0; t < p->n_trees; t++) {
        qn_buf_put_u32(out, (uint32_t)(p->start[t + 1] - p->start[t]));
        for (int64_t i = p->start[t]; i < p->start[t + 1]; i++) {
            const qn__plain_node *node = &p->nodes[i];
            qn_buf_put_u32(out, node->slot_flags);
            if (node->slot_flags & QN__NODE_CATEGORY) {
                qn_buf_put_u32(out, node->set.n_words);
                qn_buf_put(out, p->words + node->set.first_word, node->set.n_words * 4);
                continue;
            }
            qn_buf_put_f64(out, node->slot_flags & QN__NODE_LEAF ? node->value : node->threshold);
            if (node->slot_flags & QN__NODE_LEAF)
                qn_buf_put_u32(out, node->count);
        }
    }
}

static void old_and_new_bytes_say_the_same(void **state) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        world w;
        world_init(&w, &shapes[i], 200 + i);
        qn_error err = {0};
        qn_cleanup(qn_buf_done) qn_buf old = {0};
        qn_cleanup(qn_buf_done) qn_buf packed = {0};
        qn_cleanup(qn_buf_done) qn_buf again = {0};
        qn_learner *learner = NULL, *from_old = NULL, *from_new = NULL;
        const qn_family *family = NULL;
        assert_int_equal(qn_family_find("gbdt", &family, &err), QN_OK);
        assert_int_equal(qn__gbdt_pack(&w.plain, w.features, &learner, &err), QN_OK);
        assert_int_equal(family->save(learner, &packed, &err), QN_OK);
        write_v1(&w.plain, &old);
        assert_int_equal(
            family->load(old.data, old.len, w.features, w.n_features, &from_old, &err), QN_OK);
        assert_int_equal(family->save(from_old, &again, &err), QN_OK);
        assert_int_equal(again.len, packed.len);
        assert_memory_equal(again.data, packed.data, packed.len);
        /* At any address: only at a multiple of 64 in place. */
        for (size_t shift = 0; shift < 2; shift++) {
            unsigned char *bytes = qn_malloc_aligned(packed.len + shift, 1);
            memcpy(bytes + shift, packed.data, packed.len);
            assert_int_equal(family->load(bytes + shift, packed.len, w.features, w.n_features,
                                          &from_new, &err), QN_OK);
            assert_true((((qn__gbdt *)from_new)->owned == NULL) == (shift == 0));
            check_kernel(&w, (const qn__gbdt *)from_new, qn__gbdt_kernel_best());
            qn__gbdt_free(from_new);
            qn_freep(&bytes);
        }
        qn__gbdt_free(learner);
        qn__gbdt_free(from_old);
        world_done(&w);
    }
}

/* Every value of every byte of every node: what is not refused can be scored and explained. */
static bool is_safe(const qn__gbdt *m, int32_t tree, uint32_t at) {
    qn__gbdt_node node = qn__gbdt_node_at(m, m->start[tree], at);
    uint32_t n = (uint32_t)(m->start[tree + 1] - m->start[tree]);
    if (node.is_leaf)
        return node.to <= n / 2 && node.side == 0;
    int32_t key = (int32_t)node.side / 2;
    return node.to > at && node.to + 1 < n && key < m->n_keys && node.test < m->keys[key].n_tests
           && (key < m->n_number_keys || node.side % 2 == 0);
}

static void check_nodes(const qn__gbdt *m, int32_t tree, bool are_safe) {
    uint32_t n_tests[256] = {0};
    for (int32_t k = 0; k < m->n_keys; k++) {
        n_tests[2 * k] = m->keys[k].n_tests;
        n_tests[2 * k + 1] = k < m->n_number_keys ? m->keys[k].n_tests : 0;
    }
    for (const qn__gbdt_kernel *const *kernel = qn__gbdt_kernels; *kernel; kernel++)
        if ((*kernel)->runs_here())
            assert_int_equal((*kernel)->nodes_are_fine(m->nodes + m->start[tree],
                                                       (uint32_t)(m->start[tree + 1]
                                                                  - m->start[tree]),
                                                       8, n_tests), are_safe);
}

/* Nodes may share children in a file that somebody made up: many rows at once are scored as alone. */
static void check_many(const world *w, const qn_learner *learner) {
    double together[128], alone[128];
    const qn__gbdt *m = (const qn__gbdt *)learner;
    int64_t n = w->s->n_rows;
    assert_true(n <= 128);
    if (!qn__gbdt_many_rows(m, n))
        return;
    qn__gbdt_predict_by(&qn__gbdt_kernel_plain, m, w->x, 0, n, together);
    qn__gbdt_predict_rows_by(&qn__gbdt_kernel_plain, m, w->rows, QN__MANY_ROWS - 1, alone);
    assert_memory_equal(together, alone, (QN__MANY_ROWS - 1) * sizeof *alone);
}

/* The model, and a copy of its bytes to be changed. */
static unsigned char *packed_bytes(const world *w, qn_learner **ret_learner) {
    qn_error err = {0};
    assert_int_equal(qn__gbdt_pack(&w->plain, w->features, ret_learner, &err), QN_OK);
    const qn__gbdt *m = (const qn__gbdt *)*ret_learner;
    unsigned char *bytes = qn_malloc_aligned(m->image_bytes, 1);
    memcpy(bytes, m->image, m->image_bytes);
    return bytes;
}

static void unsafe_nodes_are_refused(const shape *small) {
    world w;
    world_init(&w, small, 7);
    qn_error err = {0};
    qn_learner *learner = NULL, *loaded = NULL;
    unsigned char *bytes = packed_bytes(&w, &learner);
    const qn__gbdt *m = (const qn__gbdt *)learner;
    size_t at_nodes = (size_t)((const unsigned char *)m->nodes - m->image);
    qn__gbdt changed = *m;
    changed.nodes = (const uint32_t *)(const void *)(bytes + at_nodes);
    double raw, contrib[6];
    int n_read = 0;
    for (int32_t t = 0; t < m->n_trees; t++) {
        for (uint64_t i = m->start[t]; i < m->start[t + 1]; i++) {
            for (size_t byte = at_nodes + 4 * i; byte < at_nodes + 4 * i + 4; byte++) {
                unsigned char good = bytes[byte];
                for (int value = 0; value < 256; value++) {
                    bytes[byte] = (unsigned char)value;
                    bool safe = is_safe(&changed, t, (uint32_t)(i - m->start[t]));
                    check_nodes(&changed, t, safe);
                    qn_status status = qn__family_gbdt.load(bytes, m->image_bytes, w.features,
                                                            w.n_features, &loaded, &err);
                    assert_int_equal(status, safe ? QN_OK : QN_ERR_FORMAT);
                    if (!safe)
                        continue;
                    n_read++;
                    loaded->family->predict_rows(loaded, w.rows, 1, &raw);
                    check_many(&w, loaded);
                    assert_int_equal(loaded->family->explain(loaded, w.x, 0, 1, contrib, &err),
                                     QN_OK);
                    qn__gbdt_free(loaded);
                }
                bytes[byte] = good;
            }
        }
    }
    assert_true(n_read > 4 * m->n_nodes && n_read < 1024 * m->n_nodes);
    qn_freep(&bytes);
    qn__gbdt_free(learner);
    world_done(&w);
}

static void no_unsafe_node_is_read(void **state) {
    unsafe_nodes_are_refused(&(shape){"small", 3, 1, 1, 9, 4, 15, 1, 12, 0.6, 1});
    unsafe_nodes_are_refused(&(shape){"numbers", 3, 1, 0, 0, 3, 12, 1, 12, 0.6, 100});
}

/* Every node's children are the next two nodes: ways by the billion. */
static void shared_children_are_no_tree(void **state) {
    static const shape small = {"shared", 3, 0, 0, 0, 2, 100, 1, 50, 0.6, 100};
    world w;
    world_init(&w, &small, 9);
    qn_error err = {0};
    qn_learner *learner = NULL, *loaded = NULL;
    unsigned char *bytes = packed_bytes(&w, &learner);
    const qn__gbdt *m = (const qn__gbdt *)learner;
    uint32_t *nodes = (uint32_t *)(void *)(bytes + ((const unsigned char *)m->nodes - m->image));
    for (uint64_t i = 0; i + 2 < m->start[1]; i++)
        nodes[i] = 1u << m->side_bits | (nodes[0] & 0xff0000ff);
    for (uint64_t i = m->start[1] - 2; i < m->start[1]; i++)
        nodes[i] = (uint32_t)QN__LEAF_TEST << 24;
    assert_int_equal(qn__family_gbdt.load(bytes, m->image_bytes, w.features, w.n_features, &loaded,
                                          &err), QN_OK);
    check_many(&w, loaded);
    qn__gbdt_free(loaded);
    qn_freep(&bytes);
    qn__gbdt_free(learner);
    world_done(&w);
}

static void short_memory_is_told(void **state) {
    world w;
    world_init(&w, &shapes[8], 3);
    for (int i = 0;; i++) {
        qn_error err = {0};
        qn_learner *learner = NULL;
        qn_mem_fail_after(i);
        qn_status status = qn__gbdt_pack(&w.plain, w.features, &learner, &err);
        qn_mem_fail_after(-1);
        if (status == QN_OK) {
            assert_true(i > 4);
            qn__gbdt_free(learner);
            break;
        }
        assert_int_equal(status, QN_ERR_MEMORY);
        assert_null(learner);
    }
    world_done(&w);
}

/* Questions that there is no memory to keep are made up each time. */
static void many_rows_need_no_memory(void **state) {
    world w;
    world_init(&w, &shapes[0], 5);
    qn_error err = {0};
    qn_learner *learner = NULL;
    assert_int_equal(qn__gbdt_pack(&w.plain, w.features, &learner, &err), QN_OK);
    const qn__gbdt *m = (const qn__gbdt *)learner;
    double want[150], got[150];
    qn__gbdt_start(m, w.x, 0, 150, want);
    qn__gbdt_add_trees_ref(m, w.x, 0, 150, want);
    assert_true(w.s->n_rows == 150 && qn__gbdt_many_rows(m, 150));
    qn__gbdt large = *m; /* so large that nothing is kept */
    large.n_nodes = 1 << 20;
    assert_true(!qn__gbdt_many_rows(&large, 150) && qn__gbdt_many_rows(&large, 1024));
    for (int i = 0; !m->asked; i++) {
        qn_mem_fail_after(i);
        qn__gbdt_predict_by(&qn__gbdt_kernel_plain, m, w.x, 0, 150, got);
        qn_mem_fail_after(-1);
        assert_memory_equal(got, want, sizeof want);
        assert_true((m->asked != NULL) == (i == 4));
    }
    qn__gbdt_predict_by(&qn__gbdt_kernel_plain, m, w.x, 0, 150, got);
    assert_memory_equal(got, want, sizeof want);
    qn__gbdt_free(learner);
    world_done(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_give_the_bits_of_the_definition),
        cmocka_unit_test(old_and_new_bytes_say_the_same),
        cmocka_unit_test(no_unsafe_node_is_read),
        cmocka_unit_test(shared_children_are_no_tree),
        cmocka_unit_test(short_memory_is_told),
        cmocka_unit_test(many_rows_need_no_memory),
    };
    return cmocka_run_group_tests_name("gbdt_kernels", tests, NULL, NULL);
}
