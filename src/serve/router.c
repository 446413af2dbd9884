/* The table of routes: the router, /openapi.json and docs/SERVING.md all come from it. */
#include <ctype.h>
#include <string.h>

#include "serve/serve_int.h"

static const qn__route routes[] = {
    {"POST", "/v1/models/{model}/predict", QN__PLAIN, QN__PREDICT, true, QN__FORM_PLAIN,
     "Predict: one object by column name, or a list of them", qn__handle_plain},
    {"GET", "/v1/models", QN__PLAIN, QN__PREDICT, false, QN__FORM_NONE,
     "The models that are served", qn__handle_models},
    {"GET", "/v1/models/{model}/signature", QN__PLAIN, QN__PREDICT, false, QN__FORM_NONE,
     "A model: inputs with types, ranges and categories, classes, threshold", qn__handle_model},

    {"POST", "/v2/models/{model}/infer", QN__V2, QN__PREDICT, true, QN__FORM_V2,
     "Predict (Open Inference Protocol v2)", qn__handle_v2_infer},
    {"POST", "/v2/models/{model}/versions/{version}/infer", QN__V2, QN__PREDICT, true, QN__FORM_V2,
     "Predict with one version (Open Inference Protocol v2)", qn__handle_v2_infer},
    {"GET", "/v2", QN__V2, QN__PREDICT, false, QN__FORM_NONE, "Server metadata",
     qn__handle_v2_server},
    {"GET", "/v2/health/live", QN__V2, QN__OPEN, false, QN__FORM_NONE, "Is the server alive?",
     qn__handle_v2_live},
    {"GET", "/v2/health/ready", QN__V2, QN__OPEN, false, QN__FORM_NONE, "Is the server ready?",
     qn__handle_v2_ready},
    {"GET", "/v2/models/{model}", QN__V2, QN__PREDICT, false, QN__FORM_NONE,
     "Model metadata: tensors in and out", qn__handle_v2_model},
    {"GET", "/v2/models/{model}/versions/{version}", QN__V2, QN__PREDICT, false, QN__FORM_NONE,
     "Model metadata of one version", qn__handle_v2_model},
    {"GET", "/v2/models/{model}/ready", QN__V2, QN__PREDICT, false, QN__FORM_NONE,
     "Is the model ready?", qn__handle_v2_model_ready},
    {"GET", "/v2/models/{model}/versions/{version}/ready", QN__V2, QN__PREDICT, false,
     QN__FORM_NONE, "Is one version ready?", qn__handle_v2_model_ready},
    {"GET", "/v2/models/{model}/stats", QN__V2, QN__PREDICT, false, QN__FORM_NONE,
     "Counts and times of a model", qn__handle_v2_stats},
    {"POST", "/v2/repository/index", QN__V2, QN__PREDICT, false, QN__FORM_ANY,
     "The models that are served", qn__handle_v2_index},
    {"POST", "/v2/repository/models/{model}/load", QN__V2, QN__ADMIN, false, QN__FORM_ANY,
     "Serve a model of the registry", qn__handle_v2_load},
    {"POST", "/v2/repository/models/{model}/unload", QN__V2, QN__ADMIN, false, QN__FORM_ANY,
     "Serve a model no longer", qn__handle_v2_unload},

    {"POST", "/invocations", QN__MLFLOW, QN__PREDICT, true, QN__FORM_MLFLOW,
     "Predict (MLflow, SageMaker): JSON in four forms, JSON lines, or CSV", qn__handle_invocations},
    {"GET", "/ping", QN__MLFLOW, QN__OPEN, false, QN__FORM_NONE, "Health (MLflow, SageMaker)",
     qn__handle_ready},
    {"GET", "/health", QN__MLFLOW, QN__OPEN, false, QN__FORM_NONE, "Health (MLflow)",
     qn__handle_ready},
    {"GET", "/version", QN__MLFLOW, QN__OPEN, false, QN__FORM_NONE, "Version of Quern",
     qn__handle_version},
    {"GET", "/execution-parameters", QN__MLFLOW, QN__OPEN, false, QN__FORM_NONE,
     "How to cut a batch (SageMaker batch transform)", qn__handle_execution},

    {"POST", "/v1/models/{model}:predict", QN__TF, QN__PREDICT, true, QN__FORM_TF,
     "Predict (TensorFlow Serving, KServe v1)", qn__handle_tf_predict},
    {"POST", "/v1/models/{model}/versions/{version}:predict", QN__TF, QN__PREDICT, true,
     QN__FORM_TF, "Predict with one version (TensorFlow Serving)", qn__handle_tf_predict},
    {"GET", "/v1/models/{model}", QN__TF, QN__PREDICT, false, QN__FORM_NONE,
     "State of a model (TensorFlow Serving, KServe v1)", qn__handle_tf_status},
    {"GET", "/v1/models/{model}/versions/{version}", QN__TF, QN__PREDICT, false, QN__FORM_NONE,
     "State of one version (TensorFlow Serving)", qn__handle_tf_status},
    {"GET", "/v1/models/{model}/metadata", QN__TF, QN__PREDICT, false, QN__FORM_NONE,
     "Signature of a model (TensorFlow Serving)", qn__handle_tf_metadata},

    {"GET", "/", QN__PLAIN, QN__OPEN, false, QN__FORM_NONE, "A page to try the models",
     qn__handle_page},
    {"GET", "/openapi.json", QN__PLAIN, QN__PREDICT, false, QN__FORM_NONE, "This document",
     qn__handle_openapi},
    {"GET", "/healthz", QN__PLAIN, QN__OPEN, false, QN__FORM_NONE, "Is the server alive?",
     qn__handle_alive},
    {"GET", "/readyz", QN__PLAIN, QN__OPEN, false, QN__FORM_NONE,
     "Is the server ready? Not while it drains", qn__handle_ready},
    {"GET", "/metrics", QN__PLAIN, QN__ADMIN, false, QN__FORM_NONE, "Metrics for Prometheus",
     qn__handle_metrics},
};

const qn__route *qn__routes(size_t *ret_n) {
    *ret_n = sizeof routes / sizeof routes[0];
    return routes;
}

/* --- matching --------------------------------------------------------------------------------- */

/* Copies a part; false when it is empty or too long. */
static bool take_part(const char *from, size_t n, char *to, size_t cap) {
    if (n == 0 || n >= cap)
        return false;
    memcpy(to, from, n);
    to[n] = '\0';
    return true;
}

/* The pattern's text behind a part in braces tells where the part ends: at a slash, or at the colon
 * of ":predict". */
static bool matches(const char *pattern, const char *path, qn__match *match) {
    match->model[0] = match->version[0] = '\0';
    while (*pattern && *pattern != '{') {
        if (*pattern++ != *path++)
            return false;
    }
    if (!*pattern)
        return !*path;
    bool is_model = pattern[1] == 'm';
    pattern = strchr(pattern, '}') + 1;
    size_t n = strcspn(path, "/");
    if (*pattern == ':') {
        size_t n_tail = strlen(pattern);
        if (n < n_tail || path[n] || strcmp(path + n - n_tail, pattern) != 0)
            return false;
        n -= n_tail;
    }
    if (!take_part(path, n, is_model ? match->model : match->version,
                   is_model ? sizeof match->model : sizeof match->version))
        return false;
    qn__match rest;
    if (!matches(pattern, path + n, &rest))
        return false;
    if (rest.version[0])
        memcpy(match->version, rest.version, sizeof match->version);
    return true;
}

static bool method_fits(const char *asked, const char *method) {
    return strcmp(asked, method) == 0 || (strcmp(asked, "HEAD") == 0 && strcmp(method, "GET") == 0);
}

static bool try_route(const qn__route *route, const char *method, const char *path,
                      qn__match *match) {
    qn__match found = {0};
    if (!route->path || !matches(route->path, path, &found))
        return false;
    if (!method_fits(method, route->method)) {
        match->allowed = strcmp(route->method, "GET") == 0 ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
        return false;
    }
    *match = found;
    match->route = route;
    return true;
}

void qn__route_find(const qn_server *server, const char *method, const char *path,
                    qn__match *ret_match) {
    *ret_match = (qn__match){0};
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (try_route(&routes[i], method, path, ret_match))
            return;
    for (size_t i = 0; i < 2; i++)
        if (try_route(&server->vertex[i], method, path, ret_match))
            return;
}
