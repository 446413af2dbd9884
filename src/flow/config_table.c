/* Every key of quern.yaml. The order is that of the reference and of the resolved JSON. */
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "flow/config_int.h"

static const char *const kinds[] = {"auto",       "binary",  "multiclass",
                                    "regression", "ranking", NULL};
static const char *const methods[] = {"auto", "random", "stratified", "time", "group", NULL};
static const char *const calibrations[] = {"auto", "none", "platt", "isotonic", NULL};
static const char *const class_weights[] = {"none", "balanced", NULL};
static const char *const whens[] = {"better", "always", "never", NULL};

#define AT(member) .offset = offsetof(qn_config, member)
#define NAME .low = 1, .high = QN_LIMIT_NAME_BYTES
#define PATH .low = 1, .high = 4096
#define EXPR .low = 1, .high = QN_LIMIT_EXPR_BYTES
#define SEED .low = 0, .high = 9007199254740992.0
#define COUNT .low = 0, .high = 9007199254740992.0

static const qn__key keys[] = {
    {"project", QN__KEY_TEXT, AT(project), NAME, .absent = "the folder's name",
     .help = "what this project is called, in reports and in the list of runs"},
    {"seed", QN__KEY_INT, AT(seed), SEED, .preset = 42,
     .help = "where all random choices start: equal data, config and seed give an equal model"},
    {"threads", QN__KEY_INT, AT(threads), .low = 0, .high = QN_LIMIT_THREADS,
     .absent = "0 (all processors)", .help = "threads to use; results never depend on it"},

    {"task.target", QN__KEY_TEXT, AT(task.target), NAME, .required = true,
     .absent = "must be given", .help = "the column to be predicted"},
    {"task.kind", QN__KEY_CHOICE, AT(task.kind), .choices = kinds, .first_is_null = true,
     .absent = "auto (from the target's values)",
     .help = "binary for two classes, multiclass for more, regression for a number, ranking for "
             "the order of rows within each query, by a grade"},
    {"task.positive", QN__KEY_TEXT, AT(task.positive), NAME,
     .absent = "1, true, yes, or the rarer one",
     .help = "binary: the value of the target that is to be found, as fraud among payments"},
    {"task.query", QN__KEY_TEXT, AT(task.query), NAME, .absent = "none",
     .help = "ranking: column whose equal values are one query, its rows anywhere in the file. It "
             "is no input, and the split keeps queries whole"},

    {"data.source", QN__KEY_TEXT, AT(data.source), PATH, .required = true,
     .absent = "must be given",
     .help =
         "file or glob: CSV, TSV, JSON lines or Parquet, also .gz and .zst; relative to this file"},
    {"data.test", QN__KEY_TEXT, AT(data.test), PATH, .absent = "none",
     .help = "a separate file to judge the model on; then nothing is split off for testing"},
    {"data.query", QN__KEY_TEXT, AT(data.query), .low = 1, .high = 1 << 20,
     .absent = "all of the source", .help = "SQL that makes the table, over the table `source`"},
    {"data.time", QN__KEY_TEXT, AT(data.time), NAME, .absent = "none",
     .help = "column that tells when a row happened; the split is then by time unless split.method "
             "says otherwise"},
    {"data.init_score", QN__KEY_TEXTS, AT(data.init_score), NAME, .absent = "none",
     .help = "column of numbers that are added to the raw score of each row, before the link: the "
             "log of an exposure, or the score of another model; of a multiclass task a list of "
             "columns, one for each class in the order of the classes (as text, sorted). Trees "
             "learn what it leaves; it stays an input, given to every prediction as in training"},
    {"data.drop", QN__KEY_TEXTS, AT(data.drop), NAME, .absent = "[]",
     .help =
         "columns left out: identifiers, and what is not yet known when the prediction is needed"},
    {"data.missing", QN__KEY_TEXTS, AT(data.missing), .low = 0, .high = QN_LIMIT_NAME_BYTES,
     .absent = "[]", .help = "further texts that mean missing, beside empty, ?, NA and their kin"},
    {"data.delimiter", QN__KEY_CHAR, AT(data.delimiter), .absent = "found by looking",
     .help = "CSV: the character between fields; tab for a tab"},
    {"data.quote", QN__KEY_CHAR, AT(data.quote), .absent = "found by looking",
     .help = "CSV: the character around fields"},
    {"data.header", QN__KEY_TRISTATE, AT(data.header), .preset = -1,
     .help = "CSV: whether the first line holds the column names"},
    {"data.types", QN__KEY_TYPES, AT(data.types), .absent = "{} (all are found by looking)",
     .help = "types of columns by name: bool, integer, number, category, text, time"},

    {"sample.negatives", QN__KEY_REAL, AT(sample.negatives), .low = 1e-6, .high = 1, .preset = 1,
     .help = "binary: share of the negative rows kept for training; probabilities are corrected "
             "for it"},
    {"sample.rows", QN__KEY_INT, AT(sample.rows), COUNT, .absent = "0 (all)",
     .help = "at most this many rows, drawn at random"},
    {"sample.weight", QN__KEY_TEXT, AT(sample.weight), NAME, .absent = "none",
     .help = "column with the weight of each row; it is then not a feature"},
    {"sample.seed", QN__KEY_INT, AT(sample.seed), SEED, .absent = "`seed`",
     .help = "seed of the sampling"},

    {"split.method", QN__KEY_CHOICE, AT(split.method), .choices = methods, .first_is_null = true,
     .absent = "auto",
     .help = "how rows go to training, validation and test. auto: group when split.group is given, "
             "time when "
             "data.time is, stratified for classes, random for regression"},
    {"split.test", QN__KEY_REAL, AT(split.test), .low = 0, .high = 0.9, .preset = 0.2,
     .help = "share of the rows kept back to judge the model; 0 with data.test"},
    {"split.validate", QN__KEY_REAL, AT(split.validate), .low = 0, .high = 0.9, .preset = 0.1,
     .help = "share of the rows for early stopping, choice, calibration and threshold"},
    {"split.group", QN__KEY_TEXT, AT(split.group), NAME, .absent = "none",
     .help = "column whose equal values stay together, as all rows of one customer"},
    {"split.folds", QN__KEY_INT, AT(split.folds), .low = 0, .high = 100,
     .absent = "0 (no cross-validation)",
     .help = "number of folds, from 2; features are fitted anew in each, but for numbers as they "
             "stand in the table, which gbdt bins once for all folds"},
    {"split.seed", QN__KEY_INT, AT(split.seed), SEED, .absent = "`seed`",
     .help = "seed of the split"},

    {"features", QN__KEY_FEATURES, AT(features), .absent = "auto",
     .help = "auto, or a list of steps {columns: [..], transforms: [..]}; columns in no step stay "
             "automatic"},

    {"value.currency", QN__KEY_TEXT, AT(value.currency), .low = 1, .high = 16, .absent = "none",
     .help = "what the amounts are in, as EUR"},
    {"value.true_positive", QN__KEY_EXPR, AT(value.true_positive), EXPR, .absent = "0",
     .help = "worth of a positive that was found: a number, or an expression over columns, as "
             "Amount - 5"},
    {"value.false_positive", QN__KEY_EXPR, AT(value.false_positive), EXPR, .absent = "0",
     .help = "worth of a false alarm (negative when it costs)"},
    {"value.false_negative", QN__KEY_EXPR, AT(value.false_negative), EXPR, .absent = "0",
     .help = "worth of a positive that was missed"},
    {"value.true_negative", QN__KEY_EXPR, AT(value.true_negative), EXPR, .absent = "0",
     .help = "worth of a negative that was left alone"},

    {"train.families", QN__KEY_FAMILIES, AT(train.families), .absent = "[gbdt, linear]",
     .help = "kinds of model to try: a list of names, or a map of names to parameters; baselines "
             "are always tried beside them. Unless its length or shrinkage is stated, gbdt runs "
             "with num_iterations 1000, early_stopping_round 50, early_stopping_se 1 and lambda_l2 "
             "1; with fewer than 200 rows to train on also with min_data_in_leaf a tenth of them"},
    {"train.metric", QN__KEY_TEXT, AT(train.metric), NAME,
     .absent = "log_loss for classes, rmse for regression, ndcg@10 for ranking",
     .help = "what decides between models: a metric's name, or value (needs `value`)"},
    {"train.early_stopping_metrics", QN__KEY_TEXTS, AT(train.early_stopping_metrics), NAME,
     .absent = "train.metric when it is about the order of rows (roc_auc, pr_auc, roc_auc_ovr), "
               "else the training loss",
     .help = "metrics that boosting watches on the validation rows: it stops when one of them has "
             "not got better for early_stopping_round rounds, at that one's best round"},
    {"train.init_model", QN__KEY_TEXT, AT(train.init_model), PATH, .absent = "none",
     .help = "gbdt goes on from the trees of this model: a .qn file, NAME, NAME@ALIAS or "
             "NAME:VERSION. It brings its features, num_iterations are further rounds"},
    {"train.budget", QN__KEY_SECONDS, AT(train.budget_s), .low = 0, .high = 1e9,
     .absent = "0 (none)",
     .help = "time that training may take, as 60s or 1h30m; models are then no longer equal from "
             "run to run"},
    {"train.calibrate", QN__KEY_CHOICE, AT(train.calibrate), .choices = calibrations,
     .help = "map from scores to probabilities, fitted on validation rows and kept when it helps "
             "(auto; isotonic only with 1,000 of them in every class) or always"},
    {"train.class_weight", QN__KEY_CHOICE, AT(train.class_weight), .choices = class_weights,
     .help = "balanced gives rare classes as much weight as common ones"},
    {"train.refit", QN__KEY_BOOL, AT(train.refit), .preset = 1,
     .help = "fit the chosen family once more on train and validation rows together; with fewer "
             "than 1,000 validation rows, not by time, five folds of them all say how long to "
             "boost"},
    {"train.limits.memory", QN__KEY_BYTES, AT(train.limits.memory_bytes), COUNT,
     .absent = "0 (none)", .help = "memory that a run may use, as 4GB"},
    {"train.limits.model_bytes", QN__KEY_BYTES, AT(train.limits.model_bytes), COUNT,
     .absent = "0 (none)", .help = "size that the model file may have, as 20MB"},
    {"train.limits.row_us", QN__KEY_REAL, AT(train.limits.row_us), .low = 0, .high = 1e9,
     .absent = "0 (none)", .help = "microseconds that predicting one row may take"},

    {"evaluate.bootstrap", QN__KEY_INT, AT(evaluate.bootstrap), .low = 0, .high = 100000,
     .preset = 200, .help = "resamples behind the 95 % intervals; 0 for none"},
    {"evaluate.slices", QN__KEY_BOOL, AT(evaluate.slices), .preset = 1,
     .help = "look for the groups of rows in which the model does worst"},
    {"evaluate.importance", QN__KEY_BOOL, AT(evaluate.importance), .preset = 1,
     .help = "measure how much each column matters"},
    {"evaluate.dependence", QN__KEY_BOOL, AT(evaluate.dependence), .preset = 1,
     .help = "draw how the prediction follows the columns that matter most"},

    {"register.name", QN__KEY_TEXT, AT(registry.name), NAME, .absent = "the project",
     .help = "name under which the model is registered"},
    {"register.alias", QN__KEY_TEXT, AT(registry.alias), NAME, .preset_text = "champion",
     .help = "alias that a better model takes over"},
    {"register.when", QN__KEY_CHOICE, AT(registry.when), .choices = whens,
     .help = "better: the alias moves when the new model beats its holder on the same rows; "
             "always; never: "
             "the model is not registered"},
};

static const qn__section sections[] = {
    {"task", "What is to be predicted."},
    {"data", "Where the rows come from, and what is in them."},
    {"sample", "Training on fewer rows."},
    {"split", "Which rows train, which choose, which judge."},
    {"value",
     "What the four outcomes of a yes-or-no decision are worth (binary tasks). When given, the "
     "best "
     "threshold is found from it, and reports speak of money. An outcome left out is worth 0."},
    {"train", "Which models are tried, and within which limits."},
    {"train.limits", "Hard limits that training keeps."},
    {"evaluate", "How the model is judged and explained."},
    {"register", "When the model takes its place among the registered ones."},
};

enum { N_KEYS = sizeof keys / sizeof keys[0], N_SECTIONS = sizeof sections / sizeof sections[0] };
_Static_assert((int)N_KEYS <= (int)QN_CONFIG_KEYS_MAX, "qn_config.line is too short");

const qn__key *qn__config_keys(size_t *ret_n) {
    *ret_n = N_KEYS;
    return keys;
}

const qn__section *qn__config_sections(size_t *ret_n) {
    *ret_n = N_SECTIONS;
    return sections;
}

int qn__config_find(const char *path) {
    for (int i = 0; i < N_KEYS; i++)
        if (strcmp(keys[i].path, path) == 0)
            return i;
    return -1;
}
