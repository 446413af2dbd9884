/* /invocations, as MLflow's scoring server and a SageMaker container answer it: JSON in four forms
 * (dataframe_split, dataframe_records, instances, inputs), JSON lines, or CSV. */
#include <string.h>
#include <strings.h>

#include "serve/serve_int.h"

typedef enum body_kind { FORM_JSON, FORM_CSV, FORM_LINES } body_kind;

/* "text/csv; charset=utf-8". A media type, charset or parameter that is not known is refused, as
 * MLflow does; CSV may say header=present or header=absent (RFC 4180). */
static bool read_content_type(const char *text, body_kind *ret_form, qn__csv_header *ret_header) {
    static const struct {
        const char *type;
        body_kind form;
    } types[] = {{"application/json", FORM_JSON}, {"text/csv", FORM_CSV},
                 {"application/jsonlines", FORM_LINES}, {"application/x-ndjson", FORM_LINES}};
    size_t n = strcspn(text, "; \t"), i = 0, n_types = sizeof types / sizeof types[0];
    while (i < n_types && (strlen(types[i].type) != n || strncasecmp(text, types[i].type, n) != 0))
        i++;
    if (i == n_types)
        return false;
    *ret_form = types[i].form;
    for (text += n; *text; text += n) {
        text += strspn(text, "; \t");
        n = strcspn(text, "; \t");
        if (n == 14 && strncasecmp(text, "header=present", n) == 0)
            *ret_header = QN__HEADER_PRESENT;
        else if (n == 13 && strncasecmp(text, "header=absent", n) == 0)
            *ret_header = QN__HEADER_ABSENT;
        else if (n && !(n == 13 && strncasecmp(text, "charset=utf-8", n) == 0)
                 && !(n == 15 && strncasecmp(text, "charset=\"utf-8\"", n) == 0))
            return false;
    }
    return true;
}

static bool is_form(qn_scan_string key) {
    return qn_scan_is(key, "dataframe_split") || qn_scan_is(key, "dataframe_records")
           || qn_scan_is(key, "instances") || qn_scan_is(key, "inputs");
}

static qn_status read_rows(qn_rows_reader *reader, qn_scan *scan, qn_scan_string key,
                           qn_error *err) {
    if (qn_scan_is(key, "dataframe_split"))
        return qn_rows_read_split(reader, scan, err);
    if (qn_scan_is(key, "inputs") && qn_scan_peek(scan) == '{')
        return qn_rows_read_columns(reader, scan, err);
    QN_TRY(qn_rows_columns_all(reader, err));
    return qn_rows_read_list(reader, scan, err);
}

/* `params` may stand behind the rows but rules how they are read: it is looked for first when the
 * body has one at all. */
static qn_status read_object(qn__exchange *x, bool only_params, qn__wishes *wishes,
                             int *ret_n_forms, qn_error *err) {
    qn_scan *scan = &x->desk->scan;
    qn_scan_string key;
    bool first = true;
    qn_scan_again(scan, x->body, x->body_len);
    *ret_n_forms = 0;
    if (!qn_scan_open(scan, '{'))
        return qn_scan_error(scan, "the body", err);
    while (qn_scan_member(scan, &first, &key)) {
        bool form = is_form(key);
        *ret_n_forms += form;
        if (qn_scan_is(key, "params") || qn_scan_is(key, "parameters"))
            QN_TRY(qn__wishes_read(scan, wishes, err));
        else if (form && !only_params && *ret_n_forms == 1)
            QN_TRY(read_rows(x->desk->reader, scan, key, err));
        else if (!qn_scan_skip(scan))
            break;
    }
    return qn_scan_finish(scan) ? QN_OK : qn_scan_error(scan, "the body", err);
}

static bool mentions_params(const qn__exchange *x) {
    return memmem(x->body, x->body_len, "\"param", 6) != NULL;
}

static qn_status read_json(qn__exchange *x, qn__wishes *wishes, qn_error *err) {
    int n_forms;
    qn_scan_again(&x->desk->scan, x->body, x->body_len);
    QN_FAIL_IF(
        qn_scan_peek(&x->desk->scan) == '[', err, QN_ERR_FORMAT,
        "the body must be an object with one of dataframe_split, dataframe_records, instances, "
        "inputs, not a list");
    if (mentions_params(x))
        QN_TRY(read_object(x, true, wishes, &n_forms, err));
    qn_rows_reader_set_policy(x->desk->reader, wishes->policy);
    QN_TRY(read_object(x, false, wishes, &n_forms, err));
    QN_FAIL_IF(
        n_forms != 1, err, QN_ERR_DATA,
        "the body must have exactly one of dataframe_split, dataframe_records, instances, inputs");
    return QN_OK;
}

static void answer_invocation(qn__exchange *x, const qn__wishes *wishes, bool header) {
    qn_buf *out = qn__out(x);
    const char *accept = x->head.fields[QN__ACCEPT];
    if (accept && strcasestr(accept, "text/csv") && !strcasestr(accept, "application/json")) {
        x->content_type = "text/csv; charset=utf-8";
        qn__put_csv(out, x->served, x->desk, header);
        return;
    }
    if (accept && strcasestr(accept, "application/jsonlines")) {
        x->content_type = "application/jsonlines";
        for (int64_t i = 0; i < qn_rows_count(x->desk->rows); i++) {
            qn__put_row(out, x->served, x->desk, i, wishes);
            qn_buf_put_char(out, '\n');
        }
        return;
    }
    qn_buf_put_text(out, "{\"predictions\": ");
    qn__put_predictions(out, x->served, x->desk, wishes);
    qn_buf_put(out, "}\n", 2);
}

static qn_status read_body(qn__exchange *x, body_kind form, qn__csv_header *header,
                           qn__wishes *wishes, qn_error *err) {
    qn_rows_reader_set_policy(x->desk->reader, wishes->policy);
    switch (form) {
    case FORM_CSV:
        return qn__csv_read(x->desk, x->body, x->body_len, header, err);
    case FORM_LINES:
        return qn__lines_read(x->desk, x->body, x->body_len, err);
    default:
        return read_json(x, wishes, err);
    }
}

void qn__handle_invocations(qn__exchange *x) {
    const char *type = x->head.fields[QN__CONTENT_TYPE];
    body_kind form = FORM_JSON;
    qn__csv_header header = QN__HEADER_FIND;
    if (type && !read_content_type(type, &form, &header)) {
        qn__fail_as(x, 415,
                    "content type '%.100s' is not one of application/json, application/jsonlines, "
                    "text/csv, each in utf-8", type);
        return;
    }
    if (!qn__take_model(x))
        return;
    qn__wishes wishes;
    qn_status status = qn__wishes_of(x, false, &wishes, &x->error);
    if (status == QN_OK)
        status = read_body(x, form, &header, &wishes, &x->error);
    if (status == QN_OK)
        status = qn__desk_predict(x->served, x->desk, wishes.explain, &x->error);
    if (status == QN_OK)
        answer_invocation(x, &wishes, form != FORM_CSV || header == QN__HEADER_PRESENT);
    else
        qn__fail(x, &x->error);
}

void qn__handle_version(qn__exchange *x) {
    qn_buf_put_text(qn__out(x), "{\"name\": \"quern\", \"version\": \"" QN_VERSION "\"}\n");
}

void qn__handle_execution(qn__exchange *x) {
    size_t mb = x->server->options.body_bytes >> 20;
    qn_buf_printf(qn__out(x),
                  "{\"MaxConcurrentTransforms\": %d, \"BatchStrategy\": \"MULTI_RECORD\", "
                  "\"MaxPayloadInMB\": %zu}\n",
                  x->server->options.n_threads * 4, mb > 100 ? (size_t)100 : mb ? mb : 1);
}
