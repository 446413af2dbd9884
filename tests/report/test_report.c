/* The page as text: parts, escaping, absent members. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "report/report.h"

static void test_empty_document(void **state) {
    qn_cleanup(qn_json_free) json_t *document = json_object();
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    qn_error err = {0};
    assert_int_equal(qn_report_write(document, &out, &err), QN_OK);
    assert_true(out.len > 100000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_empty_document)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
