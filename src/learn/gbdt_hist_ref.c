/* The plain histogram that gbdt_hist.c is compared with. */
#include <string.h>

#include "learn/gbdt_int.h"

void qn__hist_build_ref(const qn__hist_input *in, qn__sum *sums) {
    memset(sums, 0, (size_t)in->map->n_cells * sizeof *sums);
    for (int32_t i = 0; i < in->map->n_features; i++) {
        const qn__bin_feature *f = &in->map->features[i];
        for (int64_t k = 0; k < in->n; k++) {
            int64_t row = in->rows ? in->rows[k] : k;
            int32_t bin = qn__bins_at(in->map, in->bins, f, row);
            qn__sum_add(&sums[f->cell + bin], qn__row_sum(qn__gradient_of(in->gh, (size_t)row)));
        }
    }
}
