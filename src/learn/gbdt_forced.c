/* Forced splits: what every tree begins with (LightGBM's forcedsplits), as a tree of
 *
 *     {feature: age, threshold: 40, left: {...}, right: {...}}
 *
 * read once into splits by bins. A number's threshold becomes the upper bound of its bin; of a category
 * the rows go left. A forced split that would leave too few rows on a side, or gains nothing, is left
 * out with all below it; the leaf is then split as any other. Of symmetric trees levels are forced: what
 * the map has at one depth must be the same. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "learn/gbdt_int.h"

enum { FORCED_MAX = 4096 };

typedef struct reading {
    qn__growth *growth;
    const qn__bin_map *map;
    const qn_feature *features;
    int32_t n_columns, cap;
} reading;

/* By name, or else by index. */
static qn_status find_column(const reading *r, const json_t *value, int32_t *ret, qn_error *err) {
    double at = -1;
    if (json_is_string(value)) {
        const char *name = json_string_value(value);
        for (int32_t c = 0; c < r->n_columns; c++)
            if (r->features[c].name && strcmp(r->features[c].name, name) == 0) {
                *ret = c;
                return QN_OK;
            }
        if (!qn_text_to_double(name, &at))
            return qn__growth_unknown("forced_splits", name, r->features, r->n_columns, err);
    } else if (json_is_number(value)) {
        at = json_number_value(value);
    }
    QN_FAIL_IF(!(at >= 0 && at < r->n_columns && at == floor(at)), err, QN_ERR_CONFIG,
               "forced_splits: a feature must be a name or a number from 0 to %d",
               r->n_columns - 1);
    *ret = (int32_t)at;
    return QN_OK;
}

static qn_status set_number(const qn__bin_feature *f, const json_t *value, qn__split *split,
                            qn_error *err) {
    double x = (double)NAN;
    if (json_is_number(value))
        x = json_number_value(value);
    else if (json_is_string(value) && !qn_text_to_double(json_string_value(value), &x))
        x = (double)NAN;
    QN_FAIL_IF(isnan(x), err, QN_ERR_CONFIG,
               "forced_splits: the threshold of a number must be a number");
    split->bin = qn__bin_of(f, x);
    return QN_OK;
}

static qn_status set_category(const qn__bin_feature *f, const qn_feature *feature,
                              const json_t *value, qn__split *split, qn_error *err) {
    double code = -1;
    const char *text = json_string_value(value);
    if (text && feature->categories)
        code = qn_dict_find(feature->categories, text, strlen(text));
    else if (json_is_number(value))
        code = json_number_value(value);
    else if (text && !qn_text_to_double(text, &code))
        code = -1;
    QN_FAIL_IF(!(code >= 0 && code < f->n_categories && code == floor(code)), err, QN_ERR_CONFIG,
               "forced_splits: '%.80s' has no category '%.80s'", feature->name ? feature->name : "",
               text ? text : "");
    int32_t bin = f->code_bin[(int32_t)code];
    split->is_category = true;
    split->set[bin >> 5] |= 1u << (bin & 31);
    split->missing_left = bin == 0;
    return QN_OK;
}

static qn_status add(reading *r, int32_t *ret_index, qn_error *err) {
    qn__growth *gr = r->growth;
    QN_FAIL_IF(gr->n_forced == FORCED_MAX, err, QN_ERR_LIMIT,
               "forced_splits has more than %d splits", FORCED_MAX);
    if (gr->n_forced == r->cap) {
        int32_t cap = r->cap ? 2 * r->cap : 8;
        qn__forced *more = qn_realloc(gr->forced, (size_t)cap, sizeof *more);
        if (!more)
            return qn_error_memory(err);
        gr->forced = more;
        r->cap = cap;
    }
    *ret_index = gr->n_forced++;
    return QN_OK;
}

/* *ret_index -1 where nothing is forced. The depth is bounded by that of any JSON that is read. */
static qn_status read_split(reading *r, const json_t *node, int32_t *ret_index, qn_error *err) {
    int32_t column = -1, i, left, right;
    *ret_index = -1;
    if (!node || json_is_null(node) || (json_is_object(node) && json_object_size(node) == 0))
        return QN_OK;
    const json_t *name = json_object_get(node, "feature");
    QN_FAIL_IF(!name, err, QN_ERR_CONFIG,
               "forced_splits must be a map of feature, threshold, left and right");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)node, key, value)
        QN_FAIL_IF(strcmp(key, "feature") != 0 && strcmp(key, "threshold") != 0
                       && strcmp(key, "left") != 0 && strcmp(key, "right") != 0,
                   err, QN_ERR_CONFIG,
                   "forced_splits: '%.80s' is none of feature, threshold, left, right", key);
    QN_TRY(find_column(r, name, &column, err));
    qn__split split = {.feature = -1};
    for (int32_t k = 0; k < r->map->n_features; k++)
        if (r->map->features[k].column == column)
            split.feature = k;
    if (split.feature >= 0) { /* else it is constant: no split is possible */
        const qn__bin_feature *f = &r->map->features[split.feature];
        const json_t *threshold = json_object_get(node, "threshold");
        QN_TRY(f->kind == QN_FEATURE_CATEGORY
                   ? set_category(f, &r->features[column], threshold, &split, err)
                   : set_number(f, threshold, &split, err));
    }
    QN_TRY(add(r, &i, err));
    r->growth->forced[i] = (qn__forced){.split = split, .left = -1, .right = -1};
    QN_TRY(read_split(r, json_object_get(node, "left"), &left, err));
    QN_TRY(read_split(r, json_object_get(node, "right"), &right, err));
    r->growth->forced[i].left = left;
    r->growth->forced[i].right = right;
    *ret_index = i;
    return QN_OK;
}

qn_status qn__forced_read(qn__growth *growth, const qn__bin_map *map, const qn_feature *features,
                          int32_t n_columns, qn_error *err) {
    reading r = {.growth = growth, .map = map, .features = features, .n_columns = n_columns};
    const json_t *given = growth->params->forced_splits;
    int32_t root;
    if (!given)
        return QN_OK;
    QN_FAIL_IF(!json_is_object(given), err, QN_ERR_CONFIG,
               "forced_splits must be a map of feature, threshold, left and right");
    return read_split(&r, given, &root, err);
}

/* ---- by level ----------------------------------------------------------------------------------- */

static bool is_same(const qn__split *a, const qn__split *b) {
    return a->feature == b->feature && a->is_category == b->is_category && a->bin == b->bin
           && memcmp(a->set, b->set, sizeof a->set) == 0;
}

static const char *name_of(const qn__bin_map *map, const qn_feature *features, int32_t feature) {
    const char *name = feature < 0 ? "a constant" : features[map->features[feature].column].name;
    return name ? name : "";
}

/* A level at a time: those of the next take the places of its own. One split is enough for a level, as
 * all leaves of a symmetric tree get it. */
qn_status qn__forced_level(qn__growth *growth, const qn__bin_map *map, const qn_feature *features,
                           qn_error *err) {
    int32_t n = growth->n_forced > 0, n_levels = 0;
    if (n == 0)
        return QN_OK;
    qn_cleanup(qn_freep) qn__forced *levels = qn_new_array(qn__forced, growth->n_forced);
    qn_cleanup(qn_freep) int32_t *at = qn_new_array(int32_t, growth->n_forced);
    qn_cleanup(qn_freep) int32_t *next = qn_new_array(int32_t, growth->n_forced);
    if (!levels || !at || !next)
        return qn_error_memory(err);
    while (n > 0) {
        const qn__forced *first = &growth->forced[at[0]];
        int32_t n_next = 0;
        for (int32_t i = 0; i < n; i++) {
            const qn__forced *here = &growth->forced[at[i]];
            QN_FAIL_IF(!is_same(&here->split, &first->split), err, QN_ERR_CONFIG,
                       "forced_splits: grow_policy symmetric splits all leaves of a level alike, "
                       "but level %d has two splits ('%.80s', '%.80s'): state one, or choose "
                       "another grow_policy", n_levels + 1,
                       name_of(map, features, first->split.feature),
                       name_of(map, features, here->split.feature));
            if (here->left >= 0)
                next[n_next++] = here->left;
            if (here->right >= 0)
                next[n_next++] = here->right;
        }
        levels[n_levels++].split = first->split;
        int32_t *done = at;
        at = next;
        next = done;
        n = n_next;
    }
    qn_freep(&growth->forced);
    growth->forced = qn_steal(&levels);
    growth->n_forced = n_levels;
    return QN_OK;
}

/* ---- in a leaf ---------------------------------------------------------------------------------- */

/* Missing values go where the gain is larger. */
bool qn__forced_find(const qn__split_input *in, const qn__growth *growth, int32_t index,
                     const qn__leaf_rule *rule, qn__split *ret_split) {
    qn__split split = growth->forced[index].split;
    ret_split->feature = -1;
    if (split.feature < 0 || (growth->groups && !(growth->groups[split.feature] & rule->groups)))
        return false;
    const qn__bin_feature *f = &in->map->features[split.feature];
    for (int left = 0; left < (split.is_category ? 1 : 2); left++) {
        if (!split.is_category)
            split.missing_left = left;
        split.left = qn__split_left(in, &split);
        if (qn__split_fits(in, &split) && split.gain > in->params->min_gain_to_split
            && split.gain > 1e-15 && (ret_split->feature < 0 || split.gain > ret_split->gain))
            *ret_split = split;
    }
    if (ret_split->feature >= 0 && !split.is_category && !f->has_missing)
        ret_split->missing_left = 2 * ret_split->left.n >= in->total.n;
    return ret_split->feature >= 0;
}
