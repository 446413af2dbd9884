/* Rows without a frame: the bits of qn_model_predict and qn_model_explain for every type, transform
 * and family; texts mean what they mean in a CSV file. */
#include "models.h"

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/text.h"
#include "data/source.h"
#include "model/rows_json.h"

static const char *const families[] = {"gbdt", "linear", "stump", "prior"};
static const qn_task tasks[] = {QN_TASK_BINARY, QN_TASK_MULTICLASS, QN_TASK_REGRESSION};

static qn_model *trained(const qn_frame *frame, size_t n_inputs, const char *steps,
                         const char *family, qn_task task) {
    qn_error err = {0};
    qn_model *model = NULL;
    qn_cleanup(qn_json_free) json_t *json = NULL;
    if (steps)
        must(qn_json_parse(steps, strlen(steps), NULL, &json, &err), &err);
    must(model_train_on(frame, model_inputs, n_inputs, json, family, task, NULL, &model, &err),
         &err);
    return model;
}

static qn_rows *new_rows(const qn_model *model, int64_t n) {
    qn_error err = {0};
    qn_rows *rows = NULL;
    must(qn_rows_new(model, &rows, &err), &err);
    must(qn_rows_add(rows, n, &err), &err);
    assert_int_equal(qn_rows_count(rows), n);
    return rows;
}

/* Row i of a frame by the setter that fits each column's type. */
static void copy_row(const qn_frame *frame, int64_t i, qn_rows *rows, int64_t to,
                     const qn_schema *inputs) {
    qn_error err = {0};
    for (int32_t k = 0; k < inputs->n_columns; k++) {
        const qn_column *column = &frame->columns[qn_frame_find(frame, inputs->columns[k].name)];
        size_t n = 0;
        const char *text;
        if (!qn_column_is_valid(column, i))
            qn_rows_set_missing(rows, to, k);
        else if (column->type == QN_TYPE_F64)
            must(qn_rows_set_number(rows, to, k, column->f64[i], &err), &err);
        else if (column->type == QN_TYPE_BOOL)
            must(qn_rows_set_bool(rows, to, k, column->b[i], &err), &err);
        else if (column->type == QN_TYPE_I64 || column->type == QN_TYPE_TIME)
            must(qn_rows_set_i64(rows, to, k, column->i64[i], &err), &err);
        else if ((text = qn_column_text(column, i, &n)))
            must(qn_rows_set_text(rows, to, k, text, n, &err), &err);
    }
}

static double *filled(size_t n) {
    double *x = qn_new_array(double, n);
    assert_non_null(x);
    return x;
}

/* All rows together, cells in the wrong order and set twice; then some alone. */
static void check_equal(const qn_model *model, const qn_frame *frame) {
    qn_error err = {0};
    const qn_schema *inputs = qn_model_inputs(model);
    size_t n_outputs = (size_t)qn_model_n_outputs(model), n = (size_t)frame->n_rows;
    size_t width = n_outputs * ((size_t)inputs->n_columns + 1);
    qn_cleanup(qn_freep) double *want = filled(n * n_outputs), *got = filled(n * n_outputs);
    qn_cleanup(qn_freep) double *why = filled(n * width), *why_got = filled(n * width);
    must(qn_model_predict(model, frame, NULL, want, &err), &err);
    must(qn_model_explain(model, frame, NULL, why, &err), &err);
    qn_cleanup(qn_rows_free) qn_rows *rows = new_rows(model, frame->n_rows);
    for (int64_t i = frame->n_rows - 1; i >= 0; i--) {
        copy_row(frame, (i + 1) % frame->n_rows, rows, i, inputs);
        copy_row(frame, i, rows, i, inputs);
    }
    must(qn_rows_predict(rows, got, &err), &err);
    assert_memory_equal(got, want, n * n_outputs * sizeof *got);
    must(qn_rows_explain(rows, why_got, &err), &err);
    assert_memory_equal(why_got, why, n * width * sizeof *why);
    for (int64_t i = 0; i < frame->n_rows; i += 13) {
        qn_rows_clear(rows);
        must(qn_rows_add(rows, 1, &err), &err);
        copy_row(frame, i, rows, 0, inputs);
        must(qn_rows_predict(rows, got, &err), &err);
        assert_memory_equal(got, want + (size_t)i * n_outputs, n_outputs * sizeof *got);
        must(qn_rows_explain(rows, why_got, &err), &err);
        assert_memory_equal(why_got, why + (size_t)i * width, width * sizeof *why);
    }
}

/* The first four inputs go into trees as they are; the fifth, a time, does not. */
static void every_family_and_task(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    for (size_t f = 0; f < 4; f++)
        for (size_t t = 0; t < 3; t++)
            for (size_t n_inputs = 1; n_inputs <= 5; n_inputs++) {
                qn_cleanup(qn_model_free)
                    qn_model *model = trained(frame, n_inputs, NULL, families[f], tasks[t]);
                check_equal(model, frame);
            }
}

static bool is_direct(const qn_model *model) {
    int32_t n_features;
    (void)qn_pipeline_features(qn_model_pipeline(model), &n_features);
    qn_cleanup(qn_freep) qn_direct *direct = qn_new_array(qn_direct, n_features);
    assert_non_null(direct);
    return qn_pipeline_direct(qn_model_pipeline(model), direct);
}

static void every_transform(void **state) {
    static const struct {
        const char *steps;
        bool direct;
    } cases[] = {
        {"[]", true},
        {"[{\"columns\": [\"number\"], \"transforms\": [\"number\"]}]", true},
        {"[{\"columns\": [\"number\"], \"transforms\": [\"number\", \"number\"]}, {\"columns\":"
         " [\"number\"], \"transforms\": [{\"category\": {\"max_categories\": 90}}]}]",
         true},
        {"[{\"columns\": [\"count\"], \"transforms\": [{\"category\": {\"min_count\": 60}}]},"
         " {\"columns\": [\"flag\"], \"transforms\": [\"category\"]}]",
         true},
        {"[{\"columns\": [\"city\"], \"transforms\": [{\"category\": {\"max_categories\": 2}}]},"
         " {\"columns\": [\"city\"], \"transforms\": [\"category\"]}]",
         true},
        {"[{\"columns\": [\"number\"], \"transforms\": [\"standard\"]}]", false},
        {"[{\"columns\": [\"city\"], \"transforms\": [\"one_hot\"]}]", false},
        {"[{\"columns\": [\"city\"], \"transforms\": [\"category\"]},"
         " {\"columns\": [\"city\"], \"transforms\": [\"target\"]}]",
         false},
        {"[{\"columns\": [\"city\", \"flag\"], \"transforms\": [\"cross\"]}]", false},
        {"[{\"columns\": [\"count\"], \"transforms\": [\"ordinal\"]}]", false},
        {"[{\"columns\": [\"city\"], \"transforms\": [\"hash\"]},"
         " {\"columns\": [\"number\"], \"transforms\": [\"drop\"]}]",
         false},
    };
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_cleanup(qn_model_free)
            qn_model *model = trained(frame, 4, cases[i].steps, "gbdt", QN_TASK_BINARY);
        assert_int_equal(is_direct(model), cases[i].direct);
        check_equal(model, frame);
    }
}

/* --- texts ------------------------------------------------------------------------------------ */

static const char *const cells[] = {
    /* missing, or nearly */
    "", "?", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", " ? ", "none", "na", "NAN", "-nan",
    "-999", " unknown ", "Unknown",
    /* numbers, or nearly */
    "1", " 2 ", "+3", "-4", "5.0", "5.5", "1e2", "1e400", "-1e400", "inf", "-inf", "Infinity",
    "007", "0x10", "1,5", ".5", "5.", "-", "- 1", "1e-3", "1.7976931348623157e308", "4.9e-324",
    "1_000", "9007199254740993", "9223372036854775807", "9223372036854775808",
    /* truth values and words, or nearly */
    "true", "TRUE", "False", "yes", "no", "t", "f", "0", "abc", "Roma", "  Roma ", "roma",
    "K\xc3\xb6ln", "Oslo, \"north\"", "a\tb", "\xff",
    /* times, or nearly */
    "2024-02-29", "2023-02-29", "2024-02-29T12:30:00.5Z", "2024-02-29 12:30+02:00", "12:30"};
enum { N_CELLS = sizeof cells / sizeof cells[0] };

/* One data row: the cell in column k, the others as in a row that is fine. */
static void write_csv(const char *path, const qn_schema *inputs, int32_t k, const char *cell) {
    static const char *const fine[] = {"0.5", "3", "true", "Paris", "2024-01-01"};
    qn_error err = {0};
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    for (int32_t i = 0; i < inputs->n_columns; i++)
        qn_buf_printf(&text, "%s%s", i ? "," : "", inputs->columns[i].name);
    qn_buf_put_text(&text, "\n");
    for (int32_t i = 0; i < inputs->n_columns; i++) {
        qn_buf_put_text(&text, i ? ",\"" : "\"");
        for (const char *at = i == k ? cell : fine[i]; *at; at++) {
            if (*at == '"')
                qn_buf_put_char(&text, '"');
            qn_buf_put_char(&text, *at);
        }
        qn_buf_put_char(&text, '"');
    }
    qn_buf_put_text(&text, "\n");
    must(qn_file_write(path, text.data, text.len, &err), &err);
}

static qn_status predict_csv(const qn_model *model, const char *path, double *scores) {
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    qn_source_options options = {.path = path, .delimiter = ",", .quote = "\"", .header = 1};
    options.missing = qn_model_missing(model, &options.n_missing);
    QN_TRY(qn_source_open_as(&options, qn_model_inputs(model), NULL, &source, NULL));
    QN_TRY(qn_source_next(source, 10, NULL, &frame, NULL));
    assert_int_equal(frame->n_rows, 1);
    return qn_model_predict(model, frame, NULL, scores, NULL);
}

static qn_status predict_texts(const qn_model *model, int32_t k, const char *cell, double *scores) {
    static const char *const fine[] = {"0.5", "3", "true", "Paris", "2024-01-01"};
    qn_cleanup(qn_rows_free) qn_rows *rows = new_rows(model, 1);
    for (int32_t i = 0; i < qn_model_inputs(model)->n_columns; i++) {
        const char *text = i == k ? cell : fine[i];
        QN_TRY(qn_rows_set_text(rows, 0, i, text, strlen(text), NULL));
    }
    return qn_rows_predict(rows, scores, NULL);
}

static void texts_mean_what_they_mean_in_a_csv(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    char folder[] = "/tmp/quern-rows-XXXXXX";
    assert_non_null(mkdtemp(folder));
    qn_cleanup(qn_freep) char *path = qn_path_join(folder, "one.csv");
    for (int i = 0; i < 4; i++) { /* direct or not, with words of its own or not */
        static const char *const words[] = {"-999", "unknown"};
        model_missing = words;
        model_n_missing = i % 2 ? 2 : 0;
        qn_cleanup(qn_model_free)
            qn_model *model = trained(frame, i < 2 ? 4 : 5, NULL, "gbdt", QN_TASK_REGRESSION);
        model_n_missing = 0;
        const qn_schema *inputs = qn_model_inputs(model);
        for (int32_t k = 0; k < inputs->n_columns; k++)
            for (int c = 0; c < N_CELLS; c++) {
                double want = 0, got = 0;
                write_csv(path, inputs, k, cells[c]);
                qn_status wanted = predict_csv(model, path, &want);
                qn_status status = predict_texts(model, k, cells[c], &got);
                if (status != wanted || memcmp(&want, &got, sizeof want) != 0)
                    fail_msg("column %s, cell '%s': %s %a, but in a CSV file %s %a",
                             inputs->columns[k].name, cells[c], qn_status_name(status), got,
                             qn_status_name(wanted), want);
            }
    }
    unlink(path);
    rmdir(folder);
}

/* --- values ----------------------------------------------------------------------------------- */

static double predict_number(const qn_model *model, int32_t k, double value) {
    qn_error err = {0};
    double score;
    qn_cleanup(qn_rows_free) qn_rows *rows = new_rows(model, 1);
    must(qn_rows_set_number(rows, 0, k, value, &err), &err);
    must(qn_rows_predict(rows, &score, &err), &err);
    return score;
}

/* Infinite is as large as the largest seen; the frame says the same. */
static void infinite_numbers(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_frame_free) qn_frame *copy = model_table();
    copy->columns[0].f64[0] = INFINITY;
    copy->columns[0].f64[1] = -INFINITY;
    copy->columns[0].f64[2] = -0.0;
    for (size_t f = 0; f < 2; f++) {
        qn_cleanup(qn_model_free)
            qn_model *model = trained(frame, 1, NULL, families[f], QN_TASK_REGRESSION);
        check_equal(model, copy);
        double low = INFINITY, high = -INFINITY;
        for (int64_t i = 0; i < frame->n_rows; i++) {
            double x = qn_column_number(&frame->columns[0], i);
            low = fmin(low, x);
            high = fmax(high, x);
        }
        assert_true(predict_number(model, 0, INFINITY) == predict_number(model, 0, high));
        assert_true(predict_number(model, 0, -INFINITY) == predict_number(model, 0, low));
        double numbers = INFINITY, score;
        qn_cleanup(qn_rows_free) qn_rows *rows = new_rows(model, 1);
        assert_int_equal(qn_rows_set_numbers(rows, 0, &numbers, NULL), QN_OK);
        assert_int_equal(qn_rows_predict(rows, &score, NULL), QN_OK);
        assert_true(score == predict_number(model, 0, high));
    }
}

/* A number is the category of its text, and a truth value too. */
static void numbers_as_categories(void **state) {
    static const char *const inputs[] = {"size"};
    static const char *const sizes[] = {"42", "1.5", "true", "XL", "-9007199254740993"};
    qn_error err = {0};
    qn_cleanup(qn_frame_builder_free) qn_frame_builder *b = NULL;
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    must(qn_frame_builder_new(&b, &err), &err);
    must(qn_frame_builder_add_column(b, "size", QN_TYPE_CATEGORY, &err), &err);
    must(qn_frame_builder_add_column(b, "price", QN_TYPE_F64, &err), &err);
    for (int i = 0; i < 500; i++) {
        must(qn_frame_builder_text(b, 0, sizes[i % 5], strlen(sizes[i % 5]), &err), &err);
        must(qn_frame_builder_number(b, 1, i % 5, &err), &err);
    }
    must(qn_frame_builder_finish(b, &frame, &err), &err);
    must(model_train_on(frame, inputs, 1, NULL, "gbdt", QN_TASK_REGRESSION, NULL, &model, &err),
         &err);
    double want[5], got[5];
    qn_cleanup(qn_rows_free) qn_rows *rows = new_rows(model, 5);
    for (int i = 0; i < 5; i++)
        must(qn_rows_set_text(rows, i, 0, sizes[i], strlen(sizes[i]), &err), &err);
    must(qn_rows_predict(rows, want, &err), &err);
    must(qn_rows_set_number(rows, 0, 0, 42, &err), &err);
    must(qn_rows_set_number(rows, 1, 0, 1.5, &err), &err);
    must(qn_rows_set_bool(rows, 2, 0, true, &err), &err);
    must(qn_rows_set_i64(rows, 4, 0, -9007199254740993, &err), &err);
    must(qn_rows_predict(rows, got, &err), &err);
    assert_memory_equal(got, want, sizeof got);
    for (int i = 1; i < 5; i++)
        assert_true(want[i] != want[i - 1]);
}

/* Free text, the same words set short after long and back. */
static void free_text(void **state) {
    static const char *const inputs[] = {"message"};
    static const char *const words[] = {"win money now", "see you", "money money", "lunch at noon",
                                        "free", "nothing to win here today"};
    qn_error err = {0};
    qn_cleanup(qn_frame_builder_free) qn_frame_builder *b = NULL;
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    must(qn_frame_builder_new(&b, &err), &err);
    must(qn_frame_builder_add_column(b, "message", QN_TYPE_TEXT, &err), &err);
    must(qn_frame_builder_add_column(b, "price", QN_TYPE_F64, &err), &err);
    for (int i = 0; i < 300; i++) {
        const char *text = words[i * 7 % 6];
        must(i % 17 ? qn_frame_builder_text(b, 0, text, strlen(text), &err)
                    : qn_frame_builder_null(b, 0, &err),
             &err);
        must(qn_frame_builder_number(b, 1, i * 7 % 6 + (i % 3), &err), &err);
    }
    must(qn_frame_builder_finish(b, &frame, &err), &err);
    for (size_t f = 0; f < 2; f++) {
        qn_cleanup(qn_model_free) qn_model *model = NULL;
        must(model_train_on(frame, inputs, 1, NULL, families[f], QN_TASK_REGRESSION, NULL, &model,
                            &err),
             &err);
        check_equal(model, frame);
    }
    qn_cleanup(qn_json_free) json_t *steps = NULL;
    qn_cleanup(qn_model_free) qn_model *codes = NULL;
    const char *text = "[{\"columns\": [\"message\"], \"transforms\": [\"category\"]}]";
    must(qn_json_parse(text, strlen(text), NULL, &steps, &err), &err);
    must(model_train_on(frame, inputs, 1, steps, "gbdt", QN_TASK_REGRESSION, NULL, &codes, &err),
         &err);
    assert_true(is_direct(codes));
    check_equal(codes, frame);
}

/* More strange words than the rows keep: they are forgotten, the answers stay. */
static void many_strange_words(void **state) {
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, 5, NULL, "gbdt", QN_TASK_REGRESSION);
    qn_cleanup(qn_rows_free) qn_rows *rows = new_rows(model, 1);
    double unseen, got;
    must(qn_rows_set_text(rows, 0, 3, "Atlantis", 8, &err), &err);
    must(qn_rows_predict(rows, &unseen, &err), &err);
    for (int i = 0; i < 60000; i++) {
        char word[32];
        int n = snprintf(word, sizeof word, "strange %d", i);
        qn_rows_clear(rows);
        must(qn_rows_add(rows, 1, &err), &err);
        must(qn_rows_set_text(rows, 0, 3, word, (size_t)n, &err), &err);
        if (i % 5000 == 0) {
            must(qn_rows_predict(rows, &got, &err), &err);
            assert_true(got == unseen);
        }
    }
}

/* --- errors ----------------------------------------------------------------------------------- */

static void refuses(void **state) {
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    for (size_t n_inputs = 4; n_inputs <= 5; n_inputs++) {
        qn_cleanup(qn_model_free)
            qn_model *model = trained(frame, n_inputs, NULL, "gbdt", QN_TASK_BINARY);
        qn_cleanup(qn_rows_free) qn_rows *rows = new_rows(model, 3);
        assert_int_equal(qn_rows_set_text(rows, 1, 0, "abc", 3, &err), QN_ERR_DATA);
        assert_string_equal(err.message, "row 2, column number: 'abc' is not a number");
        assert_int_equal(err.row, 2);
        assert_string_equal(err.column, "number");
        assert_int_equal(qn_rows_set_number(rows, 2, 1, 1.5, &err), QN_ERR_DATA);
        assert_string_equal(err.message, "row 3, column count: '1.5' is not a whole number");
        assert_int_equal(qn_rows_set_number(rows, 2, 1, INFINITY, &err), QN_ERR_DATA);
        assert_int_equal(qn_rows_set_i64(rows, 0, 2, 2, &err), QN_ERR_DATA);
        assert_string_equal(err.message,
                            "row 1, column flag: '2' is not a truth value (true or false)");
        assert_int_equal(qn_rows_set_number(rows, 0, 2, -1, &err), QN_ERR_DATA);
        assert_int_equal(qn_rows_set_text(rows, 0, 3, "\xff", 1, &err), QN_ERR_DATA);
        assert_string_equal(err.message, "row 1, column city: the text is not UTF-8");
        assert_int_equal(qn_rows_set_text(rows, 0, 1, "\xff", 1, &err), QN_ERR_DATA);
        assert_string_equal(err.message, "row 1, column count: the text is not UTF-8");
        char longer[300];
        memset(longer, 'x', sizeof longer);
        memcpy(longer + 99, "\xc3\xa4", 2);
        assert_int_equal(qn_rows_set_text(rows, 0, 0, longer, sizeof longer, &err), QN_ERR_DATA);
        assert_true(qn_text_is_utf8(err.message, strlen(err.message)));
        assert_non_null(strstr(err.message, "x...' is not a number"));
        if (n_inputs == 5) {
            assert_int_equal(qn_rows_set_bool(rows, 0, 4, true, &err), QN_ERR_DATA);
            assert_int_equal(qn_rows_set_text(rows, 0, 4, "noon", 4, &err), QN_ERR_DATA);
        }
        assert_int_equal(qn_rows_set_number(rows, 3, 0, 1, &err), QN_ERR_USAGE);
        assert_int_equal(qn_rows_set_number(rows, -1, 0, 1, &err), QN_ERR_USAGE);
        assert_int_equal(qn_rows_set_i64(rows, 0, (int32_t)n_inputs, 1, &err), QN_ERR_USAGE);
        assert_int_equal(qn_rows_set_bool(rows, 0, -1, true, &err), QN_ERR_USAGE);
        assert_int_equal(qn_rows_set_text(rows, 9, 0, "1", 1, &err), QN_ERR_USAGE);
        assert_int_equal(qn_rows_add(rows, -1, &err), QN_ERR_USAGE);
        assert_int_equal(qn_rows_add(rows, QN_LIMIT_REQUEST_ROWS, &err), QN_ERR_LIMIT);
        assert_non_null(strstr(err.message, "1048576"));
        assert_int_equal(qn_rows_add(rows, INT64_MAX, &err), QN_ERR_LIMIT);
        qn_rows_set_missing(rows, 3, 0);
        qn_rows_clear(rows);
        assert_int_equal(qn_rows_count(rows), 0);
        assert_int_equal(qn_rows_predict(rows, NULL, &err), QN_OK);
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

static qn_status one_request(const qn_model *model, const qn_frame *frame, qn_rows *rows,
                             double *scores) {
    qn_rows_clear(rows);
    QN_TRY(qn_rows_add(rows, 20, NULL));
    for (int64_t i = 0; i < 20; i++) {
        QN_TRY(qn_rows_set_number(rows, i, 0, (double)i / 20, NULL));
        QN_TRY(qn_rows_set_i64(rows, i, 1, i, NULL));
        QN_TRY(qn_rows_set_text(rows, i, 2, "yes", 3, NULL));
        QN_TRY(qn_rows_set_text(rows, i, 3, i % 2 ? "Paris" : "Atlantis", i % 2 ? 5 : 8, NULL));
    }
    return qn_rows_predict(rows, scores, NULL);
}

static void allocates_nothing_when_warm(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    for (size_t f = 0; f < 4; f++)
        for (size_t t = 0; t < 3; t++) {
            double cold[60], warm[60];
            qn_cleanup(qn_model_free)
                qn_model *model = trained(frame, 4, "[]", families[f], tasks[t]);
            if (!qn_model_learner(model)->family->predict_rows || !is_direct(model))
                continue;
            qn_cleanup(qn_rows_free) qn_rows *rows = new_rows(model, 0);
            assert_int_equal(one_request(model, frame, rows, cold), QN_OK);
            qn_mem_fail_after(0);
            qn_status status = one_request(model, frame, rows, warm);
            qn_mem_fail_after(-1);
            assert_int_equal(status, QN_OK);
            assert_memory_equal(warm, cold, 20 * sizeof(double));
        }
}

static qn_status from_nothing(const qn_model *model, const qn_frame *frame, double *scores) {
    qn_cleanup(qn_rows_free) qn_rows *rows = NULL;
    QN_TRY(qn_rows_new(model, &rows, NULL));
    QN_TRY(one_request(model, frame, rows, scores));
    double contrib[20 * 6];
    return qn_rows_explain(rows, contrib, NULL);
}

static void failing_allocations(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    for (size_t n_inputs = 4; n_inputs <= 5; n_inputs++) {
        double want[20], got[20];
        qn_cleanup(qn_model_free)
            qn_model *model = trained(frame, n_inputs, NULL, "gbdt", QN_TASK_REGRESSION);
        assert_int_equal(from_nothing(model, frame, want), QN_OK);
        qn_status status = QN_ERR_MEMORY;
        for (int n = 0; status != QN_OK && n < 1000; n++) {
            qn_mem_fail_after(n);
            status = from_nothing(model, frame, got);
            qn_mem_fail_after(-1);
            assert_true(status == QN_OK || status == QN_ERR_MEMORY);
        }
        assert_int_equal(status, QN_OK);
        assert_memory_equal(got, want, sizeof got);
    }
}

/* One row of JSON each: what is said of it; NULL: nothing. */
static void rows_of_json(void **state) {
    static const struct {
        const char *text, *message, *column;
    } cases[] = {
        {"{\"number\": 1.5, \"count\": 2, \"flag\": true, \"city\": \"Roma\"}", NULL, ""},
        {"[null, NaN, 0, \"never seen\"]", NULL, ""},
        {"[1, \"2\", \"true\", 3]", NULL, ""},
        {"{\"number\": 1, \"number\": 1}", "row 1, column number: it is there twice", "number"},
        {"{\"count\": 1, \"x\": [{}], \"flag\": 0}",
         "row 1: missing: number, city (send null where a value is not known)", "number"},
        {"{\"number\": tru}", "row 1, column number: not true or false, at byte 12", "number"},
        {"{\"number\" 1}", "row 1: a colon is missing, at byte 11", ""},
        {"[1, 2, true, [\"Roma\"]]",
         "row 1, column city: a list or an object where a value should be", "city"},
        {"[1, 2, true]", "row 1: it has fewer values than the 4 columns", ""},
        {"[1, 2, true, \"Roma\", 5]", "row 1: it has more values than the 4 columns", ""},
        {"[1, 2, true, \"Ro", "row 1, column city: a text does not end, at byte 17", "city"},
        {"7",
         "row 1: a single value, but the model has 4 inputs: send an object by name, or a list",
         ""},
    };
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, 4, NULL, "gbdt", QN_TASK_BINARY);
    qn_cleanup(qn_rows_free) qn_rows *rows = new_rows(model, 0);
    qn_cleanup(qn_rows_reader_free) qn_rows_reader *reader = NULL;
    must(qn_rows_reader_new(rows, qn_model_inputs(model), &reader, &err), &err);
    must(qn_rows_columns_all(reader, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qn_scan scan;
        qn_rows_clear(rows);
        qn_scan_init(&scan, cases[i].text, strlen(cases[i].text));
        qn_status status = qn_rows_read_row(reader, &scan, &err);
        qn_scan_done(&scan);
        if (!cases[i].message) {
            must(status, &err);
            assert_int_equal(qn_rows_count(rows), 1);
            continue;
        }
        assert_true(status == QN_ERR_DATA || status == QN_ERR_FORMAT);
        assert_string_equal(err.message, cases[i].message);
        assert_int_equal(err.row, 1);
        assert_string_equal(err.column, cases[i].column);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_and_task),
        cmocka_unit_test(every_transform),
        cmocka_unit_test(texts_mean_what_they_mean_in_a_csv),
        cmocka_unit_test(infinite_numbers),
        cmocka_unit_test(numbers_as_categories),
        cmocka_unit_test(free_text),
        cmocka_unit_test(many_strange_words),
        cmocka_unit_test(refuses),
        cmocka_unit_test(rows_of_json),
        cmocka_unit_test(allocates_nothing_when_warm),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
