/* seeds.c - writes the binary part of the seed corpus: pipelines with every transform, and the
 * parts of the golden models.
 *
 *     seeds CORPUS_FOLDER GOLDEN.qn...
 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "fuzz.h"
#include "model/model_int.h"

static const char *const features[] = {
    "[{\"columns\": [\"number\"], \"transforms\": [{\"impute\": \"median\", "
    "\"indicator\": true}, \"standard\"]}]",
    "[{\"columns\": [\"number\"], \"transforms\": [{\"impute\": \"mean\"}, \"minmax\"]}]",
    "[{\"columns\": [\"number\"], \"transforms\": [\"robust\"]}, "
    "{\"columns\": [\"number\"], \"transforms\": [\"log\"]}]",
    "[{\"columns\": [\"number\"], \"transforms\": [\"power\"]}]",
    "[{\"columns\": [\"number\"], \"transforms\": [\"quantile\"]}]",
    "[{\"columns\": [\"number\"], \"transforms\": [\"discretise\", \"one_hot\"]}]",
    "[{\"columns\": [\"count\"], \"transforms\": [\"category\"]}]",
    "[{\"columns\": [\"city\"], \"transforms\": [{\"one_hot\": {\"min_count\": 1}}]}]",
    "[{\"columns\": [\"city\"], \"transforms\": [\"ordinal\"]}]",
    "[{\"columns\": [\"city\"], \"transforms\": [{\"hash\": 8}]}]",
    "[{\"columns\": [\"city\"], \"transforms\": [\"target\"]}]",
    "[{\"columns\": [\"city\"], \"transforms\": [\"frequency\"]}]",
    "[{\"columns\": [\"city\", \"flag\"], \"transforms\": [\"cross\", \"one_hot\"]}]",
    "[{\"columns\": [\"when\"], \"transforms\": [\"date\"]}]",
    "[{\"columns\": [\"when\"], \"transforms\": [\"cyclical\"]}]",
    "[{\"columns\": [\"note\"], \"transforms\": [{\"text\": {\"n_buckets\": 16}}]}]",
    "[{\"columns\": [\"note\"], \"transforms\": [\"text_stats\"]}]",
};

static char names[6][8] = {"flag", "count", "number", "city", "note", "when"};

static bool put(const char *folder, const char *target, const char *name, const qn_buf *bytes) {
    char path[512];
    qn_error err = {0};
    snprintf(path, sizeof path, "%s/%s/%s", folder, target, name);
    if (qn_file_write(path, qn_buf_text(bytes), bytes->len, &err) != QN_OK) {
        fprintf(stderr, "%s\n", err.message);
        return false;
    }
    return true;
}

static bool put_pipeline(const char *folder, size_t i, const qn_frame *frame) {
    const char *inputs[6];
    double y[FUZZ_ROWS] = {0, 1, 0, 1, 1, 0};
    char negative[] = "no", positive[] = "yes", *classes[] = {negative, positive}, name[32];
    const qn_target_info target = {names[0], QN_TASK_BINARY, 2, classes};
    for (int k = 0; k < 6; k++)
        inputs[k] = names[k];
    qn_error err = {0};
    qn_cleanup(qn_buf_done) qn_buf bytes = {0};
    qn_cleanup(qn_json_free) json_t *steps = NULL;
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL;
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = NULL;
    unsigned takes = i % 2 ? QN_TAKES_MISSING | QN_TAKES_CATEGORIES : QN_TAKES_SPARSE;
    if (qn_json_parse(features[i], strlen(features[i]), "features", &steps, &err) != QN_OK ||
        qn_pipeline_spec_parse(steps, frame, inputs, 6, takes, &spec, &err) != QN_OK ||
        qn_pipeline_fit(spec, frame, NULL, FUZZ_ROWS, y, &target, 1, NULL, &pipeline, NULL, &err) !=
            QN_OK ||
        qn_pipeline_save(pipeline, &bytes, &err) != QN_OK) {
        fprintf(stderr, "%s: %s\n", features[i], err.message);
        return false;
    }
    snprintf(name, sizeof name, "features_%02zu", i);
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    qn_buf_put_text(&text, features[i]);
    return put(folder, "fuzz_pipeline", name, &bytes) && put(folder, "fuzz_json", name, &text);
}

/* The section as it is in the file, whatever its version. */
static bool put_learner(const char *folder, const char *name, const qn_model *model,
                        const qn_section *section) {
    const qn_learner *learner = qn_model_learner(model);
    qn_cleanup(qn_buf_done) qn_buf bytes = {0};
    int32_t n_features, i_family = 0;
    const qn_feature *list = qn_pipeline_features(qn_model_pipeline(model), &n_features);
    while (qn_families()[i_family] != learner->family)
        i_family++;
    qn_buf_put_char(&bytes, (char)i_family);
    qn_buf_put_char(&bytes, (char)n_features);
    for (int32_t f = 0; f < n_features; f++)
        qn_buf_put_char(&bytes, (char)(list[f].kind + 4 * list[f].n_categories));
    qn_buf_put(&bytes, section->data, section->len);
    return put(folder, "fuzz_learner", name, &bytes);
}

static bool put_model(const char *folder, const char *path) {
    qn_error err = {0};
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_buf_done) qn_buf whole = {0};
    qn_cleanup(qn_buf_done) qn_buf pipeline = {0};
    qn_section sections[QN_MODEL_MAX_SECTIONS];
    size_t n_sections, i_learner = 0;
    char name[64];
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(base, "."), base);
    if (qn_model_open(path, &model, &err) != QN_OK ||
        qn__container_read(model->map.data, model->map.len, sections, &n_sections, &err) != QN_OK ||
        qn_pipeline_save(qn_model_pipeline(model), &pipeline, &err) != QN_OK) {
        fprintf(stderr, "%s\n", err.message);
        return false;
    }
    while (strcmp(sections[i_learner].name, "learner") != 0)
        i_learner++;
    qn_buf_put(&whole, model->map.data, model->map.len);
    return put(folder, "fuzz_model", name, &whole) &&
           put(folder, "fuzz_pipeline", name, &pipeline) &&
           put_learner(folder, name, model, &sections[i_learner]);
}

int main(int argc, char **argv) {
    qn_schema_column columns[6];
    for (int i = 0; i < 6; i++)
        columns[i] = (qn_schema_column){names[i], (qn_type)i};
    qn_cleanup(qn_frame_free) qn_frame *frame = fuzz_frame(&(qn_schema){6, columns}, NULL);
    bool fine = argc > 1;
    for (size_t i = 0; fine && i < sizeof features / sizeof *features; i++)
        fine = put_pipeline(argv[1], i, frame) && fine;
    for (int i = 2; fine && i < argc; i++)
        fine = put_model(argv[1], argv[i]);
    return fine ? 0 : 1;
}
