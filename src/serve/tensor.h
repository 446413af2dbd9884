/* tensor.h - tensors of the Open Inference Protocol v2: how one request's tensors become rows, and
 * scores become tensors. Binary data is little-endian, texts are a u32 length and so many bytes. */
#ifndef QN_SERVE_TENSOR_H
#define QN_SERVE_TENSOR_H

#include "serve/serve_int.h"

typedef enum qn__datatype {
    QN__DT_BOOL, QN__DT_UINT8, QN__DT_UINT16, QN__DT_UINT32, QN__DT_UINT64, QN__DT_INT8,
    QN__DT_INT16, QN__DT_INT32, QN__DT_INT64, QN__DT_FP16, QN__DT_FP32, QN__DT_FP64, QN__DT_BYTES,
    QN__N_DATATYPES,
} qn__datatype;

/* QN__N_DATATYPES when there is none of that name. */
qn__datatype qn__datatype_find(qn_scan_string name);
const char *qn__datatype_name(qn__datatype type);

/* What a column is offered as. */
const char *qn__input_datatype(qn_type type);

enum { QN__TENSOR_DIMENSIONS = 8 };

/* What stands before a tensor's data. */
typedef struct qn__tensor {
    int32_t i_input;     /* -1: all inputs, a matrix; -2: one that the model does not know */
    char name[128];      /* for messages */
    bool has_type, has_shape, has_data;
    qn__datatype type;
    int n_dimensions;
    int64_t shape[QN__TENSOR_DIMENSIONS];
    int64_t n_items, width; /* items in all; items a row */
    int64_t binary_bytes;   /* -1: the data is in the JSON */
    const char *data_at;    /* where skipped data begins in the JSON */
} qn__tensor;

/* Fills the cells of a tensor from its JSON data (the scanner stands on it), or from bytes. */
qn_status qn__tensor_read_json(qn__desk *desk, qn_scan *scan, const qn__tensor *tensor,
                               qn_error *err) QN_MUST_USE;
qn_status qn__tensor_read_binary(qn__desk *desk, const unsigned char *bytes, size_t n,
                                 const qn__tensor *tensor, qn_error *err) QN_MUST_USE;

/* What a model answers. */
typedef enum qn__output { QN__PREDICTION, QN__SCORES, QN__CONTRIBUTIONS, QN__N_OUTPUTS } qn__output;

/* "prediction"; "probability" or "probabilities"; "contributions". NULL: the model has no such. */
const char *qn__output_name(const qn__served *served, qn__output output);
qn__datatype qn__output_type(const qn__served *served, qn__output output);
/* Dimensions behind the rows. */
int qn__output_shape(const qn__served *served, qn__output output, int64_t shape[2]);
/* All values, as a JSON list or as bytes. */
void qn__output_put_json(qn_buf *out, const qn__served *served, const qn__desk *desk,
                         qn__output output);
void qn__output_put_binary(qn_buf *out, const qn__served *served, const qn__desk *desk,
                           qn__output output);

#endif
