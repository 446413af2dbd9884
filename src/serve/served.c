/* One open version of a model, with what answering needs ready: labels as JSON, scratch to take and
 * give back. */
#include "serve/served_int.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/number.h"
#include "serve/serve_int.h"

int64_t qn__wall_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* --- desks ------------------------------------------------------------------------------------ */

static void desk_free(qn__desk *desk) {
    if (!desk)
        return;
    qn_rows_reader_free(&desk->reader);
    qn_rows_free(&desk->rows);
    qn_scan_done(&desk->scan);
    qn_buf_done(&desk->out);
    qn_freep(&desk->scores);
    qn_freep(&desk->contrib);
    qn_freep(&desk);
}

static qn__desk *desk_new(qn__served *served, qn_error *err) {
    qn__desk *desk = qn_new(qn__desk);
    if (!desk) {
        qn_error_memory(err);
        return NULL;
    }
    if (qn_rows_new(served->model, &desk->rows, err) != QN_OK
        || qn_rows_reader_new(desk->rows, served->inputs, &desk->reader, err) != QN_OK) {
        desk_free(desk);
        return NULL;
    }
    return desk;
}

qn__desk *qn__served_take_desk(qn__served *served, qn_error *err) {
    pthread_mutex_lock(&served->lock);
    qn__desk *desk = served->desks;
    if (desk)
        served->desks = desk->next;
    pthread_mutex_unlock(&served->lock);
    if (!desk)
        return desk_new(served, err);
    qn_rows_clear(desk->rows);
    qn_buf_clear(&desk->out);
    return desk;
}

/* Beyond this much a desk is not kept: one large request must not cost memory for ever. */
enum { KEPT_NUMBERS = 1 << 16, KEPT_BYTES = 1 << 20 };

void qn__served_return_desk(qn__served *served, qn__desk *desk) {
    if (desk->cap_scores > KEPT_NUMBERS || desk->cap_contrib > KEPT_NUMBERS
        || desk->out.cap > KEPT_BYTES || desk->scan.unescaped.cap > KEPT_BYTES
        || qn_rows_count(desk->rows) > KEPT_NUMBERS / 16) {
        desk_free(desk);
        return;
    }
    pthread_mutex_lock(&served->lock);
    desk->next = served->desks;
    served->desks = desk;
    pthread_mutex_unlock(&served->lock);
}

static qn_status make_room(double **numbers, size_t *cap, size_t n, qn_error *err) {
    if (n <= *cap)
        return QN_OK;
    qn_freep(numbers);
    *cap = 0;
    *numbers = qn_malloc_aligned(n, sizeof **numbers);
    if (!*numbers)
        return qn_error_memory(err);
    *cap = n;
    return QN_OK;
}

qn_status qn__desk_predict(qn__served *served, qn__desk *desk, bool explain, qn_error *err) {
    size_t n_scores, n_contrib, n = (size_t)qn_rows_count(desk->rows);
    if (!qn_size_mul(n, (size_t)served->n_outputs, &n_scores)
        || !qn_size_mul(n_scores, (size_t)served->inputs->n_columns + 1, &n_contrib))
        return qn_error_memory(err);
    QN_TRY(make_room(&desk->scores, &desk->cap_scores, n_scores + !n_scores, err));
    QN_TRY(qn_rows_predict(desk->rows, desk->scores, err));
    atomic_fetch_add_explicit(&served->counts.rows, (int64_t)n, memory_order_relaxed);
    if (!explain)
        return QN_OK;
    QN_TRY(make_room(&desk->contrib, &desk->cap_contrib, n_contrib + !n_contrib, err));
    return qn_rows_explain(desk->rows, desk->contrib, err);
}

/* --- versions --------------------------------------------------------------------------------- */

static void served_free(qn__served *served) {
    if (!served)
        return;
    while (served->desks) {
        qn__desk *desk = served->desks;
        served->desks = desk->next;
        desk_free(desk);
    }
    for (int32_t k = 0; served->class_json && k < served->target->n_classes; k++)
        qn_freep(&served->class_json[k]);
    qn_freep(&served->class_json);
    qn_freep(&served->name);
    qn_freep(&served->label);
    qn_freep(&served->version_text);
    qn_freep(&served->hash);
    qn_model_free(&served->model);
    pthread_mutex_destroy(&served->lock);
    qn_freep(&served);
}

void qn__served_release(qn__served *served) {
    if (served && atomic_fetch_sub(&served->n_refs, 1) == 1)
        served_free(served);
}

/* Numbers as JSON writes them; then clients get the numbers they trained with. */
static bool is_json_number(const char *text) {
    int64_t whole;
    double real;
    qn_number_kind kind = qn_number_parse(text, strlen(text), &whole, &real);
    const char *digits = text + (*text == '-');
    return (kind == QN_NUMBER_WHOLE || (kind == QN_NUMBER_REAL && *digits >= '0' && *digits <= '9'
                                        && digits[strlen(digits) - 1] != '.'))
           && !(digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9');
}

static qn_status prepare_labels(qn__served *served, qn_error *err) {
    const qn_target_info *target = served->target;
    served->class_json = qn_new_array(char *, target->n_classes);
    if (!served->class_json)
        return qn_error_memory(err);
    served->labels_are_numbers = target->n_classes > 0;
    for (int32_t k = 0; k < target->n_classes; k++)
        served->labels_are_numbers &= is_json_number(target->classes[k]);
    for (int32_t k = 0; k < target->n_classes; k++) {
        qn_cleanup(qn_buf_done) qn_buf text = {0};
        if (served->labels_are_numbers)
            qn_buf_put_text(&text, target->classes[k]);
        else
            qn__put_json_text(&text, target->classes[k], strlen(target->classes[k]));
        QN_TRY(qn_buf_status(&text, err));
        served->class_json[k] = qn_buf_steal(&text);
    }
    return QN_OK;
}

static qn_status name_version(qn__served *served, const char *name, int64_t version,
                              const char *hash, qn_error *err) {
    for (const char *p = name; *p; p++) /* it stands in a header of answers */
        QN_FAIL_IF((unsigned char)*p < 0x20 || *p == 0x7f, err, QN_ERR_USAGE,
                   "a model's name may not have control characters");
    served->name = qn_strdup(name);
    served->version = version;
    served->version_text = qn_format("%lld", version ? (long long)version : 1LL);
    served->label = version ? qn_format("%s:%lld", name, (long long)version) : qn_strdup(name);
    served->hash = qn_strdup(hash);
    return served->name && served->version_text && served->label && served->hash
               ? QN_OK : qn_error_memory(err);
}

qn_status qn__served_open(const char *path, const char *name, int64_t version, const char *hash,
                          int64_t made_us, qn__served **ret_served, qn_error *err) {
    qn__served *served = qn_new(qn__served);
    if (!served)
        return qn_error_memory(err);
    pthread_mutex_init(&served->lock, NULL);
    served->n_refs = 1;
    qn_status status = qn_model_open(path, &served->model, err);
    if (status == QN_OK) {
        served->inputs = qn_model_inputs(served->model);
        served->target = qn_model_target(served->model);
        served->n_outputs = qn_model_n_outputs(served->model);
        served->opened_us = qn__wall_us();
        served->made_us = made_us;
        served->all_numeric = true;
        for (int32_t i = 0; i < served->inputs->n_columns; i++)
            served->all_numeric &= served->inputs->columns[i].type <= QN_TYPE_F64;
        status = name_version(served, name, version, hash, err);
    }
    if (status == QN_OK)
        status = prepare_labels(served, err);
    /* One desk at once, so that the first request is as fast as the others. */
    qn__desk *desk = status == QN_OK ? qn__served_take_desk(served, err) : NULL;
    if (!desk) {
        served_free(served);
        return status == QN_OK ? QN_ERR_MEMORY : status;
    }
    qn__served_return_desk(served, desk);
    *ret_served = served;
    return QN_OK;
}
