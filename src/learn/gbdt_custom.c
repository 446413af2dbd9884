/* Objectives that are the caller's own: whole arrays of doubles go out row by row and come back, are
 * checked, and become the floats by outputs that trees grow on. What training does with them from
 * there is what it does with its own. */
#include <math.h>

#include "learn/gbdt_int.h"

void qn__custom_done(qn__custom *c) {
    qn_freep(&c->raw);
    qn_freep(&c->g);
    qn_freep(&c->h);
}

qn_status qn__custom_init(qn__custom *c, int64_t n, int32_t n_outputs, qn_error *err) {
    size_t cells;
    if (!qn_size_mul((size_t)n, (size_t)n_outputs, &cells))
        return qn_error_memory(err);
    c->raw = n_outputs > 1 ? qn_malloc_aligned(cells, sizeof *c->raw) : NULL;
    c->g = qn_malloc_aligned(cells, sizeof *c->g);
    c->h = qn_malloc_aligned(cells, sizeof *c->h);
    return (n_outputs > 1 && !c->raw) || !c->g || !c->h ? qn_error_memory(err) : QN_OK;
}

/* Squares of floats are still to be added up. */
static bool is_fine(double x) {
    return fabs(x) <= 1e18;
}

static qn_status take(const qn__custom *c, const qn__objective_data *d, int64_t round, float *g,
                      float *h, qn_error *err) {
    int32_t n_k = d->n_outputs;
    for (int64_t i = 0; i < d->n; i++)
        for (int32_t k = 0; k < n_k; k++) {
            double gradient = c->g[i * n_k + k], hessian = c->h[i * n_k + k];
            if (!is_fine(gradient) || !is_fine(hessian) || hessian < 0)
                return qn_error_set_at(err, QN_ERR_DATA, NULL, i + 1, NULL,
                                       "the objective gave gradient %g and second derivative %g in "
                                       "round %lld: both must be finite, the second not below 0",
                                       gradient, hessian, (long long)round + 1);
            g[k * d->n + i] = (float)gradient;
            h[k * d->n + i] = (float)hessian;
        }
    return QN_OK;
}

qn_status qn__custom_gradients(const qn__custom *c, const qn_fit_input *input,
                               const qn__objective_data *d, const double *score, int64_t round,
                               float *g, float *h, qn_error *err) {
    int32_t n_k = d->n_outputs;
    for (int64_t i = 0; n_k > 1 && i < d->n; i++)
        for (int32_t k = 0; k < n_k; k++)
            c->raw[i * n_k + k] = score[k * d->n + i];
    qn_status status = input->gradients(input->gradients_user, n_k > 1 ? c->raw : score, d->y, d->w,
                                        d->n, n_k, c->g, c->h);
    QN_FAIL_IF(status != QN_OK, err, status, "the objective ended training in round %lld",
               (long long)round + 1);
    return take(c, d, round, g, h, err);
}
