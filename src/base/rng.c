#include "base/rng.h"

#include <math.h>

static uint64_t splitmix(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k) {
    return (x << k) | (x >> (64 - k));
}

void qn_rng_init(qn_rng *rng, uint64_t seed) {
    for (int i = 0; i < 4; i++)
        rng->s[i] = splitmix(&seed);
}

void qn_rng_init_stream(qn_rng *rng, uint64_t seed, uint64_t stream) {
    qn_rng_init(rng, qn_rng_hash(seed, stream));
}

uint64_t qn_rng_u64(qn_rng *rng) {
    uint64_t *s = rng->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

double qn_rng_uniform(qn_rng *rng) {
    return (double)(qn_rng_u64(rng) >> 11) * 0x1p-53;
}

uint64_t qn_rng_below(qn_rng *rng, uint64_t n) {
    unsigned __int128 product = (unsigned __int128)qn_rng_u64(rng) * n;
    if ((uint64_t)product < n) {
        uint64_t threshold = -n % n;
        while ((uint64_t)product < threshold)
            product = (unsigned __int128)qn_rng_u64(rng) * n;
    }
    return (uint64_t)(product >> 64);
}

double qn_rng_normal(qn_rng *rng) {
    double u, v, s;
    do {
        u = 2 * qn_rng_uniform(rng) - 1;
        v = 2 * qn_rng_uniform(rng) - 1;
        s = u * u + v * v;
    } while (s >= 1 || s == 0);
    return u * sqrt(-2 * log(s) / s);
}

void qn_rng_shuffle_i64(qn_rng *rng, int64_t *items, int64_t n) {
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)qn_rng_below(rng, (uint64_t)i + 1), t = items[i];
        items[i] = items[j];
        items[j] = t;
    }
}

uint64_t qn_rng_hash(uint64_t seed, uint64_t counter) {
    uint64_t state = seed ^ rotl(counter * 0xD6E8FEB86659FD93u, 32);
    (void)splitmix(&state);
    return splitmix(&state) ^ counter * 0xA24BAED4963EE407u;
}

double qn_rng_hash_uniform(uint64_t seed, uint64_t counter) {
    return (double)(qn_rng_hash(seed, counter) >> 11) * 0x1p-53;
}
