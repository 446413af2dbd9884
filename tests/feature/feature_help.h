/* feature_help.h - a small table with every type, and short ways to fit and compare. */
#ifndef QN_TESTS_FEATURE_HELP_H
#define QN_TESTS_FEATURE_HELP_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "feature/pipeline.h"

#define OK(call)                                                                  \
    do {                                                                          \
        qn_status ok_status_ = (call);                                            \
        if (ok_status_ != QN_OK)                                                  \
            fail_msg("%s: %s", qn_status_name(ok_status_), err.message);          \
    } while (0)

static const char *const all_inputs[] = {"age", "count", "flag", "job", "city", "note", "when"};
enum { N_INPUTS = 7 };

/* n rows of every type with missing values; `variant` changes values of rows from n / 2 on. */
static inline qn_frame *make_frame(int64_t n, int variant) {
    static const qn_type types[] = {QN_TYPE_F64, QN_TYPE_I64, QN_TYPE_BOOL, QN_TYPE_CATEGORY,
                                    QN_TYPE_CATEGORY, QN_TYPE_TEXT, QN_TYPE_TIME};
    static const char *const jobs[] = {"clerk", "cook", "", "b\xc3\xa4" "cker", "pilot"};
    static const char *const words[] = {"free",
                                        "call",
                                        "now",
                                        "Hello",
                                        "caf\xc3\xa9",
                                        "\xc2\xa3"
                                        "100",
                                        "ok!"};
    qn_error err = {0};
    qn_frame_builder *b = NULL;
    qn_frame *frame = NULL;
    OK(qn_frame_builder_new(&b, &err));
    for (int c = 0; c < N_INPUTS; c++)
        OK(qn_frame_builder_add_column(b, all_inputs[c], types[c], &err));
    for (int64_t i = 0; i < n; i++) {
        int64_t k = i >= n / 2 ? i + 1000 * variant : i;
        qn_rng rng;
        qn_rng_init_stream(&rng, 7, (uint64_t)k);
        for (int c = 0; c < N_INPUTS; c++) {
            char text[200];
            if (qn_rng_below(&rng, 10) == 0) {
                OK(qn_frame_builder_null(b, c, &err));
                continue;
            }
            switch (c) {
            case 0:
                OK(qn_frame_builder_number(
                    b, c, k % 17 == 0 ? INFINITY : exp(3 * qn_rng_normal(&rng)) - 1, &err));
                break;
            case 1:
                OK(qn_frame_builder_i64(b, c, (int64_t)qn_rng_below(&rng, 40) - 5, &err));
                break;
            case 2: OK(qn_frame_builder_number(b, c, (double)qn_rng_below(&rng, 2), &err)); break;
            case 3: {
                const char *job = jobs[qn_rng_below(&rng, 5)];
                OK(qn_frame_builder_text(b, c, job, strlen(job), &err));
                break;
            }
            case 4:
                snprintf(text, sizeof text, "city%d", (int)qn_rng_below(&rng, k == i ? 300 : 500));
                OK(qn_frame_builder_text(b, c, text, strlen(text), &err));
                break;
            case 5: {
                size_t len = 0;
                for (uint64_t w = qn_rng_below(&rng, 9); w > 0; w--)
                    len += (size_t)snprintf(text + len, sizeof text - len, "%s ",
                                            words[qn_rng_below(&rng, 7)]);
                OK(qn_frame_builder_text(b, c, text, len, &err));
                break;
            }
            default:
                OK(qn_frame_builder_i64(
                    b, c, (int64_t)qn_rng_below(&rng, 4000000000u) * 1000000 - 1000000000000000,
                    &err));
            }
        }
    }
    OK(qn_frame_builder_finish(b, &frame, &err));
    qn_frame_builder_free(&b);
    return frame;
}

static inline double *make_target(int64_t n, int n_classes) {
    double *y = qn_new_array(double, n);
    for (int64_t i = 0; i < n; i++)
        y[i] = n_classes ? (double)(qn_rng_hash(3, (uint64_t)i) % (uint64_t)n_classes)
                         : qn_rng_hash_uniform(3, (uint64_t)i) * 10;
    return y;
}

static inline bool same_bits(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

/* Row-major copy of a matrix. */
static inline double *dense_of(const qn_matrix *m) {
    double *x = qn_new_array(double, (size_t)m->n_rows * (size_t)m->n_features);
    qn_matrix_rows(m, 0, m->n_rows, x);
    return x;
}

static inline void assert_same_matrix(const qn_matrix *a, const qn_matrix *b) {
    assert_int_equal(a->n_rows, b->n_rows);
    assert_int_equal(a->n_features, b->n_features);
    double *x = dense_of(a), *y = dense_of(b);
    for (int64_t i = 0; i < a->n_rows * a->n_features; i++)
        if (!same_bits(x[i], y[i]))
            fail_msg("row %lld feature %s: %.17g is not %.17g", (long long)(i / a->n_features),
                     a->features[i % a->n_features].name, x[i], y[i]);
    qn_freep(&x);
    qn_freep(&y);
}

#endif
