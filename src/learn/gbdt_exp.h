/* gbdt_exp.h - exponentials that compilers turn into vectors, with the same bits in each width of
 * them (no fused products, no library). Gradients are floats: that is how exact they need to be. */
#ifndef QN_LEARN_GBDT_EXP_H
#define QN_LEARN_GBDT_EXP_H

#include <stdint.h>

/* Relative error below 1e-12. x beyond +-700 (and NaN) counts as +-700. */
static inline double qn__exp(double x) {
    union {
        double number;
        int64_t bits;
    } v = {.number = x}, shifted, power, most = {.number = 700};
    int64_t sign = v.bits & INT64_MIN, size = v.bits & INT64_MAX;
    v.bits = (size < most.bits ? size : most.bits) | sign;
    /* x = n ln 2 + r; adding 1.5 * 2^52 rounds to an integer and leaves it in the low bits. */
    const double magic = 0x1.8p52;
    shifted.number = v.number * 0x1.71547652b82fep0 + magic;
    double n = shifted.number - magic;
    double r = v.number - n * 0x1.62e42feep-1 - n * 0x1.a39ef35793c76p-33;
    double r2 = r * r, r4 = r2 * r2;
    double low = 1 + r + r2 * (0.5 + r * (1.0 / 6));
    double mid = 1.0 / 24 + r * (1.0 / 120) + r2 * (1.0 / 720 + r * (1.0 / 5040));
    double high = 1.0 / 40320 + r * (1.0 / 362880) + r2 * (1.0 / 3628800);
    power.number = low + r4 * (mid + r4 * high);
    power.bits += (int64_t)((uint64_t)shifted.bits << 52);
    return power.number;
}

/* Relative error below 2e-7. x beyond +-80 (and NaN) counts as +-80. */
static inline float qn__expf(float x) {
    union {
        float number;
        int32_t bits;
    } v = {.number = x}, shifted, power, most = {.number = 80};
    int32_t sign = v.bits & INT32_MIN, size = v.bits & INT32_MAX;
    v.bits = (size < most.bits ? size : most.bits) | sign;
    const float magic = 0x1.8p23f;
    shifted.number = v.number * 0x1.715476p0f + magic;
    float n = shifted.number - magic;
    float r = v.number - n * 0x1.62e4p-1f - n * 0x1.7f7d1cp-20f;
    float r2 = r * r;
    float low = 1 + r, mid = 0.5f + r * (1.0f / 6), high = 1.0f / 24 + r * (1.0f / 120);
    power.number = low + r2 * (mid + r2 * (high + r2 * (1.0f / 720)));
    power.bits += (int32_t)((uint32_t)shifted.bits << 23);
    return power.number;
}

#endif
