/* Objectives: gradients against the derivatives of losses written down here, what weights mean, and
 * what the links make of the scores. */
#include "gbdt_data.h"
#include "learn/family_int.h"

enum { ROWS = 40, OUTPUTS = 3 };

static qn_gbdt_params defaults(void) {
    qn_gbdt_params p;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    p.num_iterations = 20;
    p.num_leaves = 15;
    return p;
}

static double softplus(double z) {
    return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
}

/* Loss of one row by its textbook; z[OUTPUTS]. Absolute losses are left out: they have no curvature. */
static double textbook(const char *name, const qn_gbdt_params *p, double y, const double *z) {
    double sum = 0;
    if (strcmp(name, "binary") == 0)
        return softplus(y > 0 ? -z[0] : z[0]);
    if (strcmp(name, "cross_entropy") == 0)
        return y * softplus(-z[0]) + (1 - y) * softplus(z[0]);
    if (strcmp(name, "multiclassova") == 0) {
        for (int k = 0; k < OUTPUTS; k++)
            sum += y == k ? p->scale_pos_weight * softplus(-z[k]) : softplus(z[k]);
        return sum;
    }
    if (strcmp(name, "multiclass") == 0) {
        for (int k = 0; k < OUTPUTS; k++)
            sum += exp(z[k]);
        return log(sum) - z[(int)y];
    }
    if (strcmp(name, "regression") == 0)
        return (z[0] - y) * (z[0] - y) / 2;
    if (strcmp(name, "gamma") == 0)
        return y * exp(-z[0]) + z[0];
    double rho = p->tweedie_variance_power; /* tweedie */
    return exp((2 - rho) * z[0]) / (2 - rho) - y * exp((1 - rho) * z[0]) / (1 - rho);
}

static void gradients_are_derivatives(void **state) {
    static const struct {
        const char *name;
        qn_task task;
    } all[] = {{"binary", QN_TASK_BINARY},           {"multiclass", QN_TASK_MULTICLASS},
               {"multiclassova", QN_TASK_MULTICLASS}, {"cross_entropy", QN_TASK_REGRESSION},
               {"regression", QN_TASK_REGRESSION},    {"gamma", QN_TASK_REGRESSION},
               {"tweedie", QN_TASK_REGRESSION}};
    double y[ROWS], w[ROWS], score[OUTPUTS * ROWS];
    float g[OUTPUTS * ROWS], h[OUTPUTS * ROWS];
    qn_rng rng;
    qn_rng_init(&rng, 31);
    for (size_t o = 0; o < sizeof all / sizeof *all; o++) {
        const qn__objective *objective;
        qn_gbdt_params p = defaults();
        p.scale_pos_weight = 2.5; /* a weight of rows before they come here, but for multiclassova */
        assert_int_equal(qn__objective_find(all[o].name, all[o].task, false, &objective, NULL),
                         QN_OK);
        int n_k = all[o].task == QN_TASK_MULTICLASS ? OUTPUTS : 1;
        for (int i = 0; i < ROWS; i++) {
            y[i] = all[o].task == QN_TASK_BINARY       ? (double)qn_rng_below(&rng, 2)
                   : all[o].task == QN_TASK_MULTICLASS ? (double)qn_rng_below(&rng, OUTPUTS)
                                                       : qn_rng_uniform(&rng);
            w[i] = 0.1 + qn_rng_uniform(&rng);
        }
        for (int i = 0; i < OUTPUTS * ROWS; i++)
            score[i] = 2 * qn_rng_normal(&rng);
        qn__objective_data d = {.params = &p, .y = y, .w = w, .n = ROWS, .n_outputs = n_k,
                                .n_threads = 1};
        objective->gradients(&d, score, 0, 7, g, h);
        objective->gradients(&d, score, 7, ROWS - 7, g, h);
        for (int i = 0; i < ROWS; i++)
            for (int k = 0; k < n_k; k++) {
                const double step = 1e-3;
                double z[OUTPUTS], low, mid, high;
                for (int c = 0; c < n_k; c++)
                    z[c] = score[c * ROWS + i];
                mid = textbook(all[o].name, &p, y[i], z);
                z[k] -= step;
                low = textbook(all[o].name, &p, y[i], z);
                z[k] += 2 * step;
                high = textbook(all[o].name, &p, y[i], z);
                double want_g = w[i] * (high - low) / (2 * step);
                double want_h = w[i] * (high - 2 * mid + low) / (step * step);
                assert_near(g[k * ROWS + i], want_g, 1e-4 * (1 + fabs(want_g)));
                assert_near(h[k * ROWS + i], want_h, 1e-4 * (1 + fabs(want_h)));
            }
    }
}

/* Target values that the objective takes. */
static double target_of(const qn__objective *o, qn_rng *rng) {
    if (o->task != QN_TASK_REGRESSION)
        return (double)qn_rng_below(rng, o->task == QN_TASK_BINARY ? 2 : OUTPUTS);
    return o->all_gradients ? (double)qn_rng_below(rng, 5) : 0.05 + 0.9 * qn_rng_uniform(rng);
}

/* For every objective: start, loss and gradients of a row of weight 3 are those of three rows; a row of
 * a ranking has partners, so its gradient is 3 times what it is alone. */
static void weights_mean_copies_everywhere(void **state) {
    enum { COPIES = 6 * ROWS };
    double y[ROWS], w[ROWS], y_all[COPIES], score[OUTPUTS * ROWS], score_all[OUTPUTS * COPIES];
    float g[OUTPUTS * ROWS], h[OUTPUTS * ROWS], g_one[OUTPUTS * ROWS], h_one[OUTPUTS * ROWS];
    int32_t query[ROWS];
    qn_rng rng;
    qn_rng_init(&rng, 37);
    for (int name = 1; qn__objective_names[name]; name++) {
        const qn__objective *o = NULL;
        for (qn_task task = QN_TASK_BINARY; !o && task <= QN_TASK_REGRESSION; task++)
            (void)!qn__objective_find(qn__objective_names[name], task, true, &o, NULL);
        if (!o)
            continue; /* custom */
        qn_gbdt_params p = defaults();
        int n_k = o->task == QN_TASK_MULTICLASS ? OUTPUTS : 1, n_all = 0;
        for (int i = 0; i < ROWS; i++) {
            y[i] = target_of(o, &rng);
            w[i] = 1 + (double)qn_rng_below(&rng, 3);
            query[i] = i / 8;
            for (int c = 0; c < (int)w[i]; c++)
                y_all[n_all++] = y[i];
        }
        for (int k = 0; k < n_k; k++)
            for (int i = 0, at = 0; i < ROWS; i++) {
                score[k * ROWS + i] = qn_rng_normal(&rng);
                for (int c = 0; c < (int)w[i]; c++)
                    score_all[k * n_all + at++] = score[k * ROWS + i];
            }
        qn__objective_data d = {.params = &p, .y = y, .w = w, .n = ROWS, .n_outputs = n_k,
                                .n_threads = 1};
        qn__objective_data plain = d, all = {.params = &p, .y = y_all, .n = n_all, .n_outputs = n_k,
                                             .n_threads = 1};
        plain.w = NULL;
        if (o->all_gradients) {
            qn__queries *queries = NULL;
            assert_int_equal(qn__queries_new(&p, y, query, ROWS, 5, 1, &queries, NULL), QN_OK);
            d.queries = plain.queries = queries;
            o->all_gradients(&d, score, g, h);
            o->all_gradients(&plain, score, g_one, h_one);
            qn__queries_free(&queries);
        } else {
            double base[OUTPUTS], base_all[OUTPUTS];
            o->gradients(&d, score, 0, ROWS, g, h);
            o->gradients(&plain, score, 0, ROWS, g_one, h_one);
            o->init(&d, base);
            o->init(&all, base_all);
            for (int k = 0; k < n_k; k++)
                assert_near(base[k], base_all[k], 1e-12);
            assert_near(o->loss(&d, score), o->loss(&all, score_all), 1e-12);
        }
        for (int i = 0; i < n_k * ROWS; i++) {
            assert_near(g[i], w[i % ROWS] * (double)g_one[i], 1e-6 * (1 + fabs((double)g[i])));
            assert_near(h[i], w[i % ROWS] * (double)h_one[i], 1e-6 * (1 + fabs((double)h[i])));
        }
    }
}

/* Balanced classes and scale_pos_weight are weights of rows, for one softmax as for one model a class. */
static void class_weights_are_weights(void **state) {
    enum { N = 1500 };
    toy d;
    toy_init(&d, N, 38);
    double *w = qn_new_array(double, N), n_of[TOY_CLASSES] = {0};
    for (int i = 0; i < N; i++)
        n_of[(int)d.klass[i]] += 1;
    static const char *const objectives[] = {"binary", "multiclass", "multiclassova"};
    for (int o = 0; o < 3; o++) {
        qn_fit_input in = {.train = {.x = &d.x, .y = o ? d.klass : d.y}, .seed = 7,
                           .task = o ? QN_TASK_MULTICLASS : QN_TASK_BINARY,
                           .n_classes = o ? TOY_CLASSES : 2};
        double n_yes = 0;
        for (int i = 0; i < N; i++)
            n_yes += d.y[i];
        for (int i = 0; i < N; i++)
            w[i] = o ? N / (TOY_CLASSES * n_of[(int)d.klass[i]])
                     : d.y[i] > 0 ? 3 * N / (2 * n_yes) : N / (2 * (N - n_yes));
        qn_gbdt_params p = defaults();
        p.objective = objectives[o];
        p.class_weight = "balanced";
        p.scale_pos_weight = o ? 1 : 3;
        qn_learner *balanced = NULL, *weighted = NULL;
        assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &balanced, NULL), QN_OK);
        p.class_weight = "none";
        p.scale_pos_weight = 1;
        in.train.weight = w;
        assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &weighted, NULL), QN_OK);
        double a[TOY_CLASSES], b[TOY_CLASSES];
        for (int i = 0; i < N; i++) {
            balanced->family->predict(balanced, &d.x, i, 1, a);
            weighted->family->predict(weighted, &d.x, i, 1, b);
            for (int k = 0; k < balanced->n_outputs; k++)
                assert_near(a[k], b[k], 1e-6);
        }
        qn_learner_free(&balanced);
        qn_learner_free(&weighted);
    }
    qn_freep(&w);
    toy_done(&d);
}

static void the_link_shares_out_sigmoids(void **state) {
    const double z[][3] = {{0, 0, 0},        {1, -2, 0.5},          {-1000, -1001, -1000},
                           {900, 5, -900},   {-650, -650, -651},    {-590, -590.5, -700},
                           {800, 800, -800}, {-INFINITY, 0, -0.25}};
    for (size_t r = 0; r < sizeof z / sizeof *z; r++) {
        double p[3], sum = 0, log_p[3], top = -INFINITY;
        memcpy(p, z[r], sizeof p);
        qn_link_apply(QN_LINK_OVA, p, 1, 3);
        for (int k = 0; k < 3; k++)
            top = fmax(top, log_p[k] = -softplus(-z[r][k]));
        for (int k = 0; k < 3; k++)
            sum += exp(log_p[k] - top);
        for (int k = 0; k < 3; k++)
            assert_near(p[k], exp(log_p[k] - top) / sum, 1e-13);
        assert_near(p[0] + p[1] + p[2], 1, 1e-15);
    }
}

/* The raw scores of a class are those of a binary model of that class: the same splits, but where the
 * random rounding of gradients, which is drawn per tree, decides between two that are as good. */
static void classes_are_binary_models(void **state) {
    enum { N = 4000 };
    toy d;
    toy_init(&d, N, 32);
    double *w = qn_new_array(double, N), *is = qn_new_array(double, N);
    double *raw = qn_new_array(double, N * TOY_CLASSES), *alone = qn_new_array(double, N);
    int n_same = 0;
    for (int i = 0; i < N; i++)
        w[i] = 0.5 + (i % 4);
    for (int weighted = 0; weighted < 2; weighted++) {
        qn_gbdt_params p = defaults();
        p.objective = "ova";
        p.num_leaves = 6;
        p.num_iterations = 8; /* later a split may fall another way by chance */
        p.scale_pos_weight = weighted ? 3 : 1;
        qn_fit_input in = {.train = {.x = &d.x, .y = d.klass, .weight = weighted ? w : NULL},
                           .task = QN_TASK_MULTICLASS, .n_classes = TOY_CLASSES, .seed = 7};
        qn_learner *all = NULL;
        assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &all, NULL), QN_OK);
        assert_int_equal(all->link, QN_LINK_OVA);
        all->family->predict(all, &d.x, 0, N, raw);
        for (int k = 0; k < TOY_CLASSES; k++) {
            qn_learner *one = NULL;
            double gap = 0, spread = 0;
            for (int i = 0; i < N; i++)
                is[i] = d.klass[i] == k;
            in.train.y = is;
            in.task = QN_TASK_BINARY;
            in.n_classes = 2;
            p.objective = "binary";
            assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &one, NULL), QN_OK);
            one->family->predict(one, &d.x, 0, N, alone);
            assert_near(((qn__gbdt *)one)->base[0], ((qn__gbdt *)all)->base[k], 1e-9);
            for (int i = 0; i < N; i++) {
                gap += fabs(alone[i] - raw[i * TOY_CLASSES + k]) / N;
                spread += fabs(alone[i]) / N;
            }
            assert_true(gap < 0.15 * spread);
            n_same += gap < 1e-3 * spread;
            qn_learner_free(&one);
        }
        qn_learner_free(&all);
    }
    assert_true(n_same >= TOY_CLASSES); /* of twice as many */
    qn_freep(&w);
    qn_freep(&is);
    qn_freep(&raw);
    qn_freep(&alone);
    toy_done(&d);
}

/* All names that may be asked for are those of some task, LightGBM's others the same objective. */
static void names_are_found(void **state) {
    static const char *const same[][2] = {{"xentropy", "cross_entropy"}, {"l2", "regression"},
                                          {"rmse", "regression"},        {"l1", "regression_l1"},
                                          {"mae", "regression_l1"},      {"softmax", "multiclass"},
                                          {"ovr", "multiclassova"}};
    const qn__objective *found, *other;
    for (int i = 0; qn__objective_choices[i]; i++) {
        int n = 0;
        for (int task = 0; task <= QN_TASK_REGRESSION; task++)
            n += qn__objective_find(qn__objective_choices[i], (qn_task)task, true, &found, NULL)
                 == QN_OK;
        assert_in_range(n, 1, QN_TASK_REGRESSION + 1);
    }
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        for (int task = 0; task <= QN_TASK_REGRESSION; task++) {
            qn_status a = qn__objective_find(same[i][0], (qn_task)task, false, &found, NULL);
            qn_status b = qn__objective_find(same[i][1], (qn_task)task, false, &other, NULL);
            assert_int_equal(a, b);
            assert_true(a != QN_OK || found == other);
        }
    assert_int_equal(qn__objective_find("l3", QN_TASK_REGRESSION, false, &found, NULL),
                     QN_ERR_CONFIG);
    qn_gbdt_params p = defaults();
    qn_error err = {0};
    assert_int_equal(qn_params_set(qn__family_gbdt.params, qn__family_gbdt.n_params, "objective",
                                   "l3", &p, &err), QN_ERR_CONFIG);
    assert_non_null(strstr(err.message, "mean_absolute_error, mae, not 'l3'")); /* all are named */
}

/* A row whose target is 0.75 is three positives and a negative. */
static void soft_labels_are_shares_of_rows(void **state) {
    enum { N = 2000 };
    toy d, twice;
    toy_init(&d, N, 33);
    toy_init(&twice, N, 33);
    double *soft = qn_new_array(double, N), *raw = qn_new_array(double, 2 * N);
    for (int i = 0; i < N; i++)
        soft[i] = round(4 / (1 + exp(-d.value[i]))) / 4;
    qn_gbdt_params p = defaults();
    p.objective = "xentropy";
    qn_fit_input in = {.train = {.x = &d.x, .y = soft}, .task = QN_TASK_REGRESSION, .seed = 7};
    qn_learner *one = NULL, *two = NULL;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &one, NULL), QN_OK);
    assert_int_equal(one->link, QN_LINK_LOGIT);
    /* The same rows twice, by three numbers: as positives that weigh y and negatives that weigh the rest. */
    double *y = qn_new_array(double, 2 * N), *w = qn_new_array(double, 2 * N);
    qn_matrix_column columns[3];
    qn_matrix x = {.n_rows = 2 * N, .n_features = 3, .features = d.features, .columns = columns};
    memset(columns, 0, sizeof columns);
    for (int j = 0; j < 3; j++)
        columns[j].num = qn_new_array(double, 2 * N);
    for (int i = 0; i < 2 * N; i++) {
        y[i] = i < N;
        w[i] = fmax(i < N ? soft[i] : 1 - soft[i - N], 1e-12);
        for (int j = 0; j < 3; j++)
            columns[j].num[i] = d.columns[j].num[i % N];
    }
    qn_learner_free(&one);
    p.min_data_in_leaf = 0;
    p.min_sum_hessian_in_leaf = 5;
    d.x.n_features = 3;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &one, NULL), QN_OK);
    in = (qn_fit_input){.train = {.x = &x, .y = y, .weight = w}, .task = QN_TASK_BINARY,
                        .n_classes = 2, .seed = 7};
    p.objective = "binary";
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &two, NULL), QN_OK);
    one->family->predict(one, &d.x, 0, N, raw);
    two->family->predict(two, &d.x, 0, N, raw + N);
    double gap = 0, spread = 0;
    for (int i = 0; i < N; i++) {
        gap += fabs(raw[i] - raw[N + i]) / N;
        spread += fabs(raw[i]) / N;
    }
    assert_near(((qn__gbdt *)one)->base[0], ((qn__gbdt *)two)->base[0], 1e-6);
    assert_true(gap < 0.15 * spread);
    qn_learner_free(&one);
    qn_learner_free(&two);
    for (int j = 0; j < 3; j++)
        qn_freep(&columns[j].num);
    qn_freep(&y);
    qn_freep(&w);
    qn_freep(&soft);
    qn_freep(&raw);
    toy_done(&d);
    toy_done(&twice);
}

static qn_status check(const qn_family *family, const json_t *params, qn_task task, const double *y,
                       int64_t n, qn_error *err) {
    return qn_learner_check_targets(family, params, task, false, y, n, "share", err);
}

static void targets_out_of_range_are_told(void **state) {
    const double y[] = {0, 0.5, NAN, 1, 1.25};
    qn_error err = {0};
    qn_cleanup(qn_json_free) json_t *params = json_pack("{s:s}", "objective", "cross_entropy");
    assert_int_equal(check(&qn__family_gbdt, params, QN_TASK_REGRESSION, y, 4, &err), QN_OK);
    assert_int_equal(check(&qn__family_gbdt, params, QN_TASK_REGRESSION, y, 5, &err), QN_ERR_DATA);
    assert_string_equal(err.message, "row 5, column share: the target is 1.25: objective "
                                     "cross_entropy takes numbers from 0 to 1");
    assert_int_equal(check(&qn__family_gbdt, params, QN_TASK_BINARY, y, 5, &err), QN_ERR_CONFIG);
    assert_int_equal(check(&qn__family_linear, NULL, QN_TASK_REGRESSION, y, 5, &err), QN_OK);
}

/* Squared error from c on is squared error of y - c from 0 on: the same trees. */
static void initial_scores_are_what_trees_start_from(void **state) {
    enum { N = 3000, INIT = 1 };
    toy d, v;
    toy_init(&d, N, 35);
    toy_init(&v, 500, 36);
    double *left = qn_new_array(double, N), *raw = qn_new_array(double, N);
    double *rows = qn_new_array(double, N * TOY_FEATURES), *alone = qn_new_array(double, N);
    double *contrib = qn_new_array(double, N * (TOY_FEATURES + 1));
    for (int i = 0; i < N; i++) {
        double *c = &d.columns[INIT].num[i];
        *c = isnan(*c) ? 0.5 : round(*c * 64) / 64; /* so that y - c is exact enough */
        d.value[i] = round(d.value[i] * 1024) / 1024;
        left[i] = d.value[i] - *c;
    }
    qn_gbdt_params p = defaults();
    int32_t init = INIT;
    qn_fit_input in = {.train = {.x = &d.x, .y = d.value}, .task = QN_TASK_REGRESSION, .seed = 7,
                       .init_features = &init, .n_init = 1};
    qn_learner *with = NULL, *without = NULL, *again = NULL;
    qn_error err = {0};
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &with, &err), QN_OK);
    p.boost_from_average = false;
    double saved = d.columns[INIT].num[0];
    in.n_init = 0;
    in.train.y = left;
    double *c = d.columns[INIT].num;
    d.columns[INIT].num = qn_new_array(double, N); /* the column is not learnt from */
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &without, &err), QN_OK);
    without->family->predict(without, &d.x, 0, N, alone);
    qn_freep(&d.columns[INIT].num);
    d.columns[INIT].num = c;
    with->family->predict(with, &d.x, 0, N, raw);
    for (int i = 0; i < N; i++)
        assert_near(raw[i], alone[i] + c[i], 1e-9);
    /* Dense rows, one row, a file, and explanations say the same; a missing one adds nothing. */
    c[0] = NAN;
    with->family->predict(with, &d.x, 0, N, raw);
    assert_near(raw[0], alone[0], 1e-9);
    qn_buf bytes = {0};
    assert_int_equal(with->family->save(with, &bytes, NULL), QN_OK);
    assert_int_equal(with->family->load(bytes.data, bytes.len, d.features, TOY_FEATURES, &again,
                                        &err), QN_OK);
    qn_matrix_rows(&d.x, 0, N, rows);
    again->family->predict_rows(again, rows, N, alone);
    assert_memory_equal(raw, alone, N * sizeof *raw);
    assert_int_equal(again->family->explain(again, &d.x, 0, N, contrib, &err), QN_OK);
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int f = 0; f <= TOY_FEATURES; f++)
            sum += contrib[i * (TOY_FEATURES + 1) + f];
        assert_near(sum, raw[i], 1e-9);
        assert_near(contrib[i * (TOY_FEATURES + 1) + INIT], i ? c[i] : 0, 0);
    }
    /* Missing in training, not dense, one for many classes. */
    in.n_init = 1;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &again, &err), QN_ERR_DATA);
    assert_string_equal(err.message, "row 1: the init_score is missing, not a finite number");
    c[0] = saved;
    init = 3;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &again, &err), QN_ERR_USAGE);
    in = (qn_fit_input){.train = {.x = &d.x, .y = d.klass}, .task = QN_TASK_MULTICLASS,
                        .n_classes = 3, .init_features = &init, .n_init = 1};
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &again, &err), QN_ERR_CONFIG);
    in.task = QN_TASK_REGRESSION;
    in.n_classes = 0;
    assert_int_equal(qn_learner_fit(&qn__family_linear, NULL, &in, NULL, &again, &err),
                     QN_ERR_CONFIG);
    qn_learner_free(&with);
    qn_learner_free(&without);
    qn_learner_free(&again);
    qn_buf_done(&bytes);
    qn_freep(&left);
    qn_freep(&raw);
    qn_freep(&rows);
    qn_freep(&alone);
    qn_freep(&contrib);
    toy_done(&d);
    toy_done(&v);
}

static void bytes_do_not_depend_on_threads(void **state) {
    toy d;
    toy_init(&d, 5000, 34);
    for (int64_t i = 0; i < d.x.n_rows; i++)
        d.value[i] = 1 / (1 + exp(-d.value[i]));
    for (int o = 0; o < 2; o++) {
        qn_gbdt_params p = defaults();
        p.num_iterations = 5;
        p.objective = o ? "cross_entropy" : "multiclassova";
        qn_fit_input in = {.train = {.x = &d.x, .y = o ? d.value : d.klass}, .seed = 7,
                           .task = o ? QN_TASK_REGRESSION : QN_TASK_MULTICLASS,
                           .n_classes = o ? 0 : TOY_CLASSES};
        qn_buf first = {0}, other = {0};
        const int threads[] = {1, 2, 3, 8};
        for (int i = 0; i < 4; i++) {
            qn_job job = {.n_threads = threads[i]};
            qn_learner *m = NULL, *again = NULL;
            qn_buf *out = i ? &other : &first;
            assert_int_equal(qn__family_gbdt.fit(&p, &in, &job, &m, NULL), QN_OK);
            qn_buf_clear(out);
            assert_int_equal(qn__family_gbdt.save(m, out, NULL), QN_OK);
            assert_int_equal(qn__family_gbdt.load(out->data, out->len, d.features, TOY_FEATURES,
                                                  &again, NULL), QN_OK);
            assert_int_equal(again->link, m->link);
            qn_learner_free(&again);
            qn_learner_free(&m);
            if (i) {
                assert_int_equal(first.len, other.len);
                assert_memory_equal(first.data, other.data, first.len);
            }
        }
        qn_buf_done(&first);
        qn_buf_done(&other);
    }
    toy_done(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_derivatives),
        cmocka_unit_test(weights_mean_copies_everywhere),
        cmocka_unit_test(class_weights_are_weights),
        cmocka_unit_test(the_link_shares_out_sigmoids),
        cmocka_unit_test(classes_are_binary_models),
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(soft_labels_are_shares_of_rows),
        cmocka_unit_test(targets_out_of_range_are_told),
        cmocka_unit_test(initial_scores_are_what_trees_start_from),
        cmocka_unit_test(bytes_do_not_depend_on_threads),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("learn/gbdt_objective", tests, NULL, NULL);
}
