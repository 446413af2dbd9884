/* Symmetric trees beside a plain reference: their values, constraints, costs and forced levels. */
#include <stdlib.h>

#include "gbdt_fit.h"

enum { N = 3000, DEPTH = 5, TREES = 2, MIN_DATA = 20, COLUMNS = 4, LEAVES = 1 << DEPTH };

static const double rate = 0.5;

static qn_gbdt_params quick(void) {
    qn_gbdt_params p = gbdt_defaults();
    p.num_iterations = 5;
    p.grow_policy = "symmetric";
    return p;
}

/* ---- the reference ------------------------------------------------------------------------------ */

typedef struct test {
    int column;
    double cut;          /* left: x <= cut; a category: x == cut */
    bool missing_left;
} test;

typedef struct rules {
    double l2, delta, smooth;
    int order[COLUMNS];
    double split, coupled[COLUMNS], lazy[COLUMNS];
    int n_forced;
    test forced[DEPTH];
} rules;

/* A leaf, with the bounds of what comes of it. */
typedef struct plain_leaf {
    double value, low, high;
} plain_leaf;

/* Trees as the leaf of every row: all sums are made anew for every test. */
typedef struct plain {
    const toy *d;
    const rules *r;
    double score[N];
    int leaf[N], n_leaves;
    plain_leaf leaves[LEAVES];
    bool bought[COLUMNS], seen[COLUMNS][N];
} plain;

static bool is_category(const plain *m, int column) {
    return m->d->columns[column].code != NULL;
}

static bool goes_left(const plain *m, const test *t, int64_t i) {
    const qn_matrix_column *c = &m->d->columns[t->column];
    if (c->code)
        return (double)c->code[i] == t->cut;
    return isnan(c->num[i]) ? t->missing_left : c->num[i] <= t->cut;
}

/* Only missing values are not left of it. */
static bool parts_missing(const plain *m, const test *t) {
    for (int64_t i = 0; i < N; i++)
        if (m->d->columns[t->column].num[i] > t->cut)
            return false;
    return true;
}

static double value_of(const rules *r, double sum, double n, const plain_leaf *parent) {
    double v = sum / (n + r->l2), k = n / r->smooth;
    if (r->delta > 0)
        v = fmin(fmax(v, -r->delta), r->delta);
    if (r->smooth > 0)
        v = v * k / (k + 1) + parent->value / (k + 1);
    return fmin(fmax(v, parent->low), parent->high);
}

static double worth(const rules *r, double sum, double n, double value) {
    return 2 * sum * value - (n + r->l2) * value * value;
}

/* What the test gains over all leaves, less what it costs; -INFINITY: it is not allowed. fits[leaf]: those
 * that it parts, into children[2 leaf] and the next. */
static double gain_of(const plain *m, const test *t, bool *fits, plain_leaf *children) {
    const rules *r = m->r;
    double g[LEAVES][2] = {{0}}, n[LEAVES][2] = {{0}}, unpaid[LEAVES] = {0}, gain = 0;
    for (int64_t i = 0; i < N; i++) {
        int side = !goes_left(m, t, i);
        g[m->leaf[i]][side] += m->d->value[i] - m->score[i];
        n[m->leaf[i]][side]++;
        unpaid[m->leaf[i]] += !m->seen[t->column][i];
    }
    int order = is_category(m, t->column) || parts_missing(m, t) ? 0 : r->order[t->column];
    for (int k = 0; k < m->n_leaves; k++) {
        const plain_leaf *up = &m->leaves[k];
        plain_leaf *left = &children[2 * k], *right = left + 1;
        *left = *right = *up;
        fits[k] = n[k][0] >= MIN_DATA && n[k][1] >= MIN_DATA;
        if (!fits[k])
            continue;
        left->value = value_of(r, g[k][0], n[k][0], up);
        right->value = value_of(r, g[k][1], n[k][1], up);
        if (order * left->value > order * right->value)
            return -INFINITY;
        double middle = (left->value + right->value) / 2;
        if (order > 0)
            left->high = right->low = middle;
        if (order < 0)
            left->low = right->high = middle;
        double rows = n[k][0] + n[k][1];
        gain += worth(r, g[k][0], n[k][0], left->value) + worth(r, g[k][1], n[k][1], right->value)
                - worth(r, g[k][0] + g[k][1], rows, up->value) - r->split * rows
                - r->lazy[t->column] * unpaid[k];
    }
    return gain - (m->bought[t->column] ? 0 : r->coupled[t->column]);
}

/* The columns hold multiples of 1/4. */
static double best_test(const plain *m, test *best, bool *fits, plain_leaf *children) {
    double top = 0;
    for (int column = 0; column < COLUMNS; column++)
        for (int left = 0; left < (is_category(m, column) ? 1 : 2); left++)
            for (double x = is_category(m, column) ? -1 : -5; x <= 5;
                 x += is_category(m, column) ? 1 : 0.25) {
                test t = {column, is_category(m, column) ? x : x + 0.125, left};
                double gain = gain_of(m, &t, fits, children);
                if (gain > top + 1e-9) {
                    top = gain;
                    *best = t;
                }
            }
    return top;
}

static double best_forced(const plain *m, int level, test *best, bool *fits,
                          plain_leaf *children) {
    double top = 0;
    for (int left = 0; left < 2; left++) {
        test t = m->r->forced[level];
        t.missing_left = left;
        double gain = gain_of(m, &t, fits, children);
        if (gain > top) {
            top = gain;
            *best = t;
        }
    }
    return top;
}

static void split_all(plain *m, const test *t, const bool *fits, const plain_leaf *children) {
    int other[LEAVES], n = m->n_leaves;
    for (int k = 0; k < n; k++) {
        if (!fits[k])
            continue;
        other[k] = m->n_leaves++;
        m->leaves[k] = children[2 * k];
        m->leaves[other[k]] = children[2 * k + 1];
    }
    for (int64_t i = 0; i < N; i++) {
        int k = m->leaf[i];
        if (!fits[k])
            continue;
        m->seen[t->column][i] = true;
        m->leaf[i] = goes_left(m, t, i) ? k : other[k];
    }
    m->bought[t->column] = true;
}

static void grow_plain(plain *m) {
    int n_forced = m->r->n_forced;
    double sum = 0;
    memset(m->leaf, 0, sizeof m->leaf);
    m->n_leaves = 1;
    for (int64_t i = 0; i < N; i++)
        sum += m->d->value[i] - m->score[i];
    rules plainly = {.l2 = m->r->l2, .delta = m->r->delta};
    m->leaves[0] = (plain_leaf){.low = -INFINITY, .high = INFINITY};
    m->leaves[0].value = value_of(&plainly, sum, N, &m->leaves[0]);
    for (int level = 0; level < DEPTH; level++) {
        test best = {0};
        bool fits[LEAVES];
        plain_leaf children[2 * LEAVES];
        if (level >= n_forced || best_forced(m, level, &best, fits, children) <= 0) {
            n_forced = 0;
            if (best_test(m, &best, fits, children) <= 0)
                break;
        }
        gain_of(m, &best, fits, children);
        split_all(m, &best, fits, children);
    }
    for (int64_t i = 0; i < N; i++)
        m->score[i] += m->n_leaves > 1 ? rate * m->leaves[m->leaf[i]].value : 0;
}

/* ---- beside it ---------------------------------------------------------------------------------- */

static json_t *map_of(const double *values) {
    json_t *map = json_object();
    for (int j = 0; j < COLUMNS; j++)
        json_object_set_new(map, toy_names[j], json_real(values[j]));
    return map;
}

static json_t *constraints_of(const int *order) {
    json_t *map = json_object();
    for (int j = 0; j < 3; j++)
        json_object_set_new(map, toy_names[j], json_integer(order[j]));
    return map;
}

/* As a chain: the left child, then the right one of that, and so on. */
static json_t *forced_of(const rules *r, int level) {
    if (level == r->n_forced)
        return json_object();
    json_t *split = json_object();
    json_object_set_new(split, "feature", json_string(toy_names[r->forced[level].column]));
    json_object_set_new(split, "threshold", json_real(r->forced[level].cut));
    json_object_set_new(split, level % 2 ? "right" : "left", forced_of(r, level + 1));
    return split;
}

static void check_plain(const rules *r, uint64_t seed) {
    toy d;
    toy_init(&d, N, seed);
    toy_named(&d);
    for (int64_t i = 0; i < N; i++)
        for (int j = 0; j < 2; j++)
            d.columns[j].num[i] = round(4 * d.columns[j].num[i]) / 4;
    d.x.n_features = COLUMNS;
    plain *m = qn_new(plain);
    m->d = &d;
    m->r = r;
    for (int64_t i = 0; i < N; i++)
        m->score[0] += d.value[i] / N;
    for (int64_t i = 1; i < N; i++)
        m->score[i] = m->score[0];
    for (int t = 0; t < TREES; t++)
        grow_plain(m);
    qn_cleanup(qn_json_free) json_t *coupled = map_of(r->coupled), *lazy = map_of(r->lazy);
    qn_cleanup(qn_json_free) json_t *monotone = constraints_of(r->order);
    qn_cleanup(qn_json_free) json_t *forced = forced_of(r, 0);
    qn_gbdt_params p = quick();
    p.num_iterations = TREES;
    p.learning_rate = rate;
    p.max_depth = DEPTH;
    p.min_data_in_leaf = MIN_DATA;
    p.min_data_in_bin = 1;
    p.lambda_l2 = r->l2;
    p.max_delta_step = r->delta;
    p.path_smooth = r->smooth;
    p.monotone_constraints = monotone;
    p.cegb_penalty_split = r->split;
    p.cegb_penalty_feature_coupled = coupled;
    p.cegb_penalty_feature_lazy = lazy;
    p.forced_splits = forced;
    qn_fit_input in = regression(&d);
    qn_learner *learner = fit(&p, &in, NULL);
    const qn__gbdt *trees = (const qn__gbdt *)learner;
    int32_t last = trees->n_trees - 1;
    assert_int_equal(qn__gbdt_leaf_start(trees, last + 1) - qn__gbdt_leaf_start(trees, last),
                     m->n_leaves);
    double *raw = predictions(learner, &d.x);
    for (int64_t i = 0; i < N; i++)
        assert_near(raw[i], m->score[i], 5e-3);
    qn_freep(&raw);
    qn__gbdt_free(learner);
    qn_freep(&m);
    toy_done(&d);
}

static void trees_are_the_plain_ones(void **state) {
    static const rules all[] = {
        {0},
        {.l2 = 5},
        {.delta = 0.7},
        {.smooth = 100},
        {.delta = 0.5, .smooth = 20, .l2 = 3},
        {.order = {1, 0, 0, 0}},
        {.order = {1, -1, 1, 0}},
        {.order = {-1, 1, 0, 0}, .smooth = 30},
        {.split = 0.02},
        {.coupled = {700, 0, 60, 0}},
        {.lazy = {0.3, 0.02, 0, 0.1}},
        {.split = 0.01, .coupled = {100, 20, 0, 9}, .lazy = {0, 0.1, 0.05, 0}},
        {.order = {0, 1, 1, 0}, .split = 0.01, .coupled = {0, 30, 0, 0}, .delta = 1},
        {.n_forced = 2, .forced = {{2, 1, false}, {1, 0.25, false}}},
        {.n_forced = 1, .forced = {{3, 1, false}}, .smooth = 10},
        /* The second parts too few: it and the third are left out. */
        {.n_forced = 3, .forced = {{1, -0.75, false}, {0, 100, false}, {2, 2, false}}},
        {.n_forced = 2, .forced = {{0, 0, false}, {0, -1, false}}, .order = {0, 1, 0, 0}},
        /* Not allowed: left out. */
        {.n_forced = 1, .forced = {{0, 0, false}}, .order = {-1, 0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        for (uint64_t seed = 3; seed < 6; seed++)
            check_plain(&all[i], seed);
}

/* ---- levels ------------------------------------------------------------------------------------- */

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
    qn_gbdt_params p = quick();
    p.num_iterations = 30;
    p.num_leaves = 2; /* has no say */
    p.grow_policy = "SymmetricTree";
    for (int how = 0; how < 3; how++) {
        p.extra_trees = how > 0;
        p.feature_fraction_bynode = how == 2 ? 0.4 : 1;
        d.x.n_features = TOY_FEATURES;
        qn_learner *learner = fit(&p, &in, NULL);
        const qn__gbdt *m = (const qn__gbdt *)learner;
        for (int32_t t = 0; t < m->n_trees; t++) {
            uint64_t seen[8];
            int n_seen = 0;
            check_tests(m, t, 0, seen, &n_seen);
            assert_true(how ? n_seen > 2 : n_seen == 6); /* what is drawn may part little */
        }
        assert_true((m->n_nodes + m->n_trees) / 2 > (how ? 10 : 20) * m->n_trees);
        double with = squared_error(learner, &d);
        qn__gbdt_free(learner);
        /* Sorted categories (the fifth column) are part of it. */
        d.x.n_features = 4;
        learner = fit(&p, &in, NULL);
        assert_true(with < 0.6 * squared_error(learner, &d));
        qn__gbdt_free(learner);
    }
    toy_done(&d);
}

/* Sorted categories stand as they do in the root also where the first level may not use them: a model of
 * one tree, which has no tree before it, is made of them. */
static void categories_that_the_root_may_not_use_are_sorted(void **state) {
    toy d;
    toy_init(&d, 20000, 12);
    qn_gbdt_params p = quick();
    p.num_iterations = 1;
    p.feature_fraction_bynode = 0.3;
    int n_later = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        qn_fit_input in = regression(&d);
        in.seed = seed;
        qn_learner *learner = fit(&p, &in, NULL);
        const qn__gbdt *m = (const qn__gbdt *)learner;
        qn__gbdt_node root = qn__gbdt_node_at(m, m->start[0], 0);
        double importance[TOY_FEATURES];
        learner->family->importance(learner, importance);
        n_later += importance[4] > 0 && m->slot_column[qn__gbdt_node_slot(m, &root)] != 4;
        qn__gbdt_free(learner);
    }
    assert_true(n_later >= 8);
    toy_done(&d);
}

/* ---- forced levels ------------------------------------------------------------------------------- */

/* However it is written: once down a path, or at every node. */
static void a_level_is_forced_once(void **state) {
    toy d;
    toy_init(&d, N, 13);
    toy_named(&d);
    const char *const texts[] = {
        "{\"feature\": \"few\", \"threshold\": 2,"
        " \"right\": {\"feature\": \"a\", \"threshold\": 0}}",
        "{\"feature\": \"few\", \"threshold\": 2, \"left\": {\"feature\": \"a\", \"threshold\": 0},"
        " \"right\": {\"feature\": \"a\", \"threshold\": 0}}",
    };
    qn_learner *m[2];
    for (int i = 0; i < 2; i++) {
        qn_cleanup(qn_json_free) json_t *forced = json(texts[i]);
        qn_gbdt_params p = quick();
        p.forced_splits = forced;
        p.feature_fraction = 0.3; /* forced all the same */
        qn_fit_input in = regression(&d);
        m[i] = fit(&p, &in, NULL);
    }
    const qn__gbdt *trees = (const qn__gbdt *)m[0];
    for (int32_t t = 0; t < trees->n_trees; t++) {
        qn__gbdt_node root = qn__gbdt_node_at(trees, trees->start[t], 0);
        assert_int_equal(trees->slot_column[qn__gbdt_node_slot(trees, &root)], 2);
        for (uint32_t side = 0; side < 2; side++) {
            qn__gbdt_node child = qn__gbdt_node_at(trees, trees->start[t], root.to + side);
            assert_int_equal(trees->slot_column[qn__gbdt_node_slot(trees, &child)], 0);
            assert_false(qn__gbdt_node_goes_right(trees, &child, -0.1));
            assert_true(qn__gbdt_node_goes_right(trees, &child, 0.1));
        }
    }
    assert_same_bytes(m[0], m[1]);
    qn__gbdt_free(m[0]);
    qn__gbdt_free(m[1]);
    toy_done(&d);
}

/* ---- all together -------------------------------------------------------------------------------- */

static void bytes_do_not_depend_on_threads(void **state) {
    toy d;
    toy_init(&d, 70000, 9);
    toy_named(&d);
    qn_cleanup(qn_json_free) json_t *monotone = json("{\"a\": 1, \"b\": -1, \"s1\": 1}");
    qn_cleanup(qn_json_free) json_t *coupled = json("{\"a\": 900, \"b\": 20, \"many\": 5}");
    qn_cleanup(qn_json_free) json_t *lazy = json("{\"few\": 0.01, \"kind\": 0.005}");
    qn_cleanup(qn_json_free) json_t *forced = json(
        "{\"feature\": \"b\", \"threshold\": 0.5, \"left\": {\"feature\": \"many\","
        " \"threshold\": 7}}");
    for (int k = 0; k < 6; k++) {
        qn_gbdt_params p = quick();
        p.num_iterations = 3;
        p.feature_fraction_bynode = k == 1 ? 0.6 : 1;
        p.bagging_freq = k == 1 || k == 5;
        p.bagging_fraction = 0.7;
        p.path_smooth = k == 2 ? 9 : 0;
        p.max_delta_step = k == 2 ? 0.6 : 0;
        p.extra_trees = k == 3;
        p.monotone_constraints = k == 2 || k == 5 ? monotone : NULL;
        p.monotone_penalty = k == 5 ? 1.5 : 0;
        p.cegb_penalty_feature_coupled = k > 3 ? coupled : NULL;
        p.cegb_penalty_feature_lazy = k > 3 ? lazy : NULL;
        p.cegb_penalty_split = k == 4 ? 0.001 : 0;
        p.forced_splits = k == 5 ? forced : NULL;
        qn_fit_input in = regression(&d);
        assert_threads_agree(&p, &in, 1 << 16); /* at last a pool of few histograms */
    }
    toy_done(&d);
}

static void what_does_not_go_together_is_refused(void **state) {
    toy d;
    toy_init(&d, 300, 10);
    toy_named(&d);
    assert_refused(&d, "{\"grow_policy\": \"symmetric\", \"max_depth\": 17}",
                   "grow_policy symmetric takes max_depth up to 16, not 17");
    assert_refused(&d, "{\"grow_policy\": \"oblivious\", \"monotone_constraints\": {\"a\": 1},"
                       " \"monotone_constraints_method\": \"advanced\"}",
                   "grow_policy symmetric takes monotone_constraints_method basic, not advanced");
    assert_refused(&d, "{\"grow_policy\": \"symmetric\", \"forced_splits\": {\"feature\": \"few\","
                       " \"threshold\": 2, \"left\": {\"feature\": \"a\", \"threshold\": 0},"
                       " \"right\": {\"feature\": \"b\", \"threshold\": 0}}}",
                   "forced_splits: grow_policy symmetric splits all leaves of a level alike, but "
                   "level 2 has two splits ('a', 'b'): state one, or choose another grow_policy");
    toy_done(&d);
}

static void memory_may_run_out(void **state) {
    toy d;
    toy_init(&d, 500, 11);
    toy_named(&d);
    qn_cleanup(qn_json_free) json_t *forced = json("{\"feature\": \"b\", \"threshold\": 0.5}");
    qn_gbdt_params p = quick();
    p.num_iterations = 2;
    p.extra_trees = true;
    p.forced_splits = forced;
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
        cmocka_unit_test(trees_are_the_plain_ones),
        cmocka_unit_test(a_level_has_one_test),
        cmocka_unit_test(categories_that_the_root_may_not_use_are_sorted),
        cmocka_unit_test(a_level_is_forced_once),
        cmocka_unit_test(bytes_do_not_depend_on_threads),
        cmocka_unit_test(what_does_not_go_together_is_refused),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
