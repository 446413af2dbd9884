/* Which features share a lane. A lane holds a byte for each *tuple* of its features' bins that occurs in
 * the rows, so that features fit together as long as few tuples do occur: columns of a one-hot group
 * are never set together (exclusive features: Ke et al. 2017), columns of few values have few
 * combinations. Theirs puts up with conflicts; here nothing is lost, and the trees are the same.
 *
 * 1. A sample of the rows tells which features exclude each other; they are placed one after the other.
 * 2. In that order each joins the first of the last few lanes that hold it on the sample.
 * 3. All rows are looked at: a lane whose tuples are too many gives up its last features, which
 *    look for company again.
 *
 * The tuples of a lane are numbered feature by feature: the number of the bins so far and the next
 * bin give the next number (qn__bin_feature.step), which takes one look-up per value and no hashing. */
#include <omp.h>
#include <string.h>

#include "learn/gbdt_int.h"

enum {
    SAMPLE = 1 << 13,      /* rows */
    RUN = 32,              /* sampled rows that are neighbours */
    WORDS = SAMPLE / 64,
    FEW = 128,             /* features of more bins take part if they mostly have the same one */
    N_GROUPS = 64,         /* latest groups that a feature is compared with */
    N_OPEN = 4,            /* latest lanes that a feature may join */
    BLOCK = 1024,
};

/* What the sample says; by dense feature. */
typedef struct search {
    qn__bin_map *map;      /* borrowed */
    const qn__map_rows *rows; /* borrowed */
    int64_t n_sample;
    uint8_t *bin;          /* owned; [n_dense][n_sample] */
    int32_t *usual;        /* owned; the commonest bin; -1: the feature stays alone */
    int32_t *order;        /* owned; of those that do not: exclusive ones one after the other */
    int32_t n_order;
    int32_t *lane;         /* owned; proposed; -1: the feature has its lane for good */
    int32_t n_lanes;
    int32_t *first, *member; /* owned; members of lane l: member[first[l]] .. member[first[l + 1] - 1] */
    size_t *step_at;       /* owned; by member: where its steps begin among those of its lane */
} search;

static void search_done(search *s) {
    qn_freep(&s->bin);
    qn_freep(&s->usual);
    qn_freep(&s->order);
    qn_freep(&s->lane);
    qn_freep(&s->first);
    qn_freep(&s->member);
    qn_freep(&s->step_at);
}

static qn_status search_init(search *s, qn__bin_map *map, const qn__map_rows *rows,
                             qn_error *err) {
    *s = (search){.map = map, .rows = rows, .n_sample = rows->x->n_rows};
    if (s->n_sample > SAMPLE)
        s->n_sample = SAMPLE;
    s->bin = qn_malloc_aligned((size_t)map->n_dense, (size_t)s->n_sample);
    s->usual = qn_new_array(int32_t, map->n_dense);
    s->order = qn_new_array(int32_t, map->n_dense);
    s->lane = qn_new_array(int32_t, map->n_dense);
    s->first = qn_new_array(int32_t, map->n_dense + 2);
    s->member = qn_new_array(int32_t, map->n_dense);
    s->step_at = qn_new_array(size_t, map->n_dense);
    if (!s->bin || !s->usual || !s->order || !s->lane || !s->first || !s->member || !s->step_at)
        return qn_error_memory(err);
    return QN_OK;
}

/* ---- the sample ---------------------------------------------------------------------------- */

static const uint8_t *sampled(const search *s, int32_t i) {
    return s->bin + (size_t)i * (size_t)s->n_sample;
}

/* Runs of rows at even distances: a sample needs no luck where all rows are looked at later. */
static void sample_feature(const search *s, int32_t i) {
    const qn__bin_feature *f = &s->map->features[i];
    uint8_t *out = s->bin + (size_t)i * (size_t)s->n_sample;
    int64_t n_rows = s->rows->x->n_rows, count[QN__LANE_CELLS] = {0};
    for (int64_t from = 0; from < s->n_sample; from += RUN) {
        int64_t n = s->n_sample - from < RUN ? s->n_sample - from : RUN;
        int64_t row = (int64_t)((double)from / (double)s->n_sample * (double)n_rows);
        int32_t bin[RUN];
        qn__feature_bins(f, s->rows->x, row + n < n_rows ? row : n_rows - n, n, bin);
        for (int64_t k = 0; k < n; k++)
            count[out[from + k] = (uint8_t)bin[k]]++;
    }
    int32_t usual = 0, n_used = 0;
    for (int32_t b = 0; b < f->n_cells; b++) {
        n_used += count[b] > 0;
        usual = count[b] > count[usual] ? b : usual;
    }
    s->usual[i] = n_used <= FEW || 2 * count[usual] >= s->n_sample ? usual : -1;
}

static void sample_features(const search *s) {
#pragma omp parallel for schedule(dynamic) num_threads(qn_job_threads(s->rows->job))
    for (int32_t i = 0; i < s->map->n_dense; i++) {
        s->usual[i] = -1;
        if (s->map->features[i].n_cells <= QN__LANE_CELLS)
            sample_feature(s, i);
    }
}

/* ---- features that exclude each other ------------------------------------------------------ */

/* Features of which less often two at a time have another bin than their usual one than if they knew
 * nothing of each other. */
typedef struct group {
    uint64_t set[WORDS];   /* sampled rows in which one has */
    int64_t n_set;
    int32_t number;
} group;

/* Returns how many there are. */
static int64_t unusual_rows(const search *s, int32_t i, uint64_t *set) {
    const uint8_t *bin = sampled(s, i);
    int64_t n = 0;
    memset(set, 0, WORDS * sizeof *set);
    for (int64_t k = 0; k < s->n_sample; k++) {
        uint64_t is_set = bin[k] != s->usual[i];
        set[k / 64] |= is_set << k % 64;
        n += (int64_t)is_set;
    }
    return n;
}

static int64_t common_rows(const uint64_t *a, const uint64_t *b) {
    int64_t n = 0;
    for (int w = 0; w < WORDS; w++)
        n += __builtin_popcountll(a[w] & b[w]);
    return n;
}

/* The group of a feature: of the latest ones that in which the most conflicts fail to appear, if less
 * than half of them do, or a new one. `n` groups so far. */
static group *find_group(const search *s, group *groups, int32_t n, const uint64_t *set,
                         int64_t n_set) {
    double most = -1;
    group *best = NULL;
    for (int32_t g = n > N_GROUPS ? n - N_GROUPS : 0; g < n; g++) {
        group *with = &groups[g % N_GROUPS];
        double by_chance = (double)n_set * (double)with->n_set / (double)s->n_sample;
        double conflicts = (double)common_rows(with->set, set);
        if (2 * conflicts > by_chance || by_chance - conflicts <= most)
            continue;
        most = by_chance - conflicts;
        best = with;
    }
    if (best)
        return best;
    groups[n % N_GROUPS] = (group){.number = n};
    return &groups[n % N_GROUPS];
}

/* Fills s->order: by groups, those in the order of their first features. */
static qn_status order_by_groups(search *s, qn_error *err) {
    qn_cleanup(qn_freep) group *groups = qn_new_array(group, N_GROUPS);
    qn_cleanup(qn_freep) int32_t *number = qn_new_array(int32_t, s->map->n_dense);
    qn_cleanup(qn_freep) int32_t *at = qn_new_array(int32_t, s->map->n_dense + 2);
    if (!groups || !number || !at)
        return qn_error_memory(err);
    int32_t n = 0;
    for (int32_t i = 0; i < s->map->n_dense; i++) {
        if (s->usual[i] < 0)
            continue;
        uint64_t set[WORDS];
        int64_t n_set = unusual_rows(s, i, set);
        group *joined = find_group(s, groups, n, set, n_set);
        for (int w = 0; w < WORDS; w++)
            joined->set[w] |= set[w];
        joined->n_set = common_rows(joined->set, joined->set);
        number[i] = joined->number;
        n += joined->number == n;
        at[number[i] + 1]++;
    }
    for (int32_t g = 0; g < n; g++)
        at[g + 1] += at[g];
    s->n_order = at[n];
    for (int32_t i = 0; i < s->map->n_dense; i++)
        if (s->usual[i] >= 0)
            s->order[at[number[i]]++] = i;
    return QN_OK;
}

/* ---- lanes on the sample ------------------------------------------------------------------- */

typedef struct open_lane {
    uint16_t value[SAMPLE];
    int32_t n_values, number;
} open_lane;

typedef struct trial {
    uint16_t count[QN__LANE_CELLS * QN__LANE_CELLS]; /* rows by value and bin */
} trial;

/* Whether the sample has at most `most` values with the feature in. A tuple that was seen once stands
 * for another one that was not. */
static bool fits(const search *s, const open_lane *lane, int32_t i, int32_t most, trial *t) {
    enum { STEP = 256 };
    const uint8_t *bin = sampled(s, i);
    int32_t n_cells = s->map->features[i].n_cells, n_values = 0, n_once = 0;
    memset(t->count, 0, (size_t)lane->n_values * (size_t)n_cells * sizeof *t->count);
    for (int64_t k = 0; k < s->n_sample;) {
        int64_t end = s->n_sample - k < STEP ? s->n_sample : k + STEP;
        for (; k < end; k++) {
            uint16_t count = ++t->count[lane->value[k] * n_cells + bin[k]];
            n_values += count == 1;
            n_once += (count == 1) - (count == 2);
        }
        if (n_values > most)
            return false;
    }
    return n_values + (s->n_sample < s->rows->x->n_rows ? n_once : 0) <= most;
}

/* Takes the feature in, after a trial of it. */
static void join(search *s, open_lane *lane, int32_t i, trial *t) {
    const uint8_t *bin = sampled(s, i);
    int32_t n_cells = s->map->features[i].n_cells, n = 0;
    for (int32_t pair = 0; pair < lane->n_values * n_cells; pair++)
        t->count[pair] = t->count[pair] ? (uint16_t)n++ : 0;
    for (int64_t k = 0; k < s->n_sample; k++)
        lane->value[k] = t->count[lane->value[k] * n_cells + bin[k]];
    lane->n_values = n;
    s->lane[i] = lane->number;
}

/* Proposes lanes for the features that have none for good. */
static qn_status propose(search *s, int32_t most, qn_error *err) {
    qn_cleanup(qn_freep) open_lane *lanes = qn_new_array(open_lane, N_OPEN);
    qn_cleanup(qn_freep) trial *t = qn_new(trial);
    if (!lanes || !t)
        return qn_error_memory(err);
    s->n_lanes = 0;
    for (int32_t o = 0; o < s->n_order; o++) {
        int32_t i = s->order[o], l = s->n_lanes > N_OPEN ? s->n_lanes - N_OPEN : 0;
        if (s->lane[i] < 0)
            continue;
        while (l < s->n_lanes && !fits(s, &lanes[l % N_OPEN], i, most, t))
            l++;
        open_lane *lane = &lanes[l % N_OPEN];
        if (l == s->n_lanes) {
            *lane = (open_lane){.n_values = 1, .number = s->n_lanes++};
            (void)fits(s, lane, i, most, t); /* counts */
        }
        join(s, lane, i, t);
    }
    return QN_OK;
}

/* Members of the proposed lanes, ascending. */
static void list_members(search *s) {
    memset(s->first, 0, ((size_t)s->n_lanes + 1) * sizeof *s->first);
    for (int32_t i = 0; i < s->map->n_dense; i++)
        if (s->lane[i] >= 0)
            s->first[s->lane[i] + 1]++;
    for (int32_t l = 0; l < s->n_lanes; l++)
        s->first[l + 1] += s->first[l];
    for (int32_t i = 0; i < s->map->n_dense; i++)
        if (s->lane[i] >= 0)
            s->member[s->first[s->lane[i]]++] = i;
    for (int32_t l = s->n_lanes; l > 0; l--)
        s->first[l] = s->first[l - 1];
    s->first[0] = 0;
    for (int32_t l = 0; l < s->n_lanes; l++) {
        size_t at = 0;
        for (int32_t m = s->first[l]; m < s->first[l + 1]; m++) {
            s->step_at[m] = at;
            at += (size_t)QN__LANE_CELLS * (size_t)s->map->features[s->member[m]].n_cells;
        }
    }
}

/* ---- lanes on all rows --------------------------------------------------------------------- */

/* The tuples of a lane that some of the rows have, numbered in the order in which they come up. */
typedef struct numbering {
    int32_t n;             /* members it still holds: those before the first with too many tuples */
    int32_t *n_values;     /* owned; by member: tuples up to it */
    uint16_t *step;        /* owned; those of member k begin at search.step_at */
} numbering;

static void numbering_done(numbering *t) {
    qn_freep(&t->n_values);
    qn_freep(&t->step);
}

/* Those of a lane, all of whose members have company. */
static qn_status numbering_init(numbering *t, const search *s, int32_t lane) {
    int32_t first = s->first[lane];
    t->n = s->first[lane + 1] - first;
    if (t->n < 2)
        return QN_OK;
    size_t last = (size_t)(s->first[lane + 1] - 1);
    size_t n = s->step_at[last] + (size_t)QN__LANE_CELLS
               * (size_t)s->map->features[s->member[last]].n_cells;
    t->n_values = qn_new_array(int32_t, t->n);
    t->step = qn_malloc_aligned(n, sizeof *t->step);
    if (!t->n_values || !t->step)
        return QN_ERR_MEMORY;
    memset(t->step, 0xff, n * sizeof *t->step);
    return QN_OK;
}

static uint16_t *steps_of(const search *s, int32_t lane, int32_t k, const numbering *t) {
    return t->step + s->step_at[s->first[lane] + k];
}

/* The number behind a step, a new one if need be; QN__UNSEEN: there are too many. */
static inline uint16_t take_step(uint16_t *step, int32_t *n_values) {
    if (*step == QN__UNSEEN && *n_values < QN__LANE_CELLS)
        *step = (uint16_t)(*n_values)++;
    return *step;
}

/* The values of n rows with one more feature; false: there are too many. */
static bool step_rows(uint16_t *step, int32_t n_cells, const int32_t *bin, int64_t n,
                      uint16_t *value, int32_t *n_values) {
    for (int64_t i = 0; i < n; i++) {
        value[i] = take_step(&step[value[i] * n_cells + bin[i]], n_values);
        if (value[i] == QN__UNSEEN)
            return false;
    }
    return true;
}

/* Rows first .. end - 1 of x; values[row], unless NULL, will hold with all members only. */
static void number_rows(const search *s, int32_t lane, const qn_matrix *x, int64_t first,
                        int64_t end, numbering *t, uint8_t *values) {
    uint16_t value[BLOCK];
    int32_t bin[BLOCK];
    for (; first < end && t->n > 1; first += BLOCK) {
        int64_t n = end - first < BLOCK ? end - first : BLOCK;
        memset(value, 0, sizeof value);
        for (int32_t k = 0; k < t->n; k++) {
            const qn__bin_feature *f = &s->map->features[s->member[s->first[lane] + k]];
            qn__feature_bins(f, x, first, n, bin);
            if (!step_rows(steps_of(s, lane, k, t), f->n_cells, bin, n, value, &t->n_values[k]))
                t->n = k;
        }
        for (int64_t i = 0; values && i < n; i++)
            values[first + i] = (uint8_t)value[i];
    }
}

/* One of n shares of all rows, the further ones behind the others. */
typedef struct share {
    int32_t i, n;
} share;

/* Where share i begins. */
static int64_t share_start(const search *s, int32_t i, int32_t n) {
    const qn_matrix *more = s->rows->more;
    return (s->rows->x->n_rows + (more ? more->n_rows : 0)) * i / n;
}

static void number_share(const search *s, int32_t lane, share part, numbering *t,
                         uint8_t *values) {
    const qn_matrix *x = s->rows->x, *more = s->rows->more;
    int64_t first = share_start(s, part.i, part.n), end = share_start(s, part.i + 1, part.n);
    int64_t n = x->n_rows;
    number_rows(s, lane, x, first, end < n ? end : n, t, values);
    if (more)
        number_rows(s, lane, more, first > n ? first - n : 0, end - n, t, NULL);
}

/* The inverse of a member's steps: by value, value before * n_cells + bin. */
static void pairs_of(const uint16_t *step, int32_t n_pairs, int32_t *pair) {
    for (int32_t p = 0; p < n_pairs; p++)
        if (step[p] != QN__UNSEEN)
            pair[step[p]] = p;
}

/* Adds the tuples of `more`; before[QN__LANE_CELLS] becomes the number here by that there. */
static void join_numberings(const search *s, int32_t lane, numbering *t, const numbering *more,
                            uint16_t *before) {
    uint16_t now[QN__LANE_CELLS];
    before[0] = 0;
    t->n = t->n < more->n ? t->n : more->n;
    for (int32_t k = 0; k < t->n && t->n > 1; k++) {
        const uint16_t *from = steps_of(s, lane, k, more);
        uint16_t *to = steps_of(s, lane, k, t);
        int32_t n_cells = s->map->features[s->member[s->first[lane] + k]].n_cells;
        int32_t pair[QN__LANE_CELLS];
        pairs_of(from, (k ? more->n_values[k - 1] : 1) * n_cells, pair);
        for (int32_t v = 0; v < more->n_values[k]; v++) {
            int32_t here = before[pair[v] / n_cells] * n_cells + pair[v] % n_cells;
            now[v] = take_step(&to[here], &t->n_values[k]);
            if (now[v] == QN__UNSEEN) {
                t->n = k;
                return;
            }
        }
        memcpy(before, now, (size_t)more->n_values[k] * sizeof *now);
    }
}

/* The lane's values by bin of a member: rest_bin is that of most values, the others are listed. */
static void list_others(qn__bin_feature *f, int32_t n_values) {
    int32_t count[QN__LANE_CELLS] = {0};
    for (int32_t v = 0; v < n_values; v++)
        count[f->bin_of[v]]++;
    f->rest_bin = 0;
    for (int32_t b = 1; b < f->n_cells; b++)
        f->rest_bin = count[b] > count[f->rest_bin] ? b : f->rest_bin;
    f->others = f->bin_of + n_values;
    f->n_others = 0;
    for (int32_t b = 0; b < f->n_cells; b++)
        for (int32_t v = 0; v < n_values && b != f->rest_bin && count[b]; v++)
            if (f->bin_of[v] == b)
                f->others[f->n_others++] = (uint8_t)v;
}

/* Gives the members what they need to share the lane. */
static qn_status settle_members(const search *s, int32_t lane, const numbering *t) {
    int32_t n_values = t->n_values[t->n - 1];
    uint8_t at[QN__LANE_CELLS]; /* by value of the lane: its value up to member k */
    for (int32_t v = 0; v < n_values; v++)
        at[v] = (uint8_t)v;
    for (int32_t k = t->n - 1; k >= 0; k--) {
        qn__bin_feature *f = &s->map->features[s->member[s->first[lane] + k]];
        int32_t pair[QN__LANE_CELLS], n_pairs = (k ? t->n_values[k - 1] : 1) * f->n_cells;
        f->step = qn_malloc_aligned((size_t)n_pairs, sizeof *f->step);
        f->bin_of = qn_malloc_aligned((size_t)n_values, 2); /* `others` behind it */
        if (!f->step || !f->bin_of)
            return QN_ERR_MEMORY;
        memcpy(f->step, steps_of(s, lane, k, t), (size_t)n_pairs * sizeof *f->step);
        pairs_of(f->step, n_pairs, pair);
        for (int32_t v = 0; v < n_values; v++) {
            f->bin_of[v] = (uint8_t)(pair[at[v]] % f->n_cells);
            at[v] = (uint8_t)(pair[at[v]] / f->n_cells);
        }
        list_others(f, n_values);
    }
    return QN_OK;
}

/* The members that a lane keeps have its first one for a leader; the others go on looking. */
static qn_status settle_lane(const search *s, int32_t lane, const numbering *t,
                             qn__lane_plan *plan) {
    const int32_t *member = s->member + s->first[lane];
    for (int32_t k = 0; k < t->n; k++) {
        plan[member[k]].leader = member[0];
        s->lane[member[k]] = -1;
    }
    if (t->n < s->first[lane + 1] - s->first[lane])
        qn_freep(&plan[member[0]].values);
    if (t->n < 2)
        return QN_OK;
    plan[member[0]].n_values = t->n_values[t->n - 1];
    return settle_members(s, lane, t);
}

/* Joins the shares' numberings of a lane in the first one. values[row] follow, unless NULL. */
static void join_shares(const search *s, int32_t lane, numbering *of_share, int32_t n,
                        uint8_t *values) {
    for (int32_t i = 1; i < n; i++) {
        uint16_t here[QN__LANE_CELLS];
        join_numberings(s, lane, of_share, &of_share[i], here);
        int64_t end = share_start(s, i + 1, n), n_rows = s->rows->x->n_rows;
        bool holds = values && of_share->n == s->first[lane + 1] - s->first[lane];
        for (int64_t row = share_start(s, i, n); holds && row < end && row < n_rows; row++)
            values[row] = (uint8_t)here[values[row]];
    }
}

/* Room for the values of lanes with several members, if that is little of the memory that may be
 * used: those rows need not be looked at again to be binned. */
static qn_status allocate_values(const search *s, qn__lane_plan *plan, qn_error *err) {
    size_t n_rows = (size_t)s->rows->x->n_rows, bytes;
    size_t most = s->rows->job && s->rows->job->memory_bytes ? s->rows->job->memory_bytes / 8
                                                             : SIZE_MAX;
    if (!qn_size_mul(n_rows, (size_t)s->n_lanes, &bytes) || bytes > most)
        return QN_OK;
    for (int32_t l = 0; l < s->n_lanes; l++) {
        uint8_t **values = &plan[s->member[s->first[l]]].values;
        if (s->first[l + 1] - s->first[l] > 1 && !(*values = qn_malloc_aligned(n_rows, 1)))
            return qn_error_memory(err);
    }
    return QN_OK;
}

/* Looks at all rows: a few lanes by shares of the rows side by side, which gives the same numbers. */
static qn_status settle_lanes(const search *s, qn__lane_plan *plan, qn_error *err) {
    QN_TRY(allocate_values(s, plan, err));
    int n_threads = qn_job_threads(s->rows->job);
    int32_t n_shares = s->n_lanes < 4 * n_threads ? n_threads : 1, n = s->n_lanes * n_shares;
    qn_cleanup(qn_freep) numbering *all = qn_new_array(numbering, n);
    bool unnumbered = !all, unsettled = false; /* for want of memory */
#pragma omp parallel num_threads(n_threads) if (all)
    {
#pragma omp for schedule(dynamic)
        for (int32_t i = 0; i < (all ? n : 0); i++) {
            int32_t l = i / n_shares;
            if (numbering_init(&all[i], s, l) == QN_OK) {
                number_share(s, l, (share){.i = i % n_shares, .n = n_shares}, &all[i],
                             plan[s->member[s->first[l]]].values);
                continue;
            }
#pragma omp atomic write
            unnumbered = true;
        }
#pragma omp for schedule(dynamic)
        for (int32_t l = 0; l < s->n_lanes; l++) {
            if (unnumbered)
                continue;
            numbering *first = &all[l * n_shares];
            join_shares(s, l, first, n_shares, plan[s->member[s->first[l]]].values);
            if (settle_lane(s, l, first, plan) != QN_OK) {
#pragma omp atomic write
                unsettled = true;
            }
        }
    }
    for (int32_t i = 0; all && i < n; i++)
        numbering_done(&all[i]);
    return unnumbered || unsettled ? qn_error_memory(err) : QN_OK;
}

qn_status qn__lanes_plan(qn__bin_map *map, const qn__map_rows *rows, qn__lane_plan *plan,
                         qn_error *err) {
    qn_cleanup(search_done) search s;
    QN_TRY(search_init(&s, map, rows, err));
    sample_features(&s);
    QN_TRY(order_by_groups(&s, err));
    for (int32_t i = 0; i < map->n_dense; i++)
        s.lane[i] = s.usual[i] < 0 ? -1 : 0;
    /* What was given up is asked for less each time; what is left after that stays alone. */
    for (int32_t most = QN__LANE_CELLS; most > 0; most /= 2) {
        QN_TRY(qn_job_check(rows->job, err));
        QN_TRY(propose(&s, most, err));
        if (s.n_lanes == 0)
            return QN_OK;
        list_members(&s);
        QN_TRY(settle_lanes(&s, plan, err));
    }
    return QN_OK;
}
