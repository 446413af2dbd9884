/* Leaves refitted on other rows: against the plain definition, on the same rows, by weights and copies. */
#include <stdlib.h>

#include "gbdt_fit.h"
#include "learn/gbdt_refit.h"

/* The leaf of a row: its number among the model's. */
static uint64_t leaf_at(const qn__gbdt *m, int32_t tree, const qn_matrix *x, int64_t row) {
    qn__gbdt_node node = qn__gbdt_node_at(m, m->start[tree], 0);
    while (!node.is_leaf) {
        uint32_t slot = qn__gbdt_node_slot(m, &node);
        double value = qn__matrix_value(x, (int32_t)m->slot_column[slot], row);
        node = qn__gbdt_node_at(m, m->start[tree],
                                node.to + qn__gbdt_node_goes_right(m, &node, value));
    }
    return qn__gbdt_leaf_start(m, tree) + node.to;
}

enum { REFIT_ROWS = 1000 };

/* New scores of the rows, with decay, by the definition: binary or regression. */
static void refit_plain(const qn__gbdt *m, const qn_matrix *x, const double *y, bool binary,
                        double decay, double l2, double offset, double *score) {
    double mean = 0;
    for (int i = 0; i < REFIT_ROWS; i++)
        mean += y[i] / REFIT_ROWS;
    double base = (binary ? log(mean / (1 - mean)) : mean) - offset;
    for (int i = 0; i < REFIT_ROWS; i++)
        score[i] = decay * m->base[0] + (1 - decay) * base;
    int64_t n_leaves = (m->n_nodes + m->n_trees) / 2;
    double *g = qn_new_array(double, n_leaves), *h = qn_new_array(double, n_leaves);
    for (int32_t t = 0; t < m->n_trees; t++) {
        for (int i = 0; i < REFIT_ROWS; i++) {
            double p = binary ? 1 / (1 + exp(-score[i] - offset)) : score[i];
            uint64_t leaf = leaf_at(m, t, x, i);
            g[leaf] += p - y[i];
            h[leaf] += binary ? p * (1 - p) : 1;
        }
        for (int i = 0; i < REFIT_ROWS; i++) {
            uint64_t leaf = leaf_at(m, t, x, i);
            score[i] += decay * m->value[leaf] - (1 - decay) * 0.2 * g[leaf] / (h[leaf] + l2);
        }
    }
    qn_freep(&g);
    qn_freep(&h);
}

static void refitted_leaves_are_the_plain_ones(void **state) {
    toy d, v;
    toy_init(&d, 3000, 31);
    toy_init(&v, REFIT_ROWS, 32);
    for (int i = 0; i < REFIT_ROWS; i++)
        v.value[i] = 3 - v.value[i];
    for (int k = 0; k < 4; k++) {
        bool binary = k % 2;
        double decay = k < 2 ? 0.9 : 0, offset = binary && k > 1 ? -1.2 : 0;
        qn_fit_input in = {.train = {.x = &d.x, .y = binary ? d.y : d.value},
                           .task = binary ? QN_TASK_BINARY : QN_TASK_REGRESSION,
                           .n_classes = binary ? 2 : 0, .seed = 5};
        qn_cleanup(qn_json_free) json_t *params = json(
            "{\"num_iterations\": 20, \"eta\": 0.2, \"lambda_l2\": 3}");
        qn_learner *m = NULL, *refitted[2] = {NULL};
        assert_int_equal(qn_learner_fit(&qn__family_gbdt, params, &in, NULL, &m, NULL), QN_OK);
        /* in two parts */
        int64_t ids[REFIT_ROWS];
        for (int i = 0; i < REFIT_ROWS; i++)
            ids[i] = i;
        qn_matrix *x[2] = {NULL};
        assert_int_equal(qn_matrix_take(&v.x, ids, 300, &x[0], NULL), QN_OK);
        assert_int_equal(qn_matrix_take(&v.x, ids + 300, REFIT_ROWS - 300, &x[1], NULL), QN_OK);
        const double *y = binary ? v.y : v.value, *ys[2] = {y, y + 300};
        qn_prune_rows rows = {.x = (const qn_matrix *const *)x, .y = ys, .n_parts = 2,
                              .offset = offset};
        qn_refit_options options = {.task = in.task, .n_classes = in.n_classes, .decay = decay,
                                    .params = params};
        for (int i = 0; i < 2; i++) {
            qn_job job = {.n_threads = 1 + 2 * i};
            int64_t n_leaves = 0;
            qn_error err = {0};
            if (qn_gbdt_refit(m, v.x.features, &rows, &options, &job, &refitted[i], &n_leaves,
                              &err) != QN_OK)
                fail_msg("%s", err.message);
            assert_true(n_leaves > 100);
        }
        assert_same_bytes(refitted[0], refitted[1]);
        double want[REFIT_ROWS], raw[REFIT_ROWS];
        refit_plain((const qn__gbdt *)m, &v.x, y, binary, decay, 3, offset, want);
        m->family->predict(refitted[0], &v.x, 0, REFIT_ROWS, raw);
        for (int i = 0; i < REFIT_ROWS; i++)
            assert_near(raw[i], want[i], 2e-5);
        for (int i = 0; i < 2; i++) {
            qn_matrix_free(&x[i]);
            qn__gbdt_free(refitted[i]);
        }
        qn__gbdt_free(m);
    }
    toy_done(&d);
    toy_done(&v);
}

/* A decay of 1 changes nothing; without any, on the same rows, little changes but rounding. */
static void refitting_on_the_same_rows_gives_the_same_model(void **state) {
    toy d;
    toy_init(&d, 3000, 33);
    qn_cleanup(qn_json_free) json_t *params = json("{\"num_iterations\": 20, \"cat_l2\": 0}");
    qn_fit_input in = {.train = {.x = &d.x, .y = d.klass}, .task = QN_TASK_MULTICLASS,
                       .n_classes = 3, .seed = 5};
    qn_learner *m = NULL, *refitted = NULL;
    assert_int_equal(qn_learner_fit(&qn__family_gbdt, params, &in, NULL, &m, NULL), QN_OK);
    const qn_matrix *x = &d.x;
    const double *y = d.klass;
    qn_prune_rows rows = {.x = &x, .y = &y, .n_parts = 1};
    for (int decay = 0; decay < 2; decay++) {
        qn_refit_options options = {.task = in.task, .n_classes = 3, .decay = decay,
                                    .params = params};
        int64_t n_leaves = 0;
        assert_int_equal(qn_gbdt_refit(m, d.x.features, &rows, &options, NULL, &refitted, &n_leaves,
                                       NULL), QN_OK);
        assert_int_equal(n_leaves, (((qn__gbdt *)m)->n_nodes + ((qn__gbdt *)m)->n_trees) / 2);
        double a[300], b[300], worst = 0;
        m->family->predict(m, x, 0, 100, a);
        m->family->predict(refitted, x, 0, 100, b);
        for (int i = 0; i < 300; i++)
            worst = fmax(worst, fabs(a[i] - b[i]));
        assert_true(worst <= (decay ? 0 : 0.02));
        qn__gbdt_free(refitted);
    }
    qn__gbdt_free(m);
    toy_done(&d);
}

/* ---- weights, quantiles, dart, rankings --------------------------------------------------------- */

enum { N = 1200 };

static qn_learner *refit(const qn_learner *m, const toy *d, const double *y,
                         const qn_prune_rows *more, const qn_refit_options *options, int threads) {
    const qn_matrix *x = &d->x;
    qn_prune_rows rows = more ? *more : (qn_prune_rows){0};
    qn_learner *refitted = NULL;
    qn_job job = {.n_threads = threads};
    qn_error err = {0};
    int64_t n_leaves = 0;
    rows.x = &x;
    rows.y = &y;
    rows.n_parts = 1;
    if (qn_gbdt_refit(m, d->features, &rows, options, &job, &refitted, &n_leaves, &err) != QN_OK)
        fail_msg("%s", err.message);
    assert_true(n_leaves > 0);
    return refitted;
}

static double worst_of(const qn_learner *a, const qn_learner *b, const toy *d) {
    double raw[2][N * TOY_CLASSES], worst = 0;
    a->family->predict(a, &d->x, 0, N, raw[0]);
    b->family->predict(b, &d->x, 0, N, raw[1]);
    for (int i = 0; i < N * a->n_outputs; i++)
        worst = fmax(worst, fabs(raw[0][i] - raw[1][i]));
    return worst;
}

static qn_fit_input input_of(const toy *d, qn_task task) {
    return (qn_fit_input){
        .train = {.x = &d->x, .y = task == QN_TASK_BINARY       ? d->y
                                   : task == QN_TASK_MULTICLASS ? d->klass : d->value},
        .task = task, .n_classes = task == QN_TASK_BINARY ? 2 : task == QN_TASK_MULTICLASS ? 3 : 0,
        .seed = 5};
}

static int by_size(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* Of weighted numbers that are each written down as often as their weight says. */
static double quantile_of_copies(const double *value, const double *weight, int n, double q) {
    static double copies[8 * N];
    int n_copies = 0;
    for (int i = 0; i < n; i++)
        for (int c = 0; c < (int)weight[i]; c++)
            copies[n_copies++] = value[i];
    qsort(copies, (size_t)n_copies, sizeof *copies, by_size);
    double at = q * n_copies;
    int i = (int)at;
    return at == i && i > 0 ? (copies[i - 1] + copies[i]) / 2 : copies[i];
}

/* The definition, a tree at a time; scores are added up anew in every round. */
typedef struct plain_refit {
    const qn__gbdt *m;
    const toy *d;
    const double *weight;
    double q, decay, rate;      /* q 0: Newton steps of squared error */
    qn__dart *dart;             /* NULL: none is dropped */
    double *value, *final;      /* per leaf; per tree */
} plain_refit;

static double score_at(const plain_refit *p, const double *times, int32_t n_trees, int row,
                       double base) {
    double sum = base;
    for (int32_t t = 0; t < n_trees; t++)
        sum += times[t] * p->value[leaf_at(p->m, t, &p->d->x, row)];
    return sum;
}

static double new_value(const plain_refit *p, const double *residual, const double *weight, int n) {
    double g = 0, h = 0;
    if (p->q > 0)
        return quantile_of_copies(residual, weight, n, p->q);
    for (int i = 0; i < n; i++) {
        g += weight[i] * residual[i];
        h += weight[i];
    }
    return g / h;
}

static void refit_by_definition(const plain_refit *p, double *raw) {
    double mean = 0, sum = 0, times[64], residual[N], weight[N], all[N];
    for (int i = 0; i < N; i++) {
        mean += p->weight[i] * p->d->value[i];
        sum += p->weight[i];
    }
    double base = p->decay * p->m->base[0] + (1 - p->decay) * mean / sum;
    for (int32_t t = 0; t < p->m->n_trees; t++) {
        double rate = p->rate;
        for (int32_t s = 0; s < t; s++)
            times[s] = p->dart ? p->dart->scale[s] : 1;
        if (p->dart) {
            assert_int_equal(qn__dart_begin(p->dart, NULL), QN_OK);
            rate = p->dart->rate;
            for (int32_t k = 0; k < p->dart->n_dropped; k++)
                times[p->dart->dropped[k]] = 0;
        }
        for (int i = 0; i < N; i++)
            all[i] = p->d->value[i] - score_at(p, times, t, i, base);
        uint64_t first = qn__gbdt_leaf_start(p->m, t), end = qn__gbdt_leaf_start(p->m, t + 1);
        for (uint64_t leaf = first; leaf < end; leaf++) {
            int n = 0;
            for (int i = 0; i < N; i++)
                if (leaf_at(p->m, t, &p->d->x, i) == leaf) {
                    residual[n] = all[i];
                    weight[n++] = p->weight[i];
                }
            double old = p->m->value[leaf] / p->final[t];
            p->value[leaf] = n ? p->decay * old
                                     + (1 - p->decay) * rate * new_value(p, residual, weight, n)
                               : old;
        }
        if (p->dart)
            qn__dart_end(p->dart);
    }
    for (int i = 0; i < N; i++)
        raw[i] = score_at(p, p->final, p->m->n_trees, i, base);
}

static void weights_quantiles_and_dart_are_their_definition(void **state) {
    static const char *const params[] = {
        "{\"num_iterations\": 8, \"num_leaves\": 7, \"lambda_l2\": 0}",
        "{\"num_iterations\": 8, \"num_leaves\": 7, \"objective\": \"regression_l1\"}",
        "{\"num_iterations\": 8, \"num_leaves\": 7, \"objective\": \"quantile\", \"alpha\": 0.3}",
        "{\"num_iterations\": 30, \"num_leaves\": 5, \"boosting\": \"dart\", \"skip_drop\": 0.2, "
        "\"drop_rate\": 0.3}",
        "{\"num_iterations\": 30, \"num_leaves\": 5, \"boosting\": \"dart\", \"skip_drop\": 0.2, "
        "\"objective\": \"quantile\", \"alpha\": 0.8, \"xgboost_dart_mode\": true}"};
    static const double q[] = {0, 0.5, 0.3, 0, 0.8};
    toy d, v;
    toy_init(&d, N, 61);
    toy_init(&v, N, 62);
    double weight[N], want[N], raw[N];
    for (int i = 0; i < N; i++) {
        weight[i] = 1 + i * 7 % 5;
        v.value[i] = 2 - v.value[i];
    }
    qn_prune_rows weighted = {.weight = weight};
    for (int k = 0; k < 5; k++) {
        qn_cleanup(qn_json_free) json_t *json_params = json(params[k]);
        qn_gbdt_params own;
        qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &own);
        assert_int_equal(qn_params_from_json(qn__family_gbdt.params, qn__family_gbdt.n_params,
                                             json_params, &own, NULL), QN_OK);
        qn_fit_input in = input_of(&d, QN_TASK_REGRESSION);
        qn_learner *m = fit(&own, &in, NULL);
        qn_refit_options options = {.task = in.task, .decay = k % 2 ? 0.4 : 0,
                                    .params = json_params, .knows_seed = true, .seed = in.seed};
        qn_learner *refitted = refit(m, &v, v.value, &weighted, &options, 1);
        qn_learner *again = refit(m, &v, v.value, &weighted, &options, 3);
        assert_same_bytes(refitted, again);
        qn__dart dart = {.params = &own, .seed = in.seed};
        double final[64], value[64 * 8];
        plain_refit plain = {.m = (const qn__gbdt *)m, .d = &v, .weight = weight, .q = q[k],
                             .decay = options.decay, .rate = own.learning_rate, .value = value,
                             .final = final, .dart = k > 2 ? &dart : NULL};
        assert_int_equal(qn__dart_replay(&dart, plain.m->n_trees, NULL), QN_OK);
        int n_less = 0;
        for (int32_t t = 0; t < plain.m->n_trees; t++) {
            final[t] = plain.dart ? dart.scale[t] : 1;
            n_less += final[t] < 1;
        }
        assert_true(!plain.dart || n_less > 5);
        dart.n_rounds = 0;
        refit_by_definition(&plain, want);
        refitted->family->predict(refitted, &v.x, 0, N, raw);
        for (int i = 0; i < N; i++)
            assert_near(raw[i], want[i], q[k] > 0 ? 1e-9 : 2e-5); /* gradients are floats */
        qn__dart_done(&dart);
        qn_learner_free(&m);
        qn_learner_free(&refitted);
        qn_learner_free(&again);
    }
    toy_done(&d);
    toy_done(&v);
}

/* Without decay, on the rows of training: what training left behind, but for rounding. */
static void same_rows_give_the_same_leaves(void **state) {
    static const struct {
        const char *params;
        qn_task task;
        double most;
    } cases[] = {
        {"{\"boosting\": \"dart\", \"skip_drop\": 0.3}", QN_TASK_BINARY, 0.05},
        {"{\"boosting\": \"dart\", \"skip_drop\": 0.3, \"xgboost_dart_mode\": true}",
         QN_TASK_MULTICLASS, 0.05},
        {"{\"objective\": \"quantile\", \"alpha\": 0.7}", QN_TASK_REGRESSION, 1e-9},
        {"{\"objective\": \"quantile\", \"boosting\": \"dart\"}", QN_TASK_REGRESSION, 1e-9},
        {"{\"class_weight\": \"balanced\", \"scale_pos_weight\": 2}", QN_TASK_BINARY, 0.05},
    };
    toy d;
    toy_init(&d, N, 63);
    double weight[N];
    for (int i = 0; i < N; i++)
        weight[i] = 0.5 + i % 3;
    qn_prune_rows weighted = {.weight = weight};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        qn_cleanup(qn_json_free) json_t *params = json(cases[k].params);
        json_object_set_new(params, "num_iterations", json_integer(40));
        json_object_set_new(params, "cat_l2", json_integer(0));
        qn_fit_input in = input_of(&d, cases[k].task);
        in.train.weight = weight;
        qn_learner *m = NULL;
        assert_int_equal(qn_learner_fit(&qn__family_gbdt, params, &in, NULL, &m, NULL), QN_OK);
        qn_refit_options options = {.task = in.task, .n_classes = in.n_classes, .params = params,
                                    .knows_seed = true, .seed = in.seed};
        qn_learner *refitted = refit(m, &d, in.train.y, &weighted, &options, 2);
        assert_true(worst_of(m, refitted, &d) <= cases[k].most);
        options.seed++; /* other rounds dropped are another model */
        qn_learner *other = refit(m, &d, in.train.y, &weighted, &options, 2);
        bool dart = strstr(cases[k].params, "dart") != NULL;
        assert_true(!dart || worst_of(m, other, &d) > 2 * cases[k].most);
        qn_learner_free(&m);
        qn_learner_free(&refitted);
        qn_learner_free(&other);
    }
    toy_done(&d);
}

/* A model that went on from another one: only its own rounds were dropped. */
static void dart_that_went_on_is_refitted(void **state) {
    toy d;
    toy_init(&d, N, 64);
    qn_cleanup(qn_json_free) json_t *params = json(
        "{\"boosting\": \"dart\", \"skip_drop\": 0, \"num_iterations\": 20, \"cat_l2\": 0}");
    qn_cleanup(qn_json_free) json_t *plain = json("{\"num_iterations\": 10, \"cat_l2\": 0}");
    qn_fit_input in = input_of(&d, QN_TASK_REGRESSION);
    qn_learner *first = NULL, *m = NULL, *none = NULL;
    assert_int_equal(qn_learner_fit(&qn__family_gbdt, plain, &in, NULL, &first, NULL), QN_OK);
    in.from = first;
    assert_int_equal(qn_learner_fit(&qn__family_gbdt, params, &in, NULL, &m, NULL), QN_OK);
    qn_refit_options options = {.task = in.task, .params = params, .knows_seed = true,
                                .seed = in.seed, .first_round = 10};
    qn_learner *refitted = refit(m, &d, d.value, NULL, &options, 2);
    assert_true(worst_of(m, refitted, &d) < 0.02);
    const qn_matrix *x = &d.x;
    const double *y = d.value;
    qn_prune_rows rows = {.x = &x, .y = &y, .n_parts = 1};
    int64_t n_leaves;
    qn_error err = {0};
    options.first_round = 31;
    assert_int_equal(qn_gbdt_refit(m, d.features, &rows, &options, NULL, &none, &n_leaves, &err),
                     QN_ERR_USAGE);
    assert_string_equal(err.message, "the model has fewer rounds than the one it went on from");
    qn_learner_free(&first);
    qn_learner_free(&m);
    qn_learner_free(&refitted);
    toy_done(&d);
}

static void rankings_are_refitted_by_their_queries(void **state) {
    toy d;
    toy_init(&d, N, 65);
    int32_t query[N];
    double grade[N];
    for (int i = 0; i < N; i++) {
        query[i] = i % (N / 10);
        grade[i] = fmin(4, fmax(0, floor(d.value[i] + 1)));
    }
    qn_cleanup(qn_json_free) json_t *params = json("{\"num_iterations\": 15, \"cat_l2\": 0}");
    qn_fit_input in = {.train = {.x = &d.x, .y = grade, .query = query}, .n_queries = N / 10,
                       .task = QN_TASK_REGRESSION, .seed = 5};
    qn_learner *m = NULL;
    assert_int_equal(qn_learner_fit(&qn__family_gbdt, params, &in, NULL, &m, NULL), QN_OK);
    qn_refit_options options = {.task = in.task, .params = params};
    qn_prune_rows rows = {.query = query, .n_queries = N / 10};
    qn_learner *refitted = refit(m, &d, grade, &rows, &options, 2);
    qn_learner *again = refit(m, &d, grade, &rows, &options, 1);
    assert_same_bytes(refitted, again);
    assert_true(worst_of(m, refitted, &d) < 0.05);
    qn_learner_free(&m);
    qn_learner_free(&refitted);
    qn_learner_free(&again);
    toy_done(&d);
}

/* Rows that were sure of the opposite have next to no second derivative: steps are bounded. */
static void steps_in_log_odds_are_bounded(void **state) {
    toy d;
    toy_init(&d, N, 66);
    qn_cleanup(qn_json_free) json_t *params = json("{\"num_iterations\": 1, \"lambda_l2\": 0}");
    qn_fit_input in = input_of(&d, QN_TASK_BINARY);
    qn_learner *m = NULL;
    assert_int_equal(qn_learner_fit(&qn__family_gbdt, params, &in, NULL, &m, NULL), QN_OK);
    qn_prune_rows far = {.offset = -20};
    double *ones = qn_new_array(double, N), raw[N];
    for (int i = 0; i < N; i++)
        ones[i] = 1;
    qn_cleanup(qn_json_free) json_t *from_zero = json("{\"boost_from_average\": false}");
    qn_refit_options options = {.task = in.task, .n_classes = 2, .params = from_zero};
    qn_learner *refitted = refit(m, &d, ones, &far, &options, 2);
    refitted->family->predict(refitted, &d.x, 0, N, raw);
    for (int i = 0; i < N; i++)
        assert_near(raw[i] - ((const qn__gbdt *)m)->base[0], 1.6, 1e-9);
    qn_freep(&ones);
    qn_learner_free(&m);
    qn_learner_free(&refitted);
    toy_done(&d);
}

static qn_status no_gradients(void *user, const double *raw, const double *y, const double *weight,
                              int64_t n, int32_t n_outputs, double *g, double *h) {
    (void)user, (void)weight;
    for (int64_t i = 0; i < n * n_outputs; i++) {
        g[i] = raw[i] - y[i];
        h[i] = 1;
    }
    return QN_OK;
}

static void what_cannot_be_refitted_is_refused(void **state) {
    toy d;
    toy_init(&d, 300, 34);
    const qn_matrix *x = &d.x;
    const double *y = d.value;
    qn_prune_rows rows = {.x = &x, .y = &y, .n_parts = 1};
    const char *const cases[][2] = {
        {"{}", "trees of an objective of the caller's own are not refitted: the model does not "
               "know its gradients"},
        {"{\"boosting\": \"dart\"}",
         "trees of boosting dart are refitted with the seed by which rounds were dropped, and the "
         "model does not tell it"}};
    for (int i = 0; i < 2; i++) {
        qn_cleanup(qn_json_free) json_t *params = json(cases[i][0]);
        qn_fit_input in = {.train = {.x = &d.x, .y = d.value}, .task = QN_TASK_REGRESSION,
                           .gradients = i ? NULL : no_gradients};
        qn_learner *m = NULL, *refitted = NULL;
        int64_t n;
        qn_error err = {0};
        assert_int_equal(qn_learner_fit(&qn__family_gbdt, params, &in, NULL, &m, NULL), QN_OK);
        qn_refit_options options = {.task = in.task, .decay = 0.9, .params = params};
        assert_int_equal(qn_gbdt_refit(m, d.x.features, &rows, &options, NULL, &refitted, &n, &err),
                         QN_ERR_USAGE);
        assert_string_equal(err.message, cases[i][1]);
        qn__gbdt_free(m);
    }
    toy_done(&d);
}

/* Quantiles of dart by weights: everything that is allocated. */
static void memory_may_run_out(void **state) {
    toy d;
    toy_init(&d, 300, 67);
    double weight[300];
    for (int i = 0; i < 300; i++)
        weight[i] = 1 + i % 2;
    qn_cleanup(qn_json_free) json_t *params = json(
        "{\"boosting\": \"dart\", \"objective\": \"quantile\", \"num_iterations\": 5}");
    qn_fit_input in = input_of(&d, QN_TASK_REGRESSION);
    qn_learner *m = NULL;
    assert_int_equal(qn_learner_fit(&qn__family_gbdt, params, &in, NULL, &m, NULL), QN_OK);
    const qn_matrix *x = &d.x;
    const double *y = d.value;
    qn_prune_rows rows = {.x = &x, .y = &y, .n_parts = 1, .weight = weight};
    qn_refit_options options = {.task = in.task, .params = params, .knows_seed = true};
    for (int64_t n = 0;; n++) {
        qn_learner *refitted = NULL;
        int64_t n_leaves;
        qn_mem_fail_after(n);
        qn_status status = qn_gbdt_refit(m, d.features, &rows, &options, NULL, &refitted,
                                         &n_leaves, NULL);
        qn_mem_fail_after(-1);
        qn_learner_free(&refitted);
        if (status == QN_OK)
            break;
        assert_int_equal(status, QN_ERR_MEMORY);
    }
    qn_learner_free(&m);
    toy_done(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refitted_leaves_are_the_plain_ones),
        cmocka_unit_test(refitting_on_the_same_rows_gives_the_same_model),
        cmocka_unit_test(weights_quantiles_and_dart_are_their_definition),
        cmocka_unit_test(same_rows_give_the_same_leaves),
        cmocka_unit_test(dart_that_went_on_is_refitted),
        cmocka_unit_test(rankings_are_refitted_by_their_queries),
        cmocka_unit_test(steps_in_log_odds_are_bounded),
        cmocka_unit_test(what_cannot_be_refitted_is_refused),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
