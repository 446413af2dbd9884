# What every file of these tests loads. QUERN names the program under test:
#
#     QUERN=build/src/cli/quern bats tests/cli
#
# Every test works in a folder of its own ($WORK); data are made by `table`, small enough for seconds.

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
: "${QUERN:?set QUERN to the path of the program}"
QUERN="$(realpath "$QUERN")"
export QUERN LC_ALL=C.UTF-8
export OMP_WAIT_POLICY=passive # tests share the machine: threads that spin while they wait slow all of them
unset DATA

setup() {
    WORK="$(mktemp -d "${BATS_TMPDIR:-/tmp}/quern-cli.XXXXXX")"
    cd "$WORK" || return 1
    if declare -F prepare >/dev/null; then prepare; fi
}

teardown() {
    cd / || return 1
    if declare -F tidy >/dev/null; then tidy; fi
    rm -rf "$WORK"
}

quern() { "$QUERN" "$@"; }

# table N [SEED] [BETTER]: rows of a made-up shop with a class, a number and a kind to predict.
#   id,when,shop,colour,size,price,age,note,weight,churned,worth,kind
# Same arguments, same bytes. BETTER 1 makes the target depend on the columns more plainly.
table() {
    awk -v n="$1" -v seed="${2:-1}" -v better="${3:-0}" 'BEGIN {
        s = seed * 7919 % 2147483647
        print "id,when,shop,colour,size,price,age,note,weight,churned,worth,kind"
        split("red green blue grey", colours, " "); split("fine late broken nice slow", words, " ")
        for (i = 1; i <= n; i++) {
            for (k = 1; k <= 8; k++) { s = s * 16807 % 2147483647; u[k] = s / 2147483647 }
            c = colours[1 + int(u[1] * 4)]; size = int(u[2] * 50); price = int(u[3] * 10000) / 100
            age = u[4] < 0.1 ? "" : int(18 + u[4] * 60)
            note = words[1 + int(u[5] * 5)] " " words[1 + int(u[6] * 5)] " order"
            z = (c == "red" ? 1.2 : -0.4) + (size - 25) / 12 + (note ~ /broken/ ? 1 : -0.3)
            noise = better ? 0.05 : 0.3
            churned = 1 / (1 + exp(-2 * z)) * (1 - 2 * noise * 0.5) + noise * 0.5 > u[7] ? "yes" : "no"
            worth = int((50 + 10 * z + price / 5 + (u[8] - 0.5) * 10) * 100) / 100
            kind = z > 1 ? "gold" : z > -1 ? "silver" : "tin"
            if (u[8] < 0.1) kind = "tin"
            printf "%d,2024-%02d-%02d,s%d,%s,%d,%.2f,%s,%s,%d,%s,%.2f,%s\n", i, 1 + int((i - 1) * 12 / n),
                1 + i % 28, 1 + int(u[1] * 40), c, size, price, age, note, 1 + i % 3, churned, worth, kind
        }
    }'
}

QUICK='train:
  families: {gbdt: {num_iterations: 15, num_leaves: 7}, linear: {}}
evaluate: {bootstrap: 20, dependence: false}'

# project FOLDER TARGET [MORE YAML]: a project on data.csv of this folder that runs in a fraction of a second.
project() {
    mkdir -p "$1"
    local drop=() column
    for column in id churned worth kind; do [ "$column" = "$2" ] || drop+=("$column"); done
    {
        printf 'project: %s\ntask: {target: %s}\n' "${1##*/}" "$2"
        printf 'data:\n  source: ../data.csv\n  drop: [%s]\n' "$(IFS=,; echo "${drop[*]}")"
        [[ "${3:-}" == *train:* ]] || printf '%s\n' "$QUICK"
        printf '%s\n' "${3:-}"
    } >"$1/quern.yaml"
}

# refused STATUS MESSAGE COMMAND...: fails in this way, with exactly this on standard error (-q is given).
refused() {
    local want="$1" message="$2" got=0 said
    shift 2
    said="$("$QUERN" -q "$@" 2>&1 >/dev/null)" || got=$?
    if [ "$got" != "$want" ] || [ "$said" != "quern: $message" ]; then
        printf 'command: quern %s\nwanted:  %s quern: %s\ngot:     %s %s\n' "$*" "$want" "$message" "$got" "$said"
        return 1
    fi
}

# contains TEXT PART...: every part is in the text.
contains() {
    local text="$1" part
    shift
    for part; do
        if [[ "$text" != *"$part"* ]]; then
            printf 'not found: %s\nin: %s\n' "$part" "$text"
            return 1
        fi
    done
}

# json FILE EXPRESSION: what python makes of `d`, the one JSON document in the file.
json() {
    python3 -c 'import json, sys
d = json.load(open(sys.argv[1]))
v = eval(sys.argv[2])
print("true" if v is True else "false" if v is False else v)' "$1" "$2"
}

# holds FILE EXPRESSION: python finds it true of `d`.
holds() {
    [ "$(json "$1" "bool($2)")" = true ] || { echo "does not hold: $2"; json "$1" d; return 1; }
}

sound() { quern -q -C "$1" check >/dev/null; }

# The hash of a project's last model.
model_hash() { quern -C "$1" models show "$2" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["registry"]["hash"])'; }
