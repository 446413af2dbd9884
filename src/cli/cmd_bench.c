/* quern bench. */
#include "base/mem.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/table.h"
#include "flow/bench_model.h"
#include "flow/reference.h"

static double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static qn_status put_result(const json_t *result, qn_buf *out, qn_error *err) {
    const json_t *single = json_object_get(result, "single_row_us");
    char rows[QN_DOUBLE_TEXT], per_s[QN_DOUBLE_TEXT];
    qn_cleanup(qn__table_done) qn_table table = {0};
    QN_TRY(qn__table_init(&table, "one row|>microseconds", err));
    qn__table_row(&table);
    qn__table_cell(&table, "p50");
    qn__table_cell(&table, "%.2f", number(single, "p50"));
    qn__table_row(&table);
    qn__table_cell(&table, "p99");
    qn__table_cell(&table, "%.2f", number(single, "p99"));
    qn__table_write(&table, out);
    qn_text_count((int64_t)number(result, "rows"), rows);
    qn_text_count((int64_t)number(result, "batch_rows_per_s"), per_s);
    qn_buf_printf(out, "\n%s rows at once: %s rows/s with %d thread%s\n", rows, per_s,
                  (int)number(result, "threads"), number(result, "threads") == 1 ? "" : "s");
    return QN_OK;
}

qn_status qn__cmd_bench(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_json_free) json_t *result = NULL;
    qn_bench_options options = {.input = qn__cli_value(args, "input"), .seconds = 1};
    const char *seconds = qn__cli_value(args, "seconds");
    QN_FAIL_IF(!options.input, err, QN_ERR_USAGE, "'quern bench' needs --input FILE");
    QN_FAIL_IF(seconds && (!qn_text_to_seconds(seconds, &options.seconds) || options.seconds > 600),
               err, QN_ERR_USAGE, "--seconds must be a time of at most 10 minutes, not '%s'",
               seconds);
    QN_TRY(qn_reference_open(args->folder, args->arguments[0], &model, NULL, err));
    QN_TRY(qn_bench_model(model, &options, &args->job, &result, err));
    if (args->json)
        return qn__cli_print_json(args, result, err);
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    QN_TRY(put_result(result, &out, err));
    return qn__cli_print(args, &out, err);
}
