/* The search of leaves: the kernels of gbdt_near.c, and children feature by feature. */
#include "gbdt_fit.h"

enum { CELLS = 300, ROWS = 1500 };

/* Rows of a leaf over some of n bins, and some that have none. */
static void make_leaf(qn_rng *rng, int32_t n, int64_t *cells, qn__near *near) {
    qn__sum sums[CELLS] = {{0}}, total = {0};
    int64_t rows = 2 + (int64_t)qn_rng_below(rng, ROWS), step = 1 + (int64_t)qn_rng_below(rng, 4);
    int64_t missing = qn_rng_below(rng, 2) ? rows / 5 : 0;
    for (int64_t i = 0; i < rows; i++) {
        int32_t bin = (int32_t)qn_rng_below(rng, (uint64_t)n) / (int32_t)step * (int32_t)step;
        int64_t slope = bin > n / 3 ? 700 : -300;
        qn__sum one = {.g = slope + (int64_t)qn_rng_below(rng, 4000) - 2000,
                       .h = (int64_t)qn_rng_below(rng, 2000), .n = 1};
        qn__sum_add(&total, one);
        if (i >= missing)
            qn__sum_add(&sums[bin], one);
    }
    for (int32_t t = 0; t < n; t++)
        cells[t] = qn__pack(sums[t]);
    *near = (qn__near){.cells = cells, .n_values = n, .total = total,
                       .l2 = qn_rng_below(rng, 2) ? 0 : 1e4 * qn_rng_uniform(rng),
                       .h_min = qn_rng_below(rng, 2) ? 1 : 300.5,
                       .n_min = 1 + (int64_t)qn_rng_below(rng, 40)};
}

static bool fits(const qn__near *near, qn__sum left) {
    qn__sum right = qn__sum_less(near->total, left);
    return left.n >= near->n_min && right.n >= near->n_min && (double)left.h >= near->h_min
           && (double)right.h >= near->h_min;
}

/* One bound after the other. */
static void find_slowly(const qn__near *near, qn__sum more, int32_t n_bounds, double *best,
                        qn__split *split) {
    qn__sum left = more;
    for (int32_t t = 0; t < n_bounds; t++) {
        qn__sum_add(&left, qn__unpack(near->cells[t]));
        if (!fits(near, left))
            continue;
        qn__sum right = qn__sum_less(near->total, left);
        double both = qn__worth_of_sides((double)left.g, (double)left.h, (double)right.g,
                                         (double)right.h, 0, near->l2);
        if (both > *best) {
            *best = both;
            split->bin = t;
            split->left = left;
        }
    }
}

static void bounds_are_those_of_one_after_the_other(void **state) {
    qn_rng rng;
    qn_rng_init(&rng, 21);
    int n_found = 0;
    for (int i = 0; i < 4000; i++) {
        int64_t cells[CELLS];
        double scratch[2 * (CELLS + 16)];
        int32_t n = 1 + (int32_t)qn_rng_below(&rng, CELLS);
        qn__near near;
        make_leaf(&rng, n, cells, &near);
        qn__near_begin(&near);
        for (int way = 0; way < 2 * QN__N_VECTORS; way++) {
            near.most = (qn__vectors)(way % QN__N_VECTORS);
            bool missing_left = way < QN__N_VECTORS;
            qn__sum more = missing_left ? near.missing : (qn__sum){0};
            qn__split want = {.bin = -1}, got = {.bin = -1};
            double want_worth = i % 3 == 0 ? 0 : 1e5 * qn_rng_uniform(&rng);
            double got_worth = want_worth;
            find_slowly(&near, more, n, &want_worth, &want);
            qn__near_find(&near, missing_left, n, scratch, &got_worth, &got);
            assert_true(got_worth == want_worth);
            assert_int_equal(got.bin, want.bin);
            if (want.bin < 0)
                continue;
            n_found++;
            assert_int_equal(got.left.g, want.left.g);
            assert_int_equal(got.left.h, want.left.h);
            assert_int_equal(got.left.n, want.left.n);
            assert_int_equal(got.missing_left, missing_left);
        }
    }
    assert_true(n_found > 9000 && n_found < 24000);
}

/* Sums at the ends of what cells hold. */
static void large_sums_are_exact(void **state) {
    const int64_t g = (1 << 24) - 1, h = (1 << 23) - 1;
    int64_t cells[4] = {qn__pack((qn__sum){g, h, 100}), qn__pack((qn__sum){-g, 0, 50}),
                        qn__pack((qn__sum){-g, h, 100}), qn__pack((qn__sum){0, 1, 2})};
    double scratch[2 * (4 + 16)];
    for (int most = 0; most < QN__N_VECTORS; most++) {
        qn__near near = {.cells = cells, .n_values = 4, .total = {-g, 2 * h + 1, 252}, .h_min = 1,
                         .n_min = 3, .most = (qn__vectors)most};
        qn__split split = {.bin = -1};
        double best = 0;
        qn__near_begin(&near);
        assert_int_equal(near.missing.n, 0);
        qn__near_find(&near, false, 3, scratch, &best, &split);
        assert_int_equal(split.bin, 0);
        assert_int_equal(split.left.g, g);
        assert_near(best, (double)g * g / h + 4.0 * g * g / (h + 1), 1e-6 * best);
    }
}

/* One side has nearly everything, and what is added to the other is no integer: it must not be what rounding
 * leaves of the difference. Each kernel, at both ends. */
static void little_beside_much_is_exact(void **state) {
    static const struct {
        double l2;
        qn__sum cells[3];
    } leaves[] = {{0.45, {{735, 8418058, 20000}, {3841, 28, 14}, {5406, 14, 7}}},
                  {0.46, {{212, 9716255, 20000}, {-6696, 6, 3}, {-8307, 2, 2}}},
                  {1e5 / 3, {{90, 11716255, 20000}, {-669, 1, 3}, {307, 2, 2}}}};
    for (size_t i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
        for (int way = 0; way < 2 * QN__N_VECTORS; way++) {
            int64_t cells[3];
            double scratch[2 * (3 + 16)], want_worth = 0, got_worth = 0;
            qn__near near = {.cells = cells, .n_values = 3, .l2 = leaves[i].l2, .h_min = 1,
                             .n_min = 1, .most = (qn__vectors)(way % QN__N_VECTORS)};
            for (int c = 0; c < 3; c++) {
                qn__sum cell = leaves[i].cells[way < QN__N_VECTORS ? c : 2 - c];
                cells[c] = qn__pack(cell);
                qn__sum_add(&near.total, cell);
            }
            qn__split want = {.bin = -1}, got = {.bin = -1};
            find_slowly(&near, (qn__sum){0}, 2, &want_worth, &want);
            qn__near_find(&near, false, 2, scratch, &got_worth, &got);
            assert_int_equal(got.bin, want.bin);
            assert_true(got_worth == want_worth);
        }
    }
}

/* One list of all columns constrains nothing, but has leaves searched one by one and as a whole. */
static void children_by_feature_are_those_of_whole_leaves(void **state) {
    const char *const options[] = {
        "{\"num_leaves\": 31}",
        "{\"num_leaves\": 700, \"min_data_in_leaf\": 3}",
        "{\"num_leaves\": 200, \"min_data_in_leaf\": 5, \"max_delta_step\": 0.5}",
        "{\"num_leaves\": 100, \"feature_fraction\": 0.6, \"enable_bundle\": false}",
        "{\"num_leaves\": 40, \"grow_policy\": \"depthwise\", \"max_bin\": 15}",
        "{\"num_leaves\": 40, \"forced_splits\": {\"feature\": \"b\", \"threshold\": 0.5}}",
    };
    const char *const all[2] = {
        "[[\"a\", \"b\", \"few\", \"kind\", \"many\"]]",
        "[[\"a\", \"b\", \"few\", \"kind\", \"many\", \"s1\", \"s2\", \"s3\", \"s4\"]]"};
    for (int sparse = 0; sparse < 2; sparse++) {
        toy d;
        toy_init(&d, 20000, 4);
        toy_named(&d);
        d.x.n_features = sparse ? TOY_FEATURES : 5;
        for (size_t o = 0; o < sizeof options / sizeof options[0]; o++) {
            qn_learner *model[3] = {0};
            for (int i = 0; i < 3; i++) { /* the last time with a pool of few histograms */
                qn_cleanup(qn_json_free) json_t *params = json(options[o]);
                json_object_set_new(params, "num_iterations", json_integer(3));
                if (i == 1)
                    json_object_set_new(params, "interaction_constraints", json(all[sparse]));
                qn_job job = {.n_threads = 1 + (i == 2), .memory_bytes = i == 2 ? 1 << 16 : 0};
                qn_fit_input in = regression(&d);
                model[i] = fit_params(params, &in, &job);
            }
            assert_same_bytes(model[0], model[1]);
            assert_same_bytes(model[0], model[2]);
            for (int i = 0; i < 3; i++)
                qn__gbdt_free(model[i]);
        }
        d.x.n_features = TOY_FEATURES;
        toy_done(&d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_are_those_of_one_after_the_other),
        cmocka_unit_test(large_sums_are_exact),
        cmocka_unit_test(little_beside_much_is_exact),
        cmocka_unit_test(children_by_feature_are_those_of_whole_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
