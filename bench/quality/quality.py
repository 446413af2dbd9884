#!/usr/bin/python3
"""Quern against scikit-learn's HistGradientBoosting, both with their defaults, on the same split.

    bench/quality/quality.py build/src/cli/quern [DATA_FOLDER]     # DATA_FOLDER: sets that are not shipped

For every example: `quern data split` writes the rows, `quern run` trains and judges; HistGradientBoosting learns
from train + validate (it holds a part back itself for early stopping) and is judged on the same test rows.
The last column says whether Quern is at least as good within the 95 % interval of the difference's larger side:
its interval must reach the other's value.
"""
import json
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score, log_loss, mean_squared_error, roc_auc_score
from sklearn.preprocessing import OrdinalEncoder

warnings.filterwarnings("ignore")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLES = [("income", "quern.yaml"), ("fraud", "quern.yaml"), ("bikes", "quern.yaml"), ("cover", "quern.yaml"),
            ("spam", "quern.yaml"), ("clicks", "quern.yaml"), ("clicks", "criteo.yaml"), ("payments", "quern.yaml"),
            ("water", "quern.yaml"), ("power", "quern.yaml")]
SHIPPED = {"income", "fraud", "bikes", "cover", "spam"}


def quern_run(quern, folder, config, seed):
    out = subprocess.run([quern, "-C", folder, "run", "-f", config, "-q", "--json", "--no-register",
                          "--seed", str(seed)], capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(f"{folder}: {out.stdout}{out.stderr}")
    return json.loads(out.stdout)


def read_split(quern, folder, config, seed):
    with tempfile.TemporaryDirectory() as parts:
        subprocess.run([quern, "-C", folder, "data", "split", parts, "-f", config, "-q", "--seed", str(seed)],
                       check=True)
        train, validate, test = (pd.read_csv(f"{parts}/{p}.csv", low_memory=False)
                                 for p in ("train", "validate", "test"))
    return pd.concat([train, validate], ignore_index=True), test


def encode(train, test, types):
    """Numbers as they are; words as HistGradientBoosting wants them: codes, at most 255 of them."""
    columns, categorical = [], []
    for name in train.columns:
        kind = types.get(name)
        if kind == "time":
            a, b = (pd.to_datetime(t[name]).astype("int64") / 1e9 for t in (train, test))
            for part in ("hour", "dayofweek", "month"):
                columns.append([getattr(pd.to_datetime(t[name]).dt, part).to_numpy(float) for t in (train, test)])
                categorical.append(False)
        elif kind == "text":
            tfidf = TfidfVectorizer(max_features=500)
            x = tfidf.fit_transform(train[name].fillna("")).toarray(), tfidf.transform(test[name].fillna("")).toarray()
            for k in range(x[0].shape[1]):
                columns.append([x[0][:, k], x[1][:, k]])
                categorical.append(False)
        elif kind == "category" or train[name].dtype == object or train[name].dtype == bool:
            a, b = (t[name].astype(str).where(t[name].notna(), "") for t in (train, test))
            top = a.value_counts().index[:254]
            encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
            encoder.fit(a[a.isin(top)].to_numpy()[:, None])
            columns.append([encoder.transform(v.to_numpy()[:, None])[:, 0] for v in (a, b)])
            categorical.append(True)
        else:
            columns.append([train[name].to_numpy(float), test[name].to_numpy(float)])
            categorical.append(False)
    return (np.column_stack([c[0] for c in columns]), np.column_stack([c[1] for c in columns]), categorical)


def metric_of(name, y, p, classes):
    if name == "rmse":
        return mean_squared_error(y, p, squared=False)
    if name == "log_loss":
        return log_loss(y, p, labels=range(classes))
    if name == "pr_auc":
        return average_precision_score(y, p[:, 1])
    if name == "normalized_entropy":
        rate = np.mean(y)
        return log_loss(y, p) / -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    return roc_auc_score(y, p[:, 1])


def sklearn_metrics(quern, folder, config, seed, summary, names):
    train, test = read_split(quern, folder, config, seed)
    shown = json.loads(subprocess.run([quern, "-C", folder, "runs", "show", summary["run"], "--json"], check=True,
                                      capture_output=True, text=True).stdout)
    resolved, target = shown["config"], shown["config"]["task"]["target"]
    drop = set(resolved["data"]["drop"] or []) | {target, resolved["split"].get("group")}
    if summary["split"]["method"] == "time":
        drop.add(resolved["data"]["time"])
    inputs = [c for c in train.columns if c not in drop]
    types = dict(resolved["data"]["types"] or {})
    x, x_test, categorical = encode(train[inputs], test[inputs], types)
    if summary["task"] == "regression":
        model = HistGradientBoostingRegressor(categorical_features=categorical, random_state=seed)
        model.fit(x, train[target])
        return {n: metric_of(n, test[target], model.predict(x_test), 0) for n in names}
    labels = sorted(train[target].astype(str).unique())
    if summary["task"] == "binary" and shown["config"]["task"]["positive"]:
        positive = str(shown["config"]["task"]["positive"])
        labels.sort(key=lambda v: v == positive)
    code = {v: i for i, v in enumerate(labels)}
    y, y_test = (t[target].astype(str).map(code).to_numpy() for t in (train, test))
    model = HistGradientBoostingClassifier(categorical_features=categorical, random_state=seed)
    model.fit(x, y)
    p = model.predict_proba(x_test)
    return {n: metric_of(n, y_test, p, len(labels)) for n in names}


def main():
    quern = os.path.abspath(sys.argv[1])
    data = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else os.environ.get("DATA", "")
    os.environ["DATA"] = data
    only = set(sys.argv[3:])
    print(f"{'example':20} {'metric':19} {'quern':>8} {'95% interval':>20} {'HGB':>8}  family")
    failed = 0
    for example, config in EXAMPLES:
        if (only and example not in only) or (example not in SHIPPED and not data):
            continue
        folder = f"{ROOT}/examples/{example}"
        summary = quern_run(quern, folder, config, 42)
        names = {"binary": ["log_loss", "roc_auc", "pr_auc"], "multiclass": ["log_loss"], "regression": ["rmse"]}
        names = dict.fromkeys([summary["metric"]] + names[summary["task"]])
        other = sklearn_metrics(quern, folder, config, 42, summary, names)
        for i, name in enumerate(names):
            ours = summary["metrics"]["test"][name]
            lower_is_better = name in ("log_loss", "rmse", "normalized_entropy")
            good = ours["low"] <= other[name] if lower_is_better else ours["high"] >= other[name]
            better = ours["value"] <= other[name] if lower_is_better else ours["value"] >= other[name]
            if i == 0:
                failed += not good
            verdict = "better" if better else "within" if good else "WORSE"
            title = example if config == "quern.yaml" else config.removesuffix(".yaml")
            print(f"{title if i == 0 else '':20} {name:19} {ours['value']:8.4f} {ours['low']:9.4f} to "
                  f"{ours['high']:7.4f} {other[name]:8.4f}  {summary['model']['family'] if i == 0 else '':8} {verdict}",
                  flush=True)
    print(f"worse_beyond_interval: {failed}")


if __name__ == "__main__":
    main()
