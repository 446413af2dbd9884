#include "evaluate/bootstrap.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "evaluate/metric_int.h"

enum { LANES = 32, MAX_ROUNDS = 100000 };

/* One class against the rest sorts and walks once per class; beyond this many steps it takes fewer
 * rounds, but no less than MIN_OVR_ROUNDS. */
static const double max_ovr_steps = 4e9;
enum { MIN_OVR_ROUNDS = 100 };

/* 65536 P(X < k) for X Poisson(1), rounded; they happen to give a mean of exactly 1. */
static const uint16_t thresholds[QN_BOOTSTRAP_COUNT_MAX] = {24109, 48219, 60273, 64292,
                                                            65296, 65497, 65531, 65535};

static void counts_of(const uint16_t *u, unsigned char *counts) {
    uint16_t c[LANES] = {0};
    for (int k = 0; k < QN_BOOTSTRAP_COUNT_MAX; k++)
        for (int i = 0; i < LANES; i++)
            c[i] = (uint16_t)(c[i] + (u[i] >= thresholds[k]));
    for (int i = 0; i < LANES; i++)
        counts[i] = (unsigned char)c[i];
}

void qn_bootstrap_counts(uint64_t seed, int round, int64_t n, unsigned char *counts) {
    qn_rng rng;
    qn_rng_init_stream(&rng, seed ^ 0xB0075u, (uint64_t)round);
    for (int64_t i = 0; i < n; i += LANES) {
        uint16_t u[LANES];
        unsigned char drawn[LANES];
        for (int k = 0; k < LANES; k += 4) {
            uint64_t bits = qn_rng_u64(&rng);
            for (int part = 0; part < 4; part++)
                u[k + part] = (uint16_t)(bits >> (16 * part));
        }
        counts_of(u, drawn);
        memcpy(counts + i, drawn, (size_t)(n - i < LANES ? n - i : LANES));
    }
}

/* Heapsort: small, in place, no allocation. */
static void sift(double *x, int root, int n) {
    for (int child; (child = 2 * root + 1) < n; root = child) {
        child += child + 1 < n && x[child] < x[child + 1];
        if (x[root] >= x[child])
            return;
        double swap = x[root];
        x[root] = x[child];
        x[child] = swap;
    }
}

static void sort_doubles(double *x, int n) {
    for (int i = n / 2 - 1; i >= 0; i--)
        sift(x, i, n);
    for (int i = n - 1; i > 0; i--) {
        double swap = x[0];
        x[0] = x[i];
        x[i] = swap;
        sift(x, 0, i);
    }
}

static double percentile(const double *sorted, int n, double share) {
    double at = share * (n - 1);
    int low = (int)at;
    return low + 1 < n ? sorted[low] + (at - low) * (sorted[low + 1] - sorted[low]) : sorted[n - 1];
}

qn_interval qn_bootstrap_interval(double value, double *values, int n) {
    qn_interval interval = {value, (double)NAN, (double)NAN};
    int n_finite = 0;
    for (int i = 0; i < n; i++)
        if (isfinite(values[i]))
            values[n_finite++] = values[i];
    if (n_finite == 0 || 2 * n_finite < n || !isfinite(value))
        return interval;
    sort_doubles(values, n_finite);
    interval.low = percentile(values, n_finite, 0.025);
    interval.high = percentile(values, n_finite, 0.975);
    return interval;
}

json_t *qn_interval_to_json(qn_interval interval) {
    json_t *json = json_object();
    if (!json || json_object_set_new(json, "value", qn_json_number(interval.value)) ||
        json_object_set_new(json, "low", qn_json_number(interval.low)) ||
        json_object_set_new(json, "high", qn_json_number(interval.high)))
        qn_json_free(&json);
    return json;
}

/* What one thread works with. */
typedef struct worker {
    unsigned char *counts; /* owned; n */
    double *scratch;       /* owned */
} worker;

typedef struct workers {
    int n;
    worker *items; /* owned */
} workers;

static void workers_done(workers *w) {
    for (int i = 0; w->items && i < w->n; i++) {
        qn_freep(&w->items[i].counts);
        qn_freep(&w->items[i].scratch);
    }
    qn_freep(&w->items);
}

static qn_status workers_init(workers *w, int n_threads, int64_t n_rows, size_t scratch,
                              qn_error *err) {
    w->n = n_threads;
    w->items = qn_new_array(worker, n_threads);
    for (int i = 0; w->items && i < n_threads; i++) {
        w->items[i].counts = qn_calloc((size_t)n_rows, 1);
        w->items[i].scratch = qn_new_array(double, scratch);
        if (!w->items[i].counts || !w->items[i].scratch)
            return qn_error_memory(err);
    }
    return w->items ? QN_OK : qn_error_memory(err);
}

/* rounds[id * n_rounds + r]; with a second view, what the first has more. */
static void run_rounds(const qn__metric_view *a, const qn__metric_view *b, int64_t n_rows,
                       int n_rounds, uint64_t seed, const qn_job *job, const workers *w,
                       double *rounds) {
#pragma omp parallel for schedule(static, 1) num_threads(w->n) if (w->n > 1)
    for (int t = 0; t < w->n; t++) {
        double of_a[QN__N_METRICS], of_b[QN__N_METRICS];
        for (int r = t; r < n_rounds && !qn_job_cancelled(job); r += w->n) {
            qn_bootstrap_counts(seed, r, n_rows, w->items[t].counts);
            qn__metric_view_values(a, w->items[t].counts, w->items[t].scratch, of_a);
            if (b)
                qn__metric_view_values(b, w->items[t].counts, w->items[t].scratch, of_b);
            for (int id = 0; id < QN__N_METRICS; id++)
                rounds[(int64_t)id * n_rounds + r] = b ? of_a[id] - of_b[id] : of_a[id];
        }
    }
}

static qn_status check_input(const qn_eval_input *input, int n_rounds, qn_error *err) {
    QN_FAIL_IF(input->n < 1, err, QN_ERR_DATA, "there are no rows to evaluate");
    QN_FAIL_IF(n_rounds < 0 || n_rounds > MAX_ROUNDS, err, QN_ERR_USAGE,
               "the number of bootstrap rounds must be 0 to %d, not %d", MAX_ROUNDS, n_rounds);
    QN_FAIL_IF(input->task != QN_TASK_REGRESSION && input->n_classes < 2, err, QN_ERR_USAGE,
               "a classification needs at least 2 classes, not %d", (int)input->n_classes);
    int64_t n_scores = input->n * (input->task == QN_TASK_MULTICLASS ? input->n_classes : 1);
    for (int64_t i = 0; i < n_scores; i++)
        QN_FAIL_IF(isnan(input->scores[i]), err, QN_ERR_DATA,
                   "the prediction of row %lld is not a number",
                   (long long)(i / (n_scores / input->n)) + 1);
    return QN_OK;
}

static int ovr_rounds(const qn_eval_input *input, int n_rounds) {
    double affordable = max_ovr_steps / ((double)input->n * input->n_classes);
    int most = affordable < MIN_OVR_ROUNDS ? MIN_OVR_ROUNDS
               : affordable > 1e9          ? 1000000000
                                           : (int)affordable;
    return n_rounds < most ? n_rounds : most;
}

/* A gap between shares is above 0 even by chance alone, and a resample has the chance of its rows
 * twice: the rounds lie above the value, often altogether. Moved back by that bias (Efron,
 * Tibshirani 1993, chapter 10) they say how far the value itself may be off. */
static void take_off_bias(double value, double *rounds, int n) {
    double sum = 0;
    int n_finite = 0;
    for (int r = 0; r < n; r++)
        if (isfinite(rounds[r])) {
            sum += rounds[r];
            n_finite++;
        }
    for (int r = 0; r < n; r++)
        if (isfinite(rounds[r]))
            rounds[r] = fmax(rounds[r] - (sum / n_finite - value), 0);
}

static qn_status to_json(unsigned kind, const double *values, double *rounds, int n_rounds,
                         int n_ovr, json_t **ret_metrics, qn_error *err) {
    size_t n;
    const qn_metric *table = qn_metrics(&n);
    qn_cleanup(qn_json_free) json_t *json = json_object();
    for (size_t id = 0; id < n; id++) {
        if (!(table[id].tasks >> kind & 1))
            continue;
        int n_of = id == QN__ROC_AUC_OVR ? n_ovr : n_rounds;
        if (id == QN__ECE)
            take_off_bias(values[id], rounds + id * (size_t)n_rounds, n_of);
        qn_interval interval = qn_bootstrap_interval(values[id], rounds + id * (size_t)n_rounds,
                                                     n_of);
        json_t *item = isfinite(interval.value) ? qn_interval_to_json(interval) : json_null();
        if (json_object_set_new(json, table[id].name, item) != 0)
            return qn_error_memory(err);
    }
    *ret_metrics = qn_steal(&json);
    return QN_OK;
}

qn_status qn_evaluate_metrics(const qn_eval_input *input, int n_rounds, uint64_t seed,
                              const qn_job *job, json_t **ret_metrics, qn_error *err) {
    QN_TRY(check_input(input, n_rounds, err));
    qn_cleanup(qn__metric_view_free) qn__metric_view *view = NULL;
    QN_TRY(qn__metric_view_new(input, UINT32_MAX, &view, err));
    double values[QN__N_METRICS];
    int n_ovr = ovr_rounds(input, n_rounds);
    qn_cleanup(qn_freep) double *rounds = qn_new_array(double, (int64_t)n_rounds * QN__N_METRICS);
    qn_cleanup(workers_done) workers w = {0};
    QN_TRY(workers_init(&w, qn_job_threads(job), input->n, qn__metric_view_scratch(view), err));
    if (!rounds)
        return qn_error_memory(err);
    qn__metric_view_values(view, NULL, w.items[0].scratch, values);
    run_rounds(view, NULL, input->n, n_rounds, seed, job, &w, rounds);
    if (input->task == QN_TASK_MULTICLASS)
        QN_TRY(qn__auc_ovr(input, n_ovr, seed, job, &values[QN__ROC_AUC_OVR],
                           rounds + (int64_t)QN__ROC_AUC_OVR * n_rounds, err));
    QN_TRY(qn_job_check(job, err));
    return to_json(qn_metric_kind(input), values, rounds, n_rounds, n_ovr, ret_metrics, err);
}

static qn_status difference_ovr(const qn_eval_input *a, const qn_eval_input *b, int n_rounds,
                                uint64_t seed, const qn_job *job, qn_interval *ret_difference,
                                qn_error *err) {
    n_rounds = ovr_rounds(a, n_rounds);
    qn_cleanup(qn_freep) double *rounds = qn_new_array(double, 2 * (int64_t)n_rounds);
    double of_a, of_b;
    if (!rounds)
        return qn_error_memory(err);
    QN_TRY(qn__auc_ovr(a, n_rounds, seed, job, &of_a, rounds, err));
    QN_TRY(qn__auc_ovr(b, n_rounds, seed, job, &of_b, rounds + n_rounds, err));
    for (int r = 0; r < n_rounds; r++)
        rounds[r] -= rounds[n_rounds + r];
    QN_TRY(qn_job_check(job, err));
    *ret_difference = qn_bootstrap_interval(of_a - of_b, rounds, n_rounds);
    return QN_OK;
}

qn_status qn_evaluate_difference(const qn_metric *metric, const qn_eval_input *a,
                                 const qn_eval_input *b, int n_rounds, uint64_t seed,
                                 const qn_job *job, qn_interval *ret_difference, qn_error *err) {
    size_t n;
    ptrdiff_t id = metric - qn_metrics(&n);
    QN_TRY(check_input(a, n_rounds, err));
    QN_TRY(check_input(b, n_rounds, err));
    QN_FAIL_IF(a->n != b->n || a->task != b->task || a->n_classes != b->n_classes ||
                   !a->query != !b->query,
               err, QN_ERR_USAGE, "models can only be compared on the same rows");
    QN_FAIL_IF(id < 0 || (size_t)id >= n || !(metric->tasks >> qn_metric_kind(a) & 1), err,
               QN_ERR_USAGE, "metric %s is not for this task", metric->name);
    if (id == QN__ROC_AUC_OVR)
        return difference_ovr(a, b, n_rounds, seed, job, ret_difference, err);
    qn_cleanup(qn__metric_view_free) qn__metric_view *view_a = NULL, *view_b = NULL;
    QN_TRY(qn__metric_view_new(a, 1u << id, &view_a, err));
    QN_TRY(qn__metric_view_new(b, 1u << id, &view_b, err));
    double of_a[QN__N_METRICS], of_b[QN__N_METRICS];
    qn_cleanup(qn_freep) double *rounds = qn_new_array(double, (int64_t)n_rounds * QN__N_METRICS);
    qn_cleanup(workers_done) workers w = {0};
    QN_TRY(workers_init(&w, qn_job_threads(job), a->n, qn__metric_view_scratch(view_a), err));
    if (!rounds)
        return qn_error_memory(err);
    qn__metric_view_values(view_a, NULL, w.items[0].scratch, of_a);
    qn__metric_view_values(view_b, NULL, w.items[0].scratch, of_b);
    run_rounds(view_a, view_b, a->n, n_rounds, seed, job, &w, rounds);
    QN_TRY(qn_job_check(job, err));
    *ret_difference = qn_bootstrap_interval(of_a[id] - of_b[id], rounds + id * n_rounds, n_rounds);
    return QN_OK;
}
