/* The plain search that gbdt_split.c is compared with: every bound, missing on either side. */
#include <math.h>

#include "learn/gbdt_int.h"

static double side(const qn_gbdt_params *p, double g, double h) {
    double a = fmax(fabs(g) - p->lambda_l1, 0);
    return a * a / (h + p->lambda_l2);
}

void qn__split_find_ref(const qn__split_input *in, int32_t i_feature, qn__split *ret_split) {
    const qn_gbdt_params *p = in->params;
    const qn__bin_feature *f = &in->map->features[i_feature];
    double g_all = (double)in->total.g * in->g_unit, h_all = (double)in->total.h * in->h_unit;
    *ret_split = (qn__split){.feature = -1};
    for (int missing_left = 0; missing_left < 2; missing_left++) {
        for (int32_t t = 0; t < f->n_values; t++) {
            qn__sum left = {0};
            for (int32_t b = 0; b <= f->n_values; b++) {
                qn__sum s = qn__hist_at(in->hist, f->cell + b);
                if (b == f->n_values ? missing_left : b <= t)
                    qn__sum_add(&left, s);
            }
            double g = (double)left.g * in->g_unit, h = (double)left.h * in->h_unit;
            if (left.h < 1 || left.h >= in->total.h || h < p->min_sum_hessian_in_leaf ||
                h_all - h < p->min_sum_hessian_in_leaf ||
                left.n < p->min_data_in_leaf || in->total.n - left.n < p->min_data_in_leaf)
                continue;
            double gain = side(p, g, h) + side(p, g_all - g, h_all - h) - side(p, g_all, h_all);
            if (gain > ret_split->gain && gain > p->min_gain_to_split) {
                *ret_split = (qn__split){.gain = gain, .feature = i_feature, .bin = t, .left = left,
                                         .missing_left = missing_left};
            }
        }
    }
}
