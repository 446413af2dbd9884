/* rng.h - seeded random numbers. Streams are xoshiro256** (Blackman, Vigna 2018) seeded by
 * SplitMix64; qn_rng_hash is a stateless mixer for draws that must not depend on the order of work.
 * The sequences are part of our reproducibility promise: they never change. */
#ifndef QN_BASE_RNG_H
#define QN_BASE_RNG_H

#include <stdint.h>

typedef struct qn_rng {
    uint64_t s[4];
} qn_rng;

void qn_rng_init(qn_rng *rng, uint64_t seed);
/* A generator for sub-task `stream` of `seed`, independent of the others. */
void qn_rng_init_stream(qn_rng *rng, uint64_t seed, uint64_t stream);
uint64_t qn_rng_u64(qn_rng *rng);
/* Uniform in [0, 1), 53 bits. */
double qn_rng_uniform(qn_rng *rng);
/* Uniform in 0..n-1, unbiased (Lemire 2019); n > 0. */
uint64_t qn_rng_below(qn_rng *rng, uint64_t n);
/* Standard normal (polar Box-Muller). */
double qn_rng_normal(qn_rng *rng);
/* Fisher-Yates. */
void qn_rng_shuffle_i64(qn_rng *rng, int64_t *items, int64_t n);

/* A well-mixed 64-bit function of two numbers; and as a uniform in [0, 1). */
uint64_t qn_rng_hash(uint64_t seed, uint64_t counter);
double qn_rng_hash_uniform(uint64_t seed, uint64_t counter);

#endif
