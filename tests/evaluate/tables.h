/* Small tables and the failing-allocation loop, shared by the tests of this room. */
#ifndef QN_TESTS_EVALUATE_TABLES_H
#define QN_TESTS_EVALUATE_TABLES_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "data/frame.h"

/* Adds a number column (NaN is missing) or a text column (NULL is missing) to a builder. */
static inline void add_numbers(qn_frame_builder *builder, int32_t i, const char *name,
                               const double *x, int64_t n) {
    assert_int_equal(qn_frame_builder_add_column(builder, name, QN_TYPE_F64, NULL), QN_OK);
    for (int64_t k = 0; k < n; k++)
        assert_int_equal(qn_frame_builder_number(builder, i, x[k], NULL), QN_OK);
}

static inline void add_texts(qn_frame_builder *builder, int32_t i, const char *name,
                             const char *const *x, int64_t n) {
    assert_int_equal(qn_frame_builder_add_column(builder, name, QN_TYPE_CATEGORY, NULL), QN_OK);
    for (int64_t k = 0; k < n; k++) {
        if (x[k])
            assert_int_equal(qn_frame_builder_text(builder, i, x[k], strlen(x[k]), NULL), QN_OK);
        else
            assert_int_equal(qn_frame_builder_null(builder, i, NULL), QN_OK);
    }
}

/* Runs `attempt` with ever more successful allocations until it succeeds. */
static inline void with_failing_memory(qn_status (*attempt)(void *user, qn_error *err),
                                       void *user) {
    for (int64_t i = 0; i < 100000; i++) {
        qn_error err = {0};
        qn_mem_fail_after(i);
        qn_status status = attempt(user, &err);
        qn_mem_fail_after(-1);
        if (status == QN_OK)
            return;
        if (status != QN_ERR_MEMORY)
            print_error("allocation %d: %s\n", (int)i, err.message);
        assert_int_equal(status, QN_ERR_MEMORY);
    }
    fail_msg("never succeeded");
}

#endif
