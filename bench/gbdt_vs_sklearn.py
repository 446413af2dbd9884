#!/usr/bin/env python3
"""Training time and quality of family gbdt beside scikit-learn's HistGradientBoosting.

    gbdt_vs_sklearn.py BENCH_GBDT [DATA] [SET]...

Both train on the same rows, binning included, with 2 threads, alternately, REPEAT (3) times with
seeds 1, 2, ...; the medians of the clock's seconds, of the processor's and of the metrics are compared. SCALE (1) multiplies the made
rows. Sets: numeric, classes and, from the folder DATA, payments, covtype and bank. Every fifth row of
those is a test row; text of less than 256 values is a category for both, other text is left out,
times are seconds."""
import os
import subprocess
import sys
import tempfile
import time

THREADS = os.environ.setdefault("OMP_NUM_THREADS", "2")
import numpy as np  # noqa: E402  (after the number of threads is set)
import pandas as pd  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: E402
from sklearn.metrics import log_loss, roc_auc_score  # noqa: E402

REPEAT = int(os.environ.get("REPEAT", "3"))
SCALE = float(os.environ.get("SCALE", "1"))
# name: rows made or file and target, rounds, leaves, most of scikit-learn's time
SETS = {
    "numeric": (1_000_000, None, 100, 255, 0.20),
    "classes": (500_000, None, 50, 63, 0.25),
    "payments": ("fraud_handbook_simulated_61d.csv.gz", "TX_FRAUD", 100, 31, 0.30),
    "covtype": ("covtype_numeric_286k_4vs2.csv.gz", "is_class4", 100, 31, 0.30),
    "bank": ("bank_additional_full.csv.gz", "y", 100, 31, 0.30),
}
LEAKS = ["TX_FRAUD_SCENARIO"]


def write_table(path, target, out):
    table = pd.read_csv(path).drop(columns=LEAKS, errors="ignore")
    y = pd.factorize(table.pop(target), sort=True)[0].astype(float)
    columns, categories = [], []
    for name in table:
        c = table[name]
        if c.dtype != object:
            columns.append(c.to_numpy(float))
            categories.append(0)
        elif name.upper().endswith("DATETIME"):
            columns.append(pd.to_datetime(c).astype("int64").to_numpy() / 1e9)
            categories.append(0)
        elif c.nunique() < 256:
            columns.append(pd.factorize(c, sort=True)[0].astype(float))
            categories.append(c.nunique())
    test = np.arange(len(y)) % 5 == 4
    order = np.concatenate([np.flatnonzero(~test), np.flatnonzero(test)])
    with open(out, "wb") as f:
        np.array([(~test).sum(), test.sum(), len(columns), len(set(y))], np.int64).tofile(f)
        np.array(categories, np.int64).tofile(f)
        for c in columns + [y]:
            c[order].tofile(f)


def read_rows(path):
    with open(path, "rb") as f:
        n, n_test, p, _ = np.fromfile(f, np.int64, 4)
        categories = np.fromfile(f, np.int64, p)
        x = np.fromfile(f, np.float64, p * (n + n_test)).reshape(p, n + n_test).T
        y = np.fromfile(f, np.float64)
    return np.ascontiguousarray(x[:n]), y[:n], np.ascontiguousarray(x[n:]), y[n:], categories


def ours(program, path, rounds, leaves, seed):
    out = subprocess.run([program, f"read={path}", f"threads={THREADS}", f"rounds={rounds}", f"leaves={leaves}",
                          f"seed={seed}"], check=True, capture_output=True, text=True).stdout
    return {k: float(v) for k, v in (line.split(": ") for line in out.splitlines())}


def theirs(rows, rounds, leaves, seed):
    x, y, x_test, y_test, categories = rows
    model = HistGradientBoostingClassifier(max_iter=rounds, max_leaf_nodes=leaves, early_stopping=False,
                                           random_state=seed,
                                           categorical_features=categories > 0 if categories.any() else None)
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(x, y)
    got = {"train_s": time.perf_counter() - wall, "train_cpu_s": time.process_time() - cpu}
    p = model.predict_proba(x_test)
    got["log_loss"] = log_loss(y_test, p)
    if p.shape[1] == 2:
        got["auc"] = roc_auc_score(y_test, p[:, 1])
    return got


def compare(program, name, data, folder):
    source, target, rounds, leaves, bar = SETS[name]
    path = os.path.join(folder, name)
    if target is None:
        subprocess.run([program, f"kind={name}", f"rows={int(source * SCALE)}", f"write={path}"], check=True)
    else:
        write_table(os.path.join(data, source), target, path)
    rows = read_rows(path)
    runs = [(ours(program, path, rounds, leaves, i), theirs(rows, rounds, leaves, i)) for i in range(1, REPEAT + 1)]
    for key in ("train_s", "train_cpu_s"):
        a, b = np.median([r[0][key] for r in runs]), np.median([r[1][key] for r in runs])
        ratio = np.median([r[0][key] / r[1][key] for r in runs])
        print(f"{name}_{key}: {a:.3f}\n{name}_{key}_sklearn: {b:.3f}\n{name}_{key}_ratio: {ratio:.3f}"
              + (f" (bar {bar:.2f})" if key == "train_s" else ""))
    for key in ("auc", "log_loss"):
        if key in runs[0][1]:
            a, b = np.median([r[0][key] for r in runs]), np.median([r[1][key] for r in runs])
            print(f"{name}_{key}: {a:.6f}\n{name}_{key}_sklearn: {b:.6f}")
    print(f"{name}_memory: {runs[0][0]['peak_bytes_by_bins_gradients_and_column']:.2f}", flush=True)
    os.unlink(path)


def main():
    program = sys.argv[1]
    data = sys.argv[2] if len(sys.argv) > 2 else None
    names = sys.argv[3:] or [n for n in SETS if SETS[n][1] is None or data]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            compare(program, name, data, folder)


if __name__ == "__main__":
    main()
