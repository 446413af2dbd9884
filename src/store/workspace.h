/* workspace.h - the .quern/ folder of a project: objects named by content hash, and quern.db
 * (SQLite, WAL) with runs, models, aliases and the ledger. Several processes may use it at once;
 * kill -9 at any moment leaves it consistent. A qn_workspace is used by one thread at a time;
 * threads open their own.
 *
 *   .quern/quern.db
 *   .quern/objects/ab/abcdef...      BLAKE2b-256 of the bytes, read-only files
 *   .quern/tmp/                      files being written; swept at the next open
 *   .quern/runs/<run id>/report.html links for people; everything can be made again from objects
 */
#ifndef QN_STORE_WORKSPACE_H
#define QN_STORE_WORKSPACE_H

#include "base/hash.h"
#include "base/json.h"

typedef struct qn_workspace qn_workspace;

/* Opens `folder`/.quern, making it when `create`. QN_ERR_NOT_FOUND says how to make one. */
qn_status qn_workspace_open(const char *folder, bool create, qn_workspace **ret_workspace,
                            qn_error *err) QN_MUST_USE;
void qn_workspace_free(qn_workspace **workspace);
/* How long a writer waits for another process before QN_ERR_BUSY; 10,000 ms unless changed. */
void qn_workspace_set_patience(qn_workspace *workspace, int patience_ms);
/* A number that changes whenever another connection, of this or of another process, has changed the
 * database: cheap to ask many times a second. */
qn_status qn_workspace_pulse(qn_workspace *workspace, int64_t *ret_pulse, qn_error *err)
    QN_MUST_USE;
const char *qn_workspace_path(const qn_workspace *workspace);     /* ".../.quern"; borrowed */
const char *qn_workspace_temporary(const qn_workspace *workspace); /* ".../.quern/tmp"; borrowed */

/* --- objects ---------------------------------------------------------------------------------- */

/* Stores bytes; storing what is there already is fine. */
qn_status qn_object_put(qn_workspace *workspace, const void *bytes, size_t n,
                        char ret_hash[QN_DIGEST_TEXT], qn_error *err) QN_MUST_USE;
/* Moves a finished file of qn_workspace_temporary() in. */
qn_status qn_object_adopt(qn_workspace *workspace, const char *path, char ret_hash[QN_DIGEST_TEXT],
                          qn_error *err) QN_MUST_USE;
/* The path of an object; QN_ERR_NOT_FOUND. Owned by the caller. */
qn_status qn_object_path(qn_workspace *workspace, const char *hash, char **ret_path,
                         qn_error *err) QN_MUST_USE;

/* --- runs ------------------------------------------------------------------------------------- */

/* Begins a run (status "running"): a new id that sorts by time, like 20261123-014455-7f3a. `config`
 * is the resolved config. `environment` tells versions, host, git commit. Ledger entry "run
 * started". */
qn_status qn_run_begin(qn_workspace *workspace, const char *project, const json_t *config,
                       const json_t *environment, char ret_id[64], qn_error *err) QN_MUST_USE;
/* Notes a file that belongs to it: kind "snapshot", "model", "report", "document" (the run's
 * JSON). */
qn_status qn_run_add_artifact(qn_workspace *workspace, const char *run_id, const char *kind,
                              const char *hash, int64_t bytes, qn_error *err) QN_MUST_USE;
/* Ends it in one transaction: status "done" with its summary (the object `quern run --json` prints;
 * its metrics and params become searchable rows), "failed" or "cancelled" with the reason. */
qn_status qn_run_end(qn_workspace *workspace, const char *run_id, const char *status,
                     const json_t *summary, const char *reason, qn_error *err) QN_MUST_USE;
/* Newest first: [{"run", "project", "status", "reason", "started", "ended", "family", "metrics":
 * {"roc_auc": 0.98, ...}}], the metrics being those on the test part. Runs whose process is gone
 * show as "failed" with reason "killed". limit 0: all. */
qn_status qn_run_list(qn_workspace *workspace, int64_t limit, json_t **ret_runs, qn_error *err)
    QN_MUST_USE;
/* The runs that have the metric (on the test part), sorted by it. */
qn_status qn_run_list_by(qn_workspace *workspace, const char *metric, bool greater_first,
                         int64_t limit, json_t **ret_runs, qn_error *err) QN_MUST_USE;
/* By id or unique prefix, or "last": what the list tells, with "config", "environment", "summary",
 * "artifacts": [{"kind", "hash", "bytes"}]. */
qn_status qn_run_get(qn_workspace *workspace, const char *id, json_t **ret_run, qn_error *err)
    QN_MUST_USE;

/* --- models ----------------------------------------------------------------------------------- */

/* Registers an object as the next version of `name`. `about` is kept with it (metrics, family,
 * bytes, ...). When alias is not NULL it moves to this version in the same transaction. Ledger
 * entries. */
qn_status qn_registry_add(qn_workspace *workspace, const char *name, const char *hash,
                          const char *run_id, const json_t *about, const char *alias,
                          int64_t *ret_version, qn_error *err) QN_MUST_USE;
/* "NAME", "NAME@ALIAS", "NAME:VERSION": NAME alone means @champion, or the newest version when there is
 * no champion. {"name", "version", "hash", "run", "created", "aliases": [...], "about": {...}}. */
qn_status qn_registry_get(qn_workspace *workspace, const char *reference, json_t **ret_model,
                          qn_error *err) QN_MUST_USE;
/* All models with their versions and aliases, newest version first. name NULL: all names. */
qn_status qn_registry_list(qn_workspace *workspace, const char *name, json_t **ret_models,
                           qn_error *err) QN_MUST_USE;
/* Points an alias at a version, saying why; where it points already nothing changes. */
qn_status qn_registry_promote(qn_workspace *workspace, const char *name, int64_t version,
                              const char *alias, const char *why, qn_error *err) QN_MUST_USE;
/* Points an alias at the version it had before; tells which. Rolling back again goes further back.
 * QN_ERR_NOT_FOUND when there was none. */
qn_status qn_registry_rollback(qn_workspace *workspace, const char *name, const char *alias,
                               int64_t *ret_version, qn_error *err) QN_MUST_USE;
/* What differs between two references, from their "about": {"from": "income:1", "to": "income:2",
 * "same_file",
 * "differences": [{"key": "metrics.test.roc_auc.value", "from", "to", "change" (numbers only)}]}. */
qn_status qn_registry_diff(qn_workspace *workspace, const char *from, const char *to,
                           json_t **ret_diff, qn_error *err) QN_MUST_USE;
/* The ledger: append-only. [{"time", "event", "run", "model", "version", "alias", "detail"}],
 * oldest first; name NULL: everything. */
qn_status qn_ledger_list(qn_workspace *workspace, const char *name, json_t **ret_events,
                         qn_error *err) QN_MUST_USE;

/* --- check ------------------------------------------------------------------------------------ */

/* Verifies database integrity, foreign keys, the ledger's chain, the hash of every object, and
 * every reference. *ret_report: {"problems": [text...], "notes": [text...], "objects", "bytes",
 * "runs", "models",
 * "events"}. Notes are harmless (leftovers of killed runs). QN_OK even when there are problems. */
qn_status qn_workspace_check(qn_workspace *workspace, json_t **ret_report, qn_error *err)
    QN_MUST_USE;

#endif
