#include "flow/config_new.h"

#include <math.h>
#include <string.h>

#include "base/text.h"
#include "base/yaml.h"

/* Text from the data inside a comment: one line, whatever it holds. */
static void put_comment_text(const char *text, qn_buf *out) {
    for (; *text; text++)
        qn_buf_put_char(out, (unsigned char)*text < 32 || *text == 127 ? ' ' : *text);
}

static void put_key(const char *before, const char *text, const char *after, qn_buf *out) {
    qn_buf_put_text(out, before);
    qn_yaml_write_text(text, out);
    qn_buf_put_text(out, after);
}

static void put_head(const qn_config_facts *f, qn_buf *out) {
    char rows[QN_DOUBLE_TEXT], columns[QN_DOUBLE_TEXT];
    qn_text_count(f->n_rows, rows);
    qn_text_count((int64_t)f->n_columns, columns);
    qn_buf_put_text(out, "# ");
    put_comment_text(f->project, out);
    qn_buf_put_text(out, ": what to predict, from what, and how to judge it.\n");
    if (f->n_rows > 0)
        qn_buf_printf(out,
                      "# Written by `quern new` after reading %s rows of %s columns. Edit freely, "
                      "then `quern run`.\n",
                      rows, columns);
    qn_buf_put_text(out,
                    "# Lines that begin with # are suggestions. Every key: docs/CONFIG.md.\n\n");
    put_key("project: ", f->project, "\n\n", out);
}

static void put_share(const qn_config_facts *f, qn_buf *out) {
    if (f->positive_share > 0)
        qn_buf_printf(out, "    # %.*f %% of the rows", f->positive_share < 0.01 ? 2 : 0,
                      100 * f->positive_share);
    qn_buf_put_char(out, '\n');
}

static void put_task(const qn_config_facts *f, qn_buf *out) {
    qn_buf_put_text(out, "task:\n");
    put_key("  target: ", f->target, "\n", out);
    qn_buf_printf(out, "  kind: %s\n", qn_task_name(f->kind));
    if (f->kind == QN_TASK_BINARY && f->positive) {
        put_key("  positive: ", f->positive, "", out);
        put_share(f, out);
    }
    qn_buf_put_char(out, '\n');
}

static void put_suspect(const qn_config_suspect *s, qn_buf *out) {
    put_key(s->drop ? "    - " : "    # - ", s->name, "    # ", out);
    put_comment_text(s->why ? s->why : "look at it", out);
    qn_buf_put_char(out, '\n');
}

static void put_drop(const qn_config_facts *f, qn_buf *out) {
    size_t n_drop = 0;
    for (size_t i = 0; i < f->n_suspects; i++)
        n_drop += f->suspects[i].drop;
    if (!f->n_suspects)
        return;
    qn_buf_put_text(
        out,
        "\n  # Columns to leave out: identifiers, and whatever is not yet known at the moment when "
        "the\n"
        "  # prediction is needed (a leak: it makes the model look better than it will be).\n");
    qn_buf_put_text(out, n_drop ? "  drop:\n" : "  # drop:\n");
    for (size_t i = 0; i < f->n_suspects; i++)
        if (f->suspects[i].drop)
            put_suspect(&f->suspects[i], out);
    for (size_t i = 0; i < f->n_suspects; i++)
        if (!f->suspects[i].drop)
            put_suspect(&f->suspects[i], out);
}

/* Columns of one type, as a comment, so that a wrong guess is seen at once. */
static void put_columns_of(const qn_config_facts *f, qn_type type, qn_buf *out) {
    enum { SHOWN = 24, WIDTH = 92 };
    size_t n = 0, width = 0;
    for (size_t i = 0; i < f->n_columns; i++)
        n += f->types[i] == type;
    if (!n)
        return;
    qn_buf_printf(out, "  #   %-8s", qn_type_name(type));
    for (size_t i = 0, shown = 0; i < f->n_columns; i++) {
        if (f->types[i] != type)
            continue;
        if (shown == SHOWN) {
            qn_buf_printf(out, ", and %zu more", n - shown);
            break;
        }
        size_t len = strlen(f->names[i]) + 2;
        bool wrap = shown && width + len > WIDTH - 14;
        qn_buf_put_text(out, !shown ? " " : wrap ? ",\n  #            " : ", ");
        put_comment_text(f->names[i], out);
        width = wrap || !shown ? len : width + len;
        shown++;
    }
    qn_buf_put_char(out, '\n');
}

static void put_types(const qn_config_facts *f, qn_buf *out) {
    static const qn_type order[] = {QN_TYPE_F64,      QN_TYPE_I64,  QN_TYPE_BOOL,
                                    QN_TYPE_CATEGORY, QN_TYPE_TEXT, QN_TYPE_TIME};
    if (!f->n_columns || !f->types)
        return;
    qn_buf_put_text(out, "\n  # The columns were taken for these types:\n");
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        put_columns_of(f, order[i], out);
    put_key("  # To correct one:\n  # types: {", f->names[0], ": category}\n", out);
}

static void put_data(const qn_config_facts *f, qn_buf *out) {
    qn_buf_put_text(out, "data:\n");
    put_key("  source: ", f->source, "\n", out);
    if (f->time) {
        qn_buf_put_text(out, "\n  # If the rows happened one after the other and the future is to "
                             "be predicted, say so: the newest\n"
                             "  # rows then judge the model.\n");
        put_key("  # time: ", f->time, "\n", out);
    }
    put_drop(f, out);
    put_types(f, out);
    qn_buf_put_char(out, '\n');
}

static void put_split(const qn_config_facts *f, qn_buf *out) {
    qn_buf_put_text(
        out, "split:\n"
             "  test: 0.2         # kept back to judge the model, never looked at before\n"
             "  validate: 0.1     # for choosing the model, calibration and threshold\n"
             "  # group: customer # when several rows belong together, keep them together\n\n");
    if (f->kind == QN_TASK_BINARY && f->positive_share > 0 && f->positive_share < 0.02 &&
        f->n_rows > 1000000)
        qn_buf_put_text(
            out, "# Positives are rare and rows are many: training on a share of the negatives is "
                 "much faster, and\n"
                 "# the probabilities are corrected for it.\n# sample: {negatives: 0.1}\n\n");
}

static void put_value(const qn_config_facts *f, qn_buf *out) {
    if (f->kind != QN_TASK_BINARY)
        return;
    qn_buf_put_text(out, "# What is each outcome worth? Numbers, or expressions over columns. With "
                         "it the best threshold is\n"
                         "# found, and the report speaks of money.\n"
                         "# value:\n#   currency: EUR\n#   true_positive: 100");
    qn_buf_put_text(out, "      # acted, and it was ");
    put_comment_text(f->positive ? f->positive : "positive", out);
    qn_buf_put_text(out, "\n#   false_positive: -5      # acted for nothing\n"
                         "#   false_negative: -100    # missed it\n"
                         "#   true_negative: 0        # rightly left alone\n\n");
}

static void put_rest(const qn_config_facts *f, qn_buf *out) {
    qn_buf_put_text(
        out,
        "train:\n  families: [gbdt, linear]    # simple baselines are always tried beside them\n");
    qn_buf_printf(out, "  metric: %s%s\n", f->kind == QN_TASK_REGRESSION ? "rmse" : "log_loss",
                  f->kind == QN_TASK_REGRESSION ? "               # or mae, median_ae, r2, mape"
                  : f->kind == QN_TASK_BINARY
                      ? "           # or roc_auc, pr_auc, f1, ...; value, with the section above"
                      : "           # or accuracy, f1_macro, ...");
    qn_buf_put_text(out,
                    "  # budget: 60s               # time that training may take\n\nregister:\n");
    put_key("  name: ", f->project, "\n", out);
    qn_buf_put_text(out, "  when: better                # becomes champion when it beats the "
                         "current one on the same rows\n");
}

/* A project's folder may be called anything; models may not. */
static qn_status check_facts(const qn_config_facts *f, qn_error *err) {
    QN_FAIL_IF(!f->project || !f->source || !f->target, err, QN_ERR_USAGE,
               "a new project needs a name, a source and a target");
    QN_FAIL_IF(strpbrk(f->project, "@:/\\"), err, QN_ERR_USAGE,
               "a project's name must not contain '@', ':', '/' or '\\': '%.80s'", f->project);
    return QN_OK;
}

qn_status qn_config_new_text(const qn_config_facts *facts, qn_buf *out, qn_error *err) {
    QN_TRY(check_facts(facts, err));
    put_head(facts, out);
    put_task(facts, out);
    put_data(facts, out);
    put_split(facts, out);
    put_value(facts, out);
    put_rest(facts, out);
    return qn_buf_status(out, err);
}
