/* gbdt_fit.h - fits that must work, and what several tests ask of them. */
#ifndef TESTS_LEARN_GBDT_FIT_H
#define TESTS_LEARN_GBDT_FIT_H

#include "gbdt_data.h"
#include "learn/family_int.h"

static inline qn_gbdt_params gbdt_defaults(void) {
    qn_gbdt_params p;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    return p;
}

static inline qn_fit_input regression(const toy *d) {
    return (qn_fit_input){.train = {.x = &d->x, .y = d->value}, .task = QN_TASK_REGRESSION,
                          .seed = 7};
}

static inline qn_learner *fit(const qn_gbdt_params *p, const qn_fit_input *in, const qn_job *job) {
    qn_learner *model = NULL;
    qn_error err = {0};
    if (qn__family_gbdt.fit(p, in, job, &model, &err) != QN_OK)
        fail_msg("%s", err.message);
    return model;
}

/* The same by parameters as a run gives them. */
static inline qn_learner *fit_params(const json_t *params, const qn_fit_input *in,
                                     const qn_job *job) {
    qn_learner *model = NULL;
    qn_error err = {0};
    if (qn_learner_fit(&qn__family_gbdt, params, in, job, &model, &err) != QN_OK)
        fail_msg("%s", err.message);
    return model;
}

static inline double *predictions(const qn_learner *m, const qn_matrix *x) {
    double *raw = qn_new_array(double, x->n_rows * m->n_outputs);
    m->family->predict(m, x, 0, x->n_rows, raw);
    return raw;
}

static inline double squared_error(const qn_learner *m, const toy *d) {
    double *raw = predictions(m, &d->x), sum = 0;
    for (int64_t i = 0; i < d->x.n_rows; i++)
        sum += (raw[i] - d->value[i]) * (raw[i] - d->value[i]);
    qn_freep(&raw);
    return sum / (double)d->x.n_rows;
}

static inline void assert_same_bytes(const qn_learner *a, const qn_learner *b) {
    qn_buf bytes[2] = {{0}, {0}};
    assert_int_equal(qn__family_gbdt.save(a, &bytes[0], NULL), QN_OK);
    assert_int_equal(qn__family_gbdt.save(b, &bytes[1], NULL), QN_OK);
    assert_int_equal(bytes[0].len, bytes[1].len);
    assert_memory_equal(bytes[0].data, bytes[1].data, bytes[0].len);
    qn_buf_done(&bytes[0]);
    qn_buf_done(&bytes[1]);
}

/* With 1, 2, 3 and 8 threads, and once more with `short_bytes` of memory unless that is 0. */
static inline void assert_threads_agree(const qn_gbdt_params *p, const qn_fit_input *in,
                                        int64_t short_bytes) {
    static const int threads[] = {1, 1, 2, 3, 8, 3};
    qn_learner *first = NULL;
    for (int i = 0; i < (short_bytes ? 6 : 5); i++) {
        qn_job job = {.n_threads = threads[i], .memory_bytes = i == 5 ? short_bytes : 0};
        qn_learner *m = fit(p, in, &job);
        if (!first) {
            first = m;
            continue;
        }
        assert_same_bytes(first, m);
        qn__gbdt_free(m);
    }
    qn__gbdt_free(first);
}

/* Parameters that are refused with the message. */
static inline void assert_refused(const toy *d, const char *text, const char *message) {
    qn_cleanup(qn_json_free) json_t *params = json(text);
    qn_fit_input in = regression(d);
    qn_learner *m = NULL;
    qn_error err = {0};
    assert_int_equal(qn_learner_fit(&qn__family_gbdt, params, &in, NULL, &m, &err),
                     QN_ERR_CONFIG);
    assert_string_equal(err.message, message);
    assert_null(m);
}

/* Training rows below a node of a fitted tree. */
static inline double rows_under(const qn__gbdt *m, int32_t tree, uint32_t at) {
    qn__gbdt_node node = qn__gbdt_node_at(m, m->start[tree], at);
    return node.is_leaf ? (double)m->count[qn__gbdt_leaf_start(m, tree) + node.to]
                        : rows_under(m, tree, node.to) + rows_under(m, tree, node.to + 1);
}

#endif
