#!/usr/bin/env python3
"""refusals.py GROUP: what is refused, with which status and in which words. A row of the table is

    title, path, body, status, message[, row, field]      (body: bytes, text, or what becomes JSON)

Every refusal of the plain dialect names row and field where there are any; the other dialects carry the same message in
their own form."""
import json
import socket
import sys

from asking import session, url

BASE = url("income")
ROW = {"age": 25, "workclass": "Private", "fnlwgt": 226802, "education": "11th", "education-num": 7,
       "marital-status": "Never-married", "occupation": "Machine-op-inspct", "relationship": "Own-child", "race": "Black",
       "sex": "Male", "capital-gain": 0, "capital-loss": 0, "hours-per-week": 40, "native-country": "United-States"}
TEXT = json.dumps(ROW)
AT = TEXT.index("Male") + 1  # as people count bytes
PLAIN = "/v1/models/income/predict"
INFER = "/v2/models/income/infer"
TF = "/v1/models/income:predict"
FRAUD = "/v2/models/fraud/infer"


def but(**changes):
    row = {k.replace("-", "_"): v for k, v in ROW.items()}
    row.update(changes)
    return {k if k == "extra" else k.replace("_", "-"): v for k, v in row.items() if v is not ...}


def tensor(name, data, datatype="INT64", shape=None):
    return {"name": name, "datatype": datatype, "shape": [len(data)] if shape is None else shape, "data": data}


def tensors(**changes):
    out = []
    for name, value in ROW.items():
        t = tensor(name, [value], "INT64" if isinstance(value, int) else "BYTES")
        t.update(changes.get(name, {}))
        out.append(t)
    return {"inputs": out}


def matrix(**changes):
    return {"inputs": [dict({"name": "m", "datatype": "FP64", "shape": [1, 30], "data": [0] * 30}, **changes)]}


VALUES = [
    ("text where a number should be", PLAIN, but(age="old"), 400, "row 1, column age: 'old' is not a whole number", 1, "age"),
    ("not a whole number", PLAIN, [ROW, but(age=25.5)], 400, "row 2, column age: '25.5' is not a whole number", 2, "age"),
    ("true is 1, false is 0", PLAIN, but(age=True), 200, None),
    ("a number as text", PLAIN, but(age="25"), 200, None),
    ("a number as text with a point", PLAIN, but(age="25.5"), 400, "row 1, column age: '25.5' is not a whole number", 1, "age"),
    ("null", PLAIN, but(age=None, sex=None), 200, None),
    ("empty text is missing", PLAIN, but(age="", sex=""), 200, None),
    ("a word never seen", PLAIN, but(sex="unheard of"), 200, None),
    ("a number where a word should be", PLAIN, but(sex=7), 200, None),
    ("NaN", PLAIN, TEXT.replace("25", "NaN"), 200, None),
    ("Infinity in a whole number", PLAIN, TEXT.replace("25", "-Infinity"), 400, "row 1, column age: '-Infinity' is not a whole number", 1, "age"),
    ("Infinity in a number", FRAUD, json.dumps(matrix()).replace("[0, 0,", "[0, Infinity,"), 200, None),
    ("too large for a whole number", PLAIN, but(age=10**30), 400, "row 1, column age: '1e+30' is not a whole number", 1, "age"),
    ("beyond all numbers", PLAIN, TEXT.replace("25", "1e999"), 400, "row 1, column age: 'Infinity' is not a whole number", 1, "age"),
    ("a list for a value", PLAIN, but(age=[1]), 400, "row 1, column age: a list or an object where a value should be", 1, "age"),
    ("an object for a value", PLAIN, but(sex={}), 400, "row 1, column sex: a list or an object where a value should be", 1, "sex"),
    ("a field that lacks", PLAIN, [ROW, but(age=..., sex=...)], 400,
     "row 2: missing: age, sex (send null where a value is not known)", 2, "age"),
    ("a field that lacks, allowed", PLAIN + "?absent=null", but(age=...), 200, None),
    ("a field too many, ignored", PLAIN, but(extra=1), 200, None),
    ("a field too many, refused", PLAIN + "?extra=refuse", [ROW, but(extra=1)], 400,
     "row 2, column extra: the model has no such input, and extra ones are refused", 2, "extra"),
    ("a field twice", PLAIN, "[" + TEXT[:-1] + ', "age": 26}]', 400, "row 1, column age: it is there twice", 1, "age"),
    ("a wish that is none", PLAIN + "?extra=perhaps", ROW, 400, "extra must be refuse or ignore"),
    ("a wish that is none, by flag", PLAIN + "?explain=very", ROW, 400, "explain must be true or false"),
]

SHAPES = [
    ("empty body", PLAIN, b"", 400, "the body must be a JSON object by column name, or a list of them"),
    ("empty object", PLAIN, {}, 400, "row 1: missing: age, workclass, fnlwgt, education, education-num, marital-status, occupation, "
     "relationship, race, sex, capital-gain, capital-loss, hours-per-week, native-country (send null where a value is not known)", 1, "age"),
    ("empty list", PLAIN, [], 200, None),
    ("a list too short", PLAIN, [list(ROW.values()), list(ROW.values())[:3]], 400, "row 2: it has fewer values than the 14 columns", 2),
    ("a list too long", PLAIN, [list(ROW.values()) + [1]], 400, "row 1: it has more values than the 14 columns", 1),
    ("bare values", PLAIN, [1, 2], 400, "row 1: a single value, but the model has 14 inputs: send an object by name, or a list", 1),
    ("not JSON", PLAIN, "age=25", 400, "the body must be a JSON object by column name, or a list of them"),
    ("cut short", PLAIN, TEXT[:20], 400, "row 1: a text does not end, at byte 21", 1),
    ("cut short in a text", PLAIN, TEXT[:28], 400, "row 1, column workclass: a text does not end, at byte 29", 1, "workclass"),
    ("a comma at the end", PLAIN, "[" + TEXT + ",]", 400, "row 2: a single value, but the model has 14 inputs: send an object by name, or a list", 2),
    ("more behind it", PLAIN, TEXT + "{}", 400, f"the body is not what is expected: more behind the value, at byte {len(TEXT) + 1}"),
    ("a leading zero", PLAIN, TEXT.replace("25", "025"), 400, "row 1: a comma or '}' is missing, at byte 10", 1),
    ("single quotes", PLAIN, "{'age': 1}", 400, "row 1: not a text in quotes, at byte 2", 1),
    ("True as Python writes it", PLAIN, TEXT.replace("25", "True"), 400, "row 1, column age: not a value, at byte 9", 1, "age"),
    ("not UTF-8", PLAIN, TEXT.encode().replace(b"Male", b"M\xe4le"), 400,
     f"the body is not what is expected: bytes that are not UTF-8, at byte {AT + 1}"),
    ("half a surrogate", PLAIN, TEXT.replace("Male", "\\ud800"), 400, f"row 1, column sex: an escape that is none, at byte {AT}", 1, "sex"),
    ("a NUL", PLAIN, TEXT.replace("Male", "\\u0000"), 400, f"row 1, column sex: an escape that is none, at byte {AT}", 1, "sex"),
    ("nested deeply", PLAIN, '{"x": ' + "[" * 30000 + "]" * 30000 + "}", 400, "row 1: nested too deeply, at byte 70", 1),
]

DIALECTS = [
    ("v2: no inputs", INFER, {}, 400, 'the body must have "inputs": a list of tensors'),
    ("v2: a list", INFER, [], 400, "the body is not what is expected: not an object, at byte 1"),
    ("v2: ragged", INFER, tensors(sex={"shape": [2], "data": ["Male", "Male"]}), 400, "column sex: it has 2 rows, the first input 1"),
    ("v2: too few items", INFER, tensors(age={"shape": [3]}), 400, "column age: its data does not have the 3 items of its shape"),
    ("v2: a shape of two", INFER, tensors(age={"shape": [1, 2]}), 400, "column age: its shape must be [rows] or [rows, 1]"),
    ("v2: a shape that is none", INFER, tensors(age={"shape": [-1]}), 400, "a shape must be a list of up to 8 sizes"),
    ("v2: a shape that asks for memory", INFER, tensors(age={"shape": [2**40]}), 400,
     "column age: its data does not have the 1099511627776 items of its shape"),
    ("v2: a datatype that is none", INFER, tensors(age={"datatype": "INT65"}), 400,
     "input 'age': 'INT65' is not a datatype (BOOL, INT64, FP32, FP64, BYTES, ...)"),
    ("v2: no datatype", INFER, {"inputs": [{"name": "age", "shape": [1], "data": [1]}]}, 400,
     "input 'age' needs name, shape, datatype and data"),
    ("v2: a wrong value", INFER, tensors(age={"data": ["old"]}), 400, "row 1, column age: 'old' is not a whole number"),
    ("v2: a tensor lacks", INFER, {"inputs": tensors()["inputs"][1:]}, 400, "missing: age (send null where a value is not known)"),
    ("v2: a tensor twice", INFER, {"inputs": tensors()["inputs"] + tensors()["inputs"][:1]}, 400, "column age: it is there twice"),
    ("v2: an unknown tensor, refused", INFER + "?extra=refuse", {"inputs": [tensor("x", [1])]}, 400,
     "column x: the model has no such input, and extra ones are refused"),
    ("v2: an output that is none", INFER, dict(tensors(), outputs=[{"name": "y"}]), 400,
     "the model has no output 'y': GET /v2/models/income lists them"),
    ("v2: a binary size without bytes", INFER, {"inputs": [{"name": "age", "shape": [1], "datatype": "INT64",
     "parameters": {"binary_data_size": 8}}]}, 400, "column age: its binary_data_size is not what follows the JSON (see the header "
     "Inference-Header-Content-Length)"),
    ("v2: a matrix for words", INFER, {"inputs": [tensor("m", [[0] * 14], "FP64", [1, 14])]}, 400,
     "missing: age, workclass, fnlwgt, education, education-num, marital-status, occupation, relationship, race, sex, capital-gain, "
     "capital-loss, hours-per-week, native-country (send null where a value is not known)"),
    ("v2: a matrix too narrow", FRAUD, matrix(data=[0] * 29), 400, "column m: its data does not have the 30 items of its shape"),
    ("v2: parameters that are none", INFER, dict(tensors(), parameters={"explain": "yes"}), 400, "explain must be true or false"),
    ("MLflow: a list", "/invocations", [ROW], 400,
     "the body must be an object with one of dataframe_split, dataframe_records, instances, inputs, not a list"),
    ("MLflow: no form", "/invocations", {"x": 1}, 400,
     "the body must have exactly one of dataframe_split, dataframe_records, instances, inputs"),
    ("MLflow: two forms", "/invocations", {"instances": [ROW], "dataframe_records": [ROW]}, 400,
     "the body must have exactly one of dataframe_split, dataframe_records, instances, inputs"),
    ("MLflow: split without data", "/invocations", {"dataframe_split": {"columns": ["age"]}}, 400,
     "missing: workclass, fnlwgt, education, education-num, marital-status, occupation, relationship, race, sex, capital-gain, "
     "capital-loss, hours-per-week, native-country (send null where a value is not known)"),
    ("MLflow: split, ragged", "/invocations", {"dataframe_split": {"columns": list(ROW), "data": [[1]]}}, 400,
     "row 1: it has fewer values than the 14 columns"),
    ("MLflow: split, a column twice", "/invocations", {"dataframe_split": {"columns": ["age", "age"], "data": []}}, 400,
     "column age: it is there twice"),
    ("MLflow: columns of two lengths", "/invocations", {"inputs": dict({k: [v] for k, v in ROW.items()}, sex=["Male", "Male"])}, 400,
     "column sex: its length is not that of the first column, 1"),
    ("MLflow: a column that is no list", "/invocations", {"inputs": ROW}, 400, "column age: a list of values is expected"),
    ("MLflow: a wrong value", "/invocations", {"instances": [ROW, but(age="old")]}, 400,
     "row 2, column age: 'old' is not a whole number"),
    ("MLflow: params that are none", "/invocations", {"instances": [ROW], "params": {"extra": 1}}, 400, "extra must be refuse or ignore"),
    ("TensorFlow: no rows", TF, {}, 400, 'the body must have "instances" (rows) or "inputs" (columns)'),
    ("TensorFlow: a signature that is none", TF, {"signature_name": "x", "instances": [ROW]}, 400,
     "signature_name must be serving_default (predictions) or probabilities (scores)"),
    ("TensorFlow: a wrong value", TF, {"instances": [but(age=0.5)]}, 400, "row 1, column age: '0.5' is not a whole number"),
    ("an unknown model", "/v1/models/nope/predict", ROW, 404, "model 'nope' is not served; there is: income, fraud"),
    ("an unknown version", "/v2/models/income/versions/9/infer", tensors(), 404, "model 'income:9' is not served; there is: income, fraud"),
    ("an unknown path", "/v1/modles", ROW, 404, "there is nothing at /v1/modles; GET /openapi.json lists what there is"),
    ("an unknown path that is not UTF-8", "/v1/%ff", ROW, 404, "there is nothing at /v1/?; GET /openapi.json lists what there is"),
]

CSV = [
    ("CSV: empty", b"", 400, "the body is empty"),
    ("CSV: a column lacks", b"age,sex\n1,Male\n", 400,
     "missing: workclass, fnlwgt, education, education-num, marital-status, occupation, relationship, race, capital-gain, capital-loss, "
     "hours-per-week, native-country (send null where a value is not known)"),
    ("CSV: a wrong value", (",".join(ROW) + "\n" + ",".join(map(str, but(age="old").values())) + "\n").encode(), 400,
     "row 1, column age: 'old' is not a whole number"),
    ("CSV: too few cells", b"1,2\n", 400, "row 1: it has fewer cells than the 14 columns"),
    ("CSV: too many cells", b"1" + b",1" * 14, 400, "row 1: it has more cells than the 14 columns"),
    ("CSV: an open quote", b'"1', 400, "row 1: a quote is not closed, or text follows one that is"),
    ("CSV: not UTF-8", ",".join(map(str, but(sex="M\xe4le").values())).encode("latin-1"), 400,
     "row 1, column sex: the text is not UTF-8"),
]

LINES = [
    ("JSON lines: empty", b"\n", 400, "the body is empty"),
    ("JSON lines: a wrong value", TEXT + "\n" + json.dumps(but(age="old")), 400, "row 2, column age: 'old' is not a whole number"),
    ("JSON lines: cut short", TEXT + "\n{", 400, f"row 2: not a text in quotes, at byte {len(TEXT) + 3}"),
]


def message_of(answer):
    body = answer.json()
    if "error_code" in body:
        return body["message"], None, None
    if isinstance(body["error"], str):
        return body["error"], None, None
    assert body["error"]["status"] == answer.status_code
    return body["error"]["message"], body["error"].get("row"), body["error"].get("field")


def judge(title, answer, status, message, row=None, field=None):
    got = message_of(answer) if answer.status_code >= 400 else (None, None, None)
    want = (message, row, field)
    if (answer.status_code, *got) != (status, *want):
        print(f"{title}\n  wanted {status} {want}\n  got    {answer.status_code} {got}")
        return 1
    return 0


def ask(path, body, kind):
    data = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return session.post(BASE + path, data=data, headers={"Content-Type": kind}, timeout=20)


def table(cases, kind="application/json"):
    return sum(judge(title, ask(path, body, kind), *want) for title, path, body, *want in cases)


def csv():
    return table([(t, "/invocations", b, *w) for t, b, *w in CSV], "text/csv")


def lines():
    return table([(t, "/invocations", b, *w) for t, b, *w in LINES], "application/jsonlines")


def types():
    """Content types by dialect."""
    bad = 0
    for kind, plain, mlflow in (("application/json", 200, 200), ("application/json; charset=UTF-8", 200, 200),
                                ("application/x-www-form-urlencoded", 200, 415), ("text/plain;charset=UTF-8", 200, 415),
                                ("text/csv", 415, 400), ("application/xml", 415, 415), ("multipart/form-data", 415, 415),
                                ("application/json; charset=latin1", 415, 415), ("application/json; nice=1", 200, 415)):
        for path, body, want in ((PLAIN, ROW, plain), (TF, {"instances": [ROW]}, plain), (INFER, tensors(), plain),
                                 ("/invocations", {"instances": [ROW]}, mlflow)):
            answer = ask(path, body, kind)
            if answer.status_code != want:
                bad += 1
                print(kind, path, "wanted", want, "got", answer.status_code, answer.text)
    packed = session.post(BASE + PLAIN, data=TEXT, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})
    return bad + judge("gzip", packed, 415, "content coding 'gzip' is not understood: send the body as it is")


def methods():
    for path, method, allow in ((PLAIN, "GET", "POST, OPTIONS"), ("/metrics", "POST", "GET, HEAD, OPTIONS"), ("/ping", "DELETE", "GET, HEAD, OPTIONS"),
                                ("/invocations", "PUT", "POST, OPTIONS"), ("/v2/models/income", "PATCH", "GET, HEAD, OPTIONS")):
        answer = session.request(method, BASE + path, json=ROW)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allow), (path, answer.status_code, answer.headers)
        assert "is not for" in message_of(answer)[0]
        asked = session.options(BASE + path)
        assert (asked.status_code, asked.headers["Allow"], asked.content) == (204, allow, b"")
    assert session.options(BASE + "/nowhere").status_code == 404
    for path in ("/ping", "/metrics", "/v2/models/income", "/openapi.json", "/", "/healthz", "/readyz"):
        head, get = session.head(BASE + path), session.get(BASE + path)
        assert (head.status_code, head.content) == (200, b"") and get.content, path
        assert head.headers["Content-Type"] == get.headers["Content-Type"]
    return 0


def ids():
    for given, comes in (("abc-123", "abc-123"), ("x" * 128, "x" * 128), ("x" * 129, None), ("a b", None), ("a<b>", "a<b>")):
        answer = session.post(BASE + PLAIN, json=ROW, headers={"X-Request-Id": given})
        assert answer.status_code == 200 and answer.headers.get("X-Request-Id") == comes, (given, answer.headers)
    answer = session.post(BASE + PLAIN, json={}, headers={"X-Request-Id": "seven"})
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (400, "seven")
    return 0


def sizes():
    """413 for what is too large (this server takes 64 KB), and the connection goes on."""
    most = 65536
    fits = TEXT + " " * (most - len(TEXT))
    assert ask(PLAIN, fits, "application/json").status_code == 200
    for size in (most + 1, 8 * most, 20 << 20):
        body = fits + " " * (size - most)
        answer = ask(PLAIN, body, "application/json")
        judge_ok = judge(size, answer, 413, f"a body has at most {most} bytes here, not {size}: send fewer rows at a time")
        assert not judge_ok
        chunks = session.post(BASE + PLAIN, data=iter([body[i:i + 5000].encode() for i in range(0, size, 5000)]))
        assert not judge("chunked", chunks, 413, f"a body has at most {most} bytes here: send fewer rows at a time")
        assert ask(PLAIN, ROW, "application/json").status_code == 200
    whole = session.post(BASE + PLAIN, data=iter([c.encode() for c in TEXT]))
    assert whole.status_code == 200 and whole.json() == ask(PLAIN, ROW, "application/json").json()
    # With Expect nothing is sent for nothing.
    host, port = BASE.split("//")[1].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as s:
        s.sendall(f"POST {PLAIN} HTTP/1.1\r\nHost: x\r\nContent-Length: {10 * most}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert s.recv(4096).startswith(b"HTTP/1.1 413 ")
    return 0


if sys.argv[1].isupper():
    sys.exit(1 if table(globals()[sys.argv[1]]) else 0)
sys.exit(1 if globals()[sys.argv[1]]() else 0)
