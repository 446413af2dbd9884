/* quern new: a project folder with a quern.yaml that says what was found in the data. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/command.h"
#include "flow/config_new.h"
#include "flow/look.h"

static bool is_good_name(const char *name) {
    size_t n = strlen(name);
    return n > 0 && n <= 200 && name[0] != '.' && name[0] != '-' && !strpbrk(name, "/\\\"'\n\t:@");
}

/* The path of `source` as seen from inside the project: absolute ones stay; others get ../ in
 * front, or are made absolute when the project is not made here. */
static char *path_from(const char *folder, const char *source) {
    char here[PATH_MAX];
    if (source[0] == '/')
        return qn_strdup(source);
    if (strcmp(folder, ".") == 0 || !getcwd(here, sizeof here))
        return qn_format("../%s", source);
    return qn_path_join(here, source);
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* Warnings of the profile that ask for a column to be dropped, or looked at. */
static size_t find_suspects(const json_t *profile, qn_config_suspect *suspects, size_t max) {
    static const struct {
        const char *kind, *reason, *why; /* reason NULL: any */
        bool drop;
    } kinds[] = {
        {"id_like", NULL,
         "a different value in nearly every row: it names rows, it does not describe them", true},
        {"duplicate_column", NULL, "a copy of another column", true},
        {"leak_suspect", "copy", "a copy of the target", false},
        {"leak_suspect", "made_of", "with another column it makes up the target", false},
        {"leak_suspect", "missingness", "whether it is filled gives the target away", false},
        {"leak_suspect", "dominating",
         "it carries most of the signal: is it known at prediction time?", false},
        {"leak_suspect", NULL, "alone it nearly gives the target: is it known at prediction time?",
         false},
    };
    size_t i, n = 0;
    const json_t *warning;
    json_array_foreach(json_object_get(profile, "warnings"), i, warning) {
        const char *column = text_of(warning, "column"), *reason = text_of(warning, "reason");
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0] && *column && n < max; k++) {
            if (strcmp(text_of(warning, "kind"), kinds[k].kind) != 0 ||
                (kinds[k].reason && strcmp(reason, kinds[k].reason) != 0))
                continue;
            suspects[n++] = (qn_config_suspect){column, kinds[k].why, kinds[k].drop};
            break;
        }
    }
    return n;
}

static const char *find_time(const qn_frame *frame) {
    for (int32_t i = 0; i < frame->n_columns; i++)
        if (frame->columns[i].type == QN_TYPE_TIME)
            return frame->columns[i].name;
    return NULL;
}

static double share_of_positive(const json_t *profile, const char *positive) {
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(profile, "classes"), i, item) {
        if (strcmp(text_of(item, "label"), positive) == 0)
            return json_number_value(json_object_get(item, "share"));
    }
    return 0;
}

static qn_status write_config(const char *project, const char *path, const char *source,
                              const qn_look *look, qn_error *err) {
    enum { MAX_SUSPECTS = 64 };
    qn_config_suspect suspects[MAX_SUSPECTS];
    size_t n = (size_t)look->frame->n_columns;
    qn_cleanup(qn_freep) const char **names = qn_new_array(const char *, n);
    qn_cleanup(qn_freep) qn_type *types = qn_new_array(qn_type, n);
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    if (!names || !types)
        return qn_error_memory(err);
    for (size_t i = 0; i < n; i++) {
        names[i] = look->frame->columns[i].name;
        types[i] = look->frame->columns[i].type;
    }
    bool binary = look->target.task == QN_TASK_BINARY;
    qn_config_facts facts = {
        .project = project,
        .source = source,
        .target = look->target.name,
        .kind = look->target.task,
        .positive = binary ? look->target.classes[1] : NULL,
        .negative = binary ? look->target.classes[0] : NULL,
        .positive_share = binary ? share_of_positive(look->profile, look->target.classes[1]) : 0,
        .n_rows = look->frame->n_rows,
        .names = names,
        .types = types,
        .n_columns = n,
        .time = find_time(look->frame),
        .suspects = suspects,
        .n_suspects = find_suspects(look->profile, suspects, MAX_SUSPECTS),
    };
    QN_TRY(qn_config_new_text(&facts, &text, err));
    QN_TRY(qn_buf_status(&text, err));
    return qn_file_write(path, text.data, text.len, err);
}

static qn_status say_made(const qn_cli_args *args, const char *folder, const char *path,
                          const qn_look *look, qn_error *err) {
    if (args->json) {
        qn_cleanup(qn_json_free) json_t *json = json_pack(
            "{s:s, s:s, s:s, s:I, s:O}", "config", path, "target", look->target.name, "kind",
            qn_task_name(look->target.task), "rows", (json_int_t)look->frame->n_rows, "warnings",
            json_object_get(look->profile, "warnings"));
        return json ? qn__cli_print_json(args, json, err) : qn_error_memory(err);
    }
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn__cli_put_data_warnings(json_object_get(look->profile, "warnings"), &out);
    qn_buf_printf(
        &out, "\nWrote %s: read it, change what you know better, then\n    cd %s && quern run\n",
        path, folder);
    return qn__cli_print(args, &out, err);
}

qn_status qn__cmd_new(const qn_cli_args *args, qn_error *err) {
    const char *name = args->arguments[0], *source = qn__cli_value(args, "source");
    const char *target = qn__cli_value(args, "target");
    QN_FAIL_IF(
        !source || !target, err, QN_ERR_USAGE,
        "'quern new' needs --source FILE and --target COLUMN: quern new %s --source customers.csv "
        "--target churned",
        name);
    QN_FAIL_IF(
        !is_good_name(name), err, QN_ERR_USAGE,
        "'%s' is no good project name: it becomes a folder here; leave out / \\ : @ and quotes",
        name);
    qn_cleanup(qn_freep) char *folder = qn_path_join(args->folder, name);
    qn_cleanup(qn_freep) char *path = folder ? qn_path_join(folder, "quern.yaml") : NULL;
    qn_cleanup(qn_freep) char *seen = path_from(args->folder, source);
    if (!path || !seen)
        return qn_error_memory(err);
    QN_FAIL_IF(qn_file_exists(path), err, QN_ERR_EXISTS, "%s is there already: nothing was changed",
               path);
    qn_look_options options = {.folder = args->folder, .source = source, .target = target,
                               .kind = qn__cli_value(args, "kind"), .job = &args->job};
    qn_cleanup(qn_look_done) qn_look look = {0};
    QN_TRY(qn_look_at(&options, &look, err));
    QN_TRY(qn_folder_make(folder, err));
    QN_TRY(write_config(name, path, seen, &look, err));
    return say_made(args, folder, path, &look, err);
}
