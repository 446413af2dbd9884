#include "learn/linear_newton_int.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

enum {
    MAX_DIM = 1024,
    CHUNK = 512,     /* rows whose columns stay in cache together */
    TILE = 4,        /* weighted columns at work at once */
    FLOATS = 8,      /* in a vector */
    LEAST_ROWS = 2048,
    MOST_ROWS = 1 << 16,
    WORK = 1000000000, /* multiplications of a Hessian, about */
};

#if defined(__x86_64__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

typedef float floats __attribute__((vector_size(32), aligned(4), may_alias));

/* The rows that the Hessian is measured on, as floats: it only steers. */
typedef struct sample {
    int32_t p, k;      /* columns with the constant one, which is the last; outputs */
    int64_t m, stride; /* rows; rows rounded up to whole vectors, the rest being 0 */
    float *x;          /* owned; [p][stride], standardised */
    float *prob;       /* owned; [k][stride]: probabilities */
    float *weight;     /* owned; [stride]: adding up to 1 */
    int64_t *row;      /* owned; [m], ascending */
} sample;

static void sample_done(sample *s) {
    qn_freep(&s->x);
    qn_freep(&s->prob);
    qn_freep(&s->weight);
    qn_freep(&s->row);
}

bool qn__linear_curvature_fits(const qn__linear_problem *problem) {
    int64_t dim = problem->n_outputs * ((int64_t)problem->design->p + 1);
    /* A factorisation costs dim^3, a pass over the data n dim. */
    return dim <= MAX_DIM && dim * dim <= 64 * problem->design->n;
}

qn_status qn__linear_curvature_init(qn__linear_curvature *c, const qn__linear_problem *problem,
                                    qn_error *err) {
    int64_t dim = problem->n_outputs * ((int64_t)problem->design->p + 1);
    *c = (qn__linear_curvature){.dim = dim};
    c->hessian = qn_malloc_aligned((size_t)(dim * dim), sizeof(double));
    c->factor = qn_malloc_aligned((size_t)(dim * dim), sizeof(double));
    return c->hessian && c->factor ? QN_OK : qn_error_memory(err);
}

void qn__linear_curvature_done(qn__linear_curvature *c) {
    qn_freep(&c->hessian);
    qn_freep(&c->factor);
    c->dim = 0;
}

static void fill_columns(sample *s, const qn__linear_design *design) {
    for (int32_t j = 0; j < s->p - 1; j++) {
        const qn__linear_column *c = &design->columns[j];
        float *to = s->x + j * s->stride;
        for (int64_t i = 0; c->num && i < s->m; i++)
            to[i] = (float)((c->num[s->row[i]] - c->centre) * c->scale);
        for (int64_t e = 0, i = 0; !c->num && e < c->n_set && i < s->m; e++) {
            while (i < s->m && s->row[i] < c->row[e])
                i++;
            if (i < s->m && s->row[i] == c->row[e] && !isnan(c->value[e]))
                to[i] = (float)(c->value[e] * c->scale);
        }
    }
    for (int64_t i = 0; i < s->m; i++)
        s->x[(s->p - 1) * s->stride + i] = 1;
}

static void fill_probabilities(sample *s, const qn__linear_problem *problem, const double *scores) {
    int64_t n = problem->design->n;
    for (int64_t i = 0; i < s->m; i++) {
        const double *score = scores + s->row[i];
        double top = score[0], sum = 0;
        if (problem->link != QN_LINK_SOFTMAX) {
            s->prob[i] = (float)(1 / (1 + exp(-score[0])));
            continue;
        }
        for (int32_t k = 1; k < s->k; k++)
            top = fmax(top, score[k * n]);
        for (int32_t k = 0; k < s->k; k++)
            sum += exp(score[k * n] - top);
        for (int32_t k = 0; k < s->k; k++)
            s->prob[k * s->stride + i] = (float)(exp(score[k * n] - top) / sum);
    }
}

static qn_status sample_init(sample *s, const qn__linear_problem *problem, const double *scores,
                             qn_error *err) {
    const qn__linear_design *design = problem->design;
    int64_t dim = problem->n_outputs * ((int64_t)design->p + 1), want = WORK / (dim * dim);
    want = want < LEAST_ROWS ? LEAST_ROWS : want > MOST_ROWS ? MOST_ROWS : want;
    s->p = design->p + 1;
    s->k = problem->n_outputs;
    s->m = design->n < want ? design->n : want;
    s->stride = (s->m + FLOATS - 1) / FLOATS * FLOATS;
    s->x = qn_calloc_aligned((size_t)(s->p * s->stride), sizeof *s->x);
    s->prob = qn_calloc_aligned((size_t)(s->k * s->stride), sizeof *s->prob);
    s->weight = qn_calloc_aligned((size_t)s->stride, sizeof *s->weight);
    s->row = qn_new_array(int64_t, s->m);
    if (!s->x || !s->prob || !s->weight || !s->row)
        return qn_error_memory(err);
    double sum = 0;
    for (int64_t i = 0; i < s->m; i++) {
        s->row[i] = (int64_t)((double)i * ((double)design->n / (double)s->m));
        sum += problem->a[s->row[i]];
    }
    for (int64_t i = 0; i < s->m && sum > 0; i++)
        s->weight[i] = (float)(problem->a[s->row[i]] / sum);
    fill_columns(s, design);
    if (problem->link != QN_LINK_IDENTITY)
        fill_probabilities(s, problem, scores);
    return QN_OK;
}

/* Columns j .. j + TILE - 1 times the weights of the block (k, l): a p_k (1 - p_k) or - a p_k
 * p_l. */
WIDE static void weigh(const sample *s, bool plain, int32_t j, int32_t n_j, int32_t k, int32_t l,
                       int64_t first, int64_t n, float *out) {
    float w[CHUNK];
    const float *a = s->weight + first, *pk = s->prob + k * s->stride + first;
    const float *pl = s->prob + l * s->stride + first;
    for (int64_t i = 0; i < n; i++)
        w[i] = plain ? a[i] : a[i] * pk[i] * (k == l ? 1 - pk[i] : -pl[i]);
    for (int32_t t = 0; t < TILE; t++)
        for (int64_t i = 0; i < n; i++)
            out[t * CHUNK + i] = t < n_j ? w[i] * s->x[(j + t) * s->stride + first + i] : 0;
}

/* sum[t][i] += v_t x_i for the columns i <= last; n is a multiple of FLOATS. */
WIDE static void multiply(const float *v, const float *x, int64_t stride, int32_t last, int64_t n,
                          double sum[TILE][MAX_DIM]) {
    for (int32_t i = 0; i <= last; i++) {
        const float *xi = x + i * stride;
        floats s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        for (int64_t r = 0; r < n; r += FLOATS) {
            floats here = *(const floats *)(xi + r);
            s0 += here * *(const floats *)(v + r);
            s1 += here * *(const floats *)(v + CHUNK + r);
            s2 += here * *(const floats *)(v + 2 * CHUNK + r);
            s3 += here * *(const floats *)(v + 3 * CHUNK + r);
        }
        for (int lane = 0; lane < FLOATS; lane++) {
            sum[0][i] += (double)s0[lane];
            sum[1][i] += (double)s1[lane];
            sum[2][i] += (double)s2[lane];
            sum[3][i] += (double)s3[lane];
        }
    }
}

/* Where coefficient j of output k lies in theta; the constant column is the intercept. */
static int64_t index_of(const sample *s, int32_t k, int32_t j) {
    return j < s->p - 1 ? (int64_t)k * (s->p - 1) + j : (int64_t)s->k * (s->p - 1) + k;
}

/* Columns j .. of the block of outputs k and l, and their mirror images. */
static void measure_tile(const sample *s, bool plain, int32_t j, int32_t k, int32_t l,
                         qn__linear_curvature *c) {
    double sum[TILE][MAX_DIM] = {0};
    float v[TILE * CHUNK];
    int32_t n_j = s->p - j < TILE ? s->p - j : TILE;
    for (int64_t first = 0; first < s->stride; first += CHUNK) {
        int64_t n = s->stride - first < CHUNK ? s->stride - first : CHUNK;
        weigh(s, plain, j, n_j, k, l, first, n, v);
        multiply(v, s->x + first, s->stride, j + n_j - 1, n, sum);
    }
    for (int32_t t = 0; t < n_j; t++)
        for (int32_t i = 0; i <= j + t; i++) {
            int64_t kj = index_of(s, k, j + t), li = index_of(s, l, i);
            int64_t ki = index_of(s, k, i), lj = index_of(s, l, j + t);
            c->hessian[kj * c->dim + li] = c->hessian[li * c->dim + kj] = sum[t][i];
            c->hessian[ki * c->dim + lj] = c->hessian[lj * c->dim + ki] = sum[t][i];
        }
}

qn_status qn__linear_curvature_measure(qn__linear_curvature *c, const qn__linear_problem *problem,
                                       const double *scores, qn_error *err) {
    qn_cleanup(sample_done) sample s = {0};
    QN_TRY(sample_init(&s, problem, scores, err));
    bool plain = problem->link == QN_LINK_IDENTITY;
    int32_t n_tiles = (s.p + TILE - 1) / TILE, n_blocks = s.k * (s.k + 1) / 2;
#pragma omp parallel for schedule(dynamic) num_threads(problem->design->n_threads) \
    if (problem->design->n_threads > 1 && n_blocks * n_tiles * s.m > 100000)
    for (int32_t task = 0; task < n_blocks * n_tiles; task++) {
        int32_t k = 0, rest = task / n_tiles;
        while (rest > k)
            rest -= ++k;
        measure_tile(&s, plain, task % n_tiles * TILE, k, rest, c);
    }
    /* A column that the sample has not seen: as if it went with nothing. */
    for (int64_t i = 0; i < c->dim; i++)
        if (c->hessian[i * c->dim + i] <= 0)
            c->hessian[i * c->dim + i] = c->hessian[c->dim * c->dim - 1];
    c->measured = true;
    c->factored = false;
    return QN_OK;
}

/* Cholesky, row by row. A trace of the diagonal is added: the intercepts of a softmax are
 * determined but for a constant, and floats are rounded. */
static bool factorise(qn__linear_curvature *c, const qn__linear_problem *problem) {
    int64_t dim = c->dim, n_penalised = (int64_t)problem->n_outputs * problem->design->p;
    double trace = 0;
    for (int64_t i = 0; i < dim; i++)
        trace += c->hessian[i * dim + i];
    double ridge = 1e-7 * trace / (double)dim;
    for (int64_t i = 0; i < dim; i++) {
        const double *h = c->hessian + i * dim;
        double *row = c->factor + i * dim;
        for (int64_t j = 0; j < i; j++)
            row[j] = (h[j] - qn__linear_dot(row, c->factor + j * dim, j)) / c->factor[j * dim + j];
        double square = h[i] + ridge + (i < n_penalised ? problem->l2 : 0) -
                        qn__linear_dot(row, row, i);
        if (!(square > 0) || !isfinite(square))
            return false;
        row[i] = sqrt(square);
    }
    c->factor_l2 = problem->l2;
    return c->factored = true;
}

bool qn__linear_curvature_solve(qn__linear_curvature *c, const qn__linear_problem *problem,
                                double *x) {
    if (!c->measured || ((!c->factored || c->factor_l2 != problem->l2) && !factorise(c, problem)))
        return false;
    int64_t dim = c->dim;
    for (int64_t i = 0; i < dim; i++) {
        const double *row = c->factor + i * dim;
        x[i] = (x[i] - qn__linear_dot(row, x, i)) / row[i];
    }
    for (int64_t i = dim - 1; i >= 0; i--) {
        const double *row = c->factor + i * dim;
        x[i] /= row[i];
        for (int64_t j = 0; j < i; j++)
            x[j] -= x[i] * row[j];
    }
    return true;
}
