/* transforms_int.h - the tables that the list in transforms.c names. */
#ifndef QN_FEATURE_TRANSFORMS_INT_H
#define QN_FEATURE_TRANSFORMS_INT_H

#include "feature/feature_int.h"

extern const qn__transform qn__transform_number, qn__transform_drop;         /* transform_plain.c */
extern const qn__transform qn__transform_zero_missing;
extern const qn__transform qn__transform_impute, qn__transform_scale;        /* transform_scale.c */
extern const qn__transform qn__transform_log, qn__transform_power;           /* transform_power.c */
extern const qn__transform qn__transform_quantile, qn__transform_discretise; /* transform_quantile.c */
extern const qn__transform qn__transform_category, qn__transform_one_hot;    /* transform_category.c */
extern const qn__transform qn__transform_ordinal, qn__transform_hash, qn__transform_cross;
extern const qn__transform qn__transform_target, qn__transform_frequency;    /* transform_target.c */
extern const qn__transform qn__transform_date, qn__transform_cyclical;       /* transform_time.c */
extern const qn__transform qn__transform_text, qn__transform_text_stats;     /* transform_text.c */

#endif
