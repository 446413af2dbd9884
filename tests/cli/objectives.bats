# Objectives of gbdt from end to end, beside other libraries on the same rows.
load helper

check() {
    local status=0
    env -u LD_PRELOAD /usr/bin/python3 "$HERE/objectives_check.py" "$@" || status=$?
    [ "$status" != 77 ] || skip 'python3-xgboost or python3-sklearn is not installed'
    [ "$status" = 0 ]
}

@test "one against the rest is as good as scikit-learn's" { check ova; }

@test "soft labels are learnt as well as by XGBoost" { check entropy; }

@test "a soft label out of range is told with its row and value" {
    awk 'BEGIN { print "x,y"; for (i = 0; i < 100; i++) print i "," (i == 41 ? 1.5 : i / 100) }' >data.csv
    mkdir p
    printf 'task: {target: y, kind: regression}\ndata: {source: ../data.csv}\ntrain:\n  families: {gbdt: {objective: xentropy}}\n' >p/quern.yaml
    refused 3 '../data.csv row 42, column y: the target is 1.5: objective cross_entropy takes numbers from 0 to 1' -C p run
    sed -i 's/xentropy/gamma/' p/quern.yaml
    refused 3 '../data.csv row 1, column y: the target is 0: objective gamma takes numbers above 0' -C p run
    sed -i 's/gamma/ova/' p/quern.yaml
    refused 2 'p/quern.yaml line 4: train.families: objective multiclassova does not fit a regression task' -C p run
}

@test "initial scores: as XGBoost's base margin, online as offline" {
    check init_score
}

@test "initial scores of classes: as XGBoost's base margins, online as offline" {
    check init_classes
}

@test "initial scores that cannot be are told" {
    awk 'BEGIN { print "x,s,y"; for (i = 0; i < 100; i++) print i % 7 "," (i == 41 ? "" : i / 100) "," i % 5 }' >data.csv
    mkdir p
    printf 'task: {target: y, kind: regression}\ndata: {source: ../data.csv, init_score: s}\ntrain: {families: [gbdt]}\n' >p/quern.yaml
    refused 3 '../data.csv row 42, column s: an init_score must be a finite number' -C p run
    sed -i 's/,,/,0.5,/' data.csv
    sed -i 's/gbdt/linear/' p/quern.yaml
    refused 2 'p/quern.yaml line 3: train.families: linear knows no initial scores: leave it out, or data.init_score' -C p run
    sed -i 's/linear/gbdt/' p/quern.yaml
    echo 'features: [{columns: [s], transforms: [standard]}]' >>p/quern.yaml
    refused 2 'p/quern.yaml line 2: data.init_score: column s does not reach the learner as it is: it must not stand under `features`, and must hold more than one value' -C p run
    sed -i '/^features/d; s/kind: regression/kind: multiclass/' p/quern.yaml
    refused 2 'p/quern.yaml line 2: data.init_score: one number a row cannot be a score of each class: list a column for each; this task is multiclass' -C p run
    sed -i 's/init_score: s/init_score: [s, x]/' p/quern.yaml
    refused 2 "p/quern.yaml line 2: data.init_score: 2 columns for 5 classes: list one for each, from '0' to '4' as they sort" -C p run
    sed -i 's/kind: multiclass/kind: regression/' p/quern.yaml
    refused 2 'p/quern.yaml line 2: data.init_score: 2 columns are too many: a row of this regression task has one score' -C p run
    sed -i 's/init_score: .s, x./init_score: [y]/' p/quern.yaml
    refused 2 "p/quern.yaml line 2: data.init_score: 'y' is the target: it cannot be this too" -C p run
    sed -i 's/init_score: .y./init_score: z/' p/quern.yaml
    refused 2 "p/quern.yaml line 2: data.init_score: there is no column 'z'; did you mean 'x'?" -C p run
}

@test "the column of initial scores stays an input, splits nothing, and is refused where it has no place" {
    table 600 >data.csv
    project p worth "$(printf 'train: {families: {gbdt: {num_iterations: 15}}, calibrate: none}\nevaluate: {bootstrap: 0}')"
    sed -i 's/^data:/data:\n  init_score: price/' p/quern.yaml
    quern -q -C p run >/dev/null
    quern -q -C p predict p -i data.csv -c none -o batch.csv
    quern -C p models show p --json >m.json
    holds m.json "'price' in [i['name'] for i in d['manifest']['inputs']]"
    quern -C p export p --format json >trees.json
    holds trees.json "d['init_score'] == 'price' and 'price' not in [d['features'][n['feature']] for t in d['trees'] for n in t['nodes'] if 'feature' in n]"
    refused 2 "onnx has no place for an init_score, and the model adds 'price' to its scores" -C p export p --format onnx -o m.onnx
    quern -q -C p compress p -i data.csv --to-bytes 20KB -o small.qn
    quern -q predict small.qn -i data.csv -c none -o small.csv
}

@test "rows are put in order within queries as well as by XGBoost" { check rank; }

@test "a ranking that cannot be is told" {
    awk 'BEGIN { print "x,q,y,g"; for (i = 0; i < 200; i++) print i * 7 % 31 "," int(i / 5) "," i % 3 "," i % 7 }' >data.csv
    mkdir p
    write() { printf 'task: {target: y, kind: ranking%s}\ndata: {source: ../data.csv}\ntrain: {families: {gbdt: {num_iterations: 5}}}\n%s\n' "$1" "${2:-}" >p/quern.yaml; }
    write ''
    refused 2 'p/quern.yaml line 1: task.kind: a ranking needs task.query, the column that tells queries apart' -C p run
    write ', query: z'
    refused 2 "p/quern.yaml line 1: task.query: there is no column 'z'; did you mean 'x'?" -C p run
    write ', query: q' 'split: {method: random}'
    refused 2 'p/quern.yaml line 4: split.method: a ranking keeps the rows of a query together: leave this out' -C p run
    write ', query: q' 'split: {group: g}'
    refused 2 'p/quern.yaml line 4: split.group: rows of one query have different values of g: leave this out, and queries are kept whole' -C p run
    write ', query: q' 'sample: {rows: 50}'
    refused 2 'p/quern.yaml line 4: sample.rows: rows drawn at random are no whole queries: leave this out' -C p run
    write ', query: q'
    quern -q -C p run --json >out
    holds out "d['metric'] == 'ndcg@10' and d['split']['method'] == 'group'"
    sed -i 's/^x,q,y,g$/&\n3,5,0.5,1/' data.csv
    refused 3 '../data.csv row 1, column y: the label is 0.5: lambdarank takes whole numbers from 0 to 31' -C p run
    sed -i 's/^3,5,0.5,1/3,,1,1/' data.csv
    refused 3 '../data.csv row 1, column q: the query is missing' -C p run
    sed -i 's/^3,,1,1/3,5,1,1/; s/ranking, query: q/regression, query: q/' data.csv p/quern.yaml
    refused 2 'p/quern.yaml line 1: task.query: only a ranking has queries: add kind: ranking, or leave this out' -C p run
    sed -i 's/, query: q//; s/num_iterations: 5/objective: lambdarank/' p/quern.yaml
    refused 2 'p/quern.yaml line 3: train.families: objective lambdarank orders rows within queries: it needs task.kind ranking' -C p run
}

@test "a ranking by folds, with every family, and its report" {
    awk 'BEGIN { s = 5; print "x,q,y"; for (i = 0; i < 900; i++) { s = s * 16807 % 2147483647; print s % 1000 "," int(i / 9) "," int(s % 1000 / 334) } }' >data.csv
    mkdir p
    printf 'project: p\ntask: {target: y, kind: ranking, query: q}\ndata: {source: ../data.csv}\nsplit: {folds: 3}\ntrain: {metric: map}\n' >p/quern.yaml
    quern -q -C p run --json >out
    holds out "d['metric'] == 'map' and {r['family'] for r in d['leaderboard']} == {'gbdt', 'linear', 'prior', 'stump'}"
    holds out "d['metrics']['test']['map']['value'] > 0.95"
    grep -q 'In which order do the rows of one <q>q</q> come, by <q>y</q>?' p/.quern/runs/*/report.html
    quern -C p models show p --json >m.json
    holds m.json "'q' not in [i['name'] for i in d['manifest']['inputs']]"
}
