/* Scoring by gradient-boosted trees: one row at a time (median and 99th percentile) and batches of
 * 200,000 rows, by each kernel that runs here and as the rest of Quern calls it.
 *     score [rows] [features] [trees] [leaves] [folder]
 * Trains on `rows` rows of the synthetic set and scores rows that it has not seen. With a folder
 * the trees and all rows (numbers row by row, then the targets, as raw doubles) are kept there, for
 * another program to learn from; when they are there already, only batches are timed. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "base/mem.h"
#include "learn/family_int.h"
#include "learn/gbdt.h"
#include "learn/gbdt_kernel_int.h"
#include "synthetic.h"

enum { TEST_ROWS = 200000, SINGLE_ROWS = 20000, TIMES = 5, MOST_FEW = 256 };

static qn_error err;

static void check(qn_status status) {
    if (status == QN_OK)
        return;
    fprintf(stderr, "%s\n", err.message);
    exit(1);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static qn_learner *train(int64_t n, const qn_feature *features, int32_t n_features, int64_t trees,
                         int64_t leaves) {
    qn_matrix *x = NULL;
    check(qn_matrix_new(n, features, n_features, &x, &err));
    double *y = qn_new_array(double, n);
    synthetic_rows(x, y, 0);
    qn_gbdt_params params;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &params);
    params.num_iterations = trees;
    params.num_leaves = leaves;
    qn_fit_input input = {.train = {.x = x, .y = y}, .task = QN_TASK_BINARY, .n_classes = 2,
                          .seed = 1};
    qn_job job = {.n_threads = 2};
    qn_learner *learner = NULL;
    check(qn__family_gbdt.fit(&params, &input, &job, &learner, &err));
    qn_matrix_free(&x);
    qn_freep(&y);
    return learner;
}

static qn_learner *load(const char *path, const qn_feature *features, int32_t n_features) {
    static qn_map map; /* the learner uses it to the end */
    qn_learner *learner = NULL;
    check(qn_map_open(path, (size_t)1 << 34, &map, &err));
    check(qn__family_gbdt.load(map.data, map.len, features, n_features, &learner, &err));
    return learner;
}

static void keep_trees(const qn_learner *learner, const char *path) {
    qn_buf bytes = {.max = (size_t)1 << 34};
    check(qn__family_gbdt.save(learner, &bytes, &err));
    check(qn_file_write(path, bytes.data, bytes.len, &err));
    qn_buf_done(&bytes);
}

static void keep_rows(int64_t n, const qn_feature *features, int32_t n_features, const char *path) {
    qn_matrix *x = NULL;
    check(qn_matrix_new(n, features, n_features, &x, &err));
    double *y = qn_new_array(double, n), *rows = qn_new_array(double, n *n_features);
    synthetic_rows(x, y, 0);
    qn_matrix_rows(x, 0, n, rows);
    FILE *file = fopen(path, "wb");
    if (!file)
        exit(1);
    fwrite(rows, sizeof *rows, (size_t)(n * n_features), file);
    fwrite(y, sizeof *y, (size_t)n, file);
    fclose(file);
    qn_matrix_free(&x);
    qn_freep(&y);
    qn_freep(&rows);
}

static void time_single(const qn__gbdt_kernel *kernel, const qn__gbdt *m, const double *rows,
                        const double *expected) {
    int32_t width = m->learner.n_features;
    double *us = qn_new_array(double, SINGLE_ROWS), raw, difference = 0;
    for (int64_t i = 0; i < SINGLE_ROWS; i++) {
        double start = qn_now_s();
        qn__gbdt_predict_rows_by(kernel, m, rows + i * width, 1, &raw);
        us[i] = 1e6 * (qn_now_s() - start);
        difference += fabs(raw - expected[i]);
    }
    qsort(us, SINGLE_ROWS, sizeof *us, compare);
    printf("single_row_%s_p50_us: %.3f\nsingle_row_%s_p99_us: %.3f\n", kernel->name,
           us[SINGLE_ROWS / 2], kernel->name, us[SINGLE_ROWS - SINGLE_ROWS / 100]);
    if (difference != 0)
        printf("single_row_%s_difference: %g\n", kernel->name, difference);
    qn_freep(&us);
}

static void time_batch(const qn__gbdt_kernel *kernel, const qn__gbdt *m, const qn_matrix *x,
                       const double *expected) {
    double *raw = qn_new_array(double, x->n_rows), best = 1e300, difference = 0;
    for (int k = 0; k < TIMES; k++) {
        double start = qn_now_s();
        qn__gbdt_predict_by(kernel, m, x, 0, x->n_rows, raw);
        best = fmin(best, qn_now_s() - start);
    }
    for (int64_t i = 0; i < x->n_rows; i++)
        difference += fabs(raw[i] - expected[i]);
    printf("batch_%s_us_per_row: %.3f\n", kernel->name, 1e6 * best / (double)x->n_rows);
    if (difference != 0)
        printf("batch_%s_difference: %g\n", kernel->name, difference);
    qn_freep(&raw);
}

/* Few rows at a time, as a service gets them. */
static void time_few(const qn__gbdt_kernel *kernel, const qn__gbdt *m, const double *rows,
                     int64_t n) {
    enum { CALLS = 400 };
    double raw[MOST_FEW], best = 1e300;
    for (int k = 0; k < TIMES; k++) {
        double start = qn_now_s();
        for (int64_t i = 0; i < CALLS; i++)
            qn__gbdt_predict_rows_by(kernel, m, rows + i * n * m->learner.n_features, n, raw);
        best = fmin(best, (qn_now_s() - start) / CALLS);
    }
    printf("of_%d_rows_%s_us_per_row: %.3f\n", (int)n, kernel->name, 1e6 * best / (double)n);
}

static void time_learner(const qn_learner *learner, const qn_matrix *x, int n_threads) {
    qn_job job = {.n_threads = n_threads};
    double *scores = qn_new_array(double, x->n_rows), best = 1e300, cpu = 1e300;
    for (int k = 0; k < TIMES; k++) {
        double start = qn_now_s();
        clock_t clock_start = clock();
        qn_learner_predict(learner, x, true, &job, scores);
        cpu = fmin(cpu, (double)(clock() - clock_start) / CLOCKS_PER_SEC);
        best = fmin(best, qn_now_s() - start);
    }
    printf("batch_%d_threads_s: %.4f\nbatch_%d_threads_cpu_s: %.4f\n"
           "batch_%d_threads_rows_per_s: %.0f\n", n_threads, best, n_threads, cpu, n_threads,
           (double)x->n_rows / best);
    qn_freep(&scores);
}

static void time_kernels(const qn__gbdt *m, const qn_matrix *x) {
    double *expected = qn_new_array(double, x->n_rows);
    double *rows = qn_new_array(double, x->n_rows *x->n_features);
    qn_matrix_rows(x, 0, x->n_rows, rows);
    for (int64_t i = 0; i < x->n_rows; i++)
        expected[i] = m->base[0];
    qn__gbdt_add_trees_ref(m, x, 0, x->n_rows, expected);
    for (const qn__gbdt_kernel *const *kernel = qn__gbdt_kernels; *kernel; kernel++) {
        if (!(*kernel)->runs_here())
            continue;
        time_single(*kernel, m, rows, expected);
        for (int64_t n = 16; n <= MOST_FEW; n *= 4)
            time_few(*kernel, m, rows, n);
        time_batch(*kernel, m, x, expected);
    }
    qn_freep(&expected);
    qn_freep(&rows);
}

int main(int argc, char **argv) {
    int64_t n = argc > 1 ? atoll(argv[1]) : 200000;
    int32_t n_features = argc > 2 ? atoi(argv[2]) : 28;
    int64_t trees = argc > 3 ? atoll(argv[3]) : 100, leaves = argc > 4 ? atoll(argv[4]) : 255;
    char trees_path[1024] = "", rows_path[1024] = "";
    if (argc > 5) {
        snprintf(trees_path, sizeof trees_path, "%s/trees.bin", argv[5]);
        snprintf(rows_path, sizeof rows_path, "%s/rows.f64", argv[5]);
    }
    bool is_there = argc > 5 && qn_file_exists(trees_path);
    qn_feature *features = qn_new_array(qn_feature, n_features);
    qn_learner *learner = is_there ? load(trees_path, features, n_features)
                                   : train(n, features, n_features, trees, leaves);
    if (argc > 5 && !is_there) {
        keep_trees(learner, trees_path);
        keep_rows(n + TEST_ROWS, features, n_features, rows_path);
    }
    const qn__gbdt *m = (const qn__gbdt *)learner;
    qn_matrix *x = NULL;
    check(qn_matrix_new(TEST_ROWS, features, n_features, &x, &err));
    double *y = qn_new_array(double, TEST_ROWS);
    synthetic_rows(x, y, n);
    printf("trees: %d\nleaves: %lld\n", m->n_trees, (long long)(m->n_nodes + m->n_trees) / 2);
    if (!is_there)
        time_kernels(m, x);
    time_learner(learner, x, 1);
    time_learner(learner, x, 2);
    qn_learner_free(&learner);
    return 0;
}
