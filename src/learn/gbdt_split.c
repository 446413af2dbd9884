#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "learn/gbdt_int.h"

/* The search works in units of the quantised sums; only the winner's gain is turned into loss. With
 * soft(G) = sign(G) max(|G| - lambda_l1, 0), a side is worth soft(G)^2 / (H + lambda_l2), which is
 * twice the loss a Newton step there saves. */
typedef struct units {
    double l1, l2;
    double h_min;  /* least hessian of a side: from min_sum_hessian_in_leaf and min_data_in_leaf */
    double rows_per_h;
    double gain;   /* what 1 is in loss */
} units;

static units units_of(const qn__split_input *in, double more_l2) {
    double rows_per_h = in->total.h > 0 ? (double)in->n_rows / (double)in->total.h : 0;
    double by_rows = ((double)in->params->min_data_in_leaf - 0.5) /
                     (rows_per_h > 0 ? rows_per_h : 1);
    double by_hessian = in->params->min_sum_hessian_in_leaf / in->h_unit;
    double h_min = by_rows > by_hessian ? by_rows : by_hessian;
    return (units){.l1 = in->params->lambda_l1 / in->g_unit,
                   .l2 = (in->params->lambda_l2 + more_l2) / in->h_unit,
                   .h_min = h_min > 1 ? h_min : 1,
                   .rows_per_h = rows_per_h,
                   .gain = in->g_unit * in->g_unit / in->h_unit};
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
        double al = fabs(gl) - l1, ar = fabs(gr) - l1;
        al = al > 0 ? al : 0;
        ar = ar > 0 ? ar : 0;
        double ql = hl + l2, qr = hr + l2;
        double both = (al * al * qr + ar * ar * ql) / (ql * qr);
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

/* The halves of packed sums of at most block_rows rows; both fit 32 bits with a sign. */
QN__WIDE static void halves_of(const int64_t *restrict sum, int32_t n, double *restrict g,
                               double *restrict h) {
    for (int32_t t = 0; t < n; t++) {
        g[t] = (double)(int32_t)(sum[t] >> 32);
        h[t] = (double)(int32_t)sum[t];
    }
}

size_t qn__split_scratch_len(const qn__bin_map *map) {
    size_t most = QN__CAT_BINS;
    for (int32_t i = 0; i < map->n_features; i++)
        most = (size_t)map->features[i].n_cells > most ? (size_t)map->features[i].n_cells : most;
    return 4 * (most + 8); /* g, h, gain, packed sums */
}

/* Takes the first of n gains that is `top`, when that is better than the best so far. */
static void take_best(const double *gain, int32_t n, double top, const double *g, const double *h,
                      qn__sum more, bool missing_left, double *best, qn__split *split) {
    if (!(top > *best))
        return;
    int32_t t = 0;
    while (t < n - 1 && gain[t] != top)
        t++;
    *best = top;
    split->bin = t;
    split->missing_left = missing_left;
    split->left = (qn__sum){.g = (int64_t)g[t] + more.g, .h = (int64_t)h[t] + more.h};
}

/* Sums of the first 1, 2, ... n cells; returns that of all. */
static qn__sum sum_up(const qn__hist *hist, int64_t cell, int32_t n, double *g, double *h,
                      double *scratch) {
    if (!hist->wide) {
        int64_t *sums = (int64_t *)(void *)scratch, sum = 0;
        for (int32_t t = 0; t < n; t++)
            sums[t] = sum += hist->packed[cell + t];
        halves_of(sums, n, g, h);
        return qn__unpack(sum);
    }
    qn__sum sum = {0};
    for (int32_t t = 0; t < n; t++) {
        sum.g += hist->sums[cell + t].g;
        sum.h += hist->sums[cell + t].h;
        g[t] = (double)sum.g;
        h[t] = (double)sum.h;
    }
    return sum;
}

static double find_number(const qn__split_input *in, const qn__bin_feature *f, double *scratch,
                          qn__split *split) {
    units u = units_of(in, 0);
    int32_t n = f->n_values;
    double *g = scratch, *h = g + n + 8, *gain = h + n + 8;
    qn__sum all = sum_up(in->hist, f->cell, n, g, h, gain + n + 8);
    double g_all = (double)in->total.g, h_all = (double)in->total.h;
    qn__sum missing = {.g = in->total.g - all.g, .h = in->total.h - all.h};
    double best = 0;
    /* Missing on the right; the last bound splits the missing from the rest. */
    int32_t n_bounds = f->has_missing ? n : n - 1;
    double top = gains_of(g, h, n_bounds, 0, 0, g_all, h_all, u.l1, u.l2, u.h_min, gain);
    take_best(gain, n_bounds, top, g, h, (qn__sum){0}, false, &best, split);
    if (missing.h > 0) {
        top = gains_of(g, h, n - 1, (double)missing.g, (double)missing.h, g_all, h_all, u.l1, u.l2,
                       u.h_min, gain);
        take_best(gain, n - 1, top, g, h, missing, true, &best, split);
    } else if (best > 0) {
        /* Nothing was learned about missing values here: they go with the majority. */
        split->missing_left = 2 * split->left.h >= in->total.h;
    }
    return best;
}

/* ---- under a rule: values that are not Newton's, random thresholds ---------------------------- */

/* A side of a split: its sums are (g, h). */
typedef struct side {
    double value, worth; /* in units of loss x 2 */
} side;

static side side_of(const qn__split_input *in, const units *u, qn__limits limits, double l2,
                    double g, double h) {
    double value = qn__rule_value(in->rule, limits, g * in->g_unit, h * in->h_unit, l2,
                                  h * u->rows_per_h);
    return (side){value,
                  qn__rule_worth(in->rule, g * in->g_unit, h * in->h_unit, l2, value)};
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
static double worth_under_rule(const qn__split_input *in, const units *u, const both_limits *limits,
                               double l2, double g, double h, int order) {
    side left = side_of(in, u, limits->left, l2, g, h);
    side right = side_of(in, u, limits->right, l2, (double)in->total.g - g,
                         (double)in->total.h - h);
    bool allowed = order == 0 || (order > 0 ? left.value <= right.value
                                            : left.value >= right.value);
    return allowed ? left.worth + right.worth : -INFINITY;
}

/* Of a leaf and feature: which of n equally likely things is drawn. */
static int32_t drawn(const qn__split_input *in, int32_t i_feature, int32_t n) {
    double x = qn_rng_hash_uniform(in->rule->key, (uint64_t)i_feature);
    return n > 0 ? (int32_t)(x * (double)n) : 0;
}

/* The bounds to look at, first .. last: all, or one between the least and the largest value here
 * (Geurts, Ernst and Wehenkel 2006), the one that parts the missing among them. */
static void bounds_to_try(const qn__split_input *in, int32_t i_feature, const double *h, int32_t n,
                          bool missing, int32_t *first, int32_t *last) {
    *first = 0;
    *last = n - 1;
    if (!in->rule->growth->params->extra_trees)
        return;
    int32_t end = n - 1;
    while (*first < n - 1 && h[*first] <= 0)
        ++*first;
    while (end > *first && h[end - 1] >= h[n - 1])
        end--;
    int32_t t = *first + drawn(in, i_feature, end - *first + missing);
    *first = *last = t < end ? t : n - 1;
}

static double find_number_under_rule(const qn__split_input *in, const qn__bin_feature *f,
                                     double *scratch, qn__split *split) {
    units u = units_of(in, 0);
    const qn__growth *growth = in->rule->growth;
    int32_t n = f->n_values, first, last;
    double *g = scratch, *h = g + n + 8, *sums = h + n + 8, best = -INFINITY;
    double l2 = growth->params->lambda_l2;
    qn__sum all = sum_up(in->hist, f->cell, n, g, h, sums);
    qn__sum missing = {.g = in->total.g - all.g, .h = in->total.h - all.h};
    bounds_to_try(in, split->feature, h, n, missing.h > 0, &first, &last);
    int order = growth->monotone ? growth->monotone[split->feature] : 0;
    for (int on_left = 0; on_left < (missing.h > 0 ? 2 : 1); on_left++) {
        qn__sum more = on_left ? missing : (qn__sum){0};
        int32_t end = f->has_missing && !on_left ? n - 1 : n - 2;
        for (int32_t t = first; t <= (last < end ? last : end); t++) {
            double hl = h[t] + (double)more.h, gl = g[t] + (double)more.g;
            if (hl < u.h_min || (double)in->total.h - hl < u.h_min)
                continue;
            /* Where nothing is missing, the missing will go with the majority. */
            bool with_left = missing.h > 0 ? on_left == 1 : 2 * hl >= (double)in->total.h;
            both_limits limits = limits_of(in, f, t, with_left);
            double both = worth_under_rule(in, &u, &limits, l2, gl, hl, t == n - 1 ? 0 : order);
            if (both > best) {
                best = both;
                split->bin = t;
                split->missing_left = on_left == 1;
                split->left = (qn__sum){.g = (int64_t)g[t] + more.g, .h = (int64_t)h[t] + more.h};
            }
        }
    }
    if (missing.h <= 0 && best > -INFINITY)
        split->missing_left = 2 * split->left.h >= in->total.h; /* as in find_number */
    return best;
}

/* What both sides of a split by categories are worth. */
static double worth_of_both(const qn__split_input *in, const qn__bin_feature *f, const units *u,
                            double l2, qn__sum left) {
    double g = (double)left.g, h = (double)left.h;
    if (in->rule) {
        both_limits limits = limits_of(in, f, 0, false);
        return worth_under_rule(in, u, &limits, l2, g, h, 0);
    }
    return worth(g, h, u) + worth((double)in->total.g - g, (double)in->total.h - h, u);
}

static double worth_of_nothing(const qn__split_input *in) {
    return in->rule ? -INFINITY : 0;
}

/* Of n candidates the one to look at; -1: all. */
static int32_t only_one(const qn__split_input *in, int32_t i_feature, int32_t n) {
    return in->rule && in->rule->growth->params->extra_trees ? drawn(in, i_feature, n) : -1;
}

/* ---- categories ------------------------------------------------------------------------------- */

static double find_one_hot(const qn__split_input *in, const qn__bin_feature *f, qn__split *split) {
    units u = units_of(in, 0);
    double best = worth_of_nothing(in);
    int32_t only = only_one(in, split->feature, f->n_values);
    for (int32_t b = 0; b < f->n_values; b++) {
        qn__sum s = qn__hist_at(in->hist, f->cell + b);
        double hl = (double)s.h, hr = (double)(in->total.h - s.h);
        if (hl < u.h_min || hr < u.h_min || (only >= 0 && b != only))
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
static int32_t sort_categories(const qn__split_input *in, const qn__bin_feature *f, const units *u,
                               double *ratio, int32_t *order) {
    double smooth = in->params->cat_smooth / in->h_unit;
    int32_t n = 0;
    for (int32_t b = 0; b < f->n_values; b++) {
        qn__sum s = qn__hist_at(in->hist, f->cell + b);
        if ((double)s.h * u->rows_per_h + 0.5 < in->params->cat_smooth || s.h == 0)
            continue;
        ratio[b] = (double)s.g / ((double)s.h + smooth);
        int32_t at = n++;
        order[at] = b;
    }
    /* Shell sort on (ratio, bin): small, stable by its key, no callbacks. */
    for (int32_t gap = n / 2; gap > 0; gap /= 2) {
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

/* Categories in order of their gradient statistics, prefixes from either end (Fisher 1958;
 * LightGBM's bounds on their number and on the rows per group). */
static double find_sorted(const qn__split_input *in, const qn__bin_feature *f, double *ratio,
                          qn__split *split) {
    units u = units_of(in, in->params->cat_l2);
    int32_t order[QN__CAT_BINS];
    int32_t n = sort_categories(in, f, &u, ratio, order);
    int32_t limit = (n + 1) / 2;
    if (in->params->max_cat_threshold < limit)
        limit = (int32_t)in->params->max_cat_threshold;
    double group_h = (double)in->params->min_data_per_group / (u.rows_per_h > 0 ? u.rows_per_h : 1);
    double best = worth_of_nothing(in), l2 = in->params->lambda_l2 + in->params->cat_l2;
    int32_t best_n = 0, best_dir = 1, only = only_one(in, split->feature, limit);
    for (int32_t dir = 1; dir >= -1; dir -= 2) {
        qn__sum left = {0};
        double in_group = 0;
        for (int32_t i = 0; i < limit; i++) {
            qn__sum s = qn__hist_at(in->hist, f->cell + order[dir > 0 ? i : n - 1 - i]);
            left.g += s.g;
            left.h += s.h;
            in_group += (double)s.h;
            double hl = (double)left.h, hr = (double)(in->total.h - left.h);
            if (hr < u.h_min || hr < group_h)
                break;
            if (hl < u.h_min || in_group < group_h)
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
    units u = units_of(in, 0);
    double gain = (best - worth((double)in->total.g, (double)in->total.h, &u)) * u.gain;
    bool worth_it = best > 0 && gain > in->params->min_gain_to_split && gain > 1e-15
                    && split->left.h > 0 && split->left.h < in->total.h;
    split->gain = worth_it ? gain : 0;
    if (!worth_it)
        split->feature = -1;
}

/* The same under a rule, with the children's values. */
static void close_under_rule(const qn__split_input *in, double best, qn__split *split) {
    const qn__leaf_rule *r = in->rule;
    const qn_gbdt_params *p = in->params;
    units u = units_of(in, 0);
    double g = (double)in->total.g * in->g_unit, h = (double)in->total.h * in->h_unit;
    double gain = best - qn__rule_worth(r, g, h, p->lambda_l2, r->value);
    if (!(gain > p->min_gain_to_split && gain > 1e-15 && split->left.h > 0
          && split->left.h < in->total.h)) {
        split->gain = 0;
        split->feature = -1;
        return;
    }
    double l2 = p->lambda_l2 + (split->is_sorted ? p->cat_l2 : 0);
    qn__sum left = split->left;
    both_limits limits = limits_of(in, &in->map->features[split->feature], split->bin,
                                   split->missing_left);
    split->left_value = side_of(in, &u, limits.left, l2, (double)left.g, (double)left.h).value;
    split->right_value = side_of(in, &u, limits.right, l2, (double)(in->total.g - left.g),
                                 (double)(in->total.h - left.h)).value;
    split->gain = gain * qn__rule_penalty(r->growth, split->feature, in->depth);
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
void qn__split_sort(const qn__split_input *root, int32_t i_feature, double *scratch,
                    qn__category_order *o) {
    const qn__bin_feature *f = &root->map->features[i_feature];
    if (f->kind != QN_FEATURE_CATEGORY || f->n_values <= root->params->max_cat_to_onehot)
        return;
    units u = units_of(root, root->params->cat_l2);
    int32_t *order = o->bin + f->cell;
    int32_t n = o->n[f->cell] = sort_categories(root, f, &u, scratch, order);
    int32_t limit = (n + 1) / 2;
    if (root->params->max_cat_threshold < limit)
        limit = (int32_t)root->params->max_cat_threshold;
    double group_h = (double)root->params->min_data_per_group
                     / (u.rows_per_h > 0 ? u.rows_per_h : 1);
    for (int end = 0; end < 2; end++) {
        bool *tried = o->tried[end] + f->cell;
        double in_group = 0, left = 0;
        memset(tried, 0, (size_t)f->n_cells * sizeof *tried);
        for (int32_t i = 0; i < limit; i++) {
            double h = (double)qn__hist_at(root->hist, f->cell + order[end ? n - 1 - i : i]).h;
            left += h;
            in_group += h;
            if ((double)root->total.h - left < group_h)
                break;
            tried[i] = in_group >= group_h;
            in_group = tried[i] ? 0 : in_group;
        }
    }
}

static void add_number(const qn__split_input *in, const qn__bin_feature *f, double *scratch,
                       double *gain) {
    units u = units_of(in, 0);
    int32_t n = f->n_values;
    double *g = scratch, *h = g + n + 8, *here = h + n + 8;
    qn__sum all = sum_up(in->hist, f->cell, n, g, h, here + n + 8);
    double g_all = (double)in->total.g, h_all = (double)in->total.h, own = worth(g_all, h_all, &u);
    qn__sum missing = {.g = in->total.g - all.g, .h = in->total.h - all.h};
    for (int on_left = 0; on_left < 1 + f->has_missing; on_left++) {
        int32_t n_bounds = f->has_missing && !on_left ? n : n - 1;
        qn__sum more = on_left ? missing : (qn__sum){0};
        gains_of(g, h, n_bounds, (double)more.g, (double)more.h, g_all, h_all, u.l1, u.l2, u.h_min,
                 here);
        for (int32_t t = 0; t < n_bounds; t++)
            gain[on_left * f->n_cells + t] += here[t] >= 0 ? here[t] - own : 0;
    }
}

static double gain_of_left(const qn__split_input *in, const units *u, qn__sum left, double own) {
    double hl = (double)left.h, hr = (double)(in->total.h - left.h);
    if (hl < u->h_min || hr < u->h_min)
        return 0;
    return worth((double)left.g, hl, u) + worth((double)(in->total.g - left.g), hr, u) - own;
}

static void add_categories(const qn__split_input *in, const qn__bin_feature *f,
                           const qn__category_order *o, double *gain) {
    units plain = units_of(in, 0), u = units_of(in, in->params->cat_l2);
    double own = worth((double)in->total.g, (double)in->total.h, &plain);
    if (f->n_values <= in->params->max_cat_to_onehot) {
        for (int32_t b = 0; b < f->n_values; b++)
            gain[b] += gain_of_left(in, &plain, qn__hist_at(in->hist, f->cell + b), own);
        return;
    }
    int32_t n = o->n[f->cell];
    const int32_t *order = o->bin + f->cell;
    for (int end = 0; end < 2; end++) {
        qn__sum left = {0};
        for (int32_t i = 0; i < n; i++) {
            qn__sum s = qn__hist_at(in->hist, f->cell + order[end ? n - 1 - i : i]);
            left.g += s.g;
            left.h += s.h;
            if (o->tried[end][f->cell + i])
                gain[end * f->n_cells + i] += gain_of_left(in, &u, left, own);
        }
    }
}

void qn__split_add(const qn__split_input *in, int32_t i_feature, const qn__category_order *order,
                   double *scratch, double *gain) {
    const qn__bin_feature *f = &in->map->features[i_feature];
    if (f->kind == QN_FEATURE_CATEGORY)
        add_categories(in, f, order, gain);
    else
        add_number(in, f, scratch, gain);
}

void qn__split_best(const qn__bin_map *map, const qn_gbdt_params *params, int32_t i_feature,
                    const qn__category_order *order, const double *gain, qn__split *ret_split) {
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
    int32_t n = order->n[f->cell];
    for (int32_t i = ret_split->is_sorted ? 0 : at; i <= at; i++) {
        int32_t b = ret_split->is_sorted ? order->bin[f->cell + (half ? n - 1 - i : i)] : i;
        ret_split->set[b >> 5] |= 1u << (b & 31);
    }
    ret_split->missing_left = ret_split->set[0] & 1;
}

qn__sum qn__split_left(const qn__split_input *in, const qn__split *split) {
    const qn__bin_feature *f = &in->map->features[split->feature];
    qn__sum left = {0}, all = {0};
    for (int32_t b = 0; b < f->n_values; b++) {
        qn__sum s = qn__hist_at(in->hist, f->cell + b);
        all.g += s.g;
        all.h += s.h;
        if (qn__split_goes_left(split, f, b)) {
            left.g += s.g;
            left.h += s.h;
        }
    }
    if (!split->is_category && split->missing_left) {
        left.g += in->total.g - all.g;
        left.h += in->total.h - all.h;
    }
    return left;
}

bool qn__split_fits(const qn__split_input *in, qn__split *split) {
    units u = units_of(in, 0);
    double more_l2 = split->is_sorted ? in->params->cat_l2 : 0;
    double h_left = (double)split->left.h, h_right = (double)(in->total.h - split->left.h);
    if (h_left < u.h_min || h_right < u.h_min)
        return false;
    if (in->rule) {
        int order = qn__growth_order(in->rule->growth, in->map, split);
        both_limits limits = limits_of(in, &in->map->features[split->feature], split->bin,
                                       split->missing_left);
        double both = worth_under_rule(in, &u, &limits, in->params->lambda_l2 + more_l2,
                                       (double)split->left.g, h_left, order);
        close_under_rule(in, both, split);
        return split->feature >= 0;
    }
    units children = units_of(in, more_l2);
    double own = worth((double)in->total.g, (double)in->total.h, &u);
    split->gain = gain_of_left(in, &children, split->left, own) * u.gain;
    return true;
}
