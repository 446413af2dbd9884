/* The rule of a stump in words, for reports: "relationship is Husband or Wife, or missing". */
#include <math.h>

#include "base/buf.h"
#include "base/mem.h"
#include "learn/baseline_int.h"

enum { SHOWN = 6 };

static void put_category(const qn_feature *feature, int32_t code, qn_buf *out) {
    size_t n = 0;
    const char *text = feature->categories ? qn_dict_text(feature->categories, code, &n) : NULL;
    if (!text)
        qn_buf_printf(out, "category %d", (int)code);
    else if (n == 0)
        qn_buf_put_text(out, "(empty)");
    else
        qn_buf_put(out, text, n);
}

/* "A", "A or B", "A, B or C", "A, B, C, D, E, F or one of 12 more". */
static void put_set(const qn__baseline *m, const qn_feature *feature, qn_buf *out) {
    int32_t n = 0, n_put = 0;
    for (int32_t c = 0; c < m->n_categories; c++)
        n += m->in_first[c];
    if (n == 0) {
        qn_buf_put_text(out, "none of the known");
        return;
    }
    int32_t n_shown = n > SHOWN + 1 ? SHOWN : n;
    for (int32_t c = 0; c < m->n_categories && n_put < n_shown; c++) {
        if (!m->in_first[c])
            continue;
        qn_buf_put_text(out, n_put == 0 ? "" : n_put + 1 == n ? " or " : ", ");
        put_category(feature, c, out);
        n_put++;
    }
    if (n > n_shown)
        qn_buf_printf(out, " or one of %d more", (int)(n - n_shown));
}

qn_status qn__baseline_write_rule(qn__baseline *m, const qn_feature *feature, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf out = {0};
    if (m->kind == QN_FEATURE_CATEGORY) {
        qn_buf_printf(&out, "%s is ", m->name);
        put_set(m, feature, &out);
    } else if (isinf(m->threshold)) {
        qn_buf_printf(&out, "%s is known", m->name);
    } else {
        qn_buf_printf(&out, "%s <= %.6g", m->name, m->threshold);
    }
    if (m->missing_first)
        qn_buf_put_text(&out, ", or missing");
    QN_TRY(qn_buf_status(&out, err));
    m->rule = qn_strndup(qn_buf_text(&out), out.len);
    return m->rule ? QN_OK : qn_error_memory(err);
}
