/* How long searching takes among 30,000 runs. Prints "name: value" lines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/job.h"
#include "base/mem.h"
#include "store/workspace.h"

/* Thousands of runs in one transaction: through the library each would wait for the disk. */
static const char fill[] =
    "BEGIN;"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)"
    " INSERT INTO run SELECT i, printf('20260101-%06d-%04x', i, i * 7919 % 65536), 'bench', "
    "'done', NULL,"
    " 1767225600000000 + i * 1000000, 1767225601000000 + i * 1000000, iif(i % 2, 'gbdt', "
    "'linear'), 'h', 'b', 1, 1 FROM n;"
    "INSERT INTO run_document SELECT i_run, hex(zeroblob(1000)), '{}', hex(zeroblob(4000)) FROM "
    "run;"
    "WITH m(name) AS (VALUES ('roc_auc'), ('pr_auc'), ('log_loss'), ('brier'), ('accuracy'), "
    "('f1'), ('mcc'), ('ece')),"
    " p(part) AS (VALUES ('test'), ('validate'))"
    " INSERT INTO metric SELECT i_run, part, name, (i_run * 7919 % 30011) / 30011.0, 0, 1 FROM "
    "run, p, m;"
    "WITH k(name) AS (VALUES ('num_leaves'), ('learning_rate'), ('num_trees'), ('lambda_l2'))"
    " INSERT INTO param SELECT i_run, name, i_run % 100, i_run % 100 FROM run, k;"
    "COMMIT;";

static void die(const char *what) {
    fprintf(stderr, "store: %s\n", what);
    exit(1);
}

static void report(const char *name, double start_s, json_t **runs, qn_status status,
                   const qn_error *err) {
    if (status != QN_OK)
        die(err->message);
    printf("%s_ms: %.2f\n", name, 1e3 * (qn_now_s() - start_s));
    printf("%s_rows: %zu\n", name, json_array_size(*runs));
    qn_json_free(runs);
}

int main(void) {
    char folder[] = "/tmp/quern-bench-XXXXXX", command[128];
    qn_workspace *workspace = NULL;
    qn_error err = {0};
    json_t *runs = NULL;
    if (!mkdtemp(folder) || qn_workspace_open(folder, true, &workspace, &err) != QN_OK)
        die(err.message);
    qn_cleanup(qn_freep) char *file = qn_format("%s/quern.db", qn_workspace_path(workspace));
    sqlite3 *db = NULL;
    if (sqlite3_open(file, &db) != SQLITE_OK ||
        sqlite3_exec(db, fill, NULL, NULL, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(db));
    sqlite3_close(db);
    double start = qn_now_s();
    qn_status status = qn_run_list(workspace, 50, &runs, &err);
    report("newest_50", start, &runs, status, &err);
    start = qn_now_s();
    status = qn_run_list_by(workspace, "roc_auc", true, 50, &runs, &err);
    report("best_50", start, &runs, status, &err);
    start = qn_now_s();
    status = qn_run_get(workspace, "20260101-0150", &runs, &err);
    printf("prefix_ms: %.2f (%s)\n", 1e3 * (qn_now_s() - start), qn_status_name(status));
    qn_json_free(&runs);
    start = qn_now_s();
    status = qn_run_get(workspace, "20260101-015000", &runs, &err);
    report("one", start, &runs, status, &err); /* an object: no rows */
    start = qn_now_s();
    status = qn_run_list(workspace, 0, &runs, &err);
    report("all", start, &runs, status, &err);
    qn_workspace_free(&workspace);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) != 0;
}
