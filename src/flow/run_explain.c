/* Explain: which inputs matter, which do something together, and how the answer moves with them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "evaluate/importance.h"
#include "flow/run_int.h"
#include "model/explain.h"

enum {
    MAX_INPUTS = 60,      /* shuffled and explained; of a wider table those that the learner uses most */
    MAX_SCORED = 200000,  /* rows scored by all shuffles together */
    N_REPEATS = 3,
    MAX_PAIR_ROWS = 100,
    MAX_PAIR_LEAVES = 3000000, /* looked at by all rows together; a leaf takes about a microsecond */
    MAX_PAIR_CELLS = 1 << 22,  /* of one row: some 2,000 inputs */
    SHOWN_PAIRS = 10,
};

/* The run, and which of the model's inputs are looked at. */
typedef struct explained {
    const qn_run_state *run;
    size_t chosen[MAX_INPUTS]; /* ascending */
    const char *names[MAX_INPUTS];
    size_t n;
} explained;

static qn_status score(void *user, const qn_frame *frame, double *scores, qn_error *err) {
    const explained *e = user;
    return qn_model_predict(e->run->model, frame, &e->run->job, scores, err);
}

/* The model explains by all its inputs; the chosen ones and the base value are kept. */
static qn_status explain(void *user, const qn_frame *frame, double *contrib, qn_error *err) {
    const explained *e = user;
    size_t n_all = (size_t)qn_model_inputs(e->run->model)->n_columns + 1;
    size_t n_lines = (size_t)frame->n_rows * (size_t)e->run->n_outputs;
    qn_cleanup(qn_freep) double *all = qn_new_array(double, n_lines * n_all);
    if (!all)
        return qn_error_memory(err);
    QN_TRY(qn_model_explain(e->run->model, frame, &e->run->job, all, err));
    for (size_t line = 0; line < n_lines; line++) {
        double *to = contrib + line * (e->n + 1);
        for (size_t i = 0; i < e->n; i++)
            to[i] = all[line * n_all + e->chosen[i]];
        to[e->n] = all[line * n_all + n_all - 1];
    }
    return QN_OK;
}

static qn_status choose_inputs(const qn_run_state *run, explained *e, qn_error *err) {
    const qn_schema *schema = qn_model_inputs(run->model);
    size_t n_all = (size_t)schema->n_columns;
    qn_cleanup(qn_freep) double *use = qn_new_array(double, n_all);
    if (!use)
        return qn_error_memory(err);
    bool has_splits;
    QN_TRY(qn_model_importance(run->model, use, NULL, &has_splits, err));
    for (size_t i = 0; i < n_all; i++) {
        size_t n_better = 0; /* ties go to the earlier column */
        for (size_t k = 0; k < n_all && n_better < MAX_INPUTS; k++)
            n_better += use[k] > use[i] || (use[k] == use[i] && k < i);
        if (n_better >= MAX_INPUTS)
            continue;
        e->chosen[e->n] = i;
        e->names[e->n++] = schema->columns[i].name;
    }
    return QN_OK;
}

/* --- pairs ------------------------------------------------------------------------------------ */

typedef struct pair {
    int32_t a, b;
    double mean_abs;
} pair;

static int strongest_first(const void *x, const void *y) {
    const pair *p = x, *q = y;
    if (p->mean_abs != q->mean_abs)
        return p->mean_abs > q->mean_abs ? -1 : 1;
    return p->a != q->a ? (p->a > q->a) - (p->a < q->a) : (p->b > q->b) - (p->b < q->b);
}

static int64_t rows_for_pairs(const qn_run_state *run) {
    const qn_learner *learner = qn_model_learner(run->model);
    qn_cleanup(qn_json_free) json_t *facts = learner->family->describe(learner);
    int64_t leaves = json_integer_value(json_object_get(facts, "leaves"));
    int64_t rows = leaves > 0 ? MAX_PAIR_LEAVES / leaves : 0;
    rows = rows < MAX_PAIR_ROWS ? rows : MAX_PAIR_ROWS;
    return rows < run->test.n ? rows : run->test.n;
}

/* sum[n_inputs + 1][n_inputs + 1] of |pairs| over evenly spaced test rows and all outputs. */
static qn_status add_up_pairs(const qn_run_state *run, int64_t n_rows, double *sum,
                              qn_error *err) {
    int64_t width = qn_model_n_inputs(run->model) + 1, cells = width * width;
    int64_t at_once = MAX_PAIR_CELLS / (cells * run->n_outputs);
    at_once = at_once < 1 ? 1 : at_once;
    qn_cleanup(qn_freep) double *pairs = qn_new_array(double, at_once *run->n_outputs *cells);
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, at_once);
    if (!pairs || !rows)
        return qn_error_memory(err);
    for (int64_t first = 0; first < n_rows; first += at_once) {
        qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
        int64_t n = n_rows - first < at_once ? n_rows - first : at_once;
        for (int64_t i = 0; i < n; i++)
            rows[i] = (first + i) * run->test.n / n_rows;
        QN_TRY(qn_job_check(&run->job, err));
        QN_TRY(qn_frame_take(run->test.frame, rows, n, &frame, err));
        QN_TRY(qn_model_interactions(run->model, frame, &run->job, pairs, err));
        for (int64_t i = 0; i < n * run->n_outputs; i++)
            for (int64_t c = 0; c < cells; c++)
                sum[c] += fabs(pairs[i * cells + c]);
    }
    return QN_OK;
}

static qn_status pairs_to_json(const qn_run_state *run, const double *sum, int64_t n_rows,
                               json_t **ret, qn_error *err) {
    const qn_schema *inputs = qn_model_inputs(run->model);
    int64_t width = inputs->n_columns + 1, n = 0;
    qn_cleanup(qn_freep) pair *pairs = qn_new_array(pair, width * width);
    qn_cleanup(qn_json_free) json_t *list = json_array();
    if (!pairs || !list)
        return qn_error_memory(err);
    for (int32_t a = 0; a < inputs->n_columns; a++)
        for (int32_t b = a + 1; b < inputs->n_columns; b++)
            if (sum[a * width + b] > 0) /* the halves together */
                pairs[n++] = (pair){a, b, 2 * sum[a * width + b] / (double)n_rows};
    qsort(pairs, (size_t)n, sizeof *pairs, strongest_first);
    for (int64_t i = 0; i < n && i < SHOWN_PAIRS; i++) {
        json_t *item = json_pack("{s:[s, s], s:o}", "features", inputs->columns[pairs[i].a].name,
                                 inputs->columns[pairs[i].b].name, "mean_abs",
                                 qn_json_number(pairs[i].mean_abs));
        if (json_array_append_new(list, item))
            return qn_error_memory(err);
    }
    *ret = qn_steal(&list);
    return QN_OK;
}

/* The pairs of inputs that do most together; of families whose features do not interact, none. */
static qn_status find_pairs(const qn_run_state *run, json_t *importance, qn_error *err) {
    int64_t width = qn_model_n_inputs(run->model) + 1, n_rows = rows_for_pairs(run);
    json_t *list = NULL;
    if (!qn_model_learner(run->model)->family->interactions || n_rows < 1
        || width * width * run->n_outputs > MAX_PAIR_CELLS)
        return QN_OK;
    qn_cleanup(qn_freep) double *sum = qn_new_array(double, width *width);
    if (!sum)
        return qn_error_memory(err);
    QN_TRY(add_up_pairs(run, n_rows, sum, err));
    QN_TRY(pairs_to_json(run, sum, n_rows, &list, err));
    return json_object_set_new(importance, "interactions", list) ? qn_error_memory(err) : QN_OK;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int64_t rows_to_score(const explained *e) {
    int64_t rows = MAX_SCORED / ((int64_t)(e->n ? e->n : 1) * N_REPEATS);
    return rows < 300 ? 300 : rows > 5000 ? 5000 : rows;
}

/* The columns with the largest permutation importance; names borrowed from the document. */
static size_t top_features(const qn_run_state *run, const char **names, size_t max) {
    const json_t *importance = json_object_get(run->document, "importance"), *item;
    size_t i, n = 0;
    json_array_foreach(json_object_get(importance, "permutation"), i, item) {
        if (n < max)
            names[n++] = json_string_value(json_object_get(item, "feature"));
    }
    return n;
}

/* Multiclass: dependence is shown for the commonest class of the test rows. */
static int32_t output_to_show(const qn_run_state *run) {
    if (run->target.task != QN_TASK_MULTICLASS)
        return 0;
    int32_t best = 0;
    int64_t best_n = -1;
    for (int32_t k = 0; k < run->target.n_classes; k++) {
        int64_t n = 0;
        for (int64_t i = 0; i < run->test.n; i++)
            n += run->test.y[i] == k;
        if (n > best_n) {
            best = k;
            best_n = n;
        }
    }
    return best;
}

qn_status qn__run_explain(qn_run_state *run, qn_error *err) {
    const qn_config *config = run->config;
    if (!config->evaluate.importance)
        return QN_OK;
    explained e = {.run = run};
    QN_TRY(choose_inputs(run, &e, err));
    json_t *importance = NULL, *dependence = NULL;
    qn_importance_input input = {
        .frame = run->test.frame,
        .inputs = e.names,
        .n_inputs = e.n,
        .eval = qn__run_eval_input(run, &run->test, NULL),
        .metric = run->metric,
        .score = score,
        .explain = explain,
        .user = &e,
        .n_repeats = N_REPEATS,
        .max_rows = rows_to_score(&e),
        .seed = (uint64_t)config->seed,
    };
    QN_TRY(qn_importance_make(&input, &run->job, &importance, err));
    QN_TRY(qn__run_note(run, "importance", importance, err));
    QN_TRY(find_pairs(run, importance, err)); /* the document owns it now */
    if (config->evaluate.dependence) {
        const char *top[8];
        size_t n = top_features(run, top, 8);
        QN_TRY(
            qn_dependence_make(&input, top, n, output_to_show(run), &run->job, &dependence, err));
        QN_TRY(qn__run_note(run, "dependence", dependence, err));
    }
    qn__run_time(run, "explain_s");
    return QN_OK;
}
