/* Training of rankings: lambdarank, and the squared error of the grades on the same rows.
 *     rank [name=value]...
 *       queries=N docs=N features=N  what to make (2,000 x 100 x 60)
 *       read=FILE write=FILE         rows from there; scores of all rows of the file go there (doubles)
 *       threads, rounds, leaves      of the training (2, 50, 63)
 * A file holds int64 training rows, test rows, features, queries; each feature as doubles, training rows
 * first; the grades as doubles; the queries as int32. rank.py trains other programs on such files. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "learn/family_int.h"
#include "learn/gbdt_int.h"
#include "synthetic.h"

typedef struct options {
    const char *read, *write;
    int64_t queries, docs, features, threads, rounds, leaves;
} options;

typedef struct set {
    int64_t head[4]; /* training rows, test rows, features, queries */
    qn_matrix train, all;
    qn_feature *features;
    double *grade;
    int32_t *query;
} set;

static void fail(const char *what) {
    fprintf(stderr, "rank: %s\n", what);
    exit(1);
}

static void allocate(set *s) {
    int64_t n = s->head[0] + s->head[1], f = s->head[2];
    s->features = qn_new_array(qn_feature, f);
    s->all = (qn_matrix){.n_rows = n, .n_features = (int32_t)f, .features = s->features,
                         .columns = qn_new_array(qn_matrix_column, f)};
    for (int64_t j = 0; j < f; j++)
        s->all.columns[j].num = qn_malloc_aligned((size_t)n, sizeof(double));
    s->grade = qn_malloc_aligned((size_t)n, sizeof(double));
    s->query = qn_malloc_aligned((size_t)n, sizeof(int32_t));
    s->train = s->all;
    s->train.n_rows = s->head[0];
}

/* Grades 0 to 4 by a noisy mix of a line and a product; half of them are 0. */
static void make(set *s, const options *o) {
    memcpy(s->head, (int64_t[]){o->queries * o->docs, 0, o->features, o->queries}, sizeof s->head);
    allocate(s);
    for (int64_t i = 0; i < s->head[0]; i++) {
        double worth = 0;
        for (int64_t j = 0; j < o->features; j++) {
            double x = synthetic_normal((uint64_t)i, (uint64_t)j);
            s->all.columns[j].num[i] = x;
            worth += j < 10 ? x : 0;
        }
        worth += s->all.columns[0].num[i] * s->all.columns[1 % o->features].num[i]
                 + 2 * synthetic_normal((uint64_t)i, 1000);
        s->grade[i] = (worth > 0) + (worth > 2.6) + (worth > 5) + (worth > 7.4);
        s->query[i] = (int32_t)(i / o->docs);
    }
}

static void take(void *to, size_t bytes, FILE *from) {
    if (fread(to, 1, bytes, from) != bytes)
        fail("the file is too short");
}

static void read_set(set *s, const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f)
        fail("cannot open the file");
    take(s->head, sizeof s->head, f);
    allocate(s);
    size_t n = (size_t)s->all.n_rows;
    for (int64_t j = 0; j < s->head[2]; j++)
        take(s->all.columns[j].num, n * sizeof(double), f);
    take(s->grade, n * sizeof(double), f);
    take(s->query, n * sizeof(int32_t), f);
    fclose(f);
}

static qn_learner *train(const set *s, const options *o, const char *objective, double *ret_s) {
    qn_gbdt_params p;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    p.objective = objective;
    p.num_iterations = o->rounds;
    p.num_leaves = o->leaves;
    p.lambda_l2 = 1;
    qn_fit_input input = {.train = {.x = &s->train, .y = s->grade, .query = s->query}, .seed = 1,
                          .task = QN_TASK_REGRESSION, .n_queries = (int32_t)s->head[3]};
    qn_job job = {.n_threads = (int)o->threads};
    qn_learner *learner = NULL;
    qn_error err = {0};
    double start = qn_now_s();
    if (qn__family_gbdt.fit(&p, &input, &job, &learner, &err) != QN_OK)
        fail(err.message);
    *ret_s = qn_now_s() - start;
    return learner;
}

/* The lambdas alone, at given scores. */
static void time_lambdas(const set *s, const options *o, const double *score) {
    qn_gbdt_params p;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    int64_t n = s->head[0];
    qn__queries *queries = NULL;
    float *g = qn_malloc_aligned((size_t)n, sizeof *g);
    float *h = qn_malloc_aligned((size_t)n, sizeof *h);
    if (!g || !h || qn__queries_new(&p, s->grade, s->query, n, (int32_t)s->head[3],
                                    (int)o->threads, &queries, NULL) != QN_OK)
        fail("memory is short");
    qn__objective_data d = {.params = &p, .y = s->grade, .n = n, .n_outputs = 1,
                            .n_threads = (int)o->threads, .queries = queries};
    double best = INFINITY, pairs = 0;
    for (int64_t k = 0; k < queries->n; k++) {
        double docs = (double)(queries->begin[k + 1] - queries->begin[k]);
        double deep = fmin(docs, (double)p.lambdarank_truncation_level);
        pairs += deep * docs - deep * (deep + 1) / 2;
    }
    for (int i = 0; i < 5; i++) {
        double start = qn_now_s();
        qn__rank_gradients(&d, score, g, h);
        best = fmin(best, qn_now_s() - start);
    }
    printf("rank_lambdas_ms: %.2f\nrank_lambdas_ns_per_pair_and_thread: %.2f\n", 1e3 * best,
           1e9 * best * (double)o->threads / pairs);
    qn__queries_free(&queries);
    qn_freep(&g);
    qn_freep(&h);
}

static void write_scores(const char *path, const double *score, int64_t n) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(score, sizeof *score, (size_t)n, f) != (size_t)n || fclose(f) != 0)
        fail("cannot write the scores");
}

int main(int argc, char **argv) {
    options o = {.queries = 2000, .docs = 100, .features = 60, .threads = 2, .rounds = 50,
                 .leaves = 63};
    struct {
        const char *name;
        int64_t *number;
        const char **text;
    } all[] = {{"queries", &o.queries, NULL}, {"docs", &o.docs, NULL},
               {"features", &o.features, NULL}, {"threads", &o.threads, NULL},
               {"rounds", &o.rounds, NULL}, {"leaves", &o.leaves, NULL},
               {"read", NULL, &o.read}, {"write", NULL, &o.write}};
    for (int i = 1; i < argc; i++)
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            size_t n = strlen(all[k].name);
            if (strncmp(argv[i], all[k].name, n) != 0 || argv[i][n] != '=')
                continue;
            if (all[k].number)
                *all[k].number = atoll(argv[i] + n + 1);
            else
                *all[k].text = argv[i] + n + 1;
        }
    set s = {0};
    double rank_s, plain_s;
    if (o.read)
        read_set(&s, o.read);
    else
        make(&s, &o);
    double *score = qn_malloc_aligned((size_t)s.all.n_rows, sizeof *score);
    qn_learner *ranked = train(&s, &o, "lambdarank", &rank_s);
    qn_learner *plain = train(&s, &o, "regression", &plain_s);
    qn_job job = {.n_threads = (int)o.threads};
    qn_learner_predict(ranked, &s.all, false, &job, score);
    printf("rank_train_s: %.3f\nrank_train_of_squared_error: %.3f\n", rank_s, rank_s / plain_s);
    time_lambdas(&s, &o, score);
    if (o.write)
        write_scores(o.write, score, s.all.n_rows);
    qn_learner_free(&ranked);
    qn_learner_free(&plain);
    return 0;
}
