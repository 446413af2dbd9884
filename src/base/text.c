#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/number.h"

void qn_double_to_text(double x, char text[QN_DOUBLE_TEXT]) {
    text[qn_number_write(x, text)] = '\0';
}

size_t qn_number_to_text(double x, char text[QN_DOUBLE_TEXT]) {
    if (x == floor(x) && fabs(x) < 1e15)
        return qn_number_write_i64((int64_t)x, text);
    return qn_number_write(x, text);
}

bool qn_text_to_double(const char *text, double *ret_value) {
    char *end;
    if (!text || !*text)
        return false;
    for (const char *c = text; *c; c++) /* strtod also takes hexadecimal, nan and inf */
        if (!strchr("+-.0123456789eE \t", *c))
            return false;
    errno = 0;
    double value = strtod(text, &end);
    while (*end == ' ' || *end == '\t')
        end++;
    if (end == text || *end || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

bool qn_text_to_i64(const char *text, int64_t *ret_value) {
    char *end;
    if (!text || !*text)
        return false;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno == ERANGE)
        return false;
    *ret_value = value;
    return true;
}

bool qn_text_to_bytes(const char *text, size_t *ret_bytes) {
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"", 1}, {"b", 1}, {"k", 1e3}, {"kb", 1e3}, {"m", 1e6}, {"mb", 1e6}, {"g", 1e9},
                 {"gb", 1e9}, {"t", 1e12}, {"tb", 1e12}, {"kib", 1024}, {"mib", 1048576},
                 {"gib", 1073741824}, {"tib", 1099511627776.0}};
    char *end;
    if (!text || !(isdigit((unsigned char)*text) || *text == '.'))
        return false;
    double value = strtod(text, &end);
    while (*end == ' ')
        end++;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcasecmp(end, units[i].unit) != 0)
            continue;
        double bytes = value * units[i].factor;
        if (!(bytes >= 0 && bytes < 9e18))
            return false;
        *ret_bytes = (size_t)bytes;
        return true;
    }
    return false;
}

static double seconds_per_unit(const char *unit, size_t n) {
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"ms", 1e-3}, {"s", 1},    {"sec", 1},  {"m", 60},
                 {"min", 60},  {"h", 3600}, {"d", 86400}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strlen(units[i].name) == n && strncasecmp(unit, units[i].name, n) == 0)
            return units[i].seconds;
    return -1;
}

bool qn_text_to_seconds(const char *text, double *ret_s) {
    if (!text || !*text)
        return false;
    double total = 0;
    while (*text) {
        if (!(isdigit((unsigned char)*text) || *text == '.'))
            return false;
        char *end;
        double value = strtod(text, &end);
        while (*end == ' ')
            end++;
        size_t n = 0;
        while (isalpha((unsigned char)end[n]))
            n++;
        double unit = n ? seconds_per_unit(end, n) : 1;
        if (unit < 0 || (n == 0 && end[0]))
            return false;
        total += value * unit;
        text = end + n;
        while (*text == ' ')
            text++;
    }
    if (!isfinite(total))
        return false;
    *ret_s = total;
    return true;
}

bool qn_text_is_utf8(const char *bytes, size_t n) {
    const unsigned char *s = (const unsigned char *)bytes;
    for (size_t i = 0; i < n;) {
        unsigned char c = s[i];
        size_t more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2
                      : c >= 0xF0 && c < 0xF5              ? 3
                                                           : 9;
        if (c == 0 || more == 9 || n - i <= more)
            return false;
        for (size_t k = 1; k <= more; k++)
            if ((s[i + k] & 0xC0) != 0x80)
                return false;
        if ((c == 0xE0 && s[i + 1] < 0xA0) || (c == 0xED && s[i + 1] >= 0xA0) ||
            (c == 0xF0 && s[i + 1] < 0x90) || (c == 0xF4 && s[i + 1] >= 0x90))
            return false;
        i += more + 1;
    }
    return true;
}

enum { DISTANCE_MAX = 64 };

int qn_text_distance(const char *a, const char *b, int cap) {
    size_t na = strlen(a), nb = strlen(b);
    if (na > DISTANCE_MAX || nb > DISTANCE_MAX)
        return strcmp(a, b) == 0 ? 0 : cap;
    int rows[3][DISTANCE_MAX + 1]; /* two rows back (for transpositions), one back, this one */
    for (size_t j = 0; j <= nb; j++)
        rows[1][j] = (int)j;
    for (size_t i = 1; i <= na; i++) {
        int *back2 = rows[(i + 2) % 3], *back = rows[i % 3], *now = rows[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= nb; j++) {
            int best = back[j - 1] +
                       (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
            if (back[j] + 1 < best)
                best = back[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                back2[j - 2] + 1 < best)
                best = back2[j - 2] + 1;
            now[j] = best;
        }
    }
    int distance = rows[(na + 1) % 3][nb];
    return distance < cap ? distance : cap;
}

const char *qn_text_nearest(const char *name, const char *const *candidates, size_t n) {
    const char *best = NULL;
    int limit = (int)strlen(name) / 3 + 1, best_distance = limit + 1;
    for (size_t i = 0; i < n; i++) {
        if (!candidates[i])
            continue;
        int distance = qn_text_distance(name, candidates[i], limit + 1);
        if (distance < best_distance) {
            best_distance = distance;
            best = candidates[i];
        }
    }
    return best;
}

void qn_text_count(int64_t n, char text[QN_DOUBLE_TEXT]) {
    char plain[QN_DOUBLE_TEXT];
    int len = snprintf(plain, sizeof plain, "%lld", (long long)n), at = 0;
    for (int i = 0; i < len && at < QN_DOUBLE_TEXT - 2; i++) {
        text[at++] = plain[i];
        int left = len - 1 - i;
        if (left > 0 && left % 3 == 0 && plain[i] != '-')
            text[at++] = ',';
    }
    text[at] = '\0';
}

void qn_text_bytes(size_t bytes, char text[QN_DOUBLE_TEXT]) {
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    double x = (double)bytes;
    int i_unit = 0;
    while (x >= 999.5 && i_unit < 4) {
        x /= 1000;
        i_unit++;
    }
    snprintf(text, QN_DOUBLE_TEXT, i_unit && x < 9.95 ? "%.1f %s" : "%.0f %s", x, units[i_unit]);
}

void qn_text_duration(double s, char text[QN_DOUBLE_TEXT]) {
    if (s < 0.9995)
        snprintf(text, QN_DOUBLE_TEXT, "%.0f ms", s * 1e3);
    else if (s < 60)
        snprintf(text, QN_DOUBLE_TEXT, "%.1f s", s);
    else if (s < 3600)
        snprintf(text, QN_DOUBLE_TEXT, "%d min %d s", (int)(s / 60), (int)s % 60);
    else
        snprintf(text, QN_DOUBLE_TEXT, "%d h %d min", (int)(s / 3600), (int)(s / 60) % 60);
}
