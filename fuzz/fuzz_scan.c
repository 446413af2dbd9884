/* JSON as base/scan.h reads it, beside jansson: the same texts are JSON, with the same values. */
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/scan.h"
#include "base/text.h"
#include "fuzz.h"

static bool same_value(qn_scan *scan, const json_t *json);

static bool same_list(qn_scan *scan, const json_t *json) {
    bool first = true, same = json_is_array(json) && qn_scan_open(scan, '[');
    size_t i = 0;
    for (; same && qn_scan_item(scan, &first); i++)
        same = same_value(scan, json_array_get(json, i));
    return same && i == json_array_size(json);
}

/* A key with escapes lies where the next text with escapes will: it is looked up at once. */
static bool same_object(qn_scan *scan, const json_t *json) {
    bool first = true, same = json_is_object(json) && qn_scan_open(scan, '{');
    size_t n = 0;
    qn_scan_string key;
    for (; same && qn_scan_member(scan, &first, &key); n++)
        same = same_value(scan, json_object_getn(json, key.bytes, key.n));
    return same && n == json_object_size(json);
}

static bool same_number(qn_scan *scan, const json_t *json) {
    int64_t whole = 0;
    double real = 0;
    qn_number_kind kind = qn_scan_number(scan, &whole, &real);
    if (json_is_integer(json))
        return kind == QN_NUMBER_WHOLE && whole == json_integer_value(json)
               && real == (double)whole;
    return kind != QN_NUMBER_NONE && json_is_real(json) && real == json_real_value(json) &&
           (real != 0 || kind == QN_NUMBER_WHOLE ||
            signbit(real) == signbit(json_real_value(json)));
}

static bool same_value(qn_scan *scan, const json_t *json) {
    qn_scan_string text;
    bool truth;
    switch (qn_scan_peek(scan)) {
    case '{':
        return same_object(scan, json);
    case '[':
        return same_list(scan, json);
    case '"':
        return qn_scan_text(scan, &text) && json_is_string(json)
               && text.n == json_string_length(json)
               && memcmp(text.bytes, json_string_value(json), text.n) == 0;
    case 't':
    case 'f':
        return qn_scan_bool(scan, &truth) && json_is_boolean(json) && truth == json_is_true(json);
    case 'n':
        return qn_scan_null(scan) && json_is_null(json);
    default:
        return same_number(scan, json);
    }
}

/* What only the scanner takes: Python's names for numbers, and numbers out of range. */
static bool is_python(const char *text, size_t n, const json_error_t *why) {
    return json_error_code(why) == json_error_numeric_overflow || memmem(text, n, "NaN", 3)
           || memmem(text, n, "Infinity", 8);
}

/* What only jansson takes. */
static bool is_too_deep(const qn_scan *scan) {
    return strcmp(scan->problem, "nested too deeply") == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qn_cleanup(qn_freep) char *text = fuzz_text(data, size);
    qn_cleanup(qn_json_free) json_t *json = NULL, *single = NULL;
    qn_cleanup(qn_scan_done) qn_scan scan;
    json_error_t why;
    json = json_loadb(text, size, JSON_DECODE_ANY, &why);
    single = json ? json_loadb(text, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL) : NULL;
    qn_scan_init(&scan, text, size);
    qn_scan_skip(&scan);
    bool taken = qn_scan_finish(&scan);
    fuzz_require(taken || scan.at <= scan.end, "the scanner stays inside");
    fuzz_require(!taken || json || is_python(text, size, &why), "what the scanner takes is JSON");
    /* jansson takes a NUL behind a number for the end. */
    fuzz_require(taken || !json || memchr(text, '\0', size) || is_too_deep(&scan),
                 "the scanner takes what is JSON");
    if (!taken) {
        qn_error err = {0};
        fuzz_require_told(qn_scan_error(&scan, "the input", &err), &err);
    }
    if (taken && single) {
        qn_scan_again(&scan, text, size);
        fuzz_require(same_value(&scan, single) && qn_scan_finish(&scan),
                     "the scanner and jansson find the same values");
    }
    return 0;
}
