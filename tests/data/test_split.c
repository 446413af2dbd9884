/* Splits, folds and samples. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "data/sample.h"
#include "data/split.h"

enum { N = 1000 };

static int part_of(const qn_split *split, int64_t row) {
    int found = -1, n = 0;
    const int64_t *rows[] = {split->train, split->validate, split->test};
    int64_t sizes[] = {split->n_train, split->n_validate, split->n_test};
    for (int p = 0; p < 3; p++)
        for (int64_t i = 0; i < sizes[p]; i++) {
            if (i > 0)
                assert_true(rows[p][i - 1] < rows[p][i]);
            if (rows[p][i] == row) {
                found = p;
                n++;
            }
        }
    assert_true(n <= 1);
    return found;
}

static double *make_y(int n_classes) {
    double *y = qn_new_array(double, N);
    for (int i = 0; i < N; i++)
        y[i] = i % 50 == 7 ? NAN : (double)(qn_rng_hash(3, (uint64_t)i) % (uint64_t)n_classes);
    return y;
}

static qn_column *make_column(qn_type type) {
    static int64_t values[N];
    static qn_column column;
    for (int i = 0; i < N; i++)
        values[i] = type == QN_TYPE_TIME ? (int64_t)(qn_rng_hash(9, (uint64_t)i) % 40) * 3600000000
                                         : (int64_t)(qn_rng_hash(5, (uint64_t)i) % 60);
    column = (qn_column){.name = (char *)"key", .type = type, .n_rows = N, .i64 = values};
    return &column;
}

static void random_shares_are_exact(void **state) {
    qn_cleanup(qn_freep) double *y = make_y(2);
    qn_cleanup(qn_split_done) qn_split a = {0}, b = {0}, c = {0};
    qn_split_options options = {
        .method = QN_SPLIT_RANDOM, .test = 0.2, .validate = 0.1, .seed = 42};
    assert_int_equal(qn_split_make(&options, N, y, QN_TASK_BINARY, 2, NULL, NULL, &a, NULL), QN_OK);
    assert_int_equal(a.n_unlabelled, 20);
    assert_int_equal(a.n_test, 196);
    assert_int_equal(a.n_validate, 98);
    assert_int_equal(a.n_train, 686);
    for (int i = 0; i < N; i++)
        assert_int_equal(part_of(&a, i) < 0, isnan(y[i]) != 0);
    assert_int_equal(qn_split_make(&options, N, y, QN_TASK_BINARY, 2, NULL, NULL, &b, NULL), QN_OK);
    assert_memory_equal(a.test, b.test, sizeof(int64_t) * 196);
    options.seed = 43;
    assert_int_equal(qn_split_make(&options, N, y, QN_TASK_BINARY, 2, NULL, NULL, &c, NULL), QN_OK);
    assert_memory_not_equal(a.test, c.test, sizeof(int64_t) * 196);
}

static void stratified_keeps_classes(void **state) {
    qn_cleanup(qn_freep) double *y = make_y(4);
    for (int i = 0; i < N; i++) /* class 3 becomes rare: exactly 3 rows */
        y[i] = y[i] == 3 ? 0 : y[i];
    y[10] = y[500] = y[990] = 3;
    qn_cleanup(qn_split_done) qn_split s = {0};
    qn_split_options options = {
        .method = QN_SPLIT_STRATIFIED, .test = 0.2, .validate = 0.1, .seed = 1};
    assert_int_equal(qn_split_make(&options, N, y, QN_TASK_MULTICLASS, 4, NULL, NULL, &s, NULL),
                     QN_OK);
    double n[3][4] = {0}, total[4] = {0};
    for (int i = 0; i < N; i++)
        if (!isnan(y[i])) {
            n[part_of(&s, i)][(int)y[i]]++;
            total[(int)y[i]]++;
        }
    for (int c = 0; c < 3; c++) {
        assert_true(fabs(n[2][c] - 0.2 * total[c]) <= 1);
        assert_true(fabs(n[1][c] - 0.1 * total[c]) <= 1);
    }
    for (int p = 0; p < 3; p++)
        assert_true(n[p][3] == 1);
    y[10] = y[500] = 0; /* one row left */
    qn_error err = {0};
    qn_split bad = {0};
    assert_int_equal(qn_split_make(&options, N, y, QN_TASK_MULTICLASS, 4, NULL, NULL, &bad, &err),
                     QN_ERR_DATA);
    assert_non_null(strstr(err.message, "impossible split: the class of row 991 has 1 row only"));
    assert_null(bad.train);
}

static void time_never_straddles(void **state) {
    qn_column *time = make_column(QN_TYPE_TIME);
    qn_cleanup(qn_split_done) qn_split s = {0};
    qn_split_options options = {.method = QN_SPLIT_TIME, .test = 0.2, .validate = 0.1};
    assert_int_equal(qn_split_make(&options, N, NULL, QN_TASK_REGRESSION, 0, time, NULL, &s, NULL),
                     QN_OK);
    int64_t low[3] = {INT64_MAX, INT64_MAX, INT64_MAX}, high[3] = {-1, -1, -1};
    for (int i = 0; i < N; i++) {
        int p = part_of(&s, i);
        low[p] = time->i64[i] < low[p] ? time->i64[i] : low[p];
        high[p] = time->i64[i] > high[p] ? time->i64[i] : high[p];
    }
    assert_true(high[0] < low[1] && high[1] < low[2]);
    assert_true(s.validate_from == (double)low[1] && s.test_from == (double)low[2]);
    assert_true(labs(s.n_test - 200) < 30 && labs(s.n_validate - 100) < 30);
    qn_cleanup(qn_json_free) json_t *json = qn_split_to_json(&s);
    const char *from = json_string_value(json_object_get(json, "test_from"));
    assert_non_null(from);
    assert_memory_equal(from, "1970-01-02T", 11);

    qn_error err = {0};
    qn_split bad = {0};
    uint64_t valid[(N + 63) / 64];
    memset(valid, 255, sizeof valid);
    valid[1] &= ~(UINT64_C(1) << 3);
    time->valid = valid;
    time->n_null = 1;
    assert_int_equal(
        qn_split_make(&options, N, NULL, QN_TASK_REGRESSION, 0, time, NULL, &bad, &err),
        QN_ERR_DATA);
    assert_int_equal(err.row, 68);
    time->valid = NULL;
    memset(time->i64, 0, sizeof(int64_t) * N);
    assert_int_equal(
        qn_split_make(&options, N, NULL, QN_TASK_REGRESSION, 0, time, NULL, &bad, &err),
        QN_ERR_DATA);
    assert_non_null(strstr(err.message, "impossible split"));
    assert_int_equal(
        qn_split_make(&options, N, NULL, QN_TASK_REGRESSION, 0, NULL, NULL, &bad, &err),
        QN_ERR_CONFIG);
}

static void groups_stay_together(void **state) {
    qn_column *group = make_column(QN_TYPE_I64);
    qn_cleanup(qn_split_done) qn_split s = {0};
    qn_split_options options = {.method = QN_SPLIT_GROUP, .test = 0.2, .validate = 0.1, .seed = 8};
    assert_int_equal(qn_split_make(&options, N, NULL, QN_TASK_BINARY, 2, NULL, group, &s, NULL),
                     QN_OK);
    int part[60];
    memset(part, -1, sizeof part);
    for (int i = 0; i < N; i++) {
        int p = part_of(&s, i), g = (int)group->i64[i];
        assert_true(part[g] < 0 || part[g] == p);
        part[g] = p;
    }
    assert_int_equal(s.n_groups, 60);
    assert_true(labs(s.n_test - 200) < 10 && labs(s.n_validate - 100) < 10);
    qn_error err = {0};
    qn_split bad = {0};
    for (int i = 0; i < N; i++)
        group->i64[i] = i % 2;
    assert_int_equal(qn_split_make(&options, N, NULL, QN_TASK_BINARY, 2, NULL, group, &bad, &err),
                     QN_ERR_DATA);
    assert_non_null(strstr(err.message, "2 groups, fewer than the 3 parts"));
}

static void stretches_follow_time(void **state) {
    static int64_t values[N], rows[N];
    static int32_t stretch[N];
    qn_column time = {.name = (char *)"when", .type = QN_TYPE_I64, .n_rows = N, .i64 = values};
    const int distinct[] = {N, 40, 7, 1};
    for (size_t k = 0; k < sizeof distinct / sizeof *distinct; k++) {
        for (int i = 0; i < N; i++) {
            values[i] = (int64_t)(qn_rng_hash(k, (uint64_t)i) % (uint64_t)distinct[k]);
            rows[i] = N - 1 - i; /* any order of the rows will do */
        }
        int32_t n, most = distinct[k] < 10 ? distinct[k] : 10;
        assert_int_equal(qn_split_stretches(&time, rows, N, 10, stretch, &n, NULL), QN_OK);
        assert_in_range(n, most > 1 ? most / 2 : 1, most);
        int64_t size[10] = {0}, oldest[10], newest[10];
        for (int i = 0; i < N; i++) {
            int64_t t = values[rows[i]];
            int32_t s = stretch[i];
            assert_in_range(s, 0, n - 1);
            oldest[s] = size[s] == 0 || t < oldest[s] ? t : oldest[s];
            newest[s] = size[s] == 0 || t > newest[s] ? t : newest[s];
            size[s]++;
        }
        for (int32_t s = 0; s < n; s++) {
            assert_true(s == 0 || newest[s - 1] < oldest[s]);
            if (distinct[k] >= 40) /* a tenth, but for the ties of one time */
                assert_in_range(size[s], 100 - 2 * N / distinct[k], 100 + 2 * N / distinct[k]);
        }
    }
    int32_t n = 9;
    assert_int_equal(qn_split_stretches(&time, rows, 0, 10, stretch, &n, NULL), QN_OK);
    assert_int_equal(n, 0);
    qn_mem_fail_after(0);
    assert_int_equal(qn_split_stretches(&time, rows, N, 10, stretch, &n, NULL), QN_ERR_MEMORY);
    qn_mem_fail_after(-1);
}

static void shares_are_checked(void **state) {
    double y[4] = {0, 1, 0, 1}, none[4] = {NAN, NAN, NAN, NAN};
    qn_error err = {0};
    qn_split s = {0};
    qn_split_options options = {.test = 0.05};
    assert_int_equal(qn_split_make(&options, 4, y, QN_TASK_BINARY, 2, NULL, NULL, &s, &err),
                     QN_ERR_DATA);
    assert_non_null(strstr(err.message, "is no row"));
    options.test = 0.9;
    assert_int_equal(qn_split_make(&options, 4, y, QN_TASK_BINARY, 2, NULL, NULL, &s, &err),
                     QN_ERR_DATA);
    options.validate = 0.2;
    assert_int_equal(qn_split_make(&options, 4, y, QN_TASK_BINARY, 2, NULL, NULL, &s, &err),
                     QN_ERR_CONFIG);
    options.test = NAN;
    assert_int_equal(qn_split_make(&options, 4, y, QN_TASK_BINARY, 2, NULL, NULL, &s, &err),
                     QN_ERR_CONFIG);
    options = (qn_split_options){.test = 0.5};
    assert_int_equal(qn_split_make(&options, 4, none, QN_TASK_BINARY, 2, NULL, NULL, &s, &err),
                     QN_ERR_DATA);
    assert_int_equal(qn_split_make(&options, 0, y, QN_TASK_BINARY, 2, NULL, NULL, &s, &err),
                     QN_ERR_DATA);
}

static void folds_of_every_method(void **state) {
    qn_cleanup(qn_freep) double *y = make_y(3);
    for (int m = 0; m < 4; m++) {
        qn_split_options options = {.method = (qn_split_method)m, .seed = 4, .folds = 5};
        qn_column *key = make_column(m == QN_SPLIT_TIME ? QN_TYPE_TIME : QN_TYPE_I64);
        qn_cleanup(qn_freep) int32_t *fold = NULL;
        assert_int_equal(
            qn_folds_make(&options, N, NULL, 0, y, QN_TASK_MULTICLASS, 3, key, key, &fold, NULL),
            QN_OK);
        int n[5] = {0};
        for (int i = 0; i < N; i++) {
            assert_int_equal(fold[i] == QN_FOLD_NONE, isnan(y[i]) != 0);
            if (fold[i] >= 0)
                n[fold[i]]++;
            for (int j = 0; j < i && m == QN_SPLIT_GROUP; j++)
                if (fold[i] >= 0 && fold[j] >= 0 && key->i64[i] == key->i64[j])
                    assert_int_equal(fold[i], fold[j]);
            for (int j = 0; j < i && m == QN_SPLIT_TIME; j++)
                if (fold[i] != QN_FOLD_NONE && fold[j] != QN_FOLD_NONE && key->i64[i] < key->i64[j])
                    assert_true(fold[i] <= fold[j]);
        }
        for (int f = 0; f < 5; f++)
            assert_true(abs(n[f] - (m == QN_SPLIT_TIME ? 163 : 196)) < 30);
    }
    assert_true(qn_fold_trains(QN_SPLIT_TIME, QN_FOLD_TRAIN_ONLY, 0));
    assert_false(qn_fold_trains(QN_SPLIT_TIME, 2, 1));
    assert_true(qn_fold_trains(QN_SPLIT_RANDOM, 2, 1));
    assert_false(qn_fold_trains(QN_SPLIT_RANDOM, QN_FOLD_NONE, 1));
    qn_split_options one = {.folds = 1};
    int32_t *none = NULL;
    assert_int_equal(qn_folds_make(&one, N, NULL, 0, y, QN_TASK_BINARY, 2, NULL, NULL, &none, NULL),
                     QN_ERR_CONFIG);
}

static void negatives_do_not_depend_on_the_rest(void **state) {
    qn_cleanup(qn_freep) double *y = make_y(2);
    qn_cleanup(qn_freep) int64_t *all = NULL, *half = NULL, *rows = qn_new_array(int64_t, N / 2);
    int64_t n_all = 0, n_half = 0, n_one = 0, n_zero = 0, k = 0;
    for (int i = 0; i < N / 2; i++)
        rows[i] = 2 * i;
    assert_int_equal(qn_sample_negatives(NULL, N, y, 0.3, 7, &all, &n_all, NULL), QN_OK);
    assert_int_equal(qn_sample_negatives(rows, N / 2, y, 0.3, 7, &half, &n_half, NULL), QN_OK);
    for (int64_t i = 0; i < n_all; i++) {
        n_one += y[all[i]] == 1;
        n_zero += y[all[i]] == 0;
        if (all[i] % 2 == 0)
            assert_int_equal(half[k++], all[i]);
    }
    assert_int_equal(k, n_half);
    int64_t ones = 0;
    for (int i = 0; i < N; i++)
        ones += y[i] == 1;
    assert_int_equal(n_one, ones);
    assert_true(labs(n_zero - (int64_t)(0.3 * (double)(N - 20 - ones))) < 45);
    int64_t *bad = NULL;
    assert_int_equal(qn_sample_negatives(NULL, N, y, 0, 7, &bad, &k, NULL), QN_ERR_CONFIG);
}

static void reservoir_is_uniform(void **state) {
    int hits[50] = {0};
    for (uint64_t seed = 0; seed < 4000; seed++) {
        qn_cleanup(qn_reservoir_done) qn_reservoir whole = {0}, cut = {0};
        qn_cleanup(qn_freep) int64_t *a = NULL, *b = NULL;
        int64_t n_a = 0, n_b = 0;
        assert_int_equal(qn_reservoir_init(&whole, 5, seed, NULL), QN_OK);
        assert_int_equal(qn_reservoir_init(&cut, 5, seed, NULL), QN_OK);
        qn_reservoir_add(&whole, 50);
        for (int i = 0; i < 10; i++)
            qn_reservoir_add(&cut, i);
        qn_reservoir_add(&cut, 5);
        assert_int_equal(qn_reservoir_rows(&whole, &a, &n_a, NULL), QN_OK);
        assert_int_equal(qn_reservoir_rows(&cut, &b, &n_b, NULL), QN_OK);
        assert_int_equal(n_a, 5);
        assert_memory_equal(a, b, 5 * sizeof(int64_t));
        for (int i = 0; i < 5; i++) {
            assert_true(i == 0 || a[i - 1] < a[i]);
            hits[a[i]]++;
        }
    }
    double chi2 = 0; /* 49 degrees of freedom: 94 is passed once in 10,000 */
    for (int i = 0; i < 50; i++)
        chi2 += (hits[i] - 400.0) * (hits[i] - 400.0) / 400;
    assert_true(chi2 < 94);
    qn_cleanup(qn_freep) int64_t *few = NULL;
    int64_t n = 0;
    assert_int_equal(qn_sample_uniform(3, 10, 1, &few, &n, NULL), QN_OK);
    assert_int_equal(n, 3);
    assert_int_equal(few[2], 2);
}

/* The first draw takes row i with chance w[i] / sum: with k 1 that is all there is. */
static void weighted_follows_weights(void **state) {
    double weight[4] = {1, 0, 2, 5}, bad[2] = {1, -1};
    int hits[4] = {0};
    for (uint64_t seed = 0; seed < 8000; seed++) {
        qn_cleanup(qn_freep) int64_t *rows = NULL;
        int64_t n = 0;
        assert_int_equal(qn_sample_weighted(weight, 4, 1, seed, &rows, &n, NULL), QN_OK);
        assert_int_equal(n, 1);
        hits[rows[0]]++;
    }
    assert_int_equal(hits[1], 0);
    assert_true(abs(hits[0] - 1000) < 130 && abs(hits[2] - 2000) < 170 &&
                abs(hits[3] - 5000) < 190);
    qn_cleanup(qn_freep) int64_t *rows = NULL;
    int64_t n = 0;
    assert_int_equal(qn_sample_weighted(weight, 4, 9, 1, &rows, &n, NULL), QN_OK);
    assert_int_equal(n, 3);
    qn_error err = {0};
    int64_t *none = NULL;
    assert_int_equal(qn_sample_weighted(bad, 2, 1, 1, &none, &n, &err), QN_ERR_DATA);
    assert_int_equal(err.row, 2);
}

static void stratified_sample_has_all_classes(void **state) {
    double y[N];
    for (int i = 0; i < N; i++)
        y[i] = i == 3 ? NAN : i == 77 ? 2 : i % 4 == 0;
    qn_cleanup(qn_freep) int64_t *rows = NULL;
    int64_t n = 0, count[3] = {0};
    assert_int_equal(qn_sample_stratified(y, N, 3, 100, 5, &rows, &n, NULL), QN_OK);
    assert_int_equal(n, 100);
    for (int64_t i = 0; i < n; i++) {
        assert_true(i == 0 || rows[i - 1] < rows[i]);
        count[(int)y[rows[i]]]++;
    }
    assert_int_equal(count[2], 1);
    assert_true(labs(count[1] - 25) <= 1);
}

static void memory_fails_cleanly(void **state) {
    qn_cleanup(qn_freep) double *y = make_y(3);
    qn_column *key = make_column(QN_TYPE_I64);
    for (int m = 0; m < 4; m++) {
        qn_split_options options = {
            .method = (qn_split_method)m, .test = 0.2, .validate = 0.1, .folds = 3};
        qn_status status = QN_ERR_MEMORY;
        for (int i = 0; status == QN_ERR_MEMORY; i++) {
            qn_cleanup(qn_split_done) qn_split split = {0};
            qn_mem_fail_after(i);
            status = qn_split_make(&options, N, y, QN_TASK_MULTICLASS, 3, key, key, &split, NULL);
            qn_mem_fail_after(-1);
        }
        assert_int_equal(status, QN_OK);
        status = QN_ERR_MEMORY;
        for (int i = 0; status == QN_ERR_MEMORY; i++) {
            qn_cleanup(qn_freep) int32_t *fold = NULL;
            qn_mem_fail_after(i);
            status = qn_folds_make(&options, N, NULL, 0, y, QN_TASK_MULTICLASS, 3, key, key, &fold,
                                   NULL);
            qn_mem_fail_after(-1);
        }
        assert_int_equal(status, QN_OK);
    }
    qn_status status = QN_ERR_MEMORY;
    for (int i = 0; status == QN_ERR_MEMORY; i++) {
        qn_cleanup(qn_freep) int64_t *a = NULL, *b = NULL, *c = NULL;
        int64_t n;
        double weight[3] = {1, 2, 3};
        qn_mem_fail_after(i);
        status = qn_sample_weighted(weight, 3, 2, 1, &a, &n, NULL);
        status = status ? status : qn_sample_stratified(y, N, 3, 9, 1, &b, &n, NULL);
        status = status ? status : qn_sample_uniform(N, 9, 1, &c, &n, NULL);
        qn_mem_fail_after(-1);
    }
    assert_int_equal(status, QN_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_shares_are_exact),
        cmocka_unit_test(stratified_keeps_classes),
        cmocka_unit_test(time_never_straddles),
        cmocka_unit_test(groups_stay_together),
        cmocka_unit_test(stretches_follow_time),
        cmocka_unit_test(shares_are_checked),
        cmocka_unit_test(folds_of_every_method),
        cmocka_unit_test(negatives_do_not_depend_on_the_rest),
        cmocka_unit_test(reservoir_is_uniform),
        cmocka_unit_test(weighted_follows_weights),
        cmocka_unit_test(stratified_sample_has_all_classes),
        cmocka_unit_test(memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
