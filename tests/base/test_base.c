/* The small things every room stands on: errors, memory, buffers, text, JSON, parameters, files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/param.h"
#include "base/rng.h"
#include "base/text.h"

static void error_says_where(void **state) {
    qn_error err = {0};
    qn_error_set_at(&err, QN_ERR_DATA, "fraud.csv", 812, "Amount", "'%s' is not a number", "abc");
    assert_string_equal(err.message, "fraud.csv row 812, column Amount: 'abc' is not a number");
    qn_error_set_at(&err, QN_ERR_DATA, NULL, 0, "Amount", "all missing");
    assert_string_equal(err.message, "column Amount: all missing");
    qn_error_prefix(&err, "in %s", "data");
    assert_string_equal(err.message, "in data: column Amount: all missing");
}

static void error_keeps_utf8_whole(void **state) {
    qn_error err = {0};
    for (int shift = 0; shift < 4; shift++) {
        char text[2000];
        memset(text, 'x', (size_t)shift);
        for (int i = 0; i < 600; i++)
            memcpy(text + shift + 3 * i, "\xe2\x82\xac", 3);
        text[shift + 1800] = '\0';
        qn_error_set(&err, QN_ERR_DATA, "%s", text);
        assert_true(qn_text_is_utf8(err.message, strlen(err.message)));
    }
}

static void error_shows_foreign_bytes_as_text(void **state) {
    qn_error err = {0};
    qn_error_set(&err, QN_ERR_DATA, "%s", "caf\xe9 \xf0\x9f\x98\x80 \x1b[2J\xc0\x80 \xed\xa0\x80.");
    assert_string_equal(err.message, "caf? \xf0\x9f\x98\x80 ?[2J?? ???.");
    qn_error_set_at(&err, QN_ERR_DATA, "\xff.csv", 1, "a\xe9", "cut \xe2\x82");
    assert_string_equal(err.file, "?.csv");
    assert_string_equal(err.column, "a"); /* a character cut at the end goes */
    assert_string_equal(err.message, "?.csv row 1, column a?: cut ");
}

/* As printf and strtod find it: the fewest of 15, 16, 17 digits that read back. */
static void shortest_by_libc(double x, char text[QN_NUMBER_TEXT]) {
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, QN_NUMBER_TEXT, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            return;
    }
}

static void check_number_text(double x) {
    char mine[QN_NUMBER_TEXT], theirs[QN_NUMBER_TEXT];
    int64_t whole;
    double back;
    size_t n = qn_number_write(x, mine);
    mine[n] = '\0';
    if (x == floor(x) && fabs(x) < 1e15)
        snprintf(theirs, sizeof theirs, "%.0f", x == 0 ? 0.0 : x);
    else
        shortest_by_libc(x, theirs);
    assert_string_equal(mine, theirs);
    assert_true(qn_number_parse(mine, n, &whole, &back) != QN_NUMBER_NONE);
    assert_true(back == x);
}

static void numbers_are_written_as_libc_would(void **state) {
    static const double edges[] = {
        0.0,  -0.0, 0.1, 0.3, 1e-4, 9.9999999999999995e-5, 1e-5, 1e-10, 1e-11, 5e-324,
        1.7976931348623157e308, 1e15, 999999999999999.9, 1e17, 0.99999999999999989,
        1.0000000000000002, 123456.789, 2.5, 1e22, 9007199254740993.0, -0.8123456789012345, 0.001,
        99.99999999999999};
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++)
        check_number_text(edges[i]);
    for (int e = -60; e <= 60; e++) /* where steps below are half as wide */
        for (int step = -2; step <= 2; step++) {
            double x = ldexp(1, e);
            for (int k = 0; k < abs(step); k++)
                x = nextafter(x, step < 0 ? 0 : INFINITY);
            check_number_text(x);
        }
    qn_rng rng;
    qn_rng_init(&rng, 3);
    for (int i = 0; i < 200000; i++) {
        double x = qn_rng_uniform(&rng);
        check_number_text(x);
        check_number_text(-x * pow(10, (double)qn_rng_below(&rng, 30) - 12));
        check_number_text(round(x * 1e6) / pow(10, (double)qn_rng_below(&rng, 12)));
        uint64_t bits = qn_rng_u64(&rng);
        memcpy(&x, &bits, sizeof x);
        if (isfinite(x))
            check_number_text(x);
    }
}

static void allocation_checks_sizes(void **state) {
    assert_null(qn_calloc(SIZE_MAX / 2, 3));
    assert_null(qn_malloc_aligned(PTRDIFF_MAX, 1));
    qn_cleanup(qn_freep) double *x = qn_calloc_aligned(3, sizeof *x);
    assert_int_equal((uintptr_t)x % 64, 0);
    qn_mem_fail_after(1);
    void *first = qn_calloc(1, 1), *second = qn_calloc(1, 1), *third = qn_calloc(1, 1);
    qn_mem_fail_after(-1);
    assert_non_null(first);
    assert_null(second);
    assert_null(third);
    qn_freep(&first);
}

static void arena_gives_and_takes_back(void **state) {
    qn_cleanup(qn_arena_free) qn_arena *arena = qn_arena_new("test");
    for (int round = 0; round < 3; round++) {
        for (size_t n = 1; n < 5000; n += 37) {
            char *text = qn_arena_alloc(arena, n, 1);
            assert_non_null(text);
            assert_int_equal(text[n - 1], 0);
            memset(text, 7, n);
        }
        qn_arena_reset(arena);
    }
    assert_null(qn_arena_alloc(arena, SIZE_MAX, 2));
}

static void buffer_has_a_ceiling(void **state) {
    qn_cleanup(qn_buf_done) qn_buf buf = {.max = 10};
    qn_buf_put_text(&buf, "123456789");
    assert_int_equal(qn_buf_status(&buf, NULL), QN_OK);
    qn_buf_put_text(&buf, "ab");
    qn_buf_put_text(&buf, "c");
    assert_int_equal(qn_buf_status(&buf, NULL), QN_ERR_LIMIT);
    assert_string_equal(qn_buf_text(&buf), "123456789");
}

static void reader_stops_at_the_end(void **state) {
    qn_cleanup(qn_buf_done) qn_buf buf = {0};
    qn_buf_put_u32(&buf, 7);
    qn_buf_align(&buf, 8);
    qn_buf_put_f64(&buf, -2.5);
    qn_reader reader = {.data = (const unsigned char *)buf.data, .len = buf.len};
    assert_int_equal(qn_reader_u32(&reader), 7);
    qn_reader_align(&reader, 8);
    assert_true(qn_reader_f64(&reader) == -2.5);
    assert_false(reader.failed);
    assert_int_equal(qn_reader_u32(&reader), 0);
    assert_true(reader.failed);
}

static void numbers_round_trip(void **state) {
    qn_rng rng;
    qn_rng_init(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = qn_rng_u64(&rng);
        double x, back;
        memcpy(&x, &bits, sizeof x);
        char text[QN_DOUBLE_TEXT];
        qn_double_to_text(x, text);
        if (isfinite(x)) {
            assert_true(qn_text_to_double(text, &back));
            assert_true(back == x);
        }
    }
    char text[QN_DOUBLE_TEXT];
    qn_double_to_text(0.1, text);
    assert_string_equal(text, "0.1");
    double x;
    assert_false(qn_text_to_double("nan", &x));
    assert_false(qn_text_to_double("0x10", &x));
    assert_false(qn_text_to_double("1e999", &x));
    assert_false(qn_text_to_double("1 2", &x));
}

static void units_are_read(void **state) {
    size_t bytes;
    double s;
    assert_true(qn_text_to_bytes("4GB", &bytes) && bytes == 4000000000u);
    assert_true(qn_text_to_bytes("1.5 KiB", &bytes) && bytes == 1536);
    assert_false(qn_text_to_bytes("4 potatoes", &bytes));
    assert_false(qn_text_to_bytes("-4", &bytes));
    assert_true(qn_text_to_seconds("1h30m", &s) && s == 5400);
    assert_true(qn_text_to_seconds("45", &s) && s == 45);
    assert_false(qn_text_to_seconds("soon", &s));
}

static void utf8_is_strict(void **state) {
    assert_true(qn_text_is_utf8("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10));
    assert_false(qn_text_is_utf8("\xc0\x80", 2));
    assert_false(qn_text_is_utf8("\xed\xa0\x80", 3));
    assert_false(qn_text_is_utf8("\xf4\x90\x80\x80", 4));
    assert_false(qn_text_is_utf8("\xe2\x82", 2));
}

static void nearest_name_is_found(void **state) {
    const char *const names[] = {"learning_rate", "num_leaves", "max_depth"};
    assert_string_equal(qn_text_nearest("learing_rate", names, 3), "learning_rate");
    assert_string_equal(qn_text_nearest("num_leafs", names, 3), "num_leaves");
    assert_null(qn_text_nearest("potato", names, 3));
}

static void json_is_bounded(void **state) {
    qn_cleanup(qn_json_free) json_t *json = NULL;
    qn_error err = {0};
    char deep[201];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    assert_int_equal(qn_json_parse(deep, 200, "x", &json, &err), QN_ERR_LIMIT);
    assert_int_equal(qn_json_parse("{\"a\":1,\"a\":2}", 13, "x", &json, &err), QN_ERR_FORMAT);
    assert_int_equal(qn_json_parse("[1] 2", 5, "x", &json, &err), QN_ERR_FORMAT);
    assert_int_equal(qn_json_parse("{\"a\":[0.1,\"<\"]}", 15, "x", &json, &err), QN_OK);
    qn_cleanup(qn_freep) char *text = qn_json_text(json, QN_JSON_HTML_SAFE);
    assert_string_equal(text, "{\"a\":[0.1,\"\\u003c\"]}");
}

static void params_follow_their_table(void **state) {
    typedef struct {
        bool on;
        int64_t leaves;
        double rate;
        const char *mode;
        const json_t *lists;
    } demo;
    static const char *const modes[] = {"fast", "good", NULL};
    static const qn_param table[] = {
        {.name = "on",
         .kind = QN_PARAM_BOOL,
         .offset = offsetof(demo, on),
         .preset = 1,
         .help = ""},
        {.name = "num_leaves",
         .aliases = "max_leaves leaves",
         .kind = QN_PARAM_INT,
         .offset = offsetof(demo, leaves),
         .low = 2,
         .high = 99,
         .preset = 31,
         .help = ""},
        {.name = "rate",
         .kind = QN_PARAM_REAL,
         .offset = offsetof(demo, rate),
         .low = 0,
         .high = 1,
         .preset = 0.1,
         .help = ""},
        {.name = "mode",
         .kind = QN_PARAM_CHOICE,
         .offset = offsetof(demo, mode),
         .choices = modes,
         .preset = 1,
         .help = ""},
        {.name = "lists", .kind = QN_PARAM_JSON, .offset = offsetof(demo, lists), .help = ""},
    };
    demo d;
    qn_error err = {0};
    qn_params_default(table, 5, &d);
    assert_true(d.on && d.leaves == 31 && d.rate == 0.1 && d.mode == modes[1]);
    assert_int_equal(qn_params_set(table, 5, "leaves", "63", &d, &err), QN_OK);
    assert_int_equal(d.leaves, 63);
    assert_int_equal(qn_params_set(table, 5, "num_leaves", "1", &d, &err), QN_ERR_CONFIG);
    assert_string_equal(err.message, "num_leaves must be a whole number from 2 to 99, not '1'");
    assert_int_equal(qn_params_set(table, 5, "num_leavs", "3", &d, &err), QN_ERR_CONFIG);
    assert_string_equal(err.message, "unknown parameter 'num_leavs': did you mean 'num_leaves'?");
    assert_int_equal(qn_params_set(table, 5, "mode", "slow", &d, &err), QN_ERR_CONFIG);
    assert_string_equal(err.message, "mode must be one of fast, good, not 'slow'");
    qn_cleanup(qn_json_free) json_t *json = qn_params_to_json(table, 5, &d);
    qn_cleanup(qn_freep) char *text = qn_json_text(json, 0);
    assert_string_equal(text, "{\"on\":true,\"num_leaves\":63,\"rate\":0.1,"
                              "\"mode\":\"good\",\"lists\":null}");

    qn_cleanup(qn_json_free) json_t *given = json_pack("{s:[i], s:i}", "lists", 3, "leaves", 9);
    assert_int_equal(qn_params_from_json(table, 5, given, &d, &err), QN_OK);
    assert_ptr_equal(d.lists, json_object_get(given, "lists"));
    assert_int_equal(d.leaves, 9);
    assert_int_equal(qn_params_set(table, 5, "lists", "3", &d, &err), QN_ERR_CONFIG);
    assert_string_equal(err.message, "lists must be a map or a list, not '3'");
    qn_cleanup(qn_json_free) json_t *wrong = json_pack("{s:[i]}", "leaves", 3);
    assert_int_equal(qn_params_from_json(table, 5, wrong, &d, &err), QN_ERR_CONFIG);
    assert_string_equal(err.message, "parameter leaves must be a plain value");
    qn_cleanup(qn_json_free) json_t *full = qn_params_to_json(table, 5, &d);
    assert_true(json_equal(json_object_get(full, "lists"), d.lists));
}

static void files_appear_whole(void **state) {
    char folder[] = "/tmp/qn-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    qn_error err = {0};
    qn_cleanup(qn_freep) char *deep = qn_path_join(folder, "a/b/c");
    assert_int_equal(qn_folder_make(deep, &err), QN_OK);
    qn_cleanup(qn_freep) char *path = qn_path_join(deep, "x.txt");
    assert_int_equal(qn_file_write(path, "hello", 5, &err), QN_OK);
    qn_cleanup(qn_freep) char *bytes = NULL;
    size_t n;
    assert_int_equal(qn_file_read(path, 100, &bytes, &n, &err), QN_OK);
    assert_string_equal(bytes, "hello");
    assert_int_equal(qn_file_read(path, 4, &bytes, &n, &err), QN_ERR_LIMIT);
    assert_int_equal(qn_file_write("/nowhere/x", "", 0, &err), QN_ERR_NOT_FOUND);
    char digest[QN_DIGEST_TEXT], same[QN_DIGEST_TEXT];
    assert_int_equal(qn_digest_file(path, digest, &err), QN_OK);
    qn_digest_bytes("hello", 5, same);
    assert_string_equal(digest, same);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

/* What a child that has ended left behind goes; what a live process or a stranger of today has
 * there stays. */
static void leftovers_are_swept(void **state) {
    char folder[] = "/tmp/qn-test-XXXXXX", command[256];
    assert_non_null(mkdtemp(folder));
    pid_t child = fork();
    if (child == 0) {
        char *left = qn_file_temporary(folder);
        _exit(left && symlink("nowhere", left) == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    snprintf(command, sizeof command, "test -n \"$(ls -A %s)\"", folder);
    assert_int_equal(system(command), 0);
    qn_cleanup(qn_freep) char *mine = qn_file_temporary(folder);
    qn_cleanup(qn_freep) char *other = qn_path_join(folder, ".tmp-999999999-00000001-0-00000000");
    assert_int_equal(qn_file_write(mine, "x", 1, NULL), QN_OK);
    assert_int_equal(qn_file_write(other, "x", 1, NULL), QN_OK);
    qn_folder_sweep(folder);
    assert_true(qn_file_exists(mine) && qn_file_exists(other));
    snprintf(command, sizeof command, "test $(ls -A %s | wc -l) = 2 && rm -r %s", folder, folder);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_says_where),
        cmocka_unit_test(error_keeps_utf8_whole),
        cmocka_unit_test(error_shows_foreign_bytes_as_text),
        cmocka_unit_test(numbers_are_written_as_libc_would),
        cmocka_unit_test(allocation_checks_sizes),
        cmocka_unit_test(arena_gives_and_takes_back),
        cmocka_unit_test(buffer_has_a_ceiling),
        cmocka_unit_test(reader_stops_at_the_end),
        cmocka_unit_test(numbers_round_trip),
        cmocka_unit_test(units_are_read),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(nearest_name_is_found),
        cmocka_unit_test(json_is_bounded),
        cmocka_unit_test(params_follow_their_table),
        cmocka_unit_test(files_appear_whole),
        cmocka_unit_test(leftovers_are_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
