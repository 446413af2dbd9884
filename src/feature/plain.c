/* plain.c - a pipeline that nobody fitted: inputs of a model from elsewhere. */
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "feature/feature_int.h"
#include "feature/transforms_int.h"

/* The one node of a chain, its state loaded from bytes as if from a file. */
static qn_status add_node(qn__chain *chain, const qn__transform *transform, const qn_buf *state,
                          qn_error *err) {
    qn__item item = {.transform = transform};
    QN_TRY(qn_buf_status(state, err));
    item.params = qn_calloc(1, transform->params_bytes ? transform->params_bytes : 1);
    if (!item.params)
        return qn_error_memory(err);
    qn_params_default(transform->params, transform->n_params, item.params);
    qn__state *made = qn__state_new(&item, QN__NUMBER);
    qn__item_done(&item);
    if (!made)
        return qn_error_memory(err);
    chain->nodes[chain->n_nodes++].state = made;
    qn_reader reader = {.data = (const unsigned char *)state->data, .len = state->len};
    return transform->load(made, &reader, err);
}

/* The codes 0 .. n - 1 as the texts of these numbers. */
static qn_status put_codes(int32_t n, qn_buf *out, qn_error *err) {
    qn_cleanup(qn_dict_free) qn_dict *dict = qn_dict_new();
    char text[QN_DOUBLE_TEXT];
    for (int32_t c = 0; dict && c < n; c++)
        if (qn_dict_add(dict, text, qn_number_to_text((double)c, text)) != c)
            return qn_error_memory(err);
    if (!dict)
        return qn_error_memory(err);
    qn_buf_put_u32(out, 0);
    qn__put_dict(out, dict);
    return qn_buf_status(out, err);
}

static qn_status make_chain(const qn_plain_input *input, int32_t i, qn__chain *chain,
                            qn_error *err) {
    const unsigned kinds[] = {QN__NUMBER};
    qn_cleanup(qn_buf_done) qn_buf state = {0};
    chain->inputs = qn_new_array(int32_t, 1);
    chain->nodes = qn_new_array(qn__node, 1);
    if (!chain->inputs || !chain->nodes)
        return qn_error_memory(err);
    chain->n_inputs = 1;
    chain->inputs[0] = i;
    if (input->n_codes > 0) {
        QN_TRY(put_codes(input->n_codes, &state, err));
        QN_TRY(add_node(chain, &qn__transform_category, &state, err));
    } else if (input->zero_missing) {
        QN_TRY(add_node(chain, &qn__transform_zero_missing, &state, err));
    }
    return qn__chain_wire(chain, kinds, err);
}

static qn_status add_input(qn_pipeline *p, const qn_plain_input *input, qn_dict *names,
                           qn_error *err) {
    int32_t i = p->inputs.n_columns;
    size_t n = strlen(input->name);
    QN_FAIL_IF(n == 0 || n > QN_LIMIT_NAME_BYTES || !qn_text_is_utf8(input->name, n), err,
               QN_ERR_FORMAT, "the name of input %d is not a text of 1 to %d bytes", i,
               QN_LIMIT_NAME_BYTES);
    QN_FAIL_IF(qn_dict_find(names, input->name, n) >= 0, err, QN_ERR_FORMAT,
               "two inputs are called '%s'", input->name);
    if (qn_dict_add(names, input->name, n) < 0
        || !(p->inputs.columns[i].name = qn_strdup(input->name)))
        return qn_error_memory(err);
    p->inputs.columns[i].type = QN_TYPE_F64;
    p->inputs.n_columns++;
    p->seen[i].low = input->low;
    p->seen[i].high = input->high;
    p->seen[i].n_rows = input->n_rows;
    p->seen[i].n_missing = input->n_missing;
    p->n_chains++;
    return make_chain(input, i, &p->chains[i], err);
}

qn_status qn_pipeline_plain(const qn_plain_input *inputs, int32_t n_inputs,
                            qn_pipeline **ret_pipeline, qn_error *err) {
    QN_FAIL_IF(n_inputs < 1 || n_inputs > QN_LIMIT_COLUMNS, err, QN_ERR_LIMIT,
               "a model has 1 to %d inputs, not %d", QN_LIMIT_COLUMNS, n_inputs);
    qn_cleanup(qn_pipeline_free) qn_pipeline *p = qn_new(qn_pipeline);
    qn_cleanup(qn_dict_free) qn_dict *names = qn_dict_new();
    if (!p || !names)
        return qn_error_memory(err);
    p->inputs.columns = qn_new_array(qn_schema_column, n_inputs);
    p->seen = qn_new_array(qn__seen, n_inputs);
    p->chains = qn_new_array(qn__chain, n_inputs);
    if (!p->inputs.columns || !p->seen || !p->chains)
        return qn_error_memory(err);
    for (int32_t i = 0; i < n_inputs; i++)
        QN_TRY(add_input(p, &inputs[i], names, err));
    QN_TRY(qn__pipeline_finish(p, err));
    *ret_pipeline = qn_steal(&p);
    return QN_OK;
}
