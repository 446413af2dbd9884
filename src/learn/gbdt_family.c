/* The family: its parameters, the one table for config, command line, docs/PARAMETERS.md and libquern,
 * and its functions. */
#include <math.h>
#include <string.h>

#include "feature/pipeline.h"
#include "learn/family_int.h"
#include "learn/gbdt_int.h"

#define P(member) .offset = offsetof(qn_gbdt_params, member)

static const char *const boostings[] = {"gbdt", "dart", NULL};
static const char *const rate_schedules[] = {"constant", "linear", "cosine", "exponential", NULL};
static const char *const sample_strategies[] = {"bagging", "goss", NULL};
static const char *const grow_policies[] = {"leafwise",  "depthwise", "symmetric", "lossguide",
                                            "Lossguide", "Depthwise", "SymmetricTree",
                                            "oblivious", NULL};
static const char *const monotone_methods[] = {"basic", "intermediate", "advanced", NULL};
static const char *const class_weights[] = {"none", "balanced", NULL};

static const qn_param params_table[] = {
    {"objective", "loss application", QN_PARAM_CHOICE, P(objective),
     .choices = qn__objective_choices, .help = "what is minimised; auto: by task"},
    {"num_iterations", "n_estimators num_trees num_round num_boost_round n_iter max_iter",
     QN_PARAM_INT, P(num_iterations), .low = 1, .high = 1000000, .preset = 100,
     .help = "boosting rounds"},
    {"learning_rate", "eta shrinkage_rate", QN_PARAM_REAL, P(learning_rate), .low = 1e-9,
     .high = 100, .preset = 0.1, .help = "shrinkage of every tree"},
    {"learning_rate_schedule", NULL, QN_PARAM_CHOICE,
     P(learning_rate_schedule), .choices = rate_schedules,
     .help = "how the rate goes from learning_rate in the first round to learning_rate_end in the "
             "last"},
    {"learning_rate_end", NULL, QN_PARAM_REAL, P(learning_rate_end), .low = 0, .high = 100,
     .preset = 0.01, .help = "the last round's rate, with a learning_rate_schedule"},
    {"learning_rate_rounds", NULL, QN_PARAM_INT, P(learning_rate_rounds), .low = 0, .high = 1000000,
     .preset = 0,
     .help = "rounds that the schedule takes, the last rate holds after them; 0: num_iterations"},
    {"learning_rates", NULL, QN_PARAM_JSON, P(learning_rates),
     .help = "the rate of each round in place of a schedule: [0.2, 0.2, 0.1]; the last one holds "
             "for the rest"},
    {"boosting", "boosting_type boost", QN_PARAM_CHOICE, P(boosting), .choices = boostings,
     .help = "dart: earlier trees are dropped at random while the next ones grow"},
    {"drop_rate", "rate_drop", QN_PARAM_REAL, P(drop_rate), .low = 0, .high = 1, .preset = 0.1,
     .help = "dart: share of the earlier rounds that is dropped"},
    {"max_drop", NULL, QN_PARAM_INT, P(max_drop), .low = -1, .high = 1e6, .preset = 50,
     .help = "dart: most rounds dropped at a time; 0 or less: no limit"},
    {"skip_drop", NULL, QN_PARAM_REAL, P(skip_drop), .low = 0, .high = 1, .preset = 0.5,
     .help = "dart: share of the rounds for which none is dropped"},
    {"uniform_drop", NULL, QN_PARAM_BOOL, P(uniform_drop), .preset = 0,
     .help = "dart: all rounds are as likely to be dropped, not the heavier ones more"},
    {"xgboost_dart_mode", NULL, QN_PARAM_BOOL, P(xgboost_dart_mode), .preset = 0,
     .help = "dart: weights as XGBoost gives them"},
    {"grow_policy", NULL, QN_PARAM_CHOICE, P(grow_policy), .choices = grow_policies,
     .help = "leafwise (lossguide): the leaf of the greatest gain is split next; depthwise: level "
             "by level; symmetric: one split for all leaves of a level, up to 2^max_depth leaves "
             "whatever num_leaves says. The last two have max_depth 6 unless it is stated"},
    {"num_leaves", "max_leaves num_leaf max_leaf_nodes", QN_PARAM_INT, P(num_leaves), .low = 2,
     .high = 131072, .preset = 31, .help = "most leaves of one tree"},
    {"max_depth", NULL, QN_PARAM_INT, P(max_depth), .low = -1, .high = 100000, .preset = -1,
     .help = "most splits between the root and a leaf; 0 or less: no limit"},
    {"min_data_in_leaf", "min_child_samples min_samples_leaf min_data", QN_PARAM_INT,
     P(min_data_in_leaf), .low = 0, .high = 1e9, .preset = 20, .help = "fewest rows of a leaf"},
    {"min_sum_hessian_in_leaf", "min_child_weight min_hessian", QN_PARAM_REAL,
     P(min_sum_hessian_in_leaf), .low = 0, .high = 1e12, .preset = 1e-3,
     .help = "least sum of second derivatives in a leaf"},
    {"lambda_l1", "reg_alpha l1_regularization", QN_PARAM_REAL, P(lambda_l1), .low = 0,
     .high = 1e12, .preset = 0, .help = "L1 regularisation of leaf values"},
    {"lambda_l2", "reg_lambda l2_regularization lambda", QN_PARAM_REAL, P(lambda_l2), .low = 0,
     .high = 1e12, .preset = 0, .help = "L2 regularisation of leaf values"},
    {"min_gain_to_split", "min_split_gain gamma", QN_PARAM_REAL, P(min_gain_to_split), .low = 0,
     .high = 1e12, .preset = 0, .help = "least gain of a split"},
    {"feature_fraction", "colsample_bytree sub_feature", QN_PARAM_REAL, P(feature_fraction),
     .low = 1e-6, .high = 1, .preset = 1, .help = "share of the features that each tree may use"},
    {"bagging_fraction", "subsample sub_row bagging", QN_PARAM_REAL, P(bagging_fraction),
     .low = 1e-6, .high = 1, .preset = 1, .help = "share of the rows in a bag"},
    {"bagging_freq", "subsample_freq", QN_PARAM_INT, P(bagging_freq), .low = 0, .high = 1e6,
     .preset = 0, .help = "a new bag every so many rounds; 0: no bagging"},
    {"max_bin", "max_bins", QN_PARAM_INT, P(max_bin), .low = 2, .high = 65535, .preset = 255,
     .help = "most bins of a feature"},
    {"min_data_in_bin", NULL, QN_PARAM_INT, P(min_data_in_bin), .low = 1, .high = 1e9, .preset = 3,
     .help = "fewest sampled rows of a bin"},
    {"bin_construct_sample_cnt", "subsample_for_bin", QN_PARAM_INT, P(bin_construct_sample_cnt),
     .low = 100, .high = 1e9, .preset = 200000, .help = "rows sampled to place the bins"},
    {"max_cat_to_onehot", NULL, QN_PARAM_INT, P(max_cat_to_onehot), .low = 1, .high = 1024,
     .preset = 4, .help = "features of so few categories are split one against the rest"},
    {"max_cat_threshold", NULL, QN_PARAM_INT, P(max_cat_threshold), .low = 1, .high = 1024,
     .preset = 32, .help = "most categories on the smaller side of a split"},
    {"cat_smooth", NULL, QN_PARAM_REAL, P(cat_smooth), .low = 0, .high = 1e12, .preset = 10,
     .help = "smoothing of the categories' statistics, and fewest rows of one"},
    {"cat_l2", NULL, QN_PARAM_REAL, P(cat_l2), .low = 0, .high = 1e12, .preset = 10,
     .help = "more L2 regularisation in splits by categories"},
    {"min_data_per_group", NULL, QN_PARAM_INT, P(min_data_per_group), .low = 1, .high = 1e9,
     .preset = 100, .help = "fewest rows of a group of categories"},
    {"early_stopping_round", "early_stopping early_stopping_rounds n_iter_no_change", QN_PARAM_INT,
     P(early_stopping_round), .low = 0, .high = 1e6, .preset = 0,
     .help = "stop after so many rounds without progress on the validation rows; 0: never"},
    {"early_stopping_min_delta", NULL, QN_PARAM_REAL, P(early_stopping_min_delta), .low = 0,
     .high = 1e12, .preset = 0, .help = "what counts as progress"},
    {"early_stopping_se", NULL, QN_PARAM_REAL, P(early_stopping_se), .low = 0, .high = 100,
     .preset = 0,
     .help = "with validation rows in order of time: of the rounds whose loss is within so many "
             "standard errors of the best, the one nearest to early_stopping_round is kept; 0: the "
             "best one"},
    {"first_metric_only", NULL, QN_PARAM_BOOL, P(first_metric_only), .preset = 0,
     .help = "of several train.early_stopping_metrics only the first ends the training"},
    {"boost_from_average", NULL, QN_PARAM_BOOL, P(boost_from_average), .preset = 1,
     .help = "start from the mean, the log odds or the class priors"},
    {"feature_pre_filter", NULL, QN_PARAM_BOOL, P(feature_pre_filter), .preset = 1,
     .help = "leave out features that min_data_in_leaf keeps from ever being split"},
    {"enable_bundle", "is_enable_bundle bundle", QN_PARAM_BOOL, P(enable_bundle), .preset = 1,
     .help = "dense columns of which few combinations of bins occur (one-hot groups, few values) "
             "share a byte of the binned rows: less time and memory, the same model to the byte"},
    {"pos_bagging_fraction", "pos_sub_row pos_subsample pos_bagging", QN_PARAM_REAL,
     P(pos_bagging_fraction), .low = 1e-6, .high = 1, .preset = 1,
     .help = "share of the positive rows in a bag (binary)"},
    {"neg_bagging_fraction", "neg_sub_row neg_subsample neg_bagging", QN_PARAM_REAL,
     P(neg_bagging_fraction), .low = 1e-6, .high = 1, .preset = 1,
     .help = "share of the negative rows in a bag (binary)"},
    {"data_sample_strategy", NULL, QN_PARAM_CHOICE, P(data_sample_strategy),
     .choices = sample_strategies,
     .help = "bagging: rows at random; goss: those of the largest gradients and some of the "
             "others, which count more"},
    {"top_rate", NULL, QN_PARAM_REAL, P(top_rate), .low = 0, .high = 1, .preset = 0.2,
     .help = "goss: share of the rows, those of the largest gradients"},
    {"other_rate", NULL, QN_PARAM_REAL, P(other_rate), .low = 0, .high = 1, .preset = 0.1,
     .help = "goss: share of the rows, drawn from the others"},
    {"extra_trees", "extra_tree", QN_PARAM_BOOL, P(extra_trees), .preset = 0,
     .help = "one threshold per feature and node (symmetric trees: and level), drawn at random by "
             "the seed"},
    {"feature_fraction_bynode", "colsample_bynode sub_feature_bynode", QN_PARAM_REAL,
     P(feature_fraction_bynode), .low = 1e-6, .high = 1, .preset = 1,
     .help = "share of the tree's features that each node may use"},
    {"max_delta_step", "max_tree_output max_leaf_output", QN_PARAM_REAL, P(max_delta_step),
     .low = 0, .high = 1e12, .preset = 0,
     .help = "most that a leaf may add, before shrinkage; 0: no limit"},
    {"path_smooth", NULL, QN_PARAM_REAL, P(path_smooth), .low = 0, .high = 1e12, .preset = 0,
     .help = "draws a leaf's value towards its parent's, as so many rows would; 0: not"},
    {"monotone_constraints", "monotonic_cst monotone_constraint mc", QN_PARAM_JSON,
     P(monotone_constraints),
     .help = "how the prediction may move with a column, by its name: {age: 1} never down, "
             "{price: -1} never up"},
    {"monotone_constraints_method", "monotone_constraining_method mc_method", QN_PARAM_CHOICE,
     P(monotone_constraints_method), .choices = monotone_methods,
     .help = "basic: siblings are kept apart by the middle of their values; intermediate: by the "
             "values of the leaves around, which fits better and takes longer; advanced: by those "
             "that a child touches, threshold by threshold, which goes further both ways. "
             "Symmetric trees take basic"},
    {"monotone_penalty", "monotone_splits_penalty mc_penalty", QN_PARAM_REAL, P(monotone_penalty),
     .low = 0, .high = 1e6, .preset = 0,
     .help = "keeps splits by constrained columns away from the root: none in so many levels, "
             "later ones at a discount"},
    {"interaction_constraints", "interaction_cst", QN_PARAM_JSON, P(interaction_constraints),
     .help = "lists of columns that may meet on the way to a leaf: [[age, job], [price]]; the "
             "columns not named are one more list"},
    {"forced_splits", "forcedsplits", QN_PARAM_JSON, P(forced_splits),
     .help = "what every tree begins with: {feature: age, threshold: 40, left: {feature: job, "
             "threshold: clerk}, right: {..}}; at the bound of the bin that holds the number, or "
             "one category against the rest. One that parts too few rows or gains nothing is left "
             "out, with those below it. Symmetric trees split all leaves of a level alike: state a "
             "level once, down any path"},
    {"feature_contri", "feature_contrib fc fp feature_penalty", QN_PARAM_JSON, P(feature_contri),
     .help = "what the gains of a column's splits are multiplied with: {age: 0.5}, or a list with "
             "a number for each feature"},
    {"cegb_tradeoff", NULL, QN_PARAM_REAL, P(cegb_tradeoff), .low = 0, .high = 1e12, .preset = 1,
     .help = "multiplies all costs below, which are taken off the gains of splits"},
    {"cegb_penalty_split", NULL, QN_PARAM_REAL, P(cegb_penalty_split), .low = 0, .high = 1e12,
     .preset = 0, .help = "cost of a split for every row it parts"},
    {"cegb_penalty_feature_lazy", NULL, QN_PARAM_JSON, P(cegb_penalty_feature_lazy),
     .help = "cost of a column for every row that no split by it has parted yet: {age: 0.1}, or a "
             "list with a number for each feature"},
    {"cegb_penalty_feature_coupled", NULL, QN_PARAM_JSON, P(cegb_penalty_feature_coupled),
     .help = "cost of a column until the model uses it: {age: 10}, or a list with a number for "
             "each feature"},
    {"class_weight", NULL, QN_PARAM_CHOICE, P(class_weight), .choices = class_weights,
     .help = "balanced: every class counts the same in sum"},
    {"scale_pos_weight", NULL, QN_PARAM_REAL, P(scale_pos_weight), .low = 1e-9, .high = 1e9,
     .preset = 1,
     .help = "weight of the positive class (binary), or of each class against the others "
             "(multiclassova)"},
    {"alpha", NULL, QN_PARAM_REAL, P(alpha), .low = 1e-9, .high = 1e9, .preset = 0.9,
     .help = "where huber turns linear; the quantile of quantile"},
    {"poisson_max_delta_step", NULL, QN_PARAM_REAL, P(poisson_max_delta_step), .low = 1e-9,
     .high = 10, .preset = 0.7, .help = "safeguard of poisson"},
    {"tweedie_variance_power", NULL, QN_PARAM_REAL, P(tweedie_variance_power), .low = 1.000001,
     .high = 1.999999, .preset = 1.5, .help = "between 1 (poisson) and 2 (gamma)"},
    {"lambdarank_truncation_level", NULL, QN_PARAM_INT, P(lambdarank_truncation_level), .low = 1,
     .high = 1e9, .preset = 30,
     .help = "lambdarank: pairs of rows count when one is among so many first of its query"},
    {"lambdarank_norm", NULL, QN_PARAM_BOOL, P(lambdarank_norm), .preset = 1,
     .help = "lambdarank: queries count alike, and near scores more than distant ones"},
    {"label_gain", NULL, QN_PARAM_JSON, P(label_gain),
     .help = "lambdarank: what finding a label is worth, [0, 1, 3, 7, ..]; unless given "
             "2^label - 1"},
    {"eval_at", "ndcg_eval_at ndcg_at", QN_PARAM_INT, P(eval_at), .low = 1, .high = 1e9,
     .preset = 10, .help = "lambdarank: places of the NDCG that early stopping goes by, where no "
                           "other metric is given"},
};

#undef P

static qn_status check_target(const void *params, qn_task task, bool has_queries, double y,
                              qn_error *err) {
    const qn__objective *objective;
    double gain[QN__RANK_LABELS];
    int32_t n;
    QN_TRY(qn__objective_find(((const qn_gbdt_params *)params)->objective, task, has_queries,
                              &objective, err));
    if (task != QN_TASK_REGRESSION)
        return QN_OK;
    if (!objective->all_gradients)
        return qn__objective_check_target(objective, y, err);
    QN_TRY(qn__rank_gains(params, gain, &n, err));
    QN_FAIL_IF(!(y >= 0 && y < n && y == floor(y)), err, QN_ERR_DATA,
               "the label is %.10g: lambdarank takes whole numbers from 0 to %d", y, n - 1);
    return QN_OK;
}

static void importance_gbdt(const qn_learner *learner, double *importance) {
    const qn__gbdt *m = (const qn__gbdt *)learner;
    double sum = 0;
    for (int32_t i = 0; i < learner->n_features; i++)
        importance[i] = 0;
    for (int32_t s = 0; s < m->n_slots; s++)
        sum += m->slot_gain[s];
    for (int32_t s = 0; s < m->n_slots; s++)
        importance[m->slot_column[s]] = sum > 0 ? m->slot_gain[s] / sum : 0;
}

static void splits_gbdt(const qn_learner *learner, int64_t *splits) {
    const qn__gbdt *m = (const qn__gbdt *)learner;
    memset(splits, 0, (size_t)learner->n_features * sizeof *splits);
    for (int32_t t = 0; t < m->n_trees; t++)
        for (uint32_t i = 0; i < m->start[t + 1] - m->start[t]; i++) {
            qn__gbdt_node node = qn__gbdt_node_at(m, m->start[t], i);
            if (!node.is_leaf)
                splits[m->slot_column[qn__gbdt_node_slot(m, &node)]]++;
        }
}

static json_t *describe_gbdt(const qn_learner *learner) {
    const qn__gbdt *m = (const qn__gbdt *)learner;
    int64_t leaves = (m->n_nodes + m->n_trees) / 2; /* a tree of n leaves has 2 n - 1 nodes */
    int32_t depth;
    if (qn__gbdt_depth(m, &depth, NULL) != QN_OK)
        return NULL;
    return json_pack("{s:i, s:I, s:i, s:i}", "trees", m->n_trees, "leaves", (json_int_t)leaves,
                     "max_depth", depth, "best_iteration", m->best_iteration);
}

const qn_family qn__family_gbdt = {
    .name = "gbdt",
    .title = "Gradient-boosted trees",
    .help = "Trees grown leaf by leaf on histograms, each correcting the ones before it.",
    .takes_init = true,
    .takes_gradients = true,
    .takes = QN_TAKES_MISSING | QN_TAKES_CATEGORIES | QN_TAKES_SPARSE,
    .params = params_table,
    .n_params = sizeof params_table / sizeof params_table[0],
    .params_bytes = sizeof(qn_gbdt_params),
    .fit = qn__gbdt_fit,
    .check_target = check_target,
    .predict = qn__gbdt_predict,
    .predict_rows = qn__gbdt_predict_rows,
    .explain = qn__gbdt_explain,
    .interactions = qn__gbdt_interactions,
    .dependence = qn__gbdt_dependence,
    .importance = importance_gbdt,
    .splits = splits_gbdt,
    .save = qn__gbdt_save,
    .load = qn__gbdt_load,
    .describe = describe_gbdt,
    .free = qn__gbdt_free,
};
