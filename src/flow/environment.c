#include "flow/environment.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/job.h"
#include "base/mem.h"

enum { HASH_TEXT = 40, SMALL_FILE = 1 << 22 };

static bool read_small(const char *folder, const char *name, char **ret_text) {
    size_t n;
    qn_cleanup(qn_freep) char *path = qn_path_join(folder, name);
    return path && qn_file_read(path, SMALL_FILE, ret_text, &n, NULL) == QN_OK;
}

/* The commit that `ref` ("refs/heads/main") names in packed-refs: lines of "HASH REF". */
static bool find_packed(const char *git, const char *ref, char commit[HASH_TEXT + 1]) {
    qn_cleanup(qn_freep) char *packed = NULL;
    if (!read_small(git, "packed-refs", &packed))
        return false;
    char *rest = packed, *line;
    while ((line = strsep(&rest, "\n"))) {
        if (strlen(line) > HASH_TEXT + 1 && strcmp(line + HASH_TEXT + 1, ref) == 0) {
            memcpy(commit, line, HASH_TEXT);
            return true;
        }
    }
    return false;
}

static bool read_commit(const char *git, char commit[HASH_TEXT + 1]) {
    qn_cleanup(qn_freep) char *head = NULL;
    qn_cleanup(qn_freep) char *loose = NULL;
    if (!read_small(git, "HEAD", &head))
        return false;
    head[strcspn(head, "\r\n")] = '\0';
    const char *hash = head;
    if (strncmp(head, "ref: ", 5) == 0) {
        if (strstr(head, ".."))
            return false;
        if (!read_small(git, head + 5, &loose))
            return find_packed(git, head + 5, commit);
        hash = loose;
    }
    if (strspn(hash, "0123456789abcdef") < HASH_TEXT)
        return false;
    memcpy(commit, hash, HASH_TEXT);
    return true;
}

/* Looks for .git in `folder` and above it. */
static bool find_commit(const char *folder, char commit[HASH_TEXT + 1]) {
    qn_cleanup(qn_freep) char *path = qn_new_array(char, 4096);
    if (!path || !realpath(folder, path))
        return false;
    for (;;) {
        qn_cleanup(qn_freep) char *git = qn_path_join(path, ".git");
        if (git && qn_folder_exists(git))
            return read_commit(git, commit);
        char *slash = strrchr(path, '/');
        if (!slash || slash == path)
            return false;
        *slash = '\0';
    }
}

static void cpu_name(char name[128]) {
    snprintf(name, 128, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[512];
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(name, 128, "%.120s", colon + 2);
        break;
    }
    if (file)
        fclose(file);
}

json_t *qn_environment_json(const char *folder) {
    struct utsname system;
    char commit[HASH_TEXT + 1] = "", cpu[128], os[256] = "unknown", host[128] = "unknown";
    bool has_commit = find_commit(folder, commit);
    cpu_name(cpu);
    if (uname(&system) == 0) {
        snprintf(os, sizeof os, "%.60s %.60s %.60s", system.sysname, system.release,
                 system.machine);
        snprintf(host, sizeof host, "%.120s", system.nodename);
    }
    return json_pack("{s:s, s:o, s:s, s:s, s:s, s:i, s:I, s:s}", "quern", QN_VERSION, "git_commit",
                     has_commit ? json_string(commit) : json_null(), "host", host, "os", os, "cpu",
                     cpu, "processors", qn_threads_available(), "memory_bytes",
                     (json_int_t)qn_mem_available_bytes(), "compiler", __VERSION__);
}
