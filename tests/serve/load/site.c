/* The project, the server, the good requests. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../model/models.h"
#include "base/file.h"
#include "load.h"

enum { N_TRAIN = 400 };

/* --- models ----------------------------------------------------------------------------------- */

/* Each version learns from other rows, so that their answers differ. */
static void add_version(site *s, const qn_frame *frame, int k) {
    qn_error err = {0};
    int64_t rows[N_TRAIN], version;
    for (int i = 0; i < N_TRAIN; i++)
        rows[i] = (i + 100 * k) % MODEL_ROWS;
    qn_cleanup(qn_frame_free) qn_frame *train = NULL, *asked = NULL;
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_buf_done) qn_buf file = {0};
    char hash[QN_DIGEST_TEXT];
    must(qn_frame_take(frame, rows, N_TRAIN, &train, &err), &err);
    must(model_train(train, "gbdt", QN_TASK_BINARY, NULL, &model, &err), &err);
    must(qn_model_write(model, &file, &err), &err);
    must(qn_object_put(s->workspace, file.data, file.len, hash, &err), &err);
    must(
        qn_registry_add(s->workspace, "m", hash, NULL, NULL, k ? NULL : "champion", &version, &err),
        &err);
    for (int i = 0; i < N_ROWS; i++)
        rows[i] = i;
    must(qn_frame_take(frame, rows, N_ROWS, &asked, &err), &err);
    must(qn_model_predict(model, asked, NULL, s->scores[k], &err), &err);
}

/* --- requests --------------------------------------------------------------------------------- */

static json_t *value_of(const qn_frame *frame, int column, int row) {
    const qn_column *c = &frame->columns[column];
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    qn_column_format(c, row, &text);
    const char *t = qn_buf_text(&text);
    return !text.len     ? json_null()
           : column == 0 ? json_real(strtod(t, NULL))
           : column == 1 ? json_integer(atoll(t))
           : column == 2 ? json_boolean(strcmp(t, "true") == 0)
                         : json_string(t);
}

static json_t *row_of(const qn_frame *frame, int row, bool by_name) {
    json_t *out = by_name ? json_object() : json_array();
    for (int c = 0; c < 5; c++) {
        json_t *value = value_of(frame, c, row);
        if (by_name)
            json_object_set_new(out, model_inputs[c], value);
        else
            json_array_append_new(out, value);
    }
    return out;
}

static json_t *rows_of(const qn_frame *frame, int first, bool by_name) {
    json_t *out = json_array();
    for (int i = 0; i < GROUP_ROWS; i++)
        json_array_append_new(out, row_of(frame, first + i, by_name));
    return out;
}

static json_t *tensors_of(const qn_frame *frame, int first) {
    static const char *const types[] = {"FP64", "INT64", "BOOL", "BYTES", "BYTES"};
    json_t *out = json_array();
    for (int c = 0; c < 5; c++) {
        json_t *data = json_array();
        for (int i = 0; i < GROUP_ROWS; i++)
            json_array_append_new(data, value_of(frame, c, first + i));
        json_array_append_new(out, json_pack("{s:s, s:s, s:[i], s:o}", "name", model_inputs[c],
                                             "datatype", types[c], "shape", GROUP_ROWS, "data",
                                             data));
    }
    return out;
}

static const char *const targets[N_FORMS] = {
    "/v1/models/m/predict", "/v1/models/m/predict", "/v2/models/m/infer",
    "/invocations?probabilities=true", "/v1/models/m:predict?probabilities=true"};

static json_t *body_of(const qn_frame *frame, int form, int first) {
    switch (form) {
    case 0:
        return row_of(frame, first, true);
    case 1:
        return rows_of(frame, first, true);
    case 2:
        return json_pack("{s:o}", "inputs", tensors_of(frame, first));
    case 3:
        return json_pack("{s:{s:[s,s,s,s,s], s:o}}", "dataframe_split", "columns", model_inputs[0],
                         model_inputs[1], model_inputs[2], model_inputs[3], model_inputs[4], "data",
                         rows_of(frame, first, false));
    default:
        return json_pack("{s:o}", "instances", rows_of(frame, first, true));
    }
}

static void make_request(site *s, const qn_frame *frame, int i) {
    int form = i % N_FORMS, group = i / N_FORMS;
    qn_cleanup(qn_json_free) json_t *body = body_of(frame, form, group * GROUP_ROWS);
    qn_json_write(body, QN_JSON_COMPACT, &s->bodies[i]);
    qn_buf_printf(&s->wires[i],
                  "POST %s HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
                  "Content-Length: %zu\r\n\r\n",
                  targets[form], s->bodies[i].len);
    qn_buf_put(&s->wires[i], s->bodies[i].data, s->bodies[i].len);
    s->requests[i] = (qn_http_request){s->wires[i].data, s->wires[i].len};
}

void site_make(site *s) {
    qn_error err = {0};
    *s = (site){.folder = "/tmp/quern-load-XXXXXX"};
    if (!mkdtemp(s->folder))
        fail_msg("cannot make a folder in /tmp");
    must(qn_workspace_open(s->folder, true, &s->workspace, &err), &err);
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    for (int k = 0; k < N_VERSIONS; k++)
        add_version(s, frame, k);
    for (int i = 0; i < N_REQUESTS; i++)
        make_request(s, frame, i);
}

void site_remove(site *s) {
    qn_workspace_free(&s->workspace);
    for (int i = 0; i < N_REQUESTS; i++) {
        qn_buf_done(&s->bodies[i]);
        qn_buf_done(&s->wires[i]);
    }
    qn_cleanup(qn_freep) char *command =
        qn_format("chmod -R u+w %s; rm -rf %s", s->folder, s->folder);
    if (!command || system(command) != 0)
        fprintf(stderr, "%s is left behind\n", s->folder);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The probabilities in the order of the answer; how many. */
static int read_scores(const char *body, int form, double *scores, int max) {
    int n = 0;
    if (form == 2) {
        const char *at = strstr(body, "\"name\": \"probability\"");
        at = at ? strstr(at, "\"data\": [") : NULL;
        for (at = at ? at + 9 : NULL; at && n < max; n++) {
            char *end;
            scores[n] = strtod(at, &end);
            if (end == at)
                break;
            at = *end == ',' ? end + 1 : NULL;
        }
        return n;
    }
    static const char key[] = "\"probability\": ";
    for (const char *at = strstr(body, key); at && n < max; at = strstr(at, key)) {
        at += sizeof key - 1;
        scores[n++] = strtod(at, NULL);
    }
    return n;
}

static int version_of(const qn_http_answer *answer) {
    size_t n;
    const char *label = qn_http_header(answer, "Quern-Model", &n);
    return label && n == 3 && memcmp(label, "m:", 2) == 0 ? label[2] - '0' : 0;
}

/* The plain dialect and v2 name the version in the body too. */
static bool names_version(const char *body, int form, int version) {
    char text[64];
    if (form > 2)
        return true;
    snprintf(text, sizeof text, form == 2 ? "\"model_version\": \"%d\"" : "\"version\": %d,",
             version);
    return strstr(body, text) != NULL;
}

bool site_check(void *user, const qn_http_answer *answer) {
    site *s = user;
    int form = (int)answer->i_request % N_FORMS, group = (int)answer->i_request / N_FORMS;
    int n = form ? GROUP_ROWS : 1, version = version_of(answer);
    double scores[GROUP_ROWS + 1];
    bool good = answer->status == 200 && version >= 1 && version <= N_VERSIONS
                && names_version(answer->body, form, version)
                && read_scores(answer->body, form, scores, GROUP_ROWS + 1) == n
                && memcmp(scores, &s->scores[version - 1][group * GROUP_ROWS],
                          (size_t)n * sizeof *scores) == 0;
    if (good) {
        atomic_fetch_add_explicit(&s->answers[version - 1], 1, memory_order_relaxed);
        atomic_store_explicit(&s->version, version, memory_order_relaxed);
    } else {
        fprintf(stderr, "wrong answer to %.*s\n%.*s%.2000s\n",
                (int)s->wires[answer->i_request].len, s->wires[answer->i_request].data,
                (int)answer->head_bytes, answer->head, answer->body);
    }
    return good;
}

qn_http_load_result site_load(site *s, int connections, double seconds, _Atomic int64_t *good) {
    qn_http_load_options options = {.host = "127.0.0.1", .port = s->port,
                                    .connections = connections, .seconds = seconds,
                                    .requests = s->requests, .n_requests = N_REQUESTS,
                                    .check = site_check, .user = s, .good = good};
    qn_http_load_result result = {0};
    qn_error err = {0};
    must(qn_http_load_run(&options, &result, &err), &err);
    return result;
}

/* --- the server ------------------------------------------------------------------------------- */

/* The server has half of the processors for itself, so that what is measured is its own doing. */
static void keep_apart(bool is_server) {
    cpu_set_t all, half;
    CPU_ZERO(&half);
    if (sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) < 2)
        return;
    for (int cpu = 0, k = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && (k++ < CPU_COUNT(&all) / 2) == is_server)
            CPU_SET(cpu, &half);
    sched_setaffinity(0, sizeof half, &half);
}

void site_serve(site *s, const char *quern, const char *threads) {
    int out[2];
    char text[512] = "", body_bytes[32], request_s[16], idle_s[16];
    snprintf(body_bytes, sizeof body_bytes, "%d", BODY_BYTES);
    snprintf(request_s, sizeof request_s, "%ds", REQUEST_S);
    snprintf(idle_s, sizeof idle_s, "%ds", IDLE_S);
    if (pipe(out) != 0 || (s->pid = fork()) < 0)
        fail_msg("cannot start a process");
    if (s->pid == 0) {
        keep_apart(true);
        dup2(out[1], STDOUT_FILENO);
        /* Freed memory that a sanitizer holds back is not the server's. */
        setenv("ASAN_OPTIONS", "quarantine_size_mb=1", 0);
        close(out[0]);
        close(out[1]);
        execl(quern, quern, "-C", s->folder, "serve", "--json", "--quiet", "--port", "0",
              "--threads", threads, "--body-bytes", body_bytes, "--request-timeout", request_s,
              "--idle-timeout", idle_s, (char *)NULL);
        _exit(127);
    }
    keep_apart(false);
    close(out[1]);
    size_t n = 0;
    ssize_t got;
    while (n + 1 < sizeof text && (got = read(out[0], text + n, sizeof text - 1 - n)) > 0) {
        n += (size_t)got;
        if (memchr(text, '}', n))
            break;
    }
    close(out[0]);
    const char *port = strstr(text, "\"port\":");
    s->port = port ? atoi(port + 7) : 0;
    if (!s->port)
        fail_msg("%s serve did not start: %s", quern, text);
}

bool site_alive(const site *s) {
    return waitpid(s->pid, NULL, WNOHANG) == 0;
}

int site_stop(site *s) {
    int status = 0;
    kill(s->pid, SIGTERM);
    waitpid(s->pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

double site_resident(const site *s) {
    char path[64];
    long all, resident = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)s->pid);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%ld %ld", &all, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}
