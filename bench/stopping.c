/* Losses of boosting round by round, for ways to choose the number of rounds when the split is by
 * time: quality/stopping.py compares the ways. Rows that judge an example take no part.
 *
 *     bench_stopping FOLDER CONFIG BLOCKS VALID_BLOCKS TEST_BLOCKS ROUNDS
 *
 * The rows that the config's split gives to train and validate are cut, in order of time, into 200
 * blocks. Of the first BLOCKS the newest TEST_BLOCKS are a pseudo-test and the VALID_BLOCKS before
 * them the newest validation rows. Prints one JSON object for each fit: the losses on the rows it
 * held out, first of the prior, then of each round. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "flow/run_int.h"

enum { BLOCKS = 200, STRETCHES = 10 /* as flow/run_split.c has them */ };

typedef struct world {
    qn_run_state *run;
    int64_t *rows; /* owned: by time */
    int64_t n_learn, n_valid, n_all;
    int64_t rounds;
    qn_pipeline_spec *spec; /* owned */
} world;

/* What is written down in every round: losses, smaller is better, with the prior's first. */
typedef struct curves {
    const qn_run_state *run;
    const double *y;
    int64_t n;
    int32_t *stretch; /* owned: of each row, in order of time */
    double *scores;   /* owned: scratch, n */
    json_t *loss, *shifted, *pr_auc, *left_loss, *left_pr_auc; /* owned */
} curves;

/* Rows of one side of a fit. */
typedef struct side {
    int64_t *rows, n;
    double *y, sum;
} side;

/* Scores as metrics take them, all raised by `shift` before the link. */
static void link_scores(curves *c, const double *raw, double shift) {
    for (int64_t i = 0; i < c->n; i++)
        c->scores[i] = raw[i] + shift;
    if (c->run->target.task == QN_TASK_BINARY)
        qn_link_apply(QN_LINK_LOGIT, c->scores, c->n, 1);
}

/* The metric of the scores and its values without each stretch. */
static void watch_metric(const curves *c, const char *name, json_t *whole, json_t *left) {
    qn_eval_input in = {.task = c->run->target.task, .n_classes = c->run->target.n_classes,
                        .n = c->n, .y = c->y, .scores = c->scores, .threshold = 0.5};
    const qn_metric *metric;
    double value = (double)NAN, without[STRETCHES];
    if (qn_metric_find(name, in.task, &metric, NULL) != QN_OK ||
        qn_metric_without(metric, &in, c->stretch, left ? STRETCHES : 0, &value, without, NULL) !=
            QN_OK)
        return;
    double sign = metric->greater_is_better ? -1 : 1;
    json_array_append_new(whole, qn_json_number(sign * value));
    json_t *values = left ? json_array() : NULL;
    for (int s = 0; left && s < STRETCHES; s++)
        json_array_append_new(values, qn_json_number(sign * without[s]));
    if (left)
        json_array_append_new(left, values);
}

/* The constant that fits the rows best: by the mean, or by bisection until the mean probability is
 * the share of positives. */
static double best_shift(curves *c, const double *raw) {
    double low = -30, high = 30, wanted = 0;
    for (int64_t i = 0; i < c->n; i++)
        wanted += c->y[i] / (double)c->n;
    bool binary = c->run->target.task == QN_TASK_BINARY;
    for (int step = 0; step < (binary ? 30 : 1); step++) {
        double middle = (low + high) / 2, mean = 0;
        link_scores(c, raw, middle);
        for (int64_t i = 0; i < c->n; i++)
            mean += c->scores[i] / (double)c->n;
        if (!binary)
            return wanted - mean;
        if (mean < wanted)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

static double watch(void *user, qn_link link, const double *raw, double *without) {
    (void)without;
    curves *c = user;
    bool binary = c->run->target.task == QN_TASK_BINARY;
    const char *loss = binary ? "log_loss" : "rmse";
    link_scores(c, raw, best_shift(c, raw));
    watch_metric(c, loss, c->shifted, NULL);
    link_scores(c, raw, 0);
    watch_metric(c, loss, c->loss, c->left_loss);
    if (binary)
        watch_metric(c, "pr_auc", c->pr_auc, c->left_pr_auc);
    return 0;
}

static void curves_init(curves *c, const qn_run_state *run, const double *y, int64_t n) {
    *c = (curves){.run = run, .y = y, .n = n, .stretch = qn_new_array(int32_t, n + 1),
                  .scores = qn_new_array(double, n + 1), .loss = json_array(),
                  .shifted = json_array(), .pr_auc = json_array(), .left_loss = json_array(),
                  .left_pr_auc = json_array()};
    for (int64_t i = 0; i < n; i++)
        c->stretch[i] = (int32_t)(i * STRETCHES / n);
}

static void curves_done(curves *c) {
    qn_freep(&c->stretch);
    qn_freep(&c->scores);
    json_decref(c->loss);
    json_decref(c->shifted);
    json_decref(c->pr_auc);
    json_decref(c->left_loss);
    json_decref(c->left_pr_auc);
}

static int by_row(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void side_init(side *s, const world *w, const char *part, char which) {
    s->rows = qn_new_array(int64_t, w->n_all);
    s->y = qn_new_array(double, w->n_all);
    for (int64_t p = 0; p < w->n_all; p++)
        if (part[p] == which)
            s->rows[s->n++] = w->rows[p];
    if (which == 0) /* those held out stay in order of time */
        qsort(s->rows, (size_t)s->n, sizeof *s->rows, by_row);
    for (int64_t i = 0; i < s->n; i++)
        s->sum += s->y[i] = w->run->y[s->rows[i]];
}

static void side_done(side *s) {
    qn_freep(&s->rows);
    qn_freep(&s->y);
}

static void print_curves(const char *name, const side *train, const side *held, curves *c) {
    json_t *line = json_pack(
        "{s:s, s:I, s:I, s:f, s:f, s:O, s:O, s:O, s:O, s:O}", "fit", name, "n_train",
        (json_int_t)train->n, "n_held", (json_int_t)held->n, "train_sum", train->sum, "held_sum",
        held->sum, "loss", c->loss, "shifted", c->shifted, "pr_auc", c->pr_auc, "left_loss",
        c->left_loss, "left_pr_auc", c->left_pr_auc);
    json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    fflush(stdout);
    json_decref(line);
}

static qn_status fit_and_watch(world *w, const side *train, const side *held, curves *c,
                               qn_error *err) {
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *x_held = NULL;
    qn_cleanup(qn_learner_free) qn_learner *learner = NULL;
    qn_cleanup(qn_json_free) json_t *params =
        json_pack("{s:I, s:f}", "num_iterations", (json_int_t)w->rounds, "lambda_l2", 1.0);
    qn_run_state *run = w->run;
    const qn_family *family;
    QN_TRY(qn_family_find("gbdt", &family, err));
    QN_TRY(qn_pipeline_fit(w->spec, run->frame, train->rows, train->n, train->y, &run->target, 42,
                           &run->job, &pipeline, &x, err));
    QN_TRY(qn_pipeline_apply(pipeline, run->frame, held->rows, held->n, &run->job, &x_held, err));
    qn_fit_input in = {.train = {.x = x, .y = train->y}, .valid = {.x = x_held, .y = held->y},
                       .task = run->target.task, .n_classes = run->target.n_classes, .seed = 42,
                       .loss = watch, .user = c};
    return qn_learner_fit(family, params, &in, &run->job, &learner, err);
}

/* part[p] of the row at place p of time: 0 trains, 1 is held out, 2 neither. */
static qn_status one_fit(world *w, const char *name, const char *part, qn_error *err) {
    bool binary = w->run->target.task == QN_TASK_BINARY;
    side train = {0}, held = {0};
    side_init(&train, w, part, 0);
    side_init(&held, w, part, 1);
    curves c;
    curves_init(&c, w->run, held.y, held.n);
    double base = train.sum / (double)train.n;
    double *prior = qn_new_array(double, held.n + 1);
    for (int64_t i = 0; i < held.n; i++)
        prior[i] = binary ? log(base / (1 - base)) : base;
    qn_status status = QN_OK;
    if (held.n > 0 && (!binary || (base > 0 && base < 1))) {
        watch(&c, binary ? QN_LINK_LOGIT : QN_LINK_IDENTITY, prior, NULL);
        status = fit_and_watch(w, &train, &held, &c, err);
        if (status == QN_OK)
            print_curves(name, &train, &held, &c);
    }
    curves_done(&c);
    qn_freep(&prior);
    side_done(&train);
    side_done(&held);
    return status;
}

/* Folds of `blocks` stretches of time dealt in turn. */
static qn_status fit_folds(world *w, const char *name, int64_t folds, int64_t blocks, char *part,
                           qn_error *err) {
    char title[64];
    for (int64_t fold = 0; fold < folds; fold++) {
        for (int64_t p = 0; p < w->n_all; p++)
            part[p] = p >= w->n_learn ? 2 : p * blocks / w->n_learn % folds == fold ? 1 : 0;
        snprintf(title, sizeof title, "%s.%d", name, (int)fold);
        QN_TRY(one_fit(w, title, part, err));
    }
    return QN_OK;
}

static qn_status all_fits(world *w, char *part, qn_error *err) {
    char title[64];
    int64_t n = w->n_learn, v = w->n_valid;
    for (int64_t p = 0; p < w->n_all; p++)
        part[p] = p < n ? 0 : 1;
    QN_TRY(one_fit(w, "test", part, err));
    for (int64_t j = 0; j < 3; j++) {
        for (int64_t p = 0; p < w->n_all; p++)
            part[p] = p < n - v * (j + 1) ? 0 : p < n - v * j ? 1 : 2;
        snprintf(title, sizeof title, "newest.%d", (int)j);
        QN_TRY(one_fit(w, title, part, err));
    }
    QN_TRY(fit_folds(w, "D3", 3, 3, part, err));
    QN_TRY(fit_folds(w, "D5", 5, 5, part, err));
    QN_TRY(fit_folds(w, "E3", 3, 15, part, err));
    QN_TRY(fit_folds(w, "E5", 5, 25, part, err));
    for (int64_t p = 0; p < w->n_all; p++)
        part[p] = p >= n ? 2 : qn_rng_hash(42, (uint64_t)p) % 10 == 0 ? 1 : 0;
    return one_fit(w, "R", part, err);
}

typedef struct moment {
    double time;
    int64_t row;
} moment;

static int by_time(const void *a, const void *b) {
    const moment *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static qn_status prepare(world *w, char **args, qn_error *err) {
    qn_run_state *run = w->run;
    QN_TRY(qn__run_import(run, err));
    QN_TRY(qn__run_split(run, err));
    const qn_column *time;
    QN_TRY(qn_frame_get(run->frame, run->config->data.time, &time, err));
    int64_t n = run->split.n_train + run->split.n_validate;
    moment *moments = qn_new_array(moment, n);
    w->rows = qn_new_array(int64_t, n);
    if (!moments || !w->rows)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++) {
        int64_t row = i < run->split.n_train ? run->split.train[i]
                                             : run->split.validate[i - run->split.n_train];
        moments[i] = (moment){
            time->type == QN_TYPE_F64 ? time->f64[row] : (double)time->i64[row], row};
    }
    qsort(moments, (size_t)n, sizeof *moments, by_time);
    for (int64_t i = 0; i < n; i++)
        w->rows[i] = moments[i].row;
    qn_freep(&moments);
    int64_t blocks = atoll(args[0]), valid = atoll(args[1]), test = atoll(args[2]);
    w->n_all = n * blocks / BLOCKS;
    w->n_learn = n * (blocks - test) / BLOCKS;
    w->n_valid = w->n_learn - n * (blocks - test - valid) / BLOCKS;
    w->rounds = atoll(args[3]);
    return qn__run_spec(run, QN_TAKES_MISSING | QN_TAKES_CATEGORIES | QN_TAKES_SPARSE, &w->spec,
                        err);
}

static qn_status watch_world(world *w, char **args, qn_error *err) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", args[0], args[1]);
    QN_TRY(qn_config_read(path, &w->run->config, err));
    QN_TRY(qn_workspace_open(args[0], true, &w->run->workspace, err));
    QN_TRY(prepare(w, args + 2, err));
    qn_cleanup(qn_freep) char *part = qn_new_array(char, w->n_all);
    return part ? all_fits(w, part, err) : qn_error_memory(err);
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr,
                "usage: bench_stopping FOLDER CONFIG BLOCKS VALID_BLOCKS TEST_BLOCKS ROUNDS\n");
        return 2;
    }
    qn_error err = {0};
    qn_run_options options = {.folder = argv[1], .config = argv[2]};
    qn_run_state *run = qn_new(qn_run_state);
    world w = {.run = run};
    run->options = &options;
    run->negatives_rate = 1;
    run->document = json_pack("{s:[], s:{}}", "warnings", "timings");
    run->warnings = json_object_get(run->document, "warnings");
    run->timings = json_object_get(run->document, "timings");
    run->job.n_threads = 1;
    if (watch_world(&w, argv + 1, &err) != QN_OK) {
        fprintf(stderr, "bench_stopping: %s\n", err.message);
        return 1;
    }
    return 0;
}
