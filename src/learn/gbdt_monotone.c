/* Growing in order: under the intermediate method of monotone constraints the bounds of a leaf follow
 * the values of the leaves around it, and where features are paid for once, what is cheap in a leaf
 * depends on the splits before. No leaf can be worked out ahead of its turn then. */
#include <math.h>
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
        if (gr->growth->advanced) { /* it is looked at anew */
            other->stale = *ret_changed = true;
            continue;
        }
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

/* Under "advanced" stale leaves have made room for a narrower, or a wider, split. */
static bool keeps_bounds(const qn__leaf *lf) {
    if (lf->rule.growth->advanced)
        return !lf->stale;
    const qn__leaf_rule *r = &lf->rule;
    return lf->split.left_value >= r->low && lf->split.left_value <= r->high
           && lf->split.right_value >= r->low && lf->split.right_value <= r->high;
}

/* Finds new splits for the open leaves whose old one is out of bounds, and heaps all again. */
static qn_status search_again(qn__grower *gr) {
    int32_t n = gr->open.n;
    gr->open.n = gr->unclaimed.n = 0;
    int32_t n_again = 0, *again = gr->again;
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

/* ---- bounds by threshold (LightGBM's advanced method) ----------------------------------------- */

/* A leaf across a split by a constrained feature, from which c differs in that feature only, binds c. Of
 * the children of c it binds those that still touch it: by a split of another feature at a number t,
 *
 *     the left one   when the leaf reaches to numbers up to t,       lowest number <= t
 *     the right one  when it reaches beyond,                         highest number > t
 *     the one with the missing values, when it has them
 *
 * so that bounds are steps over t, found by running maxima from either end. Categories are not told apart:
 * all bind both. */

void qn__limits_done(qn__limit_table *limits) {
    qn_freep(&limits->low_left);
    qn_freep(&limits->high_left);
    qn_freep(&limits->low_right);
    qn_freep(&limits->high_right);
}

qn_status qn__limits_init(qn__limit_table *limits, const qn__bin_map *map, qn_error *err) {
    limits->low_left = qn_new_array(double, map->n_cells);
    limits->high_left = qn_new_array(double, map->n_cells);
    limits->low_right = qn_new_array(double, map->n_cells);
    limits->high_right = qn_new_array(double, map->n_cells);
    return limits->low_left && limits->high_left && limits->low_right && limits->high_right
               ? QN_OK : qn_error_memory(err);
}

static void put(double *low, double *high, double value, bool above) {
    if (above)
        *high = fmin(*high, value);
    else
        *low = fmax(*low, value);
}

/* The leaf at node b, across a split by `across`, binds c by its value, which lies above or below. */
static void bind(qn__grower *gr, int32_t b, int32_t across, bool above) {
    qn__limit_table *l = &gr->limits;
    double value = gr->leaves[gr->leaf_of[b]].rule.value;
    put(&l->all.low, &l->all.high, value, above);
    for (int32_t i = 0; i < gr->map->n_features; i++) {
        const qn__bin_feature *f = &gr->map->features[i];
        int64_t cell = f->cell, last = f->n_values - 1;
        if (f->kind == QN_FEATURE_CATEGORY)
            continue;
        extent e = i == across ? (extent){.high = (int32_t)last, .missing = true}
                               : extent_of(gr, b, i);
        if (e.missing)
            put(&l->low_left[cell + last + 1], &l->high_left[cell + last + 1], value, above);
        if (e.low > e.high)
            continue;
        put(&l->low_left[cell + e.low], &l->high_left[cell + e.low], value, above);
        if (i == across) /* both children are on the same side of it at any threshold */
            put(&l->low_right[cell + last], &l->high_right[cell + last], value, above);
        else if (e.high > 0)
            put(&l->low_right[cell + e.high - 1], &l->high_right[cell + e.high - 1], value, above);
    }
}

/* All leaves under `top` that bind c: those that differ from it in the given feature only. */
static void bind_all(qn__grower *gr, const qn__leaf *c, int32_t top, int32_t feature, bool above) {
    int32_t n = 0, *stack = gr->stack;
    stack[n++] = top;
    while (n > 0) {
        int32_t at = stack[--n];
        const qn__grown_node *node = &gr->nodes[at];
        if (node->split.feature < 0) {
            bind(gr, at, feature, above);
            continue;
        }
        bool any = node->split.feature == feature;
        extent e = any ? (extent){0} : extent_of(gr, c->node, node->split.feature);
        if (any || reaches(&e, &node->split, true))
            stack[n++] = node->left;
        if (any || reaches(&e, &node->split, false))
            stack[n++] = node->right;
    }
}

/* Places become steps. */
static void run_limits(const qn__bin_map *map, qn__limit_table *l) {
    for (int32_t i = 0; i < map->n_features; i++) {
        const qn__bin_feature *f = &map->features[i];
        int64_t first = f->cell, last = f->cell + f->n_values - 1;
        for (int64_t t = first + 1; t <= last && f->kind != QN_FEATURE_CATEGORY; t++) {
            l->low_left[t] = fmax(l->low_left[t], l->low_left[t - 1]);
            l->high_left[t] = fmin(l->high_left[t], l->high_left[t - 1]);
        }
        for (int64_t t = last - 1; t >= first && f->kind != QN_FEATURE_CATEGORY; t--) {
            l->low_right[t] = fmax(l->low_right[t], l->low_right[t + 1]);
            l->high_right[t] = fmin(l->high_right[t], l->high_right[t + 1]);
        }
    }
}

void qn__tree_find_limits(qn__grower *gr, const qn__leaf *lf) {
    qn__limit_table *l = &gr->limits;
    l->all = (qn__limits){-INFINITY, INFINITY};
    for (int64_t i = 0; i < gr->map->n_cells; i++) {
        l->low_left[i] = l->low_right[i] = -INFINITY;
        l->high_left[i] = l->high_right[i] = INFINITY;
    }
    if (lf->node <= 0)
        return; /* the root: there are no others */
    for (int32_t at = lf->node; gr->nodes[at].parent >= 0; at = gr->nodes[at].parent) {
        const qn__grown_node *up = &gr->nodes[gr->nodes[at].parent];
        int order = qn__growth_order(gr->growth, gr->map, &up->split);
        bool left = up->left == at;
        if (order)
            bind_all(gr, lf, left ? up->right : up->left, up->split.feature, (order > 0) == left);
    }
    run_limits(gr->map, l);
}

/* ---- growing ----------------------------------------------------------------------------------- */

/* New splits for all leaves of the tree but the newest two, whose own are: a feature has become cheaper.
 * Leaves with a histogram first; on the heap, they can lend it to the others. */
static qn_status search_all(qn__grower *gr) {
    int32_t n = 0, *all = gr->again;
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
    qn__leaf *left = &gr->leaves[lf->children], *right = left + 1;
    bool cheaper = qn__costs_take(gr->costs, lf->split.feature, qn__tree_rows_of(gr, lf).rows,
                                  lf->n);
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
