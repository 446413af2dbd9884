/* Resamples, intervals, and both bootstraps: shape, independence of threads, failing memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "evaluate/bootstrap.h"

enum { N = 2000 };

static void assert_near(double a, double b, double by) {
    assert_true(fabs(a - b) <= by);
}

typedef struct rows {
    double y[N], a[3 * N], b[3 * N];
} rows;

static rows *make_rows(void) {
    rows *r = qn_calloc(1, sizeof *r);
    assert_non_null(r);
    qn_rng rng;
    qn_rng_init(&rng, 5);
    for (int i = 0; i < N; i++) {
        r->y[i] = (double)qn_rng_below(&rng, 2);
        r->a[i] = 0.3 * r->y[i] + 0.7 * qn_rng_uniform(&rng);
        r->b[i] = 0.1 * r->y[i] + 0.9 * qn_rng_uniform(&rng);
    }
    return r;
}

static void counts_are_poisson(void **state) {
    enum { DRAWS = 400000 };
    qn_cleanup(qn_freep) unsigned char *c = qn_calloc(DRAWS, 1);
    double share[QN_BOOTSTRAP_COUNT_MAX + 1] = {0}, mean = 0, expected = exp(-1);
    qn_bootstrap_counts(1, 0, DRAWS, c);
    for (int i = 0; i < DRAWS; i++) {
        assert_true(c[i] <= QN_BOOTSTRAP_COUNT_MAX);
        share[c[i]] += 1.0 / DRAWS;
        mean += (double)c[i] / DRAWS;
    }
    assert_near(mean, 1, 0.008);
    for (int k = 0; k <= 4; expected /= ++k)
        assert_near(share[k], expected, 0.004);
    /* a shorter resample is a prefix, another round or seed is not */
    unsigned char few[45], other[45];
    qn_bootstrap_counts(1, 0, 45, few);
    assert_memory_equal(few, c, 45);
    qn_bootstrap_counts(1, 1, 45, other);
    assert_memory_not_equal(few, other, 45);
    qn_bootstrap_counts(2, 0, 45, other);
    assert_memory_not_equal(few, other, 45);
}

static void interval_is_numpys(void **state) {
    double x[101];
    for (int i = 0; i < 101; i++)
        x[i] = (i * 37) % 101;
    qn_interval q = qn_bootstrap_interval(50, x, 101);
    assert_near(q.low, 2.5, 1e-12);
    assert_near(q.high, 97.5, 1e-12);
    double gaps[] = {NAN, 1, NAN, NAN};
    q = qn_bootstrap_interval(1, gaps, 4);
    assert_true(isnan(q.low) && isnan(q.high) && q.value == 1);
    q = qn_bootstrap_interval(1, NULL, 0);
    assert_true(isnan(q.low));
}

static double member(const json_t *metrics, const char *name, const char *part) {
    return json_number_value(json_object_get(json_object_get(metrics, name), part));
}

static void same_for_any_threads(void **state) {
    qn_cleanup(qn_freep) rows *r = make_rows();
    qn_cleanup(qn_json_free) json_t *one = NULL, *three = NULL;
    qn_job job = {.n_threads = 3};
    for (int task = 0; task < 3; task++) {
        qn_eval_input in = {.task = (qn_task)task,
                            .n_classes = task == 1 ? 3 : 2,
                            .n = task == 1 ? 600 : N,

                            .y = r->y,
                            .scores = r->a,
                            .threshold = 0.5};
        if (task == 1)
            r->y[0] = 2;
        assert_int_equal(qn_evaluate_metrics(&in, 60, 9, NULL, &one, NULL), QN_OK);
        assert_int_equal(qn_evaluate_metrics(&in, 60, 9, &job, &three, NULL), QN_OK);
        assert_true(json_equal(one, three));
        r->y[0] = 0;
        qn_json_free(&one);
        qn_json_free(&three);
    }
}

static void intervals_hold_the_value(void **state) {
    qn_cleanup(qn_freep) rows *r = make_rows();
    qn_cleanup(qn_json_free) json_t *m = NULL;
    qn_eval_input in = {.task = QN_TASK_BINARY, .n_classes = 2, .n = N,
                        .y = r->y, .scores = r->a, .threshold = 0.5};
    assert_int_equal(qn_evaluate_metrics(&in, 500, 1, NULL, &m, NULL), QN_OK);
    const char *key;
    json_t *item;
    json_object_foreach(m, key, item) {
        assert_true(member(m, key, "low") <= member(m, key, "value"));
        assert_true(member(m, key, "high") >= member(m, key, "value"));
    }
    /* accuracy is a mean: its interval is that of the normal approximation */
    double p = member(m, "accuracy", "value"), half = 1.96 * sqrt(p * (1 - p) / N);
    assert_near(member(m, "accuracy", "low"), p - half, 0.25 * half);
    assert_near(member(m, "accuracy", "high"), p + half, 0.25 * half);
    /* Of few rows, well calibrated: resamples have a larger calibration error than the rows. */
    qn_rng rng;
    qn_rng_init(&rng, 8);
    for (int i = 0; i < 300; i++)
        r->y[i] = qn_rng_uniform(&rng) < r->a[i];
    in.n = 300;
    qn_json_free(&m);
    assert_int_equal(qn_evaluate_metrics(&in, 500, 1, NULL, &m, NULL), QN_OK);
    assert_true(member(m, "ece", "low") >= 0 &&
                member(m, "ece", "low") <= member(m, "ece", "value"));
    assert_true(member(m, "ece", "high") >= member(m, "ece", "value"));
    in.n = N;
    for (int i = 0; i < N; i++)
        r->y[i] = 1;
    qn_json_free(&m);
    assert_int_equal(qn_evaluate_metrics(&in, 10, 1, NULL, &m, NULL), QN_OK);
    assert_true(json_is_null(json_object_get(m, "roc_auc")));
}

static void difference_is_paired(void **state) {
    qn_cleanup(qn_freep) rows *r = make_rows();
    const qn_metric *auc = NULL;
    qn_interval d;
    qn_eval_input a = {.task = QN_TASK_BINARY, .n_classes = 2, .n = N,
                        .y = r->y, .scores = r->a, .threshold = 0.5};
    qn_eval_input b = a;
    assert_int_equal(qn_metric_find("roc_auc", QN_TASK_BINARY, &auc, NULL), QN_OK);
    assert_int_equal(qn_evaluate_difference(auc, &a, &b, 50, 3, NULL, &d, NULL), QN_OK);
    assert_true(d.value == 0 && d.low == 0 && d.high == 0);
    b.scores = r->b;
    assert_int_equal(qn_evaluate_difference(auc, &a, &b, 200, 3, NULL, &d, NULL), QN_OK);
    assert_near(d.value, auc->compute(&a) - auc->compute(&b), 1e-12);
    assert_true(d.low > 0 && d.low < d.value && d.value < d.high);
    b.n = N - 1;
    assert_int_equal(qn_evaluate_difference(auc, &a, &b, 50, 3, NULL, &d, NULL), QN_ERR_USAGE);
}

static void bad_input(void **state) {
    qn_cleanup(qn_freep) rows *r = make_rows();
    json_t *m = NULL;
    qn_error err = {0};
    qn_eval_input in = {.task = QN_TASK_BINARY, .n_classes = 2, .n = 0, .y = r->y, .scores = r->a};
    assert_int_equal(qn_evaluate_metrics(&in, 10, 1, NULL, &m, &err), QN_ERR_DATA);
    in.n = 10;
    assert_int_equal(qn_evaluate_metrics(&in, -1, 1, NULL, &m, &err), QN_ERR_USAGE);
    r->a[3] = NAN;
    assert_int_equal(qn_evaluate_metrics(&in, 10, 1, NULL, &m, &err), QN_ERR_DATA);
    assert_non_null(strstr(err.message, "row 4"));
    r->a[3] = 0.5;
    r->y[2] = 7;
    assert_int_equal(qn_evaluate_metrics(&in, 10, 1, NULL, &m, &err), QN_ERR_USAGE);
    assert_null(m);
}

static void memory_failures(void **state) {
    qn_cleanup(qn_freep) rows *r = make_rows();
    for (int task = 0; task < 3; task++) {
        qn_eval_input in = {.task = (qn_task)task,
                            .n_classes = task == 1 ? 3 : 2,
                            .n = 200,
                            .y = r->y,
                            .scores = r->a,
                            .threshold = 0.5};
        qn_job job = {.n_threads = 2};
        for (int i = 0;; i++) {
            qn_cleanup(qn_json_free) json_t *m = NULL;
            qn_mem_fail_after(i);
            qn_status status = qn_evaluate_metrics(&in, 5, 1, &job, &m, NULL);
            qn_mem_fail_after(-1);
            if (status == QN_OK)
                break;
            assert_int_equal(status, QN_ERR_MEMORY);
            assert_null(m);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_poisson),    cmocka_unit_test(interval_is_numpys),
        cmocka_unit_test(same_for_any_threads),  cmocka_unit_test(intervals_hold_the_value),
        cmocka_unit_test(difference_is_paired),  cmocka_unit_test(bad_input),
        cmocka_unit_test(memory_failures),
    };
    return cmocka_run_group_tests_name("bootstrap", tests, NULL, NULL);
}
