#include "flow/look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "data/sample.h"
#include "flow/expand.h"

enum { MAX_ROWS = 2000000, CHUNK_ROWS = 65536 };

void qn_source_options_of(const qn_config *config, const char *path, qn_source_column_type *types,
                          qn_source_options *ret_options) {
    size_t n = (size_t)config->data.types.n_columns;
    for (size_t i = 0; i < n; i++)
        types[i] = (qn_source_column_type){config->data.types.columns[i].name,
                                           config->data.types.columns[i].type};
    *ret_options = (qn_source_options){
        .path = path,
        .folder = config->folder,
        .query = config->data.query,
        .delimiter = config->data.delimiter,
        .quote = config->data.quote,
        .header = config->data.header,
        .missing = (const char *const *)config->data.missing.items,
        .n_missing = config->data.missing.n,
        .types = types,
        .n_types = n,
    };
}

static bool is_truth(const qn_schema *schema, const char *name) {
    for (int32_t i = 0; name && i < schema->n_columns; i++)
        if (strcmp(schema->columns[i].name, name) == 0)
            return schema->columns[i].type == QN_TYPE_BOOL;
    return false;
}

qn_status qn_source_open_labelled(const qn_source_options *options, const char *target,
                                  const qn_job *job, qn_source **ret_source, qn_error *err) {
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    QN_TRY(qn_source_open(options, job, &source, err));
    if (is_truth(qn_source_schema(source), target)) {
        qn_cleanup(qn_freep) qn_source_column_type *types =
            qn_new_array(qn_source_column_type, options->n_types + 1);
        if (!types)
            return qn_error_memory(err);
        qn_source_options as_text = *options;
        types[as_text.n_types = 0] = (qn_source_column_type){target, QN_TYPE_CATEGORY};
        for (size_t i = 0; i < options->n_types; i++)
            if (strcmp(options->types[i].name, target) != 0)
                types[++as_text.n_types] = options->types[i];
        as_text.n_types++;
        as_text.types = types;
        qn_source_free(&source);
        QN_TRY(qn_source_open(&as_text, job, &source, err));
    }
    *ret_source = qn_steal(&source);
    return QN_OK;
}

void qn_look_done(qn_look *look) {
    qn_frame_free(&look->frame);
    qn_target_info_done(&look->target);
    qn_json_free(&look->profile);
}

static qn_status read_config(const char *folder, qn_config **ret_config, qn_error *err) {
    qn_cleanup(qn_freep) char *path = qn_path_join(folder, "quern.yaml");
    if (!path)
        return qn_error_memory(err);
    QN_FAIL_IF(!qn_file_exists(path), err, QN_ERR_NOT_FOUND,
               "there is no %s: name a file, or make a project with 'quern new'", path);
    return qn_config_read(path, ret_config, err);
}

/* All rows when they are few enough, else a random MAX_ROWS of them, through a temporary
 * snapshot. */
static qn_status read_rows(qn_source *source, const qn_job *job, qn_frame **ret_frame,
                           qn_error *err) {
    qn_cleanup(qn_freep) char *path = NULL;
    qn_cleanup(qn_freep) int64_t *rows = NULL;
    int64_t n_rows, n = 0;
    const char *folder = getenv("TMPDIR");
    QN_TRY(qn_source_snapshot(source, folder ? folder : "/tmp", job, &path, &n_rows, err));
    qn_status status = QN_OK;
    if (n_rows > MAX_ROWS)
        status = qn_sample_uniform(n_rows, MAX_ROWS, 42, &rows, &n, err);
    if (status == QN_OK)
        status = qn_snapshot_read(path, rows, n, job, ret_frame, err);
    remove(path);
    return status;
}

static qn_status read_frame(const qn_look_options *options, const qn_config *config,
                            qn_frame **ret_frame, qn_error *err) {
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_freep) qn_source_column_type *types =
        qn_new_array(qn_source_column_type, config ? config->data.types.n_columns : 0);
    qn_source_options source_options = {.path = options->source, .header = -1};
    if (!types)
        return qn_error_memory(err);
    qn_cleanup(qn_freep) char *path = NULL;
    if (config) {
        QN_TRY(qn_expand_path("data.source", config->data.source, &path, err));
        qn_source_options_of(config, path, types, &source_options);
    }
    const char *target = options->target || !config ? options->target : config->task.target;
    QN_TRY(qn_source_open_labelled(&source_options, target, options->job, &source, err));
    return read_rows(source, options->job, ret_frame, err);
}

qn_status qn_look_at(const qn_look_options *options, qn_look *ret_look, qn_error *err) {
    qn_cleanup(qn_config_free) qn_config *config = NULL;
    qn_cleanup(qn_look_done) qn_look look = {0};
    qn_cleanup(qn_freep) double *y = NULL;
    qn_job_progress(options->job, "import", 0, 0, NULL);
    if (!options->source)
        QN_TRY(read_config(options->folder, &config, err));
    QN_TRY(read_frame(options, config, &look.frame, err));
    qn_target_options target = {.column = options->target, .kind = options->kind};
    if (!target.column && config)
        target = (qn_target_options){config->task.target, config->task.kind, config->task.positive};
    if (target.column) {
        QN_TRY(qn_target_infer(look.frame, &target, &look.target, err));
        QN_TRY(qn_target_values(look.frame, &look.target, &y, err));
    }
    qn_profile_options profile_options = {.time = config ? config->data.time : NULL};
    QN_TRY(qn_profile_make(look.frame, target.column, y ? &look.target : NULL, y, &profile_options,
                           options->job, &look.profile, err));
    *ret_look = look;
    look = (qn_look){0};
    return QN_OK;
}
