/* reference.h - a model by whatever name a person gives it: a .qn file, or NAME, NAME@ALIAS,
 * NAME:VERSION of the project's registry. */
#ifndef QN_FLOW_REFERENCE_H
#define QN_FLOW_REFERENCE_H

#include "model/model.h"

/* A name that is a file (or ends in .qn, or has a slash) is opened as one; everything else is
 * looked up in the registry of `folder`. *ret_path (may be NULL) is the file, owned by the
 * caller. */
qn_status qn_reference_open(const char *folder, const char *reference, qn_model **ret_model,
                            char **ret_path, qn_error *err) QN_MUST_USE;

#endif
