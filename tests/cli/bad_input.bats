# Bad input: every case ends with its own message, status 2 for the command line and quern.yaml, 3 for data.
# Cases that a folder can hold live in tests/cases: see golden.bats.
load helper

small() { # N: columns x,z,c,y
    awk -v n="$1" 'BEGIN { print "x,z,c,y"; for (i = 0; i < n; i++)
        print i * 7 % 31 "," i % 13 / 2 "," (i % 3 ? "a" : "b") "," (i * 5 % 7 > 3 ? "yes" : "no") }'
}

config() { printf 'task: {target: %s}\ndata: {source: d.csv}\nevaluate: {bootstrap: 10}\n%s\n' "$1" "${2:-}" >quern.yaml; }

@test "a column without any value works, with a warning" {
    small 200 | awk -F, 'NR == 1 { print "empty," $0; next } { print "," $0 }' >d.csv
    config y
    run quern -q run
    [ "$status" -eq 0 ]
    contains "$output" "warning: empty: has no value at all; drop it (data.drop)"
    quern -q predict "$(basename "$WORK")" --input d.csv --columns none | grep -q '^no,'
}

@test "NaN and infinite numbers are said to be there, and do no harm" {
    small 300 | awk -F, -v OFS=, 'NR == 5 { $2 = "NaN" } NR == 6 { $2 = "inf" } NR == 7 { $2 = "-Infinity" } 1' >d.csv
    config y
    run quern -q run
    [ "$status" -eq 0 ]
    contains "$output" "warning: z: 2 values are infinite"
    run quern -q predict "$(basename "$WORK")" --input d.csv --columns none
    [ "$status" -eq 0 ]
    [[ "$output" != *nan* && "$output" != *inf* ]]
}

@test "a field beyond the limit" {
    { small 100; head -c 17000000 /dev/zero | tr '\0' a; echo ",1,a,yes"; } >d.csv
    config y
    refused 3 "d.csv row 101: it is longer than the limit of 16 MiB for one row (or a quote does not end)" run
}

@test "a folder that cannot be written" {
    [ "$(id -u)" -ne 0 ] || command -v setpriv >/dev/null || skip "root, and no setpriv to become somebody else"
    small 200 >d.csv
    config y
    chmod 755 "$WORK"
    mkdir locked && mv d.csv quern.yaml locked && chmod 555 locked
    local as=()
    [ "$(id -u)" -ne 0 ] || as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    "${as[@]}" test -x "$QUERN" || skip "the program cannot be reached by another user"
    run "${as[@]}" "$QUERN" -q -C locked run
    chmod 755 locked
    [ "$status" -eq 1 ]
    contains "$output" "locked/.quern" "Permission denied"
    [ ! -e locked/.quern ]
}

@test "no room left on the disk: said, nothing broken, and it works again with room" {
    [ "$(id -u)" -eq 0 ] || skip "needs root for a small tmpfs"
    mkdir disk
    mount -t tmpfs -o size=1m tmpfs disk 2>/dev/null || skip "no tmpfs can be mounted here"
    tidy() { umount "$WORK/disk"; }
    awk 'BEGIN { srand(3); print "x,y"; for (i = 0; i < 150000; i++) print rand() "," (rand() > 0.5) }' >d.csv
    printf 'task: {target: y}\ndata: {source: ../d.csv}\ntrain: {families: [linear]}\n' >disk/quern.yaml
    run quern -q -C disk run
    [ "$status" -eq 1 ]
    contains "$output" "No space left on device"
    quern -q -C disk check
    [ -z "$(ls -A disk/.quern/tmp)" ]
    mount -o remount,size=100m disk
    quern -q -C disk run >/dev/null
    quern -q -C disk check
}

@test "files larger than allowed: said, nothing broken, and it works again without the limit" {
    small 20000 >d.csv
    config y 'train: {families: [linear]}'
    run bash -c 'ulimit -f 100; "$QUERN" -q run'
    [ "$status" -eq 1 ]
    contains "$output" "cannot begin a run" "check the rights of its folder and the free space"
    quern -q run >/dev/null
    quern -q check
}

@test "a closed standard output ends the program quietly" {
    local k
    for k in "help config" "help parameters" "help man"; do
        quern $k 2>err | head -1 >/dev/null || true
        [ ! -s err ]
    done
    run bash -c '"$QUERN" help >&-'
    [ "$status" -eq 1 ]
    contains "$output" "cannot write standard output"
}

@test "a full device as standard output is an error" {
    [ -w /dev/full ] || skip "no /dev/full"
    run bash -c '"$QUERN" help 2>&1 >/dev/full'
    [ "$status" -eq 1 ]
    contains "$output" "cannot write standard output: No space left on device"
}

@test "the command line: unknown words, wrong numbers, too much and too little" {
    refused 2 "unknown command 'rnu': did you mean 'quern run'?" rnu
    refused 2 "unknown command 'models lsit': did you mean 'quern models list'?" models lsit
    refused 2 "'quern models' needs one more word (list, show, promote, rollback, diff, history): see 'quern help models'" models
    refused 2 "unknown command 'modles': did you mean 'quern models'?" modles
    refused 2 "unknown option --bogus: see 'quern help run'" run --bogus
    refused 2 "unknown option --thread: did you mean --threads?" run --thread 2
    refused 2 "--threads must be a whole number from 1 to 1024, not '0'" --threads 0 run
    refused 2 "--threads must be a whole number from 1 to 1024, not 'two'" run -t two
    refused 2 "--threads needs a value: --threads N" run --threads
    refused 2 "--seed must be a whole number from 0 to 9223372036854775807, not '-1'" --seed -1 run
    refused 2 "--quiet takes no value" run --quiet=3
    refused 2 "'quern run' takes no argument 'extra': quern run" run extra
    refused 2 "'quern predict' needs MODEL: quern predict MODEL" predict
    refused 2 "'quern predict' needs --input FILE" predict m
    refused 2 "'quern evaluate' needs --input FILE" evaluate m
    refused 2 "--threshold must be a number from 0 to 1, not '2'" predict m --input f --threshold 2
    refused 2 "--rounds must be a whole number from 0 to 100000, not 'x'" evaluate m --input f --rounds x
    refused 2 "promote needs NAME:VERSION, not 'x': 'quern models list' shows them" models promote x
    refused 2 "no help on 'tea': 'quern help' lists the commands" help tea
    refused 2 "--kind must be one of: binary multiclass regression; not 'x'" new p --kind x
}

@test "errors as JSON when asked" {
    for k in "--json run --bogus" "--json -C nowhere run" "-C nowhere --json runs list" "--json rnu"; do
        quern $k >out 2>err || true
        [ ! -s err ]
        holds out "list(d) == ['error'] and d['error']['code'] and d['error']['message']"
    done
    small 300 | awk -F, -v OFS=, 'NR == 102 { $2 = "abc" } 1' >d.csv
    config y
    quern -q --json run >out || [ $? -eq 3 ]
    holds out "d['error']['code'] == 'data' and d['error']['row'] == 101 and d['error']['column'] == 'z'"
}

@test "no project, no workspace, nothing there" {
    refused 1 "there is no nowhere/quern.yaml: make a project with 'quern new NAME --source FILE --target COLUMN'" -C nowhere run
    refused 1 "there is no workspace in . yet: \`quern run\` in that folder makes one" runs list
    refused 1 "there is no workspace in nowhere yet: \`quern run\` in that folder makes one" -C nowhere check
    refused 1 "there is no file 'no.csv'" data profile no.csv
}

@test "ten thousand columns" {
    awk 'BEGIN { printf "y"; for (j = 1; j < 10000; j++) printf ",c%d", j; print ""
        for (i = 0; i < 120; i++) { printf i % 2 ? "a" : "b"; for (j = 1; j < 10000; j++) printf ",%d", (i * j + i % 2) % 17; print "" } }' >d.csv
    printf 'task: {target: y}\ndata: {source: d.csv}\n%s\n' 'train:
  families: {gbdt: {num_iterations: 3, num_leaves: 4}}
evaluate: {bootstrap: 0, slices: false, importance: false, dependence: false}' >quern.yaml
    run timeout 100 "$QUERN" -q run
    [ "$status" -eq 0 ]
    contains "$output" "<- chosen"
}
