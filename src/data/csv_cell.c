/* What one cell says: a number, a truth value, or that it is missing. */
#include <string.h>
#include <strings.h>

#include "data/csv_int.h"

void qn__missing_init(qn__missing *missing, const qn__names *names) {
    *missing = (qn__missing){.names = names};
    for (size_t i = 0; i < names->n; i++) {
        const size_t n = strlen(names->items[i]);
        if (n > missing->longest)
            missing->longest = n;
        missing->first[(unsigned char)names->items[i][0]] = true;
    }
}

static bool is_word(const char *bytes, size_t n, const char *word) {
    return n == strlen(word) && strncasecmp(bytes, word, n) == 0;
}

bool qn__bool_parse(const char *bytes, size_t n, bool loose, int64_t *ret_value) {
    *ret_value =
        is_word(bytes, n, "true") ||
        (loose && (is_word(bytes, n, "t") || is_word(bytes, n, "yes") || is_word(bytes, n, "1")));
    return *ret_value || is_word(bytes, n, "false") ||
           (loose && (is_word(bytes, n, "f") || is_word(bytes, n, "no") || is_word(bytes, n, "0")));
}

const char *qn__type_wanted(qn_type type) {
    return type == QN_TYPE_I64    ? "whole number"
           : type == QN_TYPE_BOOL ? "truth value (true or false)"
           : type == QN_TYPE_TIME ? "time"
                                  : "number";
}
