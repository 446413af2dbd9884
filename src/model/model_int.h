/* model_int.h - inside model/: the object's fields, and the container of the file. */
#ifndef QN_MODEL_MODEL_INT_H
#define QN_MODEL_MODEL_INT_H

#include "base/file.h"
#include "model/model.h"

struct qn_model {
    qn_map map;                /* the file, when it was opened from one */
    qn_pipeline *pipeline;     /* owned */
    qn_learner *learner;       /* owned */
    qn_calibrator *calibrator; /* owned; NULL for none */
    qn_target_info target;
    double negatives_rate;
    double threshold;
    char *manifest_text;       /* owned; exactly what is in the file, so that saving gives the same bytes */
    json_t *manifest;          /* owned; manifest_text parsed */
};

/* --- the container (model_file.c): named, checksummed, aligned sections ----------------------- */

enum {
    QN_MODEL_VERSION = 1,
    QN_MODEL_HEADER_BYTES = 64,
    QN_MODEL_ENTRY_BYTES = 64,
    QN_MODEL_NAME_BYTES = 32,
    QN_MODEL_ALIGN = 64,
    QN_MODEL_MAX_SECTIONS = 64,
};

/* Incompatible features this version knows: a file with any other bit set is refused. */
#define QN_MODEL_KNOWN_INCOMPATIBLE ((uint64_t)0)

typedef struct qn_section {
    char name[QN_MODEL_NAME_BYTES]; /* NUL-padded */
    const unsigned char *data;      /* borrowed */
    size_t len;
} qn_section;

/* Appends header, table and sections to `out`, which must be at a multiple of 64. */
qn_status qn__container_write(const qn_section *sections, size_t n_sections, qn_buf *out,
                              qn_error *err) QN_MUST_USE;
/* Checks all of it; ret_sections[QN_MODEL_MAX_SECTIONS]. QN_ERR_FORMAT tells what is damaged. */
qn_status qn__container_read(const unsigned char *bytes, size_t n, qn_section *ret_sections,
                             size_t *ret_n_sections, qn_error *err) QN_MUST_USE;

/* --- the manifest (manifest.c) ---------------------------------------------------------------- */

/* Fills model->manifest_text and model->manifest from the other members; `about` is borrowed. */
qn_status qn__manifest_make(qn_model *model, const json_t *about, qn_error *err) QN_MUST_USE;
/* Fills target, threshold, negatives_rate and calibrator from model->manifest, and tells the
 * family. */
qn_status qn__manifest_apply(qn_model *model, const qn_family **ret_family, qn_error *err)
    QN_MUST_USE;
/* That the parts fit each other: task, classes, outputs, link. */
qn_status qn__model_check(const qn_model *model, qn_error *err) QN_MUST_USE;
/* A deep copy. */
qn_status qn__target_copy(const qn_target_info *from, qn_target_info *ret_info, qn_error *err)
    QN_MUST_USE;

#endif
