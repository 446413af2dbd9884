#!/usr/bin/env python3
"""docs.py PAGE URL: runs the commands of a page's console blocks and compares what they say with what is printed: the same
members in the same order, values of the same kind (the models of the tests are smaller than those of the page).

    docs.py --write PAGE URL     writes the answers into the page"""
import json
import re
import subprocess
import sys

WHERE = "http://127.0.0.1:8080"


def run(command, url):
    done = subprocess.run(["bash", "-c", command.replace(WHERE, url)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout.rstrip("\n")


def shape(value):
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        return [shape(v) for v in value[:1]]
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def kind_of(text):
    try:
        value = json.loads(text)
    except ValueError:
        return re.sub(r"\d+(\.\d+)?(e-?\d+)?|\b(ham|spam)\b", "#", text)
    return json.dumps(shape(value)) if "message" not in text and "error" not in text else text


def commands(text):
    """(command, what is printed below it)"""
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.S | re.M):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, said = part.partition("\n")
            yield command, said.rstrip("\n")


def write(path, url):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for command, said in commands(text):
        before = f"$ {command}\n{said}\n" if said else f"$ {command}\n"
        assert text.count(before) == 1, before
        text = text.replace(before, f"$ {command}\n{run(command, url)}\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def check(path, url):
    with open(path, encoding="utf-8") as file:
        all_commands = list(commands(file.read()))
    assert len(all_commands) > 15
    for command, said in all_commands:
        got = run(command, url)
        assert kind_of(got) == kind_of(said), f"{command}\nprinted: {said}\ngot:     {got}"
    print(len(all_commands), "commands")


if sys.argv[1] == "--write":
    write(*sys.argv[2:])
else:
    check(*sys.argv[1:])
