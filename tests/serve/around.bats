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
