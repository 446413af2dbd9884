#include "learn/linear.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "feature/pipeline.h"
#include "learn/family_int.h"
#include "learn/linear_newton_int.h"
#include "learn/linear_path_int.h"

enum { VERSION = 1, N_STEPS = 15, BLOCK_ROWS = 1024 };

static const char *const class_weights[] = {"none", "balanced", NULL};

static const qn_param params_table[] = {
    {.name = "lambda",
     .aliases = "alpha reg_lambda",
     .kind = QN_PARAM_REAL,
     .offset = offsetof(qn_linear_params, lambda),
     .low = -1,
     .high = 1e12,
     .preset = -1,
     .help = "strength of the penalty; -1: chosen on validation rows"},
    {.name = "l1_ratio",
     .aliases = NULL,
     .kind = QN_PARAM_REAL,
     .offset = offsetof(qn_linear_params, l1_ratio),
     .low = 0,
     .high = 1,
     .preset = 0,
     .help = "share of the absolute penalty: 0 ridge, 1 lasso, between elastic net"},
    {.name = "max_iter",
     .aliases = "max_iterations",
     .kind = QN_PARAM_INT,
     .offset = offsetof(qn_linear_params, max_iter),
     .low = 1,
     .high = 1000000,
     .preset = 500,
     .help = "most iterations of the solver"},
    {.name = "tol",
     .aliases = "tolerance",
     .kind = QN_PARAM_REAL,
     .offset = offsetof(qn_linear_params, tol),
     .low = 1e-14,
     .high = 1,
     .preset = 1e-6,
     .help = "largest component of the gradient of the mean loss at which to stop"},
    {.name = "class_weight",
     .aliases = NULL,
     .kind = QN_PARAM_CHOICE,
     .offset = offsetof(qn_linear_params, class_weight),
     .choices = class_weights,
     .preset = 0,
     .help =
         "balanced: every class weighs the same; probabilities then no longer match frequencies"},
    {.name = "fit_intercept",
     .aliases = NULL,
     .kind = QN_PARAM_BOOL,
     .offset = offsetof(qn_linear_params, fit_intercept),
     .preset = 1,
     .help = "whether scores have a constant part"},
    {.name = "standardize",
     .aliases = NULL,
     .kind = QN_PARAM_BOOL,
     .offset = offsetof(qn_linear_params, standardize),
     .preset = 1,
     .help = "whether the penalty sees features scaled to variance 1"},
};

static void linear_free(qn_learner *learner) {
    qn_linear *m = (qn_linear *)learner;
    qn_freep(&m->weight);
    qn_freep(&m->intercept);
    qn_freep(&m->mean);
    qn_freep(&m->std);
    qn_freep(&m->is_sparse);
    qn_freep(&m);
}

static void model_freep(qn_linear **m) {
    if (*m)
        linear_free(&(*m)->base);
}

static qn_status model_new(qn_link link, int32_t n_outputs, const qn_feature *features,
                           int32_t n_features, qn_linear **ret_model, qn_error *err) {
    qn_cleanup(model_freep) qn_linear *m = qn_new(qn_linear);
    if (!m)
        return qn_error_memory(err);
    m->base = (qn_learner){&qn__family_linear, link, n_outputs, n_features};
    size_t n_weights;
    if (!qn_size_mul((size_t)n_outputs, (size_t)n_features, &n_weights))
        return qn_error_memory(err);
    m->weight = qn_new_array(double, n_weights);
    m->intercept = qn_new_array(double, n_outputs);
    m->mean = qn_new_array(double, n_features);
    m->std = qn_new_array(double, n_features);
    m->is_sparse = qn_new_array(bool, n_features);
    if (!m->weight || !m->intercept || !m->mean || !m->std || !m->is_sparse)
        return qn_error_memory(err);
    for (int32_t j = 0; j < n_features; j++)
        m->is_sparse[j] = features[j].kind == QN_FEATURE_SPARSE;
    *ret_model = qn_steal(&m);
    return QN_OK;
}

/* What a fit works with; targets of a regression are brought to mean 0 and variance 1, so that
 * `tol` means the same for all of them. */
typedef struct fit_state {
    const qn_linear_params *params;
    const qn_fit_input *input;
    qn__linear_design design, valid;
    qn__linear_curvature curvature;
    double *y, *a, *valid_y, *valid_a, *theta; /* owned */
    double shift, unit;
} fit_state;

static void fit_done(fit_state *s) {
    qn__linear_design_done(&s->design);
    qn__linear_design_done(&s->valid);
    qn__linear_curvature_done(&s->curvature);
    qn_freep(&s->y);
    qn_freep(&s->a);
    qn_freep(&s->valid_y);
    qn_freep(&s->valid_a);
    qn_freep(&s->theta);
}

/* Class weights n / (n_classes n_k), as scikit-learn's "balanced". */
static qn_status balance(const fit_state *s, double *a, qn_error *err) {
    int64_t n = s->design.n, n_classes = s->input->n_classes;
    qn_cleanup(qn_freep) int64_t *count = qn_new_array(int64_t, n_classes);
    if (!count)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++)
        count[(int64_t)s->y[i]]++;
    for (int64_t i = 0; i < n; i++)
        a[i] *= (double)n / ((double)n_classes * (double)count[(int64_t)s->y[i]]);
    return QN_OK;
}

static void normalise(double *a, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i];
    for (int64_t i = 0; i < n; i++)
        a[i] /= sum;
}

static void scale_target(fit_state *s) {
    double mean = 0, square = 0;
    for (int64_t i = 0; i < s->design.n; i++)
        mean += s->a[i] * s->y[i];
    for (int64_t i = 0; i < s->design.n; i++)
        square += s->a[i] * (s->y[i] - mean) * (s->y[i] - mean);
    s->shift = s->params->fit_intercept ? mean : 0;
    s->unit = square > 1e-24 * mean * mean ? sqrt(square) : 1;
    for (int64_t i = 0; i < s->design.n; i++)
        s->y[i] = (s->y[i] - s->shift) / s->unit;
}

static qn_status load_target(const qn_fit_data *data, double **ret_y, double **ret_a,
                             qn_error *err) {
    int64_t n = data->x->n_rows;
    double *y = *ret_y = qn_new_array(double, n), *a = *ret_a = qn_new_array(double, n);
    if (!y || !a)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++) {
        y[i] = data->y[i];
        a[i] = data->weight ? data->weight[i] : 1;
    }
    return QN_OK;
}

static qn_status prepare(fit_state *s, const qn_job *job, qn_error *err) {
    const qn_fit_input *in = s->input;
    QN_TRY(qn__linear_design_init(&s->design, in->train.x, in->train.weight, s->params->standardize,
                                  NULL, job, err));
    QN_TRY(load_target(&in->train, &s->y, &s->a, err));
    if (in->task != QN_TASK_REGRESSION && strcmp(s->params->class_weight, "balanced") == 0)
        QN_TRY(balance(s, s->a, err));
    normalise(s->a, s->design.n);
    s->unit = 1;
    if (in->task == QN_TASK_REGRESSION)
        scale_target(s);
    if (!in->valid.x)
        return QN_OK;
    QN_TRY(qn__linear_design_init(&s->valid, in->valid.x, NULL, s->params->standardize, &s->design,
                                  job, err));
    QN_TRY(load_target(&in->valid, &s->valid_y, &s->valid_a, err));
    normalise(s->valid_a, s->valid.n);
    for (int64_t i = 0; i < s->valid.n; i++)
        s->valid_y[i] = (s->valid_y[i] - s->shift) / s->unit;
    return QN_OK;
}

static qn_status solve_model(fit_state *s, qn_linear *m, const qn_job *job, qn_error *err) {
    const qn_linear_params *params = s->params;
    int64_t dim = (int64_t)m->base.n_outputs * (m->base.n_features + 1);
    s->theta = qn_new_array(double, dim);
    if (!s->theta)
        return qn_error_memory(err);
    qn__linear_problem problem = {
        .design = &s->design, .link = m->base.link, .n_outputs = m->base.n_outputs, .y = s->y,
        .a = s->a, .fit_intercept = params->fit_intercept, .tol = params->tol,
        .max_iter = params->max_iter, .job = job};
    if (params->l1_ratio == 0 && qn__linear_curvature_fits(&problem)) {
        QN_TRY(qn__linear_curvature_init(&s->curvature, &problem, err));
        problem.curvature = &s->curvature;
    }
    m->l1_ratio = params->l1_ratio;
    m->lambda = params->lambda;
    if (params->lambda < 0) {
        bool given = s->input->valid.x != NULL;
        qn__linear_path path = {
            .problem = &problem, .l1_ratio = params->l1_ratio, .ratio = sqrt(0.1),
            .n_steps = N_STEPS, .seed = s->input->seed, .valid = given ? &s->valid : NULL,
            .valid_y = s->valid_y, .valid_a = s->valid_a, .loss = given ? s->input->loss : NULL,
            .user = s->input->user, .unit = s->unit, .shift = s->shift};
        QN_TRY(qn__linear_choose(&path, s->theta, &m->lambda, err));
    } else {
        qn__linear_start(&problem, s->theta);
    }
    qn__linear_set_lambda(&problem, m->lambda, params->l1_ratio, s->unit);
    QN_TRY(qn__linear_solve(&problem, s->theta, &m->iterations, err));
    return QN_OK;
}

/* From standardised features and target to both as they come. */
static void unpack(const fit_state *s, qn_linear *m) {
    int32_t p = m->base.n_features, n_outputs = m->base.n_outputs;
    for (int32_t j = 0; j < p; j++) {
        m->mean[j] = s->design.columns[j].mean;
        m->std[j] = isfinite(s->design.columns[j].std) ? s->design.columns[j].std : 0;
    }
    for (int32_t k = 0; k < n_outputs; k++) {
        m->intercept[k] = s->theta[(int64_t)n_outputs * p + k] * s->unit + s->shift;
        for (int32_t j = 0; j < p; j++) {
            const qn__linear_column *c = &s->design.columns[j];
            double v = s->theta[(int64_t)k * p + j] * c->scale * s->unit;
            m->weight[(int64_t)k * p + j] = v;
            if (v != 0)
                m->intercept[k] -= v * c->centre;
        }
    }
}

static qn_status check_finite(const qn_linear *m, qn_error *err) {
    int64_t n_weights = (int64_t)m->base.n_outputs * m->base.n_features;
    bool good = true;
    for (int64_t i = 0; i < n_weights; i++)
        good = good && isfinite(m->weight[i]);
    for (int32_t k = 0; k < m->base.n_outputs; k++)
        good = good && isfinite(m->intercept[k]);
    for (int32_t j = 0; j < m->base.n_features; j++)
        good = good && isfinite(m->mean[j]);
    QN_FAIL_IF(!good, err, QN_ERR_DATA,
               "the linear model has no finite solution: look for infinite or huge values");
    return QN_OK;
}

static qn_status linear_fit(const void *params, const qn_fit_input *input, const qn_job *job,
                            qn_learner **ret_learner, qn_error *err) {
    qn_link link = qn__link_of(input->task);
    int32_t n_outputs = link == QN_LINK_SOFTMAX ? input->n_classes : 1;
    qn_cleanup(model_freep) qn_linear *m = NULL;
    qn_cleanup(fit_done) fit_state s = {.params = params, .input = input};
    const qn_matrix *x = input->train.x;
    QN_TRY(model_new(link, n_outputs, x->features, x->n_features, &m, err));
    QN_TRY(prepare(&s, job, err));
    QN_TRY(solve_model(&s, m, job, err));
    unpack(&s, m);
    QN_TRY(check_finite(m, err));
    *ret_learner = &m->base;
    m = NULL;
    return QN_OK;
}

static void add_dense(const double *x, double mean, double v, int64_t n, int64_t stride,
                      double *raw) {
    for (int64_t i = 0; i < n; i++)
        raw[i * stride] += v * (isnan(x[i]) ? mean : x[i]);
}

/* A sparse zero adds nothing, stored or not, and so does a missing one. */
static inline bool adds(double x) {
    return !isnan(x) && x != 0;
}

static void linear_predict(const qn_learner *learner, const qn_matrix *x, int64_t first, int64_t n,
                           double *raw) {
    const qn_linear *m = (const qn_linear *)learner;
    int32_t n_outputs = learner->n_outputs, p = learner->n_features;
    for (int64_t i = 0; i < n; i++)
        memcpy(raw + i * n_outputs, m->intercept, (size_t)n_outputs * sizeof *raw);
    for (int32_t j = 0; j < p; j++) {
        const qn_matrix_column *c = &x->columns[j];
        bool sparse = x->features[j].kind == QN_FEATURE_SPARSE;
        if (sparse && c->n_set == 0)
            continue;
        int64_t from = sparse ? qn_matrix_column_from(c, first) : 0;
        for (int32_t k = 0; k < n_outputs; k++) {
            double v = m->weight[(int64_t)k * p + j];
            if (v == 0)
                continue;
            if (!sparse)
                add_dense(c->num + first, m->mean[j], v, n, n_outputs, raw + k);
            for (int64_t s = from; sparse && s < c->n_set && c->row[s] < first + n; s++)
                if (adds(c->value[s]))
                    raw[(c->row[s] - first) * n_outputs + k] += v * c->value[s];
        }
    }
}

static void linear_predict_rows(const qn_learner *learner, const double *rows, int64_t n,
                                double *raw) {
    const qn_linear *m = (const qn_linear *)learner;
    int32_t n_outputs = learner->n_outputs, p = learner->n_features;
    for (int64_t i = 0; i < n; i++) {
        const double *row = rows + i * p;
        for (int32_t k = 0; k < n_outputs; k++) {
            const double *weight = m->weight + (int64_t)k * p;
            double sum = m->intercept[k];
            for (int32_t j = 0; j < p; j++) {
                if (weight[j] == 0 || (m->is_sparse[j] && !adds(row[j])))
                    continue;
                sum += weight[j] * (isnan(row[j]) ? m->mean[j] : row[j]);
            }
            raw[i * n_outputs + k] = sum;
        }
    }
}

static qn_status linear_explain(const qn_learner *learner, const qn_matrix *x, int64_t first,
                                int64_t n, double *contrib, qn_error *err) {
    const qn_linear *m = (const qn_linear *)learner;
    int32_t n_outputs = learner->n_outputs, p = learner->n_features;
    for (int32_t k = 0; k < n_outputs; k++) {
        const double *weight = m->weight + (int64_t)k * p;
        double base = m->intercept[k];
        for (int32_t j = 0; j < p; j++)
            base += weight[j] * m->mean[j];
        for (int64_t i = 0; i < n; i++) {
            double *out = contrib + (i * n_outputs + k) * ((int64_t)p + 1);
            for (int32_t j = 0; j < p; j++) {
                const qn_matrix_column *c = &x->columns[j];
                bool sparse = x->features[j].kind == QN_FEATURE_SPARSE;
                double value = sparse || isnan(c->num[first + i]) ? m->mean[j] : c->num[first + i];
                out[j] = weight[j] * ((sparse ? 0 : value) - m->mean[j]);
            }
            out[p] = base;
        }
        for (int32_t j = 0; j < p; j++) {
            const qn_matrix_column *c = &x->columns[j];
            if (x->features[j].kind != QN_FEATURE_SPARSE)
                continue;
            for (int64_t s = qn_matrix_column_from(c, first); s < c->n_set && c->row[s] < first + n;
                 s++)
                contrib[((c->row[s] - first) * n_outputs + k) * ((int64_t)p + 1) + j] +=
                    weight[j] * (isnan(c->value[s]) ? 0 : c->value[s]);
        }
    }
    return QN_OK;
}

static void linear_importance(const qn_learner *learner, double *importance) {
    const qn_linear *m = (const qn_linear *)learner;
    double sum = 0;
    for (int32_t j = 0; j < learner->n_features; j++) {
        importance[j] = 0;
        for (int32_t k = 0; k < learner->n_outputs; k++)
            importance[j] += fabs(m->weight[(int64_t)k * learner->n_features + j]) * m->std[j];
        sum += importance[j];
    }
    for (int32_t j = 0; j < learner->n_features; j++) /* a stranger's weights may add up to infinity */
        importance[j] = sum > 0 && isfinite(sum) ? importance[j] / sum : 0;
}

static void put_doubles(qn_buf *out, const double *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        qn_buf_put_f64(out, x[i]);
}

static qn_status linear_save(const qn_learner *learner, qn_buf *out, qn_error *err) {
    const qn_linear *m = (const qn_linear *)learner;
    qn_buf_put_u32(out, VERSION);
    qn_buf_put_u32(out, (uint32_t)learner->link);
    qn_buf_put_u32(out, (uint32_t)learner->n_outputs);
    qn_buf_put_u32(out, (uint32_t)learner->n_features);
    qn_buf_put_f64(out, m->lambda);
    qn_buf_put_f64(out, m->l1_ratio);
    qn_buf_put_u64(out, (uint64_t)m->iterations);
    put_doubles(out, m->intercept, learner->n_outputs);
    put_doubles(out, m->mean, learner->n_features);
    put_doubles(out, m->std, learner->n_features);
    put_doubles(out, m->weight, (int64_t)learner->n_outputs * learner->n_features);
    return qn_buf_status(out, err);
}

static bool get_doubles(qn_reader *in, double *x, int64_t n) {
    bool finite = true;
    for (int64_t i = 0; i < n; i++) {
        x[i] = qn_reader_f64(in);
        finite = finite && isfinite(x[i]);
    }
    return finite;
}

/* Header fields that make sense together, and exactly as many bytes as they announce. */
static qn_status check_header(uint32_t version, uint32_t link, uint32_t n_outputs,
                              uint32_t n_features, size_t left, int32_t expected, qn_error *err) {
    bool soft = link == QN_LINK_SOFTMAX;
    QN_FAIL_IF(version != VERSION, err, QN_ERR_FORMAT, "linear model of unknown version %u",
               version);
    QN_FAIL_IF(link > QN_LINK_SOFTMAX || n_outputs > QN_LIMIT_CLASSES ||
                   n_outputs < (soft ? 2 : 1) || (!soft && n_outputs != 1),
               err, QN_ERR_FORMAT, "linear model with impossible link %u or outputs %u", link,
               n_outputs);
    QN_FAIL_IF(expected < 0 || n_features != (uint32_t)expected, err, QN_ERR_FORMAT,
               "linear model for %u features where the pipeline gives %d", n_features,
               (int)expected);
    uint64_t doubles = 3 + (uint64_t)n_outputs * (1 + (uint64_t)n_features) +
                       2 * (uint64_t)n_features;
    QN_FAIL_IF(left != doubles * 8, err, QN_ERR_FORMAT, "linear model of %zu bytes instead of %llu",
               left + 16, (unsigned long long)doubles * 8 + 16);
    return QN_OK;
}

static qn_status linear_load(const void *bytes, size_t n, const qn_feature *features,
                             int32_t n_features, qn_learner **ret_learner, qn_error *err) {
    qn_reader in = {.data = bytes, .len = n};
    uint32_t version = qn_reader_u32(&in), link = qn_reader_u32(&in),
             n_outputs = qn_reader_u32(&in);
    uint32_t n_stored = qn_reader_u32(&in);
    QN_FAIL_IF(in.failed, err, QN_ERR_FORMAT, "linear model cut off after %zu bytes", n);
    QN_TRY(check_header(version, link, n_outputs, n_stored, n - in.pos, n_features, err));
    for (int32_t j = 0; j < n_features; j++)
        QN_FAIL_IF(features[j].kind == QN_FEATURE_CATEGORY, err, QN_ERR_FORMAT,
                   "linear model on a category");
    qn_cleanup(model_freep) qn_linear *m = NULL;
    QN_TRY(model_new((qn_link)link, (int32_t)n_outputs, features, n_features, &m, err));
    m->lambda = qn_reader_f64(&in);
    m->l1_ratio = qn_reader_f64(&in);
    uint64_t iterations = qn_reader_u64(&in);
    bool good = isfinite(m->lambda) && isfinite(m->l1_ratio) && iterations <= INT64_MAX;
    m->iterations = (int64_t)(iterations & INT64_MAX);
    good = get_doubles(&in, m->intercept, (int64_t)n_outputs) && good;
    good = get_doubles(&in, m->mean, n_features) && good;
    good = get_doubles(&in, m->std, n_features) && good;
    for (int32_t j = 0; j < n_features; j++)
        good = good && m->std[j] >= 0;
    good = get_doubles(&in, m->weight, (int64_t)n_outputs * n_features) && good;
    QN_FAIL_IF(!good || in.failed, err, QN_ERR_FORMAT, "linear model with impossible numbers");
    *ret_learner = &m->base;
    m = NULL;
    return QN_OK;
}

static json_t *linear_describe(const qn_learner *learner) {
    const qn_linear *m = (const qn_linear *)learner;
    int64_t n_weights = (int64_t)learner->n_outputs * learner->n_features, n_zero = 0;
    for (int64_t i = 0; i < n_weights; i++)
        n_zero += m->weight[i] == 0;
    json_t *json = json_object();
    if (!json || json_object_set_new(json, "weights", json_integer(n_weights)) ||
        json_object_set_new(json, "non_zero", json_integer(n_weights - n_zero)) ||
        json_object_set_new(json, "lambda", qn_json_number(m->lambda)) ||
        json_object_set_new(json, "l1_ratio", qn_json_number(m->l1_ratio)) ||
        json_object_set_new(json, "iterations", json_integer(m->iterations)))
        qn_json_free(&json);
    return json;
}

const qn_family qn__family_linear = {
    .name = "linear",
    .title = "Linear model",
    .help = "Logistic, softmax or linear regression with squared and absolute penalties.",
    .takes = QN_TAKES_SPARSE | QN_WANTS_SCALED,
    .params = params_table,
    .n_params = sizeof params_table / sizeof *params_table,
    .params_bytes = sizeof(qn_linear_params),
    .fit = linear_fit,
    .predict = linear_predict,
    .predict_rows = linear_predict_rows,
    .explain = linear_explain,
    .importance = linear_importance,
    .save = linear_save,
    .load = linear_load,
    .describe = linear_describe,
    .free = linear_free,
};
