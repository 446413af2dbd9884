#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "store/store_int.h"

bool qn__hash_is_valid(const char *hash) {
    return hash && strlen(hash) == QN_DIGEST_TEXT - 1 &&
           strspn(hash, "0123456789abcdef") == QN_DIGEST_TEXT - 1;
}

char *qn__object_place(const qn_workspace *workspace, const char *hash) {
    return qn_format("%s/%.2s/%s", workspace->objects, hash, hash);
}

/* A new folder is only there for good once its parent is synced. */
static qn_status make_shelf(const qn_workspace *workspace, const char *hash, qn_error *err) {
    qn_cleanup(qn_freep) char *shelf = qn_format("%s/%.2s", workspace->objects, hash);
    if (!shelf)
        return qn_error_memory(err);
    if (qn_folder_exists(shelf))
        return QN_OK;
    QN_TRY(qn_folder_make(shelf, err));
    int fd = open(workspace->objects, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return qn_error_errno(err, "open", workspace->objects);
    int failed = fsync(fd) != 0 && errno != EINVAL;
    if (failed)
        qn_error_errno(err, "sync", workspace->objects);
    close(fd);
    return failed ? QN_ERR_IO : QN_OK;
}

/* Moves the file in under its hash. What is there already is replaced: the bytes are the same,
 * unless the old file was damaged, and then this mends it. */
static qn_status install(qn_workspace *workspace, const char *path, const char *hash,
                         qn_error *err) {
    qn_cleanup(qn_freep) char *place = qn__object_place(workspace, hash);
    if (!place)
        return qn_error_memory(err);
    QN_TRY(make_shelf(workspace, hash, err));
    if (chmod(path, 0444) != 0)
        return qn_error_errno(err, "change the mode of", path);
    return qn_file_publish(path, place, err);
}

qn_status qn_object_adopt(qn_workspace *workspace, const char *path, char ret_hash[QN_DIGEST_TEXT],
                          qn_error *err) {
    char hash[QN_DIGEST_TEXT];
    QN_TRY(qn_digest_file(path, hash, err));
    QN_TRY(install(workspace, path, hash, err));
    memcpy(ret_hash, hash, sizeof hash);
    return QN_OK;
}

static bool is_stored(const char *place, const char *hash) {
    char found[QN_DIGEST_TEXT];
    return qn_file_exists(place) && qn_digest_file(place, found, NULL) == QN_OK &&
           !strcmp(found, hash);
}

qn_status qn_object_put(qn_workspace *workspace, const void *bytes, size_t n,
                        char ret_hash[QN_DIGEST_TEXT], qn_error *err) {
    char hash[QN_DIGEST_TEXT];
    qn_digest_bytes(bytes, n, hash);
    qn_cleanup(qn_freep) char *place = qn__object_place(workspace, hash);
    if (!place)
        return qn_error_memory(err);
    if (!is_stored(place, hash)) {
        qn_cleanup(qn_freep) char *temporary = qn_file_temporary(workspace->temporary);
        if (!temporary)
            return qn_error_memory(err);
        QN_TRY(qn_folder_make(workspace->temporary, err));
        QN_TRY(qn_file_write(temporary, bytes, n, err));
        qn_status status = install(workspace, temporary, hash, err);
        if (status != QN_OK) {
            unlink(temporary);
            return status;
        }
    }
    memcpy(ret_hash, hash, sizeof hash);
    return QN_OK;
}

qn_status qn_object_path(qn_workspace *workspace, const char *hash, char **ret_path,
                         qn_error *err) {
    QN_FAIL_IF(!qn__hash_is_valid(hash), err, QN_ERR_NOT_FOUND,
               "'%.80s' is not the hash of an object: those have 64 hexadecimal digits",
               hash ? hash : "");
    qn_cleanup(qn_freep) char *place = qn__object_place(workspace, hash);
    if (!place)
        return qn_error_memory(err);
    QN_FAIL_IF(!qn_file_exists(place), err, QN_ERR_NOT_FOUND,
               "object %.12s is not in %s: it was removed, or never stored", hash,
               workspace->objects);
    *ret_path = qn_steal(&place);
    return QN_OK;
}
