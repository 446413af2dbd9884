/* LambdaRank: lambdas against swaps that are really made, labels and queries that cannot be, and that it
 * orders rows. */
#include <stdlib.h>

#include "gbdt_fit.h"

static qn_gbdt_params defaults(void) {
    qn_gbdt_params p = gbdt_defaults();
    p.num_iterations = 30;
    p.num_leaves = 15;
    return p;
}

/* Rows of queries of 1 to 24, spread over the table; grades 0 to 4 by what the toy's value says. */
typedef struct world {
    toy d;
    int32_t *query;
    double *grade;
    int32_t n_queries;
} world;

static void world_init(world *w, int64_t n, uint64_t seed) {
    toy_init(&w->d, n, seed);
    w->query = qn_new_array(int32_t, n);
    w->grade = qn_new_array(double, n);
    w->n_queries = (int32_t)(n / 12 + 3); /* some have no rows */
    for (int64_t i = 0; i < n; i++) {
        double noise = 0.5 * (qn_rng_hash_uniform(seed + 9, (uint64_t)i) - 0.5);
        w->query[i] = (int32_t)(qn_rng_hash(seed, (uint64_t)i) % (uint64_t)(n / 12));
        w->grade[i] = fmin(4, fmax(0, floor(w->d.value[i] + noise + 1)));
    }
}

static void world_done(world *w) {
    qn_freep(&w->query);
    qn_freep(&w->grade);
    toy_done(&w->d);
}

static double gain_of(double grade) {
    return exp2(grade) - 1;
}

typedef struct place {
    double score, grade;
    int64_t row;
} place;

static int by_score(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->row > y->row) - (x->row < y->row);
}

static int by_grade(const void *a, const void *b) {
    return (((const place *)a)->grade < ((const place *)b)->grade)
           - (((const place *)a)->grade > ((const place *)b)->grade);
}

static double dcg(const place *p, int64_t n, int64_t places) {
    double sum = 0;
    for (int64_t i = 0; i < n && i < places; i++)
        sum += gain_of(p[i].grade) / log2((double)i + 2);
    return sum;
}

/* What NDCG changes by when two places are really swapped, all pairs of a query one after the other. */
static void by_swapping(const world *w, const qn_gbdt_params *p, const double *score,
                        const double *weight, double *g, double *h) {
    int64_t n_all = w->d.x.n_rows;
    place *of = qn_calloc((size_t)n_all, sizeof *of), *best = qn_calloc((size_t)n_all, sizeof *of);
    for (int32_t q = 0; q < w->n_queries; q++) {
        int64_t n = 0;
        double sum = 0;
        for (int64_t i = 0; i < n_all; i++)
            if (w->query[i] == q)
                of[n++] = (place){score[i], w->grade[i], i};
        if (n == 0)
            continue;
        memcpy(best, of, (size_t)n * sizeof *of);
        qsort(best, (size_t)n, sizeof *of, by_grade);
        qsort(of, (size_t)n, sizeof *of, by_score);
        double ideal = dcg(best, n, p->lambdarank_truncation_level);
        bool normed = p->lambdarank_norm && of[0].score != of[n - 1].score;
        for (int64_t i = 0; i < n; i++)
            g[of[i].row] = h[of[i].row] = 0;
        for (int64_t a = 0; ideal > 0 && a < n; a++)
            for (int64_t b = a + 1; b < n && a < p->lambdarank_truncation_level; b++) {
                if (of[a].grade == of[b].grade)
                    continue;
                double before = dcg(of, n, n), after;
                double grade = of[a].grade;
                of[a].grade = of[b].grade;
                of[b].grade = grade;
                after = dcg(of, n, n);
                of[b].grade = of[a].grade;
                of[a].grade = grade;
                int64_t high = of[a].grade > of[b].grade ? a : b, low = a + b - high;
                double apart = of[high].score - of[low].score;
                double change = fabs(after - before) / ideal / (normed ? 0.01 + fabs(apart) : 1);
                double s = 1 / (1 + exp(apart));
                g[of[high].row] -= s * change;
                g[of[low].row] += s * change;
                h[of[high].row] += s * (1 - s) * change;
                h[of[low].row] += s * (1 - s) * change;
                sum += 2 * s * change;
            }
        double shrink = p->lambdarank_norm && sum > 0 ? log2(1 + sum) / sum : 1;
        for (int64_t i = 0; i < n; i++) {
            g[of[i].row] *= shrink * (weight ? weight[of[i].row] : 1);
            h[of[i].row] *= shrink * (weight ? weight[of[i].row] : 1);
        }
    }
    qn_freep(&of);
    qn_freep(&best);
}

static void lambdas_are_what_swaps_are_worth(void **state) {
    enum { N = 400 };
    world w;
    world_init(&w, N, 41);
    double score[N], weight[N], g[N], h[N];
    float got_g[N], got_h[N];
    for (int i = 0; i < N; i++) {
        score[i] = round(4 * qn_rng_hash_uniform(3, (uint64_t)i)) / 2; /* with ties */
        weight[i] = 0.5 + i % 3;
    }
    for (int kind = 0; kind < 4; kind++) {
        qn_gbdt_params p = defaults();
        p.lambdarank_norm = kind % 2;
        p.lambdarank_truncation_level = kind < 2 ? 1000 : 3;
        for (int i = 0; kind == 3 && i < N; i++)
            score[i] = 0; /* as in the first round */
        qn__queries *queries = NULL;
        qn_error err = {0};
        assert_int_equal(qn__queries_new(&p, w.grade, w.query, N, w.n_queries, 2, &queries, &err),
                         QN_OK);
        qn__objective_data d = {.params = &p, .y = w.grade, .w = weight, .n = N, .n_outputs = 1,
                                .n_threads = 2, .queries = queries};
        qn__rank_gradients(&d, score, got_g, got_h);
        by_swapping(&w, &p, score, weight, g, h);
        for (int i = 0; i < N; i++) {
            assert_near(got_g[i], g[i], 1e-6 * (1 + fabs(g[i])));
            assert_near(got_h[i], h[i], 1e-6 * (1 + fabs(h[i])));
        }
        qn__queries_free(&queries);
    }
    world_done(&w);
}

/* Mean NDCG of 10 places, by the textbook. */
static double ndcg_of(const world *w, const double *score) {
    int64_t n_all = w->d.x.n_rows;
    place *of = qn_calloc((size_t)n_all, sizeof *of);
    double sum = 0, n_good = 0;
    for (int32_t q = 0; q < w->n_queries; q++) {
        int64_t n = 0;
        for (int64_t i = 0; i < n_all; i++)
            if (w->query[i] == q)
                of[n++] = (place){score[i], w->grade[i], i};
        qsort(of, (size_t)n, sizeof *of, by_score);
        double got = dcg(of, n, 10);
        qsort(of, (size_t)n, sizeof *of, by_grade);
        double best = dcg(of, n, 10);
        sum += best > 0 ? got / best : 0;
        n_good += best > 0;
    }
    qn_freep(&of);
    return sum / n_good;
}

static qn_fit_input input_of(const world *w) {
    return (qn_fit_input){.train = {.x = &w->d.x, .y = w->grade, .query = w->query},
                          .n_queries = w->n_queries, .task = QN_TASK_REGRESSION, .seed = 7};
}

/* Grades of a query say who is first, not how good a query is: a rank objective can leave that out. */
static void rows_are_put_in_order(void **state) {
    enum { N = 6000 };
    world train, test;
    world_init(&train, N, 42);
    world_init(&test, N / 3, 43);
    double *raw = qn_new_array(double, N);
    qn_gbdt_params p = defaults();
    qn_fit_input in = input_of(&train);
    in.valid = (qn_fit_data){.x = &test.d.x, .y = test.grade, .query = test.query};
    qn_learner *m = NULL;
    qn_error err = {0};
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_OK);
    assert_string_equal(qn__objective_names[((qn__gbdt *)m)->objective], "lambdarank");
    m->family->predict(m, &test.d.x, 0, N / 3, raw);
    double ours = ndcg_of(&test, raw), none = 0, perfect = ndcg_of(&test, test.d.value);
    double *zero = qn_new_array(double, N);
    none = ndcg_of(&test, zero);
    print_message("# NDCG@10 %.4f; no order %.4f, the value behind the grades %.4f\n", ours, none,
                  perfect);
    assert_true(ours > none + 0.85 * (perfect - none));
    /* The loss of early stopping is 1 - NDCG. */
    qn__queries *queries = NULL;
    assert_int_equal(qn__queries_new(&p, test.grade, test.query, N / 3, test.n_queries, 2, &queries,
                                     &err), QN_OK);
    qn__objective_data d = {.params = &p, .y = test.grade, .n = N / 3, .n_outputs = 1,
                            .n_threads = 2, .queries = queries};
    assert_near(qn__rank_loss(&d, raw), 1 - ours, 1e-12);
    qn__queries_free(&queries);
    qn_learner_free(&m);
    qn_freep(&zero);
    qn_freep(&raw);
    world_done(&train);
    world_done(&test);
}

static void bytes_do_not_depend_on_threads(void **state) {
    world w, v;
    world_init(&w, 5000, 44);
    world_init(&v, 800, 45);
    double *weight = qn_new_array(double, 5000);
    for (int i = 0; i < 5000; i++)
        weight[i] = 1 + i % 2;
    qn_gbdt_params p = defaults();
    p.num_iterations = 8;
    p.bagging_freq = 1;
    p.bagging_fraction = 0.7;
    p.early_stopping_round = 5;
    p.early_stopping_se = 1;
    qn_fit_input in = input_of(&w);
    in.train.weight = weight;
    in.valid = (qn_fit_data){.x = &v.d.x, .y = v.grade, .query = v.query};
    int32_t stretch[800];
    for (int i = 0; i < 800; i++)
        stretch[i] = i / 100;
    in.valid_stretch = stretch;
    in.n_stretches = 8;
    assert_threads_agree(&p, &in, 0);
    qn_freep(&weight);
    world_done(&w);
    world_done(&v);
}

static void what_cannot_be_is_told(void **state) {
    world w;
    world_init(&w, 300, 46);
    qn_gbdt_params p = defaults();
    qn_fit_input in = input_of(&w);
    qn_learner *m = NULL;
    qn_error err = {0};
    w.grade[7] = 1.5;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_DATA);
    assert_string_equal(err.message, "row 8: label 1.5 has no gain: labels are whole numbers from "
                                     "0 to 31");
    w.grade[7] = 3;
    p.label_gain = json_pack("[i, i, i]", 0, 1, 10);
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_DATA);
    json_decref((json_t *)(uintptr_t)p.label_gain);
    p.label_gain = json_pack("[i, s]", 0, "one");
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_CONFIG);
    json_decref((json_t *)(uintptr_t)p.label_gain);
    p.label_gain = NULL;
    w.query[3] = w.n_queries;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_USAGE);
    w.query[3] = 0;
    in.train.query = NULL;
    p.objective = "lambdarank";
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_CONFIG);
    assert_string_equal(err.message, "objective lambdarank orders rows within queries: it needs "
                                     "task.kind ranking");
    /* Nothing to order anywhere: no split, no crash. */
    in = input_of(&w);
    p.num_iterations = 2;
    memset(w.grade, 0, 300 * sizeof *w.grade);
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_OK);
    qn_learner_free(&m);
    for (int64_t n = 0;; n++) {
        qn_mem_fail_after(n);
        w.grade[5] = 1;
        qn_status status = qn__family_gbdt.fit(&p, &in, NULL, &m, &err);
        qn_mem_fail_after(-1);
        if (status == QN_OK)
            break;
        assert_int_equal(status, QN_ERR_MEMORY);
        assert_true(n < 2000);
    }
    qn_learner_free(&m);
    world_done(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lambdas_are_what_swaps_are_worth),
        cmocka_unit_test(rows_are_put_in_order),
        cmocka_unit_test(bytes_do_not_depend_on_threads),
        cmocka_unit_test(what_cannot_be_is_told),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("learn/gbdt_rank", tests, NULL, NULL);
}
