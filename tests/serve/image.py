#!/usr/bin/env python3
"""What packaging/ says, held against what is there.

    image.py make FOLDER QUERN     FOLDER becomes what the Dockerfile's last stage would be: the files of the packages it
                                   installs, of what they depend on, of the shell's packages, and what it copies
    image.py environment           its ENV lines, as NAME=VALUE
    image.py user                  its USER
    image.py check URL             the manifests' probes and settings, sent to a server"""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
ESSENTIAL = ["bash", "coreutils", "libc6"]  # debian:bookworm-slim has these and more


def stages():
    text = (PACKAGING / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    starts = [i for i, line in enumerate(lines) if line.startswith("FROM ")]
    return [lines[a:b] for a, b in zip(starts, starts[1:] + [len(lines)])]


def words(line):
    return line.split()[1:]


def last(instruction):
    return [words(line) for line in stages()[-1] if line.startswith(instruction + " ")]


def named_packages():
    install = next(line for line in stages()[-1] if "apt-get install" in line)
    return [w for w in re.search(r"apt-get install ([^&]*)", install)[1].split() if not w.startswith("-")]


def installed():
    """{package: packages it depends on}, with all alternatives."""
    got = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}\t${Package}\t${Depends}, ${Pre-Depends}\n"],
                         capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in got.stdout.splitlines() if line.startswith("ii")]
    return {name: [re.sub("[ (:].*", "", d.strip()) for d in re.split("[,|]", needs) if d.strip()] for _, name, needs in rows}


def closure(packages):
    there, done, todo = installed(), set(), list(packages)
    missing = [p for p in packages if p not in there]
    assert not missing, f"not installed here, so not tried: {missing}"
    while todo:
        package = todo.pop()
        if package in there and package not in done:
            done.add(package)
            todo += there[package]
    return sorted(done)


def make(folder, quern):
    folder = pathlib.Path(folder)
    for name in ("bin", "lib", "lib64", "sbin"):
        (folder / "usr" / name).mkdir(parents=True)
        (folder / name).symlink_to("usr/" + name)
    files = subprocess.run(["dpkg", "-L"] + closure(named_packages() + ESSENTIAL), capture_output=True, text=True, check=True)
    for path in sorted(set(files.stdout.split("\n"))):
        source = pathlib.Path(path)
        if path.startswith(("/usr/share", "/usr/lib/x86_64-linux-gnu/gconv")) or not (source.is_symlink() or source.is_file()):
            continue
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() and not target.is_symlink():
            shutil.copy2(source, target, follow_symlinks=False)
    copy(folder, quern)
    for name in ("tmp", "project", "opt/ml/model", "dev"):
        (folder / name).mkdir(parents=True, exist_ok=True)


def copy(folder, quern):
    for *options, source, target in last("COPY"):
        came_from = pathlib.Path(quern) if options else ROOT / source
        assert not options or (options == ["--from=build"] and pathlib.Path(source).name == "quern"), options
        target = folder / target.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(came_from, target)


def check(url):
    import requests
    import yaml

    documents = list(yaml.safe_load_all((PACKAGING / "kubernetes/quern.yaml").read_text()))
    by_kind = {d["kind"]: d for d in documents}
    assert len(by_kind) == len(documents) == 5
    compose = yaml.safe_load((PACKAGING / "compose.yaml").read_text())["services"]["quern"]
    pod = by_kind["Deployment"]["spec"]["template"]["spec"]
    container, = pod["containers"]
    port, = (p["containerPort"] for p in container["ports"])
    session = requests.Session()
    session.trust_env = False
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        get = container[probe]["httpGet"]
        assert get["path"] == path and get["port"] == container["ports"][0]["name"]
        assert session.get(url + get["path"]).status_code == 200
    notes = by_kind["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert session.get(url + notes["prometheus.io/path"]).status_code == 200 and notes["prometheus.io/port"] == str(port)
    # Names that must meet.
    labels = by_kind["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert by_kind[kind]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert by_kind["Service"]["spec"]["selector"].items() <= labels.items()
    assert by_kind["Service"]["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == by_kind["PersistentVolumeClaim"]["metadata"]["name"]
    assert container["volumeMounts"][0]["name"] == pod["volumes"][0]["name"]
    assert container["envFrom"][0]["configMapRef"]["name"] == by_kind["ConfigMap"]["metadata"]["name"]
    settings(by_kind["ConfigMap"]["data"], container, pod, compose, port)


def settings(config, container, pod, compose, port):
    known = subprocess.run([sys.argv[3], "help", "serve"], capture_output=True, text=True, check=True).stdout
    for name, value in {**config, **compose["environment"]}.items():
        option = "--" + name.removeprefix("QUERN_").lower().replace("_", "-")
        assert name.startswith("QUERN_") and option in known and isinstance(value, str), name
    sleep = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > sleep + int(config["QUERN_DRAIN_TIMEOUT"].rstrip("s"))
    assert int(compose["stop_grace_period"].rstrip("s")) > 25
    user, = last("USER")
    assert pod["securityContext"]["runAsUser"] == int(user[0]) != 0 and pod["securityContext"]["runAsNonRoot"] is True
    assert last("EXPOSE") == [[str(port)]] and compose["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert container["volumeMounts"][0]["mountPath"] == compose["volumes"][0].split(":")[1] == "/opt/ml/model"
    assert last("ENTRYPOINT") == [['["quern"]']] and last("CMD") == [['["serve"]']] and container["args"] == ["serve"]
    assert compose["build"]["dockerfile"] == "packaging/Dockerfile"
    health, = last("HEALTHCHECK")
    assert health[-1] == '["quern-healthcheck"]'


if sys.argv[1] == "make":
    make(*sys.argv[2:])
elif sys.argv[1] == "environment":
    print("\n".join(" ".join(w) for w in last("ENV")))
elif sys.argv[1] == "user":
    print(last("USER")[0][0])
else:
    check(sys.argv[2])
