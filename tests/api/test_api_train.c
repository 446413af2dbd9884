/* qn_train: the caller's objectives against the built-in ones, models that are files, threads, and what
 * cannot be. */
#include "../model/models.h"

#include <pthread.h>
#include <unistd.h>

#include "learn/trees.h"

enum { ROWS = 3000, INPUTS = 4, CLASSES = 3 };

typedef struct table {
    double x[ROWS * INPUTS], value[ROWS], yes[ROWS], klass[ROWS], weight[ROWS];
} table;

static table *table_new(uint64_t seed) {
    table *t = qn_calloc(1, sizeof *t);
    qn_rng rng;
    assert_non_null(t);
    qn_rng_init(&rng, seed);
    for (int i = 0; i < ROWS; i++) {
        double *x = t->x + i * INPUTS;
        for (int j = 0; j < INPUTS; j++)
            x[j] = j == 3 && qn_rng_uniform(&rng) < 0.2 ? (double)NAN : qn_rng_normal(&rng);
        double s = x[0] + x[1] * x[1] - 1 + (isnan(x[3]) ? 0.7 : 0.3 * x[3]);
        t->value[i] = s + 0.3 * qn_rng_normal(&rng);
        t->yes[i] = qn_rng_uniform(&rng) < 1 / (1 + exp(-2 * s));
        t->klass[i] = s < -0.5 ? 0 : s < 0.8 ? 1 : 2;
        t->weight[i] = 0.5 + (double)qn_rng_below(&rng, 3);
    }
    return t;
}

static qn_train_options options_of(qn_task task, const char *params) {
    qn_train_options options = QN_TRAIN_OPTIONS_INIT;
    options.task = task;
    options.n_inputs = INPUTS;
    options.n_classes = task == QN_TASK_MULTICLASS ? CLASSES : 0;
    options.params = params;
    options.seed = 7;
    return options;
}

static qn_model *trained(const qn_train_data *data, const qn_train_options *options) {
    qn_model *model = NULL;
    qn_error err = {0};
    must(qn_train(data, options, &model, &err), &err);
    return model;
}

/* Half the squared error, as "regression" has it. */
static qn_status squared(void *user, const double *s, const double *y, const double *w, int64_t n,
                         int32_t n_outputs, double *g, double *h) {
    int *n_calls = user;
    ++*n_calls;
    assert_int_equal(n_outputs, 1);
    for (int64_t i = 0; i < n; i++) {
        g[i] = (w ? w[i] : 1) * (s[i] - y[i]);
        h[i] = w ? w[i] : 1;
    }
    return QN_OK;
}

static qn_status logistic(void *user, const double *s, const double *y, const double *w, int64_t n,
                          int32_t n_outputs, double *g, double *h) {
    for (int64_t i = 0; i < n; i++) {
        double p = 1 / (1 + exp(-s[i]));
        g[i] = p - y[i];
        h[i] = p * (1 - p);
    }
    return QN_OK;
}

static qn_status softmax(void *user, const double *s, const double *y, const double *w, int64_t n,
                         int32_t n_outputs, double *g, double *h) {
    for (int64_t i = 0; i < n; i++, s += n_outputs, g += n_outputs, h += n_outputs) {
        double sum = 0;
        for (int32_t k = 0; k < n_outputs; k++)
            sum += exp(s[k]);
        for (int32_t k = 0; k < n_outputs; k++) {
            double p = exp(s[k]) / sum;
            g[k] = p - (y[i] == k);
            h[k] = p * (1 - p);
        }
    }
    return QN_OK;
}

static const char plain[] = "{\"num_iterations\": 25, \"num_leaves\": 15, "
                            "\"boost_from_average\": false}";

/* All of the trees, node by node. */
static void assert_same_trees(const qn_model *a, const qn_model *b) {
    qn_cleanup(qn_trees_done) qn_trees x = {0};
    qn_cleanup(qn_trees_done) qn_trees y = {0};
    qn_error err = {0};
    must(qn_trees_unpack(qn_model_learner(a), &x, &err), &err);
    must(qn_trees_unpack(qn_model_learner(b), &y, &err), &err);
    assert_int_equal(x.n_trees, y.n_trees);
    assert_memory_equal(x.start, y.start, ((size_t)x.n_trees + 1) * sizeof *x.start);
    for (int64_t i = 0; i < x.start[x.n_trees]; i++) {
        assert_int_equal(x.nodes[i].feature, y.nodes[i].feature);
        assert_int_equal(x.nodes[i].missing_left, y.nodes[i].missing_left);
        assert_true(x.nodes[i].threshold == y.nodes[i].threshold);
        assert_true(x.nodes[i].value == y.nodes[i].value);
        assert_int_equal(x.nodes[i].count, y.nodes[i].count);
    }
    assert_true(x.base[0] == y.base[0]);
}

static void squared_error_of_ones_own_grows_the_same_trees(void **state) {
    table *t = table_new(1);
    for (int weighted = 0; weighted < 2; weighted++) {
        int n_calls = 0;
        qn_train_data data = {t->x, t->value, weighted ? t->weight : NULL, ROWS};
        qn_train_options options = options_of(QN_TASK_REGRESSION, plain);
        qn_model *built_in = trained(&data, &options);
        options.gradients = squared;
        options.user = &n_calls;
        qn_model *own = trained(&data, &options);
        assert_int_equal(n_calls, 25);
        assert_same_trees(built_in, own);
        qn_model_free(&built_in);
        qn_model_free(&own);
    }
    qn_freep(&t);
}

static double mean_gap(const qn_model *a, const qn_model *b, const table *t) {
    int32_t n_k = qn_model_n_outputs(a);
    double *x = qn_new_array(double, ROWS * n_k), *y = qn_new_array(double, ROWS * n_k), gap = 0;
    qn_error err = {0};
    must(qn_predict_numbers(a, t->x, ROWS, NULL, x, &err), &err);
    must(qn_predict_numbers(b, t->x, ROWS, NULL, y, &err), &err);
    for (int64_t i = 0; i < (int64_t)ROWS * n_k; i++)
        gap += fabs(x[i] - y[i]) / (ROWS * n_k);
    qn_freep(&x);
    qn_freep(&y);
    return gap;
}

/* The built-in ones work in floats: leaves differ in the last digits, and now and then a random
 * rounding does. */
static void classes_of_ones_own_are_the_built_in_ones(void **state) {
    table *t = table_new(2);
    for (int many = 0; many < 2; many++) {
        qn_train_data data = {t->x, many ? t->klass : t->yes, NULL, ROWS};
        qn_train_options options = options_of(many ? QN_TASK_MULTICLASS : QN_TASK_BINARY, plain);
        qn_model *built_in = trained(&data, &options);
        options.gradients = many ? softmax : logistic;
        qn_model *own = trained(&data, &options);
        assert_true(mean_gap(built_in, own, t) < 0.02);
        assert_int_equal(qn_model_n_outputs(own), many ? CLASSES : 1);
        qn_model_free(&built_in);
        qn_model_free(&own);
    }
    qn_freep(&t);
}

static double absolute_loss(void *user, const double *s, const double *y, const double *w,
                            int64_t n, int32_t n_outputs) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += fabs(s[i] - y[i]);
    return sum / (double)n;
}

/* Trained, stopped by a loss of one's own, saved, opened: the same answers, and names. */
static void models_are_files(void **state) {
    static const char *const names[] = {"age", "size", "price", "note"};
    static const char *const classes[] = {"no", "yes"};
    table *t = table_new(3), *v = table_new(4);
    char path[] = "/tmp/qn-train-XXXXXX";
    int fd = mkstemp(path), n_calls = 0;
    assert_true(fd >= 0);
    close(fd);
    qn_error err = {0};
    qn_train_data data = {t->x, t->value, NULL, ROWS}, valid = {v->x, v->value, NULL, ROWS};
    qn_train_options options = options_of(
        QN_TASK_REGRESSION, "{\"num_iterations\": 2000, \"early_stopping_round\": 20}");
    options.inputs = names;
    options.target = "worth";
    options.valid = &valid;
    options.gradients = squared;
    options.loss = absolute_loss;
    options.user = &n_calls;
    qn_model *model = trained(&data, &options), *opened = NULL;
    assert_true(n_calls > 30 && n_calls < 2000);
    must(qn_model_save(model, path, &err), &err);
    must(qn_model_open(path, &opened, &err), &err);
    assert_true(mean_gap(model, opened, v) == 0);
    qn_signature *signature = NULL;
    must(qn_signature_new(opened, &signature, &err), &err);
    assert_string_equal(signature->target, "worth");
    assert_string_equal(qn_signature_input(signature, 3)->name, "note");
    double missing = 0;
    for (int i = 0; i < ROWS; i++)
        missing += isnan(t->x[i * INPUTS + 3]);
    assert_float_equal(qn_signature_input(signature, 3)->missing_share, missing / ROWS, 1e-12);
    qn_signature_free(&signature);
    qn_model_free(&opened);
    qn_model_free(&model);
    data.labels = t->yes;
    options = options_of(QN_TASK_BINARY, NULL);
    options.classes = classes;
    model = trained(&data, &options);
    char *answer = NULL;
    const char row[] = "{\"f0\": 3, \"f1\": 2, \"f2\": 0, \"f3\": null}";
    must(qn_predict_json(model, row, strlen(row), NULL, &answer, &err), &err);
    assert_non_null(strstr(answer, "\"prediction\": \"yes\""));
    qn_text_free(&answer);
    qn_model_free(&model);
    unlink(path);
    qn_freep(&t);
    qn_freep(&v);
}

typedef struct job {
    const table *t;
    qn_model *model;
    int32_t n_threads;
    int n_calls;
} job;

static void *train_one(void *argument) {
    job *j = argument;
    qn_train_data data = {j->t->x, j->t->value, j->t->weight, ROWS};
    qn_train_options options = options_of(QN_TASK_REGRESSION, plain);
    options.n_threads = j->n_threads;
    options.gradients = squared;
    options.user = &j->n_calls;
    j->model = trained(&data, &options);
    return NULL;
}

/* Several at the same time, each with threads of its own: the same bytes. */
static void threads_change_nothing(void **state) {
    table *t = table_new(5);
    job jobs[] = {{t, NULL, 1, 0}, {t, NULL, 2, 0}, {t, NULL, 3, 0}, {t, NULL, 0, 0}};
    enum { N = sizeof jobs / sizeof *jobs };
    pthread_t threads[N];
    qn_buf bytes[N] = {{0}};
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, train_one, &jobs[i]), 0);
    for (int i = 0; i < N; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(qn_model_write(jobs[i].model, &bytes[i], NULL), QN_OK);
        assert_int_equal(bytes[i].len, bytes[0].len);
        assert_memory_equal(bytes[i].data, bytes[0].data, bytes[0].len);
    }
    for (int i = 0; i < N; i++) {
        qn_buf_done(&bytes[i]);
        qn_model_free(&jobs[i].model);
    }
    qn_freep(&t);
}

/* What the callback does wrong in its third round. */
typedef struct wrong {
    int n_calls;
    double gradient, hessian;
    qn_status status;
} wrong;

static qn_status go_wrong(void *user, const double *s, const double *y, const double *w, int64_t n,
                          int32_t n_outputs, double *g, double *h) {
    wrong *x = user;
    for (int64_t i = 0; i < n; i++) {
        g[i] = s[i] - y[i];
        h[i] = 1;
    }
    if (++x->n_calls < 3)
        return QN_OK;
    g[16] = x->gradient;
    h[16] = x->hessian;
    return x->status;
}

static void what_cannot_be_is_told(void **state) {
    static const char *const twice[] = {"a", "b", "c", "a"};
    table *t = table_new(6);
    qn_train_data data = {t->x, t->value, NULL, ROWS};
    qn_model *model = NULL;
    qn_error err = {0};
    const wrong cases[] = {{0, NAN, 1, QN_OK}, {0, 1, -1, QN_OK}, {0, INFINITY, 1, QN_OK},
                           {0, 0, 1, QN_ERR_CANCELLED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wrong x = cases[i];
        qn_train_options options = options_of(QN_TASK_REGRESSION, plain);
        options.gradients = go_wrong;
        options.user = &x;
        qn_status want = x.status != QN_OK ? x.status : QN_ERR_DATA;
        assert_int_equal(qn_train(&data, &options, &model, &err), want);
        assert_int_equal(err.code, want);
        assert_int_equal(x.n_calls, 3);
        assert_non_null(strstr(err.message, "round 3"));
        assert_true(x.status != QN_OK || err.row == 17);
    }
    const struct {
        qn_train_options options;
        qn_status want;
        const char *says;
    } usage[] = {
        {{0}, QN_ERR_USAGE, "QN_TRAIN_OPTIONS_INIT"},
        {options_of(QN_TASK_REGRESSION, "{\"num_leafs\": 3}"), QN_ERR_CONFIG, "'num_leaves'"},
        {options_of(QN_TASK_REGRESSION, "{"), QN_ERR_FORMAT, "params"},
        {options_of(QN_TASK_REGRESSION, "{\"objective\": \"binary\"}"), QN_ERR_CONFIG, "binary"},
        {options_of((qn_task)9, NULL), QN_ERR_USAGE, "task 9"},
    };
    for (size_t i = 0; i < sizeof usage / sizeof *usage; i++) {
        assert_int_equal(qn_train(&data, &usage[i].options, &model, &err), usage[i].want);
        assert_non_null(strstr(err.message, usage[i].says));
    }
    qn_train_options options = options_of(QN_TASK_REGRESSION, plain);
    options.inputs = twice;
    assert_int_equal(qn_train(&data, &options, &model, &err), QN_ERR_USAGE);
    assert_string_equal(err.message, "two inputs are called 'a'");
    options = options_of(QN_TASK_MULTICLASS, plain);
    options.n_classes = 1;
    assert_int_equal(qn_train(&data, &options, &model, &err), QN_ERR_USAGE);
    options = options_of(QN_TASK_BINARY, plain); /* labels are no classes */
    assert_int_equal(qn_train(&data, &options, &model, &err), QN_ERR_DATA);
    data.n_rows = 0;
    assert_int_equal(qn_train(&data, &options, &model, &err), QN_ERR_USAGE);
    assert_int_equal(qn_train(NULL, &options, &model, NULL), QN_ERR_USAGE);
    assert_null(model);
    qn_freep(&t);
}

static void short_memory_is_told(void **state) {
    table *t = table_new(7);
    qn_train_data data = {t->x, t->klass, NULL, 200};
    qn_train_data valid = {t->x + 200 * INPUTS, t->klass + 200, NULL, 50};
    qn_train_options options = options_of(QN_TASK_MULTICLASS, "{\"num_iterations\": 2}");
    options.valid = &valid;
    options.gradients = softmax;
    for (int64_t n = 0;; n++) {
        qn_model *model = NULL;
        qn_mem_fail_after(n);
        qn_status status = qn_train(&data, &options, &model, NULL);
        qn_mem_fail_after(-1);
        qn_model_free(&model);
        if (status == QN_OK)
            break;
        assert_int_equal(status, QN_ERR_MEMORY);
        assert_true(n < 5000);
    }
    qn_freep(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(squared_error_of_ones_own_grows_the_same_trees),
        cmocka_unit_test(classes_of_ones_own_are_the_built_in_ones),
        cmocka_unit_test(models_are_files),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(what_cannot_be_is_told),
        cmocka_unit_test(short_memory_is_told),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("api/train", tests, NULL, NULL);
}
