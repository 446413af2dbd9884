/* serve_int.h - the parts of the server and what they hand each other:
 *
 *   server     life: socket, loops, drain            served     models: open versions, swapping, scratch
 *   loop       a thread and its connections          watch      registry changes
 *   wire, tls  one connection (wire.h)               http_*     HTTP as bytes (http.h)
 *   exchange   one request from head to answer       answer     predictions as JSON and CSV
 *   router     the table of routes                   openapi, metrics, token, access_log, page
 *   route_*    handlers by dialect
 */
#ifndef QN_SERVE_SERVE_INT_H
#define QN_SERVE_SERVE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "model/rows_json.h"
#include "serve/http.h"
#include "serve/serve.h"

/* ---- models ---------------------------------------------------------------------------------- */

/* Scratch of one request. */
typedef struct qn__desk {
    struct qn__desk *next;
    qn_rows *rows;           /* owned */
    qn_rows_reader *reader;  /* owned */
    qn_scan scan;            /* owned */
    qn_buf out;              /* owned */
    double *scores;          /* owned; see qn__desk_predict */
    double *contrib;         /* owned; NULL unless explained */
    size_t cap_scores, cap_contrib;
} qn__desk;

/* What is counted of a version; relaxed atomics. */
typedef struct qn__counts {
    _Atomic int64_t requests, failures, rows, ns;
} qn__counts;

/* One open version of a model: immutable but for the counts and the spare desks. */
typedef struct qn__served {
    _Atomic int64_t n_refs;
    qn_model *model;         /* owned */
    const qn_schema *inputs; /* borrowed from the model */
    const qn_target_info *target; /* borrowed from the model */
    int32_t n_outputs;
    bool all_numeric;        /* every input is a number, a whole number or a truth value */
    char *name;              /* owned */
    int64_t version;         /* 0: from a file, not from the registry */
    char *label;             /* owned: "income:3", or "income" */
    char *version_text;      /* owned: "3", or "1" for a file */
    char *hash;              /* owned; content hash of the file, or "" */
    char **class_json;       /* owned; labels as JSON values: numbers where they all are */
    bool labels_are_numbers;
    int64_t opened_us;       /* wall clock */
    int64_t made_us;         /* wall clock: when it was registered, or the file's time */
    qn__counts counts;
    pthread_mutex_t lock;    /* desks */
    qn__desk *desks;         /* owned; those not in use */
} qn__served;

typedef struct qn__models qn__models;

/* Opens what the options ask for. */
qn_status qn__models_new(const qn_server_options *options, qn__models **ret_models, qn_error *err)
    QN_MUST_USE;
void qn__models_free(qn__models **models);
/* A reference to the model of that name (NULL: the first, when it is the only one or was named
 * first) and version (NULL: the one served). NULL with *err: QN_ERR_NOT_FOUND says what there is.
 * To be released. */
qn__served *qn__models_get(qn__models *models, const char *name, const char *version,
                           qn_error *err);
void qn__served_release(qn__served *served);
/* References to all of them; *ret owned by the caller, each to be released. */
qn_status qn__models_all(qn__models *models, qn__served ***ret, size_t *ret_n, qn_error *err)
    QN_MUST_USE;
/* Looks whether the registry has changed and swaps what has. `told` is called for each change. */
void qn__models_refresh(qn__models *models, void (*told)(void *user, const char *message),
                        void *user);
/* Starts or stops serving a model of the registry by name, until the server ends. */
qn_status qn__models_load(qn__models *models, const char *name, qn_error *err) QN_MUST_USE;
qn_status qn__models_unload(qn__models *models, const char *name, qn_error *err) QN_MUST_USE;

/* NULL when memory is short. */
qn__desk *qn__served_take_desk(qn__served *served, qn_error *err);
void qn__served_return_desk(qn__served *served, qn__desk *desk);
/* Scores (and contributions) of the desk's rows. */
qn_status qn__desk_predict(qn__served *served, qn__desk *desk, bool explain, qn_error *err)
    QN_MUST_USE;

/* ---- routes ---------------------------------------------------------------------------------- */

typedef struct qn__exchange qn__exchange;

typedef enum qn__dialect { QN__PLAIN, QN__V2, QN__MLFLOW, QN__TF } qn__dialect;
typedef enum qn__scope { QN__OPEN, QN__PREDICT, QN__ADMIN } qn__scope;

/* What a route's body and answer are, for the OpenAPI document. */
typedef enum qn__form {
    QN__FORM_NONE, QN__FORM_PLAIN, QN__FORM_V2, QN__FORM_MLFLOW, QN__FORM_TF, QN__FORM_ANY,
} qn__form;

typedef struct qn__route {
    const char *method;
    const char *path;     /* "/v2/models/{model}/infer"; a part in braces is one segment or its part */
    qn__dialect dialect;  /* how errors are told */
    qn__scope scope;
    bool drains;          /* a prediction: counted, limited, and refused while draining */
    qn__form form;
    const char *summary;
    void (*handle)(qn__exchange *x);
} qn__route;

const qn__route *qn__routes(size_t *ret_n);
/* A path of the options as a route like another. */
typedef struct qn__match {
    const qn__route *route;   /* NULL: none; then `allowed` lists methods when the path is known */
    const char *allowed;
    char model[256], version[32]; /* decoded parts; "" for none */
} qn__match;
void qn__route_find(const qn_server *server, const char *method, const char *path,
                    qn__match *ret_match);

/* ---- one request ----------------------------------------------------------------------------- */

enum { QN__REQUEST_ID_BYTES = 128 };

typedef struct qn__wire qn__wire;

/* A wire has one, for one request after the other. */
struct qn__exchange {
    qn_server *server;
    qn__wire *wire;            /* NULL only where the fuzzers play it */
    qn__head head;
    qn__match match;
    char matched[192];         /* the path that `match` was found for; "" for none */
    int64_t start_us;          /* monotonic */
    char *body;                /* borrowed from the wire; ends in NUL */
    size_t body_len;
    int refused;               /* status decided before the body had come; 0: none */
    bool counted;              /* in flight */
    bool ends;                 /* the connection is closed after the answer */
    bool skips;                /* the body is not even read: then it ends, too */
    /* the answer */
    int status;
    const char *content_type;  /* literal */
    qn_buf out;                /* owned; used when `desk` is NULL */
    qn__served *served;        /* reference, or NULL */
    qn__desk *desk;            /* taken, or NULL */
    const char *extra_name, *extra_value; /* one further header: literals or borrowed until answered */
    char extra_text[64];
    qn_error error;            /* why, when status >= 400 */
};

/* A request whose head has been read: what can be refused by that alone is. */
void qn__exchange_begin(qn__exchange *x, int64_t now_us);
/* Refuses, unless it is refused already; for what is not HTTP, comes too slowly or does not fit. */
void qn__exchange_refuse(qn__exchange *x, int status, const char *format, ...) QN_PRINTF(3, 4);
/* The body is there, or will not come: handles it. The answer is its head, in `head`, and what
 * qn__out has, unless it has none (HEAD, 204). */
void qn__exchange_finish(qn__exchange *x);
void qn__exchange_head(qn__exchange *x, qn_buf *head);
/* It was answered, or cannot be any more: counts, logs, gives back. */
void qn__exchange_end(qn__exchange *x, int64_t now_us);

/* Where the handler writes. */
qn_buf *qn__out(qn__exchange *x);
/* Takes the model that the path names (or the default one), with a desk. On failure the error is
 * answered already and false returned. */
bool qn__take_model(qn__exchange *x);
/* Answers with x->error or *err, in the dialect's form. The status follows from the code. */
void qn__fail(qn__exchange *x, const qn_error *err);
void qn__fail_as(qn__exchange *x, int status, const char *format, ...) QN_PRINTF(3, 4);
/* A query argument, NULL for none; borrowed. "?explain" has the value "". */
const char *qn__query(qn__exchange *x, const char *name);

/* ---- answers --------------------------------------------------------------------------------- */

/* What a request may ask beside the prediction. */
typedef struct qn__wishes {
    bool probabilities, explain;
    qn_rows_policy policy;
} qn__wishes;

/* From the query; `probabilities` unless it says otherwise. QN_ERR_USAGE for what is no wish. */
qn_status qn__wishes_of(qn__exchange *x, bool probabilities, qn__wishes *ret_wishes, qn_error *err)
    QN_MUST_USE;
/* Reads {"probabilities": true, "explain": true, ...}: the `params` or `parameters` of a body. */
qn_status qn__wishes_read(qn_scan *scan, qn__wishes *wishes, qn_error *err) QN_MUST_USE;

void qn__put_json_text(qn_buf *out, const char *bytes, size_t n);
void qn__put_number(qn_buf *out, double x); /* null where it is not finite */
/* The label, or the value. */
void qn__put_prediction(qn_buf *out, const qn__served *served, const double *scores);
/* A list of the scores of a row, or the one number there is. */
void qn__put_scores(qn_buf *out, const qn__served *served, const double *scores);
/* "prediction": .., "probability": .., "explanation": {..}; and the same as an object. */
void qn__put_members(qn_buf *out, const qn__served *served, const qn__desk *desk, int64_t i_row,
                     const qn__wishes *wishes);
void qn__put_row(qn_buf *out, const qn__served *served, const qn__desk *desk, int64_t i_row,
                 const qn__wishes *wishes);
/* ["a", "b"], or a list of objects when more than predictions is wished. */
void qn__put_predictions(qn_buf *out, const qn__served *served, const qn__desk *desk,
                         const qn__wishes *wishes);
/* Rows of `prediction,probability...`. */
void qn__put_csv(qn_buf *out, const qn__served *served, const qn__desk *desk, bool header);

/* Rows of a CSV body, by its header or in the order of the signature. Unless the client says
 * whether there is a header, there is one when the first line names an input; *header tells. */
typedef enum qn__csv_header {
    QN__HEADER_FIND, QN__HEADER_PRESENT, QN__HEADER_ABSENT,
} qn__csv_header;
qn_status qn__csv_read(qn__desk *desk, const char *bytes, size_t n, qn__csv_header *header,
                       qn_error *err) QN_MUST_USE;
/* Rows of a body of JSON lines, one object or list a line. */
qn_status qn__lines_read(qn__desk *desk, const char *bytes, size_t n, qn_error *err) QN_MUST_USE;

/* A row of values that were seen in training, as an object. */
void qn__put_example(qn_buf *out, const qn__served *served);
/* A segment of a path, percent-encoded. */
void qn__put_path_part(qn_buf *out, const char *text);

/* Handlers, in the order of the table. */
void qn__handle_page(qn__exchange *x);
void qn__handle_openapi(qn__exchange *x);
void qn__handle_alive(qn__exchange *x);
void qn__handle_ready(qn__exchange *x);
void qn__handle_metrics(qn__exchange *x);
void qn__handle_models(qn__exchange *x);
void qn__handle_model(qn__exchange *x);
void qn__handle_plain(qn__exchange *x);
void qn__handle_v2_server(qn__exchange *x);
void qn__handle_v2_live(qn__exchange *x);
void qn__handle_v2_ready(qn__exchange *x);
void qn__handle_v2_model(qn__exchange *x);
void qn__handle_v2_model_ready(qn__exchange *x);
void qn__handle_v2_infer(qn__exchange *x);
void qn__handle_v2_index(qn__exchange *x);
void qn__handle_v2_load(qn__exchange *x);
void qn__handle_v2_unload(qn__exchange *x);
void qn__handle_v2_stats(qn__exchange *x);
void qn__handle_invocations(qn__exchange *x);
void qn__handle_version(qn__exchange *x);
void qn__handle_execution(qn__exchange *x);
void qn__handle_tf_predict(qn__exchange *x);
void qn__handle_tf_status(qn__exchange *x);
void qn__handle_tf_metadata(qn__exchange *x);

/* ---- the server ------------------------------------------------------------------------------ */

enum { QN__LATENCY_BUCKETS = 20, QN__DATES = 8, QN__DATE_BYTES = 29 };

typedef struct qn__metrics {
    _Atomic int64_t requests[QN__TF + 1][6]; /* by dialect and hundreds of the status */
    _Atomic int64_t errors[32];              /* by qn__error_kind */
    _Atomic int64_t latency[QN__LATENCY_BUCKETS + 1];
    _Atomic int64_t latency_ns;
    _Atomic int64_t in_flight, connections, swaps, shut;
} qn__metrics;

void qn__metrics_count(qn__metrics *metrics, const qn__exchange *x, int64_t ns);

typedef struct qn__tokens qn__tokens;
qn_status qn__tokens_open(const char *path, qn__tokens **ret_tokens, qn_error *err) QN_MUST_USE;
void qn__tokens_free(qn__tokens **tokens);
/* What the Authorization header allows; QN__OPEN: nothing. */
qn__scope qn__tokens_scope(const qn__tokens *tokens, const char *authorization);

typedef struct qn__access_log qn__access_log;
qn_status qn__access_log_open(const char *path, qn__access_log **ret_log, qn_error *err)
    QN_MUST_USE;
qn_status qn__access_log_reopen(qn__access_log *log, qn_error *err) QN_MUST_USE;
void qn__access_log_write(qn__access_log *log, const qn__exchange *x, int64_t us);
void qn__access_log_free(qn__access_log **log);

struct qn_server {
    qn_server_options options;  /* text owned by `texts` */
    qn_arena *texts;            /* owned */
    qn__models *models;         /* owned */
    struct qn__loop *loops;     /* owned; options.n_threads (wire.h) */
    struct qn__tls *tls;        /* owned; NULL: not asked for */
    int listener;               /* owned descriptor; -1: none */
    int port;
    char *url;                  /* owned */
    qn__route vertex[2];        /* predict_route, health_route */
    _Atomic bool draining, stopping;
    pthread_t watcher;
    bool has_watcher;
    pthread_mutex_t lock;       /* tokens */
    qn__tokens *tokens;         /* owned; NULL: none asked for */
    qn__access_log *log;        /* owned; NULL for none */
    qn__metrics metrics;
    int64_t start_us;           /* wall clock */
    char dates[QN__DATES][QN__DATE_BYTES + 1]; /* the header Date, written by the watcher once a
                                   second, in turns */
    _Atomic int i_date;         /* the one to show */
};

void *qn__watch(void *server); /* the watcher's thread */
/* Writes the present second as the next of `dates`, unless it is there. */
void qn__date_refresh(qn_server *server);

int64_t qn__clock_us(void); /* monotonic */
int64_t qn__wall_us(void);

#endif
