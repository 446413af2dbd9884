#!/usr/bin/python3
"""Scoring 200,000 rows on 2 threads: Quern beside scikit-learn's HistGradientBoosting, trained on the same rows to an
equal number of trees and leaves.

    bench/score.py build-bench/bench/bench_score [ROWS]

Both are timed in turns, and the fastest turn of each counts: other work on the machine only ever adds. The ratio of
processor seconds is printed too, which other work touches less.
"""
import os
import subprocess
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "2"  # before scikit-learn reads it
import numpy as np  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: E402

FEATURES, TREES, LEAVES, TEST_ROWS, TURNS = 28, 100, 255, 200000, 5


def quern_batch(program, rows, folder):
    out = subprocess.run([program, str(rows), str(FEATURES), str(TREES), str(LEAVES), folder],
                         capture_output=True, text=True, check=True).stdout
    return dict(line.split(": ") for line in out.splitlines())


def main():
    program = sys.argv[1]
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 200000
    with tempfile.TemporaryDirectory() as folder:
        first = quern_batch(program, rows, folder)
        data = np.fromfile(f"{folder}/rows.f64")
        x, y = data[:-(rows + TEST_ROWS)].reshape(-1, FEATURES), data[-(rows + TEST_ROWS):]
        other = HistGradientBoostingClassifier(max_iter=TREES, max_leaf_nodes=LEAVES, early_stopping=False)
        other.fit(x[:rows], y[:rows])
        test = np.ascontiguousarray(x[rows:])
        leaves = sum(tree.get_n_leaf_nodes() for (tree,) in other._predictors)
        wall, cpu, quern_wall, quern_cpu = [], [], [], []
        for _ in range(TURNS):
            start, start_cpu = time.perf_counter(), time.process_time()
            other.predict_proba(test)
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - start_cpu)
            turn = quern_batch(program, rows, folder)
            quern_wall.append(float(turn["batch_2_threads_s"]))
            quern_cpu.append(float(turn["batch_2_threads_cpu_s"]))
    for name, value in first.items():
        print(f"{name}: {value}")
    print(f"sklearn_leaves: {leaves}")
    print(f"sklearn_batch_2_threads_s: {min(wall):.4f}")
    print(f"sklearn_batch_2_threads_cpu_s: {min(cpu):.4f}")
    print(f"ratio_to_sklearn: {min(quern_wall) / min(wall):.3f}")
    print(f"ratio_to_sklearn_cpu: {min(quern_cpu) / min(cpu):.3f}")


main()
