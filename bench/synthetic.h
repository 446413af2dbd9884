/* synthetic.h - the synthetic set of the bars: rows x features standard normal numbers, the class
 * from a noisy mix of a line, a product and a threshold. */
#ifndef QN_BENCH_SYNTHETIC_H
#define QN_BENCH_SYNTHETIC_H

#include <math.h>

#include "base/rng.h"
#include "feature/matrix.h"

static inline double synthetic_normal(uint64_t i, uint64_t j) {
    double u = qn_rng_hash_uniform(2 * j + 1, i), v = qn_rng_hash_uniform(2 * j + 2, i);
    return sqrt(-2 * log(u + 1e-300)) * cos(2 * M_PI * v);
}

/* Rows first, first + 1, ... of the endless set into the columns of `x`. */
static inline void synthetic_rows(qn_matrix *x, double *y, int64_t first) {
    int32_t f = x->n_features;
#pragma omp parallel for
    for (int64_t i = 0; i < x->n_rows; i++) {
        for (int32_t j = 0; j < f; j++)
            x->columns[j].num[i] = synthetic_normal((uint64_t)(first + i), (uint64_t)j);
        double s = 0;
        for (int32_t j = 0; j < f; j++)
            s += x->columns[j].num[i] * cos(j * 1.7) * 0.4;
        s += x->columns[0].num[i] * x->columns[1 % f].num[i] + (x->columns[2 % f].num[i] > 0.5);
        y[i] = qn_rng_hash_uniform(0, (uint64_t)(first + i)) < 1 / (1 + exp(-s));
    }
}

#endif
