/* quern run, quern report. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/table.h"
#include "flow/run.h"
#include "store/workspace.h"

static const json_t *chosen_row(const json_t *summary) {
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(summary, "leaderboard"), i, row) {
        if (json_is_true(json_object_get(row, "chosen")))
            return row;
    }
    return NULL;
}

/* The number that candidates are chosen by: over the folds with its spread, or on the validation
 * rows. */
static void put_merit(const json_t *row, qn_table *table) {
    const json_t *folds = json_object_get(row, "folds");
    if (folds)
        qn__table_cell(table, "%.5g ± %.2g", json_number_value(json_object_get(folds, "mean")),
                       json_number_value(json_object_get(folds, "sd")));
    else
        qn__table_json(table, json_object_get(row, "metric"), 5);
}

static qn_status put_leaderboard(const json_t *summary, qn_buf *out, qn_error *err) {
    size_t i;
    const json_t *row;
    const char *metric = json_string_value(json_object_get(summary, "metric"));
    char header[160];
    bool folds = json_object_get(json_array_get(json_object_get(summary, "leaderboard"), 0),
                                 "folds") != NULL;
    snprintf(header, sizeof header, "family|>%s (%s)|test, 95%% interval|>train s|>us/row|>bytes|",
             metric, folds ? "folds" : "validation");
    qn_cleanup(qn__table_done) qn_table table = {0};
    QN_TRY(qn__table_init(&table, header, err));
    json_array_foreach(json_object_get(summary, "leaderboard"), i, row) {
        qn_cleanup(qn_buf_done) qn_buf test = {0};
        qn__interval_text(json_object_get(row, "test"), &test);
        qn__table_row(&table);
        qn__table_json(&table, json_object_get(row, "family"), 0);
        put_merit(row, &table);
        qn__table_cell(&table, "%s", qn_buf_text(&test));
        qn__table_cell(&table, "%.2f", json_number_value(json_object_get(row, "train_s")));
        qn__table_cell(&table, "%.2f", json_number_value(json_object_get(row, "row_us")));
        qn__table_json(&table, json_object_get(row, "bytes"), 0);
        const char *refused = json_string_value(json_object_get(row, "refused"));
        qn__table_cell(&table, "%s",
                       refused                                        ? refused
                       : json_is_true(json_object_get(row, "chosen")) ? "<- chosen"
                                                                      : "");
    }
    qn__table_write(&table, out);
    return QN_OK;
}

static void put_quality(const json_t *summary, qn_buf *out) {
    const json_t *test = json_object_get(json_object_get(summary, "metrics"), "test");
    const char *name;
    json_t *interval;
    int n = 0;
    qn_buf_put_text(out, "\nOn the test rows\n");
    json_object_foreach((json_t *)(uintptr_t)test, name, interval) {
        if (!json_is_object(interval) || n++ == 4)
            break;
        qn_buf_printf(out, "  %-20s", name);
        qn__interval_text(interval, out);
        qn_buf_put_char(out, '\n');
    }
    qn_buf_put_char(out, '\n');
}

static void put_value(const json_t *summary, qn_buf *out) {
    const json_t *value = json_object_get(summary, "value");
    if (!json_is_object(value))
        return;
    const char *currency = json_string_value(json_object_get(value, "currency"));
    const json_t *threshold = json_object_get(value, "threshold");
    const json_t *gain = json_object_get(value, "gain_over_best_baseline");
    qn_buf_printf(out, "Worth %s%s%.4g a row", currency ? currency : "",
                  currency && *currency ? " " : "",
                  json_number_value(json_object_get(value, "per_row")));
    if (json_is_number(threshold))
        qn_buf_printf(out, " at threshold %.3g", json_number_value(threshold));
    qn_buf_printf(out, ", %.6g in total: ", json_number_value(json_object_get(value, "total")));
    qn_buf_printf(out, "%+.4g a row over the best rule without a model\n",
                  json_number_value(json_object_get(gain, "value")));
}

static void put_registration(const json_t *summary, qn_buf *out) {
    const json_t *r = json_object_get(summary, "registration");
    const char *name = json_string_value(json_object_get(r, "name"));
    const char *why = json_string_value(json_object_get(r, "why"));
    const json_t *version = json_object_get(r, "version");
    if (!json_is_integer(version))
        qn_buf_printf(out, "Not registered: %s\n", why);
    else if (json_is_true(json_object_get(r, "promoted")))
        qn_buf_printf(out, "Registered %s version %lld as %s: %s\n", name,
                      (long long)json_integer_value(version),
                      json_string_value(json_object_get(r, "alias")), why);
    else
        qn_buf_printf(out, "%s version %lld, not promoted: %s\n", name,
                      (long long)json_integer_value(version), why);
}

static qn_status put_summary(const json_t *summary, qn_buf *out, qn_error *err) {
    size_t i;
    const json_t *warning;
    qn_buf_put_char(out, '\n');
    QN_TRY(put_leaderboard(summary, out, err));
    put_quality(summary, out);
    put_value(summary, out);
    put_registration(summary, out);
    qn__cli_put_data_warnings(json_object_get(summary, "data_warnings"), out);
    json_array_foreach(json_object_get(summary, "warnings"), i, warning) {
        qn_cleanup(qn_freep) char *line = qn_format("warning: %s", json_string_value(warning));
        qn__cli_put_wrapped(line ? line : "", out);
    }
    qn_buf_printf(out, "Report: %s\n", json_string_value(json_object_get(summary, "report")));
    return QN_OK;
}

qn_status qn__cmd_run(const qn_cli_args *args, qn_error *err) {
    qn_run_options options = {
        .folder = args->folder,
        .config = qn__cli_value(args, "config"),
        .job = &args->job,
        .has_seed = args->has_seed,
        .seed = args->seed,
        .no_register = qn__cli_value(args, "no-register") != NULL,
        .model_file = qn__cli_value(args, "output"),
    };
    qn_cleanup(qn_json_free) json_t *summary = NULL;
    QN_TRY(qn_run(&options, &summary, err));
    if (args->json)
        return qn__cli_print_json(args, summary, err);
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    QN_TRY(chosen_row(summary) ? put_summary(summary, &out, err)
                               : qn_error_set(err, QN_ERR_INTERNAL, "the run chose no model"));
    return qn__cli_print(args, &out, err);
}

/* The report of a run: beside the objects where people find it, written again from its object if it
 * is gone. */
static qn_status find_report(qn_workspace *workspace, const char *run, char **ret_path,
                             qn_error *err) {
    qn_cleanup(qn_json_free) json_t *entry = NULL;
    const char *id, *hash = NULL;
    QN_TRY(qn_run_get(workspace, run, &entry, err));
    QN_TRY(qn_json_get_text(entry, "run", true, &id, err));
    size_t i;
    const json_t *artifact;
    json_array_foreach(json_object_get(entry, "artifacts"), i, artifact) {
        if (strcmp(json_string_value(json_object_get(artifact, "kind")), "report") == 0)
            hash = json_string_value(json_object_get(artifact, "hash"));
    }
    QN_FAIL_IF(!hash, err, QN_ERR_NOT_FOUND, "run %s has no report: it did not get that far", id);
    qn_cleanup(qn_freep) char *folder = qn_format("%s/runs/%s", qn_workspace_path(workspace), id);
    qn_cleanup(qn_freep) char *path = folder ? qn_path_join(folder, "report.html") : NULL;
    if (!path)
        return qn_error_memory(err);
    if (!qn_file_exists(path)) {
        qn_cleanup(qn_freep) char *object = NULL;
        qn_cleanup(qn_freep) char *bytes = NULL;
        size_t n;
        QN_TRY(qn_object_path(workspace, hash, &object, err));
        QN_TRY(qn_file_read(object, (size_t)1 << 30, &bytes, &n, err));
        QN_TRY(qn_folder_make(folder, err));
        QN_TRY(qn_file_write(path, bytes, n, err));
    }
    *ret_path = qn_steal(&path);
    return QN_OK;
}

static qn_status open_in_browser(const char *path, qn_error *err) {
    pid_t child = fork();
    if (child < 0)
        return qn_error_errno(err, "start", "xdg-open");
    if (child == 0) {
        execlp("xdg-open", "xdg-open", path, (char *)NULL);
        _exit(127);
    }
    int status;
    QN_FAIL_IF(waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0,
               err, QN_ERR_UNSUPPORTED, "no program to open %s with: open it in a web browser",
               path);
    return QN_OK;
}

qn_status qn__cmd_report(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = NULL;
    qn_cleanup(qn_freep) char *path = NULL;
    QN_TRY(qn_workspace_open(args->folder, false, &workspace, err));
    QN_TRY(find_report(workspace, args->n_arguments ? args->arguments[0] : "last", &path, err));
    if (args->json) {
        qn_cleanup(qn_json_free) json_t *json = json_pack("{s:s}", "report", path);
        return json ? qn__cli_print_json(args, json, err) : qn_error_memory(err);
    }
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_buf_printf(&out, "%s\n", path);
    QN_TRY(qn__cli_print(args, &out, err));
    return qn__cli_value(args, "open") ? open_in_browser(path, err) : QN_OK;
}
