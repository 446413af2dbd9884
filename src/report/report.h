/* report.h - the run document as one self-contained HTML page: no network, light and dark,
 * printable, readable on a phone. C writes the words, tables and Vega-Lite specs; the page draws
 * the specs.
 *
 * The run document (made by flow/, kept as an object of the workspace) is JSON. Every member may be
 * absent or null, and then its part of the page is left out:
 *
 * "task"."kind" may be "ranking", and "query" is its column then; the model is a regression.
 *
 *  {"run": "20261123-014455-7f3a", "project": "fraud", "started": "2026-11-23T01:44:55Z", "quern":
 * "0.1.0", "source": {"path": "data/x.csv.gz", "query": null}, "task": {"kind": "binary", "target":
 * "Class", "classes": ["0", "1"], "positive": "1"}, "dataset": {"rows": 284807, "columns": 31,
 * "hash": "..", "target_missing": 0, "sampled_from": null}, "profile": (data/profile.h), "split":
 * {"method": "stratified", "seed": 42, "train": n, "validate": n, "test": n, "note": ".."},
 *   "sample": {"negatives": 0.1, "kept": n, "of": n},
 *   "metric": "log_loss",
 *   "leaderboard": [{"family": "gbdt", "title": "..", "is_baseline": false, "chosen": true,
 * "params": {}, "metric": 0.27 (on validation), "test": {"value", "low", "high"}, "train_s",
 * "row_us", "bytes", "facts": {"trees": 87}}], "metrics": {"validate": {"roc_auc": {"value", "low",
 * "high"}}, "test": {..}}, "curves": (evaluate/curve.h), "confusion": {"labels": [..], "counts":
 * [[..]]}, "calibration": {"kind": "isotonic", "ece_before": x, "ece_after": x}, "value":
 * (evaluate/value.h), "slices": (evaluate/slice.h), "importance": (evaluate/importance.h, and
 * "interactions": [{"features": [a, b], "mean_abs": x}, ..]: the strongest pairs first),
 * "dependence": (same), "comparison": [{"against": "prior", "title": "..", "metric": "log_loss",
 * "greater_is_better": false, "difference": {"value", "low", "high"}, "better": true}],
 *   "registration": {"name", "version", "alias", "promoted": true, "why": ".."},
 *   "warnings": ["..."], "config": {..}, "environment": {"quern", "git_commit", "host", "os",
 * "threads"}, "model": {"family", "hash", "bytes", "file"}, "timings": {"import_s": 0.9, ...}}
 */
#ifndef QN_REPORT_REPORT_H
#define QN_REPORT_REPORT_H

#include "base/buf.h"
#include "base/json.h"

/* Appends the page to `out` (about 1 MB: the Vega bundles are inside). */
qn_status qn_report_write(const json_t *document, qn_buf *out, qn_error *err) QN_MUST_USE;

#endif
