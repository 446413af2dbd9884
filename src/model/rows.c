/* A model whose features are all inputs as they are gets its rows as features at once: a number is
 * one store, a category one look-up. Any other model gets a frame. */
#include "model/rows.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/text.h"
#include "model/model_int.h"

/* The features that an input is: targets[first .. first + n - 1]. */
typedef struct row_input {
    qn_type type;
    int32_t first, n;
    int32_t i_plain; /* the one feature that a F64 is; -1 for anything else */
} row_input;

typedef struct row_target {
    int32_t i_feature;
    qn_direct direct;
} row_target;

struct qn_rows {
    const qn_model *model;   /* borrowed */
    const qn_schema *schema; /* borrowed */
    row_input *inputs;       /* owned */
    int32_t n_features;
    bool direct;             /* rows are features; else cells */
    bool plain;              /* feature f is input f, a F64 */
    int64_t n_rows, cap_rows;
    int64_t i_first;         /* what is added to row numbers in messages */
    double *features;        /* owned; [cap_rows][n_features] */
    double *empty;           /* owned; [n_features]: a row in which all is missing */
    row_target *targets;     /* owned; by input */
    qn__cells cells;
};

/* --- life cycle ------------------------------------------------------------------------------- */

/* Features by input, in feature order. */
static qn_status sort_targets(qn_rows *rows, const qn_direct *direct, qn_error *err) {
    rows->targets = qn_new_array(row_target, rows->n_features);
    rows->empty = qn_new_array(double, rows->n_features);
    if (!rows->targets || !rows->empty)
        return qn_error_memory(err);
    for (int32_t f = 0; f < rows->n_features; f++)
        rows->inputs[direct[f].i_input].n++;
    for (int32_t i = 1; i < rows->schema->n_columns; i++)
        rows->inputs[i].first = rows->inputs[i - 1].first + rows->inputs[i - 1].n;
    for (int32_t i = 0; i < rows->schema->n_columns; i++)
        rows->inputs[i].n = 0;
    rows->plain = rows->n_features == rows->schema->n_columns;
    for (int32_t f = 0; f < rows->n_features; f++) {
        row_input *input = &rows->inputs[direct[f].i_input];
        rows->targets[input->first + input->n++] = (row_target){f, direct[f]};
        rows->empty[f] = direct[f].codes ? -1 : NAN;
        rows->plain = rows->plain && direct[f].i_input == f && !direct[f].codes &&
                      input->type == QN_TYPE_F64;
    }
    for (int32_t i = 0; i < rows->schema->n_columns; i++) {
        row_input *input = &rows->inputs[i];
        const row_target *target = &rows->targets[input->first];
        if (input->type == QN_TYPE_F64 && input->n == 1 && !target->direct.codes)
            input->i_plain = target->i_feature;
    }
    return QN_OK;
}

static qn_status lay_out(qn_rows *rows, qn_error *err) {
    const qn_pipeline *pipeline = qn_model_pipeline(rows->model);
    rows->schema = qn_model_inputs(rows->model);
    (void)qn_pipeline_features(pipeline, &rows->n_features);
    rows->inputs = qn_new_array(row_input, rows->schema->n_columns);
    qn_cleanup(qn_freep) qn_direct *direct = qn_new_array(qn_direct, rows->n_features);
    if (!rows->inputs || !direct)
        return qn_error_memory(err);
    for (int32_t i = 0; i < rows->schema->n_columns; i++)
        rows->inputs[i] = (row_input){.type = rows->schema->columns[i].type, .i_plain = -1};
    rows->direct = qn_pipeline_direct(pipeline, direct);
    return rows->direct ? sort_targets(rows, direct, err)
                        : qn__cells_init(&rows->cells, rows->schema, err);
}

qn_status qn_rows_new(const qn_model *model, qn_rows **ret_rows, qn_error *err) {
    qn_cleanup(qn_rows_free) qn_rows *rows = qn_new(qn_rows);
    if (!rows)
        return qn_error_memory(err);
    rows->model = model;
    QN_TRY(lay_out(rows, err));
    *ret_rows = qn_steal(&rows);
    return QN_OK;
}

void qn_rows_free(qn_rows **rows) {
    if (!rows || !*rows)
        return;
    qn_freep(&(*rows)->inputs);
    qn_freep(&(*rows)->features);
    qn_freep(&(*rows)->empty);
    qn_freep(&(*rows)->targets);
    if ((*rows)->cells.schema)
        qn__cells_done(&(*rows)->cells);
    qn_freep(rows);
}

void qn_rows_clear(qn_rows *rows) {
    rows->n_rows = 0;
    if (!rows->direct)
        qn__cells_clear(&rows->cells);
}

static qn_status grow(qn_rows *rows, int64_t need, qn_error *err) {
    int64_t cap = rows->cap_rows * 2 > need ? rows->cap_rows * 2 : need;
    size_t row_bytes = (size_t)rows->n_features * sizeof(double);
    double *grown = qn_malloc_aligned((size_t)cap, row_bytes);
    if (!grown)
        return qn_error_memory(err);
    if (rows->n_rows > 0)
        memcpy(grown, rows->features, (size_t)rows->n_rows * row_bytes);
    qn_freep(&rows->features);
    rows->features = grown;
    rows->cap_rows = cap;
    return QN_OK;
}

qn_status qn_rows_add(qn_rows *rows, int64_t n, qn_error *err) {
    QN_FAIL_IF(n < 0, err, QN_ERR_USAGE, "%lld rows cannot be added", (long long)n);
    QN_FAIL_IF(n > QN_LIMIT_REQUEST_ROWS - rows->n_rows, err, QN_ERR_LIMIT,
               "more than %d rows in one request: send them in parts", QN_LIMIT_REQUEST_ROWS);
    if (!rows->direct) {
        QN_TRY(qn__cells_add(&rows->cells, n, err));
        rows->n_rows += n;
        return QN_OK;
    }
    if (rows->n_rows + n > rows->cap_rows)
        QN_TRY(grow(rows, rows->n_rows + n, err));
    size_t width = (size_t)rows->n_features;
    for (int64_t r = rows->n_rows; r < rows->n_rows + n && width; r++)
        memcpy(rows->features + (size_t)r * width, rows->empty, width * sizeof *rows->empty);
    rows->n_rows += n;
    return QN_OK;
}

const qn_model *qn_rows_model(const qn_rows *rows) {
    return rows->model;
}

void qn_rows_count_from(qn_rows *rows, int64_t i_first) {
    rows->i_first = i_first;
}

int64_t qn_rows_count(const qn_rows *rows) {
    return rows->n_rows;
}

/* --- cells ------------------------------------------------------------------------------------ */

static bool is_inside(const qn_rows *rows, int64_t i_row, int32_t i_input) {
    return i_row >= 0 && i_row < rows->n_rows && i_input >= 0 && i_input < rows->schema->n_columns;
}

static qn_status outside(const qn_rows *rows, int64_t i_row, int32_t i_input, qn_error *err) {
    return qn_error_set(err, QN_ERR_USAGE,
                        "there is no row %lld, input %d in %lld rows of %d inputs",
                        (long long)i_row, i_input, (long long)rows->n_rows,
                        rows->schema->n_columns);
}

/* As much of a text as a message shows, in whole characters. */
static qn_status refuse_text(const qn_rows *rows, int64_t i_row, int32_t i_input, const char *bytes,
                             size_t n, qn_error *err) {
    enum { SHOWN = 100 };
    const qn_schema_column *column = &rows->schema->columns[i_input];
    const int64_t row = rows->i_first + i_row + 1;
    if (!qn_text_is_utf8(bytes, n))
        return qn_error_set_at(err, QN_ERR_DATA, NULL, row, column->name,
                               "the text is not UTF-8");
    size_t shown = n < SHOWN ? n : SHOWN;
    while (shown < n && shown > 0 && ((unsigned char)bytes[shown] & 0xC0) == 0x80)
        shown--;
    return qn_error_set_at(err, QN_ERR_DATA, NULL, row, column->name, "'%.*s%s' is not a %s",
                           (int)shown, bytes, shown < n ? "..." : "", qn_cell_wanted(column->type));
}

static qn_status refuse_number(const qn_rows *rows, int64_t i_row, int32_t i_input, double value,
                               qn_error *err) {
    char text[QN_DOUBLE_TEXT];
    size_t n = qn_number_to_text(value, text);
    return refuse_text(rows, i_row, i_input, text, n, err);
}

/* The code of a number that the pipeline treats as a category. */
static double code_of_number(const qn_dict *codes, double value) {
    char text[QN_DOUBLE_TEXT];
    if (isnan(value))
        return -1;
    size_t n = qn_number_to_text(value, text);
    return qn_dict_find(codes, text, n);
}

/* Any number of BOOL, I64 and F64, which are direct alike. */
static void put_direct(qn_rows *rows, int64_t i_row, const row_input *input, double value) {
    double *row = rows->features + i_row * rows->n_features;
    for (int32_t k = input->first; k < input->first + input->n; k++) {
        const qn_direct *direct = &rows->targets[k].direct;
        double x = !isinf(value) ? value : value > 0 ? direct->high : direct->low;
        row[rows->targets[k].i_feature] = direct->codes ? code_of_number(direct->codes, x) : x;
    }
}

static void put_number(qn_rows *rows, int64_t i_row, int32_t i_input, double value) {
    if (rows->direct)
        put_direct(rows, i_row, &rows->inputs[i_input], value);
    else
        qn__cells_number(&rows->cells, i_row, i_input, value);
}

static qn_status put_whole(qn_rows *rows, int64_t i_row, int32_t i_input, int64_t value,
                           qn_error *err) {
    const row_input *input = &rows->inputs[i_input];
    if (input->type == QN_TYPE_BOOL && (value & ~INT64_C(1)))
        return refuse_number(rows, i_row, i_input, (double)value, err);
    if (rows->direct)
        put_direct(rows, i_row, input, (double)value);
    else
        qn__cells_whole(&rows->cells, i_row, i_input, value);
    return QN_OK;
}

/* A text that a dictionary of the model has need not be looked at again: what is not UTF-8 is not
 * there. */
static qn_status put_text(qn_rows *rows, int64_t i_row, int32_t i_input, const char *bytes,
                          size_t n, qn_error *err) {
    const row_input *input = &rows->inputs[i_input];
    bool known = false;
    for (int32_t k = input->first; rows->direct && k < input->first + input->n; k++) {
        const row_target *target = &rows->targets[k];
        const int32_t code = qn_dict_find(target->direct.codes, bytes, n);
        rows->features[i_row * rows->n_features + target->i_feature] = code;
        known = known || code >= 0;
    }
    if (!known && !qn_text_is_utf8(bytes, n))
        return refuse_text(rows, i_row, i_input, bytes, n, err);
    return rows->direct ? QN_OK : qn__cells_text(&rows->cells, i_row, i_input, bytes, n, err);
}

static bool holds_text(qn_type type) {
    return type == QN_TYPE_CATEGORY || type == QN_TYPE_TEXT;
}

void qn_rows_set_missing(qn_rows *rows, int64_t i_row, int32_t i_input) {
    if (!is_inside(rows, i_row, i_input))
        return;
    if (!rows->direct) {
        qn__cells_missing(&rows->cells, i_row, i_input);
        return;
    }
    const row_input *input = &rows->inputs[i_input];
    for (int32_t k = input->first; k < input->first + input->n; k++) {
        int32_t f = rows->targets[k].i_feature;
        rows->features[i_row * rows->n_features + f] = rows->empty[f];
    }
}

static qn_status set_other_number(qn_rows *rows, int64_t i_row, int32_t i_input, double value,
                                  qn_error *err) {
    const qn_type type = rows->inputs[i_input].type;
    if (isnan(value)) {
        qn_rows_set_missing(rows, i_row, i_input);
        return QN_OK;
    }
    if (type == QN_TYPE_F64) {
        put_number(rows, i_row, i_input, value);
        return QN_OK;
    }
    if (holds_text(type)) {
        char text[QN_DOUBLE_TEXT];
        size_t n = qn_number_to_text(value, text);
        return put_text(rows, i_row, i_input, text, n, err);
    }
    if (!(value >= -0x1p63 && value < 0x1p63) || value != floor(value))
        return refuse_number(rows, i_row, i_input, value, err);
    return put_whole(rows, i_row, i_input, (int64_t)value, err);
}

qn_status qn_rows_set_number(qn_rows *rows, int64_t i_row, int32_t i_input, double value,
                             qn_error *err) {
    if (!is_inside(rows, i_row, i_input))
        return outside(rows, i_row, i_input, err);
    const int32_t f = rows->inputs[i_input].i_plain;
    if (f >= 0 && !isinf(value)) {
        rows->features[i_row * rows->n_features + f] = value;
        return QN_OK;
    }
    return set_other_number(rows, i_row, i_input, value, err);
}

double *qn_rows_numbers(qn_rows *rows, int64_t i_row) {
    return rows->plain ? rows->features + i_row * rows->n_features : NULL;
}

qn_status qn_rows_set_numbers(qn_rows *rows, int64_t i_row, const double *values, qn_error *err) {
    const int32_t n = rows->schema->n_columns;
    if (rows->plain && i_row >= 0 && i_row < rows->n_rows) {
        double *row = rows->features + i_row * n;
        bool infinite = false;
        for (int32_t i = 0; i < n; i++) {
            row[i] = values[i];
            infinite |= isinf(values[i]) != 0;
        }
        if (!infinite)
            return QN_OK;
    }
    for (int32_t i = 0; i < n; i++)
        QN_TRY(qn_rows_set_number(rows, i_row, i, values[i], err));
    return QN_OK;
}

qn_status qn_rows_set_i64(qn_rows *rows, int64_t i_row, int32_t i_input, int64_t value,
                          qn_error *err) {
    if (!is_inside(rows, i_row, i_input))
        return outside(rows, i_row, i_input, err);
    const qn_type type = rows->inputs[i_input].type;
    if (type == QN_TYPE_F64) {
        put_number(rows, i_row, i_input, (double)value);
        return QN_OK;
    }
    if (holds_text(type)) {
        char text[QN_DOUBLE_TEXT];
        size_t n = qn_number_write_i64(value, text);
        return put_text(rows, i_row, i_input, text, n, err);
    }
    return put_whole(rows, i_row, i_input, value, err);
}

qn_status qn_rows_set_bool(qn_rows *rows, int64_t i_row, int32_t i_input, bool value,
                           qn_error *err) {
    if (!is_inside(rows, i_row, i_input))
        return outside(rows, i_row, i_input, err);
    const qn_type type = rows->inputs[i_input].type;
    const char *word = value ? "true" : "false";
    if (holds_text(type))
        return put_text(rows, i_row, i_input, word, strlen(word), err);
    if (type == QN_TYPE_TIME)
        return refuse_text(rows, i_row, i_input, word, strlen(word), err);
    return qn_rows_set_i64(rows, i_row, i_input, value, err);
}

qn_status qn_rows_set_text(qn_rows *rows, int64_t i_row, int32_t i_input, const char *bytes,
                           size_t n, qn_error *err) {
    if (!is_inside(rows, i_row, i_input))
        return outside(rows, i_row, i_input, err);
    const qn_type type = rows->inputs[i_input].type;
    qn_cell cell;
    switch (qn_cell_read(rows->model->cell_rules, type, bytes, n, &cell)) {
    case QN_CELL_MISSING:
        qn_rows_set_missing(rows, i_row, i_input);
        return QN_OK;
    case QN_CELL_MISFIT:
        return refuse_text(rows, i_row, i_input, bytes, n, err);
    case QN_CELL_VALUE:
        break;
    }
    if (holds_text(type))
        return put_text(rows, i_row, i_input, cell.text.bytes, cell.text.n, err);
    if (type != QN_TYPE_F64)
        return put_whole(rows, i_row, i_input, cell.i64, err);
    put_number(rows, i_row, i_input, cell.f64);
    return QN_OK;
}

/* --- answers ---------------------------------------------------------------------------------- */

qn_status qn_rows_predict(qn_rows *rows, double *scores, qn_error *err) {
    if (rows->direct)
        return qn__predict_features(rows->model, rows->features, rows->n_rows, scores, err);
    qn_frame frame;
    QN_TRY(qn__cells_frame(&rows->cells, &frame, err));
    return qn_model_predict(rows->model, &frame, NULL, scores, err);
}

qn_status qn_rows_explain(qn_rows *rows, double *contrib, qn_error *err) {
    if (rows->direct)
        return qn__explain_features(rows->model, rows->features, rows->n_rows, contrib, err);
    qn_frame frame;
    QN_TRY(qn__cells_frame(&rows->cells, &frame, err));
    return qn_model_explain(rows->model, &frame, NULL, contrib, err);
}

qn_status qn_rows_predict_numbers(qn_rows *rows, const double *values, int64_t n_rows,
                                  double *scores, qn_error *err) {
    qn_rows_clear(rows);
    QN_TRY(qn_rows_add(rows, n_rows, err));
    for (int64_t r = 0; r < n_rows; r++)
        QN_TRY(qn_rows_set_numbers(rows, r, values + r * rows->schema->n_columns, err));
    return qn_rows_predict(rows, scores, err);
}
