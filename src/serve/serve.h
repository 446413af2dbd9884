/* serve.h - registered models behind HTTP, in every dialect that existing clients speak.
 *
 *     qn_server_options options;
 *     qn_server_options_default(&options);
 *     options.folder = "churn";
 *     QN_TRY(qn_server_start(&options, &server, err));
 *     ... wait for a signal ...
 *     qn_server_drain(server);                 // refuses new work, waits for what is under way
 *     qn_server_free(&server);
 *
 * Answers have the bits of batch prediction. Promotions and rollbacks in the registry are picked up
 * within a second; each answer is from one version, and says which (header Quern-Model). */
#ifndef QN_SERVE_SERVE_H
#define QN_SERVE_SERVE_H

#include "base/error.h"

typedef struct qn_server qn_server;

/* All text is borrowed until qn_server_start returns. */
typedef struct qn_server_options {
    const char *host;          /* address or name; "127.0.0.1" unless asked */
    int port;                  /* 0: any free one */
    int n_threads;             /* >= 1: each runs its connections to the end */
    const char *folder;        /* project, for references to the registry; may have none */
    const char *const *models; /* NAME, NAME@ALIAS, NAME:VERSION, .qn files, FOLDER/ of them; n_models 0:
                                  every model of the project that has a champion */
    size_t n_models;
    size_t body_bytes;         /* largest body: 413 beyond */
    int connections;           /* most at a time, the others wait in the kernel's queue */
    int in_flight;             /* most requests at a time: 429 beyond */
    double request_s;          /* a request must have come whole within */
    double idle_s;             /* a connection without a request is closed after */
    double drain_s;            /* how long draining waits for requests under way */
    bool refuse_extra;         /* fields that the model does not know are an error */
    const char *tls_cert, *tls_key; /* PEM files; both or none */
    const char *tokens;        /* file made by `quern token`; NULL: no tokens asked for */
    const char *cors;          /* origin that pages may call from ("*": any); NULL: none */
    const char *access_log;    /* file of JSON lines, "-" standard error; NULL: none */
    const char *predict_route, *health_route; /* further paths (Vertex AI names them); NULL: none */
    void (*on_event)(void *user, const char *message); /* model swapped, model refused; may be NULL */
    void *user;
} qn_server_options;

void qn_server_options_default(qn_server_options *options);

/* Opens the models, listens, and answers from then on. QN_ERR_IO when the address is taken. */
qn_status qn_server_start(const qn_server_options *options, qn_server **ret_server,
                          qn_error *err) QN_MUST_USE;
/* Where it listens: the port, and "http://127.0.0.1:8080". Borrowed. */
int qn_server_port(const qn_server *server);
const char *qn_server_url(const qn_server *server);
/* Appends a line for a shell that asks the first model for a prediction and works as it is. */
struct qn_buf;
void qn_server_example(const qn_server *server, struct qn_buf *out);
/* Opens log and tokens afresh. */
qn_status qn_server_reload(qn_server *server, qn_error *err) QN_MUST_USE;
/* Not ready from now on; new predictions get 503. Returns when no request is under way, or after
 * drain_s. */
void qn_server_drain(qn_server *server);
void qn_server_free(qn_server **server);

/* A new token: `ret_token` is to be given to the client, `ret_line` (name, scope, hash) is what the
 * file of tokens keeps. Scopes: "predict", or "admin" which includes it. */
enum { QN_TOKEN_TEXT = 64, QN_TOKEN_LINE = 256 };
qn_status qn_token_new(const char *name, const char *scope, char ret_token[QN_TOKEN_TEXT],
                       char ret_line[QN_TOKEN_LINE], qn_error *err) QN_MUST_USE;

#endif
