/* Promotions and rollbacks under load:
 *     serve_swaps QUERN [SECONDS] [SWAPS_A_MINUTE] [THREADS]
 * No request may fail, and every answer must have the bits of batch prediction with the version that
 * it names. Prints how long after a change the first answer of the new version came. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/job.h"
#include "load.h"

enum { CONNECTIONS = 16 };

typedef struct changes {
    site *site;
    double period_s;
    _Atomic bool stop;
    int64_t n, n_seen;
    double lag_s, lag_sum_s; /* longest, sum */
    qn_error err;
} changes;

static void rest(double s) {
    nanosleep(&(struct timespec){(time_t)s, (long)((s - (double)(time_t)s) * 1e9)}, NULL);
}

/* Up, up, back, back: 1 -> 2 -> 3 -> 2 -> 1. */
static qn_status change(changes *c, int64_t *ret_version) {
    qn_workspace *workspace = c->site->workspace;
    if (c->n % 4 >= 2)
        return qn_registry_rollback(workspace, "m", "champion", ret_version, &c->err);
    *ret_version = c->n % 4 + 2;
    return qn_registry_promote(workspace, "m", *ret_version, "champion", "under load", &c->err);
}

static void wait_seen(changes *c, int64_t version, double start) {
    while (!atomic_load(&c->stop) && qn_now_s() - start < c->period_s) {
        if (atomic_load(&c->site->version) == (int)version) {
            double lag = qn_now_s() - start;
            c->n_seen++;
            c->lag_sum_s += lag;
            c->lag_s = lag > c->lag_s ? lag : c->lag_s;
            return;
        }
        rest(0.002);
    }
}

static void *make_changes(void *cls) {
    changes *c = cls;
    while (!atomic_load(&c->stop)) {
        int64_t version;
        double start = qn_now_s();
        if (change(c, &version) != QN_OK)
            return NULL;
        c->n++;
        wait_seen(c, version, start);
        while (!atomic_load(&c->stop) && qn_now_s() - start < c->period_s)
            rest(0.01);
    }
    return NULL;
}

int main(int argc, char **argv) {
    static site s;
    double seconds = argc > 2 ? atof(argv[2]) : 8, a_minute = argc > 3 ? atof(argv[3]) : 120;
    if (argc < 2) {
        fprintf(stderr, "usage: serve_swaps QUERN [SECONDS] [SWAPS_A_MINUTE] [THREADS]\n");
        return 2;
    }
    site_make(&s);
    site_serve(&s, argv[1], argc > 4 ? argv[4] : "1");
    changes c = {.site = &s, .period_s = 60 / a_minute};
    pthread_t thread;
    if (pthread_create(&thread, NULL, make_changes, &c) != 0)
        return 2;
    qn_http_load_result r = site_load(&s, CONNECTIONS, seconds, NULL);
    atomic_store(&c.stop, true);
    pthread_join(thread, NULL);
    double resident = site_resident(&s);
    int status = site_alive(&s) ? site_stop(&s) : 255;
    printf("answers: %lld\nfailed: %lld\nbroken: %lld\nchanges: %lld\nchanges_seen: %lld\n",
           (long long)r.n_answers, (long long)r.n_failed, (long long)r.n_broken, (long long)c.n,
           (long long)c.n_seen);
    printf("seen_after_mean_s: %.3f\nseen_after_longest_s: %.3f\n",
           c.n_seen ? c.lag_sum_s / (double)c.n_seen : 0, c.lag_s);
    printf("p99_us: %.0f\nresident_end_mb: %.2f\nexit_status: %d\n", r.p99_us, resident / 1e6,
           status);
    bool fine = status == 0 && r.n_answers > 0 && r.n_failed + r.n_broken == 0 && !c.err.code
                && c.n > 0;
    for (int k = 0; k < N_VERSIONS; k++) {
        printf("answers_of_version_%d: %lld\n", k + 1, (long long)atomic_load(&s.answers[k]));
        fine = fine && atomic_load(&s.answers[k]) > 0;
    }
    if (c.err.code)
        fprintf(stderr, "%s\n", c.err.message);
    site_remove(&s);
    printf("%s\n", fine ? "ok" : "FAILED");
    return !fine;
}
