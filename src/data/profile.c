#include "data/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/column_int.h"
#include "data/profile_int.h"
#include "data/sample.h"

enum { DEFAULT_ROWS = 200000, DUPLICATE_ROWS = 1 << 22, HASH_BLOCK = 1 << 14 };

static void study_done(qn__study *study) {
    qn_freep(&study->sample);
    qn_freep(&study->labelled);
    qn_freep(&study->fields);
    qn_freep(&study->n_class);
}

/* ---- the rows and the target ---- */

static qn_status study_classes(qn__study *study, qn_error *err) {
    int32_t n_classes = study->info->n_classes;
    study->n_class = qn_new_array(int64_t, n_classes);
    if (!study->n_class)
        return qn_error_memory(err);
    for (int64_t i = 0; i < study->frame->n_rows; i++) {
        double y = study->y[i];
        study->n_target_missing += isnan(y);
        if (y >= 0 && y < n_classes)
            study->n_class[(int32_t)y]++;
    }
    int64_t largest = 0, total = 0;
    for (int32_t c = 0; c < n_classes; c++) {
        largest = study->n_class[c] > largest ? study->n_class[c] : largest;
        total += study->n_class[c];
    }
    study->n_minority = n_classes ? total - largest
                                  : study->frame->n_rows - study->n_target_missing;
    return QN_OK;
}

static qn_status study_init(qn__study *study, qn_error *err) {
    int64_t n_rows = study->frame->n_rows;
    int64_t k = study->options->max_rows > 0 ? study->options->max_rows : DEFAULT_ROWS;
    study->joint = NAN;
    QN_TRY(
        qn_sample_uniform(n_rows, k, study->options->seed, &study->sample, &study->n_sample, err));
    study->fields = qn_new_array(qn__field, study->frame->n_columns);
    if (!study->fields)
        return qn_error_memory(err);
    for (int32_t c = 0; c < study->frame->n_columns; c++) {
        qn__field *field = &study->fields[c];
        *field = (qn__field){.column = &study->frame->columns[c], .partner = -1, .sentinel = NAN,
                             .link = NAN, .missing_link = NAN, .correlation = NAN,
                             .without = NAN, .min = NAN, .max = NAN, .mean = NAN, .std = NAN};
        field->is_target = study->target && strcmp(field->column->name, study->target) == 0;
    }
    if (!study->y)
        return QN_OK;
    study->labelled = qn_new_array(int64_t, study->n_sample);
    if (!study->labelled)
        return qn_error_memory(err);
    for (int64_t i = 0; i < study->n_sample; i++)
        if (!isnan(study->y[study->sample[i]]))
            study->labelled[study->n_labelled++] = study->sample[i];
    return study_classes(study, err);
}

/* Each column on its own, several at a time. The first error by column order is the one
 * reported. */
static qn_status study_columns(qn__study *study, qn_error *err) {
    int32_t n = study->frame->n_columns, i_failed = n, n_done = 0;
    qn_error first = {0};
#pragma omp parallel for schedule(dynamic, 1) num_threads(qn_job_threads(study->job))
    for (int32_t c = 0; c < n; c++) {
        qn__field *field = &study->fields[c];
        qn_error here = {0};
        qn_status status = qn_job_check(study->job, &here);
        if (status == QN_OK)
            status = qn__profile_column(study, field, &here);
        if (status == QN_OK && study->y && !field->is_target && study->n_labelled > 0)
            status = qn__profile_link(study, field, &here);
#pragma omp critical(qn_profile)
        {
            if (status != QN_OK && c < i_failed) {
                i_failed = c;
                first = here;
            }
            qn_job_progress(study->job, "profile", ++n_done, n, NULL);
        }
    }
    if (i_failed == n)
        return QN_OK;
    if (err)
        *err = first;
    return first.code;
}

/* ---- duplicate rows ---- */

static uint64_t cell_hash(const qn_column *column, int64_t row) {
    if (!qn_column_is_valid(column, row))
        return UINT64_C(0x2545f4914f6cdd1d);
    uint64_t bits = 0;
    size_t n = 0;
    switch (column->type) {
    case QN_TYPE_BOOL: return column->b[row];
    case QN_TYPE_CATEGORY: return (uint64_t)column->code[row];
    case QN_TYPE_TEXT: {
        const char *text = qn_column_text(column, row, &n);
        return qn_hash64(text, n, 0);
    }
    case QN_TYPE_F64: memcpy(&bits, &column->f64[row], sizeof bits); return bits;
    default: return (uint64_t)column->i64[row];
    }
}

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Rows whose 64-bit hash another row has too. Of tables beyond four million rows only the rows of
 * one in 2^k hash values are kept, and the count is scaled: equal rows are kept or dropped
 * together. */
static qn_status study_duplicates(qn__study *study, qn_error *err) {
    const qn_frame *frame = study->frame;
    qn_cleanup(qn_freep) uint64_t *hash = qn_new_array(uint64_t, frame->n_rows);
    if (!hash)
        return qn_error_memory(err);
#pragma omp parallel for schedule(static) num_threads(qn_job_threads(study->job))
    for (int64_t block = 0; block < frame->n_rows; block += HASH_BLOCK) {
        int64_t end = block + HASH_BLOCK < frame->n_rows ? block + HASH_BLOCK : frame->n_rows;
        for (int32_t c = 0; c < frame->n_columns; c++)
            for (int64_t i = block; i < end; i++)
                hash[i] = qn_rng_hash(hash[i], cell_hash(&frame->columns[c], i));
    }
    uint64_t mask = 0;
    while (frame->n_rows / (int64_t)(mask + 1) > DUPLICATE_ROWS)
        mask = mask << 1 | 1;
    int64_t n = 0, n_duplicates = 0;
    for (int64_t i = 0; i < frame->n_rows; i++)
        if ((hash[i] & mask) == 0)
            hash[n++] = hash[i];
    qsort(hash, (size_t)n, sizeof hash[0], compare_u64);
    for (int64_t i = 1; i < n; i++)
        n_duplicates += hash[i] == hash[i - 1];
    study->n_duplicates = n_duplicates * (int64_t)(mask + 1);
    return QN_OK;
}

/* ---- JSON ---- */

static bool put(json_t *object, const char *key, json_t *value) {
    return json_object_set_new(object, key, value) == 0;
}

/* A number of the column as JSON: times as text. */
static json_t *value_json(const qn__field *field, double value) {
    if (field->column->type != QN_TYPE_TIME || !(fabs(value) < 9e18))
        return qn_json_number(value);
    char text[QN_TIME_TEXT];
    qn__time_format((int64_t)value, text);
    return json_string(text);
}

static bool put_quantiles(json_t *object, const qn__field *field) {
    json_t *list = json_array();
    bool good = put(object, "quantiles", list);
    for (int q = 0; q < QN__QUANTILES && good; q++) {
        json_t *pair = json_array();
        good = json_array_append_new(list, pair) == 0 &&
               json_array_append_new(pair, qn_json_number(qn__quantile_levels[q])) == 0 &&
               json_array_append_new(pair, value_json(field, field->quantiles[q])) == 0;
    }
    return good;
}

static bool put_histogram(json_t *object, const qn__field *field) {
    json_t *histogram = json_object(), *edges = json_array(), *counts = json_array();
    bool good = put(histogram, "edges", edges);
    good = put(histogram, "counts", counts) && good;
    for (int i = 0; i < field->n_edges && good; i++) {
        good = json_array_append_new(edges, value_json(field, field->edges[i])) == 0;
        if (i + 1 < field->n_edges)
            good = good && json_array_append_new(counts, json_integer(field->counts[i])) == 0;
    }
    return put(object, "histogram", histogram) && good;
}

static bool put_top(json_t *object, const qn__field *field) {
    json_t *list = json_array();
    bool good = put(object, "top", list);
    for (int i = 0; i < field->n_top && good; i++) {
        qn_cleanup(qn_buf_done) qn_buf text = {0};
        qn_column_format(field->column, field->top[i].row, &text);
        json_t *entry = json_object();
        size_t n = text.len;
        if (n > 200) /* keep whole characters */
            for (n = 200; n > 0 && ((unsigned char)text.data[n] & 0xc0) == 0x80;)
                n--;
        good = json_array_append_new(list, entry) == 0 && text.status == QN_OK &&
               put(entry, "value", json_stringn(qn_buf_text(&text), n)) &&
               put(entry, "count", json_integer(field->top[i].count));
    }
    return good;
}

static bool put_number_members(json_t *object, const qn__field *field) {
    bool is_time = field->column->type == QN_TYPE_TIME;
    return put(object, "min", value_json(field, field->min)) &&
           put(object, "max", value_json(field, field->max)) &&
           put(object, "mean", value_json(field, is_time ? floor(field->mean) : field->mean)) &&
           put(object, "std", qn_json_number(is_time ? field->std / 1e6 : field->std)) &&
           (isnan(field->min) || (put_quantiles(object, field) && put_histogram(object, field)));
}

static json_t *field_json(const qn__study *study, const qn__field *field) {
    qn_cleanup(qn_json_free) json_t *object = json_object();
    const qn_column *column = field->column;
    double missing = column->n_rows ? (double)column->n_null / (double)column->n_rows : 0;
    bool good = object && put(object, "name", json_string(column->name)) &&
                put(object, "type", json_string(qn_type_name(column->type))) &&
                put(object, "role", json_string(field->is_target ? "target" : "input")) &&
                put(object, "missing", json_integer(column->n_null)) &&
                put(object, "missing_share", qn_json_number(missing)) &&
                put(object, "distinct", json_integer(field->n_distinct)) &&
                put(object, "distinct_exact", json_boolean(field->distinct_exact));
    if (qn__is_number(column))
        good = good && put_number_members(object, field);
    else
        good = good && put(object, "mean_length", qn_json_number(field->mean_length)) &&
               put(object, "mean_words", qn_json_number(field->mean_words));
    if (field->n_top > 0)
        good = good && put_top(object, field);
    if (good && isfinite(field->link)) {
        json_t *link = json_object();
        good = put(object, "association", link) &&
               put(link, "measure", json_string(qn__link_name(study->info->task))) &&
               put(link, "value", qn_json_number(field->link));
        if (isfinite(field->correlation))
            good = good && put(link, "pearson", qn_json_number(field->correlation));
    }
    return good ? qn_steal(&object) : NULL;
}

static json_t *classes_json(const qn__study *study) {
    qn_cleanup(qn_json_free) json_t *list = json_array();
    bool good = list != NULL;
    int64_t total = study->frame->n_rows - study->n_target_missing;
    for (int32_t c = 0; good && study->info && c < study->info->n_classes; c++) {
        json_t *entry = json_object();
        double share = total ? (double)study->n_class[c] / (double)total : 0;
        good = json_array_append_new(list, entry) == 0 &&
               put(entry, "label", json_string(study->info->classes[c])) &&
               put(entry, "count", json_integer(study->n_class[c])) &&
               put(entry, "share", qn_json_number(share));
    }
    return good ? qn_steal(&list) : NULL;
}

static json_t *study_json(const qn__study *study) {
    qn_cleanup(qn_json_free) json_t *object = json_object();
    const qn_frame *frame = study->frame;
    json_t *fields = json_array();
    bool good = object && put(object, "rows", json_integer(frame->n_rows)) &&
                put(object, "columns", json_integer(frame->n_columns)) &&
                put(object, "bytes", json_integer((json_int_t)qn_frame_bytes(frame))) &&
                put(object, "duplicate_rows", json_integer(study->n_duplicates)) &&
                put(object, "sampled_rows", json_integer(study->n_sample)) &&
                put(object, "target", study->target ? json_string(study->target) : json_null()) &&
                put(object, "task", study->info ? json_string(qn_task_name(study->info->task))
                                                : json_null());
    if (!good || !put(object, "fields", fields)) {
        if (!good)
            json_decref(fields);
        return NULL;
    }
    for (int32_t c = 0; c < frame->n_columns && good; c++)
        good = json_array_append_new(fields, field_json(study, &study->fields[c])) == 0;
    good = good && put(object, "classes", study->y ? classes_json(study) : json_array()) &&
           put(object, "warnings", qn__profile_warnings(study));
    return good ? qn_steal(&object) : NULL;
}

qn_status qn_profile_make(const qn_frame *frame, const char *target, const qn_target_info *info,
                          const double *y, const qn_profile_options *options, const qn_job *job,
                          json_t **ret_profile, qn_error *err) {
    static const qn_profile_options no_options = {0};
    const qn_column *column = NULL;
    if (target)
        QN_TRY(qn_frame_get(frame, target, &column, err));
    qn_cleanup(study_done) qn__study study = {
        .frame = frame, .options = options ? options : &no_options, .job = job, .target = target,
        .info = y ? info : NULL, .y = info ? y : NULL};
    QN_TRY(study_init(&study, err));
    QN_TRY(study_columns(&study, err));
    QN_TRY(qn_job_check(job, err));
    QN_TRY(study_duplicates(&study, err));
    if (study.y && study.n_labelled > 0)
        QN_TRY(qn__profile_joint(&study, err));
    json_t *profile = study_json(&study);
    if (!profile)
        return qn_error_memory(err);
    *ret_profile = profile;
    return QN_OK;
}
