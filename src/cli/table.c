#include "cli/table.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

qn_status qn__table_init(qn_table *table, const char *header, qn_error *err) {
    *table = (qn_table){.rows = json_array()};
    if (!table->rows)
        return qn_error_memory(err);
    qn__table_row(table);
    while (*header) {
        size_t n = strcspn(header, "|");
        bool right = header[0] == '>';
        table->right[table->n_columns++] = right;
        qn__table_cell(table, "%.*s", (int)n - right, header + right);
        header += n + (header[n] == '|');
    }
    return QN_OK;
}

void qn__table_done(qn_table *table) {
    qn_json_free(&table->rows);
}

void qn__table_row(qn_table *table) {
    json_array_append_new(table->rows, json_array());
}

void qn__table_cell(qn_table *table, const char *format, ...) {
    va_list args;
    char text[512];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_t *row = json_array_get(table->rows, json_array_size(table->rows) - 1);
    json_array_append_new(row, json_string(text));
}

void qn__table_json(qn_table *table, const json_t *value, int digits) {
    char count[QN_DOUBLE_TEXT];
    if (json_is_string(value))
        qn__table_cell(table, "%s", json_string_value(value));
    else if (json_is_integer(value)) {
        qn_text_count(json_integer_value(value), count);
        qn__table_cell(table, "%s", count);
    } else if (json_is_real(value))
        qn__table_cell(table, "%.*g", digits, json_real_value(value));
    else if (json_is_boolean(value))
        qn__table_cell(table, "%s", json_is_true(value) ? "yes" : "no");
    else
        qn__table_cell(table, "-");
}

static size_t width_of(const char *text) {
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static void put_cell(const char *text, size_t width, bool right, bool last, qn_buf *out) {
    size_t n = width_of(text), pad = width > n ? width - n : 0;
    for (size_t i = 0; right && i < pad; i++)
        qn_buf_put_char(out, ' ');
    qn_buf_put_text(out, text);
    for (size_t i = 0; !right && !last && i < pad; i++)
        qn_buf_put_char(out, ' ');
}

void qn__table_write(const qn_table *table, qn_buf *out) {
    size_t widths[QN_TABLE_COLUMNS] = {0}, r, c;
    const json_t *row, *cell;
    json_array_foreach(table->rows, r, row) {
        json_array_foreach(row, c, cell) {
            size_t n = width_of(json_string_value(cell));
            if (c < QN_TABLE_COLUMNS && n > widths[c])
                widths[c] = n;
        }
    }
    json_array_foreach(table->rows, r, row) {
        json_array_foreach(row, c, cell) {
            bool last = c + 1 == json_array_size(row);
            if (c < QN_TABLE_COLUMNS)
                put_cell(json_string_value(cell), widths[c], table->right[c], last, out);
            if (!last)
                qn_buf_put_text(out, "  ");
        }
        qn_buf_put_char(out, '\n');
    }
}

void qn__interval_text(const json_t *interval, qn_buf *out) {
    const json_t *value = json_object_get(interval, "value");
    const json_t *low = json_object_get(interval, "low"), *high = json_object_get(interval, "high");
    if (!json_is_number(value)) {
        qn_buf_put_char(out, '-');
        return;
    }
    qn_buf_printf(out, "%.4g", json_number_value(value));
    if (json_is_number(low) && json_is_number(high))
        qn_buf_printf(out, " (%.4g to %.4g)", json_number_value(low), json_number_value(high));
}

/* A cell of a comparison: a text that would push the other columns off the screen is cut. */
static void put_compared(qn_table *table, const json_t *value) {
    int n = 37;
    const char *text = json_string_value(value);
    if (!text || json_string_length(value) <= 40) {
        qn__table_json(table, value, 6);
        return;
    }
    while (((unsigned char)text[n] & 0xC0) == 0x80) /* not within a character */
        n--;
    qn__table_cell(table, "%.*s...", n, text);
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), n_end = strlen(end);
    return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

void qn__table_differences(qn_table *table, const json_t *differences, const char *from,
                           const char *to) {
    size_t i;
    const json_t *item;
    json_array_foreach(differences, i, item) {
        const char *key = json_string_value(json_object_get(item, "key"));
        if (!key || ends_with(key, ".low") || ends_with(key, ".high"))
            continue;
        size_t n = strlen(key) - (ends_with(key, ".value") ? strlen(".value") : 0);
        qn__table_row(table);
        qn__table_cell(table, "%.*s", (int)n, key);
        put_compared(table, json_object_get(item, from));
        put_compared(table, json_object_get(item, to));
        qn__table_json(table, json_object_get(item, "change"), 3);
    }
}

qn_status qn__metrics_table(const char *heading, const json_t *metrics, qn_buf *out,
                            qn_error *err) {
    qn_cleanup(qn__table_done) qn_table table = {0};
    const char *name;
    json_t *interval;
    QN_TRY(qn__table_init(&table, heading, err));
    json_object_foreach((json_t *)(uintptr_t)metrics, name, interval) {
        qn_cleanup(qn_buf_done) qn_buf text = {0};
        qn__interval_text(interval, &text);
        qn__table_row(&table);
        qn__table_cell(&table, "%s", name);
        qn__table_cell(&table, "%s", qn_buf_text(&text));
    }
    qn__table_write(&table, out);
    return QN_OK;
}
