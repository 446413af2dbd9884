#include "evaluate/calibrate.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "learn/order.h"

enum { MAX_KNOTS = 1 << 20, MAX_NEWTON = 100 };

/* One map of one output. */
typedef struct map {
    double a, b;   /* Platt */
    int64_t n;     /* isotonic: knots */
    double *x, *y; /* owned; [n]; x strictly ascending, y not descending, in 0..1 */
} map;

struct qn_calibrator {
    qn_calibration_kind kind;
    int32_t n_outputs;
    map *maps; /* owned; [n_outputs] */
};

void qn_calibrator_free(qn_calibrator **calibrator) {
    qn_calibrator *c = calibrator ? *calibrator : NULL;
    if (!c)
        return;
    for (int32_t k = 0; c->maps && k < c->n_outputs; k++) {
        qn_freep(&c->maps[k].x);
        qn_freep(&c->maps[k].y);
    }
    qn_freep(&c->maps);
    qn_freep(calibrator);
}

static qn_status calibrator_new(qn_calibration_kind kind, int32_t n_outputs,
                                qn_calibrator **ret_calibrator, qn_error *err) {
    qn_cleanup(qn_calibrator_free) qn_calibrator *c = qn_new(qn_calibrator);
    if (!c)
        return qn_error_memory(err);
    c->kind = kind;
    c->n_outputs = n_outputs;
    c->maps = qn_new_array(map, n_outputs);
    if (!c->maps)
        return qn_error_memory(err);
    *ret_calibrator = qn_steal(&c);
    return QN_OK;
}

static double logistic(double x) {
    return 1 / (1 + exp(-x));
}

/* Probabilities of exactly 0 and 1 have no logit; those of a saturated sigmoid stay in order. */
static double logit(double p) {
    double low = 1e-15;
    p = p < low ? low : p > 1 - low ? 1 - low : p;
    return log(p) - log1p(-p);
}

/* One output's training rows: `positive` says which y counts. */
typedef struct sample {
    const double *y, *score, *weight;
    int64_t n, stride;
    double positive;
} sample;

static double sample_weight(const sample *s, int64_t i) {
    return s->weight ? s->weight[i] : 1;
}

/* Loss, gradient and curvature of Platt's problem at (a, b), per unit of weight. */
typedef struct platt_state {
    double a, b, loss, ga, gb, haa, hab, hbb;
} platt_state;

/* Platt's problem: targets of the rows that are not and that are positive, drawn towards each other. */
typedef struct platt_problem {
    const sample *rows;
    double *logit; /* owned; of each row's score */
    double target[2], total;
} platt_problem;

static void platt_done(platt_problem *p) {
    qn_freep(&p->logit);
}

static platt_state platt_at(const platt_problem *problem, double a, double b) {
    const sample *s = problem->rows;
    platt_state at = {.a = a, .b = b};
    for (int64_t i = 0; i < s->n; i++) {
        double w = sample_weight(s, i) / problem->total, f = problem->logit[i], z = a * f + b;
        double t = problem->target[s->y[i] == s->positive], p = logistic(z), h = w * p * (1 - p);
        at.loss += w * (log1p(exp(-fabs(z))) + (z > 0 ? z : 0) - t * z);
        at.ga += w * (p - t) * f;
        at.gb += w * (p - t);
        at.haa += h * f * f;
        at.hab += h * f;
        at.hbb += h;
    }
    return at;
}

static void newton_step(const platt_state *at, double *da, double *db) {
    const double sigma = 1e-14; /* per unit of weight, on the diagonal */
    double haa = at->haa + sigma, hbb = at->hbb + sigma, det = haa * hbb - at->hab * at->hab;
    *da = 0; /* constant scores: only the intercept can move */
    *db = -at->gb / hbb;
    if (det > 1e-14 * haa * hbb) {
        *da = -(hbb * at->ga - at->hab * at->gb) / det;
        *db = -(haa * at->gb - at->hab * at->ga) / det;
    }
}

/* Halves the step until the loss falls by enough; false when no step does. */
static bool search_line(const platt_problem *problem, double da, double db, platt_state *at) {
    const double least = 1e-10, share = 1e-4; /* Lin, Lin, Weng 2007 */
    double slope = at->ga * da + at->gb * db;
    for (double t = 1; t >= least; t /= 2) {
        platt_state next = platt_at(problem, at->a + t * da, at->b + t * db);
        if (next.loss < at->loss + share * t * slope) {
            *at = next;
            return true;
        }
    }
    return false;
}

/* Newton's method with step halving (Lin, Lin, Weng 2007). Once a step promises less than the loss is
 * rounded by, losses say nothing any more about which of two is better: that step, so near to the end
 * that its error is the square of what it corrects, is the last, and is taken as it is. */
static platt_state solve_platt(const platt_problem *problem, double b) {
    platt_state at = platt_at(problem, 0, b);
    for (int i = 0; i < MAX_NEWTON && fmax(fabs(at.ga), fabs(at.gb)) > 1e-12; i++) {
        double da, db, rounding = DBL_EPSILON * (double)problem->rows->n * fabs(at.loss);
        newton_step(&at, &da, &db);
        if (-(at.ga * da + at.gb * db) <= 2 * rounding) {
            at.a += da;
            at.b += db;
            break;
        }
        if (!search_line(problem, da, db, &at))
            break;
    }
    return at;
}

static qn_status fit_platt(const sample *s, map *m, qn_error *err) {
    double pos = 0, neg = 0;
    qn_cleanup(platt_done) platt_problem problem = {.rows = s, .logit = qn_new_array(double, s->n)};
    if (!problem.logit)
        return qn_error_memory(err);
    for (int64_t i = 0; i < s->n; i++) {
        problem.logit[i] = logit(s->score[i * s->stride]);
        *(s->y[i] == s->positive ? &pos : &neg) += sample_weight(s, i);
    }
    problem.target[0] = 1 / (neg + 2);
    problem.target[1] = (pos + 1) / (pos + 2);
    problem.total = pos + neg;
    platt_state at = solve_platt(&problem, log((pos + 1) / (neg + 1)));
    m->a = at.a;
    m->b = at.b;
    return QN_OK;
}

/* Scores nearer than this to the first of a run count as equal, as scikit-learn has it. */
static const double same = 1e-15;

/* Rows in order of score become weighted means of y per distinct score. */
static int64_t merge_equal(const sample *s, const int64_t *order, double *x, double *y, double *w) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++) {
        double score = s->score[order[i] * s->stride], weight = sample_weight(s, order[i]);
        double hit = s->y[order[i]] == s->positive;
        if (n == 0 || score - x[n - 1] >= same) {
            x[n] = score;
            y[n] = w[n] = 0;
            n++;
        }
        y[n - 1] += weight * hit;
        w[n - 1] += weight;
    }
    for (int64_t i = 0; i < n; i++)
        y[i] /= w[i];
    return n;
}

/* Pool adjacent violators: y becomes the best fit that never falls. Blocks are kept by their ends
 * in `last`. */
static void pool(double *y, double *w, int64_t *last, int64_t n) {
    int64_t n_blocks = 0;
    for (int64_t i = 0; i < n; i++) {
        double mean = y[i], weight = w[i];
        while (n_blocks > 0 && y[n_blocks - 1] >= mean) {
            n_blocks--;
            mean = (mean * weight + y[n_blocks] * w[n_blocks]) / (weight + w[n_blocks]);
            weight += w[n_blocks];
        }
        y[n_blocks] = mean;
        w[n_blocks] = weight;
        last[n_blocks++] = i;
    }
    for (int64_t b = n_blocks - 1, i = n - 1; b >= 0; b--)
        for (int64_t first = b ? last[b - 1] + 1 : 0; i >= first; i--)
            y[i] = y[b];
}

/* Inner points of a flat stretch say nothing. */
static int64_t drop_inner(double *x, double *y, int64_t n) {
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && i + 1 < n && y[i] == y[kept - 1] && y[i] == y[i + 1])
            continue;
        x[kept] = x[i];
        y[kept++] = y[i];
    }
    return kept;
}

static qn_status fit_isotonic(const sample *s, map *m, qn_error *err) {
    qn_cleanup(qn_freep) int64_t *order = qn_new_array(int64_t, s->n);
    qn_cleanup(qn_freep) double *w = qn_new_array(double, s->n);
    qn_cleanup(qn_freep) double *x = qn_new_array(double, s->n);
    qn_cleanup(qn_freep) double *y = qn_new_array(double, s->n);
    if (!order || !w || !x || !y)
        return qn_error_memory(err);
    QN_TRY(qn_order_f64(s->score, s->stride, s->n, order, err));
    int64_t n = merge_equal(s, order, x, y, w);
    pool(y, w, order, n);
    for (int64_t i = 0; i < n; i++)
        y[i] = fmin(fmax(y[i], 0), 1);
    n = drop_inner(x, y, n);
    QN_FAIL_IF(n > MAX_KNOTS, err, QN_ERR_LIMIT, "isotonic calibration needs more than %d knots",
               MAX_KNOTS);
    m->x = qn_new_array(double, n);
    m->y = qn_new_array(double, n);
    if (!m->x || !m->y)
        return qn_error_memory(err);
    m->n = n;
    memcpy(m->x, x, (size_t)n * sizeof *x);
    memcpy(m->y, y, (size_t)n * sizeof *y);
    return QN_OK;
}

static qn_status check_rows(const double *y, const double *scores, const double *weight, int64_t n,
                            int32_t n_outputs, qn_error *err) {
    QN_FAIL_IF(n < 1 || n_outputs < 1, err, QN_ERR_DATA, "there are no rows to calibrate on");
    for (int64_t i = 0; i < n * n_outputs; i++)
        QN_FAIL_IF(!(scores[i] >= 0 && scores[i] <= 1), err, QN_ERR_DATA,
                   "row %lld: %g is not a probability", (long long)(i / n_outputs) + 1, scores[i]);
    for (int64_t i = 0; i < n; i++)
        QN_FAIL_IF(isnan(y[i]) || (weight && !(weight[i] > 0 && isfinite(weight[i]))), err,
                   QN_ERR_DATA, "row %lld: a class and a positive weight are needed",
                   (long long)i + 1);
    return QN_OK;
}

qn_status qn_calibrator_fit(qn_calibration_kind kind, const double *y, const double *scores,
                            const double *weight, int64_t n, int32_t n_outputs,
                            qn_calibrator **ret_calibrator, qn_error *err) {
    if (kind == QN_CALIBRATION_NONE) {
        *ret_calibrator = NULL;
        return QN_OK;
    }
    QN_TRY(check_rows(y, scores, weight, n, n_outputs, err));
    qn_cleanup(qn_calibrator_free) qn_calibrator *c = NULL;
    QN_TRY(calibrator_new(kind, n_outputs, &c, err));
    for (int32_t k = 0; k < n_outputs; k++) {
        sample s = {y, scores + k, weight, n, n_outputs, n_outputs == 1 ? 1 : k};
        if (kind == QN_CALIBRATION_PLATT)
            QN_TRY(fit_platt(&s, &c->maps[k], err));
        else
            QN_TRY(fit_isotonic(&s, &c->maps[k], err));
    }
    *ret_calibrator = qn_steal(&c);
    return QN_OK;
}

static double interpolate(const map *m, double p) {
    if (isnan(p))
        return p;
    if (p <= m->x[0])
        return m->y[0];
    if (p >= m->x[m->n - 1])
        return m->y[m->n - 1];
    int64_t low = 0, high = m->n - 1; /* x[low] <= p < x[high] */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (m->x[middle] <= p)
            low = middle;
        else
            high = middle;
    }
    double share = (p - m->x[low]) / (m->x[high] - m->x[low]);
    return m->y[low] + share * (m->y[high] - m->y[low]);
}

void qn_calibrator_apply(const qn_calibrator *calibrator, double *scores, int64_t n) {
    if (!calibrator)
        return;
    int32_t n_outputs = calibrator->n_outputs;
    for (int64_t i = 0; i < n; i++) {
        double *row = scores + i * n_outputs, sum = 0;
        for (int32_t k = 0; k < n_outputs; k++) {
            const map *m = &calibrator->maps[k];
            row[k] = calibrator->kind == QN_CALIBRATION_PLATT
                         ? logistic(m->a * logit(row[k]) + m->b)
                         : interpolate(m, row[k]);
            sum += row[k];
        }
        for (int32_t k = 0; k < n_outputs && n_outputs > 1; k++)
            row[k] = sum > 0 ? row[k] / sum : 1.0 / n_outputs;
    }
}

static json_t *map_to_json(qn_calibration_kind kind, const map *m) {
    bool platt = kind == QN_CALIBRATION_PLATT;
    json_t *json = json_object();
    if (!json ||
        json_object_set_new(json, platt ? "a" : "x",
                            platt ? json_real(m->a) : qn_json_numbers(m->x, (size_t)m->n)) ||
        json_object_set_new(json, platt ? "b" : "y",
                            platt ? json_real(m->b) : qn_json_numbers(m->y, (size_t)m->n)))
        qn_json_free(&json);
    return json;
}

json_t *qn_calibrator_to_json(const qn_calibrator *calibrator) {
    if (!calibrator)
        return json_null();
    bool platt = calibrator->kind == QN_CALIBRATION_PLATT;
    json_t *json = json_object(), *maps = json_array();
    bool good = json && maps &&
                !json_object_set_new(json, "kind", json_string(platt ? "platt" : "isotonic"));
    for (int32_t k = 0; good && k < calibrator->n_outputs; k++)
        good = !json_array_append_new(maps, map_to_json(calibrator->kind, &calibrator->maps[k]));
    if (!good || json_object_set(json, "maps", maps) != 0)
        qn_json_free(&json);
    qn_json_free(&maps);
    return json;
}

/* Knots from outside: numbers in 0..1, x strictly ascending, y never falling. */
static qn_status read_knots(const json_t *json, map *m, qn_error *err) {
    const json_t *x = NULL, *y = NULL;
    QN_TRY(qn_json_get_array(json, "x", true, &x, err));
    QN_TRY(qn_json_get_array(json, "y", true, &y, err));
    size_t n = json_array_size(x);
    QN_FAIL_IF(n < 1 || n > MAX_KNOTS || json_array_size(y) != n, err, QN_ERR_FORMAT,
               "isotonic calibration with %zu and %zu knots", n, json_array_size(y));
    m->x = qn_new_array(double, n);
    m->y = qn_new_array(double, n);
    if (!m->x || !m->y)
        return qn_error_memory(err);
    m->n = (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *xi = json_array_get(x, i), *yi = json_array_get(y, i);
        m->x[i] = json_is_number(xi) ? json_number_value(xi) : (double)NAN;
        m->y[i] = json_is_number(yi) ? json_number_value(yi) : (double)NAN;
        bool good = isfinite(m->x[i]) && m->y[i] >= 0 && m->y[i] <= 1;
        good = good && (i == 0 || (m->x[i] > m->x[i - 1] && m->y[i] >= m->y[i - 1]));
        QN_FAIL_IF(!good, err, QN_ERR_FORMAT, "knot %zu of the calibration is out of order", i + 1);
    }
    return QN_OK;
}

static qn_status read_map(const json_t *json, qn_calibration_kind kind, map *m, qn_error *err) {
    QN_FAIL_IF(!json_is_object(json), err, QN_ERR_FORMAT,
               "a map of the calibration must be an object");
    if (kind == QN_CALIBRATION_ISOTONIC)
        return read_knots(json, m, err);
    QN_TRY(qn_json_get_double(json, "a", true, &m->a, err));
    QN_TRY(qn_json_get_double(json, "b", true, &m->b, err));
    QN_FAIL_IF(!isfinite(m->a) || !isfinite(m->b), err, QN_ERR_FORMAT,
               "the calibration's slope and intercept must be numbers");
    return QN_OK;
}

qn_status qn_calibrator_from_json(const json_t *json, int32_t n_outputs,
                                  qn_calibrator **ret_calibrator, qn_error *err) {
    if (!json || json_is_null(json)) {
        *ret_calibrator = NULL;
        return QN_OK;
    }
    QN_FAIL_IF(!json_is_object(json), err, QN_ERR_FORMAT, "the calibration must be an object");
    const char *name = NULL;
    const json_t *maps = NULL;
    QN_TRY(qn_json_get_text(json, "kind", true, &name, err));
    QN_TRY(qn_json_get_array(json, "maps", true, &maps, err));
    bool platt = strcmp(name, "platt") == 0;
    QN_FAIL_IF(!platt && strcmp(name, "isotonic") != 0, err, QN_ERR_FORMAT,
               "unknown calibration '%.100s'", name);
    QN_FAIL_IF(n_outputs < 1 || n_outputs > QN_LIMIT_CLASSES ||
                   json_array_size(maps) != (size_t)n_outputs,
               err, QN_ERR_FORMAT, "calibration with %zu maps for %d outputs",
               json_array_size(maps), (int)n_outputs);
    qn_cleanup(qn_calibrator_free) qn_calibrator *c = NULL;
    QN_TRY(
        calibrator_new(platt ? QN_CALIBRATION_PLATT : QN_CALIBRATION_ISOTONIC, n_outputs, &c, err));
    for (int32_t k = 0; k < n_outputs; k++)
        QN_TRY(read_map(json_array_get(maps, (size_t)k), c->kind, &c->maps[k], err));
    *ret_calibrator = qn_steal(&c);
    return QN_OK;
}

void qn_undo_negative_sampling(double *p, int64_t n, double rate) {
    for (int64_t i = 0; i < n; i++)
        p[i] = p[i] / (p[i] + (1 - p[i]) / rate);
}
