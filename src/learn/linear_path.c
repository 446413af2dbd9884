#include "learn/linear_path_int.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

enum { N_FOLDS = 3, MAX_WORSE = 3 };

qn_status qn__linear_solve(const qn__linear_problem *problem, double *theta,
                           int64_t *ret_iterations, qn_error *err) {
    return problem->l1 > 0 ? qn__linear_solve_cd(problem, theta, ret_iterations, err)
                           : qn__linear_solve_lbfgs(problem, theta, ret_iterations, err);
}

void qn__linear_start(const qn__linear_problem *problem, double *theta) {
    int64_t k = problem->n_outputs, p = problem->design->p, n = problem->design->n;
    double *intercept = theta + k * p, mean = 0;
    memset(theta, 0, (size_t)(k * (p + 1)) * sizeof(double));
    if (!problem->fit_intercept)
        return;
    if (problem->link != QN_LINK_SOFTMAX) {
        for (int64_t i = 0; i < n; i++)
            mean += problem->a[i] * problem->y[i];
        if (problem->link == QN_LINK_IDENTITY)
            intercept[0] = mean;
        else if (mean > 0 && mean < 1)
            intercept[0] = log(mean / (1 - mean));
        return;
    }
    for (int64_t i = 0; i < n; i++)
        intercept[(int64_t)problem->y[i]] += problem->a[i];
    for (int64_t j = 0; j < k; j++) {
        intercept[j] = log(fmax(intercept[j], 1e-6));
        mean += intercept[j] / (double)k;
    }
    for (int64_t j = 0; j < k; j++)
        intercept[j] -= mean;
}

void qn__linear_set_lambda(qn__linear_problem *problem, double lambda, double l1_ratio,
                           double unit) {
    problem->l1 = lambda * l1_ratio / unit;
    problem->l2 = lambda * (1 - l1_ratio);
}

/* The first lambda of the path: where an absolute penalty lets the first coefficient in; for a
 * squared penalty alone, heavy shrinkage. */
static qn_status first_lambda(const qn__linear_problem *problem, const double *theta,
                              const qn__linear_path *path, double *ret_lambda, qn_error *err) {
    if (path->l1_ratio < 0.05) {
        *ret_lambda = 10;
        return QN_OK;
    }
    int64_t k = problem->n_outputs, p = problem->design->p, n = problem->design->n;
    qn_cleanup(qn_freep) double *scores = qn_malloc_aligned((size_t)(2 * k * n), sizeof(double));
    qn_cleanup(qn_freep) double *gradient = qn_new_array(double, k * (p + 1));
    if (!scores || !gradient)
        return qn_error_memory(err);
    qn__linear_scores(problem->design, problem->n_outputs, theta, scores);
    (void)qn__linear_loss(problem, n, problem->y, problem->a, scores, scores + k * n);
    qn__linear_gradient(problem->design, problem->n_outputs, scores + k * n, gradient);
    double top = 0;
    for (int64_t i = 0; i < k * p; i++)
        top = fmax(top, fabs(gradient[i]));
    *ret_lambda = top > 0 ? top * path->unit / path->l1_ratio : 1;
    return QN_OK;
}

/* One training set of the path: the whole (judged on other rows) or all but one fold. */
typedef struct trial {
    qn__linear_problem problem;
    double *a;     /* owned: weights of its training rows; NULL when borrowed */
    double *held;  /* owned: weights of the rows it is judged on (folds only) */
    double *theta; /* owned: the warm start */
} trial;

static void trial_done(trial *t) {
    qn_freep(&t->a);
    qn_freep(&t->held);
    qn_freep(&t->theta);
}

static qn_status trial_init(trial *t, const qn__linear_path *path, int fold, qn_error *err) {
    const qn__linear_problem *whole = path->problem;
    int64_t n = whole->design->n, dim = (int64_t)whole->n_outputs * (whole->design->p + 1);
    t->problem = *whole;
    t->problem.tol = fmax(whole->tol, 1e-4);
    t->theta = qn_new_array(double, dim);
    if (!t->theta)
        return qn_error_memory(err);
    if (fold >= 0) {
        t->a = qn_new_array(double, n);
        t->held = qn_new_array(double, n);
        if (!t->a || !t->held)
            return qn_error_memory(err);
        double sum = 0;
        for (int64_t i = 0; i < n; i++) {
            bool out = (int)(qn_rng_hash(path->seed, (uint64_t)i) % N_FOLDS) == fold;
            t->a[i] = out ? 0 : whole->a[i];
            t->held[i] = out ? whole->a[i] : 0;
            sum += t->a[i];
        }
        for (int64_t i = 0; i < n && sum > 0; i++)
            t->a[i] /= sum;
        t->problem.a = t->a;
    }
    qn__linear_start(&t->problem, t->theta);
    return QN_OK;
}

/* The loss of a trial on the rows it is judged on. */
static double judge(const trial *t, const qn__linear_path *path, double *scores, double *raw) {
    int32_t k = t->problem.n_outputs;
    if (t->held) {
        qn__linear_scores(t->problem.design, k, t->theta, scores);
        return qn__linear_loss(&t->problem, t->problem.design->n, t->problem.y, t->held, scores,
                               NULL);
    }
    int64_t n = path->valid->n;
    qn__linear_scores(path->valid, k, t->theta, scores);
    if (!path->loss)
        return qn__linear_loss(&t->problem, n, path->valid_y, path->valid_a, scores, NULL);
    for (int64_t i = 0; i < n; i++)
        for (int32_t o = 0; o < k; o++)
            raw[i * k + o] = scores[o * n + i] * path->unit + path->shift;
    return path->loss(path->user, path->problem->link, raw, NULL);
}

static qn_status walk(trial *trials, int n_trials, const qn__linear_path *path, double *best_theta,
                      double *ret_lambda, qn_error *err) {
    const qn__linear_problem *whole = path->problem;
    int64_t n = path->valid ? path->valid->n : whole->design->n, k = whole->n_outputs;
    size_t theta_bytes = (size_t)(k * (whole->design->p + 1)) * sizeof(double);
    qn_cleanup(qn_freep) double *scores = qn_malloc_aligned((size_t)(2 * k * n), sizeof(double));
    if (!scores)
        return qn_error_memory(err);
    double lambda, best = INFINITY, began = qn_now_s(),
                   budget = whole->job ? whole->job->budget_s : 0;
    QN_TRY(first_lambda(&trials[0].problem, trials[0].theta, path, &lambda, err));
    *ret_lambda = lambda;
    for (int step = 0, worse = 0; step < path->n_steps && worse < MAX_WORSE; step++) {
        double loss = 0;
        for (int t = 0; t < n_trials; t++) {
            int64_t iterations;
            qn__linear_set_lambda(&trials[t].problem, lambda, path->l1_ratio, path->unit);
            QN_TRY(qn__linear_solve(&trials[t].problem, trials[t].theta, &iterations, err));
            loss += judge(&trials[t], path, scores, scores + k * n);
        }
        worse = loss < best - 1e-5 * fabs(best) || step == 0 ? 0 : worse + 1;
        if (loss < best || step == 0) {
            best = loss;
            *ret_lambda = lambda;
            memcpy(best_theta, trials[0].theta, theta_bytes);
        }
        /* The walk mostly stops before its last step: no share of it is claimed. */
        char note[64];
        snprintf(note, sizeof note, "penalty %d of at most %d", step + 1, path->n_steps);
        qn_job_progress(whole->job, "train linear", step + 1, 0, note);
        if (budget > 0 && qn_now_s() - began > budget)
            break;
        lambda *= path->ratio;
    }
    return QN_OK;
}

qn_status qn__linear_choose(const qn__linear_path *path, double *theta, double *ret_lambda,
                            qn_error *err) {
    trial trials[N_FOLDS] = {0};
    int n_trials = path->valid ? 1 : N_FOLDS;
    qn_status status = QN_OK;
    for (int t = 0; t < n_trials && status == QN_OK; t++)
        status = trial_init(&trials[t], path, path->valid ? -1 : t, err);
    if (status == QN_OK)
        status = walk(trials, n_trials, path, theta, ret_lambda, err);
    for (int t = 0; t < n_trials; t++)
        trial_done(&trials[t]);
    return status;
}
