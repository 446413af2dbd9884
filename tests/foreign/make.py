#!/usr/bin/python3
"""Writes the fixtures of this folder with LightGBM's own program:

    make.py PATH/TO/lightgbm

For each case NAME.txt is the model, NAME.csv are rows, NAME.want what LightGBM predicts for them. The
committed ones are of its version 4.6.0.99 (revision bae0b7ba). They never change; run this to see how they
were made, or to add a case."""
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TRAIN, SHOWN = 500, 40

CASES = {
    "binary": dict(objective="binary", sigmoid=1.5),
    "multiclass": dict(objective="multiclass", num_class=3),
    "ova": dict(objective="multiclassova", num_class=3, sigmoid=0.7),
    "regression": dict(objective="regression"),
    "poisson": dict(objective="poisson"),
    "tweedie": dict(objective="tweedie"),
    "quantile": dict(objective="quantile", alpha=0.7),
    "forest": dict(objective="binary", boosting="rf", bagging_freq=1, bagging_fraction=0.6),
    "dart": dict(objective="regression", boosting="dart", drop_rate=0.5),
    "zero": dict(objective="regression", zero_as_missing="true"),
    "none": dict(objective="regression", use_missing="false"),
    "category": dict(objective="binary", categorical_feature="3", max_cat_to_onehot=2, min_data_per_group=5,
                     cat_smooth=1),
    "rank": dict(objective="lambdarank"),
    "entropy": dict(objective="cross_entropy"),
}


def row(r):
    x = [r.gauss(0, 1), r.choice([0, 0, 1, 2, -1.5]), r.random(), r.randrange(40)]
    y = x[0] + 0.7 * (x[1] == 0) + (x[3] % 3) * 0.6 - x[2] + r.gauss(0, 0.3)
    return [None if r.random() < 0.12 else v for v in x[:3]] + [None if r.random() < 0.05 else x[3]], y


def label(case, y):
    objective = CASES[case]["objective"]
    if objective in ("multiclass", "multiclassova"):
        return 0 if y < 0 else 1 if y < 1 else 2
    if objective in ("binary", "lambdarank"):
        return int(y > 0.5)
    if objective == "cross_entropy":
        return min(1, max(0, y / 3))
    if objective in ("poisson", "tweedie"):
        return max(0, round(y + 1))
    return y


def line(values, missing="nan"):  # LightGBM takes an empty cell at the end of a line for 0
    return ",".join(missing if v is None else repr(v) for v in values) + "\n"


def make(program, case, folder):
    r = random.Random(case)
    train, data = os.path.join(folder, "train.csv"), os.path.join(folder, "data.csv")
    with open(train, "w") as f:
        for _ in range(TRAIN):
            x, y = row(r)
            f.write(line([label(case, y)] + x))
    if case == "rank":
        with open(train + ".query", "w") as f:
            f.write("10\n" * (TRAIN // 10))
    elif os.path.exists(train + ".query"):
        os.remove(train + ".query")
    rows = [row(r)[0] for _ in range(SHOWN - 4)]
    rows += [[None] * 4, [0.0] * 4, [0.5, 0, 0.5, 77], [1e-36, -1e-36, 1e300, 7]]
    with open(data, "w") as f:
        f.writelines(line([0] + x) for x in rows)
    with open(os.path.join(HERE, case + ".csv"), "w") as f:
        f.write("a,b,c,d\n")
        f.writelines(line(x, "") for x in rows)
    model = os.path.join(HERE, case + ".txt")
    options = dict(num_iterations=4, num_leaves=8, min_data_in_leaf=5, verbosity=-1, num_threads=1, seed=3,
                   label_column="0", **CASES[case])
    common = [f"{k}={v}" for k, v in options.items()]
    subprocess.run([program, "task=train", f"data={train}", f"output_model={model}"] + common, check=True,
                   cwd=folder, stdout=subprocess.DEVNULL)
    text = open(model).read()
    names = " ".join(f"Column_{i}" for i in range(4))
    text = text.replace(f"feature_names={names}", "feature_names=a b c d")
    head, rest = text.split("end of trees", 1)
    with open(model, "w") as f:  # the parameters of training are of no interest here
        f.write(head + "end of trees\n\npandas_categorical:null\n")
    subprocess.run([program, "task=predict", f"data={data}", f"input_model={model}", "label_column=0",
                    f"output_result={os.path.join(HERE, case + '.want')}", "num_threads=1", "verbosity=-1",
                    "predict_disable_shape_check=true"], check=True, cwd=folder, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[2:] or CASES:
            make(os.path.abspath(sys.argv[1]), name, folder)
