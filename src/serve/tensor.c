#include "serve/tensor.h"

#include <math.h>
#include <string.h>

#include "base/number.h"
#include "base/text.h"

static const struct {
    const char *name;
    int bytes; /* of an item; 0: its own length */
} datatypes[QN__N_DATATYPES] = {
    {"BOOL", 1}, {"UINT8", 1}, {"UINT16", 2}, {"UINT32", 4}, {"UINT64", 8},
    {"INT8", 1}, {"INT16", 2}, {"INT32", 4},  {"INT64", 8},  {"FP16", 2},
    {"FP32", 4}, {"FP64", 8},  {"BYTES", 0},
};

qn__datatype qn__datatype_find(qn_scan_string name) {
    int i = 0;
    while (i < QN__N_DATATYPES && (strlen(datatypes[i].name) != name.n
                                   || memcmp(datatypes[i].name, name.bytes, name.n) != 0))
        i++;
    return (qn__datatype)i;
}

const char *qn__datatype_name(qn__datatype type) {
    return datatypes[type].name;
}

const char *qn__input_datatype(qn_type type) {
    return type == QN_TYPE_BOOL  ? "BOOL"
           : type == QN_TYPE_I64 ? "INT64"
           : type == QN_TYPE_F64 ? "FP64"
                                 : "BYTES";
}

/* --- in --------------------------------------------------------------------------------------- */

/* Items are row-major: item i is of row i / width; of a matrix, of input i % width. */
static inline int32_t input_of(const qn__tensor *tensor, int64_t i) {
    return tensor->i_input >= 0 ? tensor->i_input : (int32_t)(i % tensor->width);
}

static qn_status wrong_count(const qn__tensor *tensor, qn_error *err) {
    return qn_error_set_at(err, QN_ERR_DATA, NULL, 0, tensor->name,
                           "its data does not have the %lld items of its shape",
                           (long long)tensor->n_items);
}

/* Nested or flat: brackets only group. The depth is bounded by the scanner. */
static qn_status read_nested(qn__desk *desk, qn_scan *scan, const qn__tensor *tensor, int64_t *i,
                             qn_error *err) {
    bool first = true;
    if (!qn_scan_open(scan, '['))
        return qn_error_set_at(err, QN_ERR_DATA, NULL, 0, tensor->name, "its data is not a list");
    while (qn_scan_item(scan, &first)) {
        if (qn_scan_peek(scan) == '[') {
            QN_TRY(read_nested(desk, scan, tensor, i, err));
            continue;
        }
        if (*i >= tensor->n_items)
            return wrong_count(tensor, err);
        QN_TRY(
            qn_rows_read_cell(desk->reader, scan, *i / tensor->width, input_of(tensor, *i), err));
        ++*i;
    }
    return scan->problem ? qn_scan_error(scan, "the body", err) : QN_OK;
}

qn_status qn__tensor_read_json(qn__desk *desk, qn_scan *scan, const qn__tensor *tensor,
                               qn_error *err) {
    int64_t i = 0;
    QN_TRY(read_nested(desk, scan, tensor, &i, err));
    return i == tensor->n_items ? QN_OK : wrong_count(tensor, err);
}

/* IEEE 754 binary16. */
static double from_half(uint16_t half) {
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double x = exponent == 31  ? (mantissa ? NAN : INFINITY)
               : exponent == 0 ? ldexp(mantissa, -24)
                               : ldexp(mantissa + 1024, exponent - 25);
    return half >> 15 ? -x : x;
}

static qn_status read_item(qn_rows *rows, int64_t i_row, int32_t i_input, qn__datatype type,
                           const unsigned char *at, qn_error *err) {
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        int8_t i8;
        int16_t i16;
        int32_t i32;
        int64_t i64;
        float f32;
        double f64;
    } v = {0};
    memcpy(&v, at, (size_t)datatypes[type].bytes);
    switch (type) {
    case QN__DT_BOOL:
        return qn_rows_set_bool(rows, i_row, i_input, v.u8 != 0, err);
    case QN__DT_UINT8:
        return qn_rows_set_i64(rows, i_row, i_input, v.u8, err);
    case QN__DT_UINT16:
        return qn_rows_set_i64(rows, i_row, i_input, v.u16, err);
    case QN__DT_UINT32:
        return qn_rows_set_i64(rows, i_row, i_input, v.u32, err);
    case QN__DT_UINT64:
        return v.u64 <= INT64_MAX ? qn_rows_set_i64(rows, i_row, i_input, (int64_t)v.u64, err)
                                  : qn_rows_set_number(rows, i_row, i_input, (double)v.u64, err);
    case QN__DT_INT8:
        return qn_rows_set_i64(rows, i_row, i_input, v.i8, err);
    case QN__DT_INT16:
        return qn_rows_set_i64(rows, i_row, i_input, v.i16, err);
    case QN__DT_INT32:
        return qn_rows_set_i64(rows, i_row, i_input, v.i32, err);
    case QN__DT_INT64:
        return qn_rows_set_i64(rows, i_row, i_input, v.i64, err);
    case QN__DT_FP16:
        return qn_rows_set_number(rows, i_row, i_input, from_half(v.u16), err);
    case QN__DT_FP32:
        return qn_rows_set_number(rows, i_row, i_input, v.f32, err);
    default:
        return qn_rows_set_number(rows, i_row, i_input, v.f64, err);
    }
}

static qn_status read_texts(qn__desk *desk, const unsigned char *bytes, size_t n,
                            const qn__tensor *tensor, qn_error *err) {
    qn_reader reader = {.data = bytes, .len = n};
    for (int64_t i = 0; i < tensor->n_items; i++) {
        uint32_t len = qn_reader_u32(&reader);
        const char *text = qn_reader_bytes(&reader, len);
        if (reader.failed)
            return wrong_count(tensor, err);
        QN_TRY(
            qn_rows_set_text(desk->rows, i / tensor->width, input_of(tensor, i), text, len, err));
    }
    return reader.pos == n ? QN_OK : wrong_count(tensor, err);
}

qn_status qn__tensor_read_binary(qn__desk *desk, const unsigned char *bytes, size_t n,
                                 const qn__tensor *tensor, qn_error *err) {
    if (tensor->type == QN__DT_BYTES)
        return read_texts(desk, bytes, n, tensor, err);
    size_t item = (size_t)datatypes[tensor->type].bytes;
    if (n % item || n / item != (size_t)tensor->n_items)
        return wrong_count(tensor, err);
    for (int64_t i = 0; i < tensor->n_items; i++)
        QN_TRY(read_item(desk->rows, i / tensor->width, input_of(tensor, i), tensor->type,
                         bytes + (size_t)i * item, err));
    return QN_OK;
}

/* --- out -------------------------------------------------------------------------------------- */

const char *qn__output_name(const qn__served *served, qn__output output) {
    if (output == QN__PREDICTION)
        return "prediction";
    if (output == QN__CONTRIBUTIONS)
        return "contributions";
    return served->target->task == QN_TASK_BINARY       ? "probability"
           : served->target->task == QN_TASK_MULTICLASS ? "probabilities"
                                                        : NULL;
}

static bool labels_are_whole(const qn__served *served) {
    int64_t whole;
    for (int32_t k = 0; k < served->target->n_classes; k++)
        if (!qn_text_to_i64(served->target->classes[k], &whole))
            return false;
    return true;
}

qn__datatype qn__output_type(const qn__served *served, qn__output output) {
    if (output != QN__PREDICTION || served->target->task == QN_TASK_REGRESSION)
        return QN__DT_FP64;
    return !served->labels_are_numbers ? QN__DT_BYTES
           : labels_are_whole(served)  ? QN__DT_INT64
                                       : QN__DT_FP64;
}

int qn__output_shape(const qn__served *served, qn__output output, int64_t shape[2]) {
    int n = 0;
    if (output != QN__PREDICTION && served->n_outputs > 1)
        shape[n++] = served->n_outputs;
    if (output == QN__CONTRIBUTIONS)
        shape[n++] = served->inputs->n_columns + 1;
    return n;
}

/* The numbers of an output that is one array in the desk; NULL for labels. */
static const double *numbers_of(const qn__served *served, const qn__desk *desk, qn__output output,
                                int64_t *ret_n) {
    int64_t n = qn_rows_count(desk->rows) * served->n_outputs;
    *ret_n = output == QN__CONTRIBUTIONS ? n * ((int64_t)served->inputs->n_columns + 1) : n;
    if (output == QN__PREDICTION && served->target->task != QN_TASK_REGRESSION)
        return NULL;
    return output == QN__CONTRIBUTIONS ? desk->contrib : desk->scores;
}

void qn__output_put_json(qn_buf *out, const qn__served *served, const qn__desk *desk,
                         qn__output output) {
    int64_t n;
    const double *numbers = numbers_of(served, desk, output, &n);
    if (!numbers)
        n = qn_rows_count(desk->rows);
    qn_buf_put_char(out, '[');
    for (int64_t i = 0; i < n; i++) {
        if (i)
            qn_buf_put(out, ", ", 2);
        if (numbers)
            qn__put_number(out, numbers[i]);
        else
            qn__put_prediction(out, served, desk->scores + i * served->n_outputs);
    }
    qn_buf_put_char(out, ']');
}

void qn__output_put_binary(qn_buf *out, const qn__served *served, const qn__desk *desk,
                           qn__output output) {
    int64_t n, whole;
    const double *numbers = numbers_of(served, desk, output, &n);
    if (numbers) {
        for (int64_t i = 0; i < n; i++)
            qn_buf_put_f64(out, numbers[i]);
        return;
    }
    qn__datatype type = qn__output_type(served, output);
    for (int64_t i = 0; i < qn_rows_count(desk->rows); i++) {
        const char *label = served->target->classes[qn_model_decide(
            served->model, desk->scores + i * served->n_outputs)];
        double x;
        if (type == QN__DT_INT64 && qn_text_to_i64(label, &whole)) {
            qn_buf_put_u64(out, (uint64_t)whole);
        } else if (type == QN__DT_FP64 && qn_text_to_double(label, &x)) {
            qn_buf_put_f64(out, x);
        } else {
            qn_buf_put_u32(out, (uint32_t)strlen(label));
            qn_buf_put_text(out, label);
        }
    }
}
