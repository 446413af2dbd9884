/* quern check: reads everything there is and says what does not fit. */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "store/store_int.h"

enum { MAX_PROBLEMS = 1000 };

typedef struct check {
    qn_workspace *workspace; /* borrowed */
    json_t *problems, *notes; /* borrowed from the report */
    int64_t n_objects, bytes;
    int64_t n_orphans, orphan_bytes;
    qn_error *err;
} check;

static qn_status add_text(check *c, json_t *list, char *text) {
    qn_cleanup(qn_freep) char *owned = text;
    if (!owned)
        return qn_error_memory(c->err);
    if (json_array_size(list) >= MAX_PROBLEMS)
        return QN_OK;
    json_t *json = json_string(owned);
    if (!json) /* a file name that is not UTF-8 */
        json = json_string("a file whose name is not UTF-8 is in the way");
    return json_array_append_new(list, json) == 0 ? QN_OK : qn_error_memory(c->err);
}

#define PROBLEM(c, ...) add_text((c), (c)->problems, qn_format(__VA_ARGS__))

/* --- the database ----------------------------------------------------------------------------- */

static qn_status check_database(check *c) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(&query, c->workspace, "check the database", "PRAGMA integrity_check(100)",
                          c->err));
    for (bool row;;) {
        QN_TRY(qn__query_step(&query, &row, c->err));
        if (!row)
            return QN_OK;
        const char *text = qn__query_get_text(&query, 0);
        if (text && strcmp(text, "ok") != 0)
            QN_TRY(PROBLEM(c, "quern.db is damaged: %s; restore it from a backup", text));
    }
}

static qn_status check_keys(check *c) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(&query, c->workspace, "check the database", "PRAGMA foreign_key_check",
                          c->err));
    for (bool row;;) {
        QN_TRY(qn__query_step(&query, &row, c->err));
        if (!row)
            return QN_OK;
        const char *table = qn__query_get_text(&query, 0), *parent = qn__query_get_text(&query, 2);
        QN_TRY(PROBLEM(c, "quern.db: a row of table %s points to a row of %s that is not there",
                       table ? table : "?", parent ? parent : "?"));
    }
}

static qn_status check_ledger(check *c) {
    int64_t bad;
    QN_TRY(qn__ledger_verify(c->workspace, &bad, c->err));
    if (!bad)
        return QN_OK;
    return PROBLEM(
        c,
        "the ledger was changed after it was written: entry %lld does not fit the ones before it",
        (long long)bad);
}

/* --- objects ---------------------------------------------------------------------------------- */

/* What an object is, for people: "model income version 3", "the snapshot of run 2026...", or NULL
 * when nothing refers to it. */
static qn_status describe_use(const check *c, const char *hash, char **ret_use) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    bool row;
    QN_TRY(qn__query_init(&query, c->workspace, "check the objects",
                          "SELECT 'model ' || m.name || ' version ' || v.version FROM version v"
                          " JOIN model m USING (i_model) WHERE v.hash = ?1"
                          " UNION ALL SELECT 'the ' || a.kind || ' of run ' || r.id FROM artifact a"
                          " JOIN run r USING (i_run) WHERE a.hash = ?1 LIMIT 1", c->err));
    qn__query_text(&query, 1, hash);
    QN_TRY(qn__query_step(&query, &row, c->err));
    const char *text = row ? qn__query_get_text(&query, 0) : NULL;
    char *use = text ? qn_strdup(text) : NULL;
    if (text && !use)
        return qn_error_memory(c->err);
    *ret_use = use;
    return QN_OK;
}

static qn_status check_object(check *c, const char *path, const char *hash) {
    char found[QN_DIGEST_TEXT];
    qn_error why = {0};
    qn_cleanup(qn_freep) char *use = NULL;
    int64_t bytes = 0;
    QN_TRY(describe_use(c, hash, &use));
    qn_status status = qn_digest_file(path, found, &why);
    if (status == QN_OK)
        status = qn_file_size(path, &bytes, &why);
    if (status == QN_ERR_MEMORY)
        return qn_error_memory(c->err);
    c->n_objects++;
    c->bytes += bytes;
    if (!use) {
        c->n_orphans++;
        c->orphan_bytes += bytes;
    }
    if (status != QN_OK)
        return PROBLEM(c, "object %.12s (%s) cannot be read: %s", hash,
                       use ? use : "used by nothing", why.message);
    if (strcmp(found, hash) != 0)
        return PROBLEM(c,
                       "object %.12s (%s) is damaged: its bytes are not the ones that were stored; "
                       "restore %s from a backup, or remove it and run again",
                       hash, use ? use : "used by nothing", path);
    return QN_OK;
}

static void close_dir(DIR **dir) {
    if (*dir)
        closedir(*dir);
}

/* One of the 256 folders, or objects/ itself when shelf is "". */
static qn_status check_folder(check *c, const char *folder, const char *shelf) {
    qn_cleanup(close_dir) DIR *dir = opendir(folder);
    if (!dir)
        return PROBLEM(c, "the folder %s cannot be read: %s", folder, strerror(errno));
    const struct dirent *entry;
    while ((entry = readdir(dir))) {
        const char *name = entry->d_name;
        if (!strcmp(name, ".") || !strcmp(name, ".."))
            continue;
        qn_cleanup(qn_freep) char *path = qn_path_join(folder, name);
        if (!path)
            return qn_error_memory(c->err);
        if (!shelf[0] && strlen(name) == 2 && qn_folder_exists(path))
            QN_TRY(check_folder(c, path, name));
        else if (shelf[0] && qn__hash_is_valid(name) && !strncmp(name, shelf, 2))
            QN_TRY(check_object(c, path, name));
        else
            QN_TRY(
                add_text(c, c->notes, qn_format("%s is not an object; it may be removed", path)));
    }
    return QN_OK;
}

/* References to objects that are not there; those that are there have been read above. */
static qn_status check_references(check *c) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(
        &query, c->workspace, "check the objects",
        "SELECT hash, 'model ' || m.name || ' version ' || v.version, -1 FROM version v"
        " JOIN model m USING (i_model)"
        " UNION ALL SELECT hash, 'the ' || a.kind || ' of run ' || r.id, a.bytes"
        " FROM artifact a JOIN run r USING (i_run)",
        c->err));
    for (bool row;;) {
        QN_TRY(qn__query_step(&query, &row, c->err));
        if (!row)
            return QN_OK;
        const char *hash = qn__query_get_text(&query, 0), *use = qn__query_get_text(&query, 1);
        qn_cleanup(qn_freep) char *place = qn__hash_is_valid(hash)
                                               ? qn__object_place(c->workspace, hash)
                                               : NULL;
        if (qn__hash_is_valid(hash) && !place)
            return qn_error_memory(c->err);
        int64_t bytes = 0, expected = qn__query_get_i64(&query, 2);
        if (!place || qn_file_size(place, &bytes, NULL) != QN_OK)
            QN_TRY(PROBLEM(c,
                           "object %.12s (%s) is missing; restore it from a backup, or run again",
                           hash ? hash : "?", use ? use : "?"));
        else if (expected >= 0 && bytes != expected)
            QN_TRY(PROBLEM(c, "object %.12s (%s) has %lld bytes, %lld were noted", hash,
                           use ? use : "?", (long long)bytes, (long long)expected));
    }
}

/* --- all -------------------------------------------------------------------------------------- */

static qn_status count(check *c, const char *sql, json_t *report, const char *key) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    bool row;
    QN_TRY(qn__query_init(&query, c->workspace, "check the database", sql, c->err));
    QN_TRY(qn__query_step(&query, &row, c->err));
    return qn__json_put(report, key, json_integer(row ? qn__query_get_i64(&query, 0) : 0), c->err);
}

static qn_status check_all(check *c, json_t *report) {
    QN_TRY(check_database(c));
    QN_TRY(check_keys(c));
    QN_TRY(check_ledger(c));
    QN_TRY(check_folder(c, c->workspace->objects, ""));
    QN_TRY(check_references(c));
    if (c->n_orphans)
        QN_TRY(add_text(c, c->notes,
                        qn_format("%lld objects (%lld bytes) belong to no run and no model: "
                                  "leftovers of interrupted runs",
                                  (long long)c->n_orphans, (long long)c->orphan_bytes)));
    QN_TRY(qn__json_put(report, "objects", json_integer(c->n_objects), c->err));
    QN_TRY(qn__json_put(report, "bytes", json_integer(c->bytes), c->err));
    QN_TRY(count(c, "SELECT count(*) FROM run", report, "runs"));
    QN_TRY(count(c, "SELECT count(*) FROM version", report, "models"));
    return count(c, "SELECT count(*) FROM ledger", report, "events");
}

qn_status qn_workspace_check(qn_workspace *workspace, json_t **ret_report, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *report = json_object();
    json_t *problems = json_array(), *notes = json_array();
    qn_status status = qn__json_put(report, "problems", problems, err);
    QN_TRY(qn__json_put(report, "notes", notes, err));
    QN_TRY(status);
    check c = {.workspace = workspace, .problems = problems, .notes = notes, .err = err};
    qn_error why = {0};
    c.err = &why;
    status = check_all(&c, report);
    /* A database too damaged to be read is a finding, not a failure. */
    if (status == QN_ERR_FORMAT || status == QN_ERR_INTERNAL) {
        c.err = err;
        QN_TRY(PROBLEM(&c, "%s", why.message));
    } else if (status != QN_OK) {
        if (err)
            *err = why;
        return status;
    }
    *ret_report = qn_steal(&report);
    return QN_OK;
}
