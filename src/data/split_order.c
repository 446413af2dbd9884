/* Splits that follow a column: by time and by group. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/split_int.h"

/* ---- time ---- */

typedef struct moment {
    double time;
    int64_t i; /* position in draft->rows: ties keep the order of the rows */
} moment;

static int compare_moments(const void *a, const void *b) {
    const moment *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return (x->i > y->i) - (x->i < y->i);
}

/* By time, ties in the order of `rows`. */
static qn_status moments_sort(const qn_column *time, const int64_t *rows, int64_t n, moment **ret,
                              qn_error *err) {
    moment *moments = qn_new_array(moment, n);
    if (!moments)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++) {
        int64_t row = rows[i];
        moments[i].time = time->type == QN_TYPE_F64 ? time->f64[row] : (double)time->i64[row];
        moments[i].i = i;
    }
    qsort(moments, (size_t)n, sizeof moments[0], compare_moments);
    *ret = moments;
    return QN_OK;
}

static qn_status moments_make(const qn__draft *draft, const qn_column *time, moment **ret,
                              qn_error *err) {
    const char *name = draft->options->time ? draft->options->time : time->name;
    for (int64_t i = 0; i < draft->n && time->valid; i++)
        if (!qn_column_is_valid(time, draft->rows[i]))
            return qn_error_set_at(
                err, QN_ERR_DATA, NULL, draft->rows[i] + 1, name,
                "the time is missing, so the row cannot be placed in a split by time; "
                "fill it, or leave such rows out with data.query");
    return moments_sort(time, draft->rows, draft->n, ret, err);
}

/* The position p in low+1..high-1 nearest to `want` where a new time begins (moments[p - 1] is
 * earlier); of two equally near the earlier one; -1 when there is none. */
static int64_t nearest_edge(const moment *moments, int64_t low, int64_t high, int64_t want) {
    for (int64_t d = 0; d < high - low; d++) {
        int64_t p = want - d;
        if (p > low && p < high && moments[p - 1].time < moments[p].time)
            return p;
        p = want + d;
        if (p > low && p < high && moments[p - 1].time < moments[p].time)
            return p;
    }
    return -1;
}

/* The same when `want` may lie outside low..high. */
static int64_t edge_near(const moment *moments, int64_t low, int64_t high, int64_t want) {
    want = want <= low ? low + 1 : want;
    want = want >= high ? high - 1 : want;
    return nearest_edge(moments, low, high, want);
}

static qn_status too_few_times(const qn_column *time, const char *parts, qn_error *err) {
    return qn_error_set(
        err, QN_ERR_DATA,
        "impossible split: column %s has too few different times for %s, because rows of "
        "one time stay together; use method random or stratified, or a finer time",
        time->name, parts);
}

qn_status qn__split_time(qn__draft *draft, const qn_column *time, qn_error *err) {
    qn_cleanup(qn_freep) moment *moments = NULL;
    QN_TRY(moments_make(draft, time, &moments, err));
    int64_t n = draft->n, test_at = n, validate_at = n, low = 0;
    if (draft->n_validate > 0 && draft->n_test > 0)
        low = nearest_edge(moments, 0, n, 1); /* the first edge is left to the validate part */
    if (low >= 0 && draft->n_test > 0)
        test_at = edge_near(moments, low, n, n - draft->n_test);
    if (low < 0 || test_at < 0)
        return too_few_times(time, draft->n_validate > 0 ? "three parts" : "two parts", err);
    validate_at = test_at;
    if (draft->n_validate > 0)
        validate_at = edge_near(moments, 0, test_at, n - draft->n_test - draft->n_validate);
    if (validate_at < 0)
        return too_few_times(time, "two parts", err);
    if (draft->n_test > 0)
        draft->test_from = moments[test_at].time;
    if (draft->n_validate > 0)
        draft->validate_from = moments[validate_at].time;
    for (int64_t p = 0; p < n; p++)
        draft->part[moments[p].i] = p >= test_at       ? QN__TEST
                                    : p >= validate_at ? QN__VALIDATE
                                                       : QN__TRAIN;
    return QN_OK;
}

qn_status qn__folds_time(qn__draft *draft, const qn_column *time, qn_error *err) {
    qn_cleanup(qn_freep) moment *moments = NULL;
    QN_TRY(moments_make(draft, time, &moments, err));
    int64_t n = draft->n, folds = draft->options->folds, begin = 0;
    for (int64_t block = 0; block <= folds; block++) {
        int64_t end = n;
        if (block < folds)
            end = edge_near(moments, begin, n, n / (folds + 1) * (block + 1));
        if (end < 0 || end <= begin)
            return too_few_times(time, "that many folds", err);
        for (int64_t p = begin; p < end; p++)
            draft->part[moments[p].i] = block == 0 ? QN_FOLD_TRAIN_ONLY : (int32_t)(block - 1);
        begin = end;
    }
    return QN_OK;
}

qn_status qn_split_stretches(const qn_column *time, const int64_t *rows, int64_t n, int32_t want,
                             int32_t *ret_stretch, int32_t *ret_n, qn_error *err) {
    qn_cleanup(qn_freep) moment *moments = NULL;
    QN_TRY(moments_sort(time, rows, n, &moments, err));
    int64_t share = -1;
    int32_t stretch = -1;
    for (int64_t p = 0; p < n; p++) {
        bool begins = p == 0 || moments[p - 1].time < moments[p].time;
        if (begins && p * want / n > share) {
            share = p * want / n;
            stretch++;
        }
        ret_stretch[moments[p].i] = stretch;
    }
    *ret_n = stretch + 1;
    return QN_OK;
}

/* ---- groups ---- */

typedef struct member {
    uint64_t hash; /* of the group's value and the seed: also the order in which groups are drawn */
    int64_t i;     /* position in draft->rows */
} member;

typedef struct group_run {
    int64_t begin, n; /* in the sorted members */
    int32_t part;     /* -1: not given to a part yet */
} group_run;

static int compare_members(const void *a, const void *b) {
    const member *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->i > y->i) - (x->i < y->i);
}

/* Two groups of one 64-bit hash would be kept together, which does no harm. */
uint64_t qn_split_group_hash(const qn_column *group, int64_t row, uint64_t seed) {
    if (!qn_column_is_valid(group, row))
        return qn_rng_hash(seed, UINT64_C(0x6d697373696e67));
    if (group->type == QN_TYPE_CATEGORY || group->type == QN_TYPE_TEXT) {
        size_t n = 0;
        const char *text = qn_column_text(group, row, &n);
        return qn_hash64(text, n, seed);
    }
    if (group->type == QN_TYPE_F64) {
        double value = group->f64[row] + 0.0; /* -0 and 0 are one group */
        return qn_hash64(&value, sizeof value, seed);
    }
    int64_t value = group->type == QN_TYPE_BOOL ? group->b[row] : group->i64[row];
    return qn_hash64(&value, sizeof value, seed);
}

qn_status qn_split_number_groups(const uint64_t *hash, int64_t n, int32_t *ret_group,
                                 int32_t *ret_n, qn_error *err) {
    qn_cleanup(qn_freep) member *members = qn_new_array(member, n);
    int32_t n_groups = 0;
    if (!members)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++)
        members[i] = (member){hash[i], i};
    qsort(members, (size_t)n, sizeof members[0], compare_members);
    for (int64_t i = 0; i < n; i++) {
        n_groups += i == 0 || members[i].hash != members[i - 1].hash;
        ret_group[members[i].i] = n_groups - 1;
    }
    *ret_n = n_groups;
    return QN_OK;
}

/* Members sorted by group, and the groups, in the order of their hashes. */
static qn_status groups_make(qn__draft *draft, const qn_column *group, member **ret_members,
                             group_run **ret_groups, qn_error *err) {
    qn_cleanup(qn_freep) member *members = qn_new_array(member, draft->n);
    if (!members)
        return qn_error_memory(err);
    for (int64_t i = 0; i < draft->n; i++)
        members[i] = (member){qn_split_group_hash(group, draft->rows[i], draft->options->seed), i};
    qsort(members, (size_t)draft->n, sizeof members[0], compare_members);
    int64_t n_groups = 0;
    for (int64_t i = 0; i < draft->n; i++)
        n_groups += i == 0 || members[i].hash != members[i - 1].hash;
    group_run *groups = qn_new_array(group_run, n_groups);
    if (!groups)
        return qn_error_memory(err);
    for (int64_t i = 0, g = -1; i < draft->n; i++) {
        if (i == 0 || members[i].hash != members[i - 1].hash)
            groups[++g] = (group_run){.begin = i, .part = -1};
        groups[g].n++;
    }
    draft->n_groups = n_groups;
    *ret_members = qn_steal(&members);
    *ret_groups = groups;
    return QN_OK;
}

static void groups_apply(qn__draft *draft, const member *members, const group_run *groups) {
    for (int64_t g = 0; g < draft->n_groups; g++)
        for (int64_t i = 0; i < groups[g].n; i++)
            draft->part[members[groups[g].begin + i].i] = groups[g].part;
}

/* Gives groups to one part until it has about `want` rows: in hash order every group that still
 * fits, then one more when that comes nearer to the share. Leaves at least n_reserved groups. */
static void groups_fill(group_run *groups, int64_t n_groups, int64_t *n_free, int64_t n_reserved,
                        int32_t part, int64_t want) {
    int64_t have = 0;
    for (int64_t g = 0; g < n_groups && *n_free > n_reserved; g++)
        if (groups[g].part < 0 && have + groups[g].n <= want) {
            groups[g].part = part;
            have += groups[g].n;
            --*n_free;
        }
    int64_t best = -1, best_gap = have == 0 ? INT64_MAX : want - have;
    for (int64_t g = 0; g < n_groups && *n_free > n_reserved; g++) {
        int64_t gap = groups[g].n + have - want;
        gap = gap < 0 ? -gap : gap;
        if (groups[g].part < 0 && gap < best_gap) {
            best = g;
            best_gap = gap;
        }
    }
    if (best >= 0) {
        groups[best].part = part;
        --*n_free;
    }
}

qn_status qn__split_group(qn__draft *draft, const qn_column *group, qn_error *err) {
    qn_cleanup(qn_freep) member *members = NULL;
    qn_cleanup(qn_freep) group_run *groups = NULL;
    QN_TRY(groups_make(draft, group, &members, &groups, err));
    bool has_test = draft->n_test > 0, has_validate = draft->n_validate > 0;
    int64_t n_parts = 1 + has_test + has_validate, n_free = draft->n_groups;
    QN_FAIL_IF(draft->n_groups < n_parts, err, QN_ERR_DATA,
               "impossible split: the values of column %s make %lld group%s, fewer than the %lld "
               "parts; use "
               "another column or method, or set split.validate to 0",
               group->name, (long long)draft->n_groups, draft->n_groups == 1 ? "" : "s",
               (long long)n_parts);
    if (has_test)
        groups_fill(groups, draft->n_groups, &n_free, n_parts - 1, QN__TEST, draft->n_test);
    if (has_validate)
        groups_fill(groups, draft->n_groups, &n_free, 1, QN__VALIDATE, draft->n_validate);
    for (int64_t g = 0; g < draft->n_groups; g++)
        if (groups[g].part < 0)
            groups[g].part = QN__TRAIN;
    groups_apply(draft, members, groups);
    return QN_OK;
}

/* Larger groups first, so that the small ones even out what is left; ties in hash order. */
static int compare_groups(const void *a, const void *b) {
    const group_run *x = a, *y = b;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

qn_status qn__folds_group(qn__draft *draft, const qn_column *group, qn_error *err) {
    qn_cleanup(qn_freep) member *members = NULL;
    qn_cleanup(qn_freep) group_run *groups = NULL;
    int32_t folds = draft->options->folds;
    QN_TRY(groups_make(draft, group, &members, &groups, err));
    QN_FAIL_IF(draft->n_groups < folds, err, QN_ERR_DATA,
               "impossible split: the values of column %s make %lld group%s, fewer than %d folds; "
               "use fewer "
               "folds or another column",
               group->name, (long long)draft->n_groups, draft->n_groups == 1 ? "" : "s",
               (int)folds);
    qn_cleanup(qn_freep) int64_t *n_in_fold = qn_new_array(int64_t, folds);
    if (!n_in_fold)
        return qn_error_memory(err);
    qsort(groups, (size_t)draft->n_groups, sizeof groups[0], compare_groups);
    for (int64_t g = 0; g < draft->n_groups; g++) {
        int32_t least = 0;
        for (int32_t f = 1; f < folds; f++)
            if (n_in_fold[f] < n_in_fold[least])
                least = f;
        groups[g].part = least;
        n_in_fold[least] += groups[g].n;
    }
    groups_apply(draft, members, groups);
    return QN_OK;
}
