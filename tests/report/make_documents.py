#!/usr/bin/env python3
"""Makes the run documents of this folder (binary.json, multiclass.json, regression.json): realistic ones,
from models that scikit-learn fits on generated data, in the shapes that src/report/report.h describes.

usage: make_documents.py FOLDER
"""
import json
import math
import pathlib
import sys

import numpy as np
from sklearn import ensemble, inspection, linear_model, metrics, model_selection

rng = np.random.default_rng(7)


def digits(x, n=4):
    """Rounded for a compact fixture."""
    if isinstance(x, (bool, np.bool_)):
        return bool(x)
    if isinstance(x, (float, np.floating)):
        return float(f"{x:.{n}g}") if math.isfinite(x) else None
    if isinstance(x, (int, np.integer)):
        return int(x)
    if isinstance(x, dict):
        return {k: digits(v, n) for k, v in x.items()}
    if isinstance(x, (list, tuple, np.ndarray)):
        return [digits(v, n) for v in x]
    return x


def interval(function, *arrays):
    n = len(arrays[0])
    values = []
    for _ in range(40):
        rows = rng.integers(0, n, n)
        values.append(function(*[a[rows] for a in arrays]))
    return {"value": function(*arrays), "low": np.percentile(values, 2.5), "high": np.percentile(values, 97.5)}


def thin(n, most=80):
    return np.unique(np.linspace(0, n - 1, most).astype(int))


def roc(y, s):
    fpr, tpr, _ = metrics.roc_curve(y, s)
    at = thin(len(fpr))
    return {"fpr": fpr[at], "tpr": tpr[at]}


def pr(y, s):
    precision, recall, _ = metrics.precision_recall_curve(y, s)
    at = thin(len(recall))
    return {"recall": recall[at], "precision": precision[at], "base": float(np.mean(y))}


def calibration(y, s):
    bins = np.array_split(np.argsort(s), 12)
    out = {"score": [], "observed": [], "low": [], "high": [], "n": [], "ece": 0.0}
    for rows in bins:
        p, n, z = y[rows].mean(), len(rows), 1.96
        middle, half = (p + z * z / 2 / n) / (1 + z * z / n), z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n) / (1 + z * z / n)
        for key, value in zip(out, (s[rows].mean(), p, middle - half, middle + half, n)):
            out[key].append(value)
        out["ece"] += abs(p - s[rows].mean()) * n / len(y)
    return out


def histogram(x, bins=20, range=None):
    counts, edges = np.histogram(x, bins=bins, range=range)
    return {"edges": edges, "counts": counts}


def numeric_field(name, x, role="input", auc=None, missing=0.0, measure="auc"):
    field = {"name": name, "type": "f64", "role": role, "missing": int(missing * len(x)), "missing_share": missing,
             "distinct": len(np.unique(x)), "min": x.min(), "max": x.max(), "mean": x.mean(), "std": x.std(),
             "quantiles": [[p, np.quantile(x, p)] for p in (0, .25, .5, .75, 1)], "histogram": histogram(x)}
    if auc is not None:
        field["association"] = {"measure": measure, "value": auc}
    return field


def category_field(name, values, role="input", auc=None, measure="auc", missing=0.0):
    levels, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts)
    field = {"name": name, "type": "category", "role": role, "missing": 0, "missing_share": missing,
             "distinct": len(levels), "top": [{"value": str(levels[i]), "count": counts[i]} for i in order[:10]]}
    if auc is not None:
        field["association"] = {"measure": measure, "value": auc}
    return field


def shap_points(x, effect, n=90):
    rows = rng.choice(len(x), n, replace=False)
    rank = np.argsort(np.argsort(x[rows])) / (n - 1)
    return [{"x": None if rng.random() < .04 else r, "shap": e} for r, e in zip(rank, effect[rows])]


def common(project, kind, target):
    return {"run": "20261123-014455-7f3a", "project": project, "started": "2026-11-23T01:44:55Z", "quern": "0.1.0",
            "task": {"kind": kind, "target": target},
            "environment": {"quern": "0.1.0", "git_commit": "5b1e7a9c0d3f", "host": "forge", "os": "Linux 6.1 x86_64",
                            "cpu": "Some CPU at 3 GHz", "processors": 8, "memory_bytes": 33519337472, "compiler": "12.2.0"},
            "config": {"project": project, "task": {"target": target}, "data": {"source": f"data/{project}.csv.gz"},
                       "split": {"method": "stratified", "test": 0.2, "validate": 0.1, "seed": 42},
                       "train": {"families": ["gbdt", "linear"], "budget": "60s"}},
            "model": {"family": "gbdt", "hash": "9c1f" * 16, "bytes": 812345, "file": f".quern/objects/9c/{project}.qn"},
            "timings": {"import_s": .91, "profile_s": .42, "split_s": .03, "feature_s": .36, "train_s": 3.1, "evaluate_s": 1.4,
                        "explain_s": .8, "register_s": .05, "total_s": 7.1}}


def entry(family, title, metric, test, chosen=False, baseline=False, train_s=.1, row_us=.5, size=4000, facts=None):
    return {"family": family, "title": title, "is_baseline": baseline, "chosen": chosen, "params": {"learning_rate": 0.1, "num_leaves": 31} if family == "gbdt" else {},
            "metric": metric, "test": test, "train_s": train_s, "row_us": row_us, "bytes": size, "facts": facts or {}}


def dependence_of(model, X, column, name, regression=False):
    grid = np.quantile(X[:, column], np.linspace(.02, .98, 14))
    out = {"feature": name, "kind": "numeric", "x": [], "y": [], "low": [], "high": [], "n": []}
    sample = X[rng.choice(len(X), 200)]
    for value in grid:
        sample[:, column] = value
        answer = model.predict(sample) if regression else model.predict_proba(sample)[:, 1]
        for key, item in zip(("x", "y", "low", "high", "n"), (value, answer.mean(), *np.quantile(answer, (.1, .9)), len(X) // 14)):
            out[key].append(item)
    return out


def binary():
    n = 20000
    age, tenure = rng.normal(44, 13, n).clip(18, 90), rng.exponential(30, n).clip(0, 120)
    monthly, tickets = rng.gamma(4, 16, n), rng.poisson(1.1, n).astype(float)
    contract = rng.choice(3, n, p=[.55, .25, .2])
    usage = rng.lognormal(2, .6, n)
    z = -1.7 - .03 * (tenure - 30) + .012 * (monthly - 64) + .75 * (tickets - 1) - 1.2 * contract + 1.1 * np.sin(age / 7) \
        + 2.2 * (tickets > 1) * (contract == 0) - .3 * np.log(usage)
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(int)
    names = ["tenure_months", "monthly_fee", "support_tickets", "contract", "age", "data_usage_gb"]
    X = np.column_stack([tenure, monthly, tickets, contract, age, usage])
    a, b, ya, yb = model_selection.train_test_split(X, y, test_size=.25, stratify=y, random_state=1)
    model = ensemble.HistGradientBoostingClassifier(max_iter=60, learning_rate=.1, random_state=1).fit(a, ya)
    linear = linear_model.LogisticRegression(max_iter=500).fit((a - a.mean(0)) / a.std(0), ya)
    s, sl = model.predict_proba(b)[:, 1], linear.predict_proba((b - a.mean(0)) / a.std(0))[:, 1]
    cut = a[:, 2] > 1
    stump, prior = np.where(b[:, 2] > 1, ya[cut].mean(), ya[~cut].mean()), np.full(len(yb), ya.mean())
    doc = common("churn", "binary", "churned")
    doc["task"].update(classes=["no", "yes"], positive="yes")
    doc["source"] = {"path": "data/customers.csv.gz", "query": "SELECT * FROM source WHERE signed_up < DATE '2026-06-01'"}
    doc["dataset"] = {"rows": n, "columns": 8, "hash": "3e77" * 16, "target_missing": 112, "sampled_from": None}
    doc["split"] = {"method": "stratified", "seed": 42, "train": 13500, "validate": 1500, "test": 5000}
    doc["metric"] = "log_loss"
    doc["warnings"] = ["The column cancel_date was left out: it is known only after the customer has left."]
    aucs = [max(v, 1 - v) for v in (metrics.roc_auc_score(y, X[:, i]) for i in range(6))]
    plan = np.array(["month to month", "one year", "two years"])[contract]
    doc["profile"] = {"rows": n, "columns": 8, "duplicate_rows": 14, "fields": [
        category_field("churned", np.where(y, "yes", "no"), "target"),
        *[numeric_field(names[i], X[:, i], auc=aucs[i], missing=.031 if i == 4 else 0.) for i in (0, 1, 2, 4, 5)],
        category_field("contract", plan, auc=aucs[3]),
        category_field("region", rng.choice(["north", "south", "east", "west", "islands"], n), auc=.503)],
        "classes": [{"label": "no", "count": int((1 - y).sum()), "share": 1 - y.mean()},
                    {"label": "yes", "count": int(y.sum()), "share": y.mean()}],
        "warnings": [{"kind": "leak_suspect", "column": "cancel_date", "severity": "error",
                      "message": "cancel_date alone tells the target almost perfectly (AUC 0.998): is it known at prediction time?"},
                     {"kind": "duplicate_rows", "column": None, "severity": "info", "message": "14 rows are exact copies of another row"},
                     {"kind": "mostly_missing", "column": "age", "severity": "warning", "message": "age is missing in 3.1% of rows"}]}
    loss = metrics.log_loss
    doc["leaderboard"] = [
        entry("gbdt", "Gradient-boosted trees", loss(yb, s) + .004, interval(loss, yb, s), True, False, 1.9, .8, 812345, {"trees": 60, "leaves": 31}),
        entry("linear", "Logistic regression", loss(yb, sl) + .003, interval(loss, yb, sl), False, False, .21, .05, 2210),
        entry("stump", "Best single split", loss(yb, stump), interval(loss, yb, stump), False, True, .02, .01, 420),
        entry("prior", "Share of each class", loss(yb, prior), interval(loss, yb, prior), False, True, .001, .01, 310)]
    t = .23
    threshold_metrics = {"accuracy": lambda y, s: metrics.accuracy_score(y, s >= t), "balanced_accuracy": lambda y, s: metrics.balanced_accuracy_score(y, s >= t),
                         "f1": lambda y, s: metrics.f1_score(y, s >= t), "precision": lambda y, s: metrics.precision_score(y, s >= t),
                         "recall": lambda y, s: metrics.recall_score(y, s >= t), "mcc": lambda y, s: metrics.matthews_corrcoef(y, s >= t)}
    names_and_functions = {"roc_auc": metrics.roc_auc_score, "pr_auc": metrics.average_precision_score, "log_loss": loss,
                           "brier": metrics.brier_score_loss, "ece": lambda y, s: calibration(y, s)["ece"], **threshold_metrics}
    test = {k: interval(f, yb, s) for k, f in names_and_functions.items()}
    doc["metrics"] = {"test": test, "validate": {k: {"value": v["value"] * .995, "low": None, "high": None} for k, v in test.items()}}
    order = np.argsort(-s)
    share = np.arange(1, len(yb) + 1) / len(yb)
    gain = np.cumsum(yb[order]) / yb.sum()
    at = thin(len(share), 60)
    edges = np.linspace(0, 1, 31)
    doc["curves"] = {"roc": roc(yb, s), "pr": pr(yb, s), "gain": {"share": share[at], "gain": gain[at], "lift": gain[at] / share[at]},
                     "calibration": calibration(yb, s), "scores": {"edges": edges, "positive": np.histogram(s[yb == 1], edges)[0],
                                                                   "negative": np.histogram(s[yb == 0], edges)[0]}}
    doc["calibration"] = {"kind": "isotonic", "ece_before": .0214, "ece_after": test["ece"]["value"]}
    doc["confusion"] = {"labels": ["no", "yes"], "counts": metrics.confusion_matrix(yb, s >= t), "threshold": t}
    fee = b[:, 1]
    money = lambda act: np.where(act, np.where(yb == 1, fee * .6 - 10, -10), 0.0)
    grid = np.linspace(0, 1, 80)
    per = np.array([money(s >= g).mean() for g in grid])
    act = s >= t
    names4 = ("true_positive", "false_positive", "false_negative", "true_negative")
    masks = (act & (yb == 1), act & (yb == 0), ~act & (yb == 1), ~act & (yb == 0))
    best = max(money(np.zeros(len(yb), bool)).mean(), money(np.ones(len(yb), bool)).mean())
    doc["value"] = {"currency": "EUR", "expressions": {"true_positive": "monthly_fee * 0.6 - 10", "false_positive": -10, "false_negative": 0, "true_negative": 0},
                    "threshold": t, "validate": {"per_row": money(act).mean() * .98, "total": 1, "n": 1500},
                    "test": {"per_row": interval(np.mean, money(act)), "total": money(act).sum(), "n": len(yb), "share_acted": act.mean(),
                             "counts": {k: m.sum() for k, m in zip(names4, masks)}, "money": {k: money(act)[m].sum() for k, m in zip(names4, masks)}},
                    "curve": {"threshold": grid, "per_row_validate": per + .12 * np.sin(grid * 17) * rng.random(80) * (1 - grid), "per_row_test": per, "share_acted": [(s >= g).mean() for g in grid]},
                    "baselines": [{"name": "act_on_none", "title": "Act on none", "per_row": money(act & False).mean(), "total": money(act & False).sum()},
                                  {"name": "act_on_all", "title": "Act on all", "per_row": money(act | True).mean(), "total": money(act | True).sum()},
                                  {"name": "threshold_half", "title": "This model at 0.5", "per_row": money(s >= .5).mean(), "total": money(s >= .5).sum()},
                                  {"name": "oracle", "title": "Knowing the answer (the most there is)", "per_row": money(yb == 1).mean(), "total": money(yb == 1).sum()}],
                    "gain_over_best_baseline": {"value": money(act).mean() - best, "low": money(act).mean() - best - .4, "high": money(act).mean() - best + .4, "against": "act_on_none"}}
    overall = loss(yb, s)
    slices = []
    for column, group, mask in (("support_tickets", "3 or more", b[:, 2] > 2), ("contract", "month to month", b[:, 3] == 0), ("tenure_months", "0 to 6.7", b[:, 0] < 6.7),
                                ("age", "18 to 33", b[:, 4] < 33), ("age", "missing", rng.random(len(yb)) < .03), ("monthly_fee", "88 to 241", b[:, 1] > 88)):
        m = interval(loss, yb[mask], s[mask])
        d = m["value"] - loss(yb[~mask], s[~mask])
        slices.append({"column": column, "group": group, "n": int(mask.sum()), "share": mask.mean(), "metric": m, "rest": m["value"] - d,
                       "difference": {"value": d, "low": d - .03, "high": d + .03}, "value_per_row": money(act)[mask].mean(), "q": .01, "flag": bool(d > .04)})
    doc["slices"] = sorted(slices, key=lambda x: -x["difference"]["value"])
    p = inspection.permutation_importance(model, b[:2000], yb[:2000], scoring="neg_log_loss", n_repeats=3, random_state=1)
    effects = [-.03 * (b[:, 0] - 30), .011 * (b[:, 1] - 64), .6 * (b[:, 2] - 1), -1. * (b[:, 3] - .65), .3 * np.sin(b[:, 4] / 9), -.25 * (np.log(b[:, 5]) - 2)]
    doc["importance"] = {"metric": "log_loss", "permutation": [{"feature": names[i], "mean": p.importances_mean[i], "std": p.importances_std[i]} for i in np.argsort(-p.importances_mean)],
                         "shap": sorted([{"feature": names[i], "mean_abs": np.abs(e).mean(), "points": shap_points(b[:, i], e + rng.normal(0, .06, len(e)))} for i, e in enumerate(effects)],
                                        key=lambda x: -x["mean_abs"])}
    doc["importance"]["interactions"] = [{"features": ["contract", names[0]], "mean_abs": .12}, {"features": [names[1], names[2]], "mean_abs": .05}]
    doc["dependence"] = [dependence_of(model, b, i, names[i]) for i in (0, 2, 1, 4, 5)]
    doc["dependence"].insert(2, {"feature": "contract", "kind": "category", "x": ["month to month", "one year", "two years"], "y": [.31, .14, .06], "low": [.08, .03, .01], "high": [.66, .33, .14], "n": [2750, 1250, 1000]})
    doc["comparison"] = [{"against": "linear", "title": "Logistic regression", "metric": "log_loss", "greater_is_better": False, "difference": {"value": loss(yb, s) - loss(yb, sl), "low": loss(yb, s) - loss(yb, sl) - .009, "high": loss(yb, s) - loss(yb, sl) + .009}, "better": True},
                         {"against": "stump", "title": "Best single split", "metric": "log_loss", "greater_is_better": False, "difference": {"value": loss(yb, s) - loss(yb, stump), "low": loss(yb, s) - loss(yb, stump) - .012, "high": loss(yb, s) - loss(yb, stump) + .012}, "better": True},
                         {"against": "champion", "title": "Champion, churn version 2", "metric": "log_loss", "greater_is_better": False, "difference": {"value": -.0012, "low": -.004, "high": .0016}, "better": True}]
    doc["registration"] = {"name": "churn", "version": 3, "alias": "champion", "promoted": True, "why": f"log loss {overall:.3f} on the same 5,000 test rows, better than version 2 by 0.0012."}
    return doc


def multiclass():
    labels, n = ["Spruce/Fir", "Lodgepole Pine", "Ponderosa Pine", "Willow", "Aspen"], 9000
    y = rng.choice(5, n, p=[.36, .42, .1, .04, .08])
    X = rng.normal(size=(n, 6)) * 1.1 + np.array([[0, 0, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0], [-2, 0, 0, 1, 0, 0], [-2, -2, 0, 0, 1, 0], [1, -2, 0, 0, 0, 1]])[y]
    a, b, ya, yb = model_selection.train_test_split(X, y, test_size=.3, stratify=y, random_state=1)
    model = ensemble.HistGradientBoostingClassifier(max_iter=40, random_state=1).fit(a, ya)
    s = model.predict_proba(b)
    doc = common("cover", "multiclass", "Cover_Type")
    doc["task"]["classes"] = labels
    doc["source"] = {"path": "data/covtype.parquet", "query": None}
    doc["dataset"] = {"rows": n, "columns": 7, "hash": "77aa" * 16}
    doc["split"] = {"method": "random", "seed": 42, "train": 5670, "validate": 630, "test": 2700}
    doc["metric"] = "log_loss"
    names = ["Elevation", "Slope", "Aspect", "Hillshade_Noon", "Distance_To_Water", "Distance_To_Roads"]
    doc["profile"] = {"rows": n, "columns": 7, "duplicate_rows": 0, "fields": [category_field("Cover_Type", np.array(labels)[y], "target")] +
                      [numeric_field(m, X[:, i] * 90 + 2500 * (i == 0), auc=.02 * (6 - i), measure="accuracy_gain") for i, m in enumerate(names)],
                      "classes": [{"label": c, "count": int((y == i).sum()), "share": (y == i).mean()} for i, c in enumerate(labels)],
                      "warnings": [{"kind": "imbalance", "column": "Cover_Type", "severity": "info", "message": "class Willow has 4% of the rows"}]}
    f = {"accuracy": lambda y, s: metrics.accuracy_score(y, s.argmax(1)), "log_loss": metrics.log_loss, "f1_macro": lambda y, s: metrics.f1_score(y, s.argmax(1), average="macro"),
         "roc_auc_ovr": lambda y, s: metrics.roc_auc_score(y, s, multi_class="ovr"), "balanced_accuracy": lambda y, s: metrics.balanced_accuracy_score(y, s.argmax(1))}
    test = {k: interval(g, yb, s) for k, g in f.items()}
    doc["metrics"] = {"test": test, "validate": {k: {"value": v["value"] * 1.01} for k, v in test.items()}}
    doc["leaderboard"] = [entry("gbdt", "Gradient-boosted trees", test["log_loss"]["value"], test["log_loss"], True, False, 4.4, 3.1, 2412345, {"trees": 200}),
                          entry("linear", "Softmax regression", .71, {"value": .7, "low": .68, "high": .73}, False, False, .8, .2, 5210),
                          dict(entry("gbdt", "Gradient-boosted trees, deeper", .741, {"value": .745, "low": .72, "high": .78}, False, False, 9., 8., 9000000, {"trees": 300, "mean_leaves": 60.5}), refused="one row takes 8.0 us, the limit is 5 us"),
                          entry("prior", "Share of each class", 1.29, {"value": 1.28, "low": 1.26, "high": 1.31}, False, True, .001, .01, 310)]
    doc["curves"] = {"classes": [{"label": c, "n": int((yb == i).sum()), "auc": metrics.roc_auc_score(yb == i, s[:, i]), "roc": roc(yb == i, s[:, i]), "pr": pr(yb == i, s[:, i])} for i, c in enumerate(labels)],
                     "calibration": calibration((s.argmax(1) == yb).astype(int), s.max(1))}
    doc["confusion"] = {"labels": labels, "counts": metrics.confusion_matrix(yb, s.argmax(1)), "threshold": None}
    p = inspection.permutation_importance(model, b, yb, n_repeats=2, random_state=1)
    doc["importance"] = {"metric": "log_loss", "permutation": [{"feature": names[i], "mean": p.importances_mean[i], "std": p.importances_std[i]} for i in np.argsort(-p.importances_mean)],
                         "shap": [{"feature": m, "mean_abs": .5 / (i + 1), "points": []} for i, m in enumerate(names)]}
    doc["dependence"] = [dependence_of(model, b, i, names[i]) for i in (0, 1)]
    doc["slices"] = [{"column": "Slope", "group": "12 to 18", "n": 540, "share": .2, "metric": {"value": .66, "low": .6, "high": .72}, "rest": .62, "difference": {"value": .04, "low": -.02, "high": .1}, "value_per_row": None, "q": .4, "flag": False}]
    doc["value"] = {"currency": "USD", "matrix": {"Willow": {"Aspen": -3, "Willow": 1}}, "test": {"per_row": {"value": .0312, "low": .0288, "high": .0341}, "total": 84.2, "n": 2700},
                    "baselines": [{"name": "one_class", "title": "Always say Willow", "per_row": .0123, "total": 33.2}], "gain_over_best_baseline": {"value": .0189, "low": .012, "high": .025, "against": "one_class"}}
    doc["registration"] = {"name": "cover", "version": 2, "alias": "champion", "promoted": False, "why": "version 1 is as good on the same 2,700 test rows: log loss differs by 0.001 (-0.004 to 0.006)."}
    return doc


def regression():
    n = 8000
    hour, temp, wet, work = rng.integers(0, 24, n).astype(float), rng.normal(14, 8, n), rng.random(n) * 60 + 35, rng.integers(0, 2, n).astype(float)
    level = 60 + 7 * temp + 170 * np.exp(-((hour - 17.5) / 2.6) ** 2) + 120 * work * np.exp(-((hour - 8) / 1.3) ** 2) - 1.1 * (wet - 60)
    y = np.maximum(1, level * rng.lognormal(-.02, .2, n)).round()
    X, names = np.column_stack([hour, temp, wet, work]), ["hour", "temperature", "humidity", "workingday"]
    a, b, ya, yb = X[:6000], X[6000:], y[:6000], y[6000:]
    model = ensemble.HistGradientBoostingRegressor(max_iter=80, random_state=1).fit(a, ya)
    s = model.predict(b)
    doc = common("bikes", "regression", "cnt")
    doc["source"] = {"path": "data/bikes.csv", "query": None}
    doc["dataset"] = {"rows": n, "columns": 5, "hash": "12cd" * 16}
    doc["split"] = {"method": "time", "seed": 42, "train": 5400, "validate": 600, "test": 2000, "note": "Test rows are those after 2026-08-04."}
    doc["metric"] = "rmse"
    doc["profile"] = {"rows": n, "columns": 5, "fields": [numeric_field("cnt", y, "target")] + [numeric_field(m, X[:, i], auc=np.corrcoef(X[:, i], y)[0, 1] ** 2, measure="r2") for i, m in enumerate(names)],
                      "warnings": [{"kind": "sum_leak", "column": "cnt", "severity": "error", "message": "casual + registered is always cnt: both are known only with the answer; drop them"}]}
    f = {"rmse": lambda y, s: metrics.mean_squared_error(y, s) ** .5, "mae": metrics.mean_absolute_error, "median_ae": metrics.median_absolute_error, "r2": metrics.r2_score, "mape": metrics.mean_absolute_percentage_error}
    test = {k: interval(g, yb, s) for k, g in f.items()}
    doc["metrics"] = {"test": test, "validate": {k: {"value": v["value"] * .98} for k, v in test.items()}}
    doc["leaderboard"] = [entry("gbdt", "Gradient-boosted trees", test["rmse"]["value"] * .98, test["rmse"], True, False, 1.2, .6, 512345, {"trees": 80}),
                          entry("linear", "Ridge regression", 88.1, {"value": 88.4, "low": 85.9, "high": 91.}, False, False, .1, .05, 2100),
                          entry("prior", "Mean", 121., {"value": 122.4, "low": 118., "high": 126.}, False, True, .001, .01, 300)]
    pick = rng.choice(len(yb), 350, replace=False)
    deciles = np.array_split(np.argsort(s), 10)
    doc["curves"] = {"residuals": histogram(yb - s, 30), "actual": {"predicted": s[pick], "actual": yb[pick]},
                     "by_prediction": {"predicted": [s[d].mean() for d in deciles], "actual": [yb[d].mean() for d in deciles], "low": [np.quantile(yb[d], .1) for d in deciles], "high": [np.quantile(yb[d], .9) for d in deciles], "n": [len(d) for d in deciles]}}
    p = inspection.permutation_importance(model, b, yb, scoring="neg_root_mean_squared_error", n_repeats=2, random_state=1)
    effect = [80 * np.exp(-((b[:, 0] - 17.5) / 2.6) ** 2) - 25, 7 * (b[:, 1] - 14), -1.1 * (b[:, 2] - 65), 20 * (b[:, 3] - .5)]
    doc["importance"] = {"metric": "rmse", "permutation": [{"feature": names[i], "mean": p.importances_mean[i], "std": p.importances_std[i]} for i in np.argsort(-p.importances_mean)],
                         "shap": [{"feature": m, "mean_abs": np.abs(e).mean(), "points": shap_points(b[:, i], e)} for i, (m, e) in enumerate(zip(names, effect))]}
    doc["dependence"] = [dependence_of(model, b, i, m, True) for i, m in enumerate(names[:3])]
    doc["dependence"].append({"feature": "started_at", "kind": "time", "x": [f"2026-{m:02d}-01T00:00:00Z" for m in range(1, 9)], "y": [120, 130, 150, 175, 190, 210, 215, 205], "low": [60] * 8, "high": [300] * 8, "n": [250] * 8})
    return doc


for make in (binary, multiclass, regression):
    text = json.dumps(digits(make()), separators=(",", ":"), ensure_ascii=False)
    (pathlib.Path(sys.argv[1]) / f"{make.__name__}.json").write_text(text + "\n", encoding="utf-8")
