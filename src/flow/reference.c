#include "flow/reference.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/workspace.h"

static bool is_file_name(const char *reference) {
    size_t n = strlen(reference);
    return strchr(reference, '/') || (n > 3 && strcmp(reference + n - 3, ".qn") == 0) ||
           qn_file_exists(reference);
}

static qn_status find_object(const char *folder, const char *reference, char **ret_path,
                             qn_error *err) {
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = NULL;
    qn_cleanup(qn_json_free) json_t *entry = NULL;
    const char *hash;
    QN_TRY(qn_workspace_open(folder, false, &workspace, err));
    QN_TRY(qn_registry_get(workspace, reference, &entry, err));
    QN_TRY(qn_json_get_text(entry, "hash", true, &hash, err));
    return qn_object_path(workspace, hash, ret_path, err);
}

qn_status qn_reference_open(const char *folder, const char *reference, qn_model **ret_model,
                            char **ret_path, qn_error *err) {
    qn_cleanup(qn_freep) char *path = NULL;
    if (is_file_name(reference)) {
        path = qn_strdup(reference);
        if (!path)
            return qn_error_memory(err);
    } else {
        QN_TRY(find_object(folder, reference, &path, err));
    }
    QN_TRY(qn_model_open(path, ret_model, err));
    if (ret_path)
        *ret_path = qn_steal(&path);
    return QN_OK;
}
