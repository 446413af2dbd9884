/* run_int.h - the state of a run, shared by the stages run_*.c. */
#ifndef QN_FLOW_RUN_INT_H
#define QN_FLOW_RUN_INT_H

#include "data/split.h"
#include "evaluate/metric.h"
#include "evaluate/value.h"
#include "flow/config.h"
#include "flow/run.h"
#include "model/model.h"
#include "store/workspace.h"

/* Rows with everything the evaluation asks of them. */
typedef struct qn_run_part {
    qn_frame *frame;  /* owned */
    double *y;        /* owned, frame->n_rows */
    double *weight;   /* owned, or NULL */
    int32_t *query;   /* owned; of a ranking; NULL otherwise */
    double *scores;   /* owned: the chosen model's, frame->n_rows x n_outputs */
    int64_t n;
} qn_run_part;

/* Rows of run->frame to fit on: negatives sampled down, classes balanced, as the config says. */
typedef struct qn_run_training {
    int64_t *rows;  /* owned, n */
    double *y;      /* owned, n */
    double *weight; /* owned, n; NULL: all 1 */
    int32_t *query; /* owned, n; of a ranking; NULL otherwise */
    int64_t n;
} qn_run_training;

/* A pipeline and the matrices it made, shared by the families that take the same things. */
typedef struct qn_run_features {
    unsigned takes;
    qn_pipeline *pipeline;      /* owned until the model takes it */
    const qn_pipeline *view;    /* the same, borrowed from whoever owns it */
    qn_matrix *train, *validate;/* owned */
} qn_run_features;

typedef struct qn_run_candidate {
    const qn_family *family;
    const json_t *params;   /* borrowed from the config; NULL: defaults */
    qn_run_features *features; /* borrowed from the run */
    qn_learner *learner;    /* owned */
    double *scores;         /* owned: on the validation rows, linked, sampling undone */
    double *test_scores;    /* owned: on the test rows */
    double metric;          /* on validation rows: the run's metric, or money per row */
    double folds_mean, folds_sd; /* cross-validated metric; NaN when there are no folds */
    double train_s, row_us;
    int64_t bytes;          /* of a model file made from it */
    char refused[160];      /* "" or the limit it breaks */
} qn_run_candidate;

enum { QN_RUN_FEATURES_MAX = 8, QN_RUN_CANDIDATES_MAX = 32 };

typedef struct qn_run_state {
    const qn_run_options *options;
    qn_job job;              /* with the config's threads and memory */
    qn_config *config;       /* owned */
    qn_workspace *workspace; /* owned */
    char run_id[64];
    char started[32];
    double start_s, stage_s;
    json_t *document;        /* owned: the run document of report/report.h, filled stage by stage */
    json_t *timings;         /* borrowed from document */
    json_t *warnings;        /* borrowed from document */

    qn_target_info target;
    int32_t n_outputs;
    const qn_metric *metric; /* what decides; with metric_is_value the money */
    bool metric_is_value;
    qn_value_spec *value;    /* owned; NULL: none stated */
    char dataset_hash[QN_DIGEST_TEXT];
    const char **inputs;     /* owned array; names borrowed from the config's frame */
    size_t n_inputs;

    qn_frame *frame;         /* owned: all rows that are not in a separate test file */
    double *y, *weight;      /* owned; weight NULL when all are 1 */
    int32_t *query;          /* owned; of a ranking: the query of each row; NULL otherwise */
    int32_t n_queries;
    qn_split split;
    qn_run_training training; /* of the train part */
    int32_t *stretch;        /* owned: of each validation row, in a split by time; NULL otherwise */
    int32_t n_stretches;
    double negatives_rate;
    qn_run_part validate, test;

    qn_run_features features[QN_RUN_FEATURES_MAX];
    int n_features;
    qn_run_candidate candidates[QN_RUN_CANDIDATES_MAX];
    int n_candidates, chosen;
    qn_model *model;         /* owned */
    qn_model *init_model;    /* owned: what gbdt goes on from (train.init_model); NULL: nothing */
    char init_hash[QN_DIGEST_TEXT];
    bool stopped_by_hand;    /* and a warning says so */
    double threshold;
    qn_buf model_bytes;
    char model_hash[QN_DIGEST_TEXT];
    json_t *registration;    /* borrowed from document */
} qn_run_state;

/* What early stopping of one fit goes by (run_stopping.c). */
typedef struct qn_run_stopping {
    const qn_run_state *run; /* borrowed */
    qn_eval_input rows;      /* the validation rows; scores: the next */
    double *scores;          /* owned */
    const qn_metric *metrics[QN_FIT_METRICS_MAX];
    qn_fit_metric named[QN_FIT_METRICS_MAX];
    int32_t n;
    const int32_t *stretch;  /* borrowed from the input */
    int32_t n_stretches;
    qn_status status;        /* the first failure, and its message */
    qn_error error;
} qn_run_stopping;

/* Adds to the input of a fit what its early stopping goes by; with by_run_metric, the run's metric when
 * none is configured. The struct must outlive the fit. */
qn_status qn__run_stopping_init(qn_run_stopping *stop, const qn_run_state *run,
                                qn_fit_input *input, bool by_run_metric, qn_error *err) QN_MUST_USE;
/* What went wrong in measuring. */
qn_status qn__run_stopping_status(const qn_run_stopping *stop, qn_error *err) QN_MUST_USE;
void qn__run_stopping_done(qn_run_stopping *stop);

/* The stages, in order. */
qn_status qn__run_import(qn_run_state *run, qn_error *err) QN_MUST_USE;
qn_status qn__run_split(qn_run_state *run, qn_error *err) QN_MUST_USE;
qn_status qn__run_folds(qn_run_state *run, qn_error *err) QN_MUST_USE;
qn_status qn__run_train(qn_run_state *run, qn_error *err) QN_MUST_USE;
qn_status qn__run_choose(qn_run_state *run, qn_error *err) QN_MUST_USE;
qn_status qn__run_judge(qn_run_state *run, qn_error *err) QN_MUST_USE;
qn_status qn__run_explain(qn_run_state *run, qn_error *err) QN_MUST_USE;
qn_status qn__run_seal(qn_run_state *run, qn_error *err) QN_MUST_USE;
qn_status qn__run_register(qn_run_state *run, qn_error *err) QN_MUST_USE;

/* The spec of `features` for what a learner takes, and the parameters that a candidate is fitted
 * with. */
qn_status qn__run_spec(const qn_run_state *run, unsigned takes, qn_pipeline_spec **ret_spec,
                       qn_error *err) QN_MUST_USE;
json_t *qn__run_params(const qn_run_candidate *candidate);
/* train.init_model: opens it and checks that this run may go on from it. Then, whether features for
 * learners that take this are its own; the learner that a family goes on from, or NULL; and its pipeline
 * (the caller's) with the matrix of some rows. */
qn_status qn__run_warm_open(qn_run_state *run, qn_error *err) QN_MUST_USE;
bool qn__run_warm_takes(const qn_run_state *run, unsigned takes);
const qn_learner *qn__run_warm_learner(const qn_run_state *run, const qn_family *family);
qn_status qn__run_warm_pipeline(const qn_run_state *run, const int64_t *rows, int64_t n,
                                qn_pipeline **ret_pipeline, qn_matrix **ret_x,
                                qn_error *err) QN_MUST_USE;
/* Tells the fit which features of the pipeline's matrices hold data.init_score, if there are any and
 * the family is no baseline; *ret_features, else left alone, is the caller's to free after the fit. */
qn_status qn__run_init_score(const qn_run_state *run, const qn_family *family,
                             const qn_pipeline *pipeline, qn_fit_input *input,
                             int32_t **ret_features, qn_error *err) QN_MUST_USE;
/* Whether these hold a length of boosting that the user has not stated. */
bool qn__run_chooses_length(const qn_run_candidate *candidate);
/* Whether early stopping looks at the run's metric rather than at the training loss. */
bool qn__run_stops_by_metric(const qn_run_state *run);
/* The metric of scores on a part, or the money per row at the best threshold. */
qn_status qn__run_measure(const qn_run_state *run, const qn_run_part *part, const double *scores,
                          double *ret_metric, qn_error *err) QN_MUST_USE;
/* The number candidates are chosen by: cross-validated when there are folds, else on validation
 * rows. */
double qn__run_merit(const qn_run_candidate *candidate);
/* In a split by time, the stretch of time of each row (qn_split_stretches): neighbouring rows say the
 * same thing, so whoever asks how certain they are has to ask stretches. Otherwise outputs stay as
 * they are. */
qn_status qn__run_stretches(const qn_run_state *run, const int64_t *rows, int64_t n,
                            int32_t **ret_stretch, int32_t *ret_n, qn_error *err) QN_MUST_USE;
/* The training set made of the given rows (ascending). */
qn_status qn__run_training_make(const qn_run_state *run, const int64_t *rows, int64_t n,
                                qn_run_training *ret_training, qn_error *err) QN_MUST_USE;
void qn__run_training_done(qn_run_training *training);
/* With few validation rows, in a split not by time, and no time budget: the number of rounds that is
 * best over five folds of `all`, the rows of the refit; else *rounds stays as it is. */
qn_status qn__run_length(qn_run_state *run, const qn_run_candidate *candidate,
                         const qn_run_training *all, int64_t *rounds, qn_error *err) QN_MUST_USE;
/* The chosen family fitted once more on train and validation rows together, with what early
 * stopping found (train.refit); or what was fitted already. Both outputs are the caller's. */
qn_status qn__run_refit(qn_run_state *run, qn_pipeline **ret_pipeline, qn_learner **ret_learner,
                        qn_error *err) QN_MUST_USE;
/* The kind of task that metrics go by. */
unsigned qn__run_kind(const qn_run_state *run);
/* The queries of rows of run->frame; NULL when it is no ranking. */
qn_status qn__run_queries(const qn_run_state *run, const int64_t *rows, int64_t n,
                          int32_t **ret_query, qn_error *err) QN_MUST_USE;
/* Rows of run->frame as a part of their own. */
qn_status qn__run_take_part(const qn_run_state *run, const int64_t *rows, int64_t n,
                            qn_run_part *part, qn_error *err) QN_MUST_USE;

/* Seconds since the last call go into timings as `name`. */
void qn__run_time(qn_run_state *run, const char *name);
/* Adds to an error of the config where the key stands: "quern.yaml line 7: train.families: ...".
 * The key is left out when the message begins with it. */
void qn__run_place(const qn_run_state *run, const char *key, qn_error *err);
/* Adds the file to an error of the data that names a row but no file. */
void qn__run_name_file(const char *file, qn_error *err);
void qn__run_warn(qn_run_state *run, const char *format, ...) QN_PRINTF(2, 3);
/* document[key] = value (stolen, also on failure). */
qn_status qn__run_note(qn_run_state *run, const char *key, json_t *value, qn_error *err)
    QN_MUST_USE;
/* What evaluate/ asks for, of a part with the given scores. */
qn_eval_input qn__run_eval_input(const qn_run_state *run, const qn_run_part *part,
                                 const double *scores);
/* Lower is better: how a metric's value is compared. */
double qn__run_loss(const qn_run_state *run, double metric);
void qn__run_part_done(qn_run_part *part);

#endif
