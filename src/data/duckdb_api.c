#include "data/duckdb_api.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Written once, under `loaded_once`; read-only ever after. */
static qn_duckdb loaded_api;
static bool is_loaded;
static char load_failure[256];
static pthread_once_t loaded_once = PTHREAD_ONCE_INIT;

static void *open_beside_program(const char *relative) {
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    if (n <= 0)
        return NULL;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return NULL;
    snprintf(slash + 1, sizeof path - (size_t)(slash + 1 - path), "%s", relative);
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

static void *open_library(void) {
    const char *stated = getenv("QUERN_DUCKDB");
    if (stated && *stated)
        return dlopen(stated, RTLD_NOW | RTLD_LOCAL);
    void *library = open_beside_program("libduckdb.so");
    if (!library)
        library = open_beside_program("../lib/quern/libduckdb.so");
#ifdef QN_DUCKDB_BUILD_PATH
    if (!library)
        library = dlopen(QN_DUCKDB_BUILD_PATH, RTLD_NOW | RTLD_LOCAL);
#endif
    return library ? library : dlopen("libduckdb.so", RTLD_NOW | RTLD_LOCAL);
}

static void load_once(void) {
    void *library = open_library();
    if (!library) {
        const char *why = dlerror();
        snprintf(load_failure, sizeof load_failure, "%s", why ? why : "not found");
        return;
    }
    static const char *const names[] = {
#define QN_DUCKDB_NAME(function) #function,
        QN_DUCKDB_FUNCTIONS(QN_DUCKDB_NAME)
#undef QN_DUCKDB_NAME
    };
    void *found[sizeof names / sizeof names[0]];
    _Static_assert(sizeof found == sizeof loaded_api, "one pointer per function");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        found[i] = dlsym(library, names[i]);
        if (!found[i]) {
            snprintf(load_failure, sizeof load_failure, "it has no %s", names[i]);
            dlclose(library);
            return;
        }
    }
    memcpy(&loaded_api, found, sizeof found);
    is_loaded = true;
}

qn_status qn_duckdb_load(const qn_duckdb **ret_api, qn_error *err) {
    pthread_once(&loaded_once, load_once);
    QN_FAIL_IF(
        !is_loaded, err, QN_ERR_UNSUPPORTED,
        "cannot load DuckDB, which reads tables (%s); run scripts/setup, or set QUERN_DUCKDB to "
        "the path of libduckdb.so (1.4)",
        load_failure);
    *ret_api = &loaded_api;
    return QN_OK;
}
