/* Learners from untrusted bytes. The input is: u8 family, u8 n_features, for each feature u8 kind
 * in the low two bits and categories in the others, then the learner's own bytes. */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "learn/gbdt_kernel_int.h"
#include "learn/gbdt_prune.h"

enum { MAX_FEATURES = 255, ROWS = QN__MANY_ROWS + FUZZ_ROWS }; /* so that what many rows get is seen */

static char feature_name[] = "feature";

static qn_matrix *small_matrix(const qn_feature *features, int32_t n_features) {
    static const double values[FUZZ_ROWS] = {NAN, 0, -1.5, 1e300, -1e300, 0.25}; /* over and over */
    qn_matrix *x = NULL;
    fuzz_require(qn_matrix_new(ROWS, features, n_features, &x, NULL) == QN_OK,
                 "a small matrix");
    for (int32_t f = 0; f < n_features; f++) {
        qn_matrix_column *column = &x->columns[f];
        if (features[f].kind == QN_FEATURE_SPARSE) {
            column->n_set = ROWS / 2;
            column->row = qn_new_array(int64_t, column->n_set);
            column->value = qn_new_array(double, column->n_set);
            fuzz_require(column->row && column->value, "memory for a sparse column");
        }
        for (int64_t k = 0; k < column->n_set; k++) {
            column->row[k] = 2 * k + f % 2;
            column->value[k] = (double)k - 0.5;
        }
        for (int64_t i = 0; column->num && i < ROWS; i++)
            column->num[i] = values[(i + f) % FUZZ_ROWS];
        for (int64_t i = 0; column->code && i < ROWS; i++)
            column->code[i] = (int32_t)((i + f) % (features[f].n_categories + 1)) - 1;
    }
    return x;
}

static void check_saving(const qn_learner *learner, const qn_feature *features, const qn_matrix *x,
                         const double *raw, size_t n_raw) {
    const qn_family *family = learner->family;
    qn_cleanup(qn_buf_done) qn_buf first = {0};
    qn_cleanup(qn_buf_done) qn_buf second = {0};
    qn_cleanup(qn_learner_free) qn_learner *copy = NULL;
    fuzz_require(family->save(learner, &first, NULL) == QN_OK, "a loaded learner can be saved");
    fuzz_require(family->load(first.data, first.len, features, x->n_features, &copy, NULL) == QN_OK,
                 "a saved learner loads");
    fuzz_require(family->save(copy, &second, NULL) == QN_OK && first.len == second.len &&
                     memcmp(first.data, second.data, first.len) == 0,
                 "a learner is saved as the same bytes again");
    qn_cleanup(qn_freep) double *again = qn_new_array(double, n_raw);
    fuzz_require(again != NULL, "memory for scores");
    family->predict(copy, x, 0, x->n_rows, again);
    fuzz_require(fuzz_same_numbers(raw, again, n_raw), "a saved learner says the same");
}

/* The bits of the batch from dense rows, too, and from every kernel of the trees. */
static void check_rows(const qn_learner *learner, const qn_matrix *x, const double *raw) {
    size_t outputs = (size_t)learner->n_outputs, n = (size_t)x->n_rows * outputs;
    qn_cleanup(qn_freep) double *rows = qn_calloc((size_t)x->n_rows + 1,
                                                  (size_t)x->n_features * sizeof *rows);
    qn_cleanup(qn_freep) double *again = qn_new_array(double, n);
    fuzz_require(rows && again, "memory for rows");
    qn_matrix_rows(x, 0, x->n_rows, rows);
    learner->family->predict_rows(learner, rows, x->n_rows, again);
    fuzz_require(fuzz_same_numbers(raw, again, n), "dense rows get the bits of the matrix");
    if (strcmp(learner->family->name, "gbdt") != 0)
        return;
    const qn__gbdt *trees = (const qn__gbdt *)learner;
    for (const qn__gbdt_kernel *const *kernel = qn__gbdt_kernels; *kernel; kernel++) {
        if (!(*kernel)->runs_here())
            continue;
        qn__gbdt_predict_by(*kernel, trees, x, 0, x->n_rows, again);
        fuzz_require(fuzz_same_numbers(raw, again, n), "kernels agree");
        qn__gbdt_predict_rows_by(*kernel, trees, rows, 1, again);
        fuzz_require(fuzz_same_numbers(raw, again, outputs), "kernels agree on one row");
    }
    qn__gbdt_start(trees, x, 0, x->n_rows, again);
    qn__gbdt_add_trees_ref(trees, x, 0, x->n_rows, again);
    fuzz_require(fuzz_same_numbers(raw, again, n), "kernels agree with the reference");
}

/* Trees taken apart and merged answer the same; whatever they hold, they can be cut to nothing. */
static void check_pruning(const qn_learner *learner, const qn_feature *features, const qn_matrix *x,
                          const double *raw, size_t n_raw) {
    qn_cleanup(qn_pruner_free) qn_pruner *pruner = NULL;
    qn_cleanup(qn_learner_free) qn_learner *merged = NULL;
    qn_cleanup(qn_freep) double *y = qn_new_array(double, x->n_rows);
    qn_cleanup(qn_freep) double *again = qn_new_array(double, n_raw);
    const double *labels = y;
    const qn_prune_rows rows = {.x = &x, .y = &labels, .n_parts = 1};
    qn_error err = {0};
    fuzz_require(y && again, "memory for labels");
    qn_status status = qn_pruner_new(learner, features, &rows, NULL, &pruner, &err);
    if (status != QN_OK) { /* linear, quantile; a node with two parents */
        fuzz_require_told(status, &err);
        return;
    }
    fuzz_require(qn_pruner_learner(pruner, QN_LEAF_FLOAT64, &merged, &err) == QN_OK,
                 "merged trees are a learner");
    merged->family->predict(merged, x, 0, x->n_rows, again);
    fuzz_require(fuzz_same_numbers(raw, again, n_raw), "merged trees say the same");
    for (int form = QN_LEAF_FLOAT16; form < QN_LEAF_FORMS; form++) {
        qn_cleanup(qn_learner_free) qn_learner *coded = NULL;
        status = qn_pruner_learner(pruner, (qn_leaf_form)form, &coded, &err);
        if (status != QN_OK) { /* a leaf that is too large */
            fuzz_require_told(status, &err);
            continue;
        }
        coded->family->predict(coded, x, 0, x->n_rows, again);
        check_saving(coded, features, x, again, n_raw);
        check_rows(coded, x, again);
    }
    while (qn_pruner_leaves(pruner) > 0) {
        int64_t before = qn_pruner_leaves(pruner);
        fuzz_require(qn_pruner_cut(pruner, before / 2, NULL, &err) == QN_OK, "trees can be cut");
        fuzz_require(qn_pruner_leaves(pruner) < before, "cutting makes trees smaller");
    }
}

/* Whatever the trees hold, they can be looked into. */
static void check_explanations(const qn_learner *learner, const qn_matrix *x) {
    enum { GROUPS = 3, CELLS = (GROUPS + 1) * (GROUPS + 1) };
    const qn_family *family = learner->family;
    size_t outputs = (size_t)learner->n_outputs, n = (size_t)x->n_rows * outputs;
    size_t n_features = (size_t)x->n_features;
    qn_cleanup(qn_freep) double *pairs = qn_calloc(n, CELLS * sizeof *pairs);
    qn_cleanup(qn_freep) double *raw = qn_new_array(double, n);
    qn_cleanup(qn_freep) int32_t *group = qn_new_array(int32_t, n_features + 1);
    qn_cleanup(qn_freep) bool *follows = qn_new_array(bool, n_features + 1);
    qn_cleanup(qn_freep) int64_t *splits = qn_new_array(int64_t, n_features + 1);
    fuzz_require(pairs && raw && group && follows && splits, "memory for explanations");
    for (size_t f = 0; f < n_features; f++) {
        group[f] = (int32_t)(f % GROUPS);
        follows[f] = f % 2;
    }
    if (family->interactions)
        fuzz_require(family->interactions(learner, x, 0, x->n_rows, group, GROUPS, pairs, NULL) ==
                         QN_OK,
                     "a loaded learner tells its pairs");
    if (family->dependence)
        fuzz_require(family->dependence(learner, x, 0, x->n_rows, follows, raw, NULL) == QN_OK,
                     "a loaded learner tells what it depends on");
    if (family->splits)
        family->splits(learner, splits);
}

static void check_answers(const qn_learner *learner, const qn_feature *features,
                          const qn_matrix *x) {
    const qn_family *family = learner->family;
    size_t outputs = (size_t)learner->n_outputs, n = (size_t)x->n_rows * outputs;
    size_t width = (size_t)x->n_features + 1;
    qn_cleanup(qn_freep) double *raw = qn_new_array(double, n + outputs);
    qn_cleanup(qn_freep) double *linked = qn_new_array(double, n);
    qn_cleanup(qn_freep) double *contrib = qn_calloc(n, width * sizeof *contrib);
    qn_cleanup(qn_freep) double *importance = qn_new_array(double, width);
    fuzz_require(raw && linked && contrib && importance, "memory for answers");
    family->predict(learner, x, 0, x->n_rows, raw);
    for (int64_t i = 0; i < x->n_rows; i++) {
        family->predict(learner, x, i, 1, raw + n);
        fuzz_require(fuzz_same_numbers(raw + n, raw + (size_t)i * outputs, outputs),
                     "a row alone gets the bits of the batch");
    }
    check_rows(learner, x, raw);
    qn_learner_predict(learner, x, true, NULL, linked);
    fuzz_require(family->explain(learner, x, 0, x->n_rows, contrib, NULL) == QN_OK,
                 "a loaded learner explains itself");
    family->importance(learner, importance);
    for (int32_t f = 0; f < x->n_features; f++)
        fuzz_require(importance[f] >= 0 && importance[f] <= 1 + 1e-9, "an importance is a share");
    qn_cleanup(qn_json_free) json_t *facts = family->describe(learner);
    fuzz_require(json_is_object(facts), "a learner describes itself");
    check_explanations(learner, x);
    check_saving(learner, features, x, raw, n);
    check_pruning(learner, features, x, raw, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const qn_family *const *families = qn_families();
    qn_feature features[MAX_FEATURES] = {0};
    size_t n_families = 0;
    while (families[n_families])
        n_families++;
    const qn_family *family = families[fuzz_take(&data, &size, 1) % n_families];
    int32_t n_features = (int32_t)fuzz_take(&data, &size, 1);
    for (int32_t f = 0; f < n_features; f++) {
        unsigned byte = (unsigned)fuzz_take(&data, &size, 1);
        features[f].name = feature_name;
        features[f].kind = (qn_feature_kind)(byte % 4 % 3);
        features[f].n_categories = features[f].kind == QN_FEATURE_CATEGORY ? (int32_t)(byte / 4)
                                                                           : 0;
    }
    qn_error err = {0};
    qn_cleanup(qn_learner_free) qn_learner *learner = NULL;
    qn_status status = family->load(data, size, features, n_features, &learner, &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return 0;
    }
    fuzz_require(learner->n_outputs >= 1 && learner->n_features == n_features,
                 "a learner fits its features");
    qn_cleanup(qn_matrix_free) qn_matrix *x = small_matrix(features, n_features);
    check_answers(learner, features, x);
    return 0;
}
