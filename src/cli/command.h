/* command.h - one table of commands and options drives parsing, --help, the man page, shell
 * completion and docs/CLI.md. A command is one line of command_table.c and one function. */
#ifndef QN_CLI_COMMAND_H
#define QN_CLI_COMMAND_H

#include "base/buf.h"
#include "base/job.h"
#include "base/json.h"

typedef struct qn_cli_option {
    const char *name;     /* "input", without the dashes */
    char letter;          /* 'i', or 0 */
    const char *value;    /* "FILE", or NULL for a switch */
    const char *choices;  /* "csv json", for completion and checks; NULL for any */
    const char *help;     /* one phrase, no final stop */
} qn_cli_option;

struct qn_cli_args;

typedef struct qn_cli_command {
    const char *name;      /* "models list": words separated by one space */
    const char *arguments; /* "MODEL [COLUMN]..." for the usage line; NULL for none */
    int min_arguments, max_arguments;
    const char *summary;   /* one line, no final stop */
    const char *details;   /* paragraphs, NULL for none */
    const char *example;   /* lines, NULL for none */
    const char *words;     /* what an argument can be, for completion; NULL for files */
    const qn_cli_option *options;
    size_t n_options;
    qn_status (*run)(const struct qn_cli_args *args, qn_error *err);
} qn_cli_command;

enum { QN_CLI_MAX_ARGUMENTS = 16, QN_CLI_MAX_OPTIONS = 32 };

/* What the user typed, checked against the table. Text is borrowed from argv. */
typedef struct qn_cli_args {
    const qn_cli_command *command;
    const char *arguments[QN_CLI_MAX_ARGUMENTS];
    int n_arguments;
    const char *names[QN_CLI_MAX_OPTIONS], *values[QN_CLI_MAX_OPTIONS];
    int n_values;
    /* the options every command has */
    const char *folder;   /* -C, "." unless given */
    bool json, quiet, help;
    int n_threads;        /* 0: as many as there are processors */
    bool has_seed;
    int64_t seed;
    qn_job job;           /* made from the above, with the display */
} qn_cli_args;

const qn_cli_command *qn__cli_commands(size_t *ret_n);
const qn_cli_option *qn__cli_common_options(size_t *ret_n);
/* Is it the first word of commands of two, as "runs" is? */
bool qn__cli_is_group(const char *word);

/* Fills *ret_args from argv[1..]. QN_ERR_USAGE with the nearest name. An empty command line and
 * --help give command NULL or help set. */
qn_status qn__cli_parse(int argc, char **argv, qn_cli_args *ret_args, qn_error *err) QN_MUST_USE;
/* The last value of an option, NULL when it was not given. A switch has the value "". */
const char *qn__cli_value(const qn_cli_args *args, const char *name);

/* Cuts a list at its commas, in place; `none` alone is the empty list. The caller frees the array. */
qn_status qn__cli_split_list(char *list, const char ***ret_items, size_t *ret_n,
                             qn_error *err) QN_MUST_USE;

/* Help in its four shapes. */
void qn__cli_help(const qn_cli_command *command, qn_buf *out); /* NULL: the overview */
void qn__cli_group_help(const char *group, qn_buf *out);       /* "models" */
void qn__cli_man(qn_buf *out);
void qn__cli_markdown(qn_buf *out);
qn_status qn__cli_completion(const char *shell, qn_buf *out, qn_error *err) QN_MUST_USE;

/* Result text to standard output, in one piece, after the progress display has ended; QN_ERR_IO
 * when it cannot be written. A reader that has gone (`| head`) ends the process as it does every
 * other program. */
qn_status qn__cli_print(const qn_cli_args *args, const qn_buf *text, qn_error *err) QN_MUST_USE;
/* One JSON object and a newline. */
qn_status qn__cli_print_json(const qn_cli_args *args, const json_t *json, qn_error *err)
    QN_MUST_USE;

/* A line of text, on a terminal broken between words to its width. */
void qn__cli_put_wrapped(const char *text, qn_buf *out);
/* A line for each warning of a profile: "warning: id: nearly every row has a value of its own". */
void qn__cli_put_data_warnings(const json_t *warnings, qn_buf *out);

/* Commands that make a model of another. Whether --output and --alias are given as they must be; then
 * the model is written there, and registered if that is asked and there is no reason why not (NULL).
 * What was done goes into the result, and from there into a line of text. */
qn_status qn__cli_check_made(const qn_cli_args *args, const char *command,
                             qn_error *err) QN_MUST_USE;
qn_status qn__cli_keep_made(const qn_cli_args *args, const qn_buf *bytes, const char *why_not,
                            json_t *result, qn_error *err) QN_MUST_USE;
void qn__cli_put_registered(const json_t *result, qn_buf *out);

/* The functions behind the table, by file. */
qn_status qn__cmd_new(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_run(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_compress(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_refit(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_bench(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_data_profile(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_data_split(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_evaluate(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_explain(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_predict(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_serve(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_token(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_import(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_export(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_report(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_models_list(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_models_show(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_models_promote(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_models_rollback(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_models_diff(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_models_history(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_runs_list(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_runs_show(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_runs_compare(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_check(const qn_cli_args *args, qn_error *err);
qn_status qn__cmd_help(const qn_cli_args *args, qn_error *err);

#endif
