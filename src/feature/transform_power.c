/* transform_power.c - log and Yeo-Johnson: skewed numbers made more symmetric. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "feature/transforms_int.h"

/* --- log: sign(x) log(1 + |x|) --- */

typedef struct log_params {
    const char *form;
} log_params;

static const char *const forms[] = {"signed", "log1p", NULL};
static const qn_param log_table[] = {
    {.name = "form",
     .kind = QN_PARAM_CHOICE,
     .offset = offsetof(log_params, form),
     .choices = forms,
     .preset = 0,
     .help = "signed: sign(x) log(1 + |x|); log1p: log(1 + x), about -36.7 at -1 and below"},
};

static qn_status log_fit(qn__state *state, const qn__values *in, int32_t n_in, const qn__fit *fit,
                         qn_error *err) {
    state->n_out = 1;
    return QN_OK;
}

static qn_status log_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                           qn__values *out, qn_error *err) {
    const log_params *p = state->params;
    bool is_signed = strcmp(p->form, "signed") == 0;
    const double above = nextafter(-1, 0);
    double *to = qn__out_numbers(out);
    if (!to)
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n_rows; i++) {
        double x = in->num[i];
        to[i] = isnan(x) ? NAN : is_signed ? copysign(log1p(fabs(x)), x) : log1p(fmax(x, above));
    }
    return QN_OK;
}

static qn_status log_load(qn__state *state, qn_reader *reader, qn_error *err) {
    state->n_out = 1;
    return QN_OK;
}

const qn__transform qn__transform_log = {
    .keeps = true, .name = "log", .aliases = "log1p", .help = "logarithm of 1 + x, for long tails",
    .accepts = QN__NUMBER, .gives = QN__NUMBER,
    .params = log_table, .n_params = sizeof log_table / sizeof log_table[0],
    .params_bytes = sizeof(log_params), .main_param = "form", .state_bytes = sizeof(qn__state),
    .fit = log_fit, .apply = log_apply, .load = log_load, .name_out = qn__name_same,
};

/* --- power: Yeo-Johnson (Yeo, Johnson 2000), lambda by maximum likelihood --- */

typedef struct power_params {
    bool standardise;
} power_params;

static const qn_param power_table[] = {
    {.name = "standardise",
     .aliases = "standardize",
     .kind = QN_PARAM_BOOL,
     .offset = offsetof(power_params, standardise),
     .preset = 1,
     .help = "then mean 0 and variance 1"},
};

typedef struct power_state {
    qn__state base;
    double lambda, mean, deviation;
} power_state;

enum { POWER_SAMPLE = 1 << 17, POWER_STEPS = 100 };
#define POWER_REACH 8.0

static double yeo_johnson(double x, double lambda) {
    if (x >= 0)
        return fabs(lambda) < 1e-12 ? log1p(x) : expm1(lambda * log1p(x)) / lambda;
    return fabs(lambda - 2) < 1e-12 ? -log1p(-x) : -expm1((2 - lambda) * log1p(-x)) / (2 - lambda);
}

static void moments(const double *x, int64_t n, double lambda, double *ret_mean,
                    double *ret_variance) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++)
        sum += qn__finite(yeo_johnson(x[i], lambda)) / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double d = qn__finite(yeo_johnson(x[i], lambda)) - sum;
        squares += d * d / (double)n;
    }
    *ret_mean = sum;
    *ret_variance = squares;
}

/* n/2 log variance - (lambda - 1) sum sign(x) log(1 + |x|), per row; `slope` is that sum / n. */
static double loss(const double *x, int64_t n, double slope, double lambda) {
    double mean, variance;
    moments(x, n, lambda, &mean, &variance);
    if (!(variance > 0) || !isfinite(variance))
        return HUGE_VAL;
    return 0.5 * log(variance) - (lambda - 1) * slope;
}

/* Brent's minimiser (Brent 1973, chapter 5) on [low, high]. */
static double minimise(const double *x, int64_t n, double slope, double low, double high) {
    const double golden = 0.3819660112501051, tolerance = 1e-9;
    double a = low, b = high, best = 1, second = 1, third = 1; /* start at the identity */
    double f_best = loss(x, n, slope, best), f_second = f_best, f_third = f_best, step = 0,
           before = 0;
    for (int k = 0; k < POWER_STEPS; k++) {
        double middle = 0.5 * (a + b), small = tolerance * fabs(best) + 1e-10;
        if (fabs(best - middle) <= 2 * small - 0.5 * (b - a))
            break;
        double p = 0, q = 0, r = 0;
        if (fabs(before) > small) { /* parabola through the three best */
            r = (best - second) * (f_best - f_third);
            q = (best - third) * (f_best - f_second);
            p = (best - third) * q - (best - second) * r;
            q = 2 * (q - r);
            p = q > 0 ? -p : p;
            q = fabs(q);
        }
        if (isfinite(p) && q > 0 && fabs(p) < fabs(0.5 * q * before) && p > q * (a - best) &&
            p < q * (b - best)) {
            before = step;
            step = p / q;
            if (best + step - a < 2 * small || b - best - step < 2 * small)
                step = best < middle ? small : -small;
        } else {
            before = best < middle ? b - best : a - best;
            step = golden * before;
        }
        double at = best + (fabs(step) >= small ? step : step > 0 ? small : -small);
        double f_at = loss(x, n, slope, at);
        if (f_at <= f_best) {
            *(at >= best ? &a : &b) = best;
            third = second, f_third = f_second;
            second = best, f_second = f_best;
            best = at, f_best = f_at;
        } else {
            *(at < best ? &a : &b) = at;
            if (f_at <= f_second || second == best) {
                third = second, f_third = f_second;
                second = at, f_second = f_at;
            } else if (f_at <= f_third || third == best || third == second) {
                third = at, f_third = f_at;
            }
        }
    }
    return best;
}

static qn_status power_fit(qn__state *state, const qn__values *in, int32_t n_in, const qn__fit *fit,
                           qn_error *err) {
    power_state *s = (power_state *)state;
    const power_params *p = state->params;
    qn_cleanup(qn_freep) double *x = NULL;
    int64_t n;
    QN_TRY(qn__sorted(in->num, in->n_rows, &x, &n, err));
    state->n_out = 1;
    *s = (power_state){.base = s->base, .lambda = 1, .mean = 0, .deviation = 1};
    if (n == 0 || x[0] == x[n - 1])
        return QN_OK;
    int64_t n_all = n;
    qn_cleanup(qn_freep) double *sample = NULL;
    const double *used = x;
    if (n > POWER_SAMPLE) { /* evenly spaced order statistics tell lambda well enough */
        sample = qn_new_array(double, POWER_SAMPLE);
        if (!sample)
            return qn_error_memory(err);
        n = POWER_SAMPLE;
        for (int64_t i = 0; i < n; i++)
            sample[i] = x[(int64_t)((double)i / (double)(n - 1) * (double)(n_all - 1))];
        used = sample;
    }
    double slope = 0;
    for (int64_t i = 0; i < n; i++)
        slope += copysign(log1p(fabs(used[i])), used[i]) / (double)n;
    s->lambda = minimise(used, n, slope, -POWER_REACH, POWER_REACH);
    double variance;
    if (p->standardise) {
        moments(x, n_all, s->lambda, &s->mean, &variance);
        s->deviation = variance > 0 && isfinite(variance) ? sqrt(variance) : 1;
        if (s->deviation <= 10 * 2.220446049250313e-16 * fabs(s->mean) || s->deviation < 1e-290)
            s->deviation = 1;
    }
    return QN_OK;
}

static qn_status power_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                             qn__values *out, qn_error *err) {
    const power_state *s = (const power_state *)state;
    double *to = qn__out_numbers(out);
    if (!to)
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n_rows; i++)
        to[i] = isnan(in->num[i])
                    ? NAN
                    : qn__finite((qn__finite(yeo_johnson(in->num[i], s->lambda)) - s->mean) /
                                 s->deviation);
    return QN_OK;
}

static void power_save(const qn__state *state, qn_buf *out) {
    const power_state *s = (const power_state *)state;
    qn_buf_put_f64(out, s->lambda);
    qn_buf_put_f64(out, s->mean);
    qn_buf_put_f64(out, s->deviation);
}

static qn_status power_load(qn__state *state, qn_reader *reader, qn_error *err) {
    power_state *s = (power_state *)state;
    state->n_out = 1;
    QN_TRY(qn__read_finite(reader, &s->lambda, err));
    QN_TRY(qn__read_finite(reader, &s->mean, err));
    QN_TRY(qn__read_finite(reader, &s->deviation, err));
    return s->deviation > 0 && fabs(s->lambda) <= POWER_REACH ? QN_OK : qn__damaged(err);
}

const qn__transform qn__transform_power = {
    .keeps = true,
    .name = "power",
    .aliases = "yeo_johnson yeo-johnson",
    .help = "Yeo-Johnson power transform towards a normal distribution",
    .accepts = QN__NUMBER,
    .gives = QN__NUMBER,
    .params = power_table,
    .n_params = sizeof power_table / sizeof power_table[0],
    .params_bytes = sizeof(power_params),
    .main_param = "standardise",
    .state_bytes = sizeof(power_state),
    .fit = power_fit,
    .apply = power_apply,
    .save = power_save,
    .load = power_load,
    .name_out = qn__name_same,
};
