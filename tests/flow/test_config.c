/* quern.yaml: values, defaults, messages, overrides, the documents made from its table, `quern
 * new`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/yaml.h"
#include "flow/config.h"
#include "flow/config_new.h"

#define LEAST "task: {target: y}\ndata: {source: rows.csv}\n"

static qn_config *parse(const char *text) {
    qn_config *config = NULL;
    qn_error err = {0};
    qn_status status = qn_config_parse(text, strlen(text), "box/quern.yaml", &config, &err);
    if (status != QN_OK)
        fail_msg("%s", err.message);
    return config;
}

static void least_config_has_defaults(void **state) {
    qn_cleanup(qn_config_free) qn_config *c = parse(LEAST);
    assert_string_equal(c->folder, "box");
    assert_string_equal(c->task.target, "y");
    assert_null(c->task.kind);
    assert_null(c->features);
    assert_false(c->value.given);
    assert_true(c->split.test == 0.2 && c->split.validate == 0.1);
    assert_int_equal(c->split.seed, 42);
    assert_int_equal(c->data.header, -1);
    assert_int_equal(c->train.n_families, 2);
    assert_string_equal(c->train.families[1].name, "linear");
    assert_string_equal(c->train.calibrate, "auto");
    assert_string_equal(c->registry.alias, "champion");
    assert_string_equal(c->registry.name, c->project);
    assert_string_equal(c->registry.when, "better");
    assert_true(c->evaluate.slices);
    assert_string_equal(qn_config_split_method(c, QN_TASK_BINARY), "stratified");
    assert_string_equal(qn_config_split_method(c, QN_TASK_REGRESSION), "random");
}

static const char full[] =
    "project: fraud\nseed: 7\n"
    "task: {target: Class, kind: binary, positive: 1}\n"
    "data:\n  source: data/creditcard.csv.gz\n  query: SELECT * FROM source WHERE Amount > 0\n  "
    "time: Time\n"
    "  drop: [id, \"two words\"]\n  missing: [-999, none]\n  delimiter: tab\n  header: false\n"
    "  types: {zip: category, n: integer}\n"
    "sample: {negatives: 0.1, seed: 1, rows: 1000, weight: w}\n"
    "split: {method: time, test: 0.25, validate: 0.1, folds: 5}\n"
    "features:\n  - columns: [age, fnlwgt]\n    transforms: [{impute: median, indicator: true}, "
    "standard]\n"
    "value: {currency: EUR, true_positive: Amount - 5, false_positive: -5, false_negative: "
    "-Amount}\n"
    "train:\n  families:\n    gbdt: {num_leaves: 63, learning_rate: 0.1, objective: auto,\n      "
    "monotone_constraints: {age: 1}, interaction_constraints: [[age, b], [c]]}\n    "
    "linear:\n"
    "  metric: value\n  budget: 1m30s\n  limits: {memory: 4GB, model_bytes: 20MB, row_us: 50}\n"
    "register: {name: fraud, alias: best, when: always}\n";

static void full_config_is_read(void **state) {
    qn_cleanup(qn_config_free) qn_config *c = parse(full);
    assert_string_equal(c->task.kind, "binary");
    assert_string_equal(c->task.positive, "1");
    assert_int_equal(c->data.drop.n, 2);
    assert_string_equal(c->data.drop.items[1], "two words");
    assert_string_equal(c->data.missing.items[0], "-999");
    assert_string_equal(c->data.delimiter, "\t");
    assert_int_equal(c->data.header, 0);
    assert_int_equal(c->data.types.n_columns, 2);
    assert_int_equal(c->data.types.columns[0].type, QN_TYPE_CATEGORY);
    assert_int_equal(c->sample.seed, 1);
    assert_int_equal(c->split.seed, 7);
    assert_string_equal(c->value.false_positive, "-5");
    assert_string_equal(c->value.true_negative, "0");
    assert_int_equal(c->train.n_families, 2);
    assert_int_equal(json_integer_value(json_object_get(c->train.families[0].params, "num_leaves")),
                     63);
    qn_cleanup(qn_json_free) json_t *groups = json_pack("[[ss][s]]", "age", "b", "c");
    assert_true(json_equal(
        json_object_get(c->train.families[0].params, "interaction_constraints"), groups));
    assert_true(c->train.budget_s == 90);
    assert_int_equal(c->train.limits.memory_bytes, 4000000000);
    assert_int_equal(json_array_size(c->features), 1);
    assert_string_equal(qn_config_split_method(c, QN_TASK_BINARY), "time");
    qn_cleanup(qn_json_free) json_t *json = qn_config_to_json(c);
    assert_true(json_is_null(json_object_get(json_object_get(json, "split"), "group")));
    json_t *limits = json_object_get(json_object_get(json, "train"), "limits");
    assert_int_equal(json_integer_value(json_object_get(limits, "model_bytes")), 20000000);
}

static void messages_say_what_and_where(void **state) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {LEAST "split:\n  vaildate: 0.1\n",
         "quern.yaml line 4: unknown key 'vaildate' under split: did you mean 'validate'?"},
        {LEAST "splt: {}\n", "quern.yaml line 3: unknown key 'splt': did you mean 'split'?"},
        {LEAST "positive: 1\n", "quern.yaml line 3: unknown key 'positive': it belongs under task"},
        {LEAST "split.test: 0.1\n", "quern.yaml line 3: unknown key 'split.test'"},
        {LEAST "split: {test: 1.5}\n",
         "quern.yaml line 3: split.test must be a number from 0 to 0.9, not '1.5'"},
        {LEAST "split: {folds: 2.5}\n",
         "quern.yaml line 3: split.folds must be a whole number from 0 to 100, not '2.5'"},
        {LEAST "split: {method: tmie}\n",
         "quern.yaml line 3: split.method must be one of auto, random, stratified, time, group, "
         "not 'tmie': did you mean 'time'?"},
        {LEAST "split: {method: time}\n",
         "quern.yaml line 3: split.method: a split by time needs data.time"},
        {LEAST "split: {method: group}\n",
         "quern.yaml line 3: split.method: a split by group needs split.group"},
        {LEAST "split: {test: 0.6, validate: 0.5}\n",
         "quern.yaml line 3: split.validate: test and validate take 1.1 of the rows"},
        {LEAST "split: {test: 0}\n", "quern.yaml line 3: split.test: no rows are left to judge"},
        {LEAST "split: 3\n", "quern.yaml line 3: split must be a map of keys"},
        {LEAST "seed: [1]\n", "quern.yaml line 3: seed must be a plain value"},
        {LEAST "seed: -1\n", "quern.yaml line 3: seed must be a whole number from 0"},
        {LEAST "seed: 1\nseed: 2\n",
         "quern.yaml line 4: the key 'seed' was given on line 3 already"},
        {LEAST "train: {budget: soon}\n", "quern.yaml line 3: train.budget must be a time"},
        {LEAST "train: {limits: {memory: much}}\n",
         "quern.yaml line 3: train.limits.memory must be a size"},
        {LEAST "train: {families: []}\n",
         "quern.yaml line 3: train.families must be a list of names"},
        {LEAST "train: {families: [gbdt, gbdt]}\n",
         "quern.yaml line 3: train.families: 'gbdt' is named twice"},
        {LEAST "train: {families: {gbdt: [1]}}\n",
         "quern.yaml line 3: train.families: the parameters of gbdt must be a map"},
        {LEAST "train: {metric: value}\n",
         "quern.yaml line 3: train.metric: value needs the section"},
        {LEAST "value: {currency: EUR}\n",
         "quern.yaml line 3: value.currency: say what the outcomes are worth"},
        {LEAST "features: scaled\n", "quern.yaml line 3: features must be auto, or a list"},
        {LEAST "register: {name: 'a@b'}\n",
         "quern.yaml line 3: register.name: 'a@b' must not contain"},
        {LEAST "evaluate: {slices: maybe}\n",
         "quern.yaml line 3: evaluate.slices must be true or false, not 'maybe'"},
        {"task: {target: y}\ndata: {source: r, types: {a: txt}}\n",
         "quern.yaml line 2: data.types: 'txt' is not a type"},
        {"task: {target: y}\ndata: {source: r, drop: [y]}\n",
         "quern.yaml line 2: data.drop: 'y' is the target"},
        {"task: {target: y}\ndata: {source: r, test: s}\nsplit: {test: 0.1}",
         "quern.yaml line 3: split.test: data.test names a test file already"},
        {"task: {target: y, kind: regression, positive: 1}\ndata: {source: r}\n",
         "quern.yaml line 1: task.positive: only a binary task"},
        {"task: {target: y, kind: regression}\ndata: {source: r}\ntrain: {calibrate: platt}",
         "quern.yaml line 3: train.calibrate: only probabilities"},
        {"task: {target: y, kind: multiclass}\ndata: {source: r}\nvalue: {true_positive: 1}",
         "quern.yaml line 3: value.true_positive: values of outcomes need a binary task"},
        {"task: {target: y}\n", "quern.yaml: data.source is missing"},
        {"", "quern.yaml: task.target is missing"},
        {"- a\n", "quern.yaml line 1: a config is a map of keys"},
        {"a: [1\n", "quern.yaml line 2: not valid YAML"},
        {"a: &x 1\nb: *x\n", "quern.yaml line 1: anchors"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_config *config = NULL;
        qn_error err = {0};
        qn_status status = qn_config_parse(cases[i].text, strlen(cases[i].text), "quern.yaml",
                                           &config, &err);
        if (status != QN_ERR_CONFIG ||
            strncmp(err.message, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("case %zu: status %d, message '%s', expected '%s'", i, status, err.message,
                     cases[i].message);
        assert_null(config);
    }
}

static void overrides_are_checked(void **state) {
    qn_cleanup(qn_config_free) qn_config *c = parse(LEAST);
    qn_error err = {0};
    assert_int_equal(qn_config_set(c, "seed", "9", &err), QN_OK);
    assert_int_equal(c->split.seed, 9);
    assert_int_equal(qn_config_set(c, "train.families", "linear, gbdt", &err), QN_OK);
    assert_int_equal(c->train.n_families, 2);
    assert_string_equal(c->train.families[0].name, "linear");
    assert_int_equal(qn_config_set(c, "sed", "9", &err), QN_ERR_USAGE);
    assert_non_null(strstr(err.message, "did you mean 'seed'?"));
    assert_int_equal(qn_config_set(c, "split.test", "2", &err), QN_ERR_CONFIG);
    assert_int_equal(qn_config_set(c, "data.types", "x", &err), QN_ERR_USAGE);
}

/* The default config as JSON, read back as YAML (JSON is YAML), gives the same config. */
static void resolved_json_reads_back(void **state) {
    qn_cleanup(qn_config_free) qn_config *c = parse(full);
    qn_cleanup(qn_json_free) json_t *json = qn_config_to_json(c);
    qn_cleanup(qn_freep) char *text = qn_json_text(json, QN_JSON_COMPACT);
    qn_cleanup(qn_config_free) qn_config *again = parse(text);
    qn_cleanup(qn_json_free) json_t *second = qn_config_to_json(again);
    assert_true(json_equal(json, second));
}

static void documents_come_from_the_table(void **state) {
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_config_reference(&out);
    assert_int_equal(out.status, QN_OK);
    assert_non_null(strstr(out.data, "## train.limits"));
    assert_non_null(strstr(out.data, "| `validate` | number from 0 to 0.9 | 0.1 |"));
    qn_cleanup(qn_json_free) json_t *schema = qn_config_schema();
    json_t *split = json_object_get(json_object_get(schema, "properties"), "split");
    assert_true(json_is_false(json_object_get(split, "additionalProperties")));
    json_t *test = json_object_get(json_object_get(split, "properties"), "test");
    assert_true(json_number_value(json_object_get(test, "maximum")) == 0.9);
}

static void new_config_is_accepted(void **state) {
    static const char *const names[] = {"id", "age: \"x\"", "y", "no", "when"};
    static const qn_type types[] = {QN_TYPE_I64, QN_TYPE_F64, QN_TYPE_CATEGORY, QN_TYPE_CATEGORY,
                                    QN_TYPE_TIME};
    static const qn_config_suspect suspects[] = {
        {"age: \"x\"", "alone it predicts\nthe target", false},
        {"id", "a different value in every row", true}};
    qn_config_facts facts = {.project = "churn",
                             .source = "../a b, #1.csv",
                             .target = "no",
                             .kind = QN_TASK_BINARY,
                             .positive = "1",
                             .positive_share = 0.24,
                             .n_rows = 12345,
                             .names = names,
                             .types = types,
                             .n_columns = 5,
                             .time = "when",
                             .suspects = suspects,
                             .n_suspects = 2};
    for (int kind = 0; kind < 3; kind++) {
        facts.kind = (qn_task)kind;
        qn_cleanup(qn_buf_done) qn_buf out = {0};
        qn_error err = {0};
        assert_int_equal(qn_config_new_text(&facts, &out, &err), QN_OK);
        if (kind == 0 && getenv("QN_TEST_SHOW"))
            fprintf(stderr, "%s", out.data);
        qn_cleanup(qn_config_free) qn_config *c = parse(out.data);
        assert_string_equal(c->task.target, "no");
        assert_string_equal(c->data.source, "../a b, #1.csv");
        assert_int_equal(c->data.drop.n, 1);
        assert_string_equal(c->data.drop.items[0], "id");
        assert_null(c->data.time);
    }
    qn_error err = {0};
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    facts.project = "a:b";
    assert_int_equal(qn_config_new_text(&facts, &out, &err), QN_ERR_USAGE);
}

static void short_memory_is_survived(void **state) {
    for (int64_t i = 0;; i++) {
        qn_config *config = NULL;
        qn_error err = {0};
        qn_mem_fail_after(i);
        qn_status status = qn_config_parse(full, strlen(full), "quern.yaml", &config, &err);
        qn_mem_fail_after(-1);
        if (status == QN_OK) {
            qn_config_free(&config);
            break;
        }
        assert_int_equal(status, QN_ERR_MEMORY);
        assert_null(config);
    }
}

/* Cut anywhere and with any byte spoilt, the file is read or refused, nothing else. */
static void damaged_text_is_survived(void **state) {
    char text[sizeof full];
    for (size_t i = 0; i < sizeof full - 1; i++) {
        qn_config *config = NULL;
        qn_error err = {0};
        qn_status status = qn_config_parse(full, i, "quern.yaml", &config, &err);
        assert_true(status == QN_OK || err.message[0]);
        qn_config_free(&config);
        static const char spoilt[] = "\0\xff:{[\"&*!\n-";
        memcpy(text, full, sizeof text);
        text[i] = spoilt[i % (sizeof spoilt - 1)];
        status = qn_config_parse(text, sizeof full - 1, "quern.yaml", &config, &err);
        assert_true(status == QN_OK || err.message[0]);
        qn_config_free(&config);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least_config_has_defaults),
        cmocka_unit_test(full_config_is_read),
        cmocka_unit_test(messages_say_what_and_where),
        cmocka_unit_test(overrides_are_checked),
        cmocka_unit_test(resolved_json_reads_back),
        cmocka_unit_test(documents_come_from_the_table),
        cmocka_unit_test(new_config_is_accepted),
        cmocka_unit_test(short_memory_is_survived),
        cmocka_unit_test(damaged_text_is_survived),
    };
    return cmocka_run_group_tests_name("flow/config", tests, NULL, NULL);
}
