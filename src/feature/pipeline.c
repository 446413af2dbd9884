/* pipeline.c - fitting and applying chains. */
#include "feature/pipeline.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "feature/feature_int.h"
#include "feature/transforms_int.h"

enum { NAME_BYTES = 200, TOP_CATEGORIES = 100, SMALL_WORK = 4096 };

/* --- life cycle --- */

qn__state *qn__state_new(const qn__item *item, unsigned in_kind) {
    const qn__transform *t = item->transform;
    qn__state *state = qn_calloc(1, t->state_bytes);
    if (!state)
        return NULL;
    state->transform = t;
    state->in_kind = in_kind;
    state->params = qn_calloc(1, t->params_bytes ? t->params_bytes : 1);
    if (!state->params) {
        qn_freep(&state);
        return NULL;
    }
    memcpy(state->params, item->params, t->params_bytes);
    state->list = json_incref(item->list);
    return state;
}

void qn__state_free(qn__state **state) {
    if (!state || !*state)
        return;
    if ((*state)->transform->done)
        (*state)->transform->done(*state);
    qn_freep(&(*state)->params);
    qn_json_free(&(*state)->list);
    qn_freep(state);
}

void qn__chain_done(qn__chain *chain) {
    for (int32_t i = 0; i < chain->n_nodes; i++)
        qn__state_free(&chain->nodes[i].state);
    qn_freep(&chain->nodes);
    qn_freep(&chain->inputs);
    qn_freep(&chain->kinds);
    qn_freep(&chain->leaf);
    *chain = (qn__chain){0};
}

void qn_pipeline_free(qn_pipeline **pipeline) {
    if (!pipeline || !*pipeline)
        return;
    qn_pipeline *p = *pipeline;
    for (int32_t i = 0; p->seen && i < p->inputs.n_columns; i++)
        qn_dict_free(&p->seen[i].top);
    qn_freep(&p->seen);
    qn_schema_done(&p->inputs);
    for (int32_t i = 0; i < p->n_chains; i++)
        qn__chain_done(&p->chains[i]);
    qn_freep(&p->chains);
    for (int32_t i = 0; p->features && i < p->n_features; i++)
        qn_freep(&p->features[i].name);
    qn_freep(&p->features);
    for (int32_t i = 0; p->dropped && i < p->n_dropped; i++)
        qn_freep(&p->dropped[i]);
    qn_freep(&p->dropped);
    qn_freep(pipeline);
}

const qn_schema *qn_pipeline_inputs(const qn_pipeline *pipeline) {
    return &pipeline->inputs;
}

const qn_feature *qn_pipeline_features(const qn_pipeline *pipeline, int32_t *ret_n_features) {
    *ret_n_features = pipeline->n_features;
    return pipeline->features;
}

/* --- wiring: numbers of values, and which of them are features --- */

static bool node_fits(const qn__chain *chain, int32_t i_node, int32_t n_values) {
    const qn__node *node = &chain->nodes[i_node];
    const qn__transform *t = node->state->transform;
    if (node->i_in < 0 || node->i_in >= n_values || node->state->n_out < 0)
        return false;
    if (t->many)
        return i_node == 0 && node->i_in == 0;
    return chain->n_inputs == 1 || chain->nodes[0].state->transform->many;
}

qn_status qn__chain_wire(qn__chain *chain, const unsigned *input_kinds, qn_error *err) {
    int64_t n_values = chain->n_inputs;
    for (int32_t i = 0; i < chain->n_nodes; i++)
        n_values += chain->nodes[i].state->n_out;
    if (n_values > QN_LIMIT_FEATURES)
        return qn_error_set(err, QN_ERR_LIMIT, "more than %d features", QN_LIMIT_FEATURES);
    qn_freep(&chain->kinds);
    qn_freep(&chain->leaf);
    chain->kinds = qn_new_array(unsigned, n_values);
    chain->leaf = qn_new_array(uint8_t, n_values);
    if (!chain->kinds || !chain->leaf)
        return qn_error_memory(err);
    memcpy(chain->kinds, input_kinds, (size_t)chain->n_inputs * sizeof *input_kinds);
    memset(chain->leaf, 1, (size_t)n_values);
    int32_t n = chain->n_inputs;
    for (int32_t i = 0; i < chain->n_nodes; i++) {
        qn__node *node = &chain->nodes[i];
        const qn__transform *t = node->state->transform;
        if (!node_fits(chain, i, n))
            return qn__damaged(err);
        int32_t last = t->many ? chain->n_inputs : node->i_in + 1;
        for (int32_t v = node->i_in; v < last; v++) {
            if (!(t->accepts & chain->kinds[v]) || !chain->leaf[v])
                return qn__damaged(err);
            chain->leaf[v] = 0;
        }
        node->i_out = n;
        for (int32_t k = 0; k < node->state->n_out; k++)
            chain->kinds[n++] = qn__kind_out(t, node->state->params, chain->kinds[node->i_in]);
    }
    chain->n_values = n;
    for (int32_t v = 0; v < n; v++) /* what leaves must be something a matrix can hold */
        if (chain->leaf[v] && (chain->kinds[v] & (QN__TEXT | QN__TIME) ||
                               (v < chain->n_inputs && chain->kinds[v] != QN__NUMBER)))
            return qn__damaged(err);
    return QN_OK;
}

/* --- names --- */

/* The node that makes a value; NULL for an input. Nodes stand in the order of what they make. */
static const qn__node *maker_of(const qn__chain *chain, int32_t value) {
    int32_t low = 0, high = chain->n_nodes; /* nodes before `low` begin at `value` or before it */
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (chain->nodes[middle].i_out <= value)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &chain->nodes[low - 1] : NULL;
}

/* Name of a value, or of item i of a sparse block. Depth is bounded by the chain's nodes. */
static qn_status name_value(const qn_pipeline *p, const qn__chain *chain, int32_t value,
                            int32_t item, qn_buf *out, qn_error *err) {
    const qn__node *path[128];
    int32_t which[128], n = 0;
    for (const qn__node *node; n < 128 && (node = maker_of(chain, value)); value = node->i_in) {
        path[n] = node;
        which[n++] = value - node->i_out;
    }
    qn_cleanup(qn_buf_done) qn_buf name = {0};
    bool many = n > 0 && path[n - 1]->state->transform->many;
    for (int32_t k = 0; k < (many ? chain->n_inputs : 1); k++)
        qn_buf_printf(&name, "%s%s", k ? " x " : "", p->inputs.columns[chain->inputs[k]].name);
    for (int32_t k = n - 1; k >= 0; k--) {
        qn_cleanup(qn_buf_done) qn_buf next = {0};
        bool sparse = k == 0 && item >= 0;
        path[k]->state->transform->name_out(path[k]->state, qn_buf_text(&name),
                                            sparse ? item : which[k], &next);
        QN_TRY(qn_buf_status(&next, err));
        qn_buf_clear(&name);
        qn_buf_put(&name, next.data, next.len);
    }
    qn_buf_put(out, name.data, name.len);
    QN_TRY(qn_buf_status(&name, err));
    return qn_buf_status(out, err);
}

static bool is_taken(const qn_dict *taken, char *text, size_t n, size_t size, int64_t copy) {
    snprintf(text + n, size - n, " #%lld", (long long)copy);
    return qn_dict_find(taken, text, strlen(text)) >= 0;
}

/* Puts " #2" and so on behind a name that is taken. Copies are numbered without gaps, so bisection
 * finds the first free number: a file from outside may hold a million features of one name. */
static void number_copy(const qn_dict *taken, char *text, size_t n, size_t size) {
    int64_t used = 1, free = 2;
    for (; is_taken(taken, text, n, size, free); free *= 2)
        used = free;
    while (free - used > 1) {
        int64_t middle = used + (free - used) / 2;
        if (is_taken(taken, text, n, size, middle))
            used = middle;
        else
            free = middle;
    }
    (void)is_taken(taken, text, n, size, free);
}

/* Short, well-formed, printable, and unlike all names before it. */
static qn_status settle_name(const qn_buf *raw, qn_dict *taken, char **ret, qn_error *err) {
    char text[NAME_BYTES + 24];
    size_t n = raw->len < NAME_BYTES ? raw->len : NAME_BYTES;
    if (n > 0)
        memcpy(text, raw->data, n);
    if (raw->len > n)
        while (n > 0 && ((unsigned char)raw->data[n] & 0xC0) == 0x80)
            n--; /* not in the middle of a code point */
    bool utf8 = n == 0 || qn_text_is_utf8(text, n);
    for (size_t k = 0; k < n; k++)
        if ((unsigned char)text[k] < 0x20 || text[k] == 0x7F ||
            (!utf8 && (unsigned char)text[k] >= 0x80))
            text[k] = text[k] == '\t' || text[k] == '\n' ? ' ' : '?';
    text[n] = '\0';
    if (qn_dict_find(taken, text, n) >= 0)
        number_copy(taken, text, n, sizeof text);
    if (qn_dict_add(taken, text, strlen(text)) < 0)
        return qn_error_memory(err);
    *ret = qn_strdup(text);
    return *ret ? QN_OK : qn_error_memory(err);
}

static int32_t features_of(const qn__chain *chain, int32_t value) {
    const qn__node *maker = chain->kinds[value] == QN__SPARSE ? maker_of(chain, value) : NULL;
    return maker ? maker->state->n_sparse : 1;
}

static qn_status describe_value(qn_pipeline *p, const qn__chain *chain, int32_t value,
                                int32_t i_feature, qn_dict *taken, qn_error *err) {
    bool sparse = chain->kinds[value] == QN__SPARSE;
    const qn__node *maker = maker_of(chain, value);
    int32_t n = features_of(chain, value);
    for (int32_t i = 0; i < n; i++) {
        qn_feature *feature = &p->features[i_feature + i];
        qn_cleanup(qn_buf_done) qn_buf raw = {0};
        QN_TRY(name_value(p, chain, value, sparse ? i : -1, &raw, err));
        QN_TRY(settle_name(&raw, taken, &feature->name, err));
        feature->i_input = chain->inputs[0];
        feature->kind = sparse ? (p->dense ? QN_FEATURE_NUMERIC : QN_FEATURE_SPARSE)
                        : chain->kinds[value] == QN__CATEGORY ? QN_FEATURE_CATEGORY
                                                              : QN_FEATURE_NUMERIC;
        if (feature->kind == QN_FEATURE_CATEGORY) {
            const qn_dict *dict = maker->state->transform->dict(maker->state);
            feature->categories = dict;
            feature->n_categories = dict ? qn_dict_size(dict) : 0;
        }
    }
    return QN_OK;
}

qn_status qn__pipeline_finish(qn_pipeline *pipeline, qn_error *err) {
    int64_t n = 0;
    for (int32_t c = 0; c < pipeline->n_chains; c++) {
        qn__chain *chain = &pipeline->chains[c];
        chain->i_feature = (int32_t)n;
        for (int32_t v = 0; v < chain->n_values; v++)
            n += chain->leaf[v] ? features_of(chain, v) : 0;
        if (n > QN_LIMIT_FEATURES)
            return qn_error_set(err, QN_ERR_LIMIT, "more than %d features", QN_LIMIT_FEATURES);
        chain->n_features = (int32_t)n - chain->i_feature;
    }
    qn_cleanup(qn_dict_free) qn_dict *taken = qn_dict_new();
    pipeline->features = qn_new_array(qn_feature, n);
    if (!taken || !pipeline->features)
        return qn_error_memory(err);
    pipeline->n_features = (int32_t)n;
    for (int32_t c = 0; c < pipeline->n_chains; c++) {
        const qn__chain *chain = &pipeline->chains[c];
        int32_t i = chain->i_feature;
        for (int32_t v = 0; v < chain->n_values; v++)
            if (chain->leaf[v]) {
                QN_TRY(describe_value(pipeline, chain, v, i, taken, err));
                i += features_of(chain, v);
            }
    }
    return QN_OK;
}

/* --- running a chain --- */

static void all_values_done(qn__values *values, int32_t n) {
    for (int32_t v = 0; values && v < n; v++)
        qn__values_done(&values[v]);
}

static void prepare_out(const qn__node *node, int64_t n_rows, unsigned kind, qn__values *out) {
    for (int32_t k = 0; k < node->state->n_out; k++) {
        out[k].kind = kind;
        out[k].n_rows = n_rows;
        if (kind == QN__CATEGORY)
            out[k].dict = node->state->transform->dict(node->state);
    }
}

static qn_status run_node(const qn__chain *chain, const qn__node *node, int64_t n_rows,
                          const qn__fit *train, qn__values *values, qn_error *err) {
    const qn__transform *t = node->state->transform;
    qn__values *out = values + node->i_out;
    int32_t n_in = t->many ? chain->n_inputs : 1;
    prepare_out(node, n_rows, node->state->n_out ? chain->kinds[node->i_out] : 0, out);
    if (train && t->apply_train)
        return t->apply_train(node->state, values + node->i_in, n_in, train, out, err);
    return t->apply(node->state, values + node->i_in, n_in, out, err);
}

/* Row-wise block to columns; features first .. of the matrix. */
static qn_status place_sparse(const qn__values *block, int32_t n_block, int32_t first, bool dense,
                              qn_matrix *matrix, qn_error *err) {
    int64_t n = block->start[block->n_rows];
    if (dense) {
        for (int32_t f = 0; f < n_block; f++)
            memset(matrix->columns[first + f].num, 0, (size_t)block->n_rows * sizeof(double));
        for (int64_t i = 0; i < block->n_rows; i++)
            for (int64_t k = block->start[i]; k < block->start[i + 1]; k++)
                matrix->columns[first + block->feature[k]].num[i] = block->weight[k];
        return QN_OK;
    }
    if (n == 0)
        return QN_OK;
    int64_t *row = NULL;
    double *value = NULL;
#pragma omp critical(qn_matrix_blocks)
    {
        row = qn_matrix_block(matrix, (size_t)n, sizeof *row);
        value = row ? qn_matrix_block(matrix, (size_t)n, sizeof *value) : NULL;
    }
    if (!value)
        return qn_error_memory(err);
    for (int64_t k = 0; k < n; k++)
        matrix->columns[first + block->feature[k]].n_set++;
    int64_t at = 0;
    for (int32_t f = 0; f < n_block; f++) {
        qn_matrix_column *column = &matrix->columns[first + f];
        if (column->n_set == 0)
            continue;
        column->row = row + at;
        column->value = value + at;
        at += column->n_set;
        column->n_set = 0;
    }
    for (int64_t i = 0; i < block->n_rows; i++)
        for (int64_t k = block->start[i]; k < block->start[i + 1]; k++) {
            qn_matrix_column *column = &matrix->columns[first + block->feature[k]];
            column->row[column->n_set] = i;
            column->value[column->n_set++] = block->weight[k];
        }
    return QN_OK;
}

/* Leaves that are not in the matrix already go there. */
static qn_status place_leaves(const qn_pipeline *p, const qn__chain *chain,
                              const qn__values *values, qn_matrix *matrix, qn_error *err) {
    int32_t f = chain->i_feature;
    for (int32_t v = 0; v < chain->n_values; v++) {
        if (!chain->leaf[v])
            continue;
        qn_matrix_column *column = &matrix->columns[f];
        const qn__values *leaf = &values[v];
        if (leaf->kind == QN__SPARSE)
            QN_TRY(place_sparse(leaf, features_of(chain, v), f, p->dense, matrix, err));
        else if (leaf->kind == QN__NUMBER && leaf->num != column->num)
            memcpy(column->num, leaf->num, (size_t)leaf->n_rows * sizeof *leaf->num);
        else if (leaf->kind == QN__CATEGORY && leaf->code != column->code)
            memcpy(column->code, leaf->code, (size_t)leaf->n_rows * sizeof *leaf->code);
        f += features_of(chain, v);
    }
    return QN_OK;
}

/* Dense leaves are written into the matrix by their makers. */
static void lend_columns(const qn__chain *chain, qn_matrix *matrix, qn__values *values) {
    int32_t f = chain->i_feature;
    for (int32_t v = 0; v < chain->n_values; v++) {
        if (!chain->leaf[v])
            continue;
        if (chain->kinds[v] == QN__NUMBER)
            values[v].num = matrix->columns[f].num;
        else if (chain->kinds[v] == QN__CATEGORY)
            values[v].code = matrix->columns[f].code;
        values[v].borrowed = chain->kinds[v] != QN__SPARSE;
        f += features_of(chain, v);
    }
}

static qn_status apply_chain(const qn_pipeline *p, const qn__chain *chain, const qn_frame *frame,
                             const int32_t *columns, const int64_t *rows, int64_t n_rows,
                             qn__values *values, qn_matrix *matrix, qn_error *err) {
    lend_columns(chain, matrix, values);
    for (int32_t k = 0; k < chain->n_inputs; k++) {
        int32_t i = chain->inputs[k];
        QN_TRY(qn__values_gather(&frame->columns[columns[i]], rows, n_rows, &p->seen[i],
                                 values[k].num, &values[k], err));
    }
    for (int32_t k = 0; k < chain->n_nodes; k++)
        QN_TRY(run_node(chain, &chain->nodes[k], n_rows, NULL, values, err));
    return place_leaves(p, chain, values, matrix, err);
}

/* --- apply --- */

static bool same_kind(qn_type a, qn_type b) {
    return qn__kind_of_type(a) == qn__kind_of_type(b);
}

/* Which frame column is which input. Columns mostly come in the order of training: look there
 * first. */
static qn_status find_columns(const qn_pipeline *p, const qn_frame *frame, int32_t *columns,
                              qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf missing = {0};
    int32_t next = 0;
    for (int32_t i = 0; i < p->inputs.n_columns; i++) {
        const qn_schema_column *wanted = &p->inputs.columns[i];
        if (next >= frame->n_columns || strcmp(frame->columns[next].name, wanted->name) != 0)
            next = qn_frame_find(frame, wanted->name);
        if (next < 0) {
            qn_buf_printf(&missing, "%s%s", missing.len ? ", " : "", wanted->name);
            next = 0;
            continue;
        }
        const qn_column *column = &frame->columns[next];
        if (!same_kind(column->type, wanted->type))
            return qn_error_set_at(err, QN_ERR_DATA, NULL, 0, wanted->name,
                                   "the model was trained on a %s, but this is a %s",
                                   qn_type_name(wanted->type), qn_type_name(column->type));
        columns[i] = next++;
    }
    QN_TRY(qn_buf_status(&missing, err));
    QN_FAIL_IF(missing.len, err, QN_ERR_DATA, "the data lacks input columns of the model: %.800s",
               qn_buf_text(&missing));
    return QN_OK;
}

static qn_status check_rows(const qn_frame *frame, const int64_t *rows, int64_t *n_rows,
                            qn_error *err) {
    if (!rows)
        *n_rows = frame->n_rows;
    for (int64_t i = 0; rows && i < *n_rows; i++)
        QN_FAIL_IF(rows[i] < 0 || rows[i] >= frame->n_rows, err, QN_ERR_USAGE,
                   "row %lld is not in a frame of %lld rows", (long long)rows[i],
                   (long long)frame->n_rows);
    return QN_OK;
}

/* The first chain's error wins, whichever thread was faster. */
typedef struct first_error {
    int32_t i_chain;
    qn_status status;
    qn_error error;
} first_error;

static void keep_first(first_error *first, int32_t i_chain, qn_status status,
                       const qn_error *error) {
    if (status == QN_OK)
        return;
#pragma omp critical(qn_feature_error)
    if (first->status == QN_OK || i_chain < first->i_chain)
        *first = (first_error){.i_chain = i_chain, .status = status, .error = *error};
}

static qn_status report_first(const first_error *first, qn_error *err) {
    if (first->status != QN_OK && err)
        *err = first->error;
    return first->status;
}

static qn_status apply_all(const qn_pipeline *p, const qn_frame *frame, const int32_t *columns,
                           const int64_t *rows, int64_t n_rows, const qn_job *job,
                           qn_matrix *matrix, qn_error *err) {
    size_t n_values = 0;
    qn_cleanup(qn_freep) size_t *first_value = qn_new_array(size_t, p->n_chains);
    if (!first_value)
        return qn_error_memory(err);
    for (int32_t c = 0; c < p->n_chains; c++) {
        first_value[c] = n_values;
        n_values += (size_t)p->chains[c].n_values;
    }
    qn_cleanup(qn_freep) qn__values *values = qn_new_array(qn__values, n_values);
    if (!values)
        return qn_error_memory(err);
    first_error first = {0};
    int n_threads = n_rows * p->n_chains < SMALL_WORK ? 1 : qn_job_threads(job);
    if (n_threads == 1) {
        for (int32_t c = 0; c < p->n_chains && first.status == QN_OK; c++) {
            qn__values *own = values + first_value[c];
            first.status = qn_job_check(job, &first.error);
            if (first.status == QN_OK)
                first.status = apply_chain(p, &p->chains[c], frame, columns, rows, n_rows, own,
                                           matrix, &first.error);
            all_values_done(own, p->chains[c].n_values);
        }
        return report_first(&first, err);
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(n_threads)
    for (int32_t c = 0; c < p->n_chains; c++) {
        qn_error error = {0};
        qn__values *own = values + first_value[c];
        qn_status status = qn_job_check(job, &error);
        if (status == QN_OK)
            status = apply_chain(p, &p->chains[c], frame, columns, rows, n_rows, own, matrix,
                                 &error);
        all_values_done(own, p->chains[c].n_values);
        keep_first(&first, c, status, &error);
    }
    return report_first(&first, err);
}

qn_status qn_pipeline_apply(const qn_pipeline *pipeline, const qn_frame *frame, const int64_t *rows,
                            int64_t n_rows, const qn_job *job, qn_matrix **ret_matrix,
                            qn_error *err) {
    QN_TRY(check_rows(frame, rows, &n_rows, err));
    qn_cleanup(qn_freep) int32_t *columns = qn_new_array(int32_t, pipeline->inputs.n_columns);
    if (!columns)
        return qn_error_memory(err);
    QN_TRY(find_columns(pipeline, frame, columns, err));
    qn_cleanup(qn_matrix_free) qn_matrix *matrix = NULL;
    QN_TRY(qn_matrix_new(n_rows, pipeline->features, pipeline->n_features, &matrix, err));
    QN_TRY(apply_all(pipeline, frame, columns, rows, n_rows, job, matrix, err));
    *ret_matrix = qn_steal(&matrix);
    return QN_OK;
}

/* --- fit --- */

/* Everything one fit holds while it runs. */
typedef struct fitting {
    const qn_pipeline_spec *spec;
    const qn_frame *frame;
    const int64_t *rows;
    int64_t n_rows;
    qn__fit fit;
    bool want_train;
    qn_pipeline *pipeline;   /* borrowed */
    const qn__step **steps;  /* owned; step of each chain */
    int32_t *columns;        /* owned; frame column of each input */
    qn__values **values;     /* owned; per chain */
} fitting;

static void fitting_done(fitting *f) {
    for (int32_t c = 0; f->values && c < f->pipeline->n_chains; c++) {
        all_values_done(f->values[c], f->pipeline->chains[c].n_values);
        qn_freep(&f->values[c]);
    }
    qn_freep(&f->values);
    qn_freep(&f->steps);
    qn_freep(&f->columns);
}

static qn_status see_categories(const qn_column *column, const fitting *f, qn__seen *seen,
                                qn_error *err) {
    qn_cleanup(qn__values_done) qn__values values = {0};
    qn_cleanup(qn_freep) qn__count *counts = NULL;
    int32_t n;
    QN_TRY(qn__values_gather(column, f->rows, f->n_rows, seen, NULL, &values, err));
    QN_TRY(qn__count_categories(&values, &counts, &n, err));
    int64_t there = 0;
    for (int32_t c = 0; c < n; c++)
        there += counts[c].n;
    seen->n_missing = f->n_rows - there;
    seen->constant = n == 0 || (n == 1 && seen->n_missing == 0);
    seen->top = qn__counts_dict(counts, n < TOP_CATEGORIES ? n : TOP_CATEGORIES);
    return seen->top ? QN_OK : qn_error_memory(err);
}

/* Range of the finite values of numbers and times, and whether there is more than one value. */
static void see_numbers(const qn_column *column, const fitting *f, qn__seen *seen) {
    bool any = false, differ = false;
    double low = 0, high = 0, first = 0;
    int64_t there = 0;
    for (int64_t i = 0; i < f->n_rows; i++) {
        double x = qn_column_number(column, f->rows ? f->rows[i] : i);
        if (isnan(x))
            continue;
        differ = differ || (there > 0 && x != first);
        first = there++ ? first : x;
        if (isinf(x))
            continue;
        low = !any || x < low ? x : low;
        high = !any || x > high ? x : high;
        any = true;
    }
    seen->low = low;
    seen->high = high;
    seen->n_missing = f->n_rows - there;
    seen->constant = there == 0 || (!differ && seen->n_missing == 0);
}

static void see_texts(const qn_column *column, const fitting *f, qn__seen *seen) {
    bool differ = false;
    const char *first = NULL;
    size_t first_bytes = 0;
    for (int64_t i = 0; i < f->n_rows; i++) {
        size_t n = 0;
        const char *text = qn_column_text(column, f->rows ? f->rows[i] : i, &n);
        if (!text) {
            seen->n_missing++;
        } else if (!first) {
            first = text;
            first_bytes = n;
        } else if (n != first_bytes || (n > 0 && memcmp(text, first, n) != 0)) {
            differ = true;
        }
    }
    seen->constant = !first || (!differ && seen->n_missing == 0);
}

static qn_status see_column(const qn_column *column, const fitting *f, qn__seen *seen,
                            qn_error *err) {
    seen->n_rows = f->n_rows;
    unsigned kind = qn__kind_of_type(column->type);
    if (kind == QN__CATEGORY)
        return see_categories(column, f, seen, err);
    if (kind == QN__TEXT)
        see_texts(column, f, seen);
    else
        see_numbers(column, f, seen);
    return QN_OK;
}

static int32_t input_index(const qn_pipeline *p, const char *name) {
    for (int32_t i = 0; i < p->inputs.n_columns; i++)
        if (strcmp(p->inputs.columns[i].name, name) == 0)
            return i;
    return -1;
}

static bool was_dropped(const qn_pipeline *p, const char *name) {
    for (int32_t i = 0; i < p->n_dropped; i++)
        if (strcmp(p->dropped[i], name) == 0)
            return true;
    return false;
}

static qn_status note_dropped(qn_pipeline *p, const char *name, qn_error *err) {
    char **dropped = qn_realloc(p->dropped, (size_t)p->n_dropped + 1, sizeof *dropped);
    if (!dropped)
        return qn_error_memory(err);
    p->dropped = dropped;
    dropped[p->n_dropped] = qn_strdup(name);
    return dropped[p->n_dropped] ? (p->n_dropped++, QN_OK) : qn_error_memory(err);
}

/* Adds a column to the inputs unless it is there; *ret_index -1 when it is constant and
 * `automatic`. */
static qn_status add_input(fitting *f, const char *name, bool automatic, int32_t *ret_index,
                           qn_error *err) {
    qn_pipeline *p = f->pipeline;
    int32_t i = input_index(p, name);
    *ret_index = i;
    if (i >= 0 || (automatic && was_dropped(p, name)))
        return QN_OK;
    const qn_column *column;
    QN_TRY(qn_frame_get(f->frame, name, &column, err));
    qn__seen seen = {0};
    QN_TRY(see_column(column, f, &seen, err));
    if (seen.constant && automatic) {
        qn_dict_free(&seen.top);
        return note_dropped(p, name, err);
    }
    i = p->inputs.n_columns;
    p->seen[i] = seen;
    p->inputs.columns[i].type = column->type;
    p->inputs.columns[i].name = qn_strdup(name);
    f->columns[i] = (int32_t)(column - f->frame->columns);
    p->inputs.n_columns++;
    *ret_index = i;
    return p->inputs.columns[i].name ? QN_OK : qn_error_memory(err);
}

static bool leaves_out(const qn__step *step) {
    return step->n_items == 1 && step->items[0].transform == &qn__transform_drop;
}

/* Inputs and one unfitted chain per step that gives something. */
static qn_status lay_out(fitting *f, qn_error *err) {
    qn_pipeline *p = f->pipeline;
    size_t n_columns = 0, n_steps = (size_t)f->spec->n_steps;
    for (size_t s = 0; s < n_steps; s++)
        n_columns += (size_t)f->spec->steps[s].n_columns;
    p->inputs.columns = qn_new_array(qn_schema_column, n_columns);
    p->seen = qn_new_array(qn__seen, n_columns);
    p->chains = qn_new_array(qn__chain, n_steps);
    f->steps = qn_new_array(const qn__step *, n_steps);
    f->columns = qn_new_array(int32_t, n_columns);
    f->values = qn_new_array(qn__values *, n_steps);
    if (!p->inputs.columns || !p->seen || !p->chains || !f->steps || !f->columns || !f->values)
        return qn_error_memory(err);
    for (size_t s = 0; s < n_steps; s++) {
        const qn__step *step = &f->spec->steps[s];
        if (leaves_out(step))
            continue;
        qn__chain *chain = &p->chains[p->n_chains];
        bool all = true;
        chain->inputs = qn_new_array(int32_t, step->n_columns);
        if (!chain->inputs)
            return qn_error_memory(err);
        f->steps[p->n_chains++] = step;
        chain->n_inputs = step->n_columns;
        for (int32_t k = 0; k < step->n_columns; k++) {
            QN_TRY(add_input(f, step->columns[k], step->automatic, &chain->inputs[k], err));
            all = all && chain->inputs[k] >= 0;
        }
        if (!all) {
            qn__chain_done(chain);
            p->n_chains--;
        }
    }
    return QN_OK;
}

/* Fits one more node on value `i_in` and runs it on the training rows. */
static qn_status fit_node(fitting *f, int32_t c, const qn__item *item, int32_t i_in, bool last,
                          qn_error *err) {
    qn__chain *chain = &f->pipeline->chains[c];
    qn__values *values = f->values[c];
    qn__node *nodes = qn_realloc(chain->nodes, (size_t)chain->n_nodes + 1, sizeof *nodes);
    if (!nodes)
        return qn_error_memory(err);
    chain->nodes = nodes;
    unsigned kind = values[i_in].kind;
    qn__state *state = qn__state_new(item, kind);
    if (!state)
        return qn_error_memory(err);
    qn__node *node = &nodes[chain->n_nodes++];
    *node = (qn__node){.state = state, .i_in = i_in, .i_out = chain->n_values};
    const qn__transform *t = item->transform;
    QN_FAIL_IF(!(t->accepts & kind), err, QN_ERR_CONFIG, "'%s' does not take %s", t->name,
               qn__kind_name(kind));
    int32_t n_in = t->many ? chain->n_inputs : 1;
    QN_TRY(t->fit(state, values + i_in, n_in, &f->fit, err));
    size_t n_values = (size_t)chain->n_values + (size_t)state->n_out;
    qn__values *grown = qn_realloc(values, n_values, sizeof *grown);
    if (!grown)
        return qn_error_memory(err);
    f->values[c] = values = grown;
    memset(values + chain->n_values, 0, (size_t)state->n_out * sizeof *values);
    chain->n_values += state->n_out;
    qn__values *out = values + node->i_out;
    prepare_out(node, f->n_rows, qn__kind_out(t, state->params, kind), out);
    if (last && !f->want_train)
        return QN_OK;
    return t->apply_train ? t->apply_train(state, values + i_in, n_in, &f->fit, out, err)
                          : t->apply(state, values + i_in, n_in, out, err);
}

static qn_status fit_chain(fitting *f, int32_t c, qn_error *err) {
    qn__chain *chain = &f->pipeline->chains[c];
    const qn__step *step = f->steps[c];
    f->values[c] = qn_new_array(qn__values, chain->n_inputs);
    if (!f->values[c])
        return qn_error_memory(err);
    chain->n_values = chain->n_inputs;
    unsigned kinds[8];
    for (int32_t k = 0; k < chain->n_inputs; k++) {
        int32_t i = chain->inputs[k];
        QN_TRY(qn__values_gather(&f->frame->columns[f->columns[i]], f->rows, f->n_rows,
                                 &f->pipeline->seen[i], NULL, &f->values[c][k], err));
        kinds[k] = f->values[c][k].kind;
    }
    int32_t low = 0, high = chain->n_inputs;
    for (int32_t i = 0; i < step->n_items; i++) {
        const qn__item *item = &step->items[i];
        int32_t end = item->transform->many ? low + 1 : high;
        for (int32_t v = low; v < end; v++)
            QN_TRY(fit_node(f, c, item, v, i == step->n_items - 1, err));
        all_values_done(f->values[c] + low, high - low);
        low = high;
        high = chain->n_values;
    }
    return qn__chain_wire(chain, kinds, err);
}

static qn_status fit_chains(fitting *f, const qn_job *job, qn_error *err) {
    first_error first = {0};
    int32_t n_chains = f->pipeline->n_chains;
    int n_threads = f->n_rows * n_chains < SMALL_WORK ? 1 : qn_job_threads(job);
#pragma omp parallel for schedule(dynamic, 1) num_threads(n_threads)
    for (int32_t c = 0; c < n_chains; c++) {
        qn_error error = {0};
        qn_status status = qn_job_check(job, &error);
        if (status == QN_OK)
            status = fit_chain(f, c, &error);
        if (status == QN_ERR_CONFIG || status == QN_ERR_LIMIT)
            qn_error_prefix(&error, "column %s", f->steps[c]->columns[0]);
        keep_first(&first, c, status, &error);
    }
    return report_first(&first, err);
}

static qn_status train_matrix(fitting *f, qn_matrix **ret_train, qn_error *err) {
    qn_cleanup(qn_matrix_free) qn_matrix *matrix = NULL;
    const qn_pipeline *p = f->pipeline;
    QN_TRY(qn_matrix_new(f->n_rows, p->features, p->n_features, &matrix, err));
    for (int32_t c = 0; c < p->n_chains; c++) {
        QN_TRY(place_leaves(p, &p->chains[c], f->values[c], matrix, err));
        all_values_done(f->values[c], p->chains[c].n_values);
    }
    *ret_train = qn_steal(&matrix);
    return QN_OK;
}

static qn_status check_steps(const qn_pipeline_spec *spec, qn_error *err) {
    for (int32_t s = 0; s < spec->n_steps; s++) {
        const qn__step *step = &spec->steps[s];
        bool many = step->n_items > 0 && step->items[0].transform->many;
        QN_FAIL_IF(step->n_columns < 1 || step->n_columns > 8 || (!many && step->n_columns != 1),
                   err, QN_ERR_INTERNAL, "step %d of the features has %d columns", s,
                   step->n_columns);
    }
    return QN_OK;
}

qn_status qn_pipeline_fit(const qn_pipeline_spec *spec, const qn_frame *frame, const int64_t *rows,
                          int64_t n_rows, const double *y, const qn_target_info *target,
                          uint64_t seed, const qn_job *job, qn_pipeline **ret_pipeline,
                          qn_matrix **ret_train, qn_error *err) {
    QN_TRY(check_rows(frame, rows, &n_rows, err));
    QN_TRY(check_steps(spec, err));
    QN_FAIL_IF(n_rows == 0, err, QN_ERR_DATA, "there are no training rows to fit features on");
    qn_cleanup(qn_pipeline_free) qn_pipeline *pipeline = qn_new(qn_pipeline);
    if (!pipeline)
        return qn_error_memory(err);
    pipeline->dense = !(spec->takes & QN_TAKES_SPARSE);
    qn_cleanup(fitting_done) fitting f = {.spec = spec,
                                          .frame = frame,
                                          .rows = rows,
                                          .n_rows = n_rows,
                                          .fit = {.y = y, .target = target, .seed = seed},
                                          .want_train = ret_train != NULL,
                                          .pipeline = pipeline};
    QN_TRY(lay_out(&f, err));
    QN_TRY(fit_chains(&f, job, err));
    QN_TRY(qn__pipeline_finish(pipeline, err));
    qn_cleanup(qn_matrix_free) qn_matrix *train = NULL;
    if (ret_train)
        QN_TRY(train_matrix(&f, &train, err));
    if (ret_train)
        *ret_train = qn_steal(&train);
    fitting_done(&f); /* before the pipeline changes hands: it knows the chains */
    *ret_pipeline = qn_steal(&pipeline);
    return QN_OK;
}
