# What every file of these tests loads, beside the helpers of tests/cli:
#
#     QUERN=build/src/cli/quern bats tests/serve
#
# serve ARGUMENTS...: starts a server on a free port; SERVED is its process, URL where it is. All end with the test.
# MODELS, made by setup_suite.bash, has a model of five examples.

load ../cli/helper
PY=/usr/bin/python3 # the one whose packages scripts/setup installs
export PYTHONPATH="$BATS_TEST_DIRNAME" PYTHONDONTWRITEBYTECODE=1 no_proxy='*'

# As in tests/cli, but by the Python that starts fast.
json() {
    "$PY" -c 'import json, sys
d = json.load(open(sys.argv[1]))
v = eval(sys.argv[2])
print("true" if v is True else "false" if v is False else v)' "$1" "$2"
}

SERVERS=()

# launch LOG ARGUMENTS...: starts one; sets SERVED and URL. Descriptor 3 is bats' own and must not stay open.
launch() {
    local log="$1" i
    shift
    "$QUERN" serve --port 0 --json "$@" >"$log.json" 2>"$log" 3>&- &
    SERVED=$!
    SERVERS+=("$SERVED")
    for i in $(seq 400); do
        [ -s "$log.json" ] && break
        kill -0 "$SERVED" 2>/dev/null || break
        sleep 0.01
    done
    URL="$(json "$log.json" 'd["url"]')" || { cat "$log"; return 1; }
}

serve() { launch "$WORK/serve.log" "$@"; }

tidy() {
    local pid
    for pid in "${SERVERS[@]}"; do kill -9 "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; done
    true
}

# eventually COMMAND...: it succeeds within seconds.
eventually() {
    local i
    for i in $(seq 100); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.05
    done
    "$@"
}
