#!/usr/bin/env python3
"""Rows for the tests of the server.

    rows.py --cut N FROM.csv.gz TO.csv    N rows, evenly over the file, in their order
    rows.py MODELS                        for each MODELS/NAME/*.csv a MODELS/NAME.csv of 60 rows to ask about:
                                          real ones, of which some get gaps, or words that were never seen
"""
import csv
import gzip
import pathlib
import sys

N_ASKED = 60


def cut(n, source, target):
    with gzip.open(source, "rt", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    head, rows = rows[0], rows[1:]
    n = min(n, len(rows))
    write(target, head, [rows[i * len(rows) // n] for i in range(n)])


def write(path, head, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([head] + rows)


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def ask(folder, target):
    source = sorted(folder.glob("*.csv"))[-1]
    with open(source, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    head, rows = rows[0], rows[1:]
    rows = [rows[i * len(rows) // N_ASKED] for i in range(N_ASKED)]
    words = [c for c in range(len(head)) if not is_number(rows[0][c]) and rows[0][c].count("-") != 2]
    for i, row in enumerate(rows):
        if i % 4 == 1:
            row[i % len(row)] = row[(i * 7) % len(row)] = ""
        if i % 6 == 2 and words:
            row[words[i % len(words)]] = 'never seen, "Z\u00fcrich" \u6771\u4eac'
        if i == 59:
            rows[i] = [""] * len(row)
    write(target, head, rows)


if sys.argv[1] == "--cut":
    cut(int(sys.argv[2]), sys.argv[3], sys.argv[4])
else:
    for path in pathlib.Path(sys.argv[1]).iterdir():
        if path.is_dir():
            ask(path, path.with_suffix(".csv"))
