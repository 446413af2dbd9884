# Who may ask: tokens and scopes, pages of other origins, TLS; and what is written down of it.
load helper

# ask METHOD PATH CURL'S ARGUMENTS...: the status; the body is in `body`, the headers in `head`.
ask() { curl -sk -o body -D head -w '%{http_code}' -X "$1" "$URL$2" "${@:3}"; }

header() { grep -i "^$1: " head | tr -d '\r' | cut -d' ' -f2-; }

spam='{"text": "win a prize now"}'

@test "tokens: none, wrong, of each scope; taken back and given by SIGHUP" {
    "$QUERN" token shop --json >shop.json
    "$QUERN" token boss --scope admin --json >boss.json
    local shop boss as=()
    shop="$(json shop.json 'd["token"]')" boss="$(json boss.json 'd["token"]')"
    [ "$(stat -c %a tokens)" = 600 ]
    ! grep -qF -e "$shop" -e "$boss" tokens
    grep -qE '^shop predict [0-9a-f]{64}$' tokens
    serve --model "$MODELS/spam.qn" --tokens tokens --access-log log
    [ "$(ask POST /v1/models/spam/predict -d "$spam")" = 401 ]
    [ "$(header WWW-Authenticate)" = Bearer ]
    holds body 'd["error"]["status"] == 401 and "Authorization: Bearer" in d["error"]["message"]'
    for as in "Bearer quern_nonsense" "Basic $shop" "Bearer" "Bearer " "$shop" "Bearer ${shop}x" "Bearer ${shop%?}"; do
        [ "$(ask POST /v1/models/spam/predict -d "$spam" -H "Authorization: $as")" = 401 ]
    done
    [ "$(ask POST /v1/models/spam/predict -d "$spam" -H "Authorization: Bearer $shop")" = 200 ]
    [ "$(ask POST /v1/models/spam/predict -d "$spam" -H "authorization: bearer $boss")" = 200 ]
    for path in /metrics; do
        [ "$(ask GET $path)" = 401 ]
        [ "$(ask GET $path -H "Authorization: Bearer $shop")" = 403 ]
        [ "$(ask GET $path -H "Authorization: Bearer $boss")" = 200 ]
    done
    [ "$(ask POST /v2/repository/models/spam/unload -H "Authorization: Bearer $shop")" = 403 ]
    for path in /healthz /readyz /ping /health /version /v2/health/live /v2/health/ready / /execution-parameters; do
        [ "$(ask GET $path)" = 200 ]
    done
    for path in /v1/models /v2 /v2/models/spam /openapi.json /v1/models/spam/signature /v1/models/spam/metadata /v1/models/spam; do
        [ "$(ask GET $path)" = 401 ]
        [ "$(ask GET $path -H "Authorization: Bearer $shop")" = 200 ]
    done
    holds body 'd["name"] == "spam"'
    sed -i '/^shop/d' tokens
    kill -HUP "$SERVED"
    revoked() { [ "$(ask POST /v1/models/spam/predict -d "$spam" -H "Authorization: Bearer $shop")" = 401 ]; }
    eventually revoked
    [ "$(ask POST /v1/models/spam/predict -d "$spam" -H "Authorization: Bearer $boss")" = 200 ]
    # A broken file changes nothing, and is told.
    echo 'boss admin zzz' >tokens
    kill -HUP "$SERVED"
    eventually grep -q "reload: tokens row 1: not a line 'NAME SCOPE HASH'" serve.log
    [ "$(ask POST /v1/models/spam/predict -d "$spam" -H "Authorization: Bearer $boss")" = 200 ]
    # Nothing that was sent is in the log or in the complaints.
    ! grep -qF -e "$shop" -e "$boss" -e prize -e nonsense log serve.log
}

@test "a file of tokens that cannot be read, or that has none, is no start" {
    refused 1 "cannot open none: No such file or directory" serve --port 0 --model "$MODELS/spam.qn" --tokens none
    echo '# none yet' >tokens
    refused 2 "tokens has no token, so that nobody could ask anything: \`quern token NAME\` makes one" serve --port 0 \
        --model "$MODELS/spam.qn" --tokens tokens
    echo 'x root 00' >tokens
    refused 2 "tokens row 1: not a line 'NAME SCOPE HASH' as \`quern token\` makes them" serve --port 0 --model "$MODELS/spam.qn" --tokens tokens
    refused 2 "--scope must be one of: predict admin; not 'root'" token x --scope root
    refused 2 "a token's name has letters, digits, '.', '_' and '-' only, at most 64" token 'x y'
}

@test "pages of other origins: asked for by --cors, refused without, never for what is served" {
    serve --model "$MODELS/spam.qn" --cors https://shop.example
    [ "$(ask OPTIONS /v1/models/spam/predict -H 'Origin: https://shop.example' -H 'Access-Control-Request-Method: POST')" = 204 ]
    [ "$(header Access-Control-Allow-Origin)" = https://shop.example ]
    [ "$(header Vary)" = Origin ]
    contains "$(header Access-Control-Allow-Methods)" GET POST
    contains "$(header Access-Control-Allow-Headers)" Authorization Content-Type
    [ "$(ask POST /v1/models/spam/predict -d "$spam" -H 'Origin: https://shop.example')" = 200 ]
    [ "$(header Access-Control-Allow-Origin)" = https://shop.example ]
    contains "$(header Access-Control-Expose-Headers)" Quern-Model
    [ "$(ask POST /v1/models/spam/predict -d '{}' -H 'Origin: https://shop.example')" = 400 ]
    [ "$(header Access-Control-Allow-Origin)" = https://shop.example ]
    [ "$(ask POST /v2/repository/models/spam/unload -H 'Origin: https://evil.example')" = 403 ]
    [ "$(ask POST /v2/repository/models/spam/unload -H "Origin: $URL")" = 200 ]
    [ "$(ask POST /v1/models/spam/predict -d "$spam")" = 404 ]
    serve --model "$MODELS/spam.qn"
    [ "$(ask OPTIONS /v1/models/spam/predict -H 'Origin: https://shop.example')" = 204 ]
    [ "$(ask POST /v1/models/spam/predict -d "$spam" -H 'Origin: https://shop.example')" = 200 ]
    ! grep -qi access-control head
    [ "$(ask POST /v2/repository/models/spam/unload -H 'Origin: null')" = 403 ]
}

@test "TLS with a certificate of one's own" {
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
        -addext subjectAltName=IP:127.0.0.1,DNS:localhost 2>/dev/null
    serve --model "$MODELS/spam.qn" --tls-cert cert.pem --tls-key key.pem
    [ "${URL%%:*}" = https ]
    curl -s --cacert cert.pem "$URL/v1/models/spam/predict" -d "$spam" >secure.json
    holds secure.json 'd["prediction"] in ("ham", "spam")'
    curl -s --cacert cert.pem --http1.1 --tls-max 1.2 "$URL/readyz" | grep -q true
    "$PY" "$BATS_TEST_DIRNAME/protocol.py" "$URL" cert.pem
    ! curl -s "$URL/readyz"
    ! curl -s "http:${URL#https:}/readyz"
    # Requests in a row over one connection.
    [ "$(curl -s --cacert cert.pem "$URL/readyz" "$URL/readyz" -w '%{num_connects}' -o body -o body)" = 10 ]
    refused 2 "--tls-cert and --tls-key belong together: give both or none" serve --port 0 --model "$MODELS/spam.qn" --tls-cert cert.pem
    refused 1 "cannot open no.pem: No such file or directory" serve --port 0 --model "$MODELS/spam.qn" --tls-cert no.pem --tls-key key.pem
    refused 1 "the server cannot start: check that --tls-cert and --tls-key are PEM files that belong together" \
        serve --port 0 --model "$MODELS/spam.qn" --tls-cert key.pem --tls-key cert.pem
}

@test "the access log: a line of JSON for each request, rotated by SIGHUP" {
    serve --model "$MODELS/income.qn" --access-log log
    ask POST /v1/models/income/predict?secret=1 -d '{"age": "hush"}' -H 'X-Request-Id: id-7' -H 'Cookie: hush'
    ask GET '/quote"back\slash%0aline%c3%a4%ff'
    ask GET /readyz
    lines() { [ "$(wc -l <log)" = "$1" ]; }
    eventually lines 3
    "$PY" - log <<'END'
import datetime, json, sys
lines = [json.loads(line) for line in open(sys.argv[1], "rb")]
for line in lines:
    when = datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - when).total_seconds()) < 60
    assert line["client"] == "127.0.0.1" and line["us"] >= 0 and line["status"] in (200, 400, 404)
first, odd, last = lines
assert (first["method"], first["path"], first["status"]) == ("POST", "/v1/models/income/predict", 400), first
assert (first["request_id"], first["row"], first["field"], first["model"]) == ("id-7", 1, "age", "income"), first
assert first["bytes_in"] == len('{"age": "hush"}')
assert odd["path"].startswith('/quote"back\\slash\nline') and odd["status"] == 404, odd
assert last["status"] == 200 and "model" not in last
END
    ! grep -q -e hush -e secret log serve.log
    mv log log.1
    kill -HUP "$SERVED"
    eventually test -e log
    ask GET /readyz
    eventually lines 1
    [ "$(wc -l <log.1)" = 3 ]
    kill "$SERVED"
    wait "$SERVED"
    serve --model "$MODELS/income.qn" --access-log -
    ask GET /readyz
    eventually grep -q '"path": "/readyz", "status": 200' serve.log
}
