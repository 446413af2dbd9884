/* Requests from strangers: JSON, and texts as cells, asked of two small models - one whose inputs go
 * into the learner as they are, one with texts and times. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "learn/learner.h"
#include "model/model.h"

enum { N_MODELS = 2 };

static char names[6][8] = {"flag", "count", "Amount", "city", "note", "when"};
static qn_model *models[N_MODELS];

static void must(qn_status status) {
    fuzz_require(status == QN_OK, "the models of this target can be made");
}

static qn_model *make_model(const qn_frame *frame, size_t n_inputs) {
    const char *inputs[6];
    double y[FUZZ_ROWS] = {0, 1, 0, 1, 1, 0};
    char negative[] = "no", positive[] = "y\"es", *classes[] = {negative, positive};
    char target_name[] = "answer";
    const qn_target_info target = {target_name, QN_TASK_BINARY, 2, classes};
    const qn_family *family;
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    qn_model *model = NULL;
    qn_model_parts parts = {.target = &target, .negatives_rate = 1, .threshold = 0.5};
    for (int i = 0; i < 6; i++)
        inputs[i] = names[i];
    must(qn_family_find("stump", &family, NULL));
    must(qn_pipeline_spec_auto(frame, inputs, n_inputs, family->takes, &spec, NULL));
    must(qn_pipeline_fit(spec, frame, NULL, FUZZ_ROWS, y, &target, 1, NULL, &parts.pipeline, &x,
                         NULL));
    const qn_fit_input input = {
        .train = {x, y, NULL}, .task = QN_TASK_BINARY, .n_classes = 2, .seed = 1};
    must(qn_learner_fit(family, NULL, &input, NULL, &parts.learner, NULL));
    must(qn_model_new(&parts, &model, NULL));
    return model;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    qn_schema_column columns[6];
    for (int i = 0; i < 6; i++)
        columns[i] = (qn_schema_column){names[i], (qn_type)i};
    qn_cleanup(qn_frame_free) qn_frame *frame = fuzz_frame(&(qn_schema){6, columns}, NULL);
    for (int m = 0; m < N_MODELS; m++)
        models[m] = make_model(frame, m ? 6 : 4);
    return 0;
}

/* A list answers a list, an object an object; what is written is JSON. */
static void ask_json(const qn_model *model, unsigned flags, const char *text, size_t n) {
    qn_error err = {0};
    qn_options options = QN_OPTIONS_INIT;
    options.absent_is_missing = flags & 1;
    options.refuse_extra = flags & 2;
    options.explain = flags & 4;
    qn_cleanup(qn_text_free) char *answer = NULL;
    qn_status status = qn_predict_json(model, text, n, &options, &answer, &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        fuzz_require(!answer, "outputs are untouched on failure");
        return;
    }
    qn_cleanup(qn_json_free) json_t *json = NULL;
    fuzz_require(qn_json_parse(answer, strlen(answer), NULL, &json, NULL) == QN_OK,
                 "an answer is JSON");
    const json_t *first = json_is_array(json) ? json_array_get(json, 0) : json;
    fuzz_require(!first || json_object_get(first, "prediction"), "a row has a prediction");
    fuzz_require(!first || !options.explain || json_object_get(first, "explanation"),
                 "it is explained when that is asked for");
}

/* Lines are cells, in turn. A row of them, set again, says the same. */
static void ask_cells(const qn_model *model, const char *text) {
    qn_error err = {0};
    const int32_t n_inputs = qn_model_n_inputs(model);
    double scores[2];
    qn_cleanup(qn_rows_free) qn_rows *rows = NULL;
    must(qn_rows_new(model, &rows, NULL));
    for (int turn = 0; turn < 2; turn++) {
        qn_rows_clear(rows);
        must(qn_rows_add(rows, 1, NULL));
        int32_t i = 0;
        for (const char *at = text; i < n_inputs; i++) {
            const size_t n = strcspn(at, "\n");
            qn_status status = qn_rows_set_text(rows, 0, i, at, n, &err);
            if (status != QN_OK)
                fuzz_require_told(status, &err);
            at += n + (at[n] == '\n');
        }
        must(qn_rows_predict(rows, &scores[turn], NULL));
    }
    fuzz_require(fuzz_same_numbers(&scores[0], &scores[1], 1), "the same cells get the same bits");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const unsigned flags = (unsigned)fuzz_take(&data, &size, 1);
    const qn_model *model = models[flags >> 3 & 1];
    qn_cleanup(qn_freep) char *text = fuzz_text(data, size);
    if (flags & 16)
        ask_cells(model, text);
    else
        ask_json(model, flags, text, size);
    return 0;
}
