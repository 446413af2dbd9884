/* Frames in memory: dictionaries, builders, taking rows, digests, times, targets. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "data/frame.h"
#include "data/target.h"

static void dict_numbers_texts(void **state) {
    qn_cleanup(qn_dict_free) qn_dict *dict = qn_dict_new();
    for (int i = 0; i < 5000; i++) {
        char text[16];
        int n = snprintf(text, sizeof text, "t%d", i);
        assert_int_equal(qn_dict_add(dict, text, (size_t)n), i);
        assert_int_equal(qn_dict_add(dict, text, (size_t)n), i);
    }
    size_t n = 0;
    assert_int_equal(qn_dict_add(dict, "", 0), 5000);
    assert_string_equal(qn_dict_text(dict, 4999, &n), "t4999");
    assert_int_equal(n, 5);
    assert_int_equal(qn_dict_find(dict, "t77", 3), 77);
    assert_int_equal(qn_dict_find(dict, "nope", 4), -1);
    assert_int_equal(qn_dict_find(dict, "", 0), 5000);
    assert_null(qn_dict_text(dict, 5001, &n));
    assert_int_equal(qn_dict_size(dict), 5001);
}

static void type_names_go_round(void **state) {
    for (qn_type type = QN_TYPE_BOOL; type <= QN_TYPE_TIME; type++) {
        qn_type back;
        assert_true(qn_type_from_name(qn_type_name(type), &back));
        assert_int_equal(back, type);
    }
    qn_type type;
    assert_false(qn_type_from_name("colour", &type));
}

/* Six columns, one per type; three rows, the middle one missing. `swap` adds categories in another
 * order. */
static qn_status build(bool swap, qn_frame **ret_frame, qn_error *err) {
    qn_cleanup(qn_frame_builder_free) qn_frame_builder *b = NULL;
    QN_TRY(qn_frame_builder_new(&b, err));
    static const char *const names[] = {"b", "i", "f", "c", "t", "w"};
    for (int j = 0; j < 6; j++)
        QN_TRY(qn_frame_builder_add_column(b, names[j], (qn_type)j, err));
    static const char *const first[] = {"true", "-7", "0.5", "red", "free text", "2020-02-29"};
    static const char *const last[] = {"0", "9007199254740993",      "inf", "blue",
                                       "",  "1969-12-31T23:59:59.5Z"};
    for (int j = 0; j < 6; j++) {
        QN_TRY(qn_frame_builder_text(b, j, first[j], strlen(first[j]), err));
        QN_TRY(qn_frame_builder_null(b, j, err));
        QN_TRY(qn_frame_builder_text(b, j, last[j], strlen(last[j]), err));
    }
    QN_TRY(qn_frame_builder_finish(b, ret_frame, err));
    if (swap) {
        qn_cleanup(qn_frame_free) qn_frame *whole = *ret_frame;
        *ret_frame = NULL;
        const int64_t back[] = {2, 1, 0};
        qn_cleanup(qn_frame_free) qn_frame *reversed = NULL;
        QN_TRY(qn_frame_take(whole, back, 3, &reversed, err));
        return qn_frame_take(reversed, back, 3, ret_frame, err);
    }
    return QN_OK;
}

static void builder_holds_every_type(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    assert_int_equal(build(false, &frame, NULL), QN_OK);
    static const char *const wanted =
        "true|-7|0.5|red|free text|2020-02-29T00:00:00|"
        "||||||"
        "false|9007199254740993|Infinity|blue||1969-12-31T23:59:59.500000|";
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    for (int64_t i = 0; i < 3; i++)
        for (int32_t j = 0; j < 6; j++) {
            qn_column_format(&frame->columns[j], i, &text);
            qn_buf_put_char(&text, '|');
        }
    assert_string_equal(qn_buf_text(&text), wanted);
    assert_int_equal(frame->columns[0].n_null, 1);
    assert_true(isnan(qn_column_number(&frame->columns[2], 1)));
    assert_int_equal(frame->columns[3].code[1], -1);
    assert_int_equal(frame->columns[5].time_us[2], -500000);
    assert_true(qn_frame_bytes(frame) > 100);
}

static void digest_forgets_dictionary_order(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *a = NULL;
    qn_cleanup(qn_frame_free) qn_frame *b = NULL;
    char x[QN_DIGEST_TEXT], y[QN_DIGEST_TEXT];
    assert_int_equal(build(false, &a, NULL), QN_OK);
    assert_int_equal(build(true, &b, NULL), QN_OK);
    assert_int_equal(qn_frame_digest(a, x, NULL), QN_OK);
    assert_int_equal(qn_frame_digest(b, y, NULL), QN_OK);
    assert_string_equal(x, y);
    b->columns[0].b[0] = 0;
    assert_int_equal(qn_frame_digest(b, y, NULL), QN_OK);
    assert_string_not_equal(x, y);
}

static void builder_refuses_what_does_not_fit(void **state) {
    static const struct {
        qn_type type;
        const char *text, *message;
    } cases[] = {
        {QN_TYPE_F64, "abc", "row 1, column x: 'abc' is not a number"},
        {QN_TYPE_I64, "1.5", "row 1, column x: '1.5' is not a whole number"},
        {QN_TYPE_BOOL, "perhaps",
         "row 1, column x: 'perhaps' is not a truth value (true or false)"},
        {QN_TYPE_TIME, "2021-02-29",
         "row 1, column x: '2021-02-29' is not a time (2020-01-31 or 2020-01-31T12:30:00)"},
        {QN_TYPE_TEXT, "\xff", "row 1, column x: the text is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_cleanup(qn_frame_builder_free) qn_frame_builder *b = NULL;
        qn_error err = {0};
        assert_int_equal(qn_frame_builder_new(&b, &err), QN_OK);
        assert_int_equal(qn_frame_builder_add_column(b, "x", cases[i].type, &err), QN_OK);
        assert_int_equal(qn_frame_builder_text(b, 0, cases[i].text, strlen(cases[i].text), &err),
                         QN_ERR_DATA);
        assert_non_null(strstr(err.message, cases[i].message));
        assert_int_equal(qn_frame_builder_add_column(b, "x", QN_TYPE_I64, &err), QN_ERR_DATA);
        assert_int_equal(qn_frame_builder_null(b, 3, &err), QN_ERR_USAGE);
    }
}

static void take_and_get_check_their_input(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL, *taken = NULL;
    qn_error err = {0};
    const qn_column *column = NULL;
    assert_int_equal(build(false, &frame, NULL), QN_OK);
    assert_int_equal(qn_frame_take(frame, (int64_t[]){0, 3}, 2, &taken, &err), QN_ERR_USAGE);
    assert_int_equal(qn_frame_get(frame, "zzz", &column, &err), QN_ERR_NOT_FOUND);
    assert_int_equal(qn_frame_get(frame, "w", &column, &err), QN_OK);
    assert_int_equal(qn_frame_find(frame, "nope"), -1);
    assert_int_equal(qn_frame_take(frame, (int64_t[]){2, 2, 0}, 3, &taken, &err), QN_OK);
    assert_int_equal(taken->columns[1].i64[1], 9007199254740993);
    assert_null(taken->columns[1].valid);
    qn_frame_free(&taken);
    assert_int_equal(qn_frame_take(frame, NULL, 0, &taken, &err), QN_OK);
    assert_int_equal(taken->n_rows, 0);
}

static void memory_runs_out_cleanly(void **state) {
    for (int64_t i = 0;; i++) {
        qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
        qn_error err = {0};
        qn_mem_fail_after(i);
        const qn_status status = build(true, &frame, &err);
        qn_mem_fail_after(-1);
        if (status == QN_OK)
            break;
        assert_int_equal(status, QN_ERR_MEMORY);
        assert_null(frame);
    }
}

static qn_frame *column_of(qn_type type, const char *const *texts, int n) {
    qn_frame_builder *b = NULL;
    qn_frame *frame = NULL;
    assert_int_equal(qn_frame_builder_new(&b, NULL), QN_OK);
    assert_int_equal(qn_frame_builder_add_column(b, "y", type, NULL), QN_OK);
    for (int i = 0; i < n; i++)
        assert_int_equal(texts[i] ? qn_frame_builder_text(b, 0, texts[i], strlen(texts[i]), NULL)
                                  : qn_frame_builder_null(b, 0, NULL),
                         QN_OK);
    assert_int_equal(qn_frame_builder_finish(b, &frame, NULL), QN_OK);
    qn_frame_builder_free(&b);
    return frame;
}

static void target_binary(void **state) {
    const char *const texts[] = {"stay", "churn", NULL, "stay"};
    qn_cleanup(qn_frame_free) qn_frame *frame = column_of(QN_TYPE_CATEGORY, texts, 4);
    qn_cleanup(qn_target_info_done) qn_target_info info = {0};
    qn_cleanup(qn_freep) double *y = NULL;
    qn_error err = {0};
    assert_int_equal(qn_target_infer(frame, &(qn_target_options){.column = "y"}, &info, &err),
                     QN_OK);
    assert_int_equal(info.task, QN_TASK_BINARY);
    assert_string_equal(info.classes[1], "churn"); /* the rarer */
    assert_int_equal(qn_target_values(frame, &info, &y, &err), QN_OK);
    assert_true(y[0] == 0 && y[1] == 1 && isnan(y[2]) && y[3] == 0);
    qn_target_info_done(&info);
    const qn_target_options stated = {.column = "y", .positive = "stay"};
    assert_int_equal(qn_target_infer(frame, &stated, &info, &err), QN_OK);
    assert_string_equal(info.classes[1], "stay");
    const char *const other[] = {"maybe"};
    qn_cleanup(qn_frame_free) qn_frame *strange = column_of(QN_TYPE_TEXT, other, 1);
    qn_cleanup(qn_freep) double *none = NULL;
    assert_int_equal(qn_target_values(strange, &info, &none, &err), QN_ERR_DATA);
    assert_string_equal(err.message, "row 1, column y: 'maybe' is none of the target's classes");
}

static void target_kinds(void **state) {
    const char *const ten[] = {"10", "9", "2", "9", "10", "2", "2", "2", "2", "2", "9",
                               "9",  "9", "9", "9", "2",  "2", "2", "2", "2", "2", "2",
                               "2",  "2", "2", "9", "9",  "9", "9", "9", "2", "9"};
    qn_cleanup(qn_target_info_done) qn_target_info info = {0};
    qn_cleanup(qn_frame_free) qn_frame *many = column_of(QN_TYPE_I64, ten, 32);
    assert_int_equal(qn_target_infer(many, &(qn_target_options){.column = "y"}, &info, NULL),
                     QN_OK);
    assert_int_equal(info.task, QN_TASK_MULTICLASS);
    assert_string_equal(info.classes[2], "10"); /* by number, not by bytes */
    qn_target_info_done(&info);
    const char *const real[] = {"1.5", "2.5", "3.25"};
    qn_cleanup(qn_frame_free) qn_frame *prices = column_of(QN_TYPE_F64, real, 3);
    assert_int_equal(qn_target_infer(prices, &(qn_target_options){.column = "y"}, &info, NULL),
                     QN_OK);
    assert_int_equal(info.task, QN_TASK_REGRESSION);
    assert_int_equal(info.n_classes, 0);
    qn_cleanup(qn_frame_free) qn_frame *texts = column_of(QN_TYPE_TEXT, real, 3);
    qn_cleanup(qn_freep) double *y = NULL;
    assert_int_equal(qn_target_values(texts, &info, &y, NULL), QN_OK);
    assert_true(y[2] == 3.25);
}

static void target_refusals(void **state) {
    const char *const one[] = {"a", "a"}, *const none[] = {NULL, NULL},
                      *const words[] = {"1", "2", "x"};
    qn_cleanup(qn_frame_free) qn_frame *same = column_of(QN_TYPE_CATEGORY, one, 2);
    qn_cleanup(qn_frame_free) qn_frame *empty = column_of(QN_TYPE_CATEGORY, none, 2);
    qn_cleanup(qn_frame_free) qn_frame *mixed = column_of(QN_TYPE_CATEGORY, words, 3);
    qn_target_info info = {0};
    qn_error err = {0};
    assert_int_equal(qn_target_infer(same, &(qn_target_options){.column = "y"}, &info, &err),
                     QN_ERR_DATA);
    assert_non_null(strstr(err.message, "only one value, 'a'"));
    assert_int_equal(qn_target_infer(empty, &(qn_target_options){.column = "y"}, &info, &err),
                     QN_ERR_DATA);
    assert_non_null(strstr(err.message, "missing"));
    assert_int_equal(qn_target_infer(same, &(qn_target_options){.column = "z"}, &info, &err),
                     QN_ERR_CONFIG);
    const qn_target_options number = {.column = "y", .kind = "regression"};
    assert_int_equal(qn_target_infer(mixed, &number, &info, &err), QN_ERR_DATA);
    assert_int_equal(err.row, 3);
    const qn_target_options two = {.column = "y", .kind = "binary"};
    assert_int_equal(qn_target_infer(mixed, &two, &info, &err), QN_ERR_DATA);
    const qn_target_options odd = {.column = "y", .kind = "guess"};
    assert_int_equal(qn_target_infer(mixed, &odd, &info, &err), QN_ERR_CONFIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dict_numbers_texts),
        cmocka_unit_test(type_names_go_round),
        cmocka_unit_test(builder_holds_every_type),
        cmocka_unit_test(digest_forgets_dictionary_order),
        cmocka_unit_test(builder_refuses_what_does_not_fit),
        cmocka_unit_test(take_and_get_check_their_input),
        cmocka_unit_test(memory_runs_out_cleanly),
        cmocka_unit_test(target_binary),
        cmocka_unit_test(target_kinds),
        cmocka_unit_test(target_refusals),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
