/* quern predict, quern evaluate. */
#include <math.h>
#include <signal.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/table.h"
#include "flow/predict_file.h"
#include "flow/reference.h"

static qn_status read_threshold(const qn_cli_args *args, double *ret, qn_error *err) {
    const char *text = qn__cli_value(args, "threshold");
    *ret = (double)NAN;
    if (!text)
        return QN_OK;
    QN_FAIL_IF(!qn_text_to_double(text, ret) || *ret < 0 || *ret > 1, err, QN_ERR_USAGE,
               "--threshold must be a number from 0 to 1, not '%s'", text);
    return QN_OK;
}

static qn_status need(const qn_cli_args *args, const char *name, const char **ret, qn_error *err) {
    *ret = qn__cli_value(args, name);
    QN_FAIL_IF(!*ret, err, QN_ERR_USAGE, "'quern %s' needs --%s FILE", args->command->name, name);
    return QN_OK;
}

qn_status qn__cmd_predict(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_freep) char *list = NULL;
    qn_cleanup(qn_freep) const char **columns = NULL;
    qn_predict_options options = {.output = qn__cli_value(args, "output")};
    int64_t n_rows;
    QN_TRY(need(args, "input", &options.input, err));
    QN_TRY(read_threshold(args, &options.threshold, err));
    if (!options.output)
        options.output = "-";
    bool to_screen = strcmp(options.output, "-") == 0;
    options.json = args->json && to_screen;
    if (to_screen)
        signal(SIGPIPE, SIG_DFL); /* `| head` is enough of it: end without a word, as other programs do */
    if (qn__cli_value(args, "columns")) {
        list = qn_strdup(qn__cli_value(args, "columns"));
        if (!list)
            return qn_error_memory(err);
        QN_TRY(qn__cli_split_list(list, &columns, &options.n_columns, err));
        options.columns = columns;
    }
    QN_TRY(qn_reference_open(args->folder, args->arguments[0], &model, NULL, err));
    qn_job job = args->job;
    job.memory_bytes = (size_t)200 << 20; /* streaming needs no more */
    QN_TRY(qn_predict_file(model, &options, &job, &n_rows, err));
    if (!args->json || to_screen)
        return QN_OK;
    qn_cleanup(qn_json_free) json_t *json =
        json_pack("{s:I, s:s}", "rows", (json_int_t)n_rows, "output", options.output);
    return json ? qn__cli_print_json(args, json, err) : qn_error_memory(err);
}

static qn_status put_judgement(const json_t *result, qn_buf *out, qn_error *err) {
    const json_t *metrics = json_object_get(json_object_get(result, "metrics"), "test");
    const json_t *value = json_object_get(result, "value");
    char rows[QN_DOUBLE_TEXT];
    qn_text_count(json_integer_value(json_object_get(result, "rows")), rows);
    qn_buf_printf(out, "%s rows\n\n", rows);
    QN_TRY(qn__metrics_table("metric|value, 95% interval", metrics, out, err));
    if (value)
        qn_buf_printf(out, "\nWorth %s %.4g a row at threshold %.3g, %.6g in total\n",
                      json_string_value(json_object_get(value, "currency")),
                      json_number_value(json_object_get(value, "per_row")),
                      json_number_value(json_object_get(value, "threshold")),
                      json_number_value(json_object_get(value, "total")));
    return QN_OK;
}

qn_status qn__cmd_evaluate(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_json_free) json_t *result = NULL;
    qn_cleanup(qn_freep) char *path = NULL;
    qn_judge_options options = {.n_rounds = 1000,
                                .seed = args->has_seed ? (uint64_t)args->seed : 42};
    const char *rounds = qn__cli_value(args, "rounds");
    QN_TRY(need(args, "input", &options.input, err));
    QN_TRY(read_threshold(args, &options.threshold, err));
    int64_t n = options.n_rounds;
    QN_FAIL_IF(rounds && (!qn_text_to_i64(rounds, &n) || n < 0 || n > 100000), err, QN_ERR_USAGE,
               "--rounds must be a whole number from 0 to 100000, not '%s'", rounds);
    options.n_rounds = (int)n;
    QN_TRY(qn_reference_open(args->folder, args->arguments[0], &model, &path, err));
    QN_TRY(qn_judge_file(model, &options, &args->job, &result, err));
    if (args->json) {
        const char *task = qn_task_name(qn_model_target(model)->task);
        json_object_set_new(result, "task", json_string(task));
        json_object_set_new(result, "model", json_pack("{s:s}", "file", path));
        return qn__cli_print_json(args, result, err);
    }
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    QN_TRY(put_judgement(result, &out, err));
    return qn__cli_print(args, &out, err);
}
