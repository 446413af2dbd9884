#include "flow/expand.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

enum { MAX_NAME = 128 };

static qn_status put_variable(const char *key, const char *name, bool first, qn_buf *out,
                              qn_error *err) {
    const char *value = getenv(name);
    QN_FAIL_IF(!value || !*value, err, QN_ERR_CONFIG,
               "%s uses ${%s}: set the environment variable %s first", key, name, name);
    if (first && value[0] != '/') {
        qn_cleanup(qn_freep) char *here = qn_new_array(char, 4096);
        if (!here)
            return qn_error_memory(err);
        if (!getcwd(here, 4096))
            return qn_error_errno(err, "find", "the current folder");
        qn_buf_printf(out, "%s/", here);
    }
    qn_buf_put_text(out, value);
    return QN_OK;
}

qn_status qn_expand_path(const char *key, const char *path, char **ret_path, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf out = {.max = 1 << 16};
    for (const char *at = path; *at;) {
        const char *close = at[0] == '$' && at[1] == '{' ? strchr(at, '}') : NULL;
        if (!close) {
            qn_buf_put_char(&out, *at++);
            continue;
        }
        char name[MAX_NAME];
        size_t n = (size_t)(close - at - 2);
        QN_FAIL_IF(n == 0 || n >= MAX_NAME, err, QN_ERR_CONFIG,
                   "%s: ${...} needs the name of a variable", key);
        memcpy(name, at + 2, n);
        name[n] = '\0';
        QN_TRY(put_variable(key, name, at == path, &out, err));
        at = close + 1;
    }
    QN_TRY(qn_buf_status(&out, err));
    if (!(*ret_path = qn_buf_steal(&out)))
        return qn_error_memory(err);
    return QN_OK;
}
