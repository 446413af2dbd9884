/* What happens from round to round: learning rates, stopping, models that go on from others. */
#include <stdlib.h>

#include "gbdt_data.h"
#include "gbdt_fit.h"
#include "learn/family_int.h"
#include "learn/gbdt_refit.h"

/* A coin: every tree parts its sides, and takes the share `rate` of what is left of their distance. */
typedef struct coin {
    double x[1000], y[1000];
    qn_feature feature;
    qn_matrix_column column;
    qn_matrix matrix;
} coin;

static void coin_init(coin *c) {
    memset(c, 0, sizeof *c);
    for (int i = 0; i < 1000; i++) {
        c->x[i] = i % 2;
        c->y[i] = i % 2 ? 3 : 1;
    }
    c->column.num = c->x;
    c->matrix = (qn_matrix){.n_rows = 1000, .n_features = 1, .features = &c->feature,
                            .columns = &c->column};
}

static qn_fit_input coin_input(const coin *c) {
    return (qn_fit_input){.train = {.x = &c->matrix, .y = c->y}, .task = QN_TASK_REGRESSION,
                          .seed = 1};
}

/* ---- learning rates --------------------------------------------------------------------------- */

static double left_after(const char *schedule, int n) {
    double left = 1;
    for (int i = 0; i < n; i++) {
        double t = i / 9.0 < 1 ? i / 9.0 : 1, rate = 0.2;
        if (strcmp(schedule, "linear") == 0)
            rate = 0.2 - 0.15 * t;
        else if (strcmp(schedule, "cosine") == 0)
            rate = 0.05 + 0.075 * (1 + cos(acos(-1) * t));
        else if (strcmp(schedule, "exponential") == 0)
            rate = 0.2 * pow(0.25, t);
        else if (strcmp(schedule, "list") == 0)
            rate = i == 0 ? 0.4 : i == 1 ? 0.3 : 0.01;
        left *= 1 - rate;
    }
    return left;
}

static void rates_follow_their_schedule(void **state) {
    const char *const schedules[] = {"constant", "linear", "cosine", "exponential", "list"};
    coin c;
    coin_init(&c);
    qn_fit_input in = coin_input(&c);
    for (size_t k = 0; k < 5; k++)
        for (int n = 1; n <= 14; n += 13) {
            char text[300];
            snprintf(text, sizeof text,
                     "{\"learning_rate\": 0.2, \"num_iterations\": %d, \"learning_rate_end\": 0.05,"
                     " \"learning_rate_rounds\": 10, %s}",
                     n, k == 4 ? "\"learning_rates\": [0.4, \"0.3\", 0.01]"
                               : "\"boosting\": \"gbdt\"");
            qn_cleanup(qn_json_free) json_t *params = json(text);
            if (k < 4)
                json_object_set_new(params, "learning_rate_schedule", json_string(schedules[k]));
            qn_learner *m = NULL;
            assert_int_equal(qn_learner_fit(&qn__family_gbdt, params, &in, NULL, &m, NULL), QN_OK);
            double raw[2];
            m->family->predict(m, &c.matrix, 0, 2, raw);
            assert_near(raw[1], 2 + 1 - left_after(schedules[k], n), 2e-3);
            assert_near(raw[0], 2 - 1 + left_after(schedules[k], n), 2e-3);
            qn__gbdt_free(m);
        }
}

static void the_schedule_takes_all_rounds_unless_told(void **state) {
    qn_gbdt_params p;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    p.num_iterations = 11;
    p.learning_rate_schedule = "linear";
    p.learning_rate_end = 0;
    assert_near(qn__rate_of(&p, 0), 0.1, 1e-15);
    assert_near(qn__rate_of(&p, 5), 0.05, 1e-15);
    assert_near(qn__rate_of(&p, 10), 0, 1e-15);
    p.num_iterations = 1;
    assert_near(qn__rate_of(&p, 0), 0.1, 1e-15);
}

static void bad_rates_are_refused(void **state) {
    const char *const cases[][2] = {
        {"{\"learning_rate_schedule\": \"exponential\", \"learning_rate_end\": 0}",
         "learning_rate_schedule exponential needs a learning_rate_end above 0"},
        {"{\"learning_rates\": []}",
         "learning_rates must be a list of numbers, one for each round"},
        {"{\"learning_rates\": [0.1, 0]}",
         "learning_rates: number 2 must be above 0 and at most 100"},
        {"{\"learning_rates\": [0.1, \"x\"]}",
         "learning_rates: number 2 must be above 0 and at most 100"},
    };
    coin c;
    coin_init(&c);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_cleanup(qn_json_free) json_t *params = json(cases[i][0]);
        qn_fit_input in = coin_input(&c);
        qn_learner *m = NULL;
        qn_error err = {0};
        assert_int_equal(qn_learner_fit(&qn__family_gbdt, params, &in, NULL, &m, &err),
                         QN_ERR_CONFIG);
        assert_string_equal(err.message, cases[i][1]);
    }
}

/* ---- several metrics -------------------------------------------------------------------------- */

static qn_learner *fit_json(const char *text, const qn_fit_input *in, const qn_job *job) {
    qn_cleanup(qn_json_free) json_t *params = json(text);
    return fit_params(params, in, job);
}

/* The first is best in round peak[0], the second in round peak[1], the third is never defined. */
typedef struct scripted {
    int peak[2], n;
    bool in_order;
} scripted;

static void measure(void *user, const double *scores, double *values) {
    scripted *s = user;
    s->n++;
    values[0] = -abs(s->n - s->peak[0]);
    values[1] = abs(s->n - s->peak[1]);
    values[2] = (double)NAN;
    for (int i = 0; i < 1000; i++)
        s->in_order &= scores[i] > 0 && scores[i] < 1; /* probabilities */
}

static void any_metric_may_stop(void **state) {
    static const qn_fit_metric metrics[] = {{"first", true}, {"second", false}, {"third", true}};
    static const struct {
        int peak[2];
        bool first_only;
        int kept, seen;
    } cases[] = {
        {{10, 20}, false, 10, 15}, {{20, 10}, false, 10, 15}, {{20, 10}, true, 20, 25},
        {{10, 20}, true, 10, 15},  {{100, 100}, false, 40, 40}, {{38, 100}, false, 38, 40},
    };
    coin c;
    coin_init(&c);
    double klass[1000];
    for (int i = 0; i < 1000; i++)
        klass[i] = i % 3 != 0;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        scripted s = {.peak = {cases[k].peak[0], cases[k].peak[1]}, .in_order = true};
        qn_fit_input in = {.train = {.x = &c.matrix, .y = klass},
                           .valid = {.x = &c.matrix, .y = klass}, .task = QN_TASK_BINARY,
                           .n_classes = 2, .user = &s, .metrics = metrics, .n_metrics = 3,
                           .measure = measure};
        char text[200];
        snprintf(text, sizeof text,
                 "{\"num_iterations\": 40, \"early_stopping_round\": 5, \"extra_trees\": true,"
                 " \"first_metric_only\": %s}",
                 cases[k].first_only ? "true" : "false");
        qn_learner *m = fit_json(text, &in, NULL);
        assert_int_equal(((const qn__gbdt *)m)->best_iteration, cases[k].kept);
        assert_int_equal(((const qn__gbdt *)m)->n_trees, cases[k].kept);
        assert_int_equal(s.n, cases[k].seen);
        assert_true(s.in_order);
        qn__gbdt_free(m);
    }
}

typedef struct hand {
    qn_job_stop stop;
    int n;
    bool told;
} hand;

static void press(void *user, const qn_progress *progress) {
    hand *h = user;
    assert_true(h->stop.possible);
    h->told |= progress->note && strstr(progress->note, "first")
               && strstr(progress->note, "second");
    if (++h->n == 12)
        h->stop.asked = 1;
}

/* Stopped by hand after round 12, the model is that of the best round so far. */
static void what_is_stopped_by_hand_is_a_model(void **state) {
    static const qn_fit_metric metrics[] = {{"first", true}, {"second", false}, {"third", true}};
    coin c;
    coin_init(&c);
    double klass[1000];
    for (int i = 0; i < 1000; i++)
        klass[i] = i % 3 != 0;
    for (int with = 0; with < 2; with++) {
        scripted s = {.peak = {9, 30}, .in_order = true};
        hand h = {0};
        qn_fit_input in = {.train = {.x = &c.matrix, .y = klass}, .task = QN_TASK_BINARY,
                           .n_classes = 2};
        if (with) {
            in.valid = in.train;
            in.user = &s;
            in.metrics = metrics;
            in.n_metrics = 3;
            in.measure = measure;
        }
        qn_job job = {.n_threads = 1, .stop = &h.stop, .on_progress = press, .user = &h};
        qn_learner *m = fit_json("{\"num_iterations\": 40, \"early_stopping_round\": 20,"
                                 " \"extra_trees\": true}", &in, &job);
        assert_int_equal(((const qn__gbdt *)m)->n_trees, with ? 9 : 12);
        assert_false(h.stop.possible);
        assert_int_equal(h.told, with);
        qn__gbdt_free(m);
        /* Another fit takes no notice. */
        job.on_progress = NULL;
        in.valid.x = NULL;
        m = fit_json("{\"num_iterations\": 40, \"extra_trees\": true}", &in, &job);
        assert_int_equal(((const qn__gbdt *)m)->n_trees, 40);
        qn__gbdt_free(m);
    }
}

/* ---- going on from a model --------------------------------------------------------------------- */

/* On the same rows, 13 rounds and 12 more are 25 at once, to the byte. */
static void going_on_is_not_having_stopped(void **state) {
    const char *const options[] = {
        "\"num_leaves\": 15",
        "\"bagging_freq\": 5, \"bagging_fraction\": 0.6, \"feature_fraction\": 0.7",
        "\"data_sample_strategy\": \"goss\", \"grow_policy\": \"symmetric\"",
        "\"extra_trees\": true, \"feature_fraction_bynode\": 0.5, \"early_stopping_round\": 100",
        "\"cegb_penalty_feature_coupled\": [9, 9, 9, 9, 9, 9, 9, 9, 9]",
    };
    toy d, v;
    toy_init(&d, 3000, 21);
    toy_init(&v, 500, 22);
    for (size_t o = 0; o < 2 * sizeof options / sizeof options[0]; o++) {
        bool classes = o % 2;
        qn_fit_input in = {.train = {.x = &d.x, .y = classes ? d.klass : d.value},
                           .valid = {.x = &v.x, .y = classes ? v.klass : v.value},
                           .task = classes ? QN_TASK_MULTICLASS : QN_TASK_REGRESSION,
                           .n_classes = classes ? 3 : 0, .seed = 5};
        char text[300];
        qn_learner *m[3];
        static const int rounds[] = {25, 13, 12};
        for (int i = 0; i < 3; i++) {
            snprintf(text, sizeof text, "{\"num_iterations\": %d, \"learning_rate\": 0.2, %s}",
                     rounds[i], options[o / 2]);
            in.from = i == 2 ? m[1] : NULL;
            qn_job job = {.n_threads = 1 + i};
            m[i] = fit_json(text, &in, &job);
        }
        assert_same_bytes(m[0], m[2]);
        for (int i = 0; i < 3; i++)
            qn__gbdt_free(m[i]);
    }
    toy_done(&d);
    toy_done(&v);
}

/* Other rows: it learns what is new in them, and early stopping counts from where it was. */
static void other_rows_are_learnt(void **state) {
    toy d, v;
    toy_init(&d, 3000, 23);
    toy_init(&v, 3000, 24);
    for (int i = 0; i < 3000; i++)
        v.value[i] = 5 - v.value[i];
    qn_fit_input in = {.train = {.x = &d.x, .y = d.value}, .task = QN_TASK_REGRESSION, .seed = 1};
    qn_learner *first = fit_json("{\"num_iterations\": 30}", &in, NULL);
    in.train = in.valid = (qn_fit_data){.x = &v.x, .y = v.value};
    in.from = first;
    qn_learner *m = fit_json("{\"num_iterations\": 60, \"early_stopping_round\": 30,"
                             " \"boosting\": \"dart\"}", &in, NULL);
    int32_t n = ((const qn__gbdt *)m)->n_trees;
    assert_true(n > 40 && n == ((const qn__gbdt *)m)->best_iteration);
    double error[2] = {0}, raw[2], base = 0;
    for (int i = 0; i < 3000; i++)
        base += v.value[i] / 3000;
    for (int i = 0; i < 3000; i++) {
        m->family->predict(m, &v.x, i, 1, raw);
        error[0] += (raw[0] - v.value[i]) * (raw[0] - v.value[i]);
        error[1] += (base - v.value[i]) * (base - v.value[i]);
    }
    assert_true(error[0] < 0.3 * error[1]);
    qn__gbdt_free(m);
    qn__gbdt_free(first);
    toy_done(&d);
    toy_done(&v);
}

static void only_its_like_goes_on(void **state) {
    toy d;
    toy_init(&d, 3000, 25);
    qn_fit_input in = {.train = {.x = &d.x, .y = d.value}, .task = QN_TASK_REGRESSION, .seed = 1};
    qn_learner *first = fit_json("{\"num_iterations\": 3}", &in, NULL);
    const char *const messages[] = {
        "the model to go on from has 9 features and 1 outputs, not 8 and 1",
        "the model to go on from has 9 features and 1 outputs, not 9 and 3",
        "the model to go on from was trained for objective regression, whose scores mean something "
        "else than those of binary",
        "feature '' is not what the model to go on from has"};
    for (int i = 0; i < 4; i++) {
        in = (qn_fit_input){.train = {.x = &d.x, .y = d.value}, .task = QN_TASK_REGRESSION,
                            .from = first};
        d.x.n_features = i == 0 ? 8 : 9;
        if (i == 1 || i == 2) {
            in.task = i == 1 ? QN_TASK_MULTICLASS : QN_TASK_BINARY;
            in.n_classes = i == 1 ? 3 : 2;
            in.train.y = i == 1 ? d.klass : d.y;
        }
        d.features[3].n_categories = i == 3 ? 4 : 3;
        qn_learner *m = NULL;
        qn_error err = {0};
        assert_true(qn_learner_fit(&qn__family_gbdt, NULL, &in, NULL, &m, &err) != QN_OK);
        assert_string_equal(err.message, messages[i]);
    }
    qn__gbdt_free(first);
    toy_done(&d);
}

/* ---- shared bins -------------------------------------------------------------------------------- */

/* Few values, so that a part of the rows has the bins of all: bound between the same neighbours. */
static void shared_bins_are_as_good_as_own(void **state) {
    enum { N = 4000 };
    toy d;
    toy_init(&d, N, 41);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < 2; j++)
            d.columns[j].num[i] = fmin(fmax(round(2 * d.columns[j].num[i]), -3), 3);
    d.x.n_features = 5;
    int64_t rows[2][N], n[2] = {0};
    double y[2][N];
    for (int64_t i = 0; i < N; i++) {
        int part = i % 7 % 3 == 0;
        rows[part][n[part]] = i;
        y[part][n[part]++] = d.value[i];
    }
    qn_matrix *x[2] = {NULL};
    for (int k = 0; k < 2; k++)
        assert_int_equal(qn_matrix_take(&d.x, rows[k], n[k], &x[k], NULL), QN_OK);
    const char *const options[] = {"{\"num_iterations\": 15, \"early_stopping_round\": 5}",
                                   "{\"num_iterations\": 15, \"max_bin\": 300}"};
    for (int o = 0; o < 2; o++) {
        qn_cleanup(qn_json_free) json_t *params = json(options[o]);
        qn_fit_input all = {.train = {.x = &d.x}, .seed = 1};
        qn_gbdt_bins *bins = NULL;
        assert_int_equal(qn_gbdt_bins_new(params, &all, NULL, &bins, NULL), QN_OK);
        qn_fit_input in = {.train = {.x = x[0], .y = y[0]}, .valid = {.x = x[1], .y = y[1]},
                           .task = QN_TASK_REGRESSION, .seed = 1};
        qn_learner *own = fit_json(options[o], &in, NULL);
        in.bins = bins;
        in.train_rows = rows[0];
        in.valid_rows = rows[1];
        qn_job job = {.n_threads = 3};
        qn_learner *shared = fit_json(options[o], &in, &job);
        double a[N], b[N];
        own->family->predict(own, &d.x, 0, N, a);
        shared->family->predict(shared, &d.x, 0, N, b);
        assert_memory_equal(a, b, sizeof a);
        qn__gbdt_free(own);
        qn__gbdt_free(shared);
        qn_gbdt_bins_free(&bins);
    }
    d.x.n_features = 6; /* the sixth is sparse */
    qn_fit_input all = {.train = {.x = &d.x}, .seed = 1};
    qn_gbdt_bins *bins = NULL;
    assert_int_equal(qn_gbdt_bins_new(NULL, &all, NULL, &bins, NULL), QN_ERR_USAGE);
    for (int k = 0; k < 2; k++)
        qn_matrix_free(&x[k]);
    toy_done(&d);
}

/* ---- memory ------------------------------------------------------------------------------------- */

/* A fit with costs, forced splits and the advanced method, one that goes on from it with shared bins, and
 * the leaves of both refitted. */
static qn_status all_at_once(const toy *d, const json_t *params, const int64_t *rows) {
    qn_cleanup(qn_learner_free) qn_learner *first = NULL, *second = NULL, *refitted = NULL;
    qn_cleanup(qn_gbdt_bins_free) qn_gbdt_bins *bins = NULL;
    qn_fit_input in = {.train = {.x = &d->x, .y = d->value}, .valid = {.x = &d->x, .y = d->value},
                       .task = QN_TASK_REGRESSION, .seed = 3};
    QN_TRY(qn_learner_fit(&qn__family_gbdt, params, &in, NULL, &first, NULL));
    QN_TRY(qn_gbdt_bins_new(params, &in, NULL, &bins, NULL));
    in.bins = bins;
    in.train_rows = in.valid_rows = rows;
    in.from = first;
    QN_TRY(qn_learner_fit(&qn__family_gbdt, params, &in, NULL, &second, NULL));
    const qn_matrix *x = &d->x;
    const double *y = d->value;
    qn_prune_rows labelled = {.x = &x, .y = &y, .n_parts = 1};
    qn_refit_options options = {.task = in.task, .decay = 0.5, .params = params};
    int64_t n;
    return qn_gbdt_refit(second, d->features, &labelled, &options, NULL, &refitted, &n, NULL);
}

static void memory_may_run_out(void **state) {
    static const char *const names[] = {"a", "b", "few", "kind", "many"};
    toy d;
    toy_init(&d, 300, 51);
    d.x.n_features = 5;
    int64_t rows[300];
    for (int i = 0; i < 300; i++)
        rows[i] = i;
    for (int j = 0; j < 5; j++)
        d.features[j].name = (char *)(uintptr_t)names[j];
    qn_cleanup(qn_json_free) json_t *params = json(
        "{\"num_iterations\": 2, \"num_leaves\": 5, \"cegb_penalty_feature_lazy\": {\"a\": 0.01},"
        " \"cegb_penalty_feature_coupled\": {\"b\": 1}, \"feature_contri\": {\"few\": 0.5},"
        " \"forced_splits\": {\"feature\": \"a\", \"threshold\": 0},"
        " \"monotone_constraints\": {\"a\": 1}, \"monotone_constraints_method\": \"advanced\"}");
    for (int64_t n = 0;; n++) {
        qn_mem_fail_after(n);
        qn_status status = all_at_once(&d, params, rows);
        qn_mem_fail_after(-1);
        if (status == QN_OK)
            break;
        assert_int_equal(status, QN_ERR_MEMORY);
    }
    toy_done(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_follow_their_schedule),
        cmocka_unit_test(the_schedule_takes_all_rounds_unless_told),
        cmocka_unit_test(bad_rates_are_refused),
        cmocka_unit_test(any_metric_may_stop),
        cmocka_unit_test(what_is_stopped_by_hand_is_a_model),
        cmocka_unit_test(going_on_is_not_having_stopped),
        cmocka_unit_test(other_rows_are_learnt),
        cmocka_unit_test(only_its_like_goes_on),
        cmocka_unit_test(shared_bins_are_as_good_as_own),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
