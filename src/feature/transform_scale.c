/* transform_scale.c - filling what is missing, and bringing numbers to comparable scales.
 * Definitions are those of scikit-learn's SimpleImputer, StandardScaler, MinMaxScaler and
 * RobustScaler. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "feature/transforms_int.h"

/* --- impute --- */

typedef struct impute_params {
    const char *strategy;
    double value;
    bool indicator;
} impute_params;

static const char *const strategies[] = {"median", "mean", "most_frequent", "constant", NULL};
static const qn_param impute_table[] = {
    {.name = "strategy",
     .kind = QN_PARAM_CHOICE,
     .offset = offsetof(impute_params, strategy),
     .choices = strategies,
     .preset = 0,
     .help = "what stands in for a missing value; categories take most_frequent or constant"},
    {.name = "value",
     .aliases = "fill_value",
     .kind = QN_PARAM_REAL,
     .offset = offsetof(impute_params, value),
     .low = -QN__HUGE,
     .high = QN__HUGE,
     .preset = 0,
     .help = "the constant for numbers (categories get \"(missing)\")"},
    {.name = "indicator",
     .kind = QN_PARAM_BOOL,
     .offset = offsetof(impute_params, indicator),
     .preset = 0,
     .help = "add a 0/1 column of what was missing, when training rows had missing values"},
};

static const char missing_text[] = "(missing)";

typedef struct impute_state {
    qn__state base;
    bool indicator;
    double fill;
    int32_t fill_code; /* CATEGORY: what missing becomes */
    qn_dict *dict;     /* owned; CATEGORY: training categories and "(missing)" */
} impute_state;

static double most_frequent(const double *sorted, int64_t n) {
    double best = 0;
    int64_t best_run = 0;
    for (int64_t i = 0, run; i < n; i += run) {
        for (run = 1; i + run < n && sorted[i + run] == sorted[i];)
            run++;
        if (run > best_run) {
            best_run = run;
            best = sorted[i];
        }
    }
    return best;
}

static double mean_of(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] / (double)n; /* divided first: cannot overflow */
    return sum;
}

static qn_status impute_fit_number(impute_state *s, const qn__values *in, qn_error *err) {
    const impute_params *p = s->base.params;
    qn_cleanup(qn_freep) double *sorted = NULL;
    int64_t n;
    QN_TRY(qn__sorted(in->num, in->n_rows, &sorted, &n, err));
    s->indicator = p->indicator && n < in->n_rows;
    if (strcmp(p->strategy, "constant") == 0)
        s->fill = p->value;
    else if (n == 0)
        s->fill = 0;
    else if (strcmp(p->strategy, "mean") == 0)
        s->fill = mean_of(sorted, n);
    else if (strcmp(p->strategy, "median") == 0)
        s->fill = qn__quantile(sorted, n, 0.5);
    else
        s->fill = most_frequent(sorted, n);
    return QN_OK;
}

static qn_status impute_fit_category(impute_state *s, const qn__values *in, qn_error *err) {
    const impute_params *p = s->base.params;
    qn_cleanup(qn_freep) qn__count *counts = NULL;
    int32_t n;
    QN_TRY(qn__count_categories(in, &counts, &n, err));
    s->dict = qn__counts_dict(counts, n);
    if (!s->dict)
        return qn_error_memory(err);
    bool constant = strcmp(p->strategy, "most_frequent") != 0 || n == 0;
    s->fill_code = constant ? qn_dict_add(s->dict, missing_text, strlen(missing_text)) : 0;
    if (s->fill_code < 0)
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n_rows && p->indicator && !s->indicator; i++)
        s->indicator = in->code[i] < 0;
    return QN_OK;
}

static qn_status impute_fit(qn__state *state, const qn__values *in, int32_t n_in,
                            const qn__fit *fit, qn_error *err) {
    impute_state *s = (impute_state *)state;
    state->n_out = 1;
    if (in->kind == QN__CATEGORY)
        return impute_fit_category(s, in, err);
    QN_TRY(impute_fit_number(s, in, err));
    state->n_out = s->indicator ? 2 : 1;
    return QN_OK;
}

static qn_status impute_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                              qn__values *out, qn_error *err) {
    const impute_state *s = (const impute_state *)state;
    if (in->kind == QN__CATEGORY) {
        int32_t *code = qn__out_codes(out);
        if (!code)
            return qn_error_memory(err);
        QN_TRY(qn__map_codes(in, s->dict, code, err));
        for (int64_t i = 0; i < in->n_rows; i++)
            if (code[i] == -2)
                code[i] = s->fill_code;
        return QN_OK;
    }
    double *to = qn__out_numbers(&out[0]), *flag = s->indicator ? qn__out_numbers(&out[1]) : NULL;
    if (!to || (s->indicator && !flag))
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n_rows; i++)
        to[i] = isnan(in->num[i]) ? s->fill : in->num[i];
    for (int64_t i = 0; flag && i < in->n_rows; i++)
        flag[i] = isnan(in->num[i]) ? 1 : 0;
    return QN_OK;
}

static void impute_save(const qn__state *state, qn_buf *out) {
    const impute_state *s = (const impute_state *)state;
    qn_buf_put_u32(out, s->indicator);
    if (state->in_kind == QN__CATEGORY) {
        qn_buf_put_u32(out, (uint32_t)s->fill_code);
        qn__put_dict(out, s->dict);
    } else {
        qn_buf_put_f64(out, s->fill);
    }
}

static qn_status impute_load(qn__state *state, qn_reader *reader, qn_error *err) {
    impute_state *s = (impute_state *)state;
    uint32_t indicator = qn_reader_u32(reader);
    if (indicator > 1)
        return qn__damaged(err);
    s->indicator = indicator;
    state->n_out = 1;
    if (state->in_kind == QN__CATEGORY) {
        uint32_t code = qn_reader_u32(reader);
        QN_TRY(qn__read_dict(reader, &s->dict, err));
        if (code >= (uint32_t)qn_dict_size(s->dict))
            return qn__damaged(err);
        s->fill_code = (int32_t)code;
        return QN_OK;
    }
    state->n_out = indicator ? 2 : 1;
    return qn__read_finite(reader, &s->fill, err);
}

static void impute_name(const qn__state *state, const char *in, int32_t i, qn_buf *out) {
    qn_buf_printf(out, "%s%s", in, i ? " missing" : "");
}

static const qn_dict *impute_dict(const qn__state *state) {
    return ((const impute_state *)state)->dict;
}

static void impute_done(qn__state *state) {
    qn_dict_free(&((impute_state *)state)->dict);
}

const qn__transform qn__transform_impute = {
    .name = "impute",
    .help = "fill missing values",
    .accepts = QN__NUMBER | QN__CATEGORY,
    .fills = true,
    .params = impute_table,
    .n_params = sizeof impute_table / sizeof impute_table[0],
    .params_bytes = sizeof(impute_params),
    .main_param = "strategy",
    .state_bytes = sizeof(impute_state),
    .fit = impute_fit,
    .apply = impute_apply,
    .save = impute_save,
    .load = impute_load,
    .name_out = impute_name,
    .dict = impute_dict,
    .done = impute_done,
};

/* --- scale: (x - center) / scale --- */

typedef struct scale_params {
    const char *method;
    bool clip;
} scale_params;

static const char *const methods[] = {"standard", "minmax", "robust", NULL};
static const qn_param scale_table[] = {
    {.name = "method",
     .kind = QN_PARAM_CHOICE,
     .offset = offsetof(scale_params, method),
     .choices = methods,
     .preset = 0,
     .help = "standard: mean 0, variance 1; minmax: training range to 0..1; robust: median and "
             "quartiles"},
    {.name = "clip",
     .kind = QN_PARAM_BOOL,
     .offset = offsetof(scale_params, clip),
     .preset = 0,
     .help = "with minmax: keep new values within 0..1"},
};

typedef struct scale_state {
    qn__state base;
    double center, scale;
} scale_state;

/* Population mean and standard deviation in two passes, scaled so that squares cannot overflow. */
static void standard_of(const double *x, int64_t n, double *ret_mean, double *ret_deviation) {
    double mean = mean_of(x, n), largest = 0, sum = 0, rest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(qn__finite(x[i] - mean)));
    double unit = largest > 1e100 || (largest > 0 && largest < 1e-100) ? largest : 1;
    for (int64_t i = 0; i < n; i++) {
        double d = qn__finite(x[i] - mean) / unit;
        sum += d * d;
        rest += d;
    }
    sum -= rest * rest / (double)n; /* what rounding of the mean left */
    *ret_mean = mean;
    *ret_deviation = sqrt(fmax(sum, 0) / (double)n) * unit;
}

static qn_status scale_fit(qn__state *state, const qn__values *in, int32_t n_in, const qn__fit *fit,
                           qn_error *err) {
    scale_state *s = (scale_state *)state;
    const scale_params *p = state->params;
    qn_cleanup(qn_freep) double *sorted = NULL;
    int64_t n;
    QN_TRY(qn__sorted(in->num, in->n_rows, &sorted, &n, err));
    state->n_out = 1;
    s->center = 0;
    s->scale = 1;
    if (n == 0)
        return QN_OK;
    if (strcmp(p->method, "standard") == 0) {
        standard_of(sorted, n, &s->center, &s->scale);
    } else if (strcmp(p->method, "minmax") == 0) {
        s->center = sorted[0];
        s->scale = qn__finite(sorted[n - 1] - sorted[0]);
    } else {
        s->center = qn__quantile(sorted, n, 0.5);
        s->scale = qn__finite(qn__quantile(sorted, n, 0.75) - qn__quantile(sorted, n, 0.25));
    }
    if (!(s->scale > 10 * 2.220446049250313e-16 * fabs(s->center)) || s->scale < 1e-290)
        s->scale = 1; /* constant but for rounding */
    return QN_OK;
}

static qn_status scale_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                             qn__values *out, qn_error *err) {
    const scale_state *s = (const scale_state *)state;
    const scale_params *p = state->params;
    double *to = qn__out_numbers(out);
    if (!to)
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n_rows; i++)
        to[i] = qn__finite((in->num[i] - s->center) / s->scale);
    if (p->clip && strcmp(p->method, "minmax") == 0)
        for (int64_t i = 0; i < in->n_rows; i++)
            to[i] = to[i] < 0 ? 0 : to[i] > 1 ? 1 : to[i];
    return QN_OK;
}

static void scale_save(const qn__state *state, qn_buf *out) {
    const scale_state *s = (const scale_state *)state;
    qn_buf_put_f64(out, s->center);
    qn_buf_put_f64(out, s->scale);
}

static qn_status scale_load(qn__state *state, qn_reader *reader, qn_error *err) {
    scale_state *s = (scale_state *)state;
    state->n_out = 1;
    QN_TRY(qn__read_finite(reader, &s->center, err));
    QN_TRY(qn__read_finite(reader, &s->scale, err));
    return s->scale > 0 ? QN_OK : qn__damaged(err);
}

const qn__transform qn__transform_scale = {
    .keeps = true,
    .name = "scale",
    .help = "bring numbers to a common scale",
    .accepts = QN__NUMBER,
    .gives = QN__NUMBER,
    .params = scale_table,
    .n_params = sizeof scale_table / sizeof scale_table[0],
    .params_bytes = sizeof(scale_params),
    .main_param = "method",
    .state_bytes = sizeof(scale_state),
    .fit = scale_fit,
    .apply = scale_apply,
    .save = scale_save,
    .load = scale_load,
    .name_out = qn__name_same,
};
