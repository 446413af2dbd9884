#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "base/mem.h"
#include "cli/command.h"

/* The command whose words begin argv[at..]; *ret_words tells how many they are. */
static const qn_cli_command *find_command(int argc, char **argv, int at, int *ret_words) {
    size_t n;
    const qn_cli_command *commands = qn__cli_commands(&n);
    for (size_t i = 0; i < n; i++) {
        const char *space = strchr(commands[i].name, ' ');
        size_t first = space ? (size_t)(space - commands[i].name) : strlen(commands[i].name);
        if (strlen(argv[at]) != first || strncmp(argv[at], commands[i].name, first) != 0)
            continue;
        *ret_words = 1;
        if (!space)
            return &commands[i];
        if (at + 1 < argc && strcmp(argv[at + 1], space + 1) == 0) {
            *ret_words = 2;
            return &commands[i];
        }
    }
    return NULL;
}

static qn_status unknown_command(int argc, char **argv, int at, qn_error *err) {
    enum { MAX = 64, WORD = 32 };
    char words[MAX][WORD], list[256] = "";
    const char *names[MAX];
    size_t n, n_names = 0, used = 0;
    const qn_cli_command *commands = qn__cli_commands(&n);
    bool group = qn__cli_is_group(argv[at]);
    const char *given = argv[at];
    for (size_t i = 0; i < n && n_names < MAX; i++) {
        size_t len = strlen(given);
        bool inside = strncmp(commands[i].name, given, len) == 0 && commands[i].name[len] == ' ';
        if (group && !inside)
            continue;
        const char *name = group ? commands[i].name + len + 1 : commands[i].name;
        snprintf(words[n_names], WORD, "%.*s", (int)strcspn(name, " "), name);
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", n_names ? ", " : "",
                                     words[n_names]);
        names[n_names] = words[n_names];
        n_names++;
    }
    if (group && at + 1 >= argc)
        return qn_error_set(err, QN_ERR_USAGE,
                            "'quern %s' needs one more word (%s): see 'quern help %s'", given, list,
                            given);
    const char *word = group ? argv[at + 1] : given;
    const char *near = qn_text_nearest(word, names, n_names);
    const char *prefix = group ? given : "", *gap = group ? " " : "";
    if (near)
        return qn_error_set(err, QN_ERR_USAGE,
                            "unknown command '%s%s%s': did you mean 'quern %s%s%s'?", prefix, gap,
                            word, prefix, gap, near);
    return qn_error_set(err, QN_ERR_USAGE, "unknown command '%s%s%s': 'quern help' lists them",
                        prefix, gap, word);
}

static const qn_cli_option *find_in(const qn_cli_option *options, size_t n, const char *name,
                                    size_t len, char letter) {
    for (size_t i = 0; i < n; i++) {
        if (letter ? options[i].letter == letter
                   : strlen(options[i].name) == len && strncmp(options[i].name, name, len) == 0)
            return &options[i];
    }
    return NULL;
}

/* Looks among the command's options, then the common ones; `letter` 0 looks by name. */
static const qn_cli_option *find_option(const qn_cli_command *command, const char *name, size_t len,
                                        char letter) {
    size_t n;
    const qn_cli_option *option = NULL;
    if (command)
        option = find_in(command->options, command->n_options, name, len, letter);
    if (option)
        return option;
    const qn_cli_option *common = qn__cli_common_options(&n);
    return find_in(common, n, name, len, letter);
}

static qn_status unknown_option(const qn_cli_command *command, const char *given, qn_error *err) {
    const char *names[QN_CLI_MAX_OPTIONS];
    size_t n_common, n = 0;
    const qn_cli_option *common = qn__cli_common_options(&n_common);
    for (size_t i = 0; command && i < command->n_options; i++)
        names[n++] = command->options[i].name;
    for (size_t i = 0; i < n_common; i++)
        names[n++] = common[i].name;
    const char *near = given[1] == '-' ? qn_text_nearest(given + 2, names, n) : NULL;
    if (near)
        return qn_error_set(err, QN_ERR_USAGE, "unknown option %s: did you mean --%s?", given,
                            near);
    return qn_error_set(err, QN_ERR_USAGE, "unknown option %s: see 'quern help%s%s'", given,
                        command ? " " : "", command ? command->name : "");
}

static bool is_choice(const char *choices, const char *value) {
    size_t n = strlen(value);
    for (const char *at = choices; *at;) {
        size_t len = strcspn(at, " ");
        if (len == n && strncmp(at, value, n) == 0)
            return true;
        at += len;
        at += strspn(at, " ");
    }
    return false;
}

static qn_status whole_number(const char *name, const char *value, int64_t low, int64_t high,
                              int64_t *ret, qn_error *err) {
    QN_FAIL_IF(!qn_text_to_i64(value, ret) || *ret < low || *ret > high, err, QN_ERR_USAGE,
               "--%s must be a whole number from %lld to %lld, not '%s'", name, (long long)low,
               (long long)high, value);
    return QN_OK;
}

static qn_status take_common(qn_cli_args *args, const char *name, const char *value,
                             bool *ret_taken, qn_error *err) {
    *ret_taken = true;
    if (strcmp(name, "directory") == 0) {
        args->folder = value;
    } else if (strcmp(name, "json") == 0) {
        args->json = true;
    } else if (strcmp(name, "quiet") == 0) {
        args->quiet = true;
    } else if (strcmp(name, "help") == 0) {
        args->help = true;
    } else if (strcmp(name, "threads") == 0) {
        int64_t n;
        QN_TRY(whole_number(name, value, 1, QN_LIMIT_THREADS, &n, err));
        args->n_threads = (int)n;
    } else if (strcmp(name, "seed") == 0) {
        QN_TRY(whole_number(name, value, 0, INT64_MAX, &args->seed, err));
        args->has_seed = true;
    } else {
        *ret_taken = false;
    }
    return QN_OK;
}

static qn_status take_option(qn_cli_args *args, const qn_cli_option *option, const char *value,
                             qn_error *err) {
    QN_FAIL_IF(option->choices && !is_choice(option->choices, value), err, QN_ERR_USAGE,
               "--%s must be one of: %s; not '%s'", option->name, option->choices, value);
    bool taken;
    QN_TRY(take_common(args, option->name, value, &taken, err));
    if (taken)
        return QN_OK;
    QN_FAIL_IF(args->n_values == QN_CLI_MAX_OPTIONS, err, QN_ERR_USAGE, "too many options");
    args->names[args->n_values] = option->name;
    args->values[args->n_values++] = value;
    return QN_OK;
}

/* One argument that begins with '-': --name, --name=value, --name value, -x, -xvalue, -x value. */
static qn_status parse_option(qn_cli_args *args, int argc, char **argv, int *i, qn_error *err) {
    const char *given = argv[*i], *value = NULL;
    const qn_cli_option *option;
    if (given[1] == '-') {
        const char *equals = strchr(given, '=');
        size_t len = equals ? (size_t)(equals - given - 2) : strlen(given + 2);
        option = find_option(args->command, given + 2, len, 0);
        value = equals ? equals + 1 : NULL;
    } else {
        option = find_option(args->command, NULL, 0, given[1]);
        value = given[2] ? given + 2 : NULL;
    }
    if (!option)
        return unknown_option(args->command, given, err);
    QN_FAIL_IF(!option->value && value, err, QN_ERR_USAGE, "--%s takes no value", option->name);
    if (option->value && !value) {
        QN_FAIL_IF(*i + 1 >= argc, err, QN_ERR_USAGE, "--%s needs a value: --%s %s", option->name,
                   option->name, option->value);
        value = argv[++*i];
    }
    return take_option(args, option, value ? value : "", err);
}

/* Options may stand before the command too (quern -C DIR run): skip them to find its words. */
static int first_word(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-' || !argv[i][1])
            return i;
        bool long_name = argv[i][1] == '-';
        const qn_cli_option *option = long_name
            ? find_option(NULL, argv[i] + 2, strlen(argv[i] + 2), 0)
            : find_option(NULL, NULL, 0, argv[i][1]);
        if (option && option->value && (long_name || !argv[i][2]))
            i++;
    }
    return argc;
}

static qn_status check_arguments(const qn_cli_args *args, qn_error *err) {
    const qn_cli_command *command = args->command;
    if (args->help)
        return QN_OK;
    const char *usage = command->arguments ? command->arguments : "";
    QN_FAIL_IF(args->n_arguments < command->min_arguments, err, QN_ERR_USAGE,
               "'quern %s' needs %s: quern %s %s", command->name, usage, command->name, usage);
    QN_FAIL_IF(args->n_arguments > command->max_arguments, err, QN_ERR_USAGE,
               "'quern %s' takes no argument '%s': quern %s%s%s", command->name,
               args->arguments[command->max_arguments], command->name, *usage ? " " : "", usage);
    return QN_OK;
}

qn_status qn__cli_parse(int argc, char **argv, qn_cli_args *ret_args, qn_error *err) {
    qn_cli_args args = {.folder = "."};
    int at = first_word(argc, argv), n_words = 0;
    if (at < argc) {
        args.command = find_command(argc, argv, at, &n_words);
        if (!args.command && qn__cli_is_group(argv[at]) && at + 1 < argc &&
            (strcmp(argv[at + 1], "--help") == 0 || strcmp(argv[at + 1], "-h") == 0)) {
            args.help = true;
            args.arguments[args.n_arguments++] = argv[at];
            *ret_args = args;
            return QN_OK;
        }
        if (!args.command)
            return unknown_command(argc, argv, at, err);
    }
    bool only_arguments = false;
    for (int i = 1; i < argc; i++) {
        if (i >= at && i < at + n_words)
            continue;
        if (!only_arguments && strcmp(argv[i], "--") == 0) {
            only_arguments = true;
        } else if (!only_arguments && argv[i][0] == '-' && argv[i][1]) {
            QN_TRY(parse_option(&args, argc, argv, &i, err));
        } else {
            QN_FAIL_IF(args.n_arguments == QN_CLI_MAX_ARGUMENTS, err, QN_ERR_USAGE,
                       "too many arguments: '%s'", argv[i]);
            args.arguments[args.n_arguments++] = argv[i];
        }
    }
    if (args.command)
        QN_TRY(check_arguments(&args, err));
    *ret_args = args;
    return QN_OK;
}

const char *qn__cli_value(const qn_cli_args *args, const char *name) {
    for (int i = args->n_values - 1; i >= 0; i--)
        if (strcmp(args->names[i], name) == 0)
            return args->values[i];
    return NULL;
}

qn_status qn__cli_split_list(char *list, const char ***ret_items, size_t *ret_n, qn_error *err) {
    size_t n = 0, cap = 1;
    for (const char *c = list; *c; c++)
        cap += *c == ',';
    const char **items = qn_new_array(const char *, cap);
    if (!items)
        return qn_error_memory(err);
    char *rest = list, *item;
    bool none = strcmp(list, "none") == 0;
    while (!none && (item = strsep(&rest, ",")))
        if (*item)
            items[n++] = item;
    *ret_items = items;
    *ret_n = n;
    return QN_OK;
}
