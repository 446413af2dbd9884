/* Explanations of trees against their definitions, summed over all sets of features. */
#include "gbdt_fit.h"

#include <stdlib.h>


static qn_learner *small_model(const toy *d, qn_task task) {
    qn_gbdt_params p;
    qn_learner *model = NULL;
    qn_error err = {0};
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    p.num_iterations = 8;
    p.num_leaves = 15;
    p.min_data_in_leaf = 5;
    const double *y = task == QN_TASK_BINARY       ? d->y
                      : task == QN_TASK_MULTICLASS ? d->klass
                                                   : d->value;
    qn_fit_input in = {.train = {.x = &d->x, .y = y}, .task = task, .seed = 7,
                       .n_classes = task == QN_TASK_BINARY       ? 2
                                    : task == QN_TASK_MULTICLASS ? TOY_CLASSES
                                                                 : 0};
    if (qn__family_gbdt.fit(&p, &in, NULL, &model, &err) != QN_OK)
        fail_msg("%s", err.message);
    return model;
}

/* Expected score of a tree when only the columns of `known` are known: follow them, average over
 * the rest. */
static double expected(const qn__gbdt *m, int32_t tree, uint32_t at, const double *row,
                       unsigned known) {
    qn__gbdt_node node = qn__gbdt_node_at(m, m->start[tree], at);
    if (node.is_leaf)
        return m->value[qn__gbdt_leaf_start(m, tree) + node.to];
    uint32_t column = m->slot_column[qn__gbdt_node_slot(m, &node)];
    if (known >> column & 1)
        return expected(m, tree, node.to + qn__gbdt_node_goes_right(m, &node, row[column]), row,
                        known);
    double left = rows_under(m, tree, node.to) / rows_under(m, tree, at);
    return left * expected(m, tree, node.to, row, known)
           + (1 - left) * expected(m, tree, node.to + 1, row, known);
}

/* Of all trees of an output. */
static double expected_score(const qn__gbdt *m, int32_t k, const double *row, unsigned known) {
    double sum = m->base[k];
    for (int32_t t = k; t < m->n_trees; t += m->learner.n_outputs)
        sum += expected(m, t, 0, row, known);
    return sum;
}

static void read_row(const toy *d, int64_t i, double *row) {
    for (int j = 0; j < TOY_FEATURES; j++)
        row[j] = qn__matrix_value(&d->x, j, i);
}

/* Half the Shapley interaction index of players a and b, each the columns of a mask, among
 * `players`. */
static double interaction(const double *v, const unsigned *players, int n, int a, int b) {
    double sum = 0;
    for (unsigned set = 0; set < 1u << n; set++) {
        if (set >> a & 1 || set >> b & 1)
            continue;
        unsigned known = 0;
        for (int p = 0; p < n; p++)
            known |= set >> p & 1 ? players[p] : 0;
        int size = __builtin_popcount(set);
        double w = exp(lgamma(size + 1) + lgamma(n - size - 1) - lgamma(n)) / 2;
        sum += w * (v[known | players[a] | players[b]] - v[known | players[a]]
                    - v[known | players[b]] + v[known]);
    }
    return sum;
}

enum { N = 3, CELLS = (TOY_FEATURES + 1) * (TOY_FEATURES + 1) };

static void interactions_are_their_definition(void **state) {
    toy d;
    toy_init(&d, 1500, 9);
    int32_t alone[TOY_FEATURES];
    unsigned players[TOY_FEATURES];
    double *v = qn_new_array(double, 1u << TOY_FEATURES);
    for (int j = 0; j < TOY_FEATURES; j++) {
        alone[j] = j;
        players[j] = 1u << j;
    }
    for (qn_task task = QN_TASK_BINARY; task <= QN_TASK_REGRESSION; task++) {
        qn_learner *learner = small_model(&d, task);
        const qn__gbdt *m = (const qn__gbdt *)learner;
        int32_t n_k = learner->n_outputs;
        double pairs[N * TOY_CLASSES * CELLS], contrib[N * TOY_CLASSES * (TOY_FEATURES + 1)];
        assert_int_equal(learner->family->interactions(learner, &d.x, 20, N, alone, TOY_FEATURES,
                                                       pairs, NULL), QN_OK);
        assert_int_equal(learner->family->explain(learner, &d.x, 20, N, contrib, NULL), QN_OK);
        double strongest = 0;
        for (int i = 0; i < N; i++) {
            double row[TOY_FEATURES];
            read_row(&d, 20 + i, row);
            for (int32_t k = 0; k < n_k; k++) {
                const double *p = pairs + (i * n_k + k) * CELLS;
                const double *c = contrib + (i * n_k + k) * (TOY_FEATURES + 1);
                for (unsigned known = 0; known < 1u << TOY_FEATURES; known++)
                    v[known] = expected_score(m, k, row, known);
                for (int a = 0; a < TOY_FEATURES; a++) {
                    double sum = 0;
                    for (int b = 0; b <= TOY_FEATURES; b++) {
                        double cell = p[a * (TOY_FEATURES + 1) + b];
                        sum += cell;
                        if (b == a)
                            continue;
                        assert_true(cell == p[b * (TOY_FEATURES + 1) + a]);
                        assert_near(cell, b < TOY_FEATURES
                                              ? interaction(v, players, TOY_FEATURES, a, b) : 0,
                                    1e-10);
                        strongest = fmax(strongest, fabs(cell));
                    }
                    assert_near(sum, c[a], 1e-10);
                }
                assert_near(p[CELLS - 1], c[TOY_FEATURES], 1e-12);
            }
        }
        assert_true(strongest > 1e-3);
        qn__gbdt_free(learner);
    }
    qn_freep(&v);
    toy_done(&d);
}

/* Columns of one input are one: the sum of their cells. */
static void groups_add_up(void **state) {
    enum { GROUPS = 4, SMALL = (GROUPS + 1) * (GROUPS + 1) };
    toy d;
    toy_init(&d, 1500, 9);
    int32_t alone[TOY_FEATURES], group[TOY_FEATURES];
    for (int j = 0; j < TOY_FEATURES; j++) {
        alone[j] = j;
        group[j] = (j * 3) % GROUPS;
    }
    qn_learner *learner = small_model(&d, QN_TASK_REGRESSION);
    double pairs[N * CELLS], by_group[N * SMALL];
    assert_int_equal(learner->family->interactions(learner, &d.x, 7, N, alone, TOY_FEATURES, pairs,
                                                   NULL), QN_OK);
    assert_int_equal(learner->family->interactions(learner, &d.x, 7, N, group, GROUPS, by_group,
                                                   NULL), QN_OK);
    for (int i = 0; i < N; i++) {
        double want[SMALL] = {0};
        for (int a = 0; a <= TOY_FEATURES; a++)
            for (int b = 0; b <= TOY_FEATURES; b++) {
                int ga = a < TOY_FEATURES ? group[a] : GROUPS;
                int gb = b < TOY_FEATURES ? group[b] : GROUPS;
                want[ga * (GROUPS + 1) + gb] += pairs[i * CELLS + a * (TOY_FEATURES + 1) + b];
            }
        for (int c = 0; c < SMALL; c++)
            assert_near(by_group[i * SMALL + c], want[c], 1e-10);
    }
    qn__gbdt_free(learner);
    toy_done(&d);
}

static void dependence_is_weighted_traversal(void **state) {
    toy d;
    toy_init(&d, 1500, 9);
    for (qn_task task = QN_TASK_BINARY; task <= QN_TASK_REGRESSION; task++) {
        qn_learner *learner = small_model(&d, task);
        int32_t n_k = learner->n_outputs;
        for (unsigned known = 0; known < 1u << TOY_FEATURES; known += 37) {
            bool follows[TOY_FEATURES];
            double raw[N * TOY_CLASSES];
            for (int j = 0; j < TOY_FEATURES; j++)
                follows[j] = known >> j & 1;
            assert_int_equal(learner->family->dependence(learner, &d.x, 50, N, follows, raw, NULL),
                             QN_OK);
            for (int i = 0; i < N; i++) {
                double row[TOY_FEATURES];
                read_row(&d, 50 + i, row);
                for (int32_t k = 0; k < n_k; k++)
                    assert_near(raw[i * n_k + k],
                                expected_score((const qn__gbdt *)learner, k, row, known), 1e-10);
            }
        }
        qn__gbdt_free(learner);
    }
    toy_done(&d);
}

static void no_memory_is_told(void **state) {
    toy d;
    toy_init(&d, 300, 9);
    qn_learner *learner = small_model(&d, QN_TASK_BINARY);
    int32_t alone[TOY_FEATURES];
    bool follows[TOY_FEATURES] = {true};
    double pairs[CELLS], raw[1];
    for (int j = 0; j < TOY_FEATURES; j++)
        alone[j] = j;
    for (int which = 0; which < 2; which++) {
        qn_status status = QN_ERR_MEMORY;
        for (int64_t fail = 0; status != QN_OK; fail++) {
            qn_mem_fail_after(fail);
            status = which ? learner->family->dependence(learner, &d.x, 0, 1, follows, raw, NULL)
                           : learner->family->interactions(learner, &d.x, 0, 1, alone,
                                                           TOY_FEATURES, pairs, NULL);
            qn_mem_fail_after(-1);
            assert_true(status == QN_OK || status == QN_ERR_MEMORY);
            assert_true(fail < 1000);
        }
    }
    qn__gbdt_free(learner);
    toy_done(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interactions_are_their_definition),
        cmocka_unit_test(groups_add_up),
        cmocka_unit_test(dependence_is_weighted_traversal),
        cmocka_unit_test(no_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
