/* The Open Inference Protocol v2 (KServe, Triton), with binary tensors behind the JSON. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "serve/tensor.h"

/* What is known of a request while it is read. */
typedef struct infer {
    qn__exchange *x;
    qn_scan *scan;
    char id[QN__REQUEST_ID];         /* as JSON text without quotes; "" for none */
    qn__wishes wishes;
    bool binary_output;              /* unless an output says otherwise */
    bool has_inputs, has_rows, has_matrix;
    const unsigned char *binary;     /* what is left behind the JSON */
    size_t n_binary;
    int n_wanted;                    /* outputs asked for; 0: all but contributions */
    qn__output wanted[QN__N_OUTPUTS];
    signed char is_binary[QN__N_OUTPUTS]; /* by place in wanted; -1: not said */
} infer;

static qn_status broken(const infer *r, qn_error *err) {
    return qn_scan_error(r->scan, "the body", err);
}

/* --- a tensor --------------------------------------------------------------------------------- */

static qn_status read_shape(infer *r, qn__tensor *t, qn_error *err) {
    bool first = true;
    int64_t whole;
    double real;
    t->has_shape = true;
    t->n_items = 1;
    if (!qn_scan_open(r->scan, '['))
        return broken(r, err);
    while (qn_scan_item(r->scan, &first)) {
        if (qn_scan_number(r->scan, &whole, &real) != QN_NUMBER_WHOLE || whole < 0
            || t->n_dimensions == QN__TENSOR_DIMENSIONS
            || __builtin_mul_overflow(t->n_items, whole, &t->n_items))
            return r->scan->problem ? broken(r, err)
                                    : qn_error_set(err, QN_ERR_DATA,
                                                   "a shape must be a list of up to %d sizes",
                                                   QN__TENSOR_DIMENSIONS);
        t->shape[t->n_dimensions++] = whole;
    }
    return r->scan->problem ? broken(r, err) : QN_OK;
}

static qn_status read_tensor_parameters(infer *r, qn__tensor *t, qn_error *err) {
    bool first = true;
    qn_scan_string key;
    double real;
    if (!qn_scan_open(r->scan, '{'))
        return broken(r, err);
    while (qn_scan_member(r->scan, &first, &key)) {
        if (!qn_scan_is(key, "binary_data_size")) {
            qn_scan_skip(r->scan);
            continue;
        }
        if (qn_scan_number(r->scan, &t->binary_bytes, &real) != QN_NUMBER_WHOLE
            || t->binary_bytes < 0 || (size_t)t->binary_bytes > r->n_binary)
            return qn_error_set_at(err, QN_ERR_DATA, NULL, 0, t->name,
                                   "its binary_data_size is not what follows the JSON (see the "
                                   "header Inference-Header-Content-Length)");
    }
    return r->scan->problem ? broken(r, err) : QN_OK;
}

/* One column of the model, or for a model of numbers only all of them as a matrix. */
static qn_status place_tensor(infer *r, qn__tensor *t, qn_error *err) {
    const qn__served *served = r->x->served;
    QN_FAIL_IF(!t->has_type || !t->has_shape, err, QN_ERR_DATA,
               "input '%s' needs name, shape, datatype and data", t->name);
    t->width = 1;
    for (int d = 1; d < t->n_dimensions; d++)
        t->width *= t->shape[d];
    int32_t n_inputs = served->inputs->n_columns;
    if (t->i_input < 0 && served->all_numeric && t->n_dimensions == 2 && t->width == n_inputs
        && !r->has_inputs)
        t->i_input = -1;
    if (t->i_input >= 0 && t->width != 1 && t->n_items)
        return qn_error_set_at(err, QN_ERR_DATA, NULL, 0, t->name,
                               "its shape must be [rows] or [rows, 1]");
    return QN_OK;
}

/* Rows are made by the first tensor; an item needs at least a byte of the body, so that a shape
 * alone cannot ask for memory. */
static qn_status make_rows(infer *r, const qn__tensor *t, qn_error *err) {
    int64_t n_rows = t->n_dimensions ? t->shape[0] : 1;
    QN_FAIL_IF((size_t)t->n_items > r->x->body_len, err, QN_ERR_DATA,
               "column %s: its data does not have the %lld items of its shape", t->name,
               (long long)t->n_items);
    if (!r->has_rows) {
        r->has_rows = true;
        QN_FAIL_IF((size_t)n_rows > r->x->body_len, err, QN_ERR_DATA,
                   "a shape of more rows than data");
        return qn_rows_add(r->x->desk->rows, n_rows, err);
    }
    if (qn_rows_count(r->x->desk->rows) != n_rows)
        return qn_error_set_at(err, QN_ERR_DATA, NULL, 0, t->name,
                               "it has %lld rows, the first input %lld", (long long)n_rows,
                               (long long)qn_rows_count(r->x->desk->rows));
    return QN_OK;
}

static qn_status note_tensor(infer *r, const qn__tensor *t, qn_error *err) {
    r->has_matrix = t->i_input == -1;
    if (r->has_matrix)
        return qn_rows_columns_all(r->x->desk->reader, err);
    return qn_rows_columns_add(r->x->desk->reader, t->name, strlen(t->name), err);
}

static qn_status take_data(infer *r, qn__tensor *t, qn_error *err) {
    t->has_data = true;
    QN_TRY(place_tensor(r, t, err));
    if (t->i_input == -2)
        return qn_scan_skip(r->scan) ? QN_OK : broken(r, err);
    QN_TRY(make_rows(r, t, err));
    return qn__tensor_read_json(r->x->desk, r->scan, t, err);
}

static qn_status read_tensor_member(infer *r, qn__tensor *t, qn_scan_string key, qn_error *err) {
    qn_scan_string text;
    if (qn_scan_is(key, "name")) {
        if (!qn_scan_text(r->scan, &text))
            return broken(r, err);
        int32_t i = qn_rows_reader_find(r->x->desk->reader, text.bytes, text.n);
        t->i_input = i >= 0 ? i : -2;
        size_t n = text.n < sizeof t->name - 1 ? text.n : sizeof t->name - 1;
        memcpy(t->name, text.bytes, n);
        t->name[n] = '\0';
    } else if (qn_scan_is(key, "datatype")) {
        if (!qn_scan_text(r->scan, &text))
            return broken(r, err);
        t->type = qn__datatype_find(text);
        t->has_type = true;
        QN_FAIL_IF(t->type == QN__N_DATATYPES, err, QN_ERR_DATA,
                   "input '%s': '%.*s' is not a datatype (BOOL, INT64, FP32, FP64, BYTES, ...)",
                   t->name, (int)(text.n < 40 ? text.n : 40), text.bytes);
    } else if (qn_scan_is(key, "shape") && !t->has_shape) {
        return read_shape(r, t, err);
    } else if (qn_scan_is(key, "parameters")) {
        return read_tensor_parameters(r, t, err);
    } else if (qn_scan_is(key, "data") && !t->has_data && t->has_shape
               && t->has_type && t->name[0]) {
        return take_data(r, t, err);
    } else {
        if (qn_scan_is(key, "data"))
            t->data_at = r->scan->at;
        if (!qn_scan_skip(r->scan))
            return broken(r, err);
    }
    return QN_OK;
}

static qn_status take_binary(infer *r, qn__tensor *t, qn_error *err) {
    QN_TRY(place_tensor(r, t, err));
    const unsigned char *bytes = r->binary;
    size_t n = (size_t)t->binary_bytes;
    QN_FAIL_IF(n > r->n_binary, err, QN_ERR_DATA, "input '%s': its binary data is cut short",
               t->name);
    r->binary += n;
    r->n_binary -= n;
    if (t->i_input == -2)
        return QN_OK;
    QN_TRY(make_rows(r, t, err));
    return qn__tensor_read_binary(r->x->desk, bytes, n, t, err);
}

static qn_status read_tensor(infer *r, qn_error *err) {
    qn__tensor t = {.i_input = -2, .binary_bytes = -1};
    qn_scan_string key;
    bool first = true;
    if (!qn_scan_open(r->scan, '{'))
        return broken(r, err);
    while (qn_scan_member(r->scan, &first, &key))
        QN_TRY(read_tensor_member(r, &t, key, err));
    if (r->scan->problem)
        return broken(r, err);
    if (!t.has_data && t.data_at && t.binary_bytes < 0) { /* it came before name, shape or type */
        const char *end = r->scan->at;
        r->scan->at = t.data_at;
        QN_TRY(take_data(r, &t, err));
        r->scan->at = end;
    } else if (!t.has_data) {
        QN_FAIL_IF(t.binary_bytes < 0, err, QN_ERR_DATA,
                   "input '%s' needs name, shape, datatype and data", t.name);
        QN_TRY(take_binary(r, &t, err));
    }
    QN_TRY(note_tensor(r, &t, err));
    r->has_inputs = true;
    return QN_OK;
}

static qn_status read_inputs(infer *r, qn_error *err) {
    bool first = true;
    QN_TRY(qn_rows_columns_begin(r->x->desk->reader, err));
    if (!qn_scan_open(r->scan, '['))
        return broken(r, err);
    while (qn_scan_item(r->scan, &first)) {
        QN_FAIL_IF(r->has_matrix, err, QN_ERR_DATA, "a matrix of all inputs stands alone");
        QN_TRY(read_tensor(r, err));
    }
    return r->scan->problem ? broken(r, err) : QN_OK;
}

/* --- the rest of the request ------------------------------------------------------------------ */

static qn_status read_output(infer *r, qn_error *err) {
    bool first = true, inner, truth;
    int i = r->n_wanted;
    qn_scan_string key, text;
    QN_FAIL_IF(i == QN__N_OUTPUTS, err, QN_ERR_DATA, "more outputs than the model has");
    r->is_binary[i] = -1;
    r->wanted[i] = QN__N_OUTPUTS;
    if (!qn_scan_open(r->scan, '{'))
        return broken(r, err);
    while (qn_scan_member(r->scan, &first, &key)) {
        if (qn_scan_is(key, "name") && qn_scan_text(r->scan, &text)) {
            for (int o = 0; o < QN__N_OUTPUTS; o++) {
                const char *name = qn__output_name(r->x->served, (qn__output)o);
                if (name && qn_scan_is(text, name))
                    r->wanted[i] = (qn__output)o;
            }
            QN_FAIL_IF(r->wanted[i] == QN__N_OUTPUTS, err, QN_ERR_DATA,
                       "the model has no output '%.*s': GET /v2/models/%.80s lists them",
                       (int)(text.n < 80 ? text.n : 80), text.bytes, r->x->served->name);
        } else if (qn_scan_is(key, "parameters") && qn_scan_open(r->scan, '{')) {
            for (inner = true; qn_scan_member(r->scan, &inner, &key);) {
                if (qn_scan_is(key, "binary_data") && qn_scan_bool(r->scan, &truth))
                    r->is_binary[i] = truth;
                else
                    qn_scan_skip(r->scan);
            }
        } else {
            qn_scan_skip(r->scan);
        }
    }
    if (r->scan->problem)
        return broken(r, err);
    QN_FAIL_IF(r->wanted[i] == QN__N_OUTPUTS, err, QN_ERR_DATA, "an output needs a name");
    r->n_wanted++;
    return QN_OK;
}

static qn_status read_outputs(infer *r, qn_error *err) {
    bool first = true;
    if (!qn_scan_open(r->scan, '['))
        return broken(r, err);
    while (qn_scan_item(r->scan, &first))
        QN_TRY(read_output(r, err));
    return r->scan->problem ? broken(r, err) : QN_OK;
}

/* binary_data_output, beside our own wishes. */
static qn_status read_parameters(infer *r, qn_error *err) {
    const char *begin = r->scan->at;
    bool first = true;
    qn_scan_string key;
    int depth = r->scan->depth;
    if (!qn_scan_open(r->scan, '{'))
        return broken(r, err);
    while (qn_scan_member(r->scan, &first, &key)) {
        if (qn_scan_is(key, "binary_data_output"))
            qn_scan_bool(r->scan, &r->binary_output);
        else
            qn_scan_skip(r->scan);
    }
    if (r->scan->problem)
        return broken(r, err);
    r->scan->at = begin;
    r->scan->depth = depth;
    return qn__wishes_read(r->scan, &r->wishes, err);
}

static qn_status read_id(infer *r, qn_error *err) {
    qn_scan_string text;
    if (!qn_scan_text(r->scan, &text))
        return broken(r, err);
    QN_FAIL_IF(text.n >= sizeof r->id, err, QN_ERR_DATA, "an id has at most %zu bytes",
               sizeof r->id - 1);
    memcpy(r->id, text.bytes, text.n);
    r->id[text.n] = '\0';
    return QN_OK;
}

/* Twice over the members: what rules how inputs are read may stand behind them. */
static qn_status read_members(infer *r, bool inputs, qn_error *err) {
    bool first = true;
    qn_scan_string key;
    if (!qn_scan_open(r->scan, '{'))
        return broken(r, err);
    while (qn_scan_member(r->scan, &first, &key)) {
        qn_status status = QN_OK;
        if (inputs && qn_scan_is(key, "inputs") && !r->has_inputs)
            status = read_inputs(r, err);
        else if (!inputs && qn_scan_is(key, "id"))
            status = read_id(r, err);
        else if (!inputs && qn_scan_is(key, "parameters"))
            status = read_parameters(r, err);
        else if (!inputs && qn_scan_is(key, "outputs") && !r->n_wanted)
            status = read_outputs(r, err);
        else if (!qn_scan_skip(r->scan))
            break;
        QN_TRY(status);
    }
    return qn_scan_finish(r->scan) ? QN_OK : broken(r, err);
}

/* Where the JSON ends and binary data begins. The scanner wants a NUL behind the JSON: the binary
 * data makes room for it (the body has a byte to spare). */
static qn_status find_binary(infer *r, size_t *ret_json, qn_error *err) {
    const char *header = r->x->head.fields[QN__SEAM];
    int64_t n = (int64_t)r->x->body_len;
    QN_FAIL_IF(header && (!qn_text_to_i64(header, &n) || n < 0 || (size_t)n > r->x->body_len), err,
               QN_ERR_DATA, "Inference-Header-Content-Length is not a length within the body");
    *ret_json = (size_t)n;
    char *seam = r->x->body + n;
    r->n_binary = r->x->body_len - (size_t)n;
    memmove(seam + 1, seam, r->n_binary);
    *seam = '\0';
    r->binary = (const unsigned char *)seam + 1;
    return QN_OK;
}

static qn_status read_request(infer *r, qn_error *err) {
    qn__exchange *x = r->x;
    size_t n_json;
    QN_TRY(find_binary(r, &n_json, err));
    qn_scan_again(r->scan, x->body, n_json);
    QN_TRY(read_members(r, false, err));
    qn_rows_reader_set_policy(x->desk->reader, r->wishes.policy);
    qn_scan_again(r->scan, x->body, n_json);
    QN_TRY(read_members(r, true, err));
    QN_FAIL_IF(!r->has_inputs, err, QN_ERR_DATA,
               "the body must have \"inputs\": a list of tensors");
    return r->has_matrix ? QN_OK : qn_rows_columns_end(x->desk->reader, err);
}

/* --- the answer ------------------------------------------------------------------------------- */

static bool is_binary(const infer *r, int i) {
    return r->is_binary[i] < 0 ? r->binary_output : r->is_binary[i] > 0;
}

static void put_output(infer *r, int i, qn_buf *binary) {
    const qn__served *served = r->x->served;
    qn_buf *out = qn__out(r->x);
    int64_t shape[2];
    int n = qn__output_shape(served, r->wanted[i], shape);
    qn_buf_printf(out, "%s{\"name\": \"%s\", \"datatype\": \"%s\", \"shape\": [%lld", i ? ", " : "",
                  qn__output_name(served, r->wanted[i]),
                  qn__datatype_name(qn__output_type(served, r->wanted[i])),
                  (long long)qn_rows_count(r->x->desk->rows));
    for (int d = 0; d < n; d++)
        qn_buf_printf(out, ", %lld", (long long)shape[d]);
    qn_buf_put_text(out, "], ");
    if (is_binary(r, i)) {
        size_t before = binary->len;
        qn__output_put_binary(binary, served, r->x->desk, r->wanted[i]);
        qn_buf_printf(out, "\"parameters\": {\"binary_data_size\": %zu}}", binary->len - before);
    } else {
        qn_buf_put_text(out, "\"data\": ");
        qn__output_put_json(out, served, r->x->desk, r->wanted[i]);
        qn_buf_put_char(out, '}');
    }
}

static void put_answer(infer *r) {
    qn__exchange *x = r->x;
    qn_buf *out = qn__out(x);
    qn_cleanup(qn_buf_done) qn_buf binary = {0};
    qn_buf_put_text(out, "{\"model_name\": ");
    qn__put_json_text(out, x->served->name, strlen(x->served->name));
    qn_buf_printf(out, ", \"model_version\": \"%s\", ", x->served->version_text);
    if (r->id[0]) {
        qn_buf_put_text(out, "\"id\": ");
        qn__put_json_text(out, r->id, strlen(r->id));
        qn_buf_put_text(out, ", ");
    }
    qn_buf_put_text(out, "\"outputs\": [");
    for (int i = 0; i < r->n_wanted; i++)
        put_output(r, i, &binary);
    qn_buf_put_text(out, "]}");
    if (!binary.len && binary.status == QN_OK)
        return;
    snprintf(x->extra_text, sizeof x->extra_text, "%zu", out->len);
    x->extra_name = "Inference-Header-Content-Length";
    x->extra_value = x->extra_text;
    x->content_type = "application/octet-stream";
    qn_buf_put(out, binary.data, binary.len);
    if (binary.status != QN_OK)
        out->status = binary.status;
}

static void want(infer *r, qn__output output) {
    if (!qn__output_name(r->x->served, output))
        return;
    r->wanted[r->n_wanted] = output;
    r->is_binary[r->n_wanted++] = -1;
}

static void want_usual(infer *r) {
    want(r, QN__PREDICTION);
    if (r->wishes.probabilities)
        want(r, QN__SCORES);
    if (r->wishes.explain)
        want(r, QN__CONTRIBUTIONS);
}

void qn__handle_v2_infer(qn__exchange *x) {
    if (!qn__take_model(x))
        return;
    infer r = {.x = x, .scan = &x->desk->scan};
    qn_status status = qn__wishes_of(x, true, &r.wishes, &x->error);
    if (status == QN_OK)
        status = read_request(&r, &x->error);
    if (status == QN_OK) {
        bool explain = false;
        if (!r.n_wanted)
            want_usual(&r);
        for (int i = 0; i < r.n_wanted; i++)
            explain |= r.wanted[i] == QN__CONTRIBUTIONS;
        status = qn__desk_predict(x->served, x->desk, explain, &x->error);
    }
    if (status == QN_OK)
        put_answer(&r);
    else
        qn__fail(x, &x->error);
}

/* --- metadata --------------------------------------------------------------------------------- */

void qn__handle_v2_server(qn__exchange *x) {
    qn_buf_put_text(qn__out(x), "{\"name\": \"quern\", \"version\": \"" QN_VERSION
                                "\", \"extensions\": [\"binary_tensor_data\", \"statistics\", "
                                "\"model_repository\"]}\n");
}

void qn__handle_v2_live(qn__exchange *x) {
    qn_buf_put_text(qn__out(x), "{\"live\": true}\n");
}

void qn__handle_v2_ready(qn__exchange *x) {
    qn__handle_ready(x);
}

void qn__handle_v2_model(qn__exchange *x) {
    if (!qn__take_model(x))
        return;
    qn_buf *out = qn__out(x);
    const qn__served *served = x->served;
    bool first = true;
    qn_buf_put_text(out, "{\"name\": ");
    qn__put_json_text(out, served->name, strlen(served->name));
    qn_buf_printf(out, ", \"versions\": [\"%s\"], \"platform\": \"quern_%s\", \"inputs\": [",
                  served->version_text, qn_model_learner(served->model)->family->name);
    for (int32_t i = 0; i < served->inputs->n_columns; i++) {
        const qn_schema_column *column = &served->inputs->columns[i];
        qn_buf_put_text(out, i ? ", {\"name\": " : "{\"name\": ");
        qn__put_json_text(out, column->name, strlen(column->name));
        qn_buf_printf(out, ", \"datatype\": \"%s\", \"shape\": [-1]}",
                      qn__input_datatype(column->type));
    }
    qn_buf_put_text(out, "], \"outputs\": [");
    for (int o = 0; o < QN__N_OUTPUTS; o++) {
        int64_t shape[2];
        const char *name = qn__output_name(served, (qn__output)o);
        if (!name)
            continue;
        int n = qn__output_shape(served, (qn__output)o, shape);
        qn_buf_printf(out, "%s{\"name\": \"%s\", \"datatype\": \"%s\", \"shape\": [-1",
                      first ? "" : ", ", name,
                      qn__datatype_name(qn__output_type(served, (qn__output)o)));
        for (int d = 0; d < n; d++)
            qn_buf_printf(out, ", %lld", (long long)shape[d]);
        qn_buf_put_text(out, "]}");
        first = false;
    }
    qn_buf_put_text(out, "]}\n");
}

void qn__handle_v2_model_ready(qn__exchange *x) {
    if (!qn__take_model(x))
        return;
    qn_buf_put_text(qn__out(x), "{\"name\": ");
    qn__put_json_text(qn__out(x), x->served->name, strlen(x->served->name));
    qn_buf_put_text(qn__out(x), ", \"ready\": true}\n");
}

static void put_index(qn_buf *out, const qn__served *served, bool first) {
    qn_buf_put_text(out, first ? "{\"name\": " : ", {\"name\": ");
    qn__put_json_text(out, served->name, strlen(served->name));
    qn_buf_printf(out, ", \"version\": \"%s\", \"state\": \"READY\", \"reason\": \"\"}",
                  served->version_text);
}

void qn__handle_v2_index(qn__exchange *x) {
    qn__served **all;
    size_t n;
    if (qn__models_all(x->server->models, &all, &n, &x->error) != QN_OK) {
        qn__fail(x, &x->error);
        return;
    }
    qn_buf_put_char(qn__out(x), '[');
    for (size_t i = 0; i < n; i++) {
        put_index(qn__out(x), all[i], i == 0);
        qn__served_release(all[i]);
    }
    qn_freep(&all);
    qn_buf_put_text(qn__out(x), "]\n");
}

void qn__handle_v2_load(qn__exchange *x) {
    if (qn__models_load(x->server->models, x->match.model, &x->error) != QN_OK)
        qn__fail(x, &x->error);
}

void qn__handle_v2_unload(qn__exchange *x) {
    if (qn__models_unload(x->server->models, x->match.model, &x->error) != QN_OK)
        qn__fail(x, &x->error);
}

void qn__handle_v2_stats(qn__exchange *x) {
    if (!qn__take_model(x))
        return;
    qn_buf *out = qn__out(x);
    const qn__counts *c = &x->served->counts;
    long long failed = atomic_load(&c->failures), ns = atomic_load(&c->ns);
    long long good = atomic_load(&c->requests) - failed;
    qn_buf_put_text(out, "{\"model_stats\": [{\"name\": ");
    qn__put_json_text(out, x->served->name, strlen(x->served->name));
    qn_buf_printf(out,
                  ", \"version\": \"%s\", \"inference_count\": %lld, \"execution_count\": %lld, "
                  "\"inference_stats\": {\"success\": {\"count\": %lld, \"ns\": %lld}, \"fail\": "
                  "{\"count\": %lld, \"ns\": 0}}}]}\n",
                  x->served->version_text, (long long)atomic_load(&c->rows), good, good, ns,
                  failed);
}
