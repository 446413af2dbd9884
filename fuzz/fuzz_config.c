/* quern.yaml from strangers: parsing, the checks that need a task, overriding keys, and the
 * resolved JSON. */
#include <string.h>

#include "flow/config.h"
#include "fuzz.h"

static void check_json(const qn_config *config) {
    qn_cleanup(qn_json_free) json_t *json = qn_config_to_json(config);
    fuzz_require(json_is_object(json), "a config has a resolved form");
    qn_cleanup(qn_freep) char *text = qn_json_text(json, QN_JSON_PRETTY);
    qn_cleanup(qn_json_free) json_t *again = NULL;
    fuzz_require(text && qn_json_parse(text, strlen(text), "config", &again, NULL) == QN_OK,
                 "the resolved form is JSON");
    fuzz_require(fuzz_same_json(json, again), "the resolved form reads back as it was written");
}

static void check_override(qn_config *config, const uint8_t *data, size_t size) {
    static const char *const keys[] = {
        "seed",       "threads",       "train.budget",  "train.limits.memory",
        "split.test", "task.positive", "register.when", "nonsense"};
    qn_error err = {0};
    qn_cleanup(qn_freep) char *text = fuzz_text(data, size < 20 ? size : 20);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        qn_status status = qn_config_set(config, keys[i], text, &err);
        if (status != QN_OK) { /* the config must not be used any more */
            fuzz_require_told(status, &err);
            return;
        }
    }
    check_json(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const qn_task tasks[] = {QN_TASK_BINARY, QN_TASK_MULTICLASS, QN_TASK_REGRESSION};
    qn_error err = {0};
    qn_cleanup(qn_config_free) qn_config *config = NULL;
    qn_status status = qn_config_parse((const char *)data, size, "here/quern.yaml", &config, &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return 0;
    }
    fuzz_require(config->task.target && config->data.source && config->project,
                 "what must be given is there");
    for (size_t t = 0; t < 3; t++) {
        fuzz_require(qn_config_split_method(config, tasks[t]) != NULL, "rows are split somehow");
        status = qn_config_check_task(config, tasks[t], &err);
        if (status != QN_OK)
            fuzz_require_told(status, &err);
    }
    check_json(config);
    check_override(config, data, size);
    return 0;
}
