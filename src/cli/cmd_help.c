/* quern help: commands, and everything that the tables can tell. */
#include <string.h>

#include "base/mem.h"
#include "cli/command.h"
#include "evaluate/metric.h"
#include "feature/pipeline.h"
#include "flow/config.h"
#include "learn/learner.h"

static void put_families(qn_buf *out) {
    for (const qn_family *const *family = qn_families(); *family; family++) {
        qn_buf_printf(out, "%s: %s\n%s\n", (*family)->name, (*family)->title, (*family)->help);
        if ((*family)->n_params)
            qn_buf_printf(out, "\n  %-26s %-10s %s\n", "parameter", "default", "range");
        qn_params_help((*family)->params, (*family)->n_params, out);
        qn_buf_put_char(out, '\n');
    }
}

static void put_metrics(qn_buf *out) {
    size_t n;
    const qn_metric *metrics = qn_metrics(&n);
    for (size_t i = 0; i < n; i++) {
        qn_buf_printf(out, "%-20s", metrics[i].name);
        for (unsigned kind = 0; kind < QN_METRIC_KINDS; kind++)
            if (metrics[i].tasks >> kind & 1)
                qn_buf_printf(out, " %s", qn_metric_kind_name(kind));
        qn_buf_printf(out, "; %s is better\n    %s\n",
                      metrics[i].greater_is_better ? "more" : "less", metrics[i].help);
    }
}

static qn_status put_topic(const char *topic, qn_buf *out, bool *ret_known, qn_error *err) {
    *ret_known = true;
    if (strcmp(topic, "config") == 0) {
        qn_config_reference(out);
    } else if (strcmp(topic, "schema") == 0) {
        qn_cleanup(qn_json_free) json_t *schema = qn_config_schema();
        if (!schema)
            return qn_error_memory(err);
        qn_json_write(schema, QN_JSON_PRETTY, out);
        qn_buf_put_char(out, '\n');
    } else if (strcmp(topic, "parameters") == 0) {
        put_families(out);
    } else if (strcmp(topic, "metrics") == 0) {
        put_metrics(out);
    } else if (strcmp(topic, "transforms") == 0) {
        qn_transforms_help(out);
    } else if (strcmp(topic, "man") == 0) {
        qn__cli_man(out);
    } else if (strcmp(topic, "markdown") == 0) {
        qn__cli_markdown(out);
    } else if (strcmp(topic, "bash") == 0 || strcmp(topic, "zsh") == 0 ||
               strcmp(topic, "fish") == 0) {
        return qn__cli_completion(topic, out, err);
    } else {
        *ret_known = false;
    }
    return QN_OK;
}

static const qn_cli_command *find(const char *first, const char *second) {
    size_t n, len = strlen(first);
    const qn_cli_command *commands = qn__cli_commands(&n);
    for (size_t i = 0; i < n; i++) {
        const char *name = commands[i].name;
        if (second ? strncmp(name, first, len) == 0 && name[len] == ' ' &&
                         strcmp(name + len + 1, second) == 0
                   : strcmp(name, first) == 0)
            return &commands[i];
    }
    return NULL;
}

qn_status qn__cmd_help(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    const char *first = args->n_arguments > 0 ? args->arguments[0] : NULL;
    const char *second = args->n_arguments > 1 ? args->arguments[1] : NULL;
    bool known = true;
    if (!first) {
        qn__cli_help(NULL, &out);
    } else if (find(first, second)) {
        qn__cli_help(find(first, second), &out);
    } else if (!second && qn__cli_is_group(first)) {
        qn__cli_group_help(first, &out);
    } else {
        QN_TRY(put_topic(first, &out, &known, err));
        QN_FAIL_IF(!known || second, err, QN_ERR_USAGE,
                   "no help on '%s%s%s': 'quern help' lists the commands", first, second ? " " : "",
                   second ? second : "");
    }
    return qn__cli_print(args, &out, err);
}
