/* Reading a CSV file into a frame, beside DuckDB counting all its columns (the least it can do with
 * each value is to parse it) and beside its own way into memory. csv [megabytes] [threads] [file]
 * Without a file one is made under /tmp: 18 columns of numbers, names, times, texts, some missing.
 * Processor seconds (cpu) are steadier than the clock's on a machine with other work. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/job.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/duckdb_api.h"
#include "data/source.h"

enum { ROUNDS = 3 };

static void die(const char *what) {
    fprintf(stderr, "csv: %s\n", what);
    exit(1);
}

static double draw(int64_t i, uint64_t stream) {
    return qn_rng_hash_uniform(stream, (uint64_t)i);
}

static void put_row(FILE *out, int64_t i) {
    static const char *const states[] = {"private", "self employed", "federal",
                                         "local",   "never",         "without pay"};
    static const char *const words[] = {"red",   "green", "long", "short",
                                        "round", "old",   "fine", "wide"};
    fprintf(out, "%lld,%d,%d,%d,%.6f,%.4f,%.2f,%.17g,%.17g,", (long long)i, (int)(draw(i, 1) * 90),
            (int)(draw(i, 2) * 100000), (int)(draw(i, 3) * 2), draw(i, 4), draw(i, 5) * 1000 - 500,
            draw(i, 6) * 1e6, draw(i, 7) - 0.5, draw(i, 8) * 1e-3);
    if (draw(i, 9) < 0.1)
        fputs(",", out);
    else
        fprintf(out, "%.3f,", draw(i, 9) * 50);
    fprintf(out, "%s,%s,%c%03d,%s,", states[(int)(draw(i, 10) * 6)],
            draw(i, 11) < 0.5 ? "yes" : "no", 'A' + (int)(draw(i, 12) * 26),
            (int)(draw(i, 13) * 1000), draw(i, 14) < 0.05 ? "?" : "known");
    fprintf(out, "2024-%02d-%02d %02d:%02d:%02d,", 1 + (int)(draw(i, 15) * 12),
            1 + (int)(draw(i, 16) * 28), (int)(draw(i, 17) * 24), (int)(draw(i, 18) * 60),
            (int)(draw(i, 19) * 60));
    fprintf(out, "\"%s, %s and %s\",user%07d,%s\n", words[(int)(draw(i, 20) * 8)],
            words[(int)(draw(i, 21) * 8)], words[(int)(draw(i, 22) * 8)],
            (int)(draw(i, 23) * 300000), draw(i, 24) < 0.3 ? "true" : "false");
}

static void make_file(const char *path, double megabytes) {
    FILE *out = fopen(path, "w");
    if (!out)
        die("cannot write the file");
    fputs("id,age,zip,flag,u,balance,amount,score,rate,hours,work,member,code,status,time,note,"
          "user,closed\n",
          out);
    for (int64_t i = 0; (double)ftello(out) < megabytes * 1e6; i++)
        put_row(out, i);
    if (fclose(out) != 0)
        die("cannot write the file");
}

static double cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* The best of several rounds: seconds by the clock and of the processors. */
typedef struct times {
    double wall, cpu;
} times;

static void keep_best(times *best, double wall, double cpu) {
    if (best->wall == 0 || wall < best->wall)
        best->wall = wall;
    if (best->cpu == 0 || cpu < best->cpu)
        best->cpu = cpu;
}

static void read_frame(const char *path, const qn_job *job, times *best) {
    qn_source *source = NULL;
    qn_frame *frame = NULL;
    qn_error err = {0};
    const qn_source_options options = {.path = path, .header = -1};
    const double wall = qn_now_s(), cpu = cpu_s();
    if (qn_source_open(&options, job, &source, &err) != QN_OK ||
        qn_source_next(source, INT64_MAX, job, &frame, &err) != QN_OK)
        die(err.message);
    keep_best(best, qn_now_s() - wall, cpu_s() - cpu);
    qn_source_free(&source);
    qn_frame_free(&frame);
}

static void stream(const char *path, const qn_schema *schema, const qn_job *job, times *best) {
    qn_source *source = NULL;
    qn_error err = {0};
    const qn_source_options options = {.path = path, .header = -1};
    const double wall = qn_now_s(), cpu = cpu_s();
    if (qn_source_open_as(&options, schema, job, &source, &err) != QN_OK)
        die(err.message);
    for (;;) {
        qn_frame *frame = NULL;
        if (qn_source_next(source, 16384, job, &frame, &err) != QN_OK)
            die(err.message);
        if (!frame)
            break;
        qn_frame_free(&frame);
    }
    keep_best(best, qn_now_s() - wall, cpu_s() - cpu);
    qn_source_free(&source);
}

static void run_sql(const qn_duckdb *api, const char *sql, int n_threads, times *best) {
    duckdb_database database = NULL;
    duckdb_connection connection = NULL;
    duckdb_config config = NULL;
    char threads[16];
    snprintf(threads, sizeof threads, "%d", n_threads);
    api->duckdb_create_config(&config);
    api->duckdb_set_config(config, "threads", threads);
    if (api->duckdb_open_ext(NULL, &database, config, NULL) != DuckDBSuccess ||
        api->duckdb_connect(database, &connection) != DuckDBSuccess)
        die("cannot start DuckDB");
    api->duckdb_destroy_config(&config);
    const double wall = qn_now_s(), cpu = cpu_s();
    duckdb_extracted_statements statements = NULL;
    duckdb_prepared_statement prepared = NULL;
    duckdb_pending_result pending = NULL;
    duckdb_result result = {0};
    api->duckdb_extract_statements(connection, sql, &statements);
    if (api->duckdb_prepare_extracted_statement(connection, statements, 0, &prepared) !=
            DuckDBSuccess ||
        api->duckdb_pending_prepared(prepared, &pending) != DuckDBSuccess ||
        api->duckdb_execute_pending(pending, &result) != DuckDBSuccess)
        die("DuckDB cannot read the file");
    keep_best(best, qn_now_s() - wall, cpu_s() - cpu);
    api->duckdb_destroy_result(&result);
    api->duckdb_destroy_pending(&pending);
    api->duckdb_destroy_prepare(&prepared);
    api->duckdb_destroy_extracted(&statements);
    api->duckdb_disconnect(&connection);
    api->duckdb_close(&database);
}

static char *count_sql(const char *path, const qn_schema *schema) {
    qn_buf sql = {0};
    for (int32_t j = 0; j < schema->n_columns; j++)
        qn_buf_printf(&sql, "%s count(\"%s\")", j ? "," : "SELECT", schema->columns[j].name);
    qn_buf_printf(&sql, " FROM read_csv('%s')", path);
    return qn_buf_steal(&sql);
}

static void report(const char *name, const times *t) {
    printf("%s_s: %.3f\n%s_cpu_s: %.3f\n", name, t->wall, name, t->cpu);
}

int main(int argc, char **argv) {
    const double megabytes = argc > 1 ? atof(argv[1]) : 200;
    const int n_threads = argc > 2 ? atoi(argv[2]) : qn_threads_available();
    const qn_job job = {.n_threads = n_threads};
    char made[] = "/tmp/quern-bench-XXXXXX.csv";
    const char *path = argc > 3 ? argv[3] : made;
    if (argc <= 3) {
        const int fd = mkstemps(made, 4);
        if (fd < 0 || close(fd) != 0)
            die("cannot make a file");
        make_file(path, megabytes);
    }
    qn_error err = {0};
    qn_source *source = NULL;
    const qn_duckdb *api = NULL;
    const qn_source_options options = {.path = path, .header = -1};
    if (qn_duckdb_load(&api, &err) != QN_OK ||
        qn_source_open(&options, &job, &source, &err) != QN_OK)
        die(err.message);
    const qn_schema *schema = qn_source_schema(source);
    char *count = count_sql(path, schema),
         *load = qn_format("CREATE TABLE t AS SELECT * FROM read_csv('%s')", path);
    times frame = {0}, streamed = {0}, counted = {0}, loaded = {0};
    for (int i = 0; i < ROUNDS; i++) {
        read_frame(path, &job, &frame);
        run_sql(api, count, n_threads, &counted);
        stream(path, schema, &job, &streamed);
        run_sql(api, load, n_threads, &loaded);
    }
    printf("threads: %d\n", n_threads);
    report("frame", &frame);
    report("stream", &streamed);
    report("duckdb_count", &counted);
    report("duckdb_load", &loaded);
    printf("frame_ratio: %.3f\nframe_cpu_ratio: %.3f\n", frame.wall / counted.wall,
           frame.cpu / counted.cpu);
    printf("stream_ratio: %.3f\nstream_cpu_ratio: %.3f\n", streamed.wall / counted.wall,
           streamed.cpu / counted.cpu);
    qn_source_free(&source);
    qn_freep(&count);
    qn_freep(&load);
    if (argc <= 3)
        unlink(path);
    return 0;
}
