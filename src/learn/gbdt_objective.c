#include <math.h>
#include <string.h>

#include "base/text.h"
#include "learn/gbdt_exp.h"
#include "learn/gbdt_int.h"

static double weight(const qn__objective_data *d, int64_t i) {
    return d->w ? d->w[i] : 1;
}

/* Sums of blocks of fixed size, added in order: the same for any number of threads. */
enum { SUM_BLOCK = 1 << 14 };

static double mean_loss(const qn__objective_data *d, const double *score,
                        double (*row)(const qn__objective_data *, const double *, int64_t)) {
    double sum = 0, weights = 0;
    for (int64_t first = 0; first < d->n; first += 64 * SUM_BLOCK) {
        double part[64] = {0}, part_w[64] = {0};
#pragma omp parallel for num_threads(d->n_threads) if (16 * d->n > QN__WORTH_THREADS)
        for (int64_t b = 0; b < 64; b++) {
            int64_t from = first + b * SUM_BLOCK;
            int64_t to = from + SUM_BLOCK < d->n ? from + SUM_BLOCK : d->n;
            for (int64_t i = from; i < to; i++) {
                part[b] += weight(d, i) * row(d, score, i);
                part_w[b] += weight(d, i);
            }
        }
        for (int b = 0; b < 64; b++) {
            sum += part[b];
            weights += part_w[b];
        }
    }
    return weights > 0 ? sum / weights : 0;
}

static double weighted_mean(const qn__objective_data *d) {
    double sum = 0, weights = 0;
    for (int64_t i = 0; i < d->n; i++) {
        sum += weight(d, i) * d->y[i];
        weights += weight(d, i);
    }
    return weights > 0 ? sum / weights : 0;
}

static double limited(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

/* ---- binary: log loss ---------------------------------------------------------------------- */

static void binary_init(const qn__objective_data *d, double *base) {
    double p = limited(weighted_mean(d), 1e-15, 1 - 1e-15);
    base[0] = log(p / (1 - p));
}

/* With z the score against the class of the row, what is wrong is q = 1 / (1 + exp(-z)): small
 * gradients stay exact where p is close to 1, too. */
QN__WIDE static void binary_block(const double *restrict score, const double *restrict y, int64_t n,
                                  float *restrict g, float *restrict h) {
    for (int64_t i = 0; i < n; i++) {
        float side = y[i] > 0.5 ? -1.0f : 1.0f;
        float e = qn__expf(-side * (float)score[i]);
        float q = 1 / (1 + e);
        g[i] = side * q;
        h[i] = e * q * q;
    }
}

static void times_weight(const qn__objective_data *d, int64_t first, int64_t n, float *g,
                         float *h) {
    for (int64_t i = 0; d->w && i < n; i++) {
        g[i] = (float)(d->w[first + i] * (double)g[i]);
        h[i] = (float)(d->w[first + i] * (double)h[i]);
    }
}

static void binary_gradients(const qn__objective_data *d, const double *score, int64_t first,
                             int64_t n, float *g, float *h) {
    binary_block(score + first, d->y + first, n, g + first, h + first);
    times_weight(d, first, n, g + first, h + first);
}

static double binary_row(const qn__objective_data *d, const double *score, int64_t i) {
    double z = d->y[i] > 0.5 ? -score[i] : score[i];
    return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
}

static double binary_loss(const qn__objective_data *d, const double *score) {
    return mean_loss(d, score, binary_row);
}

/* ---- multiclass: softmax ------------------------------------------------------------------- */

static void softmax_init(const qn__objective_data *d, double *base) {
    double sum = 0;
    for (int32_t k = 0; k < d->n_outputs; k++)
        base[k] = 0;
    for (int64_t i = 0; i < d->n; i++) {
        base[(int32_t)d->y[i]] += weight(d, i);
        sum += weight(d, i);
    }
    for (int32_t k = 0; k < d->n_outputs; k++)
        base[k] = log(limited(base[k] / (sum > 0 ? sum : 1), 1e-15, 1));
}

/* n rows, at most QN__GRADIENT_BLOCK; scores, gradients and hessians of a class lie `all` apart. */
QN__WIDE static void softmax_block(const double *restrict score, int64_t all, int32_t n_k,
                                   int64_t n, float *restrict g, float *restrict h) {
    double top[QN__GRADIENT_BLOCK], sum[QN__GRADIENT_BLOCK];
    for (int64_t i = 0; i < n; i++) {
        top[i] = score[i];
        sum[i] = 0;
    }
    for (int32_t k = 1; k < n_k; k++)
        for (int64_t i = 0; i < n; i++)
            top[i] = top[i] > score[k * all + i] ? top[i] : score[k * all + i];
    for (int32_t k = 0; k < n_k; k++)
        for (int64_t i = 0; i < n; i++) {
            float e = (float)qn__exp(score[k * all + i] - top[i]);
            g[k * all + i] = e;
            sum[i] += (double)e;
        }
    for (int64_t i = 0; i < n; i++)
        sum[i] = 1 / sum[i];
    for (int32_t k = 0; k < n_k; k++)
        for (int64_t i = 0; i < n; i++) {
            double p = (double)g[k * all + i] * sum[i];
            h[k * all + i] = (float)(p * (1 - p));
            g[k * all + i] = (float)p;
        }
}

static void softmax_gradients(const qn__objective_data *d, const double *score, int64_t first,
                              int64_t n, float *g, float *h) {
    int32_t n_k = d->n_outputs;
    softmax_block(score + first, d->n, n_k, n, g + first, h + first);
    for (int64_t i = first; i < first + n; i++)
        g[(int32_t)d->y[i] * d->n + i] -= 1;
    for (int32_t k = 0; k < n_k; k++)
        times_weight(d, first, n, g + k * d->n + first, h + k * d->n + first);
}

static double softmax_row(const qn__objective_data *d, const double *score, int64_t i) {
    double top = score[i], sum = 0;
    for (int32_t k = 1; k < d->n_outputs; k++)
        top = fmax(top, score[k * d->n + i]);
    for (int32_t k = 0; k < d->n_outputs; k++)
        sum += exp(score[k * d->n + i] - top);
    return log(sum) + top - score[(int32_t)d->y[i] * d->n + i];
}

static double softmax_loss(const qn__objective_data *d, const double *score) {
    return mean_loss(d, score, softmax_row);
}

/* ---- multiclass: one against the rest ------------------------------------------------------ */

/* Each class is a binary objective of its own, whose positive rows count scale_pos_weight times. */
static double ova_weight(const qn__objective_data *d, int64_t i, int32_t k) {
    return (int32_t)d->y[i] == k ? weight(d, i) * d->params->scale_pos_weight : weight(d, i);
}

static void ova_init(const qn__objective_data *d, double *base) {
    for (int32_t k = 0; k < d->n_outputs; k++) {
        double of_class = 0, sum = 0;
        for (int64_t i = 0; i < d->n; i++) {
            double w = ova_weight(d, i, k);
            of_class += (int32_t)d->y[i] == k ? w : 0;
            sum += w;
        }
        double p = limited(sum > 0 ? of_class / sum : 0, 1e-15, 1 - 1e-15);
        base[k] = log(p / (1 - p));
    }
}

static void ova_gradients(const qn__objective_data *d, const double *score, int64_t first,
                          int64_t n, float *g, float *h) {
    double is[QN__GRADIENT_BLOCK];
    bool weighted = d->w || d->params->scale_pos_weight != 1;
    for (int32_t k = 0; k < d->n_outputs; k++) {
        int64_t at = k * d->n + first;
        for (int64_t i = 0; i < n; i++)
            is[i] = d->y[first + i] == k;
        binary_block(score + at, is, n, g + at, h + at);
        for (int64_t i = 0; weighted && i < n; i++) {
            double w = ova_weight(d, first + i, k);
            g[at + i] = (float)(w * (double)g[at + i]);
            h[at + i] = (float)(w * (double)h[at + i]);
        }
    }
}

static double log_sigmoid(double z) {
    return z > 0 ? -log1p(exp(-z)) : z - log1p(exp(z));
}

/* The log loss of what the link makes of the scores: sigmoids divided by their sum. */
static double ova_row(const qn__objective_data *d, const double *score, int64_t i) {
    double top = -INFINITY, sum = 0;
    for (int32_t k = 0; k < d->n_outputs; k++)
        top = fmax(top, log_sigmoid(score[k * d->n + i]));
    for (int32_t k = 0; k < d->n_outputs; k++)
        sum += exp(log_sigmoid(score[k * d->n + i]) - top);
    return log(sum) + top - log_sigmoid(score[(int32_t)d->y[i] * d->n + i]);
}

static double ova_loss(const qn__objective_data *d, const double *score) {
    return mean_loss(d, score, ova_row);
}

/* ---- regression ---------------------------------------------------------------------------- */

static void mean_init(const qn__objective_data *d, double *base) {
    base[0] = weighted_mean(d);
}

static void log_mean_init(const qn__objective_data *d, double *base) {
    base[0] = log(fmax(weighted_mean(d), 1e-300));
}

static void l2_gradients(const qn__objective_data *d, const double *score, int64_t first,
                         int64_t n, float *g, float *h) {
    for (int64_t i = first; i < first + n; i++) {
        g[i] = (float)(weight(d, i) * (score[i] - d->y[i]));
        h[i] = (float)weight(d, i);
    }
}

static double l2_row(const qn__objective_data *d, const double *score, int64_t i) {
    return (score[i] - d->y[i]) * (score[i] - d->y[i]);
}

static double l2_loss(const qn__objective_data *d, const double *score) {
    return mean_loss(d, score, l2_row);
}

static void l1_gradients(const qn__objective_data *d, const double *score, int64_t first,
                         int64_t n, float *g, float *h) {
    for (int64_t i = first; i < first + n; i++) {
        double r = score[i] - d->y[i];
        g[i] = (float)(weight(d, i) * ((r > 0) - (r < 0)));
        h[i] = (float)weight(d, i);
    }
}

static double l1_row(const qn__objective_data *d, const double *score, int64_t i) {
    return fabs(score[i] - d->y[i]);
}

static double l1_loss(const qn__objective_data *d, const double *score) {
    return mean_loss(d, score, l1_row);
}

static double l1_quantile(const qn_gbdt_params *params) {
    (void)params;
    return 0.5;
}

static void huber_gradients(const qn__objective_data *d, const double *score, int64_t first,
                            int64_t n, float *g, float *h) {
    double a = d->params->alpha;
    for (int64_t i = first; i < first + n; i++) {
        g[i] = (float)(weight(d, i) * limited(score[i] - d->y[i], -a, a));
        h[i] = (float)weight(d, i);
    }
}

static double huber_row(const qn__objective_data *d, const double *score, int64_t i) {
    double r = fabs(score[i] - d->y[i]), a = d->params->alpha;
    return r <= a ? r * r / 2 : a * (r - a / 2);
}

static double huber_loss(const qn__objective_data *d, const double *score) {
    return mean_loss(d, score, huber_row);
}

static void quantile_gradients(const qn__objective_data *d, const double *score, int64_t first,
                               int64_t n, float *g, float *h) {
    double a = d->params->alpha;
    for (int64_t i = first; i < first + n; i++) {
        g[i] = (float)(weight(d, i) * (score[i] >= d->y[i] ? 1 - a : -a));
        h[i] = (float)weight(d, i);
    }
}

static double quantile_row(const qn__objective_data *d, const double *score, int64_t i) {
    double r = d->y[i] - score[i], a = d->params->alpha;
    return r >= 0 ? a * r : (a - 1) * r;
}

static double quantile_loss(const qn__objective_data *d, const double *score) {
    return mean_loss(d, score, quantile_row);
}

static double quantile_alpha(const qn_gbdt_params *params) {
    return params->alpha;
}

static void poisson_gradients(const qn__objective_data *d, const double *score, int64_t first,
                              int64_t n, float *g, float *h) {
    double more = exp(d->params->poisson_max_delta_step);
    for (int64_t i = first; i < first + n; i++) {
        double e = exp(score[i]), w = weight(d, i);
        g[i] = (float)(w * (e - d->y[i]));
        h[i] = (float)(w * e * more);
    }
}

static double poisson_row(const qn__objective_data *d, const double *score, int64_t i) {
    return exp(score[i]) - d->y[i] * score[i];
}

static double poisson_loss(const qn__objective_data *d, const double *score) {
    return mean_loss(d, score, poisson_row);
}

static void gamma_gradients(const qn__objective_data *d, const double *score, int64_t first,
                            int64_t n, float *g, float *h) {
    for (int64_t i = first; i < first + n; i++) {
        double e = d->y[i] * exp(-score[i]), w = weight(d, i);
        g[i] = (float)(w * (1 - e));
        h[i] = (float)(w * e);
    }
}

static double gamma_row(const qn__objective_data *d, const double *score, int64_t i) {
    return d->y[i] * exp(-score[i]) + score[i];
}

static double gamma_loss(const qn__objective_data *d, const double *score) {
    return mean_loss(d, score, gamma_row);
}

static void tweedie_gradients(const qn__objective_data *d, const double *score, int64_t first,
                              int64_t n, float *g, float *h) {
    double rho = d->params->tweedie_variance_power;
    for (int64_t i = first; i < first + n; i++) {
        double a = d->y[i] * exp((1 - rho) * score[i]), b = exp((2 - rho) * score[i]);
        g[i] = (float)(weight(d, i) * (b - a));
        h[i] = (float)(weight(d, i) * ((2 - rho) * b - (1 - rho) * a));
    }
}

static double tweedie_row(const qn__objective_data *d, const double *score, int64_t i) {
    double rho = d->params->tweedie_variance_power;
    return exp((2 - rho) * score[i]) / (2 - rho)
           - d->y[i] * exp((1 - rho) * score[i]) / (1 - rho);
}

static double tweedie_loss(const qn__objective_data *d, const double *score) {
    return mean_loss(d, score, tweedie_row);
}

/* ---- cross-entropy: targets are probabilities ---------------------------------------------- */

static void entropy_gradients(const qn__objective_data *d, const double *score, int64_t first,
                              int64_t n, float *g, float *h) {
    for (int64_t i = first; i < first + n; i++) {
        double p = 1 / (1 + qn__exp(-score[i])), w = weight(d, i);
        g[i] = (float)(w * (p - d->y[i]));
        h[i] = (float)(w * p * (1 - p));
    }
}

static double entropy_row(const qn__objective_data *d, const double *score, int64_t i) {
    return d->y[i] * -log_sigmoid(score[i]) + (1 - d->y[i]) * -log_sigmoid(-score[i]);
}

static double entropy_loss(const qn__objective_data *d, const double *score) {
    return mean_loss(d, score, entropy_row);
}

/* ---- ranking ------------------------------------------------------------------------------- */

/* Only differences of scores matter. */
static void zero_init(const qn__objective_data *d, double *base) {
    for (int32_t k = 0; k < d->n_outputs; k++)
        base[k] = 0;
}

/* Medians and quantiles start from the leaf renewal of the first tree; their mean is a fair
 * start. */
static const qn__objective table[] = {
    {"binary", QN_TASK_BINARY, QN_LINK_LOGIT, -INFINITY, INFINITY, false, binary_init,
     binary_gradients, binary_loss, NULL, .most_g = 1, .most_h = 0.25f},
    {"multiclass", QN_TASK_MULTICLASS, QN_LINK_SOFTMAX, -INFINITY, INFINITY, false, softmax_init,
     softmax_gradients, softmax_loss, NULL},
    {"multiclassova", QN_TASK_MULTICLASS, QN_LINK_OVA, -INFINITY, INFINITY, false, ova_init,
     ova_gradients, ova_loss, NULL},
    {"regression", QN_TASK_REGRESSION, QN_LINK_IDENTITY, -INFINITY, INFINITY, false, mean_init,
     l2_gradients, l2_loss, NULL},
    {"regression_l1", QN_TASK_REGRESSION, QN_LINK_IDENTITY, -INFINITY, INFINITY, false, mean_init,
     l1_gradients, l1_loss, l1_quantile},
    {"huber", QN_TASK_REGRESSION, QN_LINK_IDENTITY, -INFINITY, INFINITY, false, mean_init,
     huber_gradients, huber_loss, NULL},
    {"quantile", QN_TASK_REGRESSION, QN_LINK_IDENTITY, -INFINITY, INFINITY, false, mean_init,
     quantile_gradients, quantile_loss, quantile_alpha},
    {"poisson", QN_TASK_REGRESSION, QN_LINK_LOG, 0, INFINITY, false, log_mean_init,
     poisson_gradients, poisson_loss, NULL},
    {"gamma", QN_TASK_REGRESSION, QN_LINK_LOG, 0, INFINITY, true, log_mean_init, gamma_gradients,
     gamma_loss, NULL},
    {"tweedie", QN_TASK_REGRESSION, QN_LINK_LOG, 0, INFINITY, false, log_mean_init,
     tweedie_gradients, tweedie_loss, NULL},
    {"cross_entropy", QN_TASK_REGRESSION, QN_LINK_LOGIT, 0, 1, false, binary_init,
     entropy_gradients, entropy_loss, NULL},
    {"lambdarank", QN_TASK_REGRESSION, QN_LINK_IDENTITY, 0, INFINITY, false, zero_init, NULL,
     qn__rank_loss, NULL, .all_gradients = qn__rank_gradients},
};

static const qn__objective custom[] = {
    [QN_TASK_BINARY] = {"custom", QN_TASK_BINARY, QN_LINK_LOGIT, -INFINITY, INFINITY, false,
                        zero_init, NULL, binary_loss},
    [QN_TASK_MULTICLASS] = {"custom", QN_TASK_MULTICLASS, QN_LINK_SOFTMAX, -INFINITY, INFINITY,
                            false, zero_init, NULL, softmax_loss},
    [QN_TASK_REGRESSION] = {"custom", QN_TASK_REGRESSION, QN_LINK_IDENTITY, -INFINITY, INFINITY,
                            false, zero_init, NULL, l2_loss},
};

const qn__objective *qn__objective_custom(qn_task task) {
    return &custom[task];
}

/* Models hold the place in this list: append only. */
#define OBJECTIVES                                                                            \
    "auto", "binary", "multiclass", "regression", "regression_l1", "huber", "quantile",       \
        "poisson", "gamma", "tweedie", "multiclassova", "cross_entropy", \
        "lambdarank"

const char *const qn__objective_names[] = {OBJECTIVES, "custom", NULL};
const char *const qn__objective_choices[] = {
    OBJECTIVES, "multiclass_ova", "ova", "ovr", "crossentropy", "xentropy", "softmax",
    "regression_l2", "l2", "mean_squared_error", "mse", "l2_root", "root_mean_squared_error",
    "rmse", "l1", "mean_absolute_error", "mae", NULL};

/* The name of what LightGBM knows by several. */
static const char *plain_name(const char *name) {
    static const char *const aliases[][2] = {{"multiclass_ova", "multiclassova"},
                                             {"ova", "multiclassova"},
                                             {"ovr", "multiclassova"},
                                             {"crossentropy", "cross_entropy"},
                                             {"xentropy", "cross_entropy"},
                                             {"softmax", "multiclass"},
                                             {"regression_l2", "regression"},
                                             {"l2", "regression"},
                                             {"mean_squared_error", "regression"},
                                             {"mse", "regression"},
                                             {"l2_root", "regression"},
                                             {"root_mean_squared_error", "regression"},
                                             {"rmse", "regression"},
                                             {"l1", "regression_l1"},
                                             {"mean_absolute_error", "regression_l1"},
                                             {"mae", "regression_l1"}};
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcmp(name, aliases[i][0]) == 0)
            return aliases[i][1];
    return name;
}

qn_status qn__objective_find(const char *name, qn_task task, bool has_queries,
                             const qn__objective **ret, qn_error *err) {
    name = strcmp(name, "auto") == 0 && has_queries ? "lambdarank" : plain_name(name);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        bool found = strcmp(name, "auto") == 0 ? table[i].task == task
                                               : strcmp(name, table[i].name) == 0;
        if (!found)
            continue;
        QN_FAIL_IF(table[i].task != task, err, QN_ERR_CONFIG,
                   "objective %s does not fit a %s task", name,
                   task == QN_TASK_BINARY       ? "binary"
                   : task == QN_TASK_MULTICLASS ? "multiclass"
                                                : "regression");
        QN_FAIL_IF(table[i].all_gradients && !has_queries, err, QN_ERR_CONFIG,
                   "objective %s orders rows within queries: it needs task.kind ranking", name);
        *ret = &table[i];
        return QN_OK;
    }
    return qn_error_set(err, QN_ERR_CONFIG, "unknown objective '%s'", name);
}

qn_status qn__objective_check_target(const qn__objective *o, double y, qn_error *err) {
    bool bad = !isfinite(y) || y < o->y_low || y > o->y_high || (o->y_open && y <= o->y_low);
    if (!bad)
        return QN_OK;
    if (o->y_high < INFINITY)
        return qn_error_set(err, QN_ERR_DATA,
                            "the target is %.10g: objective %s takes numbers from %g to %g", y,
                            o->name, o->y_low, o->y_high);
    return qn_error_set(err, QN_ERR_DATA, "the target is %.10g: objective %s takes numbers %s %g",
                        y, o->name, o->y_open ? "above" : "from", o->y_low);
}
