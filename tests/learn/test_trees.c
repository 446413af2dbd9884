/* Trees put in node by node and taken out again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "learn/trees.h"
#include "matrix_for_test.h"

static char name_x[] = "x", name_c[] = "c";
static const qn_feature features[] = {
    {.name = name_x, .kind = QN_FEATURE_NUMERIC},
    {.name = name_c, .kind = QN_FEATURE_CATEGORY, .n_categories = 40},
};

/* x <= 1 (missing left)? 10 : c in {2, 35} (missing right)? 20 : 30, its nodes in a mixed order. */
static qn_status add_example(qn_trees *t, int32_t output, qn_error *err) {
    const uint32_t words[] = {1u << 2, 1u << 3};
    int64_t first;
    QN_TRY(qn_trees_add_words(t, words, 2, &first, err));
    const qn_tree_node nodes[] = {
        {.feature = 0, .threshold = 1, .missing_left = true, .left = 4, .right = 1, .gain = 6},
        {.feature = 1, .is_set = true, .first_word = first, .n_words = 2, .left = 3, .right = 2,
         .gain = 2},
        {.feature = -1, .value = 30, .count = 5},
        {.feature = -1, .value = 20, .count = 7},
        {.feature = -1, .value = 10, .count = 9},
        {.feature = -1, .value = 99, .count = 1}, /* no way leads here */
    };
    return qn_trees_add(t, nodes, 6, output, err);
}

static double score(const qn_learner *learner, double x, double code, int32_t output) {
    const double row[] = {x, code};
    double raw[8];
    learner->family->predict_rows(learner, row, 1, raw);
    return raw[output];
}

static qn_trees empty_trees(int32_t n_outputs) {
    return (qn_trees){.link = n_outputs > 1 ? QN_LINK_SOFTMAX : QN_LINK_IDENTITY,
                      .n_outputs = n_outputs, .n_features = 2, .objective = "regression"};
}

static void check_example(const qn_learner *learner, int32_t output) {
    assert_true(score(learner, 1, 0, output) == 10);
    assert_true(score(learner, (double)NAN, 0, output) == 10);
    assert_true(score(learner, 1.5, 2, output) == 20);
    assert_true(score(learner, 1.5, 35, output) == 20);
    assert_true(score(learner, 1.5, 3, output) == 30);
    assert_true(score(learner, 1.5, -1, output) == 30);
}

static void there_and_back(void **state) {
    qn_error err = {0};
    double importance[2];
    qn_cleanup(qn_trees_done) qn_trees t = empty_trees(1);
    qn_cleanup(qn_trees_done) qn_trees back = {0};
    qn_cleanup(qn_learner_free) qn_learner *learner = NULL;
    qn_cleanup(qn_learner_free) qn_learner *again = NULL;
    assert_int_equal(add_example(&t, 0, &err), QN_OK);
    assert_int_equal(qn_trees_pack(&t, features, &learner, &err), QN_OK);
    check_example(learner, 0);
    learner->family->importance(learner, importance);
    assert_true(importance[0] == 0.75 && importance[1] == 0.25);
    assert_int_equal(qn_trees_unpack(learner, &back, &err), QN_OK);
    assert_int_equal(back.start[1], 5);
    assert_string_equal(back.objective, "regression");
    assert_int_equal(qn_trees_pack(&back, features, &again, &err), QN_OK);
    check_example(again, 0);
}

/* An output with fewer trees than another adds nothing more. */
static void uneven_outputs(void **state) {
    qn_error err = {0};
    qn_cleanup(qn_trees_done) qn_trees t = empty_trees(3);
    qn_cleanup(qn_learner_free) qn_learner *learner = NULL;
    assert_int_equal(add_example(&t, 2, &err), QN_OK);
    assert_int_equal(add_example(&t, 0, &err), QN_OK);
    assert_int_equal(add_example(&t, 2, &err), QN_OK);
    assert_int_equal(qn_trees_pack(&t, features, &learner, &err), QN_OK);
    check_example(learner, 0);
    assert_true(score(learner, 1, 0, 1) == 0);
    assert_true(score(learner, 1.5, 2, 2) == 40);
}

static void no_trees_refused(void **state) {
    static const struct {
        qn_tree_node nodes[3];
        int64_t n;
        qn_status status;
    } cases[] = {
        {{{.feature = -1, .value = (double)INFINITY}}, 1, QN_ERR_FORMAT},
        {{{.feature = 0, .left = 1, .right = 1}, {.feature = -1}}, 2, QN_ERR_FORMAT},
        {{{.feature = 0, .left = 0, .right = 1}, {.feature = -1}}, 2, QN_ERR_FORMAT},
        {{{.feature = 0, .left = 1, .right = 7}, {.feature = -1}}, 2, QN_ERR_FORMAT},
        {{{.feature = 2, .left = 1, .right = 2}, {.feature = -1}, {.feature = -1}}, 3,
         QN_ERR_FORMAT},
        {{{.feature = 0, .threshold = (double)NAN, .left = 1, .right = 2}, {.feature = -1},
          {.feature = -1}}, 3, QN_ERR_FORMAT},
        {{{.feature = 1, .is_set = true, .n_words = 1, .left = 1, .right = 2}, {.feature = -1},
          {.feature = -1}}, 3, QN_ERR_FORMAT},
        {{{0}}, 0, QN_ERR_LIMIT},
        {{{0}}, (int64_t)QN_LIMIT_TREE_NODES + 1, QN_ERR_LIMIT},
    };
    qn_cleanup(qn_trees_done) qn_trees t = empty_trees(1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qn_error err = {0};
        assert_int_equal(qn_trees_add(&t, cases[i].nodes, cases[i].n, 0, &err), cases[i].status);
        assert_int_equal(t.n_trees, 0);
    }
    qn_error err = {0};
    int64_t first;
    assert_int_equal(qn_trees_add_words(&t, NULL, QN_LIMIT_SET_WORDS + 1, &first, &err),
                     QN_ERR_LIMIT);
    assert_non_null(strstr(err.message, "67108864"));
}

static void kinds_must_fit(void **state) {
    qn_error err = {0};
    const qn_tree_node nodes[] = {{.feature = 1, .left = 1, .right = 2}, {.feature = -1},
                                  {.feature = -1}};
    qn_cleanup(qn_trees_done) qn_trees t = empty_trees(1);
    qn_learner *learner = NULL;
    assert_int_equal(qn_trees_add(&t, nodes, 3, 0, &err), QN_OK);
    assert_int_equal(qn_trees_pack(&t, features, &learner, &err), QN_ERR_FORMAT);
    assert_non_null(strstr(err.message, "feature c is split both"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back), cmocka_unit_test(uneven_outputs),
        cmocka_unit_test(no_trees_refused), cmocka_unit_test(kinds_must_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
