/* transform_plain.c - "number" passes numbers on as they are, "drop" leaves a column out. */
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
