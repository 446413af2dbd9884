/* Leaves of fewer rows than a feature has bins. Most cells of a histogram would be empty there, and
 * counting, subtracting and searching it would cost what the cells cost, not the rows. The search of such
 * a leaf takes the sums of a wide lane from the rows themselves, one feature at a time: they are added to
 * cells that stay in the second-level cache, a bit marks each cell touched, and the marks give the bins
 * in order. Bounds behind empty bins part the rows as the bound before them does, so that nothing is lost
 * and the split is the same to the bit.
 *
 * What a leaf has, its descendants have: once a leaf has few rows, the cells of wide lanes are not needed
 * below it, and only those of narrow lanes, which come first, are counted and subtracted.
 *
 * Only where the search asks for nothing else: under a rule bounds are drawn, or bound, by their number;
 * symmetric trees sum over leaves by cell; forced splits read cells; categories are sorted by them. */
#include "learn/gbdt_int.h"

void qn__few_done(qn__few *few) {
    qn_freep(&few->cells);
    qn_freep(&few->touched);
    qn_freep(&few->bin);
}

qn_status qn__few_init(qn__few *few, const qn__bin_map *map, qn_error *err) {
    int32_t most = 0;
    for (int32_t i = 0; i < map->n_features; i++)
        most = map->features[i].n_cells > most ? map->features[i].n_cells : most;
    few->cells = qn_new_array(qn__wide_sum, most);
    few->touched = qn_new_array(uint64_t, most / 64 + 1);
    few->bin = qn_new_array(int32_t, most);
    return few->cells && few->touched && few->bin ? QN_OK : qn_error_memory(err);
}

int64_t qn__few_most(const qn__growth *growth, const qn__bin_map *map) {
    int32_t n_wide = map->n_lanes - map->n_narrow;
    if (n_wide == 0 || map->n_dense < map->n_features || growth->ruled || growth->symmetric
        || growth->n_forced > 0)
        return 0;
    for (int32_t i = 0; i < map->n_features; i++) {
        const qn__bin_feature *f = &map->features[i];
        if (f->lane >= map->n_narrow
            && (f->kind == QN_FEATURE_CATEGORY || map->lanes[f->lane].n_features > 1))
            return 0;
    }
    return (map->n_cells - map->narrow_cells) / n_wide / 2; /* a row costs about what two cells do */
}

static void add_rows(const qn__few *few, const qn__bin_map *map, const qn__bin_feature *f) {
    size_t stride = (size_t)few->bins->stride;
    const uint8_t *bins = few->bins->rows + map->lanes[f->lane].at;
    qn__wide_sum *cells = few->cells;
    uint64_t *touched = few->touched;
    for (int64_t i = 0; i < few->n; i++) {
        size_t row = few->rows ? few->rows[i] : (size_t)i;
        const void *at = bins + row * stride;
        uint16_t bin = *(const uint16_t *)at;
        qn__wide_sum sum = qn__widen(qn__row_sum(qn__gradient_of(few->gh, row)));
        cells[bin].g += sum.g;
        cells[bin].hn += sum.hn;
        touched[bin >> 6] |= (uint64_t)1 << (bin & 63);
    }
}

int32_t qn__few_sums(const qn__few *few, const qn__bin_map *map, const qn__bin_feature *f,
                     double *g, double *h, int64_t *words) {
    qn__wide_sum sum = {0}, *cells = few->cells;
    int32_t n = 0, *bins = few->bin;
    add_rows(few, map, f);
    cells[f->n_values] = (qn__wide_sum){0}; /* the missing: what the others leave of the total */
    few->touched[f->n_values >> 6] &= ~((uint64_t)1 << (f->n_values & 63));
    for (int32_t at = 0; at <= f->n_values >> 6; at++) {
        for (uint64_t bits = few->touched[at]; bits; bits &= bits - 1) {
            int32_t bin = at * 64 + __builtin_ctzll(bits);
            sum.g += cells[bin].g;
            words[n] = sum.hn += cells[bin].hn;
            g[n] = (double)sum.g;
            h[n] = (double)(sum.hn >> QN__WIDE_N_BITS);
            bins[n++] = bin;
            cells[bin] = (qn__wide_sum){0};
        }
        few->touched[at] = 0;
    }
    return n;
}
