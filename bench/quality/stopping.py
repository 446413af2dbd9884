#!/usr/bin/python3
"""How many rounds of boosting when the split is by time? Ways to choose, on pseudo-tests inside the past.

    bench/quality/stopping.py build/bench/bench_stopping DATA_FOLDER [SET]...

The rows that judge an example take no part: of each set only what its split gives to train and validate is read, in
order of time. A world is the oldest 40, 60, 80 or 100 % of them (small sets: also 30, 50, 70, 90): its newest fifth is
a pseudo-test, the tenth before it are the newest validation rows V, the rest T. Water has its five attacks near the
end: its worlds are the six ways to have one before V, one in V and one after. Each way gives a number of rounds, and
the model refitted on T + V with so many is judged on the pseudo-test, by log loss (rmse) and by average precision,
whichever the way stopped by. Regret: 0 for the best number there is (of 300), 1 for no better than the prior; worlds in
which the best number gains less than 1 % over the prior are left out, and are counted in the last column.

  newest     the best round on V
  shifted    the same, with the best constant added to the raw scores on V (loss only)
  floor N    the best round on V, at least N
  origins    three validation parts of V's size, the newest one V, each judged by a model of the rows before it
  blocks K   T + V in K blocks of time, each held out once
  dealt K    the same, each held out part made of five blocks
  V + dealt  the mean of the curves of newest and dealt
  random     a tenth of T + V, drawn
  always 100
  near N, z  of the rounds on V within z standard errors of the best (jackknife over ten stretches of time), the one nearest to
             N. Quern does `near 50, 1`: 50 is the patience of early stopping.
"""
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FEW = [(60, 6, 12), (100, 10, 20), (140, 14, 28), (180, 18, 36)]
WORLDS = [(80, 8, 16), (120, 12, 24), (160, 16, 32), (200, 20, 40)]
WATER = [(200, 9, 24), (200, 18, 14), (200, 24, 9), (200, 10, 14), (200, 15, 9), (200, 7, 9)]
SETS = {"water": WATER, "power": FEW + WORLDS, "bikes": FEW + WORLDS, "bank": FEW + WORLDS, "payments": WORLDS,
        "clicks": WORLDS, "flights": WORLDS}
ROUNDS, PATIENCE = 300, 50
SAMPLE = "\nsample: {rows: 60000}\n"
OTHERS = {
    "bank": """
project: bank
task: {target: "y", positive: "yes"}
data:
  source: ${DATA}/bank_additional_full.csv.gz
  query: SELECT * EXCLUDE (duration), row_number() OVER () AS call FROM source
  time: call
split: {method: time, test: 0.2, validate: 0.1}
""",
    "flights": """
project: flights
task: {target: late, positive: 1}
data:
  source: ${DATA}/pnwflights_flights.csv.gz
  query: >
    SELECT make_timestamp(year, month, day, 0, 0, 0) AS t, carrier, origin, dest, distance,
      dayofweek(make_date(year, month, day)) AS day_of_week,
      CASE WHEN arr_delay > 15 THEN 1 ELSE 0 END AS late
    FROM source WHERE arr_delay IS NOT NULL ORDER BY year, month, day, hour, minute, flight, carrier
  time: t
split: {method: time, test: 0.2, validate: 0.1}
""" + SAMPLE,
}


def config_of(name):
    if name in OTHERS:
        return OTHERS[name]
    text = open(f"{ROOT}/examples/{name}/quern.yaml").read()
    text = text.replace("source: bike", "source: ${DATA}/bike")
    text = "\n".join(line for line in text.split("\n") if not line.startswith("sample:"))
    return text + (SAMPLE if name == "payments" else "")


def run_world(program, folder, world):
    out = subprocess.run([program, folder, "quern.yaml", *map(str, world), str(ROUNDS)], capture_output=True,
                         text=True)
    if out.returncode:
        raise SystemExit(out.stderr)
    return {fit["fit"]: fit for fit in map(json.loads, out.stdout.splitlines())}


def numbers(values):
    return np.array([[np.nan if x is None else x for x in v] if isinstance(v, list) else np.nan if v is None else v
                     for v in values], float)


def pooled(fits, start, kind):
    """Mean curve of the fits whose name starts so: rows count the same in a loss, positives in average precision."""
    curves, weights = [], []
    for name, fit in fits.items():
        curve = numbers(fit[kind])
        weight = fit["held_sum"] if kind == "pr_auc" else fit["n_held"]
        if name.startswith(start) and weight > 0 and len(curve):
            curves.append(np.append(curve, np.full(ROUNDS + 1 - len(curve), curve[-1]))) # ended for want of splits
            weights.append(weight)
    return np.average(curves, axis=0, weights=weights) if curves else None


def stop(curve):
    """The best round when early stopping ends the search; curve[0] is the prior."""
    if curve is None or np.isnan(curve).any():
        return 1
    best = 1
    for m in range(2, len(curve)):
        if curve[m] < curve[best]:
            best = m
        elif m - best >= PATIENCE:
            break
    return best


def near(fit, kind, anchor, n_errors):
    """The same as learn/gbdt_stop.c, written anew."""
    curve, left = numbers(fit[kind]), numbers(fit["left_" + kind])
    if np.isnan(curve).any():
        return anchor
    best = stop(curve)
    m = min(anchor, len(curve) - 1)
    while m != best:
        d = left[m] - left[best]
        error = np.sqrt((len(d) - 1) * np.var(d))
        if np.isnan(error) or curve[m] - curve[best] <= n_errors * error:
            break
        m += 1 if m < best else -1
    return m


def ways(fits, kind):
    newest = pooled(fits, "newest.0", kind)
    shifted = pooled(fits, "newest.0", "shifted") if kind == "loss" else newest
    both = [c for c in (newest, pooled(fits, "E3.", kind)) if c is not None]
    rounds = {"newest": stop(newest), "shifted": stop(shifted), "floor 20": max(stop(newest), 20),
              "floor 50": max(stop(newest), 50), "origins": stop(pooled(fits, "newest.", kind)),
              "blocks 3": stop(pooled(fits, "D3.", kind)), "blocks 5": stop(pooled(fits, "D5.", kind)),
              "dealt 3": stop(pooled(fits, "E3.", kind)), "dealt 5": stop(pooled(fits, "E5.", kind)),
              "V + dealt": stop(np.mean(both, axis=0)) if both else 1,
              "random": stop(pooled(fits, "R", kind)), "always 100": 100}
    for n_errors in (0.5, 1, 1.5, 2):
        for anchor in (30, 50, 70, 100, 150):
            rounds[f"near {anchor}, {n_errors:g}"] = near(fits["newest.0"], kind, anchor, n_errors)
    return rounds


def regrets(fits, kind):
    """None where there is nothing to learn."""
    curve = numbers(fits["test"][kind])
    best, prior = np.min(curve[1:]), curve[0]
    if prior - best < 0.01 * abs(prior):
        return None
    return {way: float(np.clip((curve[min(m, len(curve) - 1)] - best) / (prior - best), 0, 1))
            for way, m in ways(fits, kind).items()}


def main():
    program, os.environ["DATA"] = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    only = sys.argv[3:] or list(SETS)
    os.environ["OMP_WAIT_POLICY"] = "passive"
    tasks, left_out = {}, {}
    for name in only:
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
            with open(f"{folder}/quern.yaml", "w") as file:
                file.write(config_of(name))
            for fits in pool.map(lambda world: run_world(program, folder, world), SETS[name]):
                for kind in ("loss", "pr_auc"):
                    if fits["test"][kind]:
                        found = regrets(fits, kind)
                        if found is None:
                            left_out[name, kind] = left_out.get((name, kind), 0) + 1
                        else:
                            tasks.setdefault((name, kind), []).append(found)
        print(f"{name}: done", file=sys.stderr, flush=True)
    names = list(tasks)
    print(f"{'regret':14}" + "".join(f"{name[:8]:>9}" for name, _ in names) + "     mean")
    print(f"{'':14}" + "".join(f"{kind:>9}" for _, kind in names) + "  of sets")
    for way in next(iter(tasks.values()))[0]:
        means = {task: np.mean([world[way] for world in worlds]) for task, worlds in tasks.items()}
        by_set = [np.mean([m for task, m in means.items() if task[0] == name]) for name in {n for n, _ in names}]
        print(f"{way:14}" + "".join(f"{means[task]:9.3f}" for task in names) + f"{np.mean(by_set):9.3f}")
    print(f"{'worlds':14}" + "".join(f"{len(tasks[task]):9d}" for task in names))
    print(f"{'left out':14}" + "".join(f"{left_out.get(task, 0):9d}" for task in names))


if __name__ == "__main__":
    main()
