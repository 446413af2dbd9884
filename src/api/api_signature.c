/* A model's signature as plain structs, copied out of it. */
#include <math.h>
#include <string.h>

#include "api/api_int.h"
#include "base/mem.h"

/* What a qn_signature points into. */
typedef struct signature_store {
    qn_signature public; /* first: a pointer to it is a pointer to this */
    qn_arena *arena;     /* owned: all texts and lists */
    qn_input *inputs;    /* in the arena */
} signature_store;

char *qn__output_name(const qn_model *model, int32_t i_output) {
    const qn_target_info *target = qn_model_target(model);
    return target->task == QN_TASK_REGRESSION ? qn_strdup("prediction")
           : target->task == QN_TASK_BINARY   ? qn_strdup("probability")
                                              : qn_format("probability_%s",
                                                          target->classes[i_output]);
}

static qn_status copy_text(signature_store *store, const char *text, const char **ret,
                           qn_error *err) {
    *ret = qn_arena_strdup(store->arena, text ? text : "");
    return *ret ? QN_OK : qn_error_memory(err);
}

static qn_status copy_categories(signature_store *store, const json_t *list, qn_input *input,
                                 qn_error *err) {
    const size_t n = json_array_size(list);
    const char **texts = qn_arena_alloc(store->arena, n, sizeof *texts);
    if (!texts)
        return qn_error_memory(err);
    for (size_t i = 0; i < n; i++)
        QN_TRY(copy_text(store, json_string_value(json_array_get(list, i)), &texts[i], err));
    input->categories = texts;
    input->n_categories = (int32_t)n;
    return QN_OK;
}

static double number_or_nan(const json_t *object, const char *key) {
    const json_t *number = json_object_get(object, key);
    return json_is_number(number) ? json_number_value(number) : NAN;
}

static qn_status copy_input(signature_store *store, const qn_model *model, int32_t i,
                            qn_error *err) {
    const qn_schema_column *column = &qn_model_inputs(model)->columns[i];
    qn_input *input = &store->inputs[i];
    qn_cleanup(qn_json_free)
        json_t *seen = qn_pipeline_describe_input(qn_model_pipeline(model), i);
    if (!seen)
        return qn_error_memory(err);
    *input = (qn_input){.type = column->type,
                        .missing_share = number_or_nan(seen, "missing_share"),
                        .low = number_or_nan(seen, "low"),
                        .high = number_or_nan(seen, "high")};
    QN_TRY(copy_text(store, column->name, &input->name, err));
    return copy_categories(store, json_object_get(seen, "categories"), input, err);
}

static qn_status copy_classes(signature_store *store, const qn_target_info *target, qn_error *err) {
    const char **classes = qn_arena_alloc(store->arena, (size_t)target->n_classes, sizeof *classes);
    if (!classes)
        return qn_error_memory(err);
    for (int32_t i = 0; i < target->n_classes; i++)
        QN_TRY(copy_text(store, target->classes[i], &classes[i], err));
    store->public.classes = classes;
    store->public.n_classes = target->n_classes;
    return QN_OK;
}

static qn_status copy_outputs(signature_store *store, const qn_model *model, qn_error *err) {
    const int32_t n = qn_model_n_outputs(model);
    const char **outputs = qn_arena_alloc(store->arena, (size_t)n, sizeof *outputs);
    if (!outputs)
        return qn_error_memory(err);
    for (int32_t i = 0; i < n; i++) {
        qn_cleanup(qn_freep) char *name = qn__output_name(model, i);
        if (!name)
            return qn_error_memory(err);
        QN_TRY(copy_text(store, name, &outputs[i], err));
    }
    store->public.outputs = outputs;
    store->public.n_outputs = n;
    return QN_OK;
}

static qn_status fill(signature_store *store, const qn_model *model, qn_error *err) {
    const qn_target_info *target = qn_model_target(model);
    const int32_t n = qn_model_n_inputs(model);
    store->arena = qn_arena_new("signature");
    store->inputs = store->arena ? qn_arena_alloc(store->arena, (size_t)n, sizeof *store->inputs)
                                 : NULL;
    if (!store->inputs)
        return qn_error_memory(err);
    store->public.task = target->task;
    store->public.threshold = qn_model_threshold(model);
    store->public.n_inputs = n;
    QN_TRY(copy_text(store, target->name, &store->public.target, err));
    QN_TRY(copy_text(store, qn_model_learner(model)->family->name, &store->public.family, err));
    for (int32_t i = 0; i < n; i++)
        QN_TRY(copy_input(store, model, i, err));
    QN_TRY(copy_classes(store, target, err));
    return copy_outputs(store, model, err);
}

qn_status qn_signature_new(const qn_model *model, qn_signature **ret_signature, qn_error *err) {
    signature_store *store = qn_new(signature_store);
    if (!store)
        return qn_error_memory(err);
    qn_cleanup(qn_signature_free) qn_signature *signature = &store->public;
    QN_TRY(fill(store, model, err));
    *ret_signature = qn_steal(&signature);
    return QN_OK;
}

void qn_signature_free(qn_signature **signature) {
    if (!signature || !*signature)
        return;
    qn_arena_free(&((signature_store *)*signature)->arena);
    qn_freep(signature);
}

const qn_input *qn_signature_input(const qn_signature *signature, int32_t i) {
    return i >= 0 && i < signature->n_inputs ? &((const signature_store *)signature)->inputs[i]
                                             : NULL;
}

int32_t qn_signature_find(const qn_signature *signature, const char *name) {
    for (int32_t i = 0; i < signature->n_inputs; i++)
        if (strcmp(((const signature_store *)signature)->inputs[i].name, name) == 0)
            return i;
    return -1;
}
