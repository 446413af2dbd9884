/* Time per row of a saved model: one row at a time (the path a service takes) and in blocks.
 *     row MODEL.qn FILE [rows]
 * pipeline_us is qn_pipeline_apply alone, learner_us the family's predict alone. rows_N_cpu_us_per_row is
 * libquern's path for arrays of numbers, N rows a call, in processor time: a busy machine counts less. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "data/source.h"
#include "model/rows.h"

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

static void print_quantiles(const char *name, double *us, int64_t n) {
    qsort(us, (size_t)n, sizeof *us, compare);
    printf("%s_p50_us: %.3f\n%s_p99_us: %.3f\n", name, us[n / 2], name, us[n - 1 - n / 100]);
}

static void time_rows(const qn_model *model, const qn_frame *frame, int64_t n) {
    double *whole = qn_new_array(double, n), *pipeline = qn_new_array(double, n);
    double *learner = qn_new_array(double, n),
           *scores = qn_new_array(double, qn_model_n_outputs(model));
    qn_frame **one = qn_new_array(qn_frame *, n);
    if (!whole || !pipeline || !learner || !scores || !one)
        exit(1);
    for (int64_t i = 0; i < n; i++)
        check(qn_frame_take(frame, &i, 1, &one[i], &err));
    for (int64_t i = 0; i < n; i++) {
        double t0 = qn_now_s();
        check(qn_model_predict(model, one[i], NULL, scores, &err));
        double t1 = qn_now_s();
        qn_matrix *x = NULL;
        check(qn_pipeline_apply(qn_model_pipeline(model), one[i], NULL, 0, NULL, &x, &err));
        double t2 = qn_now_s();
        qn_learner_predict(qn_model_learner(model), x, true, NULL, scores);
        double t3 = qn_now_s();
        qn_matrix_free(&x);
        whole[i] = 1e6 * (t1 - t0), pipeline[i] = 1e6 * (t2 - t1), learner[i] = 1e6 * (t3 - t2);
    }
    print_quantiles("single_row", whole, n);
    print_quantiles("single_row_pipeline", pipeline, n);
    print_quantiles("single_row_learner", learner, n);
}

static void time_batch(const qn_model *model, const qn_frame *frame) {
    double *scores = qn_new_array(double, frame->n_rows * qn_model_n_outputs(model));
    qn_matrix *x = NULL;
    double t0 = qn_now_s(), n = (double)frame->n_rows;
    check(qn_pipeline_apply(qn_model_pipeline(model), frame, NULL, 0, NULL, &x, &err));
    double t1 = qn_now_s();
    qn_learner_predict(qn_model_learner(model), x, true, NULL, scores);
    double t2 = qn_now_s();
    check(qn_model_predict(model, frame, NULL, scores, &err));
    double t3 = qn_now_s();
    printf(
        "batch_us_per_row: %.3f\nbatch_pipeline_us_per_row: %.3f\nbatch_learner_us_per_row: %.3f\n",
        1e6 * (t3 - t2) / n, 1e6 * (t1 - t0) / n, 1e6 * (t2 - t1) / n);
}

static double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Only for models whose inputs are all numbers. */
static void time_numbers(const qn_model *model, const qn_frame *frame) {
    static const int64_t sizes[] = {1, 16, 256, 4096};
    const int64_t width = qn_model_n_inputs(model), n = frame->n_rows;
    double *values = qn_calloc((size_t)n, (size_t)width * sizeof *values);
    double *scores = qn_calloc((size_t)n, (size_t)qn_model_n_outputs(model) * sizeof *scores);
    qn_rows *rows = NULL;
    check(qn_rows_new(model, &rows, &err));
    for (int32_t i = 0; i < width; i++) {
        const qn_column *column = &frame->columns[i];
        if (column->type != QN_TYPE_F64 && column->type != QN_TYPE_I64)
            return;
        for (int64_t r = 0; r < n; r++)
            values[r * width + i] = qn_column_number(column, r);
    }
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        double best = 1e9; /* of three */
        for (int turn = 0; turn < 3; turn++) {
            const double begin = cpu_s();
            for (int64_t r = 0; r + sizes[s] <= n; r += sizes[s])
                check(qn_rows_predict_numbers(rows, values + r * width, sizes[s], scores, &err));
            const double us = 1e6 * (cpu_s() - begin) / (double)(n / sizes[s] * sizes[s]);
            best = us < best ? us : best;
        }
        printf("rows_%lld_cpu_us_per_row: %.3f\n", (long long)sizes[s], best);
    }
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "row MODEL.qn FILE [rows]\n");
        return 2;
    }
    qn_model *model = NULL;
    qn_source *source = NULL;
    qn_frame *frame = NULL;
    qn_source_options options = {.path = argv[2], .header = -1};
    check(qn_model_open(argv[1], &model, &err));
    check(qn_source_open_as(&options, qn_model_inputs(model), NULL, &source, &err));
    check(qn_source_next(source, 100000, NULL, &frame, &err));
    int64_t n = argc > 3 ? atoll(argv[3]) : 5000;
    time_rows(model, frame, n < frame->n_rows ? n : frame->n_rows);
    time_batch(model, frame);
    time_numbers(model, frame);
    return 0;
}
