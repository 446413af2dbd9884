/* quern bench. */
#include "base/mem.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/table.h"
#include "flow/bench_http.h"
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

static qn_status put_http(const json_t *result, qn_buf *out, qn_error *err) {
    static const char *const names[] = {"mean", "p50", "p99", "max"};
    const json_t *latency = json_object_get(result, "latency_us");
    char per_s[QN_DOUBLE_TEXT];
    qn_cleanup(qn__table_done) qn_table table = {0};
    QN_TRY(qn__table_init(&table, "one request|>microseconds", err));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        qn__table_row(&table);
        qn__table_cell(&table, "%s", names[i]);
        qn__table_cell(&table, "%.1f", number(latency, names[i]));
    }
    qn__table_write(&table, out);
    qn_text_count((int64_t)number(result, "requests_per_s"), per_s);
    qn_buf_printf(out, "\n%s requests/s over %d connections, served by %d thread%s\n", per_s,
                  (int)number(result, "connections"), (int)number(result, "threads"),
                  number(result, "threads") == 1 ? "" : "s");
    return QN_OK;
}

static qn_status measure_http(const qn_cli_args *args, const qn_bench_options *options,
                              json_t **ret_result, qn_error *err) {
    const char *text = qn__cli_value(args, "connections");
    int64_t connections = 32;
    QN_FAIL_IF(
        text && (!qn_text_to_i64(text, &connections) || connections < 1 || connections > 1024), err,
        QN_ERR_USAGE, "--connections must be a whole number from 1 to 1024, not '%s'", text);
    qn_bench_http_options http = {.folder = args->folder, .reference = args->arguments[0],
                                  .input = options->input, .seconds = options->seconds,
                                  .connections = (int)connections};
    return qn_bench_http(&http, &args->job, ret_result, err);
}

static qn_status measure(const qn_cli_args *args, const qn_bench_options *options,
                         json_t **ret_result, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    QN_TRY(qn_reference_open(args->folder, args->arguments[0], &model, NULL, err));
    return qn_bench_model(model, options, &args->job, ret_result, err);
}

qn_status qn__cmd_bench(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *result = NULL;
    qn_bench_options options = {.input = qn__cli_value(args, "input"), .seconds = 1};
    const char *seconds = qn__cli_value(args, "seconds");
    const bool http = qn__cli_value(args, "http") != NULL;
    QN_FAIL_IF(!options.input, err, QN_ERR_USAGE, "'quern bench' needs --input FILE");
    QN_FAIL_IF(seconds && (!qn_text_to_seconds(seconds, &options.seconds) || options.seconds > 600),
               err, QN_ERR_USAGE, "--seconds must be a time of at most 10 minutes, not '%s'",
               seconds);
    QN_TRY(http ? measure_http(args, &options, &result, err)
                : measure(args, &options, &result, err));
    if (args->json)
        return qn__cli_print_json(args, result, err);
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    QN_TRY(http ? put_http(result, &out, err) : put_result(result, &out, err));
    return qn__cli_print(args, &out, err);
}
