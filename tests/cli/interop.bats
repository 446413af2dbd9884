# quern import and quern export: models of other programs, and ours for them.
load helper

check() { env -u LD_PRELOAD /usr/bin/python3 "$HERE/interop_check.py" "$@"; }

@test "models of LightGBM score as it does" {
    local model name
    for model in "$HERE"/../foreign/*.txt; do
        name=$(basename "$model" .txt)
        quern -q import "$model" -o m.qn
        quern -q predict m.qn -i "$HERE/../foreign/$name.csv" -c none -o got.csv
        check same got.csv "$HERE/../foreign/$name.want" 1e-12
    done
}

@test "models of XGBoost score as it does" {
    local status=0
    check xgboost || status=$?
    [ "$status" != 77 ] || skip 'python3-xgboost is not installed'
    [ "$status" = 0 ]
}

@test "what goes out as LightGBM's text comes in again with the same scores" {
    local name
    for name in binary multiclass ova entropy rank poisson category; do
        quern -q import "$HERE/../foreign/$name.txt" -o m.qn
        quern -q export m.qn --format lightgbm -o again.txt
        quern -q import again.txt -o again.qn
        quern -q predict m.qn -i "$HERE/../foreign/$name.csv" -c none >want
        quern -q predict again.qn -i "$HERE/../foreign/$name.csv" -c none >got
        diff want got
    done
}

@test "names of target and classes" {
    quern -q import "$HERE/../foreign/binary.txt" -o m.qn --target churned --classes stays,goes
    quern -q predict m.qn -i "$HERE/../foreign/binary.csv" -c none | cut -d, -f1 | tail -n +2 | sort -u | diff - <(printf 'goes\nstays\n')
    quern models show m.qn | grep -q 'binary of churned, by gbdt'
    cp "$HERE/../foreign/binary.txt" .
    refused 2 'binary.txt: the model has 2 classes, and 3 were named' import binary.txt -o m.qn --classes a,b,c
}

@test "what cannot be is refused by name" {
    local model="$HERE/../foreign/regression.txt"
    refused 2 "'quern import' needs --output FILE" import "$model"
    echo 'hello' >no.txt
    refused 1 "no.txt: this is neither a LightGBM text model, which begins with 'tree', nor an XGBoost JSON model, which begins with '{'" import no.txt -o m.qn
    sed 's/^objective=.*/objective=regression sqrt/' "$model" >no.txt
    refused 2 "no.txt: LightGBM's reg_sqrt cannot be imported: a model here has no link that squares" import no.txt -o m.qn
    sed 's/^is_linear=0/is_linear=1/' "$model" >no.txt
    refused 2 "no.txt: LightGBM's linear_tree cannot be imported: leaves here are constant" import no.txt -o m.qn
    sed '0,/^left_child=/s/^left_child=[-0-9]*/left_child=0/' "$model" >no.txt
    run quern import no.txt -o m.qn
    [ "$status" -eq 1 ]
    [[ "$output" == *'the nodes of a tree do not form a tree' ]]
    [ ! -e m.qn ]
}

@test "trees to look at" {
    quern -q import "$HERE/../foreign/category.txt" -o m.qn
    quern export m.qn --format json >trees.json
    holds trees.json "d['format'] == 'quern trees 1' and len(d['trees']) == 4 and d['link'] == 'logit'"
    quern export m.qn --format text --tree 1 | grep -q '^tree 1, adds to 1$'
    [ "$(quern export m.qn --format dot | grep -c 'subgraph')" -eq 4 ]
    refused 2 'there is no tree 4: the model has 4, counted from 0' export m.qn --format text --tree 4
    refused 2 "onnx is written for inputs that are numbers, and 'd' is a category" export m.qn --format onnx -o m.onnx
}

@test "ONNX answers as the model does" {
    local folder="${ONNXRUNTIME:-$HERE/../../.deps/onnx}" name status
    for name in binary multiclass ova entropy regression poisson forest none; do
        quern -q import "$HERE/../foreign/$name.txt" -o m.qn
        quern -q export m.qn --format onnx -o m.onnx
        status=0
        node "$HERE/interop_onnx.mjs" m.onnx "$HERE/../foreign/$name.csv" "$folder" >want || status=$?
        [ "$status" != 77 ] && [ "$status" != 127 ] || skip 'onnxruntime-node is not installed: npm install --prefix .deps/onnx onnxruntime-node'
        [ "$status" = 0 ]
        quern -q predict m.qn -i "$HERE/../foreign/$name.csv" -c none -o got.csv
        check same got.csv want 1e-6
        if [ -e labels.txt ]; then
            cut -d, -f1 got.csv | tail -n +2 | diff - labels.txt
            rm labels.txt
        fi
    done
}
