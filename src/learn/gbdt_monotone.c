/* Growing in order: under the intermediate method of monotone constraints the bounds of a leaf follow
 * the values of the leaves around it, and where features are paid for once, what is cheap in a leaf
 * depends on the splits before. No leaf can be worked out ahead of its turn then. */
#include <string.h>

#include "learn/gbdt_grower_int.h"

/* What is left of a feature on the way from the root to a node. */
typedef struct extent {
    int32_t low, high;    /* bins of numbers; none when low > high */
    bool missing;
    uint32_t set[QN__CAT_WORDS];
} extent;

static extent extent_of(const qn__grower *gr, int32_t node, int32_t feature) {
    extent e = {.low = 0, .high = gr->map->features[feature].n_values - 1, .missing = true};
    memset(e.set, 0xff, sizeof e.set);
    for (int32_t at = node; gr->nodes[at].parent >= 0; at = gr->nodes[at].parent) {
        const qn__grown_node *up = &gr->nodes[gr->nodes[at].parent];
        bool left = up->left == at;
        if (up->split.feature != feature)
            continue;
        if (up->split.is_category) {
            for (int w = 0; w < QN__CAT_WORDS; w++)
                e.set[w] &= left ? up->split.set[w] : ~up->split.set[w];
            continue;
        }
        if (left && up->split.bin < e.high)
            e.high = up->split.bin;
        else if (!left && up->split.bin >= e.low)
            e.low = up->split.bin + 1;
        e.missing &= up->split.missing_left == left;
    }
    return e;
}

/* Whether some of it goes to the given side of a split by the feature. */
static bool reaches(const extent *e, const qn__split *split, bool left) {
    if (split->is_category) {
        uint32_t any = 0;
        for (int w = 0; w < QN__CAT_WORDS; w++)
            any |= e->set[w] & (left ? split->set[w] : ~split->set[w]);
        return any != 0;
    }
    bool number = left ? e->low <= split->bin : e->high > split->bin;
    return (number && e->low <= e->high) || (e->missing && split->missing_left == left);
}

/* Tightens the bounds of the leaves under `top` that differ from leaf c in the given feature only,
 * and lie above it when `above`: their values may not cross its own. *ret_changed when that undoes
 * the split found for one. */
static void bound_leaves(qn__grower *gr, const qn__leaf *c, int32_t top, int32_t feature,
                         bool above, bool *ret_changed) {
    int32_t n = 0;
    gr->stack[n++] = top;
    while (n > 0) {
        int32_t at = gr->stack[--n];
        const qn__grown_node *node = &gr->nodes[at];
        if (node->split.feature >= 0) {
            bool any = node->split.feature == feature;
            extent e = any ? (extent){0} : extent_of(gr, c->node, node->split.feature);
            if (any || reaches(&e, &node->split, true))
                gr->stack[n++] = node->left;
            if (any || reaches(&e, &node->split, false))
                gr->stack[n++] = node->right;
            continue;
        }
        qn__leaf *other = &gr->leaves[gr->leaf_of[at]];
        qn__leaf_rule *r = &other->rule;
        if (above && c->rule.value > r->low)
            r->low = c->rule.value;
        else if (!above && c->rule.value < r->high)
            r->high = c->rule.value;
        const qn__split *s = &other->split;
        if (s->feature >= 0)
            *ret_changed |= s->left_value < r->low || s->left_value > r->high
                            || s->right_value < r->low || s->right_value > r->high;
    }
}

/* The leaves of which c, just made, bounds the values: on its way to the root, those across each
 * split by a constrained feature (LightGBM's intermediate method; Auguste, Malory and Smirnov 2020,
 * A Better Method to Enforce Monotonic Constraints in Regression and Classification Trees). */
static void bound_others(qn__grower *gr, const qn__leaf *c, bool *ret_changed) {
    int32_t at = gr->nodes[c->node].parent; /* the sibling's bounds are set */
    for (; gr->nodes[at].parent >= 0; at = gr->nodes[at].parent) {
        const qn__grown_node *up = &gr->nodes[gr->nodes[at].parent];
        int order = qn__growth_order(gr->growth, gr->map, &up->split);
        bool left = up->left == at;
        if (order)
            bound_leaves(gr, c, left ? up->right : up->left, up->split.feature,
                         (order > 0) == left, ret_changed);
    }
}

static bool keeps_bounds(const qn__leaf *lf) {
    const qn__leaf_rule *r = &lf->rule;
    return lf->split.left_value >= r->low && lf->split.left_value <= r->high
           && lf->split.right_value >= r->low && lf->split.right_value <= r->high;
}

/* Finds new splits for the open leaves whose old one is out of bounds, and heaps all again. */
static qn_status search_again(qn__grower *gr) {
    int32_t n = gr->open.n;
    gr->open.n = gr->unclaimed.n = 0;
    int32_t n_again = 0, *again = gr->stack;
    for (int32_t i = 0; i < n; i++) {
        int32_t i_leaf = gr->open.leaves[i];
        if (keeps_bounds(&gr->leaves[i_leaf])) {
            qn__tree_heap_push(gr, &gr->open, i_leaf);
            qn__tree_heap_push(gr, &gr->unclaimed, i_leaf);
        } else {
            again[n_again++] = i_leaf;
        }
    }
    /* Those with a histogram first: on the heap again, they can lend it to the others. */
    for (int32_t i = 0; i < 2 * n_again; i++) {
        qn__leaf *lf = &gr->leaves[again[i % n_again]];
        int t = qn__tree_is_large(gr, lf) ? -1 : 0;
        if (lf->split.feature < 0 || keeps_bounds(lf)
            || (lf->slot == QN__NO_SLOT) != (i >= n_again))
            continue;
        if (lf->slot == QN__NO_SLOT) {
            QN_TRY(qn__tree_slot_take(gr, lf));
            qn__tree_build(gr, lf, t);
        }
        qn__tree_search_if(gr, lf, t);
        qn__tree_open_or_close(gr, again[i % n_again]);
    }
    return QN_OK;
}

/* New splits for all leaves of the tree but the newest two, whose own are: a feature has become cheaper.
 * Leaves with a histogram first; on the heap, they can lend it to the others. */
static qn_status search_all(qn__grower *gr) {
    int32_t n = 0, *all = gr->stack;
    gr->open.n = gr->unclaimed.n = 0;
    for (int has_slot = 1; has_slot >= 0; has_slot--)
        for (int32_t i = 0; i < gr->n_nodes; i++)
            if (gr->nodes[i].split.feature < 0
                && (gr->leaves[gr->leaf_of[i]].slot != QN__NO_SLOT) == has_slot)
                all[n++] = gr->leaf_of[i];
    for (int32_t i = 0; i < n; i++) {
        qn__leaf *lf = &gr->leaves[all[i]];
        int t = qn__tree_is_large(gr, lf) ? -1 : 0;
        if (lf->node < gr->n_nodes - 2 && qn__tree_may_split(gr, lf)) {
            if (lf->slot == QN__NO_SLOT) {
                QN_TRY(qn__tree_slot_take(gr, lf));
                qn__tree_build(gr, lf, t);
            }
            qn__tree_search_if(gr, lf, t);
        }
        qn__tree_open_or_close(gr, all[i]);
    }
    return QN_OK;
}

static qn_status grow_one_in_order(qn__grower *gr) {
    int32_t top = qn__tree_heap_pop(gr, &gr->open);
    qn__tree_heap_pop(gr, &gr->unclaimed); /* the same one: none is ahead */
    qn__tree_claim(gr, top);
    bool last = gr->max_leaves - gr->n_leaves == 1, changed = false;
    qn__leaf *lf = &gr->leaves[top];
    QN_TRY(qn__tree_expand(gr, top, last, qn__tree_is_large(gr, lf) ? -1 : 0));
    qn__tree_take_split(gr, lf);
    bool cheaper = qn__costs_take(gr->costs, lf->split.feature, gr->list.rows + lf->begin, lf->n);
    qn__leaf *left = &gr->leaves[lf->children], *right = left + 1;
    if (last)
        return QN_OK;
    if (gr->growth->bounds_move) {
        bound_others(gr, left, &changed);
        bound_others(gr, right, &changed);
    }
    for (int i = 0; i < 2; i++) {
        qn__tree_search_if(gr, left + i, qn__tree_is_large(gr, left + i) ? -1 : 0);
        qn__tree_open_or_close(gr, lf->children + i);
    }
    if (cheaper)
        return search_all(gr);
    return changed ? search_again(gr) : QN_OK;
}

void qn__tree_grow_in_order(qn__grower *gr) {
    while (gr->status == QN_OK && gr->open.n > 0 && gr->n_leaves < gr->max_leaves)
        gr->status = grow_one_in_order(gr);
}
