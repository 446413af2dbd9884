/* Predictions as JSON and CSV. */
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "serve/serve_int.h"

/* Escaped as JSON asks; bytes that are not UTF-8 cannot come here: labels and names are checked
 * when a model is opened. */
void qn__put_json_text(qn_buf *out, const char *bytes, size_t n) {
    static const char digits[] = "0123456789abcdef";
    size_t from = 0;
    qn_buf_put_char(out, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        qn_buf_put(out, bytes + from, i - from);
        from = i + 1;
        if (c == '"' || c == '\\') {
            char pair[] = {'\\', (char)c};
            qn_buf_put(out, pair, 2);
        } else if (c == '\n') {
            qn_buf_put(out, "\\n", 2);
        } else {
            char code[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
            qn_buf_put(out, code, 6);
        }
    }
    qn_buf_put(out, bytes + from, n - from);
    qn_buf_put_char(out, '"');
}

void qn__put_number(qn_buf *out, double x) {
    char text[QN_NUMBER_TEXT];
    if (isfinite(x))
        qn_buf_put(out, text, qn_number_write(x, text));
    else
        qn_buf_put(out, "null", 4);
}

/* --- wishes ----------------------------------------------------------------------------------- */

static qn_status not_one(const char *name, const char *of, qn_error *err) {
    return qn_error_set(err, QN_ERR_USAGE, "%s must be %s", name, of);
}

/* "?explain" alone is a yes. */
static qn_status query_flag(qn__exchange *x, const char *name, bool *flag, qn_error *err) {
    const char *text = qn__query(x, name);
    if (!text)
        return QN_OK;
    *flag = !*text || strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    return *flag || strcmp(text, "false") == 0 || strcmp(text, "0") == 0
               ? QN_OK : not_one(name, "true or false", err);
}

static qn_status query_word(qn__exchange *x, const char *name, const char *yes, const char *no,
                            bool *flag, qn_error *err) {
    const char *text = qn__query(x, name);
    if (!text)
        return QN_OK;
    *flag = strcmp(text, yes) == 0;
    return *flag || strcmp(text, no) == 0
               ? QN_OK : qn_error_set(err, QN_ERR_USAGE, "%s must be %s or %s", name, yes, no);
}

qn_status qn__wishes_of(qn__exchange *x, bool probabilities, qn__wishes *ret_wishes,
                        qn_error *err) {
    qn__wishes wishes = {.probabilities = probabilities,
                         .policy.refuse_extra = x->server->options.refuse_extra};
    if (x->head.n_arguments == 0) {
        *ret_wishes = wishes;
        return QN_OK;
    }
    QN_TRY(query_flag(x, "probabilities", &wishes.probabilities, err));
    QN_TRY(query_flag(x, "explain", &wishes.explain, err));
    QN_TRY(query_word(x, "extra", "refuse", "ignore", &wishes.policy.refuse_extra, err));
    QN_TRY(query_word(x, "absent", "null", "refuse", &wishes.policy.absent_is_null, err));
    *ret_wishes = wishes;
    return QN_OK;
}

static qn_status read_flag(qn_scan *scan, const char *name, bool *flag, qn_error *err) {
    return qn_scan_bool(scan, flag) ? QN_OK : not_one(name, "true or false", err);
}

static qn_status read_word(qn_scan *scan, const char *name, const char *yes, const char *no,
                           bool *flag, qn_error *err) {
    qn_scan_string text = {"", 0};
    const bool is_text = qn_scan_text(scan, &text);
    *flag = is_text && qn_scan_is(text, yes);
    return *flag || (is_text && qn_scan_is(text, no))
               ? QN_OK : qn_error_set(err, QN_ERR_USAGE, "%s must be %s or %s", name, yes, no);
}

qn_status qn__wishes_read(qn_scan *scan, qn__wishes *wishes, qn_error *err) {
    bool first = true;
    qn_scan_string key;
    if (qn_scan_null(scan))
        return QN_OK;
    if (!qn_scan_open(scan, '{'))
        return qn_scan_error(scan, "the parameters", err);
    while (qn_scan_member(scan, &first, &key)) {
        qn_rows_policy *policy = &wishes->policy;
        if (qn_scan_is(key, "probabilities"))
            QN_TRY(read_flag(scan, "probabilities", &wishes->probabilities, err));
        else if (qn_scan_is(key, "explain"))
            QN_TRY(read_flag(scan, "explain", &wishes->explain, err));
        else if (qn_scan_is(key, "extra"))
            QN_TRY(read_word(scan, "extra", "refuse", "ignore", &policy->refuse_extra, err));
        else if (qn_scan_is(key, "absent"))
            QN_TRY(read_word(scan, "absent", "null", "refuse", &policy->absent_is_null, err));
        else if (!qn_scan_skip(scan)) /* other parameters are for other servers */
            break;
    }
    return scan->problem ? qn_scan_error(scan, "the parameters", err) : QN_OK;
}

/* --- JSON ------------------------------------------------------------------------------------- */

void qn__put_prediction(qn_buf *out, const qn__served *served, const double *scores) {
    if (served->target->task == QN_TASK_REGRESSION)
        qn__put_number(out, scores[0]);
    else
        qn_buf_put_text(out, served->class_json[qn_model_decide(served->model, scores)]);
}

void qn__put_scores(qn_buf *out, const qn__served *served, const double *scores) {
    if (served->target->task != QN_TASK_MULTICLASS) {
        qn__put_number(out, scores[0]);
        return;
    }
    for (int32_t k = 0; k < served->n_outputs; k++) {
        qn_buf_put(out, k ? ", " : "[", k ? 2 : 1);
        qn__put_number(out, scores[k]);
    }
    qn_buf_put_char(out, ']');
}

static void put_probabilities(qn_buf *out, const qn__served *served, const double *scores) {
    const qn_target_info *target = served->target;
    if (target->task == QN_TASK_REGRESSION)
        return;
    if (target->task == QN_TASK_BINARY) {
        qn_buf_put_text(out, ", \"probability\": ");
        qn__put_number(out, scores[0]);
        return;
    }
    qn_buf_put_text(out, ", \"probabilities\": {");
    for (int32_t k = 0; k < served->n_outputs; k++) {
        qn_buf_put_text(out, k ? ", " : "");
        qn__put_json_text(out, target->classes[k], strlen(target->classes[k]));
        qn_buf_put_text(out, ": ");
        qn__put_number(out, scores[k]);
    }
    qn_buf_put_char(out, '}');
}

/* {"age": 0.2, "job": -0.1}, with what they are added to before. */
static void put_contributions(qn_buf *out, const qn__served *served, const double *contrib) {
    int32_t n = served->inputs->n_columns;
    qn_buf_put_text(out, "{\"base_value\": ");
    qn__put_number(out, contrib[n]);
    qn_buf_put_text(out, ", \"contributions\": {");
    for (int32_t i = 0; i < n; i++) {
        const char *name = served->inputs->columns[i].name;
        qn_buf_put_text(out, i ? ", " : "");
        qn__put_json_text(out, name, strlen(name));
        qn_buf_put_text(out, ": ");
        qn__put_number(out, contrib[i]);
    }
    qn_buf_put_text(out, "}}");
}

static void put_explanation(qn_buf *out, const qn__served *served, const double *contrib) {
    int32_t n = served->inputs->n_columns + 1;
    qn_buf_put_text(out, ", \"explanation\": ");
    if (served->n_outputs == 1) {
        put_contributions(out, served, contrib);
        return;
    }
    for (int32_t k = 0; k < served->n_outputs; k++) {
        qn_buf_put_text(out, k ? ", " : "{");
        qn__put_json_text(out, served->target->classes[k], strlen(served->target->classes[k]));
        qn_buf_put_text(out, ": ");
        put_contributions(out, served, contrib + (int64_t)k * n);
    }
    qn_buf_put_char(out, '}');
}

void qn__put_members(qn_buf *out, const qn__served *served, const qn__desk *desk, int64_t i_row,
                     const qn__wishes *wishes) {
    const double *scores = desk->scores + i_row * served->n_outputs;
    qn_buf_put_text(out, "\"prediction\": ");
    qn__put_prediction(out, served, scores);
    if (wishes->probabilities)
        put_probabilities(out, served, scores);
    if (wishes->explain)
        put_explanation(out, served, desk->contrib + i_row * served->n_outputs
                                                        * ((int64_t)served->inputs->n_columns + 1));
}

void qn__put_row(qn_buf *out, const qn__served *served, const qn__desk *desk, int64_t i_row,
                 const qn__wishes *wishes) {
    qn_buf_put_char(out, '{');
    qn__put_members(out, served, desk, i_row, wishes);
    qn_buf_put_char(out, '}');
}

void qn__put_predictions(qn_buf *out, const qn__served *served, const qn__desk *desk,
                         const qn__wishes *wishes) {
    int64_t n = qn_rows_count(desk->rows);
    qn_buf_put_char(out, '[');
    for (int64_t i = 0; i < n; i++) {
        if (i)
            qn_buf_put(out, ", ", 2);
        if (wishes->probabilities || wishes->explain)
            qn__put_row(out, served, desk, i, wishes);
        else
            qn__put_prediction(out, served, desk->scores + i * served->n_outputs);
    }
    qn_buf_put_char(out, ']');
}

/* --- CSV -------------------------------------------------------------------------------------- */

/* Quoted when it has to be. */
static void put_cell(qn_buf *out, const char *text) {
    if (!text[strcspn(text, ",\"\r\n")]) {
        qn_buf_put_text(out, text);
        return;
    }
    qn_buf_put_char(out, '"');
    for (; *text; text++) {
        if (*text == '"')
            qn_buf_put_char(out, '"');
        qn_buf_put_char(out, *text);
    }
    qn_buf_put_char(out, '"');
}

void qn__put_csv(qn_buf *out, const qn__served *served, const qn__desk *desk, bool header) {
    const qn_target_info *target = served->target;
    bool regression = target->task == QN_TASK_REGRESSION;
    if (header) {
        qn_buf_put_text(out, "prediction");
        for (int32_t k = 0; !regression && k < served->n_outputs; k++) {
            qn_buf_put_text(out, ",");
            qn_cleanup(qn_freep) char *name =
                served->n_outputs == 1 ? qn_strdup("probability")
                                       : qn_format("probability_%s", target->classes[k]);
            put_cell(out, name ? name : "");
        }
        qn_buf_put_char(out, '\n');
    }
    for (int64_t i = 0; i < qn_rows_count(desk->rows); i++) {
        const double *scores = desk->scores + i * served->n_outputs;
        if (regression)
            qn_buf_put_double(out, scores[0]);
        else
            put_cell(out, target->classes[qn_model_decide(served->model, scores)]);
        for (int32_t k = 0; !regression && k < served->n_outputs; k++) {
            qn_buf_put_char(out, ',');
            qn_buf_put_double(out, scores[k]);
        }
        qn_buf_put_char(out, '\n');
    }
}
