#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "store/process.h"
#include "store/store_int.h"

enum { RUN_ID_BYTES = 64 };

/* --- begin ------------------------------------------------------------------------------------ */

static qn_status make_id(char id[RUN_ID_BYTES], int64_t now_us, qn_error *err) {
    time_t s = (time_t)(now_us / 1000000);
    struct tm tm;
    uint16_t salt;
    QN_FAIL_IF(getrandom(&salt, sizeof salt, 0) != sizeof salt || !gmtime_r(&s, &tm), err,
               QN_ERR_IO, "the system gives no random numbers or no time");
    size_t n = strftime(id, RUN_ID_BYTES, "%Y%m%d-%H%M%S", &tm);
    snprintf(id + n, RUN_ID_BYTES - n, "-%04x", salt);
    return QN_OK;
}

static qn_status find_run(const qn_workspace *workspace, const char *id, int64_t *ret_i_run,
                          qn_error *err) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    bool row;
    QN_TRY(
        qn__query_init(&query, workspace, "find a run", "SELECT i_run FROM run WHERE id = ?", err));
    qn__query_text(&query, 1, id);
    QN_TRY(qn__query_step(&query, &row, err));
    *ret_i_run = row ? qn__query_get_i64(&query, 0) : 0;
    return QN_OK;
}

/* The salt has 65,536 values: several runs begun in one second may meet. */
static qn_status free_id(const qn_workspace *workspace, int64_t now_us, char id[RUN_ID_BYTES],
                         qn_error *err) {
    for (int i_try = 0; i_try < 1000; i_try++) {
        int64_t taken;
        QN_TRY(make_id(id, now_us, err));
        QN_TRY(find_run(workspace, id, &taken, err));
        if (!taken)
            return QN_OK;
    }
    return qn_error_set(err, QN_ERR_BUSY, "too many runs were begun in this second: try again");
}

static qn_status insert_run(const qn_workspace *workspace, const char *id, const char *project,
                            int64_t now_us, qn_error *err) {
    qn__process self;
    qn__process_self(&self);
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(
        &query, workspace, "begin a run",
        "INSERT INTO run (id, project, status, started_us, host, boot, pid, pid_start)"
        " VALUES (?, ?, 'running', ?, ?, ?, ?, ?)",
        err));
    qn__query_text(&query, 1, id);
    qn__query_text(&query, 2, project);
    qn__query_i64(&query, 3, now_us);
    qn__query_text(&query, 4, self.host);
    qn__query_text(&query, 5, self.boot);
    qn__query_i64(&query, 6, self.pid);
    qn__query_i64(&query, 7, self.start);
    return qn__query_run(&query, err);
}

static qn_status insert_document(const qn_workspace *workspace, const json_t *config,
                                 const json_t *environment, qn_error *err) {
    qn_cleanup(qn_freep) char *config_text = NULL, *environment_text = NULL;
    QN_TRY(qn__json_dump(config, &config_text, err));
    QN_TRY(qn__json_dump(environment, &environment_text, err));
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(&query, workspace, "begin a run",
                          "INSERT INTO run_document (i_run, config, environment)"
                          " VALUES (last_insert_rowid(), ?, ?)", err));
    qn__query_text(&query, 1, config_text);
    qn__query_text(&query, 2, environment_text);
    return qn__query_run(&query, err);
}

qn_status qn_run_begin(qn_workspace *workspace, const char *project, const json_t *config,
                       const json_t *environment, char ret_id[64], qn_error *err) {
    char id[RUN_ID_BYTES];
    int64_t now_us = qn__now_us();
    qn_cleanup(qn__transaction_done) qn__transaction transaction = {0};
    QN_TRY(qn__transaction_begin(&transaction, workspace, "begin a run", err));
    QN_TRY(free_id(workspace, now_us, id, err));
    QN_TRY(insert_run(workspace, id, project, now_us, err));
    QN_TRY(insert_document(workspace, config, environment, err));
    QN_TRY(qn__ledger_append(
        workspace, &(qn__event){.event = "run started", .run = id, .detail = project}, err));
    QN_TRY(qn__transaction_commit(&transaction, "begin a run", err));
    memcpy(ret_id, id, sizeof id);
    return QN_OK;
}

static qn_status need_run(const qn_workspace *workspace, const char *id, int64_t *ret_i_run,
                          qn_error *err) {
    QN_TRY(find_run(workspace, id, ret_i_run, err));
    QN_FAIL_IF(!*ret_i_run, err, QN_ERR_NOT_FOUND,
               "there is no run %.80s: `quern runs list` shows them", id);
    return QN_OK;
}

qn_status qn_run_add_artifact(qn_workspace *workspace, const char *run_id, const char *kind,
                              const char *hash, int64_t bytes, qn_error *err) {
    QN_FAIL_IF(!qn__hash_is_valid(hash), err, QN_ERR_USAGE, "'%.80s' is not the hash of an object",
               hash ? hash : "");
    int64_t i_run;
    QN_TRY(need_run(workspace, run_id, &i_run, err));
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(
        &query, workspace, "note a file of a run",
        "INSERT OR IGNORE INTO artifact (i_run, kind, hash, bytes) VALUES (?, ?, ?, ?)", err));
    qn__query_i64(&query, 1, i_run);
    qn__query_text(&query, 2, kind);
    qn__query_text(&query, 3, hash);
    qn__query_i64(&query, 4, bytes);
    return qn__query_run(&query, err);
}

/* --- end -------------------------------------------------------------------------------------- */

static double number_of(const json_t *json, double otherwise) {
    return json_is_number(json) ? json_number_value(json) : otherwise;
}

/* summary.metrics: {part: {name: {"value", "low", "high"} or a number}}. */
static qn_status insert_metrics(const qn_workspace *workspace, int64_t i_run, const json_t *summary,
                                qn_error *err) {
    const double missing = __builtin_nan("");
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(&query, workspace, "keep the metrics of a run",
                          "INSERT OR REPLACE INTO metric (i_run, part, name, value, low, high)"
                          " VALUES (?, ?, ?, ?, ?, ?)", err));
    const char *part, *name;
    json_t *metrics, *metric;
    json_object_foreach(json_object_get(summary, "metrics"), part, metrics) {
        json_object_foreach(metrics, name, metric) {
            const json_t *value = json_is_object(metric) ? json_object_get(metric, "value")
                                                         : metric;
            if (!json_is_number(value))
                continue;
            qn__query_i64(&query, 1, i_run);
            qn__query_text(&query, 2, part);
            qn__query_text(&query, 3, name);
            qn__query_double(&query, 4, json_number_value(value));
            qn__query_double(&query, 5, number_of(json_object_get(metric, "low"), missing));
            qn__query_double(&query, 6, number_of(json_object_get(metric, "high"), missing));
            QN_TRY(qn__query_run(&query, err));
        }
    }
    return QN_OK;
}

/* The parameters of the model that was chosen: the leaderboard's entry marked "chosen", else the
 * first one of the model's family. */
static const json_t *chosen_params(const json_t *summary, const char *family) {
    const json_t *board = json_object_get(summary, "leaderboard"), *found = NULL;
    for (size_t i = 0; i < json_array_size(board); i++) {
        const json_t *entry = json_array_get(board, i);
        const char *name = json_string_value(json_object_get(entry, "family"));
        if (json_is_true(json_object_get(entry, "chosen")))
            return json_object_get(entry, "params");
        if (!found && family && name && strcmp(name, family) == 0)
            found = json_object_get(entry, "params");
    }
    return found;
}

static qn_status insert_params(const qn_workspace *workspace, int64_t i_run, const json_t *params,
                               qn_error *err) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(
        &query, workspace, "keep the parameters of a run",
        "INSERT OR REPLACE INTO param (i_run, name, value, number) VALUES (?, ?, ?, ?)", err));
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)params, name, value) {
        qn_cleanup(qn_freep) char *dump = NULL;
        QN_TRY(qn__json_dump(value, &dump, err));
        qn__query_i64(&query, 1, i_run);
        qn__query_text(&query, 2, name);
        qn__query_text(&query, 3, json_is_string(value) ? json_string_value(value) : dump);
        qn__query_double(&query, 4, number_of(value, __builtin_nan("")));
        QN_TRY(qn__query_run(&query, err));
    }
    return QN_OK;
}

static qn_status close_run(const qn_workspace *workspace, int64_t i_run, const char *status,
                           const char *reason, const char *family, qn_error *err) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(&query, workspace, "end a run",
                          "UPDATE run SET status = ?2, reason = ?3, ended_us = ?4, family = ?5"
                          " WHERE i_run = ?1 AND status = 'running'", err));
    qn__query_i64(&query, 1, i_run);
    qn__query_text(&query, 2, status);
    qn__query_text(&query, 3, reason);
    qn__query_i64(&query, 4, qn__now_us());
    qn__query_text(&query, 5, family);
    QN_TRY(qn__query_run(&query, err));
    QN_FAIL_IF(sqlite3_changes(workspace->db) != 1, err, QN_ERR_USAGE, "the run has ended already");
    return QN_OK;
}

static qn_status keep_summary(const qn_workspace *workspace, int64_t i_run, const json_t *summary,
                              const char *family, qn_error *err) {
    if (!summary)
        return QN_OK;
    qn_cleanup(qn_freep) char *text = NULL;
    QN_TRY(qn__json_dump(summary, &text, err));
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(&query, workspace, "end a run",
                          "UPDATE run_document SET summary = ?2 WHERE i_run = ?1", err));
    qn__query_i64(&query, 1, i_run);
    qn__query_text(&query, 2, text);
    QN_TRY(qn__query_run(&query, err));
    QN_TRY(insert_metrics(workspace, i_run, summary, err));
    return insert_params(workspace, i_run, chosen_params(summary, family), err);
}

qn_status qn_run_end(qn_workspace *workspace, const char *run_id, const char *status,
                     const json_t *summary, const char *reason, qn_error *err) {
    const char *event = !strcmp(status, "done")        ? "run done"
                        : !strcmp(status, "failed")    ? "run failed"
                        : !strcmp(status, "cancelled") ? "run cancelled"
                                                       : NULL;
    QN_FAIL_IF(!event, err, QN_ERR_USAGE, "a run ends as done, failed or cancelled, not as '%s'",
               status);
    const json_t *model = json_object_get(summary, "model");
    const char *family = json_string_value(json_object_get(model, "family"));
    int64_t i_run;
    qn_cleanup(qn__transaction_done) qn__transaction transaction = {0};
    QN_TRY(qn__transaction_begin(&transaction, workspace, "end a run", err));
    QN_TRY(need_run(workspace, run_id, &i_run, err));
    QN_TRY(close_run(workspace, i_run, status, reason, family, err));
    QN_TRY(keep_summary(workspace, i_run, summary, family, err));
    QN_TRY(qn__ledger_append(workspace,
                             &(qn__event){.event = event, .run = run_id, .detail = reason}, err));
    return qn__transaction_commit(&transaction, "end a run", err);
}

/* --- looking ---------------------------------------------------------------------------------- */

/* The columns that read_run wants, in its order. */
#define RUN_COLUMNS                                                                                \
    "r.i_run, r.id, r.project, r.status, r.reason, r.started_us, r.ended_us, r.family, r.host, "   \
    "r.boot,"                                                                                      \
    " r.pid, r.pid_start"

static qn_status read_run(const qn__query *query, const qn__process *self, json_t *run,
                          qn_error *err) {
    const char *status = qn__query_get_text(query, 3);
    bool killed = status && !strcmp(status, "running") &&
                  qn__process_is_gone(self, qn__query_get_text(query, 8),
                                      qn__query_get_text(query, 9), qn__query_get_i64(query, 10),
                                      qn__query_get_i64(query, 11));
    QN_TRY(qn__json_put(run, "run", qn__query_get_json_text(query, 1), err));
    QN_TRY(qn__json_put(run, "project", qn__query_get_json_text(query, 2), err));
    QN_TRY(qn__json_put(run, "status",
                        killed ? json_string("failed") : qn__query_get_json_text(query, 3), err));
    QN_TRY(qn__json_put(run, "reason",
                        killed ? json_string("killed") : qn__query_get_json_text(query, 4), err));
    QN_TRY(qn__json_put(run, "started", qn__query_get_json_time(query, 5), err));
    QN_TRY(qn__json_put(run, "ended", qn__query_get_json_time(query, 6), err));
    return qn__json_put(run, "family", qn__query_get_json_text(query, 7), err);
}

static qn_status read_metrics(qn__query *query, int64_t i_run, json_t *run, qn_error *err) {
    json_t *metrics = json_object();
    QN_TRY(qn__json_put(run, "metrics", metrics, err));
    qn__query_reset(query);
    qn__query_i64(query, 1, i_run);
    for (bool row;;) {
        QN_TRY(qn__query_step(query, &row, err));
        if (!row)
            return QN_OK;
        const char *name = qn__query_get_text(query, 0);
        QN_TRY(qn__json_put(metrics, name ? name : "", qn__query_get_json_number(query, 1), err));
    }
}

static qn_status read_runs(const qn_workspace *workspace, qn__query *query, json_t **ret_runs,
                           qn_error *err) {
    qn__process self;
    qn__process_self(&self);
    qn_cleanup(qn_json_free) json_t *runs = json_array();
    qn_cleanup(qn__query_done) qn__query metrics = {0};
    QN_TRY(qn__query_init(&metrics, workspace, "list runs",
                          "SELECT name, value FROM metric WHERE i_run = ? AND part = 'test'", err));
    for (bool row;;) {
        QN_TRY(qn__query_step(query, &row, err));
        if (!row)
            break;
        json_t *run = json_object();
        if (!run || json_array_append_new(runs, run) != 0)
            return qn_error_memory(err);
        QN_TRY(read_run(query, &self, run, err));
        QN_TRY(read_metrics(&metrics, qn__query_get_i64(query, 0), run, err));
    }
    *ret_runs = qn_steal(&runs);
    return QN_OK;
}

qn_status qn_run_list(qn_workspace *workspace, int64_t limit, json_t **ret_runs, qn_error *err) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(&query, workspace, "list runs",
                          "SELECT " RUN_COLUMNS " FROM run r ORDER BY r.i_run DESC LIMIT ?", err));
    qn__query_i64(&query, 1, limit > 0 ? limit : -1);
    return read_runs(workspace, &query, ret_runs, err);
}

qn_status qn_run_list_by(qn_workspace *workspace, const char *metric, bool greater_first,
                         int64_t limit, json_t **ret_runs, qn_error *err) {
    /* Two statements, since an order cannot be a parameter and only a written one uses the
     * index. */
    static const char up[] = "SELECT " RUN_COLUMNS " FROM metric m JOIN run r USING (i_run)"
                             " WHERE m.part = 'test' AND m.name = ? AND m.value IS NOT NULL"
                             " ORDER BY m.value ASC, m.i_run ASC LIMIT ?";
    static const char down[] = "SELECT " RUN_COLUMNS " FROM metric m JOIN run r USING (i_run)"
                               " WHERE m.part = 'test' AND m.name = ? AND m.value IS NOT NULL"
                               " ORDER BY m.value DESC, m.i_run DESC LIMIT ?";
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(&query, workspace, "list runs", greater_first ? down : up, err));
    qn__query_text(&query, 1, metric);
    qn__query_i64(&query, 2, limit > 0 ? limit : -1);
    return read_runs(workspace, &query, ret_runs, err);
}

/* Finds the run that `id` means: all of an id, the start of exactly one, or "last". */
static qn_status resolve(const qn_workspace *workspace, const char *id, int64_t *ret_i_run,
                         qn_error *err) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    bool row, last = !strcmp(id, "last");
    if (last) {
        QN_TRY(qn__query_init(&query, workspace, "find a run",
                              "SELECT i_run, id, id FROM run ORDER BY i_run DESC LIMIT 1", err));
    } else {
        QN_TRY(qn__query_init(
            &query, workspace, "find a run",
            "SELECT i_run, id, (SELECT id FROM run WHERE id > r.id ORDER BY id LIMIT 1)"
            " FROM run r WHERE id >= ? ORDER BY id LIMIT 1",
            err));
        qn__query_text(&query, 1, id);
    }
    QN_TRY(qn__query_step(&query, &row, err));
    QN_FAIL_IF(!row && last, err, QN_ERR_NOT_FOUND, "there are no runs yet: `quern run` makes one");
    size_t n = strlen(id);
    const char *found = row ? qn__query_get_text(&query, 1) : NULL;
    const char *next = row ? qn__query_get_text(&query, 2) : NULL;
    QN_FAIL_IF(!last && (!n || !found || strncmp(found, id, n) != 0), err, QN_ERR_NOT_FOUND,
               "there is no run %.80s: `quern runs list` shows them", id);
    QN_FAIL_IF(!last && found[n] && next && !strncmp(next, id, n), err, QN_ERR_USAGE,
               "%.80s is the start of several runs, %s and %s among them: write more of it", id,
               found, next);
    *ret_i_run = qn__query_get_i64(&query, 0);
    return QN_OK;
}

static qn_status read_artifacts(const qn_workspace *workspace, int64_t i_run, json_t *run,
                                qn_error *err) {
    json_t *artifacts = json_array();
    QN_TRY(qn__json_put(run, "artifacts", artifacts, err));
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(
        &query, workspace, "read a run",
        "SELECT kind, hash, bytes FROM artifact WHERE i_run = ? ORDER BY kind, hash", err));
    qn__query_i64(&query, 1, i_run);
    for (bool row;;) {
        QN_TRY(qn__query_step(&query, &row, err));
        if (!row)
            return QN_OK;
        json_t *artifact = json_object();
        if (!artifact || json_array_append_new(artifacts, artifact) != 0)
            return qn_error_memory(err);
        QN_TRY(qn__json_put(artifact, "kind", qn__query_get_json_text(&query, 0), err));
        QN_TRY(qn__json_put(artifact, "hash", qn__query_get_json_text(&query, 1), err));
        QN_TRY(qn__json_put(artifact, "bytes", qn__query_get_json_number(&query, 2), err));
    }
}

qn_status qn_run_get(qn_workspace *workspace, const char *id, json_t **ret_run, qn_error *err) {
    int64_t i_run = 0;
    QN_TRY(resolve(workspace, id, &i_run, err));
    qn__process self;
    qn__process_self(&self);
    qn_cleanup(qn_json_free) json_t *run = json_object();
    qn_cleanup(qn__query_done) qn__query query = {0};
    bool row;
    QN_TRY(qn__query_init(&query, workspace, "read a run",
                          "SELECT " RUN_COLUMNS ", d.config, d.environment, d.summary"
                          " FROM run r LEFT JOIN run_document d USING (i_run) WHERE r.i_run = ?",
                          err));
    qn__query_i64(&query, 1, i_run);
    QN_TRY(qn__query_step(&query, &row, err));
    QN_FAIL_IF(!row, err, QN_ERR_NOT_FOUND, "there is no run %.80s", id);
    QN_TRY(read_run(&query, &self, run, err));
    QN_TRY(qn__json_put(run, "config", qn__query_get_json(&query, 12), err));
    QN_TRY(qn__json_put(run, "environment", qn__query_get_json(&query, 13), err));
    QN_TRY(qn__json_put(run, "summary", qn__query_get_json(&query, 14), err));
    QN_TRY(read_artifacts(workspace, i_run, run, err));
    *ret_run = qn_steal(&run);
    return QN_OK;
}
