/* transform_category.c - categories as codes, as 0/1 columns, as ordered numbers, as hashed
 * columns; and categories crossed.
 *
 * In all of them a category not seen in training, or too rare there, is "rare". */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "feature/transforms_int.h"

enum { ANY_CATEGORY = QN__NUMBER | QN__CATEGORY | QN__TEXT };

typedef struct dict_state {
    qn__state base;
    qn_dict *dict;     /* owned; kept categories by falling count (ordinal: in their order) */
    bool has_rare;     /* one_hot: a column for the rare and unseen */
    bool has_missing;  /* one_hot: a column for missing */
} dict_state;

/* Counts, cut by min_count and max_categories (0: no bound). */
static qn_status keep_frequent(const qn__values *in, int64_t min_count, int64_t max_categories,
                               dict_state *s, qn_error *err) {
    qn_cleanup(qn__values_done) qn__values categories = {0};
    qn_cleanup(qn_freep) qn__count *counts = NULL;
    int32_t n, kept = 0;
    QN_TRY(qn__as_category(in, &categories, err));
    QN_TRY(qn__count_categories(&categories, &counts, &n, err));
    while (kept < n && counts[kept].n >= min_count &&
           (max_categories == 0 || kept < max_categories))
        kept++;
    s->dict = qn__counts_dict(counts, kept);
    s->has_rare = kept < n;
    for (int64_t i = 0; i < categories.n_rows && !s->has_missing; i++)
        s->has_missing = categories.code[i] < 0;
    return s->dict ? QN_OK : qn_error_memory(err);
}

/* Codes of `in` in the state's dictionary: -1 rare or unseen, -2 missing. */
static qn_status codes_of(const dict_state *s, const qn__values *in, int32_t *codes,
                          qn_error *err) {
    qn_cleanup(qn__values_done) qn__values categories = {0};
    QN_TRY(qn__as_category(in, &categories, err));
    return qn__map_codes(&categories, s->dict, codes, err);
}

static void dict_save(const qn__state *state, qn_buf *out) {
    const dict_state *s = (const dict_state *)state;
    qn_buf_put_u32(out, (uint32_t)s->has_rare | (uint32_t)s->has_missing << 1);
    qn__put_dict(out, s->dict);
}

static qn_status dict_load(qn__state *state, qn_reader *reader, qn_error *err) {
    dict_state *s = (dict_state *)state;
    uint32_t flags = qn_reader_u32(reader);
    if (flags > 3)
        return qn__damaged(err);
    s->has_rare = flags & 1;
    s->has_missing = flags >> 1;
    state->n_out = 1;
    return qn__read_dict(reader, &s->dict, err);
}

static const qn_dict *dict_of(const qn__state *state) {
    return ((const dict_state *)state)->dict;
}

static void dict_done(qn__state *state) {
    qn_dict_free(&((dict_state *)state)->dict);
}

/* --- category: native codes --- */

typedef struct category_params {
    int64_t min_count, max_categories;
} category_params;

static const qn_param category_table[] = {
    {.name = "min_count",
     .kind = QN_PARAM_INT,
     .offset = offsetof(category_params, min_count),
     .low = 1,
     .high = 1e15,
     .preset = 1,
     .help = "categories in fewer training rows count as unseen"},
    {.name = "max_categories",
     .kind = QN_PARAM_INT,
     .offset = offsetof(category_params, max_categories),
     .low = 0,
     .high = 1e9,
     .preset = 0,
     .help = "keep only so many, the most frequent; 0: all"},
};

static qn_status category_fit(qn__state *state, const qn__values *in, int32_t n_in,
                              const qn__fit *fit, qn_error *err) {
    const category_params *p = state->params;
    state->n_out = 1;
    return keep_frequent(in, p->min_count, p->max_categories, (dict_state *)state, err);
}

static qn_status category_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                                qn__values *out, qn_error *err) {
    int32_t *code = qn__out_codes(out);
    if (!code)
        return qn_error_memory(err);
    QN_TRY(codes_of((const dict_state *)state, in, code, err));
    for (int64_t i = 0; i < in->n_rows; i++)
        if (code[i] < 0)
            code[i] = -1;
    return QN_OK;
}

const qn__transform qn__transform_category = {
    .name = "category",
    .aliases = "native",
    .help = "category codes, for families that take them",
    .accepts = ANY_CATEGORY,
    .gives = QN__CATEGORY,
    .params = category_table,
    .n_params = sizeof category_table / sizeof category_table[0],
    .params_bytes = sizeof(category_params),
    .main_param = "min_count",
    .state_bytes = sizeof(dict_state),
    .fit = category_fit,
    .apply = category_apply,
    .save = dict_save,
    .load = dict_load,
    .name_out = qn__name_same,
    .dict = dict_of,
    .done = dict_done,
};

/* --- one_hot: a 0/1 column per category --- */

typedef struct one_hot_params {
    int64_t min_count, max_categories;
} one_hot_params;

static const qn_param one_hot_table[] = {
    {.name = "min_count",
     .aliases = "min_frequency",
     .kind = QN_PARAM_INT,
     .offset = offsetof(one_hot_params, min_count),
     .low = 1,
     .high = 1e15,
     .preset = 1,
     .help = "categories in fewer training rows share the column (rare)"},
    {.name = "max_categories",
     .kind = QN_PARAM_INT,
     .offset = offsetof(one_hot_params, max_categories),
     .low = 0,
     .high = 1e6,
     .preset = 0,
     .help = "columns for so many categories at most, the most frequent; 0: all"},
};

static void one_hot_size(dict_state *s) {
    s->base.n_out = 1;
    s->base.n_sparse = qn_dict_size(s->dict) + s->has_rare + s->has_missing;
}

static qn_status one_hot_fit(qn__state *state, const qn__values *in, int32_t n_in,
                             const qn__fit *fit, qn_error *err) {
    const one_hot_params *p = state->params;
    dict_state *s = (dict_state *)state;
    QN_TRY(keep_frequent(in, p->min_count, p->max_categories, s, err));
    one_hot_size(s);
    return QN_OK;
}

static qn_status sparse_new(qn__values *out, int64_t n_items, qn_error *err) {
    out->start = qn_new_array(int64_t, out->n_rows + 1);
    out->feature = qn_new_array(int32_t, n_items);
    out->weight = qn_new_array(double, n_items);
    return out->start && out->feature && out->weight ? QN_OK : qn_error_memory(err);
}

static qn_status one_hot_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                               qn__values *out, qn_error *err) {
    const dict_state *s = (const dict_state *)state;
    int32_t size = qn_dict_size(s->dict);
    qn_cleanup(qn_freep) int32_t *code = qn_new_array(int32_t, in->n_rows);
    if (!code)
        return qn_error_memory(err);
    QN_TRY(codes_of(s, in, code, err));
    QN_TRY(sparse_new(out, in->n_rows, err));
    int64_t n = 0;
    for (int64_t i = 0; i < in->n_rows; i++) {
        int32_t feature = code[i] >= 0                      ? code[i]
                          : code[i] == -1 && s->has_rare    ? size
                          : code[i] == -2 && s->has_missing ? size + s->has_rare
                                                            : -1;
        if (feature >= 0) {
            out->feature[n] = feature;
            out->weight[n++] = 1;
        }
        out->start[i + 1] = n;
    }
    return QN_OK;
}

static qn_status one_hot_load(qn__state *state, qn_reader *reader, qn_error *err) {
    QN_TRY(dict_load(state, reader, err));
    one_hot_size((dict_state *)state);
    return QN_OK;
}

static void one_hot_name(const qn__state *state, const char *in, int32_t i, qn_buf *out) {
    const dict_state *s = (const dict_state *)state;
    int32_t size = qn_dict_size(s->dict);
    size_t n = 0;
    const char *text = i < size ? qn_dict_text(s->dict, i, &n)
                                : i == size && s->has_rare ? "(rare)" : "(missing)";
    qn_buf_printf(out, "%s=", in);
    qn_buf_put(out, text, i < size ? n : strlen(text));
}

const qn__transform qn__transform_one_hot = {
    .name = "one_hot",
    .aliases = "onehot one-hot dummies",
    .help = "a 0/1 column per category",
    .accepts = ANY_CATEGORY,
    .gives = QN__SPARSE,
    .fills = true,
    .params = one_hot_table,
    .n_params = sizeof one_hot_table / sizeof one_hot_table[0],
    .params_bytes = sizeof(one_hot_params),
    .main_param = "min_count",
    .state_bytes = sizeof(dict_state),
    .fit = one_hot_fit,
    .apply = one_hot_apply,
    .save = dict_save,
    .load = one_hot_load,
    .name_out = one_hot_name,
    .done = dict_done,
};

/* --- ordinal: a number per category --- */

typedef struct ordinal_params {
    const char *by;
} ordinal_params;

static const char *const orders[] = {"frequency", "alphabetical", "given", NULL};
static const qn_param ordinal_table[] = {
    {.name = "by",
     .kind = QN_PARAM_CHOICE,
     .offset = offsetof(ordinal_params, by),
     .choices = orders,
     .preset = 0,
     .help =
         "frequency: 0 is the most frequent; alphabetical: by bytes; given: as listed in `order`"},
};

static int compare_texts(const void *a, const void *b) {
    const qn__count *x = a, *y = b;
    size_t n = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = n ? memcmp(x->text, y->text, n) : 0;
    return order ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static qn_status ordinal_check(const void *params, const json_t *list, qn_error *err) {
    const ordinal_params *p = params;
    QN_FAIL_IF(strcmp(p->by, "given") == 0 && !list, err, QN_ERR_CONFIG,
               "ordinal by 'given' needs the list `order`");
    for (size_t i = 0; i < json_array_size(list); i++)
        for (size_t k = 0; k < i && json_array_size(list) < 10000; k++)
            QN_FAIL_IF(json_equal(json_array_get(list, i), json_array_get(list, k)), err,
                       QN_ERR_CONFIG, "ordinal: '%.100s' is in `order` twice",
                       json_string_value(json_array_get(list, i)));
    return QN_OK;
}

static qn_status ordinal_fit(qn__state *state, const qn__values *in, int32_t n_in,
                             const qn__fit *fit, qn_error *err) {
    dict_state *s = (dict_state *)state;
    const ordinal_params *p = state->params;
    state->n_out = 1;
    if (state->list) {
        s->dict = qn_dict_new();
        for (size_t i = 0; s->dict && i < json_array_size(state->list); i++) {
            const json_t *text = json_array_get(state->list, i);
            if (qn_dict_add(s->dict, json_string_value(text), json_string_length(text)) < 0)
                return qn_error_memory(err);
        }
        return s->dict ? QN_OK : qn_error_memory(err);
    }
    qn_cleanup(qn__values_done) qn__values categories = {0};
    qn_cleanup(qn_freep) qn__count *counts = NULL;
    int32_t n;
    QN_TRY(qn__as_category(in, &categories, err));
    QN_TRY(qn__count_categories(&categories, &counts, &n, err));
    if (strcmp(p->by, "alphabetical") == 0)
        qsort(counts, (size_t)n, sizeof *counts, compare_texts);
    s->dict = qn__counts_dict(counts, n);
    return s->dict ? QN_OK : qn_error_memory(err);
}

static qn_status ordinal_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                               qn__values *out, qn_error *err) {
    double *to = qn__out_numbers(out);
    qn_cleanup(qn_freep) int32_t *code = qn_new_array(int32_t, in->n_rows);
    if (!to || !code)
        return qn_error_memory(err);
    QN_TRY(codes_of((const dict_state *)state, in, code, err));
    for (int64_t i = 0; i < in->n_rows; i++)
        to[i] = code[i] >= 0 ? code[i] : NAN;
    return QN_OK;
}

const qn__transform qn__transform_ordinal = {
    .name = "ordinal",
    .help = "a number per category; unseen and missing are missing",
    .accepts = ANY_CATEGORY,
    .gives = QN__NUMBER,
    .params = ordinal_table,
    .n_params = sizeof ordinal_table / sizeof ordinal_table[0],
    .params_bytes = sizeof(ordinal_params),
    .main_param = "by",
    .list_param = "order",
    .state_bytes = sizeof(dict_state),
    .check = ordinal_check,
    .fit = ordinal_fit,
    .apply = ordinal_apply,
    .save = dict_save,
    .load = dict_load,
    .name_out = qn__name_same,
    .done = dict_done,
};

/* --- hash: the hashing trick (Weinberger et al. 2009) with signs --- */

typedef struct hash_params {
    int64_t n_features;
    bool is_signed;
} hash_params;

static const qn_param hash_table[] = {
    {.name = "n_features",
     .kind = QN_PARAM_INT,
     .offset = offsetof(hash_params, n_features),
     .low = 1,
     .high = 1 << 20,
     .preset = 64,
     .help = "columns"},
    {.name = "signed",
     .kind = QN_PARAM_BOOL,
     .offset = offsetof(hash_params, is_signed),
     .preset = 1,
     .help = "+1 or -1 by the hash, so that collisions cancel; else 1"},
};

static qn_status hash_fit(qn__state *state, const qn__values *in, int32_t n_in, const qn__fit *fit,
                          qn_error *err) {
    const hash_params *p = state->params;
    state->n_out = 1;
    state->n_sparse = (int32_t)p->n_features;
    return QN_OK;
}

static qn_status hash_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                            qn__values *out, qn_error *err) {
    const hash_params *p = state->params;
    qn_cleanup(qn__values_done) qn__values categories = {0};
    QN_TRY(qn__as_category(in, &categories, err));
    QN_TRY(sparse_new(out, in->n_rows, err));
    int64_t n = 0;
    for (int64_t i = 0; i < in->n_rows; i++) {
        size_t bytes = 0;
        const char *text = qn__value_text(&categories, i, &bytes);
        if (text) {
            uint64_t hash = qn_hash64(text, bytes, 0);
            out->feature[n] = (int32_t)((hash >> 1) % (uint64_t)p->n_features);
            out->weight[n++] = p->is_signed && (hash & 1) ? -1 : 1;
        }
        out->start[i + 1] = n;
    }
    return QN_OK;
}

static qn_status hash_load(qn__state *state, qn_reader *reader, qn_error *err) {
    return hash_fit(state, NULL, 0, NULL, err);
}

static void hash_name(const qn__state *state, const char *in, int32_t i, qn_buf *out) {
    qn_buf_printf(out, "%s#%d", in, i);
}

const qn__transform qn__transform_hash = {
    .name = "hash",
    .aliases = "hashing",
    .help = "category hashed to a fixed number of columns",
    .accepts = ANY_CATEGORY,
    .gives = QN__SPARSE,
    .fills = true,
    .params = hash_table,
    .n_params = sizeof hash_table / sizeof hash_table[0],
    .params_bytes = sizeof(hash_params),
    .main_param = "n_features",
    .state_bytes = sizeof(qn__state),
    .fit = hash_fit,
    .apply = hash_apply,
    .load = hash_load,
    .name_out = hash_name,
};

/* --- cross: the combination of several columns as one category --- */

typedef struct cross_params {
    int64_t min_count, max_categories;
} cross_params;

static const qn_param cross_table[] = {
    {.name = "min_count",
     .kind = QN_PARAM_INT,
     .offset = offsetof(cross_params, min_count),
     .low = 1,
     .high = 1e15,
     .preset = 1,
     .help = "combinations in fewer training rows count as unseen"},
    {.name = "max_categories",
     .kind = QN_PARAM_INT,
     .offset = offsetof(cross_params, max_categories),
     .low = 0,
     .high = 1e9,
     .preset = 0,
     .help = "keep only so many, the most frequent; 0: all"},
};

enum { CROSS_MAX = 8 };

static void cross_done_inputs(qn__values (*inputs)[CROSS_MAX]) {
    for (int k = 0; k < CROSS_MAX; k++)
        qn__values_done(&(*inputs)[k]);
}

/* "a & b"; a backslash or '&' in a part is escaped by a backslash: no two combinations look alike. */
static void put_part(qn_buf *key, const char *text, size_t n) {
    for (size_t k = 0; k < n; k++) {
        if (text[k] == '&' || text[k] == '\\')
            qn_buf_put_char(key, '\\');
        qn_buf_put_char(key, text[k]);
    }
}

/* Combinations as categories of a dictionary of their own; missing where any part is missing. With
 * `known` their codes in it (-1: unseen) and no dictionary. */
static qn_status cross_values(const qn__values *in, int32_t n_in, const qn_dict *known,
                              int32_t *code, qn_dict *dict, qn_error *err) {
    qn_cleanup(cross_done_inputs) qn__values inputs[CROSS_MAX] = {{0}};
    qn_cleanup(qn_buf_done) qn_buf key = {0};
    QN_FAIL_IF(n_in > CROSS_MAX, err, QN_ERR_CONFIG, "a cross takes at most %d columns", CROSS_MAX);
    for (int32_t k = 0; k < n_in; k++)
        QN_TRY(qn__as_category(&in[k], &inputs[k], err));
    for (int64_t i = 0; i < in->n_rows; i++) {
        qn_buf_clear(&key);
        bool missing = false;
        for (int32_t k = 0; k < n_in && !missing; k++) {
            size_t n = 0;
            const char *text = qn__value_text(&inputs[k], i, &n);
            missing = !text;
            qn_buf_put_text(&key, k && text ? " & " : "");
            if (text)
                put_part(&key, text, n);
        }
        QN_TRY(qn_buf_status(&key, err));
        code[i] = missing  ? -1
                  : known ? qn_dict_find(known, qn_buf_text(&key), key.len)
                          : qn_dict_add(dict, qn_buf_text(&key), key.len);
        if (!missing && !known && code[i] < 0)
            return qn_error_memory(err);
    }
    return QN_OK;
}

static qn_status cross_fit(qn__state *state, const qn__values *in, int32_t n_in, const qn__fit *fit,
                           qn_error *err) {
    const cross_params *p = state->params;
    qn_cleanup(qn__values_done) qn__values crossed = {.kind = QN__CATEGORY, .n_rows = in->n_rows};
    crossed.own_dict = qn_dict_new();
    crossed.dict = crossed.own_dict;
    if (!crossed.own_dict || !qn__out_codes(&crossed))
        return qn_error_memory(err);
    QN_TRY(cross_values(in, n_in, NULL, crossed.code, crossed.own_dict, err));
    state->n_out = 1;
    return keep_frequent(&crossed, p->min_count, p->max_categories, (dict_state *)state, err);
}

static qn_status cross_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                             qn__values *out, qn_error *err) {
    if (!qn__out_codes(out))
        return qn_error_memory(err);
    return cross_values(in, n_in, ((const dict_state *)state)->dict, out->code, NULL, err);
}

const qn__transform qn__transform_cross = {
    .name = "cross",
    .help = "the combination of all columns of the step as one category",
    .accepts = ANY_CATEGORY,
    .gives = QN__CATEGORY,
    .many = true,
    .params = cross_table,
    .n_params = sizeof cross_table / sizeof cross_table[0],
    .params_bytes = sizeof(cross_params),
    .main_param = "min_count",
    .state_bytes = sizeof(dict_state),
    .fit = cross_fit,
    .apply = cross_apply,
    .save = dict_save,
    .load = dict_load,
    .name_out = qn__name_same,
    .dict = dict_of,
    .done = dict_done,
};
