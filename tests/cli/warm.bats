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

@test "quern refit: leaves learn from new rows, by how much --decay says" {
    trees p 20
    table 600 2 >rows.csv
    loss() { quern -q evaluate "$1" --input "$2" --rounds 0 --json >judged; json judged "'%.9f' % d['metrics']['test']['log_loss']['value']"; }
    # the new rows say the opposite
    awk -F, -v OFS=, 'NR > 1 { $10 = $10 == "yes" ? "no" : "yes" } { print }' rows.csv >turned.csv
    before="$(loss p.qn turned.csv)"
    for decay in 1 0.9 0.5 0; do
        quern -q refit p.qn --input turned.csv --output "r$decay.qn" --decay "$decay" --json >said
        holds said "d['decay'] == $decay and d['rows'] == 600 and d['from']['hash'] == '$(model_hash p p)'"
        holds said "0 < d['leaves_with_rows'] <= d['leaves'] and d['trees'] == 20"
        loss "r$decay.qn" turned.csv >>losses
    done
    [ "$(head -1 losses)" = "$before" ]
    [ "$(sort -rn losses)" = "$(cat losses)" ]
    quern -q refit p.qn -i turned.csv -o default.qn >said
    contains "$(<said)" "leaves refitted on 600 rows"
    [ "$(loss default.qn turned.csv)" = "$(loss r0.9.qn turned.csv)" ]
    for n in 1 2 3; do
        quern -q refit p.qn -i turned.csv -o again.qn -t "$n" >/dev/null
        cmp again.qn default.qn
    done
    quern -q models show default.qn --json >shown
    holds shown "d['manifest']['about']['refitted']['rows'] == 600 and d['manifest']['about']['refitted']['from'] == '$(model_hash p p)'"
    quern -q models show default.qn >/dev/null
    quern -q -C p refit p -i turned.csv -o registered.qn --register p --alias turned >/dev/null
    contains "$(quern -C p models list)" turned
}

@test "quern refit: what it refuses" {
    trees p 3
    project linear churned 'train: {families: [linear]}
evaluate: {bootstrap: 0}'
    quern -q -C linear run -o linear.qn >/dev/null
    refused() { ! quern -q refit "$@" >out 2>err && cat err; }
    contains "$(refused linear.qn -i data.csv -o x.qn)" "a model of family linear has no leaves to refit"
    contains "$(refused p.qn -o x.qn)" "needs --input FILE"
    contains "$(refused p.qn -i data.csv -o x.bin)" "--output must end in .qn"
    contains "$(refused p.qn -i data.csv -o x.qn --decay 2)" "--decay must be a number from 0 to 1, not '2'"
    head -1 data.csv >none.csv
    ! quern -q refit p.qn -i none.csv -o x.qn 2>err
    [ ! -e x.qn ]
}

# What the last rounds of a run were trained on is all of data.csv: refitted on it without decay, leaves are
# what they were, but for what training rounds off - if weights, quantiles, drops and queries are its own.
unchanged() { # NAME MOST [OPTION..]: the largest difference of two predictions is told, and at most MOST
    local name=$1 most=$2
    shift 2
    quern -q refit "$name.qn" -i data.csv -o new.qn --decay 0 "$@" --json >said || return
    holds said "d['leaves_with_rows'] == d['leaves'] and d['rows'] == 1500" || return
    quern -q predict "$name.qn" -i data.csv -c none -o a.csv
    quern -q predict new.qn -i data.csv -c none -o b.csv
    paste -d, a.csv b.csv | awk -F, -v most="$most" 'NR > 1 { d = $NF - $(NF / 2); if (d < 0) d = -d; if (d > worst) worst = d }
        END { print worst; exit worst > most }'
}

@test "quern refit: weights, quantiles, dart and rankings are refitted as they were trained" {
    awk 'BEGIN { s = 5; print "x,z,w,q,y,g,c"; for (i = 0; i < 1500; i++) { s = s * 16807 % 2147483647; a = s % 1000
        s = s * 16807 % 2147483647; b = s % 100; s = s * 16807 % 2147483647; y = a / 100 + (b > 50) + s % 700 / 100
        print a "," b "," 1 + i % 3 * 4 "," int(i / 10) "," y "," int((a + b + s % 300) / 300) "," (y > 13 ? "yes" : "no") } }' >data.csv
    made() { # NAME TASK DROP SAMPLE GBDT
        mkdir -p "$1"
        printf 'project: %s\nseed: 9\ntask: {%s}\ndata: {source: ../data.csv, test: ../data.csv, drop: [%s]}\nsample: {%s}\n' "$1" "$2" "$3" "$4" >"$1/quern.yaml"
        printf 'train: {calibrate: none%s, families: {gbdt: {num_iterations: 30, num_leaves: 5, lambda_l2: 0, early_stopping_round: 0, %s}}}\n' "${6:-}" "$5" >>"$1/quern.yaml"
        printf 'evaluate: {bootstrap: 0, importance: false, dependence: false}\n' >>"$1/quern.yaml"
        quern -q -C "$1" run -o "$WORK/$1.qn" >/dev/null
    }
    made level 'target: y, kind: regression' 'q, g, c' 'weight: w' 'objective: quantile, alpha: 0.8'
    unchanged level 1e-9
    ! unchanged level 0.1 --weight none
    unchanged level 1e-9 --weight w
    made dropped 'target: y, kind: regression' 'q, g, c, w' '' 'boosting: dart, skip_drop: 0.2'
    unchanged dropped 0.02
    quern -q models show dropped.qn --json >shown
    holds shown "d['manifest']['about']['dart'] == {'seed': 9, 'rounds_before': 0}"
    refused 2 '--learning-rate does not go with a model boosted by dart, whose rates follow from the rounds that were dropped' refit dropped.qn -i data.csv -o x.qn --learning-rate 0.2
    quern -q compress dropped.qn -i data.csv --to-bytes 30KB -o small.qn
    refused 2 "the model was boosted by dart and does not tell how its rounds were dropped: only what 'quern run' made, and 'quern compress' left alone, does" refit small.qn -i data.csv -o x.qn
    made ranks 'target: g, kind: ranking, query: q' 'y, c' 'weight: w' 'min_data_in_leaf: 20'
    unchanged ranks 0.02
    made balanced 'target: c' 'q, g, y, w' '' 'min_data_in_leaf: 20' ', class_weight: balanced'
    unchanged balanced 0.005
    cut -d, -f1,2,4- data.csv >weightless.csv
    quern -q refit level.qn -i weightless.csv -o x.qn 2>err && return 1
    contains "$(<err)" "w"
    sed -i '3s/^\([^,]*,[^,]*\),[0-9]*/\1,0/' data.csv
    refused 3 'data.csv row 2, column w: a weight must be a number above 0' refit level.qn -i data.csv -o x.qn
    sed -i '3s/^\([^,]*,[^,]*\),[0-9]*,[0-9]*/\1,1,/' data.csv
    refused 3 'data.csv row 2, column q: the query is missing' refit ranks.qn -i data.csv -o x.qn
}
