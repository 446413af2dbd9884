/* Forced splits, and features that cost something, beside plain references. */
#include <stdlib.h>

#include "base/json.h"
#include "gbdt_data.h"
#include "learn/family_int.h"

enum { N = 2500, COLUMNS = 3, TREES = 5, LEAVES = 8, MIN_DATA = 20 };

static const char *const names[TOY_FEATURES] = {"a", "b", "few", "kind", "many", "s1", "s2", "s3",
                                                "s4"};

static qn_gbdt_params quick(void) {
    qn_gbdt_params p;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    p.num_iterations = TREES;
    p.num_leaves = LEAVES;
    p.learning_rate = 0.5;
    p.min_data_in_bin = 1;
    return p;
}

/* Numbers in steps of 1/4, none missing; the first three columns only. */
static void simple_init(toy *d, uint64_t seed) {
    toy_init(d, N, seed);
    for (int j = 0; j < TOY_FEATURES; j++)
        d->features[j].name = (char *)(uintptr_t)names[j];
    for (int64_t i = 0; i < N; i++)
        for (int j = 0; j < 2; j++) {
            double x = d->columns[j].num[i];
            d->columns[j].num[i] = isnan(x) ? 1 : round(4 * x) / 4;
        }
    d->x.n_features = COLUMNS;
}

static qn_learner *fit(const qn_gbdt_params *p, const toy *d) {
    qn_fit_input in = {.train = {.x = &d->x, .y = d->value}, .task = QN_TASK_REGRESSION,
                       .seed = 7};
    qn_learner *model = NULL;
    qn_error err = {0};
    if (qn__family_gbdt.fit(p, &in, NULL, &model, &err) != QN_OK)
        fail_msg("%s", err.message);
    return model;
}

/* ---- costs ------------------------------------------------------------------------------------- */

typedef struct prices {
    double split, coupled[COLUMNS], lazy[COLUMNS];
} prices;

/* Trees grown with the sums of all rows anew for every split, and costs as they stand then. */
typedef struct plain {
    const toy *d;
    const prices *costs;
    double score[N];
    int leaf[N];
    bool bought[COLUMNS], seen[COLUMNS][N];
} plain;

typedef struct plain_split {
    double gain, cut;
    int column;
} plain_split;

static double cost_of(const plain *m, int leaf, int column) {
    double cost = m->bought[column] ? 0 : m->costs->coupled[column];
    for (int i = 0; i < N; i++)
        if (m->leaf[i] == leaf)
            cost += m->costs->split + (m->seen[column][i] ? 0 : m->costs->lazy[column]);
    return cost;
}

static void best_of_leaf(const plain *m, int leaf, plain_split *best) {
    best->gain = 0;
    for (int column = 0; column < COLUMNS; column++) {
        double cost = cost_of(m, leaf, column);
        for (double cut = -4.875; cut < 5; cut += 0.25) {
            double g[2] = {0}, n[2] = {0};
            for (int i = 0; i < N; i++) {
                if (m->leaf[i] != leaf)
                    continue;
                int side = m->d->columns[column].num[i] > cut;
                g[side] += m->d->value[i] - m->score[i];
                n[side]++;
            }
            if (n[0] < MIN_DATA || n[1] < MIN_DATA)
                continue;
            double all = g[0] + g[1];
            double gain = g[0] * g[0] / n[0] + g[1] * g[1] / n[1] - all * all / (n[0] + n[1]);
            if (gain - cost > best->gain + 1e-9)
                *best = (plain_split){gain - cost, cut, column};
        }
    }
}

static void grow_plain(plain *m) {
    int n_leaves = 1;
    memset(m->leaf, 0, sizeof m->leaf);
    while (n_leaves < LEAVES) {
        plain_split best = {0}, one;
        int at = -1;
        for (int k = 0; k < n_leaves; k++) {
            best_of_leaf(m, k, &one);
            if (one.gain > best.gain) {
                best = one;
                at = k;
            }
        }
        if (at < 0)
            break;
        m->bought[best.column] = true;
        for (int i = 0; i < N; i++) {
            if (m->leaf[i] != at)
                continue;
            m->seen[best.column][i] = true;
            if (m->d->columns[best.column].num[i] > best.cut)
                m->leaf[i] = n_leaves;
        }
        n_leaves++;
    }
    double sum[LEAVES] = {0}, n[LEAVES] = {0};
    for (int i = 0; i < N; i++) {
        sum[m->leaf[i]] += m->d->value[i] - m->score[i];
        n[m->leaf[i]]++;
    }
    for (int i = 0; i < N; i++)
        m->score[i] += n_leaves > 1 ? 0.5 * sum[m->leaf[i]] / n[m->leaf[i]] : 0;
}

static json_t *map_of(const double *values) {
    json_t *map = json_object();
    for (int j = 0; j < COLUMNS; j++)
        json_object_set_new(map, names[j], json_real(values[j]));
    return map;
}

static void costs_are_the_plain_ones(void **state) {
    static const prices cases[] = {
        {0, {0, 0, 0}, {0, 0, 0}},        {0.05, {0, 0, 0}, {0, 0, 0}},
        {0, {600, 0, 30}, {0, 0, 0}},     {0, {1e6, 100, 0}, {0, 0, 0}},
        {0, {0, 0, 0}, {0.1, 0.2, 0.05}}, {0.01, {300, 20, 0}, {0, 0.1, 0.02}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        toy d;
        simple_init(&d, 3 + c);
        plain *m = qn_new(plain);
        m->d = &d;
        m->costs = &cases[c];
        for (int i = 0; i < N; i++)
            m->score[0] += d.value[i] / N;
        for (int i = 1; i < N; i++)
            m->score[i] = m->score[0];
        for (int t = 0; t < TREES; t++)
            grow_plain(m);
        qn_gbdt_params p = quick();
        qn_cleanup(qn_json_free) json_t *coupled = map_of(cases[c].coupled);
        qn_cleanup(qn_json_free) json_t *lazy = map_of(cases[c].lazy);
        p.cegb_penalty_feature_coupled = coupled;
        p.cegb_penalty_feature_lazy = lazy;
        p.cegb_penalty_split = 2 * cases[c].split;
        p.cegb_tradeoff = 1;
        if (cases[c].split > 0) { /* the product counts */
            p.cegb_penalty_split = cases[c].split / 4;
            p.cegb_tradeoff = 4;
            for (int j = 0; j < COLUMNS; j++) {
                json_object_set_new(coupled, names[j], json_real(cases[c].coupled[j] / 4));
                json_object_set_new(lazy, names[j], json_real(cases[c].lazy[j] / 4));
            }
        }
        qn_learner *learner = fit(&p, &d);
        double raw[N];
        learner->family->predict(learner, &d.x, 0, N, raw);
        for (int i = 0; i < N; i++)
            assert_near(raw[i], m->score[i], 5e-3);
        qn__gbdt_free(learner);
        qn_freep(&m);
        toy_done(&d);
    }
}

static void a_feature_that_counts_for_nothing_is_not_used(void **state) {
    toy d;
    simple_init(&d, 2);
    qn_gbdt_params p = quick();
    qn_cleanup(qn_json_free) json_t *map = json("{\"a\": \"0\", \"few\": 0.001}");
    qn_cleanup(qn_json_free) json_t *list = json("[0, 1, 0.001]");
    double importance[2][COLUMNS];
    for (int policy = 0; policy < 2; policy++) {
        p.grow_policy = policy ? "symmetric" : "leafwise";
        for (int i = 0; i < 2; i++) {
            p.feature_contri = i ? list : map;
            qn_learner *m = fit(&p, &d);
            m->family->importance(m, importance[i]);
            qn__gbdt_free(m);
        }
        assert_memory_equal(importance[0], importance[1], sizeof importance[0]);
        assert_true(importance[0][0] == 0 && importance[0][1] > 0.9);
    }
    toy_done(&d);
}

/* ---- forced splits ----------------------------------------------------------------------------- */

static void check_node(const qn__gbdt *m, const qn__gbdt_node *node, uint32_t column, double cut) {
    assert_false(node->is_leaf);
    assert_int_equal(m->slot_column[qn__gbdt_node_slot(m, node)], column);
    assert_false(qn__gbdt_node_goes_right(m, node, cut - 0.1));
    assert_true(qn__gbdt_node_goes_right(m, node, cut + 0.75));
}

static void trees_begin_with_forced_splits(void **state) {
    toy d;
    simple_init(&d, 4);
    d.x.n_features = 4;
    qn_cleanup(qn_json_free) json_t *forced = json(
        "{\"feature\": \"few\", \"threshold\": \"2\", \"left\": {\"feature\": 3, \"threshold\": 1,"
        " \"right\": {\"feature\": \"b\", \"threshold\": -0.5}}}");
    const char *const policies[] = {"leafwise", "depthwise"};
    for (int k = 0; k < 4; k++) {
        qn_gbdt_params p = quick();
        p.grow_policy = policies[k % 2];
        p.forced_splits = forced;
        p.num_leaves = 12;
        p.feature_fraction = k < 2 ? 1 : 0.3; /* forced all the same */
        qn_learner *learner = fit(&p, &d);
        const qn__gbdt *m = (const qn__gbdt *)learner;
        for (int32_t t = 0; t < m->n_trees; t++) {
            qn__gbdt_node root = qn__gbdt_node_at(m, m->start[t], 0);
            check_node(m, &root, 2, 2);
            qn__gbdt_node left = qn__gbdt_node_at(m, m->start[t], root.to);
            assert_int_equal(m->slot_column[qn__gbdt_node_slot(m, &left)], 3);
            for (int code = -1; code < 3; code++)
                assert_int_equal(qn__gbdt_node_goes_right(m, &left, code), code != 1);
            qn__gbdt_node inner = qn__gbdt_node_at(m, m->start[t], left.to + 1);
            check_node(m, &inner, 1, -0.5);
        }
        qn__gbdt_free(learner);
    }
    toy_done(&d);
}

/* Three leaves are all forced: the prediction is the mean of the group. */
static void leaves_of_forced_splits_hold_means(void **state) {
    toy d;
    simple_init(&d, 5);
    qn_cleanup(qn_json_free) json_t *forced = json(
        "{\"feature\": \"b\", \"threshold\": 0.5,"
        " \"right\": {\"feature\": \"a\", \"threshold\": 0}}");
    qn_gbdt_params p = quick();
    p.forced_splits = forced;
    p.num_leaves = 3;
    p.num_iterations = 1;
    p.learning_rate = 1;
    qn_learner *m = fit(&p, &d);
    double raw[N], sum[3] = {0}, n[3] = {0};
    m->family->predict(m, &d.x, 0, N, raw);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < N; i++) {
            int group = d.columns[1].num[i] <= 0.5 ? 0 : d.columns[0].num[i] <= 0 ? 1 : 2;
            sum[group] += pass ? 0 : d.value[i];
            n[group] += !pass;
            if (pass)
                assert_near(raw[i], sum[group] / n[group], 2e-3);
        }
    qn__gbdt_free(m);
    toy_done(&d);
}

/* What parts nothing, or too little, is left out with all below it. */
static void impossible_forced_splits_are_left_out(void **state) {
    toy d;
    simple_init(&d, 6);
    qn_gbdt_params p = quick();
    qn_learner *unforced = fit(&p, &d);
    const char *const texts[] = {
        "{\"feature\": \"a\", \"threshold\": 100,"
        " \"left\": {\"feature\": \"b\", \"threshold\": 0}}",
        "{\"feature\": \"a\", \"threshold\": -3.25}", "{}"};
    double want[N], raw[N];
    unforced->family->predict(unforced, &d.x, 0, N, want);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        qn_cleanup(qn_json_free) json_t *forced = json(texts[i]);
        p.forced_splits = forced;
        qn_learner *m = fit(&p, &d);
        m->family->predict(m, &d.x, 0, N, raw);
        assert_memory_equal(raw, want, sizeof raw);
        qn__gbdt_free(m);
    }
    qn__gbdt_free(unforced);
    toy_done(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs_are_the_plain_ones),
        cmocka_unit_test(a_feature_that_counts_for_nothing_is_not_used),
        cmocka_unit_test(trees_begin_with_forced_splits),
        cmocka_unit_test(leaves_of_forced_splits_hold_means),
        cmocka_unit_test(impossible_forced_splits_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
