#!/usr/bin/python3
"""Options of growth and sampling beside LightGBM itself: the same parameters, rows and columns.

    bench/quality/lightgbm.py build/src/cli/quern PATH/TO/lightgbm DATA [CASE]...

LightGBM's program is built from its public repository (cmake -B build && make -C build). 100 rounds of 31 leaves
without early stopping or calibration, leaves without shrinkage (lambda_l2 0) as LightGBM's preset is. SEEDS (3) seeds
each; the loss is that of every fifth row. "within" says that the means differ by less than twice the standard error of
their difference, or by less than 0.2 %. Sets: electricity (numbers, binary), adult (numbers and categories, binary),
california (numbers, a value)."""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd

SEEDS = int(os.environ.get("SEEDS", "3"))
THREADS = os.environ.get("OMP_NUM_THREADS", "2")
SETS = {"electricity": ("electricity_elec2", "class"), "adult": ("adult_train", "income"),
        "california": ("california_housing", "median_house_value")}
CASES = {
    "plain": {},
    "bagging": {"bagging_fraction": 0.6, "bagging_freq": 1},
    "goss": {"data_sample_strategy": "goss"},
    "dart": {"boosting": "dart", "drop_rate": 0.1, "skip_drop": 0.5},
    "extra_trees": {"extra_trees": True},
    "feature_fraction": {"feature_fraction": 0.5},
    "bynode": {"feature_fraction_bynode": 0.5},
    "path_smooth": {"path_smooth": 20},
    "max_delta_step": {"max_delta_step": 0.3},
    "monotone_basic": {"monotone": "basic"},
    "monotone_intermediate": {"monotone": "intermediate"},
    "interaction": {"interaction": True},
}


def read_set(data, name):
    file, target = SETS[name]
    table = pd.read_csv(f"{data}/{file}.csv.gz", na_values=["?"])
    y = table.pop(target)
    y = y.to_numpy(float) if name == "california" else pd.factorize(y, sort=True)[0]
    categories = [c for c in table if table[c].dtype == object]
    for c in categories:
        table[c] = pd.factorize(table[c], sort=True)[0]
    table.columns = [f"x{i}" for i in range(table.shape[1])]
    kinds = [c in categories for c in pd.read_csv(f"{data}/{file}.csv.gz", nrows=1).columns if c != target]
    return table, y, kinds, name == "california"


def signs(table, kinds, y):
    """The two numbers that go most with the target, each in its direction."""
    found = [(abs(r), i, np.sign(r)) for i in range(len(kinds)) if not kinds[i]
             for r in [np.corrcoef(table.iloc[:, i].fillna(0), y)[0, 1]]]
    return {i: int(s) for _, i, s in sorted(found)[-2:]}


def write_rows(path, table, y, kinds, words):
    out = table.copy()
    for i, kind in enumerate(kinds):
        if kind:
            code = table.iloc[:, i]
            out.isetitem(i, np.where(code < 0, "" if words else "nan", (code.map("c{}".format) if words else code.astype(str))))
        else:
            out.isetitem(i, out.iloc[:, i].astype(float))
    out.insert(0, "y", y)
    out.to_csv(path, index=False, na_rep="" if words else "nan")


def fit_quern(program, folder, case, seed, kinds, monotone, regression):
    params = {"num_iterations": 100, "lambda_l2": 0, "min_data_in_leaf": 20}
    for key, value in case.items():
        if key == "monotone":
            params["monotone_constraints"] = {f"x{i}": s for i, s in monotone.items()}
            params["monotone_constraints_method"] = value
        elif key == "interaction":
            half = len(kinds) // 2
            params["interaction_constraints"] = [[f"x{i}" for i in range(half)], [f"x{i}" for i in range(half, len(kinds))]]
        else:
            params[key] = value
    types = {f"x{i}": "category" if k else "number" for i, k in enumerate(kinds)}
    with open(f"{folder}/quern.yaml", "w") as file:
        file.write(f"task: {{target: y, kind: {'regression' if regression else 'binary'}}}\n"
                   f"data: {{source: train_q.csv, test: test_q.csv, types: {json.dumps(types)}}}\n"
                   f"train: {{calibrate: none, families: {{gbdt: {json.dumps(params)}}}}}\n"
                   "evaluate: {bootstrap: 0, slices: false, importance: false, dependence: false}\n")
    for arguments in (["run", "--no-register", "-o", f"{folder}/m.qn", "--seed", str(seed)],
                      ["predict", f"{folder}/m.qn", "-i", f"{folder}/test_q.csv", "-o", f"{folder}/p.csv", "-c", "none"]):
        done = subprocess.run([program, "-q", "-C", folder, "-t", THREADS, *arguments], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
    p = pd.read_csv(f"{folder}/p.csv")
    return p["prediction" if regression else "probability"].to_numpy(float)


def fit_lightgbm(program, folder, case, seed, kinds, monotone, regression):
    params = {"objective": "regression" if regression else "binary", "num_iterations": 100, "verbosity": -1,
              "header": "true", "label_column": "name:y", "num_threads": THREADS, "seed": seed}
    categories = [str(i) for i, k in enumerate(kinds) if k]
    if categories:
        params["categorical_feature"] = ",".join(categories)
    for key, value in case.items():
        if key == "monotone":
            params["monotone_constraints"] = ",".join(str(monotone.get(i, 0)) for i in range(len(kinds)))
            params["monotone_constraints_method"] = value
        elif key == "interaction":
            half = len(kinds) // 2
            parts = [range(half), range(half, len(kinds))]
            params["interaction_constraints"] = ",".join("[" + ",".join(map(str, p)) + "]" for p in parts)
        else:
            params[key] = str(value).lower() if isinstance(value, bool) else value
    common = [f"{k}={v}" for k, v in params.items()]
    for extra in (["task=train", "data=train_l.csv", "output_model=m.txt"],
                  ["task=predict", "data=test_l.csv", "input_model=m.txt", "output_result=p.txt"]):
        subprocess.run([program, *extra, *common], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return np.loadtxt(f"{folder}/p.txt")


def loss_of(y, p, regression):
    if regression:
        return float(np.sqrt(np.mean((y - p) ** 2)))
    p = np.clip(p, 1e-15, 1 - 1e-15)
    return float(-np.mean(np.where(y == 1, np.log(p), np.log(1 - p))))


def main():
    quern, lightgbm, data = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
    failed = 0
    for name in SETS:
        table, y, kinds, regression = read_set(data, name)
        test = np.arange(len(y)) % 5 == 4
        monotone = signs(table, kinds, y)
        for title in sys.argv[4:] or CASES:
            losses = {"q": [], "l": []}
            with tempfile.TemporaryDirectory() as folder:
                for words, letter in ((True, "q"), (False, "l")):
                    write_rows(f"{folder}/train_{letter}.csv", table[~test], y[~test], kinds, words)
                    write_rows(f"{folder}/test_{letter}.csv", table[test], y[test], kinds, words)
                for seed in range(1, SEEDS + 1):
                    for letter, fit, program in (("q", fit_quern, quern), ("l", fit_lightgbm, lightgbm)):
                        p = fit(program, folder, CASES[title], seed, kinds, monotone, regression)
                        losses[letter].append(loss_of(y[test], p, regression))
            q, l = np.mean(losses["q"]), np.mean(losses["l"])
            error = np.sqrt((np.var(losses["q"], ddof=1) + np.var(losses["l"], ddof=1)) / SEEDS) if SEEDS > 1 else 0
            verdict = "within" if abs(q - l) < max(2 * error, 0.002 * l) else "better" if q < l else "WORSE"
            failed += verdict == "WORSE"
            print(f"{name:12} {title:22} quern {q:10.6g} lightgbm {l:10.6g} {100 * (q / l - 1):+6.2f}% (+- {200 * error / l:.2f}%) {verdict}",
                  flush=True)
    print(f"worse: {failed}")


if __name__ == "__main__":
    main()
