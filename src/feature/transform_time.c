/* transform_time.c - the parts of a time, and circles. Times are UTC; dates follow the proleptic
 * Gregorian calendar (days-to-civil as in Hinnant, "chrono-compatible low-level date algorithms",
 * 2014). */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "feature/transforms_int.h"

enum {
    PART_YEAR,
    PART_MONTH,
    PART_DAY,
    PART_WEEKDAY,
    PART_DAY_OF_YEAR,
    PART_WEEKEND,
    PART_HOUR,
    PART_MINUTE,
    PART_ELAPSED,
    N_PARTS
};

static const char *const part_names[N_PARTS] = {"year", "month", "day", "weekday", "day_of_year",
                                                "is_weekend", "hour", "minute", "elapsed"};

#define DAY_US (86400ll * 1000000)

static void parts_of(int64_t time_us, int64_t origin_us, double part[N_PARTS]) {
    int64_t days = time_us / DAY_US, us = time_us % DAY_US;
    if (us < 0) {
        us += DAY_US;
        days--;
    }
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, in_era = z - era * 146097;
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t from_march = in_era - (365 * year + year / 4 - year / 100),
            mp = (5 * from_march + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;
    year += era * 400 + (month <= 2);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int64_t weekday = ((days % 7) + 10) % 7; /* 1970-01-01 was a Thursday: 3 */
    part[PART_YEAR] = (double)year;
    part[PART_MONTH] = (double)month;
    part[PART_DAY] = (double)(from_march - (153 * mp + 2) / 5 + 1);
    part[PART_WEEKDAY] = (double)weekday;
    part[PART_DAY_OF_YEAR] = (double)(month > 2 ? from_march + 60 + leap : from_march - 305);
    part[PART_WEEKEND] = weekday >= 5;
    part[PART_HOUR] = (double)(us / 3600000000ll);
    part[PART_MINUTE] = (double)(us / 60000000 % 60);
    part[PART_ELAPSED] = ((double)time_us - (double)origin_us) / 1e6;
}

static int part_index(const char *name) {
    for (int k = 0; k < N_PARTS; k++)
        if (strcmp(part_names[k], name) == 0)
            return k;
    return -1;
}

static qn_status parts_check(const void *params, const json_t *list, qn_error *err) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (part_index(name) >= 0)
            continue;
        const char *nearest = qn_text_nearest(name, part_names, N_PARTS);
        return qn_error_set(err, QN_ERR_CONFIG, "'%.100s' is no part of a time; %s%s", name,
                            nearest ? "did you mean "
                                    : "there are year, month, day, weekday, day_of_year, "
                                      "is_weekend, hour, minute, elapsed",
                            nearest ? nearest : "");
    }
    return QN_OK;
}

/* The parts listed, or (without a list) those of `able` that differ among the training times. */
static uint32_t choose_parts(const qn__values *in, const json_t *list, uint32_t able,
                             int64_t origin_us) {
    uint32_t chosen = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        chosen |= 1u << part_index(json_string_value(json_array_get(list, i)));
    if (list)
        return chosen & able;
    double first[N_PARTS] = {0}, part[N_PARTS];
    bool any = false;
    for (int64_t i = 0; i < in->n_rows; i++) {
        if (in->time_us[i] == QN__NO_TIME)
            continue;
        parts_of(in->time_us[i], origin_us, any ? part : first);
        for (int k = 0; any && k < N_PARTS; k++)
            chosen |= (uint32_t)(part[k] != first[k]) << k;
        any = true;
    }
    return chosen & able;
}

typedef struct date_state {
    qn__state base;
    uint32_t parts;   /* bit k: part k */
    int64_t first_us; /* elapsed counts from here: the first training time */
} date_state;

static int64_t first_time(const qn__values *in) {
    int64_t first = INT64_MAX;
    for (int64_t i = 0; i < in->n_rows; i++)
        if (in->time_us[i] != QN__NO_TIME && in->time_us[i] < first)
            first = in->time_us[i];
    return first == INT64_MAX ? 0 : first;
}

/* --- date --- */

static qn_status date_fit(qn__state *state, const qn__values *in, int32_t n_in, const qn__fit *fit,
                          qn_error *err) {
    date_state *s = (date_state *)state;
    s->first_us = first_time(in);
    s->parts = choose_parts(in, state->list, (1u << N_PARTS) - 1, s->first_us);
    state->n_out = __builtin_popcount(s->parts);
    return QN_OK;
}

static qn_status date_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                            qn__values *out, qn_error *err) {
    const date_state *s = (const date_state *)state;
    for (int32_t k = 0; k < state->n_out; k++)
        if (!qn__out_numbers(&out[k]))
            return qn_error_memory(err);
    for (int64_t i = 0; i < in->n_rows; i++) {
        bool missing = in->time_us[i] == QN__NO_TIME;
        double part[N_PARTS] = {0};
        if (!missing)
            parts_of(in->time_us[i], s->first_us, part);
        for (int k = 0, o = 0; k < N_PARTS; k++)
            if (s->parts >> k & 1)
                out[o++].num[i] = missing ? NAN : part[k];
    }
    return QN_OK;
}

static void date_save(const qn__state *state, qn_buf *out) {
    const date_state *s = (const date_state *)state;
    qn_buf_put_u32(out, s->parts);
    qn_buf_put_u64(out, (uint64_t)s->first_us);
}

static qn_status date_load(qn__state *state, qn_reader *reader, qn_error *err) {
    date_state *s = (date_state *)state;
    s->parts = qn_reader_u32(reader);
    s->first_us = (int64_t)qn_reader_u64(reader);
    state->n_out = __builtin_popcount(s->parts);
    return s->parts >> N_PARTS ? qn__damaged(err) : QN_OK;
}

static int nth_part(uint32_t parts, int32_t i) {
    for (int k = 0; k < N_PARTS; k++)
        if ((parts >> k & 1) && i-- == 0)
            return k;
    return 0;
}

static void date_name(const qn__state *state, const char *in, int32_t i, qn_buf *out) {
    qn_buf_printf(out, "%s %s", in, part_names[nth_part(((const date_state *)state)->parts, i)]);
}

const qn__transform qn__transform_date = {
    .name = "date",
    .aliases = "date_parts time datetime",
    .help = "year, month, day, weekday (0 Monday), day_of_year, is_weekend, hour, minute, elapsed "
            "seconds; "
            "without a list those that vary in training",
    .accepts = QN__TIME,
    .gives = QN__NUMBER,
    .list_param = "parts",
    .state_bytes = sizeof(date_state),
    .check = parts_check,
    .fit = date_fit,
    .apply = date_apply,
    .save = date_save,
    .load = date_load,
    .name_out = date_name,
};

/* --- cyclical: sine and cosine, so that December is next to January --- */

typedef struct cyclical_params {
    double period;
} cyclical_params;

static const qn_param cyclical_table[] = {
    {.name = "period", .kind = QN_PARAM_REAL, .offset = offsetof(cyclical_params, period), .low = 0,
     .high = 1e15, .preset = 0,
     .help = "of a number, in its units; 0: training range + 1 (for whole numbers)"},
};

typedef struct cyclical_state {
    qn__state base;
    uint32_t parts;
    double period; /* numbers */
} cyclical_state;

enum {
    ROUND_PARTS = 1 << PART_MONTH | 1 << PART_DAY | 1 << PART_WEEKDAY | 1 << PART_DAY_OF_YEAR |
                  1 << PART_HOUR | 1 << PART_MINUTE
};
static const double part_period[N_PARTS] = {
    [PART_MONTH] = 12,        [PART_DAY] = 31,  [PART_WEEKDAY] = 7,
    [PART_DAY_OF_YEAR] = 366, [PART_HOUR] = 24, [PART_MINUTE] = 60};

static void cyclical_size(cyclical_state *s) {
    s->base.n_out = s->base.in_kind == QN__TIME ? 2 * __builtin_popcount(s->parts) : 2;
}

static qn_status cyclical_check(const void *params, const json_t *list, qn_error *err) {
    QN_TRY(parts_check(params, list, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        QN_FAIL_IF(
            !(ROUND_PARTS >> part_index(name) & 1), err, QN_ERR_CONFIG,
            "'%s' does not go round; cyclical takes month, day, weekday, day_of_year, hour, minute",
            name);
    }
    return QN_OK;
}

static qn_status cyclical_fit(qn__state *state, const qn__values *in, int32_t n_in,
                              const qn__fit *fit, qn_error *err) {
    cyclical_state *s = (cyclical_state *)state;
    s->period = ((const cyclical_params *)state->params)->period;
    if (in->kind == QN__TIME) {
        s->period = 1;
        s->parts = choose_parts(in, state->list, ROUND_PARTS, 0);
    } else if (s->period == 0) {
        double low = HUGE_VAL, high = -HUGE_VAL;
        for (int64_t i = 0; i < in->n_rows; i++)
            if (!isnan(in->num[i])) {
                low = fmin(low, in->num[i]);
                high = fmax(high, in->num[i]);
            }
        s->period = low <= high ? qn__finite(high - low + 1) : 1;
    }
    cyclical_size(s);
    return QN_OK;
}

static void put_angle(double x, double period, qn__values *out, int64_t i) {
    double angle = 2 * 3.14159265358979323846 * (fmod(x, period) / period);
    out[0].num[i] = isnan(x) ? NAN : sin(angle);
    out[1].num[i] = isnan(x) ? NAN : cos(angle);
}

static qn_status cyclical_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                                qn__values *out, qn_error *err) {
    const cyclical_state *s = (const cyclical_state *)state;
    for (int32_t k = 0; k < state->n_out; k++)
        if (!qn__out_numbers(&out[k]))
            return qn_error_memory(err);
    for (int64_t i = 0; i < in->n_rows; i++) {
        if (in->kind == QN__NUMBER) {
            put_angle(in->num[i], s->period, out, i);
            continue;
        }
        bool missing = in->time_us[i] == QN__NO_TIME;
        double part[N_PARTS] = {0};
        if (!missing)
            parts_of(in->time_us[i], 0, part);
        for (int k = 0, o = 0; k < N_PARTS; k++)
            if (s->parts >> k & 1) {
                put_angle(missing ? NAN : part[k], part_period[k], out + o, i);
                o += 2;
            }
    }
    return QN_OK;
}

static void cyclical_save(const qn__state *state, qn_buf *out) {
    const cyclical_state *s = (const cyclical_state *)state;
    qn_buf_put_u32(out, s->parts);
    qn_buf_put_f64(out, s->period);
}

static qn_status cyclical_load(qn__state *state, qn_reader *reader, qn_error *err) {
    cyclical_state *s = (cyclical_state *)state;
    s->parts = qn_reader_u32(reader);
    QN_TRY(qn__read_finite(reader, &s->period, err));
    if ((s->parts & ~(uint32_t)ROUND_PARTS) || !(s->period > 0))
        return qn__damaged(err);
    cyclical_size(s);
    return QN_OK;
}

static void cyclical_name(const qn__state *state, const char *in, int32_t i, qn_buf *out) {
    const cyclical_state *s = (const cyclical_state *)state;
    qn_buf_put_text(out, in);
    if (state->in_kind == QN__TIME)
        qn_buf_printf(out, " %s", part_names[nth_part(s->parts, i / 2)]);
    qn_buf_put_text(out, i % 2 ? " cos" : " sin");
}

const qn__transform qn__transform_cyclical = {
    .keeps = true,
    .name = "cyclical",
    .help = "sine and cosine of a number, or of the parts of a time",
    .accepts = QN__NUMBER | QN__TIME,
    .gives = QN__NUMBER,
    .params = cyclical_table,
    .n_params = sizeof cyclical_table / sizeof cyclical_table[0],
    .params_bytes = sizeof(cyclical_params),
    .main_param = "period",
    .list_param = "parts",
    .state_bytes = sizeof(cyclical_state),
    .check = cyclical_check,
    .fit = cyclical_fit,
    .apply = cyclical_apply,
    .save = cyclical_save,
    .load = cyclical_load,
    .name_out = cyclical_name,
};
