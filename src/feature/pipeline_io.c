/* pipeline_io.c - a fitted pipeline as bytes, and what it saw in training.
 *
 *   u32 magic, u32 version, u32 flags (1: dense)
 *   u32 n_inputs,  each: text name, u32 type, u64 rows, u64 missing, f64 low, f64 high, u32 has, [dict]
 *   u32 n_dropped, each: text name
 *   u32 n_chains,  each: u32 n_inputs, u32 input..., u32 n_nodes,
 *                        each node: text transform with its parameters (JSON), u32 i_in, u64 bytes, state
 *
 * text is u32 bytes and the bytes; numbers are little-endian; dict is u64 items, each a text. */
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "feature/feature_int.h"

enum { MAGIC = 0x504E5151, VERSION = 1, CHAIN_INPUTS_MAX = 8, CHAIN_NODES_MAX = 1 << 20 };

/* --- save --- */

static void put_string(qn_buf *out, const char *text) {
    qn__put_text(out, text, strlen(text));
}

static qn_status save_node(const qn__node *node, qn_buf *out, qn_error *err) {
    const qn__state *state = node->state;
    qn__item item = {.transform = state->transform, .params = state->params, .list = state->list};
    qn_cleanup(qn_json_free) json_t *json = qn__item_to_json(&item);
    qn_cleanup(qn_freep) char *text = json ? qn_json_text(json, QN_JSON_COMPACT) : NULL;
    if (!text)
        return qn_error_memory(err);
    put_string(out, text);
    qn_buf_put_u32(out, (uint32_t)node->i_in);
    qn_cleanup(qn_buf_done) qn_buf bytes = {0};
    if (state->transform->save)
        state->transform->save(state, &bytes);
    QN_TRY(qn_buf_status(&bytes, err));
    qn_buf_put_u64(out, bytes.len);
    qn_buf_put(out, bytes.data, bytes.len);
    return QN_OK;
}

static void save_input(const qn_pipeline *p, int32_t i, qn_buf *out) {
    const qn__seen *seen = &p->seen[i];
    put_string(out, p->inputs.columns[i].name);
    qn_buf_put_u32(out, (uint32_t)p->inputs.columns[i].type);
    qn_buf_put_u64(out, (uint64_t)seen->n_rows);
    qn_buf_put_u64(out, (uint64_t)seen->n_missing);
    qn_buf_put_f64(out, seen->low);
    qn_buf_put_f64(out, seen->high);
    qn_buf_put_u32(out, seen->top != NULL);
    if (seen->top)
        qn__put_dict(out, seen->top);
}

qn_status qn_pipeline_save(const qn_pipeline *pipeline, qn_buf *out, qn_error *err) {
    qn_buf_put_u32(out, MAGIC);
    qn_buf_put_u32(out, VERSION);
    qn_buf_put_u32(out, pipeline->dense);
    qn_buf_put_u32(out, (uint32_t)pipeline->inputs.n_columns);
    for (int32_t i = 0; i < pipeline->inputs.n_columns; i++)
        save_input(pipeline, i, out);
    qn_buf_put_u32(out, (uint32_t)pipeline->n_dropped);
    for (int32_t i = 0; i < pipeline->n_dropped; i++)
        put_string(out, pipeline->dropped[i]);
    qn_buf_put_u32(out, (uint32_t)pipeline->n_chains);
    for (int32_t c = 0; c < pipeline->n_chains; c++) {
        const qn__chain *chain = &pipeline->chains[c];
        qn_buf_put_u32(out, (uint32_t)chain->n_inputs);
        for (int32_t k = 0; k < chain->n_inputs; k++)
            qn_buf_put_u32(out, (uint32_t)chain->inputs[k]);
        qn_buf_put_u32(out, (uint32_t)chain->n_nodes);
        for (int32_t k = 0; k < chain->n_nodes; k++)
            QN_TRY(save_node(&chain->nodes[k], out, err));
    }
    return qn_buf_status(out, err);
}

/* --- load --- */

/* A u32 count of things of at least item_bytes each. */
static qn_status read_few(qn_reader *reader, size_t item_bytes, int32_t max, int32_t *ret,
                          qn_error *err) {
    uint32_t n = qn_reader_u32(reader);
    if (reader->failed || n > (uint32_t)max || n > (reader->len - reader->pos) / item_bytes)
        return qn__damaged(err);
    *ret = (int32_t)n;
    return QN_OK;
}

static qn_status read_name(qn_reader *reader, char **ret, qn_error *err) {
    qn_cleanup(qn_freep) char *name = NULL;
    size_t n;
    QN_TRY(qn__read_text(reader, &name, &n, err));
    if (n > QN_LIMIT_NAME_BYTES || (n > 0 && !qn_text_is_utf8(name, n)))
        return qn__damaged(err);
    *ret = qn_steal(&name);
    return QN_OK;
}

static qn_status load_input(qn_pipeline *p, int32_t i, qn_reader *reader, qn_error *err) {
    qn__seen *seen = &p->seen[i];
    QN_TRY(read_name(reader, &p->inputs.columns[i].name, err));
    uint32_t type = qn_reader_u32(reader);
    uint64_t n_rows = qn_reader_u64(reader), n_missing = qn_reader_u64(reader);
    if (type > QN_TYPE_TIME || n_rows > INT64_MAX || n_missing > n_rows)
        return qn__damaged(err);
    p->inputs.columns[i].type = (qn_type)type;
    seen->n_rows = (int64_t)n_rows;
    seen->n_missing = (int64_t)n_missing;
    QN_TRY(qn__read_finite(reader, &seen->low, err));
    QN_TRY(qn__read_finite(reader, &seen->high, err));
    uint32_t has_top = qn_reader_u32(reader);
    if (has_top > 1 || reader->failed)
        return qn__damaged(err);
    return has_top ? qn__read_dict(reader, &seen->top, err) : QN_OK;
}

static qn_status load_inputs(qn_pipeline *p, qn_reader *reader, qn_error *err) {
    int32_t n;
    QN_TRY(read_few(reader, 44, QN_LIMIT_COLUMNS, &n, err));
    p->inputs.columns = qn_new_array(qn_schema_column, n);
    p->seen = qn_new_array(qn__seen, n);
    if (!p->inputs.columns || !p->seen)
        return qn_error_memory(err);
    p->inputs.n_columns = n;
    for (int32_t i = 0; i < n; i++)
        QN_TRY(load_input(p, i, reader, err));
    QN_TRY(read_few(reader, 4, QN_LIMIT_COLUMNS, &n, err));
    p->dropped = qn_new_array(char *, n);
    if (!p->dropped)
        return qn_error_memory(err);
    p->n_dropped = n;
    for (int32_t i = 0; i < n; i++)
        QN_TRY(read_name(reader, &p->dropped[i], err));
    return QN_OK;
}

/* The transform and its parameters; any complaint about them means damage here. */
static qn_status load_item(qn_reader *reader, qn__item *ret_item, qn_error *err) {
    qn_cleanup(qn_freep) char *text = NULL;
    size_t n;
    QN_TRY(qn__read_text(reader, &text, &n, err));
    qn_cleanup(qn_json_free) json_t *json = NULL;
    qn_error why = {0};
    qn_status status = qn_json_parse(text, n, "pipeline", &json, &why);
    if (status == QN_OK && !json_is_object(json))
        return qn__damaged(err);
    if (status == QN_OK)
        status = qn__item_from_json(json, ret_item, &why);
    if (status == QN_ERR_MEMORY)
        return qn_error_memory(err);
    return status == QN_OK ? QN_OK
                           : qn_error_set(err, QN_ERR_FORMAT,
                                          "the feature pipeline is damaged: %.300s", why.message);
}

static qn_status load_node(qn__node *node, const unsigned *kinds, int32_t n_values,
                           qn_reader *reader, qn_error *err) {
    qn_cleanup(qn__item_done) qn__item item = {0};
    QN_TRY(load_item(reader, &item, err));
    uint32_t i_in = qn_reader_u32(reader);
    uint64_t n = qn_reader_u64(reader);
    const unsigned char *bytes = reader->failed || n > reader->len - reader->pos
                                     ? NULL : qn_reader_bytes(reader, (size_t)n);
    if (!bytes || i_in >= (uint32_t)n_values || !(item.transform->accepts & kinds[i_in]))
        return qn__damaged(err);
    node->i_in = (int32_t)i_in;
    node->state = qn__state_new(&item, kinds[i_in]);
    if (!node->state)
        return qn_error_memory(err);
    qn_reader own = {.data = bytes, .len = (size_t)n};
    QN_TRY(item.transform->load(node->state, &own, err));
    if (own.failed || own.pos != own.len || node->state->n_out < 0 || node->state->n_sparse < 0)
        return qn__damaged(err);
    return QN_OK;
}

static qn_status grow_kinds(unsigned **kinds, int64_t n, int64_t n_more, unsigned kind,
                            qn_error *err) {
    if (n + n_more > QN_LIMIT_FEATURES)
        return qn__damaged(err);
    unsigned *grown = qn_realloc(*kinds, (size_t)(n + n_more), sizeof *grown);
    if (!grown)
        return qn_error_memory(err);
    *kinds = grown;
    for (int64_t k = 0; k < n_more; k++)
        grown[n + k] = kind;
    return QN_OK;
}

static qn_status load_chain(qn_pipeline *p, qn__chain *chain, qn_reader *reader, qn_error *err) {
    int32_t n_nodes, n_values;
    QN_TRY(read_few(reader, 4, CHAIN_INPUTS_MAX, &n_values, err));
    if (n_values < 1)
        return qn__damaged(err);
    chain->inputs = qn_new_array(int32_t, n_values);
    qn_cleanup(qn_freep) unsigned *kinds = qn_new_array(unsigned, n_values);
    if (!chain->inputs || !kinds)
        return qn_error_memory(err);
    chain->n_inputs = n_values;
    for (int32_t k = 0; k < n_values; k++) {
        uint32_t i = qn_reader_u32(reader);
        if (i >= (uint32_t)p->inputs.n_columns)
            return qn__damaged(err);
        chain->inputs[k] = (int32_t)i;
        kinds[k] = qn__kind_of_type(p->inputs.columns[i].type);
    }
    QN_TRY(read_few(reader, 16, CHAIN_NODES_MAX, &n_nodes, err));
    chain->nodes = qn_new_array(qn__node, n_nodes);
    if (!chain->nodes)
        return qn_error_memory(err);
    chain->n_nodes = n_nodes;
    for (int32_t k = 0; k < n_nodes; k++) {
        qn__node *node = &chain->nodes[k];
        QN_TRY(load_node(node, kinds, n_values, reader, err));
        const qn__state *state = node->state;
        unsigned kind = qn__kind_out(state->transform, state->params, kinds[node->i_in]);
        QN_TRY(grow_kinds(&kinds, n_values, state->n_out, kind, err));
        n_values += state->n_out;
    }
    if (n_nodes == 0 && chain->n_inputs != 1)
        return qn__damaged(err);
    return qn__chain_wire(chain, kinds, err);
}

/* The shortest chain is one input and one node: 4 + 4 + 4 + 16 bytes; without nodes 12. */
static qn_status load_chains(qn_pipeline *p, qn_reader *reader, qn_error *err) {
    int32_t n;
    QN_TRY(read_few(reader, 12, QN_LIMIT_FEATURES, &n, err));
    p->chains = qn_new_array(qn__chain, n);
    if (!p->chains)
        return qn_error_memory(err);
    p->n_chains = n;
    for (int32_t c = 0; c < n; c++)
        QN_TRY(load_chain(p, &p->chains[c], reader, err));
    return QN_OK;
}

/* A short file must not ask for many features: only hashed columns are not backed by bytes. */
static qn_status check_hashed(const qn_pipeline *p, qn_error *err) {
    int64_t n = 0;
    for (int32_t c = 0; c < p->n_chains; c++)
        for (int32_t k = 0; k < p->chains[c].n_nodes; k++)
            n += p->chains[c].nodes[k].state->n_sparse;
    return n > QN_LIMIT_FEATURES ? qn__damaged(err) : QN_OK;
}

qn_status qn_pipeline_load(const void *bytes, size_t n, qn_pipeline **ret_pipeline, qn_error *err) {
    qn_reader reader = {.data = bytes, .len = n};
    uint32_t magic = qn_reader_u32(&reader), version = qn_reader_u32(&reader);
    uint32_t flags = qn_reader_u32(&reader);
    if (reader.failed || magic != MAGIC)
        return qn__damaged(err);
    QN_FAIL_IF(version != VERSION || flags > 1, err, QN_ERR_FORMAT,
               "the feature pipeline has version %u; this program reads version %d", version,
               VERSION);
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = qn_new(qn_pipeline);
    if (!pipeline)
        return qn_error_memory(err);
    pipeline->dense = flags & 1;
    QN_TRY(load_inputs(pipeline, &reader, err));
    QN_TRY(load_chains(pipeline, &reader, err));
    if (reader.failed || reader.pos != reader.len)
        return qn__damaged(err);
    QN_TRY(check_hashed(pipeline, err));
    QN_TRY(qn__pipeline_finish(pipeline, err));
    *ret_pipeline = qn_steal(&pipeline);
    return QN_OK;
}

/* --- describe --- */

static json_t *category_list(const qn_dict *dict) {
    json_t *list = json_array();
    for (int32_t c = 0; list && c < qn_dict_size(dict); c++) {
        size_t n;
        const char *text = qn_dict_text(dict, c, &n);
        if (n == 0 || qn_text_is_utf8(text, n)) /* JSON holds nothing else */
            json_array_append_new(list, json_stringn(text, n));
    }
    return list;
}

json_t *qn_pipeline_describe_input(const qn_pipeline *pipeline, int32_t i_input) {
    const qn__seen *seen = &pipeline->seen[i_input];
    const qn_schema_column *column = &pipeline->inputs.columns[i_input];
    double share = seen->n_rows ? (double)seen->n_missing / (double)seen->n_rows : 0;
    json_t *json = json_pack("{sssssf}", "name", column->name, "type", qn_type_name(column->type),
                             "missing_share", share);
    if (!json)
        return NULL;
    unsigned kind = qn__kind_of_type(column->type);
    if (kind & (QN__NUMBER | QN__TIME)) {
        json_object_set_new(json, "low", qn_json_number(seen->low));
        json_object_set_new(json, "high", qn_json_number(seen->high));
    }
    if (seen->top)
        json_object_set_new(json, "categories", category_list(seen->top));
    return json;
}

json_t *qn_pipeline_dropped(const qn_pipeline *pipeline) {
    json_t *list = json_array();
    for (int32_t i = 0; list && i < pipeline->n_dropped; i++)
        json_array_append_new(list, json_string(pipeline->dropped[i]));
    return list;
}
