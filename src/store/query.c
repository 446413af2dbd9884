#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "store/store_int.h"

qn_status qn__db_error(const qn_workspace *workspace, const char *doing, qn_error *err) {
    int code = workspace->db ? sqlite3_errcode(workspace->db) & 0xff : SQLITE_NOMEM;
    const char *file = workspace->file;
    switch (code) {
    case SQLITE_NOMEM:
        return qn_error_memory(err);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return qn_error_set(
            err, QN_ERR_BUSY,
            "cannot %s: another process is writing to %s; try again when it is done", doing, file);
    case SQLITE_FULL:
        return qn_error_set(err, QN_ERR_IO, "cannot %s: no space is left for %s", doing, file);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return qn_error_set(err, QN_ERR_IO,
                            "cannot %s: %s may not be written; check the rights of its folder",
                            doing, file);
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
        return qn_error_set(err, QN_ERR_IO,
                            "cannot %s: %s: %s; check the rights of its folder and the free space",
                            doing, file, sqlite3_errmsg(workspace->db));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return qn_error_set(err, QN_ERR_FORMAT,
                            "cannot %s: %s is damaged (%s); restore it from a backup", doing, file,
                            sqlite3_errmsg(workspace->db));
    case SQLITE_TOOBIG:
        return qn_error_set(err, QN_ERR_LIMIT, "cannot %s: a value is too big for %s", doing, file);
    default:
        return qn_error_set(err, QN_ERR_INTERNAL, "cannot %s: %s: %s", doing, file,
                            sqlite3_errmsg(workspace->db));
    }
}

qn_status qn__query_init(qn__query *query, const qn_workspace *workspace, const char *doing,
                         const char *sql, qn_error *err) {
    *query = (qn__query){.workspace = workspace, .doing = doing};
    if (sqlite3_prepare_v2(workspace->db, sql, -1, &query->statement, NULL) != SQLITE_OK)
        return qn__db_error(workspace, doing, err);
    return QN_OK;
}

void qn__query_done(qn__query *query) {
    sqlite3_finalize(query->statement);
    query->statement = NULL;
}

static void note(qn__query *query, int code) {
    if (query->code == SQLITE_OK)
        query->code = code;
}

void qn__query_text(qn__query *query, int i, const char *text) {
    note(query, text ? sqlite3_bind_text(query->statement, i, text, -1, SQLITE_STATIC)
                     : sqlite3_bind_null(query->statement, i));
}

void qn__query_i64(qn__query *query, int i, int64_t value) {
    note(query, sqlite3_bind_int64(query->statement, i, value));
}

void qn__query_double(qn__query *query, int i, double value) {
    note(query, sqlite3_bind_double(query->statement, i, value)); /* SQLite stores NaN as null */
}

qn_status qn__query_step(qn__query *query, bool *ret_row, qn_error *err) {
    if (query->code != SQLITE_OK)
        return qn__db_error(query->workspace, query->doing, err);
    int code = sqlite3_step(query->statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return qn__db_error(query->workspace, query->doing, err);
    *ret_row = code == SQLITE_ROW;
    return QN_OK;
}

void qn__query_reset(qn__query *query) {
    sqlite3_reset(query->statement);
    query->code = SQLITE_OK;
}

qn_status qn__query_run(qn__query *query, qn_error *err) {
    bool row;
    QN_TRY(qn__query_step(query, &row, err));
    qn__query_reset(query);
    return QN_OK;
}

const char *qn__query_get_text(const qn__query *query, int i) {
    return (const char *)sqlite3_column_text(query->statement, i);
}

int64_t qn__query_get_i64(const qn__query *query, int i) {
    return sqlite3_column_int64(query->statement, i);
}

bool qn__query_is_null(const qn__query *query, int i) {
    return sqlite3_column_type(query->statement, i) == SQLITE_NULL;
}

json_t *qn__query_get_json_text(const qn__query *query, int i) {
    const char *text = qn__query_get_text(query, i);
    if (!text)
        return json_null();
    json_t *json = json_string(text);
    return json ? json : json_string("(not UTF-8)");
}

json_t *qn__query_get_json_number(const qn__query *query, int i) {
    if (qn__query_is_null(query, i))
        return json_null();
    if (sqlite3_column_type(query->statement, i) == SQLITE_INTEGER)
        return json_integer(qn__query_get_i64(query, i));
    return qn_json_number(sqlite3_column_double(query->statement, i));
}

json_t *qn__query_get_json_time(const qn__query *query, int i) {
    if (qn__query_is_null(query, i))
        return json_null();
    char text[QN__TIME_TEXT];
    qn__time_text(qn__query_get_i64(query, i), text);
    return json_string(text);
}

json_t *qn__query_get_json(const qn__query *query, int i) {
    const char *text = qn__query_get_text(query, i);
    json_t *json = NULL;
    if (!text)
        return json_null();
    qn_status status = qn_json_parse(text, (size_t)sqlite3_column_bytes(query->statement, i),
                                     "quern.db", &json, NULL);
    if (status == QN_ERR_MEMORY)
        return NULL;
    return status == QN_OK ? json : json_null();
}

qn_status qn__transaction_begin(qn__transaction *transaction, const qn_workspace *workspace,
                                const char *doing, qn_error *err) {
    if (sqlite3_exec(workspace->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return qn__db_error(workspace, doing, err);
    transaction->workspace = workspace;
    return QN_OK;
}

qn_status qn__transaction_commit(qn__transaction *transaction, const char *doing, qn_error *err) {
    if (sqlite3_exec(transaction->workspace->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        return qn__db_error(transaction->workspace, doing, err);
    transaction->workspace = NULL;
    return QN_OK;
}

void qn__transaction_done(qn__transaction *transaction) {
    /* Some failures (disk full) have rolled back already. */
    if (transaction->workspace && !sqlite3_get_autocommit(transaction->workspace->db))
        sqlite3_exec(transaction->workspace->db, "ROLLBACK", NULL, NULL, NULL);
    transaction->workspace = NULL;
}

int64_t qn__now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void qn__time_text(int64_t time_us, char text[QN__TIME_TEXT]) {
    time_t s = (time_t)(time_us / 1000000);
    struct tm tm;
    if (time_us < 0 || !gmtime_r(&s, &tm) || tm.tm_year > 8000) {
        snprintf(text, QN__TIME_TEXT, "(no time)");
        return;
    }
    size_t n = strftime(text, QN__TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, QN__TIME_TEXT - n, ".%03dZ", (int)(time_us / 1000 % 1000));
}

qn_status qn__json_put(json_t *object, const char *key, json_t *value, qn_error *err) {
    if (!object || !value) {
        json_decref(value);
        return qn_error_memory(err);
    }
    return json_object_set_new(object, key, value) == 0 ? QN_OK : qn_error_memory(err);
}

qn_status qn__json_dump(const json_t *json, char **ret_text, qn_error *err) {
    char *text = json ? qn_json_text(json, QN_JSON_COMPACT) : qn_strdup("null");
    if (!text)
        return qn_error_memory(err);
    *ret_text = text;
    return QN_OK;
}
