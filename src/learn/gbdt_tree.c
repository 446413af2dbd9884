#include <omp.h>
#include <string.h>

#include "learn/gbdt_int.h"

enum { PARTITION_BLOCK = 1 << 14, NO_SLOT = -1 };

/* A leaf that may still be split. */
typedef struct open_leaf {
    int32_t node;
    int32_t depth;
    int32_t slot;       /* of the histogram pool; NO_SLOT: taken away or never made */
    bool wide;
    qn__sum total;
} open_leaf;

struct qn__grower {
    const qn_gbdt_params *params; /* borrowed, as the next three */
    const qn__bin_map *map;
    const qn__bins *bins;
    const qn__quantised *q;
    int n_threads;
    uint32_t *rows, *spare;       /* owned; bins->n_rows: rows grouped by leaf, each group ascending */
    uint8_t *goes_left;           /* owned; by bin */
    qn__grown_node *nodes;        /* owned; 2 num_leaves - 1 */
    int32_t n_nodes, n_leaves, max_leaves;
    open_leaf *heap;              /* owned; best gain first */
    int32_t n_open;
    int32_t n_slots;              /* histograms in the pool */
    void **slots;                 /* owned; allocated when first used */
    int32_t *slot_free;           /* owned; stack of free slots */
    int32_t n_free;
    qn__split *found;             /* owned; per feature, of two leaves */
    double **search;              /* owned; per thread: scratch of the split search */
    bool *tile_used;              /* owned */
    const bool *feature_used;     /* borrowed for a run; NULL: all */
    qn__hist_scratch hist;
};

void qn__grower_free(qn__grower **grower) {
    qn__grower *gr = grower ? *grower : NULL;
    if (!gr)
        return;
    for (int32_t s = 0; gr->slots && s < gr->n_slots; s++)
        qn_freep(&gr->slots[s]);
    for (int t = 0; gr->search && t < gr->n_threads; t++)
        qn_freep(&gr->search[t]);
    qn_freep(&gr->rows);
    qn_freep(&gr->spare);
    qn_freep(&gr->goes_left);
    qn_freep(&gr->nodes);
    qn_freep(&gr->heap);
    qn_freep(&gr->slots);
    qn_freep(&gr->slot_free);
    qn_freep(&gr->found);
    qn_freep(&gr->search);
    qn_freep(&gr->tile_used);
    qn__hist_scratch_done(&gr->hist);
    qn_freep(grower);
}

/* As many histograms as there may be leaves, within a quarter of the memory limit (1 GB without
 * one). A leaf whose histogram was taken away is counted afresh; the sums, being integers, are the
 * same. */
static int32_t pool_size(const qn__grower *gr, const qn_job *job) {
    size_t cap = job && job->memory_bytes ? job->memory_bytes / 4 : (size_t)1 << 30;
    size_t each = (size_t)gr->map->n_cells * sizeof(qn__sum) + 64;
    size_t n = cap / each;
    n = n < 3 ? 3 : n;
    return n > (size_t)gr->max_leaves + 1 ? gr->max_leaves + 1 : (int32_t)n;
}

static qn_status allocate(qn__grower *gr, const qn_job *job, qn_error *err) {
    size_t n_rows = (size_t)gr->bins->n_rows, leaves = (size_t)gr->max_leaves;
    gr->n_slots = pool_size(gr, job);
    gr->rows = qn_malloc_aligned(n_rows, sizeof *gr->rows);
    gr->spare = qn_malloc_aligned(n_rows, sizeof *gr->spare);
    gr->goes_left = qn_calloc((size_t)UINT16_MAX + 1, 1);
    gr->nodes = qn_new_array(qn__grown_node, 2 * leaves);
    gr->heap = qn_new_array(open_leaf, leaves + 1);
    gr->slots = qn_new_array(void *, gr->n_slots);
    gr->slot_free = qn_new_array(int32_t, gr->n_slots);
    gr->found = qn_new_array(qn__split, 2 * (size_t)gr->map->n_features);
    gr->search = qn_new_array(double *, gr->n_threads);
    gr->tile_used = qn_new_array(bool, gr->map->n_tiles);
    if (!gr->rows || !gr->spare || !gr->goes_left || !gr->nodes || !gr->heap || !gr->slots
        || !gr->slot_free || !gr->found || !gr->search || !gr->tile_used)
        return qn_error_memory(err);
    for (int t = 0; t < gr->n_threads; t++)
        if (!(gr->search[t] = qn_new_array(double, qn__split_scratch_len(gr->map))))
            return qn_error_memory(err);
    return qn__hist_scratch_init(&gr->hist, gr->map, gr->n_threads, err);
}

qn_status qn__grower_new(const qn_gbdt_params *params, const qn__bin_map *map, const qn__bins *bins,
                         const qn_job *job, qn__grower **ret_grower, qn_error *err) {
    qn_cleanup(qn__grower_free) qn__grower *gr = qn_new(qn__grower);
    if (!gr)
        return qn_error_memory(err);
    gr->params = params;
    gr->map = map;
    gr->bins = bins;
    gr->n_threads = qn_job_threads(job);
    /* More leaves than rows cannot be. */
    gr->max_leaves = (int32_t)(params->num_leaves < bins->n_rows ? params->num_leaves
                                                                 : bins->n_rows);
    gr->max_leaves = gr->max_leaves < 2 ? 2 : gr->max_leaves;
    QN_TRY(allocate(gr, job, err));
    *ret_grower = qn_steal(&gr);
    return QN_OK;
}

qn__grown_node *qn__grower_nodes(qn__grower *grower, int32_t *ret_n) {
    *ret_n = grower->n_nodes;
    return grower->nodes;
}

const uint32_t *qn__grower_rows(const qn__grower *grower) {
    return grower->rows;
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

/* ---- the heap of open leaves: largest gain first, then the older node ---------------------- */

static bool before(const qn__grower *gr, const open_leaf *a, const open_leaf *b) {
    double ga = gr->nodes[a->node].split.gain, gb = gr->nodes[b->node].split.gain;
    return ga > gb || (ga == gb && a->node < b->node);
}

static void heap_push(qn__grower *gr, open_leaf leaf) {
    int32_t i = gr->n_open++;
    while (i > 0 && before(gr, &leaf, &gr->heap[(i - 1) / 2])) {
        gr->heap[i] = gr->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    gr->heap[i] = leaf;
}

static open_leaf heap_pop(qn__grower *gr) {
    open_leaf top = gr->heap[0], last = gr->heap[--gr->n_open];
    int32_t i = 0;
    for (int32_t c = 1; c < gr->n_open; c = 2 * i + 1) {
        if (c + 1 < gr->n_open && before(gr, &gr->heap[c + 1], &gr->heap[c]))
            c++;
        if (!before(gr, &gr->heap[c], &last))
            break;
        gr->heap[i] = gr->heap[c];
        i = c;
    }
    gr->heap[i] = last;
    return top;
}

/* ---- the pool of histograms ---------------------------------------------------------------- */

static void slot_release(qn__grower *gr, int32_t slot) {
    if (slot != NO_SLOT)
        gr->slot_free[gr->n_free++] = slot;
}

/* A free slot, or that of the open leaf least likely to be split soon. */
static qn_status slot_take(qn__grower *gr, int32_t *ret_slot, qn_error *err) {
    if (gr->n_free == 0) {
        int32_t worst = -1;
        for (int32_t i = 0; i < gr->n_open; i++)
            if (gr->heap[i].slot != NO_SLOT
                && (worst < 0 || before(gr, &gr->heap[worst], &gr->heap[i])))
                worst = i;
        QN_FAIL_IF(worst < 0, err, QN_ERR_INTERNAL, "the histogram pool is empty");
        slot_release(gr, gr->heap[worst].slot);
        gr->heap[worst].slot = NO_SLOT;
    }
    int32_t slot = gr->slot_free[gr->n_free - 1];
    if (!gr->slots[slot]) {
        gr->slots[slot] = qn_malloc_aligned((size_t)gr->map->n_cells, sizeof(qn__sum));
        if (!gr->slots[slot])
            return qn_error_memory(err);
    }
    gr->n_free--;
    *ret_slot = slot;
    return QN_OK;
}

static qn__hist hist_of(const qn__grower *gr, const open_leaf *leaf) {
    return (qn__hist){.wide = leaf->wide, .packed = gr->slots[leaf->slot]};
}

static qn_status build(qn__grower *gr, open_leaf *leaf, bool all_rows, qn_error *err) {
    const qn__grown_node *node = &gr->nodes[leaf->node];
    QN_TRY(slot_take(gr, &leaf->slot, err));
    qn__hist hist = hist_of(gr, leaf);
    qn__hist_build(gr->map, gr->bins, gr->q, all_rows ? NULL : gr->rows + node->begin, node->n,
                   leaf->total, gr->tile_used, &gr->hist, &hist);
    return QN_OK;
}

/* ---- splitting ----------------------------------------------------------------------------- */

static bool may_split(const qn__grower *gr, const open_leaf *leaf) {
    const qn_gbdt_params *p = gr->params;
    return gr->nodes[leaf->node].n >= 2 * p->min_data_in_leaf && gr->nodes[leaf->node].n >= 2
           && (p->max_depth <= 0 || leaf->depth < p->max_depth);
}

/* Searches all features of one or two leaves that have their histograms, in one parallel region:
 * forking and joining costs as much as searching a small leaf. Ties go to the lower feature. */
static void find_splits(qn__grower *gr, const open_leaf *leaves, int n_leaves) {
    qn__split_input in[2];
    qn__hist hist[2];
    for (int k = 0; k < n_leaves; k++) {
        hist[k] = hist_of(gr, &leaves[k]);
        in[k] = (qn__split_input){.params = gr->params, .map = gr->map, .hist = &hist[k],
                                  .total = leaves[k].total, .n_rows = gr->nodes[leaves[k].node].n,
                                  .g_unit = gr->q->g_unit, .h_unit = gr->q->h_unit};
    }
    int32_t n = gr->map->n_features;
    bool parallel = gr->n_threads > 1 && 8 * gr->map->n_cells * n_leaves > QN__WORTH_THREADS;
#pragma omp parallel for schedule(static) num_threads(gr->n_threads) if (parallel)
    for (int32_t i = 0; i < n * n_leaves; i++) {
        if (gr->feature_used && !gr->feature_used[i % n])
            gr->found[i].feature = -1;
        else
            qn__split_find(&in[i / n], i % n, gr->search[omp_get_thread_num()], &gr->found[i]);
    }
    for (int k = 0; k < n_leaves; k++) {
        const qn__split *found = gr->found + (size_t)k * (size_t)n, *best = NULL;
        for (int32_t i = 0; i < n; i++)
            if (found[i].feature >= 0 && (!best || found[i].gain > best->gain))
                best = &found[i];
        if (best)
            gr->nodes[leaves[k].node].split = *best;
    }
}

/* Looks for the splits of leaves (older node first) and puts them among the open ones, or closes
 * them. */
static void open_or_close(qn__grower *gr, const open_leaf *leaves, int n_leaves) {
    open_leaf able[2];
    int n = 0;
    for (int k = 0; k < n_leaves; k++) {
        if (leaves[k].slot != NO_SLOT && may_split(gr, &leaves[k]))
            able[n++] = leaves[k];
        else
            slot_release(gr, leaves[k].slot);
    }
    if (n > 0)
        find_splits(gr, able, n);
    for (int k = 0; k < n; k++) {
        if (gr->nodes[able[k].node].split.feature >= 0)
            heap_push(gr, able[k]);
        else
            slot_release(gr, able[k].slot);
    }
}

/* Stable partition of one block: left rows to the front of `out`, right ones to `spill`. */
static int64_t partition_block(const qn__grower *gr, const qn__bin_feature *f, const uint32_t *rows,
                               int64_t n, uint32_t *left, uint32_t *right) {
    int64_t n_left = 0, n_right = 0;
    const uint8_t *goes_left = gr->goes_left;
    if (f->tile >= 0 && !gr->map->wide) {
        const uint8_t *bin = (const uint8_t *)gr->bins->tiles[f->tile] + f->lane;
        for (int64_t i = 0; i < n; i++) {
            if (i + 32 < n)
                __builtin_prefetch(bin + (size_t)rows[i + 32] * QN__TILE);
            uint32_t row = rows[i];
            int is_left = goes_left[bin[(size_t)row * QN__TILE]];
            left[n_left] = row;
            right[n_right] = row;
            n_left += is_left;
            n_right += 1 - is_left;
        }
        return n_left;
    }
    for (int64_t i = 0; i < n; i++) {
        uint32_t row = rows[i];
        if (goes_left[qn__bins_at(gr->map, gr->bins, f, row)])
            left[n_left++] = row;
        else
            right[n_right++] = row;
    }
    return n_left;
}

/* Splits the rows of a node, both sides in ascending order; the number on the left. Blocks of fixed
 * size write their left rows in place and their right ones to the spare array, then all move
 * together. */
static int64_t partition(qn__grower *gr, const qn__grown_node *node) {
    const qn__bin_feature *f = &gr->map->features[node->split.feature];
    int32_t n_bins = f->kind == QN_FEATURE_CATEGORY ? f->n_values : f->n_values + 1;
    for (int32_t b = 0; b < n_bins; b++)
        gr->goes_left[b] = qn__split_goes_left(&node->split, f, b);
    int64_t n_blocks = (node->n + PARTITION_BLOCK - 1) / PARTITION_BLOCK;
    uint32_t *rows = gr->rows + node->begin, *spare = gr->spare + node->begin;
    if (n_blocks == 1) {
        int64_t n_left = partition_block(gr, f, rows, node->n, rows, spare);
        memcpy(rows + n_left, spare, (size_t)(node->n - n_left) * sizeof *rows);
        return n_left;
    }
    int64_t n_left = 0;
    /* Block by block in windows, so that the counts fit on the stack. */
    enum { WINDOW = 64 };
    int64_t n_spare = 0;
    for (int64_t w = 0; w < n_blocks; w += WINDOW) {
        int64_t lefts[WINDOW];
        int64_t in_window = n_blocks - w < WINDOW ? n_blocks - w : WINDOW;
        uint32_t *at = rows + w * PARTITION_BLOCK, *out = spare + w * PARTITION_BLOCK;
        int64_t n_here = node->n - w * PARTITION_BLOCK;
#pragma omp parallel for schedule(dynamic) num_threads(gr->n_threads) if (4 * node->n > QN__WORTH_THREADS)
        for (int64_t b = 0; b < in_window; b++) {
            int64_t first = b * PARTITION_BLOCK;
            int64_t n = n_here - first < PARTITION_BLOCK ? n_here - first : PARTITION_BLOCK;
            lefts[b] = partition_block(gr, f, at + first, n, at + first, out + first);
        }
        for (int64_t b = 0; b < in_window; b++) {
            int64_t first = b * PARTITION_BLOCK;
            int64_t n = n_here - first < PARTITION_BLOCK ? n_here - first : PARTITION_BLOCK;
            memmove(rows + n_left, at + first, (size_t)lefts[b] * sizeof *rows);
            memmove(spare + n_spare, out + first, (size_t)(n - lefts[b]) * sizeof *rows);
            n_left += lefts[b];
            n_spare += n - lefts[b];
        }
    }
    memcpy(rows + n_left, spare, (size_t)n_spare * sizeof *rows);
    return n_left;
}

/* Replaces the leaf by two; counts the smaller child and takes the other from the parent. */
static qn_status split_leaf(qn__grower *gr, open_leaf leaf, qn_error *err) {
    qn__grown_node *node = &gr->nodes[leaf.node];
    int64_t n_left = partition(gr, node);
    double l2 = gr->params->lambda_l2 + (node->split.is_sorted ? gr->params->cat_l2 : 0);
    node->left = gr->n_nodes++;
    node->right = gr->n_nodes++;
    gr->nodes[node->left] = (qn__grown_node){.split.feature = -1, .begin = node->begin, .n = n_left,
                                             .l2 = l2};
    gr->nodes[node->right] = (qn__grown_node){.split.feature = -1, .begin = node->begin + n_left,
                                              .n = node->n - n_left, .l2 = l2};
    gr->n_leaves++;
    qn__sum left = node->split.left;
    qn__sum right = {.g = leaf.total.g - left.g, .h = leaf.total.h - left.h};
    open_leaf small = {.node = node->left, .depth = leaf.depth + 1, .slot = NO_SLOT, .total = left};
    open_leaf large = {
        .node = node->right, .depth = leaf.depth + 1, .slot = NO_SLOT, .total = right};
    if (n_left > node->n - n_left) {
        open_leaf swap = small;
        small = large;
        large = swap;
    }
    small.wide = gr->nodes[small.node].n > gr->q->block_rows;
    large.wide = gr->nodes[large.node].n > gr->q->block_rows;
    bool more = gr->n_leaves < gr->max_leaves;
    if (!more || (!may_split(gr, &small) && !may_split(gr, &large))) {
        slot_release(gr, leaf.slot);
        return QN_OK;
    }
    if (leaf.slot == NO_SLOT) {
        if (may_split(gr, &large))
            QN_TRY(build(gr, &large, false, err));
        if (may_split(gr, &small))
            QN_TRY(build(gr, &small, false, err));
    } else {
        QN_TRY(build(gr, &small, false, err));
        if (may_split(gr, &large)) {
            qn__hist parent = hist_of(gr, &leaf), counted = hist_of(gr, &small);
            qn__hist_subtract(&parent, &counted, gr->map->n_cells, large.wide, gr->n_threads);
            large.slot = leaf.slot;
        } else {
            slot_release(gr, leaf.slot);
        }
    }
    bool small_first = small.node < large.node;
    open_leaf children[2] = {small_first ? small : large, small_first ? large : small};
    open_or_close(gr, children, 2);
    return QN_OK;
}

static qn__sum sum_rows(const qn__grower *gr, int64_t n) {
    int64_t g = 0, h = 0;
#pragma omp parallel for num_threads(gr->n_threads) reduction(+ : g, h) if (n > QN__WORTH_THREADS)
    for (int64_t i = 0; i < n; i++) {
        qn__sum s = qn__unpack(gr->q->gh[gr->rows[i]]);
        g += s.g;
        h += s.h;
    }
    return (qn__sum){.g = g, .h = h};
}

static void start(qn__grower *gr, const qn__quantised *q, const uint32_t *rows, int64_t n,
                  const bool *feature_used) {
    gr->q = q;
    gr->feature_used = feature_used;
    for (int32_t t = 0; t < gr->map->n_tiles; t++)
        gr->tile_used[t] = !feature_used;
    for (int32_t i = 0; feature_used && i < gr->map->n_dense; i++)
        gr->tile_used[gr->map->features[i].tile] |= feature_used[i];
    for (int64_t i = 0; i < n; i++)
        gr->rows[i] = rows ? rows[i] : (uint32_t)i;
    gr->n_free = 0;
    for (int32_t s = gr->n_slots - 1; s >= 0; s--)
        gr->slot_free[gr->n_free++] = s;
    gr->n_open = 0;
    gr->n_nodes = gr->n_leaves = 1;
    gr->nodes[0] = (qn__grown_node){.split.feature = -1, .n = n, .l2 = gr->params->lambda_l2};
}

qn_status qn__grower_run(qn__grower *gr, const qn__quantised *q, const uint32_t *rows, int64_t n,
                         const bool *feature_used, qn_error *err) {
    start(gr, q, rows, n, feature_used);
    open_leaf root = {.slot = NO_SLOT, .wide = n > q->block_rows, .total = sum_rows(gr, n)};
    if (!may_split(gr, &root) || gr->map->n_features == 0)
        return QN_OK;
    QN_TRY(build(gr, &root, rows == NULL, err));
    open_or_close(gr, &root, 1);
    while (gr->n_open > 0 && gr->n_leaves < gr->max_leaves)
        QN_TRY(split_leaf(gr, heap_pop(gr), err));
    /* What is left open stays a leaf. */
    for (int32_t i = 0; i < gr->n_open; i++)
        gr->nodes[gr->heap[i].node].split.feature = -1;
    return QN_OK;
}
