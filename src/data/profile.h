/* profile.h - what is in a table, and what about it should worry us before we train on it.
 *
 *     qn_cleanup(qn_json_free) json_t *profile = NULL;
 *     QN_TRY(qn_profile_make(frame, "Class", &info, y, NULL, job, &profile, err));
 *     qn_profile_text(profile, 100, &out);
 *
 * The JSON:
 *   {"rows","columns","bytes","duplicate_rows","sampled_rows","target": name or null,"task": name or null,
 *    "fields": [{"name","type","role": "target|input","missing","missing_share","distinct","distinct_exact",
 *        numbers and times (times as ISO text): "min","max","mean","std" (seconds for times),
 *           "quantiles": [[p, value], ...] for p 0, .01, .05, .25, .5, .75, .95, .99, 1,
 *           "histogram": {"edges": [<= 21 numbers], "counts": [...]},
 *        "top": [{"value": text, "count"}, <= 10] (numbers: only when few distinct values),
 *        text: "mean_length","mean_words",
 *        with a target: "association": {"measure": "auc|r2|accuracy_gain", "value", "pearson"}}],
 *    "classes": [{"label","count","share"}],
 *    "warnings": [{"kind","column": name or null,"severity": "info|warning|error","message"}]}
 *
 * Warning kinds: constant, all_missing, mostly_missing, id_like, duplicate_rows, imbalance,
 * date_as_text, target_missing, sentinel, infinite, duplicate_column, high_cardinality, and
 * leak_suspect, which also has
 * "reason": copy, made_of, missingness, near_perfect or dominating. README.md says how each is decided.
 *
 * Counts, missing shares, min, max, mean and std are exact; quantiles, histograms and associations
 * come from a seeded sample when the table has more than max_rows rows. The same input gives the
 * same JSON for any number of threads. */
#ifndef QN_DATA_PROFILE_H
#define QN_DATA_PROFILE_H

#include "base/job.h"
#include "base/json.h"
#include "data/frame.h"
#include "data/target.h"

typedef struct qn_profile_options {
    const char *time; /* event time column, if any; its order is known, so no id warning; may be NULL */
    int64_t max_rows; /* rows that quantiles and associations look at; 0: 200,000 */
    uint64_t seed;
} qn_profile_options;

/* `target` names the target column (NULL: none); with `info` and `y` (frame->n_rows items, NaN
 * where missing; see target.h) associations and leak warnings are computed. `options` may be NULL.
 * *ret_profile is a new reference. Errors: QN_ERR_NOT_FOUND (no such target column), QN_ERR_MEMORY,
 * QN_ERR_CANCELLED. */
qn_status qn_profile_make(const qn_frame *frame, const char *target, const qn_target_info *info,
                          const double *y, const qn_profile_options *options, const qn_job *job,
                          json_t **ret_profile, qn_error *err) QN_MUST_USE;

/* The profile as a table for a terminal of `width` columns (clamped to 60..200), UTF-8 with Unicode
 * bars; appends to `out` (check its status). Members that are missing are left out. */
void qn_profile_text(const json_t *profile, int width, qn_buf *out);

#endif
