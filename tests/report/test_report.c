/* The page as text: its parts, escaping, absent members, wrong types, numbers for people, memory
 * failures. How it looks in a browser is for test_browser.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "report/html.h"
#include "report/report.h"
#include "report/words.h"

static json_t *read_document(const char *name) {
    const char *folder = getenv("QN_REPORT_DOCUMENTS");
    qn_cleanup(qn_freep)
    char *path = qn_path_join(folder ? folder : "tests/report", name);
    qn_cleanup(qn_freep)
    char *bytes = NULL;
    json_t *document = NULL;
    size_t n = 0;
    assert_int_equal(qn_file_read(path, 1 << 24, &bytes, &n, NULL), QN_OK);
    assert_int_equal(qn_json_parse(bytes, n, name, &document, NULL), QN_OK);
    return document;
}

/* The page up to the scripts, which are not ours to look through. */
static char *write_page(const json_t *document) {
    qn_cleanup(qn_buf_done)
    qn_buf out = {0};
    qn_error err = {0};
    assert_int_equal(qn_report_write(document, &out, &err), QN_OK);
    char *footer = strstr(out.data, "<footer>");
    assert_non_null(footer);
    return qn_strndup(out.data, (size_t)(footer - out.data));
}

static int count_of(const char *text, const char *what) {
    int n = 0;
    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
        n++;
    return n;
}

static void test_empty_document(void **state) {
    qn_cleanup(qn_json_free)
    json_t *document = json_object();
    qn_cleanup(qn_freep)
    char *page = write_page(document);
    assert_non_null(strstr(page, "<h1>Model report</h1>"));
    assert_int_equal(count_of(page, "<figure"), 0);
    assert_non_null(strstr(page, "default-src 'none'"));
    assert_int_equal(count_of(page, "sha256-"), 4);
    assert_null(strstr(page, "unsafe-eval"));
}

static void test_not_an_object(void **state) {
    qn_cleanup(qn_buf_done)
    qn_buf out = {0};
    qn_cleanup(qn_json_free)
    json_t *array = json_array();
    qn_error err = {0};
    assert_int_equal(qn_report_write(array, &out, &err), QN_ERR_FORMAT);
    assert_int_equal(qn_report_write(NULL, &out, &err), QN_ERR_FORMAT);
    assert_int_equal(out.len, 0);
}

static void test_whole_documents(void **state) {
    static const struct {
        const char *name;
        int n_charts;
    } all[] = {{"binary.json", 16}, {"multiclass.json", 8}, {"regression.json", 10}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        qn_cleanup(qn_json_free)
        json_t *document = read_document(all[i].name);
        qn_cleanup(qn_freep)
        char *page = write_page(document);
        assert_int_equal(count_of(page, "<figure"), all[i].n_charts);
        assert_int_equal(count_of(page, "<section"), count_of(page, "</section>"));
        assert_int_equal(count_of(page, "<table>") + count_of(page, "<table class"),
                         count_of(page, "</table>"));
        assert_int_equal(count_of(page, "<dl"), count_of(page, "</dl>"));
        assert_int_equal(count_of(page, "<details>"), count_of(page, "</details>"));
        assert_int_equal(count_of(page, "<div"), count_of(page, "</div>"));
        assert_null(strstr(page, "nan"));
        assert_null(strstr(page, "(null)"));
        assert_null(strstr(page, "https://quern"));
    }
}

static void test_verdict(void **state) {
    qn_cleanup(qn_json_free)
    json_t *document = read_document("binary.json");
    qn_cleanup(qn_freep)
    char *page = write_page(document);
    assert_non_null(strstr(page, "<strong>Gradient-boosted trees</strong> can tell whether "
                                 "<q>churned</q> is <q>yes</q> with ROC AUC"));
    assert_non_null(strstr(page, "better than the best rule without a model (<q>Act on none</q>)"));
    assert_non_null(strstr(page, ">Promoted</span> churn version 3 is now <b>champion</b>"));
}

/* Each member of the document taken away, made null, and given a wrong type: a page all the same.
 */
static void test_absent_members(void **state) {
    qn_cleanup(qn_json_free)
    json_t *whole = read_document("binary.json");
    const char *key;
    json_t *value;
    json_object_foreach(whole, key, value) {
        for (int i = 0; i < 5; i++) {
            qn_cleanup(qn_json_free)
            json_t *document = json_copy(whole);
            json_t *with[] = {json_null(), json_string("text"), json_integer(-7),
                              json_pack("[[[n]], s, {}]", "x"),
                              json_pack("{s:[{s:n}], s:{s:[]}}", "curve", "x", "test", "per_row")};
            for (int k = 0; k < 5; k++)
                if (k == i)
                    assert_int_equal(json_object_set_new(document, key, with[k]), 0);
                else
                    json_decref(with[k]);
            qn_cleanup(qn_freep)
            char *page = write_page(document);
            assert_non_null(page);
        }
    }
}

/* Replaces every text and key in the document: a column may be called anything. */
static json_t *with_texts(const json_t *json, const char *text, int depth) {
    if (json_is_string(json))
        return json_string(text);
    if (json_is_array(json)) {
        json_t *array = json_array();
        for (size_t i = 0; i < json_array_size(json); i++)
            json_array_append_new(array, with_texts(json_array_get(json, i), text, depth + 1));
        return array;
    }
    if (!json_is_object(json))
        return json_deep_copy(json);
    json_t *object = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value) {
        const bool keep =
            !strcmp(key, "kind") || !strcmp(key, "severity") || !strcmp(key, "measure");
        json_object_set_new(object, key,
                            keep ? json_incref(value) : with_texts(value, text, depth + 1));
    }
    json_object_set_new(object, text, json_real(0.5));
    return object;
}

static void test_hostile_texts(void **state) {
    static const char hostile[] =
        "</script></style><img src=x onerror=alert(1)><!--\"'&${x}\x01\xe2\x80\xa8";
    static const char *const names[] = {"binary.json", "multiclass.json", "regression.json"};
    for (size_t i = 0; i < 3; i++) {
        qn_cleanup(qn_json_free)
        json_t *plain = read_document(names[i]);
        qn_cleanup(qn_json_free)
        json_t *document = with_texts(plain, hostile, 0);
        json_object_set(document, "metric", json_object_get(plain, "metric"));
        qn_cleanup(qn_freep)
        char *page = write_page(document);
        assert_null(strstr(page, "<img"));
        assert_null(strstr(page, "</script></style>"));
        assert_null(strstr(page, "<!--"));
        assert_null(strchr(page, '\x01'));
        assert_true(count_of(page, "&lt;img src=x onerror=alert(1)&gt;") > 10);
        assert_true(count_of(page, "\\u003cimg src=x") > 3);
    }
}

static void test_escaping(void **state) {
    qn_cleanup(qn_buf_done)
    qn_buf out = {0};
    qn__html(&out, "<a title=\"%s\">%d%%</a>", "\"><b>&'\n\x1b", 7);
    assert_string_equal(qn_buf_text(&out),
                        "<a title=\"&quot;&gt;&lt;b&gt;&amp;&#39;\n\xef\xbf\xbd\">7%</a>");
    qn_buf_clear(&out);
    const char *volatile nothing = NULL;
    qn__html(&out, "%s|", nothing);
    assert_string_equal(qn_buf_text(&out), "|");
}

static void test_long_label_stays_utf8(void **state) {
    char text[400];
    for (size_t i = 0; i < 199; i++)
        memcpy(text + 2 * i, "\xc3\xa4", 2);
    text[398] = '\0';
    qn_cleanup(qn_json_free)
    json_t *json = json_string(text);
    const qn__label label = qn__doc_label(json);
    assert_true(strlen(label.text) < 160);
    assert_true(qn_text_is_utf8(label.text, strlen(label.text)));
}

static void test_numbers_for_people(void **state) {
    assert_string_equal(qn__count(1234567).text, "1,234,567");
    assert_string_equal(qn__count(999).text, "999");
    assert_string_equal(qn__count(-1000).text, "\xe2\x88\x92"
                                               "1,000");
    assert_string_equal(qn__count(NAN).text, "\xe2\x80\x93");
    assert_string_equal(qn__fixed(-0.0001, 2).text, "0.00");
    assert_string_equal(qn__fixed(1234.5, 1).text, "1,234.5");
    assert_string_equal(qn__fixed(1e300, 2).text, "1e+300");
    assert_string_equal(qn__number(0.123456).text, "0.1235");
    assert_string_equal(qn__number(12.5).text, "12.5");
    assert_string_equal(qn__number(0).text, "0");
    assert_string_equal(qn__percent(0.123).text, "12.3%");
    assert_string_equal(qn__percent(1).text, "100%");
    assert_string_equal(qn__percent(0.00172).text, "0.17%");
    assert_string_equal(qn__money("EUR", 4.314).text, "EUR\xc2\xa0"
                                                      "4.31");
    assert_string_equal(qn__money("EUR", -23456.7).text, "\xe2\x88\x92"
                                                         "EUR\xc2\xa0"
                                                         "23,457");
    assert_string_equal(qn__money(NULL, 0.0123).text, "0.0123");
    assert_string_equal(qn__signed_money(NULL, 2).text, "+2.00");
    assert_string_equal(qn__duration(0.0004).text, "0.4 ms");
    assert_string_equal(qn__duration(3.14159).text, "3.14 s");
    assert_string_equal(qn__duration(200).text, "3 min 20 s");
    assert_string_equal(qn__size(812345).text, "812 kB");
    assert_string_equal(qn__size(420).text, "420 bytes");
    assert_string_equal(qn__metric_phrase("log_loss").text, "log loss");
    assert_string_equal(qn__metric_phrase("roc_auc").text, "ROC AUC");
    assert_string_equal(qn__metric_phrase("own_metric").text, "own_metric");
    assert_int_equal(qn__decimals(0.927, 0.922, 0.931), 3);
    assert_int_equal(qn__decimals(120.4, 80, 160), 0);
    assert_int_equal(qn__decimals(NAN, NAN, NAN), 3);
}

static void test_memory_failures(void **state) {
    qn_cleanup(qn_json_free)
    json_t *document = read_document("multiclass.json");
    for (int64_t i = 0;; i++) {
        qn_cleanup(qn_buf_done)
        qn_buf out = {0};
        qn_mem_fail_after(i);
        const qn_status status = qn_report_write(document, &out, NULL);
        qn_mem_fail_after(-1);
        if (status == QN_OK)
            break;
        assert_int_equal(status, QN_ERR_MEMORY);
        assert_true(i < 10000);
    }
}

static void test_failure_leaves_the_buffer(void **state) {
    qn_cleanup(qn_json_free)
    json_t *document = read_document("binary.json");
    qn_cleanup(qn_buf_done)
    qn_buf out = {.max = 4096};
    qn_buf_put_text(&out, "before");
    assert_int_equal(qn_report_write(document, &out, NULL), QN_ERR_LIMIT);
    assert_string_equal(qn_buf_text(&out), "before");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_document),
        cmocka_unit_test(test_not_an_object),
        cmocka_unit_test(test_whole_documents),
        cmocka_unit_test(test_verdict),
        cmocka_unit_test(test_absent_members),
        cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_escaping),
        cmocka_unit_test(test_long_label_stays_utf8),
        cmocka_unit_test(test_numbers_for_people),
        cmocka_unit_test(test_memory_failures),
        cmocka_unit_test(test_failure_leaves_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
