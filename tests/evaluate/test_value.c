/* Value: thresholds against trying them all, results against hand-computed ones. */
#include "tables.h"

#include "base/rng.h"
#include "evaluate/value.h"

static const char *const binary_classes[] = {"no", "yes"};
static const qn_target_info binary = {(char *)"y", QN_TASK_BINARY, 2, (char **)binary_classes};

static qn_value_spec *parse(const char *text, const qn_target_info *target) {
    static const char *const columns[] = {"Amount", "cost"};
    qn_cleanup(qn_json_free) json_t *json = NULL;
    qn_value_spec *spec = NULL;
    qn_error err = {0};
    assert_int_equal(qn_json_parse(text, strlen(text), NULL, &json, &err), QN_OK);
    if (qn_value_spec_parse(json, target, columns, 2, &spec, &err) != QN_OK)
        fail_msg("%s", err.message);
    return spec;
}

static const char fraud[] =
    "{\"currency\": \"EUR\", \"true_positive\": \"Amount - 5\", \"false_positive\": -5,"
    " \"false_negative\": \"-Amount\"}";

typedef struct rows {
    qn_frame *frame;
    double y[400], scores[400];
    qn_value_rows view;
} rows;

static void rows_make(rows *r, int64_t n, uint64_t seed) {
    qn_frame_builder *builder = NULL;
    double amount[400];
    qn_rng rng;
    qn_rng_init(&rng, seed);
    for (int64_t i = 0; i < n; i++) {
        r->scores[i] = (double)qn_rng_below(&rng, 50) / 50; /* ties */
        r->y[i] = qn_rng_uniform(&rng) < r->scores[i];
        amount[i] = (double)qn_rng_below(&rng, 40);
    }
    assert_int_equal(qn_frame_builder_new(&builder, NULL), QN_OK);
    add_numbers(builder, 0, "Amount", amount, n);
    assert_int_equal(qn_frame_builder_finish(builder, &r->frame, NULL), QN_OK);
    qn_frame_builder_free(&builder);
    r->view = (qn_value_rows){r->frame, NULL, n, r->y, r->scores};
}

static void best_threshold_beats_all_others(void **state) {
    qn_cleanup(qn_value_spec_free) qn_value_spec *spec = parse(fraud, &binary);
    assert_string_equal(qn_value_currency(spec), "EUR");
    assert_true(qn_value_uses(spec, "Amount"));
    assert_false(qn_value_uses(spec, "cost"));
    for (uint64_t seed = 0; seed < 40; seed++) {
        rows r = {0};
        int64_t n = 1 + (int64_t)seed * 7;
        rows_make(&r, n, seed);
        qn_cleanup(qn_freep) double *payoffs = NULL;
        qn_value_point best;
        assert_int_equal(qn_value_payoffs(spec, r.frame, NULL, n, &payoffs, NULL), QN_OK);
        assert_int_equal(qn_value_best(payoffs, r.y, r.scores, n, &best, NULL), QN_OK);
        assert_true(best.threshold >= 0 && best.threshold <= nextafter(1, 2));
        qn_value_point at = qn_value_at(payoffs, r.y, r.scores, n, best.threshold);
        assert_float_equal(at.total, best.total, 1e-9);
        assert_float_equal(at.share_acted, best.share_acted, 0);
        for (int t = 0; t <= 51; t++)
            assert_true(qn_value_at(payoffs, r.y, r.scores, n, t / 50.0).total <=
                        best.total + 1e-9);
        qn_frame_free(&r.frame);
    }
}

static qn_value_point best_of(const double payoff[4], const double *y, const double *scores,
                              int64_t n) {
    double payoffs[4 * 16];
    qn_value_point best;
    for (int64_t i = 0; i < n; i++)
        memcpy(payoffs + 4 * i, payoff, 4 * sizeof *payoff);
    assert_int_equal(qn_value_best(payoffs, y, scores, n, &best, NULL), QN_OK);
    return best;
}

static void ends_and_middles(void **state) {
    const double y[] = {0, 0, 1, 1}, scores[] = {0.1, 0.2, 0.6, 0.8};
    /* The right answer is worth 1: any threshold in (0.2, 0.6] is best, the middle is taken. */
    assert_float_equal(best_of((double[]){1, 0, 0, 1}, y, scores, 4).threshold, 0.4, 1e-15);
    assert_float_equal(best_of((double[]){1, 1, 0, 0}, y, scores, 4).threshold, 0, 0);  /* all */
    qn_value_point none = best_of((double[]){0, 0, 1, 1}, y, scores, 4);
    assert_true(none.threshold > 1);
    assert_float_equal(none.share_acted, 0, 0);
    assert_float_equal(best_of((double[]){0, 0, 0, 0}, y, scores, 4).threshold, 0.5, 0); /* no matter */
    /* Two equally good stretches, (0.1, 0.2] and (0.2, 0.6] apart by a worthless row: they are
     * one. */
    double p[] = {1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1};
    qn_value_point best;
    assert_int_equal(qn_value_best(p, y, scores, 4, &best, NULL), QN_OK);
    assert_float_equal(best.threshold, 0.35, 1e-15);
    /* A score of 1 is acted on by every threshold but "none". */
    const double one[] = {1, 1}, yes[] = {1, 0};
    assert_true(best_of((double[]){-1, -1, 0, 0}, yes, one, 2).threshold > 1);
    assert_int_equal(qn_value_best(p, y, scores, 0, &best, NULL), QN_ERR_USAGE);
    /* NaN is not a probability, but must not hang either. */
    const double lost[] = {NAN, NAN, 0.5, 0.2};
    (void)best_of((double[]){1, 0, 0, 1}, y, lost, 4);
}

static double number(const json_t *object, const char *path) {
    char key[64];
    while (*path) {
        size_t n = strcspn(path, ".");
        memcpy(key, path, n);
        key[n] = '\0';
        object = json_is_array(object) ? json_array_get(object, (size_t)atoi(key))
                                       : json_object_get(object, key);
        path += n + (path[n] == '.');
    }
    if (!json_is_number(object))
        fail_msg("no number");
    return json_number_value(object);
}

static void judges_on_test_rows(void **state) {
    qn_cleanup(qn_value_spec_free) qn_value_spec *spec = parse(fraud, &binary);
    rows validate = {0}, test = {0};
    rows_make(&validate, 300, 1);
    rows_make(&test, 400, 2);
    qn_value_options options = {.threshold = NAN, .n_rounds = 200, .seed = 3};
    qn_job job = {.n_threads = 2};
    double threshold = 0, again = 0;
    qn_cleanup(qn_json_free) json_t *value = NULL;
    qn_cleanup(qn_json_free) json_t *twice = NULL;
    assert_int_equal(qn_value_evaluate(spec, &validate.view, &test.view, &options, NULL, &threshold,
                                       &value, NULL), QN_OK);
    assert_int_equal(
        qn_value_evaluate(spec, &validate.view, &test.view, &options, &job, &again, &twice, NULL),
        QN_OK);
    assert_true(threshold == again && json_equal(value, twice)); /* threads do not matter */
    qn_cleanup(qn_freep) double *money = NULL;
    assert_int_equal(qn_value_money(spec, &test.view, threshold, &money, NULL), QN_OK);
    double total = 0, none = 0, all = 0;
    for (int i = 0; i < 400; i++) {
        double amount = test.frame->columns[0].f64[i];
        total += money[i];
        none += test.y[i] > 0 ? -amount : 0;
        all += test.y[i] > 0 ? amount - 5 : -5;
    }
    assert_float_equal(number(value, "threshold"), threshold, 0);
    assert_float_equal(number(value, "test.total"), total, 1e-9);
    assert_float_equal(number(value, "test.per_row.value"), total / 400, 1e-12);
    assert_true(number(value, "test.per_row.low") < total / 400);
    assert_true(number(value, "test.per_row.high") > total / 400);
    assert_float_equal(number(value, "baselines.0.total"), none, 1e-9);
    assert_float_equal(number(value, "baselines.1.total"), all, 1e-9);
    assert_true(number(value, "baselines.3.total") >= total);
    assert_float_equal(number(value, "gain_over_best_baseline.value"), (total - all) / 400, 1e-9);
    double counted = number(value, "test.counts.true_positive") +
                     number(value, "test.counts.false_positive") +
                     number(value, "test.counts.false_negative") +
                     number(value, "test.counts.true_negative");
    assert_float_equal(counted, 400, 0);
    assert_true(json_array_size(json_object_get(json_object_get(value, "curve"), "threshold")) <=
                200);
    /* A given threshold needs no validation rows. */
    options.threshold = 0.25;
    qn_json_free(&twice);
    assert_int_equal(
        qn_value_evaluate(spec, NULL, &test.view, &options, NULL, &again, &twice, NULL), QN_OK);
    assert_float_equal(again, 0.25, 0);
    options.threshold = NAN;
    assert_int_equal(qn_value_evaluate(spec, NULL, &test.view, &options, NULL, NULL, &twice, NULL),
                     QN_ERR_USAGE);
    qn_frame_free(&validate.frame);
    qn_frame_free(&test.frame);
}

static void multiclass_maximises_expected_value(void **state) {
    static const char *const classes[] = {"a", "b", "c"};
    const qn_target_info target = {(char *)"y", QN_TASK_MULTICLASS, 3, (char **)classes};
    qn_cleanup(qn_value_spec_free) qn_value_spec *spec = parse(
        "{\"matrix\": {\"a\": {\"a\": 1}, \"b\": {\"b\": 1}, \"c\": {\"c\": 10, \"a\": -1}}}",
        &target);
    const double y[] = {0, 1, 2}, scores[] = {0.8, 0.1, 0.1, 0.1, 0.85, 0.05, 0.5, 0.3, 0.2};
    qn_value_rows view = {NULL, NULL, 3, y, scores};
    qn_value_options options = {.threshold = NAN, .n_rounds = 50};
    qn_cleanup(qn_json_free) json_t *value = NULL;
    double threshold = 0;
    assert_int_equal(
        qn_value_evaluate(spec, &view, &view, &options, NULL, &threshold, &value, NULL), QN_OK);
    assert_true(isnan(threshold));
    /* Row 1: c is worth 0.1 x 10 = 1 against 0.7 for a, so c (0); row 2: b (1); row 3: c (10). */
    assert_float_equal(number(value, "test.total"), 11, 1e-12);
    assert_float_equal(number(value, "baselines.0.total"), 10, 1e-12); /* always c */
    assert_float_equal(number(value, "baselines.1.total"), 1, 1e-12);  /* a, b, a: 1 + 1 - 1 */
    assert_float_equal(number(value, "baselines.2.total"), 12, 1e-12);
}

static void regression_by_expression(void **state) {
    const qn_target_info target = {(char *)"y", QN_TASK_REGRESSION, 0, NULL};
    qn_cleanup(qn_value_spec_free) qn_value_spec *spec =
        parse("{\"per_row\": \"-abs(prediction - actual) * Amount\"}", &target);
    rows r = {0};
    rows_make(&r, 2, 1);
    r.frame->columns[0].f64[0] = 2;
    r.frame->columns[0].f64[1] = 1;
    r.y[0] = 5, r.y[1] = 7, r.scores[0] = 4, r.scores[1] = 10;
    qn_value_options options = {.threshold = NAN, .n_rounds = 50};
    qn_cleanup(qn_json_free) json_t *value = NULL;
    assert_int_equal(qn_value_evaluate(spec, &r.view, &r.view, &options, NULL, NULL, &value, NULL),
                     QN_OK);
    assert_float_equal(number(value, "test.total"), -5, 1e-12);
    assert_float_equal(number(value, "baselines.0.total"), -3, 1e-12); /* always 6 */
    assert_float_equal(number(value, "baselines.1.total"), 0, 0);
    qn_frame_free(&r.frame);
}

static void config_errors_name_the_key(void **state) {
    static const char *const three[] = {"low", "high", "top"};
    const qn_target_info classes = {(char *)"y", QN_TASK_MULTICLASS, 3, (char **)three};
    const qn_target_info regression = {(char *)"y", QN_TASK_REGRESSION, 0, NULL};
    const struct {
        const qn_target_info *target;
        const char *text, *message;
    } cases[] = {
        {&binary, "{\"true_positve\": 1}",
         "value: unknown key 'true_positve'; did you mean 'true_positive'?"},
        {&binary, "{\"matrix\": {}}",
         "value: unknown key 'matrix' for a binary task; it takes true_positive, "
         "false_positive, false_negative, true_negative"},
        {&binary, "{\"currency\": \"EUR\"}",
         "value: states no payoff; give true_positive, false_positive, "
         "false_negative or true_negative"},
        {&binary, "{\"true_positive\": \"Amont\"}",
         "value: true_positive: character 1 of 'Amont': there is no column "
         "'Amont'; did you mean 'Amount'?"},
        {&binary, "{\"true_positive\": true}",
         "value: true_positive must be a number or an expression"},
        {&binary, "[]", "value: must be a map of payoffs"},
        {&binary, "{\"currency\": 3}", "value: currency must be text"},
        {&classes, "{\"matrix\": {\"hihg\": {}}}",
         "value: matrix: there is no class 'hihg'; did you mean 'high'?"},
        {&classes, "{\"matrix\": 3}",
         "value: matrix must map actual labels to maps from predicted labels to payoffs"},
        {&classes, "{\"matrix\": {\"low\": {\"top\": \"x\"}}}",
         "value: matrix: the payoff of 'top' for 'low' must be a "
         "number"},
        {&regression, "{}",
         "value: a regression states per_row, an expression over columns, prediction and actual"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qn_cleanup(qn_json_free) json_t *json = NULL;
        qn_value_spec *spec = NULL;
        qn_error err = {0};
        assert_int_equal(qn_json_parse(cases[i].text, strlen(cases[i].text), NULL, &json, NULL),
                         QN_OK);
        assert_int_equal(
            qn_value_spec_parse(json, cases[i].target, (const char *[]){"Amount"}, 1, &spec, &err),
            QN_ERR_CONFIG);
        assert_string_equal(err.message, cases[i].message);
    }
}

static qn_status all_of_it(void *user, qn_error *err) {
    rows *r = user;
    qn_cleanup(qn_value_spec_free) qn_value_spec *spec = NULL;
    qn_cleanup(qn_json_free) json_t *json = json_loads(fraud, 0, NULL);
    qn_cleanup(qn_json_free) json_t *value = NULL;
    qn_value_options options = {.threshold = NAN, .n_rounds = 3};
    QN_TRY(qn_value_spec_parse(json, &binary, (const char *[]){"Amount"}, 1, &spec, err));
    return qn_value_evaluate(spec, &r->view, &r->view, &options, NULL, NULL, &value, err);
}

static void runs_out_of_memory_cleanly(void **state) {
    rows r = {0};
    rows_make(&r, 20, 1);
    with_failing_memory(all_of_it, &r);
    qn_frame_free(&r.frame);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_threshold_beats_all_others),
        cmocka_unit_test(ends_and_middles),
        cmocka_unit_test(judges_on_test_rows),
        cmocka_unit_test(multiclass_maximises_expected_value),
        cmocka_unit_test(regression_by_expression),
        cmocka_unit_test(config_errors_name_the_key),
        cmocka_unit_test(runs_out_of_memory_cleanly),
    };
    return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
