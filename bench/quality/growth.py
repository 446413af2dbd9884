#!/usr/bin/env python3
"""The ways of growing a tree beside XGBoost's: quality and time on the same rows.

    growth.py BENCH_GBDT [DATA] [SET]...

Leaf by leaf, level by level and symmetric trees, each with up to 64 leaves (depth 6 but for the
first), 100 rounds at 0.1, lambda_l2 1, at least 20 rows in a leaf for ours and XGBoost's own rule for
its; XGBoost's hist with grow_policy depthwise and lossguide. 2 threads, REPEAT (3) seeds, medians.
Sets are those of gbdt_vs_sklearn.py; ROWS (200000) numeric rows are made. Categories are left to
both as such."""
import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import gbdt_vs_sklearn as rows  # noqa: E402  (sets the number of threads)
import subprocess  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import xgboost  # noqa: E402
from sklearn.metrics import log_loss, roc_auc_score  # noqa: E402

REPEAT = int(os.environ.get("REPEAT", "3"))
ROWS = int(os.environ.get("ROWS", "200000"))
OURS = {
    "leafwise": ["grow_policy=leafwise"],
    "depthwise": ["grow_policy=depthwise", "max_depth=6"],
    "symmetric": ["grow_policy=symmetric", "max_depth=6"],
}
THEIRS = {"xgboost depthwise": "depthwise", "xgboost lossguide": "lossguide"}


def ours(program, path, options, seed):
    command = [program, f"read={path}", f"threads={rows.THREADS}", "rounds=100", "leaves=64", f"seed={seed}",
               "lambda_l2=1"]
    out = subprocess.run(command + options, check=True, capture_output=True, text=True).stdout
    return {k: float(v) for k, v in (line.split(": ") for line in out.splitlines())}


def theirs(data, policy, seed):
    x, y, x_test, y_test, categories = data
    kind = ["c" if n else "q" for n in categories]

    def table(values):
        frame = pd.DataFrame(values)
        for j, n in enumerate(categories):
            if n:
                frame[j] = pd.Categorical(frame[j].astype(int), categories=range(int(n)))
        return frame

    train = xgboost.DMatrix(table(x), y, feature_types=kind, enable_categorical=True)
    test = xgboost.DMatrix(table(x_test), feature_types=kind, enable_categorical=True)
    params = {"objective": "binary:logistic", "tree_method": "hist", "eta": 0.1, "grow_policy": policy,
              "max_depth": 6 if policy == "depthwise" else 0, "max_leaves": 64, "max_bin": 255, "lambda": 1,
              "nthread": int(rows.THREADS), "seed": seed}
    start = time.perf_counter()
    model = xgboost.train(params, train, 100)
    seconds = time.perf_counter() - start
    p = model.predict(test)
    return {"train_s": seconds, "auc": roc_auc_score(y_test, p), "log_loss": log_loss(y_test, p)}


def compare(program, name, data_folder):
    with tempfile.NamedTemporaryFile() as file:
        if name == "numeric":
            subprocess.run([program, f"write={file.name}", f"rows={ROWS}"], check=True, stdout=subprocess.DEVNULL)
        else:
            rows.write_table(os.path.join(data_folder, rows.SETS[name][0]), rows.SETS[name][1], file.name)
        data = rows.read_rows(file.name)
        for way in list(OURS) + list(THEIRS):
            found = [ours(program, file.name, OURS[way], seed) if way in OURS else theirs(data, THEIRS[way], seed)
                     for seed in range(1, REPEAT + 1)]
            line = {k: statistics.median(f[k] for f in found) for k in ("auc", "log_loss", "train_s")}
            print(f"{name} {way}: auc {line['auc']:.5f} log_loss {line['log_loss']:.5f} train_s {line['train_s']:.2f}",
                  flush=True)


def main():
    program, *rest = sys.argv[1:]
    folder = rest.pop(0) if rest and os.path.isdir(rest[0]) else None
    for name in rest or ["numeric"] + (["covtype", "bank", "payments"] if folder else []):
        compare(program, name, folder)


if __name__ == "__main__":
    main()
