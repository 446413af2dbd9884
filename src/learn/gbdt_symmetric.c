/* Symmetric (oblivious) trees: all leaves of a level are split by the same test, the one that gains
 * most in their sum (Prokhorenkova et al. 2018, CatBoost: unbiased boosting with categorical features).
 * A leaf that the test does not suit, as a side would be too small, stays whole at that level and
 * waits for the next. A test whose sides are not in the order that a monotone constraint asks for, in any
 * leaf, is none.
 *
 * The sums of gains are kept per candidate, 16 bytes for a histogram cell, and leaves are added to them
 * from left to right: threads share the features, so that the order of additions is always the same. */
#include <omp.h>
#include <string.h>

#include "learn/gbdt_grower_int.h"

void qn__level_done(qn__level *level) {
    qn_freep(&level->leaves);
    qn_freep(&level->fits);
    qn_freep(&level->gain);
    qn_freep(&level->candidates.bin);
    qn_freep(&level->candidates.n);
    qn_freep(&level->candidates.tried[0]);
    qn_freep(&level->candidates.tried[1]);
    qn_freep(&level->candidates.first);
    qn_freep(&level->candidates.end);
}

qn_status qn__level_init(qn__grower *gr, qn_error *err) {
    qn__level *level = &gr->level;
    qn__candidates *c = &level->candidates;
    size_t n_cells = (size_t)gr->map->n_cells, n_leaves = (size_t)gr->max_leaves;
    size_t n_drawn = gr->params->extra_trees ? (size_t)gr->map->n_features : 0;
    if (!gr->growth->symmetric)
        return QN_OK;
    level->leaves = qn_new_array(int32_t, n_leaves);
    level->fits = qn_new_array(bool, n_leaves);
    level->gain = qn_new_array(double, 2 * n_cells);
    c->bin = qn_new_array(int32_t, n_cells);
    c->n = qn_new_array(int32_t, n_cells);
    c->tried[0] = qn_new_array(bool, n_cells);
    c->tried[1] = qn_new_array(bool, n_cells);
    if (!level->leaves || !level->fits || !level->gain || !c->bin || !c->n || !c->tried[0]
        || !c->tried[1])
        return qn_error_memory(err);
    if (n_drawn > 0) {
        c->first = qn_new_array(int32_t, n_drawn);
        c->end = qn_new_array(int32_t, n_drawn);
        if (!c->first || !c->end)
            return qn_error_memory(err);
    }
    level->keeps = gr->n_slots >= gr->max_leaves;
    return QN_OK;
}

static qn__leaf *leaf_at(const qn__grower *gr, int32_t i) {
    return &gr->leaves[gr->level.leaves[i]];
}

/* ---- the split of a level ---------------------------------------------------------------------- */

static const bool *features_of_level(const qn__grower *gr) {
    if (!gr->growth->by_node)
        return gr->feature_used;
    bool *used = gr->workers[0].feature_used;
    qn__growth_features(gr->growth, &gr->level.rule, gr->feature_used, gr->map->n_features, used);
    return used;
}

/* Once a tree, from the histogram of its root. */
static void list_candidates(qn__grower *gr) {
    const qn__leaf *root = leaf_at(gr, 0);
    if (root->slot == QN__NO_SLOT)
        return;
    qn__hist hist = qn__tree_hist_of(gr, root);
    qn__split_input in = qn__tree_split_input(gr, root, &hist);
#pragma omp parallel for schedule(dynamic) num_threads(gr->n_threads) \
    if (gr->map->n_cells > QN__WORTH_THREADS / 8)
    for (int32_t j = 0; j < gr->map->n_features; j++)
        if (!gr->feature_used || gr->feature_used[j])
            qn__split_list(&in, j, gr->workers[omp_get_thread_num()].search,
                           &gr->level.candidates);
}

/* Whose sums are in units of the loss. */
static double gain_unit(const qn__grower *gr) {
    return gr->growth->ruled ? 1 : gr->q->g_unit * gr->q->g_unit / gr->q->h_unit;
}

static qn__price price_of(const qn__grower *gr, const qn__leaf *lf, int32_t feature) {
    const qn__costs *costs = gr->costs;
    qn__price price = {.times = costs->contri ? costs->contri[feature] : 1};
    if (gr->growth->ruled)
        price.times *= qn__rule_penalty(gr->growth, feature, gr->level.depth);
    if (costs->any)
        price.less = qn__costs_of_rows(costs, feature, lf->n) / gain_unit(gr);
    return price;
}

/* Adds the gains of leaves from .. to - 1, whose histograms are there. */
static void add_leaves(qn__grower *gr, const bool *used, int32_t from, int32_t to) {
    const qn__bin_map *map = gr->map;
#pragma omp parallel for schedule(dynamic) num_threads(gr->n_threads) \
    if (map->n_cells * (to - from) > QN__WORTH_THREADS / 8)
    for (int32_t j = 0; j < map->n_features; j++) {
        double *scratch = gr->workers[omp_get_thread_num()].search;
        double *gain = gr->level.gain + 2 * map->features[j].cell;
        for (int32_t i = from; i < to && (!used || used[j]); i++) {
            const qn__leaf *lf = leaf_at(gr, i);
            if (lf->slot == QN__NO_SLOT)
                continue;
            qn__hist hist = qn__tree_hist_of(gr, lf);
            qn__split_input in = qn__tree_split_input(gr, lf, &hist);
            qn__split_add(&in, j, &gr->level.candidates, price_of(gr, lf, j), scratch, gain);
        }
    }
}

/* One by one where rows have yet to pay: how many is known of one leaf at a time. */
static void add_all(qn__grower *gr, const bool *used, int32_t from, int32_t to) {
    if (!gr->costs->has_lazy) {
        add_leaves(gr, used, from, to);
        return;
    }
    for (int32_t i = from; i < to; i++) {
        const qn__leaf *lf = leaf_at(gr, i);
        qn__costs_begin(gr->costs, gr->map, qn__tree_list_of(gr, lf), 0, lf->n);
        add_leaves(gr, used, i, i + 1);
    }
}

/* Counts the leaves from `from` on that need it, as many as the pool has room for; returns the first
 * one left out. */
static int32_t build_leaves(qn__grower *gr, int32_t from) {
    int32_t to = from;
    for (; to < gr->level.n; to++) {
        qn__leaf *lf = leaf_at(gr, to);
        if (lf->slot != QN__NO_SLOT || !qn__tree_may_split(gr, lf))
            continue;
        if (gr->n_free[0] + gr->n_free[1] == 0)
            break;
        gr->status = qn__tree_slot_take(gr, lf);
        if (gr->status != QN_OK)
            return to;
        qn__tree_build(gr, lf, qn__tree_is_large(gr, lf) ? -1 : 0);
    }
    return to;
}

static bool is_worth_it(const qn__grower *gr, double gain) {
    return gain > gr->params->min_gain_to_split && gain > 1e-15;
}

static void pick(qn__grower *gr, const bool *used, qn__split *ret_split) {
    const qn__bin_map *map = gr->map;
    double unit = gain_unit(gr);
    ret_split->feature = -1;
    for (int32_t j = 0; j < map->n_features; j++) {
        qn__split one;
        if (used && !used[j])
            continue;
        qn__split_best(map, gr->params, j, &gr->level.candidates,
                       gr->level.gain + 2 * map->features[j].cell, &one);
        one.gain -= qn__costs_once(gr->costs, j) / unit;
        if (one.feature >= 0 && (ret_split->feature < 0 || one.gain > ret_split->gain))
            *ret_split = one;
    }
    if (ret_split->feature >= 0 && !is_worth_it(gr, ret_split->gain * unit))
        ret_split->feature = -1;
}

static void find_split(qn__grower *gr, qn__split *ret_split) {
    const bool *used = features_of_level(gr);
    memset(gr->level.gain, 0, 2 * (size_t)gr->map->n_cells * sizeof *gr->level.gain);
    for (int32_t from = 0, to; from < gr->level.n && gr->status == QN_OK; from = to) {
        to = build_leaves(gr, from);
        if (gr->status == QN_OK)
            add_all(gr, used, from, to);
        for (int32_t i = from; i < to && !gr->level.keeps; i++)
            qn__tree_slot_release(gr, leaf_at(gr, i));
    }
    if (gr->status == QN_OK)
        pick(gr, used, ret_split);
}

/* ---- one split in all leaves -------------------------------------------------------------------- */

/* What the split leaves on the left, row by row. */
static qn__sum left_rows(const qn__grower *gr, const qn__leaf *lf, const qn__split *split) {
    const qn__bin_feature *f = &gr->map->features[split->feature];
    const uint32_t *rows = qn__tree_list_of(gr, lf);
    qn__sum left = {0};
    for (int64_t i = 0; i < lf->n; i++) {
        int64_t row = rows ? rows[i] : i;
        if (!qn__split_goes_left(split, f, qn__bins_at(gr->map, gr->bins, f, row)))
            continue;
        qn__sum_add(&left, qn__row_sum(qn__gradient_of(gr->q->gh, (size_t)row)));
    }
    return left;
}

static bool suits(const qn__grower *gr, qn__leaf *lf, const qn__split *split) {
    if (!qn__tree_may_split(gr, lf))
        return false;
    qn__hist hist = {0};
    bool has_hist = lf->slot != QN__NO_SLOT;
    if (has_hist)
        hist = qn__tree_hist_of(gr, lf);
    qn__split_input in = qn__tree_split_input(gr, lf, &hist);
    in.depth = gr->level.depth;
    lf->split = *split;
    lf->split.left = has_hist ? qn__split_left(&in, split) : left_rows(gr, lf, split);
    return qn__split_fits(&in, &lf->split);
}

static void fit_leaves(qn__grower *gr, const qn__split *split) {
    qn__level *level = &gr->level;
#pragma omp parallel for schedule(dynamic) num_threads(gr->n_team) if (gr->n_team > 1)
    for (int32_t i = 0; i < level->n; i++)
        level->fits[i] = suits(gr, leaf_at(gr, i), split);
}

/* What the level is forced to, the missing where the leaves gain more by it in sum. False when they gain
 * nothing. */
static bool find_forced(qn__grower *gr, qn__split *ret_split) {
    qn__split split = gr->growth->forced[gr->level.depth].split;
    double top = 0;
    if (split.feature < 0
        || (gr->growth->groups && !(gr->growth->groups[split.feature] & gr->level.rule.groups)))
        return false;
    for (int left = 0; left < (split.is_category ? 1 : 2); left++) {
        double gain = 0;
        if (!split.is_category)
            split.missing_left = left;
        fit_leaves(gr, &split);
        for (int32_t i = 0; i < gr->level.n; i++)
            gain += gr->level.fits[i] ? leaf_at(gr, i)->split.gain : 0;
        if (gain > top) {
            top = gain;
            *ret_split = split;
        }
    }
    return is_worth_it(gr, top);
}

/* ---- taking it --------------------------------------------------------------------------------- */

/* Where training saw no missing values they go with the majority, as in other trees. */
static void place_missing(const qn__grower *gr, qn__split *split) {
    int64_t left = 0, all = 0;
    if (split->is_category || gr->map->features[split->feature].has_missing)
        return;
    for (int32_t i = 0; i < gr->level.n; i++) {
        left += gr->level.fits[i] ? leaf_at(gr, i)->split.left.n : 0;
        all += gr->level.fits[i] ? leaf_at(gr, i)->total.n : 0;
    }
    split->missing_left = 2 * left >= all;
}

static void expand_one(qn__grower *gr, int32_t i, bool last, int t) {
    qn_status status = qn__tree_expand(gr, gr->level.leaves[i], last || !gr->level.keeps, t);
    if (status != QN_OK) {
#pragma omp atomic write
        gr->status = status;
    }
}

/* The leaves that the split suits are divided: large ones by all threads, the others side by side. */
static void expand_leaves(qn__grower *gr, bool last) {
    int32_t n = gr->level.n;
    for (int32_t i = 0; i < n && gr->status == QN_OK; i++)
        if (gr->level.fits[i] && qn__tree_is_large(gr, leaf_at(gr, i)))
            expand_one(gr, i, last, -1);
#pragma omp parallel for schedule(dynamic) num_threads(gr->n_team) if (gr->n_team > 1)
    for (int32_t i = 0; i < n; i++)
        if (gr->level.fits[i] && !qn__tree_is_large(gr, leaf_at(gr, i)))
            expand_one(gr, i, last, omp_get_thread_num());
}

/* Children take the places of their parents. */
static void replace_leaves(qn__grower *gr, int32_t n_split) {
    qn__level *level = &gr->level;
    for (int32_t i = level->n - 1, to = level->n + n_split - 1; i >= 0; i--) {
        int32_t i_leaf = level->leaves[i];
        if (!level->fits[i]) {
            level->leaves[to--] = i_leaf;
            continue;
        }
        level->leaves[to--] = gr->leaves[i_leaf].children + 1;
        level->leaves[to--] = gr->leaves[i_leaf].children;
    }
    level->n += n_split;
}

static void split_leaves(qn__grower *gr, qn__split *split, bool last) {
    qn__level *level = &gr->level;
    int32_t n_split = 0;
    fit_leaves(gr, split);
    place_missing(gr, split);
    for (int32_t i = 0; i < level->n; i++) {
        if (!level->fits[i])
            continue;
        leaf_at(gr, i)->split.missing_left = split->missing_left;
        qn__tree_claim(gr, level->leaves[i]);
        n_split++;
    }
    expand_leaves(gr, last);
    for (int32_t i = 0; i < level->n && gr->status == QN_OK; i++) {
        const qn__leaf *lf = leaf_at(gr, i);
        if (!level->fits[i])
            continue;
        qn__tree_take_split(gr, leaf_at(gr, i));
        qn__costs_take(gr->costs, split->feature, qn__tree_rows_of(gr, lf).rows, lf->n);
    }
    if (gr->status == QN_OK)
        replace_leaves(gr, n_split);
}

void qn__tree_grow_symmetric(qn__grower *gr) {
    qn__level *level = &gr->level;
    int32_t n_forced = gr->growth->n_forced;
    level->leaves[0] = 0;
    level->n = 1;
    level->rule = gr->leaves[0].rule;
    list_candidates(gr);
    for (level->depth = 0; level->depth < gr->growth->max_depth; level->depth++) {
        qn__split split;
        level->candidates.key = level->rule.key;
        if (level->depth >= n_forced || !find_forced(gr, &split)) {
            n_forced = 0; /* what is left out takes those below with it */
            find_split(gr, &split);
        }
        if (gr->status != QN_OK || split.feature < 0)
            break;
        split_leaves(gr, &split, level->depth + 1 == gr->growth->max_depth);
        if (gr->status != QN_OK)
            break;
        level->rule = qn__rule_child(&level->rule, gr->map, &split, true);
    }
}
