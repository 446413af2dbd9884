/* Pruning: costs of links against losses of models that were really cut, merging to the bit, and
 * what must hold of every model on the way down. */
#include "gbdt_data.h"
#include "learn/family_int.h"
#include "learn/gbdt_prune_int.h"
#include "learn/gbdt_kernel_int.h"

enum { N_ROWS = 600 };

/* Trees fitted on some rows, pruned by others. */
typedef struct world {
    toy train, rows;
    qn_learner *learner;
    const double *y;      /* of rows */
    const qn_matrix *x[2];
    const double *labels[2];
    qn_matrix parts[2];
    qn_matrix *second;
    int32_t query[N_ROWS];
    qn_prune_rows given;
} world;

typedef struct kind {
    const char *objective;
    qn_task task;
    double offset;
} kind;

static const kind kinds[] = {
    {"binary", QN_TASK_BINARY, 0},         {"binary", QN_TASK_BINARY, -1.5},
    {"multiclass", QN_TASK_MULTICLASS, 0}, {"regression", QN_TASK_REGRESSION, 0},
    {"huber", QN_TASK_REGRESSION, 0},      {"regression_l1", QN_TASK_REGRESSION, 0},
    {"poisson", QN_TASK_REGRESSION, 0},    {"multiclassova", QN_TASK_MULTICLASS, 0},
    {"cross_entropy", QN_TASK_REGRESSION, 0}, {"lambdarank", QN_TASK_REGRESSION, 0},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0], N_LOSSES = N_KINDS - 1, N_QUERIES = N_ROWS / 12 };

static bool ranks(const kind *k) {
    return strcmp(k->objective, "lambdarank") == 0;
}

static double *labels_of(toy *d, const kind *k) {
    for (int64_t i = 0; strcmp(k->objective, "poisson") == 0 && i < d->x.n_rows; i++)
        d->value[i] = floor(fabs(d->value[i]));
    for (int64_t i = 0; strcmp(k->objective, "cross_entropy") == 0 && i < d->x.n_rows; i++)
        d->value[i] = 1 / (1 + exp(-d->value[i]));
    for (int64_t i = 0; ranks(k) && i < d->x.n_rows; i++)
        d->value[i] = fmin(4, fmax(0, floor(d->value[i] + 1)));
    return k->task == QN_TASK_BINARY ? d->y : k->task == QN_TASK_MULTICLASS ? d->klass : d->value;
}

static void world_init(world *w, const kind *k, int n_rounds, int n_leaves) {
    memset(w, 0, sizeof *w);
    toy_init(&w->train, N_ROWS, 1);
    toy_init(&w->rows, N_ROWS, 2);
    qn_fit_input input = {.train = {.x = &w->train.x, .y = labels_of(&w->train, k)},
                          .task = k->task, .seed = 7};
    for (int32_t i = 0; i < N_ROWS; i++)
        w->query[i] = i % N_QUERIES;
    input.train.query = ranks(k) ? w->query : NULL;
    input.n_queries = N_QUERIES;
    input.n_classes = k->task == QN_TASK_BINARY ? 2 : k->task == QN_TASK_MULTICLASS ? 3 : 0;
    qn_cleanup(qn_json_free) json_t *params =
        json_pack("{s:s, s:i, s:i, s:i}", "objective", k->objective, "num_iterations", n_rounds,
                  "num_leaves", n_leaves, "min_data_in_leaf", 5);
    qn_error err = {0};
    if (qn_learner_fit(&qn__family_gbdt, params, &input, NULL, &w->learner, &err) != QN_OK)
        fail_msg("%s", err.message);
    w->y = labels_of(&w->rows, k);
    w->x[0] = &w->rows.x;
    w->labels[0] = w->y;
    w->given = (qn_prune_rows){.x = w->x, .y = w->labels, .n_parts = 1, .offset = k->offset,
                               .query = input.train.query, .n_queries = N_QUERIES};
}

static void world_done(world *w) {
    qn_learner_free(&w->learner);
    qn_matrix_free(&w->second);
    toy_done(&w->train);
    toy_done(&w->rows);
}

static qn_pruner *prune(const world *w, const qn_job *job) {
    qn_pruner *p = NULL;
    qn_error err = {0};
    if (qn_pruner_new(w->learner, w->rows.features, &w->given, job, &p, &err) != QN_OK)
        fail_msg("%s", err.message);
    return p;
}

static qn_learner *learner_of(const qn_pruner *p) {
    qn_learner *learner = NULL;
    qn_error err = {0};
    if (qn_pruner_learner(p, QN_LEAF_FLOAT64, &learner, &err) != QN_OK)
        fail_msg("%s", err.message);
    return learner;
}

/* With two thirds of the leaves when `after` some cuts. */
static qn_pruner *prune_to(const world *w, bool after) {
    qn_pruner *p = prune(w, NULL);
    if (after)
        assert_int_equal(qn_pruner_cut(p, qn_pruner_leaves(p) * 2 / 3, NULL, NULL), QN_OK);
    return p;
}

/* By the textbook, by the node by node reference of the trees. */
static double loss_of(const world *w, const kind *k, const qn_learner *learner) {
    int32_t n_k = learner->n_outputs;
    double loss = 0, raw[3];
    for (int64_t i = 0; i < N_ROWS; i++) {
        const qn__gbdt *m = (const qn__gbdt *)learner;
        for (int32_t o = 0; o < n_k; o++)
            raw[o] = m->base[o] + k->offset;
        qn__gbdt_add_trees_ref(m, &w->rows.x, i, 1, raw);
        double y = w->y[i], sum = 0;
        for (int32_t o = 0; o < n_k; o++)
            sum += exp(raw[o]);
        if (learner->link == QN_LINK_LOGIT)
            loss += y * log1p(exp(-raw[0])) + (1 - y) * log1p(exp(raw[0]));
        else if (learner->link == QN_LINK_OVA)
            for (int32_t o = 0; o < n_k; o++)
                loss += log1p(exp(y == o ? -raw[o] : raw[o]));
        else if (learner->link == QN_LINK_SOFTMAX)
            loss += log(sum) - raw[(int)y];
        else if (learner->link == QN_LINK_LOG)
            loss += exp(raw[0]) - y * raw[0];
        else if (strcmp(k->objective, "regression_l1") == 0)
            loss += fabs(raw[0] - y);
        else
            loss += (raw[0] - y) * (raw[0] - y);
    }
    return loss;
}

/* Every candidate, cut alone out of the trees as they are at first, and after a few cuts. */
static void costs_are_what_cutting_costs(void **state) {
    for (int i = 0; i < N_LOSSES; i++) {
        world w;
        world_init(&w, &kinds[i], 6, 8);
        for (int after = 0; after < 2; after++) {
            qn_pruner *p = prune_to(&w, after);
            assert_int_equal(qn__pruner_measure(p, NULL, NULL), QN_OK);
            qn_learner *before = learner_of(p);
            double loss = loss_of(&w, &kinds[i], before);
            int n_seen = 0;
            for (int32_t t = 0; t < p->plain.n_trees; t++) {
                for (uint32_t n = 0; n < p->start[t + 1] - p->start[t]; n++) {
                    if (p->nodes[p->start[t] + n].is_leaf) {
                        n = p->nodes[p->start[t] + n].end - 1;
                        continue;
                    }
                    qn_pruner *q = prune_to(&w, after);
                    qn__pruner_cut_node(q, t, n);
                    qn_learner *cut = learner_of(q);
                    double cost = loss_of(&w, &kinds[i], cut) - loss;
                    assert_near(cost, p->nodes[p->start[t] + n].cost, 1e-9 * (1 + fabs(loss)));
                    qn_learner_free(&cut);
                    qn_pruner_free(&q);
                    n_seen++;
                }
            }
            assert_true(n_seen >= (after ? 10 : 30));
            qn_learner_free(&before);
            qn_pruner_free(&p);
        }
        world_done(&w);
    }
}

/* Its rows as the objective sees them; the queries are the caller's. */
static qn__objective_data ranking_of(const world *w, qn_gbdt_params *params,
                                     qn__queries **queries) {
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, params);
    assert_int_equal(qn__queries_new(params, w->y, w->query, N_ROWS, N_QUERIES, 1, queries, NULL),
                     QN_OK);
    return (qn__objective_data){.params = params, .y = w->y, .n = N_ROWS, .n_outputs = 1,
                                .n_threads = 1, .queries = *queries};
}

/* Of a ranking: what LambdaMART's derivatives at the scores before say of the scores after. */
static void rankings_cost_what_lambdas_say(void **state) {
    const kind *k = &kinds[N_LOSSES];
    world w;
    world_init(&w, k, 6, 8);
    qn_gbdt_params params;
    qn__queries *queries = NULL;
    const qn__objective_data data = ranking_of(&w, &params, &queries);
    for (int after = 0; after < 2; after++) {
        float g[N_ROWS], h[N_ROWS];
        qn_pruner *p = prune_to(&w, after);
        assert_int_equal(qn__pruner_measure(p, NULL, NULL), QN_OK);
        qn__rank_gradients(&data, p->raw, g, h); /* ties are those of its scores, to the bit */
        for (int32_t t = 0; t < p->plain.n_trees; t++) {
            const qn__prune_node *root = &p->nodes[p->start[t]];
            if (root->is_leaf)
                continue;
            qn_pruner *q = prune_to(&w, after);
            qn__pruner_cut_node(q, t, 0);
            double cost = 0;
            for (int r = 0; r < N_ROWS; r++) {
                double d = q->raw[r] - p->raw[r];
                cost += d * (double)g[r] + d * d * (double)h[r] / 2;
            }
            assert_near(cost, root->cost, 1e-6 * (1 + fabs(cost)));
            qn_pruner_free(&q);
        }
        qn_pruner_free(&p);
    }
    qn_pruner *none = NULL;
    qn_error err = {0};
    w.given.query = NULL;
    assert_int_equal(qn_pruner_new(w.learner, w.rows.features, &w.given, NULL, &none, &err),
                     QN_ERR_USAGE);
    assert_string_equal(err.message,
                        "trees of objective lambdarank are pruned by rows with their queries");
    qn__queries_free(&queries);
    world_done(&w);
}

/* Of the rows that judge, by the places of a half of the leaves: better than so few rounds. */
static void rankings_keep_their_order(void **state) {
    world w;
    world_init(&w, &kinds[N_LOSSES], 20, 12);
    qn_gbdt_params params;
    qn__queries *queries = NULL;
    const qn__objective_data data = ranking_of(&w, &params, &queries);
    double raw[N_ROWS], loss[3];
    for (int i = 0; i < 3; i++) { /* whole; a third of the leaves; of the rounds */
        qn_pruner *p = prune(&w, NULL);
        int64_t most = qn_pruner_leaves(p) / 3;
        if (i == 2)
            qn_pruner_start(p, 20 / 3);
        while (i == 1 && qn_pruner_leaves(p) > most)
            assert_int_equal(qn_pruner_cut(p, qn_pruner_leaves(p) * 19 / 20, NULL, NULL), QN_OK);
        qn_learner *m = learner_of(p);
        m->family->predict(m, &w.rows.x, 0, N_ROWS, raw);
        loss[i] = qn__rank_loss(&data, raw);
        qn_learner_free(&m);
        qn_pruner_free(&p);
    }
    assert_true(loss[1] < loss[2] - 0.01 && loss[1] < loss[0] + 0.02);
    qn__queries_free(&queries);
    world_done(&w);
}

/* Scores that the pruner keeps, explanations, counts and bytes. */
static void every_model_on_the_way_down_is_sound(void **state) {
    for (int i = 0; i < N_KINDS; i++) {
        world w;
        world_init(&w, &kinds[i], 10, 16);
        qn_pruner *p = prune(&w, NULL);
        const int32_t n_k = w.learner->n_outputs, width = TOY_FEATURES + 1;
        size_t before_bytes = SIZE_MAX;
        for (int step = 0;; step++) {
            qn_learner *learner = learner_of(p);
            const qn__gbdt *m = (const qn__gbdt *)learner;
            double *raw = qn_new_array(double, N_ROWS * n_k);
            double *contrib = qn_new_array(double, (int64_t)N_ROWS * n_k * width);
            qn_learner_predict(learner, &w.rows.x, false, NULL, raw);
            assert_int_equal(qn__gbdt_explain(learner, &w.rows.x, 0, N_ROWS, contrib, NULL), QN_OK);
            for (int64_t r = 0; r < N_ROWS * n_k; r++) {
                double sum = 0;
                for (int32_t c = 0; c < width; c++)
                    sum += contrib[r * width + c];
                assert_near(raw[r] + kinds[i].offset, p->raw[r], 1e-9);
                assert_near(sum, raw[r], 1e-9);
            }
            for (int32_t t = 0; t < m->n_trees; t++) {
                uint64_t rows = 0;
                for (uint64_t l = qn__gbdt_leaf_start(m, t); l < qn__gbdt_leaf_start(m, t + 1); l++)
                    rows += m->count[l];
                assert_int_equal(rows, N_ROWS);
            }
            qn__gbdt again = {0}; /* what is written can be read */
            assert_int_equal(qn__gbdt_attach(m->image, m->image_bytes, w.rows.features,
                                             TOY_FEATURES, &again, NULL), QN_OK);
            qn_freep(&again.rank_plan);
            assert_true(step == 0 || m->image_bytes <= before_bytes);
            before_bytes = m->image_bytes;
            qn_freep(&raw);
            qn_freep(&contrib);
            int64_t leaves = qn_pruner_leaves(p);
            if (leaves == 0)
                assert_int_equal(m->n_trees, 0);
            qn_learner_free(&learner);
            if (leaves == 0)
                break;
            assert_int_equal(qn_pruner_cut(p, leaves * 3 / 4, NULL, NULL), QN_OK);
            assert_true(qn_pruner_leaves(p) <= leaves * 3 / 4);
        }
        qn_pruner_free(&p);
        world_done(&w);
    }
}

/* Rows in two parts are the rows; so are they for any number of threads. */
static void parts_and_threads_change_nothing(void **state) {
    const qn_job jobs[] = {{.n_threads = 1}, {.n_threads = 3}};
    for (int i = 0; i < N_KINDS; i++) {
        world w;
        qn_learner *learners[3] = {NULL};
        world_init(&w, &kinds[i], 8, 12);
        for (int run = 0; run < 3; run++) {
            int64_t rows[N_ROWS];
            for (int64_t r = 0; r < N_ROWS; r++)
                rows[r] = r;
            if (run == 2) {
                qn_matrix *first = NULL;
                assert_int_equal(qn_matrix_take(&w.rows.x, rows, 250, &first, NULL), QN_OK);
                assert_int_equal(qn_matrix_take(&w.rows.x, rows + 250, 350, &w.second, NULL),
                                 QN_OK);
                w.x[0] = first;
                w.x[1] = w.second;
                w.labels[1] = w.y + 250;
                w.given.n_parts = 2;
            }
            qn_pruner *p = prune(&w, &jobs[run % 2]);
            for (int step = 0; step < 5; step++) {
                int64_t most = qn_pruner_leaves(p) * 4 / 5;
                assert_int_equal(qn_pruner_cut(p, most, &jobs[run % 2], NULL), QN_OK);
            }
            learners[run] = learner_of(p);
            qn_pruner_free(&p);
            if (run == 2)
                qn_matrix_free((qn_matrix **)(uintptr_t)&w.x[0]);
            const qn__gbdt *m = (const qn__gbdt *)learners[run], *o = (const qn__gbdt *)learners[0];
            assert_int_equal(m->image_bytes, o->image_bytes);
            assert_memory_equal(m->image, o->image, m->image_bytes);
        }
        for (int run = 0; run < 3; run++)
            qn_learner_free(&learners[run]);
        world_done(&w);
    }
}

static double leaf_value(const qn__gbdt *m, int32_t tree, const qn_matrix *x, int64_t row) {
    qn__gbdt_node node = qn__gbdt_node_at(m, m->start[tree], 0);
    while (!node.is_leaf) {
        int32_t column = (int32_t)m->slot_column[qn__gbdt_node_slot(m, &node)];
        double value = qn__matrix_value(x, column, row);
        node = qn__gbdt_node_at(m, m->start[tree],
                                node.to + qn__gbdt_node_goes_right(m, &node, value));
    }
    return m->value[qn__gbdt_leaf_start(m, tree) + node.to];
}

/* What was cut comes back; the first rounds are those of a model trained with fewer. */
static void rounds_are_dropped_from_the_end(void **state) {
    for (int i = 0; i < N_KINDS; i++) {
        world w;
        world_init(&w, &kinds[i], 9, 10);
        qn_pruner *p = prune(&w, NULL);
        const int32_t n_k = w.learner->n_outputs;
        assert_int_equal(qn_pruner_rounds(p), 9);
        qn_learner *before = learner_of(p);
        assert_int_equal(qn_pruner_cut(p, 10, NULL, NULL), QN_OK);
        qn_pruner_start(p, 4);
        qn_learner *four = learner_of(p);
        const qn__gbdt *whole = (const qn__gbdt *)w.learner, *m = (const qn__gbdt *)four;
        assert_int_equal(m->n_trees, 4 * n_k);
        double raw[N_ROWS * 3];
        qn_learner_predict(four, &w.rows.x, false, NULL, raw);
        for (int64_t r = 0; r < N_ROWS * n_k; r++) {
            double sum = whole->base[r % n_k];
            assert_near(raw[r] + kinds[i].offset, p->raw[r], 1e-9);
            for (int32_t t = (int32_t)(r % n_k); t < 4 * n_k; t += n_k)
                sum += leaf_value(whole, t, &w.rows.x, r / n_k);
            assert_near(raw[r], sum, 1e-12);
        }
        qn_pruner_start(p, 9);
        qn_learner *again = learner_of(p);
        const qn__gbdt *a = (const qn__gbdt *)again, *b = (const qn__gbdt *)before;
        assert_int_equal(a->image_bytes, b->image_bytes);
        assert_memory_equal(a->image, b->image, a->image_bytes);
        qn_pruner_start(p, 0);
        assert_int_equal(qn_pruner_leaves(p), 0);
        qn_learner_free(&before);
        qn_learner_free(&four);
        qn_learner_free(&again);
        qn_pruner_free(&p);
        world_done(&w);
    }
}

/* Packed trees taken apart and packed again are the same bytes. */
static void unpacking_is_the_inverse_of_packing(void **state) {
    world w;
    world_init(&w, &kinds[2], 10, 16);
    qn__plain plain = {0};
    qn_learner *again = NULL;
    const qn__gbdt *m = (const qn__gbdt *)w.learner;
    assert_int_equal(qn__gbdt_unpack(m, &plain, NULL), QN_OK);
    assert_int_equal(qn__gbdt_pack(&plain, w.rows.features, &again, NULL), QN_OK);
    double raw[N_ROWS * 3], raw_again[N_ROWS * 3];
    qn_learner_predict(w.learner, &w.rows.x, false, NULL, raw);
    qn_learner_predict(again, &w.rows.x, false, NULL, raw_again);
    assert_int_equal(((const qn__gbdt *)again)->image_bytes, m->image_bytes);
    assert_memory_equal(raw, raw_again, sizeof raw);
    qn_learner_free(&again);
    qn__plain_done(&plain);
    world_done(&w);
}

/* x0 <= 0 ? (x1 <= 0 ? 1 : 1) : (x1 <= 0 ? (x2 <= 1 ? 2 : 3) : (x2 <= 1 ? 2 : 3)) has three leaves of
 * six in the end; x0 <= 0 ? 0 : -0 keeps its two. */
static void what_is_twice_is_merged(void **state) {
    toy d;
    toy_init(&d, N_ROWS, 3);
    double base[1] = {0.25}, gain[3] = {3, 2, 1};
    int64_t start[3] = {0, 11, 14};
    uint64_t bins[3] = {9, 9, 5};
    int32_t columns[3] = {0, 1, 2};
#define SPLIT(slot, at, to) {.threshold = (at), .slot_flags = (slot), .left = (to)}
#define LEAF(v, n) {.value = (v), .slot_flags = QN__NODE_LEAF, .count = (n)}
    qn__plain_node nodes[14] = {
        SPLIT(0, 0, 1), SPLIT(1, 0, 3), SPLIT(1, 0, 5), LEAF(1, 10), LEAF(1, 20), SPLIT(2, 1, 7),
        SPLIT(2, 1, 9), LEAF(2, 1), LEAF(3, 2), LEAF(2, 4), LEAF(3, 8),
        SPLIT(0, 0, 1), LEAF(0.0, 5), LEAF(-0.0, 6)};
    uint32_t words[1] = {0};
    qn__plain plain = {.link = QN_LINK_IDENTITY, .n_outputs = 1, .n_features = TOY_FEATURES,
                       .n_trees = 2, .objective = 3, .best_iteration = 2, .base = base,
                       .start = start, .nodes = nodes, .words = words, .n_slots = 3,
                       .slot_column = columns, .slot_gain = gain, .slot_bins = bins};
    qn_learner *learner = NULL, *merged = NULL;
    qn_pruner *p = NULL;
    assert_int_equal(qn__gbdt_pack(&plain, d.features, &learner, NULL), QN_OK);
    assert_int_equal(qn_pruner_new(learner, d.features, NULL, NULL, &p, NULL), QN_OK);
    merged = learner_of(p);
    const qn__gbdt *m = (const qn__gbdt *)merged;
    assert_int_equal(m->n_nodes, 5 + 3);
    assert_int_equal(m->n_slots, 2); /* x1 is asked no more */
    assert_int_equal(m->count[0] + m->count[1] + m->count[2], 45);
    double raw[N_ROWS], raw_merged[N_ROWS];
    qn_learner_predict(learner, &d.x, false, NULL, raw);
    for (const qn__gbdt_kernel *const *k = qn__gbdt_kernels; *k; k++) {
        if (!(*k)->runs_here())
            continue;
        qn__gbdt_predict_by(*k, m, &d.x, 0, N_ROWS, raw_merged);
        assert_memory_equal(raw, raw_merged, sizeof raw);
    }
    qn_error err = {0};
    assert_int_equal(qn_pruner_cut(p, 1, NULL, &err), QN_ERR_USAGE);
    assert_string_equal(err.message, "trees are pruned by labelled rows, and there are none");
    qn_pruner_free(&p);
    qn_learner_free(&merged);
    qn_learner_free(&learner);
    toy_done(&d);
}

static void other_models_are_refused(void **state) {
    world w;
    kind quantile = {"quantile", QN_TASK_REGRESSION, 0};
    qn_error err = {0};
    const char *metric = NULL;
    world_init(&w, &quantile, 2, 4);
    assert_int_equal(qn_pruner_metric(w.learner, &metric, &err), QN_ERR_USAGE);
    assert_string_equal(err.message, "trees of objective quantile cannot be pruned by their loss: "
                                     "the model does not keep the quantile");
    qn_learner *linear = NULL;
    qn_fit_input input = {.train = {.x = &w.train.x, .y = w.train.value},
                          .task = QN_TASK_REGRESSION};
    assert_int_equal(qn_learner_fit(&qn__family_prior, NULL, &input, NULL, &linear, &err), QN_OK);
    assert_int_equal(qn_pruner_metric(linear, &metric, &err), QN_ERR_USAGE);
    assert_string_equal(err.message,
                        "a model of family prior has no trees to prune: only gbdt has");
    qn_learner_free(&linear);
    world_done(&w);
}

static qn_status own_gradients(void *user, const double *raw, const double *y,
                               const double *weight, int64_t n, int32_t n_outputs, double *g,
                               double *h) {
    (void)user, (void)weight;
    for (int64_t i = 0; i < n; i++)
        for (int32_t k = 0; k < n_outputs; k++) {
            double p = n_outputs == 1 ? raw[i] : 1 / (1 + exp(-raw[i * n_outputs + k]));
            g[i * n_outputs + k] = p - (n_outputs == 1 ? y[i] : y[i] == k);
            h[i * n_outputs + k] = n_outputs == 1 ? 1 : p * (1 - p);
        }
    return QN_OK;
}

/* The model does not know what the caller's gradients belong to: the loss is that of its link. */
static void custom_objectives_fall_to_the_task(void **state) {
    static const kind tasks[] = {{"regression", QN_TASK_REGRESSION, 0},
                                 {"multiclass", QN_TASK_MULTICLASS, 0}};
    static const char *const names[] = {"rmse", "log_loss"};
    for (int i = 0; i < 2; i++) {
        world w;
        const char *metric = NULL;
        world_init(&w, &tasks[i], 2, 4);
        qn_learner_free(&w.learner);
        qn_cleanup(qn_json_free) json_t *params = json("{\"num_iterations\": 10}");
        qn_fit_input input = {.train = {.x = &w.train.x, .y = labels_of(&w.train, &tasks[i])},
                              .task = tasks[i].task, .n_classes = i ? 3 : 0,
                              .gradients = own_gradients};
        assert_int_equal(qn_learner_fit(&qn__family_gbdt, params, &input, NULL, &w.learner, NULL),
                         QN_OK);
        assert_string_equal(qn_trees_objective(w.learner), "custom");
        assert_int_equal(qn_pruner_metric(w.learner, &metric, NULL), QN_OK);
        assert_string_equal(metric, names[i]);
        qn_pruner *p = prune(&w, NULL);
        int64_t before = qn_pruner_leaves(p);
        assert_int_equal(qn_pruner_cut(p, before / 2, NULL, NULL), QN_OK);
        qn_learner *half = learner_of(p);
        assert_true(qn_pruner_leaves(p) <= before / 2);
        qn_pruner_start(p, 5);
        qn_learner *rounds = learner_of(p); /* of which half are as many leaves */
        assert_true(loss_of(&w, &tasks[i], half) < 0.9 * loss_of(&w, &tasks[i], rounds));
        qn_learner_free(&rounds);
        qn_learner_free(&half);
        qn_pruner_free(&p);
        world_done(&w);
    }
}

static void short_memory_is_told(void **state) {
    for (int which = 0; which < 2; which++) {
        world w;
        world_init(&w, &kinds[which ? N_LOSSES : 2], 3, 6);
        for (int64_t n = 0;; n++) {
            qn_pruner *p = NULL;
            qn_learner *learner = NULL;
            qn_mem_fail_after(n);
            qn_status status = qn_pruner_new(w.learner, w.rows.features, &w.given, NULL, &p, NULL);
            if (status == QN_OK)
                status = qn_pruner_cut(p, 8, NULL, NULL);
            if (status == QN_OK)
                status = qn_pruner_learner(p, QN_LEAF_FLOAT64, &learner, NULL);
            qn_mem_fail_after(-1);
            qn_pruner_free(&p);
            qn_learner_free(&learner);
            if (status == QN_OK)
                break;
            assert_int_equal(status, QN_ERR_MEMORY);
            assert_true(n < 1000);
        }
        world_done(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs_are_what_cutting_costs),
        cmocka_unit_test(rankings_cost_what_lambdas_say),
        cmocka_unit_test(rankings_keep_their_order),
        cmocka_unit_test(custom_objectives_fall_to_the_task),
        cmocka_unit_test(every_model_on_the_way_down_is_sound),
        cmocka_unit_test(parts_and_threads_change_nothing),
        cmocka_unit_test(rounds_are_dropped_from_the_end),
        cmocka_unit_test(unpacking_is_the_inverse_of_packing),
        cmocka_unit_test(what_is_twice_is_merged),
        cmocka_unit_test(other_models_are_refused),
        cmocka_unit_test(short_memory_is_told),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("learn/gbdt_prune", tests, NULL, NULL);
}
