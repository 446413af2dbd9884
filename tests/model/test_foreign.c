/* Models of other programs. That they score as their makers do is tested from outside, by
 * tests/cli/interop.bats; here are the rules node by node, in the way of what cannot be, and memory. */
#include "models.h"

#include <float.h>

#include "model/export.h"
#include "model/foreign_int.h"

static const char lightgbm[] =
    "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\n"
    "objective=binary sigmoid:2\nfeature_names=x c\nfeature_infos=[-1:5] 0:1:2:40\n\n"
    "Tree=0\nnum_leaves=3\nnum_cat=1\nsplit_feature=0 1\nsplit_gain=3 1\nthreshold=1.5 0\n"
    "decision_type=%d 1\nleft_child=-1 -2\nright_child=1 -3\nleaf_value=0.25 -1 2\n"
    "leaf_count=3 2 1\n"
    "cat_boundaries=0 2\ncat_threshold=4 256\nis_linear=0\nshrinkage=1\n\n\n"
    "end of trees\n";

static const char xgboost[] =
    "{\"version\": [1, 7, 4], \"learner\": {\"feature_names\": [], "
    "\"gradient_booster\": {\"model\": {\"trees\": [{"
    "\"left_children\": [1, -1, -1], \"right_children\": [2, -1, -1], "
    "\"split_indices\": [0, 0, 0], \"split_conditions\": [0.3, 0.5, -0.5], "
    "\"default_left\": [0, 0, 0], \"sum_hessian\": [2.5, 1.5, 1]}], \"tree_info\": [0]}, "
    "\"name\": \"gbtree\"}, \"learner_model_param\": {\"base_score\": \"%s\", "
    "\"num_class\": \"0\", \"num_feature\": \"1\"}, \"objective\": {\"name\": \"%s\"}}}";

static qn_status import_text(const char *text, qn_model **ret_model, qn_error *err) {
    return qn_model_import(text, strlen(text), &(qn_import_options){0}, ret_model, err);
}

/* Probability or value of one row of numbers. */
static double answer(const qn_model *model, const double *row) {
    qn_error err = {0};
    qn_cleanup(qn_frame_builder_free) qn_frame_builder *b = NULL;
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    const qn_schema *inputs = qn_model_inputs(model);
    double score = 0;
    must(qn_frame_builder_new(&b, &err), &err);
    for (int32_t i = 0; i < inputs->n_columns; i++)
        must(qn_frame_builder_add_column(b, inputs->columns[i].name, QN_TYPE_F64, &err), &err);
    for (int32_t i = 0; i < inputs->n_columns; i++)
        must(qn_frame_builder_number(b, i, row[i], &err), &err);
    must(qn_frame_builder_finish(b, &frame, &err), &err);
    must(qn_model_predict(model, frame, NULL, &score, &err), &err);
    return score;
}

static double logistic(double z) {
    return 1 / (1 + exp(-z));
}

static void lightgbm_nodes(void **state) {
    /* decision_type of the split x <= 1.5: bit 1 default left, bits 2 and 3 what missing means. */
    static const struct {
        int type;
        double missing, zero; /* leaf of x missing and of x = 0, c being 1 (in no set: 2) */
    } cases[] = {{0, 0.25, 0.25}, {2, 0.25, 0.25}, {4, 2, 2}, {6, 0.25, 0.25}, {8, 2, 0.25},
                 {10, 0.25, 0.25}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        qn_error err = {0};
        qn_cleanup(qn_model_free) qn_model *model = NULL;
        snprintf(text, sizeof text, lightgbm, cases[i].type);
        must(import_text(text, &model, &err), &err);
        const double rows[][2] = {{NAN, 1}, {0, 1}, {1.5, 2}, {1.6, 2}, {1.6, 40}, {1.6, 41},
                                  {1.6, NAN}, {(double)INFINITY, 0}, {-(double)INFINITY, 0}};
        const double leaves[] = {cases[i].missing, cases[i].zero, 0.25, -1, -1, 2, 2, 2, 0.25};
        for (size_t k = 0; k < sizeof leaves / sizeof *leaves; k++)
            assert_true(fabs(answer(model, rows[k]) - logistic(2 * leaves[k])) < 1e-15);
    }
}

static void xgboost_nodes(void **state) {
    static const struct {
        const char *base, *objective;
        double left, right;
    } cases[] = {{"5E-1", "reg:squarederror", 1, 0},
                 {"[2.5E-1]", "reg:squarederror", 0.75, -0.25},
                 {"2.5E-1", "binary:logistic", 0.354661, 0.168168}, /* 1 / (1 + 3 e^-+0.5) */
                 {"2", "count:poisson", 3.29744, 1.21306}};       /* 2 e^+-0.5 */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        qn_error err = {0};
        qn_cleanup(qn_model_free) qn_model *model = NULL;
        snprintf(text, sizeof text, xgboost, cases[i].base, cases[i].objective);
        must(import_text(text, &model, &err), &err);
        double cut = qn__float_cut(0.3f), missing = NAN;
        const double rows[] = {-1, cut, nextafter(cut, 1), (double)0.3f, 1, missing};
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
            double want = k < 2 ? cases[i].left : cases[i].right;
            assert_true(fabs(answer(model, &rows[k]) - want) < 1e-5);
        }
    }
}

static void float_cuts(void **state) {
    const float some[] = {0, 1, 0.3f, -0.3f, 1e-45f, -1e-45f, FLT_MIN, FLT_MAX, -FLT_MAX, INFINITY};
    qn_rng rng;
    qn_rng_init(&rng, 5);
    for (size_t i = 0; i < 20000; i++) {
        uint32_t bits = (uint32_t)qn_rng_below(&rng, UINT32_MAX);
        float c;
        memcpy(&c, &bits, sizeof c);
        if (i < sizeof some / sizeof *some)
            c = some[i];
        if (!(c > -INFINITY))
            continue;
        double cut = qn__float_cut(c);
        assert_true((float)cut < c);
        assert_false((float)nextafter(cut, (double)INFINITY) < c);
    }
    assert_true(isnan(qn__float_cut(-INFINITY)));
    assert_true(isnan(qn__float_cut(NAN)));
}

static void contributions_add_up(void **state) {
    char text[2048];
    qn_error err = {0};
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    qn_cleanup(qn_frame_builder_free) qn_frame_builder *b = NULL;
    double contrib[3];
    snprintf(text, sizeof text, lightgbm, 10);
    must(import_text(text, &model, &err), &err);
    must(qn_frame_builder_new(&b, &err), &err);
    must(qn_frame_builder_add_column(b, "x", QN_TYPE_F64, &err), &err);
    must(qn_frame_builder_add_column(b, "c", QN_TYPE_F64, &err), &err);
    must(qn_frame_builder_number(b, 0, 3, &err), &err);
    must(qn_frame_builder_number(b, 1, 2, &err), &err);
    must(qn_frame_builder_finish(b, &frame, &err), &err);
    must(qn_model_explain(model, frame, NULL, contrib, &err), &err);
    assert_true(fabs(contrib[0] + contrib[1] + contrib[2] + 2) < 1e-12);
    assert_true(fabs(contrib[2] - 2 * (3 * 0.25 - 2 * 1 + 1 * 2) / 6) < 1e-12);
}

static void refusals(void **state) {
    static const struct {
        const char *text;
        qn_status status;
        const char *why;
    } cases[] = {
        {"", QN_ERR_FORMAT, "neither"},
        {"tree\n", QN_ERR_FORMAT, "max_feature_idx"},
        {"{}", QN_ERR_FORMAT, "no booster"},
        {"{L", QN_ERR_USAGE, "UBJSON"},
        {"{\"learner\": [", QN_ERR_FORMAT, "the XGBoost model"},
        {"tree\nmax_feature_idx=99999\nnum_tree_per_iteration=1\n", QN_ERR_LIMIT, "16384"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qn_error err = {0};
        qn_model *model = NULL;
        assert_int_equal(import_text(cases[i].text, &model, &err), cases[i].status);
        assert_null(model);
        assert_non_null(strstr(err.message, cases[i].why));
    }
}

static void no_trees(void **state) {
    static const char text[] = "tree\nnum_tree_per_iteration=1\nmax_feature_idx=0\n"
                               "feature_names=x\nend of trees\n";
    qn_error err = {0};
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    must(import_text(text, &model, &err), &err);
    assert_true(answer(model, &(double){1}) == 0);
    for (int format = QN_EXPORT_ONNX; format <= QN_EXPORT_TEXT; format++) {
        qn_cleanup(qn_buf_done) qn_buf out = {0};
        const qn_export_options options = {.format = (qn_export_format)format, .tree = -1};
        must(qn_model_export(model, &options, &out, &err), &err);
    }
}

/* A model of ours on numbers, with a rate of negatives and an isotonic calibration. */
static void corrections(void **state) {
    qn_error err = {0};
    qn_cleanup(qn_frame_free) qn_frame *frame = model_table();
    qn_cleanup(qn_model_free) qn_model *model = NULL;
    qn_cleanup(qn_model_free) qn_model *again = NULL;
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_export_options options = {.format = QN_EXPORT_LIGHTGBM, .tree = -1};
    must(model_train_on(frame, model_inputs, 2, NULL, "gbdt", QN_TASK_BINARY, NULL, &model, &err),
         &err);
    assert_int_equal(qn_model_export(model, &options, &out, &err), QN_ERR_USAGE);
    assert_non_null(strstr(err.message, "isotonic calibration"));
    options.uncalibrated = true;
    must(qn_model_export(model, &options, &out, &err), &err);
    must(qn_model_import(out.data, out.len, &(qn_import_options){0}, &again, &err), &err);
    qn_cleanup(qn_matrix_free) qn_matrix *x = NULL;
    double got[MODEL_ROWS], want[MODEL_ROWS];
    must(qn_pipeline_apply(qn_model_pipeline(model), frame, NULL, frame->n_rows, NULL, &x, &err),
         &err);
    qn_learner_predict(qn_model_learner(model), x, true, NULL, want);
    qn_undo_negative_sampling(want, MODEL_ROWS, 0.3);
    qn_learner_predict(qn_model_learner(again), x, true, NULL, got);
    for (int i = 0; i < MODEL_ROWS; i++)
        assert_true(fabs(got[i] - want[i]) < 1e-14);
}

static void memory(void **state) {
    char text[2][2048];
    snprintf(text[0], sizeof text[0], lightgbm, 10);
    snprintf(text[1], sizeof text[1], xgboost, "5E-1", "binary:logistic");
    for (int which = 0; which < 2; which++) {
        qn_status status = QN_ERR_MEMORY;
        for (int64_t n = 0; status != QN_OK; n++) {
            qn_error err = {0};
            qn_cleanup(qn_model_free) qn_model *model = NULL;
            qn_cleanup(qn_buf_done) qn_buf out = {0};
            qn_mem_fail_after(n);
            status = import_text(text[which], &model, &err);
            for (int f = which ? QN_EXPORT_ONNX : QN_EXPORT_LIGHTGBM;
                 status == QN_OK && f <= QN_EXPORT_TEXT; f++) {
                const qn_export_options options = {.format = (qn_export_format)f, .tree = -1};
                status = qn_model_export(model, &options, &out, &err);
            }
            qn_mem_fail_after(-1);
            if (status != QN_OK && status != QN_ERR_MEMORY)
                fail_msg("allocation %lld: %s", (long long)n, err.message);
            assert_true(n < 10000);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lightgbm_nodes), cmocka_unit_test(xgboost_nodes),
        cmocka_unit_test(float_cuts),     cmocka_unit_test(contributions_add_up),
        cmocka_unit_test(refusals),       cmocka_unit_test(no_trees),
        cmocka_unit_test(corrections),    cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
