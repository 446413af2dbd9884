#include "flow/made.h"

#include "base/mem.h"
#include "model/model.h"
#include "store/workspace.h"

/* What the registry tells of it, from its own manifest. */
static json_t *registry_about(const qn_model *model, size_t n_bytes) {
    const json_t *manifest = qn_model_manifest(model), *about = json_object_get(manifest, "about");
    const qn_learner *learner = qn_model_learner(model);
    json_t *told = json_pack(
        "{s:s, s:O, s:I, s:O*, s:O*, s:O*, s:O*, s:o*}", "family", learner->family->name, "task",
        json_object_get(manifest, "task"), "bytes", (json_int_t)n_bytes, "dataset",
        json_object_get(json_object_get(about, "trained_on"), "dataset"), "metrics",
        json_object_get(about, "metrics"), "compressed", json_object_get(about, "compressed"),
        "refitted", json_object_get(about, "refitted"), "facts",
        learner->family->describe(learner));
    const qn_schema *schema = qn_model_inputs(model);
    json_t *names = json_array();
    for (int32_t i = 0; i < schema->n_columns; i++)
        json_array_append_new(names, json_string(schema->columns[i].name));
    if (!told || json_object_set_new(told, "features", names) != 0)
        qn_json_free(&told);
    return told;
}

qn_status qn_made_register(const char *folder, const char *name, const char *alias,
                           const qn_buf *bytes, int64_t *ret_version, qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = NULL;
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    char hash[QN_DIGEST_TEXT];
    QN_TRY(qn_workspace_open(folder, false, &workspace, err));
    QN_TRY(qn_model_open_bytes(bytes->data, bytes->len, &model, err));
    qn_cleanup(qn_json_free) json_t *about = registry_about(model, bytes->len);
    if (!about)
        return qn_error_memory(err);
    QN_TRY(qn_object_put(workspace, bytes->data, bytes->len, hash, err));
    return qn_registry_add(workspace, name, hash, NULL, about, alias, ret_version, err);
}
