/* spec.c - lists of steps: from JSON, checked against the frame, and back to JSON. */
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "feature/feature_int.h"
#include "feature/transforms_int.h"

void qn__item_done(qn__item *item) {
    if (!item)
        return;
    qn_freep(&item->params);
    qn_json_free(&item->list);
    *item = (qn__item){0};
}

static void step_done(qn__step *step) {
    for (int32_t i = 0; step->columns && i < step->n_columns; i++)
        qn_freep(&step->columns[i]);
    qn_freep(&step->columns);
    for (int32_t i = 0; i < step->n_items; i++)
        qn__item_done(&step->items[i]);
    qn_freep(&step->items);
    qn_freep(&step->note);
    *step = (qn__step){0};
}

void qn_pipeline_spec_free(qn_pipeline_spec **spec) {
    if (!spec || !*spec)
        return;
    for (int32_t i = 0; i < (*spec)->n_steps; i++)
        step_done(&(*spec)->steps[i]);
    qn_freep(&(*spec)->steps);
    qn_freep(spec);
}

qn_status qn__spec_add_step(qn_pipeline_spec *spec, const char *column, qn__step **ret_step,
                            qn_error *err) {
    qn__step *steps = qn_realloc(spec->steps, (size_t)spec->n_steps + 1, sizeof *steps);
    if (!steps)
        return qn_error_memory(err);
    spec->steps = steps;
    qn__step *step = &steps[spec->n_steps++];
    *step = (qn__step){0};
    *ret_step = step;
    if (!column)
        return QN_OK;
    step->columns = qn_new_array(char *, 1);
    if (!step->columns)
        return qn_error_memory(err);
    step->n_columns = 1;
    step->columns[0] = qn_strdup(column);
    return step->columns[0] ? QN_OK : qn_error_memory(err);
}

/* --- one transform --- */

/* Which member of the object names the transform. */
static const char *transform_key(const json_t *json, const qn__transform **ret,
                                 const char **ret_main) {
    const char *key, *first = NULL;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json, key, value) {
        *ret = qn__transform_find(key, ret_main);
        if (*ret)
            return key;
        first = first ? first : key;
    }
    return first;
}

static bool is_param(const qn__transform *t, const char *name) {
    for (size_t i = 0; i < t->n_params; i++)
        if (strcmp(t->params[i].name, name) == 0)
            return true;
    return false;
}

static qn_status set_list(qn__item *item, json_t *list, qn_error *err) {
    const qn__transform *t = item->transform;
    QN_FAIL_IF(!json_is_array(list), err, QN_ERR_CONFIG, "%s: '%s' must be a list of texts",
               t->name, t->list_param);
    for (size_t i = 0; i < json_array_size(list); i++)
        QN_FAIL_IF(!json_is_string(json_array_get(list, i)), err, QN_ERR_CONFIG,
                   "%s: '%s' must be a list of texts, but item %zu is none", t->name, t->list_param,
                   i + 1);
    qn_json_free(&item->list);
    item->list = json_deep_copy(list);
    if (!item->list)
        return qn_error_memory(err);
    if (is_param(t, "by")) /* a given order says how to order */
        return qn_params_set(t->params, t->n_params, "by", "given", item->params, err);
    return QN_OK;
}

static qn_status set_main(qn__item *item, const json_t *value, qn_error *err) {
    const qn__transform *t = item->transform;
    char number[QN_DOUBLE_TEXT];
    if (json_is_null(value) || json_is_true(value))
        return QN_OK;
    const char *text = json_string_value(value);
    if (json_is_number(value)) {
        qn_double_to_text(json_number_value(value), number);
        text = number;
    }
    if (json_is_false(value))
        text = "false";
    QN_FAIL_IF(!t->main_param || !text, err, QN_ERR_CONFIG, "'%s' takes {parameter: value}",
               t->name);
    return qn_params_set(t->params, t->n_params, t->main_param, text, item->params, err);
}

/* One member beside, or inside, the transform's own. */
static qn_status set_member(qn__item *item, const char *key, json_t *value, qn_error *err) {
    const qn__transform *t = item->transform;
    if (t->list_param && strcmp(key, t->list_param) == 0)
        return json_is_null(value) ? QN_OK : set_list(item, value, err);
    QN_FAIL_IF(t->n_params == 0, err, QN_ERR_CONFIG, "'%s' has no parameter '%.100s'", t->name,
               key);
    qn_cleanup(qn_json_free) json_t *one = json_pack("{sO}", key, value);
    if (!one)
        return qn_error_memory(err);
    qn_status status = qn_params_from_json(t->params, t->n_params, one, item->params, err);
    if (status != QN_OK)
        qn_error_prefix(err, "%s", t->name);
    return status;
}

static qn_status set_members(qn__item *item, json_t *object, const char *except, qn_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        if (!except || strcmp(key, except) != 0)
            QN_TRY(set_member(item, key, value, err));
    }
    return QN_OK;
}

static qn_status item_init(qn__item *item, const qn__transform *t, const char *main_value,
                           qn_error *err) {
    item->transform = t;
    item->params = qn_calloc(1, t->params_bytes ? t->params_bytes : 1);
    if (!item->params)
        return qn_error_memory(err);
    qn_params_default(t->params, t->n_params, item->params);
    if (!main_value)
        return QN_OK;
    return qn_params_set(t->params, t->n_params, t->main_param, main_value, item->params, err);
}

static qn_status item_from_object(const json_t *json, qn__item *item, qn_error *err) {
    const qn__transform *t = NULL;
    const char *main_value = NULL;
    const char *name = transform_key(json, &t, &main_value);
    QN_FAIL_IF(!name, err, QN_ERR_CONFIG, "a transform is a name or {name: parameters}, not {}");
    if (!t)
        return qn__transform_unknown(name, err);
    QN_TRY(item_init(item, t, main_value, err));
    json_t *value = json_object_get(json, name);
    if (json_is_object(value))
        QN_TRY(set_members(item, value, NULL, err));
    else if (json_is_array(value) && t->list_param)
        QN_TRY(set_list(item, value, err));
    else
        QN_TRY(set_main(item, value, err));
    return set_members(item, (json_t *)(uintptr_t)json, name, err);
}

qn_status qn__item_from_json(const json_t *json, qn__item *ret_item, qn_error *err) {
    qn_cleanup(qn__item_done) qn__item item = {0};
    if (json_is_string(json)) {
        const char *main_value;
        const qn__transform *t = qn__transform_find(json_string_value(json), &main_value);
        if (!t)
            return qn__transform_unknown(json_string_value(json), err);
        QN_TRY(item_init(&item, t, main_value, err));
    } else {
        QN_FAIL_IF(!json_is_object(json), err, QN_ERR_CONFIG,
                   "a transform is a name or {name: parameters}");
        QN_TRY(item_from_object(json, &item, err));
    }
    if (item.transform->check)
        QN_TRY(item.transform->check(item.params, item.list, err));
    *ret_item = item;
    item = (qn__item){0};
    return QN_OK;
}

json_t *qn__item_to_json(const qn__item *item) {
    const qn__transform *t = item->transform;
    json_t *params = t->n_params ? qn_params_to_json(t->params, t->n_params, item->params)
                                 : json_object();
    if (params && item->list && json_object_set(params, t->list_param, item->list) != 0)
        qn_json_free(&params);
    return params ? json_pack("{so}", t->name, params) : NULL;
}

qn_status qn__step_add(qn__step *step, const char *json_text, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *json = json_loads(json_text, JSON_DECODE_ANY, NULL);
    if (!json)
        return qn_error_memory(err);
    qn__item *items = qn_realloc(step->items, (size_t)step->n_items + 1, sizeof *items);
    if (!items)
        return qn_error_memory(err);
    step->items = items;
    QN_TRY(qn__item_from_json(json, &items[step->n_items], err));
    step->n_items++;
    return QN_OK;
}

/* --- steps --- */

/* The kind that leaves the chain of `step` when `kind` enters, or an error that says what would
 * fit. */
static qn_status check_chain(const qn__step *step, const char *column, unsigned kind,
                             unsigned *ret_kind, bool *ret_filled, qn_error *err) {
    bool filled = false;
    const char *after = NULL;
    for (int32_t i = 0; i < step->n_items; i++) {
        const qn__transform *t = step->items[i].transform;
        QN_FAIL_IF(t->many && i > 0, err, QN_ERR_CONFIG,
                   "'%s' must be the first transform of its step", t->name);
        QN_FAIL_IF(t == &qn__transform_drop && step->n_items > 1, err, QN_ERR_CONFIG,
                   "column '%.100s': 'drop' stands alone", column);
        if (!(t->accepts & kind)) {
            qn_cleanup(qn_buf_done) qn_buf fits = {0};
            qn__transforms_for(kind, &fits);
            return qn_error_set_at(err, QN_ERR_CONFIG, NULL, 0, column,
                                   "'%s' does not take %s%s%s; %s%s", t->name, qn__kind_name(kind),
                                   after ? ", which is what it is after " : "", after ? after : "",
                                   fits.len ? "these do: " : "no transform can follow",
                                   qn_buf_text(&fits));
        }
        filled = t->fills || (filled && t->keeps);
        kind = qn__kind_out(t, step->items[i].params, kind);
        after = t->name;
    }
    *ret_kind = kind;
    *ret_filled = filled;
    return QN_OK;
}

typedef struct parsing {
    qn_pipeline_spec *spec;
    const qn_frame *frame;
    const char *const *inputs;
    size_t n_inputs;
    uint8_t *named; /* per input: some step names it */
} parsing;

static qn_status find_column(parsing *p, const char *name, const qn_column **ret, qn_error *err) {
    for (size_t i = 0; i < p->n_inputs; i++)
        if (strcmp(p->inputs[i], name) == 0) {
            p->named[i] = 1;
            return qn_frame_get(p->frame, name, ret, err);
        }
    const char *nearest = qn_text_nearest(name, p->inputs, p->n_inputs);
    return qn_error_set(err, QN_ERR_CONFIG, "features: there is no input column '%.100s'%s%.100s%s",
                        name, nearest ? "; did you mean '" : "", nearest ? nearest : "",
                        nearest ? "'?" : "");
}

static qn_status add_items(qn__step *step, const json_t *transforms, qn_error *err) {
    bool list = json_is_array(transforms);
    size_t n = list ? json_array_size(transforms) : transforms && !json_is_null(transforms);
    QN_FAIL_IF(n > 64, err, QN_ERR_CONFIG,
               "features: a chain of %zu transforms is too long (at most 64)", n);
    step->items = qn_new_array(qn__item, n);
    if (!step->items)
        return qn_error_memory(err);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = list ? json_array_get(transforms, i) : transforms;
        QN_TRY(qn__item_from_json(item, &step->items[step->n_items], err));
        step->n_items++;
    }
    return QN_OK;
}

static bool means_auto(const json_t *transforms) {
    const json_t *only = json_array_size(transforms) == 1 ? json_array_get(transforms, 0)
                                                          : transforms;
    return !transforms || json_is_null(transforms) ||
           (json_is_array(transforms) && json_array_size(transforms) == 0) ||
           (json_is_string(only) && strcmp(json_string_value(only), "auto") == 0);
}

static qn_status adapt_last(parsing *p, unsigned kind, bool filled, qn_error *err) {
    qn__step *step = &p->spec->steps[p->spec->n_steps - 1];
    if (step->n_items > 0 && step->items[0].transform == &qn__transform_drop)
        return QN_OK;
    return qn__auto_adapt(step, kind, filled, p->spec->takes, err);
}

static qn_status parse_single(parsing *p, const char *name, const json_t *transforms,
                              bool automatic, const char *note, qn_error *err) {
    const qn_column *column;
    QN_TRY(find_column(p, name, &column, err));
    if (means_auto(transforms))
        return qn__auto_column(p->spec, column, err);
    qn__step *step;
    QN_TRY(qn__spec_add_step(p->spec, name, &step, err));
    QN_TRY(add_items(step, transforms, err));
    step->automatic = automatic;
    if (note && !(step->note = qn_strdup(note)))
        return qn_error_memory(err);
    unsigned kind;
    bool filled;
    QN_TRY(check_chain(step, name, qn__kind_of_type(column->type), &kind, &filled, err));
    return adapt_last(p, kind, filled, err);
}

/* A step whose first transform takes all its columns together. */
static qn_status parse_many(parsing *p, const json_t *columns, const json_t *transforms,
                            bool short_form, qn_error *err) {
    size_t n = json_array_size(columns);
    QN_FAIL_IF(n < 2 || n > 8, err, QN_ERR_CONFIG,
               "features: a cross takes 2 to 8 columns, not %zu", n);
    qn__step *step;
    QN_TRY(qn__spec_add_step(p->spec, NULL, &step, err));
    step->columns = qn_new_array(char *, n);
    if (!step->columns)
        return qn_error_memory(err);
    step->n_columns = (int32_t)n;
    if (short_form)
        QN_TRY(qn__step_add(step, "\"cross\"", err));
    qn__item *crossed = step->items;
    int32_t n_crossed = step->n_items;
    step->items = NULL;
    step->n_items = 0;
    qn_status status = add_items(step, transforms, err);
    if (status == QN_OK && n_crossed) { /* the short form's cross goes first */
        qn__item *items = qn_new_array(qn__item, step->n_items + 1);
        if (items) {
            memcpy(items + 1, step->items, (size_t)step->n_items * sizeof *items);
            items[0] = crossed[0];
            n_crossed = 0;
            qn_freep(&step->items);
            step->items = items;
            step->n_items++;
        } else {
            status = qn_error_memory(err);
        }
    }
    for (int32_t i = 0; i < n_crossed; i++)
        qn__item_done(&crossed[i]);
    qn_freep(&crossed);
    QN_TRY(status);
    unsigned kind = QN__CATEGORY;
    bool filled = false;
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(columns, i));
        const qn_column *column;
        QN_FAIL_IF(!name, err, QN_ERR_CONFIG, "features: a column must be given by its name");
        QN_TRY(find_column(p, name, &column, err));
        if (!(step->columns[i] = qn_strdup(name)))
            return qn_error_memory(err);
        QN_TRY(check_chain(step, name, qn__kind_of_type(column->type), &kind, &filled, err));
    }
    return adapt_last(p, kind, filled, err);
}

static qn_status check_keys(const json_t *step, qn_error *err) {
    static const char *const keys[] = {"columns", "column", "transforms", "transform",
                                       "cross",   "auto",   "note"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)step, key, value) {
        bool known = false;
        for (size_t k = 0; k < 7; k++)
            known = known || strcmp(key, keys[k]) == 0;
        if (known)
            continue;
        const char *nearest = qn_text_nearest(key, keys, 7);
        return qn_error_set(err, QN_ERR_CONFIG, "features: a step has no '%.100s'%s%s%s", key,
                            nearest ? "; did you mean '" : " (it has columns and transforms)",
                            nearest ? nearest : "", nearest ? "'?" : "");
    }
    return QN_OK;
}

/* Is the first transform one that takes all columns together? */
static bool begins_with_many(const json_t *transforms) {
    const json_t *first = json_is_array(transforms) ? json_array_get(transforms, 0) : transforms;
    const qn__transform *t = NULL;
    const char *main_value;
    if (json_is_string(first))
        t = qn__transform_find(json_string_value(first), &main_value);
    else if (json_is_object(first))
        transform_key(first, &t, &main_value);
    return t && t->many;
}

static qn_status parse_step(parsing *p, const json_t *json, qn_error *err) {
    QN_FAIL_IF(!json_is_object(json), err, QN_ERR_CONFIG,
               "features: a step is {columns: [...], transforms: [...]}");
    QN_TRY(check_keys(json, err));
    const json_t *columns = json_object_get(json, "columns"),
                 *cross = json_object_get(json, "cross");
    const json_t *transforms = json_object_get(json, "transforms");
    columns = columns ? columns : json_object_get(json, "column");
    transforms = transforms ? transforms : json_object_get(json, "transform");
    if (cross) {
        QN_FAIL_IF(columns || !json_is_array(cross), err, QN_ERR_CONFIG,
                   "features: a cross is {cross: [column, column], transforms: [...]}");
        return parse_many(p, cross, transforms, true, err);
    }
    if (begins_with_many(transforms))
        return parse_many(p, columns, transforms, false, err);
    bool automatic = json_is_true(json_object_get(json, "auto"));
    const char *note = json_string_value(json_object_get(json, "note"));
    if (json_is_string(columns))
        return parse_single(p, json_string_value(columns), transforms, automatic, note, err);
    QN_FAIL_IF(!json_is_array(columns) || json_array_size(columns) == 0, err, QN_ERR_CONFIG,
               "features: a step needs `columns`, a list of column names");
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const char *name = json_string_value(json_array_get(columns, i));
        QN_FAIL_IF(!name, err, QN_ERR_CONFIG, "features: a column must be given by its name");
        QN_TRY(parse_single(p, name, transforms, automatic, note, err));
    }
    return QN_OK;
}

static qn_status parse_all(parsing *p, const json_t *steps, qn_error *err) {
    if (json_is_object(steps)) { /* {column: transforms, ...} */
        const char *name;
        json_t *transforms;
        json_object_foreach((json_t *)(uintptr_t)steps, name, transforms) {
            QN_TRY(parse_single(p, name, transforms, false, NULL, err));
        }
        return QN_OK;
    }
    if (!json_is_array(steps) && means_auto(steps))
        return QN_OK;
    QN_FAIL_IF(!json_is_array(steps), err, QN_ERR_CONFIG,
               "features must be 'auto' or a list of steps");
    for (size_t i = 0; i < json_array_size(steps); i++)
        QN_TRY(parse_step(p, json_array_get(steps, i), err));
    return QN_OK;
}

qn_status qn_pipeline_spec_parse(const json_t *steps, const qn_frame *frame,
                                 const char *const *inputs, size_t n_inputs, unsigned takes,
                                 qn_pipeline_spec **ret_spec, qn_error *err) {
    qn_cleanup(qn_pipeline_spec_free) qn_pipeline_spec *spec = qn_new(qn_pipeline_spec);
    qn_cleanup(qn_freep) uint8_t *named = qn_new_array(uint8_t, n_inputs);
    if (!spec || !named)
        return qn_error_memory(err);
    spec->takes = takes;
    parsing p = {
        .spec = spec, .frame = frame, .inputs = inputs, .n_inputs = n_inputs, .named = named};
    QN_TRY(parse_all(&p, steps, err));
    for (size_t i = 0; i < n_inputs; i++) {
        const qn_column *column;
        if (named[i])
            continue;
        QN_TRY(qn_frame_get(frame, inputs[i], &column, err));
        QN_TRY(qn__auto_column(spec, column, err));
    }
    *ret_spec = qn_steal(&spec);
    return QN_OK;
}

qn_status qn_pipeline_spec_auto(const qn_frame *frame, const char *const *inputs, size_t n_inputs,
                                unsigned takes, qn_pipeline_spec **ret_spec, qn_error *err) {
    return qn_pipeline_spec_parse(NULL, frame, inputs, n_inputs, takes, ret_spec, err);
}

static json_t *step_to_json(const qn__step *step) {
    qn_cleanup(qn_json_free) json_t *columns = json_array();
    qn_cleanup(qn_json_free) json_t *items = json_array();
    if (!columns || !items)
        return NULL;
    for (int32_t i = 0; i < step->n_columns; i++)
        if (json_array_append_new(columns, json_string(step->columns[i])) != 0)
            return NULL;
    for (int32_t i = 0; i < step->n_items; i++)
        if (json_array_append_new(items, qn__item_to_json(&step->items[i])) != 0)
            return NULL;
    json_t *json = json_pack("{sOsO}", "columns", columns, "transforms", items);
    if (json && step->automatic)
        json_object_set_new(json, "auto", json_true());
    if (json && step->note)
        json_object_set_new(json, "note", json_string(step->note));
    return json;
}

json_t *qn_pipeline_spec_to_json(const qn_pipeline_spec *spec) {
    json_t *steps = json_array();
    for (int32_t i = 0; steps && i < spec->n_steps; i++)
        if (json_array_append_new(steps, step_to_json(&spec->steps[i])) != 0)
            qn_json_free(&steps);
    return steps;
}
