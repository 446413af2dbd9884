/* Split: which rows train, choose and judge; negatives sampled down; weights of classes. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "data/sample.h"
#include "flow/run_int.h"

void qn__run_part_done(qn_run_part *part) {
    qn_frame_free(&part->frame);
    qn_freep(&part->y);
    qn_freep(&part->weight);
    qn_freep(&part->query);
    qn_freep(&part->scores);
    part->n = 0;
}

static qn_status gather(const double *from, const int64_t *rows, int64_t n, double **ret,
                        qn_error *err) {
    if (!from)
        return QN_OK;
    double *to = qn_malloc_aligned((size_t)n, sizeof *to);
    if (!to)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++)
        to[i] = from[rows[i]];
    *ret = to;
    return QN_OK;
}

qn_status qn__run_queries(const qn_run_state *run, const int64_t *rows, int64_t n,
                          int32_t **ret_query, qn_error *err) {
    if (!run->query)
        return QN_OK;
    int32_t *query = qn_new_array(int32_t, n);
    if (!query)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++)
        query[i] = run->query[rows[i]];
    *ret_query = query;
    return QN_OK;
}

qn_status qn__run_take_part(const qn_run_state *run, const int64_t *rows, int64_t n,
                            qn_run_part *part, qn_error *err) {
    QN_TRY(qn_frame_take(run->frame, rows, n, &part->frame, err));
    QN_TRY(gather(run->y, rows, n, &part->y, err));
    QN_TRY(gather(run->weight, rows, n, &part->weight, err));
    QN_TRY(qn__run_queries(run, rows, n, &part->query, err));
    part->n = n;
    return QN_OK;
}

/* Rows of the separate test file that have a label. */
static qn_status keep_labelled(qn_run_part *part, qn_error *err) {
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, part->n);
    int64_t n = 0;
    if (!rows)
        return qn_error_memory(err);
    for (int64_t i = 0; i < part->n; i++)
        if (!isnan(part->y[i]))
            rows[n++] = i;
    QN_FAIL_IF(n == 0, err, QN_ERR_DATA, "the test file has no row with a target");
    if (n == part->n)
        return QN_OK;
    qn_frame *frame = NULL;
    QN_TRY(qn_frame_take(part->frame, rows, n, &frame, err));
    qn_frame_free(&part->frame);
    part->frame = frame;
    for (int64_t i = 0; i < n; i++) {
        part->y[i] = part->y[rows[i]];
        if (part->weight)
            part->weight[i] = part->weight[rows[i]];
        if (part->query)
            part->query[i] = part->query[rows[i]];
    }
    part->n = n;
    return QN_OK;
}

static qn_status column_of(const qn_run_state *run, const char *name, const qn_column **ret,
                           qn_error *err) {
    return name ? qn_frame_get(run->frame, name, ret, err) : QN_OK;
}

static qn_status make_split(qn_run_state *run, qn_error *err) {
    const qn_config *config = run->config;
    const qn_column *time = NULL, *group = NULL;
    QN_TRY(column_of(run, config->data.time, &time, err));
    QN_TRY(column_of(run, config->split.group, &group, err));
    qn_split_options options = {
        .test = config->data.test ? 0 : config->split.test,
        .validate = config->split.validate,
        .seed = (uint64_t)config->split.seed,
        .folds = (int32_t)config->split.folds,
        .time = config->data.time,
        .group = config->split.group,
        .test_source = config->data.test,
    };
    const char *method = qn_config_split_method(config, run->target.task);
    QN_FAIL_IF(!qn_split_method_from_name(method, &options.method), err, QN_ERR_INTERNAL,
               "unknown split method %s", method);
    return qn_split_make(&options, run->frame->n_rows, run->y, run->target.task,
                         run->target.n_classes, time, group, &run->split, err);
}

/* weight of class k = n / (K n_k), as scikit-learn's class_weight="balanced". */
static qn_status balance_classes(const qn_run_state *run, qn_run_training *set, qn_error *err) {
    if (strcmp(run->config->train.class_weight, "balanced") != 0 || run->target.n_classes < 2)
        return QN_OK;
    qn_cleanup(qn_freep) double *count = qn_new_array(double, run->target.n_classes);
    if (!set->weight)
        set->weight = qn_malloc_aligned((size_t)set->n, sizeof(double));
    if (!count || !set->weight)
        return qn_error_memory(err);
    for (int64_t i = 0; i < set->n; i++)
        count[(int32_t)set->y[i]] += 1;
    for (int64_t i = 0; i < set->n; i++) {
        double factor = (double)set->n / (run->target.n_classes * count[(int32_t)set->y[i]]);
        set->weight[i] = (run->weight ? set->weight[i] : 1) * factor;
    }
    return QN_OK;
}

void qn__run_training_done(qn_run_training *training) {
    qn_freep(&training->rows);
    qn_freep(&training->y);
    qn_freep(&training->weight);
    qn_freep(&training->query);
}

static qn_status fill_training(const qn_run_state *run, const int64_t *rows, int64_t n,
                               qn_run_training *set, qn_error *err) {
    if (run->negatives_rate < 1) {
        QN_TRY(qn_sample_negatives(rows, n, run->y, run->negatives_rate,
                                   (uint64_t)run->config->sample.seed, &set->rows, &set->n, err));
    } else {
        set->n = n;
        set->rows = qn_new_array(int64_t, n);
        if (!set->rows)
            return qn_error_memory(err);
        memcpy(set->rows, rows, (size_t)n * sizeof(int64_t));
    }
    QN_TRY(gather(run->y, set->rows, set->n, &set->y, err));
    QN_TRY(gather(run->weight, set->rows, set->n, &set->weight, err));
    QN_TRY(qn__run_queries(run, set->rows, set->n, &set->query, err));
    return balance_classes(run, set, err);
}

qn_status qn__run_training_make(const qn_run_state *run, const int64_t *rows, int64_t n,
                                qn_run_training *ret_training, qn_error *err) {
    qn_cleanup(qn__run_training_done) qn_run_training set = {0};
    QN_TRY(fill_training(run, rows, n, &set, err));
    *ret_training = set;
    set = (qn_run_training){0};
    return QN_OK;
}

static qn_status choose_training_rows(qn_run_state *run, qn_error *err) {
    bool binary = run->target.task == QN_TASK_BINARY;
    run->negatives_rate = binary ? run->config->sample.negatives : 1;
    QN_TRY(qn__run_training_make(run, run->split.train, run->split.n_train, &run->training, err));
    if (run->negatives_rate == 1)
        return QN_OK;
    return qn__run_note(run, "sample",
                        json_pack("{s:f, s:I, s:I}", "negatives", run->negatives_rate, "kept",
                                  (json_int_t)run->training.n, "of",
                                  (json_int_t)run->split.n_train),
                        err);
}

qn_status qn__run_stretches(const qn_run_state *run, const int64_t *rows, int64_t n,
                            int32_t **ret_stretch, int32_t *ret_n, qn_error *err) {
    enum { STRETCHES = 10 };
    const qn_column *time;
    if (run->split.method != QN_SPLIT_TIME)
        return QN_OK;
    QN_TRY(column_of(run, run->config->data.time, &time, err));
    qn_cleanup(qn_freep) int32_t *stretch = qn_new_array(int32_t, n);
    if (!stretch)
        return qn_error_memory(err);
    QN_TRY(qn_split_stretches(time, rows, n, STRETCHES, stretch, ret_n, err));
    *ret_stretch = qn_steal(&stretch);
    return QN_OK;
}

/* A split by another group than the query may tear queries apart. */
static qn_status check_queries(const qn_run_state *run, qn_error *err) {
    const qn_split *s = &run->split;
    const struct {
        const int64_t *rows;
        int64_t n;
    } parts[] = {{s->train, s->n_train}, {s->validate, s->n_validate}, {s->test, s->n_test}};
    if (!run->query)
        return QN_OK;
    qn_cleanup(qn_freep) int8_t *part_of = qn_new_array(int8_t, run->n_queries);
    if (!part_of)
        return qn_error_memory(err);
    for (int8_t p = 0; p < 3; p++)
        for (int64_t i = 0; i < parts[p].n; i++) {
            int8_t *part = &part_of[run->query[parts[p].rows[i]]];
            if (*part && *part != p + 1)
                return qn_config_error(run->config, "split.group", err,
                                       "rows of one query have different values of %s: leave this "
                                       "out, and queries are kept whole", run->config->split.group);
            *part = (int8_t)(p + 1);
        }
    return QN_OK;
}

static qn_status note_split(qn_run_state *run, qn_error *err) {
    json_t *json = qn_split_to_json(&run->split);
    if (!json)
        return qn_error_memory(err);
    json_object_set_new(json, "train", json_integer(run->split.n_train));
    json_object_set_new(json, "validate", json_integer(run->validate.n));
    json_object_set_new(json, "test", json_integer(run->test.n));
    if (run->config->data.test)
        json_object_set_new(json, "note",
                            json_sprintf("Test rows come from %s", run->config->data.test));
    return qn__run_note(run, "split", json, err);
}

qn_status qn__run_split(qn_run_state *run, qn_error *err) {
    qn_job_progress(&run->job, "split", 0, 0, NULL);
    QN_TRY(make_split(run, err));
    QN_TRY(check_queries(run, err));
    QN_FAIL_IF(run->split.n_validate == 0, err, QN_ERR_CONFIG,
               "split.validate leaves no row to choose the model by: give it a share above 0");
    QN_TRY(qn__run_take_part(run, run->split.validate, run->split.n_validate, &run->validate, err));
    if (run->test.frame) {
        QN_TRY(keep_labelled(&run->test, err));
    } else {
        QN_FAIL_IF(run->split.n_test == 0, err, QN_ERR_CONFIG,
                   "split.test leaves no row to judge the model by: give it a share above 0");
        QN_TRY(qn__run_take_part(run, run->split.test, run->split.n_test, &run->test, err));
    }
    QN_TRY(qn__run_stretches(run, run->split.validate, run->split.n_validate, &run->stretch,
                             &run->n_stretches, err));
    QN_TRY(choose_training_rows(run, err));
    QN_TRY(note_split(run, err));
    char train[QN_DOUBLE_TEXT], validate[QN_DOUBLE_TEXT], test[QN_DOUBLE_TEXT], note[128];
    qn_text_count(run->training.n, train);
    qn_text_count(run->validate.n, validate);
    qn_text_count(run->test.n, test);
    snprintf(note, sizeof note, "%s train, %s validate, %s test", train, validate, test);
    qn_job_progress(&run->job, "split", 1, 1, note);
    qn__run_time(run, "split_s");
    return QN_OK;
}
