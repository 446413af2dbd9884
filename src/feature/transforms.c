/* transforms.c - the list of transforms, and finding them. */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "feature/feature_int.h"
#include "feature/transforms_int.h"

static const qn__transform *const list[] = {
    &qn__transform_number,     &qn__transform_impute,
    &qn__transform_scale,      &qn__transform_log,
    &qn__transform_power,      &qn__transform_quantile,
    &qn__transform_discretise, &qn__transform_category,
    &qn__transform_one_hot,    &qn__transform_ordinal,
    &qn__transform_hash,       &qn__transform_target,
    &qn__transform_frequency,  &qn__transform_cross,
    &qn__transform_date,       &qn__transform_cyclical,
    &qn__transform_text,       &qn__transform_text_stats,
    &qn__transform_zero_missing, &qn__transform_drop,
    NULL,
};

enum { N_TRANSFORMS = sizeof list / sizeof list[0] - 1 };

/* Words that stand for a transform with its main parameter set. */
static const struct {
    const char *word, *name, *value;
} short_forms[] = {{"standard", "scale", "standard"}, {"minmax", "scale", "minmax"},
                   {"robust", "scale", "robust"}};

static bool among(const char *words, const char *word) {
    size_t n = strlen(word);
    for (const char *at = words; at && *at;) {
        size_t len = strcspn(at, " ");
        if (len == n && memcmp(at, word, n) == 0)
            return true;
        at += len + strspn(at + len, " ");
    }
    return false;
}

const qn__transform *qn__transform_find(const char *name, const char **ret_main) {
    *ret_main = NULL;
    for (size_t i = 0; i < sizeof short_forms / sizeof short_forms[0]; i++)
        if (strcmp(name, short_forms[i].word) == 0) {
            *ret_main = short_forms[i].value;
            name = short_forms[i].name;
            break;
        }
    for (int i = 0; i < N_TRANSFORMS; i++)
        if (strcmp(list[i]->name, name) == 0 || among(list[i]->aliases, name))
            return list[i];
    return NULL;
}

qn_status qn__transform_unknown(const char *name, qn_error *err) {
    const char *names[N_TRANSFORMS + 3];
    for (int i = 0; i < N_TRANSFORMS; i++)
        names[i] = list[i]->name;
    for (int i = 0; i < 3; i++)
        names[N_TRANSFORMS + i] = short_forms[i].word;
    const char *nearest = qn_text_nearest(name, names, N_TRANSFORMS + 3);
    if (nearest)
        return qn_error_set(err, QN_ERR_CONFIG,
                            "there is no transform '%.100s'; did you mean '%s'?", name, nearest);
    qn_cleanup(qn_buf_done) qn_buf all = {0};
    qn__transforms_for(~0u, &all);
    return qn_error_set(err, QN_ERR_CONFIG, "there is no transform '%.100s'; there are %s", name,
                        qn_buf_text(&all));
}

const char *qn__kind_name(unsigned kind) {
    switch (kind) {
    case QN__NUMBER: return "a number";
    case QN__CATEGORY: return "a category";
    case QN__TEXT: return "text";
    case QN__TIME: return "a time";
    default: return "a sparse block";
    }
}

void qn__transforms_for(unsigned kind, qn_buf *out) {
    bool first = true;
    for (int i = 0; i < N_TRANSFORMS; i++) {
        if (!(list[i]->accepts & kind))
            continue;
        qn_buf_printf(out, "%s%s", first ? "" : ", ", list[i]->name);
        first = false;
    }
}

unsigned qn__kind_of_type(qn_type type) {
    switch (type) {
    case QN_TYPE_CATEGORY: return QN__CATEGORY;
    case QN_TYPE_TEXT: return QN__TEXT;
    case QN_TYPE_TIME: return QN__TIME;
    default: return QN__NUMBER;
    }
}

unsigned qn__kind_out(const qn__transform *transform, const void *params, unsigned in_kind) {
    if (transform->kind)
        return transform->kind(params, in_kind);
    return transform->gives ? transform->gives : in_kind;
}

static void put_kinds(unsigned kinds, qn_buf *out) {
    static const struct {
        unsigned kind;
        const char *name;
    } names[] = {
        {QN__NUMBER, "number"}, {QN__CATEGORY, "category"}, {QN__TEXT, "text"}, {QN__TIME, "time"}};
    bool first = true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (kinds & names[i].kind) {
            qn_buf_printf(out, "%s%s", first ? "" : ", ", names[i].name);
            first = false;
        }
}

size_t qn_transforms_count(void) {
    return N_TRANSFORMS;
}

qn_transform_info qn_transforms_info(size_t i) {
    return (qn_transform_info){.name = list[i]->name,
                               .help = list[i]->help,
                               .params = list[i]->params,
                               .n_params = list[i]->n_params,
                               .main_param = list[i]->main_param,
                               .list_param = list[i]->list_param,
                               .many = list[i]->many,
                               .takes_number = list[i]->accepts & QN__NUMBER,
                               .takes_category = list[i]->accepts & QN__CATEGORY,
                               .takes_text = list[i]->accepts & QN__TEXT,
                               .takes_time = list[i]->accepts & QN__TIME};
}

void qn_transforms_help(qn_buf *out) {
    for (int i = 0; i < N_TRANSFORMS; i++) {
        const qn__transform *t = list[i];
        qn_buf_printf(out, "%s%s - %s (takes ", i ? "\n" : "", t->name, t->help);
        put_kinds(t->accepts, out);
        qn_buf_put_text(out, ")\n");
        if (t->main_param)
            qn_buf_printf(out, "  {\"%s\": VALUE} sets %s\n", t->name, t->main_param);
        if (t->list_param)
            qn_buf_printf(out, "  %s  a list of texts\n", t->list_param);
        qn_params_help(t->params, t->n_params, out);
    }
}
