/* The two baselines that every report compares with: the prior (class shares or the mean) and the
 * best single split. Both keep one set of raw scores per side; the prior has one side. */
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "feature/pipeline.h"
#include "learn/baseline_int.h"
#include "learn/family_int.h"

enum { VERSION = 1, PRIOR_LEAVES = 1, STUMP_LEAVES = 2 };

static void baseline_free(qn_learner *learner) {
    qn__baseline *m = (qn__baseline *)learner;
    qn_freep(&m->leaf);
    qn_freep(&m->weight);
    qn_freep(&m->in_first);
    qn_freep(&m->name);
    qn_freep(&m->rule);
    qn_freep(&m);
}

static void model_freep(qn__baseline **m) {
    if (*m)
        baseline_free(&(*m)->base);
}

static qn_status model_new(const qn_family *family, qn_link link, int32_t n_outputs,
                           int32_t n_features, int n_leaves, qn__baseline **ret_model,
                           qn_error *err) {
    qn_cleanup(model_freep) qn__baseline *m = qn_new(qn__baseline);
    if (!m)
        return qn_error_memory(err);
    m->base = (qn_learner){family, link, n_outputs, n_features};
    m->n_leaves = n_leaves;
    m->feature = -1;
    m->leaf = qn_new_array(double, n_leaves * n_outputs);
    m->weight = qn_new_array(double, n_leaves);
    if (!m->leaf || !m->weight)
        return qn_error_memory(err);
    *ret_model = qn_steal(&m);
    return QN_OK;
}

static double weight_of(const qn_fit_data *data, int64_t i) {
    return data->weight ? data->weight[i] : 1;
}

/* Sums of one side: weight, and weight per class or weight times value. */
static void add_side(const qn_fit_input *input, const qn__baseline *m, int side, double *sums) {
    const qn_fit_data *train = &input->train;
    for (int64_t i = 0; i < train->x->n_rows; i++) {
        if (m->n_leaves > 1 && qn__baseline_side(m, train->x, i) != side)
            continue;
        double w = weight_of(train, i);
        m->weight[side] += w;
        if (input->task == QN_TASK_REGRESSION)
            sums[0] += w * train->y[i];
        else
            sums[(int64_t)train->y[i]] += w;
    }
}

/* A share as a probability that is never 0 or 1. */
static double bounded(double share, double weight) {
    double low = 0.5 / (weight + 1);
    return fmin(fmax(share, low), 1 - low);
}

/* Raw scores of a leaf. Sides of a stump are drawn towards the whole by one row's weight. */
static void fill_leaf(qn__baseline *m, int side, const double *sums, const double *prior) {
    double *leaf = m->leaf + (int64_t)side * m->base.n_outputs, w = m->weight[side];
    if (m->base.link == QN_LINK_IDENTITY) {
        leaf[0] = prior ? (sums[0] + prior[0]) / (w + 1) : sums[0] / w;
        return;
    }
    for (int32_t k = 0; k < (m->base.link == QN_LINK_LOGIT ? 2 : m->base.n_outputs); k++) {
        double p = bounded(prior ? (sums[k] + prior[k]) / (w + 1) : sums[k] / w, w);
        if (m->base.link == QN_LINK_SOFTMAX)
            leaf[k] = log(p);
        else if (k == 1)
            leaf[0] = log(p / (1 - p));
    }
}

static qn_status fill_leaves(const qn_fit_input *input, qn__baseline *m, qn_error *err) {
    int64_t n_sums = input->task == QN_TASK_REGRESSION ? 1 : input->n_classes;
    qn_cleanup(qn_freep) double *sums = qn_new_array(double, n_sums * (m->n_leaves + 1));
    if (!sums)
        return qn_error_memory(err);
    double *prior = sums + n_sums * m->n_leaves, total = 0;
    for (int side = 0; side < m->n_leaves; side++) {
        add_side(input, m, side, sums + side * n_sums);
        total += m->weight[side];
        for (int64_t k = 0; k < n_sums; k++)
            prior[k] += sums[side * n_sums + k];
    }
    for (int64_t k = 0; k < n_sums; k++)
        prior[k] /= total;
    for (int side = 0; side < m->n_leaves; side++)
        fill_leaf(m, side, sums + side * n_sums, m->n_leaves > 1 ? prior : NULL);
    return QN_OK;
}

static qn_status fit(const qn_family *family, int n_leaves, const void *params,
                     const qn_fit_input *input, const qn_job *job, qn_learner **ret_learner,
                     qn_error *err) {
    qn_link link = qn__link_of(input->task);
    qn_cleanup(model_freep) qn__baseline *m = NULL;
    QN_TRY(model_new(family, link, link == QN_LINK_SOFTMAX ? input->n_classes : 1,
                     input->train.x->n_features, n_leaves, &m, err));
    if (n_leaves > 1)
        QN_TRY(qn__stump_split(params, input, job, m, err));
    QN_TRY(fill_leaves(input, m, err));
    *ret_learner = &m->base;
    m = NULL;
    return QN_OK;
}

static qn_status prior_fit(const void *params, const qn_fit_input *input, const qn_job *job,
                           qn_learner **ret_learner, qn_error *err) {
    return fit(&qn__family_prior, PRIOR_LEAVES, params, input, job, ret_learner, err);
}

static qn_status stump_fit(const void *params, const qn_fit_input *input, const qn_job *job,
                           qn_learner **ret_learner, qn_error *err) {
    return fit(&qn__family_stump, STUMP_LEAVES, params, input, job, ret_learner, err);
}

/* The side of a value; codes are numbers, -1 is missing. */
static int side_of(const qn__baseline *m, double value) {
    if (m->kind == QN_FEATURE_CATEGORY) {
        if (!(value >= 0 && value < m->n_categories))
            return m->missing_first ? 0 : 1;
        return m->in_first[(int32_t)value] ? 0 : 1;
    }
    if (isnan(value))
        return m->missing_first ? 0 : 1;
    return value <= m->threshold ? 0 : 1;
}

int qn__baseline_side(const qn__baseline *m, const qn_matrix *x, int64_t row) {
    if (m->feature < 0)
        return 0;
    const qn_matrix_column *c = &x->columns[m->feature];
    double value = 0;
    switch (m->kind) {
    case QN_FEATURE_CATEGORY:
        value = c->code[row];
        break;
    case QN_FEATURE_SPARSE: {
        int64_t k = qn_matrix_column_from(c, row);
        if (k < c->n_set && c->row[k] == row)
            value = c->value[k];
        break;
    }
    case QN_FEATURE_NUMERIC:
        value = c->num[row];
        break;
    }
    return side_of(m, value);
}

static void put_leaf(const qn__baseline *m, int side, double *raw) {
    size_t n_outputs = (size_t)m->base.n_outputs;
    memcpy(raw, m->leaf + (size_t)side * n_outputs, n_outputs * sizeof *raw);
}

static void baseline_predict(const qn_learner *learner, const qn_matrix *x, int64_t first,
                             int64_t n, double *raw) {
    const qn__baseline *m = (const qn__baseline *)learner;
    for (int64_t i = 0; i < n; i++)
        put_leaf(m, qn__baseline_side(m, x, first + i), raw + i * learner->n_outputs);
}

static void baseline_predict_rows(const qn_learner *learner, const double *rows, int64_t n,
                                  double *raw) {
    const qn__baseline *m = (const qn__baseline *)learner;
    for (int64_t i = 0; i < n; i++) {
        const double *row = rows + i * learner->n_features;
        put_leaf(m, m->feature < 0 ? 0 : side_of(m, row[m->feature]), raw + i * learner->n_outputs);
    }
}

static qn_status baseline_explain(const qn_learner *learner, const qn_matrix *x, int64_t first,
                                  int64_t n, double *contrib, qn_error *err) {
    const qn__baseline *m = (const qn__baseline *)learner;
    int64_t n_outputs = learner->n_outputs, p = learner->n_features;
    memset(contrib, 0, (size_t)(n * n_outputs * (p + 1)) * sizeof *contrib);
    double total = 0;
    for (int side = 0; side < m->n_leaves; side++)
        total += m->weight[side];
    for (int64_t k = 0; k < n_outputs; k++) {
        double base = 0;
        for (int side = 0; side < m->n_leaves; side++)
            base += m->weight[side] / total * m->leaf[side * n_outputs + k];
        for (int64_t i = 0; i < n; i++) {
            double *out = contrib + (i * n_outputs + k) * (p + 1);
            out[p] = base;
            if (m->feature >= 0)
                out[m->feature] =
                    m->leaf[qn__baseline_side(m, x, first + i) * n_outputs + k] - base;
        }
    }
    return QN_OK;
}

static void baseline_importance(const qn_learner *learner, double *importance) {
    const qn__baseline *m = (const qn__baseline *)learner;
    for (int32_t j = 0; j < learner->n_features; j++)
        importance[j] = j == m->feature;
}

static qn_status baseline_save(const qn_learner *learner, qn_buf *out, qn_error *err) {
    const qn__baseline *m = (const qn__baseline *)learner;
    qn_buf_put_u32(out, VERSION);
    qn_buf_put_u32(out, (uint32_t)learner->link);
    qn_buf_put_u32(out, (uint32_t)learner->n_outputs);
    qn_buf_put_u32(out, (uint32_t)m->n_leaves);
    qn_buf_put_u32(out, (uint32_t)m->feature);
    qn_buf_put_u32(out, m->missing_first);
    qn_buf_put_u32(out, (uint32_t)m->n_categories);
    qn_buf_put_u32(out, 0);
    qn_buf_put_f64(out, m->threshold);
    for (int i = 0; i < m->n_leaves; i++)
        qn_buf_put_f64(out, m->weight[i]);
    for (int64_t i = 0; i < (int64_t)m->n_leaves * learner->n_outputs; i++)
        qn_buf_put_f64(out, m->leaf[i]);
    if (m->n_categories)
        qn_buf_put(out, m->in_first, (size_t)m->n_categories);
    return qn_buf_status(out, err);
}

typedef struct header {
    uint32_t version, link, n_outputs, n_leaves, feature, missing_first, n_categories, reserved;
} header;

static qn_status check_header(const header *h, int n_leaves, const qn_feature *features,
                              int32_t n_features, size_t n, qn_error *err) {
    bool soft = h->link == QN_LINK_SOFTMAX;
    QN_FAIL_IF(h->version != VERSION, err, QN_ERR_FORMAT, "baseline model of unknown version %u",
               h->version);
    QN_FAIL_IF(h->link > QN_LINK_SOFTMAX || h->n_outputs > QN_LIMIT_CLASSES ||
                   h->n_outputs < (soft ? 2 : 1) || (!soft && h->n_outputs != 1) ||
                   h->n_leaves != (uint32_t)n_leaves || h->missing_first > 1 || h->reserved,
               err, QN_ERR_FORMAT, "baseline model with an impossible header");
    bool none = h->feature == UINT32_MAX;
    QN_FAIL_IF(!none && (h->feature >= (uint32_t)n_features || n_leaves == 1), err, QN_ERR_FORMAT,
               "baseline model on feature %u of %d", h->feature, (int)n_features);
    bool category = !none && features[h->feature].kind == QN_FEATURE_CATEGORY;
    uint32_t expected = category ? (uint32_t)features[h->feature].n_categories : 0;
    QN_FAIL_IF(h->n_categories != expected, err, QN_ERR_FORMAT,
               "baseline model with %u categories instead of %u", h->n_categories, expected);
    size_t bytes = 40 + 8 * (size_t)h->n_leaves * (1 + (size_t)h->n_outputs) + h->n_categories;
    QN_FAIL_IF(n != bytes, err, QN_ERR_FORMAT, "baseline model of %zu bytes instead of %zu", n,
               bytes);
    return QN_OK;
}

static qn_status read_body(qn_reader *in, qn__baseline *m, qn_error *err) {
    bool good = true;
    m->threshold = qn_reader_f64(in);
    good = !isnan(m->threshold);
    for (int i = 0; i < m->n_leaves; i++) {
        m->weight[i] = qn_reader_f64(in);
        good = good && isfinite(m->weight[i]) && m->weight[i] >= 0;
    }
    /* A split that found nothing puts every row on side 0. */
    good = good && m->weight[0] > 0;
    for (int64_t i = 0; i < (int64_t)m->n_leaves * m->base.n_outputs; i++) {
        m->leaf[i] = qn_reader_f64(in);
        good = good && isfinite(m->leaf[i]);
    }
    m->in_first = qn_calloc((size_t)m->n_categories, 1);
    if (!m->in_first)
        return qn_error_memory(err);
    const unsigned char *bytes = qn_reader_bytes(in, (size_t)m->n_categories);
    for (int32_t i = 0; i < m->n_categories && bytes; i++) {
        good = good && bytes[i] <= 1;
        m->in_first[i] = bytes[i];
    }
    QN_FAIL_IF(!good || in->failed, err, QN_ERR_FORMAT, "baseline model with impossible numbers");
    return QN_OK;
}

static qn_status load(const qn_family *family, int n_leaves, const void *bytes, size_t n,
                      const qn_feature *features, int32_t n_features, qn_learner **ret_learner,
                      qn_error *err) {
    qn_reader in = {.data = bytes, .len = n};
    header h = {.version = qn_reader_u32(&in), .link = qn_reader_u32(&in)};
    h.n_outputs = qn_reader_u32(&in);
    h.n_leaves = qn_reader_u32(&in);
    h.feature = qn_reader_u32(&in);
    h.missing_first = qn_reader_u32(&in);
    h.n_categories = qn_reader_u32(&in);
    h.reserved = qn_reader_u32(&in);
    QN_FAIL_IF(in.failed, err, QN_ERR_FORMAT, "baseline model cut off after %zu bytes", n);
    QN_TRY(check_header(&h, n_leaves, features, n_features, n, err));
    qn_cleanup(model_freep) qn__baseline *m = NULL;
    QN_TRY(model_new(family, (qn_link)h.link, (int32_t)h.n_outputs, n_features, n_leaves, &m, err));
    m->feature = (int32_t)h.feature;
    m->missing_first = h.missing_first;
    m->n_categories = (int32_t)h.n_categories;
    QN_TRY(read_body(&in, m, err));
    if (m->feature >= 0) {
        m->name = qn_strdup(features[m->feature].name ? features[m->feature].name : "");
        if (!m->name)
            return qn_error_memory(err);
        m->kind = features[m->feature].kind;
        QN_TRY(qn__baseline_write_rule(m, &features[m->feature], err));
    }
    *ret_learner = &m->base;
    m = NULL;
    return QN_OK;
}

static qn_status prior_load(const void *bytes, size_t n, const qn_feature *features,
                            int32_t n_features, qn_learner **ret_learner, qn_error *err) {
    return load(&qn__family_prior, PRIOR_LEAVES, bytes, n, features, n_features, ret_learner, err);
}

static qn_status stump_load(const void *bytes, size_t n, const qn_feature *features,
                            int32_t n_features, qn_learner **ret_learner, qn_error *err) {
    return load(&qn__family_stump, STUMP_LEAVES, bytes, n, features, n_features, ret_learner, err);
}

/* What a leaf answers: the probability or value, or the probabilities of all classes. */
static json_t *leaf_json(const qn__baseline *m, int side) {
    enum { SHOWN = 32 };
    int32_t k = m->base.n_outputs;
    double value[SHOWN];
    if (k > SHOWN)
        return json_null();
    memcpy(value, m->leaf + (int64_t)side * k, (size_t)k * sizeof *value);
    qn_link_apply(m->base.link, value, 1, k);
    return k == 1 ? qn_json_number(value[0]) : qn_json_numbers(value, (size_t)k);
}

static json_t *prior_describe(const qn_learner *learner) {
    json_t *json = json_object();
    if (!json || json_object_set_new(json, "answer", leaf_json((const qn__baseline *)learner, 0)))
        qn_json_free(&json);
    return json;
}

static json_t *stump_describe(const qn_learner *learner) {
    const qn__baseline *m = (const qn__baseline *)learner;
    const char *rule = m->rule ? m->rule : "no split helps";
    double total = m->weight[0] + m->weight[1];
    json_t *json = json_object();
    if (!json || json_object_set_new(json, "rule", json_string(rule)) ||
        json_object_set_new(json, "feature", m->name ? json_string(m->name) : json_null()) ||
        json_object_set_new(json, "share", qn_json_number(m->weight[0] / total)) ||
        json_object_set_new(json, "if_true", leaf_json(m, 0)) ||
        json_object_set_new(json, "if_false", leaf_json(m, 1)))
        qn_json_free(&json);
    return json;
}

enum {
    TAKES_ALL = QN_TAKES_MISSING | QN_TAKES_CATEGORIES | QN_TAKES_SPARSE,
};

static const qn_param stump_params[] = {
    {.name = "min_data_in_leaf", .aliases = "min_samples_leaf", .kind = QN_PARAM_INT,
     .offset = offsetof(qn__stump_params, min_rows), .low = 1, .high = 1e9, .preset = 20,
     .help = "fewest rows on a side; at most a quarter of the rows"},
};

const qn_family qn__family_prior = {
    .name = "prior",
    .title = "Prior",
    .help = "Answers the same to every row: the class shares, or the mean.",
    .takes = TAKES_ALL,
    .is_baseline = true,
    .fit = prior_fit,
    .predict = baseline_predict,
    .predict_rows = baseline_predict_rows,
    .explain = baseline_explain,
    .importance = baseline_importance,
    .save = baseline_save,
    .load = prior_load,
    .describe = prior_describe,
    .free = baseline_free,
};

const qn_family qn__family_stump = {
    .name = "stump",
    .title = "Best single split",
    .help = "The best rule on one feature: a threshold or a set of categories.",
    .takes = TAKES_ALL,
    .is_baseline = true,
    .params = stump_params,
    .n_params = sizeof stump_params / sizeof *stump_params,
    .params_bytes = sizeof(qn__stump_params),
    .fit = stump_fit,
    .predict = baseline_predict,
    .predict_rows = baseline_predict_rows,
    .explain = baseline_explain,
    .importance = baseline_importance,
    .save = baseline_save,
    .load = stump_load,
    .describe = stump_describe,
    .free = baseline_free,
};
