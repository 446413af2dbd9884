#!/usr/bin/python3
"""How small trees can be made: `quern compress` on income, judged on rows that neither pruned nor chose.

    bench/quality/compress.py build/src/cli/quern

Two models of the training half: by default with early stopping, and 500 rounds of 63 leaves without it. Of the
official test half every second row is given to `quern compress`, the others judge what it wrote. Beside it the
other way to make such a model smaller: fewer rounds, trained so (their number from the bytes).
"""
import csv
import gzip
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INCOME = os.path.join(ROOT, "examples", "income")
SHARES = [0.6, 0.4, 0.2, 0.1]


def quern(program, *arguments):
    out = subprocess.run([program, "-q", *arguments, "--json"], capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {out.stdout}{out.stderr}")
    return json.loads(out.stdout)


def train(program, folder, name, gbdt):
    with open(os.path.join(folder, "quern.yaml"), "w") as file:
        file.write(f"""project: income
task: {{target: income, positive: ">50K"}}
data: {{source: {INCOME}/adult_train.csv.gz}}
train: {{families: {{gbdt: {json.dumps(gbdt)}}}}}
evaluate: {{bootstrap: 0, dependence: false}}
""")
    path = os.path.join(folder, name)
    quern(program, "-C", folder, "run", "--no-register", "-o", path)
    return path


def halves(folder):
    with gzip.open(os.path.join(INCOME, "adult_test.csv.gz"), "rt") as file:
        head, *rows = list(csv.reader(file))
    paths = [os.path.join(folder, name) for name in ("given.csv", "judge.csv")]
    for i, path in enumerate(paths):
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows([head, *rows[i::2]])
    return paths


def judged(program, model, rows):
    metrics = quern(program, "evaluate", model, "--input", rows, "--rounds", "0")["metrics"]["test"]
    return metrics["log_loss"]["value"]


def line(name, model, loss, before):
    print(f"{name}: {os.path.getsize(model):,} bytes, log_loss {loss:.5f}, {100 * (loss / before - 1):+.2f}%",
          flush=True)


def main():
    program = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        given, judge = halves(folder)
        many = {"num_iterations": 500, "num_leaves": 63, "early_stopping_round": 0}
        for name, gbdt in [("default", {}), ("500x63", many)]:
            model = train(program, folder, f"{name}.qn", gbdt)
            before, size = judged(program, model, judge), os.path.getsize(model)
            line(name, model, before, before)
            small = os.path.join(folder, "small.qn")
            for form in ("float64", "float16", "uint8"):
                quern(program, "compress", model, "--output", small, "--leaf-values", form)
                line(f"{name} --leaf-values {form}", small, judged(program, small, judge), before)
                quern(program, "compress", model, "--input", given, "--output", small, "--max-loss", "1%",
                      "--leaf-values", form)
                line(f"{name} --max-loss 1% --leaf-values {form}", small, judged(program, small, judge), before)
            for loss in ("0.1%", "1%"):
                quern(program, "compress", model, "--input", given, "--output", small, "--max-loss", loss)
                line(f"{name} --max-loss {loss}", small, judged(program, small, judge), before)
            for share in SHARES:
                result = quern(program, "compress", model, "--input", given, "--output", small, "--to-bytes",
                               str(max(int(share * size), 20000)))
                line(f"{name} --to-bytes {share:.0%}", small, judged(program, small, judge), before)
                if not gbdt:
                    continue
                fixed = result["curve"][-1]["bytes"]
                rounds = int(many["num_iterations"] * (share * size - fixed) / (size - fixed))
                fewer = train(program, folder, "fewer.qn", dict(gbdt, num_iterations=rounds))
                line(f"{rounds} rounds of 63", fewer, judged(program, fewer, judge), before)


main()
