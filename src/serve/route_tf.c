/* TensorFlow Serving's REST and KServe v1, and Vertex AI, whose form is the same:
 * {"instances": [rows]} or {"inputs": {columns}}. Signature "serving_default" answers predictions,
 * "probabilities" scores. */
#include <string.h>

#include "serve/serve_int.h"

typedef struct tf_request {
    qn__wishes wishes;
    bool scores;   /* signature "probabilities" */
    bool columnar; /* "inputs": the answer is "outputs" */
    bool has_rows;
} tf_request;

static qn_status read_signature(qn_scan *scan, tf_request *request, qn_error *err) {
    qn_scan_string name;
    if (qn_scan_null(scan))
        return QN_OK;
    if (!qn_scan_text(scan, &name))
        return qn_scan_error(scan, "signature_name", err);
    request->scores = qn_scan_is(name, "probabilities");
    QN_FAIL_IF(!request->scores && name.n && !qn_scan_is(name, "serving_default")
                   && !qn_scan_is(name, "predict"),
               err, QN_ERR_DATA,
               "signature_name must be serving_default (predictions) or probabilities (scores)");
    return QN_OK;
}

static qn_status read_member(qn__exchange *x, qn_scan_string key, bool rows, tf_request *request,
                             qn_error *err) {
    qn_scan *scan = &x->desk->scan;
    bool inputs = qn_scan_is(key, "inputs");
    if (qn_scan_is(key, "signature_name"))
        return read_signature(scan, request, err);
    if (qn_scan_is(key, "parameters"))
        return qn__wishes_read(scan, &request->wishes, err);
    if (!rows || (!inputs && !qn_scan_is(key, "instances")) || request->has_rows)
        return qn_scan_skip(scan) ? QN_OK : qn_scan_error(scan, "the body", err);
    request->has_rows = true;
    request->columnar = inputs;
    if (inputs && qn_scan_peek(scan) == '{')
        return qn_rows_read_columns(x->desk->reader, scan, err);
    QN_TRY(qn_rows_columns_all(x->desk->reader, err));
    return qn_rows_read_list(x->desk->reader, scan, err);
}

static qn_status read_body(qn__exchange *x, bool rows, tf_request *request, qn_error *err) {
    qn_scan *scan = &x->desk->scan;
    qn_scan_string key;
    bool first = true;
    qn_scan_again(scan, x->body, x->body_len);
    if (!qn_scan_open(scan, '{'))
        return qn_scan_error(scan, "the body", err);
    while (qn_scan_member(scan, &first, &key))
        QN_TRY(read_member(x, key, rows, request, err));
    return qn_scan_finish(scan) ? QN_OK : qn_scan_error(scan, "the body", err);
}

/* Parameters may stand behind the rows but rule how they are read. */
static qn_status read_request(qn__exchange *x, tf_request *request, qn_error *err) {
    if (memmem(x->body, x->body_len, "\"parameters\"", 12))
        QN_TRY(read_body(x, false, request, err));
    qn_rows_reader_set_policy(x->desk->reader, request->wishes.policy);
    QN_TRY(read_body(x, true, request, err));
    QN_FAIL_IF(!request->has_rows, err, QN_ERR_DATA,
               "the body must have \"instances\" (rows) or \"inputs\" (columns)");
    return QN_OK;
}

static void put_all_scores(qn_buf *out, const qn__served *served, const qn__desk *desk) {
    qn_buf_put_char(out, '[');
    for (int64_t i = 0; i < qn_rows_count(desk->rows); i++) {
        if (i)
            qn_buf_put(out, ", ", 2);
        qn__put_scores(out, served, desk->scores + i * served->n_outputs);
    }
    qn_buf_put_char(out, ']');
}

void qn__handle_tf_predict(qn__exchange *x) {
    if (!qn__take_model(x))
        return;
    tf_request request = {0};
    if (qn__wishes_of(x, false, &request.wishes, &x->error) != QN_OK
        || read_request(x, &request, &x->error) != QN_OK
        || qn__desk_predict(x->served, x->desk, request.wishes.explain, &x->error) != QN_OK) {
        qn__fail(x, &x->error);
        return;
    }
    qn_buf *out = qn__out(x);
    qn_buf_put_text(out, request.columnar ? "{\"outputs\": " : "{\"predictions\": ");
    if (request.scores)
        put_all_scores(out, x->served, x->desk);
    else
        qn__put_predictions(out, x->served, x->desk, &request.wishes);
    qn_buf_put(out, "}\n", 2);
}

void qn__handle_tf_status(qn__exchange *x) {
    if (!qn__take_model(x))
        return;
    qn_buf *out = qn__out(x);
    /* KServe v1 asks for name and ready, TensorFlow Serving for the versions' states. */
    qn_buf_put_text(out, "{\"name\": ");
    qn__put_json_text(out, x->served->name, strlen(x->served->name));
    qn_buf_printf(
        out,
        ", \"ready\": true, \"model_version_status\": [{\"version\": \"%s\", \"state\": "
        "\"AVAILABLE\", \"status\": {\"error_code\": \"OK\", \"error_message\": \"\"}}]}\n",
        x->served->version_text);
}

static const char *tf_type(qn_type type) {
    switch (type) {
    case QN_TYPE_BOOL:
        return "DT_BOOL";
    case QN_TYPE_I64:
        return "DT_INT64";
    case QN_TYPE_F64:
        return "DT_DOUBLE";
    default:
        return "DT_STRING";
    }
}

static void put_tensor(qn_buf *out, const char *name, const char *dtype, int32_t width) {
    qn__put_json_text(out, name, strlen(name));
    qn_buf_printf(out,
                  ": {\"dtype\": \"%s\", \"tensor_shape\": {\"dim\": [{\"size\": \"-1\", \"name\": "
                  "\"\"}", dtype);
    if (width > 1)
        qn_buf_printf(out, ", {\"size\": \"%d\", \"name\": \"\"}", width);
    qn_buf_printf(out, "], \"unknown_rank\": false}, \"name\": \"\"}");
}

static void put_signature(qn_buf *out, const qn__served *served, const char *name, bool scores) {
    bool number = scores || served->target->task == QN_TASK_REGRESSION;
    qn_buf_printf(out, "\"%s\": {\"inputs\": {", name);
    for (int32_t i = 0; i < served->inputs->n_columns; i++) {
        qn_buf_put_text(out, i ? ", " : "");
        put_tensor(out, served->inputs->columns[i].name, tf_type(served->inputs->columns[i].type),
                   1);
    }
    qn_buf_put_text(out, "}, \"outputs\": {");
    put_tensor(out, "outputs", number ? "DT_DOUBLE" : "DT_STRING",
               scores ? served->n_outputs : 1);
    qn_buf_put_text(out, "}, \"method_name\": \"tensorflow/serving/predict\"}");
}

void qn__handle_tf_metadata(qn__exchange *x) {
    if (!qn__take_model(x))
        return;
    qn_buf *out = qn__out(x);
    qn_buf_put_text(out, "{\"model_spec\": {\"name\": ");
    qn__put_json_text(out, x->served->name, strlen(x->served->name));
    qn_buf_printf(out,
                  ", \"signature_name\": \"\", \"version\": \"%s\"}, \"metadata\": "
                  "{\"signature_def\": {\"signature_def\": {",
                  x->served->version_text);
    put_signature(out, x->served, "serving_default", false);
    if (x->served->target->task != QN_TASK_REGRESSION) {
        qn_buf_put_text(out, ", ");
        put_signature(out, x->served, "probabilities", true);
    }
    qn_buf_put_text(out, "}}}}\n");
}
