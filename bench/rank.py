#!/usr/bin/python3
"""Training of a ranking beside XGBoost, and LightGBM where LIGHTGBM names its program: time on 2 threads (binning
included, each once with the other waiting), NDCG at 10 on rows not trained on.
    rank.py BENCH_RANK [QUERIES DOCS FEATURES]"""
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import xgboost as xgb
from sklearn.metrics import ndcg_score

bench = os.path.abspath(sys.argv[1])
n_queries, docs, features = (int(v) for v in (sys.argv[2:] + ["2000", "100", "60"][len(sys.argv) - 2:]))
ROUNDS, LEAVES = 50, 63
r = np.random.RandomState(1)
n, n_test = n_queries * docs, n_queries // 4 * docs
x = r.randn(n + n_test, features).astype(np.float32).astype(float)
worth = x[:, :10].sum(axis=1) + x[:, 0] * x[:, 1] + 2 * r.randn(len(x))
grade = np.digitize(worth, [0, 2.6, 5, 7.4])
query = np.repeat(np.arange(len(x) // docs), docs)
os.chdir(tempfile.mkdtemp())
with open("rows", "wb") as f:
    np.array([n, n_test, features, len(x) // docs]).tofile(f)
    np.asfortranarray(x).T.tofile(f)
    grade.astype(float).tofile(f)
    query.astype(np.int32).tofile(f)


def ndcg(score):
    gains = 2.0 ** grade[n:].reshape(-1, docs) - 1
    keep = gains.sum(axis=1) > 0
    return ndcg_score(gains[keep], score.reshape(-1, docs)[keep], k=10)


def tell(name, seconds, score):
    print(f"{name}: {seconds:.2f} s, NDCG@10 {ndcg(score):.4f}")


out = subprocess.run([bench, "read=rows", "write=scores", f"rounds={ROUNDS}", f"leaves={LEAVES}"], check=True,
                     capture_output=True, text=True).stdout
print(out, end="")
tell("quern", float(out.split()[1]), np.fromfile("scores")[n:])
start = time.time()
data = xgb.DMatrix(x[:n], grade[:n], nthread=2)
data.set_group([docs] * n_queries)
booster = xgb.train({"objective": "rank:ndcg", "max_leaves": LEAVES, "max_depth": 0, "eta": 0.1, "lambda": 1, "nthread": 2,
                     "grow_policy": "lossguide", "tree_method": "hist", "min_child_weight": 0.1}, data, ROUNDS)
seconds = time.time() - start
tell("xgboost", seconds, booster.predict(xgb.DMatrix(x[n:])))
if os.environ.get("LIGHTGBM"):
    np.savetxt("train.csv", np.c_[grade[:n], x[:n]], delimiter=",", fmt="%.9g")
    np.savetxt("train.csv.query", np.full(n_queries, docs), fmt="%d")
    np.savetxt("test.csv", np.c_[grade[n:], x[n:]], delimiter=",", fmt="%.9g")
    common = [os.environ["LIGHTGBM"], "label_column=0", "num_threads=2", "verbosity=1"]
    log = subprocess.run(common + ["task=train", "data=train.csv", "objective=lambdarank", f"num_leaves={LEAVES}",
                                   f"num_iterations={ROUNDS}", "lambda_l2=1", "output_model=m.txt"], check=True,
                         capture_output=True, text=True).stdout
    # the program's own clock, reading of the file left out
    seconds = float([line for line in log.split("\n") if "finished iteration" in line][-1].split("]")[-1].split()[0])
    subprocess.run(common + ["task=predict", "data=test.csv", "input_model=m.txt", "output_result=l.txt"], check=True,
                   capture_output=True)
    tell("lightgbm", seconds, np.loadtxt("l.txt"))
