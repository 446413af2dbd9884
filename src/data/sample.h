/* sample.h - drawing rows: fewer negatives, k of a stream, weighted, stratified. All seeded; row
 * numbers come out ascending; none depends on threads. *ret_rows is owned by the caller
 * (qn_freep). */
#ifndef QN_DATA_SAMPLE_H
#define QN_DATA_SAMPLE_H

#include "base/rng.h"
#include "data/frame.h"

/* Negative down-sampling for a binary target: keeps every row with y 1 and a share (0 < share <= 1)
 * of those with y 0, each decided by a hash of seed and row number alone: the same rows stay
 * whatever else is in the table. Rows with y NaN go. `rows` (ascending, n_used) restricts the draw
 * to those rows, e.g. the training part; NULL: rows 0..n_used-1. y is indexed by row number. A
 * model trained on the result gives the odds odds / share; p = q / (q + (1 - q) / share) puts a
 * probability q back. */
qn_status qn_sample_negatives(const int64_t *rows, int64_t n_used, const double *y, double share,
                              uint64_t seed, int64_t **ret_rows, int64_t *ret_n,
                              qn_error *err) QN_MUST_USE;

/* k of n rows without replacement, uniform; all of them when k >= n. */
qn_status qn_sample_uniform(int64_t n_rows, int64_t k, uint64_t seed, int64_t **ret_rows,
                            int64_t *ret_n, qn_error *err) QN_MUST_USE;

/* k of n rows without replacement, row i with weight[i] >= 0 (finite; 0: never drawn): the k
 * largest keys u^(1/w), u a hash of seed and row (Efraimidis, Spirakis 2006). Fewer than k rows of
 * positive weight: all of these. QN_ERR_DATA names the row of a bad weight. */
qn_status qn_sample_weighted(const double *weight, int64_t n_rows, int64_t k, uint64_t seed,
                             int64_t **ret_rows, int64_t *ret_n, qn_error *err) QN_MUST_USE;

/* k of the rows with y in 0..n_classes-1 (NaN: not drawn), each class by its share (largest
 * remainders), at least one row of each class that has any when k allows. */
qn_status qn_sample_stratified(const double *y, int64_t n_rows, int32_t n_classes, int64_t k,
                               uint64_t seed, int64_t **ret_rows, int64_t *ret_n,
                               qn_error *err) QN_MUST_USE;

/* k rows of a stream of unknown length, uniform, in O(k (1 + log(n / k))) draws: Algorithm L (Li
 * 1994).
 *
 *     qn_cleanup(qn_reservoir_done) qn_reservoir reservoir = {0};
 *     QN_TRY(qn_reservoir_init(&reservoir, 10000, seed, err));
 *     while (chunk) qn_reservoir_add(&reservoir, chunk->n_rows);
 *     QN_TRY(qn_reservoir_rows(&reservoir, &rows, &n, err));
 *
 * The result depends on how many rows came, not on how they were cut into chunks. */
typedef struct qn_reservoir {
    qn_rng rng;
    int64_t k;
    int64_t n_seen; /* rows so far: the next one has this number */
    int64_t i_next; /* number of the next row to be taken once the reservoir is full */
    double w;       /* the running maximum of Algorithm L */
    int64_t *rows;  /* owned; the first min(k, n_seen) are in use */
} qn_reservoir;

qn_status qn_reservoir_init(qn_reservoir *reservoir, int64_t k, uint64_t seed, qn_error *err)
    QN_MUST_USE;
void qn_reservoir_done(qn_reservoir *reservoir);
/* The next n_more (>= 0) rows of the stream, numbered from where the last call ended. */
void qn_reservoir_add(qn_reservoir *reservoir, int64_t n_more);
/* A sorted copy of the sample so far. */
qn_status qn_reservoir_rows(const qn_reservoir *reservoir, int64_t **ret_rows, int64_t *ret_n,
                            qn_error *err) QN_MUST_USE;

#endif
