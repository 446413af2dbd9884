# What stands around a server: scrapers, documents, proxies, containers.
load helper

@test "/metrics is Prometheus text to the letter, and its counts are right" {
    serve --model "$MODELS/spam.qn"
    "$PY" "$BATS_TEST_DIRNAME/metrics.py" "$URL"
}

@test "/openapi.json is OpenAPI 3.1, tells of every route, and its examples work" {
    AIP_PREDICT_ROUTE=/from/vertex AIP_HEALTH_ROUTE=/from/vertex/health serve --model "$MODELS/income.qn" --model "$MODELS/cover.qn" \
        --model "$MODELS/bikes.qn" --model "$MODELS/spam.qn" --model "$MODELS/fraud.qn"
    "$PY" "$BATS_TEST_DIRNAME/openapi.py" "$URL"
}

@test "the page at / is one document that may reach this server only" {
    serve --model "$MODELS/spam.qn"
    curl -s -D head "$URL/" >page
    grep -qi '^content-type: text/html; charset=utf-8' head
    head -1 page | grep -qi '<!doctype html>'
    contains "$(cat page)" "Content-Security-Policy" "default-src 'none'" "connect-src 'self'"
    ! grep -qE '(src|href)="(https?:)?//' page
}

# The configuration that docs/SERVING.md shows, on ports of ours.
@test "behind nginx: kept connections, its id, bodies up to the limit" {
    serve --model "$MODELS/spam.qn" --access-log log
    local port
    port="$("$PY" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')"
    sed -n '/^```nginx$/,/^```$/p' "$BATS_TEST_DIRNAME/../../docs/SERVING.md" | grep -v '^```' |
        sed "s/127.0.0.1:8080/${URL#http://}/; s/listen 80;/listen 127.0.0.1:$port;/" >site.conf
    grep -q proxy_pass site.conf
    cat >nginx.conf <<END
daemon off;
$([ "$(id -u)" != 0 ] || echo 'user root;')
pid $WORK/nginx.pid;
error_log $WORK/error.log;
events {}
http {
    access_log off;
    client_body_temp_path $WORK/body; proxy_temp_path $WORK/proxy; fastcgi_temp_path $WORK/f; uwsgi_temp_path $WORK/u; scgi_temp_path $WORK/s;
    include $WORK/site.conf;
}
END
    /usr/sbin/nginx -p "$WORK" -c "$WORK/nginx.conf" -e "$WORK/error.log" 3>&- &
    SERVERS+=($!)
    local behind="http://127.0.0.1:$port"
    eventually curl -sf "$behind/readyz"
    for i in $(seq 20); do curl -sf "$behind/v1/models/spam/predict" -d '{"text": "a"}' -o answer -D head; done
    cmp answer <(curl -sf "$URL/v1/models/spam/predict" -d '{"text": "a"}')
    grep -qi '^Quern-Model: spam' head
    grep -qiE '^X-Request-Id: [0-9a-f]{32}' head
    grep -qE '"request_id": "[0-9a-f]{32}"' log
    # nginx keeps its connections: 20 requests came over a few.
    [ "$(curl -s "$URL/metrics" | awk '$1 == "quern_connections" { print $2 <= 4 }')" = 1 ]
    head -c 5000000 /dev/zero | tr '\0' ' ' >big
    printf '{"text": "a"}' >>big
    curl -sf "$behind/v1/models/spam/predict" --data-binary @big | cmp answer -
    [ "$(curl -s -o body -w '%{http_code}' "$behind/v1/models/spam/predict" -d '{"text": 1')" = 400 ]
    kill "$SERVED"
    wait "$SERVED"
    [ "$(curl -s -o body -w '%{http_code}' "$behind/readyz")" = 502 ]
    kill "$(cat nginx.pid)"
}

@test "the commands of docs/SERVING.md say what the page prints" {
    serve --model "$MODELS/spam.qn" --model "$MODELS/income.qn" --threads 2
    "$PY" "$BATS_TEST_DIRNAME/docs.py" "$BATS_TEST_DIRNAME/../../docs/SERVING.md" "$URL"
}

@test "docs/SERVING.md names every metric, option of the environment, and status" {
    serve --model "$MODELS/spam.qn"
    local page word
    page="$(cat "$BATS_TEST_DIRNAME/../../docs/SERVING.md")"
    for word in $(curl -s "$URL/metrics" | awk '/^# TYPE/ { print $3 }') $(curl -s "$URL/metrics" | grep -oE 'kind="[a-z_]+"' | cut -d'"' -f2) \
        $(grep -oE 'getenv\("[A-Z_]+"\)' "$BATS_TEST_DIRNAME/../../src/cli/cmd_serve.c" | cut -d'"' -f2 | grep -v QUERN_) 401 403 404 405 408 413 415 429 503; do
        contains "$page" "$word"
    done
}

@test "container: manifests parse, fit together, and their probes are answered" {
    serve --model "$MODELS/spam.qn"
    "$PY" "$BATS_TEST_DIRNAME/image.py" check "$URL" "$QUERN"
}

# No daemon is needed: a folder of exactly the files that the image's packages bring, as its user.
@test "container: the image's files are enough, as its user, with its health check" {
    [ "$(id -u)" = 0 ] || skip "chroot is for root"
    ! ldd "$QUERN" | grep -q -e lib.san -e 'not found' || skip "a sanitizer's build needs more"
    local image="$WORK/image" user free address
    "$PY" "$BATS_TEST_DIRNAME/image.py" make "$image" "$QUERN"
    user="$("$PY" "$BATS_TEST_DIRNAME/image.py" user)"
    cp "$MODELS/spam.qn" "$MODELS/income.qn" "$image/opt/ml/model"
    chmod -R a+rX "$image" "$WORK"
    [ ! -e "$image/usr/bin/gcc" ]
    free="$("$PY" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')"
    local inside=(chroot --userspec="$user:$user" "$image" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin QUERN_PORT="$free"
        $("$PY" "$BATS_TEST_DIRNAME/image.py" environment))
    "${inside[@]}" quern serve >"$WORK/out" 2>"$WORK/err" 3>&- &
    SERVED=$!
    SERVERS+=("$SERVED")
    eventually grep -q curl "$WORK/out"
    "${inside[@]}" quern-healthcheck
    address="$(hostname -I | cut -d' ' -f1)" # on all addresses, as a container must
    curl -sf "http://${address:-127.0.0.1}:$free/v1/models/spam/predict" -d '{"text": "a"}' | grep -q '"prediction": "ham"'
    [ "$(curl -s -o body -w '%{http_code}' "http://127.0.0.1:$free/ping")" = 200 ]
    kill "$SERVED"
    wait "$SERVED"
    ! "${inside[@]}" quern-healthcheck 2>/dev/null
}
