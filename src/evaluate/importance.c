#include "evaluate/importance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "evaluate/build_int.h"
#include "evaluate/importance_int.h"

enum { DEFAULT_ROWS = 10000, SHAP_ROWS = 1000, SHAP_FEATURES = 12 };

/* --- shared with dependence.c ----------------------------------------------------------------- */

int32_t qn__importance_outputs(const qn_importance_input *input) {
    return input->eval.task == QN_TASK_MULTICLASS ? input->eval.n_classes : 1;
}

qn_status qn__choose_rows(int64_t n, int64_t max, uint64_t seed, int64_t **ret_rows, int64_t *ret_n,
                          qn_error *err) {
    int64_t left = n < max ? n : max, at = 0;
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, left);
    if (!rows)
        return qn_error_memory(err);
    qn_rng rng;
    qn_rng_init(&rng, seed);
    for (int64_t i = 0; i < n && left > 0; i++) {
        if (qn_rng_below(&rng, (uint64_t)(n - i)) < (uint64_t)left) {
            rows[at++] = i;
            left--;
        }
    }
    *ret_rows = qn_steal(&rows);
    *ret_n = at;
    return QN_OK;
}

qn_status qn__find_column(const qn_frame *frame, const char *name, int32_t *ret_i, qn_error *err) {
    const qn_column *column = NULL;
    QN_TRY(qn_frame_get(frame, name, &column, err));
    *ret_i = (int32_t)(column - frame->columns);
    return QN_OK;
}

/* --- permutation ------------------------------------------------------------------------------ */

typedef struct effect {
    size_t i_input;
    double mean, std; /* permutation: mean drop; SHAP: mean absolute */
} effect;

static int compare_effects(const void *a, const void *b) {
    const effect *x = a, *y = b;
    if (x->mean != y->mean && !isnan(x->mean) && !isnan(y->mean))
        return x->mean > y->mean ? -1 : 1;
    if (isnan(x->mean) != isnan(y->mean))
        return isnan(x->mean) ? 1 : -1;
    return x->i_input < y->i_input ? -1 : x->i_input > y->i_input;
}

/* The chosen rows, ready to be scored. */
typedef struct sample {
    qn_frame *frame;  /* owned */
    double *y, *weight, *scores; /* owned; weight NULL for none */
    int32_t *query;   /* owned; NULL for none */
    int64_t n;
} sample;

static void sample_done(sample *s) {
    qn_frame_free(&s->frame);
    qn_freep(&s->y);
    qn_freep(&s->weight);
    qn_freep(&s->query);
    qn_freep(&s->scores);
}

/* Whole queries, in an order that the seed draws, until there are enough rows; rows ascending. */
static qn_status choose_queries(const qn_importance_input *input, int64_t max, int64_t **ret_rows,
                                int64_t *ret_n, qn_error *err) {
    int64_t n = input->frame->n_rows, left = n;
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, n);
    if (!rows)
        return qn_error_memory(err);
    /* A query is in by its hash; the share of queries falls until their rows are few enough. */
    double share = n > max ? (double)max / (double)n : 1;
    for (int tries = 0; tries < 30; tries++, share *= 0.9) {
        left = 0;
        for (int64_t i = 0; i < n; i++)
            if (qn_rng_hash_uniform(input->seed, (uint64_t)input->eval.query[i]) < share)
                rows[left++] = i;
        if (left <= max)
            break;
    }
    for (int64_t i = 0; i < n && left == 0; i++) /* a single query is more than asked for */
        if (input->eval.query[i] == input->eval.query[0])
            rows[left++] = i;
    *ret_rows = qn_steal(&rows);
    *ret_n = left;
    return QN_OK;
}

static qn_status sample_make(const qn_importance_input *input, sample *s, qn_error *err) {
    int64_t max = input->max_rows > 0 ? input->max_rows : DEFAULT_ROWS;
    qn_cleanup(qn_freep) int64_t *rows = NULL;
    if (input->eval.query)
        QN_TRY(choose_queries(input, max, &rows, &s->n, err));
    else
        QN_TRY(qn__choose_rows(input->frame->n_rows, max, input->seed, &rows, &s->n, err));
    QN_TRY(qn_frame_take(input->frame, rows, s->n, &s->frame, err));
    s->y = qn_new_array(double, s->n);
    s->weight = input->eval.weight ? qn_new_array(double, s->n) : NULL;
    s->scores = qn_calloc((size_t)s->n, (size_t)qn__importance_outputs(input) * sizeof(double));
    s->query = input->eval.query ? qn_new_array(int32_t, s->n) : NULL;
    if (!s->y || !s->scores || (input->eval.weight && !s->weight)
        || (input->eval.query && !s->query))
        return qn_error_memory(err);
    for (int64_t i = 0; i < s->n; i++) {
        s->y[i] = input->eval.y[rows[i]];
        if (s->weight)
            s->weight[i] = input->eval.weight[rows[i]];
        if (s->query)
            s->query[i] = input->eval.query[rows[i]];
    }
    return QN_OK;
}

/* The metric, turned so that larger is better, of a frame with the sample's rows. */
static qn_status goodness(const qn_importance_input *input, sample *s, const qn_frame *frame,
                          double *ret_goodness, qn_error *err) {
    QN_TRY(input->score(input->user, frame, s->scores, err));
    qn_eval_input eval = input->eval;
    eval.n = s->n;
    eval.y = s->y;
    eval.weight = s->weight;
    eval.query = s->query;
    eval.scores = s->scores;
    double value = input->metric->compute(&eval);
    *ret_goodness = input->metric->greater_is_better ? value : -value;
    return QN_OK;
}

/* The goodness after one column has been shuffled. The frame that is scored borrows all other
 * columns. */
static qn_status shuffled(const qn_importance_input *input, sample *s, int32_t i_column,
                          uint64_t seed, double *ret_goodness, qn_error *err) {
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, s->n);
    qn_cleanup(qn_freep) qn_column *columns = qn_new_array(qn_column, s->frame->n_columns);
    qn_cleanup(qn_frame_free) qn_frame *moved = NULL;
    if (!rows || !columns)
        return qn_error_memory(err);
    for (int64_t i = 0; i < s->n; i++)
        rows[i] = i;
    qn_rng rng;
    qn_rng_init(&rng, seed);
    qn_rng_shuffle_i64(&rng, rows, s->n);
    qn_frame one = {s->n, 1, &s->frame->columns[i_column]};
    QN_TRY(qn_frame_take(&one, rows, s->n, &moved, err));
    memcpy(columns, s->frame->columns, (size_t)s->frame->n_columns * sizeof *columns);
    columns[i_column] = moved->columns[0];
    qn_frame frame = {s->n, s->frame->n_columns, columns};
    return goodness(input, s, &frame, ret_goodness, err);
}

static qn_status measure_input(const qn_importance_input *input, sample *s, double base,
                               int n_repeats, effect *e, qn_error *err) {
    int32_t i_column = 0;
    double sum = 0, squares = 0, after = 0;
    QN_TRY(qn__find_column(s->frame, input->inputs[e->i_input], &i_column, err));
    for (int r = 0; r < n_repeats; r++) {
        uint64_t seed = qn_rng_hash(qn_rng_hash(input->seed, e->i_input + 1), (uint64_t)r);
        QN_TRY(shuffled(input, s, i_column, seed, &after, err));
        sum += base - after;
        squares += (base - after) * (base - after);
    }
    e->mean = sum / n_repeats;
    e->std = sqrt(fmax(0, squares / n_repeats - e->mean * e->mean));
    return QN_OK;
}

static json_t *effects_to_json(const qn_importance_input *input, const effect *effects) {
    bool ok = true;
    json_t *array = json_array();
    for (size_t i = 0; i < input->n_inputs; i++) {
        json_t *object = json_object();
        qn__put(&ok, object, "feature", json_string(input->inputs[effects[i].i_input]));
        qn__put(&ok, object, "mean", qn_json_number(effects[i].mean));
        qn__put(&ok, object, "std", qn_json_number(effects[i].std));
        qn__append(&ok, array, object);
    }
    if (!ok)
        qn_json_free(&array);
    return array;
}

static qn_status permutation_make(const qn_importance_input *input, const qn_job *job,
                                  json_t **ret_array, qn_error *err) {
    int n_repeats = input->n_repeats > 0 ? input->n_repeats : 5;
    qn_cleanup(sample_done) sample s = {0};
    qn_cleanup(qn_freep) effect *effects = qn_new_array(effect, input->n_inputs);
    double base = 0;
    if (!effects)
        return qn_error_memory(err);
    QN_TRY(sample_make(input, &s, err));
    QN_TRY(goodness(input, &s, s.frame, &base, err));
    for (size_t i = 0; i < input->n_inputs; i++) {
        QN_TRY(qn_job_check(job, err));
        qn_job_progress(job, "importance", (double)i, (double)input->n_inputs, NULL);
        effects[i].i_input = i;
        QN_TRY(measure_input(input, &s, base, n_repeats, &effects[i], err));
    }
    qsort(effects, input->n_inputs, sizeof *effects, compare_effects);
    *ret_array = effects_to_json(input, effects);
    return *ret_array ? QN_OK : qn_error_memory(err);
}

/* --- SHAP ------------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* place[i]: where the value of row i lies between the 2 % and the 98 % quantile, 0..1; NaN when
 * missing. */
static qn_status number_places(const qn_column *column, double *place, qn_error *err) {
    int64_t n = 0;
    qn_cleanup(qn_freep) double *sorted = qn_new_array(double, column->n_rows);
    if (!sorted)
        return qn_error_memory(err);
    for (int64_t i = 0; i < column->n_rows; i++) {
        place[i] = qn_column_number(column, i);
        if (!isnan(place[i]))
            sorted[n++] = place[i];
    }
    qsort(sorted, (size_t)n, sizeof *sorted, compare_doubles);
    double low = n ? sorted[(n - 1) / 50] : 0, high = n ? sorted[n - 1 - (n - 1) / 50] : 0;
    for (int64_t i = 0; i < column->n_rows; i++) {
        if (!isnan(place[i]))
            place[i] = high > low ? fmin(1, fmax(0, (place[i] - low) / (high - low))) : 0.5;
    }
    return QN_OK;
}

/* Categories by how frequent they are: the commonest at 1. */
static qn_status category_places(const qn_column *column, double *place, qn_error *err) {
    int32_t n = qn_dict_size(column->dict);
    qn_cleanup(qn_freep) int64_t *counts = qn_new_array(int64_t, n);
    int64_t most = 1;
    if (!counts)
        return qn_error_memory(err);
    for (int64_t i = 0; i < column->n_rows; i++) {
        if (qn_column_is_valid(column, i)) {
            int64_t count = ++counts[column->code[i]];
            most = count > most ? count : most;
        }
    }
    for (int64_t i = 0; i < column->n_rows; i++)
        place[i] = qn_column_is_valid(column, i) ? (double)counts[column->code[i]] / (double)most
                                                 : NAN;
    return QN_OK;
}

static qn_status places(const qn_column *column, double *place, qn_error *err) {
    if (column->type == QN_TYPE_CATEGORY)
        return category_places(column, place, err);
    if (column->type != QN_TYPE_TEXT)
        return number_places(column, place, err);
    for (int64_t i = 0; i < column->n_rows; i++)
        place[i] = NAN;
    return QN_OK;
}

/* The points of one input: single-output models only. */
static qn_status points_make(const qn_importance_input *input, const qn_frame *frame,
                             const double *contrib, size_t i_input, json_t **ret_points,
                             qn_error *err) {
    const qn_column *column = NULL;
    QN_TRY(qn_frame_get(frame, input->inputs[i_input], &column, err));
    int64_t n = frame->n_rows, n_points = n < QN_SHAP_POINTS ? n : QN_SHAP_POINTS;
    qn_cleanup(qn_freep) double *place = qn_new_array(double, n);
    if (!place)
        return qn_error_memory(err);
    QN_TRY(places(column, place, err));
    bool ok = true;
    qn_cleanup(qn_json_free) json_t *points = json_array();
    for (int64_t k = 0; k < n_points; k++) {
        int64_t i = k * n / n_points;
        json_t *point = json_object();
        qn__put(&ok, point, "x", qn_json_number(place[i]));
        qn__put(&ok, point, "shap",
                qn_json_number(contrib[i * ((int64_t)input->n_inputs + 1) + (int64_t)i_input]));
        qn__append(&ok, points, point);
    }
    if (!ok)
        return qn_error_memory(err);
    *ret_points = qn_steal(&points);
    return QN_OK;
}

static void mean_absolute(const qn_importance_input *input, const double *contrib, int64_t n,
                          effect *effects) {
    int32_t n_outputs = qn__importance_outputs(input);
    for (size_t f = 0; f < input->n_inputs; f++) {
        double sum = 0;
        for (int64_t i = 0; i < n * n_outputs; i++)
            sum += fabs(contrib[(size_t)i * (input->n_inputs + 1) + f]);
        effects[f] = (effect){.i_input = f, .mean = n ? sum / (double)n : 0};
    }
    qsort(effects, input->n_inputs, sizeof *effects, compare_effects);
}

static qn_status shap_items(const qn_importance_input *input, const qn_frame *frame,
                            const double *contrib, const effect *effects, json_t *array,
                            qn_error *err) {
    bool ok = true;
    for (size_t k = 0; k < input->n_inputs; k++) {
        json_t *points = NULL;
        if (k < SHAP_FEATURES && qn__importance_outputs(input) == 1)
            QN_TRY(points_make(input, frame, contrib, effects[k].i_input, &points, err));
        json_t *object = json_object();
        qn__put(&ok, object, "feature", json_string(input->inputs[effects[k].i_input]));
        qn__put(&ok, object, "mean_abs", qn_json_number(effects[k].mean));
        qn__put(&ok, object, "points", points ? points : json_array());
        qn__append(&ok, array, object);
    }
    return ok ? QN_OK : qn_error_memory(err);
}

static qn_status shap_make(const qn_importance_input *input, json_t **ret_array, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *array = json_array();
    if (!array)
        return qn_error_memory(err);
    if (input->explain) {
        qn_cleanup(qn_freep) int64_t *rows = NULL;
        qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
        int64_t n = 0;
        QN_TRY(qn__choose_rows(input->frame->n_rows, SHAP_ROWS, input->seed, &rows, &n, err));
        QN_TRY(qn_frame_take(input->frame, rows, n, &frame, err));
        size_t width = (size_t)qn__importance_outputs(input) * (input->n_inputs + 1);
        qn_cleanup(qn_freep) double *contrib = qn_calloc((size_t)n, width * sizeof *contrib);
        qn_cleanup(qn_freep) effect *effects = qn_new_array(effect, input->n_inputs);
        if (!contrib || !effects)
            return qn_error_memory(err);
        QN_TRY(input->explain(input->user, frame, contrib, err));
        mean_absolute(input, contrib, n, effects);
        QN_TRY(shap_items(input, frame, contrib, effects, array, err));
    }
    *ret_array = qn_steal(&array);
    return QN_OK;
}

qn_status qn_importance_make(const qn_importance_input *input, const qn_job *job,
                             json_t **ret_importance, qn_error *err) {
    QN_FAIL_IF(input->frame->n_rows < 1 || !input->metric || !input->score, err, QN_ERR_USAGE,
               "importance needs rows, a metric and a model");
    qn_cleanup(qn_json_free) json_t *permutation = NULL;
    qn_cleanup(qn_json_free) json_t *shap = NULL;
    QN_TRY(permutation_make(input, job, &permutation, err));
    QN_TRY(shap_make(input, &shap, err));
    bool ok = true;
    qn_cleanup(qn_json_free) json_t *object = json_object();
    qn__put(&ok, object, "metric", json_string(input->metric->name));
    qn__put(&ok, object, "permutation", qn_steal(&permutation));
    qn__put(&ok, object, "shap", qn_steal(&shap));
    if (!ok)
        return qn_error_memory(err);
    *ret_importance = qn_steal(&object);
    return QN_OK;
}
