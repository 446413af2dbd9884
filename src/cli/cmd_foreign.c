/* quern import, quern export. */
#include <string.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/command.h"
#include "flow/explain_file.h"
#include "flow/reference.h"
#include "model/export.h"
#include "model/foreign.h"

static qn_status print_import(const qn_cli_args *args, const qn_model *model, const char *path,
                              qn_error *err) {
    const json_t *imported =
        json_object_get(json_object_get(qn_model_manifest(model), "about"), "imported");
    const char *from = json_string_value(json_object_get(imported, "from"));
    const char *objective = json_string_value(json_object_get(imported, "objective"));
    const qn_learner *learner = qn_model_learner(model);
    const char *task = qn_task_name(qn_model_target(model)->task);
    qn_cleanup(qn_json_free) json_t *facts = learner->family->describe(learner);
    if (!facts)
        return qn_error_memory(err);
    json_int_t n_trees = json_integer_value(json_object_get(facts, "trees"));
    if (args->json) {
        qn_cleanup(qn_json_free)
            json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:i, s:I}", "output", path, "from", from,
                                     "objective", objective, "task", task, "inputs",
                                     qn_model_n_inputs(model), "trees", n_trees);
        return json ? qn__cli_print_json(args, json, err) : qn_error_memory(err);
    }
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_buf_printf(&out, "%s: %s from %s, %d inputs, %lld trees\n", path, task, from,
                  qn_model_n_inputs(model), (long long)n_trees);
    return qn__cli_print(args, &out, err);
}

qn_status qn__cmd_import(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_freep) char *list = NULL;
    qn_cleanup(qn_freep) const char **classes = NULL;
    qn_cleanup(qn_freep) char *bytes = NULL;
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    const char *path = args->arguments[0], *output = qn__cli_value(args, "output");
    const char *names = qn__cli_value(args, "classes");
    qn_import_options options = {.target = qn__cli_value(args, "target")};
    QN_FAIL_IF(!output, err, QN_ERR_USAGE, "'quern import' needs --output FILE");
    if (names) {
        if (!(list = qn_strdup(names)))
            return qn_error_memory(err);
        QN_TRY(qn__cli_split_list(list, &classes, &options.n_classes, err));
        options.classes = classes;
    }
    size_t n;
    QN_TRY(qn_file_read(path, QN_LIMIT_FOREIGN_BYTES, &bytes, &n, err));
    qn_status status = qn_model_import(bytes, n, &options, &model, err);
    if (status != QN_OK) {
        if (status != QN_ERR_MEMORY)
            qn_error_prefix(err, "%s", path);
        return status;
    }
    QN_TRY(qn_model_save(model, output, err));
    return print_import(args, model, output, err);
}

static qn_status read_tree(const qn_cli_args *args, int32_t *ret_tree, qn_error *err) {
    const char *text = qn__cli_value(args, "tree");
    int64_t tree = -1;
    QN_FAIL_IF(text && (!qn_text_to_i64(text, &tree) || tree < 0 || tree > QN_LIMIT_TREES), err,
               QN_ERR_USAGE, "--tree must be a whole number from 0 on, not '%s'", text);
    *ret_tree = (int32_t)tree;
    return QN_OK;
}

/* The row whose way is marked; NULL for none. */
static qn_status read_row(const qn_cli_args *args, const qn_model *model, bool shows,
                          qn_frame **ret_frame, qn_error *err) {
    const char *input = qn__cli_value(args, "input"), *text = qn__cli_value(args, "row");
    int64_t row = 1;
    QN_FAIL_IF(text && !input, err, QN_ERR_USAGE, "--row needs --input FILE");
    QN_FAIL_IF(text && (!qn_text_to_i64(text, &row) || row < 1 || row > INT32_MAX), err,
               QN_ERR_USAGE, "--row must be a whole number from 1 on, not '%s'", text);
    QN_FAIL_IF(input && !shows, err, QN_ERR_USAGE,
               "--input marks the way of a row in json, dot and text only");
    return input ? qn_explain_read(model, input, row - 1, 1, &args->job, ret_frame, err) : QN_OK;
}

qn_status qn__cmd_export(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_buf_done) qn_buf out = {.max = QN_LIMIT_FOREIGN_BYTES};
    const char *name = qn__cli_value(args, "format"), *output = qn__cli_value(args, "output");
    qn_export_options options = {.uncalibrated = qn__cli_value(args, "uncalibrated") != NULL};
    QN_FAIL_IF(!name, err, QN_ERR_USAGE,
               "'quern export' needs --format: onnx, lightgbm, json, dot or text");
    QN_FAIL_IF(!qn_export_format_find(name, &options.format), err, QN_ERR_USAGE,
               "there is no format '%.40s': onnx, lightgbm, json, dot or text", name);
    QN_TRY(read_tree(args, &options.tree, err));
    bool to_screen = !output || strcmp(output, "-") == 0;
    QN_FAIL_IF(to_screen && options.format == QN_EXPORT_ONNX, err, QN_ERR_USAGE,
               "--format onnx is binary: it needs --output FILE");
    QN_TRY(qn_reference_open(args->folder, args->arguments[0], &model, NULL, err));
    bool shows = options.format != QN_EXPORT_ONNX && options.format != QN_EXPORT_LIGHTGBM;
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    QN_TRY(read_row(args, model, shows, &frame, err));
    options.frame = frame;
    QN_TRY(qn_model_export(model, &options, &out, err));
    if (to_screen)
        return qn__cli_print(args, &out, err);
    QN_TRY(qn_file_write(output, out.data, out.len, err));
    if (!args->json)
        return QN_OK;
    qn_cleanup(qn_json_free) json_t *json =
        json_pack("{s:s, s:s, s:I}", "output", output, "format", name, "bytes",
                  (json_int_t)out.len);
    return json ? qn__cli_print_json(args, json, err) : qn_error_memory(err);
}
