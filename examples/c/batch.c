/* Many rows over threads: batch MODEL THREADS <rows
 *
 * Every line holds one number per input of the model, in the order of its signature, separated by
 * spaces; "nan" is missing. Prints what the model says, a line per row.
 *
 *     cc batch.c -o batch $(pkg-config --cflags --libs quern)
 *     ./batch prices.qn 2 <rows.txt */
#include <quern.h>
#include <stdio.h>
#include <stdlib.h>

/* All numbers of standard input; their count in *ret_n. NULL when something there is no number. */
static double *read_numbers(int64_t *ret_n) {
    int64_t n = 0, room = 1024;
    double *numbers = malloc((size_t)room * sizeof *numbers), x;
    int got = EOF;
    while (numbers && (got = scanf("%lf", &x)) == 1) {
        if (n == room) {
            double *larger = realloc(numbers, (size_t)(room *= 2) * sizeof *numbers);
            if (!larger)
                break;
            numbers = larger;
        }
        numbers[n++] = x;
    }
    if (got != EOF) {
        free(numbers);
        return NULL;
    }
    *ret_n = n;
    return numbers;
}

static int predict(const qn_model *model, int n_threads, qn_error *err) {
    int64_t n = 0;
    int32_t n_inputs = qn_model_n_inputs(model), n_outputs = qn_model_n_outputs(model);
    double *values = read_numbers(&n);
    if (!values || n % n_inputs != 0) {
        fprintf(stderr, "batch: %d numbers per row are wanted\n", (int)n_inputs);
        free(values);
        return 1;
    }
    int64_t n_rows = n / n_inputs;
    double *scores = malloc((size_t)(n_rows * n_outputs + 1) * sizeof *scores);
    qn_options options = QN_OPTIONS_INIT;
    options.n_threads = n_threads;
    int failed =
        !scores || qn_predict_numbers(model, values, n_rows, &options, scores, err) != QN_OK;
    for (int64_t i = 0; !failed && i < n_rows * n_outputs; i++)
        printf("%.17g%c", scores[i], (i + 1) % n_outputs ? ' ' : '\n');
    if (failed)
        fprintf(stderr, "batch: %s\n", err->message);
    free(scores);
    free(values);
    return failed;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return fprintf(stderr, "usage: batch MODEL THREADS <rows\n"), 2;
    qn_error err = {QN_OK};
    qn_model *model = NULL;
    if (qn_model_open(argv[1], &model, &err) != QN_OK)
        return fprintf(stderr, "batch: %s\n", err.message), 1;
    int failed = predict(model, atoi(argv[2]), &err);
    qn_model_free(&model);
    return failed;
}
