#!/usr/bin/env python3
"""protocol.py URL [CERT]: HTTP as bytes on a socket, plain or TLS: what is kept, cut, put in chunks, asked in a row."""
import json
import socket
import ssl
import sys
import time

url = sys.argv[1]
host, port = url.split("//")[1].split(":")
context = ssl.create_default_context(cafile=sys.argv[2]) if len(sys.argv) > 2 else None
PATH = "/v1/models/spam/predict"
ROW = b'{"text": "free prize"}'


def connect():
    s = socket.create_connection((host, int(port)), timeout=20)
    return context.wrap_socket(s, server_hostname=host) if context else s


class Answers:
    """Answers one after the other from a connection."""

    def __init__(self, s):
        self.s, self.got = s, b""

    def upto(self, found):
        while not found():
            data = self.s.recv(65536)
            if not data:
                raise EOFError(self.got)
            self.got += data

    def next(self, body=True):
        self.upto(lambda: b"\r\n\r\n" in self.got)
        head, self.got = self.got.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        n = int(fields.get("content-length", 0)) if body else 0
        self.upto(lambda: len(self.got) >= n)
        text, self.got = self.got[:n], self.got[n:]
        return int(lines[0].split()[1]), fields, text

    def ends(self):
        try:
            return not self.got and not self.s.recv(1)
        except (ConnectionError, ssl.SSLError):
            return True


def post(body, *fields, path=PATH, length=True, version="1.1"):
    fields = list(fields) + (["Content-Length: %d" % len(body)] if length else [])
    return "\r\n".join([f"POST {path} HTTP/{version}", "Host: x", *fields, "", ""]).encode() + body


def chunks(body, n):
    out = b""
    for i in range(0, len(body), n):
        piece = body[i:i + n]
        out += b"%x;name=value\r\n%s\r\n" % (len(piece), piece)
    return out + b"0\r\nTrailer: of no use\r\n\r\n"


def one(data, pause_at=()):
    s = connect()
    for a, b in zip((0, *pause_at), (*pause_at, len(data))):
        s.sendall(data[a:b])
        if b < len(data):
            time.sleep(0.05)
    return Answers(s)


want = one(post(ROW)).next()
assert want[0] == 200 and json.loads(want[2])["prediction"], want

# Many at once: answered in order, on one connection.
a = one(post(ROW) * 300 + post(b"{}") + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
for _ in range(300):
    assert a.next()[::2] == want[::2]
assert a.next()[0] == 400 and a.next()[0] == 200

# Cut anywhere.
whole = post(ROW)
for at in (1, 5, 17, whole.index(b"\r\n\r\n") + 1, whole.index(b"\r\n\r\n") + 4, len(whole) - 1):
    assert one(whole, (at,)).next()[::2] == want[::2], at

# Chunks of all sizes, one after the other.
a = one(b"".join(post(chunks(ROW, n), "Transfer-Encoding: chunked", length=False) for n in (1, 2, 7, 1000)))
for _ in range(4):
    assert a.next()[::2] == want[::2]
assert one(post(b"5\r\n{\"tex", "Transfer-Encoding: Chunked", length=False) + b"X" * 50).next()[0] == 400

# Bodies of all sizes around what a connection holds by itself; a long answer.
for n in (1000, 12000, 16000, 16200, 16383, 16384, 16385, 20000, 200000):
    a = one(post(ROW + b" " * n) + post(ROW))
    assert a.next()[::2] == want[::2] and a.next()[::2] == want[::2], n
rows = b"[" + b", ".join([ROW] * 20000) + b"]"
a = one(post(rows) + post(ROW))
status, _, text = a.next()
assert status == 200 and len(json.loads(text)["predictions"]) == 20000
assert a.next()[::2] == want[::2]

# Who asks before sending is told to, or why not.
s = connect()
a = Answers(s)
s.sendall(post(b"", "Expect: 100-continue", "Content-Length: %d" % len(ROW), length=False))
assert a.next()[0] == 100
s.sendall(ROW)
assert a.next()[::2] == want[::2]
a = one(post(b"", "Expect: 100-continue", "Content-Length: 5000000000", length=False))
assert a.next()[0] == 413 and a.ends()

# HTTP/1.0 ends the connection unless it asks that it goes on.
a = one(post(ROW, version="1.0"))
status, fields, text = a.next()
assert (status, text) == want[::2] and fields["connection"] == "close" and a.ends()
a = one(post(ROW, "Connection: keep-alive", version="1.0") * 2)
assert a.next()[1]["connection"] == "keep-alive" and a.next()[0] == 200
a = one(post(ROW, "Connection: close"))
assert a.next()[1]["connection"] == "close" and a.ends()

# HEAD has the head of GET.
a = one(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
head, get = a.next(body=False), a.next()
assert head[1]["content-length"] == get[1]["content-length"] == str(len(get[2])) and get[2]

# What is no HTTP is told so, once.
for data, status in ((b"hello\r\n\r\n", 400), (b"GET / HTTP/1.1\n\n", 400), (b"GET / HTTP/3\r\n\r\n", 505),
                     (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20000, 431), (b"GET /" + b"a" * 20000, 414),
                     (post(b"", "Transfer-Encoding: gzip", length=False), 501),
                     (post(ROW, "Transfer-Encoding: chunked"), 400),
                     (post(b"", "Expect: more", length=False), 417)):
    a = one(data + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    got, fields, text = a.next()
    assert got == status and fields["connection"] == "close" and a.ends(), (data[:40], got)
    assert json.loads(text)["error"]["status"] == status

if not context:  # counted by kind: 414 and 431 are too large; the first two, 505, 501, 400, 417 and a chunk above bad
    s = connect()
    s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    text = Answers(s).next()[2].decode()
    kinds = dict(line.split() for line in text.splitlines() if line.startswith("quern_errors_total"))
    assert kinds['quern_errors_total{kind="too_large"}'] == "3", kinds
    assert kinds['quern_errors_total{kind="bad_request"}'] == "8", kinds

# Half a connection: what was asked is answered.
if not context:
    s = connect()
    s.sendall(post(ROW) * 3)
    s.shutdown(socket.SHUT_WR)
    a = Answers(s)
    assert [a.next()[::2] for _ in range(3)] == [want[::2]] * 3 and a.ends()

# A client that does not read has its turn only when it does; others are served meanwhile.
s = connect()
s.settimeout(0.5)
sent = 0
try:
    while sent < 3000:
        s.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        sent += 1
except TimeoutError:
    pass
assert one(post(ROW)).next()[0] == 200
s.settimeout(20)
a = Answers(s)
for _ in range(min(sent, 100)):
    assert a.next()[0] == 200
