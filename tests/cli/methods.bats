# The ways to split, sample, weigh, make features, choose and calibrate, from end to end.
load helper

prepare() { table 800 >data.csv; }

# done_with NAME TARGET YAML: runs, and leaves the summary in NAME.json.
done_with() {
    project "$1" "$2" "$3"
    quern -q -C "$1" run --json >"$1.json" 2>err || { cat err "$1.json"; return 1; }
}

@test "splits: stratified, random, time, group, folds, a test file" {
    done_with stratified churned "$QUICK"
    holds stratified.json "d['split']['method'] == 'stratified' and (d['split']['train'], d['split']['validate'], d['split']['test']) == (560, 80, 160)"
    done_with random churned "split: {method: random, test: 0.3, validate: 0.2}"
    holds random.json "d['split']['method'] == 'random' and d['split']['test'] == 240 and d['split']['validate'] == 160"
    project timed churned
    sed -i 's/^data:/data:\n  time: when/' timed/quern.yaml
    quern -q -C timed run --json >timed.json
    holds timed.json "d['split']['method'] == 'time'"
    done_with grouped churned "split: {method: group, group: shop}"
    holds grouped.json "d['split']['method'] == 'group'"
    quern -C grouped models show grouped --json >g.json
    holds g.json "'shop' not in [i['name'] for i in d['manifest']['inputs']]"
    done_with folded churned "split: {folds: 3}"
    holds folded.json "d['split']['test'] > 0"
    head -300 data.csv >test.csv
    project tested churned
    sed -i 's#^data:#data:\n  test: ../test.csv#' tested/quern.yaml
    quern -q -C tested run --json >tested.json
    holds tested.json "d['split']['test'] == 299"
}

@test "folds do not measure what they stopped by: noise is worth no more than the prior" {
    awk 'BEGIN { s = 11; print "a,b,c,y"; for (i = 0; i < 600; i++) { for (k = 1; k <= 4; k++) { s = s * 16807 % 2147483647; u[k] = s / 2147483647 }
        print u[1] "," u[2] "," u[3] "," (u[4] < 0.5 ? "no" : "yes") } }' >noise.csv
    mkdir noise
    printf 'task: {target: y}\ndata: {source: ../noise.csv}\nsplit: {folds: 5}\nevaluate: {bootstrap: 0}\n' >noise/quern.yaml
    quern -q -C noise run --json >noise.json 2>err
    holds noise.json "[f['folds']['mean'] for f in d['leaderboard'] if f['family'] == 'gbdt'][0] > [f['folds']['mean'] for f in d['leaderboard'] if f['family'] == 'prior'][0]"
}

@test "folds of plain numbers share their bins: what they measure is what folds of their own do" {
    cut -d, -f5,6,7,9,10 data.csv >numbers.csv
    mkdir plain
    printf 'task: {target: churned}\ndata: {source: ../numbers.csv}\nsplit: {folds: 4}\ntrain: {families: {gbdt: {num_iterations: 30, num_leaves: 7, early_stopping_round: 0}}}\nevaluate: {bootstrap: 0}\n' >plain/quern.yaml
    quern -q -C plain run --no-register --json -t 1 >one.json
    quern -q -C plain run --no-register --json -t 2 >two.json
    folds() { json "$1" "[f['folds'] for f in d['leaderboard'] if f['family'] == 'gbdt'][0]"; }
    [ "$(folds one.json)" = "$(folds two.json)" ]
    # the same with a text column of one value in every row but a few: features are fitted in every fold
    awk -F, -v OFS=, 'NR == 1 { print $0, "shelf" } NR > 1 { print $0, NR % 97 ? "a" : "b" }' numbers.csv >shelf.csv
    mkdir fitted
    sed 's/numbers.csv/shelf.csv/' plain/quern.yaml >fitted/quern.yaml
    quern -q -C fitted run --no-register --json >fitted.json
    awk -v a="$(json one.json "[f['folds']['mean'] for f in d['leaderboard'] if f['family'] == 'gbdt'][0]")" \
        -v b="$(json fitted.json "[f['folds']['mean'] for f in d['leaderboard'] if f['family'] == 'gbdt'][0]")" \
        'BEGIN { print a, b; exit !(a - b < 0.03 && b - a < 0.03) }'
}

@test "few validation rows do not say how long to boost: folds do" {
    # y is a coin (nothing to learn: rounds only add noise), or a threshold (each round brings its loss nearer to 0).
    rounds() {
        quern -q -C $1 run -o "$PWD/$1.qn" --seed $2 --no-register >/dev/null
        quern export $1.qn --format json -o $1.json >/dev/null
        json $1.json "len(d['trees'])"
    }
    for kind in coin step; do
        mkdir -p $kind
        awk -v kind=$kind 'BEGIN { s = 5; print "a,b,c,y"; for (i = 0; i < 200; i++) { for (k = 1; k <= 4; k++) { s = s * 16807 % 2147483647; u[k] = s / 2147483647 }
            print u[1] "," u[2] "," u[3] "," ((kind == "coin" ? u[4] : u[1]) < 0.5 ? "no" : "yes") } }' >$kind/data.csv
        printf 'task: {target: y}\ndata: {source: data.csv}\ntrain: {families: [gbdt]}\nevaluate: {bootstrap: 0, importance: false}\n' >$kind/quern.yaml
    done
    for seed in 1 2 3; do
        [ "$(rounds coin $seed)" -le 5 ]
        [ "$(rounds step $seed)" -ge 100 ]
    done
}

@test "few rows may be split into ten leaves" {
    mkdir few
    (echo x,y; for i in $(seq 1 120); do echo "$i,c$((i % 120 / 20))"; done) >few/data.csv
    for least in '' 'min_data_in_leaf: 20'; do
        printf 'task: {target: y}\ndata: {source: data.csv}\ntrain: {families: {gbdt: {%s}}}\nevaluate: {bootstrap: 0, importance: false}\n' "$least" >few/quern.yaml
        quern -q -C few run -o "$PWD/few.qn" --no-register >/dev/null
        quern export few.qn --format json -o few.json >/dev/null
        # 84 rows train, so 8 in a leaf; what is stated holds
        [ "$(json few.json "min(n['count'] for t in d['trees'] for n in t['nodes'] if 'count' in n) < 20")" = "$([ -n "$least" ] && echo false || echo true)" ]
    done
}

@test "boosting in a split by time: no evidence is no reason to stop at once" {
    # One burst of events to learn from, two unlike it to validate on: nobody knows which round is best.
    rounds() { json "$1" "[f['facts']['best_iteration'] for f in d['leaderboard'] if f['family'] == 'gbdt'][0]"; }
    local plain=0 careful=0
    for world in 5 6 7 8; do
        awk -v s=$world 'BEGIN { print "when,a,b,c,event"; for (i = 1; i <= 2000; i++) {
            for (k = 1; k <= 3; k++) { s = s * 16807 % 2147483647; u[k] = s / 2147483647 }
            learn = i > 800 && i <= 840; unlike = (i > 1300 && i <= 1330) || (i > 1500 && i <= 1530); late = i > 1800 && i <= 1850
            if (learn || late) u[1] += 0.5
            print i "," u[1] "," u[2] "," u[3] "," (learn || unlike || late) } }' >events.csv
        for se in 0 1; do
            mkdir -p se$se
            printf 'task: {target: event, positive: 1}\ndata: {source: ../events.csv, time: when}\nsplit: {method: time, test: 0.2, validate: 0.3}\n' >se$se/quern.yaml
            printf 'train: {metric: pr_auc, families: {gbdt: {early_stopping_se: %s}}}\nevaluate: {bootstrap: 0, dependence: false}\n' $se >>se$se/quern.yaml
            quern -q -C se$se run --json >se$se.json
        done
        plain=$((plain + $(rounds se0.json))) careful=$((careful + $(rounds se1.json)))
    done
    echo "rounds: $plain and $careful"
    [ "$careful" -gt $((2 * plain)) ]
}

@test "early stopping by several metrics: the first that has had its best ends it" {
    # accuracy is coarse and soon at its best; log_loss takes longer
    local how
    for how in '[log_loss]' '[accuracy, log_loss]' 'roc_auc'; do
        done_with "p${#how}" churned "train:
  early_stopping_metrics: $how
  families: {gbdt: {num_iterations: 300, early_stopping_round: 10, learning_rate: 0.05}}
split: {folds: 2}
evaluate: {bootstrap: 0}"
    done
    rounds() { json "$1" "[f['facts']['best_iteration'] for f in d['leaderboard'] if f['family'] == 'gbdt'][0]"; }
    [ "$(rounds p20.json)" -lt "$(rounds p10.json)" ]
    [ "$(rounds p7.json)" -gt 0 ]
    project bad churned 'train: {early_stopping_metrics: [rmse]}'
    ! quern -q -C bad run >out 2>err
    contains "$(cat err)" "train.early_stopping_metrics"
}

@test "data split: groups stay together, time runs forward" {
    project grouped churned "split: {method: group, group: shop}"
    quern -q -C grouped data split "$WORK/g" >/dev/null
    [ "$(cat g/*.csv | grep -vc '^id,')" -eq 800 ]
    local a b
    for a in train validate test; do
        awk -F, 'NR > 1 { print $3 }' g/$a.csv | sort -u >$a.shops
    done
    for b in train validate; do [ -z "$(comm -12 $b.shops test.shops)" ]; done
    [ -z "$(comm -12 train.shops validate.shops)" ]
    project timed churned
    sed -i 's/^data:/data:\n  time: when/' timed/quern.yaml
    quern -q -C timed data split "$WORK/t" >/dev/null
    [[ "$(awk -F, 'NR > 1 { print $2 }' t/train.csv | sort | tail -1)" < "$(awk -F, 'NR > 1 { print $2 }' t/validate.csv | sort | head -1)" ]]
    [[ "$(awk -F, 'NR > 1 { print $2 }' t/validate.csv | sort | tail -1)" < "$(awk -F, 'NR > 1 { print $2 }' t/test.csv | sort | head -1)" ]]
}

@test "negatives sampled down: probabilities still mean what they say" {
    awk 'BEGIN { s = 7; print "a,b,hit"; for (i = 0; i < 4000; i++) { s = s * 16807 % 2147483647; u = s / 2147483647
        s = s * 16807 % 2147483647; v = s / 2147483647; s = s * 16807 % 2147483647; w = s / 2147483647
        printf "%.4f,%.4f,%d\n", u, v, w < 0.15 * u * 2 * v } }' >hits.csv
    mkdir sampled
    printf 'task: {target: hit}\ndata: {source: ../hits.csv}\nsample: {negatives: 0.2}\n%s\n' 'train: {families: [linear], calibrate: none}
evaluate: {bootstrap: 0}' >sampled/quern.yaml
    quern -q -C sampled run >/dev/null
    local mean base
    mean="$(quern -q -C sampled predict sampled --input hits.csv -c none | awk -F, 'NR > 1 { s += $2 } END { print s / (NR - 1) }')"
    base="$(awk -F, 'NR > 1 { s += $3 } END { print s / (NR - 1) }' hits.csv)"
    awk -v m="$mean" -v b="$base" 'BEGIN { print "# mean " m ", base rate " b; exit !(m / b > 0.75 && m / b < 1.33) }'
}

@test "fewer rows, weights, balanced classes" {
    done_with few churned "sample: {rows: 300}"
    holds few.json "d['dataset']['rows'] == 300 and d['dataset']['sampled_from'] == 800"
    done_with drawn churned "sample: {rows: 300, weight: weight}"
    holds drawn.json "d['dataset']['rows'] == 300"
    done_with weighted churned "sample: {weight: weight}"
    quern -C weighted models show weighted --json >w.json
    holds w.json "'weight' not in [i['name'] for i in d['manifest']['inputs']]"
    done_with balanced kind "train: {families: {gbdt: {num_iterations: 15}}, class_weight: balanced}"
    holds balanced.json "d['task'] == 'multiclass'"
}

@test "features: a list with most transforms" {
    project f churned "features:
  - {columns: [size], transforms: [{impute: mean}, scale]}
  - {columns: [price], transforms: [log, {scale: robust}]}
  - {columns: [price], transforms: [{quantile: normal}]}
  - {columns: [age], transforms: [{impute: {strategy: median, indicator: true}}, {scale: minmax}]}
  - {columns: [age], transforms: [{impute: {strategy: constant, value: 40}}, {discretise: 5}, one_hot]}
  - {columns: [price, size], transforms: [power]}
  - {columns: [colour], transforms: [{one_hot: {min_count: 5}}]}
  - {columns: [colour], transforms: [ordinal]}
  - {columns: [shop], transforms: [{hash: 16}]}
  - {columns: [shop], transforms: [{target: {smoothing: 5}}]}
  - {columns: [shop], transforms: [frequency]}
  - {columns: [when], transforms: [date]}
  - {columns: [when], transforms: [cyclical]}
  - {columns: [note], transforms: [{text: {n_buckets: 32}}]}
  - {columns: [note], transforms: [text_stats]}
  - {cross: [colour, shop], transforms: [{hash: 32}]}
$QUICK"
    sed -i 's/^data:/data:\n  types: {note: text}/' f/quern.yaml
    quern -q -C f run >/dev/null
    quern -q -C f predict f --input data.csv -c none >all
    [ "$(grep -c -E '^(yes|no),0\.[0-9]+$' all)" -eq 800 ]
    { head -1 data.csv; sed -n 500p data.csv; } >one.csv
    [ "$(quern -q -C f predict f --input one.csv -c none | tail -1)" = "$(sed -n 500p all)" ]
}

@test "parameters reach the models; wrong ones are told" {
    done_with p churned 'train: {families: {gbdt: {num_leaves: 5, n_estimators: 12, eta: 0.2}, linear: {l1_ratio: 0.5}}}
evaluate: {bootstrap: 0}'
    holds p.json "next(r for r in d['leaderboard'] if r['family'] == 'gbdt')['params']['num_leaves'] == 5"
    project w churned 'train: {families: {gbdt: {num_leafs: 5}}}'
    refused 2 "w/quern.yaml line 6: train.families: family gbdt: unknown parameter 'num_leafs': did you mean 'num_leaves'?" -C w run
}

@test "the metric decides: a name, or money" {
    done_with auc churned "train: {families: {gbdt: {num_iterations: 15}, linear: {}}, metric: roc_auc}"
    holds auc.json "d['metric'] == 'roc_auc'"
    done_with money churned "train: {families: {gbdt: {num_iterations: 15}, linear: {}}, metric: value}
value: {currency: EUR, true_positive: price / 10, false_positive: -2, false_negative: -price / 20}"
    holds money.json "d['metric'] == 'value' and d['value']['per_row'] is not None and 0 <= d['value']['threshold']"
    run quern -q -C money run --seed 4
    contains "$output" "Worth EUR"
    quern -q -C money evaluate money --input data.csv --json --rounds 0 >e.json
    holds e.json "d['value']['currency'] == 'EUR' and d['value']['total'] is not None"
}

@test "calibration: none, platt, isotonic" {
    local kind
    for kind in none platt isotonic; do
        done_with "$kind" churned "train: {families: {gbdt: {num_iterations: 30}}, calibrate: $kind}
evaluate: {bootstrap: 0}"
        holds "$kind.json" "d['calibration']['kind'] == '$kind'"
    done
    # auto: steps for a rare class would cost more than they gain, so there are none.
    awk 'BEGIN { s = 3; print "a,b,y"; for (i = 0; i < 9000; i++) { for (k = 1; k <= 3; k++) { s = s * 16807 % 2147483647; u[k] = s / 2147483647 }
        print u[1] "," u[2] "," (u[3] < 0.06 * u[1] ? "yes" : "no") } }' >rare.csv
    mkdir rare
    printf 'task: {target: y}\ndata: {source: ../rare.csv}\nsplit: {validate: 0.3}\ntrain: {families: {gbdt: {num_iterations: 60, learning_rate: 1, lambda_l2: 0}}}\nevaluate: {bootstrap: 0, importance: false}\n' >rare/quern.yaml
    quern -q -C rare run --json >rare.json
    holds rare.json "d['calibration']['kind'] == 'platt'"
    done_with many kind "train: {families: {gbdt: {num_iterations: 10}}, calibrate: isotonic}"
    holds many.json "d['calibration']['kind'] == 'isotonic'"
}

@test "limits: a model too big is refused and told; the next best is taken" {
    done_with tight churned "train: {families: {gbdt: {num_iterations: 200, num_leaves: 31}, linear: {}}, limits: {model_bytes: 20KB}}
evaluate: {bootstrap: 0}"
    holds tight.json "d['model']['family'] == 'linear'"
    holds tight.json "'train.limits.model_bytes' in next(r for r in d['leaderboard'] if r['family'] == 'gbdt')['refused']"
    project none churned "train: {families: [linear], limits: {model_bytes: 100}}"
    run quern -q -C none run
    [ "$status" -eq 1 ]
    contains "$output" "no family keeps the limits: linear: its " "are above train.limits.model_bytes"
}

@test "a budget of time is kept" {
    done_with quick churned "train: {families: {gbdt: {num_iterations: 1000000}}, budget: 1s}
evaluate: {bootstrap: 0}"
    holds quick.json "d['timings']['train_s'] < 20"
}

@test "regression, classes by name, labels as they are written" {
    done_with worth worth "$QUICK"
    holds worth.json "d['task'] == 'regression' and d['metric'] == 'rmse' and d['metrics']['test']['r2']['value'] > 0"
    done_with kinds kind "$QUICK"
    holds kinds.json "d['task'] == 'multiclass'"
    sed 's/,yes,/,True,/; s/,no,/,False,/' data.csv >t.csv && mv t.csv data.csv
    done_with truth churned "$QUICK"
    [ "$(quern -q -C truth predict truth --input data.csv -c none | tail -n +2 | cut -d, -f1 | sort -u | tr '\n' ' ')" = "False True " ]
    quern -q -C truth evaluate truth --input data.csv --json --rounds 0 >e.json
    holds e.json "d['rows'] == 800"
}

@test "a query makes the table, and a glob of files is one source" {
    head -401 data.csv >part-1.csv
    { head -1 data.csv; tail -400 data.csv; } >part-2.csv
    project g churned
    sed -i "s#source: ../data.csv#source: ../part-*.csv\n  query: SELECT *, price / (1 + size) AS ratio FROM source WHERE price > 5#" g/quern.yaml
    quern -q -C g run --json >g.json
    holds g.json "700 < d['dataset']['rows'] < 800 and d['dataset']['columns'] == 13"
}

@test "names and labels that need care" {
    {
        printf '"a ""quoted"" one","with, comma",größe,SELECT,"x'"'"'; DROP TABLE source; --",%s,row\n' '"two
lines"'
        awk 'BEGIN { for (i = 0; i < 300; i++) {
            printf "%d,%d,%d,\"%s, x\",ö,", i * 7 % 31, i % 13, i % 5, (i % 3 ? "ä" : "b")
            printf "\"%s\",%d\n", (i * 5 % 7 > 3 ? "ja, gern" : "nein \"\"danke\"\""), i } }'
    } >data.csv
    mkdir p
    printf 'task: {target: "two\\nlines"}\ndata: {source: ../data.csv, drop: [row]}\n%s\n' "$QUICK" >p/quern.yaml
    quern -q -C p run >/dev/null
    quern -q -C p predict p --input data.csv >out.csv
    python3 - <<'END'
import csv
rows = list(csv.DictReader(open("out.csv", newline="")))
given = list(csv.DictReader(open("data.csv", newline="")))
assert len(rows) == 300
assert {r["prediction"] for r in rows} <= {"ja, gern", 'nein "danke"'}
for r, g in zip(rows, given):
    assert all(r[name] == g[name] for name in g), (r, g)
END
    sound p
    quern -C p models show p >/dev/null
    grep -q 'DROP TABLE' "$(quern -C p report)"
}

@test "more negatives than positives, one positive too few: said plainly" {
    awk 'BEGIN { print "a,b,y"; for (i = 0; i < 200; i++) print i % 17 "," i % 5 "," (i == 7 ? 1 : 0) }' >data.csv
    mkdir p
    printf 'task: {target: y}\ndata: {source: ../data.csv}\n%s\n' "$QUICK" >p/quern.yaml
    run quern -q -C p run
    [ "$status" -eq 3 ]
    contains "$output" "impossible split: the class of row 8 has 1 row only"
}
