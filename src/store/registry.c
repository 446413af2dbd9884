#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "store/store_int.h"

/* --- names ------------------------------------------------------------------------------------ */

/* '@' and ':' would make references ambiguous, '/' and control characters file names and output. */
static qn_status check_name(const char *what, const char *name, qn_error *err) {
    size_t n = strlen(name);
    QN_FAIL_IF(n == 0 || n > QN_LIMIT_NAME_BYTES || !qn_text_is_utf8(name, n), err, QN_ERR_USAGE,
               "the name of %s must be UTF-8 text of 1 to %d bytes", what, QN_LIMIT_NAME_BYTES);
    for (size_t i = 0; i < n; i++)
        QN_FAIL_IF(
            strchr("@:/\\", name[i]) || (unsigned char)name[i] < 32 || name[i] == 127, err,
            QN_ERR_USAGE,
            "the name of %s must not contain '@', ':', '/', '\\' or control characters: '%.80s'",
            what, name);
    return QN_OK;
}

/* The id of a model, or 0. */
static qn_status find_model(const qn_workspace *workspace, const char *name, int64_t *ret_i_model,
                            qn_error *err) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    bool row;
    QN_TRY(qn__query_init(&query, workspace, "find a model",
                          "SELECT i_model FROM model WHERE name = ?", err));
    qn__query_text(&query, 1, name);
    QN_TRY(qn__query_step(&query, &row, err));
    *ret_i_model = row ? qn__query_get_i64(&query, 0) : 0;
    return QN_OK;
}

static qn_status need_model(const qn_workspace *workspace, const char *name, int64_t *ret_i_model,
                            qn_error *err) {
    QN_TRY(find_model(workspace, name, ret_i_model, err));
    QN_FAIL_IF(!*ret_i_model, err, QN_ERR_NOT_FOUND,
               "there is no model '%.80s': `quern models list` shows them", name);
    return QN_OK;
}

/* One number asked with up to three parameters (name may be NULL); 0 when there is no row or it is
 * null. */
static qn_status ask(const qn_workspace *workspace, const char *sql, int64_t i_model,
                     const char *alias, int64_t number, int64_t *ret, qn_error *err) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    bool row;
    QN_TRY(qn__query_init(&query, workspace, "read the registry", sql, err));
    qn__query_i64(&query, 1, i_model);
    if (sqlite3_bind_parameter_count(query.statement) >= 2)
        qn__query_text(&query, 2, alias);
    if (sqlite3_bind_parameter_count(query.statement) >= 3)
        qn__query_i64(&query, 3, number);
    QN_TRY(qn__query_step(&query, &row, err));
    *ret = row ? qn__query_get_i64(&query, 0) : 0;
    return QN_OK;
}

static qn_status alias_version(const qn_workspace *workspace, int64_t i_model, const char *alias,
                               int64_t *ret_version, qn_error *err) {
    return ask(workspace, "SELECT version FROM alias WHERE i_model = ?1 AND alias = ?2", i_model,
               alias, 0, ret_version, err);
}

static qn_status newest_version(const qn_workspace *workspace, int64_t i_model,
                                int64_t *ret_version, qn_error *err) {
    return ask(workspace, "SELECT max(version) FROM version WHERE i_model = ?1", i_model, NULL, 0,
               ret_version, err);
}

/* --- writing ---------------------------------------------------------------------------------- */

static qn_status push_alias(const qn_workspace *workspace, int64_t i_model, const char *name,
                            const char *alias, int64_t version, const char *why, qn_error *err) {
    int64_t now;
    QN_TRY(alias_version(workspace, i_model, alias, &now, err));
    if (now == version) /* already there: a second step would make rollback do nothing */
        return QN_OK;
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(
        qn__query_init(&query, workspace, "move an alias",
                       "INSERT INTO alias_step (i_model, alias, position, version) VALUES (?1, ?2,"
                       " (SELECT coalesce(max(position), 0) + 1 FROM alias_step"
                       "  WHERE i_model = ?1 AND alias = ?2), ?3)",
                       err));
    qn__query_i64(&query, 1, i_model);
    qn__query_text(&query, 2, alias);
    qn__query_i64(&query, 3, version);
    QN_TRY(qn__query_run(&query, err));
    return qn__ledger_append(workspace,
                             &(qn__event){.event = "alias moved",
                                          .model = name,
                                          .alias = alias,
                                          .version = version,
                                          .detail = why},
                             err);
}

static qn_status make_model(const qn_workspace *workspace, const char *name, int64_t *ret_i_model,
                            qn_error *err) {
    QN_TRY(find_model(workspace, name, ret_i_model, err));
    if (*ret_i_model)
        return QN_OK;
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(&query, workspace, "register a model",
                          "INSERT INTO model (name) VALUES (?)", err));
    qn__query_text(&query, 1, name);
    QN_TRY(qn__query_run(&query, err));
    *ret_i_model = sqlite3_last_insert_rowid(workspace->db);
    return QN_OK;
}

static qn_status insert_version(const qn_workspace *workspace, int64_t i_model, int64_t version,
                                const char *hash, const char *run_id, const json_t *about,
                                qn_error *err) {
    qn_cleanup(qn_freep) char *text = NULL;
    QN_TRY(qn__json_dump(about, &text, err));
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(qn__query_init(&query, workspace, "register a model",
                          "INSERT INTO version (i_model, version, hash, i_run, created_us, about)"
                          " VALUES (?1, ?2, ?3, (SELECT i_run FROM run WHERE id = ?4), ?5, ?6)",
                          err));
    qn__query_i64(&query, 1, i_model);
    qn__query_i64(&query, 2, version);
    qn__query_text(&query, 3, hash);
    qn__query_text(&query, 4, run_id);
    qn__query_i64(&query, 5, qn__now_us());
    qn__query_text(&query, 6, text);
    return qn__query_run(&query, err);
}

static qn_status check_run(const qn_workspace *workspace, const char *run_id, qn_error *err) {
    if (!run_id)
        return QN_OK;
    qn_cleanup(qn__query_done) qn__query query = {0};
    bool row;
    QN_TRY(qn__query_init(&query, workspace, "find a run", "SELECT 1 FROM run WHERE id = ?", err));
    qn__query_text(&query, 1, run_id);
    QN_TRY(qn__query_step(&query, &row, err));
    QN_FAIL_IF(!row, err, QN_ERR_NOT_FOUND, "there is no run %.80s", run_id);
    return QN_OK;
}

qn_status qn_registry_add(qn_workspace *workspace, const char *name, const char *hash,
                          const char *run_id, const json_t *about, const char *alias,
                          int64_t *ret_version, qn_error *err) {
    QN_TRY(check_name("a model", name, err));
    if (alias)
        QN_TRY(check_name("an alias", alias, err));
    qn_cleanup(qn_freep) char *path = NULL; /* objects before rows */
    QN_TRY(qn_object_path(workspace, hash, &path, err));
    int64_t i_model, version;
    qn_cleanup(qn__transaction_done) qn__transaction transaction = {0};
    QN_TRY(qn__transaction_begin(&transaction, workspace, "register a model", err));
    QN_TRY(check_run(workspace, run_id, err));
    QN_TRY(make_model(workspace, name, &i_model, err));
    QN_TRY(newest_version(workspace, i_model, &version, err));
    version++;
    QN_TRY(insert_version(workspace, i_model, version, hash, run_id, about, err));
    QN_TRY(qn__ledger_append(workspace,
                             &(qn__event){.event = "model registered",
                                          .run = run_id,
                                          .model = name,
                                          .version = version,
                                          .detail = hash},
                             err));
    if (alias)
        QN_TRY(push_alias(workspace, i_model, name, alias, version, "with its registration", err));
    QN_TRY(qn__transaction_commit(&transaction, "register a model", err));
    *ret_version = version;
    return QN_OK;
}

qn_status qn_registry_promote(qn_workspace *workspace, const char *name, int64_t version,
                              const char *alias, const char *why, qn_error *err) {
    QN_TRY(check_name("an alias", alias, err));
    int64_t i_model, found;
    qn_cleanup(qn__transaction_done) qn__transaction transaction = {0};
    QN_TRY(qn__transaction_begin(&transaction, workspace, "move an alias", err));
    QN_TRY(need_model(workspace, name, &i_model, err));
    QN_TRY(ask(workspace,
               "SELECT version FROM version WHERE i_model = ?1 AND ?2 IS NULL AND version = ?3",
               i_model, NULL, version, &found, err));
    QN_FAIL_IF(!found, err, QN_ERR_NOT_FOUND,
               "model '%.80s' has no version %lld: `quern models show %.80s`", name,
               (long long)version, name);
    QN_TRY(push_alias(workspace, i_model, name, alias, version, why, err));
    return qn__transaction_commit(&transaction, "move an alias", err);
}

static qn_status pop_alias(const qn_workspace *workspace, int64_t i_model, const char *alias,
                           qn_error *err) {
    qn_cleanup(qn__query_done) qn__query query = {0};
    QN_TRY(
        qn__query_init(&query, workspace, "roll back an alias",
                       "DELETE FROM alias_step WHERE i_model = ?1 AND alias = ?2 AND position ="
                       " (SELECT max(position) FROM alias_step WHERE i_model = ?1 AND alias = ?2)",
                       err));
    qn__query_i64(&query, 1, i_model);
    qn__query_text(&query, 2, alias);
    return qn__query_run(&query, err);
}

qn_status qn_registry_rollback(qn_workspace *workspace, const char *name, const char *alias,
                               int64_t *ret_version, qn_error *err) {
    int64_t i_model, from, to;
    char detail[64];
    qn_cleanup(qn__transaction_done) qn__transaction transaction = {0};
    QN_TRY(qn__transaction_begin(&transaction, workspace, "roll back an alias", err));
    QN_TRY(need_model(workspace, name, &i_model, err));
    QN_TRY(alias_version(workspace, i_model, alias, &from, err));
    QN_FAIL_IF(!from, err, QN_ERR_NOT_FOUND, "model '%.80s' has no alias '%.80s'", name, alias);
    QN_TRY(pop_alias(workspace, i_model, alias, err));
    QN_TRY(alias_version(workspace, i_model, alias, &to, err));
    QN_FAIL_IF(
        !to, err, QN_ERR_NOT_FOUND,
        "%.80s@%.80s has pointed at version %lld from the start: there is nothing to go back to",
        name, alias, (long long)from);
    snprintf(detail, sizeof detail, "from version %lld", (long long)from);
    QN_TRY(qn__ledger_append(workspace,
                             &(qn__event){.event = "alias rolled back",
                                          .model = name,
                                          .alias = alias,
                                          .version = to,
                                          .detail = detail},
                             err));
    QN_TRY(qn__transaction_commit(&transaction, "roll back an alias", err));
    *ret_version = to;
    return QN_OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

static qn_status read_aliases(qn__query *query, int64_t i_model, int64_t version, json_t *model,
                              qn_error *err) {
    json_t *aliases = json_array();
    QN_TRY(qn__json_put(model, "aliases", aliases, err));
    qn__query_reset(query);
    qn__query_i64(query, 1, i_model);
    qn__query_i64(query, 2, version);
    for (bool row;;) {
        QN_TRY(qn__query_step(query, &row, err));
        if (!row)
            return QN_OK;
        if (json_array_append_new(aliases, qn__query_get_json_text(query, 0)) != 0)
            return qn_error_memory(err);
    }
}

static qn_status read_version(const qn__query *query, qn__query *aliases, json_t *model,
                              qn_error *err) {
    QN_TRY(qn__json_put(model, "name", qn__query_get_json_text(query, 1), err));
    QN_TRY(qn__json_put(model, "version", qn__query_get_json_number(query, 2), err));
    QN_TRY(qn__json_put(model, "hash", qn__query_get_json_text(query, 3), err));
    QN_TRY(qn__json_put(model, "run", qn__query_get_json_text(query, 4), err));
    QN_TRY(qn__json_put(model, "created", qn__query_get_json_time(query, 5), err));
    QN_TRY(read_aliases(aliases, qn__query_get_i64(query, 0), qn__query_get_i64(query, 2), model,
                        err));
    return qn__json_put(model, "about", qn__query_get_json(query, 6), err);
}

/* All versions of a model (NULL: of all), or one of them (version 0: all). */
static qn_status read_versions(const qn_workspace *workspace, const char *name, int64_t version,
                               json_t **ret_models, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *models = json_array();
    qn_cleanup(qn__query_done) qn__query query = {0}, aliases = {0};
    QN_TRY(qn__query_init(
        &aliases, workspace, "read the registry",
        "SELECT alias FROM alias WHERE i_model = ? AND version = ? ORDER BY alias", err));
    QN_TRY(
        qn__query_init(&query, workspace, "read the registry",
                       "SELECT m.i_model, m.name, v.version, v.hash, r.id, v.created_us, v.about"
                       " FROM model m JOIN version v USING (i_model) LEFT JOIN run r USING (i_run)"
                       " WHERE (?1 IS NULL OR m.name = ?1) AND (?2 = 0 OR v.version = ?2)"
                       " ORDER BY m.name, v.version DESC",
                       err));
    qn__query_text(&query, 1, name);
    qn__query_i64(&query, 2, version);
    for (bool row;;) {
        QN_TRY(qn__query_step(&query, &row, err));
        if (!row)
            break;
        json_t *model = json_object();
        if (!model || json_array_append_new(models, model) != 0)
            return qn_error_memory(err);
        QN_TRY(read_version(&query, &aliases, model, err));
    }
    *ret_models = qn_steal(&models);
    return QN_OK;
}

qn_status qn_registry_list(qn_workspace *workspace, const char *name, json_t **ret_models,
                           qn_error *err) {
    int64_t i_model;
    if (name)
        QN_TRY(need_model(workspace, name, &i_model, err));
    return read_versions(workspace, name, 0, ret_models, err);
}

static qn_status pick_version(const qn_workspace *workspace, int64_t i_model, const char *name,
                              char mark, const char *rest, int64_t *ret_version, qn_error *err) {
    if (mark == ':') {
        QN_FAIL_IF(!qn_text_to_i64(rest, ret_version) || *ret_version < 1, err, QN_ERR_USAGE,
                   "'%.80s' is not a version: those are whole numbers from 1, as in %.80s:1", rest,
                   name);
        return QN_OK;
    }
    QN_TRY(alias_version(workspace, i_model, mark ? rest : "champion", ret_version, err));
    QN_FAIL_IF(mark && !*ret_version, err, QN_ERR_NOT_FOUND,
               "model '%.80s' has no alias '%.80s': `quern models show %.80s`", name, rest, name);
    return *ret_version ? QN_OK : newest_version(workspace, i_model, ret_version, err);
}

qn_status qn_registry_get(qn_workspace *workspace, const char *reference, json_t **ret_model,
                          qn_error *err) {
    size_t n = strcspn(reference, "@:");
    char mark = reference[n];
    qn_cleanup(qn_freep) char *name = qn_strndup(reference, n);
    if (!name)
        return qn_error_memory(err);
    int64_t i_model, version;
    QN_TRY(need_model(workspace, name, &i_model, err));
    QN_TRY(
        pick_version(workspace, i_model, name, mark, reference + n + (mark != 0), &version, err));
    qn_cleanup(qn_json_free) json_t *models = NULL;
    if (version)
        QN_TRY(read_versions(workspace, name, version, &models, err));
    QN_FAIL_IF(!json_array_size(models), err, QN_ERR_NOT_FOUND,
               "model '%.80s' has no version %lld: `quern models show %.80s`", name,
               (long long)version, name);
    *ret_model = json_incref(json_array_get(models, 0));
    return QN_OK;
}
