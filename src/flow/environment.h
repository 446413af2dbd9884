/* environment.h - where and by what a run was made: for its lineage. */
#ifndef QN_FLOW_ENVIRONMENT_H
#define QN_FLOW_ENVIRONMENT_H

#include "base/json.h"

/* {"quern", "git_commit" (of the repository that holds `folder`; null outside one), "host", "os", "cpu",
 * "processors", "memory_bytes", "compiler"}. New reference; NULL when memory is short. */
json_t *qn_environment_json(const char *folder);

#endif
