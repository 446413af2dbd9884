#include "data/cell.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "data/csv_int.h"

struct qn_cell_rules {
    qn__names names; /* owned */
    qn__missing missing;
};

static const char *const always_missing[] = {"",    "?",    "NA",   "N/A", "NaN",
                                             "nan", "NULL", "null", "None"};

qn_status qn__missing_names(const char *const *more, size_t n_more, qn__names *ret_names,
                            qn_error *err) {
    for (size_t i = 0; i < sizeof always_missing / sizeof always_missing[0]; i++)
        QN_TRY(qn__names_add(ret_names, always_missing[i], strlen(always_missing[i]), err));
    for (size_t i = 0; i < n_more; i++) {
        size_t n = strlen(more[i]);
        const char *text = qn__trimmed(more[i], &n);
        QN_TRY(qn__names_add(ret_names, text, n, err));
    }
    return QN_OK;
}

qn_status qn_cell_rules_new(const char *const *missing, size_t n_missing,
                            qn_cell_rules **ret_rules, qn_error *err) {
    qn_cleanup(qn_cell_rules_free) qn_cell_rules *rules = qn_new(qn_cell_rules);
    if (!rules)
        return qn_error_memory(err);
    QN_TRY(qn__missing_names(missing, n_missing, &rules->names, err));
    qn__missing_init(&rules->missing, &rules->names);
    *ret_rules = qn_steal(&rules);
    return QN_OK;
}

void qn_cell_rules_free(qn_cell_rules **rules) {
    if (!rules || !*rules)
        return;
    qn__names_done(&(*rules)->names);
    qn_freep(rules);
}

static qn_cell_kind read_number(qn_type type, const char *text, size_t n, qn_cell *ret_cell) {
    int64_t whole;
    double real;
    const qn_number_kind kind = qn_number_parse(text, n, &whole, &real);
    if (kind == QN_NUMBER_REAL && isnan(real))
        return QN_CELL_MISSING;
    if (type == QN_TYPE_F64) {
        if (kind == QN_NUMBER_NONE)
            return QN_CELL_MISFIT;
        ret_cell->f64 = real;
        return QN_CELL_VALUE;
    }
    if (!qn__number_whole(kind, real, &whole))
        return QN_CELL_MISFIT;
    ret_cell->i64 = whole;
    return QN_CELL_VALUE;
}

qn_cell_kind qn_cell_read(const qn_cell_rules *rules, qn_type type, const char *bytes, size_t n,
                          qn_cell *ret_cell) {
    const char *text = qn__trimmed(bytes, &n);
    if (qn__missing_has(&rules->missing, text, n))
        return QN_CELL_MISSING;
    if (type == QN_TYPE_CATEGORY || type == QN_TYPE_TEXT) {
        ret_cell->text.bytes = text;
        ret_cell->text.n = n;
        return QN_CELL_VALUE;
    }
    if (type == QN_TYPE_F64 || type == QN_TYPE_I64)
        return read_number(type, text, n, ret_cell);
    int64_t value;
    const bool fits = type == QN_TYPE_BOOL ? qn__bool_parse(text, n, true, &value)
                                           : qn__time_parse(text, n, &value);
    if (!fits)
        return QN_CELL_MISFIT;
    ret_cell->i64 = value;
    return QN_CELL_VALUE;
}

const char *qn_cell_wanted(qn_type type) {
    return type == QN_TYPE_TIME ? "time (2020-01-31 or 2020-01-31T12:30:00)"
                                : qn__type_wanted(type);
}
