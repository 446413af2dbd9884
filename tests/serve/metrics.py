"""metrics.py URL: /metrics is Prometheus text format 0.0.4 to the letter, and counts what was asked."""
import collections
import json
import math
import re
import sys

import requests

URL = sys.argv[1]
session = requests.Session()
session.trust_env = False
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?[0-9.eE+-]+|[+-]Inf|NaN)")


def parse(text):
    """{(name, labels): value}; asserts every rule of the format that a scraper could trip over."""
    assert text.endswith("\n")
    samples, types, helped, present, closed = {}, {}, set(), None, set()
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            name, words = re.fullmatch(rf"# HELP ({NAME}) (.+)", line).groups()
            assert name not in helped and words
            helped.add(name)
            continue
        if line.startswith("# TYPE "):
            name, kind = re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge|histogram)", line).groups()
            assert name in helped and name not in types
            closed.add(present)
            types[name] = kind
            present = name
            continue
        name, labels, *_, value = SAMPLE.fullmatch(line).groups()
        family = re.sub("_(bucket|sum|count)$", "", name) if types[present] == "histogram" else name
        assert family == present and family not in closed, line  # the samples of a family stand together
        assert types[present] != "counter" or name.endswith("_total"), line
        key = name, tuple(sorted(m[:2] for m in re.findall(LABEL, labels or "")))
        assert key not in samples, line
        samples[key] = float(value)
        assert types[present] == "gauge" or samples[key] >= 0
    histograms(samples, types)
    return samples


def histograms(samples, types):
    for family in (n for n, kind in types.items() if kind == "histogram"):
        buckets = [(float(dict(labels)["le"]), v) for (n, labels), v in samples.items() if n == family + "_bucket"]
        assert buckets == sorted(buckets) and buckets[-1][0] == math.inf
        assert [v for _, v in buckets] == sorted(v for _, v in buckets)
        assert buckets[-1][1] == samples[(family + "_count", ())] and samples[(family + "_sum", ())] >= 0


def scrape():
    answer = session.get(URL + "/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parse(answer.text)


before = scrape()
good = [("/v1/models/spam/predict", [{"text": "a"}, {"text": "b"}, {"text": "c"}], "plain"),
        ("/v2/models/spam/infer", {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}]}, "v2"),
        ("/invocations", {"instances": [{"text": "a"}]}, "mlflow"),
        ("/v1/models/spam:predict", {"instances": [["a"]]}, "tensorflow")]
asked = collections.Counter()
for path, body, dialect in good:
    for _ in range(3):
        assert session.post(URL + path, json=body).status_code == 200
        asked[dialect, "2xx"] += 1
    assert session.post(URL + path, json={"x": 1}).status_code == 400
    asked[dialect, "4xx"] += 1
kinds = {"no_token": 0, "not_found": 1, "bad_method": 1, "bad_type": 1, "bad_request": 4, "internal": 0}
assert session.get(URL + "/nope").status_code == 404
assert session.get(URL + "/invocations").status_code == 405
assert session.post(URL + "/invocations", data="x", headers={"Content-Type": "image/png"}).status_code == 415
asked["plain", "4xx"] += 1
asked["mlflow", "4xx"] += 1
asked["plain", "4xx"] += 1  # a path that allows another method belongs to no dialect
asked["plain", "2xx"] += 1  # the first look at /metrics itself
after = scrape()


def gain(name, **labels):
    key = name, tuple(sorted(labels.items()))
    return after[key] - before.get(key, 0)


for (dialect, status), n in asked.items():
    assert gain("quern_requests_total", dialect=dialect, status=status) == n, (dialect, status, n)
assert gain("quern_requests_total", dialect="v2", status="5xx") == 0
for kind, n in kinds.items():
    assert gain("quern_errors_total", kind=kind) == n, (kind, n, gain("quern_errors_total", kind=kind))
of = dict(model="spam", version="1")
assert gain("quern_model_requests_total", **of) == 16
assert gain("quern_model_failures_total", **of) == 4
assert gain("quern_model_rows_total", **of) == 3 * (3 + 2 + 1 + 1)
assert gain("quern_model_seconds_total", **of) > 0
assert gain("quern_request_duration_seconds_count") == 17  # with the refused content type
assert after["quern_in_flight", ()] == 0 and after["quern_connections", ()] >= 1
assert 1e6 < after["process_resident_memory_bytes", ()] < 1e9
assert after["quern_model_age_seconds", tuple(sorted(of.items()))] > 0
stats = session.get(URL + "/v2/models/spam/stats").json()["model_stats"][0]
assert stats["inference_stats"]["success"]["count"] == 12 and stats["inference_stats"]["fail"]["count"] == 4, json.dumps(stats)
assert stats["inference_count"] == 21 and stats["version"] == "1"
