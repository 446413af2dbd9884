/* The two baselines: what they answer, the split that the stump finds, rules in words, files,
 * failing memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "learn/learner.h"

enum { N = 200 };

/* One number, one category of four with texts; y is 1 above 0.6, or where the category is b or
 * d. */
typedef struct data {
    qn_matrix x;
    qn_feature features[2];
    qn_matrix_column columns[2];
    double num[N], y[N], weight[N];
    int32_t code[N];
    qn_dict *dict;
} data;

static void data_init(data *d, bool by_category) {
    static char size[] = "size", city[] = "city";
    static const char *const texts[] = {"a", "b", "c", "d"};
    d->dict = qn_dict_new();
    for (int i = 0; i < 4; i++)
        assert_int_equal(qn_dict_add(d->dict, texts[i], 1), i);
    for (int i = 0; i < N; i++) {
        d->num[i] = i * 7 % N / (double)N;
        d->code[i] = i % 11 == 0 ? -1 : i % 4;
        d->y[i] = by_category ? d->code[i] == 1 || d->code[i] == 3 : d->num[i] > 0.6;
        d->weight[i] = i % 2 ? 3 : 1;
    }
    d->features[0] = (qn_feature){.name = size, .kind = QN_FEATURE_NUMERIC};
    d->features[1] = (qn_feature){.name = city, .kind = QN_FEATURE_CATEGORY, .n_categories = 4,
                                  .categories = d->dict};
    d->columns[0] = (qn_matrix_column){.num = d->num};
    d->columns[1] = (qn_matrix_column){.code = d->code};
    d->x = (qn_matrix){
        .n_rows = N, .n_features = 2, .features = d->features, .columns = d->columns};
}

static void data_done(data *d) {
    qn_dict_free(&d->dict);
}

static qn_fit_input input_of(const data *d, qn_task task, bool weighted) {
    return (qn_fit_input){.train = {&d->x, d->y, weighted ? d->weight : NULL}, .task = task,
                          .n_classes = task == QN_TASK_REGRESSION ? 0 : 2};
}

static qn_learner *fit(const char *name, const qn_fit_input *input) {
    const qn_family *family = NULL;
    qn_learner *m = NULL;
    assert_int_equal(qn_family_find(name, &family, NULL), QN_OK);
    assert_true(family->is_baseline);
    assert_int_equal(qn_learner_fit(family, NULL, input, NULL, &m, NULL), QN_OK);
    return m;
}

static void the_prior_is_the_share_or_the_mean(void **state) {
    qn_cleanup(data_done) data d = {0};
    double p[N], mean = 0, sum = 0;
    data_init(&d, false);
    for (int i = 0; i < N; i++) {
        sum += d.weight[i];
        mean += d.weight[i] * d.y[i];
    }
    for (int task = 0; task < 3; task += 2) {
        qn_fit_input in = input_of(&d, (qn_task)task, true);
        qn_cleanup(qn_learner_free) qn_learner *m = fit("prior", &in);
        qn_learner_predict(m, &d.x, true, NULL, p);
        for (int i = 0; i < N; i++)
            assert_true(fabs(p[i] - mean / sum) < 1e-12);
    }
}

static void assert_rule(const qn_learner *m, const char *wanted) {
    qn_cleanup(qn_json_free) json_t *facts = m->family->describe(m);
    assert_string_equal(json_string_value(json_object_get(facts, "rule")), wanted);
}

static void the_stump_finds_the_split(void **state) {
    for (int by_category = 0; by_category < 2; by_category++) {
        qn_cleanup(data_done) data d = {0};
        double p[N], importance[2];
        data_init(&d, by_category);
        qn_fit_input in = input_of(&d, QN_TASK_BINARY, false);
        qn_cleanup(qn_learner_free) qn_learner *m = fit("stump", &in);
        qn_learner_predict(m, &d.x, true, NULL, p);
        for (int i = 0; i < N; i++)
            assert_true((p[i] > 0.5) == (d.y[i] == 1));
        assert_rule(m, by_category ? "city is a or c, or missing" : "size <= 0.6025, or missing");
        m->family->importance(m, importance);
        assert_true(importance[by_category] == 1 && importance[!by_category] == 0);
    }
}

static void without_a_split_it_is_the_prior(void **state) {
    qn_cleanup(data_done) data d = {0};
    double p[N];
    data_init(&d, false);
    for (int i = 0; i < N; i++) {
        d.num[i] = 1;
        d.code[i] = 0;
    }
    qn_fit_input in = input_of(&d, QN_TASK_BINARY, false);
    qn_cleanup(qn_learner_free) qn_learner *m = fit("stump", &in);
    qn_learner_predict(m, &d.x, true, NULL, p);
    assert_true(p[0] == p[N - 1] && p[0] > 0 && p[0] < 1);
    assert_rule(m, "no split helps");
}

static void survives_its_file(void **state) {
    static const char *const names[] = {"prior", "stump"};
    for (int which = 0; which < 4; which++) {
        qn_cleanup(data_done) data d = {0};
        qn_cleanup(qn_buf_done) qn_buf a = {0}, b = {0};
        qn_cleanup(qn_learner_free) qn_learner *back = NULL;
        double raw[N], again[N], contrib[N * 3];
        data_init(&d, which & 2);
        qn_fit_input in = input_of(&d, QN_TASK_BINARY, true);
        qn_cleanup(qn_learner_free) qn_learner *m = fit(names[which & 1], &in);
        assert_int_equal(m->family->save(m, &a, NULL), QN_OK);
        assert_int_equal(m->family->load(a.data, a.len, d.features, 2, &back, NULL), QN_OK);
        assert_int_equal(back->family->save(back, &b, NULL), QN_OK);
        assert_true(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
        qn_learner_predict(m, &d.x, false, NULL, raw);
        qn_learner_predict(back, &d.x, false, NULL, again);
        assert_memory_equal(raw, again, sizeof raw);
        assert_int_equal(m->family->explain(m, &d.x, 0, N, contrib, NULL), QN_OK);
        for (int i = 0; i < N; i++)
            assert_true(fabs(contrib[3 * i] + contrib[3 * i + 1] + contrib[3 * i + 2] - raw[i]) <
                        1e-12);
        qn_cleanup(qn_json_free) json_t *x = m->family->describe(m),
                                        *y = back->family->describe(back);
        assert_true(json_equal(x, y));
        for (size_t n = 0; n < a.len; n++) {
            qn_learner *cut = NULL;
            assert_int_equal(m->family->load(a.data, n, d.features, 2, &cut, NULL), QN_ERR_FORMAT);
        }
        /* Any changed byte is refused or harmless. */
        for (size_t n = 0; n < a.len; n++) {
            qn_cleanup(qn_learner_free) qn_learner *other = NULL;
            unsigned char *bytes = (unsigned char *)a.data;
            bytes[n] ^= 0xff;
            if (m->family->load(a.data, a.len, d.features, 2, &other, NULL) == QN_OK)
                qn_learner_predict(other, &d.x, true, NULL, again);
            bytes[n] ^= 0xff;
        }
    }
}

static void memory_failures(void **state) {
    static const char *const names[] = {"prior", "stump"};
    for (int which = 0; which < 4; which++) {
        qn_cleanup(data_done) data d = {0};
        const qn_family *family = NULL;
        data_init(&d, which & 2);
        qn_fit_input in = input_of(&d, QN_TASK_BINARY, true);
        assert_int_equal(qn_family_find(names[which & 1], &family, NULL), QN_OK);
        for (int i = 0;; i++) {
            qn_cleanup(qn_learner_free) qn_learner *m = NULL;
            qn_mem_fail_after(i);
            qn_status status = qn_learner_fit(family, NULL, &in, NULL, &m, NULL);
            qn_mem_fail_after(-1);
            if (status == QN_OK)
                break;
            assert_int_equal(status, QN_ERR_MEMORY);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_prior_is_the_share_or_the_mean),
        cmocka_unit_test(the_stump_finds_the_split),
        cmocka_unit_test(without_a_split_it_is_the_prior),
        cmocka_unit_test(survives_its_file),
        cmocka_unit_test(memory_failures),
    };
    return cmocka_run_group_tests_name("baseline", tests, NULL, NULL);
}
