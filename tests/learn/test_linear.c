/* Linear models against scikit-learn (recomputed by check_linear.py when it is there), sparse
 * against dense, explanations, files, threads, failing memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/check_by_python.h"
#include "base/mem.h"
#include "learn/linear.h"
#include "matrix_for_test.h"

enum { N = 300, P = 6 };

typedef struct data {
    qn_matrix x;
    qn_feature features[P];
    qn_matrix_column columns[P];
    double y[N], weight[N];
} data;

static void data_init(data *d, qn_task task, bool sparse) {
    qn_rng rng;
    qn_rng_init(&rng, 77);
    matrix_fill(&d->x, d->features, d->columns, N, P, sparse, 3);
    for (int i = 0; i < N; i++) {
        double s = d->x.columns[0].num[i] * 5 - d->x.columns[1].num[i] + 1.5 + qn_rng_normal(&rng);
        d->weight[i] = 0.5 + qn_rng_uniform(&rng);
        d->y[i] = task == QN_TASK_REGRESSION ? 50 + 20 * s
                  : task == QN_TASK_BINARY   ? s > 0
                                             : (s > 0.7) + (s > -0.7);
    }
}

static qn_fit_input input_of(const data *d, qn_task task, bool weighted) {
    return (qn_fit_input){.train = {&d->x, d->y, weighted ? d->weight : NULL},
                          .task = task,
                          .seed = 1,
                          .n_classes = task == QN_TASK_REGRESSION ? 0
                                       : task == QN_TASK_BINARY   ? 2
                                                                  : 3};
}

static qn_learner *fit(const qn_fit_input *input, const char *params, const qn_job *job) {
    const qn_family *family = NULL;
    qn_learner *learner = NULL;
    qn_error err = {0};
    qn_cleanup(qn_json_free) json_t *json = json_loads(params, 0, NULL);
    assert_int_equal(qn_family_find("linear", &family, NULL), QN_OK);
    if (qn_learner_fit(family, json, input, job, &learner, &err) != QN_OK)
        fail_msg("%s", err.message);
    return learner;
}

/* Row-major, sparse columns with their zeros. */
static void record(json_t *cases, qn_task task, bool weighted, bool sparse, double lambda,
                   double l1_ratio) {
    qn_cleanup(qn_freep) data *d = qn_calloc(1, sizeof *d);
    qn_cleanup(qn_freep) double *raw = qn_calloc(3 * N, sizeof *raw);
    qn_cleanup(qn_freep) double *x = qn_calloc(N * P, sizeof *x);
    static const char *const names[] = {"binary", "multiclass", "regression"};
    char params[200];
    snprintf(params, sizeof params,
             "{\"lambda\": %g, \"l1_ratio\": %g, \"tol\": 1e-10, \"max_iter\": 5000}", lambda,
             l1_ratio);
    data_init(d, task, sparse);
    qn_fit_input in = input_of(d, task, weighted);
    qn_cleanup(qn_learner_free) qn_learner *m = fit(&in, params, NULL);
    qn_learner_predict(m, &d->x, false, NULL, raw);
    qn_matrix_rows(&d->x, 0, N, x);
    const qn_linear *linear = (const qn_linear *)m;
    json_t *c = json_object();
    json_object_set_new(c, "task", json_string(names[task]));
    json_object_set_new(c, "lambda", json_real(lambda));
    json_object_set_new(c, "l1_ratio", json_real(l1_ratio));
    json_object_set_new(c, "x", qn_json_numbers(x, N * P));
    json_object_set_new(c, "y", qn_json_numbers(d->y, N));
    json_object_set_new(c, "weight", weighted ? qn_json_numbers(d->weight, N) : json_null());
    json_object_set_new(c, "raw", qn_json_numbers(raw, (size_t)N * (size_t)m->n_outputs));
    json_object_set_new(c, "coef", qn_json_numbers(linear->weight, (size_t)m->n_outputs * P));
    json_array_append_new(cases, c);
    matrix_empty(&d->x, d->features);
}

static void equals_scikit_learn(void **state) {
    qn_cleanup(qn_json_free) json_t *cases = json_array();
    for (int task = 0; task < 3; task++)
        for (int weighted = 0; weighted < 2; weighted++)
            for (int part = 0; part < 3; part++)
                record(cases, (qn_task)task, weighted, part == weighted,
                       task == QN_TASK_REGRESSION ? 0.5 : 0.01, part / 2.0);
    check_by_python("tests/learn/check_linear.py", cases);
}

static void explains_saves_and_ignores_threads(void **state) {
    for (int task = 0; task < 3; task++)
        for (int l1 = 0; l1 < 2; l1++) {
            qn_cleanup(qn_freep) data *d = qn_calloc(1, sizeof *d);
            double raw[3 * N], again[3 * N], contrib[3 * N * (P + 1)], one[3];
            qn_cleanup(qn_buf_done) qn_buf a = {0}, b = {0};
            qn_job job = {.n_threads = 3};
            data_init(d, (qn_task)task, true);
            d->columns[2].num[5] = NAN;
            qn_fit_input in = input_of(d, (qn_task)task, true);
            const char *params = l1 ? "{\"l1_ratio\": 0.5}" : "{}";
            qn_cleanup(qn_learner_free) qn_learner *m = fit(&in, params, NULL),
                                                   *t = fit(&in, params, &job), *back = NULL;
            assert_int_equal(m->family->save(m, &a, NULL), QN_OK);
            assert_int_equal(t->family->save(t, &b, NULL), QN_OK);
            assert_int_equal(a.len, b.len);
            assert_memory_equal(a.data, b.data, a.len);
            assert_int_equal(m->family->load(a.data, a.len, d->features, P, &back, NULL), QN_OK);
            qn_learner_predict(m, &d->x, false, NULL, raw);
            qn_learner_predict(back, &d->x, false, &job, again);
            assert_memory_equal(raw, again, (size_t)m->n_outputs * N * sizeof(double));
            assert_int_equal(m->family->explain(m, &d->x, 0, N, contrib, NULL), QN_OK);
            for (int i = 0; i < N; i++) {
                m->family->predict(m, &d->x, i, 1, one);
                assert_memory_equal(one, raw + i * m->n_outputs,
                                    (size_t)m->n_outputs * sizeof(double));
                for (int k = 0; k < m->n_outputs; k++) {
                    double sum = 0;
                    for (int j = 0; j <= P; j++)
                        sum += contrib[(i * m->n_outputs + k) * (P + 1) + j];
                    assert_true(fabs(sum - one[k]) <= 1e-9 * fmax(1, fabs(one[k])));
                }
            }
            for (size_t n = 0; n < a.len; n++) {
                qn_learner *cut = NULL;
                assert_int_equal(m->family->load(a.data, n, d->features, P, &cut, NULL),
                                 QN_ERR_FORMAT);
            }
            double importance[P], sum = 0;
            m->family->importance(m, importance);
            for (int j = 0; j < P; j++)
                sum += importance[j];
            assert_true(fabs(sum - 1) < 1e-12);
            matrix_empty(&d->x, d->features);
        }
}

/* The chosen lambda answers the validation rows as well as any of the path fitted on its own. */
static void lambda_is_chosen_on_validation_rows(void **state) {
    for (int task = 0; task < 3; task++) {
        qn_cleanup(qn_freep) data *d = qn_calloc(1, sizeof *d), *v = qn_calloc(1, sizeof *v);
        double raw[3 * N], best = INFINITY, chosen = 0;
        data_init(d, (qn_task)task, false);
        data_init(v, (qn_task)task, false);
        for (int i = 0; i < N; i++) {
            v->columns[0].num[i] += 0.05 * sin(i);
            d->columns[1].num[i] += 0.05 * cos(i);
        }
        qn_fit_input in = input_of(d, (qn_task)task, false);
        in.valid = (qn_fit_data){&v->x, v->y, NULL};
        double lambda = 10;
        for (int step = -1; step < 15; step++) {
            char params[64] = "{}";
            if (step >= 0)
                snprintf(params, sizeof params, "{\"lambda\": %.17g}", lambda);
            qn_cleanup(qn_learner_free) qn_learner *m = fit(&in, params, NULL);
            qn_learner_predict(m, &v->x, true, NULL, raw);
            double loss = 0;
            for (int i = 0; i < N; i++)
                loss += task == QN_TASK_REGRESSION   ? (raw[i] - v->y[i]) * (raw[i] - v->y[i])
                        : task == QN_TASK_BINARY     ? -log(v->y[i] == 1 ? raw[i] : 1 - raw[i])
                                                     : -log(raw[i * 3 + (int)v->y[i]]);
            if (step < 0)
                chosen = loss;
            else
                best = fmin(best, loss), lambda *= sqrt(0.1);
        }
        assert_true(chosen <= best * 1.002);
        in.valid = (qn_fit_data){0};
        qn_cleanup(qn_learner_free) qn_learner *folds = fit(&in, "{}", NULL);
        assert_true(((const qn_linear *)folds)->lambda > 0);
        matrix_empty(&d->x, d->features);
        matrix_empty(&v->x, v->features);
    }
}

static void balanced_classes_are_weights(void **state) {
    qn_cleanup(qn_freep) data *d = qn_calloc(1, sizeof *d);
    double count[3] = {0}, a[3 * N], b[3 * N];
    data_init(d, QN_TASK_MULTICLASS, false);
    for (int i = 0; i < N; i++)
        count[(int)d->y[i]]++;
    for (int i = 0; i < N; i++)
        d->weight[i] = N / (3 * count[(int)d->y[i]]);
    qn_fit_input plain = input_of(d, QN_TASK_MULTICLASS, false), weighted = plain;
    weighted.train.weight = d->weight;
    /* Scaling inside would see the weights of rows, but not those of classes. */
    qn_cleanup(qn_learner_free) qn_learner *m = fit(
        &plain,
        "{\"class_weight\": \"balanced\", \"lambda\": 0.01, \"standardize\": false, \"tol\": 1e-9}",
        NULL);
    qn_cleanup(qn_learner_free) qn_learner *w =
        fit(&weighted, "{\"lambda\": 0.01, \"standardize\": false, \"tol\": 1e-9}", NULL);
    qn_learner_predict(m, &d->x, true, NULL, a);
    qn_learner_predict(w, &d->x, true, NULL, b);
    for (int i = 0; i < 3 * N; i++)
        assert_true(fabs(a[i] - b[i]) < 1e-6);
    matrix_empty(&d->x, d->features);
}

static void memory_fails(const json_t *params) {
    qn_cleanup(qn_freep) data *d = qn_calloc(1, sizeof *d);
    const qn_family *family = NULL;
    data_init(d, QN_TASK_MULTICLASS, true);
    qn_fit_input in = input_of(d, QN_TASK_MULTICLASS, true);
    assert_int_equal(qn_family_find("linear", &family, NULL), QN_OK);
    for (int i = 0;; i++) {
        qn_cleanup(qn_learner_free) qn_learner *m = NULL;
        qn_mem_fail_after(i);
        qn_status status = qn_learner_fit(family, params, &in, NULL, &m, NULL);
        qn_mem_fail_after(-1);
        if (status == QN_OK)
            break;
        assert_int_equal(status, QN_ERR_MEMORY);
    }
    matrix_empty(&d->x, d->features);
}

static void memory_failures(void **state) {
    qn_cleanup(qn_json_free) json_t *net = json_loads("{\"l1_ratio\": 0.5}", 0, NULL);
    memory_fails(NULL);
    memory_fails(net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_scikit_learn),
        cmocka_unit_test(explains_saves_and_ignores_threads),
        cmocka_unit_test(lambda_is_chosen_on_validation_rows),
        cmocka_unit_test(balanced_classes_are_weights),
        cmocka_unit_test(memory_failures),
    };
    return cmocka_run_group_tests_name("linear", tests, NULL, NULL);
}
