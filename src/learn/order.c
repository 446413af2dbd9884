#include "learn/order.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

enum { DIGIT_BITS = 11, N_DIGITS = 1 << DIGIT_BITS, N_PASSES = 6, FEW = 64 };

typedef struct item {
    uint64_t key;
    int64_t row;
} item;

/* A number whose unsigned order is the order of the doubles. */
static uint64_t sortable(double x) {
    if (isnan(x))
        return UINT64_MAX;
    uint64_t bits;
    x += 0.0; /* -0 becomes 0 */
    memcpy(&bits, &x, sizeof bits);
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

static size_t digit(uint64_t key, int pass) {
    return (key >> (pass * DIGIT_BITS)) & (N_DIGITS - 1);
}

/* One stable counting pass; false when all keys share the digit and nothing was moved. */
static bool pass_once(const item *from, item *to, int64_t n, int pass, const int64_t *count) {
    int64_t start[N_DIGITS], at = 0;
    for (int d = 0; d < N_DIGITS; d++) {
        if (count[d] == n)
            return false;
        start[d] = at;
        at += count[d];
    }
    for (int64_t i = 0; i < n; i++)
        to[start[digit(from[i].key, pass)]++] = from[i];
    return true;
}

/* Few rows are not worth the tables of the radix sort. */
static void insertion(const double *key, int64_t stride, int64_t n, int64_t *order) {
    uint64_t keys[FEW];
    for (int64_t i = 0; i < n; i++) {
        uint64_t k = sortable(key[i * stride]);
        int64_t at = i;
        for (; at > 0 && keys[at - 1] > k; at--) {
            keys[at] = keys[at - 1];
            order[at] = order[at - 1];
        }
        keys[at] = k;
        order[at] = i;
    }
}

qn_status qn_order_f64(const double *key, int64_t stride, int64_t n, int64_t *order,
                       qn_error *err) {
    if (n <= FEW) {
        insertion(key, stride, n, order);
        return QN_OK;
    }
    qn_cleanup(qn_freep) item *a = qn_malloc_aligned((size_t)n, sizeof *a);
    qn_cleanup(qn_freep) item *b = qn_malloc_aligned((size_t)n, sizeof *b);
    qn_cleanup(qn_freep) int64_t *count = qn_calloc((size_t)N_PASSES * N_DIGITS, sizeof *count);
    if (!a || !b || !count)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++) {
        a[i] = (item){sortable(key[i * stride]), i};
        for (int pass = 0; pass < N_PASSES; pass++)
            count[(size_t)pass * N_DIGITS + digit(a[i].key, pass)]++;
    }
    item *from = a, *to = b;
    for (int pass = 0; pass < N_PASSES; pass++) {
        if (!pass_once(from, to, n, pass, count + (size_t)pass * N_DIGITS))
            continue;
        item *swap = from;
        from = to;
        to = swap;
    }
    for (int64_t i = 0; i < n; i++)
        order[i] = from[i].row;
    return QN_OK;
}
