/* quern compress. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/table.h"
#include "flow/compress.h"
#include "flow/reference.h"
#include "learn/gbdt_prune.h"

/* A point is shown when it has at most so much of the bytes of the one shown before. */
#define SHOWN_STEP 0.8

/* --- options ---------------------------------------------------------------------------------- */

/* "0.1%" or "0.001". */
static qn_status read_loss(const char *text, double *ret_loss, qn_error *err) {
    size_t n = strlen(text);
    bool percent = n > 0 && text[n - 1] == '%';
    qn_cleanup(qn_freep) char *number = qn_strndup(text, percent ? n - 1 : n);
    if (!number)
        return qn_error_memory(err);
    QN_FAIL_IF(!qn_text_to_double(number, ret_loss) || *ret_loss < 0, err, QN_ERR_USAGE,
               "--max-loss must be a share such as 0.1%% or 0.001, not '%s'", text);
    *ret_loss = percent ? *ret_loss / 100 : *ret_loss;
    return QN_OK;
}

static qn_status read_options(const qn_cli_args *args, qn_compress_options *options,
                              qn_error *err) {
    const char *bytes = qn__cli_value(args, "to-bytes"), *loss = qn__cli_value(args, "max-loss");
    QN_TRY(qn__cli_check_made(args, "compress", err));
    *options = (qn_compress_options){.input = qn__cli_value(args, "input"),
                                     .max_loss = bytes ? INFINITY : 0.001};
    QN_FAIL_IF(bytes && (!qn_text_to_bytes(bytes, &options->to_bytes) || !options->to_bytes), err,
               QN_ERR_USAGE, "--to-bytes must be a size such as 200KB, not '%s'", bytes);
    QN_FAIL_IF(loss && !options->input, err, QN_ERR_USAGE,
               "--max-loss needs --input FILE: without labelled rows nothing is lost");
    const char *form_name = qn__cli_value(args, "leaf-values");
    qn_leaf_form form;
    if (form_name && qn_leaf_form_find(form_name, &form)) /* else it is auto */
        options->leaf_forms = 1u << form;
    return loss ? read_loss(loss, &options->max_loss, err) : QN_OK;
}

/* --- what is shown ---------------------------------------------------------------------------- */

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static void put_point(const json_t *point, qn_table *table) {
    char count[QN_DOUBLE_TEXT];
    static const char *const counts[] = {"bytes", "trees", "leaves"};
    qn__table_row(table);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        qn_text_count((int64_t)number(point, counts[i]), count);
        qn__table_cell(table, "%s", count);
    }
    qn__table_json(table, json_object_get(point, "leaf_values"), 3);
    qn__table_json(table, json_object_get(point, "row_us"), 3);
    qn__table_json(table, json_object_get(point, "metric"), 5);
    if (isnan(number(point, "loss")))
        qn__table_cell(table, "-");
    else
        qn__table_cell(table, "%+.2f%%", 100 * number(point, "loss"));
    if (isnan(number(point, "loss_se")))
        qn__table_cell(table, "-");
    else
        qn__table_cell(table, "%.2f%%", 100 * number(point, "loss_se"));
    qn__table_cell(table, "%s", json_is_true(json_object_get(point, "chosen")) ? "<- chosen" : "");
}

static qn_status put_curve(const json_t *result, qn_buf *out, qn_error *err) {
    const json_t *curve = json_object_get(result, "curve"), *point;
    const char *metric = json_string_value(json_object_get(result, "metric"));
    qn_cleanup(qn__table_done) qn_table table = {0};
    char header[160];
    double shown = INFINITY;
    size_t i, last = json_array_size(curve) - 1;
    snprintf(header, sizeof header, ">bytes|>trees|>leaves|values|>us a row|>%s|>loss|>+-|",
             metric ? metric : "metric");
    QN_TRY(qn__table_init(&table, header, err));
    json_array_foreach(curve, i, point) {
        bool is_step = number(point, "bytes") <= SHOWN_STEP * shown || i == last;
        if (is_step)
            shown = number(point, "bytes");
        if (is_step || json_is_true(json_object_get(point, "chosen")))
            put_point(point, &table);
    }
    qn__table_write(&table, out);
    return QN_OK;
}

static void put_end(const qn_cli_args *args, const json_t *result, qn_buf *out) {
    const json_t *from = json_object_get(result, "from"), *rows = json_object_get(result, "rows");
    const json_t *chosen = json_object_get(result, "chosen");
    char prune[QN_DOUBLE_TEXT], judge[QN_DOUBLE_TEXT];
    qn_text_count((int64_t)number(rows, "prune"), prune);
    qn_text_count((int64_t)number(rows, "judge"), judge);
    qn_buf_put_char(out, '\n');
    if (number(rows, "judge") > 0)
        qn_buf_printf(out, "Pruned by %s rows, judged by %s others.\n", prune, judge);
    if (json_is_true(json_object_get(result, "changed")))
        qn_buf_printf(out, "%s: %.1f%% of the bytes\n", qn__cli_value(args, "output"),
                      100 * number(chosen, "bytes") / number(from, "bytes"));
    else
        qn_buf_printf(out, "%s: the model as it was; nothing smaller keeps what was asked\n",
                      qn__cli_value(args, "output"));
    qn__cli_put_registered(result, out);
}

/* --- the command ------------------------------------------------------------------------------ */

qn_status qn__cmd_compress(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_json_free) json_t *result = NULL;
    qn_cleanup(qn_buf_done) qn_buf bytes = {.max = QN_LIMIT_MODEL_BYTES};
    qn_compress_options options;
    QN_TRY(read_options(args, &options, err));
    QN_TRY(qn_reference_open(args->folder, args->arguments[0], &model, NULL, err));
    QN_TRY(qn_compress(model, &options, &args->job, &bytes, &result, err));
    bool changed = json_is_true(json_object_get(result, "changed"));
    QN_TRY(qn__cli_keep_made(args, &bytes, changed ? NULL : "no smaller model keeps what was asked",
                             result, err));
    if (args->json)
        return qn__cli_print_json(args, result, err);
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    QN_TRY(put_curve(result, &out, err));
    put_end(args, result, &out);
    return qn__cli_print(args, &out, err);
}
