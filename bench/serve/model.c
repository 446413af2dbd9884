/* A model for timing the server: family gbdt on 28 numeric columns x0 ... x27, binary.
 *     bench_serve_model OUT.qn [rows] [trees] [leaves]
 * 100 trees of 255 leaves by default. The target is noisy and leaves may have one row, so that every
 * tree grows to its full number of leaves. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/model.h"

enum { N_COLUMNS = 28 };

static qn_status make_frame(int64_t n, qn_frame **ret_frame, qn_error *err) {
    qn_cleanup(qn_frame_builder_free) qn_frame_builder *b = NULL;
    char name[16];
    QN_TRY(qn_frame_builder_new(&b, err));
    for (int32_t j = 0; j <= N_COLUMNS; j++) {
        snprintf(name, sizeof name, j < N_COLUMNS ? "x%d" : "y", j);
        QN_TRY(qn_frame_builder_add_column(b, name, j < N_COLUMNS ? QN_TYPE_F64 : QN_TYPE_CATEGORY,
                                           err));
    }
    for (int64_t i = 0; i < n; i++) {
        double s = 0;
        for (int32_t j = 0; j < N_COLUMNS; j++) {
            double x = 6 * qn_rng_hash_uniform((uint64_t)j + 1, (uint64_t)i) - 3;
            s += x * cos(j * 1.7) * 0.4;
            QN_TRY(qn_frame_builder_number(b, j, x, err));
        }
        const char *y = qn_rng_hash_uniform(0, (uint64_t)i) < 1 / (1 + exp(-s)) ? "yes" : "no";
        QN_TRY(qn_frame_builder_text(b, N_COLUMNS, y, strlen(y), err));
    }
    return qn_frame_builder_finish(b, ret_frame, err);
}

static qn_status make_model(const qn_frame *frame, int trees, int leaves, qn_model **ret_model,
                            qn_error *err) {
    const qn_family *family;
    char names[N_COLUMNS][8];
    const char *inputs[N_COLUMNS];
    qn_cleanup(qn_target_info_done) qn_target_info target = {0};
    qn_cleanup(qn_freep) double *y = NULL;
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    qn_cleanup(qn_json_free) json_t *params = json_pack(
        "{s:i, s:i, s:i}", "n_estimators", trees, "num_leaves", leaves, "min_data_in_leaf", 1);
    qn_target_options options = {.column = "y", .kind = "binary"};
    qn_job job = {.n_threads = 2};
    qn_model_parts parts = {.target = &target, .negatives_rate = 1, .threshold = 0.5};
    for (int j = 0; j < N_COLUMNS; j++) {
        snprintf(names[j], sizeof names[j], "x%d", j);
        inputs[j] = names[j];
    }
    QN_TRY(qn_family_find("gbdt", &family, err));
    QN_TRY(qn_target_infer(frame, &options, &target, err));
    QN_TRY(qn_target_values(frame, &target, &y, err));
    QN_TRY(qn_pipeline_spec_auto(frame, inputs, N_COLUMNS, family->takes, &spec, err));
    QN_TRY(qn_pipeline_fit(spec, frame, NULL, frame->n_rows, y, &target, 1, &job, &parts.pipeline,
                           &x, err));
    qn_fit_input input = {.train = {x, y, NULL}, .task = QN_TASK_BINARY, .n_classes = 2, .seed = 1};
    qn_status status = qn_learner_fit(family, params, &input, &job, &parts.learner, err);
    if (status != QN_OK) {
        qn_pipeline_free(&parts.pipeline);
        return status;
    }
    parts.about = json_pack("{s:s}", "project", "bench");
    return qn_model_new(&parts, ret_model, err);
}

int main(int argc, char **argv) {
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_error err = {0};
    int64_t rows = argc > 2 ? atoll(argv[2]) : 50000;
    int trees = argc > 3 ? atoi(argv[3]) : 100, leaves = argc > 4 ? atoi(argv[4]) : 255;
    if (argc < 2) {
        fprintf(stderr, "usage: bench_serve_model OUT.qn [rows] [trees] [leaves]\n");
        return 2;
    }
    if (make_frame(rows, &frame, &err) != QN_OK ||
        make_model(frame, trees, leaves, &model, &err) != QN_OK ||
        qn_model_save(model, argv[1], &err) != QN_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    return 0;
}
