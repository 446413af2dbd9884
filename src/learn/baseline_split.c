/* The stump's split: per feature, the cut with the greatest fall in Gini impurity (classes) or
 * squared error (values). A scan moves rows from the right side to the left in the order of their
 * values; both
 * criteria are  sum_k c_k^2 / w  per side, with c_k the weight of class k (or the sum of weighted values)
 * and w the side's weight. Categories are ordered by their mean first, which for two classes and
 * for values makes the scan exact (Fisher 1958; Breiman et al. 1984, theorem 4.5). */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "learn/baseline_int.h"
#include "learn/order.h"

typedef struct side {
    double *c; /* n_sums */
    double w, rows, square;
} side;

typedef struct split {
    double gain, threshold;
    int32_t feature;
    bool missing_first, found;
} split;

typedef struct search {
    const qn_fit_input *input;
    int32_t n_sums;   /* classes, or 1 */
    double centre;    /* subtracted from values for accuracy */
    double min_rows;
    int32_t i_class;  /* the class whose share orders categories */
    side total;
} search;

static void add(side *s, int32_t n_sums, const side *more, double sign) {
    s->w += sign * more->w;
    s->rows += sign * more->rows;
    s->square = 0;
    for (int32_t k = 0; k < n_sums; k++) {
        s->c[k] += sign * more->c[k];
        s->square += s->c[k] * s->c[k];
    }
}

static void add_row(const search *f, side *s, int64_t i, double sign) {
    double w = f->input->train.weight ? f->input->train.weight[i] : 1, y = f->input->train.y[i];
    bool value = f->input->task == QN_TASK_REGRESSION;
    double by = sign * (value ? w * (y - f->centre) : w), *c = &s->c[value ? 0 : (int32_t)y];
    s->w += sign * w;
    s->rows += sign;
    s->square += by * (2 * *c + by);
    *c += by;
}

static double score(const side *s) {
    return s->w > 0 ? s->square / s->w : 0;
}

/* Everything one feature's scan needs, in one piece of memory. */
typedef struct scan {
    const search *f;
    side left, right, missing, zero;
    double *memory; /* owned */
} scan;

static qn_status scan_init(scan *s, const search *f, qn_error *err) {
    *s = (scan){.f = f, .memory = qn_new_array(double, 4 * (int64_t)f->n_sums)};
    if (!s->memory)
        return qn_error_memory(err);
    side *sides[] = {&s->left, &s->right, &s->missing, &s->zero};
    for (int i = 0; i < 4; i++)
        sides[i]->c = s->memory + (int64_t)i * f->n_sums;
    return QN_OK;
}

static void scan_done(scan *s) {
    qn_freep(&s->memory);
}

static void set(side *to, int32_t n_sums, const side *from) {
    memcpy(to->c, from->c, (size_t)n_sums * sizeof *to->c);
    to->w = from->w;
    to->rows = from->rows;
    to->square = from->square;
}

static void clear(side *s, int32_t n_sums) {
    memset(s->c, 0, (size_t)n_sums * sizeof *s->c);
    s->w = s->rows = s->square = 0;
}

/* Missing rows start on the left or stay on the right. */
static void begin(scan *s, bool missing_first) {
    clear(&s->left, s->f->n_sums);
    set(&s->right, s->f->n_sums, &s->f->total);
    if (missing_first) {
        add(&s->left, s->f->n_sums, &s->missing, 1);
        add(&s->right, s->f->n_sums, &s->missing, -1);
    }
}

static bool better(const scan *s, const split *best, double *ret_gain) {
    if (s->left.rows < s->f->min_rows || s->right.rows < s->f->min_rows)
        return false;
    *ret_gain = score(&s->left) + score(&s->right) - score(&s->f->total);
    return *ret_gain > best->gain * (1 + 1e-12);
}

/* Between two neighbouring values; never equal to the upper one. */
static double middle(double low, double high) {
    double m = low + (high - low) / 2;
    return m < high && m >= low ? m : low;
}

/* Values in ascending order; sparse columns bring their zeros in one go. */
static void scan_values(scan *s, const double *value, const int64_t *row, const int64_t *order,
                        int64_t n, bool missing_first, split *best) {
    bool zero_left = s->zero.rows > 0;
    double last = 0;
    begin(s, missing_first);
    for (int64_t at = 0; at < n || zero_left;) {
        bool zero = zero_left && (at == n || value[order[at]] >= 0);
        double now = zero ? 0 : value[order[at]], gain;
        if (last != now && s->left.rows > (missing_first ? s->missing.rows : 0) &&
            better(s, best, &gain))
            *best = (split){gain, middle(last, now), best->feature, missing_first, true};
        if (zero) {
            add(&s->left, s->f->n_sums, &s->zero, 1);
            add(&s->right, s->f->n_sums, &s->zero, -1);
            zero_left = false;
        } else {
            int64_t i = row ? row[order[at]] : order[at];
            add_row(s->f, &s->left, i, 1);
            add_row(s->f, &s->right, i, -1);
            at++;
        }
        last = now;
    }
    double gain;
    if (!missing_first && s->missing.rows > 0 && better(s, best, &gain))
        *best = (split){gain, INFINITY, best->feature, false, true};
}

static qn_status split_numbers(const search *f, int32_t j, split *best, qn_error *err) {
    const qn_matrix *x = f->input->train.x;
    const qn_matrix_column *c = &x->columns[j];
    bool sparse = x->features[j].kind == QN_FEATURE_SPARSE;
    const double *value = sparse ? c->value : c->num;
    const int64_t *row = sparse ? c->row : NULL;
    int64_t n = sparse ? c->n_set : x->n_rows;
    if (n == 0)
        return QN_OK;
    qn_cleanup(scan_done) scan s = {0};
    QN_TRY(scan_init(&s, f, err));
    qn_cleanup(qn_freep) int64_t *order = qn_new_array(int64_t, n);
    if (!order)
        return qn_error_memory(err);
    QN_TRY(qn_order_f64(value, 1, n, order, err));
    if (sparse) {
        set(&s.zero, f->n_sums, &f->total);
        for (int64_t i = 0; i < n; i++)
            add_row(f, &s.zero, row[i], -1);
    }
    for (; n > 0 && isnan(value[order[n - 1]]); n--)
        add_row(f, &s.missing, row ? row[order[n - 1]] : order[n - 1], 1);
    scan_values(&s, value, row, order, n, false, best);
    if (s.missing.rows > 0)
        scan_values(&s, value, row, order, n, true, best);
    return QN_OK;
}

/* Sums per category; the last one is missing. */
static void sum_categories(const search *f, int32_t j, int32_t n_categories, side *sums) {
    const qn_matrix *x = f->input->train.x;
    for (int64_t i = 0; i < x->n_rows; i++) {
        int32_t code = x->columns[j].code[i];
        add_row(f, &sums[code < 0 || code >= n_categories ? n_categories : code], i, 1);
    }
}

/* Marks in `in_first` (n + 1, the last for missing) the best set of feature j's categories. */
static qn_status split_categories(const search *f, int32_t j, split *best, unsigned char *in_first,
                                  qn_error *err) {
    int32_t n = f->input->train.x->features[j].n_categories;
    qn_cleanup(scan_done) scan s = {0};
    QN_TRY(scan_init(&s, f, err));
    size_t n_sums = (size_t)f->n_sums, n_slots = (size_t)n + 1, n_all;
    QN_FAIL_IF(!qn_size_mul(n_slots, n_sums, &n_all), err, QN_ERR_MEMORY, "out of memory");
    qn_cleanup(qn_freep) double *memory = qn_new_array(double, n_all);
    qn_cleanup(qn_freep) side *sums = qn_new_array(side, n_slots);
    qn_cleanup(qn_freep) double *mean = qn_new_array(double, n_slots);
    qn_cleanup(qn_freep) int64_t *order = qn_new_array(int64_t, n_slots);
    if (!memory || !sums || !mean || !order)
        return qn_error_memory(err);
    for (size_t i = 0; i < n_slots; i++)
        sums[i].c = memory + i * n_sums;
    sum_categories(f, j, n, sums);
    double prior = f->total.c[f->i_class] / f->total.w;
    for (size_t i = 0; i < n_slots; i++) /* one row's weight of prior: rare categories stay inside */
        mean[i] = sums[i].rows > 0 ? (sums[i].c[f->i_class] + prior) / (sums[i].w + 1)
                                   : (double)NAN;
    QN_TRY(qn_order_f64(mean, 1, (int64_t)n_slots, order, err));
    begin(&s, false);
    for (size_t i = 0, marked = 0; i < n_slots && !isnan(mean[order[i]]); i++) {
        double gain;
        add(&s.left, f->n_sums, &sums[order[i]], 1);
        add(&s.right, f->n_sums, &sums[order[i]], -1);
        if (!better(&s, best, &gain))
            continue;
        *best = (split){gain, 0, best->feature, false, true};
        if (!in_first)
            continue;
        for (; marked <= i; marked++)
            in_first[order[marked]] = 1;
    }
    return QN_OK;
}

static qn_status split_feature(const search *f, int32_t j, split *best, qn_error *err) {
    *best = (split){.feature = j};
    if (f->input->train.x->features[j].kind == QN_FEATURE_CATEGORY)
        return split_categories(f, j, best, NULL, err);
    return split_numbers(f, j, best, err);
}

static qn_status init_search(search *f, const qn__stump_params *params, const qn_fit_input *input,
                             qn_error *err) {
    const qn_fit_data *train = &input->train;
    int64_t n = train->x->n_rows;
    double sum = 0, weight = 0, quarter = floor((double)n / 4);
    f->input = input;
    f->n_sums = input->task == QN_TASK_REGRESSION ? 1 : input->n_classes;
    f->min_rows = fmax(1, fmin((double)params->min_rows, quarter));
    f->total.c = qn_new_array(double, f->n_sums);
    if (!f->total.c)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++) {
        double w = train->weight ? train->weight[i] : 1;
        weight += w;
        sum += w * train->y[i];
    }
    f->centre = input->task == QN_TASK_REGRESSION ? sum / weight : 0;
    for (int64_t i = 0; i < n; i++)
        add_row(f, &f->total, i, 1);
    for (int32_t k = 1; k < f->n_sums; k++)
        if (input->task == QN_TASK_BINARY || f->total.c[k] > f->total.c[f->i_class])
            f->i_class = k;
    return QN_OK;
}

static void search_done(search *f) {
    qn_freep(&f->total.c);
}

static qn_status best_of_all(const search *f, const qn_job *job, split *ret_best, qn_error *err) {
    int32_t p = f->input->train.x->n_features;
    qn_cleanup(qn_freep) split *found = qn_new_array(split, p);
    if (!found)
        return qn_error_memory(err);
    int n_failed = 0, n_threads = qn_job_threads(job);
#pragma omp parallel for schedule(dynamic) num_threads(n_threads) reduction(+ : n_failed) \
    if (n_threads > 1)
    for (int32_t j = 0; j < p; j++)
        n_failed += !qn_job_cancelled(job) && split_feature(f, j, &found[j], NULL) != QN_OK;
    QN_TRY(qn_job_check(job, err));
    if (n_failed)
        return qn_error_memory(err);
    for (int32_t j = 0; j < p; j++)
        if (found[j].found && found[j].gain > ret_best->gain)
            *ret_best = found[j];
    return QN_OK;
}

/* Keeps the rule of the split in the model. */
static qn_status adopt(const search *f, const split *best, qn__baseline *m, qn_error *err) {
    const qn_matrix *x = f->input->train.x;
    const qn_feature *feature = &x->features[best->feature];
    m->feature = best->feature;
    m->kind = feature->kind;
    m->threshold = best->threshold;
    m->missing_first = best->missing_first;
    m->name = qn_strdup(feature->name ? feature->name : "");
    if (!m->name)
        return qn_error_memory(err);
    if (feature->kind == QN_FEATURE_CATEGORY) {
        split again = {.feature = best->feature};
        m->n_categories = feature->n_categories;
        m->in_first = qn_calloc((size_t)m->n_categories + 1, 1);
        if (!m->in_first)
            return qn_error_memory(err);
        QN_TRY(split_categories(f, best->feature, &again, m->in_first, err));
        m->missing_first = m->in_first[m->n_categories];
    }
    return QN_OK;
}

/* Where training had nothing missing, missing goes to the larger side. */
static void place_missing(const search *f, qn__baseline *m) {
    const qn_matrix *x = f->input->train.x;
    const qn_matrix_column *c = &x->columns[m->feature];
    int64_t n = m->kind == QN_FEATURE_SPARSE ? c->n_set : x->n_rows, n_missing = 0, n_first = 0;
    for (int64_t i = 0; i < n; i++)
        n_missing += m->kind == QN_FEATURE_CATEGORY  ? c->code[i] < 0
                     : m->kind == QN_FEATURE_NUMERIC ? isnan(c->num[i])
                                                     : isnan(c->value[i]);
    if (n_missing)
        return;
    for (int64_t i = 0; i < x->n_rows; i++)
        n_first += qn__baseline_side(m, x, i) == 0;
    m->missing_first = 2 * n_first > x->n_rows;
}

qn_status qn__stump_split(const qn__stump_params *params, const qn_fit_input *input,
                          const qn_job *job, qn__baseline *m, qn_error *err) {
    qn_cleanup(search_done) search f = {0};
    QN_TRY(init_search(&f, params, input, err));
    /* What rounding alone can give is no gain. */
    split best = {.gain = 1e-12 * fabs(score(&f.total))};
    QN_TRY(best_of_all(&f, job, &best, err));
    if (!best.found)
        return QN_OK;
    QN_TRY(adopt(&f, &best, m, err));
    place_missing(&f, m);
    return qn__baseline_write_rule(m, &input->train.x->features[m->feature], err);
}
