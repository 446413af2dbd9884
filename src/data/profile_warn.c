/* What about a table should worry us. Every message says what was seen and what to do about it. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "data/profile_int.h"

typedef enum severity { ERROR, WARNING, INFO, N_SEVERITIES } severity;

static const char *const severity_names[N_SEVERITIES] = {"error", "warning", "info"};

/* The warnings so far, most severe first once joined. */
typedef struct warnings {
    json_t *lists[N_SEVERITIES]; /* owned */
    bool failed;                 /* out of memory */
} warnings;

static void QN_PRINTF(6, 7) warn(warnings *all, severity level, const char *kind,
                                 const char *reason, const char *column, const char *format, ...) {
    char message[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    size_t n = strlen(message); /* a cut may have split a character */
    while (n > 0 && !qn_text_is_utf8(message, n))
        n--;
    json_t *entry = json_object();
    bool good = json_object_set_new(entry, "kind", json_string(kind)) == 0 &&
                (!reason || json_object_set_new(entry, "reason", json_string(reason)) == 0) &&
                json_object_set_new(entry, "column", column ? json_string(column) : json_null()) ==
                    0 &&
                json_object_set_new(entry, "severity", json_string(severity_names[level])) == 0 &&
                json_object_set_new(entry, "message", json_stringn(message, n)) == 0;
    if (!good)
        json_decref(entry);
    if (!good || json_array_append_new(all->lists[level], entry) != 0)
        all->failed = true;
}

/* ---- leaks ---- */

static bool can_judge(const qn__study *study) {
    return study->n_labelled >= 50 && study->n_minority >= 5;
}

/* AUC, R2 or accuracy gain at which one column is suspected, and at which it is as good as the
 * answer. */
static double suspect_level(qn_task task) {
    return task == QN_TASK_BINARY ? 0.98 : task == QN_TASK_REGRESSION ? 0.9 : 0.95;
}

static double answer_level(qn_task task) {
    return task == QN_TASK_BINARY ? 0.99 : 0.98;
}

bool qn__is_leak(const qn__study *study, const qn__field *field) {
    return can_judge(study) && field->link >= suspect_level(study->info->task);
}

bool qn__is_missingness_leak(const qn__study *study, const qn__field *field) {
    double level = study->info->task == QN_TASK_BINARY ? 0.8 : 0.5;
    return can_judge(study) && field->missing_link >= level;
}

static const char *link_words(qn_task task) {
    return task == QN_TASK_BINARY       ? "AUC"
           : task == QN_TASK_REGRESSION ? "R2"
                                        : "accuracy gain over the largest class";
}

static void warn_pair(warnings *all, const qn__study *study, const qn__field *field) {
    const char *word = field->operation == '+'   ? "sum"
                       : field->operation == '-' ? "difference"
                                                 : "product";
    warn(all, ERROR, "leak_suspect", "made_of", field->column->name,
         "the target %s is the %s of %s and %s: both are parts of the answer; drop them "
         "(data.drop) unless "
         "they are known before it",
         study->target, word, field->column->name, study->fields[field->partner].column->name);
}

/* The share of the joint skill lost without a column from which on it is said to carry most of it.
 * One strong cause of a number (the hour of the day, an area) is ordinary; of an outcome it is
 * not. */
static bool is_dominating(const qn__study *study, const qn__field *field) {
    double share = study->info->task == QN_TASK_REGRESSION ? 0.65 : 0.45;
    return study->joint >= 0.1 && study->joint - field->without >= share * study->joint;
}

/* At most one per column, the one that explains most. */
static void warn_leak(warnings *all, const qn__study *study, const qn__field *field,
                      const qn__field *target) {
    const char *name = field->column->name;
    qn_task task = study->info->task;
    if (target && field->hash == target->hash && field->column->type == target->column->type) {
        warn(all, ERROR, "leak_suspect", "copy", name,
             "is a copy of the target %s; drop it (data.drop)", study->target);
    } else if (field->partner >= 0) {
        warn_pair(all, study, field);
    } else if (qn__is_missingness_leak(study, field)) {
        warn(all, field->missing_link >= answer_level(task) ? ERROR : WARNING, "leak_suspect",
             "missingness", name,
             "whether it is missing tells the target (%s %.3f): it is probably filled in after the "
             "outcome; drop it (data.drop) unless it is known at prediction time",
             link_words(task), field->missing_link);
    } else if (qn__is_leak(study, field)) {
        warn(all, field->link >= answer_level(task) ? ERROR : WARNING, "leak_suspect",
             "near_perfect", name,
             "alone it nearly gives the target away (%s %.3f); is it known at prediction time? If "
             "not, drop "
             "it (data.drop)",
             link_words(task), field->link);
    } else if (is_dominating(study, field)) {
        double lost = fmin(1, (study->joint - field->without) / study->joint);
        warn(all, WARNING, "leak_suspect", "dominating", name,
             "this one column carries most of the signal: without it all others together explain "
             "%.0f%% "
             "less; is it known at prediction time? If not, drop it (data.drop)",
             100 * lost);
    }
}

/* ---- columns ---- */

static bool is_id_like(const qn__study *study, const qn__field *field) {
    const qn_column *column = field->column;
    bool is_time = study->options->time && strcmp(study->options->time, column->name) == 0;
    if (field->n_valid < 50 || is_time || field->is_target)
        return false;
    double share = (double)field->n_distinct / (double)field->n_valid;
    if (qn__is_number(column))
        return (column->type == QN_TYPE_I64 || column->type == QN_TYPE_F64) && field->is_whole &&
               field->n_infinite == 0 && (field->is_monotone || field->distinct_share >= 0.999) &&
               share >= 0.95;
    return share >= 0.95 && field->mean_words < 3 && field->date_share < 0.5;
}

static void warn_missing(warnings *all, const qn__field *field) {
    const qn_column *column = field->column;
    if (field->n_valid == 0 && column->n_rows > 0)
        warn(all, WARNING, "all_missing", NULL, column->name,
             "has no value at all; drop it (data.drop)");
    else if (column->n_null * 2 > column->n_rows && !field->is_target)
        warn(all, WARNING, "mostly_missing", NULL, column->name,
             "%.1f%% of the values are missing; check the source, or drop it if nothing is meant "
             "by that",
             100.0 * (double)column->n_null / (double)column->n_rows);
}

static void warn_texts(warnings *all, const qn__field *field, bool id_like) {
    const char *name = field->column->name;
    if (field->date_share >= 0.95 && field->n_valid > 0)
        warn(all, WARNING, "date_as_text", NULL, name,
             "looks like dates kept as text, so neither order nor date parts can be used; give it "
             "type time, "
             "or convert it in data.query (strptime)");
    else if (field->column->type == QN_TYPE_CATEGORY && field->n_distinct > 500 && !id_like &&
             !field->is_target)
        warn(all, INFO, "high_cardinality", NULL, name,
             "%lld categories, %.1f rows each on average; rare ones are grouped or hashed",
             (long long)field->n_distinct, (double)field->n_valid / (double)field->n_distinct);
}

static void warn_numbers(warnings *all, const qn__study *study, const qn__field *field) {
    const char *name = field->column->name;
    if (!isnan(field->sentinel)) {
        const char *of = study->n_sample < study->frame->n_rows ? " of the sampled rows" : " rows";
        warn(all, WARNING, "sentinel", NULL, name,
             "%g stands far outside all other values in %lld%s: it looks like a stand-in for "
             "missing; if it "
             "is one, add it to data.missing%s",
             field->sentinel, (long long)field->n_sentinel, of,
             field->is_target ? " (rows without a target are left out)" : "");
    }
    if (field->n_infinite > 0)
        warn(all, WARNING, "infinite", NULL, name,
             "%lld values are infinite; they are left out of the statistics here: clean them in "
             "data.query",
             (long long)field->n_infinite);
}

static void warn_column(warnings *all, const qn__study *study, const qn__field *field) {
    const qn_column *column = field->column;
    bool id_like = is_id_like(study, field);
    warn_missing(all, field);
    if (field->n_distinct == 1 && column->n_null == 0 && !field->is_target && column->n_rows > 1)
        warn(all, WARNING, "constant", NULL, column->name,
             "has one value only, so it can tell nothing apart; drop it (data.drop)");
    if (id_like)
        warn(all, WARNING, "id_like", NULL, column->name,
             "nearly every row has a value of its own%s, like an id; a model can only memorise it: "
             "drop it "
             "(data.drop) unless it means something",
             field->is_monotone && qn__is_number(column) ? ", in rising or falling order" : "");
    if (qn__is_number(column))
        warn_numbers(all, study, field);
    else
        warn_texts(all, field, id_like);
}

/* The first earlier column with the same values, or NULL. Constant and empty ones are not worth
 * naming. */
static const qn__field *copy_of(const qn__study *study, int32_t i_column) {
    const qn__field *field = &study->fields[i_column];
    if (field->n_distinct < 2)
        return NULL;
    for (int32_t c = 0; c < i_column; c++) {
        const qn__field *other = &study->fields[c];
        if (other->hash == field->hash && other->column->type == field->column->type &&
            other->column->n_null == field->column->n_null)
            return other;
    }
    return NULL;
}

/* ---- the table and the target ---- */

static void warn_table(warnings *all, const qn__study *study) {
    double share = (double)study->n_duplicates / fmax(1, (double)study->frame->n_rows);
    if (study->n_duplicates > 0)
        warn(all, share > 0.01 ? WARNING : INFO, "duplicate_rows", NULL, NULL,
             "repeated rows: %lld (%.2g%%); copies that fall into both train and test make results "
             "look better than they are: remove them with SELECT DISTINCT in data.query, or keep "
             "them "
             "together by a group split",
             (long long)study->n_duplicates, 100 * share);
}

static void warn_target(warnings *all, const qn__study *study) {
    if (study->n_target_missing > 0)
        warn(all, WARNING, "target_missing", NULL, study->target,
             "%lld rows (%.2f%%) have no target; they are not used for training or testing",
             (long long)study->n_target_missing,
             100.0 * (double)study->n_target_missing / (double)study->frame->n_rows);
    int64_t n = study->frame->n_rows - study->n_target_missing, rarest = -1;
    for (int32_t c = 0; c < study->info->n_classes; c++)
        if (rarest < 0 || study->n_class[c] < study->n_class[rarest])
            rarest = c;
    if (rarest < 0 || n == 0)
        return;
    double share = (double)study->n_class[rarest] / (double)n;
    if (share < 0.05)
        warn(all, WARNING, "imbalance", NULL, study->target,
             "class %.200s has %lld of %lld rows (%.3g%%): accuracy says little; split stratified, "
             "judge by "
             "%s, and consider weights or sample.negatives",
             study->info->classes[rarest], (long long)study->n_class[rarest], (long long)n,
             100 * share,
             study->info->task == QN_TASK_BINARY ? "pr_auc or value"
                                                 : "balanced_accuracy or f1_macro");
}

static void warn_all(warnings *all, const qn__study *study) {
    const qn__field *target = NULL;
    for (int32_t c = 0; c < study->frame->n_columns; c++)
        if (study->fields[c].is_target)
            target = &study->fields[c];
    warn_table(all, study);
    if (study->y)
        warn_target(all, study);
    for (int32_t c = 0; c < study->frame->n_columns; c++) {
        const qn__field *field = &study->fields[c], *copy = copy_of(study, c);
        if (study->y && !field->is_target)
            warn_leak(all, study, field, target);
        if (copy && !copy->is_target && !field->is_target)
            warn(all, WARNING, "duplicate_column", NULL, field->column->name,
                 "has the same values as column %s; drop one of them (data.drop)",
                 copy->column->name);
        warn_column(all, study, field);
    }
}

json_t *qn__profile_warnings(const qn__study *study) {
    warnings all = {0};
    for (int i = 0; i < N_SEVERITIES; i++) {
        all.lists[i] = json_array();
        all.failed = all.failed || !all.lists[i];
    }
    if (!all.failed)
        warn_all(&all, study);
    for (int i = 1; i < N_SEVERITIES && !all.failed; i++)
        all.failed = json_array_extend(all.lists[0], all.lists[i]) != 0;
    for (int i = all.failed ? 0 : 1; i < N_SEVERITIES; i++)
        json_decref(all.lists[i]);
    return all.failed ? NULL : all.lists[0];
}
