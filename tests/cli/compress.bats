# quern compress: the curve, what is chosen on it, and that the smaller model is a model like any other.
load helper

prepare() {
    table 900 >data.csv
    table 600 2 >rows.csv
}

# model NAME TARGET: trees deeper than the data are worth, in $NAME.qn.
model() {
    project "$1" "$2" 'train: {families: {gbdt: {num_iterations: 40, num_leaves: 15, min_data_in_leaf: 5, early_stopping_round: 0}}}
evaluate: {bootstrap: 20, dependence: false}'
    quern -q -C "$1" run -o "$WORK/$1.qn" >/dev/null
}

same() { cmp "$1" "$2"; }

@test "the curve falls in bytes, and the smallest that keeps the loss is chosen" {
    model p churned
    quern -q compress p.qn --input rows.csv --output small.qn --max-loss 1% --json >out
    holds out "set(d) == {'from', 'rows', 'metric', 'curve', 'chosen', 'changed', 'output'}"
    holds out "all(set(p) == {'bytes', 'trees', 'leaves', 'leaf_values', 'row_us', 'metric', 'loss', 'loss_se', 'chosen'} for p in d['curve'])"
    holds out "all(a['bytes'] > b['bytes'] for a, b in zip(d['curve'], d['curve'][1:]))"
    holds out "all(a['loss'] + a['loss_se'] < b['loss'] + b['loss_se'] for a, b in zip(d['curve'][1:], d['curve'][2:]))"
    holds out "d['chosen'] == min((p for p in d['curve'] if p['loss'] + p['loss_se'] <= 0.01), key=lambda p: p['bytes'])"
    holds out "[p['chosen'] for p in d['curve']].count(True) == 1 and d['chosen']['chosen'] and d['changed']"
    holds out "d['rows'] == {'prune': 300, 'judge': 300} and d['metric'] == 'log_loss'"
    holds out "d['curve'][0]['bytes'] == d['from']['bytes'] == $(stat -c %s p.qn)"
    holds out "d['chosen']['bytes'] == $(stat -c %s small.qn) < d['from']['bytes']"
    holds out "d['curve'][-1]['leaves'] == d['curve'][-1]['trees'] == 0"
    # every other labelled row judges: the metric is that of `quern evaluate` on them
    awk 'NR == 1 || (NR - 2) % 2 == 1' rows.csv >judge.csv
    quern -q evaluate small.qn --input judge.csv --rounds 0 --json >judged
    [ "$(json out "'%.12g' % d['chosen']['metric']")" = "$(json judged "'%.12g' % d['metrics']['test']['log_loss']['value']")" ]
    # what the file tells, and that it is a model
    quern -q models show small.qn --json >shown
    holds shown "d['manifest']['about']['compressed']['from'] == '$(json out "d['from']['hash']")'"
    holds shown "d['manifest']['about']['compressed']['from'] == '$(model_hash p p)'"
    holds shown "d['manifest']['about']['compressed']['leaves'] == $(json out "d['chosen']['leaves']")"
    quern -q predict small.qn --input rows.csv --output a.csv
    [ "$(wc -l <a.csv)" -eq 601 ]
    # the same bytes for any number of threads
    for n in 1 2 3; do
        quern -q compress p.qn --input rows.csv --output "again$n.qn" --max-loss 1% -t "$n" >said
        same small.qn "again$n.qn"
    done
    contains "$(<said)" "us a row" log_loss "<- chosen" "Pruned by 300 rows, judged by 300 others." "% of the bytes"
}

@test "the best that fits, and what is possible when nothing does" {
    model p churned
    quern -q compress p.qn -i rows.csv -o fits.qn --to-bytes 12KB --json >out
    holds out "d['chosen']['bytes'] == $(stat -c %s fits.qn) <= 12000"
    holds out "d['chosen'] == min((p for p in d['curve'] if p['bytes'] <= 12000), key=lambda p: p['loss'] + p['loss_se'])"
    least="$(json out "d['curve'][-1]['bytes']")"
    refused 2 "$((least - 1)) bytes are too few: the smallest that this model can be is $least" \
        compress p.qn -i rows.csv -o no.qn --to-bytes $((least - 1))
    quern -q compress p.qn -i rows.csv -o least.qn --to-bytes "$least" --json >out
    holds out "d['chosen']['bytes'] == $least and d['chosen']['trees'] == 0"
    quern -q predict least.qn -i rows.csv -o a.csv
    [ "$(cut -d, -f14 a.csv | sort -u | wc -l)" -eq 2 ] # a header and one answer
    run quern -q compress p.qn -i rows.csv -o no.qn --to-bytes "$least" --max-loss 0.1%
    [ "$status" -eq 2 ]
    contains "$output" "the best model of at most $least bytes has a log_loss worse by" "more than --max-loss allows"
    [ ! -e no.qn ]
}

@test "without rows only what is twice goes, and no answer changes" {
    model p churned
    quern -q compress p.qn -o merged.qn --json >out
    holds out "d['metric'] is None and all(p['metric'] is p['loss'] is p['loss_se'] is None for p in d['curve'])"
    quern -q predict p.qn -i rows.csv -o a.csv
    quern -q predict merged.qn -i rows.csv -o b.csv
    same a.csv b.csv
    contains "$(quern -q compress p.qn -o merged.qn)" bytes trees leaves
    run quern -q compress p.qn -o no.qn --to-bytes 5KB
    [ "$status" -eq 2 ]
    contains "$output" "5000 bytes are too few: the smallest that this model can be without --input is"
}

@test "values of leaves in fewer bytes: a smaller file, nearly the same answers, read as it was written" {
    local form
    model p churned
    quern -q predict p.qn -i rows.csv -c none -o p.csv
    for form in float16 uint8; do
        quern -q compress p.qn -o $form.qn --leaf-values $form --json >out
        holds out "d['chosen']['leaf_values'] == '$form' and d['chosen']['leaves'] > 100 and d['chosen']['bytes'] == $(stat -c %s $form.qn)"
        quern -q predict $form.qn -i rows.csv -c none -o $form.csv
        python3 - p.csv $form.csv $form <<'END'
import csv, sys
a, b = ([float(r["probability"]) for r in csv.DictReader(open(p))] for p in sys.argv[1:3])
most = max(abs(x - y) for x, y in zip(a, b))
assert 0 < most < {"float16": 5e-4, "uint8": 1e-2}[sys.argv[3]], most
END
        quern -q compress $form.qn -o same.qn --json >again # what is twice is gone already
        holds again "not d['changed'] or d['chosen']['leaf_values'] == 'float64'"
        same same.qn $form.qn
        quern -q explain $form.qn -i rows.csv >/dev/null
        quern -q export $form.qn --format text >/dev/null
    done
    [ "$(stat -c %s uint8.qn)" -lt "$(stat -c %s float16.qn)" ]
    [ "$(stat -c %s float16.qn)" -lt "$(stat -c %s p.qn)" ]
    # with rows to judge by, any of them may be on the curve; without, answers stay as they are
    quern -q compress p.qn -i rows.csv -o x.qn --leaf-values float64 --json >only
    holds only "all(p['leaf_values'] == 'float64' for p in d['curve'])"
    quern -q compress p.qn -i rows.csv -o x.qn --json >all
    holds all "any(p['leaf_values'] != 'float64' for p in d['curve'])"
    refused 2 "--leaf-values must be one of: auto float64 float16 uint8; not 'int4'" compress p.qn -o x.qn --leaf-values int4
}

@test "classes and numbers" {
    model k kind
    quern -q compress k.qn -i rows.csv -o ks.qn --json >out
    holds out "d['metric'] == 'log_loss' and d['chosen']['loss'] <= 0.001 and d['chosen']['trees'] % 3 == 0"
    quern -q evaluate ks.qn -i rows.csv --rounds 0 >/dev/null
    model w worth
    quern -q compress w.qn -i rows.csv -o ws.qn --json >out
    holds out "d['metric'] == 'rmse' and d['chosen']['loss'] <= 0.001"
    quern -q evaluate ws.qn -i rows.csv --rounds 0 >/dev/null
}

@test "registered as a challenger" {
    model p churned
    contains "$(quern -q -C p compress p -i rows.csv -o small.qn --max-loss 2% --register p --alias challenger)" \
        "Registered p version 2 as challenger"
    quern -q -C p models list --json >m.json
    holds m.json "[m['aliases'] for m in sorted(d['models'], key=lambda m: m['version'])] == [['champion'], ['challenger']]"
    quern -q -C p models show p@challenger --json >shown
    holds shown "d['registry']['about']['compressed']['from'] == '$(model_hash p p:1)'"
    sound p
    quern -q -C p predict p@challenger -i rows.csv -o a.csv
    quern -q predict small.qn -i rows.csv -o b.csv
    same a.csv b.csv
    quern -q -C p models show p:2 >/dev/null
    quern -q -C p models diff p:1 p:2 >/dev/null
}

@test "an example: income" {
    cp "$HERE"/../../examples/income/*.csv.gz .
    cat >quern.yaml <<'END'
project: income
task: {target: income, positive: ">50K"}
data: {source: adult_train.csv.gz}
train: {families: {gbdt: {num_iterations: 60, early_stopping_round: 0}}}
evaluate: {bootstrap: 20, dependence: false}
END
    quern -q run -o m.qn --no-register >/dev/null
    quern -q compress m.qn -i adult_test.csv.gz -o small.qn --max-loss 1% --json >out
    holds out "d['changed'] and d['chosen']['loss'] + d['chosen']['loss_se'] <= 0.01 and d['chosen']['bytes'] < 0.8 * d['from']['bytes']"
    # the test rows are worth the same by both, to about the loss that was allowed
    quern -q evaluate m.qn -i adult_test.csv.gz --rounds 0 --json >before
    quern -q evaluate small.qn -i adult_test.csv.gz --rounds 0 --json >after
    loss() { json "$1" "d['metrics']['test']['log_loss']['value']"; }
    python3 -c "assert $(loss after) <= 1.01 * $(loss before)"
}

@test "bad input to compress" {
    project l churned 'train: {families: {linear: {}}}
evaluate: {bootstrap: 20, dependence: false}'
    quern -q -C l run -o "$WORK/l.qn" >/dev/null
    refused 2 "a model of family linear has no trees to prune: only gbdt has" compress l.qn -i rows.csv -o x.qn
    model p churned
    refused 2 "'quern compress' needs --output FILE" compress p.qn -i rows.csv
    refused 2 "--output must end in .qn, not 'x.csv'" compress p.qn -i rows.csv -o x.csv
    refused 2 "--to-bytes must be a size such as 200KB, not 'small'" compress p.qn -i rows.csv -o x.qn --to-bytes small
    refused 2 "--max-loss must be a share such as 0.1% or 0.001, not 'much%'" compress p.qn -i rows.csv -o x.qn --max-loss much%
    refused 2 "--max-loss must be a share such as 0.1% or 0.001, not '-1'" compress p.qn -i rows.csv -o x.qn --max-loss=-1
    refused 2 "--max-loss needs --input FILE: without labelled rows nothing is lost" compress p.qn -o x.qn --max-loss 1%
    refused 2 "--alias needs --register NAME" compress p.qn -i rows.csv -o x.qn --alias challenger
    cut -d, -f1-9 rows.csv >bare.csv
    refused 3 "bare.csv lacks columns that the model needs: 'churned'" compress p.qn -i bare.csv -o x.qn
    awk -F, -v OFS=, 'NR > 1 { $10 = "" } 1' rows.csv >unlabelled.csv
    refused 3 "unlabelled.csv has no row with a churned" compress p.qn -i unlabelled.csv -o x.qn
    head -21 rows.csv >few.csv
    refused 3 "few.csv has 20 rows with a churned: compressing needs at least 30, better thousands" compress p.qn -i few.csv -o x.qn
    [ ! -e x.qn ]
}

@test "rankings: whole queries prune and judge, by NDCG" {
    awk 'BEGIN { s = 5; print "x,z,q,y"; for (i = 0; i < 3000; i++) { s = s * 16807 % 2147483647; a = s % 1000; s = s * 16807 % 2147483647; b = s % 100
        s = s * 16807 % 2147483647; print a "," b ",query " int(i / 12) "," int((a + 4 * (b > 50) * b + s % 400) / 360) } }' >all.csv
    awk -F, 'NR == 1 || substr($3, 7) + 0 < 150' all.csv >ranked.csv
    awk -F, 'NR == 1 || substr($3, 7) + 0 >= 150' all.csv >others.csv
    mkdir r
    printf 'project: r\ntask: {target: y, kind: ranking, query: q}\ndata: {source: ../ranked.csv}\ntrain: {families: {gbdt: {num_iterations: 60, num_leaves: 15, early_stopping_round: 0}}}\nevaluate: {bootstrap: 0, importance: false, dependence: false}\n' >r/quern.yaml
    quern -q -C r run -o r.qn >/dev/null
    quern -q compress r.qn -i others.csv -o small.qn --max-loss 2% --json >out
    holds out "d['metric'] == 'ndcg@10' and sum(d['rows'].values()) == 1200 and min(d['rows'].values()) > 300"
    holds out "d['changed'] and d['chosen']['bytes'] < 0.8 * d['from']['bytes'] and d['chosen']['loss'] + d['chosen']['loss_se'] <= 0.02"
    holds out "d['curve'][-1]['leaves'] == 0 and d['curve'][-1]['loss'] > 0.05"
    # the queries that judge, judged by the program itself: those of the smaller model are among all
    quern -q evaluate small.qn -i others.csv --rounds 0 --json >judged
    holds judged "abs(d['metrics']['test']['ndcg@10']['value'] - $(json out "d['chosen']['metric']")) < 0.03"
    quern -q compress r.qn -i others.csv -o again.qn --max-loss 2% -t 1 >/dev/null
    same small.qn again.qn
    quern -q compress r.qn -o merged.qn >/dev/null # without rows only what is twice goes
    cut -d, -f1,2,4 others.csv >bare.csv
    refused 3 "bare.csv lacks columns that the model needs: 'q'" compress r.qn -i bare.csv -o x.qn
    awk -F, 'NR == 1 || substr($3, 7) + 0 < 154' others.csv >few.csv
    quern -q compress r.qn -i few.csv -o x.qn 2>err && return 1
    contains "$(<err)" "compressing needs at least 5 of each, better hundreds"
    sed -i '2s/query 150//' others.csv
    refused 3 'others.csv row 1, column q: the query is missing' compress r.qn -i others.csv -o x.qn
}
