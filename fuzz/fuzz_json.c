/* JSON from strangers, what is read out of it (feature lists, calibrations), and texts as values of
 * every column type. */
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "evaluate/calibrate.h"
#include "fuzz.h"

static char names[6][8] = {"flag", "count", "Amount", "city", "note", "when"};

static qn_frame *small_frame(void) {
    qn_schema_column columns[6];
    for (int i = 0; i < 6; i++)
        columns[i] = (qn_schema_column){names[i], (qn_type)i};
    return fuzz_frame(&(qn_schema){6, columns}, NULL);
}

static void check_round_trip(const json_t *json) {
    static const int flags[] = {QN_JSON_COMPACT, QN_JSON_PRETTY, QN_JSON_HTML_SAFE};
    for (size_t i = 0; i < 3; i++) {
        qn_cleanup(qn_freep) char *text = qn_json_text(json, flags[i]);
        qn_cleanup(qn_json_free) json_t *again = NULL;
        fuzz_require(text && qn_json_parse(text, strlen(text), "again", &again, NULL) == QN_OK,
                     "what was read can be written and read");
        fuzz_require(fuzz_same_json(json, again), "what was written reads back the same");
        fuzz_require(flags[i] != QN_JSON_HTML_SAFE || !strpbrk(text, "<>&"),
                     "nothing ends a script");
    }
}

/* The `features:` of a config: parsed, shown, and fitted when it is fine. */
static void check_features(const json_t *steps) {
    const char *inputs[6];
    double y[FUZZ_ROWS] = {0, 1, 0, 1, 1, 0};
    char negative[] = "no", positive[] = "yes", *classes[] = {negative, positive};
    const qn_target_info target = {names[0], QN_TASK_BINARY, 2, classes};
    for (int i = 0; i < 6; i++)
        inputs[i] = names[i];
    qn_cleanup(qn_frame_free) qn_frame *frame = small_frame();
    qn_error err = {0};
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL;
    qn_status status = qn_pipeline_spec_parse(steps, frame, inputs, 6, 0, &spec, &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return;
    }
    qn_cleanup(qn_json_free) json_t *shown = qn_pipeline_spec_to_json(spec);
    fuzz_require(json_is_array(shown), "a feature list can be shown");
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = NULL;
    status = qn_pipeline_fit(spec, frame, NULL, FUZZ_ROWS, y, &target, 1, NULL, &pipeline, NULL,
                             &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return;
    }
    qn_cleanup(qn_matrix_free) qn_matrix *matrix = NULL;
    fuzz_require(qn_pipeline_apply(pipeline, frame, NULL, FUZZ_ROWS, NULL, &matrix, NULL) == QN_OK,
                 "a fitted pipeline takes its training rows");
    qn_cleanup(qn_buf_done) qn_buf bytes = {0};
    qn_cleanup(qn_pipeline_free) qn_pipeline *copy = NULL;
    fuzz_require(qn_pipeline_save(pipeline, &bytes, NULL) == QN_OK &&
                     qn_pipeline_load(bytes.data, bytes.len, &copy, NULL) == QN_OK,
                 "a fitted pipeline is saved and loaded");
}

static void check_calibration(const json_t *json) {
    double scores[2 * FUZZ_ROWS] = {0, 1, 0.5, 1e-12, 0.1, 0.9, 1, 1, 0, 0, 0.3, 0.7};
    qn_error err = {0};
    qn_cleanup(qn_calibrator_free) qn_calibrator *calibrator = NULL;
    qn_status status = qn_calibrator_from_json(json, 2, &calibrator, &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return;
    }
    qn_calibrator_apply(calibrator, scores, FUZZ_ROWS);
    for (int i = 0; i < 2 * FUZZ_ROWS; i++)
        fuzz_require(scores[i] >= 0 && scores[i] <= 1, "a calibrated score is a probability");
}

/* Each line is a row, given to all types. */
static void check_values(const uint8_t *data, size_t size) {
    qn_cleanup(qn_frame_builder_free) qn_frame_builder *builder = NULL;
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    fuzz_require(qn_frame_builder_new(&builder, NULL) == QN_OK, "a builder");
    for (int32_t i = 0; i < 6; i++)
        fuzz_require(qn_frame_builder_add_column(builder, names[i], (qn_type)i, NULL) == QN_OK,
                     "a column");
    for (int rows = 0; size && rows < 100; rows++) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t n = end ? (size_t)(end - data) : size;
        for (int32_t i = 0; i < 6; i++) {
            qn_error err = {0};
            qn_status status = qn_frame_builder_text(builder, i, (const char *)data, n, &err);
            if (status == QN_OK)
                continue;
            fuzz_require_told(status, &err);
            fuzz_require(qn_frame_builder_null(builder, i, NULL) == QN_OK, "a missing value");
        }
        data += end ? n + 1 : n;
        size -= end ? n + 1 : n;
    }
    fuzz_require(qn_frame_builder_finish(builder, &frame, NULL) == QN_OK, "columns of one length");
    char digest[QN_DIGEST_TEXT];
    fuzz_require(qn_frame_digest(frame, digest, NULL) == QN_OK, "a frame has a digest");
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    for (int32_t i = 0; i < frame->n_columns; i++)
        for (int64_t row = 0; row < frame->n_rows; row++)
            qn_column_format(&frame->columns[i], row, &out);
    fuzz_require(out.status == QN_OK, "values can be shown");
}

static void check_texts(const char *text) {
    double number;
    int64_t whole;
    size_t bytes;
    (void)!qn_text_to_double(text, &number);
    (void)!qn_text_to_i64(text, &whole);
    (void)!qn_text_to_bytes(text, &bytes);
    (void)!qn_text_to_seconds(text, &number);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qn_cleanup(qn_freep) char *text = fuzz_text(data, size);
    check_texts(text);
    check_values(data, size);
    qn_error err = {0};
    qn_cleanup(qn_json_free) json_t *json = NULL;
    qn_status status = qn_json_parse((const char *)data, size, "request", &json, &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return 0;
    }
    check_round_trip(json);
    if (json_is_array(json))
        check_features(json);
    else
        check_calibration(json);
    return 0;
}
