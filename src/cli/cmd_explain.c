/* quern explain. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/table.h"
#include "flow/explain_file.h"
#include "flow/reference.h"

enum {
    MOST_SHOWN = 10, /* contributions, pairs, conditions of a row; --json gives all */
    MOST_NAMED = 6,  /* categories of a condition */
};

/* --- options ---------------------------------------------------------------------------------- */

static qn_status read_count(const qn_cli_args *args, const char *name, int64_t low, int64_t *value,
                            qn_error *err) {
    const char *text = qn__cli_value(args, name);
    QN_FAIL_IF(text && (!qn_text_to_i64(text, value) || *value < low || *value > INT32_MAX), err,
               QN_ERR_USAGE, "--%s must be a whole number from %d on, not '%s'", name, (int)low,
               text);
    return QN_OK;
}

static qn_status read_options(const qn_cli_args *args, qn_explain_options *options,
                              qn_error *err) {
    const char *column = qn__cli_value(args, "dependence");
    int64_t row = 1;
    *options = (qn_explain_options){.input = qn__cli_value(args, "input"),
                                    .n_rows = column                       ? 1000
                                              : qn__cli_value(args, "row") ? 1
                                                                           : 3,
                                    .class_name = qn__cli_value(args, "class"),
                                    .interactions = qn__cli_value(args, "interactions") != NULL,
                                    .conditions = qn__cli_value(args, "conditions") != NULL};
    QN_FAIL_IF(!options->input && args->n_values > 0, err, QN_ERR_USAGE, "--%s needs --input FILE",
               args->names[0]);
    QN_FAIL_IF(column && (options->interactions || options->conditions), err, QN_ERR_USAGE,
               "--dependence is about a column, --interactions and --conditions about rows: ask "
               "for one at a time");
    QN_FAIL_IF(qn__cli_value(args, "curves") && !(column && args->json), err, QN_ERR_USAGE,
               "--curves needs --dependence and --json");
    QN_TRY(read_count(args, "row", 1, &row, err));
    QN_TRY(read_count(args, "rows", 1, &options->n_rows, err));
    QN_FAIL_IF(options->n_rows > QN_EXPLAIN_ROWS_MAX, err, QN_ERR_USAGE,
               "--rows is at most %d", QN_EXPLAIN_ROWS_MAX);
    options->first = row - 1;
    return QN_OK;
}

/* --- rows for people -------------------------------------------------------------------------- */

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static const char *text(const json_t *object, const char *key) {
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static void put_heading(const json_t *row, qn_buf *out) {
    const json_t *prediction = json_object_get(row, "prediction");
    qn_buf_printf(out, "Row %lld: ", (long long)json_integer_value(json_object_get(row, "row")));
    if (json_is_string(prediction))
        qn_buf_printf(out, "%s, probability of %s %.4g", json_string_value(prediction),
                      text(row, "output"), number(row, "probability"));
    else
        qn_buf_printf(out, "%.6g", json_number_value(prediction));
    qn_buf_printf(out, "; raw score %.6g, of which %.6g is the base\n\n", number(row, "raw"),
                  number(row, "base"));
}

static qn_status put_contributions(const json_t *row, qn_buf *out, qn_error *err) {
    qn_cleanup(qn__table_done) qn_table table = {0};
    const json_t *list = json_object_get(row, "contributions"), *item;
    double rest = 0;
    size_t i;
    QN_TRY(qn__table_init(&table, ">adds|input|value", err));
    json_array_foreach(list, i, item) {
        if (i >= MOST_SHOWN) {
            rest += number(item, "contribution");
            continue;
        }
        qn__table_row(&table);
        qn__table_cell(&table, "%+.4g", number(item, "contribution"));
        qn__table_cell(&table, "%s", text(item, "input"));
        qn__table_json(&table, json_object_get(item, "value"), 6);
    }
    if (i > MOST_SHOWN) {
        qn__table_row(&table);
        qn__table_cell(&table, "%+.4g", rest);
        qn__table_cell(&table, "the other %d", (int)i - MOST_SHOWN);
        qn__table_cell(&table, "%s", "");
    }
    qn__table_write(&table, out);
    qn_buf_put_char(out, '\n');
    return QN_OK;
}

static qn_status put_interactions(const json_t *row, qn_buf *out, qn_error *err) {
    qn_cleanup(qn__table_done) qn_table table = {0};
    const json_t *list = json_object_get(row, "interactions"), *item;
    size_t i;
    if (!list)
        return QN_OK;
    QN_TRY(qn__table_init(&table, ">together|inputs", err));
    json_array_foreach(list, i, item) {
        const json_t *inputs = json_object_get(item, "inputs");
        if (i >= MOST_SHOWN)
            break;
        qn__table_row(&table);
        qn__table_cell(&table, "%+.4g", number(item, "value"));
        qn__table_cell(&table, "%s x %s", json_string_value(json_array_get(inputs, 0)),
                       json_string_value(json_array_get(inputs, 1)));
    }
    qn__table_write(&table, out);
    qn_buf_put_char(out, '\n');
    return QN_OK;
}

/* "above 22.5, up to 30.5", "cook, nurse", "missing". */
static void put_bounds(const json_t *condition, qn_buf *out) {
    const json_t *in = json_object_get(condition, "in"), *item;
    double above = number(condition, "above"), up_to = number(condition, "up_to");
    size_t i;
    if (json_is_true(json_object_get(condition, "missing"))) {
        qn_buf_put_text(out, "missing");
        return;
    }
    json_array_foreach(in, i, item) {
        if (i >= MOST_NAMED)
            break;
        qn_buf_put_text(out, i ? ", " : "");
        if (json_is_string(item))
            qn_buf_put_text(out, json_string_value(item));
        else
            qn_buf_printf(out, "%lld", (long long)json_integer_value(item));
    }
    if (json_array_size(in) > MOST_NAMED)
        qn_buf_printf(out, ", and %zu more", json_array_size(in) - MOST_NAMED);
    if (!isnan(above))
        qn_buf_printf(out, "above %.6g", above);
    if (!isnan(up_to))
        qn_buf_printf(out, "%sup to %.6g", isnan(above) ? "" : ", ", up_to);
    if (!in && isnan(above) && isnan(up_to))
        qn_buf_put_text(out, "any number");
}

static qn_status put_conditions(const json_t *row, qn_buf *out, qn_error *err) {
    qn_cleanup(qn__table_done) qn_table table = {0};
    const json_t *list = json_object_get(row, "conditions"), *item;
    size_t i;
    if (!list)
        return QN_OK;
    QN_TRY(qn__table_init(&table, ">asked|feature|the same while", err));
    json_array_foreach(list, i, item) {
        qn_cleanup(qn_buf_done) qn_buf bounds = {0};
        put_bounds(item, &bounds);
        QN_TRY(qn_buf_status(&bounds, err));
        qn__table_row(&table);
        qn__table_cell(&table, "%lld",
                       (long long)json_integer_value(json_object_get(item, "asked")));
        qn__table_cell(&table, "%s", text(item, "feature"));
        qn__table_cell(&table, "%s", qn_buf_text(&bounds));
    }
    qn__table_write(&table, out);
    qn_buf_put_char(out, '\n');
    return QN_OK;
}

static qn_status show_rows(const qn_cli_args *args, const json_t *result, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(result, "rows"), i, row) {
        put_heading(row, &out);
        QN_TRY(put_contributions(row, &out, err));
        QN_TRY(put_interactions(row, &out, err));
        QN_TRY(put_conditions(row, &out, err));
    }
    return qn__cli_print(args, &out, err);
}

/* --- a column for people ---------------------------------------------------------------------- */

static qn_status show_dependence(const qn_cli_args *args, const json_t *result, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_cleanup(qn__table_done) qn_table table = {0};
    static const char *const keys[] = {"y", "low", "high", "raw", "n"};
    const json_t *x;
    size_t i;
    QN_TRY(qn__table_init(&table, "value|>mean answer|>10%|>90%|>raw score, alone|>rows near",
                          err));
    json_array_foreach(json_object_get(result, "x"), i, x) {
        qn__table_row(&table);
        qn__table_json(&table, x, 6);
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            qn__table_json(&table, json_array_get(json_object_get(result, keys[k]), i), 4);
    }
    qn_buf_printf(&out, "How %s follows %s\n\n", text(result, "output"), text(result, "feature"));
    qn__table_write(&table, &out);
    return qn__cli_print(args, &out, err);
}

/* --- the model for people --------------------------------------------------------------------- */

static qn_status show_model(const qn_cli_args *args, const json_t *result, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_cleanup(qn__table_done) qn_table table = {0};
    const json_t *inputs = json_object_get(result, "inputs"), *item;
    bool has_splits = json_object_get(json_array_get(inputs, 0), "splits") != NULL;
    size_t i;
    QN_TRY(qn__table_init(&table, has_splits ? "input|>share of gain|>splits" : "input|>share",
                          err));
    json_array_foreach(inputs, i, item) {
        qn__table_row(&table);
        qn__table_cell(&table, "%s", text(item, "input"));
        qn__table_cell(&table, "%.2f%%", 100 * number(item, "share"));
        if (has_splits)
            qn__table_json(&table, json_object_get(item, "splits"), 12);
    }
    qn__table_write(&table, &out);
    return qn__cli_print(args, &out, err);
}

qn_status qn__cmd_explain(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_json_free) json_t *result = NULL;
    qn_explain_options options;
    const char *column = qn__cli_value(args, "dependence");
    int64_t n_curves = 0;
    QN_TRY(read_options(args, &options, err));
    QN_TRY(read_count(args, "curves", 0, &n_curves, err));
    QN_TRY(qn_reference_open(args->folder, args->arguments[0], &model, NULL, err));
    if (!options.input)
        QN_TRY(qn_explain_model(model, &result, err));
    else if (column)
        QN_TRY(qn_explain_dependence(model, &options, column, n_curves, &args->job, &result, err));
    else
        QN_TRY(qn_explain_file(model, &options, &args->job, &result, err));
    if (args->json)
        return qn__cli_print_json(args, result, err);
    return !options.input ? show_model(args, result, err)
           : column       ? show_dependence(args, result, err)
                          : show_rows(args, result, err);
}
