#include "base/json.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

void qn_json_free(json_t **json) {
    if (!json)
        return;
    json_decref(*json);
    *json = NULL;
}

/* jansson bounds its own recursion far deeper than we want to go; count brackets outside
 * strings. */
static bool too_deep(const char *bytes, size_t n) {
    int depth = 0;
    bool in_text = false;
    for (size_t i = 0; i < n; i++) {
        char c = bytes[i];
        if (in_text) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_text = false;
        } else if (c == '"') {
            in_text = true;
        } else if (c == '[' || c == '{') {
            if (++depth > QN_LIMIT_JSON_DEPTH)
                return true;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return false;
}

qn_status qn_json_parse(const char *bytes, size_t n, const char *name, json_t **ret,
                        qn_error *err) {
    if (too_deep(bytes, n))
        return qn_error_set_at(err, QN_ERR_LIMIT, name, 0, NULL,
                               "JSON nested deeper than %d levels", QN_LIMIT_JSON_DEPTH);
    json_error_t why;
    json_t *json = json_loadb(bytes, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!json) {
        /* jansson calls most failed allocations bad syntax; so see whether there is memory at
         * all. */
        qn_cleanup(qn_freep) void *probe = qn_calloc(n + 1, 1);
        if (!probe || !why.text[0] || json_error_code(&why) == json_error_out_of_memory)
            return qn_error_memory(err);
        return qn_error_set_at(err, QN_ERR_FORMAT, name, why.line, NULL, "not valid JSON: %s",
                               why.text);
    }
    *ret = json;
    return QN_OK;
}

void qn_json_write_text(const char *text, size_t n, int flags, qn_buf *out) {
    qn_buf_put_char(out, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        bool separator = c == 0xE2 && i + 2 < n && (unsigned char)text[i + 1] == 0x80 &&
                         ((unsigned char)text[i + 2] | 1) == 0xA9;
        if (c == '"' || c == '\\')
            qn_buf_printf(out, "\\%c", c);
        else if (c == '\n')
            qn_buf_put_text(out, "\\n");
        else if (c == '\t')
            qn_buf_put_text(out, "\\t");
        else if (c < 0x20 || c == 0x7F || ((flags & QN_JSON_HTML_SAFE) && strchr("<>&", c)))
            qn_buf_printf(out, "\\u%04x", c);
        else if ((flags & QN_JSON_HTML_SAFE) && separator) {
            qn_buf_printf(out, "\\u202%d", (unsigned char)text[i + 2] - 0xA0);
            i += 2;
        } else
            qn_buf_put_char(out, (char)c);
    }
    qn_buf_put_char(out, '"');
}

static void new_line(int flags, int depth, qn_buf *out) {
    if (!(flags & QN_JSON_PRETTY))
        return;
    qn_buf_put_char(out, '\n');
    for (int i = 0; i < depth; i++)
        qn_buf_put_text(out, "  ");
}

/* Short arrays of plain values stay on one line. */
static bool is_flat(const json_t *json) {
    size_t i, n = json_array_size(json);
    const json_t *item;
    json_array_foreach(json, i, item) {
        if (json_is_array(item) || json_is_object(item))
            return false;
    }
    return n <= 16;
}

static void write_value(const json_t *json, int flags, int depth, qn_buf *out);

static void write_array(const json_t *json, int flags, int depth, qn_buf *out) {
    size_t i;
    const json_t *item;
    int inner = is_flat(json) ? flags & ~QN_JSON_PRETTY : flags;
    qn_buf_put_char(out, '[');
    json_array_foreach(json, i, item) {
        if (i)
            qn_buf_put_text(out, inner == flags ? "," : ", ");
        new_line(inner, depth + 1, out);
        write_value(item, flags, depth + 1, out);
    }
    if (json_array_size(json))
        new_line(inner, depth, out);
    qn_buf_put_char(out, ']');
}

static void write_object(const json_t *json, int flags, int depth, qn_buf *out) {
    const char *key;
    json_t *item;
    bool first = true;
    qn_buf_put_char(out, '{');
    json_object_foreach((json_t *)json, key, item) {
        if (!first)
            qn_buf_put_char(out, ',');
        new_line(flags, depth + 1, out);
        qn_json_write_text(key, strlen(key), flags, out);
        qn_buf_put_text(out, flags & QN_JSON_PRETTY ? ": " : ":");
        write_value(item, flags, depth + 1, out);
        first = false;
    }
    if (!first)
        new_line(flags, depth, out);
    qn_buf_put_char(out, '}');
}

static void write_value(const json_t *json, int flags, int depth, qn_buf *out) {
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        write_object(json, flags, depth, out);
        return;
    case JSON_ARRAY:
        write_array(json, flags, depth, out);
        return;
    case JSON_STRING:
        qn_json_write_text(json_string_value(json), json_string_length(json), flags, out);
        return;
    case JSON_INTEGER:
        qn_buf_printf(out, "%lld", (long long)json_integer_value(json));
        return;
    case JSON_REAL:
        qn_buf_put_double(out, json_real_value(json));
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        qn_buf_put_text(out, json_is_true(json) ? "true" : "false");
        return;
    case JSON_NULL:
        qn_buf_put_text(out, "null");
        return;
    }
}

void qn_json_write(const json_t *json, int flags, qn_buf *out) {
    write_value(json, flags, 0, out);
}

char *qn_json_text(const json_t *json, int flags) {
    qn_buf out = {0};
    qn_json_write(json, flags, &out);
    return qn_buf_steal(&out);
}

json_t *qn_json_number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *qn_json_numbers(const double *x, size_t n) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < n; i++) {
        if (json_array_append_new(array, qn_json_number(x[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static qn_status get(const json_t *object, const char *key, bool required, const json_t **ret,
                     qn_error *err) {
    const json_t *value = json_object_get(object, key);
    QN_FAIL_IF(!value && required, err, QN_ERR_FORMAT, "the key '%s' is missing", key);
    *ret = value;
    return QN_OK;
}

static qn_status wrong_type(const char *key, const char *want, qn_error *err) {
    return qn_error_set(err, QN_ERR_FORMAT, "the key '%s' must be %s", key, want);
}

qn_status qn_json_get_text(const json_t *object, const char *key, bool required, const char **ret,
                           qn_error *err) {
    const json_t *value;
    QN_TRY(get(object, key, required, &value, err));
    if (!value)
        return QN_OK;
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return wrong_type(key, "text", err);
    *ret = json_string_value(value);
    return QN_OK;
}

qn_status qn_json_get_i64(const json_t *object, const char *key, bool required, int64_t *ret,
                          qn_error *err) {
    const json_t *value;
    QN_TRY(get(object, key, required, &value, err));
    if (!value)
        return QN_OK;
    if (!json_is_integer(value))
        return wrong_type(key, "a whole number", err);
    *ret = json_integer_value(value);
    return QN_OK;
}

qn_status qn_json_get_double(const json_t *object, const char *key, bool required, double *ret,
                             qn_error *err) {
    const json_t *value;
    QN_TRY(get(object, key, required, &value, err));
    if (!value)
        return QN_OK;
    if (!json_is_number(value) && !json_is_null(value))
        return wrong_type(key, "a number", err);
    *ret = json_is_null(value) ? (double)NAN : json_number_value(value);
    return QN_OK;
}

qn_status qn_json_get_array(const json_t *object, const char *key, bool required,
                            const json_t **ret, qn_error *err) {
    const json_t *value;
    QN_TRY(get(object, key, required, &value, err));
    if (!value)
        return QN_OK;
    if (!json_is_array(value))
        return wrong_type(key, "a list", err);
    *ret = value;
    return QN_OK;
}
