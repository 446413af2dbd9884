#include "evaluate/value.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "evaluate/value_int.h"

const char *const qn__outcome_names[QN_N_OUTCOMES] = {"true_positive", "false_positive",
                                                      "false_negative", "true_negative"};

void qn_value_spec_free(qn_value_spec **spec) {
    if (!spec || !*spec)
        return;
    for (int i = 0; i < QN_N_OUTCOMES; i++)
        qn_expr_free(&(*spec)->payoff[i]);
    qn_expr_free(&(*spec)->per_row);
    qn_freep(&(*spec)->matrix);
    qn_freep(&(*spec)->currency);
    qn_json_free(&(*spec)->stated);
    qn_freep(spec);
}

const char *qn_value_currency(const qn_value_spec *spec) {
    return spec->currency;
}

static bool expr_uses(const qn_expr *expr, const char *column) {
    const char *name;
    for (size_t i = 0; expr && (name = qn_expr_name(expr, i)); i++) {
        if (!strcmp(name, column))
            return true;
    }
    return false;
}

bool qn_value_uses(const qn_value_spec *spec, const char *column) {
    for (int i = 0; i < QN_N_OUTCOMES; i++) {
        if (expr_uses(spec->payoff[i], column))
            return true;
    }
    return expr_uses(spec->per_row, column);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The keys each task knows; all know `currency`. */
static const char *const task_keys[][6] = {
    [QN_TASK_BINARY] = {"true_positive", "false_positive", "false_negative", "true_negative",
                        "currency"},
    [QN_TASK_MULTICLASS] = {"matrix", "currency"},
    [QN_TASK_REGRESSION] = {"per_row", "currency"},
};

static qn_status check_keys(const json_t *object, qn_task task, qn_error *err) {
    const char *const *keys = task_keys[task];
    size_t n_keys = 0;
    while (keys[n_keys])
        n_keys++;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        bool known = false;
        for (size_t i = 0; i < n_keys; i++)
            known = known || !strcmp(key, keys[i]);
        if (known)
            continue;
        const char *nearest = qn_text_nearest(key, keys, n_keys);
        QN_FAIL_IF(nearest, err, QN_ERR_CONFIG, "value: unknown key '%s'; did you mean '%s'?", key,
                   nearest);
        return qn_error_set(
            err, QN_ERR_CONFIG, "value: unknown key '%s' for a %s task; it takes %s%s", key,
            qn_task_name(task), keys[0],
            task == QN_TASK_BINARY ? ", false_positive, false_negative, true_negative" : "");
    }
    return QN_OK;
}

/* A payoff: a number, or a text to compile. Absent or null leaves *ret_expr NULL. */
static qn_status parse_payoff(const json_t *object, const char *key, const char *const *names,
                              size_t n_names, qn_expr **ret_expr, qn_error *err) {
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value))
        return QN_OK;
    char number[QN_DOUBLE_TEXT];
    const char *text = json_string_value(value);
    if (json_is_number(value)) {
        qn_double_to_text(json_number_value(value), number);
        text = number;
    }
    QN_FAIL_IF(!text, err, QN_ERR_CONFIG, "value: %s must be a number or an expression", key);
    qn_status status = qn_expr_compile(text, names, n_names, ret_expr, err);
    if (status == QN_ERR_CONFIG || status == QN_ERR_LIMIT)
        qn_error_prefix(err, "value: %s", key);
    return status;
}

static qn_status note_expression(qn_value_spec *spec, const char *key, const qn_expr *expr,
                                 qn_error *err) {
    if (expr && json_object_set_new(spec->stated, key, json_string(qn_expr_text(expr))) != 0)
        return qn_error_memory(err);
    return QN_OK;
}

static qn_status parse_binary(qn_value_spec *spec, const json_t *object, const char *const *columns,
                              size_t n_columns, qn_error *err) {
    bool any = false;
    for (int i = 0; i < QN_N_OUTCOMES; i++) {
        const char *key = qn__outcome_names[i];
        QN_TRY(parse_payoff(object, key, columns, n_columns, &spec->payoff[i], err));
        QN_TRY(note_expression(spec, key, spec->payoff[i], err));
        any = any || spec->payoff[i];
    }
    QN_FAIL_IF(!any, err, QN_ERR_CONFIG,
               "value: states no payoff; give true_positive, false_positive, false_negative or "
               "true_negative");
    return QN_OK;
}

static qn_status find_class(const qn_target_info *target, const char *label, int32_t *ret_class,
                            qn_error *err) {
    for (int32_t k = 0; k < target->n_classes; k++) {
        if (!strcmp(target->classes[k], label)) {
            *ret_class = k;
            return QN_OK;
        }
    }
    const char *nearest = qn_text_nearest(label, (const char *const *)target->classes,
                                          (size_t)target->n_classes);
    QN_FAIL_IF(nearest, err, QN_ERR_CONFIG,
               "value: matrix: there is no class '%s'; did you mean '%s'?", label, nearest);
    return qn_error_set(err, QN_ERR_CONFIG, "value: matrix: there is no class '%s'", label);
}

static qn_status parse_matrix(qn_value_spec *spec, const json_t *object,
                              const qn_target_info *target, qn_error *err) {
    json_t *matrix = json_object_get(object, "matrix");
    size_t n = (size_t)target->n_classes;
    QN_FAIL_IF(!json_is_object(matrix), err, QN_ERR_CONFIG,
               "value: matrix must map actual labels to maps from predicted labels to payoffs");
    QN_FAIL_IF(n > QN_LIMIT_CLASSES, err, QN_ERR_LIMIT, "value: more than %d classes",
               QN_LIMIT_CLASSES);
    spec->n_classes = target->n_classes;
    if (!(spec->matrix = qn_new_array(double, n * n)))
        return qn_error_memory(err);
    const char *actual, *predicted;
    json_t *row, *payoff;
    json_object_foreach(matrix, actual, row) {
        int32_t a = 0, p = 0;
        QN_TRY(find_class(target, actual, &a, err));
        QN_FAIL_IF(!json_is_object(row), err, QN_ERR_CONFIG,
                   "value: matrix: '%s' must map predicted labels to payoffs", actual);
        json_object_foreach(row, predicted, payoff) {
            QN_TRY(find_class(target, predicted, &p, err));
            QN_FAIL_IF(!json_is_number(payoff), err, QN_ERR_CONFIG,
                       "value: matrix: the payoff of '%s' for '%s' must be a number", predicted,
                       actual);
            spec->matrix[(size_t)a * n + (size_t)p] = json_number_value(payoff);
        }
    }
    qn_json_free(&spec->stated);
    spec->stated = json_deep_copy(matrix);
    return spec->stated ? QN_OK : qn_error_memory(err);
}

/* Columns may not hide `prediction` and `actual`: these come last and the evaluator looks at them
 * first. */
static qn_status parse_regression(qn_value_spec *spec, const json_t *object,
                                  const char *const *columns, size_t n_columns, qn_error *err) {
    qn_cleanup(qn_freep) const char **names = qn_calloc(n_columns + 2, sizeof *names);
    if (!names)
        return qn_error_memory(err);
    for (size_t i = 0; i < n_columns; i++)
        names[i] = columns[i];
    names[n_columns] = "prediction";
    names[n_columns + 1] = "actual";
    QN_TRY(parse_payoff(object, "per_row", names, n_columns + 2, &spec->per_row, err));
    QN_FAIL_IF(
        !spec->per_row, err, QN_ERR_CONFIG,
        "value: a regression states per_row, an expression over columns, prediction and actual");
    return note_expression(spec, "per_row", spec->per_row, err);
}

qn_status qn_value_spec_parse(const json_t *object, const qn_target_info *target,
                              const char *const *columns, size_t n_columns,
                              qn_value_spec **ret_spec, qn_error *err) {
    QN_FAIL_IF(!json_is_object(object), err, QN_ERR_CONFIG, "value: must be a map of payoffs");
    QN_TRY(check_keys(object, target->task, err));
    const json_t *currency = json_object_get(object, "currency");
    QN_FAIL_IF(currency && !json_is_string(currency), err, QN_ERR_CONFIG,
               "value: currency must be text");
    qn_cleanup(qn_value_spec_free) qn_value_spec *spec = qn_new(qn_value_spec);
    if (!spec || !(spec->currency = qn_strdup(currency ? json_string_value(currency) : "")) ||
        !(spec->stated = json_object()))
        return qn_error_memory(err);
    spec->task = target->task;
    if (target->task == QN_TASK_BINARY)
        QN_TRY(parse_binary(spec, object, columns, n_columns, err));
    else if (target->task == QN_TASK_MULTICLASS)
        QN_TRY(parse_matrix(spec, object, target, err));
    else
        QN_TRY(parse_regression(spec, object, columns, n_columns, err));
    *ret_spec = qn_steal(&spec);
    return QN_OK;
}

/* --- money of rows ---------------------------------------------------------------------------- */

qn_status qn_value_payoffs(const qn_value_spec *spec, const qn_frame *frame, const int64_t *rows,
                           int64_t n, double **ret_payoffs, qn_error *err) {
    QN_FAIL_IF(spec->task != QN_TASK_BINARY, err, QN_ERR_USAGE,
               "outcomes have payoffs only in a binary task");
    size_t n_items = 0;
    if (!qn_size_mul((size_t)n, QN_N_OUTCOMES, &n_items))
        return qn_error_memory(err);
    qn_cleanup(qn_freep) double *payoffs = qn_calloc_aligned(n_items, sizeof *payoffs);
    if (!payoffs)
        return qn_error_memory(err);
    for (int i = 0; i < QN_N_OUTCOMES; i++) {
        if (spec->payoff[i])
            QN_TRY(qn_expr_eval(spec->payoff[i], frame, rows, n, NULL, 0, payoffs + i,
                                QN_N_OUTCOMES, err));
    }
    *ret_payoffs = qn_steal(&payoffs);
    return QN_OK;
}

int32_t qn__value_decide(const qn_value_spec *spec, const double *p) {
    int32_t n = spec->n_classes, best = 0;
    double best_payoff = -INFINITY;
    for (int32_t d = 0; d < n; d++) {
        double payoff = 0;
        for (int32_t k = 0; k < n; k++)
            payoff += p[k] * spec->matrix[(size_t)k * (size_t)n + (size_t)d];
        if (payoff > best_payoff) {
            best_payoff = payoff;
            best = d;
        }
    }
    return best;
}

qn_status qn__value_per_row(const qn_value_spec *spec, const qn_value_rows *rows,
                            const double *predictions, double *money, qn_error *err) {
    const qn_expr_extra extras[] = {{"prediction", predictions}, {"actual", rows->y}};
    return qn_expr_eval(spec->per_row, rows->frame, rows->rows, rows->n, extras, 2, money, 1, err);
}

static qn_status binary_money(const qn_value_spec *spec, const qn_value_rows *rows,
                              double threshold, double *money, qn_error *err) {
    qn_cleanup(qn_freep) double *payoffs = NULL;
    QN_TRY(qn_value_payoffs(spec, rows->frame, rows->rows, rows->n, &payoffs, err));
    for (int64_t i = 0; i < rows->n; i++)
        money[i] =
            payoffs[i * QN_N_OUTCOMES + qn__outcome(rows->y[i], rows->scores[i] >= threshold)];
    return QN_OK;
}

qn_status qn_value_money(const qn_value_spec *spec, const qn_value_rows *rows, double threshold,
                         double **ret_money, qn_error *err) {
    qn_cleanup(qn_freep) double *money = qn_new_array(double, rows->n);
    if (!money)
        return qn_error_memory(err);
    if (spec->task == QN_TASK_BINARY) {
        QN_TRY(binary_money(spec, rows, threshold, money, err));
    } else if (spec->task == QN_TASK_REGRESSION) {
        QN_TRY(qn__value_per_row(spec, rows, rows->scores, money, err));
    } else {
        int32_t n = spec->n_classes;
        for (int64_t i = 0; i < rows->n; i++)
            money[i] = spec->matrix[(int64_t)rows->y[i] * n +
                                    qn__value_decide(spec, rows->scores + i * n)];
    }
    *ret_money = qn_steal(&money);
    return QN_OK;
}
