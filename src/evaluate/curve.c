#include "evaluate/curve.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "evaluate/build_int.h"
#include "learn/order.h"

enum { BINS = 15, HISTOGRAM_BINS = 40, DECILES = 10, QUANTILES = 99 };

/* --- thinning --------------------------------------------------------------------------------- */

/* The area of the triangle of three points: what leaving out the middle one costs. */
static double triangle(const double *x, const double *y, int64_t a, int64_t b, int64_t c) {
    return fabs((x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a]));
}

/* Indexes of at most max points. A first pass takes evenly spaced points in x and y together (along
 * the curve's length), then the least important one is dropped until few enough are left. */
static int64_t pick_along(const double *x, const double *y, int64_t n, int64_t max,
                          int64_t *index) {
    double length = 0, range_x = fabs(x[n - 1] - x[0]), range_y = 0;
    double low = y[0], high = y[0];
    for (int64_t i = 0; i < n; i++) {
        low = fmin(low, y[i]);
        high = fmax(high, y[i]);
    }
    range_y = high - low;
    double scale_x = range_x > 0 ? 1 / range_x : 0, scale_y = range_y > 0 ? 1 / range_y : 0;
    for (int64_t i = 1; i < n; i++)
        length += fabs(x[i] - x[i - 1]) * scale_x + fabs(y[i] - y[i - 1]) * scale_y;
    int64_t n_index = 0;
    double at = 0, next = 0, step = length / (double)(max - 1);
    for (int64_t i = 0; i < n; i++) {
        if (i)
            at += fabs(x[i] - x[i - 1]) * scale_x + fabs(y[i] - y[i - 1]) * scale_y;
        if ((i == n - 1 || at >= next) && n_index < max) {
            index[n_index++] = i;
            next = at + step;
        }
    }
    index[n_index - 1] = n - 1;
    return n_index;
}

static int64_t thin(const double *x, const double *y, int64_t n, int64_t *index) {
    int64_t n_index = n;
    if (n > 5 * QN_CURVE_POINTS)
        n_index = pick_along(x, y, n, 5 * QN_CURVE_POINTS, index);
    else
        for (int64_t i = 0; i < n; i++)
            index[i] = i;
    while (n_index > QN_CURVE_POINTS) {
        int64_t worst = 1;
        double least = INFINITY;
        for (int64_t i = 1; i + 1 < n_index; i++) {
            double cost = triangle(x, y, index[i - 1], index[i], index[i + 1]);
            if (cost < least) {
                least = cost;
                worst = i;
            }
        }
        for (int64_t i = worst; i + 1 < n_index; i++)
            index[i] = index[i + 1];
        n_index--;
    }
    return n_index;
}

/* --- one score against one truth -------------------------------------------------------------- */

/* Rows by falling score; sums up to and with each distinct score. */
typedef struct sweep {
    int64_t n;            /* distinct scores */
    double *score;        /* owned, falling */
    double *hits, *falls; /* owned: weight of positives and negatives with at least this score */
    double positives, negatives;
} sweep;

static void sweep_done(sweep *s) {
    qn_freep(&s->score);
    qn_freep(&s->hits);
    qn_freep(&s->falls);
}

/* What to sweep: is row i positive, and its score. */
typedef struct view {
    const qn_eval_input *input;
    const double *scores; /* stride apart */
    int64_t stride;
    double positive;      /* the class that counts as positive */
} view;

static qn_status sweep_make(const view *v, sweep *ret_sweep, qn_error *err) {
    int64_t n = v->input->n;
    qn_cleanup(sweep_done) sweep s = {0};
    qn_cleanup(qn_freep) int64_t *order = qn_new_array(int64_t, n);
    s.score = qn_new_array(double, n);
    s.hits = qn_new_array(double, n);
    s.falls = qn_new_array(double, n);
    if (!order || !s.score || !s.hits || !s.falls)
        return qn_error_memory(err);
    QN_TRY(qn_order_f64(v->scores, v->stride, n, order, err));
    for (int64_t k = n - 1; k >= 0; k--) {
        int64_t i = order[k];
        double score = v->scores[i * v->stride], w = v->input->weight ? v->input->weight[i] : 1;
        if (v->input->y[i] == v->positive)
            s.positives += w;
        else
            s.negatives += w;
        if (s.n == 0 || score != s.score[s.n - 1])
            s.score[s.n++] = score;
        s.hits[s.n - 1] = s.positives;
        s.falls[s.n - 1] = s.negatives;
    }
    *ret_sweep = s;
    s = (sweep){0};
    return QN_OK;
}

typedef enum curve_kind { CURVE_ROC, CURVE_PR, CURVE_GAIN } curve_kind;

/* Point k of a curve, k = 0 being "nothing has been called positive yet". */
static void curve_point(const sweep *s, curve_kind kind, int64_t k, double *ret_x, double *ret_y) {
    double hits = k ? s->hits[k - 1] : 0, falls = k ? s->falls[k - 1] : 0;
    if (kind == CURVE_ROC) {
        *ret_x = falls / s->negatives;
        *ret_y = hits / s->positives;
    } else if (kind == CURVE_PR) {
        *ret_x = hits / s->positives;
        *ret_y = k ? hits / (hits + falls) : 1;
    } else {
        *ret_x = (hits + falls) / (s->positives + s->negatives);
        *ret_y = hits / s->positives;
    }
}

static json_t *picked(const double *values, const int64_t *index, int64_t n) {
    bool ok = true;
    json_t *array = json_array();
    for (int64_t i = 0; i < n; i++)
        qn__append(&ok, array, qn_json_number(values[index[i]]));
    if (!ok)
        qn_json_free(&array);
    return array;
}

/* gain / share, the first point by its neighbour. */
static json_t *lift_to_json(const double *x, const double *y, const int64_t *index, int64_t n) {
    bool ok = true;
    json_t *array = json_array();
    for (int64_t i = 0; i < n; i++) {
        int64_t at = index[i] == 0 && n > 1 ? index[1] : index[i];
        qn__append(&ok, array, qn_json_number(x[at] > 0 ? y[at] / x[at] : NAN));
    }
    if (!ok)
        qn_json_free(&array);
    return array;
}

static qn_status curve_make(const sweep *s, curve_kind kind, json_t **ret_curve, qn_error *err) {
    static const char *const names[][2] = {
        {"fpr", "tpr"}, {"recall", "precision"}, {"share", "gain"}};
    if (!(s->positives > 0) || (kind == CURVE_ROC && !(s->negatives > 0))) {
        *ret_curve = json_null();
        return QN_OK;
    }
    int64_t n = s->n + 1;
    qn_cleanup(qn_freep) double *x = qn_new_array(double, n);
    qn_cleanup(qn_freep) double *y = qn_new_array(double, n);
    qn_cleanup(qn_freep) int64_t *index = qn_new_array(int64_t, n);
    if (!x || !y || !index)
        return qn_error_memory(err);
    for (int64_t k = 0; k < n; k++)
        curve_point(s, kind, k, &x[k], &y[k]);
    int64_t n_index = thin(x, y, n, index);
    bool ok = true;
    qn_cleanup(qn_json_free) json_t *curve = json_object();
    qn__put(&ok, curve, names[kind][0], picked(x, index, n_index));
    qn__put(&ok, curve, names[kind][1], picked(y, index, n_index));
    if (kind == CURVE_PR)
        qn__put(&ok, curve, "base", qn_json_number(s->positives / (s->positives + s->negatives)));
    if (kind == CURVE_GAIN)
        qn__put(&ok, curve, "lift", lift_to_json(x, y, index, n_index));
    if (!ok)
        return qn_error_memory(err);
    *ret_curve = qn_steal(&curve);
    return QN_OK;
}

static double sweep_auc(const sweep *s) {
    double area = 0, hits = 0, falls = 0;
    for (int64_t k = 0; k < s->n; k++) {
        area += (s->falls[k] - falls) * (s->hits[k] + hits) / 2;
        hits = s->hits[k];
        falls = s->falls[k];
    }
    return area / (s->positives * s->negatives);
}

/* --- calibration ------------------------------------------------------------------------------ */

/* Wilson's interval for a share of n trials (1927). */
static void wilson(double share, double n, double *ret_low, double *ret_high) {
    double z = 1.959963984540054, z2 = z * z;
    double middle = (share + z2 / (2 * n)) / (1 + z2 / n);
    double half = z / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n));
    *ret_low = fmax(0, middle - half);
    *ret_high = fmin(1, middle + half);
}

/* The metric of that name. */
static double expected_calibration_error(const double *p, const double *right, const double *weight,
                                         int64_t n) {
    const qn_metric *metric = NULL;
    qn_eval_input input = {QN_TASK_BINARY, 2, n, right, p, weight, 0.5};
    return qn_metric_find("ece", QN_TASK_BINARY, &metric, NULL) == QN_OK ? metric->compute(&input)
                                                                         : NAN;
}

typedef struct bins {
    double score[BINS], observed[BINS], low[BINS], high[BINS], n[BINS];
    int n_bins;
} bins;

/* Bins of equal numbers of rows; rows of one score stay together. */
static void fill_bins(const double *p, const double *right, const double *weight,
                      const int64_t *order, int64_t n, bins *b) {
    for (int64_t from = 0, to; from < n && b->n_bins < BINS; from = to) {
        to = b->n_bins == BINS - 1 ? n : from + (n - from) / (BINS - b->n_bins);
        to = to <= from ? from + 1 : to;
        while (to < n && p[order[to]] == p[order[to - 1]])
            to++;
        double score = 0, hits = 0, total = 0;
        for (int64_t k = from; k < to; k++) {
            double w = weight ? weight[order[k]] : 1;
            score += w * p[order[k]];
            hits += w * right[order[k]];
            total += w;
        }
        int i = b->n_bins++;
        b->score[i] = score / total;
        b->observed[i] = hits / total;
        b->n[i] = (double)(to - from);
        wilson(b->observed[i], b->n[i], &b->low[i], &b->high[i]);
    }
}

static json_t *whole_numbers(const double *x, size_t n) {
    bool ok = true;
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        qn__append(&ok, array, json_integer((json_int_t)x[i]));
    if (!ok)
        qn_json_free(&array);
    return array;
}

static qn_status calibration_make(const double *p, const double *right, const double *weight,
                                  int64_t n, json_t **ret_curve, qn_error *err) {
    qn_cleanup(qn_freep) int64_t *order = qn_new_array(int64_t, n);
    if (!order)
        return qn_error_memory(err);
    QN_TRY(qn_order_f64(p, 1, n, order, err));
    bins b = {.n_bins = 0};
    fill_bins(p, right, weight, order, n, &b);
    size_t n_bins = (size_t)b.n_bins;
    bool ok = true;
    qn_cleanup(qn_json_free) json_t *curve = json_object();
    qn__put(&ok, curve, "score", qn_json_numbers(b.score, n_bins));
    qn__put(&ok, curve, "observed", qn_json_numbers(b.observed, n_bins));
    qn__put(&ok, curve, "low", qn_json_numbers(b.low, n_bins));
    qn__put(&ok, curve, "high", qn_json_numbers(b.high, n_bins));
    qn__put(&ok, curve, "n", whole_numbers(b.n, n_bins));
    qn__put(&ok, curve, "ece", qn_json_number(expected_calibration_error(p, right, weight, n)));
    if (!ok)
        return qn_error_memory(err);
    *ret_curve = qn_steal(&curve);
    return QN_OK;
}

/* --- binary ----------------------------------------------------------------------------------- */

static json_t *score_histogram(const qn_eval_input *input) {
    double edges[HISTOGRAM_BINS + 1], counts[2][HISTOGRAM_BINS] = {{0}};
    for (int b = 0; b <= HISTOGRAM_BINS; b++)
        edges[b] = (double)b / HISTOGRAM_BINS;
    for (int64_t i = 0; i < input->n; i++) {
        int bin = (int)(fmin(fmax(input->scores[i], 0), 1) * HISTOGRAM_BINS);
        counts[input->y[i] == 1][bin >= HISTOGRAM_BINS ? HISTOGRAM_BINS - 1 : bin]++;
    }
    bool ok = true;
    json_t *object = json_object();
    qn__put(&ok, object, "edges", qn_json_numbers(edges, HISTOGRAM_BINS + 1));
    qn__put(&ok, object, "positive", whole_numbers(counts[1], HISTOGRAM_BINS));
    qn__put(&ok, object, "negative", whole_numbers(counts[0], HISTOGRAM_BINS));
    if (!ok)
        qn_json_free(&object);
    return object;
}

/* Makes a curve and puts it under its name. */
static qn_status put_curve(json_t *object, const char *name, const sweep *s, curve_kind kind,
                           qn_error *err) {
    json_t *curve = NULL;
    bool ok = true;
    QN_TRY(curve_make(s, kind, &curve, err));
    qn__put(&ok, object, name, curve);
    return ok ? QN_OK : qn_error_memory(err);
}

static qn_status binary_curves(const qn_eval_input *input, json_t *curves, qn_error *err) {
    qn_cleanup(sweep_done) sweep s = {0};
    view v = {.input = input, .scores = input->scores, .stride = 1, .positive = 1};
    QN_TRY(sweep_make(&v, &s, err));
    QN_TRY(put_curve(curves, "roc", &s, CURVE_ROC, err));
    QN_TRY(put_curve(curves, "pr", &s, CURVE_PR, err));
    QN_TRY(put_curve(curves, "gain", &s, CURVE_GAIN, err));
    json_t *calibration = NULL;
    bool ok = true;
    QN_TRY(calibration_make(input->scores, input->y, input->weight, input->n, &calibration, err));
    qn__put(&ok, curves, "calibration", calibration);
    qn__put(&ok, curves, "scores", score_histogram(input));
    return ok ? QN_OK : qn_error_memory(err);
}

/* --- multiclass ------------------------------------------------------------------------------- */

static qn_status one_class(const qn_eval_input *input, const qn_target_info *target, int32_t k,
                           json_t *classes, qn_error *err) {
    qn_cleanup(sweep_done) sweep s = {0};
    view v = {input, input->scores + k, input->n_classes, k};
    QN_TRY(sweep_make(&v, &s, err));
    int64_t n = 0;
    for (int64_t i = 0; i < input->n; i++)
        n += input->y[i] == k;
    bool ok = true;
    qn_cleanup(qn_json_free) json_t *object = json_object();
    qn__put(&ok, object, "label", target && k < target->n_classes ? json_string(target->classes[k])
                                                                  : json_sprintf("%d", (int)k));
    qn__put(&ok, object, "n", json_integer(n));
    qn__put(&ok, object, "auc", qn_json_number(sweep_auc(&s)));
    if (!ok)
        return qn_error_memory(err);
    QN_TRY(put_curve(object, "roc", &s, CURVE_ROC, err));
    QN_TRY(put_curve(object, "pr", &s, CURVE_PR, err));
    qn__append(&ok, classes, qn_steal(&object));
    return ok ? QN_OK : qn_error_memory(err);
}

/* The largest probability of each row, and whether its class is the right one. */
static void top_label(const qn_eval_input *input, double *p, double *right) {
    int32_t n_classes = input->n_classes;
    for (int64_t i = 0; i < input->n; i++) {
        const double *row = input->scores + i * n_classes;
        int32_t best = 0;
        for (int32_t k = 1; k < n_classes; k++)
            best = row[k] > row[best] ? k : best;
        p[i] = row[best];
        right[i] = input->y[i] == best;
    }
}

static qn_status multiclass_curves(const qn_eval_input *input, const qn_target_info *target,
                                   json_t *curves, qn_error *err) {
    bool ok = true;
    json_t *classes = json_array(), *calibration = NULL;
    qn__put(&ok, curves, "classes", classes);
    if (!ok)
        return qn_error_memory(err);
    for (int32_t k = 0; k < input->n_classes; k++)
        QN_TRY(one_class(input, target, k, classes, err));
    qn_cleanup(qn_freep) double *p = qn_new_array(double, input->n);
    qn_cleanup(qn_freep) double *right = qn_new_array(double, input->n);
    if (!p || !right)
        return qn_error_memory(err);
    top_label(input, p, right);
    QN_TRY(calibration_make(p, right, input->weight, input->n, &calibration, err));
    qn__put(&ok, curves, "calibration", calibration);
    return ok ? QN_OK : qn_error_memory(err);
}

/* --- regression ------------------------------------------------------------------------------- */

/* Of sorted values, linear between neighbours. */
static double quantile(const double *sorted, int64_t n, double q) {
    double at = q * (double)(n - 1);
    int64_t i = (int64_t)at;
    return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Histogram of sorted values between their 0.5 % and 99.5 % quantiles; the outermost bins take the
 * rest. */
static json_t *residual_histogram(const double *sorted, int64_t n) {
    double low = quantile(sorted, n, 0.005), high = quantile(sorted, n, 0.995);
    double edges[HISTOGRAM_BINS + 1], counts[HISTOGRAM_BINS] = {0};
    if (!(high > low)) {
        double half = fmax(fabs(low) * 1e-6, 0.5);
        low -= half;
        high = low + 2 * half;
    }
    for (int b = 0; b <= HISTOGRAM_BINS; b++)
        edges[b] = low + (high - low) * b / HISTOGRAM_BINS;
    for (int64_t i = 0; i < n; i++) {
        double at = (sorted[i] - low) / (high - low) * HISTOGRAM_BINS;
        counts[(int)fmin(fmax(at, 0), HISTOGRAM_BINS - 1)]++;
    }
    bool ok = true;
    json_t *object = json_object();
    qn__put(&ok, object, "edges", qn_json_numbers(edges, HISTOGRAM_BINS + 1));
    qn__put(&ok, object, "counts", whole_numbers(counts, HISTOGRAM_BINS));
    if (!ok)
        qn_json_free(&object);
    return object;
}

static json_t *error_quantiles(const double *sorted, int64_t n) {
    double q[QUANTILES], error[QUANTILES];
    for (int i = 0; i < QUANTILES; i++) {
        q[i] = (i + 1) / 100.0;
        error[i] = quantile(sorted, n, q[i]);
    }
    bool ok = true;
    json_t *object = json_object();
    qn__put(&ok, object, "q", qn_json_numbers(q, QUANTILES));
    qn__put(&ok, object, "error", qn_json_numbers(error, QUANTILES));
    if (!ok)
        qn_json_free(&object);
    return object;
}

/* Every row is taken with the same chance, in row order (Knuth's selection sampling). */
static json_t *actual_points(const qn_eval_input *input, uint64_t seed) {
    bool ok = true;
    qn_rng rng;
    qn_rng_init(&rng, seed);
    json_t *object = json_object(), *predicted = json_array(), *actual = json_array();
    int64_t left = input->n < QN_CURVE_SAMPLE ? input->n : QN_CURVE_SAMPLE;
    for (int64_t i = 0; i < input->n && left > 0; i++) {
        if (qn_rng_below(&rng, (uint64_t)(input->n - i)) >= (uint64_t)left)
            continue;
        left--;
        qn__append(&ok, predicted, qn_json_number(input->scores[i]));
        qn__append(&ok, actual, qn_json_number(input->y[i]));
    }
    qn__put(&ok, object, "predicted", predicted);
    qn__put(&ok, object, "actual", actual);
    if (!ok)
        qn_json_free(&object);
    return object;
}

/* Weighted means of one decile, and the spread of its actual values; `buffer` has room for its
 * rows. */
static void decile_point(const qn_eval_input *input, const int64_t *order, int64_t n,
                         double *buffer, bins *b) {
    double predicted = 0, actual = 0, total = 0;
    for (int64_t k = 0; k < n; k++) {
        double w = input->weight ? input->weight[order[k]] : 1;
        predicted += w * input->scores[order[k]];
        actual += w * input->y[order[k]];
        total += w;
        buffer[k] = input->y[order[k]];
    }
    qsort(buffer, (size_t)n, sizeof *buffer, compare_doubles);
    int i = b->n_bins++;
    b->score[i] = predicted / total;
    b->observed[i] = actual / total;
    b->low[i] = quantile(buffer, n, 0.1);
    b->high[i] = quantile(buffer, n, 0.9);
    b->n[i] = (double)n;
}

static qn_status by_prediction(const qn_eval_input *input, double *buffer, json_t **ret_object,
                               qn_error *err) {
    qn_cleanup(qn_freep) int64_t *order = qn_new_array(int64_t, input->n);
    if (!order)
        return qn_error_memory(err);
    QN_TRY(qn_order_f64(input->scores, 1, input->n, order, err));
    bins b = {.n_bins = 0};
    for (int d = 0; d < DECILES; d++) {
        int64_t from = input->n * d / DECILES, to = input->n * (d + 1) / DECILES;
        if (to > from)
            decile_point(input, order + from, to - from, buffer, &b);
    }
    bool ok = true;
    qn_cleanup(qn_json_free) json_t *object = json_object();
    qn__put(&ok, object, "predicted", qn_json_numbers(b.score, (size_t)b.n_bins));
    qn__put(&ok, object, "actual", qn_json_numbers(b.observed, (size_t)b.n_bins));
    qn__put(&ok, object, "low", qn_json_numbers(b.low, (size_t)b.n_bins));
    qn__put(&ok, object, "high", qn_json_numbers(b.high, (size_t)b.n_bins));
    qn__put(&ok, object, "n", whole_numbers(b.n, (size_t)b.n_bins));
    if (!ok)
        return qn_error_memory(err);
    *ret_object = qn_steal(&object);
    return QN_OK;
}

static qn_status regression_curves(const qn_eval_input *input, uint64_t seed, json_t *curves,
                                   qn_error *err) {
    int64_t n = input->n;
    qn_cleanup(qn_freep) double *errors = qn_new_array(double, n);
    if (!errors)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++)
        errors[i] = input->y[i] - input->scores[i];
    qsort(errors, (size_t)n, sizeof *errors, compare_doubles);
    bool ok = true;
    qn__put(&ok, curves, "residuals", residual_histogram(errors, n));
    qn__put(&ok, curves, "actual", actual_points(input, seed));
    for (int64_t i = 0; i < n; i++)
        errors[i] = fabs(errors[i]);
    qsort(errors, (size_t)n, sizeof *errors, compare_doubles);
    qn__put(&ok, curves, "quantiles", error_quantiles(errors, n));
    json_t *deciles = NULL;
    QN_TRY(by_prediction(input, errors, &deciles, err));
    qn__put(&ok, curves, "by_prediction", deciles);
    return ok ? QN_OK : qn_error_memory(err);
}

qn_status qn_curves_make(const qn_eval_input *input, const qn_target_info *target, uint64_t seed,
                         json_t **ret_curves, qn_error *err) {
    QN_FAIL_IF(input->n < 1, err, QN_ERR_USAGE, "curves need rows");
    qn_cleanup(qn_json_free) json_t *curves = json_object();
    if (!curves)
        return qn_error_memory(err);
    if (input->task == QN_TASK_BINARY)
        QN_TRY(binary_curves(input, curves, err));
    else if (input->task == QN_TASK_MULTICLASS)
        QN_TRY(multiclass_curves(input, target, curves, err));
    else
        QN_TRY(regression_curves(input, seed, curves, err));
    *ret_curves = qn_steal(&curves);
    return QN_OK;
}
