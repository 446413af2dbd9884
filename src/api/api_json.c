/* Rows in and answers out as JSON. */
#include <math.h>
#include <string.h>

#include "api/api_int.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/rows_json.h"

#define STRINGIFY(x) #x
#define VERSION_TEXT(major, minor, patch) STRINGIFY(major) "." STRINGIFY(minor) "." STRINGIFY(patch)

const char *qn_version(void) {
    return VERSION_TEXT(QN_VERSION_MAJOR, QN_VERSION_MINOR, QN_VERSION_PATCH);
}

void qn_text_free(char **text) {
    qn_freep(text);
}

/* --- in --------------------------------------------------------------------------------------- */

static qn_status read_rows(qn_rows *rows, qn_scan *scan, const qn_options *options,
                           bool *ret_is_list, qn_error *err) {
    qn_cleanup(qn_rows_reader_free) qn_rows_reader *reader = NULL;
    QN_TRY(qn_rows_reader_new(rows, qn_model_inputs(qn_rows_model(rows)), &reader, err));
    qn_rows_reader_set_policy(reader,
                              (qn_rows_policy){.refuse_extra = options->refuse_extra,
                                               .absent_is_null = options->absent_is_missing});
    *ret_is_list = qn_scan_peek(scan) == '[';
    if (*ret_is_list) {
        QN_TRY(qn_rows_columns_all(reader, err));
        QN_TRY(qn_rows_read_list(reader, scan, err));
    } else {
        QN_TRY(qn_rows_read_object(reader, scan, err));
    }
    return qn_scan_finish(scan) ? QN_OK : qn_scan_error(scan, "the text", err);
}

static qn_status add_json(qn_rows *rows, const char *json, size_t n, const qn_options *options,
                          bool *ret_is_list, qn_error *err) {
    qn_cleanup(qn_freep) char *text = qn_strndup(json, n); /* the scanner wants a NUL behind */
    if (!text)
        return qn_error_memory(err);
    qn_cleanup(qn_scan_done) qn_scan scan;
    qn_scan_init(&scan, text, n);
    return read_rows(rows, &scan, options, ret_is_list, err);
}

qn_status qn_rows_add_json(qn_rows *rows, const char *json, size_t n, const qn_options *options,
                           qn_error *err) {
    qn_options o;
    bool is_list;
    QN_TRY(qn__options_read(options, &o, err));
    return add_json(rows, json, n, &o, &is_list, err);
}

/* --- out -------------------------------------------------------------------------------------- */

/* What every row's answer repeats. */
typedef struct answer_words {
    char **items; /* owned, each owned: JSON texts */
    int32_t n;
} answer_words;

static void words_done(answer_words *words) {
    for (int32_t i = 0; i < words->n; i++)
        qn_freep(&words->items[i]);
    qn_freep(&words->items);
}

static qn_status words_add(answer_words *words, const char *text, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_json_write_text(text, strlen(text), QN_JSON_COMPACT, &out);
    QN_TRY(qn_buf_status(&out, err));
    words->items[words->n++] = qn_buf_steal(&out);
    return QN_OK;
}

static qn_status words_new(answer_words *words, int32_t n, qn_error *err) {
    words->items = qn_new_array(char *, n);
    return words->items ? QN_OK : qn_error_memory(err);
}

typedef struct answer {
    const qn_model *model;
    answer_words classes, outputs, inputs; /* inputs: only to explain */
} answer;

static void answer_done(answer *a) {
    words_done(&a->classes);
    words_done(&a->outputs);
    words_done(&a->inputs);
}

static qn_status answer_init(answer *a, const qn_model *model, bool explain, qn_error *err) {
    const qn_target_info *target = qn_model_target(model);
    const int32_t n_outputs = qn_model_n_outputs(model);
    const qn_schema *inputs = qn_model_inputs(model);
    a->model = model;
    QN_TRY(words_new(&a->classes, target->n_classes, err));
    for (int32_t i = 0; i < target->n_classes; i++)
        QN_TRY(words_add(&a->classes, target->classes[i], err));
    QN_TRY(words_new(&a->outputs, n_outputs, err));
    for (int32_t i = 0; i < n_outputs; i++) {
        qn_cleanup(qn_freep) char *name = qn__output_name(model, i);
        if (!name)
            return qn_error_memory(err);
        QN_TRY(words_add(&a->outputs, name, err));
    }
    QN_TRY(words_new(&a->inputs, explain ? inputs->n_columns : 0, err));
    for (int32_t i = 0; explain && i < inputs->n_columns; i++)
        QN_TRY(words_add(&a->inputs, inputs->columns[i].name, err));
    return QN_OK;
}

static void put_number(qn_buf *out, double x) {
    if (isfinite(x))
        qn_buf_put_double(out, x);
    else
        qn_buf_put_text(out, "null");
}

static void put_scores(const answer *a, const double *scores, qn_buf *out) {
    if (a->classes.n == 0) {
        qn_buf_put_text(out, "\"prediction\": ");
        put_number(out, scores[0]);
        return;
    }
    qn_buf_printf(out, "\"prediction\": %s", a->classes.items[qn_model_decide(a->model, scores)]);
    for (int32_t k = 0; k < a->outputs.n; k++) {
        qn_buf_printf(out, ", %s: ", a->outputs.items[k]);
        put_number(out, scores[k]);
    }
}

static void put_contributions(const answer *a, const double *contrib, qn_buf *out) {
    const int32_t n_inputs = a->inputs.n, n_outputs = a->outputs.n;
    qn_buf_put_text(out, n_outputs > 1 ? ", \"explanation\": [" : ", \"explanation\": ");
    for (int32_t k = 0; k < n_outputs; k++, contrib += n_inputs + 1) {
        qn_buf_put_text(out, k ? ", {\"base\": " : "{\"base\": ");
        put_number(out, contrib[n_inputs]);
        qn_buf_put_text(out, ", \"inputs\": {");
        for (int32_t i = 0; i < n_inputs; i++) {
            qn_buf_printf(out, "%s%s: ", i ? ", " : "", a->inputs.items[i]);
            put_number(out, contrib[i]);
        }
        qn_buf_put_text(out, "}}");
    }
    if (n_outputs > 1)
        qn_buf_put_char(out, ']');
}

/* Scores, and contributions when they are asked for, of all rows. */
static qn_status compute(qn_rows *rows, bool explain, double **ret_scores, double **ret_contrib,
                         qn_error *err) {
    const qn_model *model = qn_rows_model(rows);
    const size_t n_items = (size_t)qn_rows_count(rows) * (size_t)qn_model_n_outputs(model);
    qn_cleanup(qn_freep) double *scores = qn_new_array(double, n_items);
    qn_cleanup(qn_freep) double *contrib = NULL;
    if (!scores)
        return qn_error_memory(err);
    QN_TRY(qn_rows_predict(rows, scores, err));
    if (explain) {
        const size_t width = (size_t)qn_model_n_inputs(model) + 1;
        if (!(contrib = qn_calloc(n_items, width * sizeof *contrib)))
            return qn_error_memory(err);
        QN_TRY(qn_rows_explain(rows, contrib, err));
    }
    *ret_scores = qn_steal(&scores);
    *ret_contrib = qn_steal(&contrib);
    return QN_OK;
}

static qn_status write_answers(qn_rows *rows, bool is_list, bool explain, qn_buf *out,
                               qn_error *err) {
    const qn_model *model = qn_rows_model(rows);
    const int64_t n_outputs = qn_model_n_outputs(model), n_inputs = qn_model_n_inputs(model);
    qn_cleanup(answer_done) answer a = {0};
    qn_cleanup(qn_freep) double *scores = NULL, *contrib = NULL;
    QN_TRY(answer_init(&a, model, explain, err));
    QN_TRY(compute(rows, explain, &scores, &contrib, err));
    qn_buf_put_text(out, is_list ? "[" : "");
    for (int64_t r = 0; r < qn_rows_count(rows); r++) {
        qn_buf_put_text(out, r ? ", {" : "{");
        put_scores(&a, scores + r * n_outputs, out);
        if (explain)
            put_contributions(&a, contrib + r * n_outputs * (n_inputs + 1), out);
        qn_buf_put_char(out, '}');
    }
    qn_buf_put_text(out, is_list ? "]" : "");
    return qn_buf_status(out, err);
}

qn_status qn_predict_json(const qn_model *model, const char *json, size_t n,
                          const qn_options *options, char **ret_json, qn_error *err) {
    qn_options o;
    bool is_list;
    qn_cleanup(qn_rows_free) qn_rows *rows = NULL;
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    QN_TRY(qn__options_read(options, &o, err));
    QN_TRY(qn_rows_new(model, &rows, err));
    QN_TRY(add_json(rows, json, n, &o, &is_list, err));
    QN_TRY(write_answers(rows, is_list, o.explain, &out, err));
    *ret_json = qn_buf_steal(&out);
    return QN_OK;
}

qn_status qn_predict_once(const char *model_path, const char *json, char **ret_json,
                          qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    QN_TRY(qn_model_open(model_path, &model, err));
    return qn_predict_json(model, json, strlen(json), NULL, ret_json, err);
}
