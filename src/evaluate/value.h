/* value.h - what a model is worth in money: payoffs of the outcomes, stated as numbers or
 * expressions over columns, the threshold that earns the most on validation rows, and what it earns
 * on test rows.
 *
 *     qn_value_spec *spec = NULL; // value: {currency: EUR, true_positive: Amount - 5, ...}
 *     QN_TRY(qn_value_spec_parse(config_value, &target, columns, n_columns, &spec, err));
 *     QN_TRY(qn_value_evaluate(spec, &validate, &test, &options, job, &threshold, &json, err));
 *
 * Binary: true_positive, false_positive, false_negative, true_negative (those left out are worth
 * 0). Multiclass: matrix: {actual label: {predicted label: payoff}} (pairs left out are worth 0);
 * the decision is
 *   the class with the largest expected payoff.
 * Regression: per_row: an expression over columns, `prediction` and `actual`.
 *
 * The result (binary):
 *   {"currency": "EUR", "expressions": {"true_positive": "Amount - 5", ..}, "threshold": t,
 *    "validate": {"per_row": x, "total": x, "n": n, "share_acted": s},
 *    "test": {"per_row": {"value", "low", "high"}, "total": x, "n": n, "share_acted": s,
 *             "counts": {"true_positive": n, ..}, "money": {"true_positive": x, ..}},
 *    "curve": {"threshold": [], "per_row_validate": [], "per_row_test": [], "share_acted": []},
 *    "baselines": [{"name": "act_on_none", "title": "Act on none", "per_row": x, "total": x}, ..],
 *    "baseline_total": best of act_on_none and act_on_all on the test rows, in total,
 *    "gain_over_best_baseline": {"value", "low", "high", "against": name}}       per row, paired bootstrap
 * baselines: act_on_none, act_on_all, threshold_half (0.5), oracle (knows the answer: what could be
 * earned at most). The best baseline is the better of act_on_none and act_on_all on the VALIDATION
 * rows, so that choosing it uses no test rows. Multiclass: "matrix" for "expressions", no
 * "threshold" and "curve"; baselines: one_class (the best single answer, chosen on validation
 * rows), largest_probability, oracle. Regression: baselines: mean (of the validation rows' target),
 * oracle (prediction = actual); no "threshold" and "curve".
 *
 * Thresholds: a row is acted on (predicted positive) when score >= threshold. 0 acts on all rows;
 * "none" is a threshold just above 1. Between two neighbouring scores every threshold earns the
 * same; the middle is taken, and of equally good stretches the widest. */
#ifndef QN_EVALUATE_VALUE_H
#define QN_EVALUATE_VALUE_H

#include "evaluate/metric.h"

typedef struct qn_value_spec qn_value_spec;

typedef enum qn_outcome {
    QN_OUTCOME_TP,
    QN_OUTCOME_FP,
    QN_OUTCOME_FN,
    QN_OUTCOME_TN,
    QN_N_OUTCOMES,
} qn_outcome;

/* Reads the `value:` part of a config: every payoff is a number or a text (an expression).
 * `columns` are those of the table. QN_ERR_CONFIG names the key, and the nearest known one. */
qn_status qn_value_spec_parse(const json_t *object, const qn_target_info *target,
                              const char *const *columns, size_t n_columns,
                              qn_value_spec **ret_spec, qn_error *err) QN_MUST_USE;
void qn_value_spec_free(qn_value_spec **spec);
const char *qn_value_currency(const qn_value_spec *spec); /* "" when not stated; borrowed */
/* True when some payoff reads this column: such columns must be there when evaluating. */
bool qn_value_uses(const qn_value_spec *spec, const char *column);

/* Binary. *ret_payoffs: n x QN_N_OUTCOMES, row-major, in the order of qn_outcome; owned by the
 * caller (qn_freep). rows NULL: all n = frame->n_rows. QN_ERR_DATA names row and column. */
qn_status qn_value_payoffs(const qn_value_spec *spec, const qn_frame *frame, const int64_t *rows,
                           int64_t n, double **ret_payoffs, qn_error *err) QN_MUST_USE;

/* A threshold and what it earns on the rows it was judged on. */
typedef struct qn_value_point {
    double threshold;
    double total;       /* money */
    double per_row;     /* total / n */
    double share_acted; /* 0..1 */
} qn_value_point;

/* The best threshold for these rows: one sort and prefix sums. y[n] 0 or 1, scores[n] in 0..1. */
qn_status qn_value_best(const double *payoffs, const double *y, const double *scores, int64_t n,
                        qn_value_point *ret_best, qn_error *err) QN_MUST_USE;
/* What a given threshold earns. */
qn_value_point qn_value_at(const double *payoffs, const double *y, const double *scores, int64_t n,
                           double threshold);

/* Rows with their true and predicted values. All borrowed. */
typedef struct qn_value_rows {
    const qn_frame *frame;
    const int64_t *rows;  /* NULL: all rows of the frame, in order */
    int64_t n;
    const double *y;      /* n */
    const double *scores; /* n x n_outputs, after the link and calibration */
} qn_value_rows;

typedef struct qn_value_options {
    double threshold; /* NaN: the best on the validation rows; else this one (evaluating a finished model) */
    int n_rounds;     /* of the bootstrap: 1000 */
    uint64_t seed;
} qn_value_options;

/* Judges: the object above. `validate` NULL: the threshold must be given. *ret_threshold is NaN
 * when the task is not binary; may be NULL. New reference. */
qn_status qn_value_evaluate(const qn_value_spec *spec, const qn_value_rows *validate,
                            const qn_value_rows *test, const qn_value_options *options,
                            const qn_job *job, double *ret_threshold, json_t **ret_value,
                            qn_error *err) QN_MUST_USE;

/* Money of every row under the decisions of a threshold (binary; other tasks ignore it): money[n],
 * owned by the caller. For slices and comparisons. */
qn_status qn_value_money(const qn_value_spec *spec, const qn_value_rows *rows, double threshold,
                         double **ret_money, qn_error *err) QN_MUST_USE;

#endif
