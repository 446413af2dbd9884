/* Judging: the best threshold, the curve over thresholds, baselines and intervals.
 *
 * The ladder: rows sorted by score; total[k] is the money when the k lowest-scored rows are not
 * acted on and all others are. Every threshold is one rung, so one sort answers all of them (Elkan
 * 2001 gives the closed form for constant payoffs; payoffs that differ by row need the ladder). */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "evaluate/bootstrap.h"
#include "evaluate/build_int.h"
#include "evaluate/value_int.h"
#include "learn/order.h"

/* --- the ladder ------------------------------------------------------------------------------- */

typedef struct ladder {
    int64_t n;
    double *score; /* owned, n, ascending */
    double *total; /* owned, n + 1 */
    double scale;  /* sum of what single rows change: rounding is small against it */
} ladder;

static void ladder_done(ladder *l) {
    qn_freep(&l->score);
    qn_freep(&l->total);
}

static qn_status ladder_make(const double *payoffs, const double *y, const double *scores,
                             int64_t n, ladder *ret_ladder, qn_error *err) {
    qn_cleanup(ladder_done) ladder l = {.n = n};
    qn_cleanup(qn_freep) int64_t *order = qn_new_array(int64_t, n);
    l.score = qn_new_array(double, n);
    l.total = qn_new_array(double, (size_t)n + 1);
    if (!order || !l.score || !l.total)
        return qn_error_memory(err);
    QN_TRY(qn_order_f64(scores, 1, n, order, err));
    for (int64_t i = 0; i < n; i++)
        l.total[0] += payoffs[i * QN_N_OUTCOMES + qn__outcome(y[i], true)];
    for (int64_t k = 0; k < n; k++) {
        int64_t i = order[k];
        const double *p = payoffs + i * QN_N_OUTCOMES;
        double change = p[qn__outcome(y[i], false)] - p[qn__outcome(y[i], true)];
        l.score[k] = scores[i];
        l.total[k + 1] = l.total[k] + change;
        l.scale += fabs(change);
    }
    *ret_ladder = l;
    l = (ladder){0};
    return QN_OK;
}

/* How many rows are not acted on: those with score < threshold. */
static int64_t ladder_rung(const ladder *l, double threshold) {
    int64_t low = 0, high = l->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (l->score[middle] < threshold)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static qn_value_point ladder_at(const ladder *l, double threshold) {
    int64_t k = ladder_rung(l, threshold);
    double n = (double)l->n;
    return (qn_value_point){threshold, l->total[k], l->n ? l->total[k] / n : 0,
                            l->n ? (double)(l->n - k) / n : 0};
}

/* The next rung after k that a threshold can reach: behind all rows with the score of row k. */
static int64_t next_rung(const ladder *l, int64_t k) {
    double score = l->score[k++];
    while (k < l->n && l->score[k] == score)
        k++;
    return k;
}

/* Thresholds in (low, high] reach the rungs first..last. The middle, except that acting on all is 0
 * and on none just above 1. */
static double stretch_middle(const ladder *l, int64_t first, int64_t last) {
    if (first == 0 && last == 0)
        return 0;
    if (first == l->n)
        return nextafter(1, 2);
    double low = first == 0 ? 0 : l->score[first - 1], high = last == l->n ? 1 : l->score[last];
    double middle = low + (high - low) / 2;
    return middle > low ? middle : high;
}

static double stretch_width(const ladder *l, int64_t first, int64_t last) {
    return (last == l->n ? 1 : l->score[last]) - (first == 0 ? 0 : l->score[first - 1]);
}

static double ladder_best(const ladder *l) {
    double best = -INFINITY, tolerance = 1e-12 * l->scale, width = -1, threshold = 0.5;
    for (int64_t k = 0; l->n; k = next_rung(l, k)) {
        best = fmax(best, l->total[k]);
        if (k == l->n)
            break;
    }
    int64_t first = -1, last = -1;
    for (int64_t k = 0; l->n; k = next_rung(l, k)) {
        bool good = l->total[k] >= best - tolerance;
        if (good) {
            first = first < 0 ? k : first;
            last = k;
        }
        if (first >= 0 && (!good || k == l->n)) {
            if (stretch_width(l, first, last) > width) {
                width = stretch_width(l, first, last);
                threshold = stretch_middle(l, first, last);
            }
            first = -1;
        }
        if (k == l->n)
            break;
    }
    return threshold;
}

qn_status qn_value_best(const double *payoffs, const double *y, const double *scores, int64_t n,
                        qn_value_point *ret_best, qn_error *err) {
    QN_FAIL_IF(n < 1, err, QN_ERR_USAGE, "a threshold needs rows to be chosen on");
    qn_cleanup(ladder_done) ladder l = {0};
    QN_TRY(ladder_make(payoffs, y, scores, n, &l, err));
    *ret_best = ladder_at(&l, ladder_best(&l));
    return QN_OK;
}

qn_value_point qn_value_at(const double *payoffs, const double *y, const double *scores, int64_t n,
                           double threshold) {
    qn_value_point point = {.threshold = threshold};
    int64_t n_acted = 0;
    for (int64_t i = 0; i < n; i++) {
        bool acted = scores[i] >= threshold;
        n_acted += acted;
        point.total += payoffs[i * QN_N_OUTCOMES + qn__outcome(y[i], acted)];
    }
    point.per_row = n ? point.total / (double)n : 0;
    point.share_acted = n ? (double)n_acted / (double)n : 0;
    return point;
}

/* --- intervals -------------------------------------------------------------------------------- */

static double sum(const double *x, int64_t n) {
    double total = 0;
    for (int64_t i = 0; i < n; i++)
        total += x[i];
    return total;
}

static double mean(const double *x, int64_t n) {
    return n ? sum(x, n) / (double)n : 0;
}

/* One resample's mean of money and of money - base. */
static void resample(const double *money, const double *base, int64_t n,
                     const unsigned char *counts, double *ret_money, double *ret_gain) {
    double total = 0, gain = 0;
    int64_t size = 0;
    for (int64_t i = 0; i < n; i++) {
        size += counts[i];
        total += counts[i] * money[i];
        gain += counts[i] * (money[i] - base[i]);
    }
    *ret_money = size ? total / (double)size : NAN;
    *ret_gain = size ? gain / (double)size : NAN;
}

/* Intervals of mean money per row, and of its gain over a baseline on the same rows. */
static qn_status intervals(const double *money, const double *base, int64_t n,
                           const qn_value_options *options, const qn_job *job,
                           qn_interval *ret_money, qn_interval *ret_gain, qn_error *err) {
    int n_rounds = options->n_rounds < 0 ? 0 : options->n_rounds; /* none: no interval */
    qn_cleanup(qn_freep) double *rounds = qn_new_array(double, 2 * (size_t)n_rounds);
    if (!rounds)
        return qn_error_memory(err);
    bool short_of_memory = false;
#pragma omp parallel num_threads(qn_job_threads(job))
    {
        unsigned char *counts = qn_calloc((size_t)n, 1);
        if (!counts) {
#pragma omp atomic write
            short_of_memory = true;
        }
#pragma omp for schedule(dynamic, 8)
        for (int r = 0; r < n_rounds; r++) {
            if (!counts || qn_job_cancelled(job))
                continue;
            qn_bootstrap_counts(options->seed, r, n, counts);
            resample(money, base, n, counts, &rounds[r], &rounds[n_rounds + r]);
        }
        qn_freep(&counts);
    }
    QN_TRY(qn_job_check(job, err));
    if (short_of_memory)
        return qn_error_memory(err);
    double value = mean(money, n);
    *ret_money = qn_bootstrap_interval(value, rounds, n_rounds);
    *ret_gain = qn_bootstrap_interval(value - mean(base, n), rounds + n_rounds, n_rounds);
    return QN_OK;
}

/* --- parts of the result ---------------------------------------------------------------------- */

static json_t *side_to_json(const ladder *l, double threshold) {
    qn_value_point point = ladder_at(l, threshold);
    return json_pack("{s:o, s:o, s:I, s:o}", "per_row", qn_json_number(point.per_row), "total",
                     qn_json_number(point.total), "n", (json_int_t)l->n, "share_acted",
                     qn_json_number(point.share_acted));
}

static json_t *baseline_to_json(const char *name, const char *title, double total, int64_t n) {
    return json_pack("{s:s, s:s, s:o, s:o}", "name", name, "title", title, "per_row",
                     qn_json_number(n ? total / (double)n : 0), "total", qn_json_number(total));
}

static json_t *test_to_json(qn_interval per_row, double total, int64_t n) {
    return json_pack("{s:o, s:o, s:I}", "per_row", qn_interval_to_json(per_row), "total",
                     qn_json_number(total), "n", (json_int_t)n);
}

static json_t *gain_to_json(qn_interval gain, const char *against) {
    bool ok = true;
    json_t *object = qn_interval_to_json(gain);
    qn__put(&ok, object, "against", json_string(against));
    if (!ok)
        qn_json_free(&object);
    return object;
}

enum { GRID_EVEN = 96, GRID_RANKS = 96, GRID_MAX = GRID_EVEN + GRID_RANKS + 2 };

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Where the curve has its points: even steps from 0 to 1, and the scores of the best 1, .., n rows
 * in geometric steps, since rare positives happen in a small corner. Ascending, distinct; the
 * chosen one is among them. */
static int threshold_grid(const ladder *l, double chosen, double grid[GRID_MAX]) {
    int n = 0, n_distinct = 0;
    for (int i = 0; i < GRID_EVEN; i++)
        grid[n++] = (double)i / (GRID_EVEN - 1);
    for (int i = 0; i < GRID_RANKS && l->n; i++) {
        double rank = pow((double)l->n, (double)i / (GRID_RANKS - 1));
        int64_t k = l->n - (int64_t)rank;
        grid[n++] = l->score[k < 0 ? 0 : k];
    }
    grid[n++] = chosen;
    grid[n++] = nextafter(1, 2);
    qsort(grid, (size_t)n, sizeof *grid, compare_doubles);
    for (int i = 0; i < n; i++) {
        if (n_distinct == 0 || grid[i] > grid[n_distinct - 1])
            grid[n_distinct++] = grid[i];
    }
    return n_distinct;
}

static json_t *curve_to_json(const ladder *validate, const ladder *test, double chosen) {
    double grid[GRID_MAX];
    int n = threshold_grid(test, chosen, grid);
    json_t *object = json_object(), *per_row_validate = json_array(), *per_row_test = json_array(),
           *share = json_array();
    bool ok = true;
    for (int i = 0; i < n; i++) {
        qn_value_point point = ladder_at(test, grid[i]);
        qn__append(&ok, per_row_validate,
                   validate ? qn_json_number(ladder_at(validate, grid[i]).per_row) : json_null());
        qn__append(&ok, per_row_test, qn_json_number(point.per_row));
        qn__append(&ok, share, qn_json_number(point.share_acted));
    }
    qn__put(&ok, object, "threshold", qn_json_numbers(grid, (size_t)n));
    qn__put(&ok, object, "per_row_validate", per_row_validate);
    qn__put(&ok, object, "per_row_test", per_row_test);
    qn__put(&ok, object, "share_acted", share);
    if (!ok)
        qn_json_free(&object);
    return object;
}

/* --- binary ----------------------------------------------------------------------------------- */

typedef struct binary_case {
    const qn_value_rows *test;
    double *payoffs; /* owned, of the test rows */
    double *money;   /* owned, of the test rows under the threshold */
    double *base;    /* owned, under the best baseline */
    ladder validate, tested;
    bool has_validate, act_on_all;
    double threshold;
} binary_case;

static void binary_case_done(binary_case *c) {
    qn_freep(&c->payoffs);
    qn_freep(&c->money);
    qn_freep(&c->base);
    ladder_done(&c->validate);
    ladder_done(&c->tested);
}

static qn_status rows_ladder(const qn_value_spec *spec, const qn_value_rows *rows,
                             double **ret_payoffs, ladder *ret_ladder, qn_error *err) {
    QN_TRY(qn_value_payoffs(spec, rows->frame, rows->rows, rows->n, ret_payoffs, err));
    return ladder_make(*ret_payoffs, rows->y, rows->scores, rows->n, ret_ladder, err);
}

static qn_status binary_prepare(const qn_value_spec *spec, const qn_value_rows *validate,
                                const qn_value_rows *test, const qn_value_options *options,
                                binary_case *c, qn_error *err) {
    qn_cleanup(qn_freep) double *validate_payoffs = NULL;
    c->test = test;
    c->has_validate = validate && validate->n > 0;
    QN_FAIL_IF(!c->has_validate && isnan(options->threshold), err, QN_ERR_USAGE,
               "the best threshold needs validation rows");
    if (c->has_validate)
        QN_TRY(rows_ladder(spec, validate, &validate_payoffs, &c->validate, err));
    QN_TRY(rows_ladder(spec, test, &c->payoffs, &c->tested, err));
    c->threshold = isnan(options->threshold) ? ladder_best(&c->validate) : options->threshold;
    const ladder *chooser = c->has_validate ? &c->validate : &c->tested;
    c->act_on_all = chooser->total[0] > chooser->total[chooser->n];
    c->money = qn_new_array(double, test->n);
    c->base = qn_new_array(double, test->n);
    if (!c->money || !c->base)
        return qn_error_memory(err);
    for (int64_t i = 0; i < test->n; i++) {
        const double *p = c->payoffs + i * QN_N_OUTCOMES;
        c->money[i] = p[qn__outcome(test->y[i], test->scores[i] >= c->threshold)];
        c->base[i] = p[qn__outcome(test->y[i], c->act_on_all)];
    }
    return QN_OK;
}

/* What could be earned at most: the better of acting and not acting on every row. */
static double oracle_total(const binary_case *c) {
    double total = 0;
    for (int64_t i = 0; i < c->test->n; i++) {
        const double *p = c->payoffs + i * QN_N_OUTCOMES;
        double y = c->test->y[i];
        total += fmax(p[qn__outcome(y, true)], p[qn__outcome(y, false)]);
    }
    return total;
}

static json_t *binary_baselines(const binary_case *c) {
    const ladder *l = &c->tested;
    bool ok = true;
    json_t *array = json_array();
    qn__append(&ok, array, baseline_to_json("act_on_none", "Act on none", l->total[l->n], l->n));
    qn__append(&ok, array, baseline_to_json("act_on_all", "Act on all", l->total[0], l->n));
    qn__append(&ok, array,
               baseline_to_json("threshold_half", "Threshold 0.5", ladder_at(l, 0.5).total, l->n));
    qn__append(&ok, array, baseline_to_json("oracle", "Knowing the answer", oracle_total(c), l->n));
    if (!ok)
        qn_json_free(&array);
    return array;
}

static json_t *binary_test(const binary_case *c, qn_interval per_row) {
    int64_t counts[QN_N_OUTCOMES] = {0};
    double money[QN_N_OUTCOMES] = {0};
    for (int64_t i = 0; i < c->test->n; i++) {
        qn_outcome outcome = qn__outcome(c->test->y[i], c->test->scores[i] >= c->threshold);
        counts[outcome]++;
        money[outcome] += c->money[i];
    }
    bool ok = true;
    json_t *object = test_to_json(per_row, sum(c->money, c->test->n), c->test->n);
    json_t *counts_object = json_object(), *money_object = json_object();
    for (int i = 0; i < QN_N_OUTCOMES; i++) {
        qn__put(&ok, counts_object, qn__outcome_names[i], json_integer(counts[i]));
        qn__put(&ok, money_object, qn__outcome_names[i], qn_json_number(money[i]));
    }
    qn__put(&ok, object, "share_acted",
            qn_json_number(ladder_at(&c->tested, c->threshold).share_acted));
    qn__put(&ok, object, "counts", counts_object);
    qn__put(&ok, object, "money", money_object);
    if (!ok)
        qn_json_free(&object);
    return object;
}

static qn_status binary_evaluate(const qn_value_spec *spec, const qn_value_rows *validate,
                                 const qn_value_rows *test, const qn_value_options *options,
                                 const qn_job *job, json_t *object, double *ret_threshold,
                                 qn_error *err) {
    qn_cleanup(binary_case_done) binary_case c = {0};
    qn_interval per_row, gain;
    QN_TRY(binary_prepare(spec, validate, test, options, &c, err));
    QN_TRY(intervals(c.money, c.base, test->n, options, job, &per_row, &gain, err));
    bool ok = true;
    const ladder *l = &c.tested;
    qn__put(&ok, object, "expressions", json_incref(spec->stated));
    qn__put(&ok, object, "threshold", qn_json_number(c.threshold));
    qn__put(&ok, object, "validate",
            c.has_validate ? side_to_json(&c.validate, c.threshold) : json_null());
    qn__put(&ok, object, "test", binary_test(&c, per_row));
    qn__put(&ok, object, "curve",
            curve_to_json(c.has_validate ? &c.validate : NULL, l, c.threshold));
    qn__put(&ok, object, "baselines", binary_baselines(&c));
    qn__put(&ok, object, "baseline_total",
            qn_json_number(c.act_on_all ? l->total[0] : l->total[l->n]));
    qn__put(&ok, object, "gain_over_best_baseline",
            gain_to_json(gain, c.act_on_all ? "act_on_all" : "act_on_none"));
    *ret_threshold = c.threshold;
    return ok ? QN_OK : qn_error_memory(err);
}

/* --- multiclass and regression ---------------------------------------------------------------- */

/* The single answer that earns the most on the validation rows. */
static int32_t best_single_answer(const qn_value_spec *spec, const qn_value_rows *rows) {
    int32_t n = spec->n_classes, best = 0;
    double best_total = -INFINITY;
    for (int32_t d = 0; d < n; d++) {
        double total = 0;
        for (int64_t i = 0; i < rows->n; i++)
            total += spec->matrix[(int64_t)rows->y[i] * n + d];
        if (total > best_total) {
            best_total = total;
            best = d;
        }
    }
    return best;
}

/* Totals of the largest probability and of the oracle. */
static void class_totals(const qn_value_spec *spec, const qn_value_rows *rows, double *ret_largest,
                         double *ret_oracle) {
    int32_t n = spec->n_classes;
    *ret_largest = *ret_oracle = 0;
    for (int64_t i = 0; i < rows->n; i++) {
        const double *payoff = spec->matrix + (int64_t)rows->y[i] * n, *p = rows->scores + i * n;
        int32_t largest = 0;
        double most = payoff[0];
        for (int32_t k = 1; k < n; k++) {
            largest = p[k] > p[largest] ? k : largest;
            most = fmax(most, payoff[k]);
        }
        *ret_largest += payoff[largest];
        *ret_oracle += most;
    }
}

static json_t *class_baselines(const qn_value_spec *spec, const qn_value_rows *test,
                               const double *base) {
    double largest, oracle;
    class_totals(spec, test, &largest, &oracle);
    bool ok = true;
    json_t *array = json_array();
    qn__append(
        &ok, array,
        baseline_to_json("one_class", "Always the same answer", sum(base, test->n), test->n));
    qn__append(&ok, array, baseline_to_json("largest_probability", "The likeliest class", largest,
                                            test->n));
    qn__append(&ok, array, baseline_to_json("oracle", "Knowing the answer", oracle, test->n));
    if (!ok)
        qn_json_free(&array);
    return array;
}

/* Money of the test rows under the mean of the validation rows' target, and of the oracle (in
 * total). */
static qn_status value_baselines(const qn_value_spec *spec, const qn_value_rows *chooser,
                                 const qn_value_rows *test, double *base, json_t **ret_baselines,
                                 qn_error *err) {
    qn_cleanup(qn_freep) double *predictions = qn_new_array(double, test->n);
    qn_cleanup(qn_freep) double *oracle = qn_new_array(double, test->n);
    if (!predictions || !oracle)
        return qn_error_memory(err);
    double constant = mean(chooser->y, chooser->n);
    for (int64_t i = 0; i < test->n; i++)
        predictions[i] = constant;
    QN_TRY(qn__value_per_row(spec, test, predictions, base, err));
    QN_TRY(qn__value_per_row(spec, test, test->y, oracle, err));
    bool ok = true;
    qn_cleanup(qn_json_free) json_t *array = json_array();
    qn__append(&ok, array,
               baseline_to_json("mean", "Always the mean", sum(base, test->n), test->n));
    qn__append(&ok, array, baseline_to_json("oracle", "Knowing the answer", sum(oracle, test->n),
                                            test->n));
    if (!ok)
        return qn_error_memory(err);
    *ret_baselines = qn_steal(&array);
    return QN_OK;
}

static json_t *money_side(const double *money, int64_t n) {
    return json_pack("{s:o, s:o, s:I}", "per_row", qn_json_number(mean(money, n)), "total",
                     qn_json_number(sum(money, n)), "n", (json_int_t)n);
}

static qn_status validate_side(const qn_value_spec *spec, const qn_value_rows *validate,
                               json_t **ret_side, qn_error *err) {
    if (!validate || !validate->n) {
        *ret_side = json_null();
        return QN_OK;
    }
    qn_cleanup(qn_freep) double *money = NULL;
    QN_TRY(qn_value_money(spec, validate, 0, &money, err));
    *ret_side = money_side(money, validate->n);
    return QN_OK;
}

static qn_status other_evaluate(const qn_value_spec *spec, const qn_value_rows *validate,
                                const qn_value_rows *test, const qn_value_options *options,
                                const qn_job *job, json_t *object, qn_error *err) {
    bool classes = spec->task == QN_TASK_MULTICLASS, ok = true;
    const qn_value_rows *chooser = validate && validate->n ? validate : test;
    qn_cleanup(qn_freep) double *money = NULL;
    qn_cleanup(qn_freep) double *base = qn_new_array(double, test->n);
    qn_cleanup(qn_json_free) json_t *baselines = NULL;
    json_t *side = NULL;
    if (!base)
        return qn_error_memory(err);
    QN_TRY(qn_value_money(spec, test, 0, &money, err));
    if (classes) {
        int32_t answer = best_single_answer(spec, chooser);
        for (int64_t i = 0; i < test->n; i++)
            base[i] = spec->matrix[(int64_t)test->y[i] * spec->n_classes + answer];
        baselines = class_baselines(spec, test, base);
    } else {
        QN_TRY(value_baselines(spec, chooser, test, base, &baselines, err));
    }
    qn_interval per_row, gain;
    QN_TRY(intervals(money, base, test->n, options, job, &per_row, &gain, err));
    QN_TRY(validate_side(spec, validate, &side, err));
    qn__put(&ok, object, classes ? "matrix" : "expressions", json_incref(spec->stated));
    qn__put(&ok, object, "validate", side);
    qn__put(&ok, object, "test", test_to_json(per_row, sum(money, test->n), test->n));
    qn__put(&ok, object, "baselines", qn_steal(&baselines));
    qn__put(&ok, object, "baseline_total", qn_json_number(sum(base, test->n)));
    qn__put(&ok, object, "gain_over_best_baseline",
            gain_to_json(gain, classes ? "one_class" : "mean"));
    return ok ? QN_OK : qn_error_memory(err);
}

/* Class numbers index the matrix: nothing outside it may get through. */
static qn_status check_rows(const qn_value_spec *spec, const qn_value_rows *rows, qn_error *err) {
    double n_classes = spec->task == QN_TASK_BINARY ? 2 : spec->n_classes;
    for (int64_t i = 0; i < rows->n && spec->task != QN_TASK_REGRESSION; i++)
        QN_FAIL_IF(!(rows->y[i] >= 0 && rows->y[i] < n_classes), err, QN_ERR_USAGE,
                   "row %lld has no class", (long long)i + 1);
    return QN_OK;
}

qn_status qn_value_evaluate(const qn_value_spec *spec, const qn_value_rows *validate,
                            const qn_value_rows *test, const qn_value_options *options,
                            const qn_job *job, double *ret_threshold, json_t **ret_value,
                            qn_error *err) {
    QN_FAIL_IF(test->n < 1, err, QN_ERR_USAGE, "value is judged on test rows, and there are none");
    QN_TRY(check_rows(spec, test, err));
    if (validate)
        QN_TRY(check_rows(spec, validate, err));
    qn_cleanup(qn_json_free) json_t *object = json_object();
    bool ok = true;
    double threshold = NAN;
    qn__put(&ok, object, "currency", json_string(spec->currency));
    if (!ok)
        return qn_error_memory(err);
    if (spec->task == QN_TASK_BINARY)
        QN_TRY(binary_evaluate(spec, validate, test, options, job, object, &threshold, err));
    else
        QN_TRY(other_evaluate(spec, validate, test, options, job, object, err));
    if (ret_threshold)
        *ret_threshold = threshold;
    *ret_value = qn_steal(&object);
    return QN_OK;
}
