# Runs, models, reports and the workspace.
load helper

prepare() {
    table 500 >data.csv
    project p churned
}

@test "the object of run --json, alone on standard output" {
    cat >>p/quern.yaml <<'END'
value: {currency: EUR, true_positive: price, false_positive: -5}
END
    quern -C p run --json >out 2>progress
    [ -s progress ]
    [ "$(wc -l <out)" -eq 1 ]
    python3 - <<'END'
import json, os
d = json.load(open("out"))
for key in ["run", "project", "task", "dataset", "model", "metrics", "value", "leaderboard", "timings", "report"]:
    assert key in d, key
assert d["project"] == "p" and d["task"] == "binary"
assert d["dataset"]["rows"] == 500 and d["dataset"]["columns"] == 12 and len(d["dataset"]["hash"]) == 64
model = d["model"]
assert model["name"] == "p" and model["version"] == 1 and model["family"] in ("gbdt", "linear")
assert os.path.getsize(model["file"]) == model["bytes"]
for name in ["roc_auc", "pr_auc", "log_loss", "brier", "accuracy", "balanced_accuracy", "f1", "precision", "recall",
             "mcc", "ece", "normalized_entropy"]:
    metric = d["metrics"]["test"][name]
    assert set(metric) >= {"value", "low", "high"} and metric["low"] <= metric["high"], (name, metric)
assert {"threshold", "per_row", "total", "baseline_total"} <= set(d["value"])
for row in d["leaderboard"]:
    assert {"family", "params", "metric", "train_s", "row_us", "bytes"} <= set(row), row
assert {row["family"] for row in d["leaderboard"]} == {"gbdt", "linear", "prior", "stump"}
for name in ["import_s", "split_s", "feature_s", "train_s", "evaluate_s", "total_s"]:
    assert d["timings"][name] >= 0, name
assert os.path.isfile(d["report"])
END
}

@test "register.when: better promotes what is better, and only that, and says why" {
    run quern -q -C p run
    contains "$output" "Registered p version 1 as champion: there is no champion to compare with yet"
    run quern -q -C p run
    contains "$output" "p version 1, not promoted: the same model, byte for byte, as version 1"
    # worse: the columns that tell most are gone
    sed -i 's/drop: \[id/drop: [size, colour, note, id/' p/quern.yaml
    run quern -q -C p run
    contains "$output" "p version 2, not promoted: log_loss" "against the champion, version 1, on the same 100 test rows"
    [[ "$output" != *"better beyond chance"* ]]
    quern -q -C p models list --json >m.json
    holds m.json "[m['aliases'] for m in sorted(d['models'], key=lambda m: m['version'])] == [['champion'], ['challenger']]"
}

@test "a better model takes over, and the one before comes back by a rollback" {
    sed -i 's/drop: \[id/drop: [size, colour, note, id/' p/quern.yaml
    table 2000 1 1 >data.csv
    quern -q -C p run >/dev/null
    sed -i 's/drop: \[size, colour, note, id/drop: [id/' p/quern.yaml
    run quern -q -C p run
    # the champion cannot see fewer columns than it needs: these rows have them all
    contains "$output" "Registered p version 2 as champion: log_loss" "better beyond chance"
    [ "$(quern -C p models rollback p)" = "p@champion is version 1" ]
    [ "$(quern -C p models promote p:2 --why 'seen on new rows')" = "p@champion is version 2" ]
    contains "$(quern -C p models history p)" "seen on new rows" "alias moved"
    quern -C p models history --json >h.json
    holds h.json "len(d['events']) >= 6 and all(e['time'] and e['event'] for e in d['events'])"
    sound p
}

@test "a champion that cannot judge the rows keeps its place" {
    quern -q -C p run >/dev/null
    cut -d, -f1,2,3,5,6,7,8,9,10,11,12 data.csv >less.csv && mv less.csv data.csv
    run quern -q -C p run
    contains "$output" "version 1, the champion, cannot be judged on these rows" "lacks"
}

@test "a champion whose file is gone keeps its place, and that is said" {
    project p churned "$QUICK"
    quern -q -C p run >/dev/null
    rm -f "$(quern -C p models show p --json | sed -n 's/.*"file": *"\([^"]*\)".*/\1/p' | head -n 1)"
    sed -i 's/^seed:.*//' p/quern.yaml
    run quern -q -C p run --seed 9
    [ "$status" -eq 0 ]
    contains "$output" "warning: the champion cannot be opened: object"
    contains "$output" "not promoted"
}

@test "register.when always and never; --no-register" {
    echo "register: {when: never}" >>p/quern.yaml
    contains "$(quern -q -C p run)" "Not registered: register.when is never"
    sed -i 's/when: never/when: always/' p/quern.yaml
    contains "$(quern -q -C p run --no-register)" "Not registered: --no-register"
    contains "$(quern -C p models list)" "No models yet"
    contains "$(quern -q -C p run)" "as champion: register.when is always"
    contains "$(quern -q -C p run --seed 5)" "Registered p version 2 as champion: register.when is always"
    contains "$(quern -q -C p run)" "Registered p version 1 as champion: the same model, byte for byte, as version 1; register.when is always"
    quern -C p models show p --json >s.json
    holds s.json "d['registry']['version'] == 1"
}

@test "models list, show, diff" {
    quern -q -C p run >/dev/null
    quern -q -C p run --seed 9 >/dev/null
    contains "$(quern -C p models list)" champion challenger p
    contains "$(quern -C p models show p)" "task       binary of churned" "hash " "roc_auc" "colour" "blue"
    [[ "$(quern -C p models show p)" == *"when"*"2024-01-"* ]] # times as people write them
    quern -C p models show p:2 --json >s.json
    holds s.json "d['registry']['version'] == 2 and d['manifest']['target'] == 'churned'"
    contains "$(quern -C p models diff p:1 p:2)" "metrics.roc_auc"
    quern -C p models diff p:1 p:2 --json >d.json
    holds d.json "d['from'] and d['to'] and d['differences']"
    contains "$(quern -C p models diff p:1 p@champion)" "the same file, byte for byte"
    refused 1 "model 'p' has no version 9: \`quern models show p\`" -C p models promote p:9
    refused 1 "a@champion" -C p models rollback a 2>/dev/null || true
    refused 1 "p@champion has pointed at version 1 from the start: there is nothing to go back to" -C p models rollback p
}

@test "runs list, show, compare; report" {
    quern -q -C p run >/dev/null
    quern -q -C p run --seed 3 >/dev/null
    echo "smaple: 1" >bad.yaml && cp bad.yaml p/bad.yaml
    run quern -q -C p run --config bad.yaml
    [ "$status" -eq 2 ]
    quern -C p runs list --json >r.json
    holds r.json "len(d['runs']) == 2 and all(r['status'] == 'done' for r in d['runs'])"
    [ "$(quern -C p runs list -n 1 | wc -l)" -eq 2 ]
    local last first
    last="$(json r.json 'd["runs"][0]["run"]')" first="$(json r.json 'd["runs"][1]["run"]')"
    quern -C p runs show last --json >s.json
    holds s.json "d['run'] == '$last' and d['config']['seed'] == 3 and d['summary']['metrics']"
    quern -C p runs compare "$first" "$last" --json >c.json
    holds c.json "any(x['key'] == 'config.seed' and x['a'] == 42 and x['b'] == 3 for x in d['differences'])"
    contains "$(quern -C p runs compare "$first" last)" config.seed
    local path
    path="$(quern -C p report)"
    [ -s "$path" ] && grep -qi '<!doctype html>' "$path"
    rm "$path"
    [ -s "$(quern -C p report "$last")" ] # written again
    quern -C p report --json >p.json
    holds p.json "d['report'].endswith('report.html')"
    refused 1 "there is no run zz: \`quern runs list\` shows them" -C p runs show zz
}

@test "check finds one changed byte, and what is not there" {
    quern -q -C p run >/dev/null
    quern -C p check | grep -q 'all sound'
    local object
    object="$(find p/.quern/objects -type f | sort | head -1)"
    chmod u+w "$object"
    cp -p "$object" kept
    printf '\xff' | dd of="$object" bs=1 seek=100 conv=notrunc status=none
    run quern -C p check
    [ "$status" -eq 1 ]
    contains "$output" "PROBLEM: " "$(basename "$object" | head -c 12)" "the workspace has 1 problem"
    quern -C p check --json >c.json 2>/dev/null || true
    cp kept "$object"
    sound p
    rm -f "$object"
    run quern -C p check
    [ "$status" -eq 1 ]
    contains "$output" "$(basename "$object" | head -c 12)" "is missing"
}

@test "two runs at once: both are kept" {
    quern -q -C p run --seed 1 >one & local first=$!
    quern -q -C p run --seed 2 >two & local second=$!
    wait $first
    wait $second
    sound p
    quern -C p models list --json >m.json
    holds m.json "sorted(m['version'] for m in d['models']) == [1, 2]"
}
