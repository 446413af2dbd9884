/* Early stopping that knows how uncertain it is.
 *
 * The round with the least loss on the validation rows is a noisy choice, and in a split by time a
 * biased one: neighbouring rows say the same thing, so ten thousand of them may hold two or three
 * independent events, and a part unlike the rest makes the first round look best. The standard
 * error of "this round is better than that one" has to come from stretches of time, not from rows:
 * a jackknife that leaves out one stretch at a time (Kuensch 1989, Annals of Statistics 17(3)).
 *
 *     d(m)    = loss(m) - loss(best)      on all validation rows
 *     d_s(m)  = the same without stretch s = 1..G
 *     se(m)^2 = (G - 1) / G * sum_s (d_s(m) - mean_s d_s(m))^2
 *
 * From the patience on towards the best round, the first with d(m) <= early_stopping_se * se(m) is
 * kept. With evidence, and a best round beyond the patience, this is the one-standard-error rule
 * (Breiman, Friedman, Olshen and Stone 1984, section 3.4.3). Without any it is the patience itself:
 * the rounds that early stopping grants before it believes that nothing is gained. A loss that is
 * not defined without some stretch (which holds all positives, say) rests on that stretch alone: its
 * standard error counts as infinite. */
#include <math.h>
#include <string.h>

#include "learn/gbdt_int.h"

void qn__stopping_done(qn__stopping *s) {
    qn_freep(&s->begin);
    qn_freep(&s->rows);
    qn_freep(&s->y);
    qn_freep(&s->w);
    qn_freep(&s->score);
    qn_freep(&s->loss);
    qn_freep(&s->without);
}

/* Validation rows by stretch, with their targets and weights. */
static qn_status gather_stretches(qn__stopping *s, const qn__objective_data *valid,
                                  const int32_t *stretch, qn_error *err) {
    int32_t n_s = s->n_stretches;
    s->begin = qn_new_array(int64_t, n_s + 1);
    s->rows = qn_malloc_aligned((size_t)valid->n, sizeof *s->rows);
    s->y = qn_malloc_aligned((size_t)valid->n, sizeof *s->y);
    s->w = valid->w ? qn_malloc_aligned((size_t)valid->n, sizeof *s->w) : NULL;
    s->score = qn_malloc_aligned((size_t)valid->n, (size_t)valid->n_outputs * sizeof *s->score);
    if (!s->begin || !s->rows || !s->y || (valid->w && !s->w) || !s->score)
        return qn_error_memory(err);
    for (int64_t i = 0; i < valid->n; i++)
        s->begin[stretch[i] + 1]++;
    for (int32_t k = 0; k < n_s; k++)
        s->begin[k + 1] += s->begin[k];
    for (int64_t i = 0; i < valid->n; i++) {
        int64_t at = s->begin[stretch[i]]++;
        s->rows[at] = i;
        s->y[at] = valid->y[i];
        if (s->w)
            s->w[at] = valid->w[i];
    }
    memmove(s->begin + 1, s->begin, (size_t)n_s * sizeof *s->begin);
    s->begin[0] = 0;
    return QN_OK;
}

qn_status qn__stopping_init(qn__stopping *s, const qn_gbdt_params *params,
                            const qn_fit_input *input, const qn__objective_data *valid,
                            qn_error *err) {
    if (!input->valid.x || !input->valid_stretch || input->n_stretches < 2 ||
        params->early_stopping_round <= 0 || params->early_stopping_se <= 0 ||
        input->n_metrics > 1 ||
        (valid->queries && !input->loss)) /* queries are not cut by stretches */
        return QN_OK;
    QN_FAIL_IF(input->n_stretches > QN__STRETCHES_MAX, err, QN_ERR_USAGE,
               "at most %d stretches of validation rows, not %d", QN__STRETCHES_MAX,
               (int)input->n_stretches);
    for (int64_t i = 0; i < valid->n; i++)
        QN_FAIL_IF(input->valid_stretch[i] < 0 || input->valid_stretch[i] >= input->n_stretches,
                   err, QN_ERR_USAGE, "validation row %lld has stretch %d of %d", (long long)i + 1,
                   (int)input->valid_stretch[i], (int)input->n_stretches);
    s->n_stretches = input->n_stretches;
    return gather_stretches(s, valid, input->valid_stretch, err);
}

double qn__stopping_loss(const qn__stopping *s, const qn__objective *objective,
                         const qn__objective_data *valid, const double *score, double *without) {
    double sum[QN__STRETCHES_MAX], weight[QN__STRETCHES_MAX], all = 0, all_weight = 0;
    for (int32_t k = 0; k < s->n_stretches; k++) {
        int64_t from = s->begin[k], n = s->begin[k + 1] - from;
        qn__objective_data part = *valid;
        part.n = n;
        part.y = s->y + from;
        part.w = s->w ? s->w + from : NULL;
        weight[k] = part.w ? 0 : (double)n;
        for (int64_t i = 0; part.w && i < n; i++)
            weight[k] += part.w[i];
        for (int32_t o = 0; o < valid->n_outputs; o++)
            for (int64_t i = 0; i < n; i++)
                s->score[o * n + i] = score[o * valid->n + s->rows[from + i]];
        sum[k] = n > 0 ? objective->loss(&part, s->score) * weight[k] : 0;
        all += sum[k];
        all_weight += weight[k];
    }
    for (int32_t k = 0; k < s->n_stretches; k++)
        without[k] = all_weight > weight[k] ? (all - sum[k]) / (all_weight - weight[k])
                                            : (double)NAN;
    return all_weight > 0 ? all / all_weight : 0;
}

qn_status qn__stopping_add(qn__stopping *s, double loss, const double *without, qn_error *err) {
    if (s->n_rounds == s->cap_rounds) {
        int64_t cap = s->cap_rounds ? 2 * s->cap_rounds : 128;
        double *more = qn_realloc(s->loss, (size_t)cap, sizeof *more);
        if (!more)
            return qn_error_memory(err);
        s->loss = more;
        more = qn_realloc(s->without, (size_t)cap * (size_t)s->n_stretches, sizeof *more);
        if (!more)
            return qn_error_memory(err);
        s->without = more;
        s->cap_rounds = cap;
    }
    s->loss[s->n_rounds] = loss;
    memcpy(s->without + s->n_rounds * s->n_stretches, without,
           (size_t)s->n_stretches * sizeof *without);
    s->n_rounds++;
    return QN_OK;
}

/* Whether the loss of round m is within n_errors standard errors of that of the best round. */
static bool is_as_good(const qn__stopping *s, int64_t m, int64_t best, double n_errors) {
    int32_t n = s->n_stretches;
    double d[QN__STRETCHES_MAX], mean = 0, square = 0, gap = s->loss[m] - s->loss[best];
    if (m == best)
        return true;
    if (!isfinite(s->loss[best]))
        return true; /* nothing is known of any round */
    if (!isfinite(s->loss[m]))
        return false;
    for (int32_t k = 0; k < n; k++) {
        d[k] = s->without[m * n + k] - s->without[best * n + k];
        if (!isfinite(d[k]))
            return true;
        mean += d[k] / n;
    }
    for (int32_t k = 0; k < n; k++)
        square += (d[k] - mean) * (d[k] - mean);
    return gap <= n_errors * sqrt((n - 1.0) / n * square);
}

int32_t qn__stopping_pick(const qn__stopping *s, int32_t best_round, int64_t patience,
                          double n_errors) {
    int64_t best = best_round - 1, anchor = patience < s->n_rounds ? patience : s->n_rounds;
    int64_t step = anchor - 1 <= best ? 1 : -1;
    int64_t m = anchor - 1;
    while (m != best && !is_as_good(s, m, best, n_errors))
        m += step;
    return (int32_t)m + 1;
}

/* ---- gains ---- */

void qn__gain_log_done(qn__gain_log *log) {
    qn_freep(&log->splits);
}

qn_status qn__gain_log_add(qn__gain_log *log, int64_t round, int32_t column, double gain,
                           qn_error *err) {
    if (log->n == log->cap) {
        int64_t cap = log->cap ? 2 * log->cap : 1024;
        qn__gain *more = qn_realloc(log->splits, (size_t)cap, sizeof *more);
        if (!more)
            return qn_error_memory(err);
        log->splits = more;
        log->cap = cap;
    }
    log->splits[log->n++] = (qn__gain){(int32_t)round, column, gain};
    return QN_OK;
}

void qn__gain_log_sum(const qn__gain_log *log, int64_t n_rounds, double *gain) {
    for (int64_t i = 0; i < log->n && log->splits[i].round < n_rounds; i++)
        gain[log->splits[i].column] += log->splits[i].gain;
}
