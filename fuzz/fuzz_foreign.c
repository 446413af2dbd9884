/* Models of other programs: LightGBM's text and XGBoost's JSON. What is taken in is an ordinary model:
 * it predicts, explains, is written and opened with the same bits, and can be exported. */
#include <string.h>

#include "fuzz.h"
#include "model/export.h"
#include "model/foreign.h"

enum { MOST_CONTRIBUTIONS = 1 << 16 };

static double *scores_of(const qn_model *model, const qn_frame *frame, size_t *ret_n) {
    *ret_n = FUZZ_ROWS * (size_t)qn_model_n_outputs(model);
    double *scores = qn_new_array(double, *ret_n);
    fuzz_require(scores && qn_model_predict(model, frame, NULL, scores, NULL) == QN_OK,
                 "an imported model predicts");
    return scores;
}

static void check_file(const qn_model *model, const qn_frame *frame, const double *want) {
    qn_cleanup(qn_buf_done) qn_buf bytes = {0};
    qn_cleanup(qn_model_free) qn_model *again = NULL;
    size_t n;
    fuzz_require(qn_model_write(model, &bytes, NULL) == QN_OK, "an imported model is written");
    fuzz_require(qn_model_open_bytes(bytes.data, bytes.len, &again, NULL) == QN_OK,
                 "an imported model opens again");
    qn_cleanup(qn_freep) double *got = scores_of(again, frame, &n);
    fuzz_require(fuzz_same_numbers(want, got, n), "an opened model gives the same bits");
}

static void check_explanations(const qn_model *model, const qn_frame *frame) {
    size_t width = (size_t)qn_model_n_inputs(model) + 1;
    size_t n = FUZZ_ROWS * (size_t)qn_model_n_outputs(model) * width;
    if (n > MOST_CONTRIBUTIONS)
        return;
    qn_cleanup(qn_freep) double *contrib = qn_new_array(double, n);
    fuzz_require(contrib && qn_model_explain(model, frame, NULL, contrib, NULL) == QN_OK,
                 "an imported model explains itself");
}

static void check_export(const qn_model *model, qn_export_format format) {
    qn_error err = {0};
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_cleanup(qn_model_free) qn_model *again = NULL;
    const qn_export_options options = {.format = format, .tree = -1};
    qn_status status = qn_model_export(model, &options, &out, &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return;
    }
    if (format != QN_EXPORT_LIGHTGBM)
        return;
    size_t n;
    status = qn_model_import(out.data, out.len, &(qn_import_options){0}, &again, &err);
    if (status != QN_OK) { /* sums of base and leaf may be infinite, names the same in LightGBM's */
        fuzz_require_told(status, &err);
        return;
    }
    qn_cleanup(qn_frame_free) qn_frame *own = fuzz_frame(qn_model_inputs(again), NULL);
    qn_cleanup(qn_freep) double *got = scores_of(again, own, &n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qn_error err = {0};
    qn_cleanup(qn_freep) char *text = fuzz_text(data, size);
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_status status = qn_model_import(text, size, &(qn_import_options){0}, &model, &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return 0;
    }
    size_t n;
    qn_cleanup(qn_frame_free) qn_frame *frame = fuzz_frame(qn_model_inputs(model), NULL);
    qn_cleanup(qn_freep) double *scores = scores_of(model, frame, &n);
    check_file(model, frame, scores);
    check_explanations(model, frame);
    for (int format = QN_EXPORT_ONNX; format <= QN_EXPORT_TEXT; format++)
        check_export(model, (qn_export_format)format);
    return 0;
}
