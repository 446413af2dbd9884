#include <omp.h>
#include <pthread.h>
#include <string.h>

#include "learn/gbdt_grower_int.h"

enum { AHEAD = 16, SURE_PACKED = 1 << 11, MANY_LEAVES = 1 << 10, LEAST = 3 };

static void free_list(qn__row_list *list) {
    qn_freep(&list->rows);
    qn_freep(&list->gh);
}

void qn__grower_free(qn__grower **grower) {
    qn__grower *gr = grower ? *grower : NULL;
    if (!gr)
        return;
    for (int t = 0; gr->workers && t < gr->n_threads; t++) {
        qn_freep(&gr->workers[t].search);
        qn_freep(&gr->workers[t].goes_left);
        qn_freep(&gr->workers[t].feature_used);
        qn_freep(&gr->workers[t].cells);
        qn__few_done(&gr->workers[t].few);
    }
    qn_freep(&gr->list.gh);
    free_list(&gr->spare);
    for (int s = 0; s < QN__N_SETS; s++)
        qn_freep(&gr->sets[s]);
    qn_freep(&gr->partition.n_left);
    qn_freep(&gr->partition.n_right);
    qn_freep(&gr->partition.sides);
    qn_freep(&gr->nodes);
    qn_freep(&gr->leaves);
    qn_freep(&gr->open.leaves);
    qn_freep(&gr->unclaimed.leaves);
    qn_freep(&gr->slots);
    qn_freep(&gr->slot_wide);
    qn_freep(&gr->slot_free[0]);
    qn_freep(&gr->slot_free[1]);
    qn_freep(&gr->found);
    qn_freep(&gr->workers);
    qn_freep(&gr->group_used);
    qn_freep(&gr->leaf_of);
    qn_freep(&gr->stack);
    qn_freep(&gr->again);
    qn__level_done(&gr->level);
    qn__limits_done(&gr->limits);
    qn__hist_scratch_done(&gr->hist);
    if (gr->has_lock) {
        pthread_mutex_destroy(&gr->lock);
        pthread_cond_destroy(&gr->changed);
    }
    qn_freep(grower);
}

/* Histograms that are of use: taken in order of gain, only as many leaves can still be split as splits are
 * left, so half of max_leaves; all where the order is not settled, or leaves are so many that looking for one
 * to give up takes long. Without bins by columns they take a quarter of the bins, if that is ENOUGH. */
static size_t slots_of_use(const qn__grower *gr) {
    enum { ENOUGH = 16 };
    size_t leaves = (size_t)gr->max_leaves, ahead = AHEAD * (size_t)gr->n_threads;
    if (gr->growth->in_order || gr->growth->symmetric || leaves > MANY_LEAVES)
        return leaves + ahead;
    size_t some = (size_t)gr->bins->n_rows * (size_t)gr->map->row_bytes / 4 / gr->slot_bytes;
    some = some > ENOUGH + ahead ? some : ENOUGH + ahead;
    leaves = leaves / 2 + 1 + ahead;
    return gr->bins->columns || some > leaves ? leaves : some;
}

/* Those within a quarter of the memory limit (1 GB without one), or a twelfth where bins in both orders
 * would take more than half of it. A leaf whose histogram was taken away is counted afresh; the sums, being
 * integers, are the same. */
static int32_t pool_size(const qn__grower *gr, const qn_job *job) {
    size_t cap = (size_t)1 << 30, of_use = slots_of_use(gr);
    size_t both = (size_t)gr->bins->n_rows * (size_t)(gr->bins->stride + gr->map->row_bytes);
    if (job && job->memory_bytes)
        cap = job->memory_bytes / (both <= job->memory_bytes / 2 ? 4 : 12);
    size_t n = cap / gr->slot_bytes > LEAST ? cap / gr->slot_bytes : LEAST; /* a leaf and its children */
    return (int32_t)(n < of_use ? n : of_use);
}

static qn_status allocate_pool(qn__grower *gr, const qn_job *job, qn_error *err) {
    enum { PAGE = 4096, APART = 13 * 64 }; /* a load waits for a store on its way 4096 bytes apart */
    size_t pages = ((size_t)gr->map->n_cells * sizeof(qn__wide_sum) + PAGE - APART - 1) / PAGE;
    gr->slot_bytes = pages * PAGE + APART;
    gr->n_slots = pool_size(gr, job);
    while (!(gr->slots = qn_malloc_aligned((size_t)gr->n_slots, gr->slot_bytes))
           && gr->n_slots > LEAST)
        gr->n_slots = gr->n_slots > 2 * LEAST ? gr->n_slots / 2 : LEAST;
    if (gr->slots)
        qn__small_pages(gr->slots, (size_t)gr->n_slots * gr->slot_bytes);
    /* A leaf expanded ahead holds the histograms of both children, and so does every one being
     * expanded. */
    gr->max_ahead = gr->n_slots / 2 - gr->n_threads;
    if (gr->max_ahead > AHEAD * gr->n_threads)
        gr->max_ahead = AHEAD * gr->n_threads;
    gr->slot_wide = qn_new_array(bool, gr->n_slots);
    gr->slot_free[0] = qn_new_array(int32_t, gr->n_slots);
    gr->slot_free[1] = qn_new_array(int32_t, gr->n_slots);
    if (!gr->slots || !gr->slot_wide || !gr->slot_free[0] || !gr->slot_free[1])
        return qn_error_memory(err);
    return QN_OK;
}

/* Whether children can be searched feature by feature, while what is counted is in cache. */
static bool by_feature(const qn__grower *gr) {
    const qn__growth *growth = gr->growth;
    return gr->few_most == 0
           && !(growth->by_node || growth->costs.any || growth->in_order || growth->symmetric);
}

static qn_status allocate_workers(qn__grower *gr, qn_error *err) {
    const bool cells = by_feature(gr);
    gr->workers = qn_new_array(qn__tree_worker, gr->n_threads);
    if (!gr->workers)
        return qn_error_memory(err);
    for (int t = 0; t < gr->n_threads; t++) {
        gr->workers[t].search = qn_new_array(double, qn__split_scratch_len(gr->map));
        gr->workers[t].goes_left = qn_malloc_aligned(1 << 16, 1);
        if (gr->growth->by_node)
            gr->workers[t].feature_used = qn_new_array(bool, gr->map->n_features);
        if (cells)
            gr->workers[t].cells = qn_malloc_aligned((size_t)gr->map->n_cells, sizeof(int64_t));
        if (!gr->workers[t].search || !gr->workers[t].goes_left
            || (cells && !gr->workers[t].cells)
            || (gr->growth->by_node && !gr->workers[t].feature_used))
            return qn_error_memory(err);
        if (gr->few_most > 0)
            QN_TRY(qn__few_init(&gr->workers[t].few, gr->map, err));
    }
    gr->partition.goes_left = gr->workers[0].goes_left;
    bool wide = gr->bins->n_rows > SURE_PACKED;
    return qn__hist_scratch_init(&gr->hist, gr->map, wide, gr->n_threads, err);
}

static qn_status allocate(qn__grower *gr, qn_error *err) {
    size_t n_rows = (size_t)gr->bins->n_rows, leaves = (size_t)gr->max_leaves;
    gr->cap_leaves = 2 * (gr->max_leaves + (AHEAD + 1) * gr->n_threads) + 1;
    gr->nodes = qn_new_array(qn__grown_node, 2 * leaves);
    gr->leaves = qn_new_array(qn__leaf, gr->cap_leaves);
    gr->open.leaves = qn_new_array(int32_t, leaves + 1);
    gr->unclaimed.leaves = qn_new_array(int32_t, leaves + 1);
    gr->found = qn_new_array(qn__split, gr->map->n_features);
    gr->group_used = qn_new_array(bool, gr->map->n_groups);
    gr->partition.n_threads = gr->n_threads;
    gr->partition.n_left = qn_new_array(int64_t, n_rows / QN__PARTITION_BLOCK + 2);
    gr->partition.n_right = qn_new_array(int64_t, n_rows / QN__PARTITION_BLOCK + 2);
    gr->partition.sides = qn_malloc_aligned(4 * (n_rows / 64 + 1), sizeof *gr->partition.sides);
    /* Or else rows are read to divide them, and their gradients with them. */
    const bool with_gh = gr->bins->columns != NULL;
    gr->spare.rows = qn_malloc_aligned(n_rows, sizeof *gr->spare.rows);
    if (with_gh) {
        gr->list.gh = qn_malloc_aligned(n_rows, sizeof *gr->list.gh);
        gr->spare.gh = qn_malloc_aligned(n_rows, sizeof *gr->spare.gh);
    }
    if (!gr->nodes || !gr->leaves || !gr->open.leaves || !gr->unclaimed.leaves || !gr->found
        || !gr->group_used || !gr->partition.n_left || !gr->partition.n_right
        || !gr->partition.sides || !gr->spare.rows
        || (with_gh && !(gr->list.gh && gr->spare.gh)))
        return qn_error_memory(err);
    qn__small_pages(gr->spare.rows, n_rows * sizeof *gr->spare.rows);
    if (with_gh)
        qn__small_pages(gr->spare.gh, n_rows * sizeof *gr->spare.gh);
    if (!gr->growth->in_order)
        return QN_OK;
    gr->leaf_of = qn_new_array(int32_t, 2 * leaves);
    gr->stack = qn_new_array(int32_t, 2 * leaves);
    gr->again = qn_new_array(int32_t, 2 * leaves);
    return gr->leaf_of && gr->stack && gr->again ? QN_OK : qn_error_memory(err);
}

qn_status qn__grower_new(qn__growth *growth, const qn__bin_map *map, const qn__bins *bins,
                         const qn_job *job, qn__grower **ret_grower, qn_error *err) {
    qn_cleanup(qn__grower_free) qn__grower *gr = qn_new(qn__grower);
    if (!gr)
        return qn_error_memory(err);
    gr->growth = growth;
    gr->params = growth->params;
    gr->costs = &growth->costs;
    gr->map = map;
    gr->bins = bins;
    gr->n_threads = qn_job_threads(job);
    gr->few_most = qn__few_most(growth, map);
    if (bins->n_rows >= QN__DENSE_ROWS
        && !(growth->in_order || growth->symmetric || growth->costs.any))
        gr->dense_part = bins->columns ? QN__DENSE_PART : QN__DENSE_PART_OF_ROWS;
    /* More leaves than rows cannot be. */
    int64_t leaves = growth->symmetric ? (int64_t)1 << growth->max_depth
                                       : gr->params->num_leaves;
    gr->max_leaves = (int32_t)(leaves < bins->n_rows ? leaves : bins->n_rows);
    gr->max_leaves = gr->max_leaves < 2 ? 2 : gr->max_leaves;
    int64_t n_few = bins->n_rows / (2 * QN__DENSE_PART);
    gr->n_spare_each = n_few * gr->n_threads <= bins->n_rows / 2 ? n_few : 0;
    QN_TRY(allocate(gr, err));
    QN_TRY(allocate_workers(gr, err));
    QN_TRY(allocate_pool(gr, job, err));
    QN_TRY(qn__level_init(gr, err));
    if (growth->advanced)
        QN_TRY(qn__limits_init(&gr->limits, map, err));
    gr->has_lock = pthread_mutex_init(&gr->lock, NULL) == 0
                   && pthread_cond_init(&gr->changed, NULL) == 0;
    QN_FAIL_IF(!gr->has_lock, err, QN_ERR_INTERNAL, "cannot make a lock");
    *ret_grower = qn_steal(&gr);
    return QN_OK;
}

qn__grown_node *qn__grower_nodes(qn__grower *grower, int32_t *ret_n) {
    *ret_n = grower->n_nodes;
    return grower->nodes;
}

int32_t qn__grown_leaf(const qn__grown_node *nodes, const qn__bin_map *map, const qn__bins *bins,
                       int64_t row) {
    int32_t at = 0;
    while (nodes[at].split.feature >= 0) {
        const qn__bin_feature *f = &map->features[nodes[at].split.feature];
        bool left = qn__split_goes_left(&nodes[at].split, f, qn__bins_at(map, bins, f, row));
        at = left ? nodes[at].left : nodes[at].right;
    }
    return at;
}

/* ---- heaps of leaves: forced ones, (the upper level,) the largest gain, the older node --------- */

static bool before(const qn__grower *gr, int32_t a, int32_t b) {
    const qn__leaf *la = &gr->leaves[a], *lb = &gr->leaves[b];
    if (la->is_forced || lb->is_forced)
        return la->is_forced && (!lb->is_forced || la->node < lb->node);
    if (gr->growth->by_level && la->depth != lb->depth)
        return la->depth < lb->depth;
    return la->split.gain > lb->split.gain
           || (la->split.gain == lb->split.gain && la->node < lb->node);
}

void qn__tree_heap_push(const qn__grower *gr, qn__heap *h, int32_t item) {
    int32_t i = h->n++;
    while (i > 0 && before(gr, item, h->leaves[(i - 1) / 2])) {
        h->leaves[i] = h->leaves[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h->leaves[i] = item;
}

int32_t qn__tree_heap_pop(const qn__grower *gr, qn__heap *h) {
    int32_t first = h->leaves[0], last = h->leaves[--h->n];
    int32_t i = 0;
    for (int32_t c = 1; c < h->n; c = 2 * i + 1) {
        if (c + 1 < h->n && before(gr, h->leaves[c + 1], h->leaves[c]))
            c++;
        if (!before(gr, h->leaves[c], last))
            break;
        h->leaves[i] = h->leaves[c];
        i = c;
    }
    h->leaves[i] = last;
    return first;
}

/* ---- the pool of histograms (under the lock) ------------------------------------------------ */

void qn__tree_slot_release(qn__grower *gr, qn__leaf *lf) {
    if (lf->slot != QN__NO_SLOT) {
        bool wide = gr->slot_wide[lf->slot];
        gr->slot_free[wide][gr->n_free[wide]++] = lf->slot;
    }
    lf->slot = QN__NO_SLOT;
}

/* Frees the slot of the unclaimed leaf least likely to be split soon. */
static bool evict(qn__grower *gr) {
    int32_t worst = -1;
    for (int32_t i = 0; i < gr->unclaimed.n; i++) {
        int32_t at = gr->unclaimed.leaves[i];
        if (gr->leaves[at].slot != QN__NO_SLOT && (worst < 0 || before(gr, worst, at)))
            worst = at;
    }
    if (worst >= 0)
        qn__tree_slot_release(gr, &gr->leaves[worst]);
    return worst >= 0;
}

/* A slot for the leaf: one of its kind, if there is one. A narrow one becomes wide when it must;
 * few are, as few leaves have many rows. */
qn_status qn__tree_slot_take(qn__grower *gr, qn__leaf *lf) {
    if (gr->n_free[0] + gr->n_free[1] == 0 && !evict(gr))
        return QN_ERR_INTERNAL;
    bool wide = gr->n_free[lf->wide] > 0 ? lf->wide : !lf->wide;
    lf->slot = gr->slot_free[wide][--gr->n_free[wide]];
    gr->slot_wide[lf->slot] |= lf->wide;
    return QN_OK;
}

qn__row_list qn__tree_rows_of(const qn__grower *gr, const qn__leaf *lf) {
    return qn__rows_from(gr->list, lf->begin);
}

/* Leaves worked on at the same time have no rows in common, so a place at half of where they begin is free.
 * Those of few rows share one, the thread's own, behind all such places: what is not used is not touched. */
qn__row_list qn__tree_spare_of(const qn__grower *gr, const qn__leaf *lf, int t) {
    int64_t at = (lf->begin + 1) / 2;
    if (lf->n / 2 <= gr->n_spare_each)
        at = (gr->bins->n_rows + 1) / 2 + t * gr->n_spare_each;
    return qn__rows_from(gr->spare, t < 0 ? 0 : at);
}

/* ---- sets of rows ----------------------------------------------------------------------------- */

int32_t qn__tree_set_take(qn__grower *gr, int64_t n_rows) {
    if (gr->n_sets_free == 0 || n_rows < QN__DENSE_ROWS
        || n_rows * gr->dense_part < gr->bins->n_rows)
        return QN__NO_SLOT;
    int32_t set = gr->set_free[gr->n_sets_free - 1];
    if (!gr->sets[set])
        gr->sets[set] = qn_malloc_aligned(qn__dense_words(gr->bins->n_rows), sizeof(uint64_t));
    if (!gr->sets[set])
        return QN__NO_SLOT;
    gr->n_sets_free--;
    return set;
}

bool qn__tree_ends_as_set(const qn__grower *gr, const qn__leaf *lf) {
    return 2 * lf->n >= gr->bins->n_rows;
}

static void release_set(qn__grower *gr, qn__leaf *lf) {
    if (lf->set != QN__NO_SLOT)
        gr->set_free[gr->n_sets_free++] = lf->set;
    lf->set = QN__NO_SLOT;
}

void qn__tree_list_rows(qn__grower *gr, qn__leaf *lf) {
    qn__dense_list(gr->sets[lf->set], gr->bins->n_rows, lf->n, qn__tree_all_gh(gr),
                   QN__VECTORS_BEST, qn__tree_rows_of(gr, lf));
    lf->listed = true;
}

/* ---- the tree (under the lock) --------------------------------------------------------------- */

static void make_node(qn__grower *gr, int32_t i_leaf, int32_t parent) {
    qn__leaf *lf = &gr->leaves[i_leaf];
    lf->node = gr->n_nodes++;
    gr->nodes[lf->node] = (qn__grown_node){.split.feature = -1, .begin = lf->begin, .n = lf->n,
                                           .rows = qn__tree_rows_of(gr, lf).rows,
                                           .total = lf->total, .l2 = lf->l2, .parent = parent,
                                           .value = gr->growth->ruled ? lf->rule.value : 0};
    if (gr->leaf_of)
        gr->leaf_of[lf->node] = i_leaf;
}

/* A leaf of the tree: open when it has a split. */
void qn__tree_open_or_close(qn__grower *gr, int32_t i_leaf) {
    qn__leaf *lf = &gr->leaves[i_leaf];
    if (lf->split.feature >= 0) {
        qn__tree_heap_push(gr, &gr->open, i_leaf);
        qn__tree_heap_push(gr, &gr->unclaimed, i_leaf);
    } else {
        qn__tree_slot_release(gr, lf);
    }
}

/* Makes the split of a leaf, which is off the heap, part of the tree. */
void qn__tree_take_split(qn__grower *gr, qn__leaf *lf) {
    gr->n_ahead--;
    qn__grown_node *node = &gr->nodes[lf->node];
    node->split = lf->split;
    node->left = gr->n_nodes;
    node->right = gr->n_nodes + 1;
    qn__tree_slot_release(gr, lf);
    release_set(gr, lf);
    gr->n_leaves++;
    make_node(gr, lf->children, lf->node);
    make_node(gr, lf->children + 1, lf->node);
}

/* Takes splits into the tree, best first, as far as they are worked out. */
static void take_splits(qn__grower *gr) {
    while (gr->open.n > 0 && gr->n_leaves < gr->max_leaves) {
        qn__leaf *lf = &gr->leaves[gr->open.leaves[0]];
        if (!lf->expanded)
            return;
        qn__tree_heap_pop(gr, &gr->open);
        qn__tree_take_split(gr, lf);
        qn__tree_open_or_close(gr, lf->children);
        qn__tree_open_or_close(gr, lf->children + 1);
    }
}

void qn__tree_claim(qn__grower *gr, int32_t i_leaf) {
    qn__leaf *lf = &gr->leaves[i_leaf];
    lf->claimed = true;
    lf->children = gr->n_all;
    gr->n_all += 2;
    gr->n_ahead++;
}

/* ---- growing ---------------------------------------------------------------------------------- */

/* Rows of the leaves that other threads work on or could work on meanwhile. */
static int64_t rows_of_others(const qn__grower *gr, const qn__leaf *lf) {
    int64_t n = gr->rows_busy;
    for (int32_t i = 0; i < gr->unclaimed.n; i++) {
        const qn__leaf *other = &gr->leaves[gr->unclaimed.leaves[i]];
        n += other != lf ? other->n : 0;
    }
    return n;
}

/* One that would keep a thread busy while the others have nothing left to do. Working together has its
 * price, too: small ones, of packed cells, are faster feature by feature. */
bool qn__tree_is_large(const qn__grower *gr, const qn__leaf *lf) {
    if (gr->n_threads == 1 || lf->n * (gr->map->n_lanes + 4) <= 2 * QN__WORTH_THREADS)
        return false;
    if (gr->growth->in_order)
        return true;
    if (gr->growth->symmetric)
        return 2 * gr->n_threads * lf->n >= 3 * gr->n_rows;
    return lf->wide && (gr->n_threads - 1) * lf->n >= rows_of_others(gr, lf);
}

typedef enum next { NEXT_LEAF, NEXT_WAIT, NEXT_END } next;

/* What a member of the team does next. Leaves that are not next in line are expanded ahead of their
 * time: few, and not more than can still become part of the tree. */
static next find_work(qn__grower *gr, int32_t *ret_leaf) {
    take_splits(gr);
    int32_t left = gr->max_leaves - gr->n_leaves;
    if (gr->status != QN_OK || left == 0 || gr->open.n == 0)
        return NEXT_END;
    int32_t top = gr->open.leaves[0];
    if (!gr->leaves[top].claimed && qn__tree_is_large(gr, &gr->leaves[top]))
        return NEXT_END;
    int32_t most = left < gr->max_ahead ? left : gr->max_ahead;
    if (gr->leaves[top].claimed && (gr->n_ahead >= most || gr->unclaimed.n == 0))
        return NEXT_WAIT;
    *ret_leaf = qn__tree_heap_pop(gr, &gr->unclaimed);
    qn__tree_claim(gr, *ret_leaf);
    return NEXT_LEAF;
}

static void work(qn__grower *gr, int t) {
    qn__tree_lock(gr);
    for (;;) {
        int32_t i_leaf;
        next what = find_work(gr, &i_leaf);
        if (what == NEXT_END)
            break;
        if (what == NEXT_WAIT) {
            pthread_cond_wait(&gr->changed, &gr->lock);
            continue;
        }
        bool last = gr->max_leaves - gr->n_leaves == 1;
        int64_t n_rows = gr->leaves[i_leaf].n;
        gr->rows_busy += n_rows;
        qn__tree_unlock(gr);
        qn_status status = qn__tree_expand(gr, i_leaf, last, t);
        qn__tree_lock(gr);
        gr->rows_busy -= n_rows;
        if (status != QN_OK)
            gr->status = status;
        gr->leaves[i_leaf].expanded = status == QN_OK;
        pthread_cond_broadcast(&gr->changed);
    }
    pthread_cond_broadcast(&gr->changed);
    qn__tree_unlock(gr);
}

/* The group of lanes with a feature is counted even in a tree that may not use it. */
static void count_always(qn__grower *gr, int32_t feature) {
    if (feature < 0 || gr->map->features[feature].lane < 0)
        return;
    int32_t g = 0;
    while (g + 1 < gr->map->n_groups
           && gr->map->groups[g + 1].lane <= gr->map->features[feature].lane)
        g++;
    gr->group_used[g] = true;
}

static void start(qn__grower *gr, const qn__quantised *q, const uint32_t *rows, int64_t n,
                  const bool *feature_used) {
    gr->q = q;
    gr->feature_used = feature_used;
    for (int32_t g = 0; g < gr->map->n_groups; g++) {
        const qn__lane *from = &gr->map->lanes[gr->map->groups[g].lane];
        const qn__lane *to = from + gr->map->groups[g].n - 1;
        gr->group_used[g] = false;
        for (int32_t k = from->first; feature_used && k < to->first + to->n_features; k++)
            gr->group_used[g] |= feature_used[gr->map->by_lane[k]];
    }
    for (int32_t i = 0; i < gr->growth->n_forced; i++)
        count_always(gr, gr->growth->forced[i].split.feature);
    if (rows)
        memcpy(gr->list.rows, rows, (size_t)n * sizeof *rows);
    if (rows && gr->list.gh)
        qn__gradients_list(q->gh, rows, n, gr->list.gh);
    gr->n_sets_free = 0;
    for (int32_t s = QN__N_SETS - 1; s >= 0; s--)
        gr->set_free[gr->n_sets_free++] = s;
    gr->n_free[0] = gr->n_free[1] = 0;
    for (int32_t s = gr->n_slots - 1; s >= 0; s--) {
        bool wide = gr->slot_wide[s];
        gr->slot_free[wide][gr->n_free[wide]++] = s;
    }
    gr->n_rows = n;
    gr->open.n = gr->unclaimed.n = 0;
    gr->n_nodes = gr->n_leaves = 0;
    gr->n_ahead = 0;
    gr->status = QN_OK;
    /* What a split of the average leaf costs must be worth the handing over. */
    int64_t steps = n * (gr->map->n_lanes + 4) + gr->max_leaves * gr->map->n_cells * 4;
    gr->n_team = gr->max_ahead > 0 && steps > 2 * QN__WORTH_THREADS ? gr->n_threads : 1;
}

static qn__sum sum_rows(const qn__grower *gr, const uint32_t *rows) {
    qn__sum sum = {0};
    for (int64_t i = 0; rows && i < gr->n_rows; i++)
        qn__sum_add(&sum, qn__row_sum(qn__gradient_of(gr->q->gh, rows[i])));
    return rows ? sum : gr->q->total;
}

/* Those of a sample; all rows need none. */
static void fill_set(qn__grower *gr, const uint32_t *rows, qn__leaf *root) {
    root->set = rows ? qn__tree_set_take(gr, gr->n_rows) : QN__NO_SLOT;
    if (root->set == QN__NO_SLOT)
        return;
    uint64_t *set = gr->sets[root->set];
    memset(set, 0, qn__dense_words(gr->bins->n_rows) * sizeof *set);
    for (int64_t i = 0; i < gr->n_rows; i++)
        set[rows[i] / 64] |= (uint64_t)1 << rows[i] % 64;
}

static qn_status plant(qn__grower *gr, const uint32_t *rows) {
    qn__leaf *root = &gr->leaves[0];
    *root = (qn__leaf){.split.feature = -1, .n = gr->n_rows, .total = sum_rows(gr, rows),
                       .l2 = gr->params->lambda_l2, .slot = QN__NO_SLOT, .listed = true};
    qn__tree_set_kind(gr, root);
    root->forced = gr->growth->n_forced > 0 ? 0 : -1;
    root->rule = qn__rule_root(gr->growth, (double)root->total.g * gr->q->g_unit,
                               (double)root->total.h * gr->q->h_unit);
    gr->n_all = gr->n_leaves = 1;
    fill_set(gr, rows, root);
    if (qn__tree_may_split(gr, root) && gr->map->n_features > 0) {
        int t = qn__tree_is_large(gr, root) ? -1 : 0;
        QN_TRY(qn__tree_slot_take(gr, root));
        qn__tree_build(gr, root, t);
        if (!gr->growth->symmetric)
            qn__tree_search_if(gr, root, t);
    }
    make_node(gr, 0, -1);
    if (!gr->growth->symmetric)
        qn__tree_open_or_close(gr, 0);
    return QN_OK;
}

/* Large leaves one after the other by all threads together; then each thread takes leaves of its
 * own, until the next in line is large again. */
static void grow(qn__grower *gr) {
    for (;;) {
        take_splits(gr);
        if (gr->status != QN_OK || gr->open.n == 0 || gr->n_leaves == gr->max_leaves)
            return;
        int32_t top = gr->open.leaves[0];
        if (!gr->leaves[top].claimed && qn__tree_is_large(gr, &gr->leaves[top])) {
            qn__tree_claim(gr, qn__tree_heap_pop(gr, &gr->unclaimed));
            gr->status = qn__tree_expand(gr, top, gr->max_leaves - gr->n_leaves == 1, -1);
            gr->leaves[top].expanded = gr->status == QN_OK;
        } else if (gr->n_team > 1) {
#pragma omp parallel num_threads(gr->n_team)
            work(gr, omp_get_thread_num());
        } else {
            work(gr, 0);
        }
    }
}

static bool is_leaf(const qn__grower *gr, const qn__leaf *lf) {
    return lf->node >= 0 && gr->nodes[lf->node].split.feature < 0;
}

/* The rows of the leaves as they are told: sets become lists, but for one of half of the rows; the list of a
 * leaf that was divided ahead of its turn, and stays whole, is that of its children. */
static void finish_leaves(qn__grower *gr) {
#pragma omp parallel for schedule(dynamic) num_threads(gr->n_team)
    for (int32_t i = 0; i < gr->n_all; i++) {
        qn__leaf *lf = &gr->leaves[i];
        if (!is_leaf(gr, lf))
            continue;
        qn__grown_node *node = &gr->nodes[lf->node];
        const int64_t n_left = lf->split.left.n, n_right = lf->n - n_left;
        node->n_first = lf->n;
        if (!lf->listed && qn__tree_ends_as_set(gr, lf))
            node->set = gr->sets[lf->set];
        else if (!lf->listed)
            qn__tree_list_rows(gr, lf);
        else if (lf->expanded)
            node->n_first = n_left > n_right ? n_left : n_right;
    }
}

/* The two parts of a leaf's list become one in order; gradients beside them stay as they are. */
static void merge_rows(const qn__grower *gr, const qn__grown_node *leaf) {
    int64_t i = leaf->n_first, j = leaf->n - i, to = leaf->n;
    uint32_t *rows = leaf->rows, *aside = gr->spare.rows;
    memcpy(aside, rows + i, (size_t)j * sizeof *rows);
    while (j > 0) { /* from the back, where there is room */
        bool is_aside = i == 0 || aside[j - 1] > rows[i - 1];
        rows[--to] = is_aside ? aside[j - 1] : rows[i - 1];
        j -= is_aside;
        i -= !is_aside;
    }
}

void qn__grower_list_rows(qn__grower *gr) {
    for (int32_t i = 0; i < gr->n_all; i++) {
        qn__leaf *lf = &gr->leaves[i];
        if (!is_leaf(gr, lf))
            continue;
        qn__grown_node *node = &gr->nodes[lf->node];
        if (node->set)
            qn__tree_list_rows(gr, lf);
        else if (node->n_first < node->n)
            merge_rows(gr, node);
        node->set = NULL;
        node->n_first = node->n;
    }
}

qn_status qn__grower_run(qn__grower *gr, const qn__quantised *q, const uint32_t *rows, int64_t n,
                         const bool *feature_used, uint32_t *list, qn_error *err) {
    gr->list.rows = list;
    start(gr, q, rows, n, feature_used);
    gr->status = plant(gr, rows);
    if (gr->status == QN_OK && gr->growth->symmetric)
        qn__tree_grow_symmetric(gr);
    else if (gr->status == QN_OK && gr->growth->in_order)
        qn__tree_grow_in_order(gr);
    else if (gr->status == QN_OK)
        grow(gr);
    for (int64_t i = 0; !rows && gr->n_nodes == 1 && i < n; i++)
        gr->list.rows[i] = (uint32_t)i; /* only a division would have written them */
    if (gr->status == QN_OK)
        finish_leaves(gr);
    QN_FAIL_IF(gr->status != QN_OK, err, QN_ERR_INTERNAL, "the histogram pool is empty");
    return QN_OK;
}
