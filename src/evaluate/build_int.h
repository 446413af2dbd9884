/* build_int.h - building JSON results without a check after every line: a flag collects
 * failures. */
#ifndef QN_EVALUATE_BUILD_INT_H
#define QN_EVALUATE_BUILD_INT_H

#include "base/json.h"

/* Sets a member; `value` is taken, also when it fails. A NULL value or object clears *ok. */
static inline void qn__put(bool *ok, json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value) != 0)
        *ok = false;
}

static inline void qn__append(bool *ok, json_t *array, json_t *value) {
    if (json_array_append_new(array, value) != 0)
        *ok = false;
}

#endif
