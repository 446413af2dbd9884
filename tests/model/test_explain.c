/* Explanations of a whole model: by input, for every family and task. */
#include "models.h"

#include "model/explain.h"

enum { ROWS = 20, INPUTS = 5, WIDTH = INPUTS + 1, MOST_OUTPUTS = 3 };

static const char *const families[] = {"gbdt", "linear", "stump", "prior"};

static qn_model *trained(const qn_frame *frame, const char *family, qn_task task) {
    qn_error err = {0};
    qn_model *model = NULL;
    must(model_train(frame, family, task, NULL, &model, &err), &err);
    return model;
}

static qn_frame *first_rows(const qn_frame *frame) {
    int64_t rows[ROWS];
    qn_frame *some = NULL;
    qn_error err = {0};
    for (int i = 0; i < ROWS; i++)
        rows[i] = i;
    must(qn_frame_take(frame, rows, ROWS, &some, &err), &err);
    return some;
}

static void pairs_add_up_to_contributions(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *all = model_table();
    qn_cleanup(qn_frame_free) qn_frame *frame = first_rows(all);
    double contrib[ROWS * MOST_OUTPUTS * WIDTH], pairs[ROWS * MOST_OUTPUTS * WIDTH * WIDTH];
    for (size_t f = 0; f < 4; f++) {
        for (qn_task task = QN_TASK_BINARY; task <= QN_TASK_REGRESSION; task++) {
            qn_error err = {0};
            qn_cleanup(qn_model_free) qn_model *model = trained(all, families[f], task);
            const qn_job two = {.n_threads = 2};
            double apart = 0;
            must(qn_model_explain(model, frame, NULL, contrib, &err), &err);
            must(qn_model_interactions(model, frame, &two, pairs, &err), &err);
            for (int i = 0; i < ROWS * qn_model_n_outputs(model) * WIDTH; i++) {
                double sum = 0;
                for (int b = 0; b < WIDTH; b++) {
                    sum += pairs[i * WIDTH + b];
                    apart += b == i % WIDTH ? 0 : fabs(pairs[i * WIDTH + b]);
                }
                assert_true(fabs(sum - contrib[i]) < 1e-9);
            }
            assert_true((apart > 0) == (f == 0)); /* only trees have pairs */
        }
    }
}

/* The only input is all there is to know: its dependence is the raw score. */
static void dependence_on_the_only_input(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *all = model_table();
    qn_cleanup(qn_frame_free) qn_frame *frame = first_rows(all);
    qn_error err = {0};
    double raw[ROWS];
    static const char *const number[] = {"number"};
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    double contrib[ROWS * 2];
    must(model_train_on(all, number, 1, NULL, "gbdt", QN_TASK_REGRESSION, NULL, &model, &err),
         &err);
    must(qn_model_dependence(model, frame, 0, raw, &err), &err);
    must(qn_model_explain(model, frame, NULL, contrib, &err), &err);
    for (int i = 0; i < ROWS; i++)
        assert_true(fabs(raw[i] - contrib[2 * i] - contrib[2 * i + 1]) < 1e-9);
    qn_cleanup(qn_model_free) qn_model *linear = trained(all, "linear", QN_TASK_REGRESSION);
    assert_int_equal(qn_model_dependence(linear, frame, 0, raw, &err), QN_ERR_USAGE);
}

static void shares_and_splits(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *all = model_table();
    for (size_t f = 0; f < 4; f++) {
        qn_error err = {0};
        qn_cleanup(qn_model_free) qn_model *model = trained(all, families[f], QN_TASK_BINARY);
        double share[INPUTS], sum = 0;
        int64_t splits[INPUTS], n = 0;
        bool has_splits;
        must(qn_model_importance(model, share, splits, &has_splits, &err), &err);
        for (int i = 0; i < INPUTS; i++) {
            sum += share[i];
            n += splits[i];
            assert_true(f != 0 || (share[i] > 0) == (splits[i] > 0));
        }
        assert_true(fabs(sum - 1) < 1e-9 || sum == 0);
        assert_int_equal(has_splits, f == 0);
        assert_int_equal(n, f == 0 ? 10 * 6 : 0); /* 10 trees of 7 leaves */
    }
}

static void conditions_name_what_was_asked(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *all = model_table();
    qn_error err = {0};
    qn_cleanup(qn_model_free) qn_model *model = trained(all, "gbdt", QN_TASK_MULTICLASS);
    qn_cleanup(qn_model_free) qn_model *linear = trained(all, "linear", QN_TASK_BINARY);
    for (int32_t output = 0; output < 3; output++) {
        qn_cleanup(qn_json_free) json_t *conditions = NULL;
        int64_t before = INT64_MAX;
        json_t *item;
        size_t i;
        must(qn_model_conditions(model, all, 3, output, &conditions, &err), &err);
        assert_true(json_array_size(conditions) > 0);
        json_array_foreach(conditions, i, item) {
            int64_t n = json_integer_value(json_object_get(item, "asked"));
            const char *input = json_string_value(json_object_get(item, "input"));
            assert_true(n > 0 && n <= before);
            before = n;
            if (strcmp(input, "number") == 0) /* missing in row 3 */
                assert_true(json_is_true(json_object_get(item, "missing")));
            if (strcmp(input, "city") == 0)
                assert_true(json_array_size(json_object_get(item, "in")) > 0);
        }
    }
    json_t *none = NULL;
    assert_int_equal(qn_model_conditions(linear, all, 0, 0, &none, &err), QN_ERR_USAGE);
    assert_null(none);
}

static void no_memory_is_told(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *all = model_table();
    qn_cleanup(qn_frame_free) qn_frame *frame = first_rows(all);
    qn_cleanup(qn_model_free) qn_model *model = trained(all, "gbdt", QN_TASK_BINARY);
    double pairs[ROWS * WIDTH * WIDTH], raw[ROWS], share[INPUTS];
    bool has_splits;
    for (int which = 0; which < 4; which++) {
        qn_status status = QN_ERR_MEMORY;
        for (int64_t i = 0; status != QN_OK; i++) {
            json_t *conditions = NULL;
            qn_error err = {0};
            qn_mem_fail_after(i);
            status = which == 0   ? qn_model_interactions(model, frame, NULL, pairs, &err)
                     : which == 1 ? qn_model_dependence(model, frame, 1, raw, &err)
                     : which == 2 ? qn_model_importance(model, share, NULL, &has_splits, &err)
                                  : qn_model_conditions(model, frame, 0, 0, &conditions, &err);
            qn_mem_fail_after(-1);
            assert_true(status == QN_OK || status == QN_ERR_MEMORY);
            qn_json_free(&conditions);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_add_up_to_contributions),
        cmocka_unit_test(dependence_on_the_only_input),
        cmocka_unit_test(shares_and_splits),
        cmocka_unit_test(conditions_name_what_was_asked),
        cmocka_unit_test(no_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
