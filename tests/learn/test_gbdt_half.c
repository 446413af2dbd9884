/* Many rows of gradients that are much alike: few bits, and half cells for lanes that are even. */
#include "gbdt_fit.h"

enum { ROWS = 70000, COLUMNS = 13, ALIKE = 4 };

/* COLUMNS columns of numbers: the first ALIKE nearly the same, the last one mostly 0. */
typedef struct rows {
    double *values, *y;
    qn_feature features[COLUMNS];
    qn_matrix_column columns[COLUMNS];
    qn_matrix x;
} rows;

static double draw(uint64_t i, uint64_t j) {
    return qn_rng_hash_uniform(j, i);
}

static void rows_init(rows *d) {
    *d = (rows){.values = qn_new_array(double, (size_t)ROWS * COLUMNS),
                .y = qn_new_array(double, ROWS)};
    for (int j = 0; j < COLUMNS; j++) {
        double *column = d->values + (size_t)j * ROWS;
        for (int i = 0; i < ROWS; i++) {
            column[i] = draw((uint64_t)i, j < ALIKE ? 0 : (uint64_t)j);
            column[i] += j < ALIKE ? 1e-3 * draw((uint64_t)i, 100 + (uint64_t)j) : 0;
            if (j == COLUMNS - 1 && i % 3)
                column[i] = 0;
        }
        d->features[j].kind = QN_FEATURE_NUMERIC;
        d->columns[j].num = column;
    }
    for (int i = 0; i < ROWS; i++)
        d->y[i] = draw((uint64_t)i, 200) < 0.2 + 0.5 * d->values[i] * d->values[ROWS * 7 + i];
    d->x = (qn_matrix){.n_rows = ROWS, .n_features = COLUMNS, .features = d->features,
                       .columns = d->columns};
}

static void rows_done(rows *d) {
    qn_freep(&d->values);
    qn_freep(&d->y);
}

/* By g = y - 0.3 and h = 0.25. */
static void quantise(const rows *d, qn__quantised *q) {
    float *g = qn_new_array(float, ROWS), *h = qn_new_array(float, ROWS);
    for (int i = 0; i < ROWS; i++) {
        g[i] = (float)(d->y[i] - 0.3);
        h[i] = 0.25f;
    }
    qn__range range = {0};
    qn__range_add(&range, g, h, ROWS);
    *q = (qn__quantised){.gh = qn__gradients_in(qn_malloc_aligned(ROWS, sizeof(int32_t)))};
    qn__quantise(g, h, ROWS, range, 9, 2, q);
    qn_freep(&g);
    qn_freep(&h);
}

static void even_lanes_come_first(void **state) {
    rows d;
    rows_init(&d);
    qn_gbdt_params p = gbdt_defaults();
    qn__bin_map map = {0};
    assert_int_equal(fit_map(&p, &d.x, &map), QN_OK);
    assert_int_equal(map.n_half, COLUMNS - 1);
    assert_int_equal(map.n_groups, 2);
    assert_true(map.groups[0].is_half && !map.groups[1].is_half);
    assert_int_equal(map.groups[0].n + map.groups[1].n, COLUMNS);
    for (int32_t i = 0; i < COLUMNS; i++)
        assert_int_equal(map.features[i].is_even, i < COLUMNS - 1);
    qn__bin_map_done(&map);
    rows_done(&d);
}

/* The sums of half cells are those of one row after the other: in leaves of all rows, of so few that
 * half cells are not worth it, and of rows that are alike in some of the lanes, or in many. */
static void half_cells_equal_the_reference(void **state) {
    rows d;
    rows_init(&d);
    qn_gbdt_params p = gbdt_defaults();
    qn__bin_map map = {0};
    qn__bins bins = {0};
    qn__quantised q;
    assert_int_equal(fit_map(&p, &d.x, &map), QN_OK);
    assert_int_equal(qn__bins_fill(&map, &d.x, QN__COLUMNS, NULL, &bins, NULL), QN_OK);
    quantise(&d, &q);
    assert_true(q.is_small);
    qn__sum *want = qn_new_array(qn__sum, map.n_cells);
    uint32_t *list = qn_new_array(uint32_t, ROWS);
    int32_t *gh = qn_new_array(int32_t, ROWS);
    qn__gradients strided = {.at = qn_malloc_aligned(ROWS, 12), .stride = 12};
    for (uint32_t i = 0; i < ROWS; i++)
        memcpy(strided.at + i * strided.stride, q.gh.at + i * q.gh.stride, sizeof(int32_t));
    for (int variant = 0; variant < 6; variant++) {
        qn__hist_input in = {.map = &map, .bins = &bins, .rows = variant ? list : NULL, .gh = q.gh,
                             .is_small = true};
        for (uint32_t i = 0; i < ROWS; i++) {
            double alike = d.values[i], other = d.values[(size_t)ROWS * 7 + i];
            bool takes = variant == 0 || (variant == 1 && i % 3 == 0) || (variant == 2 && i < 500)
                         || (variant == 3 && other < 0.05) || (variant == 4 && alike < 0.05)
                         || (variant == 5 && (i > 60000 || i == 7));
            if (!takes)
                continue;
            list[in.n] = i;
            gh[in.n] = qn__gradient_of(q.gh, i);
            qn__sum_add(&in.total, qn__row_sum(gh[in.n++]));
        }
        qn__hist_build_ref(&in, want);
        bool packed = qn__load_fits(qn__load_of(gh, in.n));
        assert_int_equal(packed, variant > 0);
        qn__hist_scratch scratch = {0};
        assert_int_equal(qn__hist_scratch_init(&scratch, &map, true, 3, NULL), QN_OK);
        for (int form = packed ? 0 : 3; form < 6; form++) {
            bool wide = form / 3; /* gradients side by side, listed, and apart from each other */
            in.listed_gh = form % 3 == 1 ? gh : NULL;
            in.gh = form % 3 == 2 ? strided : q.gh;
            qn__hist hist = {.wide = wide, .sums = qn_malloc_aligned((size_t)map.n_cells,
                                                                      sizeof(qn__wide_sum))};
            for (int thread = -1; thread < 2; thread++) { /* the scratch must be left clean */
                qn__hist_build(&in, &scratch, thread, &hist);
                for (int64_t c = 0; c < map.n_cells; c++) {
                    qn__sum got = qn__hist_at(&hist, c);
                    assert_int_equal(got.g, want[c].g);
                    assert_int_equal(got.h, want[c].h);
                    assert_int_equal(got.n, want[c].n);
                }
            }
            qn_freep(&hist.sums);
        }
        qn__hist_scratch_done(&scratch);
    }
    qn_freep(&want);
    qn_freep(&list);
    qn_freep(&gh);
    qn_freep(&strided.at);
    qn_freep(&q.gh.at);
    qn__bins_done(&bins);
    qn__bin_map_done(&map);
    rows_done(&d);
}

static void quantise_made(const float *g, const float *h, int64_t n, qn__quantised *q) {
    qn__range range = {0};
    qn__range_add(&range, g, h, n);
    qn__quantise(g, h, n, range, 3, 1, q);
}

/* Few bits are for many rows much alike; sums are right on average, and nothing leaves its bits. */
static void gradients_much_alike_are_small(void **state) {
    float *g = qn_new_array(float, ROWS), *h = qn_new_array(float, ROWS);
    qn__quantised q = {.gh = qn__gradients_in(qn_malloc_aligned(ROWS, sizeof(int32_t)))};
    double sum_g = 0;
    for (int i = 0; i < ROWS; i++) {
        g[i] = (float)(draw((uint64_t)i, 1) - 0.4);
        h[i] = 1;
        sum_g += (double)g[i];
    }
    quantise_made(g, h, ROWS, &q);
    assert_true(q.is_small);
    assert_near((double)q.total.g * q.g_unit / sum_g, 1, 0.01);
    assert_near((double)q.total.h * q.h_unit / ROWS, 1, 1e-9); /* constants are exact */
    quantise_made(g, h, ROWS / 2, &q);
    assert_false(q.is_small);
    g[5] = NAN;
    g[6] = -NAN;
    h[7] = NAN;
    quantise_made(g, h, ROWS, &q);
    assert_true(q.is_small);
    for (int i = 0; i < ROWS; i++) {
        qn__sum one = qn__row_sum(qn__gradient_of(q.gh, (size_t)i));
        assert_in_range(one.g + QN__SMALL_G, 0, 2 * QN__SMALL_G);
        assert_in_range(one.h, 0, QN__SMALL_H);
    }
    g[5] = 20; /* an outlier */
    quantise_made(g, h, ROWS, &q);
    assert_false(q.is_small);
    g[5] = INFINITY;
    quantise_made(g, h, ROWS, &q);
    assert_false(q.is_small);
    qn_freep(&g);
    qn_freep(&h);
    qn_freep(&q.gh.at);
}

/* Whole fits: any threads, and with bins by rows alone. */
static void threads_and_memory_agree(void **state) {
    rows d;
    rows_init(&d);
    qn_gbdt_params p = gbdt_defaults();
    p.num_iterations = 4;
    p.num_leaves = 63;
    qn_fit_input in = {.train = {.x = &d.x, .y = d.y}, .task = QN_TASK_BINARY, .n_classes = 2,
                       .seed = 7};
    assert_threads_agree(&p, &in, (int64_t)ROWS * 40);
    rows_done(&d);
}

/* Twelve columns leave a row room for its gradient, but in a file there is none. */
static void gradients_in_rows_and_apart_agree(void **state) {
    rows d;
    rows_init(&d);
    d.x.n_features = COLUMNS - 1;
    qn_gbdt_params p = gbdt_defaults();
    p.num_iterations = 4;
    p.num_leaves = 63;
    qn_fit_input in = {.train = {.x = &d.x, .y = d.y}, .task = QN_TASK_BINARY, .n_classes = 2,
                       .seed = 7};
    assert_threads_agree(&p, &in, 0);
    qn_job apart = {.n_threads = 2, .memory_bytes = ROWS * 10, .temp_folder = "/tmp"};
    qn_learner *a = fit(&p, &in, NULL), *b = fit(&p, &in, &apart);
    assert_same_bytes(a, b);
    qn__gbdt_free(a);
    qn__gbdt_free(b);
    rows_done(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(even_lanes_come_first),
        cmocka_unit_test(half_cells_equal_the_reference),
        cmocka_unit_test(gradients_much_alike_are_small),
        cmocka_unit_test(threads_and_memory_agree),
        cmocka_unit_test(gradients_in_rows_and_apart_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
