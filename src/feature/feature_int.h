/* feature_int.h - the contract between the pipeline and its transforms.
 *
 * A pipeline is a list of chains. A chain starts from one input column (a cross: from several) and
 * runs through levels of transforms; a transform with several outputs gives each of them to the
 * next level.
 *
 *     input values --> node --> values --> node --> leaf values = features
 *
 * A transform is one table of functions in a file of its own and one line of transforms.c. */
#ifndef QN_FEATURE_INT_H
#define QN_FEATURE_INT_H

#include "base/hash.h"
#include "base/param.h"
#include "feature/pipeline.h"

/* What flows through a chain. */
enum {
    QN__NUMBER = 1,   /* double, NaN = missing, never infinite */
    QN__CATEGORY = 2, /* code into a dictionary, -1 = missing or unseen */
    QN__TEXT = 4,     /* a view of a TEXT column of the frame */
    QN__TIME = 8,     /* microseconds UTC, QN__NO_TIME = missing */
    QN__SPARSE = 16,  /* a block of mostly-zero features, row by row */
};

#define QN__NO_TIME INT64_MIN
/* Where an arithmetic result would be infinite, it is this (with its sign). */
#define QN__HUGE 1e300

typedef struct qn__values {
    unsigned kind;
    int64_t n_rows;
    double *num;             /* NUMBER; 64-byte aligned */
    int64_t *time_us;        /* TIME */
    int32_t *code;           /* CATEGORY */
    const qn_dict *dict;     /* CATEGORY: borrowed from the frame, the state, or own_dict */
    qn_dict *own_dict;       /* owned */
    const qn_column *column; /* TEXT: borrowed */
    const int64_t *rows;     /* TEXT: borrowed; NULL for all */
    int64_t *start;          /* SPARSE: row i holds items start[i] .. start[i + 1] - 1 */
    int32_t *feature;        /* SPARSE: feature within the block, ascending within a row */
    double *weight;          /* SPARSE */
    bool borrowed;           /* num or code belongs to the matrix */
} qn__values;

typedef struct qn__transform qn__transform;

/* The fitted state every transform's own struct begins with. */
typedef struct qn__state {
    const qn__transform *transform;
    void *params;       /* owned; transform->params_bytes */
    json_t *list;       /* owned; the list parameter, or NULL */
    unsigned in_kind;
    int32_t n_out;      /* values it gives */
    int32_t n_sparse;   /* features of the block, for SPARSE */
} qn__state;

/* What fitting may look at, beside the values of the training rows. */
typedef struct qn__fit {
    const double *y;               /* borrowed; NULL when there is none */
    const qn_target_info *target;  /* borrowed; may be NULL */
    uint64_t seed;
} qn__fit;

struct qn__transform {
    const char *name;
    const char *aliases;      /* other accepted names, "a b"; NULL for none */
    const char *help;         /* one phrase */
    unsigned accepts;         /* kinds */
    unsigned gives;           /* its kind of output; 0: the kind it was given */
    bool fills;               /* its output is never missing */
    bool keeps;               /* its output is not missing where its input is not */
    bool many;                /* takes all columns of its step together */
    const qn_param *params;
    size_t n_params, params_bytes;
    const char *main_param;   /* what {"name": value} sets; NULL for none */
    const char *list_param;   /* a parameter that is a list of texts; NULL for none */
    size_t state_bytes;
    /* The kind of output when parameters decide it; NULL: `gives`. */
    unsigned (*kind)(const void *params, unsigned in_kind);
    /* Checks the list parameter; NULL when any texts will do. */
    qn_status (*check)(const void *params, const json_t *list, qn_error *err);
    /* Fits `state` (zeroed but for the common part) and sets n_out. */
    qn_status (*fit)(qn__state *state, const qn__values *in, int32_t n_in, const qn__fit *fit,
                     qn_error *err);
    /* Fills out[n_out], whose kind and n_rows are set. */
    qn_status (*apply)(const qn__state *state, const qn__values *in, int32_t n_in, qn__values *out,
                       qn_error *err);
    /* What the training rows get where that differs (out-of-fold); NULL: apply. */
    qn_status (*apply_train)(const qn__state *state, const qn__values *in, int32_t n_in,
                             const qn__fit *fit, qn__values *out, qn_error *err);
    void (*save)(const qn__state *state, qn_buf *out);
    /* From untrusted bytes; sets n_out (and n_sparse). */
    qn_status (*load)(qn__state *state, qn_reader *reader, qn_error *err);
    /* Appends the name of output i (item i of the block for SPARSE) of the value called `in`. */
    void (*name_out)(const qn__state *state, const char *in, int32_t i, qn_buf *out);
    /* CATEGORY output: its dictionary. Borrowed. */
    const qn_dict *(*dict)(const qn__state *state);
    void (*done)(qn__state *state);
};

/* By name or alias; *ret_main is set to the value an alias stands for ("standard" of scale) or
 * NULL. */
const qn__transform *qn__transform_find(const char *name, const char **ret_main);
qn_status qn__transform_unknown(const char *name, qn_error *err) QN_MUST_USE;
/* "a number", "text", ... */
const char *qn__kind_name(unsigned kind);
/* Appends the names of the transforms that accept `kind`, separated by commas. */
void qn__transforms_for(unsigned kind, qn_buf *out);
unsigned qn__kind_of_type(qn_type type);
unsigned qn__kind_out(const qn__transform *transform, const void *params, unsigned in_kind);

/* A transform with its parameters, as written in a spec. */
typedef struct qn__item {
    const qn__transform *transform;
    void *params; /* owned */
    json_t *list; /* owned; may be NULL */
} qn__item;

typedef struct qn__step {
    char **columns; /* owned */
    int32_t n_columns;
    qn__item *items; /* owned */
    int32_t n_items;
    bool automatic;  /* chosen by us: constant columns may be left out */
    char *note;      /* owned; why, or NULL */
} qn__step;

struct qn_pipeline_spec {
    qn__step *steps; /* owned */
    int32_t n_steps;
    unsigned takes;
};

void qn__item_done(qn__item *item);
qn_status qn__item_from_json(const json_t *json, qn__item *ret_item, qn_error *err) QN_MUST_USE;
json_t *qn__item_to_json(const qn__item *item);
/* A new empty step of one column at the end of the spec. */
qn_status qn__spec_add_step(qn_pipeline_spec *spec, const char *column, qn__step **ret_step,
                            qn_error *err) QN_MUST_USE;
/* Appends a transform by its JSON text: "\"standard\"" or "{\"impute\": \"median\"}". */
qn_status qn__step_add(qn__step *step, const char *json_text, qn_error *err) QN_MUST_USE;
/* Appends the steps of the automatic choice for one column. */
qn_status qn__auto_column(qn_pipeline_spec *spec, const qn_column *column, qn_error *err)
    QN_MUST_USE;
/* Appends what turns a value of `kind` into something the family takes. */
qn_status qn__auto_adapt(qn__step *step, unsigned kind, bool filled, unsigned takes,
                         qn_error *err) QN_MUST_USE;

/* One node: a fitted transform with the values it reads and makes (numbers within the chain). */
typedef struct qn__node {
    qn__state *state; /* owned */
    int32_t i_in;     /* its first input value; a `many` transform reads all inputs of the chain */
    int32_t i_out;    /* its first output value */
} qn__node;

typedef struct qn__chain {
    int32_t n_inputs;
    int32_t *inputs;  /* owned; pipeline inputs; values 0 .. n_inputs - 1 of the chain */
    int32_t n_nodes;
    qn__node *nodes;  /* owned */
    int32_t n_values;
    unsigned *kinds;  /* owned; kind of each value */
    uint8_t *leaf;    /* owned; values nobody reads: features */
    int32_t i_feature, n_features;
} qn__chain;

/* What was seen of an input column in the training rows. */
typedef struct qn__seen {
    int64_t n_rows, n_missing;
    double low, high;  /* finite range; 0, 0 when there is none */
    qn_dict *top;      /* owned; most frequent categories; NULL for other types */
    bool constant;     /* one value everywhere, or nothing at all */
} qn__seen;

struct qn_pipeline {
    qn_schema inputs;
    qn__seen *seen;    /* owned; per input */
    int32_t n_chains;
    qn__chain *chains; /* owned */
    bool dense;        /* sparse blocks become NUMERIC columns */
    int32_t n_features;
    qn_feature *features; /* owned */
    int32_t n_dropped;
    char **dropped;    /* owned; automatic columns that were constant in the training rows */
};

void qn__chain_done(qn__chain *chain);
/* Fills features[], chain offsets and names. */
qn_status qn__pipeline_finish(qn_pipeline *pipeline, qn_error *err) QN_MUST_USE;
/* n_values, kinds and leaves from nodes whose states are fitted or loaded; checks every index. */
qn_status qn__chain_wire(qn__chain *chain, const unsigned *input_kinds, qn_error *err) QN_MUST_USE;
qn__state *qn__state_new(const qn__item *item, unsigned in_kind);
void qn__state_free(qn__state **state);

/* --- values --- */

void qn__values_done(qn__values *values);
/* Values of a frame column for the given rows; `seen` says what infinite numbers become. When
 * `num` is not NULL numbers are written there. */
qn_status qn__values_gather(const qn_column *column, const int64_t *rows, int64_t n_rows,
                            const qn__seen *seen, double *num, qn__values *ret, qn_error *err)
    QN_MUST_USE;
/* Space for the output, unless the matrix gave some. NULL when memory is short. */
double *qn__out_numbers(qn__values *out);
int32_t *qn__out_codes(qn__values *out);
/* The same values as categories: CATEGORY itself (borrowed), or a dictionary of the texts of
 * numbers and TEXT (missing: -1). */
qn_status qn__as_category(const qn__values *in, qn__values *ret, qn_error *err) QN_MUST_USE;
/* TEXT or CATEGORY of row i; NULL when missing. */
const char *qn__value_text(const qn__values *values, int64_t i, size_t *ret_bytes);

/* Categories of the training rows, by falling count, then by their bytes: the order does not depend
 * on the frame's dictionary. */
typedef struct qn__count {
    int32_t code;
    int64_t n;
    const char *text; /* borrowed from the dictionary */
    size_t bytes;
} qn__count;

qn_status qn__count_categories(const qn__values *in, qn__count **ret_counts, int32_t *ret_n,
                               qn_error *err) QN_MUST_USE;
/* A dictionary of the first n. NULL when memory is short. */
qn_dict *qn__counts_dict(const qn__count *counts, int32_t n);
/* code of each row in `dict`: -1 for what is not there, -2 for missing. One look-up per row or per
 * dictionary entry, whichever is fewer. */
qn_status qn__map_codes(const qn__values *in, const qn_dict *dict, int32_t *codes, qn_error *err)
    QN_MUST_USE;

/* --- saving and loading --- */

void qn__put_text(qn_buf *out, const char *text, size_t n);
void qn__put_dict(qn_buf *out, const qn_dict *dict);
void qn__put_numbers(qn_buf *out, const double *x, int64_t n);
qn_status qn__damaged(qn_error *err);
/* A count of things of at least item_bytes each that can still be in the reader, at most `max`. */
qn_status qn__read_count(qn_reader *reader, size_t item_bytes, int64_t max, int64_t *ret,
                         qn_error *err) QN_MUST_USE;
qn_status qn__read_text(qn_reader *reader, char **ret, size_t *ret_bytes, qn_error *err)
    QN_MUST_USE;
qn_status qn__read_dict(qn_reader *reader, qn_dict **ret, qn_error *err) QN_MUST_USE;
/* n numbers, all finite. */
qn_status qn__read_numbers(qn_reader *reader, int64_t n, double **ret, qn_error *err) QN_MUST_USE;
qn_status qn__read_finite(qn_reader *reader, double *ret, qn_error *err) QN_MUST_USE;

/* --- numbers --- */

/* The numbers that are there, ascending; *ret owned by the caller. */
qn_status qn__sorted(const double *x, int64_t n, double **ret, int64_t *ret_n, qn_error *err)
    QN_MUST_USE;
/* Linear interpolation between order statistics (Hyndman & Fan type 7); n > 0. */
double qn__quantile(const double *sorted, int64_t n, double q);
/* Inverse of the standard normal distribution function (Wichura 1988, AS 241); 0 < p < 1. */
double qn__normal_quantile(double p);
void qn__sort_numbers(double *x, int64_t n);

static inline double qn__finite(double x) {
    return x > QN__HUGE ? QN__HUGE : x < -QN__HUGE ? -QN__HUGE : x;
}

/* "in" + suffix, for transforms with one output per input. */
void qn__name_same(const qn__state *state, const char *in, int32_t i, qn_buf *out);

#endif
