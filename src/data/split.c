#include "data/split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/column_int.h"
#include "data/split_int.h"

static const char *const method_names[] = {"random", "stratified", "time", "group"};

const char *qn_split_method_name(qn_split_method method) {
    return method_names[method];
}

bool qn_split_method_from_name(const char *name, qn_split_method *ret_method) {
    for (int i = 0; i < 4; i++)
        if (strcmp(name, method_names[i]) == 0) {
            *ret_method = (qn_split_method)i;
            return true;
        }
    return false;
}

void qn_split_done(qn_split *split) {
    if (!split)
        return;
    qn_freep(&split->train);
    qn_freep(&split->validate);
    qn_freep(&split->test);
    *split = (qn_split){0};
}

static void draft_done(qn__draft *draft) {
    qn_freep(&draft->rows);
    qn_freep(&draft->part);
    qn_freep(&draft->order);
}

/* Collects the labelled rows among `rows` (NULL: 0..n_used-1). */
static qn_status draft_init(qn__draft *draft, const qn_split_options *options, const int64_t *rows,
                            int64_t n_used, const double *y, qn_error *err) {
    draft->options = options;
    draft->validate_from = draft->test_from = NAN;
    draft->rows = qn_new_array(int64_t, n_used);
    draft->part = qn_new_array(int32_t, n_used);
    draft->order = qn_new_array(int64_t, n_used);
    if (!draft->rows || !draft->part || !draft->order)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n_used; i++) {
        int64_t row = rows ? rows[i] : i;
        if (y && isnan(y[row]))
            draft->n_skipped++;
        else
            draft->rows[draft->n++] = row;
    }
    return QN_OK;
}

/* ---- strata ---- */

typedef struct stratum {
    int64_t begin, n;           /* its rows in draft->order */
    int64_t n_validate, n_test; /* what it gives to these parts */
    double validate_rest, test_rest;
} stratum;

typedef struct ranked {
    double value;
    int64_t i;
} ranked;

static int compare_ranked(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return (x->i > y->i) - (x->i < y->i);
}

enum { QN_REGRESSION_STRATA = 10 };

/* Fills draft->order with the positions of the rows sorted by class (regression: by tenth of the
 * target) and *ret_strata with one entry per class that has rows. */
static qn_status strata_make(qn__draft *draft, const double *y, qn_task task, stratum **ret_strata,
                             int64_t *ret_n, qn_error *err) {
    qn_cleanup(qn_freep) ranked *items = qn_new_array(ranked, draft->n);
    if (!items)
        return qn_error_memory(err);
    for (int64_t i = 0; i < draft->n; i++)
        items[i] = (ranked){y ? y[draft->rows[i]] : 0, i};
    qsort(items, (size_t)draft->n, sizeof items[0], compare_ranked);
    bool is_class = task != QN_TASK_REGRESSION || !y;
    if (!is_class) /* tenths by rank, so that none is empty when there are ten rows */
        for (int64_t i = 0; i < draft->n; i++)
            items[i].value = (double)(i * QN_REGRESSION_STRATA / draft->n);
    int64_t n = 0;
    for (int64_t i = 0; i < draft->n; i++)
        n += i == 0 || items[i].value != items[i - 1].value;
    stratum *strata = qn_new_array(stratum, n);
    if (!strata)
        return qn_error_memory(err);
    for (int64_t i = 0, s = -1; i < draft->n; i++) {
        if (i == 0 || items[i].value != items[i - 1].value)
            strata[++s].begin = i;
        strata[s].n++;
        draft->order[i] = items[i].i;
    }
    *ret_strata = strata;
    *ret_n = n;
    return QN_OK;
}

static qn_status strata_check(const qn__draft *draft, const stratum *strata, int64_t n_strata,
                              qn_task task, qn_error *err) {
    for (int64_t s = 0; s < n_strata && task != QN_TASK_REGRESSION; s++) {
        int64_t row = draft->rows[draft->order[strata[s].begin]] + 1;
        QN_FAIL_IF(
            strata[s].n == 1, err, QN_ERR_DATA,
            "impossible split: the class of row %lld has 1 row only, so it cannot be both learnt "
            "and tested; drop that row, merge the class with another, or use method random",
            (long long)row);
    }
    return QN_OK;
}

/* One more row for a part from the stratum with the largest rest that can spare it. */
static void strata_round(stratum *strata, int64_t n_strata, int64_t n_left, bool is_test) {
    for (; n_left > 0; n_left--) {
        int64_t best = -1;
        double best_rest = -1e300;
        for (int64_t s = 0; s < n_strata; s++) {
            double rest = is_test ? strata[s].test_rest : strata[s].validate_rest;
            if (strata[s].n_test + strata[s].n_validate + 1 < strata[s].n && rest > best_rest) {
                best = s;
                best_rest = rest;
            }
        }
        if (best < 0)
            return;
        if (is_test) {
            strata[best].n_test++;
            strata[best].test_rest -= 1;
        } else {
            strata[best].n_validate++;
            strata[best].validate_rest -= 1;
        }
    }
}

/* Every class in each part that is asked for, when it has that many rows; test before validate when
 * it has only two; always one left to train on. */
static void stratum_spread(stratum *s, bool has_validate, bool has_test) {
    if (has_test && s->n_test == 0 && s->n >= 2)
        s->n_test = 1;
    if (has_validate && s->n_validate == 0 && s->n >= 2 + has_test)
        s->n_validate = 1;
    while (s->n_test + s->n_validate >= s->n && s->n > 0) {
        if (s->n_validate > (s->n_test > 1 ? 1 : 0) && s->n_validate >= s->n_test)
            s->n_validate--;
        else if (s->n_test > 0)
            s->n_test--;
        else
            s->n_validate--;
    }
}

static void strata_quotas(const qn__draft *draft, stratum *strata, int64_t n_strata) {
    int64_t test_left = draft->n_test, validate_left = draft->n_validate;
    for (int64_t s = 0; s < n_strata; s++) {
        double test = draft->options->test * (double)strata[s].n;
        double validate = draft->options->validate * (double)strata[s].n;
        strata[s].n_test = (int64_t)floor(test);
        strata[s].n_validate = (int64_t)floor(validate);
        strata[s].test_rest = test - floor(test);
        strata[s].validate_rest = validate - floor(validate);
        test_left -= strata[s].n_test;
        validate_left -= strata[s].n_validate;
    }
    strata_round(strata, n_strata, test_left, true);
    strata_round(strata, n_strata, validate_left, false);
    for (int64_t s = 0; s < n_strata; s++)
        stratum_spread(&strata[s], draft->options->validate > 0, draft->options->test > 0);
}

/* The positions of a stratum's rows, in an order of chance. */
static const int64_t *stratum_shuffle(const qn__draft *draft, const stratum *s, int64_t i_stratum) {
    int64_t *order = draft->order + s->begin;
    qn_rng rng;
    qn_rng_init_stream(&rng, draft->options->seed, (uint64_t)i_stratum);
    qn_rng_shuffle_i64(&rng, order, s->n);
    return order;
}

static qn_status split_stratified(qn__draft *draft, const double *y, qn_task task, qn_error *err) {
    qn_cleanup(qn_freep) stratum *strata = NULL;
    int64_t n_strata = 0;
    QN_TRY(strata_make(draft, y, task, &strata, &n_strata, err));
    if (draft->n_test + draft->n_validate > 0)
        QN_TRY(strata_check(draft, strata, n_strata, task, err));
    strata_quotas(draft, strata, n_strata);
    for (int64_t s = 0; s < n_strata; s++) {
        const int64_t *order = stratum_shuffle(draft, &strata[s], s);
        for (int64_t i = 0; i < strata[s].n; i++)
            draft->part[order[i]] = i < strata[s].n_test                        ? QN__TEST
                                    : i < strata[s].n_test + strata[s].n_validate ? QN__VALIDATE
                                                                                  : QN__TRAIN;
    }
    return QN_OK;
}

/* Deals each class, shuffled, one row per fold in turn, going on where the last class ended. */
static qn_status folds_stratified(qn__draft *draft, const double *y, qn_task task, qn_error *err) {
    qn_cleanup(qn_freep) stratum *strata = NULL;
    int64_t n_strata = 0, dealt = 0;
    QN_TRY(strata_make(draft, y, task, &strata, &n_strata, err));
    QN_TRY(strata_check(draft, strata, n_strata, task, err));
    for (int64_t s = 0; s < n_strata; s++) {
        const int64_t *order = stratum_shuffle(draft, &strata[s], s);
        for (int64_t i = 0; i < strata[s].n; i++)
            draft->part[order[i]] = (int32_t)(dealt++ % draft->options->folds);
    }
    return QN_OK;
}

/* ---- random ---- */

static void draft_shuffle(qn__draft *draft) {
    qn_rng rng;
    qn_rng_init(&rng, draft->options->seed);
    for (int64_t i = 0; i < draft->n; i++)
        draft->order[i] = i;
    qn_rng_shuffle_i64(&rng, draft->order, draft->n);
}

static void split_random(qn__draft *draft) {
    draft_shuffle(draft);
    for (int64_t i = 0; i < draft->n; i++)
        draft->part[draft->order[i]] = i < draft->n_test                       ? QN__TEST
                                       : i < draft->n_test + draft->n_validate ? QN__VALIDATE
                                                                               : QN__TRAIN;
}

static void folds_random(qn__draft *draft) {
    draft_shuffle(draft);
    for (int64_t i = 0; i < draft->n; i++)
        draft->part[draft->order[i]] = (int32_t)(i % draft->options->folds);
}

/* ---- both ---- */

static qn_status columns_check(const qn_split_options *options, int64_t n_rows,
                               const qn_column *time, const qn_column *group, qn_error *err) {
    const qn_column *needed = options->method == QN_SPLIT_TIME    ? time
                              : options->method == QN_SPLIT_GROUP ? group
                                                                  : NULL;
    QN_FAIL_IF(options->method == QN_SPLIT_TIME && !time, err, QN_ERR_CONFIG,
               "split method time needs a time column: name it as data.time");
    QN_FAIL_IF(options->method == QN_SPLIT_GROUP && !group, err, QN_ERR_CONFIG,
               "split method group needs a column: name it as split.group");
    QN_FAIL_IF(needed && needed->n_rows != n_rows, err, QN_ERR_INTERNAL,
               "split: column %s has %lld rows, not %lld", needed->name, (long long)needed->n_rows,
               (long long)n_rows);
    bool is_time = time && (time->type == QN_TYPE_TIME || time->type == QN_TYPE_I64 ||
                            time->type == QN_TYPE_F64);
    QN_FAIL_IF(
        options->method == QN_SPLIT_TIME && !is_time, err, QN_ERR_CONFIG,
        "split by time: column %s is %s, not a time or a number; give it type time, or convert it "
        "in data.query",
        needed->name, qn_type_name(needed->type));
    return QN_OK;
}

static qn_status shares_check(qn__draft *draft, qn_error *err) {
    double test = draft->options->test, validate = draft->options->validate;
    QN_FAIL_IF(!(test >= 0 && test < 1), err, QN_ERR_CONFIG,
               "split.test must be at least 0 and less than 1, not %g", test);
    QN_FAIL_IF(!(validate >= 0 && validate < 1), err, QN_ERR_CONFIG,
               "split.validate must be at least 0 and less than 1, not %g", validate);
    QN_FAIL_IF(!(test + validate < 1), err, QN_ERR_CONFIG,
               "split.test %g and split.validate %g leave nothing to train on", test, validate);
    draft->n_test = llround(test * (double)draft->n);
    draft->n_validate = llround(validate * (double)draft->n);
    QN_FAIL_IF(draft->n == 0, err, QN_ERR_DATA, "impossible split: no row has a target value");
    QN_FAIL_IF(
        test > 0 && draft->n_test == 0, err, QN_ERR_DATA,
        "impossible split: a test share of %g of %lld rows is no row; give more rows or a larger "
        "split.test",
        test, (long long)draft->n);
    QN_FAIL_IF(
        validate > 0 && draft->n_validate == 0, err, QN_ERR_DATA,
        "impossible split: a validate share of %g of %lld rows is no row; give more rows or a "
        "larger split.validate",
        validate, (long long)draft->n);
    QN_FAIL_IF(
        draft->n - draft->n_test - draft->n_validate <= 0, err, QN_ERR_DATA,
        "impossible split: of %lld rows none is left to train on; give more rows or smaller shares",
        (long long)draft->n);
    return QN_OK;
}

static qn_status draft_to_split(const qn__draft *draft, qn_split *split, qn_error *err) {
    int64_t n[3] = {0};
    for (int64_t i = 0; i < draft->n; i++)
        n[draft->part[i]]++;
    const char *empty = n[QN__TRAIN] == 0                                         ? "train"
                        : draft->options->validate > 0 && n[QN__VALIDATE] == 0 ? "validate"
                        : draft->options->test > 0 && n[QN__TEST] == 0         ? "test"
                                                                               : NULL;
    QN_FAIL_IF(empty, err, QN_ERR_DATA,
               "impossible split: the %s part would have no row; give more rows or other shares",
               empty);
    split->train = qn_new_array(int64_t, n[QN__TRAIN]);
    split->validate = qn_new_array(int64_t, n[QN__VALIDATE]);
    split->test = qn_new_array(int64_t, n[QN__TEST]);
    if (!split->train || !split->validate || !split->test)
        return qn_error_memory(err);
    for (int64_t i = 0; i < draft->n; i++) {
        if (draft->part[i] == QN__TRAIN)
            split->train[split->n_train++] = draft->rows[i];
        else if (draft->part[i] == QN__VALIDATE)
            split->validate[split->n_validate++] = draft->rows[i];
        else
            split->test[split->n_test++] = draft->rows[i];
    }
    return QN_OK;
}

qn_status qn_split_make(const qn_split_options *options, int64_t n_rows, const double *y,
                        qn_task task, int32_t n_classes, const qn_column *time,
                        const qn_column *group, qn_split *ret_split, qn_error *err) {
    QN_TRY(columns_check(options, n_rows, time, group, err));
    qn_cleanup(draft_done) qn__draft draft = {0};
    QN_TRY(draft_init(&draft, options, NULL, n_rows, y, err));
    QN_TRY(shares_check(&draft, err));
    switch (options->method) {
    case QN_SPLIT_RANDOM: split_random(&draft); break;
    case QN_SPLIT_STRATIFIED: QN_TRY(split_stratified(&draft, y, task, err)); break;
    case QN_SPLIT_TIME: QN_TRY(qn__split_time(&draft, time, err)); break;
    case QN_SPLIT_GROUP: QN_TRY(qn__split_group(&draft, group, err)); break;
    }
    qn_cleanup(qn_split_done) qn_split split = {
        .method = options->method, .seed = options->seed, .n_unlabelled = draft.n_skipped,
        .n_groups = draft.n_groups, .time_type = time ? time->type : QN_TYPE_TIME,
        .validate_from = draft.validate_from, .test_from = draft.test_from};
    QN_TRY(draft_to_split(&draft, &split, err));
    *ret_split = split;
    split = (qn_split){0};
    return QN_OK;
}

qn_status qn_folds_make(const qn_split_options *options, int64_t n_rows, const int64_t *rows,
                        int64_t n_used, const double *y, qn_task task, int32_t n_classes,
                        const qn_column *time, const qn_column *group, int32_t **ret_fold,
                        qn_error *err) {
    QN_FAIL_IF(options->folds < 2, err, QN_ERR_CONFIG, "split.folds must be at least 2, not %d",
               (int)options->folds);
    QN_TRY(columns_check(options, n_rows, time, group, err));
    qn_cleanup(draft_done) qn__draft draft = {0};
    QN_TRY(draft_init(&draft, options, rows, rows ? n_used : n_rows, y, err));
    QN_FAIL_IF(
        draft.n < options->folds, err, QN_ERR_DATA,
        "impossible split: %lld labelled rows cannot make %d folds; give more rows or fewer folds",
        (long long)draft.n, (int)options->folds);
    switch (options->method) {
    case QN_SPLIT_RANDOM: folds_random(&draft); break;
    case QN_SPLIT_STRATIFIED: QN_TRY(folds_stratified(&draft, y, task, err)); break;
    case QN_SPLIT_TIME: QN_TRY(qn__folds_time(&draft, time, err)); break;
    case QN_SPLIT_GROUP: QN_TRY(qn__folds_group(&draft, group, err)); break;
    }
    int32_t *fold = qn_new_array(int32_t, n_rows);
    if (!fold)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n_rows; i++)
        fold[i] = QN_FOLD_NONE;
    for (int64_t i = 0; i < draft.n; i++)
        fold[draft.rows[i]] = draft.part[i];
    *ret_fold = fold;
    return QN_OK;
}

/* ---- description ---- */

static json_t *boundary_json(qn_type type, double value) {
    if (type != QN_TYPE_TIME || !(fabs(value) < 9e18))
        return qn_json_number(value);
    char text[QN_TIME_TEXT];
    qn__time_format((int64_t)value, text);
    return json_string(text);
}

json_t *qn_split_to_json(const qn_split *split) {
    qn_cleanup(qn_json_free) json_t *object = json_object();
    qn_cleanup(qn_json_free) json_t *rows = json_object();
    bool bad = !object || !rows;
    bad = bad ||
          json_object_set_new(object, "method", json_string(qn_split_method_name(split->method)));
    bad = bad || json_object_set_new(object, "seed", json_integer((json_int_t)split->seed));
    bad = bad || json_object_set_new(rows, "train", json_integer(split->n_train));
    bad = bad || json_object_set_new(rows, "validate", json_integer(split->n_validate));
    bad = bad || json_object_set_new(rows, "test", json_integer(split->n_test));
    bad = bad || json_object_set_new(rows, "unlabelled", json_integer(split->n_unlabelled));
    bad = bad || json_object_set(object, "rows", rows);
    if (split->method == QN_SPLIT_TIME && split->n_validate > 0)
        bad = bad || json_object_set_new(object, "validate_from",
                                         boundary_json(split->time_type, split->validate_from));
    if (split->method == QN_SPLIT_TIME && split->n_test > 0)
        bad = bad || json_object_set_new(object, "test_from",
                                         boundary_json(split->time_type, split->test_from));
    if (split->method == QN_SPLIT_GROUP)
        bad = bad || json_object_set_new(object, "n_groups", json_integer(split->n_groups));
    return bad ? NULL : qn_steal(&object);
}
