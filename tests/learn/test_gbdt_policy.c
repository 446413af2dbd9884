/* Growing level by level. */
#include <stdlib.h>

#include "gbdt_fit.h"

static qn_gbdt_params quick(const char *policy) {
    qn_gbdt_params p;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    p.num_iterations = 5;
    p.grow_policy = policy;
    return p;
}

static void assert_same_trees(const qn_learner *a, const qn_learner *b, const toy *d) {
    double *raw[2];
    for (int i = 0; i < 2; i++) {
        raw[i] = qn_new_array(double, d->x.n_rows);
        a->family->predict(i ? b : a, &d->x, 0, d->x.n_rows, raw[i]);
    }
    assert_memory_equal(raw[0], raw[1], (size_t)d->x.n_rows * sizeof *raw[0]);
    qn_freep(&raw[0]);
    qn_freep(&raw[1]);
}

/* With room for all leaves of the depth, the order in which they are split does not matter. */
static void all_levels_are_all_leaves(void **state) {
    toy d;
    toy_init(&d, 6000, 1);
    qn_fit_input in = regression(&d);
    qn_gbdt_params p = quick("leafwise");
    p.num_leaves = 64;
    p.max_depth = 6;
    qn_learner *leafwise = fit(&p, &in, NULL);
    const char *const names[] = {"depthwise", "Depthwise"};
    for (int i = 0; i < 2; i++) {
        p.grow_policy = names[i];
        p.max_depth = i ? 0 : 6; /* 6 unless stated */
        qn_learner *m = fit(&p, &in, NULL);
        assert_same_trees(leafwise, m, &d);
        qn__gbdt_free(m);
    }
    p.grow_policy = "lossguide";
    p.max_depth = 6;
    qn_learner *m = fit(&p, &in, NULL);
    assert_same_trees(leafwise, m, &d);
    qn__gbdt_free(m);
    qn__gbdt_free(leafwise);
    toy_done(&d);
}

/* Inner nodes of a tree by level. */
static void count_levels(const qn__gbdt *m, int32_t tree, uint32_t at, int depth, int *inner) {
    qn__gbdt_node node = qn__gbdt_node_at(m, m->start[tree], at);
    if (node.is_leaf)
        return;
    inner[depth]++;
    count_levels(m, tree, node.to, depth + 1, inner);
    count_levels(m, tree, node.to + 1, depth + 1, inner);
}

/* When leaves run out, it is the last level that lacks some. */
static void few_leaves_cut_the_last_level(void **state) {
    toy d;
    toy_init(&d, 6000, 2);
    qn_fit_input in = regression(&d);
    qn_gbdt_params p = quick("depthwise");
    p.num_iterations = 1;
    p.max_depth = 8;
    p.num_leaves = 256;
    qn_learner *whole = fit(&p, &in, NULL);
    for (int leaves = 5; leaves < 50; leaves += 11) {
        p.num_leaves = leaves;
        qn_learner *cut = fit(&p, &in, NULL);
        int inner[2][32] = {{0}}, sum = 0, level = 0;
        count_levels((const qn__gbdt *)whole, 0, 0, 0, inner[0]);
        count_levels((const qn__gbdt *)cut, 0, 0, 0, inner[1]);
        for (; sum + inner[0][level] <= leaves - 1; level++) {
            assert_int_equal(inner[1][level], inner[0][level]);
            sum += inner[0][level];
        }
        assert_int_equal(inner[1][level], leaves - 1 - sum);
        assert_int_equal(inner[1][level + 1], 0);
        qn__gbdt_free(cut);
    }
    qn__gbdt_free(whole);
    toy_done(&d);
}

static void bytes_do_not_depend_on_threads(void **state) {
    toy d;
    toy_init(&d, 70000, 9);
    for (int k = 0; k < 2; k++) {
        qn_gbdt_params p = quick("depthwise");
        p.num_leaves = 50;
        p.feature_fraction_bynode = k ? 0.6 : 1;
        p.bagging_freq = k;
        p.bagging_fraction = 0.7;
        qn_fit_input in = regression(&d);
        assert_threads_agree(&p, &in, 1 << 16); /* at last a pool of few histograms */
    }
    toy_done(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_levels_are_all_leaves),
        cmocka_unit_test(few_leaves_cut_the_last_level),
        cmocka_unit_test(bytes_do_not_depend_on_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
