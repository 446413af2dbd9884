/* Good requests with one hostile one among a hundred:
 *     serve_hostile QUERN [SECONDS] [THREADS]
 * Every good answer must have the bits of batch prediction, every hostile client must be refused or
 * shut, the server must live and keep its memory. Prints how much longer good requests take than in
 * calm, measured in turns. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "load.h"

#ifndef GROWTH_MB /* a sanitizer keeps much that is freed */
#define GROWTH_MB 8
#endif
enum { CONNECTIONS = 16, MAX_PHASES = 40, GROWTH_BYTES = GROWTH_MB << 20 };

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct totals {
    int64_t good, failed, broken, hostile, wrong, late;
    double calm_p99[MAX_PHASES], mixed_p99[MAX_PHASES], ratio[MAX_PHASES];
    double warm, last; /* resident bytes */
} totals;

static void add(totals *t, const qn_http_load_result *r) {
    t->good += r->n_answers - r->n_failed;
    t->failed += r->n_failed;
    t->broken += r->n_broken;
}

static void phase(site *s, totals *t, int i, double seconds) {
    _Atomic int64_t good = 0;
    hostile h = {.site = s, .good = &good};
    pthread_t thread;
    qn_http_load_result calm = site_load(s, CONNECTIONS, seconds / 4, NULL), mixed;
    if (pthread_create(&thread, NULL, hostile_run, &h) != 0)
        exit(2);
    mixed = site_load(s, CONNECTIONS, seconds, &good);
    atomic_store(&h.stop, true);
    pthread_join(thread, NULL);
    add(t, &calm);
    add(t, &mixed);
    t->hostile += h.n_ended;
    t->wrong += h.n_wrong;
    t->late += h.n_late;
    t->calm_p99[i] = calm.p99_us;
    t->mixed_p99[i] = mixed.p99_us;
    t->ratio[i] = mixed.p99_us / calm.p99_us;
    t->last = site_resident(s);
    if (i == 0)
        t->warm = t->last;
}

static void tell(const totals *t, int n, int status) {
    printf("good_answers: %lld\nwrong_answers: %lld\nbroken_connections: %lld\n",
           (long long)t->good, (long long)t->failed, (long long)t->broken);
    printf("hostile_requests: %lld\nhostile_accepted: %lld\nhostile_not_shut: %lld\n",
           (long long)t->hostile, (long long)t->wrong, (long long)t->late);
    printf("p99_calm_us: %.0f\np99_mixed_us: %.0f\np99_ratio: %.2f\np99_ratio_worst: %.2f\n",
           t->calm_p99[n / 2], t->mixed_p99[n / 2], t->ratio[n / 2], t->ratio[n - 1]);
    printf("resident_warm_mb: %.2f\nresident_end_mb: %.2f\nexit_status: %d\n", t->warm / 1e6,
           t->last / 1e6, status);
}

int main(int argc, char **argv) {
    static site s;
    static totals t;
    double seconds = argc > 2 ? atof(argv[2]) : 8;
    int n = seconds >= 120 ? 10 : 2;
    if (argc < 2) {
        fprintf(stderr, "usage: serve_hostile QUERN [SECONDS] [THREADS]\n");
        return 2;
    }
    site_make(&s);
    site_serve(&s, argv[1], argc > 3 ? argv[3] : "1");
    site_load(&s, CONNECTIONS, 0.5, NULL);
    for (int i = 0; i < n && site_alive(&s); i++)
        phase(&s, &t, i, seconds / n);
    int status = site_alive(&s) ? site_stop(&s) : 255;
    site_remove(&s);
    qsort(t.calm_p99, (size_t)n, sizeof(double), by_size);
    qsort(t.mixed_p99, (size_t)n, sizeof(double), by_size);
    qsort(t.ratio, (size_t)n, sizeof(double), by_size);
    tell(&t, n, status);
    bool fine = status == 0 && t.good > 0 && t.hostile > 0 && t.failed + t.broken == 0
                && t.wrong + t.late == 0 && t.last - t.warm < GROWTH_BYTES;
    printf("%s\n", fine ? "ok" : "FAILED");
    return !fine;
}
