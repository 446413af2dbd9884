# The models of these tests: five examples, cut to seconds, trained once. MODELS is a folder of NAME/ (the project),
# NAME.qn and NAME.csv (rows to ask about: real ones, some with gaps, some with words never seen).

HERE_SUITE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

setup_suite() {
    : "${QUERN:?set QUERN to the path of the program}"
    QUERN="$(realpath "$QUERN")"
    export QUERN LC_ALL=C.UTF-8 OMP_WAIT_POLICY=passive
    unset DATA
    export MODELS="$BATS_SUITE_TMPDIR/models"
    mkdir "$MODELS"
    local name rows
    for name in income:1500 cover:1000 bikes:2000 spam:500 fraud:2500; do
        rows=${name#*:} name=${name%:*}
        train "$name" "$rows" || return 1
    done
    python3 "$HERE_SUITE/rows.py" "$MODELS"
}

train() {
    local from="$HERE_SUITE/../../examples/$1" to="$MODELS/$1" file
    mkdir "$to"
    for file in "$from"/*.csv.gz; do
        python3 "$HERE_SUITE/rows.py" --cut "$2" "$file" "$to/$(basename "$file" .gz)"
    done
    sed -e 's/\.csv\.gz/.csv/' -e '/^train:/,/^[a-z]*:$/d' "$from/quern.yaml" >"$to/quern.yaml"
    printf '%s\n' 'train: {families: {gbdt: {num_iterations: 20, num_leaves: 15}, linear: {}}}' \
        'evaluate: {bootstrap: 0, slices: false, importance: false, dependence: false}' >>"$to/quern.yaml"
    "$QUERN" -q -C "$to" run -o "$MODELS/$1.qn" --json >"$to/run.json"
}
