/* Partial dependence: the sample is scored once per place of the grid, with the column set to the
 * value of a row that stands there, so every type of column goes the same way. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "evaluate/build_int.h"
#include "evaluate/importance_int.h"
#include "learn/order.h"

/* Where to look: rows of the sample whose values are the places, and how many rows are near
 * each. */
typedef struct grid {
    int n;
    int64_t row[QN_DEPENDENCE_POINTS];
    int64_t count[QN_DEPENDENCE_POINTS];
} grid;

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* --- the places ------------------------------------------------------------------------------- */

/* Every distinct value when there are few; else the order statistics from the 2 % to the 98 %
 * quantile. */
static void place_numbers(const double *values, const int64_t *order, int64_t n, grid *g) {
    int64_t n_distinct = n > 0;
    for (int64_t k = 1; k < n; k++)
        n_distinct += values[order[k]] != values[order[k - 1]];
    if (n_distinct <= QN_DEPENDENCE_POINTS) {
        for (int64_t k = 0; k < n; k++) {
            if (k == 0 || values[order[k]] != values[order[k - 1]])
                g->row[g->n++] = order[k];
        }
        return;
    }
    for (int i = 0; i < QN_DEPENDENCE_POINTS; i++) {
        double q = 0.02 + 0.96 * i / (QN_DEPENDENCE_POINTS - 1);
        int64_t row = order[(int64_t)(q * (double)(n - 1) + 0.5)];
        if (g->n == 0 || values[row] != values[g->row[g->n - 1]])
            g->row[g->n++] = row;
    }
}

static qn_status number_grid(const qn_column *column, grid *g, qn_error *err) {
    int64_t n = column->n_rows, n_there = 0;
    qn_cleanup(qn_freep) double *values = qn_new_array(double, n);
    qn_cleanup(qn_freep) int64_t *order = qn_new_array(int64_t, n);
    if (!values || !order)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++) {
        values[i] = qn_column_number(column, i);
        n_there += !isnan(values[i]);
    }
    QN_TRY(qn_order_f64(values, 1, n, order, err)); /* missing ones come last */
    place_numbers(values, order, n_there, g);
    for (int64_t i = 0; i < n && g->n; i++) {
        if (isnan(values[i]))
            continue;
        int nearest = 0;
        for (int p = 1; p < g->n; p++) {
            if (fabs(values[g->row[p]] - values[i]) < fabs(values[g->row[nearest]] - values[i]))
                nearest = p;
        }
        g->count[nearest]++;
    }
    return QN_OK;
}

/* The commonest categories, most frequent first; of equals the one with the lower code. */
static qn_status category_grid(const qn_column *column, grid *g, qn_error *err) {
    int32_t n = qn_dict_size(column->dict);
    qn_cleanup(qn_freep) int64_t *counts = qn_new_array(int64_t, n);
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, n);
    if (!counts || !rows)
        return qn_error_memory(err);
    for (int64_t i = column->n_rows - 1; i >= 0; i--) {
        if (qn_column_is_valid(column, i)) {
            counts[column->code[i]]++;
            rows[column->code[i]] = i;
        }
    }
    while (g->n < QN_DEPENDENCE_POINTS && g->n < n) {
        int32_t most = 0;
        for (int32_t c = 1; c < n; c++)
            most = counts[c] > counts[most] ? c : most;
        if (!counts[most])
            break;
        g->row[g->n] = rows[most];
        g->count[g->n++] = counts[most];
        counts[most] = 0;
    }
    return QN_OK;
}

static json_t *place_to_json(const qn_column *column, int64_t row) {
    if (column->type == QN_TYPE_I64 || column->type == QN_TYPE_F64)
        return qn_json_number(qn_column_number(column, row));
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    qn_column_format(column, row, &text);
    return text.status == QN_OK ? json_string(qn_buf_text(&text)) : NULL;
}

static const char *kind_of(const qn_column *column) {
    return column->type == QN_TYPE_CATEGORY || column->type == QN_TYPE_BOOL ? "category"
           : column->type == QN_TYPE_TIME                                   ? "time"
                                                                            : "numeric";
}

/* --- the answers ------------------------------------------------------------------------------ */

/* Room for the scores of one place, and what is being looked at. */
typedef struct probe {
    const qn_importance_input *input;
    const qn_frame *frame; /* the sample; borrowed */
    int32_t i_output;
    qn_column *columns;    /* owned: the sample's with one replaced; the arrays are borrowed */
    int64_t *rows;         /* owned */
    double *scores;        /* owned */
    double *answers;       /* owned */
} probe;

static void probe_done(probe *p) {
    qn_freep(&p->columns);
    qn_freep(&p->rows);
    qn_freep(&p->scores);
    qn_freep(&p->answers);
}

static qn_status probe_init(probe *p, qn_error *err) {
    size_t n = (size_t)p->frame->n_rows;
    p->columns = qn_new_array(qn_column, p->frame->n_columns);
    p->rows = qn_new_array(int64_t, n);
    p->scores = qn_calloc(n, (size_t)qn__importance_outputs(p->input) * sizeof *p->scores);
    p->answers = qn_new_array(double, n);
    return p->columns && p->rows && p->scores && p->answers ? QN_OK : qn_error_memory(err);
}

static int64_t curves_of(const probe *p) {
    return p->input->n_curves < p->frame->n_rows ? p->input->n_curves : p->frame->n_rows;
}

/* Mean, 10 % and 90 % of the answers when the whole column has the value of `row`; and the first
 * answers as they are. */
static qn_status ask(probe *p, int32_t i_column, int64_t row, double *ret_y, double *ret_low,
                     double *ret_high, double *curve, qn_error *err) {
    int64_t n = p->frame->n_rows;
    int32_t n_outputs = qn__importance_outputs(p->input);
    qn_cleanup(qn_frame_free) qn_frame *constant = NULL;
    qn_frame one = {n, 1, &p->frame->columns[i_column]};
    for (int64_t i = 0; i < n; i++)
        p->rows[i] = row;
    QN_TRY(qn_frame_take(&one, p->rows, n, &constant, err));
    memcpy(p->columns, p->frame->columns, (size_t)p->frame->n_columns * sizeof *p->columns);
    p->columns[i_column] = constant->columns[0];
    qn_frame frame = {n, p->frame->n_columns, p->columns};
    QN_TRY(p->input->score(p->input->user, &frame, p->scores, err));
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        p->answers[i] = p->scores[i * n_outputs + p->i_output];
        sum += p->answers[i];
    }
    if (curves_of(p) > 0)
        memcpy(curve, p->answers, (size_t)curves_of(p) * sizeof *curve);
    qsort(p->answers, (size_t)n, sizeof *p->answers, compare_doubles);
    *ret_y = sum / (double)n;
    *ret_low = p->answers[(n - 1) / 10];
    *ret_high = p->answers[n - 1 - (n - 1) / 10];
    return QN_OK;
}

/* What the trees say of the places alone. */
static qn_status put_raw(const probe *p, int32_t i_column, const grid *g, json_t *object,
                         qn_error *err) {
    int32_t n_outputs = qn__importance_outputs(p->input);
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    qn_cleanup(qn_freep) double *scores = qn_new_array(double, g->n *n_outputs);
    double raw[QN_DEPENDENCE_POINTS];
    if (!p->input->weigh)
        return QN_OK;
    if (!scores)
        return qn_error_memory(err);
    QN_TRY(qn_frame_take(p->frame, g->row, g->n, &frame, err));
    QN_TRY(p->input->weigh(p->input->user, frame, p->frame->columns[i_column].name, scores, err));
    for (int i = 0; i < g->n; i++)
        raw[i] = scores[i * n_outputs + p->i_output];
    return json_object_set_new(object, "raw", qn_json_numbers(raw, (size_t)g->n)) == 0
               ? QN_OK : qn_error_memory(err);
}

/* curves[x][row], told by rows. */
static void put_curves(const probe *p, const double *curves, int n_x, json_t *object, bool *ok) {
    json_t *list = json_array();
    for (int64_t row = 0; row < curves_of(p); row++) {
        double y[QN_DEPENDENCE_POINTS];
        for (int i = 0; i < n_x; i++)
            y[i] = curves[i * curves_of(p) + row];
        qn__append(ok, list, qn_json_numbers(y, (size_t)n_x));
    }
    qn__put(ok, object, "curves", list);
}

static qn_status feature_make(probe *p, const char *name, json_t *array, qn_error *err) {
    int32_t i_column = 0;
    QN_TRY(qn__find_column(p->frame, name, &i_column, err));
    const qn_column *column = &p->frame->columns[i_column];
    grid g = {.n = 0};
    double y[QN_DEPENDENCE_POINTS], low[QN_DEPENDENCE_POINTS], high[QN_DEPENDENCE_POINTS];
    if (column->type == QN_TYPE_TEXT)
        return QN_OK;
    QN_TRY(column->type == QN_TYPE_CATEGORY ? category_grid(column, &g, err)
                                            : number_grid(column, &g, err));
    if (g.n == 0) /* all missing */
        return QN_OK;
    qn_cleanup(qn_freep) double *curves = qn_new_array(double, g.n *curves_of(p) + 1);
    if (!curves)
        return qn_error_memory(err);
    for (int i = 0; i < g.n; i++)
        QN_TRY(ask(p, i_column, g.row[i], &y[i], &low[i], &high[i], curves + i * curves_of(p),
                   err));
    bool ok = true;
    json_t *object = json_object(), *x = json_array(), *counts = json_array();
    for (int i = 0; i < g.n; i++) {
        qn__append(&ok, x, place_to_json(column, g.row[i]));
        qn__append(&ok, counts, json_integer(g.count[i]));
    }
    qn__put(&ok, object, "feature", json_string(name));
    qn__put(&ok, object, "kind", json_string(kind_of(column)));
    qn__put(&ok, object, "x", x);
    qn__put(&ok, object, "y", qn_json_numbers(y, (size_t)g.n));
    qn__put(&ok, object, "low", qn_json_numbers(low, (size_t)g.n));
    qn__put(&ok, object, "high", qn_json_numbers(high, (size_t)g.n));
    qn__put(&ok, object, "n", counts);
    if (p->input->n_curves > 0)
        put_curves(p, curves, g.n, object, &ok);
    qn_status status = put_raw(p, i_column, &g, object, err);
    qn__append(&ok, array, object);
    QN_TRY(status);
    return ok ? QN_OK : qn_error_memory(err);
}

qn_status qn_dependence_make(const qn_importance_input *input, const char *const *features,
                             size_t n_features, int32_t i_output, const qn_job *job,
                             json_t **ret_dependence, qn_error *err) {
    QN_FAIL_IF(input->frame->n_rows < 1 || !input->score, err, QN_ERR_USAGE,
               "dependence needs rows and a model");
    QN_FAIL_IF(i_output < 0 || i_output >= qn__importance_outputs(input), err, QN_ERR_USAGE,
               "the model has no output %d", (int)i_output);
    qn_cleanup(qn_freep) int64_t *rows = NULL;
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    int64_t n = 0;
    QN_TRY(qn__choose_rows(input->frame->n_rows, QN_DEPENDENCE_ROWS, input->seed, &rows, &n, err));
    QN_TRY(qn_frame_take(input->frame, rows, n, &frame, err));
    qn_cleanup(probe_done) probe p = {.input = input, .frame = frame, .i_output = i_output};
    qn_cleanup(qn_json_free) json_t *array = json_array();
    QN_TRY(probe_init(&p, err));
    if (!array)
        return qn_error_memory(err);
    for (size_t i = 0; i < n_features; i++) {
        QN_TRY(qn_job_check(job, err));
        qn_job_progress(job, "dependence", (double)i, (double)n_features, NULL);
        QN_TRY(feature_make(&p, features[i], array, err));
    }
    *ret_dependence = qn_steal(&array);
    return QN_OK;
}
