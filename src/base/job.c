#include "base/job.h"

#include <sched.h>
#include <time.h>

int qn_job_threads(const qn_job *job) {
    return job && job->n_threads > 0 ? job->n_threads : 1;
}

bool qn_job_cancelled(const qn_job *job) {
    return job && job->cancel && *job->cancel;
}

qn_status qn_job_check(const qn_job *job, qn_error *err) {
    QN_FAIL_IF(qn_job_cancelled(job), err, QN_ERR_CANCELLED, "interrupted");
    return QN_OK;
}

void qn_job_progress(const qn_job *job, const char *stage, double done, double total,
                     const char *note) {
    if (!job || !job->on_progress)
        return;
    qn_progress progress = {.stage = stage, .done = done, .total = total, .note = note};
    job->on_progress(job->user, &progress);
}

double qn_now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int qn_threads_available(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}
