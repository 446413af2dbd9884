/* Coordinate descent for problems with an absolute penalty: per output a quadratic model of the
 * loss around the current scores, minimised coordinate by coordinate over an active set (Friedman,
 * Hastie, Tibshirani 2010), then a step along it that is shortened until the true objective falls
 * (Yuan, Ho, Lin 2012), which is what makes it converge from anywhere. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "learn/linear_int.h"

enum { MAX_SWEEPS = 10000 };

typedef struct run {
    const qn__linear_problem *problem;
    int64_t n;
    int32_t p;
    double *memory;   /* owned; holds all below but theta */
    double *theta;    /* borrowed */
    double *scores;   /* [n_outputs][n] */
    double *residual; /* [n_outputs][n] */
    double *gradient; /* theta's layout */
    /* of the output at work */
    double *q;        /* [n]: derivative of the model by the score */
    double *h;        /* [n]: its curvature */
    double *beta;     /* [p + 1]: where the model's minimum is; then its difference to theta */
    double *curve;    /* [p]: sum h x^2 of standardised x; negative: not yet computed */
    double *cross;    /* [p]: sum h x of centred, unscaled x */
    double *step;     /* [n]: change of the scores */
    double *trial;    /* [n_outputs][n] */
    double sum_q, sum_h;
} run;

static qn_status run_init(run *r, const qn__linear_problem *problem, double *theta, qn_error *err) {
    int64_t n = problem->design->n, p = problem->design->p, k = problem->n_outputs;
    *r = (run){.problem = problem, .n = n, .p = (int32_t)p, .theta = theta};
    r->memory = qn_malloc_aligned((size_t)(k * n * 3 + k * (p + 1) + 3 * n + 3 * p + 1),
                                  sizeof(double));
    if (!r->memory)
        return qn_error_memory(err);
    double *at = r->memory;
    r->scores = at, at += k * n;
    r->residual = at, at += k * n;
    r->trial = at, at += k * n;
    r->gradient = at, at += k * (p + 1);
    r->q = at, at += n;
    r->h = at, at += n;
    r->step = at, at += n;
    r->beta = at, at += p + 1;
    r->curve = at, at += p;
    r->cross = at;
    return QN_OK;
}

/* Curvature of the loss by score k, row by row: a p (1 - p), which residuals a (p - y) give
 * away. */
static void build_model(run *r, int32_t k) {
    const qn__linear_problem *problem = r->problem;
    const double *residual = r->residual + k * r->n;
    r->sum_q = r->sum_h = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double a = problem->a[i], h = a;
        if (problem->link != QN_LINK_IDENTITY) {
            double y = problem->link == QN_LINK_SOFTMAX ? problem->y[i] == k : problem->y[i];
            double prob = a > 0 ? residual[i] / a + y : 0;
            h = a * fmax(prob * (1 - prob), 1e-8);
        }
        r->q[i] = residual[i];
        r->h[i] = h;
        r->sum_q += r->q[i];
        r->sum_h += h;
    }
    for (int32_t j = 0; j < r->p; j++)
        r->curve[j] = -1;
}

static void measure_column(run *r, int32_t j) {
    const qn__linear_column *c = &r->problem->design->columns[j];
    double square = 0, cross = 0;
    if (c->num) {
        for (int64_t i = 0; i < r->n; i++) {
            double d = c->num[i] - c->centre;
            cross += r->h[i] * d;
            square += r->h[i] * d * d;
        }
    } else {
        for (int64_t s = 0; s < c->n_set; s++) {
            double x = isnan(c->value[s]) ? 0 : c->value[s];
            cross += r->h[c->row[s]] * x;
            square += r->h[c->row[s]] * x * x;
        }
    }
    r->cross[j] = cross;
    r->curve[j] = square * c->scale * c->scale;
}

static double slope_of(const run *r, const qn__linear_column *c) {
    double sum = 0;
    if (c->num) {
        for (int64_t i = 0; i < r->n; i++)
            sum += r->q[i] * c->num[i];
    } else {
        for (int64_t s = 0; s < c->n_set; s++)
            sum += r->q[c->row[s]] * (isnan(c->value[s]) ? 0 : c->value[s]);
    }
    return (sum - c->centre * r->sum_q) * c->scale;
}

static void move(run *r, const qn__linear_column *c, int32_t j, double delta) {
    double by = delta * c->scale;
    if (c->num) {
        for (int64_t i = 0; i < r->n; i++)
            r->q[i] += r->h[i] * (c->num[i] - c->centre) * by;
    } else {
        for (int64_t s = 0; s < c->n_set; s++)
            r->q[c->row[s]] += r->h[c->row[s]] * (isnan(c->value[s]) ? 0 : c->value[s]) * by;
    }
    r->sum_q += r->cross[j] * by;
}

static double soft(double x, double by) {
    return x > by ? x - by : x < -by ? x + by : 0;
}

/* Minimises the model along coordinate j; how much the derivative there had been off. */
static double update(run *r, int32_t j) {
    const qn__linear_column *c = &r->problem->design->columns[j];
    if (c->scale == 0)
        return 0;
    if (r->curve[j] < 0)
        measure_column(r, j);
    double curve = r->curve[j] + r->problem->l2, old = r->beta[j];
    if (!(curve > 0))
        return 0;
    double slope = slope_of(r, c) + r->problem->l2 * old;
    double fresh = soft(curve * old - slope, r->problem->l1) / curve;
    if (fresh == old)
        return 0;
    r->beta[j] = fresh;
    move(r, c, j, fresh - old);
    return fabs(fresh - old) * curve;
}

static double update_intercept(run *r) {
    if (!r->problem->fit_intercept || !(r->sum_h > 0))
        return 0;
    double exact = 0;
    for (int64_t i = 0; i < r->n; i++)
        exact += r->q[i];
    double delta = -exact / r->sum_h;
    for (int64_t i = 0; i < r->n; i++)
        r->q[i] += r->h[i] * delta;
    r->beta[r->p] += delta;
    r->sum_q = 0;
    return fabs(exact);
}

static double sweep(run *r, bool all) {
    double off = update_intercept(r);
    for (int32_t j = 0; j < r->p; j++) {
        if (!all && r->beta[j] == 0)
            continue;
        double by = update(r, j);
        off = by > off ? by : off;
    }
    return off;
}

static qn_status minimise_model(run *r, double tol, int64_t *io_sweeps, qn_error *err) {
    for (int n = 0; n < MAX_SWEEPS; n++) {
        QN_TRY(qn_job_check(r->problem->job, err));
        ++*io_sweeps;
        if (sweep(r, true) <= tol)
            break;
        for (; n < MAX_SWEEPS && sweep(r, false) > tol; n++)
            ++*io_sweeps;
    }
    return QN_OK;
}

static double penalty(const run *r) {
    double absolute = 0, square = 0;
    for (int64_t i = 0; i < (int64_t)r->problem->n_outputs * r->p; i++) {
        absolute += fabs(r->theta[i]);
        square += r->theta[i] * r->theta[i];
    }
    return r->problem->l1 * absolute + 0.5 * r->problem->l2 * square;
}

/* Moves output k towards the model's minimum, at most all the way. */
static void take_step(run *r, int32_t k, double *io_value) {
    const qn__linear_problem *problem = r->problem;
    double *theta = r->theta + (int64_t)k * r->p;
    double *intercept = r->theta + (int64_t)problem->n_outputs * r->p + k;
    size_t bytes = (size_t)problem->n_outputs * (size_t)r->n * sizeof(double);
    for (int32_t j = 0; j < r->p; j++)
        r->beta[j] -= theta[j];
    r->beta[r->p] -= *intercept;
    qn__linear_scores(problem->design, 1, r->beta, r->step);
    double done = 0;
    memcpy(r->trial, r->scores, bytes);
    for (double t = 1; t > 0x1p-30; t /= 2) {
        for (int32_t j = 0; j < r->p; j++)
            theta[j] += (t - done) * r->beta[j];
        *intercept += (t - done) * r->beta[r->p];
        for (int64_t i = 0; i < r->n; i++)
            r->trial[k * r->n + i] = r->scores[k * r->n + i] + t * r->step[i];
        done = t;
        double value = qn__linear_loss(problem, r->n, problem->y, problem->a, r->trial,
                                       r->residual) +
                       penalty(r);
        if (value <= *io_value + 1e-15 * fabs(*io_value)) {
            *io_value = value;
            memcpy(r->scores, r->trial, bytes);
            return;
        }
    }
    for (int32_t j = 0; j < r->p; j++)
        theta[j] -= done * r->beta[j];
    *intercept -= done * r->beta[r->p];
    (void)qn__linear_loss(problem, r->n, problem->y, problem->a, r->scores, r->residual);
}

/* How far the conditions of an optimum are violated at worst. */
static double violation(run *r) {
    const qn__linear_problem *problem = r->problem;
    int64_t n_penalised = (int64_t)problem->n_outputs * r->p;
    double worst = 0;
    qn__linear_gradient(problem->design, problem->n_outputs, r->residual, r->gradient);
    for (int64_t i = 0; i < n_penalised; i++) {
        double g = r->gradient[i] + problem->l2 * r->theta[i], b = r->theta[i];
        double off = b > 0 ? fabs(g + problem->l1) : b < 0 ? fabs(g - problem->l1)
                                                           : fmax(0, fabs(g) - problem->l1);
        worst = off > worst ? off : worst;
    }
    for (int64_t k = 0; problem->fit_intercept && k < problem->n_outputs; k++)
        worst = fmax(worst, fabs(r->gradient[n_penalised + k]));
    return worst;
}

static qn_status solve(run *r, int64_t *ret_iterations, qn_error *err) {
    const qn__linear_problem *problem = r->problem;
    int64_t sweeps = 0;
    qn__linear_scores(problem->design, problem->n_outputs, r->theta, r->scores);
    double value = qn__linear_loss(problem, r->n, problem->y, problem->a, r->scores, r->residual) +
                   penalty(r);
    for (int64_t outer = 0; outer < problem->max_iter; outer++) {
        double off = violation(r), before = value;
        if (off <= problem->tol)
            break;
        for (int32_t k = 0; k < problem->n_outputs; k++) {
            build_model(r, k);
            memcpy(r->beta, r->theta + (int64_t)k * r->p, (size_t)r->p * sizeof(double));
            r->beta[r->p] = r->theta[(int64_t)problem->n_outputs * r->p + k];
            QN_TRY(minimise_model(r, fmax(0.1 * problem->tol, 0.02 * off), &sweeps, err));
            take_step(r, k, &value);
        }
        if (outer > 20 && !(before - value > 1e-15 * fabs(before)))
            break;
    }
    *ret_iterations = sweeps;
    return QN_OK;
}

qn_status qn__linear_solve_cd(const qn__linear_problem *problem, double *theta,
                              int64_t *ret_iterations, qn_error *err) {
    run r;
    QN_TRY(run_init(&r, problem, theta, err));
    qn_status status = solve(&r, ret_iterations, err);
    qn_freep(&r.memory);
    return status;
}
