/* Model files from strangers: opening, predicting, explaining and writing. Mutations go into the
 * sections and the checksums are put right again; a quarter of them leaves the checksums wrong. */
#include <string.h>

#include "base/hash.h"
#include "fuzz.h"
#include "model/model_int.h"

enum { MANY_NUMBERS = 1 << 20 };

/* The scores of all rows; NULL when the model refuses them. */
static double *predicted(const qn_model *model, const qn_frame *frame, size_t *ret_n) {
    qn_error err = {0};
    *ret_n = (size_t)frame->n_rows * (size_t)qn_model_n_outputs(model);
    qn_cleanup(qn_freep) double *scores = qn_new_array(double, *ret_n);
    fuzz_require(scores != NULL, "memory for scores");
    qn_status status = qn_model_predict(model, frame, NULL, scores, &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return NULL;
    }
    for (int64_t i = 0; i < frame->n_rows; i++) {
        int32_t k = qn_model_decide(model, scores + i * qn_model_n_outputs(model));
        fuzz_require(k >= 0 && (k == 0 || k < qn_model_target(model)->n_classes),
                     "a decision is a class");
    }
    return qn_steal(&scores);
}

static void check_row_alone(const qn_model *model, const qn_frame *frame, const double *batch) {
    size_t width = (size_t)qn_model_n_outputs(model), n;
    for (int64_t i = 0; i < frame->n_rows; i++) {
        qn_cleanup(qn_frame_free) qn_frame *one = NULL;
        fuzz_require(qn_frame_take(frame, &i, 1, &one, NULL) == QN_OK, "a row can be taken");
        qn_cleanup(qn_freep) double *scores = predicted(model, one, &n);
        fuzz_require(scores && fuzz_same_numbers(scores, batch + (size_t)i * width, width),
                     "a row alone gets the bits of the batch");
    }
}

static void check_explanation(const qn_model *model, const qn_frame *frame) {
    size_t width = (size_t)qn_model_learner(model)->n_features + 1;
    size_t inputs = (size_t)qn_model_inputs(model)->n_columns + 1;
    size_t n = (size_t)frame->n_rows * (size_t)qn_model_n_outputs(model);
    if (n * width > MANY_NUMBERS || n * inputs > MANY_NUMBERS)
        return;
    qn_error err = {0};
    qn_cleanup(qn_freep) double *contrib = qn_calloc(n, inputs * sizeof *contrib);
    qn_status status = qn_model_explain(model, frame, NULL, contrib, &err);
    if (status != QN_OK)
        fuzz_require_told(status, &err);
}

/* One value of the frame into the rows; *same is cleared when a cell cannot say it: a hostile
 * dictionary may hold "NA", texts with spaces around them, or no UTF-8. */
static void set_cell(const qn_cell_rules *rules, const qn_column *column, qn_rows *rows, int64_t r,
                     int32_t i, bool *same) {
    qn_error err = {0};
    qn_status status = QN_OK;
    if (!qn_column_is_valid(column, r))
        return;
    if (column->type == QN_TYPE_CATEGORY || column->type == QN_TYPE_TEXT) {
        size_t n = 0;
        qn_cell cell;
        const char *text = qn_column_text(column, r, &n);
        *same = *same && qn_cell_read(rules, column->type, text, n, &cell) == QN_CELL_VALUE &&
                cell.text.n == n;
        status = qn_rows_set_text(rows, r, i, text, n, &err);
        if (status != QN_OK) {
            fuzz_require_told(status, &err);
            *same = false;
        }
        return;
    }
    status = column->type == QN_TYPE_F64    ? qn_rows_set_number(rows, r, i, column->f64[r], NULL)
             : column->type == QN_TYPE_BOOL ? qn_rows_set_bool(rows, r, i, column->b[r], NULL)
                                            : qn_rows_set_i64(rows, r, i, column->i64[r], NULL);
    fuzz_require(status == QN_OK, "a frame's value can be set");
}

/* Rows filled cell by cell get the bits of the frame. */
static void check_rows(const qn_model *model, const qn_frame *frame, const double *batch) {
    size_t n = (size_t)frame->n_rows * (size_t)qn_model_n_outputs(model), n_missing;
    const char *const *missing = qn_model_missing(model, &n_missing);
    qn_cleanup(qn_cell_rules_free) qn_cell_rules *rules = NULL;
    qn_cleanup(qn_rows_free) qn_rows *rows = NULL;
    qn_cleanup(qn_freep) double *scores = qn_new_array(double, n);
    fuzz_require(scores && qn_rows_new(model, &rows, NULL) == QN_OK &&
                     qn_cell_rules_new(missing, n_missing, &rules, NULL) == QN_OK,
                 "memory for rows");
    fuzz_require(qn_rows_add(rows, frame->n_rows, NULL) == QN_OK, "a few rows fit");
    bool same = true;
    for (int32_t i = 0; i < frame->n_columns; i++)
        for (int64_t r = 0; r < frame->n_rows; r++)
            set_cell(rules, &frame->columns[i], rows, r, i, &same);
    fuzz_require(qn_rows_predict(rows, scores, NULL) == QN_OK, "rows are predicted");
    fuzz_require(!same || fuzz_same_numbers(scores, batch, n), "rows get the bits of the frame");
}

/* What is written opens again, is written as the same bytes again and says the same. */
static void check_writing(const qn_model *model, const qn_frame *frame, const double *batch) {
    qn_error err = {0};
    qn_cleanup(qn_buf_done) qn_buf file = {0};
    qn_cleanup(qn_buf_done) qn_buf again = {0};
    qn_cleanup(qn_model_free) qn_model *copy = NULL;
    qn_status status = qn_model_write(model, &file, &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return;
    }
    fuzz_require(qn_model_open_bytes(file.data, file.len, &copy, NULL) == QN_OK,
                 "a written model opens");
    fuzz_require(qn_model_write(copy, &again, NULL) == QN_OK && file.len == again.len &&
                     memcmp(file.data, again.data, file.len) == 0,
                 "a model is written as the same bytes again");
    if (!batch)
        return;
    size_t n;
    qn_cleanup(qn_freep) double *scores = predicted(copy, frame, &n);
    fuzz_require(scores && fuzz_same_numbers(scores, batch, n), "a written model says the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qn_error err = {0};
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_status status = qn_model_open_bytes(data, size, &model, &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return 0;
    }
    qn_cleanup(qn_frame_free)
        qn_frame *frame = fuzz_frame(qn_model_inputs(model), qn_model_pipeline(model));
    size_t n;
    qn_cleanup(qn_freep) double *scores = frame ? predicted(model, frame, &n) : NULL;
    if (scores) {
        check_row_alone(model, frame, scores);
        check_explanation(model, frame);
        check_rows(model, frame, scores);
    }
    check_writing(model, frame, scores);
    return 0;
}

/* --- mutation: sections change, the container around them is made anew ------------------------ */

static size_t emit(const qn_section *sections, size_t n_sections, uint8_t *data, size_t max_size) {
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    if (qn__container_write(sections, n_sections, &out, NULL) != QN_OK || out.len > max_size)
        return 0;
    memcpy(data, out.data, out.len);
    return out.len;
}

/* Header checksums only: a damaged container that says it is whole. */
static size_t mutate_bytes(uint8_t *data, size_t size, size_t max_size, bool repair) {
    size = LLVMFuzzerMutate(data, size, max_size);
    if (!repair || size < QN_MODEL_HEADER_BYTES)
        return size;
    uint32_t n_sections;
    memcpy(&n_sections, data + 12, sizeof n_sections);
    uint64_t bytes = size, hash;
    memcpy(data + 32, &bytes, sizeof bytes);
    size_t table = (size_t)n_sections * QN_MODEL_ENTRY_BYTES;
    if (n_sections <= QN_MODEL_MAX_SECTIONS && QN_MODEL_HEADER_BYTES + table <= size) {
        hash = qn_hash64(data + QN_MODEL_HEADER_BYTES, table, 0);
        memcpy(data + 48, &hash, sizeof hash);
    }
    hash = qn_hash64(data, QN_MODEL_HEADER_BYTES - 8, 0);
    memcpy(data + QN_MODEL_HEADER_BYTES - 8, &hash, sizeof hash);
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    qn_section sections[QN_MODEL_MAX_SECTIONS];
    size_t n_sections, n;
    if (seed % 8 == 0 || qn__container_read(data, size, sections, &n_sections, NULL) != QN_OK ||
        n_sections == 0)
        return mutate_bytes(data, size, max_size, seed % 16 != 0);
    qn_section *section = &sections[seed / 8 % n_sections];
    size_t max = section->len + 256;
    qn_cleanup(qn_freep) uint8_t *bytes = qn_calloc(max, 1);
    if (!bytes)
        return size;
    memcpy(bytes, section->data, section->len);
    section->len = LLVMFuzzerMutate(bytes, section->len, max);
    section->data = bytes;
    n = emit(sections, n_sections, data, max_size);
    return n ? n : size;
}

/* One section of the other parent takes the place of ours. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b,
                                 uint8_t *out, size_t max_size, unsigned seed) {
    qn_section ours[QN_MODEL_MAX_SECTIONS], theirs[QN_MODEL_MAX_SECTIONS];
    size_t n_ours, n_theirs;
    if (qn__container_read(a, n_a, ours, &n_ours, NULL) != QN_OK ||
        qn__container_read(b, n_b, theirs, &n_theirs, NULL) != QN_OK || n_ours == 0)
        return 0;
    qn_section *section = &ours[seed % n_ours];
    for (size_t i = 0; i < n_theirs; i++)
        if (strcmp(theirs[i].name, section->name) == 0)
            *section = theirs[i];
    return emit(ours, n_ours, out, max_size);
}
