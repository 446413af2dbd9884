/* param.h - one table of parameters drives parsing, checks, --help, the docs and the JSON schema.
 *
 *     typedef struct { int64_t num_leaves; double learning_rate; const char *objective; } gbdt_params;
 *     static const qn_param table[] = {
 *         {.name = "num_leaves", .kind = QN_PARAM_INT, .offset = offsetof(gbdt_params, num_leaves),
 *          .low = 2, .high = 131072, .preset = 31, .help = "maximum number of leaves of one tree"},
 *         ...
 *     };
 *     qn_params_default(table, n, &params);
 *     QN_TRY(qn_params_set(table, n, "num_leaves", "63", &params, err));
 */
#ifndef QN_BASE_PARAM_H
#define QN_BASE_PARAM_H

#include "base/buf.h"
#include "base/json.h"

typedef enum qn_param_kind {
    QN_PARAM_BOOL,   /* bool */
    QN_PARAM_INT,    /* int64_t in low..high */
    QN_PARAM_REAL,   /* double in low..high (both included) */
    QN_PARAM_CHOICE, /* const char *, one of `choices`; the value points into a static table */
    QN_PARAM_JSON,   /* const json_t *, a map or list, borrowed from what it was set from; NULL: none */
} qn_param_kind;

typedef struct qn_param {
    const char *name;           /* snake_case, the field's standard word */
    const char *aliases;        /* "a b c", other accepted names; NULL for none */
    qn_param_kind kind;
    size_t offset;              /* of the member in the params struct */
    double low, high, preset;   /* bool: preset 0 or 1; choice: index into choices */
    const char *const *choices; /* NULL-terminated, for CHOICE */
    const char *help;           /* one phrase, no final stop */
} qn_param;

/* Writes every preset into *params. */
void qn_params_default(const qn_param *table, size_t n, void *params);
/* Sets one parameter from its text. QN_ERR_CONFIG naming the parameter and its range, or the
 * nearest known name. */
qn_status qn_params_set(const qn_param *table, size_t n, const char *name, const char *text,
                        void *params, qn_error *err) QN_MUST_USE;
/* Sets all members found in a JSON object (numbers, booleans, text). */
qn_status qn_params_from_json(const qn_param *table, size_t n, const json_t *object, void *params,
                              qn_error *err) QN_MUST_USE;
/* All values, in table order. New reference; NULL when memory is short. */
json_t *qn_params_to_json(const qn_param *table, size_t n, const void *params);
/* Lines "name  default  range  help" for --help and docs. */
void qn_params_help(const qn_param *table, size_t n, qn_buf *out);

#endif
