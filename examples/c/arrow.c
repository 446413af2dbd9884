/* A table of the Arrow C data interface: arrow MODEL COLUMN TEXT...
 *
 * Makes a table of one column of texts, as a data frame library would lend one, and prints what the
 * model says of each row; inputs that the table does not have are missing. Real tables come from such
 * a library ready made: both structs are only borrowed.
 *
 *     cc arrow.c -o arrow $(pkg-config --cflags --libs quern)
 *     ./arrow income.qn occupation Sales Tech-support '?' */
#include <quern.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void release_schema(struct ArrowSchema *schema) {
    schema->release = NULL;
}

static void release_array(struct ArrowArray *array) {
    array->release = NULL;
}

/* Texts one behind the other; text i is bytes offsets[i] to offsets[i + 1]. */
static int pack(char **texts, int n, int32_t *offsets, char *bytes, size_t room) {
    size_t used = 0;
    offsets[0] = 0;
    for (int i = 0; i < n; i++) {
        size_t len = strlen(texts[i]);
        if (len > room - used)
            return 0;
        memcpy(bytes + used, texts[i], len);
        used += len;
        offsets[i + 1] = (int32_t)used;
    }
    return 1;
}

static int predict(const qn_model *model, const char *name, const void **buffers, int n_rows,
                   qn_error *err) {
    struct ArrowSchema column_schema = {.format = "u", .name = name, .release = release_schema};
    struct ArrowSchema *column_schemas[] = {&column_schema};
    struct ArrowSchema schema = {
        .format = "+s", .n_children = 1, .children = column_schemas, .release = release_schema};
    struct ArrowArray column = {
        .length = n_rows, .n_buffers = 3, .buffers = buffers, .release = release_array};
    struct ArrowArray *columns[] = {&column};
    const void *no_nulls[] = {NULL};
    struct ArrowArray table = {.length = n_rows, .n_buffers = 1, .buffers = no_nulls,
                               .n_children = 1, .children = columns, .release = release_array};
    qn_options options = QN_OPTIONS_INIT;
    options.absent_is_missing = true;
    int n_outputs = qn_model_n_outputs(model);
    double *scores = malloc((size_t)n_rows * (size_t)n_outputs * sizeof *scores);
    qn_status status = scores ? qn_predict_arrow(model, &schema, &table, &options, scores, err)
                              : QN_ERR_MEMORY;
    for (int i = 0; status == QN_OK && i < n_rows * n_outputs; i++)
        printf("%.17g%c", scores[i], (i + 1) % n_outputs ? ' ' : '\n');
    free(scores);
    return status != QN_OK;
}

int main(int argc, char **argv) {
    enum { MAX_TEXTS = 1000 };
    static int32_t offsets[MAX_TEXTS + 1];
    static char bytes[1 << 16];
    const void *buffers[] = {NULL, offsets, bytes};
    int n_rows = argc - 3;
    if (n_rows < 1 || n_rows > MAX_TEXTS || !pack(argv + 3, n_rows, offsets, bytes, sizeof bytes))
        return fprintf(stderr, "usage: arrow MODEL COLUMN TEXT...\n"), 2;
    qn_error err = {QN_OK};
    qn_model *model = NULL;
    if (qn_model_open(argv[1], &model, &err) != QN_OK ||
        predict(model, argv[2], buffers, n_rows, &err))
        fprintf(stderr, "arrow: %s\n", err.message);
    qn_model_free(&model);
    return err.code != QN_OK;
}
