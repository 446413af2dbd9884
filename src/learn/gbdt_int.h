/* gbdt_int.h - the parts of the tree engine and what they hand each other:
 *
 *   gbdt_bin    matrix -> bin map                 gbdt_objective  scores -> gradients, leaf renewal
 *   gbdt_rows   matrix, bin map -> bins           gbdt_quant      gradients -> integers
 *   gbdt_hist   bins, rows -> histograms          gbdt_split      histogram -> best split of a leaf
 *   gbdt_near   the same of a number, fast        gbdt_part       rows of a leaf -> of its children
 *   gbdt_dense  the same of leaves of many rows
 *   gbdt_expand a leaf -> its children            gbdt_tree       grows one tree
 *   gbdt_growth constraints and options of growth gbdt_sample     the rows of a tree
 *   gbdt_forced splits every tree begins with     gbdt_cost       what features cost
 *   gbdt_dart   trees dropped for a round         gbdt_stop       when to stop
 *   gbdt_watch  metrics round by round            gbdt_warm       going on from a model
 *   gbdt_share  bins shared by fits               gbdt_few        leaves of fewer rows than bins
 *   gbdt_bundle features that share a lane        gbdt_init       where scores begin
 *   gbdt_value  leaves from residuals             gbdt_rank, gbdt_custom: gradients of all rows at once
 *   gbdt_rate   how far each round steps          gbdt            the rounds, the family table
 *
 * gbdt_divide_int.h has the division of rows, gbdt_model_int.h the fitted model. */
#ifndef QN_LEARN_GBDT_INT_H
#define QN_LEARN_GBDT_INT_H

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "learn/gbdt.h"
#include "learn/gbdt_model_int.h"

/* Below so many steps of about a nanosecond a loop stays on one thread: waking the others, and
 * waiting for one that has to wait for a processor itself, costs more than it brings. */
enum { QN__WORTH_THREADS = 1 << 18 };

/* Loops compiled once for each width of vectors; the widest that the processor has is run. They give
 * the same bits: no sums change their order, no products are fused. Names differ from file to file,
 * since what chooses among them is not static under clang. */
#if defined(__x86_64__)
#define QN__WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define QN__WIDE
#endif

/* Of the kernels written for a kind of vectors the best that the processor has is run; tests ask for less. */
typedef enum qn__vectors { QN__VECTORS_BEST, QN__VECTORS_AVX2, QN__VECTORS_NONE } qn__vectors;
enum { QN__N_VECTORS = QN__VECTORS_NONE + 1 };

/* ---- bins ------------------------------------------------------------------------------------ */

enum {
    QN__GROUP = 32,        /* lanes counted in one pass: a row is read while their cells are in cache */
    QN__LANE_CELLS = 256,  /* of a lane of one byte */
    QN__LANE_PITCH = 264,  /* cells from one such lane to the next, where they are counted: a line more,
                              so that equal bins of different lanes are not 4096 bytes apart (a load
                              would wait for the store before it, which has the same low 12 bits) */
    QN__EVEN_SHARE = 128,  /* an even lane is one whose largest bin has at most this part of the rows */
    QN__PACK_ROWS = 2048,  /* fewer rows than this and unpacking costs more than packing saves */
    QN__UNSEEN = 0xffff,   /* a tuple of bins that no row has */
    QN__CAT_BINS = 4096,   /* most bins of a category feature; bin 0 is "missing, rare or unseen" */
    QN__CAT_WORDS = QN__CAT_BINS / 32,
};

/* How one feature becomes bins. A number x has the bin of the first upper[t] >= x, a missing one
 * the bin n_values. Thresholds of splits are these same upper bounds, so that a value seen in
 * training goes in prediction where it went in training. */
typedef struct qn__bin_feature {
    qn_feature_kind kind;
    int32_t column;       /* index in the matrix */
    int32_t n_values;     /* bins of values; categories: all bins, 0 for "other" */
    int32_t n_cells;      /* histogram cells: n_values + 1 (missing) for numbers, n_values for categories */
    bool has_missing;     /* seen in training (numbers) */
    double *upper;        /* owned; n_values - 1 ascending bounds */
    bool is_even;         /* number: no bin has far more rows than others (QN__EVEN_SHARE) */
    int32_t n_categories;
    int32_t *code_bin;    /* owned; n_categories: bin of a code */
    int32_t rest_bin;     /* the bin that gets what the others leave of a leaf's total; SPARSE: that
                             of the entries that are not stored; in company: the lane's commonest */
    int32_t lane;         /* dense: its place; SPARSE: -1 */
    int64_t cell;         /* its first histogram cell */
    /* Dense and not alone in its lane, or else NULL: */
    uint16_t *step;       /* owned; [value of the lane before this feature][bin]: the value with it */
    uint8_t *bin_of;      /* owned; bin by value of the lane */
    uint8_t *others;      /* behind bin_of; n_others values whose bin is not rest_bin, by bin */
    int32_t n_others;
} qn__bin_feature;

/* One byte of a binned row, or two for a feature of many bins. It holds the bin of one feature, or
 * the number of a tuple of bins of several: counting the number counts them all. */
typedef struct qn__lane {
    int32_t at;                /* byte of a row */
    int32_t first, n_features; /* in qn__bin_map.by_lane */
    int32_t n_values;
    int64_t cell;              /* where the lane is counted, among all lanes' cells */
    uint8_t *values;           /* owned; of the rows of qn__bin_map.fitted_to until they are binned;
                                  NULL: not known */
} qn__lane;

/* Adjacent lanes that are counted in one pass. */
typedef struct qn__lane_group {
    int32_t lane, n;           /* the first, and how many */
    bool is_half, is_wide;     /* small gradients are counted in half cells; lanes are of two bytes */
} qn__lane_group;

/* Features with at least two bins, dense ones first. */
typedef struct qn__bin_map {
    int32_t n_features;
    qn__bin_feature *features; /* owned */
    int32_t n_dense, n_lanes, n_narrow; /* lanes of one byte come first, */
    int32_t n_half;            /* and of these even ones; those counted in half cells, or 0 */
    qn__lane_group *groups;    /* owned; all lanes, in order */
    int32_t n_groups;
    int32_t row_bytes;         /* of all lanes */
    qn__lane *lanes;           /* owned */
    int32_t *by_lane;          /* owned; n_dense: features in order of their lanes */
    int64_t n_cells, dense_cells; /* cells of all features, and of the dense ones (which come first) */
    int64_t narrow_cells;      /* of those in lanes of one byte (the first of these) */
    int64_t lane_cells;        /* cells of all lanes: QN__LANE_PITCH of each narrow one */
    const qn_matrix *fitted_to; /* borrowed, and only compared once they are binned */
} qn__bin_map;

/* Binned rows, twice: row by row for counting (all lanes of a row on one or two cache lines), lane
 * by lane for partitioning (one lane of all rows fits the second-level cache longer). Sparse:
 * entries of row i are entry[start[i]] .. entry[start[i + 1] - 1], each the histogram cell of a
 * stored value, ascending. */
typedef struct qn__bins {
    int64_t n_rows;
    int32_t stride;   /* bytes from one row to the next: a power of two up to 64, so that few rows
                         straddle cache lines */
    uint8_t *rows;    /* owned; [n_rows][stride] */
    int32_t gh_at;    /* byte of a row behind its lanes, where its gradient is to be put; 0: elsewhere */
    size_t mapped_bytes; /* of rows that lie in a file without a name; 0: they are in memory */
    uint8_t *columns; /* owned; a lane begins at n_rows times its place in a row; NULL: there are none, and
                         what is to be partitioned is by rows */
    int64_t *start;   /* owned; n_rows + 1; NULL without sparse features */
    uint32_t *entry;  /* owned */
} qn__bins;

/* The rows that a map is made for: those that it is fitted to, and others that will be binned by it. */
typedef struct qn__map_rows {
    const qn_matrix *x, *more; /* borrowed; more NULL: none */
    const qn_fit_input *input; /* borrowed: whose columns of initial scores have no bins; may be NULL */
    const qn_job *job;    /* borrowed; may be NULL */
} qn__map_rows;

qn_status qn__bin_map_fit(const qn_gbdt_params *params, const qn__map_rows *rows, uint64_t seed,
                          qn__bin_map *ret_map, qn_error *err) QN_MUST_USE;
void qn__bin_map_done(qn__bin_map *map);
/* Drops features without bins and gives the others their lanes and cells; the end of a fit. */
qn_status qn__bin_map_place(qn__bin_map *map, const qn__map_rows *rows, bool share_lanes,
                            qn_error *err) QN_MUST_USE;
/* Where a dense feature goes: to the lane of the feature `leader` (itself: the rest is the lane's). */
typedef struct qn__lane_plan {
    int32_t leader, n_values;
    uint8_t *values;      /* owned, see qn__lane */
} qn__lane_plan;
/* Finds features that share lanes of one byte and fills in what they need for it. plan[n_dense] says
 * that all are alone and is changed for those that are not. */
qn_status qn__lanes_plan(qn__bin_map *map, const qn__map_rows *rows, qn__lane_plan *plan,
                         qn_error *err) QN_MUST_USE;
/* The bins of rows first .. first + n - 1 in a dense feature. */
void qn__feature_bins(const qn__bin_feature *feature, const qn_matrix *x, int64_t first, int64_t n,
                      int32_t *bin);
/* The bin of a number (NaN: n_values). */
int32_t qn__bin_of(const qn__bin_feature *feature, double x);
/* The same for n of them, many searches side by side. */
void qn__bins_of(const qn__bin_feature *feature, const double *x, int64_t n, int32_t *bin);
/* Whether bins are to lie lane by lane, too, where both orders take at most half of the job's memory. They
 * do not pay where gradients find room behind the lanes of a row and rows share cache lines; QN__COLUMNS
 * is for tests. */
typedef enum qn__columns { QN__NO_COLUMNS, QN__COLUMNS_THAT_PAY, QN__COLUMNS } qn__columns;
/* Rows that alone take more than half of the job's memory lie in a file in its folder for temporary ones.
 * QN_ERR_USAGE for rows that the map was not made for, if they have other tuples of bins. */
qn_status qn__bins_fill(qn__bin_map *map, const qn_matrix *x, qn__columns columns,
                        const qn_job *job, qn__bins *ret_bins, qn_error *err) QN_MUST_USE;
void qn__bins_done(qn__bins *bins);
/* Room for the dense bins of n rows, where qn__bins_fill would have it. */
qn_status qn__bins_allocate(const qn__bin_map *map, int64_t n, qn__columns columns,
                            const qn_job *job, qn__bins *ret_bins, qn_error *err) QN_MUST_USE;
struct qn_gbdt_bins {
    qn__bin_map map;      /* owned, as the bins */
    qn__bins bins;
};
/* Those of the given rows. */
qn_status qn__bins_gather(const qn_gbdt_bins *from, const int64_t *rows, int64_t n,
                          qn__columns columns, const qn_job *job, qn__bins *ret_bins,
                          qn_error *err) QN_MUST_USE;
/* Asks for large pages for an array about to be filled and then read out of order; for small ones for one of
 * which parts are never touched. */
void qn__huge_pages(void *array, size_t bytes);
void qn__small_pages(void *array, size_t bytes);
/* The bin of a feature by the value of its lane. */
static inline int32_t qn__lane_bin(const qn__bin_feature *f, int32_t value) {
    return f->bin_of ? f->bin_of[value] : value;
}
/* The bin of one row in one feature. */
static inline int32_t qn__bins_at(const qn__bin_map *map, const qn__bins *bins,
                                  const qn__bin_feature *f, int64_t row) {
    if (f->lane >= 0) {
        const uint8_t *at = bins->rows + (size_t)row * (size_t)bins->stride
                            + map->lanes[f->lane].at;
        return qn__lane_bin(f, f->lane < map->n_narrow ? *at
                                                       : *(const uint16_t *)(const void *)at);
    }
    for (int64_t k = bins->start[row]; k < bins->start[row + 1]; k++)
        if (bins->entry[k] >= (uint64_t)f->cell)
            return bins->entry[k] < (uint64_t)(f->cell + f->n_cells)
                       ? (int32_t)(bins->entry[k] - (uint64_t)f->cell) : f->rest_bin;
    return f->rest_bin;
}

/* ---- histograms ------------------------------------------------------------------------------ */

/* Gradient and hessian of a row as integers of 16 bits in one word: (g << 16) + h. Sums of integers
 * do not depend on their order, which is what makes models independent of the number of threads.
 * Cells of histograms count rows, too. Those of few rows are one word ("packed"), in which the sums
 * of |g|, of h and the rows must each fit (qn__load_fits); the others ("wide") hold two:
 *
 *   packed   63 ... 39  g  | 38 ... 15  h | 14 ... 0  rows
 *   wide     64 bits of g, and            63 ... 31  h | 30 ... 0  rows
 */
typedef struct qn__sum {
    int64_t g, h, n;
} qn__sum;

typedef struct qn__wide_sum {
    int64_t g, hn;
} qn__wide_sum;

enum { QN__N_BITS = 15, QN__H_BITS = 24, QN__G_SHIFT = QN__N_BITS + QN__H_BITS,
       QN__WIDE_N_BITS = 31 };

/* Rows of small gradients may be counted in half cells of one 32-bit word, of at most QN__HALF_ROWS rows
 * each: 31 ... 19  g  | 18 ... 7  h | 6 ... 0  rows. */
enum { QN__HALF_N_BITS = 7, QN__HALF_G_SHIFT = 19, QN__HALF_ROWS = (1 << QN__HALF_N_BITS) - 1,
       QN__SMALL_G = 32, QN__SMALL_H = 32 };

/* What rows may add to a cell at most. */
typedef struct qn__load {
    int64_t abs_g, h, n;
} qn__load;

static inline bool qn__load_fits(qn__load load) {
    return load.n < 1 << QN__N_BITS && load.h < 1 << QN__H_BITS
           && load.abs_g < (int64_t)1 << (63 - QN__G_SHIFT);
}

/* Gradients of all rows: that of row i is at + i * stride, behind its bins (qn__bins.gh_at), where counting
 * finds both on one cache line, or side by side. */
typedef struct qn__gradients {
    uint8_t *at;
    size_t stride;
} qn__gradients;

static inline qn__gradients qn__gradients_in(int32_t *array) {
    return (qn__gradients){.at = (uint8_t *)array, .stride = sizeof *array};
}
static inline int32_t qn__gradient_of(qn__gradients gh, size_t row) {
    int32_t one;
    memcpy(&one, gh.at + row * gh.stride, sizeof one);
    return one;
}
/* Those of n rows, side by side. */
void qn__gradients_list(qn__gradients gh, const uint32_t *rows, int64_t n, int32_t *list);
qn__load qn__load_of(const int32_t *gh, int64_t n);
/* Of n rows of small gradients, at most. */
static inline qn__load qn__small_load(int64_t n) {
    return (qn__load){.abs_g = n * QN__SMALL_G, .h = n * QN__SMALL_H, .n = n};
}

typedef struct qn__quantised {
    qn__gradients gh;
    bool is_small;        /* |g| is at most QN__SMALL_G and h QN__SMALL_H */
    qn__sum total;        /* of all rows */
    double g_unit, h_unit; /* what 1 stands for */
} qn__quantised;

/* The largest |g| and the largest h, and about the sums of both; what is not finite counts as
 * nothing. */
typedef struct qn__range {
    float g, h;
    double sum_g, sum_h;
} qn__range;

void qn__range_add(qn__range *range, const float *g, const float *h, int64_t n);
void qn__range_join(qn__range *range, const qn__range *more);
/* Stochastic rounding by a hash of (seed, row): without bias even for gradients far below the
 * largest. The largest is at most 13 bits of units, fewer where else packed cells of
 * thousands of average rows would overflow, or (is_small) where many rows are much alike. Fills
 * q->gh, which the caller provides. */
void qn__quantise(const float *g, const float *h, int64_t n, qn__range range, uint64_t seed,
                  int n_threads, qn__quantised *q);

/* The same in steps: units first, then rows first .. first + n - 1 (at most 2^15) by any thread, whose
 * sums grow; true when it has to be done once more, q->total being set. */
void qn__quantise_units(qn__range range, int64_t n, qn__quantised *q);
void qn__quantise_some(const float *g, const float *h, int64_t first, int32_t n, uint64_t seed,
                       const qn__quantised *q, int64_t *sum_g, int64_t *sum_h);
bool qn__quantise_again(qn__quantised *q);

typedef struct qn__hist {
    bool wide;
    union {
        int64_t *packed;      /* n_cells */
        qn__wide_sum *sums;   /* n_cells */
    };
} qn__hist;

static inline int64_t qn__pack(qn__sum s) {
    return s.g * ((int64_t)1 << QN__G_SHIFT) + s.h * (1 << QN__N_BITS) + s.n;
}
static inline qn__sum qn__unpack(int64_t word) {
    return (qn__sum){.g = word >> QN__G_SHIFT,
                     .h = word >> QN__N_BITS & ((1 << QN__H_BITS) - 1),
                     .n = word & ((1 << QN__N_BITS) - 1)};
}
static inline qn__wide_sum qn__widen(qn__sum s) {
    return (qn__wide_sum){.g = s.g, .hn = s.h * ((int64_t)1 << QN__WIDE_N_BITS) + s.n};
}
static inline qn__sum qn__narrow(qn__wide_sum w) {
    return (qn__sum){.g = w.g, .h = w.hn >> QN__WIDE_N_BITS,
                     .n = w.hn & (((int64_t)1 << QN__WIDE_N_BITS) - 1)};
}
static inline qn__sum qn__row_sum(int32_t gh) {
    return (qn__sum){.g = gh >> 16, .h = (int64_t)(uint16_t)gh, .n = 1};
}
static inline qn__sum qn__hist_at(const qn__hist *hist, int64_t cell) {
    return hist->wide ? qn__narrow(hist->sums[cell]) : qn__unpack(hist->packed[cell]);
}
static inline void qn__sum_add(qn__sum *sum, qn__sum more) {
    sum->g += more.g;
    sum->h += more.h;
    sum->n += more.n;
}
static inline qn__sum qn__sum_less(qn__sum a, qn__sum b) {
    return (qn__sum){.g = a.g - b.g, .h = a.h - b.h, .n = a.n - b.n};
}

/* Where rows are counted, by thread: lanes (then sparse features) in packed cells, and the wide
 * cells that these are emptied into before they overflow. All zero between uses. */
typedef struct qn__hist_scratch {
    int n_threads;
    int64_t n_cells;
    int64_t **block;      /* owned; per thread */
    uint32_t **half;      /* owned; per thread: half cells of n_half lanes; NULL: there are none */
    bool *in_half;        /* owned; per thread: what it counted in them is still there */
    qn__wide_sum **part;  /* owned; per thread; NULL: packed histograms only */
    qn__load *waiting;    /* owned; per thread: in the block */
} qn__hist_scratch;

qn_status qn__hist_scratch_init(qn__hist_scratch *scratch, const qn__bin_map *map, bool wide,
                                int n_threads, qn_error *err) QN_MUST_USE;
void qn__hist_scratch_done(qn__hist_scratch *scratch);

/* What is counted: rows (NULL: 0 .. n - 1) with their gradients, those of the list in its order if
 * listed_gh is given. */
typedef struct qn__hist_input {
    const qn__bin_map *map;
    const qn__bins *bins;
    const uint32_t *rows;
    const int32_t *listed_gh;
    qn__gradients gh;         /* of all rows of the table */
    int64_t n;
    qn__sum total;            /* of the rows counted */
    bool is_small;            /* gradients are (qn__quantised) */
    const bool *group_used;   /* groups of lanes to skip are false; NULL: count all */
    bool narrow_only;         /* count the lanes of one byte; there is nothing sparse */
} qn__hist_input;

/* What all its rows add to a cell at most. */
qn__load qn__hist_load(const qn__hist_input *input);
/* Fills `hist` (its memory and width set by the caller; packed only when the load fits). Either
 * alone, as thread `thread` of `scratch`, or (thread -1) with all its threads. */
void qn__hist_build(const qn__hist_input *input, qn__hist_scratch *scratch, int thread,
                    qn__hist *hist);
/* In steps, by a thread alone: the rows are counted in its scratch; from there the cells of a lane's
 * features, or of a sparse one, are put into `hist`. All have to be. */
void qn__hist_count(const qn__hist_input *input, qn__hist_scratch *scratch, int thread, bool wide);
void qn__hist_take_lane(const qn__hist_input *input, qn__hist_scratch *scratch, int thread,
                        const qn__lane *lane, qn__hist *hist);
void qn__hist_take_sparse(const qn__hist_input *input, qn__hist_scratch *scratch, int thread,
                          int32_t feature, qn__hist *hist);
/* The same, one row and one feature at a time: what the fast one is tested against. */
void qn__hist_build_ref(const qn__hist_input *input, qn__sum *sums);
/* large = parent - small, in place of the parent's memory; `wide` is how `large` is to be
 * stored. The second: of n packed cells, from `cell` on. */
void qn__hist_subtract(qn__hist *parent, const qn__hist *small, int64_t n_cells, bool wide);
void qn__hist_subtract_packed(qn__hist *parent, const qn__hist *small, int64_t cell, int64_t n);
/* ---- samples of rows ------------------------------------------------------------------------- */

/* What one-side sampling goes by: gradients and hessians, [n_outputs][n]. */
typedef struct qn__goss_input {
    const qn_gbdt_params *params;
    float *g, *h;         /* those of the small rows taken are multiplied */
    uint32_t *scratch;    /* n */
    int64_t n;
    int32_t n_outputs;
    uint64_t seed;
    int n_threads;
} qn__goss_input;

qn_status qn__sample_check(const qn_gbdt_params *params, qn_task task, qn_error *err) QN_MUST_USE;
bool qn__sample_any(const qn_gbdt_params *params);
/* Both order rows[n]: those of the sample, ascending, then the others, ascending. The first returns
 * how many are in a bag: each row whose hash is below the fraction (of its class). The second takes
 * the rows of the largest gradients, and others at random that stand for the rest: their gradients
 * count as many times. range[n_outputs] grows with them. */
int64_t qn__sample_bag(const qn_gbdt_params *params, const double *y, int64_t n, uint64_t seed,
                       uint32_t *rows);
qn_status qn__sample_goss(const qn__goss_input *input, uint32_t *rows, qn__range *range,
                          int64_t *ret_n, qn_error *err) QN_MUST_USE;

/* ---- splits ---------------------------------------------------------------------------------- */

typedef struct qn__split {
    double gain;          /* loss reduction; meaningful when feature >= 0 */
    int32_t feature;      /* index in the bin map; -1: none */
    int32_t bin;          /* numbers: last bin on the left */
    bool is_category, is_sorted, missing_left;
    qn__sum left;
    double left_value, right_value; /* under a rule: of the children, before shrinkage */
    uint32_t set[QN__CAT_WORDS]; /* categories: bins on the left */
} qn__split;

/* ---- options of growth ----------------------------------------------------------------------- */

/* One split of forced_splits: the gain and what is on the left depend on the leaf. */
typedef struct qn__forced {
    qn__split split;      /* feature -1: of a feature that cannot be split */
    int32_t left, right;  /* what the children are forced to; -1: nothing */
} qn__forced;

/* What features and splits cost, and what has been paid for (gbdt_cost.c). */
typedef struct qn__costs {
    bool any;             /* of the following */
    bool remembers;       /* what is used once is cheaper for others: no leaf ahead of its turn */
    bool has_lazy;
    double split;         /* per row of the leaf */
    double *contri;       /* owned; per feature of the map: times its gain; NULL: 1 */
    double *coupled, *lazy; /* owned; per feature; NULL: none */
    int32_t *cost_of;     /* owned; per feature two: its entry among the coupled and the lazy ones */
    int32_t n_entries;    /* at most, of either */
    bool *bought;         /* owned; per coupled entry */
    double *lazy_here;    /* owned; per lazy entry: rows of the leaf searched that have yet to pay */
    uint64_t *seen;       /* owned; [n_entries][n_words]: bit of a row that has paid */
    int64_t n_words;
} qn__costs;

/* What the options of growth ask of all trees. */
typedef struct qn__growth {
    const qn_gbdt_params *params; /* borrowed */
    int8_t *monotone;     /* owned; per feature of the map: 1, -1 or 0; NULL: no constraints */
    uint64_t *groups;     /* owned; per feature: the groups it may interact in; NULL: any */
    bool ruled;           /* the value of a child is not Newton's: splits need the general search */
    bool by_node;         /* each node has features of its own */
    int32_t max_depth;    /* 0: no limit */
    bool by_level;        /* all splits of a level before those of the next */
    bool symmetric;       /* one split for all leaves of a level */
    bool bounds_move;     /* they follow the values of other leaves, */
    bool advanced;        /* each threshold having bounds of its own */
    bool in_order;        /* no leaf ahead of its turn: what others do changes its split */
    qn__forced *forced;   /* owned; what the root is forced to comes first; symmetric: by level */
    int32_t n_forced;
    qn__costs costs;
    uint64_t key;         /* of the tree to be grown: seeds what is drawn */
} qn__growth;

/* Between which a value must lie. */
typedef struct qn__limits {
    double low, high;
} qn__limits;

/* Those of a leaf's children by threshold, as the leaves around it are (method advanced). By histogram
 * cell: of bin t when the split is behind it; the last cell of a feature holds what binds the child with
 * the missing values, in the arrays of the left one. */
typedef struct qn__limit_table {
    double *low_left, *high_left, *low_right, *high_right; /* owned */
    qn__limits all;       /* of both children by any split */
} qn__limit_table;

/* What they ask of one leaf and its children. */
typedef struct qn__leaf_rule {
    const qn__growth *growth;
    double value;         /* its own, before shrinkage */
    double low, high;     /* bounds of its descendants' values */
    uint64_t key;         /* by the way from the root */
    uint64_t groups;      /* that hold all features on the way */
} qn__leaf_rule;

/* Constraints by the names of the matrix's n_columns features. QN_ERR_CONFIG for what is not
 * there. */
qn_status qn__growth_init(qn__growth *growth, const qn_gbdt_params *params, const qn__bin_map *map,
                          const qn_feature *features, int32_t n_columns, int64_t n_rows,
                          qn_error *err) QN_MUST_USE;
void qn__growth_done(qn__growth *growth);
/* Whether a feature is made from a column: "city=Paris", "text#12", "day weekday", or it itself. */
bool qn__growth_comes_from(const qn_feature *feature, const char *column);
/* QN_ERR_CONFIG: a parameter names a feature that is not there; with the nearest name. */
qn_status qn__growth_unknown(const char *param, const char *name, const qn_feature *features,
                             int32_t n, qn_error *err);
/* used[n]: the features by which a leaf may be split; of_tree may be NULL. */
void qn__growth_features(const qn__growth *growth, const qn__leaf_rule *rule, const bool *of_tree,
                         int32_t n, bool *used);
/* Whether the left child's value must not be above the right one's (1), below it (-1), or is
 * free. */
int qn__growth_order(const qn__growth *growth, const qn__bin_map *map, const qn__split *split);
/* What the gain of a split by a feature is multiplied with (monotone_penalty). */
double qn__rule_penalty(const qn__growth *growth, int32_t feature, int32_t depth);
/* The value of a child of these sums and rows, and what a value is worth there. */
double qn__rule_value(const qn__leaf_rule *rule, qn__limits limits, double g, double h, double l2,
                      double n_rows);
double qn__rule_worth(const qn__leaf_rule *rule, double g, double h, double l2, double value);
qn__leaf_rule qn__rule_root(const qn__growth *growth, double g, double h);
qn__leaf_rule qn__rule_child(const qn__leaf_rule *rule, const qn__bin_map *map,
                             const qn__split *split, bool is_left);

/* ---- the search ------------------------------------------------------------------------------ */

/* A leaf of few rows: its wide lanes are not in the histogram (gbdt_few.c). */
typedef struct qn__few {
    const qn__bins *bins;  /* borrowed, as the rows and gradients */
    const uint32_t *rows;  /* NULL: 0 .. n - 1 */
    qn__gradients gh;
    int64_t n;
    qn__wide_sum *cells;   /* owned; of one feature; zero between uses, as the next */
    uint64_t *touched;     /* owned; a bit for each */
    int32_t *bin;          /* owned; the bins that have rows, ascending */
} qn__few;

qn_status qn__few_init(qn__few *few, const qn__bin_map *map, qn_error *err) QN_MUST_USE;
void qn__few_done(qn__few *few);
/* Leaves of fewer rows than this are such; 0: none is. */
int64_t qn__few_most(const qn__growth *growth, const qn__bin_map *map);
/* Sums of the first 1, 2, .. bins of a feature that have rows, the missing left out; few->bin then holds
 * these bins. words: as the second of a wide cell. Returns how many bins there are. */
int32_t qn__few_sums(const qn__few *few, const qn__bin_map *map, const qn__bin_feature *feature,
                     double *g, double *h, int64_t *words);

/* What both sides of a split are worth together, in one division. */
static inline double qn__worth_of_sides(double gl, double hl, double gr, double hr, double l1,
                                        double l2) {
    double al = fabs(gl) - l1, ar = fabs(gr) - l1;
    al = al > 0 ? al : 0;
    ar = ar > 0 ? ar : 0;
    double ql = hl + l2, qr = hr + l2;
    return (al * al * qr + ar * ar * ql) / (ql * qr);
}

/* A number in a leaf of packed cells, without L1 (gbdt_near.c). */
typedef struct qn__near {
    const int64_t *cells;  /* n_values */
    int32_t n_values;
    qn__sum total, missing; /* of the leaf, and what cells leave of it */
    double l2, h_min;      /* in units of the sums; l2 below 1e9 */
    int64_t n_min;         /* h_min and n_min at least 1 */
    qn__vectors most;
} qn__near;

/* Fills in what is missing, where anything can be. */
void qn__near_begin(qn__near *input);
/* The first of the best bounds 0 .. n_bounds - 1 of at most n_values, if it is worth more than *best: sets
 * that, and bin, missing_left (as given; true: n_bounds < n_values) and left of the split. scratch:
 * 2 * (n_values + 16) doubles. */
void qn__near_find(const qn__near *input, bool missing_left, int32_t n_bounds, double *scratch,
                   double *best, qn__split *split);

/* What a leaf brings to the search. */
typedef struct qn__split_input {
    const qn_gbdt_params *params;
    const qn__bin_map *map;
    const qn__hist *hist;
    qn__sum total;
    double g_unit, h_unit;
    const qn__leaf_rule *rule; /* NULL: Newton's values without bounds, all thresholds */
    int32_t depth;             /* with a rule */
    const qn__limit_table *limits; /* with a rule, method advanced; else NULL: those of the rule */
    const qn__few *few;        /* without a rule; NULL: the histogram has all lanes */
    double beaten;             /* a gain: of numbers without a rule, splits of less need not be found;
                                  0: all */
} qn__split_input;

/* scratch: qn__split_scratch_len(map) doubles. */
size_t qn__split_scratch_len(const qn__bin_map *map);
void qn__split_find(const qn__split_input *input, int32_t i_feature, double *scratch,
                    qn__split *ret_split);
/* The splits that a level of a symmetric tree may have, as the root of the tree has them. How often a
 * split by sorted categories may part them, and in which order they stand, by histogram cell of the
 * feature; which one extra_trees draws for a level. */
typedef struct qn__candidates {
    int32_t *bin;         /* the bin at each place */
    int32_t *n;           /* in the first cell: how many places there are */
    bool *tried[2];       /* whether the first 1, 2, .. from the left (0) or the right end (1) may be a
                             side */
    int32_t *first, *end; /* extra_trees, else NULL; by feature: the bounds first .. end - 1 part numbers */
    uint64_t key;         /* of the level: seeds what is drawn */
} qn__candidates;

/* What a gain counts for: times * gain - less. */
typedef struct qn__price {
    double times, less;
} qn__price;

void qn__split_list(const qn__split_input *root, int32_t i_feature, double *scratch,
                    qn__candidates *candidates);
/* Adds what every split by the feature gains in this leaf to gain[2 n_cells], at that price and in units
 * of the sums (of the loss under a rule); a split that does not fit the leaf gains nothing there, one that
 * a constraint forbids there is -INFINITY.
 * Numbers: by bin, missing on the right, then on the left. Categories: by bin against the rest; sorted
 * ones by number from the left end, then from the right. */
void qn__split_add(const qn__split_input *input, int32_t i_feature,
                   const qn__candidates *candidates, qn__price price, double *scratch,
                   double *gain);
/* The best split by the feature, from the sums of qn__split_add; gain (in those units) above 0, or
 * feature -1. */
void qn__split_best(const qn__bin_map *map, const qn_gbdt_params *params, int32_t i_feature,
                    const qn__candidates *candidates, const double *gain, qn__split *ret_split);
/* What lies on the left of a split, from a histogram. */
qn__sum qn__split_left(const qn__split_input *input, const qn__split *split);
/* Whether a split, found elsewhere, fits the leaf when it leaves split->left on the left side; sets its
 * gain there, which may be below 0 (-INFINITY: the order of the children is not allowed), and under a rule
 * the children's values. */
bool qn__split_fits(const qn__split_input *input, qn__split *split);
/* Plain search over all thresholds and both sides for missing; numbers only. */
void qn__split_find_ref(const qn__split_input *input, int32_t i_feature, qn__split *ret_split);
static inline bool qn__split_goes_left(const qn__split *split, const qn__bin_feature *f,
                                       int32_t bin) {
    if (split->is_category)
        return split->set[bin >> 5] >> (bin & 31) & 1;
    return bin == f->n_values ? split->missing_left : bin <= split->bin;
}

/* For symmetric trees: growth->forced becomes what each level is forced to. QN_ERR_CONFIG where a level
 * has different splits. */
qn_status qn__forced_level(qn__growth *growth, const qn__bin_map *map, const qn_feature *features,
                           qn_error *err) QN_MUST_USE;
qn_status qn__forced_read(qn__growth *growth, const qn__bin_map *map, const qn_feature *features,
                          int32_t n_columns, qn_error *err) QN_MUST_USE;
/* The forced split of that index in a leaf; false when it does not fit or gains nothing there. */
bool qn__forced_find(const qn__split_input *input, const qn__growth *growth, int32_t index,
                     const qn__leaf_rule *rule, qn__split *ret_split);

void qn__costs_done(qn__costs *costs);
qn_status qn__costs_init(qn__costs *costs, const qn_gbdt_params *params, const qn__bin_map *map,
                         const qn_feature *features, int32_t n_columns, int64_t n_rows,
                         qn_error *err) QN_MUST_USE;
/* What a split by the feature costs once, in the model, and for the rows of a leaf (qn__costs_begin). */
double qn__costs_once(const qn__costs *costs, int32_t feature);
double qn__costs_of_rows(const qn__costs *costs, int32_t feature, int64_t n_rows);
/* Before the search of a leaf: its rows (NULL: first .. first + n - 1). */
void qn__costs_begin(qn__costs *costs, const qn__bin_map *map, const uint32_t *rows, int64_t first,
                     int64_t n);
/* The gain of a split of so many rows, less what it costs; feature -1 when nothing is left. */
void qn__costs_apply(const qn__costs *costs, int64_t n_rows, qn__split *split);
/* A split by the feature was taken on these rows; true when it is cheaper for other leaves now. */
bool qn__costs_take(qn__costs *costs, int32_t feature, const uint32_t *rows, int64_t n);

/* ---- trees in training ----------------------------------------------------------------------- */

typedef struct qn__grown_node {
    qn__split split;      /* feature -1: a leaf */
    int32_t left, right;
    int32_t parent;       /* -1: the root */
    int64_t begin, n;     /* leaf: its rows; no two leaves overlap */
    uint32_t *rows;       /* leaf: them, until the next run, */
    int64_t n_first;      /* so many ascending, and then the others, */
    const uint64_t *set;  /* unless they are the set here (qn__grower_list_rows) */
    qn__sum total;        /* of its rows' quantised gradients */
    double l2;            /* leaf: regularisation of its value */
    double value;         /* leaf; under a rule set by the grower, before shrinkage */
} qn__grown_node;

typedef struct qn__grower qn__grower;

/* All but the job are borrowed. */
qn_status qn__grower_new(qn__growth *growth, const qn__bin_map *map, const qn__bins *bins,
                         const qn_job *job, qn__grower **ret_grower, qn_error *err) QN_MUST_USE;
void qn__grower_free(qn__grower **grower);
/* Grows one tree on `rows` (ascending, n; NULL: all). feature_used[n_features] may be NULL; `list`
 * has room for n rows. The result stays valid until the next call, as long as the list is left alone:
 * it holds the rows of the leaves. */
qn_status qn__grower_run(qn__grower *grower, const qn__quantised *q, const uint32_t *rows,
                         int64_t n, const bool *feature_used, uint32_t *list,
                         qn_error *err) QN_MUST_USE;
qn__grown_node *qn__grower_nodes(qn__grower *grower, int32_t *ret_n);
/* Makes the rows of each leaf a list in ascending order. */
void qn__grower_list_rows(qn__grower *grower);
/* The leaf of one binned row. */
int32_t qn__grown_leaf(const qn__grown_node *nodes, const qn__bin_map *map, const qn__bins *bins,
                       int64_t row);

/* ---- learning rates -------------------------------------------------------------------------- */

qn_status qn__rate_check(const qn_gbdt_params *params, qn_error *err) QN_MUST_USE;
/* Of a round, counted from 0. */
double qn__rate_of(const qn_gbdt_params *params, int64_t round);

/* ---- dropped trees --------------------------------------------------------------------------- */

/* A tree that may be dropped, with the values it was grown with. */
typedef struct qn__kept_tree {
    qn__grown_node *nodes; /* owned */
    int32_t n;
} qn__kept_tree;

/* The weights of the rounds, and the round under way: its trees shrink by `rate`, and each of those
 * dropped for it keeps the share `keeps` of its weight. */
typedef struct qn__dart {
    const qn_gbdt_params *params; /* borrowed */
    uint64_t seed;
    double *scale;        /* owned; per round: what its trees' first values are multiplied with */
    double *first_rate;   /* owned; per round: its rate */
    int32_t *dropped;     /* owned; rounds */
    int32_t n_rounds, cap_rounds, n_dropped;
    double rate, keeps;
    qn__kept_tree *trees; /* owned; n_trees */
    int32_t n_trees, cap_trees;
} qn__dart;

void qn__dart_done(qn__dart *dart);
/* Draws what is dropped for the next round; then its trees are grown and kept; then it ends. */
qn_status qn__dart_begin(qn__dart *dart, qn_error *err) QN_MUST_USE;
qn_status qn__dart_keep(qn__dart *dart, const qn__grown_node *nodes, int32_t n_nodes,
                        qn_error *err) QN_MUST_USE;
void qn__dart_end(qn__dart *dart);
/* Back to the weights after the first n_rounds. */
qn_status qn__dart_replay(qn__dart *dart, int32_t n_rounds, qn_error *err) QN_MUST_USE;

/* ---- objectives ------------------------------------------------------------------------------ */

typedef struct qn__objective_data {
    const qn_gbdt_params *params;
    const double *y;
    const double *w;      /* NULL: all 1 */
    int64_t n;
    int32_t n_outputs;
    int n_threads;
    const struct qn__queries *queries; /* of a ranking; NULL: rows stand alone */
} qn__objective_data;

/* Rows that an objective is asked for at a time. */
enum { QN__GRADIENT_BLOCK = 1 << 10 };

/* Rows by the queries they belong to, and what ranking them needs (gbdt_rank.c). */
enum { QN__RANK_LABELS = 1024 };

typedef struct qn__queries {
    int64_t n, longest;
    int64_t *begin;       /* owned; n + 1: into rows */
    uint32_t *rows;       /* owned; of a query in the order of their last scores */
    double *gain;         /* owned; per row */
    double *best;         /* owned; [n][2]: the greatest DCG, of training's places and of eval_at */
    double *ndcg;         /* owned; n: scratch of the loss */
    double *discount;     /* owned; longest: by place */
    struct qn__rank_item *items; /* owned; scratch of each thread for the longest query */
    double *lanes;        /* owned; the same, by columns */
} qn__queries;

/* query[n] in 0 .. n_queries - 1, in any order. QN_ERR_DATA for a label without a gain. */
qn_status qn__queries_new(const qn_gbdt_params *params, const double *y, const int32_t *query,
                          int64_t n, int32_t n_queries, int n_threads, qn__queries **ret_queries,
                          qn_error *err) QN_MUST_USE;
void qn__queries_free(qn__queries **queries);
/* gain[QN__RANK_LABELS] of the labels 0 .. *ret_n - 1. */
qn_status qn__rank_gains(const qn_gbdt_params *params, double *gain, int32_t *ret_n,
                         qn_error *err) QN_MUST_USE;
void qn__rank_gradients(const qn__objective_data *data, const double *score, float *g, float *h);
/* 1 - mean NDCG of eval_at places, of the queries with anything to find. */
double qn__rank_loss(const qn__objective_data *data, const double *score);

/* One line of the table of objectives. Scores, gradients and hessians are [n_outputs][n]. */
typedef struct qn__objective {
    const char *name;
    qn_task task;
    qn_link link;
    double y_low, y_high; /* range of the targets */
    bool y_open;          /* y_low itself is not */
    void (*init)(const qn__objective_data *data, double *base);
    /* Of rows first .. first + n - 1, n at most QN__GRADIENT_BLOCK. NULL: all_gradients. */
    void (*gradients)(const qn__objective_data *data, const double *score, int64_t first, int64_t n,
                      float *g, float *h);
    double (*loss)(const qn__objective_data *data, const double *score); /* mean, weighted */
    /* Value of a leaf from residuals instead of gradients; NULL: Newton's. The quantile asked
     * for. */
    double (*renew_quantile)(const qn_gbdt_params *params);
    /* Bounds of |g| and h of a row of weight 1, for objectives of one output; 0: there are none. */
    float most_g, most_h;
    /* Of all rows, for objectives of rows that do not stand alone. */
    void (*all_gradients)(const qn__objective_data *data, const double *score, float *g, float *h);
} qn__objective;

extern const char *const qn__objective_names[]; /* "auto" first; NULL-terminated */
extern const char *const qn__objective_choices[]; /* those that can be asked for, aliases at the end */
/* "auto": by task, and lambdarank for rows of queries. */
qn_status qn__objective_find(const char *name, qn_task task, bool has_queries,
                             const qn__objective **ret, qn_error *err) QN_MUST_USE;

/* For gradients that the caller works out (qn_fit_input.gradients), by task; its loss is that of the
 * task. */
const qn__objective *qn__objective_custom(qn_task task);
typedef struct qn__custom {
    double *raw, *g, *h;  /* owned; [n][n_outputs]; raw NULL for one output */
} qn__custom;
qn_status qn__custom_init(qn__custom *custom, int64_t n, int32_t n_outputs,
                          qn_error *err) QN_MUST_USE;
void qn__custom_done(qn__custom *custom);
/* QN_ERR_DATA for numbers that trees cannot grow on; what the caller's function returns. */
qn_status qn__custom_gradients(const qn__custom *custom, const qn_fit_input *input,
                               const qn__objective_data *data, const double *score, int64_t round,
                               float *g, float *h, qn_error *err) QN_MUST_USE;

/* Whether a value is one that the objective can learn; QN_ERR_DATA says which are. */
qn_status qn__objective_check_target(const qn__objective *objective, double y,
                                     qn_error *err) QN_MUST_USE;

/* ---- weights and values of leaves --------------------------------------------------------------- */

/* Sample weight x class weight of n rows; left alone when all are 1. */
qn_status qn__weights_make(const qn_gbdt_params *params, const qn_fit_data *data, int64_t n,
                           qn_task task, int32_t n_classes, double **ret_weight,
                           qn_error *err) QN_MUST_USE;
/* A step of a leaf before shrinkage, bounded where scores are log odds. */
double qn__within_steps(qn_link link, double value);
/* The value of a leaf of these rows in place of Newton's, for objectives with a renew_quantile: that
 * quantile of what the scores leave of the targets. items[n] is scratch. */
typedef struct qn__residual {
    double value, weight;
} qn__residual;
double qn__renewed(const qn__objective *objective, const qn__objective_data *data,
                   const double *score, const uint32_t *rows, int64_t n, qn__residual *items);

/* ---- early stopping -------------------------------------------------------------------------- */

enum { QN__STRETCHES_MAX = 64 };

/* What every round lost on the validation rows, whole and without each stretch of time. Empty
 * (n_stretches 0) when stopping goes by the best round alone. */
typedef struct qn__stopping {
    int32_t n_stretches;
    int64_t *begin;      /* owned; n_stretches + 1: the rows of a stretch in the arrays below */
    int64_t *rows;       /* owned; validation rows by stretch */
    double *y, *w;       /* owned; theirs; w NULL: all 1 */
    double *score;       /* owned; scratch for the scores of a stretch */
    double *loss;        /* owned; per round */
    double *without;     /* owned; [n_rounds][n_stretches] */
    int64_t n_rounds, cap_rounds;
} qn__stopping;

void qn__stopping_done(qn__stopping *stopping);
/* Stays empty unless the input has stretches and the parameters ask for their use. */
qn_status qn__stopping_init(qn__stopping *stopping, const qn_gbdt_params *params,
                            const qn_fit_input *input, const qn__objective_data *valid,
                            qn_error *err) QN_MUST_USE;
/* The objective's loss of all validation rows; without[n_stretches]: that of all but a stretch. */
double qn__stopping_loss(const qn__stopping *stopping, const qn__objective *objective,
                         const qn__objective_data *valid, const double *score, double *without);
qn_status qn__stopping_add(qn__stopping *stopping, double loss, const double *without,
                           qn_error *err) QN_MUST_USE;
/* How many rounds to keep when best_round (counted from 1) has the least loss: from `patience` on
 * towards best_round, the first that is within n_errors standard errors of it. */
int32_t qn__stopping_pick(const qn__stopping *stopping, int32_t best_round, int64_t patience,
                          double n_errors);

/* What is watched on the validation rows: one loss, or the input's metrics. */
typedef struct qn__watch {
    const qn_gbdt_params *params; /* borrowed, as the input */
    const qn_fit_input *input;
    int32_t n;
    double now[QN_FIT_METRICS_MAX], best[QN_FIT_METRICS_MAX];
    int32_t best_round[QN_FIT_METRICS_MAX]; /* counted from 1; 0: never defined */
    int32_t stopped_by;   /* -1: none yet */
    double started_s;
} qn__watch;

qn_status qn__watch_init(qn__watch *watch, const qn_gbdt_params *params, const qn_fit_input *input,
                         qn_error *err) QN_MUST_USE;
/* Takes the values of a round (counted from 0); true when it is time to stop. */
bool qn__watch_round(qn__watch *watch, int64_t round, const double *values);
/* The best round of the metric that stopped, or else of the first; 0: there is none. */
int32_t qn__watch_best(const qn__watch *watch);
/* "round 12: best loss 0.41 in round 9; 3 s to 20 s left" */
void qn__watch_note(const qn__watch *watch, int64_t round, char *text, size_t size);

/* The gains of all splits in the order in which they were made: the rounds that are kept are only
 * known at the end. */
typedef struct qn__gain {
    int32_t round, column;
    double gain;
} qn__gain;

typedef struct qn__gain_log {
    qn__gain *splits; /* owned */
    int64_t n, cap;
} qn__gain_log;

void qn__gain_log_done(qn__gain_log *log);
qn_status qn__gain_log_add(qn__gain_log *log, int64_t round, int32_t column, double gain,
                           qn_error *err) QN_MUST_USE;
/* Adds the gains of the first n_rounds to gain[n_columns]. */
void qn__gain_log_sum(const qn__gain_log *log, int64_t n_rounds, double *gain);

/* ---- a growing model ------------------------------------------------------------------------- */

/* Node slots hold matrix columns until qn__model_finish. */
typedef struct qn__model_builder {
    qn__plain plain;
    int64_t first_nodes;  /* room to begin with: doubling what is large leaves holes in memory */
    int64_t cap_nodes, cap_words;
    int32_t cap_trees;
} qn__model_builder;

qn_status qn__model_add(qn__model_builder *builder, const qn__bin_map *map,
                        const qn__grown_node *nodes, int32_t n_nodes, qn_error *err) QN_MUST_USE;
/* Drops trees beyond n_trees, numbers the features used and packs. gain[n_columns],
 * bins[n_columns], features[n_columns]. */
qn_status qn__model_finish(qn__model_builder *builder, int32_t n_trees, const double *gain,
                           const uint64_t *bins, const qn_feature *features,
                           qn_learner **ret_learner, qn_error *err) QN_MUST_USE;
void qn__model_builder_done(qn__model_builder *builder);

/* ---- initial scores ---------------------------------------------------------------------------- */

qn_status qn__init_check(const qn_fit_input *input, qn_error *err) QN_MUST_USE;
/* Whether a column of the matrix holds one, and so is not learnt from. */
bool qn__init_has(const qn_fit_input *input, int32_t column);
/* Whether the model has the input's. */
bool qn__init_same(const qn_fit_input *input, const qn__gbdt *m);
qn_status qn__init_take(const qn_fit_input *input, qn__plain *plain, qn_error *err) QN_MUST_USE;
/* score[n_outputs][n] += those of the rows of x, as its first x->n_rows; missing ones add nothing. */
void qn__init_add(const qn__plain *plain, const qn_matrix *x, int64_t n, double *score);

/* ---- going on from a model ------------------------------------------------------------------- */

/* Whether the input may go on from it. */
qn_status qn__warm_check(const qn_learner *from, const qn_fit_input *input,
                         const qn__objective *objective, qn_error *err) QN_MUST_USE;
/* Its trees into an empty builder; gain[n_columns] and bins[n_columns] grow by what they had. */
qn_status qn__warm_trees(const qn_learner *from, qn__model_builder *builder, double *gain,
                         uint64_t *bins, qn_error *err) QN_MUST_USE;
void qn__warm_costs(const qn_learner *from, const qn__bin_map *map, qn__costs *costs);
/* Its raw scores: score[n_outputs][n_rows]. */
qn_status qn__warm_scores(const qn_learner *from, const qn_matrix *x, int n_threads, double *score,
                          qn_error *err) QN_MUST_USE;

/* ---- the fit --------------------------------------------------------------------------------- */

/* As qn_family.fit. */
qn_status qn__gbdt_fit(const void *params, const qn_fit_input *input, const qn_job *job,
                       qn_learner **ret_learner, qn_error *err) QN_MUST_USE;

#endif
