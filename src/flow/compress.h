/* compress.h - a smaller model that answers nearly as well: its trees pruned by labelled rows
 * (learn/gbdt_prune.h), and the curve of sizes and losses from which one is chosen. */
#ifndef QN_FLOW_COMPRESS_H
#define QN_FLOW_COMPRESS_H

#include "model/model.h"

typedef struct qn_compress_options {
    const char *input; /* labelled rows; NULL: only what changes no answer by a bit is done */
    size_t to_bytes;   /* the best that fits; 0: the smallest that keeps max_loss */
    unsigned leaf_forms; /* bits 1 << qn_leaf_form: the forms that leaves may have; 0: all with rows to
                            judge them by, else FLOAT64 */
    double max_loss;   /* share by which the metric may get worse, a standard error included;
                          INFINITY: any */
} qn_compress_options;

/* Appends the bytes of the chosen model, an ordinary file whose `about` tells what it was compressed
 * from and how; those of `model` where nothing smaller is to be had. Every other labelled row prunes,
 * the rest judge: rows that chose the cuts would flatter them. The same bytes for any number of
 * threads. New reference:
 *
 *   {"from": {"hash", "bytes"}, "rows": {"prune", "judge"}, "metric", "curve": [POINT...],
 *    "chosen": POINT, "changed": bool}
 *   POINT: {"bytes", "trees", "leaves", "leaf_values", "row_us", "metric", "loss", "loss_se", "chosen"}
 *
 * The curve begins with the model as it was; bytes fall along it, and the loss and its standard error
 * together rise: what is larger and worse than another is left out. "loss" is by how much of itself
 * the metric got worse, "loss_se" its standard error by a jackknife over 64 stretches of the file;
 * "row_us" the time of the trees for one row by one thread. Without rows these and "metric" are null.
 * Errors: QN_ERR_USAGE (not trees, too few bytes asked for, telling what is possible), QN_ERR_DATA
 * (the rows), those of the source.
 */
qn_status qn_compress(const qn_model *model, const qn_compress_options *options, const qn_job *job,
                      qn_buf *out, json_t **ret_result, qn_error *err) QN_MUST_USE;

#endif
