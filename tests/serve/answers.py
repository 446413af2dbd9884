#!/usr/bin/env python3
"""answers.py DIALECT: every answer has the bits of `quern predict`, for all five models."""
import csv
import io
import json
import math
import struct
import sys

import numpy

from asking import NAMES, Model, bits, session


def score_of(answer):
    return answer.get("probability", answer.get("probabilities", []))


def plain(m):
    path = f"/v1/models/{m.name}/predict"
    many = m.post(path, json=m.rows).json()
    assert (many["model"], many["version"]) == (m.name, 1)
    m.same([p["prediction"] for p in many["predictions"]], [score_of(p) for p in many["predictions"]])
    singles = [m.post(path, json=row).json() for row in m.rows]
    m.same([p["prediction"] for p in singles], [score_of(p) for p in singles])
    backwards = [dict(reversed(row.items()), extra={"a": [1, {}]}) for row in m.rows]
    m.same([p["prediction"] for p in m.post(path, json=backwards).json()["predictions"]])
    m.same([p["prediction"] for p in m.post(path, json=[list(row.values()) for row in m.rows]).json()["predictions"]])
    # Numbers as texts, and null by leaving out.
    texts = [{n: row[n] for n, _ in m.inputs} for row in m.texts]
    m.same([p["prediction"] for p in m.post(path, json=texts).json()["predictions"]])
    holes = [{n: v for n, v in row.items() if v is not None} for row in m.rows]
    m.same([p["prediction"] for p in m.post(path + "?absent=null", json=holes).json()["predictions"]])
    bare = m.post(path + "?probabilities=false", json=m.rows).json()["predictions"]
    assert all(set(p) == {"prediction"} for p in bare)
    # Contributions add up to the raw score; asked for in a batch or alone they are the same.
    explained = m.post(path + "?explain", json=m.rows[:5]).json()["predictions"]
    for row, answer in zip(m.rows, explained):
        assert m.post(path + "?explain=true", json=row).json()["explanation"] == answer["explanation"]
        parts = answer["explanation"] if "base_value" not in answer["explanation"] else {"": answer["explanation"]}
        for part in parts.values():
            assert set(part["contributions"]) == {n for n, _ in m.inputs}
        if len(parts) == 1 and not m.regression and m.signature["family"] == "gbdt":
            raw = part["base_value"] + sum(part["contributions"].values())
            assert math.isfinite(raw)
    assert m.post(path, json=[]).json()["predictions"] == []


def tensors(m):
    types = {"bool": "BOOL", "integer": "INT64", "number": "FP64"}
    return [{"name": n, "shape": [len(m.rows)], "datatype": types.get(kind, "BYTES"),
             "data": [row[n] if kind != "bool" or row[n] is None else bool(row[n]) for row in m.rows]} for n, kind in m.inputs]


def outputs(answer):
    return {o["name"]: o for o in answer["outputs"]}


def same_outputs(m, answer):
    out = outputs(answer)
    n = len(m.rows)
    assert out["prediction"]["shape"] == [n]
    if m.regression:
        assert set(out) == {"prediction"} and out["prediction"]["datatype"] == "FP64"
        m.same(out["prediction"]["data"])
        return
    score = out["probability"] if m.signature["task"] == "binary" else out["probabilities"]
    assert score["shape"] == ([n] if m.signature["task"] == "binary" else [n, len(m.signature["classes"])])
    width = len(score["data"]) // n
    m.same(out["prediction"]["data"], [score["data"][i * width:(i + 1) * width] for i in range(n)])


def v2(m):
    path = f"/v2/models/{m.name}/infer"
    meta = session.get(f"{m.url}/v2/models/{m.name}").json()
    assert [i["name"] for i in meta["inputs"]] == [n for n, _ in m.inputs] and meta["versions"] == ["1"]
    assert [i["datatype"] for i in meta["inputs"]] == [t["datatype"] for t in tensors(m)]
    body = {"id": "a \"b\" \u00e9", "inputs": tensors(m)}
    answer = m.post(path, json=body).json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == (m.name, "1", body["id"])
    assert [o["name"] for o in answer["outputs"]] == [o["name"] for o in meta["outputs"] if o["name"] != "contributions"]
    same_outputs(m, answer)
    same_outputs(m, m.post(f"/v2/models/{m.name}/versions/1/infer", json=body).json())
    # [n, 1] and nested; members in the order that is hardest to read.
    nested = [{"data": [[x] for x in t["data"]], "datatype": t["datatype"], "shape": [len(m.rows), 1], "name": t["name"]}
              for t in reversed(tensors(m))]
    same_outputs(m, m.post(path, json={"inputs": nested}).json())
    only = m.post(path, json={"inputs": tensors(m), "outputs": [{"name": "prediction"}]}).json()
    assert [o["name"] for o in only["outputs"]] == ["prediction"] and "id" not in only
    m.same(only["outputs"][0]["data"])
    why = m.post(path, json={"inputs": tensors(m), "outputs": [{"name": "contributions"}, {"name": "prediction"}]}).json()
    assert [o["name"] for o in why["outputs"]] == ["contributions", "prediction"]
    size = numpy.prod(why["outputs"][0]["shape"])
    assert len(why["outputs"][0]["data"]) == size and why["outputs"][0]["shape"][-1] == len(m.inputs) + 1
    assert "contributions" in outputs(m.post(path, json={"inputs": tensors(m), "parameters": {"explain": True}}).json())


def binary(m):
    """Binary tensors, in and out."""
    types = {"FP64": "<f8", "INT64": "<i8", "BOOL": "?"}
    blobs, heads = [], []
    for t in tensors(m):
        if t["datatype"] == "BYTES":
            words = [(x or "").encode() for x in t["data"]]
            blob = b"".join(struct.pack("<I", len(w)) + w for w in words)
        else:
            if None in t["data"]:  # only floating point has a way to say missing
                t["datatype"] = "FP64"
            blob = numpy.array([math.nan if x is None else x for x in t["data"]], types[t["datatype"]]).tobytes()
        blobs.append(blob)
        heads.append({"name": t["name"], "shape": t["shape"], "datatype": t["datatype"],
                      "parameters": {"binary_data_size": len(blob)}})
    same_outputs(m, send_binary(m, {"inputs": heads}, blobs))
    same_outputs(m, send_binary(m, {"inputs": heads, "parameters": {"binary_data_output": True}}, blobs))
    mixed = [{"name": o, "parameters": {"binary_data": o != "prediction"}} for o in
             (["prediction"] if m.regression else ["prediction", "probability" if m.signature["task"] == "binary" else "probabilities"])]
    same_outputs(m, send_binary(m, {"inputs": heads, "outputs": mixed}, blobs))
    if all(kind in ("number", "integer", "bool") for _, kind in m.inputs):
        matrix(m)


def matrix(m):
    """All inputs as one matrix, for models of numbers only."""
    values = numpy.array([[math.nan if v is None else v for v in row.values()] for row in m.rows], "<f8")
    head = {"name": "rows", "shape": list(values.shape), "datatype": "FP64"}
    for data in ([[None if math.isnan(x) else x for x in row] for row in values.tolist()], values.ravel().tolist()):
        body = json.dumps({"inputs": [dict(head, data=data)]})  # the second with NaN, as Python writes it
        same_outputs(m, m.post(f"/v2/models/{m.name}/infer", data=body).json())
    blob = values.tobytes()
    same_outputs(m, send_binary(m, {"inputs": [dict(head, parameters={"binary_data_size": len(blob)})]}, [blob]))


def send_binary(m, body, blobs):
    text = json.dumps(body).encode()
    answer = m.post(f"/v2/models/{m.name}/infer", data=text + b"".join(blobs),
                    headers={"Inference-Header-Content-Length": str(len(text)), "Content-Type": "application/octet-stream"})
    n = int(answer.headers.get("Inference-Header-Content-Length", len(answer.content)))
    head, at = json.loads(answer.content[:n]), n
    for out in head["outputs"]:
        size = out.get("parameters", {}).get("binary_data_size")
        if size is not None:
            out["data"] = decode(out["datatype"], answer.content[at:at + size])
            at += size
    assert at == len(answer.content)
    return head


def decode(datatype, blob):
    if datatype != "BYTES":
        return numpy.frombuffer(blob, {"FP64": "<f8", "INT64": "<i8"}[datatype]).tolist()
    words, at = [], 0
    while at < len(blob):
        n, = struct.unpack_from("<I", blob, at)
        words.append(blob[at + 4:at + 4 + n].decode())
        at += 4 + n
    return words


def split_of(m):
    return {"columns": [n for n, _ in m.inputs], "index": list(range(len(m.rows))), "data": [list(r.values()) for r in m.rows]}


def columns_of(m):
    return {n: [row[n] for row in m.rows] for n, _ in m.inputs}


def mlflow(m):
    bodies = [{"dataframe_split": split_of(m)}, {"dataframe_split": dict(reversed(split_of(m).items()))},
              {"dataframe_records": m.rows}, {"instances": m.rows}, {"instances": split_of(m)["data"]},
              {"inputs": columns_of(m)}, {"inputs": m.rows}, {"params": {}, "dataframe_records": m.rows},
              {"inputs": {n: [[x] for x in xs] for n, xs in columns_of(m).items()}}]
    for body in bodies:
        for kind in ("application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"):
            answer = m.post("/invocations", data=json.dumps(body), headers={"Content-Type": kind}).json()
            assert set(answer) == {"predictions"}
            m.same(answer["predictions"])
    for body in bodies[:1] + bodies[2:3]:
        for both in (dict(body, params={"probabilities": True}), dict([("params", {"probabilities": True})] + list(body.items()))):
            answer = m.post("/invocations", json=both).json()["predictions"]
            m.same([p["prediction"] for p in answer], [score_of(p) for p in answer])


def csv_text(m, header, quote=csv.QUOTE_MINIMAL, end="\n"):
    out = io.StringIO()
    writer = csv.writer(out, quoting=quote, lineterminator=end)
    if header:
        writer.writerow([n for n, _ in m.inputs] + ["extra"])
    for row in m.texts:
        writer.writerow([row[n] for n, _ in m.inputs] + (["x"] if header else []))
    return out.getvalue().encode()


def sagemaker(m):
    """CSV and JSON lines, and what Accept asks for."""
    for kind, body in (("text/csv", csv_text(m, True)), ("text/csv", csv_text(m, False)),
                       ("text/csv; header=present", csv_text(m, True, csv.QUOTE_ALL, "\r\n")),
                       ("text/csv; charset=utf-8; header=absent", csv_text(m, False, csv.QUOTE_ALL, "\r\n")),
                       ("text/csv", b"\xef\xbb\xbf" + csv_text(m, True)),
                       ("application/jsonlines", "\n".join(json.dumps(r) for r in m.rows).encode()),
                       ("application/x-ndjson", "".join(json.dumps(list(r.values())) + "\r\n" for r in m.rows).encode())):
        m.same(m.post("/invocations", data=body, headers={"Content-Type": kind}).json()["predictions"])
    headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
    # With a header in, a header out; without, only the rows: the lines of quern predict.
    got = m.post("/invocations", data=csv_text(m, True), headers=headers)
    assert got.headers["Content-Type"].startswith("text/csv") and got.text == m.batch, (got.text[:200], m.batch[:200])
    assert m.post("/invocations", data=csv_text(m, False), headers=headers).text == m.batch.split("\n", 1)[1]
    lines = m.post("/invocations", json={"instances": m.rows}, headers={"Accept": "application/jsonlines"})
    assert lines.headers["Content-Type"] == "application/jsonlines"
    m.same([json.loads(line)["prediction"] for line in lines.text.splitlines()])
    assert session.get(m.url + "/ping").status_code == 200
    limits = session.get(m.url + "/execution-parameters").json()
    assert limits["BatchStrategy"] == "MULTI_RECORD" and limits["MaxPayloadInMB"] == 16 and limits["MaxConcurrentTransforms"] >= 1


def tf(m):
    for path in (f"/v1/models/{m.name}:predict", f"/v1/models/{m.name}/versions/1:predict"):
        for body in ({"instances": m.rows}, {"signature_name": "serving_default", "instances": m.rows},
                     {"instances": split_of(m)["data"]}):
            answer = m.post(path, json=body).json()
            assert set(answer) == {"predictions"}
            m.same(answer["predictions"])
        answer = m.post(path, json={"inputs": columns_of(m)}).json()
        assert set(answer) == {"outputs"}
        m.same(answer["outputs"])
        if not m.regression:
            answer = m.post(path, json={"signature_name": "probabilities", "instances": m.rows}).json()
            m.same(m.predictions, answer["predictions"])
    meta = session.get(f"{m.url}/v1/models/{m.name}/metadata").json()
    assert list(meta["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]) == [n for n, _ in m.inputs]
    state = session.get(f"{m.url}/v1/models/{m.name}").json()
    assert state["ready"] is True and state["model_version_status"][0]["state"] == "AVAILABLE"


def vertex(m):
    """Routes that Vertex AI names by the environment."""
    assert session.get(m.url + "/from/vertex/health").status_code == 200
    answer = m.post("/from/vertex", json={"instances": m.rows, "parameters": {"probabilities": True}}).json()
    m.same([p["prediction"] for p in answer["predictions"]], [score_of(p) for p in answer["predictions"]])
    m.same(m.post("/from/vertex", json={"instances": m.rows, "parameters": {}}).json()["predictions"])


for name in NAMES:
    globals()[sys.argv[1]](Model(name))
    print(f"{name}: the same bits")
