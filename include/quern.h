/* quern.h - answers from a model file (.qn) that `quern run` made, and models of trees made here.
 *
 *     #include <quern.h>
 *     #include <stdio.h>
 *
 *     int main(void) {
 *         qn_error err = {QN_OK};
 *         char *answer = NULL;
 *         if (qn_predict_once("fraud.qn", "{\"Amount\": 9.5, \"V1\": -1.3}", &answer, &err) != QN_OK)
 *             return fprintf(stderr, "%s\n", err.message), 1;
 *         puts(answer);                        // {"prediction": "0", "probability": 0.013}
 *         qn_text_free(&answer);
 *     }
 *
 *     cc hello.c $(pkg-config --cflags --libs quern)
 *
 * A ladder: one call; a model and many answers; rows, the fast path of one thread; Arrow; training. Each step
 * is faster or finer than the one above and asks more of you. Answers are the same on all of them,
 * to the bit, and the same that `quern predict` writes.
 *
 * Functions that can fail return a qn_status and fill a qn_error that you own; outputs (ret_) are
 * untouched on failure. x_free(x **) takes NULL, and sets your pointer to NULL. The library never
 * prints, exits or aborts, starts no thread unless asked, and runs nothing from a file. */
#ifndef QUERN_H
#define QUERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QN_VERSION_MAJOR 0
#define QN_VERSION_MINOR 1
#define QN_VERSION_PATCH 0

#ifdef __GNUC__
#define QN_API __attribute__((visibility("default")))
#define QN_MUST_USE __attribute__((warn_unused_result))
#else
#define QN_API
#define QN_MUST_USE
#endif

/* Of the library that runs: "0.1.0". Until 1.0 a new minor version may change this interface; the
 * library's soname then changes with it. */
QN_API const char *qn_version(void);

/* --- errors ----------------------------------------------------------------------------------- */

/* What you can do about it decides the code; the detail goes into the message. */
typedef enum qn_status {
    QN_OK = 0,
    QN_ERR_MEMORY,      /* an allocation failed: less data, more memory */
    QN_ERR_IO,          /* the system refused: permissions, space, the network */
    QN_ERR_NOT_FOUND,   /* the named file, model, run or column is not there */
    QN_ERR_EXISTS,      /* the name is taken */
    QN_ERR_USAGE,       /* an argument is wrong: fix the call or the command line */
    QN_ERR_CONFIG,      /* quern.yaml is wrong: fix it at the line given */
    QN_ERR_DATA,        /* the data is wrong: fix it at the row and column given */
    QN_ERR_FORMAT,      /* a file of ours is damaged or from a newer version; text is not JSON */
    QN_ERR_LIMIT,       /* a bound was hit: ask for less at once */
    QN_ERR_CANCELLED,   /* interrupted on request */
    QN_ERR_BUSY,        /* somebody else holds it: try again */
    QN_ERR_UNSUPPORTED, /* this build or this model cannot do that */
    QN_ERR_INTERNAL     /* a defect of Quern: report it */
} qn_status;

/* May be NULL wherever a function takes one. Never needs freeing; filled on failure only. */
typedef struct qn_error {
    qn_status code;
    int64_t row;        /* 1-based data row or line of the file; 0 when there is none */
    char file[256];     /* "" when there is none */
    char column[128];   /* "" when there is none */
    char message[1024]; /* the whole sentence, UTF-8: what, where, what to do */
} qn_error;

/* A short lower-case name of a code ("data", "config"). Never NULL. */
QN_API const char *qn_status_name(qn_status status);

/* --- one call --------------------------------------------------------------------------------- */

/* Opens the model, answers, closes it: for a script, or a first try. `json` is a row by the names of
 * the inputs, or a list of rows; *ret_json is the answer in the same shape:
 *     {"prediction": "yes", "probability": 0.83}                            binary
 *     {"prediction": "b", "probability_a": 0.1, "probability_b": 0.7, ...}  multiclass
 *     {"prediction": 41.5}                                                  regression
 * To be freed with qn_text_free. null is missing. */
QN_API qn_status qn_predict_once(const char *model_path, const char *json, char **ret_json,
                                 qn_error *err) QN_MUST_USE;
QN_API void qn_text_free(char **text);

/* --- a model ---------------------------------------------------------------------------------- */

/* Immutable: any number of threads may use one at the same time. */
typedef struct qn_model qn_model;

/* Maps the file, which must not change while the model is open (replace it by a rename). Errors:
 * QN_ERR_NOT_FOUND, QN_ERR_IO, QN_ERR_FORMAT (damaged, or from a newer Quern). */
QN_API qn_status qn_model_open(const char *path, qn_model **ret_model, qn_error *err) QN_MUST_USE;
/* The same from memory, which must outlive the model. */
QN_API qn_status qn_model_open_bytes(const void *bytes, size_t n, qn_model **ret_model,
                                     qn_error *err) QN_MUST_USE;
QN_API void qn_model_free(qn_model **model);

/* --- its signature: what it asks and what it says --------------------------------------------- */

typedef enum qn_task { QN_TASK_BINARY, QN_TASK_MULTICLASS, QN_TASK_REGRESSION } qn_task;

typedef enum qn_type {
    QN_TYPE_BOOL,
    QN_TYPE_I64,      /* whole number, 64 bits */
    QN_TYPE_F64,      /* number; may be infinite; NaN is missing */
    QN_TYPE_CATEGORY, /* one of few texts */
    QN_TYPE_TEXT,     /* free text */
    QN_TYPE_TIME      /* microseconds since 1970-01-01 UTC */
} qn_type;

typedef struct qn_input {
    const char *name;
    qn_type type;
    double missing_share;           /* of the training rows */
    double low, high;               /* smallest and largest finite value in training; NaN for
                                       CATEGORY and TEXT */
    int32_t n_categories;           /* CATEGORY: the commonest in training, at most 100 */
    const char *const *categories;
} qn_input;

typedef struct qn_signature {
    qn_task task;
    const char *target;             /* the column that is predicted */
    const char *family;             /* "gbdt", "linear", ... */
    int32_t n_inputs;               /* see qn_signature_input */
    int32_t n_outputs;              /* numbers per row: 1, or one per class (multiclass) */
    const char *const *outputs;     /* their names: "probability", "probability_CLASS", "prediction" */
    int32_t n_classes;              /* 2 for binary, 0 for regression */
    const char *const *classes;     /* binary: negative, positive */
    double threshold;               /* binary: positive when probability >= threshold */
} qn_signature;

/* A copy; does not need the model to live. */
QN_API qn_status qn_signature_new(const qn_model *model, qn_signature **ret_signature,
                                  qn_error *err) QN_MUST_USE;
QN_API void qn_signature_free(qn_signature **signature);
/* Input i, or NULL when there is none; as long-lived as the signature. */
QN_API const qn_input *qn_signature_input(const qn_signature *signature, int32_t i);
/* The number of the input of that name, or -1. */
QN_API int32_t qn_signature_find(const qn_signature *signature, const char *name);
/* "binary", "multiclass", "regression"; "bool", "integer", "number", "category", "text", "time". */
QN_API const char *qn_task_name(qn_task task);
QN_API const char *qn_type_name(qn_type type);

/* The same without a copy. */
QN_API int32_t qn_model_n_inputs(const qn_model *model);
QN_API int32_t qn_model_n_outputs(const qn_model *model);
QN_API double qn_model_threshold(const qn_model *model);
/* The class that one row's outputs mean: by the threshold for binary, the largest (the first of
 * equals) for multiclass. An index of `classes`; 0 for regression. */
QN_API int32_t qn_model_decide(const qn_model *model, const double *scores);

/* --- many rows at once ------------------------------------------------------------------------ */

/* NULL stands for QN_OPTIONS_INIT wherever options are asked for. */
typedef struct qn_options {
    size_t struct_bytes;    /* sizeof(qn_options): how later versions know what you know */
    int32_t n_threads;      /* 0: as many as there are processors */
    bool absent_is_missing; /* an input that is not named is missing; else QN_ERR_DATA */
    bool refuse_extra;      /* a name that the model does not know is QN_ERR_DATA; else ignored */
    bool explain;           /* JSON answers tell what each input added: see qn_rows_explain */
} qn_options;
#define QN_OPTIONS_INIT {sizeof(qn_options), 1, false, false, false}

/* values[n_rows][n_inputs], row-major, in the order of the signature, each as qn_rows_set_number
 * takes it: NaN is missing. scores[n_rows][n_outputs]: probabilities, or the value. */
QN_API qn_status qn_predict_numbers(const qn_model *model, const double *values, int64_t n_rows,
                                    const qn_options *options, double *scores,
                                    qn_error *err) QN_MUST_USE;
/* A row or a list of rows as JSON (n bytes of UTF-8), as for qn_predict_once; a row in a list may
 * also be a list of values in the order of the signature. *ret_json is to be freed with
 * qn_text_free. With options->explain every row also has
 *     "explanation": {"base": -1.2, "inputs": {"Amount": 0.4, ...}}     multiclass: a list of these */
QN_API qn_status qn_predict_json(const qn_model *model, const char *json, size_t n,
                                 const qn_options *options, char **ret_json,
                                 qn_error *err) QN_MUST_USE;

/* --- rows: one thread's fast path, and typed cells -------------------------------------------- */

/* Rows being filled. One thread at a time uses a qn_rows; any number of them may share a model,
 * which must outlive them. When all inputs go into the learner as they are (what trees are given:
 * numbers, and categories as such), a qn_rows that held as many rows before answers without
 * allocating.
 *
 *     qn_rows_clear(rows);                                        // per request; memory is kept
 *     if (qn_rows_add(rows, 1, &err) == QN_OK &&
 *         qn_rows_set_number(rows, 0, i_age, 41, &err) == QN_OK &&
 *         qn_rows_set_text(rows, 0, i_job, "clerk", 5, &err) == QN_OK &&
 *         qn_rows_predict(rows, scores, &err) == QN_OK) ... */
typedef struct qn_rows qn_rows;

QN_API qn_status qn_rows_new(const qn_model *model, qn_rows **ret_rows, qn_error *err) QN_MUST_USE;
QN_API void qn_rows_free(qn_rows **rows);
/* No rows; the memory is kept. */
QN_API void qn_rows_clear(qn_rows *rows);
/* n more rows, every cell missing. QN_ERR_LIMIT beyond 1,048,576. */
QN_API qn_status qn_rows_add(qn_rows *rows, int64_t n, qn_error *err) QN_MUST_USE;
QN_API int64_t qn_rows_count(const qn_rows *rows);

/* One cell, in any order; set again, the last value counts. Inputs are numbered as in the
 * signature. QN_ERR_DATA naming row (from 1) and column, with err->row and err->column, for what the
 * column cannot hold: text that is no number, a number that is not whole, ... Numbers: NaN is
 * missing; TIME in microseconds; for CATEGORY and TEXT the number's text. Text: as a CSV cell would
 * be read, so that "" and "NA" are missing; for CATEGORY and TEXT bytes that are not UTF-8 are
 * refused. An unseen category is no error: the model knows what it does with one. */
QN_API qn_status qn_rows_set_number(qn_rows *rows, int64_t i_row, int32_t i_input, double value,
                                    qn_error *err) QN_MUST_USE;
QN_API qn_status qn_rows_set_i64(qn_rows *rows, int64_t i_row, int32_t i_input, int64_t value,
                                 qn_error *err) QN_MUST_USE;
QN_API qn_status qn_rows_set_bool(qn_rows *rows, int64_t i_row, int32_t i_input, bool value,
                                  qn_error *err) QN_MUST_USE;
QN_API qn_status qn_rows_set_text(qn_rows *rows, int64_t i_row, int32_t i_input, const char *bytes,
                                  size_t n, qn_error *err) QN_MUST_USE;
QN_API void qn_rows_set_missing(qn_rows *rows, int64_t i_row, int32_t i_input);
/* A whole row: values[n_inputs], each as qn_rows_set_number takes it. */
QN_API qn_status qn_rows_set_numbers(qn_rows *rows, int64_t i_row, const double *values,
                                     qn_error *err) QN_MUST_USE;
/* More rows from JSON, as for qn_predict_json. */
QN_API qn_status qn_rows_add_json(qn_rows *rows, const char *json, size_t n,
                                  const qn_options *options, qn_error *err) QN_MUST_USE;

/* scores[n_rows][n_outputs], of all rows. */
QN_API qn_status qn_rows_predict(qn_rows *rows, double *scores, qn_error *err) QN_MUST_USE;
/* contrib[n_rows][n_outputs][n_inputs + 1]: what each input added to the raw score (log-odds for
 * classes), by TreeSHAP for trees; the last is the base value, and their sum is the raw score. */
QN_API qn_status qn_rows_explain(qn_rows *rows, double *contrib, qn_error *err) QN_MUST_USE;
/* Clears, takes values[n_rows][n_inputs] and answers, in one call: the fast path. */
QN_API qn_status qn_rows_predict_numbers(qn_rows *rows, const double *values, int64_t n_rows,
                                         double *scores, qn_error *err) QN_MUST_USE;

/* --- Arrow ------------------------------------------------------------------------------------ */

/* The Arrow C data interface, as its specification has it. */
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};
#endif

/* A record batch: a struct array whose children are columns, found by name. They may be bool, int8
 * to int64, uint8 to uint64, float, double, utf8, large_utf8, a dictionary of either, date32, date64,
 * timestamp (any unit; a time zone does not matter, the values are UTC), null. A column must have a
 * type that its input can hold: numbers where numbers are wanted, texts (read as qn_rows_set_text
 * reads them) anywhere, times for TIME. Both are borrowed and not released. Lengths, offsets and
 * dictionary indices are checked; that the buffers are as long as they say is yours to see to.
 * scores[length][n_outputs]. */
QN_API qn_status qn_predict_arrow(const qn_model *model, const struct ArrowSchema *schema,
                                  const struct ArrowArray *array, const qn_options *options,
                                  double *scores, qn_error *err) QN_MUST_USE;
/* The same as more rows of a qn_rows. */
QN_API qn_status qn_rows_add_arrow(qn_rows *rows, const struct ArrowSchema *schema,
                                   const struct ArrowArray *array, const qn_options *options,
                                   qn_error *err) QN_MUST_USE;

/* --- training (the newest part, and the likeliest to change) ---------------------------------- */

/* Boosted trees from numbers in memory, by the objectives of `quern help parameters` or by a loss of
 * your own:
 *
 *     qn_train_options options = QN_TRAIN_OPTIONS_INIT;
 *     options.n_inputs = 3;
 *     options.params = "{\"num_iterations\": 200, \"num_leaves\": 63}";
 *     options.gradients = my_gradients;                           // or NULL
 *     qn_train_data rows = {values, labels, NULL, n_rows};
 *     if (qn_train(&rows, &options, &model, &err) == QN_OK && qn_model_save(model, "my.qn", &err) == QN_OK)
 *
 * The same data, options and gradients give the same bytes, over any number of threads. */
typedef struct qn_train_data {
    const double *values;  /* [n_rows][n_inputs], row-major; NaN is missing */
    const double *labels;  /* n_rows; binary: 0 or 1, multiclass: the class from 0, else the number */
    const double *weights; /* n_rows, above 0; NULL: all 1 */
    int64_t n_rows;
} qn_train_data;

/* First and second derivatives by the raw score of what a row loses, of all training rows at once.
 * `scores`, `gradients` and `hessians` are [n_rows][n_outputs], row-major; n_outputs is 1, or the number
 * of classes. `weights` (NULL: all 1; times those of classes, if params ask for them) are yours to work
 * in. Scores start at 0, as boost_from_average cannot know where your loss is least. Called once a round,
 * from the thread that called qn_train; all pointers are borrowed for the call. A status other than QN_OK
 * ends training, and qn_train returns it. Numbers that are not finite, or second derivatives below 0, are
 * QN_ERR_DATA; trees need some above 0 (min_sum_hessian_in_leaf). */
typedef qn_status (*qn_gradients)(void *user, const double *scores, const double *labels,
                                  const double *weights, int64_t n_rows, int32_t n_outputs,
                                  double *gradients, double *hessians);
/* What the validation rows lose, smaller is better: by it early stopping keeps the best round. NaN is worse
 * than any. Called as the one above is. */
typedef double (*qn_loss)(void *user, const double *scores, const double *labels,
                          const double *weights, int64_t n_rows, int32_t n_outputs);

typedef struct qn_train_options {
    size_t struct_bytes;           /* sizeof(qn_train_options): how later versions know what you know */
    qn_task task;                  /* what answers are: a value; the logistic function or the softmax of the
                                      raw scores */
    int32_t n_inputs;
    int32_t n_classes;             /* multiclass; 0 otherwise */
    const char *const *inputs;     /* names, n_inputs; NULL: "f0", "f1", ... */
    const char *target;            /* NULL: "target" */
    const char *const *classes;    /* names; binary: negative, positive; NULL: "0", "1", ... */
    const char *params;            /* gbdt's, as a JSON object; NULL: their defaults */
    uint64_t seed;
    int32_t n_threads;             /* 0: as many as there are processors */
    const qn_train_data *valid;    /* for early_stopping_round; NULL: none */
    qn_gradients gradients;        /* NULL: the objective of params */
    qn_loss loss;                  /* of the validation rows; NULL: that of the objective, of the task
                                      beside `gradients` */
    void *user;                    /* for both; borrowed */
} qn_train_options;
#define QN_TRAIN_OPTIONS_INIT                                                                      \
    {sizeof(qn_train_options), QN_TASK_REGRESSION, 0, 0, NULL, NULL, NULL, NULL, 0, 1, NULL, NULL, \
     NULL, NULL}

/* Data and options are read, not kept. Any number of threads may train at the same time, each what it
 * likes. The model is to be freed with qn_model_free. Errors: QN_ERR_DATA (a label, weight or gradient
 * that cannot be, with err->row), QN_ERR_CONFIG (params), QN_ERR_USAGE, QN_ERR_MEMORY, or the status
 * that `gradients` returned. */
QN_API qn_status qn_train(const qn_train_data *data, const qn_train_options *options,
                          qn_model **ret_model, qn_error *err) QN_MUST_USE;
/* A file of the model, which appears whole or not at all: for qn_model_open and every command of quern. */
QN_API qn_status qn_model_save(const qn_model *model, const char *path, qn_error *err) QN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
