# Answers in every dialect have the bits of batch prediction: five models, sixty rows each, with gaps and words
# that were never seen.
load helper

setup_file() {
    local name
    export AIP_PREDICT_ROUTE=/from/vertex AIP_HEALTH_ROUTE=/from/vertex/health
    for name in income cover bikes spam fraud; do
        launch "$BATS_FILE_TMPDIR/$name" --model "$MODELS/$name.qn" --threads 1
        export "URL_$name=$URL"
    done
    export ALL_SERVERS="${SERVERS[*]}"
}

teardown_file() { kill $ALL_SERVERS; }

answers() { "$PY" "$BATS_TEST_DIRNAME/answers.py" "$1"; }

@test "plain: one row, many, by name, by place, as texts, with gaps" { answers plain; }
@test "Open Inference Protocol v2: a tensor for each column" { answers v2; }
@test "Open Inference Protocol v2: binary tensors, and one matrix of all inputs" { answers binary; }
@test "MLflow: four forms of JSON, with params" { answers mlflow; }
@test "SageMaker: CSV and JSON lines, in and out" { answers sagemaker; }
@test "TensorFlow Serving: instances and inputs, signatures, versions" { answers tf; }
@test "Vertex AI: the routes that its environment names" { answers vertex; }
