/* What all families share: links, blocks of a prediction, checks of the data, sorting by a key. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "learn/learner.h"
#include "learn/order.h"
#include "matrix_for_test.h"

static void links(void **state) {
    double logit[] = {0, 800, -800, 1}, value[] = {-3, 7}, rate[] = {0, 2};
    qn_link_apply(QN_LINK_LOGIT, logit, 4, 1);
    assert_true(logit[0] == 0.5 && logit[1] == 1 && logit[2] >= 0 && logit[2] < 1e-300);
    assert_true(fabs(logit[3] - 0.7310585786300049) < 1e-15);
    qn_link_apply(QN_LINK_IDENTITY, value, 2, 1);
    assert_true(value[0] == -3 && value[1] == 7);
    qn_link_apply(QN_LINK_LOG, rate, 2, 1);
    assert_true(rate[0] == 1 && fabs(rate[1] - exp(2)) < 1e-15);
    double soft[] = {1, 2, 3, 1000, 1000, -1000}, alone[] = {1000, 1000, -1000};
    qn_link_apply(QN_LINK_SOFTMAX, soft, 2, 3);
    qn_link_apply(QN_LINK_SOFTMAX, alone, 1, 3);
    assert_true(fabs(soft[0] - 0.09003057317038046) < 1e-15 &&
                fabs(soft[0] + soft[1] + soft[2] - 1) < 1e-15);
    assert_true(soft[3] == 0.5 && soft[4] == 0.5 && soft[5] == 0);
    assert_memory_equal(alone, soft + 3, sizeof alone);
    qn_link_apply(QN_LINK_SOFTMAX, soft, 0, 3);
}

enum { ROWS = 5000, FEATURES = 4 };

/* More rows than a block: the same bits alone, in a batch, and with several threads. */
static void blocks_do_not_show(void **state) {
    qn_matrix x;
    qn_feature features[FEATURES];
    qn_matrix_column columns[FEATURES];
    matrix_fill(&x, features, columns, ROWS, FEATURES, true, 9);
    qn_cleanup(qn_freep) double *y = qn_new_array(double, ROWS), *one = qn_new_array(double, ROWS);
    qn_cleanup(qn_freep) double *many = qn_new_array(double, ROWS);
    qn_cleanup(qn_freep) double *rows = qn_new_array(double, ROWS *FEATURES);
    for (int i = 0; i < ROWS; i++)
        y[i] = columns[0].num[i] + columns[1].num[i] > 0.1;
    for (int i = 0; i < ROWS; i += 7)
        columns[1].num[i] = NAN;
    for (int64_t k = 0; k < columns[3].n_set; k += 5)
        columns[3].value[k] = k % 10 ? NAN : 0; /* zeros may be stored */
    qn_matrix_rows(&x, 0, ROWS, rows);
    qn_fit_input in = {.train = {&x, y, NULL}, .task = QN_TASK_BINARY, .n_classes = 2};
    for (const qn_family *const *family = qn_families(); *family; family++) {
        qn_cleanup(qn_learner_free) qn_learner *m = NULL;
        assert_int_equal(qn_learner_fit(*family, NULL, &in, NULL, &m, NULL), QN_OK);
        qn_job job = {.n_threads = 3};
        qn_learner_predict(m, &x, true, NULL, one);
        qn_learner_predict(m, &x, true, &job, many);
        assert_memory_equal(one, many, ROWS * sizeof(double));
        for (int64_t i = 0; i < ROWS; i += 97) {
            double raw;
            m->family->predict(m, &x, i, 1, &raw);
            qn_link_apply(m->link, &raw, 1, 1);
            assert_memory_equal(&raw, &one[i], sizeof raw);
        }
        /* The same rows without a matrix, missing values among them. */
        m->family->predict(m, &x, 0, ROWS, one);
        m->family->predict_rows(m, rows, ROWS, many);
        assert_memory_equal(one, many, ROWS * sizeof(double));
        for (int64_t i = 0; i < ROWS; i += 97) {
            m->family->predict_rows(m, rows + i * FEATURES, 1, many);
            assert_memory_equal(many, &one[i], sizeof *many);
        }
    }
    matrix_empty(&x, features);
}

static void bad_data_is_refused(void **state) {
    qn_matrix x;
    qn_feature features[2];
    qn_matrix_column columns[2];
    matrix_fill(&x, features, columns, 50, 2, false, 1);
    double y[50] = {0}, weight[50];
    for (int i = 0; i < 50; i++) {
        y[i] = i % 2;
        weight[i] = 1;
    }
    const qn_family *family = NULL;
    qn_learner *m = NULL;
    qn_error err = {0};
    assert_int_equal(qn_family_find("no-such", &family, &err), QN_ERR_CONFIG);
    assert_int_equal(qn_family_find("prior", &family, &err), QN_OK);
    qn_fit_input in = {.train = {&x, y, weight}, .task = QN_TASK_BINARY, .n_classes = 2};
    weight[3] = 0;
    assert_int_equal(qn_learner_fit(family, NULL, &in, NULL, &m, &err), QN_ERR_DATA);
    assert_non_null(strstr(err.message, "row 4"));
    weight[3] = 1;
    y[7] = 2;
    assert_int_equal(qn_learner_fit(family, NULL, &in, NULL, &m, &err), QN_ERR_DATA);
    y[7] = NAN;
    in.task = QN_TASK_REGRESSION;
    assert_int_equal(qn_learner_fit(family, NULL, &in, NULL, &m, &err), QN_ERR_DATA);
    y[7] = 1;
    in.task = QN_TASK_MULTICLASS;
    in.n_classes = 1;
    assert_int_equal(qn_learner_fit(family, NULL, &in, NULL, &m, &err), QN_ERR_USAGE);
    qn_cleanup(qn_json_free) json_t *params = json_loads("{\"no_such\": 1}", 0, NULL);
    in.n_classes = 2;
    assert_int_equal(qn_family_find("linear", &family, NULL), QN_OK);
    assert_int_equal(qn_learner_fit(family, params, &in, NULL, &m, &err), QN_ERR_CONFIG);
    assert_null(m);
    matrix_empty(&x, features);
}

static const double *compared;

static int by_key(const void *a, const void *b) {
    double x = compared[*(const int64_t *)a], y = compared[*(const int64_t *)b];
    if (isnan(x) || isnan(y))
        x = isnan(x), y = isnan(y);
    return x != y ? (x > y) - (x < y) : *(const int64_t *)a < *(const int64_t *)b ? -1 : 1;
}

static void orders_as_a_stable_sort(void **state) {
    enum { MOST = 3000 };
    double key[MOST], wide[2 * MOST];
    int64_t order[MOST], wanted[MOST];
    qn_rng rng;
    qn_rng_init(&rng, 4);
    for (int round = 0; round < 12; round++) {
        int64_t n = round < 4 ? round : MOST / (round - 3);
        for (int64_t i = 0; i < n; i++) {
            double u = qn_rng_normal(&rng);
            key[i] = round % 3 == 0   ? u
                     : round % 3 == 1 ? floor(3 * u)
                                      : u * pow(10, floor(200 * u / 4));
            if (i % 50 == 7)
                key[i] = (double[]){NAN, INFINITY, -INFINITY, -0.0, 0.0}[i / 50 % 5];
            wide[2 * i] = key[i];
            wide[2 * i + 1] = -1;
            wanted[i] = i;
        }
        compared = key;
        qsort(wanted, (size_t)n, sizeof *wanted, by_key);
        assert_int_equal(qn_order_f64(key, 1, n, order, NULL), QN_OK);
        assert_memory_equal(order, wanted, (size_t)n * sizeof *order);
        assert_int_equal(qn_order_f64(wide, 2, n, order, NULL), QN_OK);
        assert_memory_equal(order, wanted, (size_t)n * sizeof *order);
    }
    for (int i = 0;; i++) {
        qn_mem_fail_after(i);
        qn_status status = qn_order_f64(key, 1, 300, order, NULL);
        qn_mem_fail_after(-1);
        if (status == QN_OK)
            break;
        assert_int_equal(status, QN_ERR_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links),
        cmocka_unit_test(blocks_do_not_show),
        cmocka_unit_test(bad_data_is_refused),
        cmocka_unit_test(orders_as_a_stable_sort),
    };
    return cmocka_run_group_tests_name("learner", tests, NULL, NULL);
}
