/* Exact path-dependent TreeSHAP (Lundberg, Erion, Lee 2018) leaf by leaf instead of by recursion,
 * as GPUTreeShap does, and with the integral form of the Shapley weights. For a leaf of value v
 * whose path tests the features 1..m, let z_f be the share of training rows that follow the path at
 * the nodes of f, and o_f be 1 when the row itself follows it there, else 0. Then
 *
 *   phi_f += v (o_f - z_f) * integral over t in 0..1 of  prod over g != f of ((1 - t) z_g + t o_g)
 *
 * because the integral of t^s (1 - t)^(m-1-s) is s! (m-1-s)! / m!. The integrand has degree m - 1:
 * Gauss- Legendre with ceil(m / 2) points is exact. All terms are positive, so no path is too deep
 * for it, where the unwinding of the original loses digits.
 *
 * Interaction values (the same paper, section 4.2) have an integral, too, by the same argument:
 *
 *   phi_fg += v / 2 (o_f - z_f) (o_g - z_g) * integral of  prod over e != f, g of (...)
 *
 * on either side of the diagonal, which holds what is left of phi_f. */
#include <math.h>
#include <string.h>

#include "learn/gbdt_int.h"

/* The nodes from the root to one leaf, those of one feature side by side. */
typedef struct shap_scratch {
    qn__gbdt_node *nodes; /* owned; of the largest tree */
    uint64_t *count;      /* owned; per node: training rows */
    uint32_t *parent;     /* owned; per node */
    bool *goes_right;     /* owned; per node: where the row goes */
    int32_t *slot;        /* owned; per distinct feature of the path */
    double *zero;         /* owned */
    bool *one;            /* owned */
    double *row;          /* owned; n_slots values */
    int32_t *place;       /* owned; n_slots: index in `slot`, or -1 */
    double *point, *gauss; /* owned; Gauss-Legendre rules of 1, 2, ... points, one after the other */
} shap_scratch;

static void shap_scratch_done(shap_scratch *s) {
    qn_freep(&s->nodes);
    qn_freep(&s->count);
    qn_freep(&s->parent);
    qn_freep(&s->goes_right);
    qn_freep(&s->slot);
    qn_freep(&s->zero);
    qn_freep(&s->one);
    qn_freep(&s->row);
    qn_freep(&s->place);
    qn_freep(&s->point);
    qn_freep(&s->gauss);
}

/* Points and weights on 0..1 by Newton's method on the Legendre polynomial. */
static void gauss_legendre(int32_t n, double *point, double *weight) {
    for (int32_t i = 0; i < n; i++) {
        double x = cos(M_PI * (i + 0.75) / (n + 0.5)), slope = 1;
        for (int step = 0; step < 100; step++) {
            double p = 1, before = 0;
            for (int32_t k = 1; k <= n; k++) {
                double next = ((2 * k - 1) * x * p - (k - 1) * before) / k;
                before = p;
                p = next;
            }
            slope = n * (x * p - before) / (x * x - 1);
            double dx = p / slope;
            x -= dx;
            if (fabs(dx) < 1e-16)
                break;
        }
        point[i] = (1 - x) / 2;
        weight[i] = 1 / ((1 - x * x) * slope * slope);
    }
}

static qn_status scratch_init(shap_scratch *s, const qn__gbdt *m, qn_error *err) {
    uint64_t most = 1;
    int32_t depth;
    QN_TRY(qn__gbdt_depth(m, &depth, err));
    for (int32_t t = 0; t < m->n_trees; t++)
        most = m->start[t + 1] - m->start[t] > most ? m->start[t + 1] - m->start[t] : most;
    depth = depth > 1 ? depth : 1;
    int32_t longest = depth < m->n_slots ? depth : m->n_slots;
    size_t points = (size_t)(longest + 1) / 2;
    s->nodes = qn_new_array(qn__gbdt_node, most);
    s->count = qn_new_array(uint64_t, most);
    s->parent = qn_new_array(uint32_t, most);
    s->goes_right = qn_new_array(bool, most);
    s->slot = qn_new_array(int32_t, longest + 1);
    s->zero = qn_new_array(double, longest + 1);
    s->one = qn_new_array(bool, longest + 1);
    s->row = qn_new_array(double, m->n_slots);
    s->place = qn_new_array(int32_t, m->n_slots);
    s->point = qn_new_array(double, points * (points + 1) / 2 + 1);
    s->gauss = qn_new_array(double, points * (points + 1) / 2 + 1);
    if (!s->nodes || !s->count || !s->parent || !s->goes_right || !s->slot || !s->zero || !s->one
        || !s->row || !s->place || !s->point || !s->gauss)
        return qn_error_memory(err);
    for (int32_t n = 1; n <= (int32_t)points; n++)
        gauss_legendre(n, s->point + n * (n - 1) / 2, s->gauss + n * (n - 1) / 2);
    for (int32_t i = 0; i < m->n_slots; i++)
        s->place[i] = -1;
    return QN_OK;
}

/* Takes the nodes of a tree apart and finds where the row goes at each. */
static void read_tree(const qn__gbdt *m, int32_t tree, shap_scratch *s) {
    uint64_t start = m->start[tree], leaf = qn__gbdt_leaf_start(m, tree);
    uint32_t n = (uint32_t)(m->start[tree + 1] - start);
    /* A file may have nodes that nothing leads to: their way begins at the root, too. */
    memset(s->parent, 0, n * sizeof *s->parent);
    for (uint32_t i = 0; i < n; i++) {
        qn__gbdt_node *node = &s->nodes[i];
        *node = qn__gbdt_node_at(m, start, i);
        if (node->is_leaf)
            continue;
        s->parent[node->to] = s->parent[node->to + 1] = i;
        s->goes_right[i] = qn__gbdt_node_goes_right(m, node, s->row[qn__gbdt_node_slot(m, node)]);
    }
    for (uint32_t i = n; i-- > 0;) {
        const qn__gbdt_node *node = &s->nodes[i];
        s->count[i] = node->is_leaf ? m->count[leaf + node->to]
                                    : s->count[node->to] + s->count[node->to + 1];
    }
}

/* Walks from a leaf to the root; the number of distinct features. */
static int32_t collect_path(const qn__gbdt *m, uint32_t leaf, shap_scratch *s) {
    int32_t n = 0;
    for (uint32_t at = leaf; at != 0;) {
        uint32_t up = s->parent[at];
        int32_t slot = (int32_t)qn__gbdt_node_slot(m, &s->nodes[up]);
        bool is_right = at != s->nodes[up].to;
        if (s->place[slot] < 0) {
            s->place[slot] = n;
            s->slot[n] = slot;
            s->zero[n] = 1;
            s->one[n++] = true;
        }
        int32_t f = s->place[slot];
        s->zero[f] *= (double)s->count[at] / (double)s->count[up];
        s->one[f] &= s->goes_right[up] == is_right;
        at = up;
    }
    for (int32_t f = 0; f < n; f++)
        s->place[s->slot[f]] = -1;
    return n;
}

static void add_leaf(const qn__gbdt *m, const shap_scratch *s, int32_t n, double value,
                     double *contrib) {
    int32_t n_points = (n + 1) / 2;
    const double *point = s->point + n_points * (n_points - 1) / 2;
    const double *gauss = s->gauss + n_points * (n_points - 1) / 2;
    for (int32_t q = 0; q < n_points; q++) {
        double t = point[q], product = value * gauss[q];
        for (int32_t f = 0; f < n; f++)
            product *= (1 - t) * s->zero[f] + (s->one[f] ? t : 0);
        for (int32_t f = 0; f < n; f++) {
            double term = (1 - t) * s->zero[f] + (s->one[f] ? t : 0);
            contrib[m->slot_column[s->slot[f]]] +=
                product / term * ((s->one[f] ? 1.0 : 0.0) - s->zero[f]);
        }
    }
}

/* Features are taken together by groups, whose pairs[n_groups + 1][n_groups + 1] are added to. */
typedef struct pairing {
    const int32_t *group;
    int32_t n_groups;
    double *pairs;
} pairing;

static void add_leaf_pairs(const qn__gbdt *m, const shap_scratch *s, int32_t n, double value,
                           const pairing *to) {
    int32_t n_points = (n + 1) / 2;
    int64_t width = to->n_groups + 1;
    const double *point = s->point + n_points * (n_points - 1) / 2;
    const double *gauss = s->gauss + n_points * (n_points - 1) / 2;
    for (int32_t q = 0; q < n_points; q++) {
        double t = point[q], product = value * gauss[q] / 2;
        for (int32_t f = 0; f < n; f++)
            product *= (1 - t) * s->zero[f] + (s->one[f] ? t : 0);
        for (int32_t f = 0; f < n; f++) {
            double term = (1 - t) * s->zero[f] + (s->one[f] ? t : 0);
            double without = product / term * ((s->one[f] ? 1.0 : 0.0) - s->zero[f]);
            int32_t a = to->group[m->slot_column[s->slot[f]]];
            for (int32_t g = 0; g < f; g++) {
                int32_t b = to->group[m->slot_column[s->slot[g]]];
                double other = (1 - t) * s->zero[g] + (s->one[g] ? t : 0);
                double both = without / other * ((s->one[g] ? 1.0 : 0.0) - s->zero[g]);
                if (a == b)
                    continue;
                to->pairs[a * width + b] += both;
                to->pairs[b * width + a] += both;
            }
        }
    }
}

static void explain_tree(const qn__gbdt *m, int32_t tree, shap_scratch *s, double *contrib,
                         const pairing *pairs) {
    uint32_t n = (uint32_t)(m->start[tree + 1] - m->start[tree]);
    double expected = 0;
    read_tree(m, tree, s);
    for (uint32_t i = 0; i < n; i++) {
        if (!s->nodes[i].is_leaf)
            continue;
        double value = m->value[qn__gbdt_leaf_start(m, tree) + s->nodes[i].to];
        expected += value * ((double)s->count[i] / (double)s->count[0]);
        if (i == 0)
            continue;
        int32_t n_path = collect_path(m, i, s);
        add_leaf(m, s, n_path, value, contrib);
        if (pairs)
            add_leaf_pairs(m, s, n_path, value, pairs);
    }
    contrib[m->learner.n_features] += expected;
}

static void read_row(const qn__gbdt *m, const qn_matrix *x, int64_t row, shap_scratch *s) {
    for (int32_t f = 0; f < m->n_slots; f++)
        s->row[f] = qn__matrix_value(x, (int32_t)m->slot_column[f], row);
}

/* The initial score of a row for an output, of a model that has any. */
static double initial(const qn__gbdt *m, const qn_matrix *x, int32_t output, int64_t row) {
    double init = x->columns[m->init_columns[output] - 1].num[row];
    return isnan(init) ? 0 : init;
}

qn_status qn__gbdt_explain(const qn_learner *learner, const qn_matrix *x, int64_t first, int64_t n,
                           double *contrib, qn_error *err) {
    const qn__gbdt *m = (const qn__gbdt *)learner;
    qn_cleanup(shap_scratch_done) shap_scratch s = {0};
    QN_TRY(scratch_init(&s, m, err));
    int32_t n_k = learner->n_outputs;
    int64_t width = learner->n_features + 1;
    memset(contrib, 0, (size_t)(n * n_k * width) * sizeof *contrib);
    for (int64_t i = 0; i < n; i++) {
        double *out = contrib + i * n_k * width;
        for (int32_t k = 0; k < n_k; k++) {
            out[k * width + width - 1] = m->base[k];
            if (m->init_columns)
                out[k * width + m->init_columns[k] - 1] = initial(m, x, k, first + i);
        }
        read_row(m, x, first + i, &s);
        for (int32_t t = 0; t < m->n_trees; t++)
            explain_tree(m, t, &s, out + (t % n_k) * width, NULL);
    }
    return QN_OK;
}

/* The diagonal from the contributions: what a group adds beyond half of each of its pairs. */
static void set_diagonal(const qn__gbdt *m, const double *contrib, double base,
                         const pairing *to) {
    int64_t width = to->n_groups + 1;
    for (int32_t f = 0; f < m->learner.n_features; f++)
        to->pairs[to->group[f] * (width + 1)] += contrib[f];
    for (int32_t a = 0; a < to->n_groups; a++) {
        double others = 0;
        for (int32_t b = 0; b < to->n_groups; b++)
            others += b == a ? 0 : to->pairs[a * width + b];
        to->pairs[a * (width + 1)] -= others;
    }
    to->pairs[width * width - 1] = base + contrib[m->learner.n_features];
}

qn_status qn__gbdt_interactions(const qn_learner *learner, const qn_matrix *x, int64_t first,
                                int64_t n, const int32_t *group, int32_t n_groups, double *pairs,
                                qn_error *err) {
    const qn__gbdt *m = (const qn__gbdt *)learner;
    qn_cleanup(shap_scratch_done) shap_scratch s = {0};
    int32_t n_k = learner->n_outputs;
    int64_t cells = (int64_t)(n_groups + 1) * (n_groups + 1);
    size_t width = (size_t)learner->n_features + 1;
    qn_cleanup(qn_freep) double *contrib = qn_new_array(double, (size_t)n_k * width);
    if (!contrib)
        return qn_error_memory(err);
    QN_TRY(scratch_init(&s, m, err));
    memset(pairs, 0, (size_t)(n * n_k * cells) * sizeof *pairs);
    for (int64_t i = 0; i < n; i++) {
        pairing to = {.group = group, .n_groups = n_groups};
        memset(contrib, 0, (size_t)n_k * width * sizeof *contrib);
        read_row(m, x, first + i, &s);
        for (int32_t t = 0; t < m->n_trees; t++) {
            to.pairs = pairs + (i * n_k + t % n_k) * cells;
            explain_tree(m, t, &s, contrib + (size_t)(t % n_k) * width, &to);
        }
        for (int32_t k = 0; k < n_k; k++) {
            if (m->init_columns)
                contrib[(size_t)k * width + m->init_columns[k] - 1] += initial(m, x, k, first + i);
            to.pairs = pairs + (i * n_k + k) * cells;
            set_diagonal(m, contrib + (size_t)k * width, m->base[k], &to);
        }
    }
    return QN_OK;
}

/* ---- partial dependence ---------------------------------------------------------------------- */

/* One row down all ways at once: where it is followed it goes its way, elsewhere the weight is
 * divided as the training rows were. Parents stand before their children. */
static double weigh_leaves(const qn__gbdt *m, int32_t tree, const bool *follows, shap_scratch *s,
                           double *weight) {
    uint32_t n = (uint32_t)(m->start[tree + 1] - m->start[tree]);
    uint64_t leaf = qn__gbdt_leaf_start(m, tree);
    double sum = 0;
    memset(weight, 0, n * sizeof *weight);
    weight[0] = 1;
    for (uint32_t i = 0; i < n; i++) {
        const qn__gbdt_node *node = &s->nodes[i];
        if (weight[i] == 0)
            continue;
        if (node->is_leaf) {
            sum += weight[i] * m->value[leaf + node->to];
        } else if (follows[m->slot_column[qn__gbdt_node_slot(m, node)]]) {
            weight[node->to + s->goes_right[i]] += weight[i];
        } else {
            double right = (double)s->count[node->to + 1] / (double)s->count[i];
            weight[node->to] += weight[i] * (1 - right);
            weight[node->to + 1] += weight[i] * right;
        }
    }
    return sum;
}

qn_status qn__gbdt_dependence(const qn_learner *learner, const qn_matrix *x, int64_t first,
                              int64_t n, const bool *follows, double *raw, qn_error *err) {
    const qn__gbdt *m = (const qn__gbdt *)learner;
    qn_cleanup(shap_scratch_done) shap_scratch s = {0};
    QN_TRY(scratch_init(&s, m, err));
    uint64_t most = 1;
    for (int32_t t = 0; t < m->n_trees; t++)
        most = m->start[t + 1] - m->start[t] > most ? m->start[t + 1] - m->start[t] : most;
    qn_cleanup(qn_freep) double *weight = qn_new_array(double, most);
    if (!weight)
        return qn_error_memory(err);
    int32_t n_k = learner->n_outputs;
    for (int64_t i = 0; i < n; i++) {
        for (int32_t k = 0; k < n_k; k++) {
            bool knows_init = m->init_columns && follows[m->init_columns[k] - 1];
            raw[i * n_k + k] = m->base[k] + (knows_init ? initial(m, x, k, first + i) : 0);
        }
        read_row(m, x, first + i, &s);
        for (int32_t t = 0; t < m->n_trees; t++) {
            read_tree(m, t, &s);
            raw[i * n_k + t % n_k] += weigh_leaves(m, t, follows, &s, weight);
        }
    }
    return QN_OK;
}
