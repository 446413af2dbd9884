#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "learn/linear_int.h"

/* A pass over fewer numbers stays on one thread: passes are many, and at the end of each every
 * thread waits for the last, which on a busy machine has yet to get a processor. */
enum { WORTH_THREADS = 1 << 22 };

/* Fixed blocks make every sum independent of the number of threads. */
enum { BLOCK_ROWS = 1024, BLOCK_COLUMNS = 8 };

#define WIDE __attribute__((target_clones("avx2", "default")))

typedef double lanes __attribute__((vector_size(32), aligned(8), may_alias));

#if defined(__x86_64__)
WIDE
#endif
static double dot(const double *a, const double *b, int64_t n) {
    lanes s = {0}, t = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        s += *(const lanes *)(a + i) * *(const lanes *)(b + i);
        t += *(const lanes *)(a + i + 4) * *(const lanes *)(b + i + 4);
    }
    s += t;
    double sum = (s[0] + s[1]) + (s[2] + s[3]);
    for (; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* clang gives variants of a function that other files call a name they do not know. */
double qn__linear_dot(const double *a, const double *b, int64_t n) {
    return dot(a, b, n);
}

#if defined(__x86_64__)
WIDE
#endif
static void add_scaled(double *restrict to, const double *restrict x, double factor, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        to[i] += factor * x[i];
}

/* Weighted mean and standard deviation, in two passes; NaN counts as the mean. */
static void dense_moments(qn__linear_column *c, const double *weight, int64_t n, bool *ret_nan) {
    double sum_w = 0, sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        double w = weight ? weight[i] : 1;
        if (isnan(c->num[i])) {
            *ret_nan = true;
            continue;
        }
        sum_w += w;
        sum += w * c->num[i];
    }
    c->mean = sum_w > 0 ? sum / sum_w : 0;
    for (int64_t i = 0; i < n; i++) {
        double d = c->num[i] - c->mean;
        if (!isnan(d))
            square += (weight ? weight[i] : 1) * d * d;
    }
    c->std = sum_w > 0 ? sqrt(square / sum_w) : 0;
}

static void sparse_moments(qn__linear_column *c, const double *weight, double sum_w) {
    double sum = 0, square = 0, rest = sum_w;
    for (int64_t s = 0; s < c->n_set; s++)
        sum += (weight ? weight[c->row[s]] : 1) * (isnan(c->value[s]) ? 0 : c->value[s]);
    c->mean = sum / sum_w;
    for (int64_t s = 0; s < c->n_set; s++) {
        double w = weight ? weight[c->row[s]] : 1,
               d = (isnan(c->value[s]) ? 0 : c->value[s]) - c->mean;
        square += w * d * d;
        rest -= w;
    }
    square += (rest > 0 ? rest : 0) * c->mean * c->mean;
    c->std = sqrt(square / sum_w);
}

static void set_scale(qn__linear_column *c, bool sparse, bool standardize) {
    /* Rounding leaves a constant column with a tiny spread. */
    bool constant = !(c->std > 1e-12 * fabs(c->mean)) || !isfinite(c->std);
    c->centre = sparse ? 0 : c->mean;
    c->scale = constant ? 0 : standardize ? 1 / c->std : 1;
}

static qn_status fill_missing(qn__linear_column *c, int64_t n, qn_error *err) {
    c->owned = qn_malloc_aligned((size_t)n, sizeof *c->owned);
    if (!c->owned)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++)
        c->owned[i] = isnan(c->num[i]) ? c->mean : c->num[i];
    c->num = c->owned;
    return QN_OK;
}

static qn_status init_column(qn__linear_design *design, const qn_matrix *x, int32_t j,
                             const double *weight, double sum_w, bool standardize,
                             const qn__linear_column *like, qn_error *err) {
    qn__linear_column *c = &design->columns[j];
    const qn_matrix_column *from = &x->columns[j];
    bool sparse = x->features[j].kind == QN_FEATURE_SPARSE, has_nan = false;
    QN_FAIL_IF(x->features[j].kind == QN_FEATURE_CATEGORY, err, QN_ERR_USAGE,
               "linear models take numbers; encode the category '%s' first", x->features[j].name);
    c->row = from->row;
    c->value = from->value;
    c->n_set = sparse ? from->n_set : 0;
    c->num = sparse ? NULL : from->num;
    if (like) {
        c->mean = like->mean;
        c->std = like->std;
        c->centre = like->centre;
        c->scale = like->scale;
        for (int64_t i = 0; !sparse && !has_nan && i < x->n_rows; i++)
            has_nan = isnan(c->num[i]);
    } else {
        if (sparse)
            sparse_moments(c, weight, sum_w);
        else
            dense_moments(c, weight, x->n_rows, &has_nan);
        set_scale(c, sparse, standardize);
    }
    design->n_numbers += sparse ? c->n_set : x->n_rows;
    return has_nan ? fill_missing(c, x->n_rows, err) : QN_OK;
}

/* Compressed rows of the sparse columns, columns ascending within a row. */
static qn_status build_rows(qn__linear_design *design, qn_error *err) {
    size_t n_set = 0;
    for (int32_t j = 0; j < design->p; j++)
        n_set += (size_t)design->columns[j].n_set;
    if (!n_set)
        return QN_OK;
    int64_t n = design->n;
    design->row_start = qn_new_array(int64_t, n + 1);
    design->row_column = qn_new_array(int32_t, n_set);
    design->row_value = qn_new_array(double, n_set);
    qn_cleanup(qn_freep) int64_t *at = qn_new_array(int64_t, n);
    if (!design->row_start || !design->row_column || !design->row_value || !at)
        return qn_error_memory(err);
    for (int32_t j = 0; j < design->p; j++)
        for (int64_t s = 0; s < design->columns[j].n_set; s++)
            design->row_start[design->columns[j].row[s] + 1]++;
    for (int64_t i = 0; i < n; i++) {
        design->row_start[i + 1] += design->row_start[i];
        at[i] = design->row_start[i];
    }
    for (int32_t j = 0; j < design->p; j++) {
        const qn__linear_column *c = &design->columns[j];
        for (int64_t s = 0; s < c->n_set; s++) {
            int64_t to = at[c->row[s]]++;
            design->row_column[to] = j;
            design->row_value[to] = isnan(c->value[s]) ? 0 : c->value[s];
        }
    }
    return QN_OK;
}

static qn_status init_all(qn__linear_design *design, const qn_matrix *x, const double *weight,
                          bool standardize, const qn__linear_design *like, qn_error *err) {
    double sum_w = 0;
    for (int64_t i = 0; i < x->n_rows; i++)
        sum_w += weight ? weight[i] : 1;
    design->columns = qn_new_array(qn__linear_column, x->n_features);
    if (!design->columns)
        return qn_error_memory(err);
    for (int32_t j = 0; j < x->n_features; j++)
        QN_TRY(init_column(design, x, j, weight, sum_w, standardize,
                           like ? &like->columns[j] : NULL, err));
    return build_rows(design, err);
}

qn_status qn__linear_design_init(qn__linear_design *design, const qn_matrix *x,
                                 const double *weight, bool standardize,
                                 const qn__linear_design *like, const qn_job *job, qn_error *err) {
    *design = (qn__linear_design){
        .n = x->n_rows, .p = x->n_features, .n_threads = qn_job_threads(job)};
    qn_status status = init_all(design, x, weight, standardize, like, err);
    if (status != QN_OK)
        qn__linear_design_done(design);
    return status;
}

void qn__linear_design_done(qn__linear_design *design) {
    if (!design)
        return;
    for (int32_t j = 0; design->columns && j < design->p; j++)
        qn_freep(&design->columns[j].owned);
    qn_freep(&design->columns);
    qn_freep(&design->row_start);
    qn_freep(&design->row_column);
    qn_freep(&design->row_value);
}

static int threads_for(const qn__linear_design *design, int32_t n_outputs) {
    return design->n_numbers * n_outputs < WORTH_THREADS ? 1 : design->n_threads;
}

static void scores_block(const qn__linear_design *design, int32_t n_outputs, const double *theta,
                         const double *base, int64_t first, int64_t n, double *scores) {
    int32_t p = design->p;
    for (int32_t k = 0; k < n_outputs; k++)
        for (int64_t i = first; i < first + n; i++)
            scores[k * design->n + i] = base[k];
    for (int32_t j = 0; j < p; j++) {
        const qn__linear_column *c = &design->columns[j];
        if (!c->num)
            continue;
        for (int32_t k = 0; k < n_outputs; k++) {
            double v = theta[(int64_t)k * p + j] * c->scale;
            if (v != 0)
                add_scaled(scores + k * design->n + first, c->num + first, v, n);
        }
    }
    if (!design->row_start)
        return;
    for (int64_t i = first; i < first + n; i++) {
        for (int64_t s = design->row_start[i]; s < design->row_start[i + 1]; s++) {
            int32_t j = design->row_column[s];
            double x = design->row_value[s] * design->columns[j].scale;
            for (int32_t k = 0; k < n_outputs; k++)
                scores[k * design->n + i] += theta[(int64_t)k * p + j] * x;
        }
    }
}

void qn__linear_scores(const qn__linear_design *design, int32_t n_outputs, const double *theta,
                       double *scores) {
    int32_t p = design->p;
    int64_t n_blocks = (design->n + BLOCK_ROWS - 1) / BLOCK_ROWS;
    int threads = threads_for(design, n_outputs);
    /* The centring is one constant per output; a few outputs at a time fit on the stack. */
    enum { CHUNK = 64 };
    for (int32_t k0 = 0; k0 < n_outputs; k0 += CHUNK) {
        int32_t m = n_outputs - k0 < CHUNK ? n_outputs - k0 : CHUNK;
        const double *part = theta + (int64_t)k0 * p;
        double base[CHUNK];
        for (int32_t k = 0; k < m; k++) {
            base[k] = theta[(int64_t)n_outputs * p + k0 + k];
            for (int32_t j = 0; j < p; j++)
                base[k] -= part[(int64_t)k * p + j] * design->columns[j].scale *
                           design->columns[j].centre;
        }
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
        for (int64_t b = 0; b < n_blocks; b++) {
            int64_t first = b * BLOCK_ROWS, n = design->n - first;
            scores_block(design, m, part, base, first, n < BLOCK_ROWS ? n : BLOCK_ROWS,
                         scores + k0 * design->n);
        }
    }
}

static double sparse_dot(const qn__linear_column *c, const double *r) {
    double sum = 0;
    for (int64_t s = 0; s < c->n_set; s++)
        sum += (isnan(c->value[s]) ? 0 : c->value[s]) * r[c->row[s]];
    return sum;
}

/* Columns j0 .. j1 - 1: raw products with the residuals, row block by row block while both are in
 * cache. */
static void gradient_columns(const qn__linear_design *design, int32_t n_outputs, const double *r,
                             int32_t j0, int32_t j1, double *gradient) {
    int64_t n = design->n;
    int32_t p = design->p;
    for (int32_t k = 0; k < n_outputs; k++)
        for (int32_t j = j0; j < j1; j++)
            gradient[(int64_t)k * p + j] =
                design->columns[j].num ? 0 : sparse_dot(&design->columns[j], r + k * n);
    for (int64_t first = 0; first < n; first += BLOCK_ROWS) {
        int64_t m = n - first < BLOCK_ROWS ? n - first : BLOCK_ROWS;
        for (int32_t k = 0; k < n_outputs; k++)
            for (int32_t j = j0; j < j1; j++)
                if (design->columns[j].num)
                    gradient[(int64_t)k * p + j] +=
                        qn__linear_dot(design->columns[j].num + first, r + k * n + first, m);
    }
}

void qn__linear_gradient(const qn__linear_design *design, int32_t n_outputs, const double *residual,
                         double *gradient) {
    int32_t p = design->p, n_blocks = (p + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;
    int threads = threads_for(design, n_outputs);
    double *sum = gradient + (int64_t)n_outputs * p;
    for (int32_t k = 0; k < n_outputs; k++) {
        sum[k] = 0;
        for (int64_t i = 0; i < design->n; i++)
            sum[k] += residual[k * design->n + i];
    }
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int32_t b = 0; b < n_blocks; b++) {
        int32_t j0 = b * BLOCK_COLUMNS, j1 = j0 + BLOCK_COLUMNS < p ? j0 + BLOCK_COLUMNS : p;
        gradient_columns(design, n_outputs, residual, j0, j1, gradient);
        for (int32_t k = 0; k < n_outputs; k++)
            for (int32_t j = j0; j < j1; j++) {
                const qn__linear_column *c = &design->columns[j];
                double *g = &gradient[(int64_t)k * p + j];
                *g = (*g - c->centre * sum[k]) * c->scale;
            }
    }
}
