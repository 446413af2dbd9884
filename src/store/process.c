#include "store/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t read_text(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* Field 22 of /proc/PID/stat; the name in field 2 may hold spaces and parentheses, so count from
 * its end. */
static int64_t start_of(int64_t pid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    if (!read_text(path, text, sizeof text))
        return 0;
    const char *at = strrchr(text, ')');
    for (int i = 2; at && i < 22; i++)
        at = strchr(at + 1, ' ');
    return at ? strtoll(at, NULL, 10) : 0;
}

void qn__process_self(qn__process *ret_process) {
    qn__process self = {.pid = getpid()};
    if (gethostname(self.host, sizeof self.host - 1) != 0)
        self.host[0] = '\0';
    read_text("/proc/sys/kernel/random/boot_id", self.boot, sizeof self.boot);
    self.boot[strcspn(self.boot, "\n")] = '\0';
    self.start = start_of(self.pid);
    *ret_process = self;
}

bool qn__process_is_gone(const qn__process *self, const char *host, const char *boot, int64_t pid,
                         int64_t start) {
    if (!host || !boot || strcmp(host, self->host) != 0)
        return false;
    if (boot[0] && self->boot[0] && strcmp(boot, self->boot) != 0)
        return true;
    if (pid <= 0 || pid > INT32_MAX || (kill((pid_t)pid, 0) != 0 && errno == ESRCH))
        return true;
    int64_t now = start_of(pid);
    return start && now && now != start;
}
