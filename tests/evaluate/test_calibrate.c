/* Calibration against scikit-learn (recomputed by check_calibrate.py when it is there), its JSON
 * form also from hostile hands, undoing of sampling, failing memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/check_by_python.h"
#include "base/mem.h"
#include "base/rng.h"
#include "evaluate/calibrate.h"

enum { N = 600, ASKED = 201, MAX_K = 3 };

typedef struct rows {
    double y[N], scores[N * MAX_K], weight[N], asked[ASKED * MAX_K], mapped[ASKED * MAX_K];
} rows;

/* Scores that are too sure of themselves; with ties when rounded. */
static void fill(rows *r, int32_t k, bool ties, uint64_t seed) {
    qn_rng rng;
    qn_rng_init(&rng, seed);
    for (int i = 0; i < N; i++) {
        double sum = 0, *p = r->scores + i * k;
        r->y[i] = (double)qn_rng_below(&rng, k == 1 ? 2 : (uint64_t)k);
        r->weight[i] = 0.2 + 2 * qn_rng_uniform(&rng);
        for (int32_t j = 0; j < k; j++) {
            p[j] = 1 /
                   (1 + exp(-2 * (qn_rng_normal(&rng) + (k == 1 ? r->y[i] - 0.5 : r->y[i] == j))));
            p[j] = ties ? round(20 * p[j]) / 20 : p[j];
            sum += p[j];
        }
        for (int32_t j = 0; k > 1 && j < k; j++)
            p[j] = sum > 0 ? p[j] / sum : 1.0 / k;
    }
    for (int i = 0; i < ASKED * k; i++)
        r->asked[i] = i < 3 ? i / 2.0 : qn_rng_uniform(&rng);
}

static qn_calibrator *fit(qn_calibration_kind kind, const rows *r, const double *weight,
                          int32_t k) {
    qn_calibrator *c = NULL;
    assert_int_equal(qn_calibrator_fit(kind, r->y, r->scores, weight, N, k, &c, NULL), QN_OK);
    return c;
}

static void record(json_t *cases, qn_calibration_kind kind, int32_t k, bool weighted, bool ties) {
    rows r;
    fill(&r, k, ties, (uint64_t)(10 + k));
    qn_cleanup(qn_calibrator_free) qn_calibrator *c = fit(kind, &r, weighted ? r.weight : NULL, k);
    memcpy(r.mapped, r.asked, sizeof r.mapped);
    qn_calibrator_apply(c, r.mapped, ASKED);
    json_t *json = json_object();
    json_object_set_new(json, "kind",
                        json_string(kind == QN_CALIBRATION_PLATT ? "platt" : "isotonic"));
    json_object_set_new(json, "n_outputs", json_integer(k));
    json_object_set_new(json, "y", qn_json_numbers(r.y, N));
    json_object_set_new(json, "scores", qn_json_numbers(r.scores, (size_t)(N * k)));
    json_object_set_new(json, "weight", weighted ? qn_json_numbers(r.weight, N) : json_null());
    json_object_set_new(json, "asked", qn_json_numbers(r.asked, (size_t)(ASKED * k)));
    json_object_set_new(json, "mapped", qn_json_numbers(r.mapped, (size_t)(ASKED * k)));
    json_array_append_new(cases, json);
}

/* Where Platt's problem has its end, to the last digits: there the first derivatives are 0. Samples of which
 * rounding of the loss used to hide that are among these. */
static void platt_ends_where_nothing_is_left(void **state) {
    enum { MOST = 10000 };
    double *y = qn_new_array(double, MOST), *p = qn_new_array(double, MOST);
    for (int n = 100; n <= MOST; n *= 10)
        for (uint64_t seed = 1; seed <= 4; seed++) {
            qn_rng rng;
            qn_rng_init(&rng, seed + 7);
            double n_hits = 0, ga = 0, gb = 0;
            for (int i = 0; i < n; i++) {
                double z = 2 * qn_rng_normal(&rng);
                y[i] = seed == 4 ? z > 0 : qn_rng_uniform(&rng) < 1 / (1 + exp(0.3 - 0.6 * z));
                p[i] = 1 / (1 + exp(seed == 3 ? -10 * z : -z)); /* seed 4: no score is wrong */
                n_hits += y[i];
            }
            qn_calibrator *c = NULL;
            assert_int_equal(
                qn_calibrator_fit(QN_CALIBRATION_PLATT, y, p, NULL, n, 1, &c, NULL), QN_OK);
            qn_cleanup(qn_json_free) json_t *told = qn_calibrator_to_json(c);
            const json_t *map = json_array_get(json_object_get(told, "maps"), 0);
            double a = json_number_value(json_object_get(map, "a"));
            double b = json_number_value(json_object_get(map, "b"));
            for (int i = 0; i < n; i++) {
                double q = fmin(fmax(p[i], 1e-15), 1 - 1e-15), f = log(q) - log1p(-q);
                double t = y[i] ? (n_hits + 1) / (n_hits + 2) : 1 / (n - n_hits + 2);
                double gap = 1 / (1 + exp(-a * f - b)) - t;
                ga += gap * f / n;
                gb += gap / n;
            }
            assert_true(fabs(ga) < 1e-11 && fabs(gb) < 1e-11);
            qn_calibrator_free(&c);
        }
    qn_freep(&y);
    qn_freep(&p);
}

static void equals_scikit_learn(void **state) {
    qn_cleanup(qn_json_free) json_t *cases = json_array();
    for (int kind = QN_CALIBRATION_PLATT; kind <= QN_CALIBRATION_ISOTONIC; kind++)
        for (int32_t k = 1; k <= MAX_K; k += 2)
            for (int more = 0; more < 4; more++)
                record(cases, (qn_calibration_kind)kind, k, more & 1, more & 2);
    check_by_python("tests/evaluate/check_calibrate.py", cases);
}

static void returns_from_json_with_the_same_bits(void **state) {
    for (int kind = QN_CALIBRATION_PLATT; kind <= QN_CALIBRATION_ISOTONIC; kind++)
        for (int32_t k = 1; k <= MAX_K; k += 2) {
            rows r;
            double again[ASKED * MAX_K];
            fill(&r, k, false, 5);
            qn_cleanup(qn_calibrator_free)
                qn_calibrator *c = fit((qn_calibration_kind)kind, &r, NULL, k);
            qn_cleanup(qn_calibrator_free) qn_calibrator *back = NULL;
            qn_cleanup(qn_json_free) json_t *json = qn_calibrator_to_json(c);
            assert_int_equal(qn_calibrator_from_json(json, k, &back, NULL), QN_OK);
            memcpy(r.mapped, r.asked, sizeof r.mapped);
            qn_calibrator_apply(c, r.mapped, ASKED);
            memcpy(again, r.asked, sizeof again);
            for (int i = 0; i < ASKED; i++)
                qn_calibrator_apply(back, again + i * k, 1);
            assert_memory_equal(again, r.mapped, (size_t)(ASKED * k) * sizeof(double));
            for (int i = 0; i < ASKED * k; i++)
                assert_true(r.mapped[i] >= 0 && r.mapped[i] <= 1);
        }
}

static void hostile_json_is_refused(void **state) {
    static const char *const bad[] = {
        "[]",
        "{}",
        "3",
        "{\"kind\": \"platt\"}",
        "{\"kind\": \"magic\", \"maps\": [{\"a\": 1, \"b\": 0}]}",
        "{\"kind\": 3, \"maps\": []}",
        "{\"kind\": \"platt\", \"maps\": []}",
        "{\"kind\": \"platt\", \"maps\": [1]}",
        "{\"kind\": \"platt\", \"maps\": [{\"a\": 1}]}",
        "{\"kind\": \"platt\", \"maps\": [{\"a\": \"x\", \"b\": 0}]}",
        "{\"kind\": \"platt\", \"maps\": [{\"a\": 1, \"b\": 0}, {\"a\": 1, \"b\": 0}]}",
        "{\"kind\": \"isotonic\", \"maps\": [{\"x\": [], \"y\": []}]}",
        "{\"kind\": \"isotonic\", \"maps\": [{\"x\": [0, 1], \"y\": [0]}]}",
        "{\"kind\": \"isotonic\", \"maps\": [{\"x\": [1, 0], \"y\": [0, 1]}]}",
        "{\"kind\": \"isotonic\", \"maps\": [{\"x\": [0, 0], \"y\": [0, 1]}]}",
        "{\"kind\": \"isotonic\", \"maps\": [{\"x\": [0, 1], \"y\": [1, 0]}]}",
        "{\"kind\": \"isotonic\", \"maps\": [{\"x\": [0, 1], \"y\": [0, 2]}]}",
        "{\"kind\": \"isotonic\", \"maps\": [{\"x\": [0, null], \"y\": [0, 1]}]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        qn_cleanup(qn_json_free) json_t *json = json_loads(bad[i], JSON_DECODE_ANY, NULL);
        qn_calibrator *c = NULL;
        assert_non_null(json);
        if (qn_calibrator_from_json(json, 1, &c, NULL) == QN_OK)
            fail_msg("accepted %s", bad[i]);
        assert_null(c);
    }
    qn_calibrator *none = NULL;
    qn_cleanup(qn_json_free) json_t *null = qn_calibrator_to_json(NULL);
    assert_true(json_is_null(null));
    assert_int_equal(qn_calibrator_from_json(null, 1, &none, NULL), QN_OK);
    assert_null(none);
    double p = 0.3;
    qn_calibrator_apply(NULL, &p, 1);
    assert_true(p == 0.3);
}

static void edges(void **state) {
    double y[] = {1, 0, 1}, p[] = {0.5, 0.5, 0.5}, all[] = {1, 1, 1}, out[] = {0, 0.5, 1, 0.2};
    for (int kind = QN_CALIBRATION_PLATT; kind <= QN_CALIBRATION_ISOTONIC; kind++) {
        qn_cleanup(qn_calibrator_free) qn_calibrator *c = NULL, *d = NULL, *none = NULL;
        assert_int_equal(qn_calibrator_fit((qn_calibration_kind)kind, y, p, NULL, 3, 1, &c, NULL),
                         QN_OK);
        assert_int_equal(qn_calibrator_fit((qn_calibration_kind)kind, all, p, NULL, 3, 1, &d, NULL),
                         QN_OK);
        qn_calibrator_apply(c, out, 4);
        qn_calibrator_apply(d, out, 4);
        for (int i = 0; i < 4; i++)
            assert_true(out[i] >= 0 && out[i] <= 1);
        double wrong[] = {0.5, 1.5, 0.5}, nan_weight[] = {1, NAN, 1};
        assert_int_equal(
            qn_calibrator_fit((qn_calibration_kind)kind, y, wrong, NULL, 3, 1, &none, NULL),
            QN_ERR_DATA);
        assert_int_equal(
            qn_calibrator_fit((qn_calibration_kind)kind, y, p, nan_weight, 3, 1, &none, NULL),
            QN_ERR_DATA);
        assert_int_equal(
            qn_calibrator_fit((qn_calibration_kind)kind, y, p, NULL, 0, 1, &none, NULL),
            QN_ERR_DATA);
        assert_null(none);
    }
}

/* With a tenth of the negatives kept, a share of q among what was kept is q / (q + (1 - q) /
 * 0.1). */
static void sampling_is_undone(void **state) {
    double p[] = {0, 1, 0.5, 0.2}, same[] = {0, 1, 0.5, 0.2};
    qn_undo_negative_sampling(p, 4, 0.1);
    assert_true(p[0] == 0 && p[1] == 1);
    assert_true(fabs(p[2] - 1.0 / 11) < 1e-15);
    assert_true(fabs(p[3] - 1.0 / 41) < 1e-15);
    qn_undo_negative_sampling(same, 4, 1);
    assert_true(same[2] == 0.5 && fabs(same[3] - 0.2) < 1e-15);
}

static void memory_failures(void **state) {
    rows r;
    fill(&r, 3, false, 8);
    for (int kind = QN_CALIBRATION_PLATT; kind <= QN_CALIBRATION_ISOTONIC; kind++)
        for (int i = 0;; i++) {
            qn_cleanup(qn_calibrator_free) qn_calibrator *c = NULL;
            qn_mem_fail_after(i);
            qn_status status = qn_calibrator_fit((qn_calibration_kind)kind, r.y, r.scores, NULL, N,
                                                 3, &c, NULL);
            qn_mem_fail_after(-1);
            if (status == QN_OK)
                break;
            assert_int_equal(status, QN_ERR_MEMORY);
            assert_null(c);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_scikit_learn),
        cmocka_unit_test(platt_ends_where_nothing_is_left),
        cmocka_unit_test(returns_from_json_with_the_same_bits),
        cmocka_unit_test(hostile_json_is_refused),
        cmocka_unit_test(edges),
        cmocka_unit_test(sampling_is_undone),
        cmocka_unit_test(memory_failures),
    };
    return cmocka_run_group_tests_name("calibrate", tests, NULL, NULL);
}
