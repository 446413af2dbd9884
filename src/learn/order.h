/* order.h - sorting row numbers by a key, for everything that walks rows by score or by value. */
#ifndef QN_LEARN_ORDER_H
#define QN_LEARN_ORDER_H

#include "base/error.h"

/* order[n] becomes the row numbers 0..n-1 by ascending key[i * stride]; equal keys keep their
 * order, -0 equals 0, NaN comes last. Linear time (radix sort). QN_ERR_MEMORY only. */
qn_status qn_order_f64(const double *key, int64_t stride, int64_t n, int64_t *order,
                       qn_error *err) QN_MUST_USE;

#endif
