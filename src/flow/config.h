/* config.h - quern.yaml, read once into a struct with every default filled in.
 *
 *     qn_config *config = NULL;
 *     QN_TRY(qn_config_read("fraud/quern.yaml", &config, err));
 *     printf("%s\n", config->task.target);
 *
 * One table of keys (config_table.c) drives parsing, checks, the resolved JSON that a run keeps,
 * the reference (docs/CONFIG.md) and the JSON Schema for editors. Unknown keys and wrong values are
 * QN_ERR_CONFIG naming the file, the line, what is allowed and the nearest known key:
 *     quern.yaml line 12: unknown key 'vaildate' under split: did you mean 'validate'?
 *
 * The bytes are untrusted: size, nesting and count are bounded by base/limits.h. */
#ifndef QN_FLOW_CONFIG_H
#define QN_FLOW_CONFIG_H

#include "base/buf.h"
#include "base/json.h"
#include "data/frame.h"
#include "data/target.h"

typedef struct qn_config_texts {
    char **items; /* owned, as are the texts */
    size_t n;
} qn_config_texts;

/* One entry of train.families. */
typedef struct qn_config_family {
    char *name;     /* owned: "gbdt" */
    json_t *params; /* owned: an object of plain values, {} when none are given */
    int64_t line;   /* of the file */
} qn_config_family;

enum { QN_CONFIG_KEYS_MAX = 96 };

/* All text is owned by the struct and UTF-8; `const char *` members point into static tables.
 * "NULL: ..." says what an absent key means. */
typedef struct qn_config {
    char *file;   /* as given to read, for messages: "fraud/quern.yaml" */
    char *folder; /* of the file: paths of `data` are relative to it; "." when it has none */

    char *project;     /* default: the name of the folder */
    int64_t seed;      /* 42 */
    int64_t threads;   /* 0: all processors */

    struct {
        char *target;      /* never NULL */
        const char *kind;  /* NULL: inferred; else "binary", "multiclass", "regression", "ranking" */
        char *positive;    /* NULL: chosen */
        char *query;       /* ranking: column of the query; else NULL */
    } task;

    struct {
        char *source;             /* never NULL; file or glob */
        char *test;               /* a separate test file; NULL: split.test of the source */
        char *query;              /* NULL: all of the source */
        char *time;               /* event time column; NULL: none */
        qn_config_texts init_score; /* columns added to raw scores: one, or one a class; none */
        qn_config_texts drop;     /* columns left out */
        qn_config_texts missing;  /* further texts that mean missing */
        char *delimiter;          /* NULL: found by looking; one character ("\t" for a tab) */
        char *quote;              /* NULL: found by looking */
        int header;               /* 1, 0, or -1: found by looking (as qn_source_options) */
        qn_schema types;          /* column types that the user states */
    } data;

    struct {
        double negatives; /* share of negatives kept, in (0, 1]; 1: all */
        int64_t rows;     /* at most this many rows, drawn at random; 0: all */
        char *weight;     /* weight column; NULL: none */
        int64_t seed;     /* default: `seed` */
    } sample;

    struct {
        const char *method; /* NULL: see qn_config_split_method; "random", "stratified", "time", "group" */
        double test;        /* share of rows, 0.2; 0 when data.test is given */
        double validate;    /* share of rows, 0.1 */
        char *group;        /* column; NULL: none; of a ranking task.query unless given */
        int64_t folds;      /* 0: no cross-validation, else >= 2 */
        int64_t seed;       /* default: `seed` */
    } split;

    json_t *features; /* owned; NULL: auto; else the list that qn_pipeline_spec_parse takes */

    struct {
        bool given;           /* false: no value is stated, the rest of the struct is NULL */
        char *currency;       /* "EUR"; NULL: none */
        char *true_positive;  /* expressions over columns, as text; "0" when absent but `given` */
        char *false_positive;
        char *false_negative;
        char *true_negative;
    } value;

    struct {
        qn_config_family *families; /* owned; default gbdt and linear */
        size_t n_families;
        char *metric;               /* NULL: the default of the task; else a metric's name or "value" */
        qn_config_texts early_stopping_metrics; /* names of metrics; none: metric, if it orders rows */
        char *init_model;           /* a file or a registered model; NULL: from scratch */
        double budget_s;            /* 0: none */
        const char *calibrate;      /* "auto" (default), "none", "platt", "isotonic" */
        const char *class_weight;   /* "none" (default), "balanced" */
        bool refit;                 /* true: the chosen family learns from validation rows too, at the end */
        struct {
            int64_t memory_bytes; /* 0: no limit */
            int64_t model_bytes;  /* 0: no limit */
            double row_us;        /* 0: no limit */
        } limits;
    } train;

    struct {
        int64_t bootstrap; /* resamples for the intervals; 200; 0: no intervals */
        bool slices;       /* true */
        bool importance;   /* true */
        bool dependence;   /* true */
    } evaluate;

    struct {
        char *name;        /* default: the project */
        char *alias;       /* "champion" */
        const char *when;  /* "better" (default), "always", "never" */
    } registry;            /* `register` in the file */

    int32_t line[QN_CONFIG_KEYS_MAX]; /* by table row: the line that gave the key, 0 for a default */
} qn_config;

/* Reads a file of at most QN_LIMIT_CONFIG_BYTES. QN_ERR_NOT_FOUND, QN_ERR_IO, QN_ERR_CONFIG. */
qn_status qn_config_read(const char *path, qn_config **ret_config, qn_error *err) QN_MUST_USE;
/* The same from bytes; `name` is the file's path for messages and for `folder`. */
qn_status qn_config_parse(const char *bytes, size_t n, const char *name, qn_config **ret_config,
                          qn_error *err) QN_MUST_USE;
void qn_config_free(qn_config **config);

/* Overrides one plain key ("seed", "train.budget") with a text, as `--seed 7` does; every check is
 * done again. On failure the config must not be used any more. QN_ERR_USAGE for an unknown key. */
qn_status qn_config_set(qn_config *config, const char *key, const char *text,
                        qn_error *err) QN_MUST_USE;

/* Whether rows are to be ordered within queries; the task is then a regression, of grades. */
bool qn_config_is_ranking(const qn_config *config);

/* How rows are split: split.method when it is given; else group when split.group is, time when
 * data.time is, stratified for classes, random for regression. */
const char *qn_config_split_method(const qn_config *config, qn_task task);

/* The checks that need the task (positive, value, sample.negatives, stratified, calibrate): done by
 * read when task.kind is given; to be called by the run once it has been inferred. */
qn_status qn_config_check_task(const qn_config *config, qn_task task, qn_error *err) QN_MUST_USE;

/* QN_ERR_CONFIG "FILE line N: KEY: TEXT" for trouble found later, as a column that is not there:
 * `key` is a dotted path ("data.time"). The line is left out when the key was not given. */
qn_status qn_config_error(const qn_config *config, const char *key, qn_error *err,
                          const char *format, ...) QN_PRINTF(4, 5);

/* The whole config with every default filled in; null where nothing is stated. New reference; NULL
 * when memory is short. Key order is the table's. */
json_t *qn_config_to_json(const qn_config *config);

/* The reference of quern.yaml as Markdown, and the JSON Schema for editors (new reference, NULL
 * when memory is short), both from the table. */
void qn_config_reference(qn_buf *out);
json_t *qn_config_schema(void);

#endif
