/* model.h - a trained model as one object: pipeline, learner, calibration, threshold, and what was
 * seen in training. The file format (.qn) is specified in docs/FORMAT.md.
 *
 *     qn_model *model = NULL;
 *     QN_TRY(qn_model_open("fraud.qn", &model, err));
 *     QN_TRY(qn_model_predict(model, frame, job, scores, err));   // the same bits as in training
 *
 * Opening never runs code and refuses damaged files with QN_ERR_FORMAT. A model is immutable and
 * thread-safe. Opening, freeing and what a program needs to know of a model are in quern.h. */
#ifndef QN_MODEL_MODEL_H
#define QN_MODEL_MODEL_H

#include "evaluate/calibrate.h"
#include "feature/pipeline.h"
#include "learn/learner.h"

/* The parts to make a model from. qn_model_new takes ownership of those marked (taken), also on
 * failure. */
typedef struct qn_model_parts {
    qn_pipeline *pipeline;       /* taken */
    qn_learner *learner;         /* taken */
    qn_calibrator *calibrator;   /* taken; may be NULL */
    const qn_target_info *target;/* copied */
    double negatives_rate;       /* 1, or the share of negatives kept in training */
    double threshold;            /* binary: positive when probability >= threshold */
    const char *const *missing;  /* texts that meant missing in training, beside those that always
                                    do; copied */
    size_t n_missing;
    json_t *about; /* taken: an object of the manifest's free part: project, lineage, metrics,
                                    value, baseline histograms. No times, no run id: equal
                                    training gives equal bytes */
} qn_model_parts;

qn_status qn_model_new(qn_model_parts *parts, qn_model **ret_model, qn_error *err) QN_MUST_USE;
/* Adds the members of `told` to the manifest's `about` (what the test rows showed, which is known
 * only once the model exists). Not while other threads use the model. */
qn_status qn_model_tell(qn_model *model, const json_t *told, qn_error *err) QN_MUST_USE;
/* The same model with another learner for the same features, and another calibration unless it is NULL
 * (both taken, also on failure). */
qn_status qn_model_with_learner(const qn_model *model, qn_learner *learner,
                                qn_calibrator *calibrator, qn_model **ret_model,
                                qn_error *err) QN_MUST_USE;
/* Appends the file's bytes: deterministic. */
qn_status qn_model_write(const qn_model *model, qn_buf *out, qn_error *err) QN_MUST_USE;
/* qn_model_save of quern.h writes a file. */

const qn_target_info *qn_model_target(const qn_model *model);  /* borrowed */
const qn_pipeline *qn_model_pipeline(const qn_model *model);   /* borrowed */
const qn_learner *qn_model_learner(const qn_model *model);     /* borrowed */
const qn_schema *qn_model_inputs(const qn_model *model);       /* borrowed */
const json_t *qn_model_manifest(const qn_model *model);        /* borrowed */
/* Texts that mean missing beside those that always do (data/source.h); borrowed. */
const char *const *qn_model_missing(const qn_model *model, size_t *ret_n);

/* Probabilities or values of all rows of a frame into scores[n_rows][n_outputs]: pipeline, learner,
 * link, undoing of sampling, calibration. */
qn_status qn_model_predict(const qn_model *model, const qn_frame *frame, const qn_job *job,
                           double *scores, qn_error *err) QN_MUST_USE;
/* The same when the features are there already (training and evaluation). */
void qn_model_score(const qn_model *model, const qn_matrix *x, const qn_job *job, double *scores);
/* contrib[n_rows][n_outputs][n_inputs + 1] by INPUT column (features summed by qn_feature.i_input),
 * of the raw score; the last is the base value. */
qn_status qn_model_explain(const qn_model *model, const qn_frame *frame, const qn_job *job,
                           double *contrib, qn_error *err) QN_MUST_USE;

#endif
