/* Family gbdt through its table of functions. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/text.h"
#include "gbdt_fit.h"

static qn_gbdt_params quick(void) {
    qn_gbdt_params p;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    p.num_iterations = 20;
    p.num_leaves = 15;
    return p;
}

static qn_fit_input input_of(const toy *d, qn_task task) {
    const double *y = task == QN_TASK_BINARY       ? d->y
                      : task == QN_TASK_MULTICLASS ? d->klass
                                                   : d->value;
    return (qn_fit_input){.train = {.x = &d->x, .y = y}, .task = task, .seed = 7,
                          .n_classes = task == QN_TASK_BINARY ? 2
                                       : task == QN_TASK_MULTICLASS ? TOY_CLASSES : 0};
}

static void save(const qn_learner *model, qn_buf *out) {
    qn_buf_clear(out);
    assert_int_equal(qn__family_gbdt.save(model, out, NULL), QN_OK);
}

/* Mean loss on rows of a toy, by closed formulas. */
static double loss_of(const qn_learner *m, const toy *d, qn_task task) {
    int64_t n = d->x.n_rows, k = m->n_outputs;
    double *raw = qn_new_array(double, n * k), sum = 0;
    m->family->predict(m, &d->x, 0, n, raw);
    for (int64_t i = 0; i < n; i++) {
        if (task == QN_TASK_REGRESSION) {
            sum += (raw[i] - d->value[i]) * (raw[i] - d->value[i]);
        } else if (task == QN_TASK_BINARY) {
            sum += log1p(exp(d->y[i] > 0 ? -raw[i] : raw[i]));
        } else {
            double e = 0;
            for (int64_t c = 0; c < k; c++)
                e += exp(raw[i * k + c]);
            sum += log(e) - raw[i * k + (int64_t)d->klass[i]];
        }
    }
    qn_freep(&raw);
    return sum / (double)n;
}

static void loss_falls_and_generalises(void **state) {
    toy train, test;
    toy_init(&train, 3000, 1);
    toy_init(&test, 1000, 2);
    const double must[] = {0.45, 0.55, 0.6};
    for (qn_task task = QN_TASK_BINARY; task <= QN_TASK_REGRESSION; task++) {
        qn_fit_input in = input_of(&train, task);
        double before = INFINITY;
        for (int rounds = 5; rounds <= 40; rounds *= 2) {
            qn_gbdt_params p = quick();
            p.num_iterations = rounds;
            qn_learner *m = fit(&p, &in, NULL);
            double loss = loss_of(m, &train, task);
            assert_true(loss < before);
            before = loss;
            if (rounds == 40)
                assert_true(loss_of(m, &test, task) < must[task]);
            qn__gbdt_free(m);
        }
    }
    toy_done(&train);
    toy_done(&test);
}

static void bytes_do_not_depend_on_threads(void **state) {
    toy d;
    toy_init(&d, 6000, 3);
    for (qn_task task = QN_TASK_BINARY; task <= QN_TASK_REGRESSION; task++) {
        qn_gbdt_params p = quick();
        p.num_iterations = 6;
        p.bagging_freq = 2;
        p.bagging_fraction = 0.7;
        p.feature_fraction = 0.8;
        qn_fit_input in = input_of(&d, task);
        assert_threads_agree(&p, &in, 0);
    }
    toy_done(&d);
}

/* Enough rows that threads take leaves ahead of their turn, and work on the large ones together. */
static void bytes_of_large_trees_do_not_depend_on_threads(void **state) {
    toy d;
    toy_init(&d, 150000, 4);
    qn_gbdt_params p = quick();
    p.num_iterations = 3;
    p.num_leaves = 120;
    for (qn_task task = QN_TASK_BINARY; task <= QN_TASK_REGRESSION; task++) {
        qn_fit_input in = input_of(&d, task);
        /* Threads that do not get all the histograms they could use, too. */
        assert_threads_agree(&p, &in, 1 << 20);
    }
    toy_done(&d);
}

static void one_row_equals_batch_and_loaded_equals_saved(void **state) {
    toy d, other;
    toy_init(&d, 2000, 4);
    toy_init(&other, 500, 5);
    other.columns[0].num[3] = NAN; /* missing where training had none */
    other.columns[4].code[4] = -1;
    other.columns[4].code[5] = 1000;
    for (qn_task task = QN_TASK_BINARY; task <= QN_TASK_REGRESSION; task++) {
        qn_gbdt_params p = quick();
        qn_fit_input in = input_of(&d, task);
        qn_learner *m = fit(&p, &in, NULL), *again = NULL;
        qn_buf bytes = {0}, bytes_again = {0};
        save(m, &bytes);
        assert_int_equal(
            qn__family_gbdt.load(bytes.data, bytes.len, d.features, TOY_FEATURES, &again, NULL),
            QN_OK);
        save(again, &bytes_again);
        assert_int_equal(bytes.len, bytes_again.len);
        assert_memory_equal(bytes.data, bytes_again.data, bytes.len);
        int64_t n = 500, k = m->n_outputs;
        double *all = qn_new_array(double, n * k), *one = qn_new_array(double, k);
        m->family->predict(m, &other.x, 0, n, all);
        for (int64_t i = 0; i < n; i++) {
            m->family->predict(i % 2 ? m : again, &other.x, i, 1, one);
            assert_memory_equal(one, all + i * k, (size_t)k * sizeof(double));
        }
        qn_freep(&all);
        qn_freep(&one);
        qn_buf_done(&bytes);
        qn_buf_done(&bytes_again);
        qn__gbdt_free(m);
        qn__gbdt_free(again);
    }
    toy_done(&d);
    toy_done(&other);
}

static void hostile_bytes_are_refused_or_harmless(void **state) {
    toy d;
    toy_init(&d, 400, 6);
    qn_gbdt_params p = quick();
    p.num_iterations = 3;
    qn_fit_input in = input_of(&d, QN_TASK_MULTICLASS);
    qn_learner *m = fit(&p, &in, NULL);
    qn_buf bytes = {0};
    save(m, &bytes);
    qn_error err = {0};
    qn_learner *loaded = NULL;
    for (size_t n = 0; n < bytes.len; n++) {
        char *part = qn_malloc_aligned(n, 1);
        memcpy(part, bytes.data, n);
        assert_int_equal(qn__family_gbdt.load(part, n, d.features, TOY_FEATURES, &loaded, &err),
                         QN_ERR_FORMAT);
        qn_freep(&part);
    }
    qn_rng rng;
    qn_rng_init(&rng, 8);
    double raw[3 * 8], contrib[3 * (TOY_FEATURES + 1)], importance[TOY_FEATURES];
    int n_loaded = 0;
    for (int i = 0; i < 20000; i++) {
        char *copy = qn_malloc_aligned(bytes.len, 1);
        memcpy(copy, bytes.data, bytes.len);
        for (uint64_t k = 0; k <= qn_rng_below(&rng, 3); k++)
            copy[qn_rng_below(&rng, i % 2 ? bytes.len : 200)] = (char)qn_rng_u64(&rng);
        if (qn__family_gbdt.load(copy, bytes.len, d.features, TOY_FEATURES, &loaded, &err) ==
            QN_OK) {
            n_loaded++;
            if (loaded->n_outputs == 3) {
                loaded->family->predict(loaded, &d.x, 0, 8, raw);
                assert_int_equal(loaded->family->explain(loaded, &d.x, 0, 1, contrib, &err), QN_OK);
            }
            loaded->family->importance(loaded, importance);
            qn__gbdt_free(loaded);
        }
        qn_freep(&copy);
    }
    assert_true(n_loaded > 0);
    /* The features must be those of training. */
    assert_int_equal(
        qn__family_gbdt.load(bytes.data, bytes.len, d.features, TOY_FEATURES - 1, &loaded, &err),
        QN_ERR_FORMAT);
    qn_buf_done(&bytes);
    qn__gbdt_free(m);
    toy_done(&d);
}

/* Expected score when only the features of `known` are known: follow them, average over the
 * rest. */
static double expected(const qn__gbdt *m, int32_t tree, uint32_t at, const double *row,
                       unsigned known) {
    qn__gbdt_node node = qn__gbdt_node_at(m, m->start[tree], at);
    if (node.is_leaf)
        return m->value[qn__gbdt_leaf_start(m, tree) + node.to];
    uint32_t slot = qn__gbdt_node_slot(m, &node);
    if (known >> slot & 1)
        return expected(m, tree, node.to + qn__gbdt_node_goes_right(m, &node, row[slot]), row,
                        known);
    double left = rows_under(m, tree, node.to) / rows_under(m, tree, at);
    return left * expected(m, tree, node.to, row, known)
           + (1 - left) * expected(m, tree, node.to + 1, row, known);
}

static void explanations_are_shapley_values(void **state) {
    toy d;
    toy_init(&d, 1500, 9);
    for (qn_task task = QN_TASK_BINARY; task <= QN_TASK_REGRESSION; task++) {
        qn_gbdt_params p = quick();
        p.num_iterations = 8;
        p.min_data_in_leaf = 5;
        qn_fit_input in = input_of(&d, task);
        qn_learner *learner = fit(&p, &in, NULL);
        const qn__gbdt *m = (const qn__gbdt *)learner;
        enum { N = 12, WIDTH = TOY_FEATURES + 1 };
        double contrib[N * TOY_CLASSES * WIDTH], raw[N * TOY_CLASSES];
        int32_t n_k = learner->n_outputs;
        assert_int_equal(learner->family->explain(learner, &d.x, 20, N, contrib, NULL), QN_OK);
        learner->family->predict(learner, &d.x, 20, N, raw);
        for (int i = 0; i < N; i++) {
            double row[TOY_FEATURES];
            for (int32_t s = 0; s < m->n_slots; s++)
                row[s] = qn__matrix_value(&d.x, (int32_t)m->slot_column[s], 20 + i);
            for (int32_t k = 0; k < n_k; k++) {
                const double *c = contrib + (i * n_k + k) * WIDTH;
                double sum = 0;
                for (int f = 0; f < WIDTH; f++)
                    sum += c[f];
                assert_near(sum, raw[i * n_k + k], 1e-9 * (1 + fabs(sum)));
                for (int32_t s = 0; i < 3 && s < m->n_slots; s++) {
                    double phi = 0;
                    for (unsigned set = 0; set < 1u << m->n_slots; set++) {
                        if (set >> s & 1)
                            continue;
                        int size = __builtin_popcount(set);
                        double w = exp(lgamma(size + 1) + lgamma(m->n_slots - size)
                                       - lgamma(m->n_slots + 1));
                        for (int32_t t = k; t < m->n_trees; t += n_k)
                            phi += w * (expected(m, t, 0, row, set | 1u << s)
                                        - expected(m, t, 0, row, set));
                    }
                    assert_near(phi, c[m->slot_column[s]], 1e-9 * (1 + fabs(phi)));
                }
            }
        }
        qn__gbdt_free(learner);
    }
    toy_done(&d);
}

static void weights_are_like_copies(void **state) {
    enum { N = 1200 };
    toy once, twice;
    toy_init(&once, N, 10);
    toy_init(&twice, 2 * N, 10);
    double *w = qn_new_array(double, N);
    int64_t n = 0;
    /* Numbers only: sparse and category columns are left empty in both. */
    for (int j = 3; j < TOY_FEATURES; j++) {
        once.columns[j].n_set = twice.columns[j].n_set = 0;
        for (int64_t i = 0; j < 5 && i < 2 * N; i++)
            twice.columns[j].code[i] = -1;
        for (int64_t i = 0; j < 5 && i < N; i++)
            once.columns[j].code[i] = -1;
    }
    for (int64_t i = 0; i < N; i++) {
        w[i] = i % 3 == 0 ? 2 : 1;
        for (int copy = 0; copy < (int)w[i]; copy++, n++) {
            for (int j = 0; j < 3; j++)
                twice.columns[j].num[n] = once.columns[j].num[i];
            twice.value[n] = once.value[i];
        }
    }
    twice.x.n_rows = n;
    qn_gbdt_params p = quick();
    p.num_iterations = 3;
    p.min_data_in_leaf = 0;
    p.min_sum_hessian_in_leaf = 40;
    p.min_data_in_bin = 1;
    p.max_bin = 5000;
    qn_fit_input a = input_of(&once, QN_TASK_REGRESSION), b = input_of(&twice, QN_TASK_REGRESSION);
    a.train.weight = w;
    qn_learner *ma = fit(&p, &a, NULL), *mb = fit(&p, &b, NULL);
    double *ra = qn_new_array(double, N), *rb = qn_new_array(double, N);
    ma->family->predict(ma, &once.x, 0, N, ra);
    mb->family->predict(mb, &once.x, 0, N, rb);
    for (int64_t i = 0; i < N; i++)
        assert_near(ra[i], rb[i], 1e-4);
    qn_freep(&w);
    qn_freep(&ra);
    qn_freep(&rb);
    qn__gbdt_free(ma);
    qn__gbdt_free(mb);
    toy_done(&once);
    toy_done(&twice);
}

static void missing_and_categories_find_their_side(void **state) {
    enum { N = 600 };
    toy d;
    toy_init(&d, N, 11);
    for (int64_t i = 0; i < N; i++)
        d.value[i] = (isnan(d.columns[1].num[i]) ? 10 : 0) + (d.columns[3].code[i] == 1 ? 5 : 0)
                     + (d.columns[4].code[i] % 2 ? 3 : 0);
    qn_gbdt_params p = quick();
    p.num_iterations = 60;
    p.min_data_in_leaf = 5;
    p.cat_smooth = 1;
    p.cat_l2 = 0;
    p.min_data_per_group = 1;
    qn_fit_input in = input_of(&d, QN_TASK_REGRESSION);
    qn_learner *m = fit(&p, &in, NULL);
    double raw[N], importance[TOY_FEATURES], sum = 0;
    m->family->predict(m, &d.x, 0, N, raw);
    for (int64_t i = 0; i < N; i++)
        assert_near(raw[i], d.value[i], 0.7);
    m->family->importance(m, importance);
    for (int f = 0; f < TOY_FEATURES; f++)
        sum += importance[f];
    assert_near(sum, 1, 1e-12);
    assert_true(importance[1] > 0.5 && importance[3] > 0.05 && importance[4] > 0.02);
    qn__gbdt_free(m);
    toy_done(&d);
}

/* Steps of a value between neighbours among 60,000 different ones: with a bin for each they are found
 * to the row, with 255 bins they cannot be. */
static void every_value_may_have_a_bin(void **state) {
    enum { N = 60000, STEPS = 5 };
    static const int64_t at[STEPS] = {1, 777, 20001, 43210, N - 1};
    toy d;
    toy_init(&d, N, 29);
    for (int64_t i = 0; i < N; i++) {
        const int64_t rank = i * 7919 % N; /* 7919 and N have no common factor */
        d.columns[0].num[i] = sqrt((double)rank);
        d.value[i] = 0;
        for (int k = 0; k < STEPS; k++)
            d.value[i] += rank >= at[k] ? k + 1 : 0;
    }
    d.x.n_features = 1;
    qn_gbdt_params p = quick();
    p.num_iterations = 60;
    p.num_leaves = STEPS + 1;
    p.learning_rate = 0.5;
    p.min_data_in_leaf = p.min_data_in_bin = 1;
    p.bin_construct_sample_cnt = N;
    qn_fit_input in = input_of(&d, QN_TASK_REGRESSION);
    double *raw = qn_new_array(double, N);
    for (int fine = 0; fine < 2; fine++) {
        int64_t wrong = 0;
        p.max_bin = fine ? 65535 : 255;
        qn_learner *m = fit(&p, &in, NULL);
        m->family->predict(m, &d.x, 0, N, raw);
        for (int64_t i = 0; i < N; i++)
            wrong += fabs(raw[i] - d.value[i]) > 0.05;
        assert_true(fine ? wrong == 0 : wrong > 100);
        qn__gbdt_free(m);
    }
    qn_freep(&raw);
    toy_done(&d);
}

typedef struct watch {
    int calls, rounds;
    volatile sig_atomic_t stop;
} watch;

static double fixed_losses(void *user, qn_link link, const double *raw, double *without) {
    static const double losses[] = {5, 4, 3, 3.5, 3.4, 3.3, 3.2, 3.1, 3.05};
    watch *w = user;
    (void)raw;
    assert_null(without);
    return w->calls < 9 ? losses[w->calls++] : 3.01;
}

static void on_progress(void *user, const qn_progress *progress) {
    watch *w = user;
    w->rounds++;
    assert_string_equal(progress->stage, "train gbdt");
    if (w->rounds == 4)
        w->stop = 1;
}

static void early_stopping_keeps_the_best_round(void **state) {
    toy d, v;
    toy_init(&d, 500, 12);
    toy_init(&v, 200, 13);
    watch w = {0};
    qn_gbdt_params p = quick();
    p.num_iterations = 50;
    p.early_stopping_round = 4;
    qn_fit_input in = input_of(&d, QN_TASK_BINARY);
    in.valid = (qn_fit_data){.x = &v.x, .y = v.y};
    in.loss = fixed_losses;
    in.user = &w;
    qn_learner *m = fit(&p, &in, NULL);
    assert_int_equal(((qn__gbdt *)m)->n_trees, 3);
    assert_int_equal(w.calls, 7);
    json_t *facts = m->family->describe(m);
    assert_int_equal(json_integer_value(json_object_get(facts, "best_iteration")), 3);
    json_decref(facts);
    /* What the forgotten rounds used does not count. */
    double used[64] = {0}, used_by_three[64] = {0};
    assert_in_range(d.x.n_features, 1, 64);
    m->family->importance(m, used);
    qn__gbdt_free(m);
    p.early_stopping_round = 0;
    p.num_iterations = 3;
    m = fit(&p, &in, NULL);
    m->family->importance(m, used_by_three);
    assert_memory_equal(used, used_by_three, sizeof used);
    qn__gbdt_free(m);
    p.num_iterations = 50;
    /* Without the parameter nothing stops. */
    m = fit(&p, &in, NULL);
    assert_int_equal(((qn__gbdt *)m)->n_trees, 50);
    qn__gbdt_free(m);
    /* With the training loss, on noise, it stops well before the end. */
    p.early_stopping_round = 5;
    p.num_iterations = 400;
    in.loss = NULL;
    m = fit(&p, &in, NULL);
    assert_in_range(((qn__gbdt *)m)->n_trees, 1, 300);
    qn__gbdt_free(m);
    toy_done(&d);
    toy_done(&v);
}

static void cancelling_stops(void **state) {
    toy d;
    toy_init(&d, 300, 14);
    watch w = {0};
    qn_job job = {.n_threads = 1, .cancel = &w.stop, .on_progress = on_progress, .user = &w};
    qn_gbdt_params p = quick();
    qn_fit_input in = input_of(&d, QN_TASK_BINARY);
    qn_learner *m = NULL;
    qn_error err = {0};
    assert_int_equal(qn__family_gbdt.fit(&p, &in, &job, &m, &err), QN_ERR_CANCELLED);
    assert_null(m);
    assert_int_equal(w.rounds, 4);
    qn_job late = {.n_threads = 1, .budget_s = 1e-9};
    m = fit(&p, &in, &late);
    assert_int_equal(((qn__gbdt *)m)->n_trees, 1);
    qn__gbdt_free(m);
    toy_done(&d);
}

/* Without bins by column, and with those by row in a file, the model is the same. */
static void short_memory_gives_the_same_model(void **state) {
    enum { N = 4000 };
    toy d;
    toy_init(&d, N, 8);
    qn_gbdt_params p = quick();
    p.max_bin = 1000; /* lanes of two bytes, too */
    qn_fit_input in = input_of(&d, QN_TASK_BINARY);
    qn_job jobs[] = {{.n_threads = 2},
                     {.n_threads = 2, .memory_bytes = 2 * 9 * N},
                     {.n_threads = 2, .memory_bytes = 1000, .temp_folder = "/tmp"}};
    qn_buf bytes[3] = {0};
    for (int i = 0; i < 3; i++) {
        qn_learner *m = fit(&p, &in, &jobs[i]);
        qn_error err = {0};
        assert_int_equal(m->family->save(m, &bytes[i], &err), QN_OK);
        assert_int_equal(bytes[i].len, bytes[0].len);
        assert_memory_equal(bytes[i].data, bytes[0].data, bytes[0].len);
        qn__gbdt_free(m);
    }
    for (int i = 0; i < 3; i++)
        qn_buf_done(&bytes[i]);
    qn_learner *m = NULL;
    qn_error err = {0};
    jobs[2].temp_folder = "/nowhere";
    assert_int_equal(qn__family_gbdt.fit(&p, &in, &jobs[2], &m, &err), QN_ERR_IO);
    assert_non_null(strstr(err.message, "/nowhere"));
    toy_done(&d);
}

/* How the rows are laid out under each limit. */
static void short_memory_changes_the_layout(void **state) {
    enum { N = 4000 };
    toy d;
    toy_init(&d, N, 8);
    qn_gbdt_params p = quick();
    qn__bin_map map = {0};
    qn_error err = {0};
    assert_int_equal(fit_map(&p, &d.x, &map), QN_OK);
    for (int i = 0; i < 3; i++) {
        size_t both = (size_t)N * (4 + (size_t)map.row_bytes); /* rows are 4 bytes apart */
        qn_job job = {.n_threads = 1, .memory_bytes = i == 0 ? 2 * both : i == 1 ? 2 * both - 2 : 2,
                      .temp_folder = "/tmp"};
        qn__bins bins = {0};
        assert_int_equal(qn__bins_fill(&map, &d.x, QN__COLUMNS, &job, &bins, &err), QN_OK);
        assert_int_equal(bins.stride, 4);
        assert_int_equal(bins.columns != NULL, i == 0);
        assert_int_equal(bins.mapped_bytes, i == 2 ? 4 * N : 0);
        qn__bins_done(&bins);
    }
    qn__bin_map_done(&map);
    toy_done(&d);
}

/* Bins by columns do not pay where rows share cache lines and have room for gradients. */
static void columns_lie_where_they_pay(void **state) {
    enum { N = 300, MOST = 40 };
    qn_feature features[MOST] = {0};
    qn_matrix_column columns[MOST] = {0};
    double *value = qn_new_array(double, MOST * N);
    for (int j = 0; j < MOST; j++)
        columns[j].num = value + j * N;
    for (int i = 0; i < MOST * N; i++)
        value[i] = qn_rng_hash_uniform(1, (uint64_t)i);
    struct {
        int32_t lanes, gh_at; /* of gradients; 0: there are columns */
    } cases[] = {{4, 0},  {5, 0},   {8, 0},   {9, 12}, {12, 12},
                 {13, 0}, {17, 28}, {28, 28}, {29, 0}, {40, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qn_matrix x = {.n_rows = N, .n_features = cases[i].lanes, .features = features,
                       .columns = columns};
        qn_gbdt_params p = quick();
        qn__bin_map map = {0};
        qn__bins bins = {0};
        qn_error err = {0};
        assert_int_equal(fit_map(&p, &x, &map), QN_OK);
        assert_int_equal(map.row_bytes, cases[i].lanes);
        assert_int_equal(qn__bins_fill(&map, &x, QN__COLUMNS_THAT_PAY, NULL, &bins, &err), QN_OK);
        assert_int_equal(bins.columns != NULL, cases[i].gh_at == 0);
        assert_int_equal(bins.gh_at, cases[i].gh_at);
        qn__bins_done(&bins);
        qn__bin_map_done(&map);
    }
    qn_freep(&value);
}

/* A column that takes part in no split, but is sparse, sends all leaves through their cells; without it those
 * of few rows are searched by rows. */
static void leaves_of_few_rows_are_split_alike(void **state) {
    enum { N = 8000, DENSE = 5 };
    toy d;
    toy_init(&d, N, 18);
    toy_named(&d);
    qn_cleanup(qn_json_free) json_t *contri = json("{\"s1\": 0}");
    qn_gbdt_params p = quick();
    p.max_bin = 65535;
    p.min_data_in_bin = 1;
    p.num_leaves = 100;
    qn_fit_input in = input_of(&d, QN_TASK_REGRESSION);
    d.x.n_features = DENSE + 1;
    p.feature_contri = contri;
    qn_learner *by_cells = fit(&p, &in, NULL);
    double *want = predictions(by_cells, &d.x);
    d.x.n_features = DENSE;
    p.feature_contri = NULL;
    for (int i = 0; i < 2; i++) { /* in order, too: what must not be worth it there costs nothing */
        qn_cleanup(qn_json_free) json_t *free_one = json("{\"a\": 0}");
        p.cegb_penalty_feature_coupled = i ? free_one : NULL;
        qn_learner *by_rows = fit(&p, &in, NULL);
        double *got = predictions(by_rows, &d.x);
        assert_memory_equal(got, want, N * sizeof *got);
        assert_threads_agree(&p, &in, 1 << 16);
        qn_freep(&got);
        qn__gbdt_free(by_rows);
    }
    qn_freep(&want);
    qn__gbdt_free(by_cells);
    toy_done(&d);
}

static void memory_may_run_out_with_many_bins(void **state) {
    toy d;
    toy_init(&d, 600, 19);
    d.x.n_features = 5; /* dense: leaves of few rows are searched by rows */
    qn_gbdt_params p = quick();
    p.num_iterations = 2;
    p.max_bin = 65535;
    p.min_data_in_bin = 1;
    qn_fit_input in = input_of(&d, QN_TASK_REGRESSION);
    qn_status status = QN_ERR_MEMORY;
    for (int i = 0; status != QN_OK; i++) {
        qn_learner *m = NULL;
        qn_mem_fail_after(i);
        status = qn__family_gbdt.fit(&p, &in, NULL, &m, NULL);
        qn_mem_fail_after(-1);
        assert_true(status == QN_OK || status == QN_ERR_MEMORY);
        qn__gbdt_free(m);
    }
    toy_done(&d);
}

/* A fit whose bins lie in a file of the folder, for which there is no room. */
typedef struct no_room {
    qn_status status;
    qn_error err;
    bool is_empty;        /* the folder, behind it */
} no_room;

enum { NO_ROOM_ROWS = 40000 };

static no_room fit_without_room(const char *folder) {
    no_room r = {0};
    toy d;
    toy_init(&d, NO_ROOM_ROWS, 8);
    qn_gbdt_params p = quick();
    qn_fit_input in = input_of(&d, QN_TASK_BINARY);
    qn_job job = {.n_threads = 2, .memory_bytes = 1000, .temp_folder = folder};
    qn_learner *m = NULL;
    r.status = qn__family_gbdt.fit(&p, &in, &job, &m, &r.err);
    qn__gbdt_free(m);
    toy_done(&d);
    qn_cleanup(qn_freep) char *list = qn_format("test -z \"$(ls -A '%s')\"", folder);
    r.is_empty = system(list) == 0;
    return r;
}

/* How much, where, why and what to do. */
static void assert_told(const no_room *r, const char *folder, int why) {
    qn_cleanup(qn_freep) char *message = qn_format(
        "no room for %d bytes of binned rows in %s: %s; raise limits.memory or free space",
        4 * NO_ROOM_ROWS, folder, strerror(why));
    assert_int_equal(r->status, QN_ERR_IO);
    assert_string_equal(r->err.message, message);
    assert_true(r->is_empty);
}

static void too_large_a_file_for_the_bins_is_told(void **state) {
    char folder[] = "/tmp/quern_bins_XXXXXX";
    assert_non_null(mkdtemp(folder));
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit low = {.rlim_cur = 100000, .rlim_max = before.rlim_max};
    void (*action)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    no_room r = fit_without_room(folder);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, action);
    assert_told(&r, folder, EFBIG);
    r = fit_without_room(folder); /* with room it works */
    assert_int_equal(r.status, QN_OK);
    assert_true(r.is_empty);
    assert_int_equal(rmdir(folder), 0);
}

static void no_room_on_disk_for_the_bins_is_told(void **state) {
    char folder[] = "/tmp/quern_bins_XXXXXX";
    assert_non_null(mkdtemp(folder));
    qn_cleanup(qn_freep) char *mount =
        qn_format("mount -t tmpfs -o size=64k quern '%s' 2>/dev/null", folder);
    qn_cleanup(qn_freep) char *unmount = qn_format("umount '%s'", folder);
    bool is_mounted = geteuid() == 0 && system(mount) == 0;
    no_room r = {0};
    if (is_mounted) {
        r = fit_without_room(folder);
        assert_int_equal(system(unmount), 0);
    }
    assert_int_equal(rmdir(folder), 0);
    if (!is_mounted) {
        print_message("a full disk needs root, and a tmpfs that can be mounted\n");
        skip();
    }
    assert_told(&r, folder, ENOSPC);
}

/* Twenty events out of 20,000, alone on their side of a split: Newton's step is 1 / p = 1000. */
static void steps_in_log_odds_are_bounded(void **state) {
    enum { N = 20000, EVENTS = 20 };
    toy d;
    toy_init(&d, N, 15);
    for (int i = 0; i < N; i++) {
        d.y[i] = i < EVENTS;
        d.columns[0].num[i] = i < EVENTS ? 9 : d.columns[0].num[i];
    }
    qn_gbdt_params p = quick();
    p.num_iterations = 1;
    p.learning_rate = 0.1;
    p.min_data_in_leaf = EVENTS;
    qn_fit_input in = input_of(&d, QN_TASK_BINARY);
    qn_learner *m = fit(&p, &in, NULL);
    double *raw = qn_new_array(double, N), base = log((double)EVENTS / (N - EVENTS));
    m->family->predict(m, &d.x, 0, N, raw);
    for (int i = 0; i < N; i++) {
        assert_true(fabs(raw[i] - base) < 1.6 + 1e-9);
        if (i < EVENTS)
            assert_near(raw[i], base + 1.6, 1e-9);
    }
    qn_freep(&raw);
    qn__gbdt_free(m);
    toy_done(&d);
}

static void every_objective_learns(void **state) {
    toy d;
    toy_init(&d, 1500, 15);
    for (int i = 3; qn__objective_names[i]; i++) {
        const qn__objective *objective;
        qn_gbdt_params p = quick();
        if (qn__objective_find(qn__objective_names[i], QN_TASK_REGRESSION, false, &objective, NULL)
            != QN_OK)
            continue; /* of classes */
        p.objective = qn__objective_names[i];
        p.num_iterations = 60;
        double *y = qn_new_array(double, 1500), *raw = qn_new_array(double, 1500), below = 0;
        for (int64_t r = 0; r < 1500; r++)
            y[r] = objective->y_high == 1 ? 1 / (1 + exp(-d.value[r]))
                   : objective->y_low == 0 ? exp(d.value[r] / 2) : d.value[r];
        qn_fit_input in = input_of(&d, QN_TASK_REGRESSION);
        in.train.y = y;
        qn_learner *m = fit(&p, &in, NULL);
        m->family->predict(m, &d.x, 0, 1500, raw);
        qn_link_apply(m->link, raw, 1500, 1);
        double error = 0, mean = 0, spread = 0;
        for (int64_t r = 0; r < 1500; r++)
            mean += y[r] / 1500;
        for (int64_t r = 0; r < 1500; r++) {
            error += fabs(raw[r] - y[r]);
            spread += fabs(y[r] - mean);
            below += y[r] <= raw[r];
        }
        if (strcmp(p.objective, "quantile") == 0)
            assert_true(below > 0.85 * 1500 && below < 0.97 * 1500);
        else
            assert_true(error < 0.55 * spread);
        qn_freep(&y);
        qn_freep(&raw);
        qn__gbdt_free(m);
    }
    toy_done(&d);
}

static void class_weights_move_the_scores(void **state) {
    toy d;
    toy_init(&d, 800, 16);
    for (int64_t i = 0; i < 800; i++)
        d.y[i] = d.value[i] > 2.5;
    qn_fit_input in = input_of(&d, QN_TASK_BINARY);
    double base[3];
    for (int i = 0; i < 3; i++) {
        qn_gbdt_params p = quick();
        p.class_weight = i == 1 ? "balanced" : "none";
        p.scale_pos_weight = i == 2 ? 3 : 1;
        qn_learner *m = fit(&p, &in, NULL);
        base[i] = ((qn__gbdt *)m)->base[0];
        qn__gbdt_free(m);
    }
    assert_near(base[1], 0, 1e-9);
    assert_near(base[2], base[0] + log(3), 1e-9);
    toy_done(&d);
}

static void bad_input_is_told(void **state) {
    toy d;
    toy_init(&d, 100, 17);
    qn_gbdt_params p = quick();
    qn_learner *m = NULL;
    qn_error err = {0};
    qn_fit_input in = input_of(&d, QN_TASK_BINARY);
    d.y[41] = NAN;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_DATA);
    assert_int_equal(err.row, 42);
    d.y[41] = 2;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_DATA);
    d.y[41] = 1;
    double *w = qn_new_array(double, 100);
    in.train.weight = w;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_DATA);
    w[0] = -1;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_DATA);
    in.train.weight = NULL;
    p.objective = "poisson";
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_CONFIG);
    p.objective = "auto";
    in.task = QN_TASK_MULTICLASS;
    in.n_classes = 0;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_USAGE);
    /* Nothing to split by: the prior. */
    in = input_of(&d, QN_TASK_BINARY);
    d.x.n_features = 0;
    m = fit(&p, &in, NULL);
    double raw[2];
    m->family->predict(m, &d.x, 0, 2, raw);
    assert_true(raw[0] == raw[1] && raw[0] == ((qn__gbdt *)m)->base[0]);
    qn__gbdt_free(m);
    d.x.n_features = TOY_FEATURES;
    /* One row. */
    d.x.n_rows = 1;
    m = fit(&p, &in, NULL);
    qn__gbdt_free(m);
    qn_freep(&w);
    toy_done(&d);
}

static void failing_allocations_are_reported(void **state) {
    toy d, v;
    toy_init(&d, 120, 18);
    toy_init(&v, 40, 19);
    qn_gbdt_params p = quick();
    p.num_iterations = 3;
    p.bagging_freq = 1;
    p.bagging_fraction = 0.8;
    qn_fit_input in = input_of(&d, QN_TASK_MULTICLASS);
    in.valid = (qn_fit_data){.x = &v.x, .y = v.klass};
    qn_learner *m = NULL, *again = NULL;
    qn_error err = {0};
    qn_status status = QN_ERR_MEMORY;
    for (int i = 0; status != QN_OK; i++) {
        qn_mem_fail_after(i);
        status = qn__family_gbdt.fit(&p, &in, NULL, &m, &err);
        qn_mem_fail_after(-1);
        assert_true(status == QN_OK || status == QN_ERR_MEMORY);
        assert_true(i < 2000);
    }
    qn_buf bytes = {0};
    save(m, &bytes);
    double contrib[3 * (TOY_FEATURES + 1)];
    status = QN_ERR_MEMORY;
    for (int i = 0; status != QN_OK; i++) {
        qn_mem_fail_after(i);
        status = qn__family_gbdt.load(bytes.data, bytes.len, d.features, TOY_FEATURES, &again,
                                      &err);
        qn_mem_fail_after(-1);
        assert_true(status == QN_OK || status == QN_ERR_MEMORY);
    }
    status = QN_ERR_MEMORY;
    for (int i = 0; status != QN_OK; i++) {
        qn_mem_fail_after(i);
        status = qn__family_gbdt.explain(m, &d.x, 0, 1, contrib, &err);
        qn_mem_fail_after(-1);
        assert_true(status == QN_OK || status == QN_ERR_MEMORY);
    }
    qn__gbdt_free(m);
    qn__gbdt_free(again);
    qn_buf_done(&bytes);
    toy_done(&d);
    toy_done(&v);
}

/* 1,000 sparse columns of 300 rows: seconds would be a defect, gigabytes too. */
static void many_sparse_columns_train(void **state) {
    enum { N = 300, F = 1000 };
    qn_feature *features = qn_new_array(qn_feature, F);
    qn_matrix_column *columns = qn_new_array(qn_matrix_column, F);
    double *y = qn_new_array(double, N);
    for (int j = 0; j < F; j++) {
        features[j].kind = QN_FEATURE_SPARSE;
        columns[j].row = qn_new_array(int64_t, N);
        columns[j].value = qn_new_array(double, N);
        for (int64_t i = 0; i < N; i++) {
            if (qn_rng_hash_uniform((uint64_t)j, (uint64_t)i) > (j < 5 ? 0.3 : 0.02))
                continue;
            columns[j].row[columns[j].n_set] = i;
            columns[j].value[columns[j].n_set++] = 1;
            y[i] += j < 5 ? j + 1 : 0;
        }
    }
    qn_matrix x = {.n_rows = N, .n_features = F, .features = features, .columns = columns};
    qn_fit_input in = {.train = {.x = &x, .y = y}, .task = QN_TASK_REGRESSION, .seed = 1};
    qn_gbdt_params p = quick();
    p.num_iterations = 80;
    qn_learner *m = fit(&p, &in, NULL);
    double raw[N], error = 0;
    m->family->predict(m, &x, 0, N, raw);
    for (int64_t i = 0; i < N; i++)
        error += fabs(raw[i] - y[i]) / N;
    assert_true(error < 0.5);
    qn__gbdt_free(m);
    for (int j = 0; j < F; j++) {
        qn_freep(&columns[j].row);
        qn_freep(&columns[j].value);
    }
    qn_freep(&columns);
    qn_freep(&features);
    qn_freep(&y);
}

static const char sklearn_script[] =
    "import sys\n"
    "try:\n"
    "    import numpy as np\n"
    "    from sklearn.ensemble import HistGradientBoostingRegressor as H\n"
    "except ImportError:\n"
    "    print('none'); sys.exit()\n"
    "a = np.fromfile(sys.argv[1]).reshape(-1, 4)\n"
    "m = H(max_iter=60, early_stopping=False).fit(a[:3000, :3], a[:3000, 3])\n"
    "print(np.mean((m.predict(a[3000:, :3]) - a[3000:, 3]) ** 2))\n";

static void as_accurate_as_scikit_learn(void **state) {
    enum { TRAIN = 3000, TEST = 2000 };
    toy train, test;
    toy_init(&train, TRAIN, 20);
    toy_init(&test, TEST, 21);
    train.x.n_features = test.x.n_features = 3;
    char data[] = "/tmp/qn-gbdt-XXXXXX", script[] = "/tmp/qn-gbdt-XXXXXX";
    int fd = mkstemp(data), fd_script = mkstemp(script);
    assert_true(fd >= 0 && fd_script >= 0);
    for (int64_t i = 0; i < TRAIN + TEST; i++) {
        const toy *d = i < TRAIN ? &train : &test;
        int64_t r = i < TRAIN ? i : i - TRAIN;
        double row[4] = {d->columns[0].num[r], d->columns[1].num[r], d->columns[2].num[r],
                         d->value[r]};
        assert_int_equal(write(fd, row, sizeof row), sizeof row);
    }
    size_t n = strlen(sklearn_script);
    assert_int_equal(write(fd_script, sklearn_script, n), n);
    close(fd);
    close(fd_script);
    char command[128], answer[64] = "";
    snprintf(command, sizeof command, "/usr/bin/python3 %s %s 2>/dev/null", script, data);
    FILE *pipe = popen(command, "r");
    if (!pipe || !fgets(answer, sizeof answer, pipe) || atof(answer) <= 0)
        answer[0] = '\0';
    if (pipe)
        pclose(pipe);
    unlink(data);
    unlink(script);
    qn_gbdt_params p = quick();
    p.num_iterations = 60;
    p.num_leaves = 31;
    qn_fit_input in = input_of(&train, QN_TASK_REGRESSION);
    qn_learner *m = fit(&p, &in, NULL);
    double loss = loss_of(m, &test, QN_TASK_REGRESSION);
    qn__gbdt_free(m);
    toy_done(&train);
    toy_done(&test);
    if (!answer[0])
        skip();
    print_message("# mean squared error %.5f, scikit-learn %.5f\n", loss, atof(answer));
    assert_true(loss < 1.02 * atof(answer));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_falls_and_generalises),
        cmocka_unit_test(bytes_do_not_depend_on_threads),
        cmocka_unit_test(bytes_of_large_trees_do_not_depend_on_threads),
        cmocka_unit_test(one_row_equals_batch_and_loaded_equals_saved),
        cmocka_unit_test(hostile_bytes_are_refused_or_harmless),
        cmocka_unit_test(explanations_are_shapley_values),
        cmocka_unit_test(weights_are_like_copies),
        cmocka_unit_test(missing_and_categories_find_their_side),
        cmocka_unit_test(every_value_may_have_a_bin),
        cmocka_unit_test(early_stopping_keeps_the_best_round),
        cmocka_unit_test(cancelling_stops),
        cmocka_unit_test(short_memory_gives_the_same_model),
        cmocka_unit_test(short_memory_changes_the_layout),
        cmocka_unit_test(columns_lie_where_they_pay),
        cmocka_unit_test(leaves_of_few_rows_are_split_alike),
        cmocka_unit_test(memory_may_run_out_with_many_bins),
        cmocka_unit_test(too_large_a_file_for_the_bins_is_told),
        cmocka_unit_test(no_room_on_disk_for_the_bins_is_told),
        cmocka_unit_test(steps_in_log_odds_are_bounded),
        cmocka_unit_test(every_objective_learns),
        cmocka_unit_test(class_weights_move_the_scores),
        cmocka_unit_test(bad_input_is_told),
        cmocka_unit_test(failing_allocations_are_reported),
        cmocka_unit_test(many_sparse_columns_train),
        cmocka_unit_test(as_accurate_as_scikit_learn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
