#include <stdio.h>

#include "data/column_int.h"

/* Days since 1970-01-01 of a proleptic Gregorian date, and back: eras of 400 years that begin in
 * March (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
static int64_t days_from_civil(int64_t year, int month, int day) {
    year -= month <= 2;
    const int64_t era = (year >= 0 ? year : year - 399) / 400;
    const int64_t year_of_era = year - era * 400;
    const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static void civil_from_days(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day) {
    days += 719468;
    const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const int64_t day_of_era = days - era * 146097;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year = day_of_era -
                                (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t m = (5 * day_of_year + 2) / 153;
    *ret_day = (int)(day_of_year - (153 * m + 2) / 5 + 1);
    *ret_month = (int)(m < 10 ? m + 3 : m - 9);
    *ret_year = year_of_era + era * 400 + (*ret_month <= 2);
}

typedef struct cursor {
    const char *at, *end;
} cursor;

static bool take_char(cursor *c, char wanted) {
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool take_digits(cursor *c, int n_digits, int low, int high, int *ret_value) {
    int value = 0;
    for (int i = 0; i < n_digits; i++, c->at++) {
        if (c->at == c->end || *c->at < '0' || *c->at > '9')
            return false;
        value = value * 10 + (*c->at - '0');
    }
    *ret_value = value;
    return value >= low && value <= high;
}

/* Up to six digits count; the rest is dropped. */
static bool take_fraction(cursor *c, int *ret_us) {
    int us = 0, n = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++, n++)
        if (n < 6)
            us = us * 10 + (*c->at - '0');
    for (int i = n; i < 6; i++)
        us *= 10;
    *ret_us = us;
    return n > 0;
}

static bool take_zone(cursor *c, int *ret_minutes) {
    int hours = 0, minutes = 0;
    *ret_minutes = 0;
    if (c->at == c->end || take_char(c, 'Z') || take_char(c, 'z'))
        return true;
    const bool west = *c->at == '-';
    if (!west && *c->at != '+')
        return false;
    c->at++;
    if (!take_digits(c, 2, 0, 23, &hours))
        return false;
    take_char(c, ':');
    if (c->at < c->end && !take_digits(c, 2, 0, 59, &minutes))
        return false;
    *ret_minutes = (west ? -1 : 1) * (hours * 60 + minutes);
    return true;
}

static int days_of_month(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

bool qn__time_parse(const char *bytes, size_t n, int64_t *ret_us) {
    cursor c = {bytes, bytes + n};
    int year, month, day, hour = 0, minute = 0, second = 0, us = 0, zone = 0;
    if (!take_digits(&c, 4, 0, 9999, &year) || !take_char(&c, '-') ||
        !take_digits(&c, 2, 1, 12, &month) || !take_char(&c, '-') ||
        !take_digits(&c, 2, 1, 31, &day) || day > days_of_month(year, month))
        return false;
    if (take_char(&c, 'T') || take_char(&c, ' ')) {
        if (!take_digits(&c, 2, 0, 23, &hour) || !take_char(&c, ':') ||
            !take_digits(&c, 2, 0, 59, &minute))
            return false;
        if (take_char(&c, ':')) {
            if (!take_digits(&c, 2, 0, 60, &second))
                return false;
            if (take_char(&c, '.') && !take_fraction(&c, &us))
                return false;
        }
        if (!take_zone(&c, &zone))
            return false;
    }
    if (c.at != c.end)
        return false;
    const int64_t minutes = (days_from_civil(year, month, day) * 24 + hour) * 60 + minute - zone;
    *ret_us = (minutes * 60 + second) * 1000000 + us;
    return true;
}

void qn__time_format(int64_t us, char text[QN_TIME_TEXT]) {
    const int64_t day_us = INT64_C(86400000000);
    int64_t days = us / day_us, rest = us % day_us, year;
    if (rest < 0) {
        rest += day_us;
        days--;
    }
    int month, day;
    civil_from_days(days, &year, &month, &day);
    const int second = (int)(rest / 1000000), fraction = (int)(rest % 1000000);
    int n = snprintf(text, QN_TIME_TEXT, "%04lld-%02d-%02dT%02d:%02d:%02d", (long long)year, month,
                     day, second / 3600, second / 60 % 60, second % 60);
    if (fraction)
        snprintf(text + n, QN_TIME_TEXT - (size_t)n, ".%06d", fraction);
}
