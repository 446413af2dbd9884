#!/usr/bin/python3
"""Feeds what `quern export --format lightgbm` writes to LightGBM's own program:

    check_export.py PATH/TO/lightgbm PATH/TO/quern MODEL.qn ROWS.csv

MODEL takes numbers only, or ROWS holds the codes of its categories, in the columns of the model's inputs.
Prints the largest difference between LightGBM's predictions and ours."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from interop_check import difference, read_got  # noqa: E402


def main():
    lightgbm, quern, model, rows = map(os.path.abspath, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        def at(name):
            return os.path.join(folder, name)
        subprocess.run([quern, "-q", "export", model, "--format", "lightgbm", "-o", at("m.txt")], check=True)
        subprocess.run([quern, "-q", "predict", model, "-i", rows, "-c", "none", "-o", at("got.csv")], check=True)
        with open(rows) as f, open(at("rows.csv"), "w") as out:
            next(f)
            for line in f:
                out.write(",".join(["0"] + [cell or "nan" for cell in line.rstrip("\n").split(",")]) + "\n")
        subprocess.run([lightgbm, "task=predict", f"data={at('rows.csv')}", f"input_model={at('m.txt')}",
                        "label_column=0", f"output_result={at('want.txt')}", "num_threads=1", "verbosity=-1"],
                       check=True, stdout=subprocess.DEVNULL)
        with open(at("want.txt")) as f:
            want = [[float(x) for x in line.split("\t")] for line in f]
        got = read_got(at("got.csv"))
        print(f"{os.path.basename(model)}: {len(want)} rows, largest difference {difference(got, want):.3g}")


if __name__ == "__main__":
    main()
