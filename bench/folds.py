#!/usr/bin/env python3
"""Time of cross-validation, bins shared by the folds and not.

    folds.py QUERN [ROWS]

60,000 rows of 28 numbers, 5 folds, 50 trees of 31 leaves, one thread. The second project has one more
column, a text, whose feature is fitted in every fold: nothing is shared then. Median of 3, in turns."""
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile

CONFIG = """task: {target: y}
data: {source: ../%s.csv}
split: {folds: 5}
train: {refit: false, calibrate: none, families: {gbdt: {num_iterations: 50, early_stopping_round: 0}}}
evaluate: {bootstrap: 0, importance: false, slices: false, dependence: false}
"""


def write(folder, rows):
    random.seed(1)
    names = [f"x{j}" for j in range(28)]
    with open(f"{folder}/shared.csv", "w") as a, open(f"{folder}/fitted.csv", "w") as b:
        a.write(",".join(names + ["y"]) + "\n")
        b.write(",".join(names + ["word", "y"]) + "\n")
        for _ in range(rows):
            x = [random.gauss(0, 1) for _ in range(28)]
            s = sum(v * math.cos(j * 1.7) * 0.4 for j, v in enumerate(x)) + x[0] * x[1] + (x[2] > 0.5)
            y = "yes" if random.random() < 1 / (1 + math.exp(-s)) else "no"
            text = ",".join("%.5f" % v for v in x)
            a.write(f"{text},{y}\n")
            b.write(f"{text},{random.choice('ab')},{y}\n")


def main():
    program, rows = os.path.realpath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 60000
    with tempfile.TemporaryDirectory() as folder:
        write(folder, rows)
        seconds = {"shared": [], "fitted": []}
        for name in seconds:
            os.mkdir(f"{folder}/{name}")
            with open(f"{folder}/{name}/quern.yaml", "w") as f:
                f.write(CONFIG % name)
        for _ in range(3):
            for name, found in seconds.items():
                out = subprocess.run([program, "-q", "-C", f"{folder}/{name}", "run", "--no-register", "--json", "-t", "1"],
                                     check=True, capture_output=True, text=True).stdout
                found.append(json.loads(out)["timings"]["folds_s"])
        for name, found in seconds.items():
            print(f"folds_s_{name}: {statistics.median(found):.3f}")
        print(f"folds_ratio: {statistics.median(seconds['shared']) / statistics.median(seconds['fitted']):.3f}")


if __name__ == "__main__":
    main()
