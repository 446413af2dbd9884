"""draining.py URL PID: what a client sees while a server ends."""
import http.client
import os
import signal
import sys
import time

host, pid = sys.argv[1].split("//")[1], int(sys.argv[2])
PATH, BODY = "/v1/models/spam/predict", b'{"text": "win a prize"}'


def get(path, connection=None):
    connection = connection or http.client.HTTPConnection(host, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer


assert get("/readyz").status == get("/ping").status == 200
held = http.client.HTTPConnection(host, timeout=10)  # a prediction under way: its body is half sent
held.putrequest("POST", PATH)
held.putheader("Content-Length", str(len(BODY)))
held.endheaders(BODY[:10])
idle = http.client.HTTPConnection(host, timeout=10)  # a kept connection
assert get("/readyz", idle).status == 200
time.sleep(0.3)
os.kill(pid, signal.SIGTERM)
end = time.time() + 5
while get("/readyz").status != 503:
    assert time.time() < end
    time.sleep(0.01)
for path in ("/ping", "/health", "/v2/health/ready", "/readyz"):
    answer = get(path)
    assert answer.status == 503 and answer.headers["Retry-After"], path
assert get("/readyz", idle).status == 503
assert get("/healthz").status == get("/v2/health/live").status == 200
late = http.client.HTTPConnection(host, timeout=10)
late.request("POST", PATH, BODY)
answer = late.getresponse()
assert (answer.status, answer.headers["Connection"]) == (503, "close") and answer.headers["Retry-After"], answer.status
assert b"shutting down" in answer.read()
held.send(BODY[10:])
answer = held.getresponse()
assert answer.status == 200 and b'"prediction"' in answer.read()
