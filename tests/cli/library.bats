# libquern as others get it: installed, found by pkg-config, linked from C and C++.
load helper

option() { # option NAME: of the build
    meson introspect --buildoptions "$BUILD" |
        python3 -c 'import json, sys; print([o["value"] for o in json.load(sys.stdin) if o["name"] == sys.argv[1]][0])' "$1"
}

setup_file() {
    export BUILD="$(cd "$(dirname "$QUERN")/../.." && pwd)" SOURCES="$HERE/../../examples/c" ROOT="$BATS_FILE_TMPDIR/root"
    [ -f "$BUILD/build.ninja" ] || return 0
    meson install -C "$BUILD" --no-rebuild --quiet --tags devel,runtime --destdir "$ROOT"
    LIB="$ROOT$(pkg-config --variable=libdir "$(find "$ROOT" -name quern.pc)")"
    # a build with sanitizers needs them in the programs that link it
    SANITIZE="$(option b_sanitize)"
    [ "$SANITIZE" = none ] && SANITIZE= || SANITIZE="-fsanitize=$SANITIZE"
    export LIB SANITIZE LD_LIBRARY_PATH="$LIB" PKG_CONFIG_SYSROOT_DIR="$ROOT" PKG_CONFIG_PATH="$LIB/pkgconfig"
    cd "$BATS_FILE_TMPDIR"
    for program in hello batch arrow train; do
        # shellcheck disable=SC2046
        cc -std=c11 -Wall -Wextra -Wpedantic -Werror $SANITIZE "$SOURCES/$program.c" -o "$program" $(pkg-config --cflags --libs quern)
    done
    # shellcheck disable=SC2046
    c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror $SANITIZE "$SOURCES/signature.cc" -o signature $(pkg-config --cflags --libs quern)
}

prepare() {
    [ -f "$BUILD/build.ninja" ] || skip "the program is not in its build folder"
    cp "$BATS_FILE_TMPDIR"/{hello,batch,arrow,train,signature} .
    table 400 >data.csv
}

@test "the installed library answers as quern predict does" {
    project p churned
    quern -q -C p run -o "$WORK/m.qn" --json >run.json
    quern -q predict m.qn --input data.csv --columns none --output want.jsonl
    # a row, all of them, one missing: JSON
    python3 - <<'PYTHON'
import csv, json, subprocess
rows = list(csv.DictReader(open("data.csv")))
want = [json.loads(line) for line in open("want.jsonl")]
def ask(rows):
    return json.loads(subprocess.run(["./hello", "m.qn", json.dumps(rows)], check=True, capture_output=True).stdout)
assert ask(rows) == want
assert ask(rows[5]) == want[5]
PYTHON
    [ "$(./hello m.qn '{}' 2>&1 || true)" = "hello: row 1: missing: when, shop, colour, size, price, age, note, weight (send null where a value is not known)" ]
    [ "$(./hello nothing.qn '{}' 2>&1 || true)" = "hello: cannot open nothing.qn: No such file or directory" ]
    ./signature m.qn | head -4 >got
    printf 'binary of churned by %s\nwhen: time\nshop: category\ncolour: category\n' "$(json run.json 'd["model"]["family"]')" | diff - got
    # a column of texts: Arrow
    printf 'when,shop,colour,size,price,age,note,weight\n,,red,,,,,\n,,?,,,,,\n,,mauve,,,,,\n' >few.csv
    quern -q predict m.qn --input few.csv --columns none | cut -d, -f2 | tail -n +2 >want
    ./arrow m.qn colour red '?' mauve | python3 -c 'for line in __import__("sys").stdin: print(float(line))' >got
    python3 -c 'assert [float(x) for x in open("want")] == [float(x) for x in open("got")]'
}

@test "rows of numbers over threads" {
    mkdir n
    printf 'task: {target: worth}\ndata: {source: ../data.csv, drop: [id, when, shop, colour, note, churned, kind]}\n%s\n' "$QUICK" >n/quern.yaml
    quern -q -C n run -o "$WORK/m.qn" --json >run.json
    quern -q predict m.qn --input data.csv --columns none | tail -n +2 >want
    ./signature m.qn | tail -n +2 | cut -d: -f1 | diff - <(printf 'size\nprice\nage\nweight\n')
    awk -F, 'NR > 1 { print $5, $6, $7 == "" ? "nan" : $7, $9 }' data.csv >rows
    for threads in 1 2 0; do
        ./batch m.qn "$threads" <rows >got
        python3 -c 'assert [float(x) for x in open("want")] == [float(x) for x in open("got")]'
    done
    echo '1.5 1 1 1' | ./batch m.qn 1 2>&1 | grep -Fx "batch: row 1, column size: '1.5' is not a whole number"
    echo '1 1 1' | ./batch m.qn 1 2>&1 | grep -Fx "batch: 4 numbers per row are wanted"
}

@test "a model trained by a program is one to every command" {
    awk 'BEGIN { s = 3; for (i = 0; i < 4000; i++) { for (k = 0; k < 5; k++) { s = s * 16807 % 2147483647; u[k] = s / 2147483647 }
        print u[0], (u[1] < 0.1 ? "nan" : u[1]), u[2], 3 * u[0] + (u[2] > 0.5) + u[3] + u[4] } }' >rows
    ./train 3 9 lopsided.qn <rows | grep -Fx 'lopsided.qn: trained on 4000 rows'
    ./train 3 1 even.qn <rows
    (echo f0,f1,f2,y; tr ' ' , <rows | sed 's/nan//') >rows.csv
    for model in lopsided even; do quern -q predict $model.qn -i rows.csv -c y -o $model.csv; done
    # expectiles: the share of the distance below that is above is the cost; noise is about 1 +- 0.4
    python3 - <<'PYTHON'
import csv
def gaps(path):
    return [float(row["y"]) - float(row["prediction"]) for row in csv.DictReader(open(path))]
def share(gaps):
    return sum(g for g in gaps if g > 0) / -sum(g for g in gaps if g < 0)
even, lopsided = share(gaps("even.csv")), share(gaps("lopsided.csv"))
assert 0.97 < even < 1.03, even
assert 0.97 < lopsided * 9 < 1.03, lopsided
PYTHON
    quern models show lopsided.qn | grep -q 'regression of target, by gbdt'
    # made smaller by the loss of its task
    refused 3 "rows.csv lacks columns that the model needs: 'target'" compress lopsided.qn -i rows.csv -o small.qn
    sed '1s/y$/target/' rows.csv >labelled.csv
    quern -q compress lopsided.qn -i labelled.csv --max-loss 50% -o small.qn
    [ "$(stat -c %s small.qn)" -lt "$(stat -c %s lopsided.qn)" ]
    ./train 3 1 x.qn </dev/null 2>&1 | grep -Fx 'train: out of memory, or no rows'
}

@test "only the names of quern.h are to be seen, and nothing heavy is linked" {
    grep -oE '^QN_API .*|^ +[a-z0-9_ *]*\(' "$SOURCES/../../include/quern.h" | grep -oE 'qn_[a-z0-9_]+\(' | tr -d '(' | sort -u >declared
    nm -D --defined-only "$LIB/libquern.so" | awk '{ print $3 }' | sort >shown
    diff declared shown
    # asan's own names come with a build that has it
    nm -g --defined-only "$LIB/libquern.a" | awk 'NF == 3 { print $3 }' | grep -v '^__.*san' | sort >shown
    diff declared shown
    [ "$(readlink "$LIB/libquern.so")" = libquern.so.0.1 ]
    readelf -d "$LIB/libquern.so" | grep -q 'SONAME.*\[libquern\.so\.0\.1\]'
    ! readelf -d "$LIB/libquern.so" | grep NEEDED | grep -E 'duckdb|sqlite|yaml|gnutls|sodium|libz|curl'
    ! grep -qa libduckdb "$LIB/libquern.so"
}

@test "the static library alone makes a program" {
    # shellcheck disable=SC2046
    cc $SANITIZE "$SOURCES/hello.c" -o hello-static $(pkg-config --cflags quern) "$LIB/libquern.a" $(pkg-config --libs-only-l --static quern | sed 's/-lquern//')
    project p churned
    quern -q -C p run -o "$WORK/m.qn" --json >run.json
    row='{"when": "2024-01-02", "shop": "s1", "colour": "red", "size": 5, "price": 1.5, "age": null, "note": "fine", "weight": 1}'
    [ "$(./hello-static m.qn "$row")" = "$(./hello m.qn "$row")" ]
    ! ldd hello-static | grep libquern
}

@test "the line in quern.h that compiles its example does" {
    sed -n '/^ \*     #include <quern.h>/,/^ \*     }/p' "$SOURCES/../../include/quern.h" | sed 's|^ \* \{0,1\}||' >hello.c
    grep -q qn_predict_once hello.c
    # shellcheck disable=SC2046
    cc $SANITIZE hello.c -o a.out $(pkg-config --cflags --libs quern)
    ./a.out 2>&1 | grep -F "cannot open fraud.qn"
}
