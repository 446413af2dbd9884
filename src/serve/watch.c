/* The watcher's thread: looks a few times a second whether the registry has changed. */
#include <string.h>
#include <time.h>

#include "serve/serve_int.h"

enum { LOOK_MS = 200 };

static void told(void *cls, const char *message) {
    qn_server *server = cls;
    atomic_fetch_add(&server->metrics.swaps, 1);
    if (server->options.on_event)
        server->options.on_event(server->options.user, message);
}

/* Formatting a date costs more than all else that is done for an answer. */
void qn__date_refresh(qn_server *server) {
    time_t now = time(NULL);
    struct tm parts;
    char text[sizeof server->dates[0]];
    gmtime_r(&now, &parts);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    int i = atomic_load(&server->i_date);
    if (strcmp(text, server->dates[i]) == 0)
        return;
    i = (i + 1) % QN__DATES;
    memcpy(server->dates[i], text, sizeof text);
    atomic_store(&server->i_date, i);
}

void *qn__watch(void *cls) {
    qn_server *server = cls;
    while (!atomic_load(&server->stopping)) {
        qn__date_refresh(server);
        qn__models_refresh(server->models, told, server);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
    }
    return NULL;
}
