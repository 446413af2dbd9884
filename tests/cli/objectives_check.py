"""Helpers of objectives.bats: what `quern run` learns beside scikit-learn or XGBoost on the same rows.

    objectives_check.py ova | entropy | init_score | init_classes | rank    exits with 77 when a library is missing; LIGHTGBM may name its program
"""
import ctypes
import json
import os
import subprocess
import sys

try:
    import numpy as np
    import xgboost as xgb
    from sklearn import metrics
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.multiclass import OneVsRestClassifier
except ImportError:
    sys.exit(77)

ROUNDS, LEAVES, RATE = 60, 15, 0.1
TREES = f"num_iterations: {ROUNDS}, num_leaves: {LEAVES}, learning_rate: {RATE}, lambda_l2: 1"


def quern(*arguments):
    done = subprocess.run([os.environ["QUERN"], "-q", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def write(path, names, columns):
    with open(path, "w") as f:
        f.write(",".join(names) + "\n")
        for row in zip(*columns):
            f.write(",".join(str(v) if isinstance(v, str) else repr(float(v)) for v in row) + "\n")


def run(config, names, train, test):
    """Trains on the rows of `train`, and answers those of `test`: summary and predictions by column."""
    write("train.csv", names, train)
    write("test.csv", names, test)
    with open("quern.yaml", "w") as f:
        f.write(config)
    summary = json.loads(quern("run", "--json"))
    quern("predict", "p", "-i", "test.csv", "-c", "none", "-o", "got.csv")
    lines = [line.strip().split(",") for line in open("got.csv")]
    return summary, {name: [row[i] for row in lines[1:]] for i, name in enumerate(lines[0])}


def config(target, kind, gbdt, more=""):
    return (f"project: p\nthreads: 2\ntask: {{target: {target}, kind: {kind}}}\n"
            "data: {source: train.csv, test: test.csv}\nsplit: {test: 0, validate: 0.1}\n"
            f"train: {{families: {{gbdt: {{{TREES}, {gbdt}}}}}, calibrate: none{more}}}\n"
            "evaluate: {bootstrap: 20, slices: false, importance: false, dependence: false}\n")


def ova():
    r = np.random.RandomState(1)
    x = r.randn(6000, 6)
    score = np.c_[x[:, 0] + x[:, 1] ** 2, 1.5 * x[:, 2] - x[:, 3], np.sin(3 * x[:, 4]) + 0.8 * np.abs(x[:, 0])]
    y = np.argmax(score + r.gumbel(size=score.shape), axis=1)
    names = [f"x{i}" for i in range(6)] + ["y"]
    words = np.array(["a", "b", "c"])[y]
    summary, got = run(config("y", "multiclass", "objective: multiclassova"), names,
                       [*x[:4000].T, words[:4000]], [*x[4000:].T, words[4000:]])
    p = np.array([got[f"probability_{c}"] for c in "abc"], float).T
    assert np.abs(p.sum(axis=1) - 1).max() < 1e-9
    theirs = OneVsRestClassifier(HistGradientBoostingClassifier(
        max_iter=ROUNDS, max_leaf_nodes=LEAVES, learning_rate=RATE, l2_regularization=1, early_stopping=False))
    q = theirs.fit(x[:4000], y[:4000]).predict_proba(x[4000:])
    ours, other = metrics.log_loss(y[4000:], p), metrics.log_loss(y[4000:], q)
    print(f"log loss {ours:.5f}, scikit-learn one against rest {other:.5f}")
    assert ours < 1.01 * other
    judged = summary["metrics"]["test"]["log_loss"]["value"]
    assert abs(judged - ours) < 1e-9, (judged, ours)


def entropy():
    r = np.random.RandomState(2)
    x = r.randn(6000, 6)
    p = 1 / (1 + np.exp(-(x[:, 0] + x[:, 1] ** 2 - 1 + x[:, 2] * (x[:, 3] > 0))))
    y = r.binomial(8, p) / 8
    names = [f"x{i}" for i in range(6)] + ["y"]
    summary, got = run(config("y", "regression", "objective: cross_entropy", ", metric: cross_entropy"), names,
                       [*x[:4000].T, y[:4000]], [*x[4000:].T, y[4000:]])
    q = np.array(got["prediction"], float)
    assert q.min() > 0 and q.max() < 1
    booster = xgb.train({"objective": "reg:logistic", "max_leaves": LEAVES, "max_depth": 0, "eta": RATE, "lambda": 1,
                         "grow_policy": "lossguide", "tree_method": "hist", "verbosity": 0, "nthread": 2},
                        xgb.DMatrix(x[:4000], y[:4000]), ROUNDS)

    def loss(f):
        return -np.mean(y[4000:] * np.log(f) + (1 - y[4000:]) * np.log(1 - f))

    ours, other = loss(q), loss(booster.predict(xgb.DMatrix(x[4000:])).astype(float))
    print(f"cross-entropy {ours:.5f}, XGBoost {other:.5f}")
    assert ours < 1.01 * other
    assert abs(summary["metrics"]["test"]["cross_entropy"]["value"] - ours) < 1e-9


def init_score():
    """Claims by exposure: the log of it is where the score starts."""
    r = np.random.RandomState(3)
    x = r.randn(8000, 5)
    exposure = r.uniform(0.05, 2, 8000)
    rate = np.exp(0.5 * x[:, 0] + 0.4 * (x[:, 1] > 0) - 0.3 * x[:, 2] ** 2)
    y = r.poisson(exposure * rate)
    start = np.log(exposure)
    names = [f"x{i}" for i in range(5)] + ["start", "y"]

    def part(rows, shift=0.0):
        return [*x[rows].T, start[rows] + shift, y[rows]]

    train, test = slice(0, 6000), slice(6000, 8000)
    text = config("y", "regression", "objective: poisson, poisson_max_delta_step: 0.7", ", metric: poisson_deviance")
    summary, got = run(text.replace("data: {", "data: {init_score: start, "), names, part(train), part(test))
    q = np.array(got["prediction"], float)
    margin = {"base_margin": start[train]}
    booster = xgb.train({"objective": "count:poisson", "max_leaves": LEAVES, "max_depth": 0, "eta": RATE, "lambda": 1,
                         "grow_policy": "lossguide", "tree_method": "hist", "verbosity": 0, "nthread": 2},
                        xgb.DMatrix(x[train], y[train], **margin), ROUNDS)
    theirs = booster.predict(xgb.DMatrix(x[test], base_margin=start[test])).astype(float)
    ours, other = (metrics.mean_poisson_deviance(y[test], f) for f in (q, theirs))
    print(f"Poisson deviance {ours:.5f}, XGBoost {other:.5f}")
    assert ours < 1.01 * other
    assert abs(summary["metrics"]["test"]["poisson_deviance"]["value"] - ours) < 1e-9
    online(q)
    # What stands behind the link doubles when the start grows by log 2, whatever trees say.
    write("test.csv", names, part(test, np.log(2)))
    quern("predict", "p", "-i", "test.csv", "-c", "none", "-o", "twice.csv")
    twice = np.array([line.split(",")[0] for line in open("twice.csv").read().split()[1:]], float)
    assert np.abs(twice / (2 * q) - 1).max() < 1e-12


def init_classes():
    """Scores of another model for each class, which know half of it: what is left is learnt, and added up."""
    r = np.random.RandomState(5)
    x = r.randn(8000, 5)
    start = np.c_[x[:, 0], -x[:, 0] + x[:, 1], np.zeros(8000)] + 0.3 * r.randn(8000, 3)
    score = start + np.c_[x[:, 2] ** 2, x[:, 3] * (x[:, 4] > 0), np.sin(2 * x[:, 1])]
    y = np.argmax(score + r.gumbel(size=score.shape), axis=1)
    words = np.array(["a", "b", "c"])[y]
    names = [f"x{i}" for i in range(5)] + ["for_c", "for_a", "for_b", "y"]
    order = [2, 0, 1]  # of the columns in the file

    def part(rows, moved=0.0):
        return [*x[rows].T, *(start[rows] + np.array([moved, 0, 0]))[:, order].T, words[rows]]

    def answers(got):
        return np.array([got[f"probability_{c}"] for c in "abc"], float).T

    train, test = slice(0, 6000), slice(6000, 8000)
    text = config("y", "multiclass", "objective: multiclass")
    summary, got = run(text.replace("data: {", "data: {init_score: [for_a, for_b, for_c], "), names, part(train),
                       part(test))
    q = answers(got)
    # Its second derivatives are twice as large: leaves of half the size.
    booster = xgb.train({"objective": "multi:softprob", "num_class": 3, "max_leaves": LEAVES, "max_depth": 0,
                         "eta": 2 * RATE, "lambda": 2, "grow_policy": "lossguide", "tree_method": "hist", "verbosity": 0,
                         "nthread": 2},
                        xgb.DMatrix(x[train], y[train], base_margin=start[train]), ROUNDS)
    theirs = booster.predict(xgb.DMatrix(x[test], base_margin=start[test])).astype(float)
    alone = np.exp(start[test]) / np.exp(start[test]).sum(axis=1, keepdims=True)
    ours, other, before = (metrics.log_loss(y[test], f) for f in (q, theirs, alone))
    print(f"log loss {ours:.5f}, XGBoost {other:.5f}, of the initial scores alone {before:.5f}")
    assert ours < 1.01 * other and ours < before - 0.05
    assert abs(summary["metrics"]["test"]["log_loss"]["value"] - ours) < 1e-9
    # What is added to a class's score adds to its log odds against any other, whatever trees say.
    write("test.csv", names, part(test, 0.5))
    quern("predict", "p", "-i", "test.csv", "-c", "none", "-o", "moved.csv")
    lines = [line.strip().split(",") for line in open("moved.csv")]
    moved = answers(dict(zip(lines[0], zip(*lines[1:]))))
    assert np.abs(np.log(moved[:, 0] / moved[:, 1]) - np.log(q[:, 0] / q[:, 1]) - 0.5).max() < 1e-9
    assert np.abs(np.log(moved[:, 2] / moved[:, 1]) - np.log(q[:, 2] / q[:, 1])).max() < 1e-9
    trees = json.loads(quern("export", "p", "--format", "json"))
    assert trees["init_score"] == ["for_a", "for_b", "for_c"]
    write("test.csv", names, part(test))
    quern("-q", "refit", "p", "-i", "test.csv", "-o", "refitted.qn")
    quern("-q", "compress", "p", "-i", "test.csv", "--to-bytes", "60KB", "-o", "small.qn")
    for model in ("refitted.qn", "small.qn"):
        quern("predict", model, "-i", "test.csv", "-c", "none", "-o", "again.csv")
        lines = [line.strip().split(",") for line in open("again.csv")]
        again = metrics.log_loss(y[test], answers(dict(zip(lines[0], zip(*lines[1:])))))
        print(f"{model}: log loss {again:.5f}")
        assert again < ours + 0.02


def online(offline):
    """The rows of test.csv by libquern, as JSON: the bits of `quern predict`. Where the build has it, without
    a sanitizer, which wants to be in python from the start."""
    library = os.path.join(os.path.dirname(os.environ["QUERN"]), "..", "api", "libquern.so")
    if not os.path.exists(library) or b"__asan_init" in open(library, "rb").read():
        return
    hash = json.loads(quern("models", "show", "p", "--json"))["registry"]["hash"]
    model = os.path.join(".quern", "objects", hash[:2], hash)
    lines = [line.strip().split(",") for line in open("test.csv")]
    rows = [dict(zip(lines[0], map(float, line))) for line in lines[1:]]
    for row in rows:
        del row["y"]
    lib = ctypes.CDLL(library)
    answer = ctypes.c_char_p()
    status = lib.qn_predict_once(model.encode(), json.dumps(rows).encode(), ctypes.byref(answer), None)
    assert status == 0
    assert [row["prediction"] for row in json.loads(answer.value)] == list(offline)


def rank():
    """Grades of the rows of a query, by what they are and not by how good the query is."""
    r = np.random.RandomState(4)
    n_queries = 700
    query = np.repeat(np.arange(n_queries), r.randint(3, 30, n_queries))
    n = len(query)
    x = r.randn(n, 6)
    x[:, 5] += r.randn(n_queries)[query] * 2
    worth = x[:, 0] + 0.7 * x[:, 1] ** 2 + np.sin(3 * x[:, 2]) + 0.8 * (x[:, 3] > 0) * x[:, 4] + 0.6 * r.randn(n)
    worth += 3 * r.randn(n_queries)[query]  # the query's own level, which says nothing of the order
    grade = np.zeros(n, int)
    for q in range(n_queries):
        i = np.where(query == q)[0]
        grade[i] = np.digitize(np.argsort(np.argsort(worth[i])) / len(i), [0.5, 0.7, 0.85, 0.95])
    names = [f"x{i}" for i in range(6)] + ["q", "y"]
    words = np.array([f"query {q}" for q in query])
    shuffled = r.permutation(n)  # rows of a query stand anywhere
    train, test = (shuffled[(query[shuffled] < 500) == side] for side in (True, False))
    text = config("y", "ranking, query: q", "objective: lambdarank, lambdarank_truncation_level: 30")
    summary, got = run(text, names, *([*x[rows].T, words[rows], grade[rows]] for rows in (train, test)))
    f = np.array(got["prediction"], float)

    def ndcg(score):
        each = []
        for q in range(500, n_queries):
            i = query[test] == q
            if grade[test][i].any():
                each.append(metrics.ndcg_score([2.0 ** grade[test][i] - 1], [score[i]], k=10))
        return np.mean(each)

    order = np.argsort(query[train], kind="stable")
    rows = train[order]
    data = xgb.DMatrix(x[rows], grade[rows])
    data.set_group(np.bincount(query[rows])[:500])
    booster = xgb.train({"objective": "rank:ndcg", "max_leaves": LEAVES, "max_depth": 0, "eta": RATE, "lambda": 1,
                         "grow_policy": "lossguide", "tree_method": "hist", "verbosity": 0, "nthread": 2,
                         "min_child_weight": 0.1}, data, ROUNDS)
    ours, other = ndcg(f), ndcg(booster.predict(xgb.DMatrix(x[test])))
    plain = ndcg(HistGradientBoostingRegressor(max_iter=ROUNDS, max_leaf_nodes=LEAVES, learning_rate=RATE).fit(
        x[train], grade[train]).predict(x[test]))
    line = f"NDCG@10 {ours:.4f}, XGBoost {other:.4f}, squared error of the grades {plain:.4f}"
    if os.environ.get("LIGHTGBM"):
        line += f", LightGBM {ndcg(lightgbm(x[rows], grade[rows], np.bincount(query[rows])[:500], x[test])):.4f}"
    print(line)
    assert ours > other - 0.005
    judged = summary["metrics"]["test"]
    assert sorted(judged) == ["map", "ndcg@10", "ndcg@5"] and summary["metric"] == "ndcg@10"
    assert abs(judged["ndcg@10"]["value"] - ours) < 1e-9
    assert judged["ndcg@10"]["low"] < ours < judged["ndcg@10"]["high"]
    families = {row["family"]: row["test"]["value"] for row in summary["leaderboard"]}
    assert families["prior"] < 0.6 < families["gbdt"]
    # Rows of the file alone: the metric of `quern evaluate` is that of the run.
    again = json.loads(quern("evaluate", "p", "-i", "test.csv", "--json"))
    assert abs(again["metrics"]["test"]["ndcg@10"]["value"] - ours) < 1e-9


def lightgbm(x, y, groups, rows):
    """By LightGBM's program, whose path is LIGHTGBM."""
    np.savetxt("lgb.csv", np.c_[y, x], delimiter=",")
    np.savetxt("lgb.csv.query", groups, fmt="%d")
    np.savetxt("lgbtest.csv", np.c_[np.zeros(len(rows)), rows], delimiter=",")
    options = ["label_column=0", "verbosity=-1", "num_threads=2"]
    subprocess.run([os.environ["LIGHTGBM"], "task=train", "data=lgb.csv", "objective=lambdarank", "output_model=l.txt",
                    f"num_leaves={LEAVES}", f"learning_rate={RATE}", f"num_iterations={ROUNDS}", "lambda_l2=1",
                    *options], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([os.environ["LIGHTGBM"], "task=predict", "data=lgbtest.csv", "input_model=l.txt",
                    "output_result=l.out", *options], check=True, stdout=subprocess.DEVNULL)
    return np.loadtxt("l.out")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
