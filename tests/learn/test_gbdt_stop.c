/* Early stopping with standard errors over stretches of time. */
#include <stdlib.h>

#include "gbdt_data.h"
#include "learn/family_int.h"

enum { G = 10 };

static void add(qn__stopping *s, const double *stretch_loss) {
    double sum = 0, without[QN__STRETCHES_MAX];
    for (int k = 0; k < s->n_stretches; k++)
        sum += stretch_loss[k];
    for (int k = 0; k < s->n_stretches; k++)
        without[k] = (sum - stretch_loss[k]) / (s->n_stretches - 1);
    assert_int_equal(qn__stopping_add(s, sum / s->n_stretches, without, NULL), QN_OK);
}

/* Of means of equally large stretches the jackknife's standard error is sd / sqrt(G), in closed
 * form. */
static void the_standard_error_is_that_of_stretches(void **state) {
    for (uint64_t seed = 0; seed < 20; seed++) {
        qn_rng rng;
        qn_rng_init(&rng, seed);
        qn_cleanup(qn__stopping_done) qn__stopping s = {.n_stretches = G};
        double best[G], other[G], mean = 0, square = 0;
        for (int k = 0; k < G; k++) {
            best[k] = 1 + qn_rng_uniform(&rng);
            other[k] = best[k] + qn_rng_normal(&rng);
            mean += (other[k] - best[k]) / G;
        }
        for (int k = 0; k < G; k++) {
            other[k] += 0.3 - mean; /* worse by 0.3 on average */
            square += (other[k] - best[k] - 0.3) * (other[k] - best[k] - 0.3);
        }
        double se = sqrt(square / (G - 1) / G);
        add(&s, best);
        add(&s, other);
        assert_int_equal(qn__stopping_pick(&s, 1, 2, 0.3 / se * 1.000001), 2);
        assert_int_equal(qn__stopping_pick(&s, 1, 2, 0.3 / se * 0.999999), 1);
    }
}

/* A curve whose loss in round m is low + slope * |m - best|, the same in every stretch, with noise of
 * stretches on the difference. */
static void make_curve(qn__stopping *s, int n_rounds, int best, double slope, double noise) {
    for (int m = 1; m <= n_rounds; m++) {
        double loss[G];
        for (int k = 0; k < G; k++)
            loss[k] = 1 + k + slope * abs(m - best) + (m == best ? 0 : k % 2 ? noise : -noise);
        add(s, loss);
    }
}

static void evidence_decides_and_its_lack_does_not(void **state) {
    /* best, slope, noise; what is kept with patience 50 and one standard error (noise * sqrt(10 /
     * 9) / sqrt(10) = noise / 3) */
    static const struct {
        int best;
        double slope, noise;
        int kept;
    } cases[] = {
        {1, 0.1, 0, 1},      /* every stretch says that one round is best */
        {1, 0.1, 100, 50},   /* two kinds of stretches disagree: nobody knows */
        {1, 0.1, 3.001, 11}, /* within 1.0003: up to ten rounds more */
        {200, 0.1, 0, 200},
        {200, 0.1, 3.001, 190}, /* the one-standard-error rule */
        {200, 0.1, 100, 50},
        {50, 0.1, 3, 50},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qn_cleanup(qn__stopping_done) qn__stopping s = {.n_stretches = G};
        make_curve(&s, cases[i].best + 50, cases[i].best, cases[i].slope, cases[i].noise);
        assert_int_equal(qn__stopping_pick(&s, cases[i].best, 50, 1), cases[i].kept);
    }
}

static void what_is_not_defined_is_not_known(void **state) {
    qn_cleanup(qn__stopping_done) qn__stopping s = {.n_stretches = G};
    double without[G] = {0};
    for (int m = 0; m < 60; m++) {
        without[3] = INFINITY; /* all positives lie in one stretch */
        assert_int_equal(qn__stopping_add(&s, 1 + m, without, NULL), QN_OK);
    }
    assert_int_equal(qn__stopping_pick(&s, 1, 50, 1), 50);
    /* A budget of time ended it early. */
    s.n_rounds = 20;
    assert_int_equal(qn__stopping_pick(&s, 1, 50, 1), 20);
    /* A round without a finite loss is no choice, unless none has one. */
    without[3] = 0;
    s.n_rounds = 0;
    for (int m = 0; m < 60; m++)
        assert_int_equal(qn__stopping_add(&s, m == 4 ? 1 : (double)NAN, without, NULL), QN_OK);
    assert_int_equal(qn__stopping_pick(&s, 5, 50, 1), 5);
    s.n_rounds = 0;
    for (int m = 0; m < 60; m++)
        assert_int_equal(qn__stopping_add(&s, INFINITY, without, NULL), QN_OK);
    assert_int_equal(qn__stopping_pick(&s, 1, 50, 1), 50);
}

/* The loss without a stretch against the same rows gathered plainly. */
static void losses_without_a_stretch(void **state) {
    enum { N = 500, K = 3, S = 7 };
    static double y[N], w[N], score[K * N], some_y[N], some_w[N], some_score[K * N];
    static int32_t stretch[N];
    qn_rng rng;
    qn_rng_init(&rng, 5);
    for (int i = 0; i < N; i++) {
        y[i] = (double)qn_rng_below(&rng, K);
        w[i] = 0.1 + qn_rng_uniform(&rng);
        stretch[i] = (int32_t)qn_rng_below(&rng, S - 1); /* the last one is empty */
        for (int k = 0; k < K; k++)
            score[k * N + i] = qn_rng_normal(&rng);
    }
    qn_gbdt_params p;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    p.early_stopping_round = 10;
    p.early_stopping_se = 1;
    const qn__objective *o;
    assert_int_equal(qn__objective_find("auto", QN_TASK_MULTICLASS, false, &o, NULL), QN_OK);
    qn_matrix x = {.n_rows = N};
    for (int weighted = 0; weighted < 2; weighted++) {
        qn_cleanup(qn__stopping_done) qn__stopping s = {0};
        qn__objective_data all = {&p, y, weighted ? w : NULL, N, K, 1};
        qn_fit_input in = {.valid = {.x = &x}, .valid_stretch = stretch, .n_stretches = S};
        assert_int_equal(qn__stopping_init(&s, &p, &in, &all, NULL), QN_OK);
        double without[S];
        assert_near(qn__stopping_loss(&s, o, &all, score, without), o->loss(&all, score), 1e-12);
        for (int32_t g = 0; g < S; g++) {
            qn__objective_data some = {&p, some_y, weighted ? some_w : NULL, 0, K, 1};
            for (int i = 0; i < N; i++)
                some.n += stretch[i] != g;
            for (int64_t i = 0, n = 0; i < N; i++) {
                if (stretch[i] == g)
                    continue;
                some_y[n] = y[i];
                some_w[n] = w[i];
                for (int k = 0; k < K; k++)
                    some_score[k * some.n + n] = score[k * N + i];
                n++;
            }
            assert_near(without[g], o->loss(&some, some_score), 1e-12);
        }
    }
}

/* Rare events: in training rows the sum of many columns announces them; those of the validation rows
 * are two bursts of another kind, which nothing announces. */
static void make_events(toy *d, bool other_kind, int32_t *stretch) {
    int64_t n = d->x.n_rows;
    for (int64_t i = 0; i < n; i++) {
        d->y[i] = other_kind ? i / (n / 40) == 12 || i / (n / 40) == 31 : d->value[i] > 3.5;
        if (stretch)
            stretch[i] = (int32_t)(i * G / n);
    }
}

/* 1 - the share of pairs in which the positive has the higher score, without rows of one stretch. */
static double misordered(const toy *d, const double *raw, const int32_t *stretch,
                         int32_t left_out) {
    int64_t n = d->x.n_rows;
    double won = 0, pairs = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n && d->y[i] > 0; j++) {
            if (d->y[j] > 0 || (stretch && (stretch[i] == left_out || stretch[j] == left_out)))
                continue;
            won += raw[i] > raw[j] ? 1 : raw[i] == raw[j] ? 0.5 : 0;
            pairs++;
        }
    return pairs > 0 ? 1 - won / pairs : INFINITY;
}

typedef struct judge {
    const toy *valid;
    const int32_t *stretch;
} judge;

static double order_loss(void *user, qn_link link, const double *raw, double *without) {
    const judge *j = user;
    for (int32_t g = 0; without && g < G; g++)
        without[g] = misordered(j->valid, raw, j->stretch, g);
    return misordered(j->valid, raw, NULL, 0);
}

static double error_on(const qn_learner *m, const toy *d) {
    qn_cleanup(qn_freep) double *raw = qn_new_array(double, d->x.n_rows);
    m->family->predict(m, &d->x, 0, d->x.n_rows, raw);
    return misordered(d, raw, NULL, 0);
}

static qn_learner *fit_shifted(double n_errors, const qn_fit_input *in, int threads) {
    qn_gbdt_params p;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    p.num_iterations = 1000;
    p.early_stopping_round = 50;
    p.early_stopping_se = n_errors;
    p.lambda_l2 = 1;
    qn_job job = {.n_threads = threads};
    qn_learner *m = NULL;
    qn_error err = {0};
    if (qn__family_gbdt.fit(&p, in, &job, &m, &err) != QN_OK)
        fail_msg("%s", err.message);
    return m;
}

static int32_t rounds_of(const qn_learner *m) {
    return ((const qn__gbdt *)m)->best_iteration;
}

static void survives_a_shift(void **state) {
    enum { N = 800, SEEDS = 4 };
    static int32_t stretch[N];
    double plain_error = 0, careful_error = 0;
    int32_t more_rounds = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        toy train, valid, later;
        toy_init(&train, 4000, 100 + seed);
        toy_init(&valid, N, 200 + seed);
        toy_init(&later, 2000, 300 + seed);
        make_events(&train, false, NULL);
        make_events(&valid, true, stretch);
        make_events(&later, false, NULL);
        judge by = {&valid, stretch};
        qn_fit_input in = {.train = {.x = &train.x, .y = train.y}, .task = QN_TASK_BINARY,
                           .n_classes = 2, .valid = {.x = &valid.x, .y = valid.y}, .seed = 3,
                           .valid_stretch = stretch, .n_stretches = G, .loss = order_loss,
                           .user = &by};
        qn_learner *plain = fit_shifted(0, &in, 1), *careful = fit_shifted(1, &in, 1);
        assert_true(rounds_of(careful) >= rounds_of(plain));
        more_rounds += rounds_of(careful) - rounds_of(plain);
        plain_error += error_on(plain, &later) / SEEDS;
        careful_error += error_on(careful, &later) / SEEDS;
        qn__gbdt_free(plain);
        qn__gbdt_free(careful);
        toy_done(&train);
        toy_done(&valid);
        toy_done(&later);
    }
    assert_true(more_rounds > 0);
    assert_true(careful_error < 0.5 * plain_error);
}

static void same_kind_of_rows_stop_as_before(void **state) {
    enum { N = 4000 };
    static int32_t stretch[N];
    toy train, valid;
    toy_init(&train, N, 31);
    toy_init(&valid, N, 32);
    for (int i = 0; i < N; i++)
        stretch[i] = i * G / N;
    qn_fit_input in = {.train = {.x = &train.x, .y = train.y}, .task = QN_TASK_BINARY,
                       .n_classes = 2, .valid = {.x = &valid.x, .y = valid.y}, .seed = 3,
                       .valid_stretch = stretch, .n_stretches = G};
    qn_learner *plain = fit_shifted(0, &in, 1), *careful = fit_shifted(1, &in, 1);
    /* Within a standard error, on the patience's side of the best. */
    assert_true(abs(rounds_of(careful) - 50) <= abs(rounds_of(plain) - 50));
    qn_buf first = {0}, other = {0};
    assert_int_equal(qn__family_gbdt.save(careful, &first, NULL), QN_OK);
    qn__gbdt_free(careful);
    careful = fit_shifted(1, &in, 2);
    assert_int_equal(qn__family_gbdt.save(careful, &other, NULL), QN_OK);
    assert_int_equal(first.len, other.len);
    assert_memory_equal(first.data, other.data, first.len);
    /* Importances are those of the rounds kept: as a fit of so many rounds has them. */
    double kept[TOY_FEATURES], exact[TOY_FEATURES];
    qn_gbdt_params p;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    p.num_iterations = rounds_of(careful);
    p.lambda_l2 = 1;
    qn_learner *m = NULL;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, NULL), QN_OK);
    careful->family->importance(careful, kept);
    m->family->importance(m, exact);
    assert_memory_equal(kept, exact, sizeof kept);
    qn_buf_done(&first);
    qn_buf_done(&other);
    qn__gbdt_free(plain);
    qn__gbdt_free(careful);
    qn__gbdt_free(m);
    toy_done(&train);
    toy_done(&valid);
}

static void wrong_stretches_are_refused_and_memory_fails_cleanly(void **state) {
    toy train, valid;
    int32_t stretch[40];
    toy_init(&train, 60, 41);
    toy_init(&valid, 40, 42);
    for (int i = 0; i < 40; i++)
        stretch[i] = i / 4;
    qn_fit_input in = {.train = {.x = &train.x, .y = train.y}, .task = QN_TASK_BINARY,
                       .n_classes = 2, .valid = {.x = &valid.x, .y = valid.y}, .seed = 3,
                       .valid_stretch = stretch, .n_stretches = G};
    qn_gbdt_params p;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    p.num_iterations = 3;
    p.early_stopping_round = 2;
    p.early_stopping_se = 1;
    qn_learner *m = NULL;
    qn_error err = {0};
    stretch[7] = G;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_USAGE);
    assert_non_null(strstr(err.message, "validation row 8 has stretch 10 of 10"));
    in.n_stretches = QN__STRETCHES_MAX + 1;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_USAGE);
    in.n_stretches = G;
    stretch[7] = 1;
    qn_status status = QN_ERR_MEMORY;
    for (int i = 0; status != QN_OK; i++) {
        qn_mem_fail_after(i);
        status = qn__family_gbdt.fit(&p, &in, NULL, &m, &err);
        qn_mem_fail_after(-1);
        assert_true(status == QN_OK || status == QN_ERR_MEMORY);
        assert_true(i < 2000);
    }
    qn__gbdt_free(m);
    toy_done(&train);
    toy_done(&valid);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_standard_error_is_that_of_stretches),
        cmocka_unit_test(evidence_decides_and_its_lack_does_not),
        cmocka_unit_test(what_is_not_defined_is_not_known),
        cmocka_unit_test(losses_without_a_stretch),
        cmocka_unit_test(survives_a_shift),
        cmocka_unit_test(same_kind_of_rows_stop_as_before),
        cmocka_unit_test(wrong_stretches_are_refused_and_memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
