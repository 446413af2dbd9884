/* made.h - models that were made of others: compressed, refitted. */
#ifndef QN_FLOW_MADE_H
#define QN_FLOW_MADE_H

#include "base/buf.h"

/* Registers the bytes of a model as the next version of `name` in the workspace of `folder`; alias may
 * be NULL. */
qn_status qn_made_register(const char *folder, const char *name, const char *alias,
                           const qn_buf *bytes, int64_t *ret_version, qn_error *err) QN_MUST_USE;

#endif
