/* The public interface: every way in gives the bits that qn_model_predict gives for the same rows. */
#include "../model/models.h"
#include "arrow_table.h"

#include <pthread.h>
#include <unistd.h>

#include "base/file.h"
#include "data/frame_arrow.h"
#include "base/json.h"
#include "model/rows.h"

static const qn_task tasks[] = {QN_TASK_BINARY, QN_TASK_MULTICLASS, QN_TASK_REGRESSION};

static qn_model *trained(const qn_frame *frame, size_t n_inputs, const char *family, qn_task task) {
    qn_error err = {0};
    qn_model *model = NULL;
    must(model_train_on(frame, model_inputs, n_inputs, NULL, family, task, NULL, &model, &err),
         &err);
    return model;
}

static double *filled(size_t n) {
    double *x = qn_new_array(double, n);
    assert_non_null(x);
    return x;
}

/* --- facts ------------------------------------------------------------------------------------ */

static void version_is_the_projects(void **state) {
    assert_string_equal(qn_version(), QN_VERSION);
}

static void check_inputs(const qn_signature *s) {
    static const qn_type types[] = {QN_TYPE_F64, QN_TYPE_I64, QN_TYPE_BOOL, QN_TYPE_CATEGORY,
                                    QN_TYPE_TIME};
    assert_int_equal(s->n_inputs, 5);
    for (int32_t i = 0; i < 5; i++) {
        const qn_input *input = qn_signature_input(s, i);
        assert_string_equal(input->name, model_inputs[i]);
        assert_int_equal(input->type, types[i]);
        assert_int_equal(qn_signature_find(s, input->name), i);
        assert_int_equal(isnan(input->low), input->type == QN_TYPE_CATEGORY);
        assert_true(input->type == QN_TYPE_CATEGORY || input->low < input->high);
    }
    assert_float_equal(qn_signature_input(s, 0)->missing_share, 55.0 / MODEL_ROWS, 1e-15);
    assert_float_equal(qn_signature_input(s, 4)->low, 1700000000000000, 0);
    const qn_input *city = qn_signature_input(s, 3);
    assert_int_equal(city->n_categories, 4);
    bool found = false;
    for (int32_t i = 0; i < 4; i++)
        found = found || strcmp(city->categories[i], "Oslo, \"north\"") == 0;
    assert_true(found);
    assert_null(qn_signature_input(s, 5));
    assert_null(qn_signature_input(s, -1));
    assert_int_equal(qn_signature_find(s, "nothing"), -1);
}

static void signature(void **state) {
    static const char *const targets[] = {"answer", "colour", "price"};
    static const char *const first_outputs[] = {"probability", "probability_blue", "prediction"};
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    for (size_t t = 0; t < 3; t++) {
        qn_cleanup(qn_model_free) qn_model *model = trained(frame, 5, "gbdt", tasks[t]);
        qn_cleanup(qn_signature_free) qn_signature *s = NULL;
        must(qn_signature_new(model, &s, &err), &err);
        assert_int_equal(qn_model_n_inputs(model), 5);
        qn_model_free(&model); /* the signature lives on */
        check_inputs(s);
        assert_int_equal(s->task, tasks[t]);
        assert_string_equal(s->target, targets[t]);
        assert_string_equal(s->family, "gbdt");
        assert_int_equal(s->n_classes, t == 0 ? 2 : t == 1 ? 3 : 0);
        assert_int_equal(s->n_outputs, t == 1 ? 3 : 1);
        assert_string_equal(s->outputs[0], first_outputs[t]);
        if (t == 0) {
            assert_string_equal(s->classes[0], "no");
            assert_string_equal(s->classes[1], "yes");
            assert_float_equal(s->threshold, 0.21, 0);
        }
    }
}

/* --- numbers ---------------------------------------------------------------------------------- */

/* number, count and flag of the table, repeated until there are n rows. */
static double *table_numbers(const qn_frame *frame, int64_t n) {
    double *values = filled((size_t)n * 3);
    for (int64_t r = 0; r < n; r++)
        for (int32_t i = 0; i < 3; i++)
            values[r * 3 + i] = qn_column_number(&frame->columns[i], r % frame->n_rows);
    return values;
}

static void numbers_in_blocks(void **state) {
    enum { N = 5000 };
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_freep) double *values = table_numbers(frame, N);
    for (size_t f = 0; f < 2; f++)
        for (size_t t = 0; t < 3; t++) {
            qn_cleanup(qn_model_free)
                qn_model *model = trained(frame, 3, f ? "linear" : "gbdt", tasks[t]);
            size_t k = (size_t)qn_model_n_outputs(model);
            qn_cleanup(qn_freep) double *want = filled(MODEL_ROWS * k), *got = filled(N * k);
            must(qn_model_predict(model, frame, NULL, want, &err), &err);
            for (int32_t n_threads = 0; n_threads <= 3; n_threads++) {
                qn_options options = QN_OPTIONS_INIT;
                options.n_threads = n_threads;
                memset(got, 0, N * k * sizeof *got);
                must(qn_predict_numbers(model, values, N, n_threads == 1 ? NULL : &options, got,
                                        &err),
                     &err);
                for (size_t r = 0; r < N; r++)
                    assert_memory_equal(got + r * k, want + r % MODEL_ROWS * k, k * sizeof *got);
            }
            qn_cleanup(qn_rows_free) qn_rows *rows = NULL;
            must(qn_rows_new(model, &rows, &err), &err);
            must(qn_rows_predict_numbers(rows, values, 700, got, &err), &err);
            assert_memory_equal(got, want, MODEL_ROWS * k * sizeof *got);
            must(qn_rows_predict_numbers(rows, values + 3, 1, got, &err), &err);
            assert_memory_equal(got, want + k, k * sizeof *got);
        }
}

/* The first wrong row is told with its number among all, whichever thread came to it. */
static void numbers_that_do_not_fit(void **state) {
    enum { N = 5000 };
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_freep) double *values = table_numbers(frame, N), *scores = filled(N);
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, 3, "gbdt", QN_TASK_BINARY);
    qn_options options = QN_OPTIONS_INIT;
    options.n_threads = 2;
    for (int64_t r = N - 1; r >= 2500; r -= 100)
        values[r * 3 + 1] = 0.5;
    assert_int_equal(qn_predict_numbers(model, values, N, &options, scores, &err), QN_ERR_DATA);
    assert_string_equal(err.message, "row 2600, column count: '0.5' is not a whole number");
    assert_int_equal(err.row, 2600);
    assert_int_equal(qn_predict_numbers(model, values, -1, &options, scores, &err), QN_ERR_USAGE);
    assert_int_equal(qn_predict_numbers(model, values, 0, &options, scores, &err), QN_OK);
    options.n_threads = 5000;
    assert_int_equal(qn_predict_numbers(model, values, 1, &options, scores, &err), QN_ERR_USAGE);
    options = (qn_options){0};
    assert_int_equal(qn_predict_numbers(model, values, 1, &options, scores, &err), QN_ERR_USAGE);
    assert_non_null(strstr(err.message, "QN_OPTIONS_INIT"));
}

typedef struct thread_work {
    const qn_model *model;
    const double *values, *want;
    int n_wrong;
} thread_work;

static void *work_alone(void *argument) {
    thread_work *work = argument;
    qn_rows *rows = NULL;
    int64_t k = qn_model_n_outputs(work->model);
    double score[8];
    work->n_wrong += qn_rows_new(work->model, &rows, NULL) != QN_OK;
    for (int64_t r = 0; rows && r < MODEL_ROWS; r++) {
        qn_status status = qn_rows_predict_numbers(rows, work->values + r * 3, 1, score, NULL);
        work->n_wrong += status != QN_OK ||
                         memcmp(score, work->want + r * k, (size_t)k * sizeof *score) != 0;
    }
    qn_rows_free(&rows);
    return NULL;
}

static void threads_share_a_model(void **state) {
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_freep) double *values = table_numbers(frame, MODEL_ROWS);
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, 3, "gbdt", QN_TASK_MULTICLASS);
    qn_cleanup(qn_freep) double *want = filled(MODEL_ROWS * 3);
    must(qn_model_predict(model, frame, NULL, want, &err), &err);
    thread_work works[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        works[i] = (thread_work){model, values, want, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, work_alone, &works[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(works[i].n_wrong, 0);
    }
}

/* --- JSON ------------------------------------------------------------------------------------- */

/* Row i of the table as JSON, with jansson: an object, or a list. */
static json_t *row_to_json(const qn_frame *frame, int64_t i, bool as_list) {
    json_t *row = as_list ? json_array() : json_object();
    for (int32_t c = 0; c < 5; c++) {
        const qn_column *column = &frame->columns[c];
        size_t n = 0;
        json_t *value = json_null();
        if (qn_column_is_valid(column, i))
            value = column->type == QN_TYPE_BOOL   ? json_boolean(column->b[i])
                    : column->type == QN_TYPE_F64  ? json_real(column->f64[i])
                    : column->type == QN_TYPE_CATEGORY
                        ? json_string(qn_column_text(column, i, &n))
                        : json_integer(column->i64[i]);
        if (as_list)
            json_array_append_new(row, value);
        else
            json_object_set_new(row, column->name, value);
    }
    return row;
}

static json_t *answered(const qn_model *model, const json_t *question, const qn_options *options) {
    qn_error err = {0};
    qn_cleanup(qn_freep) char *text = qn_json_text(question, QN_JSON_COMPACT);
    qn_cleanup(qn_text_free) char *answer = NULL;
    json_t *json = NULL;
    must(qn_predict_json(model, text, strlen(text), options, &answer, &err), &err);
    must(qn_json_parse(answer, strlen(answer), NULL, &json, &err), &err);
    return json;
}

static void check_answer(const qn_model *model, const json_t *answer, const double *scores) {
    const qn_target_info *target = qn_model_target(model);
    const json_t *prediction = json_object_get(answer, "prediction");
    if (target->task == QN_TASK_REGRESSION) {
        assert_true(json_number_value(prediction) == scores[0]);
        return;
    }
    assert_string_equal(json_string_value(prediction),
                        target->classes[qn_model_decide(model, scores)]);
    for (int32_t k = 0; k < qn_model_n_outputs(model); k++) {
        char name[64];
        snprintf(name, sizeof name, "probability%s%s", target->n_classes > 2 ? "_" : "",
                 target->n_classes > 2 ? target->classes[k] : "");
        assert_true(json_number_value(json_object_get(answer, name)) == scores[k]);
    }
}

static void check_explanation(const json_t *explanation, const double *contrib) {
    assert_true(json_number_value(json_object_get(explanation, "base")) == contrib[5]);
    const json_t *inputs = json_object_get(explanation, "inputs");
    assert_int_equal(json_object_size(inputs), 5);
    for (int i = 0; i < 5; i++)
        assert_true(json_number_value(json_object_get(inputs, model_inputs[i])) == contrib[i]);
}

static void json_in_and_out(void **state) {
    enum { N = 40 };
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_options explain = QN_OPTIONS_INIT;
    explain.explain = true;
    for (size_t t = 0; t < 3; t++) {
        qn_cleanup(qn_model_free) qn_model *model = trained(frame, 5, "gbdt", tasks[t]);
        size_t k = (size_t)qn_model_n_outputs(model);
        qn_cleanup(qn_freep) double *scores = filled(MODEL_ROWS * k);
        qn_cleanup(qn_freep) double *contrib = filled(MODEL_ROWS * k * 6);
        must(qn_model_predict(model, frame, NULL, scores, &err), &err);
        must(qn_model_explain(model, frame, NULL, contrib, &err), &err);
        for (int as_list = 0; as_list < 2; as_list++) {
            qn_cleanup(qn_json_free) json_t *rows = json_array();
            for (int64_t i = 0; i < N; i++)
                json_array_append_new(rows, row_to_json(frame, i, as_list));
            qn_cleanup(qn_json_free) json_t *answers = answered(model, rows, &explain);
            assert_int_equal(json_array_size(answers), N);
            for (size_t i = 0; i < N; i++) {
                const json_t *answer = json_array_get(answers, i);
                const json_t *why = json_object_get(answer, "explanation");
                check_answer(model, answer, scores + i * k);
                for (size_t o = 0; o < k; o++)
                    check_explanation(k > 1 ? json_array_get(why, o) : why,
                                      contrib + (i * k + o) * 6);
            }
        }
        qn_cleanup(qn_json_free) json_t *row = row_to_json(frame, 7, false);
        qn_cleanup(qn_json_free) json_t *answer = answered(model, row, NULL);
        check_answer(model, answer, scores + 7 * k);
        assert_null(json_object_get(answer, "explanation"));
    }
}

static void json_that_does_not_fit(void **state) {
    static const struct {
        const char *text;
        qn_status status;
        const char *message;
    } cases[] = {
        {"", QN_ERR_FORMAT, "not an object"},
        {"[", QN_ERR_FORMAT, "the end, where a value should be"},
        {"{\"number\": 1} x", QN_ERR_DATA, "missing: count, flag, city, when"},
        {"42", QN_ERR_FORMAT, "not an object"},
        {"[42]", QN_ERR_DATA, "a single value, but the model has 5 inputs"},
        {"[[1, 2, true, \"Roma\"]]", QN_ERR_DATA, "fewer values"},
        {"{\"number\": [1], \"count\": 1, \"flag\": 1, \"city\": \"\", \"when\": 0}", QN_ERR_DATA,
         "row 1, column number: a list"},
        {"[{\"number\": 1, \"count\": 1, \"flag\": 1, \"city\": \"\", \"when\": 0},"
         " {\"number\": 1, \"count\": 1.5, \"flag\": 1, \"city\": \"\", \"when\": 0}]",
         QN_ERR_DATA, "row 2, column count: '1.5' is not a whole number"},
        {"{\"number\": \"\xff\"}", QN_ERR_FORMAT, "UTF-8"},
    };
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, 5, "gbdt", QN_TASK_BINARY);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_error err = {0};
        char *answer = NULL;
        qn_status status =
            qn_predict_json(model, cases[i].text, strlen(cases[i].text), NULL, &answer, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].message))
            fail_msg("%s: %s %s", cases[i].text, qn_status_name(status), err.message);
        assert_null(answer);
    }
    qn_error err = {0};
    qn_cleanup(qn_text_free) char *answer = NULL;
    qn_options options = QN_OPTIONS_INIT;
    options.absent_is_missing = true;
    const char *few = "{\"number\": 0.5, \"id\": 7}";
    must(qn_predict_json(model, few, strlen(few), &options, &answer, &err), &err);
    options.refuse_extra = true;
    char *other = NULL;
    assert_int_equal(qn_predict_json(model, few, strlen(few), &options, &other, &err), QN_ERR_DATA);
    assert_non_null(strstr(err.message, "column id"));
}

static void one_call(void **state) {
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, 1, "gbdt", QN_TASK_BINARY);
    char folder[] = "/tmp/quern-api-XXXXXX";
    assert_non_null(mkdtemp(folder));
    qn_cleanup(qn_freep) char *path = qn_path_join(folder, "m.qn");
    must(qn_model_save(model, path, &err), &err);
    qn_cleanup(qn_text_free) char *answer = NULL, *same = NULL;
    must(qn_predict_once(path, "{\"number\": 0.9}", &answer, &err), &err);
    must(qn_predict_json(model, "{\"number\": 0.9}", 15, NULL, &same, &err), &err);
    assert_string_equal(answer, same);
    unlink(path);
    assert_int_equal(qn_predict_once(path, "{}", &answer, &err), QN_ERR_NOT_FOUND);
    rmdir(folder);
}

/* --- Arrow ------------------------------------------------------------------------------------ */

/* Rows by typed setters: what the tables below say. */
static void want_rows(const qn_model *model, double *scores) {
    static const char *const cities[] = {"Paris", NULL, "Roma", "Atlantis"};
    static const double numbers[] = {0.25, NAN, 0.75, 0.5};
    static const int64_t counts[] = {3, 0, 7, 8};
    static const bool flags[] = {true, false, false, true};
    qn_error err = {0};
    qn_cleanup(qn_rows_free) qn_rows *rows = NULL;
    must(qn_rows_new(model, &rows, &err), &err);
    must(qn_rows_add(rows, 4, &err), &err);
    for (int64_t r = 0; r < 4; r++) {
        must(qn_rows_set_number(rows, r, 0, numbers[r], &err), &err);
        must(qn_rows_set_i64(rows, r, 1, counts[r], &err), &err);
        must(qn_rows_set_bool(rows, r, 2, flags[r], &err), &err);
        if (cities[r])
            must(qn_rows_set_text(rows, r, 3, cities[r], strlen(cities[r]), &err), &err);
        must(qn_rows_set_i64(rows, r, 4, 1700000000000000 + r * 3000000, &err), &err);
    }
    must(qn_rows_predict(rows, scores, &err), &err);
}

static const uint8_t bits_1011 = 0x0d, bits_1001 = 0x09;
static const double doubles[] = {0.25, -77, 0.75, 0.5};
static const float floats[] = {0.25f, NAN, 0.75f, 0.5f};
static const int32_t city_offsets[] = {0, 5, 5, 9, 17};
static const int64_t large_offsets[] = {0, 5, 5, 9, 17};
static const char city_bytes[] = "ParisRomaAtlantis";
static const int64_t times_us[] = {1700000000000000, 1700000003000000, 1700000006000000,
                                   1700000009000000};

static void add_base(arrow_table *t, const char *format, const void *counts) {
    table_begin(t, 4);
    table_add(t, "city", "u", &bits_1011, city_offsets, city_bytes);
    table_add(t, "number", "g", &bits_1011, doubles, NULL);
    table_add(t, "extra", "n", NULL, NULL, NULL);
    table_add(t, "count", format, NULL, counts, NULL);
    table_add(t, "flag", "b", NULL, &bits_1001, NULL);
    table_add(t, "when", "tsu:Europe/Rome", NULL, times_us, NULL);
}

static void check_table(const qn_model *model, const arrow_table *t, const double *want) {
    qn_error err = {0};
    double got[4] = {0};
    must(qn_predict_arrow(model, &t->schema, &t->array, NULL, got, &err), &err);
    assert_memory_equal(got, want, sizeof got);
    assert_non_null(t->array.release); /* borrowed, not released */
    qn_cleanup(qn_rows_free) qn_rows *rows = NULL;
    must(qn_rows_new(model, &rows, &err), &err);
    must(qn_rows_add(rows, 2, &err), &err);
    must(qn_rows_add_arrow(rows, &t->schema, &t->array, NULL, &err), &err);
    double all[6];
    must(qn_rows_predict(rows, all, &err), &err);
    assert_memory_equal(all + 2, want, sizeof got);
}

static void arrow_types(void **state) {
    static const int8_t i8[] = {3, 0, 7, 8};
    static const uint8_t u8[] = {3, 0, 7, 8};
    static const int16_t i16[] = {3, 0, 7, 8};
    static const uint16_t u16[] = {3, 0, 7, 8};
    static const int32_t i32[] = {3, 0, 7, 8};
    static const uint32_t u32[] = {3, 0, 7, 8};
    static const int64_t i64[] = {3, 0, 7, 8};
    static const int64_t times_s[] = {1700000000, 1700000003, 1700000006, 1700000009};
    static const int64_t times_ms[] = {1700000000000, 1700000003000, 1700000006000,
                                       1700000009000};
    static const int64_t times_ns[] = {1700000000000000999, 1700000003000000000,
                                       1700000006000000001, 1700000009000000500};
    static const int8_t codes[] = {1, 0, 0, 2};
    static const int32_t dict_offsets[] = {0, 4, 9, 17, 17};
    const struct {
        const char *format;
        const void *values;
    } counts[] = {{"c", i8},  {"C", u8},  {"s", i16}, {"S", u16}, {"i", i32}, {"I", u32},
                  {"l", i64}, {"L", i64}, {"g", (const double[]){3, 0, 7, 8}}};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, 5, "gbdt", QN_TASK_REGRESSION);
    arrow_table t;
    double want[4];
    want_rows(model, want);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        add_base(&t, counts[i].format, counts[i].values);
        check_table(model, &t, want);
    }
    add_base(&t, "l", i64);
    t.children[1].schema.format = "f";
    t.children[1].buffers[0] = NULL;
    t.children[1].buffers[1] = floats;
    check_table(model, &t, want);
    add_base(&t, "l", i64);
    t.children[0].schema.format = "U";
    t.children[0].buffers[1] = large_offsets;
    check_table(model, &t, want);
    add_base(&t, "l", i64);
    t.children[0] = (arrow_child){0};
    t.schema.n_children--;
    t.array.n_children--;
    t.children[0] = t.children[5];
    t.children[0].array.buffers = t.children[0].buffers;
    table_dictionary(table_add(&t, "city", "c", &bits_1011, codes, NULL), "u", 4, NULL,
                     dict_offsets, "RomaParisAtlantis");
    t.schema_children[0]->name = "when";
    check_table(model, &t, want);
    const struct {
        const char *format;
        const void *values;
    } times[] = {{"tss:", times_s}, {"tsm:UTC", times_ms}, {"tsn:", times_ns}, {"tdm", times_ms},
                 {"l", times_us}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        add_base(&t, "l", i64);
        t.children[5].schema.format = times[i].format;
        t.children[5].buffers[1] = times[i].values;
        check_table(model, &t, want);
    }
}

/* Days, and nanoseconds before 1970 that are no whole microseconds. */
static void arrow_times(void **state) {
    static const int32_t days[] = {19676, -1, 0, 19675};
    static const int64_t days_us[] = {19676 * INT64_C(86400000000), -INT64_C(86400000000), 0,
                                      19675 * INT64_C(86400000000)};
    static const int64_t ns[] = {-1, -1000, -1001, 999}, ns_us[] = {-1, -1, -2, 0};
    static const int64_t i64[] = {3, 0, 7, 8};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, 5, "linear", QN_TASK_REGRESSION);
    const struct {
        const char *format;
        const void *values, *us;
    } cases[] = {{"tdD", days, days_us}, {"tsn:", ns, ns_us}};
    for (size_t i = 0; i < 2; i++) {
        qn_error err = {0};
        arrow_table t;
        double want[4];
        add_base(&t, "l", i64);
        t.children[5].buffers[1] = cases[i].us;
        must(qn_predict_arrow(model, &t.schema, &t.array, NULL, want, &err), &err);
        t.children[5].schema.format = cases[i].format;
        t.children[5].buffers[1] = cases[i].values;
        check_table(model, &t, want);
    }
}

/* A slice of a table: offsets of the whole and of its columns add up. */
static void arrow_slices(void **state) {
    enum { N = 3000 };
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, 1, "gbdt", QN_TASK_BINARY);
    qn_cleanup(qn_freep) double *values = filled(N + 50), *want = filled(N), *got = filled(N);
    uint8_t valid[(N + 57) / 8], whole[(N + 57) / 8];
    memset(valid, 0xb7, sizeof valid);
    memset(whole, 0xfd, sizeof whole);
    for (int i = 0; i < N + 50; i++)
        values[i] = (i * 37 % 1000) / 1000.0;
    for (int i = 0; i < N; i++) {
        int v = i + 11 + 20, w = i + 11;
        bool there = (valid[v / 8] >> (v % 8) & 1) && (whole[w / 8] >> (w % 8) & 1);
        double x = there ? values[v] : NAN;
        must(qn_predict_numbers(model, &x, 1, NULL, &want[i], &err), &err);
    }
    arrow_table t;
    table_begin(&t, N);
    table_add(&t, "number", "g", valid, values, NULL);
    t.array.offset = 11;
    t.array.null_count = -1;
    t.buffers[0] = whole;
    t.children[0].array.length = N + 11;
    t.children[0].array.offset = 20;
    qn_options options = QN_OPTIONS_INIT;
    for (options.n_threads = 1; options.n_threads <= 2; options.n_threads++) {
        must(qn_predict_arrow(model, &t.schema, &t.array, &options, got, &err), &err);
        assert_memory_equal(got, want, N * sizeof *got);
    }
    values[2999 + 31] = 0.5; /* misaligned buffers are read too */
    memmove((char *)values + 1, values, (N + 49) * sizeof *values);
    t.children[0].buffers[1] = (const char *)values + 1;
    must(qn_predict_arrow(model, &t.schema, &t.array, NULL, got, &err), &err);
    assert_memory_equal(got, want, (N - 1) * sizeof *got);
}

/* A frame lent as an Arrow table says what the frame says; texts included. */
static void frames_as_arrow(void **state) {
    static const char *const inputs[] = {"number", "city", "note"};
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_frame_builder_free) qn_frame_builder *b = NULL;
    qn_cleanup(qn_frame_free) qn_frame *notes = NULL;
    must(qn_frame_builder_new(&b, &err), &err);
    must(qn_frame_builder_add_column(b, "note", QN_TYPE_TEXT, &err), &err);
    for (int i = 0; i < MODEL_ROWS; i++) {
        const char *text = i % 3 ? "good and cheap" : "bad";
        must(i % 7 ? qn_frame_builder_text(b, 0, text, strlen(text), &err)
                   : qn_frame_builder_null(b, 0, &err),
             &err);
    }
    must(qn_frame_builder_finish(b, &notes, &err), &err);
    qn_column columns[9]; /* the table with a column of texts */
    memcpy(columns, frame->columns, 8 * sizeof *columns);
    columns[8] = notes->columns[0];
    qn_frame whole = {frame->n_rows, 9, columns};
    for (int i = 0; i < 2; i++) {
        qn_cleanup(qn_model_free) qn_model *model = NULL;
        must(model_train_on(&whole, i ? inputs : model_inputs, i ? 3 : 5, NULL, "gbdt",
                            QN_TASK_BINARY, NULL, &model, &err),
             &err);
        qn_cleanup(qn_arrow_view_free) qn_arrow_view *view = NULL;
        qn_cleanup(qn_freep) double *want = filled(MODEL_ROWS), *got = filled(MODEL_ROWS);
        must(qn_arrow_view_new(&whole, &view, &err), &err);
        must(qn_model_predict(model, &whole, NULL, want, &err), &err);
        must(qn_predict_arrow(model, &view->schema, &view->array, NULL, got, &err), &err);
        assert_memory_equal(got, want, MODEL_ROWS * sizeof *got);
        view->schema.release(&view->schema);
        view->array.release(&view->array);
        assert_int_equal(qn_predict_arrow(model, &view->schema, &view->array, NULL, got, &err),
                         QN_ERR_USAGE);
    }
    qn_status status = QN_ERR_MEMORY;
    for (int n = 0; status != QN_OK && n < 100; n++) {
        qn_cleanup(qn_arrow_view_free) qn_arrow_view *view = NULL;
        qn_mem_fail_after(n);
        status = qn_arrow_view_new(&whole, &view, NULL);
        qn_mem_fail_after(-1);
        assert_true(status == QN_OK || (status == QN_ERR_MEMORY && !view));
    }
    assert_int_equal(status, QN_OK);
}

typedef void (*damage)(arrow_table *t);

static void released_schema(arrow_table *t) { t->schema.release = NULL; }
static void released_array(arrow_table *t) { t->array.release = NULL; }
static void released_child(arrow_table *t) { t->children[1].array.release = NULL; }
static void released_names(arrow_table *t) { t->children[1].schema.release = NULL; }
static void no_struct(arrow_table *t) { t->schema.format = "l"; }
static void more_children(arrow_table *t) { t->schema.n_children++; }
static void negative_length(arrow_table *t) { t->array.length = -1; }
static void negative_offset(arrow_table *t) { t->children[1].array.offset = -1; }
static void vast_offset(arrow_table *t) { t->children[1].array.offset = INT64_MAX; }
static void vast_table_offset(arrow_table *t) { t->array.offset = INT64_MAX - 2; }
static void short_child(arrow_table *t) { t->children[1].array.length = 3; }
static void no_buffers(arrow_table *t) { t->children[1].array.buffers = NULL; }
static void too_few_buffers(arrow_table *t) { t->children[0].array.n_buffers = 2; }
static void no_values(arrow_table *t) { t->children[1].buffers[1] = NULL; }
static void no_whole_buffers(arrow_table *t) {
    t->array.null_count = -1;
    t->array.buffers = NULL;
}
static void no_bytes(arrow_table *t) { t->children[0].buffers[2] = NULL; }
static void half_floats(arrow_table *t) { t->children[1].schema.format = "e"; }
static void no_format(arrow_table *t) { t->children[1].schema.format = NULL; }
static void text_views(arrow_table *t) { t->children[0].schema.format = "vu"; }
static void time_of_day(arrow_table *t) { t->children[5].schema.format = "ttm"; }
static void no_unit(arrow_table *t) { t->children[5].schema.format = "ts"; }
static void no_name(arrow_table *t) { t->children[2].schema.name = NULL; }
static void number_as_time(arrow_table *t) { t->children[1].schema.format = "tsu:"; }
static void time_as_number(arrow_table *t) { t->children[5].schema.format = "g"; }
static void twice(arrow_table *t) { t->children[2].schema.name = "number"; }
static void absent(arrow_table *t) { t->children[0].schema.name = "town"; }
static void falling_offsets(arrow_table *t) {
    static const int32_t offsets[] = {0, 5, 5, 4, 17};
    t->children[0].buffers[1] = offsets;
}
static void negative_offsets(arrow_table *t) {
    static const int32_t offsets[] = {-5, 5, 5, 9, 17};
    t->children[0].buffers[1] = offsets;
}
static void far_times(arrow_table *t) {
    static const int64_t seconds[] = {INT64_MAX, 0, 0, 0};
    t->children[5].schema.format = "tss:";
    t->children[5].buffers[1] = seconds;
}
static void bad_codes(arrow_table *t) {
    static const int32_t offsets[] = {0, 4, 9}, codes[] = {0, 1, 1, 2};
    t->children[0].schema.format = "i";
    t->children[0].array.n_buffers = 2;
    t->children[0].buffers[1] = codes;
    table_dictionary(&t->children[0], "u", 2, NULL, offsets, "RomaParis");
}
static void negative_codes(arrow_table *t) {
    static const int32_t codes[] = {0, 1, -1, 1};
    bad_codes(t);
    t->children[0].buffers[1] = codes;
}
static void numbers_dictionary(arrow_table *t) {
    bad_codes(t);
    t->children[0].dict_schema.format = "l";
}
static void no_dictionary(arrow_table *t) {
    bad_codes(t);
    t->children[0].array.dictionary = NULL;
}
static void beyond_whole(arrow_table *t) {
    static const uint64_t counts[] = {1, 2, 3, UINT64_MAX};
    t->children[3].schema.format = "L";
    t->children[3].buffers[1] = counts;
}

static void arrow_that_is_damaged(void **state) {
    static const int64_t i64[] = {3, 0, 7, 8};
    static const damage damages[] = {
        released_schema,  released_array,   released_child,     released_names,  no_struct,
        more_children,    negative_length,  negative_offset,    vast_offset,     vast_table_offset,
        short_child,      no_buffers,       too_few_buffers,    no_values,       no_whole_buffers,
        no_bytes,         half_floats,      no_format,          text_views,      time_of_day,
        no_unit,          no_name,          number_as_time,     time_as_number,  twice,
        absent,           falling_offsets,  negative_offsets,   far_times,       bad_codes,
        negative_codes,   numbers_dictionary, no_dictionary,    beyond_whole,
    };
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, 5, "gbdt", QN_TASK_REGRESSION);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        arrow_table t;
        qn_error err = {0};
        double scores[4];
        add_base(&t, "l", i64);
        damages[i](&t);
        qn_status status = qn_predict_arrow(model, &t.schema, &t.array, NULL, scores, &err);
        if ((status != QN_ERR_DATA && status != QN_ERR_USAGE) || !err.message[0])
            fail_msg("damage %zu: %s %s", i, qn_status_name(status), err.message);
    }
    qn_error err = {0};
    assert_int_equal(qn_predict_arrow(model, NULL, NULL, NULL, NULL, &err), QN_ERR_USAGE);
}

/* --- memory ----------------------------------------------------------------------------------- */

static qn_status everything(const qn_model *model, const arrow_table *t) {
    qn_cleanup(qn_signature_free) qn_signature *s = NULL;
    qn_cleanup(qn_text_free) char *answer = NULL;
    double scores[4], values[5] = {0.5, 1, 1, NAN, NAN};
    qn_options options = QN_OPTIONS_INIT;
    options.explain = options.absent_is_missing = true;
    QN_TRY(qn_signature_new(model, &s, NULL));
    QN_TRY(qn_predict_numbers(model, values, 1, NULL, scores, NULL));
    QN_TRY(qn_predict_json(model, "[{\"city\": \"R\\u006fma\"}]", 23, &options, &answer, NULL));
    return qn_predict_arrow(model, &t->schema, &t->array, NULL, scores, NULL);
}

static void failing_allocations(void **state) {
    static const int64_t i64[] = {3, 0, 7, 8};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    arrow_table t;
    add_base(&t, "l", i64);
    for (size_t i = 0; i < 2; i++) {
        qn_cleanup(qn_model_free)
            qn_model *model = trained(frame, 5, i ? "linear" : "gbdt", QN_TASK_BINARY);
        assert_int_equal(everything(model, &t), QN_OK);
        qn_status status = QN_ERR_MEMORY;
        for (int n = 0; status != QN_OK && n < 2000; n++) {
            qn_mem_fail_after(n);
            status = everything(model, &t);
            qn_mem_fail_after(-1);
            assert_true(status == QN_OK || status == QN_ERR_MEMORY);
        }
        assert_int_equal(status, QN_OK);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_is_the_projects),
        cmocka_unit_test(signature),
        cmocka_unit_test(numbers_in_blocks),
        cmocka_unit_test(numbers_that_do_not_fit),
        cmocka_unit_test(threads_share_a_model),
        cmocka_unit_test(json_in_and_out),
        cmocka_unit_test(json_that_does_not_fit),
        cmocka_unit_test(one_call),
        cmocka_unit_test(arrow_types),
        cmocka_unit_test(arrow_times),
        cmocka_unit_test(arrow_slices),
        cmocka_unit_test(frames_as_arrow),
        cmocka_unit_test(arrow_that_is_damaged),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
