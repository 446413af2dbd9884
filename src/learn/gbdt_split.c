#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "learn/gbdt_int.h"

/* The search works in units of the quantised sums; only the winner's gain is turned into loss. With
 * soft(G) = sign(G) max(|G| - lambda_l1, 0), a side is worth soft(G)^2 / (H + lambda_l2), which is
 * twice the loss a Newton step there saves. */
typedef struct units {
    double l1, l2;
    double h_min;  /* least hessian of a side */
    int64_t n_min; /* fewest rows of one */
    double gain;   /* what 1 is in loss */
} units;

static units units_of(const qn__split_input *in, double more_l2) {
    double h_min = in->params->min_sum_hessian_in_leaf / in->h_unit;
    int64_t n_min = in->params->min_data_in_leaf;
    return (units){.l1 = in->params->lambda_l1 / in->g_unit,
                   .l2 = (in->params->lambda_l2 + more_l2) / in->h_unit,
                   .h_min = h_min > 1 ? h_min : 1,
                   .n_min = n_min > 1 ? n_min : 1,
                   .gain = in->g_unit * in->g_unit / in->h_unit};
}

static bool is_too_small(qn__sum left, qn__sum total, const units *u) {
    return left.n < u->n_min || total.n - left.n < u->n_min || (double)left.h < u->h_min
           || (double)(total.h - left.h) < u->h_min;
}

static inline double soft_square(double g, double l1) {
    double a = fabs(g) - l1;
    a = a > 0 ? a : 0;
    return a * a;
}

static inline double worth(double g, double h, const units *u) {
    return soft_square(g, u->l1) / (h + u->l2);
}

/* gain[t] = worth of (g[t] + g0, h[t] + h0) and of the rest of the total; -1 where a side is too
 * small. Returns the largest. */
QN__WIDE static double gains_of(const double *restrict g, const double *restrict h, int32_t n,
                                double g0, double h0, double g_all, double h_all, double l1,
                                double l2, double h_min, double *restrict gain) {
    for (int32_t t = 0; t < n; t++) {
        double hl = h[t] + h0, hr = h_all - hl;
        double gl = g[t] + g0, gr = g_all - gl;
        double both = qn__worth_of_sides(gl, hl, gr, hr, l1, l2);
        gain[t] = ((hl >= h_min) & (hr >= h_min)) ? both : -1.0;
    }
    enum { LANES = 8 };
    double top[LANES] = {0};
    int32_t whole = n - n % LANES;
    for (int32_t t = 0; t < whole; t += LANES)
        for (int j = 0; j < LANES; j++)
            top[j] = gain[t + j] > top[j] ? gain[t + j] : top[j];
    for (int32_t t = whole; t < n; t++)
        top[0] = gain[t] > top[0] ? gain[t] : top[0];
    for (int j = 1; j < LANES; j++)
        top[0] = top[j] > top[0] ? top[j] : top[0];
    return top[0];
}

/* The parts of packed sums; both fit 32 bits with a sign. */
QN__WIDE static void parts_of(const int64_t *restrict sum, int32_t n, double *restrict g,
                              double *restrict h) {
    for (int32_t t = 0; t < n; t++) {
        g[t] = (double)(int32_t)(sum[t] >> QN__G_SHIFT);
        h[t] = (double)(int32_t)(sum[t] >> QN__N_BITS & ((1 << QN__H_BITS) - 1));
    }
}

size_t qn__split_scratch_len(const qn__bin_map *map) {
    size_t most = QN__CAT_BINS;
    for (int32_t i = 0; i < map->n_features; i++)
        most = (size_t)map->features[i].n_cells > most ? (size_t)map->features[i].n_cells : most;
    return 4 * (most + 8); /* g, h, gain, words */
}

/* Sums of the first 1, 2, ... cells of a feature. */
typedef struct sums {
    double *g, *h;   /* wide ones; of packed ones after parts_of */
    double *gain;
    int64_t *words;  /* packed sums, or the half of wide ones that has the rows */
    int64_t rows;    /* the bits of a word that count them */
    bool wide;
    const int32_t *bin; /* of each place; NULL: there is one for every bin */
} sums;

static sums sums_in(double *scratch, int32_t n, bool wide) {
    double *g = scratch, *h = g + n + 8, *gain = h + n + 8;
    return (sums){.g = g, .h = h, .gain = gain, .words = (int64_t *)(void *)(gain + n + 8),
                  .rows = ((int64_t)1 << (wide ? QN__WIDE_N_BITS : QN__N_BITS)) - 1,
                  .wide = wide};
}

static inline int64_t rows_at(const sums *s, int32_t t) {
    return s->words[t] & s->rows;
}

static qn__sum sum_at(const sums *s, int32_t t) {
    return (qn__sum){.g = (int64_t)s->g[t], .h = (int64_t)s->h[t], .n = rows_at(s, t)};
}

/* Sums the words of n cells, and what of wide ones is no word; returns the sum of all. */
static qn__sum sum_words(const qn__hist *hist, int64_t cell, int32_t n, sums *s) {
    if (!hist->wide) {
        int64_t sum = 0;
        for (int32_t t = 0; t < n; t++)
            s->words[t] = sum += hist->packed[cell + t];
        return qn__unpack(sum);
    }
    qn__wide_sum sum = {0};
    for (int32_t t = 0; t < n; t++) {
        sum.g += hist->sums[cell + t].g;
        s->words[t] = sum.hn += hist->sums[cell + t].hn;
        s->g[t] = (double)sum.g;
        s->h[t] = (double)(sum.hn >> QN__WIDE_N_BITS);
    }
    return qn__narrow(sum);
}

/* Of the cells of a number's *n bins, or of those that have rows, when the leaf has few: *n becomes their
 * number. */
static qn__sum sum_bins(const qn__split_input *in, const qn__bin_feature *f, double *scratch,
                        int32_t *n, sums *s) {
    bool by_rows = in->few && f->lane >= in->map->n_narrow;
    *s = sums_in(scratch, *n, by_rows || in->hist->wide);
    if (!by_rows)
        return sum_words(in->hist, f->cell, *n, s);
    *n = qn__few_sums(in->few, in->map, f, s->g, s->h, s->words);
    s->bin = in->few->bin;
    return *n > 0 ? sum_at(s, *n - 1) : (qn__sum){0};
}

/* Of the bounds first .. last those that leave n_min rows on both sides, `more` further ones being
 * on the left: an interval, as rows only add up. */
static void keep_large(const sums *s, int64_t n_min, int64_t more, int64_t all, int32_t *first,
                       int32_t *last) {
    while (*first <= *last && rows_at(s, *first) + more < n_min)
        ++*first;
    while (*first <= *last && all - rows_at(s, *last) - more < n_min)
        --*last;
}

/* Takes the first of the bounds first .. last whose gain is `top`, when that is better than the best
 * so far. */
static void take_best(const sums *s, int32_t first, int32_t last, double top, qn__sum more,
                      bool missing_left, double *best, qn__split *split) {
    if (!(top > *best))
        return;
    while (first < last && s->gain[first] != top)
        first++;
    *best = top;
    split->bin = s->bin ? s->bin[first] : first;
    split->missing_left = missing_left;
    split->left = sum_at(s, first);
    qn__sum_add(&split->left, more);
}

/* Tries the bounds first .. last with `more`, the missing, on the left. */
static void try_bounds(const qn__split_input *in, const units *u, const sums *s, int32_t first,
                       int32_t last, qn__sum more, bool missing_left, double *best,
                       qn__split *split) {
    keep_large(s, u->n_min, more.n, in->total.n, &first, &last);
    if (first > last)
        return;
    double top = gains_of(s->g + first, s->h + first, last - first + 1, (double)more.g,
                          (double)more.h, (double)in->total.g, (double)in->total.h, u->l1, u->l2,
                          u->h_min, s->gain + first);
    take_best(s, first, last, top, more, missing_left, best, split);
}

/* Whether single precision finds what to look at: L1 cancels what is right of a sum, and large numbers
 * overflow. */
static bool is_near(const qn__split_input *in, const qn__bin_feature *f, const units *u) {
    bool by_rows = in->few && f->lane >= in->map->n_narrow;
    return !in->hist->wide && !by_rows && u->l1 == 0 && u->l2 < 1e9;
}

static qn__sum try_near(const qn__split_input *in, const qn__bin_feature *f, const units *u,
                        double *scratch, double *best, qn__split *split) {
    qn__near near = {.cells = in->hist->packed + f->cell, .n_values = f->n_values,
                     .total = in->total, .l2 = u->l2, .h_min = u->h_min, .n_min = u->n_min};
    if (f->has_missing)
        qn__near_begin(&near);
    qn__near_find(&near, false, f->has_missing ? f->n_values : f->n_values - 1, scratch, best,
                  split);
    if (near.missing.n > 0)
        qn__near_find(&near, true, f->n_values - 1, scratch, best, split);
    return near.missing;
}

static qn__sum try_all(const qn__split_input *in, const qn__bin_feature *f, const units *u,
                       double *scratch, double *best, qn__split *split) {
    int32_t n = f->n_values;
    sums s;
    qn__sum all = sum_bins(in, f, scratch, &n, &s), missing = qn__sum_less(in->total, all);
    /* The bound behind the last bin splits the missing from the rest; that of few rows has values, which
     * another bin may follow. */
    int32_t end = s.bin ? n - 1 : n - 2, first = 0, last = f->has_missing ? n - 1 : end;
    keep_large(&s, u->n_min - missing.n, 0, all.n, &first, &last);
    if (first > last)
        return missing;
    if (!s.wide)
        parts_of(s.words + first, last - first + 1, s.g + first, s.h + first);
    try_bounds(in, u, &s, first, last, (qn__sum){0}, false, best, split);
    if (missing.n > 0)
        try_bounds(in, u, &s, first, last < end ? last : end, missing, true, best, split);
    return missing;
}

static double find_number(const qn__split_input *in, const qn__bin_feature *f, double *scratch,
                          qn__split *split) {
    units u = units_of(in, 0);
    double own = worth((double)in->total.g, (double)in->total.h, &u);
    double beaten = in->beaten > 0 ? (in->beaten / u.gain + own) * (1 - 1e-9) : 0, best = beaten;
    qn__sum missing = is_near(in, f, &u) ? try_near(in, f, &u, scratch, &best, split)
                                         : try_all(in, f, &u, scratch, &best, split);
    if (!(best > beaten))
        return 0;
    if (missing.n == 0) /* Nothing was learned about missing values: they go with the majority. */
        split->missing_left = 2 * split->left.n >= in->total.n;
    return best;
}

/* ---- under a rule: values that are not Newton's, random thresholds ---------------------------- */

/* A side of a split: its sums are (g, h). */
typedef struct side {
    double value, worth; /* in units of loss x 2 */
} side;

static side side_of(const qn__split_input *in, qn__limits limits, double l2, qn__sum s) {
    double g = (double)s.g * in->g_unit, h = (double)s.h * in->h_unit;
    double value = qn__rule_value(in->rule, limits, g, h, l2, (double)s.n);
    return (side){value, qn__rule_worth(in->rule, g, h, l2, value)};
}

/* What binds the children of a split. */
typedef struct both_limits {
    qn__limits left, right;
} both_limits;

static void tighten(qn__limits *limits, double low, double high) {
    limits->low = low > limits->low ? low : limits->low;
    limits->high = high < limits->high ? high : limits->high;
}

static both_limits limits_of(const qn__split_input *in, const qn__bin_feature *f, int32_t bin,
                             bool missing_left) {
    const qn__limit_table *table = in->limits;
    qn__limits all = {in->rule->low, in->rule->high};
    if (!table)
        return (both_limits){all, all};
    if (f->kind == QN_FEATURE_CATEGORY)
        return (both_limits){table->all, table->all};
    int64_t at = f->cell + bin, missing = f->cell + f->n_values;
    both_limits both = {{table->low_left[at], table->high_left[at]},
                        {table->low_right[at], table->high_right[at]}};
    tighten(missing_left ? &both.left : &both.right, table->low_left[missing],
            table->high_left[missing]);
    return both;
}

/* -INFINITY where the order of the children is not allowed. */
static double worth_under_rule(const qn__split_input *in, const both_limits *limits, double l2,
                               qn__sum sum, int order) {
    side left = side_of(in, limits->left, l2, sum);
    side right = side_of(in, limits->right, l2, qn__sum_less(in->total, sum));
    bool allowed = order == 0 || (order > 0 ? left.value <= right.value
                                            : left.value >= right.value);
    return allowed ? left.worth + right.worth : -INFINITY;
}

/* Of a leaf (by its key) and feature: which of n equally likely things is drawn. */
static int32_t drawn(uint64_t key, int32_t i_feature, int32_t n) {
    double x = qn_rng_hash_uniform(key, (uint64_t)i_feature);
    return n > 0 ? (int32_t)(x * (double)n) : 0;
}

/* The bounds first .. end - 1 lie between the least and the largest value here. */
static void find_ends(const sums *s, int32_t n, int32_t *first, int32_t *end) {
    *first = 0;
    *end = n - 1;
    while (*first < n - 1 && rows_at(s, *first) == 0)
        ++*first;
    while (*end > *first && rows_at(s, *end - 1) == rows_at(s, n - 1))
        --*end;
}

/* One of them (Geurts, Ernst and Wehenkel 2006), the one that parts the missing among them. */
static int32_t drawn_bound(uint64_t key, int32_t i_feature, int32_t n, bool missing, int32_t first,
                           int32_t end) {
    int32_t t = first + drawn(key, i_feature, end - first + missing);
    return t < end ? t : n - 1;
}

/* The bounds to look at, first .. last: all, or the one that is drawn. */
static void bounds_to_try(const qn__split_input *in, int32_t i_feature, const sums *s, int32_t n,
                          bool missing, int32_t *first, int32_t *last) {
    int32_t end;
    *first = 0;
    *last = n - 1;
    if (!in->rule->growth->params->extra_trees)
        return;
    find_ends(s, n, first, &end);
    *first = *last = drawn_bound(in->rule->key, i_feature, n, missing, *first, end);
}

/* What lies on the left of the bound t with `more`, the missing if they are any; false: a side is too
 * small. */
static bool take_left(const qn__split_input *in, const units *u, const sums *s, int32_t t,
                      qn__sum more, qn__sum *ret_left) {
    *ret_left = sum_at(s, t);
    qn__sum_add(ret_left, more);
    return !is_too_small(*ret_left, in->total, u);
}

/* The bound behind the last bin parts the missing from the rest, which have no order. */
static double worth_of_bound(const qn__split_input *in, const qn__bin_feature *f, int32_t t,
                             qn__sum left, bool missing_left, int order) {
    both_limits limits = limits_of(in, f, t, missing_left);
    return worth_under_rule(in, &limits, in->params->lambda_l2, left,
                            t == f->n_values - 1 ? 0 : order);
}

static double find_number_under_rule(const qn__split_input *in, const qn__bin_feature *f,
                                     double *scratch, qn__split *split) {
    units u = units_of(in, 0);
    const qn__growth *growth = in->rule->growth;
    int32_t n = f->n_values, first, last;
    double best = -INFINITY;
    sums s = sums_in(scratch, n, in->hist->wide);
    qn__sum missing = qn__sum_less(in->total, sum_words(in->hist, f->cell, n, &s));
    if (!s.wide)
        parts_of(s.words, n, s.g, s.h);
    bounds_to_try(in, split->feature, &s, n, missing.n > 0, &first, &last);
    int order = growth->monotone ? growth->monotone[split->feature] : 0;
    for (int on_left = 0; on_left < (missing.n > 0 ? 2 : 1); on_left++) {
        qn__sum more = on_left ? missing : (qn__sum){0};
        int32_t end = f->has_missing && !on_left ? n - 1 : n - 2;
        for (int32_t t = first; t <= (last < end ? last : end); t++) {
            /* Where nothing is missing, the missing will go with the majority. */
            bool with_left = missing.n > 0 ? on_left == 1 : 2 * rows_at(&s, t) >= in->total.n;
            qn__sum left;
            if (!take_left(in, &u, &s, t, more, &left))
                continue;
            double both = worth_of_bound(in, f, t, left, with_left, order);
            if (both > best) {
                best = both;
                split->bin = t;
                split->missing_left = on_left == 1;
                split->left = left;
            }
        }
    }
    if (missing.n == 0 && best > -INFINITY)
        split->missing_left = 2 * split->left.n >= in->total.n; /* as in find_number */
    return best;
}

/* What both sides of a split by categories are worth. */
static double worth_of_both(const qn__split_input *in, const qn__bin_feature *f, const units *u,
                            double l2, qn__sum left) {
    if (in->rule) {
        both_limits limits = limits_of(in, f, 0, false);
        return worth_under_rule(in, &limits, l2, left, 0);
    }
    double g = (double)left.g, h = (double)left.h;
    return worth(g, h, u) + worth((double)in->total.g - g, (double)in->total.h - h, u);
}

static double worth_of_nothing(const qn__split_input *in) {
    return in->rule ? -INFINITY : 0;
}

/* Of n candidates the one to look at; -1: all. */
static int32_t only_one(const qn__split_input *in, int32_t i_feature, int32_t n) {
    return in->rule && in->params->extra_trees ? drawn(in->rule->key, i_feature, n) : -1;
}

/* ---- categories ------------------------------------------------------------------------------- */

static double find_one_hot(const qn__split_input *in, const qn__bin_feature *f, qn__split *split) {
    units u = units_of(in, 0);
    double best = worth_of_nothing(in);
    int32_t only = only_one(in, split->feature, f->n_values);
    for (int32_t b = 0; b < f->n_values; b++) {
        qn__sum s = qn__hist_at(in->hist, f->cell + b);
        if (is_too_small(s, in->total, &u) || (only >= 0 && b != only))
            continue;
        double gain = worth_of_both(in, f, &u, in->params->lambda_l2, s);
        if (gain > best) {
            best = gain;
            memset(split->set, 0, sizeof split->set);
            split->set[b >> 5] = 1u << (b & 31);
            split->left = s;
        }
    }
    return best;
}

/* Bins whose mean gradient can be trusted, ascending by g / (h + cat_smooth). */
static int32_t sort_categories(const qn__split_input *in, const qn__bin_feature *f, double *ratio,
                               int32_t *order) {
    double smooth = in->params->cat_smooth / in->h_unit;
    int32_t n = 0;
    for (int32_t b = 0; b < f->n_values; b++) {
        qn__sum s = qn__hist_at(in->hist, f->cell + b);
        if ((double)s.n < in->params->cat_smooth || s.h == 0)
            continue;
        ratio[b] = (double)s.g / ((double)s.h + smooth);
        int32_t at = n++;
        order[at] = b;
    }
    /* Shell sort on (ratio, bin): small, stable by its key, no callbacks. */
    int32_t gap = 1; /* Knuth's 1, 4, 13, ...: powers of two would be slow for thousands */
    while (gap < n / 9)
        gap = 3 * gap + 1;
    for (; gap > 0; gap /= 3) {
        for (int32_t i = gap; i < n; i++) {
            int32_t item = order[i], k = i;
            for (; k >= gap; k -= gap) {
                int32_t other = order[k - gap];
                if (ratio[other] < ratio[item] || (ratio[other] == ratio[item] && other < item))
                    break;
                order[k] = other;
            }
            order[k] = item;
        }
    }
    return n;
}

static int32_t categories_on_a_side(const qn_gbdt_params *p, int32_t n) {
    int32_t half = (n + 1) / 2;
    return p->max_cat_threshold < half ? (int32_t)p->max_cat_threshold : half;
}

/* Categories in order of their gradient statistics, prefixes from either end (Fisher 1958;
 * LightGBM's bounds on their number and on the rows per group). */
static double find_sorted(const qn__split_input *in, const qn__bin_feature *f, double *ratio,
                          qn__split *split) {
    units u = units_of(in, in->params->cat_l2);
    int32_t order[QN__CAT_BINS];
    int32_t n = sort_categories(in, f, ratio, order), limit = categories_on_a_side(in->params, n);
    double best = worth_of_nothing(in), l2 = in->params->lambda_l2 + in->params->cat_l2;
    int32_t best_n = 0, best_dir = 1, only = only_one(in, split->feature, limit);
    for (int32_t dir = 1; dir >= -1; dir -= 2) {
        qn__sum left = {0};
        int64_t in_group = 0, group = in->params->min_data_per_group;
        for (int32_t i = 0; i < limit; i++) {
            qn__sum s = qn__hist_at(in->hist, f->cell + order[dir > 0 ? i : n - 1 - i]);
            qn__sum_add(&left, s);
            in_group += s.n;
            qn__sum right = qn__sum_less(in->total, left);
            if ((double)right.h < u.h_min || right.n < u.n_min || right.n < group)
                break;
            if ((double)left.h < u.h_min || left.n < u.n_min || in_group < group)
                continue;
            in_group = 0;
            if (only >= 0 && i != only)
                continue;
            double gain = worth_of_both(in, f, &u, l2, left);
            if (gain > best) {
                best = gain;
                best_n = i + 1;
                best_dir = dir;
                split->left = left;
            }
        }
    }
    memset(split->set, 0, sizeof split->set);
    for (int32_t i = 0; i < best_n; i++) {
        int32_t b = order[best_dir > 0 ? i : n - 1 - i];
        split->set[b >> 5] |= 1u << (b & 31);
    }
    return best;
}

/* The gain over leaving the leaf whole, in units of loss x 2; a split that is not worth it is
 * none. */
static void close_split(const qn__split_input *in, double best, qn__split *split) {
    split->gain = 0;
    if (!(best > 0)) {
        split->feature = -1;
        return;
    }
    units u = units_of(in, 0);
    double gain = (best - worth((double)in->total.g, (double)in->total.h, &u)) * u.gain;
    bool worth_it = gain > in->params->min_gain_to_split && gain > 1e-15
                    && split->left.h > 0 && split->left.h < in->total.h;
    if (worth_it)
        split->gain = gain;
    else
        split->feature = -1;
}

/* Twice the loss that the leaf's own value saves. */
static double worth_whole(const qn__split_input *in) {
    double g = (double)in->total.g * in->g_unit, h = (double)in->total.h * in->h_unit;
    return qn__rule_worth(in->rule, g, h, in->params->lambda_l2, in->rule->value);
}

/* Under a rule: the gain of children worth `both`, and their values. */
static void value_under_rule(const qn__split_input *in, double both, qn__split *split) {
    const qn_gbdt_params *p = in->params;
    double l2 = p->lambda_l2 + (split->is_sorted ? p->cat_l2 : 0);
    both_limits limits = limits_of(in, &in->map->features[split->feature], split->bin,
                                   split->missing_left);
    split->left_value = side_of(in, limits.left, l2, split->left).value;
    split->right_value = side_of(in, limits.right, l2,
                                 qn__sum_less(in->total, split->left)).value;
    split->gain = (both - worth_whole(in))
                  * qn__rule_penalty(in->rule->growth, split->feature, in->depth);
}

/* As close_split. */
static void close_under_rule(const qn__split_input *in, double best, qn__split *split) {
    double gain = best - worth_whole(in);
    if (gain > in->params->min_gain_to_split && gain > 1e-15 && split->left.h > 0
        && split->left.h < in->total.h) {
        value_under_rule(in, best, split);
        return;
    }
    split->gain = 0;
    split->feature = -1;
}

void qn__split_find(const qn__split_input *in, int32_t i_feature, double *scratch,
                    qn__split *ret_split) {
    const qn__bin_feature *f = &in->map->features[i_feature];
    double best;
    ret_split->feature = i_feature;
    ret_split->is_category = f->kind == QN_FEATURE_CATEGORY;
    ret_split->is_sorted = false;
    ret_split->missing_left = false;
    if (!ret_split->is_category && in->rule) {
        best = find_number_under_rule(in, f, scratch, ret_split);
    } else if (!ret_split->is_category) {
        best = find_number(in, f, scratch, ret_split);
    } else if (f->n_values <= in->params->max_cat_to_onehot) {
        best = find_one_hot(in, f, ret_split);
        ret_split->missing_left = best > worth_of_nothing(in) && (ret_split->set[0] & 1);
    } else {
        ret_split->is_sorted = true;
        best = find_sorted(in, f, scratch, ret_split);
        ret_split->missing_left = ret_split->set[0] & 1;
    }
    if (in->rule)
        close_under_rule(in, best, ret_split);
    else
        close_split(in, best, ret_split);
}

/* ---- one split for many leaves ---------------------------------------------------------------- */

/* The order of the categories in the root, which all leaves of the tree keep, with find_sorted's rules
 * for how many may be on a side. */
static void list_sorted(const qn__split_input *root, const qn__bin_feature *f, double *scratch,
                        qn__candidates *c) {
    int32_t *order = c->bin + f->cell;
    int32_t n = c->n[f->cell] = sort_categories(root, f, scratch, order);
    int32_t limit = categories_on_a_side(root->params, n);
    int64_t group = root->params->min_data_per_group;
    for (int end = 0; end < 2; end++) {
        bool *tried = c->tried[end] + f->cell;
        int64_t in_group = 0, left = 0;
        memset(tried, 0, (size_t)f->n_cells * sizeof *tried);
        for (int32_t i = 0; i < limit; i++) {
            int64_t rows = qn__hist_at(root->hist, f->cell + order[end ? n - 1 - i : i]).n;
            left += rows;
            in_group += rows;
            if (root->total.n - left < group)
                break;
            tried[i] = in_group >= group;
            in_group = tried[i] ? 0 : in_group;
        }
    }
}

void qn__split_list(const qn__split_input *root, int32_t i_feature, double *scratch,
                    qn__candidates *c) {
    const qn__bin_feature *f = &root->map->features[i_feature];
    if (f->kind == QN_FEATURE_CATEGORY) {
        if (f->n_values > root->params->max_cat_to_onehot)
            list_sorted(root, f, scratch, c);
    } else if (c->first) {
        sums s = sums_in(scratch, f->n_values, root->hist->wide);
        sum_words(root->hist, f->cell, f->n_values, &s);
        find_ends(&s, f->n_values, &c->first[i_feature], &c->end[i_feature]);
    }
}

static void add_to(double *gain, qn__price price, double more) {
    *gain += more * price.times - price.less;
}

static void add_number(const qn__split_input *in, const qn__bin_feature *f, qn__price price,
                       double *scratch, double *gain) {
    units u = units_of(in, 0);
    int32_t n = f->n_values;
    sums s = sums_in(scratch, n, in->hist->wide);
    qn__sum missing = qn__sum_less(in->total, sum_words(in->hist, f->cell, n, &s));
    double g_all = (double)in->total.g, h_all = (double)in->total.h, own = worth(g_all, h_all, &u);
    if (!s.wide)
        parts_of(s.words, n, s.g, s.h);
    for (int on_left = 0; on_left < 1 + f->has_missing; on_left++) {
        qn__sum more = on_left ? missing : (qn__sum){0};
        int32_t first = 0, last = f->has_missing && !on_left ? n - 1 : n - 2;
        keep_large(&s, u.n_min, more.n, in->total.n, &first, &last);
        if (first > last)
            continue;
        gains_of(s.g + first, s.h + first, last - first + 1, (double)more.g, (double)more.h, g_all,
                 h_all, u.l1, u.l2, u.h_min, s.gain + first);
        for (int32_t t = first; t <= last; t++)
            gain[on_left * f->n_cells + t] +=
                s.gain[t] >= 0 ? (s.gain[t] - own) * price.times - price.less : 0;
    }
}

static void add_number_under_rule(const qn__split_input *in, int32_t i_feature,
                                  const qn__candidates *c, qn__price price, double *scratch,
                                  double *gain) {
    const qn__bin_feature *f = &in->map->features[i_feature];
    const qn__growth *growth = in->rule->growth;
    units u = units_of(in, 0);
    int32_t n = f->n_values, first = 0, last = n - 1;
    sums s = sums_in(scratch, n, in->hist->wide);
    qn__sum missing = qn__sum_less(in->total, sum_words(in->hist, f->cell, n, &s)), left;
    double own = worth_whole(in);
    if (!s.wide)
        parts_of(s.words, n, s.g, s.h);
    if (c->first)
        first = last = drawn_bound(c->key, i_feature, n, f->has_missing, c->first[i_feature],
                                   c->end[i_feature]);
    int order = growth->monotone ? growth->monotone[i_feature] : 0;
    for (int on_left = 0; on_left < 1 + f->has_missing; on_left++) {
        qn__sum more = on_left ? missing : (qn__sum){0};
        int32_t end = f->has_missing && !on_left ? n - 1 : n - 2;
        for (int32_t t = first; t <= (last < end ? last : end); t++) {
            double *sum = &gain[on_left * f->n_cells + t];
            if (!take_left(in, &u, &s, t, more, &left))
                continue;
            double both = worth_of_bound(in, f, t, left, on_left, order);
            if (both > -INFINITY)
                add_to(sum, price, both - own);
            else
                *sum = -INFINITY; /* for good: one leaf is enough to forbid it */
        }
    }
}

/* What the leaf is worth whole, as worth_of_both counts. */
static double worth_of_whole(const qn__split_input *in, const units *u) {
    return in->rule ? worth_whole(in) : worth((double)in->total.g, (double)in->total.h, u);
}

static void add_categories(const qn__split_input *in, int32_t i_feature, const qn__candidates *c,
                           qn__price price, double *gain) {
    const qn__bin_feature *f = &in->map->features[i_feature];
    units plain = units_of(in, 0), more = units_of(in, in->params->cat_l2);
    double own = worth_of_whole(in, &plain), l2 = in->params->lambda_l2;
    bool draw = in->params->extra_trees;
    if (f->n_values <= in->params->max_cat_to_onehot) {
        int32_t only = draw ? drawn(c->key, i_feature, f->n_values) : -1;
        for (int32_t b = 0; b < f->n_values; b++) {
            qn__sum left = qn__hist_at(in->hist, f->cell + b);
            if ((only < 0 || b == only) && !is_too_small(left, in->total, &plain))
                add_to(&gain[b], price, worth_of_both(in, f, &plain, l2, left) - own);
        }
        return;
    }
    int32_t n = c->n[f->cell], limit = categories_on_a_side(in->params, n);
    int32_t only = draw ? drawn(c->key, i_feature, limit) : -1;
    const int32_t *order = c->bin + f->cell;
    for (int end = 0; end < 2; end++) {
        qn__sum left = {0};
        for (int32_t i = 0; i < limit; i++) {
            qn__sum_add(&left, qn__hist_at(in->hist, f->cell + order[end ? n - 1 - i : i]));
            if (c->tried[end][f->cell + i] && (only < 0 || i == only)
                && !is_too_small(left, in->total, &more))
                add_to(&gain[end * f->n_cells + i], price,
                       worth_of_both(in, f, &more, l2 + in->params->cat_l2, left) - own);
        }
    }
}

void qn__split_add(const qn__split_input *in, int32_t i_feature, const qn__candidates *candidates,
                   qn__price price, double *scratch, double *gain) {
    const qn__bin_feature *f = &in->map->features[i_feature];
    if (f->kind == QN_FEATURE_CATEGORY)
        add_categories(in, i_feature, candidates, price, gain);
    else if (in->rule)
        add_number_under_rule(in, i_feature, candidates, price, scratch, gain);
    else
        add_number(in, f, price, scratch, gain);
}

void qn__split_best(const qn__bin_map *map, const qn_gbdt_params *params, int32_t i_feature,
                    const qn__candidates *candidates, const double *gain,
                    qn__split *ret_split) {
    const qn__bin_feature *f = &map->features[i_feature];
    int32_t best = -1;
    double top = 0;
    for (int32_t i = 0; i < 2 * f->n_cells; i++)
        if (gain[i] > top) {
            top = gain[i];
            best = i;
        }
    int32_t half = best >= f->n_cells, at = best - half * f->n_cells;
    *ret_split = (qn__split){.feature = best < 0 ? -1 : i_feature, .gain = top,
                             .is_category = f->kind == QN_FEATURE_CATEGORY};
    if (best < 0)
        return;
    if (!ret_split->is_category) {
        ret_split->bin = at;
        ret_split->missing_left = half;
        return;
    }
    ret_split->is_sorted = f->n_values > params->max_cat_to_onehot;
    int32_t n = candidates->n[f->cell];
    for (int32_t i = ret_split->is_sorted ? 0 : at; i <= at; i++) {
        int32_t b = ret_split->is_sorted ? candidates->bin[f->cell + (half ? n - 1 - i : i)] : i;
        ret_split->set[b >> 5] |= 1u << (b & 31);
    }
    ret_split->missing_left = ret_split->set[0] & 1;
}

/* ---- a split found elsewhere ------------------------------------------------------------------- */

qn__sum qn__split_left(const qn__split_input *in, const qn__split *split) {
    const qn__bin_feature *f = &in->map->features[split->feature];
    qn__sum left = {0}, all = {0};
    for (int32_t b = 0; b < f->n_values; b++) {
        qn__sum s = qn__hist_at(in->hist, f->cell + b);
        qn__sum_add(&all, s);
        if (qn__split_goes_left(split, f, b))
            qn__sum_add(&left, s);
    }
    if (!split->is_category && split->missing_left)
        qn__sum_add(&left, qn__sum_less(in->total, all));
    return left;
}

bool qn__split_fits(const qn__split_input *in, qn__split *split) {
    units u = units_of(in, 0), children = units_of(in, split->is_sorted ? in->params->cat_l2 : 0);
    if (is_too_small(split->left, in->total, &u))
        return false;
    if (!in->rule) {
        const qn__bin_feature *f = &in->map->features[split->feature];
        double both = worth_of_both(in, f, &children, 0, split->left);
        split->gain = (both - worth_of_whole(in, &u)) * u.gain;
        return true;
    }
    double l2 = in->params->lambda_l2 + (split->is_sorted ? in->params->cat_l2 : 0);
    both_limits limits = limits_of(in, &in->map->features[split->feature], split->bin,
                                   split->missing_left);
    double both = worth_under_rule(in, &limits, l2, split->left,
                                   qn__growth_order(in->rule->growth, in->map, split));
    value_under_rule(in, both, split);
    return true;
}
