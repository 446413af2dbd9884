/* The matrix: dense and sparse columns, taking rows, reading rows. */
#include "feature_help.h"

static const qn_feature features[] = {
    {.name = (char[]){"n"}, .kind = QN_FEATURE_NUMERIC},
    {.name = (char[]){"c"}, .kind = QN_FEATURE_CATEGORY, .n_categories = 3},
    {.name = (char[]){"s"}, .kind = QN_FEATURE_SPARSE},
    {.name = (char[]){"t"}, .kind = QN_FEATURE_SPARSE}};

static qn_matrix *example(void) {
    qn_error err = {0};
    qn_matrix *m = NULL;
    OK(qn_matrix_new(5, features, 4, &m, &err));
    for (int i = 0; i < 5; i++) {
        assert_true(isnan(m->columns[0].num[i]));
        assert_int_equal(m->columns[1].code[i], -1);
        m->columns[0].num[i] = i * 1.5;
        m->columns[1].code[i] = i % 3 - (i == 4);
    }
    m->columns[2].row = qn_new_array(int64_t, 2); /* a user's own arrays */
    m->columns[2].value = qn_new_array(double, 2);
    m->columns[2].n_set = 2;
    m->columns[2].row[0] = 1;
    m->columns[2].row[1] = 3;
    m->columns[2].value[0] = 10;
    m->columns[2].value[1] = 30;
    return m;
}

static void rows_are_read(void **state) {
    qn_matrix *m = example();
    double x[12];
    qn_matrix_rows(m, 1, 3, x);
    const double expected[12] = {1.5, 1, 10, 0, 3, 2, 0, 0, 4.5, 0, 30, 0};
    assert_memory_equal(x, expected, sizeof x);
    assert_true(qn_matrix_bytes(m) > 5 * 12 + 32);
    assert_int_equal((uintptr_t)m->columns[0].num % 64, 0);
    assert_int_equal((uintptr_t)m->columns[1].code % 64, 0);
    qn_matrix_free(&m);
    assert_null(m);
    qn_matrix_free(&m);
}

static void rows_are_taken_in_any_order(void **state) {
    qn_error err = {0};
    qn_matrix *m = example(), *taken = NULL;
    const int64_t rows[] = {3, 0, 1, 3, 3, 4};
    OK(qn_matrix_take(m, rows, 6, &taken, &err));
    double all[20], some[24];
    qn_matrix_rows(m, 0, 5, all);
    qn_matrix_rows(taken, 0, 6, some);
    for (int i = 0; i < 6; i++)
        for (int f = 0; f < 4; f++)
            assert_true(same_bits(some[i * 4 + f], all[rows[i] * 4 + f]));
    for (int64_t k = 1; k < taken->columns[2].n_set; k++)
        assert_true(taken->columns[2].row[k] > taken->columns[2].row[k - 1]);
    qn_matrix_free(&taken);
    const int64_t bad = 5;
    assert_int_equal(qn_matrix_take(m, &bad, 1, &taken, &err), QN_ERR_USAGE);
    OK(qn_matrix_take(m, NULL, 0, &taken, &err));
    assert_int_equal(taken->n_rows, 0);
    qn_matrix_free(&taken);
    for (int i = 0;; i++) {
        qn_mem_fail_after(i);
        qn_status status = qn_matrix_take(m, rows, 6, &taken, &err);
        qn_mem_fail_after(-1);
        qn_matrix_free(&taken);
        if (status == QN_OK)
            break;
        assert_int_equal(status, QN_ERR_MEMORY);
    }
    qn_matrix_free(&m);
}

static void size_is_bounded(void **state) {
    qn_error err = {0};
    qn_matrix *m = NULL;
    assert_int_equal(qn_matrix_new(1, features, (4 << 20) + 1, &m, &err), QN_ERR_LIMIT);
    assert_int_equal(qn_matrix_new(-1, features, 1, &m, &err), QN_ERR_LIMIT);
    assert_int_equal(qn_matrix_new(INT64_MAX / 4, features, 4, &m, &err), QN_ERR_MEMORY);
    OK(qn_matrix_new(0, features, 4, &m, &err));
    qn_matrix_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_are_read),
                                       cmocka_unit_test(rows_are_taken_in_any_order),
                                       cmocka_unit_test(size_is_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
