/* DART: trees that are dropped at random while the next one grows, so that late trees are not left
 * with trifles (Rashmi and Gilad-Bachrach 2015, DART: Dropouts meet Multiple Additive Regression
 * Trees). What is drawn depends on the seed and the weights alone, not on the data: the weights as
 * they were after any round can be worked out again, which is how early stopping goes back. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "learn/gbdt_int.h"

void qn__dart_done(qn__dart *dart) {
    for (int32_t i = 0; dart->trees && i < dart->n_trees; i++)
        qn_freep(&dart->trees[i].nodes);
    qn_freep(&dart->trees);
    qn_freep(&dart->scale);
    qn_freep(&dart->first_rate);
    qn_freep(&dart->dropped);
}

static qn_status reserve(qn__dart *dart, qn_error *err) {
    if (dart->n_rounds < dart->cap_rounds)
        return QN_OK;
    int32_t cap = dart->cap_rounds ? 2 * dart->cap_rounds : 128;
    double *scale = qn_realloc(dart->scale, (size_t)cap, sizeof *scale);
    dart->scale = scale ? scale : dart->scale;
    double *rate = qn_realloc(dart->first_rate, (size_t)cap, sizeof *rate);
    dart->first_rate = rate ? rate : dart->first_rate;
    int32_t *dropped = qn_realloc(dart->dropped, (size_t)cap, sizeof *dropped);
    dart->dropped = dropped ? dropped : dart->dropped;
    if (!scale || !rate || !dropped)
        return qn_error_memory(err);
    dart->cap_rounds = cap;
    return QN_OK;
}

/* The rounds to drop: each with the probability drop_rate, or (not uniform_drop) with more the
 * heavier it is, but on average not more than max_drop. LightGBM's rules. */
static void draw(qn__dart *dart) {
    const qn_gbdt_params *p = dart->params;
    int32_t n = dart->n_rounds;
    double all = 0, rate = p->drop_rate;
    qn_rng rng;
    qn_rng_init_stream(&rng, dart->seed ^ 0x6461727400000000u, (uint64_t)n);
    dart->n_dropped = 0;
    for (int32_t i = 0; i < n; i++)
        all += dart->scale[i] * dart->first_rate[i];
    if (n == 0 || qn_rng_uniform(&rng) < p->skip_drop || !(all > 0))
        return;
    double mean = all / n;
    if (p->max_drop > 0)
        rate = fmin(rate, (double)p->max_drop / n);
    for (int32_t i = 0; i < n; i++) {
        double weight = p->uniform_drop ? 1 : dart->scale[i] * dart->first_rate[i] / mean;
        if (qn_rng_uniform(&rng) < rate * weight)
            dart->dropped[dart->n_dropped++] = i;
        if (p->max_drop > 0 && dart->n_dropped >= p->max_drop)
            break;
    }
}

qn_status qn__dart_begin(qn__dart *dart, qn_error *err) {
    QN_TRY(reserve(dart, err));
    draw(dart);
    double k = dart->n_dropped, eta = qn__rate_of(dart->params, dart->n_rounds);
    if (k == 0)
        dart->rate = eta;
    else
        dart->rate = dart->params->xgboost_dart_mode ? eta / (eta + k) : eta / (1 + k);
    dart->keeps = k / (k + (dart->params->xgboost_dart_mode ? eta : 1));
    return QN_OK;
}

void qn__dart_end(qn__dart *dart) {
    for (int32_t i = 0; i < dart->n_dropped; i++)
        dart->scale[dart->dropped[i]] *= dart->keeps;
    dart->scale[dart->n_rounds] = 1;
    dart->first_rate[dart->n_rounds++] = dart->rate;
}

qn_status qn__dart_replay(qn__dart *dart, int32_t n_rounds, qn_error *err) {
    dart->n_rounds = 0;
    while (dart->n_rounds < n_rounds) {
        QN_TRY(qn__dart_begin(dart, err));
        qn__dart_end(dart);
    }
    return QN_OK;
}

qn_status qn__dart_keep(qn__dart *dart, const qn__grown_node *nodes, int32_t n_nodes,
                        qn_error *err) {
    if (dart->n_trees == dart->cap_trees) {
        int32_t cap = dart->cap_trees ? 2 * dart->cap_trees : 128;
        qn__kept_tree *trees = qn_realloc(dart->trees, (size_t)cap, sizeof *trees);
        if (!trees)
            return qn_error_memory(err);
        dart->trees = trees;
        dart->cap_trees = cap;
    }
    qn__grown_node *copy = qn_new_array(qn__grown_node, n_nodes);
    if (!copy)
        return qn_error_memory(err);
    memcpy(copy, nodes, (size_t)n_nodes * sizeof *copy);
    dart->trees[dart->n_trees++] = (qn__kept_tree){.nodes = copy, .n = n_nodes};
    return QN_OK;
}
