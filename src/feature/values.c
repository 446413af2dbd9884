/* values.c - what flows through a chain, and what transforms share: categories, numbers, bytes. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "feature/feature_int.h"

void qn__values_done(qn__values *values) {
    if (!values)
        return;
    if (!values->borrowed) {
        qn_freep(&values->num);
        qn_freep(&values->code);
    }
    qn_freep(&values->time_us);
    qn_freep(&values->start);
    qn_freep(&values->feature);
    qn_freep(&values->weight);
    qn_dict_free(&values->own_dict);
    *values = (qn__values){0};
}

double *qn__out_numbers(qn__values *out) {
    if (!out->num)
        out->num = qn_malloc_aligned((size_t)out->n_rows, sizeof *out->num);
    return out->num;
}

int32_t *qn__out_codes(qn__values *out) {
    if (!out->code)
        out->code = qn_malloc_aligned((size_t)out->n_rows, sizeof *out->code);
    return out->code;
}

static void gather_numbers(const qn_column *column, const int64_t *rows, int64_t n,
                           const qn__seen *seen, double *num) {
    for (int64_t i = 0; i < n; i++) {
        int64_t r = rows ? rows[i] : i;
        double x = column->type == QN_TYPE_F64   ? column->f64[r]
                   : column->type == QN_TYPE_I64 ? (double)column->i64[r]
                                                 : column->b[r];
        if (column->valid && !qn_column_is_valid(column, r))
            x = NAN;
        else if (isinf(x))
            x = x > 0 ? seen->high : seen->low;
        num[i] = x;
    }
}

qn_status qn__values_gather(const qn_column *column, const int64_t *rows, int64_t n_rows,
                            const qn__seen *seen, double *num, qn__values *ret, qn_error *err) {
    qn__values values = {.kind = qn__kind_of_type(column->type), .n_rows = n_rows};
    if (values.kind == QN__NUMBER) {
        values.num = num;
        values.borrowed = num != NULL;
        if (!qn__out_numbers(&values))
            return qn_error_memory(err);
        gather_numbers(column, rows, n_rows, seen, values.num);
    } else if (values.kind == QN__CATEGORY) {
        if (!qn__out_codes(&values))
            return qn_error_memory(err);
        for (int64_t i = 0; i < n_rows; i++) {
            int64_t r = rows ? rows[i] : i;
            values.code[i] = qn_column_is_valid(column, r) ? column->code[r] : -1;
        }
        values.dict = column->dict;
    } else if (values.kind == QN__TIME) {
        values.time_us = qn_malloc_aligned((size_t)n_rows, sizeof *values.time_us);
        if (!values.time_us)
            return qn_error_memory(err);
        for (int64_t i = 0; i < n_rows; i++) {
            int64_t r = rows ? rows[i] : i;
            values.time_us[i] = qn_column_is_valid(column, r) ? column->time_us[r] : QN__NO_TIME;
        }
    } else {
        values.column = column;
        values.rows = rows;
    }
    *ret = values;
    return QN_OK;
}

const char *qn__value_text(const qn__values *values, int64_t i, size_t *ret_bytes) {
    if (values->kind == QN__CATEGORY)
        return values->code[i] < 0 ? NULL : qn_dict_text(values->dict, values->code[i], ret_bytes);
    return qn_column_text(values->column, values->rows ? values->rows[i] : i, ret_bytes);
}

qn_status qn__as_category(const qn__values *in, qn__values *ret, qn_error *err) {
    qn__values values = {.kind = QN__CATEGORY, .n_rows = in->n_rows};
    if (in->kind == QN__CATEGORY) {
        values.code = in->code;
        values.dict = in->dict;
        values.borrowed = true;
        *ret = values;
        return QN_OK;
    }
    values.own_dict = qn_dict_new();
    values.dict = values.own_dict;
    if (!values.own_dict || !qn__out_codes(&values)) {
        qn__values_done(&values);
        return qn_error_memory(err);
    }
    for (int64_t i = 0; i < in->n_rows; i++) {
        char number[QN_DOUBLE_TEXT];
        const char *text = number;
        size_t n = 0;
        if (in->kind == QN__TEXT)
            text = qn__value_text(in, i, &n);
        else if (isnan(in->num[i]))
            text = NULL;
        else
            n = qn_number_to_text(in->num[i], number);
        values.code[i] = text ? qn_dict_add(values.own_dict, text, n) : -1;
        if (text && values.code[i] < 0) {
            qn__values_done(&values);
            return qn_error_memory(err);
        }
    }
    *ret = values;
    return QN_OK;
}

static int compare_counts(const qn__count *a, const qn__count *b) {
    if (a->n != b->n)
        return a->n > b->n ? -1 : 1;
    size_t n = a->bytes < b->bytes ? a->bytes : b->bytes;
    int order = n ? memcmp(a->text, b->text, n) : 0;
    return order ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static int compare_counts_any(const void *a, const void *b) {
    return compare_counts(a, b);
}

qn_status qn__count_categories(const qn__values *in, qn__count **ret_counts, int32_t *ret_n,
                               qn_error *err) {
    int32_t n_codes = qn_dict_size(in->dict), n = 0;
    qn_cleanup(qn_freep) qn__count *counts = qn_new_array(qn__count, n_codes);
    if (!counts)
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n_rows; i++)
        if (in->code[i] >= 0)
            counts[in->code[i]].n++;
    for (int32_t c = 0; c < n_codes; c++) {
        if (counts[c].n == 0)
            continue;
        qn__count count = {.code = c, .n = counts[c].n};
        count.text = qn_dict_text(in->dict, c, &count.bytes);
        counts[n++] = count;
    }
    qsort(counts, (size_t)n, sizeof *counts, compare_counts_any);
    *ret_counts = qn_steal(&counts);
    *ret_n = n;
    return QN_OK;
}

qn_dict *qn__counts_dict(const qn__count *counts, int32_t n) {
    qn_cleanup(qn_dict_free) qn_dict *dict = qn_dict_new();
    for (int32_t i = 0; dict && i < n; i++)
        if (qn_dict_add(dict, counts[i].text, counts[i].bytes) != i)
            return NULL;
    return qn_steal(&dict);
}

qn_status qn__map_codes(const qn__values *in, const qn_dict *dict, int32_t *codes, qn_error *err) {
    int32_t n_codes = qn_dict_size(in->dict);
    qn_cleanup(qn_freep) int32_t *map = NULL;
    if (in->n_rows > n_codes) {
        map = qn_new_array(int32_t, n_codes);
        if (!map)
            return qn_error_memory(err);
    }
    for (int32_t c = 0; map && c < n_codes; c++) {
        size_t n;
        const char *text = qn_dict_text(in->dict, c, &n);
        map[c] = qn_dict_find(dict, text, n);
    }
    for (int64_t i = 0; i < in->n_rows; i++) {
        size_t n;
        int32_t code = in->code[i];
        if (code < 0)
            codes[i] = -2;
        else if (map)
            codes[i] = map[code];
        else {
            const char *text = qn_dict_text(in->dict, code, &n);
            codes[i] = qn_dict_find(dict, text, n);
        }
    }
    return QN_OK;
}

/* --- saving and loading --- */

void qn__put_text(qn_buf *out, const char *text, size_t n) {
    qn_buf_put_u32(out, (uint32_t)n);
    qn_buf_put(out, text, n);
}

void qn__put_dict(qn_buf *out, const qn_dict *dict) {
    int32_t size = qn_dict_size(dict);
    qn_buf_put_u64(out, (uint64_t)size);
    for (int32_t i = 0; i < size; i++) {
        size_t n;
        const char *text = qn_dict_text(dict, i, &n);
        qn__put_text(out, text, n);
    }
}

void qn__put_numbers(qn_buf *out, const double *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        qn_buf_put_f64(out, x[i]);
}

qn_status qn__damaged(qn_error *err) {
    return qn_error_set(err, QN_ERR_FORMAT, "the feature pipeline is damaged");
}

qn_status qn__read_count(qn_reader *reader, size_t item_bytes, int64_t max, int64_t *ret,
                         qn_error *err) {
    uint64_t n = qn_reader_u64(reader);
    if (reader->failed || n > (uint64_t)max || n > (reader->len - reader->pos) / item_bytes)
        return qn__damaged(err);
    *ret = (int64_t)n;
    return QN_OK;
}

qn_status qn__read_text(qn_reader *reader, char **ret, size_t *ret_bytes, qn_error *err) {
    uint32_t n = qn_reader_u32(reader);
    const char *bytes = reader->failed ? NULL : qn_reader_bytes(reader, n);
    if (reader->failed || (!bytes && n > 0))
        return qn__damaged(err);
    char *text = qn_strndup(n ? bytes : "", n);
    if (!text)
        return qn_error_memory(err);
    *ret = text;
    if (ret_bytes)
        *ret_bytes = n;
    return QN_OK;
}

qn_status qn__read_dict(qn_reader *reader, qn_dict **ret, qn_error *err) {
    int64_t size;
    QN_TRY(qn__read_count(reader, 4, INT32_MAX - 1, &size, err));
    qn_cleanup(qn_dict_free) qn_dict *dict = qn_dict_new();
    if (!dict)
        return qn_error_memory(err);
    for (int64_t i = 0; i < size; i++) {
        uint32_t n = qn_reader_u32(reader);
        const char *bytes = reader->failed ? NULL : qn_reader_bytes(reader, n);
        if (reader->failed || (!bytes && n > 0) || qn_dict_find(dict, n ? bytes : "", n) >= 0)
            return qn__damaged(err);
        if (qn_dict_add(dict, n ? bytes : "", n) != i)
            return qn_error_memory(err);
    }
    *ret = qn_steal(&dict);
    return QN_OK;
}

qn_status qn__read_finite(qn_reader *reader, double *ret, qn_error *err) {
    double x = qn_reader_f64(reader);
    if (reader->failed || !isfinite(x))
        return qn__damaged(err);
    *ret = x;
    return QN_OK;
}

qn_status qn__read_numbers(qn_reader *reader, int64_t n, double **ret, qn_error *err) {
    if (n < 0 || (uint64_t)n > (reader->len - reader->pos) / 8)
        return qn__damaged(err);
    qn_cleanup(qn_freep) double *x = qn_new_array(double, n);
    if (!x)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++)
        QN_TRY(qn__read_finite(reader, &x[i], err));
    *ret = qn_steal(&x);
    return QN_OK;
}

/* --- numbers --- */

static int compare_numbers(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void qn__sort_numbers(double *x, int64_t n) {
    qsort(x, (size_t)n, sizeof *x, compare_numbers);
}

qn_status qn__sorted(const double *x, int64_t n, double **ret, int64_t *ret_n, qn_error *err) {
    double *sorted = qn_new_array(double, n);
    if (!sorted)
        return qn_error_memory(err);
    int64_t n_there = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(x[i]))
            sorted[n_there++] = x[i] + 0.0; /* -0 becomes 0: equal keys must have equal bytes */
    qn__sort_numbers(sorted, n_there);
    *ret = sorted;
    *ret_n = n_there;
    return QN_OK;
}

double qn__quantile(const double *sorted, int64_t n, double q) {
    double at = q * (double)(n - 1), low = floor(at);
    int64_t i = (int64_t)low;
    if (i >= n - 1)
        return sorted[n - 1];
    double share = at - low, a = sorted[i], b = sorted[i + 1];
    /* from the nearer end, as numpy does: exact at both */
    return qn__finite(share < 0.5 ? a + (b - a) * share : b - (b - a) * (1 - share));
}

static double rational(const double top[8], const double bottom[8], double r) {
    double p = top[7], q = bottom[7];
    for (int i = 6; i >= 0; i--) {
        p = p * r + top[i];
        q = q * r + bottom[i];
    }
    return p / q;
}

double qn__normal_quantile(double p) {
    static const double a[8] = {3.3871328727963666080e0, 1.3314166789178437745e2,
                                1.9715909503065514427e3, 1.3731693765509461125e4,
                                4.5921953931549871457e4, 6.7265770927008700853e4,
                                3.3430575583588128105e4, 2.5090809287301226727e3};
    static const double b[8] = {1,
                                4.2313330701600911252e1,
                                6.8718700749205790830e2,
                                5.3941960214247511077e3,
                                2.1213794301586595867e4,
                                3.9307895800092710610e4,
                                2.8729085735721942674e4,
                                5.2264952788528545610e3};
    static const double c[8] = {1.42343711074968357734e0, 4.63033784615654529590e0,
                                5.76949722146069140550e0, 3.64784832476320460504e0,
                                1.27045825245236838258e0, 2.41780725177450611770e-1,
                                2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[8] = {1, 2.05319162663775882187e0, 1.67638483018380384940e0,
                                6.89767334985100004550e-1, 1.48103976427480074590e-1,
                                1.51986665636164571966e-2, 5.47593808499534494600e-4,
                                1.05075007164441684324e-9};
    static const double e[8] = {6.65790464350110377720e0, 5.46378491116411436990e0,
                                1.78482653991729133580e0, 2.96560571828504891230e-1,
                                2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double f[8] = {1, 5.99832206555887937690e-1, 1.36929880922735805310e-1,
                                1.48753612908506148525e-2, 7.86869131145613259100e-4,
                                1.84631831751005468180e-5, 1.42151175831644588870e-7,
                                2.04426310338993978564e-15};
    double q = p - 0.5;
    if (fabs(q) <= 0.425)
        return q * rational(a, b, 0.180625 - q * q);
    double r = sqrt(-log(q < 0 ? p : 1 - p));
    double x = r <= 5 ? rational(c, d, r - 1.6) : rational(e, f, r - 5);
    return q < 0 ? -x : x;
}

void qn__name_same(const qn__state *state, const char *in, int32_t i, qn_buf *out) {
    qn_buf_put_text(out, in);
}
