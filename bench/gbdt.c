/* Training of family gbdt on made or given rows: time, memory, quality.
 *     gbdt [name=value]...
 *       kind=numeric|classes|categories|onehot|dense    which rows to make
 *       rows=N                how many (200,000 more to test on; a fifth for the last three kinds)
 *       write=FILE            put them there and stop   read=FILE    rows from there instead
 *       threads, rounds, leaves, seed                   of the training
 *       memory=BYTES          limit of the training; what exceeds it goes to the folder it runs in
 *       NAME=VALUE                                      any parameter of the family by its name
 * numeric: 28 standard normal numbers, the class from a noisy mix of a line, a product and a
 * threshold. classes: 10 normal numbers and 44 binary ones (each set in 5 to 50 % of the rows), 7
 * classes, the largest of 7 noisy lines. categories: 9 normal numbers and a column of 3,000
 * categories, the first ones more frequent; onehot: 20 such columns of 500 as 10,000 sparse ones;
 * dense: 20 of 50 as 1,000 dense ones of 0 and 1; the class from a noisy sum of effects. A file
 * holds int64 rows, test rows, features, classes (0: none, a number); int64 categories of each
 * feature (0: a number, -1: sparse); each feature as doubles, training rows first, a sparse one as
 * int64 n, n int64 rows, n doubles; the targets.
 * gbdt_vs_sklearn.py and gbdt_wide.py train other programs on the same files. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "learn/family_int.h"
#include "learn/gbdt.h"

enum { NUMERIC_FEATURES = 28, CLASSES_FEATURES = 54, CLASSES_NUMERIC = 10, CLASSES = 7 };
enum { WIDE_NUMERIC = 9, WIDE_CATEGORIES = 3000, WIDE_FIELDS = 20, WIDE_LEVELS = 500,
       DENSE_LEVELS = 50 };

typedef struct set {
    int64_t head[4];       /* rows, test rows, features, classes */
    int64_t *n_categories;
    double **column, *y;   /* training rows, then test rows */
    int64_t **row, *n_set; /* sparse: rows that have a value */
} set;

typedef struct options {
    const char *kind, *write, *read;
    int64_t rows, threads, rounds, leaves, seed, memory;
    char **params;         /* those of the family, as name=value */
    int n_params;
} options;

static double draw(uint64_t i, uint64_t j) {
    double u = qn_rng_hash_uniform(2 * j + 1, i), v = qn_rng_hash_uniform(2 * j + 2, i);
    return sqrt(-2 * log(u + 1e-300)) * cos(2 * M_PI * v);
}

static void allocate(set *s) {
    size_t n = (size_t)(s->head[0] + s->head[1]);
    if (!s->n_categories)
        s->n_categories = qn_new_array(int64_t, s->head[2]);
    s->column = qn_new_array(double *, s->head[2]);
    s->row = qn_new_array(int64_t *, s->head[2]);
    s->n_set = qn_new_array(int64_t, s->head[2]);
    for (int64_t j = 0; j < s->head[2]; j++)
        if (s->n_categories[j] >= 0)
            s->column[j] = qn_malloc_aligned(n, sizeof(double));
    s->y = qn_malloc_aligned(n, sizeof(double));
}

static void make_numeric(set *s, int64_t rows) {
    memcpy(s->head, (int64_t[]){rows, 200000, NUMERIC_FEATURES, 2}, sizeof s->head);
    allocate(s);
#pragma omp parallel for
    for (int64_t i = 0; i < rows + 200000; i++) {
        double sum = 0, x[NUMERIC_FEATURES];
        for (int j = 0; j < NUMERIC_FEATURES; j++) {
            x[j] = s->column[j][i] = draw((uint64_t)i, (uint64_t)j);
            sum += x[j] * cos(j * 1.7) * 0.4;
        }
        sum += x[0] * x[1] + (x[2] > 0.5);
        s->y[i] = qn_rng_hash_uniform(0, (uint64_t)i) < 1 / (1 + exp(-sum));
    }
}

static void make_classes(set *s, int64_t rows) {
    memcpy(s->head, (int64_t[]){rows, 200000, CLASSES_FEATURES, CLASSES}, sizeof s->head);
    allocate(s);
#pragma omp parallel for
    for (int64_t i = 0; i < rows + 200000; i++) {
        double sum[CLASSES] = {0};
        for (int j = 0; j < CLASSES_FEATURES; j++) {
            double x = draw((uint64_t)i, (uint64_t)j), share = 0.05 + 0.45 * (j * 7 % 44) / 43;
            if (j >= CLASSES_NUMERIC)
                x = qn_rng_hash_uniform(2 * (uint64_t)j + 1, (uint64_t)i) < share;
            s->column[j][i] = x;
            for (int k = 0; k < CLASSES; k++)
                sum[k] += x * cos(j * 1.7 + k * 2.3) * (j < CLASSES_NUMERIC ? 0.8 : 0.5);
        }
        int best = 0;
        for (int k = 0; k < CLASSES; k++) {
            sum[k] += s->column[k][i] * s->column[(k + 1) % CLASSES][i] * 0.7
                      + draw((uint64_t)i, 1000 + (uint64_t)k);
            best = sum[k] > sum[best] ? k : best;
        }
        s->y[i] = best;
    }
}

/* The level of a row, small ones more likely, and what it adds. */
static int level_of(int64_t i, int field, int n) {
    double u = qn_rng_hash_uniform(5000 + (uint64_t)field, (uint64_t)i);
    return (int)(u * u * n);
}

static double effect_of(int field, int level) {
    return 2 * qn_rng_hash_uniform(7000 + (uint64_t)field, (uint64_t)level) - 1;
}

static void make_categories(set *s, int64_t rows) {
    memcpy(s->head, (int64_t[]){rows, rows / 5, WIDE_NUMERIC + 1, 2}, sizeof s->head);
    s->n_categories = qn_new_array(int64_t, s->head[2]);
    s->n_categories[WIDE_NUMERIC] = WIDE_CATEGORIES;
    allocate(s);
    for (int64_t i = 0; i < rows + rows / 5; i++) {
        int level = level_of(i, 0, WIDE_CATEGORIES);
        double sum = 2 * effect_of(0, level);
        for (int j = 0; j < WIDE_NUMERIC; j++) {
            s->column[j][i] = draw((uint64_t)i, (uint64_t)j);
            sum += s->column[j][i] * cos(j * 1.7) * 0.4;
        }
        s->column[WIDE_NUMERIC][i] = level;
        s->y[i] = qn_rng_hash_uniform(0, (uint64_t)i) < 1 / (1 + exp(-sum));
    }
}

static void make_onehot(set *s, int64_t rows) {
    int64_t n = rows + rows / 5;
    memcpy(s->head, (int64_t[]){rows, rows / 5, WIDE_FIELDS * WIDE_LEVELS, 2}, sizeof s->head);
    s->n_categories = qn_new_array(int64_t, s->head[2]);
    for (int64_t j = 0; j < s->head[2]; j++)
        s->n_categories[j] = -1;
    allocate(s);
    double *sum = qn_new_array(double, n);
    for (int f = 0; f < WIDE_FIELDS; f++) {
        for (int64_t i = 0; i < n; i++)
            s->n_set[f * WIDE_LEVELS + level_of(i, f, WIDE_LEVELS)]++;
        for (int j = f * WIDE_LEVELS; j < (f + 1) * WIDE_LEVELS; j++) {
            s->row[j] = qn_new_array(int64_t, s->n_set[j] + 1);
            s->column[j] = qn_new_array(double, s->n_set[j] + 1);
            s->n_set[j] = 0;
        }
        for (int64_t i = 0; i < n; i++) {
            int level = level_of(i, f, WIDE_LEVELS), j = f * WIDE_LEVELS + level;
            s->row[j][s->n_set[j]] = i;
            s->column[j][s->n_set[j]++] = 1;
            sum[i] += effect_of(f, level);
        }
    }
    for (int64_t i = 0; i < n; i++)
        s->y[i] = qn_rng_hash_uniform(0, (uint64_t)i) < 1 / (1 + exp(-sum[i]));
    qn_freep(&sum);
}

static void make_dense(set *s, int64_t rows) {
    int64_t n = rows + rows / 5;
    memcpy(s->head, (int64_t[]){rows, rows / 5, WIDE_FIELDS * DENSE_LEVELS, 2}, sizeof s->head);
    allocate(s);
    for (int64_t j = 0; j < s->head[2]; j++)
        memset(s->column[j], 0, (size_t)n * sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int f = 0; f < WIDE_FIELDS; f++) {
            int level = level_of(i, f, DENSE_LEVELS);
            s->column[f * DENSE_LEVELS + level][i] = 1;
            sum += effect_of(f, level);
        }
        s->y[i] = qn_rng_hash_uniform(0, (uint64_t)i) < 1 / (1 + exp(-sum));
    }
}

static bool move(FILE *file, bool write, void *items, size_t n) {
    return write ? fwrite(items, 8, n, file) == n : fread(items, 8, n, file) == n;
}

static bool move_sparse(FILE *file, bool write, set *s, int64_t j) {
    if (!move(file, write, &s->n_set[j], 1))
        return false;
    if (!write) {
        s->row[j] = qn_new_array(int64_t, s->n_set[j] + 1);
        s->column[j] = qn_new_array(double, s->n_set[j] + 1);
    }
    return move(file, write, s->row[j], (size_t)s->n_set[j])
           && move(file, write, s->column[j], (size_t)s->n_set[j]);
}

/* Writes the set, or reads it. */
static bool transfer(set *s, const char *path, bool write) {
    FILE *file = fopen(path, write ? "wb" : "rb");
    bool ok = file && move(file, write, s->head, 4);
    if (ok && !write)
        s->n_categories = qn_new_array(int64_t, s->head[2]);
    size_t n = (size_t)(s->head[0] + s->head[1]);
    ok = ok && move(file, write, s->n_categories, (size_t)s->head[2]);
    if (ok && !write)
        allocate(s);
    for (int64_t j = 0; ok && j < s->head[2]; j++)
        ok = s->n_categories[j] < 0 ? move_sparse(file, write, s, j)
                                    : move(file, write, s->column[j], n);
    ok = ok && move(file, write, s->y, n);
    if (file)
        ok = fclose(file) == 0 && ok;
    return ok;
}

/* Those of a sparse column that are rows first .. first + n - 1, counted from there. */
static void take_sparse(const set *s, int64_t j, int64_t first, int64_t n, qn_matrix_column *c) {
    int64_t from = 0, to;
    while (from < s->n_set[j] && s->row[j][from] < first)
        from++;
    for (to = from; to < s->n_set[j] && s->row[j][to] < first + n; to++)
        continue;
    c->n_set = to - from;
    c->value = s->column[j] + from;
    int64_t *row = qn_new_array(int64_t, c->n_set + 1);
    for (int64_t k = 0; k < c->n_set; k++)
        row[k] = s->row[j][from + k] - first;
    c->row = row;
}

/* Rows first .. first + n - 1 as a matrix; codes and sparse rows get arrays of their own. */
static qn_matrix matrix_of(const set *s, int64_t first, int64_t n, const qn_feature *features) {
    qn_matrix x = {.n_rows = n, .n_features = (int32_t)s->head[2], .features = features};
    x.columns = qn_new_array(qn_matrix_column, s->head[2]);
    for (int64_t j = 0; j < s->head[2]; j++) {
        if (s->n_categories[j] < 0)
            take_sparse(s, j, first, n, &x.columns[j]);
        else
            x.columns[j].num = s->column[j] + first;
        if (s->n_categories[j] <= 0)
            continue;
        x.columns[j].code = qn_malloc_aligned((size_t)n, sizeof(int32_t));
        for (int64_t i = 0; i < n; i++)
            x.columns[j].code[i] = (int32_t)s->column[j][first + i];
    }
    return x;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double auc_of(const double *raw, const double *y, int64_t n) {
    double (*pair)[2] = qn_calloc((size_t)n, sizeof *pair), n_pos = 0, ranks = 0;
    for (int64_t i = 0; i < n; i++) {
        pair[i][0] = raw[i];
        pair[i][1] = y[i];
    }
    qsort(pair, (size_t)n, sizeof *pair, compare);
    for (int64_t i = 0, from = 0; i < n; i++) { /* equal scores share their mean rank */
        if (i + 1 < n && pair[i + 1][0] == pair[from][0])
            continue;
        for (int64_t k = from; k <= i; k++)
            if (pair[k][1] > 0) {
                n_pos++;
                ranks += (double)(from + i) / 2 + 1;
            }
        from = i + 1;
    }
    qn_freep(&pair);
    return (ranks - n_pos * (n_pos + 1) / 2) / (n_pos * ((double)n - n_pos));
}

static void print_quality(const qn_learner *model, const double *raw, const double *y, int64_t n) {
    int32_t n_k = model->n_outputs;
    double loss = 0;
    for (int64_t i = 0; i < n; i++) {
        const double *r = raw + i * n_k;
        double sum = 0, top = r[0];
        for (int32_t k = 1; k < n_k; k++)
            top = fmax(top, r[k]);
        for (int32_t k = 0; k < n_k; k++)
            sum += exp(r[k] - top);
        double one = n_k > 1 ? log(sum) + top - r[(int)y[i]] : log1p(exp(y[i] > 0 ? -r[0] : r[0]));
        loss += fmin(one, -log(DBL_EPSILON)); /* as scikit-learn's */
    }
    if (n_k == 1)
        printf("auc: %.6f\n", auc_of(raw, y, n));
    printf("log_loss: %.6f\n", loss / (double)n);
}

/* Not qn_mem_peak_bytes: that of the program which started this one would count, too. */
static double peak_bytes(void) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    double kilobytes = 0;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kilobytes = atof(line + 6);
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

static bool set_params(const options *o, qn_gbdt_params *params) {
    const qn_family *family = &qn__family_gbdt;
    qn_error err = {0};
    for (int i = 0; i < o->n_params; i++) {
        char *value = strchr(o->params[i], '='), name[64];
        snprintf(name, sizeof name, "%.*s", (int)(value - o->params[i]), o->params[i]);
        if (qn_params_set(family->params, family->n_params, name, value + 1, params, &err)
            != QN_OK) {
            fprintf(stderr, "%s\n", err.message);
            return false;
        }
    }
    return true;
}

static int train(const set *s, const options *o) {
    int32_t n_f = (int32_t)s->head[2];
    int64_t n = s->head[0], n_test = s->head[1];
    qn_feature *features = qn_new_array(qn_feature, n_f);
    for (int32_t j = 0; j < n_f; j++) {
        features[j].kind = s->n_categories[j] > 0   ? QN_FEATURE_CATEGORY
                           : s->n_categories[j] < 0 ? QN_FEATURE_SPARSE
                                                    : QN_FEATURE_NUMERIC;
        features[j].n_categories = (int32_t)(s->n_categories[j] > 0 ? s->n_categories[j] : 0);
    }
    qn_matrix x = matrix_of(s, 0, n, features), test = matrix_of(s, n, n_test, features);
    const qn_family *family = &qn__family_gbdt;
    qn_gbdt_params params;
    qn_params_default(family->params, family->n_params, &params);
    params.num_iterations = o->rounds;
    params.num_leaves = o->leaves;
    if (!set_params(o, &params))
        return 2;
    bool multi = s->head[3] > 2;
    qn_fit_input input = {.train = {.x = &x, .y = s->y}, .n_classes = (int32_t)s->head[3],
                          .task = multi ? QN_TASK_MULTICLASS : QN_TASK_BINARY,
                          .seed = (uint64_t)o->seed};
    qn_job job = {.n_threads = (int)o->threads, .memory_bytes = (size_t)o->memory,
                  .temp_folder = "."};
    qn_learner *model = NULL;
    qn_error err = {0};
    double before = peak_bytes();
    double t0 = qn_now_s();
    clock_t cpu = clock();
    if (family->fit(&params, &input, &job, &model, &err) != QN_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    double seconds = qn_now_s() - t0;
    printf("train_s: %.3f\ntrain_cpu_s: %.3f\n", seconds, (double)(clock() - cpu) / CLOCKS_PER_SEC);
    double floor = (double)n * (n_f + 8.0 * model->n_outputs + 8);
    printf("train_ns_per_row_and_tree: %.2f\n",
           seconds * 1e9 / (double)n / (double)(o->rounds * model->n_outputs));
    double peak = peak_bytes() - before;
    printf("peak_bytes: %.0f\npeak_bytes_by_bins_gradients_and_column: %.3f\n", peak,
           peak / floor);
    double *raw = qn_new_array(double, n_test * model->n_outputs);
    t0 = qn_now_s();
    family->predict(model, &test, 0, n_test, raw);
    printf("predict_us_per_row: %.3f\n", (qn_now_s() - t0) * 1e6 / (double)n_test);
    print_quality(model, raw, s->y + n, n_test);
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    if (family->save(model, &out, &err) == QN_OK)
        printf("model_bytes: %zu\nmodel_hash: %" PRIu64 "\n", out.len,
               qn_hash64(out.data, out.len, 0));
    return 0;
}

static bool parse(int argc, char **argv, options *o) {
    struct {
        const char *name;
        const char **text;
        int64_t *number;
    } known[] = {{"kind", &o->kind, NULL},       {"write", &o->write, NULL},
                 {"read", &o->read, NULL},       {"rows", NULL, &o->rows},
                 {"threads", NULL, &o->threads}, {"rounds", NULL, &o->rounds},
                 {"leaves", NULL, &o->leaves},   {"seed", NULL, &o->seed},
                 {"memory", NULL, &o->memory}};
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        bool found = false;
        for (size_t k = 0; value && k < sizeof known / sizeof known[0]; k++) {
            size_t length = (size_t)(value - argv[i]);
            if (strncmp(argv[i], known[k].name, length) != 0 || known[k].name[length])
                continue;
            found = true;
            if (known[k].text)
                *known[k].text = value + 1;
            else
                *known[k].number = atoll(value + 1);
        }
        if (!value)
            return false;
        if (!found)
            o->params[o->n_params++] = argv[i];
    }
    return true;
}

int main(int argc, char **argv) {
    options o = {.kind = "numeric", .rows = 1000000, .threads = 2, .rounds = 100, .leaves = 255,
                 .seed = 1};
    set s = {0};
    o.params = qn_new_array(char *, argc);
    if (!parse(argc, argv, &o)) {
        fprintf(stderr, "usage: gbdt [name=value]...; the names are in the source\n");
        return 2;
    }
    if (o.read && !transfer(&s, o.read, false)) {
        fprintf(stderr, "cannot read %s\n", o.read);
        return 1;
    }
    if (!o.read && strcmp(o.kind, "classes") == 0)
        make_classes(&s, o.rows);
    else if (!o.read && strcmp(o.kind, "categories") == 0)
        make_categories(&s, o.rows);
    else if (!o.read && strcmp(o.kind, "onehot") == 0)
        make_onehot(&s, o.rows);
    else if (!o.read && strcmp(o.kind, "dense") == 0)
        make_dense(&s, o.rows);
    else if (!o.read)
        make_numeric(&s, o.rows);
    if (o.write)
        return transfer(&s, o.write, true) ? 0 : 1;
    return train(&s, &o);
}
