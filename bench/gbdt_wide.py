#!/usr/bin/env python3
"""Training of family gbdt on wide data beside scikit-learn's HistGradientBoosting and XGBoost (hist).

    gbdt_wide.py BENCH_GBDT [SET]...

categories: ROWS (300,000) rows of 9 numbers and one column of 3,000 categories, which are codes to
scikit-learn (it takes 255 categories at most) and categories to XGBoost. onehot: ROWS / 10 rows of
10,000 sparse columns of 0 and 1, 20 of them 1 in each row; scikit-learn gets them dense. dense: ROWS / 3
rows of 1,000 dense columns of 0 and 1, 20 groups of which one is 1 in each row. 100 rounds
of 31 leaves, learning rate 0.1, 2 threads, each program alone in a process of its own, in turns,
REPEAT (3) times; medians. Seconds include binning; memory is the most beyond what was there with the
rows loaded, for scikit-learn those of the dense float64 matrix."""
import json
import os
import subprocess
import sys
import tempfile
import time

THREADS = os.environ.setdefault("OMP_NUM_THREADS", "2")
REPEAT = int(os.environ.get("REPEAT", "3"))
ROWS = int(os.environ.get("ROWS", "300000"))
SETS = {"categories": ROWS, "onehot": ROWS // 10, "dense": ROWS // 3}
ROUNDS, LEAVES = 100, 31


def read_rows(path):
    """CSR or dense rows, targets, the number of training rows, categories."""
    import numpy as np
    from scipy import sparse
    with open(path, "rb") as f:
        n, n_test, p, _ = np.fromfile(f, np.int64, 4)
        kinds = np.fromfile(f, np.int64, p)
        dense, rows, cols, values = [], [], [], []
        for j in range(p):
            if kinds[j] < 0:
                m = int(np.fromfile(f, np.int64, 1)[0])
                rows.append(np.fromfile(f, np.int64, m))
                values.append(np.fromfile(f, np.float64, m))
                cols.append(np.full(m, j))
            else:
                dense.append(np.fromfile(f, np.float64, n + n_test))
        y = np.fromfile(f, np.float64, n + n_test)
    if dense:
        x = np.ascontiguousarray(np.array(dense).T)
    else:
        x = sparse.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))),
                              shape=(n + n_test, p))
    return x, y, n, kinds


def peak_bytes():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def other(name, path, seed):
    """In a process of its own: prints seconds, memory and quality as JSON."""
    from sklearn.metrics import log_loss, roc_auc_score
    x, y, n, kinds = read_rows(path)
    if name == "xgboost":
        import xgboost as xgb
        types = ["c" if k > 0 else "q" for k in kinds]
        before, start = peak_bytes(), time.perf_counter()
        train = xgb.DMatrix(x[:n], y[:n], feature_types=types, enable_categorical=True, nthread=int(THREADS))
        model = xgb.train({"tree_method": "hist", "max_leaves": LEAVES, "grow_policy": "lossguide", "max_depth": 0,
                           "eta": 0.1, "objective": "binary:logistic", "nthread": int(THREADS), "seed": seed,
                           "max_bin": 255}, train, ROUNDS)
        seconds = time.perf_counter() - start
        p = model.predict(xgb.DMatrix(x[n:], feature_types=types, enable_categorical=True))
    else:
        from sklearn.ensemble import HistGradientBoostingClassifier
        x = x.toarray() if hasattr(x, "toarray") else x
        model = HistGradientBoostingClassifier(max_iter=ROUNDS, max_leaf_nodes=LEAVES, early_stopping=False,
                                               random_state=seed)
        before, start = peak_bytes(), time.perf_counter()
        model.fit(x[:n], y[:n])
        seconds = time.perf_counter() - start
        p = model.predict_proba(x[n:])[:, 1]
    print(json.dumps({"train_s": seconds, "peak_bytes": peak_bytes() - before, "log_loss": log_loss(y[n:], p),
                      "auc": roc_auc_score(y[n:], p)}))


def ours(program, path, seed):
    out = subprocess.run([program, f"read={path}", f"threads={THREADS}", f"rounds={ROUNDS}", f"leaves={LEAVES}",
                          f"seed={seed}"], check=True, capture_output=True, text=True).stdout
    return {k: float(v) for k, v in (line.split(": ") for line in out.splitlines())}


def apart(name, path, seed):
    return json.loads(subprocess.run([sys.executable, __file__, "--other", name, path, str(seed)], check=True,
                                     capture_output=True, text=True).stdout)


def main():
    import statistics
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[2:] or SETS:
            path = os.path.join(folder, name)
            subprocess.run([program, f"kind={name}", f"rows={SETS[name]}", f"write={path}"], check=True)
            runs = {"quern": [], "sklearn": [], "xgboost": []}
            for seed in range(1, REPEAT + 1):
                runs["quern"].append(ours(program, path, seed))
                runs["sklearn"].append(apart("sklearn", path, seed))
                runs["xgboost"].append(apart("xgboost", path, seed))
            for key in ("train_s", "peak_bytes", "auc", "log_loss"):
                for who, all_runs in runs.items():
                    print(f"{name}_{key}_{who}: {statistics.median(r[key] for r in all_runs):.6g}", flush=True)
            os.unlink(path)


if sys.argv[1] == "--other":
    other(sys.argv[2], sys.argv[3], int(sys.argv[4]))
else:
    main()
