#include "base/param.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

static void *member(void *params, const qn_param *param) {
    return (char *)params + param->offset;
}

void qn_params_default(const qn_param *table, size_t n, void *params) {
    for (size_t i = 0; i < n; i++) {
        const qn_param *p = &table[i];
        switch (p->kind) {
        case QN_PARAM_BOOL:
            *(bool *)member(params, p) = p->preset != 0;
            break;
        case QN_PARAM_INT:
            *(int64_t *)member(params, p) = (int64_t)p->preset;
            break;
        case QN_PARAM_REAL:
            *(double *)member(params, p) = p->preset;
            break;
        case QN_PARAM_CHOICE:
            *(const char **)member(params, p) = p->choices[(size_t)p->preset];
            break;
        case QN_PARAM_JSON:
            *(const json_t **)member(params, p) = NULL;
            break;
        }
    }
}

static bool has_alias(const char *aliases, const char *name) {
    size_t n = strlen(name);
    for (const char *at = aliases; at && *at;) {
        size_t len = strcspn(at, " ");
        if (len == n && strncmp(at, name, n) == 0)
            return true;
        at += len;
        at += strspn(at, " ");
    }
    return false;
}

static qn_status find(const qn_param *table, size_t n, const char *name, const qn_param **ret,
                      qn_error *err) {
    enum { MAX_NAMES = 256 };
    const char *names[MAX_NAMES];
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].name, name) == 0 || has_alias(table[i].aliases, name)) {
            *ret = &table[i];
            return QN_OK;
        }
        if (i < MAX_NAMES)
            names[i] = table[i].name;
    }
    const char *near = qn_text_nearest(name, names, n < MAX_NAMES ? n : MAX_NAMES);
    if (near)
        return qn_error_set(err, QN_ERR_CONFIG, "unknown parameter '%s': did you mean '%s'?", name,
                            near);
    return qn_error_set(err, QN_ERR_CONFIG, "unknown parameter '%s'", name);
}

static bool parse_bool(const char *text, bool *ret) {
    bool yes = !strcasecmp(text, "true") || !strcasecmp(text, "yes") || !strcmp(text, "1");
    bool no = !strcasecmp(text, "false") || !strcasecmp(text, "no") || !strcmp(text, "0");
    *ret = yes;
    return yes || no;
}

static qn_status set_choice(const qn_param *p, const char *text, const char **member_text,
                            qn_error *err) {
    char list[768] = ""; /* the message has room for the rest */
    for (size_t i = 0; p->choices[i]; i++) {
        if (strcmp(p->choices[i], text) == 0) {
            *member_text = p->choices[i];
            return QN_OK;
        }
        if (i)
            strncat(list, ", ", sizeof list - strlen(list) - 1);
        strncat(list, p->choices[i], sizeof list - strlen(list) - 1);
    }
    return qn_error_set(err, QN_ERR_CONFIG, "%s must be one of %s, not '%s'", p->name, list, text);
}

static qn_status set_number(const qn_param *p, const char *text, void *params, qn_error *err) {
    double x;
    bool whole = p->kind == QN_PARAM_INT;
    if (!qn_text_to_double(text, &x) || x < p->low || x > p->high || (whole && x != floor(x))) {
        char low[QN_DOUBLE_TEXT], high[QN_DOUBLE_TEXT];
        qn_double_to_text(p->low, low);
        qn_double_to_text(p->high, high);
        return qn_error_set(err, QN_ERR_CONFIG, "%s must be a %s from %s to %s, not '%s'", p->name,
                            whole ? "whole number" : "number", low, high, text);
    }
    if (whole)
        *(int64_t *)member(params, p) = (int64_t)x;
    else
        *(double *)member(params, p) = x;
    return QN_OK;
}

qn_status qn_params_set(const qn_param *table, size_t n, const char *name, const char *text,
                        void *params, qn_error *err) {
    const qn_param *p;
    QN_TRY(find(table, n, name, &p, err));
    if (p->kind == QN_PARAM_CHOICE)
        return set_choice(p, text, member(params, p), err);
    if (p->kind == QN_PARAM_INT || p->kind == QN_PARAM_REAL)
        return set_number(p, text, params, err);
    QN_FAIL_IF(p->kind == QN_PARAM_JSON, err, QN_ERR_CONFIG,
               "%s must be a map or a list, not '%s'", p->name, text);
    bool on;
    QN_FAIL_IF(!parse_bool(text, &on), err, QN_ERR_CONFIG, "%s must be true or false, not '%s'",
               p->name, text);
    *(bool *)member(params, p) = on;
    return QN_OK;
}

static qn_status set_json(const qn_param *table, size_t n, const char *name, const json_t *value,
                          void *params, qn_error *err) {
    const qn_param *p;
    QN_TRY(find(table, n, name, &p, err));
    QN_FAIL_IF(p->kind != QN_PARAM_JSON, err, QN_ERR_CONFIG, "parameter %s must be a plain value",
               name);
    *(const json_t **)member(params, p) = json_is_null(value) ? NULL : value;
    return QN_OK;
}

qn_status qn_params_from_json(const qn_param *table, size_t n, const json_t *object, void *params,
                              qn_error *err) {
    QN_FAIL_IF(!json_is_object(object), err, QN_ERR_CONFIG,
               "parameters must be a map of names to values");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        char text[QN_DOUBLE_TEXT];
        const char *given = text;
        if (json_is_string(value))
            given = json_string_value(value);
        else if (json_is_number(value))
            qn_double_to_text(json_number_value(value), text);
        else if (json_is_boolean(value))
            given = json_is_true(value) ? "true" : "false";
        else
            given = NULL;
        QN_TRY(given ? qn_params_set(table, n, key, given, params, err)
                     : set_json(table, n, key, value, params, err));
    }
    return QN_OK;
}

json_t *qn_params_to_json(const qn_param *table, size_t n, const void *params) {
    json_t *object = json_object();
    for (size_t i = 0; object && i < n; i++) {
        const qn_param *p = &table[i];
        const void *at = (const char *)params + p->offset;
        json_t *value = NULL;
        switch (p->kind) {
        case QN_PARAM_BOOL:
            value = json_boolean(*(const bool *)at);
            break;
        case QN_PARAM_INT:
            value = json_integer(*(const int64_t *)at);
            break;
        case QN_PARAM_REAL:
            value = qn_json_number(*(const double *)at);
            break;
        case QN_PARAM_CHOICE:
            value = json_string(*(const char *const *)at);
            break;
        case QN_PARAM_JSON:
            value = *(const json_t *const *)at ? json_deep_copy(*(const json_t *const *)at)
                                               : json_null();
            break;
        }
        if (json_object_set_new(object, p->name, value) != 0)
            qn_json_free(&object);
    }
    return object;
}

void qn_params_help(const qn_param *table, size_t n, qn_buf *out) {
    for (size_t i = 0; i < n; i++) {
        const qn_param *p = &table[i];
        char low[QN_DOUBLE_TEXT], high[QN_DOUBLE_TEXT], preset[QN_DOUBLE_TEXT];
        qn_double_to_text(p->low, low);
        qn_double_to_text(p->high, high);
        qn_double_to_text(p->preset, preset);
        if (p->kind == QN_PARAM_BOOL)
            qn_buf_printf(out, "  %-26s %-10s true | false\n", p->name,
                          p->preset != 0 ? "true" : "false");
        else if (p->kind == QN_PARAM_CHOICE) {
            qn_buf_printf(out, "  %-26s %-10s ", p->name, p->choices[(size_t)p->preset]);
            for (size_t k = 0; p->choices[k]; k++)
                qn_buf_printf(out, "%s%s", k ? " | " : "", p->choices[k]);
            qn_buf_put_char(out, '\n');
        } else if (p->kind == QN_PARAM_JSON)
            qn_buf_printf(out, "  %-26s %-10s a map or a list\n", p->name, "none");
        else
            qn_buf_printf(out, "  %-26s %-10s %s to %s\n", p->name, preset, low, high);
        qn_buf_printf(out, "      %s\n", p->help);
    }
}
