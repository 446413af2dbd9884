/* Slices: a planted bad group is found and flagged; noise is not. Importance and dependence of a
 * known model. */
#include "tables.h"

#include "base/rng.h"
#include "evaluate/importance.h"
#include "evaluate/slice.h"

enum { N = 3000 };

typedef struct world {
    qn_frame *frame; /* number, noise, group (category), holes (number with missing values) */
    double y[N], scores[N];
} world;

/* y follows `number` (and `group` in the explained model); the scores are right, except in the
 * group "bad". */
static world *world_new(bool plant) {
    static const char *const groups[] = {"a", "b", "bad", "d"};
    world *w = qn_new(world);
    double number[N], noise[N], holes[N];
    const char *group[N];
    qn_rng rng;
    qn_rng_init(&rng, 11);
    for (int i = 0; i < N; i++) {
        number[i] = qn_rng_uniform(&rng);
        noise[i] = qn_rng_uniform(&rng);
        holes[i] = qn_rng_uniform(&rng) < 0.2 ? NAN : qn_rng_uniform(&rng);
        group[i] = groups[qn_rng_below(&rng, 4)];
        w->y[i] = qn_rng_uniform(&rng) < number[i];
        w->scores[i] = plant && !strcmp(group[i], "bad") ? 1 - number[i] : number[i];
    }
    qn_frame_builder *builder = NULL;
    assert_int_equal(qn_frame_builder_new(&builder, NULL), QN_OK);
    add_numbers(builder, 0, "number", number, N);
    add_numbers(builder, 1, "noise", noise, N);
    add_texts(builder, 2, "group", group, N);
    add_numbers(builder, 3, "holes", holes, N);
    assert_int_equal(qn_frame_builder_finish(builder, &w->frame, NULL), QN_OK);
    qn_frame_builder_free(&builder);
    return w;
}

static void world_free(world **w) {
    qn_frame_free(&(*w)->frame);
    qn_freep(w);
}

static const char *const columns[] = {"noise", "group", "holes"};

static qn_slice_input slice_input(const world *w, const char *metric) {
    qn_slice_input input = {
        .frame = w->frame, .columns = columns, .n_columns = 3, .n_rounds = 60, .seed = 1};
    input.eval = (qn_eval_input){QN_TASK_BINARY, 2, N, w->y, w->scores, NULL, 0.5};
    assert_int_equal(qn_metric_find(metric, QN_TASK_BINARY, &input.metric, NULL), QN_OK);
    return input;
}

static void finds_the_planted_group(void **state) {
    static const char *const metrics[] = {"log_loss", "roc_auc"};
    qn_cleanup(world_free) world *w = world_new(true);
    for (size_t m = 0; m < 2; m++) {
        qn_slice_input input = slice_input(w, metrics[m]);
        qn_job two = {.n_threads = 2};
        qn_cleanup(qn_json_free) json_t *slices = NULL;
        qn_cleanup(qn_json_free) json_t *again = NULL;
        assert_int_equal(qn_slices_find(&input, NULL, &slices, NULL), QN_OK);
        assert_int_equal(qn_slices_find(&input, &two, &again, NULL), QN_OK);
        assert_true(json_equal(slices, again));
        const json_t *worst = json_array_get(slices, 0);
        assert_string_equal(json_string_value(json_object_get(worst, "column")), "group");
        assert_string_equal(json_string_value(json_object_get(worst, "group")), "bad");
        assert_true(json_is_true(json_object_get(worst, "flag")));
        assert_true(json_is_null(json_object_get(worst, "value_per_row")));
        for (size_t i = 1; i < json_array_size(slices); i++)
            assert_false(json_is_true(json_object_get(json_array_get(slices, i), "flag")));
        /* The numbers are those of the group itself. */
        int64_t n = 0;
        double y[N], scores[N];
        for (int i = 0; i < N; i++) {
            size_t bytes;
            if (strncmp(qn_column_text(&w->frame->columns[2], i, &bytes), "bad", 3) == 0) {
                y[n] = w->y[i];
                scores[n++] = w->scores[i];
            }
        }
        qn_eval_input group = {QN_TASK_BINARY, 2, n, y, scores, NULL, 0.5};
        double value = json_number_value(
            json_object_get(json_object_get(worst, "metric"), "value"));
        assert_float_equal(value, input.metric->compute(&group), 1e-12);
        assert_int_equal(json_integer_value(json_object_get(worst, "n")), n);
    }
}

static void noise_is_not_flagged(void **state) {
    qn_cleanup(world_free) world *w = world_new(false);
    qn_slice_input input = slice_input(w, "log_loss");
    qn_cleanup(qn_freep) double *money = qn_new_array(double, N);
    input.money = money;
    qn_cleanup(qn_json_free) json_t *slices = NULL;
    assert_int_equal(qn_slices_find(&input, NULL, &slices, NULL), QN_OK);
    for (size_t i = 0; i < json_array_size(slices); i++) {
        const json_t *slice = json_array_get(slices, i);
        assert_false(json_is_true(json_object_get(slice, "flag")));
        assert_true(json_is_number(json_object_get(slice, "value_per_row")));
    }
    static const char *const wrong[] = {"nois"};
    input.columns = wrong;
    input.n_columns = 1;
    qn_json_free(&slices);
    assert_int_equal(qn_slices_find(&input, NULL, &slices, NULL), QN_ERR_NOT_FOUND);
}

/* A model of `number` and `group` only: p = number, and a half of it in "bad". */
static qn_status score(void *user, const qn_frame *frame, double *scores, qn_error *err) {
    const qn_column *number, *group;
    QN_TRY(qn_frame_get(frame, "number", &number, err));
    QN_TRY(qn_frame_get(frame, "group", &group, err));
    for (int64_t i = 0; i < frame->n_rows; i++) {
        size_t n;
        const char *text = qn_column_text(group, i, &n);
        scores[i] = 0.01 + 0.98 * number->f64[i] * (n == 3 && !memcmp(text, "bad", 3) ? 0.5 : 1);
    }
    return QN_OK;
}

static const char *const inputs[] = {"noise", "group", "number", "holes"};

/* The contributions of a made-up additive model: number - 0.5, and nothing else. */
static qn_status explain(void *user, const qn_frame *frame, double *contrib, qn_error *err) {
    const qn_column *number;
    QN_TRY(qn_frame_get(frame, "number", &number, err));
    for (int64_t i = 0; i < frame->n_rows; i++) {
        memset(contrib + i * 5, 0, 5 * sizeof *contrib);
        contrib[i * 5 + 2] = number->f64[i] - 0.5;
    }
    return QN_OK;
}

static qn_importance_input importance_input(const world *w) {
    qn_importance_input input = {.frame = w->frame, .inputs = inputs, .n_inputs = 4, .score = score,
                                 .explain = explain, .n_repeats = 3, .max_rows = 2000, .seed = 4};
    input.eval = (qn_eval_input){QN_TASK_BINARY, 2, N, w->y, NULL, NULL, 0.5};
    assert_int_equal(qn_metric_find("roc_auc", QN_TASK_BINARY, &input.metric, NULL), QN_OK);
    return input;
}

static const char *feature_of(const json_t *array, size_t i) {
    return json_string_value(json_object_get(json_array_get(array, i), "feature"));
}

static void importance_names_what_matters(void **state) {
    qn_cleanup(world_free) world *w = world_new(false);
    qn_importance_input input = importance_input(w);
    qn_cleanup(qn_json_free) json_t *result = NULL;
    assert_int_equal(qn_importance_make(&input, NULL, &result, NULL), QN_OK);
    const json_t *permutation = json_object_get(result, "permutation"),
                 *shap = json_object_get(result, "shap");
    assert_int_equal(json_array_size(permutation), 4);
    assert_string_equal(feature_of(permutation, 0), "number");
    assert_true(json_number_value(json_object_get(json_array_get(permutation, 0), "mean")) > 0.2);
    for (size_t i = 1; i < 4; i++) {
        double mean = json_number_value(json_object_get(json_array_get(permutation, i), "mean"));
        if (strcmp(feature_of(permutation, i), "group")) /* what the model does not read drops nothing */
            assert_float_equal(mean, 0, 0);
    }
    assert_string_equal(feature_of(shap, 0), "number");
    assert_float_equal(json_number_value(json_object_get(json_array_get(shap, 0), "mean_abs")),
                       0.25, 0.02);
    const json_t *points = json_object_get(json_array_get(shap, 0), "points");
    assert_int_equal(json_array_size(points), QN_SHAP_POINTS);
    const json_t *holes = json_array_get(shap, 3);
    assert_string_equal(json_string_value(json_object_get(holes, "feature")), "holes");
    int n_null = 0;
    for (size_t i = 0; i < QN_SHAP_POINTS; i++)
        n_null += json_is_null(
            json_object_get(json_array_get(json_object_get(holes, "points"), i), "x"));
    assert_true(n_null > 10 && n_null < 60);
}

static void dependence_draws_the_model(void **state) {
    static const char *const features[] = {"number", "group", "holes"};
    qn_cleanup(world_free) world *w = world_new(false);
    qn_importance_input input = importance_input(w);
    qn_cleanup(qn_json_free) json_t *result = NULL;
    assert_int_equal(qn_dependence_make(&input, features, 3, 0, NULL, &result, NULL), QN_OK);
    const json_t *number = json_array_get(result, 0), *group = json_array_get(result, 1);
    const json_t *x = json_object_get(number, "x"), *y = json_object_get(number, "y");
    assert_int_equal(json_array_size(x), QN_DEPENDENCE_POINTS);
    double n = 0;
    for (size_t i = 0; i < QN_DEPENDENCE_POINTS; i++) {
        double at = json_number_value(json_array_get(x, i));
        assert_float_equal(json_number_value(json_array_get(y, i)), 0.01 + 0.98 * at * 0.875, 0.02);
        n += json_number_value(json_array_get(json_object_get(number, "n"), i));
    }
    assert_float_equal(n, QN_DEPENDENCE_ROWS, 0);
    assert_string_equal(json_string_value(json_object_get(group, "kind")), "category");
    assert_int_equal(json_array_size(json_object_get(group, "x")), 4);
    for (size_t i = 0; i < 4; i++) {
        bool bad = !strcmp(json_string_value(json_array_get(json_object_get(group, "x"), i)),
                           "bad");
        assert_float_equal(json_number_value(json_array_get(json_object_get(group, "y"), i)),
                           bad ? 0.255 : 0.5, 0.02);
    }
    qn_json_free(&result);
    assert_int_equal(qn_dependence_make(&input, features, 3, 1, NULL, &result, NULL), QN_ERR_USAGE);
}

static qn_status all_of_it(void *user, qn_error *err) {
    const world *w = user;
    qn_slice_input slices = slice_input(w, "log_loss");
    qn_importance_input input = importance_input(w);
    static const char *const features[] = {"group"};
    qn_cleanup(qn_json_free) json_t *a = NULL;
    qn_cleanup(qn_json_free) json_t *b = NULL;
    qn_cleanup(qn_json_free) json_t *c = NULL;
    slices.n_rounds = 2;
    input.n_repeats = 1;
    input.max_rows = 50;
    QN_TRY(qn_slices_find(&slices, NULL, &a, err));
    QN_TRY(qn_importance_make(&input, NULL, &b, err));
    return qn_dependence_make(&input, features, 1, 0, NULL, &c, err);
}

static void runs_out_of_memory_cleanly(void **state) {
    qn_cleanup(world_free) world *w = world_new(true);
    with_failing_memory(all_of_it, w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_planted_group),
        cmocka_unit_test(noise_is_not_flagged),
        cmocka_unit_test(importance_names_what_matters),
        cmocka_unit_test(dependence_draws_the_model),
        cmocka_unit_test(runs_out_of_memory_cleanly),
    };
    return cmocka_run_group_tests_name("slice", tests, NULL, NULL);
}
