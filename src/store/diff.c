/* What differs between two versions of a model, from what was kept about them. */
#include <string.h>

#include "base/limits.h"
#include "store/store_int.h"

static qn_status compare(const char *path, const json_t *a, const json_t *b, int depth,
                         json_t *list, qn_error *err);

static json_t *or_null(const json_t *json) {
    return json ? json_incref((json_t *)json) : json_null();
}

static qn_status add(const char *path, const json_t *a, const json_t *b, json_t *list,
                     qn_error *err) {
    json_t *entry = json_object();
    if (!entry || json_array_append_new(list, entry) != 0)
        return qn_error_memory(err);
    QN_TRY(qn__json_put(entry, "key", json_string(path), err));
    QN_TRY(qn__json_put(entry, "from", or_null(a), err));
    QN_TRY(qn__json_put(entry, "to", or_null(b), err));
    if (json_is_number(a) && json_is_number(b))
        QN_TRY(qn__json_put(entry, "change",
                            qn_json_number(json_number_value(b) - json_number_value(a)), err));
    return QN_OK;
}

static qn_status compare_member(const char *path, const char *key, const json_t *a, const json_t *b,
                                int depth, json_t *list, qn_error *err) {
    qn_cleanup(qn_freep) char *inner = qn_format("%s%s%s", path, path[0] ? "." : "", key);
    if (!inner)
        return qn_error_memory(err);
    return compare(inner, a, b, depth, list, err);
}

static qn_status compare_objects(const char *path, const json_t *a, const json_t *b, int depth,
                                 json_t *list, qn_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)a, key, value)
        QN_TRY(compare_member(path, key, value, json_object_get(b, key), depth, list, err));
    json_object_foreach((json_t *)b, key, value)
        if (!json_object_get(a, key))
            QN_TRY(compare_member(path, key, NULL, value, depth, list, err));
    return QN_OK;
}

/* Objects are compared member by member, to the depth that our JSON reader allows; lists as a
 * whole. */
static qn_status compare(const char *path, const json_t *a, const json_t *b, int depth,
                         json_t *list, qn_error *err) {
    if (a && b && json_equal(a, b))
        return QN_OK;
    if (json_is_object(a) && json_is_object(b) && depth < QN_LIMIT_JSON_DEPTH)
        return compare_objects(path, a, b, depth + 1, list, err);
    return add(path, a, b, list, err);
}

static json_t *name_of(const json_t *model) {
    return json_sprintf("%s:%lld", json_string_value(json_object_get(model, "name")),
                        (long long)json_integer_value(json_object_get(model, "version")));
}

qn_status qn_registry_diff(qn_workspace *workspace, const char *from, const char *to,
                           json_t **ret_diff, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *a = NULL, *b = NULL;
    QN_TRY(qn_registry_get(workspace, from, &a, err));
    QN_TRY(qn_registry_get(workspace, to, &b, err));
    qn_cleanup(qn_json_free) json_t *diff = json_object();
    QN_TRY(qn__json_put(diff, "from", name_of(a), err));
    QN_TRY(qn__json_put(diff, "to", name_of(b), err));
    QN_TRY(qn__json_put(
        diff, "same_file",
        json_boolean(json_equal(json_object_get(a, "hash"), json_object_get(b, "hash"))), err));
    json_t *list = json_array();
    QN_TRY(qn__json_put(diff, "differences", list, err));
    QN_TRY(compare("", json_object_get(a, "about"), json_object_get(b, "about"), 0, list, err));
    *ret_diff = qn_steal(&diff);
    return QN_OK;
}
