#!/usr/bin/python3
"""Average rank of Quern's trees, scikit-learn's HistGradientBoosting and XGBoost, all with their defaults.

    bench/quality/rank.py build/src/cli/quern DATA [--sets A,B] [--cache FILE] [--gbdt JSON] [--inner]

Every set is cut into the same 5 folds (stratified for classes, seed 0); all three get the same columns and learn
from the same four fifths. The loss is log loss or RMSE; beside it AUC (binary, multiclass: mean of one against the
rest). Ranks are 1 to 3 by the mean over the folds, equal ones share theirs. Text is a category for all three, by
each one's own means: words to `quern run`, codes of the 254 most frequent to HistGradientBoosting, pandas'
categories to XGBoost (hist). Times become numbers (seconds, hour, day of week), messages 300 tf-idf columns.
Sets of more than 100,000 rows are sampled (seed 0); images to 5,000.

Quern is the program with family gbdt and nothing else said: a tenth of its rows chooses the number of rounds, and the
model is fitted once more on all. HistGradientBoosting holds a tenth back itself from 10,000 rows on.

--cache keeps what was computed (of Quern: by program and parameters). --gbdt tries other parameters. --inner judges
on a quarter of each fold's training rows and leaves its test rows alone: for choosing defaults.
"""
import argparse
import gzip
import hashlib
import json
import os
import subprocess
import tempfile
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np  # noqa: E402  (after the number of threads is set)
import pandas as pd  # noqa: E402
import sklearn.datasets  # noqa: E402
import xgboost  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor  # noqa: E402
from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: E402
from sklearn.metrics import log_loss, mean_squared_error, roc_auc_score  # noqa: E402
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split  # noqa: E402

warnings.filterwarnings("ignore")
NAMES = ["quern", "hgb", "xgboost"]
MOST_ROWS = 100_000
# file (several: one below the other), target, what is dropped: rows' numbers, leaks, the target in other words
TABLES = {
    "adult": (["adult_train", "adult_test"], "income", []),
    "avazu": (["avazu_sample"], "click", ["id", "hour"]),
    "bank": (["bank_additional_full"], "y", ["duration"]),
    "batadal_04": (["batadal_dataset04"], "ATT_FLAG", []),
    "batadal_test": (["batadal_testdataset"], "ATT_FLAG", []),
    "bikes": (["bike_sharing_hour"], "cnt", ["casual", "registered", "instant"]),
    "california": (["california_housing"], "median_house_value", []),
    "clicks": (["talkingdata_clicks_100k"], "is_attributed", ["attributed_time"]),
    "cover_15k": (["covtype_sample_15k"], "Cover_Type", []),
    "cover_balanced": (["covtype_balanced_10k"], "Cover_Type", []),
    "cover_numeric": (["covtype_numeric_286k_4vs2"], "is_class4", []),
    "cover_categorical": (["covtype_categorical_581k_4vsrest"], "target", []),
    "creditcard": (["creditcard_fraud_subset"], "Class", []),
    "criteo": (["criteo_sample"], "label", []),
    "diamonds": (["diamonds"], "price", []),
    "electricity": (["electricity_elec2"], "class", []),
    "flights": (["pnwflights_flights"], "arr_delay", ["dep_time", "arr_time", "dep_delay", "air_time", "year"]),
    "payments": (["fraud_handbook_simulated_61d"], "TX_FRAUD", ["TRANSACTION_ID", "TX_FRAUD_SCENARIO"]),
    "spam": (["sms_spam"], "label", []),
}
REGRESSION = {"bikes", "california", "diamonds", "flights"}
CATEGORIES = {"clicks": ["ip", "app", "device", "os", "channel"],
              "avazu": ["C1", "banner_pos", "device_type", "device_conn_type"] + [f"C{i}" for i in range(14, 22)],
              "flights": ["flight"]}
TIMES = {"DATETIME", "TX_DATETIME", "click_time", "dteday"}


def with_times(table, name):
    times = pd.to_datetime(table[name].astype(str), dayfirst=table[name].astype(str).str.contains("/").any())
    at = table.columns.get_loc(name)
    table = table.drop(columns=name)
    table.insert(at, name, (times.astype("int64") / 1e9).astype(float))
    table.insert(at + 1, f"{name}_hour", times.dt.hour.astype(float))
    table.insert(at + 2, f"{name}_day", times.dt.dayofweek.astype(float))
    return table


def read_table(data, name):
    files, target, drop = TABLES[name]
    table = pd.concat([pd.read_csv(f"{data}/{f}.csv.gz", low_memory=False, na_values=["?"]) for f in files],
                      ignore_index=True)
    table = table[table[target].notna()].drop(columns=drop)
    if len(table) > MOST_ROWS:
        table = table.sample(MOST_ROWS, random_state=0)
    table = table.reset_index(drop=True)
    y = table.pop(target)
    for column in TIMES & set(table.columns):
        table = with_times(table, column)
    if name == "spam":
        words = TfidfVectorizer(max_features=300)
        table = pd.DataFrame(words.fit_transform(table["text"]).toarray(),
                             columns=[f"w{i}" for i in range(300)])
    for column in table.columns:
        if table[column].dtype == object or column in CATEGORIES.get(name, []):
            missing = table[column].isna()
            table[column] = table[column].astype(str).where(~missing, None)
        else:
            table[column] = table[column].astype(float)
    if name.startswith("batadal"):
        y = ~y.astype(str).isin(["-999", "benign"])
    return table, y


def read_images(data):
    def whole(part):
        with gzip.open(f"{data}/fashion_mnist_train-{part}-ubyte.gz") as file:
            return np.frombuffer(file.read(), np.uint8)
    x, y = whole("images-idx3")[16:].reshape(-1, 784), whole("labels-idx1")[8:]
    rows = np.random.default_rng(0).permutation(len(y))[:5000]
    return pd.DataFrame(x[rows].astype(float), columns=[f"p{i}" for i in range(784)]), pd.Series(y[rows])


def made(name):
    if name == "hastie":
        x, y = sklearn.datasets.make_hastie_10_2(12000, random_state=0)
    elif name == "friedman":
        x, y = sklearn.datasets.make_friedman1(2000, noise=1, random_state=0)
    else:
        x, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    return pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])]), pd.Series(y)


SETS = [*TABLES, "fashion", "breast_cancer", "wine", "digits", "iris", "diabetes", "hastie", "friedman"]


def read_set(data, name):
    """Columns (float, or object for categories), target (class numbers or values), number of classes (0: values)."""
    x, y = read_table(data, name) if name in TABLES else read_images(data) if name == "fashion" else made(name)
    if name in REGRESSION | {"diabetes", "friedman"}:
        return x, y.to_numpy(float), 0
    y, classes = pd.factorize(y, sort=True)
    return x, y, len(classes)


def fit_quern(program, train, y, test, n_classes, gbdt):
    with tempfile.TemporaryDirectory() as folder:
        text = train.assign(target=[f"c{v:02}" for v in y] if n_classes else y)
        text.to_csv(f"{folder}/train.csv", index=False)
        test.to_csv(f"{folder}/test.csv", index=False)
        # A run must judge on something; these rows play no part in what is predicted.
        text[:100].to_csv(f"{folder}/judge.csv", index=False)
        types = {c: "category" if train[c].dtype == object else "number" for c in train}
        kind = ", kind: regression" if not n_classes else ", positive: c01" if n_classes == 2 else ""
        with open(f"{folder}/quern.yaml", "w") as file:
            file.write(f"task: {{target: target{kind}}}\n"
                       f"data: {{source: train.csv, test: judge.csv, types: {json.dumps(types)}}}\n"
                       f"train: {{families: {{gbdt: {gbdt or '{}'}}}}}\n"
                       "evaluate: {bootstrap: 0, slices: false, importance: false, dependence: false}\n")
        for arguments in (["run", "--no-register", "-o", f"{folder}/m.qn"],
                          ["predict", f"{folder}/m.qn", "-i", f"{folder}/test.csv", "-o", f"{folder}/p.csv",
                           "--columns", "none"]):
            out = subprocess.run([program, "-q", "-C", folder, "-t", os.environ["OMP_NUM_THREADS"], *arguments],
                                 capture_output=True, text=True)
            if out.returncode:
                raise SystemExit(f"quern {arguments[0]}: {out.stdout}{out.stderr}")
        p = pd.read_csv(f"{folder}/p.csv")
    if not n_classes:
        return p["prediction"].to_numpy()
    if n_classes == 2:
        return np.column_stack([1 - p["probability"], p["probability"]])
    return p[[f"probability_c{k:02}" for k in range(n_classes)]].to_numpy()


def fit_hgb(train, y, test, n_classes):
    parts, categorical = ([], []), []
    for name in train:
        categorical.append(train[name].dtype == object)
        top = {v: i for i, v in enumerate(train[name].value_counts().index[:254])} if categorical[-1] else None
        for part, table in zip(parts, (train, test)):
            part.append(table[name].map(top).to_numpy(float) if categorical[-1] else table[name].to_numpy(float))
    kind = HistGradientBoostingClassifier if n_classes else HistGradientBoostingRegressor
    model = kind(categorical_features=categorical, random_state=0).fit(np.column_stack(parts[0]), y)
    x = np.column_stack(parts[1])
    return model.predict_proba(x) if n_classes else model.predict(x)


def fit_xgboost(train, y, test, n_classes):
    train, test = train.copy(), test.copy()
    for name in train:
        if train[name].dtype == object:
            train[name] = train[name].astype("category")
            test[name] = pd.Categorical(test[name], categories=train[name].cat.categories)
    kind = xgboost.XGBClassifier if n_classes else xgboost.XGBRegressor
    model = kind(tree_method="hist", enable_categorical=True, n_jobs=int(os.environ["OMP_NUM_THREADS"]))
    model.fit(train, y)
    return model.predict_proba(test) if n_classes else model.predict(test)


def judge(y, p, n_classes):
    if not n_classes:
        return [mean_squared_error(y, p, squared=False), None]
    p = np.clip(np.asarray(p, float), 1e-15, 1)
    p /= p.sum(axis=1, keepdims=True)
    auc = roc_auc_score(y, p[:, 1] if n_classes == 2 else p, multi_class="ovr", labels=range(n_classes))
    return [log_loss(y, p, labels=range(n_classes)), auc]


def folds_of(x, y, n_classes, inner):
    kind = StratifiedKFold if n_classes else KFold
    for train, test in kind(5, shuffle=True, random_state=0).split(x, y):
        if inner:
            train, test = train_test_split(train, test_size=0.25, random_state=0,
                                           stratify=y[train] if n_classes else None)
        yield train, test


def measure(options, cache, key, name, x, y, n_classes):
    """[loss, AUC] of each program in each fold."""
    fits = {"quern": lambda *a: fit_quern(options.program, *a, options.gbdt), "hgb": fit_hgb, "xgboost": fit_xgboost}
    found = {n: [] for n in NAMES}
    for fold, (train, test) in enumerate(folds_of(x, y, n_classes, options.inner)):
        for n in options.only:
            place = f"{name}/{fold}/{options.inner:d}/{n}" + (f"/{key}" if n == "quern" else "")
            if place not in cache:
                p = fits[n](x.iloc[train], y[train], x.iloc[test], n_classes)
                cache[place] = judge(y[test], p, n_classes)
                if options.cache:
                    with open(options.cache, "w") as file:
                        json.dump(cache, file)
            found[n].append(cache[place])
    return found


def ranks_of(values):
    return pd.Series(values).rank(method="average").tolist()


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("program", type=os.path.abspath)
    parse.add_argument("data")
    parse.add_argument("--sets", default=",".join(SETS))
    parse.add_argument("--cache")
    parse.add_argument("--gbdt", default="")
    parse.add_argument("--inner", action="store_true")
    parse.add_argument("--only", default=",".join(NAMES))
    options = parse.parse_args()
    options.only = options.only.split(",")
    with open(options.program, "rb") as file:
        key = hashlib.sha256(file.read() + options.gbdt.encode()).hexdigest()[:12]
    cache = {}
    if options.cache and os.path.exists(options.cache):
        with open(options.cache) as file:
            cache = json.load(file)
    print(f"{'set':18}{'rows':>8} {'':9}" + "".join(f"{n:>11}" for n in options.only) + "   ranks, then by AUC")
    all_ranks, auc_ranks = [], []
    for name in options.sets.split(","):
        x, y, n_classes = read_set(options.data, name)
        found = measure(options, cache, key, name, x, y, n_classes)
        means = [np.mean([f[0] for f in found[n]]) for n in options.only]
        all_ranks.append(ranks_of(means))
        line = f"{name:18}{len(y):8} {'log loss' if n_classes else 'RMSE':9}"
        line += "".join(f"{v:11.5g}" for v in means) + "   " + " ".join(f"{r:g}" for r in all_ranks[-1])
        if n_classes:
            aucs = [np.mean([f[1] for f in found[n]]) for n in options.only]
            auc_ranks.append(ranks_of([-a for a in aucs]))
            line += "   " + " ".join(f"{a:.4f}" for a in aucs) + "   " + " ".join(f"{r:g}" for r in auc_ranks[-1])
        print(line, flush=True)
    for title, ranks in (("average_rank", all_ranks), ("average_rank_auc", auc_ranks)):
        if ranks:
            print(f"{title}: " + ", ".join(f"{n} {v:.2f}" for n, v in zip(options.only, np.mean(ranks, axis=0))))


if __name__ == "__main__":
    main()
