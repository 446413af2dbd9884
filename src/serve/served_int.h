/* served_int.h - between served.c and models.c: opening one version. */
#ifndef QN_SERVE_SERVED_INT_H
#define QN_SERVE_SERVED_INT_H

#include "serve/serve_int.h"

/* version 0: from a file. One reference, the caller's. */
qn_status qn__served_open(const char *path, const char *name, int64_t version, const char *hash,
                          int64_t made_us, qn__served **ret_served, qn_error *err) QN_MUST_USE;

#endif
