#!/usr/bin/env python3
"""The server beside nginx, and how soon it is ready. Prints `name: value` lines.

    bench/serve/serve.py QUERN BENCH_FOLDER [MODEL.qn BIG.qn]

BENCH_FOLDER has bench_serve_model and bench_ready, which make the models that are not there yet.

rest: a model of 100 trees of 255 leaves on 28 numeric columns, JSON in and out, 32 kept-alive
connections of wrk on one core, the server on another; nginx with one worker on the same core returns an
equal answer to the same request. Turns of two seconds, medians. Needs wrk and nginx.

ready: from exec to the first 200 of /readyz with a large model, and resident memory then and after
answers.
"""
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

TURNS, SECONDS, CONNECTIONS = 7, 2, 32
HERE = os.path.dirname(os.path.abspath(__file__))
NGINX = """
worker_processes 1;
worker_cpu_affinity auto {mask};
daemon off;
pid {folder}/pid;
error_log {folder}/error.log crit;
events {{ worker_connections 256; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    default_type application/json;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ add_header Quern-Model model; return 200 '{answer}'; }}
    }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(2000):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.005)
    sys.exit(f"nothing listens on port {port}")


def post(url, body):
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode()


def serve(quern, model, port, core=None):
    command = ["taskset", "-c", str(core)] if core is not None else []
    command += [quern, "serve", "--model", model, "--port", str(port), "--threads", "1", "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def load(port, path, body, core):
    out = subprocess.run(
        ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s",
         "-s", os.path.join(HERE, "rest.lua"), f"http://127.0.0.1:{port}{path}"],
        env={**os.environ, "QUERN_BODY": body}, capture_output=True, text=True, check=True).stdout
    rate, p50, p99, errors = re.search(r"result (\S+) (\S+) (\S+) (\S+)", out).groups()
    if int(errors):
        sys.exit(f"{errors} requests failed at port {port}")
    return float(rate), float(p50), float(p99)


def cpu_seconds(pid):
    """Of all threads of the process and of its children."""
    total, pids = 0, [pid]
    while pids:
        p = pids.pop()
        for task in os.listdir(f"/proc/{p}/task"):
            with open(f"/proc/{p}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0])
            with open(f"/proc/{p}/task/{task}/children") as f:
                pids += [int(child) for child in f.read().split()]
    return total / 1e9


def rest(quern, model, folder):
    body = json.dumps({f"x{i}": round(((i * 7919) % 6000) / 1000 - 3, 3) for i in range(28)})
    path = f"/v1/models/{os.path.basename(model)[:-3]}/predict"
    ports = {"quern": free_port(), "nginx": free_port()}
    processes = [serve(quern, model, ports["quern"], 0)]
    try:
        wait_for(ports["quern"])
        answer = post(f"http://127.0.0.1:{ports['quern']}{path}", body)
        conf = os.path.join(folder, "nginx.conf")
        with open(conf, "w") as f:
            f.write(NGINX.format(folder=folder, port=ports["nginx"], mask="01",
                                 answer=answer.replace("\n", "\\n")))
        processes.append(subprocess.Popen(["nginx", "-p", folder, "-c", conf],
                                          stderr=subprocess.DEVNULL))
        wait_for(ports["nginx"])
        rows = {name: [] for name in ports}
        for turn in range(TURNS + 1):
            for (name, port), process in zip(ports.items(), processes):
                before = cpu_seconds(process.pid)
                rate, p50, p99 = load(port, path, body, 1)
                busy = cpu_seconds(process.pid) - before
                if turn:  # the first warms up
                    rows[name].append((rate, p50, p99, rate * SECONDS / busy if busy else 0))
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    middle = {name: [statistics.median(column) for column in zip(*r)] for name, r in rows.items()}
    pairs = list(zip(rows["quern"], rows["nginx"]))
    for name, (rate, p50, p99, per_cpu) in middle.items():
        print(f"rest_{name}_requests_per_s: {rate:.0f}")
        print(f"rest_{name}_requests_per_cpu_s: {per_cpu:.0f}")
        print(f"rest_{name}_p50_us: {p50:.0f}")
        print(f"rest_{name}_p99_us: {p99:.0f}")
    for i, what in ((0, "requests"), (2, "p99"), (3, "requests_per_cpu")):
        ratio = statistics.median(a[i] / b[i] for a, b in pairs if b[i])
        print(f"rest_{what}_ratio_to_nginx: {ratio:.3f}")


def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        status = f.read()
    return {key: int(re.search(rf"{key}:\s+(\d+)", status).group(1)) * 1024
            for key in ("VmRSS", "RssAnon", "RssFile")}


def ask_ready(port):
    try:
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return s.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def ready(quern, model):
    times, busy, size = [], [], os.path.getsize(model)
    with open(model, "rb") as f:  # in the page cache, as after any copy
        while f.read(1 << 24):
            pass
    for _ in range(11):
        port = free_port()
        start = time.perf_counter()
        process = serve(quern, model, port)
        while not ask_ready(port):
            time.sleep(0.0005)
        times.append(time.perf_counter() - start)
        with open(f"/proc/{process.pid}/schedstat") as f:  # of the thread that starts
            busy.append(int(f.read().split()[0]) / 1e9)
        memory = resident(process.pid)
        path = f"/v1/models/{os.path.basename(model)[:-3]}/predict"
        for k in range(200):
            post(f"http://127.0.0.1:{port}{path}",
                 json.dumps({f"x{i}": ((i * 7919 + k * 104729) % 6000) / 1000 - 3 for i in range(28)}))
        after = resident(process.pid)
        process.terminate()
        process.wait()
    print(f"ready_model_mb: {size / 1e6:.1f}")
    print(f"ready_ms: {statistics.median(times) * 1e3:.1f}")
    print(f"ready_cpu_ms: {statistics.median(busy) * 1e3:.1f}")
    print(f"ready_ms_best: {min(times) * 1e3:.1f}")
    for when, m in (("ready", memory), ("answered", after)):
        print(f"resident_{when}_mb: {m['VmRSS'] / 1e6:.1f}")
        print(f"resident_{when}_anonymous_mb: {m['RssAnon'] / 1e6:.1f}")
        print(f"resident_{when}_beyond_model_mb: {(m['VmRSS'] - size) / 1e6:.1f}")


def main():
    quern, programs = (os.path.abspath(p) for p in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as folder:
        model, big = (os.path.join(folder, name) for name in ("model.qn", "big.qn"))
        if len(sys.argv) > 4:
            model, big = sys.argv[3:5]
        if not os.path.exists(model):
            subprocess.run([os.path.join(programs, "bench_serve_model"), model], check=True)
        if not os.path.exists(big):
            subprocess.run([os.path.join(programs, "bench_ready"), "100", big], check=True)
        print(f"rest_model_mb: {os.path.getsize(model) / 1e6:.2f}")
        if shutil.which("wrk") and shutil.which("nginx"):
            rest(quern, model, folder)
        else:
            print("skipped: the comparison with nginx needs wrk and nginx")
        ready(quern, big)


main()
