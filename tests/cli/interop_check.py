"""Helpers of interop.bats: numbers of files compared, and models of XGBoost against its own predictor.

    interop_check.py same GOT.csv WANT TOLERANCE   predictions of `quern predict` against rows of numbers,
                                                   which are shares of their sum when WANT is called ova
    interop_check.py xgboost                       exits with 77 when python3-xgboost is missing
"""
import csv
import os
import re
import subprocess
import sys


def read_got(path):
    with open(path) as f:
        rows = list(csv.reader(f))
    columns = [i for i, name in enumerate(rows[0]) if name.startswith("probability")]
    columns = columns or [rows[0].index("prediction")]
    return [[float(row[i]) for i in columns] for row in rows[1:]]


def difference(got, want):
    assert len(got) == len(want), (len(got), len(want))
    worst = 0
    for a, b in zip(got, want):
        assert len(a) == len(b), (a, b)
        worst = max([worst] + [abs(x - y) / max(1, abs(y)) for x, y in zip(a, b)])
    return worst


def same(got, want, tolerance):
    with open(want) as f:
        numbers = [[float(x) for x in re.split("[\t,]", line.strip())] for line in f if line.strip()]
    if os.path.basename(want).startswith("ova"):  # LightGBM leaves the sigmoids as they are
        numbers = [[x / sum(row) for x in row] for row in numbers]
    worst = difference(read_got(got), numbers)
    print(f"{os.path.basename(want)}: largest difference {worst:.2g}")
    assert worst <= float(tolerance)


def quern(*arguments):
    return subprocess.run([os.environ["QUERN"], "-q", *arguments], capture_output=True, text=True, check=False)


def xgboost():
    try:
        import numpy as np
        import xgboost as xgb
    except ImportError:
        sys.exit(77)
    xgb.set_config(verbosity=0)
    r = np.random.RandomState(0)
    x = r.rand(500, 4)
    x[:, 3] = np.floor(x[:, 3] * 40)
    target = x[:, 0] + x[:, 1] + 0.3 * (x[:, 3] % 3)
    x[r.rand(*x.shape) < 0.1] = np.nan
    names = ["a", "b", "c", "d"]

    def write(rows):
        with open("rows.csv", "w") as f:
            f.write("a,b,c,d\n")
            f.writelines(",".join("" if np.isnan(v) else repr(float(v)) for v in row) + "\n" for row in rows)

    def check(name, params, y, rows=x, rounds=8, category=False):
        kinds = dict(feature_names=names, feature_types=["q", "q", "q", "c"] if category else None,
                     enable_categorical=category)
        booster = xgb.train(dict(nthread=1, seed=1, **params), xgb.DMatrix(x, y, **kinds), rounds)
        booster.save_model("m.json")
        want = booster.predict(xgb.DMatrix(rows, **kinds))
        done = quern("import", "m.json", "-o", "m.qn")
        assert done.returncode == 0, (name, done.stderr)
        write(rows)
        done = quern("predict", "m.qn", "-i", "rows.csv", "-c", "none", "-o", "got.csv")
        assert done.returncode == 0, (name, done.stderr)
        worst = difference(read_got("got.csv"), want.reshape(len(rows), -1).tolist())
        print(f"{name}: largest difference {worst:.2g}")
        assert worst < 1e-6, name
        return booster

    def edges(booster):
        """Rows with values at, just below and just above every threshold, in double."""
        rows = []
        for tree in booster.get_dump(dump_format="text"):
            for feature, text in re.findall(r"\[([a-d])<([-+.0-9e]+)\]", tree):
                c = np.float32(text)
                below = np.nextafter(c, np.float32(-np.inf))
                half = (float(below) + float(c)) / 2
                for v in (float(c), float(below), half, np.nextafter(half, -9e9), np.nextafter(half, 9e9)):
                    row = x[r.randint(len(x))].copy()
                    row[names.index(feature)] = v
                    rows.append(row)
        return np.array(rows)

    yes, three, many = (target > 1.2).astype(int), np.digitize(target, [0.9, 1.5]), np.exp(target)
    check("binary", dict(objective="binary:logistic", max_depth=4, base_score=0.3), yes)
    check("multiclass", dict(objective="multi:softprob", num_class=3, max_depth=3), three)
    check("multiclass, parallel trees", dict(objective="multi:softprob", num_class=3, max_depth=3,
                                             num_parallel_tree=3, subsample=0.5), three)
    regression = dict(objective="reg:squarederror", max_depth=6, base_score=1.5)
    booster = check("regression", regression, many)
    check("regression, at thresholds", regression, many, rows=edges(booster))
    check("poisson", dict(objective="count:poisson", max_depth=3), many)
    check("gamma", dict(objective="reg:gamma", max_depth=3), many)
    check("tweedie", dict(objective="reg:tweedie", max_depth=3), many)
    check("reg:logistic", dict(objective="reg:logistic", max_depth=3), yes)
    check("absolute error", dict(objective="reg:absoluteerror", max_depth=3), many)
    check("ranking", dict(objective="rank:pairwise", max_depth=3), yes)
    check("dart", dict(objective="binary:logistic", booster="dart", rate_drop=0.4, max_depth=3), yes, rounds=20)
    unseen = x.copy()
    unseen[:50, 3] = 77
    for onehot in (1, 100):
        check(f"categories, max_cat_to_onehot {onehot}",
              dict(objective="binary:logistic", tree_method="hist", max_depth=5, max_cat_to_onehot=onehot),
              yes, rows=unseen, category=True)
    for params, why in ((dict(objective="binary:hinge"), "objective binary:hinge cannot be imported"),
                        (dict(objective="binary:logistic", booster="gblinear"), "booster gblinear cannot be")):
        xgb.train(dict(nthread=1, **params), xgb.DMatrix(x, yes), 2).save_model("no.json")
        done = quern("import", "no.json", "-o", "no.qn")
        assert done.returncode == 2 and why in done.stderr, done


if __name__ == "__main__":
    if sys.argv[1] == "same":
        same(*sys.argv[2:])
    else:
        xgboost()
