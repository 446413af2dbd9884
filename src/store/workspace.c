#include "store/workspace.h"

#include <time.h>

#include "base/file.h"
#include "store/store_int.h"

/* How long a writer waits for another one before QN_ERR_BUSY. */
enum { BUSY_MS = 10000 };

static qn_status set_paths(qn_workspace *workspace, const char *folder, qn_error *err) {
    workspace->path = qn_path_join(folder, ".quern");
    if (!workspace->path)
        return qn_error_memory(err);
    workspace->temporary = qn_path_join(workspace->path, "tmp");
    workspace->objects = qn_path_join(workspace->path, "objects");
    workspace->file = qn_path_join(workspace->path, "quern.db");
    if (!workspace->temporary || !workspace->objects || !workspace->file)
        return qn_error_memory(err);
    return QN_OK;
}

/* Two processes that open a new database at once can be told "busy" without the wait (one of them
 * holds the lock that the change to WAL needs), hence the loop. */
static qn_status use_wal(qn_workspace *workspace, qn_error *err) {
    for (int waited_ms = 0;; waited_ms += 20) {
        int code = sqlite3_exec(workspace->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
        if (code == SQLITE_OK)
            return QN_OK;
        if ((code & 0xff) != SQLITE_BUSY || waited_ms >= BUSY_MS)
            return qn__db_error(workspace, "open the workspace", err);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
}

static qn_status open_database(qn_workspace *workspace, bool create, qn_error *err) {
    int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
    if (sqlite3_open_v2(workspace->file, &workspace->db, flags, NULL) != SQLITE_OK)
        return qn__db_error(workspace, "open the workspace", err);
    sqlite3_busy_timeout(workspace->db, BUSY_MS);
    sqlite3_db_config(workspace->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(workspace->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    QN_TRY(use_wal(workspace, err));
    static const char settings[] = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                                   "PRAGMA recursive_triggers = ON;";
    if (sqlite3_exec(workspace->db, settings, NULL, NULL, NULL) != SQLITE_OK)
        return qn__db_error(workspace, "open the workspace", err);
    return qn__schema_migrate(workspace, err);
}

qn_status qn_workspace_open(const char *folder, bool create, qn_workspace **ret_workspace,
                            qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = qn_new(qn_workspace);
    if (!workspace)
        return qn_error_memory(err);
    QN_TRY(set_paths(workspace, folder, err));
    if (!create && !qn_file_exists(workspace->file))
        return qn_error_set(err, QN_ERR_NOT_FOUND,
                            "there is no workspace in %s yet: `quern run` in that folder makes one",
                            folder);
    if (create) {
        QN_TRY(qn_folder_make(workspace->objects, err));
        QN_TRY(qn_folder_make(workspace->temporary, err));
    }
    QN_TRY(open_database(workspace, create, err));
    qn_folder_sweep(workspace->temporary);
    *ret_workspace = qn_steal(&workspace);
    return QN_OK;
}

void qn_workspace_free(qn_workspace **workspace) {
    if (!workspace || !*workspace)
        return;
    qn_workspace *w = *workspace;
    sqlite3_close(w->db);
    qn_freep(&w->path);
    qn_freep(&w->temporary);
    qn_freep(&w->objects);
    qn_freep(&w->file);
    qn_freep(workspace);
}

void qn_workspace_set_patience(qn_workspace *workspace, int patience_ms) {
    sqlite3_busy_timeout(workspace->db, patience_ms);
}

qn_status qn_workspace_pulse(qn_workspace *workspace, int64_t *ret_pulse, qn_error *err) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    bool row;
    QN_TRY(qn__query_init(&query, workspace, "look at the workspace", "PRAGMA data_version", err));
    QN_TRY(qn__query_step(&query, &row, err));
    *ret_pulse = row ? qn__query_get_i64(&query, 0) : 0;
    return QN_OK;
}

const char *qn_workspace_path(const qn_workspace *workspace) {
    return workspace->path;
}

const char *qn_workspace_temporary(const qn_workspace *workspace) {
    return workspace->temporary;
}
