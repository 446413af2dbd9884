/* Import: the source becomes a snapshot object and a frame; the target becomes numbers; the profile
 * looks at it all. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/profile.h"
#include "data/sample.h"
#include "flow/expand.h"
#include "flow/look.h"
#include "flow/run_int.h"

/* The source as an object of the workspace; *ret_path is the object. */
static qn_status snapshot(qn_run_state *run, qn_source *source, char **ret_path,
                          int64_t *ret_n_rows, qn_error *err) {
    qn_cleanup(qn_freep) char *temporary = NULL;
    char hash[QN_DIGEST_TEXT];
    int64_t bytes;
    QN_TRY(qn_source_snapshot(source, qn_workspace_temporary(run->workspace), &run->job, &temporary,
                              ret_n_rows, err));
    QN_TRY(qn_object_adopt(run->workspace, temporary, hash, err));
    QN_TRY(qn_object_path(run->workspace, hash, ret_path, err));
    QN_TRY(qn_file_size(*ret_path, &bytes, err));
    if (!run->run_id[0])
        return QN_OK;
    return qn_run_add_artifact(run->workspace, run->run_id, "snapshot", hash, bytes, err);
}

/* What one row costs while training: its values in the frame, in the feature matrices of two
 * pipelines, its bins; measured on the first rows. */
static qn_status rows_that_fit(qn_run_state *run, const char *path, int64_t n_rows,
                               int64_t *ret_rows, qn_error *err) {
    enum { PROBE = 20000 };
    *ret_rows = n_rows;
    if (run->job.memory_bytes == 0 || n_rows <= PROBE)
        return QN_OK;
    qn_cleanup(qn_frame_free) qn_frame *head = NULL;
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, PROBE);
    if (!rows)
        return qn_error_memory(err);
    for (int64_t i = 0; i < PROBE; i++)
        rows[i] = i;
    QN_TRY(qn_snapshot_read(path, rows, PROBE, &run->job, &head, err));
    double row_bytes = (double)qn_frame_bytes(head) / PROBE + (double)head->n_columns * 8 * 2.5 +
                       200;
    double spare = (double)run->job.memory_bytes - 250e6;
    double fit = fmax(spare, 50e6) * 0.75 / row_bytes;
    if (fit < (double)n_rows)
        *ret_rows = (int64_t)fit;
    return QN_OK;
}

/* Which rows of a big snapshot are read: NULL for all. */
static qn_status choose_rows(qn_run_state *run, const char *path, int64_t n_rows,
                             int64_t **ret_rows, int64_t *ret_n, qn_error *err) {
    int64_t fit;
    QN_TRY(rows_that_fit(run, path, n_rows, &fit, err));
    bool is_weighted = run->config->sample.weight != NULL; /* then sample.rows are drawn later */
    int64_t want = run->config->sample.rows > 0 && !is_weighted ? run->config->sample.rows : n_rows;
    if (fit < want) {
        char all[QN_DOUBLE_TEXT], some[QN_DOUBLE_TEXT];
        qn_text_count(n_rows, all);
        qn_text_count(fit, some);
        qn__run_warn(run,
                     "%s rows do not fit into train.limits.memory: a random sample of %s is used",
                     all, some);
        want = fit;
    }
    *ret_rows = NULL;
    *ret_n = n_rows;
    if (want >= n_rows)
        return QN_OK;
    QN_TRY(
        qn_sample_uniform(n_rows, want, (uint64_t)run->config->sample.seed, ret_rows, ret_n, err));
    return QN_OK;
}

/* `wanted`: the columns that must be there, with the types that they and the others have in the
 * source; NULL for the source itself. */
static qn_status read_frame(qn_run_state *run, const char *key, const char *source_path,
                            const qn_schema *wanted, qn_frame **ret_frame, int64_t *ret_n_rows,
                            qn_error *err) {
    qn_cleanup(qn_freep) char *expanded = NULL;
    int32_t n_others = wanted ? run->frame->n_columns : 0;
    qn_cleanup(qn_freep) qn_source_column_type *types =
        qn_new_array(qn_source_column_type, run->config->data.types.n_columns + n_others);
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_freep) char *path = NULL;
    qn_cleanup(qn_freep) int64_t *rows = NULL;
    qn_source_options options;
    int64_t n;
    if (!types)
        return qn_error_memory(err);
    QN_TRY(qn_expand_path(key, source_path, &expanded, err));
    qn_source_options_of(run->config, expanded, types, &options);
    for (int32_t i = 0; i < n_others; i++)
        types[options.n_types++] =
            (qn_source_column_type){run->frame->columns[i].name, run->frame->columns[i].type};
    if (wanted)
        QN_TRY(qn_source_open_as(&options, wanted, &run->job, &source, err));
    else
        QN_TRY(
            qn_source_open_labelled(&options, run->config->task.target, &run->job, &source, err));
    QN_TRY(snapshot(run, source, &path, ret_n_rows, err));
    qn_source_free(&source);
    QN_TRY(choose_rows(run, path, *ret_n_rows, &rows, &n, err));
    return qn_snapshot_read(path, rows, n, &run->job, ret_frame, err);
}

/* Keeps the rows of a weighted draw (sample.rows with sample.weight). */
static qn_status draw_weighted(qn_run_state *run, qn_error *err) {
    const qn_config *config = run->config;
    if (!config->sample.weight || config->sample.rows <= 0 ||
        config->sample.rows >= run->frame->n_rows)
        return QN_OK;
    qn_cleanup(qn_freep) double *weight = qn_new_array(double, run->frame->n_rows);
    qn_cleanup(qn_freep) int64_t *rows = NULL;
    qn_cleanup(qn_frame_free) qn_frame *drawn = NULL;
    const qn_column *column;
    int64_t n;
    if (!weight)
        return qn_error_memory(err);
    QN_TRY(qn_frame_get(run->frame, config->sample.weight, &column, err));
    for (int64_t i = 0; i < run->frame->n_rows; i++)
        weight[i] = qn_column_is_valid(column, i) ? qn_column_number(column, i) : 0;
    QN_TRY(qn_sample_weighted(weight, run->frame->n_rows, config->sample.rows,
                              (uint64_t)config->sample.seed, &rows, &n, err));
    QN_TRY(qn_frame_take(run->frame, rows, n, &drawn, err));
    qn_frame_free(&run->frame);
    run->frame = qn_steal(&drawn);
    return QN_OK;
}

/* Row weights, when sample.weight names them and they were not used up by a weighted draw. */
static qn_status read_weight(const qn_run_state *run, const qn_frame *frame, double **ret_weight,
                             qn_error *err) {
    const char *name = run->config->sample.weight;
    *ret_weight = NULL;
    if (!name || run->config->sample.rows > 0)
        return QN_OK;
    const qn_column *column;
    if (qn_frame_get(frame, name, &column, err) != QN_OK)
        return qn_config_error(run->config, "sample.weight", err, "there is no column '%s'", name);
    if (column->type != QN_TYPE_F64 && column->type != QN_TYPE_I64 && column->type != QN_TYPE_BOOL)
        return qn_config_error(run->config, "sample.weight", err, "column %s holds no numbers",
                               name);
    qn_cleanup(qn_freep) double *weight = qn_new_array(double, frame->n_rows);
    if (!weight)
        return qn_error_memory(err);
    for (int64_t i = 0; i < frame->n_rows; i++) {
        weight[i] = qn_column_number(column, i);
        if (!(weight[i] > 0 && isfinite(weight[i])))
            return qn_error_set_at(err, QN_ERR_DATA, NULL, i + 1, name,
                                   "a weight must be a number above 0");
    }
    *ret_weight = qn_steal(&weight);
    return QN_OK;
}

static qn_status check_init_column(const qn_run_state *run, const qn_frame *frame, const double *y,
                                   const char *name, qn_error *err) {
    const qn_column *column;
    QN_TRY(qn_frame_get(frame, name, &column, err));
    if (column->type != QN_TYPE_F64 && column->type != QN_TYPE_I64 && column->type != QN_TYPE_BOOL)
        return qn_config_error(run->config, "data.init_score", err, "column %s holds no numbers",
                               name);
    for (int64_t i = 0; i < frame->n_rows; i++)
        if (!isnan(y[i]) && !isfinite(qn_column_number(column, i)))
            return qn_error_set_at(err, QN_ERR_DATA, NULL, i + 1, name,
                                   "an init_score must be a finite number");
    return QN_OK;
}

/* Initial scores must be there, and numbers, in all rows that are learnt from or judged by. */
static qn_status check_init(const qn_run_state *run, const qn_frame *frame, const double *y,
                            qn_error *err) {
    const qn_config_texts *names = &run->config->data.init_score;
    for (size_t i = 0; i < names->n; i++)
        QN_TRY(check_init_column(run, frame, y, names->items[i], err));
    return QN_OK;
}

/* One score for each class, when there are any. */
static qn_status count_init(const qn_run_state *run, qn_error *err) {
    const size_t n = run->config->data.init_score.n, n_classes = (size_t)run->target.n_classes;
    if (n == 0 || run->target.task != QN_TASK_MULTICLASS || n == n_classes)
        return QN_OK;
    return qn_config_error(run->config, "data.init_score", err,
                           "%zu columns for %zu classes: list one for each, from '%.40s' to "
                           "'%.40s' as they sort", n, n_classes, run->target.classes[0],
                           run->target.classes[n_classes - 1]);
}

unsigned qn__run_kind(const qn_run_state *run) {
    return qn_config_is_ranking(run->config) ? QN_METRIC_RANKING : (unsigned)run->target.task;
}

/* The queries of a ranking, and grades that have gains. */
static qn_status read_queries(const qn_run_state *run, const qn_frame *frame, const double *y,
                              int32_t **ret_query, int32_t *ret_n, qn_error *err) {
    enum { MAX_GRADE = 1000 }; /* gains are 2^grade - 1 */
    const char *name = run->config->task.query;
    const qn_column *column;
    if (!name)
        return QN_OK;
    QN_TRY(qn_frame_get(frame, name, &column, err));
    for (int64_t i = 0; i < frame->n_rows; i++) {
        if (isnan(y[i]))
            continue;
        if (!qn_column_is_valid(column, i))
            return qn_error_set_at(err, QN_ERR_DATA, NULL, i + 1, name, "the query is missing");
        if (!(y[i] >= 0 && y[i] <= MAX_GRADE))
            return qn_error_set_at(err, QN_ERR_DATA, NULL, i + 1, run->target.name,
                                   "the grade is %g: those of a ranking go from 0 to %d", y[i],
                                   MAX_GRADE);
    }
    qn_cleanup(qn_freep) int32_t *query = qn_new_array(int32_t, frame->n_rows);
    qn_cleanup(qn_freep) uint64_t *hash = qn_new_array(uint64_t, frame->n_rows);
    if (!query || !hash)
        return qn_error_memory(err);
    for (int64_t i = 0; i < frame->n_rows; i++)
        hash[i] = qn_split_group_hash(column, i, 0);
    QN_TRY(qn_split_number_groups(hash, frame->n_rows, query, ret_n, err));
    *ret_query = qn_steal(&query);
    return QN_OK;
}

static bool is_listed(const qn_config_texts *texts, const char *name) {
    for (size_t i = 0; i < texts->n; i++)
        if (strcmp(texts->items[i], name) == 0)
            return true;
    return false;
}

static bool is_same(const char *a, const char *b) {
    return a && b && strcmp(a, b) == 0;
}

/* Columns that are told to the run but are not for learning: the target, dropped ones, weights,
 * groups, and a plain number that only orders the rows. */
static bool is_input(const qn_run_state *run, const qn_column *column) {
    const qn_config *config = run->config;
    const char *name = column->name;
    bool orders = is_same(config->data.time, name) && column->type != QN_TYPE_TIME &&
                  is_same(qn_config_split_method(config, run->target.task), "time");
    return strcmp(name, run->target.name) != 0 && !is_listed(&config->data.drop, name) &&
           !is_same(config->sample.weight, name) && !is_same(config->split.group, name) &&
           !is_same(config->task.query, name) && !orders;
}

static qn_status check_listed(const qn_run_state *run, const char *key,
                              const qn_config_texts *names, qn_error *err) {
    const qn_column *column;
    for (size_t i = 0; i < names->n; i++)
        if (qn_frame_get(run->frame, names->items[i], &column, err) != QN_OK)
            return qn_config_error(run->config, key, err, "%s", err ? err->message : "");
    return QN_OK;
}

static qn_status check_columns(const qn_run_state *run, qn_error *err) {
    const qn_config *config = run->config;
    const struct {
        const char *key, *name;
    } named[] = {{"data.time", config->data.time}, {"task.query", config->task.query},
                 {"split.group", config->split.group}, {"sample.weight", config->sample.weight}};
    const qn_column *column;
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
        if (named[i].name && qn_frame_get(run->frame, named[i].name, &column, err) != QN_OK)
            return qn_config_error(config, named[i].key, err, "%s", err ? err->message : "");
    QN_TRY(check_listed(run, "data.drop", &config->data.drop, err));
    return check_listed(run, "data.init_score", &config->data.init_score, err);
}

static qn_status list_inputs(qn_run_state *run, qn_error *err) {
    run->inputs = qn_new_array(const char *, run->frame->n_columns);
    if (!run->inputs)
        return qn_error_memory(err);
    for (int32_t i = 0; i < run->frame->n_columns; i++)
        if (is_input(run, &run->frame->columns[i]))
            run->inputs[run->n_inputs++] = run->frame->columns[i].name;
    QN_FAIL_IF(run->n_inputs == 0, err, QN_ERR_CONFIG,
               "no column is left to predict %s from: see data.drop", run->target.name);
    return QN_OK;
}

static qn_status find_target(qn_run_state *run, qn_error *err) {
    const qn_config *config = run->config;
    qn_target_options options = {.column = config->task.target, .kind = config->task.kind,
                                 .positive = config->task.positive};
    qn_status status = qn_target_infer(run->frame, &options, &run->target, err);
    if (status == QN_ERR_CONFIG)
        qn__run_place(run,
                      err && strncmp(err->message, "task.positive", 13) == 0 ? "task.positive"
                                                                             : "task.target",
                      err);
    if (status == QN_OK)
        status = qn_config_check_task(config, run->target.task, err);
    if (status == QN_OK)
        status = count_init(run, err);
    if (status == QN_OK)
        status = qn_target_values(run->frame, &run->target, &run->y, err);
    qn__run_name_file(config->data.source, err);
    QN_TRY(status);
    run->n_outputs = run->target.task == QN_TASK_MULTICLASS ? run->target.n_classes : 1;
    const char *metric = config->train.metric;
    run->metric_is_value = is_same(metric, "value");
    run->metric = qn_metric_default(qn__run_kind(run));
    if (metric && !run->metric_is_value)
        status = qn_metric_find(metric, qn__run_kind(run), &run->metric, err);
    if (status != QN_OK)
        qn__run_place(run, "train.metric", err);
    return status;
}

/* Whether the families of the config can learn these targets: told with the row of the file, which
 * is not known any more once rows are split. */
static qn_status check_targets(const qn_run_state *run, const char *file, const double *y,
                               int64_t n, qn_error *err) {
    for (size_t i = 0; i < run->config->train.n_families; i++) {
        const qn_config_family *wanted = &run->config->train.families[i];
        const qn_family *family;
        qn_status status = qn_family_find(wanted->name, &family, err);
        if (status == QN_OK)
            status = qn_learner_check_targets(family, wanted->params, run->target.task,
                                              run->config->task.query != NULL, y, n,
                                              run->target.name, err);
        if (status == QN_ERR_CONFIG)
            qn__run_place(run, "train.families", err);
        qn__run_name_file(file, err);
        QN_TRY(status);
    }
    return QN_OK;
}

static json_t *value_json(const qn_config *config) {
    return json_pack("{s:s*, s:s, s:s, s:s, s:s}", "currency", config->value.currency,
                     "true_positive", config->value.true_positive, "false_positive",
                     config->value.false_positive, "false_negative", config->value.false_negative,
                     "true_negative", config->value.true_negative);
}

static qn_status read_value(qn_run_state *run, qn_error *err) {
    QN_FAIL_IF(run->metric_is_value && !run->config->value.given, err, QN_ERR_CONFIG,
               "train.metric is value: state what outcomes are worth under value");
    if (!run->config->value.given)
        return QN_OK;
    qn_cleanup(qn_json_free) json_t *json = value_json(run->config);
    qn_cleanup(qn_freep) const char **columns = qn_new_array(const char *, run->frame->n_columns);
    if (!json || !columns)
        return qn_error_memory(err);
    for (int32_t i = 0; i < run->frame->n_columns; i++)
        columns[i] = run->frame->columns[i].name;
    qn_status status = qn_value_spec_parse(json, &run->target, columns,
                                           (size_t)run->frame->n_columns, &run->value, err);
    if (status == QN_ERR_CONFIG && err) { /* "value: true_positive: ...": the line of that key */
        char key[64] = "value.";
        const char *name = strncmp(err->message, "value: ", 7) == 0 ? err->message + 7 : "";
        size_t n = strcspn(name, ":");
        if (n > 0 && n < sizeof key - 7) {
            memcpy(key + 6, name, n);
            memmove(err->message, name + n + 2, strlen(name + n + 2) + 1);
        }
        qn__run_place(run, key, err);
    }
    return status;
}

static qn_status note_task(qn_run_state *run, int64_t n_source, qn_error *err) {
    int64_t n_missing = 0;
    for (int64_t i = 0; i < run->frame->n_rows; i++)
        n_missing += isnan(run->y[i]);
    json_t *classes = json_array();
    for (int32_t i = 0; classes && i < run->target.n_classes; i++)
        json_array_append_new(classes, json_string(run->target.classes[i]));
    bool binary = run->target.task == QN_TASK_BINARY;
    QN_TRY(qn__run_note(run, "task",
                        json_pack("{s:s, s:s, s:o, s:o, s:s*}", "kind",
                                  qn_metric_kind_name(qn__run_kind(run)), "target",
                                  run->target.name, "classes", classes, "positive",
                                  binary ? json_string(run->target.classes[1]) : json_null(),
                                  "query", run->config->task.query),
                        err));
    bool sampled = n_source != run->frame->n_rows;
    return qn__run_note(run, "dataset",
                        json_pack("{s:I, s:i, s:s, s:I, s:o}", "rows",
                                  (json_int_t)run->frame->n_rows, "columns",
                                  (int)run->frame->n_columns, "hash", run->dataset_hash,
                                  "target_missing", (json_int_t)n_missing, "sampled_from",
                                  sampled ? json_integer(n_source) : json_null()),
                        err);
}

static qn_status profile(qn_run_state *run, qn_error *err) {
    qn_job_progress(&run->job, "profile", 0, 0, NULL);
    json_t *json = NULL;
    qn_profile_options options = {.time = run->config->data.time,
                                  .seed = (uint64_t)run->config->seed};
    /* Dropped columns are gone from the frame's profile, and warnings about them and about the
     * group are noise: none of them is an input. */
    QN_TRY(qn_profile_make(run->frame, run->target.name, &run->target, run->y, &options, &run->job,
                           &json, err));
    size_t i;
    json_t *field;
    json_t *fields = json_object_get(json, "fields"), *kept = json_array();
    json_array_foreach(fields, i, field) {
        if (!is_listed(&run->config->data.drop, json_string_value(json_object_get(field, "name"))))
            json_array_append(kept, field);
    }
    json_object_set_new(json, "fields", kept);
    json_t *warnings = json_object_get(json, "warnings"), *warning, *kept_warnings = json_array();
    json_array_foreach(warnings, i, warning) {
        const char *column = json_string_value(json_object_get(warning, "column"));
        if (!column || (!is_listed(&run->config->data.drop, column) &&
                        !is_same(run->config->split.group, column)))
            json_array_append(kept_warnings, warning);
    }
    json_object_set_new(json, "warnings", kept_warnings);
    return qn__run_note(run, "profile", json, err);
}

/* What a test file must have: the inputs, the target and the weight, of the types of the source. */
static qn_status test_schema(const qn_run_state *run, qn_schema *ret_schema, qn_error *err) {
    qn_cleanup(qn_schema_done) qn_schema schema = {0};
    schema.columns = qn_new_array(qn_schema_column, run->frame->n_columns);
    if (!schema.columns)
        return qn_error_memory(err);
    for (int32_t i = 0; i < run->frame->n_columns; i++) {
        const qn_column *column = &run->frame->columns[i];
        if (!is_input(run, column) && strcmp(column->name, run->target.name) != 0 &&
            !is_same(run->config->sample.weight, column->name) &&
            !is_same(run->config->task.query, column->name))
            continue;
        QN_TRY(qn_schema_add(&schema, column->name, column->type, err));
    }
    *ret_schema = schema;
    schema = (qn_schema){0};
    return QN_OK;
}

static qn_status read_test_file(qn_run_state *run, qn_error *err) {
    if (!run->config->data.test)
        return QN_OK;
    qn_cleanup(qn_schema_done) qn_schema schema = {0};
    int64_t n;
    int32_t n_queries;
    QN_TRY(test_schema(run, &schema, err));
    QN_TRY(
        read_frame(run, "data.test", run->config->data.test, &schema, &run->test.frame, &n, err));
    run->test.n = run->test.frame->n_rows;
    qn_status status = qn_target_values(run->test.frame, &run->target, &run->test.y, err);
    if (status == QN_OK)
        status = read_weight(run, run->test.frame, &run->test.weight, err);
    if (status == QN_OK)
        status = check_init(run, run->test.frame, run->test.y, err);
    if (status == QN_OK)
        status = read_queries(run, run->test.frame, run->test.y, &run->test.query, &n_queries,
                              err);
    qn__run_name_file(run->config->data.test, err);
    QN_TRY(status);
    return check_targets(run, run->config->data.test, run->test.y, run->test.n, err);
}

qn_status qn__run_import(qn_run_state *run, qn_error *err) {
    int64_t n_source;
    qn_job_progress(&run->job, "import", 0, 0, NULL);
    QN_TRY(read_frame(run, "data.source", run->config->data.source, NULL, &run->frame, &n_source,
                      err));
    QN_TRY(check_columns(run, err));
    QN_TRY(draw_weighted(run, err));
    QN_TRY(qn_frame_digest(run->frame, run->dataset_hash, err));
    QN_TRY(find_target(run, err));
    QN_TRY(check_targets(run, run->config->data.source, run->y, run->frame->n_rows, err));
    QN_TRY(list_inputs(run, err));
    QN_TRY(read_value(run, err));
    qn_status status = read_weight(run, run->frame, &run->weight, err);
    if (status == QN_OK)
        status = check_init(run, run->frame, run->y, err);
    if (status == QN_OK)
        status = read_queries(run, run->frame, run->y, &run->query, &run->n_queries, err);
    qn__run_name_file(run->config->data.source, err);
    QN_TRY(status);
    QN_TRY(read_test_file(run, err));
    QN_TRY(note_task(run, n_source, err));
    char rows[QN_DOUBLE_TEXT], note[80];
    qn_text_count(run->frame->n_rows, rows);
    snprintf(note, sizeof note, "%s rows, %d columns", rows, run->frame->n_columns);
    qn_job_progress(&run->job, "import", 1, 1, note);
    qn__run_time(run, "import_s");
    QN_TRY(profile(run, err));
    qn__run_time(run, "profile_s");
    return QN_OK;
}
