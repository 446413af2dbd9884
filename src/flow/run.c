/* The run from end to end, and its books: every run, done, failed or cancelled, is in the
 * workspace. */
#include "flow/run.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/mem.h"
#include "data/source.h"
#include "flow/environment.h"
#include "flow/run_int.h"
#include "report/report.h"

void qn__run_time(qn_run_state *run, const char *name) {
    double now = qn_now_s(), before = json_number_value(json_object_get(run->timings, name));
    json_object_set_new(run->timings, name, json_real(before + now - run->stage_s));
    run->stage_s = now;
}

void qn__run_place(const qn_run_state *run, const char *key, qn_error *err) {
    if (!err)
        return;
    char text[sizeof err->message];
    size_t n = strlen(key);
    bool named = strncmp(err->message, key, n) == 0;
    size_t skip = named && err->message[n] == ':'   ? n + 2
                  : named && err->message[n] == ' ' ? n + 1
                                                    : 0;
    snprintf(text, sizeof text, "%s", err->message + skip);
    (void)!qn_config_error(run->config, key, err, "%s", text);
}

void qn__run_name_file(const char *file, qn_error *err) {
    if (!err || err->code != QN_ERR_DATA || err->row <= 0 || err->file[0])
        return;
    char text[sizeof err->message];
    snprintf(text, sizeof text, "%s", err->message);
    snprintf(err->message, sizeof err->message, "%.300s %.700s", file, text); /* FILE row 3, column x: ... */
}

void qn__run_warn(qn_run_state *run, const char *format, ...) {
    va_list args;
    char text[1024];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(run->warnings, json_string(text));
}

qn_status qn__run_note(qn_run_state *run, const char *key, json_t *value, qn_error *err) {
    if (!value || json_object_set_new(run->document, key, value) != 0)
        return qn_error_memory(err);
    return QN_OK;
}

static void candidate_done(qn_run_candidate *candidate) {
    qn_learner_free(&candidate->learner);
    qn_freep(&candidate->scores);
    qn_freep(&candidate->test_scores);
}

static void run_done(qn_run_state *run) {
    for (int i = 0; i < run->n_candidates; i++)
        candidate_done(&run->candidates[i]);
    for (int i = 0; i <= run->n_features && i < QN_RUN_FEATURES_MAX; i++) {
        qn_matrix_free(&run->features[i].train);
        qn_matrix_free(&run->features[i].validate);
        qn_pipeline_free(&run->features[i].pipeline);
    }
    qn_model_free(&run->model);
    qn_model_free(&run->init_model);
    qn_buf_done(&run->model_bytes);
    qn__run_part_done(&run->validate);
    qn__run_part_done(&run->test);
    qn_split_done(&run->split);
    qn__run_training_done(&run->training);
    qn_freep(&run->stretch);
    qn_freep(&run->y);
    qn_freep(&run->weight);
    qn_freep(&run->query);
    qn_freep(&run->inputs);
    qn_value_spec_free(&run->value);
    qn_target_info_done(&run->target);
    qn_frame_free(&run->frame);
    qn_json_free(&run->document);
    qn_workspace_free(&run->workspace);
    qn_config_free(&run->config);
}

static void set_started(qn_run_state *run) {
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(run->started, sizeof run->started, "%Y-%m-%dT%H:%M:%SZ", &utc);
    run->start_s = run->stage_s = qn_now_s();
}

static void set_job(qn_run_state *run) {
    if (run->options->job)
        run->job = *run->options->job;
    if (run->config->threads > 0)
        run->job.n_threads = (int)run->config->threads;
    int64_t limit = run->config->train.limits.memory_bytes;
    run->job.memory_bytes = limit > 0 ? (size_t)limit : qn_mem_available_bytes() / 5 * 4;
}

/* The config and the workspace. */
static qn_status open_project(qn_run_state *run, qn_error *err) {
    const char *name = run->options->config ? run->options->config : "quern.yaml";
    qn_cleanup(qn_freep) char *path = qn_path_join(run->options->folder, name);
    if (!path)
        return qn_error_memory(err);
    QN_FAIL_IF(!qn_file_exists(path), err, QN_ERR_NOT_FOUND,
               "there is no %s: make a project with 'quern new NAME --source FILE --target COLUMN'",
               path);
    QN_TRY(qn_config_read(path, &run->config, err));
    if (run->options->has_seed) {
        char text[32];
        snprintf(text, sizeof text, "%lld", (long long)run->options->seed);
        QN_TRY(qn_config_set(run->config, "seed", text, err));
    }
    set_job(run);
    QN_TRY(qn_workspace_open(run->options->folder, true, &run->workspace, err));
    run->job.temp_folder = qn_workspace_path(run->workspace);
    return QN_OK;
}

static qn_status new_document(qn_run_state *run, const json_t *config, const json_t *environment,
                              qn_error *err) {
    run->document = json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s?}, s:O*, s:O*, s:[], s:{}}", "run",
                              run->run_id, "project", run->config->project, "started", run->started,
                              "quern", QN_VERSION, "source", "path", run->config->data.source,
                              "query", run->config->data.query, "config", config, "environment",
                              environment, "warnings", "timings");
    if (!run->document)
        return qn_error_memory(err);
    run->warnings = json_object_get(run->document, "warnings");
    run->timings = json_object_get(run->document, "timings");
    return QN_OK;
}

/* The run's place in the books, and the document with what is known at the beginning. */
static qn_status begin_books(qn_run_state *run, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *config = qn_config_to_json(run->config);
    qn_cleanup(qn_json_free) json_t *environment = qn_environment_json(run->options->folder);
    if (!config || !environment)
        return qn_error_memory(err);
    json_object_set_new(environment, "threads", json_integer(qn_job_threads(&run->job)));
    QN_TRY(
        qn_run_begin(run->workspace, run->config->project, config, environment, run->run_id, err));
    return new_document(run, config, environment, err);
}

/* The report and the document as objects, and the report where people find it. */
static qn_status write_report(qn_run_state *run, char **ret_path, qn_error *err) {
    char hash[QN_DIGEST_TEXT];
    qn_cleanup(qn_buf_done) qn_buf document = {0};
    qn_cleanup(qn_buf_done) qn_buf page = {0};
    qn_job_progress(&run->job, "report", 0, 0, NULL);
    qn_json_write(run->document, QN_JSON_COMPACT, &document);
    QN_TRY(qn_buf_status(&document, err));
    QN_TRY(qn_object_put(run->workspace, document.data, document.len, hash, err));
    QN_TRY(qn_run_add_artifact(run->workspace, run->run_id, "document", hash, (int64_t)document.len,
                               err));
    QN_TRY(qn_report_write(run->document, &page, err));
    QN_TRY(qn_buf_status(&page, err));
    QN_TRY(qn_object_put(run->workspace, page.data, page.len, hash, err));
    QN_TRY(
        qn_run_add_artifact(run->workspace, run->run_id, "report", hash, (int64_t)page.len, err));
    qn_cleanup(qn_freep) char *folder =
        qn_format("%s/runs/%s", qn_workspace_path(run->workspace), run->run_id);
    qn_cleanup(qn_freep) char *path = folder ? qn_path_join(folder, "report.html") : NULL;
    if (!path)
        return qn_error_memory(err);
    QN_TRY(qn_folder_make(folder, err));
    QN_TRY(qn_file_write(path, page.data, page.len, err));
    *ret_path = qn_steal(&path);
    return QN_OK;
}

/* DESIGN's summary object, from the document. */
static json_t *summary_of(const qn_run_state *run, const char *report) {
    const json_t *d = run->document;
    json_t *summary = json_pack("{s:s, s:s, s:s}", "run", run->run_id, "project",
                                run->config->project, "task", qn_task_name(run->target.task));
    static const char *const parts[] = {"dataset",     "split",        "model",       "metric",
                                        "metrics",     "value",        "leaderboard", "comparison",
                                        "calibration", "registration", "warnings",    "timings"};
    for (size_t i = 0; summary && i < sizeof parts / sizeof parts[0]; i++) {
        json_t *part = json_object_get(d, parts[i]);
        if (!part || json_object_set(summary, parts[i], part) != 0)
            continue;
    }
    json_t *found = json_object_get(json_object_get(d, "profile"), "warnings");
    if (summary && found)
        json_object_set(summary, "data_warnings", found);
    json_t *value = json_object_get(d, "value");
    if (summary && value) { /* the summary's short form: the curve stays in the document */
        const json_t *test = json_object_get(value, "test");
        json_object_set_new(summary, "value",
                            json_pack("{s:O, s:O?, s:O?, s:O?, s:O?, s:O?}", "currency",
                                      json_object_get(value, "currency"), "threshold",
                                      json_object_get(value, "threshold"), "per_row",
                                      json_object_get(json_object_get(test, "per_row"), "value"),
                                      "total", json_object_get(test, "total"), "baseline_total",
                                      json_object_get(value, "baseline_total"),
                                      "gain_over_best_baseline",
                                      json_object_get(value, "gain_over_best_baseline")));
    }
    if (summary)
        json_object_set_new(summary, "report", json_string(report));
    return summary;
}

static qn_status run_stages(qn_run_state *run, json_t **ret_summary, qn_error *err) {
    static qn_status (*const stages[])(qn_run_state *, qn_error *) = {
        qn__run_import, qn__run_split,   qn__run_train, qn__run_choose,
        qn__run_judge,  qn__run_explain, qn__run_seal,  qn__run_register,
    };
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        QN_TRY(qn_job_check(&run->job, err));
        QN_TRY(stages[i](run, err));
    }
    qn_cleanup(qn_freep) char *report = NULL;
    json_object_set_new(run->timings, "total_s", json_real(qn_now_s() - run->start_s));
    QN_TRY(write_report(run, &report, err));
    qn__run_time(run, "report_s");
    json_object_set_new(run->timings, "total_s", json_real(qn_now_s() - run->start_s));
    qn_cleanup(qn_json_free) json_t *summary = summary_of(run, report);
    if (!summary)
        return qn_error_memory(err);
    QN_TRY(qn_run_end(run->workspace, run->run_id, "done", summary, NULL, err));
    *ret_summary = qn_steal(&summary);
    return QN_OK;
}

qn_status qn_run(const qn_run_options *options, json_t **ret_summary, qn_error *err) {
    qn_error local;
    if (!err)
        err = &local;
    qn_run_state *run = qn_new(qn_run_state);
    if (!run)
        return qn_error_memory(err);
    run->options = options;
    run->negatives_rate = 1;
    set_started(run);
    qn_status status = open_project(run, err);
    if (status == QN_OK)
        status = begin_books(run, err);
    if (status == QN_OK)
        status = run_stages(run, ret_summary, err);
    if (status != QN_OK && run->run_id[0]) {
        qn_error ignored; /* the first error is the one to tell */
        (void)!qn_run_end(run->workspace, run->run_id,
                          status == QN_ERR_CANCELLED ? "cancelled" : "failed", NULL, err->message,
                          &ignored);
    }
    run_done(run);
    qn_freep(&run);
    return status;
}

/* --- the parts as files ----------------------------------------------------------------------- */

static qn_status write_part(const qn_run_state *run, const qn_frame *frame, const char *folder,
                            const char *name, qn_error *err) {
    qn_cleanup(qn_freep) char *path = qn_path_join(folder, name);
    qn_cleanup(qn_sink_free) qn_sink *sink = NULL;
    if (!path)
        return qn_error_memory(err);
    QN_TRY(qn_sink_open(path, false, &sink, err));
    QN_TRY(qn_sink_write(sink, frame, &run->job, err));
    return qn_sink_finish(sink, err);
}

static qn_status split_files(qn_run_state *run, const char *folder, qn_error *err) {
    qn_cleanup(qn_frame_free) qn_frame *train = NULL;
    QN_TRY(open_project(run, err));
    QN_TRY(new_document(run, NULL, NULL, err));
    QN_TRY(qn__run_import(run, err));
    QN_TRY(qn__run_split(run, err));
    QN_TRY(qn_folder_make(folder, err));
    QN_TRY(qn_frame_take(run->frame, run->split.train, run->split.n_train, &train, err));
    QN_TRY(write_part(run, train, folder, "train.csv", err));
    QN_TRY(write_part(run, run->validate.frame, folder, "validate.csv", err));
    return write_part(run, run->test.frame, folder, "test.csv", err);
}

qn_status qn_run_split_files(const qn_run_options *options, const char *folder, qn_error *err) {
    qn_run_state *run = qn_new(qn_run_state);
    if (!run)
        return qn_error_memory(err);
    run->options = options;
    run->negatives_rate = 1;
    set_started(run);
    qn_status status = split_files(run, folder, err);
    run_done(run);
    qn_freep(&run);
    return status;
}
