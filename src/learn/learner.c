#include "learn/learner.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "learn/family_int.h"

/* Rows of one block of a prediction. Blocks never depend on the number of threads. */
enum { BLOCK_ROWS = 2048 };

static double logistic(double x) {
    return 1 / (1 + exp(-x));
}

static void softmax_row(double *s, int32_t k) {
    double top = s[0], sum = 0;
    for (int32_t i = 1; i < k; i++)
        top = s[i] > top ? s[i] : top;
    for (int32_t i = 0; i < k; i++) {
        s[i] = exp(s[i] - top);
        sum += s[i];
    }
    for (int32_t i = 0; i < k; i++)
        s[i] /= sum;
}

/* Where all sigmoids are next to nothing they are exponentials, and their shares a softmax. */
static void ova_row(double *s, int32_t k) {
    double top = s[0], sum = 0;
    for (int32_t i = 1; i < k; i++)
        top = s[i] > top ? s[i] : top;
    if (top < -600) {
        softmax_row(s, k);
        return;
    }
    for (int32_t i = 0; i < k; i++) {
        s[i] = logistic(s[i]);
        sum += s[i];
    }
    for (int32_t i = 0; i < k; i++)
        s[i] /= sum;
}

qn_link qn__link_of(qn_task task) {
    static const qn_link links[] = {[QN_TASK_REGRESSION] = QN_LINK_IDENTITY,
                                    [QN_TASK_BINARY] = QN_LINK_LOGIT,
                                    [QN_TASK_MULTICLASS] = QN_LINK_SOFTMAX};
    return links[task];
}

void qn_link_apply(qn_link link, double *scores, int64_t n, int32_t n_outputs) {
    switch (link) {
    case QN_LINK_IDENTITY:
        return;
    case QN_LINK_LOGIT:
        for (int64_t i = 0; i < n * n_outputs; i++)
            scores[i] = logistic(scores[i]);
        return;
    case QN_LINK_SOFTMAX:
        for (int64_t i = 0; i < n; i++)
            softmax_row(scores + i * n_outputs, n_outputs);
        return;
    case QN_LINK_OVA:
        for (int64_t i = 0; i < n; i++)
            ova_row(scores + i * n_outputs, n_outputs);
        return;
    case QN_LINK_LOG:
        for (int64_t i = 0; i < n * n_outputs; i++)
            scores[i] = exp(scores[i]);
        return;
    }
}

void qn_learner_free(qn_learner **learner) {
    if (!learner || !*learner)
        return;
    (*learner)->family->free(*learner);
    *learner = NULL;
}

static qn_status check_data(const qn_fit_input *input, const qn_fit_data *data, const char *what,
                            qn_error *err) {
    bool classes = input->task != QN_TASK_REGRESSION;
    QN_FAIL_IF(!data->x || !data->y || data->x->n_rows < 1, err, QN_ERR_DATA,
               "there are no %s rows to learn from", what);
    for (int64_t i = 0; i < data->x->n_rows; i++) {
        double y = data->y[i];
        bool good = classes ? y >= 0 && y < input->n_classes && y == floor(y) : (bool)isfinite(y);
        QN_FAIL_IF(!good, err, QN_ERR_DATA, "%s row %lld: the target %g is not a valid %s", what,
                   (long long)i + 1, y, classes ? "class" : "value");
        QN_FAIL_IF(data->weight && !(data->weight[i] > 0 && isfinite(data->weight[i])), err,
                   QN_ERR_DATA, "%s row %lld: the weight %g is not a positive number", what,
                   (long long)i + 1, data->weight[i]);
    }
    return QN_OK;
}

static qn_status check_input(const qn_fit_input *input, qn_error *err) {
    bool classes = input->task != QN_TASK_REGRESSION;
    QN_FAIL_IF(classes && input->n_classes < 2, err, QN_ERR_USAGE,
               "a classification needs at least 2 classes, not %d", (int)input->n_classes);
    QN_FAIL_IF(input->task == QN_TASK_BINARY && input->n_classes != 2, err, QN_ERR_USAGE,
               "a binary task has 2 classes, not %d", (int)input->n_classes);
    QN_TRY(check_data(input, &input->train, "training", err));
    if (!input->valid.x)
        return QN_OK;
    QN_FAIL_IF(input->valid.x->n_features != input->train.x->n_features, err, QN_ERR_USAGE,
               "validation rows have %d features, training rows %d",
               (int)input->valid.x->n_features, (int)input->train.x->n_features);
    return check_data(input, &input->valid, "validation", err);
}

/* *ret_values, owned by the caller, points into `params` where it holds maps or lists. */
static qn_status read_params(const qn_family *family, const json_t *params, void **ret_values,
                             qn_error *err) {
    qn_cleanup(qn_freep) void *values = qn_calloc(1,
                                                  family->params_bytes ? family->params_bytes : 1);
    if (!values)
        return qn_error_memory(err);
    qn_params_default(family->params, family->n_params, values);
    if (params && !json_is_null(params)) {
        qn_status status =
            qn_params_from_json(family->params, family->n_params, params, values, err);
        if (status != QN_OK) {
            qn_error_prefix(err, "family %s", family->name);
            return status;
        }
    }
    *ret_values = qn_steal(&values);
    return QN_OK;
}

qn_status qn_learner_check(const qn_family *family, const json_t *params, qn_error *err) {
    qn_cleanup(qn_freep) void *values = NULL;
    return read_params(family, params, &values, err);
}

qn_status qn_learner_check_targets(const qn_family *family, const json_t *params, qn_task task,
                                   bool has_queries, const double *y, int64_t n,
                                   const char *column, qn_error *err) {
    qn_cleanup(qn_freep) void *values = NULL;
    if (!family->check_target)
        return QN_OK;
    QN_TRY(read_params(family, params, &values, err));
    for (int64_t i = 0; i < n; i++) {
        qn_error why = {0};
        qn_status status = isnan(y[i]) ? QN_OK
                                       : family->check_target(values, task, has_queries, y[i],
                                                              &why);
        if (status != QN_OK)
            return qn_error_set_at(err, status, NULL, status == QN_ERR_DATA ? i + 1 : 0,
                                   status == QN_ERR_DATA ? column : NULL, "%s", why.message);
    }
    return QN_OK;
}

qn_status qn_learner_fit(const qn_family *family, const json_t *params, const qn_fit_input *input,
                         const qn_job *job, qn_learner **ret_learner, qn_error *err) {
    QN_TRY(check_input(input, err));
    QN_FAIL_IF(input->n_init > 0 && !family->takes_init, err, QN_ERR_CONFIG,
               "family %s knows no init_score", family->name);
    QN_FAIL_IF(input->gradients && !family->takes_gradients, err, QN_ERR_CONFIG,
               "family %s takes no objective of the caller's own", family->name);
    qn_cleanup(qn_freep) void *values = NULL;
    QN_TRY(read_params(family, params, &values, err));
    QN_TRY(qn_job_check(job, err));
    QN_FAIL_IF(input->from && strcmp(family->name, "gbdt") != 0, err, QN_ERR_USAGE,
               "family %s cannot go on from a model: only gbdt can", family->name);
    return family->fit(values, input, job, ret_learner, err);
}

void qn_learner_predict(const qn_learner *learner, const qn_matrix *x, bool linked,
                        const qn_job *job, double *scores) {
    int64_t n_blocks = (x->n_rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    int n_threads = n_blocks < qn_job_threads(job) ? (int)n_blocks : qn_job_threads(job);
    if (n_threads < 1)
        n_threads = 1;
#pragma omp parallel for schedule(dynamic) num_threads(n_threads) if (n_threads > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t first = b * BLOCK_ROWS, n = x->n_rows - first;
        n = n < BLOCK_ROWS ? n : BLOCK_ROWS;
        double *out = scores + first * learner->n_outputs;
        learner->family->predict(learner, x, first, n, out);
        if (linked)
            qn_link_apply(learner->link, out, n, learner->n_outputs);
    }
}
