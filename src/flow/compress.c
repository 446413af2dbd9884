#include "flow/compress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "evaluate/metric.h"
#include "flow/compress_int.h"
#include "flow/predict_file.h"
#include "learn/gbdt_prune.h"
#include "store/workspace.h"

enum {
    TIMED_ROWS = 200,
    TIMED_NUMBERS = 1 << 22, /* of them, at most */
    TIMINGS = 5,             /* the median is told */
    MAX_GROUPS = 64,         /* of rows, for standard errors */
    CALIBRATED_ROWS = 2048,  /* every second, third, ... row that prunes when there are more */
    FEWEST_ROUNDS = 8,       /* to start from; fewer are pruned from these */
    DEPTH = 8,               /* a way down ends at this part of its leaves, where others are better */
};

/* A step down the curve leaves so much of the leaves. */
#define STEP 0.9

/* One model, and how it was made: so many rounds kept, then so many steps of cutting. */
typedef struct point {
    size_t bytes;          /* of its file */
    int64_t trees, leaves;
    double metric, loss, loss_se, row_us; /* NaN without rows */
    int32_t rounds, steps; /* steps -1: the model as it was */
    qn_leaf_form form;
} point;

typedef struct compression {
    const qn_model *model;
    const qn_compress_options *options;
    const qn_job *job;
    qn__row_parts prune, judge;
    const qn_metric *metric;
    double *y, *scores; /* owned; of the rows that judge */
    double *prune_y, *prune_scores; /* owned; of the others, when there is a calibration */
    double *timed;      /* owned; [n_timed][n_features] */
    int64_t n_timed;
    qn_pruner *pruner;
    char hash[QN_DIGEST_TEXT];
    size_t from_bytes;
    double before;      /* the metric of the model as it was, */
    double without[MAX_GROUPS]; /* and of all rows but those of each group */
    int32_t *group;     /* owned; of a row: stretches of the file, or of a ranking queries */
    int32_t n_groups;
    point *points;      /* owned; in the end by falling bytes and rising loss */
    int64_t n_points, cap_points, i_chosen;
    int64_t n_cut;      /* leaves on all ways down so far, for progress */
} compression;

static void compression_done(compression *c) {
    qn__row_parts_done(&c->prune);
    qn__row_parts_done(&c->judge);
    qn_freep(&c->y);
    qn_freep(&c->scores);
    qn_freep(&c->prune_y);
    qn_freep(&c->prune_scores);
    qn_freep(&c->timed);
    qn_freep(&c->group);
    qn_pruner_free(&c->pruner);
    qn_freep(&c->points);
}

/* --- judging ---------------------------------------------------------------------------------- */

static qn_eval_input judge_input(const compression *c) {
    const qn_target_info *target = qn_model_target(c->model);
    return (qn_eval_input){.task = target->task, .n_classes = target->n_classes,
                           .n = c->judge.n_rows, .y = c->y, .scores = c->scores,
                           .threshold = qn_model_threshold(c->model), .query = c->judge.query};
}

/* The metric, and ret_without[n_groups] that without each group of rows. */
static qn_status judge(compression *c, const qn_model *model, double *ret_metric,
                       double *ret_without, qn_error *err) {
    double *scores = c->scores;
    for (int32_t i = 0; i < c->judge.n; i++) {
        qn_model_score(model, c->judge.x[i], c->job, scores);
        scores += c->judge.x[i]->n_rows * qn_model_n_outputs(model);
    }
    qn_eval_input input = judge_input(c);
    return qn_metric_without(c->metric, &input, c->group, c->n_groups, ret_metric, ret_without,
                             err);
}

/* The jackknife's, of the difference on the same rows. */
static double standard_error(const compression *c, const double *without) {
    double mean = 0, square = 0;
    for (int32_t g = 0; g < c->n_groups; g++)
        mean += (without[g] - c->without[g]) / c->n_groups;
    for (int32_t g = 0; g < c->n_groups; g++) {
        double d = without[g] - c->without[g] - mean;
        square += d * d;
    }
    return sqrt(square * (c->n_groups - 1) / c->n_groups);
}

/* A loss as a share of what the metric was. */
static double as_share(const compression *c, double x) {
    return x == 0 ? 0 : c->before == 0 ? copysign(INFINITY, x) : x / fabs(c->before);
}

static qn_status judge_point(compression *c, const qn_model *model, point *p, qn_error *err) {
    double without[MAX_GROUPS];
    QN_TRY(judge(c, model, &p->metric, without, err));
    double worse = c->metric->greater_is_better ? c->before - p->metric : p->metric - c->before;
    p->loss = as_share(c, worse);
    p->loss_se = as_share(c, standard_error(c, without));
    if (isnan(p->loss_se))
        p->loss_se = INFINITY;
    return QN_OK;
}

static qn_status lay_out_judges(compression *c, qn_error *err) {
    const int32_t n_features = qn_model_learner(c->model)->n_features;
    const qn_matrix *x = c->judge.x[0];
    const int64_t n = c->judge.n_rows;
    int64_t most = TIMED_NUMBERS / (n_features + 1);
    most = most < 1 ? 1 : most > TIMED_ROWS ? TIMED_ROWS : most;
    c->n_timed = x->n_rows < most ? x->n_rows : most;
    const int64_t n_units = c->judge.query ? c->judge.n_queries : n;
    c->n_groups = n_units < MAX_GROUPS ? (int32_t)n_units : MAX_GROUPS;
    c->y = qn_new_array(double, n);
    c->group = qn_new_array(int32_t, n);
    c->scores = qn_calloc((size_t)n, (size_t)qn_model_n_outputs(c->model) * sizeof *c->scores);
    c->timed = qn_calloc((size_t)c->n_timed, ((size_t)n_features + 1) * sizeof *c->timed);
    if (!c->y || !c->group || !c->scores || !c->timed)
        return qn_error_memory(err);
    qn_matrix_rows(x, 0, c->n_timed, c->timed);
    for (int64_t i = 0; i < n; i++)
        c->group[i] = (int32_t)((c->judge.query ? c->judge.query[i] : i) * c->n_groups / n_units);
    double *y = c->y;
    for (int32_t i = 0; i < c->judge.n; i++) {
        memcpy(y, c->judge.y[i], (size_t)c->judge.x[i]->n_rows * sizeof *y);
        y += c->judge.x[i]->n_rows;
    }
    return QN_OK;
}

static qn_status prepare_judging(compression *c, qn_error *err) {
    const char *name;
    QN_TRY(qn_pruner_metric(qn_model_learner(c->model), &name, err));
    if (c->judge.query)
        c->metric = qn_metric_default(QN_METRIC_RANKING);
    else
        QN_TRY(qn_metric_find(name, qn_model_target(c->model)->task, &c->metric, err));
    QN_TRY(lay_out_judges(c, err));
    QN_TRY(judge(c, c->model, &c->before, c->without, err));
    QN_FAIL_IF(!isfinite(c->before), err, QN_ERR_DATA, "%s is not defined on the rows of %s",
               c->metric->name, c->options->input);
    return QN_OK;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Row by row, as a service is asked. */
static double time_rows(compression *c, const qn_learner *learner) {
    double us[TIMINGS];
    if (!c->timed)
        return (double)NAN;
    for (int k = -1; k < TIMINGS; k++) { /* the first fills caches */
        const double start = qn_now_s();
        for (int64_t r = 0; r < c->n_timed; r++)
            learner->family->predict_rows(learner, c->timed + r * learner->n_features, 1,
                                          c->scores);
        us[k < 0 ? 0 : k] = 1e6 * (qn_now_s() - start) / (double)c->n_timed;
    }
    qsort(us, TIMINGS, sizeof *us, compare);
    return round(us[TIMINGS / 2] * 1000) / 1000;
}

/* --- calibration ------------------------------------------------------------------------------ */

/* Smaller trees are less sure of themselves, and a map made for the larger ones would judge them by a
 * fault they no longer have: it is fitted anew on the rows that prune. */
static qn_status calibrate(compression *c, const qn_learner *learner, qn_calibration_kind kind,
                           qn_calibrator **ret_calibrator, qn_error *err) {
    const int32_t n_k = learner->n_outputs;
    const json_t *manifest = qn_model_manifest(c->model);
    const int64_t stride = (c->prune.n_rows - 1) / CALIBRATED_ROWS + 1;
    int64_t n = 0, n_before = 0;
    if (!c->prune_y) {
        c->prune_y = qn_new_array(double, CALIBRATED_ROWS);
        c->prune_scores = qn_calloc(CALIBRATED_ROWS, (size_t)n_k * sizeof(double));
        if (!c->prune_y || !c->prune_scores)
            return qn_error_memory(err);
    }
    for (int32_t i = 0; i < c->prune.n; n_before += c->prune.x[i++]->n_rows) {
        int64_t first = (stride - n_before % stride) % stride;
        for (int64_t r = first; r < c->prune.x[i]->n_rows; r += stride, n++) {
            learner->family->predict(learner, c->prune.x[i], r, 1, c->prune_scores + n * n_k);
            c->prune_y[n] = c->prune.y[i][r];
        }
    }
    qn_link_apply(learner->link, c->prune_scores, n, n_k);
    if (qn_model_target(c->model)->task == QN_TASK_BINARY)
        qn_undo_negative_sampling(
            c->prune_scores, n, json_number_value(json_object_get(manifest, "negatives_rate")));
    return qn_calibrator_fit(kind, c->prune_y, c->prune_scores, NULL, n, n_k, ret_calibrator, err);
}

/* That of the model, where no tree was changed but for merging; else anew, when there was one. */
static qn_status make_model(compression *c, const point *p, qn_model **ret_model, qn_error *err) {
    const json_t *calibration = json_object_get(qn_model_manifest(c->model), "calibration");
    const char *kind = json_string_value(json_object_get(calibration, "kind"));
    const bool is_merged = p->steps == 0 && p->rounds == qn_pruner_rounds(c->pruner);
    qn_cleanup(qn_learner_free) qn_learner *learner = NULL;
    qn_calibrator *calibrator = NULL;
    QN_TRY(qn_pruner_learner(c->pruner, p->form, &learner, err));
    if (kind && c->metric && !is_merged)
        QN_TRY(calibrate(c, learner,
                         strcmp(kind, "platt") == 0 ? QN_CALIBRATION_PLATT
                                                    : QN_CALIBRATION_ISOTONIC,
                         &calibrator, err));
    return qn_model_with_learner(c->model, qn_steal(&learner), calibrator, ret_model, err);
}

/* --- models of the curve ---------------------------------------------------------------------- */

static qn_status count_trees(const qn_learner *learner, point *p, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *facts = learner->family->describe(learner);
    if (!facts)
        return qn_error_memory(err);
    p->trees = json_integer_value(json_object_get(facts, "trees"));
    p->leaves = json_integer_value(json_object_get(facts, "leaves"));
    return QN_OK;
}

/* The metrics that the file tells are those of the model it holds. What it was worth on the test rows
 * of the original is not told of this one. */
static json_t *told_of(const compression *c, const point *p, json_t *metrics) {
    const json_t *about = json_object_get(qn_model_manifest(c->model), "about");
    json_t *value = json_copy(json_object_get(about, "value"));
    json_t *told = json_pack(
        "{s:{s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:s*, s:o, s:o, s:o, s:o, s:I, s:I}, s:n}",
        "compressed",
        "from", c->hash, "from_bytes", (json_int_t)c->from_bytes, "by",
        c->metric ? "merging, dropping rounds, weakest-link pruning" : "merging", "leaf_values",
        qn_leaf_form_name(p->form), "rounds_kept",
        (json_int_t)p->rounds, "pruned_by_rows", (json_int_t)c->prune.n_rows, "judged_by_rows",
        (json_int_t)c->judge.n_rows, "metric", c->metric ? c->metric->name : NULL, "before",
        qn_json_number(c->metric ? c->before : NAN), "after", qn_json_number(p->metric), "loss",
        qn_json_number(p->loss), "loss_se", qn_json_number(p->loss_se), "trees",
        (json_int_t)p->trees, "leaves", (json_int_t)p->leaves,
        "dart"); /* rounds are gone: what was dropped for them cannot be told any more */
    if (told && metrics)
        json_object_set(told, "metrics", metrics);
    if (told && metrics && value) {
        json_object_del(value, "test");
        json_object_set(told, "value", value);
    }
    json_decref(value);
    return told;
}

/* The file with the trees as they are now, and what is to be said of it. */
static qn_status make_file(compression *c, point *p, qn_buf *out, qn_error *err) {
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_json_free) json_t *metrics = NULL;
    QN_TRY(make_model(c, p, &model, err));
    QN_TRY(count_trees(qn_model_learner(model), p, err));
    p->metric = p->loss = p->loss_se = (double)NAN;
    if (c->metric) {
        qn_eval_input input = judge_input(c);
        QN_TRY(judge_point(c, model, p, err));
        QN_TRY(qn_evaluate_metrics(&input, 0, 0, c->job, &metrics, err));
    }
    qn_cleanup(qn_json_free) json_t *told = told_of(c, p, metrics);
    if (!told)
        return qn_error_memory(err);
    QN_TRY(qn_model_tell(model, told, err));
    out->max = QN_LIMIT_MODEL_BYTES;
    QN_TRY(qn_model_write(model, out, err));
    p->bytes = out->len;
    p->row_us = time_rows(c, qn_model_learner(model));
    return qn_buf_status(out, err);
}

static qn_status add_point(compression *c, const point *p, qn_error *err) {
    if (c->n_points == c->cap_points) {
        int64_t cap = 2 * c->cap_points + 64;
        point *points = qn_realloc(c->points, (size_t)cap, sizeof *points);
        if (!points)
            return qn_error_memory(err);
        c->points = points;
        c->cap_points = cap;
    }
    c->points[c->n_points++] = *p;
    return QN_OK;
}

/* --- the curve -------------------------------------------------------------------------------- */

static qn_status start_pruner(compression *c, qn_error *err) {
    int32_t n_features;
    const qn_feature *features = qn_pipeline_features(qn_model_pipeline(c->model), &n_features);
    const double rate =
        json_number_value(json_object_get(qn_model_manifest(c->model), "negatives_rate"));
    qn_prune_rows rows = {.x = (const qn_matrix *const *)c->prune.x,
                          .y = (const double *const *)c->prune.y, .n_parts = c->prune.n,
                          .query = c->prune.query, .n_queries = c->prune.n_queries,
                          .params = json_object_get(
                              json_object_get(qn_model_manifest(c->model), "about"), "params")};
    if (qn_model_target(c->model)->task == QN_TASK_BINARY)
        rows.offset = log(rate); /* odds of the whole are rate times those of the sample */
    return qn_pruner_new(qn_model_learner(c->model), features, c->metric ? &rows : NULL, c->job,
                         &c->pruner, err);
}

/* The model as it was. */
static qn_status put_original(compression *c, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf bytes = {.max = QN_LIMIT_MODEL_BYTES};
    const qn_learner *learner = qn_model_learner(c->model);
    point p = {.rounds = qn_pruner_rounds(c->pruner), .steps = -1};
    QN_TRY(qn_model_write(c->model, &bytes, err));
    QN_TRY(qn_buf_status(&bytes, err));
    QN_TRY(count_trees(learner, &p, err));
    qn_digest_bytes(bytes.data, bytes.len, c->hash);
    c->from_bytes = p.bytes = bytes.len;
    p.metric = c->metric ? c->before : (double)NAN;
    p.loss = p.loss_se = c->metric ? 0 : (double)NAN;
    p.row_us = time_rows(c, learner);
    return add_point(c, &p, err);
}

/* The trees as they are now, with their leaves in every form that may be. */
static qn_status add_points(compression *c, point p, qn_error *err) {
    for (int form = 0; form < QN_LEAF_FORMS; form++) {
        qn_cleanup(qn_buf_done) qn_buf bytes = {0};
        if (c->options->leaf_forms && !(c->options->leaf_forms >> form & 1))
            continue;
        if (!c->options->leaf_forms && form != QN_LEAF_FLOAT64 && !c->metric)
            continue; /* what it costs would not be known */
        p.form = (qn_leaf_form)form;
        QN_TRY(make_file(c, &p, &bytes, err));
        QN_TRY(add_point(c, &p, err));
    }
    return QN_OK;
}

static qn_status cut(compression *c, qn_error *err) {
    const int64_t n = qn_pruner_leaves(c->pruner);
    return qn_pruner_cut(c->pruner, (int64_t)(STEP * (double)n), c->job, err);
}

/* From the first rounds of all down, the fewest to nothing. */
static qn_status walk_down(compression *c, int32_t rounds, int64_t n_all, qn_error *err) {
    qn_pruner_start(c->pruner, rounds);
    const int64_t n_first = qn_pruner_leaves(c->pruner);
    const int64_t n_last = rounds / 2 < FEWEST_ROUNDS ? 0 : n_first / DEPTH;
    for (point p = {.rounds = rounds};; p.steps++) {
        const int64_t n = qn_pruner_leaves(c->pruner);
        char note[QN_DOUBLE_TEXT];
        QN_TRY(add_points(c, p, err));
        qn_text_bytes(c->points[c->n_points - 1].bytes, note);
        qn_job_progress(c->job, "compress", (double)(c->n_cut + n_first - n), 2 * (double)n_all,
                        note);
        QN_TRY(qn_job_check(c->job, err));
        if (n <= n_last || !c->metric)
            break;
        QN_TRY(cut(c, err));
    }
    c->n_cut += n_first;
    return QN_OK;
}

/* How bad it may well be: cutting much and cutting a little can have the same loss on the rows that
 * judge, but not the same certainty. */
static double worst(const point *p) {
    return p->loss + p->loss_se;
}

/* Falling bytes; what is better first; what was made with less first. */
static int compare_points(const void *a, const void *b) {
    const point *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    if (worst(x) != worst(y))
        return worst(x) > worst(y) ? -1 : 1;
    if (x->form != y->form)
        return x->form > y->form ? -1 : 1;
    return x->rounds != y->rounds ? (x->rounds < y->rounds ? -1 : 1)
                                  : (x->steps < y->steps) - (x->steps > y->steps);
}

/* Leaves the original, and of what is smaller that to which nothing is smaller and better. */
static void keep_front(compression *c) {
    double best = INFINITY;
    int64_t n = c->n_points;
    qsort(c->points + 1, (size_t)n - 1, sizeof *c->points, compare_points);
    int64_t first = n;
    for (int64_t i = n - 1; i > 0; i--) {
        const point p = c->points[i];
        bool is_smallest_of_its_size = first == n || p.bytes > c->points[first].bytes;
        if (p.bytes >= c->from_bytes || worst(&p) >= best || !is_smallest_of_its_size)
            continue;
        best = isnan(p.loss) ? best : worst(&p);
        c->points[--first] = p;
    }
    memmove(c->points + 1, c->points + first, (size_t)(n - first) * sizeof *c->points);
    c->n_points = 1 + n - first;
}

/* Half of the rounds, a quarter, ...: links cut one by one do not find that late rounds, each of them
 * useful to the ones after it, can go together. */
static qn_status make_curve(compression *c, qn_error *err) {
    const int64_t n_all = qn_pruner_leaves(c->pruner);
    int32_t rounds = qn_pruner_rounds(c->pruner);
    QN_TRY(put_original(c, err));
    do {
        QN_TRY(walk_down(c, rounds, n_all, err));
        rounds /= 2;
    } while (c->metric && rounds >= FEWEST_ROUNDS);
    keep_front(c);
    return QN_OK;
}

/* --- what was asked for ----------------------------------------------------------------------- */

/* The smallest within the loss, or the best within the bytes. */
static void choose(compression *c) {
    const size_t most = c->options->to_bytes;
    for (int64_t i = 0; i < c->n_points; i++) {
        const point *p = &c->points[i], *chosen = &c->points[c->i_chosen];
        bool fits = p->bytes <= most && (chosen->bytes > most || !(worst(p) > worst(chosen)));
        bool keeps = !(worst(p) > c->options->max_loss);
        bool better = most ? fits : keeps;
        if (better)
            c->i_chosen = i;
    }
}

static qn_status check_chosen(const compression *c, qn_error *err) {
    const size_t most = c->options->to_bytes, least = c->points[c->n_points - 1].bytes;
    const point *chosen = &c->points[c->i_chosen];
    QN_FAIL_IF(most && least > most, err, QN_ERR_USAGE,
               "%zu bytes are too few: the smallest that this model can be%s is %zu", most,
               c->metric ? "" : " without --input", least);
    QN_FAIL_IF(most && worst(chosen) > c->options->max_loss, err, QN_ERR_USAGE,
               "the best model of at most %zu bytes has a %s worse by %.3f%% (standard error "
               "%.3f%%), more than --max-loss allows", most, c->metric->name, 100 * chosen->loss,
               100 * chosen->loss_se);
    return QN_OK;
}

/* Made once more: the same cuts give the same bytes. */
static qn_status write_chosen(compression *c, qn_buf *out, qn_error *err) {
    point p = c->points[c->i_chosen];
    if (p.steps < 0)
        return qn_model_write(c->model, out, err);
    qn_pruner_start(c->pruner, p.rounds);
    for (int32_t i = 0; i < p.steps; i++)
        QN_TRY(cut(c, err));
    return make_file(c, &p, out, err);
}

static json_t *point_json(const compression *c, int64_t i) {
    const point *p = &c->points[i];
    return json_pack("{s:I, s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:b}", "bytes",
                     (json_int_t)p->bytes, "trees", (json_int_t)p->trees, "leaves",
                     (json_int_t)p->leaves, "leaf_values", qn_leaf_form_name(p->form), "row_us",
                     qn_json_number(p->row_us), "metric", qn_json_number(p->metric), "loss",
                     qn_json_number(p->loss), "loss_se", qn_json_number(p->loss_se), "chosen",
                     i == c->i_chosen);
}

static qn_status tell_result(const compression *c, json_t **ret_result, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *curve = json_array();
    for (int64_t i = 0; i < c->n_points; i++)
        if (json_array_append_new(curve, point_json(c, i)) != 0)
            return qn_error_memory(err);
    *ret_result = json_pack(
        "{s:{s:s, s:I}, s:{s:I, s:I}, s:s?, s:O, s:O, s:b}", "from", "hash", c->hash, "bytes",
        (json_int_t)c->from_bytes, "rows", "prune", (json_int_t)c->prune.n_rows, "judge",
        (json_int_t)c->judge.n_rows, "metric", c->metric ? c->metric->name : NULL, "curve", curve,
        "chosen", json_array_get(curve, (size_t)c->i_chosen), "changed", c->i_chosen > 0);
    return *ret_result ? QN_OK : qn_error_memory(err);
}

qn_status qn_compress(const qn_model *model, const qn_compress_options *options, const qn_job *job,
                      qn_buf *out, json_t **ret_result, qn_error *err) {
    qn_cleanup(compression_done) compression c = {.model = model, .options = options, .job = job};
    const char *name;
    QN_TRY(qn_pruner_metric(qn_model_learner(model), &name, err)); /* before the rows are read */
    QN_FAIL_IF(options->input && strncmp(name, "ndcg", 4) == 0 && !qn_query_column(model), err,
               QN_ERR_USAGE, "the model ranks and does not tell its column of queries: only those "
               "of 'quern run' do");
    if (options->input) {
        QN_TRY(qn__compress_rows(model, options->input, job, &c.prune, &c.judge, err));
        QN_TRY(prepare_judging(&c, err));
    }
    QN_TRY(start_pruner(&c, err));
    QN_TRY(make_curve(&c, err));
    choose(&c);
    QN_TRY(check_chosen(&c, err));
    QN_TRY(write_chosen(&c, out, err));
    return tell_result(&c, ret_result, err);
}
