/* bootstrap.h - the resamples that every interval shares: how often each row is drawn in a round,
 * and percentile intervals from what the rounds gave. Metrics, value and slices call the same
 * functions with the same seed, so their intervals speak of the same resamples and differences can
 * be paired.
 *
 *     for (int round = 0; round < n_rounds; round++) {        // in any order, by any thread
 *         qn_bootstrap_counts(seed, round, n, counts);
 *         value[round] = sum over i of counts[i] * gain[i];
 *     }
 *     qn_interval interval = qn_bootstrap_interval(point, value, n_rounds);
 */
#ifndef QN_EVALUATE_BOOTSTRAP_H
#define QN_EVALUATE_BOOTSTRAP_H

#include "evaluate/metric.h"

enum {
    QN_BOOTSTRAP_COUNT_MAX = 8,  /* no row is drawn more often (the chance would be 1e-6) */
    QN_BOOTSTRAP_ROUNDS = 1000,  /* what reports use */
};

/* counts[i] in 0..QN_BOOTSTRAP_COUNT_MAX for i in 0..n-1: how often row i appears in resample
 * `round`. Independent Poisson(1) draws in steps of 2^-16, of mean exactly 1 (the Poisson
 * bootstrap: Hanley and MacGibbon 2006; Chamandy et al. 2012), so the resample's size is n only on
 * average and a ratio is the right thing to compute of it. The count of row i depends on seed,
 * round and i alone, not on n. Any thread. */
void qn_bootstrap_counts(uint64_t seed, int round, int64_t n, unsigned char *counts);

/* The percentile interval at 95 % (linear interpolation between order statistics, as numpy's
 * percentile) of the finite ones among values[n]; low and high are NaN when fewer than half of them
 * are finite. Sorts `values` in place. `value` is the point estimate on the original rows. */
qn_interval qn_bootstrap_interval(double value, double *values, int n);

/* {"value", "low", "high"}, null where not finite. New reference; NULL when memory is short. */
json_t *qn_interval_to_json(qn_interval interval);

#endif
