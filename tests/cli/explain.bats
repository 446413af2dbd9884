# quern explain, and the way of a row in quern export.
load helper

check() { env -u LD_PRELOAD /usr/bin/python3 "$HERE/explain_check.py" "$@"; }

# fitted TARGET: a model of trees on data.csv, in m.qn.
fitted() {
    table 800 1 1 >data.csv
    project p "$1" "$QUICK"
    sed -i 's/, linear: {}//; s/num_iterations: 15/num_iterations: 40/' p/quern.yaml
    quern -q -C p run --no-register -o "$WORK/m.qn" >/dev/null
}

@test "base, contributions and pairs add up; three rows by default" {
    fitted churned
    quern -q explain m.qn -i data.csv --interactions --json >e.json
    holds e.json "len(d['rows']) == 3 and [r['row'] for r in d['rows']] == [1, 2, 3]"
    check sums e.json
    fitted kind
    quern -q explain m.qn -i data.csv --row 800 --class tin --json >e.json
    holds e.json "len(d['rows']) == 1 and d['rows'][0]['row'] == 800 and d['rows'][0]['output'] == 'tin'"
    quern -q predict m.qn -i data.csv -c none -o p.jsonl
    [ "$(json e.json "abs(d['rows'][0]['probability'] - float(__import__('json').loads(open('p.jsonl').read().splitlines()[-1])['probability_tin'])) < 1e-12")" = true ]
}

@test "pairs are those of XGBoost" {
    local status=0
    check xgboost || status=$?
    [ "$status" != 77 ] || skip 'python3-xgboost is not installed'
    [ "$status" = 0 ]
}

@test "dependence and curves are those of scikit-learn, by trees and by brute force" {
    local status=0
    check sklearn || status=$?
    [ "$status" != 77 ] || skip 'python3-sklearn is not installed'
    [ "$status" = 0 ]
}

@test "within its conditions a row gets the same bits" {
    local name
    for name in regression category; do
        quern -q import "$HERE/../foreign/$name.txt" -o m.qn
        check bounds m.qn "$HERE/../foreign/$name.csv"
    done
}

@test "the marked way leads to the leaves that make the score" {
    local name row
    for name in regression category forest; do
        quern -q import "$HERE/../foreign/$name.txt" -o m.qn
        for row in 1 7 40; do check marked m.qn "$HERE/../foreign/$name.csv" "$row"; done
    done
}

@test "what the model uses: shares of gain, and as many splits as the trees have" {
    fitted churned
    quern -q explain m.qn --json >e.json
    quern -q export m.qn --format json -o trees.json
    holds e.json "abs(sum(i['share'] for i in d['inputs']) - 1) < 1e-9"
    [ "$(json trees.json "sum('feature' in n for t in d['trees'] for n in t['nodes'])")" = "$(json e.json "sum(i['splits'] for i in d['inputs'])")" ]
    run quern -q explain m.qn
    contains "$output" 'share of gain' 'splits' 'colour'
}

@test "the report tells which columns work together" {
    table 800 1 1 >data.csv
    project p churned 'train: {families: [gbdt]}
evaluate: {bootstrap: 0}'
    quern -q -C p run --json >run.json
    quern -C p runs show last --json >shown.json
    local hash
    hash=$(json shown.json "[a['hash'] for a in d['artifacts'] if a['kind'] == 'document'][0]")
    cp "p/.quern/objects/${hash:0:2}/$hash" doc.json
    holds doc.json "0 < len(d['importance']['interactions']) <= 10 and all(i['mean_abs'] > 0 and len(i['features']) == 2 for i in d['importance']['interactions'])"
    grep -q 'What works together' p/.quern/runs/*/report.html
}

@test "told to people" {
    fitted churned
    run quern -q explain m.qn -i data.csv --row 5 --interactions --conditions
    [ "$status" -eq 0 ]
    contains "$output" 'Row 5: ' 'raw score' 'adds  input' 'together  inputs' 'the same while'
    run quern -q explain m.qn -i data.csv --dependence colour
    contains "$output" 'How yes follows colour' 'raw score, alone' 'red'
}

@test "a linear model adds its inputs up: no pairs, no trees" {
    table 300 >data.csv
    project p worth 'train: {families: [linear]}
evaluate: {bootstrap: 0, importance: false}'
    quern -q -C p run --no-register -o "$WORK/m.qn" >/dev/null
    quern -q explain m.qn -i data.csv --interactions --json >e.json
    holds e.json "all(r['interactions'] == [] for r in d['rows'])"
    quern -q explain m.qn -i data.csv --dependence price --json >e.json
    holds e.json "'raw' not in d and len(d['y']) == len(d['x'])"
    refused 2 "the model is of family linear, which has no boosted trees" explain m.qn -i data.csv --conditions
}

@test "what cannot be is told" {
    fitted churned
    refused 2 '--interactions needs --input FILE' explain m.qn --interactions
    refused 3 'data.csv: there is no row 801: it has 800' explain m.qn -i data.csv --row 801
    refused 2 "--row must be a whole number from 1 on, not '0'" explain m.qn -i data.csv --row 0
    refused 2 "the model has no input 'weather'" explain m.qn -i data.csv --dependence weather
    refused 2 '--class is for models of several classes; this one has one raw score' explain m.qn -i data.csv --class yes
    refused 2 '--dependence is about a column, --interactions and --conditions about rows: ask for one at a time' explain m.qn -i data.csv --dependence price --conditions
    refused 2 '--curves needs --dependence and --json' explain m.qn -i data.csv --dependence price --curves 3
    refused 2 '--row needs --input FILE' export m.qn --format dot --row 3
    refused 2 '--input marks the way of a row in json, dot and text only' export m.qn --format lightgbm --input data.csv
    head -1 data.csv >empty.csv
    refused 3 'empty.csv: there is no row 1: it has 0' explain m.qn -i empty.csv
}
