#include "fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

void fuzz_require(bool holds, const char *promise) {
    if (holds)
        return;
    fprintf(stderr, "broken promise: %s\n", promise);
    abort();
}

void fuzz_require_told(qn_status status, const qn_error *err) {
    fuzz_require(err->code == status, "the error has the code that was returned");
    fuzz_require(err->message[0] != '\0', "an error has a message");
    fuzz_require(status != QN_ERR_INTERNAL, "bad input is no defect of Quern");
    size_t n = strnlen(err->message, sizeof err->message);
    fuzz_require(n < sizeof err->message, "a message ends");
    fuzz_require(qn_text_is_utf8(err->message, n), "a message is UTF-8");
}

uint64_t fuzz_take(const uint8_t **data, size_t *size, size_t n_bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < n_bytes && *size; i++) {
        value |= (uint64_t)*(*data)++ << (8 * i);
        --*size;
    }
    return value;
}

static void must(qn_status status) {
    fuzz_require(status == QN_OK, "a small frame can be built");
}

static const double numbers[FUZZ_ROWS] = {0, -1.5, 1e300, -1e18, INFINITY, 3};
static const int64_t times[FUZZ_ROWS] = {0, 1700000000123456, -62135596800000000, INT64_MAX, -1,
                                         86400000000};
static const char *const texts[FUZZ_ROWS] = {"", "Roma", "two words, 3 times", "K\xc3\xb6ln", "?",
                                              "no no no"};

static void put_text(qn_frame_builder *builder, int32_t i_column, int64_t row, const json_t *seen) {
    const json_t *category = row % 2 ? json_array_get(seen, (size_t)row) : NULL;
    const char *text = category ? json_string_value(category) : texts[row];
    size_t n = category ? json_string_length(category) : strlen(text);
    if (qn_frame_builder_text(builder, i_column, text, n, NULL) != QN_OK)
        must(qn_frame_builder_null(builder, i_column, NULL));
}

static void put_value(qn_frame_builder *builder, int32_t i_column, qn_type type, int64_t row,
                      const json_t *seen) {
    if ((row + i_column) % 5 == 4) {
        must(qn_frame_builder_null(builder, i_column, NULL));
        return;
    }
    switch (type) {
    case QN_TYPE_BOOL:
        must(qn_frame_builder_number(builder, i_column, (double)(row % 2), NULL));
        break;
    case QN_TYPE_F64: must(qn_frame_builder_number(builder, i_column, numbers[row], NULL)); break;
    case QN_TYPE_I64:
    case QN_TYPE_TIME: must(qn_frame_builder_i64(builder, i_column, times[row], NULL)); break;
    case QN_TYPE_CATEGORY:
    case QN_TYPE_TEXT: put_text(builder, i_column, row, seen); break;
    }
}

qn_frame *fuzz_frame(const qn_schema *schema, const qn_pipeline *pipeline) {
    qn_cleanup(qn_frame_builder_free) qn_frame_builder *builder = NULL;
    qn_frame *frame = NULL;
    must(qn_frame_builder_new(&builder, NULL));
    for (int32_t i = 0; i < schema->n_columns; i++) {
        const qn_schema_column *column = &schema->columns[i];
        if (qn_frame_builder_add_column(builder, column->name, column->type, NULL) != QN_OK)
            return NULL; /* two columns of one name: nobody could give such a frame */
        qn_cleanup(qn_json_free) json_t *seen = pipeline ? qn_pipeline_describe_input(pipeline, i)
                                                         : NULL;
        for (int64_t row = 0; row < FUZZ_ROWS; row++)
            put_value(builder, i, column->type, row, json_object_get(seen, "categories"));
    }
    return qn_frame_builder_finish(builder, &frame, NULL) == QN_OK ? frame : NULL;
}

bool fuzz_same_numbers(const double *a, const double *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!(a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))))
            return false;
    return true;
}

/* As deep as qn_json_parse lets JSON be. */
bool fuzz_same_json(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_array(a)) {
        if (json_array_size(a) != json_array_size(b))
            return false;
        for (size_t i = 0; i < json_array_size(a); i++)
            if (!fuzz_same_json(json_array_get(a, i), json_array_get(b, i)))
                return false;
        return true;
    }
    if (!json_is_object(a))
        return json_equal(a, b);
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)(uintptr_t)a, key, item) {
        const json_t *other = json_object_get(b, key);
        if (!other || !fuzz_same_json(item, other))
            return false;
    }
    return json_object_size(a) == json_object_size(b);
}

char *fuzz_text(const uint8_t *data, size_t size) {
    char *text = qn_calloc(size + 1, 1);
    fuzz_require(text != NULL, "memory for a copy");
    memcpy(text, data, size);
    return text;
}
