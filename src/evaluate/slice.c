#include "evaluate/slice.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "evaluate/bootstrap.h"
#include "evaluate/build_int.h"
#include "learn/order.h"

enum {
    QUINTILES = 5,
    MAX_GROUPS_OF_COLUMN = 64, /* the largest ones */
    MAX_TESTED = 100,          /* groups that get an interval */
    BOOTSTRAP_ROWS = 2000,
};

/* The normal distribution's 97.5 % quantile. */
#define Z95 1.959963984540054

/* One group that was looked at. */
typedef struct group {
    size_t i_column;
    char *name;             /* owned */
    int64_t first, n;       /* its rows: members[first .. first + n - 1] of the search */
    double metric, rest, difference;
    double badness;         /* difference turned so that larger is worse */
    double rank;            /* what the groups are sorted by, largest first */
    double error, error_difference; /* standard errors */
    double p, q, money;
} group;

typedef struct search {
    const qn_slice_input *input;
    int32_t n_outputs;
    group *groups;          /* owned */
    size_t n_groups, cap_groups;
    int64_t *members;       /* owned: evaluation row numbers of all groups, one after the other */
    int64_t n_members, cap_members;
    double all_error;       /* standard error of the metric on all rows */
} search;

static void search_done(search *s) {
    for (size_t i = 0; i < s->n_groups; i++)
        qn_freep(&s->groups[i].name);
    qn_freep(&s->groups);
    qn_freep(&s->members);
}

/* --- making groups ---------------------------------------------------------------------------- */

/* Takes `name`; its rows are those added to members since `first`. */
static qn_status add_group(search *s, size_t i_column, char *name, int64_t first, qn_error *err) {
    if (name && s->n_groups == s->cap_groups) {
        size_t cap = s->cap_groups ? 2 * s->cap_groups : 64;
        group *more = qn_realloc(s->groups, cap, sizeof *more);
        if (!more)
            qn_freep(&name);
        else {
            s->groups = more;
            s->cap_groups = cap;
        }
    }
    if (!name)
        return qn_error_memory(err);
    s->groups[s->n_groups++] = (group){.i_column = i_column, .name = name, .first = first,
                                       .n = s->n_members - first};
    return QN_OK;
}

static int compare_counts(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* The size a group needs for its column to give at most MAX_GROUPS_OF_COLUMN of them, about. */
static qn_status smallest_wanted(const int64_t *counts, int32_t n_groups, int64_t *ret_count,
                                 qn_error *err) {
    *ret_count = QN_SLICE_MIN_ROWS;
    if (n_groups <= MAX_GROUPS_OF_COLUMN)
        return QN_OK;
    qn_cleanup(qn_freep) int64_t *sorted = qn_new_array(int64_t, n_groups);
    if (!sorted)
        return qn_error_memory(err);
    memcpy(sorted, counts, (size_t)n_groups * sizeof *sorted);
    qsort(sorted, (size_t)n_groups, sizeof *sorted, compare_counts);
    if (sorted[MAX_GROUPS_OF_COLUMN] >= *ret_count)
        *ret_count = sorted[MAX_GROUPS_OF_COLUMN] + 1;
    return QN_OK;
}

static int64_t frame_row(const search *s, int64_t i) {
    return s->input->rows ? s->input->rows[i] : i;
}

/* Rows sorted by group number group_of[i] in 0 .. n_groups - 1 (or -1: none) are appended to
 * members; a group of too few rows is left out. `names` gives the name of each. */
static qn_status add_groups(search *s, size_t i_column, const int32_t *group_of, int32_t n_groups,
                            char *(*name_of)(void *user, int32_t i_group), void *user,
                            qn_error *err) {
    int64_t n = s->input->eval.n;
    qn_cleanup(qn_freep) int64_t *start = qn_new_array(int64_t, (size_t)n_groups + 1);
    if (!start)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++) {
        if (group_of[i] >= 0)
            start[group_of[i] + 1]++;
    }
    int64_t at = s->n_members, smallest;
    QN_TRY(smallest_wanted(start + 1, n_groups, &smallest, err));
    for (int32_t g = 0; g < n_groups; g++) {
        int64_t count = start[g + 1];
        bool wanted = count >= smallest && count < n;
        start[g] = wanted ? at : -1;
        if (!wanted)
            continue;
        at += count;
        s->n_members = at;
        QN_TRY(add_group(s, i_column, name_of(user, g), start[g], err));
    }
    if (at > s->cap_members) {
        int64_t *more = qn_realloc(s->members, (size_t)at, sizeof *more);
        if (!more)
            return qn_error_memory(err);
        s->members = more;
        s->cap_members = at;
    }
    for (int64_t i = 0; i < n; i++) {
        if (group_of[i] >= 0 && start[group_of[i]] >= 0)
            s->members[start[group_of[i]]++] = i;
    }
    return QN_OK;
}

static char *category_name(void *user, int32_t i_group) {
    const qn_column *column = user;
    int32_t n = column->type == QN_TYPE_BOOL ? 2 : qn_dict_size(column->dict);
    if (i_group == n)
        return qn_strdup("(missing)");
    if (column->type == QN_TYPE_BOOL)
        return qn_strdup(i_group ? "true" : "false");
    size_t bytes;
    const char *text = qn_dict_text(column->dict, i_group, &bytes);
    return bytes ? qn_strndup(text, bytes) : qn_strdup("(empty)");
}

static qn_status group_categories(search *s, size_t i_column, const qn_column *column,
                                  int32_t *group_of, qn_error *err) {
    int32_t n = column->type == QN_TYPE_BOOL ? 2 : qn_dict_size(column->dict);
    for (int64_t i = 0; i < s->input->eval.n; i++) {
        int64_t row = frame_row(s, i);
        group_of[i] = !qn_column_is_valid(column, row)  ? n
                      : column->type == QN_TYPE_BOOL ? column->b[row]
                                                     : column->code[row];
    }
    return add_groups(s, i_column, group_of, n + 1, category_name, (void *)column, err);
}

/* Quintiles of a numeric column: edges between them, and their ends for the names. */
typedef struct quintiles {
    const qn_column *column;
    double low[QUINTILES], high[QUINTILES];
    int32_t n; /* distinct ones; group n is "missing" */
} quintiles;

static void put_bound(const qn_column *column, double x, qn_buf *out) {
    if (column->type == QN_TYPE_TIME) {
        int64_t time_us = (int64_t)x;
        qn_column one = {.type = QN_TYPE_TIME, .n_rows = 1, .time_us = &time_us};
        qn_column_format(&one, 0, out);
    } else {
        qn_buf_printf(out, "%.6g", x);
    }
}

static char *quintile_name(void *user, int32_t i_group) {
    const quintiles *q = user;
    if (i_group == q->n)
        return qn_strdup("(missing)");
    qn_buf name = {0};
    put_bound(q->column, q->low[i_group], &name);
    if (q->high[i_group] > q->low[i_group]) {
        qn_buf_put_text(&name, " to ");
        put_bound(q->column, q->high[i_group], &name);
    }
    return qn_buf_steal(&name);
}

static int32_t quintile_of(const quintiles *q, double x) {
    int32_t g = 0;
    while (g + 1 < q->n && x > q->high[g])
        g++;
    return g;
}

/* Equal numbers of rows, ties together; values[n] ascending by order[]. */
static void fill_quintiles(const double *values, const int64_t *order, int64_t n, quintiles *q) {
    for (int64_t from = 0, to; from < n && q->n < QUINTILES; from = to) {
        to = q->n == QUINTILES - 1 ? n : from + (n - from) / (QUINTILES - q->n);
        to = to <= from ? from + 1 : to;
        while (to < n && values[order[to]] == values[order[to - 1]])
            to++;
        q->low[q->n] = values[order[from]];
        q->high[q->n++] = values[order[to - 1]];
    }
}

static qn_status group_numbers(search *s, size_t i_column, const qn_column *column,
                               int32_t *group_of, qn_error *err) {
    int64_t n = s->input->eval.n, n_there = 0;
    qn_cleanup(qn_freep) double *values = qn_new_array(double, n);
    qn_cleanup(qn_freep) int64_t *order = qn_new_array(int64_t, n);
    if (!values || !order)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++) {
        values[i] = qn_column_number(column, frame_row(s, i));
        n_there += !isnan(values[i]);
    }
    QN_TRY(qn_order_f64(values, 1, n, order, err)); /* missing ones come last */
    quintiles q = {.column = column};
    fill_quintiles(values, order, n_there, &q);
    for (int64_t i = 0; i < n; i++)
        group_of[i] = isnan(values[i]) ? q.n : quintile_of(&q, values[i]);
    return add_groups(s, i_column, group_of, q.n + 1, quintile_name, &q, err);
}

static qn_status group_column(search *s, size_t i_column, qn_error *err) {
    const qn_column *column = NULL;
    QN_TRY(qn_frame_get(s->input->frame, s->input->columns[i_column], &column, err));
    if (column->type == QN_TYPE_TEXT)
        return QN_OK;
    qn_cleanup(qn_freep) int32_t *group_of = qn_new_array(int32_t, s->input->eval.n);
    if (!group_of)
        return qn_error_memory(err);
    if (column->type == QN_TYPE_CATEGORY || column->type == QN_TYPE_BOOL)
        return group_categories(s, i_column, column, group_of, err);
    return group_numbers(s, i_column, column, group_of, err);
}

/* --- judging them ----------------------------------------------------------------------------- */

/* A gathered part of the evaluation rows. */
typedef struct part {
    double *y, *scores, *weight; /* owned */
    int64_t cap;
} part;

static void part_done(part *p) {
    qn_freep(&p->y);
    qn_freep(&p->scores);
    qn_freep(&p->weight);
}

static qn_status part_init(part *p, const search *s, int64_t cap, qn_error *err) {
    p->cap = cap;
    p->y = qn_new_array(double, cap);
    p->scores = qn_calloc((size_t)cap, (size_t)s->n_outputs * sizeof *p->scores);
    p->weight = qn_new_array(double, cap);
    return p->y && p->scores && p->weight ? QN_OK : qn_error_memory(err);
}

static double metric_of(const search *s, const part *p, int64_t n, bool weighted) {
    qn_eval_input eval = s->input->eval;
    eval.n = n;
    eval.y = p->y;
    eval.scores = p->scores;
    eval.weight = weighted ? p->weight : NULL;
    return n ? s->input->metric->compute(&eval) : NAN;
}

/* Copies one evaluation row to place `at`. */
static void part_copy(const search *s, int64_t i, double weight, part *p, int64_t at) {
    const qn_eval_input *eval = &s->input->eval;
    p->y[at] = eval->y[i];
    p->weight[at] = (eval->weight ? eval->weight[i] : 1) * weight;
    memcpy(p->scores + at * s->n_outputs, eval->scores + i * s->n_outputs,
           (size_t)s->n_outputs * sizeof *p->scores);
}

static void judge_group(const search *s, group *g, part *p, bool *is_member) {
    const int64_t *members = s->members + g->first;
    bool weighted = s->input->eval.weight != NULL;
    int64_t n_rest = 0;
    for (int64_t k = 0; k < g->n; k++) {
        part_copy(s, members[k], 1, p, k);
        is_member[members[k]] = true;
        g->money += s->input->money ? s->input->money[members[k]] : 0;
    }
    g->money /= (double)g->n;
    g->metric = metric_of(s, p, g->n, weighted);
    for (int64_t i = 0; i < s->input->eval.n; i++) {
        if (!is_member[i])
            part_copy(s, i, 1, p, n_rest++);
    }
    g->rest = metric_of(s, p, n_rest, weighted);
    for (int64_t k = 0; k < g->n; k++)
        is_member[members[k]] = false;
    g->difference = g->metric - g->rest;
    g->badness = s->input->metric->greater_is_better ? -g->difference : g->difference;
}

/* Standard error of the metric on n of the rows (rows NULL: all), from a bootstrap of at most
 * BOOTSTRAP_ROWS of them, evenly taken; errors shrink with the root of the number of rows (m out of
 * n: Bickel et al. 1997). */
static qn_status standard_error(const search *s, const int64_t *rows, int64_t n, uint64_t stream,
                                double *ret_error, qn_error *err) {
    int64_t m = n < BOOTSTRAP_ROWS ? n : BOOTSTRAP_ROWS;
    qn_cleanup(part_done) part p = {0};
    qn_cleanup(qn_freep) unsigned char *counts = qn_calloc((size_t)m, 1);
    if (!counts)
        return qn_error_memory(err);
    QN_TRY(part_init(&p, s, m, err));
    double sum = 0, squares = 0;
    int n_there = 0;
    for (int r = 0; r < s->input->n_rounds; r++) {
        qn_bootstrap_counts(qn_rng_hash(s->input->seed, stream), r, m, counts);
        int64_t at = 0;
        for (int64_t k = 0; k < m; k++) {
            int64_t i = k * n / m;
            if (counts[k])
                part_copy(s, rows ? rows[i] : i, counts[k], &p, at++);
        }
        double x = metric_of(s, &p, at, true);
        if (!isfinite(x))
            continue;
        sum += x;
        squares += x * x;
        n_there++;
    }
    double mean = sum / n_there, variance = (squares - sum * mean) / (n_there - 1);
    *ret_error = n_there < 2 ? NAN : sqrt(fmax(variance, 0) * (double)m / (double)n);
    return QN_OK;
}

static int compare_groups(const void *a, const void *b) {
    const group *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank > y->rank ? -1 : 1;
    if (x->i_column != y->i_column)
        return x->i_column < y->i_column ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Undefined metrics go to the end and are forgotten. */
static void keep_defined(search *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_groups; i++) {
        if (isfinite(s->groups[i].badness))
            s->groups[n++] = s->groups[i];
        else
            qn_freep(&s->groups[i].name);
    }
    s->n_groups = n;
}

static qn_status judge_all(search *s, const qn_job *job, qn_error *err) {
    int64_t n = s->input->eval.n;
    bool short_of_memory = false;
#pragma omp parallel num_threads(qn_job_threads(job))
    {
        part p = {0};
        bool *is_member = qn_new_array(bool, n);
        bool ready = is_member && part_init(&p, s, n, NULL) == QN_OK;
        if (!ready) {
#pragma omp atomic write
            short_of_memory = true;
        }
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < s->n_groups; i++) {
            if (ready && !qn_job_cancelled(job))
                judge_group(s, &s->groups[i], &p, is_member);
        }
        part_done(&p);
        qn_freep(&is_member);
    }
    QN_TRY(qn_job_check(job, err));
    return short_of_memory ? qn_error_memory(err) : QN_OK;
}

/* Errors, p and q of the first n_worst groups. The others are not worse than the rest: p above
 * 0.5. */
static qn_status test_worst(search *s, size_t n_worst, const qn_job *job, qn_error *err) {
    int64_t n = s->input->eval.n;
    QN_TRY(standard_error(s, NULL, n, 0, &s->all_error, err));
    qn_status status = QN_OK;
#pragma omp parallel for schedule(dynamic, 1) num_threads(qn_job_threads(job))
    for (size_t i = 0; i < n_worst; i++) {
        group *g = &s->groups[i];
        qn_status mine = qn_job_check(job, NULL);
        if (mine == QN_OK)
            mine = standard_error(s, s->members + g->first, g->n, i + 1, &g->error, NULL);
        if (mine != QN_OK) {
#pragma omp atomic write
            status = mine;
            continue;
        }
        double rest = s->all_error * sqrt((double)n / (double)(n - g->n));
        g->error_difference = sqrt(g->error * g->error + rest * rest);
        double z = g->error_difference > 0 ? g->badness / g->error_difference : 0;
        g->p = 0.5 * erfc(z / sqrt(2));
    }
    QN_TRY(qn_job_check(job, err));
    return status == QN_OK ? QN_OK : qn_error_memory(err);
}

/* Benjamini, Hochberg 1995: q of the k-th smallest p is the least p * n_tests / rank from there
 * on. */
static void adjust(search *s, size_t n_worst) {
    for (size_t i = 0; i < n_worst; i++) {
        double q = 1;
        for (size_t j = 0; j < n_worst; j++) {
            if (!(s->groups[j].p >= s->groups[i].p))
                continue;
            size_t rank = 0;
            for (size_t k = 0; k < n_worst; k++)
                rank += s->groups[k].p <= s->groups[j].p;
            q = fmin(q, s->groups[j].p * (double)s->n_groups / (double)rank);
        }
        s->groups[i].q = q;
    }
}

/* First by what a group costs beside its noise, roughly, to choose the ones to test. */
static size_t sort_by_size(search *s) {
    for (size_t i = 0; i < s->n_groups; i++)
        s->groups[i].rank = s->groups[i].badness * sqrt((double)s->groups[i].n);
    if (s->n_groups)
        qsort(s->groups, s->n_groups, sizeof *s->groups, compare_groups);
    size_t n = 0;
    while (n < s->n_groups && n < MAX_TESTED && s->groups[n].badness > 0)
        n++;
    return n;
}

/* Then by how much worse they are at least: a small group with a wild difference does not come
 * first. */
static size_t sort_by_bound(search *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        double bound = s->groups[i].badness - Z95 * s->groups[i].error_difference;
        s->groups[i].rank = isnan(bound) ? -INFINITY : bound;
    }
    if (n)
        qsort(s->groups, n, sizeof *s->groups, compare_groups);
    return n < QN_SLICE_MAX ? n : QN_SLICE_MAX;
}

static json_t *group_to_json(const search *s, const group *g) {
    double half = Z95 * g->error, wide = Z95 * g->error_difference;
    double share = (double)g->n / (double)s->input->eval.n;
    bool flag = g->q < 0.05 && g->badness - wide > 0 && g->n >= QN_SLICE_MIN_ROWS && share >= 0.01;
    bool ok = true;
    json_t *object = json_object();
    qn__put(&ok, object, "column", json_string(s->input->columns[g->i_column]));
    qn__put(&ok, object, "group", json_string(g->name));
    qn__put(&ok, object, "n", json_integer(g->n));
    qn__put(&ok, object, "share", qn_json_number(share));
    qn__put(&ok, object, "metric",
            qn_interval_to_json((qn_interval){g->metric, g->metric - half, g->metric + half}));
    qn__put(&ok, object, "rest", qn_json_number(g->rest));
    qn__put(&ok, object, "difference",
            qn_interval_to_json((qn_interval){g->difference, g->difference - wide,
                                              g->difference + wide}));
    qn__put(&ok, object, "value_per_row", s->input->money ? qn_json_number(g->money) : json_null());
    qn__put(&ok, object, "q", qn_json_number(g->q));
    qn__put(&ok, object, "flag", json_boolean(flag));
    if (!ok)
        qn_json_free(&object);
    return object;
}

qn_status qn_slices_find(const qn_slice_input *input, const qn_job *job, json_t **ret_slices,
                         qn_error *err) {
    QN_FAIL_IF(!input->metric || input->eval.n < 1, err, QN_ERR_USAGE,
               "slices need rows and a metric");
    qn_cleanup(search_done) search s = {.input = input};
    s.n_outputs = input->eval.task == QN_TASK_MULTICLASS ? input->eval.n_classes : 1;
    for (size_t i = 0; i < input->n_columns; i++)
        QN_TRY(group_column(&s, i, err));
    QN_TRY(judge_all(&s, job, err));
    keep_defined(&s);
    size_t n_worst = sort_by_size(&s);
    QN_TRY(test_worst(&s, n_worst, job, err));
    adjust(&s, n_worst);
    n_worst = sort_by_bound(&s, n_worst);
    bool ok = true;
    qn_cleanup(qn_json_free) json_t *slices = json_array();
    for (size_t i = 0; i < n_worst; i++)
        qn__append(&ok, slices, group_to_json(&s, &s.groups[i]));
    if (!ok)
        return qn_error_memory(err);
    *ret_slices = qn_steal(&slices);
    return QN_OK;
}
