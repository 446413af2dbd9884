/* Bins shared by several fits on parts of the same rows. Bounds of bins come from the values of features
 * alone, no target among them, so that sharing them between folds tells a fold nothing of the labels
 * held out (LightGBM's cross-validation does the same). */
#include <string.h>

#include "learn/family_int.h"
#include "learn/gbdt_int.h"

void qn_gbdt_bins_free(qn_gbdt_bins **bins) {
    if (!bins || !*bins)
        return;
    qn__bin_map_done(&(*bins)->map);
    qn__bins_done(&(*bins)->bins);
    qn_freep(bins);
}

qn_status qn_gbdt_bins_new(const json_t *params, const qn_fit_input *input, const qn_job *job,
                           qn_gbdt_bins **ret_bins, qn_error *err) {
    const qn_matrix *x = input->train.x;
    qn_gbdt_params p;
    qn_params_default(qn__family_gbdt.params, qn__family_gbdt.n_params, &p);
    if (params)
        QN_TRY(qn_params_from_json(qn__family_gbdt.params, qn__family_gbdt.n_params, params, &p,
                                   err));
    for (int32_t c = 0; c < x->n_features; c++)
        QN_FAIL_IF(x->features[c].kind == QN_FEATURE_SPARSE, err, QN_ERR_USAGE,
                   "bins of sparse columns cannot be shared");
    qn_cleanup(qn_gbdt_bins_free) qn_gbdt_bins *bins = qn_new(qn_gbdt_bins);
    if (!bins)
        return qn_error_memory(err);
    qn__map_rows rows = {.x = x, .input = input, .job = job};
    QN_TRY(qn__bin_map_fit(&p, &rows, input->seed, &bins->map, err));
    QN_TRY(qn__bins_fill(&bins->map, x, QN__NO_COLUMNS, job, &bins->bins, err));
    *ret_bins = qn_steal(&bins);
    return QN_OK;
}

enum { BLOCK = 1 << 12 };

static void gather_block(const qn_gbdt_bins *from, const int64_t *rows, int64_t first, int64_t end,
                         qn__bins *to) {
    const size_t row_bytes = (size_t)to->stride;
    for (int64_t i = first; i < end; i++)
        memcpy(to->rows + (size_t)i * row_bytes, from->bins.rows + (size_t)rows[i] * row_bytes,
               row_bytes);
    for (int32_t l = 0; to->columns && l < from->map.n_lanes; l++) {
        const size_t at = (size_t)from->map.lanes[l].at;
        uint8_t *lane = to->columns + at * (size_t)to->n_rows;
        const uint8_t *row = to->rows + at; /* just copied, still in cache */
        if (l < from->map.n_narrow)
            for (int64_t i = first; i < end; i++)
                lane[i] = row[(size_t)i * row_bytes];
        else
            for (int64_t i = first; i < end; i++)
                memcpy(lane + 2 * i, row + (size_t)i * row_bytes, 2);
    }
}

qn_status qn__bins_gather(const qn_gbdt_bins *from, const int64_t *rows, int64_t n,
                          qn__columns columns, const qn_job *job, qn__bins *ret_bins,
                          qn_error *err) {
    QN_TRY(qn__bins_allocate(&from->map, n, columns, job, ret_bins, err));
    int64_t n_blocks = (n + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(dynamic) num_threads(qn_job_threads(job)) if (n_blocks > 8)
    for (int64_t b = 0; b < n_blocks; b++)
        gather_block(from, rows, b * BLOCK, (b + 1) * BLOCK < n ? (b + 1) * BLOCK : n, ret_bins);
    return QN_OK;
}
