/* Expanding a leaf: its rows are divided, its children counted and searched, by thread t alone or (t = -1)
 * by all of them together. */
#include <omp.h>

#include "learn/gbdt_grower_int.h"

bool qn__tree_may_split(const qn__grower *gr, const qn__leaf *lf) {
    const qn_gbdt_params *p = gr->params;
    return lf->n >= 2 * p->min_data_in_leaf && lf->n >= 2
           && (gr->growth->max_depth <= 0 || lf->depth < gr->growth->max_depth);
}

static qn__hist_input hist_input_of(const qn__grower *gr, const qn__leaf *lf) {
    const uint32_t *rows = qn__tree_list_of(gr, lf);
    return (qn__hist_input){.map = gr->map, .bins = gr->bins, .rows = rows,
                            .listed_gh = rows ? qn__tree_rows_of(gr, lf).gh : NULL,
                            .gh = gr->q->gh, .n = lf->n, .total = lf->total,
                            .is_small = gr->q->is_small,
                            .group_used = gr->feature_used ? gr->group_used : NULL,
                            .narrow_only = lf->narrow_only};
}

void qn__tree_build(qn__grower *gr, qn__leaf *lf, int t) {
    qn__hist hist = qn__tree_hist_of(gr, lf);
    qn__hist_input in = hist_input_of(gr, lf);
    qn__hist_build(&in, &gr->hist, t, &hist);
}

qn__split_input qn__tree_split_input(const qn__grower *gr, const qn__leaf *lf,
                                     const qn__hist *hist) {
    return (qn__split_input){.params = gr->params, .map = gr->map, .hist = hist,
                             .total = lf->total, .g_unit = gr->q->g_unit, .h_unit = gr->q->h_unit,
                             .depth = lf->depth,
                             .rule = gr->growth->ruled ? &lf->rule : NULL,
                             .limits = gr->growth->advanced ? &gr->limits : NULL};
}

/* Its descendants have few, too. */
static bool has_few_rows(const qn__grower *gr, const qn__leaf *lf) {
    return lf->n < gr->few_most;
}

/* The same for thread t, with the rows of a leaf that has few. */
static qn__split_input split_input_of(const qn__grower *gr, const qn__leaf *lf,
                                      const qn__hist *hist, int t) {
    qn__split_input in = qn__tree_split_input(gr, lf, hist);
    qn__few *few = &gr->workers[t].few;
    if (!has_few_rows(gr, lf))
        return in;
    few->bins = gr->bins;
    few->rows = qn__tree_list_of(gr, lf);
    few->gh = gr->q->gh;
    few->n = lf->n;
    in.few = few;
    return in;
}

/* The features by which a leaf may be split; NULL: all. Thread t makes the list. */
static const bool *features_of(const qn__grower *gr, const qn__leaf *lf, int t) {
    if (!gr->growth->by_node)
        return gr->feature_used;
    bool *used = gr->workers[t].feature_used;
    qn__growth_features(gr->growth, &lf->rule, gr->feature_used, gr->map->n_features, used);
    return used;
}

/* Tries a feature in a leaf; ties go to the lower one. */
static void try_feature(qn__grower *gr, qn__leaf *lf, qn__split_input *in, int32_t i, int t) {
    qn__split one, *best = &lf->split;
    qn__split_find(in, i, gr->workers[t].search, &one);
    if (gr->growth->costs.any && one.feature >= 0)
        qn__costs_apply(&gr->growth->costs, lf->n, &one);
    if (one.feature < 0)
        return;
    if (best->feature < 0 || one.gain > best->gain || (one.gain == best->gain && i < best->feature))
        *best = one;
    if (!gr->growth->costs.any)
        in->beaten = best->gain;
}

static void search(qn__grower *gr, qn__leaf *lf, int t) {
    qn__hist hist = qn__tree_hist_of(gr, lf);
    qn__split_input in = split_input_of(gr, lf, &hist, t);
    const bool *used = features_of(gr, lf, t);
    lf->split.feature = -1;
    for (int32_t i = 0; i < gr->map->n_features; i++)
        if (!used || used[i])
            try_feature(gr, lf, &in, i, t);
}

static void search_together(qn__grower *gr, qn__leaf *lf) {
    qn__hist hist = qn__tree_hist_of(gr, lf);
    const bool *used = features_of(gr, lf, 0);
    int32_t n = gr->map->n_features;
#pragma omp parallel for schedule(static) num_threads(gr->n_threads)
    for (int32_t i = 0; i < n; i++) {
        int t = omp_get_thread_num();
        qn__split_input in = split_input_of(gr, lf, &hist, t);
        gr->found[i].feature = -1;
        if (!used || used[i])
            qn__split_find(&in, i, gr->workers[t].search, &gr->found[i]);
        if (gr->growth->costs.any && gr->found[i].feature >= 0)
            qn__costs_apply(&gr->growth->costs, lf->n, &gr->found[i]);
    }
    lf->split.feature = -1;
    for (int32_t i = 0; i < n; i++)
        if (gr->found[i].feature >= 0
            && (lf->split.feature < 0 || gr->found[i].gain > lf->split.gain))
            lf->split = gr->found[i];
}

void qn__tree_search_if(qn__grower *gr, qn__leaf *lf, int t) {
    lf->split.feature = -1;
    lf->is_forced = lf->stale = false;
    if (lf->slot == QN__NO_SLOT || !qn__tree_may_split(gr, lf))
        return;
    if (gr->growth->advanced)
        qn__tree_find_limits(gr, lf);
    if (lf->forced >= 0) {
        qn__hist hist = qn__tree_hist_of(gr, lf);
        qn__split_input in = qn__tree_split_input(gr, lf, &hist);
        lf->is_forced = qn__forced_find(&in, gr->growth, lf->forced, &lf->rule, &lf->split);
        if (lf->is_forced)
            return;
    }
    qn__costs_begin(gr->costs, gr->map, qn__tree_list_of(gr, lf), 0, lf->n);
    if (t < 0)
        search_together(gr, lf);
    else
        search(gr, lf, t);
}

/* What a child gets of a set: its own, if it has one, and a list, if it has none or is asked for it. */
static qn__dense_child child_of(const qn__grower *gr, const qn__leaf *lf) {
    qn__dense_child child = {.set = lf->set != QN__NO_SLOT ? gr->sets[lf->set] : NULL};
    if (lf->listed)
        child.list = qn__tree_rows_of(gr, lf);
    return child;
}

static void divide_set(qn__grower *gr, const qn__leaf *lf, int t) {
    const qn__leaf *left = &gr->leaves[lf->children];
    qn__dense_input in = {.map = gr->map, .bins = gr->bins, .gh = qn__tree_all_gh(gr), .n = lf->n,
                          .rows = lf->set != QN__NO_SLOT ? gr->sets[lf->set] : NULL,
                          .left = child_of(gr, left), .right = child_of(gr, left + 1)};
    if (t < 0)
        qn__dense_divide_together(&in, &lf->split, &gr->partition);
    else
        qn__dense_divide(&in, &lf->split, gr->workers[t].goes_left);
}

static void divide_list(qn__grower *gr, const qn__leaf *lf, int t) {
    qn__partition_input in = {.map = gr->map, .bins = gr->bins, .n = lf->n,
                              .all = lf->n == gr->bins->n_rows, .list = qn__tree_rows_of(gr, lf),
                              .all_gh = qn__tree_all_gh(gr), .spare = qn__tree_spare_of(gr, lf, t)};
    if (t < 0)
        qn__partition_together(&in, &lf->split, &gr->partition);
    else
        qn__partition(&in, &lf->split, gr->workers[t].goes_left);
}

/* The rows of a leaf to its children. Of two that are sets the small one is listed, too, since it is counted;
 * `last` ones are not, and are lists unless they may end as sets. */
static void divide(qn__grower *gr, qn__leaf *lf, qn__leaf *small, qn__leaf *large, bool last,
                   int t) {
    bool is_set = lf->set != QN__NO_SLOT || (gr->dense_part > 0 && lf->n == gr->bins->n_rows);
    small->listed = large->listed = true;
    small->set = large->set = QN__NO_SLOT;
    if (!is_set) {
        divide_list(gr, lf, t);
        return;
    }
    qn__tree_lock(gr);
    if (!last || qn__tree_ends_as_set(gr, small))
        small->set = qn__tree_set_take(gr, small->n);
    if (!last || qn__tree_ends_as_set(gr, large))
        large->set = qn__tree_set_take(gr, large->n);
    qn__tree_unlock(gr);
    large->listed = large->set == QN__NO_SLOT;
    divide_set(gr, lf, t);
    lf->listed = lf->set == QN__NO_SLOT; /* its list is the children's now */
}

/* Slots for the children that need histograms: the smaller one is counted, the larger one takes the
 * parent's cells, if the parent still has them. */
static qn_status take_slots(qn__grower *gr, qn__leaf *lf, qn__leaf *small, qn__leaf *large) {
    qn_status status = QN_OK;
    qn__tree_lock(gr);
    bool large_needs = qn__tree_may_split(gr, large);
    if (qn__tree_may_split(gr, small) || (large_needs && lf->slot != QN__NO_SLOT))
        status = qn__tree_slot_take(gr, small);
    if (status == QN_OK && large_needs && lf->slot == QN__NO_SLOT)
        status = qn__tree_slot_take(gr, large);
    qn__tree_unlock(gr);
    return status;
}

/* ---- children feature by feature ----------------------------------------------------------------- */

/* Whether thread t may go through the children of a leaf feature by feature: nothing is asked of a child as
 * a whole, and all cells are packed. */
static bool goes_by_feature(const qn__grower *gr, const qn__leaf *lf, int t) {
    return t >= 0 && gr->workers[t].cells && !lf->wide && !lf->is_forced;
}

/* A leaf of so few rows that counting both of its children takes no longer than keeping a histogram for
 * them would: its memory has left the cache by then. */
static bool needs_no_histogram(const qn__grower *gr, const qn__leaf *lf) {
    enum { TIMES = 4 };
    return gr->map->n_dense == gr->map->n_features
           && lf->n * gr->map->n_lanes < TIMES * gr->map->n_cells;
}

/* A child as it is searched. */
typedef struct child {
    qn__leaf *leaf;
    qn__hist hist;
    qn__split_input in;
    bool may_split;
} child;

static void begin_child(const qn__grower *gr, qn__leaf *lf, int64_t *cells, child *c) {
    c->leaf = lf;
    c->hist.packed = lf->slot != QN__NO_SLOT ? qn__tree_cells_of(gr, lf->slot) : cells;
    c->hist.wide = false;
    c->in = qn__tree_split_input(gr, lf, &c->hist);
    c->may_split = qn__tree_may_split(gr, lf);
}

/* Cells of a feature that is next: on their way while this one is searched. */
static void ask_for_cells(const qn__grower *gr, const qn__hist *hist, int32_t i) {
    enum { LINE = 64 / sizeof *hist->packed };
    const qn__bin_feature *f = &gr->map->features[i];
    for (int64_t c = 0; i < gr->map->n_features && c < f->n_cells; c += LINE)
        __builtin_prefetch(hist->packed + f->cell + c, 1);
}

/* The cells of a feature have been taken for `counted`; those of `other`, if there is one, are still the
 * parent's. */
static void finish_feature(qn__grower *gr, child *counted, child *other, int32_t i, int t) {
    const qn__bin_feature *f = &gr->map->features[i];
    if (other) {
        qn__hist_subtract_packed(&other->hist, &counted->hist, f->cell, f->n_cells);
        ask_for_cells(gr, &other->hist, i + 1);
        ask_for_cells(gr, &counted->hist, i + 1);
    }
    if (gr->feature_used && !gr->feature_used[i])
        return;
    if (counted->may_split)
        try_feature(gr, counted->leaf, &counted->in, i, t);
    if (other)
        try_feature(gr, other->leaf, &other->in, i, t);
}

/* Counts one child and searches it and the other, a feature at a time: cells come into the first-level cache
 * once. */
static void count_and_search(qn__grower *gr, child *counted, child *other, int t) {
    const qn__bin_map *map = gr->map;
    qn__hist_input in = hist_input_of(gr, counted->leaf);
    qn__hist_count(&in, &gr->hist, t, false);
    for (int32_t l = 0; l < map->n_lanes; l++) {
        const qn__lane *lane = &map->lanes[l];
        qn__hist_take_lane(&in, &gr->hist, t, lane, &counted->hist);
        for (int32_t k = 0; k < lane->n_features; k++)
            finish_feature(gr, counted, other, map->by_lane[lane->first + k], t);
    }
    for (int32_t i = map->n_dense; i < map->n_features; i++) {
        qn__hist_take_sparse(&in, &gr->hist, t, i, &counted->hist);
        finish_feature(gr, counted, other, i, t);
    }
}

/* What a small leaf's children need is counted in cells of the thread's own. */
static void expand_small(qn__grower *gr, qn__leaf *left, int t) {
    for (qn__leaf *lf = left; lf <= left + 1; lf++) {
        child c;
        begin_child(gr, lf, gr->workers[t].cells, &c);
        if (c.may_split)
            count_and_search(gr, &c, NULL, t);
    }
}

/* The larger child, which may be split, takes over its parent's histogram. */
static qn_status expand_by_feature(qn__grower *gr, qn__leaf *lf, qn__leaf *small, qn__leaf *large,
                                   int t) {
    child a, b;
    qn_status status = QN_OK;
    qn__tree_lock(gr);
    if (qn__tree_may_split(gr, small) && !needs_no_histogram(gr, small))
        status = qn__tree_slot_take(gr, small);
    qn__tree_unlock(gr);
    QN_TRY(status);
    large->slot = lf->slot;
    lf->slot = QN__NO_SLOT;
    begin_child(gr, small, gr->workers[t].cells, &a);
    begin_child(gr, large, NULL, &b);
    count_and_search(gr, &a, &b, t);
    if (needs_no_histogram(gr, large)) {
        qn__tree_lock(gr);
        qn__tree_slot_release(gr, large);
        qn__tree_unlock(gr);
    }
    return QN_OK;
}

/* ---- a leaf -------------------------------------------------------------------------------------- */

/* Are its cells too large for packed ones? Those of a set always are. */
static bool needs_wide(const qn__grower *gr, const qn__leaf *lf) {
    if (gr->q->is_small)
        return !qn__load_fits(qn__small_load(lf->n));
    qn__load load = {.n = lf->n, .h = lf->total.h};
    if (!qn__load_fits(load))
        return true;
    qn__hist_input in = hist_input_of(gr, lf);
    return !qn__load_fits(qn__hist_load(&in));
}

void qn__tree_set_kind(qn__grower *gr, qn__leaf *root) {
    root->wide = needs_wide(gr, root);
    root->narrow_only = has_few_rows(gr, root);
}

/* Divides the rows, counts and finds the children's splits; `last` children will not be split. */
qn_status qn__tree_expand(qn__grower *gr, int32_t i_leaf, bool last, int t) {
    qn__leaf *lf = &gr->leaves[i_leaf];
    qn__leaf *left = &gr->leaves[lf->children], *right = left + 1;
    const int64_t n_left = lf->split.left.n;
    qn__sum rest = qn__sum_less(lf->total, lf->split.left);
    double l2 = gr->params->lambda_l2 + (lf->split.is_sorted ? gr->params->cat_l2 : 0);
    *left = (qn__leaf){.split.feature = -1, .total = lf->split.left, .begin = lf->begin, .n = n_left};
    *right = (qn__leaf){.split.feature = -1, .total = rest, .begin = lf->begin,
                        .n = lf->n - n_left};
    /* As a division puts them; all that follows goes by these two. */
    qn__leaf *small = left->n < right->n ? left : right, *large = small == left ? right : left;
    small->begin += large->n;
    for (qn__leaf *c = left; c <= right; c++) {
        c->depth = lf->depth + 1;
        c->l2 = l2;
        c->node = c->slot = c->children = -1;
        c->rule = qn__rule_child(&lf->rule, gr->map, &lf->split, c == left);
        c->forced = -1;
        if (lf->is_forced)
            c->forced = c == left ? gr->growth->forced[lf->forced].left
                                  : gr->growth->forced[lf->forced].right;
    }
    divide(gr, lf, small, large, last, t);
    left->wide = lf->wide && needs_wide(gr, left);
    right->wide = lf->wide && needs_wide(gr, right);
    small->narrow_only = large->narrow_only = has_few_rows(gr, large);
    if (last)
        return QN_OK;
    if (goes_by_feature(gr, lf, t) && needs_no_histogram(gr, lf)) {
        expand_small(gr, left, t);
        return QN_OK;
    }
    if (goes_by_feature(gr, lf, t) && lf->slot != QN__NO_SLOT && qn__tree_may_split(gr, large))
        return expand_by_feature(gr, lf, small, large, t);
    QN_TRY(take_slots(gr, lf, small, large));
    if (small->slot != QN__NO_SLOT)
        qn__tree_build(gr, small, t);
    if (large->slot != QN__NO_SLOT) {
        if (!large->listed)
            qn__tree_list_rows(gr, large);
        qn__tree_build(gr, large, t);
    } else if (small->slot != QN__NO_SLOT && lf->slot != QN__NO_SLOT
               && qn__tree_may_split(gr, large)) {
        qn__hist parent = qn__tree_hist_of(gr, lf), counted = qn__tree_hist_of(gr, small);
        int64_t n_cells = large->narrow_only ? gr->map->narrow_cells : gr->map->n_cells;
        qn__hist_subtract(&parent, &counted, n_cells, large->wide);
        large->slot = lf->slot;
        lf->slot = QN__NO_SLOT;
    }
    if (gr->growth->in_order || gr->growth->symmetric)
        return QN_OK; /* their bounds are not settled yet */
    qn__tree_search_if(gr, left, t);
    qn__tree_search_if(gr, right, t);
    return QN_OK;
}
