/* Leaves in fewer bytes than a double and a count of 32 bits (docs/FORMAT.md, gbdt version 3).
 *
 * A value is low + step * code, two floats for each tree and a code for each leaf: an integer of 8
 * bits over the range of the tree, or a float of 16 bits times a power of two, which keeps small
 * leaves as exact as large ones. The codes of a tree round to the nearest, and its low is then moved
 * by what they are wrong by on average over the training rows, so that the errors of hundreds of
 * trees do not add up. A count is a float of 16 bits, too: 5 bits of exponent, 11 of mantissa.
 *
 * They are made doubles and counts again when a model is opened, so scoring is what it was; the
 * copies are all that such a model does not use in place. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "learn/gbdt_image_int.h"
#include "learn/gbdt_int.h"

static const char *const names[] = {"float64", "float16", "uint8", NULL};

const char *qn_leaf_form_name(qn_leaf_form form) {
    return names[form];
}

bool qn_leaf_form_find(const char *name, qn_leaf_form *ret_form) {
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0) {
            *ret_form = (qn_leaf_form)i;
            return true;
        }
    return false;
}

size_t qn__leaf_code_bytes(qn_leaf_form form) {
    return form == QN_LEAF_FLOAT64 ? sizeof(double) : form == QN_LEAF_FLOAT16 ? 2 : 1;
}

/* ---- codes ----------------------------------------------------------------------------------- */

/* IEEE 754 binary16 of |x| <= 1, to nearest. Rounding up to the next power carries into the
 * exponent by itself. */
static uint16_t half_of(double x) {
    double size = fabs(x);
    int exponent = size >= 0x1p-14 ? ilogb(size) : -15;
    double mantissa = exponent == -15 ? nearbyint(size * 0x1p24)
                                      : nearbyint(scalbn(size, 10 - exponent)) - 1024;
    uint32_t bits = ((uint32_t)(exponent + 15) << 10) + (uint32_t)mantissa;
    return (uint16_t)(bits | (signbit(x) ? 0x8000u : 0));
}

/* NaN and infinities, which no leaf has, become NaN. */
static double of_half(uint16_t half) {
    int exponent = half >> 10 & 31;
    double mantissa = half & 1023;
    double size = exponent == 31  ? (double)NAN
                  : exponent == 0 ? mantissa * 0x1p-24
                                  : scalbn(1024 + mantissa, exponent - 25);
    return half & 0x8000 ? -size : size;
}

enum { COUNT_BITS = 11, COUNT_HIDDEN = 1 << COUNT_BITS, COUNT_EXPONENTS = 21 };

static uint16_t code_of_count(uint32_t count) {
    if (count < COUNT_HIDDEN)
        return (uint16_t)count;
    int shift = 31 - COUNT_BITS - __builtin_clz(count);
    uint64_t mantissa = ((uint64_t)count + (((uint64_t)1 << shift) >> 1)) >> shift;
    if (mantissa == 2 * COUNT_HIDDEN) {
        mantissa = COUNT_HIDDEN;
        shift++;
    }
    if (shift >= COUNT_EXPONENTS) { /* more than 32 bits */
        mantissa = 2 * COUNT_HIDDEN - 1;
        shift = COUNT_EXPONENTS - 1;
    }
    return (uint16_t)((uint32_t)(shift + 1) << COUNT_BITS | (uint32_t)(mantissa - COUNT_HIDDEN));
}

/* 0, which no leaf has, for a code that is none. */
static uint32_t count_of_code(uint16_t code) {
    uint32_t exponent = code >> COUNT_BITS, mantissa = code & (COUNT_HIDDEN - 1);
    if (exponent == 0)
        return mantissa;
    return exponent > COUNT_EXPONENTS ? 0 : (mantissa + COUNT_HIDDEN) << (exponent - 1);
}

/* ---- a tree ---------------------------------------------------------------------------------- */

static void find_range(qn_leaf_form form, const double *value, int64_t n, float range[2]) {
    double low = value[0], high = value[0], most = 0;
    for (int64_t i = 0; i < n; i++) {
        low = fmin(low, value[i]);
        high = fmax(high, value[i]);
        most = fmax(most, fabs(value[i]));
    }
    if (form == QN_LEAF_UINT8) {
        range[0] = (float)low;
        range[1] = (float)((high - low) / UINT8_MAX);
        return;
    }
    int exponent;
    (void)frexp(most, &exponent);
    range[0] = 0;
    range[1] = scalbnf(1, exponent < FLT_MIN_EXP ? FLT_MIN_EXP : exponent);
}

static double code_value(const void *codes, qn_leaf_form form, int64_t i) {
    return form == QN_LEAF_UINT8 ? ((const uint8_t *)codes)[i]
                                 : of_half(((const uint16_t *)codes)[i]);
}

static double value_of(const void *codes, qn_leaf_form form, const float range[2], int64_t i) {
    return (double)range[0] + (double)range[1] * code_value(codes, form, i);
}

static void put_code(void *codes, qn_leaf_form form, const float range[2], double value,
                     int64_t i) {
    double x = range[1] > 0 ? (value - (double)range[0]) / (double)range[1] : 0;
    if (form == QN_LEAF_UINT8)
        ((uint8_t *)codes)[i] = (uint8_t)fmin(fmax(nearbyint(x), 0), UINT8_MAX);
    else
        ((uint16_t *)codes)[i] = half_of(x);
}

/* The tree's n leaves, from its first. */
static bool encode_tree(qn__gbdt *m, int32_t tree, void *codes, float *range, uint16_t *counts) {
    int64_t first = (int64_t)qn__gbdt_leaf_start(m, tree);
    int64_t n = (int64_t)qn__gbdt_leaf_start(m, tree + 1) - first;
    const double *value = m->value + first;
    double error = 0, rows = 0;
    codes = (char *)codes + (size_t)first * qn__leaf_code_bytes(m->leaf_form);
    find_range(m->leaf_form, value, n, range);
    if (!isfinite(range[0]) || !isfinite(range[1]))
        return false;
    for (int64_t i = 0; i < n; i++) {
        put_code(codes, m->leaf_form, range, value[i], i);
        error += m->count[first + i] * (value[i] - value_of(codes, m->leaf_form, range, i));
        rows += m->count[first + i];
        counts[first + i] = code_of_count(m->count[first + i]);
    }
    range[0] += (float)(error / rows);
    return isfinite(range[0]);
}

/* ---- a model --------------------------------------------------------------------------------- */

qn_status qn__leaves_alloc(qn__gbdt *m, qn_error *err) {
    size_t n = ((size_t)m->n_nodes + (size_t)m->n_trees) / 2;
    if (m->leaf_form == QN_LEAF_FLOAT64)
        return QN_OK;
    m->own_value = qn_malloc_aligned(n + 1, sizeof *m->own_value);
    m->own_count = qn_malloc_aligned(n + 1, sizeof *m->own_count);
    if (!m->own_value || !m->own_count)
        return qn_error_memory(err);
    m->value = m->own_value;
    m->count = m->own_count;
    return QN_OK;
}

void qn__leaves_decode(qn__gbdt *m) {
    if (m->leaf_form == QN_LEAF_FLOAT64)
        return;
    for (int32_t t = 0; t < m->n_trees; t++) {
        int64_t end = (int64_t)qn__gbdt_leaf_start(m, t + 1);
        for (int64_t i = (int64_t)qn__gbdt_leaf_start(m, t); i < end; i++) {
            m->own_value[i] = value_of(m->leaf_codes, m->leaf_form, m->leaf_range + 2 * t, i);
            m->own_count[i] = count_of_code(m->count_codes[i]);
        }
    }
}

qn_status qn__leaves_encode(qn__gbdt *m, qn_error *err) {
    if (m->leaf_form == QN_LEAF_FLOAT64)
        return QN_OK;
    for (int32_t t = 0; t < m->n_trees; t++)
        QN_FAIL_IF(!encode_tree(m, t, (void *)(uintptr_t)m->leaf_codes,
                                (float *)(uintptr_t)m->leaf_range + 2 * t,
                                (uint16_t *)(uintptr_t)m->count_codes),
                   err, QN_ERR_LIMIT, "the leaves of tree %d are too large for %s", t,
                   names[m->leaf_form]);
    qn__leaves_decode(m);
    return QN_OK;
}
