/* Fitted pipelines from untrusted bytes: loading, applying to a batch and to single rows,
 * saving. */
#include <string.h>

#include "fuzz.h"

static qn_matrix *applied(const qn_pipeline *pipeline, const qn_frame *frame, const int64_t *rows,
                          int64_t n_rows) {
    qn_error err = {0};
    qn_matrix *matrix = NULL;
    qn_status status = qn_pipeline_apply(pipeline, frame, rows, n_rows, NULL, &matrix, &err);
    if (status != QN_OK)
        fuzz_require_told(status, &err);
    return matrix;
}

static double *numbers_of(const qn_matrix *matrix) {
    double *out = qn_calloc((size_t)matrix->n_rows, ((size_t)matrix->n_features + 1) * sizeof *out);
    fuzz_require(out != NULL, "memory for a matrix");
    qn_matrix_rows(matrix, 0, matrix->n_rows, out);
    return out;
}

static void check_codes(const qn_matrix *matrix) {
    for (int32_t f = 0; f < matrix->n_features; f++) {
        if (matrix->features[f].kind != QN_FEATURE_CATEGORY)
            continue;
        for (int64_t i = 0; i < matrix->n_rows; i++) {
            int32_t code = matrix->columns[f].code[i];
            fuzz_require(code >= -1 && code < matrix->features[f].n_categories,
                         "a code has a category");
        }
    }
}

static void check_apply(const qn_pipeline *pipeline) {
    enum { MANY_FEATURES = 1 << 16 };
    int32_t n_features;
    (void)qn_pipeline_features(pipeline, &n_features);
    qn_cleanup(qn_frame_free) qn_frame *frame = fuzz_frame(qn_pipeline_inputs(pipeline), pipeline);
    if (!frame)
        return;
    qn_cleanup(qn_matrix_free) qn_matrix *batch = applied(pipeline, frame, NULL, frame->n_rows);
    if (!batch || n_features > MANY_FEATURES)
        return;
    check_codes(batch);
    qn_cleanup(qn_freep) double *all = numbers_of(batch);
    for (int64_t i = 0; i < frame->n_rows; i++) {
        qn_cleanup(qn_matrix_free) qn_matrix *one = applied(pipeline, frame, &i, 1);
        fuzz_require(one != NULL, "a row alone is taken like a batch");
        qn_cleanup(qn_freep) double *row = numbers_of(one);
        fuzz_require(fuzz_same_numbers(row, all + i * n_features, (size_t)n_features),
                     "a row alone gets the bits of the batch");
    }
}

static void check_saving(const qn_pipeline *pipeline) {
    qn_cleanup(qn_buf_done) qn_buf first = {0};
    qn_cleanup(qn_buf_done) qn_buf second = {0};
    qn_cleanup(qn_pipeline_free) qn_pipeline *copy = NULL;
    fuzz_require(qn_pipeline_save(pipeline, &first, NULL) == QN_OK,
                 "a loaded pipeline can be saved");
    fuzz_require(qn_pipeline_load(first.data, first.len, &copy, NULL) == QN_OK,
                 "a saved pipeline loads");
    fuzz_require(qn_pipeline_save(copy, &second, NULL) == QN_OK && first.len == second.len &&
                     memcmp(first.data, second.data, first.len) == 0,
                 "a pipeline is saved as the same bytes again");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qn_error err = {0};
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = NULL;
    qn_status status = qn_pipeline_load(data, size, &pipeline, &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return 0;
    }
    qn_cleanup(qn_json_free) json_t *dropped = qn_pipeline_dropped(pipeline);
    fuzz_require(dropped != NULL, "the dropped columns can be told");
    check_apply(pipeline);
    check_saving(pipeline);
    return 0;
}
