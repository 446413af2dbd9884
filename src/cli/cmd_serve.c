/* quern serve, quern token. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/command.h"
#include "serve/serve.h"

/* An option, or the environment variable that stands for it: QUERN_TLS_CERT for --tls-cert. */
static const char *setting(const qn_cli_args *args, const char *name) {
    const char *value = qn__cli_value(args, name);
    char variable[64] = "QUERN_";
    size_t n = strlen(variable);
    for (; *name && n < sizeof variable - 1; name++)
        variable[n++] =
            *name == '-' ? '_' : (char)(*name >= 'a' && *name <= 'z' ? *name - 32 : *name);
    variable[n] = '\0';
    if (!value)
        value = getenv(variable);
    return value && *value ? value : NULL;
}

static qn_status read_count(const qn_cli_args *args, const char *name, int64_t low, int64_t high,
                            int *value, qn_error *err) {
    const char *text = setting(args, name);
    int64_t n;
    if (!text)
        return QN_OK;
    QN_FAIL_IF(!qn_text_to_i64(text, &n) || n < low || n > high, err, QN_ERR_USAGE,
               "--%s must be a whole number from %lld to %lld, not '%.40s'", name, (long long)low,
               (long long)high, text);
    *value = (int)n;
    return QN_OK;
}

static qn_status read_seconds(const qn_cli_args *args, const char *name, double *value,
                              qn_error *err) {
    const char *text = setting(args, name);
    QN_FAIL_IF(text && (!qn_text_to_seconds(text, value) || *value <= 0 || *value > 86400), err,
               QN_ERR_USAGE, "--%s must be a time like 30s or 2m, not '%.40s'", name, text);
    return QN_OK;
}

static qn_status read_bytes(const qn_cli_args *args, const char *name, size_t *value,
                            qn_error *err) {
    const char *text = setting(args, name);
    QN_FAIL_IF(text && (!qn_text_to_bytes(text, value) || *value < 1024 || *value > (1u << 30)),
               err, QN_ERR_USAGE, "--%s must be a size from 1KB to 1GiB like 16MB, not '%.40s'",
               name, text);
    return QN_OK;
}

enum { MAX_MODELS = 64 };

/* What containers of the clouds say by their own variables. */
static void read_clouds(qn_server_options *options, const char **models) {
    const char *port = getenv("AIP_HTTP_PORT"), *megabytes = getenv("SAGEMAKER_MAX_PAYLOAD_IN_MB");
    const char *bind_to = getenv("SAGEMAKER_BIND_TO_PORT");
    const char *folder = getenv("AIP_STORAGE_URI"), *batch = getenv("SAGEMAKER_BATCH");
    int64_t n;
    if (port && qn_text_to_i64(port, &n) && n > 0 && n < 65536) {
        options->port = (int)n;
        options->host = "0.0.0.0"; /* Vertex AI asks for it */
    }
    if (!port && bind_to && qn_text_to_i64(bind_to, &n) && n > 0 && n < 65536)
        options->port = (int)n;
    options->predict_route = getenv("AIP_PREDICT_ROUTE");
    options->health_route = getenv("AIP_HEALTH_ROUTE");
    if (batch && megabytes && qn_text_to_i64(megabytes, &n) && n > 0 && n <= 1024)
        options->body_bytes = (size_t)n << 20;
    if (folder && qn_folder_exists(folder))
        models[options->n_models++] = folder;
    else if (qn_folder_exists("/opt/ml/model"))
        models[options->n_models++] = "/opt/ml/model";
}

/* --model may be given several times; the variable holds a list with commas. */
static qn_status read_models(const qn_cli_args *args, char *list, const char **models,
                             qn_server_options *options, qn_error *err) {
    size_t n = 0;
    for (int i = 0; i < args->n_values; i++) {
        if (strcmp(args->names[i], "model") != 0)
            continue;
        QN_FAIL_IF(n == MAX_MODELS, err, QN_ERR_USAGE, "at most %d models are named", MAX_MODELS);
        models[n++] = args->values[i];
    }
    char *item, *rest = n ? NULL : list;
    while ((item = strsep(&rest, ","))) {
        QN_FAIL_IF(n == MAX_MODELS, err, QN_ERR_USAGE, "at most %d models are named", MAX_MODELS);
        if (*item)
            models[n++] = item;
    }
    if (n)
        options->n_models = n;
    return QN_OK;
}

static qn_status read_options(const qn_cli_args *args, char *model_list, const char **models,
                              qn_server_options *options, qn_error *err) {
    const char *text, *folder = getenv("QUERN_DIRECTORY");
    qn_server_options_default(options);
    options->n_threads = args->job.n_threads;
    if (!args->n_threads)
        QN_TRY(read_count(args, "threads", 1, QN_LIMIT_THREADS, &options->n_threads, err));
    options->folder = folder && *folder && strcmp(args->folder, ".") == 0 ? folder : args->folder;
    options->models = models;
    read_clouds(options, models);
    QN_TRY(read_models(args, model_list, models, options, err));
    if ((text = setting(args, "host")))
        options->host = text;
    QN_TRY(read_count(args, "port", 0, 65535, &options->port, err));
    QN_TRY(read_count(args, "connections", 1, 1 << 20, &options->connections, err));
    QN_TRY(read_count(args, "in-flight", 1, 1 << 20, &options->in_flight, err));
    QN_TRY(read_bytes(args, "body-bytes", &options->body_bytes, err));
    QN_TRY(read_seconds(args, "request-timeout", &options->request_s, err));
    QN_TRY(read_seconds(args, "idle-timeout", &options->idle_s, err));
    QN_TRY(read_seconds(args, "drain-timeout", &options->drain_s, err));
    if ((text = setting(args, "extra-fields"))) {
        QN_FAIL_IF(strcmp(text, "refuse") != 0 && strcmp(text, "ignore") != 0, err, QN_ERR_USAGE,
                   "--extra-fields is refuse or ignore, not '%.40s'", text);
        options->refuse_extra = strcmp(text, "refuse") == 0;
    }
    options->tls_cert = setting(args, "tls-cert");
    options->tls_key = setting(args, "tls-key");
    options->tokens = setting(args, "tokens");
    options->cors = setting(args, "cors");
    options->access_log = setting(args, "access-log");
    return QN_OK;
}

/* --- running ---------------------------------------------------------------------------------- */

static volatile sig_atomic_t asked_to_reload;

static void on_hangup(int signal_number) {
    asked_to_reload = 1;
}

static void say(void *user, const char *message) {
    fprintf(stderr, "%s\n", message);
}

static qn_status say_ready(const qn_cli_args *args, const qn_server *server, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    if (args->json) {
        qn_cleanup(qn_json_free) json_t *json =
            json_pack("{s:s, s:i, s:i}", "url", qn_server_url(server), "port",
                      qn_server_port(server), "pid", (int)getpid());
        return json ? qn__cli_print_json(args, json, err) : qn_error_memory(err);
    }
    if (args->quiet)
        return QN_OK;
    qn_buf_printf(&text, "Serving at %s (Ctrl-C ends). Try:\n\n", qn_server_url(server));
    qn_server_example(server, &text);
    qn_buf_put_text(&text, "\nA page to try the models is at the same address.\n");
    return qn__cli_print(args, &text, err);
}

static void wait_for_end(const qn_cli_args *args, qn_server *server) {
    qn_error err = {0};
    sigset_t none;
    sigemptyset(&none);
    while (!qn_job_cancelled(&args->job)) {
        /* Signals are blocked but for this call, so that none is lost between look and wait. */
        ppoll(NULL, 0, NULL, &none);
        if (!asked_to_reload)
            continue;
        asked_to_reload = 0;
        if (qn_server_reload(server, &err) != QN_OK)
            fprintf(stderr, "quern: reload: %s\n", err.message);
    }
}

qn_status qn__cmd_serve(const qn_cli_args *args, qn_error *err) {
    qn_cleanup(qn_server_free) qn_server *server = NULL;
    qn_cleanup(qn_freep) char *list = NULL;
    const char *models[MAX_MODELS], *variable = getenv("QUERN_MODEL");
    qn_server_options options;
    list = qn_strdup(variable ? variable : "");
    if (!list)
        return qn_error_memory(err);
    QN_TRY(read_options(args, list, models, &options, err));
    if (!args->quiet)
        options.on_event = say;
    sigset_t ours, before;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGHUP);
    signal(SIGHUP, on_hangup);
    pthread_sigmask(SIG_BLOCK, &ours, &before); /* the server's threads inherit it */
    qn_status status = qn_server_start(&options, &server, err);
    if (status == QN_OK)
        status = say_ready(args, server, err);
    if (status == QN_OK) {
        wait_for_end(args, server);
        pthread_sigmask(SIG_SETMASK, &before, NULL); /* a second signal ends it at once */
        if (!args->quiet)
            fprintf(stderr, "draining\n");
        qn_server_drain(server);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

/* --- tokens ----------------------------------------------------------------------------------- */

/* One line more, in one write. */
static qn_status append_line(const char *path, const char *line, qn_error *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return qn_error_errno(err, "open", path);
    char text[QN_TOKEN_LINE + 2];
    int n = snprintf(text, sizeof text, "%s\n", line);
    bool ok = write(fd, text, (size_t)n) == n && fsync(fd) == 0;
    qn_status status = ok ? QN_OK : qn_error_errno(err, "write", path);
    close(fd);
    return status;
}

qn_status qn__cmd_token(const qn_cli_args *args, qn_error *err) {
    const char *scope = qn__cli_value(args, "scope"), *path = setting(args, "tokens");
    char token[QN_TOKEN_TEXT], line[QN_TOKEN_LINE];
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    path = path ? path : "tokens";
    QN_TRY(qn_token_new(args->arguments[0], scope ? scope : "predict", token, line, err));
    QN_TRY(append_line(path, line, err));
    if (args->json) {
        qn_cleanup(qn_json_free) json_t *json = json_pack(
            "{s:s, s:s, s:s}", "token", token, "scope", scope ? scope : "predict", "file", path);
        return json ? qn__cli_print_json(args, json, err) : qn_error_memory(err);
    }
    fprintf(stderr, "its hash is in %s; the token itself is shown once:\n", path);
    qn_buf_printf(&text, "%s\n", token);
    return qn__cli_print(args, &text, err);
}
