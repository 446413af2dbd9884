/* json.h - jansson with our bounds: reading refuses deep nesting, duplicate keys and trailing
 * bytes; writing is deterministic (keys in insertion order) with shortest round-trip numbers. */
#ifndef QN_BASE_JSON_H
#define QN_BASE_JSON_H

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"

/* For qn_cleanup: drops the reference and sets NULL. */
void qn_json_free(json_t **json);

/* Parses one JSON value of at most QN_LIMIT_JSON_DEPTH levels. `name` appears in messages ("FILE
 * row LINE: ..."). *ret is a new reference. QN_ERR_FORMAT when it is not JSON. */
qn_status qn_json_parse(const char *bytes, size_t n, const char *name, json_t **ret,
                        qn_error *err) QN_MUST_USE;

enum { QN_JSON_COMPACT = 0, QN_JSON_PRETTY = 1, QN_JSON_HTML_SAFE = 2 };

/* Appends the text of `json`. HTML_SAFE escapes '<', '>', '&' and U+2028/9 for use inside
 * <script>. */
void qn_json_write(const json_t *json, int flags, qn_buf *out);
/* Appends a text in quotes, escaped by the same flags. */
void qn_json_write_text(const char *text, size_t n, int flags, qn_buf *out);
/* The text of `json`, owned by the caller; NULL when memory is short. */
char *qn_json_text(const json_t *json, int flags);

/* A number, or null when it is not finite. New reference. */
json_t *qn_json_number(double x);
/* An array of numbers (null where not finite). New reference, NULL when memory is short. */
json_t *qn_json_numbers(const double *x, size_t n);

/* Typed members of an object. `required` members that are missing, or members of another type, are
 * QN_ERR_FORMAT naming the key; optional ones that are missing leave *ret untouched. Text is
 * borrowed from the object. */
qn_status qn_json_get_text(const json_t *object, const char *key, bool required, const char **ret,
                           qn_error *err) QN_MUST_USE;
qn_status qn_json_get_i64(const json_t *object, const char *key, bool required, int64_t *ret,
                          qn_error *err) QN_MUST_USE;
/* null reads as NaN. */
qn_status qn_json_get_double(const json_t *object, const char *key, bool required, double *ret,
                             qn_error *err) QN_MUST_USE;
/* Borrowed reference. */
qn_status qn_json_get_array(const json_t *object, const char *key, bool required,
                            const json_t **ret, qn_error *err) QN_MUST_USE;

#endif
