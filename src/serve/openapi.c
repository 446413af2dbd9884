/* The OpenAPI 3.1 document, from the table of routes and the signatures of the models. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "serve/tensor.h"

/* Takes the reference. */
static void put(json_t *object, const char *key, json_t *value) {
    json_object_set_new(object, key, value);
}

static json_t *schema_ref(const char *name) {
    json_t *json = json_object();
    qn_cleanup(qn_freep) char *target = qn_format("#/components/schemas/%s", name);
    put(json, "$ref", json_string(target ? target : ""));
    return json;
}

/* --- schemas of the models -------------------------------------------------------------------- */

static const char *schema_type(qn_type type) {
    switch (type) {
    case QN_TYPE_BOOL:
        return "boolean";
    case QN_TYPE_I64:
        return "integer";
    case QN_TYPE_F64:
        return "number";
    default:
        return "string";
    }
}

/* The manifest's description of an input: by name. Borrowed. */
static json_t *described(const qn__served *served, const char *name) {
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(qn_model_manifest(served->model), "inputs"), i, entry) {
        const char *text = json_string_value(json_object_get(entry, "name"));
        if (text && strcmp(text, name) == 0)
            return entry;
    }
    return NULL;
}

static json_t *input_schema(const qn__served *served, int32_t i) {
    const qn_schema_column *column = &served->inputs->columns[i];
    json_t *seen = described(served, column->name);
    json_t *schema = json_object(), *low = json_object_get(seen, "low");
    json_t *categories = json_object_get(seen, "categories"), *types = json_array();
    json_array_append_new(types, json_string(schema_type(column->type)));
    json_array_append_new(types, json_string("null"));
    put(schema, "type", types);
    if (column->type == QN_TYPE_TIME)
        put(schema, "format", json_string("date-time"));
    if (json_is_number(low) && column->type <= QN_TYPE_F64 && column->type != QN_TYPE_BOOL) {
        json_t *examples = json_array();
        json_array_append(examples, low);
        put(schema, "examples", examples);
        put(schema, "x-seen-minimum", json_incref(low));
        put(schema, "x-seen-maximum", json_incref(json_object_get(seen, "high")));
    }
    if (json_array_size(categories)) /* an unseen one is allowed, so these are examples */
        put(schema, "examples", json_incref(categories));
    return schema;
}

static json_t *row_schema(const qn__served *served) {
    json_t *properties = json_object(), *required = json_array();
    for (int32_t i = 0; i < served->inputs->n_columns; i++) {
        put(properties, served->inputs->columns[i].name, input_schema(served, i));
        json_array_append_new(required, json_string(served->inputs->columns[i].name));
    }
    return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties, "required",
                     required, "additionalProperties", 1);
}

static json_t *label_schema(const qn__served *served) {
    json_t *schema = json_object(), *values = json_array();
    if (served->target->task == QN_TASK_REGRESSION) {
        json_decref(values);
        put(schema, "type", json_string("number"));
        return schema;
    }
    for (int32_t k = 0; k < served->target->n_classes; k++)
        json_array_append_new(values, json_loads(served->class_json[k], JSON_DECODE_ANY, NULL));
    put(schema, "enum", values);
    return schema;
}

static json_t *prediction_schema(const qn__served *served) {
    json_t *properties = json_object();
    put(properties, "prediction", label_schema(served));
    if (served->target->task == QN_TASK_BINARY)
        put(properties, "probability",
            json_pack("{s:s, s:i, s:i}", "type", "number", "minimum", 0, "maximum", 1));
    if (served->target->task == QN_TASK_MULTICLASS)
        put(properties, "probabilities",
            json_pack("{s:s, s:{s:s}}", "type", "object", "additionalProperties", "type",
                      "number"));
    put(properties, "explanation",
        json_pack("{s:s, s:s}", "type", "object", "description",
                  "With ?explain=true: what each input adds to the raw score (TreeSHAP)"));
    return json_pack("{s:s, s:o, s:[s]}", "type", "object", "properties", properties, "required",
                     "prediction");
}

/* A component's name may hold letters, digits, '.', '-' and '_' only. */
static void schema_name(const qn__served *served, const char *suffix, char name[320]) {
    snprintf(name, 320, "%.256s_%s", served->name, suffix);
    for (char *c = name; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", *c))
            *c = '_';
}

/* How each dialect tells an error. */
static const char *const error_schemas[] = {[QN__PLAIN] = "error", [QN__V2] = "error_text",
                                            [QN__MLFLOW] = "error_code", [QN__TF] = "error_text"};

static json_t *make_schemas(qn__served *const *all, size_t n) {
    json_t *schemas = json_object();
    for (size_t i = 0; i < n; i++) {
        char name[320];
        schema_name(all[i], "row", name);
        put(schemas, name, row_schema(all[i]));
        schema_name(all[i], "prediction", name);
        put(schemas, name, prediction_schema(all[i]));
    }
    put(schemas, error_schemas[QN__V2],
        json_pack("{s:s, s:{s:{s:s}}}", "type", "object", "properties", "error", "type", "string"));
    put(schemas, error_schemas[QN__MLFLOW],
        json_pack("{s:s, s:{s:{s:s}, s:{s:s}}}", "type", "object", "properties", "error_code",
                  "type", "string", "message", "type", "string"));
    put(schemas, error_schemas[QN__PLAIN],
        json_pack("{s:s, s:{s:{s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}}}}}", "type", "object",
                  "properties", "error", "type", "object", "properties", "status", "type",
                  "integer", "message", "type", "string", "row", "type", "integer", "field", "type",
                  "string"));
    return schemas;
}

/* --- paths ------------------------------------------------------------------------------------ */

/* One of, or a list of. */
static json_t *one_or_many(const char *schema) {
    json_t *options = json_array();
    json_array_append_new(options, schema_ref(schema));
    json_array_append_new(options, json_pack("{s:s, s:o}", "type", "array", "items",
                                             schema_ref(schema)));
    return json_pack("{s:o}", "oneOf", options);
}

static json_t *rows_schema(const char *row, qn__form form) {
    static const char v2[] =
        "{\"type\": \"object\", \"required\": [\"inputs\"], \"properties\": {\"id\": {\"type\": "
        "\"string\"}, \"parameters\": {\"type\": \"object\"}, \"inputs\": {\"type\": \"array\", "
        "\"items\": {\"type\": \"object\", \"required\": [\"name\", \"shape\", \"datatype\"], "
        "\"properties\": {\"name\": {\"type\": \"string\"}, \"shape\": {\"type\": \"array\", "
        "\"items\": {\"type\": \"integer\"}}, \"datatype\": {\"type\": \"string\"}, \"data\": "
        "{\"type\": \"array\"}}}}, \"outputs\": {\"type\": \"array\", \"items\": {\"type\": "
        "\"object\", \"properties\": {\"name\": {\"type\": \"string\"}}}}}}";
    json_t *rows = json_pack("{s:s, s:o}", "type", "array", "items", schema_ref(row));
    json_t *properties = json_object();
    switch (form) {
    case QN__FORM_PLAIN:
        json_decref(rows);
        json_decref(properties);
        return one_or_many(row);
    case QN__FORM_V2:
        json_decref(rows);
        json_decref(properties);
        return json_loads(v2, 0, NULL);
    case QN__FORM_MLFLOW:
        put(properties, "dataframe_records", rows);
        put(properties, "dataframe_split", json_pack("{s:s}", "type", "object"));
        put(properties, "params", json_pack("{s:s}", "type", "object"));
        break;
    default:
        put(properties, "instances", rows);
        put(properties, "parameters", json_pack("{s:s}", "type", "object"));
    }
    put(properties, "inputs", json_object());
    return json_pack("{s:s, s:o}", "type", "object", "properties", properties);
}

static json_t *example_row(const qn__served *served) {
    qn_cleanup(qn_buf_done) qn_buf text = {0};
    qn__put_example(&text, served);
    return json_loadb(text.data ? text.data : "", text.len, 0, NULL);
}

static json_t *example_tensors(const qn__served *served, const json_t *row) {
    json_t *tensors = json_array();
    for (int32_t i = 0; i < served->inputs->n_columns; i++) {
        const qn_schema_column *column = &served->inputs->columns[i];
        json_array_append_new(tensors,
                              json_pack("{s:s, s:[i], s:s, s:[O]}", "name", column->name, "shape",
                                        1, "datatype", qn__input_datatype(column->type), "data",
                                        json_object_get(row, column->name)));
    }
    return json_pack("{s:o}", "inputs", tensors);
}

/* A body that works. */
static json_t *make_example(const qn__served *served, qn__form form) {
    qn_cleanup(qn_json_free) json_t *row = example_row(served);
    switch (form) {
    case QN__FORM_PLAIN:
        return json_incref(row);
    case QN__FORM_V2:
        return example_tensors(served, row);
    case QN__FORM_MLFLOW:
        return json_pack("{s:[O]}", "dataframe_records", row);
    default:
        return json_pack("{s:[O]}", "instances", row);
    }
}

static json_t *json_content(json_t *schema) {
    return json_pack("{s:{s:o}}", "application/json", "schema", schema);
}

static json_t *query_parameter(const char *name, const char *help) {
    return json_pack("{s:s, s:s, s:s, s:{s:s}}", "name", name, "in", "query", "description", help,
                     "schema", "type", "string");
}

static json_t *make_parameters(const qn__route *route, const char *path) {
    json_t *list = json_array();
    if (strstr(path, "{model}"))
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:{s:s}}", "name", "model", "in",
                                              "path", "required", 1, "schema", "type", "string"));
    if (strstr(path, "{version}"))
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:{s:s}}", "name", "version", "in",
                                              "path", "required", 1, "schema", "type", "string"));
    if (route->form != QN__FORM_NONE && route->form != QN__FORM_ANY) {
        json_array_append_new(list, query_parameter("probabilities", "true or false"));
        json_array_append_new(list, query_parameter("explain", "true: with contributions"));
        json_array_append_new(list,
                              query_parameter("extra", "refuse: unknown fields are an error"));
        json_array_append_new(list, query_parameter("absent", "null: absent fields are missing"));
    }
    return list;
}

static json_t *make_responses(const qn__route *route, const char *prediction) {
    json_t *responses = json_object();
    json_t *ok = json_pack("{s:s}", "description", "Done");
    if (route->form == QN__FORM_PLAIN && prediction)
        put(ok, "content", json_content(schema_ref(prediction)));
    put(responses, "200", ok);
    static const struct {
        const char *status, *description;
    } refusals[] = {{"400", "The body does not fit the signature: says row and field"},
                    {"404", "The model is not served"},
                    {"413", "The body is too large"},
                    {"415", "The body is of a type that is not understood"},
                    {"429", "Too many requests are under way"},
                    {"503", "The server is shutting down"}};
    for (size_t i = 0; route->drains && i < sizeof refusals / sizeof refusals[0]; i++)
        put(responses, refusals[i].status,
            json_pack("{s:s, s:o}", "description", refusals[i].description, "content",
                      json_content(schema_ref(error_schemas[route->dialect]))));
    return responses;
}

static void operation_id(const qn__route *route, const char *path, char id[512]) {
    snprintf(id, 512, "%s%s", route->method, path);
    for (char *c = id; *c; c++)
        if (*c == ':') /* "/predict" and ":predict" are two */
            *c = '-';
        else if (!isalnum((unsigned char)*c))
            *c = '_';
}

/* With a model's own schemas when the path names one. */
static void add_path(json_t *paths, const qn__route *route, const char *path,
                     const qn__served *served) {
    char row[320], prediction[320], id[512], method[8] = "get";
    json_t *operation = json_object(), *item = json_object_get(paths, path);
    if (strcmp(route->method, "POST") == 0)
        memcpy(method, "post", 5);
    operation_id(route, path, id);
    put(operation, "summary", json_string(route->summary));
    put(operation, "operationId", json_string(id));
    put(operation, "parameters", make_parameters(route, path));
    if (served) {
        schema_name(served, "row", row);
        schema_name(served, "prediction", prediction);
    }
    if (route->form != QN__FORM_NONE && route->form != QN__FORM_ANY && served)
        put(operation, "requestBody",
            json_pack("{s:b, s:{s:{s:o, s:o?}}}", "required", 1, "content", "application/json",
                      "schema", rows_schema(row, route->form), "example",
                      make_example(served, route->form)));
    put(operation, "responses", make_responses(route, served ? prediction : NULL));
    if (route->scope == QN__OPEN)
        put(operation, "security", json_array());
    if (!item) {
        item = json_object();
        put(paths, path, item);
    }
    put(item, method, operation);
}

/* Plain and v2 predictions once for each model, in its own name. */
static void add_named(json_t *paths, const qn__route *route, qn__served *const *all, size_t n) {
    const char *brace = strstr(route->path, "{model}");
    for (size_t i = 0; i < n; i++) {
        qn_cleanup(qn_buf_done) qn_buf path = {0};
        qn_buf_put(&path, route->path, (size_t)(brace - route->path));
        qn__put_path_part(&path, all[i]->name);
        qn_buf_put_text(&path, brace + 7);
        if (path.status == QN_OK)
            add_path(paths, route, qn_buf_text(&path), all[i]);
    }
}

static json_t *make_paths(const qn_server *server, qn__served *const *all, size_t n) {
    json_t *paths = json_object();
    size_t n_routes;
    const qn__route *routes = qn__routes(&n_routes);
    for (size_t i = 0; i < n_routes; i++) {
        bool named = routes[i].drains && strstr(routes[i].path, "{model}")
                     && !strstr(routes[i].path, "{version}");
        if (named)
            add_named(paths, &routes[i], all, n);
        else
            add_path(paths, &routes[i], routes[i].path, n ? all[0] : NULL);
    }
    for (size_t i = 0; i < 2; i++)
        if (server->vertex[i].path)
            add_path(paths, &server->vertex[i], server->vertex[i].path, n ? all[0] : NULL);
    return paths;
}

void qn__handle_openapi(qn__exchange *x) {
    qn__served **all;
    size_t n;
    if (qn__models_all(x->server->models, &all, &n, &x->error) != QN_OK) {
        qn__fail(x, &x->error);
        return;
    }
    qn_cleanup(qn_json_free) json_t *document = json_pack(
        "{s:s, s:{s:s, s:s, s:s}, s:[{s:s}], s:o, s:{s:o, s:{s:{s:s, s:s}}}}", "openapi", "3.1.0",
        "info", "title", "Quern", "version", QN_VERSION, "description",
        "Predictions of the models that this server holds, in several dialects.", "servers", "url",
        "/", "paths", make_paths(x->server, all, n), "components", "schemas", make_schemas(all, n),
        "securitySchemes", "token", "type", "http", "scheme", "bearer");
    for (size_t i = 0; i < n; i++)
        qn__served_release(all[i]);
    qn_freep(&all);
    if (document && x->server->options.tokens) {
        json_t *security = json_array();
        json_array_append_new(security, json_pack("{s:[]}", "token"));
        put(document, "security", security);
    }
    if (!document) {
        qn__fail_as(x, 503, "out of memory");
        return;
    }
    qn_json_write(document, QN_JSON_PRETTY, qn__out(x));
}
