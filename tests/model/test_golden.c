/* Old files stay readable: tests/model/golden/ holds models and what they answered when they were
 * written (first 20 rows of model_table). QN_WRITE_GOLDEN=folder writes new ones; files once
 * committed never change. */
#include "models.h"

#include "base/file.h"
#include "base/json.h"

enum { GOLDEN_ROWS = 20 };

static const struct {
    const char *name, *family;
    qn_task task;
    bool is_old; /* a section is of an older version, which is written as the newest */
    bool has_init;
} golden[] = {
    {"v1_gbdt_binary", "gbdt", QN_TASK_BINARY, true},
    {"v1_gbdt_multiclass", "gbdt", QN_TASK_MULTICLASS, true},
    {"v2_gbdt_binary", "gbdt", QN_TASK_BINARY},
    {"v2_gbdt_multiclass", "gbdt", QN_TASK_MULTICLASS},
    {"v4_gbdt_multiclass", "gbdt", QN_TASK_MULTICLASS, .has_init = true},
    {"v1_linear_binary", "linear", QN_TASK_BINARY},
    {"v1_linear_regression", "linear", QN_TASK_REGRESSION},
    {"v1_stump_multiclass", "stump", QN_TASK_MULTICLASS},
    {"v1_prior_regression", "prior", QN_TASK_REGRESSION},
};

static void path_of(const char *folder, const char *name, const char *ending, char path[1024]) {
    snprintf(path, 1024, "%s/%s.%s", folder, name, ending);
}

static double *answers(const qn_model *model, size_t *ret_n) {
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    size_t width = (size_t)qn_model_n_outputs(model);
    double *scores = qn_calloc(MODEL_ROWS, width * sizeof *scores);
    qn_error err = {0};
    must(qn_model_predict(model, frame, NULL, scores, &err), &err);
    *ret_n = GOLDEN_ROWS * width;
    return scores;
}

static void write_one(const char *folder, size_t i) {
    char path[1024];
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    model_has_init = golden[i].has_init;
    must(model_train(frame, golden[i].family, golden[i].task, NULL, &model, &err), &err);
    path_of(folder, golden[i].name, "qn", path);
    must(qn_model_save(model, path, &err), &err);
    size_t n;
    qn_cleanup(qn_freep) double *scores = answers(model, &n);
    qn_cleanup(qn_json_free) json_t *json = qn_json_numbers(scores, n);
    qn_cleanup(qn_freep) char *text = qn_json_text(json, QN_JSON_COMPACT);
    path_of(folder, golden[i].name, "json", path);
    must(qn_file_write(path, text, strlen(text), &err), &err);
}

static void check_one(const char *folder, size_t i) {
    char path[1024];
    qn_error err = {0};
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    path_of(folder, golden[i].name, "qn", path);
    must(qn_model_open(path, &model, &err), &err);
    size_t n, n_bytes;
    qn_cleanup(qn_freep) double *scores = answers(model, &n);
    qn_cleanup(qn_freep) char *text = NULL;
    qn_cleanup(qn_json_free) json_t *json = NULL;
    path_of(folder, golden[i].name, "json", path);
    must(qn_file_read(path, 1 << 20, &text, &n_bytes, &err), &err);
    must(qn_json_parse(text, n_bytes, path, &json, &err), &err);
    assert_int_equal(json_array_size(json), n);
    for (size_t k = 0; k < n; k++) /* the last bits of exp and log belong to the C library */
        assert_float_equal(scores[k], json_number_value(json_array_get(json, k)),
                           1e-12 * (1 + fabs(scores[k])));
}

/* What was read is written as the same bytes; an old file as a new one, which says the same. */
static void written_again(void **state) {
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        char path[1024];
        qn_error err = {0};
        qn_cleanup(qn_model_free) qn_model *model = NULL;
        qn_cleanup(qn_model_free) qn_model *again = NULL;
        qn_cleanup(qn_buf_done) qn_buf bytes = {0};
        qn_cleanup(qn_freep) char *file = NULL;
        size_t n_file, n;
        path_of(GOLDEN_FOLDER, golden[i].name, "qn", path);
        must(qn_model_open(path, &model, &err), &err);
        must(qn_model_write(model, &bytes, &err), &err);
        must(qn_file_read(path, 1 << 20, &file, &n_file, &err), &err);
        bool same = bytes.len == n_file && memcmp(bytes.data, file, n_file) == 0;
        assert_true(same == !golden[i].is_old);
        must(qn_model_open_bytes(bytes.data, bytes.len, &again, &err), &err);
        qn_cleanup(qn_freep) double *first = answers(model, &n), *second = answers(again, &n);
        assert_memory_equal(first, second, n * sizeof *first);
    }
}

static void old_files_stay_readable(void **state) {
    const char *write_to = getenv("QN_WRITE_GOLDEN");
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        if (write_to)
            write_one(write_to, i);
        check_one(write_to ? write_to : GOLDEN_FOLDER, i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(old_files_stay_readable),
                                       cmocka_unit_test(written_again)};
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
