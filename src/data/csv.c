#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/source_int.h"

enum { LOOK_LINES = 1000, LOOK_BYTES = 1 << 20 };

void qn__names_done(qn__names *names) {
    for (size_t i = 0; names->items && i < names->n; i++)
        qn_freep(&names->items[i]);
    qn_freep(&names->items);
    names->n = 0;
}

qn_status qn__names_add(qn__names *names, const char *text, size_t n, qn_error *err) {
    if ((names->n & (names->n - 1)) == 0) { /* room for the next power of two */
        char **items = qn_realloc(names->items, names->n ? 2 * names->n : 1, sizeof *items);
        if (!items)
            return qn_error_memory(err);
        names->items = items;
    }
    names->items[names->n] = qn_strndup(text, n);
    if (!names->items[names->n])
        return qn_error_memory(err);
    names->n++;
    return QN_OK;
}

/* The first lines of one file, decompressed, joined by newlines. */
static qn_status read_first_lines(qn_source *source, const char *file, int n_lines, const qn_job *job,
                                  qn_buf *ret_text, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf sql = {0};
    qn_buf_put_text(&sql, "SELECT line FROM read_csv(");
    qn__sql_text(&sql, file);
    qn_buf_printf(&sql,
                  ", columns = {'line': 'VARCHAR'}, auto_detect = false, header = false, delim = chr(1), "
                  "quote = '', escape = '', max_line_size = %zu, buffer_size = %zu) LIMIT %d",
                  QN_LIMIT_FIELD_BYTES, 2 * QN_LIMIT_FIELD_BYTES, n_lines);
    QN_TRY(qn_buf_status(&sql, err));
    qn_cleanup(qn__rows_done) qn__rows rows = {0};
    QN_TRY(qn__db_query(&source->db, sql.data, true, job, &rows, err));
    for (;;) {
        QN_TRY(qn__rows_fetch(&rows, err));
        for (int64_t i = 0; i < rows.n_chunk && ret_text->len < LOOK_BYTES; i++) {
            size_t n = 0;
            const char *line = qn__rows_text(&rows, 0, i, &n);
            if (line && !ret_text->len && n >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0)
                line += 3, n -= 3;
            qn_buf_put(ret_text, line ? line : "", n);
            qn_buf_put_char(ret_text, '\n');
        }
        if (!rows.chunk || ret_text->len >= LOOK_BYTES)
            return qn_buf_status(ret_text, err);
    }
}

/* Reads one record's fields from *at on; false when the text ends inside it. `fields` may be NULL when
 * only their count is wanted. */
static bool read_record(const char **at, const qn__dialect *dialect, qn__names *fields, size_t *ret_n,
                        bool *ret_memory) {
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
            if (fields && qn__names_add(fields, field.data ? field.data : "", field.len, NULL) != QN_OK)
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
    const bool backslash = dialect->quote[0] && strstr(text, by_backslash) && !strstr(text, doubled);
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
               "%s has %zu columns; at most %d are allowed", source->label, names->n, QN_LIMIT_COLUMNS);
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
    QN_FAIL_IF(list.len, err, QN_ERR_DATA,
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
    dialect->header = options->header < 0 ? looks_like_header(source, &first, rest) : options->header > 0;
    return take_names(source, &first, err);
}

/* Files of one glob must have the header of the first. */
static qn_status check_other_header(qn_source *source, const char *file, const qn_job *job,
                                    qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    QN_TRY(read_first_lines(source, file, 1, job, &text, err));
    qn_cleanup(qn__names_done) qn__names first = {0};
    const char *rest = qn_buf_text(&text);
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

qn_status qn__csv_look(qn_source *source, const qn_source_options *options, const qn_job *job,
                       qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    source->dialect.header = options->header != 0; /* a guess, for the row in messages */
    const qn_status status =
        read_first_lines(source, source->files.items[0], LOOK_LINES, job, &text, err);
    if (status != QN_OK)
        return qn__source_explain(source, status, err);
    const char *at = qn_buf_text(&text);
    QN_FAIL_IF(!at[strspn(at, " \r\n\t")], err, QN_ERR_DATA, "%s is empty", source->label);
    QN_TRY(find_dialect(source, options, at, err));
    for (size_t i = 1; i < source->files.n; i++)
        QN_TRY(check_other_header(source, source->files.items[i], job, err));
    return QN_OK;
}

static void put_missing(const qn_source *source, qn_buf *out) {
    qn_buf_put_text(out, ", nullstr = [");
    for (size_t i = 0; i < source->missing.n; i++) {
        qn_cleanup(qn_freep) char *spaced = qn_format(" %s", source->missing.items[i]);
        qn_buf_put_text(out, i ? ", " : "");
        qn__sql_text(out, source->missing.items[i]);
        qn_buf_put_text(out, ", ");
        if (spaced)
            qn__sql_text(out, spaced);
        else
            out->status = QN_ERR_MEMORY;
    }
    qn_buf_put_text(out, "]");
}

void qn__csv_call(const qn_source *source, bool as_text, const qn__stated *stated, qn_buf *out) {
    qn_buf_put_text(out, "read_csv([");
    for (size_t i = 0; i < source->files.n; i++) {
        qn_buf_put_text(out, i ? ", " : "");
        qn__sql_text(out, source->files.items[i]);
    }
    qn_buf_put_text(out, "], delim = ");
    qn__sql_text(out, source->dialect.delimiter);
    qn_buf_put_text(out, ", quote = ");
    qn__sql_text(out, source->dialect.quote);
    qn_buf_put_text(out, ", escape = ");
    qn__sql_text(out, source->dialect.escape);
    qn_buf_printf(out, ", header = %s, skip = 0, comment = '', max_line_size = %zu, buffer_size = %zu",
                  source->dialect.header ? "true" : "false", QN_LIMIT_FIELD_BYTES,
                  2 * QN_LIMIT_FIELD_BYTES);
    put_missing(source, out);
    qn_buf_put_text(out, as_text ? ", auto_detect = false, columns = {" : ", names = [");
    for (size_t j = 0; j < source->names.n; j++) {
        qn_buf_put_text(out, j ? ", " : "");
        qn__sql_text(out, source->names.items[j]);
        qn_buf_put_text(out, as_text ? ": 'VARCHAR'" : "");
    }
    qn_buf_put_text(out, as_text ? "}" : "]");
    bool any = false;
    for (size_t j = 0; !as_text && j < source->names.n; j++) {
        qn_type type;
        /* Times keep the format that is found by looking. */
        if (!qn__stated_find(stated, source->names.items[j], &type) || type == QN_TYPE_TIME)
            continue;
        qn_buf_put_text(out, any ? ", " : ", types = {");
        any = true;
        qn__sql_text(out, source->names.items[j]);
        qn_buf_printf(out, ": '%s'", qn__sql_type(type));
    }
    qn_buf_put_text(out, any ? "})" : ")");
}

/* The number after `label` in DuckDB's message; 0 when it is not there. */
static int64_t number_after(const char *message, const char *label) {
    const char *at = strstr(message, label);
    return at ? strtoll(at + strlen(label), NULL, 10) : 0;
}

static void text_between(const char *message, const char *before, const char *after, char *out, size_t cap) {
    const char *at = strstr(message, before), *end = at ? strstr(at + strlen(before), after) : NULL;
    out[0] = '\0';
    if (end)
        snprintf(out, cap, "%.*s", (int)(end - at - (ptrdiff_t)strlen(before)), at + strlen(before));
}

static const char *name_of_sql_type(const char *sql_type) {
    return strcmp(sql_type, "BIGINT") == 0    ? "whole number"
           : strcmp(sql_type, "BOOLEAN") == 0 ? "truth value (true or false)"
           : strcmp(sql_type, "DOUBLE") == 0  ? "number"
                                              : "time";
}

qn_status qn__source_explain(const qn_source *source, qn_status status, qn_error *err) {
    if (!err || (status != QN_ERR_DATA && status != QN_ERR_IO))
        return status;
    char why[sizeof err->message], file[256], value[200], column[128], type[32];
    memcpy(why, err->message, sizeof why);
    text_between(why, "\n  file = ", "\n", file, sizeof file);
    if (!*file)
        text_between(why, "\nfile = ", "\n", file, sizeof file);
    const char *where = source->files.n > 1 && *file ? file : source->label;
    /* DuckDB counts records, the header being the first. */
    const int64_t line = number_after(why, "CSV Error on Line: ");
    const int64_t row = line > source->dialect.header ? line - source->dialect.header : line;
    if (strstr(why, "Expected Number of Columns: "))
        return qn_error_set_at(err, QN_ERR_DATA, where, row, NULL,
                               "%lld fields where the header has %lld; check for a missing or extra '%s', "
                               "or for text that needs quotes",
                               (long long)number_after(why, "Found: "),
                               (long long)number_after(why, "Expected Number of Columns: "),
                               source->dialect.delimiter);
    if (strstr(why, "Invalid unicode"))
        return qn_error_set_at(err, QN_ERR_DATA, where, row, NULL,
                               "the text is not UTF-8; save the file in the encoding UTF-8");
    if (strstr(why, "unterminated quote"))
        return qn_error_set_at(err, QN_ERR_DATA, where, row, NULL,
                               "a quote (%s) begins and does not end with the field",
                               source->dialect.quote);
    if (strstr(why, "Maximum line size") || strstr(why, "maximum_object_size"))
        return qn_error_set_at(err, QN_ERR_DATA, where, row, NULL,
                               "it is longer than the limit of %zu MiB for one row (or a quote does not end)",
                               QN_LIMIT_FIELD_BYTES >> 20);
    text_between(why, "converting column \"", "\". Could not", column, sizeof column);
    if (*column) {
        text_between(why, "convert string \"", "\" to '", value, sizeof value);
        text_between(why, "\" to '", "'", type, sizeof type);
        return qn_error_set_at(err, QN_ERR_DATA, where, row, column,
                               "'%s' is not a %s; list it under data.missing, or declare the column's "
                               "type under data.types",
                               value, name_of_sql_type(type));
    }
    why[strcspn(why, "\n")] = '\0';
    const char *kind = strstr(why, " Error: "); /* "Invalid Input Error: ", which says nothing */
    if (kind)
        memmove(why, kind + 8, strlen(kind + 8) + 1);
    if (status == QN_ERR_IO)
        return qn_error_set(err, status, "cannot read %s: %s", where, why);
    return qn_error_set_at(err, status, where, row, NULL, "%s", why);
}
