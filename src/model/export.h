/* export.h - the trees of a model for other programs, or for people.
 *
 *   ONNX      a graph of ai.onnx.ml's TreeEnsembleRegressor in doubles and the link behind it
 *   LIGHTGBM  LightGBM's text model
 *   JSON      every node with its numbers (docs/INTEROP.md has the schema)
 *   DOT       Graphviz
 *   TEXT      indented lines
 *
 * The first two score like the model. The others show the raw score of any pipeline. */
#ifndef QN_MODEL_EXPORT_H
#define QN_MODEL_EXPORT_H

#include "model/model.h"

typedef enum qn_export_format {
    QN_EXPORT_ONNX,
    QN_EXPORT_LIGHTGBM,
    QN_EXPORT_JSON,
    QN_EXPORT_DOT,
    QN_EXPORT_TEXT,
} qn_export_format;

typedef struct qn_export_options {
    qn_export_format format;
    int32_t tree;      /* JSON, DOT, TEXT: this one only; -1: all */
    bool uncalibrated; /* ONNX, LIGHTGBM: leave the calibration out */
    const qn_frame *frame; /* JSON, DOT, TEXT: mark the way of this frame's row i_row; borrowed;
                              NULL: no row */
    int64_t i_row;
} qn_export_options;

/* By the name of --format: "onnx", "lightgbm", "json", "dot", "text". */
bool qn_export_format_find(const char *name, qn_export_format *ret_format) QN_MUST_USE;

/* Appends the file's bytes: deterministic. QN_ERR_USAGE when the format cannot hold the model, with
 * the feature or the part of the model that is in the way. */
qn_status qn_model_export(const qn_model *model, const qn_export_options *options, qn_buf *out,
                          qn_error *err) QN_MUST_USE;

#endif
