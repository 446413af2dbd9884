/* matrix_for_test.h - small random matrices with their features, owned by the test. */
#ifndef QN_TESTS_LEARN_MATRIX_FOR_TEST_H
#define QN_TESTS_LEARN_MATRIX_FOR_TEST_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "feature/matrix.h"

/* Dense numbers of different scales; with `sparse`, the last two columns are sparse. */
static inline void matrix_fill(qn_matrix *x, qn_feature *features, qn_matrix_column *columns,
                               int64_t n, int32_t p, bool sparse, uint64_t seed) {
    qn_rng rng;
    qn_rng_init(&rng, seed);
    *x = (qn_matrix){.n_rows = n, .n_features = p, .features = features, .columns = columns};
    for (int32_t j = 0; j < p; j++) {
        char name[32];
        snprintf(name, sizeof name, "x%d", (int)j);
        bool is_sparse = sparse && j >= p - 2;
        features[j] = (qn_feature){.name = strdup(name),
                                   .kind = is_sparse ? QN_FEATURE_SPARSE : QN_FEATURE_NUMERIC};
        columns[j] = (qn_matrix_column){0};
        double scale = pow(10, j % 4 - 1);
        if (is_sparse) {
            columns[j].row = calloc((size_t)n, sizeof(int64_t));
            columns[j].value = calloc((size_t)n, sizeof(double));
        } else {
            columns[j].num = calloc((size_t)n, sizeof(double));
        }
        for (int64_t i = 0; i < n; i++) {
            double v = scale * (qn_rng_normal(&rng) + j);
            if (!is_sparse)
                columns[j].num[i] = v;
            else if (qn_rng_uniform(&rng) < 0.3) {
                columns[j].row[columns[j].n_set] = i;
                columns[j].value[columns[j].n_set++] = v;
            }
        }
    }
}

static inline void matrix_empty(qn_matrix *x, qn_feature *features) {
    for (int32_t j = 0; j < x->n_features; j++) {
        free(features[j].name);
        free(x->columns[j].num);
        free(x->columns[j].code);
        free(x->columns[j].row);
        free(x->columns[j].value);
    }
}

#endif
