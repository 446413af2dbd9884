#include "data/target.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

/* More distinct whole numbers than this make a regression. */
enum { FEW_CLASSES = 20 };

const char *qn_task_name(qn_task task) {
    return task == QN_TASK_BINARY       ? "binary"
           : task == QN_TASK_MULTICLASS ? "multiclass"
                                        : "regression";
}

bool qn_task_from_name(const char *name, qn_task *ret_task) {
    for (qn_task task = QN_TASK_BINARY; task <= QN_TASK_REGRESSION; task++)
        if (strcmp(qn_task_name(task), name) == 0) {
            *ret_task = task;
            return true;
        }
    return false;
}

void qn_target_info_done(qn_target_info *info) {
    if (!info)
        return;
    qn_freep(&info->name);
    for (int32_t k = 0; info->classes && k < info->n_classes; k++)
        qn_freep(&info->classes[k]);
    qn_freep(&info->classes);
    *info = (qn_target_info){0};
}

/* The distinct labels of a column and how often each occurs. */
typedef struct label_counts {
    qn_dict *dict;  /* owned */
    int64_t *count; /* owned; one per code */
    size_t cap;
    int64_t n_rows; /* not missing */
    bool all_numbers, all_whole;
} label_counts;

static void label_counts_done(label_counts *labels) {
    qn_dict_free(&labels->dict);
    qn_freep(&labels->count);
}

static bool is_text_type(qn_type type) {
    return type == QN_TYPE_CATEGORY || type == QN_TYPE_TEXT;
}

/* Numbers have one label each, however they were written: 1 and 1.0 are the same class. */
static void put_label(const qn_column *column, int64_t i_row, qn_buf *out) {
    if (column->type == QN_TYPE_F64 && column->f64[i_row] == floor(column->f64[i_row]) &&
        fabs(column->f64[i_row]) < 0x1p53)
        qn_buf_printf(out, "%lld", (long long)column->f64[i_row]);
    else
        qn_column_format(column, i_row, out);
}

static qn_status add_label(label_counts *labels, const char *text, size_t n, qn_error *err) {
    const int32_t code = qn_dict_add(labels->dict, text, n);
    if (code < 0)
        return qn_error_memory(err);
    if ((size_t)code >= labels->cap) {
        const size_t cap = labels->cap ? 2 * labels->cap : 64;
        int64_t *count = qn_realloc(labels->count, cap, sizeof *count);
        if (!count)
            return qn_error_memory(err);
        memset(count + labels->cap, 0, (cap - labels->cap) * sizeof *count);
        labels->count = count;
        labels->cap = cap;
    }
    labels->count[code]++;
    labels->n_rows++;
    return QN_OK;
}

/* Counting stops at one label more than could be classes: a regression has no use for them. */
static qn_status count_labels(const qn_column *column, label_counts *labels, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    labels->dict = qn_dict_new();
    if (!labels->dict)
        return qn_error_memory(err);
    for (int64_t i = 0; i < column->n_rows && qn_dict_size(labels->dict) <= QN_LIMIT_CLASSES; i++) {
        if (!qn_column_is_valid(column, i))
            continue;
        qn_buf_clear(&text);
        put_label(column, i, &text);
        QN_TRY(qn_buf_status(&text, err));
        QN_TRY(add_label(labels, qn_buf_text(&text), text.len, err));
    }
    labels->all_numbers = labels->all_whole = true;
    for (int32_t code = 0; code < qn_dict_size(labels->dict); code++) {
        double x = 0;
        const bool is_number = qn_text_to_double(qn_dict_text(labels->dict, code, NULL), &x);
        labels->all_numbers &= is_number;
        labels->all_whole &= is_number && x == floor(x);
    }
    return QN_OK;
}

static qn_task guess_task(const qn_column *column, const label_counts *labels) {
    const int32_t n = qn_dict_size(labels->dict);
    if (n == 2)
        return QN_TASK_BINARY;
    if (is_text_type(column->type) || column->type == QN_TYPE_BOOL)
        return QN_TASK_MULTICLASS;
    /* Whole numbers are classes only when each comes often; else they are counts. */
    return labels->all_whole && n <= FEW_CLASSES && labels->n_rows >= 10 * (int64_t)n &&
                   column->type != QN_TYPE_TIME
               ? QN_TASK_MULTICLASS
               : QN_TASK_REGRESSION;
}

static int compare_numbers(const void *a, const void *b) {
    double x = 0, y = 0;
    if (!qn_text_to_double(*(char *const *)a, &x) || !qn_text_to_double(*(char *const *)b, &y) ||
        x == y)
        return strcmp(*(char *const *)a, *(char *const *)b);
    return x < y ? -1 : 1;
}

static int compare_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static qn_status copy_classes(const label_counts *labels, qn_target_info *info, qn_error *err) {
    const int32_t n = qn_dict_size(labels->dict);
    QN_FAIL_IF(
        n > QN_LIMIT_CLASSES, err, QN_ERR_DATA,
        "target %s has more than %d classes; set task.kind to regression if it is a quantity",
        info->name, QN_LIMIT_CLASSES);
    info->classes = qn_new_array(char *, n);
    if (!info->classes)
        return qn_error_memory(err);
    info->n_classes = n;
    for (int32_t k = 0; k < n; k++)
        if (!(info->classes[k] = qn_strdup(qn_dict_text(labels->dict, k, NULL))))
            return qn_error_memory(err);
    qsort(info->classes, (size_t)n, sizeof *info->classes,
          labels->all_numbers ? compare_numbers : compare_bytes);
    return QN_OK;
}

static bool same_label(const char *a, const char *b) {
    double x, y;
    return strcmp(a, b) == 0 || (qn_text_to_double(a, &x) && qn_text_to_double(b, &y) && x == y);
}

static int64_t count_of(const label_counts *labels, const char *label) {
    const int32_t code = qn_dict_find(labels->dict, label, strlen(label));
    return code < 0 ? 0 : labels->count[code];
}

/* Without a word from the user: what says yes, else the rarer, else the later one. */
static int choose_positive(const qn_target_info *info, const label_counts *labels) {
    static const char *const yes[] = {"1", "true", "yes", "y", "t", "positive"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        for (int k = 0; k < 2; k++)
            if (strcasecmp(info->classes[k], yes[i]) == 0)
                return k;
    return count_of(labels, info->classes[0]) < count_of(labels, info->classes[1]) ? 0 : 1;
}

static qn_status place_positive(const qn_target_options *options, const label_counts *labels,
                                qn_target_info *info, qn_error *err) {
    QN_FAIL_IF(info->n_classes != 2, err, QN_ERR_DATA,
               "target %s has %d classes, and a binary task needs two; set task.kind to multiclass",
               info->name, info->n_classes);
    int positive = -1;
    for (int k = 0; options->positive && k < 2; k++)
        if (same_label(info->classes[k], options->positive))
            positive = k;
    QN_FAIL_IF(options->positive && positive < 0, err, QN_ERR_CONFIG,
               "task.positive '%s' is not among the values of %s: '%s', '%s'", options->positive,
               info->name, info->classes[0], info->classes[1]);
    if (positive < 0)
        positive = choose_positive(info, labels);
    if (positive == 0) {
        char *label = info->classes[0];
        info->classes[0] = info->classes[1];
        info->classes[1] = label;
    }
    return QN_OK;
}

/* The first value that is not a number, by row. */
static qn_status check_numbers(const qn_column *column, qn_error *err) {
    for (int64_t i = 0; is_text_type(column->type) && i < column->n_rows; i++) {
        size_t n = 0;
        double x;
        const char *text = qn_column_text(column, i, &n);
        qn_cleanup(qn_freep) char *copy = text ? qn_strndup(text, n) : NULL;
        if (text && !copy)
            return qn_error_memory(err);
        if (text && !qn_text_to_double(copy, &x))
            return qn_error_set_at(
                err, QN_ERR_DATA, NULL, i + 1, column->name,
                "'%.100s' is not a number, and the target of a regression must be one", copy);
    }
    return QN_OK;
}

static qn_status find_task(const qn_target_options *options, const qn_column *column,
                           const label_counts *labels, qn_task *ret_task, qn_error *err) {
    const int32_t n = qn_dict_size(labels->dict);
    QN_FAIL_IF(!n, err, QN_ERR_DATA, "target %s: all its values are missing", column->name);
    *ret_task = guess_task(column, labels);
    if (options->kind && strcmp(options->kind, "ranking") == 0)
        *ret_task = QN_TASK_REGRESSION; /* of grades */
    else
        QN_FAIL_IF(options->kind && !qn_task_from_name(options->kind, ret_task), err,
                   QN_ERR_CONFIG, "task.kind '%s' is none of binary, multiclass, regression, "
                   "ranking", options->kind);
    QN_FAIL_IF(n == 1, err, QN_ERR_DATA,
               "target %s has only one value, '%s': there is nothing to predict", column->name,
               qn_dict_text(labels->dict, 0, NULL));
    QN_FAIL_IF(options->positive && *ret_task != QN_TASK_BINARY, err, QN_ERR_CONFIG,
               "task.positive is for binary tasks; %s has %d values (%s)", column->name, n,
               qn_task_name(*ret_task));
    return QN_OK;
}

qn_status qn_target_infer(const qn_frame *frame, const qn_target_options *options,
                          qn_target_info *ret_info, qn_error *err) {
    const qn_column *column = NULL;
    if (qn_frame_get(frame, options->column, &column, err) != QN_OK) {
        qn_error_prefix(err, "task.target");
        if (err && err->code == QN_ERR_NOT_FOUND)
            err->code = QN_ERR_CONFIG;
        return err ? err->code : QN_ERR_CONFIG;
    }
    qn_cleanup(label_counts_done) label_counts labels = {0};
    qn_cleanup(qn_target_info_done) qn_target_info info = {0};
    QN_TRY(count_labels(column, &labels, err));
    QN_TRY(find_task(options, column, &labels, &info.task, err));
    info.name = qn_strdup(column->name);
    if (!info.name)
        return qn_error_memory(err);
    if (info.task == QN_TASK_REGRESSION)
        QN_TRY(check_numbers(column, err));
    else
        QN_TRY(copy_classes(&labels, &info, err));
    if (info.task == QN_TASK_BINARY)
        QN_TRY(place_positive(options, &labels, &info, err));
    *ret_info = info;
    info = (qn_target_info){0};
    return QN_OK;
}

static int32_t class_of(const qn_target_info *info, const char *label) {
    for (int32_t k = 0; k < info->n_classes; k++)
        if (strcmp(info->classes[k], label) == 0)
            return k;
    for (int32_t k = 0; k < info->n_classes; k++)
        if (same_label(info->classes[k], label))
            return k;
    return -1;
}

static qn_status unknown_class(const qn_column *column, int64_t i_row, const char *label,
                               qn_error *err) {
    return qn_error_set_at(err, QN_ERR_DATA, NULL, i_row + 1, column->name,
                           "'%.100s' is none of the target's classes", label);
}

/* Each distinct label of a dictionary is looked up once. */
static qn_status category_values(const qn_column *column, const qn_target_info *info, double *y,
                                 qn_error *err) {
    qn_cleanup(qn_freep) int32_t *classes = qn_new_array(int32_t, qn_dict_size(column->dict));
    if (!classes)
        return qn_error_memory(err);
    for (int32_t code = 0; code < qn_dict_size(column->dict); code++)
        classes[code] = class_of(info, qn_dict_text(column->dict, code, NULL));
    for (int64_t i = 0; i < column->n_rows; i++) {
        if (!qn_column_is_valid(column, i))
            continue;
        if (classes[column->code[i]] < 0)
            return unknown_class(column, i, qn_dict_text(column->dict, column->code[i], NULL), err);
        y[i] = classes[column->code[i]];
    }
    return QN_OK;
}

static qn_status label_values(const qn_column *column, const qn_target_info *info, double *y,
                              qn_error *err) {
    if (column->type == QN_TYPE_CATEGORY)
        return category_values(column, info, y, err);
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    for (int64_t i = 0; i < column->n_rows; i++) {
        if (!qn_column_is_valid(column, i))
            continue;
        qn_buf_clear(&text);
        put_label(column, i, &text);
        QN_TRY(qn_buf_status(&text, err));
        const int32_t k = class_of(info, qn_buf_text(&text));
        if (k < 0)
            return unknown_class(column, i, qn_buf_text(&text), err);
        y[i] = k;
    }
    return QN_OK;
}

static qn_status number_values(const qn_column *column, double *y, qn_error *err) {
    QN_TRY(check_numbers(column, err));
    for (int64_t i = 0; i < column->n_rows; i++) {
        size_t n = 0;
        const char *text = qn_column_text(column, i, &n);
        qn_cleanup(qn_freep) char *copy = text ? qn_strndup(text, n) : NULL;
        if (!is_text_type(column->type))
            y[i] = qn_column_number(column, i);
        else if (text && (!copy || !qn_text_to_double(copy, &y[i])))
            return qn_error_memory(err);
    }
    return QN_OK;
}

qn_status qn_target_values(const qn_frame *frame, const qn_target_info *info, double **ret_y,
                           qn_error *err) {
    const qn_column *column = NULL;
    QN_TRY(qn_frame_get(frame, info->name, &column, err));
    qn_cleanup(qn_freep) double *y = qn_malloc_aligned((size_t)frame->n_rows, sizeof *y);
    if (!y)
        return qn_error_memory(err);
    for (int64_t i = 0; i < frame->n_rows; i++)
        y[i] = NAN;
    QN_TRY(info->task == QN_TASK_REGRESSION ? number_values(column, y, err)
                                            : label_values(column, info, y, err));
    *ret_y = qn_steal(&y);
    return QN_OK;
}
