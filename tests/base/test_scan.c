/* JSON pulled value by value: what is a value, what is not and where, beside jansson for random
 * texts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/scan.h"

/* The problem of a text as a whole, NULL for none. */
static const char *problem_of(const char *text, size_t n) {
    qn_scan scan;
    qn_scan_init(&scan, text, n);
    qn_scan_skip(&scan);
    bool taken = qn_scan_finish(&scan);
    assert_true(taken == !scan.problem);
    qn_scan_done(&scan);
    return scan.problem;
}

static void assert_fine(const char *text) {
    const char *problem = problem_of(text, strlen(text));
    if (problem)
        fail_msg("%s: %s", text, problem);
}

static void assert_problem(const char *text, const char *problem) {
    const char *found = problem_of(text, strlen(text));
    if (!found || strcmp(found, problem) != 0)
        fail_msg("%s: %s, not %s", text, found ? found : "no problem", problem);
}

static void values_are_read(void **state) {
    static const char *const fine[] = {"null",
                                       "true",
                                       "false",
                                       "0",
                                       "-0",
                                       "1.5e+3",
                                       "\"\"",
                                       "[]",
                                       "{}",
                                       "[[], {}, [{}]]",
                                       " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : null } ",
                                       "[NaN, Infinity, -Infinity]",
                                       "{\"\": {\"\": 1}}",
                                       "[1e999, -1e999, 1e-999]",
                                       "123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        assert_fine(fine[i]);
}

static void what_is_no_json_is_told(void **state) {
    static const char *const cases[][2] = {
        {"", "the end, where a value should be"},
        {"  ", "the end, where a value should be"},
        {"[", "the end, where a value should be"},
        {"[1", "a comma or ']' is missing"},
        {"[1,", "the end, where a value should be"},
        {"[1,]", "not a value"},
        {"[,1]", "not a value"},
        {"[1 2]", "a comma or ']' is missing"},
        {"[1}", "a comma or ']' is missing"},
        {"{", "not a text in quotes"},
        {"{\"a\"", "a colon is missing"},
        {"{\"a\" 1}", "a colon is missing"},
        {"{\"a\":1,}", "not a text in quotes"},
        {"{a:1}", "not a text in quotes"},
        {"{\"a\":1 \"b\":2}", "a comma or '}' is missing"},
        {"{\"a\":1]", "a comma or '}' is missing"},
        {"]", "not a value"},
        {"nul", "not a value"},
        {"nil", "not a value"},
        {"tru", "not true or false"},
        {"True", "not a value"},
        {"nan", "not a value"},
        {"Inf", "not a value"},
        {"-Inf", "not a value"},
        {"- 1", "not a value"},
        {"+1", "not a value"},
        {".5", "not a value"},
        {"5.", "not a value"},
        {"1.e3", "not a value"},
        {"1e", "not a value"},
        {"1e+", "not a value"},
        {"-", "not a value"},
        {"01", "more behind the value"},
        {"-01", "more behind the value"},
        {"0x10", "more behind the value"},
        {"1 2", "more behind the value"},
        {"nullx", "more behind the value"},
        {"{} ,", "more behind the value"},
        {"'a'", "not a value"},
        {"\"a", "a text does not end"},
        {"\"a\\\"", "a text does not end"},
        {"\"a\nb\"", "a control character in a text"},
        {"\"a\x1f\"", "a control character in a text"},
        {"\"\\x\"", "an escape that is none"},
        {"\"\\", "an escape that is none"},
        {"\"\\u12\"", "an escape that is none"},
        {"\"\\u12g4\"", "an escape that is none"},
        {"\"\\u0000\"", "an escape that is none"},
        {"\"\\ud800\"", "an escape that is none"},
        {"\"\\ud800\\u0041\"", "an escape that is none"},
        {"\"\\ud800\\ud800\"", "an escape that is none"},
        {"\"\\udc00\"", "an escape that is none"},
        {"\"\xff\"", "bytes that are not UTF-8"},
        {"\"\xc0\x80\"", "bytes that are not UTF-8"},
        {"\"\xed\xa0\x80\"", "bytes that are not UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_problem(cases[i][0], cases[i][1]);
}

static void a_nul_is_no_end(void **state) {
    static const char text[] = "[1]\0[2]", inside[] = "\"a\0b\"", behind[] = "1\0";
    assert_string_equal(problem_of(text, sizeof text - 1), "more behind the value");
    assert_non_null(problem_of(inside, sizeof inside - 1));
    assert_string_equal(problem_of(behind, sizeof behind - 1), "more behind the value");
}

static void texts_are_unescaped(void **state) {
    static const char *const cases[][2] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20ac\\uD83D\\uDE00\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\"K\xc3\xb6ln \\u0001 end\"", "K\xc3\xb6ln \x01 end"},
        {"\"\x7f\"", "\x7f"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qn_cleanup(qn_scan_done) qn_scan scan;
        qn_scan_string text;
        qn_scan_init(&scan, cases[i][0], strlen(cases[i][0]));
        assert_true(qn_scan_text(&scan, &text) && qn_scan_finish(&scan));
        assert_int_equal(text.n, strlen(cases[i][1]));
        assert_memory_equal(text.bytes, cases[i][1], text.n);
    }
}

static void check_number(const char *text, qn_number_kind want_kind) {
    qn_cleanup(qn_scan_done) qn_scan scan;
    int64_t whole = 7;
    double real = 7, want = strtod(text, NULL);
    qn_scan_init(&scan, text, strlen(text));
    qn_number_kind kind = qn_scan_number(&scan, &whole, &real);
    if (kind != want_kind || !qn_scan_finish(&scan) ||
        (real != want && !(isnan(real) && isnan(want))))
        fail_msg("%s: kind %d, %.17g", text, kind, real);
    if (kind == QN_NUMBER_WHOLE)
        assert_int_equal(whole, strtoll(text, NULL, 10));
    else
        assert_int_equal(signbit(real) != 0, *text == '-');
}

static void numbers_are_rounded_as_libc_does(void **state) {
    static const char *const whole[] = {"0",
                                        "-0",
                                        "7",
                                        "-7",
                                        "123456789012345678",
                                        "999999999999999999",
                                        "1234567890123456789",
                                        "9223372036854775807",
                                        "-9223372036854775808"};
    static const char *const real[] = {
        "0.0",
        "-0.0",
        "0.1",
        "-2.5",
        "1e0",
        "1E+2",
        "1e-7",
        "9007199254740993.0",
        "0.30000000000000004",
        "12345678901234567.8",
        "123456789012345678.9",
        "0.123456789012345678",
        "0.1234567890123456789",
        "9223372036854775808",
        "-9223372036854775809",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "4.9e-324",
        "2e-324",
        "2.2250738585072011e-308",
        "1e400",
        "-1e400",
        "8.5e-400",
        "0.000000000000000000000000000000000000001",
        "3.14159265358979323846264338327950288419716939937510582097494459230781640628"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        check_number(whole[i], QN_NUMBER_WHOLE);
    for (size_t i = 0; i < sizeof real / sizeof *real; i++)
        check_number(real[i], QN_NUMBER_REAL);
    qn_rng rng;
    qn_rng_init(&rng, 11);
    for (int i = 0; i < 200000; i++) {
        char text[64];
        int digits = (int)qn_rng_below(&rng, 20), places = (int)qn_rng_below(&rng, 19);
        double x = (qn_rng_uniform(&rng) - 0.5) * pow(10, digits - 9);
        snprintf(text, sizeof text, i % 3 ? "%.*f" : "%.*e", places + 1, x);
        check_number(text, QN_NUMBER_REAL);
    }
}

static void python_names_are_numbers(void **state) {
    check_number("NaN", QN_NUMBER_REAL);
    check_number("Infinity", QN_NUMBER_REAL);
    check_number("-Infinity", QN_NUMBER_REAL);
}

static void nesting_is_bounded(void **state) {
    for (int depth = QN_LIMIT_JSON_DEPTH - 1; depth <= QN_LIMIT_JSON_DEPTH + 1; depth++) {
        qn_cleanup(qn_buf_done) qn_buf lists = {0}, objects = {0}, open = {0};
        for (int i = 0; i < depth; i++) {
            qn_buf_put_char(&lists, '[');
            qn_buf_put_text(&objects, "{\"a\":");
            qn_buf_put_char(&open, i % 2 ? '[' : '{');
            qn_buf_put_text(&open, i % 2 ? "" : "\"a\":");
        }
        qn_buf_put_char(&objects, '1');
        for (int i = depth - 1; i >= 0; i--) {
            qn_buf_put_char(&lists, ']');
            qn_buf_put_char(&objects, '}');
            qn_buf_put_text(&open, i == depth - 1 && i % 2 == 0 ? "1}" : i % 2 ? "]" : "}");
        }
        const qn_buf *all[] = {&lists, &objects, &open};
        for (int k = 0; k < 3; k++) {
            const char *problem = problem_of(qn_buf_text(all[k]), all[k]->len);
            if (depth <= QN_LIMIT_JSON_DEPTH)
                assert_null(problem);
            else
                assert_string_equal(problem, "nested too deeply");
        }
    }
}

static void members_and_items_are_walked(void **state) {
    static const char text[] =
        "{\"a\": [10, 20, 30], \"skip\": {\"x\": [1, {\"y\": 2}]}, \"k\\n\": true}";
    qn_cleanup(qn_scan_done) qn_scan scan;
    qn_scan_string key;
    int64_t whole = 0, sum = 0;
    double real;
    bool first = true, truth = false, inner = true;
    qn_scan_init(&scan, text, sizeof text - 1);
    assert_int_equal(qn_scan_peek(&scan), '{');
    assert_true(qn_scan_open(&scan, '{'));
    assert_true(qn_scan_member(&scan, &first, &key) && key.n == 1 && *key.bytes == 'a');
    assert_true(qn_scan_open(&scan, '['));
    while (qn_scan_item(&scan, &inner)) {
        assert_int_equal(qn_scan_number(&scan, &whole, &real), QN_NUMBER_WHOLE);
        sum += whole;
    }
    assert_int_equal(sum, 60);
    assert_true(qn_scan_member(&scan, &first, &key) && key.n == 4);
    assert_true(qn_scan_skip(&scan));
    assert_true(qn_scan_member(&scan, &first, &key) && key.n == 2 && key.bytes[1] == '\n');
    assert_false(qn_scan_null(&scan));
    assert_true(qn_scan_bool(&scan, &truth) && truth);
    assert_false(qn_scan_member(&scan, &first, &key));
    assert_true(qn_scan_finish(&scan));
}

static void the_first_problem_sticks(void **state) {
    static const char text[] = "[1, x, \"\xc3\xa9\"]";
    qn_cleanup(qn_scan_done) qn_scan scan;
    qn_scan_string string;
    int64_t whole;
    double real;
    bool first = true, truth;
    qn_error err = {0};
    qn_scan_init(&scan, text, sizeof text - 1);
    assert_true(qn_scan_open(&scan, '[') && qn_scan_item(&scan, &first));
    assert_int_equal(qn_scan_number(&scan, &whole, &real), QN_NUMBER_WHOLE);
    assert_true(qn_scan_item(&scan, &first));
    assert_int_equal(qn_scan_number(&scan, &whole, &real), QN_NUMBER_NONE);
    assert_int_equal(qn_scan_peek(&scan), 0);
    assert_false(qn_scan_item(&scan, &first) || qn_scan_open(&scan, '[') || qn_scan_skip(&scan));
    assert_false(qn_scan_text(&scan, &string) || qn_scan_bool(&scan, &truth) ||
                 qn_scan_null(&scan));
    assert_false(qn_scan_fail(&scan, "another") || qn_scan_finish(&scan));
    assert_int_equal(qn_scan_error(&scan, "the body", &err), QN_ERR_FORMAT);
    assert_string_equal(err.message, "the body is not what is expected: not a value, at byte 5");
    qn_scan_again(&scan, "2", 1);
    assert_int_equal(qn_scan_number(&scan, &whole, &real), QN_NUMBER_WHOLE);
    assert_true(qn_scan_finish(&scan));
}

static void wrong_brackets_are_told(void **state) {
    qn_cleanup(qn_scan_done) qn_scan scan;
    qn_scan_init(&scan, "1", 1);
    assert_false(qn_scan_open(&scan, '{'));
    assert_string_equal(scan.problem, "not an object");
    qn_scan_again(&scan, "{}", 2);
    assert_false(qn_scan_open(&scan, '['));
    assert_string_equal(scan.problem, "not a list");
}

/* Pieces of JSON in random order: both say the same about what is JSON. */
static void agrees_with_jansson(void **state) {
    static const char *const pieces[] = {"{",     "}",           "[",      "]",    ",",    ":",
                                         "\"a\"", "\"\\u00e9\"", "1",      "-2.5", "1e-5", "true",
                                         "null",  " ",           "\"b\":", "[]",   "{}",   "0"};
    qn_rng rng;
    qn_rng_init(&rng, 5);
    int n_fine = 0;
    for (int i = 0; i < 200000; i++) {
        qn_cleanup(qn_buf_done) qn_buf text = {0};
        for (int k = 1 + (int)qn_rng_below(&rng, 8); k > 0; k--)
            qn_buf_put_text(&text, pieces[qn_rng_below(&rng, sizeof pieces / sizeof *pieces)]);
        qn_cleanup(qn_json_free) json_t *json =
            json_loadb(text.data, text.len, JSON_DECODE_ANY, NULL);
        if (!json != !!problem_of(text.data, text.len))
            fail_msg("%s", qn_buf_text(&text));
        n_fine += json != NULL;
    }
    assert_true(n_fine > 5000);
}

static void memory_may_run_out(void **state) {
    static const char text[] = "\"a long text with \\u00e9scapes that must be copied\"";
    qn_scan scan;
    qn_scan_string string;
    qn_scan_init(&scan, text, sizeof text - 1);
    qn_mem_fail_after(0);
    bool taken = qn_scan_text(&scan, &string);
    qn_mem_fail_after(-1);
    assert_false(taken);
    assert_string_equal(scan.problem, "a text that does not fit in memory");
    assert_int_equal(qn_scan_error(&scan, "the body", NULL), QN_ERR_MEMORY);
    qn_scan_done(&scan);
}

static void the_place_of_a_bad_byte_is_told(void **state) {
    static const struct {
        const char *text;
        int byte;
    } cases[] = {{"\"\xff\"", 2}, {"\"\xc3\xa4\xe6\x9d\xb1\xf0\x9f\x98\x80\xe6\x9d\"", 11},
                 {"\"\xc3", 2}, {"\"aaaaaaaaaaaaaaaaaaaaaaa\xed\xa0\x80\"", 25}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qn_scan scan;
        qn_error err = {0};
        char want[160];
        qn_scan_init(&scan, cases[i].text, strlen(cases[i].text));
        assert_int_equal(qn_scan_error(&scan, "it", &err), QN_ERR_FORMAT);
        snprintf(want, sizeof want,
                 "it is not what is expected: bytes that are not UTF-8, at byte %d", cases[i].byte);
        assert_string_equal(err.message, want);
        assert_int_equal(qn_scan_error_at(&scan, 3, "age", &err), QN_ERR_FORMAT);
        snprintf(want, sizeof want, "row 3, column age: bytes that are not UTF-8, at byte %d",
                 cases[i].byte);
        assert_string_equal(err.message, want);
        assert_int_equal(err.row, 3);
        qn_scan_done(&scan);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(what_is_no_json_is_told),
        cmocka_unit_test(the_place_of_a_bad_byte_is_told),
        cmocka_unit_test(a_nul_is_no_end),
        cmocka_unit_test(texts_are_unescaped),
        cmocka_unit_test(numbers_are_rounded_as_libc_does),
        cmocka_unit_test(python_names_are_numbers),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(members_and_items_are_walked),
        cmocka_unit_test(the_first_problem_sticks),
        cmocka_unit_test(wrong_brackets_are_told),
        cmocka_unit_test(agrees_with_jansson),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
