/* The options of growth of family gbdt: what each promises, checked from the outside. */
#include <stdio.h>
#include <stdlib.h>

#include "gbdt_fit.h"

static qn_gbdt_params quick(void) {
    qn_gbdt_params p;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    p.num_iterations = 20;
    p.num_leaves = 15;
    return p;
}

/* A matrix of two numbers: 0 .. 99 in turn, and a coin; y = a step of the first. */
typedef struct steps {
    qn_feature features[2];
    qn_matrix_column columns[2];
    qn_matrix x;
    double *y;
} steps;

static void steps_init(steps *s, int64_t n, int32_t n_features) {
    memset(s, 0, sizeof *s);
    qn_rng rng;
    qn_rng_init(&rng, 5);
    s->y = qn_new_array(double, n);
    for (int j = 0; j < 2; j++)
        s->columns[j].num = qn_new_array(double, n);
    for (int64_t i = 0; i < n; i++) {
        s->columns[0].num[i] = (double)(i % 100);
        s->columns[1].num[i] = (double)qn_rng_below(&rng, 2);
        s->y[i] = (i % 100 >= 50) + 0.01 * s->columns[1].num[i];
    }
    s->x = (qn_matrix){.n_rows = n, .n_features = n_features, .features = s->features,
                       .columns = s->columns};
}

static void steps_done(steps *s) {
    qn_freep(&s->y);
    qn_freep(&s->columns[0].num);
    qn_freep(&s->columns[1].num);
}

/* ---- values ---------------------------------------------------------------------------------- */

/* A limit that nothing reaches sends all splits through the general search. */
static void general_search_finds_what_the_fast_one_does(void **state) {
    toy d;
    toy_init(&d, 3000, 1);
    for (int l1 = 0; l1 < 2; l1++) {
        qn_gbdt_params p = quick();
        p.lambda_l1 = l1;
        p.lambda_l2 = 2 * l1;
        qn_fit_input in = regression(&d);
        qn_learner *fast = fit(&p, &in, NULL);
        p.max_delta_step = 1e9;
        qn_learner *general = fit(&p, &in, NULL);
        double *a = predictions(fast, &d.x), *b = predictions(general, &d.x);
        for (int64_t i = 0; i < d.x.n_rows; i++)
            assert_near(a[i], b[i], 1e-6);
        qn_freep(&a);
        qn_freep(&b);
        qn__gbdt_free(fast);
        qn__gbdt_free(general);
    }
    toy_done(&d);
}

static void a_tree_without_splits_adds_nothing(void **state) {
    toy d;
    toy_init(&d, 200, 13);
    qn_gbdt_params p = quick();
    p.min_data_in_leaf = 150;
    p.path_smooth = 1;
    qn_fit_input in = regression(&d);
    qn_learner *m = fit(&p, &in, NULL);
    double *raw = predictions(m, &d.x), base = 0;
    for (int i = 0; i < 200; i++)
        base += d.value[i] / 200;
    for (int i = 0; i < 200; i++)
        assert_near(raw[i], base, 1e-12);
    qn_freep(&raw);
    qn__gbdt_free(m);
    toy_done(&d);
}

static void no_leaf_steps_beyond_the_limit(void **state) {
    toy d;
    toy_init(&d, 2000, 2);
    qn_gbdt_params p = quick();
    p.num_iterations = 1;
    p.learning_rate = 0.5;
    p.max_delta_step = 0.3;
    qn_fit_input in = regression(&d);
    qn_learner *m = fit(&p, &in, NULL);
    double *raw = predictions(m, &d.x), base = 0, most = 0;
    for (int64_t i = 0; i < d.x.n_rows; i++)
        base += d.value[i] / (double)d.x.n_rows;
    for (int64_t i = 0; i < d.x.n_rows; i++)
        most = fmax(most, fabs(raw[i] - base));
    assert_near(most, 0.15, 1e-6);
    qn_freep(&raw);
    qn__gbdt_free(m);
    toy_done(&d);
}

/* The rows that reach a node, and what its value must be: the mean of their residuals, drawn to the
 * parent's value as path_smooth rows would. */
static void check_smooth(const qn__gbdt *m, const toy *d, uint32_t at, const int64_t *rows,
                         int64_t n, double base, double parent, bool root, double smooth) {
    double mean = 0, k = (double)n / smooth;
    for (int64_t i = 0; i < n; i++)
        mean += (d->value[rows[i]] - base) / (double)n;
    double value = root ? mean : mean * k / (k + 1) + parent / (k + 1);
    qn__gbdt_node node = qn__gbdt_node_at(m, m->start[0], at);
    if (node.is_leaf) {
        assert_near(m->value[qn__gbdt_leaf_start(m, 0) + node.to], value, 2e-3);
        return;
    }
    uint32_t slot = qn__gbdt_node_slot(m, &node);
    int64_t *side = qn_new_array(int64_t, n + 1);
    for (uint32_t right = 0; right < 2; right++) {
        int64_t n_side = 0;
        for (int64_t i = 0; i < n; i++) {
            double x = qn__matrix_value(&d->x, (int32_t)m->slot_column[slot], rows[i]);
            if (qn__gbdt_node_goes_right(m, &node, x) == right)
                side[n_side++] = rows[i];
        }
        assert_true(n_side > 0);
        check_smooth(m, d, node.to + right, side, n_side, base, value, false, smooth);
    }
    qn_freep(&side);
}

static void leaves_are_smoothed_along_the_path(void **state) {
    enum { N = 3000 };
    toy d;
    toy_init(&d, N, 3);
    qn_gbdt_params p = quick();
    p.num_iterations = 1;
    p.learning_rate = 1;
    p.path_smooth = 80;
    p.cat_l2 = 0;
    qn_fit_input in = regression(&d);
    int64_t *rows = qn_new_array(int64_t, N);
    double base = 0;
    for (int64_t i = 0; i < N; i++) {
        rows[i] = i;
        base += d.value[i] / N;
    }
    for (int i = 0; i < 2; i++) {
        p.grow_policy = i ? "symmetric" : "leafwise";
        qn_learner *m = fit(&p, &in, NULL);
        assert_true(((const qn__gbdt *)m)->n_nodes > 20);
        check_smooth((const qn__gbdt *)m, &d, 0, rows, N, base, 0, true, p.path_smooth);
        qn__gbdt_free(m);
    }
    qn_freep(&rows);
    toy_done(&d);
}

/* ---- randomness ------------------------------------------------------------------------------ */

/* Where the root of tree t parts the numbers 0 .. 99: the least that goes right. */
static int root_of(const qn__gbdt *m, int32_t t) {
    qn__gbdt_node node = qn__gbdt_node_at(m, m->start[t], 0);
    int x = 0;
    while (x < 100 && !qn__gbdt_node_goes_right(m, &node, x))
        x++;
    return x;
}

static void check_random_thresholds(const char *policy) {
    enum { TREES = 500 };
    steps s;
    steps_init(&s, 1000, 1);
    qn_gbdt_params p = quick();
    p.grow_policy = policy;
    p.max_depth = 1;
    p.num_iterations = TREES;
    p.num_leaves = 2;
    p.learning_rate = 1e-9; /* all trees see the same gradients */
    p.min_data_in_leaf = 1;
    int roots[3][TREES];
    for (int i = 0; i < 3; i++) {
        qn_fit_input in = {.train = {.x = &s.x, .y = s.y}, .task = QN_TASK_REGRESSION,
                           .seed = i == 2 ? 8 : 7};
        p.extra_trees = false;
        qn_learner *m = fit(&p, &in, NULL);
        for (int t = 0; t < TREES; t++)
            assert_int_equal(root_of((const qn__gbdt *)m, t), 50);
        qn__gbdt_free(m);
        p.extra_trees = true;
        m = fit(&p, &in, NULL);
        assert_int_equal(((const qn__gbdt *)m)->n_trees, TREES);
        for (int t = 0; t < TREES; t++)
            roots[i][t] = root_of((const qn__gbdt *)m, t);
        qn__gbdt_free(m);
    }
    assert_memory_equal(roots[0], roots[1], sizeof roots[0]);
    assert_memory_not_equal(roots[0], roots[2], sizeof roots[0]);
    /* 99 bounds, each as likely: in 500 draws all but 0.6 of them, and 1 .. 99 on average 50. */
    bool seen[101] = {false};
    double mean = 0;
    int n_seen = 0;
    for (int t = 0; t < TREES; t++) {
        mean += roots[0][t] / (double)TREES;
        n_seen += !seen[roots[0][t]];
        seen[roots[0][t]] = true;
    }
    assert_true(n_seen >= 92 && n_seen <= 99 && !seen[0] && !seen[100]);
    assert_near(mean, 50, 4 * 28.6 / sqrt(TREES));
    steps_done(&s);
}

static void thresholds_of_extra_trees_are_random_and_seeded(void **state) {
    check_random_thresholds("leafwise");
    check_random_thresholds("symmetric");
}

static void extra_trees_still_learn(void **state) {
    toy d;
    toy_init(&d, 3000, 4);
    qn_gbdt_params p = quick();
    p.extra_trees = true;
    p.num_iterations = 100;
    qn_fit_input in = regression(&d);
    qn_learner *m = fit(&p, &in, NULL);
    assert_true(squared_error(m, &d) < 0.6);
    qn__gbdt_free(m);
    toy_done(&d);
}

/* Of two features each node may use one: the better one is at half of the roots, and trees mix
 * both. */
static void nodes_have_features_of_their_own(void **state) {
    enum { TREES = 400 };
    steps s;
    steps_init(&s, 1000, 2);
    qn_gbdt_params p = quick();
    p.num_iterations = TREES;
    p.num_leaves = 4;
    p.learning_rate = 1e-9;
    p.feature_fraction_bynode = 0.5;
    qn_fit_input in = {.train = {.x = &s.x, .y = s.y}, .task = QN_TASK_REGRESSION, .seed = 3};
    qn_learner *learner = fit(&p, &in, NULL);
    const qn__gbdt *m = (const qn__gbdt *)learner;
    int n_better = 0, n_mixed = 0;
    for (int32_t t = 0; t < TREES; t++) {
        qn__gbdt_node root = qn__gbdt_node_at(m, m->start[t], 0);
        uint32_t at_root = m->slot_column[qn__gbdt_node_slot(m, &root)];
        bool mixed = false;
        for (uint32_t side = 0; side < 2; side++) {
            qn__gbdt_node node = qn__gbdt_node_at(m, m->start[t], root.to + side);
            mixed |= !node.is_leaf && m->slot_column[qn__gbdt_node_slot(m, &node)] != at_root;
        }
        n_better += at_root == 0;
        n_mixed += mixed;
    }
    assert_true(abs(n_better - TREES / 2) < 4 * 10); /* sd sqrt(400) / 2 = 10 */
    assert_true(n_mixed > TREES / 4);
    qn__gbdt_free(learner);
    steps_done(&s);
}

/* ---- dropped trees --------------------------------------------------------------------------- */

static void without_drops_dart_is_gbdt(void **state) {
    toy d;
    toy_init(&d, 2000, 14);
    for (int how = 0; how < 2; how++) {
        qn_gbdt_params p = quick();
        qn_fit_input in = regression(&d);
        qn_buf bytes[2] = {{0}, {0}};
        for (int dart = 0; dart < 2; dart++) {
            p.boosting = dart ? "dart" : "gbdt";
            p.drop_rate = how ? 0 : 1;
            p.skip_drop = how ? 0 : 1;
            qn_learner *m = fit(&p, &in, NULL);
            assert_int_equal(qn__family_gbdt.save(m, &bytes[dart], NULL), QN_OK);
            qn__gbdt_free(m);
        }
        assert_int_equal(bytes[0].len, bytes[1].len);
        assert_memory_equal(bytes[0].data, bytes[1].data, bytes[0].len);
        qn_buf_done(&bytes[0]);
        qn_buf_done(&bytes[1]);
    }
    toy_done(&d);
}

/* When all rounds are dropped for each, every tree is grown from the start and the weights come out
 * as rate / n: rate / (1 + i) at first, then r / (r + 1) of it for r = i + 1 .. n - 1. XGBoost's are
 * rate / (rate + i) times the product of r / (r + rate). */
static void weights_follow_the_closed_form(void **state) {
    enum { N = 12 };
    for (int xgboost = 0; xgboost < 2; xgboost++) {
        qn_gbdt_params p = quick();
        p.learning_rate = 0.3;
        p.drop_rate = 1;
        p.skip_drop = 0;
        p.max_drop = 0;
        p.uniform_drop = true;
        p.xgboost_dart_mode = xgboost;
        qn__dart dart = {.params = &p, .seed = 1};
        assert_int_equal(qn__dart_replay(&dart, N, NULL), QN_OK);
        for (int i = 0; i < N; i++) {
            double want = xgboost ? i ? 0.3 / (0.3 + i) : 0.3 : 0.3 / N;
            for (int r = i + 1; xgboost && r < N; r++)
                want *= r / (r + 0.3);
            assert_near(dart.scale[i] * dart.first_rate[i], want, 1e-12);
        }
        qn__dart_done(&dart);
    }
}

static void drops_are_as_likely_as_asked(void **state) {
    enum { N = 3000 };
    qn_gbdt_params p = quick();
    p.drop_rate = 0.02;
    p.skip_drop = 0.25;
    p.max_drop = 20;
    qn__dart dart = {.params = &p, .seed = 3};
    double dropped = 0, expected = 0;
    int n_skipped = 0, most = 0;
    for (int i = 0; i < N; i++) {
        assert_int_equal(qn__dart_begin(&dart, NULL), QN_OK);
        dropped += dart.n_dropped;
        expected += 0.75 * fmin(0.02 * i, 20);
        n_skipped += i > 1000 && dart.n_dropped == 0;
        most = dart.n_dropped > most ? dart.n_dropped : most;
        qn__dart_end(&dart);
    }
    assert_near(n_skipped, 500, 80);
    assert_int_equal(most, 20);
    assert_true(dropped < expected && dropped > 0.85 * expected); /* max_drop cuts the tail */
    qn__dart_done(&dart);
}

/* All dropped each time: the mean of trees that are alike but for rounding is one of them. */
static void the_mean_of_equal_trees_is_one_tree(void **state) {
    toy d;
    toy_init(&d, 3000, 15);
    qn_gbdt_params p = quick();
    p.learning_rate = 1;
    p.num_iterations = 1;
    qn_fit_input in = regression(&d);
    qn_learner *one = fit(&p, &in, NULL);
    p.boosting = "dart";
    p.num_iterations = 8;
    p.drop_rate = 1;
    p.skip_drop = 0;
    qn_learner *mean = fit(&p, &in, NULL);
    double *a = predictions(one, &d.x), *b = predictions(mean, &d.x);
    for (int64_t i = 0; i < d.x.n_rows; i++)
        assert_near(a[i], b[i], 0.01);
    qn_freep(&a);
    qn_freep(&b);
    qn__gbdt_free(one);
    qn__gbdt_free(mean);
    toy_done(&d);
}

typedef struct rounds_seen {
    double raw[40][3 * 500];
    int n;
} rounds_seen;

/* Best in round 17. */
static double remember(void *user, qn_link link, const double *raw, double *without) {
    rounds_seen *seen = user;
    assert_null(without);
    memcpy(seen->raw[seen->n], raw, sizeof seen->raw[0]);
    return fabs(seen->n++ - 16.0);
}

static void early_stopping_goes_back_to_the_weights_of_then(void **state) {
    toy d, v;
    toy_init(&d, 1500, 16);
    toy_init(&v, 500, 17);
    rounds_seen *seen = qn_new(rounds_seen);
    qn_gbdt_params p = quick();
    p.boosting = "dart";
    p.num_iterations = 40;
    p.early_stopping_round = 15;
    p.skip_drop = 0.2;
    p.drop_rate = 0.3;
    qn_fit_input in = {.train = {.x = &d.x, .y = d.klass}, .valid = {.x = &v.x, .y = v.klass},
                       .task = QN_TASK_MULTICLASS, .n_classes = TOY_CLASSES, .seed = 7,
                       .loss = remember, .user = seen};
    qn_learner *m = fit(&p, &in, NULL);
    assert_int_equal(((const qn__gbdt *)m)->n_trees, 17 * 3);
    assert_int_equal(seen->n, 32);
    double *raw = predictions(m, &v.x);
    for (int i = 0; i < 3 * 500; i++)
        assert_near(raw[i], seen->raw[16][i], 1e-6);
    qn_freep(&raw);
    qn_freep(&seen);
    qn__gbdt_free(m);
    toy_done(&d);
    toy_done(&v);
}

/* ---- samples of rows ------------------------------------------------------------------------- */

enum { GOSS_ROWS = 2000, GOSS_TOP = 400, GOSS_OTHER = 200 };

/* Two outputs; the rows' sizes |g h| summed over both are far apart, many are equal. */
static void make_gradients(float *g, float *h) {
    qn_rng rng;
    qn_rng_init(&rng, 11);
    for (int i = 0; i < 2 * GOSS_ROWS; i++) {
        g[i] = (float)((double)(1 + qn_rng_below(&rng, 50)) * (qn_rng_below(&rng, 2) ? 1 : -1));
        h[i] = 0.5f;
    }
}

static double size_of(const float *g, const float *h, int64_t i) {
    return fabs((double)g[i] * (double)h[i])
           + fabs((double)g[GOSS_ROWS + i] * (double)h[GOSS_ROWS + i]);
}

/* One sample: its top rows are the largest, as they were; the others count (1 - a) / b times.
 * Returns the sum of the first output's gradients in it. */
static double check_goss(const float *g, const float *h, uint64_t seed, int n_threads) {
    qn_gbdt_params p = quick();
    float own_g[2 * GOSS_ROWS], own_h[2 * GOSS_ROWS];
    uint32_t scratch[GOSS_ROWS], rows[GOSS_ROWS];
    qn__range range[2] = {{50, 0.5f}, {50, 0.5f}};
    int64_t n = 0;
    memcpy(own_g, g, sizeof own_g);
    memcpy(own_h, h, sizeof own_h);
    qn__goss_input in = {.params = &p, .g = own_g, .h = own_h, .scratch = scratch, .seed = seed,
                         .n = GOSS_ROWS, .n_outputs = 2, .n_threads = n_threads};
    assert_int_equal(qn__sample_goss(&in, rows, range, &n, NULL), QN_OK);
    assert_int_equal(n, GOSS_TOP + GOSS_OTHER);
    bool seen[GOSS_ROWS] = {false};
    double sum = 0, least_top = INFINITY, most_left = 0;
    int n_top = 0;
    for (int64_t k = 0; k < GOSS_ROWS; k++) {
        uint32_t i = rows[k];
        bool multiplied = own_h[i] != h[i];
        assert_false(seen[i]);
        seen[i] = true;
        assert_true(k == 0 || k == n || rows[k - 1] < i);
        if (k < n && !multiplied) {
            n_top++;
            least_top = fmin(least_top, size_of(g, h, i));
        } else {
            most_left = fmax(most_left, size_of(g, h, i));
        }
        for (int o = 0; o < 2; o++) {
            double times = k < n && multiplied ? 8 : 1; /* (2000 - 400) / 200 */
            assert_near(own_g[o * GOSS_ROWS + i], times * (double)g[o * GOSS_ROWS + i], 1e-4);
            assert_near(own_h[o * GOSS_ROWS + i], times * (double)h[o * GOSS_ROWS + i], 1e-6);
            assert_true(range[o].g >= fabsf(own_g[o * GOSS_ROWS + i]) || k >= n);
        }
        sum += k < n ? (double)own_g[i] : 0;
    }
    assert_int_equal(n_top, GOSS_TOP);
    assert_true(least_top >= most_left);
    return sum;
}

static void one_side_sampling_is_unbiased(void **state) {
    enum { SEEDS = 600 };
    float g[2 * GOSS_ROWS], h[2 * GOSS_ROWS];
    make_gradients(g, h);
    double all = 0, mean = 0, square = 0;
    for (int i = 0; i < GOSS_ROWS; i++)
        all += (double)g[i];
    for (uint64_t s = 0; s < SEEDS; s++) {
        double sum = check_goss(g, h, s, 1);
        assert_true(s > 3 || sum == check_goss(g, h, s, 3));
        mean += sum / SEEDS;
        square += sum * sum / SEEDS;
    }
    double error = sqrt((square - mean * mean) / SEEDS);
    assert_true(error > 0);
    assert_near(mean, all, 4 * error);
}

static void a_third_of_the_rows_learns_as_well(void **state) {
    toy d;
    toy_init(&d, 6000, 12);
    qn_gbdt_params p = quick();
    p.num_iterations = 60;
    qn_fit_input in = regression(&d);
    qn_learner *all = fit(&p, &in, NULL);
    p.data_sample_strategy = "goss";
    qn_learner *goss = fit(&p, &in, NULL);
    p.num_iterations = 10; /* 1 / learning_rate rounds are those of all rows */
    qn_learner *goss_start = fit(&p, &in, NULL);
    p.data_sample_strategy = "bagging";
    qn_learner *all_start = fit(&p, &in, NULL);
    assert_true(squared_error(goss, &d) < 1.5 * squared_error(all, &d));
    assert_true(squared_error(goss, &d) != squared_error(all, &d));
    assert_true(squared_error(goss_start, &d) == squared_error(all_start, &d));
    qn__gbdt_free(all);
    qn__gbdt_free(goss);
    qn__gbdt_free(goss_start);
    qn__gbdt_free(all_start);
    toy_done(&d);
}

static void classes_are_bagged_by_their_shares(void **state) {
    enum { N = 20000 };
    double *y = qn_new_array(double, N);
    uint32_t *rows = qn_new_array(uint32_t, N);
    for (int i = 0; i < N; i++)
        y[i] = i % 4 == 0;
    qn_gbdt_params p = quick();
    p.pos_bagging_fraction = 0.9;
    p.neg_bagging_fraction = 0.2;
    p.bagging_fraction = 0.5; /* has no say */
    int64_t n = qn__sample_bag(&p, y, N, 99, rows), n_positive = 0;
    for (int64_t k = 0; k < n; k++)
        n_positive += y[rows[k]] > 0;
    assert_near(n_positive, 4500, 4 * sqrt(5000 * 0.9 * 0.1));
    assert_near(n - n_positive, 3000, 4 * sqrt(15000 * 0.2 * 0.8));
    qn_freep(&y);
    qn_freep(&rows);
}

/* ---- constraints ----------------------------------------------------------------------------- */

static void check_path(const qn__gbdt *m, int32_t tree, uint32_t at, unsigned used,
                       const unsigned *groups, int n_groups, int *n_mixed) {
    qn__gbdt_node node = qn__gbdt_node_at(m, m->start[tree], at);
    if (node.is_leaf) {
        bool fits = false;
        for (int g = 0; g < n_groups; g++)
            fits |= (used & ~groups[g]) == 0;
        *n_mixed += !fits;
        return;
    }
    used |= 1u << m->slot_column[qn__gbdt_node_slot(m, &node)];
    check_path(m, tree, node.to, used, groups, n_groups, n_mixed);
    check_path(m, tree, node.to + 1, used, groups, n_groups, n_mixed);
}

static void no_path_mixes_groups(void **state) {
    toy d;
    toy_init(&d, 3000, 5);
    toy_named(&d);
    /* a b | b many s1 | the rest */
    const unsigned groups[] = {1u << 0 | 1u << 1, 1u << 1 | 1u << 4 | 1u << 5,
                               1u << 2 | 1u << 3 | 1u << 6 | 1u << 7 | 1u << 8};
    qn_cleanup(qn_json_free) json_t *lists = json("[[\"a\", \"b\"], [\"b\", \"many\", \"s1\"]]");
    unsigned all = 0;
    for (int with = 0; with < 2; with++) {
        qn_gbdt_params p = quick();
        p.interaction_constraints = with ? lists : NULL;
        p.feature_fraction_bynode = with ? 0.8 : 1;
        p.num_iterations = 60;
        qn_fit_input in = regression(&d);
        qn_learner *learner = fit(&p, &in, NULL);
        const qn__gbdt *m = (const qn__gbdt *)learner;
        int n_mixed = 0;
        for (int32_t t = 0; t < m->n_trees; t++)
            check_path(m, t, 0, 0, groups, 3, &n_mixed);
        for (int32_t s = 0; with && s < m->n_slots; s++)
            all |= 1u << m->slot_column[s];
        assert_true(with ? n_mixed == 0 : n_mixed > 100);
        qn__gbdt_free(learner);
    }
    assert_true((all & 0x3f) == 0x3f); /* the columns not named are in use, too */
    toy_done(&d);
}

/* Rows in pairs that differ in one column only, the second having more of it. */
static void make_pairs(toy *d, int column, qn_rng *rng) {
    for (int64_t i = 0; i + 1 < d->x.n_rows; i += 2) {
        for (int j = 0; j < 5; j++) {
            qn_matrix_column *c = &d->columns[j];
            if (c->num)
                c->num[i + 1] = c->num[i];
            else
                c->code[i + 1] = c->code[i];
        }
        double x = 3 * qn_rng_normal(rng), y = 3 * qn_rng_normal(rng);
        d->columns[column].num[i] = fmin(x, y);
        d->columns[column].num[i + 1] = fmax(x, y);
    }
    /* All sparse values are 0. */
    for (int j = 5; j < TOY_FEATURES; j++)
        d->columns[j].n_set = 0;
}

static int n_violations(const qn_learner *m, const qn_matrix *x, int direction) {
    double *raw = predictions(m, x);
    int n = 0;
    for (int64_t i = 0; i + 1 < x->n_rows; i += 2)
        for (int64_t k = 0; k < m->n_outputs; k++)
            n += direction * (raw[(i + 1) * m->n_outputs + k] - raw[i * m->n_outputs + k]) < 0;
    qn_freep(&raw);
    return n;
}

/* How many of 3 x 5,000 pairs break {a: 1, b: -1, few: 1}. */
static int n_broken(const qn_learner *m) {
    const int directions[] = {1, -1, 1};
    int n = 0;
    qn_rng rng;
    qn_rng_init(&rng, 6);
    for (int column = 0; column < 3; column++) {
        toy pairs;
        toy_init(&pairs, 10000, 20 + (uint64_t)column);
        make_pairs(&pairs, column, &rng);
        n += n_violations(m, &pairs.x, directions[column]);
        toy_done(&pairs);
    }
    return n;
}

/* All neighbours on a grid of the first three columns, the others as in some rows: pairs that break
 * {a: 1, b: -1, few: 1}. The second column is missing at one end of the grid, too. */
static int n_broken_on_grid(const qn_learner *m, const toy *d) {
    enum { STEPS = 14, FEW = 5, OTHERS = 6, CELLS = STEPS * (STEPS + 1) * FEW };
    toy g;
    toy_init(&g, CELLS, 1);
    double *raw = NULL;
    int n = 0;
    for (int other = 0; other < OTHERS; other++) {
        for (int i = 0; i < CELLS; i++) {
            int b = i / STEPS % (STEPS + 1);
            g.columns[0].num[i] = (i % STEPS - STEPS / 2) / 2.5;
            g.columns[1].num[i] = b == STEPS ? NAN : (b - STEPS / 2) / 2.5;
            g.columns[2].num[i] = i / STEPS / (STEPS + 1);
            g.columns[3].code[i] = d->columns[3].code[other];
            g.columns[4].code[i] = d->columns[4].code[other];
        }
        for (int j = 5; j < TOY_FEATURES; j++)
            g.columns[j].n_set = 0;
        raw = predictions(m, &g.x);
        for (int i = 0; i < CELLS; i++) {
            int b = i / STEPS % (STEPS + 1), few = i / STEPS / (STEPS + 1);
            n += i % STEPS + 1 < STEPS && raw[i + 1] < raw[i];
            n += b + 1 < STEPS && raw[i + STEPS] > raw[i];
            n += few + 1 < FEW && raw[i + STEPS * (STEPS + 1)] < raw[i];
        }
        qn_freep(&raw);
    }
    toy_done(&g);
    return n;
}

/* b has an effect of b^2, which neither direction fits: there the constraint has work to do. */
static void predictions_are_monotone(void **state) {
    toy d;
    toy_init(&d, 4000, 7);
    toy_named(&d);
    qn_cleanup(qn_json_free) json_t *map = json("{\"a\": 1, \"b\": -1, \"few\": \"1\"}");
    const char *const methods[] = {"basic", "intermediate", "advanced"};
    const char *const policies[] = {"leafwise", "leafwise", "depthwise", "symmetric", "symmetric"};
    double error[3];
    for (int how = 0; how < 5; how++) {
        qn_gbdt_params p = quick();
        p.num_iterations = 40;
        p.num_leaves = 31;
        p.path_smooth = how == 1 || how == 4 ? 5 : 0;
        p.extra_trees = how == 1 || how == 4;
        p.grow_policy = policies[how];
        qn_fit_input in = regression(&d);
        qn_learner *free_one = fit(&p, &in, NULL);
        assert_true(n_broken(free_one) > 500 && n_broken_on_grid(free_one, &d) > 100);
        qn__gbdt_free(free_one);
        p.monotone_constraints = map;
        for (int i = 0; i < (how < 3 ? 3 : 1); i++) {
            p.monotone_constraints_method = methods[i];
            qn_learner *m = fit(&p, &in, NULL);
            assert_int_equal(n_broken(m), 0);
            assert_int_equal(n_broken_on_grid(m, &d), 0);
            error[i] = squared_error(m, &d);
            double importance[TOY_FEATURES];
            m->family->importance(m, importance);
            assert_true(importance[0] > 0.05 && importance[2] > 0.01);
            qn__gbdt_free(m);
        }
        assert_true(how || (error[1] < 0.98 * error[0] && error[2] <= error[1]));
    }
    qn_fit_input classes = {.train = {.x = &d.x, .y = d.klass}, .task = QN_TASK_MULTICLASS,
                            .n_classes = TOY_CLASSES, .seed = 7};
    qn_gbdt_params p = quick();
    p.monotone_constraints = map;
    for (int i = 1; i < 3; i++) {
        p.monotone_constraints_method = methods[i];
        qn_learner *m = fit(&p, &classes, NULL);
        assert_int_equal(n_broken(m), 0);
        qn__gbdt_free(m);
    }
    toy_done(&d);
}

static void penalty_keeps_constrained_columns_from_the_root(void **state) {
    toy d;
    toy_init(&d, 3000, 8);
    toy_named(&d);
    qn_cleanup(qn_json_free) json_t *map = json("{\"b\": 1}");
    qn_gbdt_params p = quick();
    p.monotone_constraints = map;
    for (int k = 0; k < 4; k++) {
        int n_at_root = 0;
        p.grow_policy = k / 2 ? "symmetric" : "leafwise";
        p.monotone_penalty = k % 2;
        qn_fit_input in = regression(&d);
        qn_learner *learner = fit(&p, &in, NULL);
        const qn__gbdt *m = (const qn__gbdt *)learner;
        for (int32_t t = 0; t < m->n_trees; t++) {
            qn__gbdt_node root = qn__gbdt_node_at(m, m->start[t], 0);
            n_at_root += m->slot_column[qn__gbdt_node_slot(m, &root)] == 1;
        }
        double importance[TOY_FEATURES];
        m->learner.family->importance(learner, importance);
        assert_true(importance[1] > 0);
        assert_true(k % 2 ? n_at_root == 0 : n_at_root > 0);
        qn__gbdt_free(learner);
    }
    toy_done(&d);
}

/* ---- all together ---------------------------------------------------------------------------- */

static void bytes_do_not_depend_on_threads(void **state) {
    toy d;
    toy_init(&d, 40000, 9);
    toy_named(&d);
    const char *const options[] = {
        "{\"data_sample_strategy\": \"goss\", \"learning_rate\": 1}",
        "{\"boosting\": \"dart\", \"skip_drop\": 0, \"drop_rate\": 0.5}",
        "{\"bagging_freq\": 1, \"pos_bagging_fraction\": 0.3, \"objective\": \"binary\"}",
        "{\"extra_trees\": true, \"feature_fraction_bynode\": 0.6, \"path_smooth\": 3}",
        "{\"monotone_constraints\": {\"a\": 1, \"b\": -1}, \"max_delta_step\": 0.5}",
        "{\"monotone_constraints\": {\"a\": 1, \"b\": -1, \"s1\": 1},"
        " \"monotone_constraints_method\": \"intermediate\", \"monotone_penalty\": 0.5}",
        "{\"interaction_constraints\": [[\"a\", \"b\"], [\"many\"]], \"feature_fraction\": 0.9}",
        "{\"cegb_penalty_split\": 0.001, \"feature_contri\": {\"a\": 0.3},"
        " \"forced_splits\": {\"feature\": \"b\", \"threshold\": 0.5, \"left\": {\"feature\": 3,"
        " \"threshold\": 1}, \"right\": {\"feature\": \"a\", \"threshold\": 0}}}",
        "{\"cegb_penalty_feature_coupled\": {\"a\": 900, \"b\": 20, \"many\": 5, \"s1\": 9},"
        " \"cegb_penalty_feature_lazy\": {\"few\": 0.01, \"kind\": 0.005}}",
        "{\"monotone_constraints\": {\"a\": 1, \"b\": -1, \"few\": 1},"
        " \"monotone_constraints_method\": \"advanced\", \"forced_splits\":"
        " {\"feature\": \"many\", \"threshold\": 7}}",
        "{\"monotone_constraints\": {\"a\": 1, \"b\": -1},"
        " \"monotone_constraints_method\": \"intermediate\","
        " \"cegb_penalty_feature_coupled\": [900, 30, 20, 5, 1, 9, 8, 7, 6]}",
    };
    for (size_t o = 0; o < sizeof options / sizeof options[0]; o++) {
        qn_cleanup(qn_json_free) json_t *params = json(options[o]);
        json_object_set_new(params, "num_iterations", json_integer(3));
        json_object_set_new(params, "num_leaves", json_integer(60));
        qn_buf first = {0}, other = {0};
        const int threads[] = {1, 2, 3, 2};
        for (int i = 0; i < 4; i++) {
            /* The last time with a pool of few histograms. */
            qn_job job = {.n_threads = threads[i], .memory_bytes = i == 3 ? 1 << 16 : 0};
            qn_fit_input in = regression(&d);
            if (json_object_get(params, "objective")) {
                in.task = QN_TASK_BINARY;
                in.train.y = d.y;
                in.n_classes = 2;
            }
            qn_learner *m = fit_params(params, &in, &job);
            assert_int_equal(qn__family_gbdt.save(m, i ? &other : &first, NULL), QN_OK);
            qn__gbdt_free(m);
            if (i) {
                assert_int_equal(first.len, other.len);
                assert_memory_equal(first.data, other.data, first.len);
            }
            qn_buf_clear(&other);
        }
        qn_buf_done(&first);
        qn_buf_done(&other);
    }
    toy_done(&d);
}

static void bad_values_are_refused(void **state) {
    toy d;
    toy_init(&d, 300, 10);
    toy_named(&d);
    const char *const cases[][2] = {
        {"{\"monotone_constraints\": {\"a\": 2}}",
         "monotone_constraints: 'a' must be 1 (increasing), -1 (decreasing) or 0 (free)"},
        {"{\"monotone_constraints\": {\"fev\": 1}}",
         "monotone_constraints: there is no feature 'fev': did you mean 'few'?"},
        {"{\"monotone_constraints\": {\"kind\": 1}}",
         "monotone_constraints: 'kind' holds categories, which have no order"},
        {"{\"monotone_constraints\": [1, 0]}",
         "monotone_constraints must be a map of columns to 1, -1 or 0"},
        {"{\"monotone_constraints\": 1}",
         "family gbdt: monotone_constraints must be a map or a list, not '1'"},
        {"{\"monotone_constraints\": {\"a\": 1}, \"objective\": \"regression_l1\"}",
         "monotone_constraints do not go with objective regression_l1, whose leaves hold "
         "quantiles"},
        {"{\"monotone_constraints_method\": \"strict\"}",
         "family gbdt: monotone_constraints_method must be one of basic, intermediate, advanced, "
         "not 'strict'"},
        {"{\"interaction_constraints\": {\"a\": 1}}",
         "interaction_constraints must be a list of lists of columns"},
        {"{\"interaction_constraints\": [\"a\"]}",
         "interaction_constraints must be a list of lists of columns"},
        {"{\"interaction_constraints\": [[\"zzzzzz\"]]}",
         "interaction_constraints: there is no feature 'zzzzzz'"},
        {"{\"num_leaves\": [3]}", "family gbdt: parameter num_leaves must be a plain value"},
        {"{\"feature_fraction_bynode\": 0}",
         "family gbdt: feature_fraction_bynode must be a number from 1e-06 to 1, not '0'"},
        {"{\"pos_bagging_fraction\": 0.5, \"bagging_freq\": 1}",
         "pos_bagging_fraction and neg_bagging_fraction need a binary task"},
        {"{\"data_sample_strategy\": \"goss\", \"top_rate\": 0.7, \"other_rate\": 0.5}",
         "top_rate and other_rate are 1.2 in sum, they must be at most 1"},
        {"{\"data_sample_strategy\": \"goss\", \"bagging_freq\": 1, \"bagging_fraction\": 0.5}",
         "data_sample_strategy goss takes the place of bagging: leave out bagging_fraction or "
         "bagging_freq"},
        {"{\"forced_splits\": {\"feature\": \"fev\", \"threshold\": 1}}",
         "forced_splits: there is no feature 'fev': did you mean 'few'?"},
        {"{\"forced_splits\": {\"feature\": 9, \"threshold\": 1}}",
         "forced_splits: a feature must be a name or a number from 0 to 8"},
        {"{\"forced_splits\": {\"feature\": \"a\", \"threshold\": \"x\"}}",
         "forced_splits: the threshold of a number must be a number"},
        {"{\"forced_splits\": {\"feature\": \"kind\", \"threshold\": \"x\"}}",
         "forced_splits: 'kind' has no category 'x'"},
        {"{\"forced_splits\": {\"feature\": \"a\", \"threshold\": 1, \"lefd\": {}}}",
         "forced_splits: 'lefd' is none of feature, threshold, left, right"},
        {"{\"forced_splits\": [1]}",
         "forced_splits must be a map of feature, threshold, left and right"},
        {"{\"feature_contri\": {\"a\": -1}}",
         "feature_contri: 'a' must be a number from 0 to 1e12"},
        {"{\"feature_contri\": [1, 1]}",
         "feature_contri has 2 numbers for 9 features: name the columns instead"},
        {"{\"cegb_penalty_feature_lazy\": {\"mani\": 1}}",
         "cegb_penalty_feature_lazy: there is no feature 'mani': did you mean 'many'?"},
        {"{\"path_smooth\": 1, \"min_data_in_leaf\": 1}",
         "path_smooth needs min_data_in_leaf of at least 2, not 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(&d, cases[i][0], cases[i][1]);
    toy_done(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(general_search_finds_what_the_fast_one_does),
        cmocka_unit_test(a_tree_without_splits_adds_nothing),
        cmocka_unit_test(no_leaf_steps_beyond_the_limit),
        cmocka_unit_test(leaves_are_smoothed_along_the_path),
        cmocka_unit_test(thresholds_of_extra_trees_are_random_and_seeded),
        cmocka_unit_test(extra_trees_still_learn),
        cmocka_unit_test(nodes_have_features_of_their_own),
        cmocka_unit_test(without_drops_dart_is_gbdt),
        cmocka_unit_test(weights_follow_the_closed_form),
        cmocka_unit_test(drops_are_as_likely_as_asked),
        cmocka_unit_test(the_mean_of_equal_trees_is_one_tree),
        cmocka_unit_test(early_stopping_goes_back_to_the_weights_of_then),
        cmocka_unit_test(one_side_sampling_is_unbiased),
        cmocka_unit_test(a_third_of_the_rows_learns_as_well),
        cmocka_unit_test(classes_are_bagged_by_their_shares),
        cmocka_unit_test(no_path_mixes_groups),
        cmocka_unit_test(predictions_are_monotone),
        cmocka_unit_test(penalty_keeps_constrained_columns_from_the_root),
        cmocka_unit_test(bytes_do_not_depend_on_threads),
        cmocka_unit_test(bad_values_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
