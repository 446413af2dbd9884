/* What features cost. Costs are in units of gain and lower it, as LightGBM's (CEGB; Peter, Diego,
 * Hamprecht and Nadler 2017, Cost efficient gradient boosting):
 *
 *     gain = contri[feature] * gain                                      feature_contri
 *            - tradeoff * (penalty_split * rows of the leaf
 *                          + penalty_coupled[feature]                    unless the model uses it
 *                          + penalty_lazy[feature] * rows of the leaf for which no tree used it)
 *
 * A split of a symmetric tree is that of a level: rows are those of the leaves that it parts, and a coupled
 * cost is paid once.
 *
 * A column stands for all features made from it: its coupled and lazy costs are paid once for all of
 * them. In a list each feature stands for itself. */
#include <stdio.h>

#include "base/text.h"
#include "learn/gbdt_int.h"

void qn__costs_done(qn__costs *costs) {
    qn_freep(&costs->contri);
    qn_freep(&costs->cost_of);
    qn_freep(&costs->coupled);
    qn_freep(&costs->lazy);
    qn_freep(&costs->lazy_here);
    qn_freep(&costs->bought);
    qn_freep(&costs->seen);
}

/* Numbers of a map by column or of a list, by feature of the matrix. Those of one entry share its
 * number as entry. */
typedef struct by_feature {
    double *value;   /* owned; n_columns */
    int32_t *entry;  /* owned; n_columns; -1: none */
} by_feature;

static void by_feature_done(by_feature *b) {
    qn_freep(&b->value);
    qn_freep(&b->entry);
}

static qn_status read_number(const char *param, const char *name, const json_t *value,
                             double *ret, qn_error *err) {
    double x = -1;
    if (json_is_number(value))
        x = json_number_value(value);
    else if (json_is_string(value) && !qn_text_to_double(json_string_value(value), &x))
        x = -1;
    QN_FAIL_IF(!(x >= 0 && x <= 1e12), err, QN_ERR_CONFIG,
               "%s: '%.80s' must be a number from 0 to 1e12", param, name);
    *ret = x;
    return QN_OK;
}

static qn_status read_list(const char *param, const json_t *given, int32_t n, by_feature *b,
                           qn_error *err) {
    QN_FAIL_IF(json_array_size(given) != (size_t)n, err, QN_ERR_CONFIG,
               "%s has %zu numbers for %d features: name the columns instead", param,
               json_array_size(given), n);
    for (int32_t c = 0; c < n; c++) {
        char name[32];
        snprintf(name, sizeof name, "%d", c);
        QN_TRY(read_number(param, name, json_array_get(given, (size_t)c), &b->value[c], err));
        b->entry[c] = c;
    }
    return QN_OK;
}

static qn_status read_by_feature(const char *param, const json_t *given, double preset,
                                 const qn_feature *features, int32_t n, by_feature *b,
                                 qn_error *err) {
    b->value = qn_new_array(double, n);
    b->entry = qn_new_array(int32_t, n);
    if (!b->value || !b->entry)
        return qn_error_memory(err);
    for (int32_t c = 0; c < n; c++) {
        b->value[c] = preset;
        b->entry[c] = -1;
    }
    if (json_is_array(given))
        return read_list(param, given, n, b, err);
    const char *name;
    json_t *value;
    int32_t entry = 0;
    json_object_foreach((json_t *)given, name, value) {
        double x;
        bool found = false;
        QN_TRY(read_number(param, name, value, &x, err));
        for (int32_t c = 0; c < n; c++)
            if (qn__growth_comes_from(&features[c], name)) {
                b->value[c] = x;
                b->entry[c] = entry;
                found = true;
            }
        if (!found)
            return qn__growth_unknown(param, name, features, n, err);
        entry++;
    }
    return QN_OK;
}

static qn_status read_contri(qn__costs *costs, const json_t *given, const qn__bin_map *map,
                             const qn_feature *features, int32_t n, qn_error *err) {
    qn_cleanup(by_feature_done) by_feature b = {0};
    if (!given)
        return QN_OK;
    QN_TRY(read_by_feature("feature_contri", given, 1, features, n, &b, err));
    costs->contri = qn_new_array(double, map->n_features);
    if (!costs->contri)
        return qn_error_memory(err);
    for (int32_t i = 0; i < map->n_features; i++)
        costs->contri[i] = b.value[map->features[i].column];
    return QN_OK;
}

/* Prices by feature of the map. Entries of both lists are numbered in one list: coupled ones first. */
static qn_status read_prices(qn__costs *costs, const qn_gbdt_params *p, const qn__bin_map *map,
                             const qn_feature *features, int32_t n, qn_error *err) {
    qn_cleanup(by_feature_done) by_feature coupled = {0}, lazy = {0};
    if (!p->cegb_penalty_feature_coupled && !p->cegb_penalty_feature_lazy)
        return QN_OK;
    QN_TRY(read_by_feature("cegb_penalty_feature_coupled", p->cegb_penalty_feature_coupled, 0,
                           features, n, &coupled, err));
    QN_TRY(read_by_feature("cegb_penalty_feature_lazy", p->cegb_penalty_feature_lazy, 0, features,
                           n, &lazy, err));
    costs->n_entries = n;
    costs->coupled = qn_new_array(double, map->n_features);
    costs->lazy = qn_new_array(double, map->n_features);
    costs->cost_of = qn_new_array(int32_t, 2 * (size_t)map->n_features);
    costs->bought = qn_new_array(bool, n);
    costs->lazy_here = qn_new_array(double, n);
    if (!costs->coupled || !costs->lazy || !costs->cost_of || !costs->bought || !costs->lazy_here)
        return qn_error_memory(err);
    for (int32_t i = 0; i < map->n_features; i++) {
        int32_t c = map->features[i].column;
        costs->coupled[i] = p->cegb_tradeoff * coupled.value[c];
        costs->lazy[i] = p->cegb_tradeoff * lazy.value[c];
        costs->cost_of[2 * i] = coupled.entry[c];
        costs->cost_of[2 * i + 1] = lazy.entry[c];
        costs->has_lazy |= costs->lazy[i] > 0;
    }
    return QN_OK;
}

qn_status qn__costs_init(qn__costs *costs, const qn_gbdt_params *p, const qn__bin_map *map,
                         const qn_feature *features, int32_t n_columns, int64_t n_rows,
                         qn_error *err) {
    costs->split = p->cegb_tradeoff * p->cegb_penalty_split;
    QN_TRY(read_contri(costs, p->feature_contri, map, features, n_columns, err));
    QN_TRY(read_prices(costs, p, map, features, n_columns, err));
    costs->any = costs->contri || costs->split > 0 || costs->coupled;
    costs->remembers = costs->coupled != NULL;
    costs->n_words = (n_rows + 63) / 64;
    if (costs->has_lazy) {
        costs->seen = qn_calloc((size_t)costs->n_words * (size_t)costs->n_entries,
                                sizeof *costs->seen);
        if (!costs->seen)
            return qn_error_memory(err);
    }
    return QN_OK;
}

static uint64_t *seen_of(const qn__costs *costs, int32_t entry) {
    return costs->seen + (size_t)entry * (size_t)costs->n_words;
}

void qn__costs_begin(qn__costs *costs, const qn__bin_map *map, const uint32_t *rows, int64_t first,
                     int64_t n) {
    if (!costs->has_lazy)
        return;
    for (int32_t i = 0; i < costs->n_entries; i++)
        costs->lazy_here[i] = -1;
    for (int32_t i = 0; i < map->n_features; i++) {
        int32_t entry = costs->cost_of[2 * i + 1];
        if (costs->lazy[i] <= 0 || costs->lazy_here[entry] >= 0)
            continue;
        const uint64_t *seen = seen_of(costs, entry);
        int64_t n_new = 0;
        for (int64_t k = 0; k < n; k++) {
            int64_t row = rows ? rows[k] : first + k;
            n_new += !(seen[row >> 6] >> (row & 63) & 1);
        }
        costs->lazy_here[entry] = (double)n_new;
    }
}

double qn__costs_once(const qn__costs *costs, int32_t feature) {
    bool due = costs->coupled && costs->coupled[feature] > 0
               && !costs->bought[costs->cost_of[2 * feature]];
    return due ? costs->coupled[feature] : 0;
}

double qn__costs_of_rows(const qn__costs *costs, int32_t feature, int64_t n_rows) {
    double cost = costs->split * (double)n_rows;
    if (costs->has_lazy && costs->lazy[feature] > 0)
        cost += costs->lazy[feature] * costs->lazy_here[costs->cost_of[2 * feature + 1]];
    return cost;
}

void qn__costs_apply(const qn__costs *costs, int64_t n_rows, qn__split *split) {
    int32_t i = split->feature;
    double gain = split->gain * (costs->contri ? costs->contri[i] : 1);
    gain -= qn__costs_of_rows(costs, i, n_rows) + qn__costs_once(costs, i);
    split->gain = gain;
    if (!(gain > 0))
        split->feature = -1;
}

bool qn__costs_take(qn__costs *costs, int32_t feature, const uint32_t *rows, int64_t n) {
    if (!costs->remembers)
        return false;
    if (costs->has_lazy && costs->lazy[feature] > 0) {
        uint64_t *seen = seen_of(costs, costs->cost_of[2 * feature + 1]);
        for (int64_t k = 0; k < n; k++)
            seen[rows[k] >> 6] |= (uint64_t)1 << (rows[k] & 63);
    }
    if (costs->coupled[feature] <= 0 || costs->bought[costs->cost_of[2 * feature]])
        return false;
    costs->bought[costs->cost_of[2 * feature]] = true;
    return true;
}
