/* The YAML reader: trees with lines, what is refused, bounds, and text that is written and read
 * back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/yaml.h"

static qn_yaml *parse(const char *text) {
    qn_yaml *yaml = NULL;
    qn_error err = {0};
    if (qn_yaml_parse(text, strlen(text), "t.yaml", &yaml, &err) != QN_OK)
        fail_msg("%s", err.message);
    return yaml;
}

static void nodes_know_their_place(void **state) {
    qn_cleanup(qn_yaml_free)
        qn_yaml *yaml = parse("a: 1\nb:\n  - x\n  - 'true'\nc: {d: ~, e: true}\n");
    const qn_yaml_node *root = qn_yaml_root(yaml);
    assert_int_equal(root->kind, QN_YAML_MAP);
    assert_int_equal(root->n_children, 3);
    const qn_yaml_node *b = qn_yaml_get(root, "b"), *c = qn_yaml_get(root, "c");
    assert_int_equal(b->kind, QN_YAML_LIST);
    assert_int_equal(b->child->next->line, 4);
    assert_int_equal(b->child->next->column, 5);
    assert_true(b->child->next->quoted);
    assert_int_equal(c->key_line, 5);
    assert_true(qn_yaml_is_null(qn_yaml_get(c, "d")));
    bool yes = false;
    assert_true(qn_yaml_is_bool(qn_yaml_get(c, "e"), &yes) && yes);
    assert_false(qn_yaml_is_bool(b->child->next, &yes));
    assert_null(qn_yaml_get(root, "z"));
    assert_null(qn_yaml_get(b, "z"));
}

static void scalars_become_json(void **state) {
    qn_cleanup(qn_yaml_free)
        qn_yaml *yaml = parse("[1, -2.5, 1e3, '1', true, no, null, 2020-01-01, \"a\\tb\", 0x10]");
    qn_cleanup(qn_json_free) json_t *json = qn_yaml_to_json(qn_yaml_root(yaml));
    qn_cleanup(qn_freep) char *text = qn_json_text(json, QN_JSON_COMPACT);
    const char *at = strstr(text, "2020");
    assert_non_null(at);
    assert_true(json_is_integer(json_array_get(json, 0)));
    assert_true(json_real_value(json_array_get(json, 1)) == -2.5);
    assert_true(json_is_string(json_array_get(json, 3)));
    assert_true(json_is_true(json_array_get(json, 4)));
    assert_string_equal(json_string_value(json_array_get(json, 5)), "no"); /* YAML 1.2: text */
}

static void refusals(void **state) {
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"a: 1\nb: 2\na: 3\n", "t.yaml line 3: the key 'a' was given on line 1 already"},
        {"a: &x 1\n", "t.yaml line 1: anchors (&x)"},
        {"a: *x\n", "t.yaml line 1: aliases"},
        {"a: !!int 1\n", "t.yaml line 1: tags"},
        {"a: !x {b: 1}\n", "t.yaml line 1: tags"},
        {"? [a]\n: 1\n", "t.yaml line 1: a key must be plain text"},
        {"a: 1\n---\nb: 2\n", "t.yaml line 2: a second document"},
        {"a: \"\\0\"\n", "t.yaml line 1: a value with a NUL"},
        {"a: [1, 2\nb: 3\n", "t.yaml line 2: not valid YAML"},
        {"a:\n\t- 1\n", "t.yaml line 2: not valid YAML"},
        {"a: \xff\n", "t.yaml: not text in UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_yaml *yaml = NULL;
        qn_error err = {0};
        qn_status status = qn_yaml_parse(cases[i].text, strlen(cases[i].text), "t.yaml", &yaml,
                                         &err);
        if (status != QN_ERR_CONFIG ||
            strncmp(err.message, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("case %zu: status %d, '%s'", i, status, err.message);
        assert_null(yaml);
    }
}

static void bounds_hold(void **state) {
    qn_yaml *yaml = NULL;
    qn_error err = {0};
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    for (int i = 0; i < QN_LIMIT_YAML_DEPTH + 1; i++)
        qn_buf_put_char(&text, '[');
    assert_int_equal(qn_yaml_parse(text.data, text.len, "t.yaml", &yaml, &err), QN_ERR_LIMIT);
    qn_buf_clear(&text);
    qn_buf_put_char(&text, '[');
    for (int i = 0; i < QN_LIMIT_YAML_NODES; i++)
        qn_buf_put_text(&text, "1,");
    qn_buf_put_char(&text, ']');
    assert_int_equal(qn_yaml_parse(text.data, text.len, "t.yaml", &yaml, &err), QN_ERR_LIMIT);
    assert_non_null(strstr(err.message, "100000"));
    qn_buf_clear(&text); /* many keys take linear time */
    for (int i = 0; i < QN_LIMIT_YAML_NODES / 2 - 1; i++)
        qn_buf_printf(&text, "k%d: 1\n", i);
    assert_int_equal(qn_yaml_parse(text.data, text.len, "t.yaml", &yaml, &err), QN_OK);
    qn_yaml_free(&yaml);
}

static void empty_is_an_empty_map(void **state) {
    static const char *const texts[] = {"", "# nothing\n", "---\n", "~\n"};
    for (size_t i = 0; i < 4; i++) {
        qn_cleanup(qn_yaml_free) qn_yaml *yaml = parse(texts[i]);
        assert_int_equal(qn_yaml_root(yaml)->kind, QN_YAML_MAP);
        assert_int_equal(qn_yaml_root(yaml)->n_children, 0);
    }
}

static void written_text_reads_back(void **state) {
    static const char *const texts[] = {
        "plain",       "two words", "",     "true",      "No",
        "1e5",         "-x",        "a: b", "a #b",      "#",
        "'",           "\"",        "\\",   "tab\there", "line\nbreak",
        "caf\xc3\xa9", "~",         "null", "a,b",       "[x]",
        "{",           "x ",        " x",   "?",         "data/x.csv.gz",
        "@a",          "%",         "\x7f", "auto",      "2020-01-01"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        qn_cleanup(qn_buf_done) qn_buf out = {0};
        qn_buf_put_text(&out, "k: [");
        qn_yaml_write_text(texts[i], &out);
        qn_buf_put_text(&out, "]\n");
        qn_cleanup(qn_yaml_free) qn_yaml *yaml = parse(out.data);
        qn_cleanup(qn_json_free)
            json_t *json = qn_yaml_to_json(qn_yaml_get(qn_yaml_root(yaml), "k"));
        const char *back = json_string_value(json_array_get(json, 0));
        assert_non_null(back);
        assert_string_equal(back, texts[i]);
    }
}

static void short_memory_is_survived(void **state) {
    static const char text[] = "a: {b: [1, 2], c: 3}\nd: x\n";
    for (int64_t i = 0;; i++) {
        qn_yaml *yaml = NULL;
        qn_mem_fail_after(i);
        qn_status status = qn_yaml_parse(text, strlen(text), "t.yaml", &yaml, NULL);
        qn_mem_fail_after(-1);
        qn_yaml_free(&yaml);
        if (status == QN_OK)
            break;
        assert_int_equal(status, QN_ERR_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_know_their_place), cmocka_unit_test(scalars_become_json),
        cmocka_unit_test(refusals),               cmocka_unit_test(bounds_hold),
        cmocka_unit_test(empty_is_an_empty_map),  cmocka_unit_test(written_text_reads_back),
        cmocka_unit_test(short_memory_is_survived),
    };
    return cmocka_run_group_tests_name("base/yaml", tests, NULL, NULL);
}
