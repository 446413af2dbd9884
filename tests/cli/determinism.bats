# The same data, config and seed give the same model, byte for byte, over runs and numbers of threads; one row
# at a time and all at once give the same answers, digit for digit.
load helper

# same PROJECT: two fresh copies, run with 1 and 2 threads, hold models of one hash.
same() {
    local first second
    cp -r "$1" "$1-1" && cp -r "$1" "$1-2"
    quern -q -C "$1-1" --threads 1 run -o "$1-1.qn" >/dev/null
    quern -q -C "$1-2" --threads 2 run -o "$1-2.qn" >/dev/null
    first="$(model_hash "$1-1" "$1")" second="$(model_hash "$1-2" "$1")"
    [ "$first" = "$second" ] || { echo "$1: $first with one thread, $second with two"; return 1; }
    cmp "$1-1.qn" "$1-2.qn"
    quern -q -C "$1-2" run | grep -q 'byte for byte'
}

@test "the same model from two runs, with one and two threads: binary, both families" {
    table 1200 >data.csv
    for family in gbdt linear; do
        project "$family" churned "train: {families: {$family: {}}}
evaluate: {bootstrap: 10, dependence: false}"
        same "$family"
    done
}

@test "the same: many classes, a number" {
    table 1000 >data.csv
    for family in gbdt linear; do
        project "kind-$family" kind "train: {families: {$family: {}}}
evaluate: {bootstrap: 10, dependence: false}"
        project "worth-$family" worth "train: {families: {$family: {}}}
evaluate: {bootstrap: 10, dependence: false}"
        same "kind-$family"
        same "worth-$family"
    done
}

@test "the same: text, target encoding, down-sampling, folds, weights, bagging" {
    table 1000 >data.csv
    project text churned "features:
  - {columns: [note], transforms: [{text: {n_buckets: 64}}]}
  - {columns: [shop, colour], transforms: [{target: {smoothing: 10}}]}
  - {columns: [size, price, age], transforms: [{impute: {strategy: median, indicator: true}}, scale]}
train: {families: {gbdt: {num_iterations: 20, bagging_fraction: 0.7, bagging_freq: 1, feature_fraction: 0.8}, linear: {}}}
evaluate: {bootstrap: 10, dependence: false}"
    sed -i 's/^data:/data:\n  types: {note: text}/' text/quern.yaml
    same text
    project sampled churned "sample: {negatives: 0.4}
split: {folds: 3}
$QUICK"
    same sampled
    project weighted churned "sample: {weight: weight}
train: {families: {gbdt: {num_iterations: 20}}, class_weight: balanced, calibrate: isotonic}
evaluate: {bootstrap: 10}"
    same weighted
}

@test "the same: a split by time that stops by standard errors, folds by time" {
    table 1500 >data.csv
    for metric in log_loss pr_auc; do
        project "timed-$metric" churned "split: {folds: 2}
train: {metric: $metric, families: {gbdt: {num_leaves: 7}}}
evaluate: {bootstrap: 10, dependence: false}"
        sed -i 's/^data:/data:\n  time: when/' "timed-$metric/quern.yaml"
        same "timed-$metric"
    done
}

@test "another seed gives another model; --seed is the seed of the file" {
    table 600 >data.csv
    project p churned
    cp -r p q
    quern -q -C p run --seed 7 >/dev/null
    echo "seed: 7" >>q/quern.yaml
    quern -q -C q run >/dev/null
    [ "$(quern -C p models list --json | sha256sum)" != "" ]
    quern -q -C p models show p --json >a
    quern -q -C q models show p --json >b
    [ "$(json a 'd["registry"]["hash"]')" = "$(json b 'd["registry"]["hash"]')" ]
    quern -q -C q run --seed 8 >/dev/null
    quern -q -C q models show p:2 --json >c
    [ "$(json c 'd["registry"]["hash"]')" != "$(json b 'd["registry"]["hash"]')" ]
}

@test "one row at a time and all at once: equal to the last digit" {
    table 400 >data.csv
    { head -1 data.csv; tail -40 data.csv; } >rows.csv
    for target in churned kind worth; do
        for family in gbdt linear; do
            project "$target-$family" "$target" "train: {families: {$family: {num_iterations: 30}}}
evaluate: {bootstrap: 0}"
            [ "$family" = gbdt ] || sed -i 's/{num_iterations: 30}/{}/' "$target-$family/quern.yaml"
            quern -q -C "$target-$family" run -o "$WORK/m.qn" >/dev/null
            quern -q predict m.qn --input rows.csv --columns id >batch
            : >single
            local i
            for i in $(seq 2 9) 17 33; do
                { head -1 rows.csv; sed -n "${i}p" rows.csv; } >row.csv
                quern -q --threads 1 predict m.qn --input row.csv --columns id | tail -1 >>single
            done
            { sed -n '2,9p;17p;33p' batch; } | diff - single
        done
    done
}
