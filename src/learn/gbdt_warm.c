/* Boosting that goes on from the trees of a model. Rounds are counted through, so that what is drawn for
 * a round is what an uninterrupted training would have drawn: on the same rows, n rounds and then m
 * more give the bytes of n + m. */
#include <string.h>

#include "learn/family_int.h"
#include "learn/gbdt_int.h"
#include "learn/gbdt_prune_int.h"

enum { BLOCK_ROWS = 2048 };

qn_status qn__warm_check(const qn_learner *from, const qn_fit_input *input,
                         const qn__objective *objective, qn_error *err) {
    QN_FAIL_IF(from->family != &qn__family_gbdt, err, QN_ERR_USAGE,
               "boosting goes on from trees only, not from a model of family %s",
               from->family->name);
    const qn__gbdt *m = (const qn__gbdt *)from;
    const qn_matrix *x = input->train.x;
    int32_t n_k = input->task == QN_TASK_MULTICLASS ? input->n_classes : 1;
    QN_FAIL_IF(from->n_features != x->n_features || from->n_outputs != n_k, err, QN_ERR_USAGE,
               "the model to go on from has %d features and %d outputs, not %d and %d",
               from->n_features, from->n_outputs, x->n_features, n_k);
    QN_FAIL_IF(from->link != objective->link, err, QN_ERR_CONFIG,
               "the model to go on from was trained for objective %s, whose scores mean something "
               "else than those of %s",
               qn__objective_names[m->objective], objective->name);
    QN_FAIL_IF(!qn__init_same(input, m), err, QN_ERR_USAGE,
               "the model to go on from has other initial scores");
    for (int32_t k = 0; k < m->n_keys; k++) {
        const qn_feature *f = &x->features[m->slot_column[m->keys[k].slot]];
        bool is_category = f->kind == QN_FEATURE_CATEGORY;
        QN_FAIL_IF(is_category != (k >= m->n_number_keys)
                       || (is_category && (int32_t)m->keys[k].n_categories != f->n_categories),
                   err, QN_ERR_USAGE, "feature '%.80s' is not what the model to go on from has",
                   f->name ? f->name : "");
    }
    return QN_OK;
}

/* The builder counts features by column, the model by slot. */
qn_status qn__warm_trees(const qn_learner *from, qn__model_builder *builder, double *gain,
                         uint64_t *bins, qn_error *err) {
    qn__plain *p = &builder->plain;
    QN_TRY(qn__gbdt_unpack((const qn__gbdt *)from, p, err));
    for (int64_t i = 0; i < p->start[p->n_trees]; i++) {
        uint32_t flags = p->nodes[i].slot_flags;
        if (!(flags & QN__NODE_LEAF))
            p->nodes[i].slot_flags = (flags & ~(uint32_t)QN__NODE_SLOT)
                                     | (uint32_t)p->slot_column[flags & QN__NODE_SLOT];
    }
    for (int32_t s = 0; s < p->n_slots; s++) {
        int32_t column = p->slot_column[s];
        gain[column] += p->slot_gain[s];
        bins[column] = p->slot_bins[s] > bins[column] ? p->slot_bins[s] : bins[column];
    }
    qn_freep(&p->slot_column);
    qn_freep(&p->slot_gain);
    qn_freep(&p->slot_bins);
    p->n_slots = 0;
    builder->cap_nodes = p->start[p->n_trees];
    builder->cap_words = p->n_words;
    builder->cap_trees = p->n_trees;
    return QN_OK;
}

/* Feature i of the map was paid for when the trees use its column. */
void qn__warm_costs(const qn_learner *from, const qn__bin_map *map, qn__costs *costs) {
    const qn__gbdt *m = (const qn__gbdt *)from;
    for (int32_t i = 0; costs->coupled && i < map->n_features; i++)
        for (int32_t s = 0; s < m->n_slots; s++)
            if ((int32_t)m->slot_column[s] == map->features[i].column && costs->cost_of[2 * i] >= 0)
                costs->bought[costs->cost_of[2 * i]] = true;
}

qn_status qn__warm_scores(const qn_learner *from, const qn_matrix *x, int n_threads, double *score,
                          qn_error *err) {
    int64_t n = x->n_rows, n_k = from->n_outputs, n_blocks = (n + BLOCK_ROWS - 1) / BLOCK_ROWS;
    qn_cleanup(qn_freep) double *raw = qn_malloc_aligned((size_t)n, (size_t)n_k * sizeof *raw);
    if (!raw)
        return qn_error_memory(err);
#pragma omp parallel for schedule(dynamic) num_threads(n_threads)
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t first = b * BLOCK_ROWS, end = first + BLOCK_ROWS < n ? first + BLOCK_ROWS : n;
        from->family->predict(from, x, first, end - first, raw + first * n_k);
        for (int64_t i = first; i < end; i++)
            for (int64_t k = 0; k < n_k; k++)
                score[k * n + i] = raw[i * n_k + k];
    }
    return QN_OK;
}
