/* What the loss of the rows gains when a node becomes a leaf, exactly, the other trees as they are.
 *
 * The rows of a leaf all move by the same d, the mean of the node less the value of the leaf, so of
 * each row one number is enough. With p its probability of the class, y whether it is of it:
 *
 *   log loss   log(1 + p (e^d - 1)) - d y     logarithms of products of 16, as a row's own costs most;
 *                                             one against the rest: the sum of the classes' own losses
 *   squared    d (2 (f - y) + d)
 *   absolute   |f - y + d| - |f - y|
 *   Poisson    e^f (e^d - 1) - d y
 *   lambdas    d g + d^2 h / 2
 *
 * The last is not exact, and cannot be: NDCG hangs on pairs of rows, and moves by jumps. It is what
 * LambdaMART itself takes for the loss near the scores at hand, where g and h are what the pairs of a row
 * pull it by; both are worked out anew each time that links are measured. README.md has the comparison
 * with squared distance to the scores of the whole model.
 *
 * The numbers of a leaf are gathered once, then gone through for each node above it. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "learn/gbdt_int.h"
#include "learn/gbdt_prune_int.h"

enum { LANES = 8 };

/* ---- numbers of rows ------------------------------------------------------------------------- */

static void fill_lambdas(qn_pruner *p, const qn_job *job) {
    const qn__objective_data data = {.params = &p->rank->params, .y = p->y, .n = p->n_rows,
                                     .n_outputs = 1, .n_threads = qn_job_threads(job),
                                     .queries = p->rank->queries};
    qn__rank_gradients(&data, p->raw, p->rank->g, p->rank->h);
    for (int64_t r = 0; r < p->n_rows; r++)
        p->slope[r] = (double)p->rank->g[r];
}

/* The log loss has the probabilities, squared and absolute errors f - y, Poisson e^f, rankings g. */
void qn__pruner_fill_slopes(qn_pruner *p, const qn_job *job) {
    if (p->loss == QN__PRUNE_LAMBDA) {
        fill_lambdas(p, job);
        return;
    }
    const int32_t n_k = p->plain.n_outputs;
#pragma omp parallel for num_threads(qn_job_threads(job)) if (p->n_rows > 4096)
    for (int64_t r = 0; r < p->n_rows; r++) {
        const double *f = p->raw + r * n_k;
        double most = f[0], sum = 0;
        for (int32_t k = 1; k < n_k; k++)
            most = f[k] > most ? f[k] : most;
        bool alone = n_k == 1 || p->plain.link == QN_LINK_OVA;
        for (int32_t k = 0; !alone && k < n_k; k++)
            sum += exp(f[k] - most);
        for (int32_t k = 0; k < n_k; k++)
            p->slope[k * p->n_rows + r] = p->loss == QN__PRUNE_POISSON ? exp(f[k])
                                          : p->loss != QN__PRUNE_LOG   ? f[k] - p->y[r]
                                          : alone    ? 1 / (1 + exp(-f[k]))
                                                     : exp(f[k] - most) / sum;
    }
}

/* ---- the rows of a leaf, moved by d ---------------------------------------------------------- */

/* A term is floored where p is 1 but for rounding and d below -40: no product of 16 leaves the range. */
static double one_term(double p, double e) {
    double term = 1 + p * e;
    return term > 1e-18 ? term : 1e-18;
}

static double log_cost(const double *restrict p, int64_t n, double d) {
    double e = expm1(d < 600 ? d : 600), sum = 0;
    int64_t i = 0;
    if (fabs(d) < 40)
        for (; i + 2 * LANES <= n; i += 2 * LANES) {
            double lanes[LANES], product = 1;
            for (int j = 0; j < LANES; j++)
                lanes[j] = one_term(p[i + j], e) * one_term(p[i + LANES + j], e);
            for (int j = 0; j < LANES; j++)
                product *= lanes[j];
            sum += log(product);
        }
    for (; i < n; i++)
        sum += log(one_term(p[i], e));
    return sum;
}

/* `sum` of the slopes, `labels`: the number of rows of the class, or the sum of their values; of a ranking
 * that of second derivatives. */
static double leaf_cost(qn__prune_loss loss, const double *slope, int64_t n, double sum,
                        double labels, double d) {
    double cost = 0;
    switch (loss) {
    case QN__PRUNE_LOG: return log_cost(slope, n, d) - d * labels;
    case QN__PRUNE_SQUARED: return d * (2 * sum + (double)n * d);
    case QN__PRUNE_POISSON: return sum * expm1(d) - d * labels;
    case QN__PRUNE_LAMBDA: return d * sum + d * d * labels / 2;
    case QN__PRUNE_ABSOLUTE:
        for (int64_t i = 0; i < n; i++)
            cost += fabs(slope[i] + d) - fabs(slope[i]);
    }
    return cost;
}

/* ---- a tree ---------------------------------------------------------------------------------- */

static void add_leaf(const qn_pruner *p, int32_t tree, qn__prune_node *nodes, uint32_t leaf,
                     double *scratch) {
    const uint32_t *order = p->order + (int64_t)tree * p->n_rows;
    const int32_t output = tree % p->plain.n_outputs;
    const double *slope = p->slope + output * p->n_rows;
    const int64_t first = nodes[leaf].first_row, n = nodes[leaf].last_row - first;
    double sum = 0, labels = 0;
    for (int64_t i = 0; leaf > 0 && i < n; i++) {
        uint32_t row = order[first + i];
        scratch[i] = slope[row];
        sum += slope[row];
        labels += p->rank                    ? (double)p->rank->h[row]
                  : p->plain.n_outputs > 1 ? p->y[row] == output
                                           : p->y[row];
    }
    for (uint32_t at = leaf; at != 0 && n > 0;) {
        at = nodes[at].parent;
        double d = nodes[at].value - nodes[leaf].value;
        nodes[at].cost += leaf_cost(p->loss, scratch, n, sum, labels, d);
    }
}

static void measure_tree(const qn_pruner *p, int32_t tree, double *scratch) {
    qn__prune_node *nodes = p->nodes + p->start[tree];
    uint32_t n = (uint32_t)(p->start[tree + 1] - p->start[tree]);
    for (uint32_t i = n; i-- > 0;) {
        nodes[i].cost = 0;
        nodes[i].n_leaves = nodes[i].is_leaf
                                ? 1 : nodes[i + 1].n_leaves + nodes[nodes[i + 1].end].n_leaves;
    }
    for (uint32_t i = 0; i < n; i = nodes[i].is_leaf ? nodes[i].end : i + 1)
        if (nodes[i].is_leaf)
            add_leaf(p, tree, nodes, i, scratch);
}

qn_status qn__pruner_measure(qn_pruner *p, const qn_job *job, qn_error *err) {
    qn__pruner_fill_slopes(p, job);
    bool is_short = false;
#pragma omp parallel num_threads(qn_job_threads(job))
    {
        qn_cleanup(qn_freep) double *scratch =
            qn_malloc_aligned((size_t)p->n_rows, sizeof *scratch);
        if (!scratch) {
#pragma omp atomic write
            is_short = true;
        }
#pragma omp for schedule(dynamic)
        for (int32_t t = 0; t < p->plain.n_trees; t++)
            if (scratch && !qn_job_cancelled(job))
                measure_tree(p, t, scratch);
    }
    return is_short ? qn_error_memory(err) : qn_job_check(job, err);
}
