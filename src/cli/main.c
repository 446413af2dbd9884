/* The program: reads the command line, runs one command, says once what went wrong. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/display.h"

static volatile sig_atomic_t interrupted;
static qn_job_stop stop; /* of training */

/* While boosting goes on, the first Ctrl-C ends it with what it has, and the run goes on. Otherwise
 * the first signal asks politely; the second ends the process at once, which is safe at any
 * moment. */
static void on_signal(int signal_number) {
    if (signal_number == SIGINT && stop.possible && !stop.asked && !interrupted) {
        stop.asked = 1;
        return;
    }
    if (interrupted)
        _exit(128 + signal_number);
    interrupted = 1;
}

static void catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* beyond `ulimit -f` writes fail, as on a full disk */
}

static int exit_status(qn_status status, const qn_error *err) {
    switch (status) {
    case QN_OK:
        return 0;
    case QN_ERR_USAGE:
    case QN_ERR_CONFIG:
        return 2;
    case QN_ERR_DATA:
        return 3;
    case QN_ERR_LIMIT: /* a row of the data, or what the user limited */
        return err->row > 0 ? 3 : 1;
    case QN_ERR_CANCELLED:
        return 130;
    default:
        return 1;
    }
}

static void say_error(const qn_cli_args *args, const qn_error *err) {
    if (args->json) {
        qn_cleanup(qn_json_free) json_t *json = json_pack(
            "{s:{s:s, s:s}}", "error", "code", qn_status_name(err->code), "message", err->message);
        if (json && err->row > 0)
            json_object_set_new(json_object_get(json, "error"), "row", json_integer(err->row));
        if (json && err->column[0])
            json_object_set_new(json_object_get(json, "error"), "column", json_string(err->column));
        if (json && qn__cli_print_json(args, json, NULL) == QN_OK)
            return;
    }
    fprintf(stderr, "quern: %s\n", err->message);
}

qn_status qn__cli_print(const qn_cli_args *args, const qn_buf *text, qn_error *err) {
    QN_TRY(qn_buf_status(text, err));
    if (args->job.user)
        qn__display_end_stage(args->job.user);
    signal(SIGPIPE, SIG_DFL); /* the work is done: nothing is lost */
    if (fwrite(text->data ? text->data : "", 1, text->len, stdout) != text->len ||
        fflush(stdout) != 0)
        return qn_error_errno(err, "write", "standard output");
    return QN_OK;
}

qn_status qn__cli_print_json(const qn_cli_args *args, const json_t *json, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_json_write(json, isatty(STDOUT_FILENO) ? QN_JSON_PRETTY : QN_JSON_COMPACT, &out);
    qn_buf_put_char(&out, '\n');
    return qn__cli_print(args, &out, err);
}

static qn_status show_help(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    if (!args->command && args->n_arguments == 1)
        qn__cli_group_help(args->arguments[0], &out);
    else
        qn__cli_help(args->command, &out);
    return qn__cli_print(args, &out, err);
}

static qn_status run_command(qn_cli_args *args, qn_error *err) {
    qn_display display;
    qn__display_init(&display, args->quiet);
    args->job = (qn_job){.n_threads = args->n_threads ? args->n_threads : qn_threads_available(),
                         .cancel = &interrupted,
                         .stop = &stop,
                         .on_progress = qn__display_progress,
                         .user = &display};
    qn_status status = args->command->run(args, err);
    qn__display_done(&display, status == QN_OK);
    args->job = (qn_job){0};
    return status;
}

/* Idle threads of libgomp spin for milliseconds before they sleep, which starves everybody on a
 * shared machine (measured: twelve times slower with two threads on two busy processors). A short
 * spin keeps most of the gain. libgomp reads the environment once, before main, so the program
 * starts itself again with it set. */
static void limit_spinning(char **argv) {
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    for (char **word = argv; *word; word++) /* uses no such threads, and wants to be ready soon */
        if (strcmp(*word, "serve") == 0)
            return;
    char path[4096]; /* its own name, so that `ps` shows it and not "exe" */
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return;
    path[n] = '\0';
    if (setenv("GOMP_SPINCOUNT", "1000", 1) != 0)
        return;
    execv(path, argv); /* on failure: go on as we are */
}

int main(int argc, char **argv) {
    qn_error err = {0};
    limit_spinning(argv);
    qn_cli_args args = {.folder = "."};
    catch_signals();
    for (int i = 1; i < argc; i++) /* an error in the command line itself is told in JSON too */
        args.json |= strcmp(argv[i], "--json") == 0;
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return printf("quern " QN_VERSION "\n") < 0;
    qn_status status = qn__cli_parse(argc, argv, &args, &err);
    if (status == QN_OK && (args.help || !args.command))
        status = show_help(&args, &err);
    else if (status == QN_OK)
        status = run_command(&args, &err);
    if (status != QN_OK)
        say_error(&args, &err);
    return exit_status(status, &err);
}
