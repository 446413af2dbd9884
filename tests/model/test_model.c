/* Models: the same bits alone, in a batch, from memory and from a file; damage is told;
 * explanations add up. */
#include "models.h"

#include "base/file.h"
#include "base/json.h"
#include "model/model_int.h"

static const char *const families[] = {"gbdt", "linear", "stump", "prior"};
static const qn_task tasks[] = {QN_TASK_BINARY, QN_TASK_MULTICLASS, QN_TASK_REGRESSION};

static qn_model *trained(const qn_frame *frame, const char *family, qn_task task) {
    qn_error err = {0};
    qn_model *model = NULL;
    must(model_train(frame, family, task, NULL, &model, &err), &err);
    return model;
}

static double *predicted(const qn_model *model, const qn_frame *frame, const qn_job *job) {
    qn_error err = {0};
    double *scores = qn_calloc((size_t)frame->n_rows,
                               (size_t)qn_model_n_outputs(model) * sizeof *scores);
    must(qn_model_predict(model, frame, job, scores, &err), &err);
    return scores;
}

static void check_rows_alone(const qn_model *model, const qn_frame *frame, const double *batch) {
    size_t width = (size_t)qn_model_n_outputs(model);
    for (int64_t i = 0; i < frame->n_rows; i += 7) {
        qn_cleanup(qn_frame_free) qn_frame *one = NULL;
        assert_int_equal(qn_frame_take(frame, &i, 1, &one, NULL), QN_OK);
        qn_cleanup(qn_freep) double *scores = predicted(model, one, NULL);
        assert_memory_equal(scores, batch + (size_t)i * width, width * sizeof *scores);
    }
}

static void check_file(const qn_model *model, const qn_frame *frame, const double *batch) {
    qn_error err = {0};
    qn_cleanup(qn_buf_done) qn_buf file = {0};
    qn_cleanup(qn_buf_done) qn_buf again = {0};
    qn_cleanup(qn_model_free) qn_model *opened = NULL;
    must(qn_model_write(model, &file, &err), &err);
    must(qn_model_open_bytes(file.data, file.len, &opened, &err), &err);
    must(qn_model_write(opened, &again, &err), &err);
    assert_int_equal(file.len, again.len);
    assert_memory_equal(file.data, again.data, file.len);
    assert_true(json_equal(qn_model_manifest(model), qn_model_manifest(opened)));
    qn_cleanup(qn_freep) double *scores = predicted(opened, frame, NULL);
    size_t n = (size_t)frame->n_rows * (size_t)qn_model_n_outputs(model);
    assert_memory_equal(scores, batch, n * sizeof *scores);
}

static void check_explanation(const qn_model *model, const qn_frame *frame) {
    qn_error err = {0};
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    size_t n_outputs = (size_t)qn_model_n_outputs(model), n = (size_t)frame->n_rows * n_outputs;
    size_t width = (size_t)qn_model_inputs(model)->n_columns + 1;
    qn_cleanup(qn_freep) double *contrib = qn_calloc(n, width * sizeof *contrib);
    qn_cleanup(qn_freep) double *raw = qn_calloc(n, sizeof *raw);
    must(qn_model_explain(model, frame, NULL, contrib, &err), &err);
    must(qn_pipeline_apply(qn_model_pipeline(model), frame, NULL, frame->n_rows, NULL, &x, &err),
         &err);
    qn_learner_predict(qn_model_learner(model), x, false, NULL, raw);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t f = 0; f < width; f++)
            sum += contrib[i * width + f];
        assert_float_equal(sum, raw[i], 1e-9 * fmax(1, fabs(raw[i])));
    }
}

static void every_family_and_task(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_job two = {.n_threads = 2};
    for (size_t f = 0; f < 4; f++) {
        for (size_t t = 0; t < 3; t++) {
            qn_cleanup(qn_model_free) qn_model *model = trained(frame, families[f], tasks[t]);
            qn_cleanup(qn_freep) double *batch = predicted(model, frame, &two);
            check_rows_alone(model, frame, batch);
            check_file(model, frame, batch);
            check_explanation(model, frame);
        }
    }
}

/* More rows than a block, so that several are at work. */
static void blocks_do_not_matter(void **state) {
    enum { N = 10000 };
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_frame_free) qn_frame *large = NULL;
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, N);
    for (int64_t i = 0; i < N; i++)
        rows[i] = i * 7919 % MODEL_ROWS;
    assert_int_equal(qn_frame_take(frame, rows, N, &large, NULL), QN_OK);
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, "linear", QN_TASK_MULTICLASS);
    qn_job two = {.n_threads = 2};
    qn_cleanup(qn_freep) double *few = predicted(model, frame, NULL);
    qn_cleanup(qn_freep) double *many = predicted(model, large, &two);
    for (int64_t i = 0; i < N; i++)
        assert_memory_equal(many + 3 * i, few + 3 * rows[i], 3 * sizeof *few);
    volatile sig_atomic_t stop = 1;
    qn_job cancelled = {.n_threads = 2, .cancel = &stop};
    assert_int_equal(qn_model_predict(model, large, &cancelled, many, NULL), QN_ERR_CANCELLED);
}

static void decides(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *binary = trained(frame, "prior", QN_TASK_BINARY);
    qn_cleanup(qn_model_free) qn_model *classes = trained(frame, "prior", QN_TASK_MULTICLASS);
    assert_int_equal(qn_model_decide(binary, (double[]){0.21}), 1);
    assert_int_equal(qn_model_decide(binary, (double[]){0.2099}), 0);
    assert_int_equal(qn_model_decide(classes, (double[]){0.2, 0.4, 0.4}), 1);
    const json_t *manifest = qn_model_manifest(binary);
    assert_string_equal(json_string_value(json_object_get(manifest, "task")), "binary");
    assert_int_equal(json_array_size(json_object_get(manifest, "inputs")), 5);
    assert_string_equal(qn_model_target(binary)->name, "answer");
    assert_float_equal(qn_model_threshold(binary), 0.21, 0);
}

/* What meant missing in training does so for ever, also in a model that was opened. */
static void remembers_missing_words(void **state) {
    static const char *const words[] = {"-999", "n. a."};
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    model_missing = words;
    model_n_missing = 2;
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, "prior", QN_TASK_BINARY);
    model_n_missing = 0;
    qn_cleanup(qn_model_free) qn_model *opened = NULL;
    qn_cleanup(qn_buf_done) qn_buf file = {0};
    must(qn_model_write(model, &file, &err), &err);
    must(qn_model_open_bytes(file.data, file.len, &opened, &err), &err);
    size_t n;
    const char *const *missing = qn_model_missing(opened, &n);
    assert_int_equal(n, 2);
    assert_string_equal(missing[0], "-999");
    assert_string_equal(missing[1], "n. a.");
    qn_cleanup(qn_freep) double *batch = predicted(model, frame, NULL);
    check_file(model, frame, batch);
    qn_cleanup(qn_model_free) qn_model *without = trained(frame, "prior", QN_TASK_BINARY);
    (void)qn_model_missing(without, &n);
    assert_int_equal(n, 0);
    assert_null(json_object_get(qn_model_manifest(without), "missing"));
}

static qn_learner *copy_of_learner(const qn_model *model, qn_buf *bytes) {
    qn_error err = {0};
    qn_learner *copy = NULL;
    int32_t n;
    const qn_learner *learner = qn_model_learner(model);
    const qn_feature *features = qn_pipeline_features(qn_model_pipeline(model), &n);
    must(learner->family->save(learner, bytes, &err), &err);
    must(learner->family->load(bytes->data, bytes->len, features, n, &copy, &err), &err);
    return copy;
}

/* With its own learner again a model is what it was. */
static void takes_another_learner(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    for (size_t f = 0; f < 4; f++) {
        for (size_t t = 0; t < 3; t++) {
            qn_error err = {0};
            qn_cleanup(qn_model_free) qn_model *model = trained(frame, families[f], tasks[t]);
            qn_cleanup(qn_json_free) json_t *told = json_pack("{s:i}", "kept", 1);
            must(qn_model_tell(model, told, &err), &err);
            qn_status status = QN_ERR_MEMORY;
            for (int64_t i = 0; status != QN_OK; i++) {
                qn_cleanup(qn_buf_done) qn_buf bytes = {0};
                qn_cleanup(qn_model_free) qn_model *other = NULL;
                qn_learner *learner = copy_of_learner(model, &bytes);
                qn_mem_fail_after(i);
                status = qn_model_with_learner(model, learner, NULL, &other, &err);
                qn_mem_fail_after(-1);
                if (status != QN_OK) {
                    assert_int_equal(status, QN_ERR_MEMORY);
                    continue;
                }
                qn_cleanup(qn_freep) double *scores = predicted(model, frame, NULL);
                check_file(other, frame, scores);
                assert_true(json_equal(qn_model_manifest(other), qn_model_manifest(model)));
            }
        }
    }
}

static void missing_inputs_are_listed(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, "linear", QN_TASK_BINARY);
    qn_error err = {0};
    qn_frame part = {frame->n_rows, 2, frame->columns};
    double scores[MODEL_ROWS];
    assert_int_equal(qn_model_predict(model, &part, NULL, scores, &err), QN_ERR_DATA);
    assert_non_null(strstr(err.message, "flag"));
    assert_non_null(strstr(err.message, "city"));
    assert_non_null(strstr(err.message, "when"));
}

/* --- files ------------------------------------------------------------------------------------ */

static void opens_files(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, "stump", QN_TASK_REGRESSION);
    qn_cleanup(qn_model_free) qn_model *opened = NULL;
    char folder[] = "/tmp/quern-model-XXXXXX";
    assert_non_null(mkdtemp(folder));
    qn_cleanup(qn_freep) char *path = qn_path_join(folder, "m.qn");
    qn_error err = {0};
    must(qn_model_save(model, path, &err), &err);
    must(qn_model_open(path, &opened, &err), &err);
    assert_int_equal(qn_file_write(path, "id,age\n1,2\n", 11, NULL), QN_OK);
    qn_model_free(&opened);
    assert_int_equal(qn_model_open(path, &opened, &err), QN_ERR_FORMAT);
    assert_null(opened);
    assert_non_null(strstr(err.message, "m.qn: not a Quern model"));
    assert_int_equal(qn_file_write(path, "", 0, NULL), QN_OK);
    assert_int_equal(qn_model_open(path, &opened, &err), QN_ERR_FORMAT);
    remove(path);
    assert_int_equal(qn_model_open(path, &opened, &err), QN_ERR_NOT_FOUND);
    remove(folder);
}

/* Writes a file with one section replaced, so that checksums are right and the content is not. */
static void with_section(const qn_buf *file, const char *name, const void *bytes, size_t n,
                         qn_buf *out) {
    qn_section sections[QN_MODEL_MAX_SECTIONS];
    size_t n_sections;
    assert_int_equal(
        qn__container_read((unsigned char *)file->data, file->len, sections, &n_sections, NULL),
        QN_OK);
    for (size_t i = 0; i < n_sections; i++) {
        if (!strcmp(sections[i].name, name)) {
            sections[i].data = bytes;
            sections[i].len = n;
        }
    }
    assert_int_equal(qn__container_write(sections, n_sections, out, NULL), QN_OK);
}

/* Random bytes in a section: refused, or taken as some model, but never more than that. */
static void survives_noise(void **state) {
    static const char *const names[] = {"manifest", "pipeline", "learner"};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_rng rng;
    qn_rng_init(&rng, 9);
    for (int f = 0; f < 4; f++) {
        qn_cleanup(qn_model_free) qn_model *model = trained(frame, families[f], tasks[f % 3]);
        qn_cleanup(qn_buf_done) qn_buf file = {0};
        assert_int_equal(qn_model_write(model, &file, NULL), QN_OK);
        for (int round = 0; round < 300; round++) {
            qn_section sections[QN_MODEL_MAX_SECTIONS];
            size_t n_sections, i = (size_t)round % 3;
            (void)!qn__container_read((unsigned char *)file.data, file.len, sections, &n_sections,
                                      NULL);
            size_t n = round % 10 ? sections[i].len : (size_t)qn_rng_below(&rng, sections[i].len);
            qn_cleanup(qn_freep) unsigned char *bytes = qn_calloc(n, 1);
            qn_cleanup(qn_buf_done) qn_buf noisy = {0};
            qn_cleanup(qn_model_free) qn_model *opened = NULL;
            memcpy(bytes, sections[i].data, n);
            for (int k = 0; n && k < 1 + round % 3; k++)
                bytes[qn_rng_below(&rng, n)] ^= (unsigned char)(1 << qn_rng_below(&rng, 8));
            with_section(&file, names[i], bytes, n, &noisy);
            qn_error err = {0};
            qn_status status = qn_model_open_bytes(noisy.data, noisy.len, &opened, &err);
            if (status == QN_OK) {
                double scores[3 * MODEL_ROWS];
                (void)!qn_model_predict(opened, frame, NULL, scores, &err);
            } else {
                assert_true(err.message[0] != '\0');
            }
        }
    }
}

static void manifests_are_checked(void **state) {
    static const char *const edits[][2] = {
        {"\"task\":\"binary\"", "\"task\":\"bynary\""},
        {"\"task\":\"binary\"", "\"task\":\"regression\""},
        {"\"classes\":[\"no\",\"yes\"]", "\"classes\":[\"no\"]"},
        {"\"classes\":[\"no\",\"yes\"]", "\"classes\":[\"no\",3]"},
        {"\"family\":\"prior\"", "\"family\":\"forest\""},
        {"\"threshold\":0.21", "\"threshold\":null"},
        {"\"negatives_rate\":0.3", "\"negatives_rate\":0"},
        {"\"negatives_rate\":0.3", "\"negatives_rate\":\"x\""},
        {"\"target\"", "\"goal\""},
    };
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = trained(frame, "prior", QN_TASK_BINARY);
    qn_cleanup(qn_buf_done) qn_buf file = {0};
    assert_int_equal(qn_model_write(model, &file, NULL), QN_OK);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        const char *at = strstr(model->manifest_text, edits[i][0]);
        assert_non_null(at);
        qn_cleanup(qn_buf_done) qn_buf text = {0};
        qn_cleanup(qn_buf_done) qn_buf edited = {0};
        qn_buf_put(&text, model->manifest_text, (size_t)(at - model->manifest_text));
        qn_buf_put_text(&text, edits[i][1]);
        qn_buf_put_text(&text, at + strlen(edits[i][0]));
        with_section(&file, "manifest", text.data, text.len, &edited);
        qn_model *opened = NULL;
        qn_error err = {0};
        assert_int_equal(qn_model_open_bytes(edited.data, edited.len, &opened, &err),
                         QN_ERR_FORMAT);
        assert_null(opened);
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

typedef struct attempt {
    const qn_frame *frame;
    const qn_buf *file;
} attempt;

static qn_status open_and_use(const attempt *a, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    double scores[MODEL_ROWS], contrib[MODEL_ROWS * 6];
    QN_TRY(qn_model_open_bytes(a->file->data, a->file->len, &model, err));
    QN_TRY(qn_model_predict(model, a->frame, NULL, scores, err));
    QN_TRY(qn_model_explain(model, a->frame, NULL, contrib, err));
    return qn_model_write(model, &out, err);
}

static void runs_out_of_memory_cleanly(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    for (int f = 0; f < 4; f++) {
        qn_cleanup(qn_model_free) qn_model *model = trained(frame, families[f], QN_TASK_BINARY);
        qn_cleanup(qn_buf_done) qn_buf file = {0};
        assert_int_equal(qn_model_write(model, &file, NULL), QN_OK);
        attempt a = {frame, &file};
        qn_status status = QN_ERR_MEMORY;
        for (int64_t i = 0; status != QN_OK; i++) {
            qn_error err = {0};
            qn_mem_fail_after(i);
            status = open_and_use(&a, &err);
            qn_mem_fail_after(-1);
            if (status != QN_OK && status != QN_ERR_MEMORY)
                fail_msg("%s after %d allocations: %s", families[f], (int)i, err.message);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_and_task),
        cmocka_unit_test(blocks_do_not_matter),
        cmocka_unit_test(decides),
        cmocka_unit_test(remembers_missing_words),
        cmocka_unit_test(takes_another_learner),
        cmocka_unit_test(missing_inputs_are_listed),
        cmocka_unit_test(opens_files),
        cmocka_unit_test(survives_noise),
        cmocka_unit_test(manifests_are_checked),
        cmocka_unit_test(runs_out_of_memory_cleanly),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
