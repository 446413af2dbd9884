/* Leaves of 16 and 8 bits: the codes by the standards that define them, errors within their bounds, and that
 * such a model is one like any other to every kernel, to the file and to whoever damages it. */
#include "gbdt_data.h"

#include "learn/family_int.h"
#include "learn/gbdt_image_int.h"
#include "learn/gbdt_kernel_int.h"

enum { N_LEAVES = 8 };

/* A chain of splits on one number: leaf i for i - 1 < x <= i. */
static qn__plain chain(const double *value, const uint32_t *count, qn_leaf_form form) {
    qn__plain p = {.link = QN_LINK_IDENTITY, .n_outputs = 1, .n_features = 1, .n_trees = 1,
                   .objective = 1, .best_iteration = 1, .leaf_form = form, .n_slots = 1};
    p.base = qn_new_array(double, 1);
    p.start = qn_new_array(int64_t, 2);
    p.nodes = qn_new_array(qn__plain_node, 2 * N_LEAVES - 1);
    p.slot_column = qn_new_array(int32_t, 1);
    p.slot_gain = qn_new_array(double, 1);
    p.slot_bins = qn_new_array(uint64_t, 1);
    p.start[1] = 2 * N_LEAVES - 1;
    for (int i = 0; i < N_LEAVES; i++) {
        int at = i < N_LEAVES - 1 ? 2 * i + 1 : 2 * N_LEAVES - 2;
        p.nodes[at] = (qn__plain_node){.value = value[i], .count = count[i],
                                       .slot_flags = QN__NODE_LEAF};
        if (i < N_LEAVES - 1)
            p.nodes[2 * i] = (qn__plain_node){.threshold = i, .left = (uint32_t)(2 * i + 1)};
    }
    return p;
}

static const qn_feature one_number = {.kind = QN_FEATURE_NUMERIC};

static qn_learner *packed(const double *value, const uint32_t *count, qn_leaf_form form) {
    qn_cleanup(qn__plain_done) qn__plain p = chain(value, count, form);
    qn_learner *learner = NULL;
    qn_error err = {0};
    if (qn__gbdt_pack(&p, &one_number, &learner, &err) != QN_OK)
        fail_msg("%s", err.message);
    return learner;
}

/* Which leaf of the packed order a value comes to. */
static int64_t leaf_of(const qn__gbdt *m, double x) {
    qn__gbdt_node node = qn__gbdt_node_at(m, 0, 0);
    while (!node.is_leaf)
        node = qn__gbdt_node_at(m, 0, node.to + qn__gbdt_node_goes_right(m, &node, x));
    return node.to;
}

static const uint32_t counts[N_LEAVES] = {1, 2047, 2048, 4097, 100003, 7, 3000000000u, UINT32_MAX};

static void halves_are_binary16(void **state) {
    /* IEEE 754: 0.1 is 2E66, 1/3 is 3555, the least subnormal 0001, the largest below 1 is 3BFF. */
    static const double value[N_LEAVES] = {0.1, 1.0 / 3, -0.5, 0x1p-24, 0, 0.99951171875, -0x1p-15,
                                           1023.6 * 0x1p-24};
    static const uint16_t half[N_LEAVES] = {0x2e66, 0x3555, 0xb800, 0x0001, 0x0000, 0x3bff, 0x8200,
                                            0x0400};
    qn_learner *learner = packed(value, counts, QN_LEAF_FLOAT16);
    const qn__gbdt *m = (const qn__gbdt *)learner;
    assert_true(m->leaf_range[1] == 1);
    for (int i = 0; i < N_LEAVES; i++)
        assert_int_equal(((const uint16_t *)m->leaf_codes)[leaf_of(m, i)], half[i]);
    qn__gbdt_free(learner);
}

static void counts_keep_eleven_bits(void **state) {
    static const double value[N_LEAVES] = {1, 2, 3, 4, 5, 6, 7, 8};
    qn_learner *learner = packed(value, counts, QN_LEAF_UINT8);
    const qn__gbdt *m = (const qn__gbdt *)learner;
    for (int i = 0; i < N_LEAVES; i++) {
        double got = m->count[leaf_of(m, i)], want = counts[i];
        assert_true(fabs(got - want) <= want * 0x1p-12 + (i == N_LEAVES - 1 ? want * 0x1p-12 : 0));
        if (counts[i] <= 4096)
            assert_true(got == want);
    }
    qn__gbdt_free(learner);
}

static void errors_are_small_and_cancel(void **state) {
    qn_rng rng;
    qn_rng_init(&rng, 4);
    for (int trial = 0; trial < 200; trial++) {
        double value[N_LEAVES], low = INFINITY, high = -INFINITY, most = 0;
        uint32_t count[N_LEAVES];
        double unit = pow(10, (double)qn_rng_below(&rng, 60) - 30);
        for (int i = 0; i < N_LEAVES; i++) {
            value[i] = unit * (qn_rng_normal(&rng) + 3 * (trial % 2));
            count[i] = 1 + (uint32_t)qn_rng_below(&rng, 2000);
            low = fmin(low, value[i]);
            high = fmax(high, value[i]);
            most = fmax(most, fabs(value[i]));
        }
        for (qn_leaf_form form = QN_LEAF_FLOAT16; form <= QN_LEAF_UINT8; form++) {
            qn_learner *learner = packed(value, count, form);
            const qn__gbdt *m = (const qn__gbdt *)learner;
            double error = 0, rows = 0;
            for (int i = 0; i < N_LEAVES; i++) {
                double e = m->value[leaf_of(m, i)] - value[i];
                /* half a step, and as much again for the mean; floats hold low and step */
                double bound = form == QN_LEAF_UINT8 ? (high - low) / 255 : most * 0x1p-10;
                assert_true(fabs(e) <= bound + most * 0x1p-22);
                error += e * count[i];
                rows += count[i];
            }
            assert_true(fabs(error / rows) <= most * 0x1p-22);
            qn__gbdt_free(learner);
        }
    }
}

static void too_large_is_told(void **state) {
    static const double value[N_LEAVES] = {1e300, -1e300, 0, 0, 0, 0, 0, 1};
    qn_cleanup(qn__plain_done) qn__plain p = chain(value, counts, QN_LEAF_UINT8);
    qn_learner *learner = NULL;
    qn_error err = {0};
    assert_int_equal(qn__gbdt_pack(&p, &one_number, &learner, &err), QN_ERR_LIMIT);
    p.leaf_form = QN_LEAF_FLOAT16;
    assert_int_equal(qn__gbdt_pack(&p, &one_number, &learner, &err), QN_ERR_LIMIT);
    assert_null(learner);
    assert_string_equal(err.message, "the leaves of tree 0 are too large for float16");
}

static qn_learner *smaller(const toy *d, qn_task task, qn_leaf_form form) {
    qn_gbdt_params params;
    qn_cleanup(qn_learner_free) qn_learner *grown = NULL;
    qn_cleanup(qn_pruner_free) qn_pruner *pruner = NULL;
    qn_learner *learner = NULL;
    qn_error err = {0};
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &params);
    params.num_iterations = 20;
    qn_fit_input in = {.train = {.x = &d->x, .y = task == QN_TASK_BINARY ? d->y : d->klass},
                       .task = task, .seed = 7, .n_classes = task == QN_TASK_BINARY ? 2 : 3};
    if (qn__family_gbdt.fit(&params, &in, NULL, &grown, &err) != QN_OK
        || qn_pruner_new(grown, d->features, NULL, NULL, &pruner, &err) != QN_OK
        || qn_pruner_learner(pruner, form, &learner, &err) != QN_OK)
        fail_msg("%s", err.message);
    return learner;
}

/* The same bits from all kernels, from the file, and after saving again. */
static void models_are_like_any_other(void **state) {
    enum { N = 300 };
    toy d;
    toy_init(&d, N, 11);
    for (qn_task task = QN_TASK_BINARY; task <= QN_TASK_MULTICLASS; task++) {
        for (qn_leaf_form form = QN_LEAF_FLOAT16; form <= QN_LEAF_UINT8; form++) {
            qn_cleanup(qn_learner_free) qn_learner *learner = smaller(&d, task, form);
            qn_cleanup(qn_learner_free) qn_learner *plain = smaller(&d, task, QN_LEAF_FLOAT64);
            qn_cleanup(qn_learner_free) qn_learner *again = NULL;
            qn_cleanup(qn_buf_done) qn_buf bytes = {0};
            qn_cleanup(qn_buf_done) qn_buf second = {0};
            const qn__gbdt *m = (const qn__gbdt *)learner;
            double want[N * TOY_CLASSES], got[N * TOY_CLASSES], apart = 0;
            int32_t n_k = learner->n_outputs;
            size_t size = (size_t)(N * n_k) * sizeof *got;
            for (int i = 0; i < N * n_k; i++)
                want[i] = m->base[i % n_k];
            qn__gbdt_add_trees_ref(m, &d.x, 0, N, want);
            for (const qn__gbdt_kernel *const *k = qn__gbdt_kernels; *k; k++) {
                if (!(*k)->runs_here())
                    continue;
                qn__gbdt_predict_by(*k, m, &d.x, 0, N, got);
                assert_memory_equal(got, want, size);
            }
            assert_int_equal(qn__family_gbdt.save(learner, &bytes, NULL), QN_OK);
            assert_int_equal(qn__family_gbdt.load(bytes.data, bytes.len, d.features, TOY_FEATURES,
                                                  &again, NULL), QN_OK);
            qn__family_gbdt.predict(again, &d.x, 0, N, got);
            assert_memory_equal(got, want, size);
            assert_int_equal(qn__family_gbdt.save(again, &second, NULL), QN_OK);
            assert_int_equal(bytes.len, second.len);
            assert_memory_equal(bytes.data, second.data, bytes.len);
            qn__family_gbdt.predict(plain, &d.x, 0, N, got);
            for (int i = 0; i < N * n_k; i++)
                apart = fmax(apart, fabs(got[i] - want[i]));
            assert_true(apart > 0 && apart < (form == QN_LEAF_UINT8 ? 0.02 : 0.002));
            assert_true(bytes.len < ((const qn__gbdt *)plain)->image_bytes);
        }
    }
    toy_done(&d);
}

static void damage_is_found(void **state) {
    toy d;
    toy_init(&d, 300, 11);
    qn_cleanup(qn_learner_free) qn_learner *learner = smaller(&d, QN_TASK_BINARY, QN_LEAF_FLOAT16);
    const qn__gbdt *m = (const qn__gbdt *)learner;
    const unsigned char *image = m->image;
    struct {
        size_t at;
        uint16_t value;
    } cases[] = {
        {0, 2},                                                        /* version without codes */
        {72, 3}, {72, 0},                                              /* no such form */
        {(size_t)((const unsigned char *)m->leaf_codes - image), 0x7c00}, /* infinity */
        {(size_t)((const unsigned char *)m->leaf_codes - image) + 2, 0xfe00}, /* NaN */
        {(size_t)((const unsigned char *)m->count_codes - image), 0},  /* no rows */
        {(size_t)((const unsigned char *)m->count_codes - image), 0xffff}, /* too many */
        {(size_t)((const unsigned char *)m->leaf_range - image) + 6, 0x7f80}, /* step infinite */
        {m->image_bytes - 2, 1},                                       /* behind the counts */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qn_cleanup(qn_buf_done) qn_buf bytes = {0};
        qn_learner *loaded = NULL;
        qn_error err = {0};
        qn_buf_put(&bytes, image, m->image_bytes);
        memcpy((char *)bytes.data + cases[i].at, &cases[i].value, 2);
        assert_int_equal(qn__family_gbdt.load(bytes.data, bytes.len, d.features, TOY_FEATURES,
                                              &loaded, &err), QN_ERR_FORMAT);
        assert_null(loaded);
    }
    toy_done(&d);
}

static void no_memory_is_told(void **state) {
    toy d;
    toy_init(&d, 300, 11);
    qn_cleanup(qn_learner_free) qn_learner *learner = smaller(&d, QN_TASK_BINARY, QN_LEAF_UINT8);
    const qn__gbdt *m = (const qn__gbdt *)learner;
    static const double value[N_LEAVES] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (int which = 0; which < 2; which++) {
        qn_status status = QN_ERR_MEMORY;
        for (int64_t i = 0; status != QN_OK; i++) {
            qn_cleanup(qn__plain_done) qn__plain p = chain(value, counts, QN_LEAF_FLOAT16);
            qn_cleanup(qn_learner_free) qn_learner *made = NULL;
            qn_mem_fail_after(i);
            status = which ? qn__gbdt_pack(&p, &one_number, &made, NULL)
                           : qn__family_gbdt.load(m->image, m->image_bytes, d.features,
                                                  TOY_FEATURES, &made, NULL);
            qn_mem_fail_after(-1);
            assert_true(status == QN_OK || status == QN_ERR_MEMORY);
        }
    }
    toy_done(&d);
}

static void names_go_both_ways(void **state) {
    qn_leaf_form form;
    for (int i = 0; i < QN_LEAF_FORMS; i++) {
        assert_true(qn_leaf_form_find(qn_leaf_form_name((qn_leaf_form)i), &form));
        assert_int_equal(form, i);
    }
    assert_false(qn_leaf_form_find("int4", &form));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_are_binary16),       cmocka_unit_test(counts_keep_eleven_bits),
        cmocka_unit_test(errors_are_small_and_cancel), cmocka_unit_test(too_large_is_told),
        cmocka_unit_test(models_are_like_any_other), cmocka_unit_test(damage_is_found),
        cmocka_unit_test(no_memory_is_told),         cmocka_unit_test(names_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
