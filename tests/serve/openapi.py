"""openapi.py URL: /openapi.json is OpenAPI 3.1, tells of every route, and its examples work."""
import re
import sys

import requests

URL = sys.argv[1]
session = requests.Session()
session.trust_env = False
document = session.get(URL + "/openapi.json").json()
ids = set()

# What the specification allows, by object (https://spec.openapis.org/oas/v3.1.0).
FIELDS = {
    "document": {"openapi", "info", "servers", "paths", "components", "security"},
    "operation": {"summary", "operationId", "parameters", "requestBody", "responses", "security"},
    "parameter": {"name", "in", "description", "required", "schema"},
    "media": {"schema", "example"},
    "schema": {"type", "properties", "required", "additionalProperties", "items", "enum", "examples", "format", "oneOf", "minimum",
               "maximum", "description", "$ref"},
}
TYPES = {"null", "boolean", "object", "array", "number", "string", "integer"}


def known(thing, kind):
    assert all(key in FIELDS[kind] or key.startswith("x-") for key in thing), (kind, thing.keys())


def resolve(schema):
    while "$ref" in schema:
        assert list(schema) == ["$ref"] and schema["$ref"].startswith("#/components/schemas/")
        schema = document["components"]["schemas"][schema["$ref"].split("/")[-1]]
    return schema


def check_schema(schema):
    known(schema, "schema")
    schema = resolve(schema)
    types = schema.get("type", [])
    assert set([types] if isinstance(types, str) else types) <= TYPES
    assert isinstance(schema.get("required", []), list) and isinstance(schema.get("examples", []), list)
    assert set(schema.get("required", [])) <= set(schema.get("properties", {}))
    for part in list(schema.get("properties", {}).values()) + schema.get("oneOf", []):
        check_schema(part)
    if "items" in schema:
        check_schema(schema["items"])


def fits(value, schema):
    """The part of JSON Schema that the document uses."""
    schema = resolve(schema)
    if "oneOf" in schema:
        return sum(fits(value, s) for s in schema["oneOf"]) == 1
    kinds = schema.get("type", list(TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    is_kind = {"null": value is None, "boolean": isinstance(value, bool), "object": isinstance(value, dict), "array": isinstance(value, list),
               "string": isinstance(value, str), "number": isinstance(value, (int, float)) and not isinstance(value, bool),
               "integer": isinstance(value, int) and not isinstance(value, bool)}
    if not any(is_kind[k] for k in kinds) or ("enum" in schema and value not in schema["enum"]):
        return False
    if isinstance(value, dict):
        return set(schema.get("required", [])) <= set(value) and all(
            fits(v, schema.get("properties", {}).get(k, {})) for k, v in value.items())
    if isinstance(value, list):
        return all(fits(v, schema.get("items", {})) for v in value)
    return True


def check_operation(path, method, operation):
    known(operation, "operation")
    assert operation["summary"] and operation["operationId"] not in ids
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", operation["operationId"]), operation["operationId"]
    ids.add(operation["operationId"])
    names = [(p["in"], p["name"]) for p in operation["parameters"]]
    assert len(names) == len(set(names))
    assert {n for place, n in names if place == "path"} == set(re.findall(r"\{(\w+)\}", path))
    for p in operation["parameters"]:
        known(p, "parameter")
        assert p["in"] in ("path", "query") and (p["in"] != "path" or p["required"] is True)
        check_schema(p["schema"])
    assert "200" in operation["responses"]
    for status, response in operation["responses"].items():
        assert re.fullmatch("[1-5][0-9][0-9]", status) and response["description"]
        for media in response.get("content", {}).values():
            known(media, "media")
            check_schema(media["schema"])
    if "requestBody" in operation:
        check_example(path, method, operation)


def schema_of(operation, status):
    return operation["responses"][str(status)]["content"]["application/json"]["schema"]


def check_example(path, method, operation):
    for kind, media in operation["requestBody"]["content"].items():
        known(media, "media")
        check_schema(media["schema"])
        assert fits(media["example"], media["schema"]), (path, media["example"])
        path = path.replace("{model}", first).replace("{version}", "1")
        answer = session.request(method, URL + path, json=media["example"], headers={"Content-Type": kind})
        assert answer.status_code == 200, (path, answer.text)
        if "content" in operation["responses"]["200"]:
            assert fits(answer.json(), schema_of(operation, 200)), (path, answer.text)
        refused = session.request(method, URL + path, data="{", headers={"Content-Type": kind})
        assert refused.status_code == 400 and fits(refused.json(), schema_of(operation, 400)), (path, refused.text)


known(document, "document")
assert document["openapi"] == "3.1.0" and document["info"]["title"] and document["info"]["version"]
models = [m["model"] for m in session.get(URL + "/v1/models").json()["models"]]
first = models[0]
for name, schema in document["components"]["schemas"].items():
    assert re.fullmatch(r"[a-zA-Z0-9._-]+", name)
    check_schema(schema)
for path, item in document["paths"].items():
    assert path.startswith("/") and set(item) <= {"get", "post"}
    for method, operation in item.items():
        check_operation(path, method, operation)
        if method == "get":
            answer = session.get(URL + path.replace("{model}", first).replace("{version}", "1"))
            assert answer.status_code == 200, (path, answer.status_code)
for name in models:
    assert f"/v1/models/{name}/predict" in document["paths"] and f"/v2/models/{name}/infer" in document["paths"]
assert len(document["paths"]) > 30
print(len(document["paths"]), "paths,", len(ids), "operations")
