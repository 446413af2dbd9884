/* Counters, and their text for Prometheus (exposition format 0.0.4). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "serve/serve_int.h"

/* Upper bounds of the latency histogram, in microseconds. */
static const int64_t bounds_us[QN__LATENCY_BUCKETS] = {
    10,    20,    50,     100,    200,    500,     1000,    2000,    5000,     10000,
    20000, 50000, 100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000, 30000000};

static const char *const dialects[] = {"plain", "v2", "mlflow", "tensorflow"};

/* Why requests were refused, by status. */
static const struct {
    int status;
    const char *kind;
} kinds[] = {{400, "bad_request"},   {401, "no_token"},     {403, "forbidden"}, {404, "not_found"},
             {405, "bad_method"},    {408, "gone_or_slow"}, {413, "too_large"}, {415, "bad_type"},
             {429, "too_many"},      {500, "internal"},     {503, "unavailable"}};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

/* What is no HTTP as it is spoken here is a bad request; heads may be too large as bodies may. */
static int counted_as(int status) {
    if (status == 414 || status == 431)
        return 413;
    return status == 417 || status == 501 || status == 505 ? 400 : status;
}

void qn__metrics_count(qn__metrics *metrics, const qn__exchange *x, int64_t ns) {
    int dialect = x->match.route ? (int)x->match.route->dialect : (int)QN__PLAIN;
    atomic_fetch_add_explicit(&metrics->requests[dialect][x->status / 100 % 6], 1,
                              memory_order_relaxed);
    for (int i = 0; x->status >= 400 && i < N_KINDS; i++)
        if (kinds[i].status == counted_as(x->status))
            atomic_fetch_add_explicit(&metrics->errors[i], 1, memory_order_relaxed);
    if (!x->match.route || !x->match.route->drains)
        return;
    int b = 0;
    while (b < QN__LATENCY_BUCKETS && ns > bounds_us[b] * 1000)
        b++;
    atomic_fetch_add_explicit(&metrics->latency[b], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metrics->latency_ns, ns, memory_order_relaxed);
}

/* --- the text --------------------------------------------------------------------------------- */

static void head(qn_buf *out, const char *name, const char *type, const char *help) {
    qn_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(qn_buf *out, const char *name, const char *type, const char *help, double value) {
    head(out, name, type, help);
    qn_buf_printf(out, "%s ", name);
    qn_buf_put_double(out, value);
    qn_buf_put_char(out, '\n');
}

static void put_requests(qn_buf *out, const qn__metrics *m) {
    head(out, "quern_requests_total", "counter", "Requests by dialect and class of status.");
    for (int d = 0; d <= QN__TF; d++)
        for (int c = 2; c <= 5; c++)
            qn_buf_printf(out, "quern_requests_total{dialect=\"%s\",status=\"%dxx\"} %lld\n",
                          dialects[d], c, (long long)atomic_load(&m->requests[d][c]));
    head(out, "quern_errors_total", "counter", "Refused or failed requests by kind.");
    for (int i = 0; i < N_KINDS; i++)
        qn_buf_printf(out, "quern_errors_total{kind=\"%s\"} %lld\n", kinds[i].kind,
                      (long long)atomic_load(&m->errors[i]));
}

static void put_latency(qn_buf *out, const qn__metrics *m) {
    int64_t n = 0;
    head(out, "quern_request_duration_seconds", "histogram",
         "Predictions: from the headers to the end of the answer.");
    for (int b = 0; b < QN__LATENCY_BUCKETS; b++) {
        n += atomic_load(&m->latency[b]);
        qn_buf_printf(out, "quern_request_duration_seconds_bucket{le=\"%g\"} %lld\n",
                      (double)bounds_us[b] * 1e-6, (long long)n);
    }
    n += atomic_load(&m->latency[QN__LATENCY_BUCKETS]);
    qn_buf_printf(out,
                  "quern_request_duration_seconds_bucket{le=\"+Inf\"} %lld\n"
                  "quern_request_duration_seconds_sum %.9g\nquern_request_duration_seconds_count "
                  "%lld\n",
                  (long long)n, (double)atomic_load(&m->latency_ns) * 1e-9, (long long)n);
}

/* A label's value: backslash, quote and newline are escaped. */
static void put_label(qn_buf *out, const char *text) {
    for (; *text; text++) {
        if (*text == '\\' || *text == '"')
            qn_buf_put_char(out, '\\');
        if (*text == '\n')
            qn_buf_put_text(out, "\\n");
        else
            qn_buf_put_char(out, *text);
    }
}

static void put_of_model(qn_buf *out, const char *name, const qn__served *served, double value) {
    qn_buf_printf(out, "%s{model=\"", name);
    put_label(out, served->name);
    qn_buf_printf(out, "\",version=\"%s\"} ", served->version_text);
    qn_buf_put_double(out, value);
    qn_buf_put_char(out, '\n');
}

typedef double measure(const qn__served *served);

static double of_requests(const qn__served *s) {
    return (double)atomic_load(&s->counts.requests);
}
static double of_failures(const qn__served *s) {
    return (double)atomic_load(&s->counts.failures);
}
static double of_rows(const qn__served *s) {
    return (double)atomic_load(&s->counts.rows);
}
static double of_seconds(const qn__served *s) {
    return (double)atomic_load(&s->counts.ns) * 1e-9;
}
static double of_age(const qn__served *s) {
    return (double)(qn__wall_us() - s->made_us) * 1e-6;
}
static double of_opened(const qn__served *s) {
    return (double)s->opened_us * 1e-6;
}

static const struct {
    const char *name, *type, *help;
    measure *value;
} measures[] = {
    {"quern_model_requests_total", "counter", "Predictions asked of a version.", of_requests},
    {"quern_model_failures_total", "counter", "Of these, refused or failed.", of_failures},
    {"quern_model_rows_total", "counter", "Rows predicted by a version.", of_rows},
    {"quern_model_seconds_total", "counter", "Time in predictions of a version.", of_seconds},
    {"quern_model_age_seconds", "gauge", "Since the version was made.", of_age},
    {"quern_model_opened_timestamp_seconds", "gauge", "When the version was opened.", of_opened},
};

static void put_models(qn_buf *out, qn__models *models) {
    qn__served **all;
    size_t n;
    if (qn__models_all(models, &all, &n, NULL) != QN_OK)
        return;
    for (size_t k = 0; k < sizeof measures / sizeof measures[0]; k++) {
        head(out, measures[k].name, measures[k].type, measures[k].help);
        for (size_t i = 0; i < n; i++)
            put_of_model(out, measures[k].name, all[i], measures[k].value(all[i]));
    }
    for (size_t i = 0; i < n; i++)
        qn__served_release(all[i]);
    qn_freep(&all);
}

static double resident_bytes(void) {
    long long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return 0;
    if (fscanf(file, "%lld %lld", &pages, &resident) != 2)
        resident = 0;
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

void qn__handle_metrics(qn__exchange *x) {
    const qn__metrics *m = &x->server->metrics;
    qn_buf *out = qn__out(x);
    x->content_type = "text/plain; version=0.0.4; charset=utf-8";
    put_requests(out, m);
    put_latency(out, m);
    one(out, "quern_in_flight", "gauge", "Predictions under way.",
        (double)atomic_load(&m->in_flight));
    one(out, "quern_connections", "gauge", "Open connections.",
        (double)atomic_load(&m->connections));
    one(out, "quern_connections_shut_total", "counter", "Connections shut for being slow or idle.",
        (double)atomic_load(&m->shut));
    one(out, "quern_swaps_total", "counter", "Changes of a served version, or refusals of one.",
        (double)atomic_load(&m->swaps));
    put_models(out, x->server->models);
    one(out, "process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes());
    one(out, "process_start_time_seconds", "gauge", "Start time since the epoch.",
        (double)x->server->start_us * 1e-6);
}
