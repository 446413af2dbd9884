/* matrix.h - what learners see: columns of numbers, of category codes, or of sparse numbers.
 *
 *   NUMERIC   num[n_rows]                 NaN = missing
 *   CATEGORY  code[n_rows]                0 .. n_categories - 1, -1 = missing or unseen
 *   SPARSE    (row[k], value[k]) k < n_set, rows ascending; the others are 0
 *
 * Column arrays are 64-byte aligned and owned by the matrix. Feature descriptions belong to the
 * pipeline that made the matrix and must outlive it. */
#ifndef QN_FEATURE_MATRIX_H
#define QN_FEATURE_MATRIX_H

#include "data/frame.h"

typedef enum qn_feature_kind {
    QN_FEATURE_NUMERIC,
    QN_FEATURE_CATEGORY,
    QN_FEATURE_SPARSE,
} qn_feature_kind;

typedef struct qn_feature {
    char *name;              /* "age", "city=Paris", "message#412"; owned by the pipeline */
    qn_feature_kind kind;
    int32_t n_categories;    /* CATEGORY only */
    const qn_dict *categories; /* CATEGORY: the texts of the codes; owned by the pipeline; may be NULL */
    int32_t i_input;         /* the pipeline input column it comes from (the first of a cross) */
} qn_feature;

typedef struct qn_matrix_column {
    double *num;    /* NUMERIC */
    int32_t *code;  /* CATEGORY */
    int64_t n_set;  /* SPARSE */
    int64_t *row;
    double *value;
} qn_matrix_column;

/* Memory shared by several columns. */
typedef struct qn_matrix_slab {
    void *data; /* owned */
    size_t bytes;
} qn_matrix_slab;

typedef struct qn_matrix {
    int64_t n_rows;
    int32_t n_features;
    const qn_feature *features; /* n_features; borrowed from the pipeline (or the test) */
    qn_matrix_column *columns;  /* n_features; owned */
    void *slab;                 /* owned; holds the dense columns that qn_matrix_new made */
    size_t slab_bytes;
    qn_matrix_slab *blocks;     /* owned; see qn_matrix_block */
    int32_t n_blocks;
} qn_matrix;

/* Columns without arrays yet: num and code are allocated (NaN, -1), sparse columns are empty. */
qn_status qn_matrix_new(int64_t n_rows, const qn_feature *features, int32_t n_features,
                        qn_matrix **ret_matrix, qn_error *err) QN_MUST_USE;
/* Frees the matrix with every array its columns point to: those of qn_matrix_new and
 * qn_matrix_block, and any that the user put there from qn_calloc and its kin. */
void qn_matrix_free(qn_matrix **matrix);
/* 64-byte aligned memory (not zeroed) that lives as long as the matrix and that any number of
 * columns may point into. NULL when memory is short. */
void *qn_matrix_block(qn_matrix *matrix, size_t n_items, size_t item_bytes) QN_MUST_USE;
size_t qn_matrix_bytes(const qn_matrix *matrix);

/* A matrix of the given rows (in that order). */
qn_status qn_matrix_take(const qn_matrix *matrix, const int64_t *rows, int64_t n_rows,
                         qn_matrix **ret_matrix, qn_error *err) QN_MUST_USE;

/* The first entry of a SPARSE column at or after `row`; n_set when there is none. */
int64_t qn_matrix_column_from(const qn_matrix_column *column, int64_t row);
/* Copies rows first .. first + n - 1 into out[n][n_features], row-major: numbers as they are, codes
 * as numbers (missing -1), sparse values with their zeros. */
void qn_matrix_rows(const qn_matrix *matrix, int64_t first, int64_t n, double *out);

#endif
