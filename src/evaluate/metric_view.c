#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "evaluate/bootstrap.h"
#include "evaluate/metric_int.h"
#include "learn/order.h"

/* Places first .. last - 1 of the ranking that share an ECE bin and the side of the threshold. */
typedef struct segment {
    int64_t end;
    int bin;
    bool predicted;
} segment;

/* Arrays by place: binary in ranking order (when `ranked`), the others in row order. */
struct qn__metric_view {
    qn_eval_input input; /* pointers borrowed */
    uint32_t wanted;
    /* binary */
    qn__ranking ranking;
    double *score;            /* owned; [place] */
    double *loss, *square;    /* owned; [place] or [row]: log loss, Brier or squared error */
    segment segments[QN__ECE_BINS + 2];
    int n_segments;
    /* multiclass */
    int32_t *predicted;       /* owned; [row] */
    double *top;              /* owned; [row]: the predicted class's probability */
    /* regression */
    double *absolute;         /* owned; [row] */
    double *relative;         /* owned; [row] */
    double *deviance;         /* owned; [row]; NULL when undefined */
    double *entropy;          /* owned; [row]; NULL when undefined */
    int64_t *by_error;        /* owned; rows by ascending absolute error */
    double centre;            /* mean of y */
    bool constant;            /* all y are equal */
    /* ranking */
    qn__rankings rankings;
};

void qn__metric_view_free(qn__metric_view **view) {
    qn__metric_view *v = view ? *view : NULL;
    if (!v)
        return;
    qn__ranking_done(&v->ranking);
    qn__rankings_done(&v->rankings);
    qn_freep(&v->score);
    qn_freep(&v->loss);
    qn_freep(&v->square);
    qn_freep(&v->predicted);
    qn_freep(&v->top);
    qn_freep(&v->absolute);
    qn_freep(&v->relative);
    qn_freep(&v->deviance);
    qn_freep(&v->entropy);
    qn_freep(&v->by_error);
    qn_freep(view);
}

static bool wants(const qn__metric_view *v, qn__metric_id id) {
    return v->wanted >> id & 1;
}

/* scikit-learn 1.2 keeps probabilities that far from 0 and 1. */
static double clipped(double p) {
    return p < DBL_EPSILON ? DBL_EPSILON : p > 1 - DBL_EPSILON ? 1 - DBL_EPSILON : p;
}

static int bin_of(double p) {
    int bin = (int)ceil(p * QN__ECE_BINS) - 1;
    return bin < 0 ? 0 : bin >= QN__ECE_BINS ? QN__ECE_BINS - 1 : bin;
}

static qn_status init_binary(qn__metric_view *v, qn_error *err) {
    const qn_eval_input *in = &v->input;
    QN_TRY(qn__ranking_init(&v->ranking, in->y, 1, in->scores, 1, in->n, err));
    v->score = qn_new_array(double, in->n);
    v->loss = qn_new_array(double, in->n);
    v->square = qn_new_array(double, in->n);
    if (!v->score || !v->loss || !v->square)
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n; i++) {
        double p = in->scores[v->ranking.order[i]], y = v->ranking.positive[i];
        double q = clipped(p);
        v->score[i] = p;
        v->loss[i] = -log(y > 0 ? q : 1 - q);
        v->square[i] = (p - y) * (p - y);
        int bin = bin_of(p);
        bool predicted = p >= in->threshold;
        segment *s = &v->segments[v->n_segments - (v->n_segments > 0)];
        if (v->n_segments == 0 || s->bin != bin || s->predicted != predicted)
            s = &v->segments[v->n_segments++];
        *s = (segment){i + 1, bin, predicted};
    }
    return QN_OK;
}

static qn_status init_multiclass(qn__metric_view *v, qn_error *err) {
    const qn_eval_input *in = &v->input;
    v->predicted = qn_new_array(int32_t, in->n);
    v->top = qn_new_array(double, in->n);
    v->loss = qn_new_array(double, in->n);
    v->square = qn_new_array(double, in->n);
    if (!v->predicted || !v->top || !v->loss || !v->square)
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n; i++) {
        const double *p = in->scores + i * in->n_classes;
        int32_t y = (int32_t)in->y[i];
        double sum = 0;
        for (int32_t k = 0; k < in->n_classes; k++) {
            sum += clipped(p[k]);
            v->square[i] += (p[k] - (k == y)) * (p[k] - (k == y));
            if (p[k] > p[v->predicted[i]])
                v->predicted[i] = k;
        }
        v->top[i] = p[v->predicted[i]];
        v->loss[i] = -log(clipped(p[y]) / sum);
    }
    return QN_OK;
}

/* Twice the loss of a Poisson regression; y log y is 0 at 0. */
static double poisson(double y, double mean) {
    return 2 * ((y > 0 ? y * log(y / mean) : 0) - y + mean);
}

static qn_status init_deviance(qn__metric_view *v, qn_error *err) {
    const qn_eval_input *in = &v->input;
    for (int64_t i = 0; i < in->n; i++)
        if (!(in->y[i] >= 0) || !(in->scores[i] > 0))
            return QN_OK;
    v->deviance = qn_new_array(double, in->n);
    if (!v->deviance)
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n; i++)
        v->deviance[i] = poisson(in->y[i], in->scores[i]);
    return QN_OK;
}

static qn_status init_entropy(qn__metric_view *v, qn_error *err) {
    const qn_eval_input *in = &v->input;
    for (int64_t i = 0; i < in->n; i++)
        if (!(in->y[i] >= 0 && in->y[i] <= 1) || isnan(in->scores[i]))
            return QN_OK;
    v->entropy = qn_new_array(double, in->n);
    if (!v->entropy)
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n; i++) {
        double p = clipped(in->scores[i]), y = in->y[i];
        v->entropy[i] = -y * log(p) - (1 - y) * log(1 - p);
    }
    return QN_OK;
}

static qn_status init_regression(qn__metric_view *v, qn_error *err) {
    const qn_eval_input *in = &v->input;
    v->square = qn_new_array(double, in->n);
    v->absolute = qn_new_array(double, in->n);
    v->relative = qn_new_array(double, in->n);
    v->by_error = qn_new_array(int64_t, in->n);
    if (!v->square || !v->absolute || !v->relative || !v->by_error)
        return qn_error_memory(err);
    double sum = 0, sum_w = 0;
    v->constant = true;
    for (int64_t i = 0; i < in->n; i++) {
        double y = in->y[i], d = y - in->scores[i], w = in->weight ? in->weight[i] : 1;
        v->square[i] = d * d;
        v->absolute[i] = fabs(d);
        v->relative[i] = fabs(d) / fmax(fabs(y), DBL_EPSILON);
        sum += w * y;
        sum_w += w;
        v->constant = v->constant && y == in->y[0];
    }
    v->centre = v->constant && in->n ? in->y[0] : sum / sum_w;
    if (wants(v, QN__MEDIAN_AE))
        QN_TRY(qn_order_f64(v->absolute, 1, in->n, v->by_error, err));
    if (wants(v, QN__CROSS_ENTROPY))
        QN_TRY(init_entropy(v, err));
    return wants(v, QN__POISSON_DEVIANCE) ? init_deviance(v, err) : QN_OK;
}

qn_status qn__metric_view_new(const qn_eval_input *input, uint32_t wanted,
                              qn__metric_view **ret_view, qn_error *err) {
    for (int64_t i = 0; i < input->n && input->task != QN_TASK_REGRESSION; i++)
        QN_FAIL_IF(!(input->y[i] >= 0 && input->y[i] < input->n_classes), err, QN_ERR_USAGE,
                   "row %lld: %g is not one of %d classes", (long long)i + 1, input->y[i],
                   (int)input->n_classes);
    qn_cleanup(qn__metric_view_free) qn__metric_view *v = qn_new(qn__metric_view);
    if (!v)
        return qn_error_memory(err);
    v->input = *input;
    v->wanted = wanted;
    if (input->query)
        QN_TRY(qn__rankings_init(&v->rankings, input, err));
    else if (input->task == QN_TASK_BINARY)
        QN_TRY(init_binary(v, err));
    else if (input->task == QN_TASK_MULTICLASS)
        QN_TRY(init_multiclass(v, err));
    else
        QN_TRY(init_regression(v, err));
    *ret_view = qn_steal(&v);
    return QN_OK;
}

size_t qn__metric_view_scratch(const qn__metric_view *view) {
    return view->input.task == QN_TASK_MULTICLASS ? 3 * (size_t)view->input.n_classes : 0;
}

static double row_weight(const qn__metric_view *v, const unsigned char *counts, int64_t row) {
    double w = counts ? counts[row] : 1;
    return v->input.weight ? w * v->input.weight[row] : w;
}

/* 0 / 0 is 0, as scikit-learn's zero_division=0. */
static double ratio(double a, double b) {
    return b != 0 ? a / b : 0;
}

/* The four cells of the confusion matrix, as weights. */
typedef struct cells {
    double tp, fp, fn, tn;
} cells;

static void confusion_values(const cells *c, double *values) {
    double pos = c->tp + c->fn, neg = c->fp + c->tn, n = pos + neg;
    values[QN__ACCURACY] = (c->tp + c->tn) / n;
    values[QN__BALANCED_ACCURACY] = pos > 0 && neg > 0 ? 0.5 * (c->tp / pos + c->tn / neg)
                                    : pos > 0          ? c->tp / pos
                                                       : c->tn / neg;
    values[QN__PRECISION] = ratio(c->tp, c->tp + c->fp);
    values[QN__RECALL] = ratio(c->tp, pos);
    values[QN__F1] = ratio(2 * c->tp, 2 * c->tp + c->fp + c->fn);
    double spread = sqrt(c->tp + c->fp) * sqrt(pos) * sqrt(neg) * sqrt(c->tn + c->fn);
    values[QN__MCC] = ratio(c->tp * c->tn - c->fp * c->fn, spread);
}

/* The running sums of one walk down the ranking. */
typedef struct walk {
    double tp, fp;                   /* of finished groups */
    double pos, neg;                 /* of the group at hand */
    double area, precision;          /* under ROC; sum of precision at each step of recall */
    double loss, square, score;
} walk;

static void walk_segment(const qn__metric_view *v, const unsigned char *counts, int64_t from,
                         int64_t to, walk *io) {
    walk s = *io;
    for (int64_t i = from; i < to; i++) {
        double w = row_weight(v, counts, v->ranking.order[i]);
        double up = v->ranking.positive[i] ? w : 0;
        s.pos += up;
        s.neg += w - up;
        s.loss += w * v->loss[i];
        s.square += w * v->square[i];
        s.score += w * v->score[i];
        if (!v->ranking.last[i])
            continue;
        s.area += s.neg * (s.tp + 0.5 * s.pos);
        s.tp += s.pos;
        s.fp += s.neg;
        if (s.pos > 0)
            s.precision += s.pos * s.tp / (s.tp + s.fp);
        s.pos = s.neg = 0;
    }
    *io = s;
}

static void binary_values(const qn__metric_view *v, const unsigned char *counts, double *values) {
    walk s = {0};
    cells c = {0};
    double gap[QN__ECE_BINS] = {0}, ece = 0;
    for (int i = 0; i < v->n_segments; i++) {
        walk before = s;
        walk_segment(v, counts, i ? v->segments[i - 1].end : 0, v->segments[i].end, &s);
        gap[v->segments[i].bin] += (s.score - before.score) - (s.tp - before.tp);
        if (v->segments[i].predicted) {
            c.tp = s.tp;
            c.fp = s.fp;
        }
    }
    c.fn = s.tp - c.tp;
    c.tn = s.fp - c.fp;
    double n = s.tp + s.fp, base = s.tp / n;
    for (int b = 0; b < QN__ECE_BINS; b++)
        ece += fabs(gap[b]);
    bool both = s.tp > 0 && s.fp > 0;
    values[QN__ROC_AUC] = both ? s.area / (s.tp * s.fp) : (double)NAN;
    values[QN__PR_AUC] = ratio(s.precision, s.tp);
    values[QN__LOG_LOSS] = s.loss / n;
    values[QN__NORMALIZED_ENTROPY] =
        both ? s.loss / n / -(base * log(base) + (1 - base) * log(1 - base)) : (double)NAN;
    values[QN__BRIER] = s.square / n;
    values[QN__ECE] = ece / n;
    confusion_values(&c, values);
}

/* From per-class weights: true, predicted, and both. */
static void class_values(int32_t n_classes, const double *truth, const double *said,
                         const double *right, double n, double *values) {
    double hits = 0, recall = 0, f1 = 0, cross = 0, truth2 = 0, said2 = 0;
    int n_true = 0, n_seen = 0;
    for (int32_t k = 0; k < n_classes; k++) {
        hits += right[k];
        cross += truth[k] * said[k];
        truth2 += truth[k] * truth[k];
        said2 += said[k] * said[k];
        if (truth[k] > 0) {
            n_true++;
            recall += right[k] / truth[k];
        }
        if (truth[k] > 0 || said[k] > 0) {
            n_seen++;
            f1 += 2 * right[k] / (truth[k] + said[k]);
        }
    }
    values[QN__ACCURACY] = hits / n;
    values[QN__BALANCED_ACCURACY] = n_true ? recall / n_true : (double)NAN;
    values[QN__F1_MACRO] = n_seen ? f1 / n_seen : (double)NAN;
    /* Gorodkin 2004. One class on either side: 0. */
    double spread = (n * n - truth2) * (n * n - said2);
    values[QN__MCC] = spread > 1e-14 * n * n * n * n ? (hits * n - cross) / sqrt(spread) : 0;
}

static void multiclass_values(const qn__metric_view *v, const unsigned char *counts,
                              double *scratch, double *values) {
    int32_t k = v->input.n_classes;
    double *truth = scratch, *said = scratch + k, *right = scratch + 2 * k;
    double n = 0, loss = 0, square = 0, gap[QN__ECE_BINS] = {0}, ece = 0;
    memset(scratch, 0, 3 * (size_t)k * sizeof *scratch);
    for (int64_t i = 0; i < v->input.n; i++) {
        double w = row_weight(v, counts, i);
        int32_t y = (int32_t)v->input.y[i], said_class = v->predicted[i];
        n += w;
        loss += w * v->loss[i];
        square += w * v->square[i];
        truth[y] += w;
        said[said_class] += w;
        right[y] += y == said_class ? w : 0;
        gap[bin_of(v->top[i])] += w * (v->top[i] - (y == said_class));
    }
    for (int b = 0; b < QN__ECE_BINS; b++)
        ece += fabs(gap[b]);
    values[QN__LOG_LOSS] = loss / n;
    values[QN__BRIER] = square / n;
    values[QN__ECE] = ece / n;
    class_values(k, truth, said, right, n, values);
}

/* The median of a resample; with weights, scikit-learn's: the first value at which half the weight
 * is reached. Without, the mean of the middle two. */
static double median_error(const qn__metric_view *v, const unsigned char *counts, double total) {
    double half = 0.5 * total, at = 0;
    for (int64_t i = 0; i < v->input.n; i++) {
        at += row_weight(v, counts, v->by_error[i]);
        if (at < half)
            continue;
        double low = v->absolute[v->by_error[i]];
        if (v->input.weight || at > half)
            return low;
        for (i++; i < v->input.n; i++)
            if (row_weight(v, counts, v->by_error[i]) > 0)
                return 0.5 * (low + v->absolute[v->by_error[i]]);
        return low;
    }
    return (double)NAN;
}

static void regression_values(const qn__metric_view *v, const unsigned char *counts,
                              double *values) {
    double n = 0, square = 0, absolute = 0, relative = 0, deviance = 0, entropy = 0;
    double y1 = 0, y2 = 0;
    int64_t n_rows = 0;
    for (int64_t i = 0; i < v->input.n; i++) {
        double w = row_weight(v, counts, i), d = v->input.y[i] - v->centre;
        n_rows += counts ? counts[i] : 1;
        n += w;
        square += w * v->square[i];
        absolute += w * v->absolute[i];
        relative += w * v->relative[i];
        deviance += v->deviance ? w * v->deviance[i] : 0;
        entropy += v->entropy ? w * v->entropy[i] : 0;
        y1 += w * d;
        y2 += w * d * d;
    }
    double spread = y2 - y1 * y1 / n;
    if (v->constant || spread <= 1e-14 * y2)
        spread = 0;
    values[QN__RMSE] = sqrt(square / n);
    values[QN__MAE] = absolute / n;
    values[QN__MAPE] = relative / n;
    values[QN__POISSON_DEVIANCE] = v->deviance ? deviance / n : (double)NAN;
    values[QN__CROSS_ENTROPY] = v->entropy ? entropy / n : (double)NAN;
    values[QN__R2] = n_rows < 2   ? (double)NAN
                     : spread > 0 ? 1 - square / spread
                     : square > 0 ? 0
                                  : 1;
    if (wants(v, QN__MEDIAN_AE))
        values[QN__MEDIAN_AE] = median_error(v, counts, n);
}

/* Queries are what is resampled: the rows of one say the same thing. */
static void ranking_values(const qn__metric_view *v, const unsigned char *counts, double *values) {
    const qn__rankings *r = &v->rankings;
    double sum[3] = {0}, weights = 0;
    for (int64_t k = 0; k < r->n; k++) {
        double w = r->weight[k] * (counts ? counts[r->first[k]] : 1);
        weights += w;
        for (int m = 0; m < 3; m++)
            sum[m] += w * r->value[m][k];
    }
    for (int m = 0; m < 3 && weights > 0; m++)
        values[QN__NDCG_5 + m] = sum[m] / weights;
}

void qn__metric_view_values(const qn__metric_view *view, const unsigned char *counts,
                            double *scratch, double *values) {
    for (int i = 0; i < QN__N_METRICS; i++)
        values[i] = (double)NAN;
    if (view->input.query) {
        ranking_values(view, counts, values);
        return;
    }
    if (view->input.task == QN_TASK_BINARY)
        binary_values(view, counts, values);
    else if (view->input.task == QN_TASK_MULTICLASS)
        multiclass_values(view, counts, scratch, values);
    else
        regression_values(view, counts, values);
    /* A resample may be empty: then nothing is defined, not even what has a value for 0 / 0. */
    bool empty = isnan(values[view->input.task == QN_TASK_REGRESSION ? QN__MAE : QN__ACCURACY]);
    for (int i = 0; i < QN__N_METRICS && empty; i++)
        values[i] = (double)NAN;
}
