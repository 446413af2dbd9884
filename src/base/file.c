#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
}

static qn_status write_all(int fd, const char *path, const char *bytes, size_t n, qn_error *err) {
    while (n > 0) {
        ssize_t wrote = write(fd, bytes, n);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return qn_error_errno(err, "write", path);
        bytes += wrote;
        n -= (size_t)wrote;
    }
    return QN_OK;
}

static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        return qn_strdup(".");
    return slash == path ? qn_strdup("/") : qn_strndup(path, (size_t)(slash - path));
}

static qn_status sync_path(const char *path, qn_error *err) {
    qn_cleanup(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return qn_error_errno(err, "open", path);
    /* EINVAL: the file system cannot sync folders; then there is nothing to do. */
    if (fsync(fd) != 0 && errno != EINVAL)
        return qn_error_errno(err, "sync", path);
    return QN_OK;
}

qn_status qn_file_publish(const char *from, const char *to, qn_error *err) {
    QN_TRY(sync_path(from, err));
    qn_cleanup(qn_freep) char *folder = folder_of(to);
    if (!folder)
        return qn_error_memory(err);
    if (rename(from, to) != 0)
        return qn_error_errno(err, "rename a temporary file to", to);
    return sync_path(folder, err);
}

/* Where a process number means something: this machine, and the container's view of its
 * processes. */
static uint32_t place_of_processes(void) {
    char text[256] = "";
    if (gethostname(text, sizeof text / 2) != 0)
        text[0] = '\0';
    text[sizeof text / 2] = '\0';
    size_t n = strlen(text);
    ssize_t more = readlink("/proc/self/ns/pid", text + n, sizeof text - n);
    return (uint32_t)qn_hash64(text, n + (more > 0 ? (size_t)more : 0), 0);
}

char *qn_file_temporary(const char *folder) {
    static _Atomic unsigned counter;
    unsigned id = atomic_fetch_add(&counter, 1), salt = 0;
    (void)!getrandom(&salt, sizeof salt, GRND_NONBLOCK);
    return qn_format("%s/.tmp-%ld-%08x-%u-%08x", folder, (long)getpid(), place_of_processes(), id,
                     salt);
}

qn_status qn_file_write(const char *path, const void *bytes, size_t n, qn_error *err) {
    qn_cleanup(qn_freep) char *folder = folder_of(path);
    qn_cleanup(qn_freep) char *temporary = folder ? qn_file_temporary(folder) : NULL;
    if (!temporary)
        return qn_error_memory(err);
    qn_cleanup(close_fd) int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return qn_error_errno(err, "create", path);
    qn_status status = write_all(fd, path, bytes, n, err);
    if (status == QN_OK)
        status = qn_file_publish(temporary, path, err);
    if (status != QN_OK)
        unlink(temporary);
    return status;
}

/* Opens a regular file of at most max_bytes; *ret_fd is the caller's also on failure. */
static qn_status open_regular(const char *path, size_t max_bytes, int *ret_fd, size_t *ret_bytes,
                              qn_error *err) {
    struct stat info;
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*ret_fd < 0 || fstat(*ret_fd, &info) != 0)
        return qn_error_errno(err, "open", path);
    QN_FAIL_IF(!S_ISREG(info.st_mode), err, QN_ERR_IO, "cannot read %s: not a regular file", path);
    QN_FAIL_IF((uint64_t)info.st_size > max_bytes, err, QN_ERR_LIMIT,
               "%s has %lld bytes; at most %zu are allowed", path, (long long)info.st_size,
               max_bytes);
    *ret_bytes = (size_t)info.st_size;
    return QN_OK;
}

qn_status qn_file_read(const char *path, size_t max_bytes, char **ret_bytes, size_t *ret_n,
                       qn_error *err) {
    qn_cleanup(close_fd) int fd = -1;
    size_t size;
    QN_TRY(open_regular(path, max_bytes, &fd, &size, err));
    size_t n = 0;
    qn_cleanup(qn_freep) char *bytes = qn_calloc(size + 1, 1);
    if (!bytes)
        return qn_error_memory(err);
    while (n < size) {
        ssize_t got = read(fd, bytes + n, size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return qn_error_errno(err, "read", path);
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *ret_bytes = qn_steal(&bytes);
    *ret_n = n;
    return QN_OK;
}

bool qn_file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool qn_folder_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

qn_status qn_file_size(const char *path, int64_t *ret_bytes, qn_error *err) {
    struct stat info;
    if (stat(path, &info) != 0)
        return qn_error_errno(err, "open", path);
    *ret_bytes = info.st_size;
    return QN_OK;
}

qn_status qn_folder_make(const char *path, qn_error *err) {
    if (qn_folder_exists(path))
        return QN_OK;
    qn_cleanup(qn_freep) char *partial = qn_strdup(path);
    if (!partial)
        return qn_error_memory(err);
    for (char *c = partial + 1;; c++) {
        if (*c != '/' && *c != '\0')
            continue;
        char old = *c;
        *c = '\0';
        if (mkdir(partial, 0777) != 0 && errno != EEXIST)
            return qn_error_errno(err, "create the folder", partial);
        *c = old;
        if (!old)
            break;
    }
    QN_FAIL_IF(!qn_folder_exists(path), err, QN_ERR_IO,
               "cannot create the folder %s: a file has that name", path);
    return QN_OK;
}

/* Of another machine or container nobody here can tell whether it runs: its files must be old. */
static bool is_left_behind(int folder, const char *name) {
    enum { OLD_S = 7 * 24 * 3600 };
    long pid;
    unsigned place;
    struct stat info;
    if (sscanf(name, ".tmp-%ld-%8x-", &pid, &place) != 2)
        return false;
    if (place == place_of_processes())
        return pid != (long)getpid() && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
    return fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
           time(NULL) - info.st_mtime > OLD_S;
}

void qn_folder_sweep(const char *folder) {
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    const struct dirent *entry;
    while ((entry = readdir(dir)))
        if (is_left_behind(dirfd(dir), entry->d_name))
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

char *qn_path_join(const char *folder, const char *name) {
    if (name[0] == '/' || !folder[0] || strcmp(folder, ".") == 0)
        return qn_strdup(name);
    size_t n = strlen(folder);
    return qn_format("%s%s%s", folder, folder[n - 1] == '/' ? "" : "/", name);
}

qn_status qn_map_open(const char *path, size_t max_bytes, qn_map *ret_map, qn_error *err) {
    qn_cleanup(close_fd) int fd = -1;
    size_t size;
    QN_TRY(open_regular(path, max_bytes, &fd, &size, err));
    qn_map map = {.len = size};
    if (map.len) {
        void *data = mmap(NULL, map.len, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            return qn_error_errno(err, "map", path);
        map.data = data;
    }
    *ret_map = map;
    return QN_OK;
}

void qn_map_done(qn_map *map) {
    if (map && map->data)
        munmap((void *)(uintptr_t)map->data, map->len);
    if (map)
        *map = (qn_map){0};
}
