#!/usr/bin/env python3
"""The page of `quern serve` in Chromium, before a real server with models of every kind: what it shows is what the
API answers, a server's refusal stands at its field, names full of markup are harmless, and nothing is said on the
console or loaded from elsewhere. Skips where there is no Chromium.

usage: test_page.py QUERN FOLDER_OF_EXAMPLES [FOLDER_FOR_PICTURES]
"""
import csv
import gzip
import json
import math
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

import browser

MARKUP = "</script><img src=x onerror=\"document.title='broken'\">"
SMALL = """
train: {families: {gbdt: {num_iterations: 30, learning_rate: 0.1}}}
evaluate: {bootstrap: 0, slices: false, importance: false, dependence: false}
"""
MODELS = {
    "income": "task: {target: income, positive: '>50K'}\nvalue: {true_positive: 4, false_positive: -2}\n"
              "data: {source: 'EXAMPLES/income/adult_train.csv.gz'}",
    "cover": "task: {target: Cover_Type, kind: multiclass}\ndata: {source: 'EXAMPLES/cover/covtype_sample_15k.csv.gz'}",
    "bikes": "task: {target: cnt, kind: regression}\ndata: {source: 'EXAMPLES/bikes/bike_sharing_hour.csv.gz', "
             "time: dteday, drop: [casual, registered, instant]}",
    "spam": "task: {target: label, positive: spam}\ndata: {source: 'EXAMPLES/spam/sms_spam.csv.gz', "
            "types: {text: text}}",
    "markup": "task: {target: answer, positive: '<b>yes</b>'}\ndata: {source: rows.csv, types: {flag: bool, at: time}}",
}
N_WIDE = 300
SPOKEN = {"textbox", "searchbox", "spinbutton", "combobox", "checkbox", "slider", "button", "link", "table", "region",
          "Date", "DateTime", "form"}  # what a screen reader must find a name for
FIELD = """(name => document.getElementById([...document.querySelectorAll('#fields .name')]
           .find(label => label.textContent === name).htmlFor))"""


# --- the server -----------------------------------------------------------------------------------------------------

def write_markup(path):
    """Hundreds of inputs, names and values that would do harm as HTML, and a type that no example has."""
    rng = random.Random(5)
    names = ["flag", "at", "__proto__", "it's \"quoted\"", MARKUP] + [f"x{i}" for i in range(N_WIDE)]
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(names + ["answer"])
        for _ in range(400):
            x = [round(rng.gauss(0, 1), 3) for _ in range(N_WIDE)]
            flag, word = rng.random() < 0.5, rng.choice(["a", MARKUP, "&amp;", "d"])
            yes = 3 * x[7] + (word == MARKUP) + flag > 0.8
            at = f"2024-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}T0{rng.randint(0, 9)}:30:00"
            row = [str(flag).lower(), at, rng.randint(0, 9), rng.randint(0, 99), word]
            out.writerow(row + x + ["<b>yes</b>" if yes else "no"])


def train(quern, examples, folder, name, *more):
    project = folder / name
    project.mkdir(exist_ok=True)
    if name == "markup":
        write_markup(project / "rows.csv")
    config = f"project: {name}\n" + MODELS[name].replace("EXAMPLES", str(examples)) + SMALL
    (project / "quern.yaml").write_text(config, encoding="utf-8")
    subprocess.run([quern, "run", "-q", "-C", project, "-o", folder / f"{name}.qn", *more], check=True,
                   stdout=subprocess.DEVNULL, env={**os.environ, "OMP_WAIT_POLICY": "passive"})


class Server:
    def __init__(self, quern, *options):
        self.process = subprocess.Popen([quern, "serve", "-p", "0", *options], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        self.said = ""
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", self.said)):
            line = self.process.stdout.readline()
            assert line, "the server ended: " + self.said
            self.said += line
        self.url = found[0]

    def get(self, path):
        with urllib.request.urlopen(self.url + path) as answer:
            return json.load(answer)

    def predict(self, model, row):
        """The answer's text, as it is."""
        request = urllib.request.Request(f"{self.url}/v1/models/{model}/predict?explain=true",
                                         json.dumps(row).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return answer.read().decode().strip()

    def close(self):
        self.process.terminate()
        rest = self.process.communicate(timeout=60)[0]
        assert self.process.returncode == 0, f"the server ended with {self.process.returncode}: {rest}"


# --- the page -------------------------------------------------------------------------------------------------------

class Page:
    def __init__(self, chromium, server):
        self.b, self.server, self.model = chromium, server, None

    def text(self, selector):
        return self.b.run(f"document.querySelector({json.dumps(selector)}).textContent")

    def open(self, model, width=1280, theme="light"):
        self.model = model
        self.b.open(f"{self.server.url}/?theme={theme}#{model}", width)
        self.b.wait("!document.getElementById('why').hidden")
        return json.loads(self.text("pre[aria-label=Request]"))

    def type(self, name, text):
        self.b.run(f"{FIELD}({json.dumps(name)}).focus(); document.activeElement.select()")
        self.b.type(text)

    def choose(self, name, label):
        self.b.run(f"""{{
            const list = {FIELD}({json.dumps(name)});
            list.selectedIndex = [...list.options].findIndex(option => option.text === {json.dumps(label)});
            for (const event of ["input", "change"]) list.dispatchEvent(new Event(event, {{bubbles: true}}));
        }}""")

    def click(self, selector):
        self.b.run(f"document.querySelector({json.dumps(selector)}).click()")

    def forget(self, name):
        self.b.run(f"{FIELD}({json.dumps(name)}).closest('.field').querySelector('.check input').click()")

    def expect(self, row):
        """Waits until the page shows the API's answer to the row, to the byte, and checks the rest against that."""
        wanted = self.server.predict(self.model, row)
        self.b.wait(f"document.querySelector('pre[aria-label=Answer]').textContent === {json.dumps(wanted)}")
        answer = json.loads(wanted)
        assert json.loads(self.text("pre[aria-label=Request]")) == row
        assert self.b.run("document.getElementById('problem').hidden")
        if not isinstance(answer["prediction"], float):
            assert self.text("#label") == str(answer["prediction"]), self.text("#label")
        return answer

    def bars(self):
        return self.b.run("[...document.querySelectorAll('#bars tr')].map(row => [row.cells[0].firstChild.textContent, "
                          "row.cells[0].textContent, row.cells[2].textContent])")

    def check_bars(self, told):
        """All contributions, sorted, signed; they and the base value make the raw score."""
        self.b.run("{ const more = document.getElementById('more'); if (/all/.test(more.textContent)) more.click() }")
        sizes = sorted(told["contributions"].values(), key=abs, reverse=True)
        shown = [float(bar[2].replace("\u2212", "-")) for bar in self.bars()]
        places = len(self.bars()[0][2].partition(".")[2])
        assert len(shown) == len(sizes)
        for seen, size in zip(shown, sizes):
            assert abs(seen - size) <= 0.51 * 10 ** -places or math.isclose(abs(seen), abs(size)), (seen, size)
        raw = told["base_value"] + math.fsum(sizes)
        assert math.isclose(float(self.b.run("document.getElementById('sums').dataset.raw")), raw, rel_tol=1e-9)
        assert math.isclose(float(self.text("#sums tr:last-child td").replace("\u2212", "-")), raw,
                            abs_tol=0.51 * 10 ** -places)
        return raw


def column(path, name):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [row[name].strip() for row in csv.DictReader(file)]


# --- checks ---------------------------------------------------------------------------------------------------------

def check_binary(page, examples):
    row = page.open("income")
    source = examples / "income" / "adult_train.csv.gz"
    assert row["age"] == statistics.median(map(int, column(source, "age")))
    assert row["workclass"] == statistics.mode(value for value in column(source, "workclass") if value != "?")
    page.expect(row)
    page.type("age", "52")
    page.choose("education", "Doctorate")
    page.choose("occupation", "another value\u2026")
    page.b.type("Lion-taming")  # the box for it has the focus
    page.forget("workclass")
    answer = page.expect({**row, "age": 52, "education": "Doctorate", "occupation": "Lion-taming", "workclass": None})
    threshold = page.server.get("/v1/models/income/signature")["threshold"]
    assert math.isclose(float(page.text("#score strong").rstrip("%")), 100 * answer["probability"], abs_tol=0.0501)
    mark = float(page.b.run("document.querySelector('.scale b').style.left").rstrip("%"))
    assert math.isclose(mark, 100 * threshold, rel_tol=1e-4)
    page.check_bars(answer["explanation"])
    page.click("#typical")
    page.expect(row)


def check_multiclass(page, _):
    row = page.open("cover")
    page.type("Elevation", "2400")
    answer = page.expect({**row, "Elevation": 2400})
    ordered = sorted(answer["probabilities"], key=answer["probabilities"].get, reverse=True)
    names = page.b.run("[...document.querySelectorAll('.chances .name')].map(node => node.textContent)")
    assert names == ordered, names
    page.check_bars(answer["explanation"][str(answer["prediction"])])
    page.b.run("{ const list = document.getElementById('class'); list.value = '7'; "
               "list.dispatchEvent(new Event('change')) }")
    page.check_bars(answer["explanation"]["7"])


def check_regression(page, examples):
    row = page.open("bikes", width=390)
    assert row["hr"] == statistics.median(map(int, column(examples / "bikes" / "bike_sharing_hour.csv.gz", "hr")))
    assert page.b.run("document.documentElement.scrollWidth") <= 390
    assert page.b.run(f"{FIELD}('dteday').type") == "date"
    page.b.run(f"{FIELD}('dteday').value = '2012-07-04'; "
               f"{FIELD}('dteday').dispatchEvent(new Event('input', {{bubbles: true}}))")
    page.b.run(f"{{ const slider = {FIELD}('temp').nextSibling; slider.value = 0.91; "
               "slider.dispatchEvent(new Event('input', {bubbles: true})) }")
    page.type("hr", "18")
    answer = page.expect({**row, "dteday": "2012-07-04", "temp": 0.91, "hr": 18})
    raw = page.check_bars(answer["explanation"])
    assert math.isclose(raw, answer["prediction"], rel_tol=1e-9)
    assert math.isclose(float(page.text("#label").replace(",", "")), answer["prediction"], rel_tol=1e-5)


def check_text(page, _):
    row = page.open("spam")
    text = 'FREE entry! Call now, "winner": it\'s \u20ac1000 \\ and \U0001f600'
    page.type("text", text)
    answer = page.expect({**row, "text": text})
    page.check_bars(answer["explanation"])
    if shutil.which("curl"):  # the line is good for a shell, whatever is in it
        said = subprocess.run(["sh", "-c", page.text("pre[aria-label=curl]")], capture_output=True, check=True)
        assert json.loads(said.stdout) == answer


def check_errors(page, _):
    row = page.open("income")
    page.type("age", "41.5")
    page.b.wait("!document.getElementById('problem').hidden")
    problem = page.b.run(f"{{ const box = {FIELD}('age'); const said = document.getElementById(box.id + '-problem'); "
                         "[box.getAttribute('aria-invalid'), said.textContent, "
                         "box.getAttribute('aria-describedby').includes(said.id)] }")
    assert problem == ["true", "'41.5' is not a whole number", True], problem
    assert "\u201cage\u201d" in page.text("#problem")
    assert page.b.run("document.querySelectorAll('[aria-invalid]').length") == 1
    page.type("age", "41")
    page.expect({**row, "age": 41})
    assert page.b.run("document.querySelectorAll('[aria-invalid]').length") == 0
    for _ in range(20):  # by keyboard alone, to the unknown box behind the next control
        page.b.press("Tab", 9)
        if page.b.run("document.activeElement.getAttribute('aria-label')") == "workclass is unknown":
            break
    page.b.press(" ", 32)
    page.expect({**row, "age": 41, "workclass": None})


def check_paste(page, _):
    row = page.open("income")
    fill = "document.getElementById('row').value = {}; document.getElementById('fill').click()"
    given = {**row, "age": "28", "sex": "Other", "hours-per-week": None, "shoe size": 44}
    del given["race"]
    page.b.run(fill.format(json.dumps(json.dumps([given]))))
    page.expect({**row, "age": 28, "sex": "Other", "hours-per-week": None, "race": None})
    said = page.text("#filled")
    assert "race" in said and "shoe size" in said, said
    page.b.run(fill.format("'{\"age\": '"))
    assert "not JSON" in page.text("#filled")


def check_markup(page, _):
    row = page.open("markup")
    assert len(row) == N_WIDE + 5 and page.b.run("document.querySelectorAll('.field').length") == N_WIDE + 5
    answer = page.expect(row)
    told = answer["explanation"]["contributions"]
    strongest = sorted(told, key=lambda name: abs(told[name]), reverse=True)
    first = page.b.run("[...document.querySelectorAll('#fields .name')].map(label => label.textContent)")
    assert first[:3] == strongest[:3], (first[:3], strongest[:3])
    page.choose(MARKUP, MARKUP)
    page.choose("flag", "false" if row["flag"] else "true")
    page.type("__proto__", "3")
    page.type("x7", "-1.25e-1")
    changed = {**row, MARKUP: MARKUP, "flag": not row["flag"], "__proto__": 3, "x7": -0.125}
    page.check_bars(page.expect(changed)["explanation"])
    nameless = [node["role"]["value"] for node in page.b.call("Accessibility.getFullAXTree")["nodes"]
                if node.get("role", {}).get("value") in SPOKEN and not node.get("name", {}).get("value")]
    assert not nameless, nameless
    page.b.run("document.getElementById('filter').focus()")
    page.b.type("X29")
    assert page.b.run("document.querySelectorAll('.field:not([hidden])').length") == 11  # x29, x290 to x299
    assert page.text("#found") == f"11 of {N_WIDE + 5}"
    assert page.b.run("document.querySelectorAll('#app img, #app b:not(.scale b)').length") == 0
    assert "broken" not in page.b.run("document.title")


def check_token(chromium, quern, folder):
    tokens = folder / "tokens"
    token = subprocess.run([quern, "token", "page", "--tokens", tokens], capture_output=True, check=True,
                           text=True).stdout.split()[0]
    server = Server(quern, "-m", folder / "bikes.qn", "--tokens", tokens)
    try:
        chromium.open(server.url + "/")
        for tried in ("quern_wrong", token):
            chromium.wait("document.activeElement.id === 'token'")
            chromium.type(tried)
            chromium.run("document.querySelector('#access button').click()")
            if tried != token:
                chromium.wait("document.getElementById('access-error').textContent.includes('not know')")
        chromium.wait("!document.getElementById('why').hidden")
        assert chromium.run("document.getElementById('access').hidden")
        assert token not in chromium.run("document.documentElement.outerHTML")
        assert chromium.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0
        assert "Bearer $TOKEN" in chromium.run("document.querySelector('pre[aria-label=curl]').textContent")
    finally:
        server.close()


def check_swap(chromium, quern, examples, folder):
    """A promotion while the page is open: the next answer names the new version, and the row stays."""
    server = Server(quern, "-C", folder / "bikes")
    try:
        page = Page(chromium, server)
        row = page.open("bikes")
        assert "version 1" in page.text("#facts")
        page.type("hr", "7")
        page.expect({**row, "hr": 7})
        train(quern, examples, folder, "bikes", "--seed", "7")
        subprocess.run([quern, "models", "promote", "-C", folder / "bikes", "bikes:2"], check=True,
                       stdout=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while server.get("/v1/models")["models"][0]["version"] != 2:
            assert time.monotonic() < end, "the promotion was not picked up"
            time.sleep(0.05)
        page.click("#predict")
        page.expect({**row, "hr": 7})
        assert "version 2" in page.text("#facts")
    finally:
        server.close()


# --- all of it ------------------------------------------------------------------------------------------------------

def loud(chromium, urls):
    """What was said on the console but that an answer was a refusal, and what was asked of others."""
    said = [text for text in chromium.said if not text.startswith("Failed to load resource: the server responded")]
    elsewhere = [url for url in chromium.asked if not url.startswith(("data:", "about:", *urls))]
    chromium.said.clear()
    chromium.asked.clear()
    return said + elsewhere


def shoot(page, folder):
    for model, width, theme in (("income", 1280, "light"), ("income", 1280, "dark"), ("cover", 1280, "light"),
                                ("bikes", 1280, "dark"), ("spam", 1280, "light"), ("income", 390, "light"),
                                ("cover", 390, "dark")):
        page.open(model, width, theme)
        page.b.run("new Promise(done => setTimeout(done, 400))")
        page.b.shoot(folder / f"{model}-{width}-{theme}.png")


def main():
    if not browser.chromium():
        print("1..0 # SKIP no Chromium")
        return
    quern, examples = sys.argv[1], pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        for model in MODELS:
            train(quern, examples, folder, model)
        server = Server(quern, *(part for model in MODELS for part in ("-m", folder / f"{model}.qn")))
        chromium = browser.Browser(folder / "profile")
        page = Page(chromium, server)
        checks = [(f.__name__[6:], lambda f=f: f(page, examples)) for f in (
            check_binary, check_multiclass, check_regression, check_text, check_errors, check_paste, check_markup)]
        checks += [("token", lambda: check_token(chromium, quern, folder)),
                   ("swap", lambda: check_swap(chromium, quern, examples, folder))]
        print(f"1..{len(checks)}")
        for i, (what, check) in enumerate(checks, 1):
            try:
                check()
                said = loud(chromium, ["http://127.0.0.1:"])
                assert not said, said
                print(f"ok {i} - {what}", flush=True)
            except Exception:  # the others are still worth knowing
                chromium.said.clear()
                print(f"not ok {i} - {what}\n# " + traceback.format_exc().strip().replace("\n", "\n# "), flush=True)
        if len(sys.argv) > 3:
            shoot(page, pathlib.Path(sys.argv[3]))
        chromium.close()
        server.close()


main()
