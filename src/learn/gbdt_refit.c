#include "learn/gbdt_refit.h"

#include <math.h>
#include <string.h>

#include "learn/family_int.h"
#include "learn/gbdt_int.h"
#include "learn/gbdt_prune_int.h"

typedef struct refit {
    const qn_prune_rows *rows;
    const qn_refit_options *options;
    qn_gbdt_params params;
    const qn__objective *objective;
    qn__objective_data data;
    qn__plain plain;
    qn__queries *queries; /* owned; of a ranking */
    double *y, *weight;   /* owned; n; weight NULL: all 1 */
    double *score;        /* owned; [n_outputs][n]; offset included */
    float *g, *h;         /* owned; [n_outputs][n] */
    int32_t *leaf;        /* owned; n: its node in the tree at hand */
    double *sum_g, *sum_h; /* owned; per node of the largest tree */
    uint32_t *by_leaf;    /* owned; n, where leaves hold quantiles: rows by leaves, */
    int64_t *begin;       /* owned; and where each node's begin: one more than nodes of the largest tree */
    qn__residual *items;  /* owned; n */
    bool has_dart;
    qn__dart dart;        /* its rounds are those behind options->first_round */
    double *scale;        /* owned; of each of them, in the end */
    int64_t n_leaves;     /* that had rows */
} refit;

static void refit_done(refit *r) {
    qn__plain_done(&r->plain);
    qn__queries_free(&r->queries);
    qn__dart_done(&r->dart);
    qn_freep(&r->y);
    qn_freep(&r->weight);
    qn_freep(&r->score);
    qn_freep(&r->g);
    qn_freep(&r->h);
    qn_freep(&r->leaf);
    qn_freep(&r->sum_g);
    qn_freep(&r->sum_h);
    qn_freep(&r->by_leaf);
    qn_freep(&r->begin);
    qn_freep(&r->items);
    qn_freep(&r->scale);
}

static qn_status check(refit *r, const qn_learner *learner, qn_error *err) {
    QN_FAIL_IF(learner->family != &qn__family_gbdt, err, QN_ERR_USAGE,
               "a model of family %s has no leaves to refit: only gbdt has", learner->family->name);
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &r->params);
    if (r->options->params)
        QN_TRY(qn_params_from_json(qn__family_gbdt.params, qn__family_gbdt.n_params,
                                   r->options->params, &r->params, err));
    const char *name = qn_trees_objective(learner);
    QN_FAIL_IF(strcmp(name, "custom") == 0, err, QN_ERR_USAGE,
               "trees of an objective of the caller's own are not refitted: the model does not "
               "know its gradients");
    QN_TRY(qn__objective_find(name, r->options->task, r->rows->query != NULL, &r->objective, err));
    QN_TRY(qn__rate_check(&r->params, err));
    r->has_dart = strcmp(r->params.boosting, "dart") == 0;
    QN_FAIL_IF(r->has_dart && !r->options->knows_seed, err, QN_ERR_USAGE,
               "trees of boosting dart are refitted with the seed by which rounds were dropped, "
               "and the model does not tell it");
    return QN_OK;
}

/* The parts' targets in one array; each must fit the objective. */
static qn_status gather(refit *r, const qn_job *job, qn_error *err) {
    const qn_prune_rows *rows = r->rows;
    int64_t n = 0;
    for (int32_t i = 0; i < rows->n_parts; i++)
        n += rows->x[i]->n_rows;
    QN_FAIL_IF(n == 0, err, QN_ERR_DATA, "there are no rows to refit the leaves on");
    r->y = qn_malloc_aligned((size_t)n, sizeof *r->y);
    if (!r->y)
        return qn_error_memory(err);
    for (int64_t i = 0, at = 0; i < rows->n_parts; at += rows->x[i++]->n_rows)
        memcpy(r->y + at, rows->y[i], (size_t)rows->x[i]->n_rows * sizeof *r->y);
    for (int64_t i = 0; i < n; i++)
        QN_TRY(qn__objective_check_target(r->objective, r->y[i], err));
    const qn_fit_data told = {.y = r->y, .weight = rows->weight};
    QN_TRY(qn__weights_make(&r->params, &told, n, r->options->task, r->options->n_classes,
                            &r->weight, err));
    r->data = (qn__objective_data){.params = &r->params, .y = r->y, .w = r->weight, .n = n,
                                   .n_outputs = r->plain.n_outputs,
                                   .n_threads = qn_job_threads(job)};
    if (r->objective->all_gradients)
        QN_TRY(qn__queries_new(&r->params, r->y, rows->query, n, rows->n_queries,
                               r->data.n_threads, &r->queries, err));
    r->data.queries = r->queries;
    return QN_OK;
}

static qn_status allocate(refit *r, qn_error *err) {
    size_t n = (size_t)r->data.n, n_k = (size_t)r->data.n_outputs;
    int64_t most = 1;
    for (int32_t t = 0; t < r->plain.n_trees; t++)
        if (r->plain.start[t + 1] - r->plain.start[t] > most)
            most = r->plain.start[t + 1] - r->plain.start[t];
    r->score = qn_malloc_aligned(n, n_k * sizeof *r->score);
    r->g = qn_malloc_aligned(n, n_k * sizeof *r->g);
    r->h = qn_malloc_aligned(n, n_k * sizeof *r->h);
    r->leaf = qn_malloc_aligned(n, sizeof *r->leaf);
    r->sum_g = qn_new_array(double, most);
    r->sum_h = qn_new_array(double, most);
    if (!r->score || !r->g || !r->h || !r->leaf || !r->sum_g || !r->sum_h)
        return qn_error_memory(err);
    if (!r->objective->renew_quantile)
        return QN_OK;
    r->by_leaf = qn_malloc_aligned(n, sizeof *r->by_leaf);
    r->items = qn_malloc_aligned(n, sizeof *r->items);
    r->begin = qn_new_array(int64_t, most + 1);
    return r->by_leaf && r->items && r->begin ? QN_OK : qn_error_memory(err);
}

static qn_status start_scores(refit *r, qn_error *err) {
    qn__plain *p = &r->plain;
    int64_t n = r->data.n;
    qn_cleanup(qn_freep) double *base = qn_new_array(double, p->n_outputs);
    if (!base)
        return qn_error_memory(err);
    r->objective->init(&r->data, base);
    for (int32_t k = 0; k < p->n_outputs; k++) {
        if (r->params.boost_from_average && !p->init_columns)
            p->base[k] = r->options->decay * p->base[k]
                         + (1 - r->options->decay) * (base[k] - r->rows->offset);
        for (int64_t i = 0; i < n; i++)
            r->score[k * n + i] = p->base[k] + r->rows->offset;
    }
    for (int64_t part = 0, at = 0; part < r->rows->n_parts; at += r->rows->x[part++]->n_rows)
        qn__init_add(p, r->rows->x[part], n, r->score + at);
    return QN_OK;
}

static void find_gradients(refit *r) {
    int64_t size = QN__GRADIENT_BLOCK, n_blocks = (r->data.n + size - 1) / size;
    if (r->objective->all_gradients) {
        r->objective->all_gradients(&r->data, r->score, r->g, r->h);
        return;
    }
#pragma omp parallel for schedule(static) num_threads(r->data.n_threads)
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t first = b * size, n = r->data.n - first < size ? r->data.n - first : size;
        r->objective->gradients(&r->data, r->score, first, n, r->g, r->h);
    }
}

static bool goes_left(const qn__plain *p, const qn__plain_node *node, double x) {
    if (node->slot_flags & QN__NODE_CATEGORY) {
        bool known = x >= 0 && x < 32.0 * node->set.n_words;
        uint32_t code = known ? (uint32_t)x : 0;
        return known ? p->words[node->set.first_word + (code >> 5)] >> (code & 31) & 1
                     : node->slot_flags & QN__NODE_MISSING_LEFT;
    }
    return isnan(x) ? node->slot_flags & QN__NODE_MISSING_LEFT : x <= node->threshold;
}

static int32_t leaf_of(const qn__plain *p, const qn__plain_node *nodes, const qn_matrix *x,
                       int64_t row) {
    uint32_t at = 0;
    while (!(nodes[at].slot_flags & QN__NODE_LEAF)) {
        int32_t column = p->slot_column[nodes[at].slot_flags & QN__NODE_SLOT];
        at = nodes[at].left + !goes_left(p, &nodes[at], qn__matrix_value(x, column, row));
    }
    return (int32_t)at;
}

static void find_leaves(refit *r, const qn__plain_node *nodes) {
    int64_t before = 0;
    for (int32_t part = 0; part < r->rows->n_parts; part++) {
        const qn_matrix *x = r->rows->x[part];
#pragma omp parallel for schedule(static) num_threads(r->data.n_threads)
        for (int64_t i = 0; i < x->n_rows; i++)
            r->leaf[before + i] = leaf_of(&r->plain, nodes, x, i);
        before += x->n_rows;
    }
}

static void add_value(refit *r, qn__plain_node *leaf, double rate, double step) {
    double decay = r->options->decay;
    leaf->value = decay * leaf->value + (1 - decay) * rate * step;
    r->n_leaves++;
}

/* Sums run over the rows in order, whatever the number of threads. */
static void step_leaves(refit *r, qn__plain_node *nodes, int32_t n_nodes, int64_t k, double rate) {
    int64_t n = r->data.n;
    memset(r->sum_g, 0, (size_t)n_nodes * sizeof *r->sum_g);
    memset(r->sum_h, 0, (size_t)n_nodes * sizeof *r->sum_h);
    for (int64_t i = 0; i < n; i++) {
        r->sum_g[r->leaf[i]] += (double)r->g[k * n + i];
        r->sum_h[r->leaf[i]] += (double)r->h[k * n + i];
    }
    for (int32_t i = 0; i < n_nodes; i++) {
        double h = r->sum_h[i] + r->params.lambda_l2;
        if (!(nodes[i].slot_flags & QN__NODE_LEAF) || !(r->sum_h[i] > 0))
            continue;
        double a = fmax(fabs(r->sum_g[i]) - r->params.lambda_l1, 0);
        double step = copysign(a, -r->sum_g[i]) / h, most = r->params.max_delta_step;
        if (most > 0 && fabs(step) > most)
            step = copysign(most, step);
        add_value(r, &nodes[i], rate, qn__within_steps(r->objective->link, step));
    }
}

/* Rows by their leaves, ascending in each: counted, then put behind each other. */
static void sort_rows(refit *r, int32_t n_nodes) {
    int64_t *begin = r->begin;
    memset(begin, 0, (size_t)(n_nodes + 1) * sizeof *begin);
    for (int64_t i = 0; i < r->data.n; i++)
        begin[r->leaf[i]]++;
    for (int64_t i = 0, sum = 0; i <= n_nodes; i++)
        begin[i] = sum += begin[i]; /* one behind the last of each */
    for (int64_t i = r->data.n; i-- > 0;)
        r->by_leaf[--begin[r->leaf[i]]] = (uint32_t)i;
}

static void renew_leaves(refit *r, qn__plain_node *nodes, int32_t n_nodes, int64_t k, double rate) {
    sort_rows(r, n_nodes);
#pragma omp parallel for schedule(dynamic, 8) num_threads(r->data.n_threads)
    for (int32_t i = 0; i < n_nodes; i++) {
        int64_t begin = r->begin[i];
        r->sum_g[i] = qn__renewed(r->objective, &r->data, r->score + k * r->data.n,
                                  r->by_leaf + begin, r->begin[i + 1] - begin, r->items + begin);
    }
    for (int32_t i = 0; i < n_nodes; i++)
        if (r->begin[i + 1] > r->begin[i])
            add_value(r, &nodes[i], rate, r->sum_g[i]);
}

/* score += times * what the tree says. */
static void score_tree(refit *r, int32_t tree, double times) {
    const qn__plain_node *nodes = r->plain.nodes + r->plain.start[tree];
    double *score = r->score + tree % r->plain.n_outputs * r->data.n;
    for (int64_t i = 0; i < r->data.n; i++)
        score[i] += times * nodes[r->leaf[i]].value;
}

static void refit_tree(refit *r, int32_t tree, double rate) {
    qn__plain *p = &r->plain;
    qn__plain_node *nodes = p->nodes + p->start[tree];
    int32_t n_nodes = (int32_t)(p->start[tree + 1] - p->start[tree]);
    find_leaves(r, nodes);
    if (r->objective->renew_quantile)
        renew_leaves(r, nodes, n_nodes, tree % p->n_outputs, rate);
    else
        step_leaves(r, nodes, n_nodes, tree % p->n_outputs, rate);
    score_tree(r, tree, 1);
}

/* ---- dart ------------------------------------------------------------------------------------ */

static void scale_round(refit *r, int32_t round, double times) {
    qn__plain *p = &r->plain;
    int64_t tree = (int64_t)(r->options->first_round + round) * p->n_outputs;
    for (int64_t i = p->start[tree]; i < p->start[tree + p->n_outputs]; i++)
        if (p->nodes[i].slot_flags & QN__NODE_LEAF)
            p->nodes[i].value *= times;
}

/* The weights that rounds had in the end, and values as they were before any was dropped. */
static qn_status start_dart(refit *r, qn_error *err) {
    int32_t n = r->plain.n_trees / r->plain.n_outputs - r->options->first_round;
    QN_FAIL_IF(r->options->first_round < 0 || n < 0, err, QN_ERR_USAGE,
               "the model has fewer rounds than the one it went on from");
    r->dart = (qn__dart){.params = &r->params, .seed = r->options->seed};
    r->scale = qn_new_array(double, n);
    if (!r->scale)
        return qn_error_memory(err);
    QN_TRY(qn__dart_replay(&r->dart, n, err));
    for (int32_t i = 0; i < n; i++) {
        r->scale[i] = r->dart.scale[i];
        scale_round(r, i, 1 / r->scale[i]);
    }
    r->dart.n_rounds = 0;
    return QN_OK;
}

/* Takes the dropped rounds out of the scores, or puts back what is left of them. */
static void score_dropped(refit *r, bool back) {
    const qn__dart *dart = &r->dart;
    const int32_t n_k = r->plain.n_outputs;
    for (int32_t d = 0; d < dart->n_dropped; d++)
        for (int32_t k = 0; k < n_k; k++) {
            int32_t tree = (r->options->first_round + dart->dropped[d]) * n_k + k;
            double scale = dart->scale[dart->dropped[d]];
            find_leaves(r, r->plain.nodes + r->plain.start[tree]);
            score_tree(r, tree, back ? scale * dart->keeps : -scale);
        }
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static qn_status refit_round(refit *r, int32_t round, qn_error *err) {
    const bool drops = r->has_dart && round >= r->options->first_round;
    double rate = qn__rate_of(&r->params, round);
    if (drops) {
        QN_TRY(qn__dart_begin(&r->dart, err));
        rate = r->dart.rate;
        score_dropped(r, false);
    }
    find_gradients(r);
    for (int32_t k = 0; k < r->plain.n_outputs; k++)
        refit_tree(r, round * r->plain.n_outputs + k, rate);
    if (drops) {
        score_dropped(r, true);
        qn__dart_end(&r->dart);
    }
    return QN_OK;
}

qn_status qn_gbdt_refit(const qn_learner *learner, const qn_feature *features,
                        const qn_prune_rows *rows, const qn_refit_options *options,
                        const qn_job *job, qn_learner **ret_learner, int64_t *ret_n_leaves,
                        qn_error *err) {
    qn_cleanup(refit_done) refit r = {.rows = rows, .options = options};
    QN_TRY(check(&r, learner, err));
    QN_TRY(qn__gbdt_unpack((const qn__gbdt *)learner, &r.plain, err));
    QN_TRY(gather(&r, job, err));
    QN_TRY(allocate(&r, err));
    QN_TRY(start_scores(&r, err));
    if (r.has_dart)
        QN_TRY(start_dart(&r, err));
    int32_t n_rounds = r.plain.n_trees / r.plain.n_outputs;
    for (int32_t round = 0; round < n_rounds; round++) {
        QN_TRY(qn_job_check(job, err));
        QN_TRY(refit_round(&r, round, err));
        qn_job_progress(job, "refit", round + 1, n_rounds, NULL);
    }
    for (int32_t i = 0; r.has_dart && i < r.dart.n_rounds; i++)
        scale_round(&r, i, r.scale[i]);
    *ret_n_leaves = r.n_leaves;
    return qn__gbdt_pack(&r.plain, features, ret_learner, err);
}
