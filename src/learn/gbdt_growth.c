/* What the options of growth ask of a tree: which features a node may be split by, and what the
 * values of its children may be.
 *
 * A child of gradient G, hessian H and n rows has the value (LightGBM's rules, in this order)
 *
 *     v = -soft(G) / (H + lambda_l2)                                  Newton's
 *     v = sign(v) min(|v|, max_delta_step)                            when max_delta_step > 0
 *     v = v k / (k + 1) + parent / (k + 1),  k = n / path_smooth      when path_smooth > 0
 *     v = min(max(v, low), high)                                      under monotone constraints
 *
 * and is worth -(2 soft(G) v + (H + lambda_l2) v^2): twice the loss that v saves. The gain of a split
 * is what the children are worth beyond what the leaf is worth with the value it has. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "base/text.h"
#include "learn/gbdt_int.h"

enum { GROUPS_MAX = 64 };

/* ---- constraints from the configuration ------------------------------------------------------ */

void qn__growth_done(qn__growth *growth) {
    qn_freep(&growth->monotone);
    qn_freep(&growth->groups);
    qn_freep(&growth->forced);
    qn__costs_done(&growth->costs);
}

qn_status qn__growth_unknown(const char *param, const char *name, const qn_feature *features,
                             int32_t n, qn_error *err) {
    qn_cleanup(qn_freep) const char **names = qn_new_array(const char *, n);
    if (!names)
        return qn_error_memory(err);
    size_t n_names = 0;
    for (int32_t i = 0; i < n; i++)
        if (features[i].name)
            names[n_names++] = features[i].name;
    const char *near = qn_text_nearest(name, names, n_names);
    return qn_error_set(err, QN_ERR_CONFIG, "%s: there is no feature '%.80s'%s%.80s%s", param, name,
                        near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* The feature of the map that comes from a column of the matrix; -1: it cannot be split. */
static int32_t feature_of(const qn__bin_map *map, int32_t column) {
    for (int32_t i = 0; i < map->n_features; i++)
        if (map->features[i].column == column)
            return i;
    return -1;
}

static qn_status read_direction(const char *name, const json_t *value, int *ret, qn_error *err) {
    double x = 2;
    if (json_is_number(value))
        x = json_number_value(value);
    else if (json_is_string(value) && !qn_text_to_double(json_string_value(value), &x))
        x = 2;
    QN_FAIL_IF(x != 1 && x != 0 && x != -1, err, QN_ERR_CONFIG,
               "monotone_constraints: '%.80s' must be 1 (increasing), -1 (decreasing) or 0 (free)",
               name);
    *ret = (int)x;
    return QN_OK;
}

static qn_status read_monotone(qn__growth *gr, const qn__bin_map *map, const qn_feature *features,
                               int32_t n_columns, qn_error *err) {
    const json_t *given = gr->params->monotone_constraints;
    if (!given)
        return QN_OK;
    QN_FAIL_IF(!json_is_object(given), err, QN_ERR_CONFIG,
               "monotone_constraints must be a map of columns to 1, -1 or 0");
    gr->monotone = qn_new_array(int8_t, map->n_features + 1);
    if (!gr->monotone)
        return qn_error_memory(err);
    const char *name;
    json_t *value;
    bool any = false;
    json_object_foreach((json_t *)given, name, value) {
        int direction = 0;
        int32_t c = 0;
        QN_TRY(read_direction(name, value, &direction, err));
        while (c < n_columns && (!features[c].name || strcmp(features[c].name, name) != 0))
            c++;
        if (c == n_columns)
            return qn__growth_unknown("monotone_constraints", name, features, n_columns, err);
        QN_FAIL_IF(direction && features[c].kind == QN_FEATURE_CATEGORY, err, QN_ERR_CONFIG,
                   "monotone_constraints: '%.80s' holds categories, which have no order", name);
        int32_t i = feature_of(map, c);
        if (i >= 0)
            gr->monotone[i] = (int8_t)direction;
        any |= direction != 0;
    }
    if (!any)
        qn_freep(&gr->monotone);
    return QN_OK;
}

bool qn__growth_comes_from(const qn_feature *feature, const char *column) {
    size_t n = strlen(column);
    return feature->name && strncmp(feature->name, column, n) == 0
           && (feature->name[n] == '\0' || strchr("=# ", feature->name[n]));
}

static qn_status read_group(const json_t *list, uint64_t bit, uint64_t *of_column,
                            const qn_feature *features, int32_t n_columns, qn_error *err) {
    QN_FAIL_IF(!json_is_array(list), err, QN_ERR_CONFIG,
               "interaction_constraints must be a list of lists of columns");
    size_t k;
    json_t *item;
    json_array_foreach((json_t *)list, k, item) {
        QN_FAIL_IF(!json_is_string(item), err, QN_ERR_CONFIG,
                   "interaction_constraints must be a list of lists of columns");
        bool found = false;
        for (int32_t c = 0; c < n_columns; c++)
            if (qn__growth_comes_from(&features[c], json_string_value(item))) {
                of_column[c] |= bit;
                found = true;
            }
        if (!found)
            return qn__growth_unknown("interaction_constraints", json_string_value(item), features,
                                  n_columns, err);
    }
    return QN_OK;
}

/* The columns that no group names are one more group: they stay usable, among themselves. */
static qn_status read_interactions(qn__growth *gr, const qn__bin_map *map,
                                   const qn_feature *features, int32_t n_columns, qn_error *err) {
    const json_t *given = gr->params->interaction_constraints;
    if (!given)
        return QN_OK;
    QN_FAIL_IF(!json_is_array(given), err, QN_ERR_CONFIG,
               "interaction_constraints must be a list of lists of columns");
    size_t n_groups = json_array_size(given);
    QN_FAIL_IF(n_groups >= GROUPS_MAX, err, QN_ERR_LIMIT,
               "interaction_constraints has %zu groups, at most %d are possible", n_groups,
               GROUPS_MAX - 1);
    if (n_groups == 0)
        return QN_OK;
    qn_cleanup(qn_freep) uint64_t *of_column = qn_new_array(uint64_t, n_columns);
    gr->groups = qn_new_array(uint64_t, map->n_features + 1);
    if (!of_column || !gr->groups)
        return qn_error_memory(err);
    for (size_t g = 0; g < n_groups; g++)
        QN_TRY(read_group(json_array_get(given, g), (uint64_t)1 << g, of_column, features,
                          n_columns, err));
    for (int32_t i = 0; i < map->n_features; i++) {
        uint64_t mask = of_column[map->features[i].column];
        gr->groups[i] = mask ? mask : (uint64_t)1 << n_groups;
    }
    return QN_OK;
}

/* ---- the way of growing ----------------------------------------------------------------------- */

enum { LEVELS = 6, SYMMETRIC_DEPTH_MAX = 16 }; /* XGBoost's and CatBoost's depth; CatBoost's most */

static bool is_one_of(const char *name, const char *const *names) {
    while (*names && strcmp(name, *names) != 0)
        names++;
    return *names != NULL;
}

static qn_status read_policy(qn__growth *gr, qn_error *err) {
    static const char *const depthwise[] = {"depthwise", "Depthwise", NULL};
    static const char *const symmetric[] = {"symmetric", "oblivious", "SymmetricTree", NULL};
    const qn_gbdt_params *p = gr->params;
    gr->by_level = is_one_of(p->grow_policy, depthwise);
    gr->symmetric = is_one_of(p->grow_policy, symmetric);
    gr->max_depth = p->max_depth > 0 ? (int32_t)p->max_depth
                                     : gr->by_level || gr->symmetric ? LEVELS : 0;
    QN_FAIL_IF(gr->symmetric && gr->max_depth > SYMMETRIC_DEPTH_MAX, err, QN_ERR_CONFIG,
               "grow_policy symmetric takes max_depth up to %d, not %d", SYMMETRIC_DEPTH_MAX,
               gr->max_depth);
    QN_FAIL_IF(gr->symmetric && gr->bounds_move, err, QN_ERR_CONFIG,
               "grow_policy symmetric takes monotone_constraints_method basic, not %s",
               p->monotone_constraints_method);
    return QN_OK;
}

qn_status qn__growth_init(qn__growth *gr, const qn_gbdt_params *params, const qn__bin_map *map,
                          const qn_feature *features, int32_t n_columns, int64_t n_rows,
                          qn_error *err) {
    gr->params = params;
    QN_FAIL_IF(params->path_smooth > 0 && params->min_data_in_leaf < 2, err, QN_ERR_CONFIG,
               "path_smooth needs min_data_in_leaf of at least 2, not %lld",
               (long long)params->min_data_in_leaf);
    QN_TRY(read_monotone(gr, map, features, n_columns, err));
    QN_TRY(read_interactions(gr, map, features, n_columns, err));
    QN_TRY(qn__forced_read(gr, map, features, n_columns, err));
    QN_TRY(qn__costs_init(&gr->costs, params, map, features, n_columns, n_rows, err));
    gr->bounds_move = gr->monotone && strcmp(params->monotone_constraints_method, "basic") != 0;
    gr->advanced = gr->monotone && strcmp(params->monotone_constraints_method, "advanced") == 0;
    QN_TRY(read_policy(gr, err));
    if (gr->symmetric)
        QN_TRY(qn__forced_level(gr, map, features, err));
    gr->in_order = !gr->symmetric && (gr->bounds_move || gr->costs.remembers);
    gr->by_node = gr->groups || params->feature_fraction_bynode < 1;
    gr->ruled = gr->monotone || params->extra_trees || params->max_delta_step > 0
                || params->path_smooth > 0;
    return QN_OK;
}

/* ---- features of a node ---------------------------------------------------------------------- */

void qn__growth_features(const qn__growth *gr, const qn__leaf_rule *rule, const bool *of_tree,
                         int32_t n, bool *used) {
    int32_t n_left = 0;
    for (int32_t i = 0; i < n; i++) {
        used[i] = (!of_tree || of_tree[i]) && (!gr->groups || (gr->groups[i] & rule->groups));
        n_left += used[i];
    }
    double fraction = gr->params->feature_fraction_bynode;
    if (fraction >= 1)
        return;
    /* Selection sampling (Knuth 3.4.2 S). The numbers depend on the way from the root to the node
     * only, not on when it is searched. */
    int32_t want = (int32_t)ceil(fraction * n_left);
    uint64_t seed = rule->key ^ 0x6e6f646500000000u;
    for (int32_t i = 0; i < n; i++) {
        if (!used[i])
            continue;
        used[i] = qn_rng_hash_uniform(seed, (uint64_t)i) * (double)n_left-- < (double)want;
        want -= used[i];
    }
}

/* ---- values ---------------------------------------------------------------------------------- */

static double soft(double g, double l1) {
    double a = fabs(g) - l1;
    return a > 0 ? copysign(a, g) : 0;
}

static double limited(double v, double low, double high) {
    v = v > low ? v : low;
    return v < high ? v : high;
}

double qn__rule_value(const qn__leaf_rule *rule, qn__limits limits, double g, double h, double l2,
                      double n_rows) {
    const qn_gbdt_params *p = rule->growth->params;
    double v = h + l2 > 0 ? -soft(g, p->lambda_l1) / (h + l2) : 0;
    if (p->max_delta_step > 0)
        v = limited(v, -p->max_delta_step, p->max_delta_step);
    if (p->path_smooth > 0) {
        double k = n_rows / p->path_smooth;
        v = v * (k / (k + 1)) + rule->value / (k + 1);
    }
    return limited(v, limits.low, limits.high);
}

double qn__rule_worth(const qn__leaf_rule *rule, double g, double h, double l2, double value) {
    return -value * (2 * soft(g, rule->growth->params->lambda_l1) + (h + l2) * value);
}

int qn__growth_order(const qn__growth *gr, const qn__bin_map *map, const qn__split *split) {
    if (!gr->monotone || split->is_category)
        return 0;
    bool missing_only = split->bin == map->features[split->feature].n_values - 1;
    return missing_only ? 0 : gr->monotone[split->feature];
}

/* A split near the root by a constrained feature limits all that follows; the penalty of Auguste,
 * Malory and Smirnov (2020) forbids the first ones and fades with the depth. */
double qn__rule_penalty(const qn__growth *gr, int32_t feature, int32_t depth) {
    double penalty = gr->params->monotone_penalty;
    if (!gr->monotone || !gr->monotone[feature] || penalty <= 0)
        return 1;
    if (penalty >= depth + 1)
        return 1e-15;
    return penalty <= 1 ? 1 - penalty / exp2(depth) + 1e-15
                        : 1 - exp2(penalty - 1 - depth) + 1e-15;
}

qn__leaf_rule qn__rule_root(const qn__growth *gr, double g, double h) {
    qn__leaf_rule rule = {.growth = gr, .low = -INFINITY, .high = INFINITY, .key = gr->key,
                          .groups = UINT64_MAX};
    const qn_gbdt_params *p = gr->params;
    double v = h + p->lambda_l2 > 0 ? -soft(g, p->lambda_l1) / (h + p->lambda_l2) : 0;
    rule.value = p->max_delta_step > 0 ? limited(v, -p->max_delta_step, p->max_delta_step) : v;
    return rule;
}

/* Under "basic" the middle between the children bounds both sides for good; under "intermediate" the
 * sibling's value does, as long as it is a leaf (gbdt_tree.c follows what becomes of it). */
qn__leaf_rule qn__rule_child(const qn__leaf_rule *rule, const qn__bin_map *map,
                             const qn__split *split, bool is_left) {
    const qn__growth *gr = rule->growth;
    qn__leaf_rule child = *rule;
    child.key = qn_rng_hash(rule->key, is_left ? 1 : 2);
    if (gr->groups)
        child.groups &= gr->groups[split->feature];
    if (!gr->ruled)
        return child;
    child.value = is_left ? split->left_value : split->right_value;
    if (gr->advanced)
        return child; /* what binds it is looked up when it is searched */
    int order = qn__growth_order(gr, map, split);
    double other = is_left ? split->right_value : split->left_value;
    double bound = gr->bounds_move ? other : child.value / 2 + other / 2;
    if (order && (order > 0) == is_left)
        child.high = fmin(child.high, bound);
    else if (order)
        child.low = fmax(child.low, bound);
    return child;
}
