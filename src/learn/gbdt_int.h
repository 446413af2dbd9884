/* gbdt_int.h - the parts of the tree engine and what they hand each other:
 *
 *   gbdt_bin    matrix -> bin map                 gbdt_objective  scores -> gradients, leaf renewal
 *   gbdt_rows   matrix, bin map -> bins           gbdt_quant      gradients -> integers
 *   gbdt_hist   bins, rows -> histograms          gbdt_split      histogram -> best split of a leaf
 *   gbdt_part   rows of a leaf -> of its children gbdt_tree       grows one tree leaf-wise
 *   gbdt        the boosting rounds, the family table
 *   gbdt_model  the fitted model                  gbdt_predict, gbdt_shap, gbdt_io   its uses
 */
#ifndef QN_LEARN_GBDT_INT_H
#define QN_LEARN_GBDT_INT_H

#include "base/mem.h"
#include "learn/gbdt.h"

/* Below so many steps of about a nanosecond a loop stays on one thread: waking the others, and
 * waiting for one that has to wait for a processor itself, costs more than it brings. */
enum { QN__WORTH_THREADS = 1 << 18 };

/* Loops compiled once for each width of vectors; the widest that the processor has is run. They give
 * the same bits: no sums change their order, no products are fused. */
#if defined(__x86_64__)
#define QN__WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define QN__WIDE
#endif

/* ---- bins ------------------------------------------------------------------------------------ */

enum {
    QN__GROUP = 32,        /* lanes counted in one pass: a row is read while their cells are in cache */
    QN__LANE_CELLS = 256,  /* of a lane of one byte */
    QN__PACK_ROWS = 2048,  /* fewer rows than this and unpacking costs more than packing saves */
    QN__CAT_BINS = 1024,   /* most bins of a category feature; bin 0 is "missing, rare or unseen" */
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
    int32_t n_categories;
    int32_t *code_bin;    /* owned; n_categories: bin of a code */
    int32_t zero_bin;     /* SPARSE: bin of the entries that are not stored */
    int32_t lane;         /* dense: its place; SPARSE: -1 */
    int32_t unit;         /* dense: what bin 1 adds to the lane */
    int64_t cell;         /* its first histogram cell */
} qn__bin_feature;

/* One byte of a binned row (wide maps: two). It holds the bin of one feature, or those of several
 * with few bins as the digits of one number: counting the number counts them all. */
typedef struct qn__lane {
    int32_t first, n_features; /* in qn__bin_map.by_lane */
    int32_t n_values;          /* of the number */
    int64_t cell;              /* where the lane is counted, among all lanes' cells */
} qn__lane;

/* Features with at least two bins, dense ones first. */
typedef struct qn__bin_map {
    int32_t n_features;
    qn__bin_feature *features; /* owned */
    int32_t n_dense, n_lanes;
    qn__lane *lanes;           /* owned */
    int32_t *by_lane;          /* owned; n_dense: features in order of their lanes */
    int64_t n_cells, dense_cells; /* cells of all features, and of the dense ones (which come first) */
    int64_t lane_cells;        /* cells of all lanes: QN__LANE_CELLS each unless the map is wide */
    bool wide;                 /* bins are uint16_t, not uint8_t */
} qn__bin_map;

/* Binned rows, twice: row by row for counting (all lanes of a row on one or two cache lines), lane
 * by lane for partitioning (one lane of all rows fits the second-level cache longer). Sparse:
 * entries of row i are entry[start[i]] .. entry[start[i + 1] - 1], each the histogram cell of a
 * stored value, ascending. */
typedef struct qn__bins {
    int64_t n_rows;
    int32_t stride;   /* bins from one row to the next: a power of two up to 64, so that few rows
                         straddle cache lines */
    void *rows;       /* owned; [n_rows][stride] */
    void *columns;    /* owned; [n_lanes][column_stride]; NULL where nothing is to be partitioned */
    int64_t column_stride;
    int64_t *start;   /* owned; n_rows + 1; NULL without sparse features */
    uint32_t *entry;  /* owned */
} qn__bins;

qn_status qn__bin_map_fit(const qn_gbdt_params *params, const qn_matrix *x, uint64_t seed,
                          const qn_job *job, qn__bin_map *ret_map, qn_error *err) QN_MUST_USE;
void qn__bin_map_done(qn__bin_map *map);
/* Drops features without bins and gives the others their lanes and cells; the end of a fit. */
qn_status qn__bin_map_place(qn__bin_map *map, bool pack, qn_error *err) QN_MUST_USE;
/* The bin of a number (NaN: n_values). */
int32_t qn__bin_of(const qn__bin_feature *feature, double x);
/* The same for n of them, many searches side by side. */
void qn__bins_of(const qn__bin_feature *feature, const double *x, int64_t n, int32_t *bin);
/* with_columns: also lane by lane. */
qn_status qn__bins_fill(const qn__bin_map *map, const qn_matrix *x, bool with_columns,
                        const qn_job *job, qn__bins *ret_bins, qn_error *err) QN_MUST_USE;
void qn__bins_done(qn__bins *bins);
/* Asks for large pages for an array about to be filled and then read out of order. */
void qn__huge_pages(void *array, size_t bytes);
/* The digit of a feature in the number of its lane. */
static inline int32_t qn__lane_bin(const qn__bin_map *map, const qn__bin_feature *f, int32_t value) {
    return map->lanes[f->lane].n_features == 1 ? value : value / f->unit % f->n_cells;
}
/* The bin of one row in one feature. */
static inline int32_t qn__bins_at(const qn__bin_map *map, const qn__bins *bins,
                                  const qn__bin_feature *f, int64_t row) {
    if (f->lane >= 0) {
        size_t at = (size_t)row * (size_t)bins->stride + (size_t)f->lane;
        return qn__lane_bin(map, f, map->wide ? ((const uint16_t *)bins->rows)[at]
                                              : ((const uint8_t *)bins->rows)[at]);
    }
    for (int64_t k = bins->start[row]; k < bins->start[row + 1]; k++)
        if (bins->entry[k] >= (uint64_t)f->cell)
            return bins->entry[k] < (uint64_t)(f->cell + f->n_cells)
                       ? (int32_t)(bins->entry[k] - (uint64_t)f->cell) : f->zero_bin;
    return f->zero_bin;
}

/* ---- histograms ------------------------------------------------------------------------------ */

/* Gradient and hessian of a row as integers of 16 bits in one word: (g << 16) + h. Sums of integers
 * do not depend on their order, which is what makes models independent of the number of threads. A
 * cell of a histogram of at most block_rows rows is one 64-bit word, (g << 32) + h ("packed");
 * larger ones hold two int64_t ("wide"). */
typedef struct qn__sum {
    int64_t g, h;
} qn__sum;

typedef struct qn__quantised {
    int32_t *gh;          /* n_rows */
    qn__sum total;        /* of all rows */
    int64_t block_rows;   /* so many rows fit in packed cells */
    double g_unit, h_unit; /* what 1 stands for */
} qn__quantised;

/* The largest |g| and the largest h; NaN counts as nothing. */
typedef struct qn__range {
    float g, h;
} qn__range;

void qn__range_add(qn__range *range, const float *g, const float *h, int64_t n);
/* Stochastic rounding by a hash of (seed, row): without bias even for gradients far below the
 * largest. Fills q->gh, which the caller provides. */
void qn__quantise(const float *g, const float *h, int64_t n, qn__range range, uint64_t seed,
                  int n_threads, qn__quantised *q);

typedef struct qn__hist {
    bool wide;
    union {
        int64_t *packed;  /* n_cells */
        qn__sum *sums;    /* n_cells */
    };
} qn__hist;

static inline qn__sum qn__unpack(int64_t word) {
    return (qn__sum){.g = word >> 32, .h = (int64_t)(uint32_t)word};
}
static inline qn__sum qn__row_sum(int32_t gh) {
    return (qn__sum){.g = gh >> 16, .h = (int64_t)(uint16_t)gh};
}
static inline qn__sum qn__hist_at(const qn__hist *hist, int64_t cell) {
    return hist->wide ? hist->sums[cell] : qn__unpack(hist->packed[cell]);
}

/* Where rows are counted, by thread: lanes (then sparse features) in packed cells, and the wide
 * cells that these are emptied into before they overflow. All zero between uses. */
typedef struct qn__hist_scratch {
    int n_threads;
    int64_t n_cells;
    int64_t **block;      /* owned; per thread */
    qn__sum **part;       /* owned; per thread */
} qn__hist_scratch;

qn_status qn__hist_scratch_init(qn__hist_scratch *scratch, const qn__bin_map *map, int n_threads,
                                qn_error *err) QN_MUST_USE;
void qn__hist_scratch_done(qn__hist_scratch *scratch);

/* What is counted: rows (NULL: 0 .. n - 1) with their gradients, gh[i] being that of rows[i]. */
typedef struct qn__hist_input {
    const qn__bin_map *map;
    const qn__bins *bins;
    const uint32_t *rows;
    const int32_t *gh;
    int64_t n, block_rows;
    qn__sum total;            /* of all rows */
    const bool *group_used;   /* groups of lanes to skip are false; NULL: count all */
} qn__hist_input;

/* Fills `hist` (its memory and width set by the caller; packed only up to block_rows rows). Either
 * alone, as thread `thread` of `scratch`, or (thread -1) with all its threads. */
void qn__hist_build(const qn__hist_input *input, qn__hist_scratch *scratch, int thread,
                    qn__hist *hist);
/* The same, one row and one feature at a time: what the fast one is tested against. */
void qn__hist_build_ref(const qn__hist_input *input, qn__sum *sums);
/* large = parent - small, in place of the parent's memory; `wide` is how `large` is to be
 * stored. */
void qn__hist_subtract(qn__hist *parent, const qn__hist *small, int64_t n_cells, bool wide);
static inline int32_t qn__n_groups(const qn__bin_map *map) {
    return (map->n_lanes + QN__GROUP - 1) / QN__GROUP;
}
/* The first lane of a group; groups are of about equal size. */
static inline int32_t qn__group_lane(const qn__bin_map *map, int32_t group) {
    return (int32_t)((int64_t)group * map->n_lanes / qn__n_groups(map));
}

/* ---- splits ---------------------------------------------------------------------------------- */

typedef struct qn__split {
    double gain;          /* loss reduction; meaningful when feature >= 0 */
    int32_t feature;      /* index in the bin map; -1: none */
    int32_t bin;          /* numbers: last bin on the left */
    bool is_category, is_sorted, missing_left;
    qn__sum left;
    uint32_t set[QN__CAT_WORDS]; /* categories: bins on the left */
} qn__split;

/* What a leaf brings to the search. */
typedef struct qn__split_input {
    const qn_gbdt_params *params;
    const qn__bin_map *map;
    const qn__hist *hist;
    qn__sum total;
    int64_t n_rows;
    double g_unit, h_unit;
} qn__split_input;

/* scratch: qn__split_scratch_len(map) doubles. */
size_t qn__split_scratch_len(const qn__bin_map *map);
void qn__split_find(const qn__split_input *input, int32_t i_feature, double *scratch,
                    qn__split *ret_split);
/* Plain search over all thresholds and both sides for missing; numbers only. */
void qn__split_find_ref(const qn__split_input *input, int32_t i_feature, qn__split *ret_split);
static inline bool qn__split_goes_left(const qn__split *split, const qn__bin_feature *f,
                                       int32_t bin) {
    if (split->is_category)
        return split->set[bin >> 5] >> (bin & 31) & 1;
    return bin == f->n_values ? split->missing_left : bin <= split->bin;
}

/* ---- trees in training ----------------------------------------------------------------------- */

/* Rows grouped by leaf, each group ascending, with their gradients beside them. */
typedef struct qn__row_list {
    uint32_t *rows;
    int32_t *gh;
} qn__row_list;

/* Rows of one node to be divided: `list` from its first row on; `spare` has room for as many. */
typedef struct qn__partition_input {
    const qn__bin_map *map;
    const qn__bins *bins;
    qn__row_list list, spare;
    int64_t n;
    bool all;             /* rows 0 .. n - 1: list.rows need not be filled */
} qn__partition_input;

enum { QN__PARTITION_BLOCK = 1 << 14 };

typedef struct qn__partition_scratch {
    int n_threads;
    uint8_t *goes_left;   /* 65536: by value of a lane */
    int64_t *n_left;      /* n / QN__PARTITION_BLOCK + 2 */
    qn__row_list blocks;  /* n_threads * QN__PARTITION_BLOCK */
} qn__partition_scratch;

/* Stable: both sides stay in order. Returns the number of rows on the left. goes_left is scratch of
 * 65536 bytes. */
int64_t qn__partition(const qn__partition_input *input, const qn__split *split, uint8_t *goes_left);
/* The same by all threads of `scratch`. */
int64_t qn__partition_together(const qn__partition_input *input, const qn__split *split,
                               const qn__partition_scratch *scratch);

typedef struct qn__grown_node {
    qn__split split;      /* feature -1: a leaf */
    int32_t left, right;
    int64_t begin, n;     /* leaf: its rows in qn__grower.rows */
    qn__sum total;        /* of its rows' quantised gradients */
    double l2;            /* leaf: regularisation of its value */
    double value;         /* leaf */
} qn__grown_node;

typedef struct qn__grower qn__grower;

qn_status qn__grower_new(const qn_gbdt_params *params, const qn__bin_map *map, const qn__bins *bins,
                         const qn_job *job, qn__grower **ret_grower, qn_error *err) QN_MUST_USE;
void qn__grower_free(qn__grower **grower);
/* Where the gradients of all rows may be put for qn__grower_run, which then copies nothing; it
 * leaves them in another order. */
int32_t *qn__grower_gradients(qn__grower *grower);
/* Grows one tree on `rows` (ascending, n; NULL: all). feature_used[n_features] may be NULL; `spare`
 * is scratch for n rows. The result stays valid until the next call. */
qn_status qn__grower_run(qn__grower *grower, const qn__quantised *q, const uint32_t *rows,
                         int64_t n, const bool *feature_used, qn__row_list spare,
                         qn_error *err) QN_MUST_USE;
qn__grown_node *qn__grower_nodes(qn__grower *grower, int32_t *ret_n);
const uint32_t *qn__grower_rows(const qn__grower *grower);
/* The leaf of one binned row. */
int32_t qn__grown_leaf(const qn__grown_node *nodes, const qn__bin_map *map, const qn__bins *bins,
                       int64_t row);

/* ---- objectives ------------------------------------------------------------------------------ */

typedef struct qn__objective_data {
    const qn_gbdt_params *params;
    const double *y;
    const double *w;      /* NULL: all 1 */
    int64_t n;
    int32_t n_outputs;
    int n_threads;
} qn__objective_data;

/* Rows that an objective is asked for at a time. */
enum { QN__GRADIENT_BLOCK = 1 << 10 };

/* One line of the table of objectives. Scores, gradients and hessians are [n_outputs][n]. */
typedef struct qn__objective {
    const char *name;
    qn_task task;
    qn_link link;
    double y_low;         /* smallest target allowed */
    bool y_open;          /* y_low itself is not */
    void (*init)(const qn__objective_data *data, double *base);
    /* Of rows first .. first + n - 1, n at most QN__GRADIENT_BLOCK. */
    void (*gradients)(const qn__objective_data *data, const double *score, int64_t first, int64_t n,
                      float *g, float *h);
    double (*loss)(const qn__objective_data *data, const double *score); /* mean, weighted */
    /* Value of a leaf from residuals instead of gradients; NULL: Newton's. The quantile asked
     * for. */
    double (*renew_quantile)(const qn_gbdt_params *params);
} qn__objective;

extern const char *const qn__objective_names[]; /* "auto" first; NULL-terminated */
qn_status qn__objective_find(const char *name, qn_task task, const qn__objective **ret,
                             qn_error *err) QN_MUST_USE;

/* ---- the model ------------------------------------------------------------------------------- */

/* Nodes of a tree in breadth-first order: the right child follows the left one. A leaf is its own
 * left child with threshold +inf and MISSING_LEFT, so that stepping from it stays. */
enum {
    QN__NODE_LEAF = 1u << 31,
    QN__NODE_CATEGORY = 1u << 30,
    QN__NODE_MISSING_LEFT = 1u << 29,
    QN__NODE_SLOT = (1u << 29) - 1,
};

typedef struct qn__gbdt_node {
    union {
        double threshold;              /* left when x <= threshold */
        struct {
            uint32_t first_word, n_words; /* left when the bit of the code is set */
        } set;
    };
    uint32_t slot_flags;
    uint32_t left;                     /* from the start of the tree */
} qn__gbdt_node;

typedef struct qn__gbdt {
    qn_learner learner;   /* first */
    int32_t n_trees;      /* rounds x n_outputs; tree i belongs to output i % n_outputs */
    int64_t *start;       /* owned; n_trees + 1 */
    int32_t *depth;       /* owned; n_trees: steps from the root to the deepest leaf */
    bool *has_sets;       /* owned; n_trees: some node splits by categories */
    qn__gbdt_node *nodes; /* owned */
    double *value;        /* owned; per node, 0 for inner ones */
    uint32_t *count;      /* owned; training rows per node */
    uint32_t *words;      /* owned; category sets */
    int64_t n_words;
    double *base;         /* owned; n_outputs */
    int32_t n_slots;      /* features that trees use */
    int32_t *slot_column; /* owned; ascending */
    double *slot_gain;    /* owned */
    uint64_t *slot_bins;  /* owned: bins the feature had */
    int32_t objective;    /* index into qn__objective_names */
    int32_t best_iteration;
} qn__gbdt;

/* Grows while trees are added; node slots hold matrix columns until qn__model_finish. */
typedef struct qn__model_builder {
    qn__gbdt *model;      /* owned */
    int64_t cap_nodes, cap_words;
    int32_t cap_trees;
} qn__model_builder;

qn_status qn__model_add(qn__model_builder *builder, const qn__bin_map *map,
                        const qn__grown_node *nodes, int32_t n_nodes, qn_error *err) QN_MUST_USE;
/* Drops trees beyond n_trees, numbers the features used. gain[n_columns], bins[n_columns]. */
qn_status qn__model_finish(qn__model_builder *builder, int32_t n_trees, const double *gain,
                           const uint64_t *bins, qn_error *err) QN_MUST_USE;
void qn__model_builder_done(qn__model_builder *builder);
void qn__gbdt_free(qn_learner *learner);

static inline bool qn__node_goes_right(const qn__gbdt_node *node, const uint32_t *words, double x) {
    if (node->slot_flags & QN__NODE_CATEGORY) {
        if (!(x >= 0 && x < 32.0 * node->set.n_words))
            return !(node->slot_flags & QN__NODE_MISSING_LEFT);
        uint32_t code = (uint32_t)x;
        return !(words[node->set.first_word + (code >> 5)] >> (code & 31) & 1);
    }
    return node->slot_flags & QN__NODE_MISSING_LEFT ? x > node->threshold : !(x <= node->threshold);
}

/* One value of a matrix as the nodes see it: codes as numbers, sparse zeros as 0. */
double qn__matrix_value(const qn_matrix *x, int32_t column, int64_t row);

void qn__gbdt_predict(const qn_learner *learner, const qn_matrix *x, int64_t first, int64_t n,
                      double *raw);
qn_status qn__gbdt_explain(const qn_learner *learner, const qn_matrix *x, int64_t first, int64_t n,
                           double *contrib, qn_error *err);
qn_status qn__gbdt_save(const qn_learner *learner, qn_buf *out, qn_error *err);
qn_status qn__gbdt_load(const void *bytes, size_t n, const qn_feature *features, int32_t n_features,
                        qn_learner **ret_learner, qn_error *err);

#endif
