#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/source_int.h"

enum { LOOK_BYTES = 1 << 18, READ_BYTES = 1 << 16 };

/* The beginning of one file, decompressed, cut behind a line's end when there is one. */
static qn_status read_beginning(const char *file, qn_buf *ret_text, qn_error *err) {
    qn_cleanup(qn__input_free) qn__input *input = NULL;
    qn_cleanup(qn_freep) char *bytes = qn_calloc(READ_BYTES, 1);
    size_t n = 1, limit = LOOK_BYTES;
    if (!bytes)
        return qn_error_memory(err);
    QN_TRY(qn__input_open(file, &input, err));
    while (n && ret_text->len < limit) {
        QN_TRY(qn__input_read(input, bytes, READ_BYTES, &n, err));
        qn_buf_put(ret_text, bytes, n);
        QN_TRY(qn_buf_status(ret_text, err));
        if (limit == LOOK_BYTES && ret_text->len >= limit &&
            !memchr(ret_text->data, '\n', ret_text->len))
            limit = QN_LIMIT_FIELD_BYTES;
    }
    if (!ret_text->len)
        return QN_OK;
    char *last = n ? memrchr(ret_text->data, '\n', ret_text->len) : NULL;
    if (last)
        ret_text->len = (size_t)(last - ret_text->data) + 1;
    else if (ret_text->data[ret_text->len - 1] != '\n')
        qn_buf_put_char(ret_text, '\n');
    ret_text->data[ret_text->len] = '\0';
    return qn_buf_status(ret_text, err);
}

/* Where the first record begins: after a byte order mark and blank lines. Old line ends become new.
 */
static char *prepare_text(qn_buf *text, char *ret_line_end) {
    char *at = text->data;
    if (!at)
        return NULL;
    if (strncmp(at, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    *ret_line_end = strchr(at, '\r') && strchr(at, '\n') == at + strlen(at) - 1 &&
                            strchr(at, '\r') + 1 < strchr(at, '\n')
                        ? '\r'
                        : '\n';
    for (char *p = at; *ret_line_end == '\r' && *p; p++)
        if (*p == '\r')
            *p = '\n';
    return at + strspn(at, " \r\n\t") == at + strlen(at) ? NULL : at + strspn(at, "\r\n");
}

/* Reads one record's fields from *at on; false when the text ends inside it. `fields` may be NULL
 * when only their count is wanted. */
static bool read_record(const char **at, const qn__dialect *dialect, qn__names *fields,
                        size_t *ret_n, bool *ret_memory) {
    const char *p = *at;
    const size_t n_delimiter = strlen(dialect->delimiter);
    const char quote = dialect->quote[0], escape = dialect->escape[0];
    qn_cleanup(qn_buf_done) qn_buf field = {0};
    bool quoted = false, fresh = true;
    for (*ret_n = 0; *p; p++) {
        if (quoted) {
            if (escape && *p == escape && p[1] && (p[1] == quote || escape != quote))
                qn_buf_put_char(&field, *++p);
            else if (*p == quote)
                quoted = false;
            else
                qn_buf_put_char(&field, *p);
            continue;
        }
        const bool at_end = *p == '\n';
        if (at_end || strncmp(p, dialect->delimiter, n_delimiter) == 0) {
            if (at_end && field.len && field.data[field.len - 1] == '\r')
                field.len--;
            if (fields &&
                qn__names_add(fields, field.data ? field.data : "", field.len, NULL) != QN_OK)
                *ret_memory = true;
            ++*ret_n;
            qn_buf_clear(&field);
            fresh = true;
            if (at_end) {
                *at = p + 1;
                return true;
            }
            p += n_delimiter - 1;
            continue;
        }
        if (fresh && quote && *p == quote)
            quoted = true;
        else
            qn_buf_put_char(&field, *p);
        fresh = fresh && *p == ' ';
    }
    return false;
}

/* The share of records with as many fields as the first, and that number. */
static double consistency(const char *text, const qn__dialect *dialect, size_t *ret_fields) {
    size_t n_records = 0, n_same = 0, first = 0, n = 0;
    bool memory = false;
    while (n_records < 200 && read_record(&text, dialect, NULL, &n, &memory)) {
        if (!n_records)
            first = n;
        n_same += n == first;
        n_records++;
    }
    *ret_fields = first;
    return n_records ? (double)n_same / (double)n_records : 0;
}

static void find_delimiter(const char *text, const char *path, qn__dialect *dialect) {
    static const char *const candidates[] = {",", "\t", ";", "|"};
    const bool is_tsv = strstr(path, ".tsv") || strstr(path, ".tab");
    double best = 0;
    size_t best_fields = 1;
    const char *found = is_tsv ? "\t" : ",";
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        size_t n_fields = 0;
        snprintf(dialect->delimiter, sizeof dialect->delimiter, "%s", candidates[i]);
        const double share = consistency(text, dialect, &n_fields);
        if (n_fields < 2)
            continue;
        if (share > best + 0.05 || (share > best - 0.05 && n_fields > best_fields)) {
            best = share;
            best_fields = n_fields;
            found = candidates[i];
        }
    }
    snprintf(dialect->delimiter, sizeof dialect->delimiter, "%s", found);
}

static void find_quote(const char *text, qn__dialect *dialect) {
    const bool single = !strchr(text, '"') &&
                        (strstr(text, ",'") || strstr(text, ";'") || strstr(text, "\n'")) &&
                        (strstr(text, "',") || strstr(text, "';") || strstr(text, "'\n"));
    snprintf(dialect->quote, sizeof dialect->quote, "%s", single ? "'" : "\"");
}

static void find_escape(const char *text, qn__dialect *dialect) {
    char by_backslash[3] = {'\\', dialect->quote[0], '\0'};
    char doubled[3] = {dialect->quote[0], dialect->quote[0], '\0'};
    const bool backslash =
        dialect->quote[0] && strstr(text, by_backslash) && !strstr(text, doubled);
    snprintf(dialect->escape, sizeof dialect->escape, "%s", backslash ? "\\" : dialect->quote);
}

static bool is_missing(const qn_source *source, const char *text) {
    for (size_t i = 0; i < source->missing.n; i++)
        if (strcmp(source->missing.items[i], text) == 0)
            return true;
    return false;
}

/* A header of 0, 1, 2... is what data frames without names are saved with. */
static bool is_count_up(const qn__names *row) {
    for (size_t j = 0; j < row->n; j++) {
        char text[24];
        snprintf(text, sizeof text, "%zu", j + (row->items[0][0] == '1'));
        if (strcmp(row->items[j], text) != 0)
            return false;
    }
    return row->n > 1;
}

/* A first row without numbers is a header; so is one that has a word above a column of numbers. */
static bool looks_like_header(const qn_source *source, const qn__names *first, const char *rest) {
    double x;
    bool any_number = false;
    for (size_t j = 0; j < first->n; j++)
        any_number |= qn_text_to_double(first->items[j], &x) || strcmp(first->items[j], "?") == 0;
    if (!any_number || is_count_up(first))
        return true;
    qn_cleanup(qn_freep) bool *words = qn_new_array(bool, first->n);
    qn_cleanup(qn_freep) bool *numbers = qn_new_array(bool, first->n);
    size_t n = 0;
    bool memory = false;
    for (int i = 0; words && numbers && i < 100; i++) {
        qn_cleanup(qn__names_done) qn__names row = {0};
        if (!read_record(&rest, &source->dialect, &row, &n, &memory) || memory)
            break;
        for (size_t j = 0; j < row.n && j < first->n; j++)
            if (qn_text_to_double(row.items[j], &x))
                numbers[j] = true;
            else if (!is_missing(source, row.items[j]))
                words[j] = true;
    }
    for (size_t j = 0; words && numbers && j < first->n; j++)
        if (numbers[j] && !words[j] && *first->items[j] && !qn_text_to_double(first->items[j], &x))
            return true;
    return false;
}

static int compare_names(const void *a, const void *b) {
    return strcasecmp(*(char *const *)a, *(char *const *)b);
}

/* DuckDB does not tell names by case, so neither do we. */
static qn_status check_names(const qn_source *source, const qn__names *names, qn_error *err) {
    QN_FAIL_IF(names->n > QN_LIMIT_COLUMNS, err, QN_ERR_LIMIT,
               "%s has %zu columns; at most %d are allowed", source->label, names->n,
               QN_LIMIT_COLUMNS);
    qn_cleanup(qn_freep) char **sorted = qn_new_array(char *, names->n);
    if (!sorted)
        return qn_error_memory(err);
    memcpy(sorted, names->items, names->n * sizeof *sorted);
    qsort(sorted, names->n, sizeof *sorted, compare_names);
    qn_cleanup(qn_buf_done) qn_buf list = {0};
    for (size_t j = 0; j < names->n; j++) {
        QN_FAIL_IF(strlen(names->items[j]) > QN_LIMIT_NAME_BYTES, err, QN_ERR_LIMIT,
                   "%s: the name of column %zu is longer than %d bytes", source->label, j + 1,
                   QN_LIMIT_NAME_BYTES);
        if (j && strcasecmp(sorted[j - 1], sorted[j]) == 0 &&
            (j < 2 || strcasecmp(sorted[j - 2], sorted[j]) != 0))
            qn_buf_printf(&list, "%s'%s'", list.len ? ", " : "", sorted[j]);
    }
    QN_FAIL_IF(
        list.len, err, QN_ERR_DATA,
        "%s: the header names %s more than once (upper and lower case count as equal); rename "
        "the columns, or set data.header to false when the first line is data",
        source->label, list.data);
    return QN_OK;
}

static qn_status take_names(qn_source *source, const qn__names *first, qn_error *err) {
    qn__names_done(&source->names);
    for (size_t j = 0; j < first->n; j++) {
        char made[32];
        const char *name = first->items[j];
        size_t n = strlen(name);
        while (n && *name == ' ')
            name++, n--;
        while (n && name[n - 1] == ' ')
            n--;
        if (!source->dialect.header || !n) {
            n = (size_t)snprintf(made, sizeof made, "column%zu", j);
            name = made;
        }
        QN_TRY(qn__names_add(&source->names, name, n, err));
    }
    return check_names(source, &source->names, err);
}

static qn_status find_dialect(qn_source *source, const qn_source_options *options, const char *text,
                              qn_error *err) {
    qn__dialect *dialect = &source->dialect;
    QN_FAIL_IF(options->delimiter && (!*options->delimiter || strlen(options->delimiter) > 4), err,
               QN_ERR_CONFIG, "data.delimiter must have one to four bytes");
    QN_FAIL_IF(options->quote && strlen(options->quote) > 1, err, QN_ERR_CONFIG,
               "data.quote must be one character, or empty for none");
    find_quote(text, dialect);
    if (options->quote)
        snprintf(dialect->quote, sizeof dialect->quote, "%s", options->quote);
    find_escape(text, dialect);
    if (options->delimiter)
        snprintf(dialect->delimiter, sizeof dialect->delimiter, "%s", options->delimiter);
    else
        find_delimiter(text, source->files.items[0], dialect);
    qn_cleanup(qn__names_done) qn__names first = {0};
    const char *rest = text;
    size_t n = 0;
    bool memory = false;
    const bool whole = read_record(&rest, dialect, &first, &n, &memory);
    if (memory)
        return qn_error_memory(err);
    if (!whole)
        return qn_error_set_at(err, QN_ERR_DATA, source->label, 0, NULL,
                               "the first line has a quote (%s) that never ends", dialect->quote);
    dialect->header =
        options->header < 0 ? looks_like_header(source, &first, rest) : options->header > 0;
    return take_names(source, &first, err);
}

/* Files of one glob must have the header of the first. */
static qn_status check_other_header(qn_source *source, const char *file, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    char line_end;
    QN_TRY(read_beginning(file, &text, err));
    const char *rest = prepare_text(&text, &line_end);
    QN_FAIL_IF(!rest, err, QN_ERR_DATA, "%s is empty", file);
    qn_cleanup(qn__names_done) qn__names first = {0};
    size_t n = 0;
    bool memory = false;
    const bool whole = read_record(&rest, &source->dialect, &first, &n, &memory);
    if (memory)
        return qn_error_memory(err);
    bool same = whole && n == source->names.n;
    for (size_t j = 0; same && source->dialect.header && j < n; j++)
        same = strstr(first.items[j], source->names.items[j]) || !*first.items[j];
    QN_FAIL_IF(!same, err, QN_ERR_DATA, "%s: its columns differ from those of %s", file,
               source->files.items[0]);
    return QN_OK;
}

/* Twice the bytes per character, and half of them NUL. */
static bool is_utf16(const qn_buf *text) {
    return text->len >= 2 &&
           (memcmp(text->data, "\xff\xfe", 2) == 0 || memcmp(text->data, "\xfe\xff", 2) == 0);
}

/* In the first line that is not blank: as text it would end there. */
static bool has_nul(const qn_buf *text, const char *first) {
    const size_t left = text->len - (size_t)(first - text->data);
    const char *line_end = memchr(first, '\n', left);
    return memchr(first, '\0', line_end ? (size_t)(line_end - first) : left) != NULL;
}

qn_status qn__csv_look(qn_source *source, const qn_source_options *options, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    QN_TRY(read_beginning(source->files.items[0], &text, err));
    QN_FAIL_IF(is_utf16(&text), err, QN_ERR_DATA,
               "%s is UTF-16; save the file in the encoding UTF-8", source->label);
    char *at = prepare_text(&text, &source->dialect.line_end);
    const char *first = at ? at : text.data;
    QN_FAIL_IF(first && has_nul(&text, first), err, QN_ERR_DATA,
               "%s has a NUL byte in its first line; is it text?", source->label);
    QN_FAIL_IF(!at, err, QN_ERR_DATA, "%s is empty", source->label);
    QN_TRY(find_dialect(source, options, at, err));
    for (size_t i = 1; i < source->files.n; i++)
        QN_TRY(check_other_header(source, source->files.items[i], err));
    return QN_OK;
}

/* The text between two others; "" when they are not there. */
static void text_between(const char *message, const char *before, const char *after, char *out,
                         size_t cap) {
    const char *at = strstr(message, before), *end = at ? strstr(at + strlen(before), after) : NULL;
    out[0] = '\0';
    if (end)
        snprintf(out, cap, "%.*s", (int)(end - at - (ptrdiff_t)strlen(before)),
                 at + strlen(before));
}

qn_status qn__source_explain(const qn_source *source, qn_status status, qn_error *err) {
    if (source->inner.code != QN_OK) { /* DuckDB only repeated what we said */
        if (err)
            *err = source->inner;
        return source->inner.code;
    }
    if (!err || (status != QN_ERR_DATA && status != QN_ERR_IO))
        return status;
    char why[sizeof err->message], file[256], line[24];
    memcpy(why, err->message, sizeof why);
    text_between(why, " in file \"", "\"", file, sizeof file);
    text_between(why, " in line ", ":", line, sizeof line);
    if (!*line)
        text_between(why, "in record/value ", ":", line, sizeof line);
    const char *where = source->files.n > 1 && *file ? file : source->label;
    const int64_t n_lines = strtoll(line, NULL, 10);
    const int64_t row = n_lines > 0 ? n_lines - 1 : 0; /* it counts one too many */
    if (strstr(why, "maximum_object_size"))
        return qn_error_set_at(err, QN_ERR_LIMIT, where, row, NULL,
                               "it is longer than the limit of %zu MiB for one row",
                               QN_LIMIT_FIELD_BYTES >> 20);
    why[strcspn(why, "\n")] = '\0';
    const char *what = strstr(why, "Malformed JSON") && *line ? strstr(why, line) : NULL;
    if (what)
        return qn_error_set_at(err, QN_ERR_DATA, where, row, NULL, "the JSON is malformed%.*s",
                               (int)strcspn(what + strlen(line), "."), what + strlen(line));
    const char *kind = strstr(why, " Error: "); /* "Invalid Input Error: ", which says nothing */
    if (kind)
        memmove(why, kind + 8, strlen(kind + 8) + 1);
    if (status == QN_ERR_IO)
        return qn_error_set(err, status, "cannot read %s: %s", where, why);
    return qn_error_set_at(err, status, where, row, NULL, "%s", why);
}
