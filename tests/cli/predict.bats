# quern predict and quern evaluate.
load helper

prepare() {
    table 500 >data.csv
    project p churned
    quern -q -C p run -o "$WORK/m.qn" --json >run.json
    quern -q predict m.qn --input data.csv --columns id >want
}

@test "the columns of the file in their order, then the prediction" {
    [ "$(quern -q predict m.qn --input data.csv | head -1)" = "$(head -1 data.csv),prediction,probability" ]
    [ "$(head -1 want)" = "id,prediction,probability" ]
    [ "$(wc -l <want)" -eq 501 ]
    [ "$(quern -q predict m.qn --input data.csv -c price,id | head -1)" = "price,id,prediction,probability" ]
    [ "$(quern -q predict m.qn --input data.csv -c none | head -1)" = "prediction,probability" ]
    cut -d, -f2,3 want | diff - <(quern -q predict m.qn --input data.csv --columns none)
    cut -d, -f2 want | tail -n +2 | sort -u | diff - <(printf 'no\nyes\n')
}

@test "columns in any order, extra ones or fewer: only what the model needs counts" {
    awk -F, -v OFS=, '{ print "x" NR, $9, $8, $7, $6, $5, $4, $3, $2, $1 }' data.csv | sed '1s/x1/extra/' >other.csv
    quern -q predict m.qn --input other.csv --columns id | cmp want -
    cut -d, -f3,4,6 data.csv >few.csv
    refused 3 "few.csv lacks columns that the model needs: 'when', 'size', 'age', 'note', 'weight'" predict m.qn --input few.csv
    refused 2 "--columns: data.csv has no column 'nope'" predict m.qn --input data.csv --columns id,nope
}

@test "every kind of file, in and out" {
    local kind
    for kind in csv tsv jsonl parquet csv.gz tsv.gz jsonl.gz csv.zst; do
        quern -q predict m.qn --input data.csv --output "out.$kind"
        [ -s "out.$kind" ]
        quern -q predict m.qn --input "out.$kind" --columns id >got
        cmp want got
    done
    zcat out.csv.gz | head -1 | grep -q '^id,when,'
    holds <(head -1 out.jsonl) "d['prediction'] in ('yes', 'no') and 0 < d['probability'] < 1"
    refused 1 "there is no folder 'nowhere' to write nowhere/x.csv in" predict m.qn --input data.csv --output nowhere/x.csv
    refused 2 "out.csv has a column 'prediction' already: name the columns to carry along with --columns" predict m.qn --input out.csv
}

@test "json: lines of objects on a screen, a summary beside a file" {
    quern -q predict m.qn --input data.csv --json >lines
    [ "$(wc -l <lines)" -eq 500 ]
    quern -q predict m.qn --input data.csv --json --output o.csv >sum.json
    holds sum.json "d == {'rows': 500, 'output': 'o.csv'}"
}

@test "--threshold moves the line, not the probability" {
    quern -q predict m.qn --input data.csv -c id --threshold 1 >high
    quern -q predict m.qn --input data.csv -c id --threshold 0 >low
    ! grep -q ',yes,' high
    ! grep -q ',no,' low
    diff <(cut -d, -f3 want) <(cut -d, -f3 high)
}

@test "missing values, unseen categories, columns without a value: an answer for each row" {
    awk -F, -v OFS=, 'NR > 1 { $5 = ""; $4 = "" } 1' data.csv >gaps.csv
    sed 's/,red,/,ultraviolet,/; s/,s[0-9]*,/,s999,/' data.csv >unseen.csv
    for file in gaps unseen; do
        quern -q predict m.qn --input $file.csv -c none >got
        [ "$(grep -c -E '^(yes|no),0\.[0-9]+$' got)" -eq 500 ]
    done
    sed '2s/^\(1,[^,]*,[^,]*,[^,]*\),[0-9]*,/\1,many,/' data.csv >bad.csv
    run quern -q predict m.qn --input bad.csv
    [ "$status" -eq 3 ]
    contains "$output" "bad.csv row 1, column size: 'many' is not a"
    head -1 data.csv >empty.csv
    [ "$(quern -q predict m.qn --input empty.csv -c none)" = "prediction,probability" ]
}

@test "a bad row late in the file leaves no output" {
    { cat data.csv; tail -1 data.csv | sed 's/^\([^,]*,[^,]*,[^,]*,[^,]*\),[0-9]*,/\1,many,/'; } >bad.csv
    run quern -q predict m.qn --input bad.csv --output out.csv
    [ "$status" -eq 3 ]
    contains "$output" "row 501, column size"
    [ ! -e out.csv ]
    [ -z "$(ls -A | grep -i tmp)" ]
}

@test "models are found by file, name, alias and version; what is not there is said" {
    local reference
    for reference in p p@champion p:1; do
        quern -q -C p predict $reference --input data.csv -c id | cmp want -
    done
    refused 1 "there is no model 'q': \`quern models list\` shows them" -C p predict q --input data.csv
    refused 1 "model 'p' has no version 9: \`quern models show p\`" -C p predict p:9 --input data.csv
    refused 1 "model 'p' has no alias 'prod': \`quern models show p\`" -C p predict p@prod --input data.csv
    run quern -q predict no.qn --input data.csv
    [ "$status" -eq 1 ]
    head -c 3000 m.qn >cut.qn
    run quern -q predict cut.qn --input data.csv
    [ "$status" -eq 1 ]
    contains "$output" "cut.qn"
    run quern -q predict data.csv --input data.csv
    [ "$status" -eq 1 ]
    refused 1 "there is no file 'no.csv'" predict m.qn --input no.csv
}

@test "evaluate on the rows that the run held back gives the run's numbers" {
    head -400 data.csv >train.csv
    { head -1 data.csv; tail -100 data.csv; } >test.csv
    project q churned
    sed -i 's#source: ../data.csv#source: ../train.csv\n  test: ../test.csv#' q/quern.yaml
    quern -q -C q run --json -o "$WORK/q.qn" >q.json
    quern -q evaluate q.qn --input test.csv --json --rounds 0 >e.json
    holds e.json "d['rows'] == 100 and d['task'] == 'binary'"
    python3 - <<'END'
import json
run, judged = json.load(open("q.json"))["metrics"]["test"], json.load(open("e.json"))["metrics"]["test"]
assert set(run) == set(judged), (run.keys(), judged.keys())
for name in run:
    assert run[name]["value"] == judged[name]["value"], (name, run[name], judged[name])
END
    contains "$(quern -q evaluate q.qn --input test.csv --rounds 20)" "100 rows" roc_auc log_loss
}

@test "evaluate: labels that are missing, unknown or not there" {
    sed '2,101s/,\(yes\|no\),/,,/' data.csv >some.csv
    quern -q evaluate m.qn --input some.csv --json --rounds 0 >e.json
    holds e.json "d['rows'] == 400 and d['target_missing'] == 100"
    sed '2,3s/,\(yes\|no\),/,perhaps,/' data.csv >odd.csv
    refused 3 "odd.csv row 1, column churned: 'perhaps' is none of the target's classes" evaluate m.qn --input odd.csv
    cut -d, -f1-9 data.csv >none.csv
    refused 3 "none.csv lacks columns that the model needs: 'churned'" evaluate m.qn --input none.csv
}

@test "classes and numbers" {
    project k kind
    project w worth
    quern -q -C k run >/dev/null
    quern -q -C w run >/dev/null
    [ "$(quern -q -C k predict k --input data.csv -c id | head -1)" = "id,prediction,probability_gold,probability_silver,probability_tin" ]
    quern -q -C k predict k --input data.csv -c none | awk -F, 'NR > 1 { s = $2 + $3 + $4; if (s < 0.999999 || s > 1.000001) exit 1 }'
    [ "$(quern -q -C w predict w --input data.csv -c id | head -1)" = "id,prediction" ]
    quern -q -C k evaluate k --input data.csv --json --rounds 0 | grep -q f1_macro
    quern -q -C w evaluate w --input data.csv --json --rounds 0 | grep -q rmse
}

@test "what meant missing in training means it for the model" {
    awk -F, -v OFS=, 'NR > 1 && $7 == "" { $7 = -999 } { print }' data.csv >odd.csv
    project odd churned
    sed -i 's|source: ../data.csv|source: ../odd.csv\n  missing: ["-999"]|' odd/quern.yaml
    quern -q -C odd run -o "$WORK/odd.qn" --json >odd.json
    quern -q predict odd.qn --input odd.csv --columns id >got
    cmp want got
    quern -q predict odd.qn --input data.csv --columns id | cmp want -
    quern -q evaluate odd.qn --input odd.csv --json >a
    quern -q evaluate m.qn --input data.csv --json >b
    [ "$(json a 'd["metrics"]')" = "$(json b 'd["metrics"]')" ]
}
