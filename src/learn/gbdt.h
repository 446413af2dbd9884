/* gbdt.h - gradient-boosted trees on histograms: the parameters of family "gbdt".
 *
 * Names, meanings and defaults are LightGBM's where it has them. README.md tells how the parts fit
 * together; everything else is private to the folder (gbdt_int.h). */
#ifndef QN_LEARN_GBDT_H
#define QN_LEARN_GBDT_H

#include "learn/learner.h"

typedef struct qn_gbdt_params {
    const char *objective;    /* "auto": by task */
    int64_t num_iterations;
    double learning_rate;
    const char *learning_rate_schedule; /* "constant", "linear", "cosine", "exponential" */
    double learning_rate_end;
    int64_t learning_rate_rounds; /* of the schedule; 0: num_iterations */
    const json_t *learning_rates; /* borrowed; [rate, ..] by round; NULL: the schedule */
    const char *boosting;     /* "gbdt" or "dart" */
    double drop_rate;         /* dart: share of the rounds dropped */
    int64_t max_drop;         /* <= 0: no limit */
    double skip_drop;         /* share of the rounds that drop none */
    bool uniform_drop, xgboost_dart_mode;
    const char *grow_policy;  /* "leafwise", "depthwise", "symmetric" or another word for one */
    int64_t num_leaves;
    int64_t max_depth;        /* <= 0: no limit */
    int64_t min_data_in_leaf; /* rows, counted exactly */
    double min_sum_hessian_in_leaf;
    double lambda_l1, lambda_l2;
    double min_gain_to_split;
    double feature_fraction;  /* share of the features each tree may use */
    double bagging_fraction;  /* share of the rows each bag holds */
    double pos_bagging_fraction, neg_bagging_fraction; /* the same by class (binary) */
    int64_t bagging_freq;     /* a new bag every so many rounds; 0: no bagging */
    int64_t max_bin;
    int64_t min_data_in_bin;
    int64_t bin_construct_sample_cnt;
    int64_t max_cat_to_onehot;
    int64_t max_cat_threshold;
    double cat_smooth, cat_l2;
    int64_t min_data_per_group;
    int64_t early_stopping_round; /* 0: never */
    double early_stopping_min_delta;
    bool first_metric_only;   /* of several metrics, the first ends the training */
    double early_stopping_se; /* 0: the best round; else see gbdt_stop.c */
    bool boost_from_average;
    bool feature_pre_filter;
    bool enable_bundle;       /* features share bytes of the binned rows */
    const char *data_sample_strategy; /* "bagging" or "goss" */
    double top_rate, other_rate; /* goss: shares of the largest gradients, of the others */
    bool extra_trees;         /* one threshold per feature and node, drawn at random */
    double feature_fraction_bynode; /* share of the tree's features that each node may use */
    double max_delta_step;    /* most that a leaf adds, before shrinkage; 0: no limit */
    double path_smooth;       /* rows' worth of the parent's value in a leaf's; 0: none */
    const json_t *monotone_constraints; /* borrowed; {column: 1, -1 or 0}; NULL: none */
    const char *monotone_constraints_method; /* "basic" or "intermediate" */
    double monotone_penalty;
    const json_t *interaction_constraints; /* borrowed; [[column, ..], ..]; NULL: none */
    const json_t *forced_splits; /* borrowed, as the other lists; {feature, threshold, left, right} */
    const json_t *feature_contri; /* {column: factor} or [factor, ..] */
    double cegb_tradeoff, cegb_penalty_split;
    const json_t *cegb_penalty_feature_lazy, *cegb_penalty_feature_coupled; /* as feature_contri */
    const char *class_weight; /* "none" or "balanced" */
    double scale_pos_weight;
    double alpha;             /* huber and quantile */
    double poisson_max_delta_step;
    double tweedie_variance_power;
    int64_t lambdarank_truncation_level; /* places at the top that pairs must touch */
    bool lambdarank_norm;
    const json_t *label_gain; /* borrowed; [gain of label 0, ..]; NULL: 2^label - 1 */
    int64_t eval_at;          /* places of the NDCG that early stopping goes by */
} qn_gbdt_params;

/* Rows binned once for several fits on some of them, as the folds of a cross-validation do: from the
 * rows, seed and initial scores of `input`, and the parameters about bins. Dense features only
 * (QN_ERR_USAGE). Shared by any number of fits through qn_fit_input.bins. */
typedef struct qn_gbdt_bins qn_gbdt_bins;
qn_status qn_gbdt_bins_new(const json_t *params, const qn_fit_input *input, const qn_job *job,
                           qn_gbdt_bins **ret_bins, qn_error *err) QN_MUST_USE;
void qn_gbdt_bins_free(qn_gbdt_bins **bins);

#endif
