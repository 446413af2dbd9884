/* Trees as grown -> the packed image. Nothing here depends on anything but the trees, so equal
 * trees give equal bytes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "learn/family_int.h"
#include "learn/gbdt_image_int.h"

/* Cuts and bytes of answers are read with 32-bit offsets. */
#define MAX_ANSWERS ((uint64_t)INT32_MAX - QN__IMAGE_ALIGN)

/* ---- the order of nodes ---------------------------------------------------------------------- */

/* Any order will do in which children are side by side behind their parent. A walk takes one cache
 * line after the other, so each line is filled with nodes that follow each other on the ways of most
 * training rows: first the children of nodes of the same line, the most visited first. */
enum { LINE_NODES = 16 };

typedef struct pending {
    uint64_t rows;        /* of training that pass */
    uint32_t node;        /* an inner one whose children have no place yet */
} pending;

typedef struct tree_order {
    uint64_t *rows;       /* owned; per node of the tree as grown */
    uint32_t *node_at;    /* owned; per place */
    uint32_t *place_of;   /* owned; per node */
    pending *heap;        /* owned; of parents in lines that are full */
    uint32_t n_heap, n_near;
    pending near[LINE_NODES]; /* of parents in this line */
} tree_order;

static void tree_order_done(tree_order *o) {
    qn_freep(&o->rows);
    qn_freep(&o->node_at);
    qn_freep(&o->place_of);
    qn_freep(&o->heap);
}

static qn_status tree_order_init(tree_order *o, const qn__plain *plain, qn_error *err) {
    int64_t most = 1;
    for (int32_t t = 0; t < plain->n_trees; t++)
        most = plain->start[t + 1] - plain->start[t] > most ? plain->start[t + 1] - plain->start[t]
                                                            : most;
    o->rows = qn_new_array(uint64_t, most);
    o->node_at = qn_new_array(uint32_t, most);
    o->place_of = qn_new_array(uint32_t, most);
    o->heap = qn_new_array(pending, most);
    return o->rows && o->node_at && o->place_of && o->heap ? QN_OK : qn_error_memory(err);
}

static bool before(const pending *a, const pending *b) {
    return a->rows != b->rows ? a->rows > b->rows : a->node < b->node;
}

static void heap_push(tree_order *o, pending item) {
    uint32_t i = o->n_heap++;
    for (; i > 0 && before(&item, &o->heap[(i - 1) / 2]); i = (i - 1) / 2)
        o->heap[i] = o->heap[(i - 1) / 2];
    o->heap[i] = item;
}

static pending heap_pop(tree_order *o) {
    pending top = o->heap[0], last = o->heap[--o->n_heap];
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < o->n_heap; i = child) {
        if (child + 1 < o->n_heap && before(&o->heap[child + 1], &o->heap[child]))
            child++;
        if (!before(&o->heap[child], &last))
            break;
        o->heap[i] = o->heap[child];
    }
    o->heap[i] = last;
    return top;
}

static pending take_next(tree_order *o) {
    if (o->n_near == 0)
        return heap_pop(o);
    uint32_t best = 0;
    for (uint32_t i = 1; i < o->n_near; i++)
        if (before(&o->near[i], &o->near[best]))
            best = i;
    pending next = o->near[best];
    o->near[best] = o->near[--o->n_near];
    return next;
}

static void put_at(tree_order *o, const qn__plain_node *nodes, uint32_t place, uint32_t node) {
    o->node_at[place] = node;
    o->place_of[node] = place;
    if (!(nodes[node].slot_flags & QN__NODE_LEAF))
        o->near[o->n_near++] = (pending){o->rows[node], node};
}

static void order_tree(tree_order *o, const qn__plain *plain, int32_t tree) {
    const qn__plain_node *nodes = plain->nodes + plain->start[tree];
    uint32_t n = (uint32_t)(plain->start[tree + 1] - plain->start[tree]);
    for (uint32_t i = n; i-- > 0;)
        o->rows[i] = nodes[i].slot_flags & QN__NODE_LEAF
                         ? nodes[i].count : o->rows[nodes[i].left] + o->rows[nodes[i].left + 1];
    o->n_heap = o->n_near = 0;
    put_at(o, nodes, 0, 0);
    uint64_t line = (uint64_t)plain->start[tree] / LINE_NODES;
    for (uint32_t place = 1; place < n; place += 2) {
        uint64_t here = ((uint64_t)plain->start[tree] + place) / LINE_NODES;
        if (here != line)
            while (o->n_near)
                heap_push(o, o->near[--o->n_near]);
        line = here;
        uint32_t left = nodes[take_next(o).node].left;
        put_at(o, nodes, place, left);
        put_at(o, nodes, place + 1, left + 1);
    }
}

/* ---- what there is to pack ------------------------------------------------------------------- */

typedef struct packer {
    const qn__plain *plain;
    const qn_feature *features;
    int64_t *first_cut;   /* owned; n_slots + 1: where the cuts of a slot begin */
    uint32_t *n_tests;    /* owned; per slot: distinct cuts, or splits by categories */
    uint32_t *first_key;  /* owned; per slot */
    double *cuts;         /* owned; by slots, ascending, those of a slot from first_cut[slot] on */
    qn__image_header header;
    tree_order order;
    uint32_t most_field;  /* the largest child distance or leaf number */
} packer;

static void packer_done(packer *p) {
    qn_freep(&p->first_cut);
    qn_freep(&p->n_tests);
    qn_freep(&p->first_key);
    qn_freep(&p->cuts);
    tree_order_done(&p->order);
}

static bool is_category(const packer *p, int32_t slot) {
    return p->features[p->plain->slot_column[slot]].kind == QN_FEATURE_CATEGORY;
}

static int compare_cuts(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static uint32_t unique(double *cuts, int64_t n) {
    uint32_t kept = 0;
    qsort(cuts, (size_t)n, sizeof *cuts, compare_cuts);
    for (int64_t i = 0; i < n; i++)
        if (kept == 0 || cuts[i] > cuts[kept - 1])
            cuts[kept++] = cuts[i];
    return kept;
}

/* The distinct thresholds of every slot, and how many tests of categories it has. */
static qn_status collect_tests(packer *p, qn_error *err) {
    const qn__plain *plain = p->plain;
    int64_t n_nodes = plain->start[plain->n_trees];
    p->first_cut = qn_new_array(int64_t, plain->n_slots + 1);
    p->n_tests = qn_new_array(uint32_t, plain->n_slots);
    p->first_key = qn_new_array(uint32_t, plain->n_slots);
    qn_cleanup(qn_freep) int64_t *fill = qn_new_array(int64_t, plain->n_slots);
    p->cuts = qn_new_array(double, n_nodes / 2);
    if (!p->first_cut || !p->n_tests || !p->first_key || !fill || !p->cuts)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n_nodes; i++)
        if (!(plain->nodes[i].slot_flags & (QN__NODE_LEAF | QN__NODE_CATEGORY)))
            p->first_cut[(plain->nodes[i].slot_flags & QN__NODE_SLOT) + 1]++;
    for (int32_t s = 0; s < plain->n_slots; s++) {
        p->first_cut[s + 1] += p->first_cut[s];
        fill[s] = p->first_cut[s];
    }
    for (int64_t i = 0; i < n_nodes; i++) {
        uint32_t flags = plain->nodes[i].slot_flags;
        if (flags & QN__NODE_LEAF)
            continue;
        if (flags & QN__NODE_CATEGORY)
            p->n_tests[flags & QN__NODE_SLOT]++;
        else
            p->cuts[fill[flags & QN__NODE_SLOT]++] = plain->nodes[i].threshold;
    }
    for (int32_t s = 0; s < plain->n_slots; s++)
        if (!is_category(p, s))
            p->n_tests[s] = unique(p->cuts + p->first_cut[s],
                                   p->first_cut[s + 1] - p->first_cut[s]);
    return QN_OK;
}

/* The largest field of a node: how far children and how many leaves are. */
static void measure_trees(packer *p) {
    const qn__plain *plain = p->plain;
    for (int32_t t = 0; t < plain->n_trees; t++) {
        uint32_t n = (uint32_t)(plain->start[t + 1] - plain->start[t]);
        order_tree(&p->order, plain, t);
        p->most_field = n / 2 > p->most_field ? n / 2 : p->most_field;
        for (uint32_t i = 0; i < n; i++) {
            const qn__plain_node *node = &plain->nodes[plain->start[t] + i];
            if (node->slot_flags & QN__NODE_LEAF)
                continue;
            uint32_t field = p->order.place_of[node->left] - p->order.place_of[i];
            p->most_field = field > p->most_field ? field : p->most_field;
        }
    }
}

static uint32_t n_slot_keys(const packer *p, int32_t slot) {
    return (p->n_tests[slot] + QN__KEY_TESTS - 1) / QN__KEY_TESTS;
}

/* The first that has what the model needs: older programs read the others. */
static uint32_t version_of(const qn__plain *plain) {
    return plain->init_columns && plain->n_outputs > 1 ? QN__GBDT_INIT_VERSION
           : plain->leaf_form == QN_LEAF_FLOAT64       ? QN__GBDT_VERSION
                                                       : QN__GBDT_CODED_VERSION;
}

/* Numbers the keys, numbers first, and counts everything. */
static qn_status plan(packer *p, qn_error *err) {
    const qn__plain *plain = p->plain;
    qn__image_header *h = &p->header;
    *h = (qn__image_header){
        .version = version_of(plain),
        .leaf_form = plain->leaf_form, .link = plain->link, .n_outputs = (uint32_t)plain->n_outputs,
        .n_features = (uint32_t)plain->n_features, .objective = (uint32_t)plain->objective,
        .best_iteration = (uint32_t)plain->best_iteration, .n_trees = (uint32_t)plain->n_trees,
        .n_slots = (uint32_t)plain->n_slots,
        .init_column = plain->init_columns && plain->n_outputs == 1 ? plain->init_columns[0] : 0,
        .n_nodes = (uint64_t)plain->start[plain->n_trees]};
    for (int categories = 0; categories < 2; categories++) {
        for (int32_t s = 0; s < plain->n_slots; s++) {
            if (is_category(p, s) != (categories == 1))
                continue;
            p->first_key[s] = h->n_keys;
            h->n_keys += n_slot_keys(p, s);
            uint64_t n_codes = (uint64_t)p->features[plain->slot_column[s]].n_categories + 1;
            uint64_t whole = p->n_tests[s] / QN__KEY_TESTS, rest = p->n_tests[s] % QN__KEY_TESTS;
            if (categories)
                h->n_answers += n_codes * (whole * ((QN__KEY_TESTS + 7) / 8) + (rest + 7) / 8);
            else
                h->n_cuts += p->n_tests[s];
        }
        if (!categories)
            h->n_number_keys = h->n_keys;
    }
    QN_FAIL_IF(h->n_cuts > INT32_MAX, err, QN_ERR_LIMIT,
               "the trees of the model split at more than %d different values", INT32_MAX);
    QN_FAIL_IF(h->n_answers > MAX_ANSWERS, err, QN_ERR_LIMIT,
               "too many categories in the splits of the trees: the model would take more than %d "
               "bytes for them", INT32_MAX);
    measure_trees(p);
    uint32_t side_bits = qn__side_bits(h->n_keys), field_bits = 1;
    while (p->most_field >> field_bits)
        field_bits++;
    h->side_bits = side_bits + field_bits <= QN__NODE_BITS ? side_bits : 0;
    return QN_OK;
}

/* ---- filling the image ----------------------------------------------------------------------- */

/* The arrays of a model that is being written. */
#define writable(pointer) ((void *)(uintptr_t)(pointer))

static void fill_keys(const packer *p, const qn__gbdt *m) {
    qn__gbdt_key *keys = writable(m->keys);
    double *cuts = writable(m->cuts);
    uint64_t n_cuts = 0, n_answers = 0;
    for (int categories = 0; categories < 2; categories++) {
        for (int32_t s = 0; s < m->n_slots; s++) {
            if (is_category(p, s) != (categories == 1))
                continue;
            int32_t n_codes = p->features[p->plain->slot_column[s]].n_categories;
            for (uint32_t k = 0; k < n_slot_keys(p, s); k++) {
                uint32_t done = k * QN__KEY_TESTS, rest = p->n_tests[s] - done;
                uint32_t n = rest < QN__KEY_TESTS ? rest : QN__KEY_TESTS;
                qn__gbdt_key *key = &keys[p->first_key[s] + k];
                *key = (qn__gbdt_key){.slot = (uint32_t)s, .n_tests = n};
                if (categories) {
                    key->n_categories = (uint32_t)n_codes;
                    key->first = n_answers;
                    n_answers += ((uint64_t)n_codes + 1) * qn__key_row_bytes(key);
                    continue;
                }
                key->first = n_cuts;
                memcpy(cuts + n_cuts, p->cuts + p->first_cut[s] + done, n * sizeof *cuts);
                key->zero_rank = qn__cuts_below(cuts + n_cuts, n, 0);
                n_cuts += n;
            }
        }
    }
}

/* One column of the table of answers. */
static void fill_answers(const packer *p, const qn__gbdt *m, const qn__plain_node *node,
                         const qn__gbdt_key *key, uint32_t test) {
    uint8_t *answers = writable(m->answers), bit = (uint8_t)(1u << (test & 7));
    const uint32_t *words = p->plain->words + node->set.first_word;
    size_t row_bytes = qn__key_row_bytes(key);
    for (uint32_t c = 0; c < key->n_categories; c++)
        if (!(words[c >> 5] >> (c & 31) & 1))
            answers[key->first + c * row_bytes + (test >> 3)] |= bit;
    if (!(node->slot_flags & QN__NODE_MISSING_LEFT))
        answers[key->first + key->n_categories * row_bytes + (test >> 3)] |= bit;
}

/* Key and test of a split; `next_test` counts the splits by categories of each slot. */
static void find_test(const packer *p, const qn__gbdt *m, const qn__plain_node *node,
                      uint32_t *next_test, uint32_t *ret_side, uint32_t *ret_test) {
    uint32_t slot = node->slot_flags & QN__NODE_SLOT, index;
    bool is_set = node->slot_flags & QN__NODE_CATEGORY;
    if (is_set)
        index = next_test[slot]++;
    else
        index = qn__cuts_below(p->cuts + p->first_cut[slot], p->n_tests[slot], node->threshold);
    uint32_t i_key = p->first_key[slot] + index / QN__KEY_TESTS;
    *ret_test = index % QN__KEY_TESTS;
    *ret_side = 2 * i_key;
    if (is_set)
        fill_answers(p, m, node, &m->keys[i_key], *ret_test);
    else if (node->slot_flags & QN__NODE_MISSING_LEFT)
        *ret_side += 1;
}

static void put_node(const qn__gbdt *m, int64_t at, uint32_t side, uint32_t field, uint32_t test) {
    if (m->wide)
        ((uint64_t *)writable(m->wide_nodes))[at] = (uint64_t)test << 56 | (uint64_t)field << 32
                                                    | side;
    else
        ((uint32_t *)writable(m->nodes))[at] = test << 24 | field << m->side_bits | side;
}

static void fill_trees(packer *p, const qn__gbdt *m, uint32_t *next_test) {
    const qn__plain *plain = p->plain;
    uint64_t *start = writable(m->start);
    double *value = writable(m->value);
    uint32_t *count = writable(m->count);
    int64_t leaf = 0;
    for (int32_t t = 0; t < plain->n_trees; t++) {
        const qn__plain_node *nodes = plain->nodes + plain->start[t];
        uint32_t n = (uint32_t)(plain->start[t + 1] - plain->start[t]);
        int64_t first_leaf = leaf;
        start[t + 1] = (uint64_t)plain->start[t + 1];
        order_tree(&p->order, plain, t);
        for (uint32_t i = 0; i < n; i++) {
            const qn__plain_node *node = &nodes[p->order.node_at[i]];
            uint32_t side, test;
            if (node->slot_flags & QN__NODE_LEAF) {
                put_node(m, plain->start[t] + i, 0, (uint32_t)(leaf - first_leaf), QN__LEAF_TEST);
                value[leaf] = node->value;
                count[leaf++] = node->count;
                continue;
            }
            find_test(p, m, node, next_test, &side, &test);
            put_node(m, plain->start[t] + i, side, p->order.place_of[node->left] - i, test);
        }
    }
}

static void fill_image(packer *p, const qn__gbdt *m, uint32_t *next_test) {
    const qn__plain *plain = p->plain;
    memcpy(writable(m->image), &p->header, sizeof p->header);
    memcpy(writable(m->base), plain->base, (size_t)plain->n_outputs * sizeof *plain->base);
    if (p->header.version == QN__GBDT_INIT_VERSION)
        memcpy(writable(m->init_columns), plain->init_columns,
               (size_t)plain->n_outputs * sizeof *plain->init_columns);
    size_t n_slots = (size_t)plain->n_slots;
    memcpy(writable(m->slot_gain), plain->slot_gain, n_slots * sizeof *plain->slot_gain);
    memcpy(writable(m->slot_bins), plain->slot_bins, n_slots * sizeof *plain->slot_bins);
    for (size_t s = 0; s < n_slots; s++)
        ((uint32_t *)writable(m->slot_column))[s] = (uint32_t)plain->slot_column[s];
    fill_keys(p, m);
    fill_trees(p, m, next_test);
}

static void model_free(qn__gbdt **m) {
    qn__gbdt_free(*m ? &(*m)->learner : NULL);
    *m = NULL;
}

qn_status qn__gbdt_pack(const qn__plain *plain, const qn_feature *features,
                        qn_learner **ret_learner, qn_error *err) {
    qn_cleanup(packer_done) packer p = {.plain = plain, .features = features};
    QN_TRY(tree_order_init(&p.order, plain, err));
    QN_TRY(collect_tests(&p, err));
    QN_TRY(plan(&p, err));
    qn_cleanup(qn_freep) uint32_t *next_test = qn_new_array(uint32_t, plain->n_slots);
    qn_cleanup(model_free) qn__gbdt *m = qn_new(qn__gbdt);
    if (!next_test || !m)
        return qn_error_memory(err);
    size_t bytes = qn__image_layout(NULL, &p.header, m);
    QN_FAIL_IF(bytes == 0 || bytes > QN_LIMIT_MODEL_BYTES, err, QN_ERR_LIMIT,
               "the trees of the model take more than %zu bytes", QN_LIMIT_MODEL_BYTES);
    if (!(m->owned = qn_calloc_aligned(bytes, 1)))
        return qn_error_memory(err);
    qn__image_layout(m->owned, &p.header, m);
    QN_TRY(qn__leaves_alloc(m, err));
    fill_image(&p, m, next_test);
    QN_TRY(qn__leaves_encode(m, err));
    QN_TRY(qn__gbdt_prepare(m, err));
    *ret_learner = &qn_steal(&m)->learner;
    return QN_OK;
}
