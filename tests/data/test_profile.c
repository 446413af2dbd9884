/* The profile: statistics against closed forms, each warning on a table made for it, and the
 * leaking columns of real data sets when they are there. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/profile.h"
#include "data/source.h"

enum { N = 1200 };

/* One table with every trouble in it; y is 1 in about one row of four. */
static qn_frame *troubled_frame(void) {
    static const struct {
        const char *name;
        qn_type type;
    } columns[] = {{"y", QN_TYPE_I64},        {"x", QN_TYPE_F64},       {"copy", QN_TYPE_F64},
                   {"constant", QN_TYPE_I64}, {"empty", QN_TYPE_F64},   {"id", QN_TYPE_I64},
                   {"leak", QN_TYPE_F64},     {"paid_at", QN_TYPE_F64}, {"day", QN_TYPE_CATEGORY},
                   {"pdays", QN_TYPE_I64},    {"sparse", QN_TYPE_F64},  {"code", QN_TYPE_CATEGORY}};
    qn_frame_builder *b = NULL;
    qn_frame *frame = NULL;
    assert_int_equal(qn_frame_builder_new(&b, NULL), QN_OK);
    for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++)
        assert_int_equal(qn_frame_builder_add_column(b, columns[c].name, columns[c].type, NULL),
                         QN_OK);
    for (uint64_t i = 0; i < N; i++) {
        double u = qn_rng_hash_uniform(1, i), v = qn_rng_hash_uniform(2, i),
               w = qn_rng_hash_uniform(3, i);
        int y = u < 0.25;
        char day[32], code[32];
        snprintf(day, sizeof day, "%02d/%02d/2016", 1 + (int)(28 * v), 1 + (int)(12 * w));
        snprintf(code, sizeof code, "c%llu", (unsigned long long)i);
        qn_status s = qn_frame_builder_number(b, 0, y, NULL);
        s = s ? s : qn_frame_builder_number(b, 1, v + 0.1 * y, NULL);
        s = s ? s : qn_frame_builder_number(b, 2, v + 0.1 * y, NULL);
        s = s ? s : qn_frame_builder_number(b, 3, 7, NULL);
        s = s ? s : qn_frame_builder_null(b, 4, NULL);
        s = s ? s : qn_frame_builder_number(b, 5, 1000 + (double)i, NULL);
        s = s ? s : qn_frame_builder_number(b, 6, 10 * y + w, NULL);
        s = s ? s : y ? qn_frame_builder_number(b, 7, w, NULL) : qn_frame_builder_null(b, 7, NULL);
        s = s ? s : qn_frame_builder_text(b, 8, day, strlen(day), NULL);
        s = s ? s : qn_frame_builder_number(b, 9, w < 0.3 ? floor(v * 30) : 999, NULL);
        s = s         ? s
            : w < 0.2 ? qn_frame_builder_number(b, 10, v, NULL)
                      : qn_frame_builder_null(b, 10, NULL);
        s = s ? s : qn_frame_builder_text(b, 11, code, strlen(code), NULL);
        assert_int_equal(s, QN_OK);
    }
    assert_int_equal(qn_frame_builder_finish(b, &frame, NULL), QN_OK);
    qn_frame_builder_free(&b);
    return frame;
}

static qn_status profile_of(const qn_frame *frame, const char *target, const qn_job *job,
                            json_t **ret, qn_error *err) {
    qn_cleanup(qn_target_info_done) qn_target_info info = {0};
    qn_cleanup(qn_freep) double *y = NULL;
    qn_target_options options = {.column = target};
    QN_TRY(qn_target_infer(frame, &options, &info, err));
    QN_TRY(qn_target_values(frame, &info, &y, err));
    return qn_profile_make(frame, target, &info, y, NULL, job, ret, err);
}

/* The severity of a warning of this kind (and reason) about this column, or NULL. */
static const char *warned(const json_t *profile, const char *kind, const char *reason,
                          const char *column) {
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(profile, "warnings"), i, entry) {
        const char *k = json_string_value(json_object_get(entry, "kind"));
        const char *r = json_string_value(json_object_get(entry, "reason"));
        const char *c = json_string_value(json_object_get(entry, "column"));
        if (strcmp(k, kind) == 0 && (!reason || (r && strcmp(r, reason) == 0)) &&
            (column ? c && strcmp(c, column) == 0 : !c))
            return json_string_value(json_object_get(entry, "severity"));
    }
    return NULL;
}

static const json_t *field_of(const json_t *profile, const char *name) {
    size_t i;
    json_t *field;
    json_array_foreach(json_object_get(profile, "fields"), i, field)
        if (strcmp(json_string_value(json_object_get(field, "name")), name) == 0)
            return field;
    return NULL;
}

static double member(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static void every_trouble_is_named(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = troubled_frame();
    qn_cleanup(qn_json_free) json_t *p = NULL;
    assert_int_equal(profile_of(frame, "y", NULL, &p, NULL), QN_OK);
    assert_string_equal(warned(p, "leak_suspect", "near_perfect", "leak"), "error");
    assert_string_equal(warned(p, "leak_suspect", "missingness", "paid_at"), "error");
    assert_non_null(warned(p, "duplicate_column", NULL, "copy"));
    assert_non_null(warned(p, "constant", NULL, "constant"));
    assert_non_null(warned(p, "all_missing", NULL, "empty"));
    assert_non_null(warned(p, "mostly_missing", NULL, "sparse"));
    assert_non_null(warned(p, "id_like", NULL, "id"));
    assert_non_null(warned(p, "id_like", NULL, "code"));
    assert_non_null(warned(p, "date_as_text", NULL, "day"));
    assert_non_null(warned(p, "sentinel", NULL, "pdays"));
    assert_null(warned(p, "leak_suspect", NULL, "x"));
    assert_null(warned(p, "leak_suspect", NULL, "id"));
    assert_null(warned(p, "leak_suspect", NULL, "code"));
    assert_null(warned(p, "imbalance", NULL, "y"));
    assert_null(warned(p, "duplicate_rows", NULL, NULL));
    double id_auc = member(json_object_get(field_of(p, "code"), "association"), "value");
    assert_true(fabs(id_auc - 0.5) < 0.06); /* memorising does not pay */

    qn_cleanup(qn_buf_done) qn_buf text = {0};
    qn_profile_text(p, 100, &text);
    assert_int_equal(qn_buf_status(&text, NULL), QN_OK);
    assert_non_null(strstr(qn_buf_text(&text), "1,200 rows, 12 columns"));
    assert_non_null(strstr(qn_buf_text(&text), "▸ y"));
    qn_cleanup(qn_json_free) json_t *junk = json_pack("{s:[i,{s:i}],s:s}", "fields", 1, "name", 2,
                                                      "warnings", "x");
    qn_profile_text(junk, -5, &text);
    assert_int_equal(qn_buf_status(&text, NULL), QN_OK);
}

static qn_frame *number_frame(const double *x, const double *y, int64_t n) {
    qn_frame_builder *b = NULL;
    qn_frame *frame = NULL;
    assert_int_equal(qn_frame_builder_new(&b, NULL), QN_OK);
    assert_int_equal(qn_frame_builder_add_column(b, "x", QN_TYPE_F64, NULL), QN_OK);
    assert_int_equal(qn_frame_builder_add_column(b, "y", QN_TYPE_F64, NULL), QN_OK);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(qn_frame_builder_number(b, 0, x[i], NULL), QN_OK);
        assert_int_equal(qn_frame_builder_number(b, 1, y[i], NULL), QN_OK);
    }
    assert_int_equal(qn_frame_builder_finish(b, &frame, NULL), QN_OK);
    qn_frame_builder_free(&b);
    return frame;
}

/* numpy.quantile, mean and std (ddof 1) of 0, 0.5, 1, ..., 50 are closed forms. */
static void statistics_are_exact(void **state) {
    double x[102], y[102];
    for (int i = 0; i <= 100; i++) {
        x[i] = 0.5 * ((i * 37) % 101);
        y[i] = i;
    }
    x[101] = NAN;
    y[101] = 5;
    qn_cleanup(qn_frame_free) qn_frame *frame = number_frame(x, y, 102);
    qn_cleanup(qn_json_free) json_t *p = NULL;
    assert_int_equal(qn_profile_make(frame, NULL, NULL, NULL, NULL, NULL, &p, NULL), QN_OK);
    const json_t *f = field_of(p, "x"), *q = json_object_get(f, "quantiles");
    assert_true(member(f, "missing") == 1 && member(f, "distinct") == 101);
    assert_true(member(f, "min") == 0 && member(f, "max") == 50);
    assert_true(fabs(member(f, "mean") - 25) < 1e-12);
    assert_true(fabs(member(f, "std") - 0.5 * sqrt(101.0 * 102 / 12)) < 1e-12);
    static const double expected[] = {0, 0.5, 2.5, 12.5, 25, 37.5, 47.5, 49.5, 50};
    for (size_t i = 0; i < 9; i++)
        assert_true(fabs(json_number_value(json_array_get(json_array_get(q, i), 1)) - expected[i]) <
                    1e-12);
    const json_t *counts = json_object_get(json_object_get(f, "histogram"), "counts");
    double total = 0;
    for (size_t i = 0; i < json_array_size(counts); i++)
        total += json_number_value(json_array_get(counts, i));
    assert_true(total == 101 && json_array_size(counts) == 20);
    assert_true(json_is_null(json_object_get(p, "target")));
}

static void parts_of_a_sum_are_suspects(void **state) {
    qn_frame_builder *b = NULL;
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    static const char *const names[] = {"a", "b", "c", "total"};
    assert_int_equal(qn_frame_builder_new(&b, NULL), QN_OK);
    for (int c = 0; c < 4; c++)
        assert_int_equal(qn_frame_builder_add_column(b, names[c], QN_TYPE_I64, NULL), QN_OK);
    for (uint64_t i = 0; i < 600; i++) {
        int64_t v[3];
        for (uint64_t c = 0; c < 3; c++)
            v[c] = c == 1 ? (int64_t)(i % 590) : (int64_t)(qn_rng_hash(c, i % 590) % 500);
        for (int c = 0; c < 3; c++)
            assert_int_equal(qn_frame_builder_i64(b, c, v[c], NULL), QN_OK);
        assert_int_equal(qn_frame_builder_i64(b, 3, v[0] + v[1], NULL), QN_OK);
    }
    assert_int_equal(qn_frame_builder_finish(b, &frame, NULL), QN_OK);
    qn_frame_builder_free(&b);
    qn_cleanup(qn_target_info_done) qn_target_info info = {.task = QN_TASK_REGRESSION};
    qn_cleanup(qn_freep) double *y = qn_new_array(double, 600);
    for (int i = 0; i < 600; i++)
        y[i] = (double)frame->columns[3].i64[i];
    qn_cleanup(qn_json_free) json_t *p = NULL;
    assert_int_equal(qn_profile_make(frame, "total", &info, y, NULL, NULL, &p, NULL), QN_OK);
    assert_string_equal(warned(p, "leak_suspect", "made_of", "a"), "error");
    assert_string_equal(warned(p, "leak_suspect", "made_of", "b"), "error");
    assert_null(warned(p, "leak_suspect", NULL, "c"));
    assert_true(member(p, "duplicate_rows") == 10); /* rows 591..600 repeat 1..10 */
    assert_non_null(warned(p, "duplicate_rows", NULL, NULL));
}

static void edges_do_not_break(void **state) {
    qn_cleanup(qn_json_free) json_t *p = NULL, *q = NULL;
    double x[3] = {INFINITY, 1, -INFINITY}, y[3] = {1, 2, 3};
    qn_cleanup(qn_frame_free) qn_frame *none = number_frame(x, y, 0), *few = number_frame(x, y, 3);
    assert_int_equal(qn_profile_make(none, "y", NULL, NULL, NULL, NULL, &p, NULL), QN_OK);
    qn_error err = {0};
    assert_int_equal(profile_of(few, "y", NULL, &q, &err), QN_OK);
    assert_non_null(warned(q, "infinite", NULL, "x"));
    json_t *bad = NULL;
    assert_int_equal(qn_profile_make(few, "z", NULL, NULL, NULL, NULL, &bad, &err),
                     QN_ERR_NOT_FOUND);
    volatile sig_atomic_t stop = 1;
    qn_job job = {.n_threads = 1, .cancel = &stop};
    assert_int_equal(qn_profile_make(few, "y", NULL, NULL, NULL, &job, &bad, &err),
                     QN_ERR_CANCELLED);
    assert_null(bad);
}

static void threads_do_not_matter(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = troubled_frame();
    qn_cleanup(qn_json_free) json_t *a = NULL, *b = NULL;
    qn_job one = {.n_threads = 1}, four = {.n_threads = 4};
    assert_int_equal(profile_of(frame, "y", &one, &a, NULL), QN_OK);
    assert_int_equal(profile_of(frame, "y", &four, &b, NULL), QN_OK);
    qn_cleanup(qn_freep) char *text_a = qn_json_text(a, 0), *text_b = qn_json_text(b, 0);
    assert_string_equal(text_a, text_b);
}

static void memory_fails_cleanly(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = troubled_frame();
    qn_cleanup(qn_target_info_done) qn_target_info info = {0};
    qn_cleanup(qn_freep) double *y = NULL;
    qn_target_options options = {.column = "y"};
    assert_int_equal(qn_target_infer(frame, &options, &info, NULL), QN_OK);
    assert_int_equal(qn_target_values(frame, &info, &y, NULL), QN_OK);
    qn_status status = QN_ERR_MEMORY;
    for (int i = 0; status == QN_ERR_MEMORY; i += i < 60 ? 1 : 7) {
        qn_cleanup(qn_json_free) json_t *p = NULL;
        qn_mem_fail_after(i);
        status = qn_profile_make(frame, "y", &info, y, NULL, NULL, &p, NULL);
        qn_mem_fail_after(-1);
    }
    assert_int_equal(status, QN_OK);
}

/* ---- real data ---- */

static json_t *profile_of_file(const char *file, const char *target) {
    const char *folder = getenv("QN_TEST_DATA");
    qn_cleanup(qn_freep) char *path = qn_path_join(folder ? folder : "../shared/data", file);
    if (!qn_file_exists(path)) {
        print_message("# skipped: %s is not there (set QN_TEST_DATA)\n", path);
        return NULL;
    }
    qn_error err = {0};
    qn_source_options options = {.path = path, .header = -1};
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    qn_job job = {.n_threads = 2};
    if (qn_source_open(&options, &job, &source, &err) == QN_ERR_NOT_FOUND) {
        print_message("# skipped: %s\n", err.message);
        return NULL;
    }
    assert_int_equal(qn_source_next(source, INT64_MAX, &job, &frame, &err), QN_OK);
    json_t *p = NULL;
    assert_int_equal(profile_of(frame, target, &job, &p, &err), QN_OK);
    return p;
}

static void known_leaks_are_caught(void **state) {
    static const struct {
        const char *file, *target, *leaks[2], *reason;
    } cases[] = {
        {"talkingdata_clicks_100k.csv.gz", "is_attributed", {"attributed_time"}, "missingness"},
        {"fraud_handbook_simulated_61d.csv.gz", "TX_FRAUD", {"TX_FRAUD_SCENARIO"}, "near_perfect"},
        {"bank_additional_full.csv.gz", "y", {"duration"}, "dominating"},
        {"bike_sharing_hour.csv.gz", "cnt", {"casual", "registered"}, "made_of"},
        {"adult_train.csv.gz", "income", {NULL}, NULL},
        {"california_housing.csv.gz", "median_house_value", {NULL}, NULL},
        {"diamonds.csv.gz", "price", {NULL}, NULL},
        {"electricity_elec2.csv.gz", "class", {NULL}, NULL},
        {"creditcard_fraud_subset.csv.gz", "Class", {NULL}, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_cleanup(qn_json_free) json_t *p = profile_of_file(cases[i].file, cases[i].target);
        if (!p)
            continue;
        size_t n_expected = 0, n_found = 0, k;
        for (; n_expected < 2 && cases[i].leaks[n_expected]; n_expected++)
            assert_non_null(warned(p, "leak_suspect", cases[i].reason, cases[i].leaks[n_expected]));
        json_t *entry;
        json_array_foreach(json_object_get(p, "warnings"), k, entry)
            n_found += json_object_get(entry, "reason") != NULL;
        assert_int_equal(n_found, n_expected);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_trouble_is_named),
        cmocka_unit_test(statistics_are_exact),
        cmocka_unit_test(parts_of_a_sum_are_suspects),
        cmocka_unit_test(edges_do_not_break),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(memory_fails_cleanly),
        cmocka_unit_test(known_leaks_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
