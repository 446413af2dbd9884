/* Expressions over columns: values, messages with positions, bounds. */
#include <stdio.h>

#include "tables.h"

#include "base/limits.h"
#include "base/rng.h"
#include "evaluate/expr.h"

static const char *const names[] = {"Amount", "age", "unit price", "country"};

static qn_frame *table(void) {
    qn_frame_builder *builder = NULL;
    qn_frame *frame = NULL;
    assert_int_equal(qn_frame_builder_new(&builder, NULL), QN_OK);
    add_numbers(builder, 0, "Amount", (double[]){100, 2.5, NAN}, 3);
    add_numbers(builder, 1, "age", (double[]){30, -4, 0}, 3);
    add_numbers(builder, 2, "unit price", (double[]){2, 3, 4}, 3);
    add_texts(builder, 3, "country", (const char *[]){"FR", "it's", NULL}, 3);
    assert_int_equal(qn_frame_builder_finish(builder, &frame, NULL), QN_OK);
    qn_frame_builder_free(&builder);
    return frame;
}

static double value_of(const char *text, int64_t row) {
    qn_cleanup(qn_frame_free) qn_frame *frame = table();
    qn_cleanup(qn_expr_free) qn_expr *expr = NULL;
    qn_error err = {0};
    double x = NAN;
    if (qn_expr_compile(text, names, 4, &expr, &err) != QN_OK ||
        qn_expr_eval(expr, frame, &row, 1, NULL, 0, &x, 1, &err) != QN_OK)
        fail_msg("%s: %s", text, err.message);
    return x;
}

static void computes(void **state) {
    static const struct {
        const char *text;
        int64_t row;
        double want;
    } cases[] = {
        {"Amount - 5", 0, 95},
        {"-Amount", 1, -2.5},
        {"--3 - -2", 0, 5},
        {"1 + 2 * 3", 0, 7},
        {"(1 + 2) * 3", 0, 9},
        {"8 / 4 / 2", 0, 1},
        {"10 - 4 - 3", 0, 3},
        {"1.5e2 + .5", 0, 150.5},
        {"\"unit price\" * age", 0, 60},
        {"min(Amount, age, 7)", 0, 7},
        {"max(Amount, age, 7)", 1, 7},
        {"abs(age)", 1, 4},
        {"log(exp(2))", 0, 2},
        {"log1p(0) + sqrt(16)", 0, 4},
        {"if(age > 18, Amount, 0)", 0, 100},
        {"if(age > 18, Amount, 0)", 2, 0}, /* the missing Amount is not looked at */
        {"if(age, 1, 2)", 2, 2},
        {"age >= 30", 0, 1},
        {"age < 30", 0, 0},
        {"(age != 30) + (age <= 30) + (age == 30)", 0, 2},
        {"if(country == 'FR', 1, 2)", 0, 1},
        {"if(country != 'FR', 1, 2)", 0, 2},
        {"country == 'it''s'", 1, 1},
        {"country == 'FR'", 2, 0}, /* missing is no text */
        {"if(if(age > 0, 1, 0), max(1, if(2 > 1, 5, 6)), 9)", 0, 5},
        {" \tAmount\n", 0, 100},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double got = value_of(cases[i].text, cases[i].row);
        if (fabs(got - cases[i].want) > 1e-12)
            fail_msg("%s: %g, not %g", cases[i].text, got, cases[i].want);
    }
}

static void says_what_is_wrong(void **state) {
    static const char *const cases[][2] = {
        {"Amout - 5",
         "character 1 of 'Amout - 5': there is no column 'Amout'; did you mean 'Amount'?"},
        {"5 + zzzzzz", "character 5 of '5 + zzzzzz': there is no column 'zzzzzz'"},
        {"", "character 1 of '': the expression ends too early"},
        {"1 +", "character 4 of '1 +': the expression ends too early"},
        {"1 2", "character 3 of '1 2': nothing more expected here"},
        {"(1", "character 3 of '(1': ')' expected"},
        {"1.2.3", "character 1 of '1.2.3': this is not a number"},
        {"1e999", "character 1 of '1e999': this is not a number"},
        {"sin(1)", "character 1 of 'sin(1)': there is no function 'sin'; there are abs, exp, if, "
                   "log, log1p, max, "
                   "min, sqrt"},
        {"min(1)", "character 7 of 'min(1)': min() takes at least two values"},
        {"if(1, 2)",
         "character 8 of 'if(1, 2)': if() takes a condition and two values: ',' expected"},
        {"log(1, 2)", "character 6 of 'log(1, 2)': log() takes one value: ')' expected"},
        {"\"Amount", "character 1 of '\"Amount': the quote \" is not closed"},
        {"age = 3", "character 5 of 'age = 3': equality is written =="},
        {"'FR' == country",
         "character 1 of ''FR' == country': a 'text' can only be compared with a column, by == "
         "or !=; column names take \"\""},
        {"country < 'FR'",
         "character 9 of 'country < 'FR'': a 'text' can only be compared with a column, by == or "
         "!="},
        {"$", "character 1 of '$': a number, a column or '(' expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qn_expr *expr = NULL;
        qn_error err = {0};
        assert_int_equal(qn_expr_compile(cases[i][0], names, 4, &expr, &err), QN_ERR_CONFIG);
        assert_string_equal(err.message, cases[i][1]);
        assert_null(expr);
    }
}

static void bad_rows_are_named(void **state) {
    static const char *const cases[][2] = {
        {"Amount * 2",
         "row 3, column Amount: the expression 'Amount * 2' needs a value, and it is missing"},
        {"country + 1", "row 1, column country: the expression 'country + 1' needs a number, and "
                        "this column is text"},
        {"age == 'x'", "row 1, column age: the expression 'age == 'x'' compares with a text, and "
                       "this column is not "
                       "text"},
        {"1 / age", "row 3: the expression '1 / age' gives no finite number"},
        {"log(age)", "row 2: the expression 'log(age)' gives no finite number"},
    };
    qn_cleanup(qn_frame_free) qn_frame *frame = table();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qn_cleanup(qn_expr_free) qn_expr *expr = NULL;
        qn_error err = {0};
        double x[3];
        assert_int_equal(qn_expr_compile(cases[i][0], names, 4, &expr, &err), QN_OK);
        assert_int_equal(qn_expr_eval(expr, frame, NULL, 3, NULL, 0, x, 1, &err), QN_ERR_DATA);
        assert_string_equal(err.message, cases[i][1]);
    }
}

static void bounds_hold(void **state) {
    char text[QN_LIMIT_EXPR_BYTES + 2];
    qn_cleanup(qn_expr_free) qn_expr *expr = NULL;
    qn_error err = {0};
    memset(text, ' ', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(qn_expr_compile(text, names, 4, &expr, &err), QN_ERR_LIMIT);
    memset(text, '(', 1000);
    text[1000] = '\0';
    assert_int_equal(qn_expr_compile(text, names, 4, &expr, &err), QN_ERR_LIMIT);
    /* The deepest one allowed, and the fullest stack: each level holds a comparison, a sum and a
     * product. */
    char *at = text;
    for (int i = 0; i < QN_LIMIT_EXPR_DEPTH - 1; i++)
        at += sprintf(at, "min(1,0<1+1*(");
    at += sprintf(at, "1");
    for (int i = 0; i < QN_LIMIT_EXPR_DEPTH - 1; i++)
        at += sprintf(at, "))");
    assert_int_equal(qn_expr_compile(text, names, 4, &expr, &err), QN_ERR_LIMIT);
    at = text;
    for (int i = 0; i < QN_LIMIT_EXPR_DEPTH / 2 - 1; i++)
        at += sprintf(at, "min(1,0<1+1*(");
    at += sprintf(at, "1");
    for (int i = 0; i < QN_LIMIT_EXPR_DEPTH / 2 - 1; i++)
        at += sprintf(at, "))");
    assert_float_equal(value_of(text, 0), 1, 0);
}

/* Anything at all compiles or is refused; nothing else happens. */
static void survives_noise(void **state) {
    static const char *const pieces[] = {"Amount", "age", "1",  "(",   ")",     "+",  "-",
                                         "*",      "/",   ",",  "if(", "min(",  "==", "<",
                                         "'x",     "'y'", "\"", "\"",  "log1p", "!=", "."};
    qn_rng rng;
    qn_rng_init(&rng, 7);
    qn_cleanup(qn_frame_free) qn_frame *frame = table();
    for (int round = 0; round < 3000; round++) {
        char text[400] = "";
        for (uint64_t k = qn_rng_below(&rng, 20); k > 0; k--)
            strcat(text, pieces[qn_rng_below(&rng, sizeof pieces / sizeof *pieces)]);
        qn_cleanup(qn_expr_free) qn_expr *expr = NULL;
        qn_error err = {0};
        double x[3];
        if (qn_expr_compile(text, names, 4, &expr, &err) == QN_OK)
            (void)!qn_expr_eval(expr, frame, NULL, 3, NULL, 0, x, 1, &err);
    }
}

static void extras_come_first(void **state) {
    static const char *const more[] = {"age", "prediction"};
    qn_cleanup(qn_frame_free) qn_frame *frame = table();
    qn_cleanup(qn_expr_free) qn_expr *expr = NULL;
    double prediction[] = {7, 8}, x[4] = {0};
    qn_expr_extra extra = {"prediction", prediction};
    assert_int_equal(qn_expr_compile("prediction + age", more, 2, &expr, NULL), QN_OK);
    assert_string_equal(qn_expr_name(expr, 0), "prediction");
    assert_string_equal(qn_expr_name(expr, 1), "age");
    assert_null(qn_expr_name(expr, 2));
    assert_int_equal(qn_expr_eval(expr, frame, (int64_t[]){1, 0}, 2, &extra, 1, x, 2, NULL), QN_OK);
    assert_float_equal(x[0], 3, 0);
    assert_float_equal(x[2], 38, 0);
    assert_int_equal(qn_expr_eval(expr, frame, NULL, 2, NULL, 0, x, 1, NULL), QN_ERR_NOT_FOUND);
}

static qn_status compile_and_run(void *user, qn_error *err) {
    qn_cleanup(qn_expr_free) qn_expr *expr = NULL;
    double x[2];
    QN_TRY(qn_expr_compile("if(country == 'FR', \"unit price\" + Amount * 2 - 1, min(1, age))",
                           names, 4, &expr, err));
    return qn_expr_eval(expr, user, NULL, 2, NULL, 0, x, 1, err);
}

static void runs_out_of_memory_cleanly(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = table();
    with_failing_memory(compile_and_run, frame);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computes),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(bad_rows_are_named),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(survives_noise),
        cmocka_unit_test(extras_come_first),
        cmocka_unit_test(runs_out_of_memory_cleanly),
    };
    return cmocka_run_group_tests_name("expr", tests, NULL, NULL);
}
