/* Answers of a model: the same code for one row and for a batch, in blocks that bound the memory.
 * Every row is computed on its own by pipeline, learner, link and calibration, so neither the block
 * nor the thread it falls into can change its bits. */
#include <string.h>

#include "base/mem.h"
#include "model/explain.h"
#include "model/model_int.h"

enum {
    BLOCK_ROWS = 4096,
    WIDE_FEATURES = 4096,     /* from here on a block's fixed cost is high, so blocks are larger */
    WIDE_BLOCK_ROWS = 16384,
    EXPLAIN_NUMBERS = 1 << 20, /* contributions held at once per thread: 8 MiB */
    EXPLAIN_ROWS = 256,
};

static void correct_scores(const qn_model *model, double *scores, int64_t n_rows) {
    if (model->negatives_rate != 1 && model->target.task == QN_TASK_BINARY)
        qn_undo_negative_sampling(scores, n_rows, model->negatives_rate);
    qn_calibrator_apply(model->calibrator, scores, n_rows);
}

void qn_model_score(const qn_model *model, const qn_matrix *x, const qn_job *job, double *scores) {
    qn_learner_predict(model->learner, x, true, job, scores);
    correct_scores(model, scores, x->n_rows);
}

/* Work on rows first .. first + n - 1 of the frame, `rows` holding those numbers. */
typedef qn_status (*block_function)(const qn_model *model, const qn_frame *frame,
                                    const int64_t *rows, int64_t first, int64_t n, double *out,
                                    qn_error *err);

static qn_status predict_block(const qn_model *model, const qn_frame *frame, const int64_t *rows,
                               int64_t first, int64_t n, double *scores, qn_error *err) {
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    QN_TRY(qn_pipeline_apply(model->pipeline, frame, rows, n, NULL, &x, err));
    qn_model_score(model, x, NULL, scores + first * model->learner->n_outputs);
    return QN_OK;
}

/* Contributions by feature, added up by input into out[x->n_rows][n_outputs][n_inputs + 1]. */
static qn_status explain_matrix(const qn_model *model, const qn_matrix *x, double *out,
                                qn_error *err) {
    const qn_learner *learner = model->learner;
    int32_t n_features, n_inputs = qn_pipeline_inputs(model->pipeline)->n_columns;
    const qn_feature *features = qn_pipeline_features(model->pipeline, &n_features);
    size_t n_items = (size_t)x->n_rows * (size_t)learner->n_outputs;
    qn_cleanup(qn_freep) double *by_feature = qn_new_array(double,
                                                           n_items *((size_t)n_features + 1));
    if (!by_feature)
        return qn_error_memory(err);
    QN_TRY(learner->family->explain(learner, x, 0, x->n_rows, by_feature, err));
    memset(out, 0, n_items * ((size_t)n_inputs + 1) * sizeof *out);
    for (size_t i = 0; i < n_items; i++) {
        const double *from = by_feature + i * ((size_t)n_features + 1);
        double *to = out + i * ((size_t)n_inputs + 1);
        for (int32_t f = 0; f < n_features; f++)
            to[features[f].i_input] += from[f];
        to[n_inputs] = from[n_features];
    }
    return QN_OK;
}

/* Numbers of one row's contributions by input. */
static int64_t row_contributions(const qn_model *model) {
    return model->learner->n_outputs *
           ((int64_t)qn_pipeline_inputs(model->pipeline)->n_columns + 1);
}

static qn_status explain_block(const qn_model *model, const qn_frame *frame, const int64_t *rows,
                               int64_t first, int64_t n, double *contrib, qn_error *err) {
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    QN_TRY(qn_pipeline_apply(model->pipeline, frame, rows, n, NULL, &x, err));
    return explain_matrix(model, x, contrib + first * row_contributions(model), err);
}

static qn_status run_block(block_function work, const qn_model *model, const qn_frame *frame,
                           int64_t first, int64_t n, double *out, qn_error *err) {
    qn_cleanup(qn_freep) int64_t *rows = qn_new_array(int64_t, n);
    if (!rows)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++)
        rows[i] = first + i;
    return work(model, frame, rows, first, n, out, err);
}

/* All blocks, in parallel. Of several errors the one of the first block is told. */
static qn_status run_blocks(block_function work, const qn_model *model, const qn_frame *frame,
                            int64_t block_rows, const qn_job *job, double *out, qn_error *err) {
    int64_t n_rows = frame->n_rows, n_blocks = (n_rows + block_rows - 1) / block_rows;
    if (n_blocks <= 1)
        return work(model, frame, NULL, 0, n_rows, out, err);
    qn_status status = QN_OK;
    int64_t i_failed = n_blocks;
#pragma omp parallel for schedule(dynamic, 1) num_threads(qn_job_threads(job))
    for (int64_t i = 0; i < n_blocks; i++) {
        int64_t i_first_failed;
#pragma omp atomic read
        i_first_failed = i_failed;
        if (i > i_first_failed)
            continue;
        int64_t first = i * block_rows;
        int64_t n = n_rows - first < block_rows ? n_rows - first : block_rows;
        qn_error mine = {0};
        qn_status s = qn_job_check(job, &mine);
        if (s == QN_OK)
            s = run_block(work, model, frame, first, n, out, &mine);
#pragma omp critical(qn_model_blocks)
        if (s != QN_OK && i < i_failed) {
#pragma omp atomic write
            i_failed = i;
            status = s;
            if (err)
                *err = mine;
        }
    }
    return status;
}

qn_status qn_model_predict(const qn_model *model, const qn_frame *frame, const qn_job *job,
                           double *scores, qn_error *err) {
    int64_t block_rows = model->learner->n_features > WIDE_FEATURES ? WIDE_BLOCK_ROWS : BLOCK_ROWS;
    return run_blocks(predict_block, model, frame, block_rows, job, scores, err);
}

static int64_t explain_rows(const qn_model *model) {
    const qn_learner *learner = model->learner;
    int64_t row_numbers = learner->n_outputs * ((int64_t)learner->n_features + 1);
    int64_t block_rows = EXPLAIN_NUMBERS / row_numbers;
    return block_rows < 1 ? 1 : block_rows > EXPLAIN_ROWS ? EXPLAIN_ROWS : block_rows;
}

qn_status qn_model_explain(const qn_model *model, const qn_frame *frame, const qn_job *job,
                           double *contrib, qn_error *err) {
    return run_blocks(explain_block, model, frame, explain_rows(model), job, contrib, err);
}

/* Pairs of inputs; of a family that adds its features up the diagonal alone. */
static qn_status interact_block(const qn_model *model, const qn_frame *frame, const int64_t *rows,
                                int64_t first, int64_t n, double *pairs, qn_error *err) {
    const qn_learner *learner = model->learner;
    int32_t n_features, n_inputs = qn_pipeline_inputs(model->pipeline)->n_columns;
    int64_t width = n_inputs + 1, n_items = n * learner->n_outputs;
    const qn_feature *features = qn_pipeline_features(model->pipeline, &n_features);
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    qn_cleanup(qn_freep) int32_t *group = qn_new_array(int32_t, n_features);
    qn_cleanup(qn_freep) double *contrib = NULL;
    double *to = pairs + first * learner->n_outputs * width * width;
    if (!group)
        return qn_error_memory(err);
    QN_TRY(qn_pipeline_apply(model->pipeline, frame, rows, n, NULL, &x, err));
    for (int32_t f = 0; f < n_features; f++)
        group[f] = features[f].i_input;
    if (learner->family->interactions)
        return learner->family->interactions(learner, x, 0, n, group, n_inputs, to, err);
    if (!(contrib = qn_new_array(double, n_items *width)))
        return qn_error_memory(err);
    QN_TRY(explain_matrix(model, x, contrib, err));
    memset(to, 0, (size_t)(n_items * width * width) * sizeof *to);
    for (int64_t i = 0; i < n_items; i++)
        for (int64_t a = 0; a < width; a++)
            to[(i * width + a) * width + a] = contrib[i * width + a];
    return QN_OK;
}

qn_status qn_model_interactions(const qn_model *model, const qn_frame *frame, const qn_job *job,
                                double *pairs, qn_error *err) {
    enum { BLOCK = 8 }; /* a row takes long */
    return run_blocks(interact_block, model, frame, BLOCK, job, pairs, err);
}

/* --- rows of features ------------------------------------------------------------------------- */

static qn_status matrix_of_rows(const qn_model *model, const double *rows, int64_t n,
                                qn_matrix **ret_matrix, qn_error *err) {
    int32_t n_features;
    const qn_feature *features = qn_pipeline_features(model->pipeline, &n_features);
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    QN_TRY(qn_matrix_new(n, features, n_features, &x, err));
    for (int32_t f = 0; f < n_features; f++) {
        const double *from = rows + f;
        for (int64_t r = 0; r < n; r++, from += n_features) {
            if (features[f].kind == QN_FEATURE_CATEGORY)
                x->columns[f].code[r] = (int32_t)*from;
            else
                x->columns[f].num[r] = *from;
        }
    }
    *ret_matrix = qn_steal(&x);
    return QN_OK;
}

qn_status qn__predict_features(const qn_model *model, const double *rows, int64_t n, double *scores,
                               qn_error *err) {
    const qn_learner *learner = model->learner;
    if (learner->family->predict_rows) {
        learner->family->predict_rows(learner, rows, n, scores);
        qn_link_apply(learner->link, scores, n, learner->n_outputs);
        correct_scores(model, scores, n);
        return QN_OK;
    }
    for (int64_t first = 0; first < n; first += BLOCK_ROWS) {
        qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
        int64_t n_block = n - first < BLOCK_ROWS ? n - first : BLOCK_ROWS;
        QN_TRY(matrix_of_rows(model, rows + first * learner->n_features, n_block, &x, err));
        qn_model_score(model, x, NULL, scores + first * learner->n_outputs);
    }
    return QN_OK;
}

qn_status qn__explain_features(const qn_model *model, const double *rows, int64_t n,
                               double *contrib, qn_error *err) {
    int64_t block_rows = explain_rows(model);
    for (int64_t first = 0; first < n; first += block_rows) {
        qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
        int64_t n_block = n - first < block_rows ? n - first : block_rows;
        QN_TRY(
            matrix_of_rows(model, rows + first * model->learner->n_features, n_block, &x, err));
        QN_TRY(explain_matrix(model, x, contrib + first * row_contributions(model), err));
    }
    return QN_OK;
}
