/* L-BFGS (Nocedal 1980; Liu and Nocedal 1989) for the smooth problems. Scores are linear in the
 * coefficients, so a line search needs no further pass over the data: it walks along scores + t
 * D. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "learn/linear_newton_int.h"

enum { HISTORY = 10, BLOCK_ROWS = 1 << 16, MAX_STEPS = 40, PATIENCE = 12 };

static double loss_identity(double y, double s, double *ret_slope) {
    *ret_slope = s - y;
    return 0.5 * (s - y) * (s - y);
}

/* log(1 + exp(s)) - y s without overflow. */
static double loss_logit(double y, double s, double *ret_slope) {
    double e = exp(-fabs(s)), p = (s >= 0 ? 1 : e) / (1 + e);
    *ret_slope = p - y;
    return log1p(e) + (s > 0 ? s : 0) - y * s;
}

static double loss_softmax(double y, const double *s, int64_t n, int32_t n_outputs, double weight,
                           double *residual) {
    double top = s[0], sum = 0;
    for (int32_t k = 1; k < n_outputs; k++)
        top = s[k * n] > top ? s[k * n] : top;
    for (int32_t k = 0; k < n_outputs; k++)
        sum += exp(s[k * n] - top);
    for (int32_t k = 0; residual && k < n_outputs; k++)
        residual[k * n] = weight * (exp(s[k * n] - top) / sum - (k == (int32_t)y));
    return log(sum) + top - s[(int32_t)y * n];
}

static double loss_rows(const qn__linear_problem *problem, int64_t n, const double *y,
                        const double *weight, const double *scores, int64_t first, int64_t last,
                        double *residual) {
    double total = 0;
    for (int64_t i = first; i < last; i++) {
        double slope;
        if (problem->link == QN_LINK_SOFTMAX) {
            total += weight[i] * loss_softmax(y[i], scores + i, n, problem->n_outputs, weight[i],
                                              residual ? residual + i : NULL);
            continue;
        }
        total += weight[i] * (problem->link == QN_LINK_LOGIT
                                  ? loss_logit(y[i], scores[i], &slope)
                                  : loss_identity(y[i], scores[i], &slope));
        if (residual)
            residual[i] = weight[i] * slope;
    }
    return total;
}

/* Partial sums of a fixed number of stripes, whatever n is, so that they fit on the stack. */
double qn__linear_loss(const qn__linear_problem *problem, int64_t n, const double *y,
                       const double *weight, const double *scores, double *residual) {
    enum { STRIPES = 64 };
    double part[STRIPES], total = 0;
    int n_threads = n * problem->n_outputs > BLOCK_ROWS ? problem->design->n_threads : 1;
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (int s = 0; s < STRIPES; s++)
        part[s] = loss_rows(problem, n, y, weight, scores, n * s / STRIPES, n * (s + 1) / STRIPES,
                            residual);
    for (int s = 0; s < STRIPES; s++)
        total += part[s];
    return total;
}

/* All vectors of one run, in one block of memory. */
typedef struct run {
    const qn__linear_problem *problem;
    int64_t dim, n_penalised, n_scores;
    double *memory;                 /* owned; holds all below */
    double *theta;                  /* borrowed: the caller's */
    double *gradient, *previous, *direction;
    double *s[HISTORY], *y[HISTORY]; /* rings of steps and changes of the gradient */
    double rho[HISTORY];
    int n_stored, newest;
    double *scores, *slope, *trial, *residual;
    double value;
    bool steered;                   /* the direction came from the curvature */
} run;

static qn_status run_init(run *r, const qn__linear_problem *problem, double *theta, qn_error *err) {
    int64_t k = problem->n_outputs, p = problem->design->p;
    *r = (run){.problem = problem, .theta = theta, .newest = -1};
    r->n_penalised = k * p;
    r->dim = k * (p + 1);
    r->n_scores = k * problem->design->n;
    size_t n_doubles = (size_t)r->dim * (3 + 2 * HISTORY) + (size_t)r->n_scores * 4;
    r->memory = qn_malloc_aligned(n_doubles, sizeof(double));
    if (!r->memory)
        return qn_error_memory(err);
    double *at = r->memory, **vectors[] = {&r->gradient, &r->previous, &r->direction};
    double **by_row[] = {&r->scores, &r->slope, &r->trial, &r->residual};
    for (size_t i = 0; i < 3; i++, at += r->dim)
        *vectors[i] = at;
    for (int h = 0; h < HISTORY; h++, at += 2 * r->dim) {
        r->s[h] = at;
        r->y[h] = at + r->dim;
    }
    for (size_t i = 0; i < 4; i++, at += r->n_scores)
        *by_row[i] = at;
    return QN_OK;
}

/* The gradient from the residuals of the current scores. */
static void refresh_gradient(run *r) {
    const qn__linear_problem *problem = r->problem;
    qn__linear_gradient(problem->design, problem->n_outputs, r->residual, r->gradient);
    for (int64_t i = 0; i < r->n_penalised; i++)
        r->gradient[i] += problem->l2 * r->theta[i];
    for (int64_t i = r->n_penalised; i < r->dim && !problem->fit_intercept; i++)
        r->gradient[i] = 0;
}

static double largest(const double *x, int64_t n) {
    double top = 0;
    for (int64_t i = 0; i < n; i++)
        top = fabs(x[i]) > top ? fabs(x[i]) : top;
    return top;
}

/* The two-loop recursion (Nocedal and Wright, algorithm 7.4). */
static void choose_direction(run *r) {
    double alpha[HISTORY];
    double *d = r->direction;
    for (int64_t i = 0; i < r->dim; i++)
        d[i] = -r->gradient[i];
    for (int back = 0; back < r->n_stored; back++) {
        int h = (r->newest - back + HISTORY) % HISTORY;
        alpha[h] = r->rho[h] * qn__linear_dot(r->s[h], d, r->dim);
        for (int64_t i = 0; i < r->dim; i++)
            d[i] -= alpha[h] * r->y[h][i];
    }
    qn__linear_curvature *curvature = r->problem->curvature;
    r->steered = curvature && qn__linear_curvature_solve(curvature, r->problem, d);
    if (r->n_stored && !r->steered) {
        const double *y = r->y[r->newest];
        double gamma = 1 / (r->rho[r->newest] * qn__linear_dot(y, y, r->dim));
        for (int64_t i = 0; i < r->dim; i++)
            d[i] *= gamma;
    }
    for (int back = r->n_stored - 1; back >= 0; back--) {
        int h = (r->newest - back + HISTORY) % HISTORY;
        double beta = r->rho[h] * qn__linear_dot(r->y[h], d, r->dim);
        for (int64_t i = 0; i < r->dim; i++)
            d[i] += (alpha[h] - beta) * r->s[h][i];
    }
}

/* A step that satisfies the weak Wolfe conditions, by bisection; 0 when rounding forbids
 * progress. */
static double search(run *r, double start, double slope0) {
    const qn__linear_problem *problem = r->problem;
    double square = qn__linear_dot(r->direction, r->direction, r->n_penalised);
    double cross = qn__linear_dot(r->theta, r->direction, r->n_penalised);
    double norm = qn__linear_dot(r->theta, r->theta, r->n_penalised), low = 0, high = INFINITY,
           t = start;
    for (int step = 0; step < MAX_STEPS; step++) {
        for (int64_t i = 0; i < r->n_scores; i++)
            r->trial[i] = r->scores[i] + t * r->slope[i];
        double value = qn__linear_loss(problem, problem->design->n, problem->y, problem->a,
                                       r->trial, r->residual);
        value += 0.5 * problem->l2 * (norm + 2 * t * cross + t * t * square);
        double slope = qn__linear_dot(r->residual, r->slope, r->n_scores) +
                       problem->l2 * (cross + t * square);
        /* Near the optimum the value cannot tell any more; the slope still can. */
        double slack = 1e-14 * fabs(r->value);
        if (!(value <= r->value + 1e-4 * t * slope0 + slack) || !(slope <= fabs(slope0))) {
            high = t;
        } else if (slope < 0.9 * slope0) {
            low = t;
        } else {
            r->value = value;
            return t;
        }
        t = isinf(high) ? 2 * t : 0.5 * (low + high);
    }
    return 0;
}

static void remember(run *r, double t) {
    int h = (r->newest + 1) % HISTORY;
    for (int64_t i = 0; i < r->dim; i++) {
        r->s[h][i] = t * r->direction[i];
        r->y[h][i] = r->gradient[i] - r->previous[i];
    }
    double sy = qn__linear_dot(r->s[h], r->y[h], r->dim);
    if (!(sy > 1e-300))
        return;
    r->rho[h] = 1 / sy;
    r->newest = h;
    r->n_stored += r->n_stored < HISTORY;
}

/* The curvature of where the search is now: at the start of a path, and when an older one serves
 * badly. */
static qn_status refresh_curvature(const run *r, int64_t n_iterations, qn_error *err) {
    qn__linear_curvature *c = r->problem->curvature;
    if (!c || (c->measured && (n_iterations == 0 || n_iterations % PATIENCE != 0)))
        return QN_OK;
    return qn__linear_curvature_measure(c, r->problem, r->scores, err);
}

/* One iteration; false when nothing more can be gained. */
static bool iterate(run *r) {
    const qn__linear_problem *problem = r->problem;
    choose_direction(r);
    double slope = qn__linear_dot(r->gradient, r->direction, r->dim);
    if (!(slope < 0)) {
        r->n_stored = 0;
        choose_direction(r);
        slope = qn__linear_dot(r->gradient, r->direction, r->dim);
    }
    qn__linear_scores(problem->design, problem->n_outputs, r->direction, r->slope);
    double t = search(r, r->n_stored || r->steered ? 1 : 1 / fmax(1, sqrt(-slope)), slope);
    if (t == 0)
        return false;
    for (int64_t i = 0; i < r->dim; i++)
        r->theta[i] += t * r->direction[i];
    double *swap = r->scores;
    r->scores = r->trial;
    r->trial = swap;
    memcpy(r->previous, r->gradient, (size_t)r->dim * sizeof(double));
    refresh_gradient(r);
    remember(r, t);
    return true;
}

static qn_status solve(run *r, int64_t *ret_iterations, qn_error *err) {
    const qn__linear_problem *problem = r->problem;
    qn__linear_scores(problem->design, problem->n_outputs, r->theta, r->scores);
    r->value = qn__linear_loss(problem, problem->design->n, problem->y, problem->a, r->scores,
                               r->residual) +
               0.5 * problem->l2 * qn__linear_dot(r->theta, r->theta, r->n_penalised);
    refresh_gradient(r);
    int64_t n = 0;
    while (n < problem->max_iter && largest(r->gradient, r->dim) > problem->tol) {
        QN_TRY(qn_job_check(problem->job, err));
        QN_TRY(refresh_curvature(r, n, err));
        n++;
        if (iterate(r))
            continue;
        /* A stale history can spoil the direction; steepest descent gets one try. */
        if (r->n_stored == 0)
            break;
        r->n_stored = 0;
    }
    *ret_iterations = n;
    return QN_OK;
}

qn_status qn__linear_solve_lbfgs(const qn__linear_problem *problem, double *theta,
                                 int64_t *ret_iterations, qn_error *err) {
    run r;
    QN_TRY(run_init(&r, problem, theta, err));
    qn_status status = solve(&r, ret_iterations, err);
    qn_freep(&r.memory);
    return status;
}
