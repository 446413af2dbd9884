#include "report/html.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/words.h"

static const char *entity_of(unsigned char c) {
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    case '\n':
    case '\t': return NULL;
    default: return c < 0x20 || c == 0x7f ? "\xef\xbf\xbd" : NULL;
    }
}

void qn__html_text(qn_buf *out, const char *text) {
    if (!text)
        return;
    const char *from = text;
    for (const char *at = text; *at; at++) {
        const char *entity = entity_of((unsigned char)*at);
        if (!entity)
            continue;
        qn_buf_put(out, from, (size_t)(at - from));
        qn_buf_put_text(out, entity);
        from = at + 1;
    }
    qn_buf_put_text(out, from);
}

void qn__html(qn_buf *out, const char *format, ...) {
    va_list args;
    va_start(args, format);
    for (;;) {
        const char *percent = strchrnul(format, '%');
        qn_buf_put(out, format, (size_t)(percent - format));
        if (!percent[0] || !strchr("sd%", percent[1]) || !percent[1])
            break;
        if (percent[1] == 's')
            qn__html_text(out, va_arg(args, const char *));
        else if (percent[1] == 'd')
            qn_buf_printf(out, "%d", va_arg(args, int));
        else
            qn_buf_put_char(out, '%');
        format = percent + 2;
    }
    va_end(args);
}

const json_t *qn__doc_object(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_object_size(value) > 0 ? value : NULL;
}

const json_t *qn__doc_array(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_array_size(value) > 0 ? value : NULL;
}

const char *qn__doc_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text && *text ? text : NULL;
}

double qn__doc_number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

bool qn__doc_true(const json_t *object, const char *key) {
    return json_is_true(json_object_get(object, key));
}

double qn__doc_item(const json_t *array, size_t i) {
    const json_t *value = json_array_get(array, i);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* Long texts end in an ellipsis, never inside a UTF-8 sequence. */
static void copy_short(qn__label *label, const char *text) {
    size_t n = strlen(text);
    const size_t room = sizeof label->text - sizeof "\xe2\x80\xa6";
    if (n <= room) {
        memcpy(label->text, text, n + 1);
        return;
    }
    n = room;
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    memcpy(label->text, text, n);
    memcpy(label->text + n, "\xe2\x80\xa6", sizeof "\xe2\x80\xa6");
}

qn__label qn__doc_label(const json_t *value) {
    qn__label label = {""};
    if (json_is_string(value))
        copy_short(&label, json_string_value(value));
    else if (json_is_number(value))
        copy_short(&label, qn__number(json_number_value(value)).text);
    else if (json_is_boolean(value))
        copy_short(&label, json_is_true(value) ? "true" : "false");
    else
        copy_short(&label, "missing");
    return label;
}
