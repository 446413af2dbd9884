# The folders of tests/cases: each holds quern.yaml and data, and what `quern run` must say (expected_error,
# standard error as it is) and end with (expected_status). A file `command` holds other arguments than run.
load helper

@test "every folder of tests/cases fails in its own way" {
    local folder name got failed=0 arguments
    for folder in "$HERE"/../cases/*/; do
        name="$(basename "$folder")"
        cp -r "$folder" "$WORK/$name" && cd "$WORK/$name" || return 1
        arguments=run
        [ ! -f command ] || arguments="$(cat command)"
        got=0
        # shellcheck disable=SC2086 # the words of the command
        quern -q $arguments 2>"$WORK/err" >"$WORK/out" || got=$?
        if [ "$got" != "$(cat expected_status)" ] || ! diff -u expected_error "$WORK/err"; then
            echo "$name: status $got instead of $(cat expected_status)"
            failed=$((failed + 1))
        fi
        if [ -d .quern ] && ! { sound . && [ -z "$(ls -A .quern/tmp)" ]; }; then
            echo "$name: the workspace is not sound"
            failed=$((failed + 1))
        fi
        cd "$WORK" && rm -rf "$name"
    done
    [ "$failed" -eq 0 ]
}
