"""What the tests of the server share: where it is, what it is asked, what batch prediction says.

The environment names them: URL_income=http://127.0.0.1:1234 and so on, MODELS (setup_suite.bash), QUERN."""
import csv
import os
import struct
import subprocess

import requests

MODELS = os.environ["MODELS"]
NAMES = ["income", "cover", "bikes", "spam", "fraud"]
session = requests.Session()
session.trust_env = False


def url(name):
    return os.environ["URL_" + name]


def bits(x):
    return struct.pack("<d", float(x))


class Model:
    """A served model, the rows to ask about, and the answers of `quern predict`."""

    def __init__(self, name):
        self.name, self.url = name, url(name)
        self.signature = session.get(f"{self.url}/v1/models/{name}/signature").json()
        self.inputs = [(i["name"], i["type"]) for i in self.signature["inputs"]]
        with open(f"{MODELS}/{name}.csv", newline="", encoding="utf-8") as file:
            self.texts = list(csv.DictReader(file))
        self.rows = [{n: self.value(row[n], kind) for n, kind in self.inputs} for row in self.texts]
        batch = subprocess.run([os.environ["QUERN"], "-q", "predict", f"{MODELS}/{name}.qn", "--input", f"{MODELS}/{name}.csv",
                                "--columns", "none"], check=True, capture_output=True, text=True).stdout
        self.batch = batch
        table = list(csv.reader(batch.splitlines()))
        self.head, table = table[0], table[1:]
        self.regression = self.signature["task"] == "regression"
        self.predictions = [row[0] for row in table]
        self.scores = [[float(x) for x in row[1:]] for row in table]
        assert len(table) == len(self.rows) >= 50

    @staticmethod
    def value(text, kind):
        if text == "":
            return None
        return int(text) if kind in ("integer", "bool") else float(text) if kind == "number" else text

    def same(self, predictions, scores=None):
        """The answers are the batch's: labels as texts, numbers in all their bits."""
        assert len(predictions) == len(self.predictions), len(predictions)
        for i, got in enumerate(predictions):
            want = self.predictions[i]
            if self.regression:
                assert bits(got) == bits(want), (self.name, i, got, want)
            else:
                assert str(got) == want, (self.name, i, got, want)
        if scores is not None and not self.regression:
            for i, got in enumerate(scores):
                got = list(got.values()) if isinstance(got, dict) else got if isinstance(got, list) else [got]
                assert [bits(x) for x in got] == [bits(x) for x in self.scores[i]], (self.name, i, got, self.scores[i])

    def post(self, path, **more):
        answer = session.post(self.url + path, timeout=30, **more)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        assert answer.headers["Quern-Model"] == self.name
        return answer
