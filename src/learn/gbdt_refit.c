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
    double *y;            /* owned; n */
    double *score;        /* owned; [n_outputs][n]; offset included */
    float *g, *h;         /* owned; [n_outputs][n] */
    int32_t *leaf;        /* owned; n: its node in the tree at hand */
    double *sum_g, *sum_h; /* owned; per node of the largest tree */
    int64_t n_leaves;     /* that had rows */
} refit;

static void refit_done(refit *r) {
    qn__plain_done(&r->plain);
    qn_freep(&r->y);
    qn_freep(&r->score);
    qn_freep(&r->g);
    qn_freep(&r->h);
    qn_freep(&r->leaf);
    qn_freep(&r->sum_g);
    qn_freep(&r->sum_h);
}

static qn_status check(refit *r, const qn_learner *learner, qn_error *err) {
    QN_FAIL_IF(learner->family != &qn__family_gbdt, err, QN_ERR_USAGE,
               "a model of family %s has no leaves to refit: only gbdt has", learner->family->name);
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &r->params);
    if (r->options->params)
        QN_TRY(qn_params_from_json(qn__family_gbdt.params, qn__family_gbdt.n_params,
                                   r->options->params, &r->params, err));
    const char *name = qn__objective_names[((const qn__gbdt *)learner)->objective];
    QN_TRY(qn__objective_find(name, r->options->task, false, &r->objective, err));
    QN_TRY(qn__rate_check(&r->params, err));
    QN_FAIL_IF(r->objective->renew_quantile, err, QN_ERR_USAGE,
               "the leaves of objective %s hold quantiles, which are not refitted", name);
    QN_FAIL_IF(strcmp(r->params.boosting, "dart") == 0, err, QN_ERR_USAGE,
               "the trees of boosting dart have weights of their own and are not refitted");
    return QN_OK;
}

/* The parts' targets in one array; each must fit the objective. */
static qn_status gather(refit *r, qn_error *err) {
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
    r->data = (qn__objective_data){.params = &r->params, .y = r->y, .n = n,
                                   .n_outputs = r->plain.n_outputs};
    return QN_OK;
}

static qn_status allocate(refit *r, const qn_job *job, qn_error *err) {
    size_t n = (size_t)r->data.n, n_k = (size_t)r->data.n_outputs;
    int64_t most = 1;
    for (int32_t t = 0; t < r->plain.n_trees; t++)
        if (r->plain.start[t + 1] - r->plain.start[t] > most)
            most = r->plain.start[t + 1] - r->plain.start[t];
    r->data.n_threads = qn_job_threads(job);
    r->score = qn_malloc_aligned(n, n_k * sizeof *r->score);
    r->g = qn_malloc_aligned(n, n_k * sizeof *r->g);
    r->h = qn_malloc_aligned(n, n_k * sizeof *r->h);
    r->leaf = qn_malloc_aligned(n, sizeof *r->leaf);
    r->sum_g = qn_new_array(double, most);
    r->sum_h = qn_new_array(double, most);
    return r->score && r->g && r->h && r->leaf && r->sum_g && r->sum_h ? QN_OK
                                                                       : qn_error_memory(err);
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

/* Sums run over the rows in order, whatever the number of threads. */
static void refit_tree(refit *r, int32_t tree) {
    qn__plain *p = &r->plain;
    qn__plain_node *nodes = p->nodes + p->start[tree];
    int32_t n_nodes = (int32_t)(p->start[tree + 1] - p->start[tree]);
    int64_t n = r->data.n, k = tree % p->n_outputs;
    double rate = qn__rate_of(&r->params, tree / p->n_outputs), decay = r->options->decay;
    memset(r->sum_g, 0, (size_t)n_nodes * sizeof *r->sum_g);
    memset(r->sum_h, 0, (size_t)n_nodes * sizeof *r->sum_h);
    find_leaves(r, nodes);
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
        nodes[i].value = decay * nodes[i].value + (1 - decay) * rate * step;
        r->n_leaves++;
    }
    for (int64_t i = 0; i < n; i++)
        r->score[k * n + i] += nodes[r->leaf[i]].value;
}

qn_status qn_gbdt_refit(const qn_learner *learner, const qn_feature *features,
                        const qn_prune_rows *rows, const qn_refit_options *options,
                        const qn_job *job, qn_learner **ret_learner, int64_t *ret_n_leaves,
                        qn_error *err) {
    qn_cleanup(refit_done) refit r = {.rows = rows, .options = options};
    QN_TRY(check(&r, learner, err));
    QN_TRY(qn__gbdt_unpack((const qn__gbdt *)learner, &r.plain, err));
    QN_TRY(gather(&r, err));
    QN_TRY(allocate(&r, job, err));
    QN_TRY(start_scores(&r, err));
    for (int32_t t = 0; t < r.plain.n_trees; t++) {
        QN_TRY(qn_job_check(job, err));
        if (t % r.plain.n_outputs == 0)
            find_gradients(&r);
        refit_tree(&r, t);
        qn_job_progress(job, "refit", t + 1, r.plain.n_trees, NULL);
    }
    *ret_n_leaves = r.n_leaves;
    return qn__gbdt_pack(&r.plain, features, ret_learner, err);
}
