# The life of a server: start, versions that change under it, signals, the end.
load helper

# A project with two versions of one model that answer differently; each test has a copy.
setup_file() {
    cd "$BATS_FILE_TMPDIR"
    table 400 >data.csv
    project p churned
    quern -q -C p run --json >one.json
    sed -i 's/num_leaves: 7/num_leaves: 3/' p/quern.yaml
    quern -q -C p run --json >two.json
    quern -q -C p models promote p:1 2>/dev/null || true # unless it still is
}

prepare() { cp -R "$BATS_FILE_TMPDIR/data.csv" "$BATS_FILE_TMPDIR/p" .; }

ask() { curl -s -o body -D head -w '%{http_code}' "$URL$1" "${@:2}"; }
header() { grep -i "^$1: " head | tr -d '\r' | cut -d' ' -f2-; }

ROW='{"when": "2024-05-05", "shop": "s7", "colour": "red", "size": 20, "price": 10.5, "age": 30, "note": "nice", "weight": 1}'

# batch VERSION: what `quern predict` says to that row.
batch() {
    [ ! -e "batch.$1" ] || { cat "batch.$1"; return; }
    printf 'when,shop,colour,size,price,age,note,weight\n2024-05-05,s7,red,20,10.5,30,nice,1\n' >row.csv
    quern -q -C p predict "p:$1" --input row.csv --columns none | tail -1 | tee "batch.$1"
}

by() { ask /v1/models/p/predict -d "$ROW" >code && [ "$(header Quern-Model)" = "p:$1" ]; }

answered() { # answered VERSION: by that version, with its answer
    [ "$(ask "/v1/models/p/predict" -d "$ROW")" = 200 ] && [ "$(header Quern-Model)" = "p:$1" ] &&
        [ "$(json body 'str(d["prediction"]) + "," + str(d["probability"])')" = "$(batch "$1")" ] && holds body "d['version'] == $1"
}

@test "versions: promotion and rollback are picked up, other references stay where they are" {
    [ "$(batch 1)" != "$(batch 2)" ]
    serve -C p
    answered 1
    quern -q -C p models promote p:2
    eventually by 2
    answered 2
    grep -qx 'p is now p:2 (was p:1)' serve.log
    quern -q -C p models rollback p
    eventually by 1
    answered 1
    grep -qx 'p is now p:1 (was p:2)' serve.log
    [ "$(ask /v2/models/p/versions/1/infer -d '{}')" = 400 ]
    [ "$(ask /v2/models/p/versions/2/infer -d '{}')" = 404 ]
    # A version stays, an alias follows its own.
    quern -q -C p models promote p:2 --alias next
    launch fixed.log -C p --model p:1
    local fixed="$URL"
    launch next.log -C p --model p@next
    answered 2
    quern -q -C p models promote p:1 --alias next
    eventually by 1
    answered 1
    quern -q -C p models promote p:2
    eventually by 1
    answered 1
    URL="$fixed"
    answered 1
}

@test "versions: no request fails or mixes two while they change" {
    serve -C p --threads 2
    one="$(batch 1)" two="$(batch 2)" URL="$URL" "$PY" - <<'END' &
import collections, json, os, sys, time
import requests
want = {"p:1": os.environ["one"], "p:2": os.environ["two"]}
row = {"when": "2024-05-05", "shop": "s7", "colour": "red", "size": 20, "price": 10.5, "age": 30, "note": "nice", "weight": 1}
seen, session, end = collections.Counter(), requests.Session(), time.time() + 4
session.trust_env = False
while time.time() < end:
    answer = session.post(os.environ["URL"] + "/v1/models/p/predict", json=row)
    body = answer.json()
    by = answer.headers["Quern-Model"]
    assert answer.status_code == 200 and by == f"p:{body['version']}"
    assert f"{body['prediction']},{body['probability']}" == want[by], (body, want)
    seen[by] += 1
assert len(seen) == 2, seen
END
    local client=$! i
    for i in 2 1 2 1 2; do
        quern -q -C p models promote "p:$i"
        sleep 0.5
    done
    wait $client
}

@test "a version that is damaged is refused with a message, and the old one stays" {
    serve -C p
    local object
    object="p/.quern/objects/$(model_hash p p:2)"
    [ -f "$object" ] || object="$(find p/.quern/objects -name "*$(model_hash p p:2 | cut -c3-)*")"
    cp "$object" good
    chmod u+w "$object"
    printf 'damage' | dd of="$object" bs=1 seek=3000 conv=notrunc 2>/dev/null
    quern -q -C p models promote p:2
    eventually grep -q '^p stays p:1: ' serve.log
    answered 1
    [ "$(ask /readyz)" = 200 ]
    quern -q -C p models rollback p
    sleep 0.5
    cat good >"$object"
    quern -q -C p models promote p:2
    eventually by 2
    answered 2
    [ "$(grep -c stays serve.log)" = 1 ]
}

@test "a new champion joins; models are loaded and unloaded by name" {
    serve -C p
    quern -q -C p run --json >three.json
    sed -i 's/^project: p/project: q/' p/quern.yaml
    quern -q -C p run --json >other.json
    joined() { [ "$(ask /v1/models/q/predict -d "$ROW")" = 200 ]; }
    eventually joined
    [ "$(header Quern-Model)" = q:1 ]
    [ "$(ask /invocations -d '{}' -H 'Content-Type: application/json')" = 404 ]
    contains "$(cat body)" "several models are served (p:1, q:1)" "name one in the path"
    [ "$(ask /v2/repository/models/q/unload -X POST)" = 200 ]
    [ "$(ask /v1/models/q/predict -d "$ROW")" = 404 ]
    [ "$(ask /v2/repository/models/q/unload -X POST)" = 404 ]
    [ "$(ask /v2/repository/index -X POST)" = 200 ]
    holds body '[m["name"] for m in d] == ["p"]'
    [ "$(ask /v2/repository/models/q/load -X POST)" = 200 ]
    [ "$(ask /v1/models/q/predict -d "$ROW")" = 200 ]
    [ "$(ask /v2/repository/models/nope/load -X POST)" = 404 ]
}

@test "two servers on one workspace swap a version alike" {
    launch a.log -C p
    local a="$URL"
    launch b.log -C p
    answered 1
    quern -q -C p models promote p:2
    eventually by 2
    answered 2
    URL="$a"
    eventually by 2
    answered 2
}

@test "SIGTERM: not ready, no new predictions, those under way are answered, then it ends well" {
    serve --model "$MODELS/spam.qn" --drain-timeout 20s
    "$PY" "$BATS_TEST_DIRNAME/draining.py" "$URL" "$SERVED"
    wait "$SERVED"
    grep -qx draining serve.log
    # One that never comes whole holds it no longer than it may.
    serve --model "$MODELS/spam.qn" --drain-timeout 1s
    printf 'POST /v1/models/spam/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf' >half
    exec 5<>"/dev/tcp/127.0.0.1/${URL##*:}"
    cat half >&5
    sleep 0.3
    kill -TERM "$SERVED"
    wait "$SERVED"
    exec 5>&-
}

@test "HTTP as bytes: in a row, in pieces, in chunks, cut, wrong" {
    serve --model "$MODELS/spam.qn"
    "$PY" "$BATS_TEST_DIRNAME/protocol.py" "$URL"
    [ "$(curl -s "$URL/metrics" | awk '$1 == "quern_in_flight" { print $2 }')" = 0 ]
}

@test "slow senders get 408 or are shut, idle connections end, too many are told" {
    serve --model "$MODELS/spam.qn" --request-timeout 1s --idle-timeout 1s --in-flight 1
    "$PY" "$BATS_TEST_DIRNAME/slow.py" "$URL"
}

@test "a port that is taken, a name that is none, a host that is none" {
    serve --model "$MODELS/spam.qn"
    refused 1 "port ${URL##*:} of 127.0.0.1 is taken by another program: choose another --port" serve --model "$MODELS/spam.qn" --port "${URL##*:}"
    refused 2 "--port must be a whole number from 0 to 65535, not '65536'" serve --model "$MODELS/spam.qn" --port 65536
    run quern -q serve --model "$MODELS/spam.qn" --host no.such.host.invalid
    [ "$status" -eq 2 ]
    contains "$output" "--host no.such.host.invalid: "
    run quern -q serve --model nope.qn --port 0
    [ "$status" -eq 1 ]
    contains "$output" nope.qn
    mkdir empty
    refused 1 "there is no .qn file in the folder empty/" serve --model empty/ --port 0
    head -c 3000 "$MODELS/spam.qn" >cut.qn
    run quern -q serve --model cut.qn --port 0
    [ "$status" -eq 1 ]
    contains "$output" cut.qn
}

@test "the environment: every option has a variable, and an option beats it" {
    local options
    options="$(quern help serve | grep -oE '^ +(-[a-zA-Z], )?--[a-z-]+' | grep -oE -e '--[a-z-]+' | sort -u | tr '\n' ' ')"
    [ "$options" = "--access-log --body-bytes --connections --cors --directory --drain-timeout --extra-fields --help --host --idle-timeout --in-flight --json --model --port --quiet --request-timeout --seed --threads --tls-cert --tls-key --tokens " ] ||
        { echo "options: $options: test the new ones here"; false; }
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost 2>/dev/null
    quern -q token t --scope admin >token
    mkdir elsewhere
    QUERN_DIRECTORY=elsewhere run quern -q serve --port 0
    [ "$status" -eq 1 ]
    contains "$output" elsewhere
    export QUERN_HOST=127.0.0.2 QUERN_PORT=0 QUERN_MODEL="$MODELS/spam.qn,$MODELS/income.qn" QUERN_BODY_BYTES=2KB QUERN_CONNECTIONS=7 \
        QUERN_IN_FLIGHT=3 QUERN_REQUEST_TIMEOUT=5s QUERN_IDLE_TIMEOUT=5s QUERN_DRAIN_TIMEOUT=1s QUERN_EXTRA_FIELDS=refuse \
        QUERN_TLS_CERT=cert.pem QUERN_TLS_KEY=key.pem QUERN_TOKENS=tokens QUERN_CORS=https://a.example QUERN_ACCESS_LOG=log QUERN_THREADS=1
    serve
    [[ "$URL" == https://127.0.0.2:* ]]
    local auth=(-k -H "Authorization: Bearer $(cat token)")
    [ "$(ask /v1/models/spam/predict -d '{"text": "a"}' -k)" = 401 ]
    [ "$(ask /v1/models/spam/predict -d '{"text": "a"}' "${auth[@]}")" = 200 ]
    [ "$(header Access-Control-Allow-Origin)" = https://a.example ]
    [ "$(ask /v1/models/spam/predict -d '{"text": "a", "b": 1}' "${auth[@]}")" = 400 ]
    head -c 3000 /dev/zero >big
    [ "$(ask /v1/models/spam/predict --data-binary @big "${auth[@]}")" = 413 ]
    [ "$(ask /v1/models "${auth[@]}")" = 200 ]
    holds body '[m["model"] for m in d["models"]] == ["spam", "income"]'
    [ -s log ]
    launch option.log --host 127.0.0.3 --model "$MODELS/fraud.qn" --extra-fields ignore
    [[ "$URL" == https://127.0.0.3:* ]]
    [ "$(ask /v1/models "${auth[@]}")" = 200 ]
    holds body '[m["model"] for m in d["models"]] == ["fraud"]'
    for wrong in QUERN_PORT=x QUERN_BODY_BYTES=1 QUERN_IN_FLIGHT=0 QUERN_REQUEST_TIMEOUT=no QUERN_EXTRA_FIELDS=maybe QUERN_THREADS=0; do
        run env "$wrong" "$QUERN" -q serve
        [ "$status" -eq 2 ]
        contains "$output" "--$(echo "${wrong%%=*}" | sed 's/QUERN_//; s/_/-/g' | tr A-Z a-z)"
    done
}

@test "the environment of Vertex AI, SageMaker and Azure ML" {
    mkdir store
    cp "$MODELS/spam.qn" store/model.qn
    local free
    free="$("$PY" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')"
    export AIP_HTTP_PORT="$free" AIP_PREDICT_ROUTE=/v1/endpoints/7:predict AIP_HEALTH_ROUTE=/v1/endpoints/7 AIP_STORAGE_URI="$WORK/store"
    "$QUERN" serve --json >vertex.json 2>vertex.log 3>&- &
    SERVERS+=($!)
    eventually test -s vertex.json
    URL="http://127.0.0.1:$free"
    [ "$(ask /v1/endpoints/7)" = 200 ]
    [ "$(ask /v1/endpoints/7:predict -d '{"instances": [{"text": "a"}], "parameters": {"probabilities": true}}')" = 200 ]
    holds body 'set(d["predictions"][0]) == {"prediction", "probability"}'
    # Azure ML asks for other paths: the same two variables name them.
    unset AIP_HTTP_PORT
    AIP_PREDICT_ROUTE=/score AIP_HEALTH_ROUTE=/alive serve
    [ "$(ask /alive)" = 200 ]
    [ "$(ask /score -d '{"instances": [{"text": "a"}]}')" = 200 ]
    AIP_PREDICT_ROUTE='/{x' run quern -q serve --port 0
    [ "$status" -eq 2 ]
    contains "$output" "must be paths like /predict"
    unset AIP_PREDICT_ROUTE AIP_HEALTH_ROUTE
    SAGEMAKER_BATCH=true SAGEMAKER_MAX_PAYLOAD_IN_MB=1 serve
    head -c 1048577 /dev/zero >big
    [ "$(ask /invocations --data-binary @big -H 'Content-Type: application/json')" = 413 ]
    [ "$(ask /execution-parameters)" = 200 ]
    holds body 'd["MaxPayloadInMB"] == 1'
    free="$("$PY" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')"
    SAGEMAKER_BIND_TO_PORT="$free" "$QUERN" serve --json >sagemaker.json 2>sagemaker.log 3>&- &
    SERVERS+=($!)
    eventually test -s sagemaker.json
    [ "$(json sagemaker.json 'd["port"]')" = "$free" ]
}

@test "the line that is printed at the start works as it is, for every example" {
    local name line
    for name in income cover bikes spam fraud; do
        "$QUERN" serve --model "$MODELS/$name.qn" --port 0 >start 2>start.log 3>&- &
        SERVERS+=($!)
        eventually grep -q curl start
        line="$(grep curl start)"
        bash -c "$line" >body
        holds body "d['model'] == '$name' and d['prediction'] is not None"
    done
    # Names that need quoting, a server with tokens and TLS.
    cp "$MODELS/spam.qn" "it's a \"model\" & more.qn"
    quern -q token t >token
    "$QUERN" serve --model "it's a \"model\" & more.qn" --tokens tokens --port 0 >start 2>start.log 3>&- &
    SERVERS+=($!)
    eventually grep -q curl start
    TOKEN="$(cat token)" bash -c "$(grep curl start)" >body
    holds body "d['model'] == '''it's a \"model\" & more''' and d['prediction'] == 'ham'"
}
