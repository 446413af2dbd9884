#include "flow/predict_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "data/split.h"
#include "base/text.h"
#include "data/source.h"
#include "evaluate/confusion.h"
#include "evaluate/value.h"
#include "flow/run_int.h"

enum { CHUNK_ROWS = 16384 };

/* --- the frame that is written ---------------------------------------------------------------- */

/* Which columns of the rows are written before the prediction, in the order of the output. */
typedef struct carried_columns {
    int32_t *items; /* owned */
    int32_t n;
} carried_columns;

static void carried_done(carried_columns *carried) {
    qn_freep(&carried->items);
}

/* All, in the order of the file, or those asked for, in the order asked. One that is not there is
 * an error before the first row is read. */
static qn_status choose_carried(const qn_predict_options *options, const qn_source *source,
                                carried_columns *ret_carried, qn_error *err) {
    const qn_schema *schema = qn_source_schema(source);
    int32_t n = options->columns ? (int32_t)options->n_columns : schema->n_columns;
    qn_cleanup(qn_freep) int32_t *items = qn_new_array(int32_t, n);
    if (!items)
        return qn_error_memory(err);
    for (int32_t c = 0; !options->columns && c < n; c++) {
        QN_FAIL_IF(
            strcmp(schema->columns[c].name, "prediction") == 0, err, QN_ERR_USAGE,
            "%s has a column 'prediction' already: name the columns to carry along with --columns",
            options->input);
        items[qn_source_position(source, c)] = c;
    }
    for (int32_t i = 0; options->columns && i < n; i++) {
        int32_t c = 0;
        while (c < schema->n_columns && strcmp(schema->columns[c].name, options->columns[i]) != 0)
            c++;
        QN_FAIL_IF(c == schema->n_columns, err, QN_ERR_USAGE, "--columns: %s has no column '%s'",
                   options->input, options->columns[i]);
        items[i] = c;
    }
    *ret_carried = (carried_columns){qn_steal(&items), n};
    return QN_OK;
}

static qn_status copy_column(const qn_column *from, qn_frame_builder *builder, int32_t i_to,
                             qn_error *err) {
    for (int64_t r = 0; r < from->n_rows; r++) {
        size_t n;
        if (!qn_column_is_valid(from, r)) {
            QN_TRY(qn_frame_builder_null(builder, i_to, err));
        } else if (from->type == QN_TYPE_CATEGORY || from->type == QN_TYPE_TEXT) {
            const char *text = qn_column_text(from, r, &n);
            QN_TRY(qn_frame_builder_text(builder, i_to, text, n, err));
        } else if (from->type == QN_TYPE_I64 || from->type == QN_TYPE_TIME) {
            QN_TRY(qn_frame_builder_i64(builder, i_to, from->i64[r], err));
        } else {
            QN_TRY(qn_frame_builder_number(builder, i_to, qn_column_number(from, r), err));
        }
    }
    return QN_OK;
}

static int32_t decide(const qn_model *model, const double *scores, double threshold) {
    if (qn_model_target(model)->task == QN_TASK_BINARY && !isnan(threshold))
        return scores[0] >= threshold;
    return qn_model_decide(model, scores);
}

static qn_status put_prediction(const qn_model *model, const double *scores, int64_t n,
                                double threshold, qn_frame_builder *builder, int32_t i_to,
                                qn_error *err) {
    const qn_target_info *target = qn_model_target(model);
    int32_t k = qn_model_n_outputs(model);
    for (int64_t r = 0; r < n; r++) {
        if (target->task == QN_TASK_REGRESSION) {
            QN_TRY(qn_frame_builder_number(builder, i_to, scores[r], err));
            continue;
        }
        const char *label = target->classes[decide(model, scores + r * k, threshold)];
        QN_TRY(qn_frame_builder_text(builder, i_to, label, strlen(label), err));
    }
    return QN_OK;
}

/* "probability", or "probability_CLASS" for output k; owned by the caller. */
static char *score_name(const qn_target_info *target, int32_t k) {
    if (target->task == QN_TASK_BINARY)
        return qn_strdup("probability");
    return qn_format("probability_%s", target->classes[k]);
}

static qn_status put_scores(const qn_model *model, const double *scores, int64_t n,
                            qn_frame_builder *builder, int32_t i_to, qn_error *err) {
    int32_t k = qn_model_n_outputs(model);
    if (qn_model_target(model)->task == QN_TASK_REGRESSION)
        return QN_OK;
    for (int32_t c = 0; c < k; c++)
        for (int64_t r = 0; r < n; r++)
            QN_TRY(qn_frame_builder_number(builder, i_to + c, scores[r * k + c], err));
    return QN_OK;
}

static qn_status declare_columns(const qn_model *model, const carried_columns *carried,
                                 const qn_schema *schema, qn_frame_builder *builder,
                                 qn_error *err) {
    const qn_target_info *target = qn_model_target(model);
    bool regression = target->task == QN_TASK_REGRESSION;
    for (int32_t i = 0; i < carried->n; i++) {
        const qn_schema_column *column = &schema->columns[carried->items[i]];
        QN_TRY(qn_frame_builder_add_column(builder, column->name, column->type, err));
    }
    QN_TRY(qn_frame_builder_add_column(builder, "prediction",
                                       regression ? QN_TYPE_F64 : QN_TYPE_CATEGORY, err));
    for (int32_t k = 0; !regression && k < qn_model_n_outputs(model); k++) {
        qn_cleanup(qn_freep) char *name = score_name(target, k);
        if (!name)
            return qn_error_memory(err);
        QN_TRY(qn_frame_builder_add_column(builder, name, QN_TYPE_F64, err));
    }
    return QN_OK;
}

/* `rows` NULL: a table without rows, for the header of one. */
static qn_status result_frame(const qn_model *model, const qn_schema *schema,
                              const carried_columns *carried, double threshold,
                              const qn_frame *rows, const double *scores, qn_frame **ret_frame,
                              qn_error *err) {
    qn_cleanup(qn_frame_builder_free) qn_frame_builder *builder = NULL;
    QN_TRY(qn_frame_builder_new(&builder, err));
    QN_TRY(declare_columns(model, carried, schema, builder, err));
    for (int32_t i = 0; rows && i < carried->n; i++)
        QN_TRY(copy_column(&rows->columns[carried->items[i]], builder, i, err));
    if (rows) {
        QN_TRY(put_prediction(model, scores, rows->n_rows, threshold, builder, carried->n, err));
        QN_TRY(put_scores(model, scores, rows->n_rows, builder, carried->n + 1, err));
    }
    return qn_frame_builder_finish(builder, ret_frame, err);
}

static void tell_rows(const qn_job *job, const char *stage, int64_t n) {
    char count[QN_DOUBLE_TEXT], note[QN_DOUBLE_TEXT + 8];
    qn_text_count(n, count);
    snprintf(note, sizeof note, "%s rows", count);
    qn_job_progress(job, stage, (double)n, 0, note);
}

/* --- streaming -------------------------------------------------------------------------------- */

static qn_status score_frame(const qn_model *model, const qn_frame *frame, const qn_job *job,
                             double **ret_scores, qn_error *err) {
    size_t n = (size_t)frame->n_rows * (size_t)qn_model_n_outputs(model);
    qn_cleanup(qn_freep) double *scores = qn_malloc_aligned(n, sizeof *scores);
    if (!scores)
        return qn_error_memory(err);
    QN_TRY(qn_model_predict(model, frame, job, scores, err));
    *ret_scores = qn_steal(&scores);
    return QN_OK;
}

/* `rows` NULL: the file had none, and its header is written. */
static qn_status predict_chunk(const qn_model *model, const qn_schema *schema,
                               const carried_columns *carried, double threshold,
                               const qn_frame *rows, const qn_job *job, qn_sink *sink,
                               qn_error *err) {
    qn_cleanup(qn_freep) double *scores = NULL;
    qn_cleanup(qn_frame_free) qn_frame *result = NULL;
    if (rows)
        QN_TRY(score_frame(model, rows, job, &scores, err));
    QN_TRY(result_frame(model, schema, carried, threshold, rows, scores, &result, err));
    return qn_sink_write(sink, result, job, err);
}

qn_status qn_predict_file(const qn_model *model, const qn_predict_options *options,
                          const qn_job *job, int64_t *ret_n_rows, qn_error *err) {
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_sink_free) qn_sink *sink = NULL;
    qn_cleanup(carried_done) carried_columns carried = {0};
    qn_source_options source_options = {.path = options->input, .header = -1};
    source_options.missing = qn_model_missing(model, &source_options.n_missing);
    int64_t n = 0;
    QN_TRY(qn_source_open_as(&source_options, qn_model_inputs(model), job, &source, err));
    QN_TRY(choose_carried(options, source, &carried, err));
    const qn_schema *schema = qn_source_schema(source);
    QN_TRY(qn_sink_open(options->output, options->json, &sink, err));
    for (;;) {
        qn_cleanup(qn_frame_free) qn_frame *rows = NULL;
        QN_TRY(qn_job_check(job, err));
        QN_TRY(qn_source_next(source, CHUNK_ROWS, job, &rows, err));
        if (!rows && n > 0)
            break;
        QN_TRY(predict_chunk(model, schema, &carried, options->threshold, rows, job, sink, err));
        if (!rows)
            break;
        n += rows->n_rows;
        tell_rows(job, "predict", n);
    }
    QN_TRY(qn_sink_finish(sink, err));
    *ret_n_rows = n;
    return QN_OK;
}

/* --- judging ---------------------------------------------------------------------------------- */

/* What is kept of every labelled row. */
typedef struct judged_rows {
    double *y, *scores; /* owned */
    double *payoffs;    /* owned: n x QN_N_OUTCOMES, when there is a value */
    const char *query;  /* borrowed: column of the query, when the model ranks; else NULL */
    uint64_t *hash;     /* owned: of each row's query */
    int64_t n, cap, n_unlabelled;
    int32_t n_outputs;
} judged_rows;

static void judged_done(judged_rows *rows) {
    qn_freep(&rows->y);
    qn_freep(&rows->scores);
    qn_freep(&rows->payoffs);
    qn_freep(&rows->hash);
}

static qn_status grow(judged_rows *rows, int64_t more, bool with_value, qn_error *err) {
    if (rows->n + more <= rows->cap)
        return QN_OK;
    int64_t cap = (rows->cap + more) * 2;
    double *y = qn_realloc(rows->y, (size_t)cap, sizeof *y);
    if (y)
        rows->y = y;
    double *scores = qn_realloc(rows->scores, (size_t)cap * (size_t)rows->n_outputs,
                                sizeof *scores);
    if (scores)
        rows->scores = scores;
    double *payoffs =
        with_value ? qn_realloc(rows->payoffs, (size_t)cap * QN_N_OUTCOMES, sizeof *payoffs) : NULL;
    if (payoffs)
        rows->payoffs = payoffs;
    uint64_t *hash = rows->query ? qn_realloc(rows->hash, (size_t)cap, sizeof *hash) : NULL;
    if (hash)
        rows->hash = hash;
    if (!y || !scores || (with_value && !payoffs) || (rows->query && !hash))
        return qn_error_memory(err);
    rows->cap = cap;
    return QN_OK;
}

static qn_status add_chunk(const qn_model *model, const char *input, const qn_value_spec *value,
                           const qn_frame *frame, const qn_job *job, judged_rows *rows,
                           qn_error *err) {
    qn_cleanup(qn_freep) double *y = NULL;
    qn_cleanup(qn_freep) double *scores = NULL;
    qn_cleanup(qn_freep) double *payoffs = NULL;
    size_t k = (size_t)rows->n_outputs;
    qn_status status = qn_target_values(frame, qn_model_target(model), &y, err);
    if (status == QN_ERR_DATA)
        qn__run_name_file(input, err);
    QN_TRY(status);
    QN_TRY(score_frame(model, frame, job, &scores, err));
    if (value)
        QN_TRY(qn_value_payoffs(value, frame, NULL, frame->n_rows, &payoffs, err));
    QN_TRY(grow(rows, frame->n_rows, value != NULL, err));
    const qn_column *query = NULL;
    if (rows->query)
        QN_TRY(qn_frame_get(frame, rows->query, &query, err));
    for (int64_t i = 0; i < frame->n_rows; i++) {
        if (isnan(y[i])) {
            rows->n_unlabelled++;
            continue;
        }
        if (query && !qn_column_is_valid(query, i)) {
            status = qn_error_set_at(err, QN_ERR_DATA, NULL, i + 1, rows->query,
                                     "the query is missing");
            qn__run_name_file(input, err);
            return status;
        }
        if (query)
            rows->hash[rows->n] = qn_split_group_hash(query, i, 0);
        rows->y[rows->n] = y[i];
        memcpy(rows->scores + rows->n * (int64_t)k, scores + i * (int64_t)k, k * sizeof *scores);
        if (payoffs)
            memcpy(rows->payoffs + rows->n * QN_N_OUTCOMES, payoffs + i * QN_N_OUTCOMES,
                   QN_N_OUTCOMES * sizeof *payoffs);
        rows->n++;
    }
    return QN_OK;
}

/* The value the model was made for, when its columns are all in this table. */
static qn_status model_value(const qn_model *model, const qn_schema *schema,
                             qn_value_spec **ret_spec, qn_error *err) {
    const json_t *about = json_object_get(qn_model_manifest(model), "about");
    const json_t *value = json_object_get(about, "value");
    const json_t *expressions = json_object_get(value, "expressions");
    if (!expressions || qn_model_target(model)->task != QN_TASK_BINARY)
        return QN_OK;
    qn_cleanup(qn_json_free) json_t *spec = json_copy((json_t *)(uintptr_t)expressions);
    qn_cleanup(qn_freep) const char **columns = qn_new_array(const char *, schema->n_columns);
    json_t *currency = json_object_get(value, "currency");
    if (!spec || !columns || (currency && json_object_set(spec, "currency", currency) != 0))
        return qn_error_memory(err);
    for (int32_t i = 0; i < schema->n_columns; i++)
        columns[i] = schema->columns[i].name;
    return qn_value_spec_parse(spec, qn_model_target(model), columns, (size_t)schema->n_columns,
                               ret_spec, err);
}

static qn_status judge_rows(const qn_model *model, const qn_judge_options *options,
                            const char *currency, const judged_rows *rows, const qn_job *job,
                            json_t **ret_result, qn_error *err) {
    const qn_target_info *target = qn_model_target(model);
    double threshold = isnan(options->threshold) ? qn_model_threshold(model) : options->threshold;
    qn_eval_input input = {.task = target->task,
                           .n_classes = target->n_classes,
                           .n = rows->n,
                           .y = rows->y,
                           .scores = rows->scores,
                           .threshold = threshold};
    qn_cleanup(qn_json_free) json_t *metrics = NULL;
    qn_cleanup(qn_json_free) json_t *confusion = NULL;
    qn_cleanup(qn_freep) int32_t *query = rows->query ? qn_new_array(int32_t, rows->n) : NULL;
    if (rows->query) {
        int32_t n_queries;
        if (!query)
            return qn_error_memory(err);
        QN_TRY(qn_split_number_groups(rows->hash, rows->n, query, &n_queries, err));
        input.query = query;
    }
    QN_TRY(qn_evaluate_metrics(&input, options->n_rounds, options->seed, job, &metrics, err));
    if (target->task != QN_TASK_REGRESSION)
        QN_TRY(qn_confusion_make(&input, target, &confusion, err));
    qn_cleanup(qn_json_free) json_t *result =
        json_pack("{s:I, s:I, s:{s:O}}", "rows", (json_int_t)rows->n, "target_missing",
                  (json_int_t)rows->n_unlabelled, "metrics", "test", metrics);
    if (!result || (confusion && json_object_set(result, "confusion", confusion) != 0))
        return qn_error_memory(err);
    if (rows->payoffs) {
        qn_value_point at = qn_value_at(rows->payoffs, rows->y, rows->scores, rows->n, threshold);
        json_object_set_new(result, "value",
                            json_pack("{s:s, s:f, s:f, s:f, s:f}", "currency", currency,
                                      "threshold", at.threshold, "per_row", at.per_row, "total",
                                      at.total, "share_acted", at.share_acted));
    }
    *ret_result = qn_steal(&result);
    return QN_OK;
}

static bool has_column(const qn_schema *schema, const char *name) {
    for (int32_t i = 0; i < schema->n_columns; i++)
        if (strcmp(schema->columns[i].name, name) == 0)
            return true;
    return false;
}

qn_status qn_labelled_schema(const qn_model *model, const char *weight, const char *query,
                             qn_schema *ret_schema, qn_error *err) {
    const qn_schema *inputs = qn_model_inputs(model);
    const qn_target_info *target = qn_model_target(model);
    qn_cleanup(qn_schema_done) qn_schema schema = {0};
    schema.columns = qn_new_array(qn_schema_column, inputs->n_columns + 3);
    if (!schema.columns)
        return qn_error_memory(err);
    for (int32_t i = 0; i < inputs->n_columns; i++)
        QN_TRY(qn_schema_add(&schema, inputs->columns[i].name, inputs->columns[i].type, err));
    QN_TRY(qn_schema_add(&schema, target->name,
                         target->task == QN_TASK_REGRESSION ? QN_TYPE_F64 : QN_TYPE_CATEGORY, err));
    if (weight && !has_column(&schema, weight))
        QN_TRY(qn_schema_add(&schema, weight, QN_TYPE_F64, err));
    if (query && !has_column(&schema, query)) /* only whether values are equal is asked */
        QN_TRY(qn_schema_add(&schema, query, QN_TYPE_TEXT, err));
    *ret_schema = schema;
    schema = (qn_schema){0};
    return QN_OK;
}

const char *qn_query_column(const qn_model *model) {
    return json_string_value(json_object_get(json_object_get(qn_model_manifest(model), "about"),
                                             "query"));
}

qn_status qn_judge_file(const qn_model *model, const qn_judge_options *options, const qn_job *job,
                        json_t **ret_result, qn_error *err) {
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_schema_done) qn_schema schema = {0};
    qn_cleanup(qn_value_spec_free) qn_value_spec *value = NULL;
    qn_cleanup(judged_done) judged_rows rows = {.n_outputs = qn_model_n_outputs(model)};
    qn_source_options source_options = {.path = options->input, .header = -1};
    source_options.missing = qn_model_missing(model, &source_options.n_missing);
    rows.query = qn_query_column(model);
    QN_TRY(qn_labelled_schema(model, NULL, rows.query, &schema, err));
    QN_TRY(qn_source_open_as(&source_options, &schema, job, &source, err));
    QN_TRY(model_value(model, qn_source_schema(source), &value, err));
    for (;;) {
        qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
        QN_TRY(qn_job_check(job, err));
        QN_TRY(qn_source_next(source, CHUNK_ROWS, job, &frame, err));
        if (!frame)
            break;
        QN_TRY(add_chunk(model, options->input, value, frame, job, &rows, err));
        tell_rows(job, "score", rows.n);
    }
    QN_FAIL_IF(rows.n == 0, err, QN_ERR_DATA, "%s has no row with a %s", options->input,
               qn_model_target(model)->name);
    return judge_rows(model, options, value ? qn_value_currency(value) : "", &rows, job, ret_result,
                      err);
}
