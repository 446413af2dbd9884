#include <string.h>

#include "base/text.h"
#include "cli/command.h"

static const char overview_head[] =
    "quern - a complete machine-learning system: from a table to a judged, served model\n\n"
    "Usage: quern COMMAND [ARGUMENTS] [OPTIONS]\n\n";

static const char overview_tail[] =
    "\nStart with:\n"
    "  quern new churn --source customers.csv --target churned\n"
    "  cd churn && quern run && quern report --open\n\n"
    "'quern help COMMAND' explains one command; 'quern help config' every key of quern.yaml.\n"
    "Exit status: 0 done, 1 failed, 2 usage or config, 3 bad data, 130 interrupted.\n";

/* Puts `text` in lines of at most `width` bytes, each after `indent`. */
static void put_wrapped(qn_buf *out, const char *text, const char *indent, size_t width) {
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (n > width) {
            n = width;
            while (n > 0 && text[n] != ' ')
                n--;
            if (n == 0)
                n = strcspn(text, " \n");
        }
        qn_buf_put_text(out, indent);
        qn_buf_put(out, text, n);
        qn_buf_put_char(out, '\n');
        text += n;
        text += strspn(text, " \n");
    }
}

static void put_option(const qn_cli_option *option, qn_buf *out) {
    char left[64];
    snprintf(left, sizeof left, "%c%c%s--%s%s%s", option->letter ? '-' : ' ',
             option->letter ? option->letter : ' ', option->letter ? ", " : "  ", option->name,
             option->value ? " " : "", option->value ? option->value : "");
    qn_buf_printf(out, "  %-24s %s\n", left, option->help);
    if (option->choices)
        qn_buf_printf(out, "  %-24s one of: %s\n", "", option->choices);
}

static void put_options(const qn_cli_option *options, size_t n, qn_buf *out) {
    for (size_t i = 0; i < n; i++)
        put_option(&options[i], out);
}

static void put_command_lines(const char *group, qn_buf *out) {
    size_t n, len = group ? strlen(group) : 0;
    const qn_cli_command *commands = qn__cli_commands(&n);
    for (size_t i = 0; i < n; i++) {
        if (group && (strncmp(commands[i].name, group, len) != 0 || commands[i].name[len] != ' '))
            continue;
        qn_buf_printf(out, "  %-17s %s\n", commands[i].name, commands[i].summary);
    }
}

void qn__cli_group_help(const char *group, qn_buf *out) {
    qn_buf_printf(out, "Usage: quern %s COMMAND [OPTIONS]\n\n", group);
    put_command_lines(group, out);
    qn_buf_printf(out, "\n'quern help %s COMMAND' explains one.\n", group);
}

void qn__cli_help(const qn_cli_command *command, qn_buf *out) {
    size_t n_common;
    const qn_cli_option *common = qn__cli_common_options(&n_common);
    if (!command) {
        qn_buf_put_text(out, overview_head);
        put_command_lines(NULL, out);
        qn_buf_put_text(out, "\nOptions of every command:\n");
        put_options(common, n_common, out);
        qn_buf_put_text(out, overview_tail);
        return;
    }
    qn_buf_printf(out, "quern %s - %s\n\nUsage: quern %s%s%s [OPTIONS]\n", command->name,
                  command->summary, command->name, command->arguments ? " " : "",
                  command->arguments ? command->arguments : "");
    if (command->details) {
        qn_buf_put_char(out, '\n');
        put_wrapped(out, command->details, "", 90);
    }
    if (command->n_options) {
        qn_buf_put_text(out, "\nOptions:\n");
        put_options(command->options, command->n_options, out);
    }
    qn_buf_put_text(out, "\nOptions of every command:\n");
    put_options(common, n_common, out);
    if (command->example) {
        qn_buf_put_text(out, "\nFor example:\n");
        put_wrapped(out, command->example, "  ", 200);
    }
}

/* troff: a leading dot or quote would be a request, a backslash an escape, '-' a hyphen. */
static void put_roff(qn_buf *out, const char *text) {
    for (const char *c = text; *c; c++) {
        if (*c == '\\')
            qn_buf_put_text(out, "\\e");
        else if (*c == '-')
            qn_buf_put_text(out, "\\-");
        else if ((*c == '.' || *c == '\'') && (c == text || c[-1] == '\n'))
            qn_buf_printf(out, "\\&%c", *c);
        else
            qn_buf_put_char(out, *c);
    }
    qn_buf_put_char(out, '\n');
}

static void put_roff_options(const qn_cli_option *options, size_t n, qn_buf *out) {
    for (size_t i = 0; i < n; i++) {
        char left[96];
        snprintf(left, sizeof left, "%s%c%s--%s%s%s", options[i].letter ? "-" : "",
                 options[i].letter ? options[i].letter : ' ', options[i].letter ? ", " : "",
                 options[i].name, options[i].value ? " " : "",
                 options[i].value ? options[i].value : "");
        qn_buf_put_text(out, ".TP\n");
        put_roff(out, left[0] == ' ' ? left + 1 : left);
        put_roff(out, options[i].help);
    }
}

void qn__cli_man(qn_buf *out) {
    size_t n, n_common;
    const qn_cli_command *commands = qn__cli_commands(&n);
    const qn_cli_option *common = qn__cli_common_options(&n_common);
    qn_buf_put_text(out,
                    ".TH QUERN 1\n.SH NAME\nquern \\- a complete machine\\-learning system\n"
                    ".SH SYNOPSIS\n.B quern\n.I COMMAND\n[ARGUMENTS] [OPTIONS]\n.SH COMMANDS\n");
    for (size_t i = 0; i < n; i++) {
        qn_buf_printf(out, ".SS \"quern %s %s\"\n", commands[i].name,
                      commands[i].arguments ? commands[i].arguments : "");
        put_roff(out, commands[i].summary);
        if (commands[i].details) {
            qn_buf_put_text(out, ".PP\n");
            put_roff(out, commands[i].details);
        }
        put_roff_options(commands[i].options, commands[i].n_options, out);
        if (commands[i].example) {
            qn_buf_put_text(out, ".PP\n.nf\n");
            put_roff(out, commands[i].example);
            qn_buf_put_text(out, ".fi\n");
        }
    }
    qn_buf_put_text(out, ".SH OPTIONS OF EVERY COMMAND\n");
    put_roff_options(common, n_common, out);
    qn_buf_put_text(
        out,
        ".SH EXIT STATUS\n0 done, 1 failed, 2 usage or config, 3 bad data, 130 interrupted.\n");
}

void qn__cli_markdown(qn_buf *out) {
    size_t n, n_common;
    const qn_cli_command *commands = qn__cli_commands(&n);
    const qn_cli_option *common = qn__cli_common_options(&n_common);
    qn_buf_put_text(
        out, "# The command line\n\nMade by `make docs` from the tables behind `quern --help`.\n");
    for (size_t i = 0; i < n; i++) {
        const qn_cli_command *c = &commands[i];
        qn_buf_printf(out, "\n## quern %s\n\n`quern %s%s%s [OPTIONS]`: %s.\n", c->name, c->name,
                      c->arguments ? " " : "", c->arguments ? c->arguments : "", c->summary);
        if (c->details)
            qn_buf_printf(out, "\n%s\n", c->details);
        if (c->n_options)
            qn_buf_put_text(out, "\n| option | meaning |\n| --- | --- |\n");
        for (size_t k = 0; k < c->n_options; k++)
            qn_buf_printf(out, "| `--%s%s%s` | %s |\n", c->options[k].name,
                          c->options[k].value ? " " : "",
                          c->options[k].value ? c->options[k].value : "", c->options[k].help);
        if (c->example)
            qn_buf_printf(out, "\n```\n%s\n```\n", c->example);
    }
    qn_buf_put_text(out, "\n## Options of every command\n\n| option | meaning |\n| --- | --- |\n");
    for (size_t k = 0; k < n_common; k++)
        qn_buf_printf(out, "| `--%s%s%s` | %s |\n", common[k].name, common[k].value ? " " : "",
                      common[k].value ? common[k].value : "", common[k].help);
    qn_buf_put_text(
        out, "\nExit status: 0 done, 1 failed, 2 usage or config, 3 bad data, 130 interrupted.\n");
}

/* The distinct first words, or the second words of one group, separated by spaces. */
static void put_words(const char *group, qn_buf *out) {
    size_t n, len = group ? strlen(group) : 0;
    const qn_cli_command *commands = qn__cli_commands(&n);
    const char *last = "";
    size_t last_n = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = commands[i].name;
        if (group && (strncmp(name, group, len) != 0 || name[len] != ' '))
            continue;
        const char *word = group ? name + len + 1 : name;
        size_t word_n = strcspn(word, " ");
        if (!group && word_n == last_n && strncmp(word, last, word_n) == 0)
            continue;
        qn_buf_put(out, word, word_n);
        qn_buf_put_char(out, ' ');
        last = word;
        last_n = word_n;
    }
}

static void put_option_words(const qn_cli_command *command, qn_buf *out) {
    size_t n_common;
    const qn_cli_option *common = qn__cli_common_options(&n_common);
    for (size_t i = 0; i < command->n_options; i++)
        qn_buf_printf(out, "--%s ", command->options[i].name);
    for (size_t i = 0; i < n_common; i++)
        qn_buf_printf(out, "--%s ", common[i].name);
}

static void complete_bash(qn_buf *out) {
    size_t n;
    const qn_cli_command *commands = qn__cli_commands(&n);
    qn_buf_put_text(out,
        "_quern() {\n"
        "    local cur=${COMP_WORDS[COMP_CWORD]} one=${COMP_WORDS[1]} two=${COMP_WORDS[2]} words=\n"
        "    if [ $COMP_CWORD = 1 ]; then words='");
    put_words(NULL, out);
    qn_buf_put_text(out, "'; else\n    case \"$one $two\" in\n");
    for (size_t i = 0; i < n; i++) {
        qn_buf_printf(out, "    '%s%s) words='", commands[i].name,
                      strchr(commands[i].name, ' ') ? "'*" : " '*");
        if (commands[i].words) {
            qn_buf_printf(out, "%s ", commands[i].words);
            put_words(NULL, out);
        }
        put_option_words(&commands[i], out);
        qn_buf_put_text(out, "' ;;\n");
    }
    static const char *const groups[] = {"data", "models", "runs"};
    for (size_t i = 0; i < 3; i++) {
        qn_buf_printf(out, "    '%s '*) words='", groups[i]);
        put_words(groups[i], out);
        qn_buf_put_text(out, "' ;;\n");
    }
    qn_buf_put_text(out, "    esac; fi\n"
        "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
        "    if [ ${#COMPREPLY[@]} = 0 ]; then COMPREPLY=($(compgen -f -- \"$cur\")); fi\n"
        "}\ncomplete -o filenames -F _quern quern\n");
}

static void complete_fish(qn_buf *out) {
    size_t n;
    const qn_cli_command *commands = qn__cli_commands(&n);
    qn_buf_put_text(out, "complete -c quern -n __fish_use_subcommand -f -a '");
    put_words(NULL, out);
    qn_buf_put_text(out, "'\n");
    for (size_t i = 0; i < n; i++) {
        const char *space = strchr(commands[i].name, ' ');
        int first = (int)(space ? space - commands[i].name : (long)strlen(commands[i].name));
        if (space)
            qn_buf_printf(
                out, "complete -c quern -n '__fish_seen_subcommand_from %.*s' -f -a %s -d '%s'\n",
                first, commands[i].name, space + 1, commands[i].summary);
        if (commands[i].words)
            qn_buf_printf(out, "complete -c quern -n '__fish_seen_subcommand_from %s' -f -a '%s'\n",
                          commands[i].name, commands[i].words);
        for (size_t k = 0; k < commands[i].n_options; k++) {
            const qn_cli_option *o = &commands[i].options[k];
            qn_buf_printf(out, "complete -c quern -n '__fish_seen_subcommand_from %s' -l %s%s\n",
                          space ? space + 1 : commands[i].name, o->name, o->value ? " -r" : "");
        }
    }
}

qn_status qn__cli_completion(const char *shell, qn_buf *out, qn_error *err) {
    if (strcmp(shell, "bash") == 0) {
        complete_bash(out);
    } else if (strcmp(shell, "zsh") == 0) {
        qn_buf_put_text(out, "autoload -U +X bashcompinit && bashcompinit\n");
        complete_bash(out);
    } else if (strcmp(shell, "fish") == 0) {
        complete_fish(out);
    } else {
        return qn_error_set(err, QN_ERR_USAGE, "no completion for the shell '%s'", shell);
    }
    return QN_OK;
}
