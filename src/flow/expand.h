/* expand.h - ${NAME} in the paths of quern.yaml. */
#ifndef QN_FLOW_EXPAND_H
#define QN_FLOW_EXPAND_H

#include "base/error.h"

/* `path` with every ${NAME} replaced by that environment variable; one at the beginning that holds
 * a relative path is taken from the current folder, as a shell would. QN_ERR_CONFIG naming `key`
 * when the variable is not set. *ret_path is owned by the caller. */
qn_status qn_expand_path(const char *key, const char *path, char **ret_path, qn_error *err)
    QN_MUST_USE;

#endif
