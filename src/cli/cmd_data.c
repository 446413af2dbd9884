/* quern data profile, quern data split. */
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/command.h"
#include "flow/look.h"
#include "flow/run.h"

static int terminal_width(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 110;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

void qn__cli_put_wrapped(const char *text, qn_buf *out) {
    struct winsize size;
    bool fits = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 40;
    int width = fits ? 0 : size.ws_col - 1, column = 0;
    while (*text) {
        size_t n = strcspn(text, " ");
        int shown = 0;
        for (size_t i = 0; i < n; i++)
            shown += ((unsigned char)text[i] & 0xC0) != 0x80;
        if (column > 0 && !fits && column + 1 + shown > width) {
            qn_buf_put_text(out, "\n    ");
            column = 4;
        } else if (column > 0) {
            qn_buf_put_char(out, ' ');
            column++;
        }
        qn_buf_put(out, text, n);
        column += shown;
        text += n + (text[n] == ' ');
    }
    qn_buf_put_char(out, '\n');
}

void qn__cli_put_data_warnings(const json_t *warnings, qn_buf *out) {
    size_t i;
    const json_t *warning;
    json_array_foreach(warnings, i, warning) {
        const char *column = text_of(warning, "column");
        qn_cleanup(qn_freep) char *line = qn_format("%s: %s%s%s", text_of(warning, "severity"),
                                                    column, *column ? ": " : "",
                                                    text_of(warning, "message"));
        qn__cli_put_wrapped(line ? line : "", out);
    }
}

qn_status qn__cmd_data_profile(const qn_cli_args *args, qn_error *err) {
    const char *file = args->n_arguments ? args->arguments[0] : qn__cli_value(args, "source");
    qn_look_options options = {.folder = args->folder, .source = file,
                               .target = qn__cli_value(args, "target"), .job = &args->job};
    qn_cleanup(qn_look_done) qn_look look = {0};
    QN_TRY(qn_look_at(&options, &look, err));
    if (args->json)
        return qn__cli_print_json(args, look.profile, err);
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_profile_text(look.profile, terminal_width(), &out);
    return qn__cli_print(args, &out, err);
}

qn_status qn__cmd_data_split(const qn_cli_args *args, qn_error *err) {
    qn_run_options options = {.folder = args->folder, .config = qn__cli_value(args, "config"),
                              .job = &args->job, .has_seed = args->has_seed, .seed = args->seed};
    QN_TRY(qn_run_split_files(&options, args->arguments[0], err));
    if (!args->json)
        return QN_OK;
    qn_cleanup(qn_json_free) json_t *json = json_pack("{s:s}", "folder", args->arguments[0]);
    return json ? qn__cli_print_json(args, json, err) : qn_error_memory(err);
}
