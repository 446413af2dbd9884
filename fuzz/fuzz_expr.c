/* Value expressions: compiling and evaluating over a small frame. */
#include <math.h>
#include <string.h>

#include "evaluate/expr.h"
#include "fuzz.h"

static char names[6][8] = {"flag", "count", "Amount", "city", "note", "when"};

static qn_frame *small_frame(void) {
    qn_schema_column columns[6];
    for (int i = 0; i < 6; i++)
        columns[i] = (qn_schema_column){names[i], (qn_type)i};
    return fuzz_frame(&(qn_schema){6, columns}, NULL);
}

static void check_values(const qn_expr *expr, const qn_frame *frame) {
    static const double prediction[FUZZ_ROWS] = {0.5, NAN, 0, 1, -3, 1e-9};
    const qn_expr_extra extra = {"prediction", prediction};
    for (int64_t i = 0; i < frame->n_rows; i++) {
        double alone = 0;
        qn_error err = {0};
        qn_status status = qn_expr_eval(expr, frame, &i, 1, &extra, 1, &alone, 1, &err);
        if (status != QN_OK)
            fuzz_require_told(status, &err);
        else
            fuzz_require(isfinite(alone), "a value is finite");
    }
    double all[2 * FUZZ_ROWS];
    qn_error err = {0};
    qn_status status = qn_expr_eval(expr, frame, NULL, frame->n_rows, &extra, 1, all, 2, &err);
    if (status != QN_OK)
        fuzz_require_told(status, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *known[7] = {"prediction"};
    for (int i = 0; i < 6; i++)
        known[i + 1] = names[i];
    qn_error err = {0};
    qn_cleanup(qn_freep) char *text = fuzz_text(data, size);
    qn_cleanup(qn_expr_free) qn_expr *expr = NULL;
    qn_status status = qn_expr_compile(text, known, 7, &expr, &err);
    if (status != QN_OK) {
        fuzz_require_told(status, &err);
        return 0;
    }
    fuzz_require(strcmp(qn_expr_text(expr), text) == 0, "an expression remembers its text");
    for (size_t i = 0; qn_expr_name(expr, i); i++)
        fuzz_require(strlen(qn_expr_name(expr, i)) > 0, "a used name is a name");
    qn_cleanup(qn_frame_free) qn_frame *frame = small_frame();
    check_values(expr, frame);
    return 0;
}
