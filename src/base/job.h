/* job.h - what a long computation is told about its surroundings: how many threads, how much
 * memory, whom to tell of progress, and whether to stop. Passed as `const qn_job *`; NULL means one
 * thread, no limit, silence. */
#ifndef QN_BASE_JOB_H
#define QN_BASE_JOB_H

#include <signal.h>

#include "base/error.h"

/* One moment of a stage. Text is borrowed for the call. */
typedef struct qn_progress {
    const char *stage;   /* "import", "train gbdt", ... */
    double done, total;  /* in units of the stage; total 0 when unknown */
    const char *note;    /* the current best, e.g. "log_loss 0.2731"; NULL for none */
} qn_progress;

/* A wish that the step under way ends early with what it has, as boosting can; unlike `cancel`, which
 * leaves nothing. Who asks looks at `possible` first. */
typedef struct qn_job_stop {
    volatile sig_atomic_t possible; /* set by the step while it would heed the wish */
    volatile sig_atomic_t asked;    /* once; a step that begins later takes no notice */
} qn_job_stop;

typedef struct qn_job {
    int n_threads;        /* >= 1; results never depend on it */
    size_t memory_bytes;  /* 0: no limit */
    const char *temp_folder; /* borrowed; for what memory_bytes has no room for; NULL: none */
    double budget_s;      /* seconds this step may take; 0: no limit. Using it gives up byte-equality */
    const volatile sig_atomic_t *cancel; /* borrowed; non-zero asks to stop; may be NULL */
    qn_job_stop *stop;    /* borrowed; may be NULL */
    void (*on_progress)(void *user, const qn_progress *progress); /* may be NULL; one thread at a time */
    void *user;           /* borrowed, for on_progress */
} qn_job;

int qn_job_threads(const qn_job *job);
bool qn_job_cancelled(const qn_job *job);
/* QN_ERR_CANCELLED with a message when asked to stop, else QN_OK. */
qn_status qn_job_check(const qn_job *job, qn_error *err) QN_MUST_USE;
void qn_job_progress(const qn_job *job, const char *stage, double done, double total,
                     const char *note);
/* Seconds of a monotonic clock. */
double qn_now_s(void);
/* Processors this process may use. */
int qn_threads_available(void);

#endif
