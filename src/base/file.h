/* file.h - files that survive kill -9: whole files are written to a temporary name in the same
 * folder, synced, and renamed into place; the folder is synced too. */
#ifndef QN_BASE_FILE_H
#define QN_BASE_FILE_H

#include "base/error.h"

/* Writes n bytes to `path` atomically. On failure nothing is left behind. */
qn_status qn_file_write(const char *path, const void *bytes, size_t n, qn_error *err) QN_MUST_USE;
/* Reads a whole file of at most max_bytes; *ret_bytes is NUL-terminated, owned by the caller. */
qn_status qn_file_read(const char *path, size_t max_bytes, char **ret_bytes, size_t *ret_n,
                       qn_error *err) QN_MUST_USE;
bool qn_file_exists(const char *path);
bool qn_folder_exists(const char *path);
qn_status qn_file_size(const char *path, int64_t *ret_bytes, qn_error *err) QN_MUST_USE;
/* mkdir -p. */
qn_status qn_folder_make(const char *path, qn_error *err) QN_MUST_USE;
/* Syncs a finished file and renames it to `to`, then syncs the folder of `to`. */
qn_status qn_file_publish(const char *from, const char *to, qn_error *err) QN_MUST_USE;
/* A name for a temporary file in `folder` that no other process uses; owned by the caller.
 * Leftovers of killed processes begin with ".tmp-" and may be removed when their process is
 * gone. */
char *qn_file_temporary(const char *folder);
/* Removes ".tmp-" leftovers of processes of this machine that no longer run, and of others after a
 * week. */
void qn_folder_sweep(const char *folder);
/* folder + "/" + name; owned by the caller; NULL when memory is short. An absolute name stands
 * alone. */
char *qn_path_join(const char *folder, const char *name);

/* A file mapped read-only. */
typedef struct qn_map {
    const unsigned char *data; /* NULL for an empty file */
    size_t len;
} qn_map;

qn_status qn_map_open(const char *path, size_t max_bytes, qn_map *ret_map, qn_error *err)
    QN_MUST_USE;
void qn_map_done(qn_map *map);

#endif
