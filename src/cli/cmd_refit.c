/* quern refit. */
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/command.h"
#include "flow/reference.h"
#include "flow/refit.h"

static qn_status read_number(const qn_cli_args *args, const char *name, double low, double high,
                             double *number, qn_error *err) {
    const char *text = qn__cli_value(args, name);
    if (!text)
        return QN_OK;
    bool good = qn_text_to_double(text, number) && *number >= low && *number <= high;
    QN_FAIL_IF(!good, err, QN_ERR_USAGE, "--%s must be a number from %g to %g, not '%s'", name, low,
               high, text);
    return QN_OK;
}

static qn_status read_options(const qn_cli_args *args, qn_model_refit_options *options,
                              qn_error *err) {
    *options = (qn_model_refit_options){.input = qn__cli_value(args, "input"), .decay = 0.9,
                                         .weight = qn__cli_value(args, "weight")};
    QN_FAIL_IF(!options->input, err, QN_ERR_USAGE, "'quern refit' needs --input FILE");
    QN_TRY(qn__cli_check_made(args, "refit", err));
    QN_TRY(read_number(args, "decay", 0, 1, &options->decay, err));
    return read_number(args, "learning-rate", 1e-9, 100, &options->learning_rate, err);
}

static long long whole(const json_t *object, const char *key) {
    return (long long)json_integer_value(json_object_get(object, key));
}

qn_status qn__cmd_refit(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_json_free) json_t *result = NULL;
    qn_cleanup(qn_buf_done) qn_buf bytes = {.max = QN_LIMIT_MODEL_BYTES}, out = {0};
    qn_model_refit_options options;
    QN_TRY(read_options(args, &options, err));
    QN_TRY(qn_reference_open(args->folder, args->arguments[0], &model, NULL, err));
    QN_TRY(qn_model_refit(model, &options, &args->job, &bytes, &result, err));
    QN_TRY(qn__cli_keep_made(args, &bytes, NULL, result, err));
    if (args->json)
        return qn__cli_print_json(args, result, err);
    qn_buf_printf(&out, "%s: %lld of %lld leaves refitted on %lld rows\n",
                  qn__cli_value(args, "output"), whole(result, "leaves_with_rows"),
                  whole(result, "leaves"), whole(result, "rows"));
    qn__cli_put_registered(result, &out);
    return qn__cli_print(args, &out, err);
}
