/* auto.c - what is done with a column when the user does not say, by its type and by what the
 * family of learners takes. The reasons are in README.md. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "feature/feature_int.h"

enum {
    NATIVE_MAX = 254,       /* categories a tree family gets as they are; the rest are unseen to it */
    ONE_HOT_MAX = 100,      /* columns per category column for the others */
    ONE_HOT_MIN_COUNT = 5,
    ID_MIN_ROWS = 100,      /* fewer rows do not show that a column is an identifier */
    SAMPLE_ROWS = 100000,   /* rows looked at for skewness */
    SKEWED = 2,
};

/* Distinct categories present, and whether no two rows share one. */
static qn_status count_distinct(const qn_column *column, int64_t *ret_distinct, bool *ret_unique,
                                qn_error *err) {
    int32_t size = qn_dict_size(column->dict);
    qn_cleanup(qn_freep) uint8_t *met = qn_new_array(uint8_t, size);
    if (!met)
        return qn_error_memory(err);
    int64_t distinct = 0, there = 0;
    for (int64_t i = 0; i < column->n_rows; i++) {
        if (!qn_column_is_valid(column, i))
            continue;
        there++;
        distinct += !met[column->code[i]];
        met[column->code[i]] = 1;
    }
    *ret_distinct = distinct;
    *ret_unique = distinct == there && there >= ID_MIN_ROWS;
    return QN_OK;
}

static double skewness(const qn_column *column, bool logs) {
    int64_t stride = column->n_rows / SAMPLE_ROWS + 1, n = 0;
    double mean = 0, m2 = 0, m3 = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < column->n_rows; i += stride) {
            double x = qn_column_number(column, i);
            if (!isfinite(x))
                continue;
            x = logs ? copysign(log1p(fabs(x)), x) : x;
            if (pass == 0) {
                mean += (x - mean) / (double)++n;
                continue;
            }
            double d = x - mean;
            m2 += d * d / (double)n;
            m3 += d * d * d / (double)n;
        }
    return m2 > 0 && isfinite(m3) ? m3 / (m2 * sqrt(m2)) : 0;
}

static bool two_valued(const qn_column *column) {
    double low = NAN, high = NAN;
    for (int64_t i = 0; i < column->n_rows; i++) {
        double x = qn_column_number(column, i);
        if (isnan(x) || x == low || x == high)
            continue;
        if (isnan(low))
            low = x;
        else if (isnan(high))
            high = x;
        else
            return false;
    }
    return true;
}

static qn_status add_chain(qn_pipeline_spec *spec, const char *column, const char *const *texts,
                           size_t n, qn_error *err) {
    qn__step *step;
    QN_TRY(qn__spec_add_step(spec, column, &step, err));
    step->automatic = true;
    for (size_t i = 0; i < n; i++)
        if (texts[i])
            QN_TRY(qn__step_add(step, texts[i], err));
    return QN_OK;
}

static const char *filling(unsigned takes) {
    return takes & QN_TAKES_MISSING ? NULL : "{\"impute\": \"median\", \"indicator\": true}";
}

static qn_status auto_number(qn_pipeline_spec *spec, const qn_column *column, qn_error *err) {
    const char *tail = NULL, *scale = NULL;
    if (spec->takes & QN_WANTS_SCALED) {
        scale = "\"standard\"";
        double skew = fabs(skewness(column, false));
        if (skew > SKEWED && !two_valued(column))
            tail = fabs(skewness(column, true)) < 0.5 * skew ? "{\"log\": \"signed\"}"
                                                            : "{\"quantile\": \"normal\"}";
    }
    const char *chain[] = {filling(spec->takes), tail, scale};
    if (!chain[0] && !tail && !scale)
        chain[0] = "\"number\"";
    return add_chain(spec, column->name, chain, 3, err);
}

static qn_status drop_with_note(qn_pipeline_spec *spec, const char *column, const char *note,
                                qn_error *err) {
    const char *chain[] = {"\"drop\""};
    QN_TRY(add_chain(spec, column, chain, 1, err));
    qn__step *step = &spec->steps[spec->n_steps - 1];
    step->note = qn_strdup(note);
    return step->note ? QN_OK : qn_error_memory(err);
}

static qn_status auto_category(qn_pipeline_spec *spec, const qn_column *column, qn_error *err) {
    int64_t distinct;
    bool unique;
    QN_TRY(count_distinct(column, &distinct, &unique, err));
    if (unique)
        return drop_with_note(spec, column->name, "every value occurs once: an identifier", err);
    bool native = spec->takes & QN_TAKES_CATEGORIES;
    char first[128];
    if (native)
        snprintf(first, sizeof first, "{\"category\": {\"max_categories\": %d}}",
                 distinct > NATIVE_MAX ? NATIVE_MAX : 0);
    else
        snprintf(first, sizeof first, "{\"one_hot\": {\"min_count\": %d, \"max_categories\": %d}}",
                 column->n_rows >= 1000 ? ONE_HOT_MIN_COUNT : 1, ONE_HOT_MAX);
    const char *as_it_is[] = {first};
    QN_TRY(add_chain(spec, column->name, as_it_is, 1, err));
    if (distinct <= (native ? NATIVE_MAX : ONE_HOT_MAX))
        return QN_OK;
    const char *scale = spec->takes & QN_WANTS_SCALED ? "\"standard\"" : NULL;
    const char *by_target[] = {"\"target\"", scale}, *by_count[] = {"\"frequency\"", scale};
    QN_TRY(add_chain(spec, column->name, by_target, 2, err));
    return add_chain(spec, column->name, by_count, 2, err);
}

static qn_status auto_time(qn_pipeline_spec *spec, const qn_column *column, qn_error *err) {
    const char *scale = spec->takes & QN_WANTS_SCALED ? "\"standard\"" : NULL;
    const char *parts[] = {"\"date\"", filling(spec->takes), scale};
    QN_TRY(add_chain(spec, column->name, parts, 3, err));
    if (!scale)
        return QN_OK;
    const char *circles[] = {"\"cyclical\"", filling(spec->takes)};
    return add_chain(spec, column->name, circles, 2, err);
}

static qn_status auto_text(qn_pipeline_spec *spec, const qn_column *column, qn_error *err) {
    bool trees = spec->takes & QN_TAKES_MISSING;
    const char *scale = spec->takes & QN_WANTS_SCALED ? "\"standard\"" : NULL;
    const char *words[] = {
        trees
            ? "{\"text\": \"word\", \"ngram_max\": 2, \"n_features\": 1000, \"min_count\": 3}"
            : "{\"text\": \"word\", \"ngram_max\": 2, \"n_features\": 20000, \"sublinear\": true}"};
    const char *chars[] = {"{\"text\": \"char\", \"ngram_min\": 3, \"ngram_max\": 5, "
                           "\"n_features\": 30000, \"sublinear\": true, \"min_count\": 3}"};
    const char *stats[] = {"\"text_stats\"", scale};
    QN_TRY(add_chain(spec, column->name, words, 1, err));
    if (!trees)
        QN_TRY(add_chain(spec, column->name, chars, 1, err));
    return add_chain(spec, column->name, stats, 2, err);
}

qn_status qn__auto_column(qn_pipeline_spec *spec, const qn_column *column, qn_error *err) {
    if (column->n_rows > 0 && column->n_null == column->n_rows)
        return drop_with_note(spec, column->name, "all values are missing", err);
    switch (qn__kind_of_type(column->type)) {
    case QN__NUMBER: return auto_number(spec, column, err);
    case QN__CATEGORY: return auto_category(spec, column, err);
    case QN__TIME: return auto_time(spec, column, err);
    default: return auto_text(spec, column, err);
    }
}

qn_status qn__auto_adapt(qn__step *step, unsigned kind, bool filled, unsigned takes,
                         qn_error *err) {
    if (kind == QN__CATEGORY && !(takes & QN_TAKES_CATEGORIES))
        return qn__step_add(step, "{\"one_hot\": {\"max_categories\": 1000}}", err);
    if (kind == QN__NUMBER && !filled && !(takes & QN_TAKES_MISSING))
        return qn__step_add(step, "\"impute\"", err);
    return QN_OK;
}
