#include "evaluate/confusion.h"

#include "base/limits.h"
#include "base/mem.h"

static int32_t largest(const double *scores, int32_t n) {
    int32_t best = 0;
    for (int32_t k = 1; k < n; k++) {
        if (scores[k] > scores[best])
            best = k;
    }
    return best;
}

static json_t *labels_to_json(const qn_target_info *target, int32_t n_classes) {
    json_t *labels = json_array();
    for (int32_t k = 0; labels && k < n_classes; k++) {
        json_t *label = target && k < target->n_classes ? json_string(target->classes[k])
                                                        : json_sprintf("%d", (int)k);
        if (json_array_append_new(labels, label) != 0) {
            json_decref(labels);
            return NULL;
        }
    }
    return labels;
}

/* Whole numbers stay whole in the JSON. */
static json_t *counts_to_json(const double *counts, int32_t n_classes, bool weighted) {
    json_t *rows = json_array();
    bool ok = rows != NULL;
    for (int32_t a = 0; ok && a < n_classes; a++) {
        json_t *row = json_array();
        ok = !json_array_append_new(rows, row);
        for (int32_t p = 0; ok && p < n_classes; p++) {
            double count = counts[(size_t)a * (size_t)n_classes + (size_t)p];
            ok = !json_array_append_new(row, weighted ? qn_json_number(count)
                                                      : json_integer((json_int_t)count));
        }
    }
    if (!ok)
        qn_json_free(&rows);
    return rows;
}

qn_status qn_confusion_make(const qn_eval_input *input, const qn_target_info *target,
                            json_t **ret_confusion, qn_error *err) {
    bool binary = input->task == QN_TASK_BINARY;
    int32_t n_classes = binary ? 2 : input->n_classes;
    QN_FAIL_IF(input->task == QN_TASK_REGRESSION, err, QN_ERR_USAGE,
               "a regression has no confusion matrix");
    QN_FAIL_IF(n_classes < 2 || n_classes > QN_LIMIT_CLASSES, err, QN_ERR_USAGE,
               "a confusion matrix needs 2 to %d classes, not %d", QN_LIMIT_CLASSES,
               (int)n_classes);
    qn_cleanup(qn_freep) double *counts = qn_new_array(double,
                                                       (size_t)n_classes *(size_t)n_classes);
    if (!counts)
        return qn_error_memory(err);
    for (int64_t i = 0; i < input->n; i++) {
        int32_t predicted = binary ? input->scores[i] >= input->threshold
                                   : largest(input->scores + i * n_classes, n_classes);
        QN_FAIL_IF(!(input->y[i] >= 0 && input->y[i] < n_classes), err, QN_ERR_USAGE,
                   "row %lld has no class", (long long)i + 1);
        int32_t actual = (int32_t)input->y[i];
        counts[(size_t)actual * (size_t)n_classes + (size_t)predicted] +=
            input->weight ? input->weight[i] : 1;
    }
    qn_cleanup(qn_json_free) json_t *object = json_object();
    bool ok = object != NULL;
    ok = ok && !json_object_set_new(object, "labels", labels_to_json(target, n_classes));
    ok = ok && !json_object_set_new(object, "counts",
                                    counts_to_json(counts, n_classes, input->weight != NULL));
    ok = ok && !json_object_set_new(object, "threshold",
                                    binary ? qn_json_number(input->threshold) : json_null());
    if (!ok)
        return qn_error_memory(err);
    *ret_confusion = qn_steal(&object);
    return QN_OK;
}
