/* How far one column alone, and all columns together, tell the target. Everything is measured on
 * rows that were not used to fit, so that a column of ids does not look like a predictor. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/profile_int.h"

enum {
    NUMBER_BINS = 255,
    JOINT_BINS = 64,
    JOINT_ROWS = 20000,
    JOINT_COLUMNS = 400,
    JOINT_ROUNDS = 12,
    JOINT_CANDIDATES = 3,
    PAIR_COLUMNS = 400, /* numeric columns tried in pairs */
};
#define JOINT_RATE 0.4
#define JOINT_SEED UINT64_C(0x6a6f696e74)

const char *qn__link_name(qn_task task) {
    return task == QN_TASK_BINARY ? "auc" : task == QN_TASK_REGRESSION ? "r2" : "accuracy_gain";
}

/* ---- bins ---- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The end of the run of equal values that begins at i. */
static int64_t run_end(const double *x, int64_t n, int64_t i) {
    int64_t end = i + 1;
    while (end < n && x[end] == x[i])
        end++;
    return end;
}

/* Cuts into at most max_bins groups; returns how many cuts. A value belongs to the bin of the
 * number of cuts <= it. Few distinct values get a bin each. Otherwise values that fill a bin of
 * average size alone have one to themselves, and the others share the rest about evenly. Sorts
 * x. */
static int quantile_cuts(double *x, int64_t n, int max_bins, double *cuts) {
    int64_t n_distinct = 0, n_heavy_rows = 0;
    int n_heavy = 0, n_cuts = 0;
    qsort(x, (size_t)n, sizeof x[0], compare_doubles);
    for (int64_t i = 0, end; i < n; i = end) {
        end = run_end(x, n, i);
        n_distinct++;
        if ((end - i) * max_bins >= n) {
            n_heavy++;
            n_heavy_rows += end - i;
        }
    }
    double target = n_distinct <= max_bins ? 0
                    : n_heavy < max_bins   ? (double)(n - n_heavy_rows) / (max_bins - n_heavy)
                                           : (double)n;
    double in_bin = 0;
    bool last_heavy = false;
    for (int64_t i = 0, end; i < n && n_cuts < max_bins - 1; i = end) {
        end = run_end(x, n, i);
        bool heavy = (end - i) * max_bins >= n;
        if (i > 0 && (in_bin >= target || heavy || last_heavy)) {
            cuts[n_cuts++] = x[i];
            in_bin = 0;
        }
        in_bin += (double)(end - i);
        last_heavy = heavy;
    }
    return n_cuts;
}

static int32_t cut_bin(const double *cuts, int n_cuts, double x) {
    int low = 0, high = n_cuts;
    while (low < high) {
        int middle = (low + high) / 2;
        if (cuts[middle] <= x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* bin[i] of rows[i]: 0 missing, else 1.. Numbers by quantiles, texts by value (hash when there are
 * more than n_levels values). *ret_n_bins counts the missing one too. */
static qn_status bins_make(const qn_column *column, const int64_t *rows, int64_t n, int max_bins,
                           int n_levels, int32_t *bin, int32_t *ret_n_bins, qn_error *err) {
    if (!qn__is_number(column)) {
        bool direct = column->type == QN_TYPE_CATEGORY && qn_dict_size(column->dict) <= n_levels;
        for (int64_t i = 0; i < n; i++) {
            size_t bytes = 0;
            const char *text = qn_column_text(column, rows[i], &bytes);
            bin[i] = !text    ? 0
                     : direct ? 1 + column->code[rows[i]]
                              : 1 + (int32_t)(qn_hash64(text, bytes, 1) % (uint64_t)n_levels);
        }
        *ret_n_bins = 1 + (direct ? qn_dict_size(column->dict) : n_levels);
        return QN_OK;
    }
    qn_cleanup(qn_freep) double *x = qn_new_array(double, n);
    if (!x)
        return qn_error_memory(err);
    double cuts[NUMBER_BINS];
    int64_t n_valid = 0;
    for (int64_t i = 0; i < n; i++)
        if (qn_column_is_valid(column, rows[i]))
            x[n_valid++] = qn_column_number(column, rows[i]);
    int n_cuts = quantile_cuts(x, n_valid, max_bins, cuts);
    for (int64_t i = 0; i < n; i++)
        bin[i] = qn_column_is_valid(column, rows[i])
                     ? 1 + cut_bin(cuts, n_cuts, qn_column_number(column, rows[i]))
                     : 0;
    *ret_n_bins = n_cuts + 2;
    return QN_OK;
}

/* ---- one column ---- */

/* Rows of one bin in one fold. */
typedef struct cell {
    double n, sum, squares; /* of the target */
    double guess;           /* fitted on the other folds */
} cell;

static int fold_of(const qn__study *study, int64_t row) {
    return (int)(qn_rng_hash(study->options->seed ^ UINT64_C(0x666f6c64), (uint64_t)row) %
                 QN__FOLDS);
}

static int compare_cells(const void *a, const void *b) {
    const cell *x = a, *y = b;
    return (x->guess > y->guess) - (x->guess < y->guess);
}

/* Area under the ROC curve of the guesses, ties counted half. Sorts the cells. */
static double cells_auc(cell *cells, int64_t n) {
    double below = 0, pairs = 0, n_one = 0, n_zero = 0;
    qsort(cells, (size_t)n, sizeof cells[0], compare_cells);
    for (int64_t i = 0; i < n;) {
        double ones = 0, zeros = 0, guess = cells[i].guess;
        for (; i < n && cells[i].guess == guess; i++) {
            ones += cells[i].sum;
            zeros += cells[i].n - cells[i].sum;
        }
        pairs += ones * (below + zeros / 2);
        below += zeros;
        n_one += ones;
        n_zero += zeros;
    }
    return n_one > 0 && n_zero > 0 ? pairs / (n_one * n_zero) : NAN;
}

/* Fits the mean of each bin on the other folds, drawn towards the overall mean by the weight of ten
 * rows (binary; one for numbers, whose noise is not bounded by the mean). */
static void cells_fit(cell *cells, int32_t n_bins, double mean, double weight) {
    for (int32_t b = 0; b < n_bins; b++) {
        double n = 0, sum = 0;
        for (int f = 0; f < QN__FOLDS; f++) {
            n += cells[f * n_bins + b].n;
            sum += cells[f * n_bins + b].sum;
        }
        for (int f = 0; f < QN__FOLDS; f++) {
            cell *c = &cells[f * n_bins + b];
            c->guess = (sum - c->sum + weight * mean) / (n - c->n + weight);
        }
    }
}

/* Share of the squared error (R2) that the guesses remove. */
static double cells_r2(const cell *cells, int64_t n, double total) {
    double error = 0;
    for (int64_t i = 0; i < n; i++)
        error += cells[i].squares - 2 * cells[i].guess * cells[i].sum +
                 cells[i].n * cells[i].guess * cells[i].guess;
    return total > 0 ? 1 - error / total : NAN;
}

static qn_status link_scalar(const qn__study *study, const int32_t *bin, int32_t n_bins,
                             double *ret_link, qn_error *err) {
    int64_t n_cells = (int64_t)n_bins * QN__FOLDS;
    qn_cleanup(qn_freep) cell *cells = qn_new_array(cell, n_cells);
    if (!cells)
        return qn_error_memory(err);
    /* Centred, so that large offsets of the target do not cost digits. */
    double sum = 0, total = 0, shift = 0, n = (double)study->n_labelled;
    bool is_binary = study->info->task == QN_TASK_BINARY;
    for (int64_t i = 0; i < study->n_labelled; i++)
        sum += study->y[study->labelled[i]];
    shift = is_binary ? 0 : sum / n;
    double mean = sum / n - shift;
    for (int64_t i = 0; i < study->n_labelled; i++) {
        double y = study->y[study->labelled[i]] - shift;
        cell *c = &cells[fold_of(study, study->labelled[i]) * n_bins + bin[i]];
        c->n++;
        c->sum += y;
        c->squares += y * y;
        total += (y - mean) * (y - mean);
    }
    cells_fit(cells, n_bins, mean, is_binary ? 10 : 1);
    *ret_link = is_binary ? cells_auc(cells, n_cells) : cells_r2(cells, n_cells, total);
    return QN_OK;
}

/* Multiclass: how much of the error of always naming the largest class goes away when each row gets
 * the most frequent class of its bin in the other folds. */
static qn_status link_classes(const qn__study *study, const int32_t *bin, int32_t n_bins,
                              double *ret_link, qn_error *err) {
    int32_t k = study->info->n_classes < QN__CLASSES_MAX ? study->info->n_classes : QN__CLASSES_MAX;
    int64_t n_cells = (int64_t)n_bins * QN__FOLDS;
    qn_cleanup(qn_freep) int32_t *counts = qn_new_array(int32_t, n_cells * k);
    qn_cleanup(qn_freep) int64_t *overall = qn_new_array(int64_t, k);
    if (!counts || !overall)
        return qn_error_memory(err);
    for (int64_t i = 0; i < study->n_labelled; i++) {
        int32_t y = (int32_t)study->y[study->labelled[i]];
        int64_t c = (int64_t)fold_of(study, study->labelled[i]) * n_bins + bin[i];
        y = y < k ? y : k - 1;
        counts[c * k + y]++;
        overall[y]++;
    }
    int32_t largest = 0;
    for (int32_t c = 1; c < k; c++)
        largest = overall[c] > overall[largest] ? c : largest;
    int64_t n_right = 0;
    for (int32_t b = 0; b < n_bins; b++)
        for (int f = 0; f < QN__FOLDS; f++) {
            int64_t best_n = 0, best = largest;
            for (int32_t c = 0; c < k; c++) {
                int64_t n = 0;
                for (int g = 0; g < QN__FOLDS; g++)
                    n += g == f ? 0 : counts[((int64_t)g * n_bins + b) * k + c];
                if (n > best_n || (n == best_n && n > 0 && c == largest)) {
                    best_n = n;
                    best = c;
                }
            }
            n_right += counts[((int64_t)f * n_bins + b) * k + best];
        }
    int64_t n_wrong = study->n_labelled - overall[largest];
    *ret_link = n_wrong > 0 ? (double)(n_right - overall[largest]) / (double)n_wrong : NAN;
    return QN_OK;
}

static qn_status link_bins(const qn__study *study, const int32_t *bin, int32_t n_bins,
                           double *ret_link, qn_error *err) {
    if (study->info->task == QN_TASK_MULTICLASS)
        return link_classes(study, bin, n_bins, ret_link, err);
    return link_scalar(study, bin, n_bins, ret_link, err);
}

static double correlation_of(const qn__study *study, const qn_column *column) {
    double n = 0, mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (int64_t i = 0; i < study->n_labelled; i++) {
        int64_t row = study->labelled[i];
        double x = qn_column_number(column, row), y = study->y[row];
        if (!isfinite(x))
            continue;
        n++;
        double dx = x - mx, dy = y - my; /* Welford */
        mx += dx / n;
        my += dy / n;
        xx += dx * (x - mx);
        yy += dy * (y - my);
        xy += dx * (y - my);
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx) / sqrt(yy) : NAN;
}

qn_status qn__profile_link(const qn__study *study, qn__field *field, qn_error *err) {
    bool is_scalar = study->info->task != QN_TASK_MULTICLASS;
    qn_cleanup(qn_freep) int32_t *bin = qn_new_array(int32_t, study->n_labelled);
    if (!bin)
        return qn_error_memory(err);
    int32_t n_bins = 0;
    int n_levels = is_scalar ? QN__LEVELS_MAX : NUMBER_BINS;
    QN_TRY(bins_make(field->column, study->labelled, study->n_labelled, NUMBER_BINS, n_levels, bin,
                     &n_bins, err));
    QN_TRY(link_bins(study, bin, n_bins, &field->link, err));
    if (is_scalar && qn__is_number(field->column))
        field->correlation = correlation_of(study, field->column);
    if (field->column->n_null == 0)
        return QN_OK;
    for (int64_t i = 0; i < study->n_labelled; i++)
        bin[i] = bin[i] > 0;
    return link_bins(study, bin, 2, &field->missing_link, err);
}

/* ---- pairs that make up the target ---- */

static bool pair_matches(const qn__study *study, const qn_column *a, const qn_column *b,
                         char operation) {
    int64_t n = 0, n_missed = 0, n_trivial = 0;
    for (int64_t i = 0; i < study->n_labelled; i++) {
        int64_t row = study->labelled[i];
        double x = qn_column_number(a, row), z = qn_column_number(b, row), y = study->y[row];
        if (!isfinite(x) || !isfinite(z))
            continue;
        double made = operation == '+' ? x + z : operation == '-' ? x - z : x * z;
        double size = fabs(x) + fabs(z) + fabs(y);
        n++;
        n_missed += !(fabs(made - y) <= 1e-6 * size);
        n_trivial += x == y || z == y;
        if (n_missed > 1 + n / 1000)
            return false;
    }
    return n >= 20 && n >= study->n_labelled / 2 && n_trivial < n * 9 / 10;
}

static void find_pairs(qn__study *study) {
    static const char operations[] = "+-*";
    int32_t numeric[PAIR_COLUMNS], n = 0;
    for (int32_t c = 0; c < study->frame->n_columns && n < PAIR_COLUMNS; c++) {
        const qn_column *column = study->fields[c].column;
        if (!study->fields[c].is_target &&
            (column->type == QN_TYPE_I64 || column->type == QN_TYPE_F64))
            numeric[n++] = c;
    }
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < n; j++)
            for (int o = 0; o < 3; o++) {
                bool symmetric = operations[o] != '-';
                qn__field *a = &study->fields[numeric[i]], *b = &study->fields[numeric[j]];
                if (i == j || (symmetric && j < i) || a->partner >= 0 || b->partner >= 0 ||
                    !pair_matches(study, a->column, b->column, operations[o]))
                    continue;
                a->partner = numeric[j];
                b->partner = numeric[i];
                a->operation = b->operation = operations[o];
            }
}

/* ---- all columns together ---- */

/* A generalised additive model: one function of bins per column, fitted in turn by damped Newton
 * steps (as in Lou, Caruana, Gehrke 2012), on two thirds of at most 20,000 rows; judged on the
 * other third. */
typedef struct additive {
    int64_t n;          /* rows */
    double *y;          /* owned; 0/1 or the value */
    bool *fits;         /* owned; rows to fit on */
    int32_t n_columns;  /* of the ones used */
    int32_t *column;    /* owned; their indices in the frame */
    uint8_t *bins;      /* owned; n per column used */
    bool is_binary;
    double prior;       /* mean of y on the rows to fit on */
} additive;

static void additive_done(additive *a) {
    qn_freep(&a->y);
    qn_freep(&a->fits);
    qn_freep(&a->column);
    qn_freep(&a->bins);
}

static void additive_step(const additive *a, int32_t i_column, double *score) {
    const uint8_t *bin = a->bins + (int64_t)i_column * a->n;
    double g[JOINT_BINS + 2] = {0}, h[JOINT_BINS + 2] = {0};
    for (int64_t i = 0; i < a->n; i++) {
        if (!a->fits[i])
            continue;
        double p = a->is_binary ? 1 / (1 + exp(-score[i])) : score[i];
        g[bin[i]] += a->y[i] - p;
        h[bin[i]] += a->is_binary ? p * (1 - p) : 1;
    }
    double ridge = a->is_binary ? 20 * a->prior * (1 - a->prior) : 5;
    for (int b = 0; b < JOINT_BINS + 2; b++) {
        double step = g[b] / (h[b] + ridge);
        g[b] = JOINT_RATE * (a->is_binary ? fmax(-4, fmin(4, step)) : step);
    }
    for (int64_t i = 0; i < a->n; i++)
        score[i] += g[bin[i]];
}

static double row_loss(const additive *a, double score, double y) {
    if (!a->is_binary)
        return (y - score) * (y - score);
    double p = fmax(1e-6, fmin(1 - 1e-6, 1 / (1 + exp(-score))));
    return -(y * log(p) + (1 - y) * log(1 - p));
}

/* The share of the loss of the prior that the model without column left_out (-1: with all) removes
 * on rows it was not fitted on. `score` is scratch of n. */
static double additive_skill(const additive *a, int32_t left_out, double *score) {
    double start = a->is_binary ? log(a->prior / (1 - a->prior)) : a->prior, loss = 0,
           prior_loss = 0;
    for (int64_t i = 0; i < a->n; i++)
        score[i] = start;
    for (int round = 0; round < JOINT_ROUNDS; round++)
        for (int32_t c = 0; c < a->n_columns; c++)
            if (a->column[c] != left_out)
                additive_step(a, c, score);
    for (int64_t i = 0; i < a->n; i++)
        if (!a->fits[i]) {
            loss += row_loss(a, score[i], a->y[i]);
            prior_loss += row_loss(a, start, a->y[i]);
        }
    return prior_loss > 0 ? 1 - loss / prior_loss : NAN;
}

/* How far a column alone gets, 0 for not at all. */
static double lone_skill(const qn__study *study, int32_t column) {
    double link = study->fields[column].link;
    return study->info->task == QN_TASK_BINARY ? 2 * link - 1 : link;
}

/* The columns used that get furthest alone, best first; returns how many. */
static int candidates_find(const qn__study *study, const additive *a, int32_t *candidates) {
    int n = 0;
    for (int k = 0; k < JOINT_CANDIDATES; k++) {
        int32_t best = -1;
        for (int32_t i = 0; i < a->n_columns; i++) {
            int32_t c = a->column[i];
            bool taken = false;
            for (int j = 0; j < n; j++)
                taken = taken || candidates[j] == c;
            if (!taken && lone_skill(study, c) > 0.05 &&
                (best < 0 || lone_skill(study, c) > lone_skill(study, best)))
                best = c;
        }
        if (best < 0)
            break;
        candidates[n++] = best;
    }
    return n;
}

/* Every k-th labelled row, so that at most JOINT_ROWS are used; every input that is not a suspect
 * yet. */
static qn_status additive_init(additive *a, const qn__study *study, qn_error *err) {
    int64_t step = (study->n_labelled + JOINT_ROWS - 1) / JOINT_ROWS, n = study->n_labelled / step;
    int32_t n_columns = study->frame->n_columns, n_bins = 0;
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, n);
    qn_cleanup(qn_freep) int32_t *bin = qn_new_array(int32_t, n);
    a->y = qn_new_array(double, n);
    a->fits = qn_new_array(bool, n);
    a->column = qn_new_array(int32_t, n_columns);
    a->bins = qn_new_array(uint8_t, n * n_columns);
    if (!rows || !bin || !a->y || !a->fits || !a->column || !a->bins)
        return qn_error_memory(err);
    double sum = 0, n_fit = 0;
    for (int64_t i = 0; i < n; i++) {
        rows[i] = study->labelled[i * step];
        a->y[i] = study->y[rows[i]];
        a->fits[i] = qn_rng_hash(study->options->seed ^ JOINT_SEED, (uint64_t)rows[i]) % 3 > 0;
        sum += a->fits[i] ? a->y[i] : 0;
        n_fit += a->fits[i];
    }
    a->n = n;
    a->is_binary = study->info->task == QN_TASK_BINARY;
    a->prior = n_fit > 0 ? sum / n_fit : 0;
    for (int32_t c = 0; c < n_columns; c++) {
        const qn__field *field = &study->fields[c];
        if (field->is_target || field->partner >= 0 || qn__is_leak(study, field) ||
            qn__is_missingness_leak(study, field))
            continue;
        QN_TRY(bins_make(field->column, rows, n, JOINT_BINS, JOINT_BINS, bin, &n_bins, err));
        for (int64_t i = 0; i < n; i++)
            a->bins[a->n_columns * n + i] = (uint8_t)bin[i];
        a->column[a->n_columns++] = c;
    }
    return QN_OK;
}

static qn_status joint_fit(qn__study *study, qn_error *err) {
    qn_cleanup(additive_done) additive a = {0};
    QN_TRY(additive_init(&a, study, err));
    int32_t left_out[1 + JOINT_CANDIDATES] = {-1};
    int n_fits = 1 + candidates_find(study, &a, left_out + 1);
    if (a.n_columns < 2 || n_fits == 1 || (a.is_binary && (a.prior <= 0 || a.prior >= 1)))
        return QN_OK;
    QN_TRY(qn_job_check(study->job, err));
    qn_cleanup(qn_freep) double *score = qn_new_array(double, a.n * n_fits);
    if (!score)
        return qn_error_memory(err);
    double skill[1 + JOINT_CANDIDATES];
#pragma omp parallel for schedule(dynamic, 1) num_threads(qn_job_threads(study->job))
    for (int k = 0; k < n_fits; k++)
        skill[k] = additive_skill(&a, left_out[k], score + k * a.n);
    study->joint = skill[0];
    for (int k = 1; k < n_fits; k++)
        study->fields[left_out[k]].without = skill[k];
    return QN_OK;
}

qn_status qn__profile_joint(qn__study *study, qn_error *err) {
    if (study->info->task == QN_TASK_REGRESSION)
        find_pairs(study);
    if (study->info->task == QN_TASK_MULTICLASS || study->n_labelled < 500 ||
        study->n_minority < 50 || study->frame->n_columns > JOINT_COLUMNS)
        return QN_OK;
    return joint_fit(study, err);
}
