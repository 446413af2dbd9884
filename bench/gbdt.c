/* Training time of family gbdt on the synthetic set of the bars.
 *     gbdt [rows] [features] [threads] [rounds] [leaves] [file]
 * The rows go to `file` as raw doubles, column by column (training rows, then test rows), the
 * targets last, for timing another program on them. On a machine with other work compare the
 * processor times. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "learn/family_int.h"
#include "learn/gbdt.h"
#include "synthetic.h"

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    int64_t n = argc > 1 ? atoll(argv[1]) : 1000000;
    int32_t n_f = argc > 2 ? atoi(argv[2]) : 28;
    int threads = argc > 3 ? atoi(argv[3]) : 2;
    int64_t n_test = 200000;
    qn_feature *features = qn_new_array(qn_feature, n_f);
    qn_matrix train = {.n_rows = n, .n_features = n_f, .features = features},
              test = {.n_rows = n_test, .n_features = n_f, .features = features};
    train.columns = qn_new_array(qn_matrix_column, n_f);
    test.columns = qn_new_array(qn_matrix_column, n_f);
    for (int32_t j = 0; j < n_f; j++) {
        train.columns[j].num = qn_malloc_aligned((size_t)n, sizeof(double));
        test.columns[j].num = qn_malloc_aligned((size_t)n_test, sizeof(double));
    }
    double *y = qn_new_array(double, n), *y_test = qn_new_array(double, n_test);
    synthetic_rows(&train, y, 0);
    synthetic_rows(&test, y_test, n);
    const qn_family *family = &qn__family_gbdt;
    qn_gbdt_params params;
    qn_params_default(family->params, family->n_params, &params);
    params.num_iterations = argc > 4 ? atoi(argv[4]) : 100;
    params.num_leaves = argc > 5 ? atoi(argv[5]) : 255;
    qn_fit_input input = {.train = {.x = &train, .y = y}, .task = QN_TASK_BINARY, .n_classes = 2,
                          .seed = 1};
    qn_job job = {.n_threads = threads};
    qn_learner *model = NULL;
    qn_error err = {0};
    double t0 = qn_now_s();
    clock_t cpu = clock();
    if (family->fit(&params, &input, &job, &model, &err) != QN_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("train_s: %.3f\ntrain_cpu_s: %.3f\n", qn_now_s() - t0,
           (double)(clock() - cpu) / CLOCKS_PER_SEC);
    double *raw = qn_new_array(double, n_test), loss = 0;
    t0 = qn_now_s();
    family->predict(model, &test, 0, n_test, raw);
    printf("predict_batch_us_per_row_1_thread: %.3f\n", (qn_now_s() - t0) * 1e6 / (double)n_test);
    double sum = 0;
    t0 = qn_now_s();
    for (int64_t i = 0; i < 20000; i++) {
        double one;
        family->predict(model, &test, i, 1, &one);
        sum += one - raw[i];
    }
    printf("predict_single_us: %.3f (difference %g)\n", (qn_now_s() - t0) * 1e6 / 20000, sum);
    double (*pair)[2] = qn_calloc((size_t)n_test, sizeof *pair);
    double n_pos = 0, ranks = 0;
    for (int64_t i = 0; i < n_test; i++) {
        pair[i][0] = raw[i];
        pair[i][1] = y_test[i];
        loss += log1p(exp(y_test[i] > 0 ? -raw[i] : raw[i]));
    }
    qsort(pair, (size_t)n_test, sizeof *pair, compare);
    for (int64_t i = 0; i < n_test; i++)
        if (pair[i][1] > 0) {
            n_pos++;
            ranks += (double)(i + 1);
        }
    double auc = (ranks - n_pos * (n_pos + 1) / 2) / (n_pos * ((double)n_test - n_pos));
    printf("auc: %.6f\nlog_loss: %.6f\npeak_bytes: %zu\n", auc, loss / (double)n_test,
           qn_mem_peak_bytes());
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    if (family->save(model, &out, &err) == QN_OK)
        printf("model_bytes: %zu\n", out.len);
    if (argc > 6) {
        FILE *file = fopen(argv[6], "wb");
        for (int32_t j = 0; file && j < n_f; j++) {
            fwrite(train.columns[j].num, sizeof(double), (size_t)n, file);
            fwrite(test.columns[j].num, sizeof(double), (size_t)n_test, file);
        }
        if (file) {
            fwrite(y, sizeof(double), (size_t)n, file);
            fwrite(y_test, sizeof(double), (size_t)n_test, file);
            fclose(file);
        }
    }
    return 0;
}
