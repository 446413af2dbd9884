/* Tables from strangers, as CSV or (built with FUZZ_JSON_LINES) as JSON lines: the look at the
 * first lines, inference of types, the frames, and reading again with the types that were found.
 * DuckDB itself is not instrumented: this fuzzes our side of it.
 *
 * The first two bytes are options (header, delimiter, quote, missing texts, stated types); the rest
 * is the file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "data/source.h"
#include "fuzz.h"

#ifdef FUZZ_JSON_LINES
#define ENDING "jsonl"
#else
#define ENDING "csv"
#endif

enum { MAX_ROWS = 500, ROWS_AT_ONCE = 7 };

/* DuckDB starts with a hundred thousand allocations; remembering less of each makes that
 * bearable. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "malloc_context_size=2:quarantine_size_mb=16";
}

static char folder[64]; /* of this process; emptied at exit */

static void remove_folder(void) {
    char path[96];
    snprintf(path, sizeof path, "%s/table." ENDING, folder);
    unlink(path);
    rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    snprintf(folder, sizeof folder, "%s/quern-fuzz-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    fuzz_require(mkdtemp(folder) != NULL, "a temporary folder");
    atexit(remove_folder);
    return 0;
}

static void write_file(const char *path, const uint8_t *data, size_t size) {
    FILE *file = fopen(path, "wb");
    fuzz_require(file && (!size || fwrite(data, size, 1, file) == 1), "a file can be written");
    fclose(file);
}

static void use_frame(const qn_frame *frame, const qn_schema *schema) {
    char digest[QN_DIGEST_TEXT];
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    fuzz_require(frame->n_columns == schema->n_columns, "a frame has the schema's columns");
    fuzz_require(frame->n_rows >= 1 && frame->n_rows <= ROWS_AT_ONCE, "as many rows as asked for");
    for (int32_t i = 0; i < frame->n_columns; i++) {
        const qn_column *column = &frame->columns[i];
        fuzz_require(column->type == schema->columns[i].type && column->n_rows == frame->n_rows &&
                         strcmp(column->name, schema->columns[i].name) == 0,
                     "a column is what the schema says");
        for (int64_t row = 0; row < frame->n_rows; row++)
            qn_column_format(column, row, &out);
    }
    fuzz_require(qn_frame_digest(frame, digest, NULL) == QN_OK, "a frame has a digest");
}

/* Reads to the end or MAX_ROWS; false when the source complained. */
static bool read_rows(qn_source *source, int64_t *ret_rows) {
    for (*ret_rows = 0; *ret_rows < MAX_ROWS;) {
        qn_error err = {0};
        qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
        qn_status status = qn_source_next(source, ROWS_AT_ONCE, NULL, &frame, &err);
        if (status != QN_OK) {
            fuzz_require_told(status, &err);
            return false;
        }
        if (!frame)
            return true;
        use_frame(frame, qn_source_schema(source));
        *ret_rows += frame->n_rows;
    }
    return true;
}

/* What was inferred is asked for, as a model does. */
static void read_again(const qn_source_options *options, const qn_schema *schema, int64_t n_rows) {
    qn_error err = {0};
    int64_t n = 0;
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_status status = qn_source_open_as(options, schema, NULL, &source, &err);
    if (status != QN_OK)
        fuzz_require_told(status, &err);
    else if (read_rows(source, &n))
        fuzz_require(n == n_rows, "the same rows are there when types are given");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const delimiters[] = {NULL, NULL, NULL, ",", ";", "\t", "|", "::"};
    static const char *const quotes[] = {NULL, NULL, "\"", "'"};
    static const char *const missing[] = {"-999", "x", " y "};
    static const qn_source_column_type types[] = {
        {"a", QN_TYPE_F64}, {"b", QN_TYPE_TIME}, {"c", QN_TYPE_BOOL}};
    unsigned bits = (unsigned)fuzz_take(&data, &size, 2);
    qn_source_options options = {.path = "table." ENDING, .folder = folder};
    options.header = (int)(bits % 4) - 1 > 1 ? -1 : (int)(bits % 4) - 1;
    options.delimiter = delimiters[bits >> 2 & 7];
    options.quote = quotes[bits >> 5 & 3];
    options.missing = missing;
    options.n_missing = bits >> 8 & 3;
    options.types = types;
    options.n_types = bits >> 10 & 3;
    options.query = bits >> 12 == 15 ? "SELECT * FROM source" : NULL;
    char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, options.path);
    write_file(path, data, size);
    qn_error err = {0};
    qn_cleanup(qn_source_free) qn_source *source = NULL;
    qn_status status = qn_source_open(&options, NULL, &source, &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return 0;
    }
    int64_t n_rows;
    if (read_rows(source, &n_rows))
        read_again(&options, qn_source_schema(source), n_rows);
    return 0;
}
