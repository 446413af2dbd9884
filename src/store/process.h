/* process.h - which process is doing a run, so that others can tell when it is gone. */
#ifndef QN_STORE_PROCESS_H
#define QN_STORE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

enum { QN__HOST_TEXT = 256, QN__BOOT_TEXT = 64 };

typedef struct qn__process {
    char host[QN__HOST_TEXT];
    char boot[QN__BOOT_TEXT]; /* the kernel's id of this boot; "" when unknown */
    int64_t pid;
    int64_t start;            /* clock ticks after boot, so that a reused pid is not mistaken; 0: unknown */
} qn__process;

/* This process. */
void qn__process_self(qn__process *ret_process);
/* True when it certainly no longer runs. A process on another host counts as running: we cannot
 * know. */
bool qn__process_is_gone(const qn__process *self, const char *host, const char *boot, int64_t pid,
                         int64_t start);

#endif
