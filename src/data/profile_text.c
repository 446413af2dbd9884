/* The profile as a table for a terminal. It reads the JSON only, so that a stored profile prints
 * the same; members that are missing or of another type are left out. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "data/profile.h"

enum {
    WIDTH_MIN = 60,
    WIDTH_MAX = 200,
    NAME_MIN = 8,
    NAME_MAX = 28,
    BARS_MAX = 20,
    WRAP_INDENT = 2,
};

/* ---- cells ---- */

/* How many terminal cells a UTF-8 text takes, one per character (wide characters are not told
 * apart). */
static int cells_of(const char *text, size_t n) {
    int cells = 0;
    for (size_t i = 0; i < n; i++)
        cells += ((unsigned char)text[i] & 0xc0) != 0x80;
    return cells;
}

/* The bytes of the first `cells` characters. */
static size_t bytes_of(const char *text, size_t n, int cells) {
    size_t i = 0;
    for (; i < n; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80 && cells-- == 0)
            break;
    return i;
}

static void put_spaces(qn_buf *out, int n) {
    for (; n > 0; n--)
        qn_buf_put_char(out, ' ');
}

/* The text in exactly `width` cells: padded, or cut with an ellipsis. Control characters become
 * spaces. */
static void put_cell(qn_buf *out, const char *text, int width, bool right) {
    size_t n = strlen(text);
    int cells = cells_of(text, n);
    bool cut = cells > width;
    if (cut) {
        n = bytes_of(text, n, width - 1);
        cells = width;
    }
    if (right)
        put_spaces(out, width - cells);
    for (size_t i = 0; i < n; i++)
        qn_buf_put_char(out, (unsigned char)text[i] < 32 || text[i] == 127 ? ' ' : text[i]);
    if (cut)
        qn_buf_put_text(out, "…");
    if (!right)
        put_spaces(out, width - cells);
}

/* ---- members ---- */

static const char *get_text(const json_t *object, const char *key, const char *preset) {
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? json_string_value(value) : preset;
}

static double get_number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* Whole counts with thousands separators, others to four digits; times without the time of day. */
static void number_text(double x, char text[QN_DOUBLE_TEXT]) {
    if (!isfinite(x))
        snprintf(text, QN_DOUBLE_TEXT, "-");
    else if (x == floor(x) && fabs(x) < 1e6)
        snprintf(text, QN_DOUBLE_TEXT, "%.0f", x);
    else
        snprintf(text, QN_DOUBLE_TEXT, "%.4g", x);
}

static void value_text(const json_t *value, char text[QN_DOUBLE_TEXT]) {
    if (json_is_string(value))
        snprintf(text, QN_DOUBLE_TEXT, "%.10s", json_string_value(value));
    else
        number_text(json_is_number(value) ? json_number_value(value) : NAN, text);
}

/* ---- the columns of the table ---- */

/* The histogram, or the counts of the most frequent values, as a row of bars; the tallest is full,
 * anything that is not empty shows. */
static void put_bars(qn_buf *out, const json_t *field, int width) {
    static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    const json_t *counts = json_object_get(json_object_get(field, "histogram"), "counts");
    const json_t *top = json_object_get(field, "top");
    size_t n_counts = json_array_size(counts), n = n_counts ? n_counts : json_array_size(top);
    double count[BARS_MAX], largest = 0;
    int used = 0;
    n = n > (size_t)width ? (size_t)width : n;
    for (size_t i = 0; i < n; i++) {
        count[i] = n_counts ? json_number_value(json_array_get(counts, i))
                            : fmax(0, get_number(json_array_get(top, i), "count"));
        largest = fmax(largest, count[i]);
    }
    for (size_t i = 0; i < n && largest > 0; i++, used++) {
        double share = count[i] / largest;
        int level = share > 0 ? 1 + (int)(share * 7.999) : 0;
        qn_buf_put_text(out, bars[level > 8 ? 8 : level < 0 ? 0 : level]);
    }
    put_spaces(out, width - used);
}

/* Numbers: "min  median  max"; categories: the most frequent values with their shares. */
static void describe(const json_t *field, double n_rows, qn_buf *text) {
    const json_t *quantiles = json_object_get(field, "quantiles"),
                 *top = json_object_get(field, "top");
    char low[QN_DOUBLE_TEXT], middle[QN_DOUBLE_TEXT], high[QN_DOUBLE_TEXT];
    if (json_array_size(quantiles) > 0) {
        value_text(json_object_get(field, "min"), low);
        value_text(json_array_get(json_array_get(quantiles, json_array_size(quantiles) / 2), 1),
                   middle);
        value_text(json_object_get(field, "max"), high);
        qn_buf_printf(text, "%s … %s … %s", low, middle, high);
        return;
    }
    double n_valid = n_rows - fmax(0, get_number(field, "missing"));
    for (size_t i = 0; i < json_array_size(top) && i < 5; i++) {
        const json_t *entry = json_array_get(top, i);
        double share = n_valid > 0 ? get_number(entry, "count") / n_valid : NAN;
        qn_buf_printf(text, "%s%s", i ? ", " : "", get_text(entry, "value", ""));
        if (isfinite(share) && share >= 0.01)
            qn_buf_printf(text, " %.0f%%", 100 * share);
    }
    if (json_array_size(top) == 0 && isfinite(get_number(field, "mean_words")))
        qn_buf_printf(text, "%.1f words, %.0f characters on average",
                      get_number(field, "mean_words"), get_number(field, "mean_length"));
}

static void put_share(qn_buf *out, double share, int width) {
    char text[QN_DOUBLE_TEXT] = "";
    if (share > 0 && share < 0.0005)
        snprintf(text, sizeof text, "<0.1%%");
    else if (share > 0)
        snprintf(text, sizeof text, "%.1f%%", 100 * share);
    put_cell(out, text, width, true);
}

typedef struct layout {
    int name, bars, value;
    const char *link; /* name of the measure; NULL: no target */
} layout;

static void put_header(qn_buf *out, const layout *l, int width) {
    put_cell(out, "column", l->name, false);
    qn_buf_put_text(out, "  ");
    put_cell(out, "type", 8, false);
    put_cell(out, "missing", 8, true);
    put_cell(out, "distinct", 10, true);
    qn_buf_put_text(out, "  ");
    if (l->link) {
        put_cell(out, strcmp(l->link, "accuracy_gain") == 0 ? "gain" : l->link, 6, true);
        qn_buf_put_text(out, "  ");
    }
    put_cell(out, "values", l->bars, false);
    qn_buf_put_text(out, "  min … median … max, or top\n");
    for (int i = 0; i < width; i++)
        qn_buf_put_text(out, "─");
    qn_buf_put_char(out, '\n');
}

static void put_field(qn_buf *out, const json_t *field, const layout *l, double n_rows) {
    char text[QN_DOUBLE_TEXT], count[QN_DOUBLE_TEXT + 4];
    bool is_target = strcmp(get_text(field, "role", ""), "target") == 0;
    qn_cleanup(qn_buf_done) qn_buf name = {0}, value = {0};
    qn_buf_printf(&name, "%s%s", is_target ? "▸ " : "", get_text(field, "name", ""));
    put_cell(out, qn_buf_text(&name), l->name, false);
    qn_buf_put_text(out, "  ");
    put_cell(out, get_text(field, "type", ""), 8, false);
    put_share(out, get_number(field, "missing_share"), 8);
    double distinct = get_number(field, "distinct");
    qn_text_count(isfinite(distinct) ? (int64_t)distinct : 0, text);
    bool exact = !json_is_false(json_object_get(field, "distinct_exact"));
    snprintf(count, sizeof count, "%s%s", exact ? "" : "~", text);
    put_cell(out, count, 10, true);
    qn_buf_put_text(out, "  ");
    if (l->link) {
        double link = get_number(json_object_get(field, "association"), "value");
        snprintf(text, sizeof text, isfinite(link) ? "%.3f" : "", link);
        put_cell(out, text, 6, true);
        qn_buf_put_text(out, "  ");
    }
    put_bars(out, field, l->bars);
    qn_buf_put_text(out, "  ");
    describe(field, n_rows, &value);
    size_t before = out->len;
    put_cell(out, qn_buf_text(&value), l->value, false);
    while (out->len > before && out->data[out->len - 1] == ' ') /* no blanks at the end of a line */
        out->data[--out->len] = '\0';
    qn_buf_put_char(out, '\n');
}

static layout layout_make(const json_t *fields, int width) {
    layout l = {.name = NAME_MIN};
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *field = json_array_get(fields, i);
        const char *name = get_text(field, "name", "");
        bool is_target = strcmp(get_text(field, "role", ""), "target") == 0;
        int cells = cells_of(name, strlen(name)) + 2 * is_target;
        l.name = cells > l.name ? cells : l.name;
        const char *measure = get_text(json_object_get(field, "association"), "measure", NULL);
        l.link = measure ? measure : l.link;
    }
    int name_max = width < 90 ? NAME_MAX / 2 : NAME_MAX;
    l.name = l.name > name_max ? name_max : l.name;
    l.bars = width < 90 ? BARS_MAX / 2 : BARS_MAX;
    l.value = width - l.name - 2 - 8 - 8 - 10 - 2 - (l.link ? 8 : 0) - l.bars - 2;
    l.value = l.value < 5 ? 5 : l.value;
    return l;
}

/* ---- classes and warnings ---- */

static void put_classes(qn_buf *out, const json_t *profile, int width) {
    const json_t *classes = json_object_get(profile, "classes");
    int bar_width = width / 3;
    size_t n = json_array_size(classes);
    if (n > 0)
        qn_buf_printf(out, "\nclasses of %s\n", get_text(profile, "target", ""));
    for (size_t i = 0; i < n && i < 20; i++) {
        const json_t *entry = json_array_get(classes, i);
        double share = fmin(1, fmax(0, get_number(entry, "share")));
        char count[QN_DOUBLE_TEXT];
        qn_text_count((int64_t)fmax(0, get_number(entry, "count")), count);
        qn_buf_put_text(out, "  ");
        put_cell(out, get_text(entry, "label", ""), 16, false);
        put_cell(out, count, 12, true);
        qn_buf_printf(out, " %6.2f%%  ", 100 * share);
        int filled = (int)ceil(share * bar_width);
        for (int k = 0; k < filled; k++)
            qn_buf_put_text(out, "█");
        qn_buf_put_char(out, '\n');
    }
    if (n > 20)
        qn_buf_printf(out, "  and %zu more\n", n - 20);
}

/* Words of `text`, wrapped at `width` with an indent from the second line on; `used` cells of the
 * first are taken. */
static void put_wrapped(qn_buf *out, const char *text, int width, int indent, int used) {
    while (*text) {
        size_t n = strcspn(text, " ");
        int cells = cells_of(text, n);
        if (used > indent && used + 1 + cells > width) {
            qn_buf_put_char(out, '\n');
            put_spaces(out, indent);
            used = indent;
        } else if (used > 0 && used != indent) {
            qn_buf_put_char(out, ' ');
            used++;
        }
        qn_buf_put(out, text, n);
        used += cells;
        text += n + (text[n] == ' ');
    }
    qn_buf_put_char(out, '\n');
}

static void put_warnings(qn_buf *out, const json_t *profile, int width) {
    const json_t *list = json_object_get(profile, "warnings");
    size_t n = json_array_size(list);
    if (n == 0) {
        qn_buf_put_text(out, "\nno warnings\n");
        return;
    }
    qn_buf_printf(out, "\n%zu warning%s\n", n, n == 1 ? "" : "s");
    for (size_t i = 0; i < n; i++) {
        const json_t *entry = json_array_get(list, i);
        const char *severity = get_text(entry, "severity", "info");
        const char *mark = strcmp(severity, "error") == 0     ? "✖"
                           : strcmp(severity, "warning") == 0 ? "▲"
                                                              : "·";
        qn_cleanup(qn_buf_done) qn_buf line = {0};
        const char *column = get_text(entry, "column", NULL);
        qn_buf_printf(&line, "%s%s%s", column ? column : "", column ? ": " : "",
                      get_text(entry, "message", ""));
        for (size_t k = 0; k < line.len; k++)
            if ((unsigned char)line.data[k] < 32 || line.data[k] == 127)
                line.data[k] = ' ';
        qn_buf_printf(out, "%s", mark);
        put_wrapped(out, qn_buf_text(&line), width, WRAP_INDENT, 1);
    }
}

void qn_profile_text(const json_t *profile, int width, qn_buf *out) {
    width = width < WIDTH_MIN ? WIDTH_MIN : width > WIDTH_MAX ? WIDTH_MAX : width;
    char rows[QN_DOUBLE_TEXT], bytes[QN_DOUBLE_TEXT], twins[QN_DOUBLE_TEXT];
    const json_t *fields = json_object_get(profile, "fields");
    double n_rows = fmax(0, get_number(profile, "rows"));
    qn_text_count((int64_t)n_rows, rows);
    qn_text_bytes((size_t)fmax(0, get_number(profile, "bytes")), bytes);
    qn_text_count((int64_t)fmax(0, get_number(profile, "duplicate_rows")), twins);
    qn_buf_printf(out, "%s rows, %zu columns, %s in memory, %s repeated rows\n", rows,
                  json_array_size(fields), bytes, twins);
    const char *target = get_text(profile, "target", NULL), *task = get_text(profile, "task", NULL);
    if (target)
        qn_buf_printf(out, "target %s%s%s\n", target, task ? ", " : "", task ? task : "");
    qn_buf_put_char(out, '\n');
    layout l = layout_make(fields, width);
    put_header(out, &l, width);
    for (size_t i = 0; i < json_array_size(fields); i++)
        put_field(out, json_array_get(fields, i), &l, n_rows);
    put_classes(out, profile, width);
    put_warnings(out, profile, width);
}
