/* A request that works on a model as it is: for the line printed at the start and /openapi.json. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "serve/serve_int.h"

/* A value that was seen in training, as JSON. */
static void put_seen(qn_buf *out, const json_t *seen, qn_type type) {
    const json_t *low = json_object_get(seen, "low"), *high = json_object_get(seen, "high");
    const char *category =
        json_string_value(json_array_get(json_object_get(seen, "categories"), 0));
    if (type == QN_TYPE_BOOL)
        qn_buf_put_text(out, "true");
    else if (type == QN_TYPE_I64 && json_is_number(low) && json_is_number(high))
        qn_buf_put_double(out, floor((json_number_value(low) + json_number_value(high)) / 2));
    else if (type == QN_TYPE_F64 && json_is_number(low) && json_is_number(high))
        qn_buf_printf(out, "%.6g", (json_number_value(low) + json_number_value(high)) / 2);
    else if (type == QN_TYPE_TIME)
        qn_buf_put_text(out, "\"2026-01-01T12:00:00Z\"");
    else if (category)
        qn__put_json_text(out, category, strlen(category));
    else if (type == QN_TYPE_TEXT)
        qn_buf_put_text(out, "\"hello\"");
    else
        qn_buf_put_text(out, "null");
}

void qn__put_example(qn_buf *out, const qn__served *served) {
    const json_t *inputs = json_object_get(qn_model_manifest(served->model), "inputs");
    qn_buf_put_char(out, '{');
    for (int32_t i = 0; i < served->inputs->n_columns; i++) {
        const qn_schema_column *column = &served->inputs->columns[i];
        qn_buf_put_text(out, i ? ", " : "");
        qn__put_json_text(out, column->name, strlen(column->name));
        qn_buf_put_text(out, ": ");
        put_seen(out, json_array_get(inputs, (size_t)i), column->type);
    }
    qn_buf_put_char(out, '}');
}

void qn__put_path_part(qn_buf *out, const char *text) {
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~";
    for (; *text; text++) {
        if (strchr(plain, *text))
            qn_buf_put_char(out, *text);
        else
            qn_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

/* Inside single quotes of a shell. */
static void put_quoted(qn_buf *out, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\'')
            qn_buf_put_text(out, "'\\''");
        else
            qn_buf_put_char(out, text[i]);
    }
}

static void put_line(const qn_server *server, const qn__served *served, qn_buf *out) {
    qn_cleanup(qn_buf_done) qn_buf body = {0};
    qn__put_example(&body, served);
    qn_buf_printf(out, "  curl -s %s%s%s/v1/models/", server->options.tls_cert ? "-k " : "",
                  server->options.tokens ? "-H \"Authorization: Bearer $TOKEN\" " : "",
                  server->url);
    qn__put_path_part(out, served->name);
    qn_buf_put_text(out, "/predict -H 'Content-Type: application/json' -d '");
    put_quoted(out, body.data ? body.data : "", body.len);
    qn_buf_put_text(out, "'\n");
}

void qn_server_example(const qn_server *server, qn_buf *out) {
    qn__served **all = NULL;
    size_t n = 0;
    if (qn__models_all(server->models, &all, &n, NULL) == QN_OK && n > 0)
        put_line(server, all[0], out);
    for (size_t i = 0; i < n; i++)
        qn__served_release(all[i]);
    qn_freep(&all);
}
