/* Training from numbers in memory: a pipeline of inputs as they are, a matrix of them, trees, a model.
 * What `quern run` does beside - looking, splitting, judging - is the caller's here. */
#include <math.h>
#include <string.h>

#include "api/api_int.h"
#include "base/job.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "model/model.h"

static qn_status read_options(const qn_train_options *given, qn_train_options *ret_options,
                              qn_error *err) {
    qn_train_options options = QN_TRAIN_OPTIONS_INIT;
    QN_FAIL_IF(!given || given->struct_bytes < sizeof options, err, QN_ERR_USAGE,
               "options that were not initialised by QN_TRAIN_OPTIONS_INIT");
    memcpy(&options, given, sizeof options);
    QN_FAIL_IF(options.n_threads < 0 || options.n_threads > QN_LIMIT_THREADS, err, QN_ERR_USAGE,
               "%d threads: from 0 (all processors) to %d", (int)options.n_threads,
               QN_LIMIT_THREADS);
    QN_FAIL_IF(options.n_inputs < 1 || options.n_inputs > QN_LIMIT_COLUMNS, err, QN_ERR_USAGE,
               "a model has 1 to %d inputs, not %d", QN_LIMIT_COLUMNS, (int)options.n_inputs);
    bool known = options.task == QN_TASK_BINARY || options.task == QN_TASK_MULTICLASS
                 || options.task == QN_TASK_REGRESSION;
    QN_FAIL_IF(!known, err, QN_ERR_USAGE, "there is no task %d", (int)options.task);
    bool many = options.task == QN_TASK_MULTICLASS;
    QN_FAIL_IF(many ? options.n_classes < 2 || options.n_classes > QN_LIMIT_CLASSES
                    : options.n_classes != 0,
               err, QN_ERR_USAGE, "n_classes is %d: a multiclass task has 2 to %d, others "
               "leave it 0", (int)options.n_classes, QN_LIMIT_CLASSES);
    options.n_classes = many ? options.n_classes : options.task == QN_TASK_BINARY ? 2 : 0;
    options.n_threads = options.n_threads ? options.n_threads : qn_threads_available();
    *ret_options = options;
    return QN_OK;
}

static qn_status check_data(const qn_train_data *data, const char *what, qn_error *err) {
    QN_FAIL_IF(!data || !data->values || !data->labels || data->n_rows < 1, err, QN_ERR_USAGE,
               "there are no %s rows", what);
    QN_FAIL_IF(data->n_rows > INT32_MAX, err, QN_ERR_LIMIT, "trees are trained on at most %d rows",
               INT32_MAX);
    return QN_OK;
}

/* ---- what the columns are -------------------------------------------------------------------- */

typedef struct columns {
    char **names;           /* owned, each owned */
    qn_plain_input *inputs; /* owned; names borrowed */
    int32_t n;
} columns;

static void columns_done(columns *c) {
    for (int32_t i = 0; c->names && i < c->n; i++)
        qn_freep(&c->names[i]);
    qn_freep(&c->names);
    qn_freep(&c->inputs);
}

static void look_at(const qn_train_data *data, int32_t n_inputs, int32_t i, qn_plain_input *input) {
    bool any = false;
    input->n_rows = data->n_rows;
    for (int64_t r = 0; r < data->n_rows; r++) {
        double x = data->values[r * n_inputs + i];
        input->n_missing += isnan(x);
        if (!isfinite(x))
            continue;
        input->low = !any || x < input->low ? x : input->low;
        input->high = !any || x > input->high ? x : input->high;
        any = true;
    }
}

static qn_status columns_init(columns *c, const qn_train_data *data, const qn_train_options *o,
                              qn_error *err) {
    c->names = qn_new_array(char *, o->n_inputs);
    c->inputs = qn_new_array(qn_plain_input, o->n_inputs);
    if (!c->names || !c->inputs)
        return qn_error_memory(err);
    c->n = o->n_inputs;
    for (int32_t i = 0; i < c->n; i++) {
        QN_FAIL_IF(o->inputs && !o->inputs[i], err, QN_ERR_USAGE, "input %d has no name", (int)i);
        c->names[i] = o->inputs ? qn_strdup(o->inputs[i]) : qn_format("f%d", (int)i);
        if (!c->names[i])
            return qn_error_memory(err);
        c->inputs[i].name = c->names[i];
        look_at(data, c->n, i, &c->inputs[i]);
    }
    return QN_OK;
}

/* What would be a damaged file elsewhere is a wrong argument here: names. */
static qn_status make_pipeline(const columns *c, qn_pipeline **ret_pipeline, qn_error *err) {
    qn_status status = qn_pipeline_plain(c->inputs, c->n, ret_pipeline, err);
    if (status == QN_ERR_FORMAT && err)
        err->code = QN_ERR_USAGE;
    return status == QN_ERR_FORMAT ? QN_ERR_USAGE : status;
}

/* Infinite numbers as a prediction takes them: the ends of what training saw. */
static qn_status make_matrix(const qn_train_data *data, const columns *c,
                             const qn_pipeline *pipeline, qn_matrix **ret_matrix, qn_error *err) {
    int32_t n;
    const qn_feature *features = qn_pipeline_features(pipeline, &n);
    QN_TRY(qn_matrix_new(data->n_rows, features, n, ret_matrix, err));
    for (int32_t i = 0; i < n; i++) {
        const qn_plain_input *input = &c->inputs[i];
        double *to = (*ret_matrix)->columns[i].num;
        for (int64_t r = 0; r < data->n_rows; r++) {
            double x = data->values[r * n + i];
            to[r] = !isinf(x) ? x : x > 0 ? input->high : input->low;
        }
    }
    return QN_OK;
}

static qn_status make_target(const qn_train_options *o, qn_target_info *target, qn_error *err) {
    target->task = o->task;
    target->name = qn_strdup(o->target ? o->target : "target");
    target->classes = qn_new_array(char *, o->n_classes);
    if (!target->name || !target->classes)
        return qn_error_memory(err);
    size_t n = strlen(target->name);
    QN_FAIL_IF(n < 1 || n > QN_LIMIT_NAME_BYTES || !qn_text_is_utf8(target->name, n), err,
               QN_ERR_USAGE, "the target's name is not a text of 1 to %d bytes",
               QN_LIMIT_NAME_BYTES);
    for (int32_t k = 0; k < o->n_classes; k++) {
        QN_FAIL_IF(o->classes && !o->classes[k], err, QN_ERR_USAGE, "class %d has no name", (int)k);
        target->classes[k] = o->classes ? qn_strdup(o->classes[k]) : qn_format("%d", (int)k);
        if (!target->classes[k])
            return qn_error_memory(err);
        target->n_classes = k + 1;
        QN_FAIL_IF(!qn_text_is_utf8(target->classes[k], strlen(target->classes[k])), err,
                   QN_ERR_USAGE, "the name of class %d is not UTF-8", (int)k);
    }
    return QN_OK;
}

/* ---- training -------------------------------------------------------------------------------- */

/* The caller's loss takes labels and weights, too. */
static double loss_of_valid(void *user, qn_link link, const double *raw, double *without) {
    const qn_train_options *o = user;
    int32_t n_outputs = o->task == QN_TASK_MULTICLASS ? o->n_classes : 1;
    return o->loss(o->user, raw, o->valid->labels, o->valid->weights, o->valid->n_rows, n_outputs);
}

static qn_status fit(const qn_train_data *data, const qn_train_options *o, const columns *c,
                     const qn_pipeline *pipeline, qn_learner **ret_learner, qn_error *err) {
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    qn_cleanup(qn_matrix_free) qn_matrix *valid = NULL;
    qn_cleanup(qn_json_free) json_t *params = NULL;
    if (o->params)
        QN_TRY(qn_json_parse(o->params, strlen(o->params), "params", &params, err));
    QN_TRY(make_matrix(data, c, pipeline, &x, err));
    qn_fit_input input = {
        .train = {.x = x, .y = data->labels, .weight = data->weights},
        .task = o->task,
        .n_classes = o->n_classes,
        .seed = o->seed,
        .gradients = o->gradients,
        .gradients_user = o->user,
    };
    if (o->valid) {
        QN_TRY(make_matrix(o->valid, c, pipeline, &valid, err));
        input.valid = (qn_fit_data){
            .x = valid, .y = o->valid->labels, .weight = o->valid->weights};
        input.loss = o->loss ? loss_of_valid : NULL;
        input.user = (void *)(uintptr_t)o;
    }
    const qn_job job = {.n_threads = o->n_threads};
    const qn_family *gbdt;
    QN_TRY(qn_family_find("gbdt", &gbdt, err));
    return qn_learner_fit(gbdt, params, &input, &job, ret_learner, err);
}

qn_status qn_train(const qn_train_data *data, const qn_train_options *options,
                   qn_model **ret_model, qn_error *err) {
    qn_train_options o;
    qn_cleanup(columns_done) columns c = {0};
    qn_cleanup(qn_target_info_done) qn_target_info target = {0};
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = NULL;
    qn_cleanup(qn_learner_free) qn_learner *learner = NULL;
    QN_TRY(read_options(options, &o, err));
    QN_TRY(check_data(data, "training", err));
    if (o.valid)
        QN_TRY(check_data(o.valid, "validation", err));
    QN_TRY(make_target(&o, &target, err));
    QN_TRY(columns_init(&c, data, &o, err));
    QN_TRY(make_pipeline(&c, &pipeline, err));
    QN_TRY(fit(data, &o, &c, pipeline, &learner, err));
    json_t *about = json_pack("{s:s, s:s}", "quern", qn_version(), "trained_by", "libquern");
    if (!about)
        return qn_error_memory(err);
    qn_model_parts parts = {
        .target = &target, .negatives_rate = 1, .threshold = 0.5, .about = about};
    parts.pipeline = qn_steal(&pipeline);
    parts.learner = qn_steal(&learner);
    return qn_model_new(&parts, ret_model, err);
}
