/* transform_plain.c - "number" passes numbers on as they are, "zero_missing" all but 0, "drop" leaves a
 * column out. */
#include <math.h>
#include <string.h>

#include "feature/transforms_int.h"

static qn_status number_fit(qn__state *state, const qn__values *in, int32_t n_in,
                            const qn__fit *fit, qn_error *err) {
    state->n_out = 1;
    return QN_OK;
}

static qn_status number_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                              qn__values *out, qn_error *err) {
    double *to = qn__out_numbers(&out[0]);
    if (!to)
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n_rows; i++)
        to[i] = in->num[i];
    return QN_OK;
}

static qn_status number_load(qn__state *state, qn_reader *reader, qn_error *err) {
    state->n_out = 1;
    return QN_OK;
}

const qn__transform qn__transform_number = {
    .keeps = true,
    .name = "number",
    .aliases = "passthrough pass numeric",
    .help = "the number as it is",
    .accepts = QN__NUMBER,
    .gives = QN__NUMBER,
    .state_bytes = sizeof(qn__state),
    .fit = number_fit,
    .apply = number_apply,
    .load = number_load,
    .name_out = qn__name_same,
};

/* What LightGBM takes for zero: its kZeroThreshold, a float. */
static const float zero_width = 1e-35f;

static qn_status zero_missing_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                                    qn__values *out, qn_error *err) {
    double *to = qn__out_numbers(&out[0]);
    if (!to)
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n_rows; i++)
        to[i] = fabs(in->num[i]) <= (double)zero_width ? (double)NAN : in->num[i];
    return QN_OK;
}

const qn__transform qn__transform_zero_missing = {
    .name = "zero_missing",
    .help = "the number, missing where it is 0 (LightGBM's zero_as_missing)",
    .accepts = QN__NUMBER,
    .gives = QN__NUMBER,
    .state_bytes = sizeof(qn__state),
    .fit = number_fit,
    .apply = zero_missing_apply,
    .load = number_load,
    .name_out = qn__name_same,
};

static qn_status drop_fit(qn__state *state, const qn__values *in, int32_t n_in, const qn__fit *fit,
                          qn_error *err) {
    state->n_out = 0;
    return QN_OK;
}

static qn_status drop_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                            qn__values *out, qn_error *err) {
    return QN_OK;
}

static qn_status drop_load(qn__state *state, qn_reader *reader, qn_error *err) {
    state->n_out = 0;
    return QN_OK;
}

const qn__transform qn__transform_drop = {
    .name = "drop", .help = "leave the column out",
    .accepts = QN__NUMBER | QN__CATEGORY | QN__TEXT | QN__TIME, .fills = true,
    .state_bytes = sizeof(qn__state),
    .fit = drop_fit, .apply = drop_apply, .load = drop_load, .name_out = qn__name_same,
};
