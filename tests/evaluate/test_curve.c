/* Curves and the confusion matrix against hand-computed points. */
#include "tables.h"

#include "base/rng.h"
#include "evaluate/confusion.h"
#include "evaluate/curve.h"

static const json_t *at(const json_t *json, const char *path) {
    char key[64];
    while (*path) {
        size_t n = strcspn(path, ".");
        memcpy(key, path, n);
        key[n] = '\0';
        json = json_is_array(json) ? json_array_get(json, (size_t)atoi(key))
                                   : json_object_get(json, key);
        path += n + (path[n] == '.');
    }
    if (!json)
        fail_msg("nothing at %s", key);
    return json;
}

static double number(const json_t *json, const char *path) {
    return json_number_value(at(json, path));
}

static json_t *curves_of(const qn_eval_input *input) {
    json_t *curves = NULL;
    assert_int_equal(qn_curves_make(input, NULL, 1, &curves, NULL), QN_OK);
    return curves;
}

static void small_binary_curves(void **state) {
    const double y[] = {0, 1, 0, 1, 1}, scores[] = {0.1, 0.4, 0.4, 0.8, 0.9};
    const qn_eval_input input = {QN_TASK_BINARY, 2, 5, y, scores, NULL, 0.5};
    qn_cleanup(qn_json_free) json_t *curves = curves_of(&input);
    /* From the top: 0.9 and 0.8 are hits, 0.4 is one of each, 0.1 is a false alarm. */
    const double fpr[] = {0, 0, 0, 0.5, 1}, tpr[] = {0, 1 / 3., 2 / 3., 1, 1};
    const double precision[] = {1, 1, 1, 0.75, 0.6}, share[] = {0, 0.2, 0.4, 0.8, 1};
    assert_int_equal(json_array_size(at(curves, "roc.fpr")), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_float_equal(json_number_value(json_array_get(at(curves, "roc.fpr"), i)), fpr[i],
                           1e-15);
        assert_float_equal(json_number_value(json_array_get(at(curves, "roc.tpr"), i)), tpr[i],
                           1e-15);
        assert_float_equal(json_number_value(json_array_get(at(curves, "pr.precision"), i)),
                           precision[i], 1e-15);
        assert_float_equal(json_number_value(json_array_get(at(curves, "pr.recall"), i)), tpr[i],
                           1e-15);
        assert_float_equal(json_number_value(json_array_get(at(curves, "gain.share"), i)), share[i],
                           1e-15);
    }
    assert_float_equal(number(curves, "pr.base"), 0.6, 1e-15);
    assert_float_equal(number(curves, "gain.lift.4"), 1, 1e-15);
    assert_float_equal(number(curves, "gain.lift.2"), 2 / 3. / 0.4, 1e-15);
    assert_int_equal(json_array_size(at(curves, "scores.edges")),
                     json_array_size(at(curves, "scores.positive")) + 1);
    double n = 0;
    for (size_t i = 0; i < json_array_size(at(curves, "calibration.n")); i++)
        n += json_number_value(json_array_get(at(curves, "calibration.n"), i));
    assert_float_equal(n, 5, 0);
}

static void long_curves_keep_their_shape(void **state) {
    enum { N = 20000 };
    qn_cleanup(qn_freep) double *y = qn_new_array(double, N);
    qn_cleanup(qn_freep) double *scores = qn_new_array(double, N);
    qn_rng rng;
    qn_rng_init(&rng, 5);
    for (int i = 0; i < N; i++) {
        scores[i] = qn_rng_uniform(&rng);
        y[i] = qn_rng_uniform(&rng) < pow(scores[i], 8);
    }
    const qn_eval_input input = {QN_TASK_BINARY, 2, N, y, scores, NULL, 0.5};
    qn_cleanup(qn_json_free) json_t *curves = curves_of(&input);
    const json_t *fpr = at(curves, "roc.fpr"), *tpr = at(curves, "roc.tpr");
    size_t n = json_array_size(fpr);
    assert_true(n > 50 && n <= QN_CURVE_POINTS);
    assert_float_equal(json_number_value(json_array_get(fpr, 0)), 0, 0);
    assert_float_equal(json_number_value(json_array_get(tpr, n - 1)), 1, 0);
    double area = 0;
    for (size_t i = 1; i < n; i++)
        area += (json_number_value(json_array_get(fpr, i)) -
                 json_number_value(json_array_get(fpr, i - 1))) *
                (json_number_value(json_array_get(tpr, i)) +
                 json_number_value(json_array_get(tpr, i - 1))) /
                2;
    const qn_metric *auc = NULL, *ece = NULL;
    assert_int_equal(qn_metric_find("roc_auc", QN_TASK_BINARY, &auc, NULL), QN_OK);
    assert_int_equal(qn_metric_find("ece", QN_TASK_BINARY, &ece, NULL), QN_OK);
    assert_float_equal(area, auc->compute(&input), 1e-3);
    assert_float_equal(number(curves, "calibration.ece"), ece->compute(&input), 1e-15);
    for (size_t i = 0; i < 15; i++) {
        const json_t *low = json_array_get(at(curves, "calibration.low"), i);
        const json_t *observed = json_array_get(at(curves, "calibration.observed"), i);
        assert_true(json_number_value(low) <= json_number_value(observed));
        assert_int_equal(json_integer_value(json_array_get(at(curves, "calibration.n"), i)) / 10,
                         N / 15 / 10);
    }
}

static void one_class_has_no_roc(void **state) {
    const double y[] = {0, 0}, scores[] = {0.5, 0.6};
    const qn_eval_input input = {QN_TASK_BINARY, 2, 2, y, scores, NULL, 0.5};
    qn_cleanup(qn_json_free) json_t *curves = curves_of(&input);
    assert_true(json_is_null(at(curves, "roc")));
    assert_true(json_is_null(at(curves, "pr")));
    json_t *none = NULL;
    const qn_eval_input empty = {QN_TASK_BINARY, 2, 0, y, scores, NULL, 0.5};
    assert_int_equal(qn_curves_make(&empty, NULL, 1, &none, NULL), QN_ERR_USAGE);
}

static const double class_y[] = {0, 1, 2, 1};
static const double class_scores[] = {0.7, 0.2, 0.1, 0.1, 0.8, 0.1, 0.2, 0.2, 0.6, 0.5, 0.4, 0.1};
static const qn_eval_input class_input = {QN_TASK_MULTICLASS, 3, 4, class_y, class_scores, NULL, 0};

static void multiclass_curves(void **state) {
    static const char *const labels[] = {"a", "b", "c"};
    const qn_target_info target = {(char *)"y", QN_TASK_MULTICLASS, 3, (char **)labels};
    qn_cleanup(qn_json_free) json_t *curves = NULL;
    assert_int_equal(qn_curves_make(&class_input, &target, 1, &curves, NULL), QN_OK);
    assert_string_equal(json_string_value(at(curves, "classes.1.label")), "b");
    assert_int_equal(json_integer_value(at(curves, "classes.1.n")), 2);
    assert_float_equal(number(curves, "classes.1.auc"), 1, 0);
    assert_float_equal(number(curves, "classes.0.auc"), 1, 0);
    assert_non_null(at(curves, "calibration.ece"));
}

static void regression_curves(void **state) {
    double y[100], scores[100];
    for (int i = 0; i < 100; i++) {
        scores[i] = i;
        y[i] = i + (i % 2 ? 1 : -1);
    }
    const qn_eval_input input = {QN_TASK_REGRESSION, 0, 100, y, scores, NULL, 0};
    qn_cleanup(qn_json_free) json_t *curves = curves_of(&input);
    assert_float_equal(number(curves, "quantiles.error.50"), 1, 0);
    assert_float_equal(number(curves, "by_prediction.predicted.0"), 4.5, 1e-12);
    assert_float_equal(number(curves, "by_prediction.actual.9"), 94.5, 1e-12);
    assert_int_equal(json_array_size(at(curves, "actual.actual")), 100);
    double n = 0;
    for (size_t i = 0; i < json_array_size(at(curves, "residuals.counts")); i++)
        n += json_number_value(json_array_get(at(curves, "residuals.counts"), i));
    assert_float_equal(n, 100, 0);
    const qn_eval_input one = {QN_TASK_REGRESSION, 0, 1, y, scores, NULL, 0};
    qn_cleanup(qn_json_free) json_t *single = curves_of(&one);
    assert_non_null(single);
}

static void confusion(void **state) {
    qn_cleanup(qn_json_free) json_t *matrix = NULL;
    assert_int_equal(qn_confusion_make(&class_input, NULL, &matrix, NULL), QN_OK);
    assert_int_equal(json_integer_value(at(matrix, "counts.1.0")), 1);
    assert_int_equal(json_integer_value(at(matrix, "counts.1.1")), 1);
    assert_int_equal(json_integer_value(at(matrix, "counts.2.2")), 1);
    assert_string_equal(json_string_value(at(matrix, "labels.2")), "2");
    const double y[] = {0, 1, 1}, scores[] = {0.3, 0.3, 0.2}, weight[] = {1, 2, 0.5};
    const qn_eval_input input = {QN_TASK_BINARY, 2, 3, y, scores, weight, 0.3};
    qn_json_free(&matrix);
    assert_int_equal(qn_confusion_make(&input, NULL, &matrix, NULL), QN_OK);
    assert_float_equal(number(matrix, "counts.0.1"), 1, 0);
    assert_float_equal(number(matrix, "counts.1.1"), 2, 0);
    assert_float_equal(number(matrix, "counts.1.0"), 0.5, 0);
    assert_float_equal(number(matrix, "threshold"), 0.3, 0);
    const double lost[] = {0, NAN, 1};
    const qn_eval_input bad = {QN_TASK_BINARY, 2, 3, lost, scores, NULL, 0.3};
    qn_json_free(&matrix);
    assert_int_equal(qn_confusion_make(&bad, NULL, &matrix, NULL), QN_ERR_USAGE);
}

static qn_status make_all(void *user, qn_error *err) {
    const double y[] = {0, 1, 0, 1}, scores[] = {0.1, 0.4, 0.4, 0.8};
    const qn_eval_input binary = {QN_TASK_BINARY, 2, 4, y, scores, NULL, 0.5};
    const qn_eval_input regression = {QN_TASK_REGRESSION, 0, 4, y, scores, NULL, 0.5};
    qn_cleanup(qn_json_free) json_t *a = NULL;
    qn_cleanup(qn_json_free) json_t *b = NULL;
    qn_cleanup(qn_json_free) json_t *c = NULL;
    qn_cleanup(qn_json_free) json_t *d = NULL;
    QN_TRY(qn_curves_make(&binary, NULL, 1, &a, err));
    QN_TRY(qn_curves_make(&class_input, NULL, 1, &b, err));
    QN_TRY(qn_curves_make(&regression, NULL, 1, &c, err));
    return qn_confusion_make(&binary, NULL, &d, err);
}

static void runs_out_of_memory_cleanly(void **state) {
    with_failing_memory(make_all, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_binary_curves),
        cmocka_unit_test(long_curves_keep_their_shape),
        cmocka_unit_test(one_class_has_no_roc),
        cmocka_unit_test(multiclass_curves),
        cmocka_unit_test(regression_curves),
        cmocka_unit_test(confusion),
        cmocka_unit_test(runs_out_of_memory_cleanly),
    };
    return cmocka_run_group_tests_name("curve", tests, NULL, NULL);
}
