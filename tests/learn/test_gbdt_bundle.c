/* Features that share a lane of the binned rows (gbdt_bundle.c): their bins, histograms and divisions are
 * those of features alone, and so are the models, to the byte. */
#include "gbdt_fit.h"

/* A matrix of numbers, unless a column gets codes. */
typedef struct table {
    qn_feature *features;
    qn_matrix_column *columns;
    qn_matrix x;
    double *y;
} table;

static void table_init(table *t, int64_t n, int32_t n_features) {
    t->features = qn_new_array(qn_feature, n_features);
    t->columns = qn_new_array(qn_matrix_column, n_features);
    t->y = qn_new_array(double, n);
    for (int32_t j = 0; j < n_features; j++) {
        t->features[j].kind = QN_FEATURE_NUMERIC;
        t->columns[j].num = qn_new_array(double, n);
    }
    t->x = (qn_matrix){.n_rows = n, .n_features = n_features, .features = t->features,
                       .columns = t->columns};
}

static void table_done(table *t) {
    for (int32_t j = 0; j < t->x.n_features; j++) {
        qn_freep(&t->columns[j].num);
        qn_freep(&t->columns[j].code);
    }
    qn_freep(&t->features);
    qn_freep(&t->columns);
    qn_freep(&t->y);
}

/* A one-hot group: column `first` + level is 1. */
static void set_level(table *t, int64_t row, int32_t first, int32_t n_levels, int32_t level) {
    for (int32_t j = 0; j < n_levels; j++)
        t->columns[first + j].num[row] = j == level;
}

/* All kinds of columns at once. */
enum {
    LEVELS = 40, BINARY = LEVELS, N_BINARY = 12, PAIR = BINARY + N_BINARY, PLAIN = PAIR + 2,
    FEW, DOZEN, MANY, CATEGORY, FEATURES
};

static void mixed_init(table *t, int64_t n, uint64_t seed) {
    qn_rng rng;
    qn_rng_init(&rng, seed);
    table_init(t, n, FEATURES);
    t->features[CATEGORY] = (qn_feature){.kind = QN_FEATURE_CATEGORY, .n_categories = 5};
    t->columns[CATEGORY].code = qn_new_array(int32_t, n);
    for (int64_t i = 0; i < n; i++) {
        double u = qn_rng_uniform(&rng), s = qn_rng_normal(&rng);
        int32_t level = (int32_t)(u * u * (LEVELS + 1)), code = (int32_t)qn_rng_below(&rng, 6) - 1;
        set_level(t, i, 0, LEVELS, level);
        s += sin(level) + (code == 2);
        if (qn_rng_uniform(&rng) < 0.01)
            t->columns[qn_rng_below(&rng, LEVELS)].num[i] = NAN;
        if (qn_rng_uniform(&rng) < 0.002) /* nearly exclusive */
            t->columns[qn_rng_below(&rng, LEVELS)].num[i] = 1;
        for (int32_t j = 0; j < N_BINARY; j++) {
            bool set = qn_rng_uniform(&rng) < 0.04 * (j + 1);
            t->columns[BINARY + j].num[i] = set;
            s += set * cos(j);
        }
        int32_t one = (int32_t)qn_rng_below(&rng, 2);
        t->columns[PAIR + one].num[i] = 1 + (double)qn_rng_below(&rng, 99);
        t->columns[PLAIN].num[i] = qn_rng_uniform(&rng) < 0.1 ? NAN : qn_rng_normal(&rng);
        t->columns[FEW].num[i] = (double)qn_rng_below(&rng, 20);
        t->columns[DOZEN].num[i] = (double)qn_rng_below(&rng, 12);
        t->columns[MANY].num[i] = qn_rng_uniform(&rng);
        t->columns[CATEGORY].code[i] = code;
        s += t->columns[PAIR].num[i] / 60 + t->columns[DOZEN].num[i] / 12;
        t->y[i] = s + 0.3 * qn_rng_normal(&rng);
    }
}

/* Every bin is found again, by rows and by columns; the second time without what the search for lanes
 * knew of the rows. */
static void assert_bins_found(qn__bin_map *map, const table *t) {
    qn_job job = {.n_threads = 3};
    qn__bins bins = {0}, again = {0};
    assert_int_equal(qn__bins_fill(map, &t->x, QN__COLUMNS, &job, &bins, NULL), QN_OK);
    assert_int_equal(qn__bins_fill(map, &t->x, QN__COLUMNS, &job, &again, NULL), QN_OK);
    assert_memory_equal(bins.columns, again.columns, (size_t)(map->row_bytes * t->x.n_rows));
    qn__bins_done(&again);
    for (int32_t k = 0; k < map->n_features; k++) {
        const qn__bin_feature *f = &map->features[k];
        const qn__lane *lane = &map->lanes[f->lane];
        for (int64_t i = 0; i < t->x.n_rows; i++) {
            int32_t want;
            qn__feature_bins(f, &t->x, i, 1, &want);
            assert_int_equal(qn__bins_at(map, &bins, f, i), want);
            if (f->lane < map->n_narrow)
                assert_int_equal(bins.columns[lane->at * bins.n_rows + i],
                                 bins.rows[i * bins.stride + lane->at]);
        }
    }
    qn__bins_done(&bins);
}

static int32_t lanes_of(const table *t, const qn_gbdt_params *p) {
    qn__bin_map map = {0};
    assert_int_equal(fit_map(p, &t->x, &map), QN_OK);
    assert_bins_found(&map, t);
    int32_t n = map.n_lanes;
    qn__bin_map_done(&map);
    return n;
}

/* Of 400 columns, 255 and none of them make the 256 values of a lane. */
static void one_hot_groups_share_lanes(void **state) {
    enum { N = 30000 };
    static const int32_t levels[] = {40, 255, 256, 400}, lanes[] = {1, 1, 2, 2};
    qn_gbdt_params p = gbdt_defaults();
    for (int k = 0; k < 4; k++) {
        table t;
        table_init(&t, N, levels[k]);
        for (int64_t i = 0; i < N; i++)
            set_level(&t, i, 0, levels[k],
                      (int32_t)(qn_rng_hash(1, (uint64_t)i) % (uint64_t)(levels[k] + 1)));
        p.enable_bundle = true;
        assert_int_equal(lanes_of(&t, &p), lanes[k]);
        p.enable_bundle = false;
        assert_int_equal(lanes_of(&t, &p), levels[k]);
        table_done(&t);
    }
}

/* Three groups of 60 whose columns take turns: the sample tells them apart, but for a few. */
static void groups_may_be_interleaved(void **state) {
    enum { N = 20000, GROUPS = 3, EACH = 60 };
    table t;
    table_init(&t, N, GROUPS * EACH);
    for (int64_t i = 0; i < N; i++)
        for (int g = 0; g < GROUPS; g++) {
            int level = (int)(qn_rng_hash((uint64_t)g, (uint64_t)i) % EACH);
            for (int j = 0; j < EACH; j++)
                t.columns[j * GROUPS + g].num[i] = j == level;
        }
    qn_gbdt_params p = gbdt_defaults();
    assert_in_range(lanes_of(&t, &p), GROUPS, GROUPS + 2);
    table_done(&t);
}

/* Two columns of 100 values, one of them 0 in each row: 199 tuples. Where both are free there are
 * 10,000. Eight free binary ones make 256. */
static void few_tuples_make_company(void **state) {
    enum { N = 20000 };
    qn_gbdt_params p = gbdt_defaults();
    for (int exclusive = 0; exclusive < 2; exclusive++) {
        table t;
        table_init(&t, N, 2);
        for (int64_t i = 0; i < N; i++)
            for (int j = 0; j < 2; j++)
                if (!exclusive || i % 2 == j)
                    t.columns[j].num[i] =
                        (double)(qn_rng_hash((uint64_t)j, (uint64_t)i) / 7 % 100);
        assert_int_equal(lanes_of(&t, &p), exclusive ? 1 : 2);
        table_done(&t);
    }
    table t;
    table_init(&t, N, 8);
    for (int64_t i = 0; i < N; i++)
        for (int j = 0; j < 8; j++)
            t.columns[j].num[i] = (double)(qn_rng_hash((uint64_t)j, (uint64_t)i) % 2);
    assert_int_equal(lanes_of(&t, &p), 1);
    table_done(&t);
}

/* Only rows that the sample leaves out have anything but 0: 20 free binary columns seem to fit a lane.
 * It keeps eight of them, and the others look again. */
static void what_the_sample_did_not_see_is_split_up(void **state) {
    enum { N = 1 << 15, F = 20 };
    table t;
    table_init(&t, N, F);
    for (int64_t i = 0; i < N; i++)
        for (int j = 0; j < F; j++)
            t.columns[j].num[i] = i % 128 >= 32 && qn_rng_hash((uint64_t)j, (uint64_t)i) % 2;
    qn_gbdt_params p = gbdt_defaults();
    assert_int_equal(lanes_of(&t, &p), 3);
    table_done(&t);
}

/* Rows to be binned later may have tuples that training has not. */
static void later_rows_are_held_too(void **state) {
    enum { N = 3000, F = 30 };
    table t[2];
    qn_gbdt_params p = gbdt_defaults();
    for (int k = 0; k < 2; k++) {
        table_init(&t[k], N, F);
        for (int64_t i = 0; i < N; i++) {
            set_level(&t[k], i, 0, F, (int32_t)(qn_rng_hash(3, (uint64_t)i) % F));
            for (int j = 0; j < F && k; j++) /* any two together, or missing */
                if (qn_rng_hash((uint64_t)j + 9, (uint64_t)i) % 50 == 0)
                    t[k].columns[j].num[i] = i % 2 ? NAN : 1;
        }
    }
    qn__bin_map map = {0};
    qn__bins bins = {0};
    qn_error err = {0};
    assert_int_equal(fit_map(&p, &t[0].x, &map), QN_OK);
    assert_int_equal(map.n_lanes, 1);
    assert_int_equal(qn__bins_fill(&map, &t[1].x, QN__NO_COLUMNS, NULL, &bins, &err), QN_ERR_USAGE);
    assert_non_null(strstr(err.message, "not made for"));
    qn__bin_map_done(&map);
    qn__map_rows both = {.x = &t[0].x, .more = &t[1].x};
    assert_int_equal(qn__bin_map_fit(&p, &both, 1, &map, NULL), QN_OK);
    assert_in_range(map.n_lanes, 2, F / 4);
    assert_bins_found(&map, &t[0]);
    assert_bins_found(&map, &t[1]);
    qn__bin_map_done(&map);
    table_done(&t[0]);
    table_done(&t[1]);
}

/* Any number of threads gives the same numbers, with rows for which lanes are split up, too. */
static void maps_do_not_depend_on_threads(void **state) {
    enum { N = 1 << 15 };
    static const int threads[] = {1, 2, 3, 8};
    qn_gbdt_params p = gbdt_defaults();
    for (int hidden = 0; hidden < 2; hidden++) {
        table t, more;
        mixed_init(&t, N, 31);
        mixed_init(&more, N / 4, 32);
        for (int64_t i = 0; i < N && hidden; i++) /* only where the sample does not look */
            for (int j = 0; j < LEVELS + N_BINARY; j++)
                t.columns[j].num[i] = i % 128 >= 32 && qn_rng_hash((uint64_t)j, (uint64_t)i) % 2;
        uint8_t *first = NULL;
        int32_t n_lanes = 0;
        for (int k = 0; k < 4; k++) {
            qn_job job = {.n_threads = threads[k]};
            qn__map_rows rows = {.x = &t.x, .more = &more.x, .job = &job};
            qn__bin_map map = {0};
            qn__bins bins = {0};
            assert_int_equal(qn__bin_map_fit(&p, &rows, 1, &map, NULL), QN_OK);
            assert_int_equal(qn__bins_fill(&map, &t.x, QN__COLUMNS, &job, &bins, NULL), QN_OK);
            if (k == 0) {
                n_lanes = map.n_lanes;
                first = bins.columns;
                bins.columns = NULL;
            } else {
                assert_int_equal(map.n_lanes, n_lanes);
                assert_memory_equal(bins.columns, first, (size_t)map.row_bytes * N);
            }
            qn__bins_done(&bins);
            qn__bin_map_done(&map);
        }
        qn_freep(&first);
        table_done(&t);
        table_done(&more);
    }
}

/* Packed and wide cells, rows of a leaf and all, one thread and several. */
static void shared_lanes_count_as_the_reference(void **state) {
    enum { N = 6000 };
    table t;
    mixed_init(&t, N, 3);
    qn_gbdt_params p = gbdt_defaults();
    p.max_bin = 1000;
    qn__bin_map map = {0};
    qn__bins bins = {0};
    assert_int_equal(fit_map(&p, &t.x, &map), QN_OK);
    assert_int_equal(map.n_lanes - map.n_narrow, 2); /* PLAIN and MANY */
    assert_in_range(map.n_narrow, 4, 7);
    assert_int_equal(qn__bins_fill(&map, &t.x, QN__COLUMNS, NULL, &bins, NULL), QN_OK);
    uint32_t *rows = qn_new_array(uint32_t, N);
    int32_t *gh = qn_new_array(int32_t, N);
    qn__sum *want = qn_new_array(qn__sum, map.n_cells);
    for (int variant = 0; variant < 4; variant++) {
        bool wide = variant % 2, all = variant / 2;
        qn__hist_input in = {.map = &map, .bins = &bins, .rows = all ? NULL : rows,
                             .gh = qn__gradients_in(gh)};
        for (int64_t i = 0; i < N; i++) {
            gh[i] = (int32_t)((uint32_t)(i * 37 % 401 - 200) << 16 | (uint32_t)(i * 53 % 90));
            if (!all && qn_rng_hash(4, (uint64_t)i) % 3 == 0)
                continue;
            rows[in.n++] = (uint32_t)i;
            qn__sum_add(&in.total, qn__row_sum(gh[i]));
        }
        qn__hist_build_ref(&in, want);
        for (int threads = 1; threads <= 5; threads += 2) {
            qn__hist_scratch scratch = {0};
            assert_int_equal(qn__hist_scratch_init(&scratch, &map, true, threads, NULL), QN_OK);
            qn__hist hist = {.wide = wide};
            hist.sums = qn_malloc_aligned((size_t)map.n_cells, sizeof *hist.sums);
            for (int thread = -1; thread < 1; thread++) { /* twice: the scratch must be left clean */
                qn__hist_build(&in, &scratch, thread, &hist);
                for (int64_t c = 0; c < map.n_cells; c++) {
                    qn__sum got = qn__hist_at(&hist, c);
                    assert_memory_equal(&got, &want[c], sizeof got);
                }
            }
            qn_freep(&hist.sums);
            qn__hist_scratch_done(&scratch);
        }
    }
    qn_freep(&rows);
    qn_freep(&gh);
    qn_freep(&want);
    qn__bins_done(&bins);
    qn__bin_map_done(&map);
    table_done(&t);
}

/* Validation rows with tuples of their own, bags, trees of some features, any way of growing. */
static void models_are_the_same_without(void **state) {
    enum { N = 5000, VALID = 1500 };
    table t, valid;
    mixed_init(&t, N, 11);
    mixed_init(&valid, VALID, 12);
    for (int64_t i = 0; i < VALID; i += 3)
        valid.columns[i % LEVELS].num[i] = valid.columns[(i + 7) % LEVELS].num[i] = 1;
    const struct {
        qn_task task;
        const char *grow;
        double features;
        int64_t max_bin, early;
        bool dart;
    } variants[] = {{QN_TASK_REGRESSION, "leafwise", 1, 255, 0, false},
                    {QN_TASK_REGRESSION, "leafwise", 0.5, 1000, 5, false},
                    {QN_TASK_BINARY, "depthwise", 1, 40, 5, true},
                    {QN_TASK_MULTICLASS, "symmetric", 0.7, 255, 0, false}};
    double *y[2] = {qn_new_array(double, N), qn_new_array(double, VALID)};
    for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++) {
        qn_gbdt_params p = gbdt_defaults();
        p.num_iterations = 8;
        p.num_leaves = 15;
        p.grow_policy = variants[v].grow;
        p.max_depth = 4;
        p.feature_fraction = variants[v].features;
        p.max_bin = variants[v].max_bin;
        p.early_stopping_round = variants[v].early;
        p.boosting = variants[v].dart ? "dart" : "gbdt";
        p.bagging_freq = v % 2;
        p.bagging_fraction = 0.7;
        qn_task task = variants[v].task;
        for (int k = 0; k < 2; k++)
            for (int64_t i = 0; i < (k ? VALID : N); i++) {
                double s = (k ? valid.y : t.y)[i];
                y[k][i] = task == QN_TASK_BINARY ? s > 1 : task == QN_TASK_MULTICLASS
                              ? (s > 0.5) + (s > 2) : s;
            }
        qn_fit_input in = {.train = {.x = &t.x, .y = y[0]}, .task = task, .seed = 5,
                           .n_classes = task == QN_TASK_MULTICLASS ? 3 : 2};
        if (p.early_stopping_round)
            in.valid = (qn_fit_data){.x = &valid.x, .y = y[1]};
        p.enable_bundle = false;
        qn_learner *alone = fit(&p, &in, NULL);
        p.enable_bundle = true;
        qn_learner *shared = fit(&p, &in, NULL);
        assert_same_bytes(alone, shared);
        assert_threads_agree(&p, &in, 300000);
        qn__gbdt_free(alone);
        qn__gbdt_free(shared);
    }
    qn_freep(&y[0]);
    qn_freep(&y[1]);
    table_done(&t);
    table_done(&valid);
}

static void memory_may_run_out(void **state) {
    table t;
    mixed_init(&t, 2100, 21);
    qn_gbdt_params p = gbdt_defaults();
    qn_status status;
    for (int64_t n = 0; n < 4000; n++) {
        qn__bin_map map = {0};
        qn_mem_fail_after(n);
        status = fit_map(&p, &t.x, &map);
        qn_mem_fail_after(-1);
        qn__bin_map_done(&map);
        if (status == QN_OK)
            break;
        assert_int_equal(status, QN_ERR_MEMORY);
    }
    assert_int_equal(status, QN_OK);
    table_done(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_hot_groups_share_lanes),
        cmocka_unit_test(groups_may_be_interleaved),
        cmocka_unit_test(few_tuples_make_company),
        cmocka_unit_test(what_the_sample_did_not_see_is_split_up),
        cmocka_unit_test(later_rows_are_held_too),
        cmocka_unit_test(maps_do_not_depend_on_threads),
        cmocka_unit_test(shared_lanes_count_as_the_reference),
        cmocka_unit_test(models_are_the_same_without),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
