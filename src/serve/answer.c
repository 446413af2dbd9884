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

qn__wishes qn__wishes_of(qn__exchange *x, bool probabilities) {
    const char *extra = qn__query(x, "extra"), *absent = qn__query(x, "absent");
    return (qn__wishes){
        .probabilities = qn__query_flag(x, "probabilities", probabilities),
        .explain = qn__query_flag(x, "explain", false),
        .policy = {.refuse_extra = extra ? strcmp(extra, "refuse") == 0
                                         : x->server->options.refuse_extra,
                   .absent_is_null = absent && strcmp(absent, "null") == 0},
    };
}

static bool is_word(qn_scan_string text, const char *word) {
    return text.n == strlen(word) && memcmp(text.bytes, word, text.n) == 0;
}

qn_status qn__wishes_read(qn_scan *scan, qn__wishes *wishes, qn_error *err) {
    bool first = true;
    qn_scan_string key, text;
    if (qn_scan_null(scan))
        return QN_OK;
    if (!qn_scan_open(scan, '{'))
        return qn_scan_error(scan, "the parameters", err);
    while (qn_scan_member(scan, &first, &key)) {
        bool *flag = is_word(key, "probabilities") ? &wishes->probabilities
                     : is_word(key, "explain")     ? &wishes->explain
                                                   : NULL;
        char c = qn_scan_peek(scan);
        if (flag && (c == 't' || c == 'f'))
            qn_scan_bool(scan, flag);
        else if (is_word(key, "extra") && c == '"' && qn_scan_text(scan, &text))
            wishes->policy.refuse_extra = is_word(text, "refuse");
        else if (is_word(key, "absent") && c == '"' && qn_scan_text(scan, &text))
            wishes->policy.absent_is_null = is_word(text, "null");
        else
            qn_scan_skip(scan); /* other parameters are for other servers */
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
