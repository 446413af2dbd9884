/* Memory that runs out anywhere, also inside jansson: every entry point then says so, leaks nothing
 * (the sanitizer build looks), and never succeeds with part of its answer missing. */
#include "../model/models.h"

#include <unistd.h>

#include "base/file.h"
#include "data/profile.h"
#include "data/sample.h"
#include "data/split.h"
#include "evaluate/confusion.h"
#include "evaluate/curve.h"
#include "evaluate/expr.h"
#include "evaluate/importance.h"
#include "evaluate/slice.h"
#include "evaluate/value.h"
#include "flow/config.h"
#include "flow/config_new.h"
#include "flow/environment.h"
#include "flow/expand.h"
#include "report/report.h"
#include "store/workspace.h"

/* What attempts work on; made once. */
typedef struct scene {
    qn_frame *frame;
    qn_target_info target;
    double *y;             /* 0 or 1 */
    double scores[MODEL_ROWS];
    qn_model *model;
    qn_buf file;           /* of the model */
    const char *folder;
} scene;

/* Appends the whole answer to `out`. */
typedef qn_status (*attempt)(const scene *s, qn_buf *out, qn_error *err);

/* jansson's memory fails with ours. */
static void *take(size_t n) {
    return qn_calloc(n, 1);
}

static void give(void *memory) {
    free(memory);
}

/* More and more allocations succeed, the first 60 one by one, then in growing steps, until all is
 * well. */
static void sweep(const scene *s, attempt work) {
    qn_cleanup(qn_buf_done) qn_buf whole = {0};
    qn_error err = {0};
    must(work(s, &whole, &err), &err);
    for (int64_t i = 0;; i += 1 + (i >= 60) * i / 20) {
        qn_cleanup(qn_buf_done) qn_buf out = {0};
        qn_mem_fail_after(i);
        qn_status status = work(s, &out, &err);
        qn_mem_fail_after(-1);
        if (status == QN_OK) {
            assert_string_equal(qn_buf_text(&out), qn_buf_text(&whole));
            return;
        }
        if (status != QN_ERR_MEMORY)
            fail_msg("allocation %lld: %s", (long long)i, err.message);
        assert_true(i < 10000000);
    }
}

/* Takes the reference. */
static qn_status tell(json_t *json, qn_buf *out, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *owned = json;
    if (!json)
        return qn_error_memory(err);
    qn_json_write(json, QN_JSON_PRETTY, out);
    return qn_buf_status(out, err);
}

/* --- config ----------------------------------------------------------------------------------- */

static const char config_text[] =
    "project: fraud\nseed: 7\n"
    "task: {target: Class, kind: binary, positive: 1}\n"
    "data:\n  source: rows.csv\n  time: Time\n  drop: [id, \"two words\"]\n  missing: [-999, "
    "none]\n"
    "  types: {zip: category, n: integer}\n"
    "sample: {negatives: 0.1, seed: 1}\n"
    "split: {method: time, test: 0.25, validate: 0.1}\n"
    "features:\n  - columns: [age]\n    transforms: [{impute: median, indicator: true}, standard]\n"
    "value: {currency: EUR, true_positive: Amount - 5, false_positive: -5}\n"
    "train:\n  families:\n    gbdt: {num_leaves: 7}\n    linear: {}\n  metric: pr_auc\n  budget: "
    "60s\n"
    "  limits: {memory: 4GB}\n"
    "register: {name: fraud, alias: champion, when: better}\n";

static qn_status config_attempt(const scene *s, qn_buf *out, qn_error *err) {
    qn_cleanup(qn_config_free) qn_config *config = NULL;
    QN_TRY(qn_config_parse(config_text, strlen(config_text), "box/quern.yaml", &config, err));
    QN_TRY(qn_config_set(config, "seed", "8", err));
    QN_TRY(qn_config_set(config, "train.budget", "2m", err));
    QN_TRY(qn_config_set(config, "task.positive", "0", err));
    QN_TRY(qn_config_check_task(config, QN_TASK_BINARY, err));
    return tell(qn_config_to_json(config), out, err);
}

static qn_status config_documents_attempt(const scene *s, qn_buf *out, qn_error *err) {
    qn_config_reference(out);
    return tell(qn_config_schema(), out, err);
}

static qn_status config_new_attempt(const scene *s, qn_buf *out, qn_error *err) {
    static const char *const names[] = {"id", "when", "Class"};
    static const qn_type types[] = {QN_TYPE_I64, QN_TYPE_TIME, QN_TYPE_CATEGORY};
    static const qn_config_suspect suspects[] = {{"id", "a different value in every row", true}};
    const qn_config_facts facts = {.project = "fraud",
                                   .source = "rows.csv",
                                   .target = "Class",
                                   .kind = QN_TASK_BINARY,
                                   .positive = "1",
                                   .negative = "0",
                                   .positive_share = 0.01,
                                   .n_rows = 1000,
                                   .names = names,
                                   .types = types,
                                   .n_columns = 3,
                                   .time = "when",
                                   .suspects = suspects,
                                   .n_suspects = 1};
    qn_cleanup(qn_freep) char *path = NULL;
    QN_TRY(qn_config_new_text(&facts, out, err));
    QN_TRY(qn_expand_path("data.source", "${HOME}/rows.csv", &path, err));
    qn_buf_put_text(out, path);
    return qn_buf_status(out, err);
}

/* --- data ------------------------------------------------------------------------------------- */

static qn_status profile_attempt(const scene *s, qn_buf *out, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *profile = NULL;
    QN_TRY(qn_profile_make(s->frame, "answer", &s->target, s->y, NULL, NULL, &profile, err));
    qn_profile_text(profile, 100, out);
    return tell(json_incref(profile), out, err);
}

static qn_status split_attempt(const scene *s, qn_buf *out, qn_error *err) {
    for (int method = 0; method < 4; method++) {
        const qn_split_options options = {.method = (qn_split_method)method,
                                          .test = 0.2,
                                          .validate = 0.1,
                                          .seed = 1,
                                          .folds = 3,
                                          .time = "when",
                                          .group = "city"};
        qn_cleanup(qn_split_done) qn_split split = {0};
        qn_cleanup(qn_freep) int32_t *fold = NULL;
        QN_TRY(qn_split_make(&options, MODEL_ROWS, s->y, QN_TASK_BINARY, 2, &s->frame->columns[4],
                             &s->frame->columns[3], &split, err));
        QN_TRY(qn_folds_make(&options, MODEL_ROWS, NULL, MODEL_ROWS, s->y, QN_TASK_BINARY, 2,
                             &s->frame->columns[4], &s->frame->columns[3], &fold, err));
        QN_TRY(tell(qn_split_to_json(&split), out, err));
    }
    qn_cleanup(qn_freep) int64_t *rows = NULL;
    int64_t n;
    QN_TRY(qn_sample_stratified(s->y, MODEL_ROWS, 2, 50, 1, &rows, &n, err));
    qn_buf_printf(out, "%d", (int)n);
    return qn_buf_status(out, err);
}

/* --- features and learners -------------------------------------------------------------------- */

static qn_status pipeline_attempt(const scene *s, qn_buf *out, qn_error *err) {
    static const char steps[] =
        "[{\"columns\": [\"number\"], \"transforms\": [{\"impute\": \"median\", "
        "\"indicator\": true}, \"standard\"]},"
        "{\"columns\": [\"city\"], \"transforms\": [\"target\"]},"
        "{\"columns\": [\"city\", \"flag\"], \"transforms\": [\"cross\", {\"one_hot\": "
        "{\"min_count\": 2}}]},"
        "{\"columns\": [\"when\"], \"transforms\": [\"date\"]}]";
    qn_cleanup(qn_json_free) json_t *json = NULL;
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = NULL;
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *train = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    int64_t rows[40];
    for (int i = 0; i < 40; i++)
        rows[i] = 7 * i;
    QN_TRY(qn_json_parse(steps, strlen(steps), "steps", &json, err));
    QN_TRY(qn_pipeline_spec_parse(json, s->frame, model_inputs, 5, 0, &spec, err));
    QN_TRY(tell(qn_pipeline_spec_to_json(spec), out, err));
    QN_TRY(qn_pipeline_fit(spec, s->frame, rows, 40, s->y, &s->target, 1, NULL, &pipeline, &train,
                           err));
    QN_TRY(qn_pipeline_apply(pipeline, s->frame, rows, 40, NULL, &x, err));
    for (int32_t i = 0; i < qn_pipeline_inputs(pipeline)->n_columns; i++)
        QN_TRY(tell(qn_pipeline_describe_input(pipeline, i), out, err));
    return tell(qn_pipeline_dropped(pipeline), out, err);
}

static qn_status fit_one(const scene *s, const char *family, qn_task task, qn_buf *out,
                         qn_error *err) {
    qn_cleanup(qn_frame_free) qn_frame *few = NULL;
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    int64_t rows[60];
    for (int i = 0; i < 60; i++)
        rows[i] = 3 * i;
    QN_TRY(qn_frame_take(s->frame, rows, 60, &few, err));
    QN_TRY(model_train(few, family, task, NULL, &model, err));
    QN_TRY(tell(qn_model_learner(model)->family->describe(qn_model_learner(model)), out, err));
    return tell(json_incref((json_t *)(uintptr_t)qn_model_manifest(model)), out, err);
}

static qn_status gbdt_attempt(const scene *s, qn_buf *out, qn_error *err) {
    return fit_one(s, "gbdt", QN_TASK_MULTICLASS, out, err);
}

static qn_status linear_attempt(const scene *s, qn_buf *out, qn_error *err) {
    return fit_one(s, "linear", QN_TASK_BINARY, out, err);
}

static qn_status stump_attempt(const scene *s, qn_buf *out, qn_error *err) {
    return fit_one(s, "stump", QN_TASK_REGRESSION, out, err);
}

/* --- model ------------------------------------------------------------------------------------ */

static qn_status model_attempt(const scene *s, qn_buf *out, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_json_free) json_t *told = NULL;
    qn_cleanup(qn_buf_done) qn_buf file = {0};
    qn_cleanup(qn_frame_free) qn_frame *few = NULL;
    double scores[4], contrib[4 * 6];
    QN_TRY(qn_frame_take(s->frame, (int64_t[]){0, 1, 2, 3}, 4, &few, err));
    QN_TRY(qn_model_open_bytes(s->file.data, s->file.len, &model, err));
    QN_TRY(qn_json_parse("{\"baseline\": {\"x\": [1, 2]}}", 27, "told", &told, err));
    QN_TRY(qn_model_tell(model, told, err));
    QN_TRY(qn_model_predict(model, few, NULL, scores, err));
    QN_TRY(qn_model_explain(model, few, NULL, contrib, err));
    QN_TRY(qn_model_write(model, &file, err));
    for (int i = 0; i < 4; i++)
        qn_buf_printf(out, "%.17g %.17g\n", scores[i], contrib[6 * i]);
    return tell(json_incref((json_t *)(uintptr_t)qn_model_manifest(model)), out, err);
}

/* --- evaluation ------------------------------------------------------------------------------- */

static qn_eval_input eval_of(const scene *s) {
    return (qn_eval_input){.task = QN_TASK_BINARY, .n_classes = 2, .n = MODEL_ROWS, .y = s->y,
                           .scores = s->scores, .threshold = 0.5};
}

static qn_status curves_attempt(const scene *s, qn_buf *out, qn_error *err) {
    const qn_eval_input in = eval_of(s);
    qn_cleanup(qn_json_free) json_t *shown = NULL;
    qn_cleanup(qn_json_free) json_t *curves = NULL;
    qn_cleanup(qn_json_free) json_t *matrix = NULL;
    qn_interval difference;
    QN_TRY(qn_evaluate_metrics(&in, 3, 1, NULL, &shown, err));
    QN_TRY(tell(json_incref(shown), out, err));
    const qn_metric *metric = qn_metric_default(QN_TASK_BINARY);
    QN_TRY(qn_evaluate_difference(metric, &in, &in, 3, 1, NULL, &difference, err));
    QN_TRY(qn_curves_make(&in, &s->target, 1, &curves, err));
    QN_TRY(tell(json_incref(curves), out, err));
    QN_TRY(qn_confusion_make(&in, &s->target, &matrix, err));
    return tell(json_incref(matrix), out, err);
}

static qn_status value_attempt(const scene *s, qn_buf *out, qn_error *err) {
    static const char text[] = "{\"currency\": \"EUR\", "
                               "\"true_positive\": \"count - 1\", \"false_positive\": -2}";
    static const char *const columns[] = {"count", "flag"};
    qn_cleanup(qn_json_free) json_t *json = NULL;
    qn_cleanup(qn_json_free) json_t *value = NULL;
    qn_cleanup(qn_value_spec_free) qn_value_spec *spec = NULL;
    qn_cleanup(qn_freep) double *money = NULL;
    const qn_value_rows rows = {s->frame, NULL, MODEL_ROWS, s->y, s->scores};
    const qn_value_options options = {.threshold = NAN, .n_rounds = 3, .seed = 1};
    double threshold;
    QN_TRY(qn_json_parse(text, strlen(text), "value", &json, err));
    QN_TRY(qn_value_spec_parse(json, &s->target, columns, 2, &spec, err));
    QN_TRY(qn_value_evaluate(spec, &rows, &rows, &options, NULL, &threshold, &value, err));
    QN_TRY(qn_value_money(spec, &rows, threshold, &money, err));
    return tell(json_incref(value), out, err);
}

static qn_status slices_attempt(const scene *s, qn_buf *out, qn_error *err) {
    const qn_slice_input in = {.frame = s->frame,
                               .columns = model_inputs,
                               .n_columns = 5,
                               .eval = eval_of(s),
                               .metric = qn_metric_default(QN_TASK_BINARY),
                               .n_rounds = 3,
                               .seed = 1};
    qn_cleanup(qn_json_free) json_t *slices = NULL;
    QN_TRY(qn_slices_find(&in, NULL, &slices, err));
    return tell(json_incref(slices), out, err);
}

static qn_status score(void *user, const qn_frame *frame, double *scores, qn_error *err) {
    return qn_model_predict(((const scene *)user)->model, frame, NULL, scores, err);
}

static qn_status explain(void *user, const qn_frame *frame, double *contrib, qn_error *err) {
    return qn_model_explain(((const scene *)user)->model, frame, NULL, contrib, err);
}

static qn_status importance_attempt(const scene *s, qn_buf *out, qn_error *err) {
    enum { N = 60 };
    int64_t rows[N];
    for (int i = 0; i < N; i++)
        rows[i] = i;
    qn_cleanup(qn_frame_free) qn_frame *few = NULL;
    qn_cleanup(qn_json_free) json_t *importance = NULL;
    qn_cleanup(qn_json_free) json_t *dependence = NULL;
    QN_TRY(qn_frame_take(s->frame, rows, N, &few, err));
    qn_importance_input in = {.frame = few,
                              .inputs = model_inputs,
                              .n_inputs = 5,
                              .eval = eval_of(s),
                              .metric = qn_metric_default(QN_TASK_BINARY),
                              .score = score,
                              .explain = explain,
                              .user = (void *)(uintptr_t)s,
                              .n_repeats = 1,
                              .seed = 1};
    in.eval.n = N;
    QN_TRY(qn_importance_make(&in, NULL, &importance, err));
    QN_TRY(
        qn_dependence_make(&in, (const char *[]){"city", "number"}, 2, 0, NULL, &dependence, err));
    QN_TRY(tell(json_incref(importance), out, err));
    return tell(json_incref(dependence), out, err);
}

static qn_status calibrator_attempt(const scene *s, qn_buf *out, qn_error *err) {
    for (int kind = QN_CALIBRATION_PLATT; kind <= QN_CALIBRATION_ISOTONIC; kind++) {
        qn_cleanup(qn_calibrator_free) qn_calibrator *made = NULL;
        qn_cleanup(qn_calibrator_free) qn_calibrator *again = NULL;
        QN_TRY(qn_calibrator_fit((qn_calibration_kind)kind, s->y, s->scores, NULL, MODEL_ROWS, 1,
                                 &made, err));
        qn_cleanup(qn_json_free) json_t *json = qn_calibrator_to_json(made);
        if (!json)
            return qn_error_memory(err);
        QN_TRY(qn_calibrator_from_json(json, 1, &again, err));
        QN_TRY(tell(qn_calibrator_to_json(again), out, err));
    }
    return QN_OK;
}

/* --- store and report ------------------------------------------------------------------------- */

static qn_status store_attempt(const scene *s, qn_buf *out, qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *w = NULL;
    qn_cleanup(qn_json_free) json_t *about = NULL;
    qn_cleanup(qn_json_free) json_t *model = NULL;
    qn_cleanup(qn_json_free) json_t *diff = NULL;
    qn_cleanup(qn_json_free) json_t *events = NULL;
    qn_cleanup(qn_json_free) json_t *report = NULL;
    qn_cleanup(qn_json_free) json_t *run = NULL;
    qn_cleanup(qn_json_free) json_t *runs = NULL;
    static const char text[] = "{\"family\": \"gbdt\", "
                               "\"metrics\": {\"test\": {\"roc_auc\": {\"value\": 0.5}}}}";
    char hash[QN_DIGEST_TEXT], id[64], folder[64];
    int64_t version;
    snprintf(folder, sizeof folder, "%s/XXXXXX", s->folder); /* a fresh one for every attempt */
    assert_non_null(mkdtemp(folder));
    QN_TRY(qn_json_parse(text, strlen(text), "about", &about, err));
    QN_TRY(qn_workspace_open(folder, true, &w, err));
    QN_TRY(qn_run_begin(w, "box", about, about, id, err));
    QN_TRY(qn_object_put(w, "x", 1, hash, err));
    QN_TRY(qn_run_add_artifact(w, id, "model", hash, 1, err));
    QN_TRY(qn_run_end(w, id, "done", about, NULL, err));
    QN_TRY(qn_registry_add(w, "m", hash, id, about, "champion", &version, err));
    QN_TRY(qn_registry_add(w, "m", hash, id, about, NULL, &version, err));
    QN_TRY(qn_registry_promote(w, "m", 2, "champion", "better", err));
    QN_TRY(qn_registry_rollback(w, "m", "champion", &version, err));
    QN_TRY(qn_registry_get(w, "m@champion", &model, err));
    QN_TRY(qn_registry_diff(w, "m:1", "m:2", &diff, err));
    QN_TRY(qn_ledger_list(w, "m", &events, err));
    QN_TRY(qn_run_get(w, "last", &run, err));
    QN_TRY(qn_run_list(w, 0, &runs, err));
    QN_TRY(qn_workspace_check(w, &report, err));
    qn_buf_printf(out, "%d of %zu: ", (int)version, json_array_size(events));
    qn_buf_printf(out, "%zu %zu %zu ", json_object_size(model), json_object_size(run),
                  json_array_size(runs));
    QN_TRY(tell(json_incref(report), out, err));
    return tell(json_incref(diff), out, err);
}

static qn_status report_attempt(const scene *s, qn_buf *out, qn_error *err) {
    static const char text[] =
        "{\"run\": \"20261123-014455-7f3a\", \"project\": \"fraud\", "
        "\"task\": {\"kind\": \"binary\", \"target\": \"y\","
        "\"classes\": [\"0\", \"1\"], \"positive\": \"1\"}, \"dataset\": {\"rows\": 10, "
        "\"columns\": 3},"
        "\"metric\": \"log_loss\", \"leaderboard\": [{\"family\": \"gbdt\", \"title\": \"Trees\", "
        "\"chosen\": true,"
        "\"params\": {\"a\": 1}, \"metric\": 0.27}], "
        "\"metrics\": {\"test\": {\"roc_auc\": {\"value\": 0.9, \"low\": 0.8,"
        "\"high\": 1}}}, \"confusion\": {\"labels\": [\"0\", \"1\"], \"counts\": [[3, 1], [2, 4]]},"
        "\"warnings\": [\"w\"], \"timings\": {\"import_s\": 0.9}}";
    qn_cleanup(qn_json_free) json_t *document = NULL;
    QN_TRY(qn_json_parse(text, strlen(text), "document", &document, err));
    return qn_report_write(document, out, err);
}

static qn_status environment_attempt(const scene *s, qn_buf *out, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *json = qn_environment_json(s->folder);
    if (!json)
        return qn_error_memory(err);
    qn_buf_printf(out, "%zu", json_object_size(json));
    return qn_buf_status(out, err);
}

#define SWEEP(name)                                                  \
    static void name(void **state) {                                 \
        sweep(*state, name##_attempt);                               \
    }
SWEEP(config)
SWEEP(config_documents)
SWEEP(config_new)
SWEEP(profile)
SWEEP(split)
SWEEP(pipeline)
SWEEP(gbdt)
SWEEP(linear)
SWEEP(stump)
SWEEP(model)
SWEEP(curves)
SWEEP(value)
SWEEP(slices)
SWEEP(importance)
SWEEP(calibrator)
SWEEP(store)
SWEEP(report)
SWEEP(environment)

static char place[] = "/tmp/quern-memory-XXXXXX";

static int make_scene(void **state) {
    static scene s;
    qn_error err = {0};
    qn_target_options options = {.column = "answer", .kind = "binary"};
    s.frame = model_table();
    must(qn_target_infer(s.frame, &options, &s.target, &err), &err);
    must(qn_target_values(s.frame, &s.target, &s.y, &err), &err);
    must(model_train(s.frame, "gbdt", QN_TASK_BINARY, NULL, &s.model, &err), &err);
    must(qn_model_write(s.model, &s.file, &err), &err);
    must(qn_model_predict(s.model, s.frame, NULL, s.scores, &err), &err);
    s.folder = mkdtemp(place);
    *state = &s;
    return s.folder ? 0 : 1;
}

static int drop_scene(void **state) {
    scene *s = *state;
    qn_cleanup(qn_freep) char *command = qn_format("rm -rf '%s'", s->folder);
    qn_frame_free(&s->frame);
    qn_target_info_done(&s->target);
    qn_freep(&s->y);
    qn_model_free(&s->model);
    qn_buf_done(&s->file);
    return system(command);
}

int main(void) {
    json_set_alloc_funcs(take, give);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config),     cmocka_unit_test(config_documents),
        cmocka_unit_test(config_new), cmocka_unit_test(profile),
        cmocka_unit_test(split),      cmocka_unit_test(pipeline),
        cmocka_unit_test(gbdt),       cmocka_unit_test(linear),
        cmocka_unit_test(stump),      cmocka_unit_test(model),
        cmocka_unit_test(curves),     cmocka_unit_test(value),
        cmocka_unit_test(slices),     cmocka_unit_test(importance),
        cmocka_unit_test(calibrator), cmocka_unit_test(store),
        cmocka_unit_test(report),     cmocka_unit_test(environment),
    };
    return cmocka_run_group_tests(tests, make_scene, drop_scene);
}
