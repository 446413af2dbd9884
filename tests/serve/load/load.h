/* load.h - a server under load, for programs that try to break it: a project with three versions of
 * a model, the program serving it, good requests in every dialect with answers checked against batch
 * prediction, and hostile ones. */
#ifndef QN_TESTS_SERVE_LOAD_H
#define QN_TESTS_SERVE_LOAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/buf.h"
#include "flow/http_load.h"
#include "store/workspace.h"

enum { N_VERSIONS = 3, N_GROUPS = 40, GROUP_ROWS = 3, N_FORMS = 5 };
enum { N_ROWS = N_GROUPS * GROUP_ROWS, N_REQUESTS = N_GROUPS * N_FORMS };

/* What the server is started with, in seconds: short, so that slow senders are seen to be shut. */
enum { REQUEST_S = 2, IDLE_S = 4, BODY_BYTES = 64 * 1024 };

typedef struct site {
    char folder[64];
    qn_workspace *workspace;
    double scores[N_VERSIONS][N_ROWS]; /* by batch prediction */
    qn_buf bodies[N_REQUESTS];         /* JSON of the requests */
    qn_buf wires[N_REQUESTS];          /* with their heads */
    qn_http_request requests[N_REQUESTS];
    pid_t pid;
    int port;
    _Atomic int64_t answers[N_VERSIONS]; /* good answers by version */
    _Atomic int version;                 /* that answered last */
} site;

/* Makes project, models and requests; ends the program with a message when it cannot. */
void site_make(site *s);
/* Starts `quern serve` with so many threads (a number as text). */
void site_serve(site *s, const char *quern, const char *threads);
/* SIGTERM, and its exit status: 0 when it drained as it should. */
int site_stop(site *s);
void site_remove(site *s);
bool site_alive(const site *s);
/* Resident bytes of the server. */
double site_resident(const site *s);

/* For qn_http_load: is the answer that of batch prediction for the version it names? */
bool site_check(void *site, const qn_http_answer *answer);
/* Good requests on `connections` for some seconds. `good` may be NULL. */
qn_http_load_result site_load(site *s, int connections, double seconds, _Atomic int64_t *good);

/* One hostile request for each 99 good ones that `good` counts, until `stop`. */
typedef struct hostile {
    const site *site;
    _Atomic int64_t *good;
    _Atomic bool stop;
    int64_t n_begun, n_ended, n_wrong, n_late; /* wrong: answered as if all were well */
} hostile;

void *hostile_run(void *hostile);

#endif
