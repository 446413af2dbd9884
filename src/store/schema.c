/* The tables of quern.db, in one place. A change is a new entry of `migrations`, never an edit of
 * an old one: workspaces of every earlier version are brought up step by step when they are
 * opened. */
#include "store/store_int.h"

/* "Qrn1" as PRAGMA application_id, so that file(1) and we know our own. */
#define APPLICATION_ID "1366454833"

static const char *const migrations[] = {
    /* 1 */
    "CREATE TABLE run ("
    " i_run INTEGER PRIMARY KEY,"
    " id TEXT NOT NULL UNIQUE,"
    " project TEXT NOT NULL,"
    " status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'cancelled')),"
    " reason TEXT,"
    " started_us INTEGER NOT NULL,"
    " ended_us INTEGER,"
    " family TEXT,"
    " host TEXT NOT NULL," /* the process that does it, to recognise that it is gone */
    " boot TEXT NOT NULL,"
    " pid INTEGER NOT NULL,"
    " pid_start INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX run_by_status ON run (status);"
    /* Apart from `run`, so that scanning runs does not read their documents. */
    "CREATE TABLE run_document ("
    " i_run INTEGER PRIMARY KEY REFERENCES run,"
    " config TEXT NOT NULL,"
    " environment TEXT NOT NULL,"
    " summary TEXT"
    ") STRICT;"
    "CREATE TABLE metric ("
    " i_run INTEGER NOT NULL REFERENCES run,"
    " part TEXT NOT NULL," /* test, validate */
    " name TEXT NOT NULL,"
    " value REAL, low REAL, high REAL,"
    " PRIMARY KEY (i_run, part, name)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX metric_by_value ON metric (part, name, value, i_run);"
    "CREATE TABLE param ("
    " i_run INTEGER NOT NULL REFERENCES run,"
    " name TEXT NOT NULL,"
    " value TEXT NOT NULL,"
    " number REAL,"
    " PRIMARY KEY (i_run, name)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX param_by_value ON param (name, value, i_run);"
    "CREATE INDEX param_by_number ON param (name, number, i_run);"
    "CREATE TABLE artifact ("
    " i_run INTEGER NOT NULL REFERENCES run,"
    " kind TEXT NOT NULL,"
    " hash TEXT NOT NULL,"
    " bytes INTEGER NOT NULL,"
    " PRIMARY KEY (i_run, kind, hash)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX artifact_by_hash ON artifact (hash);"
    "CREATE TABLE model ("
    " i_model INTEGER PRIMARY KEY,"
    " name TEXT NOT NULL UNIQUE"
    ") STRICT;"
    "CREATE TABLE version ("
    " i_model INTEGER NOT NULL REFERENCES model,"
    " version INTEGER NOT NULL CHECK (version >= 1),"
    " hash TEXT NOT NULL,"
    " i_run INTEGER REFERENCES run,"
    " created_us INTEGER NOT NULL,"
    " about TEXT NOT NULL,"
    " PRIMARY KEY (i_model, version)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX version_by_hash ON version (hash);"
    /* Each alias is a stack: promoting pushes, rolling back pops, the top is where it points. */
    "CREATE TABLE alias_step ("
    " i_model INTEGER NOT NULL,"
    " alias TEXT NOT NULL,"
    " position INTEGER NOT NULL,"
    " version INTEGER NOT NULL,"
    " PRIMARY KEY (i_model, alias, position),"
    " FOREIGN KEY (i_model, version) REFERENCES version (i_model, version)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE VIEW alias AS"
    " SELECT i_model, alias, version, max(position) AS position FROM alias_step GROUP BY i_model, "
    "alias;"
    /* Append-only. No foreign keys: it outlives what it tells about. */
    "CREATE TABLE ledger ("
    " i_event INTEGER PRIMARY KEY,"
    " time_us INTEGER NOT NULL,"
    " event TEXT NOT NULL,"
    " run TEXT, model TEXT, version INTEGER, alias TEXT, detail TEXT,"
    " chain TEXT NOT NULL" /* hash of this entry and the chain before it */
    ") STRICT;"
    "CREATE INDEX ledger_by_model ON ledger (model, i_event);"
    "CREATE TRIGGER ledger_keeps_rows BEFORE DELETE ON ledger BEGIN"
    " SELECT raise(ABORT, 'the ledger is append-only'); END;"
    "CREATE TRIGGER ledger_keeps_words BEFORE UPDATE ON ledger BEGIN"
    " SELECT raise(ABORT, 'the ledger is append-only'); END;"
    /* INSERT OR REPLACE would otherwise delete without asking the first trigger. */
    "CREATE TRIGGER ledger_keeps_order BEFORE INSERT ON ledger"
    " WHEN NEW.i_event <= (SELECT coalesce(max(i_event), 0) FROM ledger) AND NEW.i_event > 0 BEGIN"
    " SELECT raise(ABORT, 'the ledger is append-only'); END;"
    "PRAGMA application_id = " APPLICATION_ID ";"
    "PRAGMA user_version = 1;",
};

enum { N_VERSIONS = sizeof migrations / sizeof migrations[0] };

static qn_status read_version(qn_workspace *workspace, int64_t *ret_version, qn_error *err) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    bool row;
    QN_TRY(qn__query_init(&query, workspace, "open the workspace", "PRAGMA user_version", err));
    QN_TRY(qn__query_step(&query, &row, err));
    *ret_version = row ? qn__query_get_i64(&query, 0) : 0;
    return QN_OK;
}

qn_status qn__schema_migrate(qn_workspace *workspace, qn_error *err) {
    int64_t version;
    QN_TRY(read_version(workspace, &version, err));
    if (version != N_VERSIONS) {
        qn_cleanup(qn__transaction_done) qn__transaction transaction = {0};
        QN_TRY(qn__transaction_begin(&transaction, workspace, "prepare the workspace", err));
        QN_TRY(read_version(workspace, &version, err)); /* another process may have been first */
        QN_FAIL_IF(
            version > N_VERSIONS || version < 0, err, QN_ERR_FORMAT,
            "%s was made by a newer Quern (layout %lld, this one knows %d); use that version",
            workspace->file, (long long)version, (int)N_VERSIONS);
        for (int64_t i = version; i < N_VERSIONS; i++)
            if (sqlite3_exec(workspace->db, migrations[i], NULL, NULL, NULL) != SQLITE_OK)
                return qn__db_error(workspace, "prepare the workspace", err);
        QN_TRY(qn__transaction_commit(&transaction, "prepare the workspace", err));
    }
    return QN_OK;
}
