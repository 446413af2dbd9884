/* The parts of the tree engine against their plain references: bins, histograms, splits, pool. */
#include "gbdt_fit.h"
#include "learn/gbdt_divide_int.h"
#include "learn/gbdt_exp.h"

static void bins_keep_training_values_apart(void **state) {
    double values[] = {1, 2, 2, 3, -INFINITY, INFINITY, NAN, 5e-324, 0, -0.0, 1e308, -1e308};
    int64_t n = sizeof values / sizeof values[0];
    qn_feature feature = {.kind = QN_FEATURE_NUMERIC};
    qn_matrix_column column = {.num = values};
    qn_matrix x = {.n_rows = n, .n_features = 1, .features = &feature, .columns = &column};
    qn_gbdt_params p = gbdt_defaults();
    p.min_data_in_bin = 1;
    p.min_data_in_leaf = 1;
    qn__bin_map map = {0};
    assert_int_equal(fit_map(&p, &x, &map), QN_OK);
    assert_int_equal(map.n_features, 1);
    const qn__bin_feature *f = &map.features[0];
    assert_int_equal(f->n_values, 9);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < n; k++) {
            if (isnan(values[i]) || isnan(values[k]))
                continue;
            int32_t a = qn__bin_of(f, values[i]), b = qn__bin_of(f, values[k]);
            assert_true((values[i] < values[k]) == (a < b));
            /* The raw comparison of prediction agrees with the bins of training. */
            for (int32_t t = 0; t < f->n_values - 1; t++)
                assert_true((values[i] <= f->upper[t]) == (a <= t));
        }
    assert_int_equal(qn__bin_of(f, NAN), f->n_values);
    qn__bin_map_done(&map);
}

static void bins_of_many_values_are_even(void **state) {
    enum { N = 20000 };
    double *values = qn_new_array(double, N);
    for (int i = 0; i < N; i++)
        values[i] = i % 4 == 0 ? 7 : qn_rng_hash_uniform(3, (uint64_t)i) * 10;
    qn_feature feature = {.kind = QN_FEATURE_NUMERIC};
    qn_matrix_column column = {.num = values};
    qn_matrix x = {.n_rows = N, .n_features = 1, .features = &feature, .columns = &column};
    qn_gbdt_params p = gbdt_defaults();
    qn__bin_map map = {0};
    for (int sampled = 0; sampled < 2; sampled++) {
        p.bin_construct_sample_cnt = sampled ? 5000 : N;
        assert_int_equal(fit_map(&p, &x, &map), QN_OK);
        assert_in_range(map.features[0].n_values, 240, 255);
        int64_t *count = qn_new_array(int64_t, map.features[0].n_values);
        for (int i = 0; i < N; i++)
            count[qn__bin_of(&map.features[0], values[i])]++;
        for (int b = 0; b < map.features[0].n_values; b++)
            if (b != qn__bin_of(&map.features[0], 7))
                assert_in_range(count[b], 1, 200);
        qn_freep(&count);
        qn__bin_map_done(&map);
    }
    qn_freep(&values);
}

/* Times of a day, which differ in the low bits only, between an end of the scale and the other: what the
 * first digits leave undone. */
static void bins_of_close_values_are_even(void **state) {
    enum { N = 20000 };
    double *values = qn_new_array(double, N);
    for (int i = 0; i < N; i++)
        values[i] = 1.6e9 + qn_rng_hash_uniform(5, (uint64_t)i) * 100;
    values[N / 2] = -1e300;
    values[N / 3] = 1e300;
    qn_feature feature = {.kind = QN_FEATURE_NUMERIC};
    qn_matrix_column column = {.num = values};
    qn_matrix x = {.n_rows = N, .n_features = 1, .features = &feature, .columns = &column};
    qn_gbdt_params p = gbdt_defaults();
    qn__bin_map map = {0};
    assert_int_equal(fit_map(&p, &x, &map), QN_OK);
    const qn__bin_feature *f = &map.features[0];
    assert_int_equal(f->n_values, 255);
    for (int t = 1; t < f->n_values - 1; t++)
        assert_true(f->upper[t - 1] < f->upper[t]);
    int64_t count[255] = {0};
    for (int i = 0; i < N; i++)
        count[qn__bin_of(f, values[i])]++;
    for (int b = 0; b < f->n_values; b++)
        assert_in_range(count[b], b < f->n_values - 1 ? 70 : 1, 81);
    qn__bin_map_done(&map);
    qn_freep(&values);
}

/* Many at a time, for which there is a kernel, and one by one. */
static void bins_of_many_equal_bins_of_one(void **state) {
    enum { N = 1000, MOST = 300 };
    double x[N], upper[MOST];
    int32_t bin[N];
    const int32_t sizes[] = {1, 2, 16, 17, 254, 255, 256, 257, MOST};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        qn__bin_feature f = {.upper = upper, .n_values = sizes[s] + 1};
        for (int t = 0; t < sizes[s]; t++)
            upper[t] = t * 0.5;
        for (int i = 0; i < N; i++) /* on the bounds and beside them */
            x[i] = (double)(i % (2 * MOST)) * 0.25 - 1;
        x[1] = NAN;
        x[2] = INFINITY;
        x[3] = -INFINITY;
        qn__bins_of(&f, x, N, bin);
        for (int i = 0; i < N; i++) {
            int32_t want = 0;
            while (want < sizes[s] && upper[want] < x[i])
                want++;
            assert_int_equal(bin[i], isnan(x[i]) ? f.n_values : want);
            assert_int_equal(bin[i], qn__bin_of(&f, x[i]));
        }
    }
}

/* max_bin yields to categories until 99 % of the rows have bins of their own: 3,000 of equal size
 * all get one; of 6,000, the most frequent. */
static void thousands_of_categories_stay_apart(void **state) {
    enum { N = 60000 };
    for (int n_categories = 3000; n_categories <= 6000; n_categories += 3000) {
        qn_feature feature = {.kind = QN_FEATURE_CATEGORY, .n_categories = n_categories};
        qn_matrix_column column = {.code = qn_new_array(int32_t, N)};
        qn_matrix x = {.n_rows = N, .n_features = 1, .features = &feature, .columns = &column};
        for (int i = 0; i < N; i++)
            column.code[i] = i % n_categories;
        qn_gbdt_params p = gbdt_defaults();
        qn__bin_map map = {0};
        qn__bins bins = {0};
        qn_error err = {0};
        assert_int_equal(fit_map(&p, &x, &map), QN_OK);
        assert_int_equal(qn__bins_fill(&map, &x, QN__COLUMNS, NULL, &bins, &err), QN_OK);
        const qn__bin_feature *f = &map.features[0];
        /* The last percent comes after: 2,970 hold 99 %. */
        assert_int_equal(f->n_values, n_categories == 3000 ? 2971 : QN__CAT_BINS);
        assert_int_equal(map.n_narrow, 0);
        uint8_t *seen = qn_calloc((size_t)f->n_values, 1);
        int n_seen = 0;
        for (int i = 0; i < n_categories; i++) {
            int32_t bin = qn__bins_at(&map, &bins, f, i);
            assert_int_equal(bin, f->code_bin[i]);
            assert_true(bin == 0 || !seen[bin]);
            n_seen += bin > 0;
            seen[bin] = 1;
        }
        assert_int_equal(n_seen, f->n_values - 1);
        qn_freep(&seen);
        qn_freep(&column.code);
        qn__bins_done(&bins);
        qn__bin_map_done(&map);
    }
}

/* With a bin for every value, each of 65,000 falls into its own. */
static void as_many_bins_as_values(void **state) {
    enum { N = 65000 };
    double *values = qn_new_array(double, N);
    for (int i = 0; i < N; i++)
        values[i] = sqrt((double)((int64_t)i * 7919 % N));
    qn_feature feature = {.kind = QN_FEATURE_NUMERIC};
    qn_matrix_column column = {.num = values};
    qn_matrix x = {.n_rows = N, .n_features = 1, .features = &feature, .columns = &column};
    qn_gbdt_params p = gbdt_defaults();
    p.max_bin = 65535;
    p.min_data_in_bin = 1;
    qn__bin_map map = {0};
    qn__bins bins = {0};
    qn_error err = {0};
    assert_int_equal(fit_map(&p, &x, &map), QN_OK);
    assert_int_equal(qn__bins_fill(&map, &x, QN__COLUMNS, NULL, &bins, &err), QN_OK);
    assert_int_equal(map.features[0].n_values, N);
    for (int i = 0; i < N; i++)
        assert_int_equal(qn__bins_at(&map, &bins, &map.features[0], i), (int64_t)i * 7919 % N);
    qn_freep(&values);
    qn__bins_done(&bins);
    qn__bin_map_done(&map);
}

/* Everything a histogram needs, from a toy. */
typedef struct parts {
    toy d;
    qn_gbdt_params p;
    qn__bin_map map;
    qn__bins bins;
    qn__quantised q;
} parts;

static void parts_init_of(parts *s, int64_t n, int64_t max_bin, int32_t n_features) {
    qn_error err = {0};
    toy_init(&s->d, n, 5);
    s->d.x.n_features = n_features;
    s->p = gbdt_defaults();
    s->p.max_bin = max_bin;
    s->p.min_data_in_bin = 1;
    s->map = (qn__bin_map){0};
    s->bins = (qn__bins){0};
    assert_int_equal(fit_map(&s->p, &s->d.x, &s->map), QN_OK);
    assert_int_equal(qn__bins_fill(&s->map, &s->d.x, QN__COLUMNS, NULL, &s->bins, &err), QN_OK);
    s->q.gh = qn__gradients_in(qn_malloc_aligned((size_t)n, sizeof(int32_t)));
    float *g = qn_new_array(float, n), *h = qn_new_array(float, n);
    for (int64_t i = 0; i < n; i++) {
        g[i] = (float)(s->d.y[i] - 0.5);
        h[i] = (float)(0.1 + 0.1 * fabs(sin((double)i)));
    }
    qn__range range = {0};
    qn__range_add(&range, g, h, n);
    qn__quantise(g, h, n, range, 9, 1, &s->q);
    qn_freep(&g);
    qn_freep(&h);
}

static void parts_init(parts *s, int64_t n, int64_t max_bin) {
    parts_init_of(s, n, max_bin, TOY_FEATURES);
}

static void parts_done(parts *s) {
    toy_done(&s->d);
    qn__bin_map_done(&s->map);
    qn__bins_done(&s->bins);
    qn_freep(&s->q.gh.at);
}

static void quantised_sums_are_unbiased(void **state) {
    enum { N = 100000 };
    float *g = qn_new_array(float, N), *h = qn_new_array(float, N);
    for (int i = 0; i < N; i++) {
        g[i] = i == 0 ? 1.0f : -1e-6f;
        h[i] = i == 0 ? 1.0f : 1e-6f;
    }
    qn__range range = {0};
    qn__range_add(&range, g, h, N);
    for (size_t stride = 4; stride <= 20; stride += 16) {
        qn__quantised q = {.gh = {.at = qn_malloc_aligned(N, stride), .stride = stride}};
        qn__quantise(g, h, N, range, 4, 1, &q);
        qn__sum sum = {0};
        for (size_t i = 0; i < N; i++)
            qn__sum_add(&sum, qn__row_sum(qn__gradient_of(q.gh, i)));
        assert_memory_equal(&sum, &q.total, sizeof sum);
        qn__sum rest = qn__sum_less(sum, qn__row_sum(qn__gradient_of(q.gh, 0)));
        assert_near((double)rest.g * q.g_unit, -0.1, 0.02);
        assert_near((double)rest.h * q.h_unit, 0.1, 0.02);
        qn_freep(&q.gh.at);
    }
    qn_freep(&g);
    qn_freep(&h);
}

static void histograms_equal_the_reference(void **state) {
    for (int variant = 0; variant < 4; variant++) {
        parts s;
        int64_t n = variant < 2 ? 3000 : 60000; /* wide: in blocks */
        parts_init(&s, n, variant % 2 ? 1000 : 255);
        assert_int_equal(s.map.n_lanes - s.map.n_narrow, variant % 2 ? 2 : 0);
        uint32_t *rows = qn_new_array(uint32_t, n);
        int64_t n_rows = 0;
        for (int64_t i = 0; i < n; i++)
            if (i % 7 != 3)
                rows[n_rows++] = (uint32_t)i;
        int32_t *gh = qn_new_array(int32_t, n_rows);
        qn__sum *want = qn_new_array(qn__sum, s.map.n_cells);
        qn__hist_input in = {.map = &s.map, .bins = &s.bins, .rows = rows, .gh = s.q.gh,
                             .n = n_rows};
        qn__gradients strided = {.at = qn_malloc_aligned((size_t)n, 12), .stride = 12};
        for (size_t i = 0; i < (size_t)n; i++)
            memcpy(strided.at + i * strided.stride, s.q.gh.at + i * s.q.gh.stride, sizeof(int32_t));
        qn__gradients_list(strided, rows, n_rows, gh);
        for (int64_t i = 0; i < n_rows; i++)
            qn__sum_add(&in.total, qn__row_sum(gh[i]));
        assert_int_equal(qn__load_fits(qn__hist_load(&in)), variant < 2);
        qn__load all = qn__load_of(gh, n_rows), load = qn__hist_load(&in);
        assert_memory_equal(&all, &load, sizeof load);
        qn__hist_build_ref(&in, want);
        for (int threads = 1; threads <= 8; threads += threads == 1 ? 1 : 3) {
            qn__hist_scratch scratch = {0};
            assert_int_equal(qn__hist_scratch_init(&scratch, &s.map, true, threads, NULL), QN_OK);
            qn__hist hist = {.wide = variant >= 2, .sums = qn_malloc_aligned(
                                 (size_t)s.map.n_cells, sizeof(qn__wide_sum))};
            /* More than once: the scratch must be left clean. Gradients are listed, side by side, and not. */
            for (int form = -3; form < 6 && form < 3 * threads; form++) {
                int thread = form < 0 ? -1 : form / 3;
                in.listed_gh = form % 3 == 0 ? gh : NULL;
                in.gh = form % 3 == 1 ? strided : s.q.gh;
                qn__hist_build(&in, &scratch, thread, &hist);
                for (int64_t c = 0; c < s.map.n_cells; c++) {
                    assert_int_equal(qn__hist_at(&hist, c).g, want[c].g);
                    assert_int_equal(qn__hist_at(&hist, c).h, want[c].h);
                    assert_int_equal(qn__hist_at(&hist, c).n, want[c].n);
                }
            }
            qn_freep(&hist.sums);
            qn__hist_scratch_done(&scratch);
        }
        qn_freep(&gh);
        qn_freep(&strided.at);
        qn_freep(&want);
        qn_freep(&rows);
        parts_done(&s);
    }
}

/* Columns of few values share a byte of a row; each is found again. */
static void small_features_share_lanes(void **state) {
    enum { N = 5000, F = 9 };
    qn_feature features[F] = {0};
    qn_matrix_column columns[F] = {0};
    qn_matrix x = {.n_rows = N, .n_features = F, .features = features, .columns = columns};
    for (int j = 0; j < F; j++) {
        features[j].kind = QN_FEATURE_NUMERIC;
        columns[j].num = qn_new_array(double, N);
        for (int i = 0; i < N; i++) {
            columns[j].num[i] = (double)(qn_rng_hash((uint64_t)j, (uint64_t)i) % (uint64_t)(j + 2));
            if (j % 2 && i % 9 == j)
                columns[j].num[i] = NAN;
        }
    }
    qn_gbdt_params p = gbdt_defaults();
    qn_error err = {0};
    qn__bin_map map = {0};
    qn__bins bins = {0};
    assert_int_equal(fit_map(&p, &x, &map), QN_OK);
    assert_int_equal(qn__bins_fill(&map, &x, QN__COLUMNS, NULL, &bins, &err), QN_OK);
    assert_int_equal(map.n_features, F);
    assert_in_range(map.n_lanes, 1, F / 2);
    for (int j = 0; j < F; j++) {
        const qn__bin_feature *f = &map.features[j];
        for (int i = 0; i < N; i++)
            assert_int_equal(qn__bins_at(&map, &bins, f, i), qn__bin_of(f, columns[j].num[i]));
        qn_freep(&columns[j].num);
    }
    for (int32_t l = 0; l < map.n_lanes; l++) /* both forms hold the same */
        for (int i = 0; i < N; i++)
            assert_int_equal(bins.rows[i * bins.stride + map.lanes[l].at],
                             bins.columns[map.lanes[l].at * bins.n_rows + i]);
    qn__bin_map_done(&map);
    qn__bins_done(&bins);
}

typedef struct division {
    parts s;
    qn__split split;
    qn__row_list list;     /* the rows, */
    uint32_t *want;        /* and as they lie once they are divided */
    int64_t n;
    uint8_t *goes_left;
    qn__partition_scratch scratch;
} division;

static qn__row_list new_list(int64_t n) {
    return (qn__row_list){qn_new_array(uint32_t, n), qn_new_array(int32_t, n)};
}

static void wipe(qn__row_list list, int64_t n) {
    memset(list.rows, 0xff, (size_t)n * sizeof *list.rows);
    if (list.gh)
        memset(list.gh, 0xff, (size_t)n * sizeof *list.gh);
}

static void free_list(qn__row_list *list) {
    qn_freep(&list->rows);
    qn_freep(&list->gh);
}

/* Whether the list holds these rows and their gradients, if it has any, and what is behind them is as it
 * was. */
static void check_list(const division *d, qn__row_list list, const uint32_t *rows, int64_t n) {
    assert_memory_equal(list.rows, rows, (size_t)n * sizeof *rows);
    for (int64_t i = 0; list.gh && i < n; i++)
        assert_int_equal(list.gh[i], qn__gradient_of(d->s.q.gh, rows[i]));
    assert_true(list.rows[n] == UINT32_MAX && (!list.gh || list.gh[n] == -1));
}

static void division_init(division *d, int64_t n_rows, int64_t max_bin) {
    int64_t n_blocks = n_rows / QN__PARTITION_BLOCK + 2;
    *d = (division){.list = new_list(n_rows), .want = qn_new_array(uint32_t, n_rows),
                    .goes_left = qn_malloc_aligned(1 << 16, 1)};
    parts_init(&d->s, n_rows, max_bin);
    d->scratch = (qn__partition_scratch){
        .n_threads = 3, .goes_left = d->goes_left, .n_left = qn_new_array(int64_t, n_blocks),
        .n_right = qn_new_array(int64_t, n_blocks),
        .sides = qn_malloc_aligned((size_t)(n_rows / 64 + 1) * 4, sizeof(uint16_t))};
}

static void division_done(division *d) {
    free_list(&d->list);
    qn_freep(&d->want);
    qn_freep(&d->goes_left);
    qn_freep(&d->scratch.n_left);
    qn_freep(&d->scratch.n_right);
    qn_freep(&d->scratch.sides);
    parts_done(&d->s);
}

/* By a feature; one row in `part` is left out, none if that is 0. */
static void division_by(division *d, int32_t f, int part) {
    const qn__bin_feature *feature = &d->s.map.features[f];
    d->split = (qn__split){.feature = f, .bin = feature->n_values / 2, .missing_left = f % 2,
                           .is_category = feature->kind == QN_FEATURE_CATEGORY,
                           .set = {0x5555aaaa, 0x12345678}};
    d->n = 0;
    for (uint32_t i = 0; i < d->s.d.x.n_rows; i++)
        if (part == 0 || qn_rng_hash(7, i) % (uint64_t)part)
            d->list.rows[d->n++] = i;
    for (int64_t i = 0; i < d->n; i++)
        d->list.gh[i] = qn__gradient_of(d->s.q.gh, d->list.rows[i]);
    for (int side = 0; side < 2; side++)
        for (int64_t i = 0, at = d->split.left.n; i < d->n; i++) {
            int32_t bin = qn__bins_at(&d->s.map, &d->s.bins, feature, d->list.rows[i]);
            if (qn__split_goes_left(&d->split, feature, bin) == !side)
                d->want[side ? at++ : d->split.left.n++] = d->list.rows[i];
        }
}

/* A list of n rows in memory of its own, and a guard behind it. */
static void copy_list(const division *d, bool is_filled, qn__row_list to) {
    wipe(to, d->n + 1);
    memcpy(to.rows, d->list.rows, is_filled ? (size_t)d->n * sizeof *to.rows : 0);
    if (to.gh)
        memcpy(to.gh, d->list.gh, is_filled ? (size_t)d->n * sizeof *to.gh : 0);
}

/* By lane, or by row where memory is short; with gradients and without. The larger side comes first. */
static void partitions_are_stable(void **state) {
    enum { N = 70000 };
    for (int form = 0; form < 8; form++) {
        division d;
        qn__row_list list = new_list(N + 1), spare = new_list(N + 1);
        division_init(&d, N, form % 2 ? 1000 : 255);
        if (form / 2 % 2)
            qn_freep(&d.s.bins.columns);
        if (form / 4) {
            qn_freep(&list.gh);
            qn_freep(&spare.gh);
        }
        for (int32_t f = 0; f < d.s.map.n_features; f++)
            for (int variant = 0; variant < 4 * QN__N_VECTORS; variant++) {
                bool all = variant % 2, together = variant / 2 % 2;
                division_by(&d, f, all ? 0 : 3);
                copy_list(&d, !all, list);
                wipe(spare, N + 1);
                qn__partition_input in = {.map = &d.s.map, .bins = &d.s.bins, .list = list,
                                          .n = d.n, .all = all, .all_gh = d.list.gh,
                                          .most = (qn__vectors)(variant / 4)};
                if (!all)
                    in.spare = spare;
                int64_t n_left = d.split.left.n, n_right = d.n - n_left;
                int64_t n_spare = together ? d.n : n_left < n_right ? n_left : n_right;
                if (together)
                    qn__partition_together(&in, &d.split, &d.scratch);
                else
                    qn__partition(&in, &d.split, d.goes_left);
                int64_t left = n_left >= n_right ? 0 : n_right, right = left ? 0 : n_left;
                assert_memory_equal(list.rows + left, d.want, (size_t)n_left * sizeof *d.want);
                memcpy(d.list.rows + left, d.want, (size_t)n_left * sizeof *d.want);
                memcpy(d.list.rows + right, d.want + n_left, (size_t)n_right * sizeof *d.want);
                check_list(&d, list, d.list.rows, d.n);
                assert_true(spare.rows[n_spare] == UINT32_MAX);
                assert_true(!spare.gh || spare.gh[n_spare] == -1);
            }
        free_list(&list);
        free_list(&spare);
        division_done(&d);
    }
}

static void set_rows(const uint32_t *rows, int64_t n, uint64_t *set, int64_t n_rows) {
    memset(set, 0, qn__dense_words(n_rows) * sizeof *set);
    for (int64_t i = 0; i < n; i++)
        set[rows[i] / 64] |= (uint64_t)1 << rows[i] % 64;
}

/* As lists are, with rows that are many, few and all; children as sets, as lists and as both. Of 30,016
 * rows the last word is full. */
static void sets_are_divided_as_lists_are(void **state) {
    enum { MOST = 70001 };
    static const int32_t n_rows[] = {MOST, 30016, 40};
    qn__row_list got = new_list(MOST + 1), none = {0};
    uint64_t *sets[4];
    for (int i = 0; i < 4; i++) /* of the leaf, its children, and what they should be */
        sets[i] = qn_malloc_aligned(qn__dense_words(MOST), sizeof **sets);
    for (int form = 0; form < 5; form++) {
        const int64_t n = n_rows[form % 3];
        size_t bytes = qn__dense_words(n) * sizeof **sets;
        division d;
        division_init(&d, n, form % 2 ? 1000 : 255);
        if (form >= 3)
            qn_freep(&d.s.bins.columns);
        if (form == 4)
            qn_freep(&got.gh);
        for (int32_t f = 0; f < d.s.map.n_features; f++)
            for (int variant = 0; variant < 24 * QN__N_VECTORS; variant++) {
                static const int parts_left_out[] = {0, 3, 1000};
                int with = 1 + variant % 4 % 3, part = parts_left_out[variant / 4 % 3];
                bool together = variant / 12 % 2;
                division_by(&d, f, part);
                set_rows(d.list.rows, d.n, sets[0], n);
                wipe(got, MOST + 1);
                memset(sets[1], 0xff, bytes);
                memset(sets[2], 0xff, bytes);
                qn__row_list right = qn__rows_from(got, d.split.left.n);
                qn__dense_input in = {.map = &d.s.map, .bins = &d.s.bins, .n = d.n,
                                      .gh = (const int32_t *)(const void *)d.s.q.gh.at,
                                      .rows = part ? sets[0] : NULL,
                                      .left = {.set = with & 1 ? sets[1] : NULL,
                                               .list = with & 2 ? got : none},
                                      .right = {.set = with & 1 ? sets[2] : NULL,
                                                .list = with & 2 ? right : none},
                                      .most = (qn__vectors)(variant / 24)};
                if (together)
                    qn__dense_divide_together(&in, &d.split, &d.scratch);
                else
                    qn__dense_divide(&in, &d.split, d.goes_left);
                if (with & 2)
                    check_list(&d, got, d.want, d.n);
                for (int side = 0; side < 2 && with & 1; side++) {
                    int64_t first = side ? d.split.left.n : 0;
                    int64_t here = side ? d.n - first : d.split.left.n;
                    set_rows(d.want + first, here, sets[3], n);
                    assert_memory_equal(sets[1 + side], sets[3], bytes);
                    wipe(got, MOST + 1);
                    qn__dense_list(sets[3], n, here, in.gh, in.most, got);
                    check_list(&d, got, d.want + first, here);
                }
            }
        division_done(&d);
    }
    for (int i = 0; i < 4; i++)
        qn_freep(&sets[i]);
    free_list(&got);
}

static void exponentials_are_near_the_library(void **state) {
    for (double x = -699; x < 699; x += 0.0371)
        assert_near(qn__exp(x) / exp(x), 1, 1e-12);
    for (float x = -79; x < 79; x += 0.00371f)
        assert_near((double)qn__expf(x) / exp((double)x), 1, 4e-7);
    assert_true(qn__expf(-INFINITY) > 0 && isfinite(qn__expf(INFINITY)) && isfinite(qn__expf(NAN)));
    assert_true(qn__exp(-INFINITY) > 0 && isfinite(qn__exp(INFINITY)) && isfinite(qn__exp(NAN)));
}

/* Vectors of the widest kind give the bits of plain C (this file is built for any processor), and
 * those are near the formula. */
static void gradients_have_the_same_bits_everywhere(void **state) {
    enum { N = 1000 };
    double score[N], y[N];
    float g[N], h[N];
    for (int i = 0; i < N; i++) {
        score[i] = 40 * (qn_rng_hash_uniform(1, (uint64_t)i) - 0.5);
        y[i] = (double)(i % 3 == 0);
    }
    const qn__objective *o;
    assert_int_equal(qn__objective_find("binary", QN_TASK_BINARY, false, &o, NULL), QN_OK);
    qn__objective_data data = {.y = y, .n = N, .n_outputs = 1, .n_threads = 1};
    o->gradients(&data, score, 0, N, g, h);
    for (int i = 0; i < N; i++) {
        float side = y[i] > 0.5 ? -1.0f : 1.0f, e = qn__expf(-side * (float)score[i]);
        float q = 1 / (1 + e);
        assert_true(g[i] == side * q && h[i] == e * q * q);
        double p = 1 / (1 + exp(-score[i]));
        assert_near((double)g[i], p - y[i], 1e-6 * fabs(p - y[i]) + 1e-12);
        assert_near((double)h[i], p * (1 - p), 1e-6 * p * (1 - p) + 1e-12);
    }
}

static void splits_equal_the_reference(void **state) {
    parts s;
    parts_init(&s, 3000, 255);
    for (int variant = 0; variant < 6; variant++) { /* of wide cells, and of packed ones */
        s.p.lambda_l1 = variant == 1 || variant == 3 ? 3 : 0;
        s.p.lambda_l2 = variant == 2 ? 5 : variant == 4 ? 1e6 : 0;
        s.p.min_data_in_leaf = variant == 2 ? 700 : 20;
        s.p.min_sum_hessian_in_leaf = variant == 5 ? 50 : 1e-3;
        bool wide = variant == 1;
        qn__hist hist = {.wide = wide, .sums = qn_new_array(qn__wide_sum, s.map.n_cells)};
        qn__sum *counts = qn_new_array(qn__sum, s.map.n_cells);
        qn__hist_input counted = {.map = &s.map, .bins = &s.bins, .gh = s.q.gh, .n = 3000};
        qn__hist_build_ref(&counted, counts);
        for (int64_t c = 0; c < s.map.n_cells; c++)
            if (wide)
                hist.sums[c] = qn__widen(counts[c]);
            else
                hist.packed[c] = qn__pack(counts[c]);
        qn_freep(&counts);
        qn__split_input in = {.params = &s.p, .map = &s.map, .hist = &hist, .g_unit = s.q.g_unit,
                              .h_unit = s.q.h_unit};
        for (int64_t i = 0; i < 3000; i++)
            qn__sum_add(&in.total, qn__row_sum(qn__gradient_of(s.q.gh, (size_t)i)));
        double *scratch = qn_new_array(double, qn__split_scratch_len(&s.map));
        int n_found = 0;
        for (int32_t f = 0; f < s.map.n_features; f++) {
            if (s.map.features[f].kind == QN_FEATURE_CATEGORY)
                continue;
            qn__split fast, plain;
            qn__split_find(&in, f, scratch, &fast);
            qn__split_find_ref(&in, f, &plain);
            assert_int_equal(fast.feature, plain.feature);
            if (fast.feature < 0)
                continue;
            n_found++;
            assert_int_equal(fast.bin, plain.bin);
            assert_int_equal(fast.left.g, plain.left.g);
            assert_int_equal(fast.left.n, plain.left.n);
            assert_near(fast.gain, plain.gain, 1e-9 * plain.gain);
        }
        assert_true(n_found >= 2 || variant == 4); /* hardly anything is worth a split then */
        qn_freep(&scratch);
        qn_freep(&hist.sums);
    }
    parts_done(&s);
}

/* The rows of a leaf: those of an evenly drawn share; `missing`: of the ones without the second number. */
static int64_t draw_rows(const parts *s, double share, bool missing, uint32_t *rows) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->d.x.n_rows; i++)
        if (qn_rng_hash_uniform(17, (uint64_t)i) < share
            && (!missing || isnan(s->d.columns[1].num[i])))
            rows[n++] = (uint32_t)i;
    return n;
}

static void assert_same_split(const qn__split *a, const qn__split *b) {
    assert_int_equal(a->feature, b->feature);
    if (a->feature < 0)
        return;
    assert_true(a->gain == b->gain && a->bin == b->bin && a->missing_left == b->missing_left);
    assert_memory_equal(&a->left, &b->left, sizeof a->left);
}

/* By rows or by cells, the split is the same to the bit. */
static void few_rows_are_split_as_many_are(void **state) {
    enum { N = 6000 };
    parts s;
    parts_init_of(&s, N, 65535, 5); /* without sparse ones */
    qn__few few = {.bins = &s.bins};
    assert_int_equal(qn__few_init(&few, &s.map, NULL), QN_OK);
    uint32_t *rows = qn_new_array(uint32_t, N);
    qn__hist hist = {.wide = true, .sums = qn_new_array(qn__wide_sum, s.map.n_cells)};
    qn__hist narrow = {.wide = true, .sums = qn_new_array(qn__wide_sum, s.map.n_cells)};
    double *scratch = qn_new_array(double, qn__split_scratch_len(&s.map));
    qn__hist_scratch counting = {0};
    assert_int_equal(qn__hist_scratch_init(&counting, &s.map, true, 2, NULL), QN_OK);
    static const double shares[] = {0.004, 0.01, 0.03, 0.1, 0.4, 1};
    int n_found = 0;
    for (int k = 0; k < 36; k++) {
        int64_t n = draw_rows(&s, shares[k % 6], k / 6 == 2, rows);
        s.p.min_data_in_leaf = k / 6 == 1 ? 1 : k / 6 == 3 ? 40 : 5;
        s.p.lambda_l1 = k / 6 == 4 ? 1 : 0;
        qn__hist_input counted = {.map = &s.map, .bins = &s.bins, .rows = n < N ? rows : NULL,
                                  .gh = s.q.gh, .n = n};
        qn__split_input in = {.params = &s.p, .map = &s.map, .hist = &hist,
                              .g_unit = s.q.g_unit, .h_unit = s.q.h_unit};
        for (int64_t i = 0; i < n; i++)
            qn__sum_add(&in.total, qn__row_sum(qn__gradient_of(s.q.gh, rows[i])));
        counted.total = in.total;
        qn__hist_build(&counted, &counting, -1, &hist);
        counted.narrow_only = true;
        qn__hist_build(&counted, &counting, k % 3 - 1, &narrow);
        assert_memory_equal(narrow.sums, hist.sums,
                            (size_t)s.map.narrow_cells * sizeof *hist.sums);
        few.rows = counted.rows;
        few.gh = s.q.gh;
        few.n = n;
        for (int32_t f = 0; f < s.map.n_features; f++) {
            qn__split by_cells, by_rows;
            in.few = NULL;
            qn__split_find(&in, f, scratch, &by_cells);
            in.few = &few;
            qn__split_find(&in, f, scratch, &by_rows);
            assert_same_split(&by_cells, &by_rows);
            n_found += by_cells.feature >= 0 && s.map.features[f].lane >= s.map.n_narrow;
        }
    }
    assert_true(s.map.n_lanes - s.map.n_narrow == 2 && n_found > 40);
    qn__few_done(&few);
    qn__hist_scratch_done(&counting);
    qn_freep(&rows);
    qn_freep(&hist.sums);
    qn_freep(&narrow.sums);
    qn_freep(&scratch);
    parts_done(&s);
}

/* Hessians that differ a thousandfold say nothing about rows: every leaf has enough all the same. */
static void leaves_have_enough_rows(void **state) {
    enum { N = 40000 };
    parts s;
    parts_init(&s, N, 255);
    float *g = qn_new_array(float, N), *h = qn_new_array(float, N);
    for (int i = 0; i < N; i++) {
        bool rare = qn_rng_hash(11, (uint64_t)i) % 500 == 0;
        g[i] = rare ? -1 : 0.001f;
        h[i] = rare ? 0.25f : 0.0002f;
    }
    qn__range range = {0};
    qn__range_add(&range, g, h, N);
    qn__quantise(g, h, N, range, 9, 1, &s.q);
    s.p.min_data_in_leaf = 150;
    s.p.min_sum_hessian_in_leaf = 0;
    qn__growth growth = {.params = &s.p};
    uint32_t *list = qn_new_array(uint32_t, N);
    qn__grower *grower = NULL;
    assert_int_equal(qn__grower_new(&growth, &s.map, &s.bins, NULL, &grower, NULL), QN_OK);
    assert_int_equal(qn__grower_run(grower, &s.q, NULL, N, NULL, list, NULL), QN_OK);
    int32_t n_nodes, near = 0;
    const qn__grown_node *nodes = qn__grower_nodes(grower, &n_nodes);
    assert_int_equal(n_nodes, 61);
    for (int32_t i = 0; i < n_nodes; i++) {
        assert_true(nodes[i].n >= 150);
        assert_int_equal(nodes[i].n, nodes[i].total.n);
        near += nodes[i].n < 200;
    }
    assert_true(near > 0); /* and none is kept from having as few as that */
    qn__grower_free(&grower);
    qn_freep(&list);
    qn_freep(&g);
    qn_freep(&h);
    parts_done(&s);
}

/* Each row of the tree is where its nodes say. */
static void check_rows(const parts *s, const qn__grown_node *nodes, int32_t n_nodes, int64_t n) {
    int64_t n_seen = 0;
    for (int32_t i = 0; i < n_nodes; i++) {
        const qn__grown_node *node = &nodes[i];
        n_seen += node->split.feature < 0 ? node->n : 0;
        for (int64_t r = 0; node->split.feature < 0 && r < node->n; r++) {
            assert_int_equal(qn__grown_leaf(nodes, &s->map, &s->bins, node->rows[r]), i);
            assert_true(r == 0 || node->rows[r - 1] < node->rows[r]);
        }
    }
    assert_int_equal(n_seen, n);
}

/* Leaves that are sets have their rows; how many there are. */
static int32_t check_sets(const qn__grown_node *nodes, int32_t n_nodes, int64_t n_rows) {
    double *numbers = qn_new_array(double, n_rows);
    int32_t n = 0;
    for (int32_t i = 0; i < n_nodes; i++) {
        if (!nodes[i].set)
            continue;
        int64_t n_seen = 0;
        memset(numbers, 0, (size_t)n_rows * sizeof *numbers);
        for (int64_t first = 0, end; first < n_rows; first = end) {
            end = first + 64 * 50 < n_rows ? first + 64 * 50 : n_rows;
            qn__dense_add(nodes[i].set, first, end, 0.5, numbers);
        }
        for (int64_t r = 0; r < n_rows; r++) {
            bool is_in = nodes[i].set[r / 64] >> r % 64 & 1;
            n_seen += is_in;
            assert_true(numbers[r] == (is_in ? 0.5 : 0));
        }
        assert_int_equal(n_seen, nodes[i].n);
        n++;
    }
    qn_freep(&numbers);
    return n;
}

/* A pool of three histograms gives the tree of a pool without limit, and so do bins by rows alone; of all
 * rows and of a bag. */
static void small_pool_gives_the_same_tree(void **state) {
    for (int variant = 0; variant < 4; variant++) {
        const int64_t n = variant % 2 ? 160007 : 3000;
        parts s;
        parts_init(&s, n, 255);
        uint32_t *bag = qn_new_array(uint32_t, n);
        uint32_t *list = qn_new_array(uint32_t, n);
        uint8_t *columns = s.bins.columns;
        int64_t n_bag = 0;
        for (uint32_t i = 0; i < n; i++)
            if (i % 9)
                bag[n_bag++] = i;
        bool all = variant < 2;
        n_bag = all ? n : n_bag;
        qn_error err = {0};
        qn__growth growth = {.params = &s.p};
        qn__grown_node *nodes[3];
        qn__grower *grower[3] = {NULL};
        int32_t n_nodes[3], n_sets = 0;
        if (variant == 1) /* one of half of the rows */
            s.p.num_leaves = 2;
        qn_job jobs[3] = {{.n_threads = 1, .memory_bytes = 1}, {.n_threads = 2}, {.n_threads = 2}};
        for (int i = 0; i < 3; i++) {
            s.bins.columns = i == 2 ? NULL : columns;
            assert_int_equal(qn__grower_new(&growth, &s.map, &s.bins, &jobs[i], &grower[i], &err),
                             QN_OK);
            assert_int_equal(qn__grower_run(grower[i], &s.q, all ? NULL : bag, n_bag, NULL, list,
                                            &err), QN_OK);
            nodes[i] = qn__grower_nodes(grower[i], &n_nodes[i]);
            n_sets += check_sets(nodes[i], n_nodes[i], n);
            qn__grower_list_rows(grower[i]);
            assert_int_equal(n_nodes[i], n_nodes[0]);
            assert_true(n_nodes[i] > (variant == 1 ? 2 : 20));
            check_rows(&s, nodes[i], n_nodes[i], n_bag);
            for (int32_t k = 0; k < n_nodes[0]; k++) {
                assert_int_equal(nodes[0][k].split.feature, nodes[i][k].split.feature);
                assert_int_equal(nodes[0][k].n, nodes[i][k].n);
            }
        }
        assert_int_equal(n_sets, variant == 1 ? 3 : 0);
        s.bins.columns = columns;
        for (int i = 0; i < 3; i++)
            qn__grower_free(&grower[i]);
        qn_freep(&bag);
        qn_freep(&list);
        parts_done(&s);
    }
}

/* Two halves of equal size, both of them sets: one is counted, and it is that one which has a list. */
static void halves_are_told_apart(void **state) {
    enum { N = 1 << 17 };
    parts s;
    parts_init(&s, N, 255);
    qn__bins_done(&s.bins);
    qn__bin_map_done(&s.map);
    double *halves = qn_new_array(double, N);
    double *before = s.d.columns[0].num;
    qn_error err = {0};
    s.q.total = (qn__sum){0};
    for (int64_t i = 0; i < N; i++) {
        halves[i] = (double)(i % 2);
        int64_t g = (i % 2 ? 300 : -300) + (int64_t)(qn_rng_hash(3, (uint64_t)i) % 90);
        int32_t gh = (int32_t)((uint32_t)g << 16 | 100);
        memcpy(s.q.gh.at + (size_t)i * s.q.gh.stride, &gh, sizeof gh);
        qn__sum_add(&s.q.total, qn__row_sum(gh));
    }
    s.d.columns[0].num = halves;
    assert_int_equal(fit_map(&s.p, &s.d.x, &s.map), QN_OK);
    assert_int_equal(qn__bins_fill(&s.map, &s.d.x, QN__COLUMNS, NULL, &s.bins, &err), QN_OK);
    uint32_t *list = qn_new_array(uint32_t, N);
    uint8_t *columns = s.bins.columns;
    qn__growth growth = {.params = &s.p};
    for (int variant = 0; variant < 4; variant++) {
        qn__grower *grower = NULL;
        qn_job job = {.n_threads = 1 + variant % 2};
        s.bins.columns = variant / 2 ? NULL : columns;
        assert_int_equal(qn__grower_new(&growth, &s.map, &s.bins, &job, &grower, &err), QN_OK);
        memset(list, 0x3f, N * sizeof *list);
        assert_int_equal(qn__grower_run(grower, &s.q, NULL, N, NULL, list, &err), QN_OK);
        int32_t n_nodes;
        qn__grown_node *nodes = qn__grower_nodes(grower, &n_nodes);
        qn__grower_list_rows(grower);
        assert_true(n_nodes > 20 && nodes[nodes[0].left].n == N / 2);
        check_rows(&s, nodes, n_nodes, N);
        qn__grower_free(&grower);
    }
    s.bins.columns = columns;
    s.d.columns[0].num = before;
    qn_freep(&halves);
    qn_freep(&list);
    parts_done(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bins_keep_training_values_apart),
        cmocka_unit_test(bins_of_many_values_are_even),
        cmocka_unit_test(bins_of_close_values_are_even),
        cmocka_unit_test(bins_of_many_equal_bins_of_one),
        cmocka_unit_test(thousands_of_categories_stay_apart),
        cmocka_unit_test(as_many_bins_as_values),
        cmocka_unit_test(quantised_sums_are_unbiased),
        cmocka_unit_test(histograms_equal_the_reference),
        cmocka_unit_test(small_features_share_lanes),
        cmocka_unit_test(partitions_are_stable),
        cmocka_unit_test(sets_are_divided_as_lists_are),
        cmocka_unit_test(exponentials_are_near_the_library),
        cmocka_unit_test(gradients_have_the_same_bits_everywhere),
        cmocka_unit_test(splits_equal_the_reference),
        cmocka_unit_test(few_rows_are_split_as_many_are),
        cmocka_unit_test(leaves_have_enough_rows),
        cmocka_unit_test(small_pool_gives_the_same_tree),
        cmocka_unit_test(halves_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
