#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/column_int.h"
#include "data/profile_int.h"

const double qn__quantile_levels[QN__QUANTILES] = {0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1};

/* ---- distinct values ---- */

enum { TALLY_SLOTS = 4 * QN__DISTINCT_MAX, REGISTERS = 1 << 12 };

typedef struct tally_slot {
    uint64_t hash;
    int64_t count; /* 0: free */
    int64_t row;   /* the first that has it */
} tally_slot;

/* Exact counts of up to QN__DISTINCT_MAX values by the hash of each; beyond that HyperLogLog
 * (Flajolet et al. 2007; standard error 1.04 / sqrt(4096) = 1.6%). */
typedef struct tally {
    tally_slot *slots; /* owned */
    int n;
    bool overflowed;
    uint8_t registers[REGISTERS];
} tally;

static void tally_done(tally *t) {
    qn_freep(&t->slots);
}

static void tally_add(tally *t, uint64_t hash, int64_t row) {
    uint64_t mixed = qn_rng_hash(0, hash);
    uint8_t rank = (uint8_t)(__builtin_clzll((mixed << 12) | 1) + 1);
    uint8_t *reg = &t->registers[mixed >> 52];
    *reg = rank > *reg ? rank : *reg;
    if (t->overflowed)
        return;
    size_t i = mixed % TALLY_SLOTS;
    while (t->slots[i].count > 0 && t->slots[i].hash != hash)
        i = (i + 1) % TALLY_SLOTS;
    if (t->slots[i].count == 0) {
        if (t->n == QN__DISTINCT_MAX) {
            t->overflowed = true;
            return;
        }
        t->slots[i].hash = hash;
        t->slots[i].row = row;
        t->n++;
    }
    t->slots[i].count++;
}

static int64_t tally_estimate(const tally *t, int64_t n_valid) {
    double sum = 0, n_zero = 0, m = REGISTERS;
    for (int i = 0; i < REGISTERS; i++) {
        sum += ldexp(1, -t->registers[i]);
        n_zero += t->registers[i] == 0;
    }
    double estimate = 0.7213 / (1 + 1.079 / m) * m * m / sum;
    if (estimate < 2.5 * m && n_zero > 0)
        estimate = m * log(m / n_zero);
    int64_t n = llround(estimate);
    return n > n_valid ? n_valid : n < QN__DISTINCT_MAX + 1 ? QN__DISTINCT_MAX + 1 : n;
}

static int compare_slots(const void *a, const void *b) {
    const tally_slot *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static void tally_finish(tally *t, qn__field *field) {
    field->distinct_exact = !t->overflowed;
    field->n_distinct = t->overflowed ? tally_estimate(t, field->n_valid) : t->n;
    bool wants_top = !t->overflowed && (!qn__is_number(field->column) || t->n <= 100);
    if (!wants_top || field->column->type == QN_TYPE_TIME)
        return;
    qsort(t->slots, TALLY_SLOTS, sizeof t->slots[0], compare_slots);
    for (int i = 0; i < QN__TOP && i < t->n; i++)
        field->top[field->n_top++] = (qn__top_value){t->slots[i].count, t->slots[i].row};
}

static uint64_t value_hash(const qn_column *column, int64_t row) {
    if (qn__is_number(column)) {
        double number = 0;
        uint64_t bits;
        if (column->type == QN_TYPE_BOOL)
            return column->b[row];
        if (column->type != QN_TYPE_F64)
            return (uint64_t)column->i64[row];
        number = column->f64[row] + 0.0; /* -0 is 0 */
        memcpy(&bits, &number, sizeof bits);
        return bits;
    }
    size_t n = 0;
    const char *text = qn_column_text(column, row, &n);
    return qn_hash64(text, n, 0);
}

#define MISSING_HASH UINT64_C(0x9e3779b97f4a7c15)

static qn_status study_distinct(qn__field *field, qn_error *err) {
    const qn_column *column = field->column;
    qn_cleanup(tally_done) tally t = {0};
    t.slots = qn_new_array(tally_slot, TALLY_SLOTS);
    if (!t.slots)
        return qn_error_memory(err);
    /* A category's texts are hashed once each, not once per row. */
    qn_cleanup(qn_freep) uint64_t *of_code = NULL;
    if (column->type == QN_TYPE_CATEGORY) {
        int32_t n_codes = qn_dict_size(column->dict);
        of_code = qn_new_array(uint64_t, n_codes);
        if (!of_code)
            return qn_error_memory(err);
        for (int32_t code = 0; code < n_codes; code++) {
            size_t n = 0;
            const char *text = qn_dict_text(column->dict, code, &n);
            of_code[code] = qn_hash64(text, n, 0);
        }
    }
    uint64_t whole = 0;
    for (int64_t i = 0; i < column->n_rows; i++) {
        uint64_t hash = MISSING_HASH;
        if (qn_column_is_valid(column, i)) {
            hash = of_code ? of_code[column->code[i]] : value_hash(column, i);
            tally_add(&t, hash, i);
        }
        whole = (whole ^ hash) * UINT64_C(0xff51afd7ed558ccd);
        whole ^= whole >> 32;
    }
    field->hash = whole;
    tally_finish(&t, field);
    return QN_OK;
}

/* ---- numbers ---- */

static double number_at(const qn_column *column, int64_t row) {
    switch (column->type) {
    case QN_TYPE_BOOL: return column->b[row];
    case QN_TYPE_F64: return column->f64[row];
    default: return (double)column->i64[row];
    }
}

static void study_moments(qn__field *field) {
    const qn_column *column = field->column;
    double sum = 0, squares = 0, last = NAN, min = INFINITY, max = -INFINITY;
    int64_t n = 0, n_up = 0, n_down = 0;
    bool is_whole = true;
    for (int64_t i = 0; i < column->n_rows; i++) {
        if (!qn_column_is_valid(column, i))
            continue;
        double x = number_at(column, i);
        if (isinf(x)) {
            field->n_infinite++;
            continue;
        }
        n++;
        sum += x;
        min = x < min ? x : min;
        max = x > max ? x : max;
        is_whole = is_whole && x == floor(x);
        n_up += x > last;
        n_down += x < last;
        last = x;
    }
    field->is_whole = is_whole;
    field->is_monotone = n > 1 && (n_up == n - 1 || n_down == n - 1);
    field->min = n ? min : NAN;
    field->max = n ? max : NAN;
    field->mean = n ? sum / (double)n : NAN;
    for (int64_t i = 0; i < column->n_rows; i++)
        if (qn_column_is_valid(column, i) && !isinf(number_at(column, i))) {
            double d = number_at(column, i) - field->mean;
            squares += d * d;
        }
    field->std = n > 1 ? sqrt(squares / (double)(n - 1)) : n ? 0 : NAN;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The finite values of the sample, sorted; owned by the caller. */
static qn_status sorted_sample(const qn__study *study, const qn_column *column, double **ret,
                               int64_t *ret_n, qn_error *err) {
    double *x = qn_new_array(double, study->n_sample);
    if (!x)
        return qn_error_memory(err);
    int64_t n = 0;
    for (int64_t i = 0; i < study->n_sample; i++) {
        int64_t row = study->sample[i];
        if (qn_column_is_valid(column, row) && !isinf(number_at(column, row)))
            x[n++] = number_at(column, row);
    }
    qsort(x, (size_t)n, sizeof x[0], compare_doubles);
    *ret = x;
    *ret_n = n;
    return QN_OK;
}

/* Linear interpolation between the order statistics around p (n - 1). */
static double quantile_of(const double *x, int64_t n, double p) {
    double at = p * (double)(n - 1);
    int64_t i = (int64_t)floor(at);
    double rest = at - (double)i;
    return i + 1 < n ? x[i] + rest * (x[i + 1] - x[i]) : x[n - 1];
}

/* Whole numbers of a small range get a bar each. Else 20 bars of equal width from min to max; when
 * a few far values would press all the others into one bar, the first and last bar take the tails
 * beyond the 1% and 99% quantiles. */
static void histogram_edges(qn__field *field) {
    double low = field->min, high = field->max;
    int n_bars = QN__EDGES - 1;
    if (field->is_whole && high - low < n_bars) {
        field->n_edges = (int)(high - low) + 2;
        for (int i = 0; i < field->n_edges; i++)
            field->edges[i] = low + i;
        return;
    }
    field->n_edges = high > low ? n_bars + 1 : 2;
    double inner_low = field->quantiles[1], inner_high = field->quantiles[7];
    bool has_tails = inner_high > inner_low && high - low > 4 * (inner_high - inner_low);
    for (int i = 0; i < field->n_edges; i++) {
        field->edges[i] = low + (high - low) * i / (field->n_edges - 1);
        if (has_tails)
            field->edges[i] = inner_low + (inner_high - inner_low) * (i - 1) / (n_bars - 2);
    }
    field->edges[0] = low < field->edges[1] || !has_tails ? low : field->edges[1];
    field->edges[field->n_edges - 1] = high;
}

static void histogram_count(qn__field *field) {
    const qn_column *column = field->column;
    int n_bars = field->n_edges - 1;
    for (int64_t i = 0; i < column->n_rows; i++) {
        if (!qn_column_is_valid(column, i) || isinf(number_at(column, i)))
            continue;
        double x = number_at(column, i);
        int low = 0, high = n_bars; /* edges[low] <= x, and x < edges[high] or high is the last */
        while (high - low > 1) {
            int middle = (low + high) / 2;
            if (x >= field->edges[middle])
                low = middle;
            else
                high = middle;
        }
        field->counts[low]++;
    }
}

/* -999, 9999 and their kin standing far outside everything else: the smallest or largest value,
 * repeated, with a gap to the next one wider than half the range of all others (or alone below
 * zero). */
static void study_sentinel(qn__field *field, const double *x, int64_t n) {
    if (n < 20 || x[0] == x[n - 1])
        return;
    for (int side = 0; side < 2; side++) {
        double value = side == 0 ? x[0] : x[n - 1], size = fabs(value);
        bool nines = size == 99 || size == 999 || size == 9999 || size == 99999 || size == 999999 ||
                     size == 9999999;
        if (!nines || (value == 99 && side == 1))
            continue;
        int64_t n_same = 0;
        while (n_same < n && x[side == 0 ? n_same : n - 1 - n_same] == value)
            n_same++;
        double next = x[side == 0 ? n_same : n - 1 - n_same];
        double rest = side == 0 ? x[n - 1] - next : next - x[0];
        bool is_far = fabs(next - value) > rest / 2 || (value < 0 && next >= 0);
        if (n_same >= 3 && is_far) {
            field->sentinel = value;
            field->n_sentinel = n_same;
        }
    }
}

static qn_status study_numbers(const qn__study *study, qn__field *field, qn_error *err) {
    study_moments(field);
    qn_cleanup(qn_freep) double *x = NULL;
    int64_t n = 0, n_distinct = 0;
    QN_TRY(sorted_sample(study, field->column, &x, &n, err));
    for (int64_t i = 0; i < n; i++)
        n_distinct += i == 0 || x[i] != x[i - 1];
    field->distinct_share = n ? (double)n_distinct / (double)n : 0;
    if (study->n_sample == field->column->n_rows && field->n_infinite == 0) {
        field->n_distinct = n_distinct;
        field->distinct_exact = true;
    }
    if (n == 0 || isnan(field->min))
        return QN_OK;
    for (int q = 0; q < QN__QUANTILES; q++)
        field->quantiles[q] = quantile_of(x, n, qn__quantile_levels[q]);
    field->quantiles[0] = field->min;
    field->quantiles[QN__QUANTILES - 1] = field->max;
    histogram_edges(field);
    histogram_count(field);
    study_sentinel(field, x, n);
    return QN_OK;
}

/* ---- texts ---- */

static int count_words(const char *text, size_t n) {
    int words = 0;
    for (size_t i = 0; i < n; i++) {
        bool space = text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r';
        bool before = i == 0 || text[i - 1] == ' ' || text[i - 1] == '\t' || text[i - 1] == '\n' ||
                      text[i - 1] == '\r';
        words += !space && before;
    }
    return words;
}

static void study_texts(const qn__study *study, qn__field *field) {
    const qn_column *column = field->column;
    int64_t n = 0, n_dates = 0, n_looked = 0;
    double length = 0, words = 0;
    int64_t step = study->n_sample / 2000 + 1;
    for (int64_t i = 0; i < study->n_sample; i++) {
        size_t bytes = 0;
        const char *text = qn_column_text(column, study->sample[i], &bytes);
        if (!text)
            continue;
        n++;
        for (size_t k = 0; k < bytes; k++)
            length += ((unsigned char)text[k] & 0xc0) != 0x80; /* not a UTF-8 continuation */
        words += count_words(text, bytes);
        if (i % step == 0) {
            n_looked++;
            n_dates += qn__looks_like_date(text, bytes);
        }
    }
    field->mean_length = n ? length / (double)n : NAN;
    field->mean_words = n ? words / (double)n : NAN;
    field->date_share = n_looked ? (double)n_dates / (double)n_looked : 0;
    field->distinct_share = field->n_valid ? (double)field->n_distinct / (double)field->n_valid : 0;
}

/* ---- dates ---- */

static bool read_group(const char **at, const char *end, int *ret_digits, int *ret_value) {
    int digits = 0, value = 0;
    for (; *at < end && **at >= '0' && **at <= '9' && digits < 5; ++*at, digits++)
        value = value * 10 + (**at - '0');
    *ret_digits = digits;
    *ret_value = value;
    return digits > 0 && digits < 5;
}

static bool read_month_name(const char **at, const char *end) {
    static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";
    if (end - *at < 3)
        return false;
    for (int m = 0; m < 12; m++)
        if (strncasecmp(*at, names + 3 * m, 3) == 0) {
            while (*at < end && ((**at | 32) >= 'a' && (**at | 32) <= 'z'))
                ++*at;
            return true;
        }
    return false;
}

/* Nothing, or a separator and then digits, colons and the letters of a time of day. */
static bool rest_is_time(const char *at, const char *end) {
    if (at == end)
        return true;
    if (*at != ' ' && *at != 'T' && *at != ',')
        return false;
    for (at++; at < end; at++)
        if (!((*at >= '0' && *at <= '9') || strchr(" :.+-ZAPMapm", *at)))
            return false;
    return true;
}

bool qn__looks_like_date(const char *bytes, size_t n) {
    int64_t us;
    if (n < 6 || n > 40)
        return false;
    if (qn__time_parse(bytes, n, &us))
        return true;
    const char *at = bytes, *end = bytes + n;
    int digits[3] = {0}, value[3] = {0};
    char separator = 0;
    for (int i = 0; i < 3; i++) {
        bool is_name = i < 2 && read_month_name(&at, end);
        if (is_name)
            digits[i] = value[i] = 1;
        else if (!read_group(&at, end, &digits[i], &value[i]))
            return false;
        if (i == 2)
            break;
        if (at == end || !strchr("/-. ", *at) || (separator && separator != *at))
            return false;
        separator = *at++;
    }
    bool year_first = digits[0] == 4 && digits[1] <= 2 && digits[2] <= 2;
    bool year_last = digits[0] <= 2 && digits[1] <= 2 && (digits[2] == 4 || digits[2] == 2);
    if (!year_first && !year_last)
        return false;
    int a = year_first ? value[1] : value[0], b = year_first ? value[2] : value[1];
    bool in_range = a >= 1 && b >= 1 && a <= 31 && b <= 31 && (a <= 12 || b <= 12);
    return in_range && rest_is_time(at, end);
}

qn_status qn__profile_column(const qn__study *study, qn__field *field, qn_error *err) {
    const qn_column *column = field->column;
    field->n_valid = column->n_rows - column->n_null;
    QN_TRY(study_distinct(field, err));
    if (qn__is_number(column))
        return study_numbers(study, field, err);
    study_texts(study, field);
    return QN_OK;
}
