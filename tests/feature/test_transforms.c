/* Single transforms against scikit-learn (sklearn_fixtures.json, made by make_fixtures.py) and by
 * hand. */
#include "feature_help.h"

#include "base/file.h"

static const qn_target_info regression = {.name = (char[]){"y"}, .task = QN_TASK_REGRESSION};

/* A frame of one column "x". */
static qn_frame *column_frame(const json_t *values, qn_type type) {
    qn_error err = {0};
    qn_frame_builder *b = NULL;
    qn_frame *frame = NULL;
    OK(qn_frame_builder_new(&b, &err));
    OK(qn_frame_builder_add_column(b, "x", type, &err));
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *v = json_array_get(values, i);
        if (json_is_null(v))
            OK(qn_frame_builder_null(b, 0, &err));
        else if (json_is_string(v))
            OK(qn_frame_builder_text(b, 0, json_string_value(v), json_string_length(v), &err));
        else if (type == QN_TYPE_TIME)
            OK(qn_frame_builder_i64(b, 0, json_integer_value(v), &err));
        else
            OK(qn_frame_builder_number(b, 0, json_number_value(v), &err));
    }
    OK(qn_frame_builder_finish(b, &frame, &err));
    qn_frame_builder_free(&b);
    return frame;
}

/* Fits one chain on `train` and applies it to `new`. The pipeline is the caller's. */
static qn_matrix *run_chain(const json_t *transform, const json_t *train, const json_t *new,
                            qn_type type, const double *y, qn_pipeline **ret_pipeline,
                            qn_matrix **ret_train) {
    qn_error err = {0};
    static const char *const inputs[] = {"x"};
    qn_cleanup(qn_frame_free) qn_frame *a = column_frame(train, type), *b = column_frame(new, type);
    qn_cleanup(qn_json_free)
        json_t *steps = json_pack("[{s:[s],s:[O]}]", "columns", "x", "transforms", transform);
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL;
    qn_matrix *m = NULL;
    OK(qn_pipeline_spec_parse(steps, a, inputs, 1, QN_TAKES_MISSING | QN_TAKES_CATEGORIES, &spec,
                              &err));
    OK(qn_pipeline_fit(spec, a, NULL, 0, y, &regression, 1, NULL, ret_pipeline, ret_train, &err));
    OK(qn_pipeline_apply(*ret_pipeline, b, NULL, 0, NULL, &m, &err));
    return m;
}

static json_t *fixtures(void) {
    qn_error err = {0};
    char *bytes = NULL;
    size_t n;
    json_t *json = NULL;
    OK(qn_file_read(QN_FIXTURES, 1 << 20, &bytes, &n, &err));
    OK(qn_json_parse(bytes, n, "fixtures", &json, &err));
    qn_freep(&bytes);
    return json;
}

static void numbers_equal_scikit_learn(void **state) {
    qn_cleanup(qn_json_free) json_t *json = fixtures();
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(json, "numbers"), i, one) {
        qn_cleanup(qn_pipeline_free) qn_pipeline *p = NULL;
        qn_cleanup(qn_matrix_free)
            qn_matrix *m = run_chain(json_object_get(one, "spec"), json_object_get(one, "train"),
                                     json_object_get(one, "new"), QN_TYPE_F64, NULL, &p, NULL);
        double tolerance = json_number_value(json_object_get(one, "tolerance"));
        const json_t *expected = json_object_get(one, "expected");
        for (int64_t r = 0; r < m->n_rows; r++) {
            double want = json_number_value(json_array_get(expected, (size_t)r)),
                   got = m->columns[0].num[r];
            if (!(fabs(got - want) <= tolerance * (1 + fabs(want)))) {
                qn_cleanup(qn_freep) char *text = NULL;
                fail_msg("case %zu row %lld: %.15g, scikit-learn says %.15g", i, (long long)r, got,
                         want);
            }
        }
    }
}

static void one_hot_equals_scikit_learn(void **state) {
    qn_cleanup(qn_json_free) json_t *json = fixtures();
    qn_cleanup(qn_json_free) json_t *spec = json_pack("{s:i}", "one_hot", 2);
    const json_t *one = json_object_get(json, "one_hot"),
                 *expected = json_object_get(one, "expected");
    qn_cleanup(qn_pipeline_free) qn_pipeline *p = NULL;
    qn_cleanup(qn_matrix_free)
        qn_matrix *m = run_chain(spec, json_object_get(one, "train"), json_object_get(one, "new"),
                                 QN_TYPE_CATEGORY, NULL, &p, NULL);
    assert_int_equal(m->n_features, 4);
    assert_string_equal(m->features[0].name, "x=a");
    assert_string_equal(m->features[3].name, "x=(rare)");
    for (int64_t r = 0; r < m->n_rows; r++)
        for (int f = 0; f < 4; f++)
            assert_true(
                m->columns[f].num[r] ==
                json_number_value(json_array_get(json_array_get(expected, (size_t)r), (size_t)f)));
}

static int32_t feature_called(const qn_matrix *m, const char *name) {
    for (int32_t f = 0; f < m->n_features; f++)
        if (strcmp(m->features[f].name, name) == 0)
            return f;
    fail_msg("no feature %s", name);
    return -1;
}

static void tfidf_equals_scikit_learn(void **state) {
    qn_cleanup(qn_json_free) json_t *json = fixtures();
    const json_t *text = json_object_get(json, "text");
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(text, "cases"), i, one) {
        qn_cleanup(qn_json_free) json_t *spec = json_pack(
            "{s:{s:O,s:O,s:i}}", "text", "sublinear", json_object_get(one, "sublinear"),
            "ngram_max", json_object_get(one, "ngram_max"), "min_count", 1);
        qn_cleanup(qn_pipeline_free) qn_pipeline *p = NULL;
        qn_cleanup(qn_matrix_free)
            qn_matrix *m = run_chain(spec, json_object_get(text, "train"),
                                     json_object_get(text, "new"), QN_TYPE_TEXT, NULL, &p, NULL);
        const json_t *terms = json_object_get(one, "terms"),
                     *expected = json_object_get(one, "expected");
        assert_int_equal(m->n_features, json_array_size(terms));
        for (size_t t = 0; t < json_array_size(terms); t++) {
            char name[100];
            snprintf(name, sizeof name, "x:%s", json_string_value(json_array_get(terms, t)));
            int32_t f = feature_called(m, name);
            for (int64_t r = 0; r < m->n_rows; r++) {
                double want = json_number_value(
                    json_array_get(json_array_get(expected, (size_t)r), t));
                assert_true(fabs(m->columns[f].num[r] - want) < 1e-12);
            }
        }
    }
}

/* One feature's values for a chain given as JSON text. */
static void check(const char *transform, const char *train, const char *new, qn_type type,
                  const char *feature, const double *expected) {
    qn_cleanup(qn_json_free) json_t *t = json_loads(transform, JSON_DECODE_ANY, NULL);
    qn_cleanup(qn_json_free) json_t *a = json_loads(train, 0, NULL), *b = json_loads(new, 0, NULL);
    qn_cleanup(qn_pipeline_free) qn_pipeline *p = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *m = run_chain(t, a, b, type, NULL, &p, NULL);
    int32_t f = feature_called(m, feature);
    for (int64_t r = 0; r < m->n_rows; r++) {
        double got = m->columns[f].num ? m->columns[f].num[r] : m->columns[f].code[r];
        if (!(fabs(got - expected[r]) < 1e-12 || (isnan(got) && isnan(expected[r]))))
            fail_msg("%s, %s row %lld: %.17g is not %.17g", transform, feature, (long long)r, got,
                     expected[r]);
    }
}

static void small_cases_by_hand(void **state) {
    const char *cats = "[\"b\",\"a\",\"b\",null,\"c\"]", *more = "[\"a\",\"b\",\"zz\",null]";
    check("\"one_hot\"", cats, more, QN_TYPE_CATEGORY, "x=b", (double[]){0, 1, 0, 0});
    check("\"one_hot\"", cats, more, QN_TYPE_CATEGORY, "x=(missing)", (double[]){0, 0, 0, 1});
    check("{\"one_hot\": {\"max_categories\": 1}}", cats, more, QN_TYPE_CATEGORY, "x=(rare)",
          (double[]){1, 0, 1, 0});
    check("\"category\"", cats, more, QN_TYPE_CATEGORY, "x", (double[]){1, 0, -1, -1});
    check("\"ordinal\"", cats, more, QN_TYPE_CATEGORY, "x", (double[]){1, 0, NAN, NAN});
    check("{\"ordinal\": \"alphabetical\"}", cats, more, QN_TYPE_CATEGORY, "x",
          (double[]){0, 1, NAN, NAN});
    check("{\"ordinal\": [\"c\", \"zz\"]}", cats, more, QN_TYPE_CATEGORY, "x",
          (double[]){NAN, NAN, 1, NAN});
    check("{\"frequency\": {\"form\": \"share\", \"min_count\": 1}}", cats, more, QN_TYPE_CATEGORY,
          "x frequency", (double[]){0.2, 0.4, 0, 0.2});
    check("\"log\"", "[1]", "[0, -3, 1.5, null]", QN_TYPE_F64, "x",
          (double[]){0, -log(4), log(2.5), NAN});
    check("\"standard\"", "[3, 3, 3]", "[3, 4]", QN_TYPE_F64, "x", (double[]){0, 1});
    check("\"impute\"", "[null, null]", "[null, 4]", QN_TYPE_F64, "x", (double[]){0, 4});
    check("{\"text_stats\": null}", "[\"a\"]", "[\"AB 12!\", null]", QN_TYPE_TEXT, "x words",
          (double[]){2, 0});
    check("\"text_stats\"", "[\"a\"]",
          "[\"AB \xc3\x89"
          "1\", null]",
          QN_TYPE_TEXT, "x upper-case share", (double[]){0.6, 0});
}

static void dates_are_right(void **state) {
    /* 2024-02-29 23:59:30, 1969-12-31 00:00, 2000-12-31 12:30 UTC */
    const char *t = "[1709251170000000, -86400000000, 978265800000000, null]";
    check("\"date\"", t, t, QN_TYPE_TIME, "x year", (double[]){2024, 1969, 2000, NAN});
    check("\"date\"", t, t, QN_TYPE_TIME, "x month", (double[]){2, 12, 12, NAN});
    check("{\"date\": [\"day\"]}", t, t, QN_TYPE_TIME, "x day", (double[]){29, 31, 31, NAN});
    check("\"date\"", t, t, QN_TYPE_TIME, "x weekday", (double[]){3, 2, 6, NAN});
    check("\"date\"", t, t, QN_TYPE_TIME, "x is_weekend", (double[]){0, 0, 1, NAN});
    check("\"date\"", t, t, QN_TYPE_TIME, "x day_of_year", (double[]){60, 365, 366, NAN});
    check("\"date\"", t, t, QN_TYPE_TIME, "x hour", (double[]){23, 0, 12, NAN});
    check("\"date\"", t, t, QN_TYPE_TIME, "x minute", (double[]){59, 0, 30, NAN});
    check("\"date\"", t, t, QN_TYPE_TIME, "x elapsed", (double[]){1709337570, 0, 978352200, NAN});
    check("\"cyclical\"", t, t, QN_TYPE_TIME, "x hour cos",
          (double[]){cos(2 * M_PI * 23 / 24), 1, -1, NAN});
}

static void infinite_numbers_are_cut(void **state) {
    qn_error err = {0};
    qn_frame_builder *b = NULL;
    qn_frame *frame = NULL;
    static const char *const inputs[] = {"x"};
    OK(qn_frame_builder_new(&b, &err));
    OK(qn_frame_builder_add_column(b, "x", QN_TYPE_F64, &err));
    const double x[] = {1, -2, 7, INFINITY, -INFINITY};
    for (int i = 0; i < 5; i++)
        OK(qn_frame_builder_number(b, 0, x[i], &err));
    OK(qn_frame_builder_finish(b, &frame, &err));
    qn_frame_builder_free(&b);
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL;
    OK(qn_pipeline_spec_auto(frame, inputs, 1, QN_TAKES_MISSING, &spec, &err));
    qn_cleanup(qn_pipeline_free) qn_pipeline *p = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *m = NULL;
    OK(qn_pipeline_fit(spec, frame, NULL, 0, NULL, NULL, 1, NULL, &p, &m, &err));
    assert_true(m->columns[0].num[3] == 7 && m->columns[0].num[4] == -2);
    qn_frame_free(&frame);
}

/* Out-of-fold by the definition: what a row gets does not change with its own target. */
static void target_encoding_is_out_of_fold(void **state) {
    qn_cleanup(qn_json_free)
        json_t *spec = json_pack("{s:{s:f,s:i}}", "target", "smoothing", 2.0, "min_count", 1);
    qn_cleanup(qn_json_free) json_t *train = json_array();
    double y[40];
    for (int i = 0; i < 40; i++) {
        json_array_append_new(train, i % 8 == 7 ? json_null() : json_string(i % 3 ? "a" : "b"));
        y[i] = i;
    }
    qn_cleanup(qn_json_free) json_t *new = json_loads("[\"a\", \"zz\", null]", 0, NULL);
    for (int i = 0; i < 40; i++) {
        qn_cleanup(qn_pipeline_free) qn_pipeline *p = NULL, *q = NULL;
        qn_cleanup(qn_matrix_free) qn_matrix *t = NULL, *u = NULL;
        qn_cleanup(qn_matrix_free)
            qn_matrix *m = run_chain(spec, train, new, QN_TYPE_CATEGORY, y, &p, &t);
        y[i] += 1000;
        qn_cleanup(qn_matrix_free)
            qn_matrix *n = run_chain(spec, train, new, QN_TYPE_CATEGORY, y, &q, &u);
        y[i] -= 1000;
        assert_true(same_bits(t->columns[0].num[i], u->columns[0].num[i]));
        assert_false(same_bits(m->columns[0].num[1], n->columns[0].num[1]));
        double sum = 0, count = 0;
        for (int k = 0; k < 40; k++)
            if (k % 8 != 7 && k % 3) {
                sum += y[k];
                count++;
            }
        assert_true(fabs(m->columns[0].num[0] - (sum + 2 * 19.5) / (count + 2)) < 1e-12);
        assert_true(m->columns[0].num[1] == 19.5);
        assert_true(fabs(m->columns[0].num[2] - (7 + 15 + 23 + 31 + 39 + 2 * 19.5) / 7) < 1e-12);
    }
}

static void words_follow_the_definition(void **state) {
    qn_cleanup(qn_json_free) json_t *spec = json_pack("{s:{s:i}}", "text", "min_count", 1);
    qn_cleanup(qn_json_free) json_t *train = json_pack(
        "[s]", "It's \xc3\x89T\xc3\x89 \xc2\xa3"
               "5, \xd0\x9f\xd0\xa0\xd0\x98 \xe6\x97\xa5\xe6\x9c\xac a_b\xe2\x80\x94"
               "c");
    static const char *const words[] = {"x:it",
                                        "x:s",
                                        "x:\xc3\xa9t\xc3\xa9",
                                        "x:\xc2\xa3",
                                        "x:5",
                                        "x:\xd0\xbf\xd1\x80\xd0\xb8",
                                        "x:\xe6\x97\xa5",
                                        "x:\xe6\x9c\xac",
                                        "x:a_b",
                                        "x:c"};
    qn_cleanup(qn_pipeline_free) qn_pipeline *p = NULL;
    qn_cleanup(qn_matrix_free)
        qn_matrix *m = run_chain(spec, train, train, QN_TYPE_TEXT, NULL, &p, NULL);
    assert_int_equal(m->n_features, 10);
    for (int i = 0; i < 10; i++)
        feature_called(m, words[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_equal_scikit_learn),
        cmocka_unit_test(one_hot_equals_scikit_learn),
        cmocka_unit_test(tfidf_equals_scikit_learn),
        cmocka_unit_test(small_cases_by_hand),
        cmocka_unit_test(dates_are_right),
        cmocka_unit_test(infinite_numbers_are_cut),
        cmocka_unit_test(target_encoding_is_out_of_fold),
        cmocka_unit_test(words_follow_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
