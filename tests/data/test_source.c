/* Reading and writing tables: dialects, types, refusals, snapshots, sinks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/source.h"

static char folder[] = "/tmp/quern-test-XXXXXX";

static int make_folder(void **state) {
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void put_file(const char *name, const char *text) {
    qn_cleanup(qn_freep) char *path = qn_path_join(folder, name);
    assert_int_equal(qn_file_write(path, text, strlen(text), NULL), QN_OK);
}

static qn_status open_it(const qn_source_options *options, qn_source **ret_source, qn_error *err) {
    qn_source_options o = *options;
    o.folder = folder;
    return qn_source_open(&o, NULL, ret_source, err);
}

/* "name:type ..." and all rows, for comparison by eye. */
static void describe(qn_source *source, qn_buf *out) {
    const qn_schema *schema = qn_source_schema(source);
    for (int32_t j = 0; j < schema->n_columns; j++)
        qn_buf_printf(out, "%s:%s ", schema->columns[j].name,
                      qn_type_name(schema->columns[j].type));
    for (;;) {
        qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
        qn_error err = {0};
        if (qn_source_next(source, 2, NULL, &frame, &err) != QN_OK)
            qn_buf_printf(out, "/ %s", err.message);
        if (!frame)
            return;
        for (int64_t i = 0; i < frame->n_rows; i++) {
            qn_buf_put_text(out, "/ ");
            for (int32_t j = 0; j < frame->n_columns; j++) {
                qn_column_format(&frame->columns[j], i, out);
                qn_buf_put_char(out, ' ');
            }
        }
    }
}

static void check_reads(const char *file, const char *text, const char *query, const char *wanted) {
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_error err = {0};
    put_file(file, text);
    const qn_source_options options = {.path = file, .query = query, .header = -1};
    if (open_it(&options, &source, &err) == QN_OK)
        describe(source, &out);
    else
        qn_buf_put_text(&out, err.message);
    assert_string_equal(qn_buf_text(&out), wanted);
}

static void dialects(void **state) {
    static const char *const plain = "a:integer b:category / 1 x / 2 y ";
    check_reads("comma.csv", "a,b\n1,x\n2,y\n", NULL, plain);
    check_reads("crlf.csv", "a,b\r\n1,x\r\n2,y\r\n", NULL, plain);
    check_reads("no_end.csv", "a,b\n1,x\n2,y", NULL, plain);
    check_reads("bom.csv",
                "\xef\xbb\xbf"
                "a,b\n1,x\n2,y\n",
                NULL, plain);
    check_reads("semi.csv", "a;b\n1;x\n2;y\n", NULL, plain);
    check_reads("pipe.txt", "a|b\n1|x\n2|y\n", NULL, plain);
    check_reads("tab.tsv", "a\tb\n1\tx\n2\ty\n", NULL, plain);
    check_reads("single.csv", "a,b\n1,'x'\n2,'y'\n", NULL, plain);
    check_reads("bare.csv", "1,x\n2,y\n", NULL, "column0:integer column1:category / 1 x / 2 y ");
    check_reads("quoted.csv", "\"a\",\"b, c\"\n1,\"x, \"\"q\"\"\"\n2,\"two\nlines\"\n", NULL,
                "a:integer b, c:category / 1 x, \"q\" / 2 two\nlines ");
    check_reads("spaced.csv", "a, b\n1, x\n ?, ?\n2, y\n", NULL,
                "a:integer b:category / 1 x /   / 2 y ");
    check_reads("one.csv", "a\n1\n2\n", NULL, "a:integer / 1 / 2 ");
    check_reads("lines.jsonl", "{\"a\": 1, \"b\": \"x\"}\n{\"a\": 2, \"b\": \"y\"}\n", NULL, plain);
    check_reads("query.csv", "a,b\n1,x\n2,y\n3,z\n", "SELECT * FROM source WHERE a < 3 ORDER BY a;",
                plain);
}

static void check_refused(const char *file, const char *wanted) {
    qn_source *source = NULL;
    qn_error err = {0};
    assert_int_equal(open_it(&(qn_source_options){.path = file, .header = -1}, &source, &err),
                     QN_ERR_DATA);
    assert_string_equal(err.message, wanted);
}

static void types_are_those_of_all_rows(void **state) {
    check_reads("missing.csv", "i,f,c\n1,?,x\nNA,1.5,N/A\nnull,NaN,\n3,inf,None\n", NULL,
                "i:integer f:number c:category / 1  x /  1.5  /    / 3 Infinity  ");
    check_reads("zeros.csv", "id,b\n007,true\n010,false\n", NULL,
                "id:category b:bool / 007 true / 010 false ");
    check_reads("times.csv", "t\n2020-01-01\n2020-06-01\n", NULL,
                "t:time / 2020-01-01T00:00:00 / 2020-06-01T00:00:00 ");
    check_reads("big.csv", "a\n12345678901234567\n12345678901234569\n", NULL,
                "a:integer / 12345678901234567 / 12345678901234569 ");
    qn_cleanup(qn_buf_done) qn_buf late = {0};
    qn_buf_put_text(&late, "a\n");
    for (int i = 0; i < 30000; i++)
        qn_buf_printf(&late, "%d\n", i);
    qn_buf_put_text(&late, "0.5\n");
    put_file("late.csv", qn_buf_text(&late));
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    assert_int_equal(open_it(&(qn_source_options){.path = "late.csv", .header = -1}, &source, NULL),
                     QN_OK);
    assert_int_equal(qn_source_schema(source)->columns[0].type, QN_TYPE_F64);
}

static void refusals_say_where(void **state) {
    check_reads(
        "ragged.csv", "a,b,c\n1,x,2\n1,2\n", NULL,
        "ragged.csv row 2: 2 fields where the header has 3; check for a missing or extra ',', or "
        "for text that needs quotes");
    check_reads(
        "double.csv", "a,b,a\n1,x,2\n", NULL,
        "double.csv: the header names 'a' more than once (upper and lower case count as equal); "
        "rename the columns, or set data.header to false when the first line is data");
    check_reads("empty.csv", "", NULL, "empty.csv is empty");
    check_reads("blank.csv", "\n\n", NULL, "blank.csv is empty");
    check_reads("header.csv", "a,b\n", NULL, "header.csv has no rows");
    check_reads("latin.csv", "a,b\n1,x\n2,\xe9\n", NULL,
                "latin.csv row 2: the text is not UTF-8; save the file in the encoding UTF-8");
    qn_cleanup(qn_freep) char *path = qn_path_join(folder, "nul.csv");
    assert_int_equal(qn_file_write(path, "a,b\0\n1,2\n", 9, NULL), QN_OK);
    check_refused("nul.csv", "nul.csv has a NUL byte in its first line; is it text?");
    assert_int_equal(qn_file_write(path, "\0a\n1\n", 5, NULL), QN_OK);
    check_refused("nul.csv", "nul.csv has a NUL byte in its first line; is it text?");
    check_reads("open.csv", "a,b\n1,\"x\n2,y\n", NULL,
                "open.csv row 1: a quote (\") begins and does not end with the field");
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    qn_buf_put_text(&text, "a,b\n");
    for (int i = 0; i < 50; i++)
        qn_buf_printf(&text, "%d,%d\n", i, i);
    qn_buf_put_text(&text, "abc,1\n");
    check_reads(
        "word.csv", qn_buf_text(&text), NULL,
        "word.csv row 51, column a: 'abc' is not a number; list it under data.missing, or declare "
        "the column's type under data.types");
    qn_source *source = NULL;
    qn_error err = {0};
    assert_int_equal(open_it(&(qn_source_options){.path = "none.csv"}, &source, &err),
                     QN_ERR_NOT_FOUND);
    assert_int_equal(open_it(&(qn_source_options){.path = "none*.csv"}, &source, &err),
                     QN_ERR_NOT_FOUND);
    assert_int_equal(open_it(&(qn_source_options){.path = "."}, &source, &err), QN_ERR_DATA);
    assert_non_null(strstr(err.message, "is a folder"));
}

static void huge_field_names_the_limit(void **state) {
    const size_t n = (size_t)17 << 20;
    qn_cleanup(qn_freep) char *text = qn_calloc(n + 16, 1);
    memcpy(text, "a,b\n1,", 6);
    memset(text + 6, 'x', n);
    text[n + 6] = '\n';
    check_reads("huge.csv", text, NULL,
                "huge.csv row 1: it is longer than the limit of 16 MiB for one row (or a quote "
                "does not end)");
}

static void stated_types_and_missing(void **state) {
    put_file("stated.csv", "a,b\n1,-999\n2,5\n");
    const qn_source_column_type types[] = {{"a", QN_TYPE_CATEGORY}, {"b", QN_TYPE_F64}};
    const char *const missing[] = {"-999"};
    const qn_source_options options = {.path = "stated.csv",
                                       .header = 1,
                                       .types = types,
                                       .n_types = 2,
                                       .missing = missing,
                                       .n_missing = 1};
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_error err = {0};
    assert_int_equal(open_it(&options, &source, &err), QN_OK);
    describe(source, &out);
    assert_string_equal(qn_buf_text(&out), "a:category b:number / 1  / 2 5 ");
    const qn_source_column_type wrong[] = {{"zz", QN_TYPE_F64}};
    qn_source *none = NULL;
    assert_int_equal(
        open_it(&(qn_source_options){.path = "stated.csv", .types = wrong, .n_types = 1}, &none,
                &err),
        QN_ERR_CONFIG);
}

static void query_cannot_reach_out(void **state) {
    static const char *const refused[] = {
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd.csv'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "COPY source TO '/tmp/quern-stolen.csv'",
        "DROP TABLE source",
        "SELECT 1; SELECT 2",
        "ATTACH '/tmp/quern-stolen.db'",
        "SET threads = 9",
        "INSTALL httpfs",
        "SELECT nothing FROM source",
        "",
    };
    put_file("q.csv", "a,b\n1,x\n2,y\n");
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        qn_cleanup(qn_source_free) qn_source *source = NULL;
        qn_error err = {0};
        const qn_source_options options = {.path = "q.csv", .header = -1, .query = refused[i]};
        assert_int_equal(open_it(&options, &source, &err), QN_ERR_CONFIG);
        assert_true(strncmp(err.message, "data.query", 10) == 0);
    }
    assert_false(qn_file_exists("/tmp/quern-stolen.csv"));
}

static void schema_is_forced(void **state) {
    put_file("as.csv", "extra,f,i\n01,1,2\n02,2.5,3\n");
    qn_schema_column columns[] = {{(char *)"i", QN_TYPE_I64}, {(char *)"f", QN_TYPE_F64}};
    const qn_schema schema = {2, columns};
    const qn_source_options options = {.path = "as.csv", .folder = folder, .header = -1};
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_error err = {0};
    assert_int_equal(qn_source_open_as(&options, &schema, NULL, &source, &err), QN_OK);
    describe(source, &out);
    assert_string_equal(qn_buf_text(&out), "i:integer f:number extra:text / 2 1 01 / 3 2.5 02 ");
    qn_source_free(&source);
    columns[0].name = (char *)"p";
    columns[1].name = (char *)"q";
    assert_int_equal(qn_source_open_as(&options, &schema, NULL, &source, &err), QN_ERR_DATA);
    assert_string_equal(err.message, "as.csv lacks columns that the model needs: 'p', 'q'");
    static const char *const bad[][2] = {
        {"i,f\n1,2\nx,3\n", "bad.csv row 2, column i: 'x' is not a "},
        {"i,f\n1,2\n2,3\n1.5,3\n", "bad.csv row 3, column i: '1.5' is not a whole number"},
        {"i,f\n1,2\n2,y\n", "bad.csv row 2, column f: 'y' is not a number"},
    };
    columns[0].name = (char *)"i";
    columns[1].name = (char *)"f";
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        qn_cleanup(qn_source_free) qn_source *s = NULL;
        qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
        put_file("bad.csv", bad[k][0]);
        const qn_source_options o = {.path = "bad.csv", .folder = folder, .header = -1};
        qn_status status = qn_source_open_as(&o, &schema, NULL, &s, &err);
        if (status == QN_OK)
            status = qn_source_next(s, 100, NULL, &frame, &err);
        assert_int_equal(status, QN_ERR_DATA);
        assert_true(strncmp(err.message, bad[k][1], strlen(bad[k][1])) == 0);
    }
}

static void read_whole(const char *path, qn_frame **ret_frame) {
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_error err = {0};
    const qn_source_options options = {.path = path, .folder = folder, .header = -1};
    if (qn_source_open(&options, NULL, &source, &err) != QN_OK)
        fail_msg("%s", err.message);
    assert_int_equal(qn_source_next(source, INT64_MAX, NULL, ret_frame, &err), QN_OK);
}

static const char all_types[] = "b,i,f,c,t\ntrue,1,0.5,red,2020-01-01 10:00:00\n,,,,\n"
                                "false,-3,inf,\"a,\"\"b\",1969-12-31 23:59:59\n";

static void snapshot_keeps_types_and_bytes(void **state) {
    put_file("snap.csv", all_types);
    char first[QN_DIGEST_TEXT] = "", digest[QN_DIGEST_TEXT], content[QN_DIGEST_TEXT],
         back[QN_DIGEST_TEXT];
    for (int n_threads = 1; n_threads <= 2; n_threads++) {
        qn_cleanup(qn_source_free) qn_source *source = NULL;
        qn_cleanup(qn_frame_free) qn_frame *frame = NULL, *read = NULL, *some = NULL;
        qn_cleanup(qn_freep) char *path = NULL;
        const qn_job job = {.n_threads = n_threads};
        const qn_source_options options = {.path = "snap.csv", .folder = folder, .header = -1};
        qn_error err = {0};
        int64_t n_rows = 0;
        assert_int_equal(qn_source_open(&options, &job, &source, &err), QN_OK);
        assert_int_equal(qn_source_snapshot(source, folder, &job, &path, &n_rows, &err), QN_OK);
        assert_int_equal(n_rows, 3);
        assert_int_equal(qn_digest_file(path, digest, &err), QN_OK);
        if (n_threads == 1)
            memcpy(first, digest, sizeof first);
        assert_string_equal(first, digest);
        read_whole("snap.csv", &frame);
        assert_int_equal(qn_snapshot_read(path, NULL, 0, &job, &read, &err), QN_OK);
        assert_int_equal(qn_frame_digest(frame, content, &err), QN_OK);
        assert_int_equal(qn_frame_digest(read, back, &err), QN_OK);
        assert_string_equal(content, back);
        assert_int_equal(qn_snapshot_read(path, (int64_t[]){0, 2}, 2, &job, &some, &err), QN_OK);
        assert_int_equal(some->columns[1].i64[1], -3);
        qn_frame_free(&some);
        assert_int_equal(qn_snapshot_read(path, (int64_t[]){3}, 1, &job, &some, &err),
                         QN_ERR_USAGE);
        assert_int_equal(qn_snapshot_read(path, (int64_t[]){1, 1}, 2, &job, &some, &err),
                         QN_ERR_USAGE);
    }
    put_file("not.parquet", "PAR1 this is not parquet");
    qn_cleanup(qn_freep) char *damaged = qn_path_join(folder, "not.parquet");
    qn_frame *none = NULL;
    qn_error err = {0};
    assert_int_equal(qn_snapshot_read(damaged, NULL, 0, NULL, &none, &err), QN_ERR_FORMAT);
    assert_int_equal(qn_snapshot_read("/nowhere", NULL, 0, NULL, &none, &err), QN_ERR_NOT_FOUND);
}

/* JSON knows no infinity. */
static const char finite_types[] = "b,i,f,c,t\ntrue,1,0.5,red,2020-01-01 10:00:00\n,,,,\n"
                                   "false,-3,1e-300,\"a,\"\"b\",1969-12-31 23:59:59\n";

static void every_sink_reads_back_equal(void **state) {
    static const char *const names[] = {"o.csv",     "o.tsv",   "o.parquet", "o.csv.gz",
                                        "o.csv.zst", "o.jsonl", "o.jsonl.gz"};
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    char wanted[QN_DIGEST_TEXT], found[QN_DIGEST_TEXT];
    put_file("in.csv", finite_types);
    read_whole("in.csv", &frame);
    assert_int_equal(qn_frame_digest(frame, wanted, NULL), QN_OK);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        qn_cleanup(qn_sink_free) qn_sink *sink = NULL;
        qn_cleanup(qn_freep) char *path = qn_path_join(folder, names[i]);
        qn_cleanup(qn_frame_free) qn_frame *back = NULL;
        qn_error err = {0};
        assert_int_equal(qn_sink_open(path, false, &sink, &err), QN_OK);
        assert_int_equal(qn_sink_write(sink, frame, NULL, &err), QN_OK);
        assert_false(qn_file_exists(path));
        assert_int_equal(qn_sink_finish(sink, &err), QN_OK);
        read_whole(names[i], &back);
        assert_int_equal(qn_frame_digest(back, found, &err), QN_OK);
        assert_string_equal(found, wanted);
    }
}

static void sink_failures_leave_nothing(void **state) {
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    qn_cleanup(qn_sink_free) qn_sink *sink = NULL;
    qn_cleanup(qn_freep) char *path = qn_path_join(folder, "lost.jsonl");
    qn_error err = {0};
    put_file("in.csv", all_types);
    read_whole("in.csv", &frame);
    assert_int_equal(qn_sink_open("/nowhere/x.csv", false, &sink, &err), QN_ERR_NOT_FOUND);
    assert_int_equal(qn_sink_open(folder, false, &sink, &err), QN_ERR_IO);
    qn_cleanup(qn_freep) char *odd = qn_path_join(folder, "lost.foo");
    assert_int_equal(qn_sink_open(odd, false, &sink, &err), QN_ERR_USAGE);
    assert_non_null(strstr(err.message, ".parquet"));
    assert_int_equal(qn_sink_open(path, false, &sink, &err), QN_OK);
    assert_int_equal(qn_sink_write(sink, frame, NULL, &err), QN_OK);
    qn_sink_free(&sink);
    assert_false(qn_file_exists(path));
}

static void globs_are_read_in_order(void **state) {
    put_file("part-2.csv", "a,b\n3,z\n");
    put_file("part-1.csv", "a,b\n1,x\n2,y\n");
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_error err = {0};
    assert_int_equal(
        open_it(&(qn_source_options){.path = "part-*.csv", .header = -1}, &source, &err), QN_OK);
    describe(source, &out);
    assert_string_equal(qn_buf_text(&out), "a:integer b:category / 1 x / 2 y / 3 z ");
    qn_source_free(&source);
    put_file("part-2.csv", "a,b\n3,z\n4\n");
    assert_int_equal(
        open_it(&(qn_source_options){.path = "part-*.csv", .header = -1}, &source, &err),
        QN_ERR_DATA);
    assert_non_null(strstr(err.message, "part-2.csv row 2: 1 fields where the header has 2"));
    put_file("part-2.csv", "a,c\n3,z\n");
    assert_int_equal(
        open_it(&(qn_source_options){.path = "part-*.csv", .header = -1}, &source, &err),
        QN_ERR_DATA);
    assert_non_null(strstr(err.message, "its columns differ"));
}

/* Values of every kind across block borders, quotes and escapes in the way of them. */
static void blocks_join_seamlessly(void **state) {
    enum { ROWS = 60000 };
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    qn_buf_put_text(&text, "i,f,t,late\n");
    for (int i = 0; i < ROWS; i++)
        qn_buf_printf(&text, "%d,%.3f,\"a \"\"%d\"\",\n%d\",%s\r\n", i, i / 8.0, i % 7, i % 11,
                      i == ROWS - 1 ? "word" : "");
    put_file("blocks.csv", qn_buf_text(&text));
    for (int n_threads = 1; n_threads <= 2; n_threads++) {
        qn_cleanup(qn_source_free) qn_source *source = NULL;
        const qn_job job = {.n_threads = n_threads};
        const qn_source_options options = {.path = "blocks.csv", .folder = folder, .header = -1};
        qn_error err = {0};
        assert_int_equal(qn_source_open(&options, &job, &source, &err), QN_OK);
        int64_t n = 0;
        for (;;) {
            qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
            assert_int_equal(
                qn_source_next(source, n_threads == 1 ? INT64_MAX : 7777, &job, &frame, &err),
                QN_OK);
            if (!frame)
                break;
            for (int64_t i = 0; i < frame->n_rows; i++, n++) {
                char wanted[32];
                size_t n_bytes = 0;
                snprintf(wanted, sizeof wanted, "a \"%d\",\n%d", (int)(n % 7), (int)(n % 11));
                const char *found = qn_column_text(&frame->columns[2], i, &n_bytes);
                assert_int_equal(frame->columns[0].i64[i], n);
                assert_true(frame->columns[1].f64[i] == (double)n / 8);
                assert_int_equal(n_bytes, strlen(wanted));
                assert_memory_equal(found, wanted, n_bytes);
                assert_int_equal(qn_column_is_valid(&frame->columns[3], i), n == ROWS - 1);
            }
        }
        assert_int_equal(n, ROWS);
    }
}

/* A column that was numbers for long is read again as what it is; numbers keep all their digits. */
static void columns_may_change_their_mind(void **state) {
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    qn_buf_put_text(&text, "c,w\n");
    for (int i = 0; i < 20; i++)
        qn_buf_put_text(&text, "1.50,9007199254740993\n");
    for (int i = 0; i < 20; i++)
        qn_buf_put_text(&text, "red,-9223372036854775808\n");
    put_file("mind.csv", qn_buf_text(&text));
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    assert_int_equal(open_it(&(qn_source_options){.path = "mind.csv", .header = -1}, &source, NULL),
                     QN_OK);
    assert_int_equal(qn_source_next(source, INT64_MAX, NULL, &frame, NULL), QN_OK);
    size_t n = 0;
    assert_int_equal(frame->columns[0].type, QN_TYPE_CATEGORY);
    assert_memory_equal(qn_column_text(&frame->columns[0], 0, &n), "1.50", 4);
    assert_int_equal(frame->columns[1].type, QN_TYPE_I64);
    assert_true(frame->columns[1].i64[0] == INT64_C(9007199254740993));
    assert_true(frame->columns[1].i64[39] == INT64_MIN);
    qn_schema_column columns[] = {{(char *)"w", QN_TYPE_I64}};
    const qn_source_options options = {.path = "mind.csv", .folder = folder, .header = -1};
    qn_source_free(&source);
    qn_frame_free(&frame);
    assert_int_equal(qn_source_open_as(&options, &(qn_schema){1, columns}, NULL, &source, NULL),
                     QN_OK);
    assert_int_equal(qn_source_next(source, 10, NULL, &frame, NULL), QN_OK);
    assert_true(frame->columns[0].i64[0] == INT64_C(9007199254740993));
}

static void wide_tables_are_read(void **state) {
    enum { COLUMNS = 10000, ROWS = 70 };
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    for (int i = -1; i < ROWS; i++)
        for (int j = 0; j < COLUMNS; j++)
            qn_buf_printf(&text, i < 0 ? "c%d%c" : "%d%c", i < 0 ? j : i * j,
                          j < COLUMNS - 1 ? ',' : '\n');
    put_file("wide.csv", qn_buf_text(&text));
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    assert_int_equal(open_it(&(qn_source_options){.path = "wide.csv", .header = -1}, &source, NULL),
                     QN_OK);
    assert_int_equal(qn_source_next(source, INT64_MAX, NULL, &frame, NULL), QN_OK);
    assert_int_equal(frame->n_columns, COLUMNS);
    assert_int_equal(frame->n_rows, ROWS);
    assert_true(frame->columns[COLUMNS - 1].i64[ROWS - 1] == (ROWS - 1) * (COLUMNS - 1));
}

static void broken_json_names_its_line(void **state) {
    qn_source *source = NULL;
    qn_error err = {0};
    put_file("broken.jsonl", "{\"a\": 1}\n{\"a\": 2}\n{\"a\": }\n");
    assert_int_equal(
        open_it(&(qn_source_options){.path = "broken.jsonl", .header = -1}, &source, &err),
        QN_ERR_DATA);
    assert_int_equal(err.row, 3);
}

static char *list_of_folder(void) {
    qn_cleanup(qn_freep) char *command = qn_format("ls -A '%s'", folder);
    qn_buf list = {0};
    char line[256];
    FILE *out = popen(command, "r");
    while (out && fgets(line, sizeof line, out))
        qn_buf_put_text(&list, line);
    assert_int_equal(pclose(out), 0);
    return qn_buf_steal(&list);
}

static void cancelling_stops_the_import(void **state) {
    const volatile sig_atomic_t cancel = 1;
    const qn_job job = {.n_threads = 1, .cancel = &cancel};
    qn_source *source = NULL;
    qn_error err = {0};
    put_file("stop.csv", "a,b\n1,x\n2,y\n");
    put_file("stop.jsonl", "{\"a\": 1}\n");
    qn_cleanup(qn_freep) char *before = list_of_folder();
    static const char *const names[] = {"stop.csv", "stop.jsonl"};
    for (size_t i = 0; i < 2; i++) {
        const qn_source_options options = {.path = names[i], .folder = folder, .header = -1};
        assert_int_equal(qn_source_open(&options, &job, &source, &err), QN_ERR_CANCELLED);
    }
    qn_cleanup(qn_freep) char *path = NULL;
    int64_t n_rows = 0;
    assert_int_equal(open_it(&(qn_source_options){.path = "stop.csv", .header = -1}, &source, &err),
                     QN_OK);
    assert_int_equal(qn_source_snapshot(source, folder, &job, &path, &n_rows, &err),
                     QN_ERR_CANCELLED);
    qn_source_free(&source);
    qn_cleanup(qn_freep) char *after = list_of_folder();
    assert_string_equal(before, after);
}

static void full_disk_is_told(void **state) {
    qn_cleanup(qn_freep) char *disk = qn_path_join(folder, "disk");
    qn_cleanup(qn_freep) char *mount =
        qn_format("mkdir '%s' && mount -t tmpfs -o size=64k quern '%s' 2>/dev/null", disk, disk);
    qn_cleanup(qn_freep) char *unmount = qn_format("umount '%s'", disk);
    if (geteuid() != 0 || system(mount) != 0)
        skip(); /* only root mounts */
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    qn_cleanup(qn_sink_free) qn_sink *sink = NULL;
    qn_cleanup(qn_freep) char *path = qn_path_join(disk, "o.csv");
    qn_error err = {0};
    read_whole("wide.csv", &frame);
    assert_int_equal(qn_sink_open(path, false, &sink, &err), QN_OK);
    qn_status status = qn_sink_write(sink, frame, NULL, &err);
    if (status == QN_OK)
        status = qn_sink_finish(sink, &err);
    qn_sink_free(&sink);
    const bool is_there = qn_file_exists(path);
    assert_int_equal(system(unmount), 0);
    assert_int_equal(status, QN_ERR_IO);
    assert_non_null(strstr(err.message, "No space left"));
    assert_false(is_there);
}

static void memory_runs_out_cleanly(void **state) {
    put_file("mem.csv", all_types);
    /* DuckDB's own allocations do not count: only ours fail. */
    for (int64_t i = 0;; i++) {
        qn_cleanup(qn_source_free) qn_source *source = NULL;
        qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
        qn_error err = {0};
        const qn_source_options options = {.path = "mem.csv", .folder = folder, .header = -1};
        qn_mem_fail_after(i);
        qn_status status = qn_source_open(&options, NULL, &source, &err);
        if (status == QN_OK)
            status = qn_source_next(source, 10, NULL, &frame, &err);
        qn_mem_fail_after(-1);
        if (status == QN_OK)
            break;
        assert_int_equal(status, QN_ERR_MEMORY);
        i += i / 20; /* densely at first */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialects),
        cmocka_unit_test(types_are_those_of_all_rows),
        cmocka_unit_test(refusals_say_where),
        cmocka_unit_test(huge_field_names_the_limit),
        cmocka_unit_test(stated_types_and_missing),
        cmocka_unit_test(query_cannot_reach_out),
        cmocka_unit_test(schema_is_forced),
        cmocka_unit_test(snapshot_keeps_types_and_bytes),
        cmocka_unit_test(every_sink_reads_back_equal),
        cmocka_unit_test(sink_failures_leave_nothing),
        cmocka_unit_test(globs_are_read_in_order),
        cmocka_unit_test(blocks_join_seamlessly),
        cmocka_unit_test(columns_may_change_their_mind),
        cmocka_unit_test(wide_tables_are_read),
        cmocka_unit_test(broken_json_names_its_line),
        cmocka_unit_test(cancelling_stops_the_import),
        cmocka_unit_test(full_disk_is_told),
        cmocka_unit_test(memory_runs_out_cleanly),
    };
    return cmocka_run_group_tests_name("source", tests, make_folder, remove_folder);
}
