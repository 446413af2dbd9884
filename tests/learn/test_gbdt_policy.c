/* Growing level by level and symmetric trees, beside plain references. */
#include <stdlib.h>

#include "base/json.h"
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

static double squared_error(const qn_learner *m, const toy *d) {
    double *raw = qn_new_array(double, d->x.n_rows), sum = 0;
    m->family->predict(m, &d->x, 0, d->x.n_rows, raw);
    for (int64_t i = 0; i < d->x.n_rows; i++)
        sum += (raw[i] - d->value[i]) * (raw[i] - d->value[i]);
    qn_freep(&raw);
    return sum / (double)d->x.n_rows;
}

/* ---- level by level -------------------------------------------------------------------------- */

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

/* ---- symmetric trees ------------------------------------------------------------------------- */

enum { N = 3000, DEPTH = 5, MIN_DATA = 20, PLAIN_FEATURES = 4 };

/* A tree as a list of tests and the leaf of every row. */
typedef struct plain_tree {
    const toy *d;
    int leaf[N], n_leaves;
    double mean;
} plain_tree;

typedef struct test {
    int column;
    double cut;          /* left: x <= cut; a category: x == cut */
    bool missing_left;
} test;

static bool goes_left(const toy *d, const test *t, int64_t i) {
    const qn_matrix_column *c = &d->columns[t->column];
    if (c->code)
        return (double)c->code[i] == t->cut;
    return isnan(c->num[i]) ? t->missing_left : c->num[i] <= t->cut;
}

/* What the test gains over all leaves; fits[leaf]: those that it parts. */
static double gain_of(const plain_tree *tree, const test *t, double l2, bool *fits) {
    double g[2][1 << DEPTH] = {{0}}, n[2][1 << DEPTH] = {{0}}, sum = 0;
    for (int64_t i = 0; i < N; i++) {
        int side = !goes_left(tree->d, t, i);
        g[side][tree->leaf[i]] += tree->d->value[i] - tree->mean;
        n[side][tree->leaf[i]]++;
    }
    for (int k = 0; k < tree->n_leaves; k++) {
        double all = g[0][k] + g[1][k];
        fits[k] = n[0][k] >= MIN_DATA && n[1][k] >= MIN_DATA;
        if (fits[k])
            sum += g[0][k] * g[0][k] / (n[0][k] + l2) + g[1][k] * g[1][k] / (n[1][k] + l2)
                   - all * all / (n[0][k] + n[1][k] + l2);
    }
    return sum;
}

static void split_all(plain_tree *tree, const test *t, const bool *fits) {
    int other[1 << DEPTH], n = tree->n_leaves;
    for (int k = 0; k < n; k++)
        other[k] = fits[k] ? tree->n_leaves++ : k;
    for (int64_t i = 0; i < N; i++)
        if (!goes_left(tree->d, t, i))
            tree->leaf[i] = other[tree->leaf[i]];
}

/* The columns hold multiples of 1/4. */
static void grow_plain(plain_tree *tree, double l2) {
    for (int level = 0; level < DEPTH; level++) {
        test best = {0};
        double top = 0;
        bool fits[1 << DEPTH];
        for (int column = 0; column < PLAIN_FEATURES; column++) {
            bool is_category = tree->d->columns[column].code != NULL;
            for (int left = 0; left < (is_category ? 1 : 2); left++)
                for (double x = is_category ? -1 : -5; x <= 5; x += is_category ? 1 : 0.25) {
                    test t = {column, is_category ? x : x + 0.125, left};
                    double gain = gain_of(tree, &t, l2, fits);
                    if (gain > top + 1e-9) {
                        top = gain;
                        best = t;
                    }
                }
        }
        gain_of(tree, &best, l2, fits);
        split_all(tree, &best, fits);
    }
}

static void a_symmetric_tree_is_the_plain_one(void **state) {
    for (uint64_t seed = 3; seed < 6; seed++) {
        double l2 = (double)(seed - 3) * 5;
        toy d;
        toy_init(&d, N, seed);
        for (int64_t i = 0; i < N; i++)
            for (int j = 0; j < 2; j++)
                d.columns[j].num[i] = round(4 * d.columns[j].num[i]) / 4;
        d.x.n_features = PLAIN_FEATURES;
        plain_tree *tree = qn_new(plain_tree);
        tree->d = &d;
        tree->n_leaves = 1;
        for (int64_t i = 0; i < N; i++)
            tree->mean += d.value[i] / N;
        grow_plain(tree, l2);
        double sum[1 << DEPTH] = {0}, n[1 << DEPTH] = {0}, raw[N];
        for (int64_t i = 0; i < N; i++) {
            sum[tree->leaf[i]] += d.value[i] - tree->mean;
            n[tree->leaf[i]]++;
        }
        qn_gbdt_params p = quick("symmetric");
        p.num_iterations = 1;
        p.learning_rate = 1;
        p.max_depth = DEPTH;
        p.min_data_in_leaf = MIN_DATA;
        p.min_data_in_bin = 1;
        p.lambda_l2 = l2;
        qn_fit_input in = regression(&d);
        qn_learner *m = fit(&p, &in, NULL);
        assert_int_equal((((const qn__gbdt *)m)->n_nodes + 1) / 2, tree->n_leaves);
        m->family->predict(m, &d.x, 0, N, raw);
        for (int64_t i = 0; i < N; i++)
            assert_near(raw[i], tree->mean + sum[tree->leaf[i]] / (n[tree->leaf[i]] + l2), 3e-3);
        qn__gbdt_free(m);
        qn_freep(&tree);
        toy_done(&d);
    }
}

/* The different tests of a tree: at most as many as it has levels. */
static void check_tests(const qn__gbdt *m, int32_t tree, uint32_t at, uint64_t *seen, int *n_seen) {
    qn__gbdt_node node = qn__gbdt_node_at(m, m->start[tree], at);
    if (node.is_leaf)
        return;
    uint32_t slot = qn__gbdt_node_slot(m, &node);
    uint64_t is = slot; /* and what it does with a hundred values */
    for (int k = 0; k < 100; k++) {
        double x = m->slot_column[slot] >= 3 ? k - 1 : (k - 50) / 12.5;
        is = qn_rng_hash(is, qn__gbdt_node_goes_right(m, &node, x));
    }
    int i = 0;
    while (i < *n_seen && seen[i] != is)
        i++;
    seen[i] = is;
    *n_seen += i == *n_seen;
    assert_true(*n_seen <= 6);
    check_tests(m, tree, node.to, seen, n_seen);
    check_tests(m, tree, node.to + 1, seen, n_seen);
}

static void a_level_has_one_test(void **state) {
    toy d;
    toy_init(&d, 20000, 8);
    qn_fit_input in = regression(&d);
    qn_gbdt_params p = quick("SymmetricTree");
    p.num_iterations = 30;
    p.num_leaves = 2; /* has no say */
    qn_learner *learner = fit(&p, &in, NULL);
    const qn__gbdt *m = (const qn__gbdt *)learner;
    for (int32_t t = 0; t < m->n_trees; t++) {
        uint64_t seen[8];
        int n_seen = 0;
        check_tests(m, t, 0, seen, &n_seen);
        assert_int_equal(n_seen, 6);
    }
    assert_true((m->n_nodes + m->n_trees) / 2 > 20 * m->n_trees);
    double with = squared_error(learner, &d);
    qn__gbdt_free(learner);
    /* Sorted categories (the fifth column) are part of it. */
    d.x.n_features = 4;
    learner = fit(&p, &in, NULL);
    assert_true(with < 0.6 * squared_error(learner, &d));
    qn__gbdt_free(learner);
    toy_done(&d);
}

/* ---- both ------------------------------------------------------------------------------------ */

static void bytes_do_not_depend_on_threads(void **state) {
    toy d;
    toy_init(&d, 70000, 9);
    const char *const policies[] = {"depthwise", "symmetric"};
    for (int k = 0; k < 4; k++) {
        qn_gbdt_params p = quick(policies[k % 2]);
        p.num_leaves = 50;
        p.feature_fraction_bynode = k < 2 ? 1 : 0.6;
        p.bagging_freq = k / 2;
        p.bagging_fraction = 0.7;
        qn_fit_input in = regression(&d);
        assert_threads_agree(&p, &in, 1 << 16); /* at last a pool of few histograms */
    }
    toy_done(&d);
}

static void what_does_not_go_together_is_refused(void **state) {
    toy d;
    toy_init(&d, 300, 10);
    const char *const cases[][2] = {
        {"{\"grow_policy\": \"symmetric\", \"path_smooth\": 1}",
         "grow_policy symmetric does not go with path_smooth: choose leafwise or depthwise"},
        {"{\"grow_policy\": \"symmetric\", \"max_depth\": 17}",
         "grow_policy symmetric takes max_depth up to 16, not 17"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *params = NULL;
        assert_int_equal(qn_json_parse(cases[i][0], strlen(cases[i][0]), "test", &params, NULL),
                         QN_OK);
        qn_fit_input in = regression(&d);
        qn_learner *m = NULL;
        qn_error err = {0};
        assert_int_equal(qn_learner_fit(&qn__family_gbdt, params, &in, NULL, &m, &err),
                         QN_ERR_CONFIG);
        assert_string_equal(err.message, cases[i][1]);
        qn_json_free(&params);
    }
    toy_done(&d);
}

static void memory_may_run_out(void **state) {
    toy d;
    toy_init(&d, 500, 11);
    qn_gbdt_params p = quick("symmetric");
    p.num_iterations = 2;
    for (long n = 0;; n++) {
        qn_fit_input in = regression(&d);
        qn_learner *m = NULL;
        qn_mem_fail_after(n);
        qn_status status = qn__family_gbdt.fit(&p, &in, NULL, &m, NULL);
        qn_mem_fail_after(-1);
        if (status == QN_OK) {
            qn__gbdt_free(m);
            break;
        }
        assert_int_equal(status, QN_ERR_MEMORY);
    }
    toy_done(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_levels_are_all_leaves),
        cmocka_unit_test(few_leaves_cut_the_last_level),
        cmocka_unit_test(a_symmetric_tree_is_the_plain_one),
        cmocka_unit_test(a_level_has_one_test),
        cmocka_unit_test(bytes_do_not_depend_on_threads),
        cmocka_unit_test(what_does_not_go_together_is_refused),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
