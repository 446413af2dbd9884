#!/usr/bin/env python3
"""Opens the pages in Chromium: every chart is drawn, nothing is said on the console, nothing is loaded, and a
document full of hostile names is harmless. Skips (exit status 77) when there is no Chromium.

usage: test_browser.py REPORT_RENDER FOLDER_OF_DOCUMENTS
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HOSTILE = "</script><img src=x onerror=\"document.title='broken'\">{{7*7}}${x}'"
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
         "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--virtual-time-budget=30000"]


def with_texts(value, key=None):
    """The document with every name and text replaced by a hostile one."""
    if isinstance(value, dict):
        return {k: with_texts(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [with_texts(v, key) for v in value]
    return HOSTILE + str(hash(value) % 97) if isinstance(value, str) and key not in ("kind", "metric") else value


def look(chromium, page, width, folder):
    command = [chromium, *QUIET, f"--user-data-dir={folder}/profile", f"--window-size={width},1000", "--dump-dom",
               page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, said


def check(chromium, render, document, folder, width, hostile=False):
    page = folder / (document.stem + ".html")
    subprocess.run([render, document, page], check=True)
    text = page.read_text(encoding="utf-8")
    asked = text.count('<div class="plot"')
    dom, said = look(chromium, page, width, folder)
    ours = re.sub(r"<script.*?</script>", "", dom, flags=re.DOTALL)
    problems = []
    if said:
        problems.append("the console said: " + said[0][:300])
    if ours.count('data-drawn="true"') != asked or ours.count("<svg") < asked + 1:
        problems.append(f"{ours.count('data-drawn=')} of {asked} charts were drawn")
    if re.search(r"<(img|link|iframe|object|embed)\b", ours) or re.search(r"\b(src|href)=\"(https?:)?//", ours):
        problems.append("something is loaded from elsewhere")
    if hostile and "<title>broken" in dom:
        problems.append("a name ran as a script")
    if "NaN" in re.sub(r"<pre.*?</pre>", "", ours, flags=re.DOTALL):
        problems.append("NaN is shown")
    return problems


def main():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        print("skipped: no Chromium")
        return 77
    render, documents = sys.argv[1], pathlib.Path(sys.argv[2])
    failed = False
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        hostile = folder / "hostile.json"
        whole = json.loads((documents / "binary.json").read_text(encoding="utf-8"))
        hostile.write_text(json.dumps(with_texts(whole)), encoding="utf-8")
        for document, width in ((documents / "binary.json", 1280), (documents / "multiclass.json", 1280),
                                (documents / "regression.json", 500), (hostile, 1280)):
            problems = check(chromium, render, document, folder, width, document is hostile)
            print(f"{document.stem}: " + ("; ".join(problems) or "good"))
            failed |= bool(problems)
    return 1 if failed else 0


sys.exit(main())
