#include "flow/explain_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/source.h"
#include "evaluate/importance.h"
#include "model/explain.h"

/* --- the model -------------------------------------------------------------------------------- */

typedef struct use {
    int32_t input;
    double share;
    int64_t splits;
} use;

static int most_used_first(const void *a, const void *b) {
    const use *x = a, *y = b;
    if (x->share != y->share)
        return x->share > y->share ? -1 : 1;
    if (x->splits != y->splits)
        return x->splits > y->splits ? -1 : 1;
    return (x->input > y->input) - (x->input < y->input);
}

qn_status qn_explain_model(const qn_model *model, json_t **ret_result, qn_error *err) {
    const qn_schema *inputs = qn_model_inputs(model);
    int32_t n = inputs->n_columns;
    qn_cleanup(qn_freep) double *share = qn_new_array(double, n);
    qn_cleanup(qn_freep) int64_t *splits = qn_new_array(int64_t, n);
    qn_cleanup(qn_freep) use *uses = qn_new_array(use, n);
    qn_cleanup(qn_json_free) json_t *list = json_array();
    bool has_splits;
    if (!share || !splits || !uses || !list)
        return qn_error_memory(err);
    QN_TRY(qn_model_importance(model, share, splits, &has_splits, err));
    for (int32_t i = 0; i < n; i++)
        uses[i] = (use){i, share[i], splits[i]};
    qsort(uses, (size_t)n, sizeof *uses, most_used_first);
    for (int32_t i = 0; i < n; i++) {
        json_t *item = json_pack("{s:s, s:o}", "input", inputs->columns[uses[i].input].name,
                                 "share", qn_json_number(uses[i].share));
        if (item && has_splits)
            json_object_set_new(item, "splits", json_integer(uses[i].splits));
        if (json_array_append_new(list, item))
            return qn_error_memory(err);
    }
    *ret_result = json_pack("{s:s, s:o}", "target", qn_model_target(model)->name, "inputs",
                            qn_steal(&list));
    return *ret_result ? QN_OK : qn_error_memory(err);
}

/* --- rows ------------------------------------------------------------------------------------- */

static qn_status take(const qn_frame *from, int64_t first, int64_t n, qn_frame **ret,
                      qn_error *err) {
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, n);
    if (!rows)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++)
        rows[i] = first + i;
    return qn_frame_take(from, rows, n, ret, err);
}

qn_status qn_explain_read(const qn_model *model, const char *input, int64_t first, int64_t n_rows,
                          const qn_job *job, qn_frame **ret_frame, qn_error *err) {
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_source_options options = {.path = input, .header = -1};
    options.missing = qn_model_missing(model, &options.n_missing);
    QN_TRY(qn_source_open_as(&options, qn_model_inputs(model), job, &source, err));
    for (int64_t before = 0;;) {
        qn_cleanup(qn_frame_free) qn_frame *rows = NULL;
        int64_t skip = first - before; /* whole frames of rows before the first go by */
        int64_t most = skip > QN_EXPLAIN_ROWS_MAX ? QN_EXPLAIN_ROWS_MAX : skip + n_rows;
        QN_TRY(qn_job_check(job, err));
        QN_TRY(qn_source_next(source, most, job, &rows, err));
        QN_FAIL_IF(!rows || rows->n_rows == 0, err, QN_ERR_DATA,
                   "%s: there is no row %lld: it has %lld", input, (long long)first + 1,
                   (long long)before);
        if (rows->n_rows > skip)
            return take(rows, skip, rows->n_rows - skip < n_rows ? rows->n_rows - skip : n_rows,
                        ret_frame, err);
        before += rows->n_rows;
    }
}

static json_t *cell_to_json(const qn_column *column, int64_t row) {
    if (!qn_column_is_valid(column, row))
        return json_null();
    if (column->type == QN_TYPE_I64 || column->type == QN_TYPE_F64)
        return qn_json_number(qn_column_number(column, row));
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    qn_column_format(column, row, &text);
    return text.status == QN_OK ? json_string(qn_buf_text(&text)) : NULL;
}

/* --- one row ---------------------------------------------------------------------------------- */

/* All that is known of the rows. */
typedef struct explained {
    const qn_model *model;
    const qn_explain_options *options;
    const qn_frame *frame;
    int32_t n_inputs, n_outputs, class_output; /* -1: the predicted one */
    double *scores;  /* owned; [n][n_outputs] */
    double *contrib; /* owned; [n][n_outputs][n_inputs + 1] */
    double *pairs;   /* owned; of one row: [n_outputs][n_inputs + 1][n_inputs + 1] */
} explained;

static void explained_done(explained *e) {
    qn_freep(&e->scores);
    qn_freep(&e->contrib);
    qn_freep(&e->pairs);
}

static const char *input_name(const explained *e, int32_t i) {
    return qn_model_inputs(e->model)->columns[i].name;
}

typedef struct effect {
    int32_t a, b; /* inputs; b -1: a alone */
    double value;
} effect;

static int largest_first(const void *a, const void *b) {
    const effect *x = a, *y = b;
    if (fabs(x->value) != fabs(y->value))
        return fabs(x->value) > fabs(y->value) ? -1 : 1;
    if (x->a != y->a)
        return x->a < y->a ? -1 : 1;
    return (x->b > y->b) - (x->b < y->b);
}

static qn_status put_contributions(const explained *e, const double *contrib, int64_t row,
                                   json_t *object, qn_error *err) {
    qn_cleanup(qn_freep) effect *effects = qn_new_array(effect, e->n_inputs);
    qn_cleanup(qn_json_free) json_t *list = json_array();
    if (!effects || !list)
        return qn_error_memory(err);
    for (int32_t i = 0; i < e->n_inputs; i++)
        effects[i] = (effect){i, -1, contrib[i]};
    qsort(effects, (size_t)e->n_inputs, sizeof *effects, largest_first);
    for (int32_t i = 0; i < e->n_inputs; i++) {
        int32_t a = effects[i].a;
        json_t *item = json_pack("{s:s, s:o, s:o}", "input", input_name(e, a), "value",
                                 cell_to_json(&e->frame->columns[a], row), "contribution",
                                 qn_json_number(effects[i].value));
        if (json_array_append_new(list, item))
            return qn_error_memory(err);
    }
    return json_object_set_new(object, "contributions", qn_steal(&list)) ? qn_error_memory(err)
                                                                        : QN_OK;
}

/* Both halves of each pair together; pairs that do nothing are left out. */
static qn_status put_interactions(const explained *e, const double *pairs, json_t *object,
                                  qn_error *err) {
    int64_t width = e->n_inputs + 1, n = 0;
    qn_cleanup(qn_freep) effect *effects = qn_new_array(effect, width * width);
    qn_cleanup(qn_json_free) json_t *list = json_array();
    if (!effects || !list)
        return qn_error_memory(err);
    for (int32_t a = 0; a < e->n_inputs; a++)
        for (int32_t b = a + 1; b < e->n_inputs; b++)
            if (pairs[a * width + b] != 0)
                effects[n++] = (effect){a, b, 2 * pairs[a * width + b]};
    qsort(effects, (size_t)n, sizeof *effects, largest_first);
    for (int64_t i = 0; i < n; i++) {
        json_t *item = json_pack("{s:[s, s], s:o}", "inputs", input_name(e, effects[i].a),
                                 input_name(e, effects[i].b), "value",
                                 qn_json_number(effects[i].value));
        if (json_array_append_new(list, item))
            return qn_error_memory(err);
    }
    return json_object_set_new(object, "interactions", qn_steal(&list)) ? qn_error_memory(err)
                                                                       : QN_OK;
}

/* What the row is predicted to be, and the score that is explained. */
static json_t *answer_to_json(const explained *e, int64_t row, int32_t output) {
    const qn_target_info *target = qn_model_target(e->model);
    const double *scores = e->scores + row * e->n_outputs;
    const double *contrib = e->contrib + (row * e->n_outputs + output) * (e->n_inputs + 1);
    double raw = 0;
    for (int32_t i = 0; i <= e->n_inputs; i++)
        raw += contrib[i];
    json_t *object = json_pack("{s:I}", "row", (json_int_t)(e->options->first + row + 1));
    if (target->task == QN_TASK_REGRESSION) {
        json_object_set_new(object, "prediction", qn_json_number(scores[0]));
        json_object_set_new(object, "output", json_string(target->name));
    } else {
        const char *output_class = target->classes[e->n_outputs == 1 ? 1 : output];
        json_object_set_new(object, "prediction",
                            json_string(target->classes[qn_model_decide(e->model, scores)]));
        json_object_set_new(object, "output", json_string(output_class));
        json_object_set_new(object, "probability", qn_json_number(scores[output]));
    }
    json_object_set_new(object, "raw", qn_json_number(raw));
    json_object_set_new(object, "base", qn_json_number(contrib[e->n_inputs]));
    return object;
}

static qn_status explain_row(explained *e, int64_t row, const qn_job *job, json_t *list,
                             qn_error *err) {
    int32_t output = e->class_output >= 0 ? e->class_output
                     : e->n_outputs == 1  ? 0
                                          : qn_model_decide(e->model,
                                                            e->scores + row * e->n_outputs);
    int64_t width = e->n_inputs + 1;
    qn_cleanup(qn_json_free) json_t *object = answer_to_json(e, row, output);
    if (!object)
        return qn_error_memory(err);
    QN_TRY(put_contributions(e, e->contrib + (row * e->n_outputs + output) * width, row, object,
                             err));
    if (e->options->interactions) {
        qn_cleanup(qn_frame_free) qn_frame *one = NULL;
        QN_TRY(take(e->frame, row, 1, &one, err));
        QN_TRY(qn_model_interactions(e->model, one, job, e->pairs, err));
        QN_TRY(put_interactions(e, e->pairs + output * width * width, object, err));
    }
    if (e->options->conditions) {
        json_t *conditions = NULL;
        QN_TRY(qn_model_conditions(e->model, e->frame, row, output, &conditions, err));
        json_object_set_new(object, "conditions", conditions);
    }
    return json_array_append_new(list, qn_steal(&object)) ? qn_error_memory(err) : QN_OK;
}

/* --- all rows --------------------------------------------------------------------------------- */

/* The output of a class; -1 without one. */
static qn_status find_class(const qn_model *model, const char *name, int32_t *ret, qn_error *err) {
    const qn_target_info *target = qn_model_target(model);
    *ret = -1;
    if (!name)
        return QN_OK;
    QN_FAIL_IF(target->task != QN_TASK_MULTICLASS, err, QN_ERR_USAGE,
               "--class is for models of several classes; this one has one raw score");
    for (int32_t k = 0; k < target->n_classes; k++)
        if (strcmp(target->classes[k], name) == 0)
            *ret = k;
    QN_FAIL_IF(*ret < 0, err, QN_ERR_USAGE, "the model has no class '%.100s'", name);
    return QN_OK;
}

static qn_status explained_init(explained *e, const qn_job *job, qn_error *err) {
    int64_t n = e->frame->n_rows, width = e->n_inputs + 1;
    e->scores = qn_new_array(double, n *e->n_outputs);
    e->contrib = qn_new_array(double, n *e->n_outputs *width);
    e->pairs = e->options->interactions ? qn_new_array(double, e->n_outputs *width *width) : NULL;
    if (!e->scores || !e->contrib || (e->options->interactions && !e->pairs))
        return qn_error_memory(err);
    QN_TRY(qn_model_predict(e->model, e->frame, job, e->scores, err));
    return qn_model_explain(e->model, e->frame, job, e->contrib, err);
}

qn_status qn_explain_file(const qn_model *model, const qn_explain_options *options,
                          const qn_job *job, json_t **ret_result, qn_error *err) {
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    qn_cleanup(qn_json_free) json_t *list = json_array();
    explained e = {.model = model, .options = options};
    QN_TRY(find_class(model, options->class_name, &e.class_output, err));
    QN_TRY(qn_explain_read(model, options->input, options->first, options->n_rows, job, &frame,
                           err));
    e.frame = frame;
    e.n_inputs = qn_model_n_inputs(model);
    e.n_outputs = qn_model_n_outputs(model);
    qn_status status = explained_init(&e, job, err);
    for (int64_t i = 0; status == QN_OK && i < frame->n_rows; i++) {
        status = qn_job_check(job, err);
        qn_job_progress(job, "explain", (double)i, (double)frame->n_rows, NULL);
        if (status == QN_OK)
            status = explain_row(&e, i, job, list, err);
    }
    explained_done(&e);
    QN_TRY(status);
    *ret_result = json_pack("{s:s, s:o}", "target", qn_model_target(model)->name, "rows",
                            qn_steal(&list));
    return *ret_result ? QN_OK : qn_error_memory(err);
}

/* --- dependence ------------------------------------------------------------------------------- */

typedef struct asked {
    const qn_model *model;
    const qn_job *job;
} asked;

static qn_status score(void *user, const qn_frame *frame, double *scores, qn_error *err) {
    const asked *a = user;
    return qn_model_predict(a->model, frame, a->job, scores, err);
}

static qn_status weigh(void *user, const qn_frame *frame, const char *column, double *scores,
                       qn_error *err) {
    const asked *a = user;
    const qn_schema *inputs = qn_model_inputs(a->model);
    int32_t i = 0;
    while (strcmp(inputs->columns[i].name, column) != 0)
        i++;
    return qn_model_dependence(a->model, frame, i, scores, err);
}

static bool has_input(const qn_model *model, const char *name) {
    const qn_schema *inputs = qn_model_inputs(model);
    for (int32_t i = 0; i < inputs->n_columns; i++)
        if (strcmp(inputs->columns[i].name, name) == 0)
            return true;
    return false;
}

qn_status qn_explain_dependence(const qn_model *model, const qn_explain_options *options,
                                const char *column, int64_t n_curves, const qn_job *job,
                                json_t **ret_result, qn_error *err) {
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    qn_cleanup(qn_json_free) json_t *list = NULL;
    const qn_target_info *target = qn_model_target(model);
    int32_t output;
    QN_TRY(find_class(model, options->class_name, &output, err));
    QN_FAIL_IF(!has_input(model, column), err, QN_ERR_USAGE, "the model has no input '%.100s'",
               column);
    QN_TRY(qn_explain_read(model, options->input, options->first, options->n_rows, job, &frame,
                           err));
    asked a = {model, job};
    qn_importance_input input = {
        .frame = frame,
        .eval = {.task = target->task, .n_classes = target->n_classes, .n = frame->n_rows},
        .score = score,
        .weigh = qn_model_learner(model)->family->dependence ? weigh : NULL,
        .n_curves = n_curves,
        .user = &a,
        .seed = 42,
    };
    output = output < 0 ? 0 : output;
    QN_TRY(qn_dependence_make(&input, &column, 1, output, job, &list, err));
    QN_FAIL_IF(json_array_size(list) == 0, err, QN_ERR_DATA,
               "there is nothing to see of '%.100s': it is text, or missing in every row", column);
    *ret_result = json_incref(json_array_get(list, 0));
    const char *name = target->task == QN_TASK_REGRESSION ? target->name
                       : target->task == QN_TASK_BINARY   ? target->classes[1]
                                                          : target->classes[output];
    return json_object_set_new(*ret_result, "output", json_string(name)) ? qn_error_memory(err)
                                                                         : QN_OK;
}
