/* Rows from JSON in every form, into models of every family. The first byte chooses model and
 * policy, the second the form. */
#include <string.h>

#include "fuzz.h"
#include "golden.h"
#include "model/rows_json.h"

typedef struct place {
    qn_model *model;
    qn_rows *rows;
    qn_rows_reader *reader;
    qn_scan scan;
} place;

static place places[N_GOLDEN];

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    for (int i = 0; i < N_GOLDEN; i++) {
        place *p = &places[i];
        qn_cleanup(qn_freep) char *path = golden_path(i);
        fuzz_require(path && qn_model_open(path, &p->model, NULL) == QN_OK
                         && qn_rows_new(p->model, &p->rows, NULL) == QN_OK
                         && qn_rows_reader_new(p->rows, qn_model_inputs(p->model), &p->reader, NULL)
                                == QN_OK,
                     "a golden model opens");
    }
    return 0;
}

static qn_status read_form(place *p, unsigned form, qn_error *err) {
    switch (form % 5) {
    case 0:
        return qn_rows_read_object(p->reader, &p->scan, err);
    case 1:
        QN_TRY(qn_rows_columns_all(p->reader, err));
        return qn_rows_read_list(p->reader, &p->scan, err);
    case 2:
        return qn_rows_read_columns(p->reader, &p->scan, err);
    case 3:
        return qn_rows_read_split(p->reader, &p->scan, err);
    default:
        QN_TRY(qn_rows_add(p->rows, 1, err));
        return qn_rows_read_cell(p->reader, &p->scan, 0,
                                 (int32_t)(form / 5) % qn_model_inputs(p->model)->n_columns, err);
    }
}

/* Scores of what is read; NULL when it is refused. */
static double *answer(place *p, unsigned form, const char *text, size_t n, size_t *ret_n,
                      qn_error *err) {
    qn_rows_clear(p->rows);
    qn_scan_again(&p->scan, text, n);
    qn_status status = read_form(p, form, err);
    if (status == QN_OK && !qn_scan_finish(&p->scan))
        status = qn_scan_error(&p->scan, "the body", err);
    fuzz_require(p->scan.at <= p->scan.end, "a reader stays inside");
    *ret_n = (size_t)qn_rows_count(p->rows) * (size_t)qn_model_n_outputs(p->model);
    if (status != QN_OK) {
        fuzz_require_told(status, err);
        return NULL;
    }
    double *scores = qn_new_array(double, *ret_n);
    fuzz_require(scores && qn_rows_predict(p->rows, scores, NULL) == QN_OK, "rows get answers");
    return scores;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    unsigned choice = (unsigned)fuzz_take(&data, &size, 1),
             form = (unsigned)fuzz_take(&data, &size, 1);
    place *p = &places[choice % N_GOLDEN];
    qn_cleanup(qn_freep) char *text = fuzz_text(data, size);
    qn_error err = {0}, err_again = {0};
    size_t n, n_again;
    qn_rows_reader_set_policy(p->reader, (qn_rows_policy){choice & 128, choice & 64});
    qn_cleanup(qn_freep) double *scores = answer(p, form, text, size, &n, &err);
    qn_cleanup(qn_freep) double *again = answer(p, form, text, size, &n_again, &err_again);
    fuzz_require(n == n_again && !scores == !again && strcmp(err.message, err_again.message) == 0,
                 "reading twice gives the same");
    if (scores) {
        fuzz_require(fuzz_same_numbers(scores, again, n), "asking twice gives the same bits");
        size_t width = (size_t)qn_model_inputs(p->model)->n_columns + 1;
        qn_cleanup(qn_freep) double *why = n < 5000 ? qn_new_array(double, n *width) : NULL;
        fuzz_require(!why || qn_rows_explain(p->rows, why, NULL) == QN_OK, "rows are explained");
    }
    return 0;
}
