/* quern data profile. */
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/command.h"
#include "flow/look.h"

static int terminal_width(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 110;
}

qn_status qn__cmd_data_profile(const qn_cli_args *args, qn_error *err) {
    const char *file = args->n_arguments ? args->arguments[0] : qn__cli_value(args, "source");
    qn_look_options options = {.folder = args->folder, .source = file,
                               .target = qn__cli_value(args, "target"), .job = &args->job};
    qn_cleanup(qn_look_done) qn_look look = {0};
    QN_TRY(qn_look_at(&options, &look, err));
    if (args->json)
        return qn__cli_print_json(look.profile, err);
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_profile_text(look.profile, terminal_width(), &out);
    return qn__cli_print(&out, err);
}
