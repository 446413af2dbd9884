/* The metrics against scikit-learn on random and edge inputs (recomputed by check_metrics.py when
 * it is there), and against closed forms. */
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
#include "evaluate/metric.h"

enum { MAX_ROWS = 1500, MAX_CLASSES = 5 };

typedef struct rows {
    double y[MAX_ROWS], scores[MAX_ROWS * MAX_CLASSES], weight[MAX_ROWS];
    int32_t query[MAX_ROWS];
} rows;

static void assert_near(double a, double b, double by) {
    assert_true(fabs(a - b) <= by);
}

static double value_of(const char *name, const qn_eval_input *input) {
    const qn_metric *metric = NULL;
    assert_int_equal(qn_metric_find(name, qn_metric_kind(input), &metric, NULL), QN_OK);
    return metric->compute(input);
}

/* Appends a case with our values. */
static void record(json_t *cases, const char *name, const qn_eval_input *in) {
    int k = in->task == QN_TASK_MULTICLASS ? in->n_classes : 1;
    json_t *values = json_object(), *c = json_object();
    size_t n;
    const qn_metric *all = qn_metrics(&n);
    for (size_t i = 0; i < n; i++)
        if (all[i].tasks >> qn_metric_kind(in) & 1)
            json_object_set_new(values, all[i].name, qn_json_number(all[i].compute(in)));
    json_object_set_new(c, "name", json_string(name));
    json_object_set_new(c, "task", json_string(qn_metric_kind_name(qn_metric_kind(in))));
    json_t *query = json_array();
    for (int64_t i = 0; in->query && i < in->n; i++)
        json_array_append_new(query, json_integer(in->query[i]));
    json_object_set_new(c, "query", query);
    json_object_set_new(c, "n_classes", json_integer(in->n_classes));
    json_object_set_new(c, "threshold", json_real(in->threshold));
    json_object_set_new(c, "y", qn_json_numbers(in->y, (size_t)in->n));
    json_object_set_new(c, "scores", qn_json_numbers(in->scores, (size_t)(in->n * k)));
    json_object_set_new(c, "weight",
                        in->weight ? qn_json_numbers(in->weight, (size_t)in->n) : json_null());
    json_object_set_new(c, "values", values);
    json_array_append_new(cases, c);
}

/* `ties` > 0 rounds scores to that many steps, so that 0 and 1 occur too. */
static void fill(rows *r, qn_task task, int n, int k, int ties, qn_rng *rng) {
    for (int i = 0; i < n; i++) {
        r->weight[i] = 0.1 + 3 * qn_rng_uniform(rng);
        if (task == QN_TASK_REGRESSION) {
            r->y[i] = ties ? floor(5 * qn_rng_uniform(rng)) : 100 + 10 * qn_rng_normal(rng);
            r->scores[i] = r->y[i] + (ties ? floor(3 * qn_rng_uniform(rng)) : qn_rng_normal(rng)) +
                           0.5;
            if (ties == 10) { /* probabilities */
                r->y[i] /= 4;
                r->scores[i] = fmin(r->scores[i] / 6, 1);
            }
            continue;
        }
        r->y[i] = (double)qn_rng_below(rng, (uint64_t)k);
        double sum = 0, *p = r->scores + (task == QN_TASK_BINARY ? i : i * k);
        if (task == QN_TASK_BINARY) {
            p[0] = 0.25 * r->y[i] + 0.75 * qn_rng_uniform(rng);
            if (ties)
                p[0] = round(p[0] * ties) / ties;
            continue;
        }
        for (int j = 0; j < k; j++)
            sum += p[j] = (ties ? (double)qn_rng_below(rng, (uint64_t)ties) : qn_rng_uniform(rng)) +
                          (j == r->y[i] ? 0.3 : 0.001);
        for (int j = 0; j < k; j++)
            p[j] /= sum;
    }
}

static void add_random(json_t *cases, rows *r) {
    static const int sizes[] = {1, 2, 3, 7, 40, 333, MAX_ROWS};
    qn_rng rng;
    qn_rng_init(&rng, 11);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int ties = 0; ties <= 10; ties += 5)
            for (int task = 0; task < 3; task++) {
                int k = task == QN_TASK_BINARY ? 2 : task == QN_TASK_MULTICLASS ? 3 + ties / 5 : 0;
                fill(r, (qn_task)task, sizes[s], k, ties, &rng);
                qn_eval_input in = {.task = (qn_task)task, .n_classes = k, .n = sizes[s], .y = r->y,
                                    .scores = r->scores, .threshold = ties ? 0.4 : 0.5};
                record(cases, "plain", &in);
                in.weight = r->weight;
                record(cases, "weighted", &in);
            }
}

static void add_edges(json_t *cases, rows *r) {
    qn_eval_input in = {.task = QN_TASK_BINARY, .n_classes = 2, .n = 6, .y = r->y,
                        .scores = r->scores, .threshold = 0.5};
    for (int truth = 0; truth < 3; truth++)
        for (int kind = 0; kind < 4; kind++) {
            for (int i = 0; i < 6; i++) {
                r->y[i] = truth < 2 ? truth : i % 2;
                r->scores[i] = kind == 0   ? 0.5
                               : kind == 1 ? 0
                               : kind == 2 ? 1
                                           : (double)(i % 3) / 2;
            }
            record(cases, "edge", &in);
        }
    in.task = QN_TASK_REGRESSION;
    for (int kind = 0; kind < 3; kind++) {
        for (int i = 0; i < 6; i++) {
            r->y[i] = kind ? 0.5 : i - 3;
            r->scores[i] = kind == 1 ? 0.5 : i;
        }
        record(cases, "edge", &in);
    }
    in.task = QN_TASK_MULTICLASS;
    in.n_classes = 4; /* two classes absent, one predicted though absent */
    for (int i = 0; i < 6; i++) {
        r->y[i] = i % 2;
        for (int j = 0; j < 4; j++)
            r->scores[4 * i + j] = j == i % 3 ? 1 : 0;
    }
    record(cases, "edge", &in);
}

/* Queries of one row up to many, scattered, some with nothing to find, with and without ties. */
static void add_rankings(json_t *cases, rows *r) {
    static const int sizes[] = {1, 5, 60, MAX_ROWS}, queries[] = {1, 2, 9, 130};
    qn_rng rng;
    qn_rng_init(&rng, 12);
    for (int s = 0; s < 4; s++)
        for (int ties = 0; ties <= 4; ties += 4) {
            for (int i = 0; i < sizes[s]; i++) {
                r->query[i] = (int32_t)qn_rng_below(&rng, (uint64_t)queries[s]);
                r->y[i] = r->query[i] % 5 == 4 ? 0 : (double)qn_rng_below(&rng, 4);
                r->weight[i] = 0.1 + qn_rng_uniform(&rng);
                r->scores[i] = 0.2 * r->y[i] + qn_rng_normal(&rng);
                if (ties)
                    r->scores[i] = round(r->scores[i] * ties) / ties;
            }
            qn_eval_input in = {.task = QN_TASK_REGRESSION, .n = sizes[s], .y = r->y,
                                .scores = r->scores, .query = r->query, .threshold = 0.5};
            record(cases, "ranking", &in);
            in.weight = r->weight;
            record(cases, "weighted ranking", &in);
        }
}

static void metrics_equal_scikit_learn(void **state) {
    qn_cleanup(qn_freep) rows *r = qn_calloc(1, sizeof *r);
    qn_cleanup(qn_json_free) json_t *cases = json_array();
    assert_non_null(r);
    add_random(cases, r);
    add_edges(cases, r);
    add_rankings(cases, r);
    check_by_python("tests/evaluate/check_metrics.py", cases);
}

/* The rows outside one group, gathered plainly. */
static void gather_others(const qn_eval_input *from, const int32_t *group, int32_t g, rows *to,
                          qn_eval_input *ret) {
    int64_t k = from->task == QN_TASK_MULTICLASS ? from->n_classes : 1, n = 0;
    for (int64_t i = 0; i < from->n; i++) {
        if (group[i] == g)
            continue;
        to->y[n] = from->y[i];
        to->weight[n] = from->weight ? from->weight[i] : 1;
        memcpy(to->scores + n * k, from->scores + i * k, (size_t)k * sizeof(double));
        n++;
    }
    *ret = *from;
    ret->n = n;
    ret->y = to->y;
    ret->scores = to->scores;
    ret->weight = from->weight ? to->weight : NULL;
}

static void without_a_group_is_the_metric_of_the_others(void **state) {
    enum { ROWS = 300, GROUPS = 6 };
    qn_cleanup(qn_freep) rows *r = qn_calloc(1, sizeof *r), *others = qn_calloc(1, sizeof *others);
    int32_t group[ROWS];
    qn_rng rng;
    qn_rng_init(&rng, 8);
    for (int round = 0; round < 12; round++) {
        qn_task task = (qn_task)(round % 3);
        int k = task == QN_TASK_BINARY ? 2 : 4;
        fill(r, task, ROWS, k, round < 6 ? 0 : 5, &rng);
        for (int i = 0; i < ROWS; i++) /* all rows of class 1 in one group: undefined without it */
            group[i] = round < 3 && r->y[i] == 1 ? 2 : (int32_t)qn_rng_below(&rng, GROUPS);
        qn_eval_input in = {.task = task, .n_classes = task == QN_TASK_REGRESSION ? 0 : k,
                            .n = ROWS, .y = r->y, .scores = r->scores, .threshold = 0.5,
                            .weight = round % 2 ? r->weight : NULL};
        size_t n;
        const qn_metric *all = qn_metrics(&n);
        for (size_t m = 0; m < n; m++) {
            double value, without[GROUPS];
            if (!(all[m].tasks >> task & 1))
                continue;
            assert_int_equal(
                qn_metric_without(&all[m], &in, group, GROUPS, &value, without, NULL), QN_OK);
            double whole = all[m].compute(&in);
            assert_true((isnan(value) && isnan(whole)) || value == whole);
            for (int32_t g = 0; g < GROUPS; g++) {
                qn_eval_input left;
                gather_others(&in, group, g, others, &left);
                double expected = all[m].compute(&left);
                assert_true((isnan(expected) && isnan(without[g])) ||
                            fabs(without[g] - expected) <= 1e-9 * (1 + fabs(expected)));
            }
        }
    }
    qn_eval_input in = {.task = QN_TASK_BINARY, .n_classes = 2, .n = ROWS, .y = r->y,
                        .scores = r->scores, .threshold = 0.5};
    fill(r, QN_TASK_BINARY, ROWS, 2, 0, &rng);
    const qn_metric *metric;
    qn_status status = QN_ERR_MEMORY;
    assert_int_equal(qn_metric_find("pr_auc", QN_TASK_BINARY, &metric, NULL), QN_OK);
    for (int i = 0; status == QN_ERR_MEMORY; i++) {
        double value, without[GROUPS];
        qn_mem_fail_after(i);
        status = qn_metric_without(metric, &in, group, GROUPS, &value, without, NULL);
        qn_mem_fail_after(-1);
    }
    assert_int_equal(status, QN_OK);
}

static void known_values(void **state) {
    /* scikit-learn's own documentation: roc_auc 0.75, average precision 0.8333... */
    const double y[] = {0, 0, 1, 1}, p[] = {0.1, 0.4, 0.35, 0.8};
    qn_eval_input in = {.task = QN_TASK_BINARY, .n_classes = 2, .n = 4, .y = y,
                        .scores = p, .threshold = 0.5};
    assert_near(value_of("roc_auc", &in), 0.75, 1e-15);
    assert_near(value_of("pr_auc", &in), 5.0 / 6, 1e-15);
    assert_near(value_of("accuracy", &in), 0.75, 1e-15);
    assert_near(value_of("recall", &in), 0.5, 1e-15);
    assert_near(value_of("precision", &in), 1, 1e-15);
    in.n = 0;
    assert_true(isnan(value_of("roc_auc", &in)) && isnan(value_of("f1", &in)));
    const double wrong[] = {0, 0, 2, 1};
    in.n = 4;
    in.y = wrong;
    assert_true(isnan(value_of("log_loss", &in)));
}

static void finds_by_name_and_task(void **state) {
    qn_error err = {0};
    const qn_metric *metric = NULL;
    assert_int_equal(qn_metric_find("roc_acu", QN_TASK_BINARY, &metric, &err), QN_ERR_CONFIG);
    assert_non_null(strstr(err.message, "roc_auc"));
    assert_int_equal(qn_metric_find("rmse", QN_TASK_BINARY, &metric, &err), QN_ERR_CONFIG);
    assert_non_null(strstr(err.message, "regression"));
    assert_int_equal(qn_metric_find("zzzzzzzzzz", QN_TASK_REGRESSION, &metric, &err),
                     QN_ERR_CONFIG);
    assert_non_null(strstr(err.message, "mape"));
    assert_null(metric);
    assert_string_equal(qn_metric_default(QN_TASK_BINARY)->name, "log_loss");
    assert_string_equal(qn_metric_default(QN_TASK_MULTICLASS)->name, "log_loss");
    assert_string_equal(qn_metric_default(QN_TASK_REGRESSION)->name, "rmse");
}

/* The same resamples of queries: two models on the same rows, and one query drawn twice is the query
 * counted twice. */
static void queries_are_resampled_whole(void **state) {
    enum { ROWS = 40 };
    double y[ROWS], a[ROWS], b[ROWS];
    int32_t query[ROWS];
    for (int i = 0; i < ROWS; i++) {
        query[i] = i % 4;
        y[i] = i / 4 % 3;
        a[i] = y[i] + (query[i] == 0 ? -2.0 * y[i] : 0); /* one of four queries upside down */
        b[i] = 0;
    }
    qn_eval_input in = {.task = QN_TASK_REGRESSION, .n = ROWS, .y = y, .scores = a, .query = query};
    qn_eval_input other = in;
    other.scores = b;
    const qn_metric *map;
    qn_interval difference;
    qn_cleanup(qn_json_free) json_t *all = NULL;
    assert_int_equal(qn_metric_find("map", QN_METRIC_RANKING, &map, NULL), QN_OK);
    assert_int_equal(qn_evaluate_metrics(&in, 200, 3, NULL, &all, NULL), QN_OK);
    assert_int_equal(json_object_size(all), 3);
    json_t *one = json_object_get(all, "map");
    double value = json_number_value(json_object_get(one, "value"));
    double low = json_number_value(json_object_get(one, "low"));
    double high = json_number_value(json_object_get(one, "high"));
    assert_true(low < value && value < high && high <= 1 && low > 0);
    assert_int_equal(qn_evaluate_difference(map, &in, &other, 200, 3, NULL, &difference, NULL),
                     QN_OK);
    assert_near(difference.value, value - map->compute(&other), 1e-12);
    int32_t group[ROWS];
    double without[4];
    memcpy(group, query, sizeof group);
    assert_int_equal(qn_metric_without(map, &in, group, 4, &value, without, NULL), QN_OK);
    assert_near(without[0], 1, 1e-12);
    assert_near((without[1] + without[2] + without[3]) / 3, (4 * value - 1) / 3, 1e-12);
    assert_int_equal(qn_metric_find("rmse", QN_METRIC_RANKING, &map, NULL), QN_ERR_CONFIG);
    assert_int_equal(qn_metric_find("ndcg", QN_METRIC_RANKING, &map, NULL), QN_OK);
    assert_string_equal(map->name, "ndcg@10");
    assert_string_equal(qn_metric_default(QN_METRIC_RANKING)->name, "ndcg@10");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_equal_scikit_learn),
        cmocka_unit_test(without_a_group_is_the_metric_of_the_others),
        cmocka_unit_test(known_values),
        cmocka_unit_test(finds_by_name_and_task),
        cmocka_unit_test(queries_are_resampled_whole),
    };
    return cmocka_run_group_tests_name("metric", tests, NULL, NULL);
}
