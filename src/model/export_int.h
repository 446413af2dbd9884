/* export_int.h - what the writers of formats are given. */
#ifndef QN_MODEL_EXPORT_INT_H
#define QN_MODEL_EXPORT_INT_H

#include "learn/trees.h"
#include "model/export.h"

typedef struct qn__export {
    const qn_model *model;      /* borrowed */
    qn_export_options options;
    qn_trees trees;             /* owned parts; for ONNX and LightGBM with what calibration does to a
                                   binary score worked into base and leaves */
    const qn_feature *features; /* borrowed */
    int32_t n_features;
    bool *passed;               /* owned; per node of `trees`: the row comes by; NULL: no row */
    qn_direct *direct;          /* owned; n_features; see qn_pipeline_direct */
} qn__export;

qn_status qn__export_onnx(const qn__export *export, qn_buf *out, qn_error *err) QN_MUST_USE;
qn_status qn__export_lightgbm(const qn__export *export, qn_buf *out, qn_error *err) QN_MUST_USE;
qn_status qn__export_json(const qn__export *export, qn_buf *out, qn_error *err) QN_MUST_USE;
qn_status qn__export_dot(const qn__export *export, qn_buf *out, qn_error *err) QN_MUST_USE;
qn_status qn__export_text(const qn__export *export, qn_buf *out, qn_error *err) QN_MUST_USE;

#endif
