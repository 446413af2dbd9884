/* A table with every kind of column, and models trained on it: for the tests and the golden files.
 * The table comes from our own seeded generator, so it never changes. */
#ifndef QN_TESTS_MODEL_MODELS_H
#define QN_TESTS_MODEL_MODELS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/model.h"

enum { MODEL_ROWS = 600 };

static const char *const model_inputs[] = {"number", "count", "flag", "city", "when"};

static inline void must(qn_status status, const qn_error *err) {
    if (status != QN_OK) {
        fprintf(stderr, "%s\n", err->message);
        fail_msg("%s", err->message);
    }
}

/* number (with missing values), count, flag, city (with missing values), when, and a target for
 * each task: answer, colour, price. */
static inline qn_frame *model_table(void) {
    static const char *const names[] = {"number", "count",  "flag",   "city",
                                        "when",   "answer", "colour", "price"};
    static const qn_type types[] = {QN_TYPE_F64,      QN_TYPE_I64,  QN_TYPE_BOOL,
                                    QN_TYPE_CATEGORY, QN_TYPE_TIME, QN_TYPE_CATEGORY,
                                    QN_TYPE_CATEGORY, QN_TYPE_F64};
    static const char *const cities[] = {"Roma", "K\xc3\xb6ln", "Paris", "Oslo, \"north\""};
    static const char *const colours[] = {"red", "green", "blue"};
    qn_error err = {0};
    qn_frame_builder *b = NULL;
    qn_frame *frame = NULL;
    qn_rng rng;
    qn_rng_init(&rng, 2026);
    must(qn_frame_builder_new(&b, &err), &err);
    for (int32_t i = 0; i < 8; i++)
        must(qn_frame_builder_add_column(b, names[i], types[i], &err), &err);
    for (int i = 0; i < MODEL_ROWS; i++) {
        double number = qn_rng_uniform(&rng), count = (double)qn_rng_below(&rng, 9);
        uint64_t flag = qn_rng_below(&rng, 2), city = qn_rng_below(&rng, 4);
        double z = 3 * number + (double)flag - 0.4 * count + (city == 2) + qn_rng_uniform(&rng) - 1;
        const char *colour = colours[z > 1.5 ? 0 : z > 0 ? 1 : 2], *answer = z > 0 ? "yes" : "no";
        must(qn_frame_builder_number(b, 0, i % 11 == 3 ? NAN : number, &err), &err);
        must(qn_frame_builder_number(b, 1, count, &err), &err);
        must(qn_frame_builder_number(b, 2, (double)flag, &err), &err);
        must(i % 13 == 5 ? qn_frame_builder_null(b, 3, &err)
                         : qn_frame_builder_text(b, 3, cities[city], strlen(cities[city]), &err),
             &err);
        must(qn_frame_builder_i64(b, 4, 1700000000000000 + (int64_t)i * 3600000000, &err), &err);
        must(qn_frame_builder_text(b, 5, answer, strlen(answer), &err), &err);
        must(qn_frame_builder_text(b, 6, colour, strlen(colour), &err), &err);
        must(qn_frame_builder_number(b, 7, 10 + z, &err), &err);
    }
    must(qn_frame_builder_finish(b, &frame, &err), &err);
    qn_frame_builder_free(&b);
    return frame;
}

static const char *const model_targets[] = {
    [QN_TASK_BINARY] = "answer", [QN_TASK_MULTICLASS] = "colour", [QN_TASK_REGRESSION] = "price"};

/* Trains a small model of a family for a task on some inputs; `steps` as in pipeline.h, NULL for the
 * automatic choice. Calibrated for classes; binary with a rate of negatives and a threshold of its
 * own. */
/* What a test's model remembers as missing; set before training. */
static const char *const *model_missing;
static size_t model_n_missing;
/* Multiclass: whether counts and flags are initial scores of the three classes; set before training. */
static bool model_has_init;

static inline int32_t model_feature(const qn_pipeline *pipeline, const char *name) {
    int32_t n, f = 0;
    const qn_feature *features = qn_pipeline_features(pipeline, &n);
    while (f < n - 1 && strcmp(features[f].name, name) != 0)
        f++;
    return f;
}

static inline qn_status model_train_on(const qn_frame *frame, const char *const *inputs,
                                       size_t n_inputs, const json_t *steps,
                                       const char *family_name, qn_task task, const qn_job *job,
                                       qn_model **ret_model, qn_error *err) {
    const qn_family *family = NULL;
    qn_cleanup(qn_target_info_done) qn_target_info target = {0};
    qn_cleanup(qn_freep) double *y = NULL;
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL;
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    qn_cleanup(qn_learner_free) qn_learner *learner = NULL;
    qn_cleanup(qn_calibrator_free) qn_calibrator *calibrator = NULL;
    qn_target_options options = {.column = model_targets[task], .kind = qn_task_name(task)};
    QN_TRY(qn_family_find(family_name, &family, err));
    QN_TRY(qn_target_infer(frame, &options, &target, err));
    QN_TRY(qn_target_values(frame, &target, &y, err));
    QN_TRY(steps ? qn_pipeline_spec_parse(steps, frame, inputs, n_inputs, family->takes, &spec, err)
                 : qn_pipeline_spec_auto(frame, inputs, n_inputs, family->takes, &spec, err));
    QN_TRY(
        qn_pipeline_fit(spec, frame, NULL, frame->n_rows, y, &target, 1, job, &pipeline, &x, err));
    qn_fit_input input = {
        .train = {x, y, NULL}, .task = task, .n_classes = target.n_classes, .seed = 1};
    const int32_t count = model_feature(pipeline, "count"), flag = model_feature(pipeline, "flag");
    const int32_t init[] = {count, flag, count};
    input.init_features = init;
    input.n_init = model_has_init ? 3 : 0;
    qn_cleanup(qn_json_free)
        json_t *params = strcmp(family_name, "gbdt")
                             ? NULL
                             : json_pack("{s:i, s:i}", "n_estimators", 10, "num_leaves", 7);
    QN_TRY(qn_learner_fit(family, params, &input, job, &learner, err));
    if (task != QN_TASK_REGRESSION) {
        qn_cleanup(qn_freep) double *p = qn_calloc((size_t)x->n_rows,
                                                   (size_t)learner->n_outputs * sizeof *p);
        if (!p)
            return qn_error_memory(err);
        qn_learner_predict(learner, x, true, job, p);
        QN_TRY(qn_calibrator_fit(task == QN_TASK_BINARY ? QN_CALIBRATION_ISOTONIC
                                                        : QN_CALIBRATION_PLATT,
                                 y, p, NULL, x->n_rows, learner->n_outputs, &calibrator, err));
    }
    qn_model_parts parts = {.target = &target, .negatives_rate = task == QN_TASK_BINARY ? 0.3 : 1,
                            .threshold = task == QN_TASK_BINARY ? 0.21 : 0.5};
    parts.missing = model_missing;
    parts.n_missing = model_n_missing;
    parts.pipeline = qn_steal(&pipeline);
    parts.learner = qn_steal(&learner);
    parts.calibrator = qn_steal(&calibrator);
    parts.about = json_pack("{s:s, s:{s:f}}", "project", "tests", "metrics", "auc", 0.75);
    return qn_model_new(&parts, ret_model, err);
}

/* On all five inputs, chosen automatically. */
static inline qn_status model_train(const qn_frame *frame, const char *family_name, qn_task task,
                                    const qn_job *job, qn_model **ret_model, qn_error *err) {
    return model_train_on(frame, model_inputs, 5, NULL, family_name, task, job, ret_model, err);
}

#endif
