/* The plain histogram that gbdt_hist.c is compared with. */
#include <string.h>

#include "learn/gbdt_int.h"

void qn__hist_build_ref(const qn__bin_map *map, const qn__bins *bins, const qn__quantised *q,
                        const uint32_t *rows, int64_t n, qn__sum *sums) {
    memset(sums, 0, (size_t)map->n_cells * sizeof *sums);
    for (int32_t i = 0; i < map->n_features; i++) {
        const qn__bin_feature *f = &map->features[i];
        for (int64_t k = 0; k < n; k++) {
            int64_t row = rows ? rows[k] : k;
            qn__sum s = qn__unpack(q->gh[row]);
            qn__sum *cell = &sums[f->cell + qn__bins_at(map, bins, f, row)];
            cell->g += s.g;
            cell->h += s.h;
        }
    }
}
