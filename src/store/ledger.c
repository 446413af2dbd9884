/* The ledger: events that are only ever added. The database refuses changes by triggers; a chain of
 * hashes over the entries shows the ones made behind its back. */
#include <string.h>

#include "store/store_int.h"

static void digest_field(qn_digest *digest, const char *text) {
    uint64_t n = text ? strlen(text) + 1 : 0; /* tells NULL from "" */
    qn_digest_update(digest, &n, sizeof n);
    if (text)
        qn_digest_update(digest, text, strlen(text));
}

static void link_chain(const char *before, int64_t time_us, const qn__event *e,
                       char chain[QN_DIGEST_TEXT]) {
    qn_digest digest;
    qn_digest_init(&digest);
    digest_field(&digest, before);
    qn_digest_update(&digest, &time_us, sizeof time_us);
    digest_field(&digest, e->event);
    digest_field(&digest, e->run);
    digest_field(&digest, e->model);
    qn_digest_update(&digest, &e->version, sizeof e->version);
    digest_field(&digest, e->alias);
    digest_field(&digest, e->detail);
    qn_digest_final(&digest, chain);
}

static qn_status last_chain(const qn_workspace *workspace, char chain[QN_DIGEST_TEXT],
                            qn_error *err) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    bool row;
    chain[0] = '\0';
    QN_TRY(qn__query_init(&query, workspace, "write the ledger",
                          "SELECT chain FROM ledger ORDER BY i_event DESC LIMIT 1", err));
    QN_TRY(qn__query_step(&query, &row, err));
    const char *text = row ? qn__query_get_text(&query, 0) : NULL;
    if (text)
        memcpy(chain, text, strnlen(text, QN_DIGEST_TEXT - 1) + 1);
    chain[QN_DIGEST_TEXT - 1] = '\0';
    return QN_OK;
}

qn_status qn__ledger_append(const qn_workspace *workspace, const qn__event *e, qn_error *err) {
    char before[QN_DIGEST_TEXT], chain[QN_DIGEST_TEXT];
    int64_t time_us = qn__now_us();
    QN_TRY(last_chain(workspace, before, err));
    link_chain(before, time_us, e, chain);
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(
        &query, workspace, "write the ledger",
        "INSERT INTO ledger (time_us, event, run, model, version, alias, detail, chain)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        err));
    qn__query_i64(&query, 1, time_us);
    qn__query_text(&query, 2, e->event);
    qn__query_text(&query, 3, e->run);
    qn__query_text(&query, 4, e->model);
    if (e->version)
        qn__query_i64(&query, 5, e->version);
    qn__query_text(&query, 6, e->alias);
    qn__query_text(&query, 7, e->detail);
    qn__query_text(&query, 8, chain);
    return qn__query_run(&query, err);
}

qn_status qn__ledger_verify(const qn_workspace *workspace, int64_t *ret_bad, qn_error *err) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(
        qn__query_init(&query, workspace, "read the ledger",
                       "SELECT i_event, time_us, event, run, model, version, alias, detail, chain"
                       " FROM ledger ORDER BY i_event",
                       err));
    char before[QN_DIGEST_TEXT] = "", chain[QN_DIGEST_TEXT];
    for (int64_t expected = 1;; expected++) {
        bool row;
        QN_TRY(qn__query_step(&query, &row, err));
        if (!row)
            break;
        qn__event e = {qn__query_get_text(&query, 2), qn__query_get_text(&query, 3),
                       qn__query_get_text(&query, 4), qn__query_get_text(&query, 6),
                       qn__query_get_text(&query, 7), qn__query_get_i64(&query, 5)};
        link_chain(before, qn__query_get_i64(&query, 1), &e, chain);
        const char *found = qn__query_get_text(&query, 8);
        if (!found || strcmp(found, chain) != 0 || qn__query_get_i64(&query, 0) != expected) {
            *ret_bad = qn__query_get_i64(&query, 0);
            return QN_OK;
        }
        memcpy(before, chain, sizeof before);
    }
    *ret_bad = 0;
    return QN_OK;
}

static qn_status read_event(const qn__query *query, json_t *events, qn_error *err) {
    json_t *event = json_object();
    if (!event || json_array_append_new(events, event) != 0)
        return qn_error_memory(err);
    QN_TRY(qn__json_put(event, "time", qn__query_get_json_time(query, 0), err));
    QN_TRY(qn__json_put(event, "event", qn__query_get_json_text(query, 1), err));
    QN_TRY(qn__json_put(event, "run", qn__query_get_json_text(query, 2), err));
    QN_TRY(qn__json_put(event, "model", qn__query_get_json_text(query, 3), err));
    QN_TRY(qn__json_put(event, "version", qn__query_get_json_number(query, 4), err));
    QN_TRY(qn__json_put(event, "alias", qn__query_get_json_text(query, 5), err));
    return qn__json_put(event, "detail", qn__query_get_json_text(query, 6), err);
}

qn_status qn_ledger_list(qn_workspace *workspace, const char *name, json_t **ret_events,
                         qn_error *err) {
    qn_cleanup(qn_json_free) json_t *events = json_array();
    if (!events)
        return qn_error_memory(err);
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(&query, workspace, "read the ledger",
                          "SELECT time_us, event, run, model, version, alias, detail FROM ledger"
                          " WHERE ?1 IS NULL OR model = ?1 ORDER BY i_event", err));
    qn__query_text(&query, 1, name);
    for (bool row;;) {
        QN_TRY(qn__query_step(&query, &row, err));
        if (!row)
            break;
        QN_TRY(read_event(&query, events, err));
    }
    *ret_events = qn_steal(&events);
    return QN_OK;
}
