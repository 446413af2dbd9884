# What is refused, with which status and in which words (refusals.py has the table); tokens, origins, limits.
load helper

setup_file() {
    launch "$BATS_FILE_TMPDIR/income" --model "$MODELS/income.qn" --model "$MODELS/fraud.qn" --body-bytes 64KiB --threads 1
    export URL_income="$URL" ALL_SERVERS="${SERVERS[*]}"
}

teardown_file() { kill $ALL_SERVERS; }

refusals() { "$PY" "$BATS_TEST_DIRNAME/refusals.py" "$1"; }

@test "values: types, gaps, fields that lack, are too many or twice" { refusals VALUES; }
@test "bodies that are not JSON, or of the wrong shape" { refusals SHAPES; }
@test "each dialect has its own forms, and refuses others" { refusals DIALECTS; }
@test "CSV" { refusals csv; }
@test "JSON lines" { refusals lines; }
@test "415: content types, charsets, codings" { refusals types; }
@test "405 with Allow, OPTIONS, HEAD" { refusals methods; }
@test "a client's request id comes back when it is harmless" { refusals ids; }
@test "413 by length and by what comes in chunks, at the limit and far beyond" { refusals sizes; }
