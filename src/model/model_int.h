/* model_int.h - inside model/: the object's fields, and the container of the file. */
#ifndef QN_MODEL_MODEL_INT_H
#define QN_MODEL_MODEL_INT_H

#include "base/file.h"
#include "data/cell.h"
#include "model/model.h"

struct qn_model {
    qn_map map;                /* the file, when it was opened from one */
    qn_pipeline *pipeline;     /* owned */
    qn_learner *learner;       /* owned */
    qn_calibrator *calibrator; /* owned; NULL for none */
    qn_target_info target;
    double negatives_rate;
    double threshold;
    char **missing;            /* owned, each owned; texts of data.missing */
    size_t n_missing;
    qn_cell_rules *cell_rules; /* owned; how texts of inputs are read */
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
/* The way of a value through a node of qn_trees_unpack; codes as numbers, missing -1. */
struct qn_trees;
struct qn_tree_node;
bool qn__tree_goes_left(const struct qn_trees *trees, const struct qn_tree_node *node,
                        bool is_category, double value);

/* --- rows without a frame --------------------------------------------------------------------- */

/* As qn_model_predict and qn_model_explain, for rows[n][n_features] of a model whose features are
 * all numeric or codes. Scoring allocates nothing when the family has predict_rows. */
qn_status qn__predict_features(const qn_model *model, const double *rows, int64_t n, double *scores,
                               qn_error *err) QN_MUST_USE;
qn_status qn__explain_features(const qn_model *model, const double *rows, int64_t n,
                               double *contrib, qn_error *err) QN_MUST_USE;

/* Cells by column, set in any order: what becomes a frame (row_columns.c). */
typedef struct qn__cell_column qn__cell_column;
typedef struct qn__cells {
    const qn_schema *schema;  /* borrowed */
    qn__cell_column *columns; /* owned */
    qn_column *view;          /* owned: the frame's columns, which own nothing */
    int64_t n_rows, cap_rows;
} qn__cells;

qn_status qn__cells_init(qn__cells *cells, const qn_schema *schema, qn_error *err) QN_MUST_USE;
void qn__cells_done(qn__cells *cells);
void qn__cells_clear(qn__cells *cells);
/* n more rows, missing. */
qn_status qn__cells_add(qn__cells *cells, int64_t n, qn_error *err) QN_MUST_USE;
void qn__cells_missing(qn__cells *cells, int64_t i_row, int32_t i_column);
/* F64. */
void qn__cells_number(qn__cells *cells, int64_t i_row, int32_t i_column, double value);
/* BOOL, I64, TIME. */
void qn__cells_whole(qn__cells *cells, int64_t i_row, int32_t i_column, int64_t value);
/* CATEGORY, TEXT. */
qn_status qn__cells_text(qn__cells *cells, int64_t i_row, int32_t i_column, const char *bytes,
                         size_t n, qn_error *err) QN_MUST_USE;
/* A frame that borrows everything, until the next change. */
qn_status qn__cells_frame(qn__cells *cells, qn_frame *ret_frame, qn_error *err) QN_MUST_USE;

/* --- parts ------------------------------------------------------------------------------------ */

/* Copies one more text that means missing; QN_ERR_LIMIT beyond QN_LIMIT_MISSING_WORDS. */
qn_status qn__missing_add(qn_model *model, const char *text, qn_error *err) QN_MUST_USE;
/* A deep copy. */
qn_status qn__target_copy(const qn_target_info *from, qn_target_info *ret_info, qn_error *err)
    QN_MUST_USE;

#endif
