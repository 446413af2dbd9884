/* Initial scores: columns of the matrix that raw scores begin at, one for each output. */
#include <math.h>
#include <string.h>

#include "learn/gbdt_int.h"

static qn_status check_column(const qn_matrix *x, int32_t column, qn_error *err) {
    QN_FAIL_IF(column < 0 || column >= x->n_features
                   || x->features[column].kind != QN_FEATURE_NUMERIC,
               err, QN_ERR_USAGE, "init_score must be a feature of dense numbers");
    const double *init = x->columns[column].num;
    for (int64_t i = 0; i < x->n_rows; i++)
        if (!isfinite(init[i]))
            return qn_error_set_at(err, QN_ERR_DATA, NULL, i + 1, NULL,
                                   "the init_score is %s, not a finite number",
                                   isnan(init[i]) ? "missing" : "infinite");
    return QN_OK;
}

qn_status qn__init_check(const qn_fit_input *in, qn_error *err) {
    const int32_t n_k = in->task == QN_TASK_MULTICLASS ? in->n_classes : 1;
    if (!in->n_init)
        return QN_OK;
    QN_FAIL_IF(in->n_init != n_k, err, QN_ERR_CONFIG,
               "init_score needs one column for each raw score: %d, not %d", n_k, in->n_init);
    for (int32_t k = 0; k < n_k; k++)
        QN_TRY(check_column(in->train.x, in->init_features[k], err));
    return QN_OK;
}

bool qn__init_has(const qn_fit_input *in, int32_t column) {
    for (int32_t k = 0; k < in->n_init; k++)
        if (in->init_features[k] == column)
            return true;
    return false;
}

bool qn__init_same(const qn_fit_input *in, const qn__gbdt *m) {
    if (!m->init_columns || !in->n_init)
        return !m->init_columns && !in->n_init;
    for (int32_t k = 0; k < m->learner.n_outputs; k++)
        if ((int32_t)m->init_columns[k] != in->init_features[k] + 1)
            return false;
    return true;
}

qn_status qn__init_take(const qn_fit_input *in, qn__plain *plain, qn_error *err) {
    if (!in->n_init || plain->init_columns)
        return QN_OK;
    plain->init_columns = qn_new_array(uint32_t, in->n_init);
    if (!plain->init_columns)
        return qn_error_memory(err);
    for (int32_t k = 0; k < in->n_init; k++)
        plain->init_columns[k] = (uint32_t)in->init_features[k] + 1;
    return QN_OK;
}

void qn__init_add(const qn__plain *plain, const qn_matrix *x, int64_t n, double *score) {
    for (int32_t k = 0; plain->init_columns && k < plain->n_outputs; k++) {
        const double *init = x->columns[plain->init_columns[k] - 1].num;
        for (int64_t i = 0; i < x->n_rows; i++)
            score[k * n + i] += isnan(init[i]) ? 0 : init[i];
    }
}
