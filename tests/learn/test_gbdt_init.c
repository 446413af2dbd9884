/* Initial scores of classes: where trees start against Newton's step by the textbook, and all that
 * answers with the model against each other. */
#include "gbdt_fit.h"
#include "learn/gbdt_prune.h"
#include "learn/trees.h"

enum { N = 2000, K = TOY_CLASSES, WIDTH = TOY_FEATURES + 1 };

/* By class, in an order that is not that of the columns. */
static const int32_t init_of[K] = {2, 0, 1};

static qn_fit_input multiclass(const toy *d) {
    return (qn_fit_input){.train = {.x = &d->x, .y = d->klass}, .task = QN_TASK_MULTICLASS,
                          .n_classes = K, .seed = 7, .init_features = init_of, .n_init = K};
}

static void world_init(toy *d) {
    toy_init(d, N, 41);
    for (int i = 0; i < N; i++)
        if (isnan(d->columns[1].num[i]))
            d->columns[1].num[i] = 0.5;
}

static qn_gbdt_params params(int64_t rounds) {
    qn_gbdt_params p = gbdt_defaults();
    p.num_iterations = rounds;
    p.num_leaves = 6;
    return p;
}

static void raw_of(const qn_learner *m, const toy *d, double *raw) {
    m->family->predict(m, &d->x, 0, d->x.n_rows, raw);
}

/* What one round adds to the rows of a leaf is -G / H at softmax of the columns, for each class. */
static void trees_start_from_them(void **state) {
    toy d;
    world_init(&d);
    qn_gbdt_params p = params(1);
    p.learning_rate = 1;
    p.cat_l2 = 0;
    qn_fit_input in = multiclass(&d);
    qn_learner *m = fit(&p, &in, NULL);
    double *raw = qn_new_array(double, N * K);
    raw_of(m, &d, raw);
    for (int k = 0; k < K; k++)
        for (int i = 0; i < N; i += 97) {
            const double *own = d.columns[init_of[k]].num;
            double g = 0, h = 0, step = raw[i * K + k] - own[i];
            for (int r = 0; r < N; r++) {
                double sum = 0;
                if (fabs(raw[r * K + k] - own[r] - step) > 1e-12)
                    continue;
                for (int j = 0; j < K; j++)
                    sum += exp(d.columns[init_of[j]].num[r]);
                double q = exp(own[r]) / sum;
                g += q - (d.klass[r] == k);
                h += q * (1 - q);
            }
            assert_near(step, -g / h, 0.01);
        }
    const qn__gbdt *trees = (const qn__gbdt *)m;
    for (int t = 0; t < K; t++) /* nothing is split by them */
        for (uint32_t i = 0; i < trees->start[t + 1] - trees->start[t]; i++) {
            qn__gbdt_node node = qn__gbdt_node_at(trees, trees->start[t], i);
            assert_true(node.is_leaf || trees->slot_column[qn__gbdt_node_slot(trees, &node)] > 2);
        }
    qn_freep(&raw);
    qn_learner_free(&m);
    toy_done(&d);
}

static void assert_explained(const qn_learner *m, const toy *d, const double *raw) {
    enum { FEW = 40, CELLS = WIDTH * WIDTH };
    double *contrib = qn_new_array(double, FEW * K * WIDTH);
    double *pairs = qn_new_array(double, FEW * K * CELLS), known[FEW * K];
    int32_t alone[TOY_FEATURES];
    bool follows[TOY_FEATURES];
    for (int f = 0; f < TOY_FEATURES; f++) {
        alone[f] = f;
        follows[f] = f != init_of[1]; /* that of class 1 counts as 0 */
    }
    assert_int_equal(m->family->explain(m, &d->x, 0, FEW, contrib, NULL), QN_OK);
    assert_int_equal(m->family->interactions(m, &d->x, 0, FEW, alone, TOY_FEATURES, pairs, NULL),
                     QN_OK);
    assert_int_equal(m->family->dependence(m, &d->x, 0, FEW, follows, known, NULL), QN_OK);
    for (int i = 0; i < FEW; i++)
        for (int k = 0; k < K; k++) {
            const double *own = contrib + (i * K + k) * WIDTH, *pair = pairs + (i * K + k) * CELLS;
            double sum = 0, all = 0, init = d->columns[init_of[k]].num[i];
            for (int f = 0; f < WIDTH; f++)
                sum += own[f];
            for (int c = 0; c < CELLS; c++)
                all += pair[c];
            assert_near(sum, raw[i * K + k], 1e-9);
            assert_near(all, raw[i * K + k], 1e-9);
            for (int f = 0; f < 3; f++) /* the columns of the other classes add nothing */
                assert_near(own[f], f == init_of[k] && !isnan(init) ? init : 0, 0);
            double unknown = k == 1 && !isnan(init) ? init : 0;
            assert_near(known[i * K + k], raw[i * K + k] - unknown, 1e-9);
        }
    qn_freep(&contrib);
    qn_freep(&pairs);
}

static void assert_same_answers(const qn_learner *m, const toy *d, const double *want,
                                double most) {
    double *raw = qn_new_array(double, N * K);
    raw_of(m, d, raw);
    for (int i = 0; i < N * K; i++)
        assert_near(raw[i], want[i], most);
    qn_freep(&raw);
}

/* Dense rows, one row, files, explanations, merged and coded trees, trees node by node. */
static void all_that_answers_agrees(void **state) {
    toy d;
    qn_error err = {0};
    world_init(&d);
    qn_gbdt_params p = params(8);
    qn_fit_input in = multiclass(&d);
    qn_learner *m = fit(&p, &in, NULL), *again = NULL;
    double *raw = qn_new_array(double, N * K), *rows = qn_new_array(double, N * TOY_FEATURES);
    double *dense = qn_new_array(double, N * K);
    raw_of(m, &d, raw);
    double before = raw[1];
    d.columns[init_of[1]].num[0] = NAN; /* adds nothing */
    raw_of(m, &d, raw);
    assert_false(raw[1] == before);
    qn_matrix_rows(&d.x, 0, N, rows);
    m->family->predict_rows(m, rows, N, dense);
    assert_memory_equal(raw, dense, N * K * sizeof *raw);
    assert_explained(m, &d, raw);
    qn_buf bytes = {0};
    assert_int_equal(m->family->save(m, &bytes, NULL), QN_OK);
    assert_int_equal(bytes.data[0], 4); /* the version */
    assert_int_equal(m->family->load(bytes.data, bytes.len, d.features, TOY_FEATURES, &again, &err),
                     QN_OK);
    assert_same_answers(again, &d, raw, 0);
    qn_learner_free(&again);
    qn_trees trees = {0};
    assert_int_equal(qn_trees_unpack(m, &trees, &err), QN_OK);
    assert_int_equal(qn_trees_pack(&trees, d.features, &again, &err), QN_OK);
    assert_same_answers(again, &d, raw, 0);
    qn_trees_done(&trees);
    const qn_matrix *x[] = {&d.x};
    const double *y[] = {d.klass};
    qn_prune_rows labelled = {.x = x, .y = y, .n_parts = 1};
    qn_pruner *pruner = NULL;
    assert_int_equal(qn_pruner_new(m, d.features, &labelled, NULL, &pruner, &err), QN_OK);
    for (qn_leaf_form form = QN_LEAF_FLOAT64; (int)form < QN_LEAF_FORMS; form++) {
        qn_learner *coded = NULL;
        qn_learner_free(&again);
        bytes.len = 0;
        assert_int_equal(qn_pruner_learner(pruner, form, &coded, &err), QN_OK);
        assert_same_answers(coded, &d, raw, form == QN_LEAF_FLOAT64 ? 1e-12 : 0.1);
        assert_int_equal(coded->family->save(coded, &bytes, NULL), QN_OK);
        assert_int_equal(coded->family->load(bytes.data, bytes.len, d.features, TOY_FEATURES,
                                             &again, &err), QN_OK);
        assert_same_bytes(coded, again);
        assert_same_answers(again, &d, raw, form == QN_LEAF_FLOAT64 ? 1e-12 : 0.1);
        qn_learner_free(&coded);
    }
    qn_pruner_free(&pruner);
    qn_buf_done(&bytes);
    qn_freep(&raw);
    qn_freep(&rows);
    qn_freep(&dense);
    qn_learner_free(&again);
    qn_learner_free(&m);
    toy_done(&d);
}

/* What is left of the trees when all are cut is the base and the columns. */
static void pruning_starts_from_them(void **state) {
    toy d;
    qn_error err = {0};
    world_init(&d);
    qn_gbdt_params p = params(3);
    qn_fit_input in = multiclass(&d);
    qn_learner *m = fit(&p, &in, NULL), *cut = NULL;
    const qn_matrix *x[] = {&d.x};
    const double *y[] = {d.klass};
    qn_prune_rows labelled = {.x = x, .y = y, .n_parts = 1};
    qn_pruner *pruner = NULL;
    assert_int_equal(qn_pruner_new(m, d.features, &labelled, NULL, &pruner, &err), QN_OK);
    while (qn_pruner_leaves(pruner) > 0)
        assert_int_equal(qn_pruner_cut(pruner, 0, NULL, &err), QN_OK);
    assert_int_equal(qn_pruner_learner(pruner, QN_LEAF_FLOAT64, &cut, &err), QN_OK);
    double *raw = qn_new_array(double, N * K);
    raw_of(cut, &d, raw);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < K; k++)
            assert_near(raw[i * K + k] - raw[k],
                        d.columns[init_of[k]].num[i] - d.columns[init_of[k]].num[0], 1e-12);
    qn_freep(&raw);
    qn_pruner_free(&pruner);
    qn_learner_free(&cut);
    qn_learner_free(&m);
    toy_done(&d);
}

static void threads_and_lengths_agree(void **state) {
    toy d;
    world_init(&d);
    qn_gbdt_params p = params(6);
    qn_fit_input in = multiclass(&d);
    assert_threads_agree(&p, &in, 0);
    qn_learner *all = fit(&p, &in, NULL);
    p.num_iterations = 4;
    qn_learner *first = fit(&p, &in, NULL);
    in.from = first;
    p.num_iterations = 2;
    qn_learner *rest = fit(&p, &in, NULL);
    assert_same_bytes(all, rest);
    int32_t other[K] = {0, 2, 1};
    qn_error err = {0};
    qn_learner *none = NULL;
    in.init_features = other;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &none, &err), QN_ERR_USAGE);
    assert_string_equal(err.message, "the model to go on from has other initial scores");
    qn_learner_free(&all);
    qn_learner_free(&first);
    qn_learner_free(&rest);
    toy_done(&d);
}

static void wrong_ones_are_told(void **state) {
    toy d;
    qn_error err = {0};
    world_init(&d);
    qn_gbdt_params p = params(1);
    qn_fit_input in = multiclass(&d);
    qn_learner *m = NULL;
    in.n_init = 2;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_CONFIG);
    assert_string_equal(err.message, "init_score needs one column for each raw score: 3, not 2");
    in.n_init = K;
    d.columns[0].num[11] = INFINITY;
    assert_int_equal(qn__family_gbdt.fit(&p, &in, NULL, &m, &err), QN_ERR_DATA);
    assert_string_equal(err.message, "row 12: the init_score is infinite, not a finite number");
    d.columns[0].num[11] = 0;
    m = fit(&p, &in, NULL);
    qn_buf bytes = {0};
    qn_learner *bad = NULL;
    assert_int_equal(m->family->save(m, &bytes, NULL), QN_OK);
    /* Behind the header of 128 bytes and the base in one unit of 64; then a column that is sparse, and
     * one that is not there. */
    for (unsigned char column = 8; column < 40; column += 30) {
        assert_int_equal(bytes.data[128 + 64], init_of[0] + 1);
        bytes.data[128 + 64] = column;
        assert_int_equal(m->family->load(bytes.data, bytes.len, d.features, TOY_FEATURES, &bad,
                                         &err), QN_ERR_FORMAT);
        assert_string_equal(err.message, "the trees of the model are damaged: the column of "
                                         "initial scores");
        bytes.data[128 + 64] = (unsigned char)(init_of[0] + 1);
    }
    bytes.data[128 + 64 + 12] = 1; /* a gap */
    assert_int_equal(m->family->load(bytes.data, bytes.len, d.features, TOY_FEATURES, &bad, &err),
                     QN_ERR_FORMAT);
    bytes.data[128 + 64 + 12] = 0;
    bytes.data[44] = 1; /* the header's one column is for one output */
    assert_int_equal(m->family->load(bytes.data, bytes.len, d.features, TOY_FEATURES, &bad, &err),
                     QN_ERR_FORMAT);
    qn_buf_done(&bytes);
    qn_learner_free(&m);
    toy_done(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_start_from_them),    cmocka_unit_test(all_that_answers_agrees),
        cmocka_unit_test(pruning_starts_from_them), cmocka_unit_test(threads_and_lengths_agree),
        cmocka_unit_test(wrong_ones_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
