/* The server in this process when memory is short: starting, reading rows, answering. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../model/models.h"
#include "model/rows_json.h"
#include "serve/serve.h"
#include "store/workspace.h"

/* --- rows from JSON --------------------------------------------------------------------------- */

static const char *const bodies[] = {
    "{\"number\": 0.5, \"count\": 3, \"flag\": true, \"city\": \"K\\u00f6ln\", \"when\": "
    "\"2024-02-03\"}",
    "[[0.5, 3, true, \"Roma\", \"2024-02-03T04:05:06Z\"], {\"number\": null, \"count\": 1, "
    "\"flag\": false, "
    "\"city\": \"\\u0041tlantis and a good deal more that nobody has seen\", \"when\": 0}]",
    "{\"when\": [1, 2], \"city\": [\"Roma\", null], \"flag\": [[true], [false]], \"count\": [1, "
    "2], "
    "\"number\": [1, NaN], \"extra\": [1]}",
    "{\"data\": [[1, \"Oslo\", \"2024-02-03\", 1, true]], \"columns\": [\"number\", \"city\", "
    "\"when\", "
    "\"count\", \"flag\"]}",
};
enum { N_BODIES = sizeof bodies / sizeof *bodies, MOST_SCORES = 2 };

static qn_status read_body(const qn_model *model, size_t i, double *scores, qn_error *err) {
    qn_cleanup(qn_rows_free) qn_rows *rows = NULL;
    qn_cleanup(qn_rows_reader_free) qn_rows_reader *reader = NULL;
    qn_cleanup(qn_scan_done) qn_scan scan;
    qn_scan_init(&scan, bodies[i], strlen(bodies[i]));
    QN_TRY(qn_rows_new(model, &rows, err));
    QN_TRY(qn_rows_reader_new(rows, qn_model_inputs(model), &reader, err));
    if (i == 1)
        QN_TRY(qn_rows_columns_all(reader, err));
    QN_TRY(i == 0   ? qn_rows_read_object(reader, &scan, err)
           : i == 1 ? qn_rows_read_list(reader, &scan, err)
           : i == 2 ? qn_rows_read_columns(reader, &scan, err)
                    : qn_rows_read_split(reader, &scan, err));
    return qn_rows_predict(rows, scores, err);
}

static void rows_are_read_or_memory_is_short(void **state) {
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    must(model_train(frame, "gbdt", QN_TASK_BINARY, NULL, &model, &err), &err);
    for (size_t i = 0; i < N_BODIES; i++) {
        double want[MOST_SCORES] = {0}, got[MOST_SCORES] = {0};
        must(read_body(model, i, want, &err), &err);
        qn_status status = QN_ERR_MEMORY;
        for (int n = 0; status == QN_ERR_MEMORY && n < 1000; n++) {
            qn_mem_fail_after(n);
            status = read_body(model, i, got, &err);
            qn_mem_fail_after(-1);
            assert_true(status == QN_OK || err.code == QN_ERR_MEMORY);
        }
        assert_int_equal(status, QN_OK);
        assert_memory_equal(got, want, sizeof got);
    }
}

/* --- a project -------------------------------------------------------------------------------- */

typedef struct place {
    char folder[64], tokens[96], log[96], file[96];
    char token[QN_TOKEN_TEXT];
} place;

static void put_line(const char *path, const char *line) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s\n", line);
    fclose(file);
}

static int make_place(void **state) {
    static place p;
    qn_error err = {0};
    char hash[QN_DIGEST_TEXT], line[QN_TOKEN_LINE];
    int64_t version;
    strcpy(p.folder, "/tmp/quern-server-XXXXXX");
    if (!mkdtemp(p.folder))
        return -1;
    snprintf(p.tokens, sizeof p.tokens, "%s/tokens", p.folder);
    snprintf(p.log, sizeof p.log, "%s/log", p.folder);
    snprintf(p.file, sizeof p.file, "%s/other.qn", p.folder);
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = NULL, *other = NULL;
    qn_cleanup(qn_workspace_free) qn_workspace *workspace = NULL;
    qn_cleanup(qn_buf_done) qn_buf bytes = {0};
    must(qn_token_new("ann", "admin", p.token, line, &err), &err);
    put_line(p.tokens, line);
    must(model_train(frame, "gbdt", QN_TASK_BINARY, NULL, &model, &err), &err);
    must(model_train(frame, "linear", QN_TASK_MULTICLASS, NULL, &other, &err), &err);
    must(qn_model_save(other, p.file, &err), &err);
    must(qn_model_write(model, &bytes, &err), &err);
    must(qn_workspace_open(p.folder, true, &workspace, &err), &err);
    must(qn_object_put(workspace, bytes.data, bytes.len, hash, &err), &err);
    must(qn_registry_add(workspace, "m", hash, NULL, NULL, "champion", &version, &err), &err);
    *state = &p;
    return 0;
}

static int remove_place(void **state) {
    const place *p = *state;
    qn_cleanup(qn_freep) char *command =
        qn_format("chmod -R u+w %s; rm -rf %s", p->folder, p->folder);
    return !command || system(command) != 0;
}

static qn_status start(const place *p, qn_server **ret_server, qn_error *err) {
    const char *models[] = {"m", p->file};
    qn_server_options options;
    qn_server_options_default(&options);
    options.port = 0;
    options.folder = p->folder;
    options.models = models;
    options.n_models = 2;
    options.tokens = p->tokens;
    options.access_log = p->log;
    options.predict_route = "/vertex";
    options.cors = "*";
    return qn_server_start(&options, ret_server, err);
}

static void it_starts_or_memory_is_short(void **state) {
    qn_error err = {0};
    qn_status status = QN_ERR_MEMORY;
    for (int64_t n = 0; status != QN_OK && n < 100000; n += 1 + (n >= 60) * n / 20) {
        qn_cleanup(qn_server_free) qn_server *server = NULL;
        qn_mem_fail_after(n);
        status = start(*state, &server, &err);
        qn_mem_fail_after(-1);
        if (status != QN_OK && err.code != QN_ERR_MEMORY)
            fail_msg("after %lld: %s", (long long)n, err.message);
        assert_true((status == QN_OK) == (server != NULL));
    }
    assert_int_equal(status, QN_OK);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The whole answer to a request on a connection of its own; its status, 0 when the connection was
 * closed without. */
static int ask(int port, const char *text, size_t n, char *answer, size_t cap) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), n);
    size_t got = 0;
    ssize_t more;
    while (got + 1 < cap && (more = recv(fd, answer + got, cap - 1 - got, 0)) > 0)
        got += (size_t)more;
    close(fd);
    answer[got] = '\0';
    return got > 12 ? atoi(answer + 9) : 0;
}

static const char *body_of(const char *answer) {
    const char *end = strstr(answer, "\r\n\r\n");
    return end ? end + 4 : "";
}

static void it_answers_or_memory_is_short(void **state) {
    static const char *const targets[] = {"/v1/models/m/predict?explain", "/vertex", "/invocations",
                                          "/v1/models/other/predict", "/v2/repository/index"};
    static const char *const asked[] = {"%s", "{\"instances\": [%s]}",
                                        "{\"dataframe_records\": [%s]}", "[%s]", "%s"};
    static char want[1 << 16], got[1 << 16];
    const place *p = *state;
    qn_error err = {0};
    qn_cleanup(qn_server_free) qn_server *server = NULL;
    must(start(p, &server, &err), &err);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        qn_cleanup(qn_buf_done) qn_buf body = {0}, text = {0};
        qn_buf_printf(&body, asked[i], bodies[0]);
        for (int k = 0; k < 20000; k++)
            qn_buf_put_char(&body, ' '); /* more than a connection holds by itself */
        qn_buf_printf(
            &text,
            "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n"
            "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
            targets[i], p->token, body.len, body.data);
        assert_int_equal(ask(qn_server_port(server), text.data, text.len, want, sizeof want), 200);
        for (int n = 0; n < 40; n++) {
            qn_mem_fail_after(n);
            int status = ask(qn_server_port(server), text.data, text.len, got, sizeof got);
            qn_mem_fail_after(-1);
            if (status != 0 && status != 503 &&
                (status != 200 || strcmp(body_of(got), body_of(want)) != 0))
                fail_msg("%s after %d allocations: %s", targets[i], n, got);
        }
        assert_int_equal(ask(qn_server_port(server), text.data, text.len, got, sizeof got), 200);
        assert_string_equal(body_of(got), body_of(want));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_read_or_memory_is_short),
        cmocka_unit_test(it_starts_or_memory_is_short),
        cmocka_unit_test(it_answers_or_memory_is_short),
    };
    return cmocka_run_group_tests_name("server", tests, make_place, remove_place);
}
