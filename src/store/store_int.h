/* store_int.h - what the files of store/ share: the open database and the few helpers that make
 * every statement a prepared one and every failure a sentence. */
#ifndef QN_STORE_STORE_INT_H
#define QN_STORE_STORE_INT_H

#include <sqlite3.h>

#include "base/mem.h"
#include "store/workspace.h"

struct qn_workspace {
    char *path;      /* owned: ".../.quern" */
    char *temporary; /* owned: path + "/tmp" */
    char *objects;   /* owned: path + "/objects" */
    char *file;      /* owned: path + "/quern.db" */
    sqlite3 *db;     /* owned */
};

/* The error of the last failed call on the database, `doing` being "register a model". */
qn_status qn__db_error(const qn_workspace *workspace, const char *doing, qn_error *err);

/* A prepared statement; the errors it makes tell what it was for. qn_cleanup(qn__query_done). */
typedef struct qn__query {
    const qn_workspace *workspace; /* borrowed */
    const char *doing;             /* borrowed: a literal */
    sqlite3_stmt *statement;       /* owned */
    int code;                      /* the first failure of a bind; SQLITE_OK */
} qn__query;

qn_status qn__query_init(qn__query *query, const qn_workspace *workspace, const char *doing,
                         const char *sql, qn_error *err) QN_MUST_USE;
void qn__query_done(qn__query *query);
/* Parameters count from 1. Text is borrowed until the next reset; NULL binds null. A failure shows
 * at the next step. */
void qn__query_text(qn__query *query, int i, const char *text);
void qn__query_i64(qn__query *query, int i, int64_t value);
void qn__query_double(qn__query *query, int i, double value); /* NaN binds null */
/* Steps; *ret_row tells whether there is a row to read. */
qn_status qn__query_step(qn__query *query, bool *ret_row, qn_error *err) QN_MUST_USE;
/* Steps a statement that gives no rows, and resets it for the next parameters. */
qn_status qn__query_run(qn__query *query, qn_error *err) QN_MUST_USE;
void qn__query_reset(qn__query *query);
/* Columns count from 0. Text: NULL for null; valid until the next step. */
const char *qn__query_get_text(const qn__query *query, int i);
int64_t qn__query_get_i64(const qn__query *query, int i);
bool qn__query_is_null(const qn__query *query, int i);
/* New references: json null for null, for numbers that are not finite and for damaged JSON; NULL
 * when memory is short. */
json_t *qn__query_get_json_text(const qn__query *query, int i);
json_t *qn__query_get_json_number(const qn__query *query, int i);
json_t *qn__query_get_json_time(const qn__query *query, int i);
json_t *qn__query_get_json(const qn__query *query, int i);

/* One write transaction: begun at once (so that two writers queue instead of failing half-way),
 * rolled back when its scope is left without a commit. qn_cleanup(qn__transaction_done). */
typedef struct qn__transaction {
    const qn_workspace *workspace; /* borrowed; NULL when closed */
} qn__transaction;

qn_status qn__transaction_begin(qn__transaction *transaction, const qn_workspace *workspace,
                                const char *doing, qn_error *err) QN_MUST_USE;
qn_status qn__transaction_commit(qn__transaction *transaction, const char *doing, qn_error *err)
    QN_MUST_USE;
void qn__transaction_done(qn__transaction *transaction);

/* Brings the schema to this program's version (schema.c). */
qn_status qn__schema_migrate(qn_workspace *workspace, qn_error *err) QN_MUST_USE;

/* One ledger entry; members NULL or 0 are absent. */
typedef struct qn__event {
    const char *event;
    const char *run, *model, *alias, *detail;
    int64_t version;
} qn__event;

/* Inside a transaction. */
qn_status qn__ledger_append(const qn_workspace *workspace, const qn__event *event, qn_error *err)
    QN_MUST_USE;
/* Recomputes the chain of hashes; *ret_bad is the id of the first entry that does not fit, or 0. */
qn_status qn__ledger_verify(const qn_workspace *workspace, int64_t *ret_bad, qn_error *err)
    QN_MUST_USE;

/* True when `hash` has the form of one. */
bool qn__hash_is_valid(const char *hash);
/* Where the object of that hash lives or would live; NULL when memory is short. */
char *qn__object_place(const qn_workspace *workspace, const char *hash);

int64_t qn__now_us(void);
/* "2026-11-23T01:44:55.120Z". */
enum { QN__TIME_TEXT = 32 };
void qn__time_text(int64_t time_us, char text[QN__TIME_TEXT]);

/* Sets object[key] = *value and takes the reference; QN_ERR_MEMORY when either is NULL. */
qn_status qn__json_put(json_t *object, const char *key, json_t *value, qn_error *err) QN_MUST_USE;
/* The compact text of `json`, "null" for NULL. Owned by the caller. */
qn_status qn__json_dump(const json_t *json, char **ret_text, qn_error *err) QN_MUST_USE;

#endif
