/* pipeline.h - from a frame to a feature matrix: fitted once on training rows, then applied by the
 * same code to a batch and to one row, with equal bits.
 *
 *     qn_pipeline_spec *spec = NULL;
 *     QN_TRY(qn_pipeline_spec_auto(frame, inputs, n_inputs, needs, &spec, err));
 *     QN_TRY(qn_pipeline_fit(spec, frame, rows, n_rows, y, &info, seed, job, &pipeline, &train, err));
 *     QN_TRY(qn_pipeline_apply(pipeline, other, NULL, 0, job, &matrix, err));
 *
 * A spec is a list of steps, each {columns, chain of transforms}; its JSON form is what
 * quern.yaml's `features:` holds and what the model file keeps:
 *     [{"columns": ["age", "fnlwgt"], "transforms": [{"impute": "median", "indicator": true}, "standard"]},
 *      {"columns": ["job"], "transforms": [{"one_hot": {"min_count": 10}}]}]
 */
#ifndef QN_FEATURE_PIPELINE_H
#define QN_FEATURE_PIPELINE_H

#include "base/json.h"
#include "base/job.h"
#include "base/param.h"
#include "data/frame.h"
#include "data/target.h"
#include "feature/matrix.h"

/* What a family of learners can take. */
enum {
    QN_TAKES_MISSING = 1,    /* NaN and code -1 are fine */
    QN_TAKES_CATEGORIES = 2, /* CATEGORY columns are fine */
    QN_TAKES_SPARSE = 4,     /* SPARSE columns are fine */
    QN_WANTS_SCALED = 8,     /* better with comparable scales */
};

typedef struct qn_pipeline_spec qn_pipeline_spec;
typedef struct qn_pipeline qn_pipeline;

/* The automatic choice for these input columns (names; the target is not among them) of this
 * frame. */
qn_status qn_pipeline_spec_auto(const qn_frame *frame, const char *const *inputs, size_t n_inputs,
                                unsigned takes, qn_pipeline_spec **ret_spec, qn_error *err)
    QN_MUST_USE;
/* An explicit list (see above). Columns in `inputs` that no step names get the automatic choice
 * unless
 * "drop"ped; what the family cannot take (missing values, categories) is fitted with the automatic
 * adaptor behind the user's chain. QN_ERR_CONFIG with the nearest name for unknown columns,
 * transforms or parameters. */
qn_status qn_pipeline_spec_parse(const json_t *steps, const qn_frame *frame,
                                 const char *const *inputs, size_t n_inputs, unsigned takes,
                                 qn_pipeline_spec **ret_spec, qn_error *err) QN_MUST_USE;
json_t *qn_pipeline_spec_to_json(const qn_pipeline_spec *spec);
void qn_pipeline_spec_free(qn_pipeline_spec **spec);

/* Fits on the given rows only (rows NULL: all) and, when ret_train is not NULL, also gives the
 * matrix of those rows in that order: target encodings in it are out-of-fold, so it is NOT what
 * apply gives for the same rows. y holds one value per given row (class index or value), from
 * qn_target_values. */
qn_status qn_pipeline_fit(const qn_pipeline_spec *spec, const qn_frame *frame, const int64_t *rows,
                          int64_t n_rows, const double *y, const qn_target_info *target,
                          uint64_t seed, const qn_job *job, qn_pipeline **ret_pipeline,
                          qn_matrix **ret_train, qn_error *err) QN_MUST_USE;
/* Applies to the given rows (NULL: all). The frame needs the input columns by name, in any order,
 * with the types of qn_pipeline_inputs(); others are ignored; missing ones are QN_ERR_DATA listing
 * them all. Thread-safe. */
qn_status qn_pipeline_apply(const qn_pipeline *pipeline, const qn_frame *frame, const int64_t *rows,
                            int64_t n_rows, const qn_job *job, qn_matrix **ret_matrix,
                            qn_error *err) QN_MUST_USE;
void qn_pipeline_free(qn_pipeline **pipeline);

/* A pipeline of inputs as they are, for models that were trained elsewhere. */
typedef struct qn_plain_input {
    const char *name;
    double low, high;  /* finite: what infinite numbers become before anything else */
    bool zero_missing; /* 0 means missing (transform zero_missing) */
    int32_t n_codes;   /* > 0: the numbers 0 .. n_codes - 1 are categories, any other is unseen */
    int64_t n_rows, n_missing; /* of training, when it is known */
} qn_plain_input;

/* All inputs are F64, feature i is input i. QN_ERR_FORMAT for names that are empty, too long, not
 * UTF-8 or there twice. */
qn_status qn_pipeline_plain(const qn_plain_input *inputs, int32_t n_inputs,
                            qn_pipeline **ret_pipeline, qn_error *err) QN_MUST_USE;

/* Input columns with their types; borrowed. */
const qn_schema *qn_pipeline_inputs(const qn_pipeline *pipeline);
/* Output features; borrowed; as long-lived as the pipeline. */
const qn_feature *qn_pipeline_features(const qn_pipeline *pipeline, int32_t *ret_n_features);
/* A feature that is an input as it is. */
typedef struct qn_direct {
    int32_t i_input;      /* -1: the feature is something else */
    const qn_dict *codes; /* the feature is the code in it of the input's text (of a number:
                             qn_number_to_text), -1 when missing or not there; NULL: the number
                             itself. Borrowed */
    double low, high;     /* what infinite numbers become before anything else */
} qn_direct;

/* Fills ret_direct[n_features]; true when all features are inputs as they are, so that rows can be
 * filled without a frame. */
bool qn_pipeline_direct(const qn_pipeline *pipeline, qn_direct *ret_direct);

/* What was seen of one input column in training, for the model's signature: categories, ranges. New
 * reference: {"name", "type", "missing_share", "low", "high", "categories": [...]}. */
json_t *qn_pipeline_describe_input(const qn_pipeline *pipeline, int32_t i_input);

/* Names of the columns that the automatic choice left out because the training rows held one value
 * only, or none. New reference: ["name", ...]; NULL when memory is short. */
json_t *qn_pipeline_dropped(const qn_pipeline *pipeline);

/* The fitted pipeline as bytes (little-endian, versioned), and back from untrusted bytes. Saving
 * what was loaded gives the same bytes. */
qn_status qn_pipeline_save(const qn_pipeline *pipeline, qn_buf *out, qn_error *err) QN_MUST_USE;
qn_status qn_pipeline_load(const void *bytes, size_t n, qn_pipeline **ret_pipeline,
                           qn_error *err) QN_MUST_USE;

/* The transforms a spec can name: for --help, the docs and the JSON schema. All text is static. */
typedef struct qn_transform_info {
    const char *name, *help;
    const qn_param *params;
    size_t n_params;
    const char *main_param; /* what {"name": value} sets; NULL for none */
    const char *list_param; /* a parameter that is a list of texts; NULL for none */
    bool many;              /* takes all columns of its step together */
    bool takes_number, takes_category, takes_text, takes_time;
} qn_transform_info;

size_t qn_transforms_count(void);
qn_transform_info qn_transforms_info(size_t i); /* i < qn_transforms_count() */
void qn_transforms_help(qn_buf *out);

#endif
