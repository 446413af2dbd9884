/* The pipeline as a whole: specs, fitting on given rows only, one row equals the batch, save and
 * load. */
#include "feature_help.h"

#include "base/file.h"

static char *binary_classes[] = {(char[]){"no"}, (char[]){"yes"}};
static const qn_target_info binary = {.name = (char[]){"y"}, .task = QN_TASK_BINARY, .n_classes = 2,
                                      .classes = binary_classes};
static char *three_classes[] = {(char[]){"a"}, (char[]){"b"}, (char[]){"c"}};
static const qn_target_info three = {
    .name = (char[]){"y"}, .task = QN_TASK_MULTICLASS, .n_classes = 3, .classes = three_classes};

enum {
    TREES = QN_TAKES_MISSING | QN_TAKES_CATEGORIES | QN_TAKES_SPARSE,
    LINEAR = QN_TAKES_SPARSE | QN_WANTS_SCALED
};

/* Every transform at least once, in its variants. */
static const char every[] =
    "[{\"columns\": [\"age\", \"count\"], \"transforms\": [{\"impute\": \"median\", \"indicator\": "
    "true}, \"standard\"]},"
    " {\"columns\": \"age\", \"transforms\": [\"robust\"]},"
    " {\"columns\": \"age\", \"transforms\": [{\"scale\": \"minmax\", \"clip\": true}]},"
    " {\"columns\": [\"age\"], \"transforms\": [\"log\"]},"
    " {\"columns\": [\"age\"], \"transforms\": [{\"log\": \"log1p\"}, \"power\"]},"
    " {\"columns\": [\"age\"], \"transforms\": [{\"quantile\": \"normal\"}]},"
    " {\"columns\": [\"age\"], \"transforms\": [{\"quantile\": \"uniform\", \"n_quantiles\": 7}]},"
    " {\"columns\": [\"age\"], \"transforms\": [{\"discretise\": 5}]},"
    " {\"columns\": [\"age\"], \"transforms\": [{\"discretise\": {\"n_bins\": 4, \"strategy\": "
    "\"uniform\","
    "   \"output\": \"category\"}}, \"one_hot\"]},"
    " {\"columns\": [\"count\"], \"transforms\": [{\"discretise\": {\"output\": \"category\"}}]},"
    " {\"columns\": [\"count\"], \"transforms\": [{\"cyclical\": 24}]},"
    " {\"columns\": [\"count\"], \"transforms\": [\"category\"]},"
    " {\"columns\": [\"count\"], \"transforms\": [\"target\"]},"
    " {\"columns\": [\"flag\"], \"transforms\": [\"number\"]},"
    " {\"columns\": [\"flag\"], \"transforms\": [{\"impute\": {\"strategy\": \"constant\", "
    "\"value\": -1}}]},"
    " {\"columns\": [\"job\"], \"transforms\": [{\"one_hot\": {\"min_count\": 3}}]},"
    " {\"columns\": [\"job\"], \"transforms\": [\"impute\", \"category\"]},"
    " {\"columns\": [\"job\"], \"transforms\": [{\"impute\": \"most_frequent\"}, \"one_hot\"]},"
    " {\"columns\": [\"job\"], \"transforms\": [{\"ordinal\": \"alphabetical\"}]},"
    " {\"columns\": [\"job\"], \"transforms\": [{\"ordinal\": {\"order\": [\"pilot\", "
    "\"cook\"]}}]},"
    " {\"columns\": [\"job\"], \"transforms\": [\"ordinal\", {\"impute\": \"mean\"}]},"
    " {\"columns\": [\"city\"], \"transforms\": [{\"hash\": 16}]},"
    " {\"columns\": [\"city\"], \"transforms\": [{\"target\": 5}, \"quantile\"]},"
    " {\"columns\": [\"city\"], \"transforms\": [\"frequency\"]},"
    " {\"columns\": [\"city\"], \"transforms\": [{\"frequency\": \"share\"}]},"
    " {\"columns\": [\"city\"], \"transforms\": [{\"category\": {\"max_categories\": 20}}]},"
    " {\"cross\": [\"job\", \"flag\"]},"
    " {\"columns\": [\"job\", \"city\", \"count\"], \"transforms\": [{\"cross\": {\"min_count\": "
    "2}}, {\"hash\": 8}]},"
    " {\"columns\": [\"when\"], \"transforms\": [\"date\", \"impute\", \"standard\"]},"
    " {\"columns\": [\"when\"], \"transforms\": [{\"date\": [\"year\", \"is_weekend\"]}]},"
    " {\"columns\": [\"when\"], \"transforms\": [\"cyclical\"]},"
    " {\"columns\": [\"note\"], \"transforms\": [{\"text\": \"word\", \"ngram_max\": 2}]},"
    " {\"columns\": [\"note\"], \"transforms\": [{\"text\": \"char\", \"ngram_min\": 2, "
    "\"ngram_max\": 3,"
    "   \"sublinear\": true}]},"
    " {\"columns\": [\"note\"], \"transforms\": [\"text_stats\"]}]";

static qn_pipeline_spec *parse(const char *text, const qn_frame *frame, unsigned takes) {
    qn_error err = {0};
    qn_pipeline_spec *spec = NULL;
    qn_cleanup(qn_json_free) json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    OK(qn_pipeline_spec_parse(json, frame, all_inputs, N_INPUTS, takes, &spec, &err));
    return spec;
}

static qn_pipeline *fit(const qn_pipeline_spec *spec, const qn_frame *frame, const int64_t *rows,
                        int64_t n_rows, const qn_target_info *info, int n_threads,
                        qn_matrix **train) {
    qn_error err = {0};
    qn_pipeline *pipeline = NULL;
    qn_job job = {.n_threads = n_threads};
    double *y = make_target(rows ? n_rows : frame->n_rows, info->n_classes);
    OK(qn_pipeline_fit(spec, frame, rows, n_rows, y, info, 11, &job, &pipeline, train, &err));
    qn_freep(&y);
    return pipeline;
}

static void save(const qn_pipeline *pipeline, qn_buf *out) {
    qn_error err = {0};
    OK(qn_pipeline_save(pipeline, out, &err));
}

static void check_round_trip(const qn_pipeline *pipeline, const qn_frame *frame) {
    qn_error err = {0};
    qn_cleanup(qn_buf_done) qn_buf bytes = {0}, again = {0};
    save(pipeline, &bytes);
    qn_cleanup(qn_pipeline_free) qn_pipeline *loaded = NULL;
    OK(qn_pipeline_load(bytes.data, bytes.len, &loaded, &err));
    save(loaded, &again);
    assert_int_equal(bytes.len, again.len);
    assert_memory_equal(bytes.data, again.data, bytes.len);
    qn_cleanup(qn_matrix_free) qn_matrix *a = NULL, *b = NULL;
    OK(qn_pipeline_apply(pipeline, frame, NULL, 0, NULL, &a, &err));
    OK(qn_pipeline_apply(loaded, frame, NULL, 0, &(qn_job){.n_threads = 2}, &b, &err));
    assert_same_matrix(a, b);
    for (int32_t i = 0; i < a->n_features; i++)
        assert_string_equal(a->features[i].name, b->features[i].name);
}

static void check_single_rows(const qn_pipeline *pipeline, const qn_frame *frame) {
    qn_error err = {0};
    qn_cleanup(qn_matrix_free) qn_matrix *batch = NULL;
    OK(qn_pipeline_apply(pipeline, frame, NULL, 0, &(qn_job){.n_threads = 2}, &batch, &err));
    qn_cleanup(qn_freep) double *x = dense_of(batch);
    qn_cleanup(qn_freep) double *row = qn_new_array(double, batch->n_features);
    for (int64_t i = 0; i < frame->n_rows; i++) {
        qn_cleanup(qn_frame_free) qn_frame *one = NULL;
        qn_cleanup(qn_matrix_free) qn_matrix *m = NULL;
        if (i % 2)
            OK(qn_frame_take(frame, &i, 1, &one, &err));
        OK(qn_pipeline_apply(pipeline, one ? one : frame, one ? NULL : &i, 1, NULL, &m, &err));
        qn_matrix_rows(m, 0, 1, row);
        for (int32_t f = 0; f < batch->n_features; f++)
            if (!same_bits(row[f], x[i * batch->n_features + f]))
                fail_msg("row %lld, %s: alone %.17g, in the batch %.17g", (long long)i,
                         batch->features[f].name, row[f], x[i * batch->n_features + f]);
    }
}

static void check_finite(const qn_matrix *m, bool no_missing) {
    double *x = dense_of(m);
    for (int64_t i = 0; i < m->n_rows * m->n_features; i++) {
        if (isinf(x[i]) || (no_missing && isnan(x[i])))
            fail_msg("%s is %g in row %lld", m->features[i % m->n_features].name, x[i],
                     (long long)(i / m->n_features));
    }
    qn_freep(&x);
}

static void every_transform_keeps_the_promises(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = make_frame(200, 0);
    qn_cleanup(qn_frame_free) qn_frame *other = make_frame(60, 2);
    const unsigned takes[] = {TREES, LINEAR, 0};
    for (int k = 0; k < 3; k++) {
        qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = parse(every, frame, takes[k]);
        qn_cleanup(qn_matrix_free) qn_matrix *train = NULL;
        qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline =
            fit(spec, frame, NULL, 0, k == 1 ? &three : &binary, 2, &train);
        check_finite(train, !(takes[k] & QN_TAKES_MISSING));
        check_round_trip(pipeline, other);
        check_single_rows(pipeline, other);
        qn_error err = {0};
        qn_cleanup(qn_matrix_free) qn_matrix *m = NULL;
        OK(qn_pipeline_apply(pipeline, other, NULL, 0, NULL, &m, &err));
        check_finite(m, !(takes[k] & QN_TAKES_MISSING));
        for (int32_t f = 0; f < m->n_features; f++) {
            if (!(takes[k] & QN_TAKES_CATEGORIES))
                assert_int_not_equal(m->features[f].kind, QN_FEATURE_CATEGORY);
            if (!(takes[k] & QN_TAKES_SPARSE))
                assert_int_not_equal(m->features[f].kind, QN_FEATURE_SPARSE);
        }
    }
}

static void automatic_choice_keeps_the_promises(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = make_frame(2000, 0);
    qn_cleanup(qn_frame_free) qn_frame *other = make_frame(40, 3);
    const unsigned takes[] = {TREES, LINEAR, 0};
    for (int k = 0; k < 3; k++) {
        qn_error err = {0};
        qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL, *again = NULL;
        OK(qn_pipeline_spec_auto(frame, all_inputs, N_INPUTS, takes[k], &spec, &err));
        qn_cleanup(qn_json_free) json_t *json = qn_pipeline_spec_to_json(spec);
        OK(qn_pipeline_spec_parse(json, frame, all_inputs, N_INPUTS, takes[k], &again, &err));
        qn_cleanup(qn_json_free) json_t *twice = qn_pipeline_spec_to_json(again);
        assert_true(json_equal(json, twice));
        qn_cleanup(qn_matrix_free) qn_matrix *one = NULL, *two = NULL;
        qn_cleanup(qn_pipeline_free) qn_pipeline *a = fit(spec, frame, NULL, 0, &binary, 1, &one);
        qn_cleanup(qn_pipeline_free) qn_pipeline *b = fit(again, frame, NULL, 0, &binary, 3, &two);
        qn_cleanup(qn_buf_done) qn_buf x = {0}, y = {0};
        save(a, &x);
        save(b, &y);
        assert_int_equal(x.len, y.len);
        assert_memory_equal(x.data, y.data, x.len);
        assert_same_matrix(one, two);
        check_round_trip(a, other);
        check_single_rows(a, other);
    }
}

static void only_the_given_rows_count(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = make_frame(400, 0);
    qn_cleanup(qn_frame_free) qn_frame *changed = make_frame(400, 1);
    int64_t rows[200];
    for (int64_t i = 0; i < 200; i++)
        rows[i] = 199 - i;
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = parse(every, frame, TREES);
    qn_cleanup(qn_pipeline_free) qn_pipeline *a = fit(spec, frame, rows, 200, &binary, 1, NULL);
    qn_cleanup(qn_pipeline_free) qn_pipeline *b = fit(spec, changed, rows, 200, &binary, 2, NULL);
    qn_cleanup(qn_buf_done) qn_buf x = {0}, y = {0};
    save(a, &x);
    save(b, &y);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
}

static void refuses(const char *text, const char *message) {
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = make_frame(20, 0);
    qn_cleanup(qn_json_free) json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    qn_pipeline_spec *spec = NULL;
    qn_status status = qn_pipeline_spec_parse(json, frame, all_inputs, N_INPUTS, TREES, &spec,
                                              &err);
    assert_int_equal(status, QN_ERR_CONFIG);
    assert_null(spec);
    if (!strstr(err.message, message))
        fail_msg("'%s' does not say '%s'", err.message, message);
}

static void bad_specs_are_explained(void **state) {
    refuses("[{\"columns\": [\"agee\"], \"transforms\": [\"log\"]}]", "did you mean 'age'");
    refuses("[{\"columns\": [\"age\"], \"transforms\": [\"standrad\"]}]",
            "did you mean 'standard'");
    refuses("[{\"columns\": [\"age\"], \"transforms\": [\"text\"]}]",
            "column age: 'text' does not take a number; these do: number, impute");
    refuses("[{\"columns\": [\"note\"], \"transforms\": [\"standard\"]}]",
            "does not take text; these do: category");
    refuses("[{\"columns\": [\"job\"], \"transforms\": [\"one_hot\", \"standard\"]}]",
            "after one_hot");
    refuses("[{\"columns\": [\"age\"], \"transforms\": [{\"impute\": \"medain\"}]}]", "median");
    refuses("[{\"columns\": [\"age\"], \"transforms\": [{\"impute\": \"median\", \"indicater\": "
            "true}]}]",
            "indicator");
    refuses("[{\"column\": \"age\", \"transform\": \"drop\", \"colums\": 1}]",
            "did you mean 'column");
    refuses("[{\"columns\": [\"when\"], \"transforms\": [{\"date\": [\"yaer\"]}]}]",
            "did you mean year");
    refuses(
        "[{\"columns\": [\"when\"], \"transforms\": [{\"cyclical\": {\"parts\": [\"year\"]}}]}]",
        "does not go round");
    refuses("[{\"columns\": [\"job\"], \"transforms\": [{\"ordinal\": \"given\"}]}]", "order");
    refuses("[{\"columns\": [\"job\"], \"transforms\": [{\"ordinal\": {\"order\": [\"a\", 1]}}]}]",
            "list of texts");
    refuses(
        "[{\"columns\": [\"job\"], \"transforms\": [{\"ordinal\": {\"order\": [\"a\", \"a\"]}}]}]",
        "twice");
    refuses("[{\"columns\": [\"note\"], \"transforms\": [{\"text\": {\"ngram_min\": 3}}]}]",
            "ngram_min");
    refuses("[{\"cross\": [\"job\"]}]", "2 to 8 columns");
    refuses("[{\"columns\": [\"age\"], \"transforms\": [\"log\", \"drop\"]}]", "stands alone");
    refuses("[{\"columns\": [\"job\"], \"transforms\": [\"category\", \"cross\"]}]",
            "first transform");
    refuses("[{}]", "columns");
    refuses("[3]", "a step is");
    refuses("\"automatic\"", "'auto' or a list");
    refuses("[{\"columns\": [\"age\"], \"transforms\": [{}]}]", "not {}");
    refuses("[{\"columns\": [7], \"transforms\": []}]", "by its name");
}

static void apply_asks_for_its_columns(void **state) {
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = make_frame(50, 0);
    qn_cleanup(qn_pipeline_spec_free)
        qn_pipeline_spec *spec = parse("{\"flag\": \"drop\", \"job\": \"drop\", \"city\": "
                                       "\"drop\", \"note\": \"drop\", \"when\": \"drop\"}",
                                       frame, TREES);
    qn_cleanup(qn_pipeline_free)
        qn_pipeline *pipeline = fit(spec, frame, NULL, 0, &binary, 1, NULL);
    assert_int_equal(qn_pipeline_inputs(pipeline)->n_columns, 2);
    qn_frame_builder *b = NULL;
    qn_frame *empty = NULL, *wrong = NULL;
    OK(qn_frame_builder_new(&b, &err));
    OK(qn_frame_builder_add_column(b, "x", QN_TYPE_F64, &err));
    OK(qn_frame_builder_finish(b, &empty, &err));
    qn_frame_builder_free(&b);
    qn_matrix *m = NULL;
    assert_int_equal(qn_pipeline_apply(pipeline, empty, NULL, 0, NULL, &m, &err), QN_ERR_DATA);
    assert_non_null(strstr(err.message, "age, count"));
    OK(qn_frame_builder_new(&b, &err));
    OK(qn_frame_builder_add_column(b, "count", QN_TYPE_TEXT, &err));
    OK(qn_frame_builder_add_column(b, "age", QN_TYPE_I64, &err));
    OK(qn_frame_builder_finish(b, &wrong, &err));
    qn_frame_builder_free(&b);
    assert_int_equal(qn_pipeline_apply(pipeline, wrong, NULL, 0, NULL, &m, &err), QN_ERR_DATA);
    assert_string_equal(err.column, "count");
    int64_t bad = 50;
    assert_int_equal(qn_pipeline_apply(pipeline, frame, &bad, 1, NULL, &m, &err), QN_ERR_USAGE);
    assert_null(m);
    qn_frame_free(&empty);
    qn_frame_free(&wrong);
}

static void constants_are_left_out(void **state) {
    qn_error err = {0};
    qn_frame_builder *b = NULL;
    qn_frame *frame = NULL;
    static const char *const names[] = {"same", "none", "x", "id"};
    OK(qn_frame_builder_new(&b, &err));
    OK(qn_frame_builder_add_column(b, "same", QN_TYPE_CATEGORY, &err));
    OK(qn_frame_builder_add_column(b, "none", QN_TYPE_F64, &err));
    OK(qn_frame_builder_add_column(b, "x", QN_TYPE_F64, &err));
    OK(qn_frame_builder_add_column(b, "id", QN_TYPE_CATEGORY, &err));
    for (int i = 0; i < 120; i++) {
        char id[16];
        snprintf(id, sizeof id, "u%d", i);
        OK(qn_frame_builder_text(b, 0, i == 119 ? "b" : "a", 1, &err));
        OK(qn_frame_builder_null(b, 1, &err));
        OK(qn_frame_builder_number(b, 2, i, &err));
        OK(qn_frame_builder_text(b, 3, id, strlen(id), &err));
    }
    OK(qn_frame_builder_finish(b, &frame, &err));
    qn_frame_builder_free(&b);
    int64_t rows[100];
    for (int64_t i = 0; i < 100; i++)
        rows[i] = i;
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL;
    OK(qn_pipeline_spec_auto(frame, names, 4, TREES, &spec, &err));
    qn_cleanup(qn_json_free) json_t *json = qn_pipeline_spec_to_json(spec);
    qn_cleanup(qn_freep) char *text = qn_json_text(json, 0);
    assert_non_null(strstr(text, "all values are missing"));
    assert_non_null(strstr(text, "an identifier"));
    qn_cleanup(qn_pipeline_free)
        qn_pipeline *pipeline = fit(spec, frame, rows, 100, &binary, 1, NULL);
    int32_t n;
    qn_pipeline_features(pipeline, &n);
    assert_int_equal(n, 1);
    qn_cleanup(qn_json_free) json_t *dropped = qn_pipeline_dropped(pipeline);
    assert_int_equal(json_array_size(dropped), 1);
    assert_string_equal(json_string_value(json_array_get(dropped, 0)), "same");
    check_round_trip(pipeline, frame);
    qn_frame_free(&frame);
}

static void damaged_bytes_are_refused(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = make_frame(60, 0);
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = parse(every, frame, TREES);
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = fit(spec, frame, NULL, 0, &three, 1, NULL);
    qn_cleanup(qn_buf_done) qn_buf bytes = {0};
    save(pipeline, &bytes);
    qn_error err = {0};
    qn_pipeline *loaded = NULL;
    for (size_t n = 0; n < bytes.len; n += 1 + bytes.len / 150) {
        char *cut = qn_calloc(n, 1);
        memcpy(cut, bytes.data, n);
        assert_int_equal(qn_pipeline_load(cut, n, &loaded, &err), QN_ERR_FORMAT);
        qn_freep(&cut);
    }
    qn_rng rng;
    qn_rng_init(&rng, 5);
    int n_loaded = 0;
    for (int k = 0; k < 300; k++) {
        char *copy = qn_calloc(bytes.len, 1);
        memcpy(copy, bytes.data, bytes.len);
        for (int e = 0; e < 1 + k % 3; e++)
            copy[qn_rng_below(&rng, bytes.len)] = (char)qn_rng_u64(&rng);
        qn_status status = qn_pipeline_load(copy, bytes.len, &loaded, &err);
        if (status == QN_OK) { /* harmless damage: it must still be usable */
            qn_matrix *m = NULL;
            qn_status applied = qn_pipeline_apply(loaded, frame, NULL, 0, NULL, &m, &err);
            assert_true(applied == QN_OK || applied == QN_ERR_DATA);
            qn_matrix_free(&m);
            qn_pipeline_free(&loaded);
            n_loaded++;
        }
        qn_freep(&copy);
    }
    assert_true(n_loaded < 300);
}

static void memory_may_run_out_anywhere(void **state) {
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = make_frame(24, 0);
    qn_cleanup(qn_json_free) json_t *json = json_loads(every, 0, NULL);
    qn_cleanup(qn_freep) double *y = make_target(24, 3);
    int64_t step = 1;
    for (int64_t i = 0;; i += step) {
        qn_pipeline_spec *spec = NULL;
        qn_pipeline *pipeline = NULL, *loaded = NULL;
        qn_matrix *train = NULL, *m = NULL;
        qn_buf bytes = {0};
        qn_mem_fail_after(i);
        qn_status status = qn_pipeline_spec_parse(json, frame, all_inputs, N_INPUTS, TREES, &spec,
                                                  &err);
        if (status == QN_OK)
            status = qn_pipeline_fit(spec, frame, NULL, 0, y, &three, 1, NULL, &pipeline, &train,
                                     &err);
        if (status == QN_OK)
            status = qn_pipeline_apply(pipeline, frame, NULL, 0, NULL, &m, &err);
        if (status == QN_OK)
            status = qn_pipeline_save(pipeline, &bytes, &err);
        if (status == QN_OK)
            status = qn_pipeline_load(bytes.data, bytes.len, &loaded, &err);
        qn_mem_fail_after(-1);
        qn_pipeline_spec_free(&spec);
        qn_pipeline_free(&pipeline);
        qn_pipeline_free(&loaded);
        qn_matrix_free(&train);
        qn_matrix_free(&m);
        qn_buf_done(&bytes);
        if (status == QN_OK)
            break;
        if (status != QN_ERR_MEMORY)
            fail_msg("allocation %lld: %s", (long long)i, err.message);
        step = i < 300 ? 1 : 7;
    }
}

static void inputs_are_described(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = make_frame(100, 0);
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = parse("\"auto\"", frame, TREES);
    qn_cleanup(qn_pipeline_free)
        qn_pipeline *pipeline = fit(spec, frame, NULL, 0, &binary, 1, NULL);
    const qn_schema *inputs = qn_pipeline_inputs(pipeline);
    assert_int_equal(inputs->n_columns, N_INPUTS);
    for (int32_t i = 0; i < N_INPUTS; i++) {
        qn_cleanup(qn_json_free) json_t *json = qn_pipeline_describe_input(pipeline, i);
        assert_string_equal(json_string_value(json_object_get(json, "name")), all_inputs[i]);
        assert_true(json_is_number(json_object_get(json, "missing_share")));
        assert_int_equal(json_is_array(json_object_get(json, "categories")), i == 3 || i == 4);
        assert_int_equal(json_is_number(json_object_get(json, "low")), i < 3 || i == 6);
    }
}

static void help_lists_all(void **state) {
    qn_cleanup(qn_buf_done) qn_buf help = {0};
    qn_transforms_help(&help);
    for (size_t i = 0; i < qn_transforms_count(); i++) {
        qn_transform_info info = qn_transforms_info(i);
        assert_non_null(strstr(qn_buf_text(&help), info.name));
        assert_true(strlen(info.help) > 5);
        assert_true(info.takes_number || info.takes_category || info.takes_text || info.takes_time);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_transform_keeps_the_promises),
        cmocka_unit_test(automatic_choice_keeps_the_promises),
        cmocka_unit_test(only_the_given_rows_count),
        cmocka_unit_test(bad_specs_are_explained),
        cmocka_unit_test(apply_asks_for_its_columns),
        cmocka_unit_test(constants_are_left_out),
        cmocka_unit_test(damaged_bytes_are_refused),
        cmocka_unit_test(memory_may_run_out_anywhere),
        cmocka_unit_test(inputs_are_described),
        cmocka_unit_test(help_lists_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
