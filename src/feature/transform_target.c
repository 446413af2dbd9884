/* transform_target.c - categories by what the target was among them (out-of-fold, Micci-Barreca
 * 2001 with the m-estimate), and by how often they occur. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "feature/transforms_int.h"

enum { ANY_CATEGORY = QN__NUMBER | QN__CATEGORY | QN__TEXT };

/* --- target --- */

typedef struct target_params {
    double smoothing;
    int64_t folds, min_count;
} target_params;

static const qn_param target_table[] = {
    {.name = "smoothing",
     .aliases = "m",
     .kind = QN_PARAM_REAL,
     .offset = offsetof(target_params, smoothing),
     .low = 0,
     .high = 1e9,
     .preset = 10,
     .help = "rows' worth of the overall mean that every category starts with (the m-estimate)"},
    {.name = "folds",
     .kind = QN_PARAM_INT,
     .offset = offsetof(target_params, folds),
     .low = 2,
     .high = 100,
     .preset = 5,
     .help = "training rows are encoded by the other folds"},
    {.name = "min_count",
     .kind = QN_PARAM_INT,
     .offset = offsetof(target_params, min_count),
     .low = 1,
     .high = 1e15,
     .preset = 2,
     .help = "categories in fewer training rows get the overall mean"},
};

typedef struct target_state {
    qn__state base;
    int32_t n_means;   /* 1; multiclass: n_classes */
    char **classes;    /* owned; n_means names of classes; NULL for 1 */
    qn_dict *dict;     /* owned */
    double *prior;     /* owned; n_means: for unseen categories */
    double *means;     /* owned; [dict size + 1][n_means]; the last row is for missing */
} target_state;

/* What row i adds to mean k. */
static double amount(const qn__fit *fit, int32_t n_means, int64_t i, int32_t k) {
    return n_means == 1 ? fit->y[i] : fit->y[i] == (double)k ? 1 : 0;
}

/* Sums over rows with a target: sums[group][n_means] and counts[group], groups being categories. */
static void add_rows(const qn__fit *fit, const int32_t *group, int64_t n_rows, int32_t n_means,
                     double *sums, double *counts) {
    for (int64_t i = 0; i < n_rows; i++) {
        if (group[i] < 0 || isnan(fit->y[i]))
            continue;
        counts[group[i]]++;
        for (int32_t k = 0; k < n_means; k++)
            sums[(size_t)group[i] * (size_t)n_means + (size_t)k] += amount(fit, n_means, i, k);
    }
}

static qn_status keep_classes(target_state *s, const qn_target_info *info, qn_error *err) {
    s->n_means = info->task == QN_TASK_MULTICLASS ? info->n_classes : 1;
    if (s->n_means == 1)
        return QN_OK;
    s->classes = qn_new_array(char *, s->n_means);
    for (int32_t k = 0; s->classes && k < s->n_means; k++)
        if (!(s->classes[k] = qn_strdup(info->classes[k])))
            return qn_error_memory(err);
    return s->classes ? QN_OK : qn_error_memory(err);
}

/* Each row's category: its code, the number of categories for missing, -1 for the rest. */
static qn_status groups_of(const qn_dict *dict, const qn__values *in, int32_t *group,
                           qn_error *err) {
    qn_cleanup(qn__values_done) qn__values categories = {0};
    QN_TRY(qn__as_category(in, &categories, err));
    QN_TRY(qn__map_codes(&categories, dict, group, err));
    int32_t size = qn_dict_size(dict);
    for (int64_t i = 0; i < in->n_rows; i++)
        group[i] = group[i] == -2 ? size : group[i];
    return QN_OK;
}

static void priors(const qn__fit *fit, int64_t n_rows, int32_t n_means, double *prior) {
    double n = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        if (isnan(fit->y[i]))
            continue;
        n++;
        for (int32_t k = 0; k < n_means; k++)
            prior[k] += amount(fit, n_means, i, k);
    }
    for (int32_t k = 0; k < n_means; k++)
        prior[k] = n > 0 ? qn__finite(prior[k] / n) : 0;
}

static qn_status target_dict(target_state *s, const qn__values *in, qn_error *err) {
    const target_params *p = s->base.params;
    qn_cleanup(qn__values_done) qn__values categories = {0};
    qn_cleanup(qn_freep) qn__count *counts = NULL;
    int32_t n, kept = 0;
    QN_TRY(qn__as_category(in, &categories, err));
    QN_TRY(qn__count_categories(&categories, &counts, &n, err));
    while (kept < n && counts[kept].n >= p->min_count)
        kept++;
    s->dict = qn__counts_dict(counts, kept);
    return s->dict ? QN_OK : qn_error_memory(err);
}

static qn_status target_fit(qn__state *state, const qn__values *in, int32_t n_in,
                            const qn__fit *fit, qn_error *err) {
    target_state *s = (target_state *)state;
    const target_params *p = state->params;
    QN_FAIL_IF(!fit->y || !fit->target, err, QN_ERR_USAGE, "target encoding needs a target");
    QN_TRY(keep_classes(s, fit->target, err));
    state->n_out = s->n_means;
    QN_TRY(target_dict(s, in, err));
    size_t n_groups = (size_t)qn_dict_size(s->dict) + 1, n_means = (size_t)s->n_means;
    qn_cleanup(qn_freep) int32_t *group = qn_new_array(int32_t, in->n_rows);
    qn_cleanup(qn_freep) double *counts = qn_new_array(double, n_groups);
    s->prior = qn_new_array(double, n_means);
    s->means = qn_calloc(n_groups, n_means * sizeof *s->means);
    if (!group || !counts || !s->prior || !s->means)
        return qn_error_memory(err);
    QN_TRY(groups_of(s->dict, in, group, err));
    priors(fit, in->n_rows, s->n_means, s->prior);
    add_rows(fit, group, in->n_rows, s->n_means, s->means, counts);
    for (size_t g = 0; g < n_groups; g++)
        for (size_t k = 0; k < n_means; k++) {
            double *mean = &s->means[g * n_means + k], weight = counts[g] + p->smoothing;
            *mean = weight > 0 ? qn__finite((*mean + p->smoothing * s->prior[k]) / weight) : s->prior[k];
        }
    return QN_OK;
}

static qn_status target_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                              qn__values *out, qn_error *err) {
    const target_state *s = (const target_state *)state;
    qn_cleanup(qn_freep) int32_t *group = qn_new_array(int32_t, in->n_rows);
    if (!group)
        return qn_error_memory(err);
    QN_TRY(groups_of(s->dict, in, group, err));
    for (int32_t k = 0; k < s->n_means; k++) {
        double *to = qn__out_numbers(&out[k]);
        if (!to)
            return qn_error_memory(err);
        for (int64_t i = 0; i < in->n_rows; i++)
            to[i] = group[i] < 0 ? s->prior[k]
                                 : s->means[(size_t)group[i] * (size_t)s->n_means + (size_t)k];
    }
    return QN_OK;
}

/* Every fold is encoded by the rows of the others: prior, sums and counts alike. */
static qn_status target_fold(const target_state *s, const qn__fit *fit, const int32_t *group,
                             const uint8_t *fold, int f, int64_t n_rows, qn__values *out,
                             qn_error *err) {
    const target_params *p = s->base.params;
    size_t n_groups = (size_t)qn_dict_size(s->dict) + 1, n_means = (size_t)s->n_means;
    qn_cleanup(qn_freep) double *sums = qn_calloc(n_groups, n_means * sizeof *sums);
    qn_cleanup(qn_freep) double *counts = qn_new_array(double, n_groups);
    qn_cleanup(qn_freep) double *prior = qn_new_array(double, n_means);
    if (!sums || !counts || !prior)
        return qn_error_memory(err);
    double n = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        if (fold[i] == f || isnan(fit->y[i]))
            continue;
        n++;
        for (int32_t k = 0; k < s->n_means; k++)
            prior[k] += amount(fit, s->n_means, i, k);
        if (group[i] >= 0)
            add_rows(&(qn__fit){.y = fit->y + i}, group + i, 1, s->n_means, sums, counts);
    }
    for (int64_t i = 0; i < n_rows; i++) {
        if (fold[i] != f)
            continue;
        for (size_t k = 0; k < n_means; k++) {
            double base = n > 0 ? prior[k] / n : s->prior[k];
            double weight = group[i] < 0 ? 0 : counts[group[i]] + p->smoothing;
            double sum = group[i] < 0 ? 0 : sums[(size_t)group[i] * n_means + k];
            bool known = group[i] >= 0 && weight > 0;
            out[k].num[i] = qn__finite(known ? (sum + p->smoothing * base) / weight : base);
        }
    }
    return QN_OK;
}

static qn_status target_apply_train(const qn__state *state, const qn__values *in, int32_t n_in,
                                    const qn__fit *fit, qn__values *out, qn_error *err) {
    const target_state *s = (const target_state *)state;
    const target_params *p = state->params;
    qn_cleanup(qn_freep) int32_t *group = qn_new_array(int32_t, in->n_rows);
    qn_cleanup(qn_freep) uint8_t *fold = qn_new_array(uint8_t, in->n_rows);
    if (!group || !fold)
        return qn_error_memory(err);
    for (int32_t k = 0; k < s->n_means; k++)
        if (!qn__out_numbers(&out[k]))
            return qn_error_memory(err);
    QN_TRY(groups_of(s->dict, in, group, err));
    for (int64_t i = 0; i < in->n_rows; i++)
        fold[i] = (uint8_t)(qn_rng_hash(fit->seed, (uint64_t)i) % (uint64_t)p->folds);
    for (int f = 0; f < (int)p->folds; f++)
        QN_TRY(target_fold(s, fit, group, fold, f, in->n_rows, out, err));
    return QN_OK;
}

static void target_save(const qn__state *state, qn_buf *out) {
    const target_state *s = (const target_state *)state;
    qn_buf_put_u64(out, (uint64_t)s->n_means);
    for (int32_t k = 0; s->classes && k < s->n_means; k++)
        qn__put_text(out, s->classes[k], strlen(s->classes[k]));
    qn__put_dict(out, s->dict);
    qn__put_numbers(out, s->prior, s->n_means);
    qn__put_numbers(out, s->means, ((int64_t)qn_dict_size(s->dict) + 1) * s->n_means);
}

static qn_status target_load(qn__state *state, qn_reader *reader, qn_error *err) {
    target_state *s = (target_state *)state;
    int64_t n_means;
    QN_TRY(qn__read_count(reader, 8, 1 << 16, &n_means, err));
    if (n_means < 1)
        return qn__damaged(err);
    if (n_means > 1) {
        s->classes = qn_new_array(char *, n_means);
        if (!s->classes)
            return qn_error_memory(err);
    }
    s->n_means = (int32_t)n_means;
    state->n_out = s->n_means;
    for (int64_t k = 0; s->classes && k < n_means; k++)
        QN_TRY(qn__read_text(reader, &s->classes[k], NULL, err));
    QN_TRY(qn__read_dict(reader, &s->dict, err));
    QN_TRY(qn__read_numbers(reader, n_means, &s->prior, err));
    return qn__read_numbers(reader, ((int64_t)qn_dict_size(s->dict) + 1) * n_means, &s->means, err);
}

static void target_name(const qn__state *state, const char *in, int32_t i, qn_buf *out) {
    const target_state *s = (const target_state *)state;
    qn_buf_printf(out, "%s target", in);
    if (s->classes)
        qn_buf_printf(out, "=%s", s->classes[i]);
}

static void target_done(qn__state *state) {
    target_state *s = (target_state *)state;
    for (int32_t k = 0; s->classes && k < s->n_means; k++)
        qn_freep(&s->classes[k]);
    qn_freep(&s->classes);
    qn_dict_free(&s->dict);
    qn_freep(&s->prior);
    qn_freep(&s->means);
}

const qn__transform qn__transform_target = {
    .name = "target",
    .aliases = "target_encode target_encoding mean_encode",
    .help = "the mean target of the category, smoothed; out-of-fold for training rows",
    .accepts = ANY_CATEGORY,
    .gives = QN__NUMBER,
    .fills = true,
    .params = target_table,
    .n_params = sizeof target_table / sizeof target_table[0],
    .params_bytes = sizeof(target_params),
    .main_param = "smoothing",
    .state_bytes = sizeof(target_state),
    .fit = target_fit,
    .apply = target_apply,
    .apply_train = target_apply_train,
    .save = target_save,
    .load = target_load,
    .name_out = target_name,
    .done = target_done,
};

/* --- frequency --- */

typedef struct frequency_params {
    const char *form;
    int64_t min_count;
} frequency_params;

static const char *const frequency_forms[] = {"log", "share", NULL};
static const qn_param frequency_table[] = {
    {.name = "form",
     .kind = QN_PARAM_CHOICE,
     .offset = offsetof(frequency_params, form),
     .choices = frequency_forms,
     .preset = 0,
     .help = "log: log(1 + training rows of the category); share: rows / all rows"},
    {.name = "min_count",
     .kind = QN_PARAM_INT,
     .offset = offsetof(frequency_params, min_count),
     .low = 1,
     .high = 1e15,
     .preset = 2,
     .help = "categories in fewer training rows count as unseen: 0"},
};

typedef struct frequency_state {
    qn__state base;
    qn_dict *dict;  /* owned */
    double *values; /* owned; dict size + 1: the last is for missing */
} frequency_state;

static qn_status frequency_fit(qn__state *state, const qn__values *in, int32_t n_in,
                               const qn__fit *fit, qn_error *err) {
    frequency_state *s = (frequency_state *)state;
    const frequency_params *p = state->params;
    qn_cleanup(qn__values_done) qn__values categories = {0};
    qn_cleanup(qn_freep) qn__count *counts = NULL;
    int32_t n, kept = 0;
    int64_t n_there = 0;
    state->n_out = 1;
    QN_TRY(qn__as_category(in, &categories, err));
    QN_TRY(qn__count_categories(&categories, &counts, &n, err));
    while (kept < n && counts[kept].n >= p->min_count)
        kept++;
    s->dict = qn__counts_dict(counts, kept);
    s->values = qn_new_array(double, kept + 1);
    if (!s->dict || !s->values)
        return qn_error_memory(err);
    for (int32_t c = 0; c < n; c++)
        n_there += counts[c].n;
    for (int32_t c = 0; c <= kept; c++) {
        double rows = (double)(c < kept ? counts[c].n : in->n_rows - n_there);
        s->values[c] = strcmp(p->form, "log") == 0 ? log1p(rows)
                       : in->n_rows ? rows / (double)in->n_rows : 0;
    }
    return QN_OK;
}

static qn_status frequency_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                                 qn__values *out, qn_error *err) {
    const frequency_state *s = (const frequency_state *)state;
    qn_cleanup(qn_freep) int32_t *group = qn_new_array(int32_t, in->n_rows);
    double *to = qn__out_numbers(out);
    if (!group || !to)
        return qn_error_memory(err);
    QN_TRY(groups_of(s->dict, in, group, err));
    for (int64_t i = 0; i < in->n_rows; i++)
        to[i] = group[i] < 0 ? 0 : s->values[group[i]];
    return QN_OK;
}

static void frequency_save(const qn__state *state, qn_buf *out) {
    const frequency_state *s = (const frequency_state *)state;
    qn__put_dict(out, s->dict);
    qn__put_numbers(out, s->values, (int64_t)qn_dict_size(s->dict) + 1);
}

static qn_status frequency_load(qn__state *state, qn_reader *reader, qn_error *err) {
    frequency_state *s = (frequency_state *)state;
    state->n_out = 1;
    QN_TRY(qn__read_dict(reader, &s->dict, err));
    return qn__read_numbers(reader, (int64_t)qn_dict_size(s->dict) + 1, &s->values, err);
}

static void frequency_name(const qn__state *state, const char *in, int32_t i, qn_buf *out) {
    qn_buf_printf(out, "%s frequency", in);
}

static void frequency_done(qn__state *state) {
    qn_dict_free(&((frequency_state *)state)->dict);
    qn_freep(&((frequency_state *)state)->values);
}

const qn__transform qn__transform_frequency = {
    .name = "frequency",
    .aliases = "count",
    .help = "how often the category occurs in training rows",
    .accepts = ANY_CATEGORY,
    .gives = QN__NUMBER,
    .fills = true,
    .params = frequency_table,
    .n_params = sizeof frequency_table / sizeof frequency_table[0],
    .params_bytes = sizeof(frequency_params),
    .main_param = "form",
    .state_bytes = sizeof(frequency_state),
    .fit = frequency_fit,
    .apply = frequency_apply,
    .save = frequency_save,
    .load = frequency_load,
    .name_out = frequency_name,
    .done = frequency_done,
};
