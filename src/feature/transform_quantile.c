/* transform_quantile.c - numbers by their rank among the training rows, and by bins. Definitions
 * are those of scikit-learn's QuantileTransformer and KBinsDiscretizer. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "feature/transforms_int.h"

/* The last i with at[i] <= x; at[0] <= x. */
static int64_t last_at_most(const double *at, int64_t n, double x) {
    int64_t low = 0, high = n;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (at[middle] <= x)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The first i with at[i] >= x; at[n - 1] >= x. */
static int64_t first_at_least(const double *at, int64_t n, double x) {
    int64_t low = -1, high = n - 1;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (at[middle] >= x)
            high = middle;
        else
            low = middle;
    }
    return high;
}

/* --- quantile --- */

typedef struct quantile_params {
    const char *output;
    int64_t n_quantiles;
} quantile_params;

static const char *const outputs[] = {"uniform", "normal", NULL};
static const qn_param quantile_table[] = {
    {.name = "output", .aliases = "output_distribution", .kind = QN_PARAM_CHOICE,
     .offset = offsetof(quantile_params, output), .choices = outputs, .preset = 0,
     .help = "uniform: rank in 0..1; normal: as if drawn from a standard normal"},
    {.name = "n_quantiles", .kind = QN_PARAM_INT, .offset = offsetof(quantile_params, n_quantiles),
     .low = 2, .high = 100000, .preset = 1000, .help = "points kept of the training distribution"},
};

typedef struct quantile_state {
    qn__state base;
    int64_t n;
    double *at; /* owned; ascending; at[k] is the quantile k / (n - 1) */
} quantile_state;

static qn_status quantile_fit(qn__state *state, const qn__values *in, int32_t n_in,
                              const qn__fit *fit, qn_error *err) {
    quantile_state *s = (quantile_state *)state;
    const quantile_params *p = state->params;
    qn_cleanup(qn_freep) double *sorted = NULL;
    int64_t n_there;
    QN_TRY(qn__sorted(in->num, in->n_rows, &sorted, &n_there, err));
    state->n_out = 1;
    s->n = p->n_quantiles < n_there ? p->n_quantiles : n_there;
    s->at = qn_new_array(double, s->n);
    if (!s->at)
        return qn_error_memory(err);
    for (int64_t k = 0; k < s->n; k++) {
        double q = s->n > 1 ? (double)k / (double)(s->n - 1) : 0;
        s->at[k] = qn__quantile(sorted, n_there, q);
        if (k > 0 && s->at[k] < s->at[k - 1])
            s->at[k] = s->at[k - 1]; /* interpolation may round backwards */
    }
    return QN_OK;
}

/* Rank of x by linear interpolation; in the middle of a run of equal quantiles. */
static double rank_of(const quantile_state *s, double x) {
    double last = (double)(s->n - 1);
    if (s->n < 2 || s->at[0] == s->at[s->n - 1])
        return s->n == 0 ? 0.5 : x < s->at[0] ? 0 : x > s->at[0] ? 1 : s->n == 1 ? 0.5 : 0;
    if (x <= s->at[0])
        return 0;
    if (x >= s->at[s->n - 1])
        return 1;
    int64_t low = last_at_most(s->at, s->n, x), high = first_at_least(s->at, s->n, x);
    if (low >= high)
        return 0.5 * ((double)low + (double)high) / last;
    return ((double)low + (x - s->at[low]) / (s->at[high] - s->at[low]) * (double)(high - low)) /
           last;
}

static qn_status quantile_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                                qn__values *out, qn_error *err) {
    const quantile_state *s = (const quantile_state *)state;
    const quantile_params *p = state->params;
    bool normal = strcmp(p->output, "normal") == 0;
    /* the ends of the normal are cut at a probability of 1e-7 */
    const double bound = 5.19933758270342;
    double *to = qn__out_numbers(out);
    if (!to)
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n_rows; i++) {
        if (isnan(in->num[i])) {
            to[i] = NAN;
            continue;
        }
        double rank = rank_of(s, in->num[i]);
        if (normal)
            rank = rank <= 1e-7 ? -bound : rank >= 1 - 1e-7 ? bound : qn__normal_quantile(rank);
        to[i] = rank;
    }
    return QN_OK;
}

static void quantile_save(const qn__state *state, qn_buf *out) {
    const quantile_state *s = (const quantile_state *)state;
    qn_buf_put_u64(out, (uint64_t)s->n);
    qn__put_numbers(out, s->at, s->n);
}

static qn_status read_ascending(qn_reader *reader, int64_t *ret_n, double **ret, qn_error *err) {
    QN_TRY(qn__read_count(reader, 8, INT32_MAX, ret_n, err));
    QN_TRY(qn__read_numbers(reader, *ret_n, ret, err));
    for (int64_t k = 1; k < *ret_n; k++)
        if ((*ret)[k] < (*ret)[k - 1])
            return qn__damaged(err);
    return QN_OK;
}

static qn_status quantile_load(qn__state *state, qn_reader *reader, qn_error *err) {
    quantile_state *s = (quantile_state *)state;
    state->n_out = 1;
    return read_ascending(reader, &s->n, &s->at, err);
}

static void quantile_done(qn__state *state) {
    qn_freep(&((quantile_state *)state)->at);
}

const qn__transform qn__transform_quantile = {
    .keeps = true,
    .name = "quantile",
    .help = "rank among the training rows, uniform or normal",
    .accepts = QN__NUMBER,
    .gives = QN__NUMBER,
    .params = quantile_table,
    .n_params = sizeof quantile_table / sizeof quantile_table[0],
    .params_bytes = sizeof(quantile_params),
    .main_param = "output",
    .state_bytes = sizeof(quantile_state),
    .fit = quantile_fit,
    .apply = quantile_apply,
    .save = quantile_save,
    .load = quantile_load,
    .name_out = qn__name_same,
    .done = quantile_done,
};

/* --- discretise --- */

typedef struct discretise_params {
    const char *strategy, *output;
    int64_t n_bins;
} discretise_params;

static const char *const strategies[] = {"quantile", "uniform", NULL};
static const char *const bin_outputs[] = {"ordinal", "category", NULL};
static const qn_param discretise_table[] = {
    {.name = "n_bins",
     .aliases = "bins",
     .kind = QN_PARAM_INT,
     .offset = offsetof(discretise_params, n_bins),
     .low = 2,
     .high = 65535,
     .preset = 10,
     .help = "bins at most; equal edges merge"},
    {.name = "strategy",
     .kind = QN_PARAM_CHOICE,
     .offset = offsetof(discretise_params, strategy),
     .choices = strategies,
     .preset = 0,
     .help = "quantile: equally many rows; uniform: equally wide"},
    {.name = "output",
     .kind = QN_PARAM_CHOICE,
     .offset = offsetof(discretise_params, output),
     .choices = bin_outputs,
     .preset = 0,
     .help = "ordinal: the bin's number; category: its name"},
};

typedef struct discretise_state {
    qn__state base;
    int64_t n;     /* inner edges; bins are n + 1 */
    double *edges; /* owned; strictly ascending; bin = edges at or below x */
    qn_dict *dict; /* owned; names of the bins, for category */
} discretise_state;

static bool bins_are_categories(const void *params) {
    return strcmp(((const discretise_params *)params)->output, "category") == 0;
}

static unsigned discretise_kind(const void *params, unsigned in_kind) {
    return bins_are_categories(params) ? QN__CATEGORY : QN__NUMBER;
}

static qn_status name_bins(discretise_state *s, qn_error *err) {
    s->dict = qn_dict_new();
    for (int64_t b = 0; s->dict && b <= s->n; b++) {
        char low[QN_DOUBLE_TEXT], high[QN_DOUBLE_TEXT], name[3 * QN_DOUBLE_TEXT];
        qn_double_to_text(b ? s->edges[b - 1] : 0, low);
        qn_double_to_text(b < s->n ? s->edges[b] : 0, high);
        int n = s->n == 0    ? snprintf(name, sizeof name, "any")
                : b == 0     ? snprintf(name, sizeof name, "below %s", high)
                : b == s->n  ? snprintf(name, sizeof name, "%s and above", low)
                             : snprintf(name, sizeof name, "%s to %s", low, high);
        if (qn_dict_add(s->dict, name, (size_t)n) != b)
            return qn_error_memory(err);
    }
    return s->dict ? QN_OK : qn_error_memory(err);
}

static qn_status discretise_fit(qn__state *state, const qn__values *in, int32_t n_in,
                                const qn__fit *fit, qn_error *err) {
    discretise_state *s = (discretise_state *)state;
    const discretise_params *p = state->params;
    qn_cleanup(qn_freep) double *sorted = NULL;
    int64_t n;
    QN_TRY(qn__sorted(in->num, in->n_rows, &sorted, &n, err));
    state->n_out = 1;
    s->edges = qn_new_array(double, p->n_bins);
    if (!s->edges)
        return qn_error_memory(err);
    double last = n ? sorted[0] : 0;
    for (int64_t k = 1; n > 0 && k < p->n_bins; k++) {
        double q = (double)k / (double)p->n_bins;
        double edge = strcmp(p->strategy, "quantile") == 0
                          ? qn__quantile(sorted, n, q)
                          : sorted[0] * (1 - q) + sorted[n - 1] * q;
        if (edge > last && edge < sorted[n - 1])
            s->edges[s->n++] = last = edge;
    }
    return bins_are_categories(p) ? name_bins(s, err) : QN_OK;
}

static qn_status discretise_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                                  qn__values *out, qn_error *err) {
    const discretise_state *s = (const discretise_state *)state;
    bool categories = bins_are_categories(state->params);
    if (categories ? !qn__out_codes(out) : !qn__out_numbers(out))
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n_rows; i++) {
        double x = in->num[i];
        int64_t bin = isnan(x) || s->n == 0 || x < s->edges[0]
                          ? 0
                          : last_at_most(s->edges, s->n, x) + 1;
        if (categories)
            out->code[i] = isnan(x) ? -1 : (int32_t)bin;
        else
            out->num[i] = isnan(x) ? NAN : (double)bin;
    }
    return QN_OK;
}

static void discretise_save(const qn__state *state, qn_buf *out) {
    const discretise_state *s = (const discretise_state *)state;
    qn_buf_put_u64(out, (uint64_t)s->n);
    qn__put_numbers(out, s->edges, s->n);
}

static qn_status discretise_load(qn__state *state, qn_reader *reader, qn_error *err) {
    discretise_state *s = (discretise_state *)state;
    state->n_out = 1;
    QN_TRY(read_ascending(reader, &s->n, &s->edges, err));
    for (int64_t k = 1; k < s->n; k++)
        if (!(s->edges[k] > s->edges[k - 1]))
            return qn__damaged(err);
    if (!bins_are_categories(state->params))
        return QN_OK;
    return name_bins(s, err);
}

static const qn_dict *discretise_dict(const qn__state *state) {
    return ((const discretise_state *)state)->dict;
}

static void discretise_done(qn__state *state) {
    qn_freep(&((discretise_state *)state)->edges);
    qn_dict_free(&((discretise_state *)state)->dict);
}

const qn__transform qn__transform_discretise = {
    .keeps = true,
    .name = "discretise",
    .aliases = "discretize bin bins",
    .help = "cut numbers into bins",
    .accepts = QN__NUMBER,
    .params = discretise_table,
    .n_params = sizeof discretise_table / sizeof discretise_table[0],
    .params_bytes = sizeof(discretise_params),
    .main_param = "n_bins",
    .kind = discretise_kind,
    .state_bytes = sizeof(discretise_state),
    .fit = discretise_fit,
    .apply = discretise_apply,
    .save = discretise_save,
    .load = discretise_load,
    .name_out = qn__name_same,
    .dict = discretise_dict,
    .done = discretise_done,
};
