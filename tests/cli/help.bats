# Help, completion, new, profile, common options.
load helper

commands="new run|data profile|data split|evaluate|predict|report|models list|models show|models promote|models rollback|models diff|models history|runs list|runs show|runs compare|check|help"

@test "help for every command, by help and by --help" {
    local name IFS='|'
    for name in new run ${commands#*|}; do
        local words
        IFS=' ' read -ra words <<<"$name"
        quern help "${words[@]}" >a
        quern "${words[@]}" --help >b
        quern "${words[@]}" -h | cmp a -
        cmp a b
        grep -q "quern $name" a
        [ "$(awk 'length > 110' a | wc -l)" -eq 0 ]
    done
    contains "$(quern)" "Usage: quern COMMAND" "models rollback"
    contains "$(quern help models)" "promote" "diff"
    quern models --help | cmp - <(quern help models)
    contains "$(quern --version)" "quern "
}

@test "help config, schema, parameters, transforms, metrics" {
    contains "$(quern help config)" "# quern.yaml" "negatives" "register"
    quern help schema | python3 -m json.tool >/dev/null
    contains "$(quern help parameters)" num_leaves learning_rate "linear:"
    contains "$(quern help transforms)" impute one_hot "target - "
    contains "$(quern help metrics)" roc_auc pr_auc rmse f1_macro
}

@test "completion and man page" {
    quern help bash >q.bash && bash -n q.bash
    # shellcheck disable=SC1091
    source q.bash
    COMP_WORDS=(quern mod) COMP_CWORD=1
    _quern
    [ "${COMPREPLY[*]}" = models ]
    COMP_WORDS=(quern models ro) COMP_CWORD=2
    _quern
    [ "${COMPREPLY[*]}" = rollback ]
    COMP_WORDS=(quern predict m --th) COMP_CWORD=3
    _quern
    [[ "${COMPREPLY[*]}" == *--threshold* ]]
    COMP_WORDS=(quern help para) COMP_CWORD=2
    _quern
    [ "${COMPREPLY[*]}" = parameters ]
    quern help zsh >q.zsh && [ -s q.zsh ]
    ! command -v zsh || zsh -n q.zsh
    quern help fish >q.fish && [ -s q.fish ]
    ! command -v fish || fish -n q.fish
    quern help man >quern.1
    ! command -v groff || [ -z "$(groff -man -ww -Tutf8 quern.1 2>&1 >/dev/null)" ]
    ! command -v mandoc || mandoc -Tlint -W error quern.1
}

@test "new writes a config that runs as it stands, with what looks wrong" {
    table 400 | awk -F, -v OFS=, 'NR == 1 { print $0, "answer"; next } { print $0, $10 == "yes" ? 7 : 3 }' >data.csv
    run quern -q new shop --source data.csv --target churned
    [ "$status" -eq 0 ]
    contains "$output" "id: nearly every row has a value of its own" "answer: " "cd shop && quern run"
    contains "$(cat shop/quern.yaml)" "target: churned" 'positive: "yes"' "- id " "answer"
    (cd shop && quern -q run >out) # as it stands
    refused 1 "shop/quern.yaml is there already: nothing was changed" new shop --source data.csv --target churned
    refused 2 "task.target: there is no column 'chrned'; did you mean 'churned'?" new other --source data.csv --target chrned
    [ ! -e other ]
    refused 1 "there is no file 'no.csv'" new other --source no.csv --target churned
    refused 2 "'quern new' needs --source FILE and --target COLUMN: quern new other --source customers.csv --target churned" new other
    quern -q --json new worth --source data.csv --target worth >n.json
    holds n.json "d['kind'] == 'regression' and d['config'] == 'worth/quern.yaml' and d['rows'] == 400"
    quern -q -C worth run >/dev/null
    mkdir elsewhere
    quern -q -C elsewhere new kinds --source data.csv --target kind >/dev/null
    quern -q -C elsewhere/kinds run >/dev/null
}

@test "data profile: text and JSON, of a file and of a project" {
    table 300 >data.csv
    project p churned
    run quern -q data profile data.csv --target churned
    [ "$status" -eq 0 ]
    contains "$output" "300 rows, 12 columns" "target churned, binary" "colour" "classes of churned" "id: nearly every row"
    quern -q --json data profile data.csv >d.json
    holds d.json "len(d['fields']) == 12"
    quern -q -C p --json data profile >p.json
    holds p.json "d['warnings'] is not None and d['classes']"
}

@test "data split writes the rows of a run" {
    table 300 >data.csv
    project p churned
    quern -q -C p data split "$WORK/parts" --json >s.json
    [ "$(ls parts | tr '\n' ' ')" = "test.csv train.csv validate.csv " ]
    [ "$(cat parts/*.csv | wc -l)" -eq 303 ]
    python3 -m json.tool s.json >/dev/null
    quern -q -C p run --json >r.json
    holds r.json "d['split']['test'] == $(($(wc -l <parts/test.csv) - 1))"
    refused 2 "'quern data split' needs DIR: quern data split DIR" -C p data split
}

@test "-q is silent, progress goes to standard error only" {
    table 300 >data.csv
    project p churned
    quern -C p run >out 2>err
    grep -q '^import ' err
    grep -q '^train gbdt ' err
    [ "$(grep -c '^import ' err)" -eq 1 ]
    ! grep -q '^import ' out
    quern -q -C p run >out 2>err
    [ ! -s err ]
    quern -q --json -C p run | python3 -m json.tool >/dev/null
}

@test "the live display: one line per stage, gone before the results" {
    script -qec true /dev/null >/dev/null 2>&1 </dev/null || skip "no terminal to be had with script(1)"
    table 1500 >data.csv
    project p churned
    script -qec "$QUERN -C p run" typescript >/dev/null </dev/null
    # every stage ends with a line of its own; the results follow all of them
    python3 - <<'END'
text = open("typescript", encoding="utf-8", errors="replace").read()
lines = [line.split("\r\x1b[K")[-1].split("\r")[-1] if "\x1b[K" not in line.rstrip("\r") else line.rstrip("\r").split("\x1b[K")[-1]
         for line in text.split("\n")]
stages = [line.split("  ")[0] for line in lines]
for stage in ["import", "profile", "split", "features", "train gbdt", "train linear", "evaluate", "save", "report"]:
    assert stages.count(stage) == 1, (stage, lines)
assert stages.index("report") < next(i for i, line in enumerate(lines) if line.startswith("family"))
END
}
