/* Pipelines of inputs as they are. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "feature/pipeline.h"

static const qn_plain_input inputs[] = {
    {.name = "x", .low = -5, .high = 7},
    {.name = "z", .zero_missing = true},
    {.name = "c", .n_codes = 3},
};

static qn_matrix *apply(const qn_pipeline *pipeline, double x, double z, double c) {
    const double row[] = {x, z, c};
    qn_cleanup(qn_frame_builder_free) qn_frame_builder *b = NULL;
    qn_cleanup(qn_frame_free) qn_frame *frame = NULL;
    qn_matrix *m = NULL;
    qn_error err = {0};
    assert_int_equal(qn_frame_builder_new(&b, &err), QN_OK);
    for (int32_t i = 0; i < 3; i++)
        assert_int_equal(qn_frame_builder_add_column(b, inputs[i].name, QN_TYPE_F64, &err), QN_OK);
    for (int32_t i = 0; i < 3; i++)
        assert_int_equal(qn_frame_builder_number(b, i, row[i], &err), QN_OK);
    assert_int_equal(qn_frame_builder_finish(b, &frame, &err), QN_OK);
    assert_int_equal(qn_pipeline_apply(pipeline, frame, NULL, 1, NULL, &m, &err), QN_OK);
    return m;
}

static void check_row(const qn_pipeline *pipeline, double x, double z, double c, double want_x,
                      double want_z, int32_t want_c) {
    qn_cleanup(qn_matrix_free) qn_matrix *m = apply(pipeline, x, z, c);
    double got_x = m->columns[0].num[0], got_z = m->columns[1].num[0];
    assert_true(isnan(want_x) ? isnan(got_x) : got_x == want_x);
    assert_true(isnan(want_z) ? isnan(got_z) : got_z == want_z);
    assert_int_equal(m->columns[2].code[0], want_c);
}

static void values(void **state) {
    const double missing = NAN, infinite = INFINITY;
    qn_error err = {0};
    qn_cleanup(qn_pipeline_free) qn_pipeline *made = NULL;
    qn_cleanup(qn_pipeline_free) qn_pipeline *loaded = NULL;
    qn_cleanup(qn_buf_done) qn_buf bytes = {0};
    assert_int_equal(qn_pipeline_plain(inputs, 3, &made, &err), QN_OK);
    assert_int_equal(qn_pipeline_save(made, &bytes, &err), QN_OK);
    assert_int_equal(qn_pipeline_load(bytes.data, bytes.len, &loaded, &err), QN_OK);
    const qn_pipeline *both[] = {made, loaded};
    for (int i = 0; i < 2; i++) {
        check_row(both[i], 1.5, 2, 2, 1.5, 2, 2);
        check_row(both[i], missing, missing, missing, missing, missing, -1);
        check_row(both[i], infinite, 0, 3, 7, missing, -1);
        check_row(both[i], -infinite, 1e-36, 0.5, -5, missing, -1);
        check_row(both[i], 0, -2e-35, 0, 0, -2e-35, 0);
    }
}

static void names(void **state) {
    static const char *const bad[][2] = {{"a", "a"}, {"a", ""}, {"a", "\xff"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        qn_error err = {0};
        qn_pipeline *pipeline = NULL;
        const qn_plain_input two[] = {{.name = bad[i][0]}, {.name = bad[i][1]}};
        assert_int_equal(qn_pipeline_plain(two, 2, &pipeline, &err), QN_ERR_FORMAT);
        assert_null(pipeline);
    }
    qn_error err = {0};
    qn_pipeline *pipeline = NULL;
    assert_int_equal(qn_pipeline_plain(inputs, 0, &pipeline, &err), QN_ERR_LIMIT);
}

static void memory(void **state) {
    qn_status status = QN_ERR_MEMORY;
    for (int64_t n = 0; status != QN_OK; n++) {
        qn_error err = {0};
        qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = NULL;
        qn_mem_fail_after(n);
        status = qn_pipeline_plain(inputs, 3, &pipeline, &err);
        qn_mem_fail_after(-1);
        assert_true(status == QN_OK || status == QN_ERR_MEMORY);
        assert_true(n < 1000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(values), cmocka_unit_test(names),
                                       cmocka_unit_test(memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
