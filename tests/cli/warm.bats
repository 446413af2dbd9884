# Models that go on from others: train.init_model, and leaves refitted on new rows.
load helper

prepare() { table 800 >data.csv; }

# trees FOLDER ROUNDS [MORE]: a project of trees alone, run, its model in FOLDER.qn.
trees() {
    project "$1" churned "train: {refit: false, calibrate: none, families: {gbdt: {num_iterations: $2, num_leaves: 7, early_stopping_round: 0}}${3:+, $3}}
evaluate: {bootstrap: 0, importance: false, dependence: false}"
    quern -q -C "$1" run -o "$WORK/$1.qn" ${4:-} --json >"$1.json" 2>err || { cat err "$1.json"; return 1; }
}

@test "20 rounds and 15 more are 35 at once; a file, a name and an alias say the same" {
    trees whole 35
    trees first 20
    trees second 15 "init_model: ../first.qn"
    quern -q predict whole.qn --input data.csv --output a.csv
    quern -q predict second.qn --input data.csv --output b.csv
    cmp a.csv b.csv
    holds second.json "[f['facts']['trees'] for f in d['leaderboard'] if f['family'] == 'gbdt'] == [35]"
    holds second.json "[f['facts']['trees'] for f in d['leaderboard'] if f['family'] == 'gbdt'] == [35]"
    quern -q models show second.qn --json >shown
    holds shown "d['manifest']['about']['init_model'] == '$(model_hash first first)'"
    # in one registry, whose champion is the one to go on from
    for reference in first first@champion first:1; do
        sed -i '/^train:/s/, init_model: [^}]*}$/}/; /^train:/s/}$/, init_model: "'$reference'"}/' first/quern.yaml
        sed -i 's/num_iterations: 20/num_iterations: 15/' first/quern.yaml
        quern -q -C first run --no-register -o "$WORK/third.qn" -t 1 --json >third.json
        quern -q predict third.qn --input data.csv --output c.csv
        cmp a.csv c.csv
    done
}

@test "a run that goes on and refits: the rounds before are counted once" {
    trees first 20
    project more churned 'train: {init_model: ../first.qn, families: {gbdt: {num_iterations: 40, num_leaves: 7, early_stopping_round: 5}}}
evaluate: {bootstrap: 0, importance: false, dependence: false}'
    quern -q -C more run -o "$WORK/more.qn" --json >more.json
    json more.json "[f['facts']['best_iteration'] for f in d['leaderboard'] if f['family'] == 'gbdt'][0]" >best
    [ "$(cat best)" -gt 20 ]
    quern -q compress more.qn --output merged.qn --json >merged
    holds merged "d['curve'][0]['trees'] == $(cat best)"
}

@test "what cannot go on is refused, with the line" {
    trees first 5
    refused() { # refused FOLDER TARGET YAML WORDS...
        local folder="$1" target="$2" yaml="$3"
        shift 3
        project "$folder" "$target" "$yaml"
        ! quern -q -C "$folder" run >out 2>err || return 1
        contains "$(cat err)" "train.init_model" "$@"
    }
    refused a worth 'train: {init_model: ../first.qn}' "predicts another target"
    refused b churned 'train: {init_model: ../none.qn}' "none.qn"
    refused c churned 'train: {init_model: ../first.qn, families: [linear]}' "gbdt is not among train.families"
    refused d churned 'train: {init_model: ../first.qn}
split: {folds: 3}' "split.folds"
    refused e churned 'train: {init_model: ../first.qn}
features: [{columns: [age], transforms: [impute]}]' 'leave out `features`'
    project linear churned 'train: {families: [linear]}
evaluate: {bootstrap: 0}'
    quern -q -C linear run -o linear.qn >/dev/null
    refused f churned 'train: {init_model: ../linear.qn}' "of family linear"
}
