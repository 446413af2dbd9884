/* gbdt_data.h - small made-up matrices for the tests of the tree engine. */
#ifndef TESTS_LEARN_GBDT_DATA_H
#define TESTS_LEARN_GBDT_DATA_H

#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "learn/gbdt_int.h"

/* Columns: 3 numbers (the second with missing values, the third with 5 distinct values), a category
 * of 3, a category of 60, 4 sparse ones. y = binary; value = regression; class = 0..2. */
enum { TOY_FEATURES = 9, TOY_CLASSES = 3 };

#define assert_near(a, b, most) assert_true(fabs((double)(a) - (double)(b)) <= (most))

typedef struct toy {
    qn_feature features[TOY_FEATURES];
    qn_matrix_column columns[TOY_FEATURES];
    qn_matrix x;
    double *y, *value, *klass;
} toy;

static inline void toy_init(toy *d, int64_t n, uint64_t seed) {
    memset(d, 0, sizeof *d);
    qn_rng rng;
    qn_rng_init(&rng, seed);
    d->y = qn_new_array(double, n);
    d->value = qn_new_array(double, n);
    d->klass = qn_new_array(double, n);
    for (int j = 0; j < TOY_FEATURES; j++) {
        qn_matrix_column *c = &d->columns[j];
        d->features[j].kind = j < 3 ? QN_FEATURE_NUMERIC : j < 5 ? QN_FEATURE_CATEGORY
                                                                  : QN_FEATURE_SPARSE;
        d->features[j].n_categories = j == 3 ? 3 : j == 4 ? 60 : 0;
        c->num = j < 3 ? qn_new_array(double, n) : NULL;
        c->code = j == 3 || j == 4 ? qn_new_array(int32_t, n) : NULL;
        c->row = j >= 5 ? qn_new_array(int64_t, n) : NULL;
        c->value = j >= 5 ? qn_new_array(double, n) : NULL;
    }
    for (int64_t i = 0; i < n; i++) {
        double a = qn_rng_normal(&rng), b = qn_rng_normal(&rng);
        int32_t few = (int32_t)qn_rng_below(&rng, 3), many = (int32_t)qn_rng_below(&rng, 60);
        bool missing = qn_rng_uniform(&rng) < 0.2;
        d->columns[0].num[i] = a;
        d->columns[1].num[i] = missing ? NAN : b;
        d->columns[2].num[i] = (double)qn_rng_below(&rng, 5);
        d->columns[3].code[i] = qn_rng_uniform(&rng) < 0.1 ? -1 : few;
        d->columns[4].code[i] = many;
        double s = a + (missing ? 1.5 : b * b) + (few == 1) + ((many * 7) % 5 < 2 ? 1.2 : -0.8)
                   + 0.3 * d->columns[2].num[i] - 1.5;
        for (int j = 5; j < TOY_FEATURES; j++) {
            if (qn_rng_uniform(&rng) >= 0.15)
                continue;
            qn_matrix_column *c = &d->columns[j];
            c->row[c->n_set] = i;
            c->value[c->n_set] = 1 + (double)qn_rng_below(&rng, 3);
            s += j == 5 ? c->value[c->n_set] : 0;
            c->n_set++;
        }
        d->value[i] = s + 0.2 * qn_rng_normal(&rng);
        d->y[i] = qn_rng_uniform(&rng) < 1 / (1 + exp(-2 * s));
        d->klass[i] = s < -0.5 ? 0 : s < 1 ? 1 : 2;
    }
    d->x = (qn_matrix){.n_rows = n, .n_features = TOY_FEATURES, .features = d->features,
                       .columns = d->columns};
}

static const char *const toy_names[TOY_FEATURES] = {"a", "b", "few", "kind", "many", "s1", "s2",
                                                    "s3", "s4"};

static inline void toy_named(toy *d) {
    for (int j = 0; j < TOY_FEATURES; j++)
        d->features[j].name = (char *)(uintptr_t)toy_names[j];
}

static inline json_t *json(const char *text) {
    json_t *value = NULL;
    assert_int_equal(qn_json_parse(text, strlen(text), "test", &value, NULL), QN_OK);
    return value;
}

static inline void toy_done(toy *d) {
    for (int j = 0; j < TOY_FEATURES; j++) {
        qn_freep(&d->columns[j].num);
        qn_freep(&d->columns[j].code);
        qn_freep(&d->columns[j].row);
        qn_freep(&d->columns[j].value);
    }
    qn_freep(&d->y);
    qn_freep(&d->value);
    qn_freep(&d->klass);
}

static inline qn_status fit_map(const qn_gbdt_params *p, const qn_matrix *x, qn__bin_map *map) {
    qn__map_rows rows = {.x = x};
    return qn__bin_map_fit(p, &rows, 1, map, NULL);
}

#endif
