"""Helpers of explain.bats: explanations beside those of other programs, and what they promise.

    explain_check.py sums FILE.json              base, contributions and pairs add up
    explain_check.py bounds MODEL ROWS.csv       rows changed within the conditions get the same bits
    explain_check.py marked MODEL ROWS.csv ROW   the marked leaves of all trees add up to the raw score
    explain_check.py xgboost                     pairs against XGBoost's; exits with 77 when it is missing
    explain_check.py sklearn                     dependence against scikit-learn's; likewise
"""
import csv
import json
import os
import random
import re
import subprocess
import sys


def quern(*arguments):
    done = subprocess.run([os.environ["QUERN"], "-q", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def close(a, b, tolerance):
    assert abs(a - b) <= tolerance * max(1, abs(b)), (a, b)


def sums(path):
    for row in json.load(open(path))["rows"]:
        contributions = {c["input"]: c["contribution"] for c in row["contributions"]}
        close(row["base"] + sum(contributions.values()), row["raw"], 1e-12)
        assert row["interactions"], "no pair interacts"
        for name in contributions:  # a pair is shared in halves; what is left must not depend on other inputs
            assert sum(name in p["inputs"] for p in row["interactions"]) < len(contributions)


def explained(model, rows, row):
    out = quern("explain", model, "-i", rows, "--row", str(row), "--conditions", "--json")
    return json.loads(out)["rows"][0]


def bounds(model, path):
    with open(path) as file:
        names, *rows = list(csv.reader(file))
    r = random.Random(1)
    for row in range(1, 6):
        before = explained(model, path, row)
        allowed = {c["input"]: c for c in before["conditions"]}
        changed = []
        for _ in range(20):
            cells = list(rows[row - 1])
            for i, name in enumerate(names):
                c = allowed.get(name)
                if c is None:  # never asked
                    cells[i] = rows[r.randrange(len(rows))][i]
                elif "in" in c:
                    cells[i] = str(r.choice(c["in"]))
                elif not c.get("missing"):
                    low = c["above"] if c["above"] is not None else float(cells[i]) - 10
                    high = c["up_to"] if c["up_to"] is not None else float(cells[i]) + 10
                    cells[i] = repr(r.choice([high, high - (high - low) * r.random() * 0.999]))
            changed.append(cells)
        with open("changed.csv", "w", newline="") as file:
            csv.writer(file).writerows([names] + changed)
        again = json.loads(quern("explain", model, "-i", "changed.csv", "--rows", "20", "--json"))["rows"]
        assert any(a["contributions"] != before["contributions"] for a in again)  # their values have changed
        answer = "probability" if "probability" in before else "prediction"
        assert len(again) == 20 and all(a[answer] == before[answer] for a in again), row


def marked(model, path, row):
    text = quern("export", model, "--format", "text", "-i", path, "--row", row)
    base = float(re.search(r"base of .*: (.*)", text).group(1))
    leaves = re.findall(r"(\S+)  \(count \d+\)  <== this row", text)
    trees = json.loads(quern("export", model, "--format", "json", "-i", path, "--row", row))["trees"]
    assert len(leaves) == len(trees) == text.count("\ntree ")
    for tree, leaf in zip(trees, leaves):
        assert tree["nodes"][tree["path"][-1]]["value"] == float(leaf)
    dot = quern("export", model, "--format", "dot", "-i", path, "--row", row)
    assert dot.count("fillcolor") == sum(len(t["path"]) for t in trees)
    close(base + sum(map(float, leaves)), explained(model, path, row)["raw"], 1e-12)


def write(names, rows):
    with open("rows.csv", "w") as f:
        f.write(",".join(names) + "\n")
        f.writelines(",".join("" if v != v else repr(float(v)) for v in row) + "\n" for row in rows)


def against_xgboost():
    try:
        import numpy as np
        import xgboost as xgb
    except ImportError:
        sys.exit(77)
    xgb.set_config(verbosity=0)
    r = np.random.RandomState(0)
    names = ["a", "b", "c", "d"]
    x = r.rand(500, 4).astype(np.float32)
    y = x[:, 0] * x[:, 1] * 4 + (x[:, 2] > 0.5) * x[:, 0] + x[:, 3]
    x[r.rand(*x.shape) < 0.1] = np.nan
    data = xgb.DMatrix(x, y, feature_names=names)
    booster = xgb.train(dict(nthread=1, seed=1, max_depth=5), data, 20)
    booster.save_model("m.json")
    quern("import", "m.json", "-o", "m.qn")
    write(names, x[:30])
    want = booster.predict(data, pred_interactions=True)[:30]
    got = json.loads(quern("explain", "m.qn", "-i", "rows.csv", "--rows", "30", "--interactions", "--json"))
    worst, strongest = 0, 0
    for w, row in zip(want, got["rows"]):
        pairs = {tuple(p["inputs"]): p["value"] for p in row["interactions"]}
        alone = {c["input"]: c["contribution"] for c in row["contributions"]}
        for i, a in enumerate(names):
            for j in range(i):
                together = pairs.get((names[j], a), 0)
                worst = max(worst, abs(w[i, j] + w[j, i] - together))
                strongest = max(strongest, abs(together))
                alone[a] -= together / 2
                alone[names[j]] -= together / 2
        worst = max([worst, abs(row["base"] - w[4, 4])] + [abs(alone[a] - w[i, i]) for i, a in enumerate(names)])
    print(f"largest difference {worst:.2g}, strongest pair {strongest:.2g}")
    assert worst < 2e-5 and strongest > 0.1


def lightgbm_text(model, names):
    """Trees of HistGradientBoosting as a text model of LightGBM."""
    out = ["tree", "version=v4", "num_class=1", "num_tree_per_iteration=1", "label_index=0",
           f"max_feature_idx={len(names) - 1}", "objective=regression", "feature_names=" + " ".join(names),
           "feature_infos=" + " ".join(["none"] * len(names)), ""]
    base = float(model._baseline_prediction.ravel()[0])
    for t, (predictor,) in enumerate(model._predictors):
        nodes = predictor.nodes
        inner = [i for i in range(len(nodes)) if not nodes[i]["is_leaf"]]
        leaves = [i for i in range(len(nodes)) if nodes[i]["is_leaf"]]
        place = {i: k for k, i in enumerate(inner)} | {i: -k - 1 for k, i in enumerate(leaves)}

        def line(name, values):
            out.append(f"{name}=" + " ".join(map(str, values)))

        out.append(f"Tree={t}")
        line("num_leaves", [len(leaves)])
        line("num_cat", [0])
        line("split_feature", [nodes[i]["feature_idx"] for i in inner])
        line("split_gain", [float(nodes[i]["gain"]) for i in inner])
        line("threshold", [repr(float(nodes[i]["num_threshold"])) for i in inner])
        line("decision_type", [8 + 2 * int(nodes[i]["missing_go_to_left"]) for i in inner])
        line("left_child", [place[nodes[i]["left"]] for i in inner])
        line("right_child", [place[nodes[i]["right"]] for i in inner])
        line("leaf_value", [repr(float(nodes[i]["value"]) + (base if t == 0 else 0)) for i in leaves])
        line("leaf_count", [int(nodes[i]["count"]) for i in leaves])
        line("internal_count", [int(nodes[i]["count"]) for i in inner])
        out += ["is_linear=0", "shrinkage=1", "", ""]
    return "\n".join(out + ["end of trees", "", "pandas_categorical:null", ""])


def against_sklearn():
    try:
        import numpy as np
        from sklearn.ensemble import HistGradientBoostingRegressor
        from sklearn.inspection import partial_dependence
    except ImportError:
        sys.exit(77)
    r = np.random.RandomState(0)
    names = ["a", "b", "c"]
    x = np.round(r.rand(400, 3) * 12)  # few values: all of them are places to look at
    y = x[:, 0] * x[:, 1] / 10 + np.sin(x[:, 2]) + 0.1 * r.randn(400)
    model = HistGradientBoostingRegressor(max_iter=30, min_samples_leaf=5).fit(x, y)
    with open("m.txt", "w") as file:
        file.write(lightgbm_text(model, names))
    quern("import", "m.txt", "-o", "m.qn")
    write(names, x)
    base = float(model._baseline_prediction.ravel()[0])
    for i, name in enumerate(names):
        got = json.loads(quern("explain", "m.qn", "-i", "rows.csv", "--dependence", name, "--curves", "400", "--json"))
        assert got["x"] == sorted(set(x[:, i]))
        trees = partial_dependence(model, x, [i], method="recursion", kind="average")["average"][0]
        brute = partial_dependence(model, x, [i], method="brute", kind="both")
        worst = max(np.abs(np.array(got["raw"]) - trees - base).max(), np.abs(np.array(got["y"]) - brute["average"][0]).max(),
                    np.abs(np.array(got["curves"]) - brute["individual"][0]).max())
        print(f"{name}: largest difference {worst:.2g}")
        assert worst < 1e-9 and np.ptp(got["raw"]) > 0.5


if __name__ == "__main__":
    {"sums": sums, "bounds": bounds, "marked": marked, "xgboost": against_xgboost,
     "sklearn": against_sklearn}[sys.argv[1]](*sys.argv[2:])
