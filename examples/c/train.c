/* Trees with a loss of one's own: guesses that are too low cost more than those that are too high.
 * Rows come on standard input, numbers with the label last; the model goes to a file.
 *
 *     cc -O2 train.c -o train $(pkg-config --cflags --libs quern) -lm
 *     ./train 3 5 model.qn <rows             (3 inputs; too low costs 5 times as much) */
#include <math.h>
#include <quern.h>
#include <stdio.h>
#include <stdlib.h>

/* w (score - label)^2 / 2, w being *user below the label and 1 above. */
static qn_status lopsided(void *user, const double *scores, const double *labels,
                          const double *weights, int64_t n_rows, int32_t n_outputs,
                          double *gradients, double *hessians) {
    const double low = *(const double *)user;
    (void)n_outputs; /* 1: a regression */
    for (int64_t i = 0; i < n_rows; i++) {
        double w = (weights ? weights[i] : 1) * (scores[i] < labels[i] ? low : 1);
        gradients[i] = w * (scores[i] - labels[i]);
        hessians[i] = w;
    }
    return QN_OK;
}

/* All numbers of standard input, `width` to a row; the caller frees. */
static double *read_rows(int width, int64_t *ret_n) {
    double *rows = NULL, x;
    size_t n = 0, cap = 0;
    while (scanf("%lf", &x) == 1) {
        if (n == cap) {
            cap = cap ? 2 * cap : 1024;
            double *more = realloc(rows, cap * sizeof *rows);
            if (!more)
                return free(rows), NULL;
            rows = more;
        }
        rows[n++] = x;
    }
    *ret_n = (int64_t)n / width;
    return rows;
}

int main(int argc, char **argv) {
    if (argc != 4 || atoi(argv[1]) < 1)
        return fprintf(stderr, "usage: train INPUTS COST MODEL.qn <rows\n"), 2;
    const int n_inputs = atoi(argv[1]);
    double low = atof(argv[2]);
    qn_error err = {QN_OK};
    qn_model *model = NULL;
    int64_t n_rows = 0;
    double *rows = read_rows(n_inputs + 1, &n_rows);
    double *values = malloc((size_t)(n_rows * n_inputs + 1) * sizeof *values);
    double *labels = malloc((size_t)(n_rows + 1) * sizeof *labels);
    if (!rows || !values || !labels)
        return fprintf(stderr, "train: out of memory, or no rows\n"), 1;
    for (int64_t i = 0; i < n_rows; i++) {
        for (int j = 0; j < n_inputs; j++)
            values[i * n_inputs + j] = rows[i * (n_inputs + 1) + j];
        labels[i] = rows[i * (n_inputs + 1) + n_inputs];
    }
    qn_train_data data = {values, labels, NULL, n_rows};
    qn_train_options options = QN_TRAIN_OPTIONS_INIT;
    options.n_inputs = n_inputs;
    options.params = "{\"num_iterations\": 200, \"num_leaves\": 15}";
    options.gradients = lopsided;
    options.user = &low;
    if (qn_train(&data, &options, &model, &err) != QN_OK ||
        qn_model_save(model, argv[3], &err) != QN_OK)
        fprintf(stderr, "train: %s\n", err.message);
    else
        printf("%s: trained on %lld rows\n", argv[3], (long long)n_rows);
    qn_model_free(&model);
    free(rows);
    free(values);
    free(labels);
    return err.code != QN_OK;
}
