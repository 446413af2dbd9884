/* The workspace: objects, runs, models, aliases, the ledger, its check, and what survives kill
 * -9. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/workspace.h"

/* --- a folder of its own for every test ------------------------------------------------------- */

static int make_folder(void **state) {
    const char *base = getenv("TMPDIR");
    char *folder = qn_format("%s/quern-store-XXXXXX", base ? base : "/tmp");
    if (!folder || !mkdtemp(folder))
        return -1;
    *state = folder;
    return 0;
}

static int remove_folder(void **state) {
    qn_cleanup(qn_freep) char *command = qn_format("chmod -R u+w '%s'; rm -rf '%s'", (char *)*state,
                                                   (char *)*state);
    int failed = !command || system(command) != 0;
    qn_freep(state);
    return failed;
}

static qn_workspace *open_in(const char *folder) {
    qn_workspace *w = NULL;
    qn_error err = {0};
    if (qn_workspace_open(folder, true, &w, &err) != QN_OK)
        fail_msg("%s", err.message);
    return w;
}

static void ok_(qn_status status, const qn_error *err, int line) {
    if (status != QN_OK)
        fail_msg("line %d: %s", line, err->message);
}
#define OK(call) ok_((call), &err, __LINE__)

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "(none)";
}

static json_t *check(qn_workspace *w) {
    json_t *report = NULL;
    qn_error err = {0};
    OK(qn_workspace_check(w, &report, &err));
    return report;
}

static void assert_sound(qn_workspace *w) {
    qn_cleanup(qn_json_free) json_t *report = check(w);
    json_t *problems = json_object_get(report, "problems");
    if (json_array_size(problems))
        fail_msg("%s", json_string_value(json_array_get(problems, 0)));
}

static json_t *summary_of(double auc) {
    return json_pack("{s:{s:{s:{s:f,s:f,s:f}, s:f}}, s:{s:s}, s:[{s:s, s:b, s:{s:i, s:s}}]}",
                     "metrics", "test", "roc_auc", "value", auc, "low", auc - 0.01, "high",
                     auc + 0.01, "log_loss", 1 - auc, "model", "family", "gbdt", "leaderboard",
                     "family", "gbdt", "chosen", 1, "params", "num_leaves", 31, "objective",
                     "auto");
}

/* A run with a model of `text`, registered as `name`. */
static void make_version(qn_workspace *w, const char *name, const char *text, const char *alias,
                         int64_t *ret) {
    char hash[QN_DIGEST_TEXT], run[64];
    qn_error err = {0};
    qn_cleanup(qn_json_free) json_t *summary = summary_of(0.9),
                                    *about = json_pack("{s:s}", "text", text);
    OK(qn_run_begin(w, "box", NULL, NULL, run, &err));
    OK(qn_object_put(w, text, strlen(text), hash, &err));
    OK(qn_run_add_artifact(w, run, "model", hash, (int64_t)strlen(text), &err));
    OK(qn_registry_add(w, name, hash, run, about, alias, ret, &err));
    OK(qn_run_end(w, run, "done", summary, NULL, &err));
}

/* --- objects ---------------------------------------------------------------------------------- */

static void objects_are_named_by_content(void **state) {
    qn_cleanup(qn_workspace_free) qn_workspace *w = open_in(*state);
    char hash[QN_DIGEST_TEXT], again[QN_DIGEST_TEXT];
    qn_error err = {0};
    OK(qn_object_put(w, "abc", 3, hash, &err));
    OK(qn_object_put(w, "abc", 3, again, &err));
    assert_string_equal(hash, again);
    qn_cleanup(qn_freep) char *path = NULL;
    OK(qn_object_path(w, hash, &path, &err));
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0444);
    qn_cleanup(qn_freep) char *temporary = qn_file_temporary(qn_workspace_temporary(w));
    OK(qn_file_write(temporary, "xyz", 3, &err));
    OK(qn_object_adopt(w, temporary, again, &err));
    assert_false(qn_file_exists(temporary));
    OK(qn_object_put(w, "", 0, again, &err));
    qn_cleanup(qn_freep) char *none = NULL;
    again[0] = again[0] == 'a' ? 'b' : 'a';
    assert_int_equal(qn_object_path(w, again, &none, &err), QN_ERR_NOT_FOUND);
    assert_int_equal(qn_object_path(w, "../../etc/passwd", &none, &err), QN_ERR_NOT_FOUND);
    assert_sound(w);
}

static void check_tells_of_damage(void **state) {
    qn_cleanup(qn_workspace_free) qn_workspace *w = open_in(*state);
    int64_t version;
    qn_error err = {0};
    make_version(w, "income", "first model", "champion", &version);
    make_version(w, "income", "second model", "champion", &version);
    char hash[QN_DIGEST_TEXT];
    qn_digest_bytes("first model", 11, hash);
    qn_cleanup(qn_freep) char *path = NULL;
    OK(qn_object_path(w, hash, &path, &err));
    assert_int_equal(chmod(path, 0644), 0);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "F", 1, 0), 1);
    close(fd);
    qn_cleanup(qn_json_free) json_t *report = check(w);
    json_t *problems = json_object_get(report, "problems");
    assert_int_equal(json_array_size(problems), 1);
    const char *text = json_string_value(json_array_get(problems, 0));
    assert_non_null(strstr(text, "model income version 1"));
    assert_non_null(strstr(text, "is damaged"));
    OK(qn_object_put(w, "first model", 11, hash, &err)); /* storing it again mends it */
    assert_sound(w);
    assert_int_equal(unlink(path), 0);
    qn_cleanup(qn_json_free) json_t *second = check(w);
    problems = json_object_get(second, "problems");
    assert_int_equal(json_array_size(problems), 2); /* the version's and the run's reference */
    assert_non_null(strstr(json_string_value(json_array_get(problems, 0)), "is missing"));
}

static void orphans_are_no_problem(void **state) {
    qn_cleanup(qn_workspace_free) qn_workspace *w = open_in(*state);
    char hash[QN_DIGEST_TEXT];
    qn_error err = {0};
    OK(qn_object_put(w, "leftover", 8, hash, &err));
    qn_cleanup(qn_json_free) json_t *report = check(w);
    assert_int_equal(json_array_size(json_object_get(report, "problems")), 0);
    assert_int_equal(json_array_size(json_object_get(report, "notes")), 1);
}

/* --- runs ------------------------------------------------------------------------------------- */

static void runs_are_kept(void **state) {
    qn_cleanup(qn_workspace_free) qn_workspace *w = open_in(*state);
    qn_error err = {0};
    char first[64], second[64];
    qn_cleanup(qn_json_free) json_t *config = json_pack("{s:i}", "seed", 42),
                                    *summary = summary_of(0.8);
    qn_cleanup(qn_json_free) json_t *none = NULL;
    assert_int_equal(qn_run_get(w, "last", &none, &err), QN_ERR_NOT_FOUND);
    OK(qn_run_begin(w, "box", config, NULL, first, &err));
    OK(qn_run_end(w, first, "done", summary, NULL, &err));
    OK(qn_run_begin(w, "box", config, NULL, second, &err));
    OK(qn_run_end(w, second, "failed", NULL, "no rows", &err));
    assert_int_equal(qn_run_end(w, second, "done", NULL, NULL, &err), QN_ERR_USAGE);
    assert_int_equal(qn_run_end(w, "nope", "done", NULL, NULL, &err), QN_ERR_NOT_FOUND);
    assert_int_equal(qn_run_end(w, second, "fine", NULL, NULL, &err), QN_ERR_USAGE);
    qn_cleanup(qn_json_free) json_t *runs = NULL, *run = NULL, *last = NULL, *best = NULL;
    OK(qn_run_list(w, 0, &runs, &err));
    assert_int_equal(json_array_size(runs), 2);
    assert_string_equal(text_of(json_array_get(runs, 0), "run"), second);
    assert_string_equal(text_of(json_array_get(runs, 0), "reason"), "no rows");
    json_t *metrics = json_object_get(json_array_get(runs, 1), "metrics");
    assert_true(json_real_value(json_object_get(metrics, "roc_auc")) == 0.8);
    OK(qn_run_get(w, first, &run, &err));
    assert_true(json_equal(json_object_get(run, "config"), config));
    assert_true(json_equal(json_object_get(run, "summary"), summary));
    OK(qn_run_get(w, "last", &last, &err));
    assert_string_equal(text_of(last, "run"), second);
    assert_int_equal(qn_run_get(w, "20", &none, &err), QN_ERR_USAGE);
    assert_int_equal(qn_run_get(w, "1999", &none, &err), QN_ERR_NOT_FOUND);
    assert_int_equal(qn_run_get(w, "", &none, &err), QN_ERR_NOT_FOUND);
    OK(qn_run_list_by(w, "roc_auc", true, 5, &best, &err));
    assert_int_equal(json_array_size(best), 1);
}

static void killed_runs_show_as_failed(void **state) {
    pid_t child = fork();
    if (child == 0) {
        qn_workspace *w = open_in(*state);
        char run[64];
        _exit(qn_run_begin(w, "box", NULL, NULL, run, NULL) == QN_OK ? 0 : 1);
    }
    int how;
    waitpid(child, &how, 0);
    assert_int_equal(how, 0);
    qn_cleanup(qn_workspace_free) qn_workspace *w = open_in(*state);
    qn_error err = {0};
    char mine[64];
    OK(qn_run_begin(w, "box", NULL, NULL, mine, &err));
    qn_cleanup(qn_json_free) json_t *runs = NULL;
    OK(qn_run_list(w, 0, &runs, &err));
    assert_string_equal(text_of(json_array_get(runs, 0), "status"), "running");
    assert_string_equal(text_of(json_array_get(runs, 1), "status"), "failed");
    assert_string_equal(text_of(json_array_get(runs, 1), "reason"), "killed");
}

/* --- models ----------------------------------------------------------------------------------- */

static int64_t version_of(qn_workspace *w, const char *reference) {
    qn_cleanup(qn_json_free) json_t *model = NULL;
    qn_error err = {0};
    OK(qn_registry_get(w, reference, &model, &err));
    return json_integer_value(json_object_get(model, "version"));
}

static void versions_and_aliases(void **state) {
    qn_cleanup(qn_workspace_free) qn_workspace *w = open_in(*state);
    int64_t version;
    qn_error err = {0};
    make_version(w, "income", "one", NULL, &version);
    assert_int_equal(version_of(w, "income"), 1);
    make_version(w, "income", "two", "champion", &version);
    make_version(w, "income", "three", NULL, &version);
    assert_int_equal(version, 3);
    assert_int_equal(version_of(w, "income"), 2); /* the champion, not the newest */
    assert_int_equal(version_of(w, "income:3"), 3);
    OK(qn_registry_promote(w, "income", 3, "champion", "better", &err));
    OK(qn_registry_promote(w, "income", 3, "champion", "again", &err));
    OK(qn_registry_promote(w, "income", 1, "champion", "oops", &err));
    OK(qn_registry_rollback(w, "income", "champion", &version, &err));
    assert_int_equal(version, 3);
    OK(qn_registry_rollback(w, "income", "champion", &version, &err));
    assert_int_equal(version_of(w, "income@champion"), 2);
    assert_int_equal(qn_registry_rollback(w, "income", "champion", &version, &err),
                     QN_ERR_NOT_FOUND);
    assert_int_equal(version_of(w, "income@champion"), 2);
    qn_cleanup(qn_json_free) json_t *list = NULL, *none = NULL, *diff = NULL, *events = NULL;
    OK(qn_registry_list(w, "income", &list, &err));
    assert_int_equal(json_array_size(list), 3);
    json_t *aliases = json_object_get(json_array_get(list, 1), "aliases");
    assert_string_equal(json_string_value(json_array_get(aliases, 0)), "champion");
    OK(qn_registry_diff(w, "income:1", "income:2", &diff, &err));
    json_t *difference = json_array_get(json_object_get(diff, "differences"), 0);
    assert_string_equal(text_of(difference, "key"), "text");
    assert_string_equal(text_of(difference, "to"), "two");
    OK(qn_ledger_list(w, "income", &events, &err));
    assert_int_equal(json_array_size(events), 8);
    assert_string_equal(text_of(json_array_get(events, 7), "event"), "alias rolled back");
    assert_int_equal(qn_registry_get(w, "nope", &none, &err), QN_ERR_NOT_FOUND);
    assert_int_equal(qn_registry_get(w, "income:9", &none, &err), QN_ERR_NOT_FOUND);
    assert_int_equal(qn_registry_get(w, "income:x", &none, &err), QN_ERR_USAGE);
    assert_int_equal(qn_registry_get(w, "income@x", &none, &err), QN_ERR_NOT_FOUND);
    assert_int_equal(qn_registry_promote(w, "income", 9, "champion", "", &err), QN_ERR_NOT_FOUND);
    char hash[QN_DIGEST_TEXT];
    qn_digest_bytes("two", 3, hash);
    assert_int_equal(qn_registry_add(w, "a@b", hash, NULL, NULL, NULL, &version, &err),
                     QN_ERR_USAGE);
    assert_int_equal(qn_registry_add(w, "a", hash, "no run", NULL, NULL, &version, &err),
                     QN_ERR_NOT_FOUND);
    hash[0] = hash[0] == 'a' ? 'b' : 'a';
    assert_int_equal(qn_registry_add(w, "a", hash, NULL, NULL, NULL, &version, &err),
                     QN_ERR_NOT_FOUND);
    assert_sound(w);
}

static int try_sql(const char *folder, const char *sql) {
    sqlite3 *db = NULL;
    qn_cleanup(qn_freep) char *path = qn_format("%s/.quern/quern.db", folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_close(db);
    return code;
}

static void the_ledger_cannot_be_changed(void **state) {
    qn_cleanup(qn_workspace_free) qn_workspace *w = open_in(*state);
    int64_t version;
    make_version(w, "income", "one", "champion", &version);
    assert_int_equal(try_sql(*state, "UPDATE ledger SET event = 'x'"), SQLITE_CONSTRAINT);
    assert_int_equal(try_sql(*state, "DELETE FROM ledger"), SQLITE_CONSTRAINT);
    assert_int_equal(
        try_sql(*state, "INSERT OR REPLACE INTO ledger VALUES (1, 1, 'x', '', '', 1, '', '', '')"),
        SQLITE_CONSTRAINT);
    assert_sound(w);
    /* Behind the triggers' back, the chain shows it. */
    assert_int_equal(
        try_sql(
            *state,
            "DROP TRIGGER ledger_keeps_words; UPDATE ledger SET detail = 'x' WHERE i_event = 2"),
        SQLITE_OK);
    qn_cleanup(qn_json_free) json_t *report = check(w);
    const char *text = json_string_value(json_array_get(json_object_get(report, "problems"), 0));
    assert_non_null(strstr(text ? text : "", "entry 2 does not fit"));
}

/* --- several processes, kill -9 --------------------------------------------------------------- */

static void two_processes_get_distinct_versions(void **state) {
    enum { EACH = 20 };
    pid_t children[2];
    for (int c = 0; c < 2; c++)
        if ((children[c] = fork()) == 0) {
            qn_workspace *w = open_in(*state);
            char hash[QN_DIGEST_TEXT];
            int64_t version;
            for (int i = 0; i < EACH; i++) {
                int n = i * 2 + c;
                if (qn_object_put(w, &n, sizeof n, hash, NULL) != QN_OK ||
                    qn_registry_add(w, "m", hash, NULL, NULL, "champion", &version, NULL) != QN_OK)
                    _exit(1);
            }
            _exit(0);
        }
    for (int c = 0; c < 2; c++) {
        int how;
        waitpid(children[c], &how, 0);
        assert_int_equal(how, 0);
    }
    qn_cleanup(qn_workspace_free) qn_workspace *w = open_in(*state);
    assert_int_equal(version_of(w, "m"), 2 * EACH);
    qn_cleanup(qn_json_free) json_t *list = NULL;
    qn_error err = {0};
    OK(qn_registry_list(w, "m", &list, &err));
    assert_int_equal(json_array_size(list), 2 * EACH);
    assert_sound(w);
}

static void write_for_ever(const char *folder, unsigned seed) {
    qn_workspace *w = NULL;
    if (qn_workspace_open(folder, true, &w, NULL) != QN_OK)
        _exit(1);
    for (unsigned i = 0;; i++) {
        int64_t version;
        char text[64];
        snprintf(text, sizeof text, "model %u %u", seed, i);
        make_version(w, "m", text, i % 2 ? "champion" : NULL, &version);
        if (i % 4 == 3 && qn_registry_rollback(w, "m", "champion", &version, NULL) == QN_ERR_IO)
            _exit(1);
    }
}

static void kill_at_any_moment_leaves_it_sound(void **state) {
    qn_rng rng;
    qn_rng_init(&rng, 1);
    for (unsigned i = 0; i < 100; i++) {
        pid_t child = fork();
        if (child == 0)
            write_for_ever(*state, i);
        nanosleep(&(struct timespec){.tv_nsec = (long)qn_rng_below(&rng, 15000000)}, NULL);
        kill(child, SIGKILL);
        int how;
        waitpid(child, &how, 0);
        assert_true(WIFSIGNALED(how));
        if (i % 10 == 9) { /* the whole check reads every object: now and then is enough */
            qn_cleanup(qn_workspace_free) qn_workspace *w = open_in(*state);
            assert_sound(w);
        }
    }
    qn_cleanup(qn_workspace_free) qn_workspace *w = open_in(*state);
    int64_t version;
    make_version(w, "m", "after it all", "champion", &version);
    assert_int_equal(version_of(w, "m"), version);
}

/* --- what the system refuses ------------------------------------------------------------------ */

static void refusals_are_clear(void **state) {
    qn_workspace *w = NULL;
    qn_error err = {0};
    assert_int_equal(qn_workspace_open(*state, false, &w, &err), QN_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "`quern run`"));
    qn_cleanup(qn_freep) char *place = qn_format("%s/.quern", (char *)*state);
    OK(qn_file_write(place, "x", 1, &err));
    assert_int_equal(qn_workspace_open(*state, true, &w, &err), QN_ERR_IO);
    assert_int_equal(unlink(place), 0);
    w = open_in(*state);
    qn_workspace_free(&w);
    assert_int_equal(try_sql(*state, "PRAGMA user_version = 99"), SQLITE_OK);
    assert_int_equal(qn_workspace_open(*state, true, &w, &err), QN_ERR_FORMAT);
    assert_non_null(strstr(err.message, "newer Quern"));
    qn_cleanup(qn_freep) char *db = qn_format("%s/quern.db", place);
    static const char junk[4096] = "this is not a database, however one looks at it";
    OK(qn_file_write(db, junk, sizeof junk, &err));
    assert_int_equal(qn_workspace_open(*state, true, &w, &err), QN_ERR_FORMAT);
}

/* A full disk, played by a limit on the size of files. */
static void full_disk_is_an_io_error(void **state) {
    qn_workspace *w = open_in(*state);
    qn_workspace_free(&w);
    pid_t child = fork();
    if (child == 0) {
        w = open_in(*state);
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit limit = {.rlim_cur = 100, .rlim_max = 100};
        char hash[QN_DIGEST_TEXT], run[64];
        static char big[10000];
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(9);
        qn_status put = qn_object_put(w, big, sizeof big, hash, NULL);
        qn_status begun = qn_run_begin(w, "box", NULL, NULL, run, NULL);
        _exit(put != QN_ERR_IO ? 1 : begun != QN_ERR_IO ? 2 : 0);
    }
    int how;
    waitpid(child, &how, 0);
    assert_int_equal(how, 0);
    w = open_in(*state);
    assert_sound(w);
    qn_cleanup(qn_json_free) json_t *runs = NULL;
    qn_error err = {0};
    OK(qn_run_list(w, 0, &runs, &err));
    assert_int_equal(json_array_size(runs), 0);
    qn_workspace_free(&w);
}

static void busy_is_said(void **state) {
    qn_cleanup(qn_workspace_free) qn_workspace *w = open_in(*state);
    sqlite3 *db = NULL;
    qn_cleanup(qn_freep) char *path = qn_format("%s/.quern/quern.db", (char *)*state);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    char run[64];
    qn_error err = {0};
    qn_workspace_set_patience(w, 50);
    assert_int_equal(qn_run_begin(w, "box", NULL, NULL, run, &err), QN_ERR_BUSY);
    assert_non_null(strstr(err.message, "another process"));
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(db);
    OK(qn_run_begin(w, "box", NULL, NULL, run, &err));
}

/* Everything once; a failure on the way gives QN_ERR_MEMORY. */
static qn_status do_all(const char *folder, qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *w = NULL;
    qn_cleanup(qn_json_free) json_t *model = NULL, *report = NULL, *runs = NULL;
    char hash[QN_DIGEST_TEXT];
    int64_t version;
    QN_TRY(qn_workspace_open(folder, true, &w, err));
    QN_TRY(qn_workspace_check(w, &report, err));
    QN_TRY(qn_run_list(w, 0, &runs, err));
    QN_TRY(qn_object_put(w, "x", 1, hash, err));
    QN_TRY(qn_registry_add(w, "m", hash, NULL, report, "champion", &version, err));
    return qn_registry_get(w, "m", &model, err);
}

static void short_memory_is_survived(void **state) {
    for (int64_t i = 0;; i++) {
        qn_cleanup(qn_freep) char *folder = qn_format("%s/%lld", (char *)*state, (long long)i);
        qn_error err = {0};
        assert_int_equal(mkdir(folder, 0777), 0);
        qn_mem_fail_after(i);
        qn_status status = do_all(folder, &err);
        qn_mem_fail_after(-1);
        if (status == QN_OK)
            break;
        assert_int_equal(status, QN_ERR_MEMORY);
        qn_cleanup(qn_workspace_free) qn_workspace *w = open_in(folder);
        assert_sound(w);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(objects_are_named_by_content),
        TEST(check_tells_of_damage),
        TEST(orphans_are_no_problem),
        TEST(runs_are_kept),
        TEST(killed_runs_show_as_failed),
        TEST(versions_and_aliases),
        TEST(the_ledger_cannot_be_changed),
        TEST(two_processes_get_distinct_versions),
        TEST(kill_at_any_moment_leaves_it_sound),
        TEST(refusals_are_clear),
        TEST(full_disk_is_an_io_error),
        TEST(busy_is_said),
        TEST(short_memory_is_survived),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
